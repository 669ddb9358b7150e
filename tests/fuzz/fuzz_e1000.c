/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A guest and a network that mean harm, against the e1000: the input is a list of operations (register and
 * configuration writes, descriptors, guest memory, incoming frames with offload fields, time, a peer that is
 * full, the cable, saved state). Nothing may crash, hang or touch memory that is not the guest's; the
 * sanitizers judge.
 *
 * With clang and -DNETLAB_FUZZ=ON this is a libFuzzer target. Otherwise it is an ordinary test: it runs the
 * files named on its command line (the corpus, and what fuzzing once found) and inputs made by a random
 * generator with a fixed seed: FUZZ_ROUNDS of them, 2000 unless the environment says otherwise.
 */
#include "emu/dev/e1000_internal.h"
#include "tests/dev/e1000_rig.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_OPERATIONS = 300, MOST_FRAMES = 3000 };

struct input {
    const uint8_t *data;
    size_t left;
};

static uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes && in->left; i++, in->data++, in->left--)
        value |= (uint32_t)*in->data << 8 * i;
    return value;
}

static size_t take_bytes(struct input *in, uint8_t *to, size_t most)
{
    size_t wanted = take(in, 2) % (most + 1), n = MIN(wanted, in->left);
    memcpy(to, in->data, n);
    in->data += n;
    in->left -= n;
    return n;
}

/* Offsets worth hitting more often than chance would. */
static const uint32_t favourites[] = {
    E1000_CTRL,   E1000_EECD, E1000_EERD,   E1000_MDIC,     E1000_ICR,   E1000_ITR,   E1000_ICS,  E1000_IMS,
    E1000_IMC,    E1000_RCTL, E1000_TCTL,   E1000_RDBAL,    E1000_RDBAH, E1000_RDLEN, E1000_RDH,  E1000_RDT,
    E1000_RDTR,   E1000_RADV, E1000_RSRPD,  E1000_TDBAL,    E1000_TDBAH, E1000_TDLEN, E1000_TDH,  E1000_TDT,
    E1000_TIDV,   E1000_TADV, E1000_TXDCTL, E1000_RXCSUM,   E1000_VET,   E1000_FCAL,  E1000_FCAH, E1000_RA,
    E1000_RA + 4, E1000_MTA,  E1000_VFTA,   E1000_CTRL_EXT,
};

static uint32_t take_register(struct input *in)
{
    uint32_t n = take(in, 1);
    return n < 0xe0 ? favourites[n % G_N_ELEMENTS(favourites)] : take(in, 3) % E1000_BAR_SIZE & ~3u;
}

/* A transmit descriptor at the tail: any bits, or one that makes sense with any address and length. */
static void transmit(struct rig *rig, struct input *in)
{
    static const uint32_t kinds[] = {
        E1000_TXD_EOP | E1000_TXD_IFCS | E1000_TXD_RS,
        E1000_TXD_DEXT | 1u << 20 | E1000_TXD_IFCS,
        E1000_TXD_DEXT | 1u << 20 | E1000_TXD_IFCS | E1000_TXD_EOP | E1000_TXD_TSE,
        E1000_TXD_DEXT | E1000_TXD_TSE | E1000_TXC_IP | E1000_TXC_TCP,
    };
    uint32_t flags = take(in, 1);
    uint32_t lower = flags & 0x80 ? take(in, 4) : kinds[flags & 3] | (take(in, 2) & 0x3fff);
    uint32_t address = flags & 0x40 ? take(in, 4) : RIG_TX_BUFFERS;
    uint32_t high = flags & 0x20 ? take(in, 4) : flags & 0x40 ? 0 : take(in, 2);
    if (!(flags & 0x60) && (flags & 3) != 3)
        high = 0;
    rig_tx_raw(rig, address, high, lower, take(in, 4));
    if (flags & 0x10)
        rig_kick(rig);
}

