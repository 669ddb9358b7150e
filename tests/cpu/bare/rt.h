/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Runtime of the bare-metal test images: a multiboot kernel that runs snippets of machine code in any mode
 * and privilege level and prints what came of each, one line a snippet, to the debug port 0xe9. The
 * transcript is the test: it is compared with tests/golden/bare-<name>.txt and with QEMU's (see
 * test_bare.py).
 *
 * A report's line says how the snippet ended and where, and then only what is no longer as `ctx` had it.
 * A snippet runs until it faults or reaches its `int $0x80`. run() enters it by IRET with the registers in
 * `ctx`; the first exception that no hook takes ends it, and `last` holds the frame. Nothing here depends on
 * addresses the compiler chose: reports give EIP relative to the snippet.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* selectors */
enum {
    KCODE = 0x08,
    KDATA = 0x10,
    UCODE = 0x1b,
    UDATA = 0x23,
    TSS = 0x28,
    DF_TSS = 0x30,
    R1CODE = 0x39,
    R1DATA = 0x41,
    R2CODE = 0x4a,
    R2DATA = 0x52,
    LDT = 0x58,
    CODE16 = 0x60,
    DATA16 = 0x68,
    SCRATCH = 0x80, /* free from here */
};

/* descriptor access bytes */
enum {
    PRESENT = 0x80,
    DPL3 = 0x60,
    DPL2 = 0x40,
    DPL1 = 0x20,
    SEG = 0x10,
    CODE_R = 0x1a,
    CODE_X = 0x18,
    CONFORMING = 0x04,
    DATA_RW = 0x12,
    DATA_RO = 0x10,
    EXPAND_DOWN = 0x04
};
enum { GRAN = 8, BIG = 4 }; /* flags nibble */

struct tss {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi,
        es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, iomap;
    uint8_t bits[8192 + 32 + 8]; /* interrupt redirection map, I/O map */
} __attribute__((packed));

struct tss16 {
    uint16_t link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds,
        ldt;
};

struct frame {
    uint32_t gs, fs, es, ds, edi, esi, ebp, esp_unused, ebx, edx, ecx, eax, vector, error, eip, cs, eflags,
        esp, ss;
    uint32_t v86_es, v86_ds, v86_fs, v86_gs;
};

struct context {
    uint32_t eax, ebx, ecx, edx, esi, edi, ebp, ds, es, fs, gs, eip, cs, eflags, esp, ss;
};

/* Whatever a transcript can show the address of stands where the compiler has no say (link.ld). */
#define FIXED __attribute__((section(".fixed,\"aw\",@nobits#")))

extern uint64_t gdt[256], idt[256], ldt[32];
extern struct tss tss, df_tss;
extern struct context ctx;
extern struct frame last;
extern uint8_t user_stack[4096], kernel_stack[8192], snippet_stack[4096];
/* Takes an exception first: true resumes the interrupted code with what is in the frame. */
extern bool (*hook)(struct frame *f);
/* Set bits are left out of reported EFLAGS: arithmetic flags and RF unless a test asks for them. */
extern uint32_t flags_hidden;

void image_main(void);
void *memset(void *to, int value, size_t n);
void *memcpy(void *to, const void *from, size_t n);

void print(const char *format, ...) __attribute__((format(printf, 1, 2))); /* %x %0Nx %u %s %c */
void set_descriptor(unsigned selector, uint32_t base, uint32_t limit, unsigned access, unsigned flags);
void set_gate(uint64_t *entry, unsigned selector, uint32_t offset, unsigned access, unsigned count);
void set_vector(unsigned vector, uint32_t offset, unsigned access);
void lgdt(void *base, unsigned limit);
void lidt(void *base, unsigned limit);

/* Registers for a snippet in ring 0…3 with flat segments; then adjust ctx and run. */
void fresh(unsigned ring);
void run_context(void); /* into ctx; returns when it ended */
void report(const char *title, const char *start, const char *end);
/* fresh(ring) must have been called */
void run(const char *title, const char *start, const char *end);
/* `count` words of `size` bytes above last.esp; those within `base` are printed relative to it. */
void dump_stack(unsigned count, unsigned size, const char *base);

#define SNIPPET(name, text)                                                                                  \
    __asm__(".pushsection .text\n .globl " #name "\n" #name ":\n" text "\n .globl " #name "_end\n" #name     \
            "_end: .byte 0xcd, 0x80\n .code32\n .popsection");                                               \
    extern const char name[], name##_end[]
#define RUN(name)           run(#name, name, name##_end)
#define RUN_AS(title, name) run(title, name, name##_end)

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
#define CR_ACCESSORS(n)                                                                                      \
    static inline uint32_t read_cr##n(void)                                                                  \
    {                                                                                                        \
        uint32_t value;                                                                                      \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(value));                                                \
        return value;                                                                                        \
    }                                                                                                        \
    static inline void write_cr##n(uint32_t value)                                                           \
    {                                                                                                        \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(value) : "memory");                                       \
    }
CR_ACCESSORS(0)
CR_ACCESSORS(2)
CR_ACCESSORS(3)
CR_ACCESSORS(4)
#define DR_ACCESSORS(n)                                                                                      \
    static inline uint32_t read_dr##n(void)                                                                  \
    {                                                                                                        \
        uint32_t value;                                                                                      \
        __asm__ volatile("mov %%dr" #n ", %0" : "=r"(value));                                                \
        return value;                                                                                        \
    }                                                                                                        \
    static inline void write_dr##n(uint32_t value)                                                           \
    {                                                                                                        \
        __asm__ volatile("mov %0, %%dr" #n : : "r"(value) : "memory");                                       \
    }
DR_ACCESSORS(0)
DR_ACCESSORS(1)
DR_ACCESSORS(2)
DR_ACCESSORS(3)
DR_ACCESSORS(6)
DR_ACCESSORS(7)
static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return lo | (uint64_t)hi << 32;
}
static inline void wrmsr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}
static inline void invlpg(const volatile void *p)
{
    __asm__ volatile("invlpg (%0)" : : "r"(p) : "memory");
}
static inline void ltr(unsigned selector)
{
    __asm__ volatile("ltr %w0" : : "r"(selector) : "memory");
}
static inline void lldt(unsigned selector)
{
    __asm__ volatile("lldt %w0" : : "r"(selector) : "memory");
}
