/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * I/O APIC and local APIC, wired to each other and to the 8259s as on the board.
 */
#include "emu/dev/ioapic.h"
#include "emu/dev/lapic.h"
#include "emu/dev/pic.h"
#include "tests/dev/chip_bench.h"

#include <string.h>

enum { INTR, NMI, INIT };
enum {
    ID = 0x20,
    VERSION = 0x30,
    TPR = 0x80,
    PPR = 0xa0,
    EOI = 0xb0,
    LDR = 0xd0,
    DFR = 0xe0,
    SVR = 0xf0,
    ISR = 0x100,
    TMR = 0x180,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR_HIGH = 0x310,
    LVT_TIMER = 0x320,
    LVT_LINT0 = 0x350,
    LVT_LINT1 = 0x360,
    LVT_ERROR = 0x370,
    INITIAL = 0x380,
    CURRENT = 0x390,
    DIVIDE = 0x3e0
};
enum { MASKED = 1 << 16, LEVEL = 1 << 15, REMOTE_IRR = 1 << 14 };

struct rig {
    struct bench *b;
    struct lapic *lapic;
    struct ioapic *ioapic;
    struct pic *pic;
    struct irq_line pin[IOAPIC_PINS];
    bool asleep;
    uint64_t stirs;
    unsigned eois;
    uint8_t last_eoi;
};

static uint8_t ask_pic(void *opaque)
{
    return pic_acknowledge(((struct rig *)opaque)->pic);
}

static void eoi(void *opaque, uint8_t vector)
{
    struct rig *r = opaque;
    r->eois++;
    r->last_eoi = vector;
    ioapic_eoi(r->ioapic, vector);
}

static bool asleep(void *opaque)
{
    return ((struct rig *)opaque)->asleep;
}

static uint64_t stirs(void *opaque)
{
    return ((struct rig *)opaque)->stirs;
}

static uint32_t get(struct rig *r, uint32_t reg)
{
    return phys_read32(r->b->mem, LAPIC_ADDRESS + reg);
}

static void set(struct rig *r, uint32_t reg, uint32_t value)
{
    phys_write32(r->b->mem, LAPIC_ADDRESS + reg, value);
}

static uint32_t io_get(struct rig *r, uint8_t reg)
{
    phys_write32(r->b->mem, IOAPIC_ADDRESS, reg);
    return phys_read32(r->b->mem, IOAPIC_ADDRESS + 0x10);
}

static void io_set(struct rig *r, uint8_t reg, uint32_t value)
{
    phys_write32(r->b->mem, IOAPIC_ADDRESS, reg);
    phys_write32(r->b->mem, IOAPIC_ADDRESS + 0x10, value);
}

static void entry(struct rig *r, unsigned pin, uint32_t low, uint32_t high)
{
    io_set(r, (uint8_t)(0x10 + 2 * pin + 1), high);
    io_set(r, (uint8_t)(0x10 + 2 * pin), low);
}

static void set_up(struct rig *r, gconstpointer data)
{
    r->b = bench_new();
    r->lapic = lapic_new(r->b->mem, r->b->clock,
                         &(struct lapic_wiring){.intr = bench_wire(r->b, INTR),
                                                .nmi = bench_wire(r->b, NMI),
                                                .init = bench_wire(r->b, INIT),
                                                .pic_acknowledge = ask_pic,
                                                .pic = r,
                                                .eoi = eoi,
                                                .ioapic = r,
                                                .asleep = asleep,
                                                .stirs = stirs,
                                                .cpu = r});
    r->ioapic = ioapic_new(r->b->mem, &(struct ioapic_bus){.deliver = lapic_deliver, .opaque = r->lapic});
    struct irq_line lint0 = lapic_lint(r->lapic, 0);
    r->pic = pic_new(r->b->io, &lint0);
    static const uint8_t icw[][2] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 0x04}, {0x21, 0x01}};
    for (unsigned i = 0; i < G_N_ELEMENTS(icw); i++)
        out8(r->b, icw[i][0], icw[i][1]);
    for (unsigned i = 0; i < IOAPIC_PINS; i++)
        r->pin[i] = ioapic_input(r->ioapic, i);
    set(r, SVR, 0x1ff);
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->pic);
    device_free((struct device *)r->ioapic);
    device_free((struct device *)r->lapic);
    bench_free(r->b);
}

/* An interrupt by IPI to itself: the simplest way to make one. */
static void self(struct rig *r, uint8_t vector)
{
    set(r, ICR, 1 << 18 | vector);
}

