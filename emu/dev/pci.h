/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * PCI bus 0 by configuration mechanism #1 (PCI Local Bus Specification 2.2, 3.2.2.3): ports 0xcf8/0xcfc,
 * one bus, type 0 headers, six BARs a function, INTx through the PIIX3's router.
 *
 * A function embeds struct pci_device as the first member of its struct; its struct device is inside. Config
 * space is 256 bytes; `wmask` and `w1c` say what a guest may change; the BARs are placed and moved here
 * whenever the guest writes a BAR or the command register.
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/mem/physmap.h"
#include "emu/mem/portio.h"

enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS_PROG = 0x09,
    PCI_CLASS_DEVICE = 0x0a,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_ROM_ADDRESS = 0x30,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
};
enum { PCI_COMMAND_IO = 1, PCI_COMMAND_MEMORY = 2, PCI_COMMAND_MASTER = 4, PCI_COMMAND_INTX_DISABLE = 0x400 };
enum { PCI_STATUS_INTERRUPT = 0x08, PCI_STATUS_CAP_LIST = 0x10 };

/* BARs lie below RAM, ROM and the APICs: a guest that sizes or misplaces one hides nothing of the board. */
enum { PCI_BAR_PRIORITY = -10 };

struct pci_bus;
struct pci_device;

struct pci_bar {
    uint32_t size; /* a power of two; 0: no such BAR */
    bool is_io;
    struct phys_range *range; /* memory BAR: owned by physmap, switched by this file */
    struct portio_range *ports;
};

struct pci_device {
    struct device device; /* first */
    struct pci_bus *bus;
    uint8_t devfn;              /* slot << 3 | function */
    uint16_t vendor, device_id; /* what config space must say: loaded state is checked against it */
    uint8_t config[256];
    uint8_t wmask[256]; /* bits a guest may write */
    uint8_t w1c[256];   /* bits cleared by writing one */
    struct pci_bar bar[6];
    bool intx;         /* level the function drives on its pin */
    uint32_t rom_size; /* expansion ROM BAR, 0: none */
    struct phys_range *rom_range;
    /* After config space and BARs took a write; may be NULL. */
    void (*config_written)(struct pci_device *pci, uint8_t offset, unsigned size);
};

/* Claims ports 0xcf8–0xcff. */
struct pci_bus *pci_bus_new(struct physmap *mem, struct portio *io);
void pci_bus_free(struct pci_bus *bus);
/* set(opaque, pirq 0…3, level): the level is the OR of all functions on that line. */
void pci_bus_set_router(struct pci_bus *bus, void (*set)(void *opaque, unsigned pirq, bool level),
                        void *opaque);
struct physmap *pci_bus_memory(struct pci_bus *bus);
/* CONFADD, the register behind 0xcf8; the host bridge saves it. */
uint32_t pci_bus_address(const struct pci_bus *bus);
void pci_bus_set_address(struct pci_bus *bus, uint32_t address);
/* PIRQ line (0…3) of INTx pin 1…4 of a slot, as this board's traces run. */
static inline unsigned pci_pirq(unsigned slot, unsigned pin)
{
    return (slot + pin - 2) & 3;
}
struct pci_device *pci_bus_find(const struct pci_bus *bus, uint8_t devfn); /* NULL: nothing there */

/* Fills ids and defaults and puts the function on the bus. slot 0…31, or -1 for the first free one from 3 up;
 * fails when taken or full. Call from the function's own _new(). */
bool pci_device_init(struct pci_device *pci, struct pci_bus *bus, const struct device_class *class,
                     const char *id, int slot, unsigned function, uint16_t vendor, uint16_t device_id,
                     uint32_t class_code, uint8_t revision, GError **error);
/* Takes the function and its windows off the bus; once is enough, twice the same. A function that is off the
 * bus and not freed yet reads ones by DMA, writes nothing and drives no interrupt. */
void pci_device_remove(struct pci_device *pci);
/* Declares a BAR; the window stays off until the guest maps it. */
void pci_add_memory_bar(struct pci_device *pci, unsigned bar, uint32_t size, const struct mmio_ops *ops,
                        void *opaque);
/* The same for memory that is a part of guest RAM, `ram_offset` in physmap_ram(). */
void pci_add_ram_bar(struct pci_device *pci, unsigned bar, uint32_t size, uint64_t ram_offset);
void pci_add_io_bar(struct pci_device *pci, unsigned bar, uint32_t size, const struct portio_ops *ops,
                    void *opaque);
/* Base address a guest gave the BAR (I/O handlers get absolute ports). */
uint32_t pci_bar_base(const struct pci_device *pci, unsigned bar);
/* An expansion ROM; `data` (size a power of two ≥ 2 KiB) must outlive the device. */
void pci_add_rom(struct pci_device *pci, const uint8_t *data, uint32_t size);
void pci_device_reset(struct pci_device *pci); /* command, BARs, interrupt line back to power-on */
void pci_set_intx(struct pci_device *pci, bool level);
/* For the rows of every function's state table and its after_load. */
#define PCI_STATE_ROWS(type) STATE_ARRAY(type, BYTES, pci.config), STATE(type, BOOL, pci.intx)
bool pci_after_load(struct pci_device *pci, GError **error); /* re-places BARs, re-drives the pin */
/* DMA by a function: honours the bus-master enable bit (a disabled master reads ones, writes nothing). */
void pci_dma_read(struct pci_device *pci, uint64_t addr, void *buf, size_t len);
void pci_dma_write(struct pci_device *pci, uint64_t addr, const void *buf, size_t len);

static inline uint16_t pci_get16(const struct pci_device *pci, unsigned offset)
{
    return (uint16_t)(pci->config[offset] | pci->config[offset + 1] << 8);
}
static inline void pci_set16(struct pci_device *pci, unsigned offset, uint16_t value)
{
    pci->config[offset] = (uint8_t)value;
    pci->config[offset + 1] = (uint8_t)(value >> 8);
}
/* The same as a guest's access to ports 0xcf8/0xcfc; for boot without firmware and for tests. */
uint32_t pci_config_read(struct pci_bus *bus, uint8_t devfn, uint8_t offset, unsigned size);
void pci_config_write(struct pci_bus *bus, uint8_t devfn, uint8_t offset, uint32_t value, unsigned size);
void pci_bus_describe(struct pci_bus *bus, GString *out);
/* Each function on the bus, in devfn order. */
void pci_bus_foreach(struct pci_bus *bus, void (*visit)(struct pci_device *pci, void *opaque), void *opaque);
