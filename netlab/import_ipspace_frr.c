/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The modules ospf, isis and bgp of a topology of ipspace's netlab as FRR's configuration, as far as they are
 * what everybody's default is: OSPF areas and costs; IS-IS level 2; external BGP sessions on links between
 * two AS, internal ones between loopbacks (all to all, or through route reflectors), loopbacks and stub
 * networks announced. Addresses are the topology's and not repeated. Other attributes are noted.
 */
#include "netlab/import_ipspace.h"

#include <string.h>

enum { AS_MOST = 10 };

static bool is_true(const struct yaml_tree *tree, bool standard)
{
    const char *text = yaml_tree_text(tree);
    return !text ? standard : g_ascii_strcasecmp(text, "true") == 0 || g_ascii_strcasecmp(text, "yes") == 0;
}

static bool has_module(const struct ipspace *t, const struct ipspace_node *n, const char *name)
{
    const struct yaml_tree *list = ipspace_of_node(t, n, "module");
    const char *single = yaml_tree_text(list);
    for (guint i = 0; i < yaml_tree_count(list); i++) {
        const char *text = yaml_tree_text(yaml_tree_item(list, i));
        if (text && g_str_equal(text, name))
            return !n->is_host;
    }
    return single && g_str_equal(single, name) && !n->is_host;
}

static bool list_has(const struct yaml_tree *list, const char *name)
{
    for (guint i = 0; i < yaml_tree_count(list); i++) {
        const char *text = yaml_tree_text(yaml_tree_item(list, i));
        if (text && g_str_equal(text, name))
            return true;
    }
    return false;
}

/* bgp.as_list: {65000: {members: [...], rr: [...]}} */
static const struct yaml_tree *as_entry(const struct ipspace *t, const struct ipspace_node *n, unsigned *as)
{
    const struct yaml_tree *list = ipspace_dig(t->root, "bgp.as_list");
    guint64 number;
    for (guint i = 0; list && list->kind == YAML_TREE_MAP && i < yaml_tree_count(list); i++) {
        const struct yaml_tree *entry = yaml_tree_item(list, i);
        if (list_has(yaml_tree_get(entry, "members", NULL), n->name) &&
            g_ascii_string_to_unsigned(yaml_tree_key(list, i), AS_MOST, 1, G_MAXUINT32, &number, NULL)) {
            *as = (unsigned)number;
            return entry;
        }
    }
    return NULL;
}

/* 0: not in BGP. */
static unsigned as_of(const struct ipspace *t, const struct ipspace_node *n)
{
    unsigned as = 0;
    guint64 number;
    if (!has_module(t, n, "bgp"))
        return 0;
    const char *own = yaml_tree_text(ipspace_dig(n->tree, "bgp.as"));
    if (!own && as_entry(t, n, &as))
        return as;
    if (!own)
        own = yaml_tree_text(ipspace_of_node(t, n, "bgp.as"));
    return own && g_ascii_string_to_unsigned(own, 10, 1, G_MAXUINT32, &number, NULL) ? (unsigned)number : 0;
}

static bool is_reflector(const struct ipspace *t, const struct ipspace_node *n)
{
    unsigned as = 0;
    const struct yaml_tree *entry = as_entry(t, n, &as);
    return list_has(yaml_tree_get(entry, "rr", NULL), n->name) ||
           is_true(ipspace_dig(n->tree, "bgp.rr"), false);
}

/* A link between two AS, or `role: external`: no IGP runs on it. */
static bool is_external(const struct ipspace *t, const struct ipspace_link *link)
{
    unsigned first = 0;
    if (link->is_outside)
        return true;
    for (guint i = 0; i < link->nics->len; i++) {
        const struct ipspace_nic *nic = link->nics->pdata[i];
        unsigned as = as_of(t, nic->owner);
        if (as && first && as != first)
            return true;
        first = as ? as : first;
    }
    return false;
}

static const struct ipspace_nic *nic_of(const struct ipspace_link *link, const struct ipspace_node *n)
{
    for (guint i = 0; i < link->nics->len; i++)
        if (((const struct ipspace_nic *)link->nics->pdata[i])->owner == n)
            return link->nics->pdata[i];
    return NULL;
}

