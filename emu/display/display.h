/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The screen between a graphics card and those who look at it.
 *
 *   card ──draw, text──► display ──pixels, look──► viewers (vnc.c, curses.c)
 *   keyboard, mouse ◄──── input ◄────────────────────┘
 *
 * The card is looked at only while a viewer is active, by a host timer: 30 times a second while something
 * moves, four times a second when nothing has for a while. Without active viewers there is no timer. All
 * functions are for the machine's thread.
 */
#pragma once

#include "emu/display/surface.h"

#include <glib.h>

struct display;
struct display_viewer;
struct loop;

/* The card. See vga_draw() and vga_text(). */
struct display_video {
    void *opaque;
    bool (*draw)(void *opaque, struct display_surface *surface, bool steady, struct display_rect *changed);
    bool (*text)(void *opaque, struct display_text *text, unsigned *width, unsigned *height);
};

/* What viewers can do to the machine. */
struct display_input {
    void *opaque;
    void (*key)(void *opaque, unsigned code, bool down);                   /* as i8042_key() */
    void (*mouse)(void *opaque, int dx, int dy, int dz, unsigned buttons); /* as i8042_mouse() */
    unsigned (*key_room)(void *opaque);                                    /* as i8042_key_room() */
    unsigned (*leds)(void *opaque);                                        /* as i8042_leds() */
    void (*monitor)(void *opaque, const char *line, GString *out); /* one command of the text monitor */
};

/* video NULL: there is no card, and screens say so. Both structs are copied. */
struct display *display_new(struct loop *loop, const struct display_video *video,
                            const struct display_input *input, GError **error);
void display_free(struct display *display); /* viewers are freed before; NULL is allowed */

struct display_viewer_ops {
    /* The surface has changed within the rectangle; `resized`: it is another one. May be NULL. */
    void (*pixels)(void *opaque, const struct display_surface *surface, const struct display_rect *changed,
                   bool resized);
    /* Time to look for itself (display_text()); returns whether something had changed. May be NULL. */
    bool (*look)(void *opaque);
};
/* `ops` must live as long as the viewer, which is inactive at first. */
struct display_viewer *display_add_viewer(struct display *display, const struct display_viewer_ops *ops,
                                          void *opaque);
void display_remove_viewer(struct display_viewer *viewer); /* NULL is allowed */
void display_set_active(struct display_viewer *viewer, bool active);
/* Look again right now, and often for a while: a key was pressed, a viewer has come. `whole`: the pixel
 * callback is called for all of the surface even if nothing changed. */
void display_hurry(struct display *display, bool whole);

/* A key goes down or up, once the keyboard has room for it: it holds some fifteen keys, and people paste.
 * Keys that a guest does not take for two seconds are forgotten. */
void display_key(struct display *display, unsigned code, bool down);
/* The screen as it is now, nothing in the dark half of its blinking. NULL without a card. */
const struct display_surface *display_snapshot(struct display *display);
bool display_text(struct display *display, struct display_text *text, unsigned *width, unsigned *height);
const struct display_input *display_input(const struct display *display);
struct loop *display_loop(const struct display *display);

/* ---- image.c ---- */

/* Writes PNG or PPM: by `format` ("png", "ppm"), else by the end of the name, else PPM. */
bool display_write_image(const struct display_surface *surface, const char *path, const char *format,
                         GError **error);
