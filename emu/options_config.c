/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Configuration files (-readconfig, -writeconfig) and -set.
 *
 *   [device "n0"]            ≡  -device e1000,id=n0,netdev=u
 *     driver = "e1000"
 *     netdev = "u"
 *
 * A section is one use of the option that its group stands for; it is put where -readconfig stands among the
 * others, and everything that is said about it is said with the file and line of its heading. Nothing but the
 * form is checked here: the words are the option's. A line is a heading, `key = "value"`, empty, or begins
 * with '#'.
 *
 * -set GROUP.ID.KEY=VALUE adds a word to a use that was given before it; the last of a key counts.
 * Writing goes the other way. Options that no group stands for are named in comments, so that who reads the
 * file knows what to say beside it.
 */
#include "emu/fdset.h"
#include "emu/options_internal.h"

#include <gio/gio.h>
#include <string.h>

enum { FILE_MOST = 1 << 20, SECTIONS_MOST = 4096 };

/* ---- groups ---- */

static const struct group {
    const char *name, *option;
    const char *implied; /* the key of a first word that has none */
    bool leads;          /* that key must be the first word */
    bool whole;          /* the option has no keys: what it takes is the value of `implied` */
} groups[] = {
    {"accel", "accel", "accel", false},
    {"acpi", "acpitable", NULL, false},
    {"action", "action", NULL, false},
    {"add-fd", "add-fd", NULL, false},
    {"boot-opts", "boot", "order", false},
    {"chardev", "chardev", "backend", true},
    {"device", "device", "driver", true},
    {"drive", "drive", "file", false},
    {"fw_cfg", "fw_cfg", "name", false},
    {"global", "global", NULL, false},
    {"icount", "icount", "shift", false},
    {"machine", "machine", "type", false},
    {"memory", "m", "size", false},
    {"mon", "mon", "chardev", false},
    {"msg", "msg", "timestamp", false},
    {"name", "name", "guest", false},
    {"net", "net", "type", true},
    {"netdev", "netdev", "type", true},
    {"nic", "nic", "type", true},
    {"object", "object", "qom-type", true},
    {"option-rom", "option-rom", "romfile", true, true},
    {"overcommit", "overcommit", NULL, false},
    {"realtime", "realtime", NULL, false},
    {"rtc", "rtc", NULL, false},
    {"sandbox", "sandbox", "enable", false},
    {"smbios", "smbios", NULL, false},
    {"smp-opts", "smp", "cpus", false},
    {"trace", "trace", "enable", true, true},
    {"vnc", "vnc", "vnc", false},
};

/* Options that are other options with something filled in. */
static const struct {
    const char *option, *group, *key, *more;
} shorthands[] = {
    {"hda", "drive", "file", "index=0,media=disk"},
    {"hdb", "drive", "file", "index=1,media=disk"},
    {"hdc", "drive", "file", "index=2,media=disk"},
    {"hdd", "drive", "file", "index=3,media=disk"},
    {"cdrom", "drive", "file", "index=2,media=cdrom"},
    {"fda", "drive", "file", "if=floppy,index=0"},
    {"fdb", "drive", "file", "if=floppy,index=1"},
    {"kernel", "machine", "kernel", NULL},
    {"initrd", "machine", "initrd", NULL},
    {"append", "machine", "append", NULL},
    {"bios", "machine", "firmware", NULL},
    {"no-acpi", "machine", NULL, "acpi=off"},
};

static const struct group *find_group(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++)
        if (g_str_equal(groups[i].name, name))
            return &groups[i];
    return NULL;
}

static bool unknown_group(const char *name, GError **error)
{
    const char *names[G_N_ELEMENTS(groups)];
    g_autoptr(GString) list = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++) {
        names[i] = groups[i].name;
        g_string_append_printf(list, "%s%s", i ? ", " : "", names[i]);
    }
    g_autofree char *suggestion = keyval_suggestion(name, names, G_N_ELEMENTS(names));
    if (*suggestion)
        return option_fail(error, "no group '%s'%s", name, suggestion);
    return option_fail(error, "no group '%s' (there are: %s)", name, list->str);
}

/* ---- reading ---- */

static bool is_key(const char *text)
{
    if (!*text || strlen(text) > 63)
        return false;
    for (; *text; text++)
        if (!g_ascii_isalnum(*text) && !strchr("-._", *text))
            return false;
    return true;
}

struct section {
    const struct group *group;
    GString *first, *words; /* of the key that leads, and the others */
    unsigned line;
};

static void end_section(struct options *o, struct section *section, const char *path)
{
    if (!section->group)
        return;
    g_autofree char *where = g_strdup_printf("%s:%u", path, section->line);
    g_autofree char *arg =
        g_strdup_printf("%s%s%s", section->first->str, section->first->len && section->words->len ? "," : "",
                        section->words->str);
    option_use_add(o, option_find(section->group->option), section->group->option, arg, where);
}

