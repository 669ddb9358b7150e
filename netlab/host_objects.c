/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Bridges, TAPs and ports of this host's own; see host_objects.h. Uplinks are host_uplink.c.
 *
 * What a row holds for undoing it:
 *   bridge, tap   the identity of the link
 *   port          the identity of the port; detail "INDEX UP": of the bridge, and whether the port was up
 *   uplink        the identity of the bridge; detail: hostnet_uplink_format() of the NIC
 * Undoing goes by what is there, and may be done twice. What is not ours any more stays as it is.
 */
#include "hostnet/bridge.h"
#include "hostnet/tap.h"
#include "netlab/fault.h"
#include "netlab/host_objects_internal.h"
#include "netlab/unmanaged.h"
#include "netlab/uplink.h"

#include <assert.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const kind_names[] = {
    [HOST_BRIDGE] = "bridge", [HOST_TAP] = "tap", [HOST_PORT] = "port", [HOST_UPLINK_BRIDGE] = "uplink"};
static_assert(G_N_ELEMENTS(kind_names) == HOST_KINDS, "every kind has a name");

const char *host_kind_name(enum host_kind kind)
{
    return kind_names[kind];
}

static bool is_kind(const struct store_host_object *row, enum host_kind kind)
{
    return g_str_equal(row->kind, kind_names[kind]);
}

void host_tell(const struct host_change *change, const char *format, ...)
{
    if (!change->tell)
        return;
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    change->tell(change->opaque, text);
}

bool host_is_marked(const struct hostnet_link *link, bool as_uplink)
{
    g_autofree char *lab = NULL, *human = NULL;
    g_autofree char *wanted = as_uplink ? g_strconcat(link->name, " uplink", NULL) : g_strdup(link->name);
    return link->mark && hostnet_mark_parse(link->mark, &lab, &human) && g_str_equal(lab, HOST_MARK_LAB) &&
           g_str_equal(human, wanted);
}

struct hostnet_link *host_find_link(const struct host_session *session, const char *name, GError **error)
{
    g_autoptr(GError) refusal = NULL;
    struct hostnet_link *link = hostnet_link_find(session->net, name, &refusal);
    if (link)
        return link;
    if (!g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND) &&
        !g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_INVALID))
        g_propagate_error(error, g_steal_pointer(&refusal));
    else
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND,
                    "there is no interface \"%s\" in this network namespace; `netlab host show` lists those "
                    "there are",
                    name);
    return NULL;
}

bool host_check_no_lease(const struct host_session *session, const char *interface, GError **error)
{
    g_autoptr(GPtrArray) leases = store_list_leases(session->store, error);
    for (guint i = 0; leases && i < leases->len; i++) {
        const struct store_lease *lease = leases->pdata[i];
        if (!g_str_equal(lease->interface, interface) ||
            !g_str_equal(lease->boot_id, hostnet_get_boot_id(session->net)) ||
            lease->netns != hostnet_get_netns_cookie(session->net))
            continue;
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_BUSY,
                    "%s has a DHCP lease that netlab renews; give it back first: `netlab host dhcp release "
                    "%s`",
                    interface, interface);
        return false;
    }
    return leases != NULL;
}

/* ---- undoing ---- */

