/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The VGA's registers: see vga.h and vga_internal.h. IBM VGA technical reference; ports 0x3b0–0x3df.
 *
 * Nothing runs in the background: retrace bits are computed from guest time and the CRTC's numbers when they
 * are read, and pixels are made when somebody looks. Unlike hardware, palette registers can be written while
 * the screen is on. `touched` is set by whatever may be seen.
 */
#include "emu/dev/vga_internal.h"

#include <gio/gio.h>
#include <string.h>

enum { PORT_FIRST = 0x3b0, PORT_COUNT = 0x30, WINDOW = 0xa0000, WINDOW_SIZE = 0x20000 };
enum { STATUS_DISABLED = 0x01, STATUS_RETRACE = 0x08, STATUS0_SENSE = 0x10 };
enum { BAR_MEMORY = 0, BAR_REGISTERS = 2 };

/* ---- the beam ---- */

/* Where it is by guest time. */
static uint8_t input_status(const struct vga *vga)
{
    const uint8_t *c = vga->crtc;
    unsigned overflow = c[CRTC_OVERFLOW];
    uint64_t lines = (c[CRTC_VTOTAL] | (overflow & 0x01) << 8 | (overflow & 0x20) << 4) + 2u;
    uint64_t shown = (c[CRTC_VDISPLAY] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1u;
    uint64_t sync = c[CRTC_VSYNC_START] | (overflow & 0x04) << 6 | (overflow & 0x80) << 2;
    uint64_t sync_lines = ((c[CRTC_VSYNC_END] - sync) & 15) ? (c[CRTC_VSYNC_END] - sync) & 15 : 16;
    uint64_t characters = c[CRTC_HTOTAL] + 5u, shown_characters = c[CRTC_HDISPLAY] + 1u;
    uint64_t line_ns;
    if (vga_vbe_on(vga)) {
        shown = vga->vbe[VBE_YRES];
        lines = shown + 45;
        sync = shown + 10;
        sync_lines = 2;
        line_ns = (uint64_t)NANOSECONDS / 60 / lines;
        characters = 100;
        shown_characters = 80;
    } else {
        unsigned dots = vga->seq[SEQ_CLOCKING] & CLOCKING_8DOT ? 8 : 9;
        uint64_t hertz = vga->misc & MISC_CLOCK ? 28322000 : 25175000;
        if (vga->seq[SEQ_CLOCKING] & CLOCKING_HALF)
            hertz /= 2;
        line_ns = characters * dots * (uint64_t)NANOSECONDS / hertz;
    }
    uint64_t now = (uint64_t)clock_now(vga->clock) % (line_ns * lines);
    uint64_t line = now / line_ns, character = now % line_ns * characters / line_ns;
    uint8_t status = 0;
    if (line >= shown || character >= shown_characters)
        status |= STATUS_DISABLED;
    if (line >= sync && line < sync + sync_lines)
        status |= STATUS_RETRACE;
    return status;
}

/* ---- ports ---- */

/* Whether the port is at the place the guest chose for CRTC and status: 0x3b_ or 0x3d_. */
static bool is_decoded(const struct vga *vga, uint16_t port)
{
    if (port >= 0x3c0 && port <= 0x3cf)
        return true;
    return (port >= 0x3d0) == ((vga->misc & MISC_COLOR) != 0);
}

uint8_t vga_port_read(struct vga *vga, uint16_t port)
{
    if (!is_decoded(vga, port))
        return 0xff;
    switch (port) {
    case 0x3c0:
        return vga->attr_index;
    case 0x3c1:
        return vga->attr[vga->attr_index & (ATTR_COUNT - 1)];
    case 0x3c2:
        return STATUS0_SENSE;
    case 0x3c3:
        return vga->enable;
    case 0x3c4:
        return vga->seq_index;
    case 0x3c5:
        return vga->seq[vga->seq_index & (SEQ_COUNT - 1)];
    case 0x3c6:
        return vga->dac_mask;
    case 0x3c7:
        return vga->dac_reading ? 3 : 0;
    case 0x3c8:
        return vga->dac_write;
    case 0x3c9: {
        uint8_t value = vga->dac[vga->dac_read * 3 + vga->dac_component];
        if (++vga->dac_component == 3) {
            vga->dac_component = 0;
            vga->dac_read++;
        }
        return value;
    }
    case 0x3ca:
        return vga->feature;
    case 0x3cc:
        return vga->misc;
    case 0x3ce:
        return vga->gc_index;
    case 0x3cf:
        return vga->gc[vga->gc_index & (GC_COUNT - 1)];
    case 0x3b4:
    case 0x3d4:
        return vga->crtc_index;
    case 0x3b5:
    case 0x3d5:
        return vga->crtc[vga->crtc_index & (CRTC_COUNT - 1)];
    case 0x3ba:
    case 0x3da:
        vga->attr_data = false;
        return input_status(vga);
    default:
        return 0xff;
    }
}

static void write_attribute(struct vga *vga, uint8_t value)
{
    /* Bits that exist. */
    static const uint8_t writable[ATTR_COUNT] = {
        0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
        0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f, 0,    0,    0,    0,    0,    0,
    };
    if (!vga->attr_data)
        vga->attr_index = value & 0x3f;
    else
        vga->attr[vga->attr_index & (ATTR_COUNT - 1)] = value & writable[vga->attr_index & (ATTR_COUNT - 1)];
    vga->attr_data = !vga->attr_data;
}

static void write_crtc(struct vga *vga, uint8_t value)
{
    unsigned index = vga->crtc_index & (CRTC_COUNT - 1);
    bool locked = vga->crtc[CRTC_VSYNC_END] & CRTC_PROTECT && index <= CRTC_OVERFLOW;
    if (locked && index == CRTC_OVERFLOW) /* but for a bit of the line compare */
        vga->crtc[index] = (uint8_t)((vga->crtc[index] & ~0x10) | (value & 0x10));
    else if (!locked)
        vga->crtc[index] = value;
}

static void write_dac(struct vga *vga, uint8_t value)
{
    vga->dac_cache[vga->dac_component++] = value;
    if (vga->dac_component < 3)
        return;
    uint8_t mask = vga->vbe[VBE_ENABLE] & VBE_8BIT_DAC ? 0xff : 0x3f;
    for (unsigned i = 0; i < 3; i++)
        vga->dac[vga->dac_write * 3 + i] = vga->dac_cache[i] & mask;
    vga->dac_component = 0;
    vga->dac_write++;
    vga->colors_stale = true;
}

void vga_port_write(struct vga *vga, uint16_t port, uint8_t value)
{
    if (!is_decoded(vga, port))
        return;
    trace(VGA, "out %03x <- %02x", port, value);
    vga->touched = true;
    switch (port) {
    case 0x3c0:
        write_attribute(vga, value);
        break;
    case 0x3c2:
        vga->misc = value;
        break;
    case 0x3c3:
        vga->enable = value & 1;
        break;
    case 0x3c4:
        vga->seq_index = value;
        break;
    case 0x3c5:
        vga->seq[vga->seq_index & (SEQ_COUNT - 1)] = value;
        vga_update_window(vga);
        break;
    case 0x3c6:
        vga->dac_mask = value;
        break;
    case 0x3c7:
        vga->dac_read = value;
        vga->dac_reading = true;
        vga->dac_component = 0;
        break;
    case 0x3c8:
        vga->dac_write = value;
        vga->dac_reading = false;
        vga->dac_component = 0;
        break;
    case 0x3c9:
        write_dac(vga, value);
        break;
    case 0x3ce:
        vga->gc_index = value;
        break;
    case 0x3cf:
        vga->gc[vga->gc_index & (GC_COUNT - 1)] = value;
        vga_update_window(vga);
        break;
    case 0x3b4:
    case 0x3d4:
        vga->crtc_index = value;
        break;
    case 0x3b5:
    case 0x3d5:
        write_crtc(vga, value);
        break;
    case 0x3ba:
    case 0x3da:
        vga->feature = value;
        break;
    default:
        break;
    }
}

static uint32_t port_read(void *opaque, uint16_t port, unsigned size)
{
    return vga_port_read(opaque, port);
}

static void port_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    vga_port_write(opaque, port, (uint8_t)value);
}

