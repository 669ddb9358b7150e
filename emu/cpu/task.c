/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Hardware task switches (SDM vol. 3, chapter 7).
 *
 * A switch has three parts. First everything that can fault in the old task: the new TSS is read, the parts
 * of both TSSs and of the GDT that will be written are proved writable. Then the point of no return: the old
 * state is stored, busy bits, link field, NT, CR0.TS, CR3 and the registers change. Then the new task's LDT
 * and segment registers are checked one by one, and what is wrong there is raised as a fault of the new
 * task's first instruction: its selectors are visible by then, their hidden parts unusable until checked.
 */
#include "emu/cpu/descriptor.h"

/* The fields of both formats that are loaded and stored (SDM vol. 3, figures 7-2 and 7-10). */
struct task_image {
    uint32_t cr3, eip, eflags, gpr[8];
    uint16_t sreg[SEG_COUNT], ldt;
    bool trap;
};

#define TSS32_LIMIT 0x67u
#define TSS16_LIMIT 0x2bu

static void read_image(struct cpu *cpu, uint32_t base, bool tss32, struct task_image *t)
{
    if (tss32) {
        t->cr3 = sys_read32(cpu, base + 0x1c);
        t->eip = sys_read32(cpu, base + 0x20);
        t->eflags = sys_read32(cpu, base + 0x24);
        for (unsigned i = 0; i < 8; i++)
            t->gpr[i] = sys_read32(cpu, base + 0x28 + 4 * i);
        for (unsigned i = 0; i < SEG_COUNT; i++)
            t->sreg[i] = sys_read16(cpu, base + 0x48 + 4 * i);
        t->ldt = sys_read16(cpu, base + 0x60);
        t->trap = sys_read16(cpu, base + 0x64) & 1;
    } else {
        t->eip = sys_read16(cpu, base + 0x0e);
        t->eflags = sys_read16(cpu, base + 0x10);
        for (unsigned i = 0; i < 8; i++)
            t->gpr[i] = 0xffff0000u | sys_read16(cpu, base + 0x12 + 2 * i);
        for (unsigned i = 0; i < 4; i++)
            t->sreg[i] = sys_read16(cpu, base + 0x22 + 2 * i);
        t->ldt = sys_read16(cpu, base + 0x2a);
    }
}

static void write_image(struct cpu *cpu, uint32_t base, bool tss32, uint32_t eflags)
{
    if (tss32) {
        sys_write32(cpu, base + 0x20, cpu->eip);
        sys_write32(cpu, base + 0x24, eflags);
        for (unsigned i = 0; i < 8; i++)
            sys_write32(cpu, base + 0x28 + 4 * i, cpu->gpr[i]);
        for (unsigned i = 0; i < SEG_COUNT; i++)
            sys_write16(cpu, base + 0x48 + 4 * i, cpu->seg[i].selector);
    } else {
        sys_write16(cpu, base + 0x0e, (uint16_t)cpu->eip);
        sys_write16(cpu, base + 0x10, (uint16_t)eflags);
        for (unsigned i = 0; i < 8; i++)
            sys_write16(cpu, base + 0x12 + 2 * i, (uint16_t)cpu->gpr[i]);
        for (unsigned i = 0; i < 4; i++)
            sys_write16(cpu, base + 0x22 + 2 * i, cpu->seg[i].selector);
    }
}

/* ---- the new task's segments, in the order the processor qualifies them ---- */

static void load_ldt(struct cpu *cpu, uint16_t selector)
{
    struct descriptor d;
    if (SELECTOR_IS_NULL(selector))
        return;
    if ((selector & SELECTOR_TI) || !descriptor_read(cpu, selector, &d) || (d.hi & SEG_ATTR_S) ||
        descriptor_type(&d) != DESCRIPTOR_LDT || !descriptor_present(&d))
        cpu_fault_selector(cpu, VEC_TS, selector);
    segment_commit_system(&cpu->ldtr, selector, &d);
}

