/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The 8259A pair of a PC. Intel 8259A datasheet (231468), and the PIIX3 datasheet for the edge/level control
 * registers.
 *
 * Each chip keeps the level of its eight inputs and, for edge-triggered ones, a latch: a rising edge sets it,
 * INTA and a falling input clear it (the datasheet's rule that a request must stand until INTA; a request
 * withdrawn earlier gives the spurious vector 7). IRR as the guest sees it is the latch for edge inputs and
 * the level itself for inputs that ELCR makes level-triggered. As on the PIIX3, ICW1.LTIM is ignored in
 * favour of ELCR. update() recomputes the slave's INT, which is the master's input 2, and then the master's.
 */
#include "emu/dev/pic.h"
#include "emu/trace.h"

#include <gio/gio.h>

enum { CASCADE = 2, SPURIOUS = 7 };
enum { ICW1 = 0x10, ICW1_IC4 = 0x01, ICW1_SINGLE = 0x02 };
enum { ICW4_AEOI = 0x02, ICW4_SFNM = 0x10 };
enum { OCW3 = 0x08, OCW3_RIS = 0x01, OCW3_RR = 0x02, OCW3_POLL = 0x04, OCW3_SMM = 0x20, OCW3_ESMM = 0x40 };
enum { ELCR_MASTER_BITS = 0xf8, ELCR_SLAVE_BITS = 0xde };

/* Which initialisation word the data port expects. */
enum icw { ICW_NONE, ICW_2, ICW_3, ICW_4 };

struct chip {
    uint8_t lines; /* level of the inputs */
    uint8_t latch; /* edges seen and not yet acknowledged */
    uint8_t isr, imr;
    uint8_t elcr;
    uint8_t lowest; /* input with the lowest priority; the next one has the highest */
    uint8_t vector_base;
    uint8_t expects; /* enum icw */
    bool want_icw4, single;
    bool auto_eoi, rotate_auto_eoi, fully_nested;
    bool special_mask;
    bool read_isr, poll;
};

struct pic {
    struct device device;
    struct irq_line intr;
    bool output;
    struct chip chip[2]; /* master, slave */
};

static uint8_t chip_irr(const struct chip *c)
{
    return (uint8_t)((c->lines & c->elcr) | (c->latch & ~c->elcr));
}

/* Place of the highest-priority bit of `set` in the present order: 0 is highest, 8 when the set is empty. */
static unsigned priority(const struct chip *c, uint8_t set)
{
    unsigned p = 0;
    while (p < 8 && !(set >> ((c->lowest + 1 + p) & 7) & 1))
        p++;
    return p;
}

/* The input that would be served now, or -1. */
static int pending(const struct chip *c, bool master)
{
    unsigned want = priority(c, (uint8_t)(chip_irr(c) & ~c->imr));
    if (want == 8)
        return -1;
    uint8_t busy = c->isr;
    if (c->special_mask)
        busy &= (uint8_t)~c->imr;
    /* Special fully nested: the slave may interrupt its own routine with something more urgent. */
    if (c->fully_nested && master)
        busy &= (uint8_t) ~(1u << CASCADE);
    return want < priority(c, busy) ? (int)((c->lowest + 1 + want) & 7) : -1;
}

static void chip_line(struct chip *c, unsigned n, bool level)
{
    uint8_t bit = (uint8_t)(1u << n);
    if (level && !(c->lines & bit)) {
        c->lines |= bit;
        c->latch |= bit;
    } else if (!level) {
        c->lines &= (uint8_t)~bit;
        c->latch &= (uint8_t)~bit;
    }
}

static void update(struct pic *pic)
{
    chip_line(&pic->chip[0], CASCADE, pending(&pic->chip[1], false) >= 0);
    bool output = pending(&pic->chip[0], true) >= 0;
    if (output == pic->output)
        return;
    pic->output = output;
    irq_set(&pic->intr, output);
}

static void pin_set(void *opaque, unsigned n, bool level)
{
    struct pic *pic = opaque;
    trace(IRQ, "pic: input %u %s", n, level ? "high" : "low");
    chip_line(&pic->chip[n >> 3], n & 7, level);
    update(pic);
}

struct irq_line pic_input(struct pic *pic, unsigned irq)
{
    if (irq == CASCADE || irq > 15)
        return (struct irq_line){0};
    return (struct irq_line){.set = pin_set, .opaque = pic, .n = irq};
}

/* The request is taken into service (end of the INTA sequence, or a poll). */
static void take(struct chip *c, unsigned n)
{
    uint8_t bit = (uint8_t)(1u << n);
    c->latch &= (uint8_t)~bit;
    if (!c->auto_eoi)
        c->isr |= bit;
    else if (c->rotate_auto_eoi)
        c->lowest = (uint8_t)n;
}

