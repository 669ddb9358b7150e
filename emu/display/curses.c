/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The guest's screen on a terminal, by ncurses: characters in text modes, a note in graphics modes.
 *
 * Alt-1 shows the guest, Alt-2 and on the text consoles, the monitor first, where `quit` ends the machine;
 * all other keys are those of what is in front, Ctrl-C too. A terminal sends characters, not keys: each is
 * typed as a stroke with its modifiers. Alt comes as ESC before a key, so ESC alone is known by nothing
 * coming after it. Writing waits for a terminal that does not take what it is sent, and the guest with it.
 * The size of the terminal is looked at with the screen, so no signal is needed.
 */
#define NCURSES_WIDECHAR 1
#include "emu/display/backends.h"

#include "emu/display/codepage.h"
#include "emu/machine/loop.h"

#include <curses.h>
#include <errno.h>
#include <gio/gio.h>
#include <locale.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { ESCAPE = 0x1b, ESCAPE_DELAY_MS = 25 };

struct terminal {
    struct display *display;
    struct display_viewer *viewer;
    struct loop_fd *watch;
    SCREEN *screen;
    struct typist typist;
    void (*quit)(void *opaque);
    void *opaque;
    bool colors, unicode;
    bool stale;             /* all has to be written again */
    unsigned rows, columns; /* of the terminal */
    unsigned width, height; /* of a graphics mode that is noted */
    struct display_text *text, *shown;
};

/* ---- output ---- */

static wchar_t character_of(const struct terminal *t, uint8_t code)
{
    if (t->unicode)
        return (wchar_t)codepage_to_unicode(code);
    if (code >= 0x20 && code < 0x7f)
        return code;
    if (code == 0xb3 || code == 0xba)
        return L'|';
    if (code == 0xc4 || code == 0xcd)
        return L'-';
    if (code >= 0xb4 && code <= 0xda)
        return L'+';
    return code >= 0xdb && code <= 0xdf ? L'#' : code && code != 0xff ? L'?' : L' ';
}

static void put_cell(const struct terminal *t, int y, int x, struct display_cell cell, bool blink)
{
    static const uint8_t order[8] = {0, 4, 2, 6, 1, 5, 3, 7}; /* blue, green, red: the other way round here */
    unsigned foreground = cell.attribute & 7, background = cell.attribute >> 4 & 7;
    attr_t attributes = cell.attribute & 8 ? A_BOLD : A_NORMAL;
    wchar_t text[2] = {character_of(t, cell.code), 0};
    short pair = 0;
    cchar_t out;
    if (blink && cell.attribute & 0x80)
        attributes |= A_BLINK;
    if (t->colors)
        pair = (short)(1 + order[background] * 8 + order[foreground]);
    else if (background)
        attributes |= A_REVERSE;
    setcchar(&out, text, attributes, pair, NULL);
    mvadd_wch(y, x, &out);
}

static void show_text(struct terminal *t)
{
    const struct display_text *s = t->text;
    int bottom = MAX(s->cursor_row, 0), right = MAX(s->cursor_column, 0);
    /* What does not fit is cut off, but not the cursor. */
    int top = bottom >= (int)t->rows ? bottom - (int)t->rows + 1 : 0;
    int left = right >= (int)t->columns ? right - (int)t->columns + 1 : 0;
    erase();
    for (unsigned y = 0; y < t->rows && top + y < s->rows; y++)
        for (unsigned x = 0; x < t->columns && left + x < s->columns; x++)
            put_cell(t, (int)y, (int)x, s->cells[(top + y) * s->columns + left + x], s->blink);
    curs_set(s->cursor_row >= 0);
    if (s->cursor_row >= 0)
        move(s->cursor_row - top, s->cursor_column - left);
    refresh();
}

static void show_note(struct terminal *t)
{
    g_autofree char *note =
        t->width ? g_strdup_printf("%ux%u graphics mode", t->width, t->height) : g_strdup("no graphics card");
    erase();
    curs_set(0);
    mvaddstr((int)t->rows / 2, MAX((int)t->columns - (int)strlen(note), 0) / 2, note);
    refresh();
}

static bool same_text(const struct display_text *a, const struct display_text *b)
{
    return a->columns == b->columns && a->rows == b->rows && a->cursor_row == b->cursor_row &&
           a->cursor_column == b->cursor_column && a->blink == b->blink &&
           !memcmp(a->cells, b->cells, (size_t)a->rows * a->columns * sizeof *a->cells);
}

