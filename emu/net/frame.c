/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Looking into frames and finishing them: see frame.h. RFC 1071 (checksum), RFC 791, 8200, 9293, 768.
 *
 * Checksums are computed on memory in the host's byte order, 32 bits at a time into 64-bit accumulators, and
 * swapped once at the end: the one's complement sum does not care (RFC 1071, 2(B)). A piece that begins at an
 * odd offset of the range has its sum's bytes exchanged before it is added.
 *
 * Cutting follows what every TSO engine does: headers repeated; IP length, identification and header checksum
 * per piece; TCP sequence number advanced, FIN and PSH on the last piece only, CWR on the first only; for UDP
 * the length. The L4 checksum field of a burst holds the pseudo-header sum with the *burst's* length in it,
 * which is taken out once and put in per piece.
 */
#include "emu/net/frame.h"

#include <string.h>

enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_IPV6 = 0x86dd, ETHERTYPE_VLAN = 0x8100, ETHERTYPE_QINQ = 0x88a8 };
enum {
    PROTOCOL_HOP_BY_HOP = 0,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    PROTOCOL_ROUTING = 43,
    PROTOCOL_FRAGMENT = 44,
    PROTOCOL_DESTINATION = 60
};
enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_CWR = 0x80 };
enum { SMALLEST_MSS = 8 }; /* as Linux: less is never sent but by somebody who wants us to work */

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void put32(uint8_t *p, uint32_t value)
{
    put16(p, value >> 16);
    put16(p + 2, value);
}

/* ---- scattered buffers ---- */

size_t net_iov_copy(const struct iovec *iov, unsigned count, size_t offset, void *to, size_t length)
{
    size_t done = 0;
    for (unsigned i = 0; i < count && done < length; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        size_t n = MIN(iov[i].iov_len - offset, length - done);
        memcpy((uint8_t *)to + done, (const uint8_t *)iov[i].iov_base + offset, n);
        done += n;
        offset = 0;
    }
    return done;
}

unsigned net_iov_slice(const struct iovec *iov, unsigned count, size_t offset, size_t length,
                       struct iovec *out, unsigned max)
{
    unsigned used = 0;
    for (unsigned i = 0; i < count && length; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        if (used == max)
            return 0;
        size_t n = MIN(iov[i].iov_len - offset, length);
        out[used++] = (struct iovec){.iov_base = (uint8_t *)iov[i].iov_base + offset, .iov_len = n};
        length -= n;
        offset = 0;
    }
    return used;
}

/* ---- checksums ---- */

static uint32_t fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint32_t)sum;
}

/* Folded sum in host order, as if the bytes began at an even offset. */
static uint32_t sum_memory(const uint8_t *p, size_t n)
{
    uint64_t a = 0, b = 0;
    while (n >= 32) {
        uint64_t w[4];
        memcpy(w, p, sizeof w);
        a += (w[0] & 0xffffffff) + (w[1] & 0xffffffff) + (w[2] & 0xffffffff) + (w[3] & 0xffffffff);
        b += (w[0] >> 32) + (w[1] >> 32) + (w[2] >> 32) + (w[3] >> 32);
        p += 32;
        n -= 32;
    }
    while (n >= 4) {
        uint32_t w;
        memcpy(&w, p, 4);
        a += w;
        p += 4;
        n -= 4;
    }
    if (n >= 2) {
        uint16_t w;
        memcpy(&w, p, 2);
        a += w;
        p += 2;
        n -= 2;
    }
    if (n)
        a += *p; /* the missing byte counts as zero; little-endian, as all our hosts are */
    return fold((uint64_t)fold(a) + fold(b));
}

uint16_t net_checksum_bytes(const void *data, size_t length, uint32_t start)
{
    return (uint16_t)fold((uint64_t)GUINT16_SWAP_LE_BE((uint16_t)sum_memory(data, length)) + start);
}

