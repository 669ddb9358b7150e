/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * YAML to struct topology: the grammar, as tables.
 *
 * libyaml composes the document into a tree whose nodes know their line and column; we walk it once. Every
 * mapping of the grammar is a table of keys (`struct key`): its name, the function that reads its value, the
 * field it goes to, one line of help, and for keys that the design knows but this version does not, what to
 * tell the person instead. A key in no table is a typo and gets the nearest key as suggestion.
 * topology_schema.json says the same for editors; a test holds the two against each other through
 * topology_grammar().
 *
 * Invariant: depth is bounded by the grammar itself (a value of the wrong kind is a complaint, never
 * descended into), so anchors that contain themselves cannot make us loop. The only file that includes
 * <yaml.h>.
 *
 * Length: the grammar is one set of tables and readers that belong together, and yaml.h is for this file
 * alone.
 */
#include "netlab/topology_parse.h"
#include "netlab/topology_check.h"
#include "netlab/topology_line.h"
#include "netlab/topology_six.h"
#include "netlab/topology_uplink.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MOST_MEMORY_MIB = 65536, MOST_NICS_READ = 256, LONGEST_NIC_NAME = 15 };

struct parser {
    yaml_document_t *document;
    struct topology_report *report;
    struct topology *topology;
};

struct key;
typedef void key_reader(struct parser *p, yaml_node_t *value, const struct key *key, void *target);

struct key {
    const char *name;
    key_reader *read;    /* NULL: not in this version */
    size_t field;        /* offset in the target, for the readers of plain values */
    size_t mark;         /* offset of its struct topology_mark; NO_MARK: none */
    const char *help;    /* one line */
    const char *instead; /* for a key of a later version: what one can do now */
};
enum { NO_MARK = 0xffff };

struct mapping {
    const char *name;
    const char *what; /* in messages: `unknown key "x" in <what>` */
    const struct key *keys;
    size_t count;
};

static struct topology_mark mark_of(const yaml_node_t *node)
{
    return (struct topology_mark){(unsigned)node->start_mark.line + 1, (unsigned)node->start_mark.column + 1};
}

static const char *kind_of(const yaml_node_t *node)
{
    return node->type == YAML_MAPPING_NODE    ? "a mapping"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "a plain value";
}

static bool is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *text = (const char *)node->data.scalar.value;
    return !*text || g_str_equal(text, "~") || g_str_equal(text, "null");
}

/* The scalar's text, or NULL after a complaint that `what` must be one. Belongs to the document. */
static const char *scalar(struct parser *p, const yaml_node_t *node, const char *what)
{
    if (node->type != YAML_SCALAR_NODE) {
        topology_complain(p->report, mark_of(node), "%s must be a plain value, this is %s", what,
                          kind_of(node));
        return NULL;
    }
    const char *text = (const char *)node->data.scalar.value;
    if (strlen(text) != node->data.scalar.length) {
        topology_complain(p->report, mark_of(node), "%s contains a NUL character; remove it", what);
        return NULL;
    }
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < ' ' && *c != '\n' && *c != '\t') {
            topology_complain(p->report, mark_of(node), "%s contains the control character 0x%02x; remove it",
                              what, (unsigned char)*c);
            return NULL;
        }
    }
    if (!*text || is_null(node)) {
        topology_complain(p->report, mark_of(node), "%s is empty; give it a value or remove the key", what);
        return NULL;
    }
    return text;
}

static struct topology_mark *mark_field(const struct key *key, void *target)
{
    static struct topology_mark nowhere;
    return key->mark == NO_MARK ? &nowhere : (struct topology_mark *)((char *)target + key->mark);
}

#define FIELD(type, key, target) ((type *)((char *)(target) + (key)->field))

/* Rows: one whose reader knows what to do; one for a field of the target, without and with its mark; one of a
 * later version. */
#define ROW(name_, read_, help_)                                                                             \
    {                                                                                                        \
        .name = name_, .read = read_, .mark = NO_MARK, .help = help_                                         \
    }
#define FIELD_ROW(name_, read_, field_, help_)                                                               \
    {                                                                                                        \
        .name = name_, .read = read_, .field = field_, .mark = NO_MARK, .help = help_                        \
    }
#define MARKED_ROW(name_, read_, field_, mark_, help_)                                                       \
    {                                                                                                        \
        .name = name_, .read = read_, .field = field_, .mark = mark_, .help = help_                          \
    }
#define LATER(name_, help_, instead_)                                                                        \
    {                                                                                                        \
        .name = name_, .help = help_, .instead = instead_                                                    \
    }

/* ---- readers of plain values ---- */

static void read_string(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    g_autofree char *what = g_strdup_printf("\"%s\"", key->name);
    const char *text = scalar(p, value, what);
    if (!text)
        return;
    g_free(*FIELD(char *, key, target));
    *FIELD(char *, key, target) = g_strdup(text);
    *mark_field(key, target) = mark_of(value);
}

static void read_memory(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = scalar(p, value, "\"memory\"");
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
        topology_complain(p->report, mark_of(value),
                          "\"%s\" is not an amount of memory; write it like 64M or 1G", text);
    } else if (mib == 0 || mib > MOST_MEMORY_MIB) {
        topology_complain(p->report, mark_of(value), "%s of memory is out of range; give 1M to %dG", text,
                          MOST_MEMORY_MIB / 1024);
    } else {
        *FIELD(unsigned, key, target) = (unsigned)mib;
        *mark_field(key, target) = mark_of(value);
    }
}

static void read_tristate(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    g_autofree char *what = g_strdup_printf("\"%s\"", key->name);
    const char *text = scalar(p, value, what);
    if (!text)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(yes); i++) {
        if (g_ascii_strcasecmp(text, yes[i]) == 0 || g_ascii_strcasecmp(text, no[i]) == 0) {
            *FIELD(int, key, target) = g_ascii_strcasecmp(text, yes[i]) == 0;
            return;
        }
    }
    topology_complain(p->report, mark_of(value), "\"%s\" is neither true nor false; write \"%s: true\"", text,
                      key->name);
}

static void read_mtu(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = scalar(p, value, "\"mtu\"");
    if (!text)
        return;
    char *end;
    guint64 number = g_ascii_strtoull(text, &end, 10);
    /* The e1000 of the machines is wired for standard frames; 68 is IPv4's least (RFC 791). */
    if (!g_ascii_isdigit(*text) || *end || number < 68 || number > 1500) {
        topology_complain(p->report, mark_of(value), "mtu \"%s\" is out of range; give 68 to 1500 bytes",
                          text);
        return;
    }
    *FIELD(unsigned, key, target) = (unsigned)number;
    *mark_field(key, target) = mark_of(value);
}

static void read_seconds(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    g_autofree char *what = g_strdup_printf("\"%s\"", key->name);
    const char *text = scalar(p, value, what);
    if (!text)
        return;
    char *end;
    guint64 number = g_ascii_strtoull(text, &end, 10);
    bool ok = g_ascii_isdigit(*text) && number >= 1 && number <= 3600;
    if (ok && (g_str_equal(end, "m") || g_str_equal(end, "min")) && number <= 60)
        number *= 60;
    else if (*end && !g_str_equal(end, "s"))
        ok = false;
    if (!ok)
        topology_complain(p->report, mark_of(value),
                          "\"%s\" is not a time; write it like 30s or 2m, at most 1 hour", text);
    else
        *FIELD(unsigned, key, target) = (unsigned)number;
}

