/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The terminal of a text console: see vt.h.
 *
 * What is understood is what Linux's console and the line editors, pagers and editors for TERM=linux, vt100,
 * vt220, ansi and (in the main) xterm send: ECMA-48 with DEC's private modes, as the VT220 Programmer
 * Reference Manual (chapter 4) and console_codes(4) have it. What is not understood is taken out of the text.
 *
 * Bytes are UTF-8 unless ESC % @ says otherwise; what is no UTF-8 is a byte of code page 437, so that DOS
 * programs' frames survive. A character at the last column leaves the cursor there, and only the next one
 * goes to the next line (`wrap_pending`), as on DEC's terminals.
 *
 * The guest writes whatever it likes: parameters are cut to PARAMETER_MOST as they are read, at most
 * PARAMETERS of them are kept, every position is brought into the screen before it is used, and no sequence
 * can take more than a screenful of work (history included). Nothing is allocated but at the start and when
 * the first line is scrolled away.
 */
#include "emu/display/vt.h"

#include "emu/display/codepage.h"

#include <string.h>

enum { PARAMETERS = 16, PARAMETER_MOST = 9999, TABS_EVERY = 8 };
enum { ESC = 0x1b, CAN = 0x18, SUB = 0x1a };
enum { BOLD = 1, UNDERLINE = 2, BLINK = 4, REVERSE = 8, HIDDEN = 16, DIM = 32 };
enum { DEFAULT_FOREGROUND = 7, DEFAULT_BACKGROUND = 0, UNKNOWN_CODE = '?' };

struct pen {
    uint8_t foreground, background; /* 0–15, in the card's order: blue, green, red, bright */
    uint8_t style;
};

struct cursor {
    unsigned row, column;
    struct pen pen;
    bool graphics[2]; /* G0, G1: DEC's line drawing instead of ASCII */
    unsigned shift;   /* which of them */
    bool origin;      /* rows count from the scrolling region's top */
};

struct vt {
    unsigned columns, rows;
    struct display_cell *cells, *other; /* the screen; the main one while the alternate one is shown */
    void (*answer)(void *opaque, const uint8_t *data, size_t len);
    void *opaque;

    struct cursor cursor, saved, saved_main;
    unsigned top, bottom; /* the scrolling region, both included */
    bool wrap_pending;
    bool autowrap, visible, insert, newline, application, alternate, reversed, legacy;
    bool tab[DISPLAY_COLUMNS_MOST];
    struct display_cell last; /* what was written last, for REP */

    enum {
        GROUND,
        ESCAPE,
        ESCAPE_SKIP,
        ESCAPE_CHARSET,
        ESCAPE_HASH,
        ESCAPE_PERCENT,
        CSI,
        STRING,
        STRING_ESC
    } state;
    unsigned charset; /* that ESC ( or ) is about */
    unsigned parameter[PARAMETERS], parameters;
    uint8_t mark; /* of a CSI: '?', '>', '=' or 0; an intermediate byte makes it one nobody knows */
    gunichar rune;
    unsigned rune_left, rune_len;
    uint8_t rune_bytes[4];

    struct display_cell *history; /* VT_HISTORY_LINES lines, a ring; NULL before the first */
    unsigned history_first, history_count;
    unsigned back; /* lines looked back */
    uint64_t version;
};

/* ---- cells ---- */

static uint8_t attribute(const struct vt *vt, struct pen pen)
{
    unsigned foreground = pen.foreground, background = pen.background & 7;
    if (pen.style & BOLD)
        foreground |= 8;
    if (pen.style & DIM && !(pen.style & BOLD))
        foreground = foreground == DEFAULT_FOREGROUND ? 8 : foreground & 7;
    if (pen.style & UNDERLINE && foreground == DEFAULT_FOREGROUND)
        foreground = 3; /* cyan, as a Linux console shows it */
    if (pen.style & HIDDEN)
        foreground = background;
    if (((pen.style & REVERSE) != 0) != vt->reversed) {
        unsigned swap = foreground & 7;
        foreground = background | (foreground & 8);
        background = swap;
    }
    return (uint8_t)(foreground | background << 4 | (pen.style & BLINK ? 0x80 : 0));
}

