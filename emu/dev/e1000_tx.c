/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * 82540EM transmit: from TDT to the cable (manual 3.3–3.6 descriptors, segmentation, checksums; 3.4 ring).
 *
 * A write to TDT runs the ring. Each descriptor is copied once, then believed. Buffers are not copied: a
 * packet is gathered as iovecs over guest memory, its first bytes (which checksums, VLAN tag and segmentation
 * change) in a header here, and goes to the peer in one call. A TCP burst goes whole when the peer can take
 * it, else it is cut by a net_cutter. Work the peer can do (checksum) is left to it.
 *
 * As on the chip, a descriptor is done once its data has been taken, and the FIFO is what stands between ring
 * and wire. Here it is only used when the packet cannot go at once: its last descriptor is yet to come
 * (tx_open), it has more pieces than an iovec (spilled), or the peer is full (tx_blocked; nothing more is
 * taken from the ring until net_ops.room).
 *
 * A guest cannot hold the machine up: one run sends at most FRAMES_A_RUN frames and takes DESCRIPTORS_A_RUN
 * descriptors, then goes on from an alarm. A ring whose head or tail lies outside it is not touched.
 * Receiving never transmits, so loopback ends after one step.
 */
#include "emu/dev/e1000_internal.h"

enum {
    FRAMES_A_RUN = 256,
    DESCRIPTORS_A_RUN = 1024,
    LONGEST_FRAME = 16288,           /* what fits the chip's FIFO; only bursts are longer */
    SHORTEST_FRAME = 60,             /* without FCS; PSP pads to it */
    NEIGHBOUR_MOST = 128,            /* of ARP and neighbour discovery */
    SMALLEST_MSS = 8,                /* less only makes work */
    PACKET_PIECES = NET_IOV_MAX - 2, /* leaves room for a header and padding */
    HEADER_MOST = 256 + 8,           /* every offset a descriptor can name, and a VLAN tag */
    VLAN_TAG_AT = 12,
    VLAN_TAG_SIZE = 4,
};

/* A packet being gathered. */
struct packet {
    struct iovec iov[NET_IOV_MAX];
    unsigned count;
    size_t length;
};

/* A transmit descriptor, copied. */
struct descriptor {
    uint64_t address;
    uint32_t lower, upper;
};

/* A context descriptor, decoded (3.3.6). */
struct context {
    unsigned ipcss, ipcso, ipcse, tucss, tucso, tucse;
    uint32_t payload;
    unsigned header, mss;
    bool ipv4, tcp;
};

static struct context decode_context(const uint32_t raw[4])
{
    return (struct context){
        .ipcss = raw[0] & 0xff,
        .ipcso = raw[0] >> 8 & 0xff,
        .ipcse = raw[0] >> 16,
        .tucss = raw[1] & 0xff,
        .tucso = raw[1] >> 8 & 0xff,
        .tucse = raw[1] >> 16,
        .payload = raw[2] & 0xfffff,
        .header = raw[3] >> 8 & 0xff,
        .mss = raw[3] >> 16,
        .ipv4 = raw[2] & E1000_TXC_IP,
        .tcp = raw[2] & E1000_TXC_TCP,
    };
}

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

/* ---- sending finished frames ---- */

static void count_frames(struct e1000 *nic, const struct net_frame *frame)
{
    uint8_t to[6] = {0};
    net_iov_copy(frame->iov, frame->count, 0, to, sizeof to);
    size_t headers = frame->offload.header_length, mss = frame->offload.gso_size;
    uint32_t frames = 1;
    size_t last = MAX(frame->length, SHORTEST_FRAME) + 4;
    uint64_t octets = last;
    if (frame->offload.gso != NET_GSO_NONE && mss && headers < frame->length) {
        size_t payload = frame->length - headers;
        frames = (uint32_t)((payload + mss - 1) / mss);
        last = MAX(headers + payload - (size_t)(frames - 1) * mss, SHORTEST_FRAME) + 4;
        octets = (uint64_t)(frames - 1) * (MAX(headers + mss, SHORTEST_FRAME) + 4) + last;
        e1000_count(nic, E1000_TSCTC, 1);
        if (frames > 1)
            e1000_count_size(nic, E1000_PTC64, MAX(headers + mss, SHORTEST_FRAME) + 4, frames - 1);
    }
    e1000_count_size(nic, E1000_PTC64, last, 1);
    e1000_count(nic, E1000_TPT, frames);
    e1000_count(nic, E1000_GPTC, frames);
    e1000_count_octets(nic, E1000_TOTL, octets);
    e1000_count_octets(nic, E1000_GOTCL, octets);
    if (to[0] & 1) {
        static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
        e1000_count(nic, memcmp(to, all, 6) == 0 ? E1000_BPTC : E1000_MPTC, frames);
    }
}

