/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The 82540EM's receive side: filters one by one, buffers and frames over several of them, VLAN tags,
 * checksum reports, bursts and frames with work left to do, room and the lack of it, statistics, and hostile
 * rings.
 */
#include "emu/dev/e1000_internal.h"
#include "tests/dev/e1000_rig.h"

static struct rig_received got; /* 64 KiB: not for the stack */

static struct rig *started(void)
{
    struct rig *rig = rig_new(0);
    rig_start(rig);
    return rig;
}

static void control(struct rig *rig, uint32_t bits)
{
    rig_write(rig, E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_SECRC | bits);
}

/* Whether a frame to this address gets in; *status as reported. */
static bool passes(struct rig *rig, const char *to, uint8_t *status)
{
    uint8_t frame[64] = {0};
    for (unsigned i = 0; i < 6; i++)
        frame[i] = (uint8_t)g_ascii_strtoull(to + 3 * i, NULL, 16);
    memcpy(frame + 6, "\x02\x00\x00\x00\x00\x99", 6);
    frame[12] = 8;
    uint64_t filtered = net_port_counters(rig->port)->dropped[NET_DROP_FILTERED];
    enum net_result result = rig_inject(rig, frame, sizeof frame);
    bool in = rig_received(rig, &got);
    g_assert_cmpint(in, ==, result == NET_SENT);
    if (in) {
        rig_give(rig, 1);
        g_assert_cmpmem(got.data, got.length, frame, sizeof frame);
        if (status)
            *status = got.status;
    } else {
        g_assert_cmpint(result, ==, NET_DROPPED);
        g_assert_cmpuint(net_port_counters(rig->port)->dropped[NET_DROP_FILTERED], ==, filtered + 1);
    }
    return in;
}

/* ---- filters ---- */

static void test_unicast_filter(void)
{
    struct rig *rig = started();
    control(rig, 0);
    uint8_t status;
    g_assert_true(passes(rig, "52:54:00:12:34:56", &status));
    g_assert_cmphex(status & E1000_RXD_PIF, ==, 0);
    g_assert_false(passes(rig, "52:54:00:12:34:57", NULL));
    g_assert_false(passes(rig, "52:54:00:12:35:56", NULL));
    /* each of the fifteen others, valid or not */
    for (uint32_t i = 1; i < 16; i++) {
        g_autofree char *to = g_strdup_printf("02:00:00:00:00:%02x", i);
        rig_write(rig, E1000_RA + 8 * i, 0x00000002);
        rig_write(rig, E1000_RA + 8 * i + 4, i << 8);
        g_assert_false(passes(rig, to, NULL));
        rig_write(rig, E1000_RA + 8 * i + 4, E1000_RAH_AV | i << 8);
        g_assert_true(passes(rig, to, NULL));
    }
    /* by source address */
    g_assert_false(passes(rig, "02:00:00:00:00:55", NULL));
    rig_write(rig, E1000_RA + 8, 0x00000002);
    rig_write(rig, E1000_RA + 12, E1000_RAH_AV | 1u << 16 | 0x9900);
    g_assert_true(passes(rig, "02:00:00:00:00:55", NULL));
    rig_write(rig, E1000_RA + 12, 0);
    /* the own address switched off */
    rig_write(rig, E1000_RA + 4, 0x5634);
    g_assert_false(passes(rig, "52:54:00:12:34:56", NULL));
    control(rig, E1000_RCTL_UPE);
    g_assert_true(passes(rig, "52:54:00:12:34:56", &status));
    g_assert_true(status & E1000_RXD_PIF);
    g_assert_false(passes(rig, "01:00:5e:00:00:01", NULL)); /* unicast only */
    rig_free(rig);
}

static void test_broadcast_filter(void)
{
    struct rig *rig = started();
    control(rig, 0);
    g_assert_false(passes(rig, "ff:ff:ff:ff:ff:ff", NULL));
    control(rig, E1000_RCTL_BAM);
    g_assert_true(passes(rig, "ff:ff:ff:ff:ff:ff", NULL));
    g_assert_false(passes(rig, "ff:ff:ff:ff:ff:fe", NULL));
    rig_free(rig);
}

static void test_multicast_filter(void)
{
    struct rig *rig = started();
    control(rig, 0);
    g_assert_false(passes(rig, "01:00:5e:00:00:fb", NULL));
    uint8_t status;
    control(rig, E1000_RCTL_MPE);
    g_assert_true(passes(rig, "01:00:5e:00:00:fb", &status));
    g_assert_true(passes(rig, "ff:ff:ff:ff:ff:ff", NULL));
    g_assert_false(passes(rig, "02:00:5e:00:00:fb", NULL));
    /* the hash table, with each of the four choices of bits: 47:36, 46:35, 45:34, 43:32 of the address */
    static const unsigned shift[4] = {4, 3, 2, 0};
    for (unsigned mo = 0; mo < 4; mo++) {
        control(rig, mo << 12);
        unsigned hash = 0xfb5a >> shift[mo] & 0xfff;
        g_assert_false(passes(rig, "01:00:5e:00:5a:fb", NULL));
        rig_write(rig, E1000_MTA + 4 * (hash >> 5), 1u << (hash & 31));
        g_assert_true(passes(rig, "01:00:5e:00:5a:fb", &status));
        g_assert_true(status & E1000_RXD_PIF);
        g_assert_false(passes(rig, "01:00:5e:00:aa:05", NULL));
        g_assert_false(passes(rig, "02:00:5e:00:5a:fb", NULL)); /* not for unicast */
        rig_write(rig, E1000_MTA + 4 * (hash >> 5), 0);
    }
    rig_free(rig);
}

static size_t tagged(uint8_t *frame, unsigned tag)
{
    uint8_t plain[200];
    size_t length = rig_packet(plain, RIG_TCP4, 100);
    memcpy(frame, plain, 12);
    rig_put16(frame + 12, 0x8100);
    rig_put16(frame + 14, tag);
    memcpy(frame + 16, plain + 12, length - 12);
    return length + 4;
}

static bool vlan_passes(struct rig *rig, unsigned tag)
{
    uint8_t frame[300];
    size_t length = tagged(frame, tag);
    rig_inject(rig, frame, length);
    bool in = rig_received(rig, &got);
    if (in)
        rig_give(rig, 1);
    return in;
}

