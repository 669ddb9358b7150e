/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the guest shows, as pixels: each line is drawn into vga->line and compared with the surface, so that
 * what changed is known exactly whoever wrote it. In the VGA's own modes nothing at all is done while no
 * register and no byte of the window was written, unless the frame buffer in BAR 0 is open to the guest:
 * stores there are plain memory accesses that leave no trace.
 *
 * Lines are made as the CRTC makes them: a memory counter, a row scan counter, doubling, line compare. IBM
 * VGA technical reference, "CRT controller" and "Attribute controller". Sizes come from a guest's registers:
 * the largest is DISPLAY_WIDTH_MOST × DISPLAY_HEIGHT_MOST, and every address is brought into the card's
 * memory.
 */
#include "emu/dev/vga_internal.h"

#include <string.h>

enum kind { BLANK, TEXT, PLANAR, CGA, PACKED, EXTENDED };

struct picture {
    enum kind kind;
    unsigned width, height;
    unsigned characters;  /* character clocks a line */
    unsigned dots, twice; /* of a character; each dot drawn so many times */
    bool blink_on;        /* characters with the attribute, and the cursor, are in their visible half */
};

#define BLINK_HALF_NS (NANOSECONDS * 16 / 70)

static unsigned display_lines(const struct vga *vga)
{
    const uint8_t *c = vga->crtc;
    return (c[CRTC_VDISPLAY] | (c[CRTC_OVERFLOW] & 0x02u) << 7 | (c[CRTC_OVERFLOW] & 0x40u) << 3) + 1u;
}

static unsigned line_compare(const struct vga *vga)
{
    const uint8_t *c = vga->crtc;
    return c[CRTC_LINE_COMPARE] | (c[CRTC_OVERFLOW] & 0x10u) << 4 | (c[CRTC_MAX_SCAN] & 0x40u) << 3;
}

static unsigned start_address(const struct vga *vga)
{
    return (unsigned)vga->crtc[CRTC_START_HIGH] << 8 | vga->crtc[CRTC_START_LOW];
}

/* Of a row of characters. */
static unsigned text_lines(const struct vga *vga)
{
    unsigned lines = (vga->crtc[CRTC_MAX_SCAN] & 0x1fu) + 1;
    return vga->crtc[CRTC_MAX_SCAN] & 0x80 ? 2 * lines : lines;
}

static bool is_on(const struct vga *vga)
{
    return vga->attr_index & ATTR_SCREEN_ON && !(vga->seq[SEQ_CLOCKING] & CLOCKING_OFF);
}

static void compose(const struct vga *vga, struct picture *p)
{
    *p = (struct picture){.blink_on = true};
    if (vga_vbe_on(vga)) {
        p->kind = EXTENDED;
        p->width = vga->vbe[VBE_XRES];
        p->height = vga->vbe[VBE_YRES];
    } else {
        p->characters = vga->crtc[CRTC_HDISPLAY] + 1u;
        p->dots = 8;
        p->twice = vga->seq[SEQ_CLOCKING] & CLOCKING_HALF ? 2 : 1;
        p->height = display_lines(vga);
        if (!(vga->gc[GC_MISC] & GCMISC_GRAPHICS)) {
            unsigned row = text_lines(vga);
            p->kind = TEXT;
            p->dots = vga->seq[SEQ_CLOCKING] & CLOCKING_8DOT ? 8 : 9;
            if (p->height > row)
                p->height -= p->height % row; /* what is no whole row of characters shows nothing */
        } else if (vga->gc[GC_MODE] & MODE_SHIFT_256) {
            p->kind = PACKED;
            p->twice = 1;
        } else {
            p->kind = vga->gc[GC_MODE] & MODE_SHIFT_CGA ? CGA : PLANAR;
        }
        p->width = p->characters * p->dots * p->twice;
    }
    if (!is_on(vga)) {
        p->kind = BLANK;
        if (!vga->misc) { /* nobody has set it up yet */
            p->width = 640;
            p->height = 480;
        }
    }
}

/* ---- colours ---- */

