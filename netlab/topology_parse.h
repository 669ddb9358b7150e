/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* YAML text → struct topology: keys, types and places, no meaning yet. See topology.h. */
#pragma once

#include "netlab/topology.h"

/* Reads `text` (length bytes), which came from `file` (absolute path, for relative paths and messages).
 * Complaints go to the report. Returns a topology although there were complaints, so that the check can find
 * more of them; NULL when the text is no YAML mapping at all. Owned by the caller. */
struct topology *topology_parse_text(const char *file, const char *text, size_t length,
                                     struct topology_report *report);

/* Parse and check in one go; the error holds all complaints. `shown` is the name messages use for the file.
 */
struct topology *topology_load_text(const char *file, const char *shown, const char *text, GError **error);
/* The same from a file (at most 1 MiB). */
struct topology *topology_load_file(const char *path, GError **error);
/* The same with the document of a copy behind it (topology_student.h; NULL: none). */
struct topology *topology_load_copy(const char *path, const char *document, GError **error);
/* The topology of a lab that is up: what its file says now, or `source` when that is gone; a copy stays the
 * copy that it is. */
struct topology *topology_load_again(const char *file, const char *source, GError **error);
/* The text of a file that people write, at most 1 MiB and without NUL, read with the rights of who called
 * sudo. `kind` is what it is ("topology"), `advice` what to do when it is not there. */
bool topology_read_file(const char *path, const char *kind, const char *advice, char **text, size_t *length,
                        GError **error);

/* Adds the checks of a second file (`shown` in messages); what is complained about is the error. */
bool topology_add_checks(struct topology *topology, const char *shown, const char *text, GError **error);

/* Is this YAML? False: *line, *column (from 1) and what is wrong there (owned by the caller). */
bool topology_check_yaml(const char *text, size_t length, unsigned *line, unsigned *column, char **why);

/* ---- the grammar as data, for help, the reference, editors and tests ---- */

/* What a value may be; topology_types.c has their ranges. */
enum topology_type {
    TOPOLOGY_TYPE_TEXT,
    TOPOLOGY_TYPE_VALUE,
    TOPOLOGY_TYPE_FLAG,
    TOPOLOGY_TYPE_COUNT,
    TOPOLOGY_TYPE_PATH,
    TOPOLOGY_TYPE_GUEST_PATH,
    TOPOLOGY_TYPE_LAB_NAME,
    TOPOLOGY_TYPE_NETWORK_NAME,
    TOPOLOGY_TYPE_NODE_NAME,
    TOPOLOGY_TYPE_HOST_NAME,
    TOPOLOGY_TYPE_INTERFACE_NAME,
    TOPOLOGY_TYPE_IPV4,
    TOPOLOGY_TYPE_IPV4_PLAIN,
    TOPOLOGY_TYPE_IPV4_NETWORK,
    TOPOLOGY_TYPE_IPV6,
    TOPOLOGY_TYPE_SUBNET6,
    TOPOLOGY_TYPE_ADDRESS,
    TOPOLOGY_TYPE_ADDRESS6,
    TOPOLOGY_TYPE_MAC,
    TOPOLOGY_TYPE_MTU,
    TOPOLOGY_TYPE_UPLINK,
    TOPOLOGY_TYPE_FORWARD,
    TOPOLOGY_TYPE_FORWARDS,
    TOPOLOGY_TYPE_DHCP,
    TOPOLOGY_TYPE_LINE_TIME,
    TOPOLOGY_TYPE_DISTRIBUTION,
    TOPOLOGY_TYPE_SHARE,
    TOPOLOGY_TYPE_BURST,
    TOPOLOGY_TYPE_RATE,
    TOPOLOGY_TYPE_LIMIT,
    TOPOLOGY_TYPE_SEED,
    TOPOLOGY_TYPE_MEMORY,
    TOPOLOGY_TYPE_TIME,
    TOPOLOGY_TYPE_LEASE,
    TOPOLOGY_TYPE_RANGE,
    TOPOLOGY_TYPE_ROUTER,
    TOPOLOGY_TYPE_SERVERS,
    TOPOLOGY_TYPE_DHCP_OPTIONS,
    TOPOLOGY_TYPE_COMMANDS,
    TOPOLOGY_TYPE_READY,
    TOPOLOGY_TYPE_RESTART,
    TOPOLOGY_TYPE_DISKS,
    TOPOLOGY_TYPE_DISK_SIZE,
    TOPOLOGY_TYPE_CDROM,
    TOPOLOGY_TYPE_BOOT,
    TOPOLOGY_TYPE_CLOUD_INIT,
    TOPOLOGY_TYPE_KEYS,
    TOPOLOGY_TYPE_NIC_VALUE,
    TOPOLOGY_TYPE_NODE_NETWORKS,
    TOPOLOGY_TYPE_ROUTES,
    TOPOLOGY_TYPE_ROUTE_TO,
    TOPOLOGY_TYPE_ROUTE_VIA,
    TOPOLOGY_TYPE_FILES,
    TOPOLOGY_TYPE_MODE,
    TOPOLOGY_TYPE_LOOPBACK,
    TOPOLOGY_TYPE_ENDS,
    TOPOLOGY_TYPE_DEFAULTS,
    TOPOLOGY_TYPE_NETWORKS,
    TOPOLOGY_TYPE_NODES,
    TOPOLOGY_TYPE_LINKS,
    TOPOLOGY_TYPE_CHECKS,
    TOPOLOGY_TYPE_STUDENT,
    TOPOLOGY_TYPES,
};
struct topology_type_info {
    const char *name;   /* in $defs of the JSON Schema */
    const char *text;   /* for people: kind and range */
    const char *schema; /* JSON Schema */
};
const struct topology_type_info *topology_type_info(enum topology_type type); /* (topology_types.c) */

struct topology_key_info {
    const char *name;
    const char *help;
    bool later; /* known, not in this version; has `instead` and none of the following */
    const char *instead;
    enum topology_type type;
    const char *standard;          /* what holds without it; NULL: nothing */
    const char *example, *mistake; /* at the @ of the mapping's frame: passes, is refused */
    const char *guests;            /* the machines it works with; NULL: all */
    bool is_required;
};
struct topology_mapping_info {
    const char *name; /* "topology", "network", … as in the schema's $defs */
    const char *title, *frame;
    bool may_be_empty;
    const char *condition; /* more JSON Schema for it; NULL: none */
    const struct topology_key_info *keys;
    size_t count;
};
/* The index-th mapping, false after the last. *out's keys belong to the caller (g_free). */
bool topology_grammar(size_t index, struct topology_mapping_info *out);
/* What is said to `text` (an example or a mistake of this mapping) when it stands in its frame: the
 * complaints as `netlab up` prints them, or NULL when it passes. *whole becomes the topology (the file of
 * checks) when not NULL. Both are owned by the caller. */
char *topology_grammar_try(const struct topology_mapping_info *mapping, const char *text, char **whole);
