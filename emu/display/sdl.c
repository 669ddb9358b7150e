/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A window on the desktop, by SDL 2.
 *
 * SDL wants its window and its events on one thread, and waits for both; so it has a thread of its own, as
 * the VNC server has, with its own copy of the picture. Between the threads is `shared`, under its lock: the
 * picture with the rectangle that is new in it, what the title says, and what was typed. The machine's thread
 * wakes SDL's by an event, the other way round it is an eventfd. All of SDL but SDL_PushEvent is called on
 * its thread. The library is loaded with the first window: it and what it needs would treble the start of
 * every other machine.
 *
 * Keys are where they are on the keyboard, whatever the layout here: their SDL scancodes, which are those of
 * USB, become the codes of a PC keyboard, and the guest's layout says what they mean. In front of a text
 * console they are the characters of the layout here. A mouse that moves is the guest's after a click into
 * the window, until Ctrl-Alt-G; where the guest takes positions (vmmouse) no grab is needed.
 */
#include "emu/display/backends.h"

#include "emu/machine/loop.h"
#include "emu/trace.h"

#include <gio/gio.h>
#include <string.h>

#ifdef NETLAB_SDL

#include <SDL.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVENTS_MOST = 512, EMPTY_WIDTH = 640, EMPTY_HEIGHT = 480, LOOK_MS = 1000, CODES = 0x200 };

#define SDL_FUNCTIONS(X)                                                                                     \
    X(SDL_SetHint)                                                                                           \
    X(SDL_InitSubSystem)                                                                                     \
    X(SDL_GetCurrentVideoDriver)                                                                             \
    X(SDL_Quit)                                                                                              \
    X(SDL_GetError)                                                                                          \
    X(SDL_RegisterEvents)                                                                                    \
    X(SDL_PushEvent)                                                                                         \
    X(SDL_WaitEventTimeout)                                                                                  \
    X(SDL_CreateWindow)                                                                                      \
    X(SDL_DestroyWindow)                                                                                     \
    X(SDL_SetWindowTitle)                                                                                    \
    X(SDL_SetWindowSize)                                                                                     \
    X(SDL_GetWindowSize)                                                                                     \
    X(SDL_SetWindowFullscreen)                                                                               \
    X(SDL_SetWindowGrab)                                                                                     \
    X(SDL_SetRelativeMouseMode)                                                                              \
    X(SDL_ShowCursor)                                                                                        \
    X(SDL_CreateRenderer)                                                                                    \
    X(SDL_DestroyRenderer)                                                                                   \
    X(SDL_CreateTexture)                                                                                     \
    X(SDL_DestroyTexture)                                                                                    \
    X(SDL_UpdateTexture)                                                                                     \
    X(SDL_RenderSetLogicalSize)                                                                              \
    X(SDL_RenderClear)                                                                                       \
    X(SDL_RenderCopy)                                                                                        \
    X(SDL_RenderPresent)                                                                                     \
    X(SDL_SetRenderDrawColor)                                                                                \
    X(SDL_StartTextInput)                                                                                    \
    X(SDL_StopTextInput)                                                                                     \
    X(SDL_GetModState)

struct sdl {
#define X(name) __typeof__(name) *name##_;
    SDL_FUNCTIONS(X)
#undef X
};

struct event {
    enum { EVENT_KEY, EVENT_TEXT, EVENT_MOTION, EVENT_POINTER, EVENT_SHOW, EVENT_CLOSE } kind;
    uint32_t code; /* of a key; a keysym; a console's number */
    bool down, shift, ctrl, alt;
    int x, y, z;
    unsigned buttons, width, height;
};

struct shared {
    pthread_mutex_t lock;
    pthread_cond_t started;
    enum { STARTING, STARTED, FAILED } state;
    char *failure;
    bool quit, woken; /* woken: an event is under way */
    uint32_t *pixels;
    unsigned width, height;
    struct display_rect changed;
    bool resized, retitled;
    char *title; /* of the console in front; NULL: the guest's screen */
    bool stopped, absolute;
    struct event events[EVENTS_MOST];
    unsigned event_count;
};

