/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab host uplink bridge|restore`: the host's NIC becomes a port of a bridge that has its addresses, for
 * no lab. Capture, row, watchdog, bridge, gateway, and the person's word are in this order; the row becomes
 * PRESENT after the watchdog was told that all is well, so a crash in between has the next verb put the NIC
 * back.
 */
#include "hostnet/uplink.h"
#include "netlab/fault.h"
#include "netlab/host_objects_internal.h"
#include "netlab/uplink.h"

#include <string.h>

enum { BRIDGE_NUMBERS = 1000 };

static char *choose_name(const struct host_session *session, GError **error)
{
    for (int number = 0; number < BRIDGE_NUMBERS; number++) {
        g_autofree char *name = g_strdup_printf("br%d", number);
        g_autoptr(GError) absent = NULL;
        g_autoptr(hostnet_link) taken = hostnet_link_find(session->net, name, &absent);
        if (!taken)
            return g_steal_pointer(&name);
    }
    g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_EXISTS,
                "all names from br0 to br%d are taken; choose one with --bridge NAME", BRIDGE_NUMBERS - 1);
    return NULL;
}

static void note_settling(void *opaque, const char *text)
{
    host_tell(opaque, "%s", text);
}

bool host_uplink_bridge(const struct host_change *change, const char *nic, const char *bridge,
                        bool (*ask)(void *opaque, unsigned seconds, GError **error), GError **error)
{
    host_session_auto session;
    if (!host_session_begin(&session, change, "host uplink bridge", error))
        return false;
    g_autoptr(hostnet_link) link = host_find_link(&session, nic, error);
    if (!link)
        return false;
    struct store_host_object *row = host_find_row(&session, HOST_UPLINK_BRIDGE, link->name);
    if (row) {
        struct hostnet_link_identity old;
        bool is_same = hostnet_identity_parse(row->identity, &old, NULL) && link->master == old.index &&
                       (!bridge || g_str_equal(bridge, old.name));
        if (is_same)
            host_tell(change, "%s is a port of %s, which has its addresses, already", link->name, old.name);
        else
            g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_EXISTS,
                        "%s was bridged already, and that has changed since; `netlab host uplink restore %s` "
                        "first",
                        link->name, link->name);
        return is_same;
    }
    g_autofree char *name = bridge ? g_strdup(bridge) : choose_name(&session, error);
    if (!name || !hostnet_name_check(name, error) || !host_check_no_lease(&session, link->name, error))
        return false;
    g_autofree char *human = g_strconcat(name, " uplink", NULL);
    g_autofree char *mark = hostnet_mark_format(HOST_MARK_LAB, human, error);
    if (mark)
        uplink_settle(link->name, -1, note_settling, (void *)change);
    g_autoptr(hostnet_uplink) uplink =
        mark ? hostnet_uplink_capture(session.net, link->name, name, mark, error) : NULL;
    g_autofree char *detail = uplink ? hostnet_uplink_format(uplink) : NULL;
    if (!uplink ||
        !(row = host_begin_row(&session, HOST_UPLINK_BRIDGE, link->name, &uplink->bridge, detail, error)))
        return false;
    bool good = uplink_bridge_alone(session.net, uplink, ask, change->opaque, error);
    if (!host_end_row(&session, row, good, error))
        return false;
    host_tell(change, "%s is a port of %s now, which has its addresses and routes", link->name, name);
    if (uplink->had_lease)
        host_tell(change, "its address is a DHCP lease: `netlab host dhcp request %s` renews it there", name);
    return true;
}

/* The row of this NIC or this bridge. */
static struct store_host_object *find_uplink(const struct host_session *session, const char *name)
{
    for (guint i = 0; i < session->rows->len; i++) {
        struct store_host_object *row = session->rows->pdata[i];
        struct hostnet_link_identity bridge;
        if (g_str_equal(row->kind, host_kind_name(HOST_UPLINK_BRIDGE)) &&
            (g_str_equal(row->name, name) ||
             (hostnet_identity_parse(row->identity, &bridge, NULL) && g_str_equal(bridge.name, name))))
            return row;
    }
    return NULL;
}

/* Without a row, by the bridge's mark: what it has now goes to the NIC. */
static bool rescue(struct host_session *session, const char *name, GError **error)
{
    g_autoptr(hostnet_link) link = host_find_link(session, name, error);
    if (!link)
        return false;
    g_autoptr(hostnet_link) bridge =
        link->master ? hostnet_link_get(session->net, link->master, NULL) : g_steal_pointer(&link);
    char nic[HOSTNET_NAME_MAX + 1];
    struct hostnet_link_identity identity;
    if (!bridge || bridge->kind != HOSTNET_LINK_BRIDGE || !host_is_marked(bridge, true)) {
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_OURS,
                    "%s was not bridged by `netlab host uplink bridge`, so nothing is put back; `netlab host "
                    "show` tells whose it is",
                    name);
        return false;
    }
    hostnet_link_get_identity(session->net, bridge, &identity);
    if (!host_check_no_lease(session, bridge->name, error) ||
        !hostnet_uplink_rescue(session->net, &identity, nic, error))
        return false;
    host_tell(session->change, "the record of %s was lost; %s has what the bridge had", bridge->name,
              *nic ? nic : "nothing");
    return true;
}

bool host_uplink_restore(const struct host_change *change, const char *name, GError **error)
{
    host_session_auto session;
    struct hostnet_link_identity bridge;
    if (!host_session_begin(&session, change, "host uplink restore", error))
        return false;
    struct store_host_object *row = find_uplink(&session, name);
    if (!row)
        return rescue(&session, name, error);
    g_autofree char *nic = g_strdup(row->name);
    if (!hostnet_identity_parse(row->identity, &bridge, error) ||
        !host_check_no_lease(&session, bridge.name, error) ||
        !host_detach_all(&session, bridge.index, error) || !host_remove_row(&session, row, error))
        return false;
    g_autoptr(hostnet_link) now = hostnet_link_find(session.net, nic, NULL);
    if (now && !now->master)
        host_tell(change, "%s is as it was before it was bridged", nic);
    else
        host_tell(change, "nothing more is to be put back on %s", nic);
    return true;
}