static void update_colors(struct vga *vga)
{
    if (!vga->colors_stale)
        return;
    vga->colors_stale = false;
    bool wide = vga->vbe[VBE_ENABLE] & VBE_8BIT_DAC;
    for (unsigned i = 0; i < 256; i++) {
        const uint8_t *dac = vga->dac + 3 * i;
        uint32_t color = 0;
        for (unsigned c = 0; c < 3; c++) {
            unsigned value = wide ? dac[c] : (dac[c] & 0x3f) << 2 | (dac[c] & 0x3f) >> 4;
            color = color << 8 | value;
        }
        vga->colors[i] = color;
    }
}

static uint32_t color16(const struct vga *vga, unsigned index)
{
    unsigned value = vga->attr[index & 15];
    if (vga->attr[ATTR_MODE] & ATTR_P54)
        value = (value & 0x0f) | (vga->attr[ATTR_COLOR] & 0x0fu) << 4;
    else
        value = (value & 0x3f) | (vga->attr[ATTR_COLOR] & 0x0cu) << 4;
    return vga->colors[value & vga->dac_mask];
}

static void palette16(const struct vga *vga, uint32_t out[16])
{
    for (unsigned i = 0; i < 16; i++)
        out[i] = color16(vga, i & vga->attr[ATTR_PLANES]);
}

/* Firmware that knows QEMU's card alone (GRUB as firmware, say) sets up text with little more than the size
 * of the screen: planes, scan line addressing and line compare keep what reset left. Text is shown all the
 * same. */
static void text_palette(const struct vga *vga, uint32_t out[16])
{
    for (unsigned i = 0; i < 16; i++)
        out[i] = color16(vga, vga->attr[ATTR_PLANES] ? i & vga->attr[ATTR_PLANES] : i);
}

/* ---- lines of the VGA's own modes ---- */

/* The four planes at what the CRTC's counter stands for. */
static const uint8_t *planes_at(const struct vga *vga, unsigned counter, unsigned row_scan)
{
    unsigned mode = vga->crtc[CRTC_MODE], at;
    if (vga->seq[SEQ_MEMORY] & MEMORY_CHAIN4) /* packed, see vga_memory.c */
        at = counter;
    else if (vga->crtc[CRTC_UNDERLINE] & CRTC_UNDERLINE_DWORD)
        at = counter << 2;
    else if (mode & CRTC_MODE_BYTE)
        at = counter;
    else
        at = counter << 1 | (counter >> (mode & CRTC_MODE_WRAP ? 15 : 13) & 1);
    if (!(mode & 1))
        at = (at & ~0x2000u) | (row_scan & 1) << 13;
    if (!(mode & 2))
        at = (at & ~0x4000u) | (row_scan & 2) << 13;
    return vga->memory + ((at & 0xffff) << 2);
}

/* A cell of text is the same one for all its lines. */
static const uint8_t *text_cell(const struct vga *vga, unsigned counter)
{
    return planes_at(vga, counter, 0);
}

static uint32_t *put(uint32_t *to, uint32_t color, unsigned twice)
{
    *to++ = color;
    if (twice == 2)
        *to++ = color;
    return to;
}

static uint32_t font_offset(unsigned select)
{
    return (select & 3) * 0x4000 + (select & 4 ? 0x2000 : 0);
}

