/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The kinds of back ends: what -netdev, -nic and -net can name, as a table.
 *
 * A kind says which words it takes (rows), checks them without touching anything outside of the process
 * (check, while the command line is read), and makes a port of them (open, when the board is built). The
 * words live as long as the machine, so a back end may keep pointers into them. Machine thread only.
 */
#pragma once

#include "emu/keyval.h"
#include "emu/net/backend.h"

struct char_port;
struct clock;
struct loop;
struct net_hubs;

/* What back ends need of the machine. Outlives them. */
struct net_env {
    struct loop *loop;
    struct clock *clock;
    struct net_hubs *hubs;
    void *opaque;
    /* Opens a character port by its words ("chardev:ID", "unix:PATH"); it stays the machine's. */
    struct char_port *(*open_char)(void *opaque, const char *id, const char *words, GError **error);
    /* Something the user should know while the machine runs; one line, without the program's name. */
    void (*warn)(void *opaque, const char *text);
    bool no_programs; /* none can be started while the machine runs (-sandbox) */
};

enum { NET_KIND_ROWS_MOST = 40 };

struct net_kind {
    const char *name, *help;
    const struct keyval_row *rows;
    size_t row_count;
    bool old_only; /* for -net alone */
    bool (*check)(const struct keyval *kv, GError **error);
    struct net_port *(*open)(const char *id, const struct keyval *kv, const struct net_env *env,
                             GError **error);
};

extern const struct net_kind net_kind_user, net_kind_tap, net_kind_bridge, net_kind_socket, net_kind_stream,
    net_kind_dgram, net_kind_hubport, net_kind_l2tpv3, net_kind_dump;

/* A word that stands for a program that would be run later: false with an error when none can be. */
bool net_may_run(const struct net_env *env, const char *word, GError **error);

size_t net_kind_count(void);
const struct net_kind *net_kind_at(size_t index);
const struct net_kind *net_kind_find(const char *name); /* NULL: none of that name */

/* Hubs by number (-netdev hubport, -net …,vlan=N), made when first named. */
struct net_hubs *net_hubs_new(void);
void net_hubs_free(struct net_hubs *hubs); /* and all their ports */
struct net_port *net_hubs_port(struct net_hubs *hubs, unsigned number, const char *id);

/* Port forwardings of a `user` back end while it runs (net/slirp.c): "tcp:127.0.0.1:8080-:80"; for removal
 * the part before '-'. False for ports of other kinds, too. */
bool net_user_is(const struct net_port *port);
bool net_user_add_forward(struct net_port *port, const char *rule, GError **error);
bool net_user_remove_forward(struct net_port *port, const char *rule, GError **error);
void net_user_describe(struct net_port *port, GString *out); /* `info usernet` */

/* Errors of this folder: G_IO_ERROR of an errno, with a text of its own. Returns false. */
G_GNUC_PRINTF(3, 4) bool net_fail(GError **error, int code, const char *format, ...);
