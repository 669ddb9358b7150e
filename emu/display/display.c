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
};

static bool anybody(const struct display *d)
{
    for (guint i = 0; i < d->viewers->len; i++)
        if (((struct display_viewer *)d->viewers->pdata[i])->active)
            return true;
    return false;
}

static void arm(struct display *d, unsigned ms)
{
    struct itimerspec when = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}};
    d->interval_ms = ms;
    (void)timerfd_settime(d->timer, 0, &when, NULL); /* cannot fail with these values */
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

struct display *display_new(struct loop *loop, const struct display_video *video,
                            const struct display_input *input, GError **error)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer < 0) {
        int why = errno;
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
    return d;
}

void display_free(struct display *d)
{
    if (!d)
        return;
    g_assert(!d->viewers->len);
    loop_remove_fd(d->watch);
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
