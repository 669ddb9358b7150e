/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * ACPI and MP tables: see acpi.h. ACPI 2.0 (chapters 5.2, 6.2), MultiProcessor Specification 1.4 (chapter 4).
 *
 * Interrupts of PCI functions: a PIRQ line reaches two places at once, the ISA interrupt PIIX3 routes it to
 * (8259) and I/O APIC input 16 + n. So there are two static _PRT packages, and _PRT returns the one for the
 * mode the system announced by _PIC: with the I/O APIC GSI 16–19, else (kernel option noapic, or no _PIC at
 * all) the ISA interrupts. The MP table has the same GSI 16–19 for kernels with acpi=off; with neither, the
 * interrupt line registers that firmware.c programs say the ISA interrupt. No link devices: nothing has to be
 * chosen.
 */
#include "emu/machine/acpi.h"
#include "emu/dev/gsi.h"
#include "emu/dev/ioapic.h"
#include "emu/dev/lapic.h"
#include "emu/dev/pci.h"
#include "emu/dev/piix4_pm.h"
#include "emu/machine/aml.h"

#include <string.h>

#define OEM_ID       "NETLAB"
#define OEM_TABLE_ID "NETLABPC"
#define CREATOR_ID   "NLAB"

enum { SCI_IRQ = 9, RESET_PORT = 0xcf9, RESET_VALUE = 0x06, CMOS_CENTURY = 0x32, LAST_SLOT = 31 };

/* ---- layouts; everything is little-endian ---- */

struct table_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} __attribute__((packed));

struct rsdp { /* ACPI 1.0: what points to an RSDT */
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
} __attribute__((packed));

struct generic_address {
    uint8_t space, bits, offset, access;
    uint64_t address;
} __attribute__((packed));

struct fadt {
    struct table_header header;
    uint32_t facs, dsdt;
    uint8_t interrupt_model, profile;
    uint16_t sci_interrupt;
    uint32_t smi_command;
    uint8_t acpi_enable, acpi_disable, s4bios, pstate;
    uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
    uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length, gpe0_length,
        gpe1_length;
    uint8_t gpe1_base, cstate;
    uint16_t c2_latency, c3_latency, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
    uint16_t boot_architecture;
    uint8_t reserved;
    uint32_t flags;
    struct generic_address reset;
    uint8_t reset_value, reserved2[3];
    uint64_t x_facs, x_dsdt;
    struct generic_address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control,
        x_pm_timer, x_gpe0, x_gpe1;
} __attribute__((packed));

struct facs {
    char signature[4];
    uint32_t length, hardware_signature, waking_vector, global_lock, flags;
    uint64_t x_waking_vector;
    uint8_t version, reserved[31];
} __attribute__((packed));

_Static_assert(sizeof(struct table_header) == 36 && sizeof(struct rsdp) == 20 && sizeof(struct fadt) == 244 &&
                   sizeof(struct facs) == 64,
               "as the specification has them");

enum { FADT_WBINVD = 1 << 0, FADT_C1 = 1 << 2, FADT_NO_SLEEP_BUTTON = 1 << 5, FADT_RESET = 1 << 10 };
enum { BOOT_LEGACY_DEVICES = 1, BOOT_8042 = 2 };
enum { NO_STATE_LATENCY = 0xfff, FACS_ALIGNMENT = 64 };

static void put(GByteArray *out, const void *data, size_t len)
{
    g_byte_array_append(out, data, (guint)len);
}

static void put8(GByteArray *out, unsigned value)
{
    uint8_t byte = (uint8_t)value;
    put(out, &byte, 1);
}

static void put16(GByteArray *out, unsigned value)
{
    uint16_t le = GUINT16_TO_LE((uint16_t)value);
    put(out, &le, 2);
}

static void put32(GByteArray *out, uint32_t value)
{
    uint32_t le = GUINT32_TO_LE(value);
    put(out, &le, 4);
}

static uint8_t checksum(const uint8_t *data, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + data[i]);
    return (uint8_t)-sum;
}

