/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * ACPI tables (ACPI 2.0 layouts, 32-bit pointers) and an Intel MP table for this board.
 *
 * acpi_build() makes one blob: RSDP, RSDT, FADT, FACS, MADT, DSDT; addresses inside are absolute for the base
 * it is asked to be placed at. See firmware.c for the guest without firmware.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct acpi_config {
    uint16_t pm_base;        /* PIIX4 PMBASE: 0x600 */
    uint32_t pci_hole_start; /* first address above RAM below 4 GiB that PCI may use */
    uint32_t pci_hole_end;   /* one past the last: 0xfec00000 */
    bool serial[2];          /* COM1, COM2 present */
    bool parallel[3];        /* at 0x378, 0x278, 0x3bc with IRQ 7 */
    bool mouse;              /* PS/2 mouse plugged in */
    bool fwcfg;
    bool suspend, hibernate; /* S3 and S4 are offered */
    uint32_t hotplug_slots;  /* PCI slots a function may be plugged into or taken from, a bit each */
    const GPtrArray *extra;  /* GByteArray *: whole tables to be listed as well; NULL: none */
    const uint8_t *pirq_isa; /* ISA interrupt of PIRQA–D while no I/O APIC is used, 4 entries */
};

/* The tables to be placed at `base` (16-byte aligned, within 0xe0000–0xfffff for the RSDP to be found: it is
 * the first thing in the blob). */
GByteArray *acpi_build(const struct acpi_config *config, uint32_t base);
/* Where in tables built for `base` the guest puts the address at which it wants to go on after S3. */
uint32_t acpi_waking_vector(uint32_t base);
/* The DSDT alone, for tests. */
GByteArray *acpi_build_dsdt(const struct acpi_config *config);
/* acpi_hotplug.c: parts of it. Into \\_SB.PCI0, into \\_SB, and at the top. */
void acpi_add_hotplug_slots(GByteArray *pci, uint32_t slots);
void acpi_add_hotplug_resources(GByteArray *scope);
void acpi_add_hotplug_event(GByteArray *table);
/* MP floating pointer followed by the configuration table, for `base` as above. */
GByteArray *mptable_build(const struct acpi_config *config, uint32_t base);
