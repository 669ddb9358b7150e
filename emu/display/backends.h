/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Those who show the screen: VNC servers and the terminal.
 */
#pragma once

#include "emu/display/display.h"
#include "emu/display/keymap.h"

/* ---- vnc.c ---- */

struct vnc;

/* What becomes of the others when a viewer wants to be alone: nothing; they go; it is turned away. */
enum vnc_share { VNC_SHARE_IGNORE, VNC_SHARE_EXCLUSIVE, VNC_SHARE_FORCED };

struct vnc_peer {
    unsigned serial;
    const char *family;         /* "ipv4", "ipv6", "unix" */
    char host[64], service[16]; /* address and port; "" for a UNIX socket's */
    bool ready;                 /* has passed the password and sees the screen */
};

enum vnc_news { VNC_NEWS_CONNECTED, VNC_NEWS_INITIALIZED, VNC_NEWS_DISCONNECTED };

struct vnc_config {
    const char *where;      /* "unix:PATH", or an address or name of this host */
    unsigned port, port_to; /* the first free one of these */
    bool reverse;           /* connect to a viewer there that listens, instead of listening */
    enum vnc_share share;
    bool password;    /* wanted from viewers; nobody gets in before vnc_set_password() */
    const char *name; /* in the title of viewers' windows */
    const struct keymap *keymap;
    /* NULL, or called on the machine's thread. Who comes and goes at once may stay untold. */
    void (*news)(void *opaque, struct vnc *vnc, enum vnc_news news, const struct vnc_peer *peer);
    void *news_opaque;
};

struct vnc *vnc_new(struct display *display, const struct vnc_config *config, GError **error);
void vnc_free(struct vnc *vnc); /* NULL is allowed */
/* The first eight characters count (RFB 7.2.2). False when this server wants none. */
bool vnc_set_password(struct vnc *vnc, const char *password);
/* Nobody gets in with it from `when` on, in seconds since 1970; 0: it does not end. */
bool vnc_expire_password(struct vnc *vnc, int64_t when);
bool vnc_wants_password(const struct vnc *vnc);
const char *vnc_family(const struct vnc *vnc);  /* "ipv4", "ipv6", "unix" */
const char *vnc_host(const struct vnc *vnc);    /* address or path */
const char *vnc_service(const struct vnc *vnc); /* port, "" for a socket with a path */
unsigned vnc_viewers(struct vnc *vnc);
/* The viewers that news told of, in order; false: no more. */
bool vnc_peer(const struct vnc *vnc, unsigned index, struct vnc_peer *out);

/* ---- typist.c ---- */

/* Turns keysyms into the keys of the guest's keyboard, modifiers included. */
struct typist {
    struct display *display;
    struct display_viewer *viewer; /* whose keys these are; NULL: the guest's screen is all there is */
    const struct keymap *keymap;
    bool shift, ctrl, alt;    /* held on the viewer's side, whatever is in front */
    uint32_t held_keysym[16]; /* keys that are down, but modifiers; 0: free */
    uint16_t held_code[16];
    bool down[0x200]; /* by code */
};

void typist_init(struct typist *typist, struct display *display, const struct keymap *keymap);
/* To what is in front: the guest's keyboard, or a text console. Ctrl-Alt-1 … 9 puts another one there. */
void typist_keysym(struct typist *typist, uint32_t keysym, bool down);
/* A character as if typed: with its modifiers around it. False: the layout has no such key. */
bool typist_character(struct typist *typist, gunichar character);
/* Key and modifiers, pressed and let go. */
void typist_stroke(struct typist *typist, unsigned code, unsigned modifiers, bool ctrl, bool alt);
void typist_release_all(struct typist *typist);

/* ---- curses.c ---- */

struct terminal;

/* Takes the terminal of standard input and output. `quit` is called when it hangs up. */
struct terminal *terminal_new(struct display *display, const struct keymap *keymap,
                              void (*quit)(void *opaque), void *opaque, GError **error);
void terminal_free(struct terminal *terminal); /* NULL is allowed */

/* ---- sdl.c ---- */

struct desktop;

enum window_grab { WINDOW_GRAB_CTRL_ALT, WINDOW_GRAB_CTRL_ALT_SHIFT, WINDOW_GRAB_RIGHT_CTRL };

struct desktop_config {
    const char *name;      /* of the machine; NULL: none */
    enum window_grab grab; /* the keys that go with G, F, U and digits */
    bool no_close;         /* closing the window does nothing */
    bool no_frame, full_screen, show_cursor;
};

/* Whether this program was built with SDL, and whether its library is there. */
bool desktop_built(void);
bool desktop_possible(void);
/* Opens a window on the desktop. `quit` is called when it is closed. */
struct desktop *desktop_new(struct display *display, const struct desktop_config *config,
                            void (*quit)(void *opaque), void *opaque, GError **error);
void desktop_free(struct desktop *window); /* NULL is allowed */
