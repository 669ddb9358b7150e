/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * i440FX (PAM, SMRAM), PIIX3 (PIRQ routes, reset control), PIIX4 power management (timer, events, sleep, SMI
 * port, SMBus), wired together as on the board.
 */
#include "emu/dev/i440fx.h"
#include "emu/dev/piix3.h"
#include "emu/dev/piix4_pm.h"
#include "tests/dev/chip_bench.h"

enum { ISA = 0 /* 16 wires */, DIRECT = 16 /* 4 */, RESET = 20, SCI = 21 };
enum { HOST = 0, SOUTH = 1 << 3, POWER = 1 << 3 | 3 };
enum { PM = 0x600, STS = PM, EN = PM + 2, CNT = PM + 4, TMR = PM + 8, GPE_STS = PM + 12, GPE_EN = PM + 14 };

struct rig {
    struct bench *b;
    struct pci_bus *bus;
    struct i440fx *host;
    struct piix3 *south;
    struct piix4_pm *power;
    unsigned powered_off, suspended, hibernated, woken;
    uint8_t rom[0x40000];
};

static void sleeps(void *opaque, enum piix4_sleep state)
{
    struct rig *r = opaque;
    r->powered_off += state == PIIX4_SOFT_OFF;
    r->suspended += state == PIIX4_SUSPEND;
    r->hibernated += state == PIIX4_HIBERNATE;
}

static void wakes(void *opaque)
{
    ((struct rig *)opaque)->woken++;
}

static void set_up(struct rig *r, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    r->b = bench_new();
    r->bus = pci_bus_new(r->b->mem, r->b->io);
    for (unsigned i = 0; i < sizeof r->rom; i++)
        r->rom[i] = 0xbb;
    physmap_add_rom(r->b->mem, "rom", 0xc0000, sizeof r->rom, r->rom, 0);
    r->host = i440fx_new(r->bus, &error);
    struct piix3_wiring wiring = {.reset = bench_wire(r->b, RESET)};
    for (unsigned i = 0; i < 16; i++)
        wiring.isa[i] = bench_wire(r->b, ISA + i);
    for (unsigned i = 0; i < 4; i++)
        wiring.direct[i] = bench_wire(r->b, DIRECT + i);
    r->south = piix3_new(r->bus, r->b->io, 1, &wiring, &error);
    struct piix4_pm_wiring pm = {.sci = bench_wire(r->b, SCI), .sleep = sleeps, .wake = wakes, .opaque = r};
    r->power = piix4_pm_new(r->bus, r->b->io, r->b->clock, 1, 3, &pm, &error);
    g_assert_no_error(error);
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->power);
    device_free((struct device *)r->south);
    device_free((struct device *)r->host);
    pci_bus_free(r->bus);
    bench_free(r->b);
}

static void set_conf(struct rig *r, uint8_t devfn, uint8_t offset, uint32_t value, unsigned size)
{
    pci_config_write(r->bus, devfn, offset, value, size);
}

static uint32_t conf(struct rig *r, uint8_t devfn, uint8_t offset, unsigned size)
{
    return pci_config_read(r->bus, devfn, offset, size);
}

static void enable_pm(struct rig *r)
{
    set_conf(r, POWER, 0x40, PM | 1, 4);
    set_conf(r, POWER, 0x80, 1, 1);
}

static void test_identity(struct rig *r, gconstpointer data)
{
    g_assert_cmphex(conf(r, HOST, 0, 4), ==, 0x12378086);
    g_assert_cmphex(conf(r, HOST, 0x2c, 4), ==, 0x11001af4);
    g_assert_cmphex(conf(r, HOST, PCI_COMMAND, 2), ==, 6);
    set_conf(r, HOST, PCI_COMMAND, 0, 2); /* hard-wired */
    g_assert_cmphex(conf(r, HOST, PCI_COMMAND, 2), ==, 6);
    g_assert_cmphex(conf(r, SOUTH, 0, 4), ==, 0x70008086);
    g_assert_cmphex(conf(r, SOUTH, PCI_HEADER_TYPE, 1), ==, 0x80);
    g_assert_cmphex(conf(r, POWER, 0, 4), ==, 0x71138086);
    g_assert_cmphex(conf(r, POWER, 0x58, 4) & 1 << 25, ==, 1 << 25);
}

