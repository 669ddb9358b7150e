/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab down`: takes a lab away, by what the store knows of it; or only some nodes, which is a change like
 * any other (change.h).
 */
#include "cli/change.h"
#include "cli/class.h"
#include "cli/progress.h"
#include "netlab/fault.h"

#include <signal.h>
#include <stdio.h>

enum { GRACEFUL_S = 30 };

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    CLI_CLASS_OPTIONS,
    CLI_PARALLEL_OPTION,
    {"all", 'a', NULL, "all labs that are up"},
    {"graceful", 'g', NULL, "first ask the guests to power off, and wait for them"},
    {"timeout", 't', "SECONDS",
     "with --graceful: how long at most (30); who has not powered off then is ended"},
    {"verbose", 'v', NULL, "print each step on a line of its own"},
    {"quiet", 'q', NULL, "print errors only"},
    {"json", 'j', NULL, "with --for: print what happens, a line of JSON each"},
    CLI_HELP_OPTION,
};

/* A copy of a class that was taken down by its own name is no member any more. */
static bool forget(const struct lab_place *place, const char *name, GError **error)
{
    g_autoptr(store) store = store_open(place->state, error);
    return store && class_forget(store, name, error);
}

/* And with --all also those whose copies were not up. */
static int forget_all(const struct lab_place *place)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(store) store = store_open(place->state, &error);
    g_autoptr(GPtrArray) members = store ? store_list_members(store, 0, &error) : NULL;
    for (guint i = 0; members && i < members->len && !error; i++) {
        const struct store_member *member = members->pdata[i];
        g_autoptr(store_lab) lab = store_find_lab(store, member->lab, &error);
        if (!lab && !error)
            class_forget(store, member->lab, &error);
    }
    return error ? cli_fail(error) : CLI_OK;
}

static int take_down(const struct cli_call *call, const struct lab_place *place, const char *name,
                     unsigned graceful)
{
    bool quiet = cli_flag(call, "quiet");
    gint64 started = g_get_monotonic_time();
    g_autoptr(GError) error = NULL;
    struct cli_progress progress;
    cli_progress_init(&progress, quiet, cli_flag(call, "verbose"));
    struct lab_down_options down = {
        .place = place, .lab = name, .graceful_s = graceful, .progress = {cli_progress_tell, &progress}};
    bool good = lab_down(&down, &error) && forget(place, name, &error);
    cli_progress_end(&progress);
    cli_progress_clear(&progress);
    if (!good)
        return cli_fail(error);
    if (!quiet)
        printf("lab %s is down (%.1f s)\n", name,
               (double)(g_get_monotonic_time() - started) / G_USEC_PER_SEC);
    return CLI_OK;
}

/* Only these nodes. */
static int stop_nodes(struct cli_call *call, unsigned graceful)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *lab = cli_change_find_lab(call, NULL, NULL, &error);
    if (!lab)
        return cli_fail(error);
    const char *const *nodes = (const char *const *)call->arguments->pdata;
    struct lab_place place;
    lab_place_find(&place);
    struct cli_progress progress;
    cli_progress_init(&progress, cli_flag(call, "quiet"), cli_flag(call, "verbose"));
    struct lab_down_options ask = {.place = &place,
                                   .lab = lab,
                                   .graceful_s = graceful,
                                   .nodes = nodes,
                                   .node_count = call->arguments->len,
                                   .progress = {cli_progress_tell, &progress}};
    bool good = !graceful || lab_power_off(&ask, &error);
    cli_progress_end(&progress);
    cli_progress_clear(&progress);
    lab_place_clear(&place);
    if (!good)
        return cli_fail(error);
    struct lab_up_options stop = {
        .lab = lab, .choice = {.action = LAB_STOP, .nodes = nodes, .node_count = call->arguments->len}};
    return cli_change_run(call, &stop);
}

/* Does the first word mean a lab: by path, or wrongly by its name (which lab_select() then says)? */
static bool means_lab(const char *word, struct store *store)
{
    g_autoptr(store_lab) lab = store_find_lab(store, word, NULL);
    return lab || cli_is_path(word);
}

static GPtrArray *find_labs(const struct cli_call *call, struct store *store, bool *means_nodes,
                            GError **error)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    const char *first = cli_argument(call, 0);
    if (cli_flag(call, "all")) {
        g_autoptr(GPtrArray) labs = store_list_labs(store, error);
        for (guint i = 0; labs && i < labs->len; i++)
            g_ptr_array_add(names, g_strdup(((struct store_lab *)labs->pdata[i])->name));
        return names;
    }
    *means_nodes = first && (cli_value(call, "lab") || call->arguments->len > 1 || !means_lab(first, store));
    if (*means_nodes)
        return names;
    g_autoptr(store_lab) lab = lab_select(store, cli_value(call, "lab"), first, error);
    if (lab)
        g_ptr_array_add(names, g_strdup(lab->name));
    return names;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct lab_place place;
    unsigned timeout = GRACEFUL_S;
    bool means_nodes = false;
    if (!cli_number(call, "timeout", 1, 3600, &timeout))
        return CLI_USAGE;
    if (cli_flag(call, "all") && (call->arguments->len || cli_value(call, "lab")))
        return cli_misuse(call, "--all is all labs; name either nodes, --lab NAME or --all");
    unsigned graceful = cli_flag(call, "graceful") || cli_value(call, "timeout") ? timeout : 0;
    if (cli_class_is_meant(call))
        return cli_class_down(call, graceful);
    if (cli_value(call, "students") || cli_value(call, "parallel"))
        return cli_misuse(call, "--students and --parallel go with --for FILE, the list of a class");
    if (cli_flag(call, "json"))
        return cli_misuse(call, "--json goes with --for FILE; what is up says `netlab status --json`");
    lab_place_find(&place);
    fault_arm_from_environment();
    signal(SIGPIPE, SIG_IGN); /* who reads the progress may go (`| head -1`); the lab still goes whole */
    int status = CLI_OK;
    g_autoptr(GPtrArray) names = NULL;
    g_autofree char *unknown = NULL;
    {
        /* Closed again before lab_down() opens its own. */
        g_autoptr(store) store = store_open(place.state, &error);
        names = store ? find_labs(call, store, &means_nodes, &error) : NULL;
        lab_sweep_locks(&place);
        if (store && (!names || (!names->len && !means_nodes)))
            unknown = lab_describe_unknown(&place, store);
    }
    if (error)
        status = cli_fail(error);
    else if (means_nodes)
        status = stop_nodes(call, graceful);
    else if (!names->len && !unknown && !cli_flag(call, "quiet"))
        printf("no lab is up, nothing to do\n");
    if (unknown) {
        fprintf(stderr, "netlab: %s\n", unknown);
        status = status ? status : CLI_NOT_UP;
    }
    for (guint i = 0; !error && i < names->len; i++) {
        int one = take_down(call, &place, names->pdata[i], graceful);
        status = status ? status : one;
    }
    if (!error && !status && cli_flag(call, "all"))
        status = forget_all(&place);
    lab_place_clear(&place);
    return status;
}

const struct cli_verb verb_down = {
    .name = "down",
    .arguments = "[PATH | NODE…]",
    .summary = "take a lab away, completely; or stop some of its nodes",
    .description =
        "Ends the lab's machines and its supervisor and removes its networks, files and its entry "
        "in the store. It goes by the "
        "store alone: the topology file may have changed or be gone, machines and supervisor may "
        "be dead, an `up` may have "
        "been killed half-way, the computer may have been restarted since. Only what is netlab's "
        "own is touched.\n\n"
        "With nodes named only their machines end. They stay stopped, also through `netlab up`, "
        "until `netlab up NODE…` starts them.\n\n"
        "Machines end at once, as when their plug is pulled. With --graceful the guests are asked to "
        "power off first, all at the same time, and nothing is waited for longer than the slowest "
        "needs.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = -1,
    .examples = CLI_EXAMPLES({"netlab down", "takes the lab of this folder away"},
                             {"netlab down r2", "stops one machine"},
                             {"netlab down --all --graceful", "all labs; guests power off first"}),
    .run = run,
};
