/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * The I/O port space: see portio.h.
 *
 * One 16-bit range index per port (128 KiB) makes IN and OUT a table look-up. Moving or switching a range
 * rebuilds the table; guests do that only when they place PCI I/O BARs.
 */
#include "emu/mem/portio.h"
#include "emu/trace.h"

#include <glib.h>

struct portio_range {
    const char *name;
    uint16_t first;
    unsigned count;
    const struct portio_ops *ops;
    void *opaque;
    bool enabled, pinned;
};

struct portio {
    GPtrArray *ranges;     /* in order of claiming */
    uint16_t owner[65536]; /* index into ranges + 1; 0: nobody */
};

struct portio *portio_new(void)
{
    struct portio *io = g_new0(struct portio, 1);
    io->ranges = g_ptr_array_new_with_free_func(g_free);
    return io;
}

void portio_free(struct portio *io)
{
    if (!io)
        return;
    g_ptr_array_unref(io->ranges);
    g_free(io);
}

static void paint(struct portio *io, unsigned index)
{
    const struct portio_range *r = io->ranges->pdata[index];
    if (!r->enabled)
        return;
    unsigned end = MIN(r->first + r->count, 65536u);
    for (unsigned port = r->first; port < end; port++) {
        unsigned before = io->owner[port];
        if (r->pinned || !before || !((struct portio_range *)io->ranges->pdata[before - 1])->pinned)
            io->owner[port] = (uint16_t)(index + 1);
    }
}

static void repaint(struct portio *io)
{
    memset(io->owner, 0, sizeof io->owner);
    for (unsigned i = 0; i < io->ranges->len; i++)
        paint(io, i);
}

struct portio_range *portio_add(struct portio *io, const char *name, uint16_t first, unsigned count,
                                const struct portio_ops *ops, void *opaque)
{
    struct portio_range *range = g_new(struct portio_range, 1);
    *range = (struct portio_range){
        .name = name, .first = first, .count = count, .ops = ops, .opaque = opaque, .enabled = true};
    g_ptr_array_add(io->ranges, range);
    paint(io, io->ranges->len - 1);
    return range;
}

void portio_range_pin(struct portio *io, struct portio_range *range)
{
    range->pinned = true;
    repaint(io);
}

void portio_range_move(struct portio *io, struct portio_range *range, uint16_t first)
{
    if (range->first == first)
        return;
    range->first = first;
    if (range->enabled)
        repaint(io);
}

void portio_range_enable(struct portio *io, struct portio_range *range, bool enabled)
{
    if (range->enabled == enabled)
        return;
    range->enabled = enabled;
    repaint(io);
}

void portio_range_remove(struct portio *io, struct portio_range *range)
{
    g_ptr_array_remove(io->ranges, range);
    repaint(io);
}

static const struct portio_range *owner(struct portio *io, uint16_t port)
{
    unsigned index = io->owner[port];
    return index ? io->ranges->pdata[index - 1] : NULL;
}

/* Whole when the handler takes it, does not run past its range, and is what a bus would do in one cycle. */
static bool takes_whole(const struct portio_range *r, uint16_t port, unsigned size)
{
    unsigned most = r->ops->max_size ? r->ops->max_size : 1;
    return size <= most && (unsigned)(port - r->first) + size <= r->count;
}

uint32_t portio_read(struct portio *io, uint16_t port, unsigned size)
{
    const struct portio_range *r = owner(io, port);
    if (r && takes_whole(r, port, size)) {
        uint32_t value = r->ops->read ? r->ops->read(r->opaque, port, size) : 0xffffffff;
        return size == 4 ? value : value & ((1u << 8 * size) - 1);
    }
    if (size == 1) {
        trace(PORT, "in %04x: nobody there", port);
        return 0xff;
    }
    unsigned half = size / 2;
    uint32_t low = portio_read(io, port, half);
    return low | portio_read(io, (uint16_t)(port + half), half) << (8 * half);
}

void portio_write(struct portio *io, uint16_t port, uint32_t value, unsigned size)
{
    const struct portio_range *r = owner(io, port);
    if (size < 4)
        value &= (1u << 8 * size) - 1;
    if (r && takes_whole(r, port, size)) {
        if (r->ops->write)
            r->ops->write(r->opaque, port, value, size);
        return;
    }
    if (size == 1) {
        trace(PORT, "out %04x, %02x: nobody there", port, value);
        return;
    }
    unsigned half = size / 2;
    portio_write(io, port, value, half);
    portio_write(io, (uint16_t)(port + half), value >> (8 * half), half);
}
