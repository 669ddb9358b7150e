/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab`: finds the verb, parses its options by its rows, runs it.
 */
#include "cli/class.h"
#include "netlab/agent.h"
#include "netlab/image.h"
#include "netlab/lab.h"
#include "netlab/lock.h"
#include "netlab/store.h"
#include "netlab/topology.h"

#include <gio/gio.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const struct cli_verb *const cli_verbs[] = {
    &verb_up,         &verb_down,       &verb_restart, &verb_reset, &verb_status,   &verb_inspect,
    &verb_stats,      &verb_events,     &verb_graph,   &verb_log,   &verb_console,  &verb_connect,
    &verb_exec,       &verb_cp,         &verb_capture, &verb_link,  &verb_validate, &verb_save,
    &verb_diff,       &verb_repair,     &verb_doctor,  &verb_image, &verb_import,   &verb_host,
    &verb_ssh_config, &verb_completion, &verb_schema,  &verb_help,  &verb_version,  &verb_supervise,
    &verb_watchdog,   &verb_renew,      &verb_copy,    NULL};

const struct cli_status_info cli_statuses[] = {
    {CLI_OK, "done, or nothing to do"},
    {CLI_FAILED, "it did not work; what was begun has been rolled back"},
    {CLI_USAGE, "the command line is wrong"},
    {CLI_TOPOLOGY, "the topology file is wrong or cannot be read"},
    {CLI_NOT_UP, "no such lab or node is up"},
    {CLI_BUSY, "the lab is being changed by another netlab, or is up from elsewhere"},
    {CLI_PRIVILEGE, "a capability or a device is missing"},
    {CLI_STORE, "the store cannot be used (disk full, newer version, damaged)"},
    {CLI_LEFT, "something could not be taken away; `netlab down` again does it"},
    {CLI_EXEC, "`exec`: netlab failed; otherwise it ends with the command's own status"},
    {CLI_INTERRUPTED, "interrupted; what was begun has been rolled back"},
};
const size_t cli_status_count = G_N_ELEMENTS(cli_statuses);

/* Words of other tools, for the suggestion. */
static const struct {
    const char *theirs, *ours;
} synonyms[] = {{"deploy", "up"},     {"destroy", "down"},

                {"lstart", "up"},     {"lclean", "down"},    {"start", "up"},
                {"stop", "down"},     {"ps", "status"},      {"list", "status"},
                {"images", "image"},  {"ssh", "connect"},    {"check", "validate"},
                {"test", "validate"}, {"create", "up"},      {"delete", "down"},
                {"logs", "log"},      {"reboot", "restart"}, {"run", "exec"},
                {"shell", "connect"}, {"ls", "status"},      {"dhclient", "host dhcp request"}};

/* ---- calls ---- */

bool cli_flag(const struct cli_call *call, const char *option)
{
    return g_hash_table_contains(call->values, option);
}

const char *cli_value(const struct cli_call *call, const char *option)
{
    return g_hash_table_lookup(call->values, option);
}

bool cli_number(const struct cli_call *call, const char *option, unsigned least, unsigned most,
                unsigned *value)
{
    const char *text = cli_value(call, option);
    guint64 number;
    if (!text)
        return true;
    if (g_ascii_string_to_unsigned(text, 10, least, most, &number, NULL)) {
        *value = (unsigned)number;
        return true;
    }
    cli_misuse(call, "--%s: \"%s\" is not a number from %u to %u", option, text, least, most);
    return false;
}

const char *cli_argument(const struct cli_call *call, guint index)
{
    return index < call->arguments->len ? call->arguments->pdata[index] : NULL;
}

const char *cli_last_word(const struct cli_verb *verb)
{
    const char *space = strrchr(verb->name, ' ');
    return space ? space + 1 : verb->name;
}

const struct cli_verb *cli_find_verb(const struct cli_verb *const *verbs, const char *word)
{
    for (size_t i = 0; verbs[i]; i++) {
        if (g_str_equal(cli_last_word(verbs[i]), word))
            return verbs[i];
    }
    return NULL;
}

/* ---- messages ---- */

int cli_misuse(const struct cli_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    fprintf(stderr, "netlab %s: %s\nSee `netlab help %s`.\n", call->verb->name, text, call->verb->name);
    if (call->environment && call->environment->len)
        fprintf(stderr, "Options from the environment:%s\n", call->environment->str);
    return CLI_USAGE;
}

int cli_status_of(const GError *error)
{
    if (lab_error_is_privilege(error))
        return CLI_PRIVILEGE;
    if (error->domain == TOPOLOGY_ERROR)
        return CLI_TOPOLOGY;
    if (error->domain == STORE_ERROR)
        return CLI_STORE;
    if (error->domain == LOCK_ERROR)
        return error->code == LOCK_ERROR_HELD ? CLI_BUSY : CLI_STORE;
    if (error->domain == AGENT_ERROR)
        return error->code == AGENT_ERROR_ABSENT ? CLI_NOT_UP : CLI_FAILED;
    if (error->domain != LAB_ERROR)
        return CLI_FAILED;
    switch ((enum lab_error)error->code) {
    case LAB_ERROR_FAILED:
        return CLI_FAILED;
    case LAB_ERROR_CANCELLED:
        return CLI_INTERRUPTED;
    case LAB_ERROR_ELSEWHERE:
        return CLI_BUSY;
    case LAB_ERROR_NOT_UP:
        return CLI_NOT_UP;
    case LAB_ERROR_PRIVILEGE:
        return CLI_PRIVILEGE;
    case LAB_ERROR_LEFT:
        return CLI_LEFT;
    }
    return CLI_FAILED;
}

char *cli_printable(const char *text)
{
    char *plain = g_utf8_make_valid(text, -1);
    for (char *c = plain; *c; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);
        if (*c != '\n' && g_unichar_iscntrl(character))
            memset(c, '?', (size_t)(g_utf8_next_char(c) - c));
    }
    return plain;
}

int cli_fail(const GError *error)
{
    g_autofree char *text = cli_printable(error->message);
    fflush(stdout);
    /* Complaints about a topology begin with file:line:column, as editors want them. */
    if (error->domain == TOPOLOGY_ERROR)
        fprintf(stderr, "%s\n", text);
    else
        fprintf(stderr, "netlab: %s\n", text);
    return cli_status_of(error);
}

bool cli_is_terminal(void)
{
    const char *term = g_getenv("TERM");
    return isatty(STDOUT_FILENO) && term && !g_str_equal(term, "dumb");
}

bool cli_has_colour(void)
{
    const char *no = g_getenv("NO_COLOR");
    return cli_is_terminal() && !(no && *no);
}

/* ---- tables ---- */

struct cli_table {
    GPtrArray *rows; /* char ** */
    guint columns;
};

struct cli_table *cli_table_new(const char *const *header)
{
    struct cli_table *table = g_new0(struct cli_table, 1);
    table->rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    table->columns = g_strv_length((char **)header);
    cli_table_add(table, header);
    return table;
}

void cli_table_add(struct cli_table *table, const char *const *cells)
{
    g_ptr_array_add(table->rows, g_strdupv((char **)cells));
}

/* The widest line of each column. Owned by the caller. */
static glong *table_widths(const struct cli_table *table)
{
    glong *widths = g_new0(glong, table->columns);
    for (guint r = 0; r < table->rows->len; r++) {
        char **row = table->rows->pdata[r];
        for (guint c = 0; c < table->columns; c++) {
            g_auto(GStrv) lines = g_strsplit(row[c], "\n", -1);
            for (guint i = 0; lines[i]; i++)
                widths[c] = MAX(widths[c], g_utf8_strlen(lines[i], -1));
        }
    }
    return widths;
}

glong cli_table_width(const struct cli_table *table)
{
    g_autofree glong *widths = table_widths(table);
    glong width = 0;
    for (guint c = 0; c < table->columns; c++)
        width += widths[c] + (c ? 2 : 0);
    return width;
}

glong cli_terminal_width(void)
{
    struct winsize size;
    bool known = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20;
    return known ? size.ws_col : G_MAXLONG;
}

/* One row: as many lines as its longest cell. */
static void print_row(char **row, guint columns, const glong *widths)
{
    g_autofree char ***cells = g_new0(char **, columns);
    guint height = 1;
    for (guint c = 0; c < columns; c++) {
        cells[c] = g_strsplit(row[c], "\n", -1);
        height = MAX(height, g_strv_length(cells[c]));
    }
    for (guint line = 0; line < height; line++) {
        guint last = 0;
        for (guint c = 0; c < columns; c++)
            last = line < g_strv_length(cells[c]) ? c : last;
        for (guint c = 0; c <= last; c++) {
            const char *text = line < g_strv_length(cells[c]) ? cells[c][line] : "";
            printf("%s%*s", text, c == last ? 0 : (int)(widths[c] - g_utf8_strlen(text, -1) + 2), "");
        }
        printf("\n");
    }
    for (guint c = 0; c < columns; c++)
        g_strfreev(cells[c]);
}

void cli_table_print(struct cli_table *table)
{
    g_autofree glong *widths = table_widths(table);
    for (guint r = 0; r < table->rows->len; r++)
        print_row(table->rows->pdata[r], table->columns, widths);
    cli_table_free(table);
}

void cli_table_free(struct cli_table *table)
{
    g_ptr_array_unref(table->rows);
    g_free(table);
}

void cli_print_json(JsonNode *node)
{
    g_autofree char *text = json_to_string(node, TRUE);
    printf("%s\n", text);
    json_node_unref(node);
}

/* ---- parsing ---- */

static const struct cli_option *find_option(const struct cli_verb *verb, const char *name, size_t length,
                                            char letter)
{
    static const struct cli_option help = CLI_HELP_OPTION;
    for (size_t i = 0; i < verb->option_count; i++) {
        const struct cli_option *option = &verb->options[i];
        if (letter ? option->letter == letter
                   : strlen(option->name) == length && strncmp(option->name, name, length) == 0)
            return option;
    }
    if (letter ? letter == 'h' : length == 4 && strncmp(name, "help", 4) == 0)
        return &help;
    return NULL;
}

static int fail_option(struct cli_call *call, const char *word)
{
    g_autofree const char **names = g_new0(const char *, call->verb->option_count + 1);
    g_autofree char *name = g_strdup(word + strspn(word, "-"));
    name[strcspn(name, "=")] = '\0';
    for (size_t i = 0; i < call->verb->option_count; i++)
        names[i] = call->verb->options[i].name;
    const char *nearest = topology_nearest(name, names, call->verb->option_count);
    if (nearest)
        return cli_misuse(call, "unknown option %s; did you mean --%s?", word, nearest);
    return cli_misuse(call, "unknown option %s", word);
}

/* Takes the option at argv[*i]; 0 when it was fine. */
static int parse_option(struct cli_call *call, char **argv, int *i)
{
    const char *word = argv[*i];
    bool is_long = g_str_has_prefix(word, "--");
    const char *equals = is_long ? strchr(word, '=') : NULL;
    size_t length = equals ? (size_t)(equals - word) - 2 : strlen(word) - (is_long ? 2 : 0);
    const struct cli_option *option = find_option(call->verb, word + 2, length, is_long ? 0 : word[1]);
    if (!option)
        return fail_option(call, word);
    const char *value = equals ? equals + 1 : !is_long && word[2] ? word + 2 : NULL;
    if (!option->argument) {
        if (value)
            return cli_misuse(call, "%s takes no value", word);
        value = "";
    } else if (!value) {
        if (!argv[*i + 1])
            return cli_misuse(call, "%s needs a value: %s", word, option->argument);
        value = argv[++*i];
    }
    g_hash_table_insert(call->values, (gpointer)option->name, g_strdup(value));
    return 0;
}

char *cli_variable(const struct cli_verb *verb, const struct cli_option *option)
{
    g_autofree char *text = g_strdup_printf("NETLAB_%s_%s", verb->name, option->name);
    g_autofree char *upper = g_ascii_strup(text, -1);
    return g_strdup(g_strdelimit(upper, " -", '_'));
}

const char *cli_variable_value(const struct cli_verb *verb, const struct cli_option *option, char **name,
                               bool *is_wrong)
{
    static const char *const yes[] = {"1", "true", "yes", "on", NULL}, *const no[] = {"0", "false", "no",
                                                                                      "off", NULL};
    *name = cli_variable(verb, option);
    *is_wrong = false;
    const char *value = g_getenv(*name);
    if (!value && g_str_equal(option->name, "lab")) {
        g_free(*name);
        *name = g_strdup("NETLAB_LAB");
        value = g_getenv(*name);
    }
    if (!value || !*value || g_str_equal(option->name, "help"))
        return NULL;
    if (option->argument)
        return value;
    if (g_strv_contains(no, value))
        return NULL;
    *is_wrong = !g_strv_contains(yes, value);
    return *is_wrong ? value : "";
}

/* Options that were not given and stand in the environment: NETLAB_EXEC_TIMEOUT, and NETLAB_LAB for every
 * --lab. */
static int read_environment(struct cli_call *call)
{
    for (size_t i = 0; i < call->verb->option_count && !call->verb->is_hidden; i++) {
        const struct cli_option *option = &call->verb->options[i];
        g_autofree char *name = NULL;
        bool is_wrong;
        const char *value = cli_variable_value(call->verb, option, &name, &is_wrong);
        if (!value || g_hash_table_contains(call->values, option->name))
            continue;
        if (is_wrong)
            return cli_misuse(call, "%s=%s: --%s is given by 1 and left out by 0", name, value, option->name);
        g_hash_table_insert(call->values, (gpointer)option->name, g_strdup(value));
        g_string_append_printf(call->environment, " %s", name);
    }
    return 0;
}

static int parse(struct cli_call *call, char **argv)
{
    bool options_ended = false;
    for (int i = 0; argv[i]; i++) {
        bool ends_here = !options_ended || (call->verb->stops_at_argument && call->arguments->len == 1);
        if (ends_here && g_str_equal(argv[i], "--")) {
            options_ended = true;
        } else if (!options_ended && argv[i][0] == '-' && argv[i][1]) {
            int status = parse_option(call, argv, &i);
            if (status)
                return status;
        } else {
            g_ptr_array_add(call->arguments, argv[i]);
            options_ended = options_ended || call->verb->stops_at_argument;
        }
    }
    int count = (int)call->arguments->len;
    g_ptr_array_add(call->arguments, NULL);
    call->arguments->len--; /* keeps the NULL behind the last */
    if (cli_flag(call, "help"))
        return 0;
    int wrong = read_environment(call);
    if (wrong)
        return wrong;
    if (count < call->verb->least)
        return cli_misuse(call, "too few arguments: netlab %s %s", call->verb->name, call->verb->arguments);
    if (call->verb->most >= 0 && count > call->verb->most)
        return cli_misuse(call, "too many arguments: \"%s\"; usage: netlab %s %s",
                          (char *)call->arguments->pdata[call->verb->most], call->verb->name,
                          call->verb->arguments);
    return 0;
}

/* The name of the verb that `word` comes nearest to; NULL when none does. */
static const char *nearest_verb(const struct cli_verb *const *verbs, const char *word)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (size_t i = 0; verbs[i]; i++) {
        if (!verbs[i]->is_hidden)
            g_ptr_array_add(names, (char *)cli_last_word(verbs[i]));
    }
    return topology_nearest(word, (const char *const *)names->pdata, names->len);
}

static int unknown_verb(const char *word)
{
    const char *nearest = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(synonyms) && !nearest; i++) {
        if (g_str_equal(synonyms[i].theirs, word))
            nearest = synonyms[i].ours;
    }
    if (!nearest)
        nearest = nearest_verb(cli_verbs, word);
    if (nearest)
        fprintf(stderr, "netlab: there is no command \"%s\"; did you mean `netlab %s`?\n", word, nearest);
    else
        fprintf(stderr, "netlab: there is no command \"%s\"; see `netlab help`\n", word);
    return CLI_USAGE;
}

static int run(const struct cli_verb *verb, char **argv);

/* The first word says which verb of the group; without one, the group's help. */
static int run_group(const struct cli_verb *group, char **argv)
{
    const char *word = argv[0];
    struct cli_call call = {.verb = group};
    if (!word || g_str_equal(word, "--help") || g_str_equal(word, "-h")) {
        cli_print_help(group);
        return word ? CLI_OK : CLI_USAGE;
    }
    const struct cli_verb *verb = cli_find_verb(group->group, word);
    if (verb)
        return run(verb, argv + 1);
    const char *nearest = nearest_verb(group->group, word);
    if (nearest)
        return cli_misuse(&call, "there is no \"%s\"; did you mean `netlab %s %s`?", word, group->name,
                          nearest);
    return cli_misuse(&call, "there is no \"%s\"", word);
}

static int run(const struct cli_verb *verb, char **argv)
{
    if (verb->group)
        return run_group(verb, argv);
    struct cli_call call = {.verb = verb,
                            .values = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free),
                            .arguments = g_ptr_array_new(),
                            .environment = g_string_new(NULL)};
    int status = parse(&call, argv);
    if (!status && cli_flag(&call, "help")) {
        cli_print_help(verb);
    } else if (!status && cli_class_resolve(&call, &status)) {
        status = verb->run(&call);
    }
    g_hash_table_unref(call.values);
    g_ptr_array_unref(call.arguments);
    g_string_free(call.environment, TRUE);
    return status;
}

int main(int argc, char **argv)
{
    static char *none[] = {NULL};
    setlocale(LC_CTYPE, "");
    const char *word = argc > 1 ? argv[1] : "help";
    if (g_str_equal(word, "--help") || g_str_equal(word, "-h"))
        word = "help";
    if (g_str_equal(word, "--version") || g_str_equal(word, "-V"))
        word = "version";
    const struct cli_verb *verb = cli_find_verb(cli_verbs, word);
    int status = verb ? run(verb, argc > 1 ? argv + 2 : none) : unknown_verb(word);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "netlab: writing the output failed\n");
        return status ? status : CLI_FAILED;
    }
    return status;
}
