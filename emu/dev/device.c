/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The common part of every chip, and the joints of irq.h.
 */
#include "emu/dev/device.h"
#include "emu/dev/irq.h"

void device_init(struct device *device, const struct device_class *class, const char *id)
{
    device->class = class;
    device->id = g_strdup(id);
}

void device_free(struct device *device)
{
    if (!device)
        return;
    /* The class frees the struct itself, so the name has to be taken out first. */
    char *id = g_steal_pointer(&device->id);
    if (device->class->free)
        device->class->free(device);
    else
        g_free(device);
    g_free(id);
}

static void splitter_set(void *opaque, unsigned n, bool level)
{
    const struct irq_splitter *splitter = opaque;
    for (unsigned i = 0; i < IRQ_SPLITTER_OUTPUTS; i++)
        irq_set(&splitter->out[i], level);
}

struct irq_line irq_splitter_input(struct irq_splitter *splitter)
{
    return (struct irq_line){.set = splitter_set, .opaque = splitter};
}

static void or_set(void *opaque, unsigned n, bool level)
{
    struct irq_or *gate = opaque;
    uint32_t before = gate->inputs;
    gate->inputs = level ? before | 1u << n : before & ~(1u << n);
    if (!before != !gate->inputs)
        irq_set(&gate->out, gate->inputs != 0);
}

struct irq_line irq_or_input(struct irq_or *gate, unsigned n)
{
    return (struct irq_line){.set = or_set, .opaque = gate, .n = n & 31};
}
