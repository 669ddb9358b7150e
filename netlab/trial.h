/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Asking the emulator, before anything is changed, whether it would start such a machine.
 */
#pragma once

#include <json-glib/json-glib.h>
#include <stdbool.h>

struct trial {
    const char *kernel, *initrd, *append, *cpu; /* NULL where there is none */
    unsigned memory;                            /* MiB */
    JsonObject *medium;                         /* a disk or CD (machine_drives.h); NULL: none */
};

/* Runs `netlab-emu -check …`, at most ten seconds, which loads the kernel and opens the
 * disk as a start would and touches nothing else. False when the emulator refuses; *why is then what it says
 * (owned by the caller). An emulator that is missing or does not know -check counts as consent: starting the
 * machine will tell. */
bool trial_run(const struct trial *trial, char **why);
