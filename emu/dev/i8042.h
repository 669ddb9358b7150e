/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Intel 8042 keyboard controller (0x60/0x64) with a standard keyboard and a PS/2 mouse behind it.
 */
#pragma once

#include "emu/dev/a20.h"
#include "emu/dev/device.h"
#include "emu/machine/clock.h"
#include "emu/mem/portio.h"

struct i8042;

struct i8042_wiring {
    struct irq_line irq_keyboard; /* IRQ 1 */
    struct irq_line irq_mouse;    /* IRQ 12 */
    struct irq_line reset;        /* pulsed high by command 0xfe and output port bit 0 */
    struct a20 *a20;              /* not owned */
    bool mouse;                   /* false: nothing is plugged into the second port */
};
struct i8042 *i8042_new(struct portio *io, struct clock *clock, const struct i8042_wiring *wiring);
/* A key goes down or up. `code` is its set 1 make code; with 0x100 added, the one behind an E0 prefix
 * (0x11c keypad Enter); 0x145 is Pause and 0x137 is Print Screen. Unknown codes and keys beyond the full
 * queue are dropped. */
void i8042_key(struct i8042 *kbc, unsigned code, bool down);
/* How many bytes of keys the keyboard can still hold; a key makes up to eight. */
unsigned i8042_key_room(const struct i8042 *kbc);
/* Relative motion and buttons (bit 0 left, 1 right, 2 middle) of the mouse; dz: wheel. */
void i8042_mouse(struct i8042 *kbc, int dx, int dy, int dz, unsigned buttons);
/* The mouse says something though nothing has changed, unless it has something to say already. */
void i8042_mouse_nudge(struct i8042 *kbc);
unsigned i8042_leds(const struct i8042 *kbc); /* bit 0 scroll, 1 num, 2 caps */
