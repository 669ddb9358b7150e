/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The window at 0xa0000–0xbffff: four planes behind latches, write modes 0–3, read modes 0 and 1, chaining.
 * IBM VGA technical reference, "Graphics controller" and "Sequencer".
 *
 * Chain 4 is packed, as on cards with more than 256 KiB: window address a is byte a of memory. In odd/even
 * chaining (text modes) even addresses are planes 0 and 2, odd ones 1 and 3, at the same place in the plane.
 * Banks of the Bochs extension move both. Every address is brought into the card's memory before it is used.
 *
 * In chain 4 with the data path set to let bytes through (mode 13h, and the banks of the extension), the
 * window is memory and nothing else: then it is mapped as that (vga_update_window), and the CPU does not
 * call. The latches are then not loaded by reads; a mode that uses them is another one, and loads them
 * itself.
 */
#include "emu/dev/vga_internal.h"

#include <string.h>

enum { PLANE_BYTES = 0x10000 };

/* Each bit of a nibble as a byte: what a plane mask is to a 32-bit word. */
static const uint32_t expand[16] = {
    0x00000000, 0x000000ff, 0x0000ff00, 0x0000ffff, 0x00ff0000, 0x00ff00ff, 0x00ffff00, 0x00ffffff,
    0xff000000, 0xff0000ff, 0xff00ff00, 0xff00ffff, 0xffff0000, 0xffff00ff, 0xffffff00, 0xffffffff,
};

/* Where the window's byte `offset` is in the part that is decoded; false when it is not. MISC's bit that lets
 * the processor at the memory is not looked at, as in QEMU: GRUB as firmware never sets it. */
static bool decode(const struct vga *vga, uint32_t offset, uint32_t *addr)
{
    switch (vga->gc[GC_MISC] >> 2 & 3) {
    case 0:
        *addr = offset;
        return true;
    case 1:
        *addr = offset;
        return offset < 0x10000;
    case 2:
        *addr = offset - 0x10000;
        return offset >= 0x10000 && offset < 0x18000;
    default:
        *addr = offset - 0x18000;
        return offset >= 0x18000;
    }
}

static uint32_t bank(const struct vga *vga)
{
    return vga_vbe_on(vga) ? (uint32_t)vga->vbe[VBE_BANK] << 16 : 0;
}

/* The word with the four planes at plane address `at`. */
static uint8_t *group(struct vga *vga, uint32_t at)
{
    if (vga_vbe_on(vga))
        at += bank(vga);
    else
        at &= PLANE_BYTES - 1;
    return vga->memory + ((at & (vga->size / 4 - 1)) << 2);
}

