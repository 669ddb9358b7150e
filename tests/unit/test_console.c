/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Text consoles: what escape sequences make of the screen, history, what keys send, what is drawn, which
 * viewer sees which console; and code page 437.
 */
#include "emu/display/backends.h"
#include "emu/display/codepage.h"
#include "emu/display/console.h"
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"

#include <glib.h>
#include <string.h>

static GString *said;

static void answer(void *opaque, const uint8_t *data, size_t len)
{
    g_string_append_len(said, (const char *)data, (gssize)len);
}

/* A row's characters, without the spaces at its end; in UTF-8. */
static char *row_of(const struct display_text *text, unsigned row)
{
    GString *line = g_string_new(NULL);
    for (unsigned i = 0; i < text->columns; i++)
        g_string_append_unichar(line, codepage_to_unicode(text->cells[row * text->columns + i].code));
    return g_strchomp(g_string_free(line, FALSE));
}

static void test_screen(void)
{
    /* 20 columns, 4 rows; `rows` is what they show, a line each; `cursor` is row and column from 0. */
    static const struct {
        const char *in, *rows;
        int row, column;
        const char *says;
    } cases[] = {
        {"hello", "hello\n\n\n", 0, 5, ""},
        {"a\r\nb\nc", "a\nb\n c\n", 2, 2, ""},
        {"\033[20hb\nc", "b\nc\n\n", 1, 1, ""},
        {"12345678901234567890", "12345678901234567890\n\n\n", 0, 19, ""},
        {"12345678901234567890x", "12345678901234567890\nx\n\n", 1, 1, ""},
        {"\033[?7l12345678901234567890xy", "1234567890123456789y\n\n\n", 0, 19, ""},
        {"1\n2\n3\n4\n5", " 2\n  3\n   4\n    5", 3, 5, ""},
        {"a\tb\033[Zc", "a       c\n\n\n", 0, 9, ""},
        {"ab\bc", "ac\n\n\n", 0, 2, ""},
        {"\033[3;5Hx\033[Hy\033[2;2fz", "y\n z\n    x\n", 1, 2, ""},
        {"\033[99;99Hx", "\n\n\n                   x", 3, 19, ""},
        {"abc\033[2D!\033[C?\033[A\033[B^", "a!c?\n    ^\n\n", 1, 5, ""},
        {"\033[4;4H\033[2A\033[Dx\033[3Gy\033[1dz", "   z\n  y\n\n", 0, 4, ""},
        {"\033[3;3Hx\033[Fy\033[2Ez", "\ny\n  x\nz", 3, 1, ""},
        {"abcdef\033[3D\033[K", "abc\n\n\n", 0, 3, ""},
        {"abcdef\033[3D\033[1K", "    ef\n\n\n", 0, 3, ""},
        {"abcdef\033[2K", "\n\n\n", 0, 6, ""},
        {"a\r\nb\r\nc\033[2;1H\033[J", "a\n\n\n", 1, 0, ""},
        {"a\r\nb\r\nc\033[2;1H\033[1J", "\n\nc\n", 1, 0, ""},
        {"a\r\nb\033[2J", "\n\n\n", 1, 1, ""},
        {"abcdef\033[3G\033[2@", "ab  cdef\n\n\n", 0, 2, ""},
        {"abcdef\033[3G\033[2P", "abef\n\n\n", 0, 2, ""},
        {"abcdef\033[3G\033[2X", "ab  ef\n\n\n", 0, 2, ""},
        {"abc\033[1G\033[4hxy\033[4lz", "xyzbc\n\n\n", 0, 3, ""},
        {"a\r\nb\r\nc\033[2H\033[L", "a\n\nb\nc", 1, 0, ""},
        {"a\r\nb\r\nc\033[2H\033[M", "a\nc\n\n", 1, 0, ""},
        {"a\r\nb\r\nc\033[1H\033[M", "b\nc\n\n", 0, 0, ""},
        {"a\r\nb\r\nc\r\nd\033[2;3r\033[3H\nx", "a\nc\nx\nd", 2, 1, ""},
        {"a\r\nb\r\nc\r\nd\033[2;3r\033[2H\033Mx", "a\nx\nb\nd", 1, 1, ""},
        {"\033[2;3r\033[?6h\033[Hx\033[9;1Hy", "\nx\ny\n", 2, 1, ""},
        {"\033[2;3r\033[4Hx\ny", "\n\n\nxy", 3, 2, ""},
        {"a\r\nb\033[S", "b\n\n\n", 1, 1, ""},
        {"a\r\nb\033[T", "\na\nb\n", 1, 1, ""},
        {"ab\033[3b", "abbbb\n\n\n", 0, 5, ""},
        {"ab\033[sxy\033[u!", "ab!y\n\n\n", 0, 3, ""},
        {"ab\0337\033[3;3H\0338!", "ab!\n\n\n", 0, 3, ""},
        {"\033[2;5H\033H\r\tx\033[3g\ry\tz", "\ny   x              z\n\n", 1, 19, ""},
        {"\033(0lqk\033(Bx", "┌─┐x\n\n\n", 0, 4, ""},
        {"\033)0\016x\017x", "│x\n\n\n", 0, 2, ""},
        {"äöü ─│┌ €\x9c", "äöü ─│┌ ?£\n\n\n", 0, 10, ""},
        {"\xc3", "\n\n\n", 0, 0, ""},                        /* half a character waits */
        {"\xc3z", "├z\n\n\n", 0, 2, ""},                     /* and was none: as code page 437 */
        {"\xe2\x82\033[Cx", "Γé x\n\n\n", 0, 4, ""},         /* a sequence ends it as well */
        {"\033%@\xc9\xcd\xbb\033%G", "╔═╗\n\n\n", 0, 3, ""}, /* bytes of a DOS program */
        {"日x", "? x\n\n\n", 0, 3, ""},
        {"e\u0301x", "ex\n\n\n", 0, 2, ""},
        {"a\033]0;title\007b\033P1;2q\033\\c\033_x\033\\d", "abcd\n\n\n", 0, 4, ""},
        {"a\033]0;title\033[1mb", "ab\n\n\n", 0, 2, ""}, /* never ended: another sequence ends it */
        {"\033[5n\033[2;3H\033[6n\033[c\033Z", "\n\n\n", 1, 2, "\033[0n\033[2;3R\033[?6c\033[?6c"},
        {"\033[>c", "\n\n\n", 0, 0, "\033[>0;0;0c"},
        {"a\033[?1049hb\033[6n\033[?1049lc", "ac\n\n\n", 0, 2, "\033[1;3R"},
        {"a\033[?47hx\033[?47l", "a\n\n\n", 0, 2, ""},
        {"\033#8\033[2;2H\033[J", "EEEEEEEEEEEEEEEEEEEE\nE\n\n", 1, 1, ""},
        {"abc\033c", "\n\n\n", 0, 0, ""},
        {"\033[3\030x\033[\032y", "xy\n\n\n", 0, 2, ""},
        {"\033[2\bCx", "  x\n\n\n", 0, 3, ""},
        {"\033[99999999999999999999Cx", "                   x\n\n\n", 0, 19, ""},
        {"\033[1;2;3;4;5;6;7;8;9;1;2;3;4;5;6;7;8;9;1mx", "x\n\n\n", 0, 1, ""},
        {"\033[?25l", "\n\n\n", -1, -1, ""},
        {"\033[1!px\033[ qy", "xy\n\n\n", 0, 2, ""},
        {"x\033[9999Sy", " y\n\n\n", 0, 2, ""},
        {"x\033[9999L\033[9999M\033[9999P\033[9999@y", "y\n\n\n", 0, 1, ""},
        {"\033[0;0Hx\033[5;2ry", "xy\n\n\n", 0, 2, ""},
    };
    said = g_string_new(NULL);
    struct display_text *text = g_new0(struct display_text, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (unsigned piece = 1; piece <= 2; piece++) { /* at once, and byte by byte */
            struct vt *vt = vt_new(20, 4, answer, NULL);
            size_t len = strlen(cases[i].in);
            g_string_truncate(said, 0);
            for (size_t k = 0; k < len; k += piece == 1 ? len : 1)
                vt_write(vt, (const uint8_t *)cases[i].in + k, piece == 1 ? len : 1);
            vt_text(vt, text);
            g_autoptr(GString) rows = g_string_new(NULL);
            for (unsigned row = 0; row < 4; row++) {
                g_autofree char *line = row_of(text, row);
                g_string_append_printf(rows, "%s%s", row ? "\n" : "", line);
            }
            if (!g_str_equal(rows->str, cases[i].rows) || text->cursor_row != cases[i].row ||
                text->cursor_column != cases[i].column || !g_str_equal(said->str, cases[i].says)) {
                g_autofree char *in = g_strescape(cases[i].in, NULL), *out = g_strescape(said->str, NULL);
                g_error("'%s' shows\n%s\ncursor %d,%d; says '%s'", in, rows->str, text->cursor_row,
                        text->cursor_column, out);
            }
            vt_free(vt);
        }
    }
    g_free(text);
    g_string_free(said, TRUE);
}

