/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Parallel port (strobe, acknowledge, interrupt, what reaches the back end), watchdogs (IB700, 6300ESB:
 * times, stages, locks), pc-testdev.
 */
#include "emu/dev/parallel.h"
#include "emu/dev/pc_testdev.h"
#include "emu/dev/watchdog.h"
#include "emu/machine/loop.h"
#include "tests/dev/chip_bench.h"

enum { LPT = 0x378, WIRE = 7, SECOND = 1000000000 };
enum { STROBE = 1, INIT = 4, SELECT = 8, IRQ = 16, REVERSE = 32 };

/* ---- parallel ---- */

struct printer {
    struct bench *b;
    struct loop *loop;
    struct char_port *port;
    struct device *device;
};

static void printer_up(struct printer *p, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    p->b = bench_new();
    p->loop = loop_new(p->b->clock, &error);
    g_assert_no_error(error);
    p->port = char_open("lp", "ringbuf", p->loop, &error);
    g_assert_no_error(error);
    struct irq_line irq = bench_wire(p->b, WIRE);
    p->device = (struct device *)parallel_new(p->b->io, "parallel0", LPT, &irq, p->port);
}

static void printer_down(struct printer *p, gconstpointer data)
{
    device_free(p->device);
    char_free(p->port);
    loop_free(p->loop);
    bench_free(p->b);
}

static void expect_paper(struct printer *p, const char *text)
{
    uint8_t got[64];
    size_t len = char_ringbuf_read(p->port, got, sizeof got);
    g_assert_cmpmem(got, len, text, strlen(text));
}

static void test_print(struct printer *p, gconstpointer data)
{
    struct bench *b = p->b;
    g_assert_cmphex(in8(b, LPT + 1), ==, 0xd8);
    out8(b, LPT + 2, SELECT | INIT);
    g_assert_cmphex(in8(b, LPT + 2), ==, 0xc0 | SELECT | INIT);
    for (const char *c = "hi"; *c; c++) {
        out8(b, LPT, (uint8_t)*c);
        g_assert_cmphex(in8(b, LPT), ==, *c);
        out8(b, LPT + 2, SELECT | INIT | STROBE);
        g_assert_cmphex(in8(b, LPT + 1) & 0x80, ==, 0); /* busy */
        out8(b, LPT + 2, SELECT | INIT | STROBE);       /* no edge */
        out8(b, LPT + 2, SELECT | INIT);
        g_assert_cmphex(in8(b, LPT + 1), ==, 0x18); /* ACK, once */
        g_assert_cmphex(in8(b, LPT + 1), ==, 0xd8);
    }
    expect_paper(p, "hi");
    /* In reset, or not selected, it does not listen. */
    out8(b, LPT + 2, SELECT);
    out8(b, LPT + 2, SELECT | STROBE);
    out8(b, LPT + 2, SELECT);
    out8(b, LPT + 2, INIT | STROBE);
    out8(b, LPT + 2, INIT);
    expect_paper(p, "");
    out8(b, LPT + 1, 0); /* read-only */
    g_assert_cmphex(in8(b, LPT + 1), ==, 0xd8);
    out8(b, LPT + 2, REVERSE);
    g_assert_cmphex(in8(b, LPT), ==, 0xff); /* nobody drives the lines */
    g_assert_false(b->level[WIRE]);
}

static void print_byte(void *opaque)
{
    struct bench *b = opaque;
    out8(b, LPT, 'x');
    out8(b, LPT + 2, SELECT | INIT | IRQ | STROBE);
    out8(b, LPT + 2, SELECT | INIT | IRQ);
}

