/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The C half of the bare images' runtime: output, descriptor tables, snippets' contexts and reports. See
 * rt.h.
 */
#include "rt.h"

FIXED uint8_t user_stack[4096], kernel_stack[8192], snippet_stack[4096], df_stack[4096];
FIXED uint64_t gdt[256], idt[256], ldt[32];
FIXED struct tss tss, df_tss;
struct context ctx;
struct frame last;
bool (*hook)(struct frame *f);
uint32_t flags_hidden = 0x108d5;

extern char stubs[];
_Noreturn void rt_recover(void);
_Noreturn void rt_exit(void);
void rt_setup(void);
void rt_trap(struct frame *f);

void *memcpy(void *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    return to;
}
void *memset(void *to, int value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile uint8_t *)to)[i] = (uint8_t)value;
    return to;
}

/* ---- output ---- */

static void put(char c)
{
    outb(0xe9, (uint8_t)c);
}

static void put_number(uint32_t value, unsigned base, unsigned width, char pad)
{
    char digits[12];
    unsigned n = 0;
    do
        digits[n++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (n < width)
        digits[n++] = pad;
    while (n)
        put(digits[--n]);
}

void print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    for (; *format; format++) {
        unsigned width = 0;
        if (*format != '%') {
            put(*format);
            continue;
        }
        while (*++format >= '0' && *format <= '9')
            width = width * 10 + (unsigned)(*format - '0');
        if (*format == 's') {
            for (const char *s = va_arg(args, const char *); *s; s++)
                put(*s);
        } else if (*format == 'c') {
            put((char)va_arg(args, int));
        } else {
            put_number(va_arg(args, uint32_t), *format == 'x' ? 16 : 10, width, '0');
        }
    }
    va_end(args);
}

/* ---- tables ---- */

