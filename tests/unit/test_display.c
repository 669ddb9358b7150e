/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Keyboard layouts, what a viewer's keys become, the queue before the keyboard, when the screen is looked at,
 * and pictures in files.
 */
#include "emu/display/backends.h"
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

struct bench {
    struct clock *clock;
    struct loop *loop;
    struct display *display;
    GString *keys; /* "+1e -1e " */
    unsigned room, leds;
    unsigned draws;
    bool moving; /* the screen changes with each look */
    unsigned seen, seen_pixels;
};

static void take_key(void *opaque, unsigned code, bool down)
{
    struct bench *b = opaque;
    g_string_append_printf(b->keys, "%c%x ", down ? '+' : '-', code);
    b->room -= MIN(b->room, 2);
}

static unsigned key_room(void *opaque)
{
    return ((struct bench *)opaque)->room;
}

static unsigned leds(void *opaque)
{
    return ((struct bench *)opaque)->leds;
}

static void mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
}

static bool draw(void *opaque, struct display_surface *surface, bool steady, struct display_rect *changed)
{
    struct bench *b = opaque;
    b->draws++;
    bool first = !surface->pixels;
    if (first)
        *surface = (struct display_surface){.pixels = g_new0(uint32_t, 12), .width = 4, .height = 3};
    *changed = (struct display_rect){1, 1, first || b->moving ? 2 : 0, first || b->moving ? 1 : 0};
    surface->pixels[5] = b->draws;
    return first || b->moving;
}

static void set_up(struct bench *b, gconstpointer data)
{
    const struct display_video video = {.opaque = b, .draw = draw};
    const struct display_input input = {
        .opaque = b, .key = take_key, .mouse = mouse, .key_room = key_room, .leds = leds};
    b->clock = clock_new();
    b->loop = loop_new(b->clock, NULL);
    b->keys = g_string_new(NULL);
    b->room = 1000000;
    b->display = display_new(b->loop, &video, &input, NULL);
}

static void tear_down(struct bench *b, gconstpointer data)
{
    display_free(b->display);
    loop_free(b->loop);
    clock_free(b->clock);
    g_string_free(b->keys, TRUE);
}

/* ---- keys ---- */

static void test_keymaps(void)
{
    static const struct {
        const char *map;
        uint32_t keysym;
        unsigned code, modifiers;
    } rows[] = {
        {"en-us", 'a', 0x1e, 0},
        {"en-us", 'A', 0x1e, KEYMAP_SHIFT},
        {"en-us", '(', 0x0a, KEYMAP_SHIFT},
        {"en-us", '\\', 0x2b, 0},
        {"en-us", 'z', 0x2c, 0},
        {"de", 'z', 0x15, 0},
        {"de", '(', 0x09, KEYMAP_SHIFT},
        {"de", '@', 0x10, KEYMAP_ALTGR},
        {"de", 0xfc, 0x1a, 0},
        {"de", 0x20ac, 0x12, KEYMAP_ALTGR},
        {"de", '|', 0x56, KEYMAP_ALTGR},
        {"fr", 'a', 0x10, 0},
        {"fr", '1', 0x02, KEYMAP_SHIFT},
        {"fr", '@', 0x0b, KEYMAP_ALTGR},
        {"en-gb", 0xa3, 0x04, KEYMAP_SHIFT},
        {"en-us", 0xff0d, 0x1c, 0},
        {"en-us", 0xffbe, 0x3b, 0},
        {"en-us", 0xffc9, 0x58, 0},
        {"en-us", 0xff52, 0x148, 0},
        {"en-us", 0x01000041, 0x1e, KEYMAP_SHIFT},
    };
    struct keymap_key key;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const struct keymap *map = keymap_find(rows[i].map);
        g_assert_nonnull(map);
        if (!keymap_of_keysym(map, rows[i].keysym, &key) || key.code != rows[i].code ||
            key.modifiers != rows[i].modifiers)
            g_error("%s: keysym %x is key %x with %x", rows[i].map, rows[i].keysym, key.code, key.modifiers);
    }
    g_assert_false(keymap_of_keysym(keymap_find("en-us"), 0xfc, &key)); /* ü */
    g_assert_false(keymap_of_keysym(keymap_find("en-us"), 0x12345, &key));
    g_assert_false(keymap_of_keysym(keymap_find("en-us"), 0xffffffff, &key));
    g_assert_null(keymap_find("klingon"));
    /* Each printable ASCII character can be typed in every layout. */
    g_autoptr(GString) names = g_string_new(NULL);
    keymap_describe(names);
    g_auto(GStrv) words = g_strsplit(g_strchug(names->str), " ", -1);
    for (char **word = words; *word; word++)
        for (gunichar c = ' '; c < 0x7f; c++)
            if (!keymap_of_character(keymap_find(*word), c, &key))
                g_error("%s has no key for '%c'", *word, (char)c);
}