struct desktop {
    struct sdl sdl;
    struct display *display;
    struct shared shared;
    char *name;
    struct desktop_config config;
    void (*quit)(void *opaque);
    void *opaque;
    uint32_t wake_event;

    /* the machine's thread */
    struct display_viewer *viewer;
    struct loop_fd *watch;
    int to_machine;
    int x, y;

    /* SDL's thread */
    pthread_t thread;
    bool running;
    SDL_Window *window;
    SDL_Renderer *renderer;
    SDL_Texture *texture;
    unsigned texture_width, texture_height;
    bool grabbed, grabbed_before, full_screen, console, absolute, scaled;
    unsigned buttons;
    int pointer_x, pointer_y;
    bool down[CODES];
};

/* ---- the machine's side ---- */

/* Wakes SDL's thread; the lock is held. */
static void wake_window(struct desktop *w)
{
    struct shared *s = &w->shared;
    if (s->state != STARTED || s->woken)
        return;
    SDL_Event event = {.type = w->wake_event};
    s->woken = w->sdl.SDL_PushEvent_(&event) == 1;
}

static void viewer_pixels(void *opaque, const struct display_surface *surface,
                          const struct display_rect *changed, bool resized)
{
    struct desktop *w = opaque;
    struct shared *s = &w->shared;
    struct display_rect r = *changed;
    pthread_mutex_lock(&s->lock);
    if (!s->pixels || s->width != surface->width || s->height != surface->height) {
        g_free(s->pixels);
        s->pixels = g_new(uint32_t, (size_t)surface->width * surface->height);
        s->width = surface->width;
        s->height = surface->height;
        s->resized = true;
        s->changed = (struct display_rect){0};
        r = (struct display_rect){0, 0, s->width, s->height};
    }
    for (unsigned y = r.y; y < r.y + r.height; y++)
        memcpy(s->pixels + (size_t)y * s->width + r.x, surface->pixels + (size_t)y * s->width + r.x,
               r.width * sizeof *s->pixels);
    if (s->changed.height) {
        unsigned right = MAX(s->changed.x + s->changed.width, r.x + r.width);
        unsigned bottom = MAX(s->changed.y + s->changed.height, r.y + r.height);
        r.x = MIN(r.x, s->changed.x);
        r.y = MIN(r.y, s->changed.y);
        r.width = right - r.x;
        r.height = bottom - r.y;
    }
    s->changed = r;
    wake_window(w);
    pthread_mutex_unlock(&s->lock);
}

static void viewer_changed(void *opaque)
{
    struct desktop *w = opaque;
    struct shared *s = &w->shared;
    const struct display_input *input = display_input(w->display);
    unsigned front = display_front(w->viewer);
    pthread_mutex_lock(&s->lock);
    g_free(s->title);
    s->title = front ? g_strdup(display_console_title(w->display, front)) : NULL;
    s->stopped = display_stopped(w->display);
    s->absolute = input->absolute && input->absolute(input->opaque);
    s->retitled = true;
    wake_window(w);
    pthread_mutex_unlock(&s->lock);
}

static const struct display_viewer_ops viewer_ops = {.pixels = viewer_pixels, .changed = viewer_changed};

static void take_event(struct desktop *w, const struct event *e)
{
    const struct display_input *input = display_input(w->display);
    switch (e->kind) {
    case EVENT_KEY:
        if (!display_front(w->viewer) || !e->down)
            display_key(w->display, e->code, e->down);
        break;
    case EVENT_TEXT:
        display_console_key(w->viewer, e->code, e->shift, e->ctrl, e->alt);
        break;
    case EVENT_MOTION:
        if (!display_front(w->viewer))
            input->mouse(input->opaque, e->x, e->y, e->z, e->buttons);
        break;
    case EVENT_POINTER:
        if (!display_front(w->viewer))
            display_pointer(w->display, e->x, e->y, e->width, e->height, e->z, e->buttons, &w->x, &w->y);
        break;
    case EVENT_SHOW:
        display_show(w->viewer, e->code);
        break;
    case EVENT_CLOSE:
        w->quit(w->opaque);
        break;
    }
}

