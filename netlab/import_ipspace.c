/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Topologies of ipspace's netlab (netlab.tools): nodes, groups, links, addressing pools. Addresses are
 * numbered as that program numbers them (its defaults for pools, nodes by their number, loopbacks by it), so
 * that what people know of their lab stays true. Keys with dots (`ospf.area: 1`) are the same as nested ones.
 *
 * The modules ospf, isis and bgp become FRR configuration in import_ipspace_frr.c; devices of other makes are
 * FRR routers here, which the notes say.
 */
#include "netlab/import_ipspace.h"

#include "netlab/topology_six.h"

#include <stdio.h>
#include <string.h>

enum { LINK_ENDS_MOST = 200, GROUP_DEPTH = 4 };

const struct yaml_tree *ipspace_dig(const struct yaml_tree *tree, const char *path)
{
    const struct yaml_tree *found = yaml_tree_get(tree, path, NULL);
    for (const char *dot = strchr(path, '.'); dot && !found; dot = strchr(dot + 1, '.')) {
        g_autofree char *head = g_strndup(path, (gsize)(dot - path));
        const struct yaml_tree *inner = yaml_tree_get(tree, head, NULL);
        found = inner ? ipspace_dig(inner, dot + 1) : NULL;
    }
    return found;
}

static bool is_member(const struct yaml_tree *list, const char *name)
{
    for (guint i = 0; i < yaml_tree_count(list); i++) {
        const char *text = yaml_tree_text(yaml_tree_item(list, i));
        if (text && g_str_equal(text, name))
            return true;
    }
    return false;
}

/* "65000": what the node itself or bgp.as_list says, for the groups that are called after AS; "": nothing. */
static void find_as(const struct ipspace *t, struct ipspace_node *n)
{
    const char *own = yaml_tree_text(ipspace_dig(n->tree, "bgp.as"));
    const struct yaml_tree *list = ipspace_dig(t->root, "bgp.as_list");
    g_strlcpy(n->as, own ? own : "", sizeof n->as);
    for (guint i = 0; list && list->kind == YAML_TREE_MAP && !own && i < yaml_tree_count(list); i++)
        if (is_member(yaml_tree_get(yaml_tree_item(list, i), "members", NULL), n->name))
            g_strlcpy(n->as, yaml_tree_key(list, i), sizeof n->as);
}

/* What a node's groups say of it. */
static const struct yaml_tree *dig_groups(const struct ipspace *t, const struct ipspace_node *n,
                                          const char *path)
{
    const struct yaml_tree *groups = yaml_tree_get(t->root, "groups", NULL);
    for (guint i = 0; groups && groups->kind == YAML_TREE_MAP && i < yaml_tree_count(groups); i++) {
        const struct yaml_tree *group = yaml_tree_item(groups, i);
        const char *own = yaml_tree_text(yaml_tree_get(n->tree, "group", NULL)),
                   *name = yaml_tree_key(groups, i);
        const struct yaml_tree *members =
            group->kind == YAML_TREE_LIST ? group : yaml_tree_get(group, "members", NULL);
        bool is_as = !members && g_str_has_prefix(name, "as") && g_str_equal(name + 2, n->as);
        if (!is_member(members, n->name) && !(own && g_str_equal(own, name)) && !is_as)
            continue;
        const struct yaml_tree *found = ipspace_dig(group, path);
        if (!found)
            found = ipspace_dig(yaml_tree_get(group, "node_data", NULL), path);
        if (found)
            return found;
    }
    return NULL;
}

const struct yaml_tree *ipspace_of_node(const struct ipspace *t, const struct ipspace_node *n,
                                        const char *path)
{
    const struct yaml_tree *found = ipspace_dig(n->tree, path);
    if (!found)
        found = dig_groups(t, n, path);
    if (!found)
        found = ipspace_dig(t->root, path);
    if (found)
        return found;
    g_autofree char *standard = g_strconcat("defaults.", path, NULL);
    return ipspace_dig(t->root, standard);
}

struct ipspace_node *ipspace_find(const struct ipspace *t, const char *name)
{
    for (guint i = 0; i < t->nodes->len; i++)
        if (g_str_equal(((struct ipspace_node *)t->nodes->pdata[i])->name, name))
            return t->nodes->pdata[i];
    return NULL;
}

