/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * YAML to struct topology: documents, mappings by their tables, plain values, and the top of the grammar.
 *
 * libyaml composes the document into a tree whose nodes know their line and column; we walk it once. Every
 * mapping of the grammar is a table of keys (`struct key`): its name, the function that reads its value, the
 * field it goes to, one line of help, and for keys that the design knows but this version does not, what to
 * tell the person instead. A key in no table is a typo and gets the nearest key as suggestion. The tables of
 * networks, nodes, NICs and links are in topology_parse_network.c, _node.c and _nic.c. The reference
 * (docs/topology-reference.md) and the JSON Schema for editors are printed from the same tables, through
 * topology_grammar().
 *
 * Invariant: depth is bounded by the grammar itself (a value of the wrong kind is a complaint, never
 * descended into), so anchors that contain themselves cannot make us loop. Only topology_parse*.c include
 * <yaml.h>.
 */
#include "netlab/topology_parse_internal.h"
#include "netlab/topology_student.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_MEMORY_MIB = 65536 };

struct topology_mark topology_mark_of(const yaml_node_t *node)
{
    return (struct topology_mark){(unsigned)node->start_mark.line + 1, (unsigned)node->start_mark.column + 1};
}

const char *topology_kind_of(const yaml_node_t *node)
{
    return node->type == YAML_MAPPING_NODE    ? "a mapping"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "a plain value";
}

bool topology_is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *text = (const char *)node->data.scalar.value;
    return !*text || g_str_equal(text, "~") || g_str_equal(text, "null");
}

/* The scalar's text, or NULL after a complaint that `what` must be one. Belongs to the document. */
const char *topology_scalar(struct parser *p, const yaml_node_t *node, const char *what)
{
    if (node->type != YAML_SCALAR_NODE) {
        topology_complain(p->report, topology_mark_of(node), "%s must be a plain value, this is %s", what,
                          topology_kind_of(node));
        return NULL;
    }
    const char *text = (const char *)node->data.scalar.value;
    if (strlen(text) != node->data.scalar.length) {
        topology_complain(p->report, topology_mark_of(node), "%s contains a NUL character; remove it", what);
        return NULL;
    }
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' && *c != '\n' && *c != '\t') {
            topology_complain(p->report, topology_mark_of(node),
                              "%s contains the control character 0x%02x; remove it", what, (unsigned char)*c);
            return NULL;
        }
    }
    if (!*text || topology_is_null(node)) {
        topology_complain(p->report, topology_mark_of(node), "%s is empty; give it a value or remove the key",
                          what);
        return NULL;
    }
    return text;
}

static struct topology_mark *mark_field(const struct key *key, void *target)
{
    static struct topology_mark nowhere;
    return key->mark == NO_MARK ? &nowhere : (struct topology_mark *)((char *)target + key->mark);
}

/* ---- readers of plain values ---- */

void topology_read_string(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    g_autofree char *what = g_strdup_printf("\"%s\"", key->name);
    const char *text = topology_scalar(p, value, what);
    if (!text)
        return;
    g_free(*FIELD(char *, key, target));
    *FIELD(char *, key, target) = g_strdup(text);
    *mark_field(key, target) = topology_mark_of(value);
}

void topology_read_memory(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = topology_scalar(p, value, "\"memory\"");
    if (!text)
        return;
    char *end;
    guint64 number = g_ascii_strtoull(text, &end, 10);
    guint64 mib = 0;
    bool ok = g_ascii_isdigit(*text) && end != text && number <= 1u << 30;
    if (ok && (!*end || g_ascii_strcasecmp(end, "M") == 0 || g_ascii_strcasecmp(end, "MB") == 0 ||
               g_ascii_strcasecmp(end, "MiB") == 0))
        mib = number;
    else if (ok && (g_ascii_strcasecmp(end, "G") == 0 || g_ascii_strcasecmp(end, "GB") == 0 ||
                    g_ascii_strcasecmp(end, "GiB") == 0))
        mib = number * 1024;
    else
        ok = false;
    if (!ok) {
        topology_complain(p->report, topology_mark_of(value),
                          "\"%s\" is not an amount of memory; write it like 64M or 1G", text);
    } else if (mib == 0 || mib > MOST_MEMORY_MIB) {
        topology_complain(p->report, topology_mark_of(value), "%s of memory is out of range; give 1M to %dG",
                          text, MOST_MEMORY_MIB / 1024);
    } else {
        *FIELD(unsigned, key, target) = (unsigned)mib;
        *mark_field(key, target) = topology_mark_of(value);
    }
}

