/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Sending and receiving machines: see migrate.h.
 *
 * Sending is driven by the descriptor: a part is made when it takes more. Before the last part goes, which
 * holds the stream's end, drives let go of their images, for the other side opens them when it has read that.
 * Over a socket the other side then answers "+", or "-" and why not; one that only stores what comes closes
 * without a word, which counts as done. A command has to end with status 0.
 *
 * Receiving loads as it reads; when that fails the program ends with the reason (nothing has run yet, so
 * nothing is lost: the sender goes on).
 */
#include "emu/machine/migrate.h"

#include "emu/dev/pflash.h"
#include "emu/machine/machine_internal.h"
#include "emu/machine/saved.h"
#include "emu/machine/transport.h"

#include <errno.h>
#include <signal.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_PIECE = 256 << 10, REASON_MOST = 1000 };

struct migration {
    struct machine *machine;
    enum control_migration_status status;
    char *why; /* it failed */
    struct transport way;
    struct loop_fd *watch, *listen_watch, *child_watch;
    int pidfd;
    /* out */
    struct saved_writer *writer;
    GByteArray *out;
    size_t sent; /* of `out` */
    GString *answer;
    enum control_status before;
    struct saved_progress progress;
    uint64_t bytes;
    int64_t start, stopped; /* host's monotonic time, us; 0: not yet */
    int64_t total, downtime;
    /* in */
    bool incoming, autostart;
    struct saved_loader *loader;
    uint8_t *piece;
};

static void set_status(struct migration *g, enum control_migration_status status)
{
    g->status = status;
    g_autofree char *data = g_strdup_printf("\"status\": \"%s\"", control_migration_name(status));
    control_migration_event(g->machine->control, data);
}

static struct migration *migration_new(struct machine *m)
{
    struct migration *g = g_new0(struct migration, 1);
    g->machine = m;
    g->way = (struct transport){.fd = -1, .listener.fd = -1};
    g->pidfd = -1;
    g->start = g_get_monotonic_time();
    return g;
}

/* Ends everything but what is told of it. */
static void let_go(struct migration *g, bool discard)
{
    loop_remove_fd(g->watch);
    loop_remove_fd(g->listen_watch);
    loop_remove_fd(g->child_watch);
    g->watch = g->listen_watch = g->child_watch = NULL;
    if (g->pidfd >= 0)
        close(g->pidfd);
    g->pidfd = -1;
    transport_close(&g->way, discard);
    if (g->writer)
        saved_writer_progress(g->writer, &g->progress);
    g_clear_pointer(&g->writer, saved_writer_free);
    g_clear_pointer(&g->loader, saved_loader_free);
    g_clear_pointer(&g->piece, g_free);
    if (g->out)
        g_byte_array_unref(g->out);
    g->out = NULL;
    if (g->answer)
        g_string_free(g->answer, TRUE);
    g->answer = NULL;
}

static void migration_free(struct migration *g)
{
    if (!g)
        return;
    let_go(g, g->status == CONTROL_MIGRATION_SETUP || g->status == CONTROL_MIGRATION_ACTIVE);
    g_free(g->why);
    g_free(g);
}

void machine_migrate_free(struct machine *m)
{
    g_clear_pointer(&m->sending, migration_free);
    g_clear_pointer(&m->receiving, migration_free);
}

bool machine_disks_activate(struct machine *m, bool active, GError **error)
{
    for (unsigned i = 0; i < m->drive_count; i++) {
        struct machine_disk *disk = &m->drives[i];
        bool wakes = active && !block_is_active(disk->block);
        if (block_set_active(disk->block, active, error) &&
            (!wakes || !disk->flash || pflash_read_again(disk->flash, error)))
            continue;
        while (i-- > 0) { /* all or none */
            g_autoptr(GError) ignored = NULL;
            if (!block_set_active(m->drives[i].block, !active, &ignored))
                g_warning("%s", ignored->message);
        }
        return false;
    }
    return true;
}

static bool under_way(const struct migration *g)
{
    return g && (g->status == CONTROL_MIGRATION_SETUP || g->status == CONTROL_MIGRATION_ACTIVE);
}

bool machine_is_moving(const struct machine *m, GError **error)
{
    if (under_way(m->sending))
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                            "the machine is being saved: wait for the end (info migrate), or migrate_cancel");
    else if (m->status == CONTROL_INMIGRATE)
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_BUSY, "Guest is waiting for an incoming migration");
    else
        return false;
    return true;
}

