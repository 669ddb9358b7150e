/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Hot code and what may happen to it: loops that run so often that a translator does its utmost for them, and
 * meanwhile their code is written by all kinds of stores, pages are mapped anew, rights and address spaces
 * change, returns do not match calls, segments, alignment checks and debug registers are set in the middle.
 * A line is a sum over all that was seen on the way, faults included; it is the same for every engine.
 */
#include "rt.h"

#define PAGE_ALIGNED __attribute__((aligned(4096)))
FIXED static uint8_t pages[16 * 4096] PAGE_ALIGNED, others[16 * 4096] PAGE_ALIGNED, stack[1 << 20];
FIXED static uint32_t pd[1024] PAGE_ALIGNED, pd_other[1024] PAGE_ALIGNED, low[8][1024] PAGE_ALIGNED,
    pt[1024] PAGE_ALIGNED, pt_other[1024] PAGE_ALIGNED, pt_high[1024] PAGE_ALIGNED, mixed[1024] PAGE_ALIGNED;

enum { P = 1, W = 2, U = 4, D = 0x40, PS = 0x80, G = 0x100, RWU = P | W | U };
#define WINDOW 0x40000000u

static uint32_t sum, faults, resume_at;
static const char *base;

static void add(uint32_t value)
{
    sum = ((sum << 5 | sum >> 27) ^ value) * 0x9e3779b1u + 1;
}

static void done(const char *what)
{
    print("%s %08x, %u faults\n", what, sum, faults);
    sum = faults = 0;
}

static uint32_t call(const void *code, uint32_t eax)
{
    __asm__ volatile("call *%1" : "+a"(eax) : "r"(code) : "ecx", "edx", "memory", "cc");
    return eax;
}

static void paging_on(void)
{
    for (unsigned t = 0; t < 8; t++) {
        for (unsigned i = 0; i < 1024; i++)
            low[t][i] = t << 22 | i << 12 | RWU;
        pd[t] = (uint32_t)low[t] | RWU;
    }
    pd[WINDOW >> 22] = (uint32_t)pt | RWU;
    pd[1023] = (uint32_t)pt_high | RWU;
    tss.cr3 = df_tss.cr3 = (uint32_t)pd;
    write_cr4(read_cr4() | 0x610);
    write_cr3((uint32_t)pd);
    write_cr0((read_cr0() | 0x80000000u) & ~0x1000cu);
}

/* ---- code that is written ---- */

enum { BY_MOV, BY_MOVSB, BY_STOSL, BY_PUSH, BY_XADD, BY_FSTP, BY_MOVUPS, BY_CMPXCHG8B, BY_FXSAVE, BY_KINDS };

/* mov eax, imm32; ret, whose operand becomes something of `value`. */
static void write_operand(unsigned how, uint8_t *code, uint32_t value)
{
    uint32_t *operand = (uint32_t *)(code + 1), some = (value & 0x3fffffff) | 0x20000000, high = code[5];
    uint8_t *image = (uint8_t *)((uint32_t)code + 1 - 160);
    void *from = &value, *to = operand;
    unsigned count = how == BY_MOVSB ? 4 : 1;

    switch (how) {
    case BY_MOV:
        *(volatile uint32_t *)operand = value;
        break;
    case BY_MOVSB:
        __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
        break;
    case BY_STOSL:
        __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(value) : "memory");
        break;
    case BY_PUSH:
        to = operand + 1;
        __asm__ volatile("xchg %0, %%esp\n push %1\n xchg %0, %%esp" : "+r"(to) : "r"(value) : "memory");
        break;
    case BY_XADD:
        __asm__ volatile("lock xadd %0, %1" : "+r"(value), "+m"(*operand) : : "memory");
        break;
    case BY_FSTP:
        __asm__ volatile("flds %1\n fstps %0" : "=m"(*operand) : "m"(some));
        break;
    case BY_MOVUPS:
        for (unsigned i = 0; i < 12; i++)
            stack[i + 4] = code[5 + i];
        memcpy(stack, &value, 4);
        __asm__ volatile("movups (%0), %%xmm1\n movups %%xmm1, (%1)" : : "r"(stack), "r"(operand) : "memory");
        break;
    case BY_CMPXCHG8B:
        some = *operand;
        high = operand[1];
        __asm__ volatile("cmpxchg8b (%2)"
                         : "+a"(some), "+d"(high)
                         : "r"(operand), "b"(value), "c"(high)
                         : "memory");
        break;
    default: /* BY_FXSAVE: XMM0 lands there */
        __asm__ volatile("movd %1, %%xmm0\n fxsave (%0)" : : "r"(image), "r"(value) : "memory");
        code[0] = 0xb8;
        code[5] = 0xc3;
    }
}

