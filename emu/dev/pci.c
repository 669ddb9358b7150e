/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * PCI bus 0: see pci.h. PCI Local Bus Specification 2.2, chapters 3.2.2.3 (configuration mechanism #1) and 6.
 *
 * The config space of a function is plain bytes with two masks; whatever a guest stores there,
 * place_windows() afterwards makes the address spaces agree with it. A BAR is decoded when its enable bit in
 * the command register is set and its address neither is zero (unassigned, as every firmware leaves it) nor
 * runs over the end of its space (as while the guest sizes it). INTx levels are kept per function; a PIRQ
 * line is the OR of the functions on it and is told to the router, which ignores what did not change.
 */
#include "emu/dev/pci.h"
#include "emu/trace.h"

#include <gio/gio.h>
#include <string.h>

enum { CONFADD_PORT = 0xcf8, CONFDATA_PORT = 0xcfc, CONFADD_ENABLE = 1u << 31, CONFADD_BITS = 0x80fffffc };
enum { PCI_COMMAND_PARITY = 0x40, PCI_COMMAND_SERR = 0x100 };
enum { PCI_CACHE_LINE = 0x0c, PCI_LATENCY = 0x0d, PCI_ROM_ENABLE = 1 };
enum { PCI_STATUS_ERRORS = 0xf900 }; /* parity, aborts, SERR: written ones clear them */
enum { FIRST_FREE_SLOT = 3 };        /* 0 host bridge, 1 south bridge, 2 display by custom */

struct pci_bus {
    struct physmap *mem;
    struct portio *io;
    uint32_t address; /* CONFADD */
    struct pci_device *at[256];
    GPtrArray *functions; /* in devfn order */
    void (*route)(void *opaque, unsigned pirq, bool level);
    void *route_opaque;
};

/* ---- INTx ---- */

static uint16_t command(const struct pci_device *pci)
{
    return pci_get16(pci, PCI_COMMAND);
}

static bool drives(const struct pci_device *pci)
{
    return pci->intx && !(command(pci) & PCI_COMMAND_INTX_DISABLE);
}

static unsigned pirq_of(const struct pci_device *pci)
{
    return pci_pirq(pci->devfn >> 3, pci->config[PCI_INTERRUPT_PIN]);
}

static void drive_pin(struct pci_device *pci)
{
    struct pci_bus *bus = pci->bus;
    if (!pci->config[PCI_INTERRUPT_PIN] || !bus->route)
        return;
    unsigned pirq = pirq_of(pci);
    bool level = false;
    for (unsigned i = 0; i < bus->functions->len && !level; i++) {
        const struct pci_device *other = bus->functions->pdata[i];
        level = other->config[PCI_INTERRUPT_PIN] && pirq_of(other) == pirq && drives(other);
    }
    bus->route(bus->route_opaque, pirq, level);
}

void pci_set_intx(struct pci_device *pci, bool level)
{
    if (pci->intx == level)
        return;
    pci->intx = level;
    if (level)
        pci->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    else
        pci->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
    trace(IRQ, "%s: INT%c# %s", pci->device.id, '@' + pci->config[PCI_INTERRUPT_PIN], level ? "on" : "off");
    drive_pin(pci);
}

/* ---- BARs ---- */

static uint32_t get32(const struct pci_device *pci, unsigned offset)
{
    return (uint32_t)pci_get16(pci, offset) | (uint32_t)pci_get16(pci, offset + 2) << 16;
}

static void set32(struct pci_device *pci, unsigned offset, uint32_t value)
{
    pci_set16(pci, offset, (uint16_t)value);
    pci_set16(pci, offset + 2, (uint16_t)(value >> 16));
}

static void mask32(uint8_t *mask, unsigned offset, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        mask[offset + i] = (uint8_t)(value >> 8 * i);
}

uint32_t pci_bar_base(const struct pci_device *pci, unsigned bar)
{
    uint32_t value = get32(pci, PCI_BAR0 + 4 * bar);
    return pci->bar[bar].is_io ? value & ~3u : value & ~15u;
}

static bool memory_window_fits(uint32_t base, uint32_t size)
{
    return base != 0 && (uint64_t)base + size < 1ull << 32;
}

static void place_memory(struct pci_device *pci, struct phys_range *range, uint32_t base, uint32_t size,
                         bool on)
{
    struct physmap *mem = pci->bus->mem;
    on = on && memory_window_fits(base, size);
    if (on)
        physmap_range_move(mem, range, base);
    physmap_range_enable(mem, range, on);
}

/* Makes memory map and port space agree with the command register and the BARs. */
static void place_windows(struct pci_device *pci)
{
    uint16_t enabled = command(pci);
    physmap_begin(pci->bus->mem);
    for (unsigned i = 0; i < G_N_ELEMENTS(pci->bar); i++) {
        const struct pci_bar *bar = &pci->bar[i];
        if (!bar->size)
            continue;
        uint32_t base = pci_bar_base(pci, i);
        if (bar->is_io) {
            bool on = enabled & PCI_COMMAND_IO && base != 0 && (uint64_t)base + bar->size <= 0x10000;
            if (on)
                portio_range_move(pci->bus->io, bar->ports, (uint16_t)base);
            portio_range_enable(pci->bus->io, bar->ports, on);
        } else {
            place_memory(pci, bar->range, base, bar->size, enabled & PCI_COMMAND_MEMORY);
        }
    }
    if (pci->rom_range) {
        uint32_t rom = get32(pci, PCI_ROM_ADDRESS);
        place_memory(pci, pci->rom_range, rom & ~(pci->rom_size - 1), pci->rom_size,
                     enabled & PCI_COMMAND_MEMORY && rom & PCI_ROM_ENABLE);
    }
    physmap_end(pci->bus->mem);
}

void pci_add_memory_bar(struct pci_device *pci, unsigned bar, uint32_t size, const struct mmio_ops *ops,
                        void *opaque)
{
    g_assert(bar < G_N_ELEMENTS(pci->bar) && !pci->bar[bar].size);
    g_assert(size >= 16 && (size & (size - 1)) == 0);
    struct physmap *mem = pci->bus->mem;
    physmap_begin(mem);
    struct phys_range *range = physmap_add_mmio(mem, pci->device.id, 0, size, ops, opaque, PCI_BAR_PRIORITY);
    physmap_range_enable(mem, range, false);
    physmap_end(mem);
    pci->bar[bar] = (struct pci_bar){.size = size, .range = range};
    mask32(pci->wmask, PCI_BAR0 + 4 * bar, ~(size - 1));
}

void pci_add_ram_bar(struct pci_device *pci, unsigned bar, uint32_t size, uint64_t ram_offset)
{
    g_assert(bar < G_N_ELEMENTS(pci->bar) && !pci->bar[bar].size);
    g_assert(size >= PHYS_PAGE_SIZE && (size & (size - 1)) == 0);
    struct physmap *mem = pci->bus->mem;
    physmap_begin(mem);
    struct phys_range *range = physmap_add_ram(mem, pci->device.id, 0, size, ram_offset, PCI_BAR_PRIORITY);
    physmap_range_enable(mem, range, false);
    physmap_end(mem);
    pci->bar[bar] = (struct pci_bar){.size = size, .range = range};
    mask32(pci->wmask, PCI_BAR0 + 4 * bar, ~(size - 1));
}

void pci_add_io_bar(struct pci_device *pci, unsigned bar, uint32_t size, const struct portio_ops *ops,
                    void *opaque)
{
    g_assert(bar < G_N_ELEMENTS(pci->bar) && !pci->bar[bar].size);
    g_assert(size >= 4 && size <= 256 && (size & (size - 1)) == 0);
    struct portio *io = pci->bus->io;
    struct portio_range *ports = portio_add(io, pci->device.id, 0, size, ops, opaque);
    portio_range_enable(io, ports, false);
    pci->bar[bar] = (struct pci_bar){.size = size, .is_io = true, .ports = ports};
    mask32(pci->wmask, PCI_BAR0 + 4 * bar, ~(size - 1));
    pci->config[PCI_BAR0 + 4 * bar] = 1;
}

void pci_add_rom(struct pci_device *pci, const uint8_t *data, uint32_t size)
{
    g_assert(!pci->rom_range && size >= 2048 && (size & (size - 1)) == 0);
    struct physmap *mem = pci->bus->mem;
    physmap_begin(mem);
    pci->rom_range = physmap_add_rom(mem, pci->device.id, 0, size, data, PCI_BAR_PRIORITY);
    physmap_range_enable(mem, pci->rom_range, false);
    physmap_end(mem);
    pci->rom_size = size;
    mask32(pci->wmask, PCI_ROM_ADDRESS, ~(size - 1) | PCI_ROM_ENABLE);
}

/* ---- configuration space ---- */

static bool touches(unsigned offset, unsigned size, unsigned first, unsigned count)
{
    return offset < first + count && offset + size > first;
}

static void function_write(struct pci_device *pci, unsigned offset, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        unsigned at = offset + i;
        uint8_t byte = (uint8_t)(value >> 8 * i), mask = pci->wmask[at];
        pci->config[at] = (uint8_t)((pci->config[at] & ~mask & ~(byte & pci->w1c[at])) | (byte & mask));
    }
    if (touches(offset, size, PCI_COMMAND, 2)) {
        place_windows(pci);
        drive_pin(pci); /* INTx disable may have changed */
    } else if (touches(offset, size, PCI_BAR0, 24) || touches(offset, size, PCI_ROM_ADDRESS, 4)) {
        place_windows(pci);
    }
    if (pci->config_written)
        pci->config_written(pci, (uint8_t)offset, size);
}

