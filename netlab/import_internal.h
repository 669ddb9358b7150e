/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The inside of the importer: the model that readers fill and the writer writes.
 *
 * Names in the model are already ours (import_clean_name()). Everything is bounded: IMPORT_NODES_MOST nodes
 * and twice as many networks, TOPOLOGY_NICS_MOST interfaces a node, the bytes of files as `up` takes them
 * (TOPOLOGY_FILES_MOST a node) and IMPORT_BYTES_MOST altogether.
 */
#pragma once

#include "netlab/import.h"
#include "netlab/topology_check.h"
#include "netlab/yaml_tree.h"

enum {
    IMPORT_NODES_MOST = 1000,
    IMPORT_COMMANDS_MOST = 1000, /* of a node; above TOPOLOGY_COMMANDS_MOST they become a script */
    IMPORT_LINE_MOST = 8192,     /* bytes of a command */
    IMPORT_BYTES_MOST = 64 << 20
};

struct import_segment {
    char *name;
    struct topology_mark mark;
    char *subnet, *subnet6; /* NULL: none */
    char *dns;              /* address of user networking's name server; NULL: the second one */
    unsigned mtu;           /* bytes; 0: none given */
    bool is_outside;        /* an uplink through user networking */
    bool numbers_itself;    /* has a subnet from which nodes get addresses */
    GPtrArray *forwards;    /* char *: "tcp 8080 -> web:80" */
    GPtrArray *line;        /* char *: "delay: 10ms" */
};

struct import_nic {
    struct import_segment *segment;
    char *interface, *mac;
    char *address, *address6; /* with prefix length; address may be "dhcp" or "auto"; NULL: none */
};

struct import_file {
    char kind; /* 'F', 'D' or 'L' as in a node's archive */
    unsigned mode;
    char *data; /* contents or a link's target */
    gsize length;
};

struct import_node {
    char *name, *source_name;
    struct topology_mark mark;
    const char *image; /* ours */
    bool needs_router; /* has a routing daemon's configuration, or starts one */
    char *source_image;
    struct topology_mark image_mark;
    int forwarding; /* -1: as the image has it */
    unsigned memory;
    char *restart, *loopback;
    GPtrArray *nics;      /* struct import_nic * */
    GPtrArray *run;       /* char * */
    GPtrArray *addresses; /* char *: commands that set the NICs' addresses, for import_unlift() */
    char *gateway;        /* of the default route; NULL: none */
    GHashTable *files;    /* path in the guest → struct import_file * */
    gsize bytes;
};

struct import_lab {
    struct import_report *report;
    char *name, *comment;
    GPtrArray *nodes;    /* struct import_node * */
    GPtrArray *segments; /* struct import_segment * */
    int folder;          /* fd of the lab's folder; -1: there is none */
    char *folder_shown;  /* for messages */
    const char *shown;   /* the file that is read now */
    gsize bytes;
};

/* ---- model (import.c) ---- */

struct import_lab *import_lab_new(struct import_report *report, const char *shown, int folder);
void import_lab_free(struct import_lab *lab);
void import_note(struct import_lab *lab, enum import_level level, struct topology_mark mark, const char *what,
                 const char *format, ...) G_GNUC_PRINTF(5, 6);
/* A node, with a name that is usable here (noted when it changed); NULL (noted) when there are too many. */
struct import_node *import_node_add(struct import_lab *lab, const char *name, struct topology_mark mark);
/* By the name in the source. */
struct import_node *import_node_find(const struct import_lab *lab, const char *source_name);
/* A network with this name or one like it that is free. NULL (noted) when there are too many. */
struct import_segment *import_segment_add(struct import_lab *lab, const char *name,
                                          struct topology_mark mark);
struct import_segment *import_segment_find(const struct import_lab *lab, const char *name);
/* The network by which nodes reach the outside and get their forwarded ports; made when it is not there. */
struct import_segment *import_outside(struct import_lab *lab, const char *name, struct topology_mark mark);
/* NULL (noted) when the node has an interface of that name already or too many. The name is made usable. */
struct import_nic *import_nic_add(struct import_lab *lab, struct import_node *node,
                                  struct import_segment *segment, const char *interface,
                                  struct topology_mark mark);
