/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The topology's meaning: completing it and refusing contradictions.
 *
 * Order matters and is the order of the functions at the end of the file: names → links become networks with
 * two NICs → NICs find their networks → interface names → subnets → addresses (given ones first, then
 * automatic ones in the order of the file) → MACs → routes → machines → checks. Every automatic choice is a
 * function of the file's text alone: the lowest free eth number, the lowest free address, a MAC from a hash
 * of lab, node and interface name, /30s from the pool in the order of the links. So the same file is always
 * the same lab, and two people see the same addresses.
 *
 * A value that was complained about is left as it is and later steps step over it, so that one mistake gives
 * one complaint.
 */
#include "netlab/topology_check.h"
#include "netlab/topology_dhcp.h"
#include "netlab/topology_six.h"
#include "netlab/topology_machine.h"
#include "netlab/topology_node.h"
#include "netlab/topology_uplink.h"

#include <json-glib/json-glib.h>
#include <string.h>

enum {
    LONGEST_NAME = 32,  /* of labs and networks */
    LONGEST_LABEL = 63, /* of a host name, RFC 1123 2.1 */
    LONGEST_INTERFACE = 15,
};

struct check {
    struct topology *topology;
    struct topology_report *report;
    GHashTable *macs;   /* text → "node:interface" */
    uint32_t pool_next; /* next candidate for a link's subnet */
};

static bool is_name(const char *text, size_t most, const char *others)
{
    if (!g_ascii_isalnum(*text) || strlen(text) > most)
        return false;
    for (const char *c = text; *c; c++) {
        if (!g_ascii_isalnum(*c) && !strchr(others, *c))
            return false;
    }
    return true;
}

/* ---- names ---- */

static void check_lab_name(struct check *c)
{
    struct topology *t = c->topology;
    bool is_given = t->name != NULL;
    if (!is_given)
        t->name = g_path_get_basename(t->directory);
    if (is_name(t->name, LONGEST_NAME, "-_"))
        return;
    if (is_given)
        topology_complain(c->report, t->name_mark,
                          "the lab's name \"%s\" is not usable; use at most %d letters, digits, - and _, a "
                          "letter or digit first",
                          t->name, LONGEST_NAME);
    else
        topology_complain(
            c->report, (struct topology_mark){1, 1},
            "the folder's name \"%s\" cannot be the lab's name; add a line like \"name: my-lab\"", t->name);
}

static void check_node_names(struct check *c)
{
    GPtrArray *nodes = c->topology->nodes;
    if (nodes->len == 0)
        topology_complain(c->report, (struct topology_mark){1, 1},
                          "the topology has no nodes; add at least \"nodes: {h1: {image: mini}}\"");
    if (nodes->len > TOPOLOGY_NODES_MOST)
        topology_complain(c->report, ((struct topology_node *)nodes->pdata[TOPOLOGY_NODES_MOST])->mark,
                          "more than %d nodes in one lab; make several labs of them", TOPOLOGY_NODES_MOST);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < nodes->len; i++) {
        struct topology_node *node = nodes->pdata[i];
        if (!is_name(node->name, LONGEST_LABEL, "-") || node->name[strlen(node->name) - 1] == '-')
            topology_complain(c->report, node->mark,
                              "\"%s\" cannot be a node's name; use at most %d letters, digits and hyphens, "
                              "as in host names",
                              node->name, LONGEST_LABEL);
        g_autofree char *folded = g_ascii_strdown(node->name, -1);
        struct topology_node *other = g_hash_table_lookup(seen, folded);
        if (other)
            topology_complain(
                c->report, node->mark,
                "node \"%s\" differs from \"%s\" (line %u) by upper and lower case only; rename one",
                node->name, other->name, other->mark.line);
        else
            g_hash_table_insert(seen, g_steal_pointer(&folded), node);
        if (!node->hostname) {
            node->hostname = g_strdup(node->name);
        } else if (!is_name(node->hostname, LONGEST_LABEL, "-.")) {
            topology_complain(
                c->report, node->hostname_mark,
                "\"%s\" cannot be a host name; use at most %d letters, digits, hyphens and dots",
                node->hostname, LONGEST_LABEL);
        }
    }
}

