/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Intel 82371AB (PIIX4) power management, 00:01.3 (8086:7113): ACPI fixed registers, PM timer, GPE0, sleep
 * states, SMI command port 0xb2, SMBus host controller; and the board's PM2 control register.
 */
#pragma once

#include "emu/dev/pci.h"
#include "emu/machine/clock.h"

#define PIIX4_PM_TIMER_HZ 3579545

enum { PIIX4_PM_BASE = 0x600, PIIX4_SMB_BASE = 0x700 }; /* where firmware puts them */
enum { PIIX4_ACPI_ENABLE = 0xf1, PIIX4_ACPI_DISABLE = 0xf0, PIIX4_SMI_PORT = 0xb2 };
enum { PM2_CONTROL_PORT = 0xa79 }; /* why there: docs/board.md */

/* SLP_TYP of the states there are: what the DSDT's _S3, _S4 and _S5 say, and etc/system-states. */
enum piix4_sleep { PIIX4_SOFT_OFF = 0, PIIX4_SUSPEND = 1, PIIX4_HIBERNATE = 2 };

struct piix4_pm;

struct piix4_pm_wiring {
    struct irq_line sci; /* IRQ 9, level */
    /* The guest entered S5, S3 or S4; called from inside the port write. */
    void (*sleep)(void *opaque, enum piix4_sleep state);
    void (*wake)(void *opaque); /* out of S3: the board is to be woken; may be told more than once */
    void *opaque;
};
struct piix4_pm *piix4_pm_new(struct pci_bus *bus, struct portio *io, struct clock *clock, int slot,
                              unsigned function, const struct piix4_pm_wiring *wiring, GError **error);
/* Presses the power button (QMP system_powerdown). */
void piix4_pm_power_button(struct piix4_pm *pm);
/* The RTC's alarm: a rising edge is its event. */
struct irq_line piix4_pm_alarm_input(struct piix4_pm *pm);
/* In S3, until device_wake() or a reset. */
bool piix4_pm_is_asleep(const struct piix4_pm *pm);
/* Wakes a machine in S3 for a reason without a status bit (a key, the monitor); false: it is not in S3. */
bool piix4_pm_wake(struct piix4_pm *pm);
/* Sets the status of a general-purpose event: one of 0, 1, 8 to 11. */
void piix4_pm_raise_gpe(struct piix4_pm *pm, unsigned event);
