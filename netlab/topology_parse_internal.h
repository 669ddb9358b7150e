/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The inside of the topology parser, for topology_parse*.c alone: keys and mappings as tables, and what their
 * readers share. A row says how its value is read and, for the reference and for editors, what it may be,
 * what holds without it, an example and a mistake. netlab/topology_types.c knows the types' ranges.
 */
#pragma once

#include "netlab/topology_check.h"
#include "netlab/topology_parse.h"
#include "netlab/topology_six.h"

#include <yaml.h>

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
    enum topology_type type;
    const char *standard; /* what holds without it; NULL: nothing, it is not there */
    const char *example;  /* stands at the @ of the mapping's frame, and passes */
    const char *mistake;  /* the same, and is refused */
    const char *guests;   /* which machines it works with; NULL: all */
    bool is_required;
};
enum { NO_MARK = 0xffff };

struct mapping {
    const char *name;
    const char *what; /* in messages: `unknown key "x" in <what>` */
    const struct key *keys;
    size_t count;
    const char *title, *frame; /* for the reference: a topology with @ where the keys stand */
    bool may_be_empty;         /* null will do */
    const char *condition;     /* more JSON Schema, members of an object; NULL: none */
};
extern const struct mapping topology_mapping_defaults, topology_mapping_network, topology_mapping_dhcp,
    topology_mapping_node, topology_mapping_nic, topology_mapping_link, topology_mapping_end,
    topology_mapping_route, topology_mapping_file, topology_mapping_disk, topology_mapping_cloud_init,
    topology_mapping_check;

#define FIELD(type, key, target) ((type *)((char *)(target) + (key)->field))

/* Rows: one whose reader knows what to do; one for a field of the target, without and with its mark; one of a
 * later version. What follows the help are the columns of the reference. */
#define ROW(name_, read_, type_, help_, ...)                                                                 \
    {                                                                                                        \
        .name = name_, .read = read_, .mark = NO_MARK, .type = type_, .help = help_, __VA_ARGS__             \
    }
#define FIELD_ROW(name_, read_, field_, type_, help_, ...)                                                   \
    {                                                                                                        \
        .name = name_, .read = read_, .field = field_, .mark = NO_MARK, .type = type_, .help = help_,        \
        __VA_ARGS__                                                                                          \
    }
#define MARKED_ROW(name_, read_, field_, mark_, type_, help_, ...)                                           \
    {                                                                                                        \
        .name = name_, .read = read_, .field = field_, .mark = mark_, .type = type_, .help = help_,          \
        __VA_ARGS__                                                                                          \
    }
#define LATER(name_, help_, instead_)                                                                        \
    {                                                                                                        \
        .name = name_, .help = help_, .instead = instead_                                                    \
    }

/* Machines that know what to do with a key, where not all do. */
#define OURS  "images of ours, and others whose start-up program reads opt/netlab/config"
#define AGENT "machines with an agent"

