/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the user adds to what firmware and guests find: tables (-acpitable, -smbios), a picture for the boot
 * menu (-boot splash=). Read once, before the board is built.
 */
#include "emu/machine/machine_internal.h"

#include <gio/gio.h>
#include <string.h>

bool machine_extras_read(struct machine *m, GError **error)
{
    const struct machine_config *config = m->config;
    m->acpi_extra = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    m->smbios_extra = g_byte_array_new();
    for (guint i = 0; i < config->acpi_tables->len; i++) {
        GByteArray *table = tables_read_acpi(config->acpi_tables->pdata[i], error);
        if (!table) {
            g_prefix_error(error, "-acpitable: ");
            return false;
        }
        g_ptr_array_add(m->acpi_extra, table);
    }
    for (guint i = 0; i < config->smbios_files->len; i++)
        if (!tables_read_smbios(config->smbios_files->pdata[i], m->smbios_extra, error)) {
            g_prefix_error(error, "-smbios: ");
            return false;
        }
    for (size_t at = 0; at < m->smbios_extra->len;) {
        uint8_t type = m->smbios_extra->data[at];
        if (config->smbios.given[type]) {
            g_set_error(
                error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "-smbios: a file has a structure of type %u, and type=%u is given as well; leave one out",
                type, type);
            return false;
        }
        at += smbios_structure_size(m->smbios_extra->data + at, m->smbios_extra->len - at);
    }
    m->smbios = (struct smbios_config){.words = &config->smbios,
                                       .uuid = config->uuid,
                                       .ram_size = config->ram_size,
                                       .extra = m->smbios_extra,
                                       .bios = config->direct};
    return true;
}

void machine_extras_free(struct machine *m)
{
    if (m->acpi_extra)
        g_ptr_array_free(m->acpi_extra, TRUE);
    if (m->smbios_extra)
        g_byte_array_unref(m->smbios_extra);
}

bool machine_splash(struct machine *m, GError **error)
{
    enum { MOST = 8 << 20, BMP_DEPTH = 28 };
    const char *path = m->config->boot_splash;
    g_autofree uint8_t *data = NULL;
    if (!path)
        return true;
    struct boot_file *file = boot_file_open("-boot splash:", path, error);
    uint64_t len = file ? boot_file_size(file) : 0;
    bool good = file != NULL;
    if (good && (len < 32 || len > MOST)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "-boot splash=%s: %" G_GUINT64_FORMAT " bytes; a picture has 32 to %d", path, len, MOST);
        good = false;
    }
    data = good ? g_malloc(len) : NULL;
    good = good && boot_file_read(file, 0, data, len, error);
    boot_file_free(file);
    if (!good)
        return false;
    bool jpeg = data[0] == 0xff && data[1] == 0xd8, bmp = data[0] == 'B' && data[1] == 'M';
    if (!jpeg && (!bmp || data[BMP_DEPTH] != 24)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "-boot splash=%s: %s; firmware shows JPEG, and BMP of 24 bits a point", path,
                    bmp ? "a BMP with another number of bits a point" : "neither a JPEG nor a BMP picture");
        return false;
    }
    return fwcfg_add_file(m->fwcfg, jpeg ? "bootsplash.jpg" : "bootsplash.bmp", data, len, error);
}