static void draw_text(const struct vga *vga, const struct picture *p, unsigned counter, unsigned row_scan)
{
    unsigned font_select = vga->seq[SEQ_FONT], mode = vga->attr[ATTR_MODE];
    uint32_t font[2] = {
        font_offset((font_select & 3) | (font_select >> 2 & 4)),      /* attribute bit 3 clear: map B */
        font_offset((font_select >> 2 & 3) | (font_select >> 3 & 4)), /* set: map A */
    };
    unsigned cursor = (unsigned)vga->crtc[CRTC_CURSOR_HIGH] << 8 | vga->crtc[CRTC_CURSOR_LOW];
    unsigned first = vga->crtc[CRTC_CURSOR_START], last = vga->crtc[CRTC_CURSOR_END] & 0x1f;
    bool cursor_here = p->blink_on && !(first & 0x20) && row_scan >= (first & 0x1f) && row_scan <= last;
    bool underline = mode & ATTR_MONO && row_scan == (vga->crtc[CRTC_UNDERLINE] & 0x1fu);
    uint32_t palette[16], *to = vga->line;
    text_palette(vga, palette);
    for (unsigned i = 0; i <= p->characters; i++) {
        unsigned at = (counter + i) & 0xffff;
        const uint8_t *cell = text_cell(vga, at);
        unsigned code = cell[0], attribute = cell[1], background = attribute >> 4;
        unsigned dots = vga->memory[((font[attribute >> 3 & 1] + code * 32 + row_scan) & 0xffff) * 4 + 2];
        if (mode & ATTR_BLINK) {
            background &= 7;
            if (attribute & 0x80 && !p->blink_on)
                dots = 0;
        }
        if ((underline && (attribute & 7) == 1) || (cursor_here && at == cursor))
            dots = 0x1ff;
        else if (mode & ATTR_LINE_GRAPHICS && code >= 0xc0 && code <= 0xdf)
            dots = dots << 1 | (dots & 1);
        else
            dots <<= 1;
        if (p->dots == 8)
            dots >>= 1;
        uint32_t colors[2] = {palette[background], palette[attribute & 15]};
        for (unsigned x = p->dots; x-- > 0;)
            to = put(to, colors[dots >> x & 1], p->twice);
    }
}

static void draw_planar(const struct vga *vga, const struct picture *p, unsigned counter, unsigned row_scan)
{
    uint32_t palette[16], *to = vga->line;
    palette16(vga, palette);
    for (unsigned i = 0; i <= p->characters; i++) {
        const uint8_t *b = planes_at(vga, (counter + i) & 0xffff, row_scan);
        for (unsigned x = 8; x-- > 0;)
            to = put(
                to,
                palette[(b[0] >> x & 1) | (b[1] >> x & 1) << 1 | (b[2] >> x & 1) << 2 | (b[3] >> x & 1) << 3],
                p->twice);
    }
}

/* Two bits a pixel: the bytes of planes 0 and 2, then those of planes 1 and 3. */
static void draw_cga(const struct vga *vga, const struct picture *p, unsigned counter, unsigned row_scan)
{
    uint32_t palette[16], *to = vga->line;
    palette16(vga, palette);
    for (unsigned i = 0; i <= p->characters; i++) {
        const uint8_t *b = planes_at(vga, (counter + i) & 0xffff, row_scan);
        for (unsigned half = 0; half < 2; half++)
            for (unsigned x = 8; x != 0; x -= 2)
                to = put(to, palette[(b[half] >> (x - 2) & 3) | (b[half + 2] >> (x - 2) & 3) << 2], p->twice);
    }
}

static void draw_packed(const struct vga *vga, const struct picture *p, unsigned counter, unsigned row_scan)
{
    uint32_t *to = vga->line;
    for (unsigned i = 0; i <= p->characters; i++) {
        const uint8_t *b = planes_at(vga, (counter + i) & 0xffff, row_scan);
        for (unsigned k = 0; k < 4; k++)
            to = put(to, vga->colors[b[k] & vga->dac_mask], 2);
    }
}

/* How many dots the line is moved to the left. */
static unsigned panning(const struct vga *vga, const struct picture *p, bool below)
{
    unsigned pan = vga->attr[ATTR_PAN] & 15;
    if (below && vga->attr[ATTR_MODE] & ATTR_PAN_TOP)
        return 0;
    if (p->kind == PACKED)
        return pan & 7;
    if (p->dots == 9)
        return pan >= 8 ? 0 : (pan + 1) * p->twice;
    return (pan & 7) * p->twice;
}

/* ---- lines of the extension ---- */