/* ---- sending ---- */

/* The machine goes on, or is what it was. */
static void send_over(struct migration *g, enum control_migration_status status, const char *why)
{
    struct machine *m = g->machine;
    g_autoptr(GError) error = NULL;
    int64_t now = g_get_monotonic_time();
    if (!under_way(g))
        return;
    g->total = now - g->start;
    g->downtime = g->stopped ? now - g->stopped : 0;
    g->why = g_strdup(why);
    let_go(g, status != CONTROL_MIGRATION_COMPLETED);
    if (g->stopped && status == CONTROL_MIGRATION_COMPLETED) {
        m->status = CONTROL_POSTMIGRATE;
    } else if (g->stopped) {
        bool active = machine_disks_activate(m, true, &error);
        m->status = active && g->before != CONTROL_RUNNING ? g->before : CONTROL_PAUSED;
        if (active && g->before == CONTROL_RUNNING)
            machine_cont(m, &error);
        if (error && !g->why)
            g->why = g_strdup(error->message);
    }
    machine_request(m, m->put_off);
    m->put_off = 0;
    trace(LOOP, "migrate: %s%s%s", control_migration_name(status), why ? ": " : "", why ? why : "");
    set_status(g, status);
}

static void send_failed(struct migration *g, int code)
{
    g_autofree char *why =
        g_strdup_printf("writing: %s%s", g_strerror(code),
                        code == ENOSPC || code == EFBIG       ? " (make room, or save it somewhere else)"
                        : code == EPIPE || code == ECONNRESET ? " (the other side has ended)"
                                                              : "");
    send_over(g, CONTROL_MIGRATION_FAILED, why);
}

static void child_ended(void *opaque, unsigned events)
{
    struct migration *g = opaque;
    int status = 0;
    if (waitpid(g->way.child, &status, WNOHANG) == 0)
        return;
    g->way.child = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        send_over(g, CONTROL_MIGRATION_COMPLETED, NULL);
        return;
    }
    g_autofree char *why = WIFEXITED(status)
                               ? g_strdup_printf("the command ended with status %d", WEXITSTATUS(status))
                               : g_strdup_printf("the command was ended by signal %d", WTERMSIG(status));
    send_over(g, CONTROL_MIGRATION_FAILED, why);
}

static void answer_ready(struct migration *g)
{
    char text[REASON_MOST];
    ssize_t got = recv(g->way.fd, text, sizeof text, MSG_DONTWAIT);
    if (got < 0 && errno == ECONNRESET) /* it has not read all; what it said is behind the error */
        got = recv(g->way.fd, text, sizeof text, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0) {
        send_failed(g, errno);
        return;
    }
    if (got > 0 && g->answer->len < REASON_MOST) {
        g_string_append_len(g->answer, text, got);
        if (g->answer->str[0] == '-')
            return; /* the rest of it, up to its end */
    }
    if (g->answer->str[0] == '-') {
        g_autofree char *reason = g_utf8_make_valid(g->answer->str + 1, -1);
        g_autofree char *why = g_strdup_printf("the other side has refused: %s", reason);
        send_over(g, CONTROL_MIGRATION_FAILED, why);
        return;
    }
    send_over(g, CONTROL_MIGRATION_COMPLETED, NULL);
}

/* All is written: until the other side has it. */
static void send_wait(struct migration *g)
{
    if (g->way.child) {
        loop_remove_fd(g->watch);
        g->watch = NULL;
        close(g->way.fd);
        g->way.fd = -1;
        g->pidfd = (int)syscall(SYS_pidfd_open, g->way.child, 0);
        if (g->pidfd >= 0) {
            g->child_watch = loop_add_fd(g->machine->loop, g->pidfd, LOOP_READ, child_ended, g);
            return;
        }
        send_over(g, CONTROL_MIGRATION_FAILED,
                  "the host's kernel tells nothing of the command's end (pidfd)");
    } else if (g->way.two_ways) {
        shutdown(g->way.fd, SHUT_WR);
        loop_set_events(g->watch, LOOP_READ);
    } else if (g->way.made && fsync(g->way.fd)) {
        send_failed(g, errno);
    } else {
        send_over(g, CONTROL_MIGRATION_COMPLETED, NULL);
    }
}

