/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab repair`: what a crash left; shows what was found and what became of it.
 */
#include "cli/change.h"
#include "cli/class.h"
#include "netlab/fault.h"
#include "netlab/repair.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"lab", 'l', "NAME", "only the lab of this name"},
    {"student", 0, "ID", "only the copy of this student"},
    {"for", 0, "FILE", "only the copies of the class of this list"},
    {"students", 0, "IDS", "of the class only these: ids between commas"},
    {"dry-run", 'n', NULL, "say what would be done and do nothing"},
    {"timeout", 't', "SECONDS", "how long machines that have to be started may take to become ready (300)"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

static const char *const words[] = {
    [REPAIR_DONE] = "done", [REPAIR_PLANNED] = "to do", [REPAIR_LEFT] = "left"};
static_assert(G_N_ELEMENTS(words) == REPAIR_OUTCOMES, "every outcome has a word");

static void print_json(GPtrArray *findings)
{
    JsonArray *list = json_array_new();
    for (guint i = 0; i < findings->len; i++) {
        const struct repair_finding *finding = findings->pdata[i];
        JsonObject *item = json_object_new();
        json_object_set_string_member(item, "lab", finding->lab);
        json_object_set_string_member(item, "what", finding->what);
        json_object_set_string_member(item, "outcome", words[finding->outcome]);
        if (finding->why)
            json_object_set_string_member(item, "why", finding->why);
        json_array_add_object_element(list, item);
    }
    JsonObject *root = json_object_new();
    json_object_set_array_member(root, "repair", list);
    JsonNode *node = json_node_alloc();
    json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), root);
    cli_print_json(node);
}

static void print_table(GPtrArray *findings)
{
    static const char *const header[] = {"LAB", "OUTCOME", "WHAT", NULL};
    if (!findings->len) {
        printf("all is well, nothing to do\n");
        return;
    }
    struct cli_table *table = cli_table_new(header);
    for (guint i = 0; i < findings->len; i++) {
        const struct repair_finding *finding = findings->pdata[i];
        const char *cells[] = {*finding->lab ? finding->lab : "-", words[finding->outcome], finding->what,
                               NULL};
        cli_table_add(table, cells);
    }
    cli_table_print(table);
}

/* The copies of a class, one after the other: what was found of all. NULL after an error. */
static GPtrArray *repair_class(struct cli_call *call, struct repair_options *repair, GError **error)
{
    struct cli_class class;
    GPtrArray *all = NULL;
    bool good = cli_class_find(call, cli_value(call, "students"), &class, error);
    for (guint i = 0; good && i < class.members->len; i++) {
        repair->lab = ((const struct store_member *)class.members->pdata[i])->lab;
        GPtrArray *findings = repair_run(repair, error);
        good = findings != NULL;
        if (!all)
            all = findings;
        else if (findings)
            g_ptr_array_extend_and_steal(all, findings);
    }
    cli_class_clear(&class);
    if (!good && all)
        g_clear_pointer(&all, g_ptr_array_unref);
    return all;
}

static int report(const struct cli_call *call, GPtrArray *findings)
{
    int status = CLI_OK;
    if (cli_flag(call, "json"))
        print_json(findings);
    else
        print_table(findings);
    fflush(stdout);
    for (guint i = 0; i < findings->len; i++) {
        const struct repair_finding *finding = findings->pdata[i];
        if (finding->outcome != REPAIR_LEFT)
            continue;
        status = CLI_LEFT;
        if (!cli_flag(call, "json"))
            fprintf(stderr, "netlab: %s%s%s: %s\n", finding->lab, *finding->lab ? ": " : "", finding->what,
                    finding->why);
    }
    return status;
}

static int run(struct cli_call *call)
{
    unsigned timeout = 300;
    g_autoptr(GError) error = NULL;
    struct lab_place place;
    if (!cli_number(call, "timeout", 1, 86400, &timeout))
        return CLI_USAGE;
    if (cli_value(call, "students") && !cli_class_is_meant(call))
        return cli_misuse(call, "--students goes with --for FILE, the list of a class");
    fault_arm_from_environment();
    lab_place_find(&place);
    struct repair_options repair = {.place = &place,
                                    .lab = cli_value(call, "lab"),
                                    .dry_run = cli_flag(call, "dry-run"),
                                    .cancel_fd = cli_cancel_fd(),
                                    .timeout_s = timeout};
    g_autoptr(GPtrArray) findings =
        cli_class_is_meant(call) ? repair_class(call, &repair, &error) : repair_run(&repair, &error);
    close(repair.cancel_fd);
    lab_place_clear(&place);
    return findings ? report(call, findings) : cli_fail(error);
}

const struct cli_verb verb_repair = {
    .name = "repair",
    .arguments = "",
    .summary = "finish or take away what a crash has left",
    .description =
        "Looks at every lab of the store: one whose `up` was cut off, or that is of an earlier boot, is "
        "taken away; "
        "one that is up is made whole (a change that was cut off is taken back, a supervisor that died is "
        "replaced). Then it looks for what is netlab's but in no store, by the marks that processes, links "
        "and "
        "folders carry, and takes that away: so it works with the store lost. A damaged store is moved aside "
        "first.\n\nWhat is not netlab's, or another user's, or is being changed by another netlab, is not "
        "touched.\n\nWith --for only the copies of a class are looked at; --lab tells classes of one list "
        "apart.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .examples = CLI_EXAMPLES({"netlab repair --dry-run", "what it would do"}, {"netlab repair", "does it"}),
    .files = CLI_FILE_STORE | CLI_FILE_RUNTIME,
    .run = run,
};
