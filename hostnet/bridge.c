/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Bridges: make, change, ports, forwarding database. See bridge.h.
 *
 * Settings that a kernel was built without (VLAN filtering) are refused by newer ones and dropped silently by
 * older ones; so what was asked for is read back. Attributes: linux/if_link.h, IFLA_BR_*; times in 1/100 s.
 */
#include "hostnet/bridge.h"
#include "hostnet/link_internal.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

enum {
    USER_HZ = 100,
    FORWARD_DELAY_LOWEST = 2 * USER_HZ,
    FORWARD_DELAY_HIGHEST = 30 * USER_HZ,
    AGEING_HIGHEST = 1000000,      /* seconds; IEEE 802.1D's own maximum */
    GROUP_FORWARD_RESTRICTED = 0x7 /* STP, pause, LACP: 802.1D says never */
};

void hostnet_mac_derive(const char *text, struct hostnet_mac *mac)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, (const guchar *)text, (gssize)strlen(text));
    uint8_t digest[32];
    gsize length = sizeof digest;
    g_checksum_get_digest(sum, digest, &length);
    memcpy(mac->octets, digest, 6);
    mac->octets[0] = (uint8_t)((mac->octets[0] & 0xfc) | 0x02); /* locally administered, unicast */
}

static bool check_spec(const struct hostnet_bridge_spec *spec, GError **error)
{
    if (spec->stp && spec->forward_delay &&
        (spec->forward_delay < FORWARD_DELAY_LOWEST || spec->forward_delay > FORWARD_DELAY_HIGHEST))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "a forward delay of %u/100 s is out of range; with STP it is %d to %d",
                                 spec->forward_delay, FORWARD_DELAY_LOWEST, FORWARD_DELAY_HIGHEST);
    if (spec->ageing > AGEING_HIGHEST)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "an ageing time of %u s is out of range; use 10 to %d (0: the default)",
                                 spec->ageing, AGEING_HIGHEST);
    if (spec->group_forward_mask & GROUP_FORWARD_RESTRICTED)
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID,
            "group forward mask 0x%x: STP, pause and LACP frames (bits 0 to 2) are never "
            "forwarded; leave them out",
            spec->group_forward_mask);
    return true;
}

static void fill_bridge(struct nl_msg *message, const void *opaque)
{
    const struct hostnet_bridge_spec *spec = opaque;
    /* The delay first: the kernel checks its range only while STP is on. */
    hostnet_put_u32(message, IFLA_BR_FORWARD_DELAY,
                    !spec->stp            ? 0
                    : spec->forward_delay ? spec->forward_delay
                                          : 15 * USER_HZ);
    hostnet_put_u32(message, IFLA_BR_STP_STATE, spec->stp);
    if (spec->ageing)
        hostnet_put_u32(message, IFLA_BR_AGEING_TIME, spec->ageing * USER_HZ);
    hostnet_put_u8(message, IFLA_BR_MCAST_SNOOPING, spec->multicast_snooping);
    if (spec->vlan_filtering)
        hostnet_put_u8(message, IFLA_BR_VLAN_FILTERING, 1);
    if (spec->group_forward_mask)
        hostnet_put_u16(message, IFLA_BR_GROUP_FWD_MASK, spec->group_forward_mask);
}

static bool refuse_vlan_filtering(const char *name, GError **error)
{
    return hostnet_error_say(error, HOSTNET_ERROR_UNSUPPORTED,
                             "bridge %s: this kernel has no VLAN filtering in bridges "
                             "(CONFIG_BRIDGE_VLAN_FILTERING); leave it off, or use one bridge for each VLAN",
                             name);
}

/* Did the kernel do what older ones silently leave out? */
static bool check_made(struct hostnet *net, uint32_t index, const struct hostnet_bridge_spec *spec,
                       GError **error)
{
    if (!spec->vlan_filtering)
        return true;
    g_autoptr(hostnet_link) link = hostnet_link_get(net, index, error);
    if (!link)
        return false;
    return link->bridge.vlan_filtering || refuse_vlan_filtering(link->name, error);
}

bool hostnet_bridge_create(struct hostnet *net, const struct hostnet_bridge_spec *spec,
                           struct hostnet_link_identity *identity, GError **error)
{
    if (!hostnet_link_spec_check(&spec->link, "bridge", error))
        return false;
    if (!check_spec(spec, error)) {
        g_prefix_error(error, "creating bridge %s: ", spec->link.name);
        return false;
    }
    struct hostnet_link_spec link = spec->link;
    struct hostnet_mac derived;
    if (!link.mac) {
        hostnet_mac_derive(link.mark, &derived);
        link.mac = &derived;
    }
    struct hostnet_link_identity made;
    g_autoptr(GError) refusal = NULL;
    if (!hostnet_link_make(net, &link, "bridge", fill_bridge, spec, true, &made, &refusal)) {
        if (spec->vlan_filtering && g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_UNSUPPORTED)) {
            refuse_vlan_filtering(link.name, error);
            g_prefix_error(error, "creating ");
        } else {
            g_propagate_error(error, g_steal_pointer(&refusal));
        }
        return false;
    }
    if (!check_made(net, made.index, spec, error)) {
        hostnet_link_unmake(net, made.index);
        g_prefix_error(error, "creating ");
        return false;
    }
    if (identity)
        *identity = made;
    return true;
}

