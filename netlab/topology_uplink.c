/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Ways out of a lab; see topology_uplink.h and docs/uplinks.md.
 *
 * A network with `uplink: user` or `nat` has a gateway: the address in `host:`, otherwise the first of the
 * subnet. With `user` the address behind it is the name server's. Nodes on it that have no default route get
 * one through the gateway, and the name server.
 */
#include "netlab/topology_uplink.h"

#include <string.h>

enum { SMALLEST_LENGTH = 27 };

void topology_forward_free(void *data)
{
    struct topology_forward *forward = data;
    if (!forward)
        return;
    g_free(forward->node);
    g_free(forward);
}

static bool parse_port(const char *text, uint16_t *port)
{
    guint64 value;
    if (!g_ascii_string_to_unsigned(text, 10, 1, 65535, &value, NULL))
        return false;
    *port = (uint16_t)value;
    return true;
}

/* "8080", "127.0.0.1:8080", "*:8080" */
static bool parse_host_side(const char *text, struct topology_forward *forward)
{
    const char *colon = strrchr(text, ':');
    struct ipv4_prefix address;
    forward->host = 0x7f000001;
    if (!colon)
        return parse_port(text, &forward->host_port);
    g_autofree char *name = g_strndup(text, (gsize)(colon - text));
    if (!parse_port(colon + 1, &forward->host_port))
        return false;
    forward->has_host = true;
    if (!*name || g_str_equal(name, "*") || g_str_equal(name, "0.0.0.0")) {
        forward->any_host = true;
        return true;
    }
    if (!ipv4_parse(name, &address) || address.length != IPV4_NO_LENGTH)
        return false;
    forward->host = address.address;
    return true;
}

struct topology_forward *topology_forward_parse(const char *text, const char **why)
{
    struct topology_forward *forward = g_new0(struct topology_forward, 1);
    g_auto(GStrv) sides = g_strsplit(text, "->", 2);
    *why = "there is no \"->\" in it";
    if (g_strv_length(sides) == 2) {
        char *left = g_strstrip(sides[0]), *right = g_strstrip(sides[1]);
        if (g_str_has_prefix(left, "tcp ") || g_str_has_prefix(left, "udp ")) {
            forward->is_udp = left[0] == 'u';
            left = g_strchug(left + 4);
        }
        char *colon = strchr(right, ':');
        *why = "the host's side must be a port, or an IPv4 address and a port";
        if (parse_host_side(left, forward)) {
            forward->node_port = forward->host_port;
            *why = "behind \"->\" stands a node, or a node and a port from 1 to 65535";
            if (colon)
                *colon = 0;
            if (*right && (!colon || parse_port(colon + 1, &forward->node_port))) {
                forward->node = g_strdup(right);
                return forward;
            }
        }
    }
    topology_forward_free(forward);
    return NULL;
}

/* ---- checks ---- */

static bool is_taken(const struct topology *topology, struct ipv4_prefix subnet)
{
    for (guint i = 0; i < topology->networks->len; i++) {
        const struct topology_network *network = topology->networks->pdata[i];
        if (network->has_subnet && ipv4_overlaps(network->subnet, subnet))
            return true;
    }
    return topology->has_pool && ipv4_overlaps(topology->pool, subnet);
}

/* 10.0.2.0/24, the next one when that is taken, … */
static void choose_subnet(const struct topology *topology, struct topology_network *network)
{
    for (uint32_t third = 2; third < 255 && !network->has_subnet; third++) {
        struct ipv4_prefix subnet = {0x0a000000 | third << 8, 24};
        if (is_taken(topology, subnet))
            continue;
        network->subnet = subnet;
        network->has_subnet = true;
        network->subnet_mark = network->mark;
    }
}

static void refuse_idle_words(struct topology_network *network, struct topology_report *report)
{
    if (network->forwards && network->forwards->len)
        topology_complain(
            report, ((struct topology_forward *)network->forwards->pdata[0])->mark,
            "network \"%s\" has no gateway that could forward ports; add \"uplink: user\" (or \"nat\")",
            network->name);
    if (network->has_dns)
        topology_complain(report, network->dns_mark,
                          "\"dns\" goes with \"uplink: user\" or \"uplink: nat\"; network \"%s\" has neither",
                          network->name);
}

/* The kernel routes nothing from 127.0.0.1 into a lab: without an address every other one of the host is
 * meant.
 */
static void check_nat_forward(struct topology_forward *forward, struct topology_report *report)
{
    if (!forward->has_host)
        forward->any_host = true;
    else if (!forward->any_host && forward->host >> 24 == 127)
        topology_complain(
            report, forward->mark,
            "port %u of the loopback cannot be forwarded by the kernel; leave the address away, or "
            "write \"uplink: user\"",
            forward->host_port);
}