struct import_nic *import_nic_find(const struct import_node *node, const char *interface);
/* "02:00:00:00:00:01" becomes the NIC's MAC, by a command where another NIC of the lab has it already; noted
 * when it is none. */
void import_nic_mac(struct import_lab *lab, struct import_node *node, struct import_nic *nic, const char *mac,
                    struct topology_mark mark);
/* "10.0.0.1/24" becomes an address of the NIC in the topology; false when it cannot be one there. */
bool import_nic_address(struct import_lab *lab, struct import_node *node, const char *interface,
                        const char *address);
/* Addresses and default routes become commands again, where our grammar does not take them together. */
void import_unlift(struct import_lab *lab);
/* False (noted) when there are too many. */
bool import_run(struct import_lab *lab, struct import_node *node, const char *command,
                struct topology_mark mark, const char *what);
/* More commands than a topology takes become a script of the node's (noted). */
void import_pack_commands(struct import_lab *lab, struct import_node *node);
/* Letters, digits and `others`, first and last a letter or digit, at most `most` bytes. Owned by the caller.
 */
char *import_clean_name(const char *name, const char *others, size_t most);

/* ---- files (import_files.c) ---- */

/* A folder or file beneath the lab's folder, copied into the node at `guest`. False (noted) when it cannot.
 * With `quiet` nothing is said when it is not there, and false returned. */
bool import_copy(struct import_lab *lab, struct import_node *node, const char *path, const char *guest,
                 struct topology_mark mark, bool quiet);
/* Puts a file of its own there. False (noted): no path of a guest, or too much. */
bool import_put(struct import_lab *lab, struct import_node *node, const char *guest, unsigned mode,
                const char *data, gsize length, struct topology_mark mark);
/* A text file beneath the lab's folder, at most `most` bytes and without NULs; NULL with a GError. */
char *import_read(const struct import_lab *lab, const char *path, gsize most, GError **error);
/* Takes FRR's and Quagga's files as the image `router` has them: one frr.conf, and daemons.lab. Notes files
 * that nothing here reads. */
void import_settle_routing(struct import_lab *lab, struct import_node *node);

/* ---- images and commands ---- */

/* Which of our images stands for this one; notes what was lost. */
void import_choose_image(struct import_lab *lab, struct import_node *node, const char *image,
                         struct topology_mark mark);
/* Of `host` and `router` the one that has what the node's commands call; notes what neither has. When all of
 * a node is known. */
void import_settle_image(struct import_lab *lab, struct import_node *node);
/* The name of the first program of the list (NULL-terminated) that a text calls, as commands and not as words
 * of ip; NULL: none. */
const char *import_find_call(const char *text, const char *const *programs);
/* A start command of the source, one line: becomes an address, a command of ours, or is left out; noted. */
void import_command(struct import_lab *lab, struct import_node *node, const char *command,
                    struct topology_mark mark);
/* A line of a script that stays whole, where a program that is in none of our images (ifconfig, route, an
 * init script) is the same as one that is: that one (noted). NULL: the line stays as it is. Owned by the
 * caller. */
char *import_rewrite(struct import_lab *lab, struct import_node *node, const char *line,
                     struct topology_mark mark);
/* Whether a text calls ifconfig or route. */
bool import_calls_old_tools(const char *text);

/* ---- scripts (import_script.c) ---- */

/* A whole start script: line by line when it is plain commands, as a file otherwise. */
void import_script(struct import_lab *lab, struct import_node *node, const char *name, const char *text);
/* "8080:80/udp" of a node on the outside network (import_commands.c). */
void import_port(struct import_lab *lab, struct import_node *node, struct import_segment *outside,
                 const char *port, struct topology_mark mark);

/* ---- readers: false with a GError when the input is none of theirs or not readable ---- */

bool import_read_containerlab(struct import_lab *lab, const char *text, size_t length, GError **error);
bool import_read_kathara(struct import_lab *lab, const char *text, size_t length, GError **error);
bool import_read_ipspace(struct import_lab *lab, const char *text, size_t length, GError **error);

/* ---- writing (import_write.c) ---- */

char *import_topology_text(const struct import_lab *lab);
bool import_write(const struct import_lab *lab, const char *text, const char *output, GError **error);
