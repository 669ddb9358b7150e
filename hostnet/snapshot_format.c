/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Netlink attributes as text, driven by tables: see snapshot_internal.h. (libmnl)
 *
 * A row says what an attribute is called and what shape it has. What has no row is written as number and hex:
 * a newer kernel's attributes take part in the comparison without anybody knowing them. A row is SKIP when
 * its value changes without anybody having changed anything (counters, timers, protocol state), since a
 * snapshot is there to be compared with another one.
 *
 * Numbers and names: linux/if_link.h, if_addr.h, rtnetlink.h, fib_rules.h, neighbour.h, nf_tables.h.
 */
#include "hostnet/snapshot_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define ROWS(array)                                                                                          \
    {                                                                                                        \
        .rows = (array), .count = G_N_ELEMENTS(array)                                                        \
    }
#define HEX     HOSTNET_SHAPE_HEX
#define SKIP    HOSTNET_SHAPE_SKIP
#define HANDLE  HOSTNET_SHAPE_HANDLE
#define NUMBER  HOSTNET_SHAPE_NUMBER
#define TEXT    HOSTNET_SHAPE_TEXT
#define LINK    HOSTNET_SHAPE_LINK
#define ADDRESS HOSTNET_SHAPE_ADDRESS

/* ---- tables: links ---- */

static const struct hostnet_row bridge_rows[] = {
    [IFLA_BR_FORWARD_DELAY] = {"forward_delay", NUMBER},
    [IFLA_BR_HELLO_TIME] = {"hello_time", NUMBER},
    [IFLA_BR_MAX_AGE] = {"max_age", NUMBER},
    [IFLA_BR_AGEING_TIME] = {"ageing_time", NUMBER},
    [IFLA_BR_STP_STATE] = {"stp_state", NUMBER},
    [IFLA_BR_PRIORITY] = {"priority", NUMBER},
    [IFLA_BR_VLAN_FILTERING] = {"vlan_filtering", NUMBER},
    [IFLA_BR_VLAN_PROTOCOL] = {"vlan_protocol", HEX},
    [IFLA_BR_GROUP_FWD_MASK] = {"group_fwd_mask", NUMBER},
    [IFLA_BR_ROOT_ID] = {"root_id", SKIP},
    [IFLA_BR_BRIDGE_ID] = {"bridge_id", HEX},
    [IFLA_BR_ROOT_PORT] = {"root_port", SKIP},
    [IFLA_BR_ROOT_PATH_COST] = {"root_path_cost", SKIP},
    [IFLA_BR_TOPOLOGY_CHANGE] = {"topology_change", SKIP},
    [IFLA_BR_TOPOLOGY_CHANGE_DETECTED] = {"topology_change_detected", SKIP},
    [IFLA_BR_HELLO_TIMER] = {"hello_timer", SKIP},
    [IFLA_BR_TCN_TIMER] = {"tcn_timer", SKIP},
    [IFLA_BR_TOPOLOGY_CHANGE_TIMER] = {"topology_change_timer", SKIP},
    [IFLA_BR_GC_TIMER] = {"gc_timer", SKIP},
    [IFLA_BR_GROUP_ADDR] = {"group_addr", ADDRESS},
    [IFLA_BR_MCAST_SNOOPING] = {"mcast_snooping", NUMBER},
    [IFLA_BR_MCAST_QUERIER] = {"mcast_querier", NUMBER},
    [IFLA_BR_NF_CALL_IPTABLES] = {"nf_call_iptables", NUMBER},
    [IFLA_BR_NF_CALL_IP6TABLES] = {"nf_call_ip6tables", NUMBER},
    [IFLA_BR_NF_CALL_ARPTABLES] = {"nf_call_arptables", NUMBER},
    [IFLA_BR_VLAN_DEFAULT_PVID] = {"vlan_default_pvid", NUMBER},
    [IFLA_BR_PAD] = {"pad", SKIP},
    [IFLA_BR_MCAST_QUERIER_STATE] = {"mcast_querier_state", SKIP},
    [48] = {"fdb_n_learned", SKIP}, /* IFLA_BR_FDB_N_LEARNED, Linux 6.7 */
};
static const struct hostnet_rows bridge_table = ROWS(bridge_rows);