/* What reads see, and what a write followed by a look at RAM itself shows. */
static void check_segment(struct rig *r, uint32_t base, bool read_ram, bool write_ram)
{
    uint8_t *ram = physmap_ram(r->b->mem) + base;
    *ram = 0x11;
    g_assert_cmphex(phys_read8(r->b->mem, base), ==, read_ram ? 0x11 : 0xbb);
    phys_write8(r->b->mem, base, 0x22);
    g_assert_cmphex(*ram, ==, write_ram ? 0x22 : 0x11);
}

static void test_pam(struct rig *r, gconstpointer data)
{
    static const struct {
        uint32_t base, last;
        uint8_t reg, shift;
    } segments[] = {
        {0xf0000, 0xfffff, 0x59, 4}, {0xc0000, 0xc3fff, 0x5a, 0}, {0xc4000, 0xc7fff, 0x5a, 4},
        {0xc8000, 0xcbfff, 0x5b, 0}, {0xcc000, 0xcffff, 0x5b, 4}, {0xd0000, 0xd3fff, 0x5c, 0},
        {0xd4000, 0xd7fff, 0x5c, 4}, {0xd8000, 0xdbfff, 0x5d, 0}, {0xdc000, 0xdffff, 0x5d, 4},
        {0xe0000, 0xe3fff, 0x5e, 0}, {0xe4000, 0xe7fff, 0x5e, 4}, {0xe8000, 0xebfff, 0x5f, 0},
        {0xec000, 0xeffff, 0x5f, 4},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++) {
        for (unsigned bits = 0; bits < 4; bits++) {
            set_conf(r, HOST, segments[i].reg, 0xcc | bits << segments[i].shift, 1);
            for (unsigned k = 0; k < G_N_ELEMENTS(segments); k++) {
                check_segment(r, segments[k].base, k == i && bits & 1, k == i && bits & 2);
                check_segment(r, segments[k].last, k == i && bits & 1, k == i && bits & 2);
            }
        }
        set_conf(r, HOST, segments[i].reg, 0, 1);
    }
    g_assert_cmphex(conf(r, HOST, 0x5a, 1), ==, 0);
    set_conf(r, HOST, 0x58, 0xffffffff, 4); /* several registers in one access */
    g_assert_cmphex(conf(r, HOST, 0x58, 4), ==, 0x33333000);
    i440fx_shadow_all(r->host);
    for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++)
        check_segment(r, segments[i].base, true, true);
}

static void test_smram(struct rig *r, gconstpointer data)
{
    g_assert_cmphex(conf(r, HOST, 0x72, 1), ==, 0x02);
    phys_write8(r->b->mem, 0xa0000, 0x55);
    g_assert_cmphex(phys_read8(r->b->mem, 0xa0000), ==, 0xff);
    set_conf(r, HOST, 0x72, 0x4a, 1); /* enabled and open */
    phys_write8(r->b->mem, 0xbffff, 0x55);
    g_assert_cmphex(phys_read8(r->b->mem, 0xbffff), ==, 0x55);
    set_conf(r, HOST, 0x72, 0x1a, 1); /* locked */
    g_assert_cmphex(phys_read8(r->b->mem, 0xbffff), ==, 0xff);
    set_conf(r, HOST, 0x72, 0x4a, 1);
    g_assert_cmphex(conf(r, HOST, 0x72, 1), ==, 0x1a);
    g_assert_cmphex(phys_read8(r->b->mem, 0xbffff), ==, 0xff);
    device_reset((struct device *)r->host);
    set_conf(r, HOST, 0x72, 0x4a, 1);
    g_assert_cmphex(phys_read8(r->b->mem, 0xbffff), ==, 0x55);
}

/* A function that only has an interrupt pin. */
static const struct device_class pin_class = {.name = "pin"};

static struct pci_device *pin_new(struct rig *r, int slot)
{
    g_autoptr(GError) error = NULL;
    struct pci_device *pci = g_new0(struct pci_device, 1);
    pci_device_init(pci, r->bus, &pin_class, "pin", slot, 0, 1, 1, 0xff0000, 0, &error);
    g_assert_no_error(error);
    pci->config[PCI_INTERRUPT_PIN] = 1;
    return pci;
}

static void pin_free(struct pci_device *pci)
{
    pci_device_remove(pci);
    device_free(&pci->device);
}

