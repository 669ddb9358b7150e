/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Links: reading what the kernel says of them, looking them up, checking identities, deleting. Changing and
 * making are in link_change.c and link_make.c. Theory in link.h.
 */
#include "hostnet/request_internal.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/if.h>
#include <string.h>

/* Of newer headers than some distributions have. */
enum { ATTRIBUTE_PROP_LIST = 52, ATTRIBUTE_ALT_IFNAME = 53 };
#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000
#endif

enum { USER_HZ = 100 }; /* the unit of the bridge's times; fixed by the ABI on x86 */

void hostnet_link_free(struct hostnet_link *link)
{
    if (!link)
        return;
    g_free(link->kind_name);
    g_free(link->mark);
    g_strfreev(link->altnames);
    g_free(link);
}

/* ---- MAC addresses ---- */

bool hostnet_mac_parse(const char *text, struct hostnet_mac *mac, GError **error)
{
    struct hostnet_mac value;
    bool is_good = strlen(text) == HOSTNET_MAC_TEXT - 1;
    for (unsigned i = 0; is_good && i < 6; i++) {
        int high = g_ascii_xdigit_value(text[3 * i]), low = g_ascii_xdigit_value(text[3 * i + 1]);
        is_good = high >= 0 && low >= 0 && (i == 5 || text[3 * i + 2] == ':');
        value.octets[i] = (uint8_t)(high * 16 + low);
    }
    if (!is_good)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "\"%s\" is no MAC address; write six hexadecimal pairs: 02:00:00:aa:bb:cc",
                                 text);
    *mac = value;
    return true;
}

char *hostnet_mac_format(const struct hostnet_mac *mac, char text[HOSTNET_MAC_TEXT])
{
    const uint8_t *octets = mac->octets;
    g_snprintf(text, HOSTNET_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", octets[0], octets[1], octets[2],
               octets[3], octets[4], octets[5]);
    return text;
}

/* ---- reading one message ---- */

/* Attributes come from the kernel, but a short one must not be read past its end all the same. */
static uint32_t get_u32(const struct nlattr *attribute, uint32_t otherwise)
{
    return attribute && nla_len(attribute) >= 4 ? nla_get_u32(attribute) : otherwise;
}

static uint16_t get_u16(const struct nlattr *attribute, uint16_t otherwise)
{
    return attribute && nla_len(attribute) >= 2 ? nla_get_u16(attribute) : otherwise;
}

static uint8_t get_u8(const struct nlattr *attribute, uint8_t otherwise)
{
    return attribute && nla_len(attribute) >= 1 ? nla_get_u8(attribute) : otherwise;
}

static char *get_text(const struct nlattr *attribute)
{
    return attribute ? g_strndup(nla_data(attribute), (gsize)nla_len(attribute)) : NULL;
}

static void read_bridge(struct hostnet_bridge_settings *bridge, struct nlattr *data)
{
    struct nlattr *rows[IFLA_BR_MAX + 1];
    if (nla_parse_nested(rows, IFLA_BR_MAX, data, NULL) < 0)
        return;
    bridge->stp = get_u32(rows[IFLA_BR_STP_STATE], 0) != 0;
    bridge->forward_delay = get_u32(rows[IFLA_BR_FORWARD_DELAY], 0);
    bridge->ageing = get_u32(rows[IFLA_BR_AGEING_TIME], 0) / USER_HZ;
    bridge->multicast_snooping = get_u8(rows[IFLA_BR_MCAST_SNOOPING], 0) != 0;
    bridge->vlan_filtering = get_u8(rows[IFLA_BR_VLAN_FILTERING], 0) != 0;
    bridge->group_forward_mask = get_u16(rows[IFLA_BR_GROUP_FWD_MASK], 0);
}