uint8_t pic_acknowledge(struct pic *pic)
{
    struct chip *master = &pic->chip[0], *slave = &pic->chip[1];
    uint8_t vector;
    int n = pending(master, true);
    if (n == CASCADE) {
        take(master, CASCADE);
        int m = pending(slave, false);
        if (m >= 0)
            take(slave, (unsigned)m);
        vector = (uint8_t)(slave->vector_base | (m >= 0 ? m : SPURIOUS));
        /* The slave's INT goes low during its INTA: what is pending there makes a new edge. */
        chip_line(master, CASCADE, false);
    } else {
        if (n >= 0)
            take(master, (unsigned)n);
        vector = (uint8_t)(master->vector_base | (n >= 0 ? n : SPURIOUS));
    }
    trace(IRQ, "pic: acknowledge gives vector 0x%02x%s", vector, n < 0 ? " (spurious)" : "");
    update(pic);
    return vector;
}

bool pic_output(const struct pic *pic)
{
    return pic->output;
}

/* ---- registers ---- */

static void start_initialisation(struct chip *c, uint8_t icw1)
{
    uint8_t lines = c->lines, elcr = c->elcr, base = c->vector_base;
    *c = (struct chip){
        .lines = lines,
        .elcr = elcr,
        .vector_base = base,
        .lowest = 7,
        .expects = ICW_2,
        .want_icw4 = icw1 & ICW1_IC4,
        .single = icw1 & ICW1_SINGLE,
    };
}

static void end_of_interrupt(struct chip *c, bool specific, unsigned level, bool rotate)
{
    if (!specific) {
        /* In special mask mode a masked in-service bit is not for the non-specific command. */
        unsigned p = priority(c, c->special_mask ? (uint8_t)(c->isr & ~c->imr) : c->isr);
        if (p == 8)
            return;
        level = (c->lowest + 1 + p) & 7;
    }
    c->isr &= (uint8_t) ~(1u << level);
    if (rotate)
        c->lowest = (uint8_t)level;
}

static void command_ocw2(struct chip *c, uint8_t value)
{
    unsigned level = value & 7;
    switch (value >> 5) {
    case 0: /* rotate in automatic EOI mode: clear */
        c->rotate_auto_eoi = false;
        break;
    case 1: /* non-specific EOI */
        end_of_interrupt(c, false, 0, false);
        break;
    case 2: /* no operation */
        break;
    case 3: /* specific EOI */
        end_of_interrupt(c, true, level, false);
        break;
    case 4: /* rotate in automatic EOI mode: set */
        c->rotate_auto_eoi = true;
        break;
    case 5: /* rotate on non-specific EOI */
        end_of_interrupt(c, false, 0, true);
        break;
    case 6: /* set priority */
        c->lowest = (uint8_t)level;
        break;
    case 7: /* rotate on specific EOI */
        end_of_interrupt(c, true, level, true);
        break;
    }
}

static void command_write(struct chip *c, uint8_t value)
{
    if (value & ICW1) {
        start_initialisation(c, value);
    } else if (value & OCW3) {
        if (value & OCW3_POLL)
            c->poll = true;
        if (value & OCW3_RR)
            c->read_isr = value & OCW3_RIS;
        if (value & OCW3_ESMM)
            c->special_mask = value & OCW3_SMM;
    } else {
        command_ocw2(c, value);
    }
}

static void data_write(struct chip *c, uint8_t value)
{
    switch ((enum icw)c->expects) {
    case ICW_NONE:
        c->imr = value;
        break;
    case ICW_2:
        c->vector_base = value & 0xf8;
        c->expects = !c->single ? ICW_3 : c->want_icw4 ? ICW_4 : ICW_NONE;
        break;
    case ICW_3: /* the cascade is soldered: master's input 2 */
        c->expects = c->want_icw4 ? ICW_4 : ICW_NONE;
        break;
    case ICW_4:
        c->auto_eoi = value & ICW4_AEOI;
        c->fully_nested = value & ICW4_SFNM;
        c->expects = ICW_NONE;
        break;
    }
}

static void pic_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct pic *pic = opaque;
    struct chip *c = &pic->chip[port >> 7 & 1];
    if (port & 1)
        data_write(c, (uint8_t)value);
    else
        command_write(c, (uint8_t)value);
    update(pic);
}

