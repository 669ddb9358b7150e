/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Text consoles (-chardev vc): a terminal (vt.c) with a picture, and with a keyboard that sends characters.
 * What lists them and shows them is display.c; only emu/display includes this.
 */
#pragma once

#include "emu/display/display.h"
#include "emu/display/vt.h"

enum { CONSOLE_CELL_WIDTH = 8, CONSOLE_CELL_HEIGHT = 16 };

struct display_console {
    struct display *display;
    char *title;
    struct vt *vt;
    void (*typed)(void *opaque, const uint8_t *data, size_t len);
    void *opaque;

    struct display_surface surface; /* what was drawn last */
    struct display_text *drawn, *now;
    uint64_t drawn_version;
    const uint8_t *drawn_font;
};

struct display_console *console_new(struct display *display, const struct display_console_config *config);
void console_free(struct display_console *console);
/* As display_video.draw. font: 256 characters of 8×16 dots; NULL: letters cannot be seen. */
bool console_draw(struct display_console *console, const uint8_t *font, struct display_rect *changed);
/* A key went down, as an X11 keysym. */
void console_keysym(struct display_console *console, uint32_t keysym, bool shift, bool ctrl, bool alt);
