/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Keyboard controller, keyboard, mouse, the A20 gate and port 0x92.
 */
#include "emu/dev/i8042.h"
#include "emu/dev/port92.h"
#include "tests/dev/chip_bench.h"

enum { IRQ1, IRQ12, RESET, A20 };
enum { OBF = 1, SYS = 4, COMMAND = 8, AUX = 0x20, TIMEOUT = 0x40 };
#define MS 1000000ll

struct rig {
    struct bench *b;
    struct a20 *a20;
    struct i8042 *kbc;
    struct port92 *port92;
};

static void set_up(struct rig *r, gconstpointer data)
{
    r->b = bench_new();
    struct irq_line a20 = bench_wire(r->b, A20), reset = bench_wire(r->b, RESET);
    r->a20 = a20_new(&a20);
    struct i8042_wiring wiring = {.irq_keyboard = bench_wire(r->b, IRQ1),
                                  .irq_mouse = bench_wire(r->b, IRQ12),
                                  .reset = reset,
                                  .a20 = r->a20,
                                  .mouse = data != NULL};
    r->kbc = i8042_new(r->b->io, r->b->clock, &wiring);
    r->port92 = port92_new(r->b->io, r->a20, &reset);
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->port92);
    device_free((struct device *)r->kbc);
    device_free((struct device *)r->a20);
    bench_free(r->b);
}

static uint8_t status(struct rig *r)
{
    return in8(r->b, 0x64);
}

static void command(struct rig *r, uint8_t value)
{
    out8(r->b, 0x64, value);
}

static void data_byte(struct rig *r, uint8_t value)
{
    out8(r->b, 0x60, value);
}

/* The next byte, which must be there; `from` is 0 or AUX. */
static uint8_t next(struct rig *r, uint8_t from)
{
    g_assert_cmphex(status(r) & (OBF | AUX), ==, OBF | from);
    return in8(r->b, 0x60);
}

#define assert_bytes(r, from, ...)                                                                           \
    do {                                                                                                     \
        static const uint8_t expected_[] = {__VA_ARGS__};                                                    \
        for (unsigned i_ = 0; i_ < sizeof expected_; i_++)                                                   \
            g_assert_cmphex(next(r, from), ==, expected_[i_]);                                               \
        g_assert_cmphex(status(r) & OBF, ==, 0);                                                             \
    } while (0)

static void set_command_byte(struct rig *r, uint8_t value)
{
    command(r, 0x60);
    data_byte(r, value);
}

static void tap(struct rig *r, unsigned code)
{
    i8042_key(r->kbc, code, true);
    i8042_key(r->kbc, code, false);
}

static void test_controller(struct rig *r, gconstpointer data)
{
    g_assert_cmphex(status(r), ==, 0x10);
    command(r, 0xaa);
    g_assert_cmphex(status(r) & (COMMAND | SYS), ==, COMMAND | SYS);
    assert_bytes(r, 0, 0x55);
    command(r, 0xab);
    assert_bytes(r, 0, 0x00);
    command(r, 0xa9);
    assert_bytes(r, 0, 0x00);
    set_command_byte(r, 0x45);
    g_assert_cmphex(status(r) & COMMAND, ==, 0);
    command(r, 0x20);
    assert_bytes(r, 0, 0x45);
    command(r, 0x7f); /* the rest of its RAM */
    data_byte(r, 0x99);
    command(r, 0x3f);
    assert_bytes(r, 0, 0x99);
    command(r, 0xad);
    command(r, 0xa7);
    command(r, 0x20);
    assert_bytes(r, 0, 0x75);
    command(r, 0xae);
    command(r, 0xa8);
    command(r, 0x20);
    assert_bytes(r, 0, 0x45);
    command(r, 0xa4);
    assert_bytes(r, 0, 0xf1);
    command(r, 0xc0);
    assert_bytes(r, 0, 0x80);
    command(r, 0xe0);
    assert_bytes(r, 0, 0x00);
    command(r, 0xbb); /* there is no such command */
    g_assert_cmphex(status(r) & OBF, ==, 0);
    command(r, 0xd2);
    data_byte(r, 0x1e);
    assert_bytes(r, 0, 0x1e);
    command(r, 0xd3);
    data_byte(r, 0x1f);
    assert_bytes(r, AUX, 0x1f);
}

