/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Intel 82540EM: registers, interrupts, timers, wiring. The rings are in e1000_tx.c and e1000_rx.c, PHY and
 * EEPROM in e1000_phy_eeprom.c. Manual: PCI/PCI-X Family of Gigabit Ethernet Controllers SDM, chapter 13.
 *
 * A guest's access arrives at mmio_read()/mmio_write() (BAR 0) or through the IOADDR/IODATA window (BAR 1),
 * is taken to the register's present address if it used one of the 82542's, and then goes by the rows below.
 *
 * Interrupts. Everything that happens sets bits of ICR by e1000_raise(); INTA# follows ICR & IMS, but no
 * sooner than ITR × 256 ns after it was last raised. Reading ICR clears all of it and so lowers the line.
 *
 * Alarms. nic->alarm[] is when something is due, in guest time; the clock's timers only wake us. Pushing an
 * alarm back (as each frame does with RDTR and TIDV) leaves the timer alone: it fires early, sees that it is
 * early, and is set again. Machine thread only.
 */
#include "emu/dev/e1000_internal.h"

#include <gio/gio.h>

enum { VENDOR_INTEL = 0x8086, DEVICE_82540EM = 0x100e, REVISION = 3, CLASS_ETHERNET = 0x020000 };
enum {
    PM_CAPABILITIES = E1000_PM_CAP + 2,
    PM_CONTROL = E1000_PM_CAP + 4,
    PM_STATE = 3,
    PM_PME_STATUS = 0x80
};

/* Moderation spares a busy guest. Its end may come this much late while the guest runs, for a wake-up of the
 * thread costs more than the interrupt; a guest that halts has nothing to be spared, and gets what is held
 * back. That something was sent can wait longest: who waits for it has nothing else to do, and halts. */
enum { LATE_NS = 100000, SENT_LATE_NS = 500000 };

/* Buffers given to the receive ring at once that show a driver with more than a frame to deal with. */
enum { MANY_GIVEN = 4 };

/* ---- alarms ---- */

static void alarm_rings(struct e1000 *nic, enum e1000_alarm which);

static void alarm_fired(void *opaque)
{
    struct e1000_alarm_clock *clock = opaque;
    struct e1000 *nic = clock->nic;
    enum e1000_alarm which = (enum e1000_alarm)(clock - nic->clocks);
    uint64_t when = nic->alarm[which];
    if (!when)
        return;
    if (when > (uint64_t)clock_now(nic->clock) && !clock_is_idle(nic->clock)) {
        clock_timer_set(clock->timer, (int64_t)when);
        return;
    }
    nic->alarm[which] = 0;
    alarm_rings(nic, which);
}

static void pace_over(void *opaque)
{
    e1000_rx_pace_over(opaque);
}

void e1000_alarm_set(struct e1000 *nic, enum e1000_alarm which, int64_t when)
{
    nic->alarm[which] = (uint64_t)MAX(when, 1);
    if (clock_timer_deadline(nic->clocks[which].timer) > when)
        clock_timer_set(nic->clocks[which].timer, when);
}

/* ---- interrupts ---- */

static void update_interrupt(struct e1000 *nic)
{
    bool wanted = *e1000_reg(nic, E1000_ICR) & *e1000_reg(nic, E1000_IMS) && e1000_awake(nic);
    if (!wanted) {
        pci_set_intx(&nic->pci, false);
        return;
    }
    if (nic->pci.intx)
        return;
    uint64_t now = (uint64_t)clock_now(nic->clock);
    uint64_t interval = (uint64_t)(*e1000_reg(nic, E1000_ITR) & 0xffff) * 256;
    if (interval && nic->last_interrupt && now < nic->last_interrupt + interval &&
        !clock_is_idle(nic->clock)) {
        e1000_alarm_set(nic, E1000_ALARM_ITR, (int64_t)(nic->last_interrupt + interval));
        return;
    }
    nic->last_interrupt = MAX(now, 1);
    pci_set_intx(&nic->pci, true);
}

void e1000_raise(struct e1000 *nic, uint32_t causes)
{
    if (!causes)
        return;
    *e1000_reg(nic, E1000_ICR) |= causes;
    trace(E1000, "%s: cause %05x, ICR %05x IMS %05x", nic->pci.device.id, causes, *e1000_reg(nic, E1000_ICR),
          *e1000_reg(nic, E1000_IMS));
    update_interrupt(nic);
}

