/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Keyboard layouts: which key, with which modifiers, gives a character.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct keymap;

enum { KEYMAP_SHIFT = 1, KEYMAP_ALTGR = 2 };

/* Codes as i8042_key() takes them. */
enum {
    CODE_ESCAPE = 0x01,
    CODE_BACKSPACE = 0x0e,
    CODE_TAB = 0x0f,
    CODE_ENTER = 0x1c,
    CODE_CTRL = 0x1d,
    CODE_SHIFT = 0x2a,
    CODE_SHIFT_RIGHT = 0x36,
    CODE_ALT = 0x38,
    CODE_CAPS = 0x3a,
    CODE_ALTGR = 0x138,
};

struct keymap_key {
    uint16_t code;
    uint8_t modifiers;
};

/* "en-us", "de"…; NULL: there is none of that name. */
const struct keymap *keymap_find(const char *name);
/* Appends " name" for each. */
void keymap_describe(GString *out);
/* The key that gives this character (Unicode); false when the layout has none. */
bool keymap_of_character(const struct keymap *map, gunichar character, struct keymap_key *key);
/* The key for an X11 keysym: characters by the layout, other keys by their place. */
bool keymap_of_keysym(const struct keymap *map, uint32_t keysym, struct keymap_key *key);
