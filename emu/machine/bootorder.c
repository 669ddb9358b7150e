/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What has a bootindex=, and -kernel before it, told to firmware: fw_cfg's file "bootorder", Open Firmware
 * paths, a line each, the lowest first. Drives and NICs count together. -boot order= is in CMOS (disks.c);
 * this file goes before it.
 *
 * With -boot strict=on the list ends in HALT, at which SeaBIOS leaves everything else out. As in QEMU that
 * is for lists alone: where nothing has a bootindex=, the order is all there is, and strict= has no effect.
 */
#include "emu/machine/machine_internal.h"

struct entry {
    int bootindex;
    char *path;
};

static void entry_free(void *data)
{
    struct entry *entry = data;
    g_free(entry->path);
    g_free(entry);
}

static int by_bootindex(const void *a, const void *b)
{
    const struct entry *x = *(const struct entry *const *)a;
    const struct entry *y = *(const struct entry *const *)b;
    return (x->bootindex > y->bootindex) - (x->bootindex < y->bootindex);
}

static void add(GPtrArray *order, int bootindex, char *path)
{
    struct entry *entry = g_new(struct entry, 1);
    *entry = (struct entry){bootindex, path};
    g_ptr_array_add(order, entry);
}

static char *drive_path(const struct machine_drive *drive)
{
    return drive->bus == MACHINE_BUS_FLOPPY
               ? g_strdup_printf("/pci@i0cf8/isa@1/fdc@03f0/floppy@%u", drive->index)
               : g_strdup_printf("/pci@i0cf8/ide@1,1/drive@%u/disk@%u", drive->index / 2, drive->index % 2);
}

bool machine_boot_order_tell(struct machine *m, GError **error)
{
    g_autoptr(GPtrArray) order = g_ptr_array_new_with_free_func(entry_free);
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < m->drive_count; i++)
        if (m->drives[i].config->bootindex >= 0)
            add(order, m->drives[i].config->bootindex, drive_path(m->drives[i].config));
    for (unsigned i = 0; i < m->card_count; i++) {
        const struct pci_device *pci = (const struct pci_device *)m->cards[i].device;
        if (m->cards[i].config->bootindex >= 0)
            add(order, m->cards[i].config->bootindex,
                g_strdup_printf("/pci@i0cf8/ethernet@%x/ethernet-phy@0", pci->devfn >> 3));
    }
    if (m->kernel) /* before all else, as if it had bootindex=0 first */
        add(order, INT_MIN, g_strdup("/rom@" LINUX_ROM));
    if (!order->len)
        return true;
    g_ptr_array_sort(order, by_bootindex);
    for (guint i = 0; i < order->len; i++)
        g_string_append_printf(text, "%s%s", i ? "\n" : "", ((const struct entry *)order->pdata[i])->path);
    if (m->config->boot_strict)
        g_string_append(text, "\nHALT");
    return fwcfg_add_file(m->fwcfg, "bootorder", text->str, text->len + 1, error);
}