static const struct hostnet_row tun_rows[] = {
    [IFLA_TUN_OWNER] = {"owner", NUMBER},
    [IFLA_TUN_GROUP] = {"group", NUMBER},
    [IFLA_TUN_TYPE] = {"type", NUMBER},
    [IFLA_TUN_PI] = {"pi", NUMBER},
    [IFLA_TUN_VNET_HDR] = {"vnet_hdr", NUMBER},
    [IFLA_TUN_PERSIST] = {"persist", NUMBER},
    [IFLA_TUN_MULTI_QUEUE] = {"multi_queue", NUMBER},
    [IFLA_TUN_NUM_QUEUES] = {"queues", NUMBER},
    [IFLA_TUN_NUM_DISABLED_QUEUES] = {"disabled_queues", NUMBER},
};
static const struct hostnet_rows tun_table = ROWS(tun_rows);

static const struct hostnet_row bridge_port_rows[] = {
    [IFLA_BRPORT_STATE] = {"state", SKIP},
    [IFLA_BRPORT_PRIORITY] = {"priority", NUMBER},
    [IFLA_BRPORT_COST] = {"cost", NUMBER},
    [IFLA_BRPORT_MODE] = {"hairpin", NUMBER},
    [IFLA_BRPORT_GUARD] = {"guard", NUMBER},
    [IFLA_BRPORT_PROTECT] = {"protect", NUMBER},
    [IFLA_BRPORT_FAST_LEAVE] = {"fast_leave", NUMBER},
    [IFLA_BRPORT_LEARNING] = {"learning", NUMBER},
    [IFLA_BRPORT_UNICAST_FLOOD] = {"unicast_flood", NUMBER},
    [IFLA_BRPORT_ROOT_ID] = {"root_id", SKIP},
    [IFLA_BRPORT_BRIDGE_ID] = {"bridge_id", SKIP},
    [IFLA_BRPORT_DESIGNATED_PORT] = {"designated_port", SKIP},
    [IFLA_BRPORT_DESIGNATED_COST] = {"designated_cost", SKIP},
    [IFLA_BRPORT_ID] = {"id", SKIP},
    [IFLA_BRPORT_NO] = {"no", SKIP},
    [IFLA_BRPORT_TOPOLOGY_CHANGE_ACK] = {"topology_change_ack", SKIP},
    [IFLA_BRPORT_CONFIG_PENDING] = {"config_pending", SKIP},
    [IFLA_BRPORT_MESSAGE_AGE_TIMER] = {"message_age_timer", SKIP},
    [IFLA_BRPORT_FORWARD_DELAY_TIMER] = {"forward_delay_timer", SKIP},
    [IFLA_BRPORT_HOLD_TIMER] = {"hold_timer", SKIP},
    [IFLA_BRPORT_MULTICAST_ROUTER] = {"multicast_router", NUMBER},
    [IFLA_BRPORT_PAD] = {"pad", SKIP},
    [IFLA_BRPORT_MCAST_EHT_HOSTS_CNT] = {"mcast_hosts", SKIP},
};
static const struct hostnet_rows bridge_port_table = ROWS(bridge_port_rows);

/* Kinds whose data have a table; those of other kinds are written as hex. */
static const struct {
    const char *kind;
    const struct hostnet_rows *rows;
    const struct hostnet_rows *port_rows;
} link_kinds[] = {
    {"bridge", &bridge_table, &bridge_port_table},
    {"tun", &tun_table, NULL},
};

static const struct hostnet_row info_rows[] = {
    [IFLA_INFO_KIND] = {"kind", TEXT},
    [IFLA_INFO_DATA] = {"data", HOSTNET_SHAPE_KIND_NEST},
    [IFLA_INFO_XSTATS] = {"xstats", SKIP},
    [IFLA_INFO_SLAVE_KIND] = {"port_kind", TEXT},
    [IFLA_INFO_SLAVE_DATA] = {"port_data", HOSTNET_SHAPE_KIND_NEST},
};
static const struct hostnet_rows info_table = ROWS(info_rows);

static const struct hostnet_row inet_rows[] = {
    [IFLA_INET_CONF] = {"conf", HOSTNET_SHAPE_NUMBERS},
};
static const struct hostnet_rows inet_table = ROWS(inet_rows);