static void check_network_names(struct check *c)
{
    for (guint i = 0; i < c->topology->networks->len; i++) {
        struct topology_network *network = c->topology->networks->pdata[i];
        if (!is_name(network->name, LONGEST_NAME, "-_."))
            topology_complain(c->report, network->mark,
                              "\"%s\" cannot be a network's name; use at most %d letters, digits, -, _ and .",
                              network->name, LONGEST_NAME);
    }
}

/* ---- looking things up, with suggestions ---- */

static const char *nearest_of(GPtrArray *things, size_t name_offset, const char *typed)
{
    g_autofree const char **names = g_new0(const char *, things->len + 1);
    for (guint i = 0; i < things->len; i++)
        names[i] = *(char **)((char *)things->pdata[i] + name_offset);
    return topology_nearest(typed, names, things->len);
}

static struct topology_node *need_node(struct check *c, const char *name, struct topology_mark mark)
{
    struct topology_node *node = topology_find_node(c->topology, name);
    if (node)
        return node;
    const char *nearest = nearest_of(c->topology->nodes, offsetof(struct topology_node, name), name);
    if (nearest)
        topology_complain(c->report, mark, "there is no node \"%s\"; did you mean \"%s\"?", name, nearest);
    else
        topology_complain(c->report, mark, "there is no node \"%s\"; add it under \"nodes\"", name);
    return NULL;
}

/* ---- links ---- */

/* Moves a link's network and NICs to where all others are; the link keeps the names of its ends. */
static void adopt_link(struct check *c, struct topology_link *link)
{
    struct topology_node *nodes[2];
    for (int i = 0; i < 2; i++) {
        if (!link->ends[i].node) /* the parser has complained */
            return;
        nodes[i] = need_node(c, link->ends[i].node, link->ends[i].mark);
    }
    if (!nodes[0] || !nodes[1])
        return;
    if (nodes[0] == nodes[1]) {
        topology_complain(c->report, link->ends[1].mark,
                          "both ends of the link are node \"%s\"; a link joins two nodes", nodes[0]->name);
        return;
    }
    struct topology_network *network = g_steal_pointer(&link->network);
    g_ptr_array_add(c->topology->networks, network);
    for (int i = 0; i < 2; i++) {
        struct topology_nic *nic = g_steal_pointer(&link->ends[i].nic);
        nic->network = network;
        g_ptr_array_add(nodes[i]->nics, nic);
    }
}

static void check_links(struct check *c)
{
    for (guint i = 0; i < c->topology->links->len; i++) {
        struct topology_link *link = c->topology->links->pdata[i];
        if (link->has_name) {
            struct topology_network *other = topology_find_network(c->topology, link->network->name);
            if (!is_name(link->network->name, LONGEST_NAME, "-_."))
                topology_complain(
                    c->report, link->network->mark,
                    "\"%s\" cannot be a link's name; use at most %d letters, digits, -, _ and .",
                    link->network->name, LONGEST_NAME);
            else if (other)
                topology_complain(c->report, link->network->mark,
                                  "\"%s\" is already the name of the %s in line %u; rename one",
                                  link->network->name, other->kind == TOPOLOGY_LINK ? "link" : "network",
                                  other->mark.line);
        } else {
            /* A name for the meantime, so that no lookup meets NULL; ':' cannot occur in a given one. */
            link->network->name = g_strdup_printf(":link%u", i);
        }
        adopt_link(c, link);
    }
}

/* "r1:eth1-r2:eth0", once the interfaces have their names. */
static void name_links(struct check *c)
{
    for (guint i = 0; i < c->topology->networks->len; i++) {
        struct topology_network *network = c->topology->networks->pdata[i];
        if (network->kind != TOPOLOGY_LINK || network->name[0] != ':')
            continue;
        g_autoptr(GString) name = g_string_new(NULL);
        for (guint n = 0; n < c->topology->nodes->len; n++) {
            struct topology_node *node = c->topology->nodes->pdata[n];
            for (guint k = 0; k < node->nics->len; k++) {
                struct topology_nic *nic = node->nics->pdata[k];
                if (nic->network == network)
                    g_string_append_printf(name, "%s%s:%s", name->len ? "-" : "", node->name, nic->interface);
            }
        }
        g_free(network->name);
        network->name = g_strdup(name->str);
    }
}

/* ---- NICs ---- */

