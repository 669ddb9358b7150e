/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Debug console: see debugcon.h. There is nothing in it to save.
 */
#include "emu/dev/debugcon.h"

struct debugcon {
    struct device device;
    struct char_port *port;
};

static uint32_t debugcon_read(void *opaque, uint16_t port, unsigned size)
{
    return DEBUGCON_READBACK;
}

static void debugcon_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct debugcon *console = opaque;
    uint8_t byte = (uint8_t)value;
    if (console->port)
        char_write(console->port, &byte, 1);
}

static const struct portio_ops debugcon_ops = {.read = debugcon_read, .write = debugcon_write};
static const struct device_class debugcon_class = {.name = "isa-debugcon"};

/* It only writes, but it is there. */
static const struct char_events debugcon_events = {0};

struct debugcon *debugcon_new(struct portio *io, const char *id, uint16_t iobase, struct char_port *port)
{
    struct debugcon *console = g_new0(struct debugcon, 1);
    device_init(&console->device, &debugcon_class, id);
    console->port = port;
    if (port)
        char_connect(port, &debugcon_events, console);
    portio_add(io, "debugcon", iobase, 1, &debugcon_ops, console);
    return console;
}
