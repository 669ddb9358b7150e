/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Segment registers and far control transfers (SDM vol. 3, chapters 3, 5 and 20; vol. 2 for the order of
 * checks of each instruction).
 *
 * Every operation has the same shape: read what memory holds, check all of it, then change registers. So a
 * fault, including a page fault on a descriptor or a stack, leaves the instruction restartable. Accessed bits
 * may have been set by then, as on the processor.
 *
 * CPL is the DPL of the SS register at all times (SDM vol. 3, 5.5): real-mode loads give 0, V86 loads 3.
 * Real-mode loads change base and rights but keep the limit and B/D, so limits set in protected mode survive
 * ("unreal").
 */
#include "emu/cpu/descriptor.h"

/* ---- hidden parts ---- */

void segment_set_cache(struct cpu *cpu, enum segment_register seg, uint16_t selector, uint32_t base,
                       uint32_t limit, uint32_t attr)
{
    struct segment *s = &cpu->seg[seg];
    s->selector = selector;
    s->base = base;
    s->limit = limit;
    s->attr = attr & SEG_ATTR_MASK;
    s->min = 0;
    s->max = limit;
    bool usable = (attr & (SEG_ATTR_P | SEG_ATTR_S)) == (SEG_ATTR_P | SEG_ATTR_S);
    if (attr & SEG_ATTR_CODE) {
        s->can_read = usable && (attr & SEG_ATTR_RW);
        s->can_write = false;
    } else {
        s->can_read = usable;
        s->can_write = usable && (attr & SEG_ATTR_RW);
        if (attr & SEG_ATTR_EXPAND_DOWN) {
            s->min = limit + 1;
            s->max = attr & SEG_ATTR_DB ? 0xffffffffu : 0xffffu;
            if (limit == 0xffffffffu) { /* nothing is below it */
                s->min = 1;
                s->max = 0;
            }
        }
    }
}

void segment_commit(struct cpu *cpu, enum segment_register seg, uint16_t selector, const struct descriptor *d)
{
    segment_set_cache(cpu, seg, selector, descriptor_base(d), descriptor_limit(d), d->hi);
}

void segment_commit_null(struct cpu *cpu, enum segment_register seg, uint16_t selector)
{
    struct segment *s = &cpu->seg[seg];
    /* The limit stays, for a later return to real mode. */
    s->selector = selector;
    s->base = 0;
    s->attr &= SEG_ATTR_DB | SEG_ATTR_G;
    s->can_read = s->can_write = false;
    s->min = 1;
    s->max = 0;
}

void segment_commit_v86(struct cpu *cpu, enum segment_register seg, uint16_t selector)
{
    segment_set_cache(cpu, seg, selector, (uint32_t)selector << 4, 0xffff, SEG_ATTR_V86);
}

static void segment_commit_real(struct cpu *cpu, enum segment_register seg, uint16_t selector)
{
    struct segment *s = &cpu->seg[seg];
    segment_set_cache(cpu, seg, selector, (uint32_t)selector << 4, s->limit,
                      SEG_ATTR_REAL | (s->attr & (SEG_ATTR_DB | SEG_ATTR_G)));
}

void segment_commit_system(struct segment *s, uint16_t selector, const struct descriptor *d)
{
    *s = (struct segment){.selector = selector};
    if (d) {
        s->base = descriptor_base(d);
        s->limit = descriptor_limit(d);
        s->attr = d->hi & SEG_ATTR_MASK;
        s->max = s->limit;
    } else {
        s->min = 1; /* null: nothing is inside */
    }
}

void cpu_update_mode(struct cpu *cpu)
{
    cpu->cpl = (cpu->seg[SEG_SS].attr & SEG_ATTR_DPL) >> 13;
    cpu->code32 = (cpu->seg[SEG_CS].attr & SEG_ATTR_DB) != 0;
    cpu->stack_mask = cpu->seg[SEG_SS].attr & SEG_ATTR_DB ? 0xffffffffu : 0xffffu;
    cpu->align_check = cpu->cpl == 3 && (cpu->cr0 & CR0_AM) && (cpu->eflags & FLAG_AC);
    cpu->tlb_data = cpu->tlb[cpu->align_check ? TLB_EMPTY : cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR];
    cpu_update_events(cpu);
}

uint32_t segment_check_slow(struct cpu *cpu, enum segment_register seg, uint32_t offset, unsigned size,
                            bool write)
{
    const struct segment *s = &cpu->seg[seg];
    /* Around the end of a 4 GiB segment the processor wraps. */
    if ((write ? s->can_write : s->can_read) && s->min == 0 && s->max == 0xffffffffu)
        return s->base + offset;
    cpu_fault(cpu, seg == SEG_SS ? VEC_SS : VEC_GP, 0);
}

