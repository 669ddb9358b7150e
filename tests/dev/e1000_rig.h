/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A bench for the e1000 tests: 16 MiB of guest memory, a PCI bus, a clock that only moves when told, the NIC
 * with its BARs mapped, and a fake peer on the cable that records what it is sent. Plus the few lines of
 * driver that every test needs: rings, descriptors, frames, and checksums computed the plain way, byte by
 * byte.
 */
#pragma once

#include "emu/dev/e1000.h"
#include "emu/dev/e1000_regs.h"
#include "emu/dev/pci.h"
#include "emu/machine/clock.h"
#include "emu/net/backend.h"

#include <glib.h>
#include <string.h>

enum {
    RIG_BAR0 = 0xfebc0000,
    RIG_BAR1 = 0xc000,
    RIG_TX_RING = 0x100000,
    RIG_RX_RING = 0x140000,
    RIG_TX_BUFFERS = 0x200000,
    RIG_RX_BUFFERS = 0x400000,
    RIG_RX_STRIDE = 0x4000,
    RIG_RING_SIZE = 64, /* descriptors, unless a test says otherwise */
};

struct rig_frame {
    uint8_t *data;
    size_t length;
    struct net_offload offload;
    bool in_guest_memory; /* a piece of it was guest memory itself: not copied */
};

struct rig {
    struct physmap *mem;
    struct portio *io;
    struct clock *clock;
    struct pci_bus *bus;
    struct device *nic;
    struct net_port *port; /* the NIC's */
    struct net_port *peer;
    uint8_t devfn;
    bool irq;          /* INTA# */
    unsigned irq_ups;  /* times it went up */
    GPtrArray *frames; /* struct rig_frame, as the peer got them */
    unsigned peer_can;
    int peer_takes;       /* frames before the peer is full; negative: all */
    bool peer_forgets;    /* frames are looked at and not recorded */
    unsigned peer_looked; /* a sum over what was looked at, so that it is */
    unsigned peer_rooms;
    unsigned peer_polls;
    uint32_t tx_tail, rx_tail, rx_next;
    uint32_t tx_size, rx_size;
    uint32_t tx_buffer; /* where the next transmit buffer goes */
};

struct rig *rig_new(unsigned peer_can);
/* A second NIC on the same bus and clock, or the first with other settings. */
struct device *rig_add_nic(struct rig *rig, const struct e1000_config *config, GError **error);
void rig_free(struct rig *rig);
void rig_map(struct rig *rig);   /* BARs and bus mastering on */
void rig_start(struct rig *rig); /* link up, interrupts forgotten, both rings set up and switched on */

uint32_t rig_read(struct rig *rig, uint32_t reg);
void rig_write(struct rig *rig, uint32_t reg, uint32_t value);
uint16_t rig_phy_read(struct rig *rig, unsigned n);
void rig_phy_write(struct rig *rig, unsigned n, uint16_t value);
void rig_advance(struct rig *rig, int64_t ns);

/* Transmit: data is put into guest memory and a descriptor after the tail; rig_kick writes TDT. */
uint32_t rig_tx(struct rig *rig, const void *data, size_t length, uint32_t lower, uint32_t upper);
uint32_t rig_tx_at(struct rig *rig, uint64_t address, uint32_t lower, uint32_t upper);
void rig_tx_raw(struct rig *rig, uint32_t a, uint32_t b, uint32_t c, uint32_t d);
void rig_kick(struct rig *rig);
uint32_t rig_tx_upper(struct rig *rig, uint32_t index);
const struct rig_frame *rig_frame(struct rig *rig, unsigned n);
void rig_forget_frames(struct rig *rig);

/* Receive. */
struct rig_received {
    uint8_t data[65536];
    size_t length;
    unsigned descriptors;
    uint8_t status, errors;
    uint16_t special, checksum;
};
enum net_result rig_inject(struct rig *rig, const void *data, size_t length);
enum net_result rig_inject_offload(struct rig *rig, const void *data, size_t length,
                                   const struct net_offload *offload);
void rig_give(struct rig *rig, uint32_t count); /* buffers, then RDT */
/* The next frame in the ring, up to EOP; false when there is none. Consumes its descriptors. */
bool rig_received(struct rig *rig, struct rig_received *out);

/* Plain checksum: the one's complement sum of big-endian words. */
uint16_t rig_sum(const uint8_t *data, size_t length, uint32_t start);
/* Whether the IPv4 header checksum and TCP/UDP checksum of an Ethernet frame (tags allowed) are right. */
bool rig_sums_right(const uint8_t *frame, size_t length);
void rig_put16(uint8_t *p, unsigned v);
void rig_put32(uint8_t *p, uint32_t v);
unsigned rig_get16(const uint8_t *p);
uint32_t rig_get32(const uint8_t *p);

enum { RIG_TCP4 = 1, RIG_UDP4, RIG_TCP6, RIG_UDP6 };
/* An Ethernet frame of that kind to the NIC's (or, `out`, from the NIC's) MAC with `payload` bytes of
 * counting data and right checksums. Returns its length. */
size_t rig_packet(uint8_t *frame, int kind, size_t payload);
/* Length of its headers. */
size_t rig_headers(int kind);
/* The L4 offset, and that of the checksum field in it. */
size_t rig_l4(int kind);
size_t rig_l4_field(int kind);
/* Sum of the pseudo header with this L4 length. */
uint16_t rig_pseudo(const uint8_t *frame, int kind, uint32_t length);
