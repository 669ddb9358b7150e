/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A guest that means harm, against all the chips of the board but the NIC: the input is a list of operations
 * (ports, memory windows, configuration space, guest memory, time, input from outside, saved state as it was
 * and damaged, reset, the set-up of a machine without firmware). Nothing may crash, hang or touch memory that
 * is not the guest's; the sanitizers judge. The board is wired as machine/pc.c does it.
 */
#include "emu/char/backend.h"
#include "emu/dev/debug_exit.h"
#include "emu/dev/debugcon.h"
#include "emu/dev/dma8237.h"
#include "emu/dev/fwcfg.h"
#include "emu/dev/gsi.h"
#include "emu/dev/i8042.h"
#include "emu/dev/ioapic.h"
#include "emu/dev/lapic.h"
#include "emu/dev/pic.h"
#include "emu/dev/parallel.h"
#include "emu/dev/pc_testdev.h"
#include "emu/dev/piix4_pm.h"
#include "emu/dev/pit.h"
#include "emu/dev/port92.h"
#include "emu/dev/rtc.h"
#include "emu/dev/uart.h"
#include "emu/dev/vga.h"
#include "emu/dev/watchdog.h"
#include "emu/dev/vmport.h"
#include "emu/machine/firmware.h"
#include "tests/dev/chip_bench.h"
#include "tests/fuzz/fuzz_main.h"

#include <string.h>

enum { MOST_OPERATIONS = 400, MOST_DEVICES = 24 };
enum { WIRE_INTR, WIRE_NMI, WIRE_INIT, WIRE_RESET, WIRE_A20 };

struct char_port {
    const struct char_events *events;
    void *opaque;
    size_t room;
};

void char_set_line(struct char_port *port, const struct char_line *line)
{
}

void char_set_break(struct char_port *port, bool on)
{
}

void char_set_modem(struct char_port *port, unsigned lines)
{
}

bool char_modem(struct char_port *port, unsigned *lines)
{
    *lines = (unsigned)(uintptr_t)port >> 4 & 15;
    return true;
}

void char_connect(struct char_port *port, const struct char_events *events, void *opaque)
{
    port->events = events;
    port->opaque = opaque;
}

bool char_is_parport(const struct char_port *port)
{
    return false;
}

bool char_parport_status(struct char_port *port, uint8_t *status)
{
    return false;
}

void char_parport_control(struct char_port *port, uint8_t control)
{
}

void char_write(struct char_port *port, const uint8_t *data, size_t len)
{
}

void char_accept(struct char_port *port, size_t bytes)
{
    port->room = bytes;
}

struct board {
    struct bench *b;
    struct device *device[MOST_DEVICES];
    unsigned devices;
    struct pci_bus *bus;
    struct lapic *lapic;
    struct ioapic *ioapic;
    struct pic *pic;
    struct gsi *gsi;
    struct i440fx *host;
    struct piix4_pm *power;
    struct i8042 *kbc;
    struct vga *vga;
    struct vmport *vmport;
    unsigned calls;
    struct display_surface surface;
    struct display_text text;
    struct char_port port[4]; /* of two UARTs, which are fed, a parallel port and a debug console */
    struct irq_line spare[2]; /* an ISA and a PCI interrupt from elsewhere */
    GByteArray *saved[MOST_DEVICES];
};

static void *keep(struct board *p, void *device)
{
    g_assert(device && p->devices < MOST_DEVICES);
    return p->device[p->devices++] = device;
}

static uint8_t ask_pic(void *opaque)
{
    return pic_acknowledge(((struct board *)opaque)->pic);
}

static void tell_ioapic(void *opaque, uint8_t vector)
{
    ioapic_eoi(((struct board *)opaque)->ioapic, vector);
}

static void nothing(void *opaque)
{
}

static void nothing_asleep(void *opaque, enum piix4_sleep state)
{
}

static void nothing_with_code(void *opaque, int code)
{
}

static void build_interrupts(struct board *p)
{
    struct bench *b = p->b;
    struct irq_line pic_in[GSI_ISA_COUNT], ioapic_in[GSI_COUNT];
    p->lapic = keep(p, lapic_new(b->mem, b->clock,
                                 &(struct lapic_wiring){.intr = bench_wire(b, WIRE_INTR),
                                                        .nmi = bench_wire(b, WIRE_NMI),
                                                        .init = bench_wire(b, WIRE_INIT),
                                                        .pic_acknowledge = ask_pic,
                                                        .pic = p,
                                                        .eoi = tell_ioapic,
                                                        .ioapic = p}));
    p->ioapic =
        keep(p, ioapic_new(b->mem, &(struct ioapic_bus){.deliver = lapic_deliver, .opaque = p->lapic}));
    struct irq_line lint0 = lapic_lint(p->lapic, 0);
    p->pic = keep(p, pic_new(b->io, &lint0));
    for (unsigned i = 0; i < GSI_ISA_COUNT; i++)
        pic_in[i] = pic_input(p->pic, i);
    for (unsigned i = 0; i < GSI_COUNT; i++)
        ioapic_in[i] = ioapic_input(p->ioapic, i);
    p->gsi = keep(p, gsi_new(pic_in, ioapic_in));
    p->spare[0] = gsi_input(p->gsi, 5);
    p->spare[1] = gsi_input(p->gsi, 16);
}