void topology_check_uplinks(struct topology *topology, struct topology_report *report)
{
    for (guint i = 0; i < topology->networks->len; i++) {
        struct topology_network *network = topology->networks->pdata[i];
        bool has_gateway = network->uplink == TOPOLOGY_UPLINK_USER || network->uplink == TOPOLOGY_UPLINK_NAT;
        if (!has_gateway) {
            refuse_idle_words(network, report);
            if (network->uplink == TOPOLOGY_UPLINK_NIC && network->has_host)
                topology_complain(
                    report, network->host_mark,
                    "\"host\" is not for a network that is bridged to %s: the host keeps the address "
                    "it has there",
                    network->uplink_nic);
            continue;
        }
        if (!network->has_subnet)
            choose_subnet(topology, network);
        if (!network->has_subnet)
            continue; /* complained about by nobody else: 253 networks of that kind */
        if (network->subnet.length > SMALLEST_LENGTH) {
            topology_complain(
                report, network->subnet_mark,
                "network \"%s\" has an uplink and needs room for its gateway and name server: a "
                "subnet of /%d or larger",
                network->name, SMALLEST_LENGTH);
            continue;
        }
        if (!network->has_host) {
            network->host = (struct ipv4_prefix){network->subnet.address + 1, IPV4_NO_LENGTH};
            network->has_host = true;
            network->host_mark = network->mark;
        }
        if (network->uplink == TOPOLOGY_UPLINK_USER && !network->has_dns) {
            uint32_t first = network->subnet.address + 1;
            network->dns = network->host.address == first ? first + 1 : first;
            network->has_dns = true;
            network->dns_mark = network->mark;
        }
        for (guint k = 0;
             network->uplink == TOPOLOGY_UPLINK_NAT && network->forwards && k < network->forwards->len; k++)
            check_nat_forward(network->forwards->pdata[k], report);
        if (network->forwards && network->forwards->len > TOPOLOGY_FORWARDS_MOST)
            topology_complain(report, network->mark, "network \"%s\" forwards more than %d ports",
                              network->name, TOPOLOGY_FORWARDS_MOST);
    }
}

/* Nobody serves addresses there. */
static void refuse_dhcp(struct topology *topology, struct topology_report *report)
{
    for (guint n = 0; n < topology->nodes->len; n++) {
        const struct topology_node *node = topology->nodes->pdata[n];
        for (guint i = 0; i < node->nics->len; i++) {
            const struct topology_nic *nic = node->nics->pdata[i];
            if (nic->dhcp && nic->network && nic->network->uplink == TOPOLOGY_UPLINK_NAT &&
                !nic->network->dhcp.is_on)
                topology_complain(
                    report, nic->mark,
                    "no DHCP server is on network \"%s\" (uplink: nat); give it \"dhcp: true\", or leave the "
                    "address of node \"%s\" away and the subnet assigns one",
                    nic->network->name, node->name);
        }
    }
}

static const struct topology_nic *nic_on(const struct topology_node *node,
                                         const struct topology_network *network)
{
    for (guint i = 0; i < node->nics->len; i++) {
        const struct topology_nic *nic = node->nics->pdata[i];
        if (nic->network == network)
            return nic;
    }
    return NULL;
}

static void check_forward(struct topology *topology, struct topology_network *network,
                          struct topology_forward *forward, struct topology_report *report)
{
    const struct topology_node *node = topology_find_node(topology, forward->node);
    const struct topology_nic *nic = node ? nic_on(node, network) : NULL;
    if (!node)
        topology_complain(report, forward->mark, "there is no node \"%s\" to forward port %u to",
                          forward->node, forward->host_port);
    else if (!nic)
        topology_complain(report, forward->mark,
                          "port %u cannot be forwarded to node \"%s\": it is not on network \"%s\"",
                          forward->host_port, forward->node, network->name);
    else if (!nic->has_address)
        topology_complain(
            report, nic->address_mark.line ? nic->address_mark : nic->mark,
            "node \"%s\" needs a fixed address on network \"%s\", since port %u is forwarded to it; "
            "leave the address away and the subnet assigns one",
            forward->node, network->name, forward->host_port);
    else
        forward->address = nic->address.address;
}

void topology_check_forwards(struct topology *topology, struct topology_report *report)
{
    refuse_dhcp(topology, report);
    for (guint i = 0; i < topology->networks->len; i++) {
        struct topology_network *network = topology->networks->pdata[i];
        for (guint k = 0; network->forwards && k < network->forwards->len; k++) {
            struct topology_forward *forward = network->forwards->pdata[k];
            for (guint m = 0; m < k; m++) {
                const struct topology_forward *other = network->forwards->pdata[m];
                if (other->is_udp == forward->is_udp && other->host_port == forward->host_port &&
                    (other->any_host || forward->any_host || other->host == forward->host))
                    topology_complain(report, forward->mark,
                                      "%s port %u is forwarded already, in line %u; use another port",
                                      forward->is_udp ? "UDP" : "TCP", forward->host_port, other->mark.line);
            }
            check_forward(topology, network, forward, report);
        }
    }
}

const struct topology_network *topology_way_out(const struct topology_node *node)
{
    for (guint i = 0; i < node->routes->len; i++)
        if (!((const struct topology_route *)node->routes->pdata[i])->is_six &&
            ((const struct topology_route *)node->routes->pdata[i])->to.length == 0)
            return NULL;
    for (guint i = 0; i < node->nics->len; i++) {
        const struct topology_nic *nic = node->nics->pdata[i];
        bool has_gateway =
            nic->network->uplink == TOPOLOGY_UPLINK_USER || nic->network->uplink == TOPOLOGY_UPLINK_NAT;
        if (has_gateway && nic->has_address)
            return nic->network;
    }
    return NULL;
}
