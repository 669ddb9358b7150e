/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * I/O APIC: see ioapic.h. Intel 82093AA datasheet (290566).
 *
 * An input line means "asserted", not a voltage: the polarity bit is kept and read back, and the board is by
 * definition wired as the guest describes it (guests disagree about PCI lines that share ISA inputs). An edge
 * on a masked input is ignored, as the datasheet says. A level-triggered entry sends while its line is
 * asserted and remote IRR is clear; the EOI of its vector clears remote IRR and so sends again if the line
 * still stands.
 */
#include "emu/dev/ioapic.h"
#include "emu/trace.h"

#include <glib.h>

enum { IOREGSEL = 0x00, IOWIN = 0x10, REG_ID = 0, REG_VERSION = 1, REG_ARBITRATION = 2, REG_TABLE = 0x10 };
enum { VERSION = 0x11 | (IOAPIC_PINS - 1) << 16, ID_BITS = 0x0f000000 };
#define RTE_REMOTE_IRR (1ull << 14)
#define RTE_LEVEL      (1ull << 15)
#define RTE_MASKED     (1ull << 16)
#define RTE_READ_ONLY  (RTE_REMOTE_IRR | 1ull << 12)
#define RTE_BITS       0xff0000000001ffffull
enum { MODE_LOWEST = 1, MODE_SHIFT = 8, LOGICAL = 1 << 11 };
enum { PRIORITY = 100, WINDOW = 0x1000 };

struct ioapic {
    struct device device;
    struct ioapic_bus bus;
    struct phys_range *range;
    uint64_t entry[IOAPIC_PINS];
    uint32_t id;
    uint32_t lines;
    uint8_t select;
};

static void send(struct ioapic *a, unsigned pin)
{
    uint64_t e = a->entry[pin];
    unsigned mode = e >> MODE_SHIFT & 7;
    bool level = e & RTE_LEVEL && mode <= MODE_LOWEST; /* the other modes are edges whatever the bit says */
    bool taken = a->bus.deliver(a->bus.opaque, (uint8_t)(e >> 56), e & LOGICAL, mode, (uint8_t)e, level);
    trace(IOAPIC, "input %u sends vector 0x%02x, mode %u%s", pin, (unsigned)(e & 0xff), mode,
          taken ? "" : ": nobody");
    if (taken && level)
        a->entry[pin] |= RTE_REMOTE_IRR;
}

static void send_level(struct ioapic *a, unsigned pin)
{
    uint64_t e = a->entry[pin];
    if (e & RTE_LEVEL && !(e & (RTE_MASKED | RTE_REMOTE_IRR)) && a->lines >> pin & 1)
        send(a, pin);
}

static void pin_set(void *opaque, unsigned pin, bool level)
{
    struct ioapic *a = opaque;
    uint32_t bit = 1u << pin;
    bool rising = level && !(a->lines & bit);
    a->lines = level ? a->lines | bit : a->lines & ~bit;
    if (!rising)
        return;
    if (a->entry[pin] & RTE_LEVEL)
        send_level(a, pin);
    else if (!(a->entry[pin] & RTE_MASKED))
        send(a, pin);
}

struct irq_line ioapic_input(struct ioapic *ioapic, unsigned pin)
{
    g_assert(pin < IOAPIC_PINS);
    return (struct irq_line){.set = pin_set, .opaque = ioapic, .n = pin};
}

void ioapic_eoi(struct ioapic *a, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *e = &a->entry[pin];
        if ((uint8_t)*e != vector || !(*e & RTE_REMOTE_IRR))
            continue;
        *e &= ~RTE_REMOTE_IRR;
        send_level(a, pin);
    }
}

/* ---- registers ---- */

static uint32_t register_read(const struct ioapic *a, uint8_t reg)
{
    unsigned pin = (reg - REG_TABLE) / 2u;
    switch (reg) {
    case REG_ID:
    case REG_ARBITRATION:
        return a->id;
    case REG_VERSION:
        return VERSION;
    default:
        if (reg < REG_TABLE || pin >= IOAPIC_PINS)
            return 0;
        return (uint32_t)(a->entry[pin] >> (reg & 1 ? 32 : 0));
    }
}

