/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The PCI bus: configuration mechanism #1 with all widths, BAR sizing and placing, ROM BAR, command and
 * status, INTx and its routing, bus mastering, slots, saved state.
 */
#include "emu/dev/pci.h"
#include "emu/dev/pci_hotplug.h"
#include "tests/dev/chip_bench.h"

#include <gio/gio.h>
#include <string.h>

struct card {
    struct pci_device pci;
    uint32_t memory[64];
    uint8_t ports[32];
    unsigned config_writes;
};

struct rig {
    struct bench *b;
    struct pci_bus *bus;
    struct card *card;
    bool pirq[4];
    uint8_t rom[4096];
};

static uint32_t memory_read(void *opaque, uint32_t offset, unsigned size)
{
    struct card *card = opaque;
    return offset < sizeof card->memory ? card->memory[offset / 4] >> 8 * (offset & 3) : 0;
}

static void memory_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct card *card = opaque;
    if (offset < sizeof card->memory && size == 4)
        card->memory[offset / 4] = value;
}

static uint32_t ports_read(void *opaque, uint16_t port, unsigned size)
{
    struct card *card = opaque;
    return card->ports[port - pci_bar_base(&card->pci, 2)];
}

static void ports_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct card *card = opaque;
    card->ports[port - pci_bar_base(&card->pci, 2)] = (uint8_t)value;
}

static const struct mmio_ops memory_ops = {.read = memory_read, .write = memory_write};
static const struct portio_ops ports_ops = {.read = ports_read, .write = ports_write};

static void card_reset(struct device *device)
{
    pci_device_reset((struct pci_device *)device);
}

static void card_free(struct device *device)
{
    pci_device_remove((struct pci_device *)device);
    g_free(device);
}

static bool card_after_load(void *device, GError **error)
{
    return pci_after_load(device, error);
}

static const struct state_field card_fields[] = {PCI_STATE_ROWS(struct card)};
static const struct state_table card_state = {.name = "card",
                                              .version = 1,
                                              .fields = card_fields,
                                              .count = G_N_ELEMENTS(card_fields),
                                              .after_load = card_after_load};
static const struct device_class card_class = {
    .name = "card", .state = &card_state, .reset = card_reset, .free = card_free};

static void card_config_written(struct pci_device *pci, uint8_t offset, unsigned size)
{
    ((struct card *)pci)->config_writes++;
}

static struct card *card_new(struct pci_bus *bus, const char *id, int slot, unsigned function, GError **error)
{
    struct card *card = g_new0(struct card, 1);
    if (!pci_device_init(&card->pci, bus, &card_class, id, slot, function, 0x1234, 0x5678, 0x020000, 9,
                         error)) {
        g_free(card);
        return NULL;
    }
    card->pci.config[PCI_INTERRUPT_PIN] = 1;
    card->pci.config_written = card_config_written;
    pci_add_memory_bar(&card->pci, 0, 0x20000, &memory_ops, card);
    pci_add_io_bar(&card->pci, 2, 32, &ports_ops, card);
    return card;
}

static void route(void *opaque, unsigned pirq, bool level)
{
    ((struct rig *)opaque)->pirq[pirq] = level;
}

static void set_up(struct rig *r, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    r->b = bench_new();
    r->bus = pci_bus_new(r->b->mem, r->b->io);
    pci_bus_set_router(r->bus, route, r);
    r->card = card_new(r->bus, "card0", -1, 0, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < sizeof r->rom; i++)
        r->rom[i] = (uint8_t)(i * 3);
    pci_add_rom(&r->card->pci, r->rom, sizeof r->rom);
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->card);
    pci_bus_free(r->bus);
    bench_free(r->b);
}

enum { SLOT3 = 3 << 11 };

static uint32_t conf(struct rig *r, unsigned offset, unsigned size)
{
    out32(r->b, 0xcf8, 0x80000000u | SLOT3 | (offset & 0xfc));
    return portio_read(r->b->io, (uint16_t)(0xcfc + (offset & 3)), size);
}

static void set_conf(struct rig *r, unsigned offset, uint32_t value, unsigned size)
{
    out32(r->b, 0xcf8, 0x80000000u | SLOT3 | (offset & 0xfc));
    portio_write(r->b->io, (uint16_t)(0xcfc + (offset & 3)), value, size);
}

