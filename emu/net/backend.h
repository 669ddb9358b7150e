/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The cable: what a NIC and a back end (TAP, slirp, socket, hub) see of each other.
 *
 * A port is one end. Two ports joined by net_join() exchange Ethernet frames (without FCS). Delivery is a
 * direct call on the machine's thread: net_send(port) calls the peer's receive() at once. A receiver that has
 * no room answers NET_FULL, and calls net_room(port) when it has room again; a sender that got NET_FULL keeps
 * the frame or stops reading its source, and goes on in its own `room` callback: nothing is queued here and
 * nothing spins. A frame's memory is the sender's and is valid during the call only.
 *
 * Loops: a receive() may answer at once on the same cable (a user-mode stack answers ARP that way), but an
 * answer to that answer is dropped and counted: two steps deep is as far as a cable goes. NICs never answer
 * from receive().
 *
 * The link is up while two ports are joined and neither end is pulled (net_set_link).
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct net_port;

enum {
    NET_IOV_MAX = 64,      /* pieces of a frame */
    NET_FRAME_MIN = 14,    /* bytes, without FCS */
    NET_FRAME_MAX = 65553, /* an IP packet of 65535 bytes, Ethernet header and VLAN tag */
    NET_HEADERS_MAX = 512, /* bytes of headers that a frame with offload may have */
};

enum net_result {
    NET_SENT,   /* the peer took it */
    NET_FULL,   /* the peer has no room: keep it, wait for ->room() */
    NET_DROPPED /* nobody there, link down, filtered or broken; counted */
};

/* Work left to the receiver, in the terms of virtio_net_hdr. All zero: a plain, complete frame. */
struct net_offload {
    bool needs_checksum;     /* L4 checksum from checksum_start, stored at +checksum_offset, still to be done;
                                the field holds the pseudo-header sum */
    uint16_t checksum_start; /* bytes from the frame's start */
    uint16_t checksum_offset;
    bool checksum_good; /* the sender vouches for the L4 checksum */
    /* A burst to be cut; needs_checksum is then set and checksum_start is where the TCP or UDP header is.
     * NET_GSO_UDP: each piece becomes a datagram of its own (not IP fragments). */
    enum { NET_GSO_NONE, NET_GSO_TCPV4, NET_GSO_TCPV6, NET_GSO_UDP } gso;
    uint16_t gso_size;      /* MSS in bytes */
    uint16_t header_length; /* all headers, bytes; a hint: the headers themselves decide */
};

struct net_frame {
    const struct iovec *iov;
    unsigned count;
    size_t length; /* sum of iov lengths, bytes: NET_FRAME_MIN … NET_FRAME_MAX (more than 16 KiB only with
                      gso) */
    struct net_offload offload;
};

/* What a port can take unfinished; a sender finishes the rest itself (net_frame_finish). */
enum { NET_CAN_CHECKSUM = 1, NET_CAN_TSO4 = 2, NET_CAN_TSO6 = 4 };

struct net_ops {
    const char *kind; /* "tap", "e1000" */
    enum net_result (*receive)(void *opaque, const struct net_frame *frame);
    void (*room)(void *opaque);                  /* the peer has room again */
    void (*link_changed)(void *opaque, bool up); /* the cable was plugged or pulled */
    void (*poll)(void *opaque); /* the peer is at work on what it got: bring what is there; or NULL */
    void (*free)(void *opaque); /* back ends: close; NICs leave it NULL */
    void (*describe)(const void *opaque, GString *out); /* what it is connected to, in a few words; or NULL */
};

enum net_drop {
    NET_DROP_NO_PEER,
    NET_DROP_LINK_DOWN,
    NET_DROP_TOO_LONG,
    NET_DROP_TOO_SHORT,
    NET_DROP_FILTERED,
    NET_DROP_DISABLED,
    NET_DROP_ERROR,
    NET_DROP_IMPAIRED, /* lost on purpose: net/impair.h */
    NET_DROP_QUEUE,    /* the impaired line's queue was full */
    NET_DROP_COUNT
};

struct net_counters {
    uint64_t tx_frames, tx_bytes; /* handed to the peer */
    uint64_t rx_frames, rx_bytes; /* taken from the peer */
    uint64_t full;                /* times the peer had no room */
    uint64_t dropped[NET_DROP_COUNT];
};

struct net_port *net_port_new(const char *id, const struct net_ops *ops, void *opaque, unsigned can);
void net_port_free(struct net_port *port); /* unjoins, then ops->free; NULL is allowed */
const char *net_port_id(const struct net_port *port);
const char *net_port_kind(const struct net_port *port);
void net_port_describe(const struct net_port *port, GString *out); /* "tap, ifname=t0"; a few words */
/* The opaque a port of this kind was made with; NULL for a port of another kind. */
void *net_port_opaque(const struct net_port *port, const struct net_ops *ops);
void net_join(struct net_port *a, struct net_port *b);
struct net_port *net_peer(const struct net_port *port);
unsigned net_peer_can(const struct net_port *port); /* capabilities of the other end, 0 without one */

