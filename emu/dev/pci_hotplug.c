/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * PCI hot-plug registers: see pci_hotplug.h. ACPI 2.0, chapters 6.3 (device insertion and removal) and 5.6.2
 * (general-purpose events).
 *
 * Nothing a guest writes here reaches a slot that the board does not call removable at that moment. A reset
 * clears what was on its way; the board takes out what was asked for before it resets the chips.
 */
#include "emu/dev/pci_hotplug.h"
#include "emu/trace.h"

#include <glib.h>

enum { UP = 0x0, DOWN = 0x4, EJECT = 0x8, REMOVABLE = 0xc };

struct pci_hotplug {
    struct device device;
    struct pci_hotplug_wiring wiring;
    uint32_t up, down;
};

static uint32_t hotplug_read(void *opaque, uint16_t port, unsigned size)
{
    struct pci_hotplug *hotplug = opaque;
    unsigned offset = port & (PCI_HOTPLUG_SIZE - 1), lane = offset & 3;
    uint32_t value = 0, mask = size == 4 ? UINT32_MAX : ((1u << 8 * size) - 1) << 8 * lane;
    switch (offset & ~3u) {
    case UP:
        value = hotplug->up;
        hotplug->up &= ~mask;
        break;
    case DOWN:
        value = hotplug->down;
        break;
    case REMOVABLE:
        value = hotplug->wiring.removable(hotplug->wiring.opaque);
        break;
    }
    trace(ACPI, "hot-plug +%x -> %08x", offset, (value & mask) >> 8 * lane);
    return value >> 8 * lane;
}

static void hotplug_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct pci_hotplug *hotplug = opaque;
    unsigned offset = port & (PCI_HOTPLUG_SIZE - 1);
    if ((offset & ~3u) != EJECT)
        return;
    uint32_t slots = value << 8 * (offset & 3);
    slots &= hotplug->wiring.removable(hotplug->wiring.opaque);
    trace(ACPI, "hot-plug eject %08x", slots);
    hotplug->down &= ~slots;
    for (unsigned slot = 0; slot < PCI_HOTPLUG_SLOTS; slot++)
        if (slots >> slot & 1)
            hotplug->wiring.eject(hotplug->wiring.opaque, slot);
}

static const struct portio_ops hotplug_ops = {.read = hotplug_read, .write = hotplug_write, .max_size = 4};

void pci_hotplug_plugged(struct pci_hotplug *hotplug, unsigned slot)
{
    hotplug->up |= 1u << slot;
    hotplug->down &= ~(1u << slot);
    hotplug->wiring.notify(hotplug->wiring.opaque);
}

void pci_hotplug_request(struct pci_hotplug *hotplug, unsigned slot)
{
    hotplug->down |= 1u << slot;
    hotplug->wiring.notify(hotplug->wiring.opaque);
}

uint32_t pci_hotplug_pending(const struct pci_hotplug *hotplug)
{
    return hotplug->down;
}

void pci_hotplug_forget(struct pci_hotplug *hotplug, unsigned slot)
{
    hotplug->up &= ~(1u << slot);
    hotplug->down &= ~(1u << slot);
}

static void hotplug_reset(struct device *device)
{
    struct pci_hotplug *hotplug = (struct pci_hotplug *)device;
    hotplug->up = hotplug->down = 0;
}

/* Out of S3: what came or is to go meanwhile is still to be told. */
static void hotplug_wake(struct device *device)
{
    struct pci_hotplug *hotplug = (struct pci_hotplug *)device;
    if (hotplug->up || hotplug->down)
        hotplug->wiring.notify(hotplug->wiring.opaque);
}

static bool hotplug_after_load(void *device, GError **error)
{
    struct pci_hotplug *hotplug = device;
    hotplug->down &= hotplug->wiring.removable(hotplug->wiring.opaque);
    return true;
}

static const struct state_field hotplug_fields[] = {
    STATE(struct pci_hotplug, U32, up),
    STATE(struct pci_hotplug, U32, down),
};
static const struct state_table hotplug_state = {
    .name = "pci_hotplug",
    .version = 1,
    .fields = hotplug_fields,
    .count = G_N_ELEMENTS(hotplug_fields),
    .after_load = hotplug_after_load,
};

static const struct device_class hotplug_class = {
    .name = "acpi-pci-hotplug", .state = &hotplug_state, .reset = hotplug_reset, .wake = hotplug_wake};

struct pci_hotplug *pci_hotplug_new(struct portio *io, const struct pci_hotplug_wiring *wiring)
{
    struct pci_hotplug *hotplug = g_new0(struct pci_hotplug, 1);
    device_init(&hotplug->device, &hotplug_class, "pci-hotplug");
    hotplug->wiring = *wiring;
    portio_add(io, "pci-hotplug", PCI_HOTPLUG_PORT, PCI_HOTPLUG_SIZE, &hotplug_ops, hotplug);
    return hotplug;
}