void segment_set_eip(struct cpu *cpu, uint32_t eip)
{
    if (access_unlikely(eip > cpu->seg[SEG_CS].limit))
        cpu_fault_gp(cpu, 0);
    cpu->eip = eip;
}

/* ---- descriptors ---- */

bool descriptor_read(struct cpu *cpu, uint16_t selector, struct descriptor *out)
{
    uint32_t base = cpu->gdtr.base, limit = cpu->gdtr.limit;
    if (selector & SELECTOR_TI) {
        if (!(cpu->ldtr.attr & SEG_ATTR_P))
            return false;
        base = cpu->ldtr.base;
        limit = cpu->ldtr.limit;
    }
    if ((selector | 7u) > limit)
        return false;
    out->linear = base + SELECTOR_INDEX(selector);
    out->lo = sys_read32(cpu, out->linear);
    out->hi = sys_read32(cpu, out->linear + 4);
    return true;
}

void descriptor_demand(struct cpu *cpu, uint16_t selector, enum vector vector, struct descriptor *out)
{
    if (!descriptor_read(cpu, selector, out))
        cpu_fault_selector(cpu, vector, selector);
}

void descriptor_set_accessed(struct cpu *cpu, struct descriptor *d)
{
    if (d->hi & SEG_ATTR_ACCESSED)
        return;
    d->hi |= SEG_ATTR_ACCESSED;
    sys_write8(cpu, d->linear + 5, (uint8_t)(d->hi >> 8));
}

void descriptor_set_busy(struct cpu *cpu, struct descriptor *d, bool busy)
{
    d->hi = busy ? d->hi | 0x200 : d->hi & ~0x200u;
    sys_write8(cpu, d->linear + 5, (uint8_t)(d->hi >> 8));
}

/* ---- data segment loads ---- */

static void load_stack_segment(struct cpu *cpu, uint16_t selector)
{
    struct descriptor d;
    if (SELECTOR_IS_NULL(selector))
        cpu_fault_gp(cpu, 0);
    descriptor_demand(cpu, selector, VEC_GP, &d);
    if (SELECTOR_RPL(selector) != cpu->cpl || descriptor_dpl(&d) != cpu->cpl ||
        !descriptor_is_writable_data(&d))
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!descriptor_present(&d))
        cpu_fault_selector(cpu, VEC_SS, selector);
    descriptor_set_accessed(cpu, &d);
    segment_commit(cpu, SEG_SS, selector, &d);
    cpu_update_mode(cpu);
}

void segment_forget_memos(struct cpu *cpu)
{
    for (unsigned i = 0; i < SEG_COUNT; i++)
        cpu->segment_memo[i].selector = SEGMENT_MEMO_NONE;
    cpu->gate_in.offset = cpu->gate_in.selector = cpu->gate_out.offset = cpu->gate_out.selector =
        GATE_MEMO_NONE;
}

static bool segment_is_flat32(const struct segment *s)
{
    return s->base == 0 && s->max == 0xffffffffu && (s->attr & SEG_ATTR_DB);
}

void segment_remember_gate(struct cpu *cpu, struct gate_memo *memo, const struct descriptor *code,
                           const struct descriptor *stack)
{
    const struct segment *cs = &cpu->seg[SEG_CS], *ss = &cpu->seg[SEG_SS];

    memo->offset = memo->selector = GATE_MEMO_NONE;
    if (!segment_is_flat32(cs) || !segment_is_flat32(ss))
        return;
    *memo = (struct gate_memo){
        .code = (uint64_t)code->hi << 32 | code->lo,
        .stack = (uint64_t)stack->hi << 32 | stack->lo,
        .offset = GATE_MEMO_NONE,
        .selector = cs->selector,
        .ss = ss->selector,
        .cs_offset = SELECTOR_INDEX(cs->selector),
        .ss_offset = SELECTOR_INDEX(ss->selector),
        .cs = *cs,
        .stack_segment = *ss,
    };
}

static void remember_load(struct cpu *cpu, enum segment_register seg, const struct descriptor *d)
{
    const struct segment *s = &cpu->seg[seg];
    bool plain = s->max == 0xffffffffu;

    /* Code is translated for flat DS and ES. */
    if ((seg == SEG_DS || seg == SEG_ES) && !(plain && s->base == 0))
        return;
    cpu->segment_memo[seg] = (struct segment_memo){
        .raw = (uint64_t)d->hi << 32 | d->lo,
        .selector = s->selector,
        .offset = SELECTOR_INDEX(s->selector),
        .loaded = *s,
        .plain = plain,
    };
}

