/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Where saved machines come from and go to: see transport.h.
 *
 * A command is a process group of its own: ended with all it has started when the transfer is given up. Its
 * standard input, or output, is ours; the rest it has from us. A file is emptied only when saving begins.
 */
#include "emu/machine/transport.h"

#include "emu/fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum way { WAY_EXEC, WAY_FD, WAY_FILE, WAY_UNIX, WAY_TCP, WAY_COUNT };
static const char *const prefixes[WAY_COUNT] = {
    [WAY_EXEC] = "exec:", [WAY_FD] = "fd:", [WAY_FILE] = "file:", [WAY_UNIX] = "unix:", [WAY_TCP] = "tcp:"};

static bool split(const char *uri, enum way *way, const char **rest, GError **error)
{
    for (enum way w = 0; w < WAY_COUNT; w++) {
        if (!g_str_has_prefix(uri, prefixes[w]))
            continue;
        *way = w;
        *rest = uri + strlen(prefixes[w]);
        if (**rest)
            return true;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "unknown migration protocol: %.200s (there are exec:COMMAND, fd:N, file:PATH, unix:PATH and "
                "tcp:HOST:PORT)",
                uri);
    return false;
}

static bool fail_errno(GError **error, const char *uri, int why)
{
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why), "%.200s: %s", uri, g_strerror(why));
    return false;
}

/* "HOST:PORT", "[HOST]:PORT"; an empty host is this one. */
static bool split_tcp(const char *uri, const char *rest, char **host, char **port, GError **error)
{
    const char *colon = strrchr(rest, ':');
    uint64_t number;
    if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 0, 65535, &number, NULL)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "%.200s: tcp:HOST:PORT is wanted", uri);
        return false;
    }
    size_t len = (size_t)(colon - rest);
    bool brackets = len >= 2 && rest[0] == '[' && rest[len - 1] == ']';
    *host = len ? g_strndup(rest + brackets, len - 2 * brackets) : g_strdup("localhost");
    *port = g_strdup(colon + 1);
    return true;
}

static bool check_number(const char *uri, const char *rest, int *fd, GError **error)
{
    uint64_t number;
    if (!g_ascii_string_to_unsigned(rest, 10, 0, 1 << 20, &number, NULL)) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
            "%.200s: there is no descriptor of that name (QMP's getfd passes one), and it is no number", uri);
        return false;
    }
    *fd = (int)number;
    return true;
}

bool transport_check(const char *uri, bool incoming, GError **error)
{
    enum way way;
    const char *rest;
    g_autofree char *host = NULL, *port = NULL;
    int fd;
    if (!split(uri, &way, &rest, error))
        return false;
    if (way == WAY_TCP)
        return split_tcp(uri, rest, &host, &port, error);
    return way != WAY_FD || !incoming || check_number(uri, rest, &fd, error);
}

/* ---- commands ---- */

static bool open_exec(struct transport *t, const char *command, bool incoming, GError **error)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return fail_errno(error, command, errno);
    int ours = ends[incoming ? 0 : 1], theirs = ends[incoming ? 1 : 0];
    pid_t child = fork();
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        signal(SIGXFSZ, SIG_DFL);
        setpgid(0, 0);
        int other = open("/dev/null", O_RDWR);
        /* 0 and 1 at once: `theirs` may be one of them, so it is moved out of the way first. */
        int moved = fcntl(theirs, F_DUPFD_CLOEXEC, 3);
        if (other < 0 || moved < 0 || dup2(moved, incoming ? 1 : 0) < 0 || (incoming && dup2(other, 0) < 0))
            _exit(127);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int why = errno;
    close(theirs);
    if (child < 0) {
        close(ours);
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why),
                    "exec:%.200s: %s (with -sandbox on,spawn=deny no command can be started)", command,
                    g_strerror(why));
        return false;
    }
    setpgid(child, child);
    t->child = child;
    t->fd = ours;
    return true;
}

/* ---- files and descriptors ---- */

static bool open_file(struct transport *t, const char *uri, const char *path, bool incoming, GError **error)
{
    int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    bool there = access(path, F_OK) == 0;
    t->fd = fdset_open(path, flags | (incoming ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC), 0600);
    if (t->fd < 0)
        return fail_errno(error, uri, errno);
    if (!incoming && !there)
        t->made = g_canonicalize_filename(path, NULL);
    return true;
}

