/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The 8254: counting and output of all six modes, BCD, latches, read-back, the gate of counter 2, port 0x61,
 * IRQ 0 and what becomes of ticks the host was late for.
 */
#include "emu/dev/pit.h"
#include "tests/dev/chip_bench.h"

enum { IRQ0 = 0 };

struct rig {
    struct bench *b;
    struct pit *pit;
};

static void set_up(struct rig *r, gconstpointer data)
{
    r->b = bench_new();
    struct irq_line irq0 = bench_wire(r->b, IRQ0);
    r->pit = pit_new(r->b->io, r->b->clock, &irq0);
    clock_manual_advance(r->b->clock, 1000000);
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->pit);
    bench_free(r->b);
}

/* Guest time `tick` of the chip's clock begins at. */
static int64_t tick_start(uint64_t tick)
{
    return (int64_t)clock_muldiv(tick, NANOSECONDS, PIT_HZ) + 1;
}

static uint64_t ticks_now(struct rig *r)
{
    return clock_muldiv((uint64_t)clock_now(r->b->clock), PIT_HZ, NANOSECONDS);
}

/* Lets exactly `n` clock pulses pass. */
static void pulses(struct rig *r, unsigned n)
{
    int64_t to = tick_start(ticks_now(r) + n);
    clock_manual_advance(r->b->clock, to - clock_now(r->b->clock));
}

static void program(struct rig *r, unsigned counter, unsigned mode, bool bcd, uint16_t count)
{
    out8(r->b, 0x43, (uint8_t)(counter << 6 | 3 << 4 | mode << 1 | bcd));
    out8(r->b, (uint16_t)(0x40 + counter), (uint8_t)count);
    out8(r->b, (uint16_t)(0x40 + counter), (uint8_t)(count >> 8));
}

static uint16_t latched(struct rig *r, unsigned counter)
{
    out8(r->b, 0x43, (uint8_t)(counter << 6));
    uint16_t port = (uint16_t)(0x40 + counter);
    uint16_t low = in8(r->b, port);
    return (uint16_t)(low | in8(r->b, port) << 8);
}

static uint8_t status(struct rig *r, unsigned counter)
{
    out8(r->b, 0x43, (uint8_t)(0xe0 | 2 << counter));
    return in8(r->b, (uint16_t)(0x40 + counter));
}

static bool out_of(struct rig *r, unsigned counter)
{
    return status(r, counter) & 0x80;
}

static void test_mode0(struct rig *r, gconstpointer data)
{
    program(r, 0, 0, false, 5);
    g_assert_cmphex(status(r, 0), ==, 0x70); /* OUT low, null count, both bytes, mode 0 */
    g_assert_false(r->b->level[IRQ0]);
    pulses(r, 1);
    g_assert_cmpuint(latched(r, 0), ==, 5);
    g_assert_cmphex(status(r, 0), ==, 0x30);
    pulses(r, 4);
    g_assert_cmpuint(latched(r, 0), ==, 1);
    g_assert_false(out_of(r, 0));
    pulses(r, 1); /* N + 1 pulses after the count was written */
    g_assert_true(out_of(r, 0));
    g_assert_true(r->b->level[IRQ0]);
    pulses(r, 40);
    g_assert_cmpuint(latched(r, 0), ==, 65536 - 40);
    out8(r->b, 0x40, 9); /* the first byte stops it and takes OUT low */
    g_assert_false(out_of(r, 0));
    g_assert_false(r->b->level[IRQ0]);
    pulses(r, 1000);
    g_assert_false(out_of(r, 0));
    out8(r->b, 0x40, 0);
    pulses(r, 10);
    g_assert_true(out_of(r, 0));
    unsigned rises = r->b->rises[IRQ0];
    pulses(r, 200000); /* wraps, and OUT stays high */
    g_assert_cmpuint(r->b->rises[IRQ0], ==, rises);
    g_assert_true(r->b->level[IRQ0]);
}

