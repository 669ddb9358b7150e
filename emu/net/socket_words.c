/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The words of -netdev socket, stream and dgram. Names are looked up when the machine is built, not while the
 * command line is read. IPv6 addresses stand in brackets.
 */
#include "emu/net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>

enum { RETRY_MS = 1000 };

static const struct keyval_row socket_rows[] = {
    {"listen", KEYVAL_STRING, .help = "wait for a peer at [HOST]:PORT"},
    {"connect", KEYVAL_STRING, .help = "go to a peer at HOST:PORT, again and again until it is there"},
    {"mcast", KEYVAL_STRING, .help = "multicast group ADDRESS:PORT that all peers share"},
    {"udp", KEYVAL_STRING, .help = "send datagrams to HOST:PORT; with localaddr="},
    {"localaddr", KEYVAL_STRING,
     .help = "udp: HOST:PORT to receive at; mcast: the host's address to send from"},
    {"fd", KEYVAL_NUMBER, .help = "an open socket, passed in", .max = 1 << 20},
};
static const struct keyval_row stream_rows[] = {
    {"server", KEYVAL_BOOL, .help = "wait for a peer instead of going to one"},
    {"addr.type", KEYVAL_CHOICE, "inet|unix|fd", .help = "kind of address"},
    {"addr.host", KEYVAL_STRING, .help = "inet: name or address"},
    {"addr.port", KEYVAL_STRING, .help = "inet: port"},
    {"addr.path", KEYVAL_PATH, .help = "unix: path of the socket"},
    {"addr.str", KEYVAL_NUMBER, .help = "fd: number of an open socket", .max = 1 << 20},
    {"addr.ipv4", KEYVAL_BOOL},
    {"addr.ipv6", KEYVAL_BOOL},
    {"reconnect", KEYVAL_NUMBER, .help = "seconds until the next try (1); 0: none", .max = 3600},
};
static const struct keyval_row dgram_rows[] = {
    {"local.type", KEYVAL_CHOICE, "inet|unix|fd", .help = "kind of address frames come in at"},
    {"local.host", KEYVAL_STRING, .help = "inet: the host's address"},
    {"local.port", KEYVAL_STRING, .help = "inet: port"},
    {"local.path", KEYVAL_PATH, .help = "unix: path of the socket"},
    {"local.str", KEYVAL_NUMBER, .help = "fd: number of an open socket", .max = 1 << 20},
    {"remote.type", KEYVAL_CHOICE, "inet|unix", .help = "kind of address frames go to"},
    {"remote.host", KEYVAL_STRING, .help = "inet: name, address or multicast group"},
    {"remote.port", KEYVAL_STRING, .help = "inet: port"},
    {"remote.path", KEYVAL_PATH, .help = "unix: path of the socket"},
};

/* ---- addresses ---- */

/* "[HOST]:PORT", HOST in brackets when it is IPv6. */
static bool split(const char *key, const char *text, bool needs_host, char **host, char **port,
                  GError **error)
{
    const char *colon = strrchr(text, ':');
    uint64_t number;
    if (!colon || (needs_host && colon == text))
        return net_fail(error, EINVAL, "%s=%s: write %s:PORT", key, text, needs_host ? "HOST" : "[HOST]");
    if (!keyval_parse_number(key, colon + 1, 1, 65535, &number, error))
        return false;
    size_t length = (size_t)(colon - text);
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']')
        *host = g_strndup(text + 1, length - 2);
    else
        *host = g_strndup(text, length);
    *port = g_strdup(colon + 1);
    return true;
}

