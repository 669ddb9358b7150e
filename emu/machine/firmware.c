/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Boot without firmware: see firmware.h.
 *
 * Everything goes through the same doors firmware would use (ports, configuration space, memory), so that
 * what a guest finds is a state it could have made itself. PIRQA–D go to IRQ 10, 10, 11, 11, the 8259s have
 * vectors 0x08 and 0x70 with all inputs masked but the timer's and the cascade, the local APIC is in virtual
 * wire mode: as SeaBIOS leaves them. PM registers are at 0x600, SMBus at 0x700; the tables say so. Decoding
 * and bus mastering of PCI functions is left to drivers.
 */
#include "emu/machine/firmware.h"
#include "emu/dev/lapic.h"
#include "emu/dev/piix4_pm.h"

#include <gio/gio.h>
#include <string.h>

enum { PIRQ_ROUTE = 0x60, ELCR2 = 0x4d1, PM_IRQ = 9 };
enum { IO_FIRST = 0xc000, IO_END = 0x10000 };
enum { HOLE_LOWEST = 0xc0000000u, HOLE_END = 0xfec00000u };
enum {
    BDA_COM = 0x400,
    BDA_LPT = 0x408,
    BDA_EBDA = 0x40e,
    BDA_EQUIPMENT = 0x410,
    BDA_MEMORY = 0x413,
    EBDA = 0x9fc00,
    EBDA_KIB = 1
};
enum { LOW_MEMORY_KIB = 639 };

static const uint8_t pirq_isa[4] = {10, 10, 11, 11};

/* ---- PCI resources ---- */

struct wanted {
    struct pci_device *pci;
    unsigned bar;
    uint32_t size;
    bool is_io;
};

static void collect_bars(struct pci_device *pci, void *opaque)
{
    GArray *list = opaque;
    for (unsigned i = 0; i < G_N_ELEMENTS(pci->bar); i++) {
        struct wanted w = {.pci = pci, .bar = i, .size = pci->bar[i].size, .is_io = pci->bar[i].is_io};
        if (w.size)
            g_array_append_val(list, w);
    }
}

/* Largest first, so that alignment wastes nothing; otherwise in the order of the bus. */
static int by_size(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    if (x->pci->devfn != y->pci->devfn)
        return x->pci->devfn < y->pci->devfn ? -1 : 1;
    return x->bar < y->bar ? -1 : x->bar > y->bar;
}

bool firmware_assign_pci(struct pci_bus *bus, uint32_t hole_start, uint32_t hole_end, GError **error)
{
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(struct wanted));
    pci_bus_foreach(bus, collect_bars, list);
    g_array_sort(list, by_size);
    uint64_t memory = hole_start, io = IO_FIRST;
    for (unsigned i = 0; i < list->len; i++) {
        const struct wanted *w = &g_array_index(list, struct wanted, i);
        uint64_t *next = w->is_io ? &io : &memory, end = w->is_io ? IO_END : hole_end;
        uint64_t at = (*next + w->size - 1) & ~((uint64_t)w->size - 1);
        if (at + w->size > end) {
            g_set_error(
                error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                "no room for the %s window of PCI function %s (0x%x bytes); remove devices or give the "
                "machine less memory",
                w->is_io ? "I/O" : "memory", w->pci->device.id, w->size);
            return false;
        }
        pci_config_write(bus, w->pci->devfn, (uint8_t)(PCI_BAR0 + 4 * w->bar), (uint32_t)at, 4);
        *next = at + w->size;
    }
    return true;
}

/* ---- interrupts ---- */

static void set_interrupt_line(struct pci_device *pci, void *opaque)
{
    uint8_t pin = pci->config[PCI_INTERRUPT_PIN];
    if (!pin)
        return;
    bool power = pci->vendor == 0x8086 && pci->device_id == 0x7113; /* its SCI is wired to IRQ 9 */
    uint8_t line = power ? PM_IRQ : pirq_isa[pci_pirq(pci->devfn >> 3, pin)];
    pci_config_write(opaque, pci->devfn, PCI_INTERRUPT_LINE, line, 1);
}

