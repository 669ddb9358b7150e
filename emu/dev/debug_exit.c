/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * isa-debug-exit: see debug_exit.h. There is nothing in it to save.
 */
#include "emu/dev/debug_exit.h"

#include <gio/gio.h>

struct debug_exit {
    struct device device;
    void (*ended)(void *opaque, int code);
    void *opaque;
};

static uint32_t debug_exit_read(void *opaque, uint16_t port, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct debug_exit *device = opaque;
    device->ended(device->opaque, (int)(value << 1 | 1));
}

static const struct portio_ops debug_exit_ops = {
    .read = debug_exit_read, .write = debug_exit_write, .max_size = 4};
static const struct device_class debug_exit_class = {.name = "isa-debug-exit"};

struct debug_exit *debug_exit_new(struct portio *io, const char *id, uint32_t iobase, uint32_t iosize,
                                  void (*ended)(void *opaque, int code), void *opaque, GError **error)
{
    if (iosize != 1 && iosize != 2 && iosize != 4) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "%s: iosize=%u: give 1, 2 or 4", id,
                    iosize);
        return NULL;
    }
    if (iobase > 0x10000 - iosize) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "%s: iobase=0x%x: give an I/O port, 0x0 to 0x%x", id, iobase, 0x10000 - iosize);
        return NULL;
    }
    struct debug_exit *device = g_new0(struct debug_exit, 1);
    device_init(&device->device, &debug_exit_class, id);
    device->ended = ended;
    device->opaque = opaque;
    portio_add(io, "debug-exit", (uint16_t)iobase, iosize, &debug_exit_ops, device);
    return device;
}