static bool segment_load_quickly(struct cpu *cpu, enum segment_register seg, uint16_t selector)
{
    struct descriptor d;
    if (!descriptor_read_quickly(cpu, selector, &d) ||
        (d.hi & DESCRIPTOR_USUAL_MASK) != DESCRIPTOR_USUAL_DATA ||
        SELECTOR_RPL(selector) > descriptor_dpl(&d) || cpu->cpl > descriptor_dpl(&d))
        return false;
    segment_commit_usual(cpu, seg, selector, &d);
    if (cpu->jit)
        remember_load(cpu, seg, &d);
    return true;
}

void segment_load(struct cpu *cpu, enum segment_register seg, uint16_t selector)
{
    if (cpu_protected(cpu) && seg != SEG_SS && segment_load_quickly(cpu, seg, selector))
        return;
    if (!cpu_protected(cpu)) {
        if (cpu_v86(cpu))
            segment_commit_v86(cpu, seg, selector);
        else
            segment_commit_real(cpu, seg, selector);
        if (seg == SEG_SS)
            cpu_update_mode(cpu);
        return;
    }
    if (seg == SEG_SS) {
        load_stack_segment(cpu, selector);
        return;
    }
    if (SELECTOR_IS_NULL(selector)) {
        segment_commit_null(cpu, seg, selector);
        return;
    }
    struct descriptor d;
    descriptor_demand(cpu, selector, VEC_GP, &d);
    bool code = descriptor_is_code(&d);
    if (!(d.hi & SEG_ATTR_S) || (code && !(d.hi & SEG_ATTR_RW)))
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!(code && descriptor_is_conforming(&d)) &&
        (SELECTOR_RPL(selector) > descriptor_dpl(&d) || cpu->cpl > descriptor_dpl(&d)))
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!descriptor_present(&d))
        cpu_fault_selector(cpu, VEC_NP, selector);
    descriptor_set_accessed(cpu, &d);
    segment_commit(cpu, seg, selector, &d);
}

/* ---- stacks ---- */

struct stack stack_current(struct cpu *cpu)
{
    const struct segment *s = &cpu->seg[SEG_SS];
    return (struct stack){
        .base = s->base,
        .min = s->can_write ? s->min : 1,
        .max = s->can_write ? s->max : 0,
        .sp = cpu->gpr[ESP],
        .mask = cpu->stack_mask,
        .user = cpu->cpl == 3,
    };
}

struct stack stack_inner(struct cpu *cpu, unsigned dpl, uint16_t *ss, struct descriptor *d)
{
    bool tss32 = (cpu->tr.attr >> 8 & 8) != 0;
    uint32_t offset = tss32 ? 4 + 8 * dpl : 2 + 4 * dpl;
    uint32_t sp;
    if (!(cpu->tr.attr & SEG_ATTR_P) || offset + (tss32 ? 5 : 3) > cpu->tr.limit)
        cpu_fault_selector(cpu, VEC_TS, cpu->tr.selector);
    if (tss32) {
        sp = sys_read32(cpu, cpu->tr.base + offset);
        *ss = sys_read16(cpu, cpu->tr.base + offset + 4);
    } else {
        sp = sys_read16(cpu, cpu->tr.base + offset);
        *ss = sys_read16(cpu, cpu->tr.base + offset + 2);
    }
    if (SELECTOR_IS_NULL(*ss))
        cpu_fault_selector(cpu, VEC_TS, *ss);
    descriptor_demand(cpu, *ss, VEC_TS, d);
    if (SELECTOR_RPL(*ss) != dpl || descriptor_dpl(d) != dpl || !descriptor_is_writable_data(d))
        cpu_fault_selector(cpu, VEC_TS, *ss);
    if (!descriptor_present(d))
        cpu_fault_selector(cpu, VEC_SS, *ss);
    descriptor_set_accessed(cpu, d);

    struct stack st = {
        .base = descriptor_base(d), .max = descriptor_limit(d), .sp = sp, .error = *ss, .user = dpl == 3};
    st.mask = d->hi & SEG_ATTR_DB ? 0xffffffffu : 0xffffu;
    if (d->hi & SEG_ATTR_EXPAND_DOWN) {
        st.min = st.max + 1;
        st.max = st.mask;
        if (st.min == 0)
            st.min = 1, st.max = 0;
    }
    return st;
}