/* The next part in `out`. False: it is over. */
static bool send_more(struct migration *g)
{
    g_autoptr(GError) error = NULL;
    struct saved_progress progress;
    g_byte_array_set_size(g->out, 0);
    g->sent = 0;
    if (!saved_writer_next(g->writer, g->out)) {
        send_wait(g);
        return false;
    }
    saved_writer_progress(g->writer, &progress);
    if (progress.done == progress.total && !machine_disks_activate(g->machine, false, &error)) {
        send_over(g, CONTROL_MIGRATION_FAILED, error->message);
        return false;
    }
    return true;
}

static void send_ready(void *opaque, unsigned events)
{
    struct migration *g = opaque;
    g_autoptr(GError) error = NULL;
    if (g->writer == NULL)
        return;
    if (!transport_connected(&g->way, &error)) {
        send_over(g, CONTROL_MIGRATION_FAILED, error->message);
        return;
    }
    /* A side that refuses says so at once, and does not read on. */
    if (events & LOOP_READ) {
        answer_ready(g);
        return;
    }
    if (g->sent == g->out->len && !send_more(g))
        return;
    ssize_t n = write(g->way.fd, g->out->data + g->sent, g->out->len - g->sent);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        if (g->way.two_ways && (errno == EPIPE || errno == ECONNRESET)) {
            loop_set_events(g->watch, LOOP_READ); /* the reason is there to be read, or the end */
            g_string_append_c(g->answer, '-');
            answer_ready(g);
            return;
        }
        send_failed(g, errno);
        return;
    }
    g->sent += (size_t)n;
    g->bytes += (uint64_t)n;
}

bool machine_migrate(void *opaque, const char *uri, int fd, GError **error)
{
    struct machine *m = opaque;
    if (machine_is_moving(m, error) || !transport_check(uri, false, error))
        return false;
    if (m->status == CONTROL_POSTMIGRATE) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                            "Can't migrate the vm that was paused due to previous migration");
        return false;
    }
    if (m->status == CONTROL_INTERNAL_ERROR) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "Resetting the Virtual Machine is required");
        return false;
    }
    for (unsigned i = 0; i < m->drive_count; i++) {
        if (!block_has_passing_writes(m->drives[i].block))
            continue;
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
            "drive %s has snapshot=on: what the guest has written to it is in this process alone, and "
            "would be missing; commit it first, or use a qcow2 image with a backing file",
            block_id(m->drives[i].block));
        return false;
    }
    struct migration *g = migration_new(m);
    g->before = m->status;
    if (!transport_open(&g->way, uri, false, fd, error)) {
        migration_free(g);
        return false;
    }
    bool ran = m->status == CONTROL_RUNNING;
    machine_stop(m, CONTROL_FINISH_MIGRATE);
    g->writer = saved_writer_new(m, ran, error);
    if (!g->writer) {
        m->status = g->before == CONTROL_RUNNING ? CONTROL_PAUSED : g->before;
        if (ran && m->status == CONTROL_PAUSED)
            machine_cont(m, NULL);
        g->status = CONTROL_MIGRATION_ACTIVE; /* what it made goes */
        migration_free(g);
        return false;
    }
    g_clear_pointer(&m->sending, migration_free);
    m->sending = g;
    g->stopped = g_get_monotonic_time();
    g->out = g_byte_array_new();
    g->answer = g_string_new(NULL);
    set_status(g, CONTROL_MIGRATION_SETUP);
    set_status(g, CONTROL_MIGRATION_ACTIVE);
    g->watch = loop_add_fd(m->loop, g->way.fd, LOOP_WRITE | (g->way.two_ways ? LOOP_READ : 0), send_ready, g);
    return true;
}

bool machine_migrate_cancel(void *opaque)
{
    struct machine *m = opaque;
    if (under_way(m->sending))
        send_over(m->sending, CONTROL_MIGRATION_CANCELLED, NULL);
    return true;
}

/* ---- receiving ---- */

static void receive_failed(struct migration *g, const GError *error)
{
    struct machine *m = g->machine;
    if (g->way.two_ways && g->way.fd >= 0) {
        g_autofree char *text = g_strdup_printf("-%.*s", REASON_MOST - 2, error->message);
        ssize_t ignored = send(g->way.fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)ignored;
        shutdown(g->way.fd, SHUT_RDWR);
    }
    g->why = g_strdup(error->message);
    set_status(g, CONTROL_MIGRATION_FAILED);
    let_go(g, true);
    if (!m->fatal)
        g_set_error(&m->fatal, error->domain, error->code, "-incoming: %s", error->message);
    m->exit_code = 1;
    m->ended = true;
}

