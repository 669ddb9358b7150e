/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The VGA: registers, planes and write modes, pictures of its text and graphics modes, the Bochs extension,
 * and a guest that writes nonsense.
 */
#include "emu/dev/edid.h"
#include "emu/dev/vga.h"
#include "tests/dev/chip_bench.h"

#include <string.h>

enum { MEMORY = 1 << 20, LFB = 0xe0000000u, REGISTERS = 0xe1000000u, DEVFN = 2 << 3 };
#define MS 1000000ll

struct rig {
    struct bench *b;
    struct pci_bus *bus;
    struct vga *vga;
    struct display_surface surface;
    struct display_rect changed;
    uint8_t font[VGA_FONT_BYTES];
};

static uint8_t *memory(struct rig *r)
{
    return physmap_ram(r->b->mem) + BENCH_RAM - MEMORY;
}

static void set_up(struct rig *r, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    r->b = bench_new();
    r->bus = pci_bus_new(r->b->mem, r->b->io);
    struct vga_config config = {.id = "VGA", .slot = 2, .ram_offset = BENCH_RAM - MEMORY, .memory = MEMORY};
    r->vga = vga_new(r->bus, r->b->io, r->b->clock, &config, &error);
    g_assert_no_error(error);
    for (unsigned c = 0; c < 256;
         c++) /* a letter's dots: its code in every line, but for an empty last one */
        memset(r->font + c * 16, c == ' ' ? 0 : (int)c, 15);
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->vga);
    pci_bus_free(r->bus);
    bench_free(r->b);
    g_free(r->surface.pixels);
}

