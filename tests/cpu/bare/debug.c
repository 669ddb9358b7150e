/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Debug exceptions: single step through every kind of instruction, breakpoints on instructions, data and
 * ports, DR6 and DR7, GD, RF, the MOV SS shadow, INT1 (SDM vol. 3, chapter 17).
 */
#include "rt.h"

FIXED static uint32_t data[64] __attribute__((aligned(64)));

static const char *base;
static unsigned steps;

/* Prints each #DB on the way and goes on. */
static bool print_step(struct frame *f)
{
    if (f->vector != 1)
        return false;
    if (steps++ > 40)
        return false;
    print(" [");
    if (f->eip - (uint32_t)base < 256)
        print("+%u", f->eip - (uint32_t)base);
    else
        print("handler");
    uint32_t dr6 = read_dr6() & 0xe00f;
    if (dr6 != 0x4000)
        print(" dr6 %x", dr6);
    if (f->eflags & 0x10000)
        print(" RF");
    print("]");
    write_dr6(0xffff0ff0);
    return true;
}

/* An instruction breakpoint's handler must set RF, or it would come again for ever. */
static bool print_step_rf(struct frame *f)
{
    if (!print_step(f))
        return false;
    f->eflags |= 0x10000;
    return true;
}

static void traced(const char *title, const char *start, const char *end, bool (*handler)(struct frame *))
{
    base = start;
    steps = 0;
    hook = handler;
    ctx.eip = (uint32_t)start;
    print("%s:", title);
    run_context();
    hook = NULL;
    print("\n");
    report("  then", start, end);
    write_dr7(0x400);
    write_dr6(0xffff0ff0);
}
#define TRACED(name)    traced(#name, name, name##_end, print_step)
#define TRACED_RF(name) traced(#name, name, name##_end, print_step_rf)

SNIPPET(plain, "nop\n mov $1, %eax\n jmp 1f\n nop\n1: jz 1f\n nop\n1: call 2f\n jmp 3f\n2: ret\n3: nop");
SNIPPET(strings, "mov %esp, %edi\n mov %esp, %esi\n mov $3, %ecx\n rep movsb\n mov $2, %ecx\n rep stosb\n "
                 "xor %ecx, %ecx\n rep stosb\n xor %esi, %esi\n xor %edi, %edi");
SNIPPET(compare_strings, "mov %esp, %edi\n mov %esp, %esi\n mov $3, %ecx\n repe cmpsb\n mov $3, %ecx\n repne "
                         "scasb\n xor %esi, %esi\n xor %edi, %edi");
SNIPPET(popf_clear, "push $2\n popf\n nop\n nop");
SNIPPET(popf_set, "push $0x102\n popf\n nop\n nop\n push $2\n popf\n nop");
SNIPPET(popf_keep, "push $0x102\n popf\n nop\n push $0x102\n popf\n nop\n push $2\n popf");
SNIPPET(mov_ss, "mov %ss, %eax\n mov %eax, %ss\n nop\n nop\n xor %eax, %eax");
SNIPPET(pop_ss, "push %ss\n pop %ss\n nop\n nop");
SNIPPET(mov_ss_twice, "mov %ss, %eax\n mov %eax, %ss\n mov %eax, %ss\n nop\n nop\n xor %eax, %eax");
SNIPPET(mov_ds, "mov %ds, %eax\n mov %eax, %ds\n nop\n xor %eax, %eax");
SNIPPET(sti_nop, "sti\n nop\n nop\n cli");
SNIPPET(
    lss,
    "mov %esp, %ebp\n mov %ss, -4(%ebp)\n mov %esp, -8(%ebp)\n lss -8(%ebp), %esp\n nop\n xor %ebp, %ebp");
SNIPPET(int_60, "nop\n int $0x60\n nop\n nop");
SNIPPET(int_3, "int3\n nop");
SNIPPET(int_1, ".byte 0xf1\n nop\n nop");
SNIPPET(fault_ud, "nop\n ud2");
SNIPPET(iret_tf, "pushf\n orl $0x100, (%esp)\n push %cs\n call 1f\n1: addl $9, (%esp)\n iret\n nop\n nop\n "
                 "push $2\n popf");
SNIPPET(cpuid_io, "xor %eax, %eax\n cpuid\n in $0x80, %al\n out %al, $0x80\n pushf\n pop %eax\n xor "
                  "%eax,%eax\n xor %ebx,%ebx\n xor %ecx,%ecx\n xor %edx,%edx");
SNIPPET(pushf_tf, "pushf\n pop %eax");
SNIPPET(sysret_like, "pusha\n popa\n enter $8, $0\n leave\n xlat\n nop");

