/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Option ROMs: -option-rom FILE through fw_cfg (genroms/NAME), and the expansion ROM of a NIC (romfile=),
 * which is how firmware boots from the network. Only firmware runs them, so without it (-kernel) none is
 * read.
 *
 * When the boot order asks for the network (-boot n, or the NIC's bootindex=), or there is no medium to boot
 * from, a NIC without romfile= gets iPXE's ROM for it, of Debian's package ipxe-qemu; romfile= left empty
 * means none. (QEMU's always have it; without the network in the boot order all it does there is to print its
 * banner.)
 */
#include "emu/machine/machine_internal.h"

#include <gio/gio.h>
#include <string.h>

enum { ROM_LEAST = 2048, ROM_MOST = 1 << 20, BOOT_NETWORK = 4 };
#define NIC_ROM "pxe-e1000.rom"

/* The path of a ROM: as it is, or in the folders of -L and where packages put them; NULL: nowhere. */
static char *find_rom(const struct machine *m, const char *name)
{
    static const char *const usual[] = {"/usr/lib/ipxe/qemu", "/usr/share/seabios", "/usr/share/qemu"};
    if (strchr(name, '/') || g_file_test(name, G_FILE_TEST_EXISTS))
        return g_strdup(name);
    for (guint i = 0; i < m->config->search_path->len + G_N_ELEMENTS(usual); i++) {
        const char *folder = i < m->config->search_path->len ? m->config->search_path->pdata[i]
                                                             : usual[i - m->config->search_path->len];
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_EXISTS))
            return g_steal_pointer(&path);
    }
    return NULL;
}

/* Its bytes, filled up to a power of two; NULL with an error. */
static uint8_t *read_option_rom(const struct machine *m, const char *name, uint32_t *size, GError **error)
{
    g_autofree char *path = find_rom(m, name);
    if (!path) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "option ROM %s is not there; %sname its folder with -L", name,
                    g_str_equal(name, NIC_ROM) ? "install Debian's package ipxe-qemu, or " : "");
        return NULL;
    }
    struct boot_file *file = boot_file_open("option ROM", path, error);
    uint64_t len = file ? boot_file_size(file) : 0;
    uint8_t *data = NULL, head[2];
    if (file && (len < 4 || len > ROM_MOST || boot_file_peek(file, 0, head, 2) != 2 || head[0] != 0x55 ||
                 head[1] != 0xaa)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "option ROM %s: %" G_GUINT64_FORMAT
                    " bytes; one begins with 55 AA and has at most %d bytes",
                    path, len, ROM_MOST);
    } else if (file) {
        *size = ROM_LEAST;
        while (*size < len)
            *size *= 2;
        data = g_malloc0(*size);
        if (!boot_file_read(file, 0, data, len, error))
            g_clear_pointer(&data, g_free);
    }
    boot_file_free(file);
    return data;
}

bool machine_rom_kernel_check(struct machine *m, GError **error)
{
    struct linux_rom_plan plan;
    if (m->kind != BOOT_LINUX) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
            "kernel %s: this is a Multiboot kernel, which is started without firmware: leave -bios and "
            "-pflash out",
            boot_file_path(m->kernel));
        return false;
    }
    if (m->config->initrd && !(m->initrd = boot_file_open("initrd", m->config->initrd, error)))
        return false;
    return linux_rom_plan(m->kernel, m->initrd, m->config->append, &m->board, &plan, error);
}

bool machine_rom_kernel_offer(struct machine *m, GError **error)
{
    struct linux_rom_plan plan;
    return !m->kernel || (linux_rom_plan(m->kernel, m->initrd, m->config->append, &m->board, &plan, error) &&
                          linux_rom_offer(&plan, m->kernel, m->initrd, m->config->append, m->fwcfg, error));
}

bool machine_option_roms(struct machine *m, GError **error)
{
    const GPtrArray *roms = m->config->option_roms;
    for (guint i = 0; m->rom && i < roms->len; i++) {
        uint32_t size;
        g_autofree char *base = g_path_get_basename(roms->pdata[i]);
        g_autofree char *name = g_strdup_printf("genroms/%s", base);
        g_autofree uint8_t *data = read_option_rom(m, roms->pdata[i], &size, error);
        if (!data || !fwcfg_add_file(m->fwcfg, name, data, size, error)) {
            g_prefix_error(error, "-option-rom: ");
            return false;
        }
    }
    return true;
}

/* A machine whose drives are all empty. */
static bool has_no_media(const struct machine_config *config)
{
    for (guint i = 0; i < config->drives->len; i++)
        if (((const struct machine_drive *)config->drives->pdata[i])->file)
            return false;
    return true;
}

bool machine_nic_rom(struct machine *m, struct pci_device *pci, const struct machine_nic *nic, GError **error)
{
    const struct machine_config *config = m->config;
    const char *romfile = nic->romfile;
    bool wanted = nic->bootindex >= 0 ||
                  memchr(config->boot_order, BOOT_NETWORK, sizeof config->boot_order) ||
                  memchr(config->boot_once, BOOT_NETWORK, sizeof config->boot_once);
    const char *name = romfile ? romfile : wanted || has_no_media(config) ? NIC_ROM : "";
    uint32_t size;
    if (!m->rom || !*name)
        return true;
    struct machine_rom *rom = NULL;
    for (guint i = 0; i < m->option_roms->len && !rom; i++)
        if (g_str_equal(((struct machine_rom *)m->option_roms->pdata[i])->path, name))
            rom = m->option_roms->pdata[i];
    if (!rom) {
        g_autoptr(GError) missing = NULL;
        uint8_t *data = read_option_rom(m, name, &size, &missing);
        if (!data && !romfile && !wanted)
            return true; /* nobody asked for it */
        if (!data) {
            g_propagate_error(error, g_steal_pointer(&missing));
            return false;
        }
        rom = g_new(struct machine_rom, 1);
        *rom = (struct machine_rom){.path = g_strdup(name), .data = data, .size = size};
        g_ptr_array_add(m->option_roms, rom);
    }
    pci_add_rom(pci, rom->data, rom->size);
    return true;
}