void e1000_raise_delayed(struct e1000 *nic, enum e1000_alarm packet, uint32_t delay,
                         enum e1000_alarm absolute, uint32_t limit, uint32_t causes)
{
    if (!delay) {
        e1000_raise(nic, causes);
        return;
    }
    int64_t now = clock_now(nic->clock);
    uint64_t due = MIN(nic->alarm[packet] - 1, nic->alarm[absolute] - 1); /* not set is the latest */
    if (due < (uint64_t)now)
        alarm_rings(nic, packet);
    e1000_alarm_set(nic, packet, now + delay * 1024ll);
    if (limit && !nic->alarm[absolute])
        e1000_alarm_set(nic, absolute, now + limit * 1024ll);
}

static void alarm_rings(struct e1000 *nic, enum e1000_alarm which)
{
    switch (which) {
    case E1000_ALARM_AUTONEG:
        e1000_phy_negotiated(nic);
        return;
    case E1000_ALARM_ITR:
        update_interrupt(nic);
        return;
    case E1000_ALARM_RDTR:
    case E1000_ALARM_RADV: /* either ends the wait of both */
        nic->alarm[E1000_ALARM_RDTR] = nic->alarm[E1000_ALARM_RADV] = 0;
        e1000_raise(nic, E1000_INT_RXT0);
        return;
    case E1000_ALARM_TIDV:
    case E1000_ALARM_TADV:
        nic->alarm[E1000_ALARM_TIDV] = nic->alarm[E1000_ALARM_TADV] = 0;
        e1000_raise(nic, E1000_INT_TXDW);
        return;
    case E1000_ALARM_TRANSMIT:
    case E1000_ALARM_PAUSE:
        e1000_tx_run(nic);
        return;
    case E1000_ALARM_COUNT:
        return;
    }
}

/* ---- DMA ---- */

bool e1000_awake(const struct e1000 *nic)
{
    return pci_get16(&nic->pci, PCI_COMMAND) & PCI_COMMAND_MASTER &&
           !(nic->pci.config[PM_CONTROL] & PM_STATE);
}

static size_t to_page_end(uint64_t addr, size_t length)
{
    return MIN(length, PHYS_PAGE_SIZE - (size_t)(addr & PHYS_PAGE_MASK));
}

const uint8_t *e1000_dma_source(struct e1000 *nic, uint64_t addr, size_t *length)
{
    struct phys_slice slice;
    physmap_lookup(nic->mem, addr, &slice);
    if (!slice.read) {
        *length = to_page_end(addr, *length);
        return NULL;
    }
    *length = (size_t)MIN((uint64_t)*length, slice.run);
    return slice.read;
}

uint8_t *e1000_dma_target(struct e1000 *nic, uint64_t addr, size_t *length)
{
    size_t wanted = *length;
    uint8_t *to = phys_map(nic->mem, addr, length, true);
    if (!to)
        *length = to_page_end(addr, wanted);
    return to;
}

void e1000_dma_read(struct e1000 *nic, uint64_t addr, void *to, size_t length)
{
    uint8_t *out = to;
    while (length) {
        size_t n = length;
        const uint8_t *from = e1000_dma_source(nic, addr, &n);
        if (from)
            memcpy(out, from, n);
        else
            memset(out, 0xff, n);
        out += n;
        addr += n;
        length -= n;
    }
}

void e1000_dma_write(struct e1000 *nic, uint64_t addr, const void *from, size_t length)
{
    const uint8_t *in = from;
    while (length) {
        size_t n = length;
        uint8_t *to = e1000_dma_target(nic, addr, &n);
        if (to)
            memmove(to, in, n); /* in loopback a frame may come from where it goes */
        in += n;
        addr += n;
        length -= n;
    }
}

/* ---- registers ---- */

void e1000_count_size(struct e1000 *nic, uint32_t first, size_t size, uint32_t frames)
{
    static const uint16_t upto[] = {64, 127, 255, 511, 1023};
    uint32_t class = 0;
    while (class < G_N_ELEMENTS(upto) && size > upto[class])
        class ++;
    e1000_count(nic, first + 4 * class, frames);
}

/* What CTRL.RST brings about: all of the MAC but what survives it (13.4.1), and the address from the EEPROM.
 */
static void reset_mac(struct e1000 *nic);

static void ctrl_written(void *opaque, unsigned i, uint32_t value)
{
    struct e1000 *nic = opaque;
    if (value & E1000_CTRL_RST) {
        reset_mac(nic);
        return;
    }
    if (value & E1000_CTRL_PHY_RST)
        e1000_phy_reset(nic);
    else
        e1000_phy_update(nic); /* SLU */
}

static void ctrl_ext_written(void *opaque, unsigned i, uint32_t value)
{
    struct e1000 *nic = opaque;
    if (value & E1000_CTRL_EXT_EE_RST)
        e1000_eeprom_load_address(nic);
}

