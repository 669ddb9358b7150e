/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The VGA from the inside.
 *
 *   vga.c         the PCI function, ports, registers, saved state     vga_memory.c   0xa0000–0xbffff
 *   vga_vbe.c     the Bochs extension and its registers in BAR 2      vga_draw.c     memory and registers →
 * pixels
 *
 * Memory layout: byte `a` of plane `p` is memory[4 * a + p]. So one 32-bit word holds the four planes at an
 * address (what the latches hold), chained modes are linear, and so is the frame buffer of the extension.
 * Register names and numbers are those of the IBM VGA technical reference.
 */
#pragma once

#include "emu/dev/edid.h"
#include "emu/dev/vga.h"
#include "emu/trace.h"

enum { MISC_COLOR = 0x01, MISC_CLOCK = 0x0c };
enum { SEQ_RESET, SEQ_CLOCKING, SEQ_MAP_MASK, SEQ_FONT, SEQ_MEMORY, SEQ_COUNT = 8 };
enum { CLOCKING_8DOT = 0x01, CLOCKING_HALF = 0x08, CLOCKING_OFF = 0x20 };
enum { MEMORY_SEQUENTIAL = 0x04, MEMORY_CHAIN4 = 0x08 };
enum {
    GC_SET,
    GC_SET_ENABLE,
    GC_COMPARE,
    GC_ROTATE,
    GC_READ_MAP,
    GC_MODE,
    GC_MISC,
    GC_DONT_CARE,
    GC_BIT_MASK,
    GC_COUNT = 16
};
enum { MODE_READ_COMPARE = 0x08, MODE_ODD_EVEN = 0x10, MODE_SHIFT_CGA = 0x20, MODE_SHIFT_256 = 0x40 };
enum { GCMISC_GRAPHICS = 0x01 };
enum {
    CRTC_HTOTAL = 0x00,
    CRTC_HDISPLAY = 0x01,
    CRTC_VTOTAL = 0x06,
    CRTC_OVERFLOW = 0x07,
    CRTC_PRESET_ROW = 0x08,
    CRTC_MAX_SCAN = 0x09,
    CRTC_CURSOR_START = 0x0a,
    CRTC_CURSOR_END = 0x0b,
    CRTC_START_HIGH = 0x0c,
    CRTC_START_LOW = 0x0d,
    CRTC_CURSOR_HIGH = 0x0e,
    CRTC_CURSOR_LOW = 0x0f,
    CRTC_VSYNC_START = 0x10,
    CRTC_VSYNC_END = 0x11,
    CRTC_VDISPLAY = 0x12,
    CRTC_OFFSET = 0x13,
    CRTC_UNDERLINE = 0x14,
    CRTC_MODE = 0x17,
    CRTC_LINE_COMPARE = 0x18,
    CRTC_COUNT = 0x20,
};
enum { CRTC_PROTECT = 0x80, CRTC_MODE_BYTE = 0x40, CRTC_MODE_WRAP = 0x20, CRTC_UNDERLINE_DWORD = 0x40 };
enum { ATTR_MODE = 0x10, ATTR_OVERSCAN, ATTR_PLANES, ATTR_PAN, ATTR_COLOR, ATTR_COUNT = 0x20 };
enum {
    ATTR_GRAPHICS = 0x01,
    ATTR_MONO = 0x02,
    ATTR_LINE_GRAPHICS = 0x04,
    ATTR_BLINK = 0x08,
    ATTR_PAN_TOP = 0x20,
    ATTR_256 = 0x40,
    ATTR_P54 = 0x80
};
enum { ATTR_SCREEN_ON = 0x20 };

enum {
    VBE_ID,
    VBE_XRES,
    VBE_YRES,
    VBE_BPP,
    VBE_ENABLE,
    VBE_BANK,
    VBE_VIRT_WIDTH,
    VBE_VIRT_HEIGHT,
    VBE_X_OFFSET,
    VBE_Y_OFFSET,
    VBE_MEMORY_64K,
    VBE_COUNT
};
enum { VBE_ENABLED = 0x01, VBE_GETCAPS = 0x02, VBE_8BIT_DAC = 0x20, VBE_LFB = 0x40, VBE_NO_CLEAR = 0x80 };
enum { VBE_XRES_MOST = 4096, VBE_YRES_MOST = 4096 };

struct vga {
    struct pci_device pci; /* first */
    struct clock *clock;
    struct physmap *mem;
    uint64_t ram_offset;
    uint8_t *memory;
    uint32_t size; /* of it, a power of two */
    struct phys_range *window;
    struct phys_range *plain; /* over it: the same as plain memory, when that is what it is */
    bool linear;              /* `plain` is there */
    uint8_t edid[EDID_BYTES];
    bool has_edid;

    uint8_t misc, feature, enable;
    uint8_t seq_index, seq[SEQ_COUNT];
    uint8_t gc_index, gc[GC_COUNT];
    uint8_t crtc_index, crtc[CRTC_COUNT];
    uint8_t attr_index, attr[ATTR_COUNT];
    bool attr_data; /* the flip-flop: the next write to 0x3c0 is data */
    uint8_t dac_mask, dac_read, dac_write, dac_component;
    bool dac_reading;
    uint8_t dac_cache[3];
    uint8_t dac[768];
    uint32_t latch;
    uint16_t vbe_index, vbe[VBE_COUNT];

    bool touched;         /* something that is seen may have changed since it was drawn */
    bool drawn_steady;    /* how that was */
    uint64_t drawn_phase; /* of blinking */
    uint32_t *line;       /* DISPLAY_WIDTH_MOST + a character: one line being drawn */
    uint32_t colors[256]; /* of the DAC, 0x00RRGGBB */
    bool colors_stale;
};

static inline bool vga_vbe_on(const struct vga *vga)
{
    return vga->vbe[VBE_ENABLE] & VBE_ENABLED;
}

/* vga.c */
uint8_t vga_port_read(struct vga *vga, uint16_t port);
void vga_port_write(struct vga *vga, uint16_t port, uint8_t value);
/* vga_memory.c */
void vga_update_window(struct vga *vga); /* after registers have changed */
extern const struct mmio_ops vga_memory_ops;
/* vga_vbe.c */
extern const struct portio_ops vga_vbe_port_ops;
extern const struct mmio_ops vga_vbe_mmio_ops;
enum { VGA_VBE_PORT = 0x1ce, VGA_VBE_PORTS = 3, VGA_VBE_BAR_SIZE = 4096 };
void vga_vbe_reset(struct vga *vga);
bool vga_vbe_check(const struct vga *vga);          /* of loaded state */
uint32_t vga_vbe_line_bytes(const struct vga *vga); /* a line in memory */
