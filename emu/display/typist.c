/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * From what a viewer's user means to what a PC keyboard does: see backends.h.
 *
 * A viewer sends modifiers and characters. The character says which key of the guest's layout is meant and
 * with which modifiers; where those differ from the ones held down (another layout on the viewer's side, or a
 * program that only sends characters) they are pressed or let go around the key. With Caps Lock on in the
 * guest, letters want Shift the other way round.
 */
#include "emu/display/backends.h"

#include <string.h>

void typist_init(struct typist *t, struct display *display, const struct keymap *keymap)
{
    *t = (struct typist){.display = display, .keymap = keymap};
}

static void key(struct typist *t, unsigned code, bool down)
{
    t->down[code & 0x1ff] = down;
    display_key(t->display, code, down);
}

static bool is_modifier(unsigned code)
{
    return code == CODE_SHIFT || code == CODE_SHIFT_RIGHT || (code & 0xff) == CODE_CTRL ||
           (code & 0xff) == CODE_ALT;
}

/* Presses or lets go Shift and AltGr so that `want` are down; returns what has to be undone. */
static unsigned adjust(struct typist *t, unsigned want)
{
    unsigned changed = 0;
    bool shift = t->down[CODE_SHIFT] || t->down[CODE_SHIFT_RIGHT], altgr = t->down[CODE_ALTGR];
    if (shift != ((want & KEYMAP_SHIFT) != 0)) {
        changed |= KEYMAP_SHIFT;
        if (!shift) {
            display_key(t->display, CODE_SHIFT, true);
        } else {
            if (t->down[CODE_SHIFT])
                display_key(t->display, CODE_SHIFT, false);
            if (t->down[CODE_SHIFT_RIGHT])
                display_key(t->display, CODE_SHIFT_RIGHT, false);
        }
    }
    if (altgr != ((want & KEYMAP_ALTGR) != 0)) {
        changed |= KEYMAP_ALTGR;
        display_key(t->display, CODE_ALTGR, !altgr);
    }
    return changed;
}

static void restore(struct typist *t, unsigned changed)
{
    if (changed & KEYMAP_ALTGR)
        display_key(t->display, CODE_ALTGR, t->down[CODE_ALTGR]);
    if (!(changed & KEYMAP_SHIFT))
        return;
    if (!t->down[CODE_SHIFT] && !t->down[CODE_SHIFT_RIGHT])
        display_key(t->display, CODE_SHIFT, false);
    if (t->down[CODE_SHIFT])
        display_key(t->display, CODE_SHIFT, true);
    if (t->down[CODE_SHIFT_RIGHT])
        display_key(t->display, CODE_SHIFT_RIGHT, true);
}

static unsigned modifiers_for(const struct typist *t, gunichar character, unsigned modifiers)
{
    const struct display_input *input = display_input(t->display);
    bool caps = input->leds(input->opaque) & 4;
    return caps && g_unichar_isalpha(character) && !(modifiers & KEYMAP_ALTGR) ? modifiers ^ KEYMAP_SHIFT
                                                                               : modifiers;
}

static void release(struct typist *t, uint32_t keysym)
{
    bool found = false;
    for (size_t i = 0; i < G_N_ELEMENTS(t->held_code); i++) {
        if (t->held_code[i] && t->held_keysym[i] == keysym) {
            key(t, t->held_code[i], false);
            t->held_code[i] = 0;
            found = true;
        }
    }
    /* Pressed as '(' and let go as '8' after Shift was: whatever is down is meant. */
    for (size_t i = 0; i < G_N_ELEMENTS(t->held_code) && !found; i++) {
        if (t->held_code[i])
            key(t, t->held_code[i], false);
        t->held_code[i] = 0;
    }
}

static void press(struct typist *t, uint32_t keysym, struct keymap_key k)
{
    bool character = keysym < 0xff00 || keysym >= 0x01000000;
    unsigned changed = 0;
    bool commanded = t->down[CODE_CTRL] || t->down[CODE_CTRL | 0x100] || t->down[CODE_ALT];
    if (character && keysym != ' ' && !commanded) {
        gunichar c = keysym >= 0x01000000 ? keysym - 0x01000000 : keysym;
        changed = adjust(t, modifiers_for(t, c, k.modifiers));
    }
    key(t, k.code, true);
    restore(t, changed);
    for (size_t i = 0; i < G_N_ELEMENTS(t->held_code); i++) {
        if (t->held_code[i] == k.code || !t->held_code[i]) {
            t->held_code[i] = k.code;
            t->held_keysym[i] = keysym;
            return;
        }
    }
    key(t, k.code, false); /* more keys than fingers */
}

/* Keeps track of the viewer's own modifiers. */
static void note_modifier(struct typist *t, uint32_t keysym, bool down)
{
    if (keysym == 0xffe1 || keysym == 0xffe2)
        t->shift = down;
    else if (keysym == 0xffe3 || keysym == 0xffe4)
        t->ctrl = down;
    else if (keysym == 0xffe9)
        t->alt = down;
}

/* Ctrl-Alt and a key of the row of digits, whatever character the layout has there. */
static bool switch_console(struct typist *t, uint32_t keysym)
{
    struct keymap_key k;
    unsigned index = keysym >= '1' && keysym <= '9' ? keysym - '1' : DISPLAY_CONSOLES_MOST;
    if (index == DISPLAY_CONSOLES_MOST && keymap_of_keysym(t->keymap, keysym, &k) && k.code >= 0x02 &&
        k.code <= 0x0a)
        index = k.code - 0x02u;
    if (!t->viewer || !t->ctrl || !t->alt || display_consoles(t->display) == 1 ||
        !display_show(t->viewer, index))
        return false;
    bool shift = t->shift;
    typist_release_all(t);
    t->ctrl = t->alt = true; /* they are still held over there */
    t->shift = shift;
    return true;
}

void typist_keysym(struct typist *t, uint32_t keysym, bool down)
{
    struct keymap_key k;
    note_modifier(t, keysym, down);
    if (down && switch_console(t, keysym))
        return;
    if (t->viewer && display_front(t->viewer)) {
        if (down)
            display_console_key(t->viewer, keysym, t->shift, t->ctrl, t->alt);
        return;
    }
    bool known = keymap_of_keysym(t->keymap, keysym, &k);
    if (known && is_modifier(k.code))
        key(t, k.code, down);
    else if (!down)
        release(t, keysym);
    else if (known)
        press(t, keysym, k);
}

void typist_stroke(struct typist *t, unsigned code, unsigned modifiers, bool ctrl, bool alt)
{
    if (ctrl)
        key(t, CODE_CTRL, true);
    if (alt)
        key(t, CODE_ALT, true);
    unsigned changed = adjust(t, modifiers);
    key(t, code, true);
    key(t, code, false);
    restore(t, changed);
    if (alt)
        key(t, CODE_ALT, false);
    if (ctrl)
        key(t, CODE_CTRL, false);
}

bool typist_character(struct typist *t, gunichar character)
{
    struct keymap_key k;
    if (!keymap_of_character(t->keymap, character, &k))
        return false;
    typist_stroke(t, k.code, modifiers_for(t, character, k.modifiers), false, false);
    return true;
}

void typist_release_all(struct typist *t)
{
    for (unsigned code = 0; code < G_N_ELEMENTS(t->down); code++)
        if (t->down[code])
            key(t, code, false);
    memset(t->held_code, 0, sizeof t->held_code);
    t->shift = t->ctrl = t->alt = false;
}
