/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * UDP as a character back end: what is written goes to one address, in datagrams as they are flushed; what
 * comes from there is input. There is no connection, so nothing ends: a datagram that nobody takes is lost.
 */
#include "emu/char/char_internal.h"

#include <errno.h>
#include <gio/gio.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct addrinfo *look_up(const char *host, const char *service, int family, bool local, GError **error)
{
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_DGRAM, .ai_flags = local ? AI_PASSIVE : 0};
    struct addrinfo *list = NULL;
    int failed = getaddrinfo(host && *host ? host : NULL, service, &hints, &list);

    if (failed)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_HOST_NOT_FOUND, "udp:%s:%s: %s", host ? host : "", service,
                    gai_strerror(failed));
    return list;
}

static int open_socket(const struct char_spec *spec, GError **error)
{
    int family = spec->ipv4 == spec->ipv6 ? AF_UNSPEC : spec->ipv4 ? AF_INET : AF_INET6;
    struct addrinfo *to = look_up(spec->host, spec->service, family, false, error), *from = NULL;
    bool wants_local = spec->local_host || spec->local_service;
    int fd = -1, why = 0;
    bool good = to != NULL;

    if (good && wants_local) {
        from = look_up(spec->local_host, spec->local_service ? spec->local_service : "0", to->ai_family, true,
                       error);
        good = from != NULL;
    }
    if (good) {
        fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        good = fd >= 0 && (!from || bind(fd, from->ai_addr, from->ai_addrlen) == 0) &&
               connect(fd, to->ai_addr, to->ai_addrlen) == 0;
        why = errno;
        if (!good)
            char_error_errno(error, why, "udp:%s:%s: %s%s", spec->host, spec->service, g_strerror(why),
                             why == EADDRINUSE ? " (another program has the local port: give another)" : "");
    }
    if (!good && fd >= 0) {
        close(fd);
        fd = -1;
    }
    if (to)
        freeaddrinfo(to);
    if (from)
        freeaddrinfo(from);
    return fd;
}

static const struct char_ops udp_ops = {.kind = "udp"};

struct char_port *char_udp_open(const char *id, const struct char_spec *spec, struct loop *loop,
                                GError **error)
{
    int fd = open_socket(spec, error);

    if (fd < 0)
        return NULL;
    struct char_port *port = char_port_new(id, &udp_ops, loop);
    port->has_escapes = spec->mux;
    port->datagrams = true;
    port->text = g_strdup_printf("udp:%s:%s", spec->host, spec->service);
    char_port_attach(port, fd, fd, CHAR_WRITE_SEND);
    return port;
}