static void test_colors(void)
{
    static const struct {
        const char *in;
        uint8_t attribute;
    } cases[] = {
        {"x", 0x07},
        {"\033[31mx", 0x04},
        {"\033[1;34mx", 0x09},
        {"\033[42mx", 0x27},
        {"\033[7mx", 0x70},
        {"\033[7;27mx", 0x07},
        {"\033[5mx", 0x87},
        {"\033[93;104mx", 0x1e},
        {"\033[38;5;9mx", 0x0c},
        {"\033[38;5;196mx", 0x0c},
        {"\033[38;5;244mx", 0x07},
        {"\033[48;5;4mx", 0x17},
        {"\033[38;2;0;0;255mx", 0x09},
        {"\033[38;2;0;0;255;1;48;2;0;128;0mx", 0x29},
        {"\033[31;39mx", 0x07},
        {"\033[1;31;41;0mx", 0x07},
        {"\033[8;31;42mx", 0x22},
        {"\033[4mx", 0x03},
        {"\033[2mx", 0x08},
        {"\033[?5hx", 0x70},
    };
    struct display_text *text = g_new0(struct display_text, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct vt *vt = vt_new(20, 4, NULL, NULL);
        vt_write(vt, (const uint8_t *)cases[i].in, strlen(cases[i].in));
        vt_text(vt, text);
        if (text->cells[0].attribute != cases[i].attribute)
            g_error("case %zu: %02x", i, text->cells[0].attribute);
        vt_free(vt);
    }
    g_free(text);
}

