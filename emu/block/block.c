/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Drives' requests, their thread, media and errors: see backend.h.
 *
 * A request is in one place at a time: `queue` (worker's to take), with the worker, `finished` (worker's to
 * give back), or `stalled` (machine's thread: it failed, the machine was stopped for it, and block_retry()
 * gives it to the worker again), or `delayed` (machine's thread: it comes too early for the limits of the
 * rate, and so do those behind it). The mutex covers queue, finished and `busy`; everything else, the image
 * included while nothing is in flight, belongs to the machine's thread.
 *
 * The thread is started with the first request and waits for good; a drive that is never used costs none.
 */
#include "emu/block/backend.h"
#include "emu/block/image.h"
#include "emu/block/throttle.h"
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"

#include <errno.h>
#include <gio/gio.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

const char *const block_cache_names[BLOCK_CACHE_COUNT] = {
    [BLOCK_CACHE_WRITEBACK] = "writeback",
    [BLOCK_CACHE_NONE] = "none",
    [BLOCK_CACHE_WRITETHROUGH] = "writethrough",
    [BLOCK_CACHE_DIRECTSYNC] = "directsync",
    [BLOCK_CACHE_UNSAFE] = "unsafe",
};
_Static_assert(G_N_ELEMENTS(block_cache_names) == BLOCK_CACHE_COUNT, "a name for each cache mode");

struct request_list {
    struct block_request *first, *last;
};

struct block {
    char *id;
    struct block_config config; /* strings are not kept in it */
    struct image *image;        /* NULL: no medium */
    uint64_t claimed;           /* bytes of a disc that was cut short; 0: the image has all of it */
    struct loop *loop;
    struct loop_fd *watch;
    int event;

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t work, progress;
    struct request_list queue, finished;
    bool busy, quit;

    struct request_list stalled, delayed;
    struct block_throttle *throttle;
    struct clock *steady; /* NULL, or: requests wait for `answer`, which carries them out, in `finished` */
    struct clock_timer *answer;
    struct clock_timer *turn; /* when the first of `delayed` asks again */
    struct block_counters counters;
    void (*released)(void *opaque, struct image *image); /* NULL: the image is the drive's own */
    void *released_opaque;
    bool removable, has_tray, tray_locked, tray_open;
    void (*asked)(void *opaque);
    void *asked_opaque;
    void (*changed)(void *opaque);
    void *changed_opaque;
    void (*failed)(void *opaque, struct block *block, bool write, int error, bool stops, bool ignored);
    void *failed_opaque;
    void (*moved)(void *opaque, struct block *block, bool open);
    void *moved_opaque;
    void (*corrupted)(void *opaque, struct block *block, const char *what, uint64_t offset);
    void *corrupted_opaque;
    bool damage_told;
    bool inactive;
    enum block_format medium_format; /* as it was opened */
    bool medium_read_only;
    uint64_t forgotten_writes; /* of those counted, with snapshot=on */
    bool own_below;            /* it was said what is below the image */
};

/* ---- lists ---- */

static void list_push(struct request_list *list, struct block_request *request)
{
    request->next = NULL;
    if (list->last)
        list->last->next = request;
    else
        list->first = request;
    list->last = request;
}

static struct block_request *list_pop(struct request_list *list)
{
    struct block_request *request = list->first;
    if (request) {
        list->first = request->next;
        if (!list->first)
            list->last = NULL;
    }
    return request;
}

static bool list_remove(struct request_list *list, struct block_request *request)
{
    struct block_request *before = NULL;
    for (struct block_request *at = list->first; at; before = at, at = at->next) {
        if (at != request)
            continue;
        if (before)
            before->next = at->next;
        else
            list->first = at->next;
        if (list->last == at)
            list->last = before;
        return true;
    }
    return false;
}

/* ---- carrying out ---- */