static bool read_tun(struct hostnet_tap_settings *tap, struct nlattr *data)
{
    struct nlattr *rows[IFLA_TUN_MAX + 1];
    if (nla_parse_nested(rows, IFLA_TUN_MAX, data, NULL) < 0)
        return false;
    tap->has_owner = rows[IFLA_TUN_OWNER] != NULL;
    tap->owner = get_u32(rows[IFLA_TUN_OWNER], 0);
    tap->has_group = rows[IFLA_TUN_GROUP] != NULL;
    tap->group = get_u32(rows[IFLA_TUN_GROUP], 0);
    tap->persistent = get_u8(rows[IFLA_TUN_PERSIST], 0) != 0;
    tap->vnet_hdr = get_u8(rows[IFLA_TUN_VNET_HDR], 0) != 0;
    tap->multi_queue = get_u8(rows[IFLA_TUN_MULTI_QUEUE], 0) != 0;
    tap->queues = get_u32(rows[IFLA_TUN_NUM_QUEUES], 0);
    enum { TYPE_TAP = 2 }; /* IFF_TAP */
    return get_u8(rows[IFLA_TUN_TYPE], 0) == TYPE_TAP;
}

static void read_kind(struct hostnet_link *link, struct nlattr *info)
{
    struct nlattr *rows[IFLA_INFO_MAX + 1] = {};
    if (!info || nla_parse_nested(rows, IFLA_INFO_MAX, info, NULL) < 0)
        return;
    link->kind_name = get_text(rows[IFLA_INFO_KIND]);
    struct nlattr *data = rows[IFLA_INFO_DATA];
    if (g_strcmp0(link->kind_name, "bridge") == 0) {
        link->kind = HOSTNET_LINK_BRIDGE;
        if (data)
            read_bridge(&link->bridge, data);
    } else if (g_strcmp0(link->kind_name, "tun") == 0) {
        link->kind = data && read_tun(&link->tap, data) ? HOSTNET_LINK_TAP : HOSTNET_LINK_TUN;
    } else if (g_strcmp0(link->kind_name, "veth") == 0) {
        link->kind = HOSTNET_LINK_VETH;
    }
    g_autofree char *port_kind = get_text(rows[IFLA_INFO_SLAVE_KIND]);
    struct nlattr *port[IFLA_BRPORT_MAX + 1];
    if (g_strcmp0(port_kind, "bridge") == 0 && rows[IFLA_INFO_SLAVE_DATA] &&
        nla_parse_nested(port, IFLA_BRPORT_MAX, rows[IFLA_INFO_SLAVE_DATA], NULL) == 0)
        link->port_state = get_u8(port[IFLA_BRPORT_STATE], 0);
}

static char **read_altnames(struct nlattr *list)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    if (list) {
        struct nlattr *entry;
        int left;
        nla_for_each_nested(entry, list, left) if (nla_type(entry) == ATTRIBUTE_ALT_IFNAME)
        {
            g_autofree char *name = get_text(entry);
            g_strv_builder_add(names, name);
        }
    }
    return g_strv_builder_end(names);
}

static void read_counters(struct hostnet_link_counters *counters, const struct nlattr *attribute)
{
    struct rtnl_link_stats64 raw = {};
    if (!attribute)
        return;
    memcpy(&raw, nla_data(attribute), MIN((size_t)nla_len(attribute), sizeof raw));
    *counters = (struct hostnet_link_counters){
        .rx_packets = raw.rx_packets,
        .tx_packets = raw.tx_packets,
        .rx_bytes = raw.rx_bytes,
        .tx_bytes = raw.tx_bytes,
        .rx_errors = raw.rx_errors,
        .tx_errors = raw.tx_errors,
        .rx_dropped = raw.rx_dropped,
        .tx_dropped = raw.tx_dropped,
        .multicast = raw.multicast,
        .collisions = raw.collisions,
    };
}

