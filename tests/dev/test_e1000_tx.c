/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The 82540EM's transmit ring: descriptors of all three kinds, checksums, segmentation, VLAN tags, a peer
 * without room, statistics, and rings made by somebody who means harm. Results are compared with checksums
 * and segments computed here, the plain way.
 */
#include "emu/mem/physmap.h"
#include "tests/dev/e1000_rig.h"

#include <time.h>

enum {
    PLAIN = E1000_TXD_EOP | E1000_TXD_IFCS | E1000_TXD_RS,
    DATA = E1000_TXD_DEXT | E1000_TXD_DTYP_DATA << 20 | E1000_TXD_IFCS | E1000_TXD_RS,
    OFFLOADS = NET_CAN_CHECKSUM | NET_CAN_TSO4 | NET_CAN_TSO6,
};
#define LAST (DATA | E1000_TXD_EOP)

static struct rig *started(unsigned can)
{
    struct rig *rig = rig_new(can);
    rig_start(rig);
    return rig;
}

/* A context descriptor for a packet of this kind. */
static void context(struct rig *rig, int kind, bool segment, uint32_t payload, unsigned mss)
{
    bool v6 = kind == RIG_TCP6 || kind == RIG_UDP6, tcp = kind == RIG_TCP4 || kind == RIG_TCP6;
    uint32_t l4 = (uint32_t)rig_l4(kind), field = l4 + (uint32_t)rig_l4_field(kind);
    rig_tx_raw(rig, 14 | 24u << 8 | (v6 ? 0 : (l4 - 1) << 16), l4 | field << 8,
               payload | E1000_TXD_DEXT | (segment ? E1000_TXD_TSE : 0) | (v6 ? 0 : E1000_TXC_IP) |
                   (tcp ? E1000_TXC_TCP : 0),
               (uint32_t)rig_headers(kind) << 8 | mss << 16);
}

/* ---- plain frames ---- */

static void test_legacy(void)
{
    struct rig *rig = started(0);
    uint8_t frame[1514];
    size_t length = rig_packet(frame, RIG_UDP4, 1400);
    uint32_t at = rig_tx(rig, frame, length, PLAIN, 0);
    g_assert_cmphex(rig_tx_upper(rig, at), ==, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 1);
    g_assert_cmpmem(rig_frame(rig, 0)->data, rig_frame(rig, 0)->length, frame, length);
    g_assert_true(rig_frame(rig, 0)->in_guest_memory); /* handed over where it stands */
    g_assert_cmphex(rig_tx_upper(rig, at), ==, E1000_TXD_DD);
    g_assert_cmpuint(rig_read(rig, E1000_TDH), ==, 1);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_TXDW | E1000_INT_TXQE);
    rig_free(rig);
}

static void test_pieces(void)
{
    struct rig *rig = started(0);
    uint8_t frame[1514];
    size_t length = rig_packet(frame, RIG_TCP4, 1400);
    /* odd pieces, an empty one among them; only the last reports */
    static const size_t cuts[] = {1, 13, 0, 21, 600, 3};
    size_t from = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(cuts); i++) {
        rig_tx(rig, frame + from, cuts[i], E1000_TXD_IFCS, 0);
        from += cuts[i];
    }
    rig_tx(rig, frame + from, length - from, PLAIN, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 1);
    g_assert_cmpmem(rig_frame(rig, 0)->data, rig_frame(rig, 0)->length, frame, length);
    g_assert_cmphex(rig_tx_upper(rig, 0), ==, 0);
    g_assert_cmphex(rig_tx_upper(rig, 6), ==, E1000_TXD_DD);
    /* more pieces than an iovec has: around the ring's end, too */
    rig_forget_frames(rig);
    for (unsigned round = 0; round < 3; round++) {
        unsigned count = 62;
        for (unsigned i = 0; i < count; i++)
            rig_tx(rig, frame + i * 20, 20, i + 1 == count ? PLAIN : E1000_TXD_IFCS, 0);
        rig_kick(rig);
        g_assert_cmpmem(rig_frame(rig, round)->data, rig_frame(rig, round)->length, frame, count * 20);
    }
    rig_free(rig);
}

static void test_many_pieces(void)
{
    struct rig *rig = rig_new(0);
    rig->tx_size = 1024;
    rig_start(rig);
    uint8_t frame[1514];
    rig_packet(frame, RIG_TCP4, 1400);
    for (unsigned i = 0; i < 700; i++)
        rig_tx(rig, frame + 2 * i, 2, i == 699 ? PLAIN : E1000_TXD_IFCS, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 1);
    g_assert_cmpmem(rig_frame(rig, 0)->data, rig_frame(rig, 0)->length, frame, 1400);
    rig_free(rig);
}