uint16_t net_checksum(const struct iovec *iov, unsigned count, size_t offset, size_t length, uint32_t start)
{
    uint64_t sum = 0;
    bool odd = false;
    for (unsigned i = 0; i < count && length; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        size_t n = MIN(iov[i].iov_len - offset, length);
        uint32_t part = sum_memory((const uint8_t *)iov[i].iov_base + offset, n);
        sum += odd ? GUINT16_SWAP_LE_BE((uint16_t)part) : part;
        odd ^= n & 1;
        length -= n;
        offset = 0;
    }
    return (uint16_t)fold((uint64_t)GUINT16_SWAP_LE_BE((uint16_t)fold(sum)) + start);
}

uint16_t net_checksum_pseudo(const uint8_t *head, const struct net_layout *layout, uint8_t protocol,
                             uint32_t length)
{
    uint32_t sum = (length >> 16) + (length & 0xffff) + protocol;
    if (layout->version == 4)
        return net_checksum_bytes(head + layout->l3 + 12, 8, sum);
    return net_checksum_bytes(head + layout->l3 + 8, 32, sum);
}

/* ---- layout ---- */

/* Follows IPv6 extension headers; *at is moved to the upper-layer header. False when they run out of head. */
static bool skip_extensions(const uint8_t *head, size_t have, struct net_layout *out)
{
    size_t at = (size_t)out->l3 + 40;
    for (unsigned hops = 0; hops < 8; hops++) {
        bool fragment = out->protocol == PROTOCOL_FRAGMENT;
        if (!fragment && out->protocol != PROTOCOL_HOP_BY_HOP && out->protocol != PROTOCOL_ROUTING &&
            out->protocol != PROTOCOL_DESTINATION) {
            out->l4 = (uint16_t)at;
            return true;
        }
        if (at + 8 > have)
            return false;
        out->fragment |= fragment;
        out->protocol = head[at];
        at += fragment ? 8 : 8 + 8 * (size_t)head[at + 1];
        if (at > have)
            return false;
    }
    return false;
}

bool net_layout_parse(const uint8_t *head, size_t head_length, size_t frame_length, struct net_layout *out)
{
    *out = (struct net_layout){0};
    size_t have = MIN(MIN(head_length, frame_length), NET_HEADERS_MAX), at = 12;
    if (have < 14)
        return false;
    for (unsigned tags = 0; tags < 2 && at + 6 <= have; tags++) {
        uint16_t tag = get16(head + at);
        if (tag != ETHERTYPE_VLAN && tag != ETHERTYPE_QINQ)
            break;
        at += 4;
    }
    uint16_t type = get16(head + at);
    at += 2;
    static const uint8_t snap[6] = {0xaa, 0xaa, 0x03, 0, 0, 0};
    if (type <= 1500 && at + 8 <= have && memcmp(head + at, snap, sizeof snap) == 0) {
        type = get16(head + at + 6);
        at += 8;
    }
    out->l3 = (uint16_t)at;
    const uint8_t *ip = head + at;
    if (type == ETHERTYPE_IPV4) {
        if (at + 20 > have || ip[0] >> 4 != 4)
            return false;
        unsigned header = 4u * (ip[0] & 15), total = get16(ip + 2);
        if (header < 20 || total < header || at + header > have || at + total > frame_length)
            return false;
        out->version = 4;
        out->protocol = ip[9];
        out->fragment = get16(ip + 6) & 0x3fff; /* more fragments, or an offset */
        out->l4 = (uint16_t)(at + header);
        out->end = (uint32_t)(at + total);
    } else if (type == ETHERTYPE_IPV6) {
        if (at + 40 > have || ip[0] >> 4 != 6 || at + 40 + get16(ip + 4) > frame_length)
            return false;
        out->version = 6;
        out->protocol = ip[6];
        out->end = (uint32_t)(at + 40 + get16(ip + 4));
        if (!skip_extensions(head, MIN(have, out->end), out)) {
            out->version = 0;
            return false;
        }
    } else {
        return false;
    }
    size_t fixed = out->protocol == PROTOCOL_TCP ? 20 : 8;
    out->l4_valid = out->l4 + fixed <= have && out->l4 + fixed <= out->end;
    return true;
}

