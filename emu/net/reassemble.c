/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Reassembly of IPv4 packets: see reassemble.h.
 *
 * A packet in the making has a buffer for all it can become: 14 bytes of Ethernet header, an IP header of at
 * most 60, 65535 of payload. Payload goes to its place as it comes; which of it has come is kept by a bit for
 * each 8 bytes, the unit of offsets. The header is the first fragment's, and payload is placed behind the
 * longest header there can be, so that the header, whatever its length, is put right before it at the end.
 * A packet that is not whole after 30 seconds is forgotten when the next fragment looks for a place.
 */
#include "emu/net/reassemble.h"

#include "emu/net/frame.h"

#include <string.h>

enum {
    ETHERNET_SIZE = 14,
    HEADER_LEAST = 20,
    HEADER_MOST = 60,
    PACKET_MOST = 65535,
    UNIT = 8,
    UNITS = PACKET_MOST / UNIT + 1,
    FLAG_DONT = 0x4000,
    FLAG_MORE = 0x2000,
    OFFSET_MASK = 0x1fff,
    PAYLOAD_AT = ETHERNET_SIZE + HEADER_MOST,
};
static const int64_t LIFE_NS = INT64_C(30) * 1000 * 1000 * 1000;

struct packet {
    int64_t began;
    uint8_t source[4], destination[4], id[2], protocol;
    size_t header; /* bytes of IP header, 0: the first fragment is missing */
    size_t end;    /* bytes of payload, 0: the last fragment is missing */
    size_t most;   /* highest byte seen + 1 */
    unsigned units;
    uint8_t have[(UNITS + 7) / 8];
    uint8_t data[PAYLOAD_AT + UNITS * UNIT];
};

struct net_reassembly {
    struct packet *packets[NET_REASSEMBLY_MOST]; /* NULL: free */
    struct packet *done;                         /* the one handed out last */
};

struct net_reassembly *net_reassembly_new(void)
{
    return g_new0(struct net_reassembly, 1);
}

void net_reassembly_free(struct net_reassembly *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < NET_REASSEMBLY_MOST; i++)
        g_free(r->packets[i]);
    g_free(r->done);
    g_free(r);
}

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static bool same_packet(const struct packet *p, const uint8_t *ip)
{
    return !memcmp(p->source, ip + 12, 4) && !memcmp(p->destination, ip + 16, 4) &&
           !memcmp(p->id, ip + 4, 2) && p->protocol == ip[9];
}

static void forget(struct net_reassembly *r, unsigned slot)
{
    g_clear_pointer(&r->packets[slot], g_free);
}

/* The place of the packet this fragment is of; a new one when there is none. */
static unsigned find(struct net_reassembly *r, const uint8_t *ip, int64_t now)
{
    unsigned oldest = 0, empty = NET_REASSEMBLY_MOST;
    for (unsigned i = 0; i < NET_REASSEMBLY_MOST; i++) {
        if (r->packets[i] && now - r->packets[i]->began > LIFE_NS)
            forget(r, i);
        if (!r->packets[i]) {
            empty = i;
            continue;
        }
        if (same_packet(r->packets[i], ip))
            return i;
        if (!r->packets[oldest] || r->packets[i]->began < r->packets[oldest]->began)
            oldest = i;
    }
    unsigned slot = empty < NET_REASSEMBLY_MOST ? empty : oldest;
    forget(r, slot);
    struct packet *p = r->packets[slot] = g_new0(struct packet, 1);
    p->began = now;
    p->protocol = ip[9];
    memcpy(p->source, ip + 12, 4);
    memcpy(p->destination, ip + 16, 4);
    memcpy(p->id, ip + 4, 2);
    return slot;
}

enum placed { PLACED, KNOWN, CONTRADICTS };

/* Puts `length` bytes at `offset`, a multiple of UNIT. */
static enum placed place(struct packet *p, size_t offset, const uint8_t *payload, size_t length, bool last)
{
    size_t first = offset / UNIT, count = (length + UNIT - 1) / UNIT, known = 0;
    for (size_t i = first; i < first + count; i++)
        known += (p->have[i / 8] >> i % 8) & 1;
    if (known && known < count)
        return CONTRADICTS;
    if ((last && (p->end ? p->end != offset + length : p->most > offset + length)) ||
        (p->end && offset + length > p->end))
        return CONTRADICTS;
    if (last)
        p->end = offset + length;
    if (known)
        return KNOWN;
    for (size_t i = first; i < first + count; i++)
        p->have[i / 8] |= (uint8_t)(1 << i % 8);
    memcpy(p->data + PAYLOAD_AT + offset, payload, length);
    p->units += (unsigned)count;
    p->most = MAX(p->most, offset + length);
    return PLACED;
}

/* The frame of a packet that is whole. */
static const uint8_t *finish(struct packet *p, size_t *length)
{
    uint8_t *ip = p->data + PAYLOAD_AT - p->header;
    memmove(ip - ETHERNET_SIZE, p->data, ETHERNET_SIZE + p->header);
    put16(ip + 2, p->header + p->end);
    put16(ip + 6, get16(ip + 6) & FLAG_DONT);
    put16(ip + 10, 0);
    put16(ip + 10, (uint16_t)~net_checksum_bytes(ip, p->header, 0));
    *length = ETHERNET_SIZE + p->header + p->end;
    return ip - ETHERNET_SIZE;
}

const uint8_t *net_reassemble(struct net_reassembly *r, const uint8_t *frame, size_t *length, int64_t now)
{
    g_clear_pointer(&r->done, g_free);
    const uint8_t *ip = frame + ETHERNET_SIZE;
    if (*length < ETHERNET_SIZE + UNIT || frame[12] != 0x08 || frame[13] != 0x00)
        return frame;
    unsigned flags = get16(ip + 6);
    if (!(flags & ~(unsigned)FLAG_DONT))
        return frame;
    size_t header = (size_t)(ip[0] & 15) * 4;
    if (*length < ETHERNET_SIZE + HEADER_LEAST || ip[0] >> 4 != 4 || header < HEADER_LEAST)
        return NULL;
    size_t total = get16(ip + 2), offset = (size_t)(flags & OFFSET_MASK) * UNIT;
    bool last = !(flags & FLAG_MORE);
    if (total <= header || total > *length - ETHERNET_SIZE || net_checksum_bytes(ip, header, 0) != 0xffff)
        return NULL;
    size_t payload = total - header;
    if ((last && !offset) || (!last && payload % UNIT) || HEADER_MOST + offset + payload > PACKET_MOST)
        return NULL;
    unsigned slot = find(r, ip, now);
    struct packet *p = r->packets[slot];
    switch (place(p, offset, ip + header, payload, last)) {
    case PLACED:
        break;
    case KNOWN:
        return NULL;
    case CONTRADICTS:
        forget(r, slot);
        return NULL;
    }
    if (!offset) {
        p->header = header;
        memcpy(p->data, frame, ETHERNET_SIZE + header);
    }
    if (!p->header || !p->end || p->units != (p->end + UNIT - 1) / UNIT)
        return NULL;
    r->done = g_steal_pointer(&r->packets[slot]);
    return finish(r->done, length);
}
