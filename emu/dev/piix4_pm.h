/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Intel 82371AB (PIIX4) power management, 00:01.3 (8086:7113): ACPI fixed registers, PM timer, GPE0, S5, SMI
 * command port 0xb2, SMBus host controller; and the board's PM2 control register.
 */
#pragma once

#include "emu/dev/pci.h"
#include "emu/machine/clock.h"

#define PIIX4_PM_TIMER_HZ 3579545

enum { PIIX4_PM_BASE = 0x600, PIIX4_SMB_BASE = 0x700 }; /* where firmware puts them */
enum { PIIX4_ACPI_ENABLE = 0xf1, PIIX4_ACPI_DISABLE = 0xf0, PIIX4_SMI_PORT = 0xb2 };
enum { PM2_CONTROL_PORT = 0xa79 }; /* why there: docs/board.md */

struct piix4_pm;

struct piix4_pm_wiring {
    struct irq_line sci;             /* IRQ 9, level */
    void (*power_off)(void *opaque); /* the guest entered S5; called from inside the port write */
    void *opaque;
};
struct piix4_pm *piix4_pm_new(struct pci_bus *bus, struct portio *io, struct clock *clock, int slot,
                              unsigned function, const struct piix4_pm_wiring *wiring, GError **error);
/* Presses the power button (QMP system_powerdown). */
void piix4_pm_power_button(struct piix4_pm *pm);
