/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * 82540EM receive: from the cable into the ring (manual 3.2 descriptors and checksums, 10.5/13.5 filters, 9
 * VLAN).
 *
 * A frame is refused (NET_FULL) while the guest has no descriptors for it: the back end keeps it, and hears
 * of room when the guest writes RDT. The chip would take it into its 48 KiB FIFO and then lose what follows;
 * our FIFO is the back end's queue. A frame nobody here wants (receiver off, filters, no link) is dropped at
 * once, so that it does not stand in the way of others.
 *
 * Work the sender left to us: a TCP burst is cut into the frames it would have been, and a checksum that is
 * "still to be done" is done, since a guest that routes must be able to send the frame on as it is. What does
 * not fit the ring of a burst waits in rx_fifo. Such frames, and those whose sender vouches for the checksum,
 * are reported as checked without being summed; all others are summed here, as the chip does, because a guest
 * takes many times longer for it.
 *
 * Data goes straight from the sender's memory to the guest's. Buffers that are not RAM swallow what is
 * written.
 */
#include "emu/dev/e1000_internal.h"

#include <wmmintrin.h>

enum {
    SHORTEST_FRAME = 60, /* without FCS; shorter ones are padded, as their sender would have done on a wire */
    LONGEST_NORMAL = 1518,
    LONGEST_LPE = 16380,
    FCS_SIZE = 4,
    PIECES_A_POLL = 18, /* one in a packet's head, 17 in its fragments */
    PACE_NS = 2000000,
    EMPTY_A_FRAME = 256,      /* null descriptors passed over before a frame is given up */
    PIECES = NET_IOV_MAX + 6, /* a cutter's, and padding, FCS, the gap of a VLAN tag */
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    ETHERTYPE_MAC_CONTROL = 0x8808,
};

/* How a frame passed the address filter. */
enum match { NO_MATCH, EXACT, INEXACT };

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* ---- FCS ---- */

void e1000_crc_init(struct e1000 *nic)
{
    uint32_t(*table)[256] = nic->crc_table;
    nic->can_fold = __builtin_cpu_supports("pclmul");
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        table[0][i] = crc;
    }
    for (unsigned step = 1; step < 8; step++)
        for (unsigned i = 0; i < 256; i++)
            table[step][i] = table[step - 1][i] >> 8 ^ table[0][table[step - 1][i] & 0xff];
}

static uint32_t crc_by_table(const uint32_t table[8][256], uint32_t crc, const uint8_t *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + 4, 4);
        low ^= crc;
        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^
              table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^
              table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
    }
    for (; n; n--, p++)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
    return crc;
}

/* x·y carry-less, both halves, added up: moves a 128-bit remainder along by as many bits as `by` stands for.
 */
__attribute__((target("pclmul"))) static __m128i fold(__m128i x, __m128i by)
{
    return _mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x00), _mm_clmulepi64_si128(x, by, 0x11));
}

/* V. Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ (Intel, 2009): four
 * remainders of 128 bits run 64 bytes apart, then are folded into one. That one has the same CRC as all that
 * was read, so that the table finishes the job. Reads a multiple of 16 bytes, at least 64, and says how many.
 */
__attribute__((target("pclmul"))) static size_t crc_by_folding(const uint8_t *p, size_t n, uint32_t crc,
                                                               uint8_t remainder[16])
{
    const __m128i by_64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4); /* x^(512±32) mod P, reflected */
    const __m128i by_16 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0); /* x^(128±32) mod P, reflected */
    const uint8_t *from = p;
    __m128i lane[4];
    for (unsigned i = 0; i < 4; i++)
        lane[i] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
    lane[0] = _mm_xor_si128(lane[0], _mm_cvtsi32_si128((int)crc));
    for (p += 64, n -= 64; n >= 64; p += 64, n -= 64)
        for (unsigned i = 0; i < 4; i++)
            lane[i] = _mm_xor_si128(fold(lane[i], by_64),
                                    _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)));
    for (unsigned i = 1; i < 4; i++)
        lane[0] = _mm_xor_si128(fold(lane[0], by_16), lane[i]);
    for (; n >= 16; p += 16, n -= 16)
        lane[0] = _mm_xor_si128(fold(lane[0], by_16), _mm_loadu_si128((const __m128i *)(const void *)p));
    _mm_storeu_si128((__m128i *)(void *)remainder, lane[0]);
    return (size_t)(p - from);
}