static bool in_set(struct rig *r, uint32_t base, uint8_t vector)
{
    return get(r, base + vector / 32u * 16) >> (vector & 31) & 1;
}

static void test_registers(struct rig *r, gconstpointer data)
{
    device_reset((struct device *)r->lapic);
    g_assert_cmphex(get(r, ID), ==, 0);
    g_assert_cmphex(get(r, VERSION), ==, 0x00050014);
    g_assert_cmphex(get(r, SVR), ==, 0xff);
    g_assert_cmphex(get(r, DFR), ==, 0xffffffff);
    g_assert_cmphex(get(r, LVT_TIMER), ==, MASKED);
    g_assert_cmphex(get(r, LVT_LINT0), ==, 0x700);
    g_assert_cmphex(get(r, LVT_LINT1), ==, 0x400);
    set(r, LVT_TIMER, 0x30); /* software-disabled: the mask bit cannot be cleared */
    g_assert_cmphex(get(r, LVT_TIMER), ==, MASKED | 0x30);
    set(r, SVR, 0x1ff);
    set(r, LVT_TIMER, 0xffffffff);
    g_assert_cmphex(get(r, LVT_TIMER), ==, 0x300ff); /* TSC-deadline is not offered */
    set(r, LVT_LINT0, 0xffffffff);
    g_assert_cmphex(get(r, LVT_LINT0), ==, 0x1a7ff);
    set(r, LVT_LINT0, 0x20);
    set(r, SVR, 0x0ff);
    g_assert_cmphex(get(r, LVT_LINT0), ==, MASKED | 0x20);
    set(r, LDR, 0x12345678);
    g_assert_cmphex(get(r, LDR), ==, 0x12000000);
    set(r, DFR, 0);
    g_assert_cmphex(get(r, DFR), ==, 0x0fffffff);
    set(r, TPR, 0x1ff);
    g_assert_cmphex(get(r, TPR), ==, 0xff);
    set(r, VERSION, 0);
    g_assert_cmphex(get(r, VERSION), ==, 0x00050014);
    set(r, ICR, 0xffffffff & ~0x700u); /* fixed; delivery status and reserved bits read as zero */
    g_assert_cmphex(get(r, ICR), ==, 0x000cc8ff);
    phys_write8(r->b->mem, LAPIC_ADDRESS + TPR, 0); /* narrow writes are ignored */
    g_assert_cmphex(get(r, TPR), ==, 0xff);
    g_assert_cmphex(phys_read8(r->b->mem, LAPIC_ADDRESS + VERSION + 2), ==, 0x05);
    g_assert_cmphex(get(r, VERSION + 4), ==, 0);
}

static void test_priorities(struct rig *r, gconstpointer data)
{
    self(r, 0x41);
    g_assert_true(r->b->level[INTR]);
    self(r, 0x52);
    self(r, 0x51);
    g_assert_true(in_set(r, IRR, 0x41) && in_set(r, IRR, 0x51) && in_set(r, IRR, 0x52));
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x52);
    g_assert_true(in_set(r, ISR, 0x52));
    g_assert_false(in_set(r, IRR, 0x52));
    g_assert_cmphex(get(r, PPR), ==, 0x50);
    g_assert_false(r->b->level[INTR]); /* 0x51 is of the same class */
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, -1);
    self(r, 0x61);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x61);
    set(r, EOI, 0);
    g_assert_false(r->b->level[INTR]);
    set(r, EOI, 0);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x51);
    set(r, EOI, 0);
    set(r, TPR, 0x40);
    g_assert_false(r->b->level[INTR]);
    g_assert_cmphex(get(r, PPR), ==, 0x40);
    set(r, TPR, 0x3f);
    g_assert_true(r->b->level[INTR]);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x41);
    set(r, EOI, 0);
    set(r, EOI, 0);                   /* nothing in service */
    g_assert_cmpuint(r->eois, ==, 0); /* they were edges */
}