/* A context and a packet that fit, then bent in one place. */
static void transmit_packet(struct rig *rig, struct input *in)
{
    static uint8_t frame[70000];
    int kind = 1 + (int)(take(in, 1) & 3);
    size_t length = rig_packet(frame, kind, take(in, 2) % 5000);
    bool v6 = kind == RIG_TCP6 || kind == RIG_UDP6, tcp = kind == RIG_TCP4 || kind == RIG_TCP6;
    uint32_t l4 = (uint32_t)rig_l4(kind), field = l4 + (uint32_t)rig_l4_field(kind);
    uint32_t context[4] = {14 | 24u << 8, l4 | field << 8,
                           (uint32_t)(length - rig_headers(kind)) | E1000_TXD_DEXT | E1000_TXD_TSE |
                               (v6 ? 0 : E1000_TXC_IP) | (tcp ? E1000_TXC_TCP : 0),
                           (uint32_t)rig_headers(kind) << 8 | (take(in, 2) % 2000) << 16};
    ((uint8_t *)context)[take(in, 1) & 15] ^= (uint8_t)take(in, 1);
    frame[take(in, 2) % 80] ^= (uint8_t)take(in, 1);
    rig_tx_raw(rig, context[0], context[1], context[2], context[3]);
    if (rig->tx_buffer > RIG_RX_BUFFERS - 0x10000)
        rig->tx_buffer = RIG_TX_BUFFERS;
    rig_tx(rig, frame, length,
           E1000_TXD_DEXT | 1u << 20 | E1000_TXD_TSE | E1000_TXD_IFCS | E1000_TXD_EOP | E1000_TXD_RS,
           E1000_TXD_IXSM | E1000_TXD_TXSM);
    rig_kick(rig);
}

static void inject(struct rig *rig, struct input *in)
{
    static uint8_t frame[NET_FRAME_MAX + 1];
    uint32_t flags = take(in, 1);
    struct net_offload offload = {0};
    size_t length;
    if (flags & 1) {
        int kind = 1 + (int)(take(in, 1) & 3);
        length = rig_packet(frame, kind, take(in, 2) % 30000);
        offload.checksum_start = (uint16_t)rig_l4(kind);
        offload.checksum_offset = (uint16_t)rig_l4_field(kind);
        offload.gso = kind == RIG_TCP4 ? NET_GSO_TCPV4 : kind == RIG_TCP6 ? NET_GSO_TCPV6 : NET_GSO_UDP;
        offload.gso_size = (uint16_t)take(in, 2);
        offload.needs_checksum = true;
        frame[take(in, 2) % 80] ^= (uint8_t)take(in, 1);
    } else {
        length = take_bytes(in, frame, 2000);
        if (flags & 2)
            memcpy(frame, "\x52\x54\x00\x12\x34\x56", 6);
        length = MAX(length, 14);
    }
    if (flags & 4) {
        offload.needs_checksum = flags & 8;
        offload.checksum_good = flags & 16;
        offload.checksum_start = (uint16_t)take(in, 2);
        offload.checksum_offset = (uint16_t)take(in, 1);
        offload.gso = (int)(take(in, 1) & 3);
        offload.gso_size = (uint16_t)take(in, 2);
    }
    rig_inject_offload(rig, frame, length, &offload);
}

static void round_trip(struct rig *rig, struct input *in)
{
    g_autoptr(GByteArray) saved = g_byte_array_new();
    state_save(e1000_class.state, "net0", rig->nic, saved);
    for (uint32_t n = take(in, 1) & 7; n; n--) {
        uint32_t at = take(in, 2) % saved->len;
        saved->data[at] ^= (uint8_t)take(in, 1);
    }
    size_t pos = 0;
    state_load(e1000_class.state, "net0", rig->nic, saved->data, saved->len, &pos, NULL);
}

