/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Handlers of the options about the screen: graphics card, displays, keyboard layout; and what they come to
 * when all is read (options_finish_display).
 *
 * There is a card when it is asked for, when something is to show it, and when firmware is booted; not when a
 * kernel is started directly without a display: such a machine speaks through its serial port. Firmware that
 * is booted without a word about display gets a window where there is a desktop, else the terminal for its
 * screen.
 */
#include "emu/options_internal.h"

#include "emu/display/backends.h"

#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

#define LATER(key_, help_)                                                                                   \
    {                                                                                                        \
        key_, KEYVAL_LATER, .help = help_                                                                    \
    }

enum { VNC_PORT = 5900, VNC_DISPLAYS = 65536 - VNC_PORT, VNCS_MOST = 4 };

/* ---- -vnc ---- */

static const struct keyval_row vnc_rows[] = {
    {"vnc", KEYVAL_STRING, .help = "[HOST]:DISPLAY, unix:PATH or none"},
    {"to", KEYVAL_NUMBER, .help = "the last display to try when others are taken", .max = VNC_DISPLAYS - 1},
    {"password", KEYVAL_BOOL, .help = "viewers need one: `set_password vnc …` in the monitor"},
    {"share", KEYVAL_CHOICE, "allow-exclusive|force-shared|ignore",
     "a viewer that wants to be alone: the others go, it is turned away, it is not (ignore)"},
    {"reverse", KEYVAL_BOOL, .help = "connect to a viewer that listens at HOST:PORT"},
    {"password-secret", KEYVAL_NAME, .help = "id of the -object secret that is the password"},
    {"lossy", KEYVAL_BOOL},
    {"non-adaptive", KEYVAL_BOOL},
    {"lock-key-sync", KEYVAL_BOOL},
    {"key-delay-ms", KEYVAL_NUMBER},
    {"id", KEYVAL_NAME},
    LATER("websocket", "use a viewer that speaks RFB over TCP"),
    LATER("tls-creds", "use a UNIX socket, or an SSH tunnel to the loopback address"),
    LATER("tls-authz", "use a UNIX socket, or an SSH tunnel to the loopback address"),
    LATER("sasl", "use password=on"),
    LATER("acl", "use password=on"),
    {"audiodev", KEYVAL_NAME},
    LATER("power-control", "use the monitor"),
    LATER("display", "there is one graphics card"),
    LATER("head", "there is one graphics card"),
};
const struct keyval_table option_vnc_table = {"-vnc", vnc_rows, G_N_ELEMENTS(vnc_rows), "vnc"};

bool option_vnc(struct options *o, const char *arg, GError **error)
{
    o->has_display = true;
    if (g_str_equal(arg, "help")) {
        GString *text = g_string_new("Keys of -vnc:\n");
        keyval_describe(&option_vnc_table, text);
        return option_print(o, text);
    }
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_vnc_table, arg, error);
    if (!kv || !keyval_require(kv, "vnc", error))
        return false;
    const char *where = keyval_string(kv, "vnc", "");
    if (g_str_equal(where, "none"))
        return true;
    if (o->config->vncs->len == VNCS_MOST)
        return option_fail(error, "there are %d VNC servers already", VNCS_MOST);
    const char *share = keyval_string(kv, "share", "ignore");
    if (keyval_has(kv, "password") && keyval_has(kv, "password-secret"))
        return option_fail(error, "password= and password-secret= exclude each other: leave one out");
    struct machine_vnc vnc = {.password =
                                  keyval_bool(kv, "password", false) || keyval_has(kv, "password-secret"),
                              .reverse = keyval_bool(kv, "reverse", false),
                              .share = g_str_equal(share, "ignore")            ? MACHINE_SHARE_IGNORE
                                       : g_str_equal(share, "allow-exclusive") ? MACHINE_SHARE_EXCLUSIVE
                                                                               : MACHINE_SHARE_FORCED};
    if (g_str_has_prefix(where, "unix:")) {
        if (!where[strlen("unix:")])
            return option_fail(error, "unix: needs the path of a socket, as unix:/run/screen.vnc");
        if (keyval_has(kv, "to") || vnc.reverse)
            return option_fail(error, "%s is for displays with numbers; leave it out with unix:",
                               vnc.reverse ? "reverse" : "to=");
        vnc.where = g_strdup(where);
    } else {
        const char *colon = strrchr(where, ':');
        uint64_t display, to;
        if (!colon || !colon[1])
            return option_fail(error,
                               "'%s' is no place for a VNC server: give :0 (port %d of this host alone), "
                               "ADDRESS:0, unix:PATH or none",
                               where, VNC_PORT);
        if (!keyval_parse_number("display", colon + 1, 0, VNC_DISPLAYS - 1, &display, error))
            return false;
        if (vnc.reverse && keyval_has(kv, "to"))
            return option_fail(error, "to= is for servers that listen; leave it out with reverse");
        to = keyval_number(kv, "to", display);
        if (to < display)
            return option_fail(error, "to=%" G_GUINT64_FORMAT " is less than the display's own number", to);
        vnc.where = colon == where ? g_strdup("127.0.0.1") : g_strndup(where, (gsize)(colon - where));
        vnc.port = (unsigned)(vnc.reverse ? display : VNC_PORT + display); /* a port, then */
        vnc.port_to = (unsigned)(VNC_PORT + to);
    }
    vnc.secret = g_strdup(keyval_string(kv, "password-secret", NULL));
    g_ptr_array_add(o->config->vncs, g_memdup2(&vnc, sizeof vnc));
    return true;
}

