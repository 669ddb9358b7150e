/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Parallel port: see parallel.h. IBM PS/2 technical reference, "Parallel Port Controller"; IEEE 1284,
 * compatibility mode.
 *
 * The printer takes the byte on the data lines when STROBE rises, if it is not held in reset (INIT low) and
 * is selected; it is busy until STROBE falls, and then gives the pulse on ACK that says it is done. The end
 * of the pulse is the interrupt, latched while the control register has it enabled and taken back by a read
 * of the status register. No time passes in here: the pulse is seen by exactly one read of the status
 * register, as programs expect that wait for ACK (BIOS, INT 17h) and those that wait for the end of BUSY.
 *
 * The port is bidirectional: with the direction bit set the data lines are the other side's, and nobody
 * drives them. A back end that is a port of the host has lines of its own for status and control.
 */
#include "emu/dev/parallel.h"
#include "emu/trace.h"

enum { DATA = 0, STATUS = 1, CONTROL = 2, REGISTERS = 3 };
enum { ERROR = 0x08, SELECTED = 0x10, ACK = 0x40, NOT_BUSY = 0x80 }; /* ERROR and ACK are active low */
enum { READY = NOT_BUSY | ACK | SELECTED | ERROR, NOBODY = 0x78 };   /* open lines: busy, out of paper */
enum {
    STROBE = 0x01,
    INIT = 0x04,
    SELECT = 0x08,
    IRQ_ON = 0x10,
    REVERSE = 0x20,
    STORED = 0x3f,
    UNUSED = 0xc0
};

const uint16_t parallel_base[PARALLEL_PORTS] = {0x378, 0x278, 0x3bc};

struct parallel {
    struct device device;
    struct irq_line irq;
    struct char_port *port;
    uint16_t iobase;
    uint8_t data, control;
    bool acknowledging; /* the pulse on ACK was not seen yet */
    bool pending;       /* the interrupt */
};

static void update(struct parallel *p)
{
    if (!(p->control & IRQ_ON))
        p->pending = false;
    irq_set(&p->irq, p->pending);
}

static uint8_t status_read(struct parallel *p)
{
    uint8_t status = READY;
    p->pending = false;
    update(p);
    if (!p->port)
        return NOBODY;
    if (char_is_parport(p->port) && char_parport_status(p->port, &status))
        return status;
    if (p->acknowledging) {
        p->acknowledging = false;
        return status & (uint8_t) ~(NOT_BUSY | ACK);
    }
    return p->control & STROBE ? status & (uint8_t)~NOT_BUSY : status;
}

static void control_write(struct parallel *p, uint8_t value)
{
    uint8_t before = p->control;
    bool listens = p->port && value & INIT && value & SELECT;
    p->control = value & STORED;
    if (p->port && char_is_parport(p->port)) {
        /* The host's driver makes the strobe, once for each byte. */
        char_parport_control(p->port, value & (uint8_t) ~(STROBE | IRQ_ON));
    }
    if (!(value & INIT))
        p->acknowledging = p->pending = false;
    if (listens && value & STROBE && !(before & STROBE)) {
        char_write(p->port, &p->data, 1);
    } else if (listens && !(value & STROBE) && before & STROBE) {
        p->acknowledging = true;
        p->pending = value & IRQ_ON;
    }
    update(p);
}

static uint32_t parallel_read(void *opaque, uint16_t port, unsigned size)
{
    struct parallel *p = opaque;
    switch (port - p->iobase) {
    case DATA:
        return p->control & REVERSE ? 0xff : p->data;
    case STATUS:
        return status_read(p);
    default:
        return p->control | UNUSED;
    }
}

static void parallel_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct parallel *p = opaque;
    switch (port - p->iobase) {
    case DATA:
        p->data = (uint8_t)value;
        break;
    case CONTROL:
        control_write(p, (uint8_t)value);
        break;
    default: /* the status register is read-only */
        break;
    }
}

static const struct portio_ops parallel_ops = {.read = parallel_read, .write = parallel_write};

static void parallel_reset(struct device *device)
{
    struct parallel *p = (struct parallel *)device;
    p->data = 0;
    p->control = SELECT | INIT;
    p->acknowledging = p->pending = false;
    update(p);
}

static bool parallel_after_load(void *device, GError **error)
{
    struct parallel *p = device;
    p->control &= STORED;
    update(p);
    return true;
}

static const struct state_field parallel_fields[] = {
    STATE(struct parallel, U8, data),
    STATE(struct parallel, U8, control),
    STATE(struct parallel, BOOL, acknowledging),
    STATE(struct parallel, BOOL, pending),
};
static const struct state_table parallel_state = {
    .name = "parallel",
    .version = 1,
    .fields = parallel_fields,
    .count = G_N_ELEMENTS(parallel_fields),
    .after_load = parallel_after_load,
};
static const struct device_class parallel_class = {
    .name = "isa-parallel", .state = &parallel_state, .reset = parallel_reset};

/* It only writes, but it is there. */
static const struct char_events parallel_events = {0};

struct parallel *parallel_new(struct portio *io, const char *id, uint16_t iobase, const struct irq_line *irq,
                              struct char_port *port)
{
    struct parallel *p = g_new0(struct parallel, 1);
    device_init(&p->device, &parallel_class, id);
    p->irq = *irq;
    p->port = port;
    if (port)
        char_connect(port, &parallel_events, p);
    p->iobase = iobase;
    portio_add(io, "parallel", iobase, REGISTERS, &parallel_ops, p);
    parallel_reset(&p->device);
    return p;
}
