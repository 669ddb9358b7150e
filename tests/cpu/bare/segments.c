/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Segment registers: loads of every descriptor type at every privilege, LAR, LSL, VERR, VERW and ARPL over
 * all of them, null selectors, accessed bits, the LDT (SDM vol. 3, chapters 3 and 5). Limits: limits.c.
 */
#include "rt.h"

SNIPPET(load_ds, "mov %eax, %ds\n push $0x23\n pop %ds");
SNIPPET(load_ss, "mov %ss, %ecx\n mov %eax, %ss\n mov %ecx, %ss\n xor %ecx, %ecx");
SNIPPET(load_ds_pop, "push %eax\n pop %ds\n xor %eax,%eax");
SNIPPET(load_es_far, "mov %esp, %ebp\n movl $0x1234, -8(%ebp)\n mov %eax, -4(%ebp)\n mov %ebp, %edi\n les "
                     "-8(%edi), %ecx\n xor %ebp,%ebp\n xor %edi,%edi");
SNIPPET(load_lds, "mov %esp, %ebp\n movl $0x1234, -8(%ebp)\n mov %eax, -4(%ebp)\n mov %ebp, %edi\n lds "
                  "%ss:-8(%edi), %ecx\n xor %ebp,%ebp\n xor %edi,%edi");
SNIPPET(mov_cs, ".byte 0x8e, 0xc8");
SNIPPET(mov_sreg6, ".byte 0x8e, 0xf0");
SNIPPET(mov_from_sreg7, ".byte 0x8c, 0xf8");
SNIPPET(selectors, "mov %ds, %eax\n mov %es, %ebx\n mov %cs, %ecx\n mov %ss, %edx\n xor %esi, %esi\n mov "
                   "%fs, %si\n .byte 0x66\n mov %gs, %edi");
SNIPPET(lar, "mov %eax, %ecx\n lar %ecx, %ebx\n mov %eax, %ecx\n pushf\n pop %edx\n and $0x40, %edx\n xor "
             "%ecx,%ecx\n and $0xfff0ffff, %ebx");
SNIPPET(lar16, "lar %ax, %bx\n pushf\n pop %edx\n and $0x40, %edx");
SNIPPET(lsl, "lsl %eax, %ebx\n pushf\n pop %edx\n and $0x40, %edx");
SNIPPET(lsl16, "lsl %ax, %bx\n pushf\n pop %edx\n and $0x40, %edx");
SNIPPET(verr, "verr %ax\n pushf\n pop %edx\n and $0x40, %edx");
SNIPPET(verw, "verw %ax\n pushf\n pop %edx\n and $0x40, %edx");
SNIPPET(arpl, "mov $1, %ebx\n mov $0x123450, %ecx\n mov $0x10, %esi\n mov $0x12, %edi\n arpl %bx, %cx\n setz "
              "%bl\n arpl %di, %si\n setz %bh\n arpl %si, %di\n pushf\n pop %edx\n and $0x40, %edx");

static const struct {
    const char *name;
    unsigned access, flags;
} types[] = {
    {"not-present data", 0x12, 0},
    {"data ro", PRESENT | 0x10, 0},
    {"data rw", PRESENT | 0x12, 0},
    {"data ro down", PRESENT | 0x14, BIG},
    {"data rw down", PRESENT | 0x16, BIG},
    {"code x", PRESENT | 0x18, BIG},
    {"code xr", PRESENT | 0x1a, BIG},
    {"code x conf", PRESENT | 0x1c, BIG},
    {"code xr conf", PRESENT | 0x1e, BIG},
    {"not-present code", 0x1a, BIG},
    {"data rw 4G", PRESENT | 0x12, GRAN | BIG},
    {"type 0", PRESENT | 0, 0},
    {"tss16", PRESENT | 1, 0},
    {"ldt", PRESENT | 2, 0},
    {"tss16 busy", PRESENT | 3, 0},
    {"call gate 16", PRESENT | 4, 0},
    {"task gate", PRESENT | 5, 0},
    {"int gate 16", PRESENT | 6, 0},
    {"trap gate 16", PRESENT | 7, 0},
    {"type 8", PRESENT | 8, 0},
    {"tss32", PRESENT | 9, 0},
    {"type 10", PRESENT | 10, 0},
    {"tss32 busy", PRESENT | 11, 0},
    {"call gate 32", PRESENT | 12, 0},
    {"type 13", PRESENT | 13, 0},
    {"int gate 32", PRESENT | 14, 0},
    {"trap gate 32", PRESENT | 15, 0},
    {"not-present tss32", 9, 0},
    {"not-present ldt", 2, 0},
};

static void sweep(unsigned ring, unsigned dpl, unsigned rpl)
{
    print("-- ring %u dpl %u rpl %u\n", ring, dpl, rpl);
    for (unsigned i = 0; i < sizeof types / sizeof types[0]; i++) {
        set_descriptor(SCRATCH, 0x12345678, 0x1abcd, types[i].access | dpl << 5, types[i].flags);
        print("%s:\n", types[i].name);
#define ASK(name)                                                                                            \
    fresh(ring);                                                                                             \
    ctx.eax = SCRATCH | rpl;                                                                                 \
    RUN_AS("  " #name, name)
        ASK(load_ds);
        ASK(load_ss);
        print("  accessed %u\n", (uint32_t)(gdt[SCRATCH >> 3] >> 40) & 1);
        ASK(lar);
        ASK(lsl);
        ASK(verr);
        ASK(verw);
    }
}

static void special_selectors(void)
{
    static const uint16_t odd[] = {0, 3, 4, 7, 0x804, 0x7f8, 0xfff8, 0xfffc, 0x13, KDATA, UDATA, 0x84};
    print("-- special selectors\n");
    for (unsigned ring = 0; ring < 4; ring += 3) {
        for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++) {
            print("%x ring %u\n", odd[i], ring);
#undef ASK
#define ASK(name)                                                                                            \
    fresh(ring);                                                                                             \
    ctx.eax = odd[i];                                                                                        \
    RUN(name)
            ASK(load_ds);
            ASK(load_ds_pop);
            ASK(load_ss);
            ASK(load_es_far);
            ASK(load_lds);
            ASK(lar);
            ASK(lar16);
            ASK(lsl);
            ASK(lsl16);
            ASK(verr);
            ASK(verw);
        }
    }
    fresh(3);
    RUN(mov_cs);
    fresh(3);
    RUN(mov_sreg6);
    fresh(3);
    RUN(mov_from_sreg7);
    fresh(3);
    RUN(selectors);
    fresh(3);
    RUN(arpl);
}

/* An LDT, present or not. */
static void local_table(void)
{
    print("-- LDT\n");
    set_descriptor(0x0c, 0, 0xfffff, PRESENT | DPL3 | DATA_RW, GRAN | BIG);
    lldt(LDT);
    fresh(3);
    ctx.eax = 0x0f;
    RUN(load_ds);
    ctx.eax = 0x107;
    RUN(load_ds);
    print("accessed %u\n", (uint32_t)(ldt[1] >> 40) & 1);
    lldt(0);
    fresh(3);
    ctx.eax = 0x0f;
    RUN(load_ds);
    fresh(3);
    ctx.eax = 0x0f;
    RUN(lar);
}

void image_main(void)
{
    for (unsigned ring = 0; ring < 4; ring += 3) {
        for (unsigned dpl = 0; dpl < 4; dpl += 3) {
            for (unsigned rpl = 0; rpl < 4; rpl += 3)
                sweep(ring, dpl, rpl);
        }
    }
    sweep(1, 1, 1);
    sweep(1, 2, 2);
    special_selectors();
    local_table();
}