static void test_vlan(void)
{
    struct rig *rig = started();
    uint8_t frame[300];
    size_t length = tagged(frame, 0x6123);
    /* neither stripping nor filtering: it comes as it is */
    g_assert_true(vlan_passes(rig, 0x6123));
    g_assert_cmpmem(got.data, got.length, frame, length);
    g_assert_cmphex(got.status & E1000_RXD_VP, ==, 0);
    /* stripping */
    rig_write(rig, E1000_CTRL, rig_read(rig, E1000_CTRL) | E1000_CTRL_VME);
    rig_write(rig, E1000_RXCSUM, E1000_RXCSUM_TUOFL | E1000_RXCSUM_IPOFL | 14);
    g_assert_true(vlan_passes(rig, 0x6123));
    g_assert_cmpuint(got.length, ==, length - 4);
    g_assert_cmpmem(got.data, 12, frame, 12);
    g_assert_cmpmem(got.data + 12, length - 16, frame + 16, length - 16);
    g_assert_cmphex(got.special, ==, 0x6123);
    g_assert_cmphex(got.status, ==,
                    E1000_RXD_VP | E1000_RXD_DD | E1000_RXD_EOP | E1000_RXD_IPCS | E1000_RXD_TCPCS);
    g_assert_cmphex(got.checksum, ==, rig_sum(got.data + 14, got.length - 14, 0)); /* after stripping */
    /* filtering: VFTA, then CFI */
    rig_write(rig, E1000_CTRL, rig_read(rig, E1000_CTRL) & ~E1000_CTRL_VME);
    control(rig, E1000_RCTL_VFE);
    g_assert_false(vlan_passes(rig, 0x0123));
    rig_write(rig, E1000_VFTA + 4 * (0x123 >> 5), 1u << (0x123 & 31));
    g_assert_true(vlan_passes(rig, 0x0123));
    g_assert_true(vlan_passes(rig, 0xf123));
    g_assert_false(vlan_passes(rig, 0x0124));
    control(rig, E1000_RCTL_VFE | E1000_RCTL_CFIEN);
    g_assert_true(vlan_passes(rig, 0xe123));
    g_assert_false(vlan_passes(rig, 0x1123));
    control(rig, E1000_RCTL_VFE | E1000_RCTL_CFIEN | E1000_RCTL_CFI);
    g_assert_false(vlan_passes(rig, 0xe123));
    g_assert_true(vlan_passes(rig, 0x1123));
    g_assert_true(passes(rig, "52:54:00:12:34:56", NULL)); /* untagged ones are not concerned */
    /* VET says what a tag is */
    rig_write(rig, E1000_VET, 0x88a8);
    g_assert_true(vlan_passes(rig, 0x0124));
    rig_free(rig);
}

/* ---- buffers ---- */

static void test_buffer_sizes(void)
{
    static const struct {
        uint32_t bits;
        size_t size;
    } sizes[] = {
        {0, 2048},
        {1u << 16, 1024},
        {2u << 16, 512},
        {3u << 16, 256},
        {E1000_RCTL_BSEX | 1u << 16, 16384},
        {E1000_RCTL_BSEX | 2u << 16, 8192},
        {E1000_RCTL_BSEX | 3u << 16, 4096},
    };
    static uint8_t frame[9018];
    for (unsigned i = 0; i < sizeof frame; i++)
        frame[i] = (uint8_t)(i * 11 + (i >> 8));
    memcpy(frame, "\x52\x54\x00\x12\x34\x56", 6);
    for (unsigned s = 0; s < G_N_ELEMENTS(sizes); s++) {
        static const size_t lengths[] = {60, 255, 256, 257, 1514, 2048, 4096, 4097, 9018};
        struct rig *rig = started();
        control(rig, sizes[s].bits | E1000_RCTL_LPE);
        for (unsigned l = 0; l < G_N_ELEMENTS(lengths); l++) {
            g_assert_cmpint(rig_inject(rig, frame, lengths[l]), ==, NET_SENT);
            g_assert_true(rig_received(rig, &got));
            g_assert_cmpmem(got.data, got.length, frame, lengths[l]);
            g_assert_cmpuint(got.descriptors, ==, (lengths[l] + sizes[s].size - 1) / sizes[s].size);
            rig_give(rig, got.descriptors);
        }
        rig_free(rig);
    }
}

static void test_lengths(void)
{
    struct rig *rig = started();
    static uint8_t frame[20000];
    memcpy(frame, "\x52\x54\x00\x12\x34\x56", 6);
    g_assert_cmpint(rig_inject(rig, frame, 1518), ==, NET_SENT); /* 1522 with FCS */
    g_assert_cmpint(rig_inject(rig, frame, 1519), ==, NET_DROPPED);
    g_assert_cmpuint(rig_read(rig, E1000_ROC), ==, 1);
    control(rig, E1000_RCTL_LPE);
    g_assert_cmpint(rig_inject(rig, frame, 1519), ==, NET_SENT);
    g_assert_cmpint(rig_inject(rig, frame, 16380), ==, NET_SENT);
    g_assert_cmpint(rig_inject(rig, frame, 16381), ==, NET_DROPPED);
    g_assert_cmpuint(rig_read(rig, E1000_ROC), ==, 1);
    while (rig_received(rig, &got))
        g_assert_cmphex(got.errors, ==, 0);
    control(rig, E1000_RCTL_SBP); /* bad ones are stored, marked */
    g_assert_cmpint(rig_inject(rig, frame, 1519), ==, NET_SENT);
    g_assert_true(rig_received(rig, &got));
    g_assert_true(got.errors & E1000_RXE_RXE);
    /* short ones come as their sender would have padded them */
    control(rig, 0);
    uint8_t padded[60] = {0};
    memcpy(padded, frame, 42);
    memset(frame + 42, 0xee, 20);
    g_assert_cmpint(rig_inject(rig, frame, 42), ==, NET_SENT);
    g_assert_true(rig_received(rig, &got));
    g_assert_cmpmem(got.data, got.length, padded, 60);
    rig_free(rig);
}

/* Without SECRC the FCS is there, and it is right: every length, in one piece and in two, with and without
 * the host's carry-less multiplication. */