static void test_history(void)
{
    struct vt *vt = vt_new(20, 4, NULL, NULL);
    struct display_text *text = g_new0(struct display_text, 1);
    for (unsigned i = 0; i < 3000; i++) {
        g_autofree char *line = g_strdup_printf("%sline %u", i ? "\r\n" : "", i);
        vt_write(vt, (const uint8_t *)line, strlen(line));
    }
    vt_scroll(vt, 10);
    vt_text(vt, text);
    g_autofree char *first = row_of(text, 0);
    g_assert_cmpstr(first, ==, "line 2986");
    g_assert_cmpint(text->cursor_row, ==, -1);
    vt_write(vt, (const uint8_t *)"\r\nmore\r\nand more", 16); /* what is looked at stays */
    vt_text(vt, text);
    g_autofree char *same = row_of(text, 0);
    g_assert_cmpstr(same, ==, "line 2986");
    vt_scroll(vt, 100000);
    vt_text(vt, text);
    g_autofree char *oldest = row_of(text, 0);
    g_assert_cmpstr(oldest, ==, "line 1998"); /* 3002 lines, 4 on the screen, 1000 kept */
    vt_write(vt, (const uint8_t *)"\n\n", 2);
    vt_scroll(vt, -100000);
    vt_scroll(vt, 1);
    vt_scroll_home(vt);
    vt_text(vt, text);
    g_autofree char *now = row_of(text, 1);
    g_assert_cmpstr(now, ==, "and more");
    vt_write(vt, (const uint8_t *)"\033[3J", 4);
    vt_scroll(vt, 5);
    vt_text(vt, text);
    g_autofree char *still = row_of(text, 1);
    g_assert_cmpstr(still, ==, "and more");
    vt_free(vt);
    g_free(text);
}

static void test_codepage(void)
{
    for (unsigned code = 1; code < 256; code++)
        g_assert_cmpuint(codepage_from_unicode(codepage_to_unicode((uint8_t)code)), ==, code);
    g_assert_cmpuint(codepage_from_unicode(0x20ac), ==, 0);
    g_assert_cmpuint(codepage_from_unicode(0x2501), ==, 0xc4);
}

/* ---- the display's consoles ---- */

struct bench {
    struct clock *clock;
    struct loop *loop;
    struct display *display;
    struct display_console *console[2];
    GString *typed, *keys;
    unsigned width, height, seen, changes;
    uint32_t last;
};

static void typed(void *opaque, const uint8_t *data, size_t len)
{
    g_string_append_len(((struct bench *)opaque)->typed, (const char *)data, (gssize)len);
}