static void test_reset_lines(struct rig *r, gconstpointer data)
{
    command(r, 0xff); /* pulses nothing */
    g_assert_cmpuint(r->b->rises[RESET], ==, 0);
    command(r, 0xfe);
    g_assert_cmpuint(r->b->rises[RESET], ==, 1);
    g_assert_false(r->b->level[RESET]);
    command(r, 0xd1);
    data_byte(r, 0x02);
    g_assert_cmpuint(r->b->rises[RESET], ==, 2);
    out8(r->b, 0x92, 0x03);
    g_assert_cmpuint(r->b->rises[RESET], ==, 3);
    out8(r->b, 0x92, 0x03); /* only a rising bit */
    g_assert_cmpuint(r->b->rises[RESET], ==, 3);
    g_assert_cmphex(in8(r->b, 0x92), ==, 0x03);
}

static void test_a20(struct rig *r, gconstpointer data)
{
    g_assert_true(r->b->level[A20]);
    command(r, 0xd1);
    data_byte(r, 0xdd);
    g_assert_false(r->b->level[A20]);
    g_assert_cmphex(in8(r->b, 0x92) & 2, ==, 0); /* one latch, seen from both sides */
    out8(r->b, 0x92, 0x02);
    g_assert_true(r->b->level[A20]);
    command(r, 0xd0);
    g_assert_cmphex(next(r, 0) & 0x03, ==, 0x03);
    command(r, 0xdd);
    g_assert_false(a20_get(r->a20));
    command(r, 0xdf);
    g_assert_true(a20_get(r->a20));
    a20_set(r->a20, false);
    bench_round_trip((struct device *)r->a20, NULL, NULL);
    g_assert_false(r->b->level[A20]);
    device_reset((struct device *)r->a20);
    g_assert_true(r->b->level[A20]);
    out8(r->b, 0x92, 0x40);
    bench_round_trip((struct device *)r->port92, NULL, NULL);
    g_assert_cmphex(in8(r->b, 0x92), ==, 0x40);
    bench_damaged_state(r->b, (struct device *)r->port92);
    bench_damaged_state(r->b, (struct device *)r->a20);
}

static void test_keyboard_commands(struct rig *r, gconstpointer data)
{
    data_byte(r, 0xff);
    assert_bytes(r, 0, 0xfa, 0xaa);
    data_byte(r, 0xee);
    assert_bytes(r, 0, 0xee);
    data_byte(r, 0xf2);
    assert_bytes(r, 0, 0xfa, 0xab, 0x83);
    data_byte(r, 0xed);
    assert_bytes(r, 0, 0xfa);
    data_byte(r, 0x05);
    assert_bytes(r, 0, 0xfa);
    g_assert_cmpuint(i8042_leds(r->kbc), ==, 5);
    data_byte(r, 0xf0);
    data_byte(r, 0x00);
    assert_bytes(r, 0, 0xfa, 0xfa, 0x02);
    data_byte(r, 0xf0);
    data_byte(r, 0x03); /* no set 3 */
    assert_bytes(r, 0, 0xfa, 0xfe);
    data_byte(r, 0xf3);
    data_byte(r, 0x00);
    assert_bytes(r, 0, 0xfa, 0xfa);
    data_byte(r, 0xed); /* a command instead of the parameter */
    data_byte(r, 0xf4);
    assert_bytes(r, 0, 0xfa, 0xfa);
    data_byte(r, 0x12); /* no command at all */
    assert_bytes(r, 0, 0xfe);
    data_byte(r, 0xf5);
    assert_bytes(r, 0, 0xfa);
    data_byte(r, 0xfe); /* the last byte again */
    assert_bytes(r, 0, 0xfa);
    tap(r, 0x1e);
    g_assert_cmphex(status(r) & OBF, ==, 0); /* F5 stopped scanning */
    set_command_byte(r, 0x40);               /* translated, as every byte of the keyboard */
    data_byte(r, 0xf2);
    assert_bytes(r, 0, 0xfa, 0xab, 0x41);
}