static void operate(struct rig *rig, struct input *in)
{
    static uint8_t bytes[256];
    uint32_t where;
    switch (take(in, 1) % 16) {
    case 0:
    case 1:
    case 2:
        where = take_register(in);
        rig_write(rig, where, take(in, 4));
        return;
    case 3:
        rig_read(rig, take_register(in));
        return;
    case 4:
    case 5:
        transmit(rig, in);
        return;
    case 6:
        transmit_packet(rig, in);
        return;
    case 7:
    case 8:
    case 9:
        inject(rig, in);
        return;
    case 10:
        rig_advance(rig, (int64_t)(take(in, 3) % 2000000));
        return;
    case 11: /* memory: the rings, mostly */
        where = take(in, 1) & 1 ? RIG_TX_RING : RIG_RX_RING;
        where += take(in, 2) % 2048;
        size_t n = take_bytes(in, bytes, sizeof bytes);
        phys_write(rig->mem, where, bytes, n);
        return;
    case 12:
        where = take(in, 1);
        rig->peer_takes = MIN((int)where, rig->peer_takes);
        if (rig->peer_takes > 128)
            net_room(rig->peer);
        return;
    case 13:
        where = take(in, 1) & 0xfc;
        if (where >= PCI_BAR0 && where < PCI_BAR0 + 8)
            return; /* the windows stay where we look for them */
        pci_config_write(rig->bus, rig->devfn, (uint8_t)where, take(in, 4), 4);
        if (take(in, 1) & 1)
            rig_map(rig);
        return;
    case 14:
        if (take(in, 1) & 1)
            net_set_link(rig->peer, take(in, 1) & 1);
        else
            rig_give(rig, take(in, 1) % rig->rx_size);
        return;
    case 15:
        if (take(in, 1) & 1) {
            round_trip(rig, in);
        } else {
            portio_write(rig->io, RIG_BAR1, take_register(in), 4);
            portio_write(rig->io, RIG_BAR1 + 4, take(in, 4), 4);
        }
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.data = data, .left = size};
    uint32_t first = take(&in, 1);
    struct rig *rig = rig_new(first & 1 ? NET_CAN_CHECKSUM | NET_CAN_TSO4 | NET_CAN_TSO6 : first & 2);
    rig->peer_forgets = true;
    rig->peer_takes = MOST_FRAMES; /* in all: the rest of an endless ring stays where it is */
    if (first & 4)
        rig_start(rig);
    for (unsigned n = 0; n < MOST_OPERATIONS && in.left; n++)
        operate(rig, &in);
    rig_free(rig);
    return 0;
}

#ifndef NETLAB_LIBFUZZER
static void run_file(const char *path)
{
    g_autofree char *data = NULL;
    gsize length;
    g_autoptr(GError) error = NULL;
    if (!g_file_get_contents(path, &data, &length, &error)) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
    LLVMFuzzerTestOneInput((const uint8_t *)data, length);
}

int main(int argc, char **argv)
{
    unsigned files = 0;
    for (int i = 1; i < argc; i++) {
        g_autoptr(GDir) folder = g_dir_open(argv[i], 0, NULL);
        if (!folder) {
            run_file(argv[i]);
            files++;
            continue;
        }
        for (const char *name; (name = g_dir_read_name(folder)); files++) {
            g_autofree char *path = g_build_filename(argv[i], name, NULL);
            run_file(path);
        }
    }
    const char *wanted = getenv("FUZZ_ROUNDS");
    unsigned rounds = wanted ? (unsigned)strtoul(wanted, NULL, 0) : 2000;
    GRand *random = g_rand_new_with_seed(0x8086100e);
    static uint8_t data[4096];
    for (unsigned round = 0; round < rounds; round++) {
        size_t size = (size_t)g_rand_int_range(random, 1, sizeof data);
        for (size_t i = 0; i < size; i += 4) {
            uint32_t word = g_rand_int(random);
            memcpy(data + i, &word, 4);
        }
        data[0] |= round % 4 ? 4 : 0; /* mostly with the rings running */
        LLVMFuzzerTestOneInput(data, size);
    }
    g_rand_free(random);
    printf("%u files and %u made-up inputs\n", files, rounds);
    return 0;
}
#endif