void firmware_route_interrupts(struct pci_bus *bus, struct portio *io, uint8_t piix_slot)
{
    unsigned level = 0;
    for (unsigned n = 0; n < 4; n++) {
        pci_config_write(bus, (uint8_t)(piix_slot << 3), (uint8_t)(PIRQ_ROUTE + n), pirq_isa[n], 1);
        level |= 1u << (pirq_isa[n] - 8);
    }
    portio_write(io, ELCR2, level | 1u << (PM_IRQ - 8), 1);
    pci_bus_foreach(bus, set_interrupt_line, bus);
}

static void set_up_pic(struct portio *io)
{
    static const struct {
        uint16_t port;
        uint8_t value;
    } sequence[] = {
        {0x20, 0x11}, {0x21, 0x08}, {0x21, 0x04}, {0x21, 0x01}, {0xa0, 0x11},
        {0xa1, 0x70}, {0xa1, 0x02}, {0xa1, 0x01}, {0x21, 0xfa}, {0xa1, 0xff},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(sequence); i++)
        portio_write(io, sequence[i].port, sequence[i].value, 1);
}

static void set_up_local_apic(struct physmap *mem)
{
    phys_write32(mem, LAPIC_ADDRESS + 0xf0, 0x1ff);  /* SVR: on, spurious vector 0xff */
    phys_write32(mem, LAPIC_ADDRESS + 0x350, 0x700); /* LINT0: the 8259s */
    phys_write32(mem, LAPIC_ADDRESS + 0x360, 0x400); /* LINT1: NMI */
}

/* ---- chips and data areas ---- */

static void set_up_power(struct pci_bus *bus, uint8_t slot)
{
    uint8_t devfn = (uint8_t)(slot << 3 | 3);
    pci_config_write(bus, devfn, 0x40, PIIX4_PM_BASE | 1, 4);
    pci_config_write(bus, devfn, 0x80, 1, 1); /* PM I/O on */
    pci_config_write(bus, devfn, 0x90, PIIX4_SMB_BASE | 1, 4);
    pci_config_write(bus, devfn, 0xd2, 9, 1); /* SMBus on, IRQ 9 */
}

/* Both channels decode their ports: drivers leave one that does not alone. */
static void set_up_ide(struct pci_bus *bus, uint8_t slot)
{
    uint8_t devfn = (uint8_t)(slot << 3 | 1);
    if (!pci_bus_find(bus, devfn))
        return;
    pci_config_write(bus, devfn, 0x40, 0x8000, 2);
    pci_config_write(bus, devfn, 0x42, 0x8000, 2);
}

static void set_up_keyboard(struct portio *io)
{
    portio_write(io, 0x64, 0x60, 1);
    portio_write(io, 0x60, 0x65, 1); /* keyboard interrupt, system flag, mouse off, translation */
}

static void write_data_area(const struct firmware_board *board)
{
    static const uint16_t com[2] = {0x3f8, 0x2f8};
    struct physmap *mem = board->mem;
    static const uint16_t lpt[3] = {0x378, 0x278, 0x3bc};
    unsigned ports = 0, printers = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(com); i++)
        if (board->serial[i])
            phys_write16(mem, BDA_COM + 2 * ports++, com[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(lpt); i++)
        if (board->parallel[i])
            phys_write16(mem, BDA_LPT + 2 * printers++, lpt[i]);
    phys_write16(mem, BDA_EBDA, EBDA >> 4);
    phys_write16(mem, BDA_EQUIPMENT, (uint16_t)(0x06 | ports << 9 | printers << 14)); /* FPU, mouse port */
    phys_write16(mem, BDA_MEMORY, LOW_MEMORY_KIB);
    phys_write8(mem, EBDA, EBDA_KIB);
}

