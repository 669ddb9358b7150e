/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The `netlab` command from the inside: verbs and their options are rows; parsing, help, man page and shell
 * completion come from them. One file a verb. Only this folder prints and exits.
 */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

/* Exit statuses; cli_statuses[] describes them for help and man page. */
enum cli_status {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_TOPOLOGY = 3,
    CLI_NOT_UP = 4,
    CLI_BUSY = 5,
    CLI_PRIVILEGE = 6,
    CLI_STORE = 7,
    CLI_LEFT = 8,
    CLI_EXEC = 125,
    CLI_INTERRUPTED = 130,
};

struct cli_option {
    const char *name;     /* without the dashes */
    char letter;          /* 0: none */
    const char *argument; /* "NAME"; NULL: a flag */
    const char *help;
};

/* A command line, and what it is for. */
struct cli_example {
    const char *command, *what;
};

/* What a verb reads and writes, for its manual page: cli_files[] has the places. */
enum cli_file {
    CLI_FILE_TOPOLOGY = 1 << 0,
    CLI_FILE_STORE = 1 << 1,
    CLI_FILE_RUNTIME = 1 << 2,
    CLI_FILE_IMAGES = 1 << 3,
    CLI_FILE_CACHE = 1 << 4,
};

struct cli_call;
struct cli_verb {
    const char *name;
    const char *arguments;   /* "[PATH]" */
    const char *summary;     /* one line */
    const char *description; /* paragraphs */
    const struct cli_option *options;
    size_t option_count;
    int least, most; /* arguments; most -1: any number */
    bool is_hidden;
    const struct cli_example *examples; /* ends with {NULL, NULL} */
    const char *statuses;   /* its own exit statuses: "0 meaning\n1 meaning"; NULL: the common ones */
    unsigned files;         /* enum cli_file; 0 with --lab: store and runtime */
    bool stops_at_argument; /* options end at the first argument: what follows belongs to another program */
    int (*run)(struct cli_call *call);
    /* A group ("host", "host dhcp") has verbs of its own, whose names begin with the group's, and neither
     * options nor run; NULL-terminated. */
    const struct cli_verb *const *group;
};

/* One invocation, parsed. */
struct cli_call {
    const struct cli_verb *verb;
    GHashTable *values;   /* option name → char * */
    GPtrArray *arguments; /* char *, NULL-terminated beyond len */
    GString *environment; /* variables that gave options, between blanks; NULL: not read yet */
};
bool cli_flag(const struct cli_call *call, const char *option);
const char *cli_value(const struct cli_call *call, const char *option);
/* A number in [least, most]; false (after a message) when it is none. *value keeps its default when not
 * given. */
bool cli_number(const struct cli_call *call, const char *option, unsigned least, unsigned most,
                unsigned *value);
const char *cli_argument(const struct cli_call *call, guint index); /* NULL: not given */

extern const struct cli_verb verb_up, verb_down, verb_restart, verb_status, verb_log, verb_repair,
    verb_doctor, verb_console, verb_connect, verb_exec, verb_cp, verb_capture, verb_graph, verb_diff,
    verb_save, verb_ssh_config, verb_completion, verb_inspect, verb_stats, verb_events, verb_link,
    verb_validate, verb_reset, verb_copy, verb_schema, verb_image, verb_import, verb_host, verb_help,
    verb_version, verb_supervise, verb_watchdog, verb_renew;
extern const struct cli_verb *const cli_verbs[];
/* By one word, in `verbs`. */
const struct cli_verb *cli_find_verb(const struct cli_verb *const *verbs, const char *word);
/* What a verb is called within its group: the last word of its name. */
const char *cli_last_word(const struct cli_verb *verb);

struct cli_status_info {
    enum cli_status status;
    const char *meaning;
};
extern const struct cli_status_info cli_statuses[];
extern const size_t cli_status_count;

/* Completion for a shell; a usage error for one that is not known. (help.c) */
int cli_print_completion(const struct cli_call *call, const char *shell);
/* The environment variable that stands for an option: "NETLAB_EXEC_TIMEOUT". Owned by the caller. */
char *cli_variable(const struct cli_verb *verb, const struct cli_option *option);
/* What the environment says of an option: its value ("" for a flag), or NULL; *name is the variable's (owned
 * by the caller). *is_wrong: a flag that is neither given nor left out; the value is what it has. --help has
 * none. */
const char *cli_variable_value(const struct cli_verb *verb, const struct cli_option *option, char **name,
                               bool *is_wrong);
#define CLI_EXAMPLES(...) ((const struct cli_example[]){__VA_ARGS__, {NULL, NULL}})

/* ---- help.c, manual.c, schema.c ---- */

/* Prints text wrapped to 78 columns, all lines but the first indented so far; the cursor is there already. */
void cli_print_hanging(const char *text, int indent);
/* `netlab VERB --help`. */
int cli_print_help(const struct cli_verb *verb);
/* All keys of topology files, as a list. */
void cli_print_grammar(void);
/* A variable of the environment that is no option's, and a place of files: manual.c has them. */
struct cli_place {
    const char *name, *what;
};
extern const struct cli_place cli_variables[], cli_files[]; /* end with {NULL, NULL} */
/* The manual page of a verb (with those of its group), of all of netlab (NULL), or of topology files, in
 * roff. Owned by the caller. */
char *cli_man_page(const struct cli_verb *verb);
char *cli_man_topology(void);
/* Writes all of them into a folder as netlab.1, netlab-up.1, …, netlab.yml.5. */
bool cli_man_write(const char *folder, GError **error);
/* "-t, --timeout=SECONDS" */
char *cli_option_form(const struct cli_option *option);

/* What came from a machine or its guest, without characters that a terminal would act on (newlines stay).
 * Owned by the caller. */
char *cli_printable(const char *text);

/* Prints "netlab: message" and returns the exit status for that kind of error. */
int cli_fail(const GError *error);
/* That status alone. */
int cli_status_of(const GError *error);
/* A usage error: message, and where help is. Returns CLI_USAGE. */
int cli_misuse(const struct cli_call *call, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* Standard output is a terminal that can do colours and rewriting of lines. */
bool cli_is_terminal(void);
/* It is one, and NO_COLOR (no-color.org) is not set. */
bool cli_has_colour(void);

/* A table with aligned columns: header and rows are NULL-terminated arrays of equal length. */
struct cli_table;
struct cli_table *cli_table_new(const char *const *header);
void cli_table_add(struct cli_table *table, const char *const *cells);
void cli_table_print(struct cli_table *table); /* and frees it; a cell may have several lines */
void cli_table_free(struct cli_table *table);
glong cli_table_width(const struct cli_table *table);
/* Columns of the terminal; G_MAXLONG when standard output is none. */
glong cli_terminal_width(void);
/* Prints JSON to standard output; takes the node over. */
void cli_print_json(JsonNode *node);

#define CLI_LAB_OPTION                                                                                       \
    {"lab", 'l', "NAME",                                                                                     \
     "the lab of this name (otherwise: the one of the current folder, or the only one that is up)"},         \
    {                                                                                                        \
        "student", 0, "ID", "the copy of this student (`netlab up --for`)"                                   \
    }
#define CLI_JSON_OPTION                                                                                      \
    {                                                                                                        \
        "json", 'j', NULL, "print JSON"                                                                      \
    }
#define CLI_HELP_OPTION                                                                                      \
    {                                                                                                        \
        "help", 'h', NULL, "show this help"                                                                  \
    }
