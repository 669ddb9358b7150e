/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab log`: what a machine has said, alive or dead.
 */
#include "cli/node.h"
#include "netlab/machine.h"

#include <stdio.h>

enum { LINES = 40 };

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"lines", 'n', "NUMBER", "how many of the last lines (40)"},
    {"emulator", 0, NULL, "what the emulator said, instead of the guest's console"},
    {"previous", 'p', NULL, "what the machine said that ran before the last restart"},
    CLI_HELP_OPTION,
};

static int run(struct cli_call *call)
{
    unsigned lines = LINES;
    g_autoptr(GError) error = NULL;
    struct cli_node node;
    int status = CLI_OK;
    if (!cli_number(call, "lines", 1, 100000, &lines))
        return CLI_USAGE;
    bool is_served = *cli_argument(call, 0) == '@'; /* a network's own, which has no console */
    const char *file = cli_flag(call, "previous")                ? "previous.log"
                       : cli_flag(call, "emulator") || is_served ? "machine.log"
                                                                 : "console.log";
    if (!cli_node_find(call, cli_argument(call, 0), &node, &error)) {
        status = cli_fail(error);
    } else {
        g_autofree char *text = machine_log_tail(node.node->directory, file, lines);
        if (*node.node->note)
            fprintf(stderr, "netlab: %s %s: %s\n", node.node->name, lab_node_state_name(node.node->state),
                    node.node->note);
        if (*text)
            printf("%s\n", text);
        else
            fprintf(stderr, "netlab: %s: %s is empty or not there\n", node.node->name, file);
    }
    cli_node_clear(&node);
    return status;
}

const struct cli_verb verb_log = {
    .name = "log",
    .arguments = "NODE",
    .summary = "print the end of what a machine has said",
    .description =
        "Prints the last lines of the machine's console, without control characters, whether it runs or "
        "has ended. `netlab console --log` prints all of it as it is. Of what serves a network (@NETWORK) it "
        "prints what the server has said.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .least = 1,
    .most = 1,
    .examples = CLI_EXAMPLES({"netlab log r1", "the last 40 lines of its console"},
                             {"netlab log -p r1", "what it said before the last restart"}),
    .run = run,
};
