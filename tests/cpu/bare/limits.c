/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Segment limits (byte, page, expand-down), null segments, read and write rights, stacks and code that end at
 * a limit (SDM vol. 3, 5.3 and 5.5). QEMU's translator checks none of this; the golden file is the SDM's.
 */
#include "rt.h"

SNIPPET(read_ds, "movb %ds:(%eax), %bl\n xor %ebx, %ebx");
SNIPPET(read_ds4, "movl %ds:(%eax), %ebx\n xor %ebx, %ebx");
SNIPPET(read_ds8, "movq %ds:(%eax), %mm0\n emms");
SNIPPET(read_ds10, "fldt %ds:(%eax)\n fninit");
SNIPPET(read_ds16, "movups %ds:(%eax), %xmm0");
SNIPPET(write_ds, "movb $0, %ds:(%eax)");
SNIPPET(write_ds2, "movw $0, %ds:(%eax)");
SNIPPET(write_ds4, "movl $0, %ds:(%eax)");
SNIPPET(rmw_ds4, "addl $0, %ds:(%eax)");
SNIPPET(cmpxchg_ds, "cmpxchg %ecx, %ds:(%eax)");
SNIPPET(read_cs, "movb %cs:(%eax), %bl\n xor %ebx, %ebx");
SNIPPET(write_cs, "movb $0, %cs:(%eax)");
SNIPPET(read_fs, "movb %fs:(%eax), %bl\n xor %ebx, %ebx");
SNIPPET(write_ss, "movl $0, %ss:(%eax)");
SNIPPET(push_ss, "push %ecx");
SNIPPET(pop_ss_mem, "pop %ecx");
SNIPPET(pusha_ss, "pusha");
SNIPPET(popa_ss, "popa");
SNIPPET(enter_ss, "enter $16, $0");
SNIPPET(call_ss, "call 1f\n1:");
SNIPPET(movs_es, "mov %eax, %edi\n mov %esp, %esi\n mov $4, %ecx\n rep movsb");
SNIPPET(stos_es, "mov %eax, %edi\n mov $8, %ecx\n rep stosb");
SNIPPET(jump_out, "jmp *%eax");
SNIPPET(call_out, "call *%eax");

#define AT(name, offset)                                                                                     \
    ctx.eax = (offset);                                                                                      \
    ctx.ds = ctx.es = SCRATCH | 3;                                                                           \
    print("%x ", (uint32_t)(offset));                                                                        \
    RUN(name)

FIXED static uint8_t window[0x4000] __attribute__((aligned(4096)));

static void limits_of(const char *title, uint32_t base, uint32_t limit, unsigned access, unsigned flags,
                      const uint32_t *offsets, unsigned count)
{
    print("-- %s\n", title);
    set_descriptor(SCRATCH, base, limit, access, flags);
    for (unsigned i = 0; i < count; i++) {
        fresh(3);
        AT(read_ds, offsets[i]);
        AT(read_ds4, offsets[i]);
        AT(read_ds8, offsets[i]);
        AT(read_ds10, offsets[i]);
        AT(read_ds16, offsets[i]);
        AT(write_ds, offsets[i]);
        AT(write_ds2, offsets[i]);
        AT(write_ds4, offsets[i]);
        AT(rmw_ds4, offsets[i]);
        AT(cmpxchg_ds, offsets[i]);
        AT(movs_es, offsets[i]);
        fresh(3);
        AT(stos_es, offsets[i]);
    }
}
#define LIMITS(title, base, limit, access, flags, ...)                                                       \
    do {                                                                                                     \
        static const uint32_t offsets[] = {__VA_ARGS__};                                                     \
        limits_of(title, base, limit, access, flags, offsets, sizeof offsets / sizeof offsets[0]);           \
    } while (0)

static void stack_limits(const char *title, unsigned access, unsigned flags, uint32_t limit,
                         const uint32_t *sp, unsigned count)
{
    print("-- %s\n", title);
    set_descriptor(SCRATCH, (uint32_t)window, limit, access, flags);
    for (unsigned i = 0; i < count; i++) {
        print("sp %x\n", sp[i]);
#define PUSH(name)                                                                                           \
    memset(window, 0, sizeof window);                                                                        \
    fresh(3);                                                                                                \
    ctx.ss = SCRATCH | 3;                                                                                    \
    ctx.esp = sp[i];                                                                                         \
    ctx.eax = 0;                                                                                             \
    RUN(name)
        PUSH(push_ss);
        PUSH(pop_ss_mem);
        PUSH(pusha_ss);
        PUSH(popa_ss);
        PUSH(enter_ss);
        PUSH(call_ss);
    }
    fresh(3);
    ctx.ss = SCRATCH | 3;
    ctx.esp = 0x800;
    ctx.eax = limit - 1;
    RUN(write_ss);
}

