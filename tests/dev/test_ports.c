/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The small ones: 8237 pair with page registers, isa-debug-exit.
 */
#include "emu/dev/debug_exit.h"
#include "emu/dev/dma8237.h"
#include "tests/dev/chip_bench.h"

#include <gio/gio.h>

struct rig {
    struct bench *b;
    struct dma8237 *dma;
    int code;
};

static void set_up(struct rig *r, gconstpointer data)
{
    r->b = bench_new();
    r->dma = dma8237_new(r->b->io);
    r->code = -1;
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->dma);
    bench_free(r->b);
}

static void test_dma(struct rig *r, gconstpointer data)
{
    static const struct {
        uint16_t base, step;
    } chips[2] = {{0x00, 1}, {0xc0, 2}};
    for (unsigned chip = 0; chip < 2; chip++) {
        uint16_t base = chips[chip].base, step = chips[chip].step;
        out8(r->b, (uint16_t)(base + 13 * step), 0); /* master clear */
        g_assert_cmphex(in8(r->b, (uint16_t)(base + 15 * step)), ==, 0xff);
        for (uint16_t reg = 0; reg < 8; reg++) {
            out8(r->b, (uint16_t)(base + reg * step), (uint8_t)(0x10 + reg));
            out8(r->b, (uint16_t)(base + reg * step), (uint8_t)(0xa0 + reg));
        }
        for (uint16_t reg = 0; reg < 8; reg++) {
            g_assert_cmphex(in8(r->b, (uint16_t)(base + reg * step)), ==, 0x10 + reg);
            g_assert_cmphex(in8(r->b, (uint16_t)(base + reg * step)), ==, 0xa0 + reg);
        }
        in8(r->b, base); /* one byte read: the flip-flop is at the second */
        out8(r->b, (uint16_t)(base + 12 * step), 0);
        g_assert_cmphex(in8(r->b, base), ==, 0x10);
        out8(r->b, (uint16_t)(base + 14 * step), 0);
        g_assert_cmphex(in8(r->b, (uint16_t)(base + 15 * step)), ==, 0xf0);
        out8(r->b, (uint16_t)(base + 10 * step), 4 | 2);
        g_assert_cmphex(in8(r->b, (uint16_t)(base + 15 * step)), ==, 0xf4);
        out8(r->b, (uint16_t)(base + 15 * step), 0x0a);
        out8(r->b, (uint16_t)(base + 10 * step), 1);
        g_assert_cmphex(in8(r->b, (uint16_t)(base + 15 * step)), ==, 0xf8);
        out8(r->b, (uint16_t)(base + 9 * step), 4 | 3);
        g_assert_cmphex(in8(r->b, (uint16_t)(base + 8 * step)), ==, 0x80);
        out8(r->b, (uint16_t)(base + 9 * step), 3);
        g_assert_cmphex(in8(r->b, (uint16_t)(base + 8 * step)), ==, 0x00);
        g_assert_cmphex(in8(r->b, (uint16_t)(base + 13 * step)), ==, 0x00);
    }
    for (uint16_t port = 0x80; port < 0x90; port++) {
        out8(r->b, port, (uint8_t)port);
        g_assert_cmphex(in8(r->b, port), ==, port);
    }
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    for (uint16_t port = 0; port < 12; port++)
        out8(r->b, port, (uint8_t)(port * 17));
    out8(r->b, 0x87, 0x55);
    out8(r->b, 0xd6, 0xc0);
}

static void test_dma_state(struct rig *r, gconstpointer data)
{
    disturb(r);
    bench_round_trip((struct device *)r->dma, NULL, NULL);
    g_assert_cmphex(in8(r->b, 0x87), ==, 0x55);
    bench_damaged_state(r->b, (struct device *)r->dma);
    bench_reset_is_complete((struct device *)r->dma, disturb, r);
}

static void ended(void *opaque, int code)
{
    ((struct rig *)opaque)->code = code;
}

static void test_debug_exit(struct rig *r, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    struct debug_exit *device = debug_exit_new(r->b->io, "exit", 0x501, 2, ended, r, &error);
    g_assert_no_error(error);
    out8(r->b, 0x501, 0x10);
    g_assert_cmpint(r->code, ==, 0x21);
    out16(r->b, 0x501, 0x0100);
    g_assert_cmpint(r->code, ==, 0x201);
    g_assert_cmphex(in8(r->b, 0x501), ==, 0);
    device_free((struct device *)device);
    g_assert_null(debug_exit_new(r->b->io, "exit", 0x501, 3, ended, r, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    g_assert_null(debug_exit_new(r->b->io, "exit", 0xffff, 2, ended, r, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/ports/" #name, struct rig, NULL, set_up, test_##name, tear_down)
    TEST(dma);
    TEST(dma_state);
    TEST(debug_exit);
    return g_test_run();
}