static bool all_zeros(const uint8_t *p, size_t len)
{
    return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

static int carry_out_write(const struct block *b, struct image *image, const struct block_request *request)
{
    if (image->read_only)
        return EROFS;
    if (b->config.zeroes != BLOCK_ZEROES_WRITE && image->ops->zero && all_zeros(request->buf, request->len)) {
        bool unmap = b->config.zeroes == BLOCK_ZEROES_UNMAP && b->config.discard;
        int code = image->ops->zero(image, request->offset, request->len, unmap);
        if (code != ENOTSUP)
            return code;
    }
    return image->ops->write(image, request->offset, request->buf, request->len);
}

static int carry_out(const struct block *b, const struct block_request *request)
{
    struct image *image = b->image;
    if (!image)
        return ENOMEDIUM;
    uint64_t size = MAX(image->size, b->claimed);
    if (request->op != BLOCK_FLUSH && (request->offset % BLOCK_SECTOR || request->len % BLOCK_SECTOR ||
                                       request->offset > size || request->len > size - request->offset))
        return EINVAL;
    if (request->op == BLOCK_READ && request->offset + request->len > image->size)
        return EIO;
    switch (request->op) {
    case BLOCK_READ:
        return image->ops->read(image, request->offset, request->buf, request->len);
    case BLOCK_WRITE:
        return carry_out_write(b, image, request);
    case BLOCK_FLUSH:
        return image->read_only ? 0 : image->ops->flush(image);
    case BLOCK_DISCARD:
        return image->read_only       ? EROFS
               : !image->ops->discard ? 0
                                      : image->ops->discard(image, request->offset, request->len);
    case BLOCK_OPS:
        break;
    }
    return EINVAL;
}

static void *block_worker(void *opaque)
{
    struct block *b = opaque;
    pthread_mutex_lock(&b->lock);
    for (;;) {
        struct block_request *request = list_pop(&b->queue);
        if (!request && b->quit)
            break;
        if (!request) {
            pthread_cond_wait(&b->work, &b->lock);
            continue;
        }
        b->busy = true;
        pthread_mutex_unlock(&b->lock);
        request->error = carry_out(b, request);
        pthread_mutex_lock(&b->lock);
        b->busy = false;
        bool tell = !b->finished.first;
        list_push(&b->finished, request);
        pthread_cond_broadcast(&b->progress);
        if (tell) {
            uint64_t one = 1;
            ssize_t ignored = write(b->event, &one, sizeof one);
            (void)ignored;
        }
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

static bool start_thread(struct block *b)
{
    if (b->has_thread)
        return true;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the machine's thread */
    b->has_thread = pthread_create(&b->thread, NULL, block_worker, b) == 0;
    if (b->has_thread)
        pthread_setname_np(b->thread, "disk");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return b->has_thread;
}

/* ---- giving back ---- */

static enum block_on_error policy(const struct block *b, const struct block_request *request)
{
    return request->op == BLOCK_READ ? b->config.on_read_error : b->config.on_write_error;
}

/* One request the worker is done with. */
static void give_back(struct block *b, struct block_request *request)
{
    int code = request->error;
    if (b->image && g_atomic_int_get(&b->image->damaged) && !b->damage_told) {
        b->damage_told = true;
        if (b->corrupted)
            b->corrupted(b->corrupted_opaque, b, b->image->damage, b->image->damage_offset);
    }
    if (request->cancelled)
        return;
    b->counters.last = g_get_monotonic_time() * 1000;
    b->counters.ns[request->op] += (uint64_t)(b->counters.last - request->since);
    if (!code && request->op == BLOCK_WRITE)
        b->counters.highest = MAX(b->counters.highest, request->offset + request->len);
    if (code && code != EINVAL && code != ENOMEDIUM && code != EROFS && code != EPERM) {
        enum block_on_error what = policy(b, request);
        bool stops = what == BLOCK_ERROR_STOP || (what == BLOCK_ERROR_ENOSPC && code == ENOSPC);
        bool ignored = what == BLOCK_ERROR_IGNORE;
        if (request->narrows && !stops && !ignored) {
            request->done(request->opaque, code);
            return;
        }
        b->counters.errors[request->op]++;
        if (stops && b->failed)
            list_push(&b->stalled, request);
        if (b->failed)
            b->failed(b->failed_opaque, b, request->op != BLOCK_READ, code, stops, ignored);
        if (stops && b->failed)
            return;
        if (ignored)
            code = 0;
    }
    request->done(request->opaque, code);
}

static void give_back_all(struct block *b)
{
    for (;;) {
        pthread_mutex_lock(&b->lock);
        struct block_request *request = list_pop(&b->finished);
        pthread_mutex_unlock(&b->lock);
        if (!request)
            return;
        give_back(b, request);
    }
}

static void event_ready(void *opaque, unsigned events)
{
    struct block *b = opaque;
    uint64_t count;
    ssize_t ignored = read(b->event, &count, sizeof count);
    (void)ignored;
    give_back_all(b);
}

/* Only those that are there: what they lead to has a time of its own. */
static void answer(void *opaque)
{
    struct block *b = opaque;
    struct request_list due = b->finished;
    struct block_request *request;
    b->finished = (struct request_list){0};
    while ((request = list_pop(&due))) {
        request->error = carry_out(b, request);
        give_back(b, request);
    }
}

void block_set_steady(struct block *b, struct clock *clock)
{
    b->steady = clock;
    b->answer = clock_timer_new(clock, answer, b);
}

/* Gives it to the worker. */
static void begin(struct block *b, struct block_request *request)
{
    enum { STEADY_NS = 100000 };
    if (b->steady) {
        list_push(&b->finished, request);
        clock_timer_set(b->answer, clock_now(b->steady) + STEADY_NS);
        return;
    }
    if (!b->loop || !start_thread(b)) { /* no more threads to be had: slower, but right */
        request->error = carry_out(b, request);
        give_back(b, request);
        return;
    }
    pthread_mutex_lock(&b->lock);
    list_push(&b->queue, request);
    pthread_cond_signal(&b->work);
    pthread_mutex_unlock(&b->lock);
}

static bool moves_data(const struct block_request *request)
{
    return request->op == BLOCK_READ || request->op == BLOCK_WRITE;
}

/* Those whose turn it is; the timer for the first of the others. */
static void take_turns(void *opaque)
{
    struct block *b = opaque;
    struct block_request *request;
    while ((request = b->delayed.first)) {
        bool write = request->op == BLOCK_WRITE;
        int64_t wait = b->throttle && moves_data(request) ? block_throttle_wait(b->throttle, write) : 0;
        if (wait) {
            clock_timer_set(b->turn, clock_now(block_throttle_clock(b->throttle)) + wait);
            return;
        }
        if (b->throttle && moves_data(request))
            block_throttle_take(b->throttle, write, request->len);
        list_pop(&b->delayed);
        begin(b, request);
    }
}

void block_submit(struct block *b, struct block_request *request)
{
    request->error = 0;
    request->cancelled = false;
    request->since = g_get_monotonic_time() * 1000;
    b->counters.requests[request->op]++;
    b->counters.bytes[request->op] += request->op == BLOCK_FLUSH ? 0 : request->len;
    if (b->throttle) {
        bool first = !b->delayed.first;
        list_push(&b->delayed, request);
        if (first)
            take_turns(b);
        return;
    }
    begin(b, request);
}

bool block_is_steady(const struct block *b)
{
    return b->steady != NULL;
}

int64_t block_answer_time(const struct block *b)
{
    return b->steady && b->finished.first ? clock_timer_deadline(b->answer) : CLOCK_NEVER;
}

void block_submit_for(struct block *b, struct block_request *request, int64_t time)
{
    request->error = 0;
    request->cancelled = false;
    request->since = g_get_monotonic_time() * 1000;
    begin(b, request);
    if (b->steady)
        clock_timer_set(b->answer, MIN(time, clock_timer_deadline(b->answer)));
}

/* No more waiting for turns; those behind wait for these, too. */
static void hurry(struct block *b)
{
    struct block_request *request;
    while ((request = list_pop(&b->delayed))) {
        if (b->throttle && moves_data(request))
            block_throttle_take(b->throttle, request->op == BLOCK_WRITE, request->len);
        begin(b, request);
    }
    if (b->turn)
        clock_timer_cancel(b->turn);
}

void block_set_throttle(struct block *b, struct block_throttle *throttle)
{
    hurry(b);
    clock_timer_free(b->turn);
    b->turn = throttle ? clock_timer_new(block_throttle_clock(throttle), take_turns, b) : NULL;
    struct block_throttle *before = b->throttle;
    b->throttle = throttle ? block_throttle_ref(throttle) : NULL;
    block_throttle_unref(before);
}

struct block_throttle *block_get_throttle(const struct block *b)
{
    return b->throttle;
}

static bool list_has(const struct request_list *list, const struct block_request *request)
{
    for (const struct block_request *at = list->first; at; at = at->next)
        if (at == request)
            return true;
    return false;
}

void block_cancel(struct block *b, struct block_request *request)
{
    if (list_remove(&b->stalled, request) || list_remove(&b->delayed, request) ||
        (b->steady && list_remove(&b->finished, request)) || !b->has_thread)
        return;
    pthread_mutex_lock(&b->lock);
    if (!list_remove(&b->queue, request)) {
        while (b->busy && !list_has(&b->finished, request))
            pthread_cond_wait(&b->progress, &b->lock);
        list_remove(&b->finished, request);
    }
    pthread_mutex_unlock(&b->lock);
}

void block_drain(struct block *b)
{
    hurry(b);
    while (b->steady && b->finished.first)
        answer(b);
    if (!b->has_thread)
        return;
    for (;;) {
        hurry(b); /* of what was submitted meanwhile, too */
        pthread_mutex_lock(&b->lock);
        while ((b->busy || b->queue.first) && !b->finished.first)
            pthread_cond_wait(&b->progress, &b->lock);
        bool more = b->finished.first != NULL;
        pthread_mutex_unlock(&b->lock);
        if (!more)
            return;
        give_back_all(b); /* what it calls may submit more */
    }
}

void block_settle(struct block *b)
{
    if (b->steady)
        hurry(b);
    else
        block_drain(b);
}

int block_read_now(struct block *b, uint64_t offset, void *buf, uint32_t len)
{
    const struct block_request request = {.op = BLOCK_READ, .offset = offset, .len = len, .buf = buf};
    block_drain(b);
    return carry_out(b, &request);
}

void block_retry(struct block *b)
{
    struct request_list again = b->stalled;
    struct block_request *request;
    b->stalled = (struct request_list){0};
    while ((request = list_pop(&again)))
        block_submit(b, request);
}

bool block_is_stalled(const struct block *b)
{
    return b->stalled.first != NULL;
}

/* ---- media ---- */

static struct image *open_image(const struct block_config *c, const char *file, enum block_format format,
                                bool read_only, unsigned flags, GError **error)
{
    bool over = c->snapshot && !read_only;
    flags |= (c->discard ? IMAGE_DISCARD : 0u) | (c->copy_on_read ? IMAGE_COPY_ON_READ : 0u);
    if (over) /* is used at once */
        flags &= ~(unsigned)IMAGE_IDLE;
    struct image *image =
        image_open(file, format, read_only || c->snapshot, c->cache, flags, 0, c->below, error);
    return image && over ? overlay_new(image, error) : image;
}

static struct image *open_medium(struct block *b, const char *file, enum block_format format, bool read_only,
                                 GError **error)
{
    bool looks = b->inactive && !read_only && !b->config.snapshot;
    struct image *image =
        open_image(&b->config, file, format, read_only || looks, looks ? IMAGE_UNLOCKED : 0, error);
    if (!image)
        return NULL;
    b->medium_format = format;
    b->medium_read_only = read_only;
    return image;
}

/* After a medium was put in, with nothing in flight. */
static void look_for_claims(struct block *b)
{
    enum { PADDING = 150 * 2048 }; /* what writers for CDs add and not all of them write */
    uint64_t claimed = b->config.disc && b->image ? volume_size_of(b->image) : 0;
    b->claimed = claimed && claimed > b->image->size + PADDING ? claimed : 0;
}

/* Nothing is in flight. */
static void release_medium(struct block *b)
{
    struct image *image = b->image;
    void (*released)(void *opaque, struct image *image) = b->released;
    b->image = NULL;
    b->claimed = 0;
    b->released = NULL;
    if (image && !image->read_only)
        image->ops->flush(image);
    if (!image || !released) {
        image_close(image);
        return;
    }
    image_relax(image);
    released(b->released_opaque, image);
}

struct image *block_image_open(const struct block_config *config, GError **error)
{
    return open_image(config, config->file, config->format, config->read_only, IMAGE_IDLE, error);
}

void block_image_close(struct image *image)
{
    if (image && !image->read_only)
        image->ops->flush(image);
    image_close(image);
}

uint64_t block_image_size(const struct image *image)
{
    return image->size;
}

bool block_image_read_only(const struct image *image)
{
    return image->read_only;
}

const char *block_image_backing(const struct image *image)
{
    return image->backing;
}

bool block_put(struct block *b, struct image *image, const struct block_config *how,
               void (*released)(void *opaque, struct image *image), void *opaque, GError **error)
{
    block_drain(b);
    if (b->image) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_EXISTS, "There already is a medium in the device");
        return false;
    }
    if (!image_hold(image, error))
        return false;
    b->image = image;
    b->released = released;
    b->released_opaque = opaque;
    b->damage_told = false;
    b->config.cache = how->cache;
    b->config.discard = how->discard;
    b->config.zeroes = how->zeroes;
    look_for_claims(b);
    if (!b->has_tray && b->changed)
        b->changed(b->changed_opaque);
    return true;
}

struct image *block_lift(struct block *b)
{
    block_drain(b);
    struct image *image = b->released ? b->image : NULL;
    if (!image)
        return NULL;
    if (!image->read_only)
        image->ops->flush(image);
    b->image = NULL;
    b->claimed = 0;
    return image;
}

bool block_lower(struct block *b, struct image *image, const struct block_config *how, GError **error)
{
    if (!image_hold(image, error))
        return false;
    b->image = image;
    b->damage_told = false;
    b->config.cache = how->cache;
    b->config.discard = how->discard;
    b->config.zeroes = how->zeroes;
    look_for_claims(b);
    return true;
}

struct image *block_image_lost(const char *path, uint64_t size)
{
    return image_lost(path, size);
}

bool block_insert(struct block *b, const char *file, enum block_format format, bool read_only, GError **error)
{
    /* The new medium first: when it cannot be opened the old one stays. But it may be the same file. */
    g_autoptr(GError) busy = NULL;
    block_drain(b);
    struct image *image = open_medium(b, file, format, read_only, &busy);
    if (!image && b->image && g_error_matches(busy, G_IO_ERROR, G_IO_ERROR_BUSY)) {
        if (b->released) { /* the file is of a node; it goes on when that lets go of it */
            image_relax(b->image);
            image = open_medium(b, file, format, read_only, error);
            if (!image) {
                image_hold(b->image, NULL);
                return false;
            }
        } else {
            image_close(b->image);
            b->image = NULL;
            image = open_medium(b, file, format, read_only, error);
        }
    } else if (!image) {
        g_propagate_error(error, g_steal_pointer(&busy));
        return false;
    }
    bool had = b->image && !b->tray_open;
    release_medium(b);
    b->image = image;
    look_for_claims(b);
    b->damage_told = false;
    b->tray_open = false;
    if (b->changed)
        b->changed(b->changed_opaque);
    if (b->moved && b->has_tray) { /* as a hand does it: out with the old one, in with the new one */
        if (had)
            b->moved(b->moved_opaque, b, true);
        b->moved(b->moved_opaque, b, false);
    }
    return image != NULL;
}

bool block_set_active(struct block *b, bool active, GError **error)
{
    if (b->inactive == !active)
        return true;
    block_settle(b);
    b->inactive = !active;
    if (!b->image || b->medium_read_only || b->config.snapshot || b->released || b->own_below)
        return true; /* a node, and what has one below it, stays held */
    g_autofree char *path = g_strdup(b->image->path);
    int code = active ? 0 : b->image->ops->flush(b->image);
    if (code) {
        b->inactive = false;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(code), "drive %s: %s: %s", b->id, path,
                    g_strerror(code));
        return false;
    }
    if (!active) { /* what it was before stays to be looked at should the file be gone */
        image_close(b->image);
        b->image = NULL;
    }
    struct image *image = open_medium(b, path, b->medium_format, false, error);
    if (!image && !active) { /* as it was, then */
        b->inactive = false;
        b->image = open_medium(b, path, b->medium_format, false, NULL);
    }
    if (!image) {
        b->inactive |= active;
        g_prefix_error(error, "drive %s: ", b->id);
        return false;
    }
    image_close(b->image);
    b->image = image;
    return true;
}

