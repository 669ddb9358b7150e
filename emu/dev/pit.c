/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The 8254 of a PC. Intel 8254 datasheet (231164); port 0x61 by the PIIX3 datasheet (NMI status and control).
 *
 * Nothing counts here: guest time in ticks of 1.193182 MHz since the machine started, and the tick at which
 * the counting element was loaded, give counter value and output whenever somebody asks (settle() first takes
 * in a new count that was waiting for the end of a period). Gates of counters 0 and 1 are tied high.
 *
 * IRQ 0 is counter 0's output. One timer stands at its next rising edge; when it fires the line goes low and
 * high. When the host was late and several edges have passed, all but one are owed: they are delivered
 * between the real ones, at most eight times as fast, so a guest that counts ticks keeps time. What is owed
 * is bounded, and edges closer together than a guest could take are not owed at all.
 */
#include "emu/dev/pit.h"
#include "emu/trace.h"

#include <gio/gio.h>

enum { READ_BACK = 3, RW_LATCH = 0, RW_LSB = 1, RW_MSB = 2, RW_BOTH = 3 };
enum { STATUS_OUT = 0x80, STATUS_NULL = 0x40 };
enum { PORT_B = 0x61, PORT_B_GATE2 = 0x01, PORT_B_STORED = 0x0f, PORT_B_REFRESH = 0x10, PORT_B_OUT2 = 0x20 };
enum { REFRESH_TICKS = 18 };  /* counter 1 as every firmware sets it: a refresh each 15 µs */
enum { SHORTEST_NS = 20000 }; /* edges closer than this are merged: 50 kHz */
enum { OWED_LIMIT = 1000, OWED_PACE = 8 };
#define TICKS_LIMIT (1ull << 53) /* beyond any machine's life; keeps ns arithmetic in 64 bits */

struct counter {
    uint8_t control;  /* as programmed: RW, mode, BCD in bits 5–0 */
    uint16_t reload;  /* CR, as written */
    uint16_t pending; /* CR written while counting in modes 2 and 3: takes over at the end of the period */
    bool has_pending;
    uint64_t takeover; /* tick at which it does; UINT64_MAX: at the next trigger */
    bool loaded;       /* a full count was written since the control word */
    bool triggered;    /* modes 1 and 5: the gate has risen since */
    bool gate;
    uint64_t start;             /* tick at which CE was loaded */
    uint64_t held;              /* ticks counted when the gate stopped modes 0 and 4 */
    uint8_t low_byte;           /* first byte of a two-byte write */
    bool write_high, read_high; /* the second byte is next */
    uint8_t latched;            /* bytes of `latch` not read yet */
    uint16_t latch;
    bool has_status;
    uint8_t status;
};

struct pit {
    struct device device;
    struct clock *clock;
    struct irq_line irq0;
    struct clock_timer *timer;
    struct counter counter[3];
    uint8_t port_b;
    uint64_t edge; /* tick of the next edge of counter 0 that was not delivered; UINT64_MAX: none */
    uint32_t owed;
    bool line;        /* level of IRQ 0's wire: not always the output's, see irq0_fire() */
    uint64_t fire_at; /* saved state: when the timer fires, ns; 0: never */
    uint64_t reinjected, dropped;
};

/* ---- time ---- */

static uint64_t now_ticks(const struct pit *pit)
{
    int64_t now = clock_now(pit->clock);
    return clock_muldiv((uint64_t)MAX(now, 0), PIT_HZ, NANOSECONDS);
}

/* The first nanosecond at which now_ticks() gives `tick`. */
static int64_t tick_ns(uint64_t tick)
{
    return tick >= TICKS_LIMIT ? CLOCK_NEVER : (int64_t)clock_muldiv(tick, NANOSECONDS, PIT_HZ) + 1;
}

/* ---- counting ---- */

static unsigned mode(const struct counter *c)
{
    unsigned m = c->control >> 1 & 7;
    return m > 5 ? m & 3 : m; /* x10 and x11 */
}

static bool periodic(const struct counter *c)
{
    return mode(c) == 2 || mode(c) == 3;
}

static bool bcd(const struct counter *c)
{
    return c->control & 1;
}

static uint32_t modulus(const struct counter *c)
{
    return bcd(c) ? 10000 : 65536;
}

static uint32_t count_of(const struct counter *c, uint16_t cr)
{
    uint32_t n = cr;
    if (bcd(c))
        n = ((n >> 12) * 1000u + (n >> 8 & 15) * 100u + (n >> 4 & 15) * 10u + (n & 15)) % 10000;
    return n ? n : modulus(c);
}

