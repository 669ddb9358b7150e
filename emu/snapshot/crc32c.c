/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * CRC-32C (Castagnoli, as in RFC 3720, appendix B.4: reflected polynomial 82F63B78), eight bytes a step.
 */
#include "emu/snapshot/stream.h"

#include <string.h>

enum { SLICES = 8 };

static uint32_t table[SLICES][256];

static void make_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (unsigned bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? UINT32_C(0x82f63b78) : 0);
        table[0][i] = value;
    }
    for (unsigned s = 1; s < SLICES; s++)
        for (uint32_t i = 0; i < 256; i++)
            table[s][i] = table[s - 1][i] >> 8 ^ table[0][table[s - 1][i] & 0xff];
}

uint32_t stream_crc(uint32_t crc, const void *data, size_t len)
{
    static gsize made;
    const uint8_t *p = data;
    if (g_once_init_enter(&made)) {
        make_table();
        g_once_init_leave(&made, 1);
    }
    crc = ~crc;
    for (; len >= 8; len -= 8, p += 8) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + 4, 4);
        low ^= crc;
        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^ table[5][low >> 16 & 0xff] ^
              table[4][low >> 24] ^ table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^
              table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
    }
    for (; len; len--, p++)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
    return ~crc;
}
