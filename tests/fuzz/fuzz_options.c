/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes the command line: each line of the input is a word of argv. What begins with a bracket is a
 * configuration file instead.
 */
#include "emu/options.h"
#include "emu/trace.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz_main.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    int fd = size && data[0] == '[' ? memfd_create("config", MFD_CLOEXEC) : -1;
    g_autofree char *config_line = g_strdup_printf("-kernel\nk\n-readconfig\n/proc/self/fd/%d", fd);
    if (fd >= 0 && write(fd, data, size) != (ssize_t)size)
        __builtin_trap();
    g_auto(GStrv) words = g_strsplit(fd >= 0 ? config_line : text, "\n", 64);
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
    if (fd >= 0)
        close(fd);
    trace_mask = 0;
    return 0;
}

FUZZ_MAIN(2000, 400)
