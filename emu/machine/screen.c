/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The machine's screen: the card, text consoles (vc), those who show them, and what a viewer's keys and mouse
 * reach.
 *
 * The display is there before the ports, since a port may be one of its consoles; the card comes with the
 * other PCI functions; viewers are last of all, for they take what is outside of the process.
 */
#include "emu/machine/machine_internal.h"

#include <gio/gio.h>

enum { VGA_SLOT = 2, VC_COLUMNS = 80, VC_ROWS = 24 };

static bool video_draw(void *opaque, struct display_surface *surface, bool steady,
                       struct display_rect *changed)
{
    return vga_draw(((struct machine *)opaque)->vga, surface, steady, changed);
}

static bool video_text(void *opaque, struct display_text *text, unsigned *width, unsigned *height)
{
    return vga_text(((struct machine *)opaque)->vga, text, width, height);
}

static void input_key(void *opaque, unsigned code, bool down)
{
    struct machine *m = opaque;
    if (down)
        piix4_pm_wake(m->pm);
    i8042_key(m->kbc, code, down);
}

void machine_mouse(struct machine *m, int dx, int dy, int dz, unsigned buttons)
{
    if (buttons)
        piix4_pm_wake(m->pm);
    for (guint i = 0; i < m->ports->len; i++) { /* a serial mouse whose port is open takes it */
        struct machine_port *slot = m->ports->pdata[i];
        if (char_is_mouse(slot->port) && char_mouse_move(slot->port, dx, dy, dz, buttons))
            return;
    }
    i8042_mouse(m->kbc, dx, dy, dz, buttons);
}

static void input_mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    struct machine *m = opaque;
    m->mouse_buttons = buttons;
    machine_mouse(m, dx, dy, dz, buttons);
}

static bool input_absolute(void *opaque)
{
    const struct machine *m = opaque;
    return m->vmport && vmport_absolute(m->vmport);
}

static bool input_pointer(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    struct machine *m = opaque;
    if (!input_absolute(m))
        return false;
    m->mouse_buttons = buttons;
    vmport_pointer(m->vmport, x, y, dz, buttons);
    return true;
}

static unsigned input_key_room(void *opaque)
{
    return i8042_key_room(((struct machine *)opaque)->kbc);
}

static unsigned input_leds(void *opaque)
{
    return i8042_leds(((struct machine *)opaque)->kbc);
}

/* The screen, before there is anything on it. */
bool machine_screen_new(struct machine *m, GError **error)
{
    const struct display_video video = {.opaque = m, .draw = video_draw, .text = video_text};
    const struct display_input input = {.opaque = m,
                                        .key = input_key,
                                        .mouse = input_mouse,
                                        .pointer = input_pointer,
                                        .absolute = input_absolute,
                                        .key_room = input_key_room,
                                        .leds = input_leds};
    m->display = display_new(m->loop, m->config->vga ? &video : NULL, &input, error);
    if (m->display && m->vga_font)
        display_set_font(m->display, m->vga_font);
    return m->display != NULL;
}

static void console_typed(void *opaque, const uint8_t *data, size_t len)
{
    char_vc_typed(((struct machine_port *)opaque)->port, data, len);
}

static void console_show(void *opaque, const uint8_t *data, size_t len)
{
    display_console_write(opaque, data, len);
}

bool machine_screen_port(struct machine *m, struct machine_port *slot, const struct char_spec *spec,
                         GError **error)
{
    if (!char_is_vc(slot->port))
        return true;
    struct display_console *console = display_add_console(
        m->display, &(struct display_console_config){.title = slot->id,
                                                     .columns = spec->columns ? spec->columns : VC_COLUMNS,
                                                     .rows = spec->rows ? spec->rows : VC_ROWS,
                                                     .typed = console_typed,
                                                     .opaque = slot});
    if (!console) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "%s: there are %d text consoles already; give it another back end than vc", slot->id,
                    DISPLAY_CONSOLES_MOST - 1);
        return false;
    }
    char_vc_attach(slot->port, console_show, console);
    return true;
}

static uint32_t vmport_get(void *opaque, unsigned reg)
{
    struct cpu_registers registers;
    cpu_get_registers(((struct machine *)opaque)->cpu, &registers);
    return registers.gpr[reg & 7];
}

static void vmport_set(void *opaque, unsigned reg, uint32_t value)
{
    cpu_debug_set_register(((struct machine *)opaque)->cpu, reg & 7, (const uint8_t *)&value);
}

static void vmport_nudge(void *opaque)
{
    i8042_mouse_nudge(((struct machine *)opaque)->kbc);
}

static void vmport_changed(void *opaque)
{
    display_tell_changed(((struct machine *)opaque)->display);
}