static void build_pci(struct board *p)
{
    struct bench *b = p->b;
    struct piix3_wiring south = {.reset = bench_wire(b, WIRE_RESET)};
    for (unsigned i = 0; i < 16; i++)
        south.isa[i] = gsi_input(p->gsi, i);
    for (unsigned i = 0; i < 4; i++)
        south.direct[i] = gsi_input(p->gsi, GSI_PCI_FIRST + i);
    struct piix4_pm_wiring power = {.sci = gsi_input(p->gsi, 9), .sleep = nothing_asleep, .wake = nothing};
    p->bus = pci_bus_new(b->mem, b->io);
    p->host = keep(p, i440fx_new(p->bus, NULL));
    keep(p, piix3_new(p->bus, b->io, 1, &south, NULL));
    struct vga_config vga = {
        .id = "VGA", .slot = 2, .ram_offset = BENCH_RAM - VGA_MEMORY_LEAST, .memory = VGA_MEMORY_LEAST};
    p->vga = keep(p, vga_new(p->bus, b->io, b->clock, &vga, NULL));
    p->power = keep(p, piix4_pm_new(p->bus, b->io, b->clock, 1, 3, &power, NULL));
}

/* A driver that calls as it should, but in no order. */
static uint32_t vmport_get(void *opaque, unsigned reg)
{
    static const uint32_t commands[] = {0x45414552, 0xf5, 0x4c455252, 0x53424152, 1, 4, 0, 0xffffffff};
    struct board *p = opaque;
    unsigned n = p->calls++;
    vmport_pointer(p->vmport, n, n, (int)n % 3 - 1, n >> 2);
    return reg == 0 ? 0x564d5868 : reg == 1 ? 39 + n % 3 : commands[n / 3 % G_N_ELEMENTS(commands)];
}

static void vmport_set(void *opaque, unsigned reg, uint32_t value)
{
    g_assert(reg < 4);
}

static void vmport_nudge(void *opaque)
{
    i8042_mouse_nudge(((struct board *)opaque)->kbc);
}

static void build_isa(struct board *p)
{
    struct bench *b = p->b;
    struct irq_line a20_wire = bench_wire(b, WIRE_A20), reset = bench_wire(b, WIRE_RESET);
    struct irq_line irq0 = gsi_input(p->gsi, 0), irq8 = gsi_input(p->gsi, 8);
    struct irq_line com[2] = {gsi_input(p->gsi, 4), gsi_input(p->gsi, 3)};
    struct rtc_config rtc = {
        .base = RTC_BASE_DATE, .date = 951782399, .guest_clock = true, .ram_below_4g = BENCH_RAM};
    keep(p, pit_new(b->io, b->clock, &irq0));
    struct irq_line alarm = piix4_pm_alarm_input(p->power);
    rtc_set_alarm_line(keep(p, rtc_new(b->io, b->clock, &irq8, &rtc)), &alarm);
    keep(p, uart_new(b->io, b->clock, "serial0", 0x3f8, &com[0], &p->port[0]));
    keep(p, uart_new(b->io, b->clock, "serial1", 0x2f8, &com[1], &p->port[1]));
    struct a20 *a20 = keep(p, a20_new(&a20_wire));
    p->kbc = keep(p, i8042_new(b->io, b->clock,
                               &(struct i8042_wiring){.irq_keyboard = gsi_input(p->gsi, 1),
                                                      .irq_mouse = gsi_input(p->gsi, 12),
                                                      .reset = reset,
                                                      .a20 = a20,
                                                      .mouse = true}));
    keep(p, port92_new(b->io, a20, &reset));
    p->vmport = keep(p, vmport_new(b->io, &(struct vmport_board){.opaque = p,
                                                                 .get = vmport_get,
                                                                 .set = vmport_set,
                                                                 .nudge = vmport_nudge,
                                                                 .changed = nothing,
                                                                 .ram_mib = 2}));
    keep(p, dma8237_new(b->io));
    struct fwcfg *fw = keep(p, fwcfg_new(b->io, b->mem));
    fwcfg_add_file(fw, "opt/text", "0123456789", 10, NULL);
    struct irq_line lpt = gsi_input(p->gsi, PARALLEL_IRQ), lines[PC_TESTDEV_LINES];
    for (unsigned i = 0; i < PC_TESTDEV_LINES; i++)
        lines[i] = gsi_input(p->gsi, i);
    const struct watchdog_wiring dog = {.expired = nothing};
    keep(p, parallel_new(b->io, "parallel0", parallel_base[0], &lpt, &p->port[2]));
    keep(p, ib700_new(b->io, b->clock, "ib700", &dog));
    keep(p, i6300esb_new(p->bus, b->clock, "i6300esb", 5, &dog, NULL));
    keep(p, pc_testdev_new(b->mem, b->io, "testdev", lines));
    keep(p, debugcon_new(b->io, "debug", 0x402, &p->port[3]));
    keep(p, debug_exit_new(b->io, "exit", 0x501, 4, nothing_with_code, p, NULL));
}