/* ---- nodes ---- */

static void choose_device(struct ipspace *t, struct ipspace_node *n, struct topology_mark mark)
{
    const char *device = yaml_tree_text(ipspace_of_node(t, n, "device")),
               *role = yaml_tree_text(ipspace_of_node(t, n, "role")),
               *image = yaml_tree_text(ipspace_of_node(t, n, "image"));
    g_autofree char *what = g_strdup_printf("node %s: device %s", n->name, device ? device : "none");
    n->is_host = (device && (g_str_equal(device, "linux") || g_str_equal(device, "dnsmasq"))) ||
                 (role && g_str_equal(role, "host"));
    if (device && g_str_equal(device, "linux") && role && g_str_equal(role, "router"))
        n->is_host = false;
    n->node->image = n->is_host ? "host" : "router";
    n->node->needs_router = !n->is_host;
    if (!device)
        import_note(t->lab, IMPORT_APPROXIMATED, mark, what, "image %s", n->node->image);
    else if (g_str_equal(device, "frr") || g_str_equal(device, "linux"))
        import_note(t->lab, IMPORT_MAPPED, mark, what, "image %s", n->node->image);
    else if (g_str_equal(device, "dnsmasq"))
        import_note(t->lab, IMPORT_LEFT, mark, what,
                    "image host; its configuration is not made (see dhcp: of a network)");
    else
        import_note(t->lab, IMPORT_APPROXIMATED, mark, what,
                    "image %s: FRR in place of that device; its own templates are left out", n->node->image);
    if (image && n->is_host)
        import_choose_image(t->lab, n->node, image, mark);
}

static void number_loopback(struct ipspace *t, struct ipspace_node *n)
{
    const struct yaml_tree *own = ipspace_dig(n->tree, "loopback.ipv4");
    const char *pool_text = yaml_tree_text(ipspace_dig(t->root, "addressing.loopback.ipv4")),
               *none = yaml_tree_text(ipspace_dig(n->tree, "loopback"));
    struct ipv4_prefix pool, address;
    if (n->is_host || (none && g_ascii_strcasecmp(none, "false") == 0))
        return;
    if (yaml_tree_text(own) && ipv4_parse(yaml_tree_text(own), &address) && address.address >> 24 != 127 &&
        address.address >> 24 != 0 && address.address >> 24 < 224) {
        address.length = 32;
    } else {
        if (!pool_text || !ipv4_parse(pool_text, &pool) || pool.length > 30 || pool.length < 4)
            ipv4_parse("10.0.0.0/24", &pool);
        address.address = (pool.address & ipv4_mask(pool.length)) + n->id;
        address.length = 32;
        if (!ipv4_contains(pool, address.address))
            return;
    }
    n->loopback = address.address;
    n->node->loopback = ipv4_format(address);
}

/* What `id:` says, 0: nothing or no number that can be one. */
static unsigned said_id(const struct yaml_tree *tree)
{
    guint64 id;
    const char *text = yaml_tree_text(yaml_tree_get(tree, "id", NULL));
    return text && g_ascii_string_to_unsigned(text, 10, 1, IPSPACE_ID_MOST, &id, NULL) ? (unsigned)id : 0;
}

/* A node's number: its own word, otherwise the lowest that no node has or says. */
static unsigned choose_id(struct ipspace *t, const struct ipspace_node *n, struct topology_mark mark)
{
    unsigned id = said_id(n->tree), free_id = 1;
    bool is_said = yaml_tree_get(n->tree, "id", &mark) != NULL, is_double = false;
    for (guint i = 0; i < t->nodes->len; i++)
        is_double |= ((const struct ipspace_node *)t->nodes->pdata[i])->id == id;
    if (id && !is_double)
        return id;
    while (free_id < IPSPACE_ID_MOST && t->taken[free_id])
        free_id++;
    t->taken[free_id] = true;
    g_autofree char *what = g_strdup_printf("node %s: id", n->name);
    if (is_said)
        import_note(t->lab, IMPORT_LEFT, mark, what, "%s; it is %u here",
                    is_double ? "another node has it" : "must be a number up to 1000", free_id);
    return free_id;
}

