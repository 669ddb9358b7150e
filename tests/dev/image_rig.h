/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Images in a temporary folder, requests without a thread, random ones held against a model in memory, and
 * qemu-img as judge where it is installed.
 */
#pragma once

#include "emu/block/backend.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

struct rig {
    char *folder;
};

static inline void set_up(struct rig *r, gconstpointer data)
{
    r->folder = g_dir_make_tmp("netlab-block-XXXXXX", NULL);
}

static inline void tear_down(struct rig *r, gconstpointer data)
{
    GDir *folder = g_dir_open(r->folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(folder));) {
        g_autofree char *path = g_build_filename(r->folder, name, NULL);
        g_unlink(path);
    }
    g_dir_close(folder);
    g_rmdir(r->folder);
    g_free(r->folder);
}

/* A file of the folder; the name is the caller's. */
static inline char *make(struct rig *r, const char *name, const void *data, size_t len)
{
    char *path = g_build_filename(r->folder, name, NULL);
    g_assert_true(g_file_set_contents(path, data, (gssize)len, NULL));
    return path;
}

static inline void store_error(void *opaque, int error)
{
    *(int *)opaque = error;
}

static inline int run(struct block *block, enum block_op op, uint64_t offset, void *buf, uint32_t len)
{
    int error = -1;
    struct block_request request = {
        .op = op, .offset = offset, .len = len, .buf = buf, .done = store_error, .opaque = &error};
    block_submit(block, &request);
    return error;
}

static inline struct block *open_image(const char *path, struct block_config config)
{
    g_autoptr(GError) error = NULL;
    config.id = "test";
    config.file = path;
    struct block *block = block_new(&config, NULL, &error);
    g_assert_no_error(error);
    return block;
}

static inline void refused(const char *path, struct block_config config, const char *says)
{
    g_autoptr(GError) error = NULL;
    config.id = "test";
    config.file = path;
    g_assert_null(block_new(&config, NULL, &error));
    if (!strstr(error->message, says) || !strstr(error->message, path) || strchr(error->message, '\n'))
        g_error("%s: \"%s\" does not say \"%s\"", path, error->message, says);
}

static inline bool judge(const char *first, ...)
{
    GPtrArray *argv = g_ptr_array_new();
    va_list words;
    va_start(words, first);
    for (const char *word = first; word; word = va_arg(words, const char *))
        g_ptr_array_add(argv, (gpointer)word);
    va_end(words);
    g_ptr_array_add(argv, NULL);
    g_autofree char *out = NULL, *err = NULL;
    g_autofree char *program = g_find_program_in_path(first);
    int status = 0;
    bool good = true;
    if (program) {
        g_assert_true(g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out,
                                   &err, &status, NULL));
        good = g_spawn_check_wait_status(status, NULL);
        if (!good)
            g_test_message("%s %s: %s%s", first, (char *)argv->pdata[1], out, err);
    }
    g_ptr_array_free(argv, TRUE);
    return good;
}

enum { MODEL_SIZE = 4 << 20 };

/* Random reads, writes and discards; the image must always read as the model. */
static inline void exercise(struct block *b, uint8_t *model, unsigned rounds, guint32 seed)
{
    GRand *random = g_rand_new_with_seed(seed);
    g_autofree uint8_t *buf = g_malloc(256 << 10);
    for (unsigned i = 0; i < rounds; i++) {
        uint32_t len = (uint32_t)g_rand_int_range(random, 1, g_rand_boolean(random) ? 16 : 512) * 512;
        uint64_t offset = (uint64_t)g_rand_int_range(random, 0, (gint32)(MODEL_SIZE - len) / 512 + 1) * 512;
        switch (g_rand_int_range(random, 0, 8)) {
        case 0:
        case 1:
        case 2:
            for (uint32_t k = 0; k < len; k += 4)
                memcpy(buf + k, &(uint32_t){g_rand_int(random)}, 4);
            memcpy(model + offset, buf, len);
            g_assert_cmpint(run(b, BLOCK_WRITE, offset, buf, len), ==, 0);
            break;
        case 3:
            g_assert_cmpint(run(b, BLOCK_FLUSH, 0, NULL, 0), ==, 0);
            break;
        default:
            g_assert_cmpint(run(b, BLOCK_READ, offset, buf, len), ==, 0);
            g_assert_true(memcmp(buf, model + offset, len) == 0);
        }
    }
    g_rand_free(random);
}

static inline void same_as(struct block *b, const uint8_t *model)
{
    g_autofree uint8_t *buf = g_malloc(MODEL_SIZE);
    for (uint32_t at = 0; at < MODEL_SIZE; at += 1 << 20)
        g_assert_cmpint(run(b, BLOCK_READ, at, buf + at, 1 << 20), ==, 0);
    g_assert_true(memcmp(buf, model, MODEL_SIZE) == 0);
}

static inline uint8_t *random_bytes(size_t len, guint32 seed)
{
    GRand *random = g_rand_new_with_seed(seed);
    uint8_t *data = g_malloc(len);
    for (size_t i = 0; i < len; i += 4)
        memcpy(data + i, &(uint32_t){g_rand_int(random)}, 4);
    g_rand_free(random);
    return data;
}