static bool read_prefix_text(struct parser *p, yaml_node_t *value, const char *text, struct ipv4_prefix *out)
{
    if (ipv4_parse(text, out))
        return true;
    if (strchr(text, ':') && strspn(text, "0123456789abcdefABCDEF:./") == strlen(text))
        topology_complain(
            p->report, mark_of(value),
            "\"%s\" is an IPv6 address, and an IPv4 one belongs here (\"subnet6\", \"host6\" and "
            "\"address6\" are for IPv6)",
            text);
    else
        topology_complain(p->report, mark_of(value),
                          "\"%s\" is not an IPv4 address; write it like 10.1.0.1/24", text);
    return false;
}

static bool read_subnet_text(struct parser *p, yaml_node_t *value, const char *text, struct ipv4_prefix *out)
{
    struct ipv4_prefix prefix;
    if (!read_prefix_text(p, value, text, &prefix))
        return false;
    if (prefix.length == IPV4_NO_LENGTH) {
        topology_complain(p->report, mark_of(value), "\"%s\" has no prefix length; write it like %s/24", text,
                          text);
        return false;
    }
    uint32_t base = prefix.address & ipv4_mask(prefix.length);
    if (base != prefix.address) {
        g_autofree char *right = ipv4_format((struct ipv4_prefix){base, prefix.length});
        topology_complain(p->report, mark_of(value),
                          "\"%s\" is an address within a network, not a network; did you mean %s?", text,
                          right);
        return false;
    }
    *out = prefix;
    return true;
}

/* ---- mappings ---- */

static const char *key_text(struct parser *p, yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE) {
        topology_complain(p->report, mark_of(node), "a key must be a plain name, this is %s", kind_of(node));
        return NULL;
    }
    return scalar(p, node, "a key");
}

/* Complains when this key has come before in its mapping. `seen`: text → yaml_node_t * of the first. */
static bool is_repeated(struct parser *p, GHashTable *seen, yaml_node_t *key, const char *text)
{
    const yaml_node_t *first = g_hash_table_lookup(seen, text);
    if (!first) {
        g_hash_table_insert(seen, (gpointer)text, key);
        return false;
    }
    topology_complain(p->report, mark_of(key), "\"%s\" is given twice, first in line %u; keep one of them",
                      text, mark_of(first).line);
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
        topology_complain(p->report, mark_of(node), "unknown key \"%s\" in %s; did you mean \"%s\"?", text,
                          what, nearest);
        return;
    }
    g_autoptr(GString) all = g_string_new(NULL);
    for (size_t i = 0; i < count; i++)
        g_string_append_printf(all, "%s%s", i ? ", " : "", names[i]);
    topology_complain(p->report, mark_of(node), "unknown key \"%s\" in %s; the keys are: %s", text, what,
                      all->str);
}

/* Reads a mapping by its table. `what` names it in messages ("node \"h1\""). */
static void read_mapping(struct parser *p, yaml_node_t *node, const struct mapping *mapping, const char *what,
                         void *target)
{
    if (is_null(node))
        return;
    if (node->type != YAML_MAPPING_NODE) {
        topology_complain(p->report, mark_of(node), "%s must be a mapping like {%s: …}, this is %s", what,
                          mapping->keys[0].name, kind_of(node));
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
            topology_complain(p->report, mark_of(key_node), "\"%s\" is not yet in this version of netlab; %s",
                              text, key->instead);
        else
            key->read(p, value, key, target);
    }
}

typedef void entry_reader(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value,
                          void *target);

