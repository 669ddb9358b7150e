/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab down`: takes a lab away, by what the store knows of it.
 */
#include "cli/cli.h"
#include "cli/progress.h"
#include "netlab/fault.h"
#include "netlab/lab.h"

#include <signal.h>
#include <stdio.h>

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"all", 'a', NULL, "all labs that are up"},
    {"verbose", 'v', NULL, "print each step on a line of its own"},
    {"quiet", 'q', NULL, "print errors only"},
    CLI_HELP_OPTION,
};

static int take_down(const struct cli_call *call, const struct lab_place *place, const char *name)
{
    bool quiet = cli_flag(call, "quiet");
    gint64 started = g_get_monotonic_time();
    g_autoptr(GError) error = NULL;
    struct cli_progress progress;
    cli_progress_init(&progress, quiet, cli_flag(call, "verbose"));
    struct lab_progress tell = {cli_progress_tell, &progress};
    bool good = lab_down(place, name, &tell, &error);
    cli_progress_end(&progress);
    cli_progress_clear(&progress);
    if (!good)
        return cli_fail(error);
    if (!quiet)
        printf("lab %s is down (%.1f s)\n", name,
               (double)(g_get_monotonic_time() - started) / G_USEC_PER_SEC);
    return CLI_OK;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct lab_place place;
    lab_place_find(&place);
    fault_arm_from_environment();
    signal(SIGPIPE, SIG_IGN); /* who reads the progress may go (`| head -1`); the lab still goes whole */
    int status = CLI_OK;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    {
        /* Closed again before lab_down() opens its own. */
        g_autoptr(store) store = store_open(place.state, &error);
        g_autoptr(GPtrArray) labs = store && cli_flag(call, "all") ? store_list_labs(store, &error) : NULL;
        for (guint i = 0; labs && i < labs->len; i++)
            g_ptr_array_add(names, g_strdup(((struct store_lab *)labs->pdata[i])->name));
        if (store && !cli_flag(call, "all")) {
            g_autoptr(store_lab) lab =
                lab_select(store, cli_value(call, "lab"), cli_argument(call, 0), &error);
            if (lab)
                g_ptr_array_add(names, g_strdup(lab->name));
        }
        lab_sweep_locks(&place);
    }
    if (error)
        status = cli_fail(error);
    else if (!names->len && !cli_flag(call, "quiet"))
        printf("no lab is up, nothing to do\n");
    for (guint i = 0; i < names->len; i++) {
        int one = take_down(call, &place, names->pdata[i]);
        status = status ? status : one;
    }
    lab_place_clear(&place);
    return status;
}

const struct cli_verb verb_down = {
    .name = "down",
    .arguments = "[PATH]",
    .summary = "take a lab away, completely",
    .description = "Ends the lab's machines and its supervisor and removes its networks, files and its entry "
                   "in the store. It goes by the "
                   "store alone: the topology file may have changed or be gone, machines and supervisor may "
                   "be dead, an `up` may have "
                   "been killed half-way, the computer may have been restarted since. Only what is netlab's "
                   "own is touched.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = 1,
    .run = run,
};
