/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Identity and end of processes; see process.h.
 */
#include "netlab/process.h"

#include <errno.h>
#include <gio/gio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { KILL_WAIT_MS = 10000 };

void process_boot_id(char text[37])
{
    g_autofree char *contents = NULL;
    if (g_file_get_contents("/proc/sys/kernel/random/boot_id", &contents, NULL, NULL) &&
        strlen(contents) >= 36)
        g_strlcpy(text, contents, 37);
    else
        strcpy(text, "unknown");
}

struct process_stat {
    char state;
    bool is_exiting; /* PF_EXITING: it has been killed and is on its way out; its namespaces may be gone
                        already */
    uint64_t start;
};

static bool read_stat(pid_t pid, struct process_stat *found)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    g_autofree char *contents = NULL;
    if (!g_file_get_contents(path, &contents, NULL, NULL))
        return false;
    /* The command's name is in parentheses and may contain anything, parentheses too. */
    const char *after = strrchr(contents, ')');
    unsigned long long ticks;
    unsigned flags;
    if (!after ||
        sscanf(after + 1, " %c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &found->state, &flags, &ticks) != 3)
        return false;
    found->is_exiting = flags & 4;
    found->start = ticks;
    return true;
}

bool process_identify(pid_t pid, struct process_identity *identity)
{
    struct process_stat stat;
    struct process_identity found = {.pid = pid};
    if (!read_stat(pid, &stat))
        return false;
    found.start = stat.start;
    process_boot_id(found.boot_id);
    *identity = found;
    return true;
}

char *process_format(const struct process_identity *identity)
{
    return g_strdup_printf("%s/%d/%" G_GUINT64_FORMAT, identity->boot_id, identity->pid, identity->start);
}

bool process_parse(const char *text, struct process_identity *identity)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 4);
    struct process_identity found = {0};
    if (g_strv_length(parts) != 3 || strlen(parts[0]) >= sizeof found.boot_id)
        return false;
    char *end_pid, *end_start;
    gint64 pid = g_ascii_strtoll(parts[1], &end_pid, 10);
    found.start = g_ascii_strtoull(parts[2], &end_start, 10);
    if (*end_pid || *end_start || pid < 1 || pid > G_MAXINT)
        return false;
    found.pid = (pid_t)pid;
    strcpy(found.boot_id, parts[0]);
    *identity = found;
    return true;
}

/* Is it that one, and not dead? `still_exiting` counts one that is on its way out as not dead yet. */
static bool is_same(const struct process_identity *identity, bool still_exiting)
{
    struct process_stat stat;
    char boot_id[37];
    process_boot_id(boot_id);
    return g_str_equal(boot_id, identity->boot_id) && read_stat(identity->pid, &stat) &&
           stat.start == identity->start && stat.state != 'Z' && stat.state != 'X' &&
           (still_exiting || !stat.is_exiting);
}

bool process_is_alive(const struct process_identity *identity)
{
    return is_same(identity, false);
}

int process_open(const struct process_identity *identity)
{
    int fd = (int)syscall(SYS_pidfd_open, identity->pid, 0);
    if (fd < 0)
        return -1;
    if (is_same(identity, true))
        return fd;
    close(fd);
    errno = ESRCH;
    return -1;
}

static bool wait_for_end(int pidfd, unsigned ms)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)ms * 1000;
    for (;;) {
        gint64 left = (deadline - g_get_monotonic_time()) / 1000;
        struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
        int n = poll(&poll_fd, 1, left > 0 ? (int)left : 0);
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
        if (left <= 0)
            return false;
    }
}

bool process_end(const struct process_identity *identity, unsigned grace_ms, GError **error)
{
    int pidfd = process_open(identity);
    if (pidfd < 0) {
        if (errno == ESRCH || !is_same(identity, true))
            return true;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "process %d: %s", identity->pid,
                    g_strerror(errno));
        return false;
    }
    bool gone = false;
    int cause = 0;
    static const int signals[] = {SIGTERM, SIGKILL};
    for (size_t i = 0; i < G_N_ELEMENTS(signals) && !gone && !cause; i++) {
        if (signals[i] == SIGTERM && grace_ms == 0)
            continue;
        if (syscall(SYS_pidfd_send_signal, pidfd, signals[i], NULL, 0) != 0)
            cause = errno;
        gone = cause == ESRCH ||
               (!cause && wait_for_end(pidfd, signals[i] == SIGTERM ? grace_ms : KILL_WAIT_MS));
    }
    close(pidfd);
    if (gone)
        return true;
    if (cause)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause),
                    "process %d cannot be ended: %s; end it as its own user or as root", identity->pid,
                    g_strerror(cause));
    else
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
            "process %d does not end although it was killed; it hangs in the kernel, see /proc/%d/stack",
            identity->pid, identity->pid);
    return false;
}

/* Until all have ended or the time is over; those that have are closed and -1. */
static void wait_for_all(struct pollfd *fds, unsigned count, unsigned ms)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)ms * 1000;
    for (;;) {
        unsigned left = 0;
        for (unsigned i = 0; i < count; i++)
            left += fds[i].fd >= 0;
        gint64 time = (deadline - g_get_monotonic_time()) / 1000;
        int ready = left ? poll(fds, count, time > 0 ? (int)time : 0) : 0;
        for (unsigned i = 0; ready > 0 && i < count; i++) {
            if (fds[i].fd < 0 || !fds[i].revents)
                continue;
            close(fds[i].fd);
            fds[i].fd = -1;
        }
        if (!left || (ready <= 0 && time <= 0) || (ready < 0 && errno != EINTR))
            return;
    }
}