static void test_typist(struct bench *b, gconstpointer data)
{
    struct typist t;
    struct step {
        uint32_t keysym;
        bool down;
        const char *keys;
    };
#define STEPS(...)                                                                                           \
    do {                                                                                                     \
        static const struct step steps_[] = {__VA_ARGS__};                                                   \
        for (size_t i_ = 0; i_ < G_N_ELEMENTS(steps_); i_++) {                                               \
            g_string_truncate(b->keys, 0);                                                                   \
            typist_keysym(&t, steps_[i_].keysym, steps_[i_].down);                                           \
            g_assert_cmpstr(b->keys->str, ==, steps_[i_].keys);                                              \
        }                                                                                                    \
    } while (0)
    enum { SHIFT = 0xffe1, CTRL = 0xffe3, ALTGR = 0xfe03 };
    typist_init(&t, b->display, keymap_find("en-us"));
    STEPS({'a', true, "+1e "}, {'a', true, "+1e "}, {'a', false, "-1e "}); /* the viewer repeats */
    STEPS({'A', true, "+2a +1e -2a "}, {'A', false, "-1e "});              /* without Shift's own key */
    STEPS({SHIFT, true, "+2a "}, {'A', true, "+1e "}, {SHIFT, false, "-2a "}, {'a', false, "-1e "});
    STEPS({SHIFT, true, "+2a "}, {'/', true, "-2a +35 +2a "}, {'/', false, "-35 "}, {SHIFT, false, "-2a "});
    STEPS({CTRL, true, "+1d "}, {'C', true, "+2e "}, {'C', false, "-2e "}, {CTRL, false, "-1d "});
    b->leds = 4; /* Caps Lock is on in the guest */
    STEPS({'A', true, "+1e "}, {'A', false, "-1e "}, {'a', true, "+2a +1e -2a "}, {'a', false, "-1e "},
          {'1', true, "+2 "}, {'1', false, "-2 "});
    b->leds = 0;
    typist_init(&t, b->display, keymap_find("de"));
    STEPS({ALTGR, true, "+138 "}, {'@', true, "+10 "}, {'@', false, "-10 "}, {ALTGR, false, "-138 "},
          {'@', true, "+138 +10 -138 "}, {'@', false, "-10 "});
    STEPS({'x', true, "+2d "}, {'y', true, "+2c "}, {0x12345, true, ""}, {0xffffffff, true, ""});
    g_string_truncate(b->keys, 0);
    typist_release_all(&t);
    g_assert_cmpstr(b->keys->str, ==, "-2c -2d ");
    g_string_truncate(b->keys, 0);
    g_assert_true(typist_character(&t, '{'));
    g_assert_cmpstr(b->keys->str, ==, "+138 +8 -8 -138 ");
    g_string_truncate(b->keys, 0);
    typist_stroke(&t, 0x153, 0, true, true);
    g_assert_cmpstr(b->keys->str, ==, "+1d +38 +153 -153 -38 -1d ");
}

static bool wait_for(struct bench *b, bool (*true_of)(struct bench *b), int64_t ms)
{
    gint64 until = g_get_monotonic_time() + ms * 1000;
    while (!true_of(b) && g_get_monotonic_time() < until)
        loop_wait(b->loop, 10000000);
    return true_of(b);
}

static bool all_keys(struct bench *b)
{
    return b->keys->len == 300 * strlen("+10 ");
}

/* A key waits until the keyboard has room, none is lost, their order stays; a guest that reads none gets
 * none. */
static void test_queue(struct bench *b, gconstpointer data)
{
    b->room = 32;
    for (unsigned i = 0; i < 300; i++)
        display_key(b->display, 0x10 + i % 16, i & 1);
    g_assert_cmpuint(b->keys->len, <, 20 * strlen("+10 "));
    for (unsigned i = 0; i < 100 && !all_keys(b); i++) {
        b->room = 32; /* the guest has read */
        gsize before = b->keys->len;
        for (unsigned k = 0; k < 200 && b->keys->len == before; k++)
            loop_wait(b->loop, 10000000);
    }
    g_assert_true(all_keys(b));
    for (unsigned i = 0; i < 300; i++) {
        g_autofree char *want = g_strdup_printf("%c%x ", i & 1 ? '+' : '-', 0x10 + i % 16);
        g_assert_true(g_str_has_prefix(b->keys->str + 4 * i, want));
    }
    g_string_truncate(b->keys, 0);
    b->room = 0;
    for (unsigned i = 0; i < 100000; i++)
        display_key(b->display, 0x10, true);
    g_assert_cmpuint(b->keys->len, ==, 0);
}

