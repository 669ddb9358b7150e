/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * The kernels as a multiboot kernel: `-kernel bench.elf -append "ring=3"`. Prints "R" on the first serial
 * port, then obeys lines from it: KERNEL ROUNDS → "S", the work, "E checksum". The port is polled, and only
 * while nothing is timed.
 *
 * Paging is on (4 KiB pages, 64 MiB identity mapped, user accessible), SSE and x87 are on, interrupts are
 * off. ring=3 runs everything with CPL 3 and IOPL 3, so that it can still print.
 */
#include "kernels.h"

#include <stdbool.h>

static uint32_t page_directory[1024] __attribute__((aligned(4096)));
static uint32_t page_tables[16][1024] __attribute__((aligned(4096)));

struct segment_descriptor {
    uint32_t low, high;
};
static struct segment_descriptor gdt[] = {
    {0, 0},
    {0x0000ffff, 0x00cf9a00}, /* 08: code, ring 0 */
    {0x0000ffff, 0x00cf9200}, /* 10: data, ring 0 */
    {0x0000ffff, 0x00cffa00}, /* 18: code, ring 3 */
    {0x0000ffff, 0x00cff200}, /* 20: data, ring 3 */
};

enum { COM1 = 0x3f8, LINE_CONTROL = COM1 + 3, LINE_STATUS = COM1 + 5, RECEIVED = 1, CAN_SEND = 0x20 };

static uint8_t in(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "d"(port));
    return value;
}

static void out(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "d"(port));
}

static void print(const char *s)
{
    for (; *s; s++) {
        while (!(in(LINE_STATUS)&CAN_SEND))
            ;
        out(COM1, (uint8_t)*s);
    }
}

static void read_line(char *line, unsigned size)
{
    for (unsigned n = 0;;) {
        while (!(in(LINE_STATUS)&RECEIVED))
            __asm__ volatile("pause");
        char c = (char)in(COM1);
        line[n] = 0;
        if (c == '\n')
            return;
        if (n + 1 < size)
            line[n++] = c;
    }
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

static const char *word(const char *p, char *out, unsigned size)
{
    unsigned n = 0;
    while (*p == ' ')
        p++;
    while (*p && *p != ' ') {
        if (n + 1 < size)
            out[n++] = *p;
        p++;
    }
    out[n] = 0;
    return p;
}

static int equal(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static void obey(const char *line)
{
    char name[16], digits[16];
    uint32_t rounds = 0;
    line = word(line, name, sizeof name);
    word(line, digits, sizeof digits);
    for (const char *p = digits; *p >= '0' && *p <= '9'; p++)
        rounds = rounds * 10 + (uint32_t)(*p - '0');
    for (unsigned i = 0; i < kernel_count; i++) {
        if (!equal(kernels[i].name, name))
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

static __attribute__((noreturn, force_align_arg_pointer)) void serve(void)
{
    print("R\n");
    for (;;) {
        char line[64];
        read_line(line, sizeof line);
        obey(line);
    }
}

static void prepare(void)
{
    for (uint32_t i = 0; i < 16 * 1024; i++)
        page_tables[i / 1024][i % 1024] = i << 12 | 7;
    for (uint32_t i = 0; i < 16; i++)
        page_directory[i] = (uint32_t)page_tables[i] | 7;
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) pointer = {sizeof gdt - 1, (uint32_t)gdt};
    __asm__ volatile("lgdt %0\n ljmp $8, $1f\n1: mov %1, %%ds\n mov %1, %%es\n mov %1, %%ss\n mov %1, %%fs\n "
                     "mov %1, %%gs\n"
                     :
                     : "m"(pointer), "r"(0x10)
                     : "memory");
    uint32_t cr;
    __asm__ volatile("mov %%cr4, %0\n or $0x600, %0\n mov %0, %%cr4" : "=&r"(cr));
    __asm__ volatile(
        "mov %1, %%cr3\n mov %%cr0, %0\n and $~0xc, %0\n or $0x80010022, %0\n mov %0, %%cr0\n fninit"
        : "=&r"(cr)
        : "r"(page_directory)
        : "memory");
}

void platform_main(uint32_t magic, const uint32_t *info);
void platform_main(uint32_t magic, const uint32_t *info)
{
    const char *line = magic == 0x2badb002 && info[0] & 4 ? (const char *)info[4] : "";
    bool user = false;
    /* QEMU puts the kernel's path in front of the command line. */
    while (*line) {
        char option[64];
        line = word(line, option, sizeof option);
        user |= equal(option, "ring=3");
    }
    prepare();
    out(LINE_CONTROL, 3); /* eight bits */
    if (!user)
        serve();
    __asm__ volatile(
        "mov %%esp, %%eax\n push $0x23\n push %%eax\n push $0x3002\n push $0x1b\n push %0\n"
        " mov $0x23, %%eax\n mov %%eax, %%ds\n mov %%eax, %%es\n mov %%eax, %%fs\n mov %%eax, %%gs\n iret"
        :
        : "r"(serve)
        : "eax", "memory");
    __builtin_unreachable();
}

__asm__(".pushsection .multiboot, \"a\"\n .align 4\n .long 0x1badb002, 0, -0x1badb002\n"
        ".text\n .globl _start\n_start:\n mov $stack_top, %esp\n push %ebx\n push %eax\n call platform_main\n"
        ".bss\n .align 4096\n .skip 65536\nstack_top:\n .popsection\n");
