/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * The kernels themselves. Compiled with -m32 -O2 -ffreestanding, once for all that runs under an emulator;
 * bench_cpu.c also compiles them for the host.
 */
#include "kernels.h"

#include <stddef.h>

/* Where copies go: not a power of two away, so that nobody's caches collide by construction. */
enum { FAR = (8 << 20) + 0x55000 };

#define NOINLINE __attribute__((noinline, noclone))

uint8_t arena[ARENA_SIZE] __attribute__((aligned(4096)));

/* Three dependent shifts and xors: nothing but the ALU. */
static uint32_t alu(uint32_t rounds)
{
    uint32_t x = 2463534242u, sum = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        sum += x;
    }
    return sum;
}

static void crc_prepare(void)
{
    uint32_t *table = (uint32_t *)arena;
    uint8_t *data = arena + 4096;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
        table[i] = c;
    }
    for (uint32_t i = 0; i < 65536; i++)
        data[i] = (uint8_t)(i * 7 + (i >> 8));
}

static uint32_t crc(uint32_t rounds)
{
    uint32_t *table = (uint32_t *)arena, c = ~0u;
    uint8_t *data = arena + 4096;
    for (uint32_t r = 0; r < rounds; r++)
        for (uint32_t i = 0; i < 65536; i++)
            c = table[(c ^ data[i]) & 0xff] ^ c >> 8;
    return ~c;
}

static uint32_t sieve(uint32_t rounds)
{
    enum { N = 1 << 20 };
    uint32_t count = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        count = 0;
        for (uint32_t i = 0; i < N; i++)
            arena[i] = 1;
        for (uint32_t i = 2; i < N; i++) {
            if (!arena[i])
                continue;
            count++;
            for (uint32_t k = i * 2; k < N; k += i)
                arena[k] = 0;
        }
    }
    return count;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static int (*volatile compare)(const void *, const void *) = ascending;