static void test_mechanism(struct rig *r, gconstpointer data)
{
    out32(r->b, 0xcf8, 0xffffffff);
    g_assert_cmphex(in32(r->b, 0xcf8), ==, 0x80fffffc);
    out8(r->b, 0xcfb, 0x01); /* narrow accesses are not for CONFADD */
    out16(r->b, 0xcf8, 0x1234);
    g_assert_cmphex(in32(r->b, 0xcf8), ==, 0x80fffffc);
    g_assert_cmphex(in32(r->b, 0xcfc), ==, 0xffffffff);
    g_assert_cmphex(conf(r, 0, 4), ==, 0x56781234);
    g_assert_cmphex(conf(r, 2, 2), ==, 0x5678);
    g_assert_cmphex(conf(r, 1, 1), ==, 0x12);
    g_assert_cmphex(conf(r, 3, 1), ==, 0x56);
    g_assert_cmphex(conf(r, 8, 4), ==, 0x02000009);
    g_assert_cmphex(conf(r, 0x2c, 4), ==, 0x11001af4);
    out32(r->b, 0xcf8, SLOT3); /* not enabled */
    g_assert_cmphex(in32(r->b, 0xcfc), ==, 0xffffffff);
    out32(r->b, 0xcf8, 0x80010000 | SLOT3); /* another bus */
    g_assert_cmphex(in32(r->b, 0xcfc), ==, 0xffffffff);
    out32(r->b, 0xcf8, 0x80000000 | 5 << 11); /* nobody there */
    g_assert_cmphex(in32(r->b, 0xcfc), ==, 0xffffffff);
    g_assert_cmphex(in16(r->b, 0xcfe), ==, 0xffff);
    out32(r->b, 0xcfc, 0);
    g_assert_cmphex(pci_config_read(r->bus, 3 << 3, 0xff, 4), ==, 0xffffffff); /* runs over the end */
    pci_config_write(r->bus, 3 << 3, 0xfe, 0, 4);
}

static void test_read_only(struct rig *r, gconstpointer data)
{
    for (unsigned offset = 0; offset < 256; offset += 4) {
        uint32_t before = conf(r, offset, 4);
        if (offset == PCI_COMMAND || (offset >= PCI_BAR0 && offset < PCI_BAR0 + 24) ||
            offset == PCI_ROM_ADDRESS)
            continue;
        set_conf(r, offset, ~before, 4);
        uint32_t may = offset == 0x0c ? 0x0000f8ff : offset == 0x3c ? 0xff : 0;
        g_assert_cmphex((conf(r, offset, 4) ^ before) & ~may, ==, 0);
    }
    g_assert_cmpuint(r->card->config_writes, >, 50);
}

static void test_status(struct rig *r, gconstpointer data)
{
    pci_set16(&r->card->pci, PCI_STATUS, 0xf9b0);
    set_conf(r, PCI_STATUS, 0x2000, 2);
    g_assert_cmphex(conf(r, PCI_STATUS, 2), ==, 0xd9b0);
    set_conf(r, PCI_COMMAND, 0xffffffff, 4);
    g_assert_cmphex(conf(r, PCI_COMMAND, 4), ==, 0x00b00547);
}

