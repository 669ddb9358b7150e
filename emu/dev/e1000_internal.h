/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the files of the e1000 share: e1000.c (registers, interrupts, wiring), e1000_tx.c, e1000_rx.c,
 * e1000_phy_eeprom.c. Nobody else includes this.
 *
 * Registers live in one array indexed by offset / 4, so that a register's place in saved state never moves.
 * The two FIFOs stand for the chip's packet buffer and hold what cannot go on now: in tx_fifo either the
 * front of a packet whose last descriptor the guest has not given yet (tx_open) or a whole frame the peer has
 * no room for (tx_blocked); in rx_fifo the rest of a burst that outran the guest's descriptors (rx_held).
 */
#pragma once

#include "emu/dev/e1000.h"
#include "emu/dev/e1000_regs.h"
#include "emu/dev/pci.h"
#include "emu/dev/regs.h"
#include "emu/machine/clock.h"
#include "emu/net/frame.h"
#include "emu/trace.h"

#include <string.h>

enum { E1000_EEPROM_WORDS = 64, E1000_PM_CAP = 0xdc, E1000_OWN_ADDRESSES = 8 };

/* Timers. */
enum e1000_alarm {
    E1000_ALARM_AUTONEG, /* autonegotiation is done */
    E1000_ALARM_ITR,     /* the throttled interrupt may be raised */
    E1000_ALARM_RDTR,    /* receive delay, restarted by each frame */
    E1000_ALARM_RADV,    /* its absolute limit */
    E1000_ALARM_TIDV,    /* the same for transmit */
    E1000_ALARM_TADV,
    E1000_ALARM_TRANSMIT, /* budget spent: go on with the ring */
    E1000_ALARM_PAUSE,    /* end of a pause the link partner asked for */
    E1000_ALARM_COUNT
};

enum e1000_ee_phase { E1000_EE_IDLE, E1000_EE_COMMAND, E1000_EE_READ, E1000_EE_WRITE, E1000_EE_PHASES };

struct e1000;

struct e1000_alarm_clock {
    struct e1000 *nic;
    struct clock_timer *timer;
};

struct e1000 {
    struct pci_device pci; /* first */
    struct clock *clock;
    struct physmap *mem;
    struct net_port *port;
    uint8_t mac[6];
    struct e1000_alarm_clock clocks[E1000_ALARM_COUNT];
    struct reg_file registers;  /* the rows, under this NIC's name in traces */
    uint32_t crc_table[8][256]; /* Ethernet FCS, eight bytes a step */
    bool can_fold;              /* the host has PCLMULQDQ, which is faster */
    bool transmitting;          /* e1000_tx_run is on the stack */
    bool asleep;                /* in D3 when config space was last written */
    unsigned budget;            /* frames it may still send before it yields */
    unsigned rx_pieces;         /* pieces to be routed since the driver last waited for an interrupt */
    bool rx_paced;              /* the next one waits until it does: */
    bool rx_unmasked;           /*   it has done so since the last reset */
    int64_t rx_paced_at;
    struct clock_timer *pace;             /*   or it waits too long */
    uint8_t own[E1000_OWN_ADDRESSES][16]; /* IP addresses the guest has told neighbours, IPv4 in 4 bytes */
    unsigned own_count;                   /* ever told; the latest are kept */
    uint32_t last_tail;         /* RDT as it was last written */

    /* saved from here on */
    uint32_t reg[E1000_REGISTERS_END / 4];
    uint32_t io_address;
    uint64_t alarm[E1000_ALARM_COUNT]; /* guest time, ns; 0: not set. A timer may fire early and go on. */
    uint64_t last_interrupt;           /* when INTA# was last raised */

    uint16_t phy[32];
    bool phy_link; /* as the PHY sees it */
    bool link;     /* as the MAC sees it: STATUS.LU */

    uint16_t eeprom[E1000_EEPROM_WORDS];
    uint8_t ee_phase; /* enum e1000_ee_phase */
    uint8_t ee_lines; /* SK and CS as last driven */
    uint8_t ee_bits;  /* shifted in or out in this phase */
    uint8_t ee_command;
    uint32_t ee_shift;
    bool ee_output, ee_writable;

    uint32_t tx_context[2][4]; /* raw context descriptors: [0] checksum, [1] segmentation */
    bool tx_open;              /* in the middle of a packet: */
    bool tx_bad;               /*   too long, skipped up to EOP */
    bool tx_burst;             /*   TSE in its first descriptor */
    uint8_t tx_options;        /*   POPTS of its first descriptor */
    bool tx_blocked;           /* a finished frame waits in tx_fifo: */
    uint32_t tx_piece;         /*   pieces of it that are sent already */
    struct net_offload tx_offload;
    uint32_t tx_length; /* bytes in tx_fifo */
    uint8_t tx_fifo[NET_FRAME_MAX + 64];

