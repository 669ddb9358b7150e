/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A namespace as canonical text, to compare before and after.
 *
 * One object a line, sorted, with every attribute the kernel gave: those we know by name, all others as
 * number and hex. What changes by itself is left out: counters, timers, ages, lifetimes (finite ones become
 * "finite"), carrier change counts, operational state flaps. Links are referred to by name, so an object that
 * went and came back under another index compares equal; HOSTNET_SNAPSHOT_INDEXES keeps the indexes.
 *
 * An empty diff between the texts from before `up` and after `down` is the promise of the whole program.
 */
#pragma once

#include "hostnet/hostnet.h"

enum hostnet_snapshot_flags {
    HOSTNET_SNAPSHOT_INDEXES = 1,    /* link indexes too */
    HOSTNET_SNAPSHOT_NEIGHBOURS = 2, /* neighbours (permanent ones are always in) and bridge entries */
};

/* Links, addresses, routes, rules, qdiscs, permanent neighbours, nftables, sysctls. Owned by the caller. */
char *hostnet_snapshot_take(struct hostnet *net, unsigned flags, GError **error);

/* NULL when equal, else the lines that went ("-…") and came ("+…"), in order. Owned by the caller. */
char *hostnet_snapshot_diff(const char *before, const char *after);