enum net_result net_send(struct net_port *port, const struct net_frame *frame);
/* Says that this port has room again: runs the peer's room() if the peer was answered NET_FULL. Now, or when
 * a frame is just being delivered on this cable, as soon as that is over. */
void net_room(struct net_port *port);
/* Has the peer bring what it has at hand; from outside of receive() and room(). */
void net_poll(struct net_port *port);
/* While it is held a port has no room for frames, and is not told that its peer has: for a NIC whose machine
 * is stopped. Frames wait where they come from. */
void net_port_hold(struct net_port *port, bool held);
/* Counts a frame this port refused or lost, with the reason. */
void net_drop(struct net_port *port, enum net_drop why);
const char *net_drop_name(enum net_drop why);

/* Cable state. Both ends hear link_changed(). Frames on a pulled cable are dropped and counted. */
void net_set_link(struct net_port *port, bool up);
bool net_link(const struct net_port *port);
const struct net_counters *net_port_counters(const struct net_port *port);

/* Watches a cable's end: `see` is called for each frame that is sent from it (out) or offered to it, before
 * it is delivered. Returns an id for net_unwatch. Used by net/dump.c. */
unsigned net_watch(struct net_port *port, void (*see)(void *opaque, bool out, const struct net_frame *frame),
                   void *opaque);
void net_unwatch(struct net_port *port, unsigned id);

/* Finishes what the receiver cannot: computes the checksum and cuts a TSO burst into MTU frames, calling
 * `emit` for each; stops early when emit does not return NET_SENT. Bad offload fields from a hostile sender
 * give NET_DROPPED. Only headers are copied (on the stack). See net/frame.h to cut step by step. */
enum net_result net_frame_finish(const struct net_frame *frame, unsigned can,
                                 enum net_result (*emit)(void *opaque, const struct net_frame *frame),
                                 void *opaque);
/* Internet checksum of a frame range, folded, not complemented, plus `start`; a number: 0x1234 is stored as
 * 12 34. A range beyond the frame's end counts as far as it goes. */
uint16_t net_checksum(const struct iovec *iov, unsigned count, size_t offset, size_t length, uint32_t start);

struct loop;
/* TAP (net/tap.c). One of ifname or fd; fd is adopted on success. An empty ifname lets the kernel choose.
 * Errors name the cause and the way out: no /dev/net/tun, busy, not permitted, no such interface.
 * vnet_hdr: offloads are negotiated through IFF_VNET_HDR (-1: use when the fd has it or it can be had). */
struct net_tap_config {
    const char *ifname;
    int fd; /* -1: open by name */
    int vnet_hdr;
    uint64_t sndbuf;         /* bytes on their way out the kernel may hold; 0: as it is */
    const char *down_script; /* run with the interface's name at the end; NULL: none */
};
struct net_port *net_tap_new(const char *id, struct loop *loop, const struct net_tap_config *config,
                             GError **error);
/* Name of the interface behind a TAP port; NULL for ports of other kinds. */
const char *net_tap_ifname(const struct net_port *port);
/* Runs a network script (qemu-ifup and the like) with the interface's name; fails when that fails. */
bool net_tap_script(const char *script, const char *ifname, GError **error);

/* Hub (net/hub.c): a frame that comes in at one port goes out of all others. A hub has no memory: what a port
 * cannot take at once is lost there and counted; only what is sent in answer to a frame that is being handed
 * round waits until that is over. The hub owns its ports; join them to others, then free those
 * first or the hub first as you like. */
struct net_hub;
struct net_hub *net_hub_new(const char *id);
void net_hub_free(struct net_hub *hub);
struct net_port *net_hub_port(struct net_hub *hub); /* a new port */
struct net_port *net_hub_port_named(struct net_hub *hub, const char *id);

/* Captures (net/dump.c): the frames seen at a port go to a file, or live to a reader. Bursts are written
 * uncut, as a capture on the TAP shows them. */
struct net_dump;
struct net_env;
enum net_dump_queue {
    NET_DUMP_ALL,
    NET_DUMP_RX, /* what the port is sent (by the guest) */
    NET_DUMP_TX, /* what it sends */
};
struct net_dump_config {
    const char *path, *socket; /* one of them; socket: a UNIX socket somebody listens on, pcapng only */
    bool pcapng;
    uint64_t length; /* bytes kept of each frame; 0: all */
    uint64_t buffer; /* pcapng: bytes of frames on their way to the reader; 0: the usual */
    enum net_dump_queue queue;
};
struct net_dump_counters {
    const char *path;
    bool pcapng, live; /* live: a reader that may be too slow */
    bool ended;        /* by an error, or the reader has gone */
    uint64_t frames, bytes, dropped;
};
struct net_dump *net_dump_new(struct net_port *port, const struct net_env *env,
                              const struct net_dump_config *config, GError **error);
void net_dump_counters(const struct net_dump *dump, struct net_dump_counters *out);
void net_dump_free(struct net_dump *dump); /* before the port */