/* What an end of a link says, else the link, the group of links, the node. A number or an address; NULL. */
static const char *of_link(const struct ipspace *t, const struct ipspace_link *link,
                           const struct ipspace_nic *nic, const char *path, bool node_too)
{
    const struct yaml_tree *found = ipspace_dig(nic->tree, path);
    if (!found)
        found = ipspace_dig(link->tree, path);
    if (!found)
        found = ipspace_dig(link->group, path);
    if (!found && node_too)
        found = ipspace_of_node(t, nic->owner, path);
    const char *text = yaml_tree_text(found);
    return text && *text && strlen(text) < 16 && strspn(text, "0123456789.") == strlen(text) ? text : NULL;
}

static char *address_text(uint32_t address)
{
    return ipv4_format((struct ipv4_prefix){address, IPV4_NO_LENGTH});
}

static char *router_id(const struct ipspace *t, const struct ipspace_node *n, const char *module)
{
    g_autofree char *path = g_strconcat(module, ".router_id", NULL);
    const char *own = yaml_tree_text(ipspace_dig(n->tree, path));
    struct ipv4_prefix prefix;
    if (own && ipv4_parse(own, &prefix))
        return address_text(prefix.address);
    return address_text(n->loopback ? n->loopback : 0x0a000000u + n->id);
}

static void configure_ospf(const struct ipspace *t, const struct ipspace_node *n, GString *out)
{
    g_autofree char *id = router_id(t, n, "ospf");
    const char *area = yaml_tree_text(ipspace_of_node(t, n, "ospf.area"));
    if (!area || strspn(area, "0123456789.") != strlen(area) || strlen(area) > 15)
        area = "0.0.0.0";
    if (n->loopback)
        g_string_append_printf(out, "interface lo\n ip ospf area %s\nexit\n", area);
    for (guint l = 0; l < t->links->len; l++) {
        const struct ipspace_link *link = t->links->pdata[l];
        const struct ipspace_nic *nic = nic_of(link, n);
        if (!nic || is_external(t, link))
            continue;
        const char *own = of_link(t, link, nic, "ospf.area", false),
                   *cost = of_link(t, link, nic, "ospf.cost", false);
        g_string_append_printf(out, "interface %s\n ip ospf area %s\n", nic->nic->interface,
                               own ? own : area);
        if (link->is_point_to_point)
            g_string_append(out, " ip ospf network point-to-point\n");
        if (link->is_stub)
            g_string_append(out, " ip ospf passive\n");
        if (cost)
            g_string_append_printf(out, " ip ospf cost %s\n", cost);
        g_string_append(out, "exit\n");
    }
    g_string_append_printf(out, "router ospf\n ospf router-id %s\nexit\n", id);
}

static void configure_isis(const struct ipspace *t, const struct ipspace_node *n, GString *out)
{
    const char *area = yaml_tree_text(ipspace_of_node(t, n, "isis.area"));
    if (!area || strspn(area, "0123456789abcdefABCDEF.") != strlen(area) || strlen(area) < 2 ||
        strlen(area) > 20)
        area = "49.0001";
    if (n->loopback)
        g_string_append(out, "interface lo\n ip router isis lab\n isis passive\nexit\n");
    for (guint l = 0; l < t->links->len; l++) {
        const struct ipspace_link *link = t->links->pdata[l];
        const struct ipspace_nic *nic = nic_of(link, n);
        if (!nic || is_external(t, link))
            continue;
        const char *metric = of_link(t, link, nic, "isis.metric", false);
        if (!metric)
            metric = of_link(t, link, nic, "isis.cost", false);
        g_string_append_printf(out, "interface %s\n ip router isis lab\n", nic->nic->interface);
        if (link->is_point_to_point)
            g_string_append(out, " isis network point-to-point\n");
        if (link->is_stub)
            g_string_append(out, " isis passive\n");
        if (metric)
            g_string_append_printf(out, " isis metric %s\n", metric);
        g_string_append(out, "exit\n");
    }
    g_string_append_printf(out, "router isis lab\n net %s.0000.0000.%04u.00\n is-type level-2-only\nexit\n",
                           area, n->id);
}

struct session {
    uint32_t address;
    unsigned as;
    bool is_internal, is_client;
    const char *name;
};

