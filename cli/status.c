/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab status`: how a lab and its machines are; table or JSON from the same struct lab_status.
 */
#include "cli/class.h"
#include "cli/media.h"
#include "netlab/lab.h"

#include <stdio.h>

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    CLI_CLASS_OPTIONS,
    {"all", 'a', NULL, "all labs that are up"},
    {"journal", 0, NULL, "the journal: every step that was taken for the lab"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

enum density { ALL, WITHOUT_CONSOLE, IN_LINES, DENSITIES };

static char *describe_nics(const struct lab_node_status *node, enum density density)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < node->nics->len; i++) {
        const struct lab_nic_status *nic = node->nics->pdata[i];
        g_string_append_printf(text, "%s%s %s%s%s %s",
                               !i                    ? ""
                               : density == IN_LINES ? "\n"
                                                     : ", ",
                               nic->interface,
                               nic->address    ? nic->address
                               : nic->address6 ? ""
                                               : "-",
                               nic->address && nic->address6 ? " " : "", nic->address6 ? nic->address6 : "",
                               nic->network);
    }
    return g_string_free(text, FALSE);
}

/* The end of the consoles of machines that ended by themselves. */
static void print_last_words(const struct lab_status *status)
{
    for (guint i = 0; i < status->nodes->len; i++) {
        const struct lab_node_status *node = status->nodes->pdata[i];
        if (node->state != LAB_NODE_ENDED || !node->last_words || !*node->last_words)
            continue;
        printf("\nThe end of %s's console (more: netlab log %s):\n", node->name, node->name);
        g_auto(GStrv) lines = g_strsplit(node->last_words, "\n", -1);
        for (guint k = 0; lines[k]; k++)
            printf("  %s\n", lines[k]);
    }
}

/* Breaks text at words after some twelve characters. */
static void break_lines(char *text)
{
    enum { LONG = 12 };
    char *begin = text;
    for (char *c = text; *c; c++) {
        if (*c == ' ' && c - begin >= LONG)
            *c = '\n';
        if (*c == '\n')
            begin = c + 1;
    }
}

static struct cli_table *make_table(const struct lab_status *status, enum density density)
{
    static const char *const headers[DENSITIES][8] = {
        [ALL] = {"NODE", "STATE", "PID", "MEMORY", "IMAGE", "NICS", "CONSOLE"},
        [WITHOUT_CONSOLE] = {"NODE", "STATE", "PID", "MEMORY", "IMAGE", "NICS"},
        [IN_LINES] = {"NODE", "STATE", "PID", "IMAGE", "NICS"},
    };
    struct cli_table *table = cli_table_new(headers[density]);
    for (guint i = 0; i < status->nodes->len; i++) {
        const struct lab_node_status *node = status->nodes->pdata[i];
        g_autofree char *state = *node->note ? g_strdup_printf(density == IN_LINES ? "%s\n(%s)" : "%s (%s)",
                                                               lab_node_state_name(node->state), node->note)
                                             : g_strdup(lab_node_state_name(node->state));
        g_autofree char *pid = node->pid ? g_strdup_printf("%d", node->pid) : g_strdup("-");
        g_autofree char *memory =
            g_strdup_printf("%u/%u MiB", (unsigned)(node->resident / 1024), node->memory);
        g_autofree char *nics = describe_nics(node, density);
        const char *image = node->image ? node->image : "-";
        g_autofree char *base = g_path_get_basename(image);
        g_autofree char *both = g_strdup_printf("%s\n%s", base, memory);
        if (density == IN_LINES) {
            break_lines(state);
            const char *cells[] = {node->name, state, pid, both, *nics ? nics : "-", NULL};
            cli_table_add(table, cells);
        } else {
            const char *cells[] = {node->name,
                                   state,
                                   pid,
                                   memory,
                                   image,
                                   *nics ? nics : "-",
                                   density == ALL ? (node->console ? node->console : "-") : NULL,
                                   NULL};
            cli_table_add(table, cells);
        }
    }
    return table;
}

static bool runs_any(const struct lab_status *status)
{
    for (guint i = 0; i < status->nodes->len; i++)
        if (((const struct lab_node_status *)status->nodes->pdata[i])->pid)
            return true;
    return false;
}

static void print_table(const struct lab_status *status)
{
    gint64 seconds = status->up_s;
    printf("lab %s (%s), up for ", status->name, status->file);
    if (seconds < 120)
        printf("%d s", (int)seconds);
    else if (seconds < 7200)
        printf("%d min", (int)(seconds / 60));
    else
        printf("%d h", (int)(seconds / 3600));
    printf("%s%s\n", status->is_rootless ? ", rootless" : "",
           status->is_own_namespace ? "" : ", in the host's network namespace");
    if (status->is_stale)
        printf("The computer was restarted since: nothing of it runs. `netlab up` starts it anew, `netlab "
               "down` forgets it.\n");
    else if (!status->is_complete)
        printf("Its `netlab up` has not finished; if that was killed, `netlab up` or `netlab down` takes "
               "away what it left.\n");
    else if (!status->is_supervised)
        printf("Its supervisor is gone%s. `netlab up` starts a new one.\n",
               runs_any(status) ? "; machines go on" : "");
    /* What does not fit is left out, the sockets first; then NICs get a line each, and reasons too. */
    struct cli_table *table = NULL;
    for (enum density density = ALL; density < DENSITIES; density++) {
        if (table)
            cli_table_free(table);
        table = make_table(status, density);
        if (cli_table_width(table) <= cli_terminal_width())
            break;
    }
    cli_table_print(table);
    print_last_words(status);
}