uint32_t pci_config_read(struct pci_bus *bus, uint8_t devfn, uint8_t offset, unsigned size)
{
    const struct pci_device *pci = bus->at[devfn];
    uint32_t value = 0xffffffff;
    if (pci && offset + size <= 256) {
        value = 0;
        for (unsigned i = 0; i < size; i++)
            value |= (uint32_t)pci->config[offset + i] << 8 * i;
    } else if (size < 4) {
        value = (1u << 8 * size) - 1;
    }
    trace(PCI, "config read%u %02x.%x+%02x -> %0*x", 8 * size, devfn >> 3, devfn & 7, offset, 2 * (int)size,
          value);
    return value;
}

void pci_config_write(struct pci_bus *bus, uint8_t devfn, uint8_t offset, uint32_t value, unsigned size)
{
    struct pci_device *pci = bus->at[devfn];
    trace(PCI, "config write%u %02x.%x+%02x <- %0*x%s", 8 * size, devfn >> 3, devfn & 7, offset,
          2 * (int)size, value, pci ? "" : " (nobody there)");
    if (pci && offset + size <= 256)
        function_write(pci, offset, value, size);
}

static uint32_t mechanism_read(void *opaque, uint16_t port, unsigned size)
{
    struct pci_bus *bus = opaque;
    if (port < CONFDATA_PORT) /* only a whole double word is CONFADD; the rest is not the host bridge's */
        return size == 4 ? bus->address : 0xffffffff;
    if (!(bus->address & CONFADD_ENABLE) || bus->address & 0xff0000)
        return 0xffffffff;
    return pci_config_read(bus, (uint8_t)(bus->address >> 8), (uint8_t)((bus->address & 0xfc) + (port & 3)),
                           size);
}