static void draw_extended(const struct vga *vga, const struct picture *p, unsigned y)
{
    unsigned bpp = vga->vbe[VBE_BPP];
    uint64_t line = vga_vbe_line_bytes(vga), x0 = vga->vbe[VBE_X_OFFSET];
    uint64_t skip = bpp == 4 ? x0 / 8 * 4 : x0 * ((bpp + 7) / 8);
    uint64_t length = bpp == 4 ? p->width / 8 * 4 : (uint64_t)p->width * ((bpp + 7) / 8);
    uint64_t at = (vga->vbe[VBE_Y_OFFSET] + (uint64_t)y) * line + skip;
    uint32_t *to = vga->line;
    if (at + length > vga->size) {
        memset(to, 0, p->width * sizeof *to);
        return;
    }
    const uint8_t *from = vga->memory + at;
    uint32_t palette[16];
    switch (bpp) {
    case 4:
        palette16(vga, palette);
        for (unsigned i = 0; i < p->width / 8; i++, from += 4)
            for (unsigned x = 8; x-- > 0;)
                *to++ = palette[(from[0] >> x & 1) | (from[1] >> x & 1) << 1 | (from[2] >> x & 1) << 2 |
                                (from[3] >> x & 1) << 3];
        break;
    case 15:
    case 16:
        for (unsigned i = 0; i < p->width; i++, from += 2) {
            unsigned v = from[0] | (unsigned)from[1] << 8, g_bits = bpp == 16 ? 6 : 5;
            unsigned r = v >> (5 + g_bits) & 31, g = v >> 5 & ((1u << g_bits) - 1), b = v & 31;
            g = g_bits == 6 ? g << 2 | g >> 4 : g << 3 | g >> 2;
            *to++ = (r << 3 | r >> 2) << 16 | g << 8 | (b << 3 | b >> 2);
        }
        break;
    case 24:
        for (unsigned i = 0; i < p->width; i++, from += 3)
            *to++ = from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16;
        break;
    case 32:
        memcpy(to, from, p->width * sizeof *to);
        for (unsigned i = 0; i < p->width; i++)
            to[i] &= 0xffffff;
        break;
    default:
        for (unsigned i = 0; i < p->width; i++)
            *to++ = vga->colors[from[i] & vga->dac_mask];
        break;
    }
}

/* ---- the surface ---- */

/* Takes a drawn line over and widens `changed` by what is new in it. */
static void take_line(struct display_surface *s, unsigned y, const uint32_t *line,
                      struct display_rect *changed)
{
    uint32_t *have = s->pixels + (size_t)y * s->width;
    if (!memcmp(have, line, s->width * sizeof *line))
        return;
    unsigned left = 0, right = s->width - 1;
    while (have[left] == line[left])
        left++;
    while (have[right] == line[right])
        right--;
    memcpy(have + left, line + left, (right - left + 1) * sizeof *line);
    if (!changed->height) {
        *changed = (struct display_rect){left, y, right - left + 1, 1};
        return;
    }
    unsigned end = MAX(changed->x + changed->width, right + 1);
    changed->x = MIN(changed->x, left);
    changed->width = end - changed->x;
    changed->height = y + 1 - changed->y;
}

static void draw_own_lines(struct vga *vga, const struct picture *p, struct display_surface *s,
                           struct display_rect *changed)
{
    unsigned counter = start_address(vga) + (vga->crtc[CRTC_PRESET_ROW] >> 5 & 3);
    unsigned row_scan = vga->crtc[CRTC_PRESET_ROW] & 0x1f, max_scan = vga->crtc[CRTC_MAX_SCAN] & 0x1f;
    unsigned split = line_compare(vga), repeat = 0;
    bool doubled = vga->crtc[CRTC_MAX_SCAN] & 0x80, below = false;
    for (unsigned y = 0; y < p->height; y++) {
        if (y == split + 1 && (split || p->kind != TEXT)) {
            counter = row_scan = repeat = 0;
            below = true;
        }
        switch (p->kind) {
        case TEXT:
            draw_text(vga, p, counter, row_scan);
            break;
        case PLANAR:
            draw_planar(vga, p, counter, row_scan);
            break;
        case CGA:
            draw_cga(vga, p, counter, row_scan);
            break;
        case PACKED:
            draw_packed(vga, p, counter, row_scan);
            break;
        case BLANK:
        case EXTENDED:
            break;
        }
        take_line(s, y, vga->line + panning(vga, p, below), changed);
        if (doubled && !repeat) {
            repeat = 1;
            continue;
        }
        repeat = 0;
        if (row_scan == max_scan) {
            row_scan = 0;
            counter = (counter + 2u * vga->crtc[CRTC_OFFSET]) & 0xffff;
        } else {
            row_scan = (row_scan + 1) & 0x1f;
        }
    }
}

