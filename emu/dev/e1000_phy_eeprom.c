/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The two small chips around the 82540EM's MAC: its copper PHY (88E1011 compatible, at MDIC address 1) and
 * the microwire EEPROM (93C46: 64 words).
 *
 * Link. The cable is up when a back end is joined and nobody pulled it (net_link). From there the PHY makes a
 * link: by autonegotiation, which takes AUTONEG_NS after anything that starts it (cable plugged, restart bit,
 * PHY reset), or at once when autonegotiation is off. The MAC sees it when CTRL.SLU allows. Each change of
 * STATUS.LU is an LSC interrupt. BMSR's link bit latches low until read, as IEEE 802.3 22.2.4.2.13 wants.
 *
 * The partner is a software bridge: it offers 10, 100 and 1000BASE-T and no PAUSE.
 *
 * EEPROM. Words 0–0x3f sum to 0xbaba. Bit-banged through EECD: start bit, two bits of command, six of
 * address, most significant first, sampled at rising SK while CS is high; a read gives a dummy zero and then
 * runs through the following words for as long as it is clocked. EERD reads a word in one go. Manual chapters
 * 5, 8.6, 13.4.
 */
#include "emu/dev/e1000_internal.h"

enum {
    PHY_ADDRESS = 1,
    BMCR = 0,
    BMSR = 1,
    PHYID1 = 2,
    PHYID2 = 3,
    ANAR = 4,
    ANLPAR = 5,
    ANER = 6,
    GBCR = 9,
    GBSR = 10,
    ESTATUS = 15,
    PSCR = 16,
    PSSR = 17,
    EPSCR = 20,
};
enum {
    BMCR_RESET = 0x8000,
    BMCR_LOOPBACK = 0x4000,
    BMCR_SPEED100 = 0x2000,
    BMCR_AUTONEG = 0x1000,
    BMCR_POWER_DOWN = 0x0800,
    BMCR_ISOLATE = 0x0400,
    BMCR_RESTART = 0x0200,
    BMCR_FULL_DUPLEX = 0x0100,
    BMCR_SPEED1000 = 0x0040
};
enum { BMSR_NEGOTIATED = 0x20, BMSR_LINK = 0x04 };
enum { AN_100FD = 0x100, AN_100HD = 0x80, AN_10FD = 0x40, GB_1000FD = 0x200, GB_1000HD = 0x100 };
enum { PARTNER = 0x41e1, PARTNER_GIGABIT = 0x3c00, PARTNER_NEGOTIATES = 0x0003 };
enum { PSSR_RESOLVED = 0x0800, PSSR_LINK = 0x0400, PSSR_DUPLEX = 0x2000, PSSR_SPEED_SHIFT = 14 };

/* Long enough for a driver to see the link go, short enough for nobody to wait. Copper takes a second or
 * more. */
#define AUTONEG_NS 1000000

struct phy_row {
    const char *name;
    uint16_t reset, writable;
};

static const struct phy_row phy_rows[32] = {
    [BMCR] = {"BMCR", BMCR_AUTONEG | BMCR_FULL_DUPLEX | BMCR_SPEED1000, 0x7dc0},
    [BMSR] = {"BMSR", 0x7949, 0},
    [PHYID1] = {"PHYID1", 0x0141, 0},
    [PHYID2] = {"PHYID2", 0x0c20, 0},
    [ANAR] = {"ANAR", 0x0de1, 0xbfff},
    [ANLPAR] = {"ANLPAR", 0, 0},
    [ANER] = {"ANER", 0, 0},
    [7] = {"ANNPTR", 0x2001, 0xbfff},
    [8] = {"ANLPNPR", 0, 0},
    [GBCR] = {"GBCR", 0x0300, 0xff00},
    [GBSR] = {"GBSR", 0, 0},
    [ESTATUS] = {"ESTATUS", 0x3000, 0},
    [PSCR] = {"PSCR", 0x0068, 0xffff},
    [PSSR] = {"PSSR", 0, 0},
    [18] = {"IER", 0, 0xffff},
    [19] = {"ISR", 0, 0},
    [EPSCR] = {"EPSCR", 0x0c68, 0xffff},
    [21] = {"RECR", 0, 0},
    [24] = {"LEDCR", 0x4100, 0xffff},
    [29] = {"PAGESEL", 0, 0xffff},
    [30] = {"GENCTRL", 0, 0xffff},
};

/* ---- link ---- */