static void register_write(struct ioapic *a, uint8_t reg, uint32_t value)
{
    unsigned pin = (reg - REG_TABLE) / 2u;
    trace(IOAPIC, "register %02x <- %08x", reg, value);
    if (reg == REG_ID)
        a->id = value & ID_BITS;
    if (reg < REG_TABLE || pin >= IOAPIC_PINS)
        return;
    uint64_t old = a->entry[pin], e;
    if (reg & 1)
        e = (old & 0xffffffff) | (uint64_t)value << 32;
    else
        e = (old & ~0xffffffffull) | value;
    e = (e & RTE_BITS & ~RTE_READ_ONLY) | (old & RTE_READ_ONLY);
    if (!(e & RTE_LEVEL))
        e &= ~RTE_REMOTE_IRR; /* how software without an EOI register ends a stuck interrupt */
    a->entry[pin] = e;
    send_level(a, pin);
}

static uint32_t mmio_read(void *opaque, uint32_t offset, unsigned size)
{
    const struct ioapic *a = opaque;
    uint32_t value = 0;
    if ((offset & ~3u) == IOREGSEL)
        value = a->select;
    else if ((offset & ~3u) == IOWIN)
        value = register_read(a, a->select);
    return value >> 8 * (offset & 3);
}

static void mmio_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct ioapic *a = opaque;
    if (offset == IOREGSEL)
        a->select = (uint8_t)value;
    else if (offset == IOWIN && size == 4)
        register_write(a, a->select, value);
    else
        trace(IOAPIC, "write%u of %x at +%x is ignored", 8 * size, value, offset);
}

static const struct mmio_ops ioapic_ops = {.read = mmio_read, .write = mmio_write};

/* ---- device ---- */

static void ioapic_reset(struct device *device)
{
    struct ioapic *a = (struct ioapic *)device;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        a->entry[pin] = RTE_MASKED;
    a->id = IOAPIC_ID_DEFAULT << 24;
    a->select = 0;
}

static bool ioapic_after_load(void *device, GError **error)
{
    struct ioapic *a = device;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        a->entry[pin] &= RTE_BITS;
    a->id &= ID_BITS;
    a->lines &= (1u << IOAPIC_PINS) - 1;
    return true;
}

static const struct state_field ioapic_fields[] = {
    STATE_ARRAY(struct ioapic, U64, entry),
    STATE(struct ioapic, U32, id),
    STATE(struct ioapic, U32, lines),
    STATE(struct ioapic, U8, select),
};
static const struct state_table ioapic_state = {
    .name = "ioapic",
    .version = 1,
    .fields = ioapic_fields,
    .count = G_N_ELEMENTS(ioapic_fields),
    .after_load = ioapic_after_load,
};
static const struct device_class ioapic_class = {
    .name = "ioapic", .state = &ioapic_state, .reset = ioapic_reset};

struct ioapic *ioapic_new(struct physmap *mem, const struct ioapic_bus *bus)
{
    struct ioapic *a = g_new0(struct ioapic, 1);
    device_init(&a->device, &ioapic_class, "ioapic");
    a->bus = *bus;
    a->range = physmap_add_mmio(mem, "ioapic", IOAPIC_ADDRESS, WINDOW, &ioapic_ops, a, PRIORITY);
    ioapic_reset(&a->device);
    return a;
}

void ioapic_describe(const struct ioapic *a, GString *out)
{
    static const char *const modes[8] = {"fixed", "lowest", "smi",      "reserved",
                                         "nmi",   "init",   "reserved", "extint"};
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t e = a->entry[pin];
        g_string_append_printf(out, "ioapic pin %2u: %s vector 0x%02x %-8s %s %s-%02x%s%s\n", pin,
                               a->lines >> pin & 1 ? "high" : "low ", (unsigned)(e & 0xff),
                               modes[e >> MODE_SHIFT & 7], e & RTE_LEVEL ? "level" : "edge ",
                               e & LOGICAL ? "logical" : "apic", (unsigned)(e >> 56),
                               e & RTE_MASKED ? " masked" : "", e & RTE_REMOTE_IRR ? " remote-irr" : "");
    }
}