static void find_networks(struct check *c, struct topology_node *node)
{
    for (guint i = 0; i < node->nics->len; i++) {
        struct topology_nic *nic = node->nics->pdata[i];
        if (nic->network)
            continue;
        nic->network = topology_find_network(c->topology, nic->network_name);
        if (nic->network && nic->network->kind == TOPOLOGY_SEGMENT)
            continue;
        nic->network = NULL;
        const char *nearest =
            nearest_of(c->topology->networks, offsetof(struct topology_network, name), nic->network_name);
        if (nearest && nearest[0] != ':')
            topology_complain(c->report, nic->mark,
                              "node \"%s\" is on network \"%s\", which does not exist; did you mean \"%s\"?",
                              node->name, nic->network_name, nearest);
        else
            topology_complain(c->report, nic->mark,
                              "node \"%s\" is on network \"%s\", which does not exist; add \"%s: {subnet: "
                              "10.1.0.0/24}\" under \"networks\"",
                              node->name, nic->network_name, nic->network_name);
    }
    if (node->nics->len > TOPOLOGY_NICS_MOST) {
        struct topology_nic *nic = node->nics->pdata[TOPOLOGY_NICS_MOST];
        topology_complain(c->report, nic->mark, "node \"%s\" has %u NICs; a machine has room for %d",
                          node->name, node->nics->len, TOPOLOGY_NICS_MOST);
    }
}

static struct topology_nic *find_interface(struct topology_node *node, const char *name)
{
    for (guint i = 0; i < node->nics->len; i++) {
        struct topology_nic *nic = node->nics->pdata[i];
        if (nic->interface && g_str_equal(nic->interface, name))
            return nic;
    }
    return NULL;
}

static void name_interfaces(struct check *c, struct topology_node *node)
{
    for (guint i = 0; i < node->nics->len; i++) {
        struct topology_nic *nic = node->nics->pdata[i];
        if (!nic->interface)
            continue;
        if (!is_name(nic->interface, LONGEST_INTERFACE, "-_.") || g_str_equal(nic->interface, "lo"))
            topology_complain(
                c->report, nic->interface_mark,
                "\"%s\" cannot be an interface's name; use at most %d letters, digits, -, _ and ., like eth1",
                nic->interface, LONGEST_INTERFACE);
        struct topology_nic *first = find_interface(node, nic->interface);
        if (first != nic)
            topology_complain(c->report, nic->interface_mark,
                              "node \"%s\" has two interfaces \"%s\", the first in line %u; rename one",
                              node->name, nic->interface, first->interface_mark.line);
    }
    unsigned next = 0;
    for (guint i = 0; i < node->nics->len; i++) {
        struct topology_nic *nic = node->nics->pdata[i];
        while (!nic->interface) {
            g_autofree char *name = g_strdup_printf("eth%u", next++);
            if (!find_interface(node, name))
                nic->interface = g_steal_pointer(&name);
        }
    }
}

/* ---- subnets ---- */

static bool is_usable_subnet(struct ipv4_prefix subnet)
{
    uint32_t first = subnet.address >> 24;
    return subnet.length >= 4 && subnet.length <= 31 && first != 0 && first != 127 && first < 224;
}

static void check_subnet(struct check *c, struct topology_network *network)
{
    if (network->mtu == 0)
        network->mtu = 1500;
    if (network->has_subnet && !is_usable_subnet(network->subnet)) {
        g_autofree char *text = ipv4_format(network->subnet);
        topology_complain(
            c->report, network->subnet_mark,
            "%s cannot be the subnet of a network; use a unicast one from /4 to /31, like 10.1.0.0/24", text);
        network->has_subnet = false;
    }
}

/* A link whose ends have addresses says its subnet with them. */
static void infer_link_subnet(struct check *c, struct topology_network *network)
{
    for (guint n = 0; n < c->topology->nodes->len && !network->has_subnet; n++) {
        struct topology_node *node = c->topology->nodes->pdata[n];
        for (guint i = 0; i < node->nics->len && !network->has_subnet; i++) {
            struct topology_nic *nic = node->nics->pdata[i];
            if (nic->network != network || !nic->has_address || nic->address.length == IPV4_NO_LENGTH)
                continue;
            network->has_subnet = true;
            network->subnet.length = nic->address.length;
            network->subnet.address = nic->address.address & ipv4_mask(nic->address.length);
            network->subnet_mark = nic->address_mark;
        }
    }
}

static bool overlaps_any(struct check *c, struct ipv4_prefix subnet)
{
    for (guint i = 0; i < c->topology->networks->len; i++) {
        struct topology_network *network = c->topology->networks->pdata[i];
        if (network->has_subnet && ipv4_overlaps(network->subnet, subnet))
            return true;
    }
    return false;
}

