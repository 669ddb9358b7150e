/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Far jumps, calls and returns; call, interrupt and trap gates of both sizes; inner stacks from the TSS and
 * what can be wrong with them; IRET to the same and to outer levels (SDM vol. 3, 5.8 and 6.12).
 */
#include "rt.h"

SNIPPET(far_jump, "ljmp *(%esi)");
SNIPPET(far_jump16, ".byte 0x66\n ljmp *(%esi)");
SNIPPET(far_call, "lcall *(%esi)");
SNIPPET(far_call16, ".byte 0x66\n lcall *(%esi)");
SNIPPET(far_return, "lret");
SNIPPET(far_return8, "lret $8");
SNIPPET(far_return16, "lretw");
SNIPPET(interrupt_return, "iret");
SNIPPET(interrupt_return16, "iretw");
SNIPPET(raise_60, "int $0x60");
SNIPPET(raise_divide, "xor %ecx, %ecx\n div %ecx");
SNIPPET(raise_gp, "mov $0x1238, %ecx\n mov %ecx, %ds");
SNIPPET(raise_ud, "ud2");
/* Where gates and returns lead; code segments' base is its address. */
SNIPPET(landing, "nop");

static struct {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed)) pointer;

enum { TARGET = SCRATCH, GATE = SCRATCH + 8, STACK = SCRATCH + 16 };

static void enter_far(const char *title, const char *start, const char *end, unsigned ring)
{
    fresh(ring);
    ctx.esi = (uint32_t)&pointer;
    ctx.eip = (uint32_t)start;
    run_context();
    /* Segments based at `landing` make its offsets small. */
    if (last.vector == 0x80 && last.eip == 3)
        print("landed ");
    last.esi = ctx.esi;
    report(title, start, end);
}

static void target_segment(unsigned access)
{
    set_descriptor(TARGET, (uint32_t)landing, 0xfff, access, BIG);
}

static const struct {
    const char *name;
    unsigned access;
} targets[] = {
    {"code 0", PRESENT | CODE_R},
    {"code 1", PRESENT | DPL1 | CODE_R},
    {"code 3", PRESENT | DPL3 | CODE_X},
    {"conforming 0", PRESENT | CODE_R | CONFORMING},
    {"conforming 1", PRESENT | DPL1 | CODE_X | CONFORMING},
    {"conforming 3", PRESENT | DPL3 | CODE_R | CONFORMING},
    {"absent code 0", CODE_R},
    {"absent conforming 0", CODE_R | CONFORMING},
    {"absent code 3", DPL3 | CODE_R},
    {"data 0", PRESENT | DATA_RW},
    {"data 3", PRESENT | DPL3 | DATA_RW},
    {"ldt", PRESENT | 2},
    {"int gate", PRESENT | 14},
};

static void direct(void)
{
    for (unsigned ring = 0; ring < 4; ring += ring ? 2 : 1) {
        for (unsigned rpl = 0; rpl < 4; rpl += 3) {
            for (unsigned i = 0; i < sizeof targets / sizeof targets[0]; i++) {
                print("-- direct: ring %u rpl %u %s\n", ring, rpl, targets[i].name);
                target_segment(targets[i].access);
                pointer.offset = 0;
                pointer.selector = (uint16_t)(TARGET | rpl);
                enter_far("jump", far_jump, far_jump_end, ring);
                print("  accessed %u\n", (uint32_t)(gdt[TARGET >> 3] >> 40) & 1);
                enter_far("call", far_call, far_call_end, ring);
                if (last.vector == 0x80)
                    dump_stack(2, 4, far_call);
            }
        }
    }
    print("-- direct: 16-bit operands, limits, null\n");
    target_segment(PRESENT | CODE_R);
    pointer.selector = TARGET;
    pointer.offset = 0x12340000;
    enter_far("call16", far_call16, far_call16_end, 0);
    pointer.offset = 0;
    pointer.selector = 0;
    *(uint32_t *)&pointer = (uint32_t)TARGET << 16;
    enter_far("jump16", far_jump16, far_jump16_end, 0);
    enter_far("call16", far_call16, far_call16_end, 0);
    dump_stack(2, 2, far_call16);
    pointer.selector = 3;
    enter_far("null", far_jump, far_jump_end, 0);
    enter_far("null", far_call, far_call_end, 3);
    pointer.selector = 0x7fc;
    enter_far("outside", far_call, far_call_end, 3);
    pointer.selector = 0xfff8;
    enter_far("outside", far_call, far_call_end, 3);
}

