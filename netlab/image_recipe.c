/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Recipes: small text files that say what is in an image.
 *
 * One `key: value` a line; lines that begin with blanks belong to the key above them; '#' at the beginning of
 * a line is a comment. Keys are rows of a table. Our own recipes (recipes/, compiled in) and people's are
 * read by the same code, and every complaint has its line and column.
 */
#include "netlab/caller.h"
#include "netlab/image_internal.h"

#include "netlab/recipes.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_BYTES = 1 << 20, MOST_MEMORY_MIB = 65536, DEFAULT_MEMORY_MIB = 96, MOST_COPY = 64 << 20 };

struct reader {
    struct recipe *recipe;
    const char *shown; /* the file's name in messages */
    unsigned line;     /* of the key that is being read */
    unsigned column;   /* of its value */
};

static bool complain(const struct reader *r, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
static bool complain(const struct reader *r, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_RECIPE, "%s:%u:%u: %s", r->shown, r->line, r->column, what);
    return false;
}

void recipe_free(struct recipe *recipe)
{
    if (!recipe)
        return;
    g_free(recipe->name);
    g_free(recipe->description);
    g_free(recipe->kernel);
    g_free(recipe->text);
    GPtrArray *lists[] = {recipe->packages, recipe->without, recipe->leave_out,
                          recipe->modules,  recipe->links,   recipe->users,
                          recipe->groups,   recipe->files,   recipe->start};
    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++)
        g_ptr_array_unref(lists[i]);
    g_free(recipe);
}

static void user_free(gpointer data)
{
    struct recipe_user *user = data;
    g_free(user->name);
    g_free(user->home);
    g_free(user);
}

static void pair_free(gpointer data)
{
    struct recipe_file *file = data;
    g_free(file->path);
    g_free(file->target);
    if (file->data)
        g_bytes_unref(file->data);
    g_free(file);
}

static struct recipe *recipe_new(void)
{
    struct recipe *recipe = g_new0(struct recipe, 1);
    GPtrArray **texts[] = {&recipe->packages, &recipe->without, &recipe->leave_out, &recipe->modules,
                           &recipe->start};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        *texts[i] = g_ptr_array_new_with_free_func(g_free);
    recipe->links = g_ptr_array_new_with_free_func(pair_free);
    recipe->files = g_ptr_array_new_with_free_func(pair_free);
    recipe->groups = g_ptr_array_new_with_free_func(user_free);
    recipe->users = g_ptr_array_new_with_free_func(user_free);
    return recipe;
}

/* An absolute path in the image without "..", given without its first slash; NULL: none. */
static const char *image_path(const char *path)
{
    if (path[0] != '/' || !path[1] || strstr(path, "//") || strstr(path, "/../") || strstr(path, "/./") ||
        g_str_has_suffix(path, "/..") || g_str_has_suffix(path, "/"))
        return NULL;
    return path + 1;
}

typedef bool key_reader(struct reader *r, const char *value, const char *block, GPtrArray *list,
                        GError **error);

static bool read_name(struct reader *r, const char *value, const char *block, GPtrArray *list, GError **error)
{
    g_autoptr(GError) why = NULL;
    if (!image_name_check(value, &why))
        return complain(r, error, "%s", why->message);
    g_free(r->recipe->name);
    r->recipe->name = g_strdup(value);
    return true;
}

static bool read_description(struct reader *r, const char *value, const char *block, GPtrArray *list,
                             GError **error)
{
    g_free(r->recipe->description);
    r->recipe->description = g_strdup(value);
    return true;
}

static bool is_package(const char *word)
{
    return g_ascii_isalnum(word[0]) &&
           strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == strlen(word);
}

static bool read_kernel(struct reader *r, const char *value, const char *block, GPtrArray *list,
                        GError **error)
{
    if (!is_package(value) || !g_str_has_prefix(value, "linux-image-"))
        return complain(r, error, "\"%s\" is no kernel package; write linux-image-686 or linux-image-686-pae",
                        value);
    g_free(r->recipe->kernel);
    r->recipe->kernel = g_strdup(value);
    return true;
}

static bool read_root(struct reader *r, const char *value, const char *block, GPtrArray *list, GError **error)
{
    if (!g_str_equal(value, "disk") && !g_str_equal(value, "memory"))
        return complain(
            r, error,
            "\"%s\" is no place for the root file system; write \"disk\" (read from a shared image) or "
            "\"memory\" (unpacked at start)",
            value);
    r->recipe->on_disk = g_str_equal(value, "disk");
    return true;
}

