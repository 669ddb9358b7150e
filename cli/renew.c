/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab renew`: keeps the DHCP lease of a NIC that a lab has bridged (netlab/renew.h); not for people.
 */
#include "cli/cli.h"
#include "netlab/renew.h"

static const struct cli_option options[] = {
    {"bridge", 0, "NAME", "the bridge that has the lease"},
};

static int run(struct cli_call *call)
{
    const char *bridge = cli_value(call, "bridge");
    g_autoptr(GError) error = NULL;
    if (!bridge)
        return cli_misuse(
            call, "this is started by the supervisor of a lab; `netlab host dhcp request` is for you");
    return renew_run(bridge, &error) ? CLI_OK : CLI_FAILED;
}

const struct cli_verb verb_renew = {
    .name = "renew",
    .arguments = "",
    .summary = "keep a bridged NIC's DHCP lease (started by the lab's supervisor)",
    .description = "",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .is_hidden = true,
    .run = run,
};
