/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab exec`: a command inside a guest, through its agent; no address of the guest is needed.
 */
#include "cli/node.h"
#include "netlab/agent.h"

#include <stdio.h>

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"timeout", 't', "SECONDS", "how long to wait for its end (60)"},
    CLI_HELP_OPTION,
};

static void print_bytes(FILE *to, GBytes *bytes)
{
    gsize length;
    const void *data = g_bytes_get_data(bytes, &length);
    if (length)
        fwrite(data, 1, length, to);
}

/* One word is a shell command, several are a program with its arguments. */
static char **guest_argv(const struct cli_call *call)
{
    GPtrArray *argv = g_ptr_array_new();
    if (call->arguments->len == 2) {
        g_ptr_array_add(argv, g_strdup("/bin/sh"));
        g_ptr_array_add(argv, g_strdup("-c"));
    } else {
        /* The agent executes a path; env looks it up in PATH. */
        g_ptr_array_add(argv, g_strdup("/usr/bin/env"));
    }
    for (guint i = 1; i < call->arguments->len; i++)
        g_ptr_array_add(argv, g_strdup(call->arguments->pdata[i]));
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_node node;
    unsigned timeout = 60;
    int status = CLI_EXEC;
    if (!cli_number(call, "timeout", 1, 86400, &timeout))
        return CLI_EXEC;
    if (!cli_node_find(call, cli_argument(call, 0), &node, &error) ||
        !cli_node_require_running(&node, &error)) {
        cli_fail(error);
    } else {
        g_auto(GStrv) argv = guest_argv(call);
        struct agent agent;
        struct agent_result result = {0};
        if (!agent_open(&agent, node.node->directory, (int)MIN(timeout, 10) * 1000, -1, &error)) {
            g_prefix_error(&error, "%s: ", node.node->name);
            cli_fail(error);
        } else if (!agent_exec(&agent, (const char *const *)argv, (int)timeout * 1000, &result, &error)) {
            g_prefix_error(&error, "%s: ", node.node->name);
            cli_fail(error);
            agent_close(&agent);
        } else {
            print_bytes(stdout, result.out);
            fflush(stdout);
            print_bytes(stderr, result.err);
            if (result.truncated)
                fprintf(stderr,
                        "netlab: the output was longer than the guest's agent keeps; the rest is lost\n");
            status = result.status;
            agent_close(&agent);
        }
        agent_result_clear(&result);
    }
    cli_node_clear(&node);
    return status;
}

const struct cli_verb verb_exec = {
    .name = "exec",
    .arguments = "NODE COMMAND…",
    .summary = "run a command inside a node",
    .description = "Runs a command in the guest through its agent and prints its output; ends with its exit "
                   "status. One word is given to the "
                   "guest's shell: netlab exec h1 'ip addr; ping -c1 h2'. Several words are a program and "
                   "its arguments. The command's standard input is empty, and its output comes when it has "
                   "ended (at most 1 MiB).",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .least = 2,
    .most = -1,
    .stops_at_argument = true,
    .run = run,
};
