/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * ACPI and MP tables, and boot without firmware: signatures, lengths, checksums, pointers; the DSDT walked as
 * AML and its routes compared with what the chips do; disassembled by iasl where that is installed; what
 * firmware_setup() leaves in the chips.
 */
#include "emu/dev/ioapic.h"
#include "emu/dev/lapic.h"
#include "emu/dev/pic.h"
#include "emu/dev/piix4_pm.h"
#include "emu/machine/aml.h"
#include "emu/machine/firmware.h"
#include "tests/dev/chip_bench.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

static const uint8_t pirq_isa[4] = {10, 10, 11, 11};
static const struct acpi_config config = {
    .pm_base = 0x600,
    .pci_hole_start = 0xc0000000,
    .pci_hole_end = 0xfec00000,
    .serial = {true, true},
    .mouse = true,
    .fwcfg = true,
    .hotplug_slots = 0xfffffffc,
    .pirq_isa = pirq_isa,
};

enum { TABLES_BASE = 0xe0000 };

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, 4);
    return GUINT32_FROM_LE(value);
}

static uint8_t sum(const uint8_t *data, size_t len)
{
    uint8_t total = 0;
    while (len--)
        total = (uint8_t)(total + *data++);
    return total;
}

/* The table at absolute address `at` of the blob, checked. */
static const uint8_t *table(const GByteArray *blob, uint32_t at, const char *signature)
{
    g_assert_cmpuint(at, >=, TABLES_BASE);
    const uint8_t *t = blob->data + (at - TABLES_BASE);
    g_assert_cmpuint(at - TABLES_BASE + 8, <=, blob->len);
    g_assert_cmpmem(t, 4, signature, 4);
    g_assert_cmpuint(at - TABLES_BASE + get32(t + 4), <=, blob->len);
    return t;
}

static void test_tables(void)
{
    g_autoptr(GByteArray) blob = acpi_build(&config, TABLES_BASE);
    g_assert_cmpmem(blob->data, 8, "RSD PTR ", 8);
    g_assert_cmpuint(sum(blob->data, 20), ==, 0);
    const uint8_t *rsdt = table(blob, get32(blob->data + 16), "RSDT");
    g_assert_cmpuint(sum(rsdt, get32(rsdt + 4)), ==, 0);
    g_assert_cmpuint(get32(rsdt + 4), ==, 36 + 8);
    const uint8_t *fadt = table(blob, get32(rsdt + 36), "FACP"),
                  *madt = table(blob, get32(rsdt + 40), "APIC");
    g_assert_cmpuint(sum(fadt, get32(fadt + 4)), ==, 0);
    g_assert_cmpuint(sum(madt, get32(madt + 4)), ==, 0);
    g_assert_cmpuint(get32(fadt + 4), ==, 244);
    const uint8_t *facs = table(blob, get32(fadt + 36), "FACS"),
                  *dsdt = table(blob, get32(fadt + 40), "DSDT");
    g_assert_cmpuint((size_t)(facs - blob->data) % 64, ==, 0);
    g_assert_cmpuint(sum(dsdt, get32(dsdt + 4)), ==, 0);
    g_assert_cmpuint(fadt[46], ==, 9);
    g_assert_cmphex(get32(fadt + 48), ==, 0xb2);
    g_assert_cmphex(get32(fadt + 56), ==, 0x600);
    g_assert_cmphex(get32(fadt + 76), ==, 0x608);
    g_assert_cmphex(get32(fadt + 72), ==,
                    PM2_CONTROL_PORT); /* and X_PM2_CNT_BLK says the same: one byte of I/O */
    g_assert_cmpuint(fadt[90], ==, 1);
    static const uint8_t x_pm2[12] = {1, 8, 0, 1, PM2_CONTROL_PORT & 0xff, PM2_CONTROL_PORT >> 8};
    g_assert_cmpmem(fadt + 196, 12, x_pm2, 12);
    g_assert_cmphex(get32(fadt + 112) & 1 << 10, ==, 1 << 10);
    g_assert_cmphex(get32(fadt + 120), ==, 0xcf9);
    g_assert_cmphex(fadt[128], ==, 0x06);
    g_assert_cmphex(get32(madt + 36), ==, LAPIC_ADDRESS);
    unsigned kinds[5] = {0};
    for (uint32_t at = 44; at < get32(madt + 4); at += madt[at + 1]) {
        g_assert_cmpuint(madt[at], <, 5);
        g_assert_cmpuint(madt[at + 1], >=, 6);
        kinds[madt[at]]++;
    }
    g_assert_cmpuint(kinds[0], ==, 1);
    g_assert_cmpuint(kinds[1], ==, 1);
    g_assert_cmpuint(kinds[2], ==, 2);
    g_assert_cmpuint(kinds[4], ==, 1);
}

