/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See topology_six.h.
 *
 * A NIC whose IPv6 address is left open gets the one of the same number as its IPv4 address: 10.1.0.7 in
 * 10.1.0.0/24 is fd00:1::7 in fd00:1::/64. Where that is taken, or there is none, the lowest free one. So are
 * gateways and the lab's own side. `subnet6: auto` is a unique local /64 (RFC 4193) by hash of the lab's and
 * the network's name, so that two labs do not have the same.
 */
#include "netlab/topology_six.h"

#include <arpa/inet.h>
#include <string.h>

enum { LEAST_LENGTH = 16, MOST_LENGTH = 127, LEAST_MTU = 1280, SLAAC_LENGTH = 64, TRIES = 1 << 16 };

/* ---- values ---- */

bool ipv6_parse(const char *text, struct ipv6_prefix *out)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    struct ipv6_prefix prefix = {.length = IPV6_NO_LENGTH};
    guint64 bits;
    if (length >= sizeof address)
        return false;
    memcpy(address, text, length);
    address[length] = '\0';
    if (inet_pton(AF_INET6, address, prefix.bytes) != 1)
        return false;
    if (slash) {
        if (!g_ascii_string_to_unsigned(slash + 1, 10, 0, 128, &bits, NULL))
            return false;
        prefix.length = (uint8_t)bits;
    }
    *out = prefix;
    return true;
}

char *ipv6_format_plain(const struct ipv6_prefix *prefix)
{
    char text[INET6_ADDRSTRLEN];
    return g_strdup(inet_ntop(AF_INET6, prefix->bytes, text, sizeof text));
}

char *ipv6_format(const struct ipv6_prefix *prefix)
{
    g_autofree char *plain = ipv6_format_plain(prefix);
    return prefix->length == IPV6_NO_LENGTH ? g_steal_pointer(&plain)
                                            : g_strdup_printf("%s/%u", plain, prefix->length);
}