static void test_mode0_gate(struct rig *r, gconstpointer data)
{
    out8(r->b, 0x61, 1);
    program(r, 2, 0, false, 100);
    pulses(r, 41);
    out8(r->b, 0x61, 0); /* the gate stops counting */
    pulses(r, 5000);
    g_assert_cmpuint(latched(r, 2), ==, 60);
    out8(r->b, 0x61, 1);
    pulses(r, 59);
    g_assert_false(in8(r->b, 0x61) & 0x20);
    pulses(r, 1);
    g_assert_true(in8(r->b, 0x61) & 0x20);
}

static void test_mode1(struct rig *r, gconstpointer data)
{
    program(r, 2, 1, false, 50);
    g_assert_true(out_of(r, 2));
    pulses(r, 100);
    g_assert_true(out_of(r, 2)); /* nothing without a trigger */
    out8(r->b, 0x61, 1);
    pulses(r, 1);
    g_assert_false(out_of(r, 2));
    out8(r->b, 0x61, 0); /* the gate only triggers */
    pulses(r, 29);
    out8(r->b, 0x61, 1); /* again: starts afresh */
    pulses(r, 50);
    g_assert_false(out_of(r, 2));
    out8(r->b, 0x42, 10); /* a new count waits for the next trigger */
    out8(r->b, 0x42, 0);
    g_assert_cmphex(status(r, 2) & 0x40, ==, 0x40);
    pulses(r, 1);
    g_assert_true(out_of(r, 2));
    out8(r->b, 0x61, 0);
    out8(r->b, 0x61, 1);
    pulses(r, 10);
    g_assert_false(out_of(r, 2));
    pulses(r, 1);
    g_assert_true(out_of(r, 2));
}

static void test_mode2(struct rig *r, gconstpointer data)
{
    out8(r->b, 0x61, 1);
    program(r, 2, 2, false, 10);
    pulses(r, 1);
    for (unsigned period = 0; period < 3; period++) {
        for (unsigned count = 10; count >= 1; count--) {
            g_assert_cmpuint(latched(r, 2), ==, count);
            g_assert_true(out_of(r, 2) == (count != 1));
            pulses(r, 1);
        }
    }
    pulses(r, 4);
    out8(r->b, 0x42, 3); /* takes over at the end of the period */
    out8(r->b, 0x42, 0);
    g_assert_cmphex(status(r, 2) & 0x40, ==, 0x40);
    g_assert_cmpuint(latched(r, 2), ==, 6);
    pulses(r, 5);
    g_assert_cmpuint(latched(r, 2), ==, 1);
    pulses(r, 1);
    g_assert_cmpuint(latched(r, 2), ==, 3);
    g_assert_cmphex(status(r, 2) & 0x40, ==, 0);
    pulses(r, 2);
    g_assert_false(out_of(r, 2));
    out8(r->b, 0x61, 0); /* a low gate takes OUT high at once */
    g_assert_true(out_of(r, 2));
    pulses(r, 100);
    out8(r->b, 0x61, 1);
    pulses(r, 1);
    g_assert_cmpuint(latched(r, 2), ==, 3);
}

static void test_mode3(struct rig *r, gconstpointer data)
{
    out8(r->b, 0x61, 1);
    program(r, 2, 3, false, 6);
    pulses(r, 1);
    static const uint8_t even[] = {6, 4, 2, 6, 4, 2, 6};
    for (unsigned i = 0; i < sizeof even; i++) {
        g_assert_cmpuint(latched(r, 2), ==, even[i]);
        g_assert_true(out_of(r, 2) == (i % 6 < 3));
        pulses(r, 1);
    }
    program(r, 2, 3, false, 5); /* high for (N + 1) / 2, low for (N - 1) / 2 */
    pulses(r, 1);
    static const uint8_t odd[] = {4, 2, 0, 4, 2, 4, 2, 0};
    for (unsigned i = 0; i < sizeof odd; i++) {
        g_assert_cmpuint(latched(r, 2), ==, odd[i]);
        g_assert_true(out_of(r, 2) == (i % 5 < 3));
        pulses(r, 1);
    }
    program(r, 2, 3, false, 100);
    pulses(r, 1 + 20);
    out8(r->b, 0x42, 10); /* takes over at the end of the half period */
    out8(r->b, 0x42, 0);
    pulses(r, 29);
    g_assert_true(out_of(r, 2));
    pulses(r, 1);
    for (unsigned i = 0; i < 5; i++, pulses(r, 1))
        g_assert_false(out_of(r, 2));
    for (unsigned i = 0; i < 5; i++, pulses(r, 1))
        g_assert_true(out_of(r, 2));
    g_assert_false(out_of(r, 2));
}

