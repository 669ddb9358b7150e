/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab image build|import|list|recipe|verify|rm`.
 */
#include "cli/cli.h"
#include "netlab/image.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    {"name", 0, "NAME", "build: what the image is called (otherwise like its recipe)"},
    {"refresh", 0, NULL, "build: anew, although it is there and up to date"},
    {"kernel", 0, "FILE", "import: a Linux kernel"},
    {"initrd", 0, "FILE", "import: the kernel's initial RAM disk"},
    {"append", 0, "WORDS", "import: the kernel's command line"},
    {"memory", 'm', "MIB", "import: memory of a node that does not say (256)"},
    {"description", 0, "TEXT", "import: for `image list`"},
    {"agent", 0, NULL, "import: the guest runs a guest agent on its second serial port"},
    {"cloud-init", 0, NULL, "import: the guest has cloud-init, which gets a seed from netlab"},
    {"replace", 0, NULL, "import: in place of an image of that name"},
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
    g_autofree char *name = NULL;
    if (!image_build(recipe, &build_options, &name, &changed, &error))
        return cli_fail(error);
    if (!cli_flag(call, "quiet"))
        printf("image %s is %s; use it with `image: %s`\n", name, changed ? "built" : "up to date", name);
    return CLI_OK;
}

/* "3 min", "5 h", "12 days" since an ISO 8601 time. */
static char *age_of(const char *built)
{
    g_autoptr(GDateTime) then = built ? g_date_time_new_from_iso8601(built, NULL) : NULL;
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    gint64 s = then ? g_date_time_difference(now, then) / G_TIME_SPAN_SECOND : -1;
    if (s < 0)
        return g_strdup("-");
    if (s < 60)
        return g_strdup("now");
    if (s < 3600)
        return g_strdup_printf("%d min", (int)(s / 60));
    if (s < 2 * 86400)
        return g_strdup_printf("%d h", (int)(s / 3600));
    return g_strdup_printf("%d days", (int)(s / 86400));
}

/* The text in lines of at most `width` columns, cut at blanks; a longer word stays whole. */
static char *wrapped(const char *text, glong width)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    GString *out = g_string_new(NULL);
    glong column = 0;
    for (guint i = 0; words[i]; i++) {
        glong length = g_utf8_strlen(words[i], -1);
        bool fits = column + 1 + length <= width;
        if (i)
            g_string_append_c(out, fits ? ' ' : '\n');
        g_string_append(out, words[i]);
        column = i && fits ? column + 1 + length : length;
    }
    return g_string_free(out, FALSE);
}

static struct cli_table *make_table(GPtrArray *images, glong description)
{
    static const char *const header[] = {"IMAGE", "ID", "MEMORY", "SIZE", "AGE", "DESCRIPTION", NULL};
    struct cli_table *table = cli_table_new(header);
    for (guint i = 0; i < images->len; i++) {
        const struct image *image = images->pdata[i];
        g_autofree char *memory = g_strdup_printf("%uM", image->memory);
        g_autofree char *size = g_strdup_printf("%.1f MiB", (double)image->size / (1 << 20));
        g_autofree char *age = age_of(image->built);
        g_autofree char *id = *image->id ? g_strndup(image->id, 12) : g_strdup("-");
        g_autofree char *text = wrapped(image->description ? image->description : "", description);
        const char *cells[] = {image->name, id, memory, size, age, text, NULL};
        cli_table_add(table, cells);
    }
    return table;
}

static void print_table(GPtrArray *images)
{
    if (!images->len) {
        printf("there are no images; make one with `netlab image build mini`\n");
        return;
    }
    /* What does not fit on the terminal is in the descriptions: they get what the others leave. */
    struct cli_table *table = make_table(images, G_MAXINT);
    glong width = cli_terminal_width();
    for (glong description = 60; description >= 20 && cli_table_width(table) > width; description--) {
        cli_table_free(table);
        table = make_table(images, description);
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
        json_object_set_string_member(item, "disk", image->disk);
        json_object_set_string_member(item, "cdrom", image->cdrom);
        json_object_set_string_member(item, "id", image->id);
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

static int import(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    unsigned memory = 0;
    if (!cli_argument(call, 1))
        return cli_misuse(call,
                          "import under which name? Like: netlab image import tinycore Core-current.iso");
    if (!cli_number(call, "memory", 1, 65536, &memory))
        return CLI_USAGE;
    const char *files[] = {cli_argument(call, 2), cli_argument(call, 2) ? cli_argument(call, 3) : NULL, NULL};
    const struct image_import_options import_options = {.name = cli_argument(call, 1),
                                                        .files = files,
                                                        .kernel = cli_value(call, "kernel"),
                                                        .initrd = cli_value(call, "initrd"),
                                                        .append = cli_value(call, "append"),
                                                        .description = cli_value(call, "description"),
                                                        .memory = memory,
                                                        .agent = cli_flag(call, "agent"),
                                                        .cloud_init = cli_flag(call, "cloud-init"),
                                                        .replace = cli_flag(call, "replace"),
                                                        .progress = show_progress,
                                                        .opaque = call};
    if (!image_import(&import_options, &error))
        return cli_fail(error);
    if (!cli_flag(call, "quiet"))
        printf("image %s is there; use it with `image: %s`\n", import_options.name, import_options.name);
    return CLI_OK;
}

static int recipe(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    if (!cli_argument(call, 1)) {
        g_autoptr(GString) recipes = g_string_new(NULL);
        image_recipes_describe(recipes);
        printf("%s", recipes->str);
        return CLI_OK;
    }
    g_autofree char *text = image_recipe_text(cli_argument(call, 1), &error);
    if (!text)
        return cli_fail(error);
    printf("%s", text);
    return CLI_OK;
}

static int verify(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) images = NULL;
    if (cli_argument(call, 1)) {
        struct image *one = image_find(cli_argument(call, 1), &error);
        if (!one)
            return cli_fail(error);
        images = g_ptr_array_new_with_free_func((GDestroyNotify)image_free);
        g_ptr_array_add(images, one);
    } else if (!(images = image_list(&error))) {
        return cli_fail(error);
    }
    int status = CLI_OK;
    for (guint i = 0; i < images->len; i++) {
        const struct image *image = images->pdata[i];
        g_autoptr(GError) why = NULL;
        if (!image_verify(image, &why))
            status = cli_fail(why);
        else if (!cli_flag(call, "quiet"))
            printf("image %s is as it was built (%.12s)\n", image->name, image->id);
    }
    return status;
}

static int rm(struct cli_call *call)
{
    if (!cli_argument(call, 1))
        return cli_misuse(call, "rm which image? See `netlab image list`");
    int status = CLI_OK;
    for (guint i = 1; i < call->arguments->len; i++) {
        g_autoptr(GError) error = NULL;
        if (!image_remove(cli_argument(call, i), &error))
            status = cli_fail(error);
        else if (!cli_flag(call, "quiet"))
            printf("image %s is removed\n", cli_argument(call, i));
    }
    return status;
}

static int run(struct cli_call *call)
{
    static const struct {
        const char *name;
        int (*run)(struct cli_call *call);
        guint most; /* arguments after its name */
    } actions[] = {{"build", build, 1},   {"import", import, 3}, {"list", list, 0},
                   {"recipe", recipe, 1}, {"verify", verify, 1}, {"rm", rm, G_MAXUINT - 1}};
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) {
        if (!g_str_equal(cli_argument(call, 0), actions[i].name))
            continue;
        if (call->arguments->len > actions[i].most + 1)
            return cli_misuse(call, "%s: \"%s\" is one argument too many", actions[i].name,
                              cli_argument(call, actions[i].most + 1));
        return actions[i].run(call);
    }
    return cli_misuse(call, "there is no \"image %s\"; there are build, import, list, recipe, verify and rm",
                      cli_argument(call, 0));
}

const struct cli_verb verb_image = {
    .name = "image",
    .arguments = "build RECIPE | import NAME [FILE…] | list | recipe [NAME] | verify [NAME] | rm NAME…",
    .summary = "make, import, list and remove guest images",
    .description = "An image is a kernel, an initial file system and their settings under one name, which "
                   "`image:` in a topology refers to. "
                   "`netlab image build mini` makes the small one from Debian's packages; it needs no root. "
                   "RECIPE is one of ours (`netlab image recipe` lists them) or a file, ./my.recipe. "
                   "`import` takes an ISO, a raw "
                   "or qcow2 disk, or a kernel of your own.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .least = 1,
    .most = -1,
    .examples =
        CLI_EXAMPLES({"netlab image build mini", "the small image"}, {"netlab image list", "what there is"},
                     {"netlab image import desktop disk.qcow2", "a disk of one's own"}),
    .files = CLI_FILE_IMAGES | CLI_FILE_CACHE,
    .run = run,
};
