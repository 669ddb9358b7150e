/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The 8259 pair: initialisation, priorities, every end-of-interrupt command, modes, poll, ELCR, spurious
 * interrupts, the cascade. Behind it the interrupt wires of gsi.c and the joints of irq.h.
 */
#include "emu/dev/gsi.h"
#include "emu/dev/irq.h"
#include "emu/dev/pic.h"
#include "tests/dev/chip_bench.h"

enum { INTR = 0 };

struct rig {
    struct bench *b;
    struct pic *pic;
    struct irq_line irq[16];
};

static void initialise(struct bench *b, uint8_t master_icw4, uint8_t slave_icw4)
{
    out8(b, 0x20, 0x11);
    out8(b, 0x21, 0x20);
    out8(b, 0x21, 0x04);
    out8(b, 0x21, master_icw4);
    out8(b, 0xa0, 0x11);
    out8(b, 0xa1, 0x28);
    out8(b, 0xa1, 0x02);
    out8(b, 0xa1, slave_icw4);
}

static void set_up(struct rig *r, gconstpointer data)
{
    r->b = bench_new();
    struct irq_line intr = bench_wire(r->b, INTR);
    r->pic = pic_new(r->b->io, &intr);
    for (unsigned i = 0; i < 16; i++)
        r->irq[i] = pic_input(r->pic, i);
    initialise(r->b, 0x01, 0x01);
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->pic);
    bench_free(r->b);
}

static void up(struct rig *r, unsigned n)
{
    irq_set(&r->irq[n], true);
}

static void down(struct rig *r, unsigned n)
{
    irq_set(&r->irq[n], false);
}

static void pulse(struct rig *r, unsigned n)
{
    down(r, n);
    up(r, n);
}

static uint8_t read_irr(struct rig *r, uint16_t port)
{
    out8(r->b, port, 0x0a);
    return in8(r->b, port);
}

static uint8_t read_isr(struct rig *r, uint16_t port)
{
    out8(r->b, port, 0x0b);
    return in8(r->b, port);
}

static void test_edges(struct rig *r, gconstpointer data)
{
    up(r, 3);
    g_assert_true(r->b->level[INTR]);
    g_assert_cmphex(read_irr(r, 0x20), ==, 0x08);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x23);
    g_assert_false(r->b->level[INTR]);
    g_assert_cmphex(read_irr(r, 0x20), ==, 0x00);
    g_assert_cmphex(read_isr(r, 0x20), ==, 0x08);
    out8(r->b, 0x20, 0x20);
    g_assert_cmphex(read_isr(r, 0x20), ==, 0x00);
    g_assert_false(r->b->level[INTR]); /* the line is still high: no second interrupt without an edge */
    pulse(r, 3);
    g_assert_true(r->b->level[INTR]);
}

static void test_masked(struct rig *r, gconstpointer data)
{
    out8(r->b, 0x21, 0x08);
    g_assert_cmphex(in8(r->b, 0x21), ==, 0x08);
    up(r, 3);
    g_assert_false(r->b->level[INTR]);
    g_assert_cmphex(read_irr(r, 0x20), ==, 0x08);
    out8(r->b, 0x21, 0x00);
    g_assert_true(r->b->level[INTR]);
}

static void test_withdrawn_is_spurious(struct rig *r, gconstpointer data)
{
    up(r, 3);
    down(r, 3);
    g_assert_false(r->b->level[INTR]);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x27); /* INTA all the same: default 7, not in service */
    g_assert_cmphex(read_isr(r, 0x20), ==, 0x00);
}

static void test_slave(struct rig *r, gconstpointer data)
{
    up(r, 12);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x2c);
    g_assert_cmphex(read_isr(r, 0x20), ==, 0x04);
    g_assert_cmphex(read_isr(r, 0xa0), ==, 0x10);
    up(r, 9); /* more urgent on the slave, but the master serves input 2 already */
    g_assert_false(r->b->level[INTR]);
    up(r, 0); /* more urgent on the master */
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x20);
    out8(r->b, 0x20, 0x60);
    out8(r->b, 0xa0, 0x64);
    out8(r->b, 0x20, 0x62);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x29);
}

static void test_slave_spurious(struct rig *r, gconstpointer data)
{
    up(r, 12);
    out8(r->b, 0xa1, 0x10); /* masked between INTR and INTA: the master knows nothing of it… */
    g_assert_false(r->b->level[INTR]);
    out8(r->b, 0xa1, 0x00);
    g_assert_true(r->b->level[INTR]);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x2c);
}