static void call_gates(void)
{
    for (unsigned type = 4; type <= 12; type += 8) {
        unsigned size = type == 12 ? 4 : 2;
        for (unsigned ring = 0; ring < 4; ring += ring ? 2 : 1) {
            for (unsigned i = 0; i < sizeof targets / sizeof targets[0]; i++) {
                print("-- call gate %u: ring %u %s\n", size * 8, ring, targets[i].name);
                target_segment(targets[i].access);
                set_gate(&gdt[GATE >> 3], TARGET, 0, PRESENT | DPL3 | type, 2);
                pointer.selector = GATE | 3;
                pointer.offset = 0xdeadbeef;
                enter_far("jump", far_jump, far_jump_end, ring);
                fresh(ring);
                ((uint32_t *)ctx.esp)[0] = 0x11112222;
                ((uint32_t *)ctx.esp)[1] = 0x33334444;
                enter_far("call", far_call, far_call_end, ring);
                if (last.vector == 0x80)
                    dump_stack(6, size, far_call);
            }
        }
    }
    print("-- call gate: privilege and presence of the gate\n");
    target_segment(PRESENT | CODE_R);
    for (unsigned ring = 0; ring < 4; ring += 3) {
        for (unsigned dpl = 0; dpl < 4; dpl++) {
            for (unsigned rpl = 0; rpl < 4; rpl++) {
                set_gate(&gdt[GATE >> 3], TARGET, 0, PRESENT | dpl << 5 | 12, 0);
                pointer.selector = (uint16_t)(GATE | rpl);
                print("ring %u gate dpl %u rpl %u ", ring, dpl, rpl);
                enter_far("call", far_call, far_call_end, ring);
            }
        }
    }
    set_gate(&gdt[GATE >> 3], TARGET, 0, DPL3 | 12, 0);
    enter_far("absent gate", far_call, far_call_end, 3);
    set_gate(&gdt[GATE >> 3], 3, 0, PRESENT | DPL3 | 12, 0);
    enter_far("gate to null", far_call, far_call_end, 3);
    set_gate(&gdt[GATE >> 3], 0xfffc, 0, PRESENT | DPL3 | 12, 0);
    enter_far("gate to outside", far_call, far_call_end, 3);
    set_gate(&gdt[GATE >> 3], TARGET | 3, 0, PRESENT | DPL3 | 12, 31);
    fresh(3);
    for (unsigned i = 0; i < 16; i++)
        ((uint32_t *)ctx.esp)[i] = i;
    ctx.esp -= 128;
    for (unsigned i = 0; i < 32; i++)
        ((uint32_t *)ctx.esp)[i] = 0x100 + i;
    ctx.esi = (uint32_t)&pointer;
    ctx.eip = (uint32_t)far_call;
    run_context();
    report("31 parameters", far_call, far_call_end);
    dump_stack(35, 4, far_call);
}