static uint16_t as_programmed(const struct counter *c, uint32_t n)
{
    n %= modulus(c);
    return (uint16_t)(bcd(c) ? n / 1000 << 12 | n / 100 % 10 << 8 | n / 10 % 10 << 4 | n % 10 : n);
}

/* Ticks CE has counted since it was loaded; 0 while it is still to be. */
static uint64_t elapsed(const struct counter *c, uint64_t now)
{
    if (!c->gate && (mode(c) == 0 || mode(c) == 4))
        return c->held;
    return now > c->start ? now - c->start : 0;
}

static uint32_t high_part(uint32_t n)
{
    return (n + 1) / 2; /* of a period in mode 3 */
}

/* Takes over a count that waited for the end of the period, or in mode 3 of the half of it. */
static void settle(struct counter *c, uint64_t now)
{
    if (!c->has_pending || now < c->takeover)
        return;
    bool half = c->takeover - c->start < count_of(c, c->reload);
    c->reload = c->pending;
    c->has_pending = false;
    c->start = c->takeover;
    if (half) /* the new count's second half begins here */
        c->start -= MIN(c->start, high_part(count_of(c, c->reload)));
}

static bool output(const struct counter *c, uint64_t now)
{
    if (!c->loaded)
        return mode(c) != 0;
    uint32_t n = count_of(c, c->reload);
    uint64_t e = elapsed(c, now);
    switch (mode(c)) {
    case 0:
        return now >= c->start && e >= n;
    case 1:
        return !c->triggered || e >= n;
    case 2:
        return !c->gate || n < 2 || e % n != n - 1;
    case 3:
        return !c->gate || e % n < high_part(n);
    case 4:
        return e != n;
    case 5:
        return !c->triggered || e != n;
    }
    return true;
}

static uint16_t value(const struct counter *c, uint64_t now)
{
    uint32_t n = count_of(c, c->reload);
    uint64_t e = elapsed(c, now);
    if (!c->loaded)
        return as_programmed(c, n);
    switch (mode(c)) {
    case 2:
        return as_programmed(c, n - (uint32_t)(c->gate ? e % n : 0));
    case 3: {
        uint32_t phase = (uint32_t)(c->gate ? e % n : 0), high = high_part(n);
        uint32_t step = phase < high ? phase : phase - high;
        return as_programmed(c, (n & ~1u) - 2 * step);
    }
    case 1:
    case 5:
        if (!c->triggered)
            return as_programmed(c, n);
        break;
    }
    uint32_t m = modulus(c);
    return as_programmed(c, n + m - (uint32_t)(e % m));
}

static uint64_t edge_after(const struct counter *c, uint64_t after)
{
    uint64_t n = count_of(c, c->reload), first = c->start + n;
    switch (mode(c)) {
    case 0:
        return first > after ? first : UINT64_MAX;
    case 2:
    case 3:
        if (n < 2)
            return UINT64_MAX; /* the datasheet forbids 1; the output stays high */
        return first > after ? first : first + ((after - first) / n + 1) * n;
    case 4:
        return first + 1 > after ? first + 1 : UINT64_MAX;
    default: /* 1 and 5 need a gate that rises: that of counter 0 never does */
        return UINT64_MAX;
    }
}

/* Tick of the first rising edge after `after`, UINT64_MAX when there is none. */
static uint64_t next_edge(const struct counter *c, uint64_t after)
{
    if (!c->loaded || !c->gate)
        return UINT64_MAX;
    if (!c->has_pending || c->takeover == UINT64_MAX)
        return edge_after(c, after);
    struct counter then = *c;
    settle(&then, c->takeover);
    uint64_t edge = edge_after(&then, after);
    bool whole = then.start == c->takeover; /* a period ends there: an edge by itself */
    return whole && c->takeover > after ? MIN(edge, c->takeover) : edge;
}

/* ---- IRQ 0 ---- */

static void drive(struct pit *pit, bool level)
{
    pit->line = level;
    irq_set(&pit->irq0, level);
}

static void arm(struct pit *pit, int64_t now_ns)
{
    int64_t deadline = tick_ns(pit->edge);
    if (pit->owed) {
        const struct counter *c = &pit->counter[0];
        int64_t pace = tick_ns(count_of(c, c->reload)) / OWED_PACE;
        deadline = MIN(deadline, now_ns + pace);
    }
    if (deadline != CLOCK_NEVER)
        deadline = MAX(deadline, now_ns + SHORTEST_NS);
    clock_timer_set(pit->timer, deadline);
}

