/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Local APIC of the only processor: see lapic.h. Intel SDM vol. 3, chapter 11 (section numbers below).
 *
 * IRR, ISR and TMR are 256-bit sets. update() decides whether the CPU's INTR pin is up: a fixed interrupt
 * above the processor priority, or the 8259 through LINT0 in ExtINT mode. lapic_acknowledge() is the other
 * end of it. The timer is guest time; a host timer is armed only while its LVT entry is unmasked and
 * something is to come.
 *
 * Reset leaves LINT0 in ExtINT mode and unmasked, LINT1 as NMI (SDM resets them masked): this is what every
 * board's firmware sets up first (virtual wire mode), and guests started without firmware expect it.
 */
#include "emu/dev/lapic.h"
#include "emu/dev/idle_tick.h"
#include "emu/trace.h"

#include <gio/gio.h>
#include <string.h>

enum {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_RRD = 0x0c,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR_LOW = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32,
    REG_TIMER_INITIAL = 0x38,
    REG_TIMER_CURRENT = 0x39,
    REG_TIMER_DIVIDE = 0x3e,
};
enum lvt { LVT_TIMER, LVT_THERMAL, LVT_COUNTERS, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };
enum { VERSION = 0x14 | (LVT_COUNT - 1) << 16 };
enum { LVT_REMOTE_IRR = 1 << 14, LVT_LEVEL = 1 << 15, LVT_MASKED = 1 << 16, LVT_PERIODIC = 1 << 17 };
enum { MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_NMI = 4, MODE_INIT, MODE_STARTUP, MODE_EXTINT };
enum { SVR_ENABLE = 0x100, SVR_BITS = 0x3ff };
enum { ESR_SEND_ILLEGAL = 0x20, ESR_RECEIVE_ILLEGAL = 0x40, ESR_ILLEGAL_REGISTER = 0x80 };
enum { ICR_BITS = 0x000ccfff, ICR_LOGICAL = 1 << 11, ICR_ASSERT = 1 << 14, ICR_LEVEL = 1 << 15 };
enum { BROADCAST = 0xff, FIRST_LEGAL_VECTOR = 16, PRIORITY = 100, WINDOW = 0x1000 };
enum { SHORTEST_NS = 20000 }; /* periods shorter than this are merged and never owed */
enum { OWED_LIMIT = 1000, OWED_PACE = 8 };
#define MSR_ENABLE  (1ull << 11)
#define MSR_ADDRESS 0xffffff000ull
#define MSR_RESET   (LAPIC_ADDRESS | 0x900ull)

static const uint32_t lvt_bits[LVT_COUNT] = {
    [LVT_TIMER] = 0x300ff, [LVT_THERMAL] = 0x107ff, [LVT_COUNTERS] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};

struct lapic {
    struct device device;
    struct lapic_wiring wiring;
    struct physmap *mem;
    struct phys_range *range;
    struct clock *clock;
    struct clock_timer *timer;
    uint64_t base; /* IA32_APIC_BASE */
    uint32_t irr[8], isr[8], tmr[8];
    uint32_t id, tpr, ldr, dfr, svr;
    uint32_t esr, esr_next; /* as read; what the next write of ESR makes readable */
    uint32_t icr_low, icr_high;
    uint32_t lvt[LVT_COUNT];
    uint32_t initial, divide;
    int64_t started;  /* guest time at which the timer counted from `initial` */
    bool fired;       /* one-shot: its interrupt was sent */
    uint64_t periods; /* periodic: those that were sent or are owed */
    uint32_t owed;
    struct idle_tick tick; /* one-shot; not saved: it is learnt anew */
    uint8_t lint;          /* level of LINT0, LINT1 */
    bool extint;           /* an ExtINT message is waiting */
    bool intr;             /* level of the CPU's pin */
    uint64_t fire_at;      /* saved state: when the timer fires, ns; 0: never */
};

/* ---- sets of vectors ---- */

static bool set_has(const uint32_t *set, uint8_t vector)
{
    return set[vector >> 5] >> (vector & 31) & 1;
}

