/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes the command line: each line of the input is a word of argv.
 */
#include "emu/options.h"
#include "emu/trace.h"

#include <string.h>

#include "tests/fuzz/fuzz_main.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_auto(GStrv) words = g_strsplit(text, "\n", 64);
    g_autofree char **argv = g_new0(char *, g_strv_length(words) + 2);
    int argc = 1;
    argv[0] = (char *)"netlab-emu";
    for (char **word = words; *word; word++)
        argv[argc++] = *word;
    struct machine_config *config = NULL;
    g_autofree char *print = NULL;
    g_autoptr(GError) error = NULL;
    switch (options_parse(argc, argv, &config, &print, &error)) {
    case OPTIONS_RUN:
        machine_config_free(config);
        break;
    case OPTIONS_PRINT:
        break;
    case OPTIONS_ERROR:
        if (strchr(error->message, '\n')) /* one line, always */
            __builtin_trap();
        break;
    }
    trace_mask = 0;
    return 0;
}

FUZZ_MAIN(2000, 400)