/* ---- AML, as far as our DSDT uses it ---- */

struct walker {
    const uint8_t *data;
    size_t pos, end;
};

static uint8_t next_byte(struct walker *w)
{
    g_assert_cmpuint(w->pos, <, w->end);
    return w->data[w->pos++];
}

/* The end of the term whose PkgLength stands here. */
static size_t package_end(struct walker *w)
{
    size_t start = w->pos;
    uint8_t lead = next_byte(w);
    size_t length = lead >> 6 ? lead & 15 : lead & 63;
    for (unsigned i = 0; i < lead >> 6; i++)
        length |= (size_t)next_byte(w) << (4 + 8 * i);
    g_assert_cmpuint(start + length, <=, w->end);
    return start + length;
}

static uint32_t integer(struct walker *w)
{
    uint8_t op = next_byte(w);
    unsigned bytes = op == 0x0a ? 1 : op == 0x0b ? 2 : op == 0x0c ? 4 : 0;
    uint32_t value = op;
    g_assert_true(bytes || op <= 1);
    for (unsigned i = 0; i < bytes; i++)
        value = (i ? value : 0) | (uint32_t)next_byte(w) << 8 * i;
    return value;
}

/* Finds Name (name, …) anywhere in the table and stands at its value. */
static struct walker find_name(const GByteArray *dsdt, const char *name)
{
    for (size_t i = 36; i + 5 <= dsdt->len; i++)
        if (dsdt->data[i] == 0x08 && memcmp(dsdt->data + i + 1, name, 4) == 0)
            return (struct walker){.data = dsdt->data, .pos = i + 5, .end = dsdt->len};
    g_error("no %s in the DSDT", name);
}

static void check_routing(const GByteArray *dsdt, const char *name, const uint8_t gsi[4])
{
    struct walker w = find_name(dsdt, name);
    g_assert_cmphex(next_byte(&w), ==, 0x12);
    w.end = package_end(&w);
    g_assert_cmpuint(next_byte(&w), ==, 31 * 4);
    for (unsigned slot = 1; slot < 32; slot++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            g_assert_cmphex(next_byte(&w), ==, 0x12);
            size_t end = package_end(&w);
            g_assert_cmpuint(next_byte(&w), ==, 4);
            g_assert_cmphex(integer(&w), ==, slot << 16 | 0xffff);
            g_assert_cmpuint(integer(&w), ==, pin);
            g_assert_cmpuint(integer(&w), ==, 0);
            g_assert_cmpuint(integer(&w), ==, gsi[(pin + slot - 1) & 3]);
            g_assert_cmpuint(w.pos, ==, end);
        }
    }
    g_assert_cmpuint(w.pos, ==, w.end);
}

static void test_dsdt(void)
{
    static const uint8_t apic[4] = {16, 17, 18, 19};
    g_autoptr(GByteArray) dsdt = acpi_build_dsdt(&config);
    g_assert_cmpuint(dsdt->data[8], ==, 1);
    check_routing(dsdt, "PRTP", pirq_isa);
    check_routing(dsdt, "PRTA", apic);
    struct walker s5 = find_name(dsdt, "_S5_");
    g_assert_cmphex(next_byte(&s5), ==, 0x12);
    package_end(&s5);
    g_assert_cmpuint(next_byte(&s5), ==, 4);
    g_assert_cmpuint(integer(&s5), ==, 0);
    struct acpi_config bare = config, sleepy = config;
    sleepy.suspend = sleepy.hibernate = true;
    g_autoptr(GByteArray) more = acpi_build_dsdt(&sleepy);
    struct walker s3 = find_name(more, "_S3_"), s4 = find_name(more, "_S4_");
    next_byte(&s3);
    package_end(&s3);
    g_assert_cmpuint(next_byte(&s3), ==, 4);
    g_assert_cmpuint(integer(&s3), ==, 1);
    next_byte(&s4);
    package_end(&s4);
    g_assert_cmpuint(next_byte(&s4), ==, 4);
    g_assert_cmpuint(integer(&s4), ==, 2);
    g_assert_null(memmem(dsdt->data, dsdt->len, "_S3_", 4));
    g_assert_null(memmem(dsdt->data, dsdt->len, "_S4_", 4));
    bare.serial[1] = bare.mouse = bare.fwcfg = false;
    g_autoptr(GByteArray) smaller = acpi_build_dsdt(&bare);
    g_assert_cmpuint(smaller->len, <, dsdt->len);
    g_assert_nonnull(memmem(dsdt->data, dsdt->len, "QEMU0002", 9));
    g_assert_null(memmem(smaller->data, smaller->len, "QEMU0002", 9));
}