void stack_put(struct cpu *cpu, struct stack *st, uint32_t value, unsigned size)
{
    uint32_t sp = (st->sp - size) & st->mask;
    if (sp < st->min || (uint64_t)sp + size - 1 > st->max) {
        if (!(st->min == 0 && st->max == 0xffffffffu))
            cpu_fault_selector(cpu, VEC_SS, st->error);
    }
    uint32_t linear = st->base + sp;
    const struct tlb_entry *e = tlb_slot(cpu->tlb[st->user ? TLB_USER : TLB_SUPERVISOR], linear);
    if (ACCESS_TAG_MATCHES(e->write, linear, size) && !cpu->align_check)
        memcpy((void *)(e->addend + linear), &value, size);
    else
        mmu_write_slow(cpu, linear, value, size, st->user);
    st->sp = (st->sp & ~st->mask) | sp;
}

uint32_t stack_peek(struct cpu *cpu, uint32_t offset, unsigned size)
{
    uint32_t sp = (cpu->gpr[ESP] + offset) & cpu->stack_mask;
    return size == 4 ? mem_read32(cpu, SEG_SS, sp) : mem_read16(cpu, SEG_SS, sp);
}

/* SP or ESP by the mask of the stack segment just loaded. */
static void stack_pointer_set(struct cpu *cpu, uint32_t sp)
{
    cpu->gpr[ESP] = cpu->stack_mask == 0xffffffffu ? sp : (cpu->gpr[ESP] & 0xffff0000u) | (sp & 0xffff);
}

/* ---- far jumps and calls ---- */

static void check_limit(struct cpu *cpu, const struct descriptor *d, uint32_t eip)
{
    if (eip > descriptor_limit(d))
        cpu_fault_selector(cpu, VEC_GP, 0);
}

/* The code segment of a direct far JMP or CALL: present, and privilege is right. */
static void check_direct_code(struct cpu *cpu, uint16_t selector, const struct descriptor *d)
{
    unsigned dpl = descriptor_dpl(d);
    if (descriptor_is_conforming(d) ? dpl > cpu->cpl : SELECTOR_RPL(selector) > cpu->cpl || dpl != cpu->cpl)
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!descriptor_present(d))
        cpu_fault_selector(cpu, VEC_NP, selector);
}

/* A gate or TSS named by a far JMP or CALL. */
static void check_system_target(struct cpu *cpu, uint16_t selector, const struct descriptor *d)
{
    unsigned dpl = descriptor_dpl(d);
    if (dpl < cpu->cpl || dpl < SELECTOR_RPL(selector))
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!(d->hi & SEG_ATTR_S) && (descriptor_type(d) & ~8u) == DESCRIPTOR_TSS16_BUSY)
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!descriptor_present(d))
        cpu_fault_selector(cpu, VEC_NP, selector);
}

static void commit_code(struct cpu *cpu, uint16_t selector, struct descriptor *d, unsigned cpl, uint32_t eip)
{
    descriptor_set_accessed(cpu, d);
    segment_commit(cpu, SEG_CS, (uint16_t)((selector & ~3u) | cpl), d);
    cpu->eip = eip;
}

/* The code segment a call gate leads to. */
static uint16_t gate_target(struct cpu *cpu, const struct descriptor *gate, bool jump,
                            struct descriptor *code, uint32_t *eip)
{
    uint16_t selector = (uint16_t)(gate->lo >> 16);
    *eip = gate->lo & 0xffff;
    if (descriptor_type(gate) == DESCRIPTOR_CALL_GATE32)
        *eip |= gate->hi & 0xffff0000u;
    if (SELECTOR_IS_NULL(selector))
        cpu_fault_gp(cpu, 0);
    descriptor_demand(cpu, selector, VEC_GP, code);
    unsigned dpl = descriptor_dpl(code);
    if (!descriptor_is_code(code) || dpl > cpu->cpl ||
        (jump && !descriptor_is_conforming(code) && dpl != cpu->cpl))
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!descriptor_present(code))
        cpu_fault_selector(cpu, VEC_NP, selector);
    return selector;
}

static bool is_call_gate(const struct descriptor *d)
{
    return descriptor_type(d) == DESCRIPTOR_CALL_GATE16 || descriptor_type(d) == DESCRIPTOR_CALL_GATE32;
}

/* Far JMP and CALL to a task: true when it was one and is done. */
static bool transfer_to_task(struct cpu *cpu, uint16_t selector, struct descriptor *d,
                             enum task_switch_reason reason)
{
    if (descriptor_is_tss(d, false)) {
        if (selector & SELECTOR_TI)
            cpu_fault_selector(cpu, VEC_GP, selector);
        task_switch(cpu, selector, d, reason);
        return true;
    }
    if (descriptor_type(d) == DESCRIPTOR_TASK_GATE) {
        task_switch_through_gate(cpu, d, reason);
        return true;
    }
    return false;
}