/* ---- -display ---- */

bool option_curses(struct options *o, const char *arg, GError **error)
{
    o->config->curses = o->has_display = true;
    return true;
}

static const struct keyval_row sdl_rows[] = {
    {"type", KEYVAL_STRING},
    {"window-close", KEYVAL_BOOL, .help = "closing the window ends the machine (on)"},
    {"window_close", KEYVAL_BOOL},
    {"frame", KEYVAL_BOOL, .help = "the window has a frame (on)"},
    {"alt_grab", KEYVAL_BOOL, .help = "Ctrl-Alt-Shift instead of Ctrl-Alt"},
    {"alt-grab", KEYVAL_BOOL},
    {"ctrl_grab", KEYVAL_BOOL, .help = "the right Ctrl instead of Ctrl-Alt"},
    {"ctrl-grab", KEYVAL_BOOL},
    {"grab-mod", KEYVAL_CHOICE, "lshift-lctrl-lalt|rctrl|lctrl-lalt", "the keys instead of Ctrl-Alt"},
    {"show-cursor", KEYVAL_BOOL, .help = "the desktop's pointer stays to be seen"},
    {"full-screen", KEYVAL_BOOL, .help = "begin with the whole screen"},
    {"gl", KEYVAL_CHOICE, "off", "pictures are not drawn by OpenGL"},
};
static const struct keyval_table sdl_table = {"", sdl_rows, G_N_ELEMENTS(sdl_rows), "type"};

static bool either(const struct keyval *kv, const char *key, const char *other, bool fallback)
{
    return keyval_bool(kv, key, keyval_bool(kv, other, fallback));
}

bool option_sdl(struct options *o, const char *arg, GError **error)
{
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&sdl_table, arg ? arg : "sdl", error);
    struct machine_window *window = &o->config->window;
    if (!kv)
        return false;
    if (!desktop_built())
        return option_fail(
            error, "this netlab-emu was built without SDL; use -vnc :0 and a viewer, or build it with "
                   "Debian's package libsdl2-dev installed");
    o->has_display = window->open = true;
    window->no_close |= !either(kv, "window-close", "window_close", true);
    window->no_frame |= !keyval_bool(kv, "frame", true);
    window->full_screen |= keyval_bool(kv, "full-screen", false);
    window->show_cursor |= keyval_bool(kv, "show-cursor", false);
    const char *mod = keyval_string(kv, "grab-mod", "");
    if (either(kv, "alt_grab", "alt-grab", false) || g_str_equal(mod, "lshift-lctrl-lalt"))
        window->grab = MACHINE_GRAB_CTRL_ALT_SHIFT;
    if (either(kv, "ctrl_grab", "ctrl-grab", false) || g_str_equal(mod, "rctrl"))
        window->grab = MACHINE_GRAB_RIGHT_CTRL;
    return true;
}

/* Words about the window that do not open one by themselves. */
bool option_no_quit(struct options *o, const char *arg, GError **error)
{
    return o->config->window.no_close = true;
}

