/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A machine's configuration: its defaults and its end. options.c fills it in, pc.c builds from it.
 */
#include "emu/machine/machine.h"

#include "emu/cpu/cpu.h"

static void free_spec(void *data)
{
    struct char_spec *spec = data;
    if (spec)
        char_spec_clear(spec);
    g_free(spec);
}

void machine_chardev_free(void *data)
{
    struct machine_chardev *chardev = data;
    if (!chardev)
        return;
    char_spec_clear(&chardev->spec);
    g_free(chardev->id);
    g_free(chardev);
}

void machine_monitor_free(void *data)
{
    struct machine_monitor *monitor = data;
    if (!monitor)
        return;
    char_spec_clear(&monitor->spec);
    g_free(monitor);
}

void machine_netdev_free(void *data)
{
    struct machine_netdev *netdev = data;
    if (!netdev)
        return;
    keyval_free(netdev->words);
    g_free(netdev->rows);
    g_free(netdev->id);
    g_free(netdev);
}

void machine_capture_free(void *data)
{
    struct machine_capture *capture = data;
    if (!capture)
        return;
    g_free(capture->id);
    g_free(capture->netdev);
    g_free(capture->file);
    g_free(capture->socket);
    g_free(capture);
}

void machine_nic_free(void *data)
{
    struct machine_nic *nic = data;
    if (!nic)
        return;
    g_free(nic->id);
    g_free(nic->netdev);
    g_free(nic->romfile);
    g_free(nic->impair_out);
    g_free(nic->impair_in);
    g_free(nic);
}

static void free_fwcfg(void *data)
{
    struct machine_fwcfg *file = data;
    g_free(file->name);
    g_free(file->string);
    g_free(file->file);
    g_free(file);
}

void machine_drive_free(void *data)
{
    struct machine_drive *drive = data;
    if (!drive)
        return;
    g_free(drive->id);
    g_free(drive->qdev);
    g_free(drive->below);
    g_free(drive->backing);
    g_free(drive->driver);
    block_below_free(drive->chain);
    machine_drive_free(drive->inner);
    g_free(drive->file);
    g_free(drive->serial);
    g_free(drive->model);
    g_free(drive->throttle_group);
    g_free(drive->version);
    g_free(drive);
}

static void free_debug_exit(void *data)
{
    struct machine_debug_exit *exit_port = data;
    g_free(exit_port->id);
    g_free(exit_port);
}

static void free_debugcon(void *data)
{
    struct machine_debugcon *console = data;
    char_spec_clear(&console->spec);
    g_free(console->id);
    g_free(console);
}

static void free_parallel(void *data)
{
    struct machine_parallel *parallel = data;
    char_spec_clear(&parallel->spec);
    g_free(parallel->id);
    g_free(parallel);
}

static void free_watchdog(void *data)
{
    struct machine_watchdog *dog = data;
    g_free(dog->id);
    g_free(dog);
}

static void free_vnc(void *data)
{
    struct machine_vnc *vnc = data;
    g_free(vnc->where);
    g_free(vnc->secret);
    g_free(vnc);
}

static void free_acpi_table(void *data)
{
    struct machine_acpi_table *table = data;
    g_free(table->files);
    g_free(table->signature);
    g_free(table->oem_id);
    g_free(table->oem_table_id);
    g_free(table->compiler_id);
    g_free(table);
}

static void free_passed_fd(void *data)
{
    struct machine_passed_fd *passed = data;
    g_free(passed->opaque);
    g_free(passed);
}

struct machine_config *machine_config_new(void)
{
    struct machine_config *config = g_new0(struct machine_config, 1);
    config->ram_size = UINT64_C(128) << 20;
    config->engine = MACHINE_ENGINE_JIT;
    config->acpi = config->mptable = config->vmport = true;
    config->escape_key = 1;
    config->sandbox = (struct sandbox){.elevate = true, .spawn = true, .resource_control = true};
    config->rtc.base = RTC_BASE_UTC;
    config->search_path = g_ptr_array_new_with_free_func(g_free);
    config->vga_memory = 16 << 20;
    config->vga_slot = -1;
    config->acpi_tables = g_ptr_array_new_with_free_func(free_acpi_table);
    config->smbios_files = g_ptr_array_new_with_free_func(g_free);
    config->vga_width = 1280;
    config->vga_height = 800;
    config->vncs = g_ptr_array_new_with_free_func(free_vnc);
    config->serials = g_ptr_array_new_with_free_func(free_spec);
    config->chardevs = g_ptr_array_new_with_free_func(machine_chardev_free);
    config->monitors = g_ptr_array_new_with_free_func(machine_monitor_free);
    config->netdevs = g_ptr_array_new_with_free_func(machine_netdev_free);
    config->nics = g_ptr_array_new_with_free_func(machine_nic_free);
    config->boot_splash_time = config->boot_fail_wait = -1;
    config->option_roms = g_ptr_array_new_with_free_func(g_free);
    config->drives = g_ptr_array_new_with_free_func(machine_drive_free);
    config->captures = g_ptr_array_new_with_free_func(machine_capture_free);
    config->fwcfg = g_ptr_array_new_with_free_func(free_fwcfg);
    config->debug_exits = g_ptr_array_new_with_free_func(free_debug_exit);
    config->debugcons = g_ptr_array_new_with_free_func(free_debugcon);
    config->parallels = g_ptr_array_new_with_free_func(free_parallel);
    config->watchdogs = g_ptr_array_new_with_free_func(free_watchdog);
    config->passed_fds = g_ptr_array_new_with_free_func(free_passed_fd);
    config->notes = g_ptr_array_new_with_free_func(g_free);
    return config;
}

void machine_config_free(struct machine_config *config)
{
    if (!config)
        return;
    char *strings[] = {config->name,        config->incoming,    config->loadvm,      config->kernel,
                       config->append,      config->bios,        config->initrd,      config->pidfile,
                       config->trace_file,  config->run_as,      config->keyboard,    config->config_file,
                       config->config_text, config->boot_splash, config->chroot,      config->state_file,
                       config->mem_path,    config->vga_id,      config->process_name};
    for (unsigned i = 0; i < G_N_ELEMENTS(strings); i++)
        g_free(strings[i]);
    for (unsigned i = 0; i < SMBIOS_TEXTS; i++)
        g_free(config->smbios.text[i]);
    g_ptr_array_free(config->acpi_tables, TRUE);
    g_ptr_array_free(config->smbios_files, TRUE);
    GPtrArray *lists[] = {config->search_path, config->serials,  config->chardevs,  config->monitors,
                          config->netdevs,     config->nics,     config->fwcfg,     config->debug_exits,
                          config->debugcons,   config->notes,    config->vncs,      config->drives,
                          config->option_roms, config->captures, config->parallels, config->watchdogs,
                          config->passed_fds};
    for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++)
        g_ptr_array_free(lists[i], TRUE);
    cpu_model_free(config->cpu);
    g_free(config);
}
