/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Tables of the user's own: -acpitable and -smbios file=, read from their files.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* -acpitable: what is NULL or false is as in the file, or the usual. */
struct machine_acpi_table {
    char *files; /* separated by ':', one behind the other */
    bool whole;  /* they begin with the table's header */
    char *signature, *oem_id, *oem_table_id, *compiler_id;
    bool has_revision, has_oem_revision, has_compiler_revision;
    uint8_t revision;
    uint32_t oem_revision, compiler_revision;
};

/* The table, length and checksum set right; NULL with an error. */
GByteArray *tables_read_acpi(const struct machine_acpi_table *table, GError **error);
/* Appends the structures of a file to `out`. */
bool tables_read_smbios(const char *path, GByteArray *out, GError **error);