static void add_external(const struct ipspace *t, const struct ipspace_node *n, unsigned as, GArray *sessions)
{
    for (guint l = 0; l < t->links->len; l++) {
        const struct ipspace_link *link = t->links->pdata[l];
        if (!nic_of(link, n))
            continue;
        for (guint i = 0; i < link->nics->len; i++) {
            const struct ipspace_nic *other = link->nics->pdata[i];
            struct session session = {.address = other->address.address,
                                      .as = as_of(t, other->owner),
                                      .name = other->owner->node->name};
            if (other->owner != n && session.as && session.as != as && other->address.length)
                g_array_append_val(sessions, session);
        }
    }
}

static void add_internal(const struct ipspace *t, const struct ipspace_node *n, unsigned as, GArray *sessions)
{
    bool reflects = is_reflector(t, n), any = false;
    for (guint i = 0; i < t->nodes->len; i++)
        any |= as_of(t, t->nodes->pdata[i]) == as && is_reflector(t, t->nodes->pdata[i]);
    for (guint i = 0; i < t->nodes->len; i++) {
        const struct ipspace_node *other = t->nodes->pdata[i];
        if (other == n || !other->loopback || as_of(t, other) != as)
            continue;
        if (any && !reflects && !is_reflector(t, other))
            continue;
        struct session session = {.address = other->loopback,
                                  .as = as,
                                  .is_internal = true,
                                  .is_client = reflects && !is_reflector(t, other),
                                  .name = other->node->name};
        g_array_append_val(sessions, session);
    }
}

static void announce(const struct ipspace *t, const struct ipspace_node *n, GString *out)
{
    if (n->loopback && is_true(ipspace_of_node(t, n, "bgp.advertise_loopback"), true)) {
        g_autofree char *text = address_text(n->loopback);
        g_string_append_printf(out, "  network %s/32\n", text);
    }
    for (guint l = 0; l < t->links->len; l++) {
        const struct ipspace_link *link = t->links->pdata[l];
        const struct ipspace_nic *nic = nic_of(link, n);
        bool hosts = false;
        for (guint i = 0; i < link->nics->len; i++)
            hosts |= ((const struct ipspace_nic *)link->nics->pdata[i])->owner->is_host;
        if (!nic || !nic->address.length || !(link->is_stub || hosts))
            continue;
        struct ipv4_prefix network = {nic->address.address & ipv4_mask(nic->address.length),
                                      nic->address.length};
        g_autofree char *text = ipv4_format(network);
        g_string_append_printf(out, "  network %s\n", text);
    }
}

/* bgp.originate: prefixes that exist nowhere but in BGP. */
static void originate(const struct ipspace *t, const struct ipspace_node *n, GString *inside,
                      GString *statics)
{
    const struct yaml_tree *list = ipspace_of_node(t, n, "bgp.originate");
    guint count = yaml_tree_text(list) ? 1 : MIN(yaml_tree_count(list), 100);
    for (guint i = 0; i < count; i++) {
        const char *text =
            yaml_tree_text(list) ? yaml_tree_text(list) : yaml_tree_text(yaml_tree_item(list, i));
        struct ipv4_prefix prefix;
        if (!text || !ipv4_parse(text, &prefix) || prefix.length < 1 || prefix.length > 32)
            continue;
        prefix.address &= ipv4_mask(prefix.length);
        g_autofree char *plain = ipv4_format(prefix);
        g_string_append_printf(inside, "  network %s\n", plain);
        g_string_append_printf(statics, "ip route %s Null0\n", plain);
    }
}

static void configure_bgp(const struct ipspace *t, const struct ipspace_node *n, unsigned as, GString *out)
{
    g_autoptr(GArray) sessions = g_array_new(FALSE, TRUE, sizeof(struct session));
    g_autoptr(GString) inside = g_string_new(NULL), statics = g_string_new(NULL);
    g_autofree char *id = router_id(t, n, "bgp");
    bool next_hop_self = is_true(ipspace_of_node(t, n, "bgp.next_hop_self"), true);
    add_external(t, n, as, sessions);
    add_internal(t, n, as, sessions);
    announce(t, n, inside);
    originate(t, n, inside, statics);
    g_string_append(out, statics->str);
    g_string_append_printf(out, "router bgp %u\n bgp router-id %s\n no bgp ebgp-requires-policy\n", as, id);
    for (guint i = 0; i < sessions->len; i++) {
        const struct session *s = &g_array_index(sessions, struct session, i);
        g_autofree char *address = address_text(s->address);
        g_string_append_printf(out, " neighbor %s remote-as %u\n neighbor %s description %s\n", address,
                               s->as, address, s->name);
        if (s->is_internal && n->loopback)
            g_string_append_printf(out, " neighbor %s update-source lo\n", address);
        if (s->is_internal && next_hop_self)
            g_string_append_printf(inside, "  neighbor %s next-hop-self\n", address);
        if (s->is_client)
            g_string_append_printf(inside, "  neighbor %s route-reflector-client\n", address);
    }
    g_string_append_printf(out, " address-family ipv4 unicast\n%s exit-address-family\nexit\n", inside->str);
}