static void test_routes(struct rig *r, gconstpointer data)
{
    struct pci_device *a = pin_new(r, 5), *b = pin_new(r, 6); /* PIRQA, PIRQB */
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmpint(piix3_route(r->south, i), ==, -1);
    pci_set_intx(a, true);
    g_assert_true(r->b->level[DIRECT + 0]);
    for (unsigned i = 0; i < 16; i++)
        g_assert_false(r->b->level[ISA + i]);
    set_conf(r, SOUTH, 0x60, 0x0a0a, 2);
    g_assert_cmpint(piix3_route(r->south, 1), ==, 10);
    g_assert_true(r->b->level[ISA + 10]); /* a line that already stands */
    pci_set_intx(b, true);
    pci_set_intx(a, false);
    g_assert_true(r->b->level[ISA + 10]);
    g_assert_false(r->b->level[DIRECT + 0]);
    set_conf(r, SOUTH, 0x61, 0x0b, 1); /* moved while asserted */
    g_assert_false(r->b->level[ISA + 10]);
    g_assert_true(r->b->level[ISA + 11]);
    static const uint8_t reserved[] = {0, 1, 2, 8, 13, 0x80 | 11};
    for (unsigned i = 0; i < sizeof reserved; i++) {
        set_conf(r, SOUTH, 0x61, reserved[i], 1);
        for (unsigned n = 0; n < 16; n++)
            g_assert_false(r->b->level[ISA + n]);
    }
    set_conf(r, SOUTH, 0x61, 0x75, 1);
    g_assert_cmphex(conf(r, SOUTH, 0x61, 1), ==, 0x05);
    g_assert_true(r->b->level[ISA + 5]);
    bench_round_trip((struct device *)r->south, NULL, NULL);
    g_assert_true(r->b->level[ISA + 5]);
    bench_damaged_state(r->b, (struct device *)r->south);
    device_reset((struct device *)r->south);
    g_assert_false(r->b->level[ISA + 5]);
    g_assert_cmphex(conf(r, SOUTH, 0x60, 4), ==, 0x80808080);
    pin_free(a);
    pin_free(b);
}

static void test_reset_control(struct rig *r, gconstpointer data)
{
    out8(r->b, 0xcf9, 0x02);
    g_assert_cmphex(in8(r->b, 0xcf9), ==, 0x02);
    g_assert_cmpuint(r->b->rises[RESET], ==, 0);
    out8(r->b, 0xcf9, 0x06);
    g_assert_cmpuint(r->b->rises[RESET], ==, 1);
    g_assert_false(r->b->level[RESET]);
    g_assert_cmphex(in8(r->b, 0xcf9), ==, 0x02);
    out32(r->b, 0xcf8, 0x80000000); /* a whole double word is still CONFADD */
    g_assert_cmphex(in32(r->b, 0xcf8), ==, 0x80000000);
    g_assert_cmphex(in32(r->b, 0xcfc), ==, 0x12378086);
    g_assert_cmpuint(r->b->rises[RESET], ==, 1);
}

static void test_pm_base(struct rig *r, gconstpointer data)
{
    g_assert_cmphex(in32(r->b, TMR), ==, 0xffffffff);
    enable_pm(r);
    g_assert_cmphex(conf(r, POWER, 0x40, 4), ==, PM | 1);
    g_assert_cmphex(in32(r->b, TMR) >> 24, ==, 0);
    set_conf(r, POWER, 0x40, 0xb07f, 4);
    g_assert_cmphex(conf(r, POWER, 0x40, 4), ==, 0xb041);
    g_assert_cmphex(in32(r->b, TMR), ==, 0xffffffff);
    g_assert_cmphex(in32(r->b, 0xb048) >> 24, ==, 0);
    set_conf(r, POWER, 0x80, 0, 1);
    g_assert_cmphex(in32(r->b, 0xb048), ==, 0xffffffff);
}