static void set_add(uint32_t *set, uint8_t vector)
{
    set[vector >> 5] |= 1u << (vector & 31);
}

static void set_remove(uint32_t *set, uint8_t vector)
{
    set[vector >> 5] &= ~(1u << (vector & 31));
}

/* Highest vector of the set, or -1. */
static int set_highest(const uint32_t *set)
{
    for (int word = 7; word >= 0; word--)
        if (set[word])
            return word * 32 + 31 - __builtin_clz(set[word]);
    return -1;
}

/* ---- priorities and the INTR pin ---- */

static bool hardware_enabled(const struct lapic *a)
{
    return a->base & MSR_ENABLE;
}

static bool software_enabled(const struct lapic *a)
{
    return a->svr & SVR_ENABLE;
}

static uint32_t processor_priority(const struct lapic *a) /* 11.8.3.1 */
{
    int serving = set_highest(a->isr);
    uint32_t class = serving < 0 ? 0 : (uint32_t)serving & 0xf0;
    return (a->tpr & 0xf0) >= class ? a->tpr : class;
}

/* Vector of the fixed interrupt that may be taken now, or -1. */
static int deliverable(const struct lapic *a)
{
    int vector = set_highest(a->irr);
    return vector >= 0 && ((uint32_t)vector & 0xf0) > (processor_priority(a) & 0xf0) ? vector : -1;
}