static const char *const modules[] = {"ospf", "isis", "bgp", NULL};
static const char *const attributes[] = {"as",        "as_list", "rr",
                                         "area",      "cost",    "next_hop_self",
                                         "originate", "metric",  "advertise_loopback",
                                         "router_id", NULL};

/* One attribute of a module, or all of a mapping of them: those that become no configuration. */
static void note_attributes(struct ipspace *t, const char *owner, const char *key,
                            const struct yaml_tree *value, struct topology_mark mark)
{
    g_autofree char *head = g_strndup(key, strcspn(key, "."));
    if (!g_strv_contains(modules, head))
        return;
    const char *dot = strchr(key, '.');
    for (guint k = 0; k < (dot ? 1 : yaml_tree_count(value)); k++) {
        const char *attribute = dot ? dot + 1 : yaml_tree_key(value, k);
        if (!attribute || g_strv_contains(attributes, attribute))
            continue;
        g_autofree char *what = g_strdup_printf("%s%s.%s", owner, head, attribute);
        import_note(t->lab, IMPORT_LEFT, dot ? mark : yaml_tree_key_mark(value, k), what,
                    "no configuration is made; write it under frr:");
    }
}

void ipspace_note_module(struct ipspace *t, const char *key, const struct yaml_tree *value,
                         struct topology_mark mark)
{
    note_attributes(t, "", key, value, mark);
}

void ipspace_note_attributes(struct ipspace *t, const char *owner, const struct yaml_tree *map)
{
    g_autofree char *before = g_strdup_printf("%s: ", owner);
    for (guint i = 0; map && map->kind == YAML_TREE_MAP && i < yaml_tree_count(map); i++)
        note_attributes(t, before, yaml_tree_key(map, i), yaml_tree_item(map, i), yaml_tree_key_mark(map, i));
}

/* Modules and attributes that have no configuration here. */
static void note_rest(struct ipspace *t, struct ipspace_node *n)
{
    const struct yaml_tree *list = ipspace_of_node(t, n, "module");
    for (guint i = 0; !n->is_host && i < yaml_tree_count(list); i++) {
        const char *module = yaml_tree_text(yaml_tree_item(list, i));
        if (!module || g_strv_contains(modules, module))
            continue;
        g_autofree char *what = g_strdup_printf("node %s: module %s", n->name, module);
        import_note(t->lab, IMPORT_LEFT, yaml_tree_item(list, i)->mark, what,
                    "no configuration is made; write it under frr:");
    }
    g_autofree char *owner = g_strdup_printf("node %s", n->name);
    ipspace_note_attributes(t, owner, n->tree);
}

void ipspace_configure(struct ipspace *t, struct ipspace_node *n)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GString) made = g_string_new(NULL);
    unsigned as = as_of(t, n);
    note_rest(t, n);
    g_string_append_printf(out, "hostname %s\n", n->node->name);
    if (has_module(t, n, "ospf")) {
        configure_ospf(t, n, out);
        g_string_append(made, " ospf");
    }
    if (has_module(t, n, "isis")) {
        configure_isis(t, n, out);
        g_string_append(made, " isis");
    }
    if (as) {
        configure_bgp(t, n, as, out);
        g_string_append(made, " bgp");
    }
    g_autofree char *what = g_strdup_printf("node %s: modules%s", n->name, made->str);
    if (made->len &&
        import_put(t->lab, n->node, "/etc/frr/frr.conf", 0644, out->str, out->len, n->node->mark))
        import_note(t->lab, IMPORT_APPROXIMATED, n->node->mark, what,
                    "configuration of FRR, in %s/etc/frr/frr.conf", n->node->name);
    else if (has_module(t, n, "bgp") && !as)
        import_note(t->lab, IMPORT_LEFT, n->node->mark, what, "BGP without an AS number");
}