static void number_link(struct check *c, struct topology_network *network)
{
    struct topology *t = c->topology;
    uint32_t last = t->pool.address | ~ipv4_mask(t->pool.length);
    while (c->pool_next >= t->pool.address && c->pool_next <= last && last - c->pool_next >= 3) {
        struct ipv4_prefix candidate = {c->pool_next, 30};
        c->pool_next += 4;
        if (!overlaps_any(c, candidate)) {
            network->has_subnet = true;
            network->subnet = candidate;
            network->subnet_mark = network->mark;
            return;
        }
    }
    g_autofree char *pool = ipv4_format(t->pool);
    topology_complain(
        c->report, network->mark,
        "the pool %s has no free /30 left for this link; give a larger \"pool\" or the link a \"subnet\"",
        pool);
}

static void check_subnets(struct check *c)
{
    struct topology *t = c->topology;
    if (!t->has_pool)
        ipv4_parse("10.255.0.0/16", &t->pool);
    else if (t->pool.length > 30 || !is_usable_subnet(t->pool))
        topology_complain(c->report, t->pool_mark,
                          "the pool must be a unicast network from /4 to /30, like 10.255.0.0/16");
    c->pool_next = t->pool.address;
    for (guint i = 0; i < t->networks->len; i++) {
        struct topology_network *network = t->networks->pdata[i];
        check_subnet(c, network);
        if (network->kind == TOPOLOGY_LINK)
            infer_link_subnet(c, network);
    }
    for (guint i = 0; i < t->networks->len; i++) {
        struct topology_network *network = t->networks->pdata[i];
        if (network->kind == TOPOLOGY_LINK && !network->has_subnet)
            number_link(c, network);
    }
}

/* Two NICs of one node in overlapping subnets of different networks cannot both be reached. */
static void check_overlaps(struct check *c, struct topology_node *node)
{
    for (guint i = 0; i < node->nics->len; i++) {
        struct topology_nic *a = node->nics->pdata[i];
        for (guint k = 0; a->network && k < i; k++) {
            struct topology_nic *b = node->nics->pdata[k];
            if (!b->network || a->network == b->network || a->no_address || b->no_address ||
                !a->network->has_subnet || !b->network->has_subnet ||
                !ipv4_overlaps(a->network->subnet, b->network->subnet))
                continue;
            g_autofree char *x = ipv4_format(a->network->subnet), *y = ipv4_format(b->network->subnet);
            topology_complain(c->report, a->mark,
                              "node \"%s\" is on two networks whose subnets overlap: \"%s\" (%s) and \"%s\" "
                              "(%s); change one subnet",
                              node->name, b->network->name, y, a->network->name, x);
        }
    }
}

/* ---- addresses ---- */

/* Who has which address of one network. */
struct claim {
    const char *owner; /* "h1", "the host side" */
    unsigned line;
};

static void claims_free(void *data)
{
    g_hash_table_unref(data);
}

/* Checks a given address against its network and claims it. `what` as in "node \"h1\"". */
static bool check_address(struct check *c, struct topology_network *network, struct ipv4_prefix *address,
                          struct topology_mark mark, const char *what, GHashTable *claims)
{
    g_autofree char *text = ipv4_format(*address);
    if (network->has_subnet) {
        g_autofree char *subnet = ipv4_format(network->subnet);
        if (!ipv4_contains(network->subnet, address->address)) {
            struct ipv4_prefix example = {network->subnet.address + 1, IPV4_NO_LENGTH};
            g_autofree char *first = ipv4_format(example);
            topology_complain(
                c->report, mark, "%s is outside the subnet %s of %s \"%s\"; use an address like %s", text,
                subnet, network->kind == TOPOLOGY_LINK ? "link" : "network", network->name, first);
            return false;
        }
        if (address->length == IPV4_NO_LENGTH) {
            address->length = network->subnet.length;
        } else if (address->length != network->subnet.length) {
            topology_complain(
                c->report, mark,
                "%s contradicts the subnet %s of \"%s\"; leave the prefix length away or write /%u", text,
                subnet, network->name, network->subnet.length);
            return false;
        }
    } else if (address->length == IPV4_NO_LENGTH) {
        topology_complain(c->report, mark,
                          "%s needs a prefix length because network \"%s\" has no subnet; write %s/24", text,
                          network->name, text);
        return false;
    }
    uint32_t mask = ipv4_mask(address->length);
    uint32_t first = address->address >> 24;
    if (first == 0 || first == 127 || first >= 224) {
        topology_complain(c->report, mark,
                          "%s is not a unicast address that a NIC can have; use one like 10.1.0.1/24", text);
        return false;
    }
    if (address->length <= 30 && ((address->address & ~mask) == 0 || (address->address | mask) == ~0u)) {
        bool is_network = (address->address & ~mask) == 0;
        topology_complain(c->report, mark,
                          "%s is the %s address of its network; no node can have it, use the %s one", text,
                          is_network ? "network" : "broadcast", is_network ? "next" : "previous");
        return false;
    }
    struct claim *other = g_hash_table_lookup(claims, GUINT_TO_POINTER(address->address));
    if (other) {
        topology_complain(c->report, mark, "%s is already the address of %s (line %u); give %s another one",
                          text, other->owner, other->line, what);
        return false;
    }
    struct claim *claim = g_new0(struct claim, 1);
    claim->owner = g_intern_string(what);
    claim->line = mark.line;
    g_hash_table_insert(claims, GUINT_TO_POINTER(address->address), claim);
    return true;
}

