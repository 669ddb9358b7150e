/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What a frame costs in the e1000 alone, without guest and without kernel: nanoseconds from the write to TDT
 * to the cable, and from the cable into the ring. Each figure is the best of five runs.
 *
 *     build/release/bin/bench-e1000 [FRAMES]
 */
#include "tests/dev/e1000_rig.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    RUNS = 5,
    BATCH = 16,
    BURST = 60000,
    BURST_MSS = 1448,
    BURST_PIECES = (BURST + BURST_MSS - 1) / BURST_MSS
};

static uint8_t frame[66000];

static struct rig *bench(void)
{
    struct rig *rig = rig_new(NET_CAN_CHECKSUM | NET_CAN_TSO4 | NET_CAN_TSO6);
    rig->peer_forgets = true;
    rig_start(rig);
    for (unsigned i = 0; i < RIG_RING_SIZE; i++)
        phys_write64(rig->mem, RIG_RX_RING + 16 * i, RIG_RX_BUFFERS + i * RIG_RX_STRIDE);
    return rig;
}

static void report(const char *what, size_t length, double best)
{
    printf("%-28s %6zu bytes %9.0f ns\n", what, length, best);
}

static void transmit(size_t length, unsigned frames)
{
    double best = 1e18;
    struct rig *rig = bench();
    phys_write(rig->mem, RIG_TX_BUFFERS, frame, length);
    for (unsigned run = 0; run < RUNS; run++) {
        gint64 start = g_get_monotonic_time();
        for (unsigned n = 0; n < frames; n += BATCH) {
            for (unsigned i = 0; i < BATCH; i++)
                rig_tx_at(rig, RIG_TX_BUFFERS,
                          E1000_TXD_EOP | E1000_TXD_IFCS | E1000_TXD_RS | (uint32_t)length, 0);
            rig_kick(rig);
        }
        best = MIN(best, (double)(g_get_monotonic_time() - start) * 1000 / frames);
    }
    report("transmit", length, best);
    rig_free(rig);
}

static void receive(const char *what, size_t length, const struct net_offload *offload, uint32_t control,
                    unsigned pieces, unsigned frames)
{
    double best = 1e18;
    struct rig *rig = bench();
    rig_write(rig, E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL);
    rig_write(rig, E1000_RCTL, E1000_RCTL_EN | control);
    for (unsigned run = 0; run < RUNS; run++) {
        gint64 start = g_get_monotonic_time();
        for (unsigned n = 0; n < frames; n++) {
            if (rig_inject_offload(rig, frame, length, offload) != NET_SENT) {
                fprintf(stderr, "bench-e1000: the ring is full; this is a bug of the bench\n");
                exit(1);
            }
            rig->rx_tail = (rig->rx_tail + pieces) % RIG_RING_SIZE;
            if (pieces > 1 || n % BATCH == 0)
                rig_write(rig, E1000_RDT, rig->rx_tail);
        }
        best = MIN(best, (double)(g_get_monotonic_time() - start) * 1000 / frames);
    }
    report(what, length, best);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    unsigned frames = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 400000;
    frames = MAX(frames / BATCH, 4) * BATCH;
    static const size_t payloads[] = {0, 1448};
    for (unsigned i = 0; i < G_N_ELEMENTS(payloads); i++) {
        size_t length = rig_packet(frame, RIG_TCP4, payloads[i]);
        transmit(length, frames);
        receive("receive, no FCS", length, NULL, E1000_RCTL_SECRC, 1, frames);
        receive("receive", length, NULL, 0, 1, frames);
        receive("receive, checksum vouched", length, &(struct net_offload){.checksum_good = true}, 0, 1,
                frames);
    }
    struct net_offload offload = {.needs_checksum = true,
                                  .checksum_start = 34,
                                  .checksum_offset = 16,
                                  .gso = NET_GSO_TCPV4,
                                  .gso_size = BURST_MSS,
                                  .header_length = 66};
    size_t length = rig_packet(frame, RIG_TCP4, BURST);
    receive("receive a burst, cut into 42", length, &offload, 0, BURST_PIECES, frames / 40);
    return 0;
}