static bool pic_passes(const struct lapic *a)
{
    if (a->extint)
        return true;
    uint32_t lint0 = a->lvt[LVT_LINT0];
    return a->lint & 1 && !(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == MODE_EXTINT;
}

static void update(struct lapic *a)
{
    bool intr = hardware_enabled(a) ? deliverable(a) >= 0 || pic_passes(a) : a->lint & 1;
    if (intr == a->intr)
        return;
    a->intr = intr;
    irq_set(&a->wiring.intr, intr);
}

int lapic_acknowledge(struct lapic *a)
{
    int vector = hardware_enabled(a) ? deliverable(a) : -1;
    if (vector >= 0) {
        set_remove(a->irr, (uint8_t)vector);
        set_add(a->isr, (uint8_t)vector);
    } else if (hardware_enabled(a) ? pic_passes(a) : a->lint & 1) {
        a->extint = false;
        vector = a->wiring.pic_acknowledge(a->wiring.pic);
    }
    trace(LAPIC, "acknowledge gives vector 0x%x", vector);
    if (vector != (int)(a->lvt[LVT_TIMER] & 0xff)) {
        idle_tick_disturbed(&a->tick);
        clock_timer_set_slack(a->timer, 0);
    }
    update(a);
    return vector;
}

static void pulse(const struct irq_line *line)
{
    irq_set(line, true);
    irq_set(line, false);
}

static void raise_error(struct lapic *a, uint32_t bit);

static void accept_fixed(struct lapic *a, uint8_t vector, bool level)
{
    if (vector < FIRST_LEGAL_VECTOR) {
        raise_error(a, ESR_RECEIVE_ILLEGAL);
        return;
    }
    set_add(a->irr, vector);
    if (level)
        set_add(a->tmr, vector);
    else
        set_remove(a->tmr, vector);
    update(a);
}

static void raise_error(struct lapic *a, uint32_t bit) /* 11.5.3 */
{
    if (a->esr_next & bit)
        return;
    a->esr_next |= bit;
    uint32_t lvt = a->lvt[LVT_ERROR];
    /* An error entry with an illegal vector of its own is not reported again. */
    if (!(lvt & LVT_MASKED) && (lvt & 0xff) >= FIRST_LEGAL_VECTOR)
        accept_fixed(a, (uint8_t)lvt, false);
}

/* ---- messages ---- */

static bool is_for_me(const struct lapic *a, uint8_t destination, bool logical) /* 11.6.2 */
{
    if (destination == BROADCAST)
        return true;
    if (!logical)
        return destination == a->id >> 24;
    uint8_t me = (uint8_t)(a->ldr >> 24);
    if (a->dfr >> 28 == 15)
        return me & destination;
    return (me & 0xf0) == (destination & 0xf0) && me & destination & 15;
}

static bool accept(struct lapic *a, unsigned mode, uint8_t vector, bool level)
{
    switch (mode) {
    case MODE_FIXED:
    case MODE_LOWEST:
        if (!software_enabled(a))
            return false;
        accept_fixed(a, vector, level);
        return true;
    case MODE_NMI:
        pulse(&a->wiring.nmi);
        return true;
    case MODE_INIT:
        pulse(&a->wiring.init);
        return true;
    case MODE_EXTINT:
        a->extint = true;
        update(a);
        return true;
    default: /* SMI: no SMM on this board; start-up: ignored by a processor that runs */
        return false;
    }
}

bool lapic_deliver(void *opaque, uint8_t destination, bool logical, unsigned mode, uint8_t vector, bool level)
{
    struct lapic *a = opaque;
    return hardware_enabled(a) && is_for_me(a, destination, logical) && accept(a, mode, vector, level);
}

static void send_ipi(struct lapic *a)
{
    uint32_t icr = a->icr_low;
    unsigned mode = icr >> 8 & 7, shorthand = icr >> 18 & 3;
    uint8_t vector = (uint8_t)icr;
    trace(LAPIC, "IPI %08x %08x", a->icr_high, icr);
    if (mode <= MODE_LOWEST && vector < FIRST_LEGAL_VECTOR) {
        raise_error(a, ESR_SEND_ILLEGAL);
        return;
    }
    bool me = shorthand == 1 || shorthand == 2 ||
              (shorthand == 0 && is_for_me(a, (uint8_t)(a->icr_high >> 24), icr & ICR_LOGICAL));
    /* INIT with level de-assert only synchronises arbitration ids; INIT by shorthand never means the sender
     * alone (table 11-3 forbids it), so one that includes it is for the other processors, which are not
     * there. */
    if (!me || (mode == MODE_INIT && (shorthand != 0 || !(icr & ICR_ASSERT))) || mode == MODE_EXTINT)
        return;
    accept(a, mode, vector, false);
}

/* ---- LINT pins ---- */

static void lint_level(struct lapic *a, enum lvt entry)
{
    uint32_t *lvt = &a->lvt[entry];
    bool level = a->lint >> (entry - LVT_LINT0) & 1;
    if (level && !(*lvt & (LVT_MASKED | LVT_REMOTE_IRR)) && *lvt & LVT_LEVEL &&
        (*lvt >> 8 & 7) == MODE_FIXED && software_enabled(a)) {
        *lvt |= LVT_REMOTE_IRR;
        accept_fixed(a, (uint8_t)*lvt, true);
    }
}

static void lint_edge(struct lapic *a, enum lvt entry)
{
    uint32_t lvt = a->lvt[entry];
    unsigned mode = lvt >> 8 & 7;
    if (lvt & LVT_MASKED)
        return;
    if (mode == MODE_FIXED && lvt & LVT_LEVEL)
        lint_level(a, entry);
    else if (mode != MODE_EXTINT && mode != MODE_LOWEST)
        accept(a, mode, (uint8_t)lvt, false);
}

static void lint_set(void *opaque, unsigned n, bool level)
{
    struct lapic *a = opaque;
    uint8_t bit = (uint8_t)(1u << n);
    bool rising = level && !(a->lint & bit);
    a->lint = level ? a->lint | bit : (uint8_t)(a->lint & ~bit);
    if (rising && hardware_enabled(a))
        lint_edge(a, n ? LVT_LINT1 : LVT_LINT0);
    else if (rising && n == 1)
        pulse(&a->wiring.nmi); /* without an APIC the pins are INTR and NMI */
    update(a);
}

struct irq_line lapic_lint(struct lapic *lapic, unsigned n)
{
    return (struct irq_line){.set = lint_set, .opaque = lapic, .n = n & 1};
}

static void end_of_interrupt(struct lapic *a) /* 11.8.5 */
{
    int vector = set_highest(a->isr);
    if (vector < 0)
        return;
    set_remove(a->isr, (uint8_t)vector);
    if (set_has(a->tmr, (uint8_t)vector)) {
        for (enum lvt entry = LVT_LINT0; entry <= LVT_LINT1; entry++)
            if ((uint8_t)a->lvt[entry] == vector && a->lvt[entry] & LVT_REMOTE_IRR) {
                a->lvt[entry] &= ~(uint32_t)LVT_REMOTE_IRR;
                lint_level(a, entry);
            }
        if (a->wiring.eoi)
            a->wiring.eoi(a->wiring.ioapic, (uint8_t)vector);
    }
    update(a);
}

/* ---- timer (11.5.4) ---- */

/* ns between two counts; the bus clock is 1 GHz. */
static int64_t tick_ns(const struct lapic *a)
{
    static const uint8_t shift[8] = {1, 2, 3, 4, 5, 6, 7, 0};
    return 1ll << shift[(a->divide & 3) | (a->divide >> 1 & 4)];
}

static bool periodic(const struct lapic *a)
{
    return a->lvt[LVT_TIMER] & LVT_PERIODIC;
}

/* Counts since the timer was started. */
static uint64_t counted(const struct lapic *a)
{
    int64_t now = clock_now(a->clock);
    return now > a->started ? (uint64_t)(now - a->started) / (uint64_t)tick_ns(a) : 0;
}

static uint32_t timer_current(const struct lapic *a)
{
    uint64_t n = counted(a);
    if (!a->initial)
        return 0;
    if (periodic(a))
        return a->initial - (uint32_t)(n % a->initial);
    return n >= a->initial ? 0 : a->initial - (uint32_t)n;
}

static int64_t period_ns(const struct lapic *a)
{
    return (int64_t)a->initial * tick_ns(a);
}

static void arm_timer(struct lapic *a)
{
    int64_t deadline = CLOCK_NEVER, now = clock_now(a->clock);
    bool wanted = a->initial && !(a->lvt[LVT_TIMER] & LVT_MASKED) && hardware_enabled(a);
    if (wanted && periodic(a)) {
        deadline = a->started + (int64_t)(counted(a) / a->initial + 1) * period_ns(a);
        if (a->owed)
            deadline = MIN(deadline, now + period_ns(a) / OWED_PACE);
        deadline = MAX(deadline, now + SHORTEST_NS);
    } else if (wanted && !a->fired) {
        deadline = a->started + period_ns(a);
    }
    clock_timer_set(a->timer, deadline);
}

/* Takes note of the periods that have passed. */
static void count_periods(struct lapic *a)
{
    uint64_t passed = counted(a) / a->initial;
    uint64_t owed = a->owed + (passed > a->periods ? passed - a->periods : 0);
    a->owed = (uint32_t)MIN(owed, period_ns(a) < 4 * SHORTEST_NS ? 1 : OWED_LIMIT);
    a->periods = passed;
}

static void timer_fire(void *opaque)
{
    struct lapic *a = opaque;
    uint8_t vector = (uint8_t)a->lvt[LVT_TIMER];
    bool send = true;
    if (periodic(a)) {
        count_periods(a);
        send = a->owed && !set_has(a->irr, vector);
        a->owed -= send;
    } else if (a->wiring.asleep) {
        idle_tick_fired(&a->tick, clock_now(a->clock), a->wiring.asleep(a->wiring.cpu),
                        a->wiring.stirs(a->wiring.cpu));
    }
    a->fired = true;
    arm_timer(a);
    if (send)
        accept_fixed(a, vector, false);
}

/* What passed while the entry was masked or of another mode is nobody's. */
static void forget_periods(struct lapic *a)
{
    a->periods = a->initial ? counted(a) / a->initial : 0;
    a->owed = 0;
}

/* An expiry that passed while nobody was listening is over. */
static void forget_expiry(struct lapic *a)
{
    if (!a->fired && counted(a) >= a->initial)
        a->fired = true;
}

static void start_timer(struct lapic *a, uint32_t initial)
{
    a->initial = initial;
    a->started = clock_now(a->clock);
    a->fired = false;
    forget_periods(a);
    arm_timer(a);
    int64_t deadline = clock_timer_deadline(a->timer);
    if (a->wiring.asleep && !periodic(a) && deadline != CLOCK_NEVER)
        clock_timer_set_slack(a->timer, idle_tick_armed(&a->tick, deadline));
}

static void write_divide(struct lapic *a, uint32_t value)
{
    uint64_t n = MIN(counted(a), a->initial);
    if (periodic(a) && a->initial)
        n = counted(a) % a->initial;
    a->divide = value & 0x0b;
    a->started = clock_now(a->clock) - (int64_t)n * tick_ns(a);
    forget_periods(a);
    arm_timer(a);
}

/* ---- registers ---- */

static uint32_t register_read(struct lapic *a, unsigned reg)
{
    if (reg >= REG_ISR && reg < REG_ISR + 8)
        return a->isr[reg - REG_ISR];
    if (reg >= REG_TMR && reg < REG_TMR + 8)
        return a->tmr[reg - REG_TMR];
    if (reg >= REG_IRR && reg < REG_IRR + 8)
        return a->irr[reg - REG_IRR];
    if (reg >= REG_LVT && reg < REG_LVT + LVT_COUNT)
        return a->lvt[reg - REG_LVT];
    switch (reg) {
    case REG_ID:
        return a->id;
    case REG_VERSION:
        return VERSION;
    case REG_TPR:
        return a->tpr;
    case REG_APR:
    case REG_PPR:
        return processor_priority(a);
    case REG_EOI:
    case REG_RRD:
        return 0;
    case REG_LDR:
        return a->ldr;
    case REG_DFR:
        return a->dfr;
    case REG_SVR:
        return a->svr;
    case REG_ESR:
        return a->esr;
    case REG_ICR_LOW:
        return a->icr_low;
    case REG_ICR_HIGH:
        return a->icr_high;
    case REG_TIMER_INITIAL:
        return a->initial;
    case REG_TIMER_CURRENT:
        return timer_current(a);
    case REG_TIMER_DIVIDE:
        return a->divide;
    default:
        raise_error(a, ESR_ILLEGAL_REGISTER);
        return 0;
    }
}

static void write_lvt(struct lapic *a, enum lvt entry, uint32_t value)
{
    if (!software_enabled(a))
        value |= LVT_MASKED;
    if (entry == LVT_TIMER)
        forget_expiry(a);
    uint32_t kept = value & LVT_LEVEL ? a->lvt[entry] & LVT_REMOTE_IRR : 0;
    a->lvt[entry] = (value & lvt_bits[entry]) | kept;
    if (entry == LVT_TIMER) {
        forget_periods(a);
        arm_timer(a);
    }
    if (entry == LVT_LINT0 || entry == LVT_LINT1)
        lint_level(a, entry);
}

static void write_svr(struct lapic *a, uint32_t value)
{
    a->svr = value & SVR_BITS;
    if (software_enabled(a))
        return;
    for (enum lvt entry = 0; entry < LVT_COUNT; entry++)
        a->lvt[entry] |= LVT_MASKED;
    arm_timer(a);
}

static void register_write(struct lapic *a, unsigned reg, uint32_t value)
{
    if (reg >= REG_LVT && reg < REG_LVT + LVT_COUNT) {
        write_lvt(a, (enum lvt)(reg - REG_LVT), value);
        return;
    }
    switch (reg) {
    case REG_ID:
        a->id = value & 0xff000000;
        break;
    case REG_TPR:
        a->tpr = value & 0xff;
        break;
    case REG_EOI:
        end_of_interrupt(a);
        break;
    case REG_LDR:
        a->ldr = value & 0xff000000;
        break;
    case REG_DFR:
        a->dfr = value | 0x0fffffff;
        break;
    case REG_SVR:
        write_svr(a, value);
        break;
    case REG_ESR:
        a->esr = a->esr_next;
        a->esr_next = 0;
        break;
    case REG_ICR_LOW:
        a->icr_low = value & ICR_BITS;
        send_ipi(a);
        break;
    case REG_ICR_HIGH:
        a->icr_high = value & 0xff000000;
        break;
    case REG_TIMER_INITIAL:
        start_timer(a, value);
        break;
    case REG_TIMER_DIVIDE:
        write_divide(a, value);
        break;
    case REG_VERSION:
    case REG_APR:
    case REG_PPR:
    case REG_RRD:
    case REG_TIMER_CURRENT:
        break; /* read-only */
    default:
        if (reg < REG_ISR || reg >= REG_IRR + 8) /* those are read-only */
            raise_error(a, ESR_ILLEGAL_REGISTER);
        break;
    }
}

/* Registers are 32 bits wide at 16-byte steps (11.4.1); the bytes between them read as zero. */
static uint32_t mmio_read(void *opaque, uint32_t offset, unsigned size)
{
    struct lapic *a = opaque;
    if (offset & 0xc)
        return 0;
    uint32_t value = register_read(a, offset >> 4);
    trace(LAPIC, "read +%03x -> %08x", offset, value);
    return value >> 8 * (offset & 3);
}

static void mmio_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct lapic *a = opaque;
    trace(LAPIC, "write +%03x <- %08x", offset, value);
    if (size != 4 || offset & 0xf)
        return;
    register_write(a, offset >> 4, value);
    update(a);
}