static void test_fcs(void)
{
    struct rig *rig = started();
    struct e1000 *nic = (struct e1000 *)rig->nic;
    uint8_t frame[1518];
    rig_packet(frame, RIG_UDP4, 1472);
    rig_write(rig, E1000_RCTL, E1000_RCTL_EN);
    for (unsigned fold = 0; fold <= nic->can_fold; fold++)
        for (size_t length = 60; length <= 1514; length += length < 300 ? 1 : 37) {
            bool can_fold = nic->can_fold;
            nic->can_fold = fold;
            size_t cut = length * 7 % (length - 1) + 1;
            struct iovec iov[2] = {{frame, cut}, {frame + cut, length - cut}};
            net_send(rig->peer, &(struct net_frame){.iov = iov, .count = 2, .length = length});
            nic->can_fold = can_fold;
            g_assert_true(rig_received(rig, &got));
            rig_give(rig, 1);
            g_assert_cmpuint(got.length, ==, length + 4);
            uint32_t crc = 0xffffffff;
            for (size_t i = 0; i < length + 4; i++)
                for (unsigned bit = 0; bit < 8; bit++) {
                    uint32_t feedback = (crc ^ got.data[i] >> bit) & 1;
                    crc = crc >> 1 ^ (feedback ? 0xedb88320 : 0);
                }
            g_assert_cmphex(crc, ==, 0xdebb20e3); /* the residue of a good frame (802.3, 3.2.9) */
        }
    rig_free(rig);
}

static void test_null_descriptors(void)
{
    struct rig *rig = started();
    uint8_t frame[60];
    rig_packet(frame, RIG_UDP4, 18);
    phys_write64(rig->mem, RIG_RX_RING, 0);
    phys_write64(rig->mem, RIG_RX_RING + 16, 0);
    g_assert_cmpint(rig_inject(rig, frame, 60), ==, NET_SENT);
    g_assert_cmphex(phys_read8(rig->mem, RIG_RX_RING + 12), ==, E1000_RXD_DD);
    g_assert_cmphex(phys_read8(rig->mem, RIG_RX_RING + 28), ==, E1000_RXD_DD);
    g_assert_cmphex(phys_read8(rig->mem, RIG_RX_RING + 44) & 3, ==, 3);
    g_assert_cmpuint(rig_read(rig, E1000_RDH), ==, 3);
    rig_free(rig);
}

/* ---- checksum reports ---- */

static void test_checksum_report(void)
{
    static const int kinds[] = {RIG_TCP4, RIG_UDP4, RIG_TCP6, RIG_UDP6};
    struct rig *rig = started();
    uint8_t frame[1514];
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        bool v4 = kinds[k] == RIG_TCP4 || kinds[k] == RIG_UDP4;
        for (size_t payload = 0; payload < 1400; payload += 97) {
            size_t length = rig_packet(frame, kinds[k], payload);
            /* off */
            rig_write(rig, E1000_RXCSUM, 0);
            rig_inject(rig, frame, length);
            g_assert_true(rig_received(rig, &got));
            g_assert_cmphex(got.status, ==, E1000_RXD_DD | E1000_RXD_EOP | E1000_RXD_IXSM);
            g_assert_cmphex(got.checksum, ==, rig_sum(got.data, got.length, 0));
            /* on, right */
            rig_write(rig, E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL | 20);
            rig_inject(rig, frame, length);
            g_assert_true(rig_received(rig, &got));
            g_assert_cmphex(got.status, ==,
                            E1000_RXD_DD | E1000_RXD_EOP | E1000_RXD_TCPCS | (v4 ? E1000_RXD_IPCS : 0));
            g_assert_cmphex(got.errors, ==, 0);
            g_assert_cmphex(got.checksum, ==, rig_sum(got.data + 20, got.length - 20, 0));
            /* wrong in the last byte of the packet */
            frame[length - 1] ^= 0x40;
            rig_inject(rig, frame, length);
            g_assert_true(rig_received(rig, &got));
            g_assert_cmphex(got.errors, ==, E1000_RXE_TCPE);
            /* but its sender vouches for it */
            rig_inject_offload(rig, frame, length, &(struct net_offload){.checksum_good = true});
            g_assert_true(rig_received(rig, &got));
            g_assert_cmphex(got.errors, ==, 0);
            frame[length - 1] ^= 0x40;
            if (v4) { /* and the IP header */
                frame[22]--;
                rig_inject(rig, frame, length);
                g_assert_true(rig_received(rig, &got));
                g_assert_cmphex(got.errors, ==, E1000_RXE_IPE);
            }
            rig_give(rig, v4 ? 5 : 4);
        }
    }
    rig_free(rig);
}

/* What is known of a frame is not summed again: the packet checksum is the plain one all the same, for every
 * PCSS, tagged, stripped, padded, with FCS and without, vouched for or not. */
static void test_packet_checksum(void)
{
    static const int kinds[] = {RIG_TCP4, RIG_UDP4, RIG_TCP6, RIG_UDP6};
    struct rig *rig = started();
    uint8_t plain[1514], frame[1518];
    control(rig, E1000_RCTL_LPE);
    for (unsigned round = 0; round < 4 * 256 * 16; round++) {
        unsigned k = round & 3, start = round >> 2 & 255, way = round >> 10;
        bool vouched = way & 1, is_tagged = way & 2;
        size_t length = rig_packet(plain, kinds[k], round * 7919u % (round & 64 ? 1420 : 9)),
               tag = is_tagged ? 4 : 0;
        memcpy(frame, plain, 12);
        memcpy(frame + 12, "\x81\x00\x61\x23", tag);
        memcpy(frame + 12 + tag, plain + 12, length - 12);
        rig_write(rig, E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL | start);
        uint32_t ctrl = rig_read(rig, E1000_CTRL), rctl = rig_read(rig, E1000_RCTL);
        rig_write(rig, E1000_CTRL, way & 4 ? ctrl | E1000_CTRL_VME : ctrl & ~(uint32_t)E1000_CTRL_VME);
        rig_write(rig, E1000_RCTL, way & 8 ? rctl | E1000_RCTL_SECRC : rctl & ~(uint32_t)E1000_RCTL_SECRC);
        rig_inject_offload(rig, frame, length + tag, &(struct net_offload){.checksum_good = vouched});
        g_assert_true(rig_received(rig, &got));
        rig_give(rig, 1);
        g_assert_cmphex(got.errors, ==, 0);
        size_t from = MIN(start, got.length);
        g_assert_cmphex(got.checksum, ==, rig_sum(got.data + from, got.length - from, 0));
    }
    rig_free(rig);
}