    bool rx_starved; /* answered NET_FULL; tell the peer when there is room */
    bool rx_held;    /* a burst's rest waits in rx_fifo: */
    bool rx_inexact; /*   it passed by an imperfect filter */
    uint32_t rx_piece;
    struct net_offload rx_offload;
    uint32_t rx_length;
    uint8_t rx_fifo[NET_FRAME_MAX + 64];
};

static inline uint32_t *e1000_reg(struct e1000 *nic, uint32_t offset)
{
    return &nic->reg[offset >> 2];
}

/* ---- e1000.c ---- */

/* Adds causes to ICR and drives INTA# by mask and moderation. */
void e1000_raise(struct e1000 *nic, uint32_t causes);
/* Sets an alarm at guest time `when`, or later than it was set before (lazily, without touching the timer).
 */
void e1000_alarm_set(struct e1000 *nic, enum e1000_alarm which, int64_t when);
static inline void e1000_alarm_cancel(struct e1000 *nic, enum e1000_alarm which)
{
    nic->alarm[which] = 0;
}
/* Whether the function may use the bus: bus master enabled, power state D0. */
bool e1000_awake(const struct e1000 *nic);
/* Raises `causes` after the delays of the packet timers, which count 1.024 µs. */
void e1000_raise_delayed(struct e1000 *nic, enum e1000_alarm packet, uint32_t delay,
                         enum e1000_alarm absolute, uint32_t limit, uint32_t causes);
/* Statistics stick at their highest value. */
static inline void e1000_count(struct e1000 *nic, uint32_t offset, uint32_t n)
{
    uint32_t *value = e1000_reg(nic, offset);
    *value = *value > UINT32_MAX - n ? UINT32_MAX : *value + n;
}
static inline void e1000_count_octets(struct e1000 *nic, uint32_t low_offset, uint64_t n)
{
    uint32_t *pair = e1000_reg(nic, low_offset);
    uint64_t value = (uint64_t)pair[1] << 32 | pair[0];
    value = value > UINT64_MAX - n ? UINT64_MAX : value + n;
    pair[0] = (uint32_t)value;
    pair[1] = (uint32_t)(value >> 32);
}
/* Counts `frames` of `size` bytes (with FCS) in the six size classes from `first` (PRC64, PTC64) on. */
void e1000_count_size(struct e1000 *nic, uint32_t first, size_t size, uint32_t frames);

/* ---- DMA. Devices' windows are not reached: a buffer there reads as ones and swallows writes. ---- */

/* Memory to read from at addr; *length is cut to what is contiguous. NULL: skip *length bytes of ones. */
const uint8_t *e1000_dma_source(struct e1000 *nic, uint64_t addr, size_t *length);
uint8_t *e1000_dma_target(struct e1000 *nic, uint64_t addr, size_t *length);
void e1000_dma_read(struct e1000 *nic, uint64_t addr, void *to, size_t length);
void e1000_dma_write(struct e1000 *nic, uint64_t addr, const void *from, size_t length);

/* Descriptors in a ring by its xDLEN register; 0 when there is no usable ring. */
static inline uint32_t e1000_ring_size(uint32_t length_register)
{
    return (length_register & 0xfff80) / 16;
}

/* ---- e1000_tx.c ---- */

/* Works on the transmit ring until it is empty, the peer is full or the budget is spent. */
void e1000_tx_run(struct e1000 *nic);
void e1000_tx_reset(struct e1000 *nic);

/* ---- e1000_rx.c ---- */

enum net_result e1000_receive(void *nic, const struct net_frame *frame);
/* A frame the NIC sends to itself. */
enum net_result e1000_receive_loopback(struct e1000 *nic, const struct net_frame *frame);
/* Something changed that may make room, or make frames unwanted. */
void e1000_rx_room(struct e1000 *nic);
/* The driver waits for an interrupt (IMS): more of a burst may come. */
void e1000_rx_unpace(struct e1000 *nic);
void e1000_rx_pace_over(struct e1000 *nic); /* the timer */
void e1000_rx_reset(struct e1000 *nic);
void e1000_crc_init(struct e1000 *nic);
/* Frames go to the NIC itself: MAC loopback (RCTL.LBM) or PHY loopback. */
bool e1000_in_loopback(const struct e1000 *nic);

/* ---- e1000_phy_eeprom.c ---- */

void e1000_phy_reset(struct e1000 *nic);
bool e1000_phy_loopback(const struct e1000 *nic);
/* Looks at cable, PHY and MAC settings again; LSC when the link changed. */
void e1000_phy_update(struct e1000 *nic);
void e1000_phy_cable(struct e1000 *nic, bool up);
void e1000_phy_negotiated(struct e1000 *nic);
uint32_t e1000_status(struct e1000 *nic);
void e1000_mdic_written(struct e1000 *nic, uint32_t value);

void e1000_eeprom_init(struct e1000 *nic);
uint32_t e1000_eecd_read(const struct e1000 *nic);
void e1000_eecd_written(struct e1000 *nic, uint32_t value);
void e1000_eerd_written(struct e1000 *nic, uint32_t value);
/* RAL0/RAH0 from words 0 to 2, as after each reset. */
void e1000_eeprom_load_address(struct e1000 *nic);