static const struct mmio_ops lapic_ops = {.read = mmio_read, .write = mmio_write};

/* ---- device ---- */

static void clear(struct lapic *a)
{
    memset(a->irr, 0, sizeof a->irr);
    memset(a->isr, 0, sizeof a->isr);
    memset(a->tmr, 0, sizeof a->tmr);
    a->id = a->tpr = a->ldr = a->esr = a->esr_next = a->icr_low = a->icr_high = 0;
    a->dfr = 0xffffffff;
    a->svr = 0xff;
    for (enum lvt entry = 0; entry < LVT_COUNT; entry++)
        a->lvt[entry] = LVT_MASKED;
    a->lvt[LVT_LINT0] = MODE_EXTINT << 8;
    a->lvt[LVT_LINT1] = MODE_NMI << 8;
    a->initial = a->divide = 0;
    a->started = 0;
    a->fired = a->extint = false;
    a->periods = 0;
    a->owed = 0;
    idle_tick_reset(&a->tick);
    clock_timer_cancel(a->timer);
}

void lapic_set_base(struct lapic *a, uint64_t msr)
{
    bool was_enabled = hardware_enabled(a);
    if (a->base != msr)
        trace(LAPIC, "IA32_APIC_BASE = %" G_GINT64_MODIFIER "x", msr);
    a->base = msr;
    physmap_begin(a->mem);
    physmap_range_move(a->mem, a->range, msr & MSR_ADDRESS);
    physmap_range_enable(a->mem, a->range, hardware_enabled(a));
    physmap_end(a->mem);
    if (was_enabled && !hardware_enabled(a))
        clear(a); /* 11.4.3: enabling again starts from the state after reset */
    update(a);
}