static void claim_address(GHashTable *claims, uint32_t address, const struct topology_node *node,
                          const struct topology_nic *nic)
{
    struct claim *claim = g_new0(struct claim, 1);
    claim->owner = g_intern_string(node->name);
    claim->line = nic->mark.line;
    g_hash_table_insert(claims, GUINT_TO_POINTER(address), claim);
}

static void assign_address(struct check *c, struct topology_node *node, struct topology_nic *nic,
                           GHashTable *claims)
{
    struct ipv4_prefix subnet = nic->network->subnet;
    uint32_t mask = ipv4_mask(subnet.length);
    uint32_t first = subnet.length == 31 ? subnet.address : subnet.address + 1;
    uint32_t last = subnet.length == 31 ? subnet.address + 1 : (subnet.address | ~mask) - 1;
    for (uint32_t address = first; address <= last; address++) {
        if (g_hash_table_contains(claims, GUINT_TO_POINTER(address)))
            continue;
        claim_address(claims, address, node, nic);
        nic->address = (struct ipv4_prefix){address, subnet.length};
        nic->has_address = true;
        return;
    }
    g_autofree char *text = ipv4_format(subnet);
    topology_complain(c->report, nic->mark,
                      "no address is left for node \"%s\" in the subnet %s of \"%s\", which has room for %u; "
                      "use a larger subnet",
                      node->name, text, nic->network->name, last - first + 1);
}

/* A NIC that asks the network's own server always gets the same answer. */
static void reserve_lease(struct check *c, struct topology_node *node, struct topology_nic *nic,
                          GHashTable *claims)
{
    const struct topology_dhcp *dhcp = &nic->network->dhcp;
    for (uint32_t address = dhcp->first; address <= dhcp->last; address++) {
        if (g_hash_table_contains(claims, GUINT_TO_POINTER(address)))
            continue;
        claim_address(claims, address, node, nic);
        nic->address = (struct ipv4_prefix){address, nic->network->subnet.length};
        nic->is_reserved = true;
        return;
    }
    topology_complain(c->report, nic->mark,
                      "no lease is left for node \"%s\" on network \"%s\", which has %u; use a larger "
                      "\"range\" or subnet",
                      node->name, nic->network->name, dhcp->last - dhcp->first + 1);
}