static bool frame_buffer_is_open(const struct vga *vga)
{
    return pci_get16(&vga->pci, PCI_COMMAND) & PCI_COMMAND_MEMORY && pci_bar_base(&vga->pci, 0);
}

bool vga_draw(struct vga *vga, struct display_surface *s, bool steady, struct display_rect *changed)
{
    struct picture p;
    uint64_t phase = (uint64_t)clock_now(vga->clock) / BLINK_HALF_NS;
    *changed = (struct display_rect){0};
    compose(vga, &p);
    bool resized = !s->pixels || s->width != p.width || s->height != p.height;
    bool blinked = p.kind == TEXT && (steady != vga->drawn_steady || (!steady && phase != vga->drawn_phase));
    if (!vga->touched && !resized && !blinked && !vga->linear && !frame_buffer_is_open(vga))
        return false;
    vga->touched = false;
    vga->drawn_steady = steady;
    vga->drawn_phase = phase;
    p.blink_on = steady || !(phase & 1);
    if (resized) {
        g_free(s->pixels);
        s->pixels = g_new0(uint32_t, (size_t)p.width * p.height);
        s->width = p.width;
        s->height = p.height;
    }
    update_colors(vga);
    if (p.kind == BLANK || p.kind == EXTENDED) {
        if (p.kind == BLANK)
            memset(vga->line, 0, p.width * sizeof *vga->line);
        for (unsigned y = 0; y < p.height; y++) {
            if (p.kind == EXTENDED)
                draw_extended(vga, &p, y);
            take_line(s, y, vga->line, changed);
        }
    } else {
        draw_own_lines(vga, &p, s, changed);
    }
    if (resized)
        *changed = (struct display_rect){0, 0, p.width, p.height};
    return changed->height != 0;
}

bool vga_text(struct vga *vga, struct display_text *text, unsigned *width, unsigned *height)
{
    struct picture p;
    compose(vga, &p);
    *width = p.width;
    *height = p.height;
    if (p.kind != TEXT)
        return false;
    unsigned lines = text_lines(vga);
    unsigned cursor = (unsigned)vga->crtc[CRTC_CURSOR_HIGH] << 8 | vga->crtc[CRTC_CURSOR_LOW];
    unsigned first = vga->crtc[CRTC_CURSOR_START], last = vga->crtc[CRTC_CURSOR_END] & 0x1f;
    bool cursor_on = !(first & 0x20) && (first & 0x1f) <= last;
    text->columns = MIN(p.characters, (unsigned)DISPLAY_COLUMNS_MOST);
    text->rows = CLAMP(p.height / lines, 1, (unsigned)DISPLAY_ROWS_MOST);
    text->cursor_column = text->cursor_row = -1;
    text->blink = vga->attr[ATTR_MODE] & ATTR_BLINK;
    unsigned counter = start_address(vga);
    for (unsigned row = 0; row < text->rows; row++) {
        if (line_compare(vga) && row * lines == line_compare(vga) + 1)
            counter = 0;
        for (unsigned column = 0; column < text->columns; column++) {
            unsigned at = (counter + column) & 0xffff;
            const uint8_t *cell = text_cell(vga, at);
            text->cells[row * text->columns + column] = (struct display_cell){cell[0], cell[1]};
            if (cursor_on && at == cursor) {
                text->cursor_column = (int)column;
                text->cursor_row = (int)row;
            }
        }
        counter = (counter + 2u * vga->crtc[CRTC_OFFSET]) & 0xffff;
    }
    return true;
}