static void load_task_code(struct cpu *cpu, uint16_t selector)
{
    struct descriptor d;
    if (SELECTOR_IS_NULL(selector) || !descriptor_read(cpu, selector, &d) || !descriptor_is_code(&d))
        cpu_fault_selector(cpu, VEC_TS, selector);
    unsigned rpl = SELECTOR_RPL(selector), dpl = descriptor_dpl(&d);
    if (descriptor_is_conforming(&d) ? dpl > rpl : dpl != rpl)
        cpu_fault_selector(cpu, VEC_TS, selector);
    if (!descriptor_present(&d))
        cpu_fault_selector(cpu, VEC_NP, selector);
    descriptor_set_accessed(cpu, &d);
    segment_commit(cpu, SEG_CS, selector, &d);
}

static void load_task_stack(struct cpu *cpu, uint16_t selector, unsigned cpl)
{
    struct descriptor d;
    if (SELECTOR_IS_NULL(selector) || !descriptor_read(cpu, selector, &d) || !descriptor_is_writable_data(&d))
        cpu_fault_selector(cpu, VEC_TS, selector);
    if (!descriptor_present(&d))
        cpu_fault_selector(cpu, VEC_SS, selector);
    if (SELECTOR_RPL(selector) != cpl || descriptor_dpl(&d) != cpl)
        cpu_fault_selector(cpu, VEC_TS, selector);
    descriptor_set_accessed(cpu, &d);
    segment_commit(cpu, SEG_SS, selector, &d);
}

static void load_task_data(struct cpu *cpu, enum segment_register seg, uint16_t selector, unsigned cpl)
{
    struct descriptor d;
    if (SELECTOR_IS_NULL(selector))
        return;
    if (!descriptor_read(cpu, selector, &d) || !(d.hi & SEG_ATTR_S) ||
        (descriptor_is_code(&d) && !(d.hi & SEG_ATTR_RW)))
        cpu_fault_selector(cpu, VEC_TS, selector);
    if (!(descriptor_is_code(&d) && descriptor_is_conforming(&d)) &&
        (descriptor_dpl(&d) < cpl || descriptor_dpl(&d) < SELECTOR_RPL(selector)))
        cpu_fault_selector(cpu, VEC_TS, selector);
    if (!descriptor_present(&d))
        cpu_fault_selector(cpu, VEC_NP, selector);
    descriptor_set_accessed(cpu, &d);
    segment_commit(cpu, seg, selector, &d);
}

static void load_task_segments(struct cpu *cpu, const struct task_image *t)
{
    if (t->eflags & FLAG_VM) {
        for (unsigned i = 0; i < SEG_COUNT; i++)
            segment_commit_v86(cpu, (enum segment_register)i, t->sreg[i]);
        cpu_update_mode(cpu);
        load_ldt(cpu, t->ldt);
        if (cpu->eip > 0xffff)
            cpu_fault_selector(cpu, VEC_GP, 0);
        return;
    }
    unsigned cpl = SELECTOR_RPL(t->sreg[SEG_CS]);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (i == SEG_SS)
            cpu->seg[i].selector = t->sreg[i];
        else
            segment_commit_null(cpu, (enum segment_register)i, t->sreg[i]);
    }
    /* CPL is the new task's from here on, so that its faults find the right handler stack. The old stack's
     * hidden part stays until the new one is good: on level 0 a fault has nothing else to be reported on. */
    cpu->seg[SEG_SS].attr = (cpu->seg[SEG_SS].attr & ~SEG_ATTR_DPL) | cpl << 13;
    cpu_update_mode(cpu);
    load_ldt(cpu, t->ldt);
    /* The stack first, so that what is wrong with the rest can be reported on it (table 7-1). */
    load_task_stack(cpu, t->sreg[SEG_SS], cpl);
    cpu_update_mode(cpu);
    load_task_code(cpu, t->sreg[SEG_CS]);
    cpu_update_mode(cpu);
    load_task_data(cpu, SEG_ES, t->sreg[SEG_ES], cpl);
    load_task_data(cpu, SEG_DS, t->sreg[SEG_DS], cpl);
    load_task_data(cpu, SEG_FS, t->sreg[SEG_FS], cpl);
    load_task_data(cpu, SEG_GS, t->sreg[SEG_GS], cpl);
    if (cpu->eip > cpu->seg[SEG_CS].limit)
        cpu_fault_selector(cpu, VEC_GP, 0);
}

