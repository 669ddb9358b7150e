/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * The kernels as a multiboot kernel: `-kernel bench.elf -append "KERNEL ROUNDS ring=3"`; the same markers on
 * port 0xe9, then power-off through isa-debug-exit at 0xf4.
 *
 * Paging is on (4 KiB pages, 64 MiB identity mapped, user accessible), SSE and x87 are on, interrupts are
 * off. ring=3 runs the kernel with CPL 3 and IOPL 3, so that it can still print.
 */
#include "kernels.h"

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

static void print(const char *s)
{
    for (; *s; s++)
        __asm__ volatile("outb %0, $0xe9" ::"a"(*s));
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

static __attribute__((noreturn)) void leave(uint32_t code)
{
    __asm__ volatile("outl %0, $0xf4" ::"a"(code));
    for (;;)
        __asm__ volatile("pause");
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

static const struct kernel *chosen;
static uint32_t chosen_rounds;

static __attribute__((noreturn, force_align_arg_pointer)) void run(void)
{
    print("S\n");
    uint32_t sum = chosen->run(chosen_rounds);
    print("E ");
    print_hex(sum);
    leave(0);
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
    char path[64], name[16], rounds[16], ring[16];
    const char *line = magic == 0x2badb002 && info[0] & 4 ? (const char *)info[4] : "";
    line = word(line, name, sizeof name);
    /* QEMU puts the kernel's path in front of the command line. */
    for (const char *p = name; *p; p++)
        if (*p == '/' || *p == '.') {
            line = word((const char *)info[4], path, sizeof path);
            line = word(line, name, sizeof name);
            break;
        }
    line = word(line, rounds, sizeof rounds);
    word(line, ring, sizeof ring);
    for (unsigned i = 0; i < kernel_count; i++)
        if (equal(kernels[i].name, name))
            chosen = &kernels[i];
    if (!chosen) {
        print("? no such kernel\n");
        leave(1);
    }
    for (const char *p = rounds; *p >= '0' && *p <= '9'; p++)
        chosen_rounds = chosen_rounds * 10 + (uint32_t)(*p - '0');
    if (!chosen_rounds)
        chosen_rounds = chosen->rounds;
    prepare();
    if (!equal(ring, "ring=3"))
        run();
    __asm__ volatile(
        "mov %%esp, %%eax\n push $0x23\n push %%eax\n push $0x3002\n push $0x1b\n push %0\n"
        " mov $0x23, %%eax\n mov %%eax, %%ds\n mov %%eax, %%es\n mov %%eax, %%fs\n mov %%eax, %%gs\n iret"
        :
        : "r"(run)
        : "eax", "memory");
    __builtin_unreachable();
}

__asm__(".pushsection .multiboot, \"a\"\n .align 4\n .long 0x1badb002, 0, -0x1badb002\n"
        ".text\n .globl _start\n_start:\n mov $stack_top, %esp\n push %ebx\n push %eax\n call platform_main\n"
        ".bss\n .align 4096\n .skip 65536\nstack_top:\n .popsection\n");
