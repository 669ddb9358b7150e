/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * One poll loop over all machines that were started: their agent sockets (agent_probe) and their pidfds. A
 * machine without an agent is ready when its emulator answers on the QMP socket, which it makes once the
 * machine is built.
 */
#include "netlab/ready.h"
#include "netlab/agent.h"
#include "netlab/machine.h"
#include "netlab/objects.h"
#include "netlab/paths.h"

#include <errno.h>
#include <gio/gio.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { TICK_MS = 100, TAIL_LINES = 12, SETTLE_MS = 300, SERVER_LINES = 100 };

struct waiting {
    const char *node;
    char *directory, *payload;
    int pidfd;
    bool has_agent, is_server, is_renewer, is_ready;
    struct agent_probe probe;
};

static void waiting_free(void *data)
{
    struct waiting *waiting = data;
    if (waiting->pidfd >= 0)
        close(waiting->pidfd);
    agent_probe_clear(&waiting->probe);
    g_free(waiting->directory);
    g_free(waiting->payload);
    g_free(waiting);
}

static char *last_words(const struct waiting *waiting)
{
    g_autofree char *raw = machine_log_tail(waiting->directory, "machine.log", TAIL_LINES);
    g_autofree char *log = machine_restore_paths(waiting->payload, raw);
    g_autofree char *console = machine_log_tail(waiting->directory, "console.log", TAIL_LINES);
    GString *text = g_string_new(NULL);
    if (*log)
        g_string_append_printf(text, "\n%s says:\n%s", waiting->is_server ? "dnsmasq" : "the emulator", log);
    if (*console)
        g_string_append_printf(text, "\nthe end of its console:\n%s", console);
    if (!text->len)
        g_string_append(text, waiting->is_server ? " (dnsmasq said nothing)"
                                                 : " (neither the emulator nor its console said anything)");
    return g_string_free(text, FALSE);
}

static bool has_ended(const struct waiting *waiting)
{
    struct pollfd fds = {.fd = waiting->pidfd, .events = POLLIN};
    return waiting->pidfd < 0 || poll(&fds, 1, 0) > 0;
}

static bool fail_ended(const struct waiting *waiting, GError **error)
{
    g_autofree char *words = last_words(waiting);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s %s ended before it was ready%s",
                waiting->is_server ? "the server" : "machine", waiting->node, words);
    return false;
}

static bool is_ready(struct waiting *waiting)
{
    if (waiting->has_agent)
        return agent_probe_step(&waiting->probe);
    if (waiting->is_renewer)
        return true; /* it has executed; the lease that is there goes on meanwhile */
    if (waiting->is_server) {
        g_autofree char *log = machine_log_tail(waiting->directory, "machine.log", SERVER_LINES);
        return strstr(log, ": started, version ") != NULL; /* dnsmasq, when it has bound its ports */
    }
    g_autofree char *path = g_build_filename(waiting->directory, "qmp.sock", NULL);
    int fd = paths_connect(path);
    if (fd < 0)
        return false;
    struct pollfd fds = {.fd = fd, .events = POLLIN};
    bool greets = poll(&fds, 1, SETTLE_MS) > 0 && !(fds.revents & (POLLHUP | POLLERR));
    close(fd);
    return greets;
}

static GPtrArray *collect(struct store *store, int64_t lab, GPtrArray *nodes,
                          const struct ready_options *options, GError **error)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(waiting_free);
    for (guint i = 0; i < nodes->len; i++) {
        g_autoptr(store_object) object =
            store_find_object(store, lab, object_kind_name(OBJECT_MACHINE), nodes->pdata[i], error);
        struct process_identity identity;
        if (!object || !process_parse(object->identity, &identity)) {
            if (error && !*error)
                g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "machine %s was not started",
                            (char *)nodes->pdata[i]);
            return NULL;
        }
        g_autofree char *ready = payload_string(object->payload, "ready");
        struct waiting *waiting = g_new0(struct waiting, 1);
        waiting->node = nodes->pdata[i];
        waiting->directory = paths_node_directory(options->runtime, options->lab, waiting->node);
        waiting->payload = g_strdup(object->payload);
        waiting->pidfd = process_open(&identity);
        waiting->has_agent = g_strcmp0(ready, "agent") == 0;
        g_autofree char *server = payload_string(object->payload, "server");
        g_autofree char *lease = payload_string(object->payload, "lease");
        waiting->is_server = server != NULL;
        waiting->is_renewer = lease != NULL;
        agent_probe_init(&waiting->probe, waiting->directory);
        g_ptr_array_add(all, waiting);
    }
    return g_steal_pointer(&all);
}

/* Sleeps until something may have changed. False: cancelled. */
static bool pause_for(GPtrArray *all, int cancel_fd)
{
    g_autofree struct pollfd *fds = g_new0(struct pollfd, all->len * 2 + 1);
    for (guint i = 0; i < all->len; i++) {
        struct waiting *waiting = all->pdata[i];
        fds[i * 2] =
            (struct pollfd){.fd = waiting->is_ready ? -1 : waiting->probe.channel.fd, .events = POLLIN};
        fds[i * 2 + 1] = (struct pollfd){.fd = waiting->is_ready ? -1 : waiting->pidfd, .events = POLLIN};
    }
    fds[all->len * 2] = (struct pollfd){.fd = cancel_fd, .events = POLLIN};
    poll(fds, all->len * 2 + 1, TICK_MS);
    return !fds[all->len * 2].revents;
}

static bool fail_late(GPtrArray *all, unsigned timeout_s, GError **error)
{
    for (guint i = 0; i < all->len; i++) {
        struct waiting *waiting = all->pdata[i];
        if (waiting->is_ready)
            continue;
        g_autofree char *words = last_words(waiting);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "machine %s was not ready within %u s; give it longer with --timeout, or write \"ready: "
                    "started\" if its guest knows no agent%s",
                    waiting->node, timeout_s, words);
        break;
    }
    return false;
}

bool ready_wait(struct store *store, int64_t lab, GPtrArray *nodes, const struct ready_options *options,
                GError **error)
{
    g_autoptr(GPtrArray) all = collect(store, lab, nodes, options, error);
    if (!all)
        return false;
    gint64 start = g_get_monotonic_time();
    guint left = all->len;
    while (left) {
        for (guint i = 0; i < all->len; i++) {
            struct waiting *waiting = all->pdata[i];
            if (waiting->is_ready)
                continue;
            if (is_ready(waiting)) {
                waiting->is_ready = true;
                left--;
                options->became_ready(options->opaque, waiting->node,
                                      (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC, left);
            } else if (has_ended(waiting)) {
                return fail_ended(waiting, error);
            }
        }
        if (!left)
            break;
        if (g_get_monotonic_time() - start > (gint64)options->timeout_s * G_USEC_PER_SEC)
            return fail_late(all, options->timeout_s, error);
        if (!pause_for(all, options->cancel_fd)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "interrupted");
            return false;
        }
    }
    return true;
}