static bool is_transfer_target(const struct descriptor *d) /* S is clear */
{
    switch (descriptor_type(d)) {
    case DESCRIPTOR_TSS16:
    case DESCRIPTOR_TSS16_BUSY:
    case DESCRIPTOR_TSS32:
    case DESCRIPTOR_TSS32_BUSY:
    case DESCRIPTOR_TASK_GATE:
    case DESCRIPTOR_CALL_GATE16:
    case DESCRIPTOR_CALL_GATE32:
        return true;
    default:
        return false;
    }
}

/* CS:EIP in real and V86 mode. */
static void commit_real_code(struct cpu *cpu, uint16_t selector, uint32_t offset)
{
    if (offset > (cpu_v86(cpu) ? 0xffffu : cpu->seg[SEG_CS].limit))
        cpu_fault_gp(cpu, 0);
    if (cpu_v86(cpu))
        segment_commit_v86(cpu, SEG_CS, selector);
    else
        segment_commit_real(cpu, SEG_CS, selector);
    cpu->eip = offset;
    cpu_update_mode(cpu);
}

void segment_far_jump(struct cpu *cpu, uint16_t selector, uint32_t offset, unsigned opsize)
{
    if (opsize == 2)
        offset &= 0xffff;
    if (!cpu_protected(cpu)) {
        commit_real_code(cpu, selector, offset);
        return;
    }
    struct descriptor d;
    if (SELECTOR_IS_NULL(selector))
        cpu_fault_gp(cpu, 0);
    descriptor_demand(cpu, selector, VEC_GP, &d);
    if (descriptor_is_code(&d)) {
        check_direct_code(cpu, selector, &d);
        check_limit(cpu, &d, offset);
        commit_code(cpu, selector, &d, cpu->cpl, offset);
        cpu_update_mode(cpu);
        return;
    }
    if ((d.hi & SEG_ATTR_S) || !is_transfer_target(&d))
        cpu_fault_selector(cpu, VEC_GP, selector);
    check_system_target(cpu, selector, &d);
    if (transfer_to_task(cpu, selector, &d, TASK_JUMP))
        return;
    struct descriptor code;
    uint32_t eip;
    uint16_t target = gate_target(cpu, &d, true, &code, &eip);
    check_limit(cpu, &code, eip);
    commit_code(cpu, target, &code, cpu->cpl, eip);
    cpu_update_mode(cpu);
}

/* Through a call gate, to the same or a more privileged level. */
static void call_gate(struct cpu *cpu, const struct descriptor *gate)
{
    struct descriptor code, ss_descriptor;
    uint32_t eip;
    uint16_t target = gate_target(cpu, gate, false, &code, &eip), ss = 0;
    unsigned size = descriptor_type(gate) == DESCRIPTOR_CALL_GATE32 ? 4 : 2;
    unsigned dpl = descriptor_dpl(&code);
    bool inner = !descriptor_is_conforming(&code) && dpl < cpu->cpl;
    struct stack st;

    if (inner) {
        uint32_t parameter[31];
        unsigned count = gate->hi & 31;
        st = stack_inner(cpu, dpl, &ss, &ss_descriptor);
        for (unsigned i = 0; i < count; i++)
            parameter[i] = stack_peek(cpu, i * size, size);
        stack_put(cpu, &st, cpu->seg[SEG_SS].selector, size);
        stack_put(cpu, &st, cpu->gpr[ESP], size);
        for (unsigned i = count; i-- > 0;)
            stack_put(cpu, &st, parameter[i], size);
    } else {
        st = stack_current(cpu);
    }
    stack_put(cpu, &st, cpu->seg[SEG_CS].selector, size);
    stack_put(cpu, &st, cpu->eip, size);
    check_limit(cpu, &code, eip);
    commit_code(cpu, target, &code, inner ? dpl : cpu->cpl, eip);
    if (inner)
        segment_commit(cpu, SEG_SS, ss, &ss_descriptor);
    cpu_update_mode(cpu);
    cpu->gpr[ESP] = st.sp;
}