static uint32_t crc_update(const struct e1000 *nic, uint32_t crc, const uint8_t *p, size_t n)
{
    if (n >= 64 && nic->can_fold) {
        uint8_t remainder[16];
        size_t done = crc_by_folding(p, n, crc, remainder);
        crc = crc_by_table(nic->crc_table, 0, remainder, sizeof remainder);
        p += done;
        n -= done;
    }
    return crc_by_table(nic->crc_table, crc, p, n);
}

/* ---- filters ---- */

bool e1000_in_loopback(const struct e1000 *nic)
{
    return nic->reg[E1000_RCTL / 4] & E1000_RCTL_LBM || e1000_phy_loopback(nic);
}

static bool enabled(struct e1000 *nic)
{
    return *e1000_reg(nic, E1000_RCTL) & E1000_RCTL_EN && e1000_awake(nic) &&
           e1000_ring_size(*e1000_reg(nic, E1000_RDLEN));
}

static bool exact_match(struct e1000 *nic, const uint8_t *head)
{
    const uint32_t *ra = e1000_reg(nic, E1000_RA);
    for (unsigned i = 0; i < 16; i++, ra += 2) {
        if (!(ra[1] & E1000_RAH_AV))
            continue;
        const uint8_t *address = E1000_RAH_AS(ra[1]) == 1 ? head + 6 : head;
        uint32_t low;
        uint16_t high;
        memcpy(&low, address, 4);
        memcpy(&high, address + 4, 2);
        if (E1000_RAH_AS(ra[1]) <= 1 && low == ra[0] && high == (ra[1] & 0xffff))
            return true;
    }
    return false;
}

static bool multicast_hash_match(struct e1000 *nic, const uint8_t *head)
{
    static const uint8_t shifts[4] = {4, 3, 2, 0};
    unsigned shift = shifts[E1000_RCTL_MO(*e1000_reg(nic, E1000_RCTL))];
    unsigned hash = (unsigned)(head[5] << 8 | head[4]) >> shift & 0xfff;
    return e1000_reg(nic, E1000_MTA)[hash >> 5] >> (hash & 31) & 1;
}

static enum match match_address(struct e1000 *nic, const uint8_t *head)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint32_t control = *e1000_reg(nic, E1000_RCTL);
    if (exact_match(nic, head))
        return EXACT;
    if (memcmp(head, all, 6) == 0 && control & E1000_RCTL_BAM)
        return EXACT;
    if (head[0] & 1)
        return control & E1000_RCTL_MPE || multicast_hash_match(nic, head) ? INEXACT : NO_MATCH;
    return control & E1000_RCTL_UPE ? INEXACT : NO_MATCH;
}

void e1000_filter(struct device *device, struct e1000_filter *out)
{
    struct e1000 *nic = (struct e1000 *)device;
    uint32_t control = *e1000_reg(nic, E1000_RCTL);
    const uint32_t *ra = e1000_reg(nic, E1000_RA);
    *out = (struct e1000_filter){.receiving = control & E1000_RCTL_EN,
                                 .promiscuous = control & E1000_RCTL_UPE,
                                 .all_multicast = control & E1000_RCTL_MPE,
                                 .broadcast = control & E1000_RCTL_BAM,
                                 .by_vlan = control & E1000_RCTL_VFE};
    for (unsigned i = 0; i < 16; i++, ra += 2) {
        if (!(ra[1] & E1000_RAH_AV) || E1000_RAH_AS(ra[1]))
            continue;
        uint8_t *address = out->address[out->count++];
        memcpy(address, &ra[0], 4);
        memcpy(address + 4, &ra[1], 2);
    }
    for (unsigned i = 0; i < 128; i++)
        out->by_hash = out->by_hash || e1000_reg(nic, E1000_MTA)[i];
    memcpy(out->vlan_table, e1000_reg(nic, E1000_VFTA), sizeof out->vlan_table);
}

static bool is_tagged(struct e1000 *nic, const uint8_t *head)
{
    return get16(head + 12) == *e1000_reg(nic, E1000_VET);
}

static bool match_vlan(struct e1000 *nic, const uint8_t *head)
{
    uint32_t control = *e1000_reg(nic, E1000_RCTL);
    if (!(control & E1000_RCTL_VFE) || !is_tagged(nic, head))
        return true;
    uint16_t tag = get16(head + 14);
    if (control & E1000_RCTL_CFIEN && !(tag >> 12 & 1) != !(control & E1000_RCTL_CFI))
        return false;
    unsigned id = tag & 0xfff;
    return e1000_reg(nic, E1000_VFTA)[id >> 5] >> (id & 31) & 1;
}