static void written(void)
{
    for (unsigned how = 0; how < BY_KINDS; how++) {
        for (unsigned i = 0; i < 4000; i++) {
            /* some across the page's end */
            uint8_t *code = pages + (how == BY_FXSAVE ? 0x80f : 0xfff - i / 64 % 4) + i / 64 % 3 * 0x1000;

            if (i % 64 == 0) {
                memset(code, 0xc3, 32);
                *code = 0xb8;
            }
            write_operand(how, code, i * 0x01010101u + how);
            add(call(code, 0));
        }
    }
    done("written");
}

SNIPPET(selfwrite, "push %ebx\n mov $8000, %ecx\n xor %eax, %eax\n"
                   "1: mov %ecx, 2f+1\n 2: mov $0x11111111, %edx\n add %edx, %eax\n rol $3, %eax\n"
                   "mov %cl, 3f+1\n 3: mov $0, %bl\n add %bl, %al\n dec %ecx\n jnz 1b\n pop %ebx\n ret");

/* A page table with code in it, whose operand is the entry of a page that is touched. */
static void accessed(void)
{
    uint8_t *code = (uint8_t *)mixed + 3;
    volatile uint32_t *touched = (volatile uint32_t *)(WINDOW + 4096);

    pd[WINDOW >> 22] = (uint32_t)mixed | RWU;
    code[0] = 0xb8;
    code[5] = 0xc3;
    for (unsigned i = 0; i < 5000; i++) {
        mixed[1] = (uint32_t)(pages + i % 5 * 4096) | RWU;
        invlpg(touched);
        add(call(code, 0));
        add(touched[8]);
        add(call(code, 0));
        touched[8] = i;
        add(call(code, 0));
    }
    pd[WINDOW >> 22] = (uint32_t)pt | RWU;
    write_cr3((uint32_t)pd);
    done("accessed");
}

/* Code and data from the last page to the first. */
static void around(void)
{
    static const uint8_t code[] = {0x05, 1,    2, 3,   4,
                                   0xc1, 0xc0, 5, 0xc3}; /* add eax, imm32; rol eax, 5; ret */
    uint32_t value = 1;

    pt_high[1023] = (uint32_t)pages | RWU;
    low[0][0] = (uint32_t)others | RWU;
    write_cr3((uint32_t)pd);
    for (unsigned start = 0; start < sizeof code; start++) {
        uint32_t at = 0xfffffff7u + start;

        for (unsigned i = 0; i < sizeof code; i++)
            *(volatile uint8_t *)(at + i) = code[i];
        for (unsigned i = 0; i < 5000; i++) {
            value = call((void *)at, value);
            if (i % 1000 == 999)
                ++*(volatile uint8_t *)(at + 2);
        }
        add(value);
    }
    for (unsigned i = 0; i < 40000; i++) {
        volatile uint32_t *data = (volatile uint32_t *)(0xfffffff9u + i % 16);

        *data += i;
        add(*data);
    }
    low[0][0] = RWU;
    pt_high[1023] = 0;
    write_cr3((uint32_t)pd);
    done("around");
}

/* ---- calls and returns ---- */

SNIPPET(nested, "test %eax, %eax\n jz 1f\n dec %eax\n call nested\n add %eax, %edx\n inc %eax\n 1: ret");
SNIPPET(ret_8, "xor %edx, %edx\n 1: push %eax\n push %eax\n call 2f\n add $4, %edx\n dec %eax\n jnz 1b\n"
               "mov %edx, %eax\n ret\n 2: lea (%edx, %eax), %edx\n ret $8");
SNIPPET(ret_elsewhere, "xor %edx, %edx\n 1: call 2f\n add $1000, %edx\n 3: inc %edx\n dec %eax\n jnz 1b\n"
                       "mov %edx, %eax\n ret\n 2: test $3, %eax\n jnz 4f\n movl $3b, (%esp)\n 4: ret");
SNIPPET(ret_only, "mov %esp, %ecx\n mov $1000, %edx\n 1: push $2f\n dec %edx\n jnz 1b\n"
                  "2: inc %eax\n cmp %esp, %ecx\n je 3f\n ret\n 3: ret");
SNIPPET(ret_far,
        "xor %edx, %edx\n 1: push %cs\n call 2f\n inc %edx\n dec %eax\n jnz 1b\n mov %edx, %eax\n ret\n"
        "2: add %eax, %edx\n lret");

static uint32_t call_on_stack(const void *code, uint32_t eax)
{
    void *top = stack + sizeof stack - 64;

    __asm__ volatile("xchg %%esp, %1\n push %%ebp\n call *%2\n pop %%ebp\n xchg %%esp, %1"
                     : "+a"(eax), "+S"(top)
                     : "D"(code)
                     : "ecx", "edx", "memory", "cc");
    return eax;
}