static void test_virtual_wire(struct rig *r, gconstpointer data)
{
    struct irq_line irq3 = pic_input(r->pic, 3);
    set(r, LVT_LINT0, MASKED | 0x700);
    irq_set(&irq3, true);
    g_assert_false(r->b->level[INTR]);
    set(r, LVT_LINT0, 0x700);
    g_assert_true(r->b->level[INTR]);
    self(r, 0x99);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x99);
    g_assert_true(r->b->level[INTR]); /* ExtINT knows no priority */
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x23);
    g_assert_false(r->b->level[INTR]);
    g_assert_false(in_set(r, ISR, 0x23)); /* that is the 8259's business */
    out8(r->b, 0x20, 0x20);
    lapic_set_base(r->lapic, LAPIC_ADDRESS | 0x100); /* hardware-disabled: INTR and NMI pins */
    g_assert_cmphex(get(r, VERSION), ==, 0xffffffff);
    irq_set(&irq3, false);
    irq_set(&irq3, true);
    g_assert_true(r->b->level[INTR]);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x23);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, -1);
    struct irq_line lint1 = lapic_lint(r->lapic, 1);
    irq_set(&lint1, true);
    g_assert_cmpuint(r->b->rises[NMI], ==, 1);
    g_assert_false(lapic_deliver(r->lapic, 0, false, 0, 0x50, false));
    lapic_set_base(r->lapic, 0xd0000900); /* enabled elsewhere, in the state after reset */
    g_assert_cmphex(phys_read32(r->b->mem, 0xd0000000 + SVR), ==, 0xff);
    g_assert_cmphex(get(r, VERSION), ==, 0xffffffff);
}

static void test_lint(struct rig *r, gconstpointer data)
{
    struct irq_line lint0 = lapic_lint(r->lapic, 0), lint1 = lapic_lint(r->lapic, 1);
    irq_set(&lint1, true);
    g_assert_cmpuint(r->b->rises[NMI], ==, 1);
    irq_set(&lint1, false);
    set(r, LVT_LINT1, MASKED | 0x400);
    irq_set(&lint1, true);
    g_assert_cmpuint(r->b->rises[NMI], ==, 1);
    irq_set(&lint1, false);
    set(r, LVT_LINT0, 0x55); /* fixed, edge */
    irq_set(&lint0, true);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x55);
    set(r, EOI, 0);
    g_assert_false(r->b->level[INTR]);
    irq_set(&lint0, false);
    set(r, LVT_LINT1, LEVEL | 0x56);
    irq_set(&lint1, true);
    g_assert_cmphex(get(r, LVT_LINT1), ==, LEVEL | REMOTE_IRR | 0x56);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x56);
    g_assert_false(r->b->level[INTR]);
    set(r, EOI, 0);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x56); /* still asserted */
    irq_set(&lint1, false);
    set(r, EOI, 0);
    g_assert_false(r->b->level[INTR]);
    g_assert_cmphex(get(r, LVT_LINT1), ==, LEVEL | 0x56);
    set(r, LVT_LINT1, 0x500); /* INIT */
    irq_set(&lint1, true);
    g_assert_cmpuint(r->b->rises[INIT], ==, 1);
}

static void test_ipi(struct rig *r, gconstpointer data)
{
    set(r, ICR_HIGH, 0);
    set(r, ICR, 0x60); /* physical, id 0 */
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x60);
    set(r, EOI, 0);
    set(r, ICR_HIGH, 0x01000000);
    set(r, ICR, 0x60); /* somebody else */
    set(r, ICR, 3 << 18 | 0x60);
    g_assert_false(r->b->level[INTR]);
    set(r, ICR, 2 << 18 | 0x61);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x61);
    set(r, EOI, 0);
    set(r, LDR, 0x04000000);
    set(r, ICR_HIGH, 0x06000000);
    set(r, ICR, 1 << 11 | 0x62); /* logical, flat */
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x62);
    set(r, EOI, 0);
    set(r, ICR_HIGH, 0x0b000000);
    set(r, ICR, 1 << 11 | 0x62);
    g_assert_false(r->b->level[INTR]);
    set(r, DFR, 0);
    set(r, LDR, 0x24000000); /* cluster 2, member 4 */
    set(r, ICR_HIGH, 0x27000000);
    set(r, ICR, 1 << 11 | 0x63);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x63);
    set(r, EOI, 0);
    set(r, ICR_HIGH, 0x17000000);
    set(r, ICR, 1 << 11 | 0x63);
    g_assert_false(r->b->level[INTR]);
    set(r, ICR, 1 << 18 | 0x400); /* NMI to itself */
    g_assert_cmpuint(r->b->rises[NMI], ==, 1);
    set(r, ICR, 3 << 18 | 0x4500); /* INIT and start-up to all others: there are none */
    set(r, ICR, 3 << 18 | 0x4699);
    set(r, ICR, 2 << 18 | 0x8500); /* INIT de-assert */
    g_assert_cmpuint(r->b->rises[INIT], ==, 0);
    set(r, ICR_HIGH, 0);
    set(r, ICR, 0x4699); /* start-up of a processor that runs */
    set(r, ICR, 0x4200); /* SMI */
    g_assert_cmpuint(r->b->rises[INIT], ==, 0);
    set(r, ICR, 0x4500);
    g_assert_cmpuint(r->b->rises[INIT], ==, 1);
}

