/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * The kernels as a static Linux program without libc: prints "R", then obeys lines KERNEL ROUNDS → "S", the
 * work, "E checksum", as platform_bare.c does.
 */
#include "kernels.h"

static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

static unsigned length(const char *s)
{
    unsigned n = 0;
    while (s[n])
        n++;
    return n;
}

static void print(const char *s)
{
    call(4, 1, (long)s, (long)length(s));
}

static int equal(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static void print_hex(uint32_t v)
{
    char text[10];
    for (int i = 0; i < 8; i++)
        text[i] = "0123456789abcdef"[v >> (28 - 4 * i) & 15];
    text[8] = '\n';
    text[9] = 0;
    print(text);
}

/* One read is one line: the other side waits for the answer before it sends the next. */
static void obey(char *line, unsigned size)
{
    char *digits = line;
    uint32_t rounds = 0;
    line[size] = 0;
    while (*digits && *digits != ' ')
        digits++;
    if (*digits)
        *digits++ = 0;
    for (; *digits >= '0' && *digits <= '9'; digits++)
        rounds = rounds * 10 + (uint32_t)(*digits - '0');
    for (unsigned i = 0; i < kernel_count; i++) {
        if (!equal(kernels[i].name, line))
            continue;
        if (kernels[i].prepare)
            kernels[i].prepare();
        print("S\n");
        uint32_t sum = kernels[i].run(rounds);
        print("E ");
        print_hex(sum);
        return;
    }
    print("? no such kernel\n");
}

void platform_main(void);
void platform_main(void)
{
    char line[128];
    long size;
    print("R\n");
    while ((size = call(3, 0, (long)line, sizeof line - 1)) > 0)
        obey(line, (unsigned)size);
    call(1, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n xor %ebp, %ebp\n and $-16, %esp\n call platform_main\n");