static struct display_cell blank(const struct vt *vt)
{
    struct pen pen = {.foreground = vt->cursor.pen.foreground, .background = vt->cursor.pen.background};
    return (struct display_cell){' ', attribute(vt, pen)};
}

static struct display_cell *at(const struct vt *vt, unsigned row, unsigned column)
{
    return vt->cells + row * vt->columns + column;
}

/* Cells [from, to) of the screen, counted row by row. */
static void clear_cells(struct vt *vt, unsigned from, unsigned to)
{
    struct display_cell cell = blank(vt);
    for (unsigned i = from; i < to; i++)
        vt->cells[i] = cell;
}

static void keep_line(struct vt *vt, const struct display_cell *line)
{
    if (!vt->history)
        vt->history = g_new0(struct display_cell, (gsize)VT_HISTORY_LINES * vt->columns);
    unsigned slot = (vt->history_first + vt->history_count) % VT_HISTORY_LINES;
    memcpy(vt->history + slot * vt->columns, line, vt->columns * sizeof *line);
    if (vt->history_count < VT_HISTORY_LINES)
        vt->history_count++;
    else
        vt->history_first = (vt->history_first + 1) % VT_HISTORY_LINES;
    if (vt->back && vt->back < vt->history_count)
        vt->back++; /* the reader stays where they are */
}

/* Moves the lines [top, bottom] up by `count`; blank ones come in below. */
static void scroll_up(struct vt *vt, unsigned top, unsigned bottom, unsigned count)
{
    count = MIN(count, bottom - top + 1);
    for (unsigned i = 0; i < count && top == 0 && !vt->alternate; i++)
        keep_line(vt, at(vt, i, 0));
    unsigned stay = bottom - top + 1 - count;
    memmove(at(vt, top, 0), at(vt, top + count, 0), (size_t)stay * vt->columns * sizeof *vt->cells);
    clear_cells(vt, (top + stay) * vt->columns, (bottom + 1) * vt->columns);
}

static void scroll_down(struct vt *vt, unsigned top, unsigned bottom, unsigned count)
{
    count = MIN(count, bottom - top + 1);
    unsigned stay = bottom - top + 1 - count;
    memmove(at(vt, top + count, 0), at(vt, top, 0), (size_t)stay * vt->columns * sizeof *vt->cells);
    clear_cells(vt, top * vt->columns, (top + count) * vt->columns);
}

/* ---- the cursor ---- */

static void go_to(struct vt *vt, unsigned row, unsigned column)
{
    vt->cursor.row = MIN(row, vt->rows - 1);
    vt->cursor.column = MIN(column, vt->columns - 1);
    vt->wrap_pending = false;
}

/* Rows as the guest counts them. */
static void go_to_row(struct vt *vt, unsigned row, unsigned column)
{
    if (vt->cursor.origin)
        go_to(vt, MIN(vt->top + row, vt->bottom), column);
    else
        go_to(vt, row, column);
}

static void move_up(struct vt *vt, unsigned count)
{
    unsigned limit = vt->cursor.row >= vt->top ? vt->top : 0;
    go_to(vt, vt->cursor.row - MIN(count, vt->cursor.row - limit), vt->cursor.column);
}

static void move_down(struct vt *vt, unsigned count)
{
    unsigned limit = vt->cursor.row <= vt->bottom ? vt->bottom : vt->rows - 1;
    go_to(vt, MIN(vt->cursor.row + count, limit), vt->cursor.column);
}

static void index_down(struct vt *vt)
{
    if (vt->cursor.row == vt->bottom)
        scroll_up(vt, vt->top, vt->bottom, 1);
    else if (vt->cursor.row + 1 < vt->rows)
        vt->cursor.row++;
    vt->wrap_pending = false;
}

static void index_up(struct vt *vt)
{
    if (vt->cursor.row == vt->top)
        scroll_down(vt, vt->top, vt->bottom, 1);
    else if (vt->cursor.row)
        vt->cursor.row--;
    vt->wrap_pending = false;
}