static void mechanism_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct pci_bus *bus = opaque;
    if (port < CONFDATA_PORT) {
        if (size == 4)
            pci_bus_set_address(bus, value);
        return;
    }
    if (bus->address & CONFADD_ENABLE && !(bus->address & 0xff0000))
        pci_config_write(bus, (uint8_t)(bus->address >> 8), (uint8_t)((bus->address & 0xfc) + (port & 3)),
                         value, size);
}

static const struct portio_ops mechanism_ops = {
    .read = mechanism_read, .write = mechanism_write, .max_size = 4};

/* ---- the bus ---- */

struct pci_bus *pci_bus_new(struct physmap *mem, struct portio *io)
{
    struct pci_bus *bus = g_new0(struct pci_bus, 1);
    bus->mem = mem;
    bus->io = io;
    bus->functions = g_ptr_array_new();
    /* The host bridge's own: no access to them reaches the bus, wherever a BAR is. */
    portio_range_pin(io, portio_add(io, "pci-config", CONFADD_PORT, 8, &mechanism_ops, bus));
    return bus;
}

void pci_bus_free(struct pci_bus *bus)
{
    if (!bus)
        return;
    g_ptr_array_unref(bus->functions);
    g_free(bus);
}

void pci_bus_set_router(struct pci_bus *bus, void (*set)(void *opaque, unsigned pirq, bool level),
                        void *opaque)
{
    bus->route = set;
    bus->route_opaque = opaque;
}