static struct table_header header(const char *signature, uint8_t revision)
{
    struct table_header h = {.revision = revision, .oem_revision = 1, .creator_revision = 1};
    memcpy(h.signature, signature, sizeof h.signature);
    memcpy(h.oem_id, OEM_ID, sizeof h.oem_id);
    memcpy(h.oem_table_id, OEM_TABLE_ID, sizeof h.oem_table_id);
    memcpy(h.creator_id, CREATOR_ID, sizeof h.creator_id);
    return h;
}

/* Fills in length and checksum of the table that takes the whole of `table`. */
static void finish(GByteArray *table)
{
    struct table_header *h = (struct table_header *)(void *)table->data;
    h->length = GUINT32_TO_LE(table->len);
    h->checksum = 0;
    h->checksum = checksum(table->data, table->len);
}

/* A licence in a SLIC table counts where RSDT and FADT are of the same OEM. */
static void claim(const struct acpi_config *config, struct table_header *h)
{
    for (guint i = 0; config->extra && i < config->extra->len; i++) {
        const GByteArray *table = config->extra->pdata[i];
        if (table->len < sizeof *h || memcmp(table->data, "SLIC", 4) != 0)
            continue;
        memcpy(h->oem_id, table->data + offsetof(struct table_header, oem_id), sizeof h->oem_id);
        memcpy(h->oem_table_id, table->data + offsetof(struct table_header, oem_table_id),
               sizeof h->oem_table_id);
    }
}

/* ---- DSDT ---- */

/* One _PRT package: for each slot and pin the interrupt `gsi_of_pirq` gives for its PIRQ. */
static GByteArray *routing(const uint8_t gsi_of_pirq[4])
{
    GByteArray *entries = g_byte_array_new();
    unsigned count = 0;
    for (unsigned slot = 1; slot <= LAST_SLOT; slot++) {
        for (unsigned pin = 0; pin < 4; pin++, count++) {
            GByteArray *entry = g_byte_array_new();
            aml_integer(entry, slot << 16 | 0xffff);
            aml_integer(entry, pin);
            aml_integer(entry, 0); /* no link device: the next is a GSI */
            aml_integer(entry, gsi_of_pirq[pci_pirq(slot, pin + 1)]);
            aml_package(entries, 4, g_steal_pointer(&entry));
        }
    }
    GByteArray *package = g_byte_array_new();
    aml_package(package, count, entries);
    return package;
}

static void finish_crs(GByteArray *device, GByteArray *resources)
{
    aml_resource_end(resources);
    GByteArray *buffer = g_byte_array_new();
    aml_buffer(buffer, resources);
    aml_name_term(device, "_CRS", buffer);
}

struct isa_device {
    const char *name, *id;
    unsigned uid;
    uint16_t port[4];
    uint8_t length[4];
    int irq; /* -1: none */
};

static void add_isa_device(GByteArray *bridge, const struct isa_device *isa)
{
    GByteArray *body = g_byte_array_new(), *crs = g_byte_array_new();
    aml_name_eisa_id(body, "_HID", isa->id);
    if (isa->uid)
        aml_name_integer(body, "_UID", isa->uid);
    aml_name_integer(body, "_STA", 0x0f);
    for (unsigned i = 0; i < G_N_ELEMENTS(isa->port) && isa->length[i]; i++)
        aml_resource_io(crs, isa->port[i], isa->length[i]);
    if (isa->irq >= 0)
        aml_resource_irq(crs, (unsigned)isa->irq);
    finish_crs(body, crs);
    aml_device(bridge, isa->name, body);
}

