/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes image recipes: whatever the bytes, there is a recipe with a usable name, or one complaint with its
 * place.
 */
#include "netlab/image_internal.h"

#include <string.h>

#include "tests/fuzz/fuzz_main.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    struct recipe *recipe = recipe_parse("r", (const char *)data, size, &error);
    if ((recipe != NULL) == (error != NULL))
        __builtin_trap();
    if (error && !g_str_has_prefix(error->message, "r:"))
        __builtin_trap();
    for (guint i = 0; recipe && i < recipe->files->len; i++) {
        const struct recipe_file *file = recipe->files->pdata[i];
        if (file->path[0] == '/' || strstr(file->path, "/../") || !file->data)
            __builtin_trap();
    }
    if (recipe && (!image_name_check(recipe->name, NULL) || recipe->least_memory > recipe->memory))
        __builtin_trap();
    recipe_free(recipe);
    return 0;
}

FUZZ_MAIN(500, 200)
