/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the socket back ends share: where a cable of sockets leads. The words are read by socket_words.c,
 * which calls one of the two openers.
 */
#pragma once

#include "emu/net/netdev.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

struct socket_place {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un unix_path;
        struct sockaddr_storage room;
    };
    socklen_t length; /* 0: none */
};

/* A connection that carries frames one after the other, each behind its length (4 bytes, big-endian). */
struct stream_config {
    struct socket_place place;
    bool server;
    unsigned retry_ms; /* client: after a failure or an end; 0: not again */
    int fd;            /* instead of a place: connected or listening; -1: none. Adopted on success */
    const char *name;  /* for people: "listen=:1234"; copied */
};
struct net_port *net_stream_new(const char *id, const struct net_env *env, const struct stream_config *config,
                                GError **error);

/* One frame a datagram. */
struct dgram_config {
    struct socket_place local;     /* where frames come in; length 0: anywhere */
    struct socket_place remote;    /* where they go; length 0: `fd` is connected */
    struct in_addr multicast_from; /* the host's address for multicast; 0: the kernel's choice */
    int fd;
    const char *name;
};
struct net_port *net_dgram_new(const char *id, const struct net_env *env, const struct dgram_config *config,
                               GError **error);

void socket_place_show(const struct socket_place *place, GString *out);
bool socket_is_multicast(const struct socket_place *place);
/* Makes a descriptor non-blocking and close-on-exec. */
bool socket_prepare(int fd, GError **error);
