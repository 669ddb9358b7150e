/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Looking into frames and finishing them: where the headers are, checksums, cutting bursts.
 *
 * A cutter turns a frame with work left to do (struct net_offload) into complete frames, one at a time, so
 * that a receiver that runs out of room can stop and go on later at the same piece. It copies headers only;
 * the pieces' payload stays where it is. Nothing here allocates. Everything read from a frame is hostile.
 */
#pragma once

#include "emu/net/backend.h"

/* Where things are in a frame; offsets in bytes from its start. */
struct net_layout {
    uint8_t version;  /* 4, 6, or 0: not IP (nothing below is valid then) */
    uint8_t protocol; /* of the L4 header, 6 TCP, 17 UDP */
    bool fragment;    /* an IP fragment, the first included */
    bool l4_valid;    /* the L4 header's fixed part lies inside packet and head */
    uint16_t l3, l4;  /* l4 is the end of the IP headers */
    uint32_t end;     /* of the IP packet; frames may be padded beyond it */
};

/* Parses the first head_length bytes of a frame of frame_length bytes: Ethernet II or SNAP, up to two VLAN
 * tags, IPv4 with options, IPv6 with extension headers. False when it is no well-formed IP packet. */
bool net_layout_parse(const uint8_t *head, size_t head_length, size_t frame_length, struct net_layout *out);

/* Copies [offset, offset + length) of a scattered buffer; returns the bytes there were. */
size_t net_iov_copy(const struct iovec *iov, unsigned count, size_t offset, void *to, size_t length);
/* The pieces of [offset, offset + length) as iovecs in out[0…max); the number used, 0 when max is too small.
 */
unsigned net_iov_slice(const struct iovec *iov, unsigned count, size_t offset, size_t length,
                       struct iovec *out, unsigned max);
/* Sum of bytes as for net_checksum, of memory in one piece. */
uint16_t net_checksum_bytes(const void *data, size_t length, uint32_t start);
/* The sum over the pseudo header of an IP packet whose addresses are at head[l3…] for `length` bytes of L4.
 */
uint16_t net_checksum_pseudo(const uint8_t *head, const struct net_layout *layout, uint8_t protocol,
                             uint32_t length);

struct net_cutter {
    const struct net_frame *source; /* lives as long as the cutter is used */
    struct net_layout layout;
    unsigned segments, next; /* pieces in all; index of the piece net_cutter_next() makes */
    size_t headers;          /* bytes copied into each piece */
    size_t size;             /* payload bytes of each piece but the last */
    uint16_t pseudo;         /* checksum field as found, with the source's L4 length taken out */
    uint8_t original[NET_HEADERS_MAX];
    uint8_t header[NET_HEADERS_MAX]; /* of the current piece */
    struct iovec iov[NET_IOV_MAX + 1];
    struct net_frame piece;
};

/* Prepares to finish `frame`, starting with piece number `first`. False: the offload fields are impossible. A
 * frame without work to do gives itself as the one piece. */
bool net_cutter_init(struct net_cutter *cutter, const struct net_frame *frame, unsigned first);
/* The next piece, complete (its checksum is right: checksum_good), valid until the next call. NULL: done. */
const struct net_frame *net_cutter_next(struct net_cutter *cutter);
/* Whether a receiver with these NET_CAN_… must be given pieces instead of the frame itself. */
bool net_frame_unfinished(const struct net_frame *frame, unsigned can);
