/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The screen and its clock: see display.h.
 *
 * A timerfd in the loop makes the looks, so that they go on while guest time stands still (`stop`). After a
 * look that finds nothing the next one is half as much later again, up to a quarter of a second.
 */
#include "emu/display/display.h"

#include "emu/display/console.h"
#include "emu/machine/loop.h"
#include "emu/trace.h"

#include <errno.h>
#include <gio/gio.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { LOOK_SOONEST_MS = 33, LOOK_LATEST_MS = 250 };
enum { KEYS_MOST = 4096, KEY_BYTES_MOST = 8, KEY_RETRY_MS = 5, KEY_PATIENCE = 2000 / KEY_RETRY_MS };

struct display_viewer {
    struct display *display;
    const struct display_viewer_ops *ops;
    void *opaque;
    bool active;
    bool fresh;             /* it has to be given all of what is in front */
    unsigned front;         /* 0: the card's screen */
    unsigned width, height; /* of what it was given last */
};

struct display {
    struct loop *loop;
    struct display_video video;
    struct display_input input;
    struct display_surface surface;
    GPtrArray *viewers;  /* struct display_viewer * */
    GPtrArray *consoles; /* struct display_console *, number 1 first */
    const uint8_t *font;
    bool stopped;
    int timer;
    struct loop_fd *watch;
    unsigned interval_ms; /* 0: the timer is not armed */

    struct {
        int timer;
        struct loop_fd *watch;
        uint16_t ring[KEYS_MOST]; /* code, KEY_UP */
        unsigned first, count;
        unsigned waits; /* since the keyboard last took one */
        bool armed;
    } keys;
};

enum { KEY_UP = 0x8000 };

static bool anybody(const struct display *d)
{
    for (guint i = 0; i < d->viewers->len; i++)
        if (((struct display_viewer *)d->viewers->pdata[i])->active)
            return true;
    return false;
}

static void arm_timer(int timer, unsigned ms)
{
    struct itimerspec when = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}};
    (void)timerfd_settime(timer, 0, &when, NULL); /* cannot fail with these values */
}

static void arm(struct display *d, unsigned ms)
{
    d->interval_ms = ms;
    arm_timer(d->timer, ms);
}

/* Draws console `index` if somebody wants pixels of it. */
static bool draw(struct display *d, unsigned index, struct display_rect *changed)
{
    *changed = (struct display_rect){0};
    if (index)
        return console_draw(d->consoles->pdata[index - 1], d->font, changed);
    return d->video.draw && d->video.draw(d->video.opaque, &d->surface, false, changed);
}

static const struct display_surface *surface_of(const struct display *d, unsigned index)
{
    return index ? &((const struct display_console *)d->consoles->pdata[index - 1])->surface : &d->surface;
}

static bool wants_pixels(const struct display_viewer *viewer, unsigned index)
{
    return viewer->active && viewer->ops->pixels && viewer->front == index;
}

/* Draws a console once and gives it to all who have it in front. */
static bool look_at(struct display *d, unsigned index, bool whole)
{
    struct display_rect changed;
    bool wanted = false;
    for (guint i = 0; i < d->viewers->len; i++)
        wanted |= wants_pixels(d->viewers->pdata[i], index);
    if (!wanted)
        return false;
    bool any = draw(d, index, &changed);
    const struct display_surface *surface = surface_of(d, index);
    for (guint i = 0; i < d->viewers->len; i++) {
        struct display_viewer *viewer = d->viewers->pdata[i];
        if (!wants_pixels(viewer, index) || !surface->pixels)
            continue;
        struct display_rect r = changed;
        bool resized = viewer->width != surface->width || viewer->height != surface->height;
        if (whole || viewer->fresh || resized)
            r = (struct display_rect){0, 0, surface->width, surface->height};
        viewer->fresh = false;
        viewer->width = surface->width;
        viewer->height = surface->height;
        if (r.height)
            viewer->ops->pixels(viewer->opaque, surface, &r, resized);
    }
    return any;
}

static bool look(struct display *d, bool whole)
{
    bool any = false;
    for (unsigned index = 0; index <= d->consoles->len; index++)
        any |= look_at(d, index, whole);
    for (guint i = 0; i < d->viewers->len; i++) {
        struct display_viewer *viewer = d->viewers->pdata[i];
        if (viewer->active && viewer->ops->look)
            any |= viewer->ops->look(viewer->opaque);
    }
    return any;
}

