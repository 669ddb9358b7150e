/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A bench for chip tests: guest memory, ports, a clock that only moves when told, wires that are recorded,
 * and what is the same for every chip: saved state goes round, damaged saved state does no harm.
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/machine/clock.h"
#include "emu/mem/physmap.h"
#include "emu/mem/portio.h"

#include <glib.h>

enum { BENCH_WIRES = 32, BENCH_RAM = 2 << 20 };

struct bench {
    struct physmap *mem; /* BENCH_RAM bytes at 0, but for 0xa0000–0xfffff, which the host bridge owns */
    struct portio *io;
    struct clock *clock;
    bool level[BENCH_WIRES];
    unsigned rises[BENCH_WIRES];
};

struct bench *bench_new(void);
void bench_free(struct bench *bench);
/* A wire whose level and rising edges are recorded. */
struct irq_line bench_wire(struct bench *bench, unsigned n);

static inline uint8_t in8(struct bench *b, uint16_t port)
{
    return (uint8_t)portio_read(b->io, port, 1);
}
static inline uint16_t in16(struct bench *b, uint16_t port)
{
    return (uint16_t)portio_read(b->io, port, 2);
}
static inline uint32_t in32(struct bench *b, uint16_t port)
{
    return portio_read(b->io, port, 4);
}
static inline void out8(struct bench *b, uint16_t port, uint8_t value)
{
    portio_write(b->io, port, value, 1);
}
static inline void out16(struct bench *b, uint16_t port, uint16_t value)
{
    portio_write(b->io, port, value, 2);
}
static inline void out32(struct bench *b, uint16_t port, uint32_t value)
{
    portio_write(b->io, port, value, 4);
}

/* Saves, changes the device by `disturb` (may be NULL: reset), loads, and checks that saving again gives the
 * same bytes. */
void bench_round_trip(struct device *device, void (*disturb)(void *opaque), void *opaque);
/* Loads many damaged copies of the device's state; each is taken or refused, and the device still resets. */
void bench_damaged_state(struct bench *bench, struct device *device);
/* Two resets give the same state, whatever was before: `disturb` is called in between. */
void bench_reset_is_complete(struct device *device, void (*disturb)(void *opaque), void *opaque);
