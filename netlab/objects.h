/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Objects: what a lab consists of once it is up. A kind, a key that is unique among its kind, and a payload:
 * JSON that says everything needed to make it. Two objects are the same if and only if kind, key and payload
 * are; that is how `up` finds out what has changed. So payloads are written by one function each (wanted.c),
 * with members in one order, and hold nothing that differs from run to run (pids, indexes, times: those are
 * identities, see store.h).
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

enum object_kind {
    OBJECT_RUNTIME,    /* the lab's folder for sockets and logs; key "" */
    OBJECT_SUPERVISOR, /* its supervisor, and with it the network namespace; key "" */
    OBJECT_UNMANAGED,  /* links of the host's namespace, kept from a service; key: its name */
    OBJECT_BRIDGE,     /* key: the network */
    OBJECT_ADDRESS,    /* of a bridge; key: the network, "/6" behind it for IPv6 */
    OBJECT_NAT,        /* a network's way out through the host's kernel; key: the network */
    OBJECT_UPLINK,     /* a network's bridge to a NIC of the host; key: the network */
    OBJECT_TAP,        /* key: "node:interface" */
    OBJECT_HOSTS,      /* the names of all nodes, which each finds in /etc/hosts; key "" */
    OBJECT_LINE,       /* what becomes of what a NIC sends, unless it is good; key: "node:interface" */
    OBJECT_MACHINE,    /* key: the node */
    OBJECT_POLICY,     /* what is done when a node's machine ends by itself; key: the node */
    OBJECT_STOPPED,    /* a node that is to stay stopped; key: the node, payload: its machine's */
    OBJECT_KINDS
};

/* "bridge", …: as the store has them. */
const char *object_kind_name(enum object_kind kind);
bool object_kind_parse(const char *name, enum object_kind *kind);

/* With this begins the key of a machine that is a network's gateway: "@internet". No node can be called so.
 */
#define OBJECT_GATEWAY_SIGN '@'

struct object {
    enum object_kind kind;
    char *key, *payload;
};
struct object *object_new(enum object_kind kind, const char *key, const char *payload);
void object_free(void *object);

/* Members of a payload. Strings are the caller's; NULL (0) when there is no such member. */
char *payload_string(const char *payload, const char *member);
gint64 payload_number(const char *payload, const char *member);