static void test_timer(struct rig *r, gconstpointer data)
{
    enable_pm(r);
    uint32_t start = in32(r->b, TMR);
    clock_manual_advance(r->b->clock, NANOSECONDS);
    g_assert_cmpuint((in32(r->b, TMR) - start) & 0xffffff, ==, PIIX4_PM_TIMER_HZ);
    out32(r->b, TMR, 0); /* read-only */
    g_assert_cmpuint((in32(r->b, TMR) - start) & 0xffffff, ==, PIIX4_PM_TIMER_HZ);
    g_assert_cmphex(in16(r->b, STS) & 1, ==, 0);
    clock_manual_advance(r->b->clock, 1500000000); /* bit 23 toggles after 2.34 s */
    g_assert_cmphex(in16(r->b, STS) & 1, ==, 1);
    out16(r->b, STS, 1);
    g_assert_cmphex(in16(r->b, STS) & 1, ==, 0);
    out16(r->b, EN, 1);
    out8(r->b, 0xb2, 0xf1);
    g_assert_false(r->b->level[SCI]);
    clock_manual_advance(r->b->clock, 2343000000);
    g_assert_true(r->b->level[SCI]);
    out16(r->b, STS, 1);
    g_assert_false(r->b->level[SCI]);
    clock_manual_advance(r->b->clock, 2343000000);
    g_assert_true(r->b->level[SCI]);
    out16(r->b, EN, 0);
    g_assert_false(r->b->level[SCI]);
    out16(r->b, STS, 1);
    g_assert_cmpint(clock_next_deadline(r->b->clock), ==, CLOCK_NEVER); /* nothing wakes an idle host */
}

static void test_power_button(struct rig *r, gconstpointer data)
{
    enable_pm(r);
    piix4_pm_power_button(r->power);
    g_assert_cmphex(in16(r->b, STS) & 0x100, ==, 0x100);
    g_assert_false(r->b->level[SCI]);
    out16(r->b, EN, 0x100);
    g_assert_false(r->b->level[SCI]); /* ACPI is not on */
    out8(r->b, 0xb2, 0xf1);
    g_assert_cmphex(in16(r->b, CNT) & 1, ==, 1);
    g_assert_true(r->b->level[SCI]);
    out8(r->b, STS + 1, 0x01); /* a byte of the register */
    g_assert_false(r->b->level[SCI]);
    out8(r->b, 0xb2, 0xf0);
    g_assert_cmphex(in16(r->b, CNT) & 1, ==, 0);
    out8(r->b, 0xb3, 0x5a);
    g_assert_cmphex(in8(r->b, 0xb3), ==, 0x5a);
    g_assert_cmphex(in8(r->b, 0xb2), ==, 0xf0);
}

static void test_sleep(struct rig *r, gconstpointer data)
{
    enable_pm(r);
    out8(r->b, 0xb2, 0xf1);
    out16(r->b, CNT, 1 << 10 | 1); /* type without enable */
    g_assert_cmphex(in16(r->b, CNT), ==, 0x0401);
    out16(r->b, CNT, 1 << 13 | 3 << 10 | 1); /* a state that is not offered: awake again at once */
    g_assert_cmpuint(r->powered_off + r->suspended + r->hibernated, ==, 0);
    g_assert_cmphex(in16(r->b, STS) & 0x8000, ==, 0x8000);
    g_assert_cmphex(in16(r->b, CNT) & 0x2000, ==, 0); /* write-only */
    out16(r->b, CNT, 0x2001);
    g_assert_cmpuint(r->powered_off, ==, 1);
    out8(r->b, CNT + 1, 0x20);
    g_assert_cmpuint(r->powered_off, ==, 2);
    g_assert_cmphex(in16(r->b, CNT) & 1, ==, 1); /* SCI_EN is the firmware's bit */
}

enum { S3_NOW = 1 << 13 | 1 << 10, S4_NOW = 1 << 13 | 2 << 10, BUTTON = 0x100, ALARM = 0x400 };