void segment_far_call(struct cpu *cpu, uint16_t selector, uint32_t offset, unsigned opsize)
{
    if (opsize == 2)
        offset &= 0xffff;
    if (!cpu_protected(cpu)) {
        struct stack st = stack_current(cpu);
        uint32_t eip = cpu->eip;
        if (offset > (cpu_v86(cpu) ? 0xffffu : cpu->seg[SEG_CS].limit))
            cpu_fault_gp(cpu, 0);
        stack_put(cpu, &st, cpu->seg[SEG_CS].selector, opsize);
        stack_put(cpu, &st, eip, opsize);
        cpu->gpr[ESP] = st.sp;
        commit_real_code(cpu, selector, offset);
        return;
    }
    struct descriptor d;
    if (SELECTOR_IS_NULL(selector))
        cpu_fault_gp(cpu, 0);
    descriptor_demand(cpu, selector, VEC_GP, &d);
    if (descriptor_is_code(&d)) {
        struct stack st = stack_current(cpu);
        check_direct_code(cpu, selector, &d);
        stack_put(cpu, &st, cpu->seg[SEG_CS].selector, opsize);
        stack_put(cpu, &st, cpu->eip, opsize);
        check_limit(cpu, &d, offset);
        commit_code(cpu, selector, &d, cpu->cpl, offset);
        cpu->gpr[ESP] = st.sp;
        cpu_update_mode(cpu);
        return;
    }
    if ((d.hi & SEG_ATTR_S) || !is_transfer_target(&d))
        cpu_fault_selector(cpu, VEC_GP, selector);
    check_system_target(cpu, selector, &d);
    if (transfer_to_task(cpu, selector, &d, TASK_CALL))
        return;
    if (is_call_gate(&d))
        call_gate(cpu, &d);
}

/* ---- far returns ---- */

/* What RETF and IRET demand of the code segment they return to. */
static void check_return_code(struct cpu *cpu, uint16_t selector, struct descriptor *d)
{
    if (SELECTOR_IS_NULL(selector))
        cpu_fault_gp(cpu, 0);
    descriptor_demand(cpu, selector, VEC_GP, d);
    unsigned rpl = SELECTOR_RPL(selector), dpl = descriptor_dpl(d);
    if (!descriptor_is_code(d) || rpl < cpu->cpl || (descriptor_is_conforming(d) ? dpl > rpl : dpl != rpl))
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!descriptor_present(d))
        cpu_fault_selector(cpu, VEC_NP, selector);
}

static void check_return_stack(struct cpu *cpu, uint16_t selector, unsigned cpl, struct descriptor *d)
{
    if (SELECTOR_IS_NULL(selector))
        cpu_fault_gp(cpu, 0);
    descriptor_demand(cpu, selector, VEC_GP, d);
    if (SELECTOR_RPL(selector) != cpl || !descriptor_is_writable_data(d) || descriptor_dpl(d) != cpl)
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!descriptor_present(d))
        cpu_fault_selector(cpu, VEC_SS, selector);
    descriptor_set_accessed(cpu, d);
}

/* Data segments the outer level may not use become null. */
static void drop_inner_segments(struct cpu *cpu)
{
    static const enum segment_register data[] = {SEG_ES, SEG_FS, SEG_GS, SEG_DS};
    for (unsigned i = 0; i < G_N_ELEMENTS(data); i++) {
        const struct segment *s = &cpu->seg[data[i]];
        bool conforming_code =
            (s->attr & (SEG_ATTR_CODE | SEG_ATTR_CONFORMING)) == (SEG_ATTR_CODE | SEG_ATTR_CONFORMING);
        if (!conforming_code && (s->attr & SEG_ATTR_DPL) >> 13 < cpu->cpl)
            segment_commit_null(cpu, data[i], 0);
    }
}

/* The common end of RETF and IRET in protected mode: CS:EIP is popped already (`frame` bytes), SS:ESP follows
 * after `pop_bytes` when the level changes. */
static void return_to(struct cpu *cpu, uint16_t cs, uint32_t eip, unsigned size, uint32_t frame,
                      uint32_t pop_bytes)
{
    struct descriptor code, ss_descriptor;
    check_return_code(cpu, cs, &code);
    unsigned rpl = SELECTOR_RPL(cs);
    if (rpl == cpu->cpl) {
        check_limit(cpu, &code, eip);
        commit_code(cpu, cs, &code, rpl, eip);
        stack_set(cpu, cpu->gpr[ESP] + frame + pop_bytes);
        cpu_update_mode(cpu);
        return;
    }
    uint32_t esp = stack_peek(cpu, frame + pop_bytes, size);
    uint16_t ss = (uint16_t)stack_peek(cpu, frame + pop_bytes + size, size);
    check_return_stack(cpu, ss, rpl, &ss_descriptor);
    check_limit(cpu, &code, eip);
    commit_code(cpu, cs, &code, rpl, eip);
    segment_commit(cpu, SEG_SS, ss, &ss_descriptor);
    cpu_update_mode(cpu);
    stack_pointer_set(cpu, esp + pop_bytes);
    drop_inner_segments(cpu);
}