static void add_node(struct ipspace *t, const char *name, const struct yaml_tree *tree,
                     struct topology_mark mark)
{
    struct import_node *node = name && !ipspace_find(t, name) ? import_node_add(t->lab, name, mark) : NULL;
    if (!node)
        return;
    struct ipspace_node *n = g_new0(struct ipspace_node, 1);
    n->name = node->source_name;
    n->tree = tree && tree->kind == YAML_TREE_MAP ? tree : NULL;
    n->node = node;
    n->id = choose_id(t, n, mark);
    g_ptr_array_add(t->nodes, n);
    find_as(t, n);
    choose_device(t, n, mark);
    number_loopback(t, n);
}

/* The nodes of a list or mapping. */
static void add_nodes(struct ipspace *t, const struct yaml_tree *nodes)
{
    bool is_map = nodes && nodes->kind == YAML_TREE_MAP;
    for (guint i = 0; i < yaml_tree_count(nodes); i++) {
        unsigned id = said_id(yaml_tree_item(nodes, i));
        t->taken[id] = true;
    }
    for (guint i = 0; i < yaml_tree_count(nodes); i++) {
        const struct yaml_tree *item = yaml_tree_item(nodes, i);
        if (is_map)
            add_node(t, yaml_tree_key(nodes, i), item, yaml_tree_key_mark(nodes, i));
        else if (yaml_tree_text(item))
            add_node(t, yaml_tree_text(item), NULL, item->mark);
        else
            add_node(t, yaml_tree_text(yaml_tree_get(item, "name", NULL)), item, item->mark);
    }
}

/* Members of groups that are nodes by `_auto_create: True`, of one group or of all. */
static void add_members(struct ipspace *t)
{
    const struct yaml_tree *groups = yaml_tree_get(t->root, "groups", NULL);
    bool is_map = groups && groups->kind == YAML_TREE_MAP;
    const char *all = yaml_tree_text(yaml_tree_get(groups, "_auto_create", NULL));
    for (guint i = 0; is_map && i < yaml_tree_count(groups); i++) {
        const struct yaml_tree *group = yaml_tree_item(groups, i);
        const char *own = yaml_tree_text(yaml_tree_get(group, "_auto_create", NULL)), *word = own ? own : all;
        const struct yaml_tree *members =
            group->kind == YAML_TREE_LIST ? group : yaml_tree_get(group, "members", NULL);
        if (!word || g_ascii_strcasecmp(word, "true") != 0)
            continue;
        for (guint k = 0; k < yaml_tree_count(members); k++) {
            const struct yaml_tree *member = yaml_tree_item(members, k);
            const char *name = yaml_tree_text(member);
            if (name && !yaml_tree_get(groups, name, NULL))
                add_node(t, name, NULL, member->mark);
        }
    }
}

/* Attributes that nothing here reads: `what` and the key, left out. */
static void note_unknown(struct ipspace *t, const struct yaml_tree *map, const char *what,
                         const char *const *known)
{
    for (guint i = 0; map && map->kind == YAML_TREE_MAP && i < yaml_tree_count(map); i++) {
        const char *key = yaml_tree_key(map, i);
        g_autofree char *head = g_strndup(key, strcspn(key, "."));
        if (g_strv_contains(known, head) || g_strv_contains(known, key))
            continue;
        static const char *const without_effect[] = {"provider", "graph", "license", "mgmt", "box", NULL};
        bool harmless = g_strv_contains(without_effect, head);
        g_autofree char *shown = g_strdup_printf("%s: %s", what, key);
        import_note(t->lab, harmless ? IMPORT_APPROXIMATED : IMPORT_LEFT, yaml_tree_key_mark(map, i), shown,
                    g_str_equal(key, "config") ? "templates of devices; write FRR's configuration under frr:"
                    : harmless                 ? "has no meaning here"
                                               : "not known here");
    }
}