static void returns(void)
{
    for (unsigned i = 0; i < 10; i++) {
        add(call_on_stack(nested, 60000));
        add(call_on_stack(nested, i * 300));
        add(call_on_stack(ret_only, i));
    }
    add(call_on_stack(ret_8, 20000));
    add(call_on_stack(ret_elsewhere, 20000));
    add(call_on_stack(ret_far, 20000));
    done("returns");
}

/* ---- pages ---- */

static bool skip_store(struct frame *f)
{
    if (f->vector != 14)
        return false;
    faults++;
    add(f->error);
    add(read_cr2());
    f->eip = resume_at;
    return true;
}

static void mapped_anew(void)
{
    volatile uint32_t *data = (volatile uint32_t *)WINDOW;
    static const uint8_t code[] = {0x05, 1,    0, 0,    0,   0xa3,
                                   0,    0x10, 0, 0x40, 0xc3}; /* add eax, 1; mov [], eax */
    uint32_t value = 0;

    for (unsigned i = 0; i < sizeof pages; i += 4)
        *(uint32_t *)(pages + i) = i;
    for (unsigned i = 0; i < 1500; i++) {
        pt[0] = (uint32_t)(pages + i % 16 * 4096) | RWU | (i % 5 ? 0 : G);
        invlpg(data);
        for (unsigned k = 0; k < 100; k++) {
            add(data[k]);
            data[k] += k;
        }
    }
    for (unsigned i = 0; i < 1000; i++) {
        pd[WINDOW >> 22] = i & 1 ? 0x400000 | RWU | PS : (uint32_t)pt | RWU;
        pt[(uint32_t)pages >> 12 & 1023] = (uint32_t)(others + i % 4 * 4096) | RWU;
        if (i % 3)
            invlpg((void *)(WINDOW + ((uint32_t)pages & 0x3fffff)));
        else
            write_cr3((uint32_t)pd);
        for (unsigned k = 0; k < 100; k++)
            add(((volatile uint32_t *)(WINDOW + ((uint32_t)pages & 0x3fffff)))[k]++);
    }
    pd[WINDOW >> 22] = (uint32_t)pt | RWU;
    memcpy(pd_other, pd, sizeof pd);
    pd_other[WINDOW >> 22] = (uint32_t)pt_other | RWU;
    for (unsigned i = 0; i < 8; i++) {
        pt[i] = (uint32_t)(pages + i * 4096) | RWU;
        pt_other[i] = (uint32_t)(others + i * 4096) | RWU;
    }
    memcpy(pages, code, sizeof code);
    memcpy(others, code, sizeof code);
    others[1] = 9;
    for (unsigned i = 0; i < 10000; i++) {
        write_cr3((i * 7 + i / 5) & 1 ? (uint32_t)pd : (uint32_t)pd_other);
        for (unsigned k = 0; k < 5; k++)
            value = call((void *)WINDOW, value);
    }
    write_cr3((uint32_t)pd);
    add(value);
    add(*(uint32_t *)(pages + 4096));
    add(*(uint32_t *)(others + 4096));
    hook = skip_store;
    for (unsigned i = 0; i < 2000; i++) {
        pt[0] = (uint32_t)pages | P | U | ((i * 13 >> 2) & 1 ? 0 : W);
        invlpg(data);
        write_cr0((read_cr0() & ~0x10000u) | (i >> 1 & 1) << 16);
        for (unsigned k = 0; k < 20; k++)
            __asm__ volatile("movl $1f, %0\n movl %1, (%2)\n 1:"
                             : "=m"(resume_at)
                             : "r"(i + k), "r"(data + k)
                             : "memory");
        add(data[i % 20]);
    }
    write_cr0(read_cr0() & ~0x10000u);
    hook = NULL;
    done("mapped anew");
}

/* ---- debug registers, single steps ---- */

SNIPPET(sweep,
        "1: mov %ecx, %edx\n add (%esi), %edx\n mov %edx, (%esi, %ecx, 4)\n add %edx, %eax\n dec %ecx\n"
        "jnz 1b\n ret");
SNIPPET(stepped,
        "1: test $0x3ff, %ecx\n jnz 2f\n pushf\n orl $0x100, (%esp)\n popf\n 2: add %ecx, %eax\n"
        "push %eax\n pop %edx\n xor (%esi), %eax\n push %ecx\n mov $3, %ecx\n mov %esi, %edi\n"
        "push %esi\n rep movsb\n pop %esi\n pop %ecx\n loop 1b\n pushf\n andl $~0x100, (%esp)\n popf\n ret");