static bool look_up(const char *key, const char *host, const char *port, bool passive, int type,
                    struct socket_place *out, GError **error)
{
    struct addrinfo hints = {.ai_family = *host ? AF_UNSPEC : AF_INET, .ai_socktype = type};
    struct addrinfo *found = NULL;
    hints.ai_flags = passive ? AI_PASSIVE : 0;
    int why = getaddrinfo(*host ? host : NULL, port, &hints, &found);
    if (why)
        return net_fail(error, EINVAL, "%s=: %s, port %s: %s; check the name, or write an address", key,
                        *host ? host : "(any)", port, gai_strerror(why));
    *out = (struct socket_place){.length = found->ai_addrlen};
    memcpy(&out->room, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

static bool place_of(const struct keyval *kv, const char *key, bool passive, int type,
                     struct socket_place *out, GError **error)
{
    g_autofree char *host = NULL, *port = NULL;
    return split(key, keyval_string(kv, key, ""), !passive, &host, &port, error) &&
           look_up(key, host, port, passive, type, out, error);
}

static bool unix_place(const char *key, const char *path, struct socket_place *out, GError **error)
{
    if (strlen(path) >= sizeof out->unix_path.sun_path)
        return net_fail(error, ENAMETOOLONG, "%s=%s: a socket's path has at most %zu characters", key, path,
                        sizeof out->unix_path.sun_path - 1);
    *out = (struct socket_place){.length = sizeof out->unix_path};
    out->unix_path.sun_family = AF_UNIX;
    g_strlcpy(out->unix_path.sun_path, path, sizeof out->unix_path.sun_path);
    return true;
}

/* addr.*, local.* or remote.*; length 0 when the type is not given. */
static bool typed_place(const struct keyval *kv, const char *prefix, bool passive, int type,
                        struct socket_place *out, GError **error)
{
    g_autofree char *key_type = g_strconcat(prefix, ".type", NULL);
    g_autofree char *key_host = g_strconcat(prefix, ".host", NULL);
    g_autofree char *key_port = g_strconcat(prefix, ".port", NULL);
    g_autofree char *key_path = g_strconcat(prefix, ".path", NULL);
    const char *kind = keyval_string(kv, key_type, "");
    *out = (struct socket_place){.length = 0};
    if (g_str_equal(kind, "inet"))
        return keyval_require(kv, key_port, error) &&
               look_up(key_host, keyval_string(kv, key_host, ""), keyval_string(kv, key_port, ""), passive,
                       type, out, error);
    if (g_str_equal(kind, "unix"))
        return keyval_require(kv, key_path, error) &&
               unix_place(key_path, keyval_string(kv, key_path, ""), out, error);
    return true;
}

void socket_place_show(const struct socket_place *place, GString *out)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (place->length && place->any.sa_family == AF_UNIX)
        g_string_append(out, place->unix_path.sun_path);
    else if (place->length && getnameinfo(&place->any, place->length, host, sizeof host, port, sizeof port,
                                          NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        g_string_append_printf(out, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

bool socket_is_multicast(const struct socket_place *place)
{
    return place->length && place->any.sa_family == AF_INET && IN_MULTICAST(ntohl(place->v4.sin_addr.s_addr));
}

bool socket_prepare(int fd, GError **error)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) >= 0)
        return true;
    return net_fail(error, errno, "fd=%d: %s (pass the descriptor open)", fd, g_strerror(errno));
}

/* ---- socket ---- */

static bool socket_check(const struct keyval *kv, GError **error)
{
    static const char *const ways[] = {"listen", "connect", "mcast", "udp", "fd"};
    const char *way = NULL;
    g_autofree char *host = NULL, *port = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
        if (!keyval_has(kv, ways[i]))
            continue;
        if (way && !(g_str_equal(way, "mcast") && g_str_equal(ways[i], "fd")))
            return net_fail(error, EINVAL, "give one of listen=, connect=, mcast=, udp= and fd=");
        way = way ? way : ways[i];
    }
    if (!way)
        return net_fail(error, EINVAL, "give one of listen=, connect=, mcast=, udp= and fd=");
    if (g_str_equal(way, "fd"))
        return true;
    if (!split(way, keyval_string(kv, way, ""), !g_str_equal(way, "listen"), &host, &port, error))
        return false;
    struct in_addr address;
    const char *local = keyval_string(kv, "localaddr", NULL);
    if (g_str_equal(way, "mcast")) {
        if (inet_pton(AF_INET, host, &address) != 1 || !IN_MULTICAST(ntohl(address.s_addr)))
            return net_fail(error, EINVAL, "mcast=%s: not a multicast address (224.0.0.0 to 239.255.255.255)",
                            keyval_string(kv, way, ""));
        if (local && inet_pton(AF_INET, local, &address) != 1)
            return net_fail(error, EINVAL, "localaddr=%s: not an IPv4 address of this host", local);
        return true;
    }
    if (g_str_equal(way, "udp")) {
        g_autofree char *local_host = NULL, *local_port = NULL;
        return local ? split("localaddr", local, false, &local_host, &local_port, error)
                     : net_fail(error, EINVAL, "udp= needs localaddr=[HOST]:PORT, where answers come in");
    }
    return !local || net_fail(error, EINVAL, "localaddr= is for mcast= and udp=");
}

static struct net_port *socket_open(const char *id, const struct keyval *kv, const struct net_env *env,
                                    GError **error)
{
    bool server = keyval_has(kv, "listen");
    int fd = keyval_has(kv, "fd") ? (int)keyval_number(kv, "fd", 0) : -1;
    int type = SOCK_STREAM;
    socklen_t size = sizeof type;
    if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0) {
        net_fail(error, errno, "fd=%d: %s (pass an open socket)", fd, g_strerror(errno));
        return NULL;
    }
    if (keyval_has(kv, "mcast") || keyval_has(kv, "udp") || type == SOCK_DGRAM) {
        struct dgram_config config = {.fd = fd, .name = "fd"};
        const char *local = keyval_string(kv, "localaddr", NULL);
        if (keyval_has(kv, "mcast")) {
            config.name = "mcast";
            if (!place_of(kv, "mcast", false, SOCK_DGRAM, &config.remote, error))
                return NULL;
            config.local = config.remote;
            if (local)
                inet_pton(AF_INET, local, &config.multicast_from);
        } else if (keyval_has(kv, "udp")) {
            config.name = "udp";
            if (!place_of(kv, "udp", false, SOCK_DGRAM, &config.remote, error) ||
                !place_of(kv, "localaddr", true, SOCK_DGRAM, &config.local, error))
                return NULL;
            if (config.remote.any.sa_family != config.local.any.sa_family) {
                net_fail(error, EINVAL,
                         "udp= and localaddr=: one is an IPv4 address, the other IPv6; write two of a kind");
                return NULL;
            }
        }
        return net_dgram_new(id, env, &config, error);
    }
    struct stream_config config = {.server = server,
                                   .retry_ms = RETRY_MS,
                                   .fd = fd,
                                   .name = server    ? "listen"
                                           : fd >= 0 ? "fd"
                                                     : "connect"};
    if (fd < 0 && !place_of(kv, server ? "listen" : "connect", server, SOCK_STREAM, &config.place, error))
        return NULL;
    return net_stream_new(id, env, &config, error);
}

