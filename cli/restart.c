/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab restart`: machines anew, as they are.
 */
#include "cli/change.h"
#include "cli/progress.h"

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"graceful", 'g', NULL, "first ask the guests to power off, and wait for them at most 30 s"},
    {"dry-run", 'n', NULL, "print the steps and do nothing"},
    {"timeout", 't', "SECONDS", "how long machines may take to become ready (300)"},
    {"verbose", 'v', NULL, "print each step on a line of its own"},
    {"quiet", 'q', NULL, "print errors only"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

enum { GRACEFUL_S = 30 };

static bool ask_guests(const struct cli_call *call, const struct lab_up_options *restart, GError **error)
{
    struct lab_place place;
    struct cli_progress progress;
    lab_place_find(&place);
    cli_progress_init(&progress, cli_flag(call, "quiet") || cli_flag(call, "json"),
                      cli_flag(call, "verbose"));
    struct lab_down_options ask = {.place = &place,
                                   .lab = restart->lab,
                                   .graceful_s = GRACEFUL_S,
                                   .nodes = restart->choice.nodes,
                                   .node_count = restart->choice.node_count,
                                   .progress = {cli_progress_tell, &progress}};
    bool good = lab_power_off(&ask, error);
    cli_progress_end(&progress);
    cli_progress_clear(&progress);
    lab_place_clear(&place);
    return good;
}

static int run(struct cli_call *call)
{
    unsigned timeout = 300;
    g_autoptr(GError) error = NULL;
    if (!cli_number(call, "timeout", 1, 86400, &timeout))
        return CLI_USAGE;
    g_autofree char *lab = cli_change_find_lab(call, NULL, NULL, &error);
    if (!lab)
        return cli_fail(error);
    struct lab_up_options restart = {.lab = lab,
                                     .choice = {.action = LAB_RESTART,
                                                .nodes = (const char *const *)call->arguments->pdata,
                                                .node_count = call->arguments->len},
                                     .timeout_s = timeout};
    if (cli_flag(call, "graceful") && !cli_flag(call, "dry-run") && !ask_guests(call, &restart, &error))
        return cli_fail(error);
    return cli_change_run(call, &restart);
}

const struct cli_verb verb_restart = {
    .name = "restart",
    .arguments = "[NODE…]",
    .summary = "start machines anew: the nodes named, or all that are not stopped",
    .description =
        "The machines end and start again as they are; a topology file that has changed meanwhile is "
        "for `netlab up`. Networks stay. Without --graceful it is like the reset button.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = -1,
    .examples = CLI_EXAMPLES({"netlab restart r1", "like its reset button"},
                             {"netlab restart --graceful", "all machines, after they have powered off"}),
    .run = run,
};