/* `[group]` or `[group "id"]`; `text` is what is between the brackets. */
static bool begin_section(struct section *section, char *text, GError **error)
{
    char *id = strchr(text, '"');
    if (id) {
        char *end = strchr(id + 1, '"');
        if (!end || end[1 + strspn(end + 1, " \t")])
            return option_fail(error, "a heading is [group] or [group \"id\"]");
        *end = 0;
        *id++ = 0;
    }
    g_strstrip(text);
    section->group = find_group(text);
    if (!section->group)
        return unknown_group(text, error);
    g_string_truncate(section->first, 0);
    g_string_truncate(section->words, 0);
    if (id)
        keyval_append(section->words, "id", id);
    return true;
}

static bool take_pair(struct section *section, char *line, GError **error)
{
    char *equals = strchr(line, '=');
    if (!equals)
        return option_fail(error,
                           "a line is key = \"value\", a heading [group \"id\"], or a comment after #");
    if (!section->group)
        return option_fail(error, "a key before the first heading; begin with one like [machine]");
    *equals = 0;
    g_strstrip(line);
    char *value = g_strstrip(equals + 1);
    size_t len = strlen(value);
    if (!is_key(line))
        return option_fail(error, "'%s' is no key (letters, digits, '-', '.' and '_')", line);
    if (len < 2 || value[0] != '"' || value[len - 1] != '"' || memchr(value + 1, '"', len - 2))
        return option_fail(error, "the value of %s must be in double quotes, and have none in it", line);
    value[len - 1] = 0;
    value++;
    if (section->group->leads && g_str_equal(line, section->group->implied)) {
        g_string_truncate(section->first, 0);
        if (strchr(value, ',') && !section->group->whole)
            return option_fail(error, "%s = \"%s\": a comma does not fit there", line, value);
        /* What an option is about stands without its key where the option itself looks at it. */
        g_string_append(section->first, value);
    } else {
        keyval_append(section->words, line, value);
    }
    return true;
}

bool option_read_config(struct options *o, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize size = 0;
    g_autoptr(GError) why = NULL;
    if (!*path)
        return option_fail(error, "needs the name of a file");
    if (!fdset_get_contents(path, &text, &size, &why))
        return option_fail(error, "%s", why->message);
    if (size > FILE_MOST)
        return option_fail(error, "the file has more than %d bytes: it is no configuration", FILE_MOST);
    if (memchr(text, 0, size) || !g_utf8_validate(text, (gssize)size, NULL))
        return option_fail(error, "the file is no text (UTF-8)");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(GString) first = g_string_new(NULL), words = g_string_new(NULL);
    struct section section = {.first = first, .words = words};
    unsigned sections = 0;
    for (unsigned i = 0; lines[i]; i++) {
        char *line = g_strstrip(lines[i]);
        size_t len = strlen(line);
        bool good = true;
        if (*line == '[') {
            end_section(o, &section, path);
            section.line = i + 1;
            if (line[len - 1] != ']')
                good = option_fail(error, "the heading has no ']' at its end");
            else if (++sections > SECTIONS_MOST)
                good = option_fail(error, "more than %d sections", SECTIONS_MOST);
            else {
                line[len - 1] = 0;
                good = begin_section(&section, line + 1, error);
            }
        } else if (*line && *line != '#') {
            good = take_pair(&section, line, error);
        }
        if (!good) {
            g_prefix_error(error, "%s:%u: ", path, i + 1);
            return false;
        }
    }
    end_section(o, &section, path);
    return true;
}

/* ---- -set ---- */

/* The value of a key in an option's words; the last one. */
static char *word_value(const char *arg, const char *key)
{
    g_autoptr(GPtrArray) words = keyval_split(arg);
    size_t len = strlen(key);
    for (guint i = words->len; i-- > 0;) {
        const char *word = words->pdata[i];
        if (g_str_has_prefix(word, key) && word[len] == '=')
            return g_strdup(word + len + 1);
    }
    return NULL;
}

