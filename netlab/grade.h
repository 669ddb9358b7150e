/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Running the checks of a lab (`checks:` of its topology) inside its guests, all of a stage at once.
 *
 * Each node has one thread that goes round its checks, for a guest is talked to by one at a time; at most
 * GRADE_NODES_AT_ONCE nodes are looked at together. A check is repeated until it passes or its time
 * (`within`) is over. That time begins with the stage, and anew when a check above it passes; and no check is
 * given up before those above it are decided. So what depends on a slow one (a ping on a route) needs no
 * longer time of its own, and a lab in which everything fails takes as long as its slowest check, not as all
 * together. Stages go in order: when a check of one fails, those of later stages are not looked at.
 */
#pragma once

#include "netlab/lab.h"

enum { GRADE_NODES_AT_ONCE = 16 };

enum grade_verdict {
    GRADE_PASSED,
    GRADE_FAILED,
    GRADE_WARNING, /* failed, and optional */
    GRADE_NOT_REACHED,
    GRADE_UNUSABLE, /* its machine does not run */
    GRADE_VERDICTS
};
const char *grade_verdict_name(enum grade_verdict verdict); /* "passed", … */

struct grade_outcome {
    const struct topology_test *test;
    enum grade_verdict verdict;
    char *why; /* NULL: it passed */
    double seconds;
};

struct grade_spec {
    struct lab_status *status; /* as it is when the checks begin; read only */
    const struct topology *topology;
    unsigned most; /* seconds for each check, whatever it says; 0: look once */
    /* Called in the caller's thread for each, in the order of stages and the file; may be NULL. */
    void (*tell)(void *opaque, const struct grade_outcome *outcome);
    /* The same, about once a second while nothing is told: `decided` of the `count` checks of this stage, and
     * the first that is not, after `seconds`. May be NULL. */
    void (*wait)(void *opaque, unsigned decided, unsigned count, const struct topology_test *next,
                 double seconds);
    void *opaque;
};
/* GArray of struct grade_outcome in that order, freeing what they own. May be called by several threads for
 * several labs. */
GArray *grade_run(const struct grade_spec *spec);

struct grade_totals {
    unsigned passed, failed, warned, unusable, points, most;
    unsigned unreached; /* of those that failed */
};
struct grade_totals grade_count(const GArray *outcomes);
/* As ipspace netlab has them: 0 all pass, 1 one fails, 2 none could be looked at, 3 only warnings. */
enum { GRADE_ALL_PASS = 0, GRADE_SOME_FAIL = 1, GRADE_NONE_USABLE = 2, GRADE_SOME_WARN = 3 };
int grade_status(const struct grade_totals *totals, unsigned checks);