void image_main(void)
{
    write_cr4(read_cr4() | 3u << 9);
    print("-- rights\n");
    fresh(3);
    ctx.ds = 0;
    ctx.eax = (uint32_t)window;
    RUN_AS("null read_ds", read_ds);
    RUN_AS("null write_ds", write_ds4);
    ctx.ds = UCODE;
    RUN_AS("code read_ds", read_ds);
    RUN_AS("code write_ds", write_ds);
    RUN(read_cs);
    RUN(write_cs);
    set_descriptor(SCRATCH, 0, 0xfffff, PRESENT | DPL3 | CODE_X, GRAN | BIG);
    ctx.cs = SCRATCH | 3;
    RUN_AS("execute-only read_cs", read_cs);
    set_descriptor(SCRATCH, 0, 0xfffff, PRESENT | DPL3 | DATA_RO, GRAN | BIG);
    fresh(3);
    ctx.ds = SCRATCH | 3;
    ctx.eax = (uint32_t)window;
    RUN_AS("read-only read_ds", read_ds);
    RUN_AS("read-only write_ds", write_ds);
    RUN_AS("read-only rmw", rmw_ds4);
    RUN_AS("read-only cmpxchg", cmpxchg_ds);

    LIMITS("byte limit fff", (uint32_t)window, 0xfff, PRESENT | DPL3 | DATA_RW, 0, 0, 0xff0, 0xff1, 0xff5,
           0xff6, 0xff8, 0xffc, 0xffd, 0xffe, 0xfff, 0x1000, 0xffffffff, 0xfffffffe, 0xfffffffc, 0xfffffff0);
    LIMITS("page limit 1fff", (uint32_t)window, 1, PRESENT | DPL3 | DATA_RW, GRAN, 0x1ff0, 0x1ffc, 0x1ffd,
           0x1fff, 0x2000);
    LIMITS("limit 0", (uint32_t)window, 0, PRESENT | DPL3 | DATA_RW, 0, 0, 1);
    LIMITS("expand-down fff, 16 bits", (uint32_t)window, 0xfff, PRESENT | DPL3 | DATA_RW | EXPAND_DOWN, 0, 0,
           0xffc, 0xfff, 0x1000, 0x1001, 0x3000, 0xfffc, 0xfffd, 0xffff, 0x10000, 0xffffffff);
    LIMITS("expand-down fff, 32 bits", (uint32_t)window, 0xfff, PRESENT | DPL3 | DATA_RW | EXPAND_DOWN, BIG,
           0, 0xffc, 0xffd, 0xfff, 0x1000, 0x3000);
    LIMITS("expand-down page limit 0", (uint32_t)window, 0, PRESENT | DPL3 | DATA_RW | EXPAND_DOWN,
           GRAN | BIG, 0xfff, 0x1000);
    LIMITS("expand-down all", (uint32_t)window, 0xfffff, PRESENT | DPL3 | DATA_RW | EXPAND_DOWN, GRAN | BIG,
           0, 0x1000);

    static const uint32_t sp32[] = {0,     1,      4,      0x20,   0x1f,   0xffc, 0xffd,
                                    0xfff, 0x1000, 0x1001, 0x1004, 0x1010, 0x1020};
    stack_limits("stack limit fff, 32 bits", PRESENT | DPL3 | DATA_RW, BIG, 0xfff, sp32, sizeof sp32 / 4);
    stack_limits("stack limit fff, 16 bits", PRESENT | DPL3 | DATA_RW, 0, 0xfff, sp32, sizeof sp32 / 4);
    stack_limits("stack down fff, 32 bits", PRESENT | DPL3 | DATA_RW | EXPAND_DOWN, BIG, 0xfff, sp32,
                 sizeof sp32 / 4);

    print("-- code limit\n");
    set_descriptor(SCRATCH, 0, 0x1fffff, PRESENT | DPL3 | CODE_R, BIG);
    fresh(3);
    ctx.cs = SCRATCH | 3;
    ctx.eax = 0x100000;
    RUN(jump_out);
    fresh(3);
    set_descriptor(SCRATCH, 0, (uint32_t)jump_out + 1, PRESENT | DPL3 | CODE_R, BIG);
    ctx.cs = SCRATCH | 3;
    ctx.eax = (uint32_t)jump_out + 2;
    RUN(jump_out);
    ctx.eax = (uint32_t)jump_out + 1;
    RUN(jump_out);
    fresh(3);
    set_descriptor(SCRATCH, 0, (uint32_t)call_out + 1, PRESENT | DPL3 | CODE_R, BIG);
    ctx.cs = SCRATCH | 3;
    ctx.eax = 0xffffffff;
    RUN(call_out);
    set_descriptor(SCRATCH, 0, (uint32_t)call_out, PRESENT | DPL3 | CODE_R, BIG);
    RUN_AS("limit within the instruction", call_out);
}