/* ARP and neighbour advertisements say which addresses are the guest's own; see is_routed(). */
static void note_address(struct e1000 *nic, const struct net_frame *frame)
{
    uint8_t head[78], address[16] = {0};
    size_t have = net_iov_copy(frame->iov, frame->count, 0, head, sizeof head);
    if (have >= 42 && get16(head + 12) == 0x0806 && get16(head + 16) == 0x0800)
        memcpy(address, head + 28, 4); /* the sender's, in requests and answers */
    else if (have == sizeof head && get16(head + 12) == 0x86dd && head[20] == 58 && head[54] == 136)
        memcpy(address, head + 62, 16); /* an advertisement's target */
    else
        return;
    static const uint8_t none[16];
    if (memcmp(address, none, sizeof none) == 0) /* a probe */
        return;
    for (unsigned i = 0; i < MIN(nic->own_count, E1000_OWN_ADDRESSES); i++)
        if (memcmp(address, nic->own[i], sizeof address) == 0)
            return;
    memcpy(nic->own[nic->own_count % E1000_OWN_ADDRESSES], address, sizeof address);
    nic->own_count = nic->own_count + 1 == 2 * E1000_OWN_ADDRESSES ? E1000_OWN_ADDRESSES : nic->own_count + 1;
}

static enum net_result put_on_wire(struct e1000 *nic, const struct net_frame *frame)
{
    unsigned cost = 1; /* a burst that somebody else cuts is work, too */
    if (frame->offload.gso != NET_GSO_NONE)
        cost += (unsigned)(frame->length / frame->offload.gso_size / 64);
    nic->budget -= MIN(cost, nic->budget);
    if (e1000_in_loopback(nic)) {
        e1000_receive_loopback(nic, frame); /* a full ring loses it, as a wire does */
        return NET_SENT;
    }
    if (!nic->link) {
        net_drop(nic->port, NET_DROP_LINK_DOWN);
        return NET_DROPPED;
    }
    return net_send(nic->port, frame);
}

/* Sends from piece *piece on. NET_FULL: not all of it went, *piece says from where to go on. */
static enum net_result deliver(struct e1000 *nic, const struct net_frame *frame, uint32_t *piece)
{
    if (e1000_in_loopback(nic) || !net_frame_unfinished(frame, net_peer_can(nic->port))) {
        *piece = 0;
        return put_on_wire(nic, frame);
    }
    struct net_cutter cutter;
    if (!net_cutter_init(&cutter, frame, *piece)) {
        trace(E1000, "%s: transmit: impossible offload, frame dropped", nic->pci.device.id);
        net_drop(nic->port, NET_DROP_ERROR);
        return NET_DROPPED;
    }
    for (const struct net_frame *part; (part = net_cutter_next(&cutter));) {
        *piece = cutter.next;
        if (put_on_wire(nic, part) == NET_FULL) {
            *piece = cutter.next - 1;
            return NET_FULL;
        }
        if (!nic->budget && cutter.next < cutter.segments)
            return NET_FULL; /* the alarm goes on with it */
    }
    return NET_SENT;
}