static void follow_size(struct terminal *t)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
        return;
    if (size.ws_row == t->rows && size.ws_col == t->columns)
        return;
    t->rows = size.ws_row;
    t->columns = size.ws_col;
    resizeterm((int)t->rows, (int)t->columns);
    clear();
    t->stale = true;
}

static bool look(void *opaque)
{
    struct terminal *t = opaque;
    unsigned width, height;
    follow_size(t);
    bool stale = t->stale;
    t->stale = false;
    if (!display_front_text(t->viewer, t->text, &width, &height)) {
        if (!stale && t->width == width && t->height == height && t->shown->rows == 0)
            return false;
        t->width = width;
        t->height = height;
        t->shown->rows = 0;
        show_note(t);
        return true;
    }
    if (!stale && same_text(t->text, t->shown))
        return false;
    show_text(t);
    struct display_text *other = t->shown;
    t->shown = t->text;
    t->text = other;
    return true;
}

static const struct display_viewer_ops viewer_ops = {.look = look};

/* ---- keys ---- */

static bool function_key(wint_t key, struct keymap_key *out)
{
    static const struct {
        short key;
        uint16_t code;
        uint8_t modifiers;
    } rows[] = {
        {KEY_UP, 0x148, 0},    {KEY_DOWN, 0x150, 0},  {KEY_LEFT, 0x14b, 0},   {KEY_RIGHT, 0x14d, 0},
        {KEY_HOME, 0x147, 0},  {KEY_END, 0x14f, 0},   {KEY_PPAGE, 0x149, 0},  {KEY_NPAGE, 0x151, 0},
        {KEY_IC, 0x152, 0},    {KEY_DC, 0x153, 0},    {KEY_ENTER, 0x1c, 0},   {KEY_BACKSPACE, 0x0e, 0},
        {KEY_BTAB, 0x0f, 1},   {KEY_SLEFT, 0x14b, 1}, {KEY_SRIGHT, 0x14d, 1}, {KEY_SHOME, 0x147, 1},
        {KEY_SEND, 0x14f, 1},  {KEY_SR, 0x148, 1},    {KEY_SF, 0x150, 1},     {KEY_SPREVIOUS, 0x149, 1},
        {KEY_SNEXT, 0x151, 1}, {KEY_SDC, 0x153, 1},   {KEY_SIC, 0x152, 1},    {KEY_B2, 0x4c, 0},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if ((wint_t)rows[i].key == key) {
            *out = (struct keymap_key){rows[i].code, rows[i].modifiers};
            return true;
        }
    }
    if (key >= KEY_F(1) && key <= KEY_F(24)) { /* 13 to 24: with Shift */
        unsigned n = (key - KEY_F(1)) % 12;
        *out = (struct keymap_key){(uint16_t)(n < 10 ? 0x3b + n : 0x57 + n - 10), key > KEY_F(12)};
        return true;
    }
    return false;
}

static void guest_key(struct terminal *t, wint_t key, bool function, bool alt)
{
    struct keymap_key k = {0};
    bool ctrl = false;
    if (function) {
        if (!function_key(key, &k))
            return;
    } else if (key == '\r' || key == '\n') {
        k.code = CODE_ENTER;
    } else if (key == '\t') {
        k.code = CODE_TAB;
    } else if (key == 0x7f || key == '\b') {
        k.code = CODE_BACKSPACE;
    } else if (key == ESCAPE) {
        k.code = CODE_ESCAPE;
    } else if (key < ' ') { /* Ctrl and the key 0x40 further: '@' to '_' */
        ctrl = true;
        if (!keymap_of_character(t->typist.keymap, (gunichar)g_ascii_tolower((char)(key + 0x40)), &k))
            return;
    } else if (!alt) {
        typist_character(&t->typist, (gunichar)key);
        return;
    } else if (!keymap_of_character(t->typist.keymap, (gunichar)key, &k)) {
        return;
    }
    typist_stroke(&t->typist, k.code, k.modifiers, ctrl, alt);
}