static void note_groups(struct ipspace *t)
{
    static const char *const known[] = {"members",   "module",       "device", "role", "bgp",
                                        "ospf",      "isis",         "image",  "type", "name",
                                        "node_data", "_auto_create", NULL};
    const struct yaml_tree *groups = yaml_tree_get(t->root, "groups", NULL);
    for (guint i = 0; groups && groups->kind == YAML_TREE_MAP && i < yaml_tree_count(groups); i++) {
        g_autofree char *what = g_strdup_printf("group %s", yaml_tree_key(groups, i));
        note_unknown(t, yaml_tree_item(groups, i), what, known);
        ipspace_note_attributes(t, what, yaml_tree_item(groups, i));
    }
}

static void note_node(struct ipspace *t, const struct ipspace_node *n)
{
    static const char *const known[] = {"device", "role", "id",   "module",   "loopback", "group", "image",
                                        "bgp",    "ospf", "isis", "provider", "name",     NULL};
    g_autofree char *what = g_strdup_printf("node %s", n->name);
    note_unknown(t, n->tree, what, known);
}

/* ---- addresses of links ---- */

/* The pool's next subnet of its length. */
static bool next_subnet(struct ipspace_pool *pool, struct ipv4_prefix *out)
{
    uint64_t size = 1ull << (32 - pool->prefix);
    uint64_t at = (uint64_t)pool->base.address + size * pool->used;
    if (at + size > (uint64_t)pool->base.address + (1ull << (32 - pool->base.length)))
        return false;
    pool->used++;
    *out = (struct ipv4_prefix){(uint32_t)at, (uint8_t)pool->prefix};
    return true;
}

static void read_pool(const struct ipspace *t, struct ipspace_pool *pool, const char *name,
                      const char *standard, unsigned prefix)
{
    g_autofree char *four = g_strdup_printf("addressing.%s.ipv4", name),
                    *six = g_strdup_printf("addressing.%s.ipv6", name),
                    *length = g_strdup_printf("addressing.%s.prefix", name);
    const char *text = yaml_tree_text(ipspace_dig(t->root, four)),
               *length_text = yaml_tree_text(ipspace_dig(t->root, length)),
               *six_text = yaml_tree_text(ipspace_dig(t->root, six));
    guint64 number;
    if (!text || !ipv4_parse(text, &pool->base) || pool->base.length > 30 || pool->base.length < 4)
        ipv4_parse(standard, &pool->base);
    pool->base.address &= ipv4_mask(pool->base.length);
    pool->prefix = length_text && g_ascii_string_to_unsigned(length_text, 10, 8, 31, &number, NULL)
                       ? (unsigned)number
                       : prefix;
    if (pool->prefix < pool->base.length)
        pool->prefix = pool->base.length;
    pool->has_six = six_text && ipv6_parse(six_text, &pool->six) && pool->six.length <= 64;
}

struct end {
    struct ipspace_node *node;
    const struct yaml_tree *tree; /* NULL: nothing is said */
};

/* tc.delay and the like: a number, in our unit unless it says another. */
static void line_word(struct ipspace *t, struct import_segment *segment, const struct yaml_tree *link,
                      const char *path, const char *ours, const char *unit)
{
    const struct yaml_tree *said = ipspace_dig(link, path);
    const char *text = yaml_tree_text(said);
    if (!text || !*text)
        return;
    gsize digits = strspn(text, "0123456789");
    gsize whole = digits + (text[digits] == '.' ? 1 + strspn(text + digits + 1, "0123456789") : 0);
    const char *rest = text + whole;
    if (digits && whole <= 8 && (!*rest || g_str_equal(rest, unit))) {
        g_ptr_array_add(segment->line, g_strdup_printf("%s: %.*s%s", ours, (int)whole, text, unit));
        return;
    }
    g_autofree char *what = g_strdup_printf("network %s: %s %s", segment->name, path, text);
    import_note(t->lab, IMPORT_LEFT, said->mark, what, "write it at the network, like %s: 10%s", ours, unit);
}

static void read_mtu(struct ipspace *t, struct import_segment *segment, const struct yaml_tree *link)
{
    const struct yaml_tree *said = yaml_tree_get(link, "mtu", NULL);
    const char *mtu = yaml_tree_text(said);
    guint64 number;
    if (mtu && g_ascii_string_to_unsigned(mtu, 10, 576, 1500, &number, NULL)) {
        segment->mtu = (unsigned)number;
    } else if (mtu) {
        g_autofree char *what = g_strdup_printf("network %s: mtu %s", segment->name, mtu);
        import_note(t->lab, IMPORT_APPROXIMATED, said->mark, what, "576 to 1500 are possible, 1500 it is");
    }
}