static void map(struct rig *r)
{
    out8(r->b, 0x3c2, 0x63);
    pci_config_write(r->bus, DEVFN, PCI_BAR0, LFB, 4);
    pci_config_write(r->bus, DEVFN, PCI_BAR0 + 8, REGISTERS, 4);
    pci_config_write(r->bus, DEVFN, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
}

static bool draw(struct rig *r)
{
    return vga_draw(r->vga, &r->surface, true, &r->changed);
}

static uint32_t pixel(const struct rig *r, unsigned x, unsigned y)
{
    g_assert_cmpuint(x, <, r->surface.width);
    g_assert_cmpuint(y, <, r->surface.height);
    return r->surface.pixels[y * r->surface.width + x];
}

static void indexed(struct rig *r, uint16_t port, uint8_t index, uint8_t value)
{
    out16(r->b, port, (uint16_t)(index | value << 8));
}

static void attribute(struct rig *r, uint8_t index, uint8_t value)
{
    in8(r->b, 0x3da);
    out8(r->b, 0x3c0, index);
    out8(r->b, 0x3c0, value);
    out8(r->b, 0x3c0, 0x20);
}

static void vbe(struct rig *r, uint16_t index, uint16_t value)
{
    out16(r->b, 0x1ce, index);
    out16(r->b, 0x1cf, value);
}

static uint16_t get_vbe(struct rig *r, uint16_t index)
{
    out16(r->b, 0x1ce, index);
    return in16(r->b, 0x1cf);
}

static void mode(struct rig *r, unsigned width, unsigned height, unsigned bpp)
{
    vbe(r, 4, 0);
    vbe(r, 1, (uint16_t)width);
    vbe(r, 2, (uint16_t)height);
    vbe(r, 3, (uint16_t)bpp);
    vbe(r, 4, 0x41);
    in8(r->b, 0x3da);
    out8(r->b, 0x3c0, 0x20);
}

static void color(struct rig *r, uint8_t index, uint8_t red, uint8_t green, uint8_t blue)
{
    out8(r->b, 0x3c8, index);
    out8(r->b, 0x3c9, red);
    out8(r->b, 0x3c9, green);
    out8(r->b, 0x3c9, blue);
}

/* ---- registers ---- */

static void test_registers(struct rig *r, gconstpointer data)
{
    struct bench *b = r->b;
    g_assert_cmphex(in8(b, 0x3d4), ==, 0xff); /* at 0x3b_ until MISC says otherwise */
    out8(b, 0x3b4, 5);
    g_assert_cmphex(in8(b, 0x3b4), ==, 5);
    out8(b, 0x3c2, 0x67);
    g_assert_cmphex(in8(b, 0x3cc), ==, 0x67);
    g_assert_cmphex(in8(b, 0x3b4), ==, 0xff);
    g_assert_cmphex(in8(b, 0x3d4), ==, 5);

    indexed(r, 0x3d4, 0x11, 0x8e); /* registers 0 to 7 are locked, but for bit 4 of 7 */
    indexed(r, 0x3d4, 0x00, 0x55);
    indexed(r, 0x3d4, 0x07, 0xff);
    indexed(r, 0x3d4, 0x08, 0x12);
    out8(b, 0x3d4, 0);
    g_assert_cmphex(in8(b, 0x3d5), ==, 0);
    out8(b, 0x3d4, 7);
    g_assert_cmphex(in8(b, 0x3d5), ==, 0x10);
    out8(b, 0x3d4, 8);
    g_assert_cmphex(in8(b, 0x3d5), ==, 0x12);
    indexed(r, 0x3d4, 0x11, 0x0e);
    indexed(r, 0x3d4, 0x00, 0x55);
    out8(b, 0x3d4, 0);
    g_assert_cmphex(in8(b, 0x3d5), ==, 0x55);

    attribute(r, 0x13, 0x3c); /* four bits of it exist */
    in8(b, 0x3da);
    out8(b, 0x3c0, 0x13);
    g_assert_cmphex(in8(b, 0x3c1), ==, 0x0c);
    out8(b, 0x3c0, 0x05); /* the flip-flop: data */
    g_assert_cmphex(in8(b, 0x3c1), ==, 0x05);

    color(r, 7, 1, 2, 0xff); /* six bits; the index goes on by itself */
    g_assert_cmphex(in8(b, 0x3c8), ==, 8);
    out8(b, 0x3c7, 7);
    g_assert_cmphex(in8(b, 0x3c7) & 3, ==, 3);
    g_assert_cmphex(in8(b, 0x3c9), ==, 1);
    g_assert_cmphex(in8(b, 0x3c9), ==, 2);
    g_assert_cmphex(in8(b, 0x3c9), ==, 0x3f);
}

/* The retrace bit, as programs wait for it: 70 times a second in a mode of 449 lines. */
static void test_retrace(struct rig *r, gconstpointer data)
{
    unsigned rises = 0, displayed = 0, samples = 0;
    bool was = false;
    vga_start_text(r->vga, NULL);
    for (int64_t at = 0; at < 1000 * MS; at += 10000, samples++) {
        uint8_t status = in8(r->b, 0x3da);
        bool is = status & 8;
        g_assert_true(!is || status & 1); /* nothing is displayed during a retrace */
        rises += is && !was;
        displayed += !(status & 1);
        was = is;
        clock_manual_advance(r->b->clock, 10000);
    }
    g_assert_cmpuint(rises, >=, 69);
    g_assert_cmpuint(rises, <=, 71);
    g_assert_cmpuint(displayed * 100 / samples, >=, 65); /* 400 of 449 lines, 80 of 100 characters: 71 % */
    g_assert_cmpuint(displayed * 100 / samples, <=, 77);
}

/* ---- text ---- */

static void test_text(struct rig *r, gconstpointer data)
{
    vga_start_text(r->vga, r->font);
    g_assert_true(draw(r));
    g_assert_cmpuint(r->surface.width, ==, 720);
    g_assert_cmpuint(r->surface.height, ==, 400);
    g_assert_cmphex(pixel(r, 0, 13), ==, 0xaaaaaa); /* the cursor, in lines 13 and 14 */
    g_assert_cmphex(pixel(r, 0, 12), ==, 0);
    g_assert_false(draw(r));

    /* Column 3 of row 2: 0xa5 in yellow on blue. */
    phys_write16(r->b->mem, 0xb8000 + 2 * (2 * 80 + 3), 0x1ea5);
    g_assert_true(draw(r));
    g_assert_cmpuint(r->changed.x, ==, 27);
    g_assert_cmpuint(r->changed.y, ==, 32);
    g_assert_cmpuint(r->changed.width, ==, 9);
    g_assert_cmpuint(r->changed.height, ==, 16);
    for (unsigned x = 0; x < 9; x++)
        g_assert_cmphex(pixel(r, 27 + x, 40), ==, 0xa5 << 1 >> (8 - x) & 1 ? 0xffff55 : 0x0000aa);
    g_assert_cmphex(pixel(r, 27, 47), ==, 0x0000aa);
    g_assert_cmphex(phys_read16(r->b->mem, 0xb8000 + 2 * (2 * 80 + 3)), ==, 0x1ea5);

    /* Box drawing letters go on into the ninth dot. */
    phys_write16(r->b->mem, 0xb8000, 0x07c1);
    indexed(r, 0x3d4, 0x0a, 0x20); /* no cursor */
    g_assert_true(draw(r));
    g_assert_cmphex(pixel(r, 8, 0), ==, 0xaaaaaa);
    g_assert_cmphex(pixel(r, 0, 13), ==, 0xaaaaaa);
    g_assert_cmphex(pixel(r, 3, 0), ==, 0);

    /* Start address: the screen begins at row 2. */
    indexed(r, 0x3d4, 0x0d, 160);
    g_assert_true(draw(r));
    g_assert_cmphex(pixel(r, 27, 8), ==, 0xffff55);
    struct display_text *text = g_new(struct display_text, 1);
    unsigned width, height;
    g_assert_true(vga_text(r->vga, text, &width, &height));
    g_assert_cmpuint(text->columns, ==, 80);
    g_assert_cmpuint(text->rows, ==, 25);
    g_assert_cmphex(text->cells[3].code, ==, 0xa5);
    g_assert_cmphex(text->cells[3].attribute, ==, 0x1e);
    g_assert_cmpint(text->cursor_row, ==, -1);
    g_free(text);

    /* Line compare: from line 100 on the screen shows address 0. */
    indexed(r, 0x3d4, 0x11, 0x0e);
    indexed(r, 0x3d4, 0x07, 0x0f);
    indexed(r, 0x3d4, 0x09, 0x0f);
    indexed(r, 0x3d4, 0x18, 99);
    g_assert_true(draw(r));
    g_assert_cmphex(pixel(r, 8, 99), ==, 0);
    g_assert_cmphex(pixel(r, 8, 100), ==, 0xaaaaaa);

    /* Blanked by the attribute controller's index. */
    in8(r->b, 0x3da);
    out8(r->b, 0x3c0, 0);
    g_assert_true(draw(r));
    g_assert_cmphex(pixel(r, 27, 8), ==, 0);
}

/* As GRUB does it when it is the firmware: planes, CRTC mode and line compare keep what reset left. */
static void test_sparse_text(struct rig *r, gconstpointer data)
{
    struct bench *b = r->b;
    out8(b, 0x3c2, 0x01);
    indexed(r, 0x3c4, 4, 0x00); /* the font: plane 2, plain */
    indexed(r, 0x3c4, 2, 0x04);
    indexed(r, 0x3ce, 8, 0xff);
    for (unsigned line = 0; line < 16; line++)
        phys_write8(b->mem, 0xa0000 + 'A' * 32 + line, 0xff);
    indexed(r, 0x3ce, 6, 0x0c);
    indexed(r, 0x3ce, 5, 0x10);
    indexed(r, 0x3c4, 2, 0x03);
    indexed(r, 0x3d4, 0x09, 15);
    indexed(r, 0x3d4, 0x01, 79);
    indexed(r, 0x3d4, 0x13, 40);
    indexed(r, 0x3d4, 0x12, 0x90); /* 401 lines: QEMU's card shows 25 rows of 16 */
    indexed(r, 0x3d4, 0x07, 0x02);
    indexed(r, 0x3c4, 1, 0x01);
    for (uint8_t i = 0; i < 16; i++) {
        attribute(r, i, i);
        color(r, i, i, i, i);
    }
    attribute(r, 0x10, 0);
    for (unsigned cell = 0; cell < 80 * 25; cell++) {
        phys_write16(b->mem, 0xb8000 + 2 * cell, cell % 80 & 1 ? 0x0742 : 0x0741);
    }
    g_assert_true(draw(r));
    g_assert_cmpuint(r->surface.width, ==, 640);
    g_assert_cmpuint(r->surface.height, ==, 400);
    for (unsigned y = 0; y < 400; y++) {
        g_assert_cmphex(pixel(r, 3, y), ==, 0x1c1c1c);
        g_assert_cmphex(pixel(r, 11, y), ==, 0);
    }
}

static void test_blinking(struct rig *r, gconstpointer data)
{
    unsigned on = 0, changes = 0;
    vga_start_text(r->vga, r->font);
    phys_write16(r->b->mem, 0xb8000 + 20, 0x87ff); /* blinks */
    draw(r);
    for (unsigned i = 0; i < 100; i++) {
        clock_manual_advance(r->b->clock, 10 * MS);
        if (vga_draw(r->vga, &r->surface, false, &r->changed))
            changes++;
        bool cursor = pixel(r, 0, 13) != 0;
        g_assert_true(cursor == (pixel(r, 90, 0) != 0));
        on += cursor;
    }
    g_assert_cmpuint(changes, >=, 3);
    g_assert_cmpuint(changes, <=, 6); /* half periods of 229 ms: nothing is drawn in between */
    g_assert_cmpuint(on, >=, 30);
    g_assert_cmpuint(on, <=, 70);
}

static void test_font(struct rig *r, gconstpointer data)
{
    g_autofree uint8_t *rom = g_malloc0(65536);
    memset(r->font, 0, sizeof r->font);
    memset(r->font + 0xdb * 16, 0xff, 16);
    memset(r->font + 0xdf * 16, 0xff, 7);
    memset(r->font + 0xdc * 16 + 7, 0xff, 9);
    memset(r->font + 0xb3 * 16, 0x18, 16);
    g_assert_null(vga_find_font(rom, 65536));
    memcpy(rom + 12345, r->font, sizeof r->font);
    g_assert_true(vga_find_font(rom, 65536) == rom + 12345);
    g_assert_null(vga_find_font(rom, 12345 + VGA_FONT_BYTES - 1));
    g_assert_null(vga_find_font(rom, 100));
}

/* ---- planes ---- */

static void plane_set_up(struct rig *r)
{
    out8(r->b, 0x3c2, 0x03);
    indexed(r, 0x3c4, 4, 0x06); /* planar */
    indexed(r, 0x3c4, 2, 0x0f);
    indexed(r, 0x3ce, 6, 0x05); /* graphics, window at 0xa0000 */
    indexed(r, 0x3ce, 8, 0xff);
}

static void four(struct rig *r, unsigned at, uint8_t p0, uint8_t p1, uint8_t p2, uint8_t p3)
{
    const uint8_t want[] = {p0, p1, p2, p3};
    g_assert_cmpmem(memory(r) + 4 * at, 4, want, 4);
}

static void test_write_modes(struct rig *r, gconstpointer data)
{
    struct physmap *mem = r->b->mem;
    plane_set_up(r);
    phys_write8(mem, 0xa0000, 0x5a);
    four(r, 0, 0x5a, 0x5a, 0x5a, 0x5a);
    indexed(r, 0x3c4, 2, 0x05); /* map mask */
    phys_write8(mem, 0xa0000, 0x0f);
    four(r, 0, 0x0f, 0x5a, 0x0f, 0x5a);
    indexed(r, 0x3c4, 2, 0x0f);

    indexed(r, 0x3ce, 3, 0x04); /* rotate by four */
    phys_write8(mem, 0xa0001, 0x12);
    four(r, 1, 0x21, 0x21, 0x21, 0x21);
    indexed(r, 0x3ce, 3, 0);

    indexed(r, 0x3ce, 0, 0x09); /* set/reset in planes 0 and 1 */
    indexed(r, 0x3ce, 1, 0x03);
    phys_write8(mem, 0xa0002, 0x77);
    four(r, 2, 0xff, 0x00, 0x77, 0x77);
    indexed(r, 0x3ce, 1, 0);

    phys_read8(mem, 0xa0000); /* latches 0f 5a 0f 5a; bit mask and the four functions */
    indexed(r, 0x3ce, 8, 0xf0);
    phys_write8(mem, 0xa0003, 0xaa);
    four(r, 3, 0xaf, 0xaa, 0xaf, 0xaa);
    indexed(r, 0x3ce, 8, 0xff);
    static const struct {
        uint8_t function, want[2];
    } functions[] = {{0x08, {0x0a, 0x0a}}, {0x10, {0xaf, 0xfa}}, {0x18, {0xa5, 0xf0}}};
    for (unsigned i = 0; i < G_N_ELEMENTS(functions); i++) {
        indexed(r, 0x3ce, 3, functions[i].function);
        phys_write8(mem, 0xa0010 + i, 0xaa);
        const uint8_t *w = functions[i].want;
        four(r, 0x10 + i, w[0], w[1], w[0], w[1]);
    }
    indexed(r, 0x3ce, 3, 0);

    indexed(r, 0x3ce, 5, 1); /* write mode 1: the latches */
    phys_write8(mem, 0xa0004, 0x99);
    four(r, 4, 0x0f, 0x5a, 0x0f, 0x5a);
    indexed(r, 0x3ce, 5, 2); /* 2: a colour */
    phys_write8(mem, 0xa0005, 0x0a);
    four(r, 5, 0x00, 0xff, 0x00, 0xff);
    indexed(r, 0x3ce, 5, 3); /* 3: the byte is a mask, set/reset the colour */
    phys_write8(mem, 0xa0006, 0xf0);
    four(r, 6, 0xff, 0x0a, 0x0f, 0xfa);

    indexed(r, 0x3ce, 5, 0);
    for (unsigned plane = 0; plane < 4; plane++) { /* read mode 0 */
        indexed(r, 0x3ce, 4, (uint8_t)plane);
        g_assert_cmphex(phys_read8(mem, 0xa0006), ==, memory(r)[24 + plane]);
    }
    indexed(r, 0x3ce, 5, 8); /* read mode 1: where is colour 0x0a, all planes cared for */
    indexed(r, 0x3ce, 2, 0x0a);
    indexed(r, 0x3ce, 7, 0x0f);
    phys_read8(mem, 0xa0005);
    g_assert_cmphex(phys_read8(mem, 0xa0005), ==, 0xff);
    g_assert_cmphex(phys_read8(mem, 0xa0002), ==, 0x00);
    indexed(r, 0x3ce, 7, 0);
    g_assert_cmphex(phys_read8(mem, 0xa0002), ==, 0xff);
}

static void test_windows(struct rig *r, gconstpointer data)
{
    struct physmap *mem = r->b->mem;
    plane_set_up(r);
    g_assert_cmphex(phys_read8(mem, 0xb0000), ==, 0xff); /* not decoded */
    phys_write8(mem, 0xb0000, 1);
    four(r, 0, 0, 0, 0, 0);
    indexed(r, 0x3ce, 6, 0x0d); /* 0xb8000 */
    phys_write8(mem, 0xb8007, 0x33);
    four(r, 7, 0x33, 0x33, 0x33, 0x33);
    g_assert_cmphex(phys_read8(mem, 0xa0007), ==, 0xff);
    indexed(r, 0x3ce, 6, 0x09); /* 0xb0000 */
    phys_write8(mem, 0xb7fff, 0x44);
    four(r, 0x7fff, 0x44, 0x44, 0x44, 0x44);
    g_assert_cmphex(phys_read8(mem, 0xb8000), ==, 0xff);
    indexed(r, 0x3ce, 6, 0x01); /* all 128 KiB: the planes are seen twice */
    phys_write8(mem, 0xbffff, 0x55);
    four(r, 0xffff, 0x55, 0x55, 0x55, 0x55);
    g_assert_cmphex(phys_read8(mem, 0xaffff), ==, 0x55);
    out8(r->b, 0x3c2, 0x01); /* MISC's RAM enable is not looked at, as in QEMU */
    g_assert_cmphex(phys_read8(mem, 0xaffff), ==, 0x55);

    out8(r->b, 0x3c2, 0x03);
    indexed(r, 0x3c4, 4, 0x02); /* odd/even */
    indexed(r, 0x3ce, 5, 0x10);
    indexed(r, 0x3c4, 2, 0x03);
    phys_write16(mem, 0xa0100, 0x1e41);
    four(r, 0x100, 0x41, 0x1e, 0, 0);
    g_assert_cmphex(phys_read16(mem, 0xa0100), ==, 0x1e41);
}

/* ---- graphics ---- */

/* Mode 13h by the numbers a BIOS writes. */
static void mode_13h(struct rig *r)
{
    vga_start_text(r->vga, NULL);
    memset(memory(r), 0, 1 << 18);
    out8(r->b, 0x3c2, 0x63);
    indexed(r, 0x3c4, 1, 0x01);
    indexed(r, 0x3c4, 2, 0x0f);
    indexed(r, 0x3c4, 4, 0x0e);
    indexed(r, 0x3d4, 0x09, 0x41);
    indexed(r, 0x3d4, 0x14, 0x40);
    indexed(r, 0x3ce, 5, 0x40);
    indexed(r, 0x3ce, 6, 0x05);
    attribute(r, 0x10, 0x41);
    attribute(r, 0x13, 0);
    for (unsigned i = 0; i < 64; i++)
        color(r, (uint8_t)i, (uint8_t)i, 0, (uint8_t)(63 - i));
}

/* Where the window is nothing but memory it is mapped as that, and only there. */
static bool is_memory(struct rig *r, uint32_t offset)
{
    struct phys_slice slice;
    physmap_lookup(r->b->mem, 0xa0000, &slice);
    return slice.write && slice.write == memory(r) + offset && slice.read == slice.write &&
           slice.run >= 0x10000;
}

static void test_plain_memory(struct rig *r, gconstpointer data)
{
    struct phys_slice slice;
    mode_13h(r);
    map(r);
    g_assert_true(is_memory(r, 0));
    physmap_lookup(r->b->mem, 0xb0000, &slice);
    g_assert_null(slice.write);
    draw(r);
    phys_write8(r->b->mem, 0xa0000 + 320 * 10 + 7, 63);
    g_assert_true(draw(r)); /* seen, though nobody called */
    static const struct {
        uint16_t port;
        uint8_t index, value, back;
    } rows[] = {{0x3c4, 2, 0x07, 0x0f}, {0x3c4, 4, 0x06, 0x0e}, {0x3ce, 8, 0x7f, 0xff},
                {0x3ce, 3, 0x08, 0},    {0x3ce, 1, 0x01, 0},    {0x3ce, 5, 0x41, 0x40},
                {0x3ce, 5, 0x48, 0x40}, {0x3ce, 6, 0x0d, 0x05}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        indexed(r, rows[i].port, rows[i].index, rows[i].value);
        g_assert_false(is_memory(r, 0));
        indexed(r, rows[i].port, rows[i].index, rows[i].back);
        g_assert_true(is_memory(r, 0));
    }
    bench_round_trip((struct device *)r->vga, NULL, NULL);
    g_assert_true(is_memory(r, 0));
    /* Banks of the extension: the same window somewhere else. */
    static const uint16_t mode[][2] = {{1, 640}, {2, 480}, {3, 32}, {4, 1}, {5, 3}};
    for (size_t i = 0; i < G_N_ELEMENTS(mode); i++) {
        out16(r->b, 0x1ce, mode[i][0]);
        out16(r->b, 0x1cf, mode[i][1]);
    }
    g_assert_true(is_memory(r, 3 << 16));
    phys_write32(r->b->mem, 0xa0010, 0x123456);
    g_assert_cmphex(phys_read32(r->b->mem, LFB + (3 << 16) + 0x10), ==, 0x123456);
    device_reset((struct device *)r->vga);
    g_assert_false(is_memory(r, 0));
}

static void test_edid(struct rig *r, gconstpointer data)
{
    static const unsigned sizes[][2] = {{1280, 800},  {640, 480}, {1920, 1080},
                                        {4088, 4088}, {1, 1},     {99999, 99999}};
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        uint8_t edid[EDID_BYTES], sum = 0;
        edid_make(sizes[i][0], sizes[i][1], edid);
        for (unsigned k = 0; k < EDID_BYTES; k++)
            sum = (uint8_t)(sum + edid[k]);
        g_assert_cmphex(sum, ==, 0);
        g_assert_cmpmem(edid, 8, "\0\xff\xff\xff\xff\xff\xff\0", 8);
        g_assert_cmpuint(edid[56] | edid[58] >> 4 << 8, ==, CLAMP(sizes[i][0], 640u, 4088u));
        g_assert_cmpuint(edid[59] | edid[61] >> 4 << 8, ==, CLAMP(sizes[i][1], 400u, 4088u));
    }
    map(r);
    g_assert_cmphex(phys_read32(r->b->mem, REGISTERS), ==, 0); /* this card's monitor says nothing */
    struct vga_config config = {.id = "VGA2",
                                .slot = 3,
                                .ram_offset = BENCH_RAM - MEMORY,
                                .memory = MEMORY,
                                .width = 800,
                                .height = 600};
    struct vga *other = vga_new(r->bus, r->b->io, r->b->clock, &config, NULL);
    pci_config_write(r->bus, 3 << 3, PCI_BAR0 + 8, REGISTERS + 0x100000, 4);
    pci_config_write(r->bus, 3 << 3, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    g_assert_cmphex(phys_read32(r->b->mem, REGISTERS + 0x100000), ==, 0xffffff00);
    g_assert_cmphex(phys_read8(r->b->mem, REGISTERS + 0x100000 + 56), ==, 800 & 0xff);
    g_assert_cmphex(phys_read8(r->b->mem, REGISTERS + 0x100000 + 0x80), ==, 0);
    device_free((struct device *)other);
}

static uint32_t six(unsigned v)
{
    return v << 2 | v >> 4;
}

static void test_graphics(struct rig *r, gconstpointer data)
{
    struct physmap *mem = r->b->mem;
    mode_13h(r);
    for (unsigned x = 0; x < 320; x++)
        phys_write8(mem, 0xa0000 + 320 * 100 + x, x & 63);
    g_assert_true(draw(r));
    g_assert_cmpuint(r->surface.width, ==, 640);
    g_assert_cmpuint(r->surface.height, ==, 400);
    for (unsigned x = 0; x < 640; x++) {
        uint32_t want = six(x / 2 & 63) << 16 | six(63 - (x / 2 & 63));
        g_assert_cmphex(pixel(r, x, 200), ==, want);
        g_assert_cmphex(pixel(r, x, 201), ==, want);
    }
    g_assert_cmphex(pixel(r, 0, 199), ==, six(63));

    /* Mode X: unchained, bytes; a byte of a plane is every fourth pixel. */
    indexed(r, 0x3c4, 4, 0x06);
    indexed(r, 0x3d4, 0x14, 0x00);
    indexed(r, 0x3d4, 0x17, 0xe3);
    indexed(r, 0x3c4, 2, 0x04);
    phys_write8(mem, 0xa0000 + 80 * 10 + 1, 33);
    g_assert_true(draw(r));
    g_assert_cmphex(pixel(r, 12, 20), ==, six(33) << 16 | six(30));
    g_assert_cmphex(pixel(r, 11, 20), ==, six(63));
    g_assert_cmphex(pixel(r, 14, 20), ==, six(63));
    attribute(r, 0x13, 2); /* panned by one pixel of two dots */
    g_assert_true(draw(r));
    g_assert_cmphex(pixel(r, 10, 20), ==, six(33) << 16 | six(30));

    /* Mode 12h: 640×480, 16 colours. */
    vga_start_text(r->vga, NULL);
    memset(memory(r), 0, 1 << 18);
    indexed(r, 0x3c4, 1, 0x01);
    indexed(r, 0x3c4, 4, 0x06);
    indexed(r, 0x3d4, 0x11, 0x0c);
    indexed(r, 0x3d4, 0x07, 0x3e);
    indexed(r, 0x3d4, 0x09, 0x40);
    indexed(r, 0x3d4, 0x12, 0xdf);
    indexed(r, 0x3d4, 0x17, 0xe3);
    indexed(r, 0x3ce, 5, 0x00);
    indexed(r, 0x3ce, 6, 0x05);
    attribute(r, 0x10, 0x01);
    attribute(r, 0x13, 0);
    indexed(r, 0x3c4, 2, 0x0c);
    phys_write8(mem, 0xa0000 + 80 * 479 + 79, 0x81);
    g_assert_true(draw(r));
    g_assert_cmpuint(r->surface.width, ==, 640);
    g_assert_cmpuint(r->surface.height, ==, 480);
    g_assert_cmphex(pixel(r, 632, 479), ==, 0xff5555);
    g_assert_cmphex(pixel(r, 633, 479), ==, 0);
    g_assert_cmphex(pixel(r, 639, 479), ==, 0xff5555);
}

static void test_vbe(struct rig *r, gconstpointer data)
{
    static const struct {
        unsigned bpp, bytes;
        uint32_t value, color;
    } depths[] = {{8, 1, 0x25, 0}, /* its colour is below */
                  {15, 2, 0x7c1f, 0xff00ff},
                  {16, 2, 0xf81f, 0xff00ff},
                  {24, 3, 0x123456, 0x123456},
                  {32, 4, 0xff123456, 0x123456}};
    map(r);
    g_assert_cmphex(get_vbe(r, 0), ==, 0xb0c5);
    g_assert_cmpuint(get_vbe(r, 10), ==, MEMORY >> 16);
    color(r, 0x25, 63, 63, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(depths); i++) {
        uint32_t want = depths[i].bpp == 8 ? 0xffff00 : depths[i].color;
        mode(r, 400, 300, depths[i].bpp);
        g_assert_cmpuint(get_vbe(r, 6), ==, 400);
        uint32_t line = 400 * depths[i].bytes;
        uint32_t value = depths[i].value;
        phys_write(r->b->mem, LFB + 299 * line + 399 * depths[i].bytes, &value, depths[i].bytes);
        g_assert_true(draw(r));
        g_assert_cmpuint(r->surface.width, ==, 400);
        g_assert_cmpuint(r->surface.height, ==, 300);
        g_assert_cmphex(pixel(r, 399, 299), ==, want);
        g_assert_cmphex(pixel(r, 398, 299), ==, 0);
        g_assert_false(draw(r));
        phys_write(r->b->mem, LFB + 7 * line, &value,
                   depths[i].bytes); /* a store leaves no trace but the byte */
        g_assert_true(draw(r));
        g_assert_cmpuint(r->changed.x, ==, 0);
        g_assert_cmpuint(r->changed.y, ==, 7);
        g_assert_cmpuint(r->changed.width, ==, 1);
        g_assert_cmpuint(r->changed.height, ==, 1);
        vbe(r, 6, 408); /* a virtual screen, and the window on it moved */
        vbe(r, 8, 8);
        vbe(r, 9, 1);
        g_assert_cmpuint(get_vbe(r, 8), ==, 8);
        phys_write(r->b->mem, LFB + 408 * depths[i].bytes + 8 * depths[i].bytes, &value, depths[i].bytes);
        draw(r);
        g_assert_cmphex(pixel(r, 0, 0), ==, want);
    }
    /* The window at 0xa0000 by banks. */
    mode(r, 640, 480, 8);
    vbe(r, 5, 3);
    phys_write8(r->b->mem, 0xa0010, 0x77);
    g_assert_cmphex(memory(r)[0x30010], ==, 0x77);
    g_assert_cmphex(phys_read8(r->b->mem, 0xa0010), ==, 0x77);
    vbe(r, 5, 0);
    g_assert_cmphex(phys_read8(r->b->mem, 0xa0010), ==, 0);
    /* The same registers in BAR 2. */
    g_assert_cmphex(phys_read16(r->b->mem, REGISTERS + 0x500), ==, 0xb0c5);
    phys_write16(r->b->mem, REGISTERS + 0x508, 0);
    phys_write16(r->b->mem, REGISTERS + 0x502, 800);
    g_assert_cmpuint(get_vbe(r, 1), ==, 800);
    phys_write8(r->b->mem, REGISTERS + 0x404, 4);
    phys_write8(r->b->mem, REGISTERS + 0x405, 0x0e);
    g_assert_cmphex(in8(r->b, 0x3c5), ==, 0x0e);
    g_assert_cmphex(phys_read32(r->b->mem, REGISTERS + 0x604), ==, 0x1e1e1e1e);
    vbe(r, 4, 2);
    g_assert_cmpuint(get_vbe(r, 3), ==, 32);
    g_assert_cmpuint(get_vbe(r, 1), >=, 1280);
}

/* What does not fit into the card's memory is cut to what does. */
static void test_vbe_limits(struct rig *r, gconstpointer data)
{
    static const uint16_t sizes[] = {0, 1, 7, 8, 639, 4096, 4097, 0x7fff, 0xffff};
    static const uint16_t depths[] = {0, 1, 4, 8, 15, 16, 17, 24, 32, 64, 0xffff};
    map(r);
    for (unsigned w = 0; w < G_N_ELEMENTS(sizes); w++) {
        for (unsigned h = 0; h < G_N_ELEMENTS(sizes); h++) {
            unsigned bpp = depths[(w * 7 + h) % G_N_ELEMENTS(depths)];
            mode(r, sizes[w], sizes[h], bpp);
            vbe(r, 6, sizes[(w + h) % G_N_ELEMENTS(sizes)]);
            vbe(r, 8, 0xffff);
            vbe(r, 9, 0xffff);
            vbe(r, 5, 0xffff);
            draw(r);
            g_assert_cmpuint(r->surface.width, >=, 8);
            g_assert_cmpuint(r->surface.width, <=, 4096);
            g_assert_cmpuint(r->surface.height, >=, 1);
            g_assert_cmpuint(r->surface.height, <=, 4096);
            phys_write32(r->b->mem, 0xafffc, 0xffffffff);
            phys_read32(r->b->mem, 0xafffc);
        }
    }
}

/* Everything random, and looked at: no size and no address leaves the card (the sanitizers judge). */
static void test_nonsense(struct rig *r, gconstpointer data)
{
    static const uint16_t ports[] = {0x3c0, 0x3c2, 0x3c4, 0x3c5, 0x3c6, 0x3c8, 0x3c9, 0x3ce,
                                     0x3cf, 0x3d4, 0x3d5, 0x3da, 0x3b4, 0x3b5, 0x1ce, 0x1cf};
    g_autoptr(GRand) rand = g_rand_new_with_seed(1987);
    unsigned sizes = 0, width = 0;
    struct display_text *text = g_new(struct display_text, 1);
    vga_start_text(r->vga, r->font);
    map(r);
    for (unsigned round = 0; round < 600; round++) {
        for (unsigned i = 0; i < 30; i++) {
            uint16_t port = ports[g_rand_int(rand) % G_N_ELEMENTS(ports)];
            uint32_t value = g_rand_int(rand);
            if (port >= 0x3c0 && g_rand_int(rand) & 1)
                value &= 0x1f;
            if (port < 0x200)
                out16(r->b, port, port & 1 ? (uint16_t)value : value % 12);
            else
                out8(r->b, port, (uint8_t)value);
            phys_write32(r->b->mem, 0xa0000 + (value & 0x1fffc), value);
            phys_read8(r->b->mem, 0xa0000 + (value & 0x1ffff));
        }
        if (round % 2) {
            in8(r->b, 0x3da);
            out8(r->b, 0x3c0, 0x20);
            indexed(r, 0x3c4, 1, (uint8_t)(round & 0x09));
        }
        clock_manual_advance(r->b->clock, 7 * MS);
        draw(r);
        unsigned w, h;
        vga_text(r->vga, text, &w, &h);
        sizes += r->surface.width != width;
        width = r->surface.width;
    }
    g_free(text);
    g_assert_cmpuint(sizes, >, 20); /* it did get into modes */
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    mode_13h(r);
    mode(r, 320, 200, 32);
    out8(r->b, 0x3c9, 1);
}

static void test_state(struct rig *r, gconstpointer data)
{
    struct device *device = (struct device *)r->vga;
    bench_reset_is_complete(device, disturb, r);
    disturb(r);
    bench_round_trip(device, NULL, NULL);
    draw(r);
    g_assert_cmpuint(r->surface.width, ==, 320);
    bench_damaged_state(r->b, device);
    draw(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name, function) g_test_add("/vga/" name, struct rig, NULL, set_up, function, tear_down)
    TEST("registers", test_registers);
    TEST("retrace", test_retrace);
    TEST("text", test_text);
    TEST("sparse-text", test_sparse_text);
    TEST("blinking", test_blinking);
    TEST("font", test_font);
    TEST("write-modes", test_write_modes);
    TEST("windows", test_windows);
    TEST("graphics", test_graphics);
    TEST("plain-memory", test_plain_memory);
    TEST("edid", test_edid);
    TEST("vbe", test_vbe);
    TEST("vbe-limits", test_vbe_limits);
    TEST("nonsense", test_nonsense);
    TEST("state", test_state);
    return g_test_run();
}