static bool read_amount(struct reader *r, const char *value, unsigned *out, GError **error)
{
    char *end;
    guint64 number = g_ascii_isdigit(value[0]) ? g_ascii_strtoull(value, &end, 10) : 0;
    if (!number || (*end && g_ascii_strcasecmp(end, "M") != 0) || number > MOST_MEMORY_MIB || number < 8)
        return complain(r, error, "\"%s\" is no amount of memory; write it like 96M (8M to %dM)", value,
                        MOST_MEMORY_MIB);
    *out = (unsigned)number;
    return true;
}

static bool read_memory(struct reader *r, const char *value, const char *block, GPtrArray *list,
                        GError **error)
{
    return read_amount(r, value, &r->recipe->memory, error);
}

static bool read_least(struct reader *r, const char *value, const char *block, GPtrArray *list,
                       GError **error)
{
    return read_amount(r, value, &r->recipe->least_memory, error);
}

static GStrv words_of(const char *value, const char *block)
{
    g_autofree char *all = g_strconcat(value, " ", block, NULL);
    g_auto(GStrv) split = g_strsplit_set(all, " \t\n", -1);
    g_autoptr(GStrvBuilder) words = g_strv_builder_new();
    for (char **word = split; *word; word++)
        if (**word)
            g_strv_builder_add(words, *word);
    return g_strv_builder_end(words);
}

static bool read_packages(struct reader *r, const char *value, const char *block, GPtrArray *list,
                          GError **error)
{
    g_auto(GStrv) words = words_of(value, block);
    for (char **word = words; *word; word++) {
        if (!is_package(*word))
            return complain(r, error,
                            "\"%s\" is no name of a Debian package; write names with blanks between them",
                            *word);
        g_ptr_array_add(list, g_strdup(*word));
    }
    return true;
}

static bool read_words(struct reader *r, const char *value, const char *block, GPtrArray *list,
                       GError **error)
{
    g_auto(GStrv) words = words_of(value, block);
    for (char **word = words; *word; word++)
        g_ptr_array_add(list, g_strdup(*word));
    return true;
}

static bool read_paths(struct reader *r, const char *value, const char *block, GPtrArray *list,
                       GError **error)
{
    g_auto(GStrv) words = words_of(value, block);
    for (char **word = words; *word; word++) {
        if (!image_path(*word))
            return complain(r, error, "\"%s\" is no path in the image; write it like /usr/share/doc", *word);
        g_ptr_array_add(list, g_strdup(image_path(*word)));
    }
    return true;
}

static bool read_link(struct reader *r, const char *value, const char *block, GPtrArray *list, GError **error)
{
    g_auto(GStrv) words = words_of(value, block);
    if (g_strv_length(words) != 2 || !image_path(words[0]))
        return complain(r, error, "a link is \"/path target\", like \"link: /bin/sh dash\"");
    struct recipe_file *link = g_new0(struct recipe_file, 1);
    link->path = g_strdup(image_path(words[0]));
    link->target = g_strdup(words[1]);
    g_ptr_array_add(list, link);
    return true;
}

static bool read_mode(struct reader *r, const char *text, unsigned *mode, GError **error)
{
    char *end;
    guint64 value = g_ascii_strtoull(text, &end, 8);
    if (!g_ascii_isdigit(text[0]) || *end || value > 07777)
        return complain(r, error, "\"%s\" is no file mode; write it like 0644 or 0755", text);
    *mode = (unsigned)value;
    return true;
}

static bool read_file(struct reader *r, const char *value, const char *block, GPtrArray *list, GError **error)
{
    g_auto(GStrv) words = words_of(value, "");
    guint count = g_strv_length(words);
    unsigned mode = 0644;
    if (count < 1 || count > 2 || !image_path(words[0]))
        return complain(r, error, "a file is \"/path [mode]\" and its text, indented, in the lines below");
    if (count == 2 && !read_mode(r, words[1], &mode, error))
        return false;
    struct recipe_file *file = g_new0(struct recipe_file, 1);
    file->path = g_strdup(image_path(words[0]));
    file->mode = mode;
    file->data = g_bytes_new(block, strlen(block));
    g_ptr_array_add(list, file);
    return true;
}

static bool read_copy(struct reader *r, const char *value, const char *block, GPtrArray *list, GError **error)
{
    g_auto(GStrv) words = words_of(value, "");
    guint count = g_strv_length(words);
    unsigned mode = 0644;
    if (count < 2 || count > 3 || !image_path(words[1]))
        return complain(r, error, "a copy is \"FILE /path [mode]\"; FILE stands beside the recipe");
    if (count == 3 && !read_mode(r, words[2], &mode, error))
        return false;
    g_autofree char *folder = g_path_get_dirname(r->shown);
    g_autofree char *from =
        g_path_is_absolute(words[0]) ? g_strdup(words[0]) : g_build_filename(folder, words[0], NULL);
    g_autofree char *data = NULL;
    gsize size;
    struct stat found;
    g_autoptr(GError) why = NULL;
    if (stat(from, &found) == 0 && (!S_ISREG(found.st_mode) || found.st_size > MOST_COPY))
        return complain(r, error, "%s is no file of at most %d MiB; name one that is", from, MOST_COPY >> 20);
    if (!caller_get_contents(from, &data, &size, &why))
        return complain(r, error, "%s; correct the path (it is relative to the recipe)", why->message);
    struct recipe_file *file = g_new0(struct recipe_file, 1);
    file->path = g_strdup(image_path(words[1]));
    file->mode = mode;
    file->data = g_bytes_new_take(g_steal_pointer(&data), size);
    g_ptr_array_add(list, file);
    return true;
}