static bool too_large(const char *what, uint32_t bytes, uint32_t room, const char *option, GError **error)
{
    g_set_error(
        error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
        "%s are %u bytes, for which a machine without firmware has %u; leave some %s out, or boot with "
        "-bios",
        what, bytes, room, option);
    return false;
}

static bool write_smbios(const struct firmware_board *board, GError **error)
{
    enum { TABLE = FIRMWARE_SMBIOS_BASE + 32, ROOM = 0x100000 - TABLE };
    unsigned count, widest;
    uint8_t anchor[SMBIOS_ANCHOR];
    g_autoptr(GByteArray) table = smbios_build(board->smbios, &count, &widest);
    if (table->len > ROOM)
        return too_large("SMBIOS structures", table->len, ROOM, "-smbios", error);
    smbios_anchor(table, count, widest, TABLE, anchor);
    phys_write(board->mem, FIRMWARE_SMBIOS_BASE, anchor, sizeof anchor);
    phys_write(board->mem, TABLE, table->data, table->len);
    return true;
}

static bool write_tables(const struct firmware_board *board, uint32_t hole_start, GError **error)
{
    const struct acpi_config config = {
        .pm_base = PIIX4_PM_BASE,
        .pci_hole_start = hole_start,
        .pci_hole_end = HOLE_END,
        .serial = {board->serial[0], board->serial[1]},
        .parallel = {board->parallel[0], board->parallel[1], board->parallel[2]},
        .mouse = board->mouse,
        .fwcfg = board->fwcfg,
        .suspend = board->suspend,
        .hibernate = board->hibernate,
        .hotplug_slots = board->hotplug_slots,
        .pirq_isa = pirq_isa,
        .extra = board->extra,
    };
    if (board->acpi) {
        enum { ROOM = FIRMWARE_MPTABLE_BASE - FIRMWARE_ACPI_BASE };
        g_autoptr(GByteArray) acpi = acpi_build(&config, FIRMWARE_ACPI_BASE);
        if (acpi->len > ROOM)
            return too_large("ACPI tables", acpi->len, ROOM, "-acpitable", error);
        phys_write(board->mem, FIRMWARE_ACPI_BASE, acpi->data, acpi->len);
    }
    if (board->mptable) {
        g_autoptr(GByteArray) mp = mptable_build(&config, FIRMWARE_MPTABLE_BASE);
        phys_write(board->mem, FIRMWARE_MPTABLE_BASE, mp->data, mp->len);
    }
    return !board->smbios || write_smbios(board, error);
}

static uint32_t first_hole(const struct firmware_board *board)
{
    return (uint32_t)MAX((uint64_t)HOLE_LOWEST, MIN(board->ram_below_4g, (uint64_t)HOLE_END));
}

static bool set_up_chips(const struct firmware_board *board, GError **error)
{
    set_up_pic(board->io);
    i440fx_shadow_all(board->host);
    firmware_route_interrupts(board->bus, board->io, board->piix_slot);
    set_up_power(board->bus, board->piix_slot);
    set_up_ide(board->bus, board->piix_slot);
    if (!firmware_assign_pci(board->bus, first_hole(board), HOLE_END, error))
        return false;
    set_up_local_apic(board->mem);
    set_up_keyboard(board->io);
    return true;
}

bool firmware_setup(const struct firmware_board *board, GError **error)
{
    if (!set_up_chips(board, error))
        return false;
    write_data_area(board);
    return write_tables(board, first_hole(board), error);
}

bool firmware_resume(const struct firmware_board *board, uint32_t *waking_vector, GError **error)
{
    uint32_t at = acpi_waking_vector(FIRMWARE_ACPI_BASE), vector = 0;
    if (!set_up_chips(board, error))
        return false;
    if (board->acpi)
        vector = phys_read32(board->mem, at);
    *waking_vector = vector < 0x100000 ? vector : 0;
    return true;
}