static void receive_done(struct migration *g)
{
    struct machine *m = g->machine;
    g_autoptr(GError) error = NULL;
    bool ran = false;
    if (!saved_loader_finish(g->loader, &ran, &error) || !machine_disks_activate(m, true, &error)) {
        receive_failed(g, error);
        return;
    }
    if (g->way.two_ways) {
        ssize_t ignored = send(g->way.fd, "+", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)ignored;
    }
    g->total = g_get_monotonic_time() - g->start;
    m->status = CONTROL_PAUSED;
    set_status(g, CONTROL_MIGRATION_COMPLETED);
    if (g->autostart && ran)
        machine_cont(m, NULL);
    if (g->way.child) /* what it still has to say is not for us */
        kill(-g->way.child, SIGTERM);
    let_go(g, true);
}

static void receive_ready(void *opaque, unsigned events)
{
    struct migration *g = opaque;
    g_autoptr(GError) error = NULL;
    ssize_t n = read(g->way.fd, g->piece, READ_PIECE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        g_set_error(&error, G_IO_ERROR, g_io_error_from_errno(errno), "reading: %s", g_strerror(errno));
        receive_failed(g, error);
        return;
    }
    g->bytes += (uint64_t)n;
    if (n > 0 && !saved_loader_feed(g->loader, g->piece, (size_t)n, &error))
        receive_failed(g, error);
    else if (n == 0 || saved_loader_ended(g->loader))
        receive_done(g); /* which says what is missing */
}

static void receive_begin(struct migration *g)
{
    g->piece = g_malloc(READ_PIECE);
    g->loader = saved_loader_new(g->machine, SAVED_LOAD);
    g->start = g_get_monotonic_time();
    g->watch = loop_add_fd(g->machine->loop, g->way.fd, LOOP_READ, receive_ready, g);
    set_status(g, CONTROL_MIGRATION_ACTIVE);
}

static void receive_accept(void *opaque, unsigned events)
{
    struct migration *g = opaque;
    struct loop_fd *watch = g->listen_watch;
    if (!transport_accept(&g->way))
        return;
    g->listen_watch = NULL;
    loop_remove_fd(watch);
    receive_begin(g);
}

static bool receive_from(struct migration *g, const char *uri, int fd, GError **error)
{
    if (!transport_open(&g->way, uri, true, fd, error))
        return false;
    set_status(g, CONTROL_MIGRATION_SETUP);
    if (g->way.fd >= 0)
        receive_begin(g);
    else
        g->listen_watch = loop_add_fd(g->machine->loop, g->way.listener.fd, LOOP_READ, receive_accept, g);
    return true;
}

bool machine_migrate_incoming(void *opaque, const char *uri, int fd, GError **error)
{
    struct machine *m = opaque;
    if (!m->receiving) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "'-incoming' was not specified on the command line");
        return false;
    }
    if (m->receiving->status != CONTROL_MIGRATION_NONE) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "The incoming migration has already been started");
        return false;
    }
    return receive_from(m->receiving, uri, fd, error);
}

bool machine_incoming_build(struct machine *m, GError **error)
{
    const char *uri = m->config->incoming;
    if (!uri)
        return true;
    m->receiving = migration_new(m);
    m->receiving->incoming = true;
    m->receiving->autostart = !m->config->start_stopped;
    m->status = CONTROL_INMIGRATE;
    if (g_str_equal(uri, "defer") || receive_from(m->receiving, uri, -1, error))
        return true;
    g_prefix_error(error, "-incoming ");
    return false;
}

void machine_incoming_autostart(struct machine *m, bool on)
{
    m->receiving->autostart = on;
}

/* ---- what is told ---- */

bool machine_migration(void *opaque, struct control_migration *out)
{
    struct machine *m = opaque;
    const struct migration *g = m->sending ? m->sending : m->receiving;
    if (!g || g->status == CONTROL_MIGRATION_NONE)
        return false;
    struct saved_progress progress = g->progress;
    if (g->writer)
        saved_writer_progress(g->writer, &progress);
    *out = (struct control_migration){.status = g->status,
                                      .incoming = g == m->receiving,
                                      .why = g->why,
                                      .bytes = g->bytes,
                                      .memory_done = progress.done,
                                      .memory_zeros = progress.zeros,
                                      .memory = progress.total,
                                      .total_ms =
                                          (g->total ? g->total : g_get_monotonic_time() - g->start) / 1000,
                                      .down_ms = g->downtime / 1000};
    return true;
}