static const struct portio_ops port_ops = {.read = port_read, .write = port_write};

/* ---- text without firmware ---- */

const uint8_t *vga_find_font(const uint8_t *rom, uint32_t size)
{
    /* A font is found by its space and by what is true of any box-drawing letters in it: the full block is
     * all dots, the upper and lower halves are halves of it, and a vertical bar is the same in all lines. */
    enum { FULL = 0xdb, LOWER = 0xdc, UPPER = 0xdf, BAR = 0xb3, LINES = 16 };
    for (uint32_t at = 0; at + VGA_FONT_BYTES <= size; at++) {
        const uint8_t *font = rom + at;
        bool fits = font[BAR * LINES] != 0 && font[BAR * LINES] != 0xff;
        for (unsigned y = 0; y < LINES && fits; y++)
            fits = font[FULL * LINES + y] == 0xff && font[' ' * LINES + y] == 0 &&
                   font[BAR * LINES + y] == font[BAR * LINES];
        if (fits && font[LOWER * LINES] == 0 && font[LOWER * LINES + 15] == 0xff &&
            font[UPPER * LINES] == 0xff && font[UPPER * LINES + 15] == 0)
            return font;
    }
    return NULL;
}

/* The DAC's first 64 colours as a video BIOS sets them: bits 0–2 blue, green, red at two thirds, 3–5 at one.
 */