static void schedule(struct pit *pit)
{
    pit->owed = 0;
    pit->edge = next_edge(&pit->counter[0], now_ticks(pit));
    int64_t deadline = tick_ns(pit->edge);
    clock_timer_set(pit->timer, deadline);
}

/* How many edges lie in [pit->edge, now]; moves pit->edge beyond. */
static uint64_t edges_due(struct pit *pit, uint64_t now)
{
    struct counter *c = &pit->counter[0];
    uint64_t due = 0;
    while (c->has_pending && pit->edge <= now &&
           pit->edge <= c->takeover) { /* the rest of this period: one */
        due++;
        pit->edge = next_edge(c, pit->edge);
    }
    settle(c, now);
    if (pit->edge <= now) {
        due += periodic(c) ? 1 + (now - pit->edge) / count_of(c, c->reload) : 1;
        pit->edge = next_edge(c, now);
    }
    return due;
}

static void irq0_fire(void *opaque)
{
    struct pit *pit = opaque;
    int64_t now_ns = clock_now(pit->clock);
    uint64_t real = edges_due(pit, now_ticks(pit)), due = real + pit->owed;
    if (!real && due)
        pit->reinjected++;
    if (due) {
        drive(pit, false);
        drive(pit, true);
        due--;
    }
    const struct counter *c = &pit->counter[0];
    uint64_t limit = tick_ns(count_of(c, c->reload)) < 4 * SHORTEST_NS ? 0 : OWED_LIMIT;
    if (due > limit) {
        pit->dropped += due - limit;
        due = limit;
    }
    pit->owed = (uint32_t)due;
    arm(pit, now_ns);
}

uint64_t pit_edges_reinjected(const struct pit *pit)
{
    return pit->reinjected;
}

uint64_t pit_edges_dropped(const struct pit *pit)
{
    return pit->dropped;
}

/* ---- registers ---- */

static void counter_changed(struct pit *pit, unsigned n)
{
    if (n != 0)
        return;
    drive(pit, output(&pit->counter[0], now_ticks(pit)));
    schedule(pit);
}

static void load(struct pit *pit, unsigned n, uint16_t count)
{
    struct counter *c = &pit->counter[n];
    uint64_t now = now_ticks(pit);
    settle(c, now);
    trace(PIT, "counter %u: mode %u, count %u%s", n, mode(c), count_of(c, count), bcd(c) ? " (BCD)" : "");
    if (c->loaded && c->triggered) { /* modes 1 and 5: the count running now is not disturbed */
        c->pending = count;
        c->has_pending = true;
        c->takeover = UINT64_MAX;
        return;
    }
    if (c->loaded && periodic(c) && c->gate && now >= c->start) {
        if (n == 0) /* edges the host has not delivered yet belong to the old count */
            pit->owed = (uint32_t)MIN(pit->owed + edges_due(pit, now), OWED_LIMIT);
        uint64_t period = count_of(c, c->reload), place = (now - c->start) % period;
        c->start = now - place;
        if (!c->has_pending) {
            bool half = mode(c) == 3 && place < high_part((uint32_t)period);
            c->takeover = c->start + (half ? high_part((uint32_t)period) : period);
        }
        c->pending = count;
        c->has_pending = true;
        if (n == 0) {
            pit->edge = next_edge(c, now);
            arm(pit, clock_now(pit->clock));
        }
        return;
    }
    c->reload = count;
    c->loaded = true;
    c->start = now + 1; /* CE is loaded by the next clock pulse */
    c->held = 0;
    counter_changed(pit, n);
}

static void counter_write(struct pit *pit, unsigned n, uint8_t byte)
{
    struct counter *c = &pit->counter[n];
    switch (c->control >> 4 & 3) {
    case RW_LSB:
        load(pit, n, byte);
        break;
    case RW_MSB:
        load(pit, n, (uint16_t)(byte << 8));
        break;
    case RW_BOTH:
        if (c->write_high) {
            c->write_high = false;
            load(pit, n, (uint16_t)(c->low_byte | byte << 8));
        } else {
            c->low_byte = byte;
            c->write_high = true;
            if (mode(c) == 0) { /* the first byte stops the counter */
                c->loaded = false;
                counter_changed(pit, n);
            }
        }
        break;
    case RW_LATCH: /* no control word since power-on: there is nothing to write to */
        break;
    }
}