static uint8_t report(struct rig *rig, const uint8_t *frame, size_t length)
{
    rig_inject(rig, frame, length);
    g_assert_true(rig_received(rig, &got));
    rig_give(rig, 1);
    g_assert_cmphex(got.errors, ==, 0);
    return got.status & (E1000_RXD_IPCS | E1000_RXD_TCPCS | E1000_RXD_IXSM);
}

static void test_checksum_exceptions(void)
{
    struct rig *rig = started();
    rig_write(rig, E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL);
    uint8_t frame[1514];
    size_t length = rig_packet(frame, RIG_UDP4, 100);
    /* padding beyond the packet is not part of it */
    rig_packet(frame, RIG_UDP4, 3);
    memset(frame + 45, 0xee, 20);
    g_assert_cmphex(report(rig, frame, 60), ==, E1000_RXD_IPCS | E1000_RXD_TCPCS);
    /* a datagram without a checksum */
    rig_packet(frame, RIG_UDP4, 100);
    rig_put16(frame + 40, 0);
    g_assert_cmphex(report(rig, frame, length), ==, E1000_RXD_IPCS);
    /* a fragment */
    rig_packet(frame, RIG_UDP4, 100);
    rig_put16(frame + 20, 0x2000);
    rig_put16(frame + 24, 0);
    rig_put16(frame + 24, (uint16_t)~rig_sum(frame + 14, 20, 0));
    g_assert_cmphex(report(rig, frame, length), ==, E1000_RXD_IPCS);
    /* another protocol */
    rig_packet(frame, RIG_UDP4, 100);
    frame[23] = 1;
    rig_put16(frame + 24, 0);
    rig_put16(frame + 24, (uint16_t)~rig_sum(frame + 14, 20, 0));
    g_assert_cmphex(report(rig, frame, length), ==, E1000_RXD_IPCS);
    /* options in the IP header */
    uint8_t longer[1514];
    rig_packet(frame, RIG_UDP4, 100);
    memcpy(longer, frame, 34);
    memset(longer + 34, 1, 8);
    memcpy(longer + 42, frame + 34, length - 34);
    longer[14] = 0x47;
    rig_put16(longer + 16, (unsigned)length - 14 + 8);
    rig_put16(longer + 24, 0);
    rig_put16(longer + 24, (uint16_t)~rig_sum(longer + 14, 28, 0));
    g_assert_cmphex(report(rig, longer, length + 8), ==, E1000_RXD_IPCS | E1000_RXD_TCPCS);
    /* IPv6 with an extension header */
    length = rig_packet(frame, RIG_TCP6, 100);
    memcpy(longer, frame, 54);
    memset(longer + 54, 0, 16);
    longer[20] = 60; /* destination options */
    longer[54] = 6;
    longer[55] = 1;
    memcpy(longer + 70, frame + 54, length - 54);
    rig_put16(longer + 18, (unsigned)length - 54 + 16);
    g_assert_cmphex(report(rig, longer, length + 16), ==, E1000_RXD_TCPCS);
    /* an IPv6 fragment */
    longer[20] = 44;
    longer[55] = 0;
    longer[54] = 6;
    g_assert_cmphex(report(rig, longer, length + 16), ==, E1000_RXD_IXSM);
    /* not IP; IP that lies about its length; header longer than the frame */
    rig_put16(frame + 12, 0x0806);
    g_assert_cmphex(report(rig, frame, length), ==, E1000_RXD_IXSM);
    rig_packet(frame, RIG_UDP4, 100);
    rig_put16(frame + 16, 2000);
    g_assert_cmphex(report(rig, frame, 142), ==, E1000_RXD_IXSM);
    rig_put16(frame + 16, 10);
    g_assert_cmphex(report(rig, frame, 142), ==, E1000_RXD_IXSM);
    frame[14] = 0x4f;
    rig_put16(frame + 16, 30);
    g_assert_cmphex(report(rig, frame, 60), ==, E1000_RXD_IXSM);
    rig_free(rig);
}

/* ---- work left by the sender ---- */

/* A checksum still to be done is done: a guest may send the frame on. */
static void test_needs_checksum(void)
{
    static const int kinds[] = {RIG_TCP4, RIG_UDP4, RIG_TCP6, RIG_UDP6};
    struct rig *rig = started();
    rig_write(rig, E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL);
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        uint8_t frame[1514], wanted[1514];
        size_t length = rig_packet(wanted, kinds[k], 999), l4 = rig_l4(kinds[k]),
               field = rig_l4_field(kinds[k]);
        memcpy(frame, wanted, length);
        rig_put16(frame + l4 + field, rig_pseudo(frame, kinds[k], (uint32_t)(length - l4)));
        struct net_offload offload = {
            .needs_checksum = true, .checksum_start = (uint16_t)l4, .checksum_offset = (uint16_t)field};
        g_assert_cmpint(rig_inject_offload(rig, frame, length, &offload), ==, NET_SENT);
        g_assert_true(rig_received(rig, &got));
        g_assert_cmpmem(got.data, got.length, wanted, length);
        g_assert_true(got.status & E1000_RXD_TCPCS);
        g_assert_cmphex(got.errors, ==, 0);
    }
    /* impossible places */
    uint8_t frame[64] = {0};
    memcpy(frame, "\x52\x54\x00\x12\x34\x56", 6);
    static const uint16_t places[][2] = {{0, 6}, {60, 6}, {65535, 65535}, {34, 65535}, {65535, 1}};
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        struct net_offload offload = {
            .needs_checksum = true, .checksum_start = places[i][0], .checksum_offset = places[i][1]};
        g_assert_cmpint(rig_inject_offload(rig, frame, 64, &offload), ==, NET_DROPPED);
    }
    g_assert_false(rig_received(rig, &got));
    rig_free(rig);
}

/* A burst as the kernel hands it to a TAP. */
static size_t burst(uint8_t *frame, int kind, size_t payload, unsigned mss, struct net_offload *offload)
{
    size_t length = rig_packet(frame, kind, payload), l4 = rig_l4(kind);
    rig_put16(frame + l4 + 16, rig_pseudo(frame, kind, (uint32_t)(length - l4)));
    *offload = (struct net_offload){.needs_checksum = true,
                                    .checksum_start = (uint16_t)l4,
                                    .checksum_offset = 16,
                                    .gso = kind == RIG_TCP4 ? NET_GSO_TCPV4 : NET_GSO_TCPV6,
                                    .gso_size = (uint16_t)mss,
                                    .header_length = (uint16_t)rig_headers(kind)};
    return length;
}

