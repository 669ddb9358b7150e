/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The 64 KiB I/O port space. Devices claim ranges of ports; IN and OUT of the CPU land here.
 *
 * An access wider than a handler takes is split into smaller ones by portio, low byte first, as an ISA bridge
 * does. Ports nobody claimed read as ones; both are traced (--trace port). Machine thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct portio;
struct portio_range;

/* `port` is the absolute port number; `size` 1, 2 or 4 and at most max_size of the handler. */
struct portio_ops {
    uint32_t (*read)(void *opaque, uint16_t port, unsigned size);
    void (*write)(void *opaque, uint16_t port, uint32_t value, unsigned size);
    unsigned max_size; /* widest access taken whole: 1, 2 or 4; 0 means 1 */
};

struct portio *portio_new(void);
void portio_free(struct portio *io);

/* Claims [first, first + count). A later claim hides an earlier one where they overlap. `name` is not copied.
 */
struct portio_range *portio_add(struct portio *io, const char *name, uint16_t first, unsigned count,
                                const struct portio_ops *ops, void *opaque);
/* From now on nothing hides it, however late it is claimed or moved there: what never reaches the bus behind.
 */
void portio_range_pin(struct portio *io, struct portio_range *range);
void portio_range_move(struct portio *io, struct portio_range *range, uint16_t first);
void portio_range_enable(struct portio *io, struct portio_range *range, bool enabled);
/* Takes it away for good; `range` is gone afterwards. */
void portio_range_remove(struct portio *io, struct portio_range *range);

uint32_t portio_read(struct portio *io, uint16_t port, unsigned size);
void portio_write(struct portio *io, uint16_t port, uint32_t value, unsigned size);