static const struct hostnet_row inet6_rows[] = {
    [IFLA_INET6_FLAGS] = {"flags", SKIP}, /* router solicitation state */
    [IFLA_INET6_CONF] = {"conf", HOSTNET_SHAPE_NUMBERS},
    [IFLA_INET6_STATS] = {"stats", SKIP},
    [IFLA_INET6_MCAST] = {"mcast", SKIP},
    [IFLA_INET6_CACHEINFO] = {"cacheinfo", SKIP}, /* reachable time is drawn at random, again and again */
    [IFLA_INET6_ICMP6STATS] = {"icmp6stats", SKIP},
    [IFLA_INET6_TOKEN] = {"token", ADDRESS},
    [IFLA_INET6_ADDR_GEN_MODE] = {"addr_gen_mode", NUMBER},
    [9] = {"ra_mtu", SKIP}, /* IFLA_INET6_RA_MTU, Linux 5.15 */
};
static const struct hostnet_rows inet6_table = ROWS(inet6_rows);

static const struct hostnet_row family_rows[] = {
    [AF_INET] = {"inet", HOSTNET_SHAPE_NEST, &inet_table},
    [AF_INET6] = {"inet6", HOSTNET_SHAPE_NEST, &inet6_table},
};
static const struct hostnet_rows family_table = ROWS(family_rows);

enum { PROP_LIST = 52, ALT_IFNAME = 53 };
static const struct hostnet_row property_rows[] = {
    [ALT_IFNAME] = {"altname", TEXT},
};
static const struct hostnet_rows property_table = ROWS(property_rows);

static const struct hostnet_row link_rows[] = {
    [IFLA_ADDRESS] = {"mac", ADDRESS},
    [IFLA_BROADCAST] = {"broadcast", ADDRESS},
    [IFLA_IFNAME] = {"name", SKIP}, /* begins the line */
    [IFLA_MTU] = {"mtu", NUMBER},
    [IFLA_LINK] = {"link", LINK},
    [IFLA_QDISC] = {"qdisc", TEXT},
    [IFLA_STATS] = {"stats", SKIP},
    [IFLA_MASTER] = {"master", LINK},
    [IFLA_TXQLEN] = {"txqlen", NUMBER},
    [IFLA_MAP] = {"map", SKIP},
    [IFLA_OPERSTATE] = {"operstate", SKIP},
    [IFLA_LINKMODE] = {"linkmode", NUMBER},
    [IFLA_LINKINFO] = {"info", HOSTNET_SHAPE_NEST, &info_table},
    [IFLA_IFALIAS] = {"alias", TEXT},
    [IFLA_AF_SPEC] = {"families", HOSTNET_SHAPE_NEST, &family_table},
    [IFLA_GROUP] = {"group", NUMBER},
    [IFLA_STATS64] = {"stats64", SKIP},
    [IFLA_PROMISCUITY] = {"promiscuity", NUMBER},
    [IFLA_NUM_TX_QUEUES] = {"tx_queues", NUMBER},
    [IFLA_NUM_RX_QUEUES] = {"rx_queues", NUMBER},
    [IFLA_CARRIER] = {"carrier", SKIP},
    [IFLA_CARRIER_CHANGES] = {"carrier_changes", SKIP},
    [IFLA_LINK_NETNSID] = {"link_netns", NUMBER},
    [IFLA_PROTO_DOWN] = {"proto_down", NUMBER},
    [IFLA_GSO_MAX_SEGS] = {"gso_max_segs", NUMBER},
    [IFLA_GSO_MAX_SIZE] = {"gso_max_size", NUMBER},
    [IFLA_PAD] = {"pad", SKIP},
    [IFLA_EVENT] = {"event", SKIP},
    [IFLA_CARRIER_UP_COUNT] = {"carrier_up_count", SKIP},
    [IFLA_CARRIER_DOWN_COUNT] = {"carrier_down_count", SKIP},
    [IFLA_MIN_MTU] = {"min_mtu", NUMBER},
    [IFLA_MAX_MTU] = {"max_mtu", NUMBER},
    [PROP_LIST] = {"properties", HOSTNET_SHAPE_NEST, &property_table},
    [54] = {"permanent_mac", ADDRESS}, /* IFLA_PERM_ADDRESS */
    [56] = {"parent_device", TEXT},    /* IFLA_PARENT_DEV_NAME */
    [57] = {"parent_bus", TEXT},       /* IFLA_PARENT_DEV_BUS_NAME */
};
const struct hostnet_rows hostnet_rows_link = ROWS(link_rows);

