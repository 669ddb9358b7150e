/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What joins machines, of the grammar in topology_parse.h: NICs, the ends of links, links, and the bad lines
 * that all of them may have.
 */
#include "netlab/topology_line.h"
#include "netlab/topology_parse_internal.h"

#include <string.h>

enum { MOST_NICS_READ = 256 };

/* ---- NICs and link ends ---- */

static void read_address6(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_nic *nic = target;
    const char *text = topology_scalar(p, value, "an address");
    if (!text || g_str_equal(text, "auto"))
        return;
    nic->address6_mark = topology_mark_of(value);
    if (g_str_equal(text, "none"))
        nic->no_address6 = true;
    else if (topology_read_six_text(p, value, text, &nic->address6))
        nic->has_address6 = true;
}

static void read_address(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_nic *nic = target;
    const char *text = topology_scalar(p, value, "an address");
    if (!text || g_str_equal(text, "auto"))
        return;
    nic->address_mark = topology_mark_of(value);
    if (g_str_equal(text, "none"))
        nic->no_address = true;
    else if (g_str_equal(text, "dhcp"))
        nic->dhcp = true;
    else if (strchr(text, ':'))
        read_address6(p, value, key, target);
    else if (topology_read_prefix_text(p, value, text, &nic->address))
        nic->has_address = true;
}

static void read_mac(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_nic *nic = target;
    const char *text = topology_scalar(p, value, "\"mac\"");
    if (!text)
        return;
    if (!mac_parse(text, nic->mac)) {
        topology_complain(
            p->report, topology_mark_of(value),
            "\"%s\" is not a MAC address; write it like 52:54:00:12:34:56 (in quotes, if it is all digits)",
            text);
        return;
    }
    nic->has_mac = true;
    nic->mac_mark = topology_mark_of(value);
}

/* ---- bad lines ---- */

static const char *const impairment_names[] = {
    [TOPOLOGY_DELAY] = "delay",     [TOPOLOGY_JITTER] = "jitter",   [TOPOLOGY_DISTRIBUTION] = "distribution",
    [TOPOLOGY_LOSS] = "loss",       [TOPOLOGY_BURST] = "burst",     [TOPOLOGY_DUPLICATE] = "duplicate",
    [TOPOLOGY_CORRUPT] = "corrupt", [TOPOLOGY_REORDER] = "reorder", [TOPOLOGY_RATE] = "rate",
    [TOPOLOGY_LIMIT] = "limit",     [TOPOLOGY_SEED] = "seed"};
_Static_assert(G_N_ELEMENTS(impairment_names) == TOPOLOGY_IMPAIRMENTS, "a name for each");

/* The emulator knows the words in full; here a value is what begins like one, so that a mistake has its
 * place. */
void topology_read_line_word(struct parser *p, yaml_node_t *value, const struct key *key,
                             struct topology_line *line)
{
    const char *text = topology_scalar(p, value, "a property of a line");
    if (!text)
        return;
    for (int i = 0; i < TOPOLOGY_IMPAIRMENTS; i++) {
        if (!g_str_equal(impairment_names[i], key->name))
            continue;
        const char *why = topology_line_word_wrong((enum topology_impairment)i, text);
        if (why)
            topology_complain(p->report, topology_mark_of(value),
                              "\"%s\" is no %s of a line; write it like %s", text, key->name, why);
        else
            line->words[i] = (g_free(line->words[i]), g_strdup(text));
    }
}

static void read_nic_line(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    topology_read_line_word(p, value, key, &((struct topology_nic *)target)->line);
}

static void read_link_line(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    topology_read_line_word(p, value, key, &((struct topology_link *)target)->network->line);
}

