/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The screen between a graphics card and those who look at it.
 *
 *   card ──draw, text──► display ──pixels, look──► viewers (vnc.c, curses.c)
 *   keyboard, mouse ◄──── input ◄────────────────────┘
 *
 * Beside the card's screen there may be text consoles (-chardev vc); every viewer has one of them in front.
 *
 * The card is looked at only while a viewer is active, by a host timer: 30 times a second while something
 * moves, four times a second when nothing has for a while. Without active viewers there is no timer. All
 * functions are for the machine's thread.
 */
#pragma once

#include "emu/display/surface.h"

#include <glib.h>

struct display;
struct display_console;
struct display_viewer;
struct loop;

enum { DISPLAY_CONSOLES_MOST = 9 }; /* the card's screen (0) and text consoles */

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
    /* A mouse that takes positions: 0 to 65535 from left to right and top to bottom. NULL, or false: none is
     * in use, and mouse() counts. */
    bool (*pointer)(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons);
    bool (*absolute)(void *opaque);
    unsigned (*key_room)(void *opaque); /* as i8042_key_room() */
    unsigned (*leds)(void *opaque);     /* as i8042_leds() */
};

/* video NULL: there is no card, and screens say so. Both structs are copied. The card is not asked before a
 * viewer is active. */
struct display *display_new(struct loop *loop, const struct display_video *video,
                            const struct display_input *input, GError **error);
void display_free(struct display *display); /* viewers are freed before; NULL is allowed */

struct display_viewer_ops {
    /* What is in front has changed within the rectangle; `resized`: it is another one. May be NULL. */
    void (*pixels)(void *opaque, const struct display_surface *surface, const struct display_rect *changed,
                   bool resized);
    /* Time to look for itself (display_text()); returns whether something had changed. May be NULL. */
    bool (*look)(void *opaque);
    /* Another console is in front, the machine was stopped or goes on, the guest's mouse is another. May be
     * NULL. */
    void (*changed)(void *opaque);
};
/* `ops` must live as long as the viewer, which is inactive at first. */
struct display_viewer *display_add_viewer(struct display *display, const struct display_viewer_ops *ops,
                                          void *opaque);
void display_remove_viewer(struct display_viewer *viewer); /* NULL is allowed */
void display_set_active(struct display_viewer *viewer, bool active);
/* Look again right now, and often for a while: a key was pressed, a viewer has come. `whole`: the pixel
 * callback is called for all of the surface even if nothing changed. */
void display_hurry(struct display *display, bool whole);

/* ---- text consoles ---- */

struct display_console_config {
    const char *title;
    unsigned columns, rows;
    void (*typed)(void *opaque, const uint8_t *data, size_t len); /* what the terminal sends */
    void *opaque;
};
/* Before there are viewers. NULL when there are DISPLAY_CONSOLES_MOST. The display owns it. */
struct display_console *display_add_console(struct display *display,
                                            const struct display_console_config *config);
void display_console_write(struct display_console *console, const uint8_t *data, size_t len);
/* The letters of text consoles, 256 × 8 × 16 dots; must outlive the display. */
void display_set_font(struct display *display, const uint8_t *font);
/* How many consoles there are, the card's screen included; and what number `index` is called. */
unsigned display_consoles(const struct display *display);
const char *display_console_title(const struct display *display, unsigned index);
/* Puts console `index` in front of this viewer; false: there is none. */
bool display_show(struct display_viewer *viewer, unsigned index);
unsigned display_front(const struct display_viewer *viewer);
/* A key went down in a viewer that has a text console in front: as an X11 keysym. */
void display_console_key(struct display_viewer *viewer, uint32_t keysym, bool shift, bool ctrl, bool alt);
/* The characters in front of this viewer, as display_text(). */
bool display_front_text(struct display_viewer *viewer, struct display_text *text, unsigned *width,
                        unsigned *height);

/* ---- the machine ---- */

/* It stands still, or goes on; or absolute() has changed: viewers are told. */
void display_set_stopped(struct display *display, bool stopped);
bool display_stopped(const struct display *display);
void display_tell_changed(struct display *display);
/* The pointer is at (x, y) of a picture of this size. *last_x and *last_y are where it was, -1 before that;
 * they are brought up to date. */
void display_pointer(struct display *display, int x, int y, unsigned width, unsigned height, int dz,
                     unsigned buttons, int *last_x, int *last_y);

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
