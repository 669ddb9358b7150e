/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Tables for firmware: see romtables.h. The script of etc/table-loader is QEMU's "linker/loader" interface:
 * 128-byte commands that allocate files, add one file's address to pointers in another, and make checksums
 * right.
 *
 * The blob of acpi_build() made for address 0 has its pointers as offsets into itself: it becomes the file
 * etc/acpi/tables, each pointer in it gets an ADD_POINTER command, and a copy of its RSDP becomes
 * etc/acpi/rsdp. SMBIOS structures carry no addresses; firmware fills in that of the whole table.
 */
#include "emu/machine/romtables.h"

#include <gio/gio.h>
#include <string.h>

#define TABLES_FILE "etc/acpi/tables"
#define RSDP_FILE   "etc/acpi/rsdp"

enum { ALLOCATE = 1, ADD_POINTER = 2, ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_LOW = 2 };
enum {
    RSDP_SIZE = 20,
    RSDP_CHECKSUM = 8,
    RSDP_RSDT = 16,
    TABLE_LENGTH = 4,
    TABLE_CHECKSUM = 9,
    RSDT_ENTRIES = 36
};
enum { FADT_FACS = 36, FADT_DSDT = 40, FADT_X_FACS = 132, FADT_X_DSDT = 140 };

/* ---- the loader's script ---- */

struct loader_command {
    uint32_t command; /* all little-endian */
    union {
        struct {
            char file[56];
            uint32_t align;
            uint8_t zone;
        } __attribute__((packed)) allocate;
        struct {
            char in[56], of[56];
            uint32_t offset;
            uint8_t size;
        } __attribute__((packed)) pointer;
        struct {
            char file[56];
            uint32_t offset, start, length;
        } __attribute__((packed)) checksum;
        uint8_t room[124];
    };
} __attribute__((packed));
_Static_assert(sizeof(struct loader_command) == 128, "as the interface has it");

static void add(GByteArray *script, const struct loader_command *command)
{
    g_byte_array_append(script, (const uint8_t *)command, sizeof *command);
}

static void add_allocation(GByteArray *script, const char *file, uint32_t align, uint8_t zone)
{
    struct loader_command c = {.command = GUINT32_TO_LE(ALLOCATE)};
    g_strlcpy(c.allocate.file, file, sizeof c.allocate.file);
    c.allocate.align = GUINT32_TO_LE(align);
    c.allocate.zone = zone;
    add(script, &c);
}

static void add_pointer(GByteArray *script, const char *in, uint32_t offset, uint8_t size)
{
    struct loader_command c = {.command = GUINT32_TO_LE(ADD_POINTER)};
    g_strlcpy(c.pointer.in, in, sizeof c.pointer.in);
    g_strlcpy(c.pointer.of, TABLES_FILE, sizeof c.pointer.of);
    c.pointer.offset = GUINT32_TO_LE(offset);
    c.pointer.size = size;
    add(script, &c);
}

static void add_checksum(GByteArray *script, const char *file, uint32_t offset, uint32_t start,
                         uint32_t length)
{
    struct loader_command c = {.command = GUINT32_TO_LE(ADD_CHECKSUM)};
    g_strlcpy(c.checksum.file, file, sizeof c.checksum.file);
    c.checksum.offset = GUINT32_TO_LE(offset);
    c.checksum.start = GUINT32_TO_LE(start);
    c.checksum.length = GUINT32_TO_LE(length);
    add(script, &c);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void add_table_checksum(GByteArray *script, const GByteArray *blob, uint32_t at)
{
    add_checksum(script, TABLES_FILE, at + TABLE_CHECKSUM, at, get32(blob->data + at + TABLE_LENGTH));
}

bool romtables_set_acpi(struct fwcfg *fw, const struct acpi_config *config, GError **error)
{
    g_autoptr(GByteArray) blob = acpi_build(config, 0), script = g_byte_array_new();
    uint32_t rsdt = get32(blob->data + RSDP_RSDT);
    uint32_t rsdt_end = rsdt + get32(blob->data + rsdt + TABLE_LENGTH);
    add_allocation(script, RSDP_FILE, 16, ZONE_LOW);
    add_allocation(script, TABLES_FILE, 64, ZONE_HIGH);
    for (uint32_t entry = rsdt + RSDT_ENTRIES; entry < rsdt_end; entry += 4) {
        uint32_t table = get32(blob->data + entry);
        add_pointer(script, TABLES_FILE, entry, 4);
        if (entry != rsdt + RSDT_ENTRIES) /* the FADT is the first, and others may call themselves so */
            continue;
        static const struct {
            uint8_t offset, size;
        } pointers[] = {{FADT_FACS, 4}, {FADT_DSDT, 4}, {FADT_X_FACS, 8}, {FADT_X_DSDT, 8}};
        for (unsigned i = 0; i < G_N_ELEMENTS(pointers); i++)
            if (get32(blob->data + table + pointers[i].offset))
                add_pointer(script, TABLES_FILE, table + pointers[i].offset, pointers[i].size);
        add_table_checksum(script, blob, table);
    }
    add_table_checksum(script, blob, rsdt);
    add_pointer(script, RSDP_FILE, RSDP_RSDT, 4);
    add_checksum(script, RSDP_FILE, RSDP_CHECKSUM, 0, RSDP_SIZE);
    return fwcfg_add_file(fw, RSDP_FILE, blob->data, RSDP_SIZE, error) &&
           fwcfg_add_file(fw, TABLES_FILE, blob->data, blob->len, error) &&
           fwcfg_add_file(fw, "etc/table-loader", script->data, script->len, error);
}

/* ---- SMBIOS ---- */

bool romtables_set_smbios(struct fwcfg *fw, const struct smbios_config *config, GError **error)
{
    unsigned count, widest;
    uint8_t anchor[SMBIOS_ANCHOR];
    g_autoptr(GByteArray) table = smbios_build(config, &count, &widest);
    smbios_anchor(table, count, widest, 0, anchor);
    if (table->len > UINT16_MAX) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                    "-smbios: %u bytes of structures, where at most 65535 fit", table->len);
        return false;
    }
    return fwcfg_add_file(fw, "etc/smbios/smbios-tables", table->data, table->len, error) &&
           fwcfg_add_file(fw, "etc/smbios/smbios-anchor", anchor, sizeof anchor, error);
}