static void machine_ready(void *opaque, unsigned ready)
{
    struct desktop *w = opaque;
    struct shared *s = &w->shared;
    g_autofree struct event *events = g_new(struct event, EVENTS_MOST);
    uint64_t ignored;
    ssize_t got = read(w->to_machine, &ignored, sizeof ignored);
    (void)got;
    pthread_mutex_lock(&s->lock);
    unsigned count = s->event_count;
    memcpy(events, s->events, count * sizeof *events);
    s->event_count = 0;
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < count; i++)
        take_event(w, &events[i]);
    if (count)
        display_hurry(w->display, false);
}

/* ---- SDL's side ---- */

static void post(struct desktop *w, const struct event *event)
{
    struct shared *s = &w->shared;
    uint64_t one = 1;
    pthread_mutex_lock(&s->lock);
    struct event *last = s->event_count ? &s->events[s->event_count - 1] : NULL;
    if (last && last->kind == event->kind && event->kind == EVENT_MOTION && last->buttons == event->buttons) {
        last->x += event->x;
        last->y += event->y;
        last->z += event->z;
    } else if (s->event_count < EVENTS_MOST) {
        s->events[s->event_count++] = *event;
    }
    pthread_mutex_unlock(&s->lock);
    ssize_t put = write(w->to_machine, &one, sizeof one);
    (void)put; /* full: it is awake */
}

/* The PC keyboard's code for a key's place; 0: it has none. USB HID Usage Tables, "Keyboard page". */
static unsigned code_of(SDL_Scancode scancode)
{
    static const uint16_t codes[] = {
        [0x04] = 0x1e,  0x30,  0x2e,  0x20,  0x12,  0x21,  0x22,  0x23,  0x17,  0x24, 0x25, 0x26,
        0x32, /* A–M */
        [0x11] = 0x31,  0x18,  0x19,  0x10,  0x13,  0x1f,  0x14,  0x16,  0x2f,  0x11, 0x2d, 0x15,
        0x2c,                                                                         /* N–Z */
        [0x1e] = 0x02,  0x03,  0x04,  0x05,  0x06,  0x07,  0x08,  0x09,  0x0a,  0x0b, /* 1–0 */
        [0x28] = 0x1c,  0x01,  0x0e,  0x0f,  0x39,  0x0c,  0x0d,  0x1a,  0x1b,  0x2b, 0x2b, 0x27,
        0x28,                                      /* Enter … ' */
        [0x35] = 0x29,  0x33,  0x34,  0x35,  0x3a, /* ` , . / Caps */
        [0x3a] = 0x3b,  0x3c,  0x3d,  0x3e,  0x3f,  0x40,  0x41,  0x42,  0x43,  0x44, 0x57, 0x58, /* F1–F12 */
        [0x46] = 0x137, 0x46,  0x145, 0x152, 0x147, 0x149, 0x153, 0x14f, 0x151, /* Print … Page Down */
        [0x4f] = 0x14d, 0x14b, 0x150, 0x148,                                    /* cursor keys */
        [0x53] = 0x45,  0x135, 0x37,  0x4a,  0x4e,  0x11c,                      /* number pad */
        [0x59] = 0x4f,  0x50,  0x51,  0x4b,  0x4c,  0x4d,  0x47,  0x48,  0x49,  0x52, 0x53, [0x64] = 0x56,
        0x15d,          0x15e,                                           /* <, Menu, Power */
        [0xe0] = 0x1d,  0x2a,  0x38,  0x15b, 0x11d, 0x36,  0x138, 0x15c, /* modifiers */
    };
    return (size_t)scancode < G_N_ELEMENTS(codes) ? codes[scancode] : 0;
}

/* The keysym of a key that is no character, 0: it is one, or none at all. */
static uint32_t keysym_of(SDL_Scancode scancode, bool numbers)
{
    static const uint16_t keysyms[] = {
        [0x28] = 0xff0d, 0xff1b, 0xff08,          0xff09, [0x3a] = 0xffbe, 0xffbf,          0xffc0,
        0xffc1,          0xffc2, 0xffc3,          0xffc4, 0xffc5,          0xffc6,          0xffc7,
        0xffc8,          0xffc9, [0x49] = 0xff63, 0xff50, 0xff55,          0xffff,          0xff57,
        0xff56,          0xff53, 0xff51,          0xff54, 0xff52,          [0x58] = 0xff8d,
    };
    static const uint16_t pad[] = {0xff9c, 0xff99, 0xff9b, 0xff96, 0,     0xff98,
                                   0xff95, 0xff97, 0xff9a, 0xff9e, 0xff9f};
    if (!numbers && scancode >= 0x59 && scancode <= 0x63)
        return pad[scancode - 0x59];
    return (size_t)scancode < G_N_ELEMENTS(keysyms) ? keysyms[scancode] : 0;
}

