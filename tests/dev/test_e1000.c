/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The 82540EM seen through its registers: configuration space, reset values, EEPROM by EERD and bit by bit,
 * PHY and link, interrupts and their moderation, the I/O window, power states, and saved state.
 */
#include "emu/dev/e1000_internal.h"
#include "tests/dev/e1000_rig.h"

static struct rig *idle_rig(void)
{
    return rig_new(0);
}

/* ---- configuration space ---- */

static void test_config_space(void)
{
    struct rig *rig = idle_rig();
    g_assert_cmphex(pci_config_read(rig->bus, rig->devfn, 0, 4), ==, 0x100e8086);
    g_assert_cmphex(pci_config_read(rig->bus, rig->devfn, PCI_REVISION, 4) >> 8, ==, 0x020000);
    g_assert_cmphex(pci_config_read(rig->bus, rig->devfn, PCI_SUBSYSTEM_VENDOR_ID, 4), ==, 0x001e8086);
    g_assert_cmphex(pci_config_read(rig->bus, rig->devfn, PCI_INTERRUPT_PIN, 1), ==, 1);
    /* sizing */
    pci_config_write(rig->bus, rig->devfn, PCI_BAR0, 0xffffffff, 4);
    g_assert_cmphex(pci_config_read(rig->bus, rig->devfn, PCI_BAR0, 4), ==, 0xfffe0000);
    pci_config_write(rig->bus, rig->devfn, PCI_BAR0 + 4, 0xffffffff, 4);
    g_assert_cmphex(pci_config_read(rig->bus, rig->devfn, PCI_BAR0 + 4, 4), ==, 0xffffffc1);
    /* the power management capability, alone in its list */
    g_assert_true(pci_config_read(rig->bus, rig->devfn, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
    uint8_t at = (uint8_t)pci_config_read(rig->bus, rig->devfn, PCI_CAPABILITIES, 1);
    g_assert_cmphex(at, ==, 0xdc);
    g_assert_cmphex(pci_config_read(rig->bus, rig->devfn, at, 2), ==, 0x0001);
    g_assert_cmphex(pci_config_read(rig->bus, rig->devfn, at + 2, 2) & 7, ==, 2);
    rig_free(rig);
}

static void test_reset_values(void)
{
    struct rig *rig = idle_rig();
    static const struct {
        uint32_t reg, value;
    } wanted[] = {
        {E1000_RCTL, 0},     {E1000_TCTL, 0},       {E1000_IMS, 0},   {E1000_ICR, 0},
        {E1000_VET, 0x8100}, {E1000_PBA, 0x100030}, {E1000_TDH, 0},   {E1000_TDT, 0},
        {E1000_RDH, 0},      {E1000_RDT, 0},        {E1000_ITR, 0},   {E1000_MTA, 0},
        {E1000_VFTA, 0},     {E1000_RXCSUM, 0},     {E1000_TDLEN, 0}, {E1000_LEDCTL, 0x07068302},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(wanted); i++)
        g_assert_cmphex(rig_read(rig, wanted[i].reg), ==, wanted[i].value);
    g_assert_true(rig_read(rig, E1000_CTRL) & E1000_CTRL_SLU);
    g_assert_true(rig_read(rig, E1000_EECD) & E1000_EECD_PRES);
    /* the address from the EEPROM */
    g_assert_cmphex(rig_read(rig, E1000_RA), ==, 0x12005452);
    g_assert_cmphex(rig_read(rig, E1000_RA + 4), ==, 0x80005634);
    for (uint32_t i = 1; i < 16; i++)
        g_assert_cmphex(rig_read(rig, E1000_RA + 8 * i + 4), ==, 0);
    rig_free(rig);
}

/* What `ethtool -t` of Linux's driver writes and reads back. */
static void test_register_masks(void)
{
    struct rig *rig = idle_rig();
    static const struct {
        uint32_t reg, mask, write;
    } rows[] = {
        {E1000_FCAL, 0xffffffff, 0xffffffff},
        {E1000_FCAH, 0xffff, 0xffffffff},
        {E1000_FCT, 0xffff, 0xffffffff},
        {E1000_VET, 0xffff, 0xffffffff},
        {E1000_RDTR, 0xffff, 0x7fffffff},
        {E1000_RDBAH, 0xffffffff, 0xffffffff},
        {E1000_RDLEN, 0xfff80, 0xfffff},
        {E1000_RDH, 0xffff, 0xffff},
        {E1000_RDT, 0xffff, 0xffff},
        {E1000_FCRTH, 0xfff8, 0xfff8},
        {E1000_FCTTV, 0xffff, 0xffff},
        {E1000_TIPG, 0x3fffffff, 0x3fffffff},
        {E1000_TDBAH, 0xffffffff, 0xffffffff},
        {E1000_TDLEN, 0xfff80, 0xfffff},
        {E1000_RDBAL, 0xfffffff0, 0xffffffff},
        {E1000_TDBAL, 0xfffffff0, 0xffffffff},
        {E1000_TXCW, 0xc000ffff, 0xffffffff},
        {E1000_TIDV, 0xffff, 0xffff},
        {E1000_MTA + 4 * 127, 0xffffffff, 0xffffffff},
        {E1000_VFTA + 4 * 64, 0xffffffff, 0xffffffff},
        {E1000_RA + 4 * 30, 0xffffffff, 0xffffffff},
        {E1000_RA + 4 * 31, 0x8003ffff, 0xffffffff},
    };
    static const uint32_t patterns[] = {0x5a5a5a5a, 0xa5a5a5a5, 0x00000000, 0xffffffff};
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        for (unsigned p = 0; p < G_N_ELEMENTS(patterns); p++) {
            rig_write(rig, rows[i].reg, patterns[p] & rows[i].write);
            g_assert_cmphex(rig_read(rig, rows[i].reg), ==, patterns[p] & rows[i].write & rows[i].mask);
        }
    /* read-only and unknown */
    uint32_t status = rig_read(rig, E1000_STATUS);
    rig_write(rig, E1000_STATUS, ~status);
    g_assert_cmphex(rig_read(rig, E1000_STATUS), ==, status);
    rig_write(rig, 0x1f000, 0x12345678);
    g_assert_cmphex(rig_read(rig, 0x1f000), ==, 0);
    rig_free(rig);
}

static void test_aliases_and_widths(void)
{
    struct rig *rig = idle_rig();
    rig_write(rig, 0x0420, 0x123450); /* TDBAL where the 82542 had it */
    g_assert_cmphex(rig_read(rig, E1000_TDBAL), ==, 0x123450);
    rig_write(rig, 0x0204, 0xcafe);
    g_assert_cmphex(rig_read(rig, E1000_MTA + 4), ==, 0xcafe);
    g_assert_cmphex(rig_read(rig, 0x0040), ==, rig_read(rig, E1000_RA));
    g_assert_cmphex(rig_read(rig, E1000_CTRL_DUP), ==, rig_read(rig, E1000_CTRL));
    /* narrow reads see their part, narrow writes nothing */
    g_assert_cmphex(phys_read16(rig->mem, RIG_BAR0 + E1000_TDBAL), ==, 0x3450);
    g_assert_cmphex(phys_read8(rig->mem, RIG_BAR0 + E1000_TDBAL + 2), ==, 0x12);
    phys_write16(rig->mem, RIG_BAR0 + E1000_TDBAL, 0xffff);
    g_assert_cmphex(rig_read(rig, E1000_TDBAL), ==, 0x123450);
    rig_free(rig);
}

static void test_io_window(void)
{
    struct rig *rig = idle_rig();
    portio_write(rig->io, RIG_BAR1, E1000_TDBAL, 4);
    g_assert_cmphex(portio_read(rig->io, RIG_BAR1, 4), ==, E1000_TDBAL);
    portio_write(rig->io, RIG_BAR1 + 4, 0xabcd0, 4);
    g_assert_cmphex(rig_read(rig, E1000_TDBAL), ==, 0xabcd0);
    g_assert_cmphex(portio_read(rig->io, RIG_BAR1 + 4, 4), ==, 0xabcd0);
    g_assert_cmphex(portio_read(rig->io, RIG_BAR1 + 4, 2), ==, 0xbcd0);
    portio_write(rig->io, RIG_BAR1, 0x20000, 4); /* beyond the registers */
    portio_write(rig->io, RIG_BAR1 + 4, 1, 4);
    g_assert_cmphex(portio_read(rig->io, RIG_BAR1 + 4, 4), ==, 0);
    /* Linux resets this part through the window */
    rig_write(rig, E1000_RCTL, E1000_RCTL_EN);
    portio_write(rig->io, RIG_BAR1, E1000_CTRL, 4);
    portio_write(rig->io, RIG_BAR1 + 4, rig_read(rig, E1000_CTRL) | E1000_CTRL_RST, 4);
    g_assert_cmphex(rig_read(rig, E1000_RCTL), ==, 0);
    g_assert_false(rig_read(rig, E1000_CTRL) & E1000_CTRL_RST);
    rig_free(rig);
}

/* ---- EEPROM ---- */

static uint16_t eerd(struct rig *rig, unsigned word)
{
    rig_write(rig, E1000_EERD, word << 8 | E1000_EERD_START);
    uint32_t value = rig_read(rig, E1000_EERD);
    g_assert_true(value & E1000_EERD_DONE);
    return (uint16_t)(value >> 16);
}

static void test_eeprom_eerd(void)
{
    struct rig *rig = idle_rig();
    uint16_t sum = 0;
    for (unsigned i = 0; i < 64; i++)
        sum = (uint16_t)(sum + eerd(rig, i));
    g_assert_cmphex(sum, ==, 0xbaba);
    g_assert_cmphex(eerd(rig, 0), ==, 0x5452);
    g_assert_cmphex(eerd(rig, 1), ==, 0x1200);
    g_assert_cmphex(eerd(rig, 2), ==, 0x5634);
    g_assert_cmphex(eerd(rig, 13), ==, 0x100e);
    g_assert_cmphex(eerd(rig, 200), ==, 0); /* no such word */
    rig_free(rig);
}

/* The microwire bus driven pin by pin. */
static void pins(struct rig *rig, uint32_t value)
{
    rig_write(rig, E1000_EECD, E1000_EECD_REQ | value);
}

static void clock_out(struct rig *rig, uint32_t bits, unsigned count)
{
    while (count--) {
        uint32_t data = bits >> count & 1 ? E1000_EECD_DI : 0;
        pins(rig, E1000_EECD_CS | data);
        pins(rig, E1000_EECD_CS | data | E1000_EECD_SK);
        pins(rig, E1000_EECD_CS | data);
    }
}

static uint32_t clock_in(struct rig *rig, unsigned count)
{
    uint32_t value = 0;
    while (count--) {
        pins(rig, E1000_EECD_CS | E1000_EECD_SK);
        value = value << 1 | (rig_read(rig, E1000_EECD) & E1000_EECD_DO ? 1 : 0);
        pins(rig, E1000_EECD_CS);
    }
    return value;
}

static void select_eeprom(struct rig *rig)
{
    pins(rig, 0);
    pins(rig, E1000_EECD_SK); /* a driver's idle clock does nothing */
    pins(rig, E1000_EECD_SK | E1000_EECD_CS);
    pins(rig, E1000_EECD_CS);
}

static void test_eeprom_microwire(void)
{
    struct rig *rig = idle_rig();
    g_assert_false(rig_read(rig, E1000_EECD) & E1000_EECD_GNT);
    pins(rig, 0);
    g_assert_true(rig_read(rig, E1000_EECD) & E1000_EECD_GNT);
    uint16_t sum = 0;
    for (unsigned word = 0; word < 64; word++) {
        select_eeprom(rig);
        clock_out(rig, 6, 3);
        clock_out(rig, word, 6);
        g_assert_false(rig_read(rig, E1000_EECD) & E1000_EECD_DO); /* the dummy bit */
        uint16_t value = (uint16_t)clock_in(rig, 16);
        g_assert_cmphex(value, ==, eerd(rig, word));
        sum = (uint16_t)(sum + value);
        pins(rig, 0);
    }
    g_assert_cmphex(sum, ==, 0xbaba);
    /* running on reads the following words, around the end */
    select_eeprom(rig);
    clock_out(rig, 6, 3);
    clock_out(rig, 62, 6);
    g_assert_cmphex(clock_in(rig, 16), ==, eerd(rig, 62));
    g_assert_cmphex(clock_in(rig, 16), ==, eerd(rig, 63));
    g_assert_cmphex(clock_in(rig, 16), ==, eerd(rig, 0));
    pins(rig, 0);
    rig_free(rig);
}

static void microwire_write(struct rig *rig, unsigned word, uint16_t value)
{
    select_eeprom(rig);
    clock_out(rig, 5, 3);
    clock_out(rig, word, 6);
    clock_out(rig, value, 16);
    pins(rig, 0);
    select_eeprom(rig);
    g_assert_true(rig_read(rig, E1000_EECD) & E1000_EECD_DO); /* ready */
    pins(rig, 0);
}

static void test_eeprom_write(void)
{
    struct rig *rig = idle_rig();
    microwire_write(rig, 5, 0x1234);
    g_assert_cmphex(eerd(rig, 5), ==, 0); /* still protected */
    select_eeprom(rig);
    clock_out(rig, 4, 3);
    clock_out(rig, 0x30, 6); /* EWEN */
    pins(rig, 0);
    microwire_write(rig, 5, 0x1234);
    g_assert_cmphex(eerd(rig, 5), ==, 0x1234);
    select_eeprom(rig);
    clock_out(rig, 7, 3); /* ERASE */
    clock_out(rig, 5, 6);
    pins(rig, 0);
    g_assert_cmphex(eerd(rig, 5), ==, 0xffff);
    microwire_write(rig, 0, 0x0002); /* another address, loaded by the next reset */
    rig_write(rig, E1000_CTRL, rig_read(rig, E1000_CTRL) | E1000_CTRL_RST);
    g_assert_cmphex(rig_read(rig, E1000_RA), ==, 0x12000002);
    select_eeprom(rig);
    clock_out(rig, 4, 3);
    clock_out(rig, 0x00, 6); /* EWDS */
    pins(rig, 0);
    microwire_write(rig, 5, 0x4321);
    g_assert_cmphex(eerd(rig, 5), ==, 0xffff);
    rig_free(rig);
}

/* ---- PHY and link ---- */

static void test_phy_identity(void)
{
    struct rig *rig = idle_rig();
    g_assert_cmphex(rig_phy_read(rig, 2), ==, 0x0141);
    g_assert_cmphex(rig_phy_read(rig, 3), ==, 0x0c20);
    g_assert_cmphex(rig_phy_read(rig, 0), ==, 0x1140);
    rig_write(rig, E1000_MDIC, E1000_MDIC_OP_READ | 5u << 21 | 2u << 16); /* nobody at address 5 */
    g_assert_true(rig_read(rig, E1000_MDIC) & E1000_MDIC_E);
    g_assert_true(rig_read(rig, E1000_MDIC) & E1000_MDIC_R);
    rig_phy_write(rig, 2, 0xffff);
    g_assert_cmphex(rig_phy_read(rig, 2), ==, 0x0141);
    rig_phy_write(rig, 16, 0x0060);
    g_assert_cmphex(rig_phy_read(rig, 16), ==, 0x0060);
    rig_read(rig, E1000_ICR);
    rig_write(rig, E1000_MDIC, E1000_MDIC_OP_READ | E1000_MDIC_I | 1u << 21 | 2u << 16);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_MDAC);
    rig_free(rig);
}

static void test_autonegotiation(void)
{
    struct rig *rig = idle_rig();
    g_assert_false(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    g_assert_false(rig_phy_read(rig, 1) & 0x24);
    g_assert_cmphex(rig_phy_read(rig, 5), ==, 0);
    rig_advance(rig, 10000000);
    g_assert_cmphex(rig_read(rig, E1000_STATUS) & 0xc3, ==, 0x83); /* full duplex, link, 1000 */
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_LSC);
    rig_phy_read(rig, 1);
    g_assert_cmphex(rig_phy_read(rig, 1), ==, 0x796d);
    g_assert_cmphex(rig_phy_read(rig, 5) & 0x4000, ==, 0x4000);
    g_assert_cmphex(rig_phy_read(rig, 10), ==, 0x3c00);
    g_assert_cmphex(rig_phy_read(rig, 17) & 0xec00, ==, 0xac00);

    /* restarting takes the link away and brings it back; BMSR remembers */
    rig_phy_write(rig, 0, 0x1340);
    g_assert_false(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_LSC);
    g_assert_cmphex(rig_phy_read(rig, 0), ==, 0x1140); /* the bit clears itself */
    rig_advance(rig, 10000000);
    g_assert_true(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_LSC);
    g_assert_false(rig_phy_read(rig, 1) & 4); /* latched low */
    g_assert_true(rig_phy_read(rig, 1) & 4);

    /* an offer of 100 Mbit/s half duplex only */
    rig_phy_write(rig, 9, 0);
    rig_phy_write(rig, 4, 0x0081);
    rig_phy_write(rig, 0, 0x1340);
    rig_advance(rig, 10000000);
    g_assert_cmphex(rig_read(rig, E1000_STATUS) & 0xc3, ==, 0x42);
    /* forced to 10 Mbit/s full duplex: link at once */
    rig_phy_write(rig, 0, 0x0100);
    g_assert_cmphex(rig_read(rig, E1000_STATUS) & 0xc3, ==, 0x03);
    /* a PHY reset brings the defaults back */
    rig_phy_write(rig, 0, 0x8000);
    g_assert_cmphex(rig_phy_read(rig, 0), ==, 0x1140);
    g_assert_cmphex(rig_phy_read(rig, 4), ==, 0x0de1);
    rig_advance(rig, 10000000);
    g_assert_cmphex(rig_read(rig, E1000_STATUS) & 0xc3, ==, 0x83);
    /* power down */
    rig_phy_write(rig, 0, 0x1940);
    g_assert_false(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    rig_phy_write(rig, 0, 0x1140);
    rig_advance(rig, 10000000);
    g_assert_true(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    /* the MAC looks away */
    rig_write(rig, E1000_CTRL, rig_read(rig, E1000_CTRL) & ~E1000_CTRL_SLU);
    g_assert_false(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    rig_write(rig, E1000_CTRL, rig_read(rig, E1000_CTRL) | E1000_CTRL_SLU);
    g_assert_true(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    rig_free(rig);
}

static void test_cable(void)
{
    struct rig *rig = idle_rig();
    rig_start(rig);
    rig_write(rig, E1000_IMS, E1000_INT_LSC);
    uint8_t frame[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    net_set_link(rig->peer, false);
    g_assert_true(rig->irq);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_LSC);
    g_assert_false(rig->irq);
    g_assert_false(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    rig_phy_read(rig, 1);
    g_assert_false(rig_phy_read(rig, 1) & 0x24);
    g_assert_cmpint(rig_inject(rig, frame, 64), ==, NET_DROPPED);
    rig_tx(rig, frame, 64, E1000_TXD_EOP | E1000_TXD_IFCS | E1000_TXD_RS, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 0);
    g_assert_true(rig_tx_upper(rig, 0) & E1000_TXD_DD); /* gone all the same */
    g_assert_cmpuint(net_port_counters(rig->port)->dropped[NET_DROP_LINK_DOWN], ==, 1);

    net_set_link(rig->peer, true);
    g_assert_false(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    rig_advance(rig, 10000000);
    g_assert_true(rig->irq);
    g_assert_cmphex(rig_read(rig, E1000_ICR) & E1000_INT_LSC, ==, E1000_INT_LSC);
    g_assert_true(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    g_assert_cmpint(rig_inject(rig, frame, 64), ==, NET_SENT);

    net_port_free(g_steal_pointer(&rig->peer)); /* unplugged for good */
    g_assert_false(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    rig_free(rig);
}

/* ---- interrupts ---- */

static void test_interrupt_registers(void)
{
    struct rig *rig = idle_rig();
    rig_start(rig);
    rig_write(rig, E1000_ICS, E1000_INT_RXT0);
    g_assert_false(rig->irq); /* masked */
    g_assert_cmphex(rig_read(rig, E1000_ICS), ==, E1000_INT_RXT0);
    rig_write(rig, E1000_IMS, E1000_INT_RXT0 | E1000_INT_TXDW);
    g_assert_true(rig->irq);
    rig_write(rig, E1000_IMS, E1000_INT_LSC); /* adds */
    g_assert_cmphex(rig_read(rig, E1000_IMS), ==, E1000_INT_RXT0 | E1000_INT_TXDW | E1000_INT_LSC);
    rig_write(rig, E1000_IMC, E1000_INT_RXT0);
    g_assert_false(rig->irq);
    g_assert_cmphex(rig_read(rig, E1000_IMS), ==, E1000_INT_TXDW | E1000_INT_LSC);
    rig_write(rig, E1000_IMS, E1000_INT_RXT0);
    g_assert_true(rig->irq);
    /* writing ones clears some, reading all */
    rig_write(rig, E1000_ICS, E1000_INT_LSC);
    rig_write(rig, E1000_ICR, E1000_INT_RXT0);
    g_assert_true(rig->irq);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_LSC);
    g_assert_false(rig->irq);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, 0);
    g_assert_true(pci_config_read(rig->bus, rig->devfn, PCI_STATUS, 2) == PCI_STATUS_CAP_LIST);
    rig_write(rig, E1000_ICS, 0xffffffff);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_ALL);
    rig_free(rig);
}

static void test_interrupt_throttle(void)
{
    struct rig *rig = idle_rig();
    rig_start(rig);
    rig_write(rig, E1000_ITR, 195); /* 195 × 256 ns = 49.92 µs */
    rig_write(rig, E1000_IMS, E1000_INT_RXT0);
    rig_write(rig, E1000_ICS, E1000_INT_RXT0);
    g_assert_true(rig->irq);
    rig_read(rig, E1000_ICR);
    g_assert_false(rig->irq);
    rig_advance(rig, 10000);
    rig_write(rig, E1000_ICS, E1000_INT_RXT0);
    g_assert_false(rig->irq);
    rig_advance(rig, 39919);
    g_assert_false(rig->irq);
    rig_advance(rig, 1);
    g_assert_true(rig->irq);
    rig_read(rig, E1000_ICR);
    /* after a quiet while it is immediate again */
    rig_advance(rig, 1000000);
    rig_write(rig, E1000_ICS, E1000_INT_RXT0);
    g_assert_true(rig->irq);
    rig_read(rig, E1000_ICR);
    /* acknowledged before its time: no interrupt is left over */
    rig_write(rig, E1000_ICS, E1000_INT_RXT0);
    rig_read(rig, E1000_ICR);
    unsigned ups = rig->irq_ups;
    rig_advance(rig, 1000000);
    g_assert_cmpuint(rig->irq_ups, ==, ups);
    rig_free(rig);
}

static void test_receive_delay(void)
{
    struct rig *rig = idle_rig();
    rig_start(rig);
    rig_write(rig, E1000_IMS, E1000_INT_RXT0);
    rig_write(rig, E1000_RDTR, 100); /* 102.4 µs */
    rig_write(rig, E1000_RADV, 250); /* 256 µs */
    uint8_t frame[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    rig_inject(rig, frame, 64);
    g_assert_false(rig->irq);
    rig_advance(rig, 102399);
    g_assert_false(rig->irq);
    rig_advance(rig, 1);
    g_assert_true(rig->irq);
    rig_read(rig, E1000_ICR);
    /* each frame starts the wait again, but the absolute limit holds */
    for (unsigned i = 0; i < 5; i++) {
        rig_inject(rig, frame, 64);
        g_assert_false(rig->irq);
        rig_advance(rig, 51000);
    }
    g_assert_false(rig->irq);
    rig_advance(rig, 1000); /* 256 µs after the first */
    g_assert_true(rig->irq);
    rig_read(rig, E1000_ICR);
    rig_advance(rig, 1000000);
    g_assert_false(rig->irq); /* once */
    /* FPD ends a wait */
    rig_inject(rig, frame, 64);
    g_assert_false(rig->irq);
    rig_write(rig, E1000_RDTR, 100 | E1000_RDTR_FPD);
    g_assert_true(rig->irq);
    rig_read(rig, E1000_ICR);
    /* small frames do not wait */
    rig_write(rig, E1000_RSRPD, 64);
    rig_write(rig, E1000_IMS, E1000_INT_SRPD);
    rig_inject(rig, frame, 64);
    g_assert_true(rig->irq);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_SRPD);
    rig_free(rig);
}

static void test_transmit_delay(void)
{
    struct rig *rig = idle_rig();
    rig_start(rig);
    rig_write(rig, E1000_IMS, E1000_INT_TXDW);
    rig_write(rig, E1000_TIDV, 10);
    rig_write(rig, E1000_TADV, 25);
    uint8_t frame[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t command = E1000_TXD_EOP | E1000_TXD_IFCS | E1000_TXD_RS;
    rig_tx(rig, frame, 64, command | E1000_TXD_IDE, 0);
    rig_kick(rig);
    g_assert_true(rig_tx_upper(rig, 0) & E1000_TXD_DD);
    g_assert_false(rig->irq);
    rig_advance(rig, 10239);
    g_assert_false(rig->irq);
    rig_advance(rig, 1);
    g_assert_true(rig->irq);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_TXDW | E1000_INT_TXQE);
    for (unsigned i = 0; i < 3; i++) {
        rig_tx(rig, frame, 64, command | E1000_TXD_IDE, 0);
        rig_kick(rig);
        rig_advance(rig, 10000);
    }
    g_assert_true(rig->irq); /* 25.6 µs after the first */
    rig_read(rig, E1000_ICR);
    rig_tx(rig, frame, 64, command, 0); /* without IDE: at once */
    rig_kick(rig);
    g_assert_true(rig->irq);
    rig_read(rig, E1000_ICR);
    rig_advance(rig, 1000000);
    rig_read(rig, E1000_ICR);
    /* without RS: no word, but the queue is empty */
    rig_tx(rig, frame, 64, E1000_TXD_EOP | E1000_TXD_IFCS, 0);
    rig_kick(rig);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_TXQE);
    rig_free(rig);
}

/* ---- reset, power ---- */

static void test_reset(void)
{
    struct rig *rig = idle_rig();
    rig_start(rig);
    rig_write(rig, E1000_IMS, E1000_INT_ALL);
    rig_write(rig, E1000_ICS, E1000_INT_RXT0);
    rig_write(rig, E1000_PBA, 0x28);
    rig_write(rig, E1000_RA, 0x11111111);
    rig_phy_write(rig, 16, 0x0060);
    g_assert_true(rig->irq);
    rig_write(rig, E1000_CTRL, E1000_CTRL_RST);
    g_assert_false(rig->irq);
    g_assert_cmphex(rig_read(rig, E1000_IMS), ==, 0);
    g_assert_cmphex(rig_read(rig, E1000_RCTL), ==, 0);
    g_assert_cmphex(rig_read(rig, E1000_TDLEN), ==, 0);
    g_assert_cmphex(rig_read(rig, E1000_RA), ==, 0x12005452);
    g_assert_cmphex(rig_read(rig, E1000_PBA) & 0xffff, ==, 0x28); /* takes effect by the reset */
    g_assert_cmphex(rig_phy_read(rig, 16), ==, 0x0060);           /* the PHY is another chip */
    g_assert_true(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    g_assert_cmphex(pci_bar_base((struct pci_device *)rig->nic, 0), ==, RIG_BAR0);
    rig_write(rig, E1000_CTRL, rig_read(rig, E1000_CTRL) | E1000_CTRL_PHY_RST);
    g_assert_cmphex(rig_phy_read(rig, 16), ==, 0x0068);
    g_assert_false(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);

    device_reset(rig->nic); /* the board's: configuration space, too */
    g_assert_cmphex(pci_config_read(rig->bus, rig->devfn, PCI_COMMAND, 2), ==, 0);
    rig_map(rig);
    g_assert_cmphex(rig_read(rig, E1000_PBA), ==, 0x100030);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, 0);
    rig_advance(rig, 10000000);
    g_assert_true(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    rig_free(rig);
}

static void test_power(void)
{
    struct rig *rig = idle_rig();
    rig_start(rig);
    uint8_t frame[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    rig_write(rig, E1000_IMS, E1000_INT_RXT0);
    rig_write(rig, E1000_ICS, E1000_INT_RXT0);
    g_assert_true(rig->irq);
    pci_config_write(rig->bus, rig->devfn, 0xe0, 3, 2); /* D3 */
    g_assert_false(rig->irq);
    g_assert_cmphex(rig_read(rig, E1000_CTRL), ==, 0xffffffff);
    rig_write(rig, E1000_RDT, 0);
    g_assert_cmpint(rig_inject(rig, frame, 64), ==, NET_DROPPED);
    pci_config_write(rig->bus, rig->devfn, 0xe0, 0, 2); /* D0: reset */
    g_assert_cmphex(rig_read(rig, E1000_RCTL), ==, 0);
    g_assert_cmphex(rig_read(rig, E1000_RA), ==, 0x12005452);
    pci_config_write(rig->bus, rig->devfn, 0xe0, 1, 2); /* there is no D1 */
    g_assert_cmphex(pci_config_read(rig->bus, rig->devfn, 0xe0, 2) & 3, ==, 0);
    rig_free(rig);
}

static void test_bus_master(void)
{
    struct rig *rig = idle_rig();
    rig_start(rig);
    uint8_t frame[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    pci_config_write(rig->bus, rig->devfn, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    g_assert_cmpint(rig_inject(rig, frame, 64), ==, NET_DROPPED);
    rig_tx(rig, frame, 64, E1000_TXD_EOP | E1000_TXD_IFCS | E1000_TXD_RS, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 0);
    g_assert_cmphex(rig_tx_upper(rig, 0), ==, 0);
    pci_config_write(rig->bus, rig->devfn, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    g_assert_cmpuint(rig->frames->len, ==, 1);
    g_assert_cmpint(rig_inject(rig, frame, 64), ==, NET_SENT);
    rig_free(rig);
}

static void test_several(void)
{
    struct rig *rig = idle_rig();
    struct e1000_config config = {.id = "net1"};
    e1000_default_mac(1, config.mac);
    g_autoptr(GError) error = NULL;
    struct device *second = rig_add_nic(rig, &config, &error);
    g_assert_no_error(error);
    struct pci_device *pci = (struct pci_device *)second;
    g_assert_cmpuint(pci->devfn, !=, rig->devfn);
    pci_config_write(rig->bus, pci->devfn, PCI_BAR0, 0xfeb00000, 4);
    pci_config_write(rig->bus, pci->devfn, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    g_assert_cmphex(phys_read32(rig->mem, 0xfeb00000 + E1000_RA + 4), ==, 0x80005734);
    g_assert_cmphex(rig_read(rig, E1000_RA + 4), ==, 0x80005634);
    rig_advance(rig, 10000000);
    /* no cable, no link */
    g_assert_false(phys_read32(rig->mem, 0xfeb00000 + E1000_STATUS) & E1000_STATUS_LU);
    device_free(second);

    config.mac[0] = 0x01;
    g_assert_null(rig_add_nic(rig, &config, &error));
    g_assert_nonnull(strstr(error->message, "group address"));
    rig_free(rig);
}

/* ---- saved state ---- */

static void save(struct rig *rig, GByteArray *out)
{
    g_byte_array_set_size(out, 0);
    state_save(e1000_class.state, "net0", rig->nic, out);
}

static void test_state_round_trip(void)
{
    struct rig *rig = idle_rig(), *other = idle_rig();
    rig_start(rig);
    /* in the middle of everything: an EEPROM command, a delayed interrupt, half a packet, a full peer */
    select_eeprom(rig);
    clock_out(rig, 6, 3);
    clock_out(rig, 0, 6);
    g_assert_cmphex(clock_in(rig, 8), ==, 0x54);
    rig_write(rig, E1000_RDTR, 1000);
    rig_write(rig, E1000_IMS, E1000_INT_RXT0);
    uint8_t frame[128] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    rig_inject(rig, frame, 64);
    rig_write(rig, E1000_MTA + 8, 0x1234);
    for (unsigned i = 0; i < sizeof frame; i++)
        frame[i] = (uint8_t)i;
    rig_tx(rig, frame, 40, 0, 0);
    rig_kick(rig);

    g_autoptr(GByteArray) first = g_byte_array_new(), second = g_byte_array_new();
    save(rig, first);
    clock_set(other->clock, clock_now(rig->clock));
    uint8_t *ram = physmap_ram(rig->mem);
    memcpy(physmap_ram(other->mem), ram, physmap_ram_size(rig->mem));
    g_autoptr(GError) error = NULL;
    size_t pos = 0;
    g_assert_true(state_load(e1000_class.state, "net0", other->nic, first->data, first->len, &pos, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(pos, ==, first->len);
    save(other, second);
    g_autoptr(GString) a = g_string_new(NULL), b = g_string_new(NULL);
    state_print(e1000_class.state, "net0", rig->nic, a);
    state_print(e1000_class.state, "net0", other->nic, b);
    /* the loaded NIC looks at its ring once more; everything else is the same */
    g_auto(GStrv) lines_a = g_strsplit(a->str, "\n", -1), lines_b = g_strsplit(b->str, "\n", -1);
    for (unsigned i = 0; lines_a[i]; i++)
        if (!g_str_has_prefix(lines_a[i], "net0.alarm="))
            g_assert_cmpstr(lines_a[i], ==, lines_b[i]);

    /* and it goes on */
    g_assert_cmphex(clock_in(other, 8), ==, 0x52);
    g_assert_cmphex(rig_read(other, E1000_MTA + 8), ==, 0x1234);
    g_assert_false(other->irq);
    rig_advance(other, 1024000);
    g_assert_true(other->irq);
    other->tx_tail = rig->tx_tail;
    other->tx_buffer = rig->tx_buffer;
    memset(physmap_ram(other->mem) + RIG_TX_BUFFERS, 0, 40); /* what was taken was taken */
    rig_tx(other, frame + 40, 60, E1000_TXD_EOP | E1000_TXD_IFCS, 0);
    rig_kick(other);
    g_assert_cmpuint(other->frames->len, ==, 1);
    g_assert_cmpmem(rig_frame(other, 0)->data, rig_frame(other, 0)->length, frame, 100);

    rig_free(rig);
    rig_free(other);
}

static void test_state_blocked(void)
{
    struct rig *rig = idle_rig(), *other = idle_rig();
    rig_start(rig);
    uint8_t frame[100];
    memset(frame, 0x55, sizeof frame);
    rig->peer_takes = 0;
    rig_tx(rig, frame, sizeof frame, E1000_TXD_EOP | E1000_TXD_IFCS, 0);
    rig_kick(rig);
    g_autoptr(GByteArray) data = g_byte_array_new();
    save(rig, data);
    size_t pos = 0;
    g_assert_true(state_load(e1000_class.state, "net0", other->nic, data->data, data->len, &pos, NULL));
    rig_advance(other, 1); /* its peer is not full */
    g_assert_cmpuint(other->frames->len, ==, 1);
    g_assert_cmpmem(rig_frame(other, 0)->data, rig_frame(other, 0)->length, frame, sizeof frame);
    rig_free(rig);
    rig_free(other);
}

/* Saved while the rest of a burst waits for the driver: it comes after all, asked for or not. */
static void test_state_paced(void)
{
    static uint8_t frame[66000];
    static struct rig_received got;
    size_t length = rig_packet(frame, RIG_TCP4, 30000), l4 = rig_l4(RIG_TCP4);
    rig_put16(frame + l4 + 16, rig_pseudo(frame, RIG_TCP4, (uint32_t)(length - l4)));
    for (unsigned asked = 0; asked < 2; asked++) {
        struct rig *rig = rig_new(0), *other = rig_new(0);
        rig_map(rig);
        rig_map(other);
        rig_start(rig);
        rig_start(other);
        rig_write(rig, E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_SECRC);
        rig_write(rig, E1000_IMS, E1000_INT_RXT0);
        uint8_t arp[60] = {
            [12] = 8, [13] = 6, [16] = 8, [28] = 10}; /* an address that is not that of the burst */
        rig_tx(rig, arp, sizeof arp, E1000_TXD_EOP | E1000_TXD_IFCS, 0);
        rig_kick(rig);
        struct net_offload offload = {.needs_checksum = true,
                                      .checksum_start = (uint16_t)l4,
                                      .checksum_offset = 16,
                                      .gso = NET_GSO_TCPV4,
                                      .gso_size = 1000};
        g_assert_cmpint(rig_inject_offload(rig, frame, length, &offload), ==, NET_SENT);
        rig_write(rig, E1000_IMC, 0xffffffff);
        g_autoptr(GByteArray) data = g_byte_array_new();
        save(rig, data);
        size_t pos = 0;
        rig_advance(other, clock_now(rig->clock) - clock_now(other->clock) + 1);
        g_assert_true(state_load(e1000_class.state, "net0", other->nic, data->data, data->len, &pos, NULL));
        if (asked)
            rig_write(other, E1000_IMS, E1000_INT_RXT0);
        else
            rig_advance(other, 1000);
        other->rx_next = 18; /* those before are in the other rig's memory */
        for (unsigned i = 18; i < 30; i++) {
            g_assert_true(rig_received(other, &got));
            g_assert_cmpmem(got.data + rig_headers(RIG_TCP4), 1000, frame + rig_headers(RIG_TCP4) + i * 1000,
                            1000);
        }
        g_assert_false(rig_received(other, &got));
        rig_free(rig);
        rig_free(other);
    }
}

/* A file that was tampered with is refused or survived, whatever is changed. */
static void test_state_hostile(void)
{
    struct rig *rig = idle_rig();
    rig_start(rig);
    g_autoptr(GByteArray) data = g_byte_array_new();
    save(rig, data);
    g_autofree uint8_t *copy = g_memdup2(data->data, data->len);
    GRand *random = g_rand_new_with_seed(82540);
    unsigned refused = 0;
    uint8_t frame[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    for (unsigned round = 0; round < 300; round++) {
        memcpy(copy, data->data, data->len);
        for (unsigned n = 0; n < 64; n++)
            copy[g_rand_int_range(random, 0, 30000)] = (uint8_t)g_rand_int(random);
        for (unsigned n = 0; n < 64; n++)
            copy[g_rand_int_range(random, 0, (gint32)data->len)] = (uint8_t)g_rand_int(random);
        size_t pos = 0;
        g_autoptr(GError) error = NULL;
        if (!state_load(e1000_class.state, "net0", rig->nic, copy, data->len, &pos, &error)) {
            g_assert_nonnull(error);
            refused++;
        }
        rig_inject(rig, frame, 64);
        rig_kick(rig);
        rig_advance(rig, 1000);
    }
    g_assert_cmpuint(refused, >, 0);
    g_rand_free(random);
    rig_free(rig);
}

/* Values that no NIC can have are refused, and the NIC is left as it was. */
static void test_state_refused(void)
{
    struct rig *rig = idle_rig();
    struct e1000 *nic = (struct e1000 *)rig->nic;
    rig_start(rig);
    for (unsigned what = 0; what < 5; what++) {
        struct e1000 before = *nic;
        switch (what) {
        case 0:
            nic->tx_length = sizeof nic->tx_fifo + 1;
            break;
        case 1:
            nic->rx_length = UINT32_MAX;
            break;
        case 2:
            nic->ee_phase = E1000_EE_PHASES;
            break;
        case 3:
            nic->rx_offload.gso = 77;
            break;
        case 4:
            nic->pci.config[0] = 0;
            break;
        }
        g_autoptr(GByteArray) data = g_byte_array_new();
        save(rig, data);
        *nic = before;
        size_t pos = 0;
        g_autoptr(GError) error = NULL;
        g_assert_false(state_load(e1000_class.state, "net0", nic, data->data, data->len, &pos, &error));
        g_assert_nonnull(strstr(error->message, what == 4 ? "PCI device" : "save it again"));
        g_assert_cmpuint(pos, ==, 0);
        g_assert_cmpuint(nic->tx_length, ==, 0);
        g_assert_cmphex(rig_read(rig, E1000_TDBAL), ==, RIG_TX_RING);
    }
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/e1000/config-space", test_config_space);
    g_test_add_func("/e1000/reset-values", test_reset_values);
    g_test_add_func("/e1000/register-masks", test_register_masks);
    g_test_add_func("/e1000/aliases-and-widths", test_aliases_and_widths);
    g_test_add_func("/e1000/io-window", test_io_window);
    g_test_add_func("/e1000/eeprom/eerd", test_eeprom_eerd);
    g_test_add_func("/e1000/eeprom/microwire", test_eeprom_microwire);
    g_test_add_func("/e1000/eeprom/write", test_eeprom_write);
    g_test_add_func("/e1000/phy/identity", test_phy_identity);
    g_test_add_func("/e1000/phy/autonegotiation", test_autonegotiation);
    g_test_add_func("/e1000/phy/cable", test_cable);
    g_test_add_func("/e1000/interrupt/registers", test_interrupt_registers);
    g_test_add_func("/e1000/interrupt/throttle", test_interrupt_throttle);
    g_test_add_func("/e1000/interrupt/receive-delay", test_receive_delay);
    g_test_add_func("/e1000/interrupt/transmit-delay", test_transmit_delay);
    g_test_add_func("/e1000/reset", test_reset);
    g_test_add_func("/e1000/power", test_power);
    g_test_add_func("/e1000/bus-master", test_bus_master);
    g_test_add_func("/e1000/several", test_several);
    g_test_add_func("/e1000/state/round-trip", test_state_round_trip);
    g_test_add_func("/e1000/state/blocked", test_state_blocked);
    g_test_add_func("/e1000/state/paced", test_state_paced);
    g_test_add_func("/e1000/state/hostile", test_state_hostile);
    g_test_add_func("/e1000/state/refused", test_state_refused);
    return g_test_run();
}