/* ---- looking ---- */

static void viewer_pixels(void *opaque, const struct display_surface *surface,
                          const struct display_rect *changed, bool resized)
{
    struct bench *b = opaque;
    b->seen++;
    b->seen_pixels = changed->width * changed->height;
    g_assert_cmpuint(surface->width, ==, 4);
}

static bool seen_five(struct bench *b)
{
    return b->seen >= 5;
}

static void test_looking(struct bench *b, gconstpointer data)
{
    static const struct display_viewer_ops ops = {.pixels = viewer_pixels};
    struct display_viewer *viewer = display_add_viewer(b->display, &ops, b);
    b->moving = true;
    for (unsigned i = 0; i < 10; i++)
        loop_wait(b->loop, 10000000);
    g_assert_cmpuint(b->draws, ==, 0); /* nobody looks */
    display_set_active(viewer, true);
    g_assert_cmpuint(b->seen, ==, 1); /* at once, all of it */
    g_assert_cmpuint(b->seen_pixels, ==, 12);
    g_assert_true(wait_for(b, seen_five, 10000));
    g_assert_cmpuint(b->seen_pixels, ==, 2);
    b->moving = false;
    unsigned before = b->draws;
    gint64 until = g_get_monotonic_time() + 1000000;
    while (g_get_monotonic_time() < until)
        loop_wait(b->loop, 10000000);
    g_assert_cmpuint(b->draws - before, <=, 12); /* slower and slower: 30 a second it would not be */
    display_set_active(viewer, false);
    before = b->draws;
    for (unsigned i = 0; i < 40; i++)
        loop_wait(b->loop, 10000000);
    g_assert_cmpuint(b->draws, ==, before);
    display_remove_viewer(viewer);
}

/* ---- pictures ---- */

static void test_images(struct bench *b, gconstpointer data)
{
    g_autofree char *folder = g_dir_make_tmp("netlab-picture-XXXXXX", NULL);
    g_autofree char *ppm = g_build_filename(folder, "a.ppm", NULL),
                    *png = g_build_filename(folder, "a.PNG", NULL);
    uint32_t pixels[] = {0x010203, 0xff8040, 0, 0xffffff, 0xff, 0xff0000};
    const struct display_surface surface = {.pixels = pixels, .width = 3, .height = 2};
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    gsize len;
    g_assert_true(display_write_image(&surface, ppm, NULL, &error));
    g_assert_true(g_file_get_contents(ppm, &text, &len, NULL));
    static const uint8_t want[] = "P6\n3 2\n255\n\1\2\3\xff\x80\x40\0\0\0\xff\xff\xff\0\0\xff\xff\0\0";
    g_assert_cmpmem(text, len, want, sizeof want - 1);
    g_clear_pointer(&text, g_free);
    g_assert_true(display_write_image(&surface, png, NULL, &error));
    g_assert_true(g_file_get_contents(png, &text, &len, NULL));
    g_assert_cmpmem(text, 8, "\x89PNG\r\n\x1a\n", 8);
    g_assert_false(display_write_image(&surface, ppm, "bmp", &error));
    g_assert_nonnull(strstr(error->message, "png and ppm"));
    g_clear_error(&error);
    g_assert_false(display_write_image(&surface, "/nowhere/x", NULL, &error));
    g_assert_nonnull(strstr(error->message, "No such file"));
    static const char *const formats[] = {"png", "ppm"};
    for (unsigned i = 0; i < 2; i++) { /* a disk that is full */
        g_clear_error(&error);
        g_assert_false(display_write_image(&surface, "/dev/full", formats[i], &error));
        g_assert_nonnull(strstr(error->message, "No space left"));
    }
    g_unlink(ppm);
    g_unlink(png);
    g_rmdir(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/display/keymaps", test_keymaps);
#define TEST(name, function) g_test_add("/display/" name, struct bench, NULL, set_up, function, tear_down)
    TEST("typist", test_typist);
    TEST("queue", test_queue);
    TEST("looking", test_looking);
    TEST("images", test_images);
    return g_test_run();
}