static void test_mode4(struct rig *r, gconstpointer data)
{
    program(r, 0, 4, false, 100);
    g_assert_true(out_of(r, 0));
    unsigned rises = r->b->rises[IRQ0];
    pulses(r, 1 + 99);
    g_assert_true(out_of(r, 0));
    pulses(r, 1);
    g_assert_false(out_of(r, 0)); /* the strobe lasts one pulse */
    pulses(r, 1);
    g_assert_true(out_of(r, 0));
    pulses(r, 200000);
    g_assert_cmpuint(r->b->rises[IRQ0], ==, rises + 1);
    out8(r->b, 0x40, 200); /* the next count is the next event: one-shot kernels do this */
    out8(r->b, 0x40, 0);
    pulses(r, 300);
    g_assert_cmpuint(r->b->rises[IRQ0], ==, rises + 2);
}

static void test_mode5(struct rig *r, gconstpointer data)
{
    program(r, 2, 5, false, 20);
    pulses(r, 50);
    g_assert_true(out_of(r, 2));
    out8(r->b, 0x61, 1);
    pulses(r, 1 + 19);
    g_assert_true(out_of(r, 2));
    pulses(r, 1);
    g_assert_false(out_of(r, 2));
    pulses(r, 1);
    g_assert_true(out_of(r, 2));
}

static void test_bcd(struct rig *r, gconstpointer data)
{
    out8(r->b, 0x61, 1);
    program(r, 2, 2, true, 0x1234);
    pulses(r, 1 + 35);
    g_assert_cmphex(latched(r, 2), ==, 0x1199);
    program(r, 2, 0, true, 0);
    pulses(r, 1 + 1);
    g_assert_cmphex(latched(r, 2), ==, 0x9999);
    program(r, 2, 0, true, 0xffff); /* no digits: some count, no harm */
    pulses(r, 10);
    latched(r, 2);
}

static void test_access_modes(struct rig *r, gconstpointer data)
{
    out8(r->b, 0x43, 0x94); /* counter 2, low byte only, mode 2 */
    out8(r->b, 0x61, 1);
    out8(r->b, 0x42, 200);
    pulses(r, 1 + 50);
    g_assert_cmpuint(in8(r->b, 0x42), ==, 150);
    out8(r->b, 0x43, 0x80);
    pulses(r, 50);
    g_assert_cmpuint(in8(r->b, 0x42), ==, 150); /* latched */
    g_assert_cmpuint(in8(r->b, 0x42), ==, 100); /* live */
    out8(r->b, 0x43, 0xa4);                     /* high byte only */
    out8(r->b, 0x42, 0x10);
    pulses(r, 1);
    g_assert_cmphex(in8(r->b, 0x42), ==, 0x10);
    pulses(r, 1);
    g_assert_cmphex(in8(r->b, 0x42), ==, 0x0f);
    program(r, 2, 2, false, 0x1234); /* both: reading alternates */
    pulses(r, 1);
    g_assert_cmphex(in8(r->b, 0x42), ==, 0x34);
    g_assert_cmphex(in8(r->b, 0x42), ==, 0x12);
    g_assert_cmphex(in8(r->b, 0x43), ==, 0xff);
}