void topology_read_flag(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    g_autofree char *what = g_strdup_printf("\"%s\"", key->name);
    const char *text = topology_scalar(p, value, what);
    if (!text)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(yes); i++) {
        if (g_ascii_strcasecmp(text, yes[i]) == 0 || g_ascii_strcasecmp(text, no[i]) == 0) {
            *FIELD(int, key, target) = g_ascii_strcasecmp(text, yes[i]) == 0;
            return;
        }
    }
    topology_complain(p->report, topology_mark_of(value),
                      "\"%s\" is neither true nor false; write \"%s: true\"", text, key->name);
}

void topology_read_mtu(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = topology_scalar(p, value, "\"mtu\"");
    if (!text)
        return;
    char *end;
    guint64 number = g_ascii_strtoull(text, &end, 10);
    /* The e1000 of the machines is wired for standard frames; 68 is IPv4's least (RFC 791). */
    if (!g_ascii_isdigit(*text) || *end || number < 68 || number > 1500) {
        topology_complain(p->report, topology_mark_of(value),
                          "mtu \"%s\" is out of range; give 68 to 1500 bytes", text);
        return;
    }
    *FIELD(unsigned, key, target) = (unsigned)number;
    *mark_field(key, target) = topology_mark_of(value);
}

void topology_read_seconds(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    g_autofree char *what = g_strdup_printf("\"%s\"", key->name);
    const char *text = topology_scalar(p, value, what);
    if (!text)
        return;
    char *end;
    guint64 number = g_ascii_strtoull(text, &end, 10);
    bool ok = g_ascii_isdigit(*text) && number <= 3600;
    if (ok && (g_str_equal(end, "m") || g_str_equal(end, "min")) && number <= 60)
        number *= 60;
    else if (*end && !g_str_equal(end, "s"))
        ok = false;
    if (!ok)
        topology_complain(p->report, topology_mark_of(value),
                          "\"%s\" is not a time; write it like 30s or 2m, at most 1 hour", text);
    else
        *FIELD(unsigned, key, target) = (unsigned)number;
}

bool topology_read_prefix_text(struct parser *p, yaml_node_t *value, const char *text,
                               struct ipv4_prefix *out)
{
    if (ipv4_parse(text, out))
        return true;
    if (strchr(text, ':') && strspn(text, "0123456789abcdefABCDEF:./") == strlen(text))
        topology_complain(
            p->report, topology_mark_of(value),
            "\"%s\" is an IPv6 address, and an IPv4 one belongs here (\"subnet6\", \"host6\" and "
            "\"address6\" are for IPv6)",
            text);
    else
        topology_complain(p->report, topology_mark_of(value),
                          "\"%s\" is not an IPv4 address; write it like 10.1.0.1/24", text);
    return false;
}

bool topology_read_subnet_text(struct parser *p, yaml_node_t *value, const char *text,
                               struct ipv4_prefix *out)
{
    struct ipv4_prefix prefix;
    if (!topology_read_prefix_text(p, value, text, &prefix))
        return false;
    if (prefix.length == IPV4_NO_LENGTH) {
        topology_complain(p->report, topology_mark_of(value),
                          "\"%s\" has no prefix length; write it like %s/24", text, text);
        return false;
    }
    uint32_t base = prefix.address & ipv4_mask(prefix.length);
    if (base != prefix.address) {
        g_autofree char *right = ipv4_format((struct ipv4_prefix){base, prefix.length});
        topology_complain(p->report, topology_mark_of(value),
                          "\"%s\" is an address within a network, not a network; did you mean %s?", text,
                          right);
        return false;
    }
    *out = prefix;
    return true;
}