static void test_special_fully_nested(struct rig *r, gconstpointer data)
{
    initialise(r->b, 0x11, 0x01);
    up(r, 12);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x2c);
    up(r, 9);
    g_assert_true(r->b->level[INTR]);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x29);
    up(r, 14); /* less urgent than 9 and 12 */
    g_assert_false(r->b->level[INTR]);
}

static void test_priorities(struct rig *r, gconstpointer data)
{
    up(r, 5);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x25);
    up(r, 6);
    g_assert_false(r->b->level[INTR]);
    up(r, 4);
    g_assert_true(r->b->level[INTR]);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x24);
    out8(r->b, 0x20, 0x20); /* non-specific: the most urgent in service, 4 */
    g_assert_cmphex(read_isr(r, 0x20), ==, 0x20);
    out8(r->b, 0x20, 0x20);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x26);
}

static void test_rotations(struct rig *r, gconstpointer data)
{
    out8(r->b, 0x20, 0xc3); /* set priority: 3 is lowest, 4 highest */
    up(r, 3);
    up(r, 4);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x24);
    out8(r->b, 0x20, 0xa0); /* rotate on non-specific EOI: 4 is lowest now */
    up(r, 5);
    pulse(r, 4);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x25);
    out8(r->b, 0x20, 0xe5); /* rotate on specific EOI: 5 is lowest */
    g_assert_cmphex(read_isr(r, 0x20), ==, 0x00);
    up(r, 6);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x26);
    out8(r->b, 0x20, 0x66); /* specific EOI without rotation */
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x23);
    out8(r->b, 0x20, 0x40); /* no operation */
    g_assert_cmphex(read_isr(r, 0x20), ==, 0x08);
}

static void test_automatic_eoi(struct rig *r, gconstpointer data)
{
    initialise(r->b, 0x03, 0x01);
    up(r, 2 + 1);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x23);
    g_assert_cmphex(read_isr(r, 0x20), ==, 0x00);
    out8(r->b, 0x20, 0x80); /* rotate in automatic EOI mode */
    up(r, 1);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x21);
    pulse(r, 1);
    up(r, 6);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x26); /* 1 is lowest now */
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x21);
    out8(r->b, 0x20, 0x00);
    pulse(r, 1);
    pulse(r, 6);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x26); /* order stays as it was left */
}

static void test_special_mask(struct rig *r, gconstpointer data)
{
    up(r, 4);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x24);
    up(r, 6);
    g_assert_false(r->b->level[INTR]);
    out8(r->b, 0x21, 0x10);
    out8(r->b, 0x20, 0x68); /* ESMM, SMM: a masked level in service holds nothing back */
    g_assert_true(r->b->level[INTR]);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x26);
    out8(r->b, 0x20, 0x20); /* non-specific EOI leaves the masked one alone */
    g_assert_cmphex(read_isr(r, 0x20), ==, 0x10);
    out8(r->b, 0x20, 0x48);
    pulse(r, 6);
    g_assert_false(r->b->level[INTR]);
}

static void test_poll(struct rig *r, gconstpointer data)
{
    out8(r->b, 0x20, 0x0c);
    g_assert_cmphex(in8(r->b, 0x20), ==, 0x00);
    up(r, 5);
    out8(r->b, 0x20, 0x0c);
    g_assert_cmphex(in8(r->b, 0x21), ==, 0x85);
    g_assert_cmphex(read_isr(r, 0x20), ==, 0x20);
    g_assert_false(r->b->level[INTR]);
    out8(r->b, 0x20, 0x20);
    up(r, 11);
    out8(r->b, 0x20, 0x0c);
    g_assert_cmphex(in8(r->b, 0x20), ==, 0x82);
    out8(r->b, 0xa0, 0x0c);
    g_assert_cmphex(in8(r->b, 0xa0), ==, 0x83);
    g_assert_cmphex(in8(r->b, 0x21), ==, 0x00); /* poll mode is for one read */
}

static void test_level(struct rig *r, gconstpointer data)
{
    out8(r->b, 0x4d0, 0xff);
    out8(r->b, 0x4d1, 0xff);
    g_assert_cmphex(in16(r->b, 0x4d0), ==, 0xdef8);
    up(r, 10);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x2a);
    out8(r->b, 0xa0, 0x20);
    out8(r->b, 0x20, 0x20);
    g_assert_true(r->b->level[INTR]); /* the line still stands */
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x2a);
    down(r, 10);
    out8(r->b, 0xa0, 0x20);
    out8(r->b, 0x20, 0x20);
    g_assert_false(r->b->level[INTR]);
}