static bool equal_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(a, b, whole) == 0 && (!rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

bool ipv6_contains(const struct ipv6_prefix *subnet, const struct ipv6_prefix *address)
{
    return equal_bits(subnet->bytes, address->bytes, subnet->length);
}

bool ipv6_is_same(const struct ipv6_prefix *a, const struct ipv6_prefix *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool ipv6_is_network(const struct ipv6_prefix *prefix)
{
    for (unsigned bit = prefix->length; bit < 128; bit++)
        if (prefix->bytes[bit / 8] >> (7 - bit % 8) & 1)
            return false;
    return true;
}

/* subnet + number, the host bits that there are. */
static struct ipv6_prefix number_in(const struct ipv6_prefix *subnet, uint32_t number)
{
    struct ipv6_prefix result = *subnet;
    for (unsigned i = 0; i < 4; i++)
        result.bytes[15 - i] |= (uint8_t)(number >> (8 * i));
    return result;
}

static bool fits(const struct ipv6_prefix *subnet, uint32_t number)
{
    unsigned bits = 128u - subnet->length;
    bool has_zero = subnet->length == 127; /* RFC 6164; otherwise that is the routers' anycast address */
    return (number || has_zero) && (bits >= 32 || number < 1u << bits);
}

static bool is_local(const struct ipv6_prefix *address)
{
    static const uint8_t zeros[16];
    return address->bytes[0] == 0xff || (address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80) ||
           memcmp(address->bytes, zeros, 15) == 0;
}

/* ---- subnets ---- */

static void choose_subnet(const struct topology *topology, struct topology_network *network)
{
    g_autofree char *seed = g_strdup_printf("%s\n%s", topology->name, network->name);
    g_autoptr(GChecksum) hash = g_checksum_new(G_CHECKSUM_SHA256);
    guint8 digest[32];
    gsize length = sizeof digest;
    g_checksum_update(hash, (const guchar *)seed, -1);
    g_checksum_get_digest(hash, digest, &length);
    network->subnet6 = (struct ipv6_prefix){.length = SLAAC_LENGTH};
    network->subnet6.bytes[0] = 0xfd;
    memcpy(network->subnet6.bytes + 1, digest, 7);
}

static bool check_subnet(const struct topology *topology, struct topology_network *network,
                         struct topology_report *report)
{
    if (network->auto_subnet6)
        choose_subnet(topology, network);
    g_autofree char *text = ipv6_format(&network->subnet6);
    const char *why = NULL;
    if (network->subnet6.length < LEAST_LENGTH || network->subnet6.length > MOST_LENGTH ||
        is_local(&network->subnet6))
        why = "cannot be the IPv6 subnet of a network; use one from /16 to /127, like fd00:1::/64";
    else if (network->uplink == TOPOLOGY_UPLINK_USER && network->subnet6.length != SLAAC_LENGTH)
        why = "cannot be that of user networking, which needs a /64";
    else if (network->uplink == TOPOLOGY_UPLINK_USER && !network->has_subnet)
        why = "needs an IPv4 subnet beside it";
    if (why)
        topology_complain(report, network->subnet6_mark, "%s %s", text, why);
    else if (network->mtu < LEAST_MTU)
        topology_complain(report, network->mtu_mark.line ? network->mtu_mark : network->subnet6_mark,
                          "IPv6 needs an MTU of %d bytes, and network \"%s\" has %u; remove \"subnet6\" or "
                          "raise \"mtu\"",
                          LEAST_MTU, network->name, network->mtu);
    return !why && network->mtu >= LEAST_MTU;
}

/* ---- addresses ---- */

/* Addresses that are given, of one network. */
struct claims {
    GHashTable *owners; /* text → "node \"h1\"" */
};

static bool claim(struct claims *claims, const struct ipv6_prefix *address, const char *what)
{
    char *text = ipv6_format_plain(address);
    if (g_hash_table_contains(claims->owners, text)) {
        g_free(text);
        return false;
    }
    g_hash_table_insert(claims->owners, text, g_strdup(what));
    return true;
}

static void check_given(const struct topology_network *network, struct ipv6_prefix *address,
                        struct topology_mark mark, const char *what, struct claims *claims,
                        struct topology_report *report)
{
    g_autofree char *text = ipv6_format(address), *plain = ipv6_format_plain(address);
    if (!network->has_subnet6 && address->length == IPV6_NO_LENGTH) {
        topology_complain(report, mark,
                          "%s needs a prefix length because network \"%s\" has no \"subnet6\"; write %s/64",
                          text, network->name, plain);
        return;
    }
    if (network->has_subnet6) {
        g_autofree char *subnet = ipv6_format(&network->subnet6);
        if (!ipv6_contains(&network->subnet6, address) ||
            (address->length != IPV6_NO_LENGTH && address->length != network->subnet6.length)) {
            topology_complain(report, mark, "%s does not fit the subnet %s of \"%s\"", text, subnet,
                              network->name);
            return;
        }
        address->length = network->subnet6.length;
    }
    if (is_local(address) || (address->length < 127 && ipv6_is_network(address)))
        topology_complain(report, mark,
                          "%s is not an address that a NIC can be given; use one like fd00:1::7", text);
    else if (!claim(claims, address, what))
        topology_complain(report, mark, "%s is already the address of %s; give %s another one", text,
                          (const char *)g_hash_table_lookup(claims->owners, plain), what);
}

/* The number of an IPv4 address in its subnet; 0: none. */
static uint32_t number_of(const struct topology_network *network, uint32_t address)
{
    return network->has_subnet && ipv4_contains(network->subnet, address) ? address - network->subnet.address
                                                                          : 0;
}

/* That number, or the lowest that is free. */
static bool choose(const struct topology_network *network, uint32_t number, const char *what,
                   struct claims *claims, struct ipv6_prefix *address)
{
    *address = number_in(&network->subnet6, number);
    if (number && fits(&network->subnet6, number) && claim(claims, address, what))
        return true;
    for (uint32_t next = network->subnet6.length != 127; next < TRIES && fits(&network->subnet6, next);
         next++) {
        *address = number_in(&network->subnet6, next);
        if (claim(claims, address, what))
            return true;
    }
    return false;
}

static void choose_nic(struct topology_node *node, struct topology_nic *nic, struct claims *claims,
                       struct topology_report *report)
{
    bool has_four = nic->has_address || nic->is_reserved;
    uint32_t number = has_four ? number_of(nic->network, nic->address.address) : 0;
    nic->has_address6 = choose(nic->network, number, node->name, claims, &nic->address6);
    if (!nic->has_address6)
        topology_complain(
            report, nic->mark,
            "no IPv6 address is left for node \"%s\" on network \"%s\"; use a larger \"subnet6\"", node->name,
            nic->network->name);
}

/* The gateway's, or that of the lab's own side; and the name server's of user networking. */
static void check_own_side(struct topology_network *network, struct claims *claims,
                           struct topology_report *report)
{
    bool has_gateway = network->uplink == TOPOLOGY_UPLINK_USER || network->uplink == TOPOLOGY_UPLINK_NAT;
    if (network->has_host6) {
        if (network->uplink == TOPOLOGY_UPLINK_NIC)
            topology_complain(report, network->host6_mark,
                              "\"host6\" is not for a network that is bridged to %s: the host keeps the "
                              "address it has there",
                              network->uplink_nic);
        check_given(network, &network->host6, network->host6_mark, "the host side", claims, report);
    } else if (network->has_subnet6 && (has_gateway || network->has_host)) {
        network->has_host6 = choose(network, number_of(network, network->host.address), "the host side",
                                    claims, &network->host6);
    }
    if (network->has_subnet6 && network->uplink == TOPOLOGY_UPLINK_USER)
        choose(network, number_of(network, network->dns), "the name server", claims, &network->dns6);
}

static void check_network(struct topology *topology, struct topology_network *network,
                          struct topology_report *report)
{
    g_autoptr(GHashTable) owners = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    struct claims claims = {owners};
    if (network->has_subnet6 && !check_subnet(topology, network, report)) {
        network->has_subnet6 = false;
        return;
    }
    /* What is given comes first, whoever has it. */
    bool is_given = network->has_host6;
    for (int is_open = 0; is_open < 2; is_open++) {
        if (is_open == !is_given)
            check_own_side(network, &claims, report);
        for (guint n = 0; n < topology->nodes->len; n++) {
            struct topology_node *node = topology->nodes->pdata[n];
            g_autofree char *what = g_strdup_printf("node \"%s\"", node->name);
            for (guint i = 0; i < node->nics->len; i++) {
                struct topology_nic *nic = node->nics->pdata[i];
                if (nic->network != network)
                    continue;
                if (!is_open && nic->has_address6)
                    check_given(network, &nic->address6, nic->address6_mark, what, &claims, report);
                else if (is_open && network->has_subnet6 && !nic->has_address6 && !nic->no_address6 &&
                         !nic->no_address)
                    choose_nic(node, nic, &claims, report);
            }
        }
    }
}

/* ---- routes ---- */

static void check_gateway(const struct topology_node *node, const struct topology_route *route,
                          struct topology_report *report)
{
    g_autofree char *via = ipv6_format_plain(&route->via6);
    for (guint i = 0; i < node->nics->len; i++) {
        const struct topology_nic *nic = node->nics->pdata[i];
        if (!nic->has_address6)
            continue;
        if (ipv6_is_same(&nic->address6, &route->via6)) {
            topology_complain(report, route->via_mark,
                              "the gateway %s is node \"%s\" itself; name the neighbour's address", via,
                              node->name);
            return;
        }
        if (ipv6_contains(&nic->address6, &route->via6))
            return;
    }
    topology_complain(report, route->via_mark,
                      "node \"%s\" has no IPv6 address from which to reach the gateway %s", node->name, via);
}

static void check_overlaps(const struct topology_node *node, struct topology_report *report)
{
    for (guint i = 0; i < node->nics->len; i++) {
        const struct topology_nic *a = node->nics->pdata[i];
        for (guint k = 0; a->network && a->has_address6 && k < i; k++) {
            const struct topology_nic *b = node->nics->pdata[k];
            if (!b->network || !b->has_address6 || a->network == b->network ||
                !equal_bits(a->address6.bytes, b->address6.bytes,
                            MIN(a->address6.length, b->address6.length)))
                continue;
            topology_complain(report, a->mark,
                              "node \"%s\" is on two networks whose IPv6 subnets overlap, \"%s\" and \"%s\"; "
                              "change one",
                              node->name, b->network->name, a->network->name);
        }
    }
}

void topology_check_six(struct topology *topology, struct topology_report *report)
{
    for (guint i = 0; i < topology->networks->len; i++)
        check_network(topology, topology->networks->pdata[i], report);
    for (guint n = 0; n < topology->nodes->len; n++) {
        const struct topology_node *node = topology->nodes->pdata[n];
        check_overlaps(node, report);
        for (guint i = 0; i < node->routes->len; i++) {
            const struct topology_route *route = node->routes->pdata[i];
            if (route->is_six)
                check_gateway(node, route, report);
        }
    }
}

const struct topology_network *topology_way_out_six(const struct topology_node *node)
{
    for (guint i = 0; i < node->routes->len; i++) {
        const struct topology_route *route = node->routes->pdata[i];
        if (route->is_six && route->to6.length == 0)
            return NULL;
    }
    for (guint i = 0; i < node->nics->len; i++) {
        const struct topology_nic *nic = node->nics->pdata[i];
        bool has_gateway =
            nic->network->uplink == TOPOLOGY_UPLINK_USER || nic->network->uplink == TOPOLOGY_UPLINK_NAT;
        if (has_gateway && nic->has_address6 && nic->network->has_host6)
            return nic->network;
    }
    return NULL;
}