static void test_read_back(struct rig *r, gconstpointer data)
{
    out8(r->b, 0x61, 1);
    program(r, 2, 2, false, 1000);
    program(r, 1, 2, false, 18);
    pulses(r, 1 + 100);
    out8(r->b, 0x43, 0xc8); /* count and status of counter 2 */
    pulses(r, 100);
    out8(r->b, 0x43, 0xc8);                     /* the first latch stands */
    g_assert_cmphex(in8(r->b, 0x42), ==, 0xb4); /* status first */
    uint8_t low = in8(r->b, 0x42);
    g_assert_cmpuint(low | in8(r->b, 0x42) << 8, ==, 900);
    out8(r->b, 0x43, 0xee); /* status of all three */
    g_assert_cmphex(in8(r->b, 0x40) & 0x3f, ==, 0x36);
    g_assert_cmphex(in8(r->b, 0x41) & 0x3f, ==, 0x34);
    g_assert_cmphex(in8(r->b, 0x42) & 0x3f, ==, 0x34);
}

static void test_port_b(struct rig *r, gconstpointer data)
{
    out8(r->b, 0x61, 0x0e);
    g_assert_cmphex(in8(r->b, 0x61) & 0xcf, ==, 0x0e);
    unsigned toggles = 0;
    bool before = in8(r->b, 0x61) & 0x10;
    for (unsigned i = 0; i < 1800; i++) {
        pulses(r, 1);
        bool now = in8(r->b, 0x61) & 0x10;
        toggles += now != before;
        before = now;
    }
    g_assert_cmpuint(toggles, ==, 100); /* one each 15 µs */
}

static void test_periodic_irq(struct rig *r, gconstpointer data)
{
    program(r, 0, 2, false, 11932); /* 100 Hz */
    unsigned rises = r->b->rises[IRQ0];
    clock_manual_advance(r->b->clock, 10 * NANOSECONDS);
    g_assert_cmpuint(r->b->rises[IRQ0] - rises, ==, 10 * PIT_HZ / 11932);
    program(r, 0, 3, false, 0);
    rises = r->b->rises[IRQ0];
    clock_manual_advance(r->b->clock, 100 * NANOSECONDS);
    g_assert_cmpuint(r->b->rises[IRQ0] - rises, ==, 1820); /* 18.2 Hz */
    g_assert_cmpuint(pit_edges_dropped(r->pit), ==, 0);
    g_assert_cmpuint(pit_edges_reinjected(r->pit), ==, 0);
}

static void test_count_changed_on_the_fly(struct rig *r, gconstpointer data)
{
    program(r, 0, 2, false, 10000);
    pulses(r, 1 + 5000);
    unsigned rises = r->b->rises[IRQ0];
    out8(r->b, 0x40, 0xd0); /* 2000 */
    out8(r->b, 0x40, 0x07);
    pulses(r, 4000);
    g_assert_cmpuint(r->b->rises[IRQ0], ==, rises);
    pulses(r, 1100); /* the old period ends: an edge, and the new count */
    g_assert_cmpuint(r->b->rises[IRQ0], ==, rises + 1);
    pulses(r, 20000);
    g_assert_cmpuint(r->b->rises[IRQ0], ==, rises + 11);
}

/* The host does not run the machine for a while. */
static void sleep_through(struct rig *r, int64_t ns)
{
    clock_set(r->b->clock, clock_now(r->b->clock) + ns);
}

static void test_late_ticks(struct rig *r, gconstpointer data)
{
    program(r, 0, 2, false, 11932);
    unsigned rises = r->b->rises[IRQ0];
    sleep_through(r, NANOSECONDS / 2); /* 49 edges have passed */
    clock_manual_advance(r->b->clock, 0);
    g_assert_cmpuint(r->b->rises[IRQ0], ==, rises + 1); /* one now, the rest spread out */
    clock_manual_advance(r->b->clock, NANOSECONDS / 2);
    unsigned seen = r->b->rises[IRQ0] - rises;
    g_assert_cmpuint(seen, >=, 99);
    g_assert_cmpuint(seen, <=, 100);
    g_assert_cmpuint(pit_edges_dropped(r->pit), ==, 0);
    g_assert_cmpuint(pit_edges_reinjected(r->pit), >, 0);
    unsigned before = r->b->rises[IRQ0];
    clock_manual_advance(r->b->clock, NANOSECONDS);
    g_assert_cmpuint(r->b->rises[IRQ0] - before, <=, 101); /* caught up: the plain rate again */
    sleep_through(r, 100 * NANOSECONDS);                   /* far too late: bounded */
    clock_manual_advance(r->b->clock, 0);
    g_assert_cmpuint(pit_edges_dropped(r->pit), >=, 8900);
}