/* A key of a text console, as the keysym that has the same place on the keyboard. */
static void console_key(struct terminal *t, wint_t key, bool function, bool alt)
{
    static const struct {
        short key;
        uint16_t keysym;
        bool shift;
    } rows[] = {
        {KEY_UP, 0xff52, false},        {KEY_DOWN, 0xff54, false},  {KEY_LEFT, 0xff51, false},
        {KEY_RIGHT, 0xff53, false},     {KEY_HOME, 0xff50, false},  {KEY_END, 0xff57, false},
        {KEY_PPAGE, 0xff55, false},     {KEY_NPAGE, 0xff56, false}, {KEY_SPREVIOUS, 0xff55, true},
        {KEY_SNEXT, 0xff56, true},      {KEY_IC, 0xff63, false},    {KEY_DC, 0xffff, false},
        {KEY_BACKSPACE, 0xff08, false}, {KEY_ENTER, 0xff0d, false}, {KEY_BTAB, 0xfe20, false},
    };
    if (!function) {
        bool ctrl = key < ' ' && key != '\r' && key != '\n' && key != '\t' && key != '\b' && key != ESCAPE;
        uint32_t keysym = key == '\r' || key == '\n'   ? 0xff0d
                          : key == '\t'                ? 0xff09
                          : key == 0x7f || key == '\b' ? 0xff08
                          : key == ESCAPE              ? 0xff1b
                          : ctrl                       ? (uint32_t)g_ascii_tolower((char)(key + 0x40))
                          : key < 0x100                ? (uint32_t)key
                                                       : 0x01000000 + (uint32_t)key;
        display_console_key(t->viewer, keysym, false, ctrl, alt);
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if ((wint_t)rows[i].key == key)
            display_console_key(t->viewer, rows[i].keysym, rows[i].shift, false, alt);
    if (key >= KEY_F(1) && key <= KEY_F(12))
        display_console_key(t->viewer, 0xffbe + (key - KEY_F(1)), false, false, alt);
}

static void take_key(struct terminal *t, wint_t key, bool function, bool alt)
{
    if (function && key == KEY_RESIZE)
        return;
    if (alt && !function && key >= '1' && key <= '9') {
        t->stale |= display_front(t->viewer) != key - '1' && display_show(t->viewer, key - '1');
        return;
    }
    if (display_front(t->viewer))
        console_key(t, key, function, alt);
    else
        guest_key(t, key, function, alt);
}

static void input_ready(void *opaque, unsigned events)
{
    struct terminal *t = opaque;
    wint_t key;
    int kind;
    unsigned budget = 256; /* keys at a time: somebody may paste */
    bool any = false;
    while (budget-- > 0 && (kind = get_wch(&key)) != ERR) {
        bool alt = false;
        any = true;
        if (kind == OK && key == ESCAPE) {
            wint_t next;
            int next_kind = get_wch(&next);
            if (next_kind != ERR) {
                alt = true;
                key = next;
                kind = next_kind;
            }
        }
        take_key(t, key, kind == KEY_CODE_YES, alt);
    }
    if (!any && events & LOOP_HANGUP) {
        loop_set_events(t->watch, 0);
        t->quit(t->opaque);
        return;
    }
    if (any)
        display_hurry(t->display, t->stale);
}

/* ---- life ---- */

struct terminal *terminal_new(struct display *display, const struct keymap *keymap,
                              void (*quit)(void *opaque), void *opaque, GError **error)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        g_set_error_literal(
            error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
            "-curses: standard input and output are no terminal; start it in one, or use -vnc :0");
        return NULL;
    }
    setlocale(LC_CTYPE, "");
    set_escdelay(ESCAPE_DELAY_MS);
    SCREEN *screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "-curses: ncurses does not know a terminal called '%s'; set TERM, or use -vnc :0",
                    g_getenv("TERM") ? g_getenv("TERM") : "");
        return NULL;
    }
    struct terminal *t = g_new0(struct terminal, 1);
    t->display = display;
    t->screen = screen;
    t->quit = quit;
    t->opaque = opaque;
    t->text = g_new0(struct display_text, 1);
    t->shown = g_new0(struct display_text, 1);
    t->unicode = MB_CUR_MAX > 1;
    typist_init(&t->typist, display, keymap);
    raw();
    noecho();
    nonl();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    t->rows = (unsigned)LINES;
    t->columns = (unsigned)COLS;
    t->colors = has_colors() && start_color() == OK && COLORS >= 8 && COLOR_PAIRS > 64;
    for (short pair = 0; pair < 64 && t->colors; pair++)
        init_pair((short)(pair + 1), pair & 7, pair >> 3);
    t->viewer = display_add_viewer(display, &viewer_ops, t);
    t->watch = loop_add_fd(display_loop(display), STDIN_FILENO, LOOP_READ | LOOP_HANGUP, input_ready, t);
    t->stale = true;
    display_set_active(t->viewer, true);
    return t;
}

void terminal_free(struct terminal *t)
{
    if (!t)
        return;
    loop_remove_fd(t->watch);
    display_remove_viewer(t->viewer);
    endwin();
    delscreen(t->screen);
    g_free(t->text);
    g_free(t->shown);
    g_free(t);
}