static bool read_user(struct reader *r, const char *value, const char *block, GPtrArray *list, GError **error)
{
    g_auto(GStrv) words = words_of(value, "");
    guint count = g_strv_length(words);
    char *end;
    guint64 uid = count > 1 ? g_ascii_strtoull(words[1], &end, 10) : 0;
    if (count < 2 || count > 3 || uid < 1 || uid > 65533 || *end || strchr(words[0], ':') ||
        (count == 3 && (words[2][0] != '/' || strchr(words[2], ':'))))
        return complain(r, error, "a user is \"NAME UID [/home]\", like \"user: www-data 33 /var/www\"");
    struct recipe_user *user = g_new0(struct recipe_user, 1);
    user->name = g_strdup(words[0]);
    user->uid = (unsigned)uid;
    user->home = g_strdup(count == 3 ? words[2] : "/nonexistent");
    g_ptr_array_add(list, user);
    return true;
}

static bool read_group(struct reader *r, const char *value, const char *block, GPtrArray *list,
                       GError **error)
{
    g_auto(GStrv) words = words_of(value, "");
    guint count = g_strv_length(words);
    char *end;
    guint64 gid = count > 1 ? g_ascii_strtoull(words[1], &end, 10) : 0;
    if (count < 2 || gid < 1 || gid > 65533 || *end || strchr(value, ':'))
        return complain(r, error, "a group is \"NAME GID [members…]\", like \"group: frrvty 93 frr\"");
    struct recipe_user *group = g_new0(struct recipe_user, 1);
    group->name = g_strdup(words[0]);
    group->uid = (unsigned)gid;
    group->home = g_strjoinv(",", words + 2);
    g_ptr_array_add(list, group);
    return true;
}

static bool read_start(struct reader *r, const char *value, const char *block, GPtrArray *list,
                       GError **error)
{
    g_autofree char *command = *block ? g_strconcat(value, *value ? "\n" : "", block, NULL) : g_strdup(value);
    g_ptr_array_add(list, g_strdup(g_strchomp(command)));
    return true;
}

#define LIST(field) offsetof(struct recipe, field)
static const struct {
    const char *name;
    key_reader *read;
    size_t list;
    bool takes_block, may_be_empty;
} keys[] = {
    {"name", read_name, 0, false, false},
    {"description", read_description, 0, false, false},
    {"kernel", read_kernel, 0, false, false},
    {"root", read_root, 0, false, false},
    {"memory", read_memory, 0, false, false},
    {"least-memory", read_least, 0, false, false},
    {"packages", read_packages, LIST(packages), true, true},
    {"without", read_words, LIST(without), true, true},
    {"leave-out", read_paths, LIST(leave_out), true, true},
    {"modules", read_words, LIST(modules), true, true},
    {"link", read_link, LIST(links), false, false},
    {"user", read_user, LIST(users), false, false},
    {"group", read_group, LIST(groups), false, false},
    {"file", read_file, LIST(files), true, false},
    {"copy", read_copy, LIST(files), false, false},
    {"start", read_start, LIST(start), true, true},
};

/* The lines below a key, without the indentation of the first of them. */
static char *take_block(char **lines, unsigned *next)
{
    GString *block = g_string_new(NULL);
    size_t indent = 0;
    unsigned blank = 0;
    for (; lines[*next]; ++*next) {
        const char *line = lines[*next];
        size_t width = strspn(line, " \t");
        if (!line[width]) {
            blank++;
            continue;
        }
        if (!width)
            break;
        if (!indent)
            indent = width;
        for (; blank; blank--)
            if (block->len)
                g_string_append_c(block, '\n');
        g_string_append_printf(block, "%s\n", line + MIN(width, indent));
    }
    return g_string_free(block, FALSE);
}

