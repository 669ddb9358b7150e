/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A character back end in memory: the last bytes that were written wait to be asked for (ringbuf_read in the
 * monitor, ringbuf-read in QMP), and ringbuf_write is input.
 */
#include "emu/char/char_internal.h"

#include <gio/gio.h>
#include <string.h>

struct char_ringbuf {
    size_t size, start, len; /* size is a power of two */
    uint8_t bytes[];
};

static void ringbuf_put(struct char_port *port, const uint8_t *data, size_t len)
{
    struct char_ringbuf *ring = port->kind;

    for (size_t i = 0; i < len; i++) {
        ring->bytes[(ring->start + ring->len) & (ring->size - 1)] = data[i];
        if (ring->len < ring->size) {
            ring->len++;
        } else {
            ring->start = (ring->start + 1) & (ring->size - 1);
            port->dropped++;
        }
    }
}

static void ringbuf_free(struct char_port *port)
{
    g_free(port->kind);
}

static const struct char_ops ringbuf_ops = {.kind = "ringbuf", .write = ringbuf_put, .free = ringbuf_free};

size_t char_ringbuf_read(struct char_port *port, uint8_t *out, size_t len)
{
    port = char_behind(port);
    struct char_ringbuf *ring = port->kind;
    size_t done = 0;

    if (port->ops != &ringbuf_ops)
        return 0;
    for (; done < len && ring->len; done++) {
        out[done] = ring->bytes[ring->start];
        ring->start = (ring->start + 1) & (ring->size - 1);
        ring->len--;
    }
    return done;
}

bool char_is_ringbuf(const struct char_port *port)
{
    return char_behind(port)->ops == &ringbuf_ops;
}

void char_ringbuf_write(struct char_port *port, const uint8_t *data, size_t len)
{
    port = char_behind(port);
    if (port->ops == &ringbuf_ops)
        char_port_deliver(port, data, len);
}

struct char_port *char_ringbuf_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                    GError **error)
{
    size_t size = spec->size ? spec->size : 65536;

    if (size & (size - 1)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "ringbuf: size=%zu is no power of two (65536 unless given)", size);
        return NULL;
    }
    struct char_port *port = char_port_new(id, &ringbuf_ops, loop);
    struct char_ringbuf *ring = g_malloc0(sizeof *ring + size);
    ring->size = size;
    port->kind = ring;
    port->open = true;
    port->text = g_strdup("ringbuf");
    return port;
}
