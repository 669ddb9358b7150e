/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What of a dump is told to people: routes and queueing disciplines as short texts. Two routes with the same
 * text are the same to us, whatever link they lead out by, so a NIC's routes can be compared with those of
 * the bridge that has taken them over. (libmnl) Source: linux/rtnetlink.h.
 */
#include "hostnet/address.h"
#include "hostnet/dump_internal.h"
#include "hostnet/hostnet_internal.h"

#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

static bool read_address(int family, const void *bytes, size_t length, struct hostnet_address *address)
{
    size_t size = family == AF_INET ? 4 : 16;
    if ((family != AF_INET && family != AF_INET6) || length < size)
        return false;
    *address = (struct hostnet_address){.family = (uint8_t)family};
    memcpy(address->bytes, bytes, size);
    return true;
}

/* RTA_GATEWAY, or RTA_VIA, which says its family. */
static void add_gateway(GString *text, int family, const struct nlattr *gateway, const struct nlattr *via)
{
    struct hostnet_address address;
    char buffer[HOSTNET_ADDRESS_TEXT];
    bool good = false;
    if (gateway) {
        good =
            read_address(family, mnl_attr_get_payload(gateway), mnl_attr_get_payload_len(gateway), &address);
    } else if (via && mnl_attr_get_payload_len(via) >= sizeof(struct rtvia)) {
        const struct rtvia *there = mnl_attr_get_payload(via);
        good = read_address(there->rtvia_family, there->rtvia_addr,
                            mnl_attr_get_payload_len(via) - sizeof *there, &address);
    }
    if (good)
        g_string_append_printf(text, " via %s", hostnet_address_format(&address, buffer));
}

static void add_hops(GString *text, int family, const struct nlattr *hops)
{
    int left = mnl_attr_get_payload_len(hops);
    for (const struct rtnexthop *hop = mnl_attr_get_payload(hops); RTNH_OK(hop, left);) {
        const struct nlattr *gateway = NULL, *via = NULL, *attr; /* the macro's name */
        const char *inside = (const char *)RTNH_DATA(hop);
        mnl_attr_for_each_payload((void *)(uintptr_t)inside, hop->rtnh_len - sizeof *hop)
        {
            if (mnl_attr_get_type(attr) == RTA_GATEWAY)
                gateway = attr;
            else if (mnl_attr_get_type(attr) == RTA_VIA)
                via = attr;
        }
        add_gateway(text, family, gateway, via);
        left -= (int)RTNH_ALIGN(hop->rtnh_len);
        hop = RTNH_NEXT(hop);
    }
}

static uint32_t get_u32(const struct nlattr *attribute, uint32_t otherwise)
{
    return attribute && mnl_attr_get_payload_len(attribute) >= 4 ? mnl_attr_get_u32(attribute) : otherwise;
}

/* NULL: not one that somebody has set. */
static char *describe_route(const struct nlmsghdr *message)
{
    const struct nlattr *rows[RTA_MAX + 1];
    if (message->nlmsg_type != RTM_NEWROUTE ||
        !hostnet_dump_parse(message, sizeof(struct rtmsg), rows, RTA_MAX))
        return NULL;
    const struct rtmsg *header = mnl_nlmsg_get_payload(message);
    uint32_t table = get_u32(rows[RTA_TABLE], header->rtm_table), metric = get_u32(rows[RTA_PRIORITY], 0);
    if ((header->rtm_flags & RTM_F_CLONED) || table == RT_TABLE_LOCAL ||
        header->rtm_protocol == RTPROT_KERNEL || header->rtm_protocol == RTPROT_RA ||
        header->rtm_protocol == RTPROT_REDIRECT)
        return NULL;
    g_autoptr(GString) text = g_string_new(header->rtm_type == RTN_UNICAST ? "" : "special ");
    struct hostnet_prefix to = {.length = header->rtm_dst_len};
    struct hostnet_address source;
    char buffer[HOSTNET_PREFIX_TEXT], buffer_too[HOSTNET_ADDRESS_TEXT];
    if (!header->rtm_dst_len || !rows[RTA_DST] ||
        !read_address(header->rtm_family, mnl_attr_get_payload(rows[RTA_DST]),
                      mnl_attr_get_payload_len(rows[RTA_DST]), &to.address))
        g_string_append(text, "default");
    else
        g_string_append(text, hostnet_prefix_format(&to, buffer));
    add_gateway(text, header->rtm_family, rows[RTA_GATEWAY], rows[RTA_VIA]);
    if (rows[RTA_MULTIPATH])
        add_hops(text, header->rtm_family, rows[RTA_MULTIPATH]);
    if (rows[RTA_PREFSRC] && read_address(header->rtm_family, mnl_attr_get_payload(rows[RTA_PREFSRC]),
                                          mnl_attr_get_payload_len(rows[RTA_PREFSRC]), &source))
        g_string_append_printf(text, " src %s", hostnet_address_format(&source, buffer_too));
    if (metric)
        g_string_append_printf(text, " metric %u", metric);
    if (table != RT_TABLE_MAIN)
        g_string_append_printf(text, " table %u", table);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

GHashTable *hostnet_dump_route_set(GBytes *dump)
{
    GHashTable *set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    size_t offset = 0;
    for (const struct nlmsghdr *message; (message = hostnet_dump_next(dump, &offset));) {
        char *text = describe_route(message);
        if (text)
            g_hash_table_add(set, text);
    }
    return set;
}

GBytes *hostnet_dump_filter_foreign_routes(GBytes *dump, GBytes *ours)
{
    g_autoptr(GHashTable) known = hostnet_dump_route_set(ours);
    g_autoptr(GByteArray) kept = g_byte_array_new();
    static const guint8 padding[MNL_ALIGNTO];
    size_t offset = 0;
    for (const struct nlmsghdr *message; (message = hostnet_dump_next(dump, &offset));) {
        g_autofree char *text = describe_route(message);
        if (!text || g_hash_table_contains(known, text))
            continue;
        g_byte_array_append(kept, (const guint8 *)message, message->nlmsg_len);
        g_byte_array_append(kept, padding, MNL_ALIGN(message->nlmsg_len) - message->nlmsg_len);
    }
    return g_byte_array_free_to_bytes(g_steal_pointer(&kept));
}

GHashTable *hostnet_dump_qdisc_set(GBytes *dump)
{
    GHashTable *set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    size_t offset = 0;
    for (const struct nlmsghdr *message; (message = hostnet_dump_next(dump, &offset));) {
        const struct nlattr *rows[TCA_MAX + 1];
        if (message->nlmsg_type != RTM_NEWQDISC ||
            !hostnet_dump_parse(message, sizeof(struct tcmsg), rows, TCA_MAX) || !rows[TCA_KIND])
            continue;
        g_autofree char *kind =
            g_strndup(mnl_attr_get_payload(rows[TCA_KIND]), mnl_attr_get_payload_len(rows[TCA_KIND]));
        if (strcmp(kind, "noqueue") != 0)
            g_hash_table_add(set, g_steal_pointer(&kind));
    }
    return set;
}