static void check_piece(const uint8_t *source, int kind, unsigned index, size_t mss, size_t payload)
{
    size_t headers = rig_headers(kind), n = MIN(mss, payload - index * mss);
    g_assert_cmpuint(got.length, ==, MAX(headers + n, 60));
    g_assert_true(rig_sums_right(got.data, got.length));
    g_assert_cmphex(got.errors, ==, 0);
    g_assert_true(got.status & E1000_RXD_TCPCS);
    g_assert_cmpmem(got.data + headers, n, source + headers + index * mss, n);
    size_t l4 = rig_l4(kind);
    g_assert_cmphex(rig_get32(got.data + l4 + 4), ==, (uint32_t)(rig_get32(source + l4 + 4) + index * mss));
}

static void test_burst(void)
{
    static uint8_t frame[66000];
    static const int kinds[] = {RIG_TCP4, RIG_TCP6};
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        struct rig *rig = started();
        rig_write(rig, E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL);
        struct net_offload offload;
        size_t length = burst(frame, kinds[k], 60000, 1428, &offload);
        g_assert_cmpint(rig_inject_offload(rig, frame, length, &offload), ==, NET_SENT);
        unsigned pieces = (60000 + 1427) / 1428;
        for (unsigned i = 0; i < pieces; i++) {
            g_assert_true(rig_received(rig, &got));
            check_piece(frame, kinds[k], i, 1428, 60000);
        }
        g_assert_false(rig_received(rig, &got));
        g_assert_cmpuint(rig_read(rig, E1000_GPRC), ==, pieces);
        rig_free(rig);
    }
}

/* A burst that outruns the ring waits in the NIC, in order, and the next frame waits outside. */
static void test_burst_and_room(void)
{
    static uint8_t frame[66000];
    struct rig *rig = started();
    rig_write(rig, E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL);
    struct net_offload offload;
    size_t length = burst(frame, RIG_TCP4, 50000, 500, &offload); /* a hundred pieces for 63 descriptors */
    g_assert_cmpint(rig_inject_offload(rig, frame, length, &offload), ==, NET_SENT);
    g_autofree uint8_t *kept = g_memdup2(frame, length);
    memset(frame, 0xee, length); /* the sender's memory is the sender's again */
    uint8_t small[60];
    rig_packet(small, RIG_UDP4, 18);
    g_assert_cmpint(rig_inject(rig, small, 60), ==, NET_FULL);
    g_assert_cmpuint(rig_read(rig, E1000_RNBC), ==, 1);
    unsigned seen = 0;
    for (unsigned round = 0; round < 20 && seen < 100; round++) {
        unsigned here = 0;
        while (rig_received(rig, &got)) {
            check_piece(kept, RIG_TCP4, seen, 500, 50000);
            seen++;
            here++;
        }
        rig_read(rig, E1000_ICR);
        rig_give(rig, MIN(here, 10));
        g_assert_cmphex(rig_read(rig, E1000_ICR) & E1000_INT_RXT0, ==, seen < 100 ? E1000_INT_RXT0 : 0);
        g_assert_cmpuint(rig->peer_rooms, ==, seen + MIN(here, 10) > 100 ? 1 : 0);
    }
    g_assert_cmpuint(seen, ==, 100);
    g_assert_cmpint(rig_inject(rig, small, 60), ==, NET_SENT);
    /* reset forgets what waits */
    rig_give(rig, 5);
    g_assert_cmpint(rig_inject_offload(rig, kept, length, &offload), ==, NET_SENT);
    rig_write(rig, E1000_CTRL, E1000_CTRL_RST);
    rig_start(rig);
    g_assert_false(rig_received(rig, &got));
    g_assert_cmpint(rig_inject(rig, small, 60), ==, NET_SENT);
    g_assert_true(rig_received(rig, &got));
    g_assert_cmpmem(got.data, got.length, small, 60);
    rig_free(rig);
}

/* How many frames are in the ring; they are consumed, RDT is not written. */
static unsigned take_all(struct rig *rig)
{
    unsigned frames = 0;
    while (rig_received(rig, &got))
        frames++;
    return frames;
}

