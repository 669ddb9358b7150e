/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See chip_bench.h.
 */
#include "tests/dev/chip_bench.h"

#include <string.h>

struct bench *bench_new(void)
{
    g_autoptr(GError) error = NULL;
    struct bench *b = g_new0(struct bench, 1);
    b->mem = physmap_new(BENCH_RAM, &error);
    g_assert_no_error(error);
    physmap_add_ram(b->mem, "low", 0, 0xa0000, 0, 0);
    physmap_add_ram(b->mem, "high", 0x100000, BENCH_RAM - 0x100000, 0x100000, 0);
    b->io = portio_new();
    b->clock = clock_new_manual();
    return b;
}

void bench_free(struct bench *b)
{
    portio_free(b->io);
    physmap_free(b->mem);
    clock_free(b->clock);
    g_free(b);
}

static void wire_set(void *opaque, unsigned n, bool level)
{
    struct bench *b = opaque;
    if (level && !b->level[n])
        b->rises[n]++;
    b->level[n] = level;
}

struct irq_line bench_wire(struct bench *bench, unsigned n)
{
    g_assert_cmpuint(n, <, BENCH_WIRES);
    return (struct irq_line){.set = wire_set, .opaque = bench, .n = n};
}

static GByteArray *save(struct device *device)
{
    GByteArray *out = g_byte_array_new();
    state_save(device->class->state, device->id, device, out);
    return out;
}

static bool load(struct device *device, const GByteArray *data, GError **error)
{
    size_t pos = 0;
    return state_load(device->class->state, device->id, device, data->data, data->len, &pos, error);
}

static void disturb_or_reset(struct device *device, void (*disturb)(void *opaque), void *opaque)
{
    if (disturb)
        disturb(opaque);
    else
        device_reset(device);
}

void bench_round_trip(struct device *device, void (*disturb)(void *opaque), void *opaque)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) first = save(device);
    disturb_or_reset(device, disturb, opaque);
    load(device, first, &error);
    g_assert_no_error(error);
    g_autoptr(GByteArray) second = save(device);
    if (first->len != second->len || memcmp(first->data, second->data, first->len) != 0) {
        g_autoptr(GString) now = g_string_new(NULL);
        state_print(device->class->state, device->id, device, now);
        g_error("%s: saved state does not come back; now it is\n%s", device->id, now->str);
    }
}

void bench_damaged_state(struct bench *bench, struct device *device)
{
    g_autoptr(GByteArray) good = save(device);
    g_autoptr(GRand) rand = g_rand_new_with_seed(20240229);
    unsigned refused = 0;
    for (unsigned round = 0; round < 2000; round++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GByteArray) bad = g_byte_array_new();
        g_byte_array_append(bad, good->data, good->len);
        unsigned changes = 1 + g_rand_int(rand) % 8;
        for (unsigned i = 0; i < changes; i++)
            bad->data[g_rand_int(rand) % bad->len] = (uint8_t)g_rand_int(rand);
        if (round % 16 == 0)
            g_byte_array_set_size(bad, g_rand_int(rand) % bad->len);
        if (!load(device, bad, &error)) {
            g_assert_nonnull(error);
            refused++;
        }
        clock_manual_advance(bench->clock, 1000000);
    }
    g_assert_cmpuint(refused, >, 0); /* at least the cut ones */
    device_reset(device);
    g_autoptr(GError) error = NULL;
    load(device, good, &error);
    g_assert_no_error(error);
}

void bench_reset_is_complete(struct device *device, void (*disturb)(void *opaque), void *opaque)
{
    device_reset(device);
    g_autoptr(GByteArray) first = save(device);
    disturb(opaque);
    g_autoptr(GByteArray) disturbed = save(device);
    g_assert_true(first->len != disturbed->len || memcmp(first->data, disturbed->data, first->len) != 0);
    device_reset(device);
    g_autoptr(GByteArray) second = save(device);
    g_assert_cmpmem(first->data, first->len, second->data, second->len);
}