struct physmap *pci_bus_memory(struct pci_bus *bus)
{
    return bus->mem;
}

uint32_t pci_bus_address(const struct pci_bus *bus)
{
    return bus->address;
}

void pci_bus_set_address(struct pci_bus *bus, uint32_t address)
{
    bus->address = address & CONFADD_BITS;
}

struct pci_device *pci_bus_find(const struct pci_bus *bus, uint8_t devfn)
{
    return bus->at[devfn];
}

void pci_bus_foreach(struct pci_bus *bus, void (*visit)(struct pci_device *pci, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < bus->functions->len; i++)
        visit(bus->functions->pdata[i], opaque);
}

static bool find_slot(const struct pci_bus *bus, const char *id, int slot, unsigned function, uint8_t *devfn,
                      GError **error)
{
    if (slot >= 32 || function >= 8) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "%s: PCI address %02x.%x does not exist; slots are 0 to 1f, functions 0 to 7", id,
                    (unsigned)slot, function);
        return false;
    }
    if (slot >= 0) {
        *devfn = (uint8_t)((unsigned)slot << 3 | function);
        if (!bus->at[*devfn])
            return true;
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    "%s: PCI address %02x.%x is taken by %s; give it another addr= or leave it out", id,
                    (unsigned)slot, function, bus->at[*devfn]->device.id);
        return false;
    }
    for (unsigned free_slot = FIRST_FREE_SLOT; free_slot < 32; free_slot++) {
        *devfn = (uint8_t)(free_slot << 3 | function);
        if (!bus->at[free_slot << 3] && !bus->at[*devfn])
            return true;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                "%s: no PCI slot is free; the board has 29 for devices, remove some", id);
    return false;
}

bool pci_device_init(struct pci_device *pci, struct pci_bus *bus, const struct device_class *class,
                     const char *id, int slot, unsigned function, uint16_t vendor, uint16_t device_id,
                     uint32_t class_code, uint8_t revision, GError **error)
{
    uint8_t devfn;
    if (!find_slot(bus, id, slot, function, &devfn, error))
        return false;
    device_init(&pci->device, class, id);
    pci->bus = bus;
    pci->devfn = devfn;
    pci->vendor = vendor;
    pci->device_id = device_id;
    pci_set16(pci, PCI_VENDOR_ID, vendor);
    pci_set16(pci, PCI_DEVICE_ID, device_id);
    pci->config[PCI_REVISION] = revision;
    pci->config[PCI_CLASS_PROG] = (uint8_t)class_code;
    pci_set16(pci, PCI_CLASS_DEVICE, (uint16_t)(class_code >> 8));
    pci_set16(pci, PCI_SUBSYSTEM_VENDOR_ID, 0x1af4);
    pci_set16(pci, PCI_SUBSYSTEM_ID, 0x1100);
    uint16_t bits = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
                    PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE;
    pci->wmask[PCI_COMMAND] = (uint8_t)bits;
    pci->wmask[PCI_COMMAND + 1] = bits >> 8;
    pci->w1c[PCI_STATUS + 1] = PCI_STATUS_ERRORS >> 8;
    pci->wmask[PCI_CACHE_LINE] = 0xff;
    pci->wmask[PCI_LATENCY] = 0xf8;
    pci->wmask[PCI_INTERRUPT_LINE] = 0xff;

    bus->at[devfn] = pci;
    unsigned place = 0;
    while (place < bus->functions->len &&
           ((const struct pci_device *)bus->functions->pdata[place])->devfn < devfn)
        place++;
    g_ptr_array_insert(bus->functions, (int)place, pci);
    return true;
}

void pci_device_remove(struct pci_device *pci)
{
    struct pci_bus *bus = pci->bus;
    if (bus->at[pci->devfn] != pci)
        return;
    pci_set_intx(pci, false);
    pci_set16(pci, PCI_COMMAND, 0);
    physmap_begin(bus->mem);
    for (unsigned i = 0; i < G_N_ELEMENTS(pci->bar); i++) {
        if (pci->bar[i].range)
            physmap_range_remove(bus->mem, pci->bar[i].range);
        if (pci->bar[i].ports)
            portio_range_remove(bus->io, pci->bar[i].ports);
        pci->bar[i] = (struct pci_bar){0};
    }
    if (pci->rom_range)
        physmap_range_remove(bus->mem, pci->rom_range);
    pci->rom_range = NULL;
    physmap_end(bus->mem);
    bus->at[pci->devfn] = NULL;
    g_ptr_array_remove(bus->functions, pci);
}

