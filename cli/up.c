/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab up`: finds the topology and the nodes that are meant, and lets lab_up() do the rest.
 */
#include "cli/change.h"
#include "cli/class.h"
#include "netlab/topology_parse.h"

#include <unistd.h>

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    CLI_CLASS_OPTIONS,
    CLI_PARALLEL_OPTION,
    {"prune", 0, NULL, "with --for: take down the copies of students who are not in the list any more"},
    {"force", 0, NULL, "with --for: also when the memory that is free is not enough"},
    {"copy-memory", 0, "MIB", "with --for: what one copy may use, by its control group (0: no limit)"},
    {"copy-cpu", 0, "PERCENT", "with --for: of one processor (0: no limit)"},
    {"all", 'a', NULL, "start also the nodes that are kept stopped"},
    {"dry-run", 'n', NULL, "print the steps and do nothing"},
    {"rootless", 0, NULL, "use a user namespace even where root's rights are there"},
    {"here", 0, NULL, "make the lab in the network namespace this command runs in, not in one of its own"},
    {"confirm", 'c', NULL,
     "ask whether a NIC of the host that was bridged is to stay so; put back unless told so"},
    {"timeout", 't', "SECONDS", "how long machines may take to become ready (300)"},
    {"verbose", 'v', NULL, "print each step on a line of its own"},
    {"quiet", 'q', NULL, "print errors only"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

/* The topology of the lab that is up, wherever we are: its file, or, when that is gone, the text that was
 * brought up. *shown is what messages call it. */
static struct topology *load_lab(const struct cli_call *call, char **shown, GError **error)
{
    g_autofree char *file = NULL, *source = NULL;
    g_autofree char *name = cli_change_find_lab(call, &file, &source, error);
    if (!name)
        return NULL;
    *shown = g_strdup(file);
    struct topology *topology = topology_load_again(file, source, error);
    if (topology && !g_str_equal(topology->name, name)) {
        g_set_error(
            error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_INVALID,
            "%s: calls its lab \"%s\" now, and \"%s\" is up from it; run `netlab down --lab %s` first", file,
            topology->name, name, name);
        topology_free(topology);
        return NULL;
    }
    return topology;
}

/* The first word is a path unless it can only be a node. *nodes: where the nodes begin. */
static struct topology *find_topology(const struct cli_call *call, guint *nodes, char **shown, GError **error)
{
    const char *first = cli_argument(call, 0);
    bool is_here = access("topology.yml", F_OK) == 0;
    *nodes = 0;
    if (cli_value(call, "lab"))
        return load_lab(call, shown, error);
    if (first && cli_is_path(first)) {
        *nodes = 1;
        *shown = g_file_test(first, G_FILE_TEST_IS_DIR) ? g_build_filename(first, "topology.yml", NULL)
                                                        : g_strdup(first);
        return topology_load_file(*shown, error);
    }
    if (first && !is_here) {
        struct topology *topology = load_lab(call, shown, NULL);
        if (topology)
            return topology;
    }
    *shown = g_strdup(first && !is_here ? first : "topology.yml");
    return topology_load_file(*shown, error);
}

static int run(struct cli_call *call)
{
    unsigned timeout = 300;
    guint nodes = 0;
    if (!cli_number(call, "timeout", 1, 86400, &timeout))
        return CLI_USAGE;
    if (cli_flag(call, "confirm") && (!isatty(STDIN_FILENO) || cli_flag(call, "json")))
        return cli_misuse(call, cli_flag(call, "json")
                                    ? "--confirm asks a person, and --json is for programs; leave one away"
                                    : "--confirm asks on the terminal, and standard input is none; without "
                                      "--confirm a bridged NIC is kept when a gateway answers");
    if (cli_class_is_meant(call))
        return cli_class_up(call, timeout);
    static const char *const of_classes[] = {"students", "parallel",    "prune",
                                             "force",    "copy-memory", "copy-cpu"};
    for (size_t i = 0; i < G_N_ELEMENTS(of_classes); i++)
        if (cli_value(call, of_classes[i]))
            return cli_misuse(call, "--%s goes with --for FILE, the list of a class", of_classes[i]);
    g_autofree char *shown = NULL;
    g_autoptr(GError) error = NULL;
    topology_auto struct topology *topology = find_topology(call, &nodes, &shown, &error);
    if (!topology)
        return cli_fail(error);
    struct lab_up_options up = {
        .topology = topology,
        .shown_file = shown,
        .choice = {.action = LAB_START,
                   .nodes = (const char *const *)call->arguments->pdata + nodes,
                   .node_count = call->arguments->len - nodes,
                   .all = cli_flag(call, "all")},
        .rootless = cli_flag(call, "rootless"),
        .here = cli_flag(call, "here"),
        .timeout_s = timeout,
    };
    return cli_change_run(call, &up);
}

const struct cli_verb verb_up = {
    .name = "up",
    .arguments = "[PATH] [NODE…]",
    .summary = "bring a lab up, or make the running one what its file says now",
    .description =
        "PATH is a topology file, or a folder with a topology.yml; without it the current "
        "folder's is taken, or with --lab that of a lab that is up.\n\n"
        "`up` checks the whole file first; a mistake in it changes nothing. Then it makes "
        "networks and machines step by "
        "step, each noted in the journal before it is done, and waits until the machines are "
        "ready. If anything fails, or "
        "on Ctrl-C, it undoes what it did. Run again it changes nothing; with a changed file it "
        "applies the difference.\n\n"
        "With nodes named it starts these, and leaves everything else of a running lab as it is. What "
        "`netlab down NODE…` has stopped stays stopped until it is named here, or --all.\n\n"
        "With --for every student of the list gets a copy of the lab, called LAB-STUDENT and apart from all "
        "others; "
        "what is said above holds for each. Memory is reckoned up first. Copies start some at a time; one "
        "that fails "
        "stops no other.\n\n"
        "A lab lives in a network namespace of its own. Without root's rights that is inside a "
        "user namespace "
        "(rootless), which is chosen by itself.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = -1,
    .examples = CLI_EXAMPLES({"netlab up", "the lab of topology.yml in this folder"},
                             {"netlab up labs/ospf-triangle", "the lab of that folder"},
                             {"netlab up --dry-run", "checks the file and prints the steps"},
                             {"netlab up r2", "starts node r2 of the running lab again"}),
    .files = CLI_FILE_TOPOLOGY | CLI_FILE_STORE | CLI_FILE_RUNTIME | CLI_FILE_IMAGES,
    .run = run,
};
