/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What verbs do with a class (netlab/class.h) when they get --for: every copy is worked on by a process of
 * its own (`netlab copy`, hidden), some at once, and each says on its standard output what it is doing. One
 * copy that fails stops no other.
 */
#pragma once

#include "cli/cli.h"
#include "netlab/class.h"

#define CLI_CLASS_OPTIONS                                                                                    \
    {"for", 0, "FILE", "the class of this list: a CSV file with a column \"student\""},                      \
    {                                                                                                        \
        "students", 0, "IDS", "of the class only these: ids between commas"                                  \
    }
#define CLI_PARALLEL_OPTION                                                                                  \
    {                                                                                                        \
        "parallel", 0, "NUMBER", "how many copies at once (as many as there are processors, at least 2)"     \
    }

/* Is a class meant? */
bool cli_class_is_meant(const struct cli_call *call);
/* The verbs with --for; they return the exit status. */
int cli_class_up(struct cli_call *call, unsigned timeout);
int cli_class_down(struct cli_call *call, unsigned graceful);
int cli_class_status(struct cli_call *call);
/* `format` as given to --format; NULL: text. `hidden`: the file of --checks, or NULL. */
int cli_class_validate(struct cli_call *call, unsigned most);
int cli_class_save(struct cli_call *call);

/* The class of --for (and --lab), and those of its members that --students names. Clear it in any case. */
struct cli_class {
    struct lab_place place;
    struct store *store;
    struct store_class *class;
    GPtrArray *members; /* struct store_member * */
};
bool cli_class_find(const struct cli_call *call, const char *chosen, struct cli_class *class, GError **error);
void cli_class_clear(struct cli_class *class);

/* Puts the lab of --student into --lab. False after a message, with the exit status. */
bool cli_class_resolve(struct cli_call *call, int *status);

/* ---- copies, several at once ---- */

struct cli_job {
    const struct store_member *member;
    const char *action; /* "up", "down", "reset", "save": what the process is told */
    pid_t pid;          /* 0: not started, or ended */
    int out;            /* its standard output; -1: none */
    GString *line;      /* of it, what is no whole line yet */
    char *doing;        /* its last step, for the line of progress */
    char *error;        /* NULL: it went well, or has not ended */
    JsonArray *results; /* objects that it told; NULL: none */
    bool is_done, is_changed;
    int status;
    gint64 began;
};
struct cli_crew {
    const struct cli_call *call; /* --json, --quiet, --verbose, --parallel */
    int64_t class;
    GPtrArray *jobs;            /* struct cli_job *, freeing its elements */
    unsigned timeout, graceful; /* handed on */
    bool rootless;
    const char *const *words; /* what the processes are told besides; NULL: nothing */
    /* Set by cli_crew_run(). */
    unsigned failed, skipped, changed; /* skipped: not begun when it was interrupted */
    int status;                        /* of the first that failed */
    bool is_interrupted;
    GHashTable *notes;
    bool has_line, is_live, is_json, is_quiet;
};
struct cli_crew *cli_crew_new(const struct cli_call *call, int64_t class);
void cli_crew_add(struct cli_crew *crew, const struct store_member *member, const char *action);
/* Runs all of them; false: --parallel is no number (after a message). On SIGINT and the like no more are
 * begun, and copies that are on their way up are rolled back. Errors of copies are printed as they come. */
bool cli_crew_run(struct cli_crew *crew);
void cli_crew_free(struct cli_crew *crew);
/* With --json a line: {"event": …}; takes the object over. */
void cli_crew_event(const struct cli_crew *crew, JsonObject *object);
