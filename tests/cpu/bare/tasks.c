/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Hardware task switches by JMP, CALL, task gates, interrupts and IRET, between 32- and 16-bit TSSs: busy
 * bits, link, NT, TS, LDT, CR3, the T bit; everything a new TSS can have wrong, and in which task that is
 * reported (SDM vol. 3, chapter 7).
 */
#include "rt.h"

enum {
    NEW = SCRATCH,
    GATE = SCRATCH + 8,
    SEG1 = SCRATCH + 16,
    NEW16 = SCRATCH + 24,
    OTHER_LDT = SCRATCH + 32
};

FIXED static struct tss fresh_tss;
FIXED static struct tss16 small;
FIXED static uint8_t new_stack[4096], new_stack0[4096];

SNIPPET(jump_task, "ljmp *(%esi)");
SNIPPET(call_task, "lcall *(%esi)\n mov $0x600d, %eax");
SNIPPET(int_60, "int $0x60\n mov $0x600d, %eax");
SNIPPET(ud_by_gate, "ud2");
SNIPPET(gp_by_gate, "mov $0x1238, %ecx\n mov %ecx, %ds");
SNIPPET(iret_nested, "pushf\n orl $0x4000, (%esp)\n popf\n iret");
/* The new task. */
SNIPPET(arrived, "nop");
SNIPPET(come_back, "mov $0x1111, %eax\n iret\n mov $0x2222, %eax\n iret");
SNIPPET(come_back_jump, "ljmp $0x28, $0");
SNIPPET(arrived16, "nop\n nop");

static struct {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed)) pointer;

static void prepare(const char *entry, unsigned ring)
{
    static const uint16_t code[4] = {KCODE, R1CODE, R2CODE, UCODE}, data[4] = {KDATA, R1DATA, R2DATA, UDATA};
    memset(&fresh_tss, 0, sizeof fresh_tss);
    fresh_tss.eip = (uint32_t)entry;
    fresh_tss.cs = code[ring];
    fresh_tss.ss = fresh_tss.ds = fresh_tss.es = fresh_tss.fs = fresh_tss.gs = data[ring];
    fresh_tss.esp = (uint32_t)(new_stack + sizeof new_stack);
    fresh_tss.eflags = 0x202 & ~0x200u;
    fresh_tss.eax = 0x7a7a7a7a;
    fresh_tss.ebx = 0x7b7b7b7b;
    fresh_tss.ecx = 0x7c7c7c7c;
    fresh_tss.edx = 0x7d7d7d7d;
    fresh_tss.esi = 0x75757575;
    fresh_tss.edi = 0x7f7f7f7f;
    fresh_tss.ebp = 0x70707070;
    fresh_tss.ss0 = KDATA;
    fresh_tss.esp0 = (uint32_t)(new_stack0 + sizeof new_stack0);
    fresh_tss.iomap = 0x68;
    fresh_tss.cr3 = read_cr3();
    set_descriptor(NEW, (uint32_t)&fresh_tss, 0x67, PRESENT | 9, 0);
    set_gate(&gdt[GATE >> 3], NEW, 0, PRESENT | DPL3 | 5, 0);
    tss.link = 0;
    pointer.selector = NEW;
    pointer.offset = 0xdeadbeef;
}

static void busy(const char *title)
{
    uint16_t tr;
    __asm__ volatile("str %0" : "=r"(tr));
    print("  %s: tr %x busy main %u new %u link %x NT main %u new %u TS %u\n", title, tr,
          (uint32_t)(gdt[TSS >> 3] >> 41) & 1, (uint32_t)(gdt[NEW >> 3] >> 41) & 1, fresh_tss.link & 0xffff,
          tss.eflags >> 14 & 1, fresh_tss.eflags >> 14 & 1, read_cr0() >> 3 & 1);
    __asm__ volatile("clts");
}

/* Makes the main TSS the current one again, whatever happened. */
static void restore(void)
{
    set_descriptor(TSS, (uint32_t)&tss, sizeof tss - 1, PRESENT | 9, 0);
    set_descriptor(DF_TSS, (uint32_t)&df_tss, 0x67, PRESENT | 9, 0);
    ltr(TSS);
    lldt(0);
    write_dr7(0x400);
    write_dr6(0xffff0ff0);
}

static void go(const char *title, const char *start, const char *end, unsigned ring)
{
    fresh(ring);
    ctx.esi = (uint32_t)&pointer;
    ctx.eip = (uint32_t)start;
    ctx.eflags = 0x3002;
    run_context();
    if (last.vector == 0x80 && last.eip == (uint32_t)arrived_end + 2)
        print("arrived ");
    report(title, start, end);
    busy("after");
    restore();
}

