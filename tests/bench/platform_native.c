/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * The kernels as a static Linux program: KERNEL ROUNDS (0: the default) → "S", the work, "E checksum" on
 * stdout. Without libc.
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

void platform_main(int argc, char **argv);
void platform_main(int argc, char **argv)
{
    for (unsigned i = 0; argc > 1 && i < kernel_count; i++) {
        if (!equal(kernels[i].name, argv[1]))
            continue;
        uint32_t rounds = 0;
        for (const char *p = argc > 2 ? argv[2] : ""; *p >= '0' && *p <= '9'; p++)
            rounds = rounds * 10 + (uint32_t)(*p - '0');
        print("S\n");
        uint32_t sum = kernels[i].run(rounds ? rounds : kernels[i].rounds);
        print("E ");
        print_hex(sum);
        call(1, 0, 0, 0);
    }
    for (unsigned i = 0; i < kernel_count; i++) {
        print(kernels[i].name);
        print("\t");
        print(kernels[i].what);
        print("\n");
    }
    call(1, 2, 0, 0);
}

__asm__(".globl _start\n_start:\n xor %ebp, %ebp\n mov %esp, %eax\n and $-16, %esp\n sub $8, %esp\n"
        " lea 4(%eax), %ecx\n push %ecx\n push (%eax)\n call platform_main\n");
