/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A CPU test suite in the form that public ones have: a 32-bit Multiboot ELF image with words and modules,
 * which talks on COM1, uses pc-testdev for what only an emulator can do, and whose verdict is
 * isa-debug-exit's code. test_suite.py runs it in netlab-emu and in QEMU with the same options and compares
 * all it says.
 */
#include <stdbool.h>
#include <stdint.h>

enum { COM1 = 0x3f8, EXIT = 0xf4, ECHO = 0xe0, PAGE = 0xe4, ECHO_BYTES = 0xe8, LINES = 0x2000 };
enum { MAGIC = 0x2badb002, HAS_MEMORY = 1, HAS_WORDS = 4, HAS_MODULES = 8, VECTOR = 0x40, IRQ = 5 };

struct info {
    uint32_t flags, lower, upper, boot_device, words, modules, module_list;
};
struct module {
    uint32_t start, end, words, reserved;
};
struct gate {
    uint16_t low, selector, flags, high;
};

__asm__(".section .multiboot, \"a\"\n"
        ".align 4\n"
        ".long 0x1badb002, 3, -0x1badb005\n" /* modules on pages, and memory sizes */
        ".text\n"
        ".globl _start\n"
        "_start: mov $suite_stack + 16384, %esp\n"
        "push %ebx\n"
        "push %eax\n"
        "cld\n"
        "call suite_main\n"
        "1: hlt\n"
        "jmp 1b\n"
        ".globl suite_irq\n"
        "suite_irq: pusha\n"
        "cld\n"
        "call suite_interrupt\n"
        "popa\n"
        "iret\n"
        ".globl suite_code\n" /* on a page of its own: mov $1, %eax; ret */
        ".align 4096\n"
        "suite_code: mov $1, %eax\n"
        "ret\n"
        ".align 4096\n");

extern void suite_irq(void);
extern uint8_t suite_code[];
void suite_main(uint32_t magic, const struct info *info);
void suite_interrupt(void);
uint8_t suite_stack[16384] __attribute__((aligned(16)));

static struct gate idt[256];
static volatile unsigned interrupts;
static unsigned failed, passed;

static void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
static void out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}
static void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}
static uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static uint16_t in16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static uint32_t in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void say(const char *text, unsigned most)
{
    for (; most-- && *text; text++) {
        while (!(in8(COM1 + 5) & 0x20))
            ;
        out8(COM1, (uint8_t)*text);
    }
}

static void verdict(const char *name, bool good)
{
    say(good ? "PASS: " : "FAIL: ", 6);
    say(name, 100);
    say("\n", 1);
    *(good ? &passed : &failed) += 1;
}

/* The words behind the file's name, whose folder is nobody's business here. */
static void say_words(const char *what, uint32_t at)
{
    const char *text = (const char *)at;
    while (*text && *text != ' ')
        text++;
    say(what, 100);
    say(text, 200);
    say("\n", 1);
}

static void boot_information(uint32_t magic, const struct info *info)
{
    verdict("multiboot magic", magic == MAGIC);
    verdict("memory sizes", info->flags & HAS_MEMORY && info->upper >= 60 << 10 && info->upper < 64 << 10);
    verdict("words are there", info->flags & HAS_WORDS);
    if (info->flags & HAS_WORDS)
        say_words("words:", info->words);
    verdict("two modules", info->flags & HAS_MODULES && info->modules == 2);
    for (unsigned i = 0; info->flags & HAS_MODULES && i < info->modules; i++) {
        const struct module *m = (const struct module *)info->module_list + i;
        say_words("module:", m->words);
        say("content: ", 100);
        say((const char *)m->start, m->end - m->start);
        verdict("module on a page", (m->start & 4095) == 0);
    }
}

static void echo_ports(void)
{
    out32(ECHO, 0x12345678);
    verdict("echo, 32 bits", in32(ECHO) == 0x12345678);
    out16(ECHO, 0xabcd);
    verdict("echo, 16 bits", in16(ECHO) == 0xabcd);
    out8(ECHO, 0x77);
    verdict("echo, 8 bits", in8(ECHO) == 0x77);
    out8(ECHO_BYTES, 0x99);
    verdict("echo, bytes alone", in8(ECHO_BYTES) == 0x99);
    uint32_t words[3] = {1, 2, 0xfeedf00d};
    const uint32_t *from = words;
    uint32_t count = 3;
    __asm__ volatile("rep outsl" : "+S"(from), "+c"(count) : "d"(ECHO) : "memory");
    verdict("echo, rep outs", in32(ECHO) == 0xfeedf00d && from == words + 3 && count == 0);
}