/* ---- stream, dgram ---- */

static bool stream_check(const struct keyval *kv, GError **error)
{
    const char *type = keyval_string(kv, "addr.type", NULL);
    if (!type)
        return net_fail(error, EINVAL, "addr.type= is missing (inet, unix or fd)");
    const char *needed = g_str_equal(type, "inet")   ? "addr.port"
                         : g_str_equal(type, "unix") ? "addr.path"
                                                     : "addr.str";
    return keyval_require(kv, needed, error);
}

static struct net_port *stream_open(const char *id, const struct keyval *kv, const struct net_env *env,
                                    GError **error)
{
    bool server = keyval_bool(kv, "server", false);
    struct stream_config config = {.server = server,
                                   .retry_ms = (unsigned)keyval_number(kv, "reconnect", 1) * 1000,
                                   .fd = keyval_has(kv, "addr.str") ? (int)keyval_number(kv, "addr.str", 0)
                                                                    : -1,
                                   .name = server ? "server" : "client"};
    if (!typed_place(kv, "addr", server, SOCK_STREAM, &config.place, error))
        return NULL;
    return net_stream_new(id, env, &config, error);
}

static bool dgram_check(const struct keyval *kv, GError **error)
{
    return keyval_has(kv, "local.type") || keyval_has(kv, "remote.type") ||
           net_fail(error, EINVAL, "local.type= and remote.type= are missing (inet or unix)");
}

static struct net_port *dgram_open(const char *id, const struct keyval *kv, const struct net_env *env,
                                   GError **error)
{
    struct dgram_config config = {
        .fd = keyval_has(kv, "local.str") ? (int)keyval_number(kv, "local.str", 0) : -1, .name = "dgram"};
    if (!typed_place(kv, "remote", false, SOCK_DGRAM, &config.remote, error) ||
        !typed_place(kv, "local", true, SOCK_DGRAM, &config.local, error))
        return NULL;
    if (config.local.length && config.remote.length &&
        config.local.any.sa_family != config.remote.any.sa_family) {
        net_fail(error, EINVAL, "local.* and remote.* are of different families; write two of a kind");
        return NULL;
    }
    if (socket_is_multicast(&config.remote)) {
        if (config.local.length && config.local.any.sa_family == AF_INET)
            config.multicast_from = config.local.v4.sin_addr;
        config.local = config.remote;
    }
    return net_dgram_new(id, env, &config, error);
}

const struct net_kind net_kind_socket = {.name = "socket",
                                         .help = "a cable to another machine by TCP, UDP or multicast",
                                         .rows = socket_rows,
                                         .row_count = G_N_ELEMENTS(socket_rows),
                                         .check = socket_check,
                                         .open = socket_open};
const struct net_kind net_kind_stream = {.name = "stream",
                                         .help = "the same by TCP or a UNIX socket",
                                         .rows = stream_rows,
                                         .row_count = G_N_ELEMENTS(stream_rows),
                                         .check = stream_check,
                                         .open = stream_open};
const struct net_kind net_kind_dgram = {.name = "dgram",
                                        .help = "the same by datagrams",
                                        .rows = dgram_rows,
                                        .row_count = G_N_ELEMENTS(dgram_rows),
                                        .check = dgram_check,
                                        .open = dgram_open};