static uint32_t load(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint8_t rotate(const struct vga *vga, uint8_t value)
{
    unsigned by = vga->gc[GC_ROTATE] & 7;
    return (uint8_t)(value >> by | value << (8 - by));
}

static uint32_t combine(const struct vga *vga, uint32_t value, uint8_t bits)
{
    uint32_t mask = bits * 0x01010101u;
    switch (vga->gc[GC_ROTATE] >> 3 & 3) {
    case 1:
        value &= vga->latch;
        break;
    case 2:
        value |= vga->latch;
        break;
    case 3:
        value ^= vga->latch;
        break;
    default:
        break;
    }
    return (value & mask) | (vga->latch & ~mask);
}

/* What the data path makes of a byte for all four planes. */
static uint32_t data_path(const struct vga *vga, uint8_t byte)
{
    uint32_t set = expand[vga->gc[GC_SET] & 15], enabled;
    switch (vga->gc[GC_MODE] & 3) {
    case 0:
        enabled = expand[vga->gc[GC_SET_ENABLE] & 15];
        return combine(vga, (rotate(vga, byte) * 0x01010101u & ~enabled) | (set & enabled),
                       vga->gc[GC_BIT_MASK]);
    case 1:
        return vga->latch;
    case 2:
        return combine(vga, expand[byte & 15], vga->gc[GC_BIT_MASK]);
    default:
        return combine(vga, set, vga->gc[GC_BIT_MASK] & rotate(vga, byte));
    }
}

static void write_byte(struct vga *vga, uint32_t offset, uint8_t byte)
{
    uint32_t addr;
    unsigned planes = vga->seq[SEQ_MAP_MASK] & 15;
    uint8_t *to;
    if (!decode(vga, offset, &addr))
        return;
    if (vga->seq[SEQ_MEMORY] & MEMORY_CHAIN4) {
        planes &= 1u << (addr & 3);
        addr = (addr + bank(vga)) & (vga->size - 1);
        if (vga_vbe_on(vga)) { /* plain memory, whatever is left in the graphics controller */
            vga->memory[addr] = byte;
            vga->touched = true;
            return;
        }
        to = vga->memory + (addr & ~3u);
    } else if (vga->gc[GC_MODE] &
               MODE_ODD_EVEN) { /* QEMU's rule; the sequencer's bit ought to say the same */
        planes &= addr & 1 ? 0xa : 0x5;
        to = group(vga, addr & ~1u);
    } else {
        to = group(vga, addr);
    }
    uint32_t mask = expand[planes];
    uint32_t value = (load(to) & ~mask) | (data_path(vga, byte) & mask);
    memcpy(to, &value, sizeof value);
    vga->touched = true;
}

static uint8_t read_byte(struct vga *vga, uint32_t offset)
{
    uint32_t addr;
    unsigned plane = vga->gc[GC_READ_MAP] & 3;
    const uint8_t *from;
    if (!decode(vga, offset, &addr))
        return 0xff;
    if (vga->seq[SEQ_MEMORY] & MEMORY_CHAIN4) {
        plane = addr & 3;
        addr = (addr + bank(vga)) & (vga->size - 1);
        from = vga->memory + (addr & ~3u);
    } else if (vga->gc[GC_MODE] & MODE_ODD_EVEN) {
        plane = (plane & 2) | (addr & 1);
        from = group(vga, addr & ~1u);
    } else {
        from = group(vga, addr);
    }
    vga->latch = load(from);
    if (!(vga->gc[GC_MODE] & MODE_READ_COMPARE))
        return from[plane];
    uint32_t differ = (vga->latch ^ expand[vga->gc[GC_COMPARE] & 15]) & expand[vga->gc[GC_DONT_CARE] & 15];
    differ |= differ >> 16;
    return (uint8_t) ~(differ | differ >> 8);
}

static uint32_t memory_read(void *opaque, uint32_t offset, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)read_byte(opaque, offset + i) << 8 * i;
    return value;
}

static void memory_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        write_byte(opaque, offset + i, (uint8_t)(value >> 8 * i));
}

/* Whether 0xa0000–0xaffff is now nothing but memory, and where that begins. */
static bool is_plain(const struct vga *vga, uint32_t *from)
{
    const uint8_t *gc = vga->gc;
    bool seen = (gc[GC_MISC] >> 2 & 3) == 1;
    *from = bank(vga);
    if (!seen || !(vga->seq[SEQ_MEMORY] & MEMORY_CHAIN4) || gc[GC_MODE] & MODE_READ_COMPARE ||
        *from > vga->size - PLANE_BYTES)
        return false;
    return vga_vbe_on(vga) ||
           ((vga->seq[SEQ_MAP_MASK] & 15) == 15 && !(gc[GC_MODE] & 3) && !(gc[GC_SET_ENABLE] & 15) &&
            !(gc[GC_ROTATE] & 0x1f) && gc[GC_BIT_MASK] == 0xff);
}

void vga_update_window(struct vga *vga)
{
    uint32_t from;
    if (!vga->plain)
        return;
    bool plain = is_plain(vga, &from);
    physmap_begin(vga->mem);
    if (plain)
        physmap_range_set_ram(vga->mem, vga->plain, vga->ram_offset + from);
    physmap_range_enable(vga->mem, vga->plain, plain);
    physmap_end(vga->mem);
    if (vga->linear && !plain)
        vga->touched = true; /* by what was written last */
    vga->linear = plain;
}

const struct mmio_ops vga_memory_ops = {.read = memory_read, .write = memory_write};