bool block_is_active(const struct block *b)
{
    return !b->inactive;
}

bool block_has_passing_writes(const struct block *b)
{
    return b->image && b->config.snapshot && !b->medium_read_only &&
           b->counters.requests[BLOCK_WRITE] != b->forgotten_writes;
}

bool block_forget_passing_writes(struct block *b)
{
    struct image *image = block_idle_image(b);
    if (!image || !image->ops->forget)
        return false;
    image->ops->forget(image);
    b->forgotten_writes = b->counters.requests[BLOCK_WRITE];
    return true;
}

struct image *block_present_image(const struct block *b)
{
    return b->image;
}

struct image *block_idle_image(struct block *b)
{
    block_settle(b);
    return b->image;
}

bool block_resize(struct block *b, uint64_t size, GError **error)
{
    const char *why = NULL;
    int code = 0;
    block_drain(b);
    if (!b->image)
        why = "there is no medium in it";
    else if (b->image->read_only)
        why = "it is read-only";
    else if (!size || size % BLOCK_SECTOR)
        why = "the size has to be a multiple of 512";
    else if (!b->image->ops->resize)
        why = "with snapshot=on the size stays as it is";
    else if ((code = b->image->ops->resize(b->image, size)))
        why = code == ENOTSUP ? "it cannot be made smaller, or is a device (see qemu-img resize --shrink)"
              : code == EFBIG ? "its tables have no room for that size (qemu-img convert makes larger ones)"
                              : g_strerror(code);
    if (why)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Device '%s': %s", b->id, why);
    return !why;
}