/* Puts a frame into the FIFO. Of its pieces one may be in the FIFO already, further up or down. */
static void keep(struct e1000 *nic, const struct net_frame *frame)
{
    size_t at = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        at = 0;
        for (unsigned i = 0; i < frame->count; i++) {
            const uint8_t *from = frame->iov[i].iov_base;
            bool inside = from >= nic->tx_fifo && from < nic->tx_fifo + sizeof nic->tx_fifo;
            if (inside == (pass == 0))
                memmove(nic->tx_fifo + at, from, frame->iov[i].iov_len);
            at += frame->iov[i].iov_len;
        }
    }
    nic->tx_length = (uint32_t)at;
    nic->tx_offload = frame->offload;
}

static void emit(struct e1000 *nic, const struct net_frame *frame)
{
    uint32_t piece = 0;
    trace(E1000, "%s: transmit %zu bytes%s%s", nic->pci.device.id, frame->length,
          frame->offload.needs_checksum ? ", checksum" : "",
          frame->offload.gso != NET_GSO_NONE ? ", burst" : "");
    count_frames(nic, frame);
    if (frame->length <= NEIGHBOUR_MOST)
        note_address(nic, frame);
    if (deliver(nic, frame, &piece) == NET_FULL) {
        keep(nic, frame);
        nic->tx_blocked = true;
        nic->tx_piece = piece;
    }
}

/* Tries the frame that waits in the FIFO. True: the way is free. */
static bool flush(struct e1000 *nic)
{
    if (!nic->tx_blocked)
        return true;
    struct iovec iov = {.iov_base = nic->tx_fifo, .iov_len = nic->tx_length};
    struct net_frame frame = {.iov = &iov, .count = 1, .length = nic->tx_length, .offload = nic->tx_offload};
    if (deliver(nic, &frame, &nic->tx_piece) == NET_FULL)
        return false;
    nic->tx_blocked = false;
    nic->tx_length = nic->tx_piece = 0;
    return true;
}

/* ---- making frames of packets ---- */

static void drop(struct e1000 *nic, enum net_drop why, const char *what)
{
    trace(E1000, "%s: transmit: %s, packet dropped", nic->pci.device.id, what);
    net_drop(nic->port, why);
}

/* The frame is `header` in place of the packet's first `replaced` bytes, then the rest, then padding. */
static void compose(struct net_frame *frame, struct iovec *iov, uint8_t *header, size_t header_length,
                    const struct packet *packet, size_t replaced, bool pad)
{
    static const uint8_t zeroes[SHORTEST_FRAME];
    unsigned count = 0;
    if (header_length)
        iov[count++] = (struct iovec){.iov_base = header, .iov_len = header_length};
    if (replaced < packet->length)
        count += net_iov_slice(packet->iov, packet->count, replaced, packet->length - replaced, iov + count,
                               PACKET_PIECES);
    frame->length = header_length + packet->length - replaced;
    if (pad && frame->length < SHORTEST_FRAME) {
        iov[count++] =
            (struct iovec){.iov_base = (uint8_t *)zeroes, .iov_len = SHORTEST_FRAME - frame->length};
        frame->length = SHORTEST_FRAME;
    }
    frame->iov = iov;
    frame->count = count;
}

/* Makes room for a VLAN tag in a header of `length` bytes, at least 12, and puts it there. */
static void insert_tag(struct e1000 *nic, uint8_t *header, size_t length, uint16_t tag)
{
    memmove(header + VLAN_TAG_AT + VLAN_TAG_SIZE, header + VLAN_TAG_AT, length - VLAN_TAG_AT);
    put16(header + VLAN_TAG_AT, *e1000_reg(nic, E1000_VET));
    put16(header + VLAN_TAG_AT + 2, tag);
}

/* One's complement sum over [start, end] of a packet whose first bytes are in `header`. */
static uint16_t sum_range(const uint8_t *header, size_t header_length, const struct packet *packet,
                          size_t start, size_t end)
{
    struct iovec iov[NET_IOV_MAX];
    iov[0] = (struct iovec){.iov_base = (uint8_t *)header, .iov_len = header_length};
    unsigned count = 1;
    if (header_length < packet->length)
        count += net_iov_slice(packet->iov, packet->count, header_length, packet->length - header_length,
                               iov + 1, PACKET_PIECES);
    return net_checksum(iov, count, start, end >= start ? end - start + 1 : 0, 0);
}