/* Reads a mapping whose keys are names people chose (nodes, networks, …). */
static void read_entries(struct parser *p, yaml_node_t *node, const char *what, const char *example,
                         entry_reader *read, void *target)
{
    if (is_null(node))
        return;
    if (node->type != YAML_MAPPING_NODE) {
        topology_complain(p->report, mark_of(node), "%s must be a mapping like {%s}, this is %s", what,
                          example, kind_of(node));
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

/* ---- NICs and link ends ---- */

static bool read_six_text(struct parser *p, yaml_node_t *value, const char *text, struct ipv6_prefix *out)
{
    if (ipv6_parse(text, out))
        return true;
    topology_complain(p->report, mark_of(value), "\"%s\" is not an IPv6 address; write it like fd00:1::7/64",
                      text);
    return false;
}

static bool read_subnet_six_text(struct parser *p, yaml_node_t *value, const char *text,
                                 struct ipv6_prefix *out)
{
    struct ipv6_prefix prefix;
    if (!read_six_text(p, value, text, &prefix))
        return false;
    if (prefix.length == IPV6_NO_LENGTH || !ipv6_is_network(&prefix)) {
        topology_complain(p->report, mark_of(value),
                          "\"%s\" is not an IPv6 network; write it like fd00:1::/64", text);
        return false;
    }
    *out = prefix;
    return true;
}

static void read_address6(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_nic *nic = target;
    const char *text = scalar(p, value, "an address");
    if (!text || g_str_equal(text, "auto"))
        return;
    nic->address6_mark = mark_of(value);
    if (g_str_equal(text, "none"))
        nic->no_address6 = true;
    else if (read_six_text(p, value, text, &nic->address6))
        nic->has_address6 = true;
}

static void read_address(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_nic *nic = target;
    const char *text = scalar(p, value, "an address");
    if (!text || g_str_equal(text, "auto"))
        return;
    nic->address_mark = mark_of(value);
    if (g_str_equal(text, "none"))
        nic->no_address = true;
    else if (g_str_equal(text, "dhcp"))
        nic->dhcp = true;
    else if (strchr(text, ':'))
        read_address6(p, value, key, target);
    else if (read_prefix_text(p, value, text, &nic->address))
        nic->has_address = true;
}

static void read_mac(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_nic *nic = target;
    const char *text = scalar(p, value, "\"mac\"");
    if (!text)
        return;
    if (!mac_parse(text, nic->mac)) {
        topology_complain(
            p->report, mark_of(value),
            "\"%s\" is not a MAC address; write it like 52:54:00:12:34:56 (in quotes, if it is all digits)",
            text);
        return;
    }
    nic->has_mac = true;
    nic->mac_mark = mark_of(value);
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
static void read_line_word(struct parser *p, yaml_node_t *value, const struct key *key,
                           struct topology_line *line)
{
    const char *text = scalar(p, value, "a property of a line");
    if (!text)
        return;
    for (int i = 0; i < TOPOLOGY_IMPAIRMENTS; i++) {
        if (!g_str_equal(impairment_names[i], key->name))
            continue;
        const char *why = topology_line_word_wrong((enum topology_impairment)i, text);
        if (why)
            topology_complain(p->report, mark_of(value), "\"%s\" is no %s of a line; write it like %s", text,
                              key->name, why);
        else
            line->words[i] = (g_free(line->words[i]), g_strdup(text));
    }
}

static void read_nic_line(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    read_line_word(p, value, key, &((struct topology_nic *)target)->line);
}

static void read_network_line(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    read_line_word(p, value, key, &((struct topology_network *)target)->line);
}

static void read_link_line(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    read_line_word(p, value, key, &((struct topology_link *)target)->network->line);
}

#define IMPAIRMENT_KEYS(read)                                                                                \
    ROW("delay", read, "one way, like 20ms"), ROW("jitter", read, "variation of the delay, like 5ms"),       \
        ROW("distribution", read, "of the jitter: uniform, normal or pareto"),                               \
        ROW("loss", read, "share of frames lost, like 1%"),                                                  \
        ROW("burst", read, "mean number of frames lost in a row"),                                           \
        ROW("duplicate", read, "share of frames that come twice"),                                           \
        ROW("corrupt", read, "share of frames with one bit flipped"),                                        \
        ROW("reorder", read, "share of frames that overtake others"),                                        \
        ROW("rate", read, "bandwidth in bit/s, like 10M"), ROW("limit", read, "frames in its queue"),        \
        ROW("seed", read, "the same seed, the same fate of each frame")

static const struct key nic_keys[] = {
    ROW("address", read_address,
        "address with prefix length; \"auto\" (from the subnet), \"dhcp\" or \"none\""),
    ROW("address6", read_address6, "IPv6 address; \"auto\" (from subnet6) or \"none\""),
    ROW("mac", read_mac, "MAC address; otherwise made from the lab's, node's and NIC's names"),
    MARKED_ROW("interface", read_string, offsetof(struct topology_nic, interface),
               offsetof(struct topology_nic, interface_mark),
               "the NIC's name in the guest; otherwise eth0, eth1, …"),
    IMPAIRMENT_KEYS(read_nic_line),
};
static const struct mapping nic_mapping = {"nic", "a NIC", nic_keys, G_N_ELEMENTS(nic_keys)};

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
    struct topology_nic *nic = nic_new(name, mark_of(key));
    g_ptr_array_add(node->nics, nic);
    if (is_null(value))
        return;
    if (value->type == YAML_SCALAR_NODE) {
        read_address(p, value, NULL, nic);
        return;
    }
    g_autofree char *what = g_strdup_printf("the NIC of node \"%s\" on network \"%s\"", node->name, name);
    read_mapping(p, value, &nic_mapping, what, nic);
}

static void read_node_networks(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_node *node = target;
    if (is_null(value))
        return;
    if (value->type == YAML_SCALAR_NODE) {
        topology_complain(p->report, mark_of(value),
                          "\"networks\" of node \"%s\" must be a list or a mapping; write [%s]", node->name,
                          (const char *)value->data.scalar.value);
    } else if (value->type == YAML_MAPPING_NODE) {
        read_entries(p, value, "\"networks\"", "lan: 10.1.0.1/24", read_nic, node);
    } else {
        for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
             item++) {
            yaml_node_t *entry = yaml_document_get_node(p->document, *item);
            if (entry->type == YAML_MAPPING_NODE) {
                read_entries(p, entry, "an entry of \"networks\"", "lan: 10.1.0.1/24", read_nic, node);
                continue;
            }
            const char *name = scalar(p, entry, "an entry of \"networks\"");
            if (name)
                g_ptr_array_add(node->nics, nic_new(name, mark_of(entry)));
        }
    }
}

static void read_end_node(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_end *end = target;
    const char *text = scalar(p, value, "\"node\"");
    if (!text)
        return;
    g_free(end->node);
    end->node = g_strdup(text);
    end->mark = mark_of(value);
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
    ROW("node", read_end_node, "the node at this end"),
    ROW("interface", read_end_nic, "the NIC's name in the guest"),
    ROW("address", read_end_nic, "address with prefix length"),
    ROW("address6", read_end_nic, "IPv6 address"),
    ROW("mac", read_end_nic, "MAC address"),
    IMPAIRMENT_KEYS(read_end_nic),
};
static const struct mapping end_mapping = {"end", "an end of a link", end_keys, G_N_ELEMENTS(end_keys)};

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
            p->report, mark_of(value), "\"ends\" must be a list of two ends like [r1:eth1, r2]%s",
            value->type == YAML_SEQUENCE_NODE ? "; a segment with more nodes goes under \"networks\"" : "");
        return;
    }
    for (int i = 0; i < 2; i++) {
        yaml_node_t *entry = yaml_document_get_node(p->document, value->data.sequence.items.start[i]);
        link->ends[i].mark = link->ends[i].nic->mark = mark_of(entry);
        if (entry->type == YAML_MAPPING_NODE) {
            read_mapping(p, entry, &end_mapping, "an end of a link", &link->ends[i]);
        } else {
            const char *text = scalar(p, entry, "an end of a link");
            if (text)
                read_end_text(p, text, mark_of(entry), &link->ends[i]);
        }
    }
}

/* ---- networks and links ---- */

static void read_subnet(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_network *network = target;
    const char *text = scalar(p, value, "\"subnet\"");
    if (text && read_subnet_text(p, value, text, &network->subnet)) {
        network->has_subnet = true;
        network->subnet_mark = mark_of(value);
    }
}

static void read_subnet6(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_network *network = target;
    const char *text = scalar(p, value, "\"subnet6\"");
    if (!text)
        return;
    network->subnet6_mark = mark_of(value);
    network->auto_subnet6 = g_str_equal(text, "auto");
    network->has_subnet6 = network->auto_subnet6 || read_subnet_six_text(p, value, text, &network->subnet6);
}

static void read_host6(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_network *network = target;
    const char *text = scalar(p, value, "\"host6\"");
    if (text && read_six_text(p, value, text, &network->host6)) {
        network->has_host6 = true;
        network->host6_mark = mark_of(value);
    }
}

static void read_host(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_network *network = target;
    const char *text = scalar(p, value, "\"host\"");
    if (text && read_prefix_text(p, value, text, &network->host)) {
        network->has_host = true;
        network->host_mark = mark_of(value);
    }
}

static void read_uplink(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_network *network = target;
    const char *text = scalar(p, value, "\"uplink\"");
    if (!text)
        return;
    network->uplink_mark = mark_of(value);
    if (g_str_equal(text, "user")) {
        network->uplink = TOPOLOGY_UPLINK_USER;
    } else if (g_str_equal(text, "nat")) {
        network->uplink = TOPOLOGY_UPLINK_NAT;
    } else if (!*text || strlen(text) > LONGEST_NIC_NAME || strpbrk(text, "/ \t:%")) {
        topology_complain(p->report, mark_of(value),
                          "\"%s\" is no uplink; write \"user\", \"nat\" or the name of a NIC of this host "
                          "(`ip link` lists them)",
                          text);
    } else {
        network->uplink = TOPOLOGY_UPLINK_NIC;
        g_free(network->uplink_nic);
        network->uplink_nic = g_strdup(text);
    }
}

static void add_forward(struct parser *p, struct topology_network *network, yaml_node_t *value)
{
    const char *text = scalar(p, value, "a port forward"), *why;
    struct topology_forward *forward = text ? topology_forward_parse(text, &why) : NULL;
    if (!text)
        return;
    if (!forward) {
        topology_complain(p->report, mark_of(value),
                          "\"%s\" is no port forward: %s; write it like \"tcp 8080 -> web:80\"", text, why);
        return;
    }
    forward->mark = mark_of(value);
    if (!network->forwards)
        network->forwards = g_ptr_array_new_with_free_func(topology_forward_free);
    g_ptr_array_add(network->forwards, forward);
}