static uint32_t status_read(void *opaque, unsigned i)
{
    return e1000_status(opaque);
}

static uint32_t eecd_read(void *opaque, unsigned i)
{
    return e1000_eecd_read(opaque);
}

static void eecd_written(void *opaque, unsigned i, uint32_t value)
{
    e1000_eecd_written(opaque, value);
}

static void eerd_written(void *opaque, unsigned i, uint32_t value)
{
    e1000_eerd_written(opaque, value);
}

static void mdic_written(void *opaque, unsigned i, uint32_t value)
{
    e1000_mdic_written(opaque, value);
}

static uint32_t icr_read(void *opaque, unsigned i)
{
    struct e1000 *nic = opaque;
    uint32_t causes = *e1000_reg(nic, E1000_ICR);
    *e1000_reg(nic, E1000_ICR) = 0;
    update_interrupt(nic);
    return causes;
}

static void icr_written(void *opaque, unsigned i, uint32_t value)
{
    update_interrupt(opaque); /* ones have cleared their bits */
}

/* Write-only in the manual; parts in the field answer with the causes. */
static uint32_t ics_read(void *opaque, unsigned i)
{
    return *e1000_reg(opaque, E1000_ICR);
}

static void ics_written(void *opaque, unsigned i, uint32_t value)
{
    e1000_raise(opaque, value & E1000_INT_ALL);
}

static void ims_written(void *opaque, unsigned i, uint32_t value)
{
    struct e1000 *nic = opaque;
    *e1000_reg(nic, E1000_IMS) |= value & E1000_INT_ALL;
    if (value & E1000_INT_RXT0) {
        nic->rx_unmasked = true;
        e1000_rx_unpace(nic);
    }
    update_interrupt(nic);
    if (value & E1000_INT_RXT0 && !nic->pci.intx) /* the driver thinks that it has seen everything */
        net_poll(nic->port);
}

static void imc_written(void *opaque, unsigned i, uint32_t value)
{
    struct e1000 *nic = opaque;
    *e1000_reg(nic, E1000_IMS) &= ~value;
    update_interrupt(nic);
}

static void receive_written(void *opaque, unsigned i, uint32_t value)
{
    e1000_rx_room(opaque);
}

static void rdt_written(void *opaque, unsigned i, uint32_t value)
{
    struct e1000 *nic = opaque;
    bool unmasked = *e1000_reg(nic, E1000_IMS) & E1000_INT_RXT0;
    uint32_t size = e1000_ring_size(*e1000_reg(nic, E1000_RDLEN));
    uint32_t given = value >= nic->last_tail ? value - nic->last_tail : value + size - nic->last_tail;
    nic->last_tail = value;
    if (unmasked)
        e1000_rx_unpace(nic); /* it works without masking interrupts */
    e1000_rx_room(nic);
    if (unmasked || given >= MANY_GIVEN) /* else it is about to unmask it, which asks as well */
        net_poll(nic->port);
}

static void rdtr_written(void *opaque, unsigned i, uint32_t value)
{
    struct e1000 *nic = opaque;
    if (value & E1000_RDTR_FPD && (nic->alarm[E1000_ALARM_RDTR] || nic->alarm[E1000_ALARM_RADV]))
        alarm_rings(nic, E1000_ALARM_RDTR);
}

static void transmit_written(void *opaque, unsigned i, uint32_t value)
{
    e1000_tx_run(opaque);
}

static void ra_written(void *opaque, unsigned i, uint32_t value)
{
    struct e1000 *nic = opaque;
    if (i & 1)
        *e1000_reg(nic, E1000_RA + 4 * i) &= 0x8003ffff;
}

/* The high half of a 64-bit count clears both when it is read. */
static uint32_t octets_high_read(void *opaque, unsigned offset)
{
    struct e1000 *nic = opaque;
    uint32_t value = *e1000_reg(nic, offset);
    *e1000_reg(nic, offset) = *e1000_reg(nic, offset - 4) = 0;
    return value;
}

static uint32_t gorch_read(void *opaque, unsigned i)
{
    return octets_high_read(opaque, E1000_GORCH);
}

static uint32_t gotch_read(void *opaque, unsigned i)
{
    return octets_high_read(opaque, E1000_GOTCH);
}

static uint32_t torh_read(void *opaque, unsigned i)
{
    return octets_high_read(opaque, E1000_TORH);
}

static uint32_t toth_read(void *opaque, unsigned i)
{
    return octets_high_read(opaque, E1000_TOTH);
}

#define ROW(register_, ...)                                                                                  \
    {                                                                                                        \
        .offset = E1000_##register_, .index = E1000_##register_ / 4, .name = #register_, __VA_ARGS__         \
    }