static void ways(void)
{
    for (unsigned ring = 0; ring < 4; ring += 3) {
        for (unsigned to = 0; to < 4; to += 3) {
            print("-- from ring %u to ring %u\n", ring, to);
            prepare(arrived, to);
            go("jump", jump_task, jump_task_end, ring);
            prepare(arrived, to);
            gdt[NEW >> 3] |= (uint64_t)DPL3 << 40;
            pointer.selector |= 3;
            go("jump, DPL 3", jump_task, jump_task_end, ring);
            prepare(arrived, to);
            gdt[NEW >> 3] |= (uint64_t)DPL3 << 40;
            go("call, DPL 3", call_task, call_task_end, ring);
            prepare(arrived, to);
            pointer.selector = GATE | 3;
            go("jump by gate", jump_task, jump_task_end, ring);
            prepare(arrived, to);
            pointer.selector = GATE | 3;
            go("call by gate", call_task, call_task_end, ring);
            prepare(come_back, to);
            pointer.selector = GATE | 3;
            go("call and IRET", call_task, call_task_end, ring);
            print("  new: eip +%u eax %x\n", fresh_tss.eip - (uint32_t)come_back, fresh_tss.eax);
            prepare(come_back_jump, to);
            pointer.selector = GATE | 3;
            gdt[TSS >> 3] |= (uint64_t)DPL3 << 40;
            go("call and JMP back to a busy one", call_task, call_task_end, ring);
            prepare(arrived, to);
            set_gate(&idt[0x60], NEW, 0, PRESENT | DPL3 | 5, 0);
            go("interrupt", int_60, int_60_end, ring);
            prepare(come_back, to);
            go("interrupt and IRET", int_60, int_60_end, ring);
            prepare(arrived, to);
            set_gate(&idt[6], NEW, 0, PRESENT | 5, 0);
            go("exception", ud_by_gate, ud_by_gate_end, ring);
            prepare(come_back, to);
            extern char stubs[];
            set_vector(6, (uint32_t)stubs + 16 * 6, PRESENT | 14);
            set_gate(&idt[13], NEW, 0, PRESENT | 5, 0);
            prepare(arrived, to);
            go("exception with error code", gp_by_gate, gp_by_gate_end, ring);
            dump_stack(1, 4, NULL);
            print("  on the new stack: %x, sp-%u\n", *(uint32_t *)(new_stack + sizeof new_stack - 4),
                  (uint32_t)(new_stack + sizeof new_stack) - last.esp);
            set_vector(13, (uint32_t)stubs + 16 * 13, PRESENT | 14);
        }
    }
    print("-- what was saved\n");
    prepare(arrived, 0);
    go("jump", jump_task, jump_task_end, 0);
    print("  eip +%u eflags %x eax %x ecx %x edx %x ebx %x ebp %x edi %x es %x cs %x ss %x ds %x fs %x gs %x "
          "ldt %x\n",
          tss.eip - (uint32_t)jump_task, tss.eflags, tss.eax, tss.ecx, tss.edx, tss.ebx, tss.ebp, tss.edi,
          tss.es, tss.cs, tss.ss, tss.ds, tss.fs, tss.gs, tss.ldt);
}