static void lapic_reset(struct device *device)
{
    struct lapic *a = (struct lapic *)device;
    clear(a);
    lapic_set_base(a, MSR_RESET);
}

static void lapic_before_save(void *device)
{
    struct lapic *a = device;
    int64_t deadline = clock_timer_deadline(a->timer);
    a->fire_at = deadline == CLOCK_NEVER ? 0 : (uint64_t)MAX(deadline, 1);
}

static bool lapic_after_load(void *device, GError **error)
{
    struct lapic *a = device;
    if (a->started < 0 - (int64_t)(1ll << 60) || a->started > 1ll << 60) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "lapic: saved state has an impossible time; the file is damaged, save it again");
        lapic_reset(&a->device);
        return false;
    }
    for (enum lvt entry = 0; entry < LVT_COUNT; entry++)
        a->lvt[entry] &= lvt_bits[entry] | LVT_REMOTE_IRR;
    a->irr[0] &= ~0xffffu;
    a->isr[0] &= ~0xffffu;
    a->divide &= 0x0b;
    a->svr &= SVR_BITS;
    a->lint &= 3;
    lapic_set_base(a, a->base);
    a->owed = MIN(a->owed, OWED_LIMIT);
    idle_tick_reset(&a->tick);
    arm_timer(a);
    /* To the nanosecond when it was to fire. It cannot be later than from now on. */
    int64_t latest = clock_timer_deadline(a->timer);
    if (a->fire_at && latest != CLOCK_NEVER)
        clock_timer_set(a->timer, (int64_t)MIN(a->fire_at, (uint64_t)latest));
    a->intr = !a->intr; /* the pin is driven whatever it was */
    update(a);
    return true;
}