bool topology_read_six_text(struct parser *p, yaml_node_t *value, const char *text, struct ipv6_prefix *out)
{
    if (ipv6_parse(text, out))
        return true;
    topology_complain(p->report, topology_mark_of(value),
                      "\"%s\" is not an IPv6 address; write it like fd00:1::7/64", text);
    return false;
}

bool topology_read_subnet_six_text(struct parser *p, yaml_node_t *value, const char *text,
                                   struct ipv6_prefix *out)
{
    struct ipv6_prefix prefix;
    if (!topology_read_six_text(p, value, text, &prefix))
        return false;
    if (prefix.length == IPV6_NO_LENGTH || !ipv6_is_network(&prefix)) {
        topology_complain(p->report, topology_mark_of(value),
                          "\"%s\" is not an IPv6 network; write it like fd00:1::/64", text);
        return false;
    }
    *out = prefix;
    return true;
}

/* ---- mappings ---- */

static const char *key_text(struct parser *p, yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE) {
        topology_complain(p->report, topology_mark_of(node), "a key must be a plain name, this is %s",
                          topology_kind_of(node));
        return NULL;
    }
    return topology_scalar(p, node, "a key");
}

/* Complains when this key has come before in its mapping. `seen`: text → yaml_node_t * of the first. */
static bool is_repeated(struct parser *p, GHashTable *seen, yaml_node_t *key, const char *text)
{
    const yaml_node_t *first = g_hash_table_lookup(seen, text);
    if (!first) {
        g_hash_table_insert(seen, (gpointer)text, key);
        return false;
    }
    topology_complain(p->report, topology_mark_of(key),
                      "\"%s\" is given twice, first in line %u; keep one of them", text,
                      topology_mark_of(first).line);
    return true;
}

static void complain_unknown(struct parser *p, yaml_node_t *node, const char *text,
                             const struct mapping *mapping, const char *what)
{
    g_autofree const char **names = g_new0(const char *, mapping->count + 1);
    size_t count = 0;
    for (size_t i = 0; i < mapping->count; i++) {
        if (mapping->keys[i].read)
            names[count++] = mapping->keys[i].name;
    }
    const char *nearest = topology_nearest(text, names, count);
    if (nearest) {
        topology_complain(p->report, topology_mark_of(node), "unknown key \"%s\" in %s; did you mean \"%s\"?",
                          text, what, nearest);
        return;
    }
    g_autoptr(GString) all = g_string_new(NULL);
    for (size_t i = 0; i < count; i++)
        g_string_append_printf(all, "%s%s", i ? ", " : "", names[i]);
    topology_complain(p->report, topology_mark_of(node), "unknown key \"%s\" in %s; the keys are: %s", text,
                      what, all->str);
}

/* Reads a mapping by its table. `what` names it in messages ("node \"h1\""). */
void topology_read_mapping(struct parser *p, yaml_node_t *node, const struct mapping *mapping,
                           const char *what, void *target)
{
    if (topology_is_null(node))
        return;
    if (node->type != YAML_MAPPING_NODE) {
        topology_complain(p->report, topology_mark_of(node), "%s must be a mapping like {%s: …}, this is %s",
                          what, mapping->keys[0].name, topology_kind_of(node));
        return;
    }
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *key_node = yaml_document_get_node(p->document, pair->key);
        yaml_node_t *value = yaml_document_get_node(p->document, pair->value);
        const char *text = key_text(p, key_node);
        if (!text || is_repeated(p, seen, key_node, text))
            continue;
        const struct key *key = NULL;
        for (size_t i = 0; i < mapping->count && !key; i++) {
            if (g_str_equal(mapping->keys[i].name, text))
                key = &mapping->keys[i];
        }
        if (!key)
            complain_unknown(p, key_node, text, mapping, what);
        else if (!key->read)
            topology_complain(p->report, topology_mark_of(key_node),
                              "\"%s\" is not yet in this version of netlab; %s", text, key->instead);
        else
            key->read(p, value, key, target);
    }
}

typedef void entry_reader(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value,
                          void *target);

