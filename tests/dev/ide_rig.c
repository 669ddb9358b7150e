/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See ide_rig.h.
 */
#include "tests/dev/ide_rig.h"

#include <glib/gstdio.h>
#include <string.h>

char *ide_rig_image(struct ide_rig *r, const char *name, unsigned sectors)
{
    char *path = g_build_filename(r->folder, name, NULL);
    g_autofree uint8_t *data = g_malloc(sectors * 512u);
    for (unsigned n = 0; n < sectors; n++)
        for (unsigned i = 0; i < 512; i++)
            data[n * 512 + i] = (uint8_t)(i & 1 ? n >> 8 : n) ^ (uint8_t)(i >> 1);
    g_assert_true(g_file_set_contents(path, (const char *)data, sectors * 512, NULL));
    return path;
}

void ide_rig_set_up(struct ide_rig *r)
{
    g_autoptr(GError) error = NULL;
    r->folder = g_dir_make_tmp("netlab-ide-XXXXXX", NULL);
    g_autofree char *disk = ide_rig_image(r, "disk", RIG_SECTORS),
                    *cd = ide_rig_image(r, "cd", RIG_CD_SECTORS * 4);
    r->b = bench_new();
    r->bus = pci_bus_new(r->b->mem, r->b->io);
    r->disk = block_new(
        &(struct block_config){.id = "hd", .file = disk, .format = BLOCK_FORMAT_RAW, .discard = true}, NULL,
        &error);
    g_assert_no_error(error);
    r->cd = block_new(
        &(struct block_config){.id = "cd", .file = cd, .format = BLOCK_FORMAT_RAW, .read_only = true}, NULL,
        &error);
    g_assert_no_error(error);
    if (r->steady) {
        block_set_steady(r->disk, r->b->clock);
        block_set_steady(r->cd, r->b->clock);
    }
    struct irq_line irq[IDE_CHANNELS] = {bench_wire(r->b, IRQ14), bench_wire(r->b, IRQ15)};
    struct ide_plug plugs[IDE_CHANNELS][IDE_UNITS] = {
        {{.kind = IDE_DISK, .block = r->disk, .identity.serial = "SERIAL"},
         {.kind = IDE_CD, .block = r->cd}}};
    r->ide = ide_new(r->bus, r->b->io, 1, irq, plugs, &error);
    g_assert_no_error(error);
    pci_config_write(r->bus, 9, PCI_BAR0 + 16, RIG_MASTER, 4);
    pci_config_write(r->bus, 9, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);
}

void ide_rig_tear_down(struct ide_rig *r)
{
    device_free((struct device *)r->ide);
    pci_bus_free(r->bus);
    block_free(r->disk);
    block_free(r->cd);
    bench_free(r->b);
    GDir *folder = g_dir_open(r->folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(folder));) {
        g_autofree char *path = g_build_filename(r->folder, name, NULL);
        g_unlink(path);
    }
    g_dir_close(folder);
    g_rmdir(r->folder);
    g_free(r->folder);
}