static void send_key(struct desktop *w, unsigned code, bool down)
{
    w->down[code] = down;
    post(w, &(struct event){.kind = EVENT_KEY, .code = code, .down = down});
}

static void release_keys(struct desktop *w)
{
    for (unsigned code = 0; code < CODES; code++)
        if (w->down[code])
            send_key(w, code, false);
}

static void set_title(struct desktop *w)
{
    static const char *const keys[] = {[WINDOW_GRAB_CTRL_ALT] = "Ctrl-Alt-G",
                                       [WINDOW_GRAB_CTRL_ALT_SHIFT] = "Ctrl-Alt-Shift-G",
                                       [WINDOW_GRAB_RIGHT_CTRL] = "Right Ctrl-G"};
    struct shared *s = &w->shared;
    g_autoptr(GString) title = g_string_new("netlab-emu");
    pthread_mutex_lock(&s->lock);
    if (w->name)
        g_string_append_printf(title, " (%s)", w->name);
    if (s->title)
        g_string_append_printf(title, " - %s", s->title);
    if (s->stopped)
        g_string_append(title, " [Stopped]");
    pthread_mutex_unlock(&s->lock);
    if (w->grabbed)
        g_string_append_printf(title, " - Press %s to release grab", keys[w->config.grab]);
    w->sdl.SDL_SetWindowTitle_(w->window, title->str);
}

static void set_grab(struct desktop *w, bool grab)
{
    if (w->grabbed == grab)
        return;
    w->grabbed = grab;
    w->sdl.SDL_SetWindowGrab_(w->window, grab ? SDL_TRUE : SDL_FALSE);
    w->sdl.SDL_SetRelativeMouseMode_(grab && !w->absolute ? SDL_TRUE : SDL_FALSE);
    w->sdl.SDL_ShowCursor_((grab || w->absolute) && !w->config.show_cursor ? SDL_DISABLE : SDL_ENABLE);
    set_title(w);
}

static void natural_size(struct desktop *w)
{
    w->scaled = false;
    if (!w->full_screen && w->texture)
        w->sdl.SDL_SetWindowSize_(w->window, (int)w->texture_width, (int)w->texture_height);
}

static void zoom(struct desktop *w, int by)
{
    int width, height;
    w->sdl.SDL_GetWindowSize_(w->window, &width, &height);
    unsigned percent = (unsigned)width * 100 / MAX(w->texture_width, 1u);
    percent = CLAMP((percent + 12) / 25 * 25 + (unsigned)(by * 25), 50, 400);
    w->scaled = percent != 100;
    if (!w->full_screen)
        w->sdl.SDL_SetWindowSize_(w->window, (int)(w->texture_width * percent / 100),
                                  (int)(w->texture_height * percent / 100));
}

