/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * VMware's port and its mouse, called as drivers call it.
 */
#include "emu/dev/vmport.h"
#include "tests/dev/chip_bench.h"

enum { EAX, ECX, EDX, EBX, PORT = 0x5658 };
#define MAGIC 0x564d5868u

struct rig {
    struct bench *b;
    struct vmport *vmport;
    uint32_t reg[4];
    unsigned nudges, changes;
};

static uint32_t get(void *opaque, unsigned reg)
{
    return ((struct rig *)opaque)->reg[reg];
}

static void set(void *opaque, unsigned reg, uint32_t value)
{
    ((struct rig *)opaque)->reg[reg] = value;
}

static void nudge(void *opaque)
{
    ((struct rig *)opaque)->nudges++;
}

static void changed(void *opaque)
{
    ((struct rig *)opaque)->changes++;
}

static void set_up(struct rig *r, gconstpointer data)
{
    r->b = bench_new();
    r->vmport = vmport_new(
        r->b->io,
        &(struct vmport_board){
            .opaque = r, .get = get, .set = set, .nudge = nudge, .changed = changed, .ram_mib = 64});
    device_reset((struct device *)r->vmport);
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->vmport);
    bench_free(r->b);
}

static uint32_t call(struct rig *r, uint32_t number, uint32_t argument)
{
    r->reg[EAX] = MAGIC;
    r->reg[ECX] = number;
    r->reg[EBX] = argument;
    return r->reg[EAX] = in32(r->b, PORT);
}

static void enable(struct rig *r)
{
    call(r, 41, 0x45414552);
    g_assert_cmphex(call(r, 40, 0), ==, 1);
    g_assert_cmphex(call(r, 39, 1), ==, 0x3442554a);
    call(r, 41, 0x53424152);
}

static void test_driver(struct rig *r, gconstpointer data)
{
    g_assert_cmphex(call(r, 10, ~0u), ==, 6);
    g_assert_cmphex(r->reg[EBX], ==, MAGIC);
    g_assert_cmphex(call(r, 20, 0), ==, 64 << 20);
    g_assert_cmphex(call(r, 40, 0), ==, 0xffff0000); /* nobody has enabled it */
    g_assert_false(vmport_absolute(r->vmport));
    enable(r);
    g_assert_true(vmport_absolute(r->vmport));
    g_assert_cmpuint(r->changes, ==, 1);
    vmport_pointer(r->vmport, 1000, 0xffff, -1, 5);
    g_assert_cmpuint(r->nudges, ==, 1);
    g_assert_cmphex(call(r, 40, 0), ==, 4);
    g_assert_cmphex(call(r, 39, 4), ==, 0x28);
    g_assert_cmphex(r->reg[EBX], ==, 1000);
    g_assert_cmphex(r->reg[ECX], ==, 0xffff);
    g_assert_cmphex(r->reg[EDX], ==, 0xffffffff);
    g_assert_cmphex(call(r, 40, 0), ==, 0);
    call(r, 41, 0x4c455252);
    g_assert_false(vmport_absolute(r->vmport));
    call(r, 41, 0x53424152);
    call(r, 41, 0xf5);
    g_assert_false(vmport_absolute(r->vmport));
    g_assert_cmpuint(r->changes, ==, 4);
    g_assert_cmphex(call(r, 999, 7), ==, MAGIC); /* no such call: nothing happens */
}

static void test_not_a_call(struct rig *r, gconstpointer data)
{
    r->reg[EAX] = 1;
    r->reg[ECX] = 10;
    g_assert_cmphex(in32(r->b, PORT), ==, 0xffffffff);
    r->reg[EAX] = MAGIC;
    g_assert_cmphex(in8(r->b, PORT), ==, 0xff);
    g_assert_cmphex(in16(r->b, PORT), ==, 0xffff);
    out32(r->b, PORT, MAGIC);
    g_assert_cmphex(r->reg[EBX], ==, 0);
}

/* A slow driver: motion takes the place of motion, clicks are kept, and the queue has an end. */
static void test_slow(struct rig *r, gconstpointer data)
{
    enable(r);
    for (unsigned i = 0; i < 1000; i++)
        vmport_pointer(r->vmport, i, i, 0, 0);
    g_assert_cmphex(call(r, 40, 0), ==, 8);
    vmport_pointer(r->vmport, 1000, 1000, 0, 1);
    vmport_pointer(r->vmport, 1000, 1000, 0, 0);
    g_assert_cmphex(call(r, 40, 0), ==, 16);
    static const uint32_t want[][2] = {{0, 0}, {0, 999}, {0x20, 1000}, {0, 1000}};
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmphex(call(r, 39, 4), ==, want[i][0]);
        g_assert_cmpuint(r->reg[EBX], ==, want[i][1]);
    }
    for (unsigned i = 0; i < 1000; i++)
        vmport_pointer(r->vmport, i, i, 0, i & 1);
    g_assert_cmphex(call(r, 40, 0), ==, 256);
    call(r, 39, 5); /* out of step: it has to begin anew */
    g_assert_cmphex(call(r, 40, 0), ==, 0xffff0000);
    g_assert_false(vmport_absolute(r->vmport));
    enable(r);
    call(r, 39, 1);
    g_assert_cmphex(call(r, 40, 0), ==, 0xffff0000);
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    enable(r);
    vmport_pointer(r->vmport, 7, 8, 0, 1);
}

static void test_state(struct rig *r, gconstpointer data)
{
    disturb(r);
    bench_round_trip((struct device *)r->vmport, NULL, NULL);
    g_assert_cmphex(call(r, 40, 0), ==, 4);
    bench_damaged_state(r->b, (struct device *)r->vmport);
    bench_reset_is_complete((struct device *)r->vmport, disturb, r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/vmport/" #name, struct rig, NULL, set_up, test_##name, tear_down)
    TEST(driver);
    TEST(not_a_call);
    TEST(slow);
    TEST(state);
    return g_test_run();
}
