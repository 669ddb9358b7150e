/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What firmware would have done, for guests booted without one (-kernel): PCI resources, interrupt routes,
 * chip set-up, ACPI and MP tables.
 */
#pragma once

#include "emu/dev/i440fx.h"
#include "emu/dev/piix3.h"
#include "emu/machine/acpi.h"
#include "emu/machine/smbios.h"

struct firmware_board {
    struct physmap *mem;
    struct portio *io;
    struct pci_bus *bus;
    struct i440fx *host;
    uint8_t piix_slot; /* PIIX3 (function 0) and PM (function 3) */
    uint64_t ram_below_4g;
    bool serial[2], parallel[3];
    bool mouse;
    bool fwcfg;
    uint32_t hotplug_slots;             /* as in acpi_config */
    bool suspend, hibernate;            /* S3, S4 */
    bool acpi;                          /* place ACPI tables */
    const GPtrArray *extra;             /* as in acpi_config */
    const struct smbios_config *smbios; /* NULL: none */
    bool mptable;
};

/* Where firmware_setup() put the RSDP: pass it on in boot parameters that have a field for it. */
#define FIRMWARE_ACPI_BASE    0xe0000u
#define FIRMWARE_MPTABLE_BASE 0xf0000u
#define FIRMWARE_SMBIOS_BASE  0xf4000u

/* After every reset and before the kernel is placed. Fails when a PCI function's windows do not fit. */
bool firmware_setup(const struct firmware_board *board, GError **error);
/* After device_wake(): sets the chips up again, leaves memory as it is, and says where the guest wants to go
 * on. 0: it did not say, start anew. Errors as above. */
bool firmware_resume(const struct firmware_board *board, uint32_t *waking_vector, GError **error);
/* The parts of it, in the order firmware_setup() runs them. */
bool firmware_assign_pci(struct pci_bus *bus, uint32_t hole_start, uint32_t hole_end, GError **error);
void firmware_route_interrupts(struct pci_bus *bus, struct portio *io, uint8_t piix_slot);