/* Reads a mapping whose keys are names people chose (nodes, networks, …). */
void topology_read_entries(struct parser *p, yaml_node_t *node, const char *what, const char *example,
                           entry_reader *read, void *target)
{
    if (topology_is_null(node))
        return;
    if (node->type != YAML_MAPPING_NODE) {
        topology_complain(p->report, topology_mark_of(node), "%s must be a mapping like {%s}, this is %s",
                          what, example, topology_kind_of(node));
        return;
    }
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *key = yaml_document_get_node(p->document, pair->key);
        const char *text = key_text(p, key);
        if (text && !is_repeated(p, seen, key, text))
            read(p, text, key, yaml_document_get_node(p->document, pair->value), target);
    }
}

/* ---- the top ---- */

static void read_pool(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = topology_scalar(p, value, "\"pool\"");
    if (text && topology_read_subnet_text(p, value, text, &p->topology->pool)) {
        p->topology->has_pool = true;
        p->topology->pool_mark = topology_mark_of(value);
    }
}

/* Its values are in place before anything is read (collect_values()); here they only are the right kind. */
static void read_student(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    if (value->type != YAML_MAPPING_NODE) {
        topology_complain(p->report, topology_mark_of(value),
                          "\"student\" must be a mapping like {seed: 1, name: Nobody}, this is %s",
                          topology_kind_of(value));
        return;
    }
    for (yaml_node_pair_t *pair = value->data.mapping.pairs.start; pair < value->data.mapping.pairs.top;
         pair++) {
        yaml_node_t *name = yaml_document_get_node(p->document, pair->key),
                    *one = yaml_document_get_node(p->document, pair->value);
        const char *text = topology_scalar(p, name, "a key");
        if (text && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(text))
            topology_complain(p->report, topology_mark_of(name),
                              "\"%s\" is no name of a variable: small letters, digits and _", text);
        bool is_empty_text =
            one->type == YAML_SCALAR_NODE && !*one->data.scalar.value && !topology_is_null(one);
        if (!is_empty_text) /* "" is a value here */
            topology_scalar(p, one, "a value of \"student\"");
    }
}

#define TWO "\nnodes: {h1: , h2: }\n"
static const struct key topology_keys[] = {
    MARKED_ROW("name", topology_read_string, offsetof(struct topology, name),
               offsetof(struct topology, name_mark), TOPOLOGY_TYPE_LAB_NAME,
               "the lab's name; otherwise the folder's", .standard = "the folder's name",
               .example = "name: two-hosts" TWO, .mistake = "name: two hosts" TWO),
    ROW("defaults", topology_read_defaults, TOPOLOGY_TYPE_DEFAULTS,
        "what nodes have that do not say otherwise", .example = "defaults: {image: mini, memory: 64M}" TWO,
        .mistake = "defaults: mini" TWO),
    ROW("networks", topology_read_networks, TOPOLOGY_TYPE_NETWORKS, "shared segments, one bridge each",
        .example = "networks: {lan: {subnet: 10.1.0.0/24}}\n"
                   "nodes: {h1: {networks: [lan]}, h2: {networks: [lan]}}\n",
        .mistake = "networks: [lan]" TWO),
    ROW("nodes", topology_read_nodes, TOPOLOGY_TYPE_NODES, "the machines",
        .example = "nodes: {h1: {image: mini}}\n", .mistake = "nodes: {}\n", .is_required = true),
    ROW("links", topology_read_links, TOPOLOGY_TYPE_LINKS, "point-to-point links between two nodes",
        .example = "links: [h1 - h2]" TWO, .mistake = "links: [h1 h2]" TWO),
    ROW("pool", read_pool, TOPOLOGY_TYPE_IPV4_NETWORK,
        "where links without a subnet get theirs; 10.255.0.0/16 unless said", .standard = "10.255.0.0/16",
        .example = "pool: 172.20.0.0/16\nlinks: [h1 - h2]" TWO, .mistake = "pool: 172.20.0.0" TWO),
    ROW("loopbacks", topology_read_loopbacks, TOPOLOGY_TYPE_IPV4_NETWORK,
        "where the nodes' loopback addresses come from; every node gets one",
        .standard = "10.254.0.0/24, for nodes with `loopback: true` alone",
        .example = "loopbacks: 10.0.0.0/24" TWO, .mistake = "loopbacks: true" TWO, .guests = OURS),
    ROW("checks", topology_read_checks, TOPOLOGY_TYPE_CHECKS,
        "tests that `netlab validate` runs inside the guests",
        .example = "links: [h1 - h2]\nchecks: {reachable: {node: h1, ping: h2}}" TWO,
        .mistake = "checks: [h1]" TWO, .guests = AGENT),
    ROW("student", read_student, TOPOLOGY_TYPE_STUDENT,
        "values of ${student.NAME} where the class list has none",
        .example = "student: {name: Nobody}\nnodes: {h1: {run: 'echo ${student.name} > /etc/motd'}}\n",
        .mistake = "student: Nobody" TWO),
    LATER("images", "images of this lab", "make them with `netlab image build`"),
    LATER("groups", "nodes alike", "use `defaults:` or YAML anchors (&name, *name)"),
};
static const struct mapping topology_mapping_topology = {
    .name = "topology",
    .what = "the topology",
    .keys = topology_keys,
    .count = G_N_ELEMENTS(topology_keys),
    .title = "The file",
    .frame = "@",
};