bool block_commit(struct block *b, GError **error)
{
    block_drain(b);
    if (b->image && b->image->ops->commit)
        return b->image->ops->commit(b->image, error);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "Device '%s' %s", b->id,
                b->image ? "has nothing to commit: no snapshot=on and no backing file" : "has no medium");
    return false;
}

bool block_eject(struct block *b, bool force, GError **error)
{
    if (!b->removable) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "Device '%s' is not removable", b->id);
        return false;
    }
    if (!block_move_tray(b, true, force, error))
        return false;
    if (!b->image)
        return true;
    block_drain(b);
    release_medium(b);
    if (!b->has_tray && b->changed)
        b->changed(b->changed_opaque);
    return true;
}

bool block_move_tray(struct block *b, bool open, bool force, GError **error)
{
    if (!b->removable) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "Device '%s' is not removable", b->id);
        return false;
    }
    if (open == b->tray_open || !b->has_tray)
        return true;
    if (open && b->tray_locked && !force) {
        if (b->asked)
            b->asked(b->asked_opaque);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_PENDING,
                    "Device '%s' is locked and force was not specified, wait for tray to open and try again, "
                    "or unmount it in the guest",
                    b->id);
        return false;
    }
    block_drain(b);
    b->tray_open = open;
    if (b->changed)
        b->changed(b->changed_opaque);
    if (b->moved)
        b->moved(b->moved_opaque, b, open);
    return true;
}