/* Speed as the registers code it, 0 for 10, 1 for 100, 2 for 1000 Mbit/s. */
static void resolve(const struct e1000 *nic, unsigned *speed, bool *full)
{
    uint16_t control = nic->phy[BMCR], offer = nic->phy[ANAR] & PARTNER, gigabit = nic->phy[GBCR];
    *full = true;
    if (!(control & BMCR_AUTONEG)) {
        *speed = control & BMCR_SPEED1000 ? 2 : control & BMCR_SPEED100 ? 1 : 0;
        *full = control & BMCR_FULL_DUPLEX;
    } else if (gigabit & (GB_1000FD | GB_1000HD)) {
        *speed = 2;
        *full = gigabit & GB_1000FD;
    } else if (offer & (AN_100FD | AN_100HD)) {
        *speed = 1;
        *full = offer & AN_100FD;
    } else {
        *speed = 0;
        *full = offer & AN_10FD;
    }
}

uint32_t e1000_status(struct e1000 *nic)
{
    uint32_t control = *e1000_reg(nic, E1000_CTRL), status = 0;
    unsigned speed;
    bool full;
    resolve(nic, &speed, &full);
    status |= speed << 8; /* ASDV: what the PHY says */
    if (control & E1000_CTRL_FRCSPD)
        speed = (control & E1000_CTRL_SPEED) >> 8;
    if (control & E1000_CTRL_FRCDPX)
        full = control & E1000_CTRL_FD;
    status |= speed << 6;
    if (full)
        status |= E1000_STATUS_FD;
    if (nic->link)
        status |= E1000_STATUS_LU;
    if (nic->alarm[E1000_ALARM_PAUSE])
        status |= E1000_STATUS_TXOFF;
    return status;
}

static bool phy_has_link(const struct e1000 *nic)
{
    uint16_t control = nic->phy[BMCR];
    if (control & (BMCR_POWER_DOWN | BMCR_ISOLATE))
        return false;
    if (control & BMCR_LOOPBACK)
        return true;
    if (!net_link(nic->port))
        return false;
    return !(control & BMCR_AUTONEG) || nic->phy[BMSR] & BMSR_NEGOTIATED;
}

void e1000_phy_update(struct e1000 *nic)
{
    nic->phy_link = phy_has_link(nic);
    if (!nic->phy_link)
        nic->phy[BMSR] &= (uint16_t)~BMSR_LINK; /* stays so until it is read */
    bool link = nic->phy_link && *e1000_reg(nic, E1000_CTRL) & E1000_CTRL_SLU;
    if (link == nic->link)
        return;
    nic->link = link;
    trace(E1000, "%s: link %s", nic->pci.device.id, link ? "up" : "down");
    e1000_raise(nic, E1000_INT_LSC);
    e1000_rx_room(nic); /* frames held back for us are lost on a dead link, not kept */
}

static void negotiate(struct e1000 *nic)
{
    nic->phy[BMSR] &= (uint16_t)~BMSR_NEGOTIATED;
    nic->phy[ANLPAR] = nic->phy[GBSR] = nic->phy[ANER] = 0;
    e1000_alarm_cancel(nic, E1000_ALARM_AUTONEG);
    if (nic->phy[BMCR] & BMCR_AUTONEG && !(nic->phy[BMCR] & (BMCR_POWER_DOWN | BMCR_ISOLATE)) &&
        net_link(nic->port))
        e1000_alarm_set(nic, E1000_ALARM_AUTONEG, clock_now(nic->clock) + AUTONEG_NS);
    e1000_phy_update(nic);
}

void e1000_phy_negotiated(struct e1000 *nic)
{
    nic->phy[BMSR] |= BMSR_NEGOTIATED;
    nic->phy[ANLPAR] = PARTNER;
    nic->phy[GBSR] = nic->phy[GBCR] & (GB_1000FD | GB_1000HD) ? PARTNER_GIGABIT : 0;
    nic->phy[ANER] = PARTNER_NEGOTIATES;
    e1000_phy_update(nic);
}

void e1000_phy_cable(struct e1000 *nic, bool up)
{
    negotiate(nic);
}

void e1000_phy_reset(struct e1000 *nic)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(nic->phy); i++)
        nic->phy[i] = phy_rows[i].reset;
    negotiate(nic);
}

bool e1000_phy_loopback(const struct e1000 *nic)
{
    return nic->phy[BMCR] & BMCR_LOOPBACK && !(nic->phy[BMCR] & BMCR_POWER_DOWN);
}

/* ---- MDIC ---- */