static void sixteen(void)
{
    extern char stubs[];
    print("-- 16-bit TSS\n");
    set_descriptor(CODE16, (uint32_t)arrived16, 0xffff, PRESENT | DPL3 | CODE_R, 0);
    small = (struct tss16){.ip = 0,
                           .flags = 2,
                           .ax = 0x1a1a,
                           .cx = 0x1c1c,
                           .dx = 0x1d1d,
                           .bx = 0x1b1b,
                           .sp = 0x1000,
                           .bp = 0x1bbb,
                           .si = 0x1515,
                           .di = 0x1616,
                           .es = UDATA,
                           .cs = CODE16 | 3,
                           .ss = DATA16 | 3,
                           .ds = UDATA,
                           .sp0 = 0x7000,
                           .ss0 = KDATA};
    set_descriptor(DATA16, (uint32_t)new_stack, 0xffff, PRESENT | DPL3 | DATA_RW, 0);
    set_descriptor(NEW16, (uint32_t)&small, sizeof small - 1, PRESENT | 1, 0);
    prepare(arrived, 0);
    pointer.selector = NEW16;
    fresh(0);
    ctx.esi = (uint32_t)&pointer;
    ctx.eip = (uint32_t)jump_task;
    run_context();
    last.esp = ctx.esp; /* the upper halves are undefined */
    last.eax &= 0xffff, last.ebx &= 0xffff, last.ecx &= 0xffff, last.edx &= 0xffff, last.esi &= 0xffff;
    last.edi &= 0xffff, last.ebp &= 0xffff;
    report("jump to 16", jump_task, jump_task_end);
    restore();
    set_descriptor(CODE16, (uint32_t)come_back, 0xffff, PRESENT | DPL3 | CODE_R, BIG);
    small.ip = 0;
    small.flags = 2;
    pointer.selector = NEW16;
    set_descriptor(NEW16, (uint32_t)&small, sizeof small - 1, PRESENT | 1, 0);
    fresh(0);
    ctx.esi = (uint32_t)&pointer;
    RUN_AS("call to 16 and back", call_task);
    print("  ip %x flags %x ax %x link %x\n", small.ip, small.flags, small.ax, small.link);
    restore();
    set_descriptor(NEW16, (uint32_t)&small, sizeof small - 2, PRESENT | 1, 0);
    fresh(0);
    ctx.esi = (uint32_t)&pointer;
    RUN_AS("16-bit TSS one byte short", call_task);
    restore();
    set_descriptor(CODE16, 0, 0xffff, PRESENT | CODE_R, 0);
    set_descriptor(DATA16, 0, 0xffff, PRESENT | DATA_RW, 0);
    (void)stubs;
}