bool block_remove(struct block *b, GError **error)
{
    if (!b->removable || (b->has_tray && !b->tray_open)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                    b->removable ? "Tray of device '%s' is not open" : "Device '%s' is not removable", b->id);
        return false;
    }
    if (!b->image)
        return true;
    block_drain(b);
    release_medium(b);
    if (!b->has_tray && b->changed)
        b->changed(b->changed_opaque);
    return true;
}

void block_set_tray_listener(struct block *b, void (*moved)(void *opaque, struct block *block, bool open),
                             void *opaque)
{
    b->moved = moved;
    b->moved_opaque = opaque;
}

void block_set_damage_listener(struct block *b,
                               void (*corrupted)(void *opaque, struct block *block, const char *what,
                                                 uint64_t offset),
                               void *opaque)
{
    b->corrupted = corrupted;
    b->corrupted_opaque = opaque;
}

void block_set_removable(struct block *b, void (*changed)(void *opaque), void *opaque)
{
    b->removable = true;
    b->changed = changed;
    b->changed_opaque = opaque;
}

void block_set_tray(struct block *b, void (*asked)(void *opaque), void *opaque)
{
    b->has_tray = true;
    b->asked = asked;
    b->asked_opaque = opaque;
}

bool block_has_tray(const struct block *b)
{
    return b->has_tray;
}