/* The last descriptor comes with a later write of TDT; what was read before is not read again. */
static void test_split_kick(void)
{
    struct rig *rig = started(0);
    uint8_t frame[200];
    rig_packet(frame, RIG_TCP4, 100);
    rig_tx(rig, frame, 50, E1000_TXD_IFCS | E1000_TXD_RS, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 0);
    g_assert_cmphex(rig_tx_upper(rig, 0), ==, E1000_TXD_DD);
    memset(physmap_ram(rig->mem) + RIG_TX_BUFFERS, 0xee, 50);
    rig_tx(rig, frame + 50, 30, E1000_TXD_IFCS, 0);
    rig_kick(rig);
    rig_tx(rig, frame + 80, 70, PLAIN, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 1);
    g_assert_cmpmem(rig_frame(rig, 0)->data, rig_frame(rig, 0)->length, frame, 150);
    rig_free(rig);
}

static void test_sizes(void)
{
    struct rig *rig = started(0);
    static uint8_t big[20000];
    uint8_t frame[200], padded[60] = {0};
    rig_packet(frame, RIG_UDP4, 60);
    memcpy(padded, frame, 42);
    rig_tx(rig, frame, 42, PLAIN, 0); /* padded to 60 */
    rig_kick(rig);
    g_assert_cmpmem(rig_frame(rig, 0)->data, rig_frame(rig, 0)->length, padded, 60);
    rig_tx(rig, frame, 70, PLAIN & ~E1000_TXD_IFCS,
           0); /* brings its own FCS, which cables here do not carry */
    rig_kick(rig);
    g_assert_cmpmem(rig_frame(rig, 1)->data, rig_frame(rig, 1)->length, frame, 66);
    rig_write(rig, E1000_TCTL, E1000_TCTL_EN); /* without PSP */
    rig_tx(rig, frame, 42, PLAIN, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig_frame(rig, 2)->length, ==, 42);
    rig_tx(rig, frame, 13, PLAIN, 0);
    rig_tx(rig, frame, 0, PLAIN, 0);
    rig_tx(rig, big, 16289, PLAIN, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 3);
    g_assert_cmpuint(net_port_counters(rig->port)->dropped[NET_DROP_TOO_SHORT], ==, 2);
    g_assert_cmpuint(net_port_counters(rig->port)->dropped[NET_DROP_TOO_LONG], ==, 1);
    memcpy(big, frame, 42);
    rig_tx(rig, big, 9014, PLAIN, 0); /* jumbo */
    rig_kick(rig);
    g_assert_cmpmem(rig_frame(rig, 3)->data, rig_frame(rig, 3)->length, big, 9014);
    rig_free(rig);
}

static void test_enable(void)
{
    struct rig *rig = started(0);
    uint8_t frame[60] = {0xff};
    rig_write(rig, E1000_TCTL, 0);
    rig_tx(rig, frame, 60, PLAIN, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 0);
    rig_write(rig, E1000_TCTL, E1000_TCTL_EN); /* goes on with what is there */
    g_assert_cmpuint(rig->frames->len, ==, 1);
    rig_free(rig);
}

/* ---- VLAN ---- */

static void test_vlan_insert(void)
{
    struct rig *rig = started(OFFLOADS);
    uint8_t frame[200], wanted[204];
    size_t length = rig_packet(frame, RIG_TCP4, 100);
    memcpy(wanted, frame, 12);
    memcpy(wanted + 12, "\x81\x00\x60\x2a", 4);
    memcpy(wanted + 16, frame + 12, length - 12);
    rig_tx(rig, frame, length, PLAIN | E1000_TXD_VLE, 0x602au << 16);
    rig_kick(rig);
    g_assert_cmpmem(rig_frame(rig, 0)->data, rig_frame(rig, 0)->length, frame, length); /* CTRL.VME is off */
    rig_write(rig, E1000_CTRL, rig_read(rig, E1000_CTRL) | E1000_CTRL_VME);
    rig_tx(rig, frame, length, PLAIN | E1000_TXD_VLE, 0x602au << 16);
    rig_tx(rig, frame, length, PLAIN, 0x602au << 16);
    rig_kick(rig);
    g_assert_cmpmem(rig_frame(rig, 1)->data, rig_frame(rig, 1)->length, wanted, length + 4);
    g_assert_cmpmem(rig_frame(rig, 2)->data, rig_frame(rig, 2)->length, frame, length);
    /* another type, and a checksum the peer is left to do: its place has moved */
    rig_write(rig, E1000_VET, 0x88a8);
    context(rig, RIG_TCP4, false, 0, 0);
    rig_tx(rig, frame, length, LAST | E1000_TXD_VLE, 0x602au << 16 | E1000_TXD_TXSM);
    rig_kick(rig);
    const struct rig_frame *sent = rig_frame(rig, 3);
    g_assert_cmphex(rig_get16(sent->data + 12), ==, 0x88a8);
    g_assert_true(sent->offload.needs_checksum);
    g_assert_cmpuint(sent->offload.checksum_start, ==, rig_l4(RIG_TCP4) + 4);
    rig_free(rig);
}

/* ---- checksums ---- */

/* With checksum fields as a driver leaves them: IP zero, L4 the pseudo header's sum. */
static size_t unfinished(uint8_t *frame, int kind, size_t payload)
{
    size_t length = rig_packet(frame, kind, payload), l4 = rig_l4(kind);
    if (kind == RIG_TCP4 || kind == RIG_UDP4)
        rig_put16(frame + 24, 0);
    rig_put16(frame + l4 + rig_l4_field(kind), rig_pseudo(frame, kind, (uint32_t)(length - l4)));
    return length;
}