static void test_package_lengths(void)
{
    /* A Buffer around each border of the encodings of PkgLength. */
    static const unsigned sizes[] = {0,   1,   58,   59,   60,   61,   62,   63,   64,
                                     255, 256, 4087, 4088, 4089, 4090, 4091, 4092, 70000};
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        GByteArray *bytes = g_byte_array_new();
        g_byte_array_set_size(bytes, sizes[i]);
        for (unsigned k = 0; k < sizes[i]; k++)
            bytes->data[k] = 0x5a;
        g_autoptr(GByteArray) out = g_byte_array_new();
        aml_buffer(out, bytes);
        struct walker w = {.data = out->data, .end = out->len};
        g_assert_cmphex(next_byte(&w), ==, 0x11);
        g_assert_cmpuint(package_end(&w), ==, out->len);
        g_assert_cmpuint(integer(&w), ==, sizes[i]);
        g_assert_cmpuint(out->len - w.pos, ==, sizes[i]);
    }
    g_autoptr(GByteArray) id = g_byte_array_new();
    aml_eisa_id(id, "PNP0A03");
    static const uint8_t expected[] = {0x0c, 0x41, 0xd0, 0x0a, 0x03};
    g_assert_cmpmem(id->data, id->len, expected, sizeof expected);
}

/* The reference disassembler reads it back without a complaint. */
static void test_iasl(void)
{
    g_autofree char *iasl = g_find_program_in_path("iasl");
    if (!iasl) {
        g_test_skip("iasl is not installed (Debian: acpica-tools)");
        return;
    }
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = g_dir_make_tmp("netlab-acpi-XXXXXX", &error);
    g_assert_no_error(error);
    g_autofree char *aml = g_build_filename(folder, "dsdt.aml", NULL),
                    *dsl = g_build_filename(folder, "dsdt.dsl", NULL),
                    *again = g_build_filename(folder, "again.aml", NULL);
    g_autoptr(GByteArray) dsdt = acpi_build_dsdt(&config);
    g_file_set_contents(aml, (const char *)dsdt->data, dsdt->len, &error);
    g_assert_no_error(error);
    g_autofree char *text = NULL, *output = NULL, *complaints = NULL;
    int status = 0;
    const char *disassemble[] = {iasl, "-d", aml, NULL}, *compile[] = {iasl, "-p", again, dsl, NULL};
    g_spawn_sync(folder, (char **)disassemble, NULL, 0, NULL, NULL, &output, &complaints, &status, &error);
    g_assert_no_error(error);
    g_assert_cmpint(status, ==, 0);
    g_file_get_contents(dsl, &text, NULL, &error);
    g_assert_no_error(error);
    g_assert_nonnull(strstr(text, "Method (_PRT"));
    g_assert_nonnull(strstr(text, "EisaId (\"PNP0303\")"));
    g_assert_nonnull(strstr(text, "Return (PRTA)"));
    g_assert_nonnull(strstr(text, "OperationRegion (PCHR, SystemIO, 0xAE00, 0x10)"));
    g_assert_nonnull(strstr(text, "Name (_SUN, 0x1F)"));
    g_assert_nonnull(strstr(text, "Notify (S18, 0x03)") ? text : strstr(text, "Notify (S18_, 0x03)"));
    g_assert_nonnull(strstr(text, "\\_SB.PCI0.PCHP ()"));
    g_assert_nonnull(strstr(text, "Scope (\\_GPE)"));
    g_clear_pointer(&output, g_free);
    g_clear_pointer(&complaints, g_free);
    g_spawn_sync(folder, (char **)compile, NULL, 0, NULL, NULL, &output, &complaints, &status, &error);
    g_assert_no_error(error);
    g_assert_cmpint(status, ==, 0);
    g_assert_nonnull(strstr(output, "0 Errors"));
    g_unlink(again);
    g_unlink(aml);
    g_unlink(dsl);
    g_rmdir(folder);
}