/* ---- finishing ---- */

bool net_frame_unfinished(const struct net_frame *frame, unsigned can)
{
    const struct net_offload *offload = &frame->offload;
    switch (offload->gso) {
    case NET_GSO_NONE:
        return offload->needs_checksum && !(can & NET_CAN_CHECKSUM);
    case NET_GSO_TCPV4:
        return !(can & NET_CAN_TSO4) || !(can & NET_CAN_CHECKSUM);
    case NET_GSO_TCPV6:
        return !(can & NET_CAN_TSO6) || !(can & NET_CAN_CHECKSUM);
    case NET_GSO_UDP:
        return true;
    }
    return true;
}

/* The length fields of a burst are not looked at (a burst longer than they can say may have zeroes there). */
static bool burst_layout(struct net_cutter *c, size_t have)
{
    const struct net_offload *offload = &c->source->offload;
    uint8_t head[NET_HEADERS_MAX];
    memcpy(head, c->original, have);
    /* Only the headers' own lengths matter here; make the packet's length fit the frame for the parser. */
    size_t frame_length = c->source->length, l4 = offload->checksum_start;
    struct net_layout *layout = &c->layout;
    size_t at = 12;
    for (unsigned tags = 0; tags < 2 && at + 6 <= have; tags++, at += 4)
        if (get16(head + at) != ETHERTYPE_VLAN && get16(head + at) != ETHERTYPE_QINQ)
            break;
    at += 2;
    if (at + 20 > have)
        return false;
    if (offload->gso == NET_GSO_TCPV6 || (offload->gso == NET_GSO_UDP && head[at] >> 4 == 6)) {
        if (at + 40 > frame_length || at + 40 > have)
            return false;
        put16(head + at + 4, (uint32_t)MIN(frame_length - at - 40, 0xffff));
    } else {
        put16(head + at + 2, (uint32_t)MIN(frame_length - at, 0xffff));
    }
    if (!net_layout_parse(head, have, frame_length, layout) || layout->l4 != l4 || layout->fragment ||
        !layout->l4_valid)
        return false;
    switch (offload->gso) {
    case NET_GSO_TCPV4:
        return layout->version == 4 && layout->protocol == PROTOCOL_TCP && offload->checksum_offset == 16;
    case NET_GSO_TCPV6:
        return layout->version == 6 && layout->protocol == PROTOCOL_TCP && offload->checksum_offset == 16;
    case NET_GSO_UDP:
        return layout->protocol == PROTOCOL_UDP && offload->checksum_offset == 6;
    case NET_GSO_NONE:
        break;
    }
    return false;
}

bool net_cutter_init(struct net_cutter *c, const struct net_frame *frame, unsigned first)
{
    const struct net_offload *offload = &frame->offload;
    c->source = frame;
    c->next = first;
    c->segments = 1;
    c->headers = 0;
    c->size = 0;
    if (frame->length < NET_FRAME_MIN || frame->length > NET_FRAME_MAX || frame->count > NET_IOV_MAX)
        return false;
    if (offload->gso == NET_GSO_NONE && !offload->needs_checksum)
        return true;

    size_t field = (size_t)offload->checksum_start + offload->checksum_offset;
    if (offload->checksum_start < NET_FRAME_MIN || field + 2 > frame->length || field + 2 > NET_HEADERS_MAX)
        return false;
    if (offload->gso == NET_GSO_NONE) {
        c->headers = field + 2;
        return net_iov_copy(frame->iov, frame->count, 0, c->original, c->headers) == c->headers;
    }

    size_t have = net_iov_copy(frame->iov, frame->count, 0, c->original, NET_HEADERS_MAX);
    if (!offload->needs_checksum || offload->gso_size < SMALLEST_MSS || !burst_layout(c, have))
        return false;
    size_t l4 = c->layout.l4;
    c->headers = l4 + 8;
    if (c->layout.protocol == PROTOCOL_TCP) {
        unsigned header = 4u * (c->original[l4 + 12] >> 4);
        c->headers = l4 + header;
        if (header < 20)
            return false;
    }
    if (c->headers > have || c->headers >= frame->length)
        return false;
    c->size = offload->gso_size;
    c->segments = (unsigned)((frame->length - c->headers + c->size - 1) / c->size);
    /* One's complement: subtracting is adding the complement. */
    uint32_t length = (uint32_t)(frame->length - l4);
    uint32_t out = (~length & 0xffff) + (~(length >> 16) & 0xffff);
    c->pseudo = (uint16_t)fold((uint64_t)get16(c->original + field) + out);
    return true;
}