static void test_checksum(void)
{
    static const int kinds[] = {RIG_TCP4, RIG_UDP4, RIG_TCP6, RIG_UDP6};
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++)
        for (size_t payload = 1; payload < 1400; payload += 233) {
            struct rig *rig = started(0);
            uint8_t wanted[1514], frame[1514];
            size_t length = rig_packet(wanted, kinds[k], payload);
            unfinished(frame, kinds[k], payload);
            context(rig, kinds[k], false, 0, 0);
            bool v4 = kinds[k] == RIG_TCP4 || kinds[k] == RIG_UDP4;
            /* in two pieces, cut inside the headers */
            rig_tx(rig, frame, 27, DATA, E1000_TXD_TXSM | (v4 ? E1000_TXD_IXSM : 0));
            rig_tx(rig, frame + 27, length - 27, LAST, 0);
            rig_kick(rig);
            g_assert_cmpmem(rig_frame(rig, 0)->data, MIN(rig_frame(rig, 0)->length, length), wanted, length);
            rig_free(rig);
        }
}

/* A peer that can do checksums is left to do them; the IP header's is always ours. */
static void test_checksum_offload(void)
{
    struct rig *rig = started(NET_CAN_CHECKSUM);
    uint8_t wanted[1514], frame[1514];
    size_t length = rig_packet(wanted, RIG_UDP4, 1000);
    unfinished(frame, RIG_UDP4, 1000);
    context(rig, RIG_UDP4, false, 0, 0);
    rig_tx(rig, frame, length, LAST, E1000_TXD_TXSM | E1000_TXD_IXSM);
    rig_kick(rig);
    const struct rig_frame *sent = rig_frame(rig, 0);
    g_assert_true(sent->offload.needs_checksum);
    g_assert_cmpuint(sent->offload.checksum_start, ==, 34);
    g_assert_cmpuint(sent->offload.checksum_offset, ==, 6);
    rig_put16(wanted + 40, rig_pseudo(wanted, RIG_UDP4, 1008));
    g_assert_cmpmem(sent->data, sent->length, wanted, length);
    g_assert_true(sent->in_guest_memory);
    /* neither asked for: nothing done */
    rig_tx(rig, frame, length, LAST, 0);
    rig_kick(rig);
    g_assert_cmpmem(rig_frame(rig, 1)->data, rig_frame(rig, 1)->length, frame, length);
    g_assert_false(rig_frame(rig, 1)->offload.needs_checksum);
    rig_free(rig);
}

/* The legacy descriptor's way: CSS and CSO. And a range that ends before the packet does. */
static void test_checksum_legacy(void)
{
    struct rig *rig = started(0);
    uint8_t wanted[1514], frame[1514];
    size_t length = rig_packet(wanted, RIG_TCP4, 777);
    memcpy(frame, wanted, length);
    rig_put16(frame + 50, rig_pseudo(frame, RIG_TCP4, (uint32_t)length - 34));
    rig_tx(rig, frame, length, PLAIN | E1000_TXD_IC | 50u << 16, 34u << 8);
    rig_kick(rig);
    g_assert_cmpmem(rig_frame(rig, 0)->data, rig_frame(rig, 0)->length, wanted, length);
    /* offsets outside the packet: sent as it is */
    rig_tx(rig, frame, 60, PLAIN | E1000_TXD_IC | 59u << 16, 34u << 8);
    rig_tx(rig, frame, 60, PLAIN | E1000_TXD_IC | 50u << 16, 60u << 8);
    rig_kick(rig);
    g_assert_cmpmem(rig_frame(rig, 1)->data, rig_frame(rig, 1)->length, frame, 60);
    g_assert_cmpmem(rig_frame(rig, 2)->data, rig_frame(rig, 2)->length, frame, 60);
    /* TUCSE */
    rig_tx_raw(rig, 0, 34 | 50u << 8 | 99u << 16, E1000_TXD_DEXT, 0);
    rig_tx(rig, frame, 200, LAST, E1000_TXD_TXSM);
    rig_kick(rig);
    g_assert_cmphex(rig_get16(rig_frame(rig, 3)->data + 50), ==, (uint16_t)~rig_sum(frame + 34, 66, 0));
    rig_free(rig);
}

/* ---- segmentation ---- */

/* A burst as a driver hands it over: lengths zero, the L4 field the pseudo header's sum without length. */
static size_t burst(uint8_t *frame, int kind, size_t payload)
{
    size_t length = rig_packet(frame, kind, 0), l4 = rig_l4(kind);
    for (size_t i = 0; i < payload; i++)
        frame[length + i] = (uint8_t)(i * 31 + (i >> 7));
    bool v6 = kind == RIG_TCP6 || kind == RIG_UDP6;
    rig_put16(frame + 14 + (v6 ? 4 : 2), 0);
    if (!v6)
        rig_put16(frame + 24, 0);
    rig_put16(frame + l4 + rig_l4_field(kind), rig_pseudo(frame, kind, 0));
    return length + payload;
}