/* ---- tables: the rest of rtnetlink ---- */

static const struct hostnet_row address_rows[] = {
    [IFA_ADDRESS] = {"address", ADDRESS},
    [IFA_LOCAL] = {"local", ADDRESS},
    [IFA_LABEL] = {"label", TEXT},
    [IFA_BROADCAST] = {"broadcast", ADDRESS},
    [IFA_ANYCAST] = {"anycast", ADDRESS},
    [IFA_CACHEINFO] = {"lifetime", HOSTNET_SHAPE_LIFETIMES},
    [IFA_MULTICAST] = {"multicast", ADDRESS},
    [IFA_FLAGS] = {"flags", SKIP}, /* said by the line, masked */
    [IFA_RT_PRIORITY] = {"metric", NUMBER},
    [11] = {"protocol", NUMBER}, /* IFA_PROTO, Linux 5.18 */
};
const struct hostnet_rows hostnet_rows_address = ROWS(address_rows);

static const struct hostnet_row metric_rows[] = {
    [RTAX_MTU] = {"mtu", NUMBER},           [RTAX_WINDOW] = {"window", NUMBER},
    [RTAX_RTT] = {"rtt", NUMBER},           [RTAX_HOPLIMIT] = {"hoplimit", NUMBER},
    [RTAX_FEATURES] = {"features", NUMBER}, [RTAX_CC_ALGO] = {"congestion", TEXT},
};
static const struct hostnet_rows metric_table = ROWS(metric_rows);

static const struct hostnet_row route_rows[] = {
    [RTA_DST] = {"destination", SKIP}, /* begins the line */
    [RTA_SRC] = {"source", ADDRESS},
    [RTA_IIF] = {"input", LINK},
    [RTA_OIF] = {"dev", LINK},
    [RTA_GATEWAY] = {"via", ADDRESS},
    [RTA_PRIORITY] = {"metric", NUMBER},
    [RTA_PREFSRC] = {"src", ADDRESS},
    [RTA_METRICS] = {"metrics", HOSTNET_SHAPE_NEST, &metric_table},
    [RTA_MULTIPATH] = {"hops", HOSTNET_SHAPE_HOPS},
    [RTA_FLOW] = {"realm", NUMBER},
    [RTA_CACHEINFO] = {"lifetime", HOSTNET_SHAPE_EXPIRY},
    [RTA_TABLE] = {"table", SKIP}, /* said by the line */
    [RTA_MARK] = {"mark", NUMBER},
    [RTA_PREF] = {"pref", NUMBER},
    [RTA_EXPIRES] = {"expires", SKIP},
    [RTA_PAD] = {"pad", SKIP},
    [RTA_NH_ID] = {"nexthop_id", NUMBER},
};
const struct hostnet_rows hostnet_rows_route = ROWS(route_rows);

static const struct hostnet_row rule_rows[] = {
    [FRA_DST] = {"to", ADDRESS},
    [FRA_SRC] = {"from", ADDRESS},
    [FRA_IIFNAME] = {"iif", TEXT},
    [FRA_GOTO] = {"goto", NUMBER},
    [FRA_PRIORITY] = {"priority", NUMBER},
    [FRA_FWMARK] = {"fwmark", NUMBER},
    [FRA_SUPPRESS_IFGROUP] = {"suppress_ifgroup", NUMBER},
    [FRA_SUPPRESS_PREFIXLEN] = {"suppress_prefixlen", NUMBER},
    [FRA_TABLE] = {"table", NUMBER},
    [FRA_FWMASK] = {"fwmask", NUMBER},
    [FRA_OIFNAME] = {"oif", TEXT},
    [FRA_PAD] = {"pad", SKIP},
    [FRA_L3MDEV] = {"l3mdev", NUMBER},
    [FRA_PROTOCOL] = {"protocol", NUMBER},
};
const struct hostnet_rows hostnet_rows_rule = ROWS(rule_rows);