static void test_too_fast(struct rig *r, gconstpointer data)
{
    for (unsigned count = 1; count <= 4; count++) {
        program(r, 0, 2, false, (uint16_t)count);
        unsigned rises = r->b->rises[IRQ0];
        clock_manual_advance(r->b->clock, NANOSECONDS / 10);
        g_assert_cmpuint(r->b->rises[IRQ0] - rises, <=, 5001); /* 50 kHz at most */
        g_assert_true(count == 1 || r->b->rises[IRQ0] > rises + 1000);
    }
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    program(r, 0, 2, false, 4000);
    program(r, 1, 3, true, 0x0300);
    out8(r->b, 0x61, 3);
    program(r, 2, 1, false, 1000);
    out8(r->b, 0x61, 2);
    out8(r->b, 0x61, 3);
    out8(r->b, 0x42, 9); /* half a count */
    out8(r->b, 0x43, 0xce);
    pulses(r, 1234);
}

static void test_state(struct rig *r, gconstpointer data)
{
    disturb(r);
    out8(r->b, 0x40, 100); /* a count that waits */
    out8(r->b, 0x40, 0);
    bench_round_trip((struct device *)r->pit, NULL, NULL);
    unsigned rises = r->b->rises[IRQ0];
    pulses(r, 4000 - 1234);
    pulses(r, 10000);
    g_assert_cmpuint(r->b->rises[IRQ0] - rises, >=, 100);
    bench_damaged_state(r->b, (struct device *)r->pit);
    device_reset((struct device *)r->pit);
    g_assert_cmphex(status(r, 0) & 0x3f, ==, 0x36);
    g_assert_cmphex(in8(r->b, 0x61) & 0x0f, ==, 0);
    clock_manual_advance(r->b->clock, NANOSECONDS);
}

static void reload(struct rig *r)
{
    struct device *pit = (struct device *)r->pit;
    g_autoptr(GByteArray) state = g_byte_array_new();
    size_t pos = 0;
    state_save(pit->class->state, pit->id, pit, state);
    g_assert_true(state_load(pit->class->state, pit->id, pit, state->data, state->len, &pos, NULL));
}

/* A request that nobody has taken yet stays, and the next one comes to the nanosecond when it would have. */
static void test_state_line(struct rig *r, gconstpointer data)
{
    for (unsigned mode = 2; mode <= 3; mode++) {
        program(r, 0, mode, false, 5000);
        pulses(r, 5001);
        g_assert_true(r->b->level[IRQ0]);
        pulses(r, mode == 3 ? 4000 : 4999); /* the output is low, and the wire is not */
        g_assert_false(out_of(r, 0));
        unsigned rises = r->b->rises[IRQ0];
        reload(r);
        g_assert_true(r->b->level[IRQ0]);
        g_assert_cmpuint(r->b->rises[IRQ0], ==, rises);
        int64_t edge = clock_next_deadline(r->b->clock);
        clock_manual_advance(r->b->clock, edge - 5000 - clock_now(r->b->clock));
        reload(r);
        g_assert_cmpint(clock_next_deadline(r->b->clock), ==, edge);
        clock_manual_advance(r->b->clock, 4999);
        g_assert_cmpuint(r->b->rises[IRQ0], ==, rises);
        clock_manual_advance(r->b->clock, 1);
        g_assert_cmpuint(r->b->rises[IRQ0], ==, rises + 1);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/pit/" #name, struct rig, NULL, set_up, test_##name, tear_down)
    TEST(mode0);
    TEST(mode0_gate);
    TEST(mode1);
    TEST(mode2);
    TEST(mode3);
    TEST(mode4);
    TEST(mode5);
    TEST(bcd);
    TEST(access_modes);
    TEST(read_back);
    TEST(port_b);
    TEST(periodic_irq);
    TEST(count_changed_on_the_fly);
    TEST(late_ticks);
    TEST(too_fast);
    TEST(state);
    TEST(state_line);
    return g_test_run();
}
