/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The Bochs display extension: an index and a data port (0x1ce, 0x1cf or 0x1d0, 16 bits wide), and the same
 * registers in BAR 2 at 0x500, the VGA's ports 0x3c0–0x3df at 0x400. The register model is that of the Bochs
 * VBE documentation, version B0C5; BAR 2 as QEMU's "standard VGA" page describes it.
 *
 * Sizes a guest asks for are cut to what the card's memory holds, and offsets to where the screen still lies
 * in it; vga_draw.c checks again, line by line.
 */
#include "emu/dev/vga_internal.h"

#include <string.h>

enum { ID_FIRST = 0xb0c0, ID_LAST = 0xb0c5 };
enum { BAR_VGA = 0x400, BAR_VGA_END = 0x420, BAR_VBE = 0x500, BAR_VBE_END = 0x516, BAR_EXTENDED = 0x600 };
enum { EXTENDED_SIZE = 0, EXTENDED_ORDER = 4, EXTENDED_END = 8 };
#define ORDER_LITTLE 0x1e1e1e1eu

static uint32_t bytes_of(unsigned bpp, uint32_t pixels)
{
    return bpp == 4 ? pixels / 8 * 4 : pixels * ((bpp + 7) / 8); /* four planes: an address is four bytes */
}

uint32_t vga_vbe_line_bytes(const struct vga *vga)
{
    return bytes_of(vga->vbe[VBE_BPP], vga->vbe[VBE_VIRT_WIDTH]);
}

static bool is_depth(unsigned bpp)
{
    return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

/* Brings registers that depend on each other into what the card can do. */
static void fix(struct vga *vga)
{
    uint16_t *r = vga->vbe;
    if (!is_depth(r[VBE_BPP]))
        r[VBE_BPP] = 8;
    r[VBE_XRES] = (uint16_t)CLAMP(r[VBE_XRES] & ~7, 8, VBE_XRES_MOST);
    if (r[VBE_VIRT_WIDTH] < r[VBE_XRES])
        r[VBE_VIRT_WIDTH] = r[VBE_XRES];
    r[VBE_VIRT_WIDTH] &= (uint16_t)~7;
    uint32_t lines = vga->size / vga_vbe_line_bytes(vga);
    r[VBE_VIRT_HEIGHT] = (uint16_t)MIN(lines, 0xffff);
    r[VBE_YRES] = (uint16_t)CLAMP(r[VBE_YRES], 1, MIN(lines, (uint32_t)VBE_YRES_MOST));
    r[VBE_X_OFFSET] = (uint16_t)MIN(r[VBE_X_OFFSET], r[VBE_VIRT_WIDTH] - r[VBE_XRES]);
    r[VBE_Y_OFFSET] = (uint16_t)MIN(r[VBE_Y_OFFSET], lines - r[VBE_YRES]);
}

/* A mode of the extension leaves the VGA's own registers such that banked access at 0xa0000 works. */
static void switch_on(struct vga *vga, bool clear)
{
    vga->gc[GC_MISC] = (uint8_t)((vga->gc[GC_MISC] & ~0x0c) | 0x04 | GCMISC_GRAPHICS);
    vga->crtc[CRTC_MODE] |= 3;
    vga->seq[SEQ_MAP_MASK] = 15;
    if (vga->vbe[VBE_BPP] == 4) {
        vga->gc[GC_MODE] &= (uint8_t) ~(MODE_SHIFT_256 | MODE_SHIFT_CGA);
        vga->seq[SEQ_MEMORY] = (uint8_t)((vga->seq[SEQ_MEMORY] & ~MEMORY_CHAIN4) | MEMORY_SEQUENTIAL);
    } else {
        vga->gc[GC_MODE] = (uint8_t)((vga->gc[GC_MODE] & ~MODE_SHIFT_CGA) | MODE_SHIFT_256);
        vga->seq[SEQ_MEMORY] |= MEMORY_CHAIN4 | MEMORY_SEQUENTIAL;
    }
    if (clear) {
        uint64_t bytes = (uint64_t)vga_vbe_line_bytes(vga) * vga->vbe[VBE_YRES];
        memset(vga->memory, 0, (size_t)MIN(bytes, (uint64_t)vga->size));
    }
}

static void write_enable(struct vga *vga, uint16_t value)
{
    bool was = vga_vbe_on(vga), on = value & VBE_ENABLED;
    vga->vbe[VBE_ENABLE] = value & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB | VBE_NO_CLEAR);
    vga->colors_stale = true;
    if (on && !was) {
        vga->vbe[VBE_VIRT_WIDTH] = vga->vbe[VBE_XRES];
        vga->vbe[VBE_X_OFFSET] = vga->vbe[VBE_Y_OFFSET] = 0;
        fix(vga);
        switch_on(vga, !(value & VBE_NO_CLEAR));
        trace(VGA, "%u x %u, %u bits a pixel", vga->vbe[VBE_XRES], vga->vbe[VBE_YRES], vga->vbe[VBE_BPP]);
    } else if (!on) {
        vga->vbe[VBE_BANK] = 0;
    }
}