static void check_addresses(struct check *c)
{
    struct topology *t = c->topology;
    g_autoptr(GHashTable) by_network = g_hash_table_new_full(NULL, NULL, NULL, claims_free);
    for (guint i = 0; i < t->networks->len; i++) {
        struct topology_network *network = t->networks->pdata[i];
        GHashTable *claims = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        g_hash_table_insert(by_network, network, claims);
        if (network->has_host)
            network->has_host =
                check_address(c, network, &network->host, network->host_mark, "the host side", claims);
        /* The name server of user networking has an address of its own there. */
        struct ipv4_prefix server = {network->dns, IPV4_NO_LENGTH};
        if (network->uplink == TOPOLOGY_UPLINK_USER && network->has_dns && network->has_subnet)
            check_address(c, network, &server, network->dns_mark, "the name server", claims);
        struct ipv4_prefix own = {network->dhcp.server, IPV4_NO_LENGTH};
        if (network->dhcp.is_on && network->uplink != TOPOLOGY_UPLINK_NONE)
            check_address(c, network, &own, network->dhcp.mark, "the DHCP server", claims);
    }
    /* Given ones, those from the subnet, leases. */
    for (int pass = 0; pass < 3; pass++) {
        for (guint n = 0; n < t->nodes->len; n++) {
            struct topology_node *node = t->nodes->pdata[n];
            g_autofree char *what = g_strdup_printf("node \"%s\"", node->name);
            for (guint i = 0; i < node->nics->len; i++) {
                struct topology_nic *nic = node->nics->pdata[i];
                if (!nic->network)
                    continue;
                GHashTable *claims = g_hash_table_lookup(by_network, nic->network);
                if (pass == 0 && nic->has_address)
                    check_address(c, nic->network, &nic->address, nic->address_mark, what, claims);
                else if (pass == 1 && !nic->has_address && !nic->no_address && !nic->dhcp &&
                         nic->network->has_subnet)
                    assign_address(c, node, nic, claims);
                else if (pass == 2 && nic->dhcp && nic->network->dhcp.is_on)
                    reserve_lease(c, node, nic, claims);
            }
        }
    }
}

/* ---- MACs ---- */

static void check_mac(struct check *c, struct topology_node *node, struct topology_nic *nic)
{
    static const uint8_t zero[6];
    g_autofree char *text = mac_format(nic->mac);
    if (nic->mac[0] & 1 || memcmp(nic->mac, zero, 6) == 0) {
        topology_complain(c->report, nic->mac_mark,
                          "%s is %s; a NIC needs a unicast one, like 52:54:00:12:34:56", text,
                          nic->mac[0] & 1 ? "a multicast MAC" : "no MAC");
        return;
    }
    const char *other = g_hash_table_lookup(c->macs, text);
    if (other)
        topology_complain(c->report, nic->mac_mark,
                          "the MAC %s is already that of %s; change one, or leave it away and it is made up",
                          text, other);
    else
        g_hash_table_insert(c->macs, g_steal_pointer(&text),
                            g_strdup_printf("%s:%s", node->name, nic->interface));
}

/* 52:54:00 is the prefix that QEMU and libvirt users know as "a virtual machine's". */
static void assign_mac(struct check *c, struct topology_node *node, struct topology_nic *nic)
{
    for (unsigned salt = 0; !nic->has_mac; salt++) {
        g_autofree char *seed =
            g_strdup_printf("%s\n%s\n%s\n%u", c->topology->name, node->name, nic->interface, salt);
        g_autoptr(GChecksum) hash = g_checksum_new(G_CHECKSUM_SHA256);
        g_checksum_update(hash, (const guchar *)seed, -1);
        guint8 digest[32];
        gsize length = sizeof digest;
        g_checksum_get_digest(hash, digest, &length);
        uint8_t mac[6] = {0x52, 0x54, 0x00, digest[0], digest[1], digest[2]};
        g_autofree char *text = mac_format(mac);
        if (g_hash_table_contains(c->macs, text))
            continue;
        memcpy(nic->mac, mac, 6);
        nic->has_mac = true;
        g_hash_table_insert(c->macs, g_steal_pointer(&text),
                            g_strdup_printf("%s:%s", node->name, nic->interface));
    }
}

static void check_macs(struct check *c)
{
    for (int automatic = 0; automatic < 2; automatic++) {
        for (guint n = 0; n < c->topology->nodes->len; n++) {
            struct topology_node *node = c->topology->nodes->pdata[n];
            for (guint i = 0; i < node->nics->len; i++) {
                struct topology_nic *nic = node->nics->pdata[i];
                if (!automatic && nic->has_mac)
                    check_mac(c, node, nic);
                else if (automatic && !nic->has_mac)
                    assign_mac(c, node, nic);
            }
        }
    }
}

/* ---- routes ---- */