void set_descriptor(unsigned selector, uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    uint64_t *entry = selector & 4 ? &ldt[selector >> 3] : &gdt[selector >> 3];
    *entry = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
             (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

void set_gate(uint64_t *entry, unsigned selector, uint32_t offset, unsigned access, unsigned count)
{
    *entry = (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)count << 32 | (uint64_t)access << 40 |
             (uint64_t)(offset >> 16) << 48;
}

void set_vector(unsigned vector, uint32_t offset, unsigned access)
{
    set_gate(&idt[vector], KCODE, offset, access, 0);
}

struct pseudo {
    uint16_t limit;
    uint32_t base;
} __attribute__((packed));

void lgdt(void *base, unsigned limit)
{
    struct pseudo p = {(uint16_t)limit, (uint32_t)base};
    __asm__ volatile("lgdt %0" : : "m"(p));
}
void lidt(void *base, unsigned limit)
{
    struct pseudo p = {(uint16_t)limit, (uint32_t)base};
    __asm__ volatile("lidt %0" : : "m"(p));
}

/* The double-fault task: reports as a trap would, with the interrupted task's state from its TSS. */
static void double_fault_task(void)
{
    uint32_t error;
    for (;;) {
        /* The error code lies on top of this task's stack; the link says whom it befell. */
        error = *(uint32_t *)(df_stack + sizeof df_stack - 4);
        uint64_t d = gdt[(df_tss.link & 0xffff) >> 3];
        const struct tss *t =
            (const struct tss *)((uint32_t)(d >> 16 & 0xffffff) | (uint32_t)(d >> 56) << 24);
        last = (struct frame){.vector = 8,
                              .error = error,
                              .eip = t->eip,
                              .cs = t->cs,
                              .eflags = t->eflags,
                              .esp = t->esp,
                              .ss = t->ss,
                              .eax = t->eax,
                              .ebx = t->ebx,
                              .ecx = t->ecx,
                              .edx = t->edx,
                              .esi = t->esi,
                              .edi = t->edi,
                              .ebp = t->ebp,
                              .ds = t->ds,
                              .es = t->es,
                              .fs = t->fs,
                              .gs = t->gs};
        df_tss.link = TSS;
        gdt[TSS >> 3] |= 1ull << 41;
        /* Back in the main task, at rt_recover. */
        tss.eip = (uint32_t)rt_recover;
        tss.cs = KCODE;
        tss.ss = tss.ds = tss.es = tss.fs = tss.gs = KDATA;
        tss.esp = (uint32_t)(kernel_stack + sizeof kernel_stack);
        tss.eflags = 2;
        __asm__ volatile("iret" : : : "memory");
    }
}

void rt_setup(void)
{
    /* Where there is a board, its interrupts stay away. */
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    set_descriptor(KCODE, 0, 0xfffff, PRESENT | CODE_R, GRAN | BIG);
    set_descriptor(KDATA, 0, 0xfffff, PRESENT | DATA_RW, GRAN | BIG);
    set_descriptor(UCODE, 0, 0xfffff, PRESENT | DPL3 | CODE_R, GRAN | BIG);
    set_descriptor(UDATA, 0, 0xfffff, PRESENT | DPL3 | DATA_RW, GRAN | BIG);
    set_descriptor(TSS, (uint32_t)&tss, sizeof tss - 1, PRESENT | 9, 0);
    set_descriptor(DF_TSS, (uint32_t)&df_tss, 0x67, PRESENT | 9, 0);
    set_descriptor(R1CODE, 0, 0xfffff, PRESENT | DPL1 | CODE_R, GRAN | BIG);
    set_descriptor(R1DATA, 0, 0xfffff, PRESENT | DPL1 | DATA_RW, GRAN | BIG);
    set_descriptor(R2CODE, 0, 0xfffff, PRESENT | DPL2 | CODE_R, GRAN | BIG);
    set_descriptor(R2DATA, 0, 0xfffff, PRESENT | DPL2 | DATA_RW, GRAN | BIG);
    set_descriptor(LDT, (uint32_t)ldt, sizeof ldt - 1, PRESENT | 2, 0);
    set_descriptor(CODE16, 0, 0xffff, PRESENT | CODE_R, 0);
    set_descriptor(DATA16, 0, 0xffff, PRESENT | DATA_RW, 0);
    for (unsigned i = 0; i < 256; i++)
        set_vector(i, (uint32_t)stubs + 16 * i, PRESENT | 14);
    set_vector(0x80, (uint32_t)stubs + 16 * 0x80, PRESENT | DPL3 | 14);
    set_gate(&idt[8], DF_TSS, 0, PRESENT | 5, 0);

    memset(&tss, 0, sizeof tss);
    tss.ss0 = KDATA;
    tss.esp0 = (uint32_t)(kernel_stack + sizeof kernel_stack);
    tss.ss1 = R1DATA;
    tss.esp1 = (uint32_t)(kernel_stack + 2048);
    tss.ss2 = R2DATA;
    tss.esp2 = (uint32_t)(kernel_stack + 4096);
    tss.iomap = offsetof(struct tss, bits) + 32;
    memset(tss.bits, 0xff, sizeof tss.bits);
    df_tss = (struct tss){.eip = (uint32_t)double_fault_task,
                          .cs = KCODE,
                          .ss = KDATA,
                          .ds = KDATA,
                          .es = KDATA,
                          .fs = KDATA,
                          .gs = KDATA,
                          .eflags = 2,
                          .esp = (uint32_t)(df_stack + sizeof df_stack),
                          .iomap = 0x68};
    lgdt(gdt, sizeof gdt - 1);
    lidt(idt, sizeof idt - 1);
    lldt(0);
}

/* ---- snippets ---- */

void rt_trap(struct frame *f)
{
    if (hook && hook(f))
        return;
    last = *f;
    if (!(f->eflags & 0x20000) && !(f->cs & 3)) { /* same level: no SS:ESP on the stack */
        last.esp = (uint32_t)&f->esp;
        __asm__ volatile("mov %%ss, %0" : "=r"(last.ss));
    }
    if (!(f->eflags & 0x20000))
        last.ss &= 0xffff, last.cs &= 0xffff;
    rt_recover();
}

void fresh(unsigned ring)
{
    static const uint16_t code[4] = {KCODE, R1CODE, R2CODE, UCODE}, data[4] = {KDATA, R1DATA, R2DATA, UDATA};
    ctx = (struct context){.eax = 0xa0a0a0a0,
                           .ebx = 0xb0b0b0b0,
                           .ecx = 0xc0c0c0c0,
                           .edx = 0xd0d0d0d0,
                           .esi = 0x51515151,
                           .edi = 0xd1d1d1d1,
                           .ebp = 0xb9b9b9b9,
                           .eflags = 2};
    ctx.cs = code[ring];
    ctx.ss = ctx.ds = ctx.es = ctx.fs = ctx.gs = data[ring];
    ctx.esp =
        (uint32_t)(ring ? user_stack + sizeof user_stack - 64 : snippet_stack + sizeof snippet_stack - 64);
}

static void print_changed(const char *name, uint32_t now, uint32_t before)
{
    if (now != before)
        print(" %s=%08x", name, now);
}

static void print_selector(const char *name, uint32_t now, uint32_t before)
{
    if ((now & 0xffff) != (before & 0xffff))
        print(" %s=%04x", name, now & 0xffff);
}

void report(const char *title, const char *start, const char *end)
{
    print("%s: ", title);
    if (last.vector == 0x80)
        print("done");
    else
        print("vector %02x error %04x", last.vector, last.error);
    if (end && last.vector == 0x80 && last.eip == (uint32_t)end + 2)
        ;
    else if (start && last.eip - (uint32_t)start < 4096)
        print(" at +%u", last.eip - (uint32_t)start);
    else if (last.eip < 0x1000)
        print(" at %x", last.eip);
    if (last.vector == 14)
        print(" cr2=%08x", read_cr2());
    print_selector("cs", last.cs, ctx.cs);
    print_selector("ss", last.ss, ctx.ss);
    if ((last.eflags ^ ctx.eflags) & ~flags_hidden)
        print(" fl=%05x", last.eflags & ~flags_hidden);
    if (last.esp != ctx.esp) {
        uint32_t down = ctx.esp - last.esp;
        if (down < 4096)
            print(" sp-%u", down);
        else if (0u - down < 4096)
            print(" sp+%u", 0u - down);
        else
            print(" sp moved");
    }
    print_changed("ax", last.eax, ctx.eax);
    print_changed("bx", last.ebx, ctx.ebx);
    print_changed("cx", last.ecx, ctx.ecx);
    print_changed("dx", last.edx, ctx.edx);
    print_changed("si", last.esi, ctx.esi);
    print_changed("di", last.edi, ctx.edi);
    print_changed("bp", last.ebp, ctx.ebp);
    bool v86 = last.eflags & 0x20000;
    print_selector("ds", v86 ? last.v86_ds : last.ds, ctx.ds);
    print_selector("es", v86 ? last.v86_es : last.es, ctx.es);
    print_selector("fs", v86 ? last.v86_fs : last.fs, ctx.fs);
    print_selector("gs", v86 ? last.v86_gs : last.gs, ctx.gs);
    print("\n");
}

void run(const char *title, const char *start, const char *end)
{
    ctx.eip = (uint32_t)start;
    run_context();
    report(title, start, end);
}

void dump_stack(unsigned count, unsigned size, const char *base)
{
    print("  stack:");
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *at = (const uint8_t *)last.esp + size * i;
        uint32_t value = size == 4 ? *(const uint32_t *)at : *(const uint16_t *)at;
        uint32_t mask = size == 4 ? 0xffffffff : 0xffff;
        if (base && ((value - (uint32_t)base) & mask) < 256)
            print(" +%u", (value - (uint32_t)base) & mask);
        else
            print(" %x", value);
    }
    print("\n");
}