static uint16_t phy_read(struct e1000 *nic, unsigned n)
{
    uint16_t value = nic->phy[n];
    if (n == BMSR) {
        if (nic->phy_link)
            nic->phy[BMSR] |= BMSR_LINK; /* the next reading */
    } else if (n == PSSR) {
        unsigned speed;
        bool full;
        resolve(nic, &speed, &full);
        value = (uint16_t)(speed << PSSR_SPEED_SHIFT | (full ? PSSR_DUPLEX : 0));
        if (nic->phy_link)
            value |= PSSR_RESOLVED | PSSR_LINK;
    }
    return value;
}

static void phy_write(struct e1000 *nic, unsigned n, uint16_t value)
{
    uint16_t mask = phy_rows[n].writable, before = nic->phy[n];
    nic->phy[n] = (uint16_t)((nic->phy[n] & ~mask) | (value & mask));
    if (n != BMCR)
        return;
    if (value & BMCR_RESET)
        e1000_phy_reset(nic);
    else if (value & BMCR_RESTART ||
             (before ^ nic->phy[BMCR]) & (BMCR_AUTONEG | BMCR_POWER_DOWN | BMCR_ISOLATE))
        negotiate(nic);
    else
        e1000_phy_update(nic);
}

void e1000_mdic_written(struct e1000 *nic, uint32_t value)
{
    unsigned n = value >> 16 & 31, address = value >> 21 & 31;
    uint32_t operation = value & 3u << 26;
    uint32_t result = value & ~(E1000_MDIC_R | E1000_MDIC_E);
    if (address != PHY_ADDRESS || (operation != E1000_MDIC_OP_READ && operation != E1000_MDIC_OP_WRITE)) {
        result |= E1000_MDIC_E;
        trace(E1000, "%s: MDIC: no PHY at address %u", nic->pci.device.id, address);
    } else if (operation == E1000_MDIC_OP_READ) {
        result = (result & 0xffff0000) | phy_read(nic, n);
        trace(E1000, "%s: PHY %s(%u) -> %04x", nic->pci.device.id, phy_rows[n].name ? phy_rows[n].name : "?",
              n, result & 0xffff);
    } else {
        trace(E1000, "%s: PHY %s(%u) <- %04x", nic->pci.device.id, phy_rows[n].name ? phy_rows[n].name : "?",
              n, value & 0xffff);
        phy_write(nic, n, (uint16_t)value);
    }
    *e1000_reg(nic, E1000_MDIC) = result | E1000_MDIC_R;
    if (value & E1000_MDIC_I)
        e1000_raise(nic, E1000_INT_MDAC);
}

/* ---- EEPROM ---- */

enum { CHECKSUM_WORD = 0x3f, CHECKSUM = 0xbaba };

/* Words 3 and up; manual table 5-2. */
static const uint16_t eeprom_image[E1000_EEPROM_WORDS] = {
    [0x03] = 0x0000,                  /* compatibility */
    [0x04] = 0xffff,                  /* LED modes: the default ones */
    [0x08] = 0xffff, [0x09] = 0xffff, /* no printed board assembly number */
    [0x0a] = 0x4408,                  /* initialization control 1: valid, subsystem ids from here */
    [0x0b] = 0x001e, [0x0c] = 0x8086, /* subsystem id and vendor */
    [0x0d] = 0x100e, [0x0e] = 0x8086, /* device id and vendor */
    [0x0f] = 0x3040,                  /* initialization control 2: flow control both ways */
};

void e1000_eeprom_init(struct e1000 *nic)
{
    memcpy(nic->eeprom, eeprom_image, sizeof nic->eeprom);
    for (unsigned i = 0; i < 3; i++)
        nic->eeprom[i] = (uint16_t)(nic->mac[2 * i] | nic->mac[2 * i + 1] << 8);
    uint16_t sum = 0;
    for (unsigned i = 0; i < CHECKSUM_WORD; i++)
        sum = (uint16_t)(sum + nic->eeprom[i]);
    nic->eeprom[CHECKSUM_WORD] = (uint16_t)(CHECKSUM - sum);
}

void e1000_eeprom_load_address(struct e1000 *nic)
{
    uint32_t *ra = e1000_reg(nic, E1000_RA);
    ra[0] = (uint32_t)nic->eeprom[1] << 16 | nic->eeprom[0];
    ra[1] = E1000_RAH_AV | nic->eeprom[2];
}

uint32_t e1000_eecd_read(const struct e1000 *nic)
{
    uint32_t value = nic->reg[E1000_EECD >> 2] | E1000_EECD_PRES;
    if (value & E1000_EECD_REQ)
        value |= E1000_EECD_GNT;
    if (nic->ee_output)
        value |= E1000_EECD_DO;
    return value;
}