static const struct key checks_keys[] = {
    ROW("checks", topology_read_checks, TOPOLOGY_TYPE_CHECKS, "tests, as in a topology",
        .example = "checks:\n  reachable: {node: h1, ping: h2}\n", .mistake = "checks: reachable\n",
        .guests = AGENT),
};
static const struct mapping topology_mapping_checks = {
    .name = "checks",
    .what = "a file of checks",
    .keys = checks_keys,
    .count = G_N_ELEMENTS(checks_keys),
    .title = "Files of checks",
    .frame = "@",
    .may_be_empty = true,
};

static const struct mapping *const all_mappings[] = {
    &topology_mapping_topology, &topology_mapping_defaults, &topology_mapping_network,
    &topology_mapping_dhcp,     &topology_mapping_node,     &topology_mapping_nic,
    &topology_mapping_link,     &topology_mapping_end,      &topology_mapping_route,
    &topology_mapping_file,     &topology_mapping_disk,     &topology_mapping_cloud_init,
    &topology_mapping_check,    &topology_mapping_checks};

bool topology_grammar(size_t index, struct topology_mapping_info *out)
{
    if (index >= G_N_ELEMENTS(all_mappings))
        return false;
    const struct mapping *mapping = all_mappings[index];
    struct topology_key_info *keys = g_new0(struct topology_key_info, mapping->count);
    for (size_t i = 0; i < mapping->count; i++) {
        const struct key *key = &mapping->keys[i];
        keys[i] = (struct topology_key_info){.name = key->name,
                                             .help = key->help,
                                             .later = !key->read,
                                             .instead = key->instead,
                                             .type = key->type,
                                             .standard = key->standard,
                                             .example = key->example,
                                             .mistake = key->mistake,
                                             .guests = key->guests,
                                             .is_required = key->is_required};
    }
    *out = (struct topology_mapping_info){.name = mapping->name,
                                          .title = mapping->title,
                                          .frame = mapping->frame,
                                          .may_be_empty = mapping->may_be_empty,
                                          .condition = mapping->condition,
                                          .keys = keys,
                                          .count = mapping->count};
    return true;
}

/* ---- documents ---- */

static struct topology_mark mark_of_offset(const char *text, size_t length, size_t offset)
{
    struct topology_mark mark = {1, 1};
    for (size_t i = 0; i < offset && i < length; i++) {
        mark.column++;
        if (text[i] == '\n') {
            mark.line++;
            mark.column = 1;
        }
    }
    return mark;
}

static void complain_yaml(struct topology_report *report, const yaml_parser_t *yaml, const char *text,
                          size_t length)
{
    struct topology_mark mark = {(unsigned)yaml->problem_mark.line + 1,
                                 (unsigned)yaml->problem_mark.column + 1};
    if (yaml->error == YAML_READER_ERROR)
        mark = mark_of_offset(text, length, yaml->problem_offset);
    const char *advice = "check the indentation and the punctuation here";
    if (yaml->error == YAML_READER_ERROR)
        advice = "save the file as plain UTF-8 text";
    else if (yaml->error == YAML_SCANNER_ERROR && yaml->problem && strstr(yaml->problem, "start any token"))
        advice = "indent with blanks, not tabs, and put text with special characters in quotes";
    g_autofree char *context = yaml->context ? g_strdup_printf(" %s", yaml->context) : g_strdup("");
    topology_complain(report, mark, "not valid YAML: %s%s; %s", yaml->problem ? yaml->problem : "unreadable",
                      context, advice);
}

