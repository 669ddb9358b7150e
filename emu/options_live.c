/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Words of options that come while the machine runs (netdev_add, device_add, object_add, chardev-add): read
 * by the handlers of the command line into a configuration of their own, from which the one new thing is
 * taken. Whether it fits to what is there already is the machine's to find out.
 */
#include "emu/options_internal.h"

#include <string.h>

typedef bool read_fn(struct options *o, const char *arg, GError **error);

/* What `read` added to the list at `offset` in the configuration; NULL with an error. */
static void *read_one(read_fn *read, size_t offset, const char *words, GError **error)
{
    struct options o = {.config = machine_config_new()};
    void *thing = NULL;
    GPtrArray *list = *(GPtrArray **)(void *)((char *)o.config + offset);
    if (read(&o, words, error)) {
        if (o.print)
            option_fail(error, "help is printed by the command line: netlab-emu with the same words");
        else if (list->len != 1)
            option_fail(error, "'%s' cannot be added while the machine runs", words);
        else
            thing = g_ptr_array_steal_index(list, 0);
    }
    if (o.print)
        g_string_free(o.print, TRUE);
    options_free_memory(&o);
    options_free_secrets(&o);
    machine_config_free(o.config);
    return thing;
}

static struct machine_netdev *read_netdev(const char *words, GError **error)
{
    return read_one(option_netdev, offsetof(struct machine_config, netdevs), words, error);
}

static struct machine_nic *read_nic(const char *words, GError **error)
{
    g_autofree char *word = option_first_word(words);
    const char *driver = g_str_has_prefix(word, "driver=") ? word + strlen("driver=") : word;
    if (!g_str_equal(driver, "e1000")) {
        option_fail(error, "'%s' cannot be plugged while the machine runs; e1000 can", driver);
        return NULL;
    }
    return read_one(option_device, offsetof(struct machine_config, nics), words, error);
}

static struct machine_capture *read_capture(const char *words, GError **error)
{
    return read_one(option_object, offsetof(struct machine_config, captures), words, error);
}

static struct machine_chardev *read_chardev(const char *words, GError **error)
{
    return read_one(option_chardev, offsetof(struct machine_config, chardevs), words, error);
}

static struct machine_drive *read_blockdev(const char *words, const GPtrArray *nodes, GError **error)
{
    struct options o = {.config = machine_config_new()};
    struct machine_drive *node = NULL;
    GPtrArray *list = o.config->drives;
    for (guint i = 0; i < nodes->len; i++)
        options_add_node(&o, nodes->pdata[i]);
    if (option_blockdev(&o, words, error)) {
        if (o.print)
            option_fail(error, "help is printed by the command line: netlab-emu -blockdev help");
        else
            node = g_ptr_array_steal_index(list, list->len - 1);
        if (node && list->len > nodes->len)
            node->inner = g_ptr_array_steal_index(list, list->len - 1);
    }
    if (o.print)
        g_string_free(o.print, TRUE);
    machine_config_free(o.config);
    return node;
}

static struct machine_monitor *read_gdb(const char *words, GError **error)
{
    return read_one(option_gdb, offsetof(struct machine_config, monitors), words, error);
}

const struct machine_words options_words = {.gdb = read_gdb,
                                            .boot = options_boot_letters,
                                            .netdev = read_netdev,
                                            .nic = read_nic,
                                            .capture = read_capture,
                                            .chardev = read_chardev,
                                            .blockdev = read_blockdev,
                                            .device_name = options_ask_device,
                                            .device_key = options_ask_device_key,
                                            .option_name = options_ask_option,
                                            .option_key = options_ask_option_key};