bool option_set(struct options *o, const char *arg, GError **error)
{
    const char *equals = strchr(arg, '=');
    g_autofree char *left = g_strndup(arg, equals ? (gsize)(equals - arg) : 0);
    g_auto(GStrv) parts = g_strsplit(left, ".", 3);
    if (g_strv_length(parts) != 3 || !is_key(parts[0]) || !is_key(parts[1]) || !is_key(parts[2]))
        return option_fail(error, "wanted: GROUP.ID.KEY=VALUE, as in -set drive.d0.file=/path/to/image");
    const struct group *group = find_group(parts[0]);
    if (!group)
        return unknown_group(parts[0], error);
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
    for (guint i = o->uses->len; i-- > 0;) {
        struct option_use *use = o->uses->pdata[i];
        if (!g_str_equal(use->row->name, group->option) || !use->arg)
            continue;
        char *id = word_value(use->arg, "id");
        if (!id)
            continue;
        g_ptr_array_add(ids, id);
        if (!g_str_equal(id, parts[1]))
            continue;
        g_autoptr(GString) words = g_string_new(use->arg);
        keyval_append(words, parts[2], equals + 1);
        g_free(use->arg);
        use->arg = g_strdup(words->str);
        return true;
    }
    g_autofree char *suggestion = keyval_suggestion(parts[1], (const char *const *)ids->pdata, ids->len);
    return option_fail(error, "there is no -%s with id=%s before it%s", group->option, parts[1], suggestion);
}

/* ---- writing ---- */

static bool write_pair(GString *out, const char *option, const char *key, const char *value, GError **error)
{
    if (strpbrk(value, "\"\n"))
        return option_fail(error,
                           "-%s: %s has a quote or a line break in it, which a configuration file cannot; "
                           "leave -writeconfig out, or the option",
                           option, key);
    g_string_append_printf(out, "  %s = \"%s\"\n", key, value);
    return true;
}

/* A word as key and value: "wait=off", "nowait", and for the first one "e1000". */
static bool write_word(GString *out, const struct group *group, const char *word, bool first, GError **error)
{
    static const char *const no_negations[] = {"nodelay", "non-adaptive", NULL};
    const char *equals = strchr(word, '=');
    if (equals) {
        g_autofree char *key = g_strndup(word, (gsize)(equals - word));
        return g_str_equal(key, "id") || write_pair(out, group->option, key, equals + 1, error);
    }
    if (first && group->implied)
        return write_pair(out, group->option, group->implied, word, error);
    if (g_str_has_prefix(word, "no") && !g_strv_contains(no_negations, word))
        return write_pair(out, group->option, word + 2, "off", error);
    return !*word || write_pair(out, group->option, word, "on", error);
}

static bool write_words(GString *out, const struct group *group, const char *arg, GError **error)
{
    g_autoptr(GPtrArray) words = keyval_split(arg);
    g_autofree char *id = group->whole ? NULL : word_value(arg, "id");
    g_string_append_printf(out, id ? "\n[%s \"%s\"]\n" : "\n[%s]\n", group->name, id);
    if (group->whole)
        return write_pair(out, group->option, group->implied, arg, error);
    for (guint i = 0; i < words->len; i++)
        if (!write_word(out, group, words->pdata[i], i == 0, error))
            return false;
    return true;
}

static bool write_global(GString *out, const char *arg, GError **error)
{
    const char *dot = strchr(arg, '.'), *equals = strchr(arg, '=');
    if (!dot || !equals || dot > equals)
        return write_words(out, find_group("global"), arg, error);
    g_autofree char *driver = g_strndup(arg, (gsize)(dot - arg));
    g_autofree char *property = g_strndup(dot + 1, (gsize)(equals - dot - 1));
    g_string_append(out, "\n[global]\n");
    return write_pair(out, "global", "driver", driver, error) &&
           write_pair(out, "global", "property", property, error) &&
           write_pair(out, "global", "value", equals + 1, error);
}

static bool write_use(GString *out, const struct option_use *use, GError **error)
{
    const char *option = use->row->name;
    if (g_str_equal(option, "global"))
        return write_global(out, use->arg, error);
    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++)
        if (g_str_equal(groups[i].option, option))
            return write_words(out, &groups[i], use->arg, error);
    for (size_t i = 0; i < G_N_ELEMENTS(shorthands); i++) {
        if (!g_str_equal(shorthands[i].option, option))
            continue;
        g_autoptr(GString) words = g_string_new(shorthands[i].more);
        if (shorthands[i].key)
            keyval_append(words, shorthands[i].key, use->arg);
        return write_words(out, find_group(shorthands[i].group), words->str, error);
    }
    g_autofree char *line =
        g_strdup_printf("-%s%s%s", use->name, use->arg ? " " : "", use->arg ? use->arg : "");
    g_strdelimit(line, "\n", ' ');
    g_string_append_printf(out, "\n# beside this file: %s\n", line);
    return true;
}

bool options_write_config(const struct options *o, GString *out, GError **error)
{
    g_string_append(out, "# netlab-emu configuration: netlab-emu -readconfig FILE\n");
    for (guint i = 0; i < o->uses->len; i++)
        if (!write_use(out, o->uses->pdata[i], error))
            return false;
    return true;
}