static bool undo_link(const struct host_session *session, const struct hostnet_link_identity *identity,
                      GError **error)
{
    g_autoptr(GError) cause = NULL;
    if (hostnet_link_delete(session->net, identity, &cause))
        return true;
    if (g_error_matches(cause, HOSTNET_ERROR, HOSTNET_ERROR_NOT_OURS)) {
        host_tell(session->change, "%s is not what netlab made any more; it stays", identity->name);
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

static bool parse_port(const struct store_host_object *row, uint32_t *bridge, bool *was_up)
{
    unsigned index = 0, up = 0;
    bool good = sscanf(row->detail, "%u %u", &index, &up) == 2;
    *bridge = index;
    *was_up = up != 0;
    return good;
}

static bool undo_port(const struct host_session *session, const struct store_host_object *row,
                      const struct hostnet_link_identity *identity, GError **error)
{
    enum hostnet_presence presence;
    uint32_t bridge;
    bool was_up;
    g_autoptr(hostnet_link) link = NULL;
    if (!hostnet_link_check(session->net, identity, &presence, &link, error))
        return false;
    if (presence != HOSTNET_PRESENT || !parse_port(row, &bridge, &was_up))
        return true;
    if (link->master && link->master != bridge) {
        host_tell(session->change, "%s was put into another bridge meanwhile; it stays there", link->name);
        return true;
    }
    if (link->master && !hostnet_bridge_remove_port(session->net, bridge, link->index, error))
        return false;
    fault_point();
    return was_up || !link->up || hostnet_link_set_up(session->net, link->index, false, error);
}

static bool undo_uplink(const struct host_session *session, const struct store_host_object *row,
                        GError **error)
{
    g_autoptr(hostnet_uplink) uplink = hostnet_uplink_parse(row->detail, error);
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    if (!uplink || !uplink_put_back(session->net, uplink, notes, error))
        return false;
    for (guint i = 0; i < notes->len; i++)
        host_tell(session->change, "%s", (const char *)notes->pdata[i]);
    return true;
}

static bool undo(const struct host_session *session, const struct store_host_object *row, GError **error)
{
    struct hostnet_link_identity identity;
    if (!hostnet_identity_parse(row->identity, &identity, error)) {
        g_prefix_error(error, "the store's record of %s is damaged: ", row->name);
        return false;
    }
    if (is_kind(row, HOST_UPLINK_BRIDGE))
        return undo_uplink(session, row, error);
    return is_kind(row, HOST_PORT) ? undo_port(session, row, &identity, error)
                                   : undo_link(session, &identity, error);
}

/* ---- rows ---- */

struct store_host_object *host_find_row(const struct host_session *session, enum host_kind kind,
                                        const char *name)
{
    for (guint i = 0; i < session->rows->len; i++) {
        struct store_host_object *row = session->rows->pdata[i];
        if (is_kind(row, kind) && g_str_equal(row->name, name))
            return row;
    }
    return NULL;
}

struct store_host_object *host_begin_row(struct host_session *session, enum host_kind kind, const char *name,
                                         const struct hostnet_link_identity *identity, const char *detail,
                                         GError **error)
{
    struct store_host_object *row = g_new0(struct store_host_object, 1);
    *row = (struct store_host_object){.boot_id = g_strdup(hostnet_get_boot_id(session->net)),
                                      .netns = hostnet_get_netns_cookie(session->net),
                                      .kind = g_strdup(kind_names[kind]),
                                      .name = g_strdup(name),
                                      .identity = hostnet_identity_format(identity),
                                      .detail = g_strdup(detail),
                                      .state = STORE_MAKING};
    fault_point();
    if (!store_put_host_object(session->store, row, error)) {
        store_host_object_free(row);
        return NULL;
    }
    g_ptr_array_add(session->rows, row);
    fault_point();
    if (kind != HOST_PORT)
        unmanaged_keep_link(session->net, getuid(), identity->name);
    fault_point();
    return row;
}

/* Who sees to links may see to one of that name again. */
static void let_link(struct host_session *session, const struct store_host_object *row)
{
    struct hostnet_link_identity identity;
    if (!is_kind(row, HOST_PORT) && hostnet_identity_parse(row->identity, &identity, NULL))
        unmanaged_let_link(session->net, getuid(), identity.name);
}

static bool forget_row(struct host_session *session, struct store_host_object *row, GError **error)
{
    fault_point();
    let_link(session, row);
    fault_point();
    if (!store_delete_host_object(session->store, row->id, error))
        return false;
    g_ptr_array_remove(session->rows, row);
    fault_point();
    return true;
}

bool host_end_row(struct host_session *session, struct store_host_object *row, bool good, GError **error)
{
    g_autoptr(GError) ignored = NULL;
    fault_point();
    if (good) {
        row->state = STORE_PRESENT;
        good = store_put_host_object(session->store, row, error);
        fault_point();
        if (good)
            return true;
    }
    /* The first error is the one that is told; a row that stays is undone by the next verb. */
    if (!undo(session, row, &ignored) || !forget_row(session, row, &ignored))
        host_tell(session->change, "%s: %s; `netlab repair` tries again", row->name, ignored->message);
    return false;
}

bool host_remove_row(struct host_session *session, struct store_host_object *row, GError **error)
{
    row->state = STORE_REMOVING;
    fault_point();
    if (!store_put_host_object(session->store, row, error))
        return false;
    fault_point();
    return undo(session, row, error) && forget_row(session, row, error);
}

bool host_detach_all(struct host_session *session, uint32_t bridge, GError **error)
{
    for (guint i = session->rows->len; i-- > 0;) {
        struct store_host_object *row = session->rows->pdata[i];
        uint32_t of;
        bool was_up;
        if (is_kind(row, HOST_PORT) && parse_port(row, &of, &was_up) && of == bridge &&
            !host_remove_row(session, row, error))
            return false;
    }
    return true;
}

/* ---- sessions ---- */

static bool is_of_here(const struct host_session *session, const struct store_host_object *row)
{
    return g_str_equal(row->boot_id, hostnet_get_boot_id(session->net)) &&
           row->netns == hostnet_get_netns_cookie(session->net);
}

/* A row whose link somebody has removed, or taken out of the bridge: nothing of ours is there. A NIC's uplink
 * is not among them: there may be something to put back. */
static bool is_over(const struct host_session *session, const struct store_host_object *row)
{
    struct hostnet_link_identity identity;
    enum hostnet_presence presence;
    g_autoptr(hostnet_link) link = NULL;
    uint32_t bridge;
    bool was_up;
    if (is_kind(row, HOST_UPLINK_BRIDGE) || !hostnet_identity_parse(row->identity, &identity, NULL) ||
        !hostnet_link_check(session->net, &identity, &presence, &link, NULL))
        return false;
    return presence != HOSTNET_PRESENT ||
           (is_kind(row, HOST_PORT) && parse_port(row, &bridge, &was_up) && link->master != bridge);
}

static const char *row_summary(const struct store_host_object *row)
{
    return is_kind(row, HOST_PORT)            ? "the port"
           : is_kind(row, HOST_UPLINK_BRIDGE) ? "the uplink of"
           : is_kind(row, HOST_TAP)           ? "the TAP"
                                              : "the bridge";
}

typedef void find_function(void *opaque, char *what, const GError *error);

/* Later ones first: a port before its bridge. One that cannot be cleared away stays, and is told. */
static bool clear_leftovers(struct host_session *session, bool dry_run, find_function *find, void *opaque,
                            GError **error)
{
    session->rows = store_list_host_objects(session->store, error);
    if (!session->rows)
        return false;
    for (guint i = session->rows->len; i-- > 0;) {
        struct store_host_object *row = session->rows->pdata[i];
        g_autoptr(GError) cause = NULL;
        g_autofree char *what = NULL;
        if (!g_str_equal(row->boot_id, hostnet_get_boot_id(session->net))) {
            what = g_strdup_printf("forget %s %s of before the reboot", row_summary(row), row->name);
            if (!dry_run && !store_delete_host_object(session->store, row->id, error))
                return false;
        } else if (is_of_here(session, row) && row->state != STORE_PRESENT) {
            what = g_strdup_printf(row->state == STORE_MAKING ? "take back %s %s, whose making was cut off"
                                                              : "finish the removal of %s %s",
                                   row_summary(row), row->name);
            if (!dry_run && !host_remove_row(session, row, &cause) && !find)
                host_tell(session->change, "%s: %s", what, cause->message);
            if (find)
                find(opaque, g_steal_pointer(&what), cause);
            continue; /* gone from the array, or kept in it */
        } else if (is_of_here(session, row) && is_over(session, row)) {
            if (!dry_run)
                let_link(session, row);
            if (!dry_run && !store_delete_host_object(session->store, row->id, error))
                return false;
        } else if (is_of_here(session, row)) {
            continue;
        }
        if (find && what)
            find(opaque, g_steal_pointer(&what), NULL);
        g_ptr_array_remove_index(session->rows, i); /* of elsewhere, or forgotten */
    }
    return true;
}

static bool session_open(struct host_session *session, const struct host_change *change, const char *verb,
                         GError **error)
{
    *session = (struct host_session){.change = change, .lock = {.fd = -1}};
    session->net = hostnet_open(error);
    session->store = session->net ? store_open(change->place->state, error) : NULL;
    if (!session->store)
        return false;
    g_autofree char *name =
        g_strdup_printf("host:%" G_GUINT64_FORMAT, hostnet_get_netns_cookie(session->net));
    g_autoptr(GError) held = NULL;
    if (lock_take(&session->lock, change->place->state, name, verb, 0, &held))
        return true;
    session->lock.fd = -1;
    const char *holder = strstr(held->message, "by ");
    if (g_error_matches(held, LOCK_ERROR, LOCK_ERROR_HELD))
        g_set_error(error, LOCK_ERROR, LOCK_ERROR_HELD, "this host's links are being changed %s",
                    holder ? holder : "by another netlab; wait until that has finished");
    else
        g_propagate_error(error, g_steal_pointer(&held));
    return false;
}

bool host_session_begin(struct host_session *session, const struct host_change *change, const char *verb,
                        GError **error)
{
    return session_open(session, change, verb, error) && clear_leftovers(session, false, NULL, NULL, error);
}

void host_session_end(struct host_session *session)
{
    if (session->lock.fd >= 0)
        lock_release(&session->lock);
    if (session->rows)
        g_ptr_array_unref(session->rows);
    store_close(session->store);
    hostnet_close(session->net);
}

bool host_objects_repair(const struct lab_place *place, bool dry_run, find_function *find, void *opaque,
                         GError **error)
{
    const struct host_change change = {.place = place};
    host_session_auto session;
    return session_open(&session, &change, "repair", error) &&
           clear_leftovers(&session, dry_run, find, opaque, error);
}

/* ---- bridges and TAPs ---- */

/* True, with *is_there, when `name` is ours already; false with EXISTS when it is somebody else's. */
static bool look_for(struct host_session *session, enum host_kind kind, const char *name, bool *is_there,
                     GError **error)
{
    g_autoptr(hostnet_link) link = NULL;
    *is_there = false;
    if (!hostnet_name_check(name, error))
        return false;
    link = hostnet_link_find(session->net, name, NULL);
    if (!link)
        return true;
    enum hostnet_link_kind wanted = kind == HOST_TAP ? HOSTNET_LINK_TAP : HOSTNET_LINK_BRIDGE;
    *is_there = link->kind == wanted && g_str_equal(link->name, name) && host_is_marked(link, false);
    if (!*is_there)
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_EXISTS,
                    "there is an interface %s already, and netlab has not made it; choose another name",
                    name);
    return *is_there;
}

static struct store_host_object *plan(struct host_session *session, enum host_kind kind, const char *name,
                                      struct hostnet_link_identity *identity, GError **error)
{
    g_autofree char *mark = hostnet_mark_format(HOST_MARK_LAB, name, error);
    return mark && hostnet_identity_plan(session->net, name, mark, identity, error)
               ? host_begin_row(session, kind, name, identity, "", error)
               : NULL;
}

bool host_bridge_add(const struct host_change *change, const char *name, unsigned mtu, bool stp,
                     GError **error)
{
    host_session_auto session;
    struct hostnet_link_identity identity;
    bool is_there;
    if (!host_session_begin(&session, change, "host bridge add", error) ||
        !look_for(&session, HOST_BRIDGE, name, &is_there, error))
        return false;
    if (is_there) {
        host_tell(change, "the bridge %s is there already", name);
        return true;
    }
    struct store_host_object *row = plan(&session, HOST_BRIDGE, name, &identity, error);
    if (!row)
        return false;
    struct hostnet_bridge_spec spec = {.link = {.name = identity.name,
                                                .mark = identity.mark,
                                                .index = identity.index,
                                                .mtu = mtu,
                                                .up = true},
                                       .stp = stp,
                                       .forward_delay = stp ? 1500 : 0,
                                       .multicast_snooping = true};
    return host_end_row(&session, row, hostnet_bridge_create(session.net, &spec, NULL, error), error);
}

static bool find_user(const char *text, uid_t *uid, GError **error)
{
    guint64 number;
    const struct passwd *user = getpwnam(text);
    if (user)
        *uid = user->pw_uid;
    else if (g_ascii_string_to_unsigned(text, 10, 0, UINT32_MAX - 1, &number, NULL))
        *uid = (uid_t)number;
    else
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_INVALID,
                    "there is no user \"%s\"; give a login name (`getent passwd` lists them) or a number",
                    text);
    return user || g_ascii_string_to_unsigned(text, 10, 0, UINT32_MAX - 1, &number, NULL);
}

