/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * SMBIOS structures (SMBIOS Reference Specification 2.8, chapters 5 and 7), with what -smbios says of them.
 *
 * smbios_build() makes the table without an entry point; smbios_anchor() the 2.x entry point for where it is.
 * Firmware places both itself (romtables.c); a kernel that is started without finds them in the ROM area.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum smbios_text {
    SMBIOS_BIOS_VENDOR,
    SMBIOS_BIOS_VERSION,
    SMBIOS_BIOS_DATE,
    SMBIOS_SYSTEM_MANUFACTURER,
    SMBIOS_SYSTEM_PRODUCT,
    SMBIOS_SYSTEM_VERSION,
    SMBIOS_SYSTEM_SERIAL,
    SMBIOS_SYSTEM_SKU,
    SMBIOS_SYSTEM_FAMILY,
    SMBIOS_BOARD_MANUFACTURER,
    SMBIOS_BOARD_PRODUCT,
    SMBIOS_BOARD_VERSION,
    SMBIOS_BOARD_SERIAL,
    SMBIOS_BOARD_ASSET,
    SMBIOS_BOARD_LOCATION,
    SMBIOS_CHASSIS_MANUFACTURER,
    SMBIOS_CHASSIS_VERSION,
    SMBIOS_CHASSIS_SERIAL,
    SMBIOS_CHASSIS_ASSET,
    SMBIOS_CHASSIS_SKU,
    SMBIOS_CPU_SOCKET,
    SMBIOS_CPU_MANUFACTURER,
    SMBIOS_CPU_VERSION,
    SMBIOS_CPU_SERIAL,
    SMBIOS_CPU_ASSET,
    SMBIOS_CPU_PART,
    SMBIOS_MEMORY_LOCATOR,
    SMBIOS_MEMORY_BANK,
    SMBIOS_MEMORY_MANUFACTURER,
    SMBIOS_MEMORY_SERIAL,
    SMBIOS_MEMORY_ASSET,
    SMBIOS_MEMORY_PART,
    SMBIOS_TEXTS
};

struct smbios_words {
    char *text[SMBIOS_TEXTS]; /* NULL: as it is anyway; at most 255 bytes each */
    bool given[256];          /* types that -smbios has named */
    uint8_t release[2];       /* of the BIOS */
    bool has_release, uefi;
    uint16_t speed; /* of memory, MHz; 0: not told */
};

enum { SMBIOS_ANCHOR = 31 };

/* uuid: 16 bytes, big-endian as printed; ram_size in bytes; extra: structures with their strings, of which no
 * type is made besides, or NULL; bios: type 0 as well, which firmware makes itself unless something is said
 * about it. The caller's to free. *count: structures; *widest: bytes of the longest. */
struct smbios_config {
    const struct smbios_words *words;
    const uint8_t *uuid;
    uint64_t ram_size;
    const GByteArray *extra;
    bool bios;
};
GByteArray *smbios_build(const struct smbios_config *config, unsigned *count, unsigned *widest);
/* The entry point for a table at `address`; without sums when that is 0, for firmware to fill in. */
void smbios_anchor(const GByteArray *table, unsigned count, unsigned widest, uint32_t address,
                   uint8_t anchor[SMBIOS_ANCHOR]);
/* How many bytes the structure at `data` has, its strings included; 0: it is not whole. */
size_t smbios_structure_size(const uint8_t *data, size_t len);