/* Checks piece number `index` of a burst against what it must be. */
static void check_piece(const uint8_t *got, size_t length, const uint8_t *source, int kind, unsigned index,
                        size_t mss, size_t payload, size_t tag)
{
    size_t headers = rig_headers(kind), from = index * mss, n = MIN(mss, payload - from);
    bool last = from + n == payload, v6 = kind == RIG_TCP6 || kind == RIG_UDP6;
    bool tcp = kind == RIG_TCP4 || kind == RIG_TCP6;
    if (length != 60) /* the shortest are padded */
        g_assert_cmpuint(length, ==, headers + n + tag);
    g_assert_cmpuint(length, >=, headers + n + tag);
    g_assert_cmpmem(got, 12, source, 12);
    g_assert_cmpmem(got + tag + headers, n, source + headers + from, n);
    const uint8_t *ip = got + tag + 14, *t = got + tag + rig_l4(kind), *t0 = source + rig_l4(kind);
    g_assert_true(rig_sums_right(got, length));
    if (v6) {
        g_assert_cmpuint(rig_get16(ip + 4), ==, headers - 54 + n);
    } else {
        g_assert_cmpuint(rig_get16(ip + 2), ==, headers - 14 + n);
        g_assert_cmpuint(rig_get16(ip + 4), ==, (rig_get16(source + 18) + index) & 0xffff);
    }
    if (tcp) {
        g_assert_cmphex(rig_get32(t + 4), ==, (uint32_t)(rig_get32(t0 + 4) + from));
        g_assert_cmphex(t[13], ==, last ? t0[13] & (index ? 0x7f : 0xff) : t0[13] & (index ? 0x76 : 0xf6));
        g_assert_cmpmem(t + 20, 12, t0 + 20, 12);
    } else {
        g_assert_cmpuint(rig_get16(t + 4), ==, 8 + n);
    }
}

static void segment(int kind, size_t payload, unsigned mss, unsigned can)
{
    struct rig *rig = started(can);
    static uint8_t frame[70000];
    size_t length = burst(frame, kind, payload), headers = rig_headers(kind);
    if (kind == RIG_TCP4 || kind == RIG_TCP6)
        frame[rig_l4(kind) + 13] |= 0x81; /* FIN and CWR as well */
    bool v6 = kind == RIG_TCP6 || kind == RIG_UDP6, tcp = kind == RIG_TCP4 || kind == RIG_TCP6;
    context(rig, kind, true, (uint32_t)payload, mss);
    uint32_t options = E1000_TXD_TXSM | (v6 ? 0 : E1000_TXD_IXSM);
    rig_tx(rig, frame, headers, DATA | E1000_TXD_TSE, options);
    for (size_t from = headers; from < length; from += 4096) {
        size_t n = MIN(4096, length - from);
        rig_tx(rig, frame + from, n, (from + n == length ? LAST : DATA) | E1000_TXD_TSE, options);
    }
    rig_kick(rig);
    unsigned pieces = (unsigned)((payload + mss - 1) / mss);
    unsigned needed = v6 ? NET_CAN_TSO6 : NET_CAN_TSO4;
    if (tcp && can & needed && pieces > 1) { /* whole, in one go, uncopied */
        g_assert_cmpuint(rig->frames->len, ==, 1);
        const struct rig_frame *sent = rig_frame(rig, 0);
        g_assert_cmpuint(sent->length, ==, length);
        g_assert_true(sent->in_guest_memory);
        g_assert_cmpint(sent->offload.gso, ==, v6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4);
        g_assert_cmpuint(sent->offload.gso_size, ==, mss);
        g_assert_cmpuint(sent->offload.header_length, ==, headers);
        g_assert_true(sent->offload.needs_checksum);
        g_assert_cmpuint(sent->offload.checksum_start, ==, rig_l4(kind));
        size_t l4 = rig_l4(kind);
        g_assert_cmphex(rig_get16(sent->data + l4 + 16), ==,
                        rig_pseudo(sent->data, kind, (uint32_t)(length - l4)));
        if (v6) {
            g_assert_cmpuint(rig_get16(sent->data + 18), ==, length - 54);
        } else {
            g_assert_cmpuint(rig_get16(sent->data + 16), ==, length - 14);
            g_assert_cmphex(rig_sum(sent->data + 14, 20, 0), ==, 0xffff);
        }
        g_assert_cmpmem(sent->data + headers, payload, frame + headers, payload);
    } else {
        rig_advance(rig, 1000000); /* a long one goes on from the alarm */
        g_assert_cmpuint(rig->frames->len, ==, pieces);
        for (unsigned i = 0; i < pieces; i++) {
            const struct rig_frame *sent = rig_frame(rig, i);
            if (sent->offload.needs_checksum) { /* a single piece for a peer that does checksums */
                size_t l4 = rig_l4(kind);
                uint16_t sum = (uint16_t)~rig_sum(sent->data + l4, sent->length - l4, 0);
                rig_put16(sent->data + l4 + rig_l4_field(kind), sum);
            }
            check_piece(sent->data, sent->length, frame, kind, i, mss, payload, 0);
        }
    }
    g_assert_cmpuint(rig_read(rig, E1000_TPT), ==, pieces);
    uint64_t octets = MAX(headers + payload - (pieces - 1) * mss, 60) + 4;
    octets += (pieces - 1ul) * (headers + mss + 4);
    g_assert_cmpuint(rig_read(rig, E1000_GOTCL), ==, octets);
    g_assert_cmpuint(rig_read(rig, E1000_TSCTC), ==, pieces > 1);
    rig_free(rig);
}