/* ---- variables of students ---- */

static bool is_plain(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE &&
           strlen((const char *)node->data.scalar.value) == node->data.scalar.length;
}

/* The value of a root's key; NULL: none. */
static yaml_node_t *find_value(yaml_document_t *document, const char *name)
{
    yaml_node_t *root = yaml_document_get_root_node(document);
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start; pair < root->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key);
        if (is_plain(key) && g_str_equal(key->data.scalar.value, name))
            return yaml_document_get_node(document, pair->value);
    }
    return NULL;
}

/* What stands under `student:`; what is no pair of plain values is complained about elsewhere. */
static void collect_values(yaml_document_t *document, GHashTable *values)
{
    yaml_node_t *student = find_value(document, "student");
    if (!student || student->type != YAML_MAPPING_NODE)
        return;
    for (yaml_node_pair_t *pair = student->data.mapping.pairs.start; pair < student->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key),
                          *value = yaml_document_get_node(document, pair->value);
        if (is_plain(key) && is_plain(value) && !topology_is_null(value))
            g_hash_table_insert(values, g_strdup((const char *)key->data.scalar.value),
                                g_strdup((const char *)value->data.scalar.value));
    }
}

/* Replaces them in all plain values and keys of the document, where they stand. */
static void expand_document(yaml_document_t *document, GHashTable *values, struct topology_report *report)
{
    enum { ALL_MOST = 4 << 20 };
    size_t all = 0;
    for (yaml_node_t *node = document->nodes.start; node < document->nodes.top && all <= ALL_MOST; node++) {
        if (!is_plain(node) || !strstr((const char *)node->data.scalar.value, "${student."))
            continue;
        g_autofree char *why = NULL;
        g_autofree char *text = topology_expand((const char *)node->data.scalar.value, values, &why);
        if (!text) {
            topology_complain(report, topology_mark_of(node), "%s", why);
            continue;
        }
        all += strlen(text);
        /* The document frees it by libyaml's own allocator, which is malloc(). */
        free(node->data.scalar.value);
        node->data.scalar.value = (yaml_char_t *)strdup(text);
        node->data.scalar.length = strlen(text);
        node->data.scalar.style = YAML_DOUBLE_QUOTED_SCALAR_STYLE; /* "null" is text now */
    }
    if (all > ALL_MOST)
        topology_complain(report, (struct topology_mark){1, 1},
                          "larger than 4 MiB when the variables of students are replaced");
}

/* The document behind the topology that makes it a copy (topology_student.h). */
static bool is_copy_document(yaml_document_t *document)
{
    const yaml_node_t *root = yaml_document_get_root_node(document);
    return root && root->type == YAML_MAPPING_NODE && root->tag && g_str_equal(root->tag, "!copy");
}

/* `copy`: may be NULL. */
static struct topology *walk_document(const char *file, const char *text, yaml_document_t *document,
                                      yaml_document_t *copy, struct topology_report *report)
{
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (!root || topology_is_null(root)) {
        topology_complain(report, (struct topology_mark){1, 1},
                          "the topology is empty; the least is \"nodes: {h1: {image: mini}}\" (see `netlab "
                          "help topology`)");
        return NULL;
    }
    if (root->type != YAML_MAPPING_NODE) {
        topology_complain(report, topology_mark_of(root),
                          "a topology is a mapping with the keys name, networks, nodes and links; this is %s",
                          topology_kind_of(root));
        return NULL;
    }
    struct topology *topology = topology_new(file, text);
    struct parser p = {.document = document, .report = report, .topology = topology};
    collect_values(document, topology->student);
    if (copy)
        collect_values(copy, topology->student);
    expand_document(document, topology->student, report);
    topology_read_mapping(&p, root, &topology_mapping_topology, "the topology", topology);
    const yaml_node_t *name = copy ? find_value(copy, "name") : NULL;
    if (name && is_plain(name)) {
        g_free(topology->name);
        topology->name = g_strdup((const char *)name->data.scalar.value);
    }
    return topology;
}

