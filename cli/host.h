/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* The verbs of the group `netlab host`, one file a part; host.c has them in its table. */
#pragma once

#include "cli/cli.h"

extern const struct cli_verb verb_host_show, verb_host_bridge, verb_host_tap, verb_host_uplink,
    verb_host_dhcp;
