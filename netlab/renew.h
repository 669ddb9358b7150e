/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Keeping the DHCP lease of a NIC that a lab has bridged: a process of the lab called "@NETWORK", in the
 * host's namespace, beside which the supervisor may die. It takes on the lease that the bridge got from the
 * NIC, and renews it there; when the server gives another one, that.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Its life (`netlab renew`): on the bridge of this name, in this namespace, with what it says on fd 1. Ends
 * on SIGTERM (true), or when the bridge is gone (false with an error). Nothing of it is recorded: all goes
 * with the bridge, or to the NIC (hostnet/uplink.h). */
bool renew_run(const char *bridge, GError **error);