void task_switch(struct cpu *cpu, uint16_t selector, struct descriptor *d, enum task_switch_reason reason)
{
    bool new32 = (descriptor_type(d) & 8) != 0, old32 = (cpu->tr.attr >> 8 & 8) != 0;
    uint32_t new_base = descriptor_base(d), old_base = cpu->tr.base;
    uint16_t old_selector = cpu->tr.selector;
    struct task_image t = {0};

    if (descriptor_limit(d) < (new32 ? TSS32_LIMIT : TSS16_LIMIT))
        cpu_fault_selector(cpu, VEC_TS, selector);
    if (!(cpu->tr.attr & SEG_ATTR_P) || cpu->tr.limit < (old32 ? TSS32_LIMIT : TSS16_LIMIT))
        cpu_fault_selector(cpu, VEC_TS, old_selector);
    read_image(cpu, new_base, new32, &t);
    struct descriptor old = {.linear = cpu->gdtr.base + SELECTOR_INDEX(old_selector)};
    old.hi = sys_read32(cpu, old.linear + 4);
    mmu_check_write_slow(cpu, old_base + (old32 ? 0x20 : 0x0e), old32 ? 0x40 : 0x1c, false);
    mmu_check_write_slow(cpu, old.linear + 5, 1, false);
    mmu_check_write_slow(cpu, d->linear + 5, 1, false);
    if (reason == TASK_CALL)
        mmu_check_write_slow(cpu, new_base, 2, false);

    /* The point of no return. */
    trace(TASK, "task %04x:%08x -> %04x:%08x (TSS %04x)", cpu->seg[SEG_CS].selector, cpu->eip, t.sreg[SEG_CS],
          t.eip, selector);
    uint32_t saved_flags = cpu_eflags(cpu);
    if (reason == TASK_RETURN)
        saved_flags &= ~FLAG_NT;
    write_image(cpu, old_base, old32, saved_flags);
    if (reason != TASK_CALL)
        descriptor_set_busy(cpu, &old, false);
    if (reason == TASK_CALL) {
        sys_write16(cpu, new_base, old_selector);
        t.eflags |= FLAG_NT;
    }
    if (reason != TASK_RETURN)
        descriptor_set_busy(cpu, d, true);
    d->hi |= 0x200;
    segment_commit_system(&cpu->tr, selector, d);
    cpu->cr0 |= CR0_TS;

    memcpy(cpu->gpr, t.gpr, sizeof t.gpr);
    cpu->eip = cpu->insn_eip = t.eip;
    cpu->step_armed = false;
    cpu->dr[7] &= ~0x155u; /* L0…L3, LE: local to the task */
    cpu->ldtr = (struct segment){.selector = t.ldt, .min = 1};
    cpu_set_eflags(cpu, t.eflags & (new32 ? 0xffffffffu : 0xffffu) & FLAG_IMPLEMENTED);
    if (new32 && (cpu->cr0 & CR0_PG) && t.cr3 != cpu->cr3) {
        if ((cpu->cr4 & CR4_PAE) && !mmu_load_pdptes(cpu, t.cr3))
            cpu_fault_selector(cpu, VEC_TS, selector);
        cpu->cr3 = t.cr3;
        mmu_flush(cpu, false);
    }
    cpu_debug_registers_changed(cpu);
    load_task_segments(cpu, &t);
    if (t.trap)
        cpu_note_debug(cpu, DR6_BT);
}

void task_switch_through_gate(struct cpu *cpu, const struct descriptor *gate, enum task_switch_reason reason)
{
    uint16_t selector = (uint16_t)(gate->lo >> 16);
    struct descriptor d;
    if ((selector & SELECTOR_TI) || SELECTOR_IS_NULL(selector) || !descriptor_read(cpu, selector, &d) ||
        !descriptor_is_tss(&d, false))
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!descriptor_present(&d))
        cpu_fault_selector(cpu, VEC_NP, selector);
    task_switch(cpu, selector, &d, reason);
}