static void test_memory_bar(struct rig *r, gconstpointer data)
{
    set_conf(r, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    set_conf(r, PCI_BAR0, 0xffffffff, 4);
    g_assert_cmphex(conf(r, PCI_BAR0, 4), ==, 0xfffe0000);
    phys_write32(r->b->mem, 0xfffe0000, 1); /* being sized: not decoded */
    g_assert_cmphex(phys_read32(r->b->mem, 0xfffe0000), ==, 0xffffffff);
    set_conf(r, PCI_BAR0, 0xe0012345, 4);
    g_assert_cmphex(conf(r, PCI_BAR0, 4), ==, 0xe0000000);
    phys_write32(r->b->mem, 0xe0000010, 0xcafe);
    g_assert_cmphex(r->card->memory[4], ==, 0xcafe);
    set_conf(r, PCI_BAR0 + 3, 0xd0, 1); /* moved by a byte */
    g_assert_cmphex(phys_read32(r->b->mem, 0xd0000010), ==, 0xcafe);
    g_assert_cmphex(phys_read32(r->b->mem, 0xe0000010), ==, 0xffffffff);
    set_conf(r, PCI_COMMAND, 0, 2);
    g_assert_cmphex(phys_read32(r->b->mem, 0xd0000010), ==, 0xffffffff);
    set_conf(r, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    g_assert_cmphex(phys_read32(r->b->mem, 0xd0000010), ==, 0xcafe);
    phys_write32(r->b->mem, 0x20010, 0x1111);
    set_conf(r, PCI_BAR0, 0x20000, 4); /* on top of RAM: RAM wins */
    phys_write32(r->b->mem, 0x20010, 0x2222);
    g_assert_cmphex(r->card->memory[4], ==, 0xcafe);
    g_assert_cmphex(phys_read32(r->b->mem, 0x20010), ==, 0x2222);
    set_conf(r, PCI_BAR0 + 4, 0xffffffff, 4); /* BARs that are not there */
    g_assert_cmphex(conf(r, PCI_BAR0 + 4, 4), ==, 0);
}

static void test_io_bar(struct rig *r, gconstpointer data)
{
    unsigned bar = PCI_BAR0 + 8;
    set_conf(r, bar, 0xffffffff, 4);
    g_assert_cmphex(conf(r, bar, 4), ==, 0xffffffe1);
    set_conf(r, PCI_COMMAND, PCI_COMMAND_IO, 2); /* beyond 64 KiB: not decoded */
    set_conf(r, bar, 0xc020, 4);
    g_assert_cmphex(conf(r, bar, 4), ==, 0xc021);
    out8(r->b, 0xc025, 0x77);
    g_assert_cmphex(r->card->ports[5], ==, 0x77);
    g_assert_cmphex(in8(r->b, 0xc025), ==, 0x77);
    set_conf(r, bar, 0xffe0, 4); /* the last 32 ports */
    g_assert_cmphex(in8(r->b, 0xffe5), ==, 0x77);
    g_assert_cmphex(in8(r->b, 0xc025), ==, 0xff);
    set_conf(r, bar, 0xce0, 4); /* over the host bridge's own ports, which stay its own */
    out8(r->b, 0xcef, 0x33);
    g_assert_cmphex(r->card->ports[15], ==, 0x33);
    g_assert_cmphex(conf(r, bar, 4), ==, 0xce1);
    set_conf(r, bar, 0xffe0, 4);
    g_assert_cmphex(in8(r->b, 0xffe5), ==, 0x77);
    set_conf(r, PCI_COMMAND, 0, 2);
    g_assert_cmphex(in8(r->b, 0xffe5), ==, 0xff);
}

static void test_rom(struct rig *r, gconstpointer data)
{
    set_conf(r, PCI_ROM_ADDRESS, 0xfffffffe, 4);
    g_assert_cmphex(conf(r, PCI_ROM_ADDRESS, 4), ==, 0xfffff000);
    set_conf(r, PCI_ROM_ADDRESS, 0xd0000001, 4);
    g_assert_cmphex(phys_read8(r->b->mem, 0xd0000005), ==, 0xff); /* memory decoding is off */
    set_conf(r, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    g_assert_cmphex(phys_read8(r->b->mem, 0xd0000005), ==, 15);
    phys_write8(r->b->mem, 0xd0000005, 0);
    g_assert_cmphex(phys_read8(r->b->mem, 0xd0000005), ==, 15);
    set_conf(r, PCI_ROM_ADDRESS, 0xd0000000, 4);
    g_assert_cmphex(phys_read8(r->b->mem, 0xd0000005), ==, 0xff);
}

static void test_intx(struct rig *r, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    struct card *same = card_new(r->bus, "card1", 7, 0, &error); /* slot 7 is on the same line as slot 3 */
    struct card *other = card_new(r->bus, "card2", 4, 0, &error);
    g_assert_no_error(error);
    pci_set_intx(&r->card->pci, true);
    g_assert_true(r->pirq[2]);
    g_assert_cmphex(conf(r, PCI_STATUS, 2), ==, PCI_STATUS_INTERRUPT);
    pci_set_intx(&same->pci, true);
    pci_set_intx(&r->card->pci, false);
    g_assert_true(r->pirq[2]);
    pci_set_intx(&other->pci, true);
    g_assert_true(r->pirq[3]);
    device_reset((struct device *)other);
    g_assert_false(r->pirq[3]);
    device_free((struct device *)same); /* takes its level along */
    g_assert_false(r->pirq[2]);
    pci_set_intx(&r->card->pci, true);
    set_conf(r, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
    g_assert_false(r->pirq[2]);
    g_assert_cmphex(conf(r, PCI_STATUS, 2), ==, PCI_STATUS_INTERRUPT);
    set_conf(r, PCI_COMMAND, 0, 2);
    g_assert_true(r->pirq[2]);
    device_free((struct device *)other);
    for (unsigned slot = 1; slot < 32; slot++)
        for (unsigned pin = 1; pin <= 4; pin++)
            g_assert_cmpuint(pci_pirq(slot, pin), ==, (pin - 1 + slot - 1) & 3);
}

static void test_dma(struct rig *r, gconstpointer data)
{
    uint8_t buffer[8] = "abcdefg";
    pci_dma_write(&r->card->pci, 0x1000, buffer, sizeof buffer);
    g_assert_cmphex(phys_read8(r->b->mem, 0x1000), ==, 0);
    pci_dma_read(&r->card->pci, 0x1000, buffer, sizeof buffer);
    g_assert_cmphex(buffer[3], ==, 0xff);
    set_conf(r, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    pci_dma_write(&r->card->pci, 0x1000, "abcdefg", 8);
    pci_dma_read(&r->card->pci, 0x1000, buffer, sizeof buffer);
    g_assert_cmpstr((char *)buffer, ==, "abcdefg");
}

static void count_function(struct pci_device *pci, void *opaque)
{
    uint8_t *seen = opaque; /* [0] counts, [1] is the last devfn */
    g_assert_cmpuint(pci->devfn, >, seen[1]);
    seen[0]++;
    seen[1] = pci->devfn;
}

static void test_slots(struct rig *r, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    struct card *cards[40] = {NULL};
    unsigned count = 0;
    g_assert_null(card_new(r->bus, "taken", 3, 0, &error));
    g_assert_nonnull(strstr(error->message, "card0"));
    g_clear_error(&error);
    g_assert_null(card_new(r->bus, "far", 32, 0, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    cards[count++] = card_new(r->bus, "function", 3, 2, &error);
    while ((cards[count] = card_new(r->bus, "more", -1, 0, &error)))
        count++;
    g_assert_nonnull(error);
    g_assert_cmpuint(count, ==, 29);
    uint8_t seen[2] = {0};
    pci_bus_foreach(r->bus, count_function, seen);
    g_assert_cmpuint(seen[0], ==, 30);
    g_assert_cmpuint(seen[1], ==, 31 << 3);
    g_assert_true(pci_bus_find(r->bus, 3 << 3) == &r->card->pci);
    g_assert_null(pci_bus_find(r->bus, 1));
    g_autoptr(GString) text = g_string_new(NULL);
    pci_bus_describe(r->bus, text);
    g_assert_nonnull(strstr(text->str, "03.2 1234:5678 class 0200 \"function\""));
    while (count--)
        device_free((struct device *)cards[count]);
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    set_conf(r, PCI_BAR0, 0xe0000000, 4);
    set_conf(r, PCI_BAR0 + 8, 0xc000, 4);
    set_conf(r, PCI_ROM_ADDRESS, 0xd0000001, 4);
    set_conf(r, PCI_INTERRUPT_LINE, 11, 1);
    set_conf(r, PCI_COMMAND, 0x107, 2);
    pci_set_intx(&r->card->pci, true);
}

static void test_state(struct rig *r, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    disturb(r);
    bench_round_trip((struct device *)r->card, NULL, NULL);
    phys_write32(r->b->mem, 0xe0000010, 0xbeef);
    g_assert_cmphex(r->card->memory[4], ==, 0xbeef);
    out8(r->b, 0xc001, 0x12);
    g_assert_cmphex(r->card->ports[1], ==, 0x12);
    g_assert_true(r->pirq[2]);
    bench_damaged_state(r->b, (struct device *)r->card);
    bench_reset_is_complete((struct device *)r->card, disturb, r);
    g_assert_false(r->pirq[2]);
    g_assert_cmphex(in8(r->b, 0xc001), ==, 0xff);
    pci_set16(&r->card->pci, PCI_VENDOR_ID, 0x4321);
    g_assert_false(pci_after_load(&r->card->pci, &error));
    g_assert_nonnull(strstr(error->message, "4321:5678"));
}

/* Off the bus nothing of a function is left, though it is not freed yet. */
static void test_removed(struct rig *r, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    disturb(r);
    g_assert_cmphex(phys_read32(r->b->mem, 0xd0000000), !=, 0xffffffff);
    g_assert_true(r->pirq[2]);
    uint8_t slot = r->card->pci.devfn, bytes[4] = {0};
    pci_device_remove(&r->card->pci);
    g_assert_false(r->pirq[2]);
    g_assert_null(pci_bus_find(r->bus, slot));
    g_assert_cmphex(pci_config_read(r->bus, slot, 0, 4), ==, 0xffffffff);
    g_assert_cmphex(phys_read32(r->b->mem, 0xe0000010), ==, 0xffffffff);
    g_assert_cmphex(phys_read32(r->b->mem, 0xd0000000), ==, 0xffffffff);
    g_assert_cmphex(in8(r->b, 0xc001), ==, 0xff);
    pci_set_intx(&r->card->pci, false);
    pci_set_intx(&r->card->pci, true);
    g_assert_false(r->pirq[2]);
    phys_write32(r->b->mem, 0x1000, 0x55555555);
    pci_dma_write(&r->card->pci, 0x1000, bytes, 4);
    g_assert_cmphex(phys_read32(r->b->mem, 0x1000), ==, 0x55555555);
    pci_device_remove(&r->card->pci);                                   /* twice is once */
    struct card *next = card_new(r->bus, "next", slot >> 3, 0, &error); /* its slot is free for another */
    g_assert_no_error(error);
    pci_config_write(r->bus, slot, PCI_BAR0, 0xe0000000, 4);
    pci_config_write(r->bus, slot, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    phys_write32(r->b->mem, 0xe0000010, 0x77);
    g_assert_cmphex(next->memory[4], ==, 0x77);
    device_free((struct device *)next);
}

/* ---- hot-plug registers ---- */

struct slots {
    unsigned notified;
    uint32_t removable, ejected;
};

static void note(void *opaque)
{
    ((struct slots *)opaque)->notified++;
}

static uint32_t removable(void *opaque)
{
    return ((struct slots *)opaque)->removable;
}

static void eject(void *opaque, unsigned slot)
{
    struct slots *slots = opaque;
    g_assert_true(slots->removable >> slot & 1);
    slots->ejected |= 1u << slot;
    slots->removable &= ~(1u << slot);
}

static void disturb_hotplug(void *opaque)
{
    pci_hotplug_plugged(opaque, 30);
    pci_hotplug_request(opaque, 31);
}

static void test_hotplug(struct rig *r, gconstpointer data)
{
    struct slots slots = {.removable = 0x80000038};
    struct pci_hotplug *hotplug = pci_hotplug_new(
        r->b->io, &(struct pci_hotplug_wiring){
                      .notify = note, .removable = removable, .eject = eject, .opaque = &slots});
    g_assert_cmphex(in32(r->b, 0xae00), ==, 0);
    pci_hotplug_plugged(hotplug, 3);
    pci_hotplug_plugged(hotplug, 31);
    g_assert_cmpuint(slots.notified, ==, 2);
    g_assert_cmphex(in8(r->b, 0xae00), ==, 0x08); /* reading clears what was read, and no more */
    g_assert_cmphex(in32(r->b, 0xae00), ==, 0x80000000);
    g_assert_cmphex(in32(r->b, 0xae00), ==, 0);
    pci_hotplug_request(hotplug, 4);
    pci_hotplug_request(hotplug, 31);
    g_assert_cmphex(in32(r->b, 0xae04), ==, 0x80000010);
    g_assert_cmphex(in32(r->b, 0xae04), ==, 0x80000010);
    g_assert_cmphex(pci_hotplug_pending(hotplug), ==, 0x80000010);
    out32(r->b, 0xae04, 0xffffffff); /* read-only */
    out32(r->b, 0xae00, 0xffffffff);
    g_assert_cmphex(in32(r->b, 0xae0c), ==, 0x80000038);
    out8(r->b, 0xae0b, 0x80); /* slot 31 by its byte */
    g_assert_cmphex(slots.ejected, ==, 0x80000000);
    out32(r->b, 0xae08, 0xffffffff); /* all: those that can go, go */
    g_assert_cmphex(slots.ejected, ==, 0x80000038);
    g_assert_cmphex(in32(r->b, 0xae04), ==, 0);
    g_assert_cmphex(in32(r->b, 0xae08), ==, 0);
    g_assert_cmphex(in16(r->b, 0xae0e), ==, 0);
    slots.removable = 0xffffffff;
    disturb_hotplug(hotplug);
    bench_round_trip((struct device *)hotplug, NULL, NULL);
    g_assert_cmphex(pci_hotplug_pending(hotplug), ==, 0x80000000);
    pci_hotplug_forget(hotplug, 31);
    g_assert_cmphex(pci_hotplug_pending(hotplug), ==, 0);
    bench_damaged_state(r->b, (struct device *)hotplug);
    bench_reset_is_complete((struct device *)hotplug, disturb_hotplug, hotplug);
    device_free((struct device *)hotplug);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/pci/" #name, struct rig, NULL, set_up, test_##name, tear_down)
    TEST(mechanism);
    TEST(read_only);
    TEST(status);
    TEST(memory_bar);
    TEST(io_bar);
    TEST(rom);
    TEST(intx);
    TEST(dma);
    TEST(slots);
    TEST(state);
    TEST(removed);
    TEST(hotplug);
    return g_test_run();
}