static const struct hostnet_row qdisc_rows[] = {
    [TCA_KIND] = {"kind", TEXT},       [TCA_OPTIONS] = {"options", HEX}, [TCA_STATS] = {"stats", SKIP},
    [TCA_XSTATS] = {"xstats", SKIP},   [TCA_STATS2] = {"stats2", SKIP},  [TCA_PAD] = {"pad", SKIP},
    [TCA_HW_OFFLOAD] = {"hw", NUMBER},
};
const struct hostnet_rows hostnet_rows_qdisc = ROWS(qdisc_rows);

static const struct hostnet_row neighbour_rows[] = {
    [NDA_DST] = {"address", ADDRESS},      [NDA_LLADDR] = {"mac", ADDRESS},
    [NDA_CACHEINFO] = {"cacheinfo", SKIP}, [NDA_PROBES] = {"probes", SKIP},
    [NDA_VLAN] = {"vlan", NUMBER},         [NDA_MASTER] = {"master", LINK},
    [NDA_PROTOCOL] = {"protocol", NUMBER},
};
const struct hostnet_rows hostnet_rows_neighbour = ROWS(neighbour_rows);

/* ---- tables: nf_tables ---- */

static const struct hostnet_row nft_table_rows[] = {
    [NFTA_TABLE_NAME] = {"table", TEXT}, [NFTA_TABLE_FLAGS] = {"flags", HEX},
    [NFTA_TABLE_USE] = {"chains", HEX},  [NFTA_TABLE_HANDLE] = {"handle", HANDLE},
    [NFTA_TABLE_PAD] = {"pad", SKIP},
};
const struct hostnet_rows hostnet_rows_nft_table = ROWS(nft_table_rows);

static const struct hostnet_row nft_chain_rows[] = {
    [NFTA_CHAIN_TABLE] = {"table", TEXT},  [NFTA_CHAIN_HANDLE] = {"handle", HANDLE},
    [NFTA_CHAIN_NAME] = {"chain", TEXT},   [NFTA_CHAIN_HOOK] = {"hook", HEX},
    [NFTA_CHAIN_POLICY] = {"policy", HEX}, [NFTA_CHAIN_USE] = {"rules", HEX},
    [NFTA_CHAIN_TYPE] = {"type", TEXT},    [NFTA_CHAIN_COUNTERS] = {"counters", SKIP},
    [NFTA_CHAIN_PAD] = {"pad", SKIP},      [NFTA_CHAIN_FLAGS] = {"flags", HEX},
};
const struct hostnet_rows hostnet_rows_nft_chain = ROWS(nft_chain_rows);

static const struct hostnet_row nft_rule_rows[] = {
    [NFTA_RULE_TABLE] = {"table", TEXT},
    [NFTA_RULE_CHAIN] = {"chain", TEXT},
    [NFTA_RULE_HANDLE] = {"handle", HANDLE},
    [NFTA_RULE_EXPRESSIONS] = {"expressions", HOSTNET_SHAPE_EXPRESSIONS},
    [NFTA_RULE_POSITION] = {"position", HANDLE},
    [NFTA_RULE_USERDATA] = {"userdata", HEX},
    [NFTA_RULE_PAD] = {"pad", SKIP},
};
const struct hostnet_rows hostnet_rows_nft_rule = ROWS(nft_rule_rows);

static const struct hostnet_row nft_set_rows[] = {
    [NFTA_SET_TABLE] = {"table", TEXT},     [NFTA_SET_NAME] = {"set", TEXT}, [NFTA_SET_ID] = {"id", SKIP},
    [NFTA_SET_HANDLE] = {"handle", HANDLE}, [NFTA_SET_PAD] = {"pad", SKIP},
};
const struct hostnet_rows hostnet_rows_nft_set = ROWS(nft_set_rows);

/* ---- the writer ---- */

static void append_hex(GString *line, const void *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        g_string_append_printf(line, "%02x", ((const uint8_t *)data)[i]);
}

/* Quotes what would make a line ambiguous. */
static void append_text(GString *line, const char *data, size_t length)
{
    length = strnlen(data, length);
    for (size_t i = 0; i < length; i++) {
        unsigned char character = (unsigned char)data[i];
        if (character <= ' ' || character == '\\' || character == 0x7f)
            g_string_append_printf(line, "\\x%02x", character);
        else
            g_string_append_c(line, data[i]);
    }
}

