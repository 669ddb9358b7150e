/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab completion`: what a shell completes netlab's command lines with. The scripts come from the rows of
 * verbs and options (help.c); names of nodes are asked for while completing.
 */
#include "cli/node.h"

#include <stdio.h>

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"nodes", 0, NULL, "print the nodes' names of the lab that is meant, for the scripts"},
    {"nics", 0, NULL, "print NODE:NIC of them"},
    CLI_HELP_OPTION,
};

/* Says nothing when there is no lab: nobody wants to read that while completing. */
static int print_names(struct cli_call *call, bool nics)
{
    struct cli_node lab;
    if (cli_node_find_lab(call, &lab, NULL)) {
        for (guint i = 0; i < lab.status->nodes->len; i++) {
            const struct lab_node_status *node = lab.status->nodes->pdata[i];
            if (!nics)
                printf("%s\n", node->name);
            for (guint k = 0; nics && k < node->nics->len; k++)
                printf("%s:%s\n", node->name, ((struct lab_nic_status *)node->nics->pdata[k])->interface);
        }
    }
    cli_node_clear(&lab);
    return CLI_OK;
}

static int run(struct cli_call *call)
{
    if (cli_flag(call, "nodes") || cli_flag(call, "nics"))
        return print_names(call, cli_flag(call, "nics"));
    if (!cli_argument(call, 0))
        return cli_misuse(call, "for which shell? There are bash, zsh and fish");
    return cli_print_completion(call, cli_argument(call, 0));
}

const struct cli_verb verb_completion = {
    .name = "completion",
    .arguments = "bash|zsh|fish",
    .summary = "print a shell's completion of netlab's commands",
    .description = "For one session: source <(netlab completion bash). For good: netlab completion bash "
                   ">~/.local/share/bash-completion/"
                   "completions/netlab; netlab completion zsh into a file _netlab in a folder of $fpath; "
                   "netlab completion fish "
                   ">~/.config/fish/completions/netlab.fish. `cmake --install` puts all three in place.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = 1,
    .examples = CLI_EXAMPLES({"source <(netlab completion bash)", "for this shell"}),
    .run = run,
};
