/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Text consoles: see console.h.
 *
 * Drawing compares the cells with those drawn before, so a line that scrolls away costs what has changed. The
 * letters are the video BIOS's, the colours those a video BIOS gives the sixteen attributes.
 *
 * Keys become what a VT102 with a PC's keys sends, as xterm does. Page Up and Page Down with Shift, and
 * with Ctrl as QEMU has it, look back; any other key goes back to the present.
 */
#include "emu/display/console.h"

#include <string.h>

struct display_console *console_new(struct display *display, const struct display_console_config *config)
{
    struct display_console *c = g_new0(struct display_console, 1);
    c->display = display;
    c->title = g_strdup(config->title);
    c->typed = config->typed;
    c->opaque = config->opaque;
    c->vt = vt_new(config->columns, config->rows, config->typed, config->opaque);
    c->drawn = g_new0(struct display_text, 1);
    c->now = g_new0(struct display_text, 1);
    return c;
}

void console_free(struct display_console *c)
{
    vt_free(c->vt);
    g_free(c->surface.pixels);
    g_free(c->drawn);
    g_free(c->now);
    g_free(c->title);
    g_free(c);
}

/* ---- the picture ---- */

static const uint32_t palette[16] = {
    0x000000, 0x0000aa, 0x00aa00, 0x00aaaa, 0xaa0000, 0xaa00aa, 0xaa5500, 0xaaaaaa,
    0x555555, 0x5555ff, 0x55ff55, 0x55ffff, 0xff5555, 0xff55ff, 0xffff55, 0xffffff,
};

static void draw_cell(struct display_console *c, const uint8_t *font, unsigned row, unsigned column,
                      bool cursor)
{
    struct display_cell cell = c->now->cells[row * c->now->columns + column];
    uint32_t foreground = palette[cell.attribute & 15], background = palette[cell.attribute >> 4 & 7];
    uint32_t *to = c->surface.pixels + (size_t)row * CONSOLE_CELL_HEIGHT * c->surface.width +
                   (size_t)column * CONSOLE_CELL_WIDTH;
    for (unsigned y = 0; y < CONSOLE_CELL_HEIGHT; y++, to += c->surface.width) {
        uint8_t dots = font ? font[cell.code * CONSOLE_CELL_HEIGHT + y] : 0;
        if (cursor && y >= CONSOLE_CELL_HEIGHT - 3)
            dots = 0xff;
        for (unsigned x = 0; x < CONSOLE_CELL_WIDTH; x++)
            to[x] = dots & (0x80 >> x) ? foreground : background;
    }
}

static bool is_cursor(const struct display_text *t, unsigned row, unsigned column)
{
    return t->cursor_row == (int)row && t->cursor_column == (int)column;
}

bool console_draw(struct display_console *c, const uint8_t *font, struct display_rect *changed)
{
    *changed = (struct display_rect){0};
    bool whole = !c->surface.pixels || c->drawn_font != font;
    if (!whole && c->drawn_version == vt_version(c->vt))
        return false;
    if (!c->surface.pixels) {
        c->surface.width = vt_columns(c->vt) * CONSOLE_CELL_WIDTH;
        c->surface.height = vt_rows(c->vt) * CONSOLE_CELL_HEIGHT;
        c->surface.pixels = g_new0(uint32_t, (gsize)c->surface.width * c->surface.height);
    }
    vt_text(c->vt, c->now);
    unsigned left = c->now->columns, right = 0, top = c->now->rows, bottom = 0;
    for (unsigned row = 0; row < c->now->rows; row++) {
        for (unsigned column = 0; column < c->now->columns; column++) {
            unsigned i = row * c->now->columns + column;
            bool cursor = is_cursor(c->now, row, column);
            if (!whole && !memcmp(&c->now->cells[i], &c->drawn->cells[i], sizeof c->now->cells[i]) &&
                cursor == is_cursor(c->drawn, row, column))
                continue;
            draw_cell(c, font, row, column, cursor);
            left = MIN(left, column);
            right = MAX(right, column + 1);
            top = MIN(top, row);
            bottom = MAX(bottom, row + 1);
        }
    }
    struct display_text *swap = c->drawn;
    c->drawn = c->now;
    c->now = swap;
    c->drawn_version = vt_version(c->vt);
    c->drawn_font = font;
    if (right <= left)
        return false;
    *changed =
        (struct display_rect){left * CONSOLE_CELL_WIDTH, top * CONSOLE_CELL_HEIGHT,
                              (right - left) * CONSOLE_CELL_WIDTH, (bottom - top) * CONSOLE_CELL_HEIGHT};
    return true;
}

/* ---- keys ---- */