static void test_errors(struct rig *r, gconstpointer data)
{
    set(r, LVT_ERROR, 0xfe);
    self(r, 0x0f);
    g_assert_cmphex(get(r, ESR), ==, 0); /* latched by a write */
    set(r, ESR, 0);
    g_assert_cmphex(get(r, ESR), ==, 0x20);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0xfe);
    set(r, EOI, 0);
    lapic_deliver(r->lapic, 0, false, 0, 3, false);
    get(r, 0x3f0);
    set(r, 0x0, 1);
    set(r, ESR, 0);
    g_assert_cmphex(get(r, ESR), ==, 0xc0);
    set(r, ESR, 0);
    g_assert_cmphex(get(r, ESR), ==, 0);
    set(r, LVT_ERROR, 0x05); /* an illegal vector here must not go round in circles */
    self(r, 0x01);
    self(r, 0x02);
}

static void test_timer_one_shot(struct rig *r, gconstpointer data)
{
    set(r, LVT_TIMER, 0xec);
    set(r, DIVIDE, 0x3); /* by 16 */
    set(r, INITIAL, 1000000);
    clock_manual_advance(r->b->clock, 8000000);
    g_assert_cmpuint(get(r, CURRENT), ==, 500000);
    g_assert_false(r->b->level[INTR]);
    clock_manual_advance(r->b->clock, 8000000);
    g_assert_cmpuint(get(r, CURRENT), ==, 0);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0xec);
    set(r, EOI, 0);
    clock_manual_advance(r->b->clock, NANOSECONDS);
    g_assert_false(r->b->level[INTR]);
    g_assert_cmpint(clock_next_deadline(r->b->clock), ==, CLOCK_NEVER);
    set(r, INITIAL, 1000);
    set(r, INITIAL, 0); /* stops it */
    clock_manual_advance(r->b->clock, NANOSECONDS);
    g_assert_false(r->b->level[INTR]);
    set(r, LVT_TIMER, MASKED | 0xec); /* runs out while masked: gone */
    set(r, INITIAL, 1000);
    g_assert_cmpint(clock_next_deadline(r->b->clock), ==, CLOCK_NEVER);
    clock_manual_advance(r->b->clock, NANOSECONDS);
    set(r, LVT_TIMER, 0xec);
    clock_manual_advance(r->b->clock, NANOSECONDS);
    g_assert_false(r->b->level[INTR]);
    set(r, LVT_TIMER, MASKED | 0xec); /* unmasked in time: comes */
    set(r, INITIAL, 1000);
    set(r, LVT_TIMER, 0xec);
    clock_manual_advance(r->b->clock, 16000);
    g_assert_true(r->b->level[INTR]);
}

static void test_timer_periodic(struct rig *r, gconstpointer data)
{
    static const uint8_t code[] = {0xb, 0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xa}; /* 1, 2, 4 … 128 */
    set(r, LVT_TIMER, 1 << 17 | 0xec);
    for (unsigned i = 0; i < sizeof code; i++) {
        set(r, DIVIDE, code[i]);
        set(r, INITIAL, 4000000u >> i); /* 4 ms whatever the divider */
        unsigned count = 0;
        for (unsigned ms = 0; ms < 100; ms++) {
            clock_manual_advance(r->b->clock, 1000000);
            if (r->b->level[INTR]) {
                g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0xec);
                set(r, EOI, 0);
                count++;
            }
        }
        g_assert_cmpuint(count, ==, 25);
    }
    clock_manual_advance(r->b->clock, 1000000);
    uint32_t before = get(r, CURRENT);
    set(r, DIVIDE, 0x9); /* half the divider: the count stays where it was */
    g_assert_cmpuint(get(r, CURRENT), ==, before);
    set(r, DIVIDE, 0xb);
    set(r, INITIAL, 1); /* a period of a nanosecond: merged */
    unsigned rounds = 0;
    int64_t end = clock_now(r->b->clock) + 1000000;
    while (clock_next_deadline(r->b->clock) <= end) {
        clock_manual_advance(r->b->clock, clock_next_deadline(r->b->clock) - clock_now(r->b->clock));
        rounds++;
    }
    g_assert_cmpuint(rounds, <=, 51);
}

/* A guest's tick of TICK ns by the one-shot timer. The thread sleeps as long as the clock lets it. Returns
 * how often it woke within `ns`; *latest is by how much the worst of them came late. */
enum { TICK = 4000000, LATENCY = 30000 };
enum guest { OWN_CLOCK, EACH_AFRESH };