/* The guest answers for an IPv4 address (ARP) or an IPv6 one (neighbour advertisement). */
static void tell_address(struct rig *rig, const uint8_t *address, size_t size)
{
    uint8_t frame[86] = {0};
    memset(frame, 0xff, 6);
    if (size == 4) {
        memcpy(frame + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02", 10);
        memcpy(frame + 28, address, 4);
    } else {
        memcpy(frame + 12, "\x86\xdd\x60", 3);
        frame[20] = 58;
        frame[54] = 136;
        memcpy(frame + 62, address, 16);
    }
    rig_tx(rig, frame, size == 4 ? 60 : 86, E1000_TXD_EOP | E1000_TXD_IFCS, 0);
    rig_kick(rig);
}

/* Bursts to the guest's own addresses come as they are, others paced. */
static void test_burst_routed(void)
{
    static const int kinds[] = {RIG_TCP4, RIG_TCP6};
    static uint8_t frame[66000];
    for (unsigned k = 0; k < 2; k++) {
        struct rig *rig = started();
        struct net_offload offload;
        size_t size = k ? 16 : 4;
        size_t length = burst(frame, kinds[k], 25 * 1000, 1000, &offload);
        const uint8_t *to = frame + (k ? 38 : 30);
        uint8_t other[16];
        memcpy(other, to, size);
        for (unsigned told = 0; told < 12; told++) { /* nothing, another, its own, then more than are kept */
            if (told == 2)
                tell_address(rig, to, size);
            other[size - 1] = (uint8_t)(to[size - 1] + 1 + told);
            if (told != 0 && told != 2)
                tell_address(rig, other, size);
            rig_write(rig, E1000_IMS, E1000_INT_RXT0);
            g_assert_cmpint(rig_inject_offload(rig, frame, length, &offload), ==, NET_SENT);
            g_assert_cmpuint(take_all(rig), ==, told == 1 || told >= 10 ? 18 : 25);
            rig_write(rig, E1000_IMS, E1000_INT_RXT0);
            g_assert_cmpuint(take_all(rig), ==, told == 1 || told >= 10 ? 7 : 0);
            rig_give(rig, 25);
        }
        rig_free(rig);
    }
}

/* A driver that masks its interrupt while it works gets no more pieces in one go than it can send on whole.
 */
static void test_burst_paced(void)
{
    struct rig *rig = started();
    static uint8_t frame[66000];
    struct net_offload offload;
    size_t length = burst(frame, RIG_TCP4, 40 * 1000, 1000, &offload);
    uint8_t small[60];
    rig_packet(small, RIG_UDP4, 18);
    rig_write(rig, E1000_IMC, 0xffffffff);
    rig_write(rig, E1000_CTRL, rig_read(rig, E1000_CTRL) | E1000_CTRL_RST);
    rig_start(rig);
    tell_address(rig, (const uint8_t[]){10, 1, 2, 3}, 4); /* not that of the bursts */
    /* never unmasked: all of it */
    g_assert_cmpint(rig_inject_offload(rig, frame, length, &offload), ==, NET_SENT);
    g_assert_cmpuint(take_all(rig), ==, 40);
    rig_give(rig, 40);
    /* unmasked: a poll's worth, and what is left when it is unmasked again, RDT or not */
    rig_write(rig, E1000_IMS, E1000_INT_RXT0);
    g_assert_cmpint(rig_inject_offload(rig, frame, length, &offload), ==, NET_SENT);
    rig_write(rig, E1000_IMC, 0xffffffff);
    g_assert_cmpint(rig_inject(rig, small, 60), ==, NET_FULL); /* not before the rest */
    g_assert_cmpuint(take_all(rig), ==, 18);
    rig_give(rig, 18);
    g_assert_cmpuint(take_all(rig), ==, 0);
    rig_write(rig, E1000_IMS, E1000_INT_LSC);
    g_assert_cmpuint(take_all(rig), ==, 0);
    rig_write(rig, E1000_IMS, E1000_INT_RXT0);
    rig_write(rig, E1000_IMC, 0xffffffff);
    g_assert_cmpuint(take_all(rig), ==, 18);
    g_assert_cmpuint(rig->peer_rooms, ==, 0);
    rig_write(rig, E1000_IMS, E1000_INT_RXT0);
    g_assert_cmpuint(take_all(rig), ==, 4);
    g_assert_cmpuint(rig->peer_rooms, ==, 1);
    g_assert_cmpuint(rig_read(rig, E1000_RNBC), ==, 0); /* there was room */
    rig_give(rig, 22);
    /* it works without masking: RDT is enough */
    g_assert_cmpint(rig_inject_offload(rig, frame, length, &offload), ==, NET_SENT);
    g_assert_cmpuint(take_all(rig), ==, 18);
    rig_give(rig, 18);
    g_assert_cmpuint(take_all(rig), ==, 18);
    rig_give(rig, 18);
    g_assert_cmpuint(take_all(rig), ==, 4);
    rig_give(rig, 4);
    /* masked for good: time goes on without it */
    rig_write(rig, E1000_IMS, E1000_INT_RXT0);
    rig_write(rig, E1000_IMC, 0xffffffff);
    g_assert_cmpint(rig_inject_offload(rig, frame, length, &offload), ==, NET_SENT);
    g_assert_cmpuint(take_all(rig), ==, 18);
    rig_advance(rig, 1900000);
    g_assert_cmpuint(take_all(rig), ==, 0);
    rig_advance(rig, 200000);
    g_assert_cmpuint(take_all(rig), ==, 18);
    rig_give(rig, 36);
    g_assert_cmpuint(take_all(rig), ==, 0);
    rig_advance(rig, 2100000);
    g_assert_cmpuint(take_all(rig), ==, 4);
    rig_give(rig, 4);
    /* single frames are not concerned, and a receiver that is switched off forgets what waits */
    rig_write(rig, E1000_IMS, E1000_INT_RXT0);
    rig_write(rig, E1000_IMC, 0xffffffff);
    for (unsigned i = 0; i < 40; i++)
        g_assert_cmpint(rig_inject(rig, small, 60), ==, NET_SENT);
    g_assert_cmpuint(take_all(rig), ==, 40);
    rig_give(rig, 40);
    g_assert_cmpint(rig_inject_offload(rig, frame, length, &offload), ==, NET_SENT);
    g_assert_cmpuint(take_all(rig), ==, 18);
    rig_write(rig, E1000_RCTL, 0);
    control(rig, 0);
    g_assert_cmpuint(take_all(rig), ==, 0);
    g_assert_cmpint(rig_inject(rig, small, 60), ==, NET_SENT);
    g_assert_cmpuint(take_all(rig), ==, 1);
    rig_free(rig);
}

static void test_burst_hostile(void)
{
    static uint8_t frame[5000];
    struct rig *rig = started();
    struct net_offload good;
    size_t length = burst(frame, RIG_TCP4, 4000, 1000, &good);
    g_autofree uint8_t *kept = g_memdup2(frame, length);
    for (unsigned what = 0; what < 9; what++) {
        struct net_offload offload = good;
        memcpy(frame, kept, length);
        switch (what) {
        case 0:
            offload.gso_size = 0;
            break;
        case 1:
            offload.needs_checksum = false;
            break;
        case 2:
            offload.checksum_start = 0xffff;
            break;
        case 3:
            offload.checksum_offset = 6;
            break;
        case 4:
            offload.gso = NET_GSO_TCPV6;
            break;
        case 5:
            frame[46] = 0x10; /* a TCP header of four bytes */
            break;
        case 6:
            frame[14] = 0x4f; /* an IP header that ends elsewhere */
            break;
        case 7:
            frame[23] = 17; /* UDP */
            break;
        case 8:
            offload.gso_size = 1;
            break;
        }
        g_assert_cmpint(rig_inject_offload(rig, frame, length, &offload), ==, NET_DROPPED);
        g_assert_false(rig_received(rig, &got));
    }
    g_assert_cmpuint(net_port_counters(rig->port)->dropped[NET_DROP_ERROR], ==, 9);
    rig_free(rig);
}

/* ---- room ---- */

static void test_backpressure(void)
{
    struct rig *rig = started();
    uint8_t frame[60];
    rig_packet(frame, RIG_UDP4, 18);
    for (unsigned i = 0; i < RIG_RING_SIZE - 1; i++)
        g_assert_cmpint(rig_inject(rig, frame, 60), ==, NET_SENT);
    g_assert_cmpint(rig_inject(rig, frame, 60), ==, NET_FULL);
    g_assert_cmpint(rig_inject(rig, frame, 60), ==, NET_FULL);
    g_assert_cmpuint(rig_read(rig, E1000_RNBC), ==, 1);
    g_assert_cmpuint(rig_read(rig, E1000_MPC), ==, 0); /* nothing is lost */
    /* what nobody wants does not wait */
    uint8_t other[60] = {0x02};
    g_assert_cmpint(rig_inject(rig, other, 60), ==, NET_DROPPED);
    g_assert_cmpuint(rig->peer_rooms, ==, 0);
    g_assert_true(rig_received(rig, &got));
    rig_give(rig, 1);
    g_assert_cmpuint(rig->peer_rooms, ==, 1);
    g_assert_cmpint(rig_inject(rig, frame, 60), ==, NET_SENT);
    rig_give(rig, 0); /* a write to RDT without anybody waiting */
    g_assert_cmpuint(rig->peer_rooms, ==, 1);
    /* switching the receiver off lets them go, counted; on takes the next at once, without any pause */
    g_assert_cmpint(rig_inject(rig, frame, 60), ==, NET_FULL);
    rig_write(rig, E1000_RCTL, 0);
    g_assert_cmpuint(rig->peer_rooms, ==, 2);
    g_assert_cmpint(rig_inject(rig, frame, 60), ==, NET_DROPPED);
    g_assert_cmpuint(net_port_counters(rig->port)->dropped[NET_DROP_DISABLED], ==, 1);
    control(rig, 0);
    g_assert_true(rig_received(rig, &got));
    rig_give(rig, 1);
    g_assert_cmpint(rig_inject(rig, frame, 60), ==, NET_SENT);
    rig_free(rig);
}

/* A guest at work is asked for by its own driver: when it enables its interrupt, and when it gives more than a
 * few buffers, not when it replaces those of a frame or two with the interrupt masked. */
static void test_polls(void)
{
    struct rig *rig = started();
    uint8_t frame[60];
    rig_packet(frame, RIG_UDP4, 18);
    rig_write(rig, E1000_IMC, 0xffffffff);
    unsigned before = rig->peer_polls;
    for (unsigned round = 0; round < 3 * RIG_RING_SIZE; round++) {
        unsigned some = 1 + round % 3;
        for (unsigned i = 0; i < some; i++) {
            g_assert_cmpint(rig_inject(rig, frame, 60), ==, NET_SENT);
            g_assert_true(rig_received(rig, &got));
        }
        rig_give(rig, some);
    }
    g_assert_cmpuint(rig->peer_polls, ==, before);
    for (unsigned i = 0; i < 8; i++) {
        g_assert_cmpint(rig_inject(rig, frame, 60), ==, NET_SENT);
        g_assert_true(rig_received(rig, &got));
    }
    rig_give(rig, 8);
    g_assert_cmpuint(rig->peer_polls, ==, before + 1);
    rig_read(rig, E1000_ICR);
    rig_write(rig, E1000_IMS, E1000_INT_LSC);
    g_assert_cmpuint(rig->peer_polls, ==, before + 1);
    rig_write(rig, E1000_IMS, E1000_INT_RXT0);
    g_assert_cmpuint(rig->peer_polls, ==, before + 2);
    /* a driver that does not mask it is asked for each time */
    rig_give(rig, 0);
    g_assert_cmpuint(rig->peer_polls, ==, before + 3);
    rig_free(rig);
}

static void test_threshold(void)
{
    static const uint32_t shares[] = {2, 4, 8};
    for (uint32_t rdmts = 0; rdmts < 3; rdmts++) {
        struct rig *rig = started();
        uint8_t frame[60];
        rig_packet(frame, RIG_UDP4, 18);
        control(rig, rdmts << 8);
        unsigned before = RIG_RING_SIZE - 1 - RIG_RING_SIZE / shares[rdmts];
        for (unsigned i = 1; i < RIG_RING_SIZE; i++) {
            rig_inject(rig, frame, 60);
            uint32_t causes = rig_read(rig, E1000_ICR);
            g_assert_cmphex(causes, ==, E1000_INT_RXT0 | (i == before ? E1000_INT_RXDMT0 : 0));
        }
        rig_free(rig);
    }
}

/* ---- pause, statistics ---- */

static void test_pause(void)
{
    struct rig *rig = started();
    uint8_t pause[60] = {0x01, 0x80, 0xc2, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x88, 0x08, 0, 1, 0, 100};
    uint8_t frame[60];
    rig_packet(frame, RIG_UDP4, 18);
    rig_write(rig, E1000_FCAL, 0x00c28001);
    rig_write(rig, E1000_FCAH, 0x0100);
    rig_write(rig, E1000_FCT, 0x8808);
    g_assert_cmpint(rig_inject(rig, pause, 60), ==,
                    NET_DROPPED); /* RFCE is off: a multicast frame like any */
    rig_write(rig, E1000_CTRL, rig_read(rig, E1000_CTRL) | E1000_CTRL_RFCE);
    g_assert_cmpint(rig_inject(rig, pause, 60), ==, NET_SENT);
    g_assert_false(rig_received(rig, &got));
    g_assert_true(rig_read(rig, E1000_STATUS) & E1000_STATUS_TXOFF);
    rig_tx(rig, frame, 60, E1000_TXD_EOP | E1000_TXD_IFCS, 0);
    rig_kick(rig);
    rig_advance(rig, 51199);
    g_assert_cmpuint(rig->frames->len, ==, 0);
    rig_advance(rig, 1); /* 100 × 512 ns */
    g_assert_cmpuint(rig->frames->len, ==, 1);
    g_assert_cmpint(rig_inject(rig, pause, 60), ==, NET_SENT);
    rig_tx(rig, frame, 60, E1000_TXD_EOP | E1000_TXD_IFCS, 0);
    rig_kick(rig);
    pause[17] = 0;
    g_assert_cmpint(rig_inject(rig, pause, 60), ==, NET_SENT); /* XON */
    rig_advance(rig, 1);
    g_assert_cmpuint(rig->frames->len, ==, 2);
    g_assert_cmpuint(rig_read(rig, E1000_XOFFRXC), ==, 2);
    g_assert_cmpuint(rig_read(rig, E1000_XONRXC), ==, 1);
    rig_free(rig);
}

static void test_statistics(void)
{
    struct rig *rig = started();
    uint8_t frame[1600] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
    control(rig, E1000_RCTL_MPE | E1000_RCTL_BAM);
    static const size_t sizes[] = {14, 60, 61, 123, 124, 251, 252, 507, 508, 1019, 1020, 1514};
    uint64_t octets = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        rig_inject(rig, frame, sizes[i]);
        octets += MAX(sizes[i], 60) + 4;
    }
    frame[0] = 0x53;
    rig_inject(rig, frame, 60);
    memset(frame, 0xff, 6);
    rig_inject(rig, frame, 60);
    octets += 128;
    frame[0] = 0;
    rig_inject(rig, frame, 60); /* filtered: only the totals see it */
    static const uint32_t classes[] = {4, 2, 2, 2, 2, 2};
    for (unsigned i = 0; i < 6; i++)
        g_assert_cmpuint(rig_read(rig, E1000_PRC64 + 4 * i), ==, classes[i]);
    g_assert_cmpuint(rig_read(rig, E1000_GPRC), ==, 14);
    g_assert_cmpuint(rig_read(rig, E1000_MPRC), ==, 1);
    g_assert_cmpuint(rig_read(rig, E1000_BPRC), ==, 1);
    g_assert_cmpuint(rig_read(rig, E1000_GORCL), ==, octets);
    g_assert_cmpuint(rig_read(rig, E1000_TPR), ==, 15);
    g_assert_cmpuint(rig_read(rig, E1000_TORL), ==, octets + 64);
    g_assert_cmpuint(rig_read(rig, E1000_TORH), ==, 0);
    g_assert_cmpuint(rig_read(rig, E1000_TORL), ==, 0);
    g_assert_cmpuint(rig_read(rig, E1000_GPRC), ==, 0);
    rig_free(rig);
}