/* The rows of a bad line, for a mapping whose reader is `read`; `before` stands before each example. */
#define IMPAIRMENT_KEYS(read, before)                                                                        \
    ROW("delay", read, TOPOLOGY_TYPE_LINE_TIME, "one way, like 20ms", .example = before "delay: 20ms",       \
        .mistake = before "delay: 20 parsecs"),                                                              \
        ROW("jitter", read, TOPOLOGY_TYPE_LINE_TIME, "variation of the delay, like 5ms",                     \
            .example = before "delay: 20ms, jitter: 5ms", .mistake = before "jitter: a bit"),                \
        ROW("distribution", read, TOPOLOGY_TYPE_DISTRIBUTION, "of the jitter: uniform, normal or pareto",    \
            .standard = "uniform", .example = before "delay: 20ms, jitter: 5ms, distribution: normal",       \
            .mistake = before "distribution: gaussian"),                                                     \
        ROW("loss", read, TOPOLOGY_TYPE_SHARE, "share of frames lost, like 1%",                              \
            .example = before "loss: 1%", .mistake = before "loss: 120%"),                                   \
        ROW("burst", read, TOPOLOGY_TYPE_BURST, "mean number of frames lost in a row",                       \
            .standard = "frames are lost one by one", .example = before "loss: 2%, burst: 3",                \
            .mistake = before "burst: many"),                                                                \
        ROW("duplicate", read, TOPOLOGY_TYPE_SHARE, "share of frames that come twice",                       \
            .example = before "duplicate: 1%", .mistake = before "duplicate: twice"),                        \
        ROW("corrupt", read, TOPOLOGY_TYPE_SHARE, "share of frames with one bit flipped",                    \
            .example = before "corrupt: 0.1%", .mistake = before "corrupt: 1 bit"),                          \
        ROW("reorder", read, TOPOLOGY_TYPE_SHARE, "share of frames that overtake others",                    \
            .example = before "delay: 20ms, reorder: 5%", .mistake = before "reorder: -1%"),                 \
        ROW("rate", read, TOPOLOGY_TYPE_RATE, "bandwidth in bit/s, like 10M",                                \
            .standard = "as fast as it goes", .example = before "rate: 10M",                                 \
            .mistake = before "rate: slow"),                                                                 \
        ROW("limit", read, TOPOLOGY_TYPE_LIMIT, "frames in its queue", .standard = "1000",                   \
            .example = before "rate: 10M, limit: 100", .mistake = before "limit: 0"),                        \
        ROW("seed", read, TOPOLOGY_TYPE_SEED, "the same seed, the same fate of each frame",                  \
            .standard = "another fate each time", .example = before "loss: 1%, seed: 7",                     \
            .mistake = before "seed: mine")

/* ---- what readers share (topology_parse.c) ---- */

struct topology_mark topology_mark_of(const yaml_node_t *node);
/* "a mapping", "a list", "a plain value" */
const char *topology_kind_of(const yaml_node_t *node);
bool topology_is_null(const yaml_node_t *node);
/* The scalar's text, or NULL after a complaint that `what` must be one. Belongs to the document. */
const char *topology_scalar(struct parser *p, const yaml_node_t *node, const char *what);
/* Addresses and networks; false after a complaint. */
bool topology_read_prefix_text(struct parser *p, yaml_node_t *value, const char *text,
                               struct ipv4_prefix *out);
bool topology_read_subnet_text(struct parser *p, yaml_node_t *value, const char *text,
                               struct ipv4_prefix *out);
bool topology_read_six_text(struct parser *p, yaml_node_t *value, const char *text, struct ipv6_prefix *out);
bool topology_read_subnet_six_text(struct parser *p, yaml_node_t *value, const char *text,
                                   struct ipv6_prefix *out);
/* Reads a mapping by its table. `what` names it in messages ("node \"h1\""). */
void topology_read_mapping(struct parser *p, yaml_node_t *node, const struct mapping *mapping,
                           const char *what, void *target);
typedef void entry_reader(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value,
                          void *target);
/* Reads a mapping whose keys are names people chose (nodes, networks, …). */
void topology_read_entries(struct parser *p, yaml_node_t *node, const char *what, const char *example,
                           entry_reader *read, void *target);

/* Readers of plain values, into the row's field. */
key_reader topology_read_string, topology_read_memory, topology_read_flag, topology_read_mtu,
    topology_read_seconds;
/* Readers of whole parts. */
key_reader topology_read_networks, topology_read_links, topology_read_nodes, topology_read_defaults,
    topology_read_checks, topology_read_loopbacks, topology_read_node_networks, topology_read_subnet,
    topology_read_subnet6, topology_read_disks, topology_read_cdrom, topology_read_boot,
    topology_read_cloud_init;
/* One word of a bad line. */
void topology_read_line_word(struct parser *p, yaml_node_t *value, const struct key *key,
                             struct topology_line *line);