/* Headers of piece number `index` with `payload` bytes, all but the L4 checksum. */
static void burst_header(struct net_cutter *c, unsigned index, size_t payload)
{
    bool last = index + 1 == c->segments;
    memcpy(c->header, c->original, c->headers);
    uint8_t *ip = c->header + c->layout.l3, *l4 = c->header + c->layout.l4;
    size_t packet = c->headers - c->layout.l3 + payload;
    if (c->layout.version == 4) {
        put16(ip + 2, (uint32_t)packet);
        put16(ip + 4, get16(ip + 4) + index);
        put16(ip + 10, 0);
        put16(ip + 10, ~net_checksum_bytes(ip, (size_t)(c->layout.l4 - c->layout.l3), 0) & 0xffffu);
    } else {
        put16(ip + 4, (uint32_t)(packet - 40));
    }
    if (c->layout.protocol == PROTOCOL_TCP) {
        put32(l4 + 4, get32(l4 + 4) + (uint32_t)(index * c->size));
        if (!last)
            l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        if (index)
            l4[13] &= (uint8_t)~TCP_CWR;
    } else {
        put16(l4 + 4, (uint32_t)(8 + payload));
    }
}

const struct net_frame *net_cutter_next(struct net_cutter *c)
{
    const struct net_frame *source = c->source;
    const struct net_offload *offload = &source->offload;
    if (c->next >= c->segments)
        return NULL;
    unsigned index = c->next++;
    if (!c->headers)
        return source;

    size_t start = offload->checksum_start, field = start + offload->checksum_offset;
    size_t from = c->headers + index * c->size;
    size_t payload = source->length - from;
    uint32_t sum;
    if (offload->gso == NET_GSO_NONE) {
        memcpy(c->header, c->original, c->headers);
        sum = 0;
    } else {
        payload = MIN(payload, c->size);
        burst_header(c, index, payload);
        uint32_t length = (uint32_t)(c->headers - start + payload);
        put16(c->header + field, fold((uint64_t)c->pseudo + length));
        sum = 0;
    }
    c->iov[0] = (struct iovec){.iov_base = c->header, .iov_len = c->headers};
    unsigned pieces = net_iov_slice(source->iov, source->count, from, payload, c->iov + 1, NET_IOV_MAX);
    c->piece = (struct net_frame){.iov = c->iov, .count = pieces + 1, .length = c->headers + payload};
    sum = net_checksum(c->iov, pieces + 1, start, c->piece.length - start, 0);
    uint16_t checksum = (uint16_t)~sum;
    put16(c->header + field, checksum ? checksum : 0xffff); /* zero would mean "none" to UDP */
    c->piece.offload.checksum_good = true;
    return &c->piece;
}

enum net_result net_frame_finish(const struct net_frame *frame, unsigned can,
                                 enum net_result (*emit)(void *opaque, const struct net_frame *frame),
                                 void *opaque)
{
    if (!net_frame_unfinished(frame, can))
        return emit(opaque, frame);
    struct net_cutter cutter;
    if (!net_cutter_init(&cutter, frame, 0))
        return NET_DROPPED;
    enum net_result result = NET_SENT;
    for (const struct net_frame *piece; result == NET_SENT && (piece = net_cutter_next(&cutter));)
        result = emit(opaque, piece);
    return result;
}
