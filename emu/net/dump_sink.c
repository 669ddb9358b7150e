/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The ring between a capture and its file or reader: see dump_sink.h.
 *
 * The ring's memory is mapped twice in a row, so that each block lies in one piece. `head` is where the next
 * block goes (the machine's thread moves it), `done` is up to where blocks are out whole, `sent` up to where
 * bytes are out; both move under `lock`, which the writer holds while it writes. Room is counted from `done`:
 * the front of a block that went out in part stays, so that after an error the file can be cut back to
 * whole blocks.
 *
 * The writer takes what has gathered, then naps for NAP_MS, and sleeps on `wake` only when a nap brought
 * nothing. So a stream of frames costs its sender a copy, and few system calls in all.
 */
#include "emu/net/dump_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NAP_MS = 2,
    GRACE_MS = 500,       /* for a reader that is slow when the capture ends */
    WRITE_MOST = 1 << 18, /* at a time: puts wait for no more than that when the ring is full */
    BLOCK_LENGTH_AT = 4,
    BLOCK_FRAME = 6,
};

struct dump_sink {
    uint8_t *ring;
    size_t size;
    int fd, wake;
    bool is_file, is_socket;
    pthread_t thread;
    pthread_mutex_t lock;  /* sent, and who writes */
    uint64_t head, done;   /* atomic */
    uint64_t sent, frames; /* atomic, too, for those without the lock */
    int idle, quit, ended; /* atomic; ended is an errno */
};

static uint64_t load(const uint64_t *value)
{
    return __atomic_load_n(value, __ATOMIC_ACQUIRE);
}

static uint32_t word(const struct dump_sink *sink, uint64_t at)
{
    uint32_t value;
    memcpy(&value, sink->ring + (at & (sink->size - 1)), sizeof value);
    return value;
}

int dump_sink_ended(struct dump_sink *sink)
{
    return __atomic_load_n(&sink->ended, __ATOMIC_ACQUIRE);
}

/* Moves `done` over blocks that are out whole. */
static void note_whole_blocks(struct dump_sink *sink)
{
    uint64_t done = sink->done;
    while (done < sink->sent) {
        uint32_t length = word(sink, done + BLOCK_LENGTH_AT);
        if (done + length > sink->sent)
            break;
        if (word(sink, done) == BLOCK_FRAME)
            __atomic_store_n(&sink->frames, sink->frames + 1, __ATOMIC_RELAXED);
        done += length;
    }
    __atomic_store_n(&sink->done, done, __ATOMIC_RELEASE);
}

static void end(struct dump_sink *sink, int why)
{
    if (sink->is_file && ftruncate(sink->fd, (off_t)sink->done) && why == 0)
        why = errno;
    __atomic_store_n(&sink->ended, why, __ATOMIC_RELEASE);
}

/* One write, with the lock held. False: nothing more goes now. */
static bool write_some(struct dump_sink *sink)
{
    uint64_t head = load(&sink->head);
    if (sink->ended || sink->sent == head)
        return false;
    const uint8_t *from = sink->ring + (sink->sent & (sink->size - 1));
    size_t length = MIN(head - sink->sent, (uint64_t)WRITE_MOST);
    ssize_t n = sink->is_socket ? send(sink->fd, from, length, MSG_DONTWAIT | MSG_NOSIGNAL)
                                : write(sink->fd, from, length);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n <= 0) {
        end(sink, n < 0 ? errno : ENOSPC);
        return false;
    }
    __atomic_store_n(&sink->sent, sink->sent + (uint64_t)n, __ATOMIC_RELEASE);
    note_whole_blocks(sink);
    return true;
}

/* What is in the ring now, or as much as the reader takes. */
static void drain(struct dump_sink *sink)
{
    bool more = true;
    while (more) {
        pthread_mutex_lock(&sink->lock);
        more = write_some(sink);
        pthread_mutex_unlock(&sink->lock);
    }
}

/* Waits for the end, or (blocked) for the reader to take more; whether there was anything to hear. */
static bool listen_for(struct dump_sink *sink, bool blocked, int timeout_ms)
{
    struct pollfd fds[] = {{.fd = sink->wake, .events = POLLIN},
                           {.fd = sink->is_file ? -1 : sink->fd, .events = blocked ? POLLOUT : 0}};
    int count = poll(fds, G_N_ELEMENTS(fds), timeout_ms);
    uint64_t ignored;
    if (fds[0].revents && read(sink->wake, &ignored, sizeof ignored) < 0)
        return true;
    if (count > 0 && fds[1].revents & (POLLERR | POLLHUP | POLLNVAL)) {
        pthread_mutex_lock(&sink->lock);
        if (!sink->ended)
            end(sink, EPIPE);
        pthread_mutex_unlock(&sink->lock);
    }
    return count != 0;
}