static void next_tab(struct vt *vt, unsigned count)
{
    unsigned column = vt->cursor.column;
    for (; count && column + 1 < vt->columns; count--)
        for (column++; column + 1 < vt->columns && !vt->tab[column]; column++)
            ;
    go_to(vt, vt->cursor.row, column);
}

static void last_tab(struct vt *vt, unsigned count)
{
    unsigned column = vt->cursor.column;
    for (; count && column; count--)
        for (column--; column && !vt->tab[column]; column--)
            ;
    go_to(vt, vt->cursor.row, column);
}

static const struct pen plain_pen = {.foreground = DEFAULT_FOREGROUND, .background = DEFAULT_BACKGROUND};

static void reset(struct vt *vt)
{
    vt->cursor = (struct cursor){.pen = plain_pen};
    vt->saved = vt->saved_main = vt->cursor;
    vt->top = 0;
    vt->bottom = vt->rows - 1;
    vt->wrap_pending = vt->insert = vt->newline = vt->application = vt->alternate = vt->reversed =
        vt->legacy = false;
    vt->autowrap = vt->visible = true;
    vt->last = (struct display_cell){0};
    for (unsigned i = 0; i < vt->columns; i++)
        vt->tab[i] = i % TABS_EVERY == 0;
    clear_cells(vt, 0, vt->rows * vt->columns);
}

static void show_alternate(struct vt *vt, bool alternate)
{
    if (alternate == vt->alternate)
        return;
    struct display_cell *swap = vt->cells;
    vt->cells = vt->other;
    vt->other = swap;
    vt->alternate = alternate;
    if (alternate)
        clear_cells(vt, 0, vt->rows * vt->columns);
}

/* ---- text ---- */

/* DEC's line drawing: the codes 0x5f–0x7e. */
static const uint8_t line_drawing[32] = {
    ' ',  0x04, 0xb1, '?',  '?',  '?',  '?',  0xf8, 0xf1, '?',  '?',  0xd9, 0xbf, 0xda, 0xc0, 0xc5,
    0xc4, 0xc4, 0xc4, 0xc4, 0xc4, 0xc3, 0xb4, 0xc1, 0xc2, 0xb3, 0xf3, 0xf2, 0xe3, 0xd8, 0x9c, 0xfa,
};

static void put(struct vt *vt, struct display_cell cell)
{
    if (vt->wrap_pending) {
        vt->cursor.column = 0;
        index_down(vt);
    }
    struct display_cell *here = at(vt, vt->cursor.row, vt->cursor.column);
    if (vt->insert)
        memmove(here + 1, here, (vt->columns - 1 - vt->cursor.column) * sizeof *here);
    *here = cell;
    vt->last = cell;
    if (vt->cursor.column + 1 < vt->columns)
        vt->cursor.column++;
    else
        vt->wrap_pending = vt->autowrap;
}

static void put_code(struct vt *vt, uint8_t code)
{
    put(vt, (struct display_cell){code, attribute(vt, vt->cursor.pen)});
}

static void put_character(struct vt *vt, gunichar c)
{
    if (c < 0x80 && vt->cursor.graphics[vt->cursor.shift]) {
        put_code(vt, c >= 0x5f && c < 0x7f ? line_drawing[c - 0x5f] : (uint8_t)c);
        return;
    }
    if (c > 0x7f && g_unichar_iszerowidth(c))
        return;
    uint8_t code = codepage_from_unicode(c);
    put_code(vt, code ? code : UNKNOWN_CODE);
    if (c > 0x7f && g_unichar_iswide(c))
        put_code(vt, ' ');
}

/* A sequence of UTF-8 that did not become one: its bytes as they are. */
static void rune_broken(struct vt *vt)
{
    for (unsigned i = 0; i < vt->rune_len; i++)
        put_code(vt, vt->rune_bytes[i]);
    vt->rune_len = vt->rune_left = 0;
}