bool block_is_removable(const struct block *b)
{
    return b->removable;
}

void block_lock_tray(struct block *b, bool locked)
{
    b->tray_locked = locked;
}

bool block_tray_locked(const struct block *b)
{
    return b->tray_locked;
}

void block_open_tray(struct block *b, bool open)
{
    bool before = b->tray_open;
    b->tray_open = open;
    if (open != before && b->moved)
        b->moved(b->moved_opaque, b, open);
}

bool block_tray_open(const struct block *b)
{
    return b->tray_open;
}

void block_set_error_listener(struct block *b,
                              void (*failed)(void *opaque, struct block *block, bool write, int error,
                                             bool stops, bool ignored),
                              void *opaque)
{
    b->failed = failed;
    b->failed_opaque = opaque;
}

/* ---- what it is ---- */

const char *block_id(const struct block *b)
{
    return b->id;
}

bool block_has_medium(const struct block *b)
{
    return b->image && !b->tray_open;
}

uint64_t block_size(const struct block *b)
{
    return b->image ? MAX(b->image->size, b->claimed) : 0;
}

bool block_shortfall(const struct block *b, uint64_t *there, uint64_t *claimed)
{
    if (!b->claimed || !b->image)
        return false;
    *there = b->image->size;
    *claimed = b->claimed;
    return true;
}