/* Faults before the switch are the old task's, after it the new one's. */
static void faults(void)
{
    print("-- wrong TSS descriptors\n");
    prepare(arrived, 0);
    set_descriptor(NEW, (uint32_t)&fresh_tss, 0x66, PRESENT | 9, 0);
    go("limit", jump_task, jump_task_end, 0);
    prepare(arrived, 0);
    set_descriptor(NEW, (uint32_t)&fresh_tss, 0x67, 9, 0);
    go("absent", jump_task, jump_task_end, 0);
    prepare(arrived, 0);
    set_descriptor(NEW, (uint32_t)&fresh_tss, 0x67, PRESENT | 11, 0);
    go("busy", jump_task, jump_task_end, 0);
    prepare(arrived, 0);
    set_descriptor(NEW, (uint32_t)&fresh_tss, 0x67, PRESENT | 11, 0);
    pointer.selector = GATE;
    go("busy by gate", call_task, call_task_end, 0);
    prepare(arrived, 0);
    set_descriptor(NEW, (uint32_t)&fresh_tss, 0x67, 9, 0);
    pointer.selector = GATE;
    go("absent by gate", call_task, call_task_end, 0);
    prepare(arrived, 0);
    set_gate(&gdt[GATE >> 3], KDATA, 0, PRESENT | DPL3 | 5, 0);
    pointer.selector = GATE;
    go("gate to data", call_task, call_task_end, 0);
    prepare(arrived, 0);
    set_gate(&gdt[GATE >> 3], NEW | 4, 0, PRESENT | DPL3 | 5, 0);
    pointer.selector = GATE;
    go("gate to local", call_task, call_task_end, 0);
    prepare(arrived, 0);
    set_gate(&gdt[GATE >> 3], NEW, 0, PRESENT | 5, 0);
    pointer.selector = GATE;
    go("gate DPL 0 from ring 3", call_task, call_task_end, 3);
    prepare(arrived, 0);
    set_gate(&gdt[GATE >> 3], NEW, 0, DPL3 | 5, 0);
    pointer.selector = GATE;
    go("absent gate", call_task, call_task_end, 3);
    prepare(arrived, 0);
    set_descriptor(NEW, (uint32_t)&fresh_tss, 0x67, PRESENT | 11, 0);
    set_gate(&idt[0x60], NEW, 0, PRESENT | DPL3 | 5, 0);
    go("interrupt to a busy one", int_60, int_60_end, 3);
    prepare(arrived, 0);
    set_gate(&idt[0x60], NEW | 4, 0, PRESENT | DPL3 | 5, 0);
    go("interrupt to local", int_60, int_60_end, 3);
    prepare(arrived, 0);
    set_gate(&idt[6], UDATA, 0, PRESENT | DPL3 | 5, 0);
    go("exception to data", ud_by_gate, ud_by_gate_end, 3);
    extern char stubs[];
    set_vector(6, (uint32_t)stubs + 16 * 6, PRESENT | 14);

    print("-- wrong segments in the new TSS\n");
    static const struct {
        const char *name;
        unsigned access;
        uint16_t selector;
    } rows[] = {
        {"null", 0, 0},
        {"null rpl 3", 0, 3},
        {"outside", 0, 0xfff8},
        {"local", 0, 0x0c},
        {"data 0", PRESENT | DATA_RW, SEG1},
        {"data 3", PRESENT | DPL3 | DATA_RW, SEG1 | 3},
        {"data 3 rpl 0", PRESENT | DPL3 | DATA_RW, SEG1},
        {"data 0 rpl 3", PRESENT | DATA_RW, SEG1 | 3},
        {"read-only 0", PRESENT | DATA_RO, SEG1},
        {"absent data 0", DATA_RW, SEG1},
        {"absent code 0", CODE_R, SEG1},
        {"code 0", PRESENT | CODE_R, SEG1},
        {"code 3", PRESENT | DPL3 | CODE_R, SEG1 | 3},
        {"code 0 rpl 3", PRESENT | CODE_R, SEG1 | 3},
        {"code 3 rpl 0", PRESENT | DPL3 | CODE_R, SEG1},
        {"conforming 0 rpl 3", PRESENT | CODE_R | CONFORMING, SEG1 | 3},
        {"conforming 3 rpl 0", PRESENT | DPL3 | CODE_R | CONFORMING, SEG1},
        {"execute-only 0", PRESENT | CODE_X, SEG1},
        {"ldt", PRESENT | 2, SEG1},
        {"tss", PRESENT | 9, SEG1},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned ring = 0; ring < 4; ring += 3) {
            print("%s, ring %u\n", rows[i].name, ring);
#define WRONG(field)                                                                                         \
    prepare(arrived, ring);                                                                                  \
    set_descriptor(SEG1, 0, 0xfffff, rows[i].access, GRAN | BIG);                                            \
    fresh_tss.field = rows[i].selector;                                                                      \
    go("  " #field, jump_task, jump_task_end, 0)
            WRONG(cs);
            WRONG(ss);
            WRONG(ds);
            WRONG(es);
            WRONG(fs);
            WRONG(gs);
            WRONG(ldt);
        }
    }
    print("-- other fields\n");
    prepare(arrived, 0);
    set_descriptor(SEG1, (uint32_t)arrived, 0xff, PRESENT | CODE_R, BIG);
    fresh_tss.cs = SEG1;
    fresh_tss.eip = 0x100;
    go("eip beyond the limit", jump_task, jump_task_end, 0);
    prepare(arrived, 3);
    fresh_tss.trap = 1;
    go("T bit", jump_task, jump_task_end, 0);
    prepare(arrived, 0);
    fresh_tss.eflags = 0x102;
    go("TF in the new task", jump_task, jump_task_end, 0);
    prepare(arrived, 0);
    set_descriptor(OTHER_LDT, (uint32_t)ldt, sizeof ldt - 1, PRESENT | 2, 0);
    set_descriptor(0x0c, 0, 0xfffff, PRESENT | DATA_RW, GRAN | BIG);
    fresh_tss.ldt = OTHER_LDT;
    fresh_tss.ds = 0x0c;
    go("LDT and a local DS", jump_task, jump_task_end, 0);
    prepare(arrived, 0);
    fresh_tss.eflags = 0x7002;
    write_dr7(0x400 | 0x3ff);
    go("L bits of DR7", jump_task, jump_task_end, 0);

    print("-- IRET with NT\n");
    static const uint16_t links[] = {0, NEW, TSS, KDATA, 0xfff8, NEW | 4, SEG1, LDT};
    for (unsigned i = 0; i < sizeof links / sizeof links[0]; i++) {
        prepare(arrived, 0);
        set_descriptor(NEW, (uint32_t)&fresh_tss, 0x67, PRESENT | 11, 0);
        set_descriptor(SEG1, (uint32_t)&fresh_tss, 0x67, 11, 0);
        tss.link = links[i];
        print("%x ", links[i]);
        go("iret", iret_nested, iret_nested_end, 0);
    }
    prepare(arrived, 0);
    tss.link = NEW;
    go("iret to one not busy", iret_nested, iret_nested_end, 0);
    prepare(arrived, 3);
    set_descriptor(NEW, (uint32_t)&fresh_tss, 0x67, PRESENT | 11, 0);
    tss.link = NEW;
    go("iret from ring 3", iret_nested, iret_nested_end, 3);
}

void image_main(void)
{
    tss.cr3 = df_tss.cr3 = read_cr3();
    ways();
    sixteen();
    faults();
}