/* NULL when the message is no link. */
static struct hostnet_link *read_link(struct nlmsghdr *message)
{
    enum { HIGHEST = ATTRIBUTE_ALT_IFNAME };
    struct nlattr *rows[HIGHEST + 1];
    if (message->nlmsg_type != RTM_NEWLINK ||
        nlmsg_parse(message, sizeof(struct ifinfomsg), rows, HIGHEST, NULL) < 0 || !rows[IFLA_IFNAME])
        return NULL;
    const struct ifinfomsg *header = nlmsg_data(message);
    struct hostnet_link *link = g_new0(struct hostnet_link, 1);
    link->index = (uint32_t)header->ifi_index;
    g_autofree char *name = get_text(rows[IFLA_IFNAME]);
    g_strlcpy(link->name, name, sizeof link->name);
    link->flags = header->ifi_flags;
    link->up = (header->ifi_flags & IFF_UP) != 0;
    link->carrier = (header->ifi_flags & IFF_LOWER_UP) != 0;
    link->type = header->ifi_type;
    link->kind = header->ifi_flags & IFF_LOOPBACK ? HOSTNET_LINK_LOOPBACK : HOSTNET_LINK_OTHER;
    link->mark = get_text(rows[IFLA_IFALIAS]);
    link->altnames = read_altnames(rows[ATTRIBUTE_PROP_LIST]);
    link->operstate = get_u8(rows[IFLA_OPERSTATE], 0);
    if (rows[IFLA_ADDRESS] && nla_len(rows[IFLA_ADDRESS]) == 6) {
        link->has_mac = true;
        memcpy(link->mac.octets, nla_data(rows[IFLA_ADDRESS]), 6);
    }
    link->mtu = get_u32(rows[IFLA_MTU], 0);
    link->master = get_u32(rows[IFLA_MASTER], 0);
    link->group = get_u32(rows[IFLA_GROUP], 0);
    read_counters(&link->counters, rows[IFLA_STATS64]);
    read_kind(link, rows[IFLA_LINKINFO]);
    if (link->kind == HOSTNET_LINK_VETH)
        link->peer = get_u32(rows[IFLA_LINK], 0);
    return link;
}

/* ---- looking ---- */

static void collect_link(struct nlmsghdr *message, void *opaque)
{
    struct hostnet_link *link = read_link(message);
    if (link)
        g_ptr_array_add(opaque, link);
}

static void forget_links(void *opaque)
{
    g_ptr_array_set_size(opaque, 0);
}

static int compare_links(const void *a, const void *b)
{
    uint32_t left = (*(struct hostnet_link *const *)a)->index,
             right = (*(struct hostnet_link *const *)b)->index;
    return (left > right) - (left < right);
}

GPtrArray *hostnet_link_list(struct hostnet *net, GError **error)
{
    g_autoptr(GPtrArray) links = g_ptr_array_new_with_free_func((GDestroyNotify)hostnet_link_free);
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
    if (!hostnet_request_dump(net, RTM_GETLINK, &header, sizeof header, collect_link, forget_links, links,
                              "listing links", error))
        return NULL;
    g_ptr_array_sort(links, compare_links);
    return g_steal_pointer(&links);
}

GPtrArray *hostnet_link_list_marked(struct hostnet *net, const char *lab, GError **error)
{
    GPtrArray *links = hostnet_link_list(net, error);
    for (unsigned i = 0; links && i < links->len;) {
        const struct hostnet_link *link = links->pdata[i];
        g_autofree char *its_lab = NULL;
        if (link->mark && hostnet_mark_parse(link->mark, &its_lab, NULL) &&
            (!lab || strcmp(lab, its_lab) == 0))
            i++;
        else
            g_ptr_array_remove_index(links, i);
    }
    return links;
}

static void take_link(struct nlmsghdr *message, void *opaque)
{
    struct hostnet_link **link = opaque;
    if (!*link)
        *link = read_link(message);
}

static int fetch_link_once(struct hostnet *net, uint32_t index, const char *name, struct hostnet_link **link,
                           GError **error)
{
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
    struct nl_msg *message = hostnet_message_new(RTM_GETLINK, 0, &header, sizeof header);
    if (name)
        hostnet_put_string(message, strlen(name) <= HOSTNET_NAME_MAX ? IFLA_IFNAME : ATTRIBUTE_ALT_IFNAME,
                           name);
    *link = NULL;
    int result = hostnet_request_get(net, message, take_link, link, error);
    if (result != 0)
        g_clear_pointer(link, hostnet_link_free);
    return result == 0 && !*link ? ENODEV : result;
}

/* 0, a positive errno, or -1 with `error`. That an index is free is asked twice: what is gone is forgotten,
 * and its identity with it. */
static int fetch_link(struct hostnet *net, uint32_t index, const char *name, struct hostnet_link **link,
                      GError **error)
{
    int result = fetch_link_once(net, index, name, link, error);
    return result == ENODEV && index ? fetch_link_once(net, index, name, link, error) : result;
}

