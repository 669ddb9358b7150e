/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * UNIX and TCP sockets as character back ends, and the listening UNIX socket that the control room uses too.
 *
 * A server has one peer at a time: while one is connected the listening socket is not watched, the next waits
 * in its backlog, and is taken when the first has gone, any number of times. A client whose connection ends
 * tries again every `reconnect` seconds, if it was told to. What the guest writes while nobody is connected
 * is dropped and counted, as a serial line without a cable does.
 *
 * UNIX sockets are made with mode 0600 from the first moment (fchmod before bind). A socket file that nobody
 * listens on any more is replaced; one that answers is an error; anything else of that name is left alone.
 * At the end the file is removed if it is still the one made here (device and inode).
 */
#include "emu/char/char_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

struct char_socket {
    struct char_port *port;
    struct char_listener listener; /* fd -1: client */
    struct loop_fd *listen_watch;
    bool unix_domain;
    char *path, *host, *service;
    int family;
    bool delay;
    unsigned reconnect_s;
    int retry_fd; /* timerfd, -1: none */
    struct loop_fd *retry_watch;
    int pending_fd; /* a connect() in progress */
    struct loop_fd *pending_watch;
};

/* ---- UNIX addresses ---- */

/* Fills `address`; a path longer than sun_path goes through a descriptor of its folder, returned in *folder
 * (-1 otherwise) and to be closed after use. */
static bool unix_address(const char *path, struct sockaddr_un *address, int *folder, GError **error)
{
    *folder = -1;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) < sizeof address->sun_path) {
        strcpy(address->sun_path, path);
        return true;
    }
    g_autofree char *dirname = g_path_get_dirname(path), *base = g_path_get_basename(path);
    *folder = open(dirname, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*folder < 0) {
        char_error_errno(error, errno, "%s: %s", dirname, g_strerror(errno));
        return false;
    }
    int len = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", *folder, base);
    if (len >= (int)sizeof address->sun_path) {
        close(*folder);
        *folder = -1;
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FILENAME_TOO_LONG, "%s: the name is too long for a socket",
                    base);
        return false;
    }
    return true;
}

static int unix_connect(const char *path, int type, GError **error)
{
    struct sockaddr_un address;
    int folder;
    if (!unix_address(path, &address, &folder, error))
        return -1;
    int fd = socket(AF_UNIX, SOCK_CLOEXEC | type, 0);
    int result = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
    int why = errno;
    if (folder >= 0)
        close(folder);
    if (result < 0) {
        if (fd >= 0)
            close(fd);
        char_error_errno(
            error, why, "connecting to %s: %s%s", path, g_strerror(why),
            why == ENOENT || why == ECONNREFUSED ? " (start its server first, or add reconnect=1)" : "");
        errno = why;
        return -1;
    }
    return fd;
}

/* Makes way for a socket at `path`: true when nothing is there (any more). */
static bool unix_clear_stale(const char *path, int type, GError **error)
{
    struct stat st;
    if (lstat(path, &st))
        return true; /* bind() reports what is wrong with the folder */
    if (!S_ISSOCK(st.st_mode)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, "%s exists and is not a socket (give another path)",
                    path);
        return false;
    }
    int probe = unix_connect(path, type | SOCK_NONBLOCK, NULL);
    int why = errno;
    if (probe >= 0)
        close(probe);
    if (probe >= 0 || why == EAGAIN || why == EPERM || why == EPROTOTYPE) { /* of a peer; of another type */
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE,
                    "%s: another program is listening there (give another path, or end that one)", path);
        return false;
    }
    if (why == ECONNREFUSED && unlink(path) && errno != ENOENT) {
        char_error_errno(error, errno, "removing the stale socket %s: %s", path, g_strerror(errno));
        return false;
    }
    return true;
}

static bool unix_bind(struct char_listener *listener, const char *path, int type, GError **error)
{
    struct sockaddr_un address;
    int folder;
    struct stat st;
    *listener = (struct char_listener){.fd = -1};
    if (!unix_clear_stale(path, type, error) || !unix_address(path, &address, &folder, error))
        return false;
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool made =
        fd >= 0 && fchmod(fd, 0600) == 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    bool good = made && (type == SOCK_DGRAM || listen(fd, 16) == 0) && lstat(path, &st) == 0;
    int why = errno;
    if (folder >= 0)
        close(folder);
    if (!good) {
        if (made)
            unlink(path);
        if (fd >= 0)
            close(fd);
        char_error_errno(error, why, "listening on %s: %s%s", path, g_strerror(why),
                         why == ENOENT ? " (make the folder first)" : "");
        return false;
    }
    *listener = (struct char_listener){
        .fd = fd, .path = g_canonicalize_filename(path, NULL), .device = st.st_dev, .inode = st.st_ino};
    return true;
}

