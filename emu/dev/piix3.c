/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * ISA bridge: see piix3.h. Intel 82371FB/82371SB (PIIX/PIIX3) datasheet (290550), PIRQRC and RC registers.
 *
 * An ISA interrupt is the OR of the PIRQ lines routed to it. Each PIRQ also runs, whatever its route, to an
 * input of the I/O APIC. The other configuration registers keep what firmware writes there.
 */
#include "emu/dev/piix3.h"
#include "emu/trace.h"

#include <string.h>

enum { PIRQRC = 0x60, PIRQS = 4, PIRQ_OFF = 0x80, PIRQ_BITS = 0x8f };
enum { RESET_CONTROL = 0xcf9, RC_FULL = 0x02, RC_RESET = 0x04, RC_STORED = 0x1a };
/* IRQ 0, 1, 2, 8 and 13 belong to the board: a route to them is off. */
enum { ROUTABLE = 0xdef8 };

struct piix3 {
    struct pci_device pci;
    struct piix3_wiring wiring;
    uint8_t pirq;     /* level of PIRQA–D in bits 0–3 */
    uint16_t driving; /* ISA interrupts this chip holds high */
    uint8_t reset_control;
};

/* Registers with a power-on value, and those a guest may write; all without effect but PIRQRC. */
static const struct piix3_register {
    uint8_t offset, reset, writable;
} registers[] = {
    {0x04, 0x07, 0x08},        {0x4c, 0x4d, 0xff},      {0x4e, 0x03, 0xff},      {0x4f, 0x00, 0xff},
    {PIRQRC, 0x80, PIRQ_BITS}, {0x61, 0x80, PIRQ_BITS}, {0x62, 0x80, PIRQ_BITS}, {0x63, 0x80, PIRQ_BITS},
    {0x69, 0x02, 0xff},        {0x6a, 0x00, 0xff},      {0x70, 0x80, 0xff},      {0x76, 0x0c, 0xff},
    {0x77, 0x0c, 0xff},        {0x78, 0x02, 0xff},      {0x79, 0x00, 0xff},      {0x80, 0x00, 0x7f},
    {0x82, 0x00, 0x0f},        {0xa0, 0x08, 0xff},      {0xa2, 0x00, 0xff},      {0xa3, 0x00, 0xff},
    {0xa8, 0x0f, 0xff},
};

int piix3_route(const struct piix3 *piix3, unsigned n)
{
    uint8_t route = piix3->pci.config[PIRQRC + (n & 3)];
    return route & PIRQ_OFF || !(ROUTABLE >> (route & 15) & 1) ? -1 : route & 15;
}

static void drive(struct piix3 *piix3)
{
    uint16_t now = 0;
    for (unsigned n = 0; n < 4; n++) {
        int irq = piix3_route(piix3, n);
        if (irq >= 0 && piix3->pirq >> n & 1)
            now |= (uint16_t)(1u << irq);
    }
    uint16_t changed = now ^ piix3->driving;
    piix3->driving = now;
    for (unsigned irq = 0; changed; irq++, changed >>= 1)
        if (changed & 1)
            irq_set(&piix3->wiring.isa[irq], now >> irq & 1);
}

static void pirq_set(void *opaque, unsigned n, bool level)
{
    struct piix3 *piix3 = opaque;
    if ((piix3->pirq >> n & 1) == level)
        return;
    piix3->pirq ^= (uint8_t)(1u << n);
    irq_set(&piix3->wiring.direct[n], level);
    drive(piix3);
}

static void written(struct pci_device *pci, uint8_t offset, unsigned size)
{
    struct piix3 *piix3 = (struct piix3 *)pci;
    if (offset >= PIRQRC + 4 || offset + size <= PIRQRC)
        return;
    trace(IRQ, "piix3: PIRQA-D go to IRQ %d %d %d %d", piix3_route(piix3, 0), piix3_route(piix3, 1),
          piix3_route(piix3, 2), piix3_route(piix3, 3));
    drive(piix3);
}

static uint32_t reset_control_read(void *opaque, uint16_t port, unsigned size)
{
    const struct piix3 *piix3 = opaque;
    return piix3->reset_control;
}

