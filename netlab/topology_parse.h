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

/* Adds the checks of a second file (`shown` in messages); what is complained about is the error. */
bool topology_add_checks(struct topology *topology, const char *shown, const char *text, GError **error);

/* The grammar as data: every mapping with its keys, for the schema test, help and completion. */
struct topology_key_info {
    const char *name;
    const char *help;
    bool later; /* known, not in this version */
};
struct topology_mapping_info {
    const char *name; /* "topology", "network", … as in topology_schema.json's $defs */
    const struct topology_key_info *keys;
    size_t count;
};
/* The index-th mapping, false after the last. *out's keys belong to the caller (g_free). */
bool topology_grammar(size_t index, struct topology_mapping_info *out);