enum { COMMAND_EXTENDED, COMMAND_WRITE, COMMAND_READ, COMMAND_ERASE }; /* the two bits after the start bit */
enum { EXTENDED_DISABLE, EXTENDED_WRITE_ALL, EXTENDED_ERASE_ALL, EXTENDED_ENABLE }; /* top of the address */

static void store(struct e1000 *nic, unsigned word, uint16_t value)
{
    trace(E1000, "%s: EEPROM[%02x] <- %04x%s", nic->pci.device.id, word, value,
          nic->ee_writable ? "" : " (write protected)");
    if (nic->ee_writable)
        nic->eeprom[word % E1000_EEPROM_WORDS] = value;
}

/* All eight bits of a command are in. */
static void begin_command(struct e1000 *nic)
{
    unsigned code = nic->ee_command >> 6, address = nic->ee_command & 63;
    nic->ee_bits = 0;
    nic->ee_phase = E1000_EE_IDLE;
    switch (code) {
    case COMMAND_READ:
        nic->ee_phase = E1000_EE_READ;
        nic->ee_output = false; /* the dummy bit */
        nic->ee_shift = nic->eeprom[address];
        return;
    case COMMAND_WRITE:
        nic->ee_phase = E1000_EE_WRITE;
        nic->ee_shift = 0;
        return;
    case COMMAND_ERASE:
        store(nic, address, 0xffff);
        break;
    case COMMAND_EXTENDED:
        if (address >> 4 == EXTENDED_ENABLE || address >> 4 == EXTENDED_DISABLE)
            nic->ee_writable = address >> 4 == EXTENDED_ENABLE;
        else if (address >> 4 == EXTENDED_ERASE_ALL)
            for (unsigned i = 0; i < E1000_EEPROM_WORDS; i++)
                store(nic, i, 0xffff);
        else {
            nic->ee_phase = E1000_EE_WRITE;
            nic->ee_shift = 0;
        }
        break;
    }
    nic->ee_output = true; /* ready: nothing here takes time */
}

static void rising_edge(struct e1000 *nic, bool input)
{
    switch ((enum e1000_ee_phase)nic->ee_phase) {
    case E1000_EE_IDLE:
        if (input) { /* the start bit */
            nic->ee_phase = E1000_EE_COMMAND;
            nic->ee_bits = 0;
            nic->ee_command = 0;
        }
        return;
    case E1000_EE_COMMAND:
        nic->ee_command = (uint8_t)(nic->ee_command << 1 | input);
        if (++nic->ee_bits == 8)
            begin_command(nic);
        return;
    case E1000_EE_READ:
        nic->ee_output = nic->ee_shift >> 15 & 1;
        nic->ee_shift = nic->ee_shift << 1 & 0xffff;
        if (++nic->ee_bits == 16) {
            uint8_t next = (nic->ee_command + 1) & 63;
            nic->ee_command = (uint8_t)((nic->ee_command & 0xc0) | next);
            nic->ee_shift = nic->eeprom[next];
            nic->ee_bits = 0;
        }
        return;
    case E1000_EE_WRITE:
        nic->ee_shift = (nic->ee_shift << 1 | input) & 0xffff;
        if (++nic->ee_bits < 16)
            return;
        if (nic->ee_command >> 6 == COMMAND_WRITE)
            store(nic, nic->ee_command & 63, (uint16_t)nic->ee_shift);
        else
            for (unsigned i = 0; i < E1000_EEPROM_WORDS; i++)
                store(nic, i, (uint16_t)nic->ee_shift);
        nic->ee_phase = E1000_EE_IDLE;
        nic->ee_bits = 0;
        nic->ee_output = true;
        return;
    case E1000_EE_PHASES:
        return;
    }
}

void e1000_eecd_written(struct e1000 *nic, uint32_t value)
{
    uint8_t before = nic->ee_lines;
    nic->ee_lines = value & (E1000_EECD_SK | E1000_EECD_CS);
    if (!(value & E1000_EECD_CS)) {
        nic->ee_phase = E1000_EE_IDLE;
        nic->ee_bits = 0;
        nic->ee_output = true;
        return;
    }
    if (value & E1000_EECD_SK && !(before & E1000_EECD_SK) && before & E1000_EECD_CS)
        rising_edge(nic, value & E1000_EECD_DI);
}

void e1000_eerd_written(struct e1000 *nic, uint32_t value)
{
    unsigned word = value >> 8 & 0xff;
    if (!(value & E1000_EERD_START))
        return;
    uint32_t data = word < E1000_EEPROM_WORDS ? nic->eeprom[word] : 0;
    *e1000_reg(nic, E1000_EERD) = data << 16 | word << 8 | E1000_EERD_DONE;
}