SNIPPET(touch, "mov (%edi), %al\n movw (%edi), %ax\n mov (%edi), %eax\n movb $0, (%edi)\n movw $0, (%edi)\n "
               "movl $0, (%edi)\n incl (%edi)\n movb 3(%edi), %al\n movb 4(%edi), %al\n movb $0, -1(%edi)\n "
               "movl -2(%edi), %eax\n movl $0, 3(%edi)\n xor %eax, %eax");
SNIPPET(touch_wide, "movq (%edi), %mm0\n emms\n fldl (%edi)\n fninit\n movups (%edi), %xmm0\n fnstenv "
                    "-16(%edi)\n cmpxchg8b (%edi)\n push (%edi)\n pop (%edi)\n nop");
SNIPPET(touch_string,
        "mov %edi, %esi\n sub $4, %edi\n mov $3, %ecx\n rep movsl\n mov $2, %ecx\n lodsb\n sub $12, %edi\n "
        "mov $3, %ecx\n rep stosl\n xor %eax, %eax\n xor %esi, %esi\n xor %edi, %edi");
SNIPPET(stack_touch, "push %eax\n pop %eax\n call 1f\n1: pop %eax\n pushf\n popf\n xor %eax, %eax");
SNIPPET(mov_ss_data, "mov (%edi), %ss\n nop\n nop");
SNIPPET(fault_after_touch, "mov (%edi), %eax\n ud2");
SNIPPET(two_hits, "mov (%edi), %eax\n mov 4(%edi), %eax\n movq (%edi), %mm0\n emms\n xor %eax, %eax");
SNIPPET(
    ports,
    "in $0x80, %al\n out %al, $0x80\n in $0x81, %al\n mov $0x80, %edx\n in %dx, %ax\n out %eax, %dx\n mov "
    "$0x7f, %edx\n in %dx, %ax\n mov %esp, %esi\n outsb\n xor %eax, %eax\n xor %edx, %edx\n xor %esi, %esi");
SNIPPET(sequence, "nop\n inc %eax\n inc %eax\n nop\n xor %eax, %eax");
SNIPPET(repeated, "mov $3, %ecx\n mov %esp, %edi\n rep stosb\n nop\n xor %edi, %edi");
SNIPPET(loop_there, "mov $3, %ecx\n1: nop\n loop 1b");
SNIPPET(read_dr, "mov %dr0, %eax\n nop");
SNIPPET(write_dr, "mov %eax, %dr3\n nop");
SNIPPET(write_dr7_gd, "mov $0x2400, %eax\n mov %eax, %dr7\n mov %dr7, %eax\n nop");

static void single_step(void)
{
    for (unsigned ring = 0; ring < 4; ring += 3) {
        print("-- single step, ring %u\n", ring);
#define STEP(name)                                                                                           \
    fresh(ring);                                                                                             \
    ctx.eflags |= 0x100 | (ring ? 0x3000 : 0);                                                               \
    TRACED(name)
        STEP(plain);
        STEP(strings);
        STEP(compare_strings);
        STEP(popf_clear);
        STEP(popf_keep);
        STEP(mov_ss);
        STEP(pop_ss);
        STEP(mov_ss_twice);
        STEP(mov_ds);
        STEP(sti_nop);
        STEP(lss);
        STEP(int_60);
        STEP(int_3);
        STEP(int_1);
        STEP(fault_ud);
        STEP(pushf_tf);
        STEP(sysret_like);
        fresh(ring);
        TRACED(popf_set);
        fresh(ring);
        TRACED(iret_tf);
        fresh(ring);
        TRACED(int_1);
    }
    fresh(0);
    ctx.eflags |= 0x100;
    ctx.ebx = 0x400000;
    TRACED(cpuid_io);
}