bool host_tap_add(const struct host_change *change, const char *name, const char *user, unsigned mtu,
                  GError **error)
{
    host_session_auto session;
    struct hostnet_link_identity identity;
    uid_t uid = 0;
    bool is_there;
    if (!host_session_begin(&session, change, "host tap add", error) ||
        (user && !find_user(user, &uid, error)) || !look_for(&session, HOST_TAP, name, &is_there, error))
        return false;
    if (is_there) {
        g_autoptr(hostnet_link) link = hostnet_link_find(session.net, name, error);
        if (!link)
            return false;
        if (user && (!link->tap.has_owner || link->tap.owner != uid)) {
            g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_EXISTS,
                        "the TAP %s is there already, for somebody else; `netlab host tap del %s` first",
                        name, name);
            return false;
        }
        host_tell(change, "the TAP %s is there already", name);
        return true;
    }
    struct store_host_object *row = plan(&session, HOST_TAP, name, &identity, error);
    if (!row)
        return false;
    struct hostnet_tap_spec spec = {.link = {.name = identity.name,
                                             .mark = identity.mark,
                                             .index = identity.index,
                                             .mtu = mtu,
                                             .up = true},
                                    .persistent = true,
                                    .has_owner = user != NULL,
                                    .owner = uid};
    int fd = hostnet_tap_create(session.net, &spec, NULL, error);
    if (fd >= 0)
        close(fd);
    return host_end_row(&session, row, fd >= 0, error);
}

