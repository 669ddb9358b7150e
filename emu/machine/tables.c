/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Tables of the user's own: see tables.h. Files are not trusted: what is too large for the place tables have,
 * or is not whole, is an error that names the file.
 */
#include "emu/machine/tables.h"
#include "emu/fdset.h"

#include "emu/machine/smbios.h"

#include <gio/gio.h>
#include <string.h>

enum { TABLE_MOST = 1 << 20, HEADER = 36 };
/* Offsets of the header's fields: ACPI 2.0, 5.2.6. */
enum {
    LENGTH = 4,
    REVISION = 8,
    CHECKSUM = 9,
    OEM_ID = 10,
    OEM_TABLE_ID = 16,
    OEM_REVISION = 24,
    COMPILER_ID = 28,
    COMPILER_REVISION = 32
};

static bool append_file(const char *path, size_t most, GByteArray *out, GError **error)
{
    g_autofree char *data = NULL;
    gsize len;
    g_autoptr(GError) why = NULL;
    if (!fdset_get_contents(path, &data, &len, &why)) {
        g_set_error(error, why->domain, why->code, "%s%s", why->message,
                    g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT) ? " (check the name)" : "");
        return false;
    }
    if (len > most || out->len + len > most) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: more than %zu bytes in all", path, most);
        return false;
    }
    g_byte_array_append(out, (const uint8_t *)data, (guint)len);
    return true;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* Text in a field of fixed size, filled up with zeros. */
static void put_text(uint8_t *at, const char *text, size_t size)
{
    if (!text)
        return;
    memset(at, 0, size);
    memcpy(at, text, MIN(strlen(text), size));
}

GByteArray *tables_read_acpi(const struct machine_acpi_table *table, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_auto(GStrv) files = g_strsplit(table->files, ":", -1);
    if (!table->whole) {
        uint8_t usual[HEADER] = "NLAB";
        usual[REVISION] = usual[OEM_REVISION] = usual[COMPILER_REVISION] = 1;
        put_text(usual + OEM_ID, "NETLAB", 6);
        put_text(usual + OEM_TABLE_ID, "NETLABPC", 8);
        put_text(usual + COMPILER_ID, "NLAB", 4);
        g_byte_array_append(bytes, usual, sizeof usual);
    }
    for (char **file = files; *file; file++)
        if (!append_file(*file, TABLE_MOST, bytes, error))
            return NULL;
    if (bytes->len < HEADER) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s: %u bytes; with file= it begins with a header of %d (use data= for what has none)",
                    table->files, bytes->len, HEADER);
        return NULL;
    }
    uint8_t *at = bytes->data, sum = 0;
    put_text(at, table->signature, 4);
    put_text(at + OEM_ID, table->oem_id, 6);
    put_text(at + OEM_TABLE_ID, table->oem_table_id, 8);
    put_text(at + COMPILER_ID, table->compiler_id, 4);
    if (table->has_revision)
        at[REVISION] = table->revision;
    if (table->has_oem_revision)
        put32(at + OEM_REVISION, table->oem_revision);
    if (table->has_compiler_revision)
        put32(at + COMPILER_REVISION, table->compiler_revision);
    put32(at + LENGTH, bytes->len);
    at[CHECKSUM] = 0;
    for (guint i = 0; i < bytes->len; i++)
        sum = (uint8_t)(sum + at[i]);
    at[CHECKSUM] = (uint8_t)-sum;
    return g_steal_pointer(&bytes);
}

bool tables_read_smbios(const char *path, GByteArray *out, GError **error)
{
    enum { MOST = 0xf000 };
    guint start = out->len;
    if (!append_file(path, MOST, out, error))
        return false;
    for (guint at = start; at < out->len;) {
        size_t size = smbios_structure_size(out->data + at, out->len - at);
        if (!size) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "%s: the structure at byte %u is not whole: a header of type, length and handle, its "
                        "fields, its strings and two zero bytes are wanted",
                        path, at - start);
            return false;
        }
        at += (guint)size;
    }
    if (out->len > start)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: the file is empty", path);
    return false;
}