static void data_breakpoints(void)
{
    static const struct {
        const char *name;
        unsigned kind, len;
        int offset;
    } rows[] = {
        {"write 1", 1, 0, 0},      {"write 2", 1, 1, 0},           {"write 4", 1, 3, 0},
        {"read/write 1", 3, 0, 0}, {"read/write 2", 3, 1, 0},      {"read/write 4", 3, 3, 0},
        {"write 1 at 3", 1, 0, 3}, {"read/write 2 at 2", 3, 1, 2},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print("-- data breakpoint: %s\n", rows[i].name);
#define WATCH(name)                                                                                          \
    memset(data, 0, sizeof data);                                                                            \
    write_dr0((uint32_t)&data[16] + (uint32_t)rows[i].offset);                                               \
    write_dr7(0x402 | rows[i].kind << 16 | rows[i].len << 18);                                               \
    fresh(3);                                                                                                \
    ctx.edi = (uint32_t)&data[16];                                                                           \
    TRACED(name)
        WATCH(touch);
        WATCH(touch_wide);
        WATCH(touch_string);
        WATCH(fault_after_touch);
    }
    print("-- data breakpoints: more\n");
    write_cr4(read_cr4() & ~8u);
    write_dr0((uint32_t)&data[16]);
    write_dr1((uint32_t)&data[17]);
    write_dr7(0x40a | 3u << 16 | 3u << 18 | 3u << 20 | 3u << 22);
    fresh(3);
    ctx.edi = (uint32_t)&data[16];
    TRACED(two_hits);
    write_dr7(0x402 | 3u << 16 | 3u << 18);
    fresh(3);
    ctx.edi = (uint32_t)&data[16];
    ctx.eflags |= 0x100;
    TRACED(two_hits);
    data[16] = KDATA;
    write_dr7(0x402 | 3u << 16 | 3u << 18);
    fresh(0);
    ctx.edi = (uint32_t)&data[16];
    TRACED(mov_ss_data);
    write_dr0((uint32_t)user_stack + 4096 - 64 - 4);
    write_dr7(0x402 | 3u << 16 | 3u << 18);
    fresh(3);
    TRACED(stack_touch);
    /* Disabled ones do not trap. */
    write_dr0((uint32_t)&data[16]);
    write_dr7(0x400 | 3u << 16 | 3u << 18);
    fresh(3);
    ctx.edi = (uint32_t)&data[16];
    TRACED(touch);
}

static void instruction_breakpoints(void)
{
    print("-- instruction breakpoints\n");
    for (unsigned ring = 0; ring < 4; ring += 3) {
#define BREAK(name, offset)                                                                                  \
    write_dr1((uint32_t)(name) + (offset));                                                                  \
    write_dr7(0x408);                                                                                        \
    fresh(ring);                                                                                             \
    print("at +%u ", (uint32_t)(offset));                                                                    \
    TRACED_RF(name)
        BREAK(sequence, 0);
        BREAK(sequence, 1);
        BREAK(sequence, 2);
        BREAK(repeated, 5);
        BREAK(repeated, 7);
        BREAK(loop_there, 5);
        BREAK(fault_ud, 1);
        BREAK(mov_ss, 2);
        BREAK(mov_ss, 4);
        BREAK(int_60, 1);
        BREAK(int_60, 3);
    }
    print("-- without RF the breakpoint comes again\n");
    write_dr0((uint32_t)sequence + 1);
    write_dr7(0x402);
    fresh(0);
    traced("sequence", sequence, sequence_end, print_step);
    print("-- with TF too\n");
    write_dr0((uint32_t)sequence + 2);
    write_dr7(0x402);
    fresh(0);
    ctx.eflags |= 0x100;
    TRACED_RF(sequence);
    print("-- entered with RF\n");
    write_dr0((uint32_t)sequence);
    write_dr7(0x402);
    fresh(0);
    ctx.eflags |= 0x10000;
    TRACED_RF(sequence);
}

static void port_breakpoints(void)
{
    print("-- port breakpoints\n");
    write_cr4(read_cr4() | 8);
    for (unsigned len = 0; len < 4; len++) {
        if (len == 2)
            continue;
        write_dr2(0x80);
        write_dr7(0x420 | 2u << 24 | len << 26);
        fresh(0);
        TRACED(ports);
    }
    write_cr4(read_cr4() & ~8u);
}

static void registers(void)
{
    print("-- registers\n");
    write_dr6(0);
    print("dr6 %08x", read_dr6());
    write_dr6(0xffffffff);
    print(" %08x\n", read_dr6());
    write_dr6(0xffff0ff0);
    write_dr7(0);
    print("dr7 %08x", read_dr7());
    write_dr7(0xffff0000);
    print(" %08x\n", read_dr7());
    write_dr7(0x400);
    fresh(0);
    RUN(read_dr);
    write_dr7(0x2400);
    fresh(0);
    RUN(read_dr);
    print("  dr6 %08x dr7 %08x\n", read_dr6(), read_dr7());
    write_dr6(0xffff0ff0);
    write_dr7(0x2400);
    fresh(0);
    RUN(write_dr);
    print("  dr6 %08x dr7 %08x\n", read_dr6(), read_dr7());
    write_dr6(0xffff0ff0);
    fresh(0);
    RUN(write_dr7_gd);
    print("  dr6 %08x dr7 %08x\n", read_dr6(), read_dr7());
    write_dr6(0xffff0ff0);
    write_dr7(0x400);
}

SNIPPET(handler_iret, "iret");

void image_main(void)
{
    write_cr4(read_cr4() | 3u << 9);
    /* A software interrupt whose handler just returns. */
    set_vector(0x60, (uint32_t)handler_iret, PRESENT | DPL3 | 15);
    idt[3] |= (uint64_t)DPL3 << 40;
    idt[1] |= (uint64_t)DPL3 << 40;
    single_step();
    data_breakpoints();
    instruction_breakpoints();
    port_breakpoints();
    registers();
}
