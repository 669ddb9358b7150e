/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Keyboard layouts as the characters on the keys, row by row, plain and shifted and with AltGr; a key's set 1
 * code is its place in the row. Keysyms are X11's: Latin-1 ones are the character, 0x01xxxxxx Unicode, 0xffxx
 * keys without a character.
 */
#include "emu/display/keymap.h"

#include <string.h>

/* Rows begin at the set 1 codes 0x02, 0x10, 0x1e and 0x2c; the key 0x29 and the extra ones follow. A space in
 * a row is no character. */
static const struct {
    uint8_t first, keys;
} places[] = {{0x02, 12}, {0x10, 12}, {0x1e, 11}, {0x2c, 10}, {0x29, 1}, {0x2b, 1}, {0x56, 1}};

struct keymap {
    const char *name;
    const char *plain[G_N_ELEMENTS(places)], *shifted[G_N_ELEMENTS(places)], *altgr[G_N_ELEMENTS(places)];
};

static const struct keymap maps[] = {
    {"en-us",
     {"1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "`", "\\", "<"},
     {"!@#$%^&*()_+", "QWERTYUIOP{}", "ASDFGHJKL:\"", "ZXCVBNM<>?", "~", "|", ">"},
     {NULL}},
    {"en-gb",
     {"1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "`", "#", "\\"},
     {"!\"£$%^&*()_+", "QWERTYUIOP{}", "ASDFGHJKL:@", "ZXCVBNM<>?", "¬", "~", "|"},
     {"   €        ", NULL}},
    {"de",
     {"1234567890ß´", "qwertzuiopü+", "asdfghjklöä", "yxcvbnm,.-", "^", "#", "<"},
     {"!\"§$%&/()=?`", "QWERTZUIOPÜ*", "ASDFGHJKLÖÄ", "YXCVBNM;:_", "°", "'", ">"},
     {" ²³   {[]}\\ ", "@ €        ~", NULL, "      µ   ", NULL, NULL, "|"}},
    {"fr",
     {"&é\"'(-è_çà)=", "azertyuiop^$", "qsdfghjklmù", "wxcvbn,;:!", "²", "*", "<"},
     {"1234567890°+", "AZERTYUIOP¨£", "QSDFGHJKLM%", "WXCVBN?./§", " ", "µ", ">"},
     {" ~#{[|`\\^@]}", "  €         ", NULL}},
};

const struct keymap *keymap_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(maps); i++)
        if (g_str_equal(maps[i].name, name) || (g_str_equal(name, "us") && i == 0))
            return &maps[i];
    return NULL;
}

void keymap_describe(GString *out)
{
    for (size_t i = 0; i < G_N_ELEMENTS(maps); i++)
        g_string_append_printf(out, " %s", maps[i].name);
}

static bool look_in(const char *const rows[], gunichar character, uint8_t modifiers, struct keymap_key *key)
{
    for (size_t row = 0; row < G_N_ELEMENTS(places) && character != ' '; row++) {
        unsigned at = 0;
        for (const char *c = rows[row]; c && *c && at < places[row].keys; c = g_utf8_next_char(c), at++) {
            if (g_utf8_get_char(c) == character) {
                *key = (struct keymap_key){(uint16_t)(places[row].first + at), modifiers};
                return true;
            }
        }
    }
    return false;
}

bool keymap_of_character(const struct keymap *map, gunichar character, struct keymap_key *key)
{
    static const struct {
        gunichar character;
        uint16_t code;
    } always[] = {{' ', 0x39},         {'\r', CODE_ENTER},     {'\n', CODE_ENTER},    {'\t', CODE_TAB},
                  {0x1b, CODE_ESCAPE}, {'\b', CODE_BACKSPACE}, {0x7f, CODE_BACKSPACE}};
    for (size_t i = 0; i < G_N_ELEMENTS(always); i++) {
        if (always[i].character == character) {
            *key = (struct keymap_key){always[i].code, 0};
            return true;
        }
    }
    return look_in(map->plain, character, 0, key) || look_in(map->shifted, character, KEYMAP_SHIFT, key) ||
           look_in(map->altgr, character, KEYMAP_ALTGR, key);
}

bool keymap_of_keysym(const struct keymap *map, uint32_t keysym, struct keymap_key *key)
{
    /* From X11's keysymdef.h. */
    static const struct {
        uint16_t keysym, code;
    } rows[] = {
        {0xff08, CODE_BACKSPACE}, {0xff09, CODE_TAB},   {0xfe20, CODE_TAB}, /* with Shift */
        {0xff0d, CODE_ENTER},     {0xff13, 0x145},                          /* Pause */
        {0xff14, 0x46},                                                     /* Scroll Lock */
        {0xff15, 0x137},                                                    /* SysRq */
        {0xff61, 0x137},                                                    /* Print */
        {0xff1b, CODE_ESCAPE},    {0xffff, 0x153},                          /* Delete */
        {0xff50, 0x147},                                                    /* Home */
        {0xff51, 0x14b},          {0xff52, 0x148},      {0xff53, 0x14d},
        {0xff54, 0x150},          {0xff55, 0x149}, /* Page Up */
        {0xff56, 0x151},          {0xff57, 0x14f}, /* End */
        {0xff63, 0x152},                           /* Insert */
        {0xff67, 0x15d},                           /* Menu */
        {0xff6b, 0x146},                           /* Break */
        {0xff7f, 0x45},                            /* Num Lock */
        {0xff8d, 0x11c},                           /* keypad */
        {0xff95, 0x47},           {0xff96, 0x4b},       {0xff97, 0x48},
        {0xff98, 0x4d},           {0xff99, 0x50},       {0xff9a, 0x49},
        {0xff9b, 0x51},           {0xff9c, 0x4f},       {0xff9d, 0x4c},
        {0xff9e, 0x52},           {0xff9f, 0x53},       {0xffaa, 0x37},
        {0xffab, 0x4e},           {0xffad, 0x4a},       {0xffae, 0x53},
        {0xffaf, 0x135},          {0xffb0, 0x52},       {0xffb1, 0x4f},
        {0xffb2, 0x50},           {0xffb3, 0x51},       {0xffb4, 0x4b},
        {0xffb5, 0x4c},           {0xffb6, 0x4d},       {0xffb7, 0x47},
        {0xffb8, 0x48},           {0xffb9, 0x49},       {0xffc8, 0x57}, /* F11 */
        {0xffc9, 0x58},           {0xffe1, CODE_SHIFT}, {0xffe2, CODE_SHIFT_RIGHT},
        {0xffe3, CODE_CTRL},      {0xffe4, 0x11d},      {0xffe5, CODE_CAPS},
        {0xffe7, 0x15b}, /* Meta */
        {0xffe8, 0x15c},          {0xffe9, CODE_ALT},   {0xffea, CODE_ALTGR},
        {0xfe03, CODE_ALTGR},     {0xff7e, CODE_ALTGR}, {0xffeb, 0x15b}, /* Super */
        {0xffec, 0x15c},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].keysym == keysym) {
            *key = (struct keymap_key){rows[i].code, 0};
            return true;
        }
    }
    if (keysym >= 0xffbe && keysym <= 0xffc7) { /* F1–F10 */
        *key = (struct keymap_key){(uint16_t)(0x3b + keysym - 0xffbe), 0};
        return true;
    }
    if (keysym >= 0x01000000 && keysym <= 0x0110ffff)
        keysym -= 0x01000000;
    else if (keysym == 0x20ac)
        keysym = 0x20ac; /* the euro sign is its own */
    else if (keysym > 0xff)
        return false;
    return keysym >= ' ' && keymap_of_character(map, keysym, key);
}