/* The row of a link that is to go; one whose row was lost gets it anew, by its mark. NULL without an error
 * when there is no such link. */
static struct store_host_object *row_to_remove(struct host_session *session, enum host_kind kind,
                                               const char *name, GError **error)
{
    struct store_host_object *row = host_find_row(session, kind, name);
    if (row)
        return row;
    g_autoptr(GError) absent = NULL;
    g_autoptr(hostnet_link) link = hostnet_link_find(session->net, name, &absent);
    if (!link) {
        host_tell(session->change, "there is no %s %s: nothing to do", kind == HOST_TAP ? "TAP" : "bridge",
                  name);
        return NULL;
    }
    bool is_kind_of_it = link->kind == (kind == HOST_TAP ? HOSTNET_LINK_TAP : HOSTNET_LINK_BRIDGE);
    if (kind == HOST_BRIDGE && link->kind == HOSTNET_LINK_BRIDGE && host_is_marked(link, true)) {
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_INVALID,
                    "%s carries the host's own NIC; `netlab host uplink restore %s` gives that its addresses "
                    "back",
                    name, name);
        return NULL;
    }
    if (!is_kind_of_it || !host_is_marked(link, false)) {
        g_autofree char *lab = NULL;
        bool is_lab = link->mark && hostnet_mark_parse(link->mark, &lab, NULL);
        bool is_other = !is_kind_of_it && host_is_marked(link, false);
        g_autofree char *next =
            is_other ? g_strdup_printf("`netlab host %s del %s` removes it",
                                       kind_names[kind == HOST_TAP ? HOST_BRIDGE : HOST_TAP], name)
            : is_lab ? g_strdup_printf("it belongs to the lab %s", lab)
                     : g_strdup("`ip link del` removes what is yours");
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_OURS,
                    "%s was not made by `netlab host %s add`, so it stays; %s", name, kind_names[kind], next);
        return NULL;
    }
    struct hostnet_link_identity identity;
    hostnet_link_get_identity(session->net, link, &identity);
    return host_begin_row(session, kind, link->name, &identity, "", error);
}