static void key(void *opaque, unsigned code, bool down)
{
    g_string_append_printf(((struct bench *)opaque)->keys, "%c%x ", down ? '+' : '-', code);
}

static void mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    g_string_append_printf(((struct bench *)opaque)->keys, "m%d,%d ", dx, dy);
}

static unsigned room(void *opaque)
{
    return 100;
}

static unsigned leds(void *opaque)
{
    return 0;
}

static bool draw(void *opaque, struct display_surface *surface, bool steady, struct display_rect *changed)
{
    bool first = !surface->pixels;
    if (first)
        *surface = (struct display_surface){.pixels = g_new0(uint32_t, 12), .width = 4, .height = 3};
    *changed = first ? (struct display_rect){0, 0, 4, 3} : (struct display_rect){0};
    return first;
}

static void set_up(struct bench *b, gconstpointer data)
{
    const struct display_video video = {.opaque = b, .draw = draw};
    const struct display_input input = {
        .opaque = b, .key = key, .mouse = mouse, .key_room = room, .leds = leds};
    b->clock = clock_new();
    b->loop = loop_new(b->clock, NULL);
    b->typed = g_string_new(NULL);
    b->keys = g_string_new(NULL);
    b->display = display_new(b->loop, &video, &input, NULL);
    for (unsigned i = 0; i < 2; i++)
        b->console[i] = display_add_console(
            b->display,
            &(struct display_console_config){
                .title = i ? "serial0" : "monitor0", .columns = 80, .rows = 24, .typed = typed, .opaque = b});
}

static void tear_down(struct bench *b, gconstpointer data)
{
    display_free(b->display);
    loop_free(b->loop);
    clock_free(b->clock);
    g_string_free(b->typed, TRUE);
    g_string_free(b->keys, TRUE);
}

static void pixels(void *opaque, const struct display_surface *surface, const struct display_rect *changed,
                   bool resized)
{
    struct bench *b = opaque;
    b->width = surface->width;
    b->height = surface->height;
    b->seen = changed->width * changed->height;
    b->last = surface->pixels[0];
    g_assert_cmpuint(changed->x + changed->width, <=, surface->width);
    g_assert_cmpuint(changed->y + changed->height, <=, surface->height);
}

static void changed(void *opaque)
{
    ((struct bench *)opaque)->changes++;
}

static const struct display_viewer_ops ops = {.pixels = pixels, .changed = changed};

static void test_consoles(struct bench *b, gconstpointer data)
{
    struct display_viewer *viewer = display_add_viewer(b->display, &ops, b);
    g_autofree uint8_t *font = g_malloc0(4096);
    memset(font + 'x' * 16, 0xff, 16);
    display_set_font(b->display, font);
    display_set_active(viewer, true);
    g_assert_cmpuint(b->width, ==, 4);
    g_assert_cmpuint(display_consoles(b->display), ==, 3);
    g_assert_cmpstr(display_console_title(b->display, 2), ==, "serial0");
    g_assert_null(display_console_title(b->display, 3));
    g_assert_false(display_show(viewer, 3));
    g_assert_true(display_show(viewer, 2));
    g_assert_cmpuint(b->changes, ==, 1);
    g_assert_cmpuint(b->width, ==, 640);
    g_assert_cmpuint(b->height, ==, 384);
    g_assert_cmpuint(b->seen, ==, 640 * 384);
    display_console_write(b->console[1], (const uint8_t *)"\033[31mx", 6);
    display_hurry(b->display, false);
    for (unsigned i = 0; i < 1000 && b->seen != 2 * 8 * 16; i++) /* the letter, and the cursor after it */
        loop_wait(b->loop, 10000000);
    g_assert_cmpuint(b->seen, ==, 2 * 8 * 16);
    g_assert_cmphex(b->last, ==, 0xaa0000);
    g_assert_true(display_show(viewer, 0));
    g_assert_cmpuint(b->width, ==, 4);
    g_assert_cmpuint(b->seen, ==, 12);
    for (unsigned i = display_consoles(b->display); i < DISPLAY_CONSOLES_MOST; i++)
        g_assert_nonnull(display_add_console(b->display, &(struct display_console_config){.title = "more"}));
    g_assert_null(display_add_console(b->display, &(struct display_console_config){.title = "too many"}));
    display_set_stopped(b->display, true);
    g_assert_true(display_stopped(b->display));
    g_assert_cmpuint(b->changes, ==, 3);
    display_remove_viewer(viewer);
}