static void test_suspend(struct rig *r, gconstpointer data)
{
    struct irq_line alarm = piix4_pm_alarm_input(r->power);
    struct device *power = (struct device *)r->power;
    enable_pm(r);
    out8(r->b, 0xb2, 0xf1);
    g_assert_false(piix4_pm_wake(r->power)); /* it is awake */
    out16(r->b, CNT, S3_NOW);
    g_assert_cmpuint(r->suspended, ==, 1);
    g_assert_true(piix4_pm_is_asleep(r->power));
    irq_set(&alarm, true); /* not enabled: noted, and no more */
    irq_set(&alarm, false);
    piix4_pm_power_button(r->power);
    g_assert_cmpuint(r->woken, ==, 0);
    g_assert_true(piix4_pm_wake(r->power));
    g_assert_cmpuint(r->woken, ==, 1);
    device_wake(power);
    g_assert_false(piix4_pm_is_asleep(r->power));
    g_assert_cmphex(conf(r, POWER, 0x40, 4), ==, 1); /* its configuration lost power */
    enable_pm(r);
    g_assert_cmphex(in16(r->b, STS), ==, 0x8000 | ALARM | BUTTON);
    g_assert_cmphex(in16(r->b, CNT), ==, 1); /* ACPI is on as it was */

    /* An event that is enabled wakes; one that is there already wakes at once. */
    out16(r->b, STS, 0xffff);
    out16(r->b, EN, ALARM);
    out16(r->b, CNT, S3_NOW);
    piix4_pm_power_button(r->power);
    g_assert_cmpuint(r->woken, ==, 1);
    irq_set(&alarm, true);
    g_assert_cmpuint(r->woken, ==, 2);
    device_wake(power);
    enable_pm(r);
    g_assert_cmphex(in16(r->b, EN), ==, ALARM);
    g_assert_true(r->b->level[SCI]);
    out16(r->b, CNT, S3_NOW);
    g_assert_cmpuint(r->woken, ==, 3);
    out16(r->b, STS, 0xffff);
    irq_set(&alarm, true); /* a level that was up makes no event */
    g_assert_cmphex(in16(r->b, STS) & ALARM, ==, 0);

    /* A reset ends sleep; S4 is off, and not asleep. */
    device_reset(power);
    g_assert_false(piix4_pm_is_asleep(r->power));
    enable_pm(r);
    out16(r->b, CNT, S4_NOW);
    g_assert_cmpuint(r->hibernated, ==, 1);
    g_assert_false(piix4_pm_is_asleep(r->power));
}

/* What firmware and guest find as they left it: shadow RAM and interrupt routes. */
static void test_kept_in_suspend(struct rig *r, gconstpointer data)
{
    set_conf(r, HOST, 0x59, 0x30, 1);
    set_conf(r, HOST, 0x5a, 0x13, 1);
    set_conf(r, SOUTH, 0x60, 0x0b0a0b0a, 4);
    phys_write8(r->b->mem, 0xf1000, 0x5a);
    set_conf(r, HOST, 0x59, 0x10, 1);
    set_conf(r, SOUTH, 0x4e, 0xff, 1);
    device_wake((struct device *)r->host);
    device_wake((struct device *)r->south);
    g_assert_cmphex(conf(r, HOST, 0x59, 1), ==, 0x10);
    g_assert_cmphex(conf(r, HOST, 0x5a, 1), ==, 0x13);
    g_assert_cmphex(phys_read8(r->b->mem, 0xf1000), ==, 0x5a);
    g_assert_cmphex(conf(r, SOUTH, 0x60, 4), ==, 0x0b0a0b0a);
    g_assert_cmphex(conf(r, SOUTH, 0x4e, 1), ==, 0x03);
    device_reset((struct device *)r->host);
    device_reset((struct device *)r->south);
    g_assert_cmphex(conf(r, HOST, 0x59, 1), ==, 0);
    g_assert_cmphex(phys_read8(r->b->mem, 0xf1000), ==, 0xbb);
    g_assert_cmphex(conf(r, SOUTH, 0x60, 4), ==, 0x80808080);
}

static void test_other_registers(struct rig *r, gconstpointer data)
{
    enable_pm(r);
    out16(r->b, GPE_EN, 0xffff);
    g_assert_cmphex(in16(r->b, GPE_EN), ==, 0x0f03);
    g_assert_cmphex(in16(r->b, GPE_STS), ==, 0);
    piix4_pm_raise_gpe(r->power, 1); /* what PCI hot-plug raises */
    piix4_pm_raise_gpe(r->power, 2); /* no such event */
    g_assert_cmphex(in16(r->b, GPE_STS), ==, 2);
    out16(r->b, GPE_STS, 2);
    g_assert_cmphex(in16(r->b, GPE_STS), ==, 0);
    out32(r->b, PM + 0x10, 0x12345678);
    g_assert_cmphex(in32(r->b, PM + 0x10), ==, 0x12345678);
    out8(r->b, PM + 0x12, 0xaa);
    g_assert_cmphex(in32(r->b, PM + 0x10), ==, 0x12aa5678);
    portio_write(r->b->io, PM + 0x11, 0xbbcc, 2); /* across two registers */
    g_assert_cmphex(in32(r->b, PM + 0x10), ==, 0x12bbcc78);
    portio_write(r->b->io, PM + 1, 0xffffffff, 4);
    g_assert_cmphex(in16(r->b, EN), ==, 0x0521);
    portio_read(r->b->io, PM + 0x3d, 4);
    portio_write(r->b->io, PM + 0x3d, 0xffffffff, 4);
}