int hostnet_index_exists(struct hostnet *net, uint32_t index, GError **error)
{
    g_autoptr(hostnet_link) link = NULL;
    int result = fetch_link(net, index, NULL, &link, error);
    if (result > 0 && result != ENODEV)
        hostnet_error_set(error, result, NULL, NULL, "looking for link %u", index);
    return result == 0 ? 1 : result == ENODEV ? 0 : -1;
}

struct hostnet_link *hostnet_link_get(struct hostnet *net, uint32_t index, GError **error)
{
    struct hostnet_link *link;
    /* Index 0 would make the kernel look for a name instead. */
    int result = index ? fetch_link(net, index, NULL, &link, error) : ENODEV;
    if (result == 0)
        return link;
    if (result > 0)
        hostnet_error_set(error, result, NULL, NULL, "looking for link %u", index);
    return NULL;
}

struct hostnet_link *hostnet_link_find(struct hostnet *net, const char *name, GError **error)
{
    struct hostnet_link *link;
    if (!hostnet_altname_check(name, error))
        return NULL;
    int result = fetch_link(net, 0, name, &link, error);
    /* A kernel without alternative names calls a long name invalid. */
    if (result == EINVAL && strlen(name) > HOSTNET_NAME_MAX)
        result = ENODEV;
    if (result == 0)
        return link;
    if (result > 0)
        hostnet_error_set(error, result, NULL, NULL, "looking for link %s", name);
    return NULL;
}

struct hostnet_link *hostnet_link_find_mark(struct hostnet *net, const char *mark, GError **error)
{
    g_autoptr(GPtrArray) links = hostnet_link_list(net, error);
    if (!links)
        return NULL;
    g_autoptr(GString) names = g_string_new(NULL);
    unsigned found = 0, at = 0;
    for (unsigned i = 0; i < links->len; i++) {
        const struct hostnet_link *link = links->pdata[i];
        if (g_strcmp0(link->mark, mark) != 0)
            continue;
        g_string_append_printf(names, "%s%s", found++ ? ", " : "", link->name);
        at = i;
    }
    if (found == 1)
        return g_ptr_array_steal_index(links, at);
    if (found)
        hostnet_error_say(error, HOSTNET_ERROR_BUSY,
                          "several links carry the mark %s: %s (remove the ones that are not wanted by hand)",
                          mark, names->str);
    else
        hostnet_error_say(error, HOSTNET_ERROR_NOT_FOUND,
                          "no link carries the mark %s (it is gone; `ip -d link` shows what is there)", mark);
    return NULL;
}

/* ---- identity ---- */

void hostnet_link_get_identity(struct hostnet *net, const struct hostnet_link *link,
                               struct hostnet_link_identity *identity)
{
    *identity = (struct hostnet_link_identity){.index = link->index, .netns = net->netns_cookie};
    g_strlcpy(identity->name, link->name, sizeof identity->name);
    g_strlcpy(identity->mark, link->mark ? link->mark : "", sizeof identity->mark);
    g_strlcpy(identity->boot_id, net->boot_id, sizeof identity->boot_id);
}

static bool is_same(const struct hostnet_link_identity *identity, const struct hostnet_link *link)
{
    return link->index == identity->index && strcmp(link->name, identity->name) == 0 && link->mark &&
           strcmp(link->mark, identity->mark) == 0;
}

bool hostnet_link_check(struct hostnet *net, const struct hostnet_link_identity *identity,
                        enum hostnet_presence *presence, struct hostnet_link **link, GError **error)
{
    if (link)
        *link = NULL;
    if (strcmp(identity->boot_id, net->boot_id) != 0) {
        *presence = HOSTNET_ABSENT;
        return true;
    }
    if (identity->netns != net->netns_cookie)
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID,
            "link %s is in another network namespace than the one at hand; open that one", identity->name);
    g_autoptr(hostnet_link) found = NULL;
    int result = identity->index ? fetch_link(net, identity->index, NULL, &found, error) : ENODEV;
    if (result == 0) {
        /* A link of the host's own has no mark, and its identity says so; such a one is never deleted. */
        bool is_ours = is_same(identity, found) ||
                       (!identity->mark[0] && !found->mark && strcmp(identity->name, found->name) == 0);
        *presence = is_ours ? HOSTNET_PRESENT : HOSTNET_FOREIGN;
        if (is_ours && link)
            *link = g_steal_pointer(&found);
        return true;
    }
    if (result == ENODEV) {
        result = fetch_link(net, 0, identity->name, &found, error);
        *presence = result == 0 ? HOSTNET_FOREIGN : HOSTNET_ABSENT;
    }
    if (result == 0 || result == ENODEV)
        return true;
    if (result > 0)
        hostnet_error_set(error, result, NULL, NULL, "looking for link %s", identity->name);
    return false;
}

