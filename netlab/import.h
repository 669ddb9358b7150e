/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Labs of other programs: a containerlab topology, a Kathará folder or a topology of ipspace's netlab becomes
 * a folder that `netlab up` brings up. docs/import.md says what becomes of what.
 *
 * Three readers (import_containerlab.c, import_kathara.c, import_ipspace.c) fill one model
 * (import_internal.h); import_write.c writes it. Everything that a reader meets gets a note: mapped,
 * approximated, or left out. Nothing of what is read is ever run here, and files are read beneath the lab's
 * own folder only, through no link. What is written is held against our own grammar before anything is put in
 * place.
 */
#pragma once

#include "netlab/topology.h"

enum import_kind { IMPORT_UNKNOWN, IMPORT_CONTAINERLAB, IMPORT_KATHARA, IMPORT_IPSPACE };
enum import_level {
    IMPORT_MAPPED,       /* the same here */
    IMPORT_APPROXIMATED, /* nearly the same, or without effect here */
    IMPORT_LEFT,         /* not there */
    IMPORT_LEVELS
};

struct import_note {
    enum import_level level;
    char *file; /* as messages show it */
    struct topology_mark mark;
    char *what; /* "node r1: image frrouting/frr:v8" */
    char *how;  /* "image router" */
};

struct import_report {
    enum import_kind kind;
    GPtrArray *notes; /* struct import_note *, in the order in which they were met; at most
                         IMPORT_NOTES_MOST */
    unsigned counts[IMPORT_LEVELS];
    unsigned nodes, networks;
    char *name;     /* of the lab */
    char *topology; /* the topology's text */
    char *folder;   /* what was written; NULL: nothing */
};
enum { IMPORT_NOTES_MOST = 5000 };

struct import_options {
    const char *path;   /* a file, or a folder with one */
    const char *output; /* the folder to make; NULL: only look */
    enum import_kind from;
};

#define IMPORT_ERROR import_error_quark()
GQuark import_error_quark(void);
enum import_error {
    IMPORT_ERROR_READ,
    IMPORT_ERROR_WRITE,
    IMPORT_ERROR_REFUSED /* our grammar does not take what was made of it: a defect of the importer */
};

/* "containerlab", "kathara", "ipspace"; IMPORT_UNKNOWN for any other word. */
enum import_kind import_kind_by_name(const char *word);
const char *import_kind_name(enum import_kind kind);
const char *import_level_name(enum import_level level);

/* Reads the lab and writes it to the output folder: whole, or not at all. NULL: it cannot be read
 * (IMPORT_ERROR_READ, TOPOLOGY_ERROR with file:line:column), or the folder is there already or cannot be made
 * (IMPORT_ERROR_WRITE). Owned by the caller. */
struct import_report *import_lab(const struct import_options *options, GError **error);
/* The same for a text alone, without files beside it (tests and fuzzers). */
struct import_report *import_text(enum import_kind kind, const char *text, size_t length, GError **error);
void import_report_free(struct import_report *report);