static unsigned sleep_through(struct rig *r, enum guest guest, int64_t ns, int64_t *latest)
{
    struct clock *clock = r->b->clock;
    unsigned wakes = 0;
    *latest = 0;
    for (int64_t end = clock_now(clock) + ns; clock_now(clock) < end; wakes++) {
        if (clock_next_deadline(clock) == CLOCK_NEVER) {
            set(r, LVT_TIMER, 0xec);
            set(r, DIVIDE, 0xb);
            set(r, INITIAL, TICK);
        }
        int64_t due = clock_next_deadline(clock), wake = MAX(clock_next_wake(clock), clock_now(clock));
        clock_set(clock, wake + LATENCY);
        clock_manual_advance(clock, 0);
        int64_t now = clock_now(clock);
        *latest = MAX(*latest, now - due);
        if (now < due || !r->b->level[INTR])
            continue;
        g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0xec);
        set(r, EOI, 0);
        set(r, INITIAL, guest == OWN_CLOCK ? TICK - (uint32_t)(now % TICK) : TICK);
    }
    return wakes;
}

static void test_idle_tick(struct rig *r, gconstpointer data)
{
    struct clock *clock = r->b->clock;
    int64_t latest;
    clock_set(clock, 10ll * TICK);
    /* A guest that is busy gets each tick in time. */
    g_assert_cmpuint(sleep_through(r, OWN_CLOCK, 100ll * TICK, &latest), >=, 100);
    g_assert_cmpint(latest, <=, LATENCY);
    /* One that sleeps gets every other one, late by no more than one period. */
    r->asleep = true;
    unsigned wakes = sleep_through(r, OWN_CLOCK, 280ll * TICK, &latest);
    g_assert_cmpuint(wakes, >=, 140);
    g_assert_cmpuint(wakes, <=, 160);
    g_assert_cmpint(latest, >, TICK / 2);
    g_assert_cmpint(latest, <=, TICK + LATENCY);
    /* Something else to do: at once no more lateness, and none for the next ticks. */
    g_assert_cmpint(clock_next_wake(clock) - clock_next_deadline(clock), ==, TICK);
    self(r, 0x51);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x51);
    set(r, EOI, 0);
    g_assert_cmpint(clock_next_wake(clock), ==, clock_next_deadline(clock));
    sleep_through(r, OWN_CLOCK, 15ll * TICK, &latest);
    g_assert_cmpint(latest, <=, LATENCY);
    /* A deadline off the grid is a program's own timer: exact, however quiet it was before. */
    sleep_through(r, OWN_CLOCK, 50ll * TICK, &latest);
    g_assert_cmpint(clock_next_wake(clock) - clock_next_deadline(clock), ==, TICK);
    set(r, INITIAL, (uint32_t)(clock_next_deadline(clock) - clock_now(clock)) - TICK / 3);
    g_assert_cmpint(clock_next_wake(clock), ==, clock_next_deadline(clock));
    /* A lonely tick that something else wakes the thread after: it fires then, not when the slack is over. */
    sleep_through(r, OWN_CLOCK, 50ll * TICK, &latest);
    int64_t due = clock_next_deadline(clock);
    g_assert_cmpint(clock_next_wake(clock), ==, due + TICK);
    clock_set(clock, due + 1000);
    clock_manual_advance(clock, 0);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0xec);
    set(r, EOI, 0);
}

static void fall_asleep(struct rig *r, int64_t ns, unsigned periods)
{
    int64_t latest;
    sleep_through(r, OWN_CLOCK, ns, &latest);
    g_assert_cmpint(latest, <=, periods * (int64_t)TICK + LATENCY);
    g_assert_cmpint(latest, >, periods * (int64_t)TICK);
    g_assert_cmpint(clock_next_wake(r->b->clock) - clock_next_deadline(r->b->clock), ==,
                    periods * (int64_t)TICK);
}