#define PLAIN(register_, mask) ROW(register_, .writable = (mask))
#define COUNTER(register_)     ROW(register_, .clear_on_read = true)
#define COUNTERS(register_, n) ROW(register_, .clear_on_read = true, .count = (n))

static const struct reg_row rows[] = {
    ROW(CTRL, .reset = E1000_CTRL_FD | E1000_CTRL_SLU | 2u << 8 | 1u << 20, .writable = ~E1000_CTRL_RST,
        .on_write = ctrl_written),
    ROW(STATUS, .on_read = status_read),
    ROW(EECD, .writable = E1000_EECD_SK | E1000_EECD_CS | E1000_EECD_DI | E1000_EECD_FWE | E1000_EECD_REQ,
        .reset = 1u << 4, .on_read = eecd_read, .on_write = eecd_written),
    ROW(EERD, .on_write = eerd_written),
    ROW(CTRL_EXT, .writable = ~E1000_CTRL_EXT_EE_RST, .on_write = ctrl_ext_written),
    PLAIN(FLA, 0xffffffff),
    ROW(MDIC, .reset = E1000_MDIC_R, .on_write = mdic_written),
    PLAIN(FCAL, 0xffffffff),
    PLAIN(FCAH, 0xffff),
    PLAIN(FCT, 0xffff),
    ROW(VET, .reset = 0x8100, .writable = 0xffff),
    ROW(ICR, .w1c = E1000_INT_ALL, .on_read = icr_read, .on_write = icr_written),
    PLAIN(ITR, 0xffff),
    ROW(ICS, .on_read = ics_read, .on_write = ics_written),
    ROW(IMS, .on_write = ims_written),
    ROW(IMC, .on_write = imc_written),
    ROW(RCTL, .writable = 0x06dfb3fe, .on_write = receive_written),
    PLAIN(FCTTV, 0xffff),
    PLAIN(TXCW, 0xc000ffff),
    ROW(RXCW),
    ROW(TCTL, .writable = 0x03fffffa, .on_write = transmit_written),
    ROW(TIPG, .reset = 0x00602008, .writable = 0x3fffffff),
    PLAIN(TBT, 0xffffffff),
    PLAIN(AIT, 0xffff),
    ROW(LEDCTL, .reset = 0x07068302, .writable = 0xcfcfcfcf),
    ROW(PBA, .reset = 0x00100030, .writable = 0xffff),
    PLAIN(FCRTL, 0x8000fff8),
    PLAIN(FCRTH, 0xfff8),
    PLAIN(RDFH, 0x1fff),
    PLAIN(RDFT, 0x1fff),
    PLAIN(RDFHS, 0x1fff),
    PLAIN(RDFTS, 0x1fff),
    PLAIN(RDFPC, 0x1fff),
    PLAIN(RDBAL, 0xfffffff0),
    PLAIN(RDBAH, 0xffffffff),
    ROW(RDLEN, .writable = 0xfff80, .on_write = receive_written),
    PLAIN(RDH, 0xffff),
    ROW(RDT, .writable = 0xffff, .on_write = rdt_written),
    ROW(RDTR, .writable = 0xffff, .on_write = rdtr_written),
    ROW(RXDCTL, .reset = 1u << 16, .writable = 0x013f3f3f),
    PLAIN(RADV, 0xffff),
    PLAIN(RSRPD, 0xfff),
    PLAIN(TXDMAC, 1),
    PLAIN(TDFH, 0x1fff),
    PLAIN(TDFT, 0x1fff),
    PLAIN(TDFHS, 0x1fff),
    PLAIN(TDFTS, 0x1fff),
    PLAIN(TDFPC, 0x1fff),
    PLAIN(TDBAL, 0xfffffff0),
    PLAIN(TDBAH, 0xffffffff),
    PLAIN(TDLEN, 0xfff80),
    PLAIN(TDH, 0xffff),
    ROW(TDT, .writable = 0xffff, .on_write = transmit_written),
    PLAIN(TIDV, 0xffff),
    PLAIN(TXDCTL, 0xff3f3f3f),
    PLAIN(TADV, 0xffff),
    ROW(TSPMT, .reset = 0x01000400, .writable = 0xffffffff),
    COUNTER(CRCERRS),
    COUNTER(ALGNERRC),
    COUNTER(SYMERRS),
    COUNTER(RXERRC),
    COUNTER(MPC),
    COUNTER(SCC),
    COUNTER(ECOL),
    COUNTER(MCC),
    COUNTER(LATECOL),
    COUNTER(COLC),
    COUNTER(DC),
    COUNTER(TNCRS),
    COUNTER(SEC),
    COUNTER(CEXTERR),
    COUNTER(RLEC),
    COUNTER(XONRXC),
    COUNTER(XONTXC),
    COUNTER(XOFFRXC),
    COUNTER(XOFFTXC),
    COUNTER(FCRUC),
    COUNTERS(PRC64, 6),
    COUNTER(GPRC),
    COUNTER(BPRC),
    COUNTER(MPRC),
    COUNTER(GPTC),
    ROW(GORCL),
    ROW(GORCH, .on_read = gorch_read),
    ROW(GOTCL),
    ROW(GOTCH, .on_read = gotch_read),
    COUNTER(RNBC),
    COUNTER(RUC),
    COUNTER(RFC),
    COUNTER(ROC),
    COUNTER(RJC),
    COUNTER(MGTPRC),
    COUNTER(MGTPDC),
    COUNTER(MGTPTC),
    ROW(TORL),
    ROW(TORH, .on_read = torh_read),
    ROW(TOTL),
    ROW(TOTH, .on_read = toth_read),
    COUNTER(TPR),
    COUNTER(TPT),
    COUNTERS(PTC64, 6),
    COUNTER(MPTC),
    COUNTER(BPTC),
    COUNTER(TSCTC),
    COUNTER(TSCTFC),
    PLAIN(RXCSUM, 0x7ff),
    ROW(MTA, .count = 128, .writable = 0xffffffff),
    ROW(RA, .count = 32, .writable = 0xffffffff, .on_write = ra_written),
    ROW(VFTA, .count = 128, .writable = 0xffffffff),
    PLAIN(WUC, 0xf),
    PLAIN(WUFC, 0xf00ff),
    ROW(WUS, .w1c = 0xf00ff),
    PLAIN(MANC, 0xffffffff),
    PLAIN(IPAV, 0x1000e),
    ROW(IP4AT, .count = 8, .writable = 0xffffffff),
    ROW(IP6AT, .count = 4, .writable = 0xffffffff),
    PLAIN(WUPL, 0xfff),
    ROW(WUPM, .count = 32, .writable = 0xffffffff),
    ROW(FFLT, .count = 8, .writable = 0x7ff),
};