static void take_text(struct vt *vt, uint8_t byte)
{
    if (vt->rune_left) {
        if ((byte & 0xc0) != 0x80) {
            rune_broken(vt);
            take_text(vt, byte);
            return;
        }
        vt->rune_bytes[vt->rune_len++] = byte;
        vt->rune = vt->rune << 6 | (byte & 0x3f);
        if (--vt->rune_left)
            return;
        static const gunichar least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (vt->rune < least[vt->rune_len] || !g_unichar_validate(vt->rune)) {
            rune_broken(vt);
            return;
        }
        vt->rune_len = 0;
        if (vt->rune >= 0xa0) /* 0x80–0x9f: control characters, not taken in this form */
            put_character(vt, vt->rune);
        return;
    }
    if (byte < 0x80) {
        put_character(vt, byte);
    } else if (vt->legacy || byte < 0xc2 || byte > 0xf4) {
        put_code(vt, byte);
    } else {
        vt->rune_bytes[0] = byte;
        vt->rune_len = 1;
        vt->rune_left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
        vt->rune = byte & (0x3fu >> vt->rune_left);
    }
}

/* ---- sequences ---- */

static void say(struct vt *vt, const char *text)
{
    if (vt->answer)
        vt->answer(vt->opaque, (const uint8_t *)text, strlen(text));
}

static unsigned number(const struct vt *vt, unsigned i, unsigned fallback)
{
    return i < vt->parameters && vt->parameter[i] ? vt->parameter[i] : fallback;
}

/* ANSI's order of colours is red, green, blue; the card's the other way round. */
static uint8_t card_color(unsigned ansi)
{
    return (uint8_t)((ansi & 1) << 2 | (ansi & 2) | (ansi & 4) >> 2 | (ansi & 8));
}

static uint8_t nearest_color(unsigned red, unsigned green, unsigned blue)
{
    unsigned most = MAX(MAX(red, green), blue), least = MIN(MIN(red, green), blue);
    if (most < 48)
        return 0;
    if (most - least < 32) /* grey */
        return most < 106 ? 8 : most < 212 ? 7 : 15;
    unsigned half = most / 2;
    return (uint8_t)((blue > half ? 1 : 0) | (green > half ? 2 : 0) | (red > half ? 4 : 0) |
                     (most > 212 ? 8 : 0));
}

static uint8_t color_of_256(unsigned n)
{
    if (n < 16)
        return card_color(n);
    if (n >= 232) {
        unsigned level = 8 + (MIN(n, 255u) - 232) * 10;
        return nearest_color(level, level, level);
    }
    n -= 16;
    return nearest_color(n / 36 * 51, n / 6 % 6 * 51, n % 6 * 51);
}

/* 38 and 48: "5;N" or "2;R;G;B". Returns how many parameters that took. */
static unsigned extended_color(const struct vt *vt, unsigned i, uint8_t *color)
{
    if (i + 2 < vt->parameters && vt->parameter[i + 1] == 5) {
        *color = color_of_256(MIN(vt->parameter[i + 2], 255u));
        return 2;
    }
    if (i + 4 < vt->parameters && vt->parameter[i + 1] == 2) {
        *color = nearest_color(vt->parameter[i + 2], vt->parameter[i + 3], vt->parameter[i + 4]);
        return 4;
    }
    return vt->parameters; /* nobody knows where the next one begins */
}

static void select_rendition(struct vt *vt)
{
    static const uint8_t style_on[] = {[1] = BOLD,  [2] = DIM,   [3] = 0,       [4] = UNDERLINE,
                                       [5] = BLINK, [6] = BLINK, [7] = REVERSE, [8] = HIDDEN};
    struct pen *pen = &vt->cursor.pen;
    for (unsigned i = 0; i < MAX(vt->parameters, 1u); i++) {
        unsigned n = i < vt->parameters ? vt->parameter[i] : 0;
        if (n == 0)
            *pen = plain_pen;
        else if (n < G_N_ELEMENTS(style_on))
            pen->style |= style_on[n];
        else if (n == 21 || n == 22)
            pen->style &= (uint8_t) ~(BOLD | DIM);
        else if (n == 24)
            pen->style &= (uint8_t)~UNDERLINE;
        else if (n == 25)
            pen->style &= (uint8_t)~BLINK;
        else if (n == 27)
            pen->style &= (uint8_t)~REVERSE;
        else if (n == 28)
            pen->style &= (uint8_t)~HIDDEN;
        else if (n >= 30 && n <= 37)
            pen->foreground = card_color(n - 30);
        else if (n == 38)
            i += extended_color(vt, i, &pen->foreground);
        else if (n == 39)
            pen->foreground = DEFAULT_FOREGROUND;
        else if (n >= 40 && n <= 47)
            pen->background = card_color(n - 40);
        else if (n == 48)
            i += extended_color(vt, i, &pen->background);
        else if (n == 49)
            pen->background = DEFAULT_BACKGROUND;
        else if (n >= 90 && n <= 97)
            pen->foreground = card_color(n - 90) | 8;
        else if (n >= 100 && n <= 107)
            pen->background = card_color(n - 100);
    }
}