/* The subnet of a link: its own prefix, else the next of its pool; false: it has none. */
static bool choose_subnet(struct ipspace *t, const struct yaml_tree *link, struct ipspace_pool *pool,
                          struct ipv4_prefix *subnet)
{
    const struct yaml_tree *prefix = yaml_tree_get(link, "prefix", NULL);
    const char *text = yaml_tree_text(prefix);
    if (!text)
        text = yaml_tree_text(ipspace_dig(link, "prefix.ipv4"));
    if (text && g_ascii_strcasecmp(text, "false") == 0)
        return false;
    if (text && ipv4_parse(text, subnet) && subnet->length >= 4 && subnet->length <= 31) {
        subnet->address &= ipv4_mask(subnet->length);
        return true;
    }
    return next_subnet(pool, subnet);
}

static void number_end(struct ipspace *t, struct ipspace_nic *nic, const struct end *end, guint index,
                       bool is_point_to_point, const struct ipv4_prefix *subnet, struct topology_mark mark)
{
    const char *own = yaml_tree_text(yaml_tree_get(end->tree, "ipv4", NULL));
    struct ipv4_prefix address = *subnet;
    guint64 number;
    bool small = subnet->length >= 31;
    address.address += is_point_to_point ? index + !small : end->node->id;
    if (own && g_ascii_string_to_unsigned(own, 10, 1, 65535, &number, NULL))
        address.address = subnet->address + (uint32_t)number;
    else if (own && strchr(own, '.') && ipv4_parse(own, &address) && address.length > 32)
        address.length = subnet->length;
    else if (own && g_ascii_strcasecmp(own, "false") == 0)
        return;
    g_autofree char *text = ipv4_format(address), *inside = ipv4_format(*subnet);
    bool is_inside = (own && strchr(own, '.')) || ipv4_contains(*subnet, address.address);
    if (is_inside && import_nic_address(t->lab, end->node->node, nic->nic->interface, text)) {
        nic->address = address;
        return;
    }
    g_autofree char *what = g_strdup_printf("node %s, %s: address", end->node->name, nic->nic->interface);
    import_note(t->lab, IMPORT_LEFT, mark, what, "%s is not free or no host's in %s; give one by ipv4:", text,
                inside);
}

static void number_six(struct ipspace *t, const struct ipspace_nic *nic, guint index, bool is_point_to_point,
                       const struct ipspace_pool *pool)
{
    struct ipv6_prefix prefix = pool->six;
    unsigned number = pool->used ? pool->used - 1 : 0; /* as the IPv4 subnet's */
    prefix.bytes[6] |= (uint8_t)(number >> 8);
    prefix.bytes[7] |= (uint8_t)number;
    prefix.bytes[15] = (uint8_t)(is_point_to_point ? index + 1 : nic->owner->id);
    prefix.length = 64;
    g_autofree char *text = ipv6_format(&prefix);
    import_nic_address(t->lab, nic->owner->node, nic->nic->interface, text);
}

static void note_link(struct ipspace *t, const struct yaml_tree *link, const char *name)
{
    static const char *const known[] = {"prefix", "type", "mtu",  "tc",   "interfaces", "name", "group",
                                        "ospf",   "isis", "role", "pool", "members",    "bgp",  NULL};
    g_autofree char *what = g_strdup_printf("link %s", name);
    for (guint i = 0; link && link->kind == YAML_TREE_MAP && i < yaml_tree_count(link); i++) {
        const char *key = yaml_tree_key(link, i);
        g_autofree char *head = g_strndup(key, strcspn(key, "."));
        if (ipspace_find(t, key) || g_strv_contains(known, head))
            continue;
        bool is_unnumbered = g_str_equal(key, "unnumbered");
        g_autofree char *shown = g_strdup_printf("%s: %s", what, key);
        import_note(t->lab, is_unnumbered ? IMPORT_APPROXIMATED : IMPORT_LEFT, yaml_tree_key_mark(link, i),
                    shown, is_unnumbered ? "its ends have addresses here" : "not known here");
    }
}

