/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The registers by which a guest's ACPI takes part in plugging and unplugging PCI functions: a slot a bit, in
 * the layout of QEMU's docs/specs/acpi_pci_hotplug. Our DSDT (machine/acpi_hotplug.c) is their only user.
 *
 *     0xae00  R  up      slots that got a function since this was last read; reading clears it
 *     0xae04  R  down    slots whose function is to go; a bit stays until the guest has ejected it
 *     0xae08  W  eject   takes the functions of these slots off the bus; reads as 0: no further features
 *     0xae0c  R  removable
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/mem/portio.h"

enum { PCI_HOTPLUG_PORT = 0xae00, PCI_HOTPLUG_SIZE = 0x10, PCI_HOTPLUG_GPE = 1, PCI_HOTPLUG_SLOTS = 32 };

struct pci_hotplug;

struct pci_hotplug_wiring {
    void (*notify)(void *opaque);               /* raises GPE 1 */
    uint32_t (*removable)(void *opaque);        /* slots whose function can be ejected, now */
    void (*eject)(void *opaque, unsigned slot); /* from inside the port write; for removable slots */
    void *opaque;
};
struct pci_hotplug *pci_hotplug_new(struct portio *io, const struct pci_hotplug_wiring *wiring);
/* A function has come into the slot. */
void pci_hotplug_plugged(struct pci_hotplug *hotplug, unsigned slot);
/* Asks the guest to let go of what is in the slot; asking again reminds it. */
void pci_hotplug_request(struct pci_hotplug *hotplug, unsigned slot);
/* Slots that were asked for and not given back yet. */
uint32_t pci_hotplug_pending(const struct pci_hotplug *hotplug);
/* The slot's function has gone by other ways than an eject. */
void pci_hotplug_forget(struct pci_hotplug *hotplug, unsigned slot);
