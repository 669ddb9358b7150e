/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See topology_dhcp.h and docs/dhcp.md.
 *
 * The server has an address of its own on the network: `host:` where there is no uplink, otherwise the last
 * one of the subnet that the file gives to nobody (routers tend to have the first). Leases are the subnet's
 * upper half unless said, for fixed addresses count from the bottom. A NIC whose address is `dhcp` has one of
 * them for itself, so that it is the same each time and its name is known before it asks.
 */
#include "netlab/topology_dhcp.h"

#include <string.h>

enum { SMALLEST_LENGTH = 29, DEFAULT_LEASE = 3600, LONGEST_DOMAIN = 200 };

/* The first NIC with an address and a prefix length says the subnet. */
static void infer_subnet(const struct topology *topology, struct topology_network *network)
{
    for (guint n = 0; n < topology->nodes->len && !network->has_subnet; n++) {
        const struct topology_node *node = topology->nodes->pdata[n];
        for (guint i = 0; i < node->nics->len && !network->has_subnet; i++) {
            const struct topology_nic *nic = node->nics->pdata[i];
            if (nic->network != network || !nic->has_address || nic->address.length == IPV4_NO_LENGTH)
                continue;
            network->has_subnet = true;
            network->subnet = (struct ipv4_prefix){nic->address.address & ipv4_mask(nic->address.length),
                                                   nic->address.length};
            network->subnet_mark = nic->address_mark;
        }
    }
    if (!network->has_subnet && network->has_host && network->host.length != IPV4_NO_LENGTH) {
        network->has_subnet = true;
        network->subnet = (struct ipv4_prefix){network->host.address & ipv4_mask(network->host.length),
                                               network->host.length};
        network->subnet_mark = network->host_mark;
    }
}

static bool is_given(const struct topology *topology, const struct topology_network *network,
                     uint32_t address)
{
    const struct topology_dhcp *dhcp = &network->dhcp;
    if ((network->has_host && network->host.address == address) ||
        (dhcp->has_range && address >= dhcp->first && address <= dhcp->last) ||
        (dhcp->has_router && dhcp->router == address))
        return true;
    for (unsigned i = 0; i < dhcp->dns_count; i++)
        if (dhcp->dns[i] == address)
            return true;
    for (guint n = 0; n < topology->nodes->len; n++) {
        const struct topology_node *node = topology->nodes->pdata[n];
        for (guint i = 0; i < node->nics->len; i++) {
            const struct topology_nic *nic = node->nics->pdata[i];
            if (nic->network == network && nic->has_address && nic->address.address == address)
                return true;
        }
    }
    return false;
}

static void choose_server(const struct topology *topology, struct topology_network *network,
                          struct topology_report *report)
{
    struct topology_dhcp *dhcp = &network->dhcp;
    uint32_t first = network->subnet.address + 1,
             last = (network->subnet.address | ~ipv4_mask(network->subnet.length)) - 1;
    if (network->uplink == TOPOLOGY_UPLINK_NONE && network->has_host) {
        dhcp->server = network->host.address;
        return;
    }
    for (uint32_t address = last; address >= first && !dhcp->server; address--)
        if (!is_given(topology, network, address))
            dhcp->server = address;
    if (!dhcp->server) {
        topology_complain(report, dhcp->mark,
                          "no address of network \"%s\" is left for its DHCP server; use a larger subnet",
                          network->name);
        dhcp->is_on = false;
        return;
    }
    if (network->uplink != TOPOLOGY_UPLINK_NONE)
        return;
    network->host = (struct ipv4_prefix){dhcp->server, IPV4_NO_LENGTH};
    network->has_host = true;
    network->host_mark = dhcp->mark;
}

/* Why this network cannot have a server; NULL: it can. Owned by the caller. */
static char *refusal(const struct topology_network *network)
{
    if (network->uplink == TOPOLOGY_UPLINK_USER)
        return g_strdup_printf("network \"%s\" (uplink: user) serves addresses by itself; remove \"dhcp\"",
                               network->name);
    if (network->uplink == TOPOLOGY_UPLINK_NIC)
        return g_strdup_printf("network \"%s\" is bridged to %s, whose own network serves addresses; remove "
                               "\"dhcp\"",
                               network->name, network->uplink_nic);
    if (!network->has_subnet)
        return g_strdup_printf("network \"%s\" needs a subnet to serve addresses of; add \"subnet: "
                               "10.1.0.0/24\"",
                               network->name);
    if (network->subnet.length > SMALLEST_LENGTH)
        return g_strdup_printf("network \"%s\" serves addresses and needs room for them: a subnet of /%d or "
                               "larger",
                               network->name, SMALLEST_LENGTH);
    return NULL;
}

