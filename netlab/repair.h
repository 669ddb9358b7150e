/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `repair`: what a crash left is finished or taken away, and what is netlab's but in no store is found by its
 * marks. docs/journal.md says what is done when.
 */
#pragma once

#include "netlab/lab.h"

enum repair_outcome {
    REPAIR_DONE,
    REPAIR_PLANNED, /* dry run */
    REPAIR_LEFT,    /* could not be done, or is not for us to do: `why` */
    REPAIR_OUTCOMES
};
struct repair_finding {
    char *lab; /* "": none in particular */
    char *what;
    enum repair_outcome outcome;
    char *why; /* LEFT; else NULL */
};

struct repair_options {
    const struct lab_place *place;
    const char *lab; /* only this one; NULL: all */
    bool dry_run;
    int cancel_fd;
    unsigned timeout_s; /* for machines that have to be started */
};
/* GPtrArray of struct repair_finding *, freeing its elements; empty: all is well. NULL with an error when the
 * store is there but not to be used (of a newer version, locked, unreadable): then nothing was done. */
GPtrArray *repair_run(const struct repair_options *options, GError **error);