/* What emulators decode by hand: arithmetic, string moves and pushes with a device at the other end. */
static void device_memory(void)
{
    volatile uint32_t *mem = (volatile uint32_t *)0xff000000;
    mem[0] = 0xdeadbeef;
    verdict("device memory, 32 bits", mem[0] == 0xdeadbeef);
    ((volatile uint8_t *)mem)[5] = 0x5a;
    verdict("device memory, 8 bits", ((volatile uint8_t *)mem)[5] == 0x5a);
    uint32_t from[4] = {11, 22, 33, 44}, back[4] = {0};
    for (unsigned i = 0; i < 4; i++)
        mem[4 + i] = from[i];
    for (unsigned i = 0; i < 4; i++)
        back[i] = mem[4 + i];
    verdict("device memory, a row", back[0] == 11 && back[3] == 44);
    ((volatile uint8_t *)mem)[0xffff] = 0x42;
    verdict("device memory, last byte", ((volatile uint8_t *)mem)[0xffff] == 0x42);
}

static uint32_t call_code(void)
{
    uint32_t value;
    __asm__ volatile("call *%1" : "=a"(value) : "r"(suite_code) : "memory", "ecx", "edx");
    return value;
}

static void changed_page(void)
{
    verdict("code as it was", call_code() == 1);
    suite_code[1] = 7;
    out32(PAGE, (uint32_t)suite_code);
    verdict("code as it was changed", call_code() == 7);
}

void suite_interrupt(void)
{
    interrupts++;
    out8(0x20, 0x20);
}

/* How many interrupts there were, a little later: an emulator may take them at the next branch. */
static unsigned settled(void)
{
    for (volatile unsigned i = 0; i < 1000; i++)
        in8(0x80);
    return interrupts;
}

static void interrupt_lines(void)
{
    static const uint8_t pic[][2] = {{0x20, 0x11}, {0x21, VECTOR}, {0x21, 4},
                                     {0x21, 1},    {0xa0, 0x11},   {0xa1, 0x48},
                                     {0xa1, 2},    {0xa1, 1},      {0x21, (uint8_t) ~(1 << IRQ)},
                                     {0xa1, 0xff}};
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) table = {sizeof idt - 1, (uint32_t)idt};
    uint16_t code;
    __asm__ volatile("mov %%cs, %0" : "=r"(code));
    idt[VECTOR + IRQ] = (struct gate){.low = (uint16_t)(uint32_t)suite_irq,
                                      .selector = code,
                                      .flags = 0x8e00,
                                      .high = (uint16_t)((uint32_t)suite_irq >> 16)};
    for (unsigned i = 0; i < sizeof pic / sizeof pic[0]; i++)
        out8(pic[i][0], pic[i][1]);
    out8(0x4d0, 0); /* edges */
    __asm__ volatile("lidt %0; sti" ::"m"(table));
    out8(LINES + IRQ, 1);
    verdict("a line goes up: one interrupt", settled() == 1);
    out8(LINES + IRQ, 0);
    verdict("it goes down: none", settled() == 1);
    out8(LINES + IRQ, 1);
    unsigned second = settled();
    out8(LINES + IRQ, 0);
    out8(LINES + IRQ, 1);
    verdict("two edges: two more", second == 2 && settled() == 3);
    __asm__ volatile("cli");
}

void suite_main(uint32_t magic, const struct info *info)
{
    out8(COM1 + 3, 0x83); /* 115200 baud, 8 bits */
    out8(COM1, 1);
    out8(COM1 + 1, 0);
    out8(COM1 + 3, 3);
    boot_information(magic, info);
    echo_ports();
    device_memory();
    changed_page();
    interrupt_lines();
    say(failed ? "SUITE FAILED\n" : "SUITE PASSED\n", 100);
    out32(EXIT, failed ? 0x100 : passed);
}
