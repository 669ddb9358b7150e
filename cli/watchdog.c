/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab watchdog`: puts a bridged NIC back unless it is told not to (netlab/uplink.h); not for people.
 */
#include "cli/cli.h"
#include "netlab/uplink.h"

static const struct cli_option options[] = {
    {"seconds", 0, "NUMBER", "how long to wait"},
};

static int run(struct cli_call *call)
{
    const char *text = cli_value(call, "seconds");
    guint64 seconds;
    if (!text || !g_ascii_string_to_unsigned(text, 10, 1, 8000, &seconds, NULL))
        return cli_misuse(call, "this is started by whoever bridges it");
    return uplink_watch((unsigned)seconds) ? CLI_OK : CLI_FAILED;
}

const struct cli_verb verb_watchdog = {
    .name = "watchdog",
    .arguments = "",
    .summary = "put a bridged NIC back unless told not to (started by whoever bridges it)",
    .description = "",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .is_hidden = true,
    .run = run,
};