static const struct reg_file registers = {
    .name = "e1000", .trace = TRACE_E1000, .rows = rows, .count = G_N_ELEMENTS(rows)};

/* Where the 82542 had registers that moved since; the 82540EM still answers there (13.2, "alias"). */
static const struct {
    uint16_t first, count, now;
} aliases[] = {
    {0x0004, 1, E1000_CTRL},  {0x0040, 32, E1000_RA},    {0x0108, 1, E1000_RDTR},  {0x0110, 3, E1000_RDBAL},
    {0x0120, 1, E1000_RDH},   {0x0128, 1, E1000_RDT},    {0x0160, 1, E1000_FCRTH}, {0x0168, 1, E1000_FCRTL},
    {0x0200, 128, E1000_MTA}, {0x0420, 3, E1000_TDBAL},  {0x0430, 1, E1000_TDH},   {0x0438, 1, E1000_TDT},
    {0x0440, 1, E1000_TIDV},  {0x0600, 128, E1000_VFTA}, {0x8000, 1, E1000_RDFH},  {0x8008, 1, E1000_RDFT},
    {0x8010, 1, E1000_TDFH},  {0x8018, 1, E1000_TDFT},
};

static uint32_t present_address(uint32_t offset)
{
    if (offset >= 0x0800 && offset < 0x8000)
        return offset;
    for (unsigned i = 0; i < G_N_ELEMENTS(aliases); i++)
        if (offset >= aliases[i].first && offset < aliases[i].first + 4u * aliases[i].count)
            return aliases[i].now + (offset - aliases[i].first);
    return offset;
}

static uint32_t mmio_read(void *opaque, uint32_t offset, unsigned size)
{
    struct e1000 *nic = opaque;
    if (nic->pci.config[PM_CONTROL] & PM_STATE)
        return 0xffffffff;
    uint32_t value = regs_read(&nic->registers, nic->reg, nic, present_address(offset & ~3u));
    value >>= 8 * (offset & 3);
    return size == 4 ? value : value & ((1u << 8 * size) - 1);
}

static void mmio_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct e1000 *nic = opaque;
    if (nic->pci.config[PM_CONTROL] & PM_STATE)
        return;
    if (size != 4 || offset & 3) {
        trace(E1000, "%s: write of %u bytes at 0x%05x ignored: registers take whole double words",
              nic->pci.device.id, size, offset);
        return;
    }
    regs_write(&nic->registers, nic->reg, nic, present_address(offset), value);
}

static const struct mmio_ops mmio_ops = {.read = mmio_read, .write = mmio_write};