static void test_keys(struct bench *b, gconstpointer data)
{
    enum { SHIFT = 0xffe1, CTRL = 0xffe3, ALT = 0xffe9, UP = 0xff52, PAGE_UP = 0xff55, ENTER = 0xff0d };
    struct display_viewer *viewer = display_add_viewer(b->display, &ops, b);
    struct typist t;
    typist_init(&t, b->display, keymap_find("en-us"));
    t.viewer = viewer;
    const struct {
        uint32_t keysym;
        bool down;
    } there[] = {{CTRL, true}, {ALT, true}, {'2', true}, {'2', false}, {ALT, false}, {CTRL, false}};
    for (size_t i = 0; i < G_N_ELEMENTS(there); i++)
        typist_keysym(&t, there[i].keysym, there[i].down);
    g_assert_cmpuint(display_front(viewer), ==, 1);
    g_assert_cmpstr(b->keys->str, ==, "+1d +38 -1d -38 "); /* the guest saw no digit, and nothing is held */
    g_string_truncate(b->keys, 0);

    static const struct {
        uint32_t modifier, keysym;
        const char *sends;
    } rows[] = {
        {0, 'a', "a"},           {SHIFT, 'A', "A"},         {0, 0xe4, "ä"},
        {0, 0x010020ac, "€"},    {CTRL, 'c', "\003"},       {CTRL, '[', "\033"},
        {ALT, 'x', "\033x"},     {0, ENTER, "\r"},          {0, 0xff08, "\177"},
        {0, 0xff09, "\t"},       {SHIFT, 0xff09, "\033[Z"}, {0, UP, "\033[A"},
        {0, 0xff97, "\033[A"},   {0, 0xff50, "\033[H"},     {0, 0xffff, "\033[3~"},
        {0, PAGE_UP, "\033[5~"}, {0, 0xffbe, "\033OP"},     {0, 0xffc9, "\033[24~"},
        {0, 0xffb7, "7"},        {SHIFT, PAGE_UP, ""},      {CTRL, UP, ""},
        {0, 0x12345, ""},        {0, 0xffffffff, ""},       {0, 0xffe5, ""},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_string_truncate(b->typed, 0);
        if (rows[i].modifier)
            typist_keysym(&t, rows[i].modifier, true);
        typist_keysym(&t, rows[i].keysym, true);
        typist_keysym(&t, rows[i].keysym, false);
        if (rows[i].modifier)
            typist_keysym(&t, rows[i].modifier, false);
        if (!g_str_equal(b->typed->str, rows[i].sends))
            g_error("key %x sends '%s'", rows[i].keysym, b->typed->str);
    }
    display_console_write(b->console[0], (const uint8_t *)"\033[?1h\033[20h\033[6n", 14);
    g_string_truncate(b->typed, 0);
    typist_keysym(&t, UP, true);
    typist_keysym(&t, ENTER, true);
    g_assert_cmpstr(b->typed->str, ==, "\033OA\r\n");
    g_assert_cmpstr(b->keys->str, ==, "");

    typist_init(&t, b->display, keymap_find("fr")); /* digits are where they are, whatever is on them */
    t.viewer = viewer;
    typist_keysym(&t, CTRL, true);
    typist_keysym(&t, ALT, true);
    typist_keysym(&t, '&', true);
    g_assert_cmpuint(display_front(viewer), ==, 0);
    typist_keysym(&t, 0xe7, true); /* the ninth: there is none, so it is the guest's */
    g_assert_cmpuint(display_front(viewer), ==, 0);
    g_assert_nonnull(strstr(b->keys->str, "+a "));
    display_remove_viewer(viewer);
}

static void test_pointer(struct bench *b, gconstpointer data)
{
    int x = -1, y = -1;
    display_pointer(b->display, 10, 10, 640, 480, 0, 0, &x, &y);
    display_pointer(b->display, 15, 8, 640, 480, 0, 0, &x, &y);
    g_assert_cmpstr(b->keys->str, ==, "m0,0 m5,-2 ");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/console/screen", test_screen);
    g_test_add_func("/console/colors", test_colors);
    g_test_add_func("/console/history", test_history);
    g_test_add_func("/console/codepage", test_codepage);
#define TEST(name, function) g_test_add("/console/" name, struct bench, NULL, set_up, function, tear_down)
    TEST("consoles", test_consoles);
    TEST("keys", test_keys);
    TEST("pointer", test_pointer);
    return g_test_run();
}