/* The link, which must be a bridge. */
static struct hostnet_link *get_bridge(struct hostnet *net, uint32_t index, GError **error)
{
    g_autoptr(hostnet_link) link = hostnet_link_get(net, index, error);
    if (link && link->kind != HOSTNET_LINK_BRIDGE) {
        hostnet_error_say(error, HOSTNET_ERROR_INVALID, "link %s is no bridge but %s; name a bridge",
                          link->name, link->kind_name ? link->kind_name : "a NIC");
        return NULL;
    }
    return g_steal_pointer(&link);
}

bool hostnet_bridge_set(struct hostnet *net, uint32_t bridge, const struct hostnet_bridge_spec *spec,
                        GError **error)
{
    g_autoptr(hostnet_link) link = get_bridge(net, bridge, error);
    if (!link || !check_spec(spec, error))
        return false;
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)bridge};
    hostnet_auto_batch batch = {};
    struct nl_msg *message = hostnet_batch_add(&batch, RTM_NEWLINK, 0, &header, sizeof header);
    if (spec->link.mac)
        hostnet_put(message, IFLA_ADDRESS, spec->link.mac->octets, 6);
    if (spec->link.mtu)
        hostnet_put_u32(message, IFLA_MTU, spec->link.mtu);
    struct nlattr *info = hostnet_nest_begin(message, IFLA_LINKINFO);
    hostnet_put_string(message, IFLA_INFO_KIND, "bridge");
    struct nlattr *data = hostnet_nest_begin(message, IFLA_INFO_DATA);
    /* Off first when it is on now, or a delay of 0 would be out of range. */
    if (!spec->stp && link->bridge.stp)
        hostnet_put_u32(message, IFLA_BR_STP_STATE, 0);
    hostnet_nest_end(message, data);
    hostnet_nest_end(message, info);

    message = hostnet_batch_add(&batch, RTM_NEWLINK, 0, &header, sizeof header);
    info = hostnet_nest_begin(message, IFLA_LINKINFO);
    hostnet_put_string(message, IFLA_INFO_KIND, "bridge");
    data = hostnet_nest_begin(message, IFLA_INFO_DATA);
    fill_bridge(message, spec);
    if (!spec->ageing)
        hostnet_put_u32(message, IFLA_BR_AGEING_TIME, 300 * USER_HZ);
    if (!spec->vlan_filtering && link->bridge.vlan_filtering)
        hostnet_put_u8(message, IFLA_BR_VLAN_FILTERING, 0);
    if (!spec->group_forward_mask)
        hostnet_put_u16(message, IFLA_BR_GROUP_FWD_MASK, 0);
    hostnet_nest_end(message, data);
    hostnet_nest_end(message, info);
    g_autofree char *what = hostnet_describe_link(link->mark, link->name);
    return hostnet_batch_do(net, &batch, error, NULL, "changing bridge %s", what) &&
           check_made(net, bridge, spec, error);
}

/* ---- ports ---- */

static char *describe_port(const struct hostnet_link *port)
{
    return hostnet_describe_link(port->mark, port->name);
}

bool hostnet_bridge_add_port(struct hostnet *net, uint32_t bridge, uint32_t port, GError **error)
{
    g_autoptr(hostnet_link) bridge_link = get_bridge(net, bridge, error);
    g_autoptr(hostnet_link) port_link = bridge_link ? hostnet_link_get(net, port, error) : NULL;
    if (!port_link) {
        g_prefix_error(error, "adding a port to a bridge: ");
        return false;
    }
    if (port_link->master == bridge)
        return true;
    g_autofree char *port_text = describe_port(port_link), *bridge_text = describe_port(bridge_link);
    if (port_link->master) {
        /* The kernel would take it out of there without a word. */
        g_autoptr(hostnet_link) other = hostnet_link_get(net, port_link->master, NULL);
        g_autofree char *other_text = other ? describe_port(other) : g_strdup("another link");
        return hostnet_error_say(
            error, HOSTNET_ERROR_BUSY,
            "adding port %s to bridge %s: it is in %s already (take it out of there first)", port_text,
            bridge_text, other_text);
    }
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)port};
    hostnet_auto_batch batch = {};
    struct nl_msg *message = hostnet_batch_add(&batch, RTM_SETLINK, 0, &header, sizeof header);
    hostnet_put_u32(message, IFLA_MASTER, bridge);
    g_autoptr(GError) cause = NULL;
    if (hostnet_batch_do(net, &batch, &cause, NULL, "adding port %s to bridge %s", port_text, bridge_text))
        return true;
    if (g_error_matches(cause, HOSTNET_ERROR, HOSTNET_ERROR_BUSY))
        return hostnet_error_set(error, EBUSY, NULL,
                                 "macvlan, macvtap or ipvlan interfaces on it keep it from being a port; "
                                 "`ip -d link` shows them",
                                 "adding port %s to bridge %s", port_text, bridge_text);
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