static void read_forward(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    if (is_null(value))
        return;
    if (value->type != YAML_SEQUENCE_NODE) {
        add_forward(p, target, value);
        return;
    }
    for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
         item++)
        add_forward(p, target, yaml_document_get_node(p->document, *item));
}

static void read_dns(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_network *network = target;
    const char *text = scalar(p, value, "\"dns\"");
    struct ipv4_prefix address;
    if (!text || !read_prefix_text(p, value, text, &address))
        return;
    if (address.length != IPV4_NO_LENGTH) {
        topology_complain(p->report, mark_of(value), "a name server is an address without a prefix length");
        return;
    }
    network->dns = address.address;
    network->has_dns = true;
    network->dns_mark = mark_of(value);
}

/* ---- DHCP ---- */

/* "90s", "30m", "12h", "7d" */
static void read_lease(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    enum { LEAST = 120, MOST = 365 * 86400 }; /* dnsmasq makes two minutes of what is less */
    static const struct {
        const char *unit;
        unsigned seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    const char *text = scalar(p, value, "\"lease\"");
    char *end;
    if (!text)
        return;
    guint64 number = g_ascii_strtoull(text, &end, 10);
    for (size_t i = 0; g_ascii_isdigit(*text) && number <= MOST && i < G_N_ELEMENTS(units); i++) {
        guint64 seconds = number * units[i].seconds;
        if (!g_str_equal(units[i].unit, end) || seconds < LEAST || seconds > MOST)
            continue;
        ((struct topology_dhcp *)target)->lease = (unsigned)seconds;
        return;
    }
    topology_complain(
        p->report, mark_of(value),
        "\"%s\" is not how long a lease can be; write it like 10m, 12h or 7d, 2 minutes to a year", text);
}

/* "10.1.0.100 - 10.1.0.199" */
static void read_range(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_dhcp *dhcp = target;
    const char *text = scalar(p, value, "\"range\"");
    g_auto(GStrv) ends = text ? g_strsplit(text, "-", 2) : NULL;
    struct ipv4_prefix first, last;
    if (!text)
        return;
    if (g_strv_length(ends) != 2 || !ipv4_parse(g_strstrip(ends[0]), &first) ||
        !ipv4_parse(g_strstrip(ends[1]), &last) || first.length != IPV4_NO_LENGTH ||
        last.length != IPV4_NO_LENGTH || first.address > last.address) {
        topology_complain(p->report, mark_of(value),
                          "\"%s\" is no range of addresses; write it like 10.1.0.100-10.1.0.199", text);
        return;
    }
    dhcp->has_range = true;
    dhcp->first = first.address;
    dhcp->last = last.address;
    dhcp->range_mark = mark_of(value);
}

static bool read_plain_address(struct parser *p, yaml_node_t *value, const char *what, uint32_t *out)
{
    const char *text = scalar(p, value, what);
    struct ipv4_prefix address;
    if (!text || !read_prefix_text(p, value, text, &address))
        return false;
    if (address.length != IPV4_NO_LENGTH)
        topology_complain(p->report, mark_of(value), "%s is an address without a prefix length", what);
    *out = address.address;
    return address.length == IPV4_NO_LENGTH;
}

static void read_router(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_dhcp *dhcp = target;
    dhcp->router_mark = mark_of(value);
    if (value->type == YAML_SCALAR_NODE && g_str_equal((const char *)value->data.scalar.value, "none"))
        dhcp->no_router = true;
    else
        dhcp->has_router = read_plain_address(p, value, "\"router\"", &dhcp->router);
}

/* One address or a list of them. */
static void read_servers(struct parser *p, yaml_node_t *value, const char *what, uint32_t *list,
                         unsigned *count)
{
    bool is_list = value->type == YAML_SEQUENCE_NODE;
    yaml_node_item_t *item = is_list ? value->data.sequence.items.start : NULL;
    for (unsigned i = 0; is_list ? item < value->data.sequence.items.top : i == 0; i++, item += is_list) {
        yaml_node_t *entry = is_list ? yaml_document_get_node(p->document, *item) : value;
        if (*count == TOPOLOGY_DHCP_SERVERS_MOST) {
            topology_complain(p->report, mark_of(entry), "%s has room for %d addresses", what,
                              TOPOLOGY_DHCP_SERVERS_MOST);
            return;
        }
        if (read_plain_address(p, entry, what, &list[*count]))
            ++*count;
    }
}

static void read_dhcp_dns(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_dhcp *dhcp = target;
    read_servers(p, value, "\"dns\"", dhcp->dns, &dhcp->dns_count);
}

static void read_dhcp_ntp(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_dhcp *dhcp = target;
    read_servers(p, value, "\"ntp\"", dhcp->ntp, &dhcp->ntp_count);
}

static void dhcp_option_free(void *data)
{
    struct topology_dhcp_option *option = data;
    g_free(option->value);
    g_free(option);
}

static void read_dhcp_option(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value,
                             void *target)
{
    enum { OPTIONS_MOST = 64, VALUE_MOST = 200 };
    struct topology_dhcp *dhcp = target;
    const char *text = scalar(p, value, "the value of an option");
    guint64 number;
    if (!text)
        return;
    if (!g_ascii_string_to_unsigned(name, 10, 1, 254, &number, NULL)) {
        topology_complain(p->report, mark_of(key),
                          "\"%s\" is no DHCP option; write its number, like 66 for a TFTP server's name",
                          name);
        return;
    }
    /* It stands in a file of dnsmasq's, where quotes, backslashes and # mean something. */
    bool is_plain = strlen(text) <= VALUE_MOST;
    for (const char *c = text; *c; c++)
        is_plain = is_plain && *c >= ' ' && *c < 127 && !strchr("\"\\#", *c);
    if (!is_plain) {
        topology_complain(p->report, mark_of(value),
                          "the value of DHCP option %s must be at most %d printable characters without "
                          "quotes, backslashes and #",
                          name, VALUE_MOST);
        return;
    }
    if (!dhcp->options)
        dhcp->options = g_ptr_array_new_with_free_func(dhcp_option_free);
    if (dhcp->options->len >= OPTIONS_MOST)
        return;
    struct topology_dhcp_option *option = g_new0(struct topology_dhcp_option, 1);
    option->number = (unsigned)number;
    option->value = g_strdup(text);
    g_ptr_array_add(dhcp->options, option);
}

static void read_dhcp_options(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    read_entries(p, value, "\"options\"", "66: tftp.example", read_dhcp_option, target);
}

static const struct key dhcp_keys[] = {
    ROW("range", read_range,
        "addresses to give out: 10.1.0.100-10.1.0.199; otherwise the subnet's upper half"),
    ROW("lease", read_lease, "how long a lease is, like 10m or 12h; 1h unless said"),
    ROW("router", read_router,
        "default gateway that clients are told; otherwise the node that routes; or \"none\""),
    ROW("dns", read_dhcp_dns,
        "name servers that clients are told; otherwise the server, which knows the nodes"),
    MARKED_ROW("domain", read_string, offsetof(struct topology_dhcp, domain),
               offsetof(struct topology_dhcp, domain_mark), "domain of the names; otherwise LAB.internal"),
    ROW("ntp", read_dhcp_ntp, "time servers that clients are told"),
    ROW("options", read_dhcp_options, "other DHCP options by their number: {66: tftp.example}"),
};
static const struct mapping dhcp_mapping = {"dhcp", "\"dhcp\"", dhcp_keys, G_N_ELEMENTS(dhcp_keys)};

static void read_dhcp(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_dhcp *dhcp = &((struct topology_network *)target)->dhcp;
    static const struct key flag = {.name = "dhcp", .mark = NO_MARK};
    int is_on = 0;
    dhcp->mark = mark_of(value);
    if (value->type == YAML_MAPPING_NODE) {
        dhcp->is_on = true;
        read_mapping(p, value, &dhcp_mapping, "\"dhcp\"", dhcp);
    } else {
        read_tristate(p, value, &flag, &is_on);
        dhcp->is_on = is_on;
    }
}

static const struct key network_keys[] = {
    ROW("subnet", read_subnet, "IPv4 subnet; nodes without an address get one from it"),
    MARKED_ROW("mtu", read_mtu, offsetof(struct topology_network, mtu),
               offsetof(struct topology_network, mtu_mark), "largest packet in bytes, 68 to 1500"),
    ROW("host", read_host, "address of the lab's own namespace on this network"),
    ROW("uplink", read_uplink,
        "the way out: \"user\" (no privilege), \"nat\" (the kernel), or a NIC of the host"),
    ROW("dhcp", read_dhcp, "true: serve addresses and names (dnsmasq); or a mapping of settings"),
    ROW("forward", read_forward, "ports of the host that lead to nodes: [tcp 8080 -> web:80]"),
    ROW("dns", read_dns, "name server that nodes are told; `user` has one of its own"),
    LATER("nat", "translate addresses to the outside", "write `uplink: nat`"),
    LATER("vlan", "VLAN of the segment", "use one network for each VLAN"),
    ROW("subnet6", read_subnet6, "IPv6 subnet, or \"auto\": a unique local one; nodes get addresses from it"),
    ROW("host6", read_host6, "IPv6 address of the lab's own namespace on this network"),
    IMPAIRMENT_KEYS(read_network_line),
};
static const struct mapping network_mapping = {"network", "a network", network_keys,
                                               G_N_ELEMENTS(network_keys)};

static void read_network(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value,
                         void *target)
{
    struct topology_network *network = g_new0(struct topology_network, 1);
    network->name = g_strdup(name);
    network->mark = mark_of(key);
    g_ptr_array_add(p->topology->networks, network);
    g_autofree char *what = g_strdup_printf("network \"%s\"", name);
    read_mapping(p, value, &network_mapping, what, network);
}

static void read_networks(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    read_entries(p, value, "\"networks\"", "lan: {subnet: 10.1.0.0/24}", read_network, target);
}

static void read_link_subnet(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    read_subnet(p, value, key, ((struct topology_link *)target)->network);
}

static void read_link_subnet6(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    read_subnet6(p, value, key, ((struct topology_link *)target)->network);
}

static void read_link_mtu(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    read_mtu(p, value, key, ((struct topology_link *)target)->network);
}

static void read_link_name(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_link *link = target;
    const char *text = scalar(p, value, "\"name\"");
    if (!text)
        return;
    g_free(link->network->name);
    link->network->name = g_strdup(text);
    link->network->mark = mark_of(value);
    link->has_name = true;
}

static const struct key link_keys[] = {
    ROW("ends", read_ends, "the two ends: [r1, r2], [r1:eth1, r2:eth0] or mappings"),
    ROW("subnet", read_link_subnet, "IPv4 subnet; otherwise a /30 from the pool"),
    ROW("subnet6", read_link_subnet6, "IPv6 subnet, or \"auto\""),
    MARKED_ROW("mtu", read_link_mtu, offsetof(struct topology_network, mtu),
               offsetof(struct topology_network, mtu_mark), "largest packet in bytes"),
    ROW("name", read_link_name, "the link's name in status and messages"),
    IMPAIRMENT_KEYS(read_link_line),
};
static const struct mapping link_mapping = {"link", "a link", link_keys, G_N_ELEMENTS(link_keys)};

static void read_links(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    if (is_null(value))
        return;
    if (value->type != YAML_SEQUENCE_NODE) {
        topology_complain(p->report, mark_of(value), "\"links\" must be a list like [r1 - r2], this is %s",
                          kind_of(value));
        return;
    }
    for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
         item++) {
        yaml_node_t *entry = yaml_document_get_node(p->document, *item);
        if (entry->type == YAML_MAPPING_NODE) {
            struct topology_link *link = link_new(p, mark_of(entry));
            read_mapping(p, entry, &link_mapping, "a link", link);
            continue;
        }
        const char *text = scalar(p, entry, "a link");
        g_autofree char *first = NULL, *second = NULL;
        unsigned column = 0;
        if (!text)
            continue;
        if (!split_ends(text, &first, &second, &column)) {
            topology_complain(p->report, mark_of(entry),
                              "\"%s\" is not a link; write it like \"r1 - r2\" or \"r1:eth1 - r2:eth1\"",
                              text);
            continue;
        }
        struct topology_link *link = link_new(p, mark_of(entry));
        struct topology_mark mark = mark_of(entry);
        if (entry->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
            mark.column++; /* the quote */
        read_end_text(p, first, mark, &link->ends[0]);
        mark.column += column;
        read_end_text(p, second, mark, &link->ends[1]);
    }
}

/* ---- nodes ---- */

static void read_ready(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = scalar(p, value, "\"ready\"");
    if (!text)
        return;
    if (g_str_equal(text, "agent"))
        *FIELD(enum topology_ready, key, target) = TOPOLOGY_READY_AGENT;
    else if (g_str_equal(text, "started"))
        *FIELD(enum topology_ready, key, target) = TOPOLOGY_READY_STARTED;
    else
        topology_complain(p->report, mark_of(value),
                          "\"%s\" is no kind of ready; write \"agent\" or \"started\"", text);
}

/* "always", "on-failure:3". */
static void read_restart(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    static const char *const names[] = {[TOPOLOGY_RESTART_NEVER] = "never",
                                        [TOPOLOGY_RESTART_ON_FAILURE] = "on-failure",
                                        [TOPOLOGY_RESTART_ALWAYS] = "always"};
    const char *text = scalar(p, value, "\"restart\"");
    if (!text)
        return;
    size_t length = strcspn(text, ":");
    guint64 most = TOPOLOGY_RESTARTS_MOST;
    struct topology_restart_policy policy = {.when = TOPOLOGY_RESTART_UNSET};
    for (int i = TOPOLOGY_RESTART_NEVER; i <= TOPOLOGY_RESTART_ALWAYS; i++) {
        if (strlen(names[i]) == length && strncmp(names[i], text, length) == 0)
            policy.when = (enum topology_restart)i;
    }
    bool good =
        policy.when != TOPOLOGY_RESTART_UNSET &&
        (!text[length] || (policy.when != TOPOLOGY_RESTART_NEVER &&
                           g_ascii_string_to_unsigned(text + length + 1, 10, 1, 1000000, &most, NULL)));
    if (!good) {
        topology_complain(
            p->report, mark_of(value),
            "\"%s\" is no restart policy; write \"never\", \"on-failure\" or \"always\", and if "
            "%d restarts in a row are not what you want, how many: \"on-failure:3\"",
            text, TOPOLOGY_RESTARTS_MOST);
        return;
    }
    policy.most = (unsigned)most;
    *FIELD(struct topology_restart_policy, key, target) = policy;
}

static void add_route(struct parser *p, struct topology_node *node, yaml_node_t *to, const char *to_text,
                      yaml_node_t *via, const char *via_text)
{
    struct topology_route route = {.to_mark = mark_of(to), .via_mark = mark_of(via)};
    struct ipv4_prefix gateway;
    if (strchr(via_text, ':')) {
        route.is_six = true;
        if ((!g_str_equal(to_text, "default") && !read_subnet_six_text(p, to, to_text, &route.to6)) ||
            !read_six_text(p, via, via_text, &route.via6))
            return;
        if (route.via6.length != IPV6_NO_LENGTH)
            topology_complain(p->report, mark_of(via),
                              "the gateway \"%s\" must be an address without a prefix length", via_text);
        else
            g_ptr_array_add(node->routes, g_memdup2(&route, sizeof route));
        return;
    }
    if (!g_str_equal(to_text, "default") && !read_subnet_text(p, to, to_text, &route.to))
        return;
    if (!read_prefix_text(p, via, via_text, &gateway))
        return;
    if (gateway.length != IPV4_NO_LENGTH) {
        topology_complain(p->report, mark_of(via),
                          "the gateway \"%s\" must be an address without a prefix length", via_text);
        return;
    }
    route.via = gateway.address;
    g_ptr_array_add(node->routes, g_memdup2(&route, sizeof route));
}

struct route_ends {
    yaml_node_t *to, *via;
};

static void read_route_end(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    *FIELD(yaml_node_t *, key, target) = value;
}

static const struct key route_keys[] = {
    FIELD_ROW("to", read_route_end, offsetof(struct route_ends, to), "a network, or \"default\""),
    FIELD_ROW("via", read_route_end, offsetof(struct route_ends, via), "the gateway's address"),
    LATER("metric", "preference among routes", "`run:` can add it with ip route"),
};
static const struct mapping route_mapping = {"route", "a route", route_keys, G_N_ELEMENTS(route_keys)};

static void read_route_entry(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value,
                             void *target)
{
    const char *via = scalar(p, value, "a gateway");
    if (via)
        add_route(p, target, key, name, value, via);
}

static void read_routes(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_node *node = target;
    if (is_null(value))
        return;
    if (value->type == YAML_MAPPING_NODE) {
        read_entries(p, value, "\"routes\"", "10.2.0.0/24: 10.1.0.1", read_route_entry, node);
        return;
    }
    if (value->type != YAML_SEQUENCE_NODE) {
        topology_complain(
            p->report, mark_of(value),
            "\"routes\" of node \"%s\" must be a list like [{to: 10.2.0.0/24, via: 10.1.0.1}], this is %s",
            node->name, kind_of(value));
        return;
    }
    for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
         item++) {
        yaml_node_t *entry = yaml_document_get_node(p->document, *item);
        if (entry->type != YAML_MAPPING_NODE) {
            topology_complain(p->report, mark_of(entry),
                              "a route must be a mapping like {to: 10.2.0.0/24, via: 10.1.0.1}, this is %s",
                              kind_of(entry));
            continue;
        }
        struct route_ends ends = {NULL, NULL};
        guint before = p->report->complaints->len;
        read_mapping(p, entry, &route_mapping, "a route", &ends);
        if (!ends.to || !ends.via) {
            if (p->report->complaints->len == before)
                topology_complain(p->report, mark_of(entry),
                                  "the route has no \"%s\"; write {to: 10.2.0.0/24, via: 10.1.0.1}",
                                  ends.to ? "via" : "to");
            continue;
        }
        const char *to = scalar(p, ends.to, "\"to\""), *via = scalar(p, ends.via, "\"via\"");
        if (to && via)
            add_route(p, node, ends.to, to, ends.via, via);
    }
}

