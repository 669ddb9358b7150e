/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What this host can and cannot do for labs, each with what to do about it. Looks, and tries in throw-away
 * namespaces; changes nothing.
 */
#pragma once

#include "netlab/lab.h"

enum doctor_verdict {
    DOCTOR_GOOD,
    DOCTOR_NOTE, /* something does not work, or is to be known; labs come up all the same */
    DOCTOR_BAD,  /* no lab comes up before this is mended */
    DOCTOR_VERDICTS
};
struct doctor_finding {
    const char *name; /* "tap", "forward-policy" */
    enum doctor_verdict verdict;
    char *text;   /* what was found */
    char *remedy; /* what to do; NULL: nothing */
};

/* GPtrArray of struct doctor_finding *, in the order of the table, freeing its elements. */
GPtrArray *doctor_examine(const struct lab_place *place);