void process_end_all(const struct process_identity *identities, unsigned count, unsigned grace_ms)
{
    enum { AT_ONCE = 256 }; /* fds */
    struct pollfd fds[AT_ONCE];
    for (unsigned from = 0; from < count; from += AT_ONCE) {
        unsigned some = MIN(count - from, AT_ONCE);
        for (unsigned i = 0; i < some; i++)
            fds[i] = (struct pollfd){.fd = process_open(&identities[from + i]), .events = POLLIN};
        static const int signals[] = {SIGTERM, SIGKILL};
        for (size_t k = 0; k < G_N_ELEMENTS(signals); k++) {
            for (unsigned i = 0; i < some; i++) {
                if (fds[i].fd >= 0)
                    syscall(SYS_pidfd_send_signal, fds[i].fd, signals[k], NULL, 0);
            }
            wait_for_all(fds, some, signals[k] == SIGTERM ? grace_ms : KILL_WAIT_MS);
        }
        for (unsigned i = 0; i < some; i++) {
            if (fds[i].fd >= 0)
                close(fds[i].fd);
        }
    }
}

/* Pages that are mapped twice, as a machine's memory is, count once there; what several processes share, in
 * parts. Not for other users' processes. */
static uint64_t proportional(pid_t pid)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    g_autofree char *contents = NULL;
    unsigned long long kilobytes = 0;
    if (!g_file_get_contents(path, &contents, NULL, NULL))
        return 0;
    const char *line = strstr(contents, "\nPss:");
    return line && sscanf(line, " Pss: %llu kB", &kilobytes) == 1 ? kilobytes : 0;
}

uint64_t process_resident(pid_t pid)
{
    char path[40];
    uint64_t share = proportional(pid);
    if (share)
        return share;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    g_autofree char *contents = NULL;
    unsigned long long pages;
    if (!g_file_get_contents(path, &contents, NULL, NULL) || sscanf(contents, "%*u %llu", &pages) != 1)
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

uint64_t process_cpu_ms(pid_t pid)
{
    char path[40];
    g_autofree char *contents = NULL;
    unsigned long long user, system;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    /* The command's name, in parentheses, may hold anything. */
    const char *rest = g_file_get_contents(path, &contents, NULL, NULL) ? strrchr(contents, ')') : NULL;
    if (!rest ||
        sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
        return 0;
    return (user + system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

int64_t process_age(const struct process_identity *identity)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return MAX(0, (int64_t)now.tv_sec - (int64_t)(identity->start / (uint64_t)sysconf(_SC_CLK_TCK)));
}

uint64_t process_netns(pid_t pid)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
    struct stat found;
    return stat(path, &found) == 0 ? found.st_ino : 0;
}

/* ---- owner marks ---- */

#define MARK_PREFIX "netlab:"

char *process_mark_format(const char *state, const char *lab, const char *node)
{
    return g_strdup_printf(MARK_PREFIX "%s:%s:%s", lab, node ? node : "", state);
}

static void marked_free(void *data)
{
    struct process_marked *marked = data;
    g_free(marked->lab);
    g_free(marked->node);
    g_free(marked->state);
    g_free(marked);
}

/* The value of our variable in an environment as /proc gives it; NULL: none. Not owned. */
static const char *find_mark(const char *environment, gsize length)
{
    static const char variable[] = PROCESS_MARK "=";
    for (const char *at = environment; at < environment + length; at += strlen(at) + 1) {
        if (g_str_has_prefix(at, variable))
            return at + strlen(variable);
    }
    return NULL;
}

/* The effective one; false when the process is gone. */
static bool read_uid(pid_t pid, uid_t *uid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", pid);
    g_autofree char *text = NULL;
    unsigned effective;
    const char *line = g_file_get_contents(path, &text, NULL, NULL) ? strstr(text, "\nUid:") : NULL;
    if (!line || sscanf(line, " Uid: %*u %u", &effective) != 1)
        return false;
    *uid = (uid_t)effective;
    return true;
}

static struct process_marked *read_marked(pid_t pid, const char *state)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/environ", pid);
    g_autofree char *environment = NULL;
    gsize length = 0;
    struct process_identity identity;
    /* Who it is first: should the pid go to another meanwhile, the start time will not agree later. */
    if (!process_identify(pid, &identity) || !g_file_get_contents(path, &environment, &length, NULL))
        return NULL;
    const char *mark = find_mark(environment, length);
    g_auto(GStrv) parts =
        mark && g_str_has_prefix(mark, MARK_PREFIX) ? g_strsplit(mark + strlen(MARK_PREFIX), ":", 3) : NULL;
    if (!parts || g_strv_length(parts) != 3 || !*parts[0] || (state && !g_str_equal(parts[2], state)) ||
        !process_is_alive(&identity))
        return NULL;
    uid_t uid;
    if (!read_uid(pid, &uid))
        return NULL;
    struct process_marked *marked = g_new0(struct process_marked, 1);
    marked->identity = identity;
    marked->uid = uid;
    marked->lab = g_strdup(parts[0]);
    marked->node = g_strdup(parts[1]);
    marked->state = g_strdup(parts[2]);
    return marked;
}

GPtrArray *process_list_marked(const char *state)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(marked_free);
    g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
    for (const char *name; proc && (name = g_dir_read_name(proc));) {
        pid_t pid = g_ascii_isdigit(*name) ? atoi(name) : 0;
        struct process_marked *marked = pid > 0 && pid != getpid() ? read_marked(pid, state) : NULL;
        if (marked)
            g_ptr_array_add(found, marked);
    }
    return found;
}