static void test_scancodes(struct rig *r, gconstpointer data)
{
    tap(r, 0x1e); /* A, set 2 */
    assert_bytes(r, 0, 0x1c, 0xf0, 0x1c);
    tap(r, 0x11c); /* keypad Enter */
    assert_bytes(r, 0, 0xe0, 0x5a, 0xe0, 0xf0, 0x5a);
    tap(r, 0x145); /* Pause */
    assert_bytes(r, 0, 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
    tap(r, 0x137); /* Print Screen */
    assert_bytes(r, 0, 0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12);
    tap(r, 0x41); /* F7 */
    assert_bytes(r, 0, 0x83, 0xf0, 0x83);
    tap(r, 0x7f); /* no such key */
    tap(r, 0x9999);
    g_assert_cmphex(status(r) & OBF, ==, 0);
    set_command_byte(r, 0x40);
    static const uint8_t keys[] = {0x01, 0x02, 0x0e, 0x1e, 0x2a, 0x39, 0x3b, 0x41,
                                   0x44, 0x45, 0x53, 0x54, 0x57, 0x58, 0x5b};
    for (unsigned i = 0; i < sizeof keys; i++) { /* translation gives set 1 back */
        tap(r, keys[i]);
        g_assert_cmphex(next(r, 0), ==, keys[i]);
        g_assert_cmphex(next(r, 0), ==, keys[i] | 0x80);
        g_assert_cmphex(status(r) & OBF, ==, 0);
    }
    tap(r, 0x148);
    assert_bytes(r, 0, 0xe0, 0x48, 0xe0, 0xc8);
    set_command_byte(r, 0x00);
    data_byte(r, 0xf0);
    data_byte(r, 0x01);
    assert_bytes(r, 0, 0xfa, 0xfa);
    tap(r, 0x1e); /* set 1 from the keyboard itself */
    assert_bytes(r, 0, 0x1e, 0x9e);
    tap(r, 0x145);
    assert_bytes(r, 0, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
}

static void test_interrupts(struct rig *r, gconstpointer data)
{
    set_command_byte(r, 0x01);
    tap(r, 0x1e);
    g_assert_true(r->b->level[IRQ1]);
    g_assert_cmpuint(r->b->rises[IRQ1], ==, 1);
    next(r, 0);
    g_assert_cmpuint(r->b->rises[IRQ1], ==, 2); /* an edge for each byte */
    next(r, 0);
    next(r, 0);
    g_assert_cmpuint(r->b->rises[IRQ1], ==, 3);
    g_assert_false(r->b->level[IRQ1]);
    set_command_byte(r, 0x00);
    tap(r, 0x1e);
    g_assert_false(r->b->level[IRQ1]);
    set_command_byte(r, 0x01);
    g_assert_true(r->b->level[IRQ1]);
    command(r, 0xad); /* the clock is held: what is in the buffer stays, no more comes */
    next(r, 0);
    g_assert_cmphex(status(r) & OBF, ==, 0);
    command(r, 0xae);
    g_assert_cmphex(status(r) & OBF, ==, OBF);
}

static void test_typematic(struct rig *r, gconstpointer data)
{
    data_byte(r, 0xf3);
    data_byte(r, 0x00); /* 30 a second after 250 ms */
    assert_bytes(r, 0, 0xfa, 0xfa);
    i8042_key(r->kbc, 0x1e, true);
    assert_bytes(r, 0, 0x1c);
    clock_manual_advance(r->b->clock, 249 * MS);
    g_assert_cmphex(status(r) & OBF, ==, 0);
    clock_manual_advance(r->b->clock, 2 * MS);
    assert_bytes(r, 0, 0x1c);
    unsigned repeats = 0;
    for (unsigned i = 0; i < 1000; i++) {
        clock_manual_advance(r->b->clock, MS);
        if (status(r) & OBF) {
            g_assert_cmphex(next(r, 0), ==, 0x1c);
            repeats++;
        }
    }
    g_assert_cmpuint(repeats, >=, 29);
    g_assert_cmpuint(repeats, <=, 30);
    i8042_key(r->kbc, 0x1e, false);
    assert_bytes(r, 0, 0xf0, 0x1c);
    clock_manual_advance(r->b->clock, NANOSECONDS);
    g_assert_cmphex(status(r) & OBF, ==, 0);
}

static void test_overrun(struct rig *r, gconstpointer data)
{
    for (unsigned i = 0; i < 100; i++)
        tap(r, 0x1e);
    unsigned bytes = 0;
    uint8_t last = 0xff;
    for (; status(r) & OBF && bytes < 1000; bytes++)
        last = in8(r->b, 0x60);
    g_assert_cmpuint(bytes, <=, 34);
    g_assert_cmphex(last, ==, 0x00); /* the mark of set 2 */
    for (unsigned i = 0; i < 100; i++)
        data_byte(r, 0xee); /* answers nobody reads are bounded, too */
    for (bytes = 0; status(r) & OBF && bytes < 1000; bytes++)
        in8(r->b, 0x60);
    g_assert_cmpuint(bytes, <=, 9);
}

static void test_no_mouse(struct rig *r, gconstpointer data)
{
    set_command_byte(r, 0x02);
    command(r, 0xd4);
    data_byte(r, 0xff);
    g_assert_true(r->b->level[IRQ12]);
    g_assert_cmphex(status(r) & (OBF | AUX | TIMEOUT), ==, OBF | AUX | TIMEOUT);
    assert_bytes(r, AUX, 0xfe);
    g_assert_cmphex(status(r) & TIMEOUT, ==, 0);
    i8042_mouse(r->kbc, 1, 1, 0, 1);
    g_assert_cmphex(status(r) & OBF, ==, 0);
}

static void mouse(struct rig *r, uint8_t value)
{
    command(r, 0xd4);
    data_byte(r, value);
}

static void test_mouse(struct rig *r, gconstpointer data)
{
    set_command_byte(r, 0x02);
    mouse(r, 0xff);
    g_assert_true(r->b->level[IRQ12]);
    assert_bytes(r, AUX, 0xfa, 0xaa, 0x00);
    mouse(r, 0xf2);
    assert_bytes(r, AUX, 0xfa, 0x00);
    mouse(r, 0xe9);
    assert_bytes(r, AUX, 0xfa, 0x00, 0x02, 0x64);
    i8042_mouse(r->kbc, 5, 5, 0, 0);
    g_assert_cmphex(status(r) & OBF, ==, 0); /* not reporting yet */
    mouse(r, 0xf6);
    mouse(r, 0xf4);
    assert_bytes(r, AUX, 0xfa, 0xfa);
    i8042_mouse(r->kbc, 3, -4, 0, 1);
    assert_bytes(r, AUX, 0x09, 0x03, 0x04);
    i8042_mouse(r->kbc, -1, 2, 0, 0);
    assert_bytes(r, AUX, 0x38, 0xff, 0xfe);
    i8042_mouse(r->kbc, 300, 0, 0, 0); /* more than a packet holds: two */
    assert_bytes(r, AUX, 0x08, 0xff, 0x00, 0x08, 0x2d, 0x00);
    static const uint8_t knock[] = {200, 100, 80};
    for (unsigned i = 0; i < sizeof knock; i++) {
        mouse(r, 0xf3);
        mouse(r, knock[i]);
        assert_bytes(r, AUX, 0xfa, 0xfa);
    }
    mouse(r, 0xf2);
    assert_bytes(r, AUX, 0xfa, 0x03);
    i8042_mouse(r->kbc, 0, 0, -1, 0);
    assert_bytes(r, AUX, 0x08, 0x00, 0x00, 0xff);
    mouse(r, 0xe8);
    mouse(r, 0x03);
    mouse(r, 0xe7);
    mouse(r, 0xe9);
    assert_bytes(r, AUX, 0xfa, 0xfa, 0xfa, 0xfa, 0x30, 0x03, 0x50);
    mouse(r, 0xf0); /* remote: only when asked */
    i8042_mouse(r->kbc, 7, 0, 0, 2);
    assert_bytes(r, AUX, 0xfa);
    mouse(r, 0xeb);
    assert_bytes(r, AUX, 0xfa, 0x0a, 0x07, 0x00, 0x00);
    mouse(r, 0xee); /* wrap: everything comes back */
    mouse(r, 0xf2);
    mouse(r, 0xec);
    assert_bytes(r, AUX, 0xfa, 0xf2, 0xfa);
    mouse(r, 0x11);
    assert_bytes(r, AUX, 0xfe);
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    set_command_byte(r, 0x43);
    data_byte(r, 0xed);
    data_byte(r, 0x07);
    mouse(r, 0xf4);
    i8042_mouse(r->kbc, 1000, -1000, 3, 5);
    i8042_key(r->kbc, 0x1e, true);
    command(r, 0xd1);
}

static void test_state(struct rig *r, gconstpointer data)
{
    disturb(r);
    bench_round_trip((struct device *)r->kbc, NULL, NULL);
    g_assert_cmpuint(i8042_leds(r->kbc), ==, 7);
    g_assert_true(r->b->level[IRQ1]);
    clock_manual_advance(r->b->clock, 600 * MS);
    bench_damaged_state(r->b, (struct device *)r->kbc);
    bench_reset_is_complete((struct device *)r->kbc, disturb, r);
    g_assert_false(r->b->level[IRQ1]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name, with_mouse)                                                                               \
    g_test_add("/i8042/" #name, struct rig, with_mouse, set_up, test_##name, tear_down)
    TEST(controller, NULL);
    TEST(reset_lines, NULL);
    TEST(a20, NULL);
    TEST(keyboard_commands, NULL);
    TEST(scancodes, NULL);
    TEST(interrupts, NULL);
    TEST(typematic, NULL);
    TEST(overrun, NULL);
    TEST(no_mouse, NULL);
    TEST(mouse, "mouse");
    TEST(state, "mouse");
    return g_test_run();
}
