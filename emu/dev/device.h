/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What every chip has in common: a name, a reset, saved state. And the wire between chips: irq_line.
 *
 * A device is `struct thing` with `struct device device` as its first member; thing_new() takes what it is
 * wired to (irq_line, portio, physmap, clock) as arguments, so machine/pc.c reads like a schematic. The board
 * keeps a list of devices for reset, save, load and free. Machine thread only.
 */
#pragma once

#include "emu/snapshot/state.h"

#include <stdbool.h>
#include <stdint.h>

struct device;

struct device_class {
    const char *name;                     /* "e1000", as users name it with -device */
    const struct state_table *state;      /* NULL only for a device without any */
    void (*reset)(struct device *device); /* to power-on state; lines it drives go to their reset level */
    /* Waking from suspend to RAM: as reset, but for what is powered all the time. NULL: nothing is. */
    void (*wake)(struct device *device);
    void (*free)(struct device *device);
};

struct device {
    const struct device_class *class;
    char *id; /* instance name, owned */
};

void device_init(struct device *device, const struct device_class *class, const char *id);
static inline void device_reset(struct device *device)
{
    if (device->class->reset)
        device->class->reset(device);
}
static inline void device_wake(struct device *device)
{
    if (device->class->wake)
        device->class->wake(device);
    else
        device_reset(device);
}
void device_free(struct device *device); /* class->free, then id; NULL is allowed */

/* One end of an interrupt (or any other level) wire. A zeroed line is not connected. */
struct irq_line {
    void (*set)(void *opaque, unsigned n, bool level);
    void *opaque;
    unsigned n;
};
static inline void irq_set(const struct irq_line *line, bool level)
{
    if (line->set)
        line->set(line->opaque, line->n, level);
}