static NOINLINE void quicksort(uint32_t *a, int low, int high, int (*less)(const void *, const void *))
{
    while (low < high) {
        uint32_t pivot = a[(low + high) / 2];
        int i = low, j = high;
        while (i <= j) {
            while (less(&a[i], &pivot) < 0)
                i++;
            while (less(&a[j], &pivot) > 0)
                j--;
            if (i <= j) {
                uint32_t t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        if (j - low < high - i) {
            quicksort(a, low, j, less);
            low = i;
        } else {
            quicksort(a, i, high, less);
            high = j;
        }
    }
}

static uint32_t sort(uint32_t rounds)
{
    enum { N = 50000 };
    uint32_t *a = (uint32_t *)arena, sum = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        uint32_t x = 12345 + r;
        for (int i = 0; i < N; i++)
            a[i] = x = x * 1664525 + 1013904223;
        quicksort(a, 0, N - 1, compare);
        sum += a[N / 2];
    }
    return sum;
}

static NOINLINE uint32_t fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint32_t calls(uint32_t rounds)
{
    uint32_t sum = 0;
    for (uint32_t r = 0; r < rounds; r++)
        sum += fib(24);
    return sum;
}

/* A little stack machine with computed goto: indirect branches, badly predictable. */
static uint32_t machine(uint32_t rounds)
{
    enum { PUSH, ADD, XOR, ROL, DUP, SWAP, LOOP, END };
    static const void *const go[] = {&&push, &&add, &&mix, &&rol, &&dup, &&swap, &&loop, &&end};
    static const uint8_t code[] = {PUSH, DUP, ADD,  SWAP, XOR,  ROL, DUP,  XOR, PUSH,
                                   ADD,  ROL, SWAP, ADD,  PUSH, XOR, LOOP, END};
    uint32_t stack[16] = {1, 2, 3, 4, 5, 6, 7, 8}, sp = 8, left = rounds, k = 0x9e3779b9;
    const uint8_t *pc = code;
#define NEXT goto *go[*pc++]
    NEXT;
push:
    stack[sp = (sp + 1) & 15] = k += 0x61c88647;
    NEXT;
add:
    stack[(sp - 1) & 15] += stack[sp];
    sp = (sp - 1) & 15;
    NEXT;
mix:
    stack[(sp - 1) & 15] ^= stack[sp];
    sp = (sp - 1) & 15;
    NEXT;
rol:
    stack[sp] = stack[sp] << 7 | stack[sp] >> 25;
    NEXT;
dup:
    k = stack[sp];
    sp = (sp + 1) & 15;
    stack[sp] = k;
    NEXT;
swap:
    k = stack[sp];
    stack[sp] = stack[(sp - 1) & 15];
    stack[(sp - 1) & 15] = k;
    NEXT;
loop:
    if (--left)
        pc = code;
    NEXT;
end:
#undef NEXT
    for (int i = 0; i < 16; i++)
        k += stack[i];
    return k;
}

/* A random cycle through eight lines of each of 1024 pages: 4 MiB for the TLBs, but only 512 KiB for the
 * caches, so that what other work does to a shared cache does not count. A round is eight times about. */
enum { LINES_OF_PAGE = 8, CHAIN = 1024 * LINES_OF_PAGE };

static uint32_t *chain_place(uint32_t node)
{
    uint32_t page = node / LINES_OF_PAGE, line = (page * 29 + node % LINES_OF_PAGE * 8 + page / 64) % 64;
    return (uint32_t *)(arena + page * 4096 + line * 64);
}

static void chase_prepare(void)
{
    uint32_t *order = (uint32_t *)(arena + FAR), x = 1;
    for (uint32_t i = 0; i < CHAIN; i++)
        order[i] = i;
    for (uint32_t i = CHAIN - 1; i; i--) {
        x = x * 1664525 + 1013904223;
        uint32_t k = (x >> 8) % (i + 1), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
    for (uint32_t i = 0; i < CHAIN; i++)
        *chain_place(order[i]) = (uint32_t)((uint8_t *)chain_place(order[(i + 1) % CHAIN]) - arena);
}

static uint32_t chase(uint32_t rounds)
{
    uint32_t at = 0, sum = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        for (uint32_t i = 0; i < CHAIN * 8 - 1; i++)
            at = *(uint32_t *)(arena + at);
        sum += at;
    }
    return sum;
}

static void copy_prepare(void)
{
    uint32_t *from = (uint32_t *)arena;
    for (uint32_t i = 0; i < 65536; i++)
        from[i] = i * 2654435761u;
}

static uint32_t copy(uint32_t rounds)
{
    uint32_t *from = (uint32_t *)arena, *to = (uint32_t *)(arena + FAR);
    for (uint32_t r = 0; r < rounds; r++) {
        for (uint32_t i = 0; i < 65536; i++) {
            to[i] = from[i];
            __asm__ volatile("" ::: "memory"); /* a loop, not a call of memcpy */
        }
        from[r & 65535]++;
    }
    return to[1] + to[65535] + to[rounds & 1023];
}

static uint32_t rep_movs(uint32_t rounds)
{
    uint8_t *from = arena, *to = arena + FAR;
    for (uint32_t r = 0; r < rounds; r++) {
        void *d = to, *s = from;
        uint32_t n = 65536;
        __asm__ volatile("rep movsl" : "+D"(d), "+S"(s), "+c"(n)::"memory");
        from[r & 65535]++;
    }
    return to[0] + to[1000] + to[262143];
}

static uint32_t rep_stos(uint32_t rounds)
{
    uint32_t sum = 0;
    for (uint32_t r = 0; r < rounds; r++) {
        void *d = arena;
        uint32_t n = 65536;
        __asm__ volatile("rep stosl" : "+D"(d), "+c"(n) : "a"(r) : "memory");
        sum += *(uint32_t *)(arena + 262140);
    }
    return sum;
}

/* 64 bytes at a time, as structures are copied and cleared: what counts is the start of the instruction. */
static uint32_t rep_movs_small(uint32_t rounds)
{
    uint8_t *from = arena, *to = arena + FAR;
    for (uint32_t r = 0; r < rounds; r++)
        for (uint32_t at = 0; at < 65536; at += 64) {
            void *d = to + at, *s = from + at;
            uint32_t n = 16;
            __asm__ volatile("rep movsl" : "+D"(d), "+S"(s), "+c"(n)::"memory");
        }
    return to[0] + to[1000] + to[65535];
}

static uint32_t rep_stos_small(uint32_t rounds)
{
    uint32_t sum = 0;
    for (uint32_t r = 0; r < rounds; r++)
        for (uint32_t at = 0; at < 65536; at += 64) {
            void *d = arena + at;
            uint32_t n = 16;
            __asm__ volatile("rep stosl" : "+D"(d), "+c"(n) : "a"(r + at) : "memory");
            sum += *(uint32_t *)(arena + at + 60);
        }
    return sum;
}

enum { MATRIX = 64 };

/* Two matrices for both kinds of arithmetic; the product goes behind them. */
static void matrix_prepare(void)
{
    double *a = (double *)arena, *b = (double *)(arena + (1 << 20));
    for (int i = 0; i < MATRIX * MATRIX; i++) {
        a[i] = i % 7 + 0.5;
        b[i] = i % 5 - 1.25;
    }
}

__attribute__((target("fpmath=387"))) static uint32_t x87(uint32_t rounds)
{
    double *a = (double *)arena, *b = (double *)(arena + (1 << 20)), *c = (double *)(arena + (2 << 20));
    for (uint32_t r = 0; r < rounds; r++)
        for (int i = 0; i < MATRIX; i++)
            for (int j = 0; j < MATRIX; j++) {
                double sum = 0;
                for (int k = 0; k < MATRIX; k++)
                    sum += a[i * MATRIX + k] * b[k * MATRIX + j];
                c[i * MATRIX + j] = sum;
            }
    return (uint32_t)(int32_t)c[MATRIX + 3];
}

__attribute__((target("sse2,fpmath=sse"))) static uint32_t sse2(uint32_t rounds)
{
    typedef double pair __attribute__((vector_size(16)));
    double *a = (double *)arena;
    pair *b = (pair *)(arena + (1 << 20)), *c = (pair *)(arena + (2 << 20));
    for (uint32_t r = 0; r < rounds; r++)
        for (int i = 0; i < MATRIX; i++)
            for (int j = 0; j < MATRIX / 2; j++) {
                pair sum = {0, 0};
                for (int k = 0; k < MATRIX; k++) {
                    double f = a[i * MATRIX + k];
                    sum += (pair){f, f} * b[k * (MATRIX / 2) + j];
                }
                c[i * (MATRIX / 2) + j] = sum;
            }
    return (uint32_t)(int32_t)((double *)c)[MATRIX + 3];
}

const struct kernel kernels[] = {
    {"alu", "xorshift", NULL, alu, 60000000},
    {"crc", "CRC-32 by table", crc_prepare, crc, 800},
    {"sieve", "sieve of a million bytes", NULL, sieve, 40},
    {"sort", "quicksort, compare through a pointer", NULL, sort, 25},
    {"calls", "recursive fib(24)", NULL, calls, 800},
    {"machine", "computed-goto interpreter", NULL, machine, 5000000},
    {"chase", "pointer chase through 1024 pages", chase_prepare, chase, 400},
    {"copy", "copy loop, 256 KiB", copy_prepare, copy, 6000},
    {"movs", "rep movsl, 256 KiB", copy_prepare, rep_movs, 30000},
    {"stos", "rep stosl, 256 KiB", NULL, rep_stos, 40000},
    {"movs-small", "rep movsl, 64 bytes", copy_prepare, rep_movs_small, 20000},
    {"stos-small", "rep stosl, 64 bytes", NULL, rep_stos_small, 20000},
    {"x87", "64×64 matrix product, x87", matrix_prepare, x87, 500},
    {"sse2", "64×64 matrix product, SSE2", matrix_prepare, sse2, 2000},
};
const unsigned kernel_count = sizeof kernels / sizeof kernels[0];