static void read_run(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_node *node = target;
    if (is_null(value))
        return;
    if (value->type == YAML_SEQUENCE_NODE) {
        for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
             item++) {
            const char *text = scalar(p, yaml_document_get_node(p->document, *item), "a command of \"run\"");
            if (text)
                g_ptr_array_add(node->run, g_strchomp(g_strdup(text)));
        }
        return;
    }
    const char *text = scalar(p, value, "\"run\"");
    if (text)
        g_ptr_array_add(node->run, g_strchomp(g_strdup(text)));
}

/* ---- files ---- */

enum { MOST_FILES_READ = 256 };

static struct topology_file *add_file(struct topology_node *node, const char *path, yaml_node_t *at)
{
    struct topology_file *file = g_new0(struct topology_file, 1);
    file->path = g_strdup(path);
    file->mark = mark_of(at);
    if (node->files->len < MOST_FILES_READ) /* by aliases of aliases */
        g_ptr_array_add(node->files, file);
    else
        g_ptr_array_insert(node->files, (gint)node->files->len - 1, file);
    return file;
}

static void read_file_text(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_file *file = target;
    if (value->type != YAML_SCALAR_NODE ||
        strlen((const char *)value->data.scalar.value) != value->data.scalar.length) {
        topology_complain(p->report, mark_of(value),
                          "\"text\" must be a text; write it as a block (text: |)");
        return;
    }
    g_free(file->text);
    file->text = g_strdup((const char *)value->data.scalar.value);
}

