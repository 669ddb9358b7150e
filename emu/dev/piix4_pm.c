/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * PIIX4 power management: see piix4_pm.h. Intel 82371AB (PIIX4) datasheet (290562), chapter 7; ACPI 2.0,
 * chapter 4.8 for the fixed registers.
 *
 * The PM timer is guest time; its overflow status is set whenever bit 23 toggles, found out when somebody
 * looks or, while the interrupt is enabled, by a timer. The board has no SMM: the SMI command port does at
 * once what an SMI handler would (ACPI on, ACPI off), and DEVACTB.APMC_EN reads as set, which tells firmware
 * that it need not install one. The SMBus has a working host controller and no device on it: every
 * transaction ends with DEV_ERR. PM2_CNT (ACPI 4.8.3.3) is the board's, at a port of its own: with one
 * processor and no C3 its ARB_DIS is kept and stops nobody.
 *
 * Sleep: SLP_TYP 0 is soft off, 1 suspend to RAM, 2 hibernated (off). In S3 the machine stands and this chip
 * waits for an enabled event, the power button or the RTC's alarm; then the board resets what lost its power
 * (device_wake) and starts the CPU where firmware starts. WAK_STS tells the guest that it has slept.
 */
#include "emu/dev/piix4_pm.h"
#include "emu/trace.h"

#include <gio/gio.h>

enum {
    PMBASE = 0x40,
    DEVACTB_APMC_EN_BYTE = 0x5b,
    APMC_EN = 0x02,
    PMREGMISC = 0x80,
    SMBBASE = 0x90,
    SMBHSTCFG = 0xd2
};
enum { PM_SIZE = 64, SMB_SIZE = 16, SMI_STATUS_PORT = 0xb3 };
enum { PM1_STS = 0x00, PM1_EN = 0x02, PM1_CNT = 0x04, PM_TMR = 0x08, GPE0_STS = 0x0c, GPE0_EN = 0x0e };
enum {
    TMROF = 0x0001,
    BUSMASTER = 0x0010,
    GLOBAL = 0x0020,
    POWER_BUTTON = 0x0100,
    RTC_ALARM = 0x0400,
    WAKE = 0x8000
};
enum { STS_BITS = TMROF | BUSMASTER | GLOBAL | POWER_BUTTON | RTC_ALARM | WAKE };
enum { EN_BITS = TMROF | GLOBAL | POWER_BUTTON | RTC_ALARM };
enum { CNT_SCI_EN = 0x0001, CNT_SLP_EN = 0x2000, CNT_STORED = 0x1c03, SLP_TYP_SHIFT = 10 };
enum { WAKE_EVENTS = POWER_BUTTON | RTC_ALARM };
enum { PM2_ARB_DIS = 0x01 };
enum {
    TIMER_MASK = 0xffffff,
    TIMER_HALF_BITS = 23,
    GPE_BITS = 0x0f03 /* bit 1: the board's, for PCI hot-plug */
};
enum {
    SMB_STATUS = 0,
    SMB_SLAVE_STATUS = 1,
    SMB_CONTROL = 2,
    SMB_COMMAND = 3,
    SMB_ADDRESS = 4,
    SMB_DATA0 = 5,
    SMB_DATA1 = 6,
    SMB_BLOCK = 7,
    SMB_REGISTERS = 14
};
enum { SMB_INTR = 0x02, SMB_DEV_ERR = 0x04, SMB_STATUS_BITS = 0x1e, SMB_START = 0x40 };

struct piix4_pm {
    struct pci_device pci;
    struct piix4_pm_wiring wiring;
    struct portio *io;
    struct clock *clock;
    struct clock_timer *overflow;
    struct portio_range *pm_ports, *smb_ports;
    uint16_t pm1_sts, pm1_en, pm1_cnt, gpe_sts, gpe_en;
    uint8_t smi_command, smi_status, pm2_cnt;
    bool asleep, alarm;         /* alarm: the level of its wire */
    uint64_t half_seen;         /* half periods of the timer up to which its status is accounted for */
    uint8_t pm_stored[PM_SIZE]; /* processor and device control from 0x10 on: kept, without effect */
    uint8_t smb[SMB_REGISTERS];
};