static void read_role(struct ipspace *t, struct ipspace_link *link, struct topology_mark mark)
{
    const char *role = yaml_tree_text(yaml_tree_get(link->tree, "role", NULL));
    if (!role)
        role = yaml_tree_text(yaml_tree_get(link->group, "role", NULL));
    if (!role)
        return;
    g_autofree char *what = g_strdup_printf("link: role %s", role);
    link->is_outside = g_str_equal(role, "external");
    if (g_str_equal(role, "stub") || g_str_equal(role, "passive"))
        link->is_stub = true;
    else if (!link->is_outside)
        import_note(t->lab, IMPORT_LEFT, mark, what, "not known here");
}

static void make_link(struct ipspace *t, const struct yaml_tree *link, const struct yaml_tree *group,
                      GArray *ends, struct topology_mark mark)
{
    g_autoptr(GString) name = g_string_new(NULL);
    bool has_host = false;
    for (guint i = 0; i < ends->len; i++) {
        const struct end *end = &g_array_index(ends, struct end, i);
        g_string_append_printf(name, "%s%s", i ? "-" : "", end->node->name);
        has_host |= end->node->is_host;
    }
    const char *type = yaml_tree_text(yaml_tree_get(link, "type", NULL));
    if (type && (g_str_equal(type, "loopback") || g_str_equal(type, "tunnel") || g_str_equal(type, "lag"))) {
        g_autofree char *what = g_strdup_printf("link %s: type %s", name->str, type);
        import_note(t->lab, IMPORT_LEFT, mark, what, "not known here");
        return;
    }
    bool is_point_to_point = ends->len == 2 && (type ? g_str_equal(type, "p2p")
                                                     : !has_host && !yaml_tree_get(link, "bridge", NULL));
    struct import_segment *segment = import_segment_add(t->lab, name->str, mark);
    if (!segment)
        return;
    struct ipspace_link *made = g_new0(struct ipspace_link, 1);
    made->tree = link;
    made->group = group;
    made->is_point_to_point = is_point_to_point;
    made->is_stub = ends->len == 1;
    read_role(t, made, mark);
    made->nics = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(t->links, made);
    struct ipspace_pool *pool = is_point_to_point ? &t->point_to_point : &t->lan;
    struct ipv4_prefix subnet;
    bool has_subnet = choose_subnet(t, link, pool, &subnet);
    read_mtu(t, segment, link);
    line_word(t, segment, link, "tc.delay", "delay", "ms");
    line_word(t, segment, link, "tc.jitter", "jitter", "ms");
    line_word(t, segment, link, "tc.loss", "loss", "%");
    line_word(t, segment, link, "tc.rate", "rate", "k");
    for (guint i = 0; i < ends->len; i++) {
        const struct end *end = &g_array_index(ends, struct end, i);
        static const char *const known[] = {"node", "ipv4", "ipv6", "ospf", "isis", "bgp", NULL};
        g_autofree char *interface = g_strdup_printf("eth%u", ++end->node->interfaces);
        g_autofree char *shown_end = g_strdup_printf("link %s, %s", name->str, end->node->name);
        note_unknown(t, end->tree, shown_end, known);
        ipspace_note_attributes(t, shown_end, end->tree);
        struct import_nic *nic = import_nic_add(t->lab, end->node->node, segment, interface, mark);
        if (!nic)
            continue;
        struct ipspace_nic *entry = g_new0(struct ipspace_nic, 1);
        *entry = (struct ipspace_nic){.nic = nic, .owner = end->node, .tree = end->tree};
        g_ptr_array_add(made->nics, entry);
        if (has_subnet)
            number_end(t, entry, end, i, is_point_to_point, &subnet, mark);
        if (pool->has_six)
            number_six(t, entry, i, is_point_to_point, pool);
    }
    g_autofree char *what = g_strdup_printf("link %s", name->str);
    g_autofree char *shown = has_subnet ? ipv4_format(subnet) : g_strdup("no addresses");
    import_note(t->lab, IMPORT_MAPPED, mark, what, "network %s, %s", segment->name, shown);
    note_link(t, link, name->str);
    ipspace_note_attributes(t, what, link);
}