static void test_segmentation(void)
{
    static const int kinds[] = {RIG_TCP4, RIG_TCP6, RIG_UDP4, RIG_UDP6};
    static const unsigned cans[] = {0, NET_CAN_CHECKSUM, OFFLOADS, NET_CAN_CHECKSUM | NET_CAN_TSO4};
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++)
        for (unsigned c = 0; c < G_N_ELEMENTS(cans); c++) {
            segment(kinds[k], 1, 1448, cans[c]);
            segment(kinds[k], 1448, 1448, cans[c]);
            segment(kinds[k], 1449, 1448, cans[c]);
            segment(kinds[k], 3 * 1448, 1448, cans[c]);
            segment(kinds[k], 7777, 1111, cans[c]);
            segment(kinds[k], 65483 - 24, 1448, cans[c]);
            segment(kinds[k], 20000, 41, cans[c]);
        }
}

static void test_segmentation_vlan(void)
{
    static const unsigned cans[] = {0, OFFLOADS};
    for (unsigned c = 0; c < G_N_ELEMENTS(cans); c++) {
        struct rig *rig = started(cans[c]);
        rig_write(rig, E1000_CTRL, rig_read(rig, E1000_CTRL) | E1000_CTRL_VME);
        uint8_t frame[6000];
        size_t length = burst(frame, RIG_TCP4, 5000);
        context(rig, RIG_TCP4, true, 5000, 1460);
        rig_tx(rig, frame, length, LAST | E1000_TXD_TSE | E1000_TXD_VLE,
               0x2007u << 16 | E1000_TXD_IXSM | E1000_TXD_TXSM);
        rig_kick(rig);
        if (cans[c]) {
            const struct rig_frame *sent = rig_frame(rig, 0);
            g_assert_cmpuint(sent->length, ==, length + 4);
            g_assert_cmpuint(sent->offload.checksum_start, ==, 38);
            g_assert_cmpuint(sent->offload.header_length, ==, 70);
            g_assert_cmphex(rig_get32(sent->data + 12), ==, 0x81002007);
        } else {
            g_assert_cmpuint(rig->frames->len, ==, 4);
            for (unsigned i = 0; i < 4; i++) {
                g_assert_cmphex(rig_get32(rig_frame(rig, i)->data + 12), ==, 0x81002007);
                check_piece(rig_frame(rig, i)->data, rig_frame(rig, i)->length, frame, RIG_TCP4, i, 1460,
                            5000, 4);
            }
        }
        rig_free(rig);
    }
}

/* Contexts that do not describe the packet: dropped and counted, nothing else. */
static void test_segmentation_hostile(void)
{
    struct rig *rig = started(OFFLOADS);
    uint8_t frame[6000];
    size_t length = burst(frame, RIG_TCP4, 4000);
    static const uint32_t contexts[][4] = {
        {0x00210e0e | 24 << 8, 34 | 50 << 8, 4000 | 0x27000000, 66 << 8 | 0u << 16}, /* MSS 0 */
        {14 | 24 << 8, 34 | 50 << 8, 4000 | 0x27000000, 66 << 8 | 1u << 16},         /* MSS 1 */
        {14 | 24 << 8, 34 | 50 << 8, 4000 | 0x27000000, 66 << 8 | 0xffffu << 16},    /* MSS 65535 */
        {14 | 24 << 8, 34 | 50 << 8, 4000 | 0x27000000, 0 << 8 | 1460u << 16},       /* no header */
        {14 | 24 << 8, 34 | 50 << 8, 4000 | 0x27000000, 255u << 8 | 1460u << 16},    /* header too long */
        {14 | 24 << 8, 34 | 50 << 8, 4000 | 0x27000000, 65 << 8 | 1460u << 16},      /* off by one */
        {13 | 24 << 8, 34 | 50 << 8, 4000 | 0x27000000, 66 << 8 | 1460u << 16},      /* IPCSS */
        {255 | 24 << 8, 255 | 255 << 8, 4000 | 0x27000000, 66 << 8 | 1460u << 16},   /* far away */
        {14 | 24 << 8, 33 | 49 << 8, 4000 | 0x27000000, 66 << 8 | 1460u << 16},      /* TUCSS */
        {14 | 24 << 8, 34 | 51 << 8, 4000 | 0x27000000, 66 << 8 | 1460u << 16},      /* TUCSO */
        {14 | 24 << 8, 34 | 50 << 8, 4000 | 0x26000000, 66 << 8 | 1460u << 16},      /* not TCP */
        {14 | 24 << 8, 34 | 50 << 8, 4000 | 0x25000000, 66 << 8 | 1460u << 16},      /* not IPv4 */
        {14 | 24 << 8, 34 | 50 << 8, 0 | 0x27000000, 66 << 8 | 1460u << 16},         /* no payload */
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(contexts); i++) {
        const uint32_t *c = contexts[i];
        rig_tx_raw(rig, c[0], c[1], c[2], c[3]);
        uint32_t at = rig_tx(rig, frame, length, LAST | E1000_TXD_TSE, E1000_TXD_IXSM | E1000_TXD_TXSM);
        rig_kick(rig);
        g_assert_cmpuint(rig->frames->len, ==, 0);
        g_assert_true(rig_tx_upper(rig, at) & E1000_TXD_DD);
        g_assert_cmpuint(rig_read(rig, E1000_TSCTFC), ==, 1);
        rig->tx_buffer = RIG_TX_BUFFERS;
    }
    /* more data than PAYLEN says is not sent; less ends early */
    context(rig, RIG_TCP4, true, 2000, 1000);
    rig_tx(rig, frame, length, LAST | E1000_TXD_TSE, E1000_TXD_IXSM | E1000_TXD_TXSM);
    rig_kick(rig);
    g_assert_cmpuint(rig_frame(rig, 0)->length, ==, 66 + 2000);
    context(rig, RIG_TCP4, true, 9000, 1000);
    rig_tx(rig, frame, length, LAST | E1000_TXD_TSE, E1000_TXD_IXSM | E1000_TXD_TXSM);
    rig_kick(rig);
    g_assert_cmpuint(rig_frame(rig, 1)->length, ==, length);
    /* more than 64 KiB */
    context(rig, RIG_TCP4, true, 0xfffff, 1000);
    for (unsigned i = 0; i < 20; i++)
        rig_tx_at(rig, RIG_TX_BUFFERS, (i == 19 ? LAST : DATA) | E1000_TXD_TSE | 4000, E1000_TXD_TXSM);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 2);
    /* and the next packet is fine */
    rig_tx(rig, frame, 100, PLAIN, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 3);
    rig_free(rig);
}

