/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * main() of a fuzz target without libFuzzer: replays the files and folders named, then FUZZ_ROUNDS made-up
 * inputs (the same ones each time). With libFuzzer there is nothing here.
 */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef NETLAB_LIBFUZZER
#define FUZZ_MAIN(rounds, largest)
#else
static inline void fuzz_replay(const char *path)
{
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *data = NULL;
    gsize length;

    if (folder) {
        for (const char *name; (name = g_dir_read_name(folder));) {
            g_autofree char *file = g_build_filename(path, name, NULL);

            fuzz_replay(file);
        }
        return;
    }
    if (!g_file_get_contents(path, &data, &length, &error)) {
        g_printerr("%s\n", error->message);
        exit(1);
    }
    LLVMFuzzerTestOneInput((const uint8_t *)data, length);
}

static inline int fuzz_main(int argc, char **argv, unsigned rounds, unsigned largest)
{
    const char *wanted = getenv("FUZZ_ROUNDS");
    GRand *random = g_rand_new_with_seed(0x1686);
    g_autofree uint8_t *data = g_malloc(largest + 4);

    for (int i = 1; i < argc; i++)
        fuzz_replay(argv[i]);
    if (wanted)
        rounds = (unsigned)strtoul(wanted, NULL, 0);
    for (unsigned round = 0; round < rounds; round++) {
        size_t size = (size_t)g_rand_int_range(random, 1, (gint32)largest);

        for (size_t i = 0; i < size; i += 4) {
            uint32_t word = g_rand_int(random);

            memcpy(data + i, &word, 4);
        }
        LLVMFuzzerTestOneInput(data, size);
    }
    g_rand_free(random);
    return 0;
}
#define FUZZ_MAIN(rounds, largest)                                                                           \
    int main(int argc, char **argv)                                                                          \
    {                                                                                                        \
        return fuzz_main(argc, argv, rounds, largest);                                                       \
    }
#endif