static void read_link(struct ipspace *t, const struct yaml_tree *link, const struct yaml_tree *group,
                      unsigned depth)
{
    g_autoptr(GArray) ends = g_array_new(FALSE, TRUE, sizeof(struct end));
    const char *text = yaml_tree_text(link);
    const struct yaml_tree *members = yaml_tree_get(link, "members", NULL),
                           *interfaces = yaml_tree_get(link, "interfaces", NULL);
    const char *missing = NULL;
    if (members && depth < GROUP_DEPTH) {
        const char *name = yaml_tree_text(yaml_tree_get(link, "group", NULL));
        g_autofree char *what = g_strdup_printf("group %s of links", name ? name : "");
        note_link(t, link, what);
        ipspace_note_attributes(t, what, link);
        for (guint i = 0; i < yaml_tree_count(members); i++)
            read_link(t, yaml_tree_item(members, i), link, depth + 1);
        return;
    }
    g_auto(GStrv) names = g_strsplit(text ? text : "", "-", LINK_ENDS_MOST);
    for (guint i = 0; text && names[i]; i++) {
        struct end end = {ipspace_find(t, g_strstrip(names[i])), NULL};
        if (end.node)
            g_array_append_val(ends, end);
        else
            missing = names[i];
    }
    const struct yaml_tree *list = interfaces ? interfaces : link->kind == YAML_TREE_LIST ? link : NULL;
    for (guint i = 0; i < MIN(yaml_tree_count(list), LINK_ENDS_MOST); i++) {
        const struct yaml_tree *entry = yaml_tree_item(list, i);
        const char *name = yaml_tree_text(entry) ? yaml_tree_text(entry)
                                                 : yaml_tree_text(yaml_tree_get(entry, "node", NULL));
        struct end end = {name ? ipspace_find(t, name) : NULL, entry};
        if (end.node)
            g_array_append_val(ends, end);
        else
            missing = name ? name : "an entry";
    }
    for (guint i = 0; !list && link->kind == YAML_TREE_MAP && i < MIN(yaml_tree_count(link), LINK_ENDS_MOST);
         i++) {
        struct end end = {ipspace_find(t, yaml_tree_key(link, i)), yaml_tree_item(link, i)};
        if (end.node)
            g_array_append_val(ends, end);
    }
    if (missing)
        import_note(t->lab, IMPORT_LEFT, link->mark, "link", "there is no node %s", missing);
    else if (!ends->len)
        import_note(t->lab, IMPORT_LEFT, link->mark, "link", "no nodes in it");
    if (ends->len && !missing)
        make_link(t, text ? NULL : link, group, ends, link->mark);
}

/* vrfs: {red: {links: [h1-r1]}}: the links are there, but are not kept apart. */
static void read_vrf_links(struct ipspace *t)
{
    const struct yaml_tree *vrfs = yaml_tree_get(t->root, "vrfs", NULL);
    for (guint i = 0; vrfs && vrfs->kind == YAML_TREE_MAP && i < yaml_tree_count(vrfs); i++) {
        const struct yaml_tree *links = yaml_tree_get(yaml_tree_item(vrfs, i), "links", NULL);
        for (guint k = 0; k < yaml_tree_count(links); k++)
            read_link(t, yaml_tree_item(links, k), NULL, 0);
    }
}

/* Hosts reach the rest through the first router of their link. */
static void route_hosts(struct ipspace *t)
{
    for (guint l = 0; l < t->links->len; l++) {
        const struct ipspace_link *link = t->links->pdata[l];
        const struct ipspace_nic *gateway = NULL;
        for (guint i = 0; i < link->nics->len && !gateway; i++) {
            const struct ipspace_nic *nic = link->nics->pdata[i];
            if (!nic->owner->is_host && nic->address.length)
                gateway = nic;
        }
        for (guint i = 0; i < link->nics->len && gateway; i++) {
            const struct ipspace_nic *nic = link->nics->pdata[i];
            struct ipv4_prefix via = {gateway->address.address, IPV4_NO_LENGTH};
            if (nic->owner->is_host && nic->address.length && !nic->owner->node->gateway)
                nic->owner->node->gateway = ipv4_format(via);
        }
    }
}