void pci_device_reset(struct pci_device *pci)
{
    pci_set_intx(pci, false);
    pci_set16(pci, PCI_COMMAND, 0);
    pci->config[PCI_STATUS + 1] &= (uint8_t)~pci->w1c[PCI_STATUS + 1];
    pci->config[PCI_CACHE_LINE] = pci->config[PCI_LATENCY] = pci->config[PCI_INTERRUPT_LINE] = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(pci->bar); i++)
        if (pci->bar[i].size)
            set32(pci, PCI_BAR0 + 4 * i, pci->bar[i].is_io);
    if (pci->rom_range)
        set32(pci, PCI_ROM_ADDRESS, 0);
    place_windows(pci);
    drive_pin(pci); /* the level may have been held back by INTx disable until now */
}

bool pci_after_load(struct pci_device *pci, GError **error)
{
    if (pci_get16(pci, PCI_VENDOR_ID) != pci->vendor || pci_get16(pci, PCI_DEVICE_ID) != pci->device_id) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
            "%s: saved state is of PCI device %04x:%04x, this is %04x:%04x; load it into the machine it "
            "was saved from",
            pci->device.id, pci_get16(pci, PCI_VENDOR_ID), pci_get16(pci, PCI_DEVICE_ID), pci->vendor,
            pci->device_id);
        return false;
    }
    if (pci->config[PCI_INTERRUPT_PIN] > 4) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s: saved state names interrupt pin %u; the file is damaged, save it again",
                    pci->device.id, pci->config[PCI_INTERRUPT_PIN]);
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(pci->bar); i++) {
        const struct pci_bar *bar = &pci->bar[i];
        uint32_t value = get32(pci, PCI_BAR0 + 4 * i) & ~(bar->size - 1);
        set32(pci, PCI_BAR0 + 4 * i, bar->size ? value | bar->is_io : 0);
    }
    if (pci->rom_range)
        set32(pci, PCI_ROM_ADDRESS, get32(pci, PCI_ROM_ADDRESS) & (~(pci->rom_size - 1) | PCI_ROM_ENABLE));
    place_windows(pci);
    drive_pin(pci);
    return true;
}

void pci_dma_read(struct pci_device *pci, uint64_t addr, void *buf, size_t len)
{
    if (command(pci) & PCI_COMMAND_MASTER)
        phys_read(pci->bus->mem, addr, buf, len);
    else
        memset(buf, 0xff, len);
}

void pci_dma_write(struct pci_device *pci, uint64_t addr, const void *buf, size_t len)
{
    if (command(pci) & PCI_COMMAND_MASTER)
        phys_write(pci->bus->mem, addr, buf, len);
}

void pci_bus_describe(struct pci_bus *bus, GString *out)
{
    for (unsigned n = 0; n < bus->functions->len; n++) {
        const struct pci_device *pci = bus->functions->pdata[n];
        g_string_append_printf(out, "%02x.%x %04x:%04x class %04x \"%s\"", pci->devfn >> 3, pci->devfn & 7,
                               pci_get16(pci, PCI_VENDOR_ID), pci_get16(pci, PCI_DEVICE_ID),
                               pci_get16(pci, PCI_CLASS_DEVICE), pci->device.id);
        if (pci->config[PCI_INTERRUPT_PIN])
            g_string_append_printf(out, " INT%c# (PIRQ%c) irq %u%s", '@' + pci->config[PCI_INTERRUPT_PIN],
                                   'A' + (int)pirq_of(pci), pci->config[PCI_INTERRUPT_LINE],
                                   pci->intx ? " active" : "");
        g_string_append_c(out, '\n');
        for (unsigned i = 0; i < G_N_ELEMENTS(pci->bar); i++)
            if (pci->bar[i].size)
                g_string_append_printf(out, "     BAR%u %s 0x%08x size 0x%x\n", i,
                                       pci->bar[i].is_io ? "I/O   " : "memory", pci_bar_base(pci, i),
                                       pci->bar[i].size);
    }
}