/* Quiet for longer: one tick of four is left, then of eight, then of sixteen. */
static void test_idle_tick_deep(struct rig *r, gconstpointer data)
{
    struct clock *clock = r->b->clock;
    int64_t latest;
    clock_set(clock, 10ll * TICK);
    r->asleep = true;
    fall_asleep(r, 290ll * TICK, 1);
    fall_asleep(r, 100ll * TICK, 3);
    g_assert_cmpuint(sleep_through(r, OWN_CLOCK, 300ll * TICK, &latest), ==, 75);
    fall_asleep(r, 500ll * TICK, 7);
    fall_asleep(r, 1400ll * TICK, 15);
    g_assert_cmpuint(sleep_through(r, OWN_CLOCK, 16000ll * TICK, &latest), ==, 1000);
    g_assert_cmpint(latest, <=, 15ll * TICK + LATENCY);
    /* A tick that somebody was woken by ends the quiet, not the sleep. */
    r->stirs++;
    sleep_through(r, OWN_CLOCK, 16ll * TICK, &latest); /* the last of the long ones tells of it */
    fall_asleep(r, 280ll * TICK, 1);
    fall_asleep(r, 100ll * TICK, 3);
    /* Another interrupt: exact at once, for sixteen ticks, and quiet begins anew. */
    self(r, 0x51);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x51);
    set(r, EOI, 0);
    g_assert_cmpint(clock_next_wake(clock), ==, clock_next_deadline(clock));
    sleep_through(r, OWN_CLOCK, 15ll * TICK, &latest);
    g_assert_cmpint(latest, <=, LATENCY);
    fall_asleep(r, 270ll * TICK, 1);
    fall_asleep(r, 100ll * TICK, 3);
    /* A deadline beside the grid is kept, and no more than that when it was the first for long. */
    set(r, INITIAL, TICK + TICK / 3);
    g_assert_cmpint(clock_next_wake(clock), ==, clock_next_deadline(clock));
    sleep_through(r, OWN_CLOCK, TICK, &latest);
    g_assert_cmpint(latest, <=, LATENCY);
    fall_asleep(r, 20ll * TICK, 3);
    /* The second means that a program is at work. */
    set(r, INITIAL, TICK + TICK / 3);
    sleep_through(r, OWN_CLOCK, 15ll * TICK, &latest);
    g_assert_cmpint(latest, <=, LATENCY);
    fall_asleep(r, 270ll * TICK, 1);
    /* A guest at work gets each tick in time. */
    fall_asleep(r, 100ll * TICK, 3);
    r->asleep = false;
    sleep_through(r, OWN_CLOCK, 8ll * TICK, &latest);
    g_assert_cmpint(clock_next_wake(clock), ==, clock_next_deadline(clock));
    sleep_through(r, OWN_CLOCK, 100ll * TICK, &latest);
    g_assert_cmpint(latest, <=, LATENCY);
}

/* A guest that starts each tick when the last one came loses what it is late: it must not be made to. */
static void test_idle_tick_afresh(struct rig *r, gconstpointer data)
{
    int64_t latest;
    r->asleep = true;
    unsigned ticks = 100000;
    unsigned wakes = sleep_through(r, EACH_AFRESH, (int64_t)ticks * (TICK + LATENCY), &latest);
    g_assert_cmpint(latest, <=, (TICK + LATENCY) / 4 + LATENCY);
    g_assert_cmpuint(wakes, >=, ticks - 8);
}

static unsigned take_ticks(struct rig *r, int64_t ns)
{
    unsigned count = 0;
    for (int64_t end = clock_now(r->b->clock) + ns; clock_now(r->b->clock) < end;) {
        clock_manual_advance(r->b->clock, 50000);
        if (r->b->level[INTR]) {
            g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0xec);
            set(r, EOI, 0);
            count++;
        }
    }
    return count;
}

static void test_timer_late(struct rig *r, gconstpointer data)
{
    set(r, LVT_TIMER, 1 << 17 | 0xec);
    set(r, DIVIDE, 0xb);
    set(r, INITIAL, 4000000);
    /* The host does not run the machine for 200 ms: 50 periods. */
    clock_set(r->b->clock, clock_now(r->b->clock) + 200000000);
    clock_manual_advance(r->b->clock, 0);
    g_assert_true(r->b->level[INTR]);
    unsigned soon = take_ticks(r, 28000000);
    g_assert_cmpuint(soon, >=, 50);
    g_assert_cmpuint(soon, <=, 57);
    g_assert_cmpuint(take_ticks(r, 40000000), ==, 10); /* caught up: the plain rate again */
    clock_manual_advance(r->b->clock, 100000000);      /* the guest takes none for 100 ms */
    unsigned after = take_ticks(r, 20000000);
    g_assert_cmpuint(after, >=, 29);
    g_assert_cmpuint(after, <=, 30);
    clock_set(r->b->clock, clock_now(r->b->clock) + 1000 * NANOSECONDS); /* bounded */
    clock_manual_advance(r->b->clock, 0);
    set(r, LVT_TIMER, MASKED | 1 << 17 | 0xec); /* masking forgets what is owed */
    set(r, LVT_TIMER, 1 << 17 | 0xec);
    take_ticks(r, 4000000);
    g_assert_cmpuint(take_ticks(r, 400000000), ==, 100);
}