static void read_file_mode(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = scalar(p, value, "\"mode\"");
    char *end = NULL;
    guint64 mode = text ? g_ascii_strtoull(text, &end, 8) : 0;
    if (text && (!g_ascii_isdigit(*text) || *end || mode < 1 || mode > 07777))
        topology_complain(p->report, mark_of(value), "\"%s\" is no file mode; write it like 0755", text);
    else if (text)
        ((struct topology_file *)target)->mode = (unsigned)mode;
}

static const struct key file_keys[] = {
    FIELD_ROW("from", read_string, offsetof(struct topology_file, source),
              "file or folder, relative to the topology file"),
    ROW("text", read_file_text, "what is in it, instead of \"from\""),
    ROW("mode", read_file_mode, "permissions, like 0755"),
};
static const struct mapping file_mapping = {"file", "a file", file_keys, G_N_ELEMENTS(file_keys)};

static void read_file_entry(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value,
                            void *target)
{
    struct topology_file *file = add_file(target, name, key);
    if (value->type != YAML_MAPPING_NODE) {
        const char *text = scalar(p, value, "a file");
        file->source = g_strdup(text ? text : "/dev/null");
        return;
    }
    guint before = p->report->complaints->len;
    read_mapping(p, value, &file_mapping, "a file", file);
    if (p->report->complaints->len == before && !file->source == !file->text)
        topology_complain(p->report, mark_of(key),
                          "the file %s needs a \"from\" or a \"text\"; give one of them", name);
}

