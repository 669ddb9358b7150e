/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See topology_machine.h.
 *
 * What starts comes whole from one place. A node that says `image:` or `kernel:` has what it says; one that
 * says `boot: disk` or `boot: cdrom` and has such a thing starts that, whatever `defaults:` say; any other
 * has the image or kernel of `defaults:`. Where that leaves neither, and there is a disk or CD with something
 * on it, the firmware starts that (`is_bare`); else it is image mini.
 *
 * Disks and the CD of `defaults:` are had by nodes that say none of their own, unless they are what the
 * defaults' machines start from and this one starts something else.
 */
#include "netlab/topology_machine.h"

#include <string.h>

enum { LEAST_MEMORY_MIB = 8 /* no kernel we know starts below */ };

/* ---- as given ---- */

static void make_absolute(const struct topology *topology, char **path)
{
    if (!*path)
        return;
    char *absolute = g_canonicalize_filename(*path, topology->directory);
    g_free(*path);
    *path = absolute;
}

static void check_disk(const struct topology *topology, struct topology_disk *disk,
                       struct topology_report *report)
{
    if (!disk->file && disk->persistent > 0)
        topology_complain(report, disk->persistent_mark,
                          "a disk can be persistent only in a file; add one: {file: data.img, size: 2G, "
                          "persistent: true}");
    if (disk->file && disk->size && disk->persistent <= 0)
        topology_complain(report, disk->size_mark,
                          "the disk is as large as its file; leave \"size\" out, or add \"persistent: true\" "
                          "for a file that is made when it is not there");
    make_absolute(topology, &disk->file);
}

static bool is_firmware(enum topology_boot boot)
{
    return boot == TOPOLOGY_BOOT_DISK || boot == TOPOLOGY_BOOT_CDROM;
}

static void check_given(const struct topology *topology, struct topology_machine *machine, const char *what,
                        struct topology_report *report)
{
    if (machine->image && machine->kernel)
        topology_complain(report, machine->kernel_mark,
                          "%s has an \"image\" and a \"kernel\" of its own; keep one of them", what);
    if (machine->initrd && !machine->kernel)
        topology_complain(report, machine->initrd_mark,
                          "%s has an \"initrd\" but no \"kernel\"; give both or use an \"image\"", what);
    if (machine->memory && machine->memory < LEAST_MEMORY_MIB)
        topology_complain(report, machine->memory_mark,
                          "%uM of memory is too little for any kernel; give at least %dM", machine->memory,
                          LEAST_MEMORY_MIB);
    if (machine->kernel && is_firmware(machine->boot))
        topology_complain(report, machine->boot_mark,
                          "%s has a \"kernel\", which starts without disk or CD; leave one of the two out",
                          what);
    make_absolute(topology, &machine->kernel);
    make_absolute(topology, &machine->initrd);
    make_absolute(topology, &machine->cdrom);
    make_absolute(topology, &machine->cloud_init.user_data);
    for (guint i = 0; machine->disks && i < machine->disks->len; i++)
        check_disk(topology, machine->disks->pdata[i], report);
}

/* ---- defaults ---- */

static void inherit_disks(struct topology_machine *machine, const struct topology_machine *defaults)
{
    machine->disks = g_ptr_array_new_with_free_func(topology_disk_free);
    machine->disks_mark = defaults->disks_mark;
    for (guint i = 0; defaults->disks && i < defaults->disks->len; i++) {
        struct topology_disk *disk = g_memdup2(defaults->disks->pdata[i], sizeof *disk);
        disk->file = g_strdup(disk->file);
        g_ptr_array_add(machine->disks, disk);
    }
}

static void inherit_media(struct topology_machine *machine, const struct topology_machine *defaults,
                          bool starts_its_own)
{
    bool is_defaults_start = !defaults->image && !defaults->kernel && defaults->boot != TOPOLOGY_BOOT_KERNEL;
    if (!machine->disks)
        inherit_disks(machine,
                      starts_its_own && is_defaults_start ? &(struct topology_machine){0} : defaults);
    if (!machine->has_cdrom && !(starts_its_own && is_defaults_start)) {
        machine->has_cdrom = defaults->has_cdrom;
        machine->cdrom = g_strdup(defaults->cdrom);
        machine->cdrom_mark = defaults->cdrom_mark;
    }
}

static bool has_something_to_start(const struct topology_machine *machine)
{
    for (guint i = 0; i < machine->disks->len; i++)
        if (((const struct topology_disk *)machine->disks->pdata[i])->file)
            return true;
    return machine->cdrom != NULL;
}

/* It is to start from a disk or CD that is the node's own, or its defaults', and no image's. */
static bool has_its_medium(const struct topology_machine *machine)
{
    return (machine->boot == TOPOLOGY_BOOT_DISK && machine->disks->len) ||
           (machine->boot == TOPOLOGY_BOOT_CDROM && machine->cdrom);
}

