/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Changing links: up, MTU, MAC, master, names, namespace. One small RTM_SETLINK each; see link.h.
 *
 * Each error names the link by what it is called now, so a failed change looks it up once more for the text.
 */
#include "hostnet/link_internal.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/if.h>
#include <string.h>

/* Sends a RTM_SETLINK (or what is in `batch`) about `index`; `verb` as in "setting the MTU of". */
static bool change(struct hostnet *net, struct hostnet_batch *batch, uint32_t index, const char *hint,
                   const char *verb, GError **error)
{
    int failed = hostnet_batch_send(net, batch, error);
    if (failed == (int)batch->count)
        return true;
    g_autoptr(hostnet_link) link = index ? hostnet_link_get(net, index, NULL) : NULL;
    g_autofree char *what =
        link ? hostnet_describe_link(link->mark, link->name) : g_strdup_printf("link %u", index);
    if (failed < 0) {
        g_prefix_error(error, "%s %s: ", verb, what);
        return false;
    }
    return hostnet_error_set(error, batch->requests[failed].error_number, batch->requests[failed].kernel_text,
                             hint, "%s %s", verb, what);
}

/* index 0 would make the kernel go by a name attribute, or by nothing. */
static bool check_index(uint32_t index, const char *verb, GError **error)
{
    if (index && index <= INT32_MAX)
        return true;
    return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                             "%s link %u: there is no such index; look the link up", verb, index);
}

static bool set_flags(struct hostnet *net, uint32_t index, unsigned flags, bool on, const char *verb,
                      GError **error)
{
    if (!check_index(index, verb, error))
        return false;
    struct ifinfomsg header = {
        .ifi_family = AF_UNSPEC, .ifi_index = (int)index, .ifi_flags = on ? flags : 0, .ifi_change = flags};
    hostnet_auto_batch batch = {};
    hostnet_batch_add(&batch, RTM_SETLINK, 0, &header, sizeof header);
    return change(net, &batch, index, NULL, verb, error);
}

bool hostnet_link_set_up(struct hostnet *net, uint32_t index, bool up, GError **error)
{
    return set_flags(net, index, IFF_UP, up, up ? "setting up" : "setting down", error);
}

bool hostnet_link_set_promiscuous(struct hostnet *net, uint32_t index, bool on, GError **error)
{
    return set_flags(net, index, IFF_PROMISC, on, "changing promiscuous mode of", error);
}

static bool set_attribute(struct hostnet *net, uint32_t index, int attribute, const void *data, size_t length,
                          const char *hint, const char *verb, GError **error)
{
    if (!check_index(index, verb, error))
        return false;
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
    hostnet_auto_batch batch = {};
    struct nl_msg *message = hostnet_batch_add(&batch, RTM_SETLINK, 0, &header, sizeof header);
    hostnet_put(message, attribute, data, length);
    return change(net, &batch, index, hint, verb, error);
}

bool hostnet_link_set_mtu(struct hostnet *net, uint32_t index, uint32_t mtu, GError **error)
{
    return set_attribute(
        net, index, IFLA_MTU, &mtu, sizeof mtu,
        "the driver's range is shown as minmtu and maxmtu by `ip -d link`; changing it needs "
        "CAP_NET_ADMIN",
        "setting the MTU of", error);
}

bool hostnet_link_set_mac(struct hostnet *net, uint32_t index, const struct hostnet_mac *mac, GError **error)
{
    return set_attribute(net, index, IFLA_ADDRESS, mac->octets, sizeof mac->octets, NULL,
                         "setting the MAC of", error);
}

bool hostnet_link_set_master(struct hostnet *net, uint32_t index, uint32_t master, GError **error)
{
    return set_attribute(net, index, IFLA_MASTER, &master, sizeof master, NULL,
                         master ? "adding to a bridge: link" : "taking out of its bridge: link", error);
}

bool hostnet_link_set_mark(struct hostnet *net, uint32_t index, const char *mark, GError **error)
{
    if (strlen(mark) > HOSTNET_MARK_MAX)
        return hostnet_mark_check(mark, error);
    /* Without its NUL: an attribute of length 0 is what removes the alias. */
    return set_attribute(net, index, IFLA_IFALIAS, mark, strlen(mark), NULL, "marking", error);
}