static void send(struct display_console *c, const char *text, size_t len)
{
    if (c->typed)
        c->typed(c->opaque, (const uint8_t *)text, len);
}

static void send_text(struct display_console *c, const char *text)
{
    send(c, text, strlen(text));
}

/* True: the key moved the view, and was no input. */
static bool look_back(struct display_console *c, uint32_t keysym, bool shift, bool ctrl)
{
    int page = (int)vt_rows(c->vt) - 1;
    if ((keysym == 0xff55 || keysym == 0xff56 || keysym == 0xff9a || keysym == 0xff9b) && (shift || ctrl))
        vt_scroll(c->vt, keysym == 0xff55 || keysym == 0xff9a ? page : -page);
    else if ((keysym == 0xff52 || keysym == 0xff54) && ctrl)
        vt_scroll(c->vt, keysym == 0xff52 ? 1 : -1);
    else
        return false;
    return true;
}

/* Keys that are no characters. The last letter or number of what they send is here. */
static bool send_special(struct display_console *c, uint32_t keysym)
{
    static const struct {
        uint16_t keysym, pad; /* pad: the same key of the number pad without Num Lock */
        char letter;
    } cursor[] = {{0xff52, 0xff97, 'A'}, {0xff54, 0xff99, 'B'}, {0xff53, 0xff98, 'C'},
                  {0xff51, 0xff96, 'D'}, {0xff50, 0xff95, 'H'}, {0xff57, 0xff9c, 'F'}};
    static const struct {
        uint16_t keysym, pad;
        const char *text;
    } others[] = {
        {0xff63, 0xff9e, "\033[2~"}, {0xffff, 0xff9f, "\033[3~"}, {0xff55, 0xff9a, "\033[5~"},
        {0xff56, 0xff9b, "\033[6~"}, {0xfe20, 0, "\033[Z"},       {0xff08, 0, "\177"},
        {0xff09, 0xff89, "\t"},      {0xff1b, 0, "\033"},         {0xffbe, 0xff91, "\033OP"},
        {0xffbf, 0xff92, "\033OQ"},  {0xffc0, 0xff93, "\033OR"},  {0xffc1, 0xff94, "\033OS"},
        {0xffc2, 0, "\033[15~"},     {0xffc3, 0, "\033[17~"},     {0xffc4, 0, "\033[18~"},
        {0xffc5, 0, "\033[19~"},     {0xffc6, 0, "\033[20~"},     {0xffc7, 0, "\033[21~"},
        {0xffc8, 0, "\033[23~"},     {0xffc9, 0, "\033[24~"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cursor); i++) {
        if (cursor[i].keysym == keysym || cursor[i].pad == keysym) {
            const char text[] = {'\033', vt_application_keys(c->vt) ? 'O' : '[', cursor[i].letter, 0};
            send_text(c, text);
            return true;
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        if (others[i].keysym == keysym || (others[i].pad && others[i].pad == keysym)) {
            send_text(c, others[i].text);
            return true;
        }
    }
    if (keysym == 0xff0d || keysym == 0xff8d) {
        send_text(c, vt_newline_mode(c->vt) ? "\r\n" : "\r");
        return true;
    }
    return false;
}

/* The character of a keysym, 0: none. */
static gunichar character_of(uint32_t keysym)
{
    if (keysym >= 0x20 && keysym < 0x100)
        return keysym;
    if (keysym >= 0x01000000 && keysym <= 0x0110ffff && g_unichar_validate(keysym - 0x01000000))
        return keysym - 0x01000000;
    if (keysym >= 0xffaa && keysym <= 0xffb9) /* number pad: * + , - . / 0 … 9 */
        return keysym - 0xff80;
    return keysym == 0x20ac ? 0x20ac : 0;
}

void console_keysym(struct display_console *c, uint32_t keysym, bool shift, bool ctrl, bool alt)
{
    if (look_back(c, keysym, shift, ctrl))
        return;
    gunichar character = character_of(keysym);
    bool modifier = (keysym >= 0xffe1 && keysym <= 0xffee) || keysym == 0xff7f || keysym == 0xfe03;
    if (modifier)
        return;
    vt_scroll_home(c->vt);
    if (shift && keysym == 0xff09)
        keysym = 0xfe20;
    if (!character) {
        (void)send_special(c, keysym);
        return;
    }
    char text[8];
    unsigned len = 0;
    if (alt)
        text[len++] = '\033';
    if (ctrl && character >= 0x40 && character < 0x7f)
        text[len++] = (char)(character & 0x1f);
    else if (ctrl && (character == ' ' || character == '2'))
        text[len++] = 0;
    else
        len += (unsigned)g_unichar_to_utf8(character, text + len);
    send(c, text, len);
}