/* ---- a peer without room ---- */

static void test_full_peer(void)
{
    struct rig *rig = started(0);
    uint8_t frame[200];
    rig->peer_takes = 2;
    for (unsigned i = 0; i < 6; i++) {
        memset(frame, (int)i, sizeof frame);
        rig_tx(rig, frame, 100 + i, PLAIN, 0);
    }
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 2);
    g_assert_cmpuint(rig_read(rig, E1000_TDH), ==, 3); /* the third is in the FIFO */
    g_assert_cmphex(rig_tx_upper(rig, 3), ==, 0);
    memset(physmap_ram(rig->mem) + RIG_TX_BUFFERS, 0xee, 1024); /* its buffer is the guest's again */
    rig->peer_takes = 0;
    rig_advance(rig, 1000000); /* nothing spins */
    g_assert_cmpuint(rig->frames->len, ==, 2);
    g_assert_cmpuint(net_port_counters(rig->port)->full, ==, 1);
    rig->peer_takes = 1;
    net_room(rig->peer);
    g_assert_cmpuint(rig->frames->len, ==, 3);
    g_assert_cmpuint(rig_frame(rig, 2)->length, ==, 102);
    g_assert_cmpuint(rig_frame(rig, 2)->data[50], ==, 2);
    rig->peer_takes = -1;
    net_room(rig->peer);
    g_assert_cmpuint(rig->frames->len, ==, 6);
    g_assert_cmpuint(rig_read(rig, E1000_TDH), ==, 6);
    g_assert_cmphex(rig_tx_upper(rig, 5), ==, E1000_TXD_DD);
    rig_free(rig);
}

static void test_full_peer_burst(void)
{
    struct rig *rig = started(0);
    static uint8_t frame[20000];
    size_t length = burst(frame, RIG_TCP4, 10000);
    rig->peer_takes = 3;
    context(rig, RIG_TCP4, true, 10000, 1000);
    rig_tx(rig, frame, length, LAST | E1000_TXD_TSE, E1000_TXD_IXSM | E1000_TXD_TXSM);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 3);
    memset(physmap_ram(rig->mem) + RIG_TX_BUFFERS, 0xee, 20000);
    rig->peer_takes = 4;
    net_room(rig->peer);
    g_assert_cmpuint(rig->frames->len, ==, 7);
    rig->peer_takes = -1;
    net_room(rig->peer);
    g_assert_cmpuint(rig->frames->len, ==, 10);
    for (unsigned i = 0; i < 10; i++)
        check_piece(rig_frame(rig, i)->data, rig_frame(rig, i)->length, frame, RIG_TCP4, i, 1000, 10000, 0);
    /* reset while one waits: it is gone */
    rig->peer_takes = 0;
    rig_tx(rig, frame, 100, PLAIN, 0);
    rig_kick(rig);
    rig_write(rig, E1000_CTRL, E1000_CTRL_RST);
    rig->peer_takes = -1;
    net_room(rig->peer);
    g_assert_cmpuint(rig->frames->len, ==, 10);
    rig_free(rig);
}

/* ---- statistics ---- */