/* 802.3 31B: PAUSE, for as many times 512 bit times as it says; zero ends one. True: it was one for us. */
static bool take_pause(struct e1000 *nic, const uint8_t *head, size_t length)
{
    uint32_t low;
    uint16_t high;
    memcpy(&low, head, 4);
    memcpy(&high, head + 4, 2);
    if (length < 18 || get16(head + 12) != ETHERTYPE_MAC_CONTROL || get16(head + 14) != 1 ||
        !(*e1000_reg(nic, E1000_CTRL) & E1000_CTRL_RFCE) || low != *e1000_reg(nic, E1000_FCAL) ||
        high != *e1000_reg(nic, E1000_FCAH))
        return false;
    unsigned quanta = get16(head + 16);
    e1000_count(nic, quanta ? E1000_XOFFRXC : E1000_XONRXC, 1);
    if (quanta) {
        e1000_alarm_set(nic, E1000_ALARM_PAUSE, clock_now(nic->clock) + quanta * 512ll);
    } else if (nic->alarm[E1000_ALARM_PAUSE]) {
        e1000_alarm_cancel(nic, E1000_ALARM_PAUSE);
        e1000_alarm_set(nic, E1000_ALARM_TRANSMIT, clock_now(nic->clock)); /* not from inside receive() */
    }
    return true;
}

/* ---- checksum reports ---- */

/* What is known of a frame's sums. [from, to): TCP or UDP with its header, which add up to `sum`; empty when
 * that was not looked at. */
struct sums {
    uint8_t status, errors;
    uint32_t from, to;
    uint16_t sum;
};

/* Status and error bits for a complete frame (3.2.9). `vouched`: the L4 checksum is known to be right. */
static struct sums check_sums(struct e1000 *nic, const struct net_frame *frame, const uint8_t *head,
                              size_t head_length, bool vouched)
{
    uint32_t control = *e1000_reg(nic, E1000_RXCSUM);
    struct sums sums = {.status = E1000_RXD_IXSM};
    struct net_layout layout;
    if (!(control & (E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL)) ||
        !net_layout_parse(head, head_length, frame->length, &layout))
        return sums;
    uint8_t done = 0;
    if (layout.version == 4 && control & E1000_RXCSUM_IPOFL) {
        done |= E1000_RXD_IPCS;
        if (net_checksum_bytes(head + layout.l3, (size_t)(layout.l4 - layout.l3), 0) != 0xffff)
            sums.errors |= E1000_RXE_IPE;
    }
    if (control & E1000_RXCSUM_TUOFL && !layout.fragment && layout.l4_valid &&
        (layout.protocol == PROTOCOL_TCP || layout.protocol == PROTOCOL_UDP)) {
        uint32_t length = layout.end - layout.l4;
        bool udp = layout.protocol == PROTOCOL_UDP;
        if (udp && get16(head + layout.l4 + 4) >= 8 && get16(head + layout.l4 + 4) <= length)
            length = get16(head + layout.l4 + 4);
        if (!udp || get16(head + layout.l4 + 6)) { /* a UDP datagram may have none */
            done |= E1000_RXD_TCPCS;
            uint16_t pseudo = net_checksum_pseudo(head, &layout, layout.protocol, length);
            if (vouched) { /* with the pseudo header it makes 0xffff; a sum of anything but zeroes is not 0 */
                sums.sum = pseudo == 0xffff ? 0xffff : 0xffff - pseudo;
            } else {
                sums.sum = net_checksum(frame->iov, frame->count, layout.l4, length, 0);
                if (net_checksum_bytes(NULL, 0, (uint32_t)sums.sum + pseudo) != 0xffff)
                    sums.errors |= E1000_RXE_TCPE;
            }
            sums.from = layout.l4;
            sums.to = layout.l4 + length;
        }
    }
    if (done)
        sums.status = done;
    return sums;
}

/* The packet checksum (3.2.9): the sum from PCSS on, over `length` bytes. What is known of it (in places of
 * the frame, of which `stripped` bytes before are not in `iov`) is not summed again. */
