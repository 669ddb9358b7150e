/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * IPv4 fragments made whole again (RFC 791 section 3.2, with the strictness of RFC 5722 about overlaps), for
 * receivers that cannot be trusted with fragments. Every fragment is hostile: what cannot be part of a packet
 * is dropped, fragments that overlap in part take their packet with them, and memory is bounded.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { NET_REASSEMBLY_MOST = 16 /* packets in the making; the oldest goes for a new one */ };

struct net_reassembly;
struct net_reassembly *net_reassembly_new(void);
void net_reassembly_free(struct net_reassembly *r);

/* What is to be handed on for an Ethernet frame of *length bytes that came at `now` (ns, never going back):
 * the frame itself when it is no IPv4 fragment; the whole packet in one frame, its length in *length, valid
 * until the next call, when this was the last piece; NULL when others are missing or the fragment was
 * dropped. */
const uint8_t *net_reassemble(struct net_reassembly *r, const uint8_t *frame, size_t *length, int64_t now);