static void test_mptable(void)
{
    g_autoptr(GByteArray) blob = mptable_build(&config, 0xf0000);
    const uint8_t *mp = blob->data + 16;
    g_assert_cmpmem(blob->data, 4, "_MP_", 4);
    g_assert_cmpuint(sum(blob->data, 16), ==, 0);
    g_assert_cmphex(get32(blob->data + 4), ==, 0xf0010);
    g_assert_cmpmem(mp, 4, "PCMP", 4);
    unsigned length = mp[4] | mp[5] << 8, count = mp[34] | mp[35] << 8, seen = 0;
    g_assert_cmpuint(length + 16, ==, blob->len);
    g_assert_cmpuint(sum(mp, length), ==, 0);
    uint32_t isa = 0;
    for (unsigned at = 44; at < length; seen++) {
        const uint8_t *e = mp + at;
        g_assert_cmpuint(e[0], <=, 4);
        if (e[0] == 3 && e[4] == 0) { /* PCI: device in bits 2–6, pin in 0–1 */
            g_assert_cmphex(e[2], ==, 0x0f);
            g_assert_cmpuint(e[7], ==, 16 + (((e[5] & 3u) + (e[5] >> 2) - 1) & 3));
        } else if (e[0] == 3) {
            g_assert_cmpuint(e[7], ==, e[5] ? e[5] : 2);
            isa |= 1u << e[5];
        }
        at += e[0] == 0 ? 20 : 8;
    }
    g_assert_cmpuint(seen, ==, count);
    g_assert_cmphex(isa, ==, 0xfffb);
}

/* ---- boot without firmware ---- */

enum { BIG = 0x2000000 };

struct card {
    struct pci_device pci;
};

static const struct device_class card_class = {.name = "card"};
static const struct mmio_ops no_memory = {0};
static const struct portio_ops no_ports = {0};

struct board {
    struct bench *b;
    struct pci_bus *bus;
    struct lapic *lapic;
    struct pic *pic;
    struct i440fx *host;
    struct piix3 *south;
    struct piix4_pm *power;
    struct card *card[4];
};

static uint8_t ask_pic(void *opaque)
{
    return pic_acknowledge(((struct board *)opaque)->pic);
}

static void sleeps(void *opaque, enum piix4_sleep state)
{
}

static struct card *card_new(struct board *p, uint32_t memory, uint32_t io)
{
    g_autoptr(GError) error = NULL;
    struct card *card = g_new0(struct card, 1);
    pci_device_init(&card->pci, p->bus, &card_class, "card", -1, 0, 1, 2, 0x020000, 0, &error);
    g_assert_no_error(error);
    card->pci.config[PCI_INTERRUPT_PIN] = 1;
    pci_add_memory_bar(&card->pci, 0, memory, &no_memory, card);
    pci_add_io_bar(&card->pci, 1, io, &no_ports, card);
    return card;
}

static void board_up(struct board *p)
{
    g_autoptr(GError) error = NULL;
    p->b = bench_new();
    p->lapic =
        lapic_new(p->b->mem, p->b->clock,
                  &(struct lapic_wiring){.intr = bench_wire(p->b, 0), .pic_acknowledge = ask_pic, .pic = p});
    struct irq_line lint0 = lapic_lint(p->lapic, 0);
    p->pic = pic_new(p->b->io, &lint0);
    p->bus = pci_bus_new(p->b->mem, p->b->io);
    p->host = i440fx_new(p->bus, &error);
    struct piix3_wiring south = {0};
    for (unsigned i = 0; i < 16; i++)
        south.isa[i] = pic_input(p->pic, i);
    p->south = piix3_new(p->bus, p->b->io, 1, &south, &error);
    struct piix4_pm_wiring power = {.sci = pic_input(p->pic, 9), .sleep = sleeps};
    p->power = piix4_pm_new(p->bus, p->b->io, p->b->clock, 1, 3, &power, &error);
    g_assert_no_error(error);
    p->card[0] = card_new(p, 0x20000, 64);
    p->card[1] = card_new(p, BIG, 32);
    p->card[2] = card_new(p, 0x1000, 256);
}

static void board_down(struct board *p)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(p->card); i++) {
        if (!p->card[i])
            continue;
        pci_device_remove(&p->card[i]->pci);
        device_free((struct device *)p->card[i]);
    }
    device_free((struct device *)p->power);
    device_free((struct device *)p->south);
    device_free((struct device *)p->host);
    pci_bus_free(p->bus);
    device_free((struct device *)p->pic);
    device_free((struct device *)p->lapic);
    bench_free(p->b);
}

