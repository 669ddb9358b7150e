/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab host …`: single steps on this host's own network, outside of any lab. A group of verbs; each part
 * of it has a file of its own (host_show.c, host_link.c, host_dhcp.c) and a row here.
 */
#include "cli/host.h"

static const struct cli_verb *const host_verbs[] = {&verb_host_show,   &verb_host_bridge, &verb_host_tap,
                                                    &verb_host_uplink, &verb_host_dhcp,   NULL};

const struct cli_verb verb_host = {
    .name = "host",
    .arguments = "COMMAND …",
    .summary = "single steps on this host's own network",
    .description =
        "These work on the network namespace that netlab is started in, as brctl, tunctl and dhclient "
        "do; what they make is journalled like a lab's, and taken away by its counterpart.",
    .group = host_verbs,
};
