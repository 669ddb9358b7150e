/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Guest programs for bench-cpu: small loops, each of another kind, in one flat 32-bit image linked at 1 MiB.
 *
 * kernel_entry gets the kernel's number in EAX and the rounds in EDX, leaves a checksum in EAX and halts. The same
 * source compiled for the host gives the native figures.
 */
#include <stdint.h>

static uint32_t xorshift(uint32_t rounds)
{
    uint32_t x = 2463534242u;

    while (rounds--) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
    }
    return x;
}

static uint32_t crc_table[256];
static uint8_t buffer[65536];

static uint32_t crc(uint32_t rounds)
{
    uint32_t c = ~0u;

    for (uint32_t i = 0; i < 256; i++) {
        crc_table[i] = i;
        for (int k = 0; k < 8; k++)
            crc_table[i] = crc_table[i] & 1 ? crc_table[i] >> 1 ^ 0xedb88320 : crc_table[i] >> 1;
    }
    for (uint32_t i = 0; i < rounds; i++)
        c = c >> 8 ^ crc_table[(c ^ buffer[i & 0xffff]) & 0xff];
    return ~c;
}

__attribute__((noinline)) static uint32_t fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint32_t calls(uint32_t rounds)
{
    uint32_t sum = 0;

    while (rounds--)
        sum += fib(18);
    return sum;
}

static uint32_t sieve(uint32_t rounds)
{
    uint32_t count = 0;

    while (rounds--) {
        count = 0;
        for (uint32_t i = 0; i < sizeof(buffer); i++)
            buffer[i] = 1;
        for (uint32_t i = 2; i < sizeof(buffer); i++) {
            if (!buffer[i])
                continue;
            count++;
            for (uint32_t k = i + i; k < sizeof(buffer); k += i)
                buffer[k] = 0;
        }
    }
    return count;
}

static uint32_t words[8192];

static int by_value(const uint32_t *a, const uint32_t *b)
{
    return *a < *b ? -1 : *a > *b;
}

__attribute__((noinline)) static void quicksort(uint32_t *v, int lo, int hi,
                                                int (*compare)(const uint32_t *, const uint32_t *))
{
    while (lo < hi) {
        uint32_t pivot = v[(lo + hi) / 2];
        int i = lo, j = hi;

        while (i <= j) {
            while (compare(&v[i], &pivot) < 0)
                i++;
            while (compare(&v[j], &pivot) > 0)
                j--;
            if (i <= j) {
                uint32_t t = v[i];

                v[i++] = v[j];
                v[j--] = t;
            }
        }
        quicksort(v, lo, j, compare);
        lo = i;
    }
}

static uint32_t sort(uint32_t rounds)
{
    uint32_t x = 1;

    while (rounds--) {
        for (uint32_t i = 0; i < 8192; i++)
            words[i] = x = x * 1664525 + 1013904223;
        quicksort(words, 0, 8191, by_value);
    }
    return words[100];
}

static uint32_t copy(uint32_t rounds)
{
    uint32_t *from = words, *to = (uint32_t *)buffer, sum = 0;

    while (rounds--) {
        for (uint32_t i = 0; i < 8192; i++) {
            __asm__ volatile("" : : : "memory"); /* a loop, not memcpy() */
            to[i] = from[i];
        }
        sum += to[rounds & 8191];
    }
    return sum;
}

static uint32_t rep_movs(uint32_t rounds)
{
    while (rounds--) {
        void *to = buffer;
        const void *from = words;
        uint32_t n = 8192;

        __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    }
    return buffer[77];
}

/* A little stack machine: the unpredictable indirect jump. */
static uint32_t interpreter(uint32_t rounds)
{
    static const uint8_t program[] = {0, 5, 1, 3, 2, 0, 7, 1, 4, 3, 5, 6};
    uint32_t acc = 1, aux = 2;

    while (rounds--) {
        const uint8_t *pc = program;

        for (;;) {
            switch (*pc++) {
            case 0:
                acc += *pc++;
                continue;
            case 1:
                aux ^= acc;
                continue;
            case 2:
                acc = acc << 3 | acc >> 29;
                continue;
            case 3:
                acc -= aux;
                continue;
            case 4:
                acc *= 5;
                continue;
            case 5:
                aux += 3;
                continue;
            default:
                break;
            }
            break;
        }
    }
    return acc ^ aux;
}

static uint32_t matmul(uint32_t rounds)
{
    static double a[16][16], b[16][16], c[16][16];

    for (uint32_t i = 0; i < 16; i++)
        for (uint32_t k = 0; k < 16; k++) {
            a[i][k] = i + k;
            b[i][k] = (double)i - k;
        }
    while (rounds--)
        for (uint32_t i = 0; i < 16; i++)
            for (uint32_t k = 0; k < 16; k++) {
                double sum = 0;

                for (uint32_t m = 0; m < 16; m++)
                    sum += a[i][m] * b[m][k];
                c[i][k] = sum;
            }
    return (uint32_t)(int32_t)c[3][4];
}

uint32_t kernel_run(uint32_t number, uint32_t rounds);
uint32_t kernel_run(uint32_t number, uint32_t rounds)
{
    switch (number) {
    case 0:
        return xorshift(rounds);
    case 1:
        return crc(rounds);
    case 2:
        return calls(rounds);
    case 3:
        return sieve(rounds);
    case 4:
        return sort(rounds);
    case 5:
        return copy(rounds);
    case 6:
        return rep_movs(rounds);
    case 7:
        return interpreter(rounds);
    case 8:
        return matmul(rounds);
    default:
        return 0;
    }
}

#ifdef GUEST
__asm__(".section .entry,\"ax\"\n.globl kernel_entry\nkernel_entry:\n"
        "pushl %edx\n\tpushl %eax\n\tcall kernel_run\n\tcli\n\thlt\n\t.text\n");
#endif
