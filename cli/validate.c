/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab validate`: runs the topology's `checks:` inside the guests. Each is repeated until it passes or its
 * time
 * (`within`) is over, for networks need a moment to settle.
 */
#include "cli/node.h"
#include "netlab/agent.h"
#include "netlab/topology_parse.h"

#include <stdio.h>
#include <string.h>

enum { PAUSE_MS = 500, CONNECT_MS = 5000 };

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"list", 0, NULL, "print the checks and do not run them"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

/* One attempt. NULL: passed; else why not. */
static char *attempt(const struct lab_node_status *node, const struct topology_test *test, int left_ms)
{
    const char *argv[] = {"/bin/sh", "-c", test->run, NULL};
    g_autoptr(GError) error = NULL;
    struct agent agent;
    struct agent_result result = {0};
    if (!agent_open(&agent, node->directory, CONNECT_MS, -1, &error))
        return g_strdup(error->message);
    bool good = agent_exec(&agent, argv, MAX(left_ms, 1000), &result, &error);
    agent_close(&agent);
    if (!good)
        return g_strdup(error->message);
    gsize length;
    const char *data = g_bytes_get_data(result.out, &length);
    g_autofree char *out = g_strndup(data ? data : "", length);
    char *why = NULL;
    if (result.status != 0)
        why = g_strdup_printf("exit status %d; it printed: %s", result.status,
                              *g_strstrip(out) ? out : "(nothing)");
    else if (test->expect && !strstr(out, test->expect))
        why = g_strdup_printf("\"%s\" is not in its output: %s", test->expect,
                              *g_strstrip(out) ? out : "(nothing)");
    agent_result_clear(&result);
    return why;
}

static char *run_test(const struct lab_node_status *node, const struct topology_test *test)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)test->within * G_USEC_PER_SEC;
    if (node->state != LAB_NODE_RUNNING)
        return g_strdup("its machine does not run");
    for (;;) {
        int left = (int)((deadline - g_get_monotonic_time()) / 1000);
        g_autofree char *why = attempt(node, test, left);
        if (!why)
            return NULL;
        if (g_get_monotonic_time() + PAUSE_MS * 1000 >= deadline)
            return g_steal_pointer(&why);
        g_usleep(PAUSE_MS * 1000); /* between attempts, with the deadline above */
    }
}

static void report(const struct topology_test *test, const char *why, JsonArray *out)
{
    if (out) {
        JsonObject *item = json_object_new();
        json_object_set_string_member(item, "check", test->name);
        json_object_set_string_member(item, "node", test->node);
        json_object_set_boolean_member(item, "passed", why == NULL);
        if (why)
            json_object_set_string_member(item, "why", why);
        json_array_add_object_element(out, item);
        return;
    }
    printf("%s  %s (%s: %s)\n", why ? "FAILED" : "ok    ", test->name, test->node, test->run);
    if (why)
        printf("        %s\n", why);
    fflush(stdout);
}

static int run_all(struct cli_call *call, struct cli_node *lab, const struct topology *topology)
{
    JsonArray *out = cli_flag(call, "json") ? json_array_new() : NULL;
    unsigned failed = 0;
    for (guint i = 0; i < topology->tests->len; i++) {
        const struct topology_test *test = topology->tests->pdata[i];
        if (cli_flag(call, "list")) {
            printf("%s (%s: %s)\n", test->name, test->node, test->run);
            continue;
        }
        g_autoptr(GError) error = NULL;
        struct lab_node_status *node = lab_status_find_node(lab->status, test->node, &error);
        g_autofree char *why = node ? run_test(node, test) : g_strdup(error->message);
        failed += why != NULL;
        report(test, why, out);
    }
    if (out) {
        JsonNode *node = json_node_alloc();
        json_node_take_array(json_node_init(node, JSON_NODE_ARRAY), out);
        cli_print_json(node);
    } else if (!cli_flag(call, "list")) {
        if (topology->tests->len)
            printf("%u of %u checks passed\n", topology->tests->len - failed, topology->tests->len);
        else
            printf("lab %s has no checks; write some under \"checks:\" in its topology\n", topology->name);
    }
    return failed ? CLI_FAILED : CLI_OK;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_node lab;
    int status;
    topology_auto struct topology *topology = NULL;
    if (!cli_node_find_lab(call, &lab, &error) ||
        !(topology = topology_load_text(lab.lab->file, lab.lab->file, lab.lab->source, &error)))
        status = cli_fail(error);
    else
        status = run_all(call, &lab, topology);
    cli_node_clear(&lab);
    return status;
}

const struct cli_verb verb_validate = {
    .name = "validate",
    .arguments = "",
    .summary = "run the lab's checks inside its nodes",
    .description = "Runs what stands under `checks:` in the topology as it was brought up. Ends with 0 when "
                   "all pass, with 1 otherwise.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .run = run,
};