static bool set_up_board(struct board *p, GError **error)
{
    const struct firmware_board board = {.mem = p->b->mem,
                                         .io = p->b->io,
                                         .bus = p->bus,
                                         .host = p->host,
                                         .piix_slot = 1,
                                         .ram_below_4g = BENCH_RAM,
                                         .serial = {true, false},
                                         .parallel = {true, false, true},
                                         .fwcfg = true,
                                         .acpi = true,
                                         .mptable = true};
    return firmware_setup(&board, error);
}

static void test_firmware(void)
{
    g_autoptr(GError) error = NULL;
    struct board p = {0};
    board_up(&p);
    set_up_board(&p, &error);
    g_assert_no_error(error);
    char text[8];
    phys_read(p.b->mem, FIRMWARE_ACPI_BASE, text, 8);
    g_assert_cmpmem(text, 8, "RSD PTR ", 8);
    phys_read(p.b->mem, FIRMWARE_MPTABLE_BASE, text, 4);
    g_assert_cmpmem(text, 4, "_MP_", 4);
    phys_write8(p.b->mem, 0xc8000, 0x77); /* shadow RAM is open */
    g_assert_cmphex(phys_read8(p.b->mem, 0xc8000), ==, 0x77);
    /* Windows do not overlap, are aligned, and are the whole machine's: the largest comes first. */
    for (unsigned i = 0; i < 3; i++) {
        const struct pci_device *pci = &p.card[i]->pci;
        g_assert_cmphex(pci_bar_base(pci, 0), >=, 0xc0000000);
        g_assert_cmphex(pci_bar_base(pci, 0) % pci->bar[0].size, ==, 0);
        g_assert_cmphex(pci_bar_base(pci, 1), >=, 0xc000);
        for (unsigned k = 0; k < i; k++) {
            const struct pci_device *other = &p.card[k]->pci;
            for (unsigned bar = 0; bar < 2; bar++)
                g_assert_true(pci_bar_base(pci, bar) >= pci_bar_base(other, bar) + other->bar[bar].size ||
                              pci_bar_base(other, bar) >= pci_bar_base(pci, bar) + pci->bar[bar].size);
        }
        g_assert_cmphex(pci_get16(pci, PCI_COMMAND), ==, 0);
        unsigned pirq = pci_pirq(pci->devfn >> 3, 1);
        g_assert_cmpint(piix3_route(p.south, pirq), ==, pirq_isa[pirq]);
        g_assert_cmpuint(pci->config[PCI_INTERRUPT_LINE], ==, pirq_isa[pirq]);
    }
    g_assert_cmphex(in16(p.b, 0x4d0), ==, 0x0e00);
    g_assert_cmphex(in32(p.b, 0x608) >> 24, ==, 0);
    g_assert_cmphex(in8(p.b, 0x700), ==, 0);
    /* An interrupt of a card goes all the way through the 8259s and LINT0. */
    out8(p.b, 0xa1, 0x00);
    pci_set_intx(&p.card[0]->pci, true);
    g_assert_true(p.b->level[0]);
    g_assert_cmpint(lapic_acknowledge(p.lapic), ==, 0x70 + pirq_isa[2] - 8);
    g_assert_cmphex(phys_read16(p.b->mem, 0x413), ==, 639);
    g_assert_cmphex(phys_read16(p.b->mem, 0x400), ==, 0x3f8);
    g_assert_cmphex(phys_read16(p.b->mem, 0x402), ==, 0);
    g_assert_cmphex(phys_read16(p.b->mem, 0x408), ==, 0x378);
    g_assert_cmphex(phys_read16(p.b->mem, 0x40a), ==, 0x3bc);
    g_assert_cmphex(phys_read16(p.b->mem, 0x410) >> 14, ==, 2);
    set_up_board(&p, &error); /* as after a reset */
    g_assert_no_error(error);
    board_down(&p);
}

static void test_no_room(void)
{
    g_autoptr(GError) error = NULL;
    struct board p = {0};
    board_up(&p);
    g_assert_false(firmware_assign_pci(p.bus, 0xfd000000, 0xfec00000, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
    g_assert_nonnull(strstr(error->message, "memory window"));
    board_down(&p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/acpi/tables", test_tables);
    g_test_add_func("/acpi/dsdt", test_dsdt);
    g_test_add_func("/acpi/package_lengths", test_package_lengths);
    g_test_add_func("/acpi/iasl", test_iasl);
    g_test_add_func("/acpi/mptable", test_mptable);
    g_test_add_func("/acpi/firmware", test_firmware);
    g_test_add_func("/acpi/no_room", test_no_room);
    return g_test_run();
}