static void set_full_screen(struct desktop *w, bool full)
{
    w->full_screen = full;
    w->sdl.SDL_SetWindowFullscreen_(w->window, full ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
    if (full) {
        w->grabbed_before = w->grabbed;
        set_grab(w, !w->console);
    } else {
        set_grab(w, w->grabbed_before && !w->console);
        if (!w->scaled)
            natural_size(w);
    }
}

static void draw(struct desktop *w)
{
    w->sdl.SDL_RenderClear_(w->renderer);
    if (w->texture)
        w->sdl.SDL_RenderCopy_(w->renderer, w->texture, NULL, NULL);
    w->sdl.SDL_RenderPresent_(w->renderer);
}

static void new_texture(struct desktop *w, unsigned width, unsigned height)
{
    if (w->texture)
        w->sdl.SDL_DestroyTexture_(w->texture);
    w->texture = w->sdl.SDL_CreateTexture_(w->renderer, SDL_PIXELFORMAT_RGB888, SDL_TEXTUREACCESS_STREAMING,
                                           (int)width, (int)height);
    w->texture_width = width;
    w->texture_height = height;
    w->sdl.SDL_RenderSetLogicalSize_(w->renderer, (int)width, (int)height);
    if (!w->full_screen && !w->scaled)
        w->sdl.SDL_SetWindowSize_(w->window, (int)width, (int)height);
}

/* Takes over what the machine's side has left. False: the end. */
static bool take_shared(struct desktop *w)
{
    struct shared *s = &w->shared;
    pthread_mutex_lock(&s->lock);
    bool quit = s->quit, retitled = s->retitled, console = s->title != NULL, absolute = s->absolute;
    struct display_rect r = s->changed;
    s->woken = s->retitled = false;
    if (s->resized)
        new_texture(w, s->width, s->height);
    if (r.height && w->texture) {
        const SDL_Rect rect = {(int)r.x, (int)r.y, (int)r.width, (int)r.height};
        w->sdl.SDL_UpdateTexture_(w->texture, &rect, s->pixels + (size_t)r.y * s->width + r.x,
                                  (int)(s->width * sizeof(uint32_t)));
    }
    s->changed = (struct display_rect){0};
    s->resized = false;
    pthread_mutex_unlock(&s->lock);
    if (quit)
        return false;
    if (retitled) {
        bool grab = w->grabbed && !console;
        if (absolute != w->absolute && w->grabbed)
            set_grab(w, false);
        w->absolute = absolute;
        w->console = console;
        w->sdl.SDL_ShowCursor_((grab || (absolute && !console)) && !w->config.show_cursor ? SDL_DISABLE
                                                                                          : SDL_ENABLE);
        set_grab(w, grab);
        set_title(w);
    }
    if (r.height)
        draw(w);
    return true;
}

/* Whether exactly the keys are held that make G, F and digits ours. */
static bool is_ours(const struct desktop *w, unsigned modifiers)
{
    switch (w->config.grab) {
    case WINDOW_GRAB_CTRL_ALT:
        return (modifiers & (KMOD_LCTRL | KMOD_LALT)) == (KMOD_LCTRL | KMOD_LALT);
    case WINDOW_GRAB_CTRL_ALT_SHIFT:
        return (modifiers & (KMOD_LCTRL | KMOD_LALT | KMOD_LSHIFT)) == (KMOD_LCTRL | KMOD_LALT | KMOD_LSHIFT);
    case WINDOW_GRAB_RIGHT_CTRL:
        return modifiers & KMOD_RCTRL;
    }
    return false;
}

/* A key for the window itself; false: it is not one. */
static bool window_key(struct desktop *w, SDL_Scancode scancode)
{
    if (scancode >= SDL_SCANCODE_1 && scancode <= SDL_SCANCODE_9) {
        release_keys(w);
        post(w, &(struct event){.kind = EVENT_SHOW, .code = (uint32_t)(scancode - SDL_SCANCODE_1)});
        return true;
    }
    switch ((int)scancode) {
    case SDL_SCANCODE_F:
        release_keys(w);
        set_full_screen(w, !w->full_screen);
        return true;
    case SDL_SCANCODE_G:
        release_keys(w);
        set_grab(w, !w->grabbed && !w->console);
        return true;
    case SDL_SCANCODE_U:
        release_keys(w);
        natural_size(w);
        return true;
    case SDL_SCANCODE_KP_PLUS:
    case SDL_SCANCODE_EQUALS:
    case SDL_SCANCODE_KP_MINUS:
    case SDL_SCANCODE_MINUS:
        release_keys(w);
        zoom(w, scancode == SDL_SCANCODE_KP_PLUS || scancode == SDL_SCANCODE_EQUALS ? 1 : -1);
        return true;
    default:
        return false;
    }
}

static void post_text(struct desktop *w, uint32_t keysym, unsigned modifiers)
{
    post(w, &(struct event){.kind = EVENT_TEXT,
                            .code = keysym,
                            .shift = modifiers & KMOD_SHIFT,
                            .ctrl = modifiers & KMOD_CTRL,
                            .alt = modifiers & KMOD_LALT});
}

static void key_event(struct desktop *w, const SDL_KeyboardEvent *key)
{
    bool down = key->type == SDL_KEYDOWN;
    unsigned modifiers = key->keysym.mod, code = code_of(key->keysym.scancode);
    if (down && !key->repeat && is_ours(w, modifiers) && window_key(w, key->keysym.scancode))
        return;
    if (w->console && down) {
        uint32_t keysym = keysym_of(key->keysym.scancode, modifiers & KMOD_NUM);
        bool commanded = modifiers & (KMOD_CTRL | KMOD_LALT); /* no text comes of it */
        if (!keysym && commanded && key->keysym.sym >= ' ' && key->keysym.sym < 0x7f)
            keysym = (uint32_t)key->keysym.sym;
        if (keysym)
            post_text(w, keysym, modifiers);
        return;
    }
    if (code && !key->repeat && (down || w->down[code])) /* the guest's keyboard repeats by itself */
        send_key(w, code, down);
}

static void text_event(struct desktop *w, const SDL_TextInputEvent *text)
{
    unsigned modifiers = w->sdl.SDL_GetModState_();
    if (!w->console || modifiers & (KMOD_CTRL | KMOD_LALT))
        return;
    for (const char *c = text->text; *c; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char_validated(c, -1);
        if (character >= (gunichar)-2)
            return;
        post_text(w, character < 0x100 ? character : 0x01000000 + character, 0);
    }
}

/* Bit 0 left, 1 right, 2 middle. */
static unsigned button_bit(uint8_t button)
{
    return button == SDL_BUTTON_LEFT     ? 1
           : button == SDL_BUTTON_RIGHT  ? 2
           : button == SDL_BUTTON_MIDDLE ? 4
                                         : 0;
}

static void mouse_event(struct desktop *w, int x, int y, int dx, int dy, int dz)
{
    if (w->console)
        return;
    if (w->absolute)
        post(w, &(struct event){.kind = EVENT_POINTER,
                                .x = x,
                                .y = y,
                                .z = dz,
                                .width = w->texture_width,
                                .height = w->texture_height,
                                .buttons = w->buttons});
    else if (w->grabbed)
        post(w, &(struct event){.kind = EVENT_MOTION, .x = dx, .y = dy, .z = dz, .buttons = w->buttons});
}

static void button_event(struct desktop *w, const SDL_MouseButtonEvent *button)
{
    bool down = button->type == SDL_MOUSEBUTTONDOWN;
    if (down && !w->grabbed && !w->absolute &&
        !w->console) { /* the click that takes the mouse is not the guest's */
        set_grab(w, true);
        return;
    }
    if (down)
        w->buttons |= button_bit(button->button);
    else
        w->buttons &= ~button_bit(button->button);
    mouse_event(w, button->x, button->y, 0, 0, 0);
}

static void window_event(struct desktop *w, const SDL_WindowEvent *event)
{
    switch (event->event) {
    case SDL_WINDOWEVENT_EXPOSED:
        draw(w);
        break;
    case SDL_WINDOWEVENT_RESIZED: /* by the user or the desktop, not by us */
        w->scaled = !w->full_screen && w->texture &&
                    (event->data1 != (int)w->texture_width || event->data2 != (int)w->texture_height);
        draw(w);
        break;
    case SDL_WINDOWEVENT_FOCUS_LOST:
        release_keys(w);
        set_grab(w, false);
        break;
    case SDL_WINDOWEVENT_CLOSE:
        if (!w->config.no_close)
            post(w, &(struct event){.kind = EVENT_CLOSE});
        break;
    default:
        break;
    }
}

static void take_sdl(struct desktop *w, const SDL_Event *event)
{
    switch (event->type) {
    case SDL_KEYDOWN:
    case SDL_KEYUP:
        key_event(w, &event->key);
        break;
    case SDL_TEXTINPUT:
        text_event(w, &event->text);
        break;
    case SDL_MOUSEMOTION:
        w->pointer_x = event->motion.x;
        w->pointer_y = event->motion.y;
        mouse_event(w, event->motion.x, event->motion.y, event->motion.xrel, event->motion.yrel, 0);
        break;
    case SDL_MOUSEBUTTONDOWN:
    case SDL_MOUSEBUTTONUP:
        button_event(w, &event->button);
        break;
    case SDL_MOUSEWHEEL:
        mouse_event(w, w->pointer_x, w->pointer_y, 0, 0, -event->wheel.y);
        break;
    case SDL_WINDOWEVENT:
        window_event(w, &event->window);
        break;
    default: /* SDL_QUIT comes with the window's own */
        break;
    }
}

/* Without a desktop SDL 2 draws into memory that nobody sees, and calls that a success. */
static bool is_seen(const struct desktop *w)
{
    const char *driver = w->sdl.SDL_GetCurrentVideoDriver_();
    return g_getenv("SDL_VIDEODRIVER") || (driver && strcmp(driver, "offscreen") && strcmp(driver, "dummy"));
}

static int x_error(void *display, void *event)
{
    (void)display;
    (void)event;
    trace(DISPLAY, "the X server refused a request");
    return 0;
}

/*
 * Xlib ends the process at a request that the X server refuses, unless it is told otherwise; a machine does
 * not end for its window. One such request: SDL_PushEvent wakes SDL's thread by an event to the window, over
 * a connection of its own, and the window may be gone when it arrives (SDL 2.26, X11_SendWakeupEvent). Before
 * SDL starts, for at its end it puts back what it found and then hears the last answers.
 */
static void survive_x_errors(void)
{
    void *library = g_getenv("DISPLAY") ? dlopen("libX11.so.6", RTLD_NOW | RTLD_LOCAL) : NULL;
    void *(*set_handler)(int (*)(void *, void *)) =
        library ? (__typeof__(set_handler))dlsym(library, "XSetErrorHandler") : NULL;
    if (set_handler)
        set_handler(x_error);
}

/* False, with *why NULL: as SDL_GetError() says. */
static bool open_window(struct desktop *w, const char **why)
{
    const struct sdl *f = &w->sdl;
    f->SDL_SetHint_(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
    f->SDL_SetHint_(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
    f->SDL_SetHint_(SDL_HINT_GRAB_KEYBOARD, "1");
    f->SDL_SetHint_(SDL_HINT_RENDER_DRIVER, "software");
    f->SDL_SetHint_(SDL_HINT_FRAMEBUFFER_ACCELERATION, "0");
    *why = NULL;
    survive_x_errors();
    if (f->SDL_InitSubSystem_(SDL_INIT_VIDEO))
        return false;
    if (!is_seen(w)) {
        *why = "no desktop can be reached";
        return false;
    }
    w->wake_event = f->SDL_RegisterEvents_(1);
    w->window = f->SDL_CreateWindow_("netlab-emu", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED,
                                     EMPTY_WIDTH, EMPTY_HEIGHT,
                                     SDL_WINDOW_RESIZABLE | (w->config.no_frame ? SDL_WINDOW_BORDERLESS : 0));
    w->renderer = w->window ? f->SDL_CreateRenderer_(w->window, -1, 0) : NULL;
    if (!w->renderer)
        return false;
    f->SDL_SetRenderDrawColor_(w->renderer, 0, 0, 0, 255);
    f->SDL_StartTextInput_();
    set_title(w);
    draw(w);
    if (w->config.full_screen)
        set_full_screen(w, true);
    return true;
}

static void close_window(struct desktop *w)
{
    if (w->texture)
        w->sdl.SDL_DestroyTexture_(w->texture);
    if (w->renderer)
        w->sdl.SDL_DestroyRenderer_(w->renderer);
    if (w->window)
        w->sdl.SDL_DestroyWindow_(w->window);
    w->sdl.SDL_Quit_();
}

static void *serve(void *opaque)
{
    struct desktop *w = opaque;
    struct shared *s = &w->shared;
    const char *why;
    bool good = open_window(w, &why);
    pthread_mutex_lock(&s->lock);
    s->state = good ? STARTED : FAILED;
    if (!good)
        s->failure = g_strdup(why ? why : w->sdl.SDL_GetError_());
    pthread_cond_signal(&s->started);
    pthread_mutex_unlock(&s->lock);
    SDL_Event event;
    while (good) {
        /* without a window SDL wakes nobody, so it is looked from time to time */
        bool got = w->sdl.SDL_WaitEventTimeout_(&event, LOOK_MS);
        if (got && event.type != w->wake_event)
            take_sdl(w, &event);
        else if (!take_shared(w))
            break;
    }
    close_window(w);
    return NULL;
}

/* ---- life ---- */

static void *open_library(void)
{
    return dlopen("libSDL2-2.0.so.0", RTLD_NOW | RTLD_LOCAL);
}

static bool load_library(struct desktop *w, GError **error)
{
    void *library = open_library(); /* it stays: what it needs has exit handlers */
    bool whole = library != NULL;
#define TEXT(name) #name
#define X(name)                                                                                              \
    if (whole)                                                                                               \
        whole = (w->sdl.name##_ = (__typeof__(name) *)dlsym(library, TEXT(name))) != NULL;
    SDL_FUNCTIONS(X)
#undef X
#undef TEXT
    if (!whole)
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
            "a window needs the library SDL 2: %s (install Debian's package libsdl2-2.0-0, or use -vnc :0)",
            dlerror());
    return whole;
}

bool desktop_built(void)
{
    return true;
}

bool desktop_possible(void)
{
    return open_library() != NULL;
}

struct desktop *desktop_new(struct display *display, const struct desktop_config *config,
                            void (*quit)(void *opaque), void *opaque, GError **error)
{
    struct desktop *w = g_new0(struct desktop, 1);
    sigset_t all, before;
    w->display = display;
    w->config = *config;
    w->name = g_strdup(config->name);
    w->quit = quit;
    w->opaque = opaque;
    w->x = w->y = -1;
    w->to_machine = -1;
    pthread_mutex_init(&w->shared.lock, NULL);
    pthread_cond_init(&w->shared.started, NULL);
    if (!load_library(w, error)) {
        desktop_free(w);
        return NULL;
    }
    w->to_machine = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int why = errno;
    if (w->to_machine >= 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        why = pthread_create(&w->thread, NULL, serve, w);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        w->running = !why;
    }
    if (!w->running) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(why), "starting the window: %s",
                    g_strerror(why));
        desktop_free(w);
        return NULL;
    }
    pthread_mutex_lock(&w->shared.lock);
    while (w->shared.state == STARTING)
        pthread_cond_wait(&w->shared.started, &w->shared.lock);
    bool failed = w->shared.state == FAILED;
    pthread_mutex_unlock(&w->shared.lock);
    if (failed) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
            "no window can be opened: %s (is DISPLAY or WAYLAND_DISPLAY set? -vnc :0 needs no desktop)",
            w->shared.failure);
        desktop_free(w);
        return NULL;
    }
    w->viewer = display_add_viewer(display, &viewer_ops, w);
    w->watch = loop_add_fd(display_loop(display), w->to_machine, LOOP_READ, machine_ready, w);
    viewer_changed(w);
    display_set_active(w->viewer, true);
    return w;
}