/* What one packet's descriptors ask for, legacy (IC) or by context. */
struct wishes {
    bool ip, l4, tag;
    unsigned ip_start, ip_field, ip_end; /* ends are inclusive, 0: the packet's end */
    unsigned l4_start, l4_field, l4_end;
};

static struct wishes read_wishes(const struct e1000 *nic, const struct descriptor *last)
{
    struct wishes wishes = {0};
    wishes.tag = last->lower & E1000_TXD_VLE && nic->reg[E1000_CTRL / 4] & E1000_CTRL_VME;
    if (!(last->lower & E1000_TXD_DEXT)) {
        wishes.l4 = last->lower & E1000_TXD_IC;
        wishes.l4_start = last->upper >> 8 & 0xff;
        wishes.l4_field = last->lower >> 16 & 0xff;
        return wishes;
    }
    struct context context = decode_context(nic->tx_context[0]);
    wishes.ip = nic->tx_options & E1000_TXD_IXSM >> 8;
    wishes.ip_start = context.ipcss;
    wishes.ip_field = context.ipcso;
    wishes.ip_end = context.ipcse;
    wishes.l4 = nic->tx_options & E1000_TXD_TXSM >> 8;
    wishes.l4_start = context.tucss;
    wishes.l4_field = context.tucso;
    wishes.l4_end = context.tucse;
    return wishes;
}

static void send_single(struct e1000 *nic, struct packet *packet, const struct descriptor *last)
{
    size_t length = packet->length;
    if (length < NET_FRAME_MIN) {
        drop(nic, NET_DROP_TOO_SHORT, "less than an Ethernet header");
        return;
    }
    if (length > LONGEST_FRAME) {
        drop(nic, NET_DROP_TOO_LONG, "longer than the FIFO");
        return;
    }
    struct wishes wishes = read_wishes(nic, last);
    /* A checksum whose field or start is not in the packet is not done. */
    wishes.ip = wishes.ip && wishes.ip_field + 2u <= length && wishes.ip_start < length;
    wishes.l4 = wishes.l4 && wishes.l4_field + 2u <= length && wishes.l4_start < length;

    uint8_t header[HEADER_MOST];
    size_t taken = wishes.tag ? VLAN_TAG_AT : 0;
    if (wishes.ip)
        taken = MAX(taken, wishes.ip_field + 2u);
    if (wishes.l4)
        taken = MAX(taken, wishes.l4_field + 2u);
    net_iov_copy(packet->iov, packet->count, 0, header, taken);

    struct net_frame frame = {0};
    if (wishes.ip) {
        size_t end = wishes.ip_end ? MIN(wishes.ip_end, length - 1) : length - 1;
        put16(header + wishes.ip_field, ~sum_range(header, taken, packet, wishes.ip_start, end) & 0xffffu);
    }
    if (wishes.l4) {
        size_t end = wishes.l4_end ? MIN(wishes.l4_end, length - 1) : length - 1;
        if (end == length - 1 && wishes.l4_field >= wishes.l4_start && wishes.l4_start >= NET_FRAME_MIN &&
            net_peer_can(nic->port) & NET_CAN_CHECKSUM) {
            frame.offload.needs_checksum = true;
            frame.offload.checksum_start = (uint16_t)(wishes.l4_start + (wishes.tag ? VLAN_TAG_SIZE : 0));
            frame.offload.checksum_offset = (uint16_t)(wishes.l4_field - wishes.l4_start);
        } else {
            uint32_t sum = ~sum_range(header, taken, packet, wishes.l4_start, end) & 0xffffu;
            put16(header + wishes.l4_field, sum ? sum : 0xffff); /* zero would mean "none" to UDP */
        }
    }
    size_t header_length = taken;
    if (wishes.tag) {
        insert_tag(nic, header, taken, (uint16_t)(last->upper >> 16));
        header_length += VLAN_TAG_SIZE;
    }
    struct iovec iov[NET_IOV_MAX];
    bool pad = *e1000_reg(nic, E1000_TCTL) & E1000_TCTL_PSP;
    compose(&frame, iov, header, header_length, packet, taken, pad);
    emit(nic, &frame);
}