static void reset_control_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct piix3 *piix3 = opaque;
    piix3->reset_control = value & RC_STORED; /* the reset bit goes back by itself */
    if (value & RC_RESET) {
        trace(PCI, "piix3: the guest resets the machine (%s)", value & RC_FULL ? "hard" : "soft");
        irq_set(&piix3->wiring.reset, true);
        irq_set(&piix3->wiring.reset, false);
    }
}

static const struct portio_ops reset_control_ops = {.read = reset_control_read, .write = reset_control_write};

static void piix3_reset(struct device *device)
{
    struct piix3 *piix3 = (struct piix3 *)device;
    pci_device_reset(&piix3->pci);
    pci_set16(&piix3->pci, PCI_STATUS, 0x0280);
    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++)
        piix3->pci.config[registers[i].offset] = registers[i].reset;
    piix3->reset_control = 0;
    drive(piix3);
}

/* Interrupt routes outlive S3: neither firmware nor a guest without link devices would set them again. */
static void piix3_wake(struct device *device)
{
    struct piix3 *piix3 = (struct piix3 *)device;
    uint8_t kept[PIRQS];
    memcpy(kept, &piix3->pci.config[PIRQRC], sizeof kept);
    piix3_reset(device);
    memcpy(&piix3->pci.config[PIRQRC], kept, sizeof kept);
    drive(piix3);
}

static bool piix3_after_load(void *device, GError **error)
{
    struct piix3 *piix3 = device;
    if (!pci_after_load(&piix3->pci, error))
        return false;
    piix3->pirq &= 15;
    piix3->reset_control &= RC_STORED;
    for (unsigned n = 0; n < 4; n++)
        irq_set(&piix3->wiring.direct[n], piix3->pirq >> n & 1);
    for (unsigned irq = 0; irq < 16; irq++)
        irq_set(&piix3->wiring.isa[irq], piix3->driving >> irq & 1);
    drive(piix3);
    return true;
}

static const struct state_field piix3_fields[] = {
    PCI_STATE_ROWS(struct piix3),
    STATE(struct piix3, U8, pirq),
    STATE(struct piix3, U16, driving),
    STATE(struct piix3, U8, reset_control),
};
static const struct state_table piix3_state = {
    .name = "piix3",
    .version = 1,
    .fields = piix3_fields,
    .count = G_N_ELEMENTS(piix3_fields),
    .after_load = piix3_after_load,
};

static void piix3_free(struct device *device)
{
    struct piix3 *piix3 = (struct piix3 *)device;
    pci_bus_set_router(piix3->pci.bus, NULL, NULL);
    pci_device_remove(&piix3->pci);
    g_free(piix3);
}

static const struct device_class piix3_class = {
    .name = "PIIX3", .state = &piix3_state, .reset = piix3_reset, .wake = piix3_wake, .free = piix3_free};

struct piix3 *piix3_new(struct pci_bus *bus, struct portio *io, int slot, const struct piix3_wiring *wiring,
                        GError **error)
{
    struct piix3 *piix3 = g_new0(struct piix3, 1);
    if (!pci_device_init(&piix3->pci, bus, &piix3_class, "isa-bridge", slot, 0, 0x8086, 0x7000, 0x060100, 0,
                         error)) {
        g_free(piix3);
        return NULL;
    }
    piix3->wiring = *wiring;
    piix3->pci.config[PCI_HEADER_TYPE] = 0x80; /* functions 1 to 3 may follow */
    piix3->pci.wmask[PCI_COMMAND + 1] = 0x01;
    piix3->pci.wmask[PCI_INTERRUPT_LINE] = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++)
        piix3->pci.wmask[registers[i].offset] = registers[i].writable;
    piix3->pci.config_written = written;
    pci_bus_set_router(bus, pirq_set, piix3);
    /* Between the ports of the host bridge, which nothing hides. */
    portio_range_pin(io, portio_add(io, "reset-control", RESET_CONTROL, 1, &reset_control_ops, piix3));
    piix3_reset(&piix3->pci.device);
    return piix3;
}