static const struct state_field lapic_fields[] = {
    STATE(struct lapic, U64, base),
    STATE_ARRAY(struct lapic, U32, irr),
    STATE_ARRAY(struct lapic, U32, isr),
    STATE_ARRAY(struct lapic, U32, tmr),
    STATE(struct lapic, U32, id),
    STATE(struct lapic, U32, tpr),
    STATE(struct lapic, U32, ldr),
    STATE(struct lapic, U32, dfr),
    STATE(struct lapic, U32, svr),
    STATE(struct lapic, U32, esr),
    STATE(struct lapic, U32, esr_next),
    STATE(struct lapic, U32, icr_low),
    STATE(struct lapic, U32, icr_high),
    STATE_ARRAY(struct lapic, U32, lvt),
    STATE(struct lapic, U32, initial),
    STATE(struct lapic, U32, divide),
    STATE(struct lapic, U64, started),
    STATE(struct lapic, BOOL, fired),
    STATE(struct lapic, U64, periods),
    STATE(struct lapic, U32, owed),
    STATE(struct lapic, U8, lint),
    STATE(struct lapic, BOOL, extint),
    STATE_SINCE(struct lapic, U64, fire_at, 2),
};
static const struct state_table lapic_state = {
    .name = "lapic",
    .version = 2,
    .fields = lapic_fields,
    .count = G_N_ELEMENTS(lapic_fields),
    .before_save = lapic_before_save,
    .after_load = lapic_after_load,
};