bool hostnet_bridge_remove_port(struct hostnet *net, uint32_t bridge, uint32_t port, GError **error)
{
    g_autoptr(GError) lookup = NULL;
    g_autoptr(hostnet_link) port_link = hostnet_link_get(net, port, &lookup);
    if (!port_link) {
        if (g_error_matches(lookup, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND))
            return true;
        g_propagate_prefixed_error(error, g_steal_pointer(&lookup), "taking a port out of a bridge: ");
        return false;
    }
    if (port_link->master != bridge)
        return true;
    struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = (int)port};
    hostnet_auto_batch batch = {};
    struct nl_msg *message = hostnet_batch_add(&batch, RTM_SETLINK, 0, &header, sizeof header);
    hostnet_put_u32(message, IFLA_MASTER, 0);
    hostnet_batch_tolerate(&batch, ENODEV);
    g_autofree char *port_text = describe_port(port_link);
    if (!hostnet_batch_do(net, &batch, error, NULL, "taking port %s out of its bridge", port_text))
        return false;
    if (!batch.requests[0].error_number)
        return true;
    g_autoptr(hostnet_link) still = hostnet_link_get(net, port, NULL);
    return !still || still->master != bridge ||
           hostnet_error_set(error, EBUSY, NULL, NULL, "taking port %s out of its bridge", port_text);
}

GPtrArray *hostnet_bridge_list_ports(struct hostnet *net, uint32_t bridge, GError **error)
{
    g_autoptr(hostnet_link) link = get_bridge(net, bridge, error);
    GPtrArray *links = link ? hostnet_link_list(net, error) : NULL;
    for (unsigned i = 0; links && i < links->len;)
        if (((struct hostnet_link *)links->pdata[i])->master == bridge)
            i++;
        else
            g_ptr_array_remove_index(links, i);
    return links;
}

/* ---- forwarding database ---- */

struct entry_search {
    uint32_t bridge;
    GArray *entries;
};

static void collect_entry(struct nlmsghdr *message, void *opaque)
{
    struct entry_search *search = opaque;
    struct nlattr *rows[NDA_MAX + 1];
    if (message->nlmsg_type != RTM_NEWNEIGH ||
        nlmsg_parse(message, sizeof(struct ndmsg), rows, NDA_MAX, NULL) < 0)
        return;
    const struct ndmsg *header = nlmsg_data(message);
    uint32_t master = rows[NDA_MASTER] && nla_len(rows[NDA_MASTER]) >= 4 ? nla_get_u32(rows[NDA_MASTER]) : 0;
    /* The bridge's own MACs have the bridge as link and no master. */
    bool is_in = master == search->bridge || (!master && (uint32_t)header->ndm_ifindex == search->bridge);
    if (header->ndm_family != AF_BRIDGE || !is_in || !rows[NDA_LLADDR] || nla_len(rows[NDA_LLADDR]) != 6)
        return;
    struct hostnet_bridge_entry entry = {.port = (uint32_t)header->ndm_ifindex,
                                         .is_permanent = (header->ndm_state & NUD_PERMANENT) != 0};
    memcpy(entry.mac.octets, nla_data(rows[NDA_LLADDR]), 6);
    if (rows[NDA_CACHEINFO] && (size_t)nla_len(rows[NDA_CACHEINFO]) >= sizeof(struct nda_cacheinfo)) {
        struct nda_cacheinfo cache;
        memcpy(&cache, nla_data(rows[NDA_CACHEINFO]), sizeof cache);
        entry.age = cache.ndm_used / USER_HZ;
    }
    g_array_append_val(search->entries, entry);
}

static void forget_entries(void *opaque)
{
    g_array_set_size(((struct entry_search *)opaque)->entries, 0);
}

static int compare_entries(const void *a, const void *b)
{
    const struct hostnet_bridge_entry *left = a, *right = b;
    if (left->port != right->port)
        return left->port < right->port ? -1 : 1;
    return memcmp(left->mac.octets, right->mac.octets, 6);
}

GArray *hostnet_bridge_list_entries(struct hostnet *net, uint32_t bridge, GError **error)
{
    g_autoptr(hostnet_link) link = get_bridge(net, bridge, error);
    if (!link)
        return NULL;
    g_autoptr(GArray) entries = g_array_new(FALSE, TRUE, sizeof(struct hostnet_bridge_entry));
    struct entry_search search = {.bridge = bridge, .entries = entries};
    struct ndmsg header = {.ndm_family = AF_BRIDGE};
    if (!hostnet_request_dump(net, RTM_GETNEIGH, &header, sizeof header, collect_entry, forget_entries,
                              &search, "listing the forwarding database", error))
        return NULL;
    g_array_sort(entries, compare_entries);
    return g_steal_pointer(&entries);
}