bool option_no_frame(struct options *o, const char *arg, GError **error)
{
    return o->config->window.no_frame = true;
}

bool option_full_screen(struct options *o, const char *arg, GError **error)
{
    return o->config->window.full_screen = true;
}

bool option_show_cursor(struct options *o, const char *arg, GError **error)
{
    return o->config->window.show_cursor = true;
}

bool option_alt_grab(struct options *o, const char *arg, GError **error)
{
    o->config->window.grab = MACHINE_GRAB_CTRL_ALT_SHIFT;
    return true;
}

bool option_ctrl_grab(struct options *o, const char *arg, GError **error)
{
    o->config->window.grab = MACHINE_GRAB_RIGHT_CTRL;
    return true;
}

bool option_display(struct options *o, const char *arg, GError **error)
{
    static const struct {
        const char *name, *instead;
    } later[] = {{"gtk", "use -display sdl, or -vnc :0 and a viewer"},
                 {"cocoa", "it is macOS's; use -display sdl or -vnc :0"},
                 {"egl-headless", "there is no OpenGL for guests; use -vnc :0"},
                 {"spice-app", "there is no SPICE; use -vnc :0"},
                 {"dbus", "use -vnc unix:PATH"}};
    static const char *const here[] = {"none", "curses", "vnc", "sdl"};
    if (g_str_equal(arg, "help"))
        return option_print(o, g_string_new(desktop_built()
                                                ? "Displays:\n"
                                                  "  none\n"
                                                  "  curses   the screen's characters on this terminal\n"
                                                  "  vnc=:N   a VNC server, as -vnc\n"
                                                  "  sdl      a window on the desktop; -display sdl,help\n"
                                                : "Displays:\n"
                                                  "  none\n"
                                                  "  curses   the screen's characters on this terminal\n"
                                                  "  vnc=:N   a VNC server, as -vnc\n"));
    if (g_str_has_prefix(arg, "vnc="))
        return option_vnc(o, arg + strlen("vnc="), error);
    g_autofree char *given = g_strndup(arg, strcspn(arg, ",")), *word = NULL;
    word = g_strdup(g_str_has_prefix(given, "type=") ? given + strlen("type=") : given);
    if (g_str_equal(arg + strlen(given), ",help") && g_str_equal(word, "sdl")) {
        GString *text = g_string_new("Keys of -display sdl:\n");
        keyval_describe(&sdl_table, text);
        return option_print(o, text);
    }
    if (g_str_equal(word, "sdl"))
        return option_sdl(o, arg, error);
    o->has_display = true;
    if (g_str_equal(word, "none"))
        return true;
    if (g_str_equal(word, "curses"))
        return option_curses(o, NULL, error);
    if (g_str_equal(word, "vnc"))
        return option_fail(error, "vnc needs a place: -display vnc=:0");
    for (size_t i = 0; i < G_N_ELEMENTS(later); i++)
        if (g_str_equal(later[i].name, word))
            return option_fail(error, "display '%s' is QEMU's and not in netlab-emu yet; %s", word,
                               later[i].instead);
    g_autofree char *suggestion = keyval_suggestion(word, here, G_N_ELEMENTS(here));
    return option_fail(error, "no display '%s'%s; there are: none, curses, vnc, sdl", word, suggestion);
}

bool option_keyboard(struct options *o, const char *arg, GError **error)
{
    if (g_str_equal(arg, "help")) {
        GString *text = g_string_new("Keyboard layouts:");
        keymap_describe(text);
        return option_print(o, text);
    }
    if (!keymap_find(arg)) {
        g_autoptr(GString) text = g_string_new(NULL);
        keymap_describe(text);
        return option_fail(error, "no keyboard layout '%s'; there are:%s", arg, text->str);
    }
    g_free(o->config->keyboard);
    o->config->keyboard = g_strdup(arg);
    return true;
}

/* ---- the card ---- */