void segment_far_return(struct cpu *cpu, unsigned opsize, unsigned pop_bytes)
{
    uint32_t eip = stack_peek(cpu, 0, opsize);
    uint16_t cs = (uint16_t)stack_peek(cpu, opsize, opsize);
    if (cpu_protected(cpu)) {
        return_to(cpu, cs, eip, opsize, 2 * opsize, pop_bytes);
        return;
    }
    commit_real_code(cpu, cs, eip);
    stack_set(cpu, cpu->gpr[ESP] + 2 * opsize + pop_bytes);
}

/* ---- IRET ---- */

static void set_flags(struct cpu *cpu, uint32_t value, uint32_t mask)
{
    cpu_set_eflags(cpu, (cpu_eflags(cpu) & ~mask) | (value & mask));
}

#define FLAGS_ALWAYS (FLAG_STATUS | FLAG_TF | FLAG_DF | FLAG_NT)

/* From V86 mode with IOPL < 3 (SDM vol. 3, 20.3.3.4 and vol. 2, IRET). */
static void iret_v86_extended(struct cpu *cpu)
{
    uint16_t ip = (uint16_t)stack_peek(cpu, 0, 2), cs = (uint16_t)stack_peek(cpu, 2, 2);
    uint32_t flags = stack_peek(cpu, 4, 2);
    if ((flags & FLAG_TF) || ((flags & FLAG_IF) && (cpu->eflags & FLAG_VIP)))
        cpu_fault_gp(cpu, 0);
    commit_real_code(cpu, cs, ip);
    stack_set(cpu, cpu->gpr[ESP] + 6);
    set_flags(cpu, flags | (flags & FLAG_IF ? FLAG_VIF : 0), FLAGS_ALWAYS | FLAG_VIF);
}

static void iret_real(struct cpu *cpu, unsigned size)
{
    uint32_t mask = FLAGS_ALWAYS | FLAG_IF;
    if (cpu_v86(cpu)) {
        if ((cpu->eflags & FLAG_IOPL) != FLAG_IOPL) {
            if (!(cpu->cr4 & CR4_VME) || size == 4)
                cpu_fault_gp(cpu, 0);
            iret_v86_extended(cpu);
            return;
        }
    } else {
        mask |= FLAG_IOPL;
    }
    if (size == 4)
        mask |= FLAG_RF | FLAG_AC | FLAG_ID;
    uint32_t eip = stack_peek(cpu, 0, size), flags = stack_peek(cpu, 2 * size, size);
    uint16_t cs = (uint16_t)stack_peek(cpu, size, size);
    commit_real_code(cpu, cs, eip);
    stack_set(cpu, cpu->gpr[ESP] + 3 * size);
    set_flags(cpu, flags, mask);
}

static void iret_to_v86(struct cpu *cpu, uint32_t eip, uint16_t cs, uint32_t flags)
{
    static const enum segment_register order[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    uint16_t selector[G_N_ELEMENTS(order)];
    uint32_t esp = stack_peek(cpu, 12, 4);
    uint16_t ss = (uint16_t)stack_peek(cpu, 16, 4);
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++)
        selector[i] = (uint16_t)stack_peek(cpu, 20 + 4 * i, 4);
    if (eip > 0xffff)
        cpu_fault_gp(cpu, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++)
        segment_commit_v86(cpu, order[i], selector[i]);
    segment_commit_v86(cpu, SEG_CS, cs);
    segment_commit_v86(cpu, SEG_SS, ss);
    cpu->gpr[ESP] = esp;
    cpu->eip = eip;
    cpu_set_eflags(cpu, flags);
    cpu_update_mode(cpu);
}

static void iret_task(struct cpu *cpu)
{
    uint16_t link = sys_read16(cpu, cpu->tr.base);
    struct descriptor d;
    if ((link & SELECTOR_TI) || SELECTOR_IS_NULL(link))
        cpu_fault_selector(cpu, VEC_TS, link);
    descriptor_demand(cpu, link, VEC_TS, &d);
    if (!descriptor_is_tss(&d, true))
        cpu_fault_selector(cpu, VEC_TS, link);
    if (!descriptor_present(&d))
        cpu_fault_selector(cpu, VEC_NP, link);
    task_switch(cpu, link, &d, TASK_RETURN);
}