static const struct key nic_keys[] = {
    ROW("address", read_address, TOPOLOGY_TYPE_ADDRESS,
        "address with prefix length; \"auto\" (from the subnet), \"dhcp\" or \"none\"", .standard = "auto",
        .example = "address: 10.1.0.7/24", .mistake = "address: 10.1.0", .guests = OURS),
    ROW("address6", read_address6, TOPOLOGY_TYPE_ADDRESS6,
        "IPv6 address; \"auto\" (from subnet6) or \"none\"", .standard = "auto",
        .example = "address6: \"fd00:1::7\"", .mistake = "address6: 10.1.0.7", .guests = OURS),
    ROW("mac", read_mac, TOPOLOGY_TYPE_MAC,
        "MAC address; otherwise made from the lab's, node's and NIC's names",
        .standard = "made from names, the same every time", .example = "mac: \"52:54:00:00:00:07\"",
        .mistake = "mac: \"52:54:00\""),
    MARKED_ROW("interface", topology_read_string, offsetof(struct topology_nic, interface),
               offsetof(struct topology_nic, interface_mark), TOPOLOGY_TYPE_INTERFACE_NAME,
               "the NIC's name in the guest; otherwise eth0, eth1, …",
               .standard = "the lowest free of eth0, eth1, …", .example = "interface: lan0",
               .mistake = "interface: \"lan 0\"", .guests = OURS),
    IMPAIRMENT_KEYS(read_nic_line, ),
};
const struct mapping topology_mapping_nic = {
    .name = "nic",
    .what = "a NIC",
    .keys = nic_keys,
    .count = G_N_ELEMENTS(nic_keys),
    .title = "NICs",
    .frame = "networks: {lan: {subnet: 10.1.0.0/24, subnet6: \"fd00:1::/64\"}}\nnodes:\n  h1: {networks: "
             "{lan: {@}}}\n",
};

static struct topology_nic *nic_new(const char *network, struct topology_mark mark)
{
    struct topology_nic *nic = g_new0(struct topology_nic, 1);
    nic->network_name = g_strdup(network);
    nic->mark = mark;
    return nic;
}

static void read_nic(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value, void *target)
{
    struct topology_node *node = target;
    if (node->nics->len >= MOST_NICS_READ) /* by aliases of aliases; the check complains about far fewer */
        return;
    struct topology_nic *nic = nic_new(name, topology_mark_of(key));
    g_ptr_array_add(node->nics, nic);
    if (topology_is_null(value))
        return;
    if (value->type == YAML_SCALAR_NODE) {
        read_address(p, value, NULL, nic);
        return;
    }
    g_autofree char *what = g_strdup_printf("the NIC of node \"%s\" on network \"%s\"", node->name, name);
    topology_read_mapping(p, value, &topology_mapping_nic, what, nic);
}

void topology_read_node_networks(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_node *node = target;
    if (topology_is_null(value))
        return;
    if (value->type == YAML_SCALAR_NODE) {
        topology_complain(p->report, topology_mark_of(value),
                          "\"networks\" of node \"%s\" must be a list or a mapping; write [%s]", node->name,
                          (const char *)value->data.scalar.value);
    } else if (value->type == YAML_MAPPING_NODE) {
        topology_read_entries(p, value, "\"networks\"", "lan: 10.1.0.1/24", read_nic, node);
    } else {
        for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
             item++) {
            yaml_node_t *entry = yaml_document_get_node(p->document, *item);
            if (entry->type == YAML_MAPPING_NODE) {
                topology_read_entries(p, entry, "an entry of \"networks\"", "lan: 10.1.0.1/24", read_nic,
                                      node);
                continue;
            }
            const char *name = topology_scalar(p, entry, "an entry of \"networks\"");
            if (name)
                g_ptr_array_add(node->nics, nic_new(name, topology_mark_of(entry)));
        }
    }
}

static void read_end_node(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_end *end = target;
    const char *text = topology_scalar(p, value, "\"node\"");
    if (!text)
        return;
    g_free(end->node);
    end->node = g_strdup(text);
    end->mark = topology_mark_of(value);
}

static void read_end_nic(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_end *end = target;
    for (size_t i = 0; i < G_N_ELEMENTS(nic_keys); i++) {
        if (g_str_equal(nic_keys[i].name, key->name))
            nic_keys[i].read(p, value, &nic_keys[i], end->nic);
    }
}

