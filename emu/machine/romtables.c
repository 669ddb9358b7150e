/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Tables for firmware: see romtables.h. The script of etc/table-loader is QEMU's "linker/loader" interface:
 * 128-byte commands that allocate files, add one file's address to pointers in another, and make checksums
 * right. SMBIOS Reference Specification 2.8, chapters 5 and 7.
 *
 * The blob of acpi_build() made for address 0 has its pointers as offsets into itself: it becomes the file
 * etc/acpi/tables, each pointer in it gets an ADD_POINTER command, and a copy of its RSDP becomes
 * etc/acpi/rsdp. SMBIOS structures carry no addresses; firmware fills in that of the whole table.
 */
#include "emu/machine/romtables.h"

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
        if (memcmp(blob->data + table, "FACP", 4) != 0)
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

struct smbios {
    GByteArray *bytes;
    unsigned count, widest, start;
};

static void begin(struct smbios *s, uint8_t type, const void *body, uint8_t len)
{
    uint8_t header[4] = {type, (uint8_t)(len + 4), 0, type}; /* handle: one structure of each type */
    s->start = s->bytes->len;
    g_byte_array_append(s->bytes, header, sizeof header);
    g_byte_array_append(s->bytes, body, len);
    s->count++;
}

static void end(struct smbios *s, const char *const *strings)
{
    for (; *strings; strings++)
        g_byte_array_append(s->bytes, (const uint8_t *)*strings, (guint)strlen(*strings) + 1);
    g_byte_array_append(s->bytes, (const uint8_t *)"\0", s->bytes->data[s->bytes->len - 1] == 0 ? 1 : 2);
    s->widest = MAX(s->widest, s->bytes->len - s->start);
}

#define STRINGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_STRINGS   ((const char *const[]){NULL})

bool romtables_set_smbios(struct fwcfg *fw, const uint8_t uuid[16], uint64_t ram_size, GError **error)
{
    struct smbios s = {.bytes = g_byte_array_new()};
    g_autoptr(GByteArray) bytes = s.bytes;
    /* The first three fields of a UUID are little-endian here. */
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    uint8_t system[23] = {1, 2, 3, 0};
    for (unsigned i = 0; i < 16; i++)
        system[4 + i] = uuid[order[i]];
    system[20] = 6; /* woken by the power switch */
    begin(&s, 1, system, sizeof system);
    end(&s, STRINGS("netlab", "netlab PC (i440FX)", NETLAB_VERSION));

    static const uint8_t chassis[9] = {1, 1, 0, 0, 0, 3, 3, 3, 2};
    begin(&s, 3, chassis, sizeof chassis);
    end(&s, STRINGS("netlab"));

    /* central processor, populated and enabled, upgrade "other" */
    static const uint8_t processor[31] = {
        1, 3, 1, 2, [20] = 0x41, [21] = 1, [22] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    begin(&s, 4, processor, sizeof processor);
    end(&s, STRINGS("CPU 0", "netlab"));

    uint64_t kib = ram_size >> 10, mib = ram_size >> 20;
    uint32_t array_kib = kib < 0x80000000u ? (uint32_t)kib : 0x80000000u;
    uint8_t array[11] = {1, 3, 6, [7] = 0xfe, [8] = 0xff, [9] = 1};
    memcpy(array + 3, &(uint32_t){GUINT32_TO_LE(array_kib)}, 4);
    begin(&s, 16, array, sizeof array);
    end(&s, NO_STRINGS);

    uint8_t device[17] = {0, 16, 0xfe, 0xff, 64, 0, 64, 0, [10] = 9, [12] = 1, [14] = 7};
    uint16_t size = (uint16_t)MIN(mib, (uint64_t)0x7fff);
    memcpy(device + 8, &(uint16_t){GUINT16_TO_LE(size)}, 2);
    begin(&s, 17, device, sizeof device);
    end(&s, STRINGS("DIMM 0"));

    uint8_t mapped[11] = {0, 0, 0, 0, [9] = 16, [10] = 1};
    uint32_t last = kib > 0xffffffffu ? 0xffffffffu : (uint32_t)kib - 1;
    memcpy(mapped + 4, &(uint32_t){GUINT32_TO_LE(last)}, 4);
    begin(&s, 19, mapped, sizeof mapped);
    end(&s, NO_STRINGS);

    static const uint8_t boot_status[7] = {0};
    begin(&s, 32, boot_status, sizeof boot_status);
    end(&s, NO_STRINGS);
    begin(&s, 127, "", 0);
    end(&s, NO_STRINGS);

    uint8_t anchor[31] = {'_', 'S',        'M', '_', 0,   sizeof anchor, 2,
                          8,   [16] = '_', 'D', 'M', 'I', '_',           [30] = 0x28};
    memcpy(anchor + 8, &(uint16_t){GUINT16_TO_LE((uint16_t)s.widest)}, 2);
    memcpy(anchor + 22, &(uint16_t){GUINT16_TO_LE((uint16_t)bytes->len)}, 2);
    memcpy(anchor + 28, &(uint16_t){GUINT16_TO_LE((uint16_t)s.count)}, 2);
    return fwcfg_add_file(fw, "etc/smbios/smbios-tables", bytes->data, bytes->len, error) &&
           fwcfg_add_file(fw, "etc/smbios/smbios-anchor", anchor, sizeof anchor, error);
}