static uint64_t timer_now(const struct piix4_pm *pm)
{
    int64_t now = clock_now(pm->clock);
    return clock_muldiv((uint64_t)MAX(now, 0), PIIX4_PM_TIMER_HZ, NANOSECONDS);
}

/* ---- SCI ---- */

static void collect(struct piix4_pm *pm)
{
    uint64_t half = timer_now(pm) >> TIMER_HALF_BITS;
    if (half != pm->half_seen)
        pm->pm1_sts |= TMROF;
    pm->half_seen = half;
}

static void update(struct piix4_pm *pm)
{
    collect(pm);
    bool event = pm->pm1_sts & pm->pm1_en & EN_BITS || pm->gpe_sts & pm->gpe_en;
    irq_set(&pm->wiring.sci, event && pm->pm1_cnt & CNT_SCI_EN);
    int64_t deadline = CLOCK_NEVER;
    if (pm->pm1_en & TMROF && !(pm->pm1_sts & TMROF))
        deadline =
            (int64_t)clock_muldiv((pm->half_seen + 1) << TIMER_HALF_BITS, NANOSECONDS, PIIX4_PM_TIMER_HZ) + 1;
    clock_timer_set(pm->overflow, deadline);
}

/* What can happen in S3: an enabled event wakes, and so does one that was there already. */
static void update_asleep(struct piix4_pm *pm)
{
    if (pm->asleep && pm->pm1_sts & pm->pm1_en & WAKE_EVENTS)
        pm->wiring.wake(pm->wiring.opaque);
}

static void overflow_fire(void *opaque)
{
    update(opaque);
}

void piix4_pm_power_button(struct piix4_pm *pm)
{
    trace(ACPI, "power button");
    pm->pm1_sts |= POWER_BUTTON;
    update(pm);
    update_asleep(pm);
}

static void alarm_set(void *opaque, unsigned n, bool level)
{
    struct piix4_pm *pm = opaque;
    bool rises = level && !pm->alarm;
    pm->alarm = level;
    if (!rises)
        return;
    trace(ACPI, "RTC alarm");
    pm->pm1_sts |= RTC_ALARM;
    update(pm);
    update_asleep(pm);
}

struct irq_line piix4_pm_alarm_input(struct piix4_pm *pm)
{
    return (struct irq_line){.set = alarm_set, .opaque = pm};
}

bool piix4_pm_is_asleep(const struct piix4_pm *pm)
{
    return pm->asleep;
}

bool piix4_pm_wake(struct piix4_pm *pm)
{
    if (pm->asleep)
        pm->wiring.wake(pm->wiring.opaque);
    return pm->asleep;
}

void piix4_pm_raise_gpe(struct piix4_pm *pm, unsigned event)
{
    trace(ACPI, "general-purpose event %u", event);
    pm->gpe_sts |= (uint16_t)(1u << event & GPE_BITS);
    update(pm);
}

/* ---- fixed registers ---- */

static void control_write(struct piix4_pm *pm, uint16_t value)
{
    pm->pm1_cnt = (uint16_t)((value & CNT_STORED & ~CNT_SCI_EN) | (pm->pm1_cnt & CNT_SCI_EN));
    if (!(value & CNT_SLP_EN))
        return;
    unsigned type = value >> SLP_TYP_SHIFT & 7;
    trace(ACPI, "sleep, type %u", type);
    if (type > PIIX4_HIBERNATE) { /* states that are not offered: awake at once */
        pm->pm1_sts |= WAKE;
        return;
    }
    pm->asleep = type == PIIX4_SUSPEND;
    pm->wiring.sleep(pm->wiring.opaque, (enum piix4_sleep)type);
    update_asleep(pm);
}

static uint8_t pm_byte_read(struct piix4_pm *pm, unsigned offset)
{
    unsigned shift = 8 * (offset & 1);
    switch (offset & ~1u) {
    case PM1_STS:
        collect(pm);
        return (uint8_t)(pm->pm1_sts >> shift);
    case PM1_EN:
        return (uint8_t)(pm->pm1_en >> shift);
    case PM1_CNT:
        return (uint8_t)(pm->pm1_cnt >> shift);
    case PM_TMR:
    case PM_TMR + 2:
        return (uint8_t)((timer_now(pm) & TIMER_MASK) >> 8 * (offset - PM_TMR));
    case GPE0_STS:
        return (uint8_t)(pm->gpe_sts >> shift);
    case GPE0_EN:
        return (uint8_t)(pm->gpe_en >> shift);
    default:
        return pm->pm_stored[offset];
    }
}