static void test_interrupt(struct printer *p, gconstpointer data)
{
    struct bench *b = p->b;
    print_byte(b);
    g_assert_true(b->level[WIRE]);
    in8(b, LPT + 1);
    g_assert_false(b->level[WIRE]);
    print_byte(b);
    out8(b, LPT + 2, SELECT | INIT); /* switched off */
    g_assert_false(b->level[WIRE]);
    g_assert_cmpuint(b->rises[WIRE], ==, 2);
    expect_paper(p, "xx");
    print_byte(b);
    bench_round_trip(p->device, NULL, NULL);
    g_assert_true(b->level[WIRE]);
    bench_reset_is_complete(p->device, print_byte, b);
    bench_damaged_state(b, p->device);
}

/* ---- IB700 ---- */

static void count(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void start_ib700(void *opaque)
{
    out8(opaque, 0x443, 0x0a);
}

static void test_ib700(void)
{
    struct bench *b = bench_new();
    unsigned expired = 0;
    struct device *dog = (struct device *)ib700_new(
        b->io, b->clock, "ib700", &(struct watchdog_wiring){.expired = count, .opaque = &expired});
    g_assert_cmpint(clock_next_deadline(b->clock), ==, CLOCK_NEVER);
    out8(b, 0x443, 0x0a); /* 10 s */
    clock_manual_advance(b->clock, 9ll * SECOND);
    g_assert_cmpuint(expired, ==, 0);
    out8(b, 0x443, 0xfe); /* 2 s from now; the upper bits do not count */
    clock_manual_advance(b->clock, 2ll * SECOND - 1);
    g_assert_cmpuint(expired, ==, 0);
    clock_manual_advance(b->clock, 1);
    g_assert_cmpuint(expired, ==, 1);
    clock_manual_advance(b->clock, 60ll * SECOND); /* once */
    g_assert_cmpuint(expired, ==, 1);
    out8(b, 0x443, 0);
    clock_manual_advance(b->clock, 29ll * SECOND);
    out8(b, 0x441, 0);
    clock_manual_advance(b->clock, 60ll * SECOND);
    g_assert_cmpuint(expired, ==, 1);
    out8(b, 0x443, 0);
    device_reset(dog);
    g_assert_cmpint(clock_next_deadline(b->clock), ==, CLOCK_NEVER);
    start_ib700(b);
    bench_round_trip(dog, NULL, NULL);
    clock_manual_advance(b->clock, 10ll * SECOND);
    g_assert_cmpuint(expired, ==, 2);
    bench_reset_is_complete(dog, start_ib700, b);
    bench_damaged_state(b, dog);
    device_free(dog);
    bench_free(b);
}

/* ---- 6300ESB ---- */

enum {
    ESB = 5 << 3,
    WINDOW = 0xd0000000,
    TIMER1 = WINDOW,
    TIMER2 = WINDOW + 4,
    STATUS = WINDOW + 8,
    RELOAD = WINDOW + 12
};

struct esb {
    struct bench *b;
    struct pci_bus *bus;
    struct device *dog;
    unsigned expired;
};

static void place(struct esb *e)
{
    pci_config_write(e->bus, ESB, 0x10, WINDOW, 4);
    pci_config_write(e->bus, ESB, PCI_COMMAND, 2, 2);
}

static void esb_up(struct esb *e, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    e->b = bench_new();
    e->bus = pci_bus_new(e->b->mem, e->b->io);
    e->dog = (struct device *)i6300esb_new(e->bus, e->b->clock, "dog", 5,
                                           &(struct watchdog_wiring){.expired = count, .opaque = &e->expired},
                                           &error);
    g_assert_no_error(error);
    place(e);
}

static void esb_down(struct esb *e, gconstpointer data)
{
    device_free(e->dog);
    pci_bus_free(e->bus);
    bench_free(e->b);
}

static void unlocked(struct esb *e, uint32_t at, uint32_t value)
{
    phys_write16(e->b->mem, RELOAD, 0x80);
    phys_write16(e->b->mem, RELOAD, 0x86);
    if (at == RELOAD)
        phys_write16(e->b->mem, at, (uint16_t)value);
    else
        phys_write32(e->b->mem, at, value);
}

/* A second and a half each: 0x600 ms of 2^15 clocks at 33 MHz, less the one that is added. */
static void start_esb(void *opaque)
{
    struct esb *e = opaque;
    place(e);
    unlocked(e, TIMER1, 0x600 - 1);
    unlocked(e, TIMER2, 0x600 - 1);
    pci_config_write(e->bus, ESB, 0x68, 2, 1);
}

static void test_esb(struct esb *e, gconstpointer data)
{
    const int64_t stage = 0x600ll * 32768 * 1000 / 33; /* ns, rounded down */
    g_assert_cmphex(pci_config_read(e->bus, ESB, 0, 4), ==, 0x25ab8086);
    g_assert_cmphex(pci_config_read(e->bus, ESB, 8, 4) >> 16, ==, 0x0880);
    phys_write32(e->b->mem, TIMER1, 5); /* locked */
    phys_write16(e->b->mem, RELOAD, 0x86);
    phys_write32(e->b->mem, TIMER1, 5);
    g_assert_cmphex(phys_read32(e->b->mem, TIMER1), ==, 0xfffff);
    start_esb(e);
    g_assert_cmphex(phys_read32(e->b->mem, TIMER1), ==, 0x5ff);
    clock_manual_advance(e->b->clock, stage - 1);
    g_assert_cmphex(phys_read32(e->b->mem, STATUS), ==, 0);
    clock_manual_advance(e->b->clock, 2);
    g_assert_cmphex(phys_read32(e->b->mem, STATUS), ==, 1);
    phys_write32(e->b->mem, STATUS, 1);
    g_assert_cmphex(phys_read32(e->b->mem, STATUS), ==, 0);
    unlocked(e, RELOAD, 0x100); /* fed: from the first stage on */
    clock_manual_advance(e->b->clock, 2 * stage - 10);
    g_assert_cmpuint(e->expired, ==, 0);
    clock_manual_advance(e->b->clock, 20);
    g_assert_cmpuint(e->expired, ==, 1);
    /* That it was the watchdog is known after the reset, until somebody clears it. */
    device_reset(e->dog);
    place(e);
    g_assert_cmphex(phys_read16(e->b->mem, RELOAD) & 0x200, ==, 0x200);
    unlocked(e, RELOAD, 0x200);
    g_assert_cmphex(phys_read16(e->b->mem, RELOAD), ==, 0);
    g_assert_cmpint(clock_next_deadline(e->b->clock), ==, CLOCK_NEVER);
}

static void test_esb_lock(struct esb *e, gconstpointer data)
{
    start_esb(e);
    pci_config_write(e->bus, ESB, 0x68, 3, 1);
    pci_config_write(e->bus, ESB, 0x68, 0, 1); /* refused: it is locked on */
    g_assert_cmphex(pci_config_read(e->bus, ESB, 0x68, 1), ==, 3);
    clock_manual_advance(e->b->clock, 4ll * SECOND);
    g_assert_cmpuint(e->expired, ==, 1);
    device_reset(e->dog);
    pci_config_write(e->bus, ESB, 0x68, 2, 1);
    pci_config_write(e->bus, ESB, 0x68, 0, 1);
    g_assert_cmphex(pci_config_read(e->bus, ESB, 0x68, 1), ==, 0);
    g_assert_cmpint(clock_next_deadline(e->b->clock), ==, CLOCK_NEVER);
    /* With its output off nothing happens; free-running it starts again. */
    pci_config_write(e->bus, ESB, 0x60, 0x20, 2);
    start_esb(e);
    clock_manual_advance(e->b->clock, 4ll * SECOND);
    g_assert_cmpuint(e->expired, ==, 1);
    device_reset(e->dog);
    start_esb(e);
    pci_config_write(e->bus, ESB, 0x68, 6, 1);
    clock_manual_advance(e->b->clock, 4ll * SECOND);
    clock_manual_advance(e->b->clock, 4ll * SECOND);
    g_assert_cmpuint(e->expired, ==, 3);
    device_reset(e->dog);
    /* The fast clock: 2^5 PCI clocks a step. */
    pci_config_write(e->bus, ESB, 0x60, 4, 2);
    start_esb(e);
    clock_manual_advance(e->b->clock, 3ll * SECOND / 1000);
    clock_manual_advance(e->b->clock, 3ll * SECOND / 1000);
    g_assert_cmpuint(e->expired, ==, 4);
}

static void clear_flag(void *opaque)
{
    start_esb(opaque);
    unlocked(opaque, RELOAD, 0x200);
}

static void test_esb_state(struct esb *e, gconstpointer data)
{
    start_esb(e);
    bench_round_trip(e->dog, NULL, NULL);
    clock_manual_advance(e->b->clock, 4ll * SECOND);
    g_assert_cmpuint(e->expired, ==, 1);
    clear_flag(e);
    bench_reset_is_complete(e->dog, clear_flag, e);
    bench_damaged_state(e->b, e->dog);
}

/* ---- pc-testdev ---- */

static void pull(void *opaque)
{
    struct bench *b = opaque;
    out32(b, 0xe0, 0x01020304);
    out8(b, 0x2005, 1);
    phys_write32(b->mem, 0xff000010, 0x55aa55aa);
}

static void test_testdev(void)
{
    struct bench *b = bench_new();
    struct irq_line lines[PC_TESTDEV_LINES];
    for (unsigned i = 0; i < PC_TESTDEV_LINES; i++)
        lines[i] = bench_wire(b, i);
    struct device *t = (struct device *)pc_testdev_new(b->mem, b->io, "t", lines);
    out32(b, 0xe0, 0x89abcdef);
    g_assert_cmphex(in32(b, 0xe0), ==, 0x89abcdef);
    g_assert_cmphex(in16(b, 0xe2), ==, 0x89ab);
    out8(b, 0xe1, 0x11);
    g_assert_cmphex(in32(b, 0xe0), ==, 0x89ab11ef);
    g_assert_cmphex(in32(b, 0xe8), ==, 0x89ab11ef); /* taken byte by byte */
    out32(b, 0xe8, 0x12345678);
    g_assert_cmphex(in32(b, 0xe0), ==, 0x12345678);
    out32(b, 0xe4, 0x1000);
    g_assert_cmphex(in32(b, 0xe0), ==, 0x12345678);
    out8(b, 0x2000 + 5, 1);
    out8(b, 0x2000 + 23, 1);
    g_assert_true(b->level[5] && b->level[23]);
    out8(b, 0x2000 + 5, 0);
    g_assert_true(!b->level[5] && b->level[23]);
    phys_write32(b->mem, 0xff00fffc, 0xdeadbeef);
    g_assert_cmphex(phys_read32(b->mem, 0xff00fffc), ==, 0xdeadbeef);
    g_assert_cmphex(phys_read8(b->mem, 0xff00fffd), ==, 0xbe);
    bench_round_trip(t, NULL, NULL);
    g_assert_true(b->level[23]);
    device_reset(t);
    g_assert_false(b->level[23]);
    bench_reset_is_complete(t, pull, b);
    bench_damaged_state(b, t);
    device_free(t);
    bench_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/cards/parallel/print", struct printer, NULL, printer_up, test_print, printer_down);
    g_test_add("/cards/parallel/interrupt", struct printer, NULL, printer_up, test_interrupt, printer_down);
    g_test_add_func("/cards/ib700", test_ib700);
    g_test_add("/cards/i6300esb/stages", struct esb, NULL, esb_up, test_esb, esb_down);
    g_test_add("/cards/i6300esb/lock", struct esb, NULL, esb_up, test_esb_lock, esb_down);
    g_test_add("/cards/i6300esb/state", struct esb, NULL, esb_up, test_esb_state, esb_down);
    g_test_add_func("/cards/testdev", test_testdev);
    return g_test_run();
}