/* What can be wrong with the inner stack: for ring 1, so that ring 0 can tell. */
static void inner_stacks(void)
{
    static const struct {
        const char *name;
        unsigned access, limit, rpl;
    } rows[] = {
        {"good", PRESENT | DPL1 | DATA_RW, 0xfffff, 1},  {"rpl 0", PRESENT | DPL1 | DATA_RW, 0xfffff, 0},
        {"rpl 3", PRESENT | DPL1 | DATA_RW, 0xfffff, 3}, {"dpl 0", PRESENT | DATA_RW, 0xfffff, 1},
        {"dpl 3", PRESENT | DPL3 | DATA_RW, 0xfffff, 1}, {"read-only", PRESENT | DPL1 | DATA_RO, 0xfffff, 1},
        {"code", PRESENT | DPL1 | CODE_R, 0xfffff, 1},   {"absent", DPL1 | DATA_RW, 0xfffff, 1},
        {"system", PRESENT | DPL1 | 2, 0xfffff, 1},      {"limit", PRESENT | DPL1 | DATA_RW, 0x200, 1},
    };
    target_segment(PRESENT | DPL1 | CODE_R);
    set_gate(&gdt[GATE >> 3], TARGET, 0, PRESENT | DPL3 | 12, 0);
    set_gate(&idt[0x60], TARGET, 0, PRESENT | DPL3 | 14, 0);
    set_gate(&idt[6], TARGET, 0, PRESENT | 14, 0);
    pointer.selector = GATE | 3;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print("-- inner stack: %s\n", rows[i].name);
        set_descriptor(STACK, 0, rows[i].limit, rows[i].access, BIG | GRAN);
        tss.ss1 = STACK | rows[i].rpl;
        enter_far("call", far_call, far_call_end, 3);
        fresh(3);
        RUN(raise_60);
        fresh(3);
        RUN(raise_ud);
    }
    print("-- inner stack: selectors\n");
    static const uint16_t odd[] = {0, 1, 0xfff9, 0x15};
    for (unsigned i = 0; i < 4; i++) {
        tss.ss1 = odd[i];
        print("%x ", odd[i]);
        enter_far("call", far_call, far_call_end, 3);
        fresh(3);
        RUN(raise_60);
        fresh(3);
        RUN(raise_ud);
    }
    tss.ss1 = R1DATA;
    print("-- inner stack: TSS too short\n");
    for (unsigned limit = 11; limit <= 19; limit++) {
        if (limit == 17 || limit == 18) /* SDM: enough for SS:ESP; others want the reserved word too */
            continue;
        set_descriptor(TSS, (uint32_t)&tss, limit, PRESENT | 9, 0);
        ltr(TSS);
        print("%u ", limit);
        enter_far("call", far_call, far_call_end, 3);
    }
    set_descriptor(TSS, (uint32_t)&tss, sizeof tss - 1, PRESENT | 9, 0);
    ltr(TSS);
    /* A 16-bit TSS lends its stacks too. */
    static struct tss16 small;
    small = (struct tss16){.sp0 = 0xf000, .ss0 = KDATA, .sp1 = 0xe000, .ss1 = R1DATA};
    set_descriptor(DATA16, (uint32_t)&small, sizeof small - 1, PRESENT | 1, 0);
    ltr(DATA16);
    enter_far("16-bit TSS", far_call, far_call_end, 3);
    set_descriptor(TSS, (uint32_t)&tss, sizeof tss - 1, PRESENT | 9, 0);
    ltr(TSS);
    set_vector(6, (uint32_t)idt, PRESENT | 14);
    extern char stubs[];
    set_vector(6, (uint32_t)stubs + 16 * 6, PRESENT | 14);
}

static void interrupt_gates(void)
{
    static const uint8_t kinds[] = {6, 7, 14, 15};
    for (unsigned k = 0; k < sizeof kinds; k++) {
        unsigned size = kinds[k] & 8 ? 4 : 2;
        for (unsigned ring = 0; ring < 4; ring += ring ? 2 : 1) {
            for (unsigned i = 0; i < sizeof targets / sizeof targets[0]; i++) {
                print("-- vector by type %u: ring %u %s\n", kinds[k], ring, targets[i].name);
                target_segment(targets[i].access);
                set_gate(&idt[0x60], TARGET, 0, PRESENT | DPL3 | kinds[k], 0);
                fresh(ring);
                ctx.eflags = 0x07002; /* NT, IOPL 3 */
                ctx.esi = (uint32_t)&pointer;
                RUN(raise_60);
                if (last.vector == 0x80)
                    dump_stack(ring ? 5 : 3, size, raise_60);
                set_gate(&idt[0], TARGET, 0, PRESENT | kinds[k], 0);
                fresh(ring);
                ctx.eflags = 0x03302; /* TF is not set: IF, IOPL 3 */
                ctx.eflags &= ~0x100u;
                RUN(raise_divide);
                if (last.vector == 0x80)
                    dump_stack(2, size, raise_divide);
            }
        }
    }
    /* An error code through gates of both sizes; #GP's own gate is 13. */
    extern char stubs[];
    for (unsigned k = 0; k < sizeof kinds; k++) {
        target_segment(PRESENT | DPL1 | CODE_R);
        set_gate(&idt[13], TARGET, 0, PRESENT | kinds[k], 0);
        fresh(3);
        RUN(raise_gp);
        dump_stack(6, kinds[k] & 8 ? 4 : 2, raise_gp);
    }
    set_vector(13, (uint32_t)stubs + 16 * 13, PRESENT | 14);
    set_vector(0, (uint32_t)stubs, PRESENT | 14);
    print("-- gate types\n");
    target_segment(PRESENT | CODE_R);
    for (unsigned type = 0; type < 32; type++) {
        if (type == 5)
            continue;
        set_gate(&idt[0x60], TARGET, 0, PRESENT | DPL3 | type, 0);
        fresh(3);
        print("%x ", type);
        RUN(raise_60);
    }
    set_gate(&idt[0x60], 3, 0, PRESENT | DPL3 | 14, 0);
    fresh(3);
    RUN_AS("null target", raise_60);
    set_gate(&idt[0x60], 0xfffb, 0, PRESENT | DPL3 | 14, 0);
    fresh(3);
    RUN_AS("target outside", raise_60);
    /* The same met by an exception: EXT is set. */
    set_gate(&idt[6], 0xfffb, 0, PRESENT | 14, 0);
    fresh(3);
    RUN_AS("UD to outside", raise_ud);
    set_gate(&idt[6], 3, 0, PRESENT | 14, 0);
    fresh(3);
    RUN_AS("UD to null", raise_ud);
    set_gate(&idt[6], TARGET, 0, 14, 0);
    fresh(3);
    RUN_AS("UD gate absent", raise_ud);
    set_gate(&idt[6], TARGET, 0, PRESENT | 12, 0);
    fresh(3);
    RUN_AS("UD by call gate", raise_ud);
    set_gate(&idt[6], KDATA, 0, PRESENT | 14, 0);
    fresh(3);
    RUN_AS("UD to data", raise_ud);
    target_segment(CODE_R);
    set_gate(&idt[6], TARGET, 0, PRESENT | 14, 0);
    fresh(3);
    RUN_AS("UD to absent code", raise_ud);
    set_vector(6, (uint32_t)stubs + 16 * 6, PRESENT | 14);
    /* Contributory after contributory: double fault, in its task. */
    set_gate(&idt[0], KDATA, 0, PRESENT | 14, 0);
    fresh(3);
    RUN_AS("DE to data: double fault", raise_divide);
    set_gate(&idt[0], KCODE, 0, 14, 0);
    fresh(3);
    RUN_AS("DE absent: double fault", raise_divide);
    set_vector(0, (uint32_t)stubs, PRESENT | 14);
}

