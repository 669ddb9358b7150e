/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What `info` shows without asking the board: what the control room knows itself, and what a machine of this
 * kind always is. The rest is described by machine/operate.c.
 */
#include "emu/control/control_internal.h"

#include <string.h>
#include <unistd.h>

typedef void info_fn(struct control *control, char **words, GString *out);

static void info_status(struct control *control, char **words, GString *out)
{
    enum control_status status = control->machine->status(control->machine->opaque);
    g_string_append_printf(out, "VM status: %s\n", control_status_name(status));
}

static void info_name(struct control *control, char **words, GString *out)
{
    g_string_append_printf(out, "%s\n", control->machine->name ? control->machine->name : "");
}

static void info_version(struct control *control, char **words, GString *out)
{
    g_string_append(out, NETLAB_VERSION "\n");
}

static void info_statistics(struct control *control, char **words, GString *out)
{
    control->machine->describe(control->machine->opaque, CONTROL_INFO_STATISTICS, out);
}

static void info_uuid(struct control *control, char **words, GString *out)
{
    g_autofree char *uuid = control_uuid(control);
    g_string_append_printf(out, "%s\n", uuid);
}

static void info_cpus(struct control *control, char **words, GString *out)
{
    g_string_append_printf(out, "* CPU #0: thread_id=%d (model %s)\n", getpid(), control->machine->cpu);
}

static void info_kvm(struct control *control, char **words, GString *out)
{
    g_string_append(out, "kvm support: not compiled\n");
}

static void info_history(struct control *control, char **words, GString *out)
{
    if (control->typing)
        monitor_history(control->typing, out);
}

static void info_dump(struct control *control, char **words, GString *out)
{
    g_string_append_printf(out, "Status: %s\n",
                           control->dump_failed ? "failed"
                           : control->dumped    ? "completed"
                                                : "none");
}

static void info_blockstats(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    struct control_drive drive;
    for (unsigned i = 0; m->drive && m->drive(m->opaque, i, &drive); i++)
        g_string_append_printf(out,
                               "%s: rd_bytes=%" G_GUINT64_FORMAT " wr_bytes=%" G_GUINT64_FORMAT
                               " rd_operations=%" G_GUINT64_FORMAT " wr_operations=%" G_GUINT64_FORMAT
                               " flush_operations=%" G_GUINT64_FORMAT " failed=%" G_GUINT64_FORMAT "\n",
                               drive.id, drive.read_bytes, drive.write_bytes, drive.reads, drive.writes,
                               drive.flushes, drive.errors);
}

static void info_memory_size(struct control *control, char **words, GString *out)
{
    g_string_append_printf(out, "base memory: %" G_GUINT64_FORMAT "\nplugged memory: 0\n",
                           control->machine->ram_size);
}

static void info_ramblock(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    g_string_append_printf(out, "pc.ram       %12" G_GUINT64_FORMAT " bytes\n", m->ram_size);
    if (m->has_vga)
        g_string_append_printf(out, "vga.vram     %12u bytes\n", m->vga_memory);
}

static void info_hotpluggable(struct control *control, char **words, GString *out)
{
    g_string_append_printf(out,
                           "Hotpluggable CPUs:\n  type: \"%s-i386-cpu\"\n  vcpus_count: \"1\"\n  qom_path: "
                           "\"/machine/unattached/device[0]\"\n",
                           control->machine->cpu);
}

static void info_numa(struct control *control, char **words, GString *out)
{
    g_string_append(out, "0 nodes\n");
}

static void info_no_jobs(struct control *control, char **words, GString *out)
{
    g_string_append(out, "No active jobs\n");
}

static void info_nothing(struct control *control, char **words, GString *out)
{
    g_string_append(out, "none\n");
}

static void info_qdm(struct control *control, char **words, GString *out)
{
    const char *name;
    for (unsigned i = 0; (name = control->machine->device_type(control->machine->opaque, i)); i++)
        g_string_append_printf(out, "name \"%s\"\n", name);
}

static const struct {
    const char *name, *help;
    info_fn *run;
} rows[] = {
    {"status", "running or not", info_status},
    {"name", "name of the machine", info_name},
    {"version", "the program's version", info_version},
    {"uuid", "its UUID", info_uuid},
    {"cpus", "the CPU and its thread", info_cpus},
    {"mem", "what the guest's page tables map, as ranges", monitor_info_mem},
    {"tlb", "the same, page by page", monitor_info_tlb},
    {"blockstats", "counters of drives", info_blockstats},
    {"block-jobs", "none are ever running", info_no_jobs},
    {"dump", "the last dump-guest-memory", info_dump},
    {"history", "the lines typed here", info_history},
    {"hotpluggable-cpus", "the place of the CPU", info_hotpluggable},
    {"iothreads", "none: one thread owns the machine", info_nothing},
    {"kvm", "not used", info_kvm},
    {"memdev", "none", info_nothing},
    {"memory-devices", "none", info_nothing},
    {"memory_size_summary", "RAM in bytes", info_memory_size},
    {"migrate", "a machine on its way to a file or another process", monitor_info_migrate},
    {"snapshots", "snapshots in the drives' images", monitor_info_snapshots},
    {"numa", "one memory", info_numa},
    {"qdm", "devices that -device knows", info_qdm},
    {"qom-tree", "devices by their names", monitor_info_qom_tree},
    {"ramblock", "RAM and the card's memory", info_ramblock},
    {"trace-events", "categories of traces, and which are on", monitor_info_trace_events},
    {"statistics", "the same as jit", info_statistics},
};

bool monitor_own_info(struct control *control, char **words, GString *out)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (!g_str_equal(rows[i].name, words[0]))
            continue;
        rows[i].run(control, words + 1, out);
        return true;
    }
    return false;
}

const char *monitor_own_info_name(unsigned index, const char **help)
{
    if (index >= G_N_ELEMENTS(rows))
        return NULL;
    *help = rows[index].help;
    return rows[index].name;
}