static void set_dac(struct vga *vga)
{
    for (unsigned i = 0; i < 64; i++)
        for (unsigned c = 0; c < 3; c++)
            vga->dac[i * 3 + c] = (uint8_t)((i >> (2 - c) & 1) * 0x2a + (i >> (5 - c) & 1) * 0x15);
    vga->colors_stale = true;
}

void vga_start_text(struct vga *vga, const uint8_t *font)
{
    /* 720×400, characters of 9×16: the numbers every VGA BIOS has for mode 3. */
    static const uint8_t seq[] = {0x03, 0x00, 0x03, 0x00, 0x02};
    static const uint8_t crtc[] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                                   0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
                                   0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
    static const uint8_t gc[] = {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff};
    static const uint8_t attr[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
                                   0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00};
    vga->misc = 0x67;
    memcpy(vga->seq, seq, sizeof seq);
    memcpy(vga->crtc, crtc, sizeof crtc);
    memcpy(vga->gc, gc, sizeof gc);
    memcpy(vga->attr, attr, sizeof attr);
    vga->attr_index = ATTR_SCREEN_ON;
    vga->enable = 1;
    set_dac(vga);
    for (unsigned i = 0; i < 0x4000; i++) {
        vga->memory[8 * i] = ' '; /* even addresses of planes 0 and 1 */
        vga->memory[8 * i + 1] = 0x07;
    }
    for (unsigned c = 0; font && c < 256; c++)
        for (unsigned y = 0; y < 16; y++)
            vga->memory[(c * 32 + y) * 4 + 2] = font[c * 16 + y];
    vga->touched = true;
    vga_update_window(vga);
}

/* ---- the device ---- */

static void vga_reset(struct device *device)
{
    struct vga *vga = (struct vga *)device;
    pci_device_reset(&vga->pci);
    vga->misc = vga->feature = 0;
    vga->enable = 1;
    vga->seq_index = vga->gc_index = vga->crtc_index = vga->attr_index = 0;
    memset(vga->seq, 0, sizeof vga->seq);
    memset(vga->gc, 0, sizeof vga->gc);
    memset(vga->crtc, 0, sizeof vga->crtc);
    memset(vga->attr, 0, sizeof vga->attr);
    memset(vga->dac, 0, sizeof vga->dac);
    memset(vga->dac_cache, 0, sizeof vga->dac_cache);
    vga->attr_data = vga->dac_reading = false;
    vga->dac_mask = 0xff;
    vga->dac_read = vga->dac_write = vga->dac_component = 0;
    vga->latch = 0;
    vga_vbe_reset(vga);
    vga->touched = vga->colors_stale = true;
    vga_update_window(vga);
}