static bool on_debug(struct frame *f)
{
    if (f->vector != 1)
        return false;
    add(f->eip - (uint32_t)base);
    add(read_dr6());
    write_dr6(0xffff0ff0);
    f->eflags |= 0x10000;
    if (++faults % 50 == 49)
        f->eflags &= ~0x100u;
    return true;
}

static uint32_t loop(const char *code, uint32_t count)
{
    uint32_t eax = 0, edi = (uint32_t)(base = code);

    __asm__ volatile("call *%2" : "+a"(eax), "+c"(count), "+D"(edi) : "S"(pages) : "edx", "memory", "cc");
    return eax;
}

static void watched(void)
{
    hook = on_debug;
    memset(pages, 0x5a, sizeof pages);
    for (unsigned i = 0; i < 6; i++) {
        add(loop(sweep, 4000));
        write_dr0((uint32_t)pages + 4 * (100 + i));
        write_dr7(0x000d0401);
        add(loop(sweep, 4000));
        write_dr1((uint32_t)pages);
        write_dr7(0x00f00404);
        add(loop(sweep, 200));
        write_dr2((uint32_t)sweep + 2);
        write_dr7(0x410);
        add(loop(sweep, 100));
        write_dr7(0x400);
        add(loop(stepped, 5000));
    }
    hook = NULL;
    done("watched");
}

/* ---- segments and alignment in ring 3 ---- */

SNIPPET(segments,
        "mov $12000, %ecx\n xor %ebx, %ebx\n"
        "1: mov %ecx, %edx\n shr $3, %edx\n and $3, %edx\n lea (%edi, %edx, 8), %edx\n mov %edx, %ds\n"
        "mov %edx, %fs\n mov $2f, %ebp\n mov %ecx, %eax\n and $0xfff, %eax\n add (%esi, %eax), %ebx\n"
        "2: mov $3f, %ebp\n mov %ebx, %fs:(%esi, %eax)\n 3: mov $4f, %ebp\n addb %bl, 0xfff(%esi)\n"
        "4: push %fs\n pop %gs\n mov $5f, %ebp\n xor %gs:2(%esi), %bx\n 5: dec %ecx\n jnz 1b");
SNIPPET(
    aligned,
    "mov $12000, %ecx\n xor %ebx, %ebx\n"
    "1: mov %ecx, %edx\n and $7, %edx\n test $0xff, %ecx\n jnz 2f\n pushf\n xorl $0x40000, (%esp)\n popf\n"
    "2: mov $3f, %ebp\n add (%esi, %edx), %ebx\n 3: mov $4f, %ebp\n addw %bx, (%edi, %edx)\n"
    "4: mov $5f, %ebp\n movzwl 4(%esi, %edx), %eax\n add %eax, %ebx\n 5: dec %ecx\n jnz 1b");

static bool skip_access(struct frame *f)
{
    if (f->vector < 12 || f->vector > 17)
        return false;
    faults++;
    add(f->vector);
    add(f->error);
    add(f->eip - (uint32_t)base);
    add(f->ebx);
    if (f->vector == 14)
        add(read_cr2());
    f->eip = f->ebp;
    return true;
}

static void in_ring3(const char *code, uint32_t esi, uint32_t edi)
{
    base = code;
    hook = skip_access;
    fresh(3);
    ctx.eip = (uint32_t)code;
    ctx.esi = esi;
    ctx.edi = edi;
    run_context();
    hook = NULL;
    add(last.vector);
    add(last.ebx);
}

void image_main(void)
{
    paging_on();
    written();
    add(call(selfwrite, 0));
    done("writes itself");
    accessed();
    around();
    returns();
    mapped_anew();
    watched();
    set_descriptor(SCRATCH, 0, 0xfffff, PRESENT | DPL3 | DATA_RW, GRAN | BIG);
    set_descriptor(SCRATCH + 8, (uint32_t)others, 0xffe, PRESENT | DPL3 | DATA_RW, BIG);
    set_descriptor(SCRATCH + 16, (uint32_t)others, 0x7ff, PRESENT | DPL3 | DATA_RW | EXPAND_DOWN, BIG);
    set_descriptor(SCRATCH + 24, (uint32_t)others, 0xfffff, PRESENT | DPL3 | DATA_RO, BIG | GRAN);
    in_ring3(segments, (uint32_t)pages, SCRATCH | 3);
    for (unsigned i = 0; i < 3; i++)
        low[0][i] = (uint32_t)(pages + i * 4096) | RWU;
    write_cr3((uint32_t)pd);
    in_ring3(segments, 0, SCRATCH | 3);
    done("segments");
    write_cr0(read_cr0() | 0x40000);
    in_ring3(aligned, (uint32_t)user_stack, (uint32_t)user_stack + 64);
    done("aligned");
}