void topology_check_dhcp(struct topology *topology, struct topology_report *report)
{
    for (guint i = 0; i < topology->networks->len; i++) {
        struct topology_network *network = topology->networks->pdata[i];
        struct topology_dhcp *dhcp = &network->dhcp;
        if (!dhcp->is_on)
            continue;
        if (!network->has_subnet)
            infer_subnet(topology, network);
        g_autofree char *why = refusal(network);
        if (why) {
            topology_complain(report, dhcp->mark, "%s", why);
            dhcp->is_on = false;
            continue;
        }
        uint32_t last = network->subnet.address | ~ipv4_mask(network->subnet.length);
        bool is_inside = ipv4_contains(network->subnet, dhcp->first) &&
                         ipv4_contains(network->subnet, dhcp->last) &&
                         dhcp->first > network->subnet.address && dhcp->last < last;
        if (dhcp->has_range && !is_inside) {
            g_autofree char *subnet = ipv4_format(network->subnet);
            topology_complain(report, dhcp->range_mark,
                              "the range is not within the subnet %s of network \"%s\"", subnet,
                              network->name);
            dhcp->is_on = false;
            continue;
        }
        choose_server(topology, network, report);
        if (!dhcp->has_range) {
            dhcp->first = network->subnet.address + (1u << (31 - network->subnet.length));
            dhcp->last = last - 1 - (dhcp->server == last - 1);
            dhcp->has_range = true;
        }
        if (!dhcp->lease)
            dhcp->lease = DEFAULT_LEASE;
    }
}

/* The node that routes: the first of the file with an address there. */
static void find_router(const struct topology *topology, struct topology_network *network)
{
    struct topology_dhcp *dhcp = &network->dhcp;
    if (network->uplink == TOPOLOGY_UPLINK_NAT && network->has_host) {
        dhcp->has_router = true;
        dhcp->router = network->host.address;
    }
    for (guint n = 0; n < topology->nodes->len && !dhcp->has_router; n++) {
        const struct topology_node *node = topology->nodes->pdata[n];
        int own = node->machine.forwarding;
        bool forwards = own < 0 ? topology->defaults.forwarding > 0 : own > 0;
        for (guint i = 0; i < node->nics->len && forwards && !dhcp->has_router; i++) {
            const struct topology_nic *nic = node->nics->pdata[i];
            if (nic->network != network || !nic->has_address || nic->is_reserved)
                continue;
            dhcp->has_router = true;
            dhcp->router = nic->address.address;
        }
    }
    dhcp->no_router = !dhcp->has_router;
}

static bool is_domain(const char *text)
{
    bool is_start = true;
    if (strlen(text) > LONGEST_DOMAIN)
        return false;
    for (const char *c = text; *c; c++) {
        if (*c == '.' ? is_start : !g_ascii_isalnum(*c) && (*c != '-' || is_start))
            return false;
        is_start = *c == '.';
    }
    return !is_start;
}

void topology_check_dhcp_settings(struct topology *topology, struct topology_report *report)
{
    for (guint i = 0; i < topology->networks->len; i++) {
        struct topology_network *network = topology->networks->pdata[i];
        struct topology_dhcp *dhcp = &network->dhcp;
        if (!dhcp->is_on)
            continue;
        if (dhcp->has_router && !ipv4_contains(network->subnet, dhcp->router)) {
            g_autofree char *router = ipv4_format((struct ipv4_prefix){dhcp->router, IPV4_NO_LENGTH}),
                            *subnet = ipv4_format(network->subnet);
            topology_complain(report, dhcp->router_mark,
                              "the router %s is outside the subnet %s of network \"%s\"", router, subnet,
                              network->name);
        }
        if (!dhcp->has_router && !dhcp->no_router)
            find_router(topology, network);
        if (!dhcp->domain) {
            dhcp->domain = g_strdup_printf("%s.internal", topology->name);
            g_strdelimit(dhcp->domain, "_", '-');
        }
        if (!is_domain(dhcp->domain))
            topology_complain(report, dhcp->domain_mark.line ? dhcp->domain_mark : dhcp->mark,
                              "\"%s\" cannot be a domain; use letters, digits, hyphens and dots",
                              dhcp->domain);
    }
}