bool block_read_only(const struct block *b)
{
    return b->image && b->image->read_only;
}

bool block_write_cache(const struct block *b)
{
    return b->config.cache != BLOCK_CACHE_WRITETHROUGH && b->config.cache != BLOCK_CACHE_DIRECTSYNC;
}

bool block_discards(const struct block *b)
{
    return b->image && b->image->ops->discard && !b->image->read_only;
}

enum block_cache block_cache_mode(const struct block *b)
{
    return b->config.cache;
}

enum block_zeroes block_zeroes_mode(const struct block *b)
{
    return b->config.zeroes;
}

const char *block_path(const struct block *b)
{
    return b->image ? b->image->path : NULL;
}

const char *block_format(const struct block *b)
{
    return b->image ? b->image->ops->format : NULL;
}

const char *block_backing(const struct block *b)
{
    return b->image ? b->image->backing : NULL;
}

const struct block_counters *block_counters(const struct block *b)
{
    return &b->counters;
}

/* ---- life ---- */

void block_below_free(struct block_below *below)
{
    while (below) {
        struct block_below *next = (struct block_below *)below->below;
        g_free((char *)below->file);
        g_free(below);
        below = next;
    }
}

struct block *block_new(const struct block_config *config, struct loop *loop, GError **error)
{
    struct block *b = g_new0(struct block, 1);
    b->id = g_strdup(config->id);
    b->config = *config;
    b->config.id = b->config.file = NULL;
    b->own_below = config->below != NULL;
    b->config.below = NULL;
    b->inactive = config->inactive;
    b->loop = loop;
    b->event = -1;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->work, NULL);
    pthread_cond_init(&b->progress, NULL);
    if (loop) {
        b->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (b->event < 0) {
            g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "%s: %s (check `ulimit -n`)", b->id,
                        g_strerror(errno));
            block_free(b);
            return NULL;
        }
        b->watch = loop_add_fd(loop, b->event, LOOP_READ, event_ready, b);
    }
    bool looks = config->inactive && !config->read_only && !config->snapshot && !config->below;
    b->medium_format = config->format;
    b->medium_read_only = config->read_only;
    if (config->file &&
        !(b->image = open_image(config, config->file, config->format, config->read_only || looks,
                                looks ? IMAGE_UNLOCKED : 0, error))) {
        block_free(b);
        return NULL;
    }
    look_for_claims(b);
    return b;
}

void block_free(struct block *b)
{
    if (!b)
        return;
    block_set_throttle(b, NULL);
    clock_timer_free(b->answer);
    if (b->has_thread) {
        pthread_mutex_lock(&b->lock);
        b->quit = true;
        pthread_cond_signal(&b->work);
        pthread_mutex_unlock(&b->lock);
        pthread_join(b->thread, NULL);
    }
    loop_remove_fd(b->watch);
    if (b->event >= 0)
        close(b->event);
    release_medium(b);
    pthread_cond_destroy(&b->progress);
    pthread_cond_destroy(&b->work);
    pthread_mutex_destroy(&b->lock);
    g_free(b->id);
    g_free(b);
}