static void test_pm2_control(struct rig *r, gconstpointer data)
{
    g_assert_cmphex(in8(r->b, PM2_CONTROL_PORT), ==, 0);
    out8(r->b, PM2_CONTROL_PORT, 0xff);
    g_assert_cmphex(in8(r->b, PM2_CONTROL_PORT), ==, 1); /* ARB_DIS; the rest is reserved */
    bench_round_trip((struct device *)r->power, NULL, NULL);
    g_assert_cmphex(in8(r->b, PM2_CONTROL_PORT), ==, 1);
    out8(r->b, PM2_CONTROL_PORT, 0xfe);
    g_assert_cmphex(in8(r->b, PM2_CONTROL_PORT), ==, 0);
}

static void test_smbus(struct rig *r, gconstpointer data)
{
    set_conf(r, POWER, 0x90, 0x0701, 4);
    set_conf(r, POWER, 0xd2, 1, 1);
    g_assert_cmphex(in8(r->b, 0x700), ==, 0);
    out8(r->b, 0x704, 0xa1);
    out8(r->b, 0x702, 0x48);                     /* byte data, start */
    g_assert_cmphex(in8(r->b, 0x700), ==, 0x06); /* done; nobody answered */
    out8(r->b, 0x700, 0x1e);
    g_assert_cmphex(in8(r->b, 0x700), ==, 0);
    g_assert_cmphex(in8(r->b, 0x704), ==, 0xa1);
    g_assert_cmphex(in8(r->b, 0x702), ==, 0x08);
    out8(r->b, 0x70f, 1);
    g_assert_cmphex(in8(r->b, 0x70f), ==, 0);
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    enable_pm(r);
    out8(r->b, 0xb2, 0xf1);
    out16(r->b, EN, 0x0521);
    out32(r->b, PM + 0x28, 0xfeedbeef);
    piix4_pm_power_button(r->power);
    set_conf(r, POWER, 0x90, 0x0701, 4);
    set_conf(r, POWER, 0xd2, 1, 1);
    out8(r->b, 0x705, 0x77);
    out8(r->b, PM2_CONTROL_PORT, 1);
}

static void disturb_host(void *opaque)
{
    struct rig *r = opaque;
    set_conf(r, HOST, 0x59, 0x33331030, 4);
    set_conf(r, HOST, 0x72, 0x4a, 1);
    out32(r->b, 0xcf8, 0x80001234);
}

static void test_state(struct rig *r, gconstpointer data)
{
    disturb(r);
    bench_round_trip((struct device *)r->power, NULL, NULL);
    g_assert_cmphex(in8(r->b, 0x705), ==, 0x77);
    g_assert_true(r->b->level[SCI]);
    bench_damaged_state(r->b, (struct device *)r->power);
    bench_reset_is_complete((struct device *)r->power, disturb, r);
    g_assert_false(r->b->level[SCI]);
    g_assert_cmphex(in16(r->b, STS), ==, 0xffff);
    disturb_host(r);
    bench_round_trip((struct device *)r->host, NULL, NULL);
    g_assert_cmphex(in32(r->b, 0xcf8), ==, 0x80001234);
    check_segment(r, 0xf0000, true, true);
    check_segment(r, 0xc4000, true, false);
    bench_damaged_state(r->b, (struct device *)r->host);
    bench_reset_is_complete((struct device *)r->host, disturb_host, r);
    check_segment(r, 0xf0000, false, false);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/bridges/" #name, struct rig, NULL, set_up, test_##name, tear_down)
    TEST(identity);
    TEST(pam);
    TEST(smram);
    TEST(routes);
    TEST(reset_control);
    TEST(pm_base);
    TEST(timer);
    TEST(power_button);
    TEST(sleep);
    TEST(suspend);
    TEST(kept_in_suspend);
    TEST(other_registers);
    TEST(pm2_control);
    TEST(smbus);
    TEST(state);
    return g_test_run();
}