/* A folder, a list of folders, or paths in the guest with what goes there. */
static void read_files(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    if (is_null(value))
        return;
    if (value->type == YAML_MAPPING_NODE) {
        read_entries(p, value, "\"files\"", "/etc/motd: motd.txt", read_file_entry, target);
    } else if (value->type == YAML_SCALAR_NODE) {
        const char *text = scalar(p, value, "\"files\"");
        if (text)
            add_file(target, "/", value)->source = g_strdup(text);
    } else {
        for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
             item++) {
            yaml_node_t *entry = yaml_document_get_node(p->document, *item);
            const char *text = scalar(p, entry, "an entry of \"files\"");
            if (text)
                add_file(target, "/", entry)->source = g_strdup(text);
        }
    }
}

/* A daemon's configuration: the name of a file, or the text itself when it has several lines. */
static void read_daemon(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    g_autofree char *what = g_strdup_printf("\"%s\"", key->name);
    const char *text = scalar(p, value, what);
    if (!text)
        return;
    struct topology_file *file =
        add_file(target, g_str_equal(key->name, "frr") ? "/etc/frr/frr.conf" : "/etc/bird/bird.conf", value);
    if (strchr(text, '\n'))
        file->text = g_strdup(text);
    else
        file->source = g_strdup(text);
}

static void read_loopback(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_node *node = target;
    const char *text = scalar(p, value, "\"loopback\"");
    if (!text)
        return;
    node->loopback_mark = mark_of(value);
    if (g_str_equal(text, "true") || g_str_equal(text, "auto"))
        node->wants_loopback = true;
    else if (read_prefix_text(p, value, text, &node->loopback))
        node->has_loopback = true;
}

static void read_loopbacks(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = scalar(p, value, "\"loopbacks\"");
    if (text && read_subnet_text(p, value, text, &p->topology->loopbacks)) {
        p->topology->has_loopbacks = true;
        p->topology->loopbacks_mark = mark_of(value);
    }
}

/* The rows that stand in nodes (at .machine) and in defaults alike. */
#define AT(at, field_) ((at) + offsetof(struct topology_machine, field_))
#define MACHINE_KEYS(at)                                                                                     \
    MARKED_ROW("image", read_string, AT(at, image), AT(at, image_mark),                                      \
               "guest image, as `netlab image list` shows them"),                                            \
        MARKED_ROW("memory", read_memory, AT(at, memory), AT(at, memory_mark), "memory, like 64M or 1G"),    \
        MARKED_ROW("cpu", read_string, AT(at, cpu), AT(at, cpu_mark),                                        \
                   "CPU model, as `netlab-emu -cpu help` lists them"),                                       \
        MARKED_ROW("kernel", read_string, AT(at, kernel), AT(at, kernel_mark),                               \
                   "own kernel (bzImage or multiboot), relative to the topology file"),                      \
        MARKED_ROW("initrd", read_string, AT(at, initrd), AT(at, initrd_mark),                               \
                   "own initial RAM disk, relative to the topology file"),                                   \
        FIELD_ROW("append", read_string, AT(at, append), "kernel command line; added to the image's own"),   \
        FIELD_ROW("ready", read_ready, AT(at, ready),                                                        \
                  "when a machine counts as up: \"agent\" (it says so) or \"started\""),                     \
        FIELD_ROW("forwarding", read_tristate, AT(at, forwarding),                                           \
                  "true: the guest routes between its NICs"),                                                \
        FIELD_ROW("restart", read_restart, AT(at, restart),                                                  \
                  "when its machine ends by itself: \"never\", \"on-failure\", \"always\", \"always:3\"")

static const struct key node_keys[] = {
    MACHINE_KEYS(offsetof(struct topology_node, machine)),
    ROW("networks", read_node_networks, "networks it has a NIC on: [lan] or {lan: 10.1.0.1/24}"),
    ROW("routes", read_routes, "static routes: [{to: 10.2.0.0/24, via: 10.1.0.1}]"),
    ROW("run", read_run, "shell commands run in the guest once its network is up"),
    MARKED_ROW("hostname", read_string, offsetof(struct topology_node, hostname),
               offsetof(struct topology_node, hostname_mark), "otherwise the node's name"),
    ROW("files", read_files, "files copied into the guest: a folder, or {/etc/motd: motd.txt}"),
    ROW("frr", read_daemon, "FRR's configuration: a file, or the text itself"),
    ROW("bird", read_daemon, "BIRD's configuration: a file, or the text itself"),
    ROW("loopback", read_loopback, "an address of the loopback interface; true: one of \"loopbacks\""),
    LATER("cdrom", "CD image", "make an image of it (netlab image import) and use `image:`"),
    LATER("disk", "disk image", "make an image of it (netlab image import) and use `image:`"),
    LATER("boot", "boot order", "use `kernel:` and `initrd:` to boot"),
    LATER("display", "screen", "use `netlab console`"),
};
static const struct mapping node_mapping = {"node", "a node", node_keys, G_N_ELEMENTS(node_keys)};

static const struct key defaults_keys[] = {MACHINE_KEYS(0)};
static const struct mapping defaults_mapping = {"defaults", "\"defaults\"", defaults_keys,
                                                G_N_ELEMENTS(defaults_keys)};

static void read_node(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value, void *target)
{
    struct topology_node *node = topology_node_new(name, mark_of(key));
    g_ptr_array_add(p->topology->nodes, node);
    g_autofree char *what = g_strdup_printf("node \"%s\"", name);
    read_mapping(p, value, &node_mapping, what, node);
}

static void read_nodes(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    read_entries(p, value, "\"nodes\"", "h1: {networks: [lan]}", read_node, target);
}

static void read_defaults(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    read_mapping(p, value, &defaults_mapping, "\"defaults\"", &p->topology->defaults);
}

/* ---- checks and the top ---- */

static void read_count(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    g_autofree char *what = g_strdup_printf("\"%s\"", key->name);
    const char *text = scalar(p, value, what);
    char *end = NULL;
    guint64 number = text ? g_ascii_strtoull(text, &end, 10) : 0;
    if (text && (!g_ascii_isdigit(*text) || *end || number > 1000))
        topology_complain(p->report, mark_of(value), "\"%s\" is no number of %s; give 0 to 1000", text,
                          key->name);
    else if (text)
        *FIELD(unsigned, key, target) = (unsigned)number;
}

#define TEST_ROW(name_, kind, help_)                                                                         \
    MARKED_ROW(name_, read_string, offsetof(struct topology_test, what) + sizeof(char *) * (kind),           \
               offsetof(struct topology_test, what_mark) + sizeof(struct topology_mark) * (kind), help_)