static void timer_ready(void *opaque, unsigned events)
{
    struct display *d = opaque;
    uint64_t expirations;
    if (read(d->timer, &expirations, sizeof expirations) < 0 && errno == EAGAIN)
        return;
    if (!anybody(d)) {
        d->interval_ms = 0;
        return;
    }
    bool any = look(d, false);
    unsigned next = d->interval_ms + d->interval_ms / 2;
    arm(d, any ? LOOK_SOONEST_MS : MIN(next, (unsigned)LOOK_LATEST_MS));
}

/* ---- keys ---- */

static void pump_keys(struct display *d)
{
    const struct display_input *input = &d->input;
    while (d->keys.count && input->key_room(input->opaque) >= KEY_BYTES_MOST) {
        unsigned key = d->keys.ring[d->keys.first];
        d->keys.first = (d->keys.first + 1) % KEYS_MOST;
        d->keys.count--;
        d->keys.waits = 0;
        input->key(input->opaque, key & ~(unsigned)KEY_UP, !(key & KEY_UP));
    }
    if (d->keys.count && ++d->keys.waits > KEY_PATIENCE) {
        trace(DISPLAY, "%u keys forgotten: the guest reads none", d->keys.count);
        d->keys.count = 0;
    }
    d->keys.armed = d->keys.count != 0;
    if (d->keys.armed)
        arm_timer(d->keys.timer, KEY_RETRY_MS);
}

static void keys_ready(void *opaque, unsigned events)
{
    struct display *d = opaque;
    uint64_t expirations;
    if (read(d->keys.timer, &expirations, sizeof expirations) > 0)
        pump_keys(d);
}

void display_key(struct display *d, unsigned code, bool down)
{
    if (d->keys.count == KEYS_MOST)
        return;
    d->keys.ring[(d->keys.first + d->keys.count++) % KEYS_MOST] = (uint16_t)(code | (down ? 0 : KEY_UP));
    if (!d->keys.armed) {
        d->keys.waits = 0;
        pump_keys(d);
    }
}

/* ---- life ---- */

struct display *display_new(struct loop *loop, const struct display_video *video,
                            const struct display_input *input, GError **error)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int keys = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer < 0 || keys < 0) {
        int why = errno;
        if (timer >= 0)
            close(timer);
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why), "a timer for the screen: %s",
                    g_strerror(why));
        return NULL;
    }
    struct display *d = g_new0(struct display, 1);
    d->loop = loop;
    if (video)
        d->video = *video;
    d->input = *input;
    d->viewers = g_ptr_array_new();
    d->consoles = g_ptr_array_new_with_free_func((GDestroyNotify)console_free);
    d->timer = timer;
    d->watch = loop_add_fd(loop, timer, LOOP_READ, timer_ready, d);
    d->keys.timer = keys;
    d->keys.watch = loop_add_fd(loop, keys, LOOP_READ, keys_ready, d);
    return d;
}

void display_free(struct display *d)
{
    if (!d)
        return;
    g_assert(!d->viewers->len);
    loop_remove_fd(d->watch);
    loop_remove_fd(d->keys.watch);
    close(d->keys.timer);
    close(d->timer);
    g_ptr_array_free(d->viewers, TRUE);
    g_ptr_array_free(d->consoles, TRUE);
    g_free(d->surface.pixels);
    g_free(d);
}

struct display_viewer *display_add_viewer(struct display *d, const struct display_viewer_ops *ops,
                                          void *opaque)
{
    struct display_viewer *viewer = g_new0(struct display_viewer, 1);
    viewer->front = !d->video.draw && d->consoles->len ? 1 : 0; /* without a card, what there is */
    viewer->display = d;
    viewer->ops = ops;
    viewer->opaque = opaque;
    g_ptr_array_add(d->viewers, viewer);
    return viewer;
}

void display_remove_viewer(struct display_viewer *viewer)
{
    if (!viewer)
        return;
    g_ptr_array_remove(viewer->display->viewers, viewer);
    g_free(viewer);
}

void display_set_active(struct display_viewer *viewer, bool active)
{
    if (viewer->active == active)
        return;
    viewer->active = active;
    trace(DISPLAY, "%s viewer", active ? "one more" : "one less");
    viewer->fresh = active;
    if (active)
        display_hurry(viewer->display, true);
}

void display_hurry(struct display *d, bool whole)
{
    if (!anybody(d))
        return;
    if (whole)
        look(d, true);
    if (whole || d->interval_ms != LOOK_SOONEST_MS)
        arm(d, LOOK_SOONEST_MS);
}