static void inherit_start(struct topology_node *node, const struct topology_machine *defaults)
{
    struct topology_machine *machine = &node->machine;
    bool starts_its_own = machine->image || machine->kernel;
    inherit_media(machine, defaults, starts_its_own);
    if (machine->boot == TOPOLOGY_BOOT_UNSET && !starts_its_own) {
        machine->boot = defaults->boot;
        machine->boot_mark = defaults->boot_mark;
    }
    if (starts_its_own)
        return;
    g_clear_pointer(&machine->initrd, g_free); /* one without a kernel has been complained about */
    if (!has_its_medium(machine) || is_firmware(defaults->boot)) {
        machine->image = g_strdup(defaults->image);
        machine->image_mark = defaults->image_mark;
        machine->kernel = g_strdup(defaults->kernel);
        machine->kernel_mark = defaults->kernel_mark;
        machine->initrd = g_strdup(defaults->initrd);
        machine->initrd_mark = defaults->initrd_mark;
    }
    if (machine->image || machine->kernel)
        return;
    machine->is_bare = is_firmware(machine->boot) ||
                       (machine->boot != TOPOLOGY_BOOT_KERNEL && has_something_to_start(machine));
    if (!machine->is_bare) {
        machine->image = g_strdup("mini");
        machine->image_mark = node->mark;
    }
}

/* As a whole, so that `cloud_init: false` and a file of one's own leave nothing of the defaults. */
static void inherit_cloud_init(struct topology_cloud_init *cloud, const struct topology_cloud_init *defaults)
{
    if (cloud->is_on >= 0)
        return;
    *cloud = *defaults;
    cloud->user_data = g_strdup(defaults->user_data);
    cloud->password = g_strdup(defaults->password);
    cloud->keys = defaults->keys ? g_ptr_array_new_with_free_func(topology_text_free) : NULL;
    for (guint i = 0; cloud->keys && i < defaults->keys->len; i++) {
        struct topology_text *key = g_memdup2(defaults->keys->pdata[i], sizeof *key);
        key->text = g_strdup(key->text);
        g_ptr_array_add(cloud->keys, key);
    }
}

static void inherit_machine(struct topology_node *node, const struct topology_machine *defaults)
{
    struct topology_machine *machine = &node->machine;
    inherit_start(node, defaults);
    inherit_cloud_init(&machine->cloud_init, &defaults->cloud_init);
    if (!machine->memory) {
        machine->memory = defaults->memory;
        machine->memory_mark = defaults->memory_mark;
    }
    if (!machine->cpu) {
        machine->cpu = g_strdup(defaults->cpu);
        machine->cpu_mark = defaults->cpu_mark;
    }
    if (!machine->append)
        machine->append = g_strdup(defaults->append);
    if (machine->ready == TOPOLOGY_READY_UNSET)
        machine->ready = defaults->ready;
    if (machine->restart.when == TOPOLOGY_RESTART_UNSET)
        machine->restart = defaults->restart;
    if (machine->forwarding < 0)
        machine->forwarding = defaults->forwarding > 0;
}

/* ---- as it is now ---- */

/* Of images it is known later what they bring (wanted_media.c). */
static void check_whole(const struct topology_node *node, struct topology_report *report)
{
    const struct topology_machine *machine = &node->machine;
    guint count = machine->disks->len + machine->has_cdrom;
    if (count > TOPOLOGY_DISKS_MOST)
        topology_complain(report, machine->disks_mark,
                          "node \"%s\" has %u disks and CDs; a machine has room for %d", node->name, count,
                          TOPOLOGY_DISKS_MOST);
    if (!machine->is_bare)
        return;
    if (machine->boot == TOPOLOGY_BOOT_DISK && !machine->disks->len)
        topology_complain(
            report, machine->boot_mark,
            "node \"%s\" is to start from its disk and has none; add one, like disk: debian.qcow2",
            node->name);
    if (machine->boot == TOPOLOGY_BOOT_CDROM && !machine->cdrom)
        topology_complain(report, machine->boot_mark,
                          "node \"%s\" is to start from its CD and has none; add one, like cdrom: debian.iso",
                          node->name);
    if (machine->append)
        topology_complain(report, node->mark,
                          "node \"%s\" has an \"append\", but no kernel that it could go to: it starts from "
                          "disk or CD; leave it out",
                          node->name);
}

void topology_check_machines(struct topology *topology, struct topology_report *report)
{
    check_given(topology, &topology->defaults, "\"defaults\"", report);
    for (guint n = 0; n < topology->nodes->len; n++) {
        struct topology_node *node = topology->nodes->pdata[n];
        g_autofree char *what = g_strdup_printf("node \"%s\"", node->name);
        check_given(topology, &node->machine, what, report);
        inherit_machine(node, &topology->defaults);
        check_whole(node, report);
    }
}
