/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * System control port A: see port92.h. IBM PS/2 technical reference, "system control port A".
 */
#include "emu/dev/port92.h"
#include "emu/trace.h"

enum { PORT92 = 0x92, FAST_RESET = 0x01, FAST_A20 = 0x02 };
enum { STORED = 0xc8 }; /* activity lights and the security lock latch: kept, without effect */

struct port92 {
    struct device device;
    struct a20 *a20;
    struct irq_line reset;
    uint8_t value; /* all but the A20 bit, which is the gate's */
};

static uint32_t port92_read(void *opaque, uint16_t port, unsigned size)
{
    const struct port92 *p = opaque;
    return p->value | (a20_get(p->a20) ? FAST_A20 : 0u);
}

static void port92_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct port92 *p = opaque;
    bool pulse = value & FAST_RESET && !(p->value & FAST_RESET);
    p->value = (uint8_t)(value & (STORED | FAST_RESET));
    a20_set(p->a20, value & FAST_A20);
    if (pulse) {
        trace(I8042, "port 0x92 resets the machine");
        irq_set(&p->reset, true);
        irq_set(&p->reset, false);
    }
}

static const struct portio_ops port92_ops = {.read = port92_read, .write = port92_write};

static void port92_reset(struct device *device)
{
    struct port92 *p = (struct port92 *)device;
    p->value = 0;
}

static bool port92_after_load(void *device, GError **error)
{
    struct port92 *p = device;
    p->value &= STORED | FAST_RESET;
    return true;
}

static const struct state_field port92_fields[] = {STATE(struct port92, U8, value)};
static const struct state_table port92_state = {
    .name = "port92",
    .version = 1,
    .fields = port92_fields,
    .count = G_N_ELEMENTS(port92_fields),
    .after_load = port92_after_load,
};
static const struct device_class port92_class = {
    .name = "port92", .state = &port92_state, .reset = port92_reset};

struct port92 *port92_new(struct portio *io, struct a20 *a20, const struct irq_line *reset)
{
    struct port92 *p = g_new0(struct port92, 1);
    device_init(&p->device, &port92_class, "port92");
    p->a20 = a20;
    p->reset = *reset;
    portio_add(io, "port92", PORT92, 1, &port92_ops, p);
    return p;
}
