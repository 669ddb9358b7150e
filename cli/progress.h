/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * How a running `up` or `down` shows itself: on a terminal one line that is rewritten, in a pipe nothing but
 * notes; with `verbose` each step on a line.
 */
#pragma once

#include "netlab/lab.h"

#include <stdio.h>

struct cli_progress {
    bool is_quiet, is_verbose, is_live; /* live: the rewritten line */
    bool has_line;                      /* something stands in it */
    GPtrArray *steps, *undone;          /* char * */
};

void cli_progress_init(struct cli_progress *progress, bool quiet, bool verbose);
void cli_progress_clear(struct cli_progress *progress);
/* For struct lab_progress. */
void cli_progress_tell(void *opaque, enum lab_event event, unsigned index, unsigned count, double seconds,
                       const char *text);
/* Rewrites the line that the cursor of a terminal stands in, cut to its width. */
void cli_progress_rewrite(FILE *terminal, const char *text);
/* Wipes the rewritten line. */
void cli_progress_end(struct cli_progress *progress);
/* "Rolled back: …" on standard error. */
void cli_progress_print_undone(const struct cli_progress *progress);