static void append_number(GString *line, const void *data, size_t length)
{
    uint64_t value = 0;
    if (length > sizeof value) {
        append_hex(line, data, length);
        return;
    }
    memcpy(&value, data, length); /* little endian, as the only machine that netlab-emu runs on */
    g_string_append_printf(line, "%" G_GUINT64_FORMAT, value);
}

static void append_address(GString *line, const void *data, size_t length)
{
    char text[INET6_ADDRSTRLEN];
    const uint8_t *octets = data;
    if (length == 4)
        g_string_append(line, inet_ntop(AF_INET, data, text, sizeof text));
    else if (length == 16)
        g_string_append(line, inet_ntop(AF_INET6, data, text, sizeof text));
    else
        for (size_t i = 0; i < length; i++)
            g_string_append_printf(line, "%s%02x", i ? ":" : "", octets[i]);
}

void hostnet_format_link(GString *line, const struct hostnet_format *format, uint32_t index)
{
    const char *name = g_hash_table_lookup(format->names, GUINT_TO_POINTER(index));
    if (name)
        append_text(line, name, strlen(name));
    else
        g_string_append_printf(line, format->flags & HOSTNET_SNAPSHOT_INDEXES ? "link-%u" : "elsewhere",
                               index);
}

static void append_hops(GString *line, const struct hostnet_format *format, const struct nlattr *attribute)
{
    int left = mnl_attr_get_payload_len(attribute);
    for (const struct rtnexthop *hop = mnl_attr_get_payload(attribute); RTNH_OK(hop, left);) {
        g_string_append(line, "(dev=");
        hostnet_format_link(line, format, (uint32_t)hop->rtnh_ifindex);
        g_string_append_printf(line, " weight=%u flags=%u", hop->rtnh_hops + 1u,
                               hop->rtnh_flags & RTNH_F_ONLINK);
        if (hop->rtnh_len > sizeof *hop)
            hostnet_format_attributes(line, format, &hostnet_rows_route, RTNH_DATA(hop),
                                      hop->rtnh_len - sizeof *hop);
        g_string_append_c(line, ')');
        left -= (int)RTNH_ALIGN(hop->rtnh_len);
        hop = RTNH_NEXT(hop);
    }
}

/* A list of {name, data}; a counter's data are its values. */
static void append_expressions(GString *line, const struct nlattr *list)
{
    const struct nlattr *element, *part;
    mnl_attr_for_each_nested(element, list)
    {
        const struct nlattr *name = NULL, *data = NULL;
        mnl_attr_for_each_nested(part, element)
        {
            if (mnl_attr_get_type(part) == NFTA_EXPR_NAME)
                name = part;
            else if (mnl_attr_get_type(part) == NFTA_EXPR_DATA)
                data = part;
        }
        if (!name)
            continue;
        const char *text = mnl_attr_get_payload(name);
        size_t length = strnlen(text, mnl_attr_get_payload_len(name));
        g_string_append_c(line, '(');
        append_text(line, text, length);
        bool is_counter = length == strlen("counter") && strncmp(text, "counter", length) == 0;
        if (data && !is_counter) {
            g_string_append_c(line, ' ');
            append_hex(line, mnl_attr_get_payload(data), mnl_attr_get_payload_len(data));
        }
        g_string_append_c(line, ')');
    }
}

static void append_lifetimes(GString *line, const struct nlattr *attribute)
{
    struct ifa_cacheinfo cache = {};
    memcpy(&cache, mnl_attr_get_payload(attribute),
           MIN(sizeof cache, (size_t)mnl_attr_get_payload_len(attribute)));
    g_string_append(line, cache.ifa_valid == UINT32_MAX ? "forever" : "finite");
    if (cache.ifa_prefered == 0)
        g_string_append(line, ",deprecated");
}

static void append_expiry(GString *line, const struct nlattr *attribute)
{
    struct rta_cacheinfo cache = {};
    memcpy(&cache, mnl_attr_get_payload(attribute),
           MIN(sizeof cache, (size_t)mnl_attr_get_payload_len(attribute)));
    g_string_append(line, cache.rta_expires ? "finite" : "forever");
}