/* One register's worth: `value` and `mask` have what was written of the 16 bits at an even offset. */
static void pm_word_write(struct piix4_pm *pm, unsigned offset, uint16_t value, uint16_t mask)
{
    switch (offset) {
    case PM1_STS:
        collect(pm);
        pm->pm1_sts &= (uint16_t) ~(value & mask & STS_BITS);
        break;
    case PM1_EN:
        pm->pm1_en = (uint16_t)(((pm->pm1_en & ~mask) | (value & mask)) & EN_BITS);
        break;
    case PM1_CNT:
        control_write(pm, (uint16_t)((pm->pm1_cnt & ~mask) | (value & mask)));
        break;
    case PM_TMR:
    case PM_TMR + 2:
        break; /* read-only */
    case GPE0_STS:
        pm->gpe_sts &= (uint16_t) ~(value & mask & GPE_BITS);
        break;
    case GPE0_EN:
        pm->gpe_en = (uint16_t)(((pm->gpe_en & ~mask) | (value & mask)) & GPE_BITS);
        break;
    default:
        if (mask & 0xff)
            pm->pm_stored[offset] = (uint8_t)value;
        if (mask & 0xff00)
            pm->pm_stored[offset + 1] = (uint8_t)(value >> 8);
        break;
    }
}

static uint32_t pm_read(void *opaque, uint16_t port, unsigned size)
{
    struct piix4_pm *pm = opaque;
    unsigned offset = port & (PM_SIZE - 1);
    if (offset == PM_TMR && size == 4) /* read whole: bytes taken apart would tear */
        return (uint32_t)timer_now(pm) & TIMER_MASK;
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)pm_byte_read(pm, (offset + i) & (PM_SIZE - 1)) << 8 * i;
    return value;
}

static void pm_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct piix4_pm *pm = opaque;
    unsigned offset = port & (PM_SIZE - 1);
    trace(ACPI, "PM +%02x <- %0*x", offset, 2 * (int)size, value);
    if (size == 1 || offset & 1) { /* registers stand at even offsets: take the rest apart */
        for (unsigned i = 0; i < size; i++) {
            unsigned at = (offset + i) & (PM_SIZE - 1), shift = 8 * (at & 1);
            pm_word_write(pm, at & ~1u, (uint16_t)((value >> 8 * i & 0xff) << shift),
                          (uint16_t)(0xff << shift));
        }
    } else {
        for (unsigned i = 0; i < size; i += 2)
            pm_word_write(pm, (offset + i) & (PM_SIZE - 1), (uint16_t)(value >> 8 * i), 0xffff);
    }
    update(pm);
}

static const struct portio_ops pm_ops = {.read = pm_read, .write = pm_write, .max_size = 4};

/* ---- SMI command port ---- */

static uint32_t smi_read(void *opaque, uint16_t port, unsigned size)
{
    const struct piix4_pm *pm = opaque;
    return port == SMI_STATUS_PORT ? pm->smi_status : pm->smi_command;
}

static void smi_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct piix4_pm *pm = opaque;
    if (port == SMI_STATUS_PORT) {
        pm->smi_status = (uint8_t)value;
        return;
    }
    pm->smi_command = (uint8_t)value;
    if (value == PIIX4_ACPI_ENABLE)
        pm->pm1_cnt |= CNT_SCI_EN;
    else if (value == PIIX4_ACPI_DISABLE)
        pm->pm1_cnt &= (uint16_t)~CNT_SCI_EN;
    trace(ACPI, "SMI command %02x%s", value, pm->pm1_cnt & CNT_SCI_EN ? " (ACPI on)" : "");
    update(pm);
}

static const struct portio_ops smi_ops = {.read = smi_read, .write = smi_write};

/* ---- PM2 control ---- */

static uint32_t pm2_read(void *opaque, uint16_t port, unsigned size)
{
    const struct piix4_pm *pm = opaque;
    return pm->pm2_cnt;
}