static uint8_t counter_read(struct pit *pit, unsigned n)
{
    struct counter *c = &pit->counter[n];
    if (c->has_status) {
        c->has_status = false;
        return c->status;
    }
    unsigned rw = c->control >> 4 & 3;
    if (c->latched) {
        bool high = rw == RW_MSB || (rw == RW_BOTH && c->latched == 1);
        c->latched--;
        return (uint8_t)(high ? c->latch >> 8 : c->latch);
    }
    uint64_t now = now_ticks(pit);
    settle(c, now);
    uint16_t v = value(c, now);
    bool high = rw == RW_MSB;
    if (rw == RW_BOTH) {
        high = c->read_high;
        c->read_high = !c->read_high;
    }
    return (uint8_t)(high ? v >> 8 : v);
}

static void latch_count(struct pit *pit, struct counter *c)
{
    if (c->latched)
        return; /* the first latch stands until it is read */
    uint64_t now = now_ticks(pit);
    settle(c, now);
    c->latch = value(c, now);
    c->latched = (c->control >> 4 & 3) == RW_BOTH ? 2 : 1;
}

static void latch_status(struct pit *pit, struct counter *c)
{
    if (c->has_status)
        return;
    uint64_t now = now_ticks(pit);
    settle(c, now);
    bool null_count = !c->loaded || c->has_pending || now < c->start;
    c->status =
        (uint8_t)((c->control & 0x3f) | (output(c, now) ? STATUS_OUT : 0) | (null_count ? STATUS_NULL : 0));
    c->has_status = true;
}

static void control_write(struct pit *pit, uint8_t word)
{
    unsigned n = word >> 6;
    if (n == READ_BACK) {
        for (unsigned i = 0; i < 3; i++) {
            if (!(word >> (i + 1) & 1))
                continue;
            if (!(word & 0x20))
                latch_count(pit, &pit->counter[i]);
            if (!(word & 0x10))
                latch_status(pit, &pit->counter[i]);
        }
        return;
    }
    struct counter *c = &pit->counter[n];
    if ((word >> 4 & 3) == RW_LATCH) {
        latch_count(pit, c);
        return;
    }
    *c = (struct counter){.control = word & 0x3f, .gate = c->gate, .reload = c->reload};
    counter_changed(pit, n);
}

static uint32_t pit_read(void *opaque, uint16_t port, unsigned size)
{
    return (port & 3) == 3 ? 0xff : counter_read(opaque, port & 3); /* the control word cannot be read */
}

static void pit_write(void *opaque, uint16_t port, uint32_t value_, unsigned size)
{
    if ((port & 3) == 3)
        control_write(opaque, (uint8_t)value_);
    else
        counter_write(opaque, port & 3, (uint8_t)value_);
}

static void set_gate2(struct pit *pit, bool gate)
{
    struct counter *c = &pit->counter[2];
    if (c->gate == gate)
        return;
    uint64_t now = now_ticks(pit);
    settle(c, now);
    switch (mode(c)) {
    case 0:
    case 4: /* the gate enables counting */
        if (gate) {
            uint64_t held = c->held;
            c->start = now > held ? now - held : 0;
        } else {
            c->held = elapsed(c, now);
        }
        break;
    case 2:
    case 3:
        if (gate) { /* a rising gate starts the period afresh, with the newest count */
            if (c->has_pending)
                c->reload = c->pending;
            c->has_pending = false;
            c->start = now + 1;
        }
        break;
    case 1:
    case 5:
        if (gate && c->loaded) {
            if (c->has_pending)
                c->reload = c->pending;
            c->has_pending = false;
            c->triggered = true;
            c->start = now + 1;
        }
        break;
    }
    c->gate = gate;
}

static uint32_t port_b_read(void *opaque, uint16_t port, unsigned size)
{
    struct pit *pit = opaque;
    uint64_t now = now_ticks(pit);
    settle(&pit->counter[2], now);
    uint32_t bits = pit->port_b;
    if (now / REFRESH_TICKS & 1)
        bits |= PORT_B_REFRESH;
    if (output(&pit->counter[2], now))
        bits |= PORT_B_OUT2;
    return bits;
}

static void port_b_write(void *opaque, uint16_t port, uint32_t value_, unsigned size)
{
    struct pit *pit = opaque;
    pit->port_b = (uint8_t)(value_ & PORT_B_STORED);
    set_gate2(pit, value_ & PORT_B_GATE2);
}

static const struct portio_ops pit_ops = {.read = pit_read, .write = pit_write};
static const struct portio_ops port_b_ops = {.read = port_b_read, .write = port_b_write};

/* ---- device ---- */

/* The chip has no reset pin and powers up undefined: this is what firmware leaves, counter 0 at 18.2 Hz. */
static void pit_reset(struct device *device)
{
    struct pit *pit = (struct pit *)device;
    for (unsigned i = 0; i < 3; i++)
        pit->counter[i] = (struct counter){.control = RW_BOTH << 4 | 3 << 1, .gate = i != 2};
    pit->port_b = 0;
    pit->owed = 0;
    pit->edge = UINT64_MAX;
    clock_timer_cancel(pit->timer);
    drive(pit, false);
    load(pit, 0, 0);
}

