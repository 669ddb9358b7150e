/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * -object memory-backend-ram and memory-backend-file: guest RAM as an object that -machine memory-backend=
 * names, which comes to the same as -mem-path and -mem-prealloc. Programs that write command lines for QEMU
 * say it so.
 */
#include "emu/options_internal.h"

#include <string.h>

enum { BACKENDS_MOST = 16 };

struct option_memory {
    char *id, *path; /* path NULL: no file */
    uint64_t size;
    bool prealloc, shared;
};

#define ROWS_OF_ALL                                                                                          \
    {"qom-type", KEYVAL_STRING}, {"id", KEYVAL_NAME, .help = "what -machine memory-backend= calls it"},      \
        {"size", KEYVAL_SIZE, .help = "as -m says it"},                                                      \
        {"prealloc", KEYVAL_BOOL, .help = "all of it from the start"}, {"share", KEYVAL_BOOL},               \
        {"merge", KEYVAL_BOOL}, {"dump", KEYVAL_BOOL},                                                       \
    {                                                                                                        \
        "x-use-canonical-path-for-ramblock-id", KEYVAL_BOOL                                                  \
    }
static const struct keyval_row ram_rows[] = {ROWS_OF_ALL};
static const struct keyval_row file_rows[] = {
    ROWS_OF_ALL,
    {"mem-path", KEYVAL_PATH, .help = "a folder, or a file, as for -mem-path"},
    {"discard-data", KEYVAL_BOOL},
    {"align", KEYVAL_SIZE},
    {"pmem", KEYVAL_CHOICE, "off"},
    {"readonly", KEYVAL_CHOICE, "off"},
};
static const struct {
    const char *type;
    struct keyval_table table;
} kinds[] = {{"memory-backend-ram", {"", ram_rows, G_N_ELEMENTS(ram_rows), "qom-type"}},
             {"memory-backend-file", {"", file_rows, G_N_ELEMENTS(file_rows), "qom-type"}}};

const struct keyval_table *option_memory_backend_table(const char *type)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (g_str_equal(kinds[i].type, type))
            return &kinds[i].table;
    return NULL;
}

static void memory_free(void *data)
{
    struct option_memory *memory = data;
    g_free(memory->id);
    g_free(memory->path);
    g_free(memory);
}

static const struct option_memory *find(const struct options *o, const char *id)
{
    for (guint i = 0; o->memories && i < o->memories->len; i++)
        if (g_str_equal(((const struct option_memory *)o->memories->pdata[i])->id, id))
            return o->memories->pdata[i];
    return NULL;
}

bool option_memory_backend(struct options *o, const char *type, const char *arg, GError **error)
{
    const struct keyval_table *table = option_memory_backend_table(type);
    KEYVAL_AUTO struct keyval *kv = keyval_parse(table, arg, error);
    if (!kv || !keyval_require(kv, "id", error) || !keyval_require(kv, "size", error) ||
        (table->rows == file_rows && !keyval_require(kv, "mem-path", error)))
        return false;
    const char *id = keyval_string(kv, "id", NULL);
    if (find(o, id))
        return option_fail(error, "id=%s is taken by another -object", id);
    if (!o->memories)
        o->memories = g_ptr_array_new_with_free_func(memory_free);
    if (o->memories->len == BACKENDS_MOST)
        return option_fail(error, "more than %d memory backends", BACKENDS_MOST);
    struct option_memory *memory = g_new0(struct option_memory, 1);
    *memory = (struct option_memory){.id = g_strdup(id),
                                     .size = keyval_number(kv, "size", 0),
                                     .prealloc = keyval_bool(kv, "prealloc", false),
                                     .shared = keyval_bool(kv, "share", false)};
    if (table->rows == file_rows)
        memory->path = g_strdup(keyval_string(kv, "mem-path", NULL));
    g_ptr_array_add(o->memories, memory);
    return true;
}

bool options_finish_memory(struct options *o, GError **error)
{
    if (!o->memory_backend)
        return true;
    const struct option_memory *memory = find(o, o->memory_backend);
    if (!memory)
        return option_fail(error,
                           "-machine memory-backend=%s: there is no -object memory-backend-ram or "
                           "memory-backend-file with that id",
                           o->memory_backend);
    if (o->has_memory && memory->size != o->config->ram_size)
        return option_fail(error, "-m and -object %s,size= differ: leave -m out, or say the same",
                           o->memory_backend);
    if (!o->has_memory) {
        g_autofree char *mib = g_strdup_printf("%" G_GUINT64_FORMAT, memory->size >> 20);
        if (memory->size % (1 << 20))
            return option_fail(error, "-object %s,size=: wanted whole MiB", o->memory_backend);
        if (!option_memory(o, mib, error))
            return false;
    }
    o->config->mem_prealloc |= memory->prealloc;
    if (memory->path) {
        g_free(o->config->mem_path);
        o->config->mem_path = g_strdup(memory->path);
        o->config->mem_apart = !memory->shared;
    }
    return true;
}

void options_free_memory(struct options *o)
{
    if (o->memories)
        g_ptr_array_free(o->memories, TRUE);
    g_free(o->memory_backend);
}