/* The header of a burst as virtio has it: whole lengths, the pseudo-header sum including the length. False:
 * the context does not describe a TCP or UDP packet, or describes another one than is there. */
static bool prepare_burst(const struct context *context, uint8_t *header, size_t length,
                          struct net_offload *offload)
{
    struct net_layout layout;
    size_t packet = length - context->ipcss, l4 = length - context->tucss;
    if (context->ipcss + (context->ipv4 ? 20u : 40u) > context->header || context->tucss < context->ipcss ||
        context->tucss + 8u > context->header)
        return false;
    put16(header + context->ipcss + (context->ipv4 ? 2 : 4),
          (uint32_t)(context->ipv4 ? packet : packet - 40));
    if (!net_layout_parse(header, context->header, length, &layout) || layout.l3 != context->ipcss ||
        layout.version != (context->ipv4 ? 4 : 6) || layout.l4 != context->tucss || layout.fragment ||
        layout.protocol != (context->tcp ? 6 : 17))
        return false;
    uint8_t *transport = header + context->tucss;
    unsigned field = context->tcp ? 16 : 6;
    if (context->tucso != context->tucss + field)
        return false;
    if (context->tcp) {
        if (context->tucss + 20u > context->header ||
            context->tucss + 4u * (transport[12] >> 4) != context->header)
            return false;
        offload->gso = context->ipv4 ? NET_GSO_TCPV4 : NET_GSO_TCPV6;
    } else {
        if (context->tucss + 8u != context->header)
            return false;
        put16(transport + 4, (uint32_t)l4);
        offload->gso = NET_GSO_UDP;
    }
    if (context->ipv4) {
        uint8_t *ip = header + context->ipcss;
        put16(ip + 10, 0);
        put16(ip + 10, ~net_checksum_bytes(ip, (size_t)(layout.l4 - layout.l3), 0) & 0xffffu);
    }
    uint32_t sum = get16(transport + field) + (uint32_t)l4;
    sum = (sum & 0xffff) + (sum >> 16);
    put16(transport + field, (sum & 0xffff) + (sum >> 16));
    offload->needs_checksum = true;
    offload->checksum_start = (uint16_t)context->tucss;
    offload->checksum_offset = (uint16_t)field;
    offload->gso_size = (uint16_t)context->mss;
    offload->header_length = (uint16_t)context->header;
    return true;
}

static void send_burst(struct e1000 *nic, struct packet *packet, const struct descriptor *last)
{
    struct context context = decode_context(nic->tx_context[1]);
    bool tag = last->lower & E1000_TXD_VLE && *e1000_reg(nic, E1000_CTRL) & E1000_CTRL_VME;
    /* PAYLEN rules; a packet that has more is cut, one that has less ends early. */
    if (packet->length > context.header + context.payload)
        packet->length = context.header + context.payload;
    uint8_t header[HEADER_MOST];
    struct net_frame frame = {0};
    if (context.mss < SMALLEST_MSS || context.mss + context.header > LONGEST_FRAME ||
        packet->length <= context.header || context.header < NET_FRAME_MIN ||
        packet->length - context.ipcss > 65535) {
        e1000_count(nic, E1000_TSCTFC, 1);
        drop(nic, NET_DROP_ERROR, "segmentation of impossible size");
        return;
    }
    net_iov_copy(packet->iov, packet->count, 0, header, context.header);
    if (!prepare_burst(&context, header, packet->length, &frame.offload)) {
        e1000_count(nic, E1000_TSCTFC, 1);
        drop(nic, NET_DROP_ERROR, "segmentation context does not fit the packet");
        return;
    }
    if (packet->length - context.header <= context.mss) { /* one piece */
        frame.offload.gso = NET_GSO_NONE;
        frame.offload.gso_size = 0;
    }
    size_t header_length = context.header;
    if (tag) {
        insert_tag(nic, header, header_length, (uint16_t)(last->upper >> 16));
        header_length += VLAN_TAG_SIZE;
        frame.offload.checksum_start += VLAN_TAG_SIZE;
        frame.offload.header_length += VLAN_TAG_SIZE;
    }
    struct iovec iov[NET_IOV_MAX];
    compose(&frame, iov, header, header_length, packet, context.header, true);
    emit(nic, &frame);
}