static void take_register(struct vga *vga, unsigned index, uint16_t value)
{
    trace(VGA, "vbe[%u] <- %04x", index, value);
    vga->touched = true;
    switch (index) {
    case VBE_ID:
        if (value >= ID_FIRST && value <= ID_LAST)
            vga->vbe[VBE_ID] = value;
        return;
    case VBE_XRES:
    case VBE_YRES:
    case VBE_BPP: /* taken up when the mode is switched on */
        if (!vga_vbe_on(vga))
            vga->vbe[index] = index == VBE_BPP && value == 0 ? 8 : value;
        return;
    case VBE_ENABLE:
        write_enable(vga, value);
        return;
    case VBE_BANK: {
        unsigned banks = vga->size >> 16;
        if (vga->vbe[VBE_BPP] == 4)
            banks >>= 2;
        vga->vbe[VBE_BANK] = (uint16_t)(value & (MAX(banks, 1u) - 1));
        return;
    }
    case VBE_VIRT_WIDTH:
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        vga->vbe[index] = value;
        if (vga_vbe_on(vga))
            fix(vga);
        return;
    default:
        return; /* read-only, or none */
    }
}

static void write_register(struct vga *vga, unsigned index, uint16_t value)
{
    take_register(vga, index, value);
    vga_update_window(vga);
}

static uint16_t read_register(const struct vga *vga, unsigned index)
{
    if (vga->vbe[VBE_ENABLE] & VBE_GETCAPS) {
        switch (index) {
        case VBE_XRES:
            return VBE_XRES_MOST;
        case VBE_YRES:
            return VBE_YRES_MOST;
        case VBE_BPP:
            return 32;
        default:
            break;
        }
    }
    return index < VBE_COUNT ? vga->vbe[index] : 0;
}

/* ---- ports ---- */

static uint32_t port_read(void *opaque, uint16_t port, unsigned size)
{
    const struct vga *vga = opaque;
    return port == VGA_VBE_PORT ? vga->vbe_index : read_register(vga, vga->vbe_index);
}

static void port_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct vga *vga = opaque;
    if (size != 2)
        return; /* the registers are 16 bits wide */
    if (port == VGA_VBE_PORT)
        vga->vbe_index = (uint16_t)value;
    else
        write_register(vga, vga->vbe_index, (uint16_t)value);
}

const struct portio_ops vga_vbe_port_ops = {.read = port_read, .write = port_write, .max_size = 2};

/* ---- BAR 2 ---- */

static uint8_t mmio_read_byte(struct vga *vga, uint32_t at)
{
    if (at >= BAR_VGA && at < BAR_VGA_END)
        return vga_port_read(vga, (uint16_t)(0x3c0 + at - BAR_VGA));
    if (at >= BAR_VBE && at < BAR_VBE_END)
        return (uint8_t)(read_register(vga, (at - BAR_VBE) / 2) >> (at & 1 ? 8 : 0));
    if (at >= BAR_EXTENDED + EXTENDED_SIZE && at < BAR_EXTENDED + EXTENDED_ORDER)
        return at == BAR_EXTENDED ? EXTENDED_END : 0;
    if (at >= BAR_EXTENDED + EXTENDED_ORDER && at < BAR_EXTENDED + EXTENDED_END)
        return ORDER_LITTLE & 0xff;
    if (at < EDID_BYTES && vga->has_edid)
        return vga->edid[at];
    return at < BAR_VGA ? 0 : 0xff;
}

static uint32_t mmio_read(void *opaque, uint32_t offset, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)mmio_read_byte(opaque, offset + i) << 8 * i;
    return value;
}

static void mmio_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct vga *vga = opaque;
    if (offset >= BAR_VGA && offset + size <= BAR_VGA_END) {
        for (unsigned i = 0; i < size; i++)
            vga_port_write(vga, (uint16_t)(0x3c0 + offset - BAR_VGA + i), (uint8_t)(value >> 8 * i));
    } else if (offset >= BAR_VBE && offset + size <= BAR_VBE_END && !(offset & 1)) {
        for (unsigned i = 0; i + 2 <= size; i += 2)
            write_register(vga, (offset + i - BAR_VBE) / 2, (uint16_t)(value >> 8 * i));
    }
}

const struct mmio_ops vga_vbe_mmio_ops = {.read = mmio_read, .write = mmio_write};

void vga_vbe_reset(struct vga *vga)
{
    memset(vga->vbe, 0, sizeof vga->vbe);
    vga->vbe_index = 0;
    vga->vbe[VBE_ID] = ID_LAST;
    vga->vbe[VBE_BPP] = 8;
    vga->vbe[VBE_MEMORY_64K] = (uint16_t)(vga->size >> 16);
}

bool vga_vbe_check(const struct vga *vga)
{
    const uint16_t *r = vga->vbe;
    if (r[VBE_ID] < ID_FIRST || r[VBE_ID] > ID_LAST || r[VBE_MEMORY_64K] != (uint16_t)(vga->size >> 16))
        return false;
    if (!vga_vbe_on(vga))
        return true;
    return is_depth(r[VBE_BPP]) && r[VBE_XRES] && r[VBE_XRES] <= VBE_XRES_MOST && !(r[VBE_XRES] & 7) &&
           r[VBE_YRES] && r[VBE_YRES] <= VBE_YRES_MOST && r[VBE_VIRT_WIDTH] >= r[VBE_XRES] &&
           !(r[VBE_VIRT_WIDTH] & 7);
}