static bool change_altname(struct hostnet *net, uint32_t index, const char *altname, int type, int flags,
                           const char *verb, GError **error)
{
    if (!check_index(index, verb, error) || !hostnet_altname_check(altname, error))
        return false;
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
    hostnet_auto_batch batch = {};
    struct nl_msg *message = hostnet_batch_add(&batch, type, flags, &header, sizeof header);
    struct nlattr *list = hostnet_nest_begin(message, HOSTNET_IFLA_PROP_LIST | NLA_F_NESTED);
    hostnet_put_string(message, HOSTNET_IFLA_ALT_IFNAME, altname);
    hostnet_nest_end(message, list);
    return change(net, &batch, index, NULL, verb, error);
}

static bool has_altname(struct hostnet *net, uint32_t index, const char *altname)
{
    g_autoptr(hostnet_link) link = hostnet_link_get(net, index, NULL);
    return link && (g_strv_contains((const char *const *)link->altnames, altname) ||
                    strcmp(link->name, altname) == 0);
}

bool hostnet_link_add_altname(struct hostnet *net, uint32_t index, const char *altname, GError **error)
{
    g_autoptr(GError) refusal = NULL;
    g_autofree char *verb = g_strdup_printf("adding the alternative name %s to", altname ? altname : "");
    if (change_altname(net, index, altname, RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND, verb,
                       &refusal))
        return true;
    if (g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_EXISTS) && has_altname(net, index, altname))
        return true;
    g_propagate_error(error, g_steal_pointer(&refusal));
    return false;
}

bool hostnet_link_remove_altname(struct hostnet *net, uint32_t index, const char *altname, GError **error)
{
    g_autoptr(GError) refusal = NULL;
    g_autofree char *verb = g_strdup_printf("removing the alternative name %s of", altname ? altname : "");
    if (change_altname(net, index, altname, RTM_DELLINKPROP, 0, verb, &refusal))
        return true;
    /* The kernel says ENOENT or EINVAL for a name that this link has not. */
    if ((g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND) ||
         g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_INVALID)) &&
        hostnet_index_exists(net, index, NULL) == 1 && hostnet_altname_check(altname, NULL) &&
        !has_altname(net, index, altname))
        return true;
    g_propagate_error(error, g_steal_pointer(&refusal));
    return false;
}

/* The link is there and ours, or an error. */
static bool require_present(struct hostnet *net, const struct hostnet_link_identity *identity,
                            const char *verb, GError **error)
{
    enum hostnet_presence presence;
    if (!hostnet_link_check(net, identity, &presence, NULL, error)) {
        g_prefix_error(error, "%s %s: ", verb, identity->name);
        return false;
    }
    g_autofree char *what = hostnet_describe_link(identity->mark, identity->name);
    switch (presence) {
    case HOSTNET_PRESENT:
        return true;
    case HOSTNET_ABSENT:
        return hostnet_error_set(error, ENODEV, NULL, NULL, "%s %s", verb, what);
    case HOSTNET_FOREIGN:
        return hostnet_error_say(
            error, HOSTNET_ERROR_NOT_OURS,
            "%s %s: what has its index or name now is not ours; nothing was changed (look at "
            "it with `ip -d link`)",
            verb, what);
    }
    g_assert_not_reached();
}

bool hostnet_link_rename(struct hostnet *net, struct hostnet_link_identity *identity, const char *name,
                         GError **error)
{
    if (!hostnet_name_check(name, error) || !require_present(net, identity, "renaming", error))
        return false;
    g_autofree char *verb = g_strdup_printf("renaming to %s: link", name);
    if (!set_attribute(net, identity->index, IFLA_IFNAME, name, strlen(name) + 1, NULL, verb, error))
        return false;
    g_strlcpy(identity->name, name, sizeof identity->name);
    return true;
}

bool hostnet_link_move(struct hostnet *net, struct hostnet_link_identity *identity, struct hostnet *target,
                       GError **error)
{
    if (!require_present(net, identity, "moving", error))
        return false;
    if (hostnet_same_namespace(net, target))
        return true;
    uint32_t netns_fd = (uint32_t)hostnet_get_netns_fd(target);
    if (!set_attribute(net, identity->index, IFLA_NET_NS_FD, &netns_fd, sizeof netns_fd,
                       "its name or an alternative name may be taken there; needs CAP_NET_ADMIN in both",
                       "moving to another namespace: link", error))
        return false;
    /* It keeps its index unless that is taken over there; its name and mark it keeps always. */
    g_autoptr(hostnet_link) link = hostnet_link_find(target, identity->name, error);
    if (!link || g_strcmp0(link->mark, identity->mark) != 0) {
        if (link)
            hostnet_error_say(
                error, HOSTNET_ERROR_NOT_OURS,
                "moving %s: it was replaced right after it arrived (look at it with `ip -d link`)",
                identity->name);
        return false;
    }
    hostnet_link_get_identity(target, link, identity);
    return true;
}