static void *writer(void *opaque)
{
    struct dump_sink *sink = opaque;
    while (!dump_sink_ended(sink)) {
        drain(sink);
        bool blocked = load(&sink->sent) != load(&sink->head);
        if (__atomic_load_n(&sink->quit, __ATOMIC_ACQUIRE)) {
            /* Nothing is put any more. */
            if (!blocked || !listen_for(sink, true, GRACE_MS))
                break;
            continue;
        }
        if (blocked) {
            listen_for(sink, true, -1);
            continue;
        }
        listen_for(sink, false, NAP_MS);
        __atomic_store_n(&sink->idle, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&sink->head, __ATOMIC_SEQ_CST) == load(&sink->sent) &&
            !__atomic_load_n(&sink->quit, __ATOMIC_SEQ_CST) && !dump_sink_ended(sink))
            listen_for(sink, false, -1);
        __atomic_store_n(&sink->idle, 0, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void wake_writer(struct dump_sink *sink)
{
    uint64_t one = 1;
    ssize_t ignored = write(sink->wake, &one, sizeof one);
    (void)ignored;
}

bool dump_sink_put(struct dump_sink *sink, const struct iovec *iov, unsigned count, size_t length)
{
    if (dump_sink_ended(sink) || length > sink->size)
        return false;
    while (sink->head - load(&sink->done) > sink->size - length) {
        if (!sink->is_file)
            return false;
        pthread_mutex_lock(&sink->lock);
        bool wrote = write_some(sink);
        pthread_mutex_unlock(&sink->lock);
        if (!wrote && dump_sink_ended(sink))
            return false;
    }
    uint8_t *to = sink->ring + (sink->head & (sink->size - 1));
    for (unsigned i = 0; i < count; i++) {
        memcpy(to, iov[i].iov_base, iov[i].iov_len);
        to += iov[i].iov_len;
    }
    __atomic_store_n(&sink->head, sink->head + length, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&sink->idle, __ATOMIC_SEQ_CST)) {
        __atomic_store_n(&sink->idle, 0, __ATOMIC_RELAXED);
        wake_writer(sink);
    }
    return true;
}

bool dump_sink_is_file(const struct dump_sink *sink)
{
    return sink->is_file;
}

uint64_t dump_sink_frames(struct dump_sink *sink)
{
    return __atomic_load_n(&sink->frames, __ATOMIC_RELAXED);
}

static void release(struct dump_sink *sink)
{
    if (sink->ring)
        munmap(sink->ring, 2 * sink->size);
    if (sink->wake >= 0)
        close(sink->wake);
    pthread_mutex_destroy(&sink->lock);
    g_free(sink);
}

void dump_sink_free(struct dump_sink *sink)
{
    if (!sink)
        return;
    __atomic_store_n(&sink->quit, 1, __ATOMIC_SEQ_CST);
    wake_writer(sink);
    pthread_join(sink->thread, NULL);
    close(sink->fd);
    release(sink);
}

/* The same memory at two places, one behind the other. */
static uint8_t *map_twice(size_t size)
{
    int fd = memfd_create("netlab-emu capture", MFD_CLOEXEC);
    if (fd < 0)
        return NULL;
    uint8_t *ring = MAP_FAILED;
    if (ftruncate(fd, (off_t)size) == 0)
        ring = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (unsigned i = 0; i < 2 && ring != MAP_FAILED; i++)
        if (mmap(ring + i * size, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
            MAP_FAILED) {
            int why = errno;
            munmap(ring, 2 * size);
            errno = why;
            ring = MAP_FAILED;
        }
    int why = errno;
    close(fd);
    errno = why;
    return ring == MAP_FAILED ? NULL : ring;
}

struct dump_sink *dump_sink_new(int fd, size_t size, GError **error)
{
    struct dump_sink *sink = g_new0(struct dump_sink, 1);
    struct stat st;
    int why = 0;
    pthread_mutex_init(&sink->lock, NULL);
    sink->fd = fd;
    sink->size = DUMP_RING_LEAST;
    while (sink->size < size && sink->size < DUMP_RING_MOST)
        sink->size *= 2;
    sink->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (sink->wake < 0 || fstat(fd, &st) < 0 || !(sink->ring = map_twice(sink->size)))
        why = errno;
    if (!why) {
        sink->is_file = S_ISREG(st.st_mode);
        sink->is_socket = S_ISSOCK(st.st_mode);
        /* Signals are for the machine's thread. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        why = pthread_create(&sink->thread, NULL, writer, sink);
        if (!why)
            pthread_setname_np(sink->thread, "capture");
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (!why)
        return sink;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why),
                "%s (check `ulimit -n` and `ulimit -u`, or give the capture less buffer=)", g_strerror(why));
    release(sink);
    return NULL;
}
