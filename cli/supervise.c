/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab supervise`: what `netlab up` executes as a lab's supervisor (netlab/spawn.c); not for people.
 */
#include "cli/cli.h"
#include "netlab/supervisor.h"

#include <gio/gio.h>
#include <stdlib.h>

enum { REPORT_FD = 3 };

static const struct cli_option options[] = {
    {"lab", 0, "NAME", "the lab"},
    {"lab-id", 0, "NUMBER", "its row in the store"},
    {"state", 0, "FOLDER", "the store's"},
    {"runtime", 0, "FOLDER", "of all labs' sockets"},
    {"owner", 0, "UID", "of the person, for interface names"},
    {"rootless", 0, NULL, "make a user namespace too"},
    {"here", 0, NULL, "stay in this network namespace"},
    {"join", 0, "PID", "enter the namespaces of this process instead of making new ones"},
};

static int run(struct cli_call *call)
{
    const char *lab_id = cli_value(call, "lab-id"), *owner = cli_value(call, "owner"),
               *join = cli_value(call, "join");
    struct supervisor_options supervisor = {
        .lab = cli_value(call, "lab"),
        .lab_id = lab_id ? g_ascii_strtoll(lab_id, NULL, 10) : 0,
        .state = cli_value(call, "state"),
        .runtime = cli_value(call, "runtime"),
        .is_rootless = cli_flag(call, "rootless"),
        .here = cli_flag(call, "here"),
        .owner = owner ? (unsigned)g_ascii_strtoull(owner, NULL, 10) : 0,
        .join = join ? atoi(join) : 0,
        .report_fd = REPORT_FD,
    };
    if (!supervisor.lab || !supervisor.lab_id || !supervisor.state || !supervisor.runtime)
        return cli_misuse(call, "this is started by `netlab up`");
    g_autoptr(GError) error = NULL;
    if (supervisor_run(&supervisor, &error))
        return CLI_OK;
    return cli_fail(error);
}

const struct cli_verb verb_supervise = {
    .name = "supervise",
    .arguments = "",
    .summary = "look after a lab (started by `netlab up`)",
    .description = "",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .is_hidden = true,
    .run = run,
};