/* 13.1.1: IOADDR at +0, IODATA at +4. */
static uint32_t io_read(void *opaque, uint16_t port, unsigned size)
{
    struct e1000 *nic = opaque;
    uint32_t offset = port - pci_bar_base(&nic->pci, 1), value = 0;
    if (offset < 4)
        value = nic->io_address >> 8 * offset;
    else if (offset < 8 && nic->io_address < E1000_BAR_SIZE)
        value = mmio_read(nic, nic->io_address & ~3u, 4) >> 8 * (offset - 4);
    return size == 4 ? value : value & ((1u << 8 * size) - 1);
}

static void io_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct e1000 *nic = opaque;
    uint32_t offset = port - pci_bar_base(&nic->pci, 1);
    if (size != 4) {
        trace(E1000, "%s: I/O write of %u bytes at +%u ignored", nic->pci.device.id, size, offset);
        return;
    }
    if (offset == 0)
        nic->io_address = value;
    else if (offset == 4 && nic->io_address < E1000_BAR_SIZE)
        mmio_write(nic, nic->io_address & ~3u, value, 4);
}

static const struct portio_ops io_ops = {.read = io_read, .write = io_write, .max_size = 4};

/* ---- reset ---- */

static void reset_mac(struct e1000 *nic)
{
    uint32_t packet_buffer = *e1000_reg(nic, E1000_PBA); /* takes effect by this very reset (13.4.36) */
    regs_reset(&nic->registers, nic->reg);
    *e1000_reg(nic, E1000_PBA) = packet_buffer;
    for (unsigned i = 0; i < E1000_ALARM_COUNT; i++)
        if (i != E1000_ALARM_AUTONEG) /* the PHY is not reset */
            e1000_alarm_cancel(nic, (enum e1000_alarm)i);
    nic->last_interrupt = 0;
    nic->ee_phase = E1000_EE_IDLE;
    nic->ee_lines = nic->ee_bits = 0;
    nic->ee_output = true;
    e1000_eeprom_load_address(nic);
    e1000_tx_reset(nic);
    e1000_rx_reset(nic);
    update_interrupt(nic);
    e1000_phy_update(nic);
}

static void e1000_reset(struct device *device)
{
    struct e1000 *nic = (struct e1000 *)device;
    pci_device_reset(&nic->pci);
    pci_set16(&nic->pci, PM_CONTROL, 0);
    nic->io_address = 0;
    nic->ee_writable = false;
    *e1000_reg(nic, E1000_PBA) = 0x00100030;
    nic->link = nic->phy_link = false;
    e1000_alarm_cancel(nic, E1000_ALARM_AUTONEG);
    reset_mac(nic);
    e1000_phy_reset(nic);
    *e1000_reg(nic, E1000_ICR) = 0; /* the link's coming and going was before power was good */
    update_interrupt(nic);
}

/* Bus mastering switched on lets the rings go on; leaving D3 resets the function (PM 1.1, no soft reset bit).
 */
static void config_written(struct pci_device *pci, uint8_t offset, unsigned size)
{
    struct e1000 *nic = (struct e1000 *)pci;
    bool asleep = pci->config[PM_CONTROL] & PM_STATE;
    if (offset <= PM_CONTROL && offset + size > PM_CONTROL) {
        if ((pci->config[PM_CONTROL] & PM_STATE) == 1 || (pci->config[PM_CONTROL] & PM_STATE) == 2)
            pci->config[PM_CONTROL] &= (uint8_t)~PM_STATE; /* D1 and D2 do not exist */
        asleep = pci->config[PM_CONTROL] & PM_STATE;
        trace(E1000, "%s: power state D%u", pci->device.id, pci->config[PM_CONTROL] & PM_STATE);
        if (nic->asleep && !asleep)
            reset_mac(nic);
        nic->asleep = asleep;
    }
    if (offset > PCI_COMMAND + 1 && offset < E1000_PM_CAP)
        return;
    update_interrupt(nic);
    if (e1000_awake(nic))
        e1000_tx_run(nic);
    e1000_rx_room(nic);
}

/* ---- saved state ---- */

static bool refuse(const struct e1000 *nic, GError **error, const char *what)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "%s: saved state has %s; the file is damaged, save it again", nic->pci.device.id, what);
    return false;
}

static bool offload_possible(const struct net_offload *offload)
{
    return offload->gso == NET_GSO_NONE || offload->gso == NET_GSO_TCPV4 || offload->gso == NET_GSO_TCPV6 ||
           offload->gso == NET_GSO_UDP;
}