static void lapic_free(struct device *device)
{
    struct lapic *a = (struct lapic *)device;
    clock_timer_free(a->timer);
    g_free(a);
}

static const struct device_class lapic_class = {
    .name = "lapic", .state = &lapic_state, .reset = lapic_reset, .free = lapic_free};

struct lapic *lapic_new(struct physmap *mem, struct clock *clock, const struct lapic_wiring *wiring)
{
    struct lapic *a = g_new0(struct lapic, 1);
    device_init(&a->device, &lapic_class, "lapic");
    a->wiring = *wiring;
    a->mem = mem;
    a->clock = clock;
    a->timer = clock_timer_new(clock, timer_fire, a);
    a->range = physmap_add_mmio(mem, "lapic", LAPIC_ADDRESS, WINDOW, &lapic_ops, a, PRIORITY);
    lapic_reset(&a->device);
    return a;
}

static void describe_set(GString *out, const char *name, const uint32_t *set)
{
    g_string_append_printf(out, "lapic %s:", name);
    for (unsigned vector = 0; vector < 256; vector++)
        if (set_has(set, (uint8_t)vector))
            g_string_append_printf(out, " %02x", vector);
    g_string_append_c(out, '\n');
}

void lapic_describe(struct lapic *a, GString *out)
{
    static const char *const names[LVT_COUNT] = {"timer", "thermal", "counters", "lint0", "lint1", "error"};
    g_string_append_printf(
        out, "lapic base=%" G_GINT64_MODIFIER "x id=%u svr=%03x tpr=%02x ppr=%02x ldr=%08x dfr=%08x\n",
        a->base, a->id >> 24, a->svr, a->tpr, processor_priority(a), a->ldr, a->dfr);
    for (enum lvt entry = 0; entry < LVT_COUNT; entry++)
        g_string_append_printf(out, "lapic lvt %-8s %05x%s\n", names[entry], a->lvt[entry],
                               a->lvt[entry] & LVT_MASKED ? " masked" : "");
    g_string_append_printf(out, "lapic timer initial=%u current=%u divide by %d\n", a->initial,
                           timer_current(a), (int)tick_ns(a));
    describe_set(out, "irr", a->irr);
    describe_set(out, "isr", a->isr);
}