static JsonObject *node_json(const struct lab_node_status *node)
{
    JsonObject *object = json_object_new();
    JsonArray *nics = json_array_new();
    json_object_set_string_member(object, "name", node->name);
    json_object_set_string_member(object, "state", lab_node_state_name(node->state));
    json_object_set_string_member(object, "note", node->note);
    json_object_set_string_member(object, "restart", node->restart ? node->restart : "never");
    if (node->last_words)
        json_object_set_string_member(object, "last_words", node->last_words);
    json_object_set_int_member(object, "pid", node->pid);
    json_object_set_int_member(object, "memory_mib", node->memory);
    json_object_set_int_member(object, "resident_kib", (gint64)node->resident);
    json_object_set_string_member(object, "image", node->image ? node->image : "");
    json_object_set_string_member(object, "directory", node->directory);
    if (node->console)
        json_object_set_string_member(object, "console", node->console);
    for (guint i = 0; i < node->nics->len; i++) {
        const struct lab_nic_status *nic = node->nics->pdata[i];
        JsonObject *item = json_object_new();
        json_object_set_string_member(item, "interface", nic->interface);
        json_object_set_string_member(item, "mac", nic->mac);
        json_object_set_string_member(item, "network", nic->network);
        if (nic->address)
            json_object_set_string_member(item, "address", nic->address);
        if (nic->address6)
            json_object_set_string_member(item, "address6", nic->address6);
        json_array_add_object_element(nics, item);
    }
    json_object_set_array_member(object, "nics", nics);
    json_object_set_array_member(object, "media", cli_media_json(node));
    return object;
}

static JsonObject *lab_json(const struct lab_status *status)
{
    JsonObject *object = json_object_new();
    JsonArray *nodes = json_array_new();
    json_object_set_string_member(object, "name", status->name);
    json_object_set_string_member(object, "file", status->file);
    json_object_set_boolean_member(object, "rootless", status->is_rootless);
    json_object_set_boolean_member(object, "own_namespace", status->is_own_namespace);
    json_object_set_boolean_member(object, "complete", status->is_complete);
    json_object_set_boolean_member(object, "stale", status->is_stale);
    json_object_set_int_member(object, "supervisor", status->supervisor);
    json_object_set_int_member(object, "created_at", status->created_at);
    json_object_set_int_member(object, "up_s", status->up_s);
    for (guint i = 0; i < status->nodes->len; i++)
        json_array_add_object_element(nodes, node_json(status->nodes->pdata[i]));
    json_object_set_array_member(object, "nodes", nodes);
    return object;
}

