/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab up`: reads the topology, and lets lab_up() do the rest; shows how it goes.
 */
#include "cli/cli.h"
#include "cli/progress.h"
#include "netlab/fault.h"
#include "netlab/lab.h"
#include "netlab/topology_parse.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"dry-run", 'n', NULL, "print the steps and do nothing"},
    {"rootless", 0, NULL, "use a user namespace even where root's rights are there"},
    {"here", 0, NULL, "make the lab in the network namespace this command runs in, not in one of its own"},
    {"timeout", 't', "SECONDS", "how long machines may take to become ready (300)"},
    {"verbose", 'v', NULL, "print each step on a line of its own"},
    {"quiet", 'q', NULL, "print errors only"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

/* SIGINT, SIGTERM and SIGHUP become readability of an fd. */
static int cancel_fd(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

static void print_json(const struct cli_call *call, const struct topology *topology,
                       enum lab_up_result result, const struct cli_progress *progress)
{
    static const char *const words[] = {
        [LAB_UP_NOTHING_TO_DO] = "nothing-to-do", [LAB_UP_PLANNED] = "planned", [LAB_UP_DONE] = "done"};
    JsonObject *object = json_object_new();
    JsonArray *steps = json_array_new();
    json_object_set_string_member(object, "lab", topology->name);
    json_object_set_string_member(object, "result", words[result]);
    for (guint i = 0; i < progress->steps->len; i++)
        json_array_add_string_element(steps, progress->steps->pdata[i]);
    json_object_set_array_member(object, "steps", steps);
    JsonNode *node = json_node_alloc();
    json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), object);
    cli_print_json(node);
}

static unsigned count_segments(const struct topology *topology, enum topology_network_kind kind)
{
    unsigned count = 0;
    for (guint i = 0; i < topology->networks->len; i++)
        count += ((struct topology_network *)topology->networks->pdata[i])->kind == kind;
    return count;
}

static void print_result(const struct topology *topology, enum lab_up_result result, gint64 started)
{
    unsigned nodes = topology->nodes->len, networks = count_segments(topology, TOPOLOGY_SEGMENT),
             links = count_segments(topology, TOPOLOGY_LINK);
    switch (result) {
    case LAB_UP_NOTHING_TO_DO:
        printf("lab %s is already up, nothing to do\n", topology->name);
        return;
    case LAB_UP_PLANNED:
        printf("nothing was done (--dry-run)\n");
        return;
    case LAB_UP_DONE:
        printf("lab %s is up: %u machine%s, %u network%s, %u link%s (%.1f s)\n", topology->name, nodes,
               nodes == 1 ? "" : "s", networks, networks == 1 ? "" : "s", links, links == 1 ? "" : "s",
               (double)(g_get_monotonic_time() - started) / G_USEC_PER_SEC);
        return;
    }
}

static char *find_file(const char *path)
{
    if (!path)
        return g_strdup("topology.yml");
    if (g_file_test(path, G_FILE_TEST_IS_DIR))
        return g_build_filename(path, "topology.yml", NULL);
    return g_strdup(path);
}

static int run(struct cli_call *call)
{
    unsigned timeout = 300;
    if (!cli_number(call, "timeout", 1, 86400, &timeout))
        return CLI_USAGE;
    g_autofree char *file = find_file(cli_argument(call, 0));
    g_autoptr(GError) error = NULL;
    topology_auto struct topology *topology = topology_load_file(file, &error);
    if (!topology)
        return cli_fail(error);
    fault_arm_from_environment();

    bool json = cli_flag(call, "json");
    gint64 started = g_get_monotonic_time();
    struct lab_place place;
    lab_place_find(&place);
    struct cli_progress progress;
    cli_progress_init(&progress, cli_flag(call, "quiet") || json,
                      cli_flag(call, "verbose") || cli_flag(call, "dry-run"));
    struct lab_up_options up = {
        .place = &place,
        .topology = topology,
        .shown_file = file,
        .dry_run = cli_flag(call, "dry-run"),
        .rootless = cli_flag(call, "rootless"),
        .here = cli_flag(call, "here"),
        .timeout_s = timeout,
        .cancel_fd = cancel_fd(),
        .progress = {cli_progress_tell, &progress},
    };
    enum lab_up_result result = LAB_UP_NOTHING_TO_DO;
    bool good = lab_up(&up, &result, &error);
    cli_progress_end(&progress);
    int status = CLI_OK;
    if (!good) {
        status = cli_fail(error);
        cli_progress_print_undone(&progress);
    } else if (json) {
        print_json(call, topology, result, &progress);
    } else if (!cli_flag(call, "quiet")) {
        print_result(topology, result, started);
    }
    cli_progress_clear(&progress);
    close(up.cancel_fd);
    lab_place_clear(&place);
    if (g_getenv("NETLAB_CRASH_REPORT"))
        fprintf(stderr, "crash points: %ld\n", fault_passed());
    return status;
}

const struct cli_verb verb_up = {
    .name = "up",
    .arguments = "[PATH]",
    .summary = "bring a lab up, or make the running one what its file says now",
    .description = "PATH is a topology file, or a folder with a topology.yml; without it the current "
                   "folder's is taken.\n\n"
                   "`up` checks the whole file first; a mistake in it changes nothing. Then it makes "
                   "networks and machines step by "
                   "step, each noted in the journal before it is done, and waits until the machines are "
                   "ready. If anything fails, or "
                   "on Ctrl-C, it undoes what it did. Run again it changes nothing; with a changed file it "
                   "applies the difference.\n\n"
                   "A lab lives in a network namespace of its own. Without root's rights that is inside a "
                   "user namespace "
                   "(rootless), which is chosen by itself.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = 1,
    .run = run,
};
