/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Watchdog cards: iBase IB700 (ISA, ports 0x441 and 0x443) and the watchdog of Intel's 6300ESB (PCI
 * 8086:25ab). What happens when one runs out is the board's business.
 */
#pragma once

#include "emu/dev/pci.h"
#include "emu/machine/clock.h"

struct ib700;
struct i6300esb;

struct watchdog_wiring {
    void (*expired)(void *opaque); /* from a timer */
    void *opaque;
};

struct ib700 *ib700_new(struct portio *io, struct clock *clock, const char *id,
                        const struct watchdog_wiring *wiring);
/* slot: as in pci_device_init(). */
struct i6300esb *i6300esb_new(struct pci_bus *bus, struct clock *clock, const char *id, int slot,
                              const struct watchdog_wiring *wiring, GError **error);