/* The card, whose memory lies behind the guest's in physmap_ram(), and the mouse that goes with a screen. */
bool machine_video_build(struct machine *m, GError **error)
{
    const struct machine_config *config = m->config;
    if (!config->vga)
        return true;
    if (config->vmport)
        m->vmport = machine_keep(
            m, vmport_new(m->io, &(struct vmport_board){.opaque = m,
                                                        .get = vmport_get,
                                                        .set = vmport_set,
                                                        .nudge = vmport_nudge,
                                                        .changed = vmport_changed,
                                                        .ram_mib = (uint32_t)(config->ram_size >> 20)}));
    struct vga_config card = {.id = config->vga_id ? config->vga_id : "VGA",
                              .slot = config->vga_slot < 0 ? VGA_SLOT : config->vga_slot,
                              .ram_offset = config->ram_size,
                              .memory = config->vga_memory,
                              .rom = m->vga_rom,
                              .rom_size = m->vga_rom_size,
                              .width = config->vga_width,
                              .height = config->vga_height};
    m->vga = machine_keep(m, vga_new(m->bus, m->io, m->clock, &card, error));
    return m->vga != NULL;
}

static void viewer_quit(void *opaque)
{
    machine_request(opaque, MACHINE_REQUEST_QUIT);
}

/* The inside of a JSON string. Addresses are the kernel's own words, but a socket's path is the user's. */
static char *json_text(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *out = g_string_new(NULL);
    for (const char *c = valid; *c; c++) {
        if ((unsigned char)*c < 0x20)
            g_string_append_printf(out, "\\u%04x", (unsigned char)*c);
        else if (*c == '"' || *c == '\\')
            g_string_append_printf(out, "\\%c", *c);
        else
            g_string_append_c(out, *c);
    }
    return g_string_free(out, FALSE);
}

static char *end_of_vnc(const char *host, const char *service, const char *family, const char *auth)
{
    g_autofree char *safe = json_text(host);
    return g_strdup_printf(
        "{\"host\": \"%s\", \"service\": \"%s\", \"family\": \"%s\", \"websocket\": false%s%s%s}", safe,
        service, family, auth ? ", \"auth\": \"" : "", auth ? auth : "", auth ? "\"" : "");
}

static void vnc_news(void *opaque, struct vnc *vnc, enum vnc_news news, const struct vnc_peer *peer)
{
    static const char *const names[] = {[VNC_NEWS_CONNECTED] = "VNC_CONNECTED",
                                        [VNC_NEWS_INITIALIZED] = "VNC_INITIALIZED",
                                        [VNC_NEWS_DISCONNECTED] = "VNC_DISCONNECTED"};
    struct machine *m = opaque;
    g_autofree char *server = end_of_vnc(vnc_host(vnc), vnc_service(vnc), vnc_family(vnc),
                                         vnc_wants_password(vnc) ? "vnc" : "none");
    g_autofree char *client = end_of_vnc(peer->host, peer->service, peer->family, NULL);
    g_autofree char *data = g_strdup_printf("\"server\": %s, \"client\": %s", server, client);
    if (m->control)
        control_event(m->control, names[news], data);
}

bool machine_displays_build(struct machine *m, GError **error)
{
    const struct machine_config *config = m->config;
    const struct keymap *keymap = keymap_find(config->keyboard ? config->keyboard : "en-us");
    for (guint i = 0; i < config->vncs->len; i++) {
        const struct machine_vnc *wanted = config->vncs->pdata[i];
        static const enum vnc_share shares[] = {[MACHINE_SHARE_IGNORE] = VNC_SHARE_IGNORE,
                                                [MACHINE_SHARE_EXCLUSIVE] = VNC_SHARE_EXCLUSIVE,
                                                [MACHINE_SHARE_FORCED] = VNC_SHARE_FORCED};
        if (wanted->reverse && config->check_only)
            continue;
        struct vnc *vnc = vnc_new(m->display,
                                  &(struct vnc_config){.where = wanted->where,
                                                       .port = wanted->port,
                                                       .port_to = wanted->port_to,
                                                       .password = wanted->password,
                                                       .reverse = wanted->reverse,
                                                       .share = shares[wanted->share],
                                                       .name = config->name,
                                                       .keymap = keymap,
                                                       .news = vnc_news,
                                                       .news_opaque = m},
                                  error);
        if (!vnc) {
            g_prefix_error(error, "-vnc: ");
            return false;
        }
        if (wanted->secret)
            vnc_set_password(vnc, wanted->secret);
        g_ptr_array_add(m->vncs, vnc);
    }
    if (config->window.open && !config->check_only) {
        static const enum window_grab grabs[] = {[MACHINE_GRAB_CTRL_ALT] = WINDOW_GRAB_CTRL_ALT,
                                                 [MACHINE_GRAB_CTRL_ALT_SHIFT] = WINDOW_GRAB_CTRL_ALT_SHIFT,
                                                 [MACHINE_GRAB_RIGHT_CTRL] = WINDOW_GRAB_RIGHT_CTRL};
        const struct machine_window *wanted = &config->window;
        m->window = desktop_new(m->display,
                                &(struct desktop_config){.name = config->name,
                                                         .grab = grabs[wanted->grab],
                                                         .no_close = wanted->no_close,
                                                         .no_frame = wanted->no_frame,
                                                         .full_screen = wanted->full_screen,
                                                         .show_cursor = wanted->show_cursor},
                                viewer_quit, m, error);
        if (!m->window) {
            g_prefix_error(error, "-display sdl: ");
            return false;
        }
    }
    if (config->curses && !config->check_only) {
        char_terminal_lend(false);
        m->terminal = terminal_new(m->display, keymap, viewer_quit, m, error);
        char_terminal_lend(m->terminal != NULL);
    }
    return !config->curses || config->check_only || m->terminal;
}