static void test_ioapic_registers(struct rig *r, gconstpointer data)
{
    g_assert_cmphex(io_get(r, 1), ==, 0x00170011);
    io_set(r, 0, 0xffffffff);
    g_assert_cmphex(io_get(r, 0), ==, 0x0f000000);
    g_assert_cmphex(io_get(r, 2), ==, 0x0f000000);
    for (unsigned pin = 0; pin < 24; pin++)
        g_assert_cmphex(io_get(r, (uint8_t)(0x10 + 2 * pin)), ==, MASKED);
    entry(r, 23, 0xffffffff, 0xffffffff);
    g_assert_cmphex(io_get(r, 0x3e), ==, 0x0001afff); /* status and remote IRR are read-only */
    g_assert_cmphex(io_get(r, 0x3f), ==, 0xff000000);
    g_assert_cmphex(io_get(r, 0x40), ==, 0);
    io_set(r, 0x40, 1);
    io_set(r, 0xff, 1);
    g_assert_cmphex(phys_read8(r->b->mem, IOAPIC_ADDRESS), ==, 0xff);
    phys_write8(r->b->mem, IOAPIC_ADDRESS, 1);
    g_assert_cmphex(phys_read16(r->b->mem, IOAPIC_ADDRESS + 0x12), ==, 0x0017);
    phys_write8(r->b->mem, IOAPIC_ADDRESS, 0);
    phys_write8(r->b->mem, IOAPIC_ADDRESS + 0x10, 0);
    phys_write32(r->b->mem, IOAPIC_ADDRESS + 0x20, 0);
    g_assert_cmphex(io_get(r, 0), ==, 0x0f000000);
    g_autoptr(GString) text = g_string_new(NULL);
    ioapic_describe(r->ioapic, text);
    lapic_describe(r->lapic, text);
    pic_describe(r->pic, text);
    g_assert_nonnull(strstr(text->str, "ioapic pin 23"));
}

static void test_ioapic_edge(struct rig *r, gconstpointer data)
{
    irq_set(&r->pin[2], true); /* while masked: ignored */
    entry(r, 2, 0x31, 0);
    g_assert_false(r->b->level[INTR]);
    irq_set(&r->pin[2], false);
    irq_set(&r->pin[2], true);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x31);
    g_assert_false(in_set(r, TMR, 0x31));
    set(r, EOI, 0);
    g_assert_cmpuint(r->eois, ==, 0);
    irq_set(&r->pin[2], false);
    entry(r, 2, 0x31, 0x05000000); /* nobody of that id */
    irq_set(&r->pin[2], true);
    g_assert_false(r->b->level[INTR]);
    set(r, LDR, 0x01000000);
    entry(r, 3, 1 << 11 | 1 << 8 | 0x32, 0xff000000); /* logical, lowest priority */
    irq_set(&r->pin[3], true);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x32);
    set(r, EOI, 0);
    entry(r, 4, 4 << 8, 0);
    irq_set(&r->pin[4], true);
    g_assert_cmpuint(r->b->rises[NMI], ==, 1);
    entry(r, 5, 2 << 8 | 0x40, 0); /* SMI: nobody takes it */
    irq_set(&r->pin[5], true);
    entry(r, 6, 5 << 8, 0);
    irq_set(&r->pin[6], true);
    g_assert_cmpuint(r->b->rises[INIT], ==, 1);
    struct irq_line irq1 = pic_input(r->pic, 1);
    set(r, LVT_LINT0, MASKED | 0x700);
    irq_set(&irq1, true);
    entry(r, 0, 7 << 8, 0); /* ExtINT: the vector is the 8259's */
    irq_set(&r->pin[0], true);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x21);
    g_assert_false(r->b->level[INTR]);
    set(r, SVR, 0xff); /* software-disabled: fixed ones are lost */
    irq_set(&r->pin[3], false);
    irq_set(&r->pin[3], true);
    g_assert_false(r->b->level[INTR]);
}