static void save_cursor(struct vt *vt)
{
    vt->saved = vt->cursor;
}

static void restore_cursor(struct vt *vt)
{
    vt->cursor = vt->saved;
    go_to(vt, vt->cursor.row, vt->cursor.column);
}

static void set_private_mode(struct vt *vt, unsigned mode, bool on)
{
    switch (mode) {
    case 1:
        vt->application = on;
        break;
    case 5: /* the whole screen light; what is there already is turned round */
        if (on != vt->reversed)
            for (unsigned i = 0; i < vt->rows * vt->columns; i++) {
                uint8_t a = vt->cells[i].attribute;
                vt->cells[i].attribute = (uint8_t)((a & 0x88) | (a & 7) << 4 | (a >> 4 & 7));
            }
        vt->reversed = on;
        break;
    case 6:
        vt->cursor.origin = on;
        go_to_row(vt, 0, 0);
        break;
    case 7:
        vt->autowrap = on;
        vt->wrap_pending = false;
        break;
    case 25:
        vt->visible = on;
        break;
    case 47:
    case 1047:
        show_alternate(vt, on);
        break;
    case 1048:
        if (on)
            save_cursor(vt);
        else
            restore_cursor(vt);
        break;
    case 1049:
        if (on && !vt->alternate)
            vt->saved_main = vt->cursor;
        if (!on && vt->alternate) {
            show_alternate(vt, false);
            vt->cursor = vt->saved_main;
            go_to(vt, vt->cursor.row, vt->cursor.column);
        }
        show_alternate(vt, on);
        break;
    default:
        break;
    }
}

static void set_modes(struct vt *vt, bool on)
{
    for (unsigned i = 0; i < vt->parameters; i++) {
        if (vt->mark == '?')
            set_private_mode(vt, vt->parameter[i], on);
        else if (vt->parameter[i] == 4)
            vt->insert = on;
        else if (vt->parameter[i] == 20)
            vt->newline = on;
    }
}

static void erase_display(struct vt *vt, unsigned how)
{
    unsigned here = vt->cursor.row * vt->columns + vt->cursor.column, all = vt->rows * vt->columns;
    if (how == 0)
        clear_cells(vt, here, all);
    else if (how == 1)
        clear_cells(vt, 0, here + 1);
    else if (how == 2)
        clear_cells(vt, 0, all);
    else if (how == 3)
        vt->history_count = vt->history_first = vt->back = 0;
}

static void erase_line(struct vt *vt, unsigned how)
{
    unsigned start = vt->cursor.row * vt->columns, here = start + vt->cursor.column;
    if (how == 0)
        clear_cells(vt, here, start + vt->columns);
    else if (how == 1)
        clear_cells(vt, start, here + 1);
    else if (how == 2)
        clear_cells(vt, start, start + vt->columns);
}

/* Inserts (or deletes) characters at the cursor; the rest of the line moves. */
static void shift_line(struct vt *vt, unsigned count, bool insert)
{
    unsigned left = vt->columns - vt->cursor.column, start = vt->cursor.row * vt->columns + vt->cursor.column;
    count = MIN(count, left);
    struct display_cell *here = vt->cells + start;
    if (insert) {
        memmove(here + count, here, (left - count) * sizeof *here);
        clear_cells(vt, start, start + count);
    } else {
        memmove(here, here + count, (left - count) * sizeof *here);
        clear_cells(vt, start + left - count, start + left);
    }
    vt->wrap_pending = false;
}

