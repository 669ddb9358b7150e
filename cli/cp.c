/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab cp`: files and folders between the host and nodes, or from node to node.
 */
#include "cli/change.h"
#include "cli/node.h"
#include "netlab/copy.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"quiet", 'q', NULL, "print errors only"},
    CLI_HELP_OPTION,
};

/* "NODE:PATH", unless a slash comes before the colon (./a:b is a file of ours). */
static bool find_place(struct cli_node *lab, const char *word, struct copy_place *place, char **kept,
                       GError **error)
{
    const char *colon = strchr(word, ':'), *slash = strchr(word, '/');
    *place = (struct copy_place){.path = word};
    if (!colon || (slash && slash < colon))
        return true;
    *kept = g_strndup(word, (gsize)(colon - word));
    lab->node = lab_status_find_node(lab->status, *kept, error);
    if (!lab->node || !cli_node_require_running(lab, error))
        return false;
    place->node = lab->node->name;
    place->directory = lab->node->directory;
    place->path = colon[1] ? colon + 1 : "."; /* root's home */
    return true;
}

static int copy_all(struct cli_call *call, struct cli_node *lab)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *to_name = NULL;
    struct copy_place to;
    guint last = call->arguments->len - 1, files = 0, skipped = 0;
    guint64 bytes = 0;
    int cancel_fd = cli_cancel_fd();
    gint64 began = g_get_monotonic_time();
    if (!find_place(lab, cli_argument(call, last), &to, &to_name, &error))
        return cli_fail(error);
    if (last > 1 && !to.directory && !g_file_test(to.path, G_FILE_TEST_IS_DIR))
        return cli_misuse(call, "several go into a folder, and %s is none", to.path);
    for (guint i = 0; i < last; i++) {
        g_autofree char *from_name = NULL;
        struct copy_place from;
        struct copy_result result;
        if (!find_place(lab, cli_argument(call, i), &from, &from_name, &error))
            return cli_fail(error);
        if (!from.directory && !to.directory)
            return cli_misuse(call,
                              "one side is a node's: NODE:PATH (both of these are files of this computer)");
        if (!copy_run(&from, &to, cancel_fd, &result, &error)) {
            const char *node = to.directory ? to.node : from.node;
            g_prefix_error(&error, "%s: ", node);
            return cli_fail(error);
        }
        files += result.files;
        skipped += result.skipped;
        bytes += result.bytes;
    }
    if (skipped)
        fprintf(stderr, "netlab: left out: %u that are no files, folders or links, or lead elsewhere\n",
                skipped);
    if (cli_is_terminal() && !cli_flag(call, "quiet")) {
        g_autofree char *size = g_format_size(bytes);
        printf("%u %s, %s in %.1f s, checksums agree\n", files, files == 1 ? "file" : "files", size,
               (double)(g_get_monotonic_time() - began) / G_USEC_PER_SEC);
    }
    return CLI_OK;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_node lab;
    signal(SIGPIPE, SIG_IGN);
    int status = cli_node_find_lab(call, &lab, &error) ? copy_all(call, &lab) : cli_fail(error);
    lab.node = NULL;
    cli_node_clear(&lab);
    return status;
}

const struct cli_verb verb_cp = {
    .name = "cp",
    .arguments = "SOURCE… DESTINATION",
    .summary = "copy files and folders into nodes and out of them",
    .description =
        "NODE:PATH is a file or folder of a node, relative to root's home; anything else one of this "
        "computer "
        "(write ./a:b for a name with a colon). Either side may be a node's, or both. Folders are copied "
        "whole; modes and times are kept, owners are not, and out of a node no set-user-ID bits come. In an "
        "existing folder what is copied gets its own name.\n\n"
        "It goes through the node's agent, so the node needs no address, and the stream's SHA-256 is "
        "compared "
        "at both ends. As in: netlab cp frr.conf r1:/etc/frr/    netlab cp r1:/var/log .",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .least = 2,
    .most = -1,
    .examples = CLI_EXAMPLES({"netlab cp frr.conf r1:/etc/frr/", "into a node"},
                             {"netlab cp r1:/var/log .", "a folder out of it"}),
    .run = run,
};