static void test_ioapic_level(struct rig *r, gconstpointer data)
{
    irq_set(&r->pin[18], true);
    entry(r, 18, LEVEL | 1 << 13 | 0x71, 0); /* asserted already; polarity is only kept */
    g_assert_cmphex(io_get(r, 0x34), ==, LEVEL | 1 << 13 | REMOTE_IRR | 0x71);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x71);
    g_assert_true(in_set(r, TMR, 0x71));
    irq_set(&r->pin[18], false);
    irq_set(&r->pin[18], true); /* in service: remembered by the level alone */
    g_assert_false(r->b->level[INTR]);
    set(r, EOI, 0);
    g_assert_cmpuint(r->eois, ==, 1);
    g_assert_cmphex(r->last_eoi, ==, 0x71);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x71);
    irq_set(&r->pin[18], false);
    set(r, EOI, 0);
    g_assert_cmphex(io_get(r, 0x34) & REMOTE_IRR, ==, 0);
    g_assert_false(r->b->level[INTR]);
    entry(r, 18, MASKED | LEVEL | 0x71, 0);
    irq_set(&r->pin[18], true);
    g_assert_false(r->b->level[INTR]);
    entry(r, 18, LEVEL | 0x71, 0);
    g_assert_true(r->b->level[INTR]);
    entry(r, 18, MASKED | 0x71, 0); /* mask and edge clear remote IRR: how old kernels end a stuck one */
    g_assert_cmphex(io_get(r, 0x34), ==, MASKED | 0x71);
    entry(r, 18, LEVEL | 0x71, 0);
    g_assert_cmphex(io_get(r, 0x34) & REMOTE_IRR, ==, REMOTE_IRR);
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    set(r, SVR, 0x1f0);
    set(r, TPR, 0x20);
    set(r, LDR, 0x01000000);
    set(r, LVT_TIMER, 1 << 17 | 0xec);
    set(r, INITIAL, 100000);
    self(r, 0x80);
    lapic_acknowledge(r->lapic);
    self(r, 0x90);
}

static void disturb_ioapic(void *opaque)
{
    struct rig *r = opaque;
    entry(r, 18, LEVEL | 0x71, 0);
    irq_set(&r->pin[18], true);
    io_set(r, 0, 0x05000000);
}

/* The next tick comes to the nanosecond when it would have, however close or overdue it is. */
static void test_state_time(struct rig *r, gconstpointer data)
{
    struct device *lapic = (struct device *)r->lapic;
    for (unsigned periodic = 0; periodic < 2; periodic++) {
        set(r, LVT_TIMER, periodic << 17 | 0xec);
        set(r, DIVIDE, 0xb);
        set(r, INITIAL, 1000000);
        int64_t tick = clock_next_deadline(r->b->clock);
        clock_manual_advance(r->b->clock, tick - 700 - clock_now(r->b->clock));
        g_autoptr(GByteArray) state = g_byte_array_new();
        g_autoptr(GError) error = NULL;
        size_t pos = 0;
        state_save(lapic->class->state, lapic->id, lapic, state);
        g_assert_true(
            state_load(lapic->class->state, lapic->id, lapic, state->data, state->len, &pos, &error));
        g_assert_cmpint(clock_next_deadline(r->b->clock), ==, tick);
        clock_manual_advance(r->b->clock, 699);
        g_assert_false(r->b->level[INTR]);
        clock_manual_advance(r->b->clock, 1);
        g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0xec);
        set(r, EOI, 0);
        set(r, INITIAL, 0);
    }
}

static void test_state(struct rig *r, gconstpointer data)
{
    disturb(r);
    disturb_ioapic(r);
    bench_round_trip((struct device *)r->ioapic, NULL, NULL);
    bench_round_trip((struct device *)r->lapic, NULL, NULL);
    g_assert_true(r->b->level[INTR]);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0x90);
    clock_manual_advance(r->b->clock, 300000);
    g_assert_cmpint(lapic_acknowledge(r->lapic), ==, 0xec); /* the timer runs on */
    g_assert_cmphex(io_get(r, 0x34) & REMOTE_IRR, ==, REMOTE_IRR);
    irq_set(&r->pin[18], false);
    bench_damaged_state(r->b, (struct device *)r->ioapic);
    bench_damaged_state(r->b, (struct device *)r->lapic);
    bench_reset_is_complete((struct device *)r->lapic, disturb, r);
    g_assert_false(r->b->level[INTR]);
    device_reset((struct device *)r->ioapic);
    g_assert_cmphex(io_get(r, 0x34), ==, MASKED);
    g_assert_cmphex(io_get(r, 0), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/apic/" #name, struct rig, NULL, set_up, test_##name, tear_down)
    TEST(registers);
    TEST(priorities);
    TEST(virtual_wire);
    TEST(lint);
    TEST(ipi);
    TEST(errors);
    TEST(timer_one_shot);
    TEST(timer_periodic);
    TEST(timer_late);
    TEST(idle_tick);
    TEST(idle_tick_deep);
    TEST(idle_tick_afresh);
    TEST(ioapic_registers);
    TEST(ioapic_edge);
    TEST(ioapic_level);
    TEST(state);
    TEST(state_time);
    return g_test_run();
}
