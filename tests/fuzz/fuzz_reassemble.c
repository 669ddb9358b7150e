/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes the reassembly of IPv4 fragments: a series of fragments of four packets, with time passing. Five
 * bytes make one: packet and what is wrong with it, flags and offset, length, time. What comes out must be
 * one whole packet: no fragment, of the length it says, with a right checksum.
 */
#include "emu/net/frame.h"
#include "emu/net/reassemble.h"

#include "tests/fuzz/fuzz_main.h"

#include <string.h>

enum { RECORD = 5, NS = 1000000000 };

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void check_whole(const uint8_t *frame, size_t length)
{
    const uint8_t *ip = frame + 14;
    size_t header = (size_t)(ip[0] & 15) * 4;
    g_assert_cmpuint(length, >, 14 + header);
    g_assert_cmpuint(length, ==, 14 + ((size_t)ip[2] << 8 | ip[3]));
    g_assert_cmpuint(((unsigned)ip[6] << 8 | ip[7]) & ~0x4000u, ==, 0);
    g_assert_cmphex(net_checksum_bytes(ip, header, 0), ==, 0xffff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net_reassembly *r = net_reassembly_new();
    int64_t now = 0;
    for (size_t at = 0; at + RECORD <= size; at += RECORD) {
        uint8_t stack[14 + 60 + 256 * 8] = {0};
        const uint8_t *record = data + at;
        size_t header = 20 + (record[0] >> 2 & 1) * 40u, payload = record[3] * 8u + (record[0] >> 3 & 1);
        size_t length = 14 + header + payload;
        uint8_t *ip = stack + 14;
        stack[12] = 8;
        ip[0] = (uint8_t)(0x40 | header / 4);
        put16(ip + 2, (unsigned)(header + payload));
        ip[5] = record[0] & 3;
        put16(ip + 6, ((unsigned)record[1] << 8 | record[2]) & (record[0] & 0x10 ? 0xffff : 0x203f));
        ip[9] = 17;
        if (record[0] & 0x20)
            ip[record[4] % 20] ^= (uint8_t)(1 + record[3]);
        if ((record[0] & 0xe0) != 0x60)
            put16(ip + 10, 0), put16(ip + 10, (uint16_t)~net_checksum_bytes(ip, header, 0));
        if ((record[0] & 0xc0) == 0xc0)
            length = MIN(length, record[4]);
        if (length < NET_FRAME_MIN)
            continue;
        now += (int64_t)(record[4] & 15) * NS;
        g_autofree uint8_t *frame =
            g_memdup2(stack, length); /* exactly as long, so that readers beyond are seen */
        const uint8_t *whole = net_reassemble(r, frame, &length, now);
        if (whole && whole != frame)
            check_whole(whole, length);
    }
    net_reassembly_free(r);
    return 0;
}

FUZZ_MAIN(2000, 400)