static void pit_before_save(void *device)
{
    struct pit *pit = device;
    int64_t deadline = clock_timer_deadline(pit->timer);
    pit->fire_at = deadline == CLOCK_NEVER ? 0 : (uint64_t)MAX(deadline, 1);
}

static bool pit_after_load(void *device, GError **error)
{
    struct pit *pit = device;
    for (unsigned i = 0; i < 3; i++) {
        struct counter *c = &pit->counter[i];
        bool gate = i != 2 || pit->port_b & PORT_B_GATE2;
        if (c->start >= TICKS_LIMIT || c->held >= TICKS_LIMIT || c->latched > 2 || c->gate != gate ||
            (c->has_pending &&
             (c->takeover < c->start || (c->takeover >= TICKS_LIMIT && c->takeover != UINT64_MAX)))) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "pit: saved state of counter %u is impossible; the file is damaged, save it again",
                        i);
            pit_reset(&pit->device);
            return false;
        }
        c->control &= 0x3f;
    }
    pit->port_b &= PORT_B_STORED;
    pit->owed = MIN(pit->owed, OWED_LIMIT);
    /* A hostile value only moves the next edge; one that lies in the past is made up for as lateness is. */
    drive(pit, pit->line);
    uint64_t next = next_edge(&pit->counter[0], now_ticks(pit));
    if (pit->edge > next || next == UINT64_MAX)
        pit->edge = next;
    arm(pit, clock_now(pit->clock));
    /* To the nanosecond when it was to fire. It cannot be later than from now on. */
    int64_t latest = clock_timer_deadline(pit->timer);
    if (pit->fire_at && latest != CLOCK_NEVER)
        clock_timer_set(pit->timer, (int64_t)MIN(pit->fire_at, (uint64_t)latest));
    return true;
}

#define COUNTER_STATE(i)                                                                                     \
    STATE(struct pit, U8, counter[i].control), STATE(struct pit, U16, counter[i].reload),                    \
        STATE(struct pit, U16, counter[i].pending), STATE(struct pit, BOOL, counter[i].has_pending),         \
        STATE(struct pit, U64, counter[i].takeover), STATE(struct pit, BOOL, counter[i].loaded),             \
        STATE(struct pit, BOOL, counter[i].triggered), STATE(struct pit, BOOL, counter[i].gate),             \
        STATE(struct pit, U64, counter[i].start), STATE(struct pit, U64, counter[i].held),                   \
        STATE(struct pit, U8, counter[i].low_byte), STATE(struct pit, BOOL, counter[i].write_high),          \
        STATE(struct pit, BOOL, counter[i].read_high), STATE(struct pit, U8, counter[i].latched),            \
        STATE(struct pit, U16, counter[i].latch), STATE(struct pit, BOOL, counter[i].has_status),            \
        STATE(struct pit, U8, counter[i].status)

static const struct state_field pit_fields[] = {
    COUNTER_STATE(0),
    COUNTER_STATE(1),
    COUNTER_STATE(2),
    STATE(struct pit, U8, port_b),
    STATE(struct pit, U64, edge),
    STATE(struct pit, U32, owed),
    STATE_SINCE(struct pit, BOOL, line, 2),
    STATE_SINCE(struct pit, U64, fire_at, 2),
};
static const struct state_table pit_state = {
    .name = "pit",
    .version = 2,
    .fields = pit_fields,
    .count = G_N_ELEMENTS(pit_fields),
    .before_save = pit_before_save,
    .after_load = pit_after_load,
};

static void pit_free(struct device *device)
{
    struct pit *pit = (struct pit *)device;
    clock_timer_free(pit->timer);
    g_free(pit);
}

static const struct device_class pit_class = {
    .name = "pit", .state = &pit_state, .reset = pit_reset, .free = pit_free};

struct pit *pit_new(struct portio *io, struct clock *clock, const struct irq_line *irq0)
{
    struct pit *pit = g_new0(struct pit, 1);
    device_init(&pit->device, &pit_class, "pit");
    pit->clock = clock;
    pit->irq0 = *irq0;
    pit->timer = clock_timer_new(clock, irq0_fire, pit);
    portio_add(io, "pit", 0x40, 4, &pit_ops, pit);
    portio_add(io, "port-b", PORT_B, 1, &port_b_ops, pit);
    pit_reset(&pit->device);
    return pit;
}