static bool check_ports(const struct host_session *session, uint32_t bridge, const char *name, GError **error)
{
    g_autoptr(GPtrArray) ports = hostnet_bridge_list_ports(session->net, bridge, NULL);
    g_autoptr(GString) others = g_string_new(NULL);
    for (guint i = 0; ports && i < ports->len; i++) {
        const struct hostnet_link *port = ports->pdata[i];
        if (!host_find_row(session, HOST_PORT, port->name) && !host_is_marked(port, false))
            g_string_append_printf(others, "%s%s", others->len ? ", " : "", port->name);
    }
    if (!others->len)
        return true;
    g_set_error(
        error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_OURS,
        "%s has ports that `netlab host bridge attach` has not put there (%s); take them out first (`ip "
        "link set PORT nomaster`)",
        name, others->str);
    return false;
}

static bool remove_link(const struct host_change *change, enum host_kind kind, const char *name,
                        const char *verb, GError **error)
{
    host_session_auto session;
    GError *cause = NULL;
    if (!host_session_begin(&session, change, verb, error) || !host_check_no_lease(&session, name, error))
        return false;
    struct store_host_object *row = row_to_remove(&session, kind, name, &cause);
    if (!row) {
        if (cause)
            g_propagate_error(error, cause);
        return !cause;
    }
    struct hostnet_link_identity identity;
    if (!hostnet_identity_parse(row->identity, &identity, error))
        return false;
    if (kind == HOST_BRIDGE)
        return check_ports(&session, identity.index, name, error) &&
               host_detach_all(&session, identity.index, error) && host_remove_row(&session, row, error);
    struct store_host_object *port = host_find_row(&session, HOST_PORT, name);
    return (!port || host_remove_row(&session, port, error)) && host_remove_row(&session, row, error);
}