static const struct key test_keys[] = {
    MARKED_ROW("node", read_string, offsetof(struct topology_test, node),
               offsetof(struct topology_test, node_mark), "the node to look in"),
    TEST_ROW("run", TOPOLOGY_TEST_RUN, "shell command"),
    TEST_ROW("ping", TOPOLOGY_TEST_PING, "a node or address that answers"),
    TEST_ROW("address", TOPOLOGY_TEST_ADDRESS, "an address that the node has, like 10.1.0.1/24"),
    TEST_ROW("route", TOPOLOGY_TEST_ROUTE, "a network that the node has a route to, or \"default\""),
    TEST_ROW("ospf", TOPOLOGY_TEST_OSPF, "a node, router id or address: FRR's adjacency with it is full"),
    TEST_ROW("bgp", TOPOLOGY_TEST_BGP, "a node or address: FRR's session with it is established"),
    TEST_ROW("isis", TOPOLOGY_TEST_ISIS, "a node: FRR's adjacency with it is up"),
    TEST_ROW("service", TOPOLOGY_TEST_SERVICE, "host:port that takes a connection, or a URL that answers"),
    TEST_ROW("file", TOPOLOGY_TEST_FILE,
             "a file that is there; its contents are what \"expect\" and others look at"),
    MARKED_ROW("via", read_string, offsetof(struct topology_test, via),
               offsetof(struct topology_test, via_mark), "with route: the gateway"),
    FIELD_ROW("interface", read_string, offsetof(struct topology_test, interface),
              "with address and route: the interface"),
    FIELD_ROW("expect", read_string, offsetof(struct topology_test, expect),
              "text that must occur in what it prints; its exit status must be 0 in any case"),
    MARKED_ROW("match", read_string, offsetof(struct topology_test, match),
               offsetof(struct topology_test, match_mark),
               "regular expression that must match what it prints"),
    MARKED_ROW("json", read_string, offsetof(struct topology_test, json),
               offsetof(struct topology_test, json_mark),
               "JSONPath that must find something in what it prints, like $.neighbors"),
    FIELD_ROW("equals", read_string, offsetof(struct topology_test, equals), "with json: what it must find"),
    FIELD_ROW("fails", read_tristate, offsetof(struct topology_test, fails), "true: it must not succeed"),
    FIELD_ROW("hint", read_string, offsetof(struct topology_test, hint),
              "what a person is told when it fails"),
    FIELD_ROW("points", read_count, offsetof(struct topology_test, points),
              "weight in grading; 1 unless said"),
    FIELD_ROW("stage", read_count, offsetof(struct topology_test, stage),
              "checks of stage 2 are looked at once all of stage 1 pass"),
    FIELD_ROW("optional", read_tristate, offsetof(struct topology_test, optional),
              "true: a failure is a warning"),
    FIELD_ROW("within", read_seconds, offsetof(struct topology_test, within),
              "how long to keep trying, like 30s"),
};
static const struct mapping test_mapping = {"check", "a check", test_keys, G_N_ELEMENTS(test_keys)};

static void read_test(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value, void *target)
{
    struct topology_test *test = g_new0(struct topology_test, 1);
    test->name = g_strdup(name);
    test->mark = mark_of(key);
    test->within = 10;
    test->points = 1;
    g_ptr_array_add(p->topology->tests, test);
    g_autofree char *what = g_strdup_printf("check \"%s\"", name);
    guint before = p->report->complaints->len;
    read_mapping(p, value, &test_mapping, what, test);
    if (p->report->complaints->len == before && !test->node)
        topology_complain(p->report, mark_of(key), "check \"%s\" has no \"node\"; write {node: h1, ping: h2}",
                          name);
}

static void read_tests(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    read_entries(p, value, "\"checks\"", "reachable: {node: h1, run: ping -c1 10.1.0.2}", read_test, target);
}

static void read_pool(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = scalar(p, value, "\"pool\"");
    if (text && read_subnet_text(p, value, text, &p->topology->pool)) {
        p->topology->has_pool = true;
        p->topology->pool_mark = mark_of(value);
    }
}

static const struct key topology_keys[] = {
    MARKED_ROW("name", read_string, offsetof(struct topology, name), offsetof(struct topology, name_mark),
               "the lab's name; otherwise the folder's"),
    ROW("defaults", read_defaults, "what nodes have that do not say otherwise"),
    ROW("networks", read_networks, "shared segments, one bridge each"),
    ROW("nodes", read_nodes, "the machines"),
    ROW("links", read_links, "point-to-point links between two nodes"),
    ROW("pool", read_pool, "where links without a subnet get theirs; 10.255.0.0/16 unless said"),
    ROW("loopbacks", read_loopbacks, "where the nodes' loopback addresses come from; every node gets one"),
    ROW("checks", read_tests, "tests that `netlab validate` runs inside the guests"),
    LATER("images", "images of this lab", "make them with `netlab image build`"),
    LATER("groups", "nodes alike", "use `defaults:` or YAML anchors (&name, *name)"),
};
static const struct mapping topology_mapping = {"topology", "the topology", topology_keys,
                                                G_N_ELEMENTS(topology_keys)};

static const struct key checks_keys[] = {ROW("checks", read_tests, "tests, as in a topology")};
static const struct mapping checks_mapping = {"checks", "a file of checks", checks_keys,
                                              G_N_ELEMENTS(checks_keys)};

static const struct mapping *const all_mappings[] = {
    &topology_mapping, &defaults_mapping, &network_mapping, &dhcp_mapping, &node_mapping, &nic_mapping,
    &link_mapping,     &end_mapping,      &route_mapping,   &file_mapping, &test_mapping, &checks_mapping};

bool topology_grammar(size_t index, struct topology_mapping_info *out)
{
    if (index >= G_N_ELEMENTS(all_mappings))
        return false;
    const struct mapping *mapping = all_mappings[index];
    struct topology_key_info *keys = g_new0(struct topology_key_info, mapping->count);
    for (size_t i = 0; i < mapping->count; i++)
        keys[i] =
            (struct topology_key_info){mapping->keys[i].name, mapping->keys[i].help, !mapping->keys[i].read};
    *out = (struct topology_mapping_info){mapping->name, keys, mapping->count};
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

static struct topology *walk_document(const char *file, const char *text, yaml_document_t *document,
                                      struct topology_report *report)
{
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (!root || is_null(root)) {
        topology_complain(report, (struct topology_mark){1, 1},
                          "the topology is empty; the least is \"nodes: {h1: {image: mini}}\" (see `netlab "
                          "help topology`)");
        return NULL;
    }
    if (root->type != YAML_MAPPING_NODE) {
        topology_complain(report, mark_of(root),
                          "a topology is a mapping with the keys name, networks, nodes and links; this is %s",
                          kind_of(root));
        return NULL;
    }
    struct topology *topology = topology_new(file, text);
    struct parser p = {.document = document, .report = report, .topology = topology};
    read_mapping(&p, root, &topology_mapping, "the topology", topology);
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
                read_mapping(&p, root, &checks_mapping, "a file of checks", topology);
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
    struct topology *topology = NULL;
    if (!yaml_parser_load(&yaml, &document)) {
        complain_yaml(report, &yaml, text, length);
        yaml_parser_delete(&yaml);
        return NULL;
    }
    topology = walk_document(file, text, &document, report);
    yaml_document_delete(&document);
    if (topology) {
        if (!yaml_parser_load(&yaml, &second)) {
            complain_yaml(report, &yaml, text, length);
        } else {
            yaml_node_t *root = yaml_document_get_root_node(&second);
            if (root)
                topology_complain(
                    report, mark_of(root),
                    "a second YAML document begins here; one file holds one topology, remove the \"---\"");
            yaml_document_delete(&second);
        }
    }
    yaml_parser_delete(&yaml);
    return topology;
}