static bool print_journal(struct store *store, const struct store_lab *lab, JsonArray *out, GError **error)
{
    g_autoptr(GPtrArray) steps = store_list_steps(store, lab->id, error);
    if (!steps)
        return false;
    static const char *const header[] = {"TIME", "RUN", "STEP", "OBJECT", "OUTCOME", NULL};
    struct cli_table *table = out ? NULL : cli_table_new(header);
    for (guint i = 0; i < steps->len; i++) {
        const struct store_step *step = steps->pdata[i];
        g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(step->at / 1000);
        g_autoptr(GDateTime) local = g_date_time_to_local(utc);
        g_autofree char *clock = g_date_time_format(local, "%H:%M:%S");
        g_autofree char *time = g_strdup_printf("%s.%03d", clock, (int)(step->at % 1000));
        g_autofree char *verb = g_strdup_printf("%s %d", step->verb, (int)step->run);
        g_autofree char *object = g_strdup_printf("%s%s%s", step->kind, *step->key ? " " : "", step->key);
        g_autofree char *outcome =
            step->error ? g_strdup_printf("%s: %s", step->state, step->error) : g_strdup(step->state);
        if (out) {
            JsonObject *item = json_object_new();
            json_object_set_int_member(item, "at_ms", step->at);
            json_object_set_int_member(item, "run", step->run);
            json_object_set_string_member(item, "verb", step->verb);
            json_object_set_string_member(item, "step", step->make ? "make" : "unmake");
            json_object_set_string_member(item, "kind", step->kind);
            json_object_set_string_member(item, "key", step->key);
            json_object_set_string_member(item, "state", step->state);
            if (step->error)
                json_object_set_string_member(item, "error", step->error);
            json_array_add_object_element(out, item);
        } else {
            const char *cells[] = {time, verb, step->make ? "make" : "unmake", object, outcome, NULL};
            cli_table_add(table, cells);
        }
    }
    if (table)
        cli_table_print(table);
    return true;
}

static GPtrArray *choose(struct cli_call *call, struct store *store, GError **error)
{
    if (cli_flag(call, "all"))
        return store_list_labs(store, error);
    struct store_lab *lab = lab_select(store, cli_value(call, "lab"), cli_argument(call, 0), error);
    if (!lab)
        return NULL;
    GPtrArray *labs = g_ptr_array_new_with_free_func((GDestroyNotify)store_lab_free);
    g_ptr_array_add(labs, lab);
    return labs;
}

static bool show(struct cli_call *call, const struct lab_place *place, struct store *store, GPtrArray *labs,
                 GError **error)
{
    JsonArray *out = cli_flag(call, "json") ? json_array_new() : NULL;
    bool good = true;
    for (guint i = 0; i < labs->len && good; i++) {
        const struct store_lab *lab = labs->pdata[i];
        if (cli_flag(call, "journal")) {
            good = print_journal(store, lab, out, error);
            continue;
        }
        struct lab_status *status = lab_status_read(place, store, lab, error);
        good = status != NULL;
        if (good && out)
            json_array_add_object_element(out, lab_json(status));
        else if (good) {
            printf("%s", i ? "\n" : "");
            print_table(status);
        }
        lab_status_free(status);
    }
    if (good && !out && labs->len == 0)
        printf("no lab is up\n");
    if (out) {
        JsonObject *root = json_object_new();
        json_object_set_array_member(root, cli_flag(call, "journal") ? "journal" : "labs", out);
        JsonNode *node = json_node_alloc();
        json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), root);
        cli_print_json(node);
    }
    return good;
}

static int run(struct cli_call *call)
{
    if (cli_class_is_meant(call))
        return cli_class_status(call);
    if (cli_value(call, "students"))
        return cli_misuse(call, "--students goes with --for FILE, the list of a class");
    g_autoptr(GError) error = NULL;
    struct lab_place place;
    lab_place_find(&place);
    g_autoptr(store) store = store_open(place.state, &error);
    g_autoptr(GPtrArray) labs = store ? choose(call, store, &error) : NULL;
    bool good = labs && show(call, &place, store, labs, &error);
    g_autofree char *unknown = store && (!labs || !labs->len) ? lab_describe_unknown(&place, store) : NULL;
    if (unknown)
        fprintf(stderr, "netlab: %s\n", unknown);
    lab_place_clear(&place);
    return good ? CLI_OK : cli_fail(error);
}

const struct cli_verb verb_status = {
    .name = "status",
    .arguments = "[PATH]",
    .summary = "show a lab and its machines",
    .description = "Shows each node's state, process, memory (used on the host / given), image, NICs with "
                   "addresses and networks, and the "
                   "socket of its console. A machine that has ended is shown with the reason; `netlab up` "
                   "starts it again. With --for a line for each student of a class.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = 1,
    .examples = CLI_EXAMPLES({"netlab status", "the lab of this folder"},
                             {"netlab status --all", "all labs that are up"},
                             {"netlab status --json | jq -r '.nodes[].name'", "for scripts"}),
    .run = run,
};