bool option_vga(struct options *o, const char *arg, GError **error)
{
    static const char *const later[] = {"cirrus", "vmware", "qxl", "virtio", "xenfb", "cg3", "tcx"};
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?"))
        return option_print(o, g_string_new("Graphics cards:\n  std    VGA with Bochs VBE\n  none\n"));
    if (g_str_equal(arg, "none") || g_str_equal(arg, "std")) {
        o->vga = g_str_equal(arg, "std") ? OPTION_VGA_STD : OPTION_VGA_NONE;
        return true;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(later); i++)
        if (g_str_equal(later[i], arg))
            return option_fail(error, "VGA '%s' is QEMU's and not in netlab-emu yet; use -vga std or none",
                               arg);
    return option_fail(error, "no VGA '%s'; there are: std, none", arg);
}

/* "WxH" or "WxHxDEPTH", the depth being the guest's choice: what the monitor prefers. */
bool option_geometry(struct options *o, const char *arg, GError **error)
{
    g_auto(GStrv) words = g_strsplit(arg, "x", 4);
    unsigned count = g_strv_length(words);
    guint64 width, height, depth = 32;
    if (count < 2 || count > 3 || !g_ascii_string_to_unsigned(words[0], 10, 640, 4088, &width, NULL) ||
        !g_ascii_string_to_unsigned(words[1], 10, 400, 4088, &height, NULL) ||
        (count == 3 && !g_ascii_string_to_unsigned(words[2], 10, 8, 32, &depth, NULL)))
        return option_fail(error, "a size is WIDTHxHEIGHT, from 640x400 to 4088x4088, as 1280x800");
    o->config->vga_width = (unsigned)width;
    o->config->vga_height = (unsigned)height;
    return true;
}

bool option_vga_memory(struct options *o, uint64_t mib, GError **error)
{
    if (!mib || mib & (mib - 1))
        return option_fail(error, "vgamem_mb=%" G_GUINT64_FORMAT ": a power of two from 1 to 256", mib);
    o->config->vga_memory = (uint32_t)mib << 20;
    return true;
}

static bool finish_vnc_secrets(struct options *o, GError **error)
{
    for (guint i = 0; i < o->config->vncs->len; i++) {
        struct machine_vnc *vnc = o->config->vncs->pdata[i];
        char *text = vnc->secret ? options_secret_text(o, vnc->secret, "-vnc password-secret", error) : NULL;
        if (vnc->secret && !text)
            return false;
        g_free(vnc->secret);
        vnc->secret = text;
    }
    return true;
}

bool options_finish_display(struct options *o, GError **error)
{
    if (!finish_vnc_secrets(o, error))
        return false;
    struct machine_config *config = o->config;
    /* Firmware and what it boots speak to the screen. On a desktop that is a window; else the terminal. */
    bool alone = !config->direct && !o->has_display && !config->daemonize && o->vga != OPTION_VGA_NONE &&
                 !config->no_guest;
    bool desktop = g_getenv("DISPLAY") || g_getenv("WAYLAND_DISPLAY");
    if (alone && desktop && desktop_possible())
        config->window.open = o->has_display = true;
    else if (alone && !options_use_stdio(o) && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        config->curses = o->has_display = true;
    bool shown = config->curses || config->vncs->len || config->window.open;
    switch (o->vga) {
    case OPTION_VGA_STD:
        config->vga = true;
        break;
    case OPTION_VGA_NONE:
        config->vga = false;
        if (shown)
            option_note(o, "the display has nothing to show: -vga none");
        break;
    case OPTION_VGA_AUTO:
        config->vga = shown || (!config->direct && !config->no_guest && !o->nodefaults);
        break;
    }
    if (config->vga && !o->vga_device) {
        KEYVAL_AUTO struct keyval *defaults = option_globals(o, "VGA", error);
        if (!defaults || (keyval_has(defaults, "vgamem_mb") &&
                          !option_vga_memory(o, keyval_number(defaults, "vgamem_mb", 16), error)))
            return false;
    }
    config->vga_wanted = config->vga && (shown || o->vga == OPTION_VGA_STD);
    if (config->curses && config->daemonize)
        return option_fail(error, "-daemonize and -curses exclude each other: use -vnc");
    if (config->window.open && config->daemonize)
        return option_fail(error, "-daemonize and a window exclude each other: use -vnc");
    if (config->window.open && o->nographic)
        return option_fail(error, "-nographic and -display sdl exclude each other: leave one out");
    if (config->curses && o->nographic)
        return option_fail(error, "-nographic and -curses exclude each other: leave one out");
    return true;
}