static const struct key end_keys[] = {
    ROW("node", read_end_node, TOPOLOGY_TYPE_NODE_NAME, "the node at this end", .example = "node: r1",
        .mistake = "node: r7", .is_required = true),
    ROW("interface", read_end_nic, TOPOLOGY_TYPE_INTERFACE_NAME, "the NIC's name in the guest",
        .standard = "the lowest free of eth0, eth1, …", .example = "node: r1, interface: eth5",
        .mistake = "node: r1, interface: \"\"", .guests = OURS),
    ROW("address", read_end_nic, TOPOLOGY_TYPE_ADDRESS, "address with prefix length",
        .standard = "one of the link's subnet", .example = "node: r1, address: 10.8.0.1/30",
        .mistake = "node: r1, address: ten", .guests = OURS),
    ROW("address6", read_end_nic, TOPOLOGY_TYPE_ADDRESS6, "IPv6 address",
        .standard = "one of the link's subnet6", .example = "node: r1, address6: \"fd00:8::1/64\"",
        .mistake = "node: r1, address6: \"fd00\"", .guests = OURS),
    ROW("mac", read_end_nic, TOPOLOGY_TYPE_MAC, "MAC address",
        .standard = "made from names, the same every time", .example = "node: r1, mac: \"52:54:00:00:00:07\"",
        .mistake = "node: r1, mac: \"02\""),
    IMPAIRMENT_KEYS(read_end_nic, "node: r1, "),
};
const struct mapping topology_mapping_end = {
    .name = "end",
    .what = "an end of a link",
    .keys = end_keys,
    .count = G_N_ELEMENTS(end_keys),
    .title = "Ends",
    .frame = "nodes: {r1: , r2: }\nlinks:\n  - {ends: [{@}, r2]}\n",
};

/* "r1" or "r1:eth1", at `mark`. */
static void read_end_text(struct parser *p, const char *text, struct topology_mark mark,
                          struct topology_end *end)
{
    const char *colon = strchr(text, ':');
    g_free(end->node);
    end->node = colon ? g_strndup(text, (gsize)(colon - text)) : g_strdup(text);
    end->mark = mark;
    if (colon) {
        g_free(end->nic->interface);
        end->nic->interface = g_strdup(colon + 1);
        end->nic->interface_mark =
            (struct topology_mark){mark.line, mark.column + (unsigned)(colon + 1 - text)};
    }
    if (!*end->node)
        topology_complain(p->report, mark, "\"%s\" names no node; write it like r1 or r1:eth1", text);
}

/* "r1 - r2", "r1:eth1 -- r2:eth0"; node names may have hyphens, so the separator stands between blanks. */
static bool split_ends(const char *text, char **first, char **second, unsigned *second_column)
{
    const char *at = NULL, *after = NULL;
    for (const char *c = text; *c && !at; c++) {
        if (*c == '-' && c > text && g_ascii_isspace(c[-1])) {
            after = c[1] == '-' ? c + 2 : c + 1;
            if (g_ascii_isspace(*after))
                at = c;
        }
    }
    if (!at) {
        at = strchr(text, '-');
        if (!at || strchr(at + 1, '-'))
            return false;
        after = at + 1;
    }
    while (g_ascii_isspace(*after))
        after++;
    *first = g_strstrip(g_strndup(text, (gsize)(at - text)));
    *second = g_strstrip(g_strdup(after));
    *second_column = (unsigned)(after - text);
    if (**first && **second && !strpbrk(*first, " \t") && !strpbrk(*second, " \t"))
        return true;
    g_clear_pointer(first, g_free);
    g_clear_pointer(second, g_free);
    return false;
}

static struct topology_link *link_new(struct parser *p, struct topology_mark mark)
{
    struct topology_link *link = g_new0(struct topology_link, 1);
    link->mark = mark;
    link->network = g_new0(struct topology_network, 1);
    link->network->kind = TOPOLOGY_LINK;
    link->network->mark = mark;
    for (int i = 0; i < 2; i++) {
        link->ends[i].nic = nic_new(NULL, mark);
        link->ends[i].mark = mark;
    }
    g_ptr_array_add(p->topology->links, link);
    return link;
}

static void read_ends(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_link *link = target;
    if (value->type != YAML_SEQUENCE_NODE ||
        value->data.sequence.items.top - value->data.sequence.items.start != 2) {
        topology_complain(
            p->report, topology_mark_of(value), "\"ends\" must be a list of two ends like [r1:eth1, r2]%s",
            value->type == YAML_SEQUENCE_NODE ? "; a segment with more nodes goes under \"networks\"" : "");
        return;
    }
    for (int i = 0; i < 2; i++) {
        yaml_node_t *entry = yaml_document_get_node(p->document, value->data.sequence.items.start[i]);
        link->ends[i].mark = link->ends[i].nic->mark = topology_mark_of(entry);
        if (entry->type == YAML_MAPPING_NODE) {
            topology_read_mapping(p, entry, &topology_mapping_end, "an end of a link", &link->ends[i]);
        } else {
            const char *text = topology_scalar(p, entry, "an end of a link");
            if (text)
                read_end_text(p, text, topology_mark_of(entry), &link->ends[i]);
        }
    }
}