static void test_statistics(void)
{
    struct rig *rig = started(0);
    uint8_t frame[2000] = {0x02};
    static const size_t sizes[] = {60, 61, 123, 200, 500, 1000, 1514};
    uint64_t octets = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        rig_tx(rig, frame, sizes[i], PLAIN, 0);
        octets += sizes[i] + 4;
    }
    frame[0] = 0x01;
    rig_tx(rig, frame, 60, PLAIN, 0);
    memset(frame, 0xff, 6);
    rig_tx(rig, frame, 60, PLAIN, 0);
    octets += 128;
    rig_kick(rig);
    static const uint32_t classes[] = {3, 2, 1, 1, 1, 1};
    for (unsigned i = 0; i < 6; i++)
        g_assert_cmpuint(rig_read(rig, E1000_PTC64 + 4 * i), ==, classes[i]);
    g_assert_cmpuint(rig_read(rig, E1000_PTC64), ==, 0); /* cleared by reading */
    g_assert_cmpuint(rig_read(rig, E1000_TPT), ==, 9);
    g_assert_cmpuint(rig_read(rig, E1000_GPTC), ==, 9);
    g_assert_cmpuint(rig_read(rig, E1000_MPTC), ==, 1);
    g_assert_cmpuint(rig_read(rig, E1000_BPTC), ==, 1);
    g_assert_cmpuint(rig_read(rig, E1000_GOTCL), ==, octets);
    g_assert_cmpuint(rig_read(rig, E1000_GOTCL), ==,
                     octets); /* the low half stays until the high one is read */
    g_assert_cmpuint(rig_read(rig, E1000_GOTCH), ==, 0);
    g_assert_cmpuint(rig_read(rig, E1000_GOTCL), ==, 0);
    g_assert_cmpuint(rig_read(rig, E1000_TOTL), ==, octets);
    rig_free(rig);
}

static void test_low_threshold(void)
{
    struct rig *rig = started(0);
    rig_write(rig, E1000_TXDCTL, 1u << 25); /* tell when eight are left */
    uint8_t frame[60] = {0};
    for (unsigned i = 0; i < 7; i++)
        rig_tx(rig, frame, 60, E1000_TXD_EOP | E1000_TXD_IFCS, 0);
    rig_kick(rig);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_TXQE);
    for (unsigned i = 0; i < 20; i++)
        rig_tx(rig, frame, 60, E1000_TXD_EOP | E1000_TXD_IFCS, 0);
    rig_kick(rig);
    g_assert_cmphex(rig_read(rig, E1000_ICR), ==, E1000_INT_TXQE | E1000_INT_TXD_LOW);
    rig_free(rig);
}

/* ---- loopback ---- */

static void test_loopback(void)
{
    struct rig *rig = started(0);
    static struct rig_received got;
    uint8_t frame[1024];
    memset(frame, 0xff, sizeof frame);
    frame[700] = 0xae;
    rig_phy_write(rig, 0, 0x4140); /* as `ethtool -t` does it */
    g_assert_true(rig_read(rig, E1000_STATUS) & E1000_STATUS_LU);
    rig_tx(rig, frame, sizeof frame, PLAIN, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 0);
    g_assert_true(rig_received(rig, &got));
    g_assert_cmpmem(got.data, got.length, frame, sizeof frame);
    g_assert_cmpint(rig_inject(rig, frame, 64), ==, NET_DROPPED); /* cut off from the cable */
    rig_phy_write(rig, 0, 0x1140);
    rig_advance(rig, 10000000);
    rig_write(rig, E1000_RCTL, rig_read(rig, E1000_RCTL) | 1u << 6); /* MAC loopback */
    for (unsigned i = 0; i < 200; i++) { /* more than the receive ring holds: lost, never stuck */
        rig_tx(rig, frame, 64, PLAIN, 0);
        rig_kick(rig);
    }
    unsigned received = 0;
    while (rig_received(rig, &got))
        received++;
    g_assert_cmpuint(received, ==, RIG_RING_SIZE - 2);
    g_assert_cmpuint(rig_read(rig, E1000_TDH), ==, rig->tx_tail);
    rig_free(rig);
}

/* A frame that is received into the memory it is sent from, a byte further on. */
static void test_loopback_overlap(void)
{
    struct rig *rig = started(0);
    static struct rig_received got;
    uint8_t frame[1024];
    for (unsigned i = 0; i < sizeof frame; i++)
        frame[i] = (uint8_t)(i < 6 ? 0xff : i * 7 + (i >> 8));
    for (uint64_t by = 0; by < 3; by++) {
        rig_write(rig, E1000_RCTL, rig_read(rig, E1000_RCTL) | 1u << 6);
        uint64_t from = RIG_RX_BUFFERS + (uint64_t)RIG_RX_STRIDE * rig->rx_next + by;
        size_t room = sizeof frame;
        uint8_t *memory = phys_map(rig->mem, from, &room, true);
        g_assert_cmpuint(room, ==, sizeof frame);
        memcpy(memory, frame, sizeof frame);
        rig_tx_at(rig, from, PLAIN | sizeof frame, 0);
        rig_kick(rig);
        g_assert_true(rig_received(rig, &got));
        g_assert_cmpmem(got.data, got.length, frame, sizeof frame);
    }
    rig_free(rig);
}

/* ---- rings made to hurt ---- */

