/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * One socket a NIC. Frames wait in a list that is sorted by their stamps until they are as old as the
 * caller will wait; then they are handed on. The list is bounded in bytes.
 */
#include "netlab/capture.h"
#include "netlab/capture_filter.h"
#include "netlab/nic.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_MOST = 1 << 18, HELD_MOST = 64 << 20, POLL_MS = 10 };

struct run;
struct source {
    struct run *run;
    struct capture_nic *nic;
    unsigned number;
    int fd; /* -1: ended */
    char *id;
    struct pcapng_reader *reader;
    uint64_t latest; /* stamp: they do not go back, whatever the machine says */
};

struct held {
    unsigned nic;
    uint64_t order;            /* by which it is sorted */
    struct pcapng_frame frame; /* data follows */
};

struct run {
    const struct capture_spec *spec;
    struct source *sources;
    struct capture_filter *filter;
    GQueue held; /* struct held *, by stamp */
    size_t held_bytes;
    guint64 taken;
    bool is_over;
    uint8_t *buffer;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void hold(void *opaque, const struct pcapng_frame *frame)
{
    struct source *source = opaque;
    struct run *run = source->run;
    source->nic->received++;
    source->nic->lost += frame->lost;
    if (run->filter && !capture_filter_matches(run->filter, frame->data, frame->captured, frame->length))
        return;
    struct held *held = g_malloc(sizeof *held + frame->captured);
    held->nic = source->number;
    held->frame = *frame;
    memcpy(held + 1, frame->data, frame->captured);
    held->frame.data = (uint8_t *)(held + 1);
    held->order = source->latest = MAX(source->latest, frame->time);
    run->held_bytes += sizeof *held + frame->captured;
    GList *after = run->held.tail;
    while (after && ((struct held *)after->data)->order > held->order)
        after = after->prev;
    g_queue_insert_after(&run->held, after, held);
}

/* Those that are old enough; all when `now` is UINT64_MAX. */
static void hand_on(struct run *run, uint64_t now)
{
    const struct capture_spec *spec = run->spec;
    uint64_t wait_ns = (uint64_t)spec->wait_ms * 1000000u;
    struct held *held;
    while (!run->is_over && (held = g_queue_peek_head(&run->held))) {
        bool is_old = now == UINT64_MAX || held->order + wait_ns <= now;
        bool is_odd = now != UINT64_MAX && held->order > now + wait_ns; /* a clock was set */
        if (!is_old && !is_odd && run->held_bytes < HELD_MOST)
            break;
        g_queue_pop_head(&run->held);
        run->held_bytes -= sizeof *held + held->frame.captured;
        spec->nics[held->nic].accepted++;
        run->taken++;
        run->is_over =
            !spec->take(spec->opaque, held->nic, &held->frame) || (spec->count && run->taken >= spec->count);
        g_free(held);
    }
    if (spec->flush && !spec->flush(spec->opaque))
        run->is_over = true;
}

static void end_source(struct source *source, const char *why)
{
    close(source->fd);
    source->fd = -1;
    source->nic->has_ended = true;
    g_autofree char *text = g_strdup_printf("%s: %s", source->nic->node, why);
    source->run->spec->note(source->run->spec->opaque, text);
}

static void read_source(struct source *source)
{
    struct run *run = source->run;
    g_autoptr(GError) error = NULL;
    ssize_t got = read(source->fd, run->buffer, READ_MOST);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        end_source(source, "the machine has ended, or its NIC was taken away");
    else if (!pcapng_reader_feed(source->reader, run->buffer, (size_t)got, hold, source, &error))
        end_source(source, error->message);
}

static bool begin_source(struct run *run, unsigned number, GError **error)
{
    struct source *source = &run->sources[number];
    const struct capture_spec *spec = run->spec;
    int ends[2];
    *source = (struct source){.run = run, .nic = &spec->nics[number], .number = number, .fd = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "making a socket: %s",
                    g_strerror(errno));
        return false;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    source->fd = ends[0];
    source->reader = pcapng_reader_new();
    source->id = g_strdup_printf("netlab-capture-%d-%u", (int)getpid(), number);
    bool good =
        nic_capture_begin(source->nic->directory, source->nic->index, source->id, spec->most, ends[1], error);
    close(ends[1]);
    if (!good)
        g_prefix_error(error, "%s: ", source->nic->node);
    return good;
}

static void converse(struct run *run)
{
    const struct capture_spec *spec = run->spec;
    unsigned count = spec->nic_count;
    g_autofree struct pollfd *fds = g_new0(struct pollfd, count + 2);
    bool any = true;
    while (any && !run->is_over) {
        any = false;
        for (unsigned i = 0; i < count; i++) {
            fds[i] = (struct pollfd){.fd = run->sources[i].fd, .events = POLLIN};
            any |= run->sources[i].fd >= 0;
        }
        fds[count] = (struct pollfd){.fd = spec->cancel_fd, .events = POLLIN};
        fds[count + 1] = (struct pollfd){.fd = spec->output};
        if (!any || (poll(fds, count + 2, run->held.length ? POLL_MS : 1000) < 0 && errno != EINTR))
            break;
        for (unsigned i = 0; i < count; i++)
            if (fds[i].revents)
                read_source(&run->sources[i]);
        hand_on(run, now_ns());
        if (fds[count].revents || fds[count + 1].revents & (POLLERR | POLLHUP | POLLNVAL))
            break;
    }
}

bool capture_run(const struct capture_spec *spec, GError **error)
{
    struct run run = {.spec = spec, .held = G_QUEUE_INIT};
    if (spec->filter && !(run.filter = capture_filter_new(spec->filter, error)))
        return false;
    run.sources = g_new0(struct source, spec->nic_count);
    run.buffer = g_malloc(READ_MOST);
    unsigned begun = 0;
    bool good = true;
    while (good && begun < spec->nic_count)
        good = begin_source(&run, begun++, error);
    if (good) {
        converse(&run);
        hand_on(&run, UINT64_MAX);
    }
    for (unsigned i = 0; i < begun; i++) {
        struct source *source = &run.sources[i];
        if (source->fd >= 0) {
            close(source->fd);
            nic_capture_end(source->nic->directory, source->id);
        }
        pcapng_reader_free(source->reader);
        g_free(source->id);
    }
    g_queue_clear_full(&run.held, g_free);
    capture_filter_free(run.filter);
    g_free(run.sources);
    g_free(run.buffer);
    return good;
}
