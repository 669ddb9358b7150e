/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * -global: defaults for every device of a driver.
 *
 * They are gathered before any option is looked at, so their place on the command line does not matter. A
 * -device gets them as words before its own, so what it says itself counts more; devices that other options
 * make (-nic, -hda, -vga, -debugcon) ask for them with option_globals(). As with QEMU one that does not fit
 * the driver it is for is an error where such a device is made, and one that no device has taken is noted.
 */
#include "emu/options_internal.h"

#include <gio/gio.h>
#include <string.h>

enum { GLOBALS_MOST = 256 };

struct option_global {
    char *driver, *property, *value;
    bool used;
};

/* Chips that are always there and of which nothing can be set; recipes set what is the case anyway. */
static const char *const board_drivers[] = {
    "PIIX3",   "PIIX4_PM",       "cpu",         "fw_cfg",    "fw_cfg_io", "hpet",
    "i440FX",  "i440FX-pcihost", "i8042",       "ioapic",    "isa-fdc",   "isa-pit",
    "kvm-pit", "kvmclock",       "mc146818rtc", "migration", "piix3-ide", "port92",
};

static void free_global(void *data)
{
    struct option_global *global = data;
    g_free(global->driver);
    g_free(global->property);
    g_free(global->value);
    g_free(global);
}

static const struct keyval_row global_rows[] = {
    {"driver", KEYVAL_PATH, .help = "name of the device, as -device help has it"},
    {"property", KEYVAL_PATH, .help = "one of its keys"},
    {"value", KEYVAL_STRING, .help = "what it is unless a -device says otherwise"},
};
static const struct keyval_table global_table = {"", global_rows, G_N_ELEMENTS(global_rows), NULL};

static const char *usual_name(const char *driver)
{
    return g_str_equal(driver, "e1000-82540em") ? "e1000" : driver;
}

/* PIIX4_PM.disable_s3 and disable_s4: true when it was one of them, with a value that can be read. */
static bool sleep_state(struct options *o, const struct option_global *global)
{
    static const char *const words[2][4] = {{"0", "off", "no", "false"}, {"1", "on", "yes", "true"}};
    bool s3 = g_str_equal(global->property, "disable_s3");
    if (!g_str_equal(global->driver, "PIIX4_PM") || (!s3 && !g_str_equal(global->property, "disable_s4")))
        return false;
    for (unsigned i = 0; i < 8; i++) {
        if (!g_str_equal(global->value, words[i / 4][i % 4]))
            continue;
        *(s3 ? &o->config->no_suspend : &o->config->no_hibernate) = i >= 4;
        return true;
    }
    return false;
}

bool option_global_add(struct options *o, const char *arg, GError **error)
{
    struct option_global global = {0};
    const char *equals = strchr(arg, '=');
    const char *dot = equals ? memchr(arg, '.', (size_t)(equals - arg)) : NULL;
    if (o->globals && o->globals->len >= GLOBALS_MOST)
        return option_fail(error, "more than %d of them", GLOBALS_MOST);
    if (dot && dot > arg && equals > dot + 1) {
        global.driver = g_strndup(arg, (gsize)(dot - arg));
        global.property = g_strndup(dot + 1, (gsize)(equals - dot - 1));
        global.value = g_strdup(equals + 1);
    } else if (equals) {
        KEYVAL_AUTO struct keyval *kv = keyval_parse(&global_table, arg, error);
        if (!kv || !keyval_require(kv, "driver", error) || !keyval_require(kv, "property", error) ||
            !keyval_require(kv, "value", error))
            return false;
        global.driver = g_strdup(keyval_string(kv, "driver", ""));
        global.property = g_strdup(keyval_string(kv, "property", ""));
        global.value = g_strdup(keyval_string(kv, "value", ""));
    } else {
        return option_fail(error, "wanted: DRIVER.PROPERTY=VALUE, as in e1000.mac=52:54:00:12:34:56");
    }
    if (!o->globals)
        o->globals = g_ptr_array_new_with_free_func(free_global);
    global.used = sleep_state(o, &global);
    char *driver = g_strdup(usual_name(global.driver));
    g_free(global.driver);
    global.driver = driver;
    g_ptr_array_add(o->globals, g_memdup2(&global, sizeof global));
    return true;
}

/* Appends the defaults of a driver to `words`, each of which is checked by itself. */
static bool gather(struct options *o, const struct keyval_table *table, const char *driver, GString *words,
                   GError **error)
{
    for (guint i = 0; o->globals && i < o->globals->len; i++) {
        struct option_global *global = o->globals->pdata[i];
        if (!g_str_equal(global->driver, driver))
            continue;
        g_autoptr(GString) alone = g_string_new(driver);
        bool reserved = g_str_equal(global->property, "id") || g_str_equal(global->property, "driver");
        if (!reserved)
            keyval_append(alone, global->property, global->value);
        KEYVAL_AUTO struct keyval *kv = reserved ? NULL : keyval_parse(table, alone->str, error);
        if (reserved)
            option_fail(error, "%s= belongs to one device: give it with -device", global->property);
        if (!kv) {
            g_prefix_error(error, "-global %s.%s=%s: ", global->driver, global->property, global->value);
            return false;
        }
        keyval_append(words, global->property, global->value);
        global->used = true;
    }
    return true;
}

char *option_global_merge(struct options *o, const struct keyval_table *table, const char *driver,
                          const char *words, GError **error)
{
    g_autoptr(GString) all = g_string_new(driver);
    if (!gather(o, table, driver, all, error))
        return NULL;
    g_string_append(all, words);
    return g_strdup(all->str);
}

struct keyval *option_globals(struct options *o, const char *driver, GError **error)
{
    const struct keyval_table *table = option_device_table(driver);
    g_autofree char *words = option_global_merge(o, table, driver, "", error);
    return words ? keyval_parse(table, words, error) : NULL;
}

void options_finish_globals(struct options *o)
{
    for (guint i = 0; o->globals && i < o->globals->len; i++) {
        const struct option_global *global = o->globals->pdata[i];
        if (global->used)
            continue;
        const char *driver = global->driver, *why;
        g_autofree char *suggestion = NULL;
        bool board = false;
        for (size_t k = 0; k < G_N_ELEMENTS(board_drivers); k++)
            board |= g_str_equal(board_drivers[k], driver);
        if (option_device_table(driver))
            why = "this machine has no such device";
        else if (board || g_str_has_suffix(driver, "-cpu"))
            why = "nothing can be set there";
        else if (option_device_later(driver))
            why = "the device is QEMU's and not in netlab-emu";
        else
            why = suggestion = option_device_suggestion(driver);
        option_note(o, "-global %s.%s=%s is not used: %s%s", driver, global->property, global->value,
                    why == suggestion ? "no device has that name" : "", why);
    }
}

void options_free_globals(struct options *o)
{
    if (o->globals)
        g_ptr_array_free(o->globals, TRUE);
}