static bool read_line(struct reader *r, char **lines, unsigned *next, GError **error)
{
    char *line = lines[*next];
    r->line = ++*next;
    r->column = 1;
    g_strchomp(line);
    if (!*line || *line == '#')
        return true;
    const char *colon = strchr(line, ':');
    if (g_ascii_isspace(*line))
        return complain(r, error, "an indented line that belongs to no key; begin keys at the left");
    if (!colon)
        return complain(r, error,
                        "not a setting; write \"key: value\", text below a key indented, # before comments");
    g_autofree char *name = g_strndup(line, (gsize)(colon - line));
    const char *value = colon + 1 + strspn(colon + 1, " \t");
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (!g_str_equal(keys[i].name, name))
            continue;
        unsigned below = *next;
        g_autofree char *block = take_block(lines, &below);
        r->column = (unsigned)(value - line) + 1;
        if (*block && !keys[i].takes_block)
            return complain(r, error, "\"%s\" takes one line; remove the indented lines below it", name);
        if (!*value && !*block && !(keys[i].may_be_empty && keys[i].takes_block))
            return complain(r, error, "\"%s\" has no value", name);
        *next = below;
        GPtrArray *list = keys[i].list ? *(GPtrArray **)((char *)r->recipe + keys[i].list) : NULL;
        return keys[i].read(r, value, block, list, error);
    }
    g_autoptr(GString) known = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        g_string_append_printf(known, "%s%s", i ? ", " : "", keys[i].name);
    return complain(r, error, "unknown key \"%s\"; the keys are: %s", name, known->str);
}

struct recipe *recipe_parse(const char *shown, const char *text, gsize length, GError **error)
{
    struct reader r = {.recipe = recipe_new(), .shown = shown, .line = 1, .column = 1};
    struct recipe *recipe = r.recipe;
    recipe->text = g_strndup(text, length);
    g_auto(GStrv) lines = g_strsplit(recipe->text, "\n", -1);
    unsigned next = 0;
    bool good = true;
    if (strlen(recipe->text) != length || !g_utf8_validate(text, (gssize)length, NULL))
        good = complain(&r, error, "not a text file; a recipe is plain UTF-8 text");
    while (good && lines[next])
        good = read_line(&r, lines, &next, error);
    r.line = good ? 1 : r.line;
    r.column = 1;
    if (good && !recipe->name)
        good = complain(&r, error, "the recipe has no name; add a line like \"name: my-host\"");
    if (good && !recipe->kernel)
        recipe->kernel = g_strdup("linux-image-686");
    if (!recipe->memory)
        recipe->memory = MAX(DEFAULT_MEMORY_MIB, recipe->least_memory);
    if (!recipe->least_memory)
        recipe->least_memory = MIN(recipe->memory, recipe->on_disk ? 64 : DEFAULT_MEMORY_MIB);
    if (good && recipe->least_memory > recipe->memory)
        good = complain(&r, error, "\"least-memory\" is more than \"memory\"; exchange them");
    if (!recipe->description)
        recipe->description = g_strdup("");
    if (good)
        return recipe;
    recipe_free(recipe);
    return NULL;
}

static const char *built_in(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(recipe_texts); i++)
        if (g_str_equal(recipe_texts[i].name, name))
            return recipe_texts[i].text;
    return NULL;
}

bool image_recipe_exists(const char *name)
{
    return built_in(name) != NULL;
}

char *image_recipe_text(const char *name, GError **error)
{
    const char *text = built_in(name);
    if (text)
        return g_strdup(text);
    g_autoptr(GString) known = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(recipe_texts); i++)
        g_string_append_printf(known, "%s%s", i ? ", " : "", recipe_texts[i].name);
    g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_UNKNOWN,
                "no recipe for an image '%s'; there are: %s (or name a file of your own: ./my.recipe)", name,
                known->str);
    return NULL;
}

struct recipe *recipe_load(const char *name, GError **error)
{
    if (!strchr(name, '/') && !g_str_has_suffix(name, ".recipe")) {
        g_autofree char *text = image_recipe_text(name, error);
        return text ? recipe_parse(name, text, strlen(text), error) : NULL;
    }
    struct stat found;
    g_autofree char *text = NULL;
    gsize length;
    g_autoptr(GError) why = NULL;
    if (stat(name, &found) == 0 && (!S_ISREG(found.st_mode) || found.st_size > MOST_BYTES)) {
        g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_RECIPE, "%s is no recipe: a text file of at most 1 MiB",
                    name);
        return NULL;
    }
    if (!caller_get_contents(name, &text, &length, &why)) {
        g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_RECIPE, "reading the recipe: %s", why->message);
        return NULL;
    }
    return recipe_parse(name, text, length, error);
}

void image_recipes_describe(GString *out)
{
    for (size_t i = 0; i < G_N_ELEMENTS(recipe_texts); i++) {
        struct recipe *recipe =
            recipe_parse(recipe_texts[i].name, recipe_texts[i].text, strlen(recipe_texts[i].text), NULL);
        if (recipe)
            g_string_append_printf(out, "%-10s %s\n", recipe->name, recipe->description);
        recipe_free(recipe);
    }
}