static void check_gateway(struct check *c, struct topology_node *node, const struct topology_route *route)
{
    g_autofree char *via = ipv4_format((struct ipv4_prefix){route->via, IPV4_NO_LENGTH});
    g_autoptr(GString) reachable = g_string_new(NULL);
    for (guint i = 0; i < node->nics->len; i++) {
        struct topology_nic *nic = node->nics->pdata[i];
        if (!nic->has_address || nic->address.length == IPV4_NO_LENGTH)
            continue;
        if (nic->address.address == route->via) {
            topology_complain(c->report, route->via_mark,
                              "the gateway %s is node \"%s\" itself; name the neighbour's address", via,
                              node->name);
            return;
        }
        if (ipv4_contains(nic->address, route->via))
            return;
        g_autofree char *subnet = ipv4_format(
            (struct ipv4_prefix){nic->address.address & ipv4_mask(nic->address.length), nic->address.length});
        g_string_append_printf(reachable, "%s%s", reachable->len ? ", " : "", subnet);
    }
    if (reachable->len)
        topology_complain(c->report, route->via_mark, "node \"%s\" cannot reach the gateway %s; it is on %s",
                          node->name, via, reachable->str);
    else
        topology_complain(
            c->report, route->via_mark,
            "node \"%s\" has no address from which to reach the gateway %s; give it one under \"networks\"",
            node->name, via);
}

gsize topology_command_bytes(const char *command)
{
    gsize bytes = strlen("run \n");
    bool is_one_line = !strchr(command, '\n');
    for (const char *c = command; *c; c++)
        bytes += is_one_line ? 1 : *c == '\'' ? 4 : *c == '\\' || *c == '\n' ? 2 : 1;
    return bytes + (is_one_line ? 0 : strlen("eval \"$(printf '%b' '')\""));
}

static void check_commands(struct check *c, const struct topology_node *node)
{
    gsize bytes = 0;
    for (guint i = 0; i < node->run->len; i++)
        bytes += topology_command_bytes(node->run->pdata[i]);
    if (node->run->len > TOPOLOGY_COMMANDS_MOST)
        topology_complain(c->report, node->mark,
                          "node \"%s\" has more than %d commands to run; make one script of them (run: |)",
                          node->name, TOPOLOGY_COMMANDS_MOST);
    else if (bytes > TOPOLOGY_COMMANDS_BYTES)
        topology_complain(c->report, node->mark,
                          "the commands of node \"%s\" are more than %d KiB; put a script into its folder "
                          "(%s/etc/lab/start.sh) and run that",
                          node->name, TOPOLOGY_COMMANDS_BYTES >> 10, node->name);
}

static void check_routes(struct check *c, struct topology_node *node)
{
    if (node->routes->len > TOPOLOGY_ROUTES_MOST)
        topology_complain(
            c->report, ((struct topology_route *)node->routes->pdata[TOPOLOGY_ROUTES_MOST])->to_mark,
            "node \"%s\" has more than %d routes; summarise them", node->name, TOPOLOGY_ROUTES_MOST);
    check_commands(c, node);
    for (guint i = 0; i < node->routes->len; i++) {
        struct topology_route *route = node->routes->pdata[i];
        if (!route->is_six)
            check_gateway(c, node, route);
        for (guint k = 0; k < i; k++) {
            struct topology_route *other = node->routes->pdata[k];
            if (other->to.address != route->to.address || other->to.length != route->to.length ||
                other->is_six != route->is_six || !ipv6_is_same(&other->to6, &route->to6) ||
                other->to6.length != route->to6.length)
                continue;
            g_autofree char *to = route->is_six ? ipv6_format(&route->to6) : ipv4_format(route->to);
            bool is_default = route->is_six ? !route->to6.length : !route->to.length;
            topology_complain(c->report, route->to_mark,
                              "node \"%s\" has two routes to %s, the first in line %u; keep one", node->name,
                              is_default ? "default" : to, other->to_mark.line);
            break;
        }
    }
}

/* ---- checks ---- */

static const char *const test_words[] = {
    [TOPOLOGY_TEST_RUN] = "run",     [TOPOLOGY_TEST_PING] = "ping",       [TOPOLOGY_TEST_ADDRESS] = "address",
    [TOPOLOGY_TEST_ROUTE] = "route", [TOPOLOGY_TEST_OSPF] = "ospf",       [TOPOLOGY_TEST_BGP] = "bgp",
    [TOPOLOGY_TEST_ISIS] = "isis",   [TOPOLOGY_TEST_SERVICE] = "service", [TOPOLOGY_TEST_FILE] = "file"};
_Static_assert(G_N_ELEMENTS(test_words) == TOPOLOGY_TEST_KINDS, "a word for each");

/* A word that goes into a command: what hosts, addresses, networks and URLs are made of, and nothing that a
 * shell knows. */