bool char_listen_unix(struct char_listener *listener, const char *path, GError **error)
{
    return unix_bind(listener, path, SOCK_STREAM, error);
}

bool char_receive_unix(struct char_listener *listener, const char *path, GError **error)
{
    return unix_bind(listener, path, SOCK_DGRAM, error);
}

void char_unlisten(struct char_listener *listener)
{
    struct stat st;
    if (listener->fd < 0)
        return;
    close(listener->fd);
    listener->fd = -1;
    if (listener->path && lstat(listener->path, &st) == 0 && st.st_dev == listener->device &&
        st.st_ino == listener->inode)
        unlink(listener->path);
    g_clear_pointer(&listener->path, g_free);
}

/* ---- TCP ---- */

static int tcp_open(const char *host, const char *service, int family, bool server, GError **error)
{
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = server ? AI_PASSIVE : 0};
    struct addrinfo *list = NULL;
    int failed = getaddrinfo(*host ? host : NULL, service, &hints, &list);
    if (failed) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_HOST_NOT_FOUND, "tcp:%s:%s: %s", host, service,
                    gai_strerror(failed));
        return -1;
    }
    int fd = -1, why = 0;
    for (struct addrinfo *at = list; at && fd < 0; at = at->ai_next) {
        int one = 1;
        fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            why = errno;
            continue;
        }
        bool good;
        if (server) {
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
            if (family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
            good = bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, 4) == 0;
        } else {
            good = connect(fd, at->ai_addr, at->ai_addrlen) == 0 || errno == EINPROGRESS;
        }
        if (!good) {
            why = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0)
        char_error_errno(error, why, "%s tcp:%s:%s: %s", server ? "listening on" : "connecting to", host,
                         service, g_strerror(why));
    return fd;
}

/* The first free port from `service` to `last`; with its number in *found. */
static int tcp_listen(const char *host, const char *service, unsigned last, int family, char **found,
                      GError **error)
{
    uint64_t first;
    if (!last) {
        *found = g_strdup(service);
        return tcp_open(host, service, family, true, error);
    }
    if (!g_ascii_string_to_unsigned(service, 10, 1, last, &first, NULL)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "to=%u: the port must be a number from 1 to that; it is '%s'", last, service);
        return -1;
    }
    for (uint64_t port = first;; port++) {
        g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, port);
        g_autoptr(GError) why = NULL;
        int fd = tcp_open(host, text, family, true, &why);
        if (fd >= 0) {
            *found = g_steal_pointer(&text);
            return fd;
        }
        if (port == last || !g_error_matches(why, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE)) {
            g_propagate_error(error, g_steal_pointer(&why));
            return -1;
        }
    }
}

/* ---- the port ---- */

static void socket_connect_soon(struct char_socket *s);

static void socket_attach(struct char_socket *s, int fd)
{
    int one = 1;
    if (!s->unix_domain && !s->delay)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    s->port->watch_hangup = true;
    char_port_attach(s->port, fd, fd, CHAR_WRITE_SEND);
}

static void socket_accept(void *opaque, unsigned events)
{
    struct char_socket *s = opaque;
    int fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        trace(CHAR, "%s: accept: %s", s->port->id, g_strerror(errno));
        return;
    }
    loop_set_events(s->listen_watch, 0);
    socket_attach(s, fd);
}

static void socket_pending_ready(void *opaque, unsigned events)
{
    struct char_socket *s = opaque;
    int why = 0;
    socklen_t len = sizeof why;
    int fd = s->pending_fd;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len);
    loop_remove_fd(s->pending_watch);
    s->pending_watch = NULL;
    s->pending_fd = -1;
    if (why) {
        trace(CHAR, "%s: connecting: %s", s->port->id, g_strerror(why));
        close(fd);
        socket_connect_soon(s);
        return;
    }
    socket_attach(s, fd);
}

/* One attempt. False: it failed at once. */
static bool socket_connect(struct char_socket *s, GError **error)
{
    int fd = s->unix_domain ? unix_connect(s->path, SOCK_STREAM | SOCK_NONBLOCK, error)
                            : tcp_open(s->host, s->service, s->family, false, error);
    if (fd < 0)
        return false;
    if (s->unix_domain) {
        socket_attach(s, fd);
        return true;
    }
    s->pending_fd = fd;
    s->pending_watch = loop_add_fd(s->port->loop, fd, LOOP_WRITE, socket_pending_ready, s);
    return true;
}