/* ---- links ---- */

static void read_link_subnet(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    topology_read_subnet(p, value, key, ((struct topology_link *)target)->network);
}

static void read_link_subnet6(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    topology_read_subnet6(p, value, key, ((struct topology_link *)target)->network);
}

static void read_link_mtu(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    topology_read_mtu(p, value, key, ((struct topology_link *)target)->network);
}

static void read_link_name(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_link *link = target;
    const char *text = topology_scalar(p, value, "\"name\"");
    if (!text)
        return;
    g_free(link->network->name);
    link->network->name = g_strdup(text);
    link->network->mark = topology_mark_of(value);
    link->has_name = true;
}

static const struct key link_keys[] = {
    ROW("ends", read_ends, TOPOLOGY_TYPE_ENDS, "the two ends: [r1, r2], [r1:eth1, r2:eth0] or mappings",
        .example = "ends: [r1:eth1, r2]", .mistake = "ends: [r1]", .is_required = true),
    ROW("subnet", read_link_subnet, TOPOLOGY_TYPE_IPV4_NETWORK, "IPv4 subnet; otherwise a /30 from the pool",
        .standard = "that of an end's address, else a /30 of `pool`",
        .example = "ends: [r1, r2], subnet: 10.0.9.0/30", .mistake = "ends: [r1, r2], subnet: 10.0.9.0"),
    ROW("subnet6", read_link_subnet6, TOPOLOGY_TYPE_SUBNET6, "IPv6 subnet, or \"auto\"",
        .standard = "no IPv6 addresses", .example = "ends: [r1, r2], subnet6: auto",
        .mistake = "ends: [r1, r2], subnet6: yes"),
    MARKED_ROW("mtu", read_link_mtu, offsetof(struct topology_network, mtu),
               offsetof(struct topology_network, mtu_mark), TOPOLOGY_TYPE_MTU, "largest packet in bytes",
               .standard = "1500", .example = "ends: [r1, r2], mtu: 1280",
               .mistake = "ends: [r1, r2], mtu: 64"),
    ROW("name", read_link_name, TOPOLOGY_TYPE_NETWORK_NAME, "the link's name in status and messages",
        .standard = "like r1:eth0-r2:eth0", .example = "ends: [r1, r2], name: backup",
        .mistake = "ends: [r1, r2], name: \"the backup\""),
    IMPAIRMENT_KEYS(read_link_line, "ends: [r1, r2], "),
};
const struct mapping topology_mapping_link = {
    .name = "link",
    .what = "a link",
    .keys = link_keys,
    .count = G_N_ELEMENTS(link_keys),
    .title = "Links",
    .frame = "nodes: {r1: , r2: }\nlinks:\n  - {@}\n",
};

void topology_read_links(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    if (topology_is_null(value))
        return;
    if (value->type != YAML_SEQUENCE_NODE) {
        topology_complain(p->report, topology_mark_of(value),
                          "\"links\" must be a list like [r1 - r2], this is %s", topology_kind_of(value));
        return;
    }
    for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
         item++) {
        yaml_node_t *entry = yaml_document_get_node(p->document, *item);
        if (entry->type == YAML_MAPPING_NODE) {
            struct topology_link *link = link_new(p, topology_mark_of(entry));
            topology_read_mapping(p, entry, &topology_mapping_link, "a link", link);
            continue;
        }
        const char *text = topology_scalar(p, entry, "a link");
        g_autofree char *first = NULL, *second = NULL;
        unsigned column = 0;
        if (!text)
            continue;
        if (!split_ends(text, &first, &second, &column)) {
            topology_complain(p->report, topology_mark_of(entry),
                              "\"%s\" is not a link; write it like \"r1 - r2\" or \"r1:eth1 - r2:eth1\"",
                              text);
            continue;
        }
        struct topology_link *link = link_new(p, topology_mark_of(entry));
        struct topology_mark mark = topology_mark_of(entry);
        if (entry->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
            mark.column++; /* the quote */
        read_end_text(p, first, mark, &link->ends[0]);
        mark.column += column;
        read_end_text(p, second, mark, &link->ends[1]);
    }
}
