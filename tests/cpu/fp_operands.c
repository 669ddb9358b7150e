/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See fp_operands.h. The generator is splitmix64: any seed will do, and the sequences of neighbouring seeds
 * have nothing in common.
 */
#include "tests/cpu/fp_operands.h"

#include <string.h>

/* ---- random numbers: splitmix64 ---- */
uint64_t fp_random_state;
uint64_t random64(void)
{
    uint64_t z = (fp_random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
unsigned random_below(unsigned n)
{
    return (unsigned)(random64() >> 33) % n;
}
bool chance(unsigned percent)
{
    return random_below(100) < percent;
}

/* ---- operands ---- */
uint64_t special_significand(unsigned bits) /* right-justified */
{
    uint64_t all = bits == 64 ? ~(uint64_t)0 : ((uint64_t)1 << bits) - 1;
    uint64_t one = (uint64_t)1 << random_below(bits);
    switch (random_below(10)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return all;
    case 3:
        return (uint64_t)1 << (bits - 1);
    case 4:
        return one;
    case 5:
        return (one - 1) & all;
    case 6:
        return (all - one + 1) & all;
    case 7: /* halfway and near halfway of a shorter format */
        return (random64() << 40 | (uint64_t)1 << 39 | random_below(3)) & all;
    case 8:
        return (random64() << 11 | (uint64_t)1 << 10 | random_below(3)) & all;
    default:
        return random64() & all;
    }
}
uint32_t random_f32(void)
{
    static const uint32_t list[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
                                    0x7fc00000, 0xffc00000, 0x7f800001, 0xffbfffff, 0x00000001, 0x807fffff,
                                    0x00800000, 0x00800001, 0x7f7fffff, 0xff7fffff, 0x4f000000, 0xcf000000,
                                    0x4effffff, 0x3f000000, 0x3fc00000, 0x40200000, 0x4b800000, 0x33800000};
    switch (random_below(5)) {
    case 0:
        return list[random_below(sizeof list / sizeof *list)];
    case 1:
        return (uint32_t)random64();
    case 2: /* close to one, so that sums and products stay in range */
        return (uint32_t)(random_below(2) << 31 | (127 + random_below(48) - 24) << 23 |
                          special_significand(23));
    case 3: /* at the edges of the range */
        return (uint32_t)(random_below(2) << 31 |
                          (chance(50) ? random_below(28) : 254 - random_below(28)) << 23 |
                          special_significand(23));
    default:
        return (uint32_t)(random_below(2) << 31 | random_below(256) << 23 | special_significand(23));
    }
}
uint64_t random_f64(void)
{
    static const uint64_t list[] = {0,
                                    0x8000000000000000,
                                    0x3ff0000000000000,
                                    0xbff0000000000000,
                                    0x7ff0000000000000,
                                    0xfff0000000000000,
                                    0x7ff8000000000000,
                                    0xfff8000000000000,
                                    0x7ff0000000000001,
                                    0xfff7ffffffffffff,
                                    1,
                                    0x800fffffffffffff,
                                    0x0010000000000000,
                                    0x7fefffffffffffff,
                                    0xffefffffffffffff,
                                    0x41dfffffffc00000,
                                    0x41e0000000000000,
                                    0xc1e0000000000000,
                                    0xc1e0000000100000,
                                    0x3fe0000000000000,
                                    0x47efffffe0000000, /* FLT_MAX */
                                    0x47effffff0000000, /* halfway above it */
                                    0x3810000000000000, /* FLT_MIN */
                                    0x380fffffffffffff,
                                    0x36a0000000000000};
    uint64_t sign = (uint64_t)random_below(2) << 63;
    switch (random_below(6)) {
    case 0:
        return list[random_below(sizeof list / sizeof *list)];
    case 1:
        return random64();
    case 2:
        return sign | (uint64_t)(1023 + random_below(70) - 35) << 52 | special_significand(52);
    case 3:
        return sign | (uint64_t)(chance(50) ? random_below(60) : 2046 - random_below(60)) << 52 |
               special_significand(52);
    case 4: /* where floats overflow and underflow */
        return sign |
               (uint64_t)(chance(50) ? 1023 + 120 + random_below(12) : 1023 - 155 + random_below(34)) << 52 |
               special_significand(52);
    default:
        return sign | (uint64_t)random_below(2048) << 52 | special_significand(52);
    }
}
union fpu_reg random_f80(void)
{
    union fpu_reg r = {.significand = 0};
    unsigned sign = random_below(2) << 15;
    uint64_t one = (uint64_t)1 << 63;
    unsigned exponent;
    r.significand = special_significand(64);
    switch (random_below(14)) {
    case 0: /* zero */
        r.significand = 0;
        exponent = 0;
        break;
    case 1: /* denormal, pseudo-denormal */
        exponent = 0;
        break;
    case 2: /* infinity */
        r.significand = one;
        exponent = 0x7fff;
        break;
    case 3: /* quiet, signalling, pseudo-NaN, pseudo-infinity */
        exponent = 0x7fff;
        break;
    case 4:
        r.significand |= one;
        exponent = 0x7fff;
        break;
    case 5: /* anything, unnormals too */
        exponent = random_below(0x8000);
        break;
    case 6: /* small integers and halves */
        r.significand = (uint64_t)(random_below(4096) | 1) << 52;
        exponent = 0x3fff + 11;
        while (!(r.significand & one)) {
            r.significand <<= 1;
            exponent--;
        }
        exponent -= random_below(3);
        break;
    case 7: /* edges of the range */
        r.significand |= one;
        exponent = chance(50) ? 1 + random_below(70) : 0x7ffe - random_below(70);
        break;
    case 8: /* where doubles and floats overflow and underflow */
        r.significand |= one;
        exponent = 0x3fff + (chance(50) ? 1 : -1) * (int)((chance(50) ? 126 : 1020) + random_below(30));
        break;
    case 9: /* where integers overflow */
        r.significand |= one;
        exponent = 0x3fff + random_below(68);
        break;
    case 10: /* below one, for F2XM1 and its like */
        r.significand |= one;
        exponent = 0x3fff - 1 - random_below(70);
        break;
    default:
        r.significand |= one;
        exponent = 0x3fff + random_below(80) - 40;
        break;
    }
    r.sign_exponent = (uint16_t)(sign | exponent);
    return r;
}
union xmm random_xmm(void)
{
    union xmm x;
    switch (random_below(3)) {
    case 0:
        for (unsigned i = 0; i < 4; i++)
            x.u32[i] = random_f32();
        break;
    case 1:
        for (unsigned i = 0; i < 2; i++)
            x.u64[i] = random_f64();
        break;
    default:
        for (unsigned i = 0; i < 16; i++)
            x.u8[i] = chance(30) ? 0 : chance(30) ? 0xff : chance(20) ? 0x80 : (uint8_t)random64();
        break;
    }
    return x;
}
uint16_t random_fcw(void)
{
    unsigned masks = chance(55) ? 0x3f : chance(20) ? 0 : random_below(64);
    unsigned precision = chance(95) ? (chance(60) ? 3 : random_below(2) * 2) : 1;
    unsigned rounding = chance(40) ? 0 : random_below(4);
    return (uint16_t)(masks | 0x40 | precision << 8 | rounding << 10 | (unsigned)chance(5) << 12);
}
void random_bcd(uint8_t *p)
{
    for (unsigned i = 0; i < 9; i++)
        p[i] = (uint8_t)(random_below(10) | random_below(10) << 4);
    if (chance(30))
        memset(p + random_below(9), 0, 1 + random_below(1));
    if (chance(20))
        memset(p, 0x99, 9);
    p[9] = (uint8_t)(random_below(2) << 7);
}