static void returns(void)
{
    for (unsigned ring = 0; ring < 2; ring++) {
        for (unsigned rpl = 0; rpl < 4; rpl += rpl ? 2 : 1) {
            for (unsigned i = 0; i < sizeof targets / sizeof targets[0]; i++) {
                print("-- return: ring %u rpl %u %s\n", ring, rpl, targets[i].name);
                target_segment(targets[i].access);
#define FRAME32(...)                                                                                         \
    fresh(ring);                                                                                             \
    ctx.esp -= 32;                                                                                           \
    do {                                                                                                     \
        const uint32_t words[] = {__VA_ARGS__};                                                              \
        memcpy((void *)ctx.esp, words, sizeof words);                                                        \
    } while (0)
                uint32_t ss = rpl == 0 ? KDATA : rpl == 1 ? R1DATA : UDATA;
                FRAME32(0, TARGET | rpl, 0x400800, ss);
                RUN(far_return);
                FRAME32(0, TARGET | rpl, 1, 2, 0x400800, ss);
                RUN(far_return8);
                FRAME32(0, TARGET | rpl, 0x00007ed7, 0x400800, ss);
                RUN(interrupt_return);
            }
        }
    }
    print("-- return: stacks\n");
    static const struct {
        const char *name;
        unsigned access, rpl;
    } rows[] = {
        {"good", PRESENT | DPL3 | DATA_RW, 3},  {"rpl 0", PRESENT | DPL3 | DATA_RW, 0},
        {"dpl 1", PRESENT | DPL1 | DATA_RW, 3}, {"read-only", PRESENT | DPL3 | DATA_RO, 3},
        {"code", PRESENT | DPL3 | CODE_R, 3},   {"absent", DPL3 | DATA_RW, 3},
        {"ldt", PRESENT | DPL3 | 2, 3},
    };
    unsigned ring = 0;
    target_segment(PRESENT | DPL3 | CODE_R);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set_descriptor(STACK, 0, 0xfffff, rows[i].access, GRAN | BIG);
        FRAME32(0, TARGET | 3, 0x400800, STACK | rows[i].rpl);
        RUN_AS(rows[i].name, far_return);
        FRAME32(0, TARGET | 3, 2, 0x400800, STACK | rows[i].rpl);
        RUN_AS(rows[i].name, interrupt_return);
    }
    FRAME32(0, TARGET | 3, 0x400800, 0);
    RUN_AS("null ss", far_return);
    FRAME32(0, TARGET | 3, 2, 0x400800, 3);
    RUN_AS("null ss", interrupt_return);
    FRAME32(0, TARGET | 3, 2, 0x400800, 0xfffb);
    RUN_AS("ss outside", interrupt_return);
    FRAME32(0, 0xfffb, 0x400800, UDATA);
    RUN_AS("cs outside", far_return);
    /* 16-bit operands: SP alone is popped, the upper half of ESP ... */
    fresh(0);
    ctx.esp -= 16;
    memcpy((void *)ctx.esp, (const uint16_t[]){0, TARGET | 3, 0x0800, UDATA}, 8);
    RUN(far_return16);
    fresh(0);
    ctx.esp -= 16;
    memcpy((void *)ctx.esp, (const uint16_t[]){0, TARGET | 3, 2, 0x0800, UDATA}, 10);
    RUN(interrupt_return16);
    /* ... and a 16-bit stack segment keeps it. */
    set_descriptor(STACK, 0x400000, 0xffff, PRESENT | DPL3 | DATA_RW, 0);
    FRAME32(0, TARGET | 3, 2, 0x12340800, STACK | 3);
    RUN_AS("16-bit stack", interrupt_return);
    print("-- return: data segments of the inner level\n");
    target_segment(PRESENT | DPL3 | CODE_R);
    set_descriptor(GATE, 0, 0xfffff, PRESENT | CODE_R | CONFORMING, GRAN | BIG);
    set_descriptor(STACK, 0, 0xfffff, PRESENT | DPL2 | DATA_RW, GRAN | BIG);
    FRAME32(0, TARGET | 3, 2, 0x400800, UDATA);
    ctx.ds = KDATA;
    ctx.es = GATE;
    ctx.fs = STACK;
    ctx.gs = UDATA;
    RUN(interrupt_return);
    FRAME32(0, TARGET | 3, 0x400800, UDATA);
    ctx.ds = R1DATA;
    ctx.es = KCODE;
    ctx.fs = UCODE;
    ctx.gs = 0;
    RUN(far_return);
    print("-- IRET: flags\n");
    for (ring = 0; ring < 4; ring += 3) {
        for (unsigned iopl = 0; iopl < 4; iopl += 3) {
            fresh(ring);
            ctx.eflags |= iopl << 12;
            ctx.esp -= 16;
            flags_hidden = 0;
            memcpy((void *)ctx.esp,
                   (const uint32_t[]){(uint32_t)interrupt_return_end, ctx.cs, 0x003e3ed7 & ~0x20000u}, 12);
            RUN(interrupt_return);
            fresh(ring);
            target_segment(PRESENT | CODE_R | ring << 5);
            ctx.eflags |= iopl << 12;
            ctx.eflags |= 0x40000;
            ctx.esp -= 16;
            memcpy((void *)ctx.esp, (const uint16_t[]){0, (uint16_t)(TARGET | ring), 0x3ed7}, 6);
            RUN(interrupt_return16);
            flags_hidden = 0x108d5;
        }
    }
}