static void insert_lines(struct vt *vt, unsigned count, bool insert)
{
    if (vt->cursor.row < vt->top || vt->cursor.row > vt->bottom)
        return;
    if (insert) {
        scroll_down(vt, vt->cursor.row, vt->bottom, count);
    } else { /* a deleted line is no history */
        unsigned first = vt->cursor.row;
        if (first == 0) {
            count = MIN(count, vt->bottom + 1);
            unsigned stay = vt->bottom + 1 - count;
            memmove(at(vt, 0, 0), at(vt, count, 0), (size_t)stay * vt->columns * sizeof *vt->cells);
            clear_cells(vt, stay * vt->columns, (vt->bottom + 1) * vt->columns);
        } else {
            scroll_up(vt, first, vt->bottom, count);
        }
    }
    go_to(vt, vt->cursor.row, 0);
}

static void set_region(struct vt *vt)
{
    unsigned top = number(vt, 0, 1) - 1, bottom = MIN(number(vt, 1, vt->rows), vt->rows) - 1;
    if (top >= bottom)
        return;
    vt->top = top;
    vt->bottom = bottom;
    go_to_row(vt, 0, 0);
}

static void report(struct vt *vt, unsigned what)
{
    char text[32];
    if (what == 5)
        say(vt, "\033[0n");
    if (what != 6)
        return;
    unsigned row = vt->cursor.row - (vt->cursor.origin ? MIN(vt->top, vt->cursor.row) : 0);
    g_snprintf(text, sizeof text, "\033[%u;%uR", row + 1, vt->cursor.column + 1);
    say(vt, text);
}

static void repeat(struct vt *vt, unsigned count)
{
    for (unsigned i = 0; vt->last.code && i < MIN(count, vt->rows * vt->columns); i++)
        put(vt, vt->last);
}

static void csi_plain(struct vt *vt, uint8_t final)
{
    unsigned one = number(vt, 0, 1), row = vt->cursor.row, column = vt->cursor.column;
    switch (final) {
    case '@':
        shift_line(vt, one, true);
        break;
    case 'A':
        move_up(vt, one);
        break;
    case 'B':
    case 'e':
        move_down(vt, one);
        break;
    case 'C':
    case 'a':
        go_to(vt, row, column + one);
        break;
    case 'D':
        go_to(vt, row, column - MIN(one, column));
        break;
    case 'E':
        move_down(vt, one);
        go_to(vt, vt->cursor.row, 0);
        break;
    case 'F':
        move_up(vt, one);
        go_to(vt, vt->cursor.row, 0);
        break;
    case 'G':
    case '`':
        go_to(vt, row, one - 1);
        break;
    case 'H':
    case 'f':
        go_to_row(vt, one - 1, number(vt, 1, 1) - 1);
        break;
    case 'I':
        next_tab(vt, one);
        break;
    case 'J':
        erase_display(vt, number(vt, 0, 0));
        break;
    case 'K':
        erase_line(vt, number(vt, 0, 0));
        break;
    case 'L':
        insert_lines(vt, one, true);
        break;
    case 'M':
        insert_lines(vt, one, false);
        break;
    case 'P':
        shift_line(vt, one, false);
        break;
    case 'S':
        scroll_up(vt, vt->top, vt->bottom, one);
        break;
    case 'T':
        scroll_down(vt, vt->top, vt->bottom, one);
        break;
    case 'X':
        clear_cells(vt, row * vt->columns + column, row * vt->columns + MIN(column + one, vt->columns));
        break;
    case 'Z':
        last_tab(vt, one);
        break;
    case 'b':
        repeat(vt, one);
        break;
    case 'c':
        if (!number(vt, 0, 0))
            say(vt, "\033[?6c"); /* a VT102 */
        break;
    case 'd':
        go_to_row(vt, one - 1, column);
        break;
    case 'g':
        if (number(vt, 0, 0) == 3)
            memset(vt->tab, 0, sizeof vt->tab);
        else if (!number(vt, 0, 0))
            vt->tab[column] = false;
        break;
    case 'h':
    case 'l':
        set_modes(vt, final == 'h');
        break;
    case 'm':
        select_rendition(vt);
        break;
    case 'n':
        report(vt, number(vt, 0, 0));
        break;
    case 'r':
        set_region(vt);
        break;
    case 's':
        save_cursor(vt);
        break;
    case 'u':
        restore_cursor(vt);
        break;
    default:
        break;
    }
}