static void iret_protected(struct cpu *cpu, unsigned size)
{
    if (cpu->eflags & FLAG_NT) {
        iret_task(cpu);
        return;
    }
    uint32_t eip = stack_peek(cpu, 0, size), flags = stack_peek(cpu, 2 * size, size);
    uint16_t cs = (uint16_t)stack_peek(cpu, size, size);
    if (size == 4 && (flags & FLAG_VM) && cpu->cpl == 0) {
        iret_to_v86(cpu, eip, cs, flags);
        return;
    }
    /* What may change is a matter of the level that executes the IRET. */
    uint32_t mask = FLAGS_ALWAYS;
    if (size == 4)
        mask |= FLAG_RF | FLAG_AC | FLAG_ID;
    if (cpu->cpl <= (cpu->eflags & FLAG_IOPL) >> 12)
        mask |= FLAG_IF;
    if (cpu->cpl == 0)
        mask |= FLAG_IOPL | (size == 4 ? FLAG_VIF | FLAG_VIP : 0);
    return_to(cpu, cs, eip, size, 3 * size, 0);
    set_flags(cpu, flags, mask);
}

/* IRETD from a flat stack to this or an outer level, of segments that are present and accessed already. */
static bool iret_quickly(struct cpu *cpu)
{
    const struct segment *s = &cpu->seg[SEG_SS];
    struct descriptor code, stack = {0};
    uint32_t frame[5], mask = FLAGS_ALWAYS | FLAG_RF | FLAG_AC | FLAG_ID, linear = s->base + cpu->gpr[ESP];
    const struct tlb_entry *e = tlb_slot(cpu->tlb_data, linear);

    if (cpu->stack_mask != 0xffffffffu || s->min || s->max != 0xffffffffu || !s->can_read ||
        (cpu->eflags & FLAG_NT) || !ACCESS_TAG_MATCHES(e->read, linear, 12))
        return false;
    memcpy(frame, (const void *)(e->addend + linear), 12);
    uint16_t cs = (uint16_t)frame[1];
    unsigned rpl = SELECTOR_RPL(cs);
    if ((frame[2] & FLAG_VM) || rpl < cpu->cpl || !descriptor_read_quickly(cpu, cs, &code) ||
        (code.hi & DESCRIPTOR_USUAL_MASK) != DESCRIPTOR_USUAL_CODE || descriptor_dpl(&code) != rpl ||
        frame[0] > descriptor_limit(&code))
        return false;
    if (rpl > cpu->cpl) {
        if (!ACCESS_TAG_MATCHES(e->read, linear, 20))
            return false;
        memcpy(frame + 3, (const void *)(e->addend + linear + 12), 8);
        if (SELECTOR_RPL(frame[4]) != rpl || !descriptor_read_quickly(cpu, (uint16_t)frame[4], &stack) ||
            (stack.hi & (DESCRIPTOR_USUAL_MASK | SEG_ATTR_DB)) != (DESCRIPTOR_USUAL_DATA | SEG_ATTR_DB) ||
            descriptor_dpl(&stack) != rpl)
            return false;
    }

    /* Nothing faults from here on. */
    if (cpu->cpl <= (cpu->eflags & FLAG_IOPL) >> 12)
        mask |= FLAG_IF;
    if (cpu->cpl == 0)
        mask |= FLAG_IOPL | FLAG_VIF | FLAG_VIP;
    cpu->eip = frame[0];
    segment_commit_usual(cpu, SEG_CS, cs, &code);
    if (rpl > cpu->cpl) {
        segment_commit_usual(cpu, SEG_SS, (uint16_t)frame[4], &stack);
        cpu->gpr[ESP] = frame[3];
        cpu->cpl = (uint8_t)rpl;
        drop_inner_segments(cpu);
    } else {
        cpu->gpr[ESP] += 12;
    }
    if (cpu->jit && stack.hi && rpl == 3)
        segment_remember_gate(cpu, &cpu->gate_out, &code, &stack);
    cpu->nmi_blocked = false;
    cpu_set_eflags(cpu, (cpu_eflags(cpu) & ~mask) | (frame[2] & mask));
    cpu_update_mode(cpu);
    return true;
}

void segment_interrupt_return(struct cpu *cpu, unsigned opsize)
{
    if (opsize == 4 && cpu_protected(cpu) && iret_quickly(cpu))
        return;
    if (cpu_protected(cpu))
        iret_protected(cpu, opsize);
    else
        iret_real(cpu, opsize);
    cpu->nmi_blocked = false;
    cpu_update_events(cpu);
}
