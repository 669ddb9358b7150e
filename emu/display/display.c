/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The screen and its clock: see display.h.
 *
 * A timerfd in the loop makes the looks, so that they go on while guest time stands still (`stop`). After a
 * look that finds nothing the next one is half as much later again, up to a quarter of a second.
 */
#include "emu/display/display.h"

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
};

struct display {
    struct loop *loop;
    struct display_video video;
    struct display_input input;
    struct display_surface surface;
    GPtrArray *viewers; /* struct display_viewer * */
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

static bool look(struct display *d, bool whole)
{
    struct display_rect changed = {0};
    bool any = false, want_pixels = false;
    unsigned width = d->surface.width, height = d->surface.height;
    for (guint i = 0; i < d->viewers->len; i++) {
        const struct display_viewer *viewer = d->viewers->pdata[i];
        want_pixels |= viewer->active && viewer->ops->pixels;
    }
    if (want_pixels && d->video.draw) {
        any = d->video.draw(d->video.opaque, &d->surface, false, &changed);
        if (whole && d->surface.pixels)
            changed = (struct display_rect){0, 0, d->surface.width, d->surface.height};
    }
    bool resized = width != d->surface.width || height != d->surface.height;
    for (guint i = 0; i < d->viewers->len; i++) {
        struct display_viewer *viewer = d->viewers->pdata[i];
        if (!viewer->active)
            continue;
        if (viewer->ops->pixels && changed.height)
            viewer->ops->pixels(viewer->opaque, &d->surface, &changed, resized);
        if (viewer->ops->look)
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
    g_free(d->surface.pixels);
    g_free(d);
}

struct display_viewer *display_add_viewer(struct display *d, const struct display_viewer_ops *ops,
                                          void *opaque)
{
    struct display_viewer *viewer = g_new0(struct display_viewer, 1);
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
    unsigned width = d->surface.width, height = d->surface.height;
    bool any = d->video.draw(d->video.opaque, &d->surface, true, &changed);
    bool resized = width != d->surface.width || height != d->surface.height;
    for (guint i = 0; any && i < d->viewers->len; i++) { /* it is their surface too */
        struct display_viewer *viewer = d->viewers->pdata[i];
        if (viewer->active && viewer->ops->pixels)
            viewer->ops->pixels(viewer->opaque, &d->surface, &changed, resized);
    }
    return &d->surface;
}

bool display_text(struct display *d, struct display_text *text, unsigned *width, unsigned *height)
{
    *width = *height = 0;
    return d->video.text && d->video.text(d->video.opaque, text, width, height);
}

const struct display_input *display_input(const struct display *d)
{
    return &d->input;
}

struct loop *display_loop(const struct display *d)
{
    return d->loop;
}