void desktop_free(struct desktop *w)
{
    if (!w)
        return;
    if (w->running) {
        pthread_mutex_lock(&w->shared.lock);
        w->shared.quit = true;
        w->shared.woken = false;
        wake_window(w);
        pthread_mutex_unlock(&w->shared.lock);
        pthread_join(w->thread, NULL);
    }
    loop_remove_fd(w->watch);
    display_remove_viewer(w->viewer);
    if (w->to_machine >= 0)
        close(w->to_machine);
    pthread_cond_destroy(&w->shared.started);
    pthread_mutex_destroy(&w->shared.lock);
    g_free(w->shared.pixels);
    g_free(w->shared.title);
    g_free(w->shared.failure);
    g_free(w->name);
    g_free(w);
}

#else /* !NETLAB_SDL */

bool desktop_built(void)
{
    return false;
}

bool desktop_possible(void)
{
    return false;
}

struct desktop *desktop_new(struct display *display, const struct desktop_config *config,
                            void (*quit)(void *opaque), void *opaque, GError **error)
{
    g_set_error_literal(
        error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
        "this netlab-emu was built without SDL; use -vnc :0 and a viewer, or build it with Debian's "
        "package libsdl2-dev installed");
    return NULL;
}

void desktop_free(struct desktop *window)
{
}

#endif