static void take_csi(struct vt *vt, uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        if (!vt->parameters)
            vt->parameters = 1;
        unsigned *n = &vt->parameter[MIN(vt->parameters, (unsigned)PARAMETERS) - 1];
        if (vt->parameters <= PARAMETERS)
            *n = MIN(*n * 10 + (byte - '0'), (unsigned)PARAMETER_MOST);
    } else if (byte == ';' || byte == ':') {
        if (!vt->parameters)
            vt->parameters = 1;
        if (vt->parameters <= PARAMETERS)
            vt->parameters++;
    } else if (byte >= 0x3c && byte <= 0x3f) {
        vt->mark = byte;
    } else if (byte >= 0x20 && byte <= 0x2f) {
        vt->mark = byte;
    } else if (byte >= 0x40 && byte <= 0x7e) {
        vt->parameters = MIN(vt->parameters, (unsigned)PARAMETERS);
        vt->state = GROUND;
        if (!vt->mark)
            csi_plain(vt, byte);
        else if (vt->mark == '?' && (byte == 'h' || byte == 'l'))
            set_modes(vt, byte == 'h');
        else if (vt->mark == '>' && byte == 'c')
            say(vt, "\033[>0;0;0c");
    } else {
        vt->state = GROUND; /* nothing that belongs here */
    }
}

static void take_escape(struct vt *vt, uint8_t byte)
{
    vt->state = GROUND;
    switch (byte) {
    case '[':
        vt->state = CSI;
        vt->parameters = 0;
        vt->mark = 0;
        memset(vt->parameter, 0, sizeof vt->parameter);
        break;
    case ']': /* OSC: a title, colours; DCS, PM, APC, SOS */
    case 'P':
    case '^':
    case '_':
    case 'X':
        vt->state = STRING;
        break;
    case '(':
    case ')':
        vt->charset = byte == ')';
        vt->state = ESCAPE_CHARSET;
        break;
    case '*':
    case '+':
    case '-':
    case '.':
    case '/':
    case ' ':
        vt->state = ESCAPE_SKIP;
        break;
    case '#':
        vt->state = ESCAPE_HASH;
        break;
    case '%':
        vt->state = ESCAPE_PERCENT;
        break;
    case '7':
        save_cursor(vt);
        break;
    case '8':
        restore_cursor(vt);
        break;
    case 'D':
        index_down(vt);
        break;
    case 'E':
        vt->cursor.column = 0;
        index_down(vt);
        break;
    case 'H':
        vt->tab[vt->cursor.column] = true;
        break;
    case 'M':
        index_up(vt);
        break;
    case 'Z':
        say(vt, "\033[?6c");
        break;
    case 'c':
        show_alternate(vt, false);
        reset(vt);
        break;
    default:
        break;
    }
}

static void take_control(struct vt *vt, uint8_t byte)
{
    switch (byte) {
    case '\b':
        go_to(vt, vt->cursor.row, vt->cursor.column - (vt->cursor.column ? 1 : 0));
        break;
    case '\t':
        next_tab(vt, 1);
        break;
    case '\n':
    case '\v':
    case '\f':
        if (vt->newline)
            vt->cursor.column = 0;
        index_down(vt);
        break;
    case '\r':
        go_to(vt, vt->cursor.row, 0);
        break;
    case 0x0e:
    case 0x0f:
        vt->cursor.shift = byte == 0x0e;
        break;
    default: /* the bell, and those without a meaning */
        break;
    }
}