static void socket_retry(void *opaque, unsigned events)
{
    struct char_socket *s = opaque;
    uint64_t ignored;
    ssize_t got = read(s->retry_fd, &ignored, sizeof ignored);
    (void)got;
    if (!s->port->open && s->pending_fd < 0 && !socket_connect(s, NULL))
        socket_connect_soon(s);
}

static void socket_connect_soon(struct char_socket *s)
{
    if (!s->reconnect_s)
        return;
    if (s->retry_fd < 0) {
        s->retry_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (s->retry_fd < 0)
            return;
        s->retry_watch = loop_add_fd(s->port->loop, s->retry_fd, LOOP_READ, socket_retry, s);
    }
    struct itimerspec when = {.it_value.tv_sec = s->reconnect_s};
    timerfd_settime(s->retry_fd, 0, &when, NULL);
}

static void socket_ended(struct char_port *port)
{
    struct char_socket *s = port->kind;
    if (!port->open)
        return;
    char_port_detach(port);
    if (s->listener.fd >= 0)
        loop_set_events(s->listen_watch, LOOP_READ);
    else
        socket_connect_soon(s);
}

static void socket_free(struct char_port *port)
{
    struct char_socket *s = port->kind;
    loop_remove_fd(s->listen_watch);
    loop_remove_fd(s->retry_watch);
    loop_remove_fd(s->pending_watch);
    char_unlisten(&s->listener);
    if (s->retry_fd >= 0)
        close(s->retry_fd);
    if (s->pending_fd >= 0)
        close(s->pending_fd);
    g_free(s->path);
    g_free(s->host);
    g_free(s->service);
    g_free(s);
}

static const struct char_ops socket_ops = {.kind = "socket", .ended = socket_ended, .free = socket_free};

/* A socket that listens already, passed in; -1 with an error. */
static int socket_passed(int fd, GError **error)
{
    int listens = 0;
    socklen_t len = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) || !listens) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "socket: fd=%d is no socket that listens (leave server=on out for one that is connected)",
                    fd);
        return -1;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

struct char_port *char_socket_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                   GError **error)
{
    struct char_port *port = char_port_new(id, &socket_ops, loop);
    struct char_socket *s = g_new0(struct char_socket, 1);
    port->kind = s;
    port->has_escapes = spec->mux;
    s->port = port;
    s->unix_domain = spec->kind == CHAR_UNIX;
    s->path = g_strdup(spec->path);
    s->host = g_strdup(spec->host);
    s->service = g_strdup(spec->service);
    s->reconnect_s = spec->reconnect_s;
    s->delay = spec->delay;
    s->family = spec->ipv4 == spec->ipv6 ? AF_UNSPEC : spec->ipv4 ? AF_INET : AF_INET6;
    if (spec->telnet)
        port->telnet = char_telnet_new();
    port->telnet_hello = spec->server;
    s->listener.fd = s->retry_fd = s->pending_fd = -1;

    bool good;
    if (!spec->server) {
        g_autoptr(GError) why = NULL;
        good = socket_connect(s, &why);
        if (!good && s->reconnect_s) {
            socket_connect_soon(s);
            good = true;
        } else if (!good) {
            g_propagate_error(error, g_steal_pointer(&why));
        }
    } else if (spec->fd >= 0) {
        s->listener.fd = socket_passed(spec->fd, error);
        good = s->listener.fd >= 0;
    } else if (s->unix_domain) {
        good = char_listen_unix(&s->listener, s->path, error);
    } else {
        g_autofree char *found = NULL;
        s->listener.fd = tcp_listen(s->host, s->service, spec->port_to, s->family, &found, error);
        good = s->listener.fd >= 0;
        if (good) {
            g_free(s->service);
            s->service = g_steal_pointer(&found);
        }
    }
    g_autofree char *where =
        spec->fd >= 0    ? g_strdup_printf("fd:%d", spec->fd)
        : s->unix_domain ? g_strdup_printf("unix:%s", s->path)
                         : g_strdup_printf("%s:%s:%s", spec->telnet ? "telnet" : "tcp", s->host, s->service);
    port->text = g_strconcat(where, spec->server ? ",server=on" : "", NULL);
    if (!good) {
        char_free(port);
        return NULL;
    }
    if (spec->server) {
        port->waiting = spec->wait;
        s->listen_watch = loop_add_fd(loop, s->listener.fd, LOOP_READ, socket_accept, s);
    }
    return port;
}