static bool open_number(struct transport *t, const char *uri, const char *rest, int fd, GError **error)
{
    int number = fd;
    if (fd < 0 && !check_number(uri, rest, &number, error))
        return false;
    struct stat st;
    int flags = fcntl(number, F_GETFL);
    int own = fd >= 0 ? fd : fcntl(number, F_DUPFD_CLOEXEC, 3);
    if (flags < 0 || own < 0 || fstat(own, &st))
        return fail_errno(error, uri, errno);
    fcntl(own, F_SETFL, flags | O_NONBLOCK);
    t->fd = own;
    t->two_ways = S_ISSOCK(st.st_mode);
    return true;
}

/* ---- sockets ---- */

static bool open_unix(struct transport *t, const char *uri, const char *path, bool incoming, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (incoming)
        return char_listen_unix(&t->listener, path, error);
    if (strlen(path) >= sizeof address.sun_path)
        return fail_errno(error, uri, ENAMETOOLONG);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    t->two_ways = true;
    if (t->fd >= 0 && connect(t->fd, (struct sockaddr *)&address, sizeof address) == 0)
        return true;
    return fail_errno(error, uri, errno);
}

static bool open_tcp(struct transport *t, const char *uri, const char *rest, bool incoming, GError **error)
{
    g_autofree char *host = NULL, *port = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = incoming ? AI_PASSIVE : 0}, *list = NULL;
    if (!split_tcp(uri, rest, &host, &port, error))
        return false;
    int bad = getaddrinfo(host, port, &hints, &list), why = 0, fd = -1;
    if (bad) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_HOST_NOT_FOUND, "%.200s: %s", uri, gai_strerror(bad));
        return false;
    }
    for (struct addrinfo *at = list; at && fd < 0; at = at->ai_next) {
        int one = 1;
        fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && incoming)
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (fd >= 0 && (incoming ? bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, 1) == 0
                                 : connect(fd, at->ai_addr, at->ai_addrlen) == 0 || errno == EINPROGRESS))
            break;
        why = errno;
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    if (fd < 0)
        return fail_errno(error, uri, why);
    *(incoming ? &t->listener.fd : &t->fd) = fd;
    t->two_ways = true;
    t->socket_pending = !incoming;
    return true;
}

bool transport_connected(struct transport *t, GError **error)
{
    int why = 0;
    socklen_t len = sizeof why;
    if (!t->socket_pending)
        return true;
    t->socket_pending = false;
    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &why, &len))
        why = errno;
    return !why || fail_errno(error, "connecting", why);
}

bool transport_accept(struct transport *t)
{
    t->fd = accept4(t->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (t->fd < 0)
        return false;
    t->two_ways = true;
    char_unlisten(&t->listener);
    return true;
}

bool transport_open(struct transport *t, const char *uri, bool incoming, int fd, GError **error)
{
    enum way way;
    const char *rest;
    bool good = false;
    *t = (struct transport){.fd = -1, .listener.fd = -1};
    if (!split(uri, &way, &rest, error))
        return false;
    switch (way) {
    case WAY_EXEC:
        good = open_exec(t, rest, incoming, error);
        break;
    case WAY_FD:
        good = open_number(t, uri, rest, fd, error);
        break;
    case WAY_FILE:
        good = open_file(t, uri, rest, incoming, error);
        break;
    case WAY_UNIX:
        good = open_unix(t, uri, rest, incoming, error);
        break;
    case WAY_TCP:
        good = open_tcp(t, uri, rest, incoming, error);
        break;
    case WAY_COUNT:
        break;
    }
    if (good && t->fd >= 0 && way == WAY_EXEC)
        fcntl(t->fd, F_SETFL, O_NONBLOCK | (incoming ? O_RDONLY : O_WRONLY));
    if (!good)
        transport_close(t, true);
    return good;
}

void transport_close(struct transport *t, bool discard)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    char_unlisten(&t->listener);
    if (t->child) { /* who waited for its end has set it to 0 */
        kill(-t->child, SIGKILL);
        waitpid(t->child, NULL, 0);
        t->child = 0;
    }
    if (discard && t->made)
        unlink(t->made);
    g_clear_pointer(&t->made, g_free);
}