/* ---- gathering ---- */

/* Moves all of the packet into the FIFO, so that one piece is left. */
static void spill(struct e1000 *nic, struct packet *packet)
{
    if (packet->count == 0 || (packet->count == 1 && packet->iov[0].iov_base == nic->tx_fifo))
        return;
    size_t at = 0;
    unsigned i = 0;
    if (packet->iov[0].iov_base == nic->tx_fifo)
        at = packet->iov[i++].iov_len;
    for (; i < packet->count; i++) {
        memcpy(nic->tx_fifo + at, packet->iov[i].iov_base, packet->iov[i].iov_len);
        at += packet->iov[i].iov_len;
    }
    packet->iov[0] = (struct iovec){.iov_base = nic->tx_fifo, .iov_len = at};
    packet->count = 1;
}

static void gather(struct e1000 *nic, struct packet *packet, uint64_t address, size_t length)
{
    static const uint8_t ones[PHYS_PAGE_SIZE] = {[0 ... PHYS_PAGE_SIZE - 1] = 0xff};
    if (packet->length + length > NET_FRAME_MAX - VLAN_TAG_SIZE) {
        nic->tx_bad = true;
        return;
    }
    while (length) {
        size_t n = length;
        const uint8_t *from = e1000_dma_source(nic, address, &n);
        if (packet->count == PACKET_PIECES)
            spill(nic, packet);
        packet->iov[packet->count++] =
            (struct iovec){.iov_base = (uint8_t *)(from ? from : ones), .iov_len = n};
        packet->length += n;
        address += n;
        length -= n;
    }
}

static void finish(struct e1000 *nic, struct packet *packet, const struct descriptor *last)
{
    nic->tx_open = false;
    if (nic->tx_bad) {
        drop(nic, NET_DROP_TOO_LONG, "more than 64 KiB");
    } else if (nic->tx_burst) {
        send_burst(nic, packet, last);
    } else {
        if (!(last->lower & E1000_TXD_IFCS)) /* the guest's own FCS is at the end; cables here carry none */
            packet->length -= MIN(packet->length, 4);
        send_single(nic, packet, last);
    }
    packet->count = 0;
    packet->length = 0;
}

/* One descriptor; adds what it causes to *now and *later (IDE). */
static void take_descriptor(struct e1000 *nic, struct packet *packet, const struct descriptor *d,
                            uint32_t *now, uint32_t *later)
{
    bool extended = d->lower & E1000_TXD_DEXT;
    trace(E1000, "%s: TXD[%u] %016" G_GINT64_MODIFIER "x %08x %08x", nic->pci.device.id,
          *e1000_reg(nic, E1000_TDH), d->address, d->lower, d->upper);
    if (d->lower & (E1000_TXD_RS | E1000_TXD_RPS))
        *(d->lower & E1000_TXD_IDE ? later : now) |= E1000_INT_TXDW;
    if (extended && E1000_TXD_DTYP(d->lower) != E1000_TXD_DTYP_DATA) {
        uint32_t raw[4] = {(uint32_t)d->address, (uint32_t)(d->address >> 32), d->lower, d->upper};
        memcpy(nic->tx_context[d->lower & E1000_TXD_TSE ? 1 : 0], raw, sizeof raw);
        return;
    }
    if (!nic->tx_open) {
        nic->tx_open = true;
        nic->tx_bad = false;
        nic->tx_burst = extended && d->lower & E1000_TXD_TSE;
        nic->tx_options = extended ? (uint8_t)(d->upper >> 8) : 0;
    }
    if (!nic->tx_bad)
        gather(nic, packet, d->address, d->lower & (extended ? 0xfffff : 0xffff));
    if (d->lower & E1000_TXD_EOP)
        finish(nic, packet, d);
}

