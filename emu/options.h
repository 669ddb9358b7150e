/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The command line in QEMU's words → struct machine_config.
 *
 * One table has every option: ours with their handler and help, and QEMU's that are not here yet with what to
 * do instead. -help, suggestions and the manual page come from it. Nothing is started, opened or created
 * while options are read; only what they say is checked, the whole of it.
 */
#pragma once

#include "emu/machine/machine.h"

#include <glib.h>

enum options_outcome {
    OPTIONS_RUN,   /* *config is to be run */
    OPTIONS_PRINT, /* *text is to be printed (-help, -version, -cpu help); exit code 0 */
    OPTIONS_ERROR, /* *error says what is wrong; exit code 1 */
};

/* argv[0] is not looked at. Only what the outcome names is set; it is the caller's to free. */
enum options_outcome options_parse(int argc, char *const *argv, struct machine_config **config, char **text,
                                   GError **error);
/* The text of -help. */
void options_describe(GString *out);
/* The manual page netlab-emu(1), in roff. */
void options_describe_man(GString *out);