static void add_isa_bridge(GByteArray *pci, const struct acpi_config *config)
{
    static const struct isa_device always[] = {
        {.name = "RTC", .id = "PNP0B00", .port = {0x70}, .length = {2}, .irq = 8},
        {.name = "TIMR", .id = "PNP0100", .port = {0x40}, .length = {4}, .irq = 0},
        {.name = "PIC", .id = "PNP0000", .port = {0x20, 0xa0, 0x4d0}, .length = {2, 2, 2}, .irq = 2},
        {.name = "DMAC",
         .id = "PNP0200",
         .port = {0x00, 0x81, 0xc0},
         .length = {0x10, 0x0f, 0x20},
         .irq = -1},
        {.name = "SPKR", .id = "PNP0800", .port = {0x61}, .length = {1}, .irq = -1},
        {.name = "FPU", .id = "PNP0C04", .port = {0xf0}, .length = {0x10}, .irq = 13},
        {.name = "PS2K", .id = "PNP0303", .port = {0x60, 0x64}, .length = {1, 1}, .irq = 1},
    };
    static const struct isa_device mouse = {.name = "PS2M", .id = "PNP0F13", .irq = 12};
    static const struct isa_device com[2] = {
        {.name = "COM1", .id = "PNP0501", .uid = 1, .port = {0x3f8}, .length = {8}, .irq = 4},
        {.name = "COM2", .id = "PNP0501", .uid = 2, .port = {0x2f8}, .length = {8}, .irq = 3},
    };
    static const struct isa_device lpt[3] = {
        {.name = "LPT1", .id = "PNP0400", .uid = 1, .port = {0x378}, .length = {3}, .irq = 7},
        {.name = "LPT2", .id = "PNP0400", .uid = 2, .port = {0x278}, .length = {3}, .irq = 7},
        {.name = "LPT3", .id = "PNP0400", .uid = 3, .port = {0x3bc}, .length = {3}, .irq = 7},
    };
    const struct isa_device board = {
        .name = "BORD",
        .id = "PNP0C02",
        .port = {config->pm_base, PIIX4_SMB_BASE, PIIX4_SMI_PORT, PM2_CONTROL_PORT},
        .length = {64, 16, 2, 1},
        .irq = -1};
    GByteArray *bridge = g_byte_array_new();
    aml_name_integer(bridge, "_ADR", 0x00010000);
    for (unsigned i = 0; i < G_N_ELEMENTS(always); i++)
        add_isa_device(bridge, &always[i]);
    if (config->mouse)
        add_isa_device(bridge, &mouse);
    for (unsigned i = 0; i < G_N_ELEMENTS(com); i++)
        if (config->serial[i])
            add_isa_device(bridge, &com[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(lpt); i++)
        if (config->parallel[i])
            add_isa_device(bridge, &lpt[i]);
    add_isa_device(bridge, &board);
    aml_device(pci, "ISA", bridge);
}

static void add_pci_root(GByteArray *scope, const struct acpi_config *config)
{
    static const uint8_t gsi_apic[4] = {GSI_PCI_FIRST, GSI_PCI_FIRST + 1, GSI_PCI_FIRST + 2,
                                        GSI_PCI_FIRST + 3};
    GByteArray *pci = g_byte_array_new(), *crs = g_byte_array_new();
    aml_name_eisa_id(pci, "_HID", "PNP0A03");
    aml_name_integer(pci, "_UID", 0);
    aml_name_integer(pci, "_BBN", 0);

    aml_resource_bus_range(crs, 0, 0);
    aml_resource_io(crs, 0xcf8, 8);
    aml_resource_io_range(crs, 0x0000, 0x0cf7);
    aml_resource_io_range(crs, 0x0d00, 0xffff);
    aml_resource_memory_range(crs, 0xa0000, 0xbffff, true);
    aml_resource_memory_range(crs, config->pci_hole_start, config->pci_hole_end - 1, false);
    finish_crs(pci, crs);

    aml_name_term(pci, "PRTP", routing(config->pirq_isa));
    aml_name_term(pci, "PRTA", routing(gsi_apic));
    GByteArray *method = g_byte_array_new(), *apic = g_byte_array_new();
    aml_return_name(apic, "PRTA");
    aml_if(method, "PICF", apic);
    aml_return_name(method, "PRTP");
    aml_method(pci, "_PRT", 0, method);

    add_isa_bridge(pci, config);
    if (config->hotplug_slots)
        acpi_add_hotplug_slots(pci, config->hotplug_slots);
    aml_device(scope, "PCI0", pci);
}

static void add_fwcfg(GByteArray *scope)
{
    GByteArray *body = g_byte_array_new(), *crs = g_byte_array_new();
    aml_name_string_value(body, "_HID", "QEMU0002");
    aml_name_integer(body, "_STA", 0x0b);
    aml_resource_io(crs, 0x510, 0x0c);
    finish_crs(body, crs);
    aml_device(scope, "FWCF", body);
}

static void add_sleep_state(GByteArray *table, const char *name, enum piix4_sleep type)
{
    GByteArray *values = g_byte_array_new(), *package = g_byte_array_new();
    aml_integer(values, type); /* for PM1a_CNT, and for a PM1b_CNT that is not there */
    aml_integer(values, type);
    aml_integer(values, 0);
    aml_integer(values, 0);
    aml_package(package, 4, values);
    aml_name_term(table, name, package);
}

GByteArray *acpi_build_dsdt(const struct acpi_config *config)
{
    GByteArray *table = g_byte_array_new();
    struct table_header h = header("DSDT", 1); /* revision 1: integers have 32 bits */
    put(table, &h, sizeof h);

    aml_name_integer(table, "PICF", 0);
    GByteArray *pic = g_byte_array_new();
    aml_store_arg0(pic, "PICF");
    aml_method(table, "_PIC", 1, pic);

    if (config->suspend)
        add_sleep_state(table, "_S3", PIIX4_SUSPEND);
    if (config->hibernate)
        add_sleep_state(table, "_S4", PIIX4_HIBERNATE);
    add_sleep_state(table, "_S5", PIIX4_SOFT_OFF);

    GByteArray *scope = g_byte_array_new();
    aml_processor(scope, "CPU0", 0);
    add_pci_root(scope, config);
    if (config->fwcfg)
        add_fwcfg(scope);
    if (config->hotplug_slots)
        acpi_add_hotplug_resources(scope);
    aml_scope(table, "\\_SB", scope);
    if (config->hotplug_slots)
        acpi_add_hotplug_event(table);
    finish(table);
    return table;
}

/* ---- the other tables ---- */

static struct generic_address io_register(uint8_t bits, uint8_t access, uint64_t port)
{
    return (struct generic_address){.space = 1, .bits = bits, .access = access, .address = port};
}

static GByteArray *build_fadt(const struct acpi_config *config, uint32_t facs, uint32_t dsdt)
{
    uint16_t base = config->pm_base;
    struct fadt fadt = {
        .header = header("FACP", 3),
        .facs = facs,
        .dsdt = dsdt,
        .interrupt_model = 1,
        .sci_interrupt = SCI_IRQ,
        .smi_command = PIIX4_SMI_PORT,
        .acpi_enable = PIIX4_ACPI_ENABLE,
        .acpi_disable = PIIX4_ACPI_DISABLE,
        .pm1a_event = base,
        .pm1a_control = base + 4u,
        .pm2_control = PM2_CONTROL_PORT,
        .pm_timer = base + 8u,
        .gpe0 = base + 12u,
        .pm1_event_length = 4,
        .pm1_control_length = 2,
        .pm2_control_length = 1,
        .pm_timer_length = 4,
        .gpe0_length = 4,
        .c2_latency = NO_STATE_LATENCY,
        .c3_latency = NO_STATE_LATENCY,
        .century = CMOS_CENTURY,
        .boot_architecture = BOOT_LEGACY_DEVICES | BOOT_8042,
        .flags = FADT_WBINVD | FADT_C1 | FADT_NO_SLEEP_BUTTON | FADT_RESET,
        .reset = io_register(8, 1, RESET_PORT),
        .reset_value = RESET_VALUE,
        .x_dsdt = dsdt,
        .x_pm1a_event = io_register(32, 2, base),
        .x_pm1a_control = io_register(16, 2, base + 4u),
        .x_pm2_control = io_register(8, 1, PM2_CONTROL_PORT),
        .x_pm_timer = io_register(32, 3, base + 8u),
        .x_gpe0 = io_register(32, 1, base + 12u),
    };
    GByteArray *table = g_byte_array_new();
    claim(config, &fadt.header);
    put(table, &fadt, sizeof fadt);
    finish(table);
    return table;
}

static void put_override(GByteArray *table, unsigned irq, unsigned gsi, unsigned flags)
{
    put8(table, 2);
    put8(table, 10);
    put8(table, 0); /* ISA */
    put8(table, irq);
    put32(table, gsi);
    put16(table, flags);
}

static GByteArray *build_madt(void)
{
    GByteArray *table = g_byte_array_new();
    struct table_header h = header("APIC", 1);
    put(table, &h, sizeof h);
    put32(table, LAPIC_ADDRESS);
    put32(table, 1); /* there is a pair of 8259s too */
    put8(table, 0);  /* local APIC: processor 0, id 0, enabled */
    put8(table, 8);
    put16(table, 0);
    put32(table, 1);
    put8(table, 1); /* I/O APIC */
    put8(table, 12);
    put8(table, IOAPIC_ID_DEFAULT);
    put8(table, 0);
    put32(table, IOAPIC_ADDRESS);
    put32(table, 0);
    put_override(table, 0, 2, 0);
    put_override(table, SCI_IRQ, SCI_IRQ, 0x0d); /* level, active high */
    put8(table, 4);                              /* LINT1 is NMI on all processors */
    put8(table, 6);
    put8(table, 0xff);
    put16(table, 0);
    put8(table, 1);
    finish(table);
    return table;
}

/* Where the next table goes, after rounding up. */
static uint32_t align_to(GByteArray *blob, uint32_t base, unsigned alignment)
{
    while ((base + blob->len) % alignment)
        put8(blob, 0);
    return base + blob->len;
}

static uint32_t place(GByteArray *blob, uint32_t base, GByteArray *table)
{
    uint32_t at = align_to(blob, base, 16);
    put(blob, table->data, table->len);
    g_byte_array_unref(table);
    return at;
}

/* The FACS is the first thing behind the RSDP. */
uint32_t acpi_waking_vector(uint32_t base)
{
    uint32_t facs = (base + (uint32_t)sizeof(struct rsdp) + FACS_ALIGNMENT - 1) & ~(FACS_ALIGNMENT - 1u);
    return facs + (uint32_t)offsetof(struct facs, waking_vector);
}

GByteArray *acpi_build(const struct acpi_config *config, uint32_t base)
{
    GByteArray *blob = g_byte_array_new();
    struct rsdp rsdp = {.signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '}};
    memcpy(rsdp.oem_id, OEM_ID, sizeof rsdp.oem_id);
    put(blob, &rsdp, sizeof rsdp);

    struct facs facs = {.signature = {'F', 'A', 'C', 'S'}, .length = sizeof(struct facs), .version = 1};
    uint32_t facs_at = align_to(blob, base, FACS_ALIGNMENT);
    put(blob, &facs, sizeof facs);
    uint32_t dsdt_at = place(blob, base, acpi_build_dsdt(config));
    uint32_t fadt_at = place(blob, base, build_fadt(config, facs_at, dsdt_at));
    uint32_t madt_at = place(blob, base, build_madt());

    GByteArray *rsdt = g_byte_array_new();
    struct table_header h = header("RSDT", 1);
    claim(config, &h);
    put(rsdt, &h, sizeof h);
    put32(rsdt, fadt_at);
    put32(rsdt, madt_at);
    for (guint i = 0; config->extra && i < config->extra->len; i++)
        put32(rsdt, place(blob, base, g_byte_array_ref(config->extra->pdata[i])));
    finish(rsdt);
    rsdp.rsdt = GUINT32_TO_LE(place(blob, base, rsdt));
    rsdp.checksum = checksum((const uint8_t *)&rsdp, sizeof rsdp);
    memcpy(blob->data, &rsdp, sizeof rsdp);
    return blob;
}

/* ---- MP table ---- */

enum { MP_BUS_PCI, MP_BUS_ISA };
enum { MP_INT, MP_NMI, MP_EXTINT = 3 };
enum { MP_CONFORMS = 0, MP_LEVEL_LOW = 0x0f, MP_FLOATING_SIZE = 16, MP_HEADER_SIZE = 44 };
enum { MP_LOCAL_ALL = 0xff };

static void put_interrupt(GByteArray *table, unsigned entry, unsigned type, unsigned flags, unsigned bus,
                          unsigned irq, unsigned apic, unsigned input)
{
    put8(table, entry);
    put8(table, type);
    put16(table, flags);
    put8(table, bus);
    put8(table, irq);
    put8(table, apic);
    put8(table, input);
}

static unsigned put_mp_entries(GByteArray *table)
{
    unsigned count = 0;
    put8(table, 0); /* processor */
    put8(table, 0);
    put8(table, 0x14); /* version of its local APIC */
    put8(table, 3);    /* usable, boot processor */
    put32(table, 0x600);
    put32(table, 0x201); /* FPU, APIC */
    put32(table, 0);
    put32(table, 0);
    count++;
    put8(table, 1); /* buses */
    put8(table, MP_BUS_PCI);
    put(table, "PCI   ", 6);
    put8(table, 1);
    put8(table, MP_BUS_ISA);
    put(table, "ISA   ", 6);
    count += 2;
    put8(table, 2); /* I/O APIC */
    put8(table, IOAPIC_ID_DEFAULT);
    put8(table, 0x11);
    put8(table, 1);
    put32(table, IOAPIC_ADDRESS);
    count++;
    for (unsigned slot = 1; slot <= LAST_SLOT; slot++)
        for (unsigned pin = 0; pin < 4; pin++, count++)
            put_interrupt(table, 3, MP_INT, MP_LEVEL_LOW, MP_BUS_PCI, slot << 2 | pin, IOAPIC_ID_DEFAULT,
                          GSI_PCI_FIRST + pci_pirq(slot, pin + 1));
    for (unsigned irq = 0; irq < 16; irq++) {
        if (irq == 2)
            continue;
        put_interrupt(table, 3, MP_INT, MP_CONFORMS, MP_BUS_ISA, irq, IOAPIC_ID_DEFAULT, irq ? irq : 2);
        count++;
    }
    put_interrupt(table, 4, MP_EXTINT, MP_CONFORMS, MP_BUS_ISA, 0, 0, 0);
    put_interrupt(table, 4, MP_NMI, MP_CONFORMS, MP_BUS_ISA, 0, MP_LOCAL_ALL, 1);
    return count + 2;
}

GByteArray *mptable_build(const struct acpi_config *config, uint32_t base)
{
    g_autoptr(GByteArray) entries = g_byte_array_new();
    unsigned count = put_mp_entries(entries);

    GByteArray *blob = g_byte_array_new();
    put(blob, "_MP_", 4);
    put32(blob, base + MP_FLOATING_SIZE);
    put8(blob, 1); /* length in paragraphs */
    put8(blob, 4); /* 1.4 */
    put8(blob, 0);
    put8(blob, 0); /* a table follows */
    put32(blob, 0);
    blob->data[10] = checksum(blob->data, MP_FLOATING_SIZE);

    put(blob, "PCMP", 4);
    put16(blob, MP_HEADER_SIZE + entries->len);
    put8(blob, 4);
    put8(blob, 0);
    put(blob, "NETLAB  ", 8);
    put(blob, "NETLAB PC   ", 12);
    put32(blob, 0);
    put16(blob, 0);
    put16(blob, count);
    put32(blob, LAPIC_ADDRESS);
    put32(blob, 0);
    put(blob, entries->data, entries->len);
    blob->data[MP_FLOATING_SIZE + 7] = checksum(blob->data + MP_FLOATING_SIZE, blob->len - MP_FLOATING_SIZE);
    return blob;
}
