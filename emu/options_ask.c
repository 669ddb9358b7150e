/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the command line takes, for programs that ask a machine (query-command-line-options,
 * device-list-properties): told from the tables that options are read by.
 */
#include "emu/options_internal.h"

static const struct {
    const char *option;
    const struct keyval_table *table;
} tables[] = {
    {"machine", &option_machine_table},
    {"accel", &option_accel_table},
    {"smp-opts", &option_smp_table},
    {"memory", &option_memory_table},
    {"boot-opts", &option_boot_table},
    {"action", &option_action_table},
    {"fw_cfg", &option_fw_cfg_table},
    {"realtime", &option_realtime_table},
    {"overcommit", &option_overcommit_table},
    {"msg", &option_msg_table},
    {"name", &option_name_table},
    {"add-fd", &option_add_fd_table},
    {"sandbox", &option_sandbox_table},
    {"acpi", &option_acpi_table},
    {"mon", &option_mon_table},
    {"vnc", &option_vnc_table},
    {"drive", &option_drive_table},
};

/* QEMU's names of the groups, where they are not the options'. */
static const struct {
    const char *option, *group;
} groups[] = {{"smp", "smp-opts"}, {"m", "memory"}, {"boot", "boot-opts"}, {"acpitable", "acpi"}};

static bool tell(const struct keyval_table *table, unsigned index, struct machine_key *out)
{
    static const char *const types[] = {
        [KEYVAL_STRING] = "string", [KEYVAL_NAME] = "string",   [KEYVAL_PATH] = "string",
        [KEYVAL_BOOL] = "boolean",  [KEYVAL_NUMBER] = "number", [KEYVAL_SIZE] = "size",
        [KEYVAL_CHOICE] = "string", [KEYVAL_MAC] = "string",    [KEYVAL_LIST] = "string",
        [KEYVAL_LATER] = NULL,
    };
    for (size_t i = 0; table && i < table->count; i++) {
        const struct keyval_row *row = &table->rows[i];
        if (!types[row->type] || index--)
            continue;
        *out = (struct machine_key){.name = row->key, .type = types[row->type], .help = row->help};
        return true;
    }
    return false;
}

const char *options_ask_device(unsigned index)
{
    return option_device_name(index);
}

bool options_ask_device_key(const char *device, unsigned index, struct machine_key *out)
{
    const struct keyval_table *memory = option_memory_backend_table(device);
    if (g_str_equal(device, "secret"))
        return tell(&option_secret_table, index, out);
    return tell(memory ? memory : option_device_table(device), index, out);
}

const char *options_ask_option(unsigned index)
{
    const char *name = option_row_name(index);
    for (size_t i = 0; name && i < G_N_ELEMENTS(groups); i++)
        if (g_str_equal(groups[i].option, name))
            return groups[i].group;
    return name;
}

bool options_ask_option_key(const char *option, unsigned index, struct machine_key *out)
{
    for (size_t i = 0; i < G_N_ELEMENTS(tables); i++)
        if (g_str_equal(tables[i].option, option))
            return tell(tables[i].table, index, out);
    return false;
}
