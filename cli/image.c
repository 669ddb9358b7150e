/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab image build|list|rm`.
 */
#include "cli/cli.h"
#include "netlab/image.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    {"name", 0, "NAME", "build: what the image is called (otherwise like its recipe)"},
    {"refresh", 0, NULL, "build: anew, although it is there and up to date"},
    {"quiet", 'q', NULL, "print errors only"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

static void show_progress(void *opaque, const char *step, const char *text)
{
    const struct cli_call *call = opaque;
    if (cli_flag(call, "quiet"))
        return;
    printf("%-10s %s\n", step, text);
    fflush(stdout);
}

static int build(struct cli_call *call)
{
    const char *recipe = cli_argument(call, 1);
    g_autoptr(GError) error = NULL;
    if (!recipe) {
        g_autoptr(GString) recipes = g_string_new(NULL);
        image_recipes_describe(recipes);
        return cli_misuse(call, "build what? There is:\n%s", recipes->str);
    }
    struct image_build_options build_options = {.name = cli_value(call, "name"),
                                                .refresh = cli_flag(call, "refresh"),
                                                .progress = show_progress,
                                                .opaque = call};
    bool changed = true;
    if (!image_build(recipe, &build_options, &changed, &error))
        return cli_fail(error);
    const char *name = build_options.name ? build_options.name : recipe;
    if (!cli_flag(call, "quiet"))
        printf(changed ? "image %s is built\n" : "image %s is up to date\n", name);
    return CLI_OK;
}

static void print_table(GPtrArray *images)
{
    static const char *const header[] = {"IMAGE", "KERNEL", "MEMORY", "SIZE", "BUILT", "DESCRIPTION", NULL};
    if (!images->len) {
        printf("there are no images; make one with `netlab image build mini`\n");
        return;
    }
    struct cli_table *table = cli_table_new(header);
    for (guint i = 0; i < images->len; i++) {
        const struct image *image = images->pdata[i];
        g_autofree char *memory = g_strdup_printf("%u MiB", image->memory);
        g_autofree char *size = g_strdup_printf("%.1f MiB", (double)image->size / (1 << 20));
        const char *cells[] = {image->name,
                               image->kernel_release ? image->kernel_release : "-",
                               memory,
                               size,
                               image->built ? image->built : "-",
                               image->description ? image->description : "",
                               NULL};
        cli_table_add(table, cells);
    }
    cli_table_print(table);
}

static void print_json(GPtrArray *images)
{
    JsonArray *out = json_array_new();
    for (guint i = 0; i < images->len; i++) {
        const struct image *image = images->pdata[i];
        JsonObject *item = json_object_new();
        json_object_set_string_member(item, "name", image->name);
        json_object_set_string_member(item, "folder", image->folder);
        json_object_set_string_member(item, "kernel", image->kernel);
        json_object_set_string_member(item, "initrd", image->initrd);
        json_object_set_string_member(item, "append", image->append);
        json_object_set_string_member(item, "kernel_release", image->kernel_release);
        json_object_set_string_member(item, "description", image->description);
        json_object_set_string_member(item, "built", image->built);
        json_object_set_int_member(item, "memory_mib", image->memory);
        json_object_set_int_member(item, "least_memory_mib", image->least_memory);
        json_object_set_int_member(item, "size", (gint64)image->size);
        json_array_add_object_element(out, item);
    }
    JsonNode *node = json_node_alloc();
    json_node_take_array(json_node_init(node, JSON_NODE_ARRAY), out);
    cli_print_json(node);
}

static int list(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) images = image_list(&error);
    if (!images)
        return cli_fail(error);
    if (cli_flag(call, "json"))
        print_json(images);
    else
        print_table(images);
    return CLI_OK;
}

static int rm(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    if (!cli_argument(call, 1))
        return cli_misuse(call, "rm which image? See `netlab image list`");
    if (!image_remove(cli_argument(call, 1), &error))
        return cli_fail(error);
    if (!cli_flag(call, "quiet"))
        printf("image %s is removed\n", cli_argument(call, 1));
    return CLI_OK;
}

static int run(struct cli_call *call)
{
    static const struct {
        const char *name;
        int (*run)(struct cli_call *call);
    } actions[] = {{"build", build}, {"list", list}, {"rm", rm}};
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) {
        if (g_str_equal(cli_argument(call, 0), actions[i].name))
            return actions[i].run(call);
    }
    return cli_misuse(call, "there is no \"image %s\"; there are build, list and rm", cli_argument(call, 0));
}

const struct cli_verb verb_image = {
    .name = "image",
    .arguments = "build RECIPE | list | rm NAME",
    .summary = "make, list and remove guest images",
    .description = "An image is a kernel, an initial file system and their settings under one name, which "
                   "`image:` in a topology refers to. "
                   "`netlab image build mini` makes the small one from Debian's packages; it needs no root.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .least = 1,
    .most = 2,
    .run = run,
};