static bool vga_after_load(void *device, GError **error)
{
    struct vga *vga = device;
    if (vga->dac_component > 2 || !vga_vbe_check(vga)) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
            "%s: saved state is of no VGA with %u KiB of memory; load it into the machine it was saved "
            "from",
            vga->pci.device.id, vga->size >> 10);
        return false;
    }
    vga->touched = vga->colors_stale = true;
    vga_update_window(vga);
    return pci_after_load(&vga->pci, error);
}

static void vga_free(struct device *device)
{
    struct vga *vga = (struct vga *)device;
    pci_device_remove(&vga->pci);
    g_free(vga->line);
    g_free(vga);
}

static const struct state_field vga_fields[] = {
    PCI_STATE_ROWS(struct vga),
    STATE(struct vga, U8, misc),
    STATE(struct vga, U8, feature),
    STATE(struct vga, U8, enable),
    STATE(struct vga, U8, seq_index),
    STATE_ARRAY(struct vga, BYTES, seq),
    STATE(struct vga, U8, gc_index),
    STATE_ARRAY(struct vga, BYTES, gc),
    STATE(struct vga, U8, crtc_index),
    STATE_ARRAY(struct vga, BYTES, crtc),
    STATE(struct vga, U8, attr_index),
    STATE_ARRAY(struct vga, BYTES, attr),
    STATE(struct vga, BOOL, attr_data),
    STATE(struct vga, U8, dac_mask),
    STATE(struct vga, U8, dac_read),
    STATE(struct vga, U8, dac_write),
    STATE(struct vga, U8, dac_component),
    STATE(struct vga, BOOL, dac_reading),
    STATE_ARRAY(struct vga, BYTES, dac_cache),
    STATE_ARRAY(struct vga, BYTES, dac),
    STATE(struct vga, U32, latch),
    STATE(struct vga, U16, vbe_index),
    STATE_ARRAY(struct vga, U16, vbe),
};
static const struct state_table vga_state = {
    .name = "VGA",
    .version = 1,
    .fields = vga_fields,
    .count = G_N_ELEMENTS(vga_fields),
    .after_load = vga_after_load,
};
static const struct device_class vga_class = {
    .name = "VGA", .state = &vga_state, .reset = vga_reset, .free = vga_free};

struct vga *vga_new(struct pci_bus *bus, struct portio *io, struct clock *clock,
                    const struct vga_config *config, GError **error)
{
    struct physmap *mem = pci_bus_memory(bus);
    g_assert(config->memory >= VGA_MEMORY_LEAST && !(config->memory & (config->memory - 1)));
    struct vga *vga = g_new0(struct vga, 1);
    if (!pci_device_init(&vga->pci, bus, &vga_class, config->id, config->slot, 0, 0x1234, 0x1111, 0x030000, 2,
                         error)) {
        g_free(vga);
        return NULL;
    }
    vga->clock = clock;
    vga->mem = mem;
    vga->ram_offset = config->ram_offset;
    vga->memory = physmap_ram(mem) + config->ram_offset;
    vga->size = config->memory;
    vga->line = g_new0(uint32_t, DISPLAY_WIDTH_MOST + 64);
    pci_add_ram_bar(&vga->pci, BAR_MEMORY, config->memory, config->ram_offset);
    pci_add_memory_bar(&vga->pci, BAR_REGISTERS, VGA_VBE_BAR_SIZE, &vga_vbe_mmio_ops, vga);
    if (config->rom)
        pci_add_rom(&vga->pci, config->rom, config->rom_size);
    vga->has_edid = config->width && config->height;
    if (vga->has_edid)
        edid_make(config->width, config->height, vga->edid);
    vga->plain = physmap_add_ram(mem, "vga-plain", WINDOW, WINDOW_SIZE / 2, config->ram_offset, 1);
    physmap_range_enable(mem, vga->plain, false);
    vga->window = physmap_add_mmio(mem, "vga", WINDOW, WINDOW_SIZE, &vga_memory_ops, vga, 0);
    portio_add(io, "vga", PORT_FIRST, PORT_COUNT, &port_ops, vga);
    portio_add(io, "vga-vbe", VGA_VBE_PORT, VGA_VBE_PORTS, &vga_vbe_port_ops, vga);
    vga_reset(&vga->pci.device);
    return vga;
}