static uint16_t packet_checksum(struct e1000 *nic, const struct iovec *iov, unsigned count, size_t length,
                                const struct sums *known, size_t stripped)
{
    size_t start = *e1000_reg(nic, E1000_RXCSUM) & E1000_RXCSUM_PCSS;
    if (known->from >= known->to || start + stripped > known->from)
        return net_checksum(iov, count, start, length, 0);
    size_t from = known->from - stripped, to = known->to - stripped;
    uint16_t inner = known->sum, tail = to < length ? net_checksum(iov, count, to, length - to, 0) : 0;
    if ((from - start) & 1)
        inner = GUINT16_SWAP_LE_BE(inner);
    if ((to - start) & 1)
        tail = GUINT16_SWAP_LE_BE(tail);
    return net_checksum(iov, count, start, from - start, (uint32_t)inner + tail);
}

/* ---- the ring ---- */

struct ring {
    uint64_t base;
    uint32_t size, head, tail;
    size_t buffer; /* bytes of each buffer */
};

/* False when head lies outside. */
static bool read_ring(struct e1000 *nic, struct ring *ring)
{
    uint32_t control = *e1000_reg(nic, E1000_RCTL);
    ring->base = (uint64_t)*e1000_reg(nic, E1000_RDBAH) << 32 | *e1000_reg(nic, E1000_RDBAL);
    ring->size = e1000_ring_size(*e1000_reg(nic, E1000_RDLEN));
    ring->head = *e1000_reg(nic, E1000_RDH);
    ring->tail = *e1000_reg(nic, E1000_RDT);
    ring->buffer = 2048u >> E1000_RCTL_BSIZE(control);
    if (control & E1000_RCTL_BSEX && E1000_RCTL_BSIZE(control))
        ring->buffer *= 16;
    return ring->head < ring->size;
}

static uint32_t ring_free(const struct ring *ring)
{
    return ring->tail >= ring->head ? ring->tail - ring->head : ring->size - ring->head + ring->tail;
}

static void count_frame(struct e1000 *nic, const uint8_t *head, size_t length)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    size_t on_wire = MAX(length, SHORTEST_FRAME) + FCS_SIZE;
    e1000_count(nic, E1000_GPRC, 1);
    e1000_count_octets(nic, E1000_GORCL, on_wire);
    e1000_count_size(nic, E1000_PRC64, on_wire, 1);
    if (head[0] & 1)
        e1000_count(nic, memcmp(head, all, 6) == 0 ? E1000_BPRC : E1000_MPRC, 1);
}

/* What is written back of a descriptor, bytes 8 to 15. */
struct report {
    uint16_t length, checksum;
    uint8_t status, errors;
    uint16_t special;
};
G_STATIC_ASSERT(sizeof(struct report) == 8);

/* Fills one buffer with up to its size of what is left of the frame; *piece and *offset move on. */
static size_t fill_buffer(struct e1000 *nic, uint64_t address, size_t room, const struct iovec *iov,
                          unsigned count, unsigned *piece, size_t *offset)
{
    size_t filled = 0;
    while (room && *piece < count) {
        size_t n = MIN(room, iov[*piece].iov_len - *offset);
        e1000_dma_write(nic, address, (const uint8_t *)iov[*piece].iov_base + *offset, n);
        address += n;
        room -= n;
        filled += n;
        *offset += n;
        if (*offset == iov[*piece].iov_len) {
            ++*piece;
            *offset = 0;
        }
    }
    return filled;
}

/* Puts `length` bytes into the ring. There is room for them unless descriptors without a buffer are among
 * those the guest gave; then the frame ends without EOP and is lost. */
static bool fill_ring(struct e1000 *nic, struct ring *ring, const struct iovec *iov, unsigned count,
                      size_t length, const struct report *last)
{
    unsigned piece = 0, empty = 0;
    size_t offset = 0, done = 0;
    while (done < length) {
        if (ring->head == ring->tail || empty == EMPTY_A_FRAME)
            return false;
        uint64_t at = ring->base + 16ull * ring->head, address;
        struct report report = {.status = E1000_RXD_DD};
        e1000_dma_read(nic, at, &address, sizeof address);
        if (address) { /* a null descriptor is only passed over (3.2.3) */
            size_t n = fill_buffer(nic, address, ring->buffer, iov, count, &piece, &offset);
            done += n;
            if (done >= length) {
                report = *last;
                report.status |= E1000_RXD_DD | E1000_RXD_EOP;
            }
            report.length = (uint16_t)n;
            report.checksum = last->checksum;
        } else {
            empty++; /* a tail outside the ring is never reached: a ring of these would have no end */
        }
        e1000_dma_write(nic, at + 8, &report, sizeof report);
        trace(E1000, "%s: RXD[%u] %016" G_GINT64_MODIFIER "x length %u status %02x errors %02x special %04x",
              nic->pci.device.id, ring->head, address, report.length, report.status, report.errors,
              report.special);
        ring->head = ring->head + 1 == ring->size ? 0 : ring->head + 1;
    }
    return true;
}