static bool after_load(void *opaque, GError **error)
{
    struct e1000 *nic = opaque;
    if (nic->ee_phase >= E1000_EE_PHASES || nic->ee_bits > 16)
        return refuse(nic, error, "an impossible EEPROM command");
    if (nic->tx_length > sizeof nic->tx_fifo || nic->rx_length > sizeof nic->rx_fifo)
        return refuse(nic, error, "a frame longer than the packet buffer");
    if (!offload_possible(&nic->tx_offload) || !offload_possible(&nic->rx_offload))
        return refuse(nic, error, "an unknown kind of burst");
    if (!pci_after_load(&nic->pci, error))
        return false;
    nic->asleep = nic->pci.config[PM_CONTROL] & PM_STATE;
    for (unsigned i = 0; i < E1000_ALARM_COUNT; i++) {
        nic->alarm[i] = MIN(nic->alarm[i], (uint64_t)CLOCK_NEVER - 1);
        clock_timer_set(nic->clocks[i].timer, nic->alarm[i] ? (int64_t)nic->alarm[i] : CLOCK_NEVER);
    }
    if (!nic->alarm[E1000_ALARM_TRANSMIT]) /* a peer that was full may be another one now */
        e1000_alarm_set(nic, E1000_ALARM_TRANSMIT, clock_now(nic->clock));
    nic->rx_pieces = 0;
    nic->rx_paced = false;
    nic->rx_unmasked = *e1000_reg(nic, E1000_IMS) & E1000_INT_RXT0;
    if (nic->rx_held || nic->rx_starved) /* nobody may be going to say that there is room */
        clock_timer_set(nic->pace, clock_now(nic->clock));
    e1000_phy_update(nic); /* the cable may not be what it was */
    return true;
}

static const struct state_field fields[] = {
    PCI_STATE_ROWS(struct e1000),
    STATE_ARRAY(struct e1000, U32, reg),
    STATE(struct e1000, U32, io_address),
    STATE_ARRAY(struct e1000, U64, alarm),
    STATE(struct e1000, U64, last_interrupt),
    STATE_ARRAY(struct e1000, U16, phy),
    STATE(struct e1000, BOOL, phy_link),
    STATE(struct e1000, BOOL, link),
    STATE_ARRAY(struct e1000, U16, eeprom),
    STATE(struct e1000, U8, ee_phase),
    STATE(struct e1000, U8, ee_lines),
    STATE(struct e1000, U8, ee_bits),
    STATE(struct e1000, U8, ee_command),
    STATE(struct e1000, U32, ee_shift),
    STATE(struct e1000, BOOL, ee_output),
    STATE(struct e1000, BOOL, ee_writable),
    STATE_ARRAY(struct e1000, U32, tx_context),
    STATE(struct e1000, BOOL, tx_open),
    STATE(struct e1000, BOOL, tx_bad),
    STATE(struct e1000, BOOL, tx_burst),
    STATE(struct e1000, U8, tx_options),
    STATE(struct e1000, BOOL, tx_blocked),
    STATE(struct e1000, U32, tx_piece),
    STATE(struct e1000, BOOL, tx_offload.needs_checksum),
    STATE(struct e1000, U16, tx_offload.checksum_start),
    STATE(struct e1000, U16, tx_offload.checksum_offset),
    STATE(struct e1000, BOOL, tx_offload.checksum_good),
    STATE(struct e1000, U32, tx_offload.gso),
    STATE(struct e1000, U16, tx_offload.gso_size),
    STATE(struct e1000, U16, tx_offload.header_length),
    STATE(struct e1000, U32, tx_length),
    STATE_ARRAY(struct e1000, BYTES, tx_fifo),
    STATE(struct e1000, BOOL, rx_starved),
    STATE(struct e1000, BOOL, rx_held),
    STATE(struct e1000, BOOL, rx_inexact),
    STATE(struct e1000, U32, rx_piece),
    STATE(struct e1000, BOOL, rx_offload.needs_checksum),
    STATE(struct e1000, U16, rx_offload.checksum_start),
    STATE(struct e1000, U16, rx_offload.checksum_offset),
    STATE(struct e1000, BOOL, rx_offload.checksum_good),
    STATE(struct e1000, U32, rx_offload.gso),
    STATE(struct e1000, U16, rx_offload.gso_size),
    STATE(struct e1000, U16, rx_offload.header_length),
    STATE(struct e1000, U32, rx_length),
    STATE_ARRAY(struct e1000, BYTES, rx_fifo),
};
G_STATIC_ASSERT(sizeof(((struct net_offload *)0)->gso) == 4);

static const struct state_table state = {
    .name = "e1000", .version = 1, .fields = fields, .count = G_N_ELEMENTS(fields), .after_load = after_load};

/* ---- life ---- */