/* Last, since QEMU runs into the weeds here. */
static void beyond_limits(void)
{
    target_segment(PRESENT | CODE_R);
    pointer.selector = TARGET;
    pointer.offset = 0x1000;
    enter_far("beyond the limit", far_call, far_call_end, 0);
    pointer.offset = 0xfff;
    enter_far("last byte of the limit", far_jump, far_jump_end, 0);
    pointer.selector = GATE | 3;
    set_gate(&gdt[GATE >> 3], TARGET, 0x1000, PRESENT | DPL3 | 12, 0);
    enter_far("gate beyond the limit", far_call, far_call_end, 3);
    set_gate(&idt[0x60], TARGET, 0x1000, PRESENT | DPL3 | 14, 0);
    fresh(3);
    RUN_AS("beyond the limit", raise_60);
    set_gate(&idt[6], TARGET, 0x1000, PRESENT | 14, 0);
    fresh(3);
    RUN_AS("UD beyond the limit", raise_ud);
    target_segment(PRESENT | DPL3 | CODE_R);
    const unsigned ring = 0;
    FRAME32(0x1000, TARGET | 3, 2, 0x400800, UDATA);
    RUN_AS("beyond the limit", interrupt_return);
    FRAME32(0x1000, TARGET | 3, 0x400800, UDATA);
    RUN_AS("beyond the limit", far_return);
}

void image_main(void)
{
    direct();
    call_gates();
    inner_stacks();
    interrupt_gates();
    returns();
    beyond_limits();
}