static void note_top(struct ipspace *t)
{
    static const char *const read_here[] = {"nodes", "links", "groups",   "addressing", "module", "ospf",
                                            "bgp",   "isis",  "defaults", "name",       "device", NULL},
                             *const without_effect[] = {"provider", "message", "version",
                                                        "input",    "tools",   NULL};
    for (guint i = 0; i < yaml_tree_count(t->root); i++) {
        const char *key = yaml_tree_key(t->root, i);
        g_autofree char *head = g_strndup(key, strcspn(key, "."));
        struct topology_mark mark = yaml_tree_key_mark(t->root, i);
        static const char *const defaults[] = {"device", "name", "ospf", "bgp", "isis", "module", NULL},
                                 *const addressing[] = {"loopback", "lan", "p2p", "mgmt", NULL},
                                 *const pool[] = {"ipv4", "ipv6", "prefix", "start", "_description", NULL};
        const struct yaml_tree *value = yaml_tree_item(t->root, i);
        if (g_str_equal(key, "defaults"))
            note_unknown(t, value, key, defaults);
        else if (g_str_equal(key, "addressing"))
            note_unknown(t, value, key, addressing);
        for (guint k = 0; g_str_equal(key, "addressing") && k < yaml_tree_count(value); k++)
            note_unknown(t, yaml_tree_item(value, k), key, pool);
        ipspace_note_module(t, key, value, mark);
        if (g_str_has_prefix(key, "defaults.") && !g_str_equal(key, "defaults.device"))
            import_note(t->lab, IMPORT_APPROXIMATED, mark, key, "has no meaning here");
        if (g_strv_contains(read_here, head))
            continue;
        bool harmless = g_strv_contains(without_effect, head);
        import_note(t->lab, harmless ? IMPORT_APPROXIMATED : IMPORT_LEFT, mark, key,
                    g_str_equal(head, "validate") ? "write it under checks:, for netlab validate"
                    : harmless                    ? "has no meaning here"
                                                  : "not known here");
    }
}

static void link_free(void *data)
{
    struct ipspace_link *link = data;
    g_ptr_array_unref(link->nics);
    g_free(link);
}

bool import_read_ipspace(struct import_lab *lab, const char *text, size_t length, GError **error)
{
    struct yaml_tree *root = yaml_tree_load(text, length, lab->shown, error);
    if (!root)
        return false;
    struct ipspace t = {.lab = lab,
                        .root = root,
                        .nodes = g_ptr_array_new_with_free_func(g_free),
                        .links = g_ptr_array_new_with_free_func(link_free)};
    const struct yaml_tree *nodes = yaml_tree_get(root, "nodes", NULL),
                           *links = yaml_tree_get(root, "links", NULL);
    const char *name = yaml_tree_text(yaml_tree_get(root, "name", NULL));
    if (nodes && nodes->kind != YAML_TREE_TEXT)
        add_nodes(&t, nodes);
    add_members(&t);
    bool good = nodes ? nodes->kind != YAML_TREE_TEXT : t.nodes->len > 0;
    if (!good)
        g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_INVALID,
                    "%s:%u:%u: a topology of ipspace's netlab has nodes: as a list or mapping, this has not",
                    lab->shown, (nodes ? nodes : root)->mark.line, (nodes ? nodes : root)->mark.column);
    if (good && name) {
        g_free(lab->name);
        lab->name = import_clean_name(name, "-_", 32);
    }
    read_pool(&t, &t.lan, "lan", "172.16.0.0/16", 24);
    read_pool(&t, &t.point_to_point, "p2p", "10.1.0.0/16", 30);
    for (guint i = 0; good && i < yaml_tree_count(links); i++)
        read_link(&t, yaml_tree_item(links, i), NULL, 0);
    if (good)
        read_vrf_links(&t);
    if (good) {
        route_hosts(&t);
        for (guint i = 0; i < t.nodes->len; i++) {
            note_node(&t, t.nodes->pdata[i]);
            ipspace_configure(&t, t.nodes->pdata[i]);
        }
        note_groups(&t);
        note_top(&t);
    }
    g_ptr_array_unref(t.links);
    g_ptr_array_unref(t.nodes);
    yaml_tree_free(root);
    return good;
}
