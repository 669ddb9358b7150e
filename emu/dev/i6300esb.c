/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Watchdog of the 6300ESB I/O controller hub: see watchdog.h. Intel 300641 (6300ESB datasheet), chapter 16.
 *
 * Two stages, each a preload value times 2^15 PCI clocks (or 2^5, with WDT_PRE_SEL). The first one's end sets
 * the interrupt status, the second's is the watchdog's: it sets WDT_TIMEOUT, which outlives a reset, so that
 * a driver can say why the machine came up. Preloads and the reload register take a write only after 0x80 and
 * 0x86 were written to the reload register; the configuration's lock bit keeps WDT_ENABLE as it is until a
 * reset. The interrupt is the hub's own I/O APIC's, which this board does not have: its status is all that is
 * seen.
 */
#include "emu/dev/watchdog.h"
#include "emu/trace.h"

enum { CONFIG = 0x60, LOCK = 0x68 }; /* configuration space */
enum { CONFIG_PRE_SEL = 0x04, CONFIG_OUTPUT_OFF = 0x20, CONFIG_WRITABLE = 0x27 };
enum { LOCKED = 0x01, ENABLED = 0x02, FREE_RUN = 0x04 };
enum { PRELOAD1 = 0x00, PRELOAD2 = 0x04, STATUS = 0x08, RELOAD = 0x0c, WINDOW = 16 };
enum { RELOAD_TIMER = 0x0100, RELOAD_TIMEOUT = 0x0200, UNLOCK1 = 0x80, UNLOCK2 = 0x86 };
enum { PRELOAD_BITS = 0xfffff, SLOW_SHIFT = 15, FAST_SHIFT = 5, PCI_HZ = 33000000 };

struct i6300esb {
    struct pci_device pci;
    struct clock *clock;
    struct clock_timer *timer;
    struct watchdog_wiring wiring;
    uint32_t preload[2];
    bool timed_out, interrupt;
    uint8_t unlocked; /* words of the sequence that were right so far */
    uint8_t stage;    /* 0: stopped, 1, 2 */
    uint64_t deadline;
};

static uint64_t stage_time(const struct i6300esb *dog, unsigned stage)
{
    unsigned shift = dog->pci.config[CONFIG] & CONFIG_PRE_SEL ? FAST_SHIFT : SLOW_SHIFT;
    /* The counter takes its preload and one more. */
    return clock_muldiv(((uint64_t)dog->preload[stage - 1] + 1) << shift, NANOSECONDS, PCI_HZ);
}

static void arm(struct i6300esb *dog)
{
    clock_timer_set(dog->timer, dog->stage ? (int64_t)dog->deadline : CLOCK_NEVER);
}

static void begin(struct i6300esb *dog, unsigned stage)
{
    dog->stage = (uint8_t)stage;
    dog->deadline = stage ? (uint64_t)clock_now(dog->clock) + stage_time(dog, stage) : 0;
    arm(dog);
}

static void fire(void *opaque)
{
    struct i6300esb *dog = opaque;
    if (dog->stage == 1) {
        dog->interrupt = true;
        begin(dog, 2);
        return;
    }
    bool output = !(dog->pci.config[CONFIG] & CONFIG_OUTPUT_OFF);
    trace(ACPI, "%s ran out%s", dog->pci.device.id, output ? "" : " (its output is off)");
    dog->timed_out = true;
    begin(dog, dog->pci.config[LOCK] & FREE_RUN ? 1 : 0);
    if (output)
        dog->wiring.expired(dog->wiring.opaque);
}

static uint32_t mmio_word(const struct i6300esb *dog, unsigned offset)
{
    switch (offset) {
    case PRELOAD1:
        return dog->preload[0];
    case PRELOAD2:
        return dog->preload[1];
    case STATUS:
        return dog->interrupt;
    default:
        return dog->timed_out ? RELOAD_TIMEOUT : 0;
    }
}

static uint32_t mmio_read(void *opaque, uint32_t offset, unsigned size)
{
    return mmio_word(opaque, offset & (WINDOW - 4)) >> 8 * (offset & 3);
}