static void append_kind_nest(GString *line, const struct hostnet_format *format,
                             const struct nlattr *attribute, const struct nlattr *kind)
{
    const void *payload = mnl_attr_get_payload(attribute);
    size_t length = mnl_attr_get_payload_len(attribute);
    bool is_port = mnl_attr_get_type(attribute) == IFLA_INFO_SLAVE_DATA;
    for (unsigned i = 0; kind && i < G_N_ELEMENTS(link_kinds); i++) {
        const char *name = link_kinds[i].kind;
        const struct hostnet_rows *rows = is_port ? link_kinds[i].port_rows : link_kinds[i].rows;
        if (rows && strlen(name) == strnlen(mnl_attr_get_payload(kind), mnl_attr_get_payload_len(kind)) &&
            memcmp(name, mnl_attr_get_payload(kind), strlen(name)) == 0) {
            g_string_append_c(line, '{');
            hostnet_format_attributes(line, format, rows, payload, length);
            g_string_append(line, " }");
            return;
        }
    }
    append_hex(line, payload, length);
}

static void append_value(GString *line, const struct hostnet_format *format, const struct hostnet_row *row,
                         const struct nlattr *attribute, const struct nlattr *previous)
{
    const void *payload = mnl_attr_get_payload(attribute);
    size_t length = mnl_attr_get_payload_len(attribute);
    switch (row->shape) {
    case HOSTNET_SHAPE_HEX:
        append_hex(line, payload, length);
        return;
    case HOSTNET_SHAPE_NUMBER:
    case HOSTNET_SHAPE_HANDLE:
        append_number(line, payload, length);
        return;
    case HOSTNET_SHAPE_TEXT:
        append_text(line, payload, length);
        return;
    case HOSTNET_SHAPE_LINK:
        hostnet_format_link(line, format, length >= 4 ? mnl_attr_get_u32(attribute) : 0);
        return;
    case HOSTNET_SHAPE_ADDRESS:
        append_address(line, payload, length);
        return;
    case HOSTNET_SHAPE_NUMBERS:
        for (size_t i = 0; i + 4 <= length; i += 4) {
            int32_t value;
            memcpy(&value, (const char *)payload + i, sizeof value);
            g_string_append_printf(line, "%s%d", i ? "," : "", value);
        }
        return;
    case HOSTNET_SHAPE_NEST:
        g_string_append_c(line, '{');
        hostnet_format_attributes(line, format, row->nested, payload, length);
        g_string_append(line, " }");
        return;
    case HOSTNET_SHAPE_KIND_NEST:
        append_kind_nest(line, format, attribute, previous);
        return;
    case HOSTNET_SHAPE_LIFETIMES:
        append_lifetimes(line, attribute);
        return;
    case HOSTNET_SHAPE_EXPIRY:
        append_expiry(line, attribute);
        return;
    case HOSTNET_SHAPE_HOPS:
        append_hops(line, format, attribute);
        return;
    case HOSTNET_SHAPE_EXPRESSIONS:
        append_expressions(line, attribute);
        return;
    case HOSTNET_SHAPE_SKIP:
    case HOSTNET_SHAPE_COUNT:
        return;
    }
}

void hostnet_format_attributes(GString *line, const struct hostnet_format *format,
                               const struct hostnet_rows *rows, const void *attributes, size_t length)
{
    static const struct hostnet_row unknown = {NULL, HOSTNET_SHAPE_HEX, NULL};
    const struct nlattr *kind = NULL;
    const struct nlattr *attribute = attributes;
    for (int left = (int)length; mnl_attr_ok(attribute, left);
         left -= MNL_ALIGN(attribute->nla_len), attribute = mnl_attr_next(attribute)) {
        uint16_t type = mnl_attr_get_type(attribute);
        const struct hostnet_row *row = type < rows->count ? &rows->rows[type] : &unknown;
        bool is_hidden = row->shape == HOSTNET_SHAPE_SKIP ||
                         (row->shape == HOSTNET_SHAPE_HANDLE && !(format->flags & HOSTNET_SNAPSHOT_INDEXES));
        if (!is_hidden) {
            if (row->name)
                g_string_append_printf(line, " %s=", row->name);
            else
                g_string_append_printf(line, " attr-%u=", type);
            append_value(line, format, row, attribute, kind);
        }
        if (rows == &info_table && (type == IFLA_INFO_KIND || type == IFLA_INFO_SLAVE_KIND))
            kind = attribute;
    }
}