static uint32_t pic_read(void *opaque, uint16_t port, unsigned size)
{
    struct pic *pic = opaque;
    struct chip *c = &pic->chip[port >> 7 & 1];
    if (c->poll) { /* the read is an INTA for this chip alone */
        c->poll = false;
        int n = pending(c, c == &pic->chip[0]);
        if (n < 0)
            return 0;
        take(c, (unsigned)n);
        if (c == &pic->chip[1])
            chip_line(&pic->chip[0], CASCADE, false);
        update(pic);
        return 0x80u | (unsigned)n;
    }
    if (port & 1)
        return c->imr;
    return c->read_isr ? c->isr : chip_irr(c);
}

static void elcr_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct pic *pic = opaque;
    pic->chip[port & 1].elcr = (uint8_t)(value & (port & 1 ? ELCR_SLAVE_BITS : ELCR_MASTER_BITS));
    update(pic);
}

static uint32_t elcr_read(void *opaque, uint16_t port, unsigned size)
{
    const struct pic *pic = opaque;
    return pic->chip[port & 1].elcr;
}

static const struct portio_ops pic_ops = {.read = pic_read, .write = pic_write};
static const struct portio_ops elcr_ops = {.read = elcr_read, .write = elcr_write};

/* ---- device ---- */

static void pic_reset(struct device *device)
{
    struct pic *pic = (struct pic *)device;
    for (unsigned i = 0; i < 2; i++)
        pic->chip[i] = (struct chip){.lines = pic->chip[i].lines, .lowest = 7};
    update(pic);
}

static bool pic_after_load(void *device, GError **error)
{
    struct pic *pic = device;
    for (unsigned i = 0; i < 2; i++) {
        struct chip *c = &pic->chip[i];
        if (c->lowest > 7 || c->expects > ICW_4) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "pic: saved state has priority %u, step %u; the file is damaged, save it again",
                        c->lowest, c->expects);
            pic_reset(&pic->device);
            return false;
        }
        c->vector_base &= 0xf8;
        c->elcr &= i ? ELCR_SLAVE_BITS : ELCR_MASTER_BITS;
        c->latch &= c->lines;
    }
    pic->output = pending(&pic->chip[0], true) >= 0;
    irq_set(&pic->intr, pic->output);
    return true;
}

#define CHIP_STATE(i)                                                                                        \
    STATE(struct pic, U8, chip[i].lines), STATE(struct pic, U8, chip[i].latch),                              \
        STATE(struct pic, U8, chip[i].isr), STATE(struct pic, U8, chip[i].imr),                              \
        STATE(struct pic, U8, chip[i].elcr), STATE(struct pic, U8, chip[i].lowest),                          \
        STATE(struct pic, U8, chip[i].vector_base), STATE(struct pic, U8, chip[i].expects),                  \
        STATE(struct pic, BOOL, chip[i].want_icw4), STATE(struct pic, BOOL, chip[i].single),                 \
        STATE(struct pic, BOOL, chip[i].auto_eoi), STATE(struct pic, BOOL, chip[i].rotate_auto_eoi),         \
        STATE(struct pic, BOOL, chip[i].fully_nested), STATE(struct pic, BOOL, chip[i].special_mask),        \
        STATE(struct pic, BOOL, chip[i].read_isr), STATE(struct pic, BOOL, chip[i].poll)

static const struct state_field pic_fields[] = {CHIP_STATE(0), CHIP_STATE(1)};
static const struct state_table pic_state = {
    .name = "pic",
    .version = 1,
    .fields = pic_fields,
    .count = G_N_ELEMENTS(pic_fields),
    .after_load = pic_after_load,
};
static const struct device_class pic_class = {.name = "pic", .state = &pic_state, .reset = pic_reset};

struct pic *pic_new(struct portio *io, const struct irq_line *intr)
{
    struct pic *pic = g_new0(struct pic, 1);
    device_init(&pic->device, &pic_class, "pic");
    pic->intr = *intr;
    portio_add(io, "pic-master", 0x20, 2, &pic_ops, pic);
    portio_add(io, "pic-slave", 0xa0, 2, &pic_ops, pic);
    portio_add(io, "elcr", 0x4d0, 2, &elcr_ops, pic);
    pic_reset(&pic->device);
    return pic;
}

void pic_describe(const struct pic *pic, GString *out)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct chip *c = &pic->chip[i];
        g_string_append_printf(
            out, "pic%u: lines=%02x irr=%02x imr=%02x isr=%02x elcr=%02x base=%02x lowest=%u%s%s%s\n", i,
            c->lines, chip_irr(c), c->imr, c->isr, c->elcr, c->vector_base, c->lowest,
            c->auto_eoi ? " aeoi" : "", c->special_mask ? " smm" : "", c->fully_nested ? " sfnm" : "");
    }
}