static void take_byte(struct vt *vt, uint8_t byte)
{
    if (vt->state == STRING || vt->state == STRING_ESC) {
        bool ends = byte == 0x07 || byte == CAN || byte == SUB || (vt->state == STRING_ESC && byte == '\\');
        if (vt->state == STRING_ESC && byte != '\\' && byte != ESC) {
            take_escape(vt, byte); /* another sequence has begun */
            return;
        }
        vt->state = ends ? GROUND : byte == ESC ? STRING_ESC : STRING;
        return;
    }
    if (byte < 0x20 || byte == 0x7f) {
        if (vt->rune_left)
            rune_broken(vt);
        if (byte == ESC)
            vt->state = ESCAPE;
        else if (byte == CAN || byte == SUB)
            vt->state = GROUND;
        else if (byte < 0x20)
            take_control(vt, byte); /* in the middle of a sequence, too */
        return;
    }
    switch (vt->state) {
    case GROUND:
        take_text(vt, byte);
        break;
    case ESCAPE:
        take_escape(vt, byte);
        break;
    case ESCAPE_SKIP:
        vt->state = GROUND;
        break;
    case ESCAPE_CHARSET:
        vt->cursor.graphics[vt->charset] = byte == '0';
        vt->state = GROUND;
        break;
    case ESCAPE_HASH:
        vt->state = GROUND;
        for (unsigned i = 0; byte == '8' && i < vt->rows * vt->columns; i++)
            vt->cells[i] = (struct display_cell){'E', attribute(vt, plain_pen)};
        break;
    case ESCAPE_PERCENT:
        vt->legacy = byte == '@' ? true : byte == 'G' || byte == '8' ? false : vt->legacy;
        vt->state = GROUND;
        break;
    case CSI:
        take_csi(vt, byte);
        break;
    case STRING:
    case STRING_ESC:
        break;
    }
}

/* ---- for others ---- */

struct vt *vt_new(unsigned columns, unsigned rows,
                  void (*answer)(void *opaque, const uint8_t *data, size_t len), void *opaque)
{
    struct vt *vt = g_new0(struct vt, 1);
    vt->columns = CLAMP(columns, (unsigned)VT_COLUMNS_LEAST, (unsigned)DISPLAY_COLUMNS_MOST);
    vt->rows = CLAMP(rows, (unsigned)VT_ROWS_LEAST, (unsigned)DISPLAY_ROWS_MOST);
    vt->answer = answer;
    vt->opaque = opaque;
    vt->cells = g_new0(struct display_cell, (gsize)vt->rows * vt->columns);
    vt->other = g_new0(struct display_cell, (gsize)vt->rows * vt->columns);
    reset(vt);
    vt->version = 1;
    return vt;
}

void vt_free(struct vt *vt)
{
    if (!vt)
        return;
    g_free(vt->cells);
    g_free(vt->other);
    g_free(vt->history);
    g_free(vt);
}

void vt_write(struct vt *vt, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        take_byte(vt, data[i]);
    vt->version += len != 0;
}

void vt_scroll(struct vt *vt, int lines)
{
    unsigned most = vt->alternate ? 0 : vt->history_count;
    int64_t to = (int64_t)vt->back + lines;
    vt->back = (unsigned)CLAMP(to, 0, (int64_t)most);
    vt->version++;
}

void vt_scroll_home(struct vt *vt)
{
    if (vt->back)
        vt->version++;
    vt->back = 0;
}

void vt_text(const struct vt *vt, struct display_text *text)
{
    unsigned back = vt->alternate ? 0 : vt->back;
    text->columns = vt->columns;
    text->rows = vt->rows;
    text->blink = true;
    for (unsigned row = 0; row < vt->rows; row++) {
        const struct display_cell *line;
        if (row < back) {
            unsigned slot = (vt->history_first + vt->history_count - back + row) % VT_HISTORY_LINES;
            line = vt->history + slot * vt->columns;
        } else {
            line = at(vt, row - back, 0);
        }
        memcpy(text->cells + row * vt->columns, line, vt->columns * sizeof *line);
    }
    bool shown = vt->visible && vt->cursor.row + back < vt->rows;
    text->cursor_row = shown ? (int)(vt->cursor.row + back) : -1;
    text->cursor_column = shown ? (int)vt->cursor.column : -1;
}

unsigned vt_rows(const struct vt *vt)
{
    return vt->rows;
}

unsigned vt_columns(const struct vt *vt)
{
    return vt->columns;
}

uint64_t vt_version(const struct vt *vt)
{
    return vt->version;
}

bool vt_application_keys(const struct vt *vt)
{
    return vt->application;
}

bool vt_newline_mode(const struct vt *vt)
{
    return vt->newline;
}