bool host_bridge_del(const struct host_change *change, const char *name, GError **error)
{
    return remove_link(change, HOST_BRIDGE, name, "host bridge del", error);
}

bool host_tap_del(const struct host_change *change, const char *name, GError **error)
{
    return remove_link(change, HOST_TAP, name, "host tap del", error);
}

/* ---- ports ---- */

static struct hostnet_link *find_bridge(const struct host_session *session, const char *name, GError **error)
{
    g_autoptr(hostnet_link) link = host_find_link(session, name, error);
    if (link && link->kind != HOSTNET_LINK_BRIDGE)
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_INVALID,
                    "%s is no bridge; `netlab host bridge add NAME` makes one", name);
    return link && link->kind == HOSTNET_LINK_BRIDGE ? g_steal_pointer(&link) : NULL;
}

static bool check_port(const struct host_session *session, const struct hostnet_link *bridge,
                       const struct hostnet_link *port, GError **error)
{
    g_autofree char *lab = NULL;
    if (port->mark && hostnet_mark_parse(port->mark, &lab, NULL) && !g_str_equal(lab, HOST_MARK_LAB)) {
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_OURS, "%s belongs to the lab %s", port->name,
                    lab);
        return false;
    }
    if (port->kind == HOSTNET_LINK_LOOPBACK || port->kind == HOSTNET_LINK_BRIDGE) {
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_INVALID, "%s is %s, which no bridge takes as a port",
                    port->name, port->kind == HOSTNET_LINK_BRIDGE ? "a bridge itself" : "the loopback");
        return false;
    }
    if (port->master) {
        g_autoptr(hostnet_link) master = hostnet_link_get(session->net, port->master, NULL);
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_BUSY, "%s is a port of %s already; take it out first",
                    port->name, master ? master->name : "another interface");
        return false;
    }
    g_autoptr(GArray) addresses = hostnet_address_list(session->net, port->index, error);
    for (guint i = 0; addresses && i < addresses->len; i++) {
        const struct hostnet_link_address *address =
            &g_array_index(addresses, struct hostnet_link_address, i);
        char text[HOSTNET_PREFIX_TEXT];
        if (hostnet_address_is_link_local(&address->local.address))
            continue;
        g_set_error(
            error, HOSTNET_ERROR, HOSTNET_ERROR_INVALID,
            "%s has the address %s, which would be cut off as a port of %s; `netlab host uplink bridge "
            "%s` bridges it with its addresses and routes",
            port->name, hostnet_prefix_format(&address->local, text), bridge->name, port->name);
        return false;
    }
    return addresses && host_check_no_lease(session, port->name, error);
}