static void mmio_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct i6300esb *dog = opaque;
    if (offset == STATUS) {
        dog->interrupt &= !(value & 1);
        return;
    }
    if (dog->unlocked < 2) {
        if (offset == RELOAD)
            dog->unlocked = value == UNLOCK1 ? 1 : value == UNLOCK2 && dog->unlocked == 1 ? 2 : 0;
        return;
    }
    dog->unlocked = 0;
    if (offset == PRELOAD1 || offset == PRELOAD2) {
        dog->preload[offset / 4] = value & PRELOAD_BITS;
    } else if (offset == RELOAD) {
        if (value & RELOAD_TIMEOUT)
            dog->timed_out = false;
        if (value & RELOAD_TIMER && dog->stage)
            begin(dog, 1);
    }
}

static const struct mmio_ops mmio_ops = {.read = mmio_read, .write = mmio_write};

static void config_written(struct pci_device *pci, uint8_t offset, unsigned size)
{
    struct i6300esb *dog = (struct i6300esb *)pci;
    if (offset > LOCK || offset + size <= LOCK)
        return;
    bool enabled = pci->config[LOCK] & ENABLED;
    if (pci->config[LOCK] & LOCKED)
        pci->wmask[LOCK] = 0;
    if (enabled != (dog->stage != 0))
        begin(dog, enabled ? 1 : 0);
}

static void unlock_config(struct i6300esb *dog)
{
    dog->pci.wmask[LOCK] = LOCKED | ENABLED | FREE_RUN;
}

/* WDT_TIMEOUT stays: it tells who starts next. */
static void i6300esb_reset(struct device *device)
{
    struct i6300esb *dog = (struct i6300esb *)device;
    pci_device_reset(&dog->pci);
    pci_set16(&dog->pci, CONFIG, 0);
    dog->pci.config[LOCK] = 0;
    unlock_config(dog);
    dog->preload[0] = dog->preload[1] = PRELOAD_BITS;
    dog->interrupt = false;
    dog->unlocked = 0;
    begin(dog, 0);
}

static bool i6300esb_after_load(void *device, GError **error)
{
    struct i6300esb *dog = device;
    if (!pci_after_load(&dog->pci, error))
        return false;
    for (unsigned i = 0; i < 2; i++)
        dog->preload[i] &= PRELOAD_BITS;
    dog->unlocked = MIN(dog->unlocked, 2);
    if (dog->stage > 2)
        dog->stage = 0;
    unlock_config(dog);
    if (dog->pci.config[LOCK] & LOCKED)
        dog->pci.wmask[LOCK] = 0;
    uint64_t now = (uint64_t)clock_now(dog->clock);
    if (dog->stage)
        dog->deadline = MIN(dog->deadline, now + stage_time(dog, dog->stage));
    arm(dog);
    return true;
}

static const struct state_field i6300esb_fields[] = {
    PCI_STATE_ROWS(struct i6300esb),         STATE_ARRAY(struct i6300esb, U32, preload),
    STATE(struct i6300esb, BOOL, timed_out), STATE(struct i6300esb, BOOL, interrupt),
    STATE(struct i6300esb, U8, unlocked),    STATE(struct i6300esb, U8, stage),
    STATE(struct i6300esb, U64, deadline),
};
static const struct state_table i6300esb_state = {
    .name = "i6300esb",
    .version = 1,
    .fields = i6300esb_fields,
    .count = G_N_ELEMENTS(i6300esb_fields),
    .after_load = i6300esb_after_load,
};

static void i6300esb_free(struct device *device)
{
    struct i6300esb *dog = (struct i6300esb *)device;
    clock_timer_free(dog->timer);
    pci_device_remove(&dog->pci);
    g_free(dog);
}

static const struct device_class i6300esb_class = {
    .name = "i6300esb", .state = &i6300esb_state, .reset = i6300esb_reset, .free = i6300esb_free};

struct i6300esb *i6300esb_new(struct pci_bus *bus, struct clock *clock, const char *id, int slot,
                              const struct watchdog_wiring *wiring, GError **error)
{
    struct i6300esb *dog = g_new0(struct i6300esb, 1);
    if (!pci_device_init(&dog->pci, bus, &i6300esb_class, id, slot, 0, 0x8086, 0x25ab, 0x088000, 0, error)) {
        g_free(dog);
        return NULL;
    }
    dog->clock = clock;
    dog->wiring = *wiring;
    dog->timer = clock_timer_new(clock, fire, dog);
    pci_add_memory_bar(&dog->pci, 0, WINDOW, &mmio_ops, dog);
    dog->pci.wmask[CONFIG] = CONFIG_WRITABLE;
    dog->pci.config_written = config_written;
    i6300esb_reset(&dog->pci.device);
    return dog;
}