enum { DEPTH_LIMIT = 32 }; /* the grammar itself needs 6 */

/* Refuses what is nested deeper than any topology is: libyaml's time grows with the square of the depth. */
static bool check_depth(struct topology_report *report, const char *text, size_t length)
{
    yaml_parser_t yaml;
    if (!yaml_parser_initialize(&yaml))
        return true; /* the caller will see it, too */
    yaml_parser_set_input_string(&yaml, (const unsigned char *)text, length);
    bool good = true, more = true;
    unsigned depth = 0;
    while (more) {
        yaml_event_t event;
        if (!yaml_parser_parse(&yaml, &event))
            break; /* not YAML: loading says where and why */
        more = event.type != YAML_STREAM_END_EVENT;
        if (event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT)
            depth++;
        else if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT)
            depth--;
        if (depth > DEPTH_LIMIT) {
            struct topology_mark mark = {(unsigned)event.start_mark.line + 1,
                                         (unsigned)event.start_mark.column + 1};
            topology_complain(
                report, mark,
                "nested more than %d levels deep; no key of a topology needs that, remove brackets",
                DEPTH_LIMIT);
            good = more = false;
        }
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&yaml);
    return good;
}

/* ---- a second file with checks ---- */

bool topology_add_checks(struct topology *topology, const char *shown, const char *text, GError **error)
{
    topology_report_auto struct topology_report *report = topology_report_new(shown, text);
    guint had = topology->tests->len;
    yaml_parser_t yaml;
    yaml_document_t document;
    report->show_source = true;
    if (check_depth(report, text, strlen(text)) && yaml_parser_initialize(&yaml)) {
        yaml_parser_set_input_string(&yaml, (const unsigned char *)text, strlen(text));
        if (!yaml_parser_load(&yaml, &document)) {
            complain_yaml(report, &yaml, text, strlen(text));
        } else {
            yaml_node_t *root = yaml_document_get_root_node(&document);
            struct parser p = {.document = &document, .report = report, .topology = topology};
            if (root)
                expand_document(&document, topology->student, report);
            if (root)
                topology_read_mapping(&p, root, &topology_mapping_checks, "a file of checks", topology);
            yaml_document_delete(&document);
        }
        yaml_parser_delete(&yaml);
    }
    for (guint i = had; i < topology->tests->len; i++)
        ((struct topology_test *)topology->tests->pdata[i])->is_hidden = true;
    topology_check_tests(topology, had, report);
    return topology_report_ok(report, error);
}

struct topology *topology_parse_text(const char *file, const char *text, size_t length,
                                     struct topology_report *report)
{
    if (!check_depth(report, text, length))
        return NULL;
    yaml_parser_t yaml;
    if (!yaml_parser_initialize(&yaml)) {
        topology_complain(report, (struct topology_mark){0, 0}, "out of memory");
        return NULL;
    }
    yaml_parser_set_input_string(&yaml, (const unsigned char *)text, length);
    yaml_document_t document, second;
    if (!yaml_parser_load(&yaml, &document)) {
        complain_yaml(report, &yaml, text, length);
        yaml_parser_delete(&yaml);
        return NULL;
    }
    bool has_second = yaml_parser_load(&yaml, &second) == 1;
    bool is_copy = has_second && is_copy_document(&second);
    struct topology *topology = walk_document(file, text, &document, is_copy ? &second : NULL, report);
    yaml_document_delete(&document);
    if (topology && !has_second)
        complain_yaml(report, &yaml, text, length);
    const yaml_node_t *root = has_second && !is_copy ? yaml_document_get_root_node(&second) : NULL;
    if (topology && root)
        topology_complain(
            report, topology_mark_of(root),
            "a second YAML document begins here; one file holds one topology, remove the \"---\"");
    if (has_second)
        yaml_document_delete(&second);
    yaml_parser_delete(&yaml);
    return topology;
}