/* One complete frame that passed the filters. Causes for ICR are added to *causes. */
static enum net_result put_frame(struct e1000 *nic, const struct net_frame *frame, enum match match,
                                 bool vouched, uint32_t *causes)
{
    static const uint8_t zeroes[SHORTEST_FRAME];
    uint32_t control = *e1000_reg(nic, E1000_RCTL);
    if (frame->length > LONGEST_LPE ||
        (frame->length > LONGEST_NORMAL && !(control & (E1000_RCTL_LPE | E1000_RCTL_SBP)))) {
        e1000_count(nic, E1000_ROC, 1);
        net_drop(nic->port, NET_DROP_TOO_LONG);
        return NET_DROPPED;
    }
    struct ring ring;
    if (!read_ring(nic, &ring)) {
        trace(E1000, "%s: receive ring of %u descriptors: RDH %u: not touched", nic->pci.device.id, ring.size,
              ring.head);
        net_drop(nic->port, NET_DROP_ERROR);
        return NET_DROPPED;
    }

    uint8_t scratch[NET_HEADERS_MAX];
    const uint8_t *head = frame->iov[0].iov_base;
    size_t head_length = MIN(frame->length, sizeof scratch);
    if (frame->iov[0].iov_len < head_length) {
        net_iov_copy(frame->iov, frame->count, 0, scratch, head_length);
        head = scratch;
    }

    /* As on the wire: padded, and with FCS if the driver wants to see it. */
    struct iovec wire[PIECES];
    unsigned count = frame->count;
    memcpy(wire, frame->iov, count * sizeof *wire);
    size_t length = frame->length;
    if (length < SHORTEST_FRAME) {
        wire[count++] = (struct iovec){.iov_base = (uint8_t *)zeroes, .iov_len = SHORTEST_FRAME - length};
        length = SHORTEST_FRAME;
    }
    uint32_t fcs = 0xffffffff;
    if (!(control & E1000_RCTL_SECRC)) {
        for (unsigned i = 0; i < count; i++)
            fcs = crc_update(nic, fcs, wire[i].iov_base, wire[i].iov_len);
        fcs = ~fcs;
        wire[count++] = (struct iovec){.iov_base = &fcs, .iov_len = sizeof fcs};
        length += FCS_SIZE;
    }

    struct report report = {0};
    struct iovec stripped[PIECES];
    const struct iovec *out = wire;
    if (*e1000_reg(nic, E1000_CTRL) & E1000_CTRL_VME && is_tagged(nic, head)) {
        unsigned before = net_iov_slice(wire, count, 0, 12, stripped, 12);
        count = before + net_iov_slice(wire, count, 16, length - 16, stripped + before, PIECES - before);
        out = stripped;
        length -= 4;
        report.special = get16(head + 14);
        report.status |= E1000_RXD_VP;
    }
    if (ring_free(&ring) < (length + ring.buffer - 1) / ring.buffer)
        return NET_FULL;

    struct sums sums = check_sums(nic, frame, head, head_length, vouched);
    report.errors = sums.errors;
    report.status |= sums.status | (match == INEXACT ? E1000_RXD_PIF : 0);
    if (frame->length > LONGEST_NORMAL && !(control & E1000_RCTL_LPE))
        report.errors |= E1000_RXE_RXE; /* a bad packet, stored because of SBP */
    report.checksum = packet_checksum(nic, out, count, length, &sums, out == stripped ? 4 : 0);

    uint32_t free_before = ring_free(&ring);
    bool whole = fill_ring(nic, &ring, out, count, length, &report);
    *e1000_reg(nic, E1000_RDH) = ring.head;
    *causes |= E1000_INT_RXT0;
    uint32_t threshold = ring.size >> (1 + E1000_RCTL_RDMTS(control));
    if (ring_free(&ring) <= threshold && free_before > threshold)
        *causes |= E1000_INT_RXDMT0;
    uint32_t small = *e1000_reg(nic, E1000_RSRPD) & 0xfff;
    if (small && length <= small)
        *causes |= E1000_INT_SRPD;
    if (!whole) {
        e1000_count(nic, E1000_MPC, 1);
        net_drop(nic->port, NET_DROP_ERROR);
        return NET_DROPPED;
    }
    count_frame(nic, head, frame->length);
    return NET_SENT;
}