/* ---- the input ---- */

struct input {
    const uint8_t *data;
    size_t left;
};

static uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes && in->left; i++, in->data++, in->left--)
        value |= (uint32_t)*in->data << 8 * i;
    return value;
}

static const uint16_t favourite_ports[] = {
    0x20,  0x21,  0xa0,  0xa1,  0x4d0, 0x4d1, 0x40,  0x41,  0x42,  0x43,   0x61,   0x70,  0x71,
    0x72,  0x73,  0x60,  0x64,  0x92,  0xb2,  0xb3,  0xcf8, 0xcf9, 0xcfc,  0xcfe,  0x3f8, 0x3f9,
    0x3fa, 0x3fb, 0x378, 0x379, 0x37a, 0x441, 0x443, 0xe0,  0xe8,  0x2005, 0x3fc,  0x3fd, 0x3fe,
    0x2f8, 0x2fa, 0x510, 0x511, 0x514, 0x518, 0x600, 0x602, 0x604, 0x608,  0x60c,  0x3c0, 0x3c2,
    0x3c4, 0x3c5, 0x3c8, 0x3c9, 0x3ce, 0x3cf, 0x3d4, 0x3d5, 0x3da, 0x1ce,  0x1cf,  0x60e, 0x620,
    0x700, 0x702, 0x00,  0x08,  0x0d,  0xc0,  0xd6,  0x80,  0x402, 0x501,  0x5658,
};

static uint16_t take_port(struct input *in)
{
    unsigned n = take(in, 1);
    return n < 0xe0 ? favourite_ports[n % G_N_ELEMENTS(favourite_ports)] : (uint16_t)take(in, 2);
}

static uint64_t take_address(struct input *in)
{
    unsigned n = take(in, 1);
    switch (n & 7) {
    case 0:
    case 1:
    case 2:
        return LAPIC_ADDRESS + (n >> 3) * 16 + (n & 2 ? 0x200 : 0);
    case 3:
    case 4:
        return IOAPIC_ADDRESS + (n & 8 ? 0x10 : 0);
    case 5:
        return 0xa0000 + (take(in, 2) << 3);
    default:
        return take(in, 4) | (uint64_t)(n & 8 ? take(in, 1) : 0) << 32;
    }
}

static unsigned take_size(struct input *in)
{
    return 1u << take(in, 1) % 3;
}

static void feed_uart(struct board *p, struct input *in)
{
    uint8_t bytes[16];
    struct char_port *port = &p->port[take(in, 1) & 1];
    size_t n = MIN((size_t)take(in, 1) % (sizeof bytes + 1), port->room);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)take(in, 1);
    if (n)
        port->events->input(port->opaque, bytes, n);
    else
        port->events->broke(port->opaque);
}

static void pass_time(struct board *p, struct input *in)
{
    unsigned n = take(in, 1);
    int64_t ns = (int64_t)take(in, 2) << (n & 15); /* up to two seconds */
    if (n & 0x80) {                                /* the host was late */
        clock_set(p->b->clock, clock_now(p->b->clock) + ns);
        ns = 0;
    }
    /* A guest may make many timers busy at once; what counts is that each round is short. */
    int64_t end = clock_now(p->b->clock) + ns;
    for (unsigned rounds = 0; rounds < 2000 && clock_next_deadline(p->b->clock) <= end; rounds++)
        clock_manual_advance(p->b->clock, MAX(clock_next_deadline(p->b->clock) - clock_now(p->b->clock), 0));
    clock_set(p->b->clock, end);
}

static void save_all(struct board *p)
{
    for (unsigned i = 0; i < p->devices; i++) {
        const struct state_table *table = p->device[i]->class->state;
        g_byte_array_set_size(p->saved[i], 0);
        if (table)
            state_save(table, p->device[i]->id, p->device[i], p->saved[i]);
    }
}

