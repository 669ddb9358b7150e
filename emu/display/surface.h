/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What a graphics card draws and a display shows: pixels, a part of them, a screen of characters.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    DISPLAY_WIDTH_MOST = 4096 + 512, /* no card draws more */
    DISPLAY_HEIGHT_MOST = 4096,
    DISPLAY_COLUMNS_MOST = 256,
    DISPLAY_ROWS_MOST = 256,
};

/* Pixels from left to right, top to bottom, each 0x00RRGGBB. `pixels` is owned by whoever has the struct and
 * is replaced (g_realloc) by the card when the size changes. */
struct display_surface {
    uint32_t *pixels;
    unsigned width, height;
};

/* Empty when width or height is 0. */
struct display_rect {
    unsigned x, y, width, height;
};

struct display_cell {
    uint8_t code;      /* in the character set of the card, code page 437 unless the guest loaded another */
    uint8_t attribute; /* bits 0–3 foreground, 4–6 background, 7 blink or bright background */
};

struct display_text {
    unsigned columns, rows;
    int cursor_column, cursor_row; /* -1: none is shown */
    bool blink;                    /* what attribute bit 7 means */
    struct display_cell
        cells[DISPLAY_ROWS_MOST * DISPLAY_COLUMNS_MOST]; /* a row after the other, columns wide */
};