static void test_initialisation_clears(struct rig *r, gconstpointer data)
{
    out8(r->b, 0x21, 0xff);
    up(r, 3);
    up(r, 4);
    out8(r->b, 0x20, 0x13); /* single: no ICW3 */
    out8(r->b, 0x21, 0x43);
    out8(r->b, 0x21, 0x01);
    g_assert_cmphex(in8(r->b, 0x21), ==, 0x00); /* mask is clear, and the next write is OCW1 */
    g_assert_cmphex(in8(r->b, 0x20), ==, 0x00); /* edges are forgotten */
    pulse(r, 4);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x44);
    out8(r->b, 0x20, 0x10); /* without ICW4: plain EOI again */
    out8(r->b, 0x21, 0x20);
    out8(r->b, 0x21, 0x04);
    out8(r->b, 0x21, 0xaa);
    g_assert_cmphex(in8(r->b, 0x21), ==, 0xaa);
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    initialise(r->b, 0x13, 0x01);
    out8(r->b, 0x21, 0x5a);
    out8(r->b, 0x20, 0xc5);
    out8(r->b, 0x4d1, 0x0c);
    up(r, 10);
    up(r, 7);
}

static void test_state(struct rig *r, gconstpointer data)
{
    disturb(r);
    out8(r->b, 0xa0, 0x0c);
    bench_round_trip((struct device *)r->pic, NULL, NULL);
    g_assert_true(r->b->level[INTR] == pic_output(r->pic));
    bench_damaged_state(r->b, (struct device *)r->pic);
    for (unsigned i = 0; i < 16; i++)
        down(r, i);
    device_reset((struct device *)r->pic);
    g_assert_false(r->b->level[INTR]);
    g_assert_cmphex(in8(r->b, 0x21), ==, 0x00);
    g_assert_cmphex(in16(r->b, 0x4d0), ==, 0x0000);
}

static void test_wires(struct rig *r, gconstpointer data)
{
    struct irq_line ioapic[GSI_COUNT];
    for (unsigned i = 0; i < GSI_COUNT; i++)
        ioapic[i] = bench_wire(r->b, 1 + i);
    struct gsi *gsi = gsi_new(r->irq, ioapic);
    struct irq_line timer = gsi_input(gsi, 0), a = gsi_input(gsi, 11), b = gsi_input(gsi, 11);
    struct irq_line pci = gsi_input(gsi, 17);
    irq_set(&timer, true);
    g_assert_true(r->b->level[1 + 2]);
    g_assert_false(r->b->level[1 + 0]);
    g_assert_cmphex(pic_acknowledge(r->pic), ==, 0x20);
    out8(r->b, 0x20, 0x20);
    out8(r->b, 0x4d1, 0x08);
    irq_set(&a, true);
    irq_set(&b, true);
    irq_set(&a, false);
    g_assert_true(r->b->level[1 + 11]);
    g_assert_true(r->b->level[INTR]);
    bench_round_trip((struct device *)gsi, NULL, NULL);
    irq_set(&b, false);
    g_assert_false(r->b->level[1 + 11]);
    g_assert_false(r->b->level[INTR]);
    g_assert_cmpuint(r->b->rises[1 + 11], ==, 1);
    irq_set(&pci, true);
    g_assert_true(r->b->level[1 + 17]);
    g_assert_false(r->b->level[INTR]);
    bench_damaged_state(r->b, (struct device *)gsi);
    device_free((struct device *)gsi);
}

static void test_joints(struct rig *r, gconstpointer data)
{
    struct irq_splitter splitter = {.out = {bench_wire(r->b, 1), bench_wire(r->b, 2)}};
    struct irq_line in = irq_splitter_input(&splitter);
    irq_set(&in, true);
    g_assert_true(r->b->level[1] && r->b->level[2]);
    struct irq_or gate = {.out = bench_wire(r->b, 3)};
    struct irq_line x = irq_or_input(&gate, 0), y = irq_or_input(&gate, 31);
    irq_set(&x, true);
    irq_set(&y, true);
    irq_set(&x, false);
    g_assert_true(r->b->level[3]);
    irq_set(&y, false);
    g_assert_false(r->b->level[3]);
    g_assert_cmpuint(r->b->rises[3], ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/pic/" #name, struct rig, NULL, set_up, test_##name, tear_down)
    TEST(edges);
    TEST(masked);
    TEST(withdrawn_is_spurious);
    TEST(slave);
    TEST(slave_spurious);
    TEST(special_fully_nested);
    TEST(priorities);
    TEST(rotations);
    TEST(automatic_eoi);
    TEST(special_mask);
    TEST(poll);
    TEST(level);
    TEST(initialisation_clears);
    TEST(state);
    TEST(wires);
    TEST(joints);
    return g_test_run();
}