static void port_link_changed(void *opaque, bool up)
{
    e1000_phy_cable(opaque, up);
}

static void port_room(void *opaque)
{
    e1000_tx_run(opaque);
}

static const struct net_ops port_ops = {
    .kind = "e1000", .receive = e1000_receive, .room = port_room, .link_changed = port_link_changed};

static void e1000_free(struct device *device)
{
    struct e1000 *nic = (struct e1000 *)device;
    net_port_free(nic->port);
    pci_device_remove(&nic->pci);
    for (unsigned i = 0; i < E1000_ALARM_COUNT; i++)
        clock_timer_free(nic->clocks[i].timer);
    clock_timer_free(nic->pace);
    g_free(nic);
}

const struct device_class e1000_class = {
    .name = "e1000", .state = &state, .reset = e1000_reset, .free = e1000_free};

void e1000_default_mac(unsigned n, uint8_t mac[6])
{
    static const uint8_t first[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
    memcpy(mac, first, 6);
    mac[5] = (uint8_t)(mac[5] + n);
}

struct net_port *e1000_port(struct device *device)
{
    return ((struct e1000 *)device)->port;
}

static void add_power_management(struct pci_device *pci)
{
    pci->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    pci->config[PCI_CAPABILITIES] = E1000_PM_CAP;
    pci->config[E1000_PM_CAP] = 1; /* power management, the last one in the list */
    pci_set16(pci, PM_CAPABILITIES,
              0xc822); /* version 2, device-specific initialization, PME from D0 and D3 */
    pci->wmask[PM_CONTROL] = PM_STATE;
    pci->wmask[PM_CONTROL + 1] = 0x1f; /* PME enable, data select */
    pci->w1c[PM_CONTROL + 1] = PM_PME_STATUS;
}

struct device *e1000_new(struct pci_bus *bus, int slot, const struct e1000_config *config,
                         struct clock *clock, GError **error)
{
    static const uint8_t none[6];
    const uint8_t *mac = config->mac;
    if (mac[0] & 1) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
            "%s: %02x:%02x:%02x:%02x:%02x:%02x is a group address and cannot be a NIC's own; give a mac= "
            "whose first byte is even",
            config->id, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
        return NULL;
    }
    struct e1000 *nic = g_new0(struct e1000, 1);
    if (memcmp(mac, none, sizeof none) == 0)
        e1000_default_mac(0, nic->mac);
    else
        memcpy(nic->mac, mac, sizeof nic->mac);
    if (!pci_device_init(&nic->pci, bus, &e1000_class, config->id, slot, 0, VENDOR_INTEL, DEVICE_82540EM,
                         CLASS_ETHERNET, REVISION, error)) {
        g_free(nic);
        return NULL;
    }
    struct pci_device *pci = &nic->pci;
    nic->registers = registers;
    nic->registers.name = pci->device.id;
    nic->clock = clock;
    nic->mem = pci_bus_memory(bus);
    pci_set16(pci, PCI_SUBSYSTEM_VENDOR_ID, 0x8086);
    pci_set16(pci, PCI_SUBSYSTEM_ID, 0x001e);
    pci->config[PCI_INTERRUPT_PIN] = 1;
    pci->config[0x3e] = 0xff; /* MIN_GNT */
    pci->config_written = config_written;
    add_power_management(pci);
    regs_check(&nic->registers, G_N_ELEMENTS(nic->reg));
    pci_add_memory_bar(pci, 0, E1000_BAR_SIZE, &mmio_ops, nic);
    pci_add_io_bar(pci, 1, E1000_IO_BAR_SIZE, &io_ops, nic);
    if (config->rom)
        pci_add_rom(pci, config->rom, config->rom_size);
    for (unsigned i = 0; i < E1000_ALARM_COUNT; i++) {
        nic->clocks[i].nic = nic;
        nic->clocks[i].timer = clock_timer_new(clock, alarm_fired, &nic->clocks[i]);
        if (i == E1000_ALARM_ITR || i == E1000_ALARM_TIDV || i == E1000_ALARM_TADV || i == E1000_ALARM_RDTR ||
            i == E1000_ALARM_RADV)
            clock_timer_relax(nic->clocks[i].timer,
                              i == E1000_ALARM_TIDV || i == E1000_ALARM_TADV ? SENT_LATE_NS : LATE_NS);
    }
    nic->pace = clock_timer_new(clock, pace_over, nic);
    nic->port = net_port_new(config->id, &port_ops, nic, NET_CAN_CHECKSUM | NET_CAN_TSO4 | NET_CAN_TSO6);
    e1000_crc_init(nic);
    e1000_eeprom_init(nic);
    e1000_reset(&pci->device);
    return &pci->device;
}