static void pm2_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct piix4_pm *pm = opaque;
    pm->pm2_cnt = value & PM2_ARB_DIS;
}

static const struct portio_ops pm2_ops = {.read = pm2_read, .write = pm2_write};

/* ---- SMBus ---- */

static uint32_t smb_read(void *opaque, uint16_t port, unsigned size)
{
    const struct piix4_pm *pm = opaque;
    unsigned offset = port & (SMB_SIZE - 1);
    return offset < SMB_REGISTERS ? pm->smb[offset] : 0;
}

static void smb_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct piix4_pm *pm = opaque;
    unsigned offset = port & (SMB_SIZE - 1);
    switch (offset) {
    case SMB_STATUS:
        pm->smb[SMB_STATUS] &= (uint8_t) ~(value & SMB_STATUS_BITS);
        break;
    case SMB_SLAVE_STATUS:
        pm->smb[SMB_SLAVE_STATUS] &= (uint8_t)~value;
        break;
    case SMB_CONTROL:
        pm->smb[SMB_CONTROL] = (uint8_t)(value & ~SMB_START);
        if (value & SMB_START) /* nobody acknowledges the address */
            pm->smb[SMB_STATUS] |= SMB_INTR | SMB_DEV_ERR;
        break;
    default:
        if (offset < SMB_REGISTERS)
            pm->smb[offset] = (uint8_t)value;
        break;
    }
}

static const struct portio_ops smb_ops = {.read = smb_read, .write = smb_write};

/* ---- configuration space ---- */

static void place(struct piix4_pm *pm, struct portio_range *range, unsigned reg, unsigned size, bool on)
{
    unsigned base = pci_get16(&pm->pci, reg) & ~(size - 1);
    on = on && base != 0;
    if (on)
        portio_range_move(pm->io, range, (uint16_t)base);
    portio_range_enable(pm->io, range, on);
}

static void place_all(struct piix4_pm *pm)
{
    place(pm, pm->pm_ports, PMBASE, PM_SIZE, pm->pci.config[PMREGMISC] & 1);
    place(pm, pm->smb_ports, SMBBASE, SMB_SIZE, pm->pci.config[SMBHSTCFG] & 1);
}

static void written(struct pci_device *pci, uint8_t offset, unsigned size)
{
    place_all((struct piix4_pm *)pci);
}

static void piix4_pm_reset(struct device *device)
{
    struct piix4_pm *pm = (struct piix4_pm *)device;
    pci_device_reset(&pm->pci);
    uint8_t *config = pm->pci.config;
    pci_set16(&pm->pci, PCI_STATUS, 0x0280);
    for (unsigned i = 0x40; i < 256; i++)
        config[i] = 0;
    config[PMBASE] = config[SMBBASE] = 1;
    config[DEVACTB_APMC_EN_BYTE] = APMC_EN;
    pm->pm1_sts = pm->pm1_en = pm->pm1_cnt = pm->gpe_sts = pm->gpe_en = 0;
    pm->smi_command = pm->smi_status = pm->pm2_cnt = 0;
    pm->asleep = false;
    for (unsigned i = 0; i < PM_SIZE; i++)
        pm->pm_stored[i] = 0;
    for (unsigned i = 0; i < SMB_REGISTERS; i++)
        pm->smb[i] = 0;
    pm->half_seen = timer_now(pm) >> TIMER_HALF_BITS;
    place_all(pm);
    update(pm);
}

/* Events, what they wake for, and SCI_EN are in the well that is powered in S3; firmware of this board has no
 * handler that would switch ACPI on again. */
static void piix4_pm_wake_up(struct device *device)
{
    struct piix4_pm *pm = (struct piix4_pm *)device;
    uint16_t sts = pm->pm1_sts & (WAKE_EVENTS), en = pm->pm1_en, cnt = pm->pm1_cnt & CNT_SCI_EN;
    piix4_pm_reset(device);
    pm->pm1_sts = sts | WAKE;
    pm->pm1_en = en;
    pm->pm1_cnt = cnt;
    update(pm);
}