static void load_all(struct board *p, struct input *in, bool damaged)
{
    for (unsigned i = 0; i < p->devices; i++) {
        const struct state_table *table = p->device[i]->class->state;
        GByteArray *data = p->saved[i];
        size_t pos = 0;
        if (!table || !data->len)
            continue;
        if (damaged && take(in, 1) & 1)
            data->data[take(in, 2) % data->len] = (uint8_t)take(in, 1);
        state_load(table, p->device[i]->id, p->device[i], data->data, data->len, &pos, NULL);
    }
}

static void set_up_firmware(struct board *p)
{
    const struct firmware_board board = {.mem = p->b->mem,
                                         .io = p->b->io,
                                         .bus = p->bus,
                                         .host = p->host,
                                         .piix_slot = 1,
                                         .ram_below_4g = BENCH_RAM,
                                         .acpi = true};
    firmware_setup(&board, NULL);
}

static void look_at_screen(struct board *p, bool steady)
{
    struct display_rect changed;
    unsigned width, height;
    vga_draw(p->vga, &p->surface, steady, &changed);
    g_assert_cmpuint(changed.x + changed.width, <=, p->surface.width);
    g_assert_cmpuint(changed.y + changed.height, <=, p->surface.height);
    vga_text(p->vga, &p->text, &width, &height);
}

static void operate(struct board *p, struct input *in)
{
    struct bench *b = p->b;
    unsigned size, n;
    uint64_t address;
    switch (take(in, 1) % 20) {
    case 0:
    case 1:
    case 2:
    case 3:
        n = take_port(in);
        size = take_size(in);
        portio_write(b->io, (uint16_t)n, take(in, size), size);
        break;
    case 4:
    case 5:
        n = take_port(in);
        portio_read(b->io, (uint16_t)n, take_size(in));
        break;
    case 6:
    case 7:
        address = take_address(in);
        phys_write32(b->mem, address, take(in, 4));
        break;
    case 8:
        phys_read32(b->mem, take_address(in));
        break;
    case 9: {
        uint64_t value = take(in, 4) | (uint64_t)take(in, 4) << 32;
        address = take_address(in);
        size = take(in, 1) % 8 + 1;
        phys_write(b->mem, address, &value, size);
        phys_read(b->mem, address, &value, size);
        break;
    }
    case 10:
        n = take(in, 2);
        size = take_size(in);
        pci_config_write(p->bus,
                         n & 0x8000 ? (uint8_t)(n >> 8) : (uint8_t)((n >> 8 & 3) * 4 + (n >> 8 & 1) * 8),
                         (uint8_t)n, take(in, size), size);
        break;
    case 11:
        n = take(in, 2);
        pci_config_read(p->bus, (uint8_t)(n >> 8), (uint8_t)n, take_size(in));
        break;
    case 12:
        pass_time(p, in);
        break;
    case 13:
        n = take(in, 1);
        irq_set(&p->spare[n & 1], n & 2);
        if (n & 0x80)
            look_at_screen(p, n & 4);
        break;
    case 14:
        if (b->level[WIRE_INTR])
            lapic_acknowledge(p->lapic);
        break;
    case 15:
        feed_uart(p, in);
        break;
    case 16:
        n = take(in, 2);
        i8042_key(p->kbc, n & 0x1ff, n & 0x8000);
        i8042_mouse(p->kbc, (int)take(in, 1) - 128, (int)take(in, 4), (int)take(in, 1), n >> 9);
        break;
    case 17:
        n = take(in, 1);
        if (n < 64)
            save_all(p);
        else
            load_all(p, in, n & 1);
        break;
    case 18:
        n = take(in, 1);
        if (n < 200)
            lapic_set_base(p->lapic, (uint64_t)take(in, 4) << 4 | (n & 1 ? 0x800 : 0));
        else
            device_reset(p->device[n % p->devices]);
        break;
    case 19:
        n = take(in, 1);
        if (n < 100)
            piix4_pm_power_button(p->power);
        else if (n < 200)
            set_up_firmware(p);
        else if (piix4_pm_wake(p->power) || n < 220)
            for (unsigned i = 0; i < p->devices; i++)
                device_wake(p->device[i]);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct board p = {.b = bench_new()};
    struct input in = {.data = data, .left = size};
    build_interrupts(&p);
    build_pci(&p);
    build_isa(&p);
    for (unsigned i = 0; i < p.devices; i++)
        p.saved[i] = g_byte_array_new();
    for (unsigned i = 0; i < MOST_OPERATIONS && in.left; i++)
        operate(&p, &in);
    for (unsigned i = 0; i < p.devices; i++) {
        device_reset(p.device[i]);
        g_byte_array_unref(p.saved[i]);
    }
    while (p.devices)
        device_free(p.device[--p.devices]);
    g_free(p.surface.pixels);
    pci_bus_free(p.bus);
    bench_free(p.b);
    return 0;
}

FUZZ_MAIN(3000, 1500)
