/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* What import_ipspace.c and import_ipspace_frr.c share: a topology of ipspace's netlab, numbered. */
#pragma once

#include "netlab/import_internal.h"

enum { IPSPACE_ID_MOST = 1000 };

struct ipspace_node {
    const char *name;             /* in the source */
    const struct yaml_tree *tree; /* NULL: nothing is said of it */
    struct import_node *node;
    char as[16];         /* "65000" as the node or bgp.as_list has it; "": neither */
    unsigned id;         /* 1… */
    unsigned interfaces; /* so far */
    bool is_host;
    uint32_t loopback; /* 0: none */
};

struct ipspace_nic {
    struct import_nic *nic;
    struct ipspace_node *owner;
    const struct yaml_tree *tree; /* what its end of the link says; NULL: nothing */
    struct ipv4_prefix address;   /* length 0: none */
};

struct ipspace_link {
    const struct yaml_tree *tree, *group; /* NULL: nothing is said */
    bool is_point_to_point;
    bool is_stub;    /* routing protocols are passive on it */
    bool is_outside; /* no IGP runs on it */
    GPtrArray *nics; /* struct ipspace_nic * */
};

struct ipspace_pool {
    struct ipv4_prefix base;
    unsigned prefix, used;
    bool has_six;
    struct ipv6_prefix six;
};

struct ipspace {
    struct import_lab *lab;
    const struct yaml_tree *root;
    GPtrArray *nodes, *links;        /* struct ipspace_node *, struct ipspace_link * */
    bool taken[IPSPACE_ID_MOST + 1]; /* by a node's `id:` or number */
    struct ipspace_pool lan, point_to_point;
};

/* "ospf.area": nested, dotted or both; NULL: not said. */
const struct yaml_tree *ipspace_dig(const struct yaml_tree *tree, const char *path);
/* What holds for a node: its own word, its groups', the topology's, the defaults'. */
const struct yaml_tree *ipspace_of_node(const struct ipspace *t, const struct ipspace_node *n,
                                        const char *path);
struct ipspace_node *ipspace_find(const struct ipspace *t, const char *name);

/* Notes what a module's attributes at the top (key and value) say that configurations here do not. */
void ipspace_note_module(struct ipspace *t, const char *key, const struct yaml_tree *value,
                         struct topology_mark mark);
/* The same for an end of a link or a link; `owner` is put before it. */
void ipspace_note_attributes(struct ipspace *t, const char *owner, const struct yaml_tree *map);
/* FRR's configuration of a router, from its modules (import_ipspace_frr.c). */
void ipspace_configure(struct ipspace *t, struct ipspace_node *n);