static bool piix4_pm_after_load(void *device, GError **error)
{
    struct piix4_pm *pm = device;
    if (!pci_after_load(&pm->pci, error))
        return false;
    pm->pm1_sts &= STS_BITS;
    pm->pm1_en &= EN_BITS;
    pm->pm1_cnt &= CNT_STORED;
    pm->gpe_sts &= GPE_BITS;
    pm->gpe_en &= GPE_BITS;
    pm->pm2_cnt &= PM2_ARB_DIS;
    place_all(pm);
    update(pm);
    return true;
}

static const struct state_field piix4_pm_fields[] = {
    PCI_STATE_ROWS(struct piix4_pm),
    STATE(struct piix4_pm, U16, pm1_sts),
    STATE(struct piix4_pm, U16, pm1_en),
    STATE(struct piix4_pm, U16, pm1_cnt),
    STATE(struct piix4_pm, U16, gpe_sts),
    STATE(struct piix4_pm, U16, gpe_en),
    STATE(struct piix4_pm, U8, smi_command),
    STATE(struct piix4_pm, U8, smi_status),
    STATE(struct piix4_pm, U64, half_seen),
    STATE_ARRAY(struct piix4_pm, BYTES, pm_stored),
    STATE_ARRAY(struct piix4_pm, BYTES, smb),
    STATE_SINCE(struct piix4_pm, U8, pm2_cnt, 2),
    STATE_SINCE(struct piix4_pm, BOOL, asleep, 3),
    STATE_SINCE(struct piix4_pm, BOOL, alarm, 3),
};
static const struct state_table piix4_pm_state = {
    .name = "piix4_pm",
    .version = 3,
    .fields = piix4_pm_fields,
    .count = G_N_ELEMENTS(piix4_pm_fields),
    .after_load = piix4_pm_after_load,
};

static void piix4_pm_free(struct device *device)
{
    struct piix4_pm *pm = (struct piix4_pm *)device;
    clock_timer_free(pm->overflow);
    pci_device_remove(&pm->pci);
    g_free(pm);
}

static const struct device_class piix4_pm_class = {.name = "PIIX4_PM",
                                                   .state = &piix4_pm_state,
                                                   .reset = piix4_pm_reset,
                                                   .wake = piix4_pm_wake_up,
                                                   .free = piix4_pm_free};

struct piix4_pm *piix4_pm_new(struct pci_bus *bus, struct portio *io, struct clock *clock, int slot,
                              unsigned function, const struct piix4_pm_wiring *wiring, GError **error)
{
    struct piix4_pm *pm = g_new0(struct piix4_pm, 1);
    if (!pci_device_init(&pm->pci, bus, &piix4_pm_class, "power", slot, function, 0x8086, 0x7113, 0x068000, 3,
                         error)) {
        g_free(pm);
        return NULL;
    }
    pm->wiring = *wiring;
    pm->io = io;
    pm->clock = clock;
    pm->overflow = clock_timer_new(clock, overflow_fire, pm);
    pm->pm_ports = portio_add(io, "acpi-pm", 0, PM_SIZE, &pm_ops, pm);
    portio_range_enable(io, pm->pm_ports, false);
    pm->smb_ports = portio_add(io, "smbus", 0, SMB_SIZE, &smb_ops, pm);
    portio_range_enable(io, pm->smb_ports, false);
    portio_add(io, "smi-command", PIIX4_SMI_PORT, 2, &smi_ops, pm);
    portio_add(io, "acpi-pm2", PM2_CONTROL_PORT, 1, &pm2_ops, pm);
    pm->pci.config[PCI_INTERRUPT_PIN] = 1; /* shows as INTA#, but the SCI is wired to IRQ 9 */
    for (unsigned i = 0x40; i < 256; i++)
        pm->pci.wmask[i] = 0xff;
    pm->pci.wmask[PMBASE] = 0xc0;
    pm->pci.wmask[PMBASE + 2] = pm->pci.wmask[PMBASE + 3] = 0;
    pm->pci.wmask[SMBBASE] = 0xf0;
    pm->pci.wmask[SMBBASE + 2] = pm->pci.wmask[SMBBASE + 3] = 0;
    pm->pci.config_written = written;
    piix4_pm_reset(&pm->pci.device);
    return pm;
}