static bool is_plain_word(const char *text)
{
    return *text && *text != '-' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/-_%@?=+,~[]") ==
               strlen(text);
}

static void check_test_kind(struct check *c, struct topology_test *test)
{
    int found = -1;
    for (int i = 0; i < TOPOLOGY_TEST_KINDS; i++) {
        if (!test->what[i])
            continue;
        if (found >= 0) {
            topology_complain(c->report, test->what_mark[i],
                              "check \"%s\" has a \"%s\" and a \"%s\"; make two checks of it", test->name,
                              test_words[found], test_words[i]);
            return;
        }
        found = i;
    }
    if (found < 0) {
        topology_complain(c->report, test->mark,
                          "check \"%s\" has nothing to look at; give it one of run, ping, address, route, "
                          "ospf, bgp, isis, service, "
                          "file, like {node: h1, ping: h2}",
                          test->name);
        return;
    }
    test->kind = (enum topology_test_kind)found;
    if (test->kind != TOPOLOGY_TEST_RUN && test->kind != TOPOLOGY_TEST_FILE &&
        !is_plain_word(test->what[found]))
        topology_complain(c->report, test->what_mark[found],
                          "\"%s\" cannot be looked for; give a name, an address or a URL without blanks",
                          test->what[found]);
    if (test->kind == TOPOLOGY_TEST_SERVICE && !strstr(test->what[found], "://") &&
        !strrchr(test->what[found], ':'))
        topology_complain(c->report, test->what_mark[found],
                          "\"%s\" has no port; write it like web:80 or http://web/", test->what[found]);
    if (test->kind == TOPOLOGY_TEST_FILE && test->what[found][0] != '/')
        topology_complain(c->report, test->what_mark[found],
                          "\"%s\" is no path in the guest; write it like /etc/hosts", test->what[found]);
    if (test->via && test->kind != TOPOLOGY_TEST_ROUTE)
        topology_complain(c->report, test->via_mark, "\"via\" goes with \"route\"; remove it");
}

static void check_test_patterns(struct check *c, struct topology_test *test)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GRegex) regex = test->match ? g_regex_new(test->match, G_REGEX_MULTILINE, 0, &error) : NULL;
    if (test->match && !regex)
        topology_complain(c->report, test->match_mark, "not a regular expression: %s", error->message);
    g_clear_error(&error);
    g_autoptr(JsonPath) path = test->json ? json_path_new() : NULL;
    if (path && !json_path_compile(path, test->json, &error))
        topology_complain(c->report, test->json_mark, "not a JSONPath: %s; write it like $.neighbors",
                          error->message);
    if (test->equals && !test->json)
        topology_complain(c->report, test->mark,
                          "check \"%s\" has \"equals\" without \"json\"; say where to look", test->name);
}

void topology_check_tests(struct topology *topology, guint from, struct topology_report *report)
{
    struct check c = {.topology = topology, .report = report};
    for (guint i = from; i < topology->tests->len; i++) {
        struct topology_test *test = topology->tests->pdata[i];
        if (test->node)
            need_node(&c, test->node, test->node_mark);
        check_test_kind(&c, test);
        check_test_patterns(&c, test);
    }
}

void topology_check(struct topology *topology, struct topology_report *report)
{
    g_autoptr(GHashTable) macs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    struct check c = {.topology = topology, .report = report, .macs = macs};
    check_lab_name(&c);
    check_node_names(&c);
    check_network_names(&c);
    check_links(&c);
    for (guint n = 0; n < topology->nodes->len; n++) {
        find_networks(&c, topology->nodes->pdata[n]);
        name_interfaces(&c, topology->nodes->pdata[n]);
    }
    name_links(&c);
    topology_check_uplinks(topology, report);
    topology_check_dhcp(topology, report);
    check_subnets(&c);
    for (guint n = 0; n < topology->nodes->len; n++)
        check_overlaps(&c, topology->nodes->pdata[n]);
    check_addresses(&c);
    topology_check_dhcp_settings(topology, report);
    topology_check_six(topology, report);
    topology_check_forwards(topology, report);
    topology_check_insides(topology, report);
    check_macs(&c);
    for (guint n = 0; n < topology->nodes->len; n++)
        check_routes(&c, topology->nodes->pdata[n]);
    topology_check_machines(topology, report);
    topology_check_tests(topology, 0, report);
}