bool hostnet_link_delete(struct hostnet *net, const struct hostnet_link_identity *identity, GError **error)
{
    if (!hostnet_mark_check(identity->mark, error))
        return false;
    if (strcmp(identity->boot_id, net->boot_id) != 0)
        return true;
    g_autofree char *what = hostnet_describe_link(identity->mark, identity->name);
    if (identity->netns != net->netns_cookie)
        return hostnet_error_say(error, HOSTNET_ERROR_NOT_OURS,
                                 "deleting link %s: it is in another network namespace than the one at hand; "
                                 "nothing was deleted",
                                 what);
    g_autoptr(hostnet_link) link = NULL;
    int result = identity->index ? fetch_link(net, identity->index, NULL, &link, error) : ENODEV;
    if (result == ENODEV)
        return true;
    if (result != 0) {
        if (result > 0)
            hostnet_error_set(error, result, NULL, NULL, "deleting link %s", what);
        return false;
    }
    if (!is_same(identity, link))
        return hostnet_error_say(
            error, HOSTNET_ERROR_NOT_OURS,
            "deleting link %s: index %u is now %s with the mark \"%s\", not ours with \"%s\"; "
            "nothing was deleted (look at it with `ip -d link show %s`, remove it by hand if "
            "it is not wanted)",
            what, identity->index, link->name, link->mark ? link->mark : "", identity->mark, link->name);
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)identity->index};
    hostnet_auto_batch batch = {};
    hostnet_batch_add(&batch, RTM_DELLINK, 0, &header, sizeof header);
    hostnet_batch_tolerate(&batch, ENODEV); /* somebody was quicker, if it is gone */
    if (!hostnet_batch_do(net, &batch, error, NULL, "deleting link %s", what))
        return false;
    if (!batch.requests[0].error_number)
        return true;
    g_autoptr(hostnet_link) still = NULL;
    result = fetch_link(net, identity->index, NULL, &still, error);
    if (result == 0 && is_same(identity, still))
        return hostnet_error_set(error, EBUSY, NULL, NULL, "deleting link %s", what);
    if (result > 0 && result != ENODEV)
        hostnet_error_set(error, result, NULL, NULL, "deleting link %s", what);
    return result == 0 || result == ENODEV;
}

bool hostnet_link_delete_group(struct hostnet *net, uint32_t group, const char *lab, GError **error)
{
    g_autoptr(GPtrArray) links = hostnet_link_list(net, error);
    unsigned ours = 0;
    if (!links)
        return false;
    /* Group 0 is that of every link that has none. */
    if (!group)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "group 0 cannot be deleted; give links a group");
    for (unsigned i = 0; i < links->len; i++) {
        const struct hostnet_link *link = links->pdata[i];
        g_autofree char *its_lab = NULL;
        if (link->group != group)
            continue;
        if (!hostnet_mark_parse(link->mark, &its_lab, NULL) || strcmp(its_lab, lab) != 0)
            return hostnet_error_say(
                error, HOSTNET_ERROR_NOT_OURS,
                "deleting the links of lab %s: %s is in their group %u and not marked as "
                "theirs; nothing was deleted (take it out: `ip link set %s group default`)",
                lab, link->name, group, link->name);
        ours++;
    }
    if (!ours)
        return true;
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
    hostnet_auto_batch batch = {};
    struct nl_msg *message = hostnet_batch_add(&batch, RTM_DELLINK, 0, &header, sizeof header);
    hostnet_put_u32(message, IFLA_GROUP, group);
    hostnet_batch_tolerate(&batch, ENODEV);
    return hostnet_batch_do(net, &batch, error, NULL, "deleting the links of lab %s", lab);
}