/* ---- hostile rings ---- */

static void test_bad_rings(void)
{
    static uint8_t frame[9000];
    rig_packet(frame, RIG_UDP4, 1000);
    static const uint32_t rings[][3] = {
        {0, 0, 5}, {1024, 64, 5}, {1024, 0xffff, 5}, {1024, 0, 64}, {1024, 0, 0xffff}, {0xfff80, 0, 0xffff},
    };
    struct rig *rig = started();
    control(rig, E1000_RCTL_UPE | E1000_RCTL_LPE | 3u << 16);
    for (unsigned i = 0; i < G_N_ELEMENTS(rings); i++) {
        rig_write(rig, E1000_RDLEN, rings[i][0]);
        rig_write(rig, E1000_RDH, rings[i][1]);
        rig_write(rig, E1000_RDT, rings[i][2]);
        for (unsigned n = 0; n < 300; n++)
            rig_inject(rig, frame, n % 2 ? 1042 : sizeof frame);
        if (rings[i][1] >= rings[i][0] / 16) /* not touched */
            g_assert_cmphex(rig_read(rig, E1000_RDH), ==, rings[i][1]);
        else
            g_assert_cmphex(rig_read(rig, E1000_RDH), <, rings[i][0] / 16);
    }
    /* buffers in the NIC's own registers, in no memory, at the end of the address space */
    rig_start(rig);
    control(rig, E1000_RCTL_UPE | E1000_RCTL_LPE);
    static const uint64_t places[] = {RIG_BAR0, RIG_BAR0 + E1000_TDT - 60, 0xfffffffffffffff0, 0x100000000,
                                      (16 << 20) - 8};
    uint32_t before = rig_read(rig, E1000_TDT);
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        phys_write64(rig->mem, RIG_RX_RING + 16 * i, places[i]);
        g_assert_cmpint(rig_inject(rig, frame, 1042), ==, NET_SENT);
    }
    g_assert_cmphex(rig_read(rig, E1000_TDT), ==, before);
    g_assert_cmpmem(physmap_ram(rig->mem) + (16 << 20) - 8, 8, frame, 8);
    /* the ring itself as a buffer: the write-back comes last */
    phys_write64(rig->mem, RIG_RX_RING + 16 * 5, RIG_RX_RING + 16 * 5);
    g_assert_cmpint(rig_inject(rig, frame, 60), ==, NET_SENT);
    g_assert_cmphex(phys_read8(rig->mem, RIG_RX_RING + 16 * 5 + 12) & 3, ==, 3);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/e1000-rx/filter/unicast", test_unicast_filter);
    g_test_add_func("/e1000-rx/filter/broadcast", test_broadcast_filter);
    g_test_add_func("/e1000-rx/filter/multicast", test_multicast_filter);
    g_test_add_func("/e1000-rx/vlan", test_vlan);
    g_test_add_func("/e1000-rx/buffer-sizes", test_buffer_sizes);
    g_test_add_func("/e1000-rx/lengths", test_lengths);
    g_test_add_func("/e1000-rx/fcs", test_fcs);
    g_test_add_func("/e1000-rx/null-descriptors", test_null_descriptors);
    g_test_add_func("/e1000-rx/checksum/report", test_checksum_report);
    g_test_add_func("/e1000-rx/checksum/packet", test_packet_checksum);
    g_test_add_func("/e1000-rx/checksum/exceptions", test_checksum_exceptions);
    g_test_add_func("/e1000-rx/checksum/needed", test_needs_checksum);
    g_test_add_func("/e1000-rx/burst/cut", test_burst);
    g_test_add_func("/e1000-rx/burst/room", test_burst_and_room);
    g_test_add_func("/e1000-rx/burst/paced", test_burst_paced);
    g_test_add_func("/e1000-rx/burst/routed", test_burst_routed);
    g_test_add_func("/e1000-rx/burst/hostile", test_burst_hostile);
    g_test_add_func("/e1000-rx/backpressure", test_backpressure);
    g_test_add_func("/e1000-rx/polls", test_polls);
    g_test_add_func("/e1000-rx/threshold", test_threshold);
    g_test_add_func("/e1000-rx/pause", test_pause);
    g_test_add_func("/e1000-rx/statistics", test_statistics);
    g_test_add_func("/e1000-rx/bad-rings", test_bad_rings);
    return g_test_run();
}