static void run_ring(struct e1000 *nic)
{
    uint32_t size = e1000_ring_size(*e1000_reg(nic, E1000_TDLEN));
    uint32_t head = *e1000_reg(nic, E1000_TDH), tail = *e1000_reg(nic, E1000_TDT);
    if (head == tail)
        return;
    if (head >= size || tail >= size) {
        trace(E1000, "%s: transmit ring of %u descriptors: TDH %u, TDT %u: not touched", nic->pci.device.id,
              size, head, tail);
        return;
    }
    uint64_t base = (uint64_t)*e1000_reg(nic, E1000_TDBAH) << 32 | *e1000_reg(nic, E1000_TDBAL);
    uint32_t left = *e1000_reg(nic, E1000_TXDCTL) >> 25; /* LWTHRESH, in eights */
    uint32_t now = 0, later = 0;
    struct packet packet;
    packet.count = 0;
    packet.length = 0;
    if (nic->tx_open && nic->tx_length) {
        packet.iov[packet.count++] = (struct iovec){.iov_base = nic->tx_fifo, .iov_len = nic->tx_length};
        packet.length = nic->tx_length;
    }
    for (unsigned n = 0; head != tail && n < DESCRIPTORS_A_RUN && nic->budget && !nic->tx_blocked; n++) {
        uint64_t at = base + 16ull * head;
        uint8_t raw[16];
        struct descriptor d;
        e1000_dma_read(nic, at, raw, sizeof raw);
        memcpy(&d.address, raw, 8);
        memcpy(&d.lower, raw + 8, 4);
        memcpy(&d.upper, raw + 12, 4);
        take_descriptor(nic, &packet, &d, &now, &later);
        if (d.lower & (E1000_TXD_RS | E1000_TXD_RPS)) {
            uint8_t status = (uint8_t)((d.upper & 0xf0) | E1000_TXD_DD);
            e1000_dma_write(nic, at + 12, &status, 1);
        }
        head = head + 1 == size ? 0 : head + 1;
        *e1000_reg(nic, E1000_TDH) = head;
        uint32_t used = tail >= head ? tail - head : tail + size - head;
        if (left && used == left * 8)
            now |= E1000_INT_TXD_LOW;
    }
    if (!nic->tx_blocked) {
        if (nic->tx_open)
            spill(nic, &packet); /* guest memory may change before the rest comes */
        nic->tx_length = nic->tx_open ? (uint32_t)packet.length : 0;
    }
    if (head == tail)
        now |= E1000_INT_TXQE;
    e1000_raise(nic, now);
    if (later && !(now & later))
        e1000_raise_delayed(nic, E1000_ALARM_TIDV, *e1000_reg(nic, E1000_TIDV), E1000_ALARM_TADV,
                            *e1000_reg(nic, E1000_TADV), later);
}

void e1000_tx_run(struct e1000 *nic)
{
    if (nic->transmitting || !(*e1000_reg(nic, E1000_TCTL) & E1000_TCTL_EN) || !e1000_awake(nic) ||
        nic->alarm[E1000_ALARM_PAUSE])
        return;
    nic->transmitting = true;
    nic->budget = FRAMES_A_RUN;
    bool free_way = flush(nic);
    if (free_way)
        run_ring(nic);
    bool waits_for_peer = nic->tx_blocked && nic->budget;
    if (!waits_for_peer && (nic->tx_blocked || *e1000_reg(nic, E1000_TDH) != *e1000_reg(nic, E1000_TDT))) {
        uint32_t size = e1000_ring_size(*e1000_reg(nic, E1000_TDLEN));
        if (nic->tx_blocked || (*e1000_reg(nic, E1000_TDH) < size && *e1000_reg(nic, E1000_TDT) < size))
            e1000_alarm_set(nic, E1000_ALARM_TRANSMIT, clock_now(nic->clock));
    }
    nic->transmitting = false;
}

void e1000_tx_reset(struct e1000 *nic)
{
    memset(nic->tx_context, 0, sizeof nic->tx_context);
    nic->tx_open = nic->tx_bad = nic->tx_burst = nic->tx_blocked = false;
    nic->tx_options = 0;
    nic->tx_piece = nic->tx_length = 0;
    nic->tx_offload = (struct net_offload){0};
}