bool host_bridge_attach(const struct host_change *change, const char *bridge_name, const char *port_name,
                        GError **error)
{
    host_session_auto session;
    if (!host_session_begin(&session, change, "host bridge attach", error))
        return false;
    g_autoptr(hostnet_link) bridge = find_bridge(&session, bridge_name, error);
    g_autoptr(hostnet_link) port = bridge ? host_find_link(&session, port_name, error) : NULL;
    if (!port)
        return false;
    if (port->master == bridge->index) {
        host_tell(change, "%s is a port of %s already", port->name, bridge->name);
        return true;
    }
    struct hostnet_link_identity identity;
    g_autofree char *detail = g_strdup_printf("%u %u", bridge->index, port->up);
    if (!check_port(&session, bridge, port, error))
        return false;
    hostnet_link_get_identity(session.net, port, &identity);
    struct store_host_object *row = host_begin_row(&session, HOST_PORT, port->name, &identity, detail, error);
    if (!row)
        return false;
    bool good = hostnet_bridge_add_port(session.net, bridge->index, port->index, error);
    fault_point();
    good = good && (port->up || hostnet_link_set_up(session.net, port->index, true, error));
    return host_end_row(&session, row, good, error);
}

bool host_bridge_detach(const struct host_change *change, const char *bridge_name, const char *port_name,
                        GError **error)
{
    host_session_auto session;
    if (!host_session_begin(&session, change, "host bridge detach", error))
        return false;
    g_autoptr(hostnet_link) bridge = find_bridge(&session, bridge_name, error);
    g_autoptr(hostnet_link) port = bridge ? host_find_link(&session, port_name, error) : NULL;
    if (!port)
        return false;
    if (port->master != bridge->index) {
        host_tell(change, "%s is no port of %s: nothing to do", port->name, bridge->name);
        return true;
    }
    struct store_host_object *row = host_find_row(&session, HOST_PORT, port->name);
    if (row)
        return host_remove_row(&session, row, error);
    if (!host_is_marked(port, false)) { /* of a store that was lost, at most */
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_OURS,
                    "%s was not put into %s by `netlab host bridge attach`, so it stays; `ip link set %s "
                    "nomaster` takes it out",
                    port->name, bridge->name, port->name);
        return false;
    }
    return hostnet_bridge_remove_port(session.net, bridge->index, port->index, error);
}