/* RXT0 waits as RDTR and RADV say; everything else is told at once. */
static void raise_receive(struct e1000 *nic, uint32_t causes)
{
    if (!(causes & E1000_INT_RXT0)) {
        e1000_raise(nic, causes);
        return;
    }
    uint32_t delay = *e1000_reg(nic, E1000_RDTR);
    if (!delay) {
        e1000_raise(nic, causes);
        return;
    }
    e1000_raise(nic, causes & ~E1000_INT_RXT0);
    e1000_raise_delayed(nic, E1000_ALARM_RDTR, delay, E1000_ALARM_RADV, *e1000_reg(nic, E1000_RADV),
                        E1000_INT_RXT0);
}

/* ---- frames in ---- */

/* Whether a burst is for somebody behind the guest, as far as one can tell: its address is none of those that
 * the guest gave to its neighbours. */
static bool is_routed(const struct e1000 *nic, const struct net_cutter *cutter)
{
    if (cutter->source->offload.gso == NET_GSO_NONE || !nic->own_count)
        return false;
    uint8_t to[16] = {0};
    bool v4 = cutter->layout.version == 4;
    memcpy(to, cutter->original + cutter->layout.l3 + (v4 ? 16 : 24), v4 ? 4 : 16);
    for (unsigned i = 0; i < MIN(nic->own_count, E1000_OWN_ADDRESSES); i++)
        if (memcmp(to, nic->own[i], sizeof to) == 0)
            return false;
    return true;
}

/* Whether the next piece of a burst that the guest will route has to wait. Its driver merges what it finds in
 * one go (Linux: GRO), and a packet of more pieces than MAX_SKB_FRAGS cannot leave as a burst: the guest
 * would take it apart again, for several times the work. So there are no more pieces at a time, until the
 * driver waits for its interrupt again. One that masks none, never waits, or does not for PACE_NS, gets all
 * at once.
 */
static bool pace(struct e1000 *nic)
{
    if (!nic->rx_unmasked || nic->rx_pieces++ < PIECES_A_POLL || e1000_in_loopback(nic))
        return false;
    nic->rx_paced = true;
    nic->rx_paced_at = clock_now(nic->clock);
    if (clock_timer_deadline(nic->pace) == CLOCK_NEVER)
        clock_timer_set(nic->pace, nic->rx_paced_at + PACE_NS);
    return true;
}

void e1000_rx_pace_over(struct e1000 *nic)
{
    if (nic->rx_paced && clock_now(nic->clock) < nic->rx_paced_at + PACE_NS) {
        clock_timer_set(nic->pace, nic->rx_paced_at + PACE_NS);
        return;
    }
    nic->rx_paced = false;
    nic->rx_pieces = 0;
    e1000_rx_room(nic);
}

/* The pieces of a frame with work to do, from *piece on. NET_FULL: *piece says from where to go on. */
static enum net_result put_pieces(struct e1000 *nic, const struct net_frame *frame, enum match match,
                                  uint32_t *piece, uint32_t *causes)
{
    struct net_cutter cutter;
    if (!net_cutter_init(&cutter, frame, *piece)) {
        trace(E1000, "%s: receive: impossible offload, frame dropped", nic->pci.device.id);
        net_drop(nic->port, NET_DROP_ERROR);
        return NET_DROPPED;
    }
    bool routed = is_routed(nic, &cutter);
    for (const struct net_frame *part; (part = net_cutter_next(&cutter));)
        if ((routed && pace(nic)) || put_frame(nic, part, match, true, causes) == NET_FULL) {
            *piece = cutter.next - 1;
            return NET_FULL;
        }
    return NET_SENT;
}

static enum net_result starve(struct e1000 *nic)
{
    if (!nic->rx_starved && !nic->rx_paced)
        e1000_count(nic, E1000_RNBC, 1);
    nic->rx_starved = true;
    return NET_FULL;
}

