/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Intel 82540EM Gigabit Ethernet controller (8086:100e), "e1000".
 *
 * The board makes one per NIC and joins e1000_port() to the port of a back end:
 *
 *     struct device *nic = e1000_new(bus, -1, &(struct e1000_config){.id = "net0", .mac = {...}}, clock,
 * &error); net_join(e1000_port(nic), net_tap_new("net0", loop, &tap, &error));
 *
 * A NIC without a cable has no link. Machine thread only. See docs/e1000.md.
 */
#pragma once

#include "emu/dev/device.h"

#include <glib.h>

struct clock;
struct net_port;
struct pci_bus;

struct e1000_config {
    const char *id;     /* instance name: names the port, traces and saved state */
    uint8_t mac[6];     /* all zeroes: 52:54:00:12:34:56 */
    const uint8_t *rom; /* option ROM for network boot, or NULL; must outlive the device */
    uint32_t rom_size;  /* a power of two ≥ 2 KiB */
};

extern const struct device_class e1000_class;

/* slot: 0…31, or -1 for the first free one from 3 up. The device belongs to the caller: device_free(), which
 * also frees its port. Fails when the slot is taken, the bus is full or the MAC is a group address. */
struct device *e1000_new(struct pci_bus *bus, int slot, const struct e1000_config *config,
                         struct clock *clock, GError **error);
/* The NIC's end of the cable; the NIC's own. */
struct net_port *e1000_port(struct device *device);
/* What the receiver lets in, as the guest has set it (manual 3.2.1). */
struct e1000_filter {
    bool receiving, promiscuous, all_multicast, broadcast, by_vlan;
    bool by_hash; /* a bit of the multicast table array is set: more groups than listed */
    unsigned count;
    uint8_t address[16][6];   /* exact ones, groups among them; the first is the station's own */
    uint32_t vlan_table[128]; /* a bit for each VLAN id */
};
void e1000_filter(struct device *device, struct e1000_filter *out);
/* 52:54:00:12:34:56 for the machine's first NIC, counting up in the last byte (modulo 256). */
void e1000_default_mac(unsigned n, uint8_t mac[6]);