static void test_bad_rings(void)
{
    struct rig *rig = started(0);
    static const uint32_t rings[][3] = {
        {0, 0, 5},                               /* no length */
        {1024, 64, 5},                           /* head at the end */
        {1024, 0, 64},                           /* tail beyond */
        {1024, 0xffff, 0},                       /* head far away */
        {128, 0, 0xffff},  {0xfff80, 0, 0xffff}, /* a ring of 65528, all of it empty: ends */
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rings); i++) {
        rig_write(rig, E1000_TDLEN, rings[i][0]);
        rig_write(rig, E1000_TDH, rings[i][1]);
        rig_write(rig, E1000_TDT, rings[i][2]);
        rig_advance(rig, 1000000);
        g_assert_cmpuint(rig->frames->len, ==, 0);
    }
    /* a ring and buffers where there is no memory, or a device: the NIC itself */
    uint8_t frame[100] = {0};
    rig_write(rig, E1000_TDLEN, 1024);
    rig_write(rig, E1000_TDH, 0);
    rig_write(rig, E1000_TDT, 0);
    rig_write(rig, E1000_TDBAL, RIG_BAR0);
    rig_write(rig, E1000_TDT, 10);
    g_assert_cmpuint(rig_read(rig, E1000_TDH), ==, 10);
    rig_write(rig, E1000_TDBAH, 0xffffffff);
    rig_write(rig, E1000_TDBAL, 0xfffffff0);
    rig_write(rig, E1000_TDT, 20);
    g_assert_cmpuint(rig_read(rig, E1000_TDH), ==, 20);
    rig_start(rig);
    rig_forget_frames(rig);
    rig_tx_at(rig, 0xfffffffffffffff0, PLAIN | 64, 0);
    rig_tx_at(rig, RIG_BAR0 + E1000_GORCH - 32, PLAIN | 64, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 2);
    g_assert_cmpuint(rig_frame(rig, 1)->length, ==, 64);
    g_assert_cmphex(rig_frame(rig, 1)->data[10], ==, 0xff);
    /* a packet without an end: all of the ring, again and again */
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < RIG_RING_SIZE - 1; i++)
            rig_tx_at(rig, 0, E1000_TXD_IFCS | 0xffff, 0);
        rig_kick(rig);
    }
    rig_tx(rig, frame, 100, PLAIN, 0); /* its end: too long */
    rig_tx(rig, frame, 100, PLAIN, 0);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 3);
    g_assert_cmpuint(net_port_counters(rig->port)->dropped[NET_DROP_TOO_LONG], ==, 1);
    rig_free(rig);
}

/* One write to TDT does a bounded piece of work; the rest follows from the alarm. */
static void test_budget(void)
{
    struct rig *rig = rig_new(0);
    rig->tx_size = 4096;
    rig_start(rig);
    uint8_t frame[60] = {0};
    for (unsigned i = 0; i < 4000; i++)
        rig_tx_at(rig, RIG_TX_BUFFERS, PLAIN | 60, 0);
    phys_write(rig->mem, RIG_TX_BUFFERS, frame, sizeof frame);
    rig_kick(rig);
    g_assert_cmpuint(rig->frames->len, ==, 256);
    g_assert_cmpuint(rig_read(rig, E1000_TDH), ==, 256);
    g_assert_cmpint(clock_next_deadline(rig->clock), !=, CLOCK_NEVER);
    rig_advance(rig, 1);
    g_assert_cmpuint(rig->frames->len, ==, 4000);
    g_assert_cmpuint(rig_read(rig, E1000_TDH), ==, 4000);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/e1000-tx/legacy", test_legacy);
    g_test_add_func("/e1000-tx/pieces", test_pieces);
    g_test_add_func("/e1000-tx/many-pieces", test_many_pieces);
    g_test_add_func("/e1000-tx/split-kick", test_split_kick);
    g_test_add_func("/e1000-tx/sizes", test_sizes);
    g_test_add_func("/e1000-tx/enable", test_enable);
    g_test_add_func("/e1000-tx/vlan-insert", test_vlan_insert);
    g_test_add_func("/e1000-tx/checksum/context", test_checksum);
    g_test_add_func("/e1000-tx/checksum/offload", test_checksum_offload);
    g_test_add_func("/e1000-tx/checksum/legacy", test_checksum_legacy);
    g_test_add_func("/e1000-tx/segmentation/all", test_segmentation);
    g_test_add_func("/e1000-tx/segmentation/vlan", test_segmentation_vlan);
    g_test_add_func("/e1000-tx/segmentation/hostile", test_segmentation_hostile);
    g_test_add_func("/e1000-tx/full-peer/frames", test_full_peer);
    g_test_add_func("/e1000-tx/full-peer/burst", test_full_peer_burst);
    g_test_add_func("/e1000-tx/statistics", test_statistics);
    g_test_add_func("/e1000-tx/low-threshold", test_low_threshold);
    g_test_add_func("/e1000-tx/loopback", test_loopback);
    g_test_add_func("/e1000-tx/loopback-overlap", test_loopback_overlap);
    g_test_add_func("/e1000-tx/bad-rings", test_bad_rings);
    g_test_add_func("/e1000-tx/budget", test_budget);
    return g_test_run();
}