static void hold(struct e1000 *nic, const struct net_frame *frame, enum match match, uint32_t piece)
{
    nic->rx_held = true;
    nic->rx_inexact = match == INEXACT;
    nic->rx_piece = piece;
    nic->rx_offload = frame->offload;
    nic->rx_length = (uint32_t)net_iov_copy(frame->iov, frame->count, 0, nic->rx_fifo, sizeof nic->rx_fifo);
}

static enum net_result refuse(struct e1000 *nic, enum net_drop why)
{
    net_drop(nic->port, why);
    return NET_DROPPED;
}

static enum net_result take(struct e1000 *nic, const struct net_frame *frame)
{
    if (!enabled(nic))
        return refuse(nic, NET_DROP_DISABLED);
    uint8_t head[18] = {0};
    net_iov_copy(frame->iov, frame->count, 0, head, sizeof head);
    if (frame->length < NET_FRAME_MIN || frame->length > NET_FRAME_MAX)
        return refuse(nic, frame->length < NET_FRAME_MIN ? NET_DROP_TOO_SHORT : NET_DROP_TOO_LONG);
    if (take_pause(nic, head, frame->length) && !(*e1000_reg(nic, E1000_RCTL) & E1000_RCTL_PMCF))
        return NET_SENT;
    enum match match = match_address(nic, head);
    if (match == NO_MATCH || !match_vlan(nic, head)) {
        e1000_count(nic, E1000_TPR, 1);
        e1000_count_octets(nic, E1000_TORL, MAX(frame->length, SHORTEST_FRAME) + FCS_SIZE);
        return refuse(nic, NET_DROP_FILTERED);
    }
    if (nic->rx_held)
        return starve(nic);

    uint32_t causes = 0, piece = 0, before = *e1000_reg(nic, E1000_GPRC);
    bool work = net_frame_unfinished(frame, 0);
    enum net_result result = work ? put_pieces(nic, frame, match, &piece, &causes)
                                  : put_frame(nic, frame, match, frame->offload.checksum_good, &causes);
    if (result == NET_FULL && piece == 0)
        return starve(nic);
    e1000_count(nic, E1000_TPR, MAX(*e1000_reg(nic, E1000_GPRC) - before, 1));
    e1000_count_octets(nic, E1000_TORL, MAX(frame->length, SHORTEST_FRAME) + FCS_SIZE);
    if (result == NET_FULL) { /* part of it is in the ring: the rest is ours now */
        hold(nic, frame, match, piece);
        result = NET_SENT;
    }
    raise_receive(nic, causes);
    return result;
}

enum net_result e1000_receive(void *opaque, const struct net_frame *frame)
{
    struct e1000 *nic = opaque;
    if (!nic->link)
        return refuse(nic, NET_DROP_LINK_DOWN);
    if (e1000_in_loopback(nic))
        return refuse(nic, NET_DROP_FILTERED); /* the cable is cut off */
    return take(nic, frame);
}

enum net_result e1000_receive_loopback(struct e1000 *nic, const struct net_frame *frame)
{
    return take(nic, frame);
}

void e1000_rx_unpace(struct e1000 *nic)
{
    bool waits = nic->rx_paced || nic->rx_held;
    nic->rx_pieces = 0;
    nic->rx_paced = false;
    if (waits)
        e1000_rx_room(nic);
}

void e1000_rx_room(struct e1000 *nic)
{
    if (nic->rx_paced && enabled(nic))
        return;
    nic->rx_paced = false;
    if (nic->rx_held && !enabled(nic))
        nic->rx_held = false;
    if (nic->rx_held) {
        struct iovec iov = {.iov_base = nic->rx_fifo, .iov_len = nic->rx_length};
        struct net_frame frame = {
            .iov = &iov, .count = 1, .length = nic->rx_length, .offload = nic->rx_offload};
        uint32_t causes = 0;
        enum net_result result =
            put_pieces(nic, &frame, nic->rx_inexact ? INEXACT : EXACT, &nic->rx_piece, &causes);
        raise_receive(nic, causes);
        if (result == NET_FULL)
            return;
        nic->rx_held = false;
    }
    if (nic->rx_starved) {
        nic->rx_starved = false;
        net_room(nic->port);
    }
}

void e1000_rx_reset(struct e1000 *nic)
{
    nic->rx_held = nic->rx_inexact = false;
    nic->rx_unmasked = nic->rx_paced = false;
    nic->own_count = 0;
    nic->rx_piece = nic->rx_length = nic->rx_pieces = 0;
    nic->rx_offload = (struct net_offload){0};
    e1000_rx_room(nic);
}