const struct display_surface *display_snapshot(struct display *d)
{
    struct display_rect changed;
    if (!d->video.draw)
        return NULL;
    if (d->video.draw(d->video.opaque, &d->surface, true, &changed))
        for (guint i = 0; i < d->viewers->len; i++) { /* it is their surface too */
            struct display_viewer *viewer = d->viewers->pdata[i];
            if (!wants_pixels(viewer, 0))
                continue;
            bool resized = viewer->width != d->surface.width || viewer->height != d->surface.height;
            viewer->width = d->surface.width;
            viewer->height = d->surface.height;
            viewer->ops->pixels(viewer->opaque, &d->surface, &changed, resized);
        }
    return &d->surface;
}

bool display_text(struct display *d, struct display_text *text, unsigned *width, unsigned *height)
{
    *width = *height = 0;
    return d->video.text && d->video.text(d->video.opaque, text, width, height);
}

/* ---- text consoles ---- */

struct display_console *display_add_console(struct display *d, const struct display_console_config *config)
{
    if (display_consoles(d) == DISPLAY_CONSOLES_MOST)
        return NULL;
    struct display_console *console = console_new(d, config);
    g_ptr_array_add(d->consoles, console);
    return console;
}

void display_console_write(struct display_console *console, const uint8_t *data, size_t len)
{
    struct display *d = console->display;
    vt_write(console->vt, data, len);
    if (d->interval_ms > LOOK_SOONEST_MS)
        display_hurry(d, false);
}

void display_set_font(struct display *d, const uint8_t *font)
{
    d->font = font;
}

unsigned display_consoles(const struct display *d)
{
    return 1 + d->consoles->len;
}

const char *display_console_title(const struct display *d, unsigned index)
{
    if (!index)
        return d->video.draw ? "screen" : "no card";
    return index <= d->consoles->len ? ((const struct display_console *)d->consoles->pdata[index - 1])->title
                                     : NULL;
}

bool display_show(struct display_viewer *viewer, unsigned index)
{
    if (index >= display_consoles(viewer->display))
        return false;
    if (index == viewer->front)
        return true;
    viewer->front = index;
    viewer->fresh = true;
    if (viewer->ops->changed)
        viewer->ops->changed(viewer->opaque);
    if (viewer->active) {
        look(viewer->display, false);
        display_hurry(viewer->display, false);
    }
    return true;
}

unsigned display_front(const struct display_viewer *viewer)
{
    return viewer->front;
}

void display_console_key(struct display_viewer *viewer, uint32_t keysym, bool shift, bool ctrl, bool alt)
{
    if (viewer->front)
        console_keysym(viewer->display->consoles->pdata[viewer->front - 1], keysym, shift, ctrl, alt);
}

bool display_front_text(struct display_viewer *viewer, struct display_text *text, unsigned *width,
                        unsigned *height)
{
    if (!viewer->front)
        return display_text(viewer->display, text, width, height);
    *width = *height = 0;
    vt_text(((struct display_console *)viewer->display->consoles->pdata[viewer->front - 1])->vt, text);
    return true;
}

/* ---- the machine ---- */

void display_tell_changed(struct display *d)
{
    for (guint i = 0; i < d->viewers->len; i++) {
        struct display_viewer *viewer = d->viewers->pdata[i];
        if (viewer->ops->changed)
            viewer->ops->changed(viewer->opaque);
    }
}

void display_set_stopped(struct display *d, bool stopped)
{
    if (d->stopped == stopped)
        return;
    d->stopped = stopped;
    display_tell_changed(d);
}

bool display_stopped(const struct display *d)
{
    return d->stopped;
}

void display_pointer(struct display *d, int x, int y, unsigned width, unsigned height, int dz,
                     unsigned buttons, int *last_x, int *last_y)
{
    const struct display_input *input = &d->input;
    bool known = *last_x >= 0;
    int dx = known ? x - *last_x : 0, dy = known ? y - *last_y : 0;
    *last_x = MAX(x, 0);
    *last_y = MAX(y, 0);
    unsigned across = (unsigned)((uint64_t)CLAMP(x, 0, (int)width - 1) * 0xffff / MAX(width - 1, 1u));
    unsigned down = (unsigned)((uint64_t)CLAMP(y, 0, (int)height - 1) * 0xffff / MAX(height - 1, 1u));
    if (!input->pointer || !width || !height || !input->pointer(input->opaque, across, down, dz, buttons))
        input->mouse(input->opaque, dx, dy, dz, buttons);
}

const struct display_input *display_input(const struct display *d)
{
    return &d->input;
}

struct loop *display_loop(const struct display *d)
{
    return d->loop;
}
