/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Exceptions and interrupts: raising, priorities, delivery (SDM vol. 3, chapters 6, 17 and 20).
 *
 * cpu_fault() notes what happened and longjmps to the run loop, which calls cpu_deliver_fault(). Delivery may
 * itself fault; it then lands in the run loop again, and cpu_deliver_fault() sees from in_exception what the
 * processor would: deliver one after the other, double fault, or shutdown (table 6-5).
 *
 * Return addresses: a fault reports insn_eip. A trap or interrupt reports eip; before its delivery insn_eip
 * is set to eip, so that a fault on the way reports the same address. Nothing in the register file changes
 * before the last check of a delivery has passed.
 *
 * Debug conditions of the running instruction collect in dr6_pending and become one #DB trap after it.
 * Whatever needs a look at every instruction (TF, RF, breakpoints, the MOV SS shadow) raises CPU_EVENT_STEP.
 * STI's shadow is an address instead: while eip is still there a maskable interrupt waits, and only when one
 * does is that instruction stepped. So STI costs nothing as long as nothing is pending.
 */
#include "emu/cpu/debugger.h"
#include "emu/cpu/descriptor.h"

/* ---- raising ---- */

static bool pushes_error(enum vector vector)
{
    switch (vector) {
    case VEC_DF:
    case VEC_TS:
    case VEC_NP:
    case VEC_SS:
    case VEC_GP:
    case VEC_PF:
    case VEC_AC:
        return true;
    case VEC_DE:
    case VEC_DB:
    case VEC_NMI:
    case VEC_BP:
    case VEC_OF:
    case VEC_BR:
    case VEC_UD:
    case VEC_NM:
    case VEC_MF:
    case VEC_MC:
    case VEC_XM:
        return false;
    }
    return false;
}

void cpu_fault(struct cpu *cpu, enum vector vector, uint32_t error)
{
    cpu->fault_vector = (uint8_t)vector;
    cpu->fault_error = error;
    longjmp(cpu->fault_exit, CPU_LANDING_FAULT);
}

void cpu_fault_selector(struct cpu *cpu, enum vector vector, uint32_t selector)
{
    cpu_fault(cpu, vector, (selector & 0xfffc) | cpu->ext);
}

void cpu_fault_ud(struct cpu *cpu)
{
    cpu_fault(cpu, VEC_UD, 0);
}

void cpu_fault_gp(struct cpu *cpu, uint32_t error)
{
    cpu_fault(cpu, VEC_GP, error | cpu->ext);
}

/* ---- flags and events ---- */

/* VIF and VIP both set where they mean something: the next instruction faults (SDM vol. 3, 20.3.3 and 20.4).
 */
static bool virtual_interrupt_due(const struct cpu *cpu)
{
    const uint32_t both = FLAG_VIF | FLAG_VIP;
    if ((cpu->eflags & both) != both || cpu->cpl != 3)
        return false;
    return (cpu->cr4 & (cpu_v86(cpu) ? CR4_VME : CR4_PVI)) != 0;
}

static bool interrupt_is_due(const struct cpu *cpu)
{
    return cpu->intr && (cpu->eflags & FLAG_IF) &&
           !(access_unlikely(cpu->debugger) && cpu->debugger->stepping);
}

void cpu_update_events(struct cpu *cpu)
{
    uint32_t events =
        cpu->events & ~(CPU_EVENT_INTR | CPU_EVENT_NMI | CPU_EVENT_INIT | CPU_EVENT_STEP | CPU_EVENT_TRAP);
    if (interrupt_is_due(cpu))
        events |= CPU_EVENT_INTR;
    if (cpu->nmi_pending && !cpu->nmi_blocked)
        events |= CPU_EVENT_NMI;
    if (cpu->init_pending)
        events |= CPU_EVENT_INIT;
    if ((cpu->eflags & (FLAG_TF | FLAG_RF)) || cpu->shadow_db || cpu->has_breakpoints ||
        virtual_interrupt_due(cpu))
        events |= CPU_EVENT_STEP;
    if (cpu->dr6_pending)
        events |= CPU_EVENT_TRAP;
    cpu->events = events;
    if (access_unlikely(cpu->icount) &&
        events) /* seen after the present instruction, not at some block's end */
        cpu->block_stale = true;
}

void cpu_set_eflags(struct cpu *cpu, uint32_t value)
{
    uint32_t old = cpu->eflags;
    /* RF is for breakpoints alone. Every return from a page fault sets it, and it costs single steps. */
    if (!cpu->has_breakpoints)
        value &= ~FLAG_RF;
    cpu->status = value & FLAG_STATUS;
    cpu->eflags = (value & FLAG_IMPLEMENTED & ~FLAG_STATUS) | FLAG_ONE;
    uint32_t changed = old ^ cpu->eflags;
    if (changed & (FLAG_VM | FLAG_AC))
        cpu_update_mode(cpu);
    else if (changed & (FLAG_TF | FLAG_IF | FLAG_RF | FLAG_VIF | FLAG_VIP))
        cpu_update_events(cpu);
}

void cpu_note_debug(struct cpu *cpu, uint32_t dr6_bits)
{
    cpu->dr6_pending |= dr6_bits;
    cpu->events |= CPU_EVENT_TRAP;
}

void cpu_set_shadow(struct cpu *cpu, bool mov_ss)
{
    /* In a row of such instructions the first alone has the effect. */
    if (cpu->step_shadowed)
        return;
    cpu->shadow = true;
    cpu->shadow_eip = cpu->eip;
    cpu->shadow_db |= mov_ss;
    if (mov_ss)
        cpu->events |= CPU_EVENT_STEP;
}

void cpu_debug_registers_changed(struct cpu *cpu)
{
    bool armed = (cpu->dr[7] & 0xff) != 0;
    /* Tags were given and withheld by the old settings. */
    if (armed || cpu->has_breakpoints)
        mmu_flush(cpu, true);
    cpu->has_breakpoints = armed;
    cpu_update_events(cpu);
}

/* Instruction breakpoints at CS:EIP. */
static uint32_t instruction_breakpoints(struct cpu *cpu)
{
    uint32_t linear = cpu->seg[SEG_CS].base + cpu->eip, hit = 0;
    for (unsigned i = 0; i < 4; i++) {
        if ((cpu->dr[7] & (3u << (2 * i))) && !(cpu->dr[7] >> (16 + 4 * i) & 3) && cpu->dr[i] == linear)
            hit |= 1u << i;
    }
    return hit;
}

void cpu_check_io_breakpoint(struct cpu *cpu, uint16_t port, unsigned size)
{
    static const uint8_t length[4] = {1, 2, 8, 4};
    if (!cpu->has_breakpoints || !(cpu->cr4 & CR4_DE))
        return;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t len = length[cpu->dr[7] >> (18 + 4 * i) & 3], start = cpu->dr[i] & ~(len - 1);
        if ((cpu->dr[7] & (3u << (2 * i))) && (cpu->dr[7] >> (16 + 4 * i) & 3) == 2 &&
            (port - start < len || start - port < size))
            cpu_note_debug(cpu, 1u << i);
    }
}

/* Whether the instruction at eip is a repeated one with iterations behind it. */
static bool rep_continues(const struct cpu *cpu)
{
    return cpu->rep_paused && cpu->eip == cpu->insn_eip;
}

void cpu_step_begin(struct cpu *cpu)
{
    bool continued = rep_continues(cpu);
    cpu->insn_eip = cpu->eip;
    cpu->rep_paused = false;
    if (virtual_interrupt_due(cpu))
        cpu_fault_gp(cpu, 0);
    if (cpu->has_breakpoints && !continued && !(cpu->eflags & FLAG_RF) && !cpu->shadow_db) {
        uint32_t hit = instruction_breakpoints(cpu);
        if (hit) {
            cpu->dr[6] = (cpu->dr[6] & ~0xfu) | hit;
            cpu_fault(cpu, VEC_DB, 0);
        }
    }
    cpu->step_armed = (cpu->eflags & FLAG_TF) != 0;
    cpu->step_shadowed = cpu->shadow_db;
    cpu->eflags &= ~FLAG_RF;
    cpu->shadow = cpu->shadow_db = false;
    cpu_update_events(cpu);
}

void cpu_step_end(struct cpu *cpu)
{
    if (cpu->step_armed && !cpu->shadow_db)
        cpu_note_debug(cpu, DR6_BS);
    cpu->step_armed = cpu->step_shadowed = false;
}

/* ---- delivery ---- */

struct event {
    enum interrupt_kind kind;
    uint8_t vector;
    bool has_error;
    uint32_t error;
    uint32_t flags; /* the EFLAGS image to push */
};

static void deliver_real(struct cpu *cpu, const struct event *ev)
{
    if (ev->vector * 4u + 3 > cpu->idtr.limit)
        cpu_fault(cpu, VEC_GP, 0);
    uint32_t entry = sys_read32(cpu, cpu->idtr.base + ev->vector * 4u);
    struct stack st = stack_current(cpu);
    stack_put(cpu, &st, ev->flags, 2);
    stack_put(cpu, &st, cpu->seg[SEG_CS].selector, 2);
    stack_put(cpu, &st, cpu->eip, 2);
    cpu->gpr[ESP] = st.sp;
    segment_load(cpu, SEG_CS, (uint16_t)(entry >> 16));
    cpu->eip = entry & 0xffff;
    cpu_set_eflags(cpu, cpu_eflags(cpu) & ~(FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF));
    cpu_update_mode(cpu);
}

/* A task gate: the error code goes onto the new task's stack. */
static void deliver_task(struct cpu *cpu, const struct event *ev, const struct descriptor *gate)
{
    task_switch_through_gate(cpu, gate, TASK_CALL);
    if (ev->has_error) {
        struct stack st = stack_current(cpu);
        stack_put(cpu, &st, ev->error, cpu->tr.attr >> 8 & 8 ? 4 : 2);
        cpu->gpr[ESP] = st.sp;
    }
}

static void deliver_gate(struct cpu *cpu, const struct event *ev, const struct descriptor *gate)
{
    uint16_t selector = (uint16_t)(gate->lo >> 16), ss = 0;
    bool gate32 = (descriptor_type(gate) & 8) != 0;
    unsigned size = gate32 ? 4 : 2;
    uint32_t eip = (gate->lo & 0xffff) | (gate32 ? gate->hi & 0xffff0000u : 0);
    struct descriptor code, ss_descriptor;

    if (SELECTOR_IS_NULL(selector))
        cpu_fault_selector(cpu, VEC_GP, 0);
    descriptor_demand(cpu, selector, VEC_GP, &code);
    unsigned dpl = descriptor_dpl(&code);
    if (!descriptor_is_code(&code) || dpl > cpu->cpl)
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!descriptor_present(&code))
        cpu_fault_selector(cpu, VEC_NP, selector);
    bool inner = !descriptor_is_conforming(&code) && dpl < cpu->cpl;
    bool v86 = cpu_v86(cpu);
    if (v86 && (!inner || dpl != 0))
        cpu_fault_selector(cpu, VEC_GP, selector);

    struct stack st = inner ? stack_inner(cpu, dpl, &ss, &ss_descriptor) : stack_current(cpu);
    if (inner) {
        if (v86) {
            stack_put(cpu, &st, cpu->seg[SEG_GS].selector, size);
            stack_put(cpu, &st, cpu->seg[SEG_FS].selector, size);
            stack_put(cpu, &st, cpu->seg[SEG_DS].selector, size);
            stack_put(cpu, &st, cpu->seg[SEG_ES].selector, size);
        }
        stack_put(cpu, &st, cpu->seg[SEG_SS].selector, size);
        stack_put(cpu, &st, cpu->gpr[ESP], size);
    }
    stack_put(cpu, &st, ev->flags, size);
    stack_put(cpu, &st, cpu->seg[SEG_CS].selector, size);
    stack_put(cpu, &st, cpu->eip, size);
    if (ev->has_error)
        stack_put(cpu, &st, ev->error, size);
    if (eip > descriptor_limit(&code))
        cpu_fault_selector(cpu, VEC_GP, 0);
    descriptor_set_accessed(cpu, &code);

    uint32_t cleared = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM;
    if (!(descriptor_type(gate) & 1))
        cleared |= FLAG_IF;
    unsigned cpl = inner ? dpl : cpu->cpl;
    segment_commit(cpu, SEG_CS, (uint16_t)((selector & ~3u) | cpl), &code);
    if (inner)
        segment_commit(cpu, SEG_SS, ss, &ss_descriptor);
    if (v86) {
        segment_commit_null(cpu, SEG_GS, 0);
        segment_commit_null(cpu, SEG_FS, 0);
        segment_commit_null(cpu, SEG_DS, 0);
        segment_commit_null(cpu, SEG_ES, 0);
    }
    cpu->gpr[ESP] = st.sp;
    cpu->eip = eip;
    cpu_set_eflags(cpu, cpu_eflags(cpu) & ~cleared);
    cpu_update_mode(cpu);
}

/* Returns the next place. */
static inline uint8_t *put_word(uint8_t *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
    return to + sizeof value;
}

/* Through a 32-bit gate into a flat code segment, to this or an inner level, with all that is read and
 * written in the TLB already. */
static bool deliver_quickly(struct cpu *cpu, const struct event *ev)
{
    uint32_t at = ev->vector * 8u, base, max, sp, linear;
    uint8_t *frame;
    struct descriptor code, stack = {0};
    const struct tlb_entry *e;
    bool software = ev->kind == INTERRUPT_SOFTWARE || ev->kind == INTERRUPT_INT3_INTO;
    unsigned n = 3, dpl;
    uint64_t gate, top;
    uint16_t ss = 0;

    if (at + 7 > cpu->idtr.limit || !sys_try_read64(cpu, cpu->idtr.base + at, &gate) ||
        (gate >> 32 & 0x9e00) != 0x8e00 /* present, DESCRIPTOR_INT_GATE32 or DESCRIPTOR_TRAP_GATE32 */ ||
        (software && (gate >> 45 & 3) < cpu->cpl) || cpu_v86(cpu))
        return false;
    uint16_t selector = (uint16_t)(gate >> 16);
    uint32_t eip = (uint32_t)(gate & 0xffff) | (uint32_t)(gate >> 32 & 0xffff0000u);
    if (!descriptor_read_quickly(cpu, selector, &code) ||
        (code.hi & DESCRIPTOR_USUAL_MASK) != DESCRIPTOR_USUAL_CODE || eip > descriptor_limit(&code))
        return false;
    dpl = descriptor_dpl(&code);
    if (dpl > cpu->cpl)
        return false;
    bool inner = dpl < cpu->cpl;
    if (inner) {
        /* a 32-bit TSS with the stack of that level; two bytes behind the selector are read and not used */
        if (!(cpu->tr.attr & SEG_ATTR_P) || !(cpu->tr.attr & 0x800) || 4 + 8 * dpl + 5 > cpu->tr.limit ||
            !sys_try_read64(cpu, cpu->tr.base + 4 + 8 * dpl, &top))
            return false;
        sp = (uint32_t)top;
        ss = (uint16_t)(top >> 32);
        if (SELECTOR_RPL(ss) != dpl || !descriptor_read_quickly(cpu, ss, &stack) ||
            (stack.hi & (DESCRIPTOR_USUAL_MASK | SEG_ATTR_DB)) != (DESCRIPTOR_USUAL_DATA | SEG_ATTR_DB) ||
            descriptor_dpl(&stack) != dpl)
            return false;
        base = descriptor_base(&stack);
        max = descriptor_limit(&stack);
    } else {
        const struct segment *s = &cpu->seg[SEG_SS];
        if (cpu->stack_mask != 0xffffffffu || s->min || !s->can_write)
            return false;
        base = s->base;
        max = s->max;
        sp = cpu->gpr[ESP];
    }

    n += inner ? 2 : 0;
    n += ev->has_error;
    if (sp < 4 * n || sp - 1 > max)
        return false;
    linear = base + sp - 4 * n;
    e = tlb_slot(inner ? cpu->tlb[TLB_SUPERVISOR] : cpu->tlb_data, linear);
    if (!ACCESS_TAG_MATCHES(e->write, linear, 4 * n))
        return false;

    /* Nothing faults from here on. */
    frame = (uint8_t *)(e->addend + linear);
    if (ev->has_error)
        frame = put_word(frame, ev->error);
    frame = put_word(frame, cpu->eip);
    frame = put_word(frame, cpu->seg[SEG_CS].selector);
    frame = put_word(frame, ev->flags);
    if (inner) {
        frame = put_word(frame, cpu->gpr[ESP]);
        put_word(frame, cpu->seg[SEG_SS].selector);
    }
    segment_commit_usual(cpu, SEG_CS, (uint16_t)((selector & ~3u) | dpl), &code);
    if (inner)
        segment_commit_usual(cpu, SEG_SS, ss, &stack);
    cpu->gpr[ESP] = sp - 4 * n;
    cpu->eip = eip;
    uint32_t cleared = FLAG_TF | FLAG_NT | FLAG_RF | (gate >> 40 & 1 ? 0 : FLAG_IF);
    if (cpu->jit && ev->kind == INTERRUPT_SOFTWARE && inner && dpl == 0 && cpu->cpl == 3) {
        segment_remember_gate(cpu, &cpu->gate_in, &code, &stack);
        cpu->gate_in.gate = gate;
        cpu->gate_in.eip = eip;
        cpu->gate_in.keep = ~cleared;
        if (cpu->gate_in.selector != GATE_MEMO_NONE)
            cpu->gate_in.offset = at;
    }
    cpu->eflags &= ~cleared;
    cpu_update_mode(cpu);
    return true;
}

static void deliver_protected(struct cpu *cpu, const struct event *ev)
{
    if (deliver_quickly(cpu, ev))
        return;
    uint32_t offset = ev->vector * 8u, error = offset + 2;
    struct descriptor gate = {.linear = cpu->idtr.base + offset};
    bool software = ev->kind == INTERRUPT_SOFTWARE || ev->kind == INTERRUPT_INT3_INTO;

    if (offset + 7 > cpu->idtr.limit)
        cpu_fault(cpu, VEC_GP, error | cpu->ext);
    gate.lo = sys_read32(cpu, gate.linear);
    gate.hi = sys_read32(cpu, gate.linear + 4);
    unsigned type = gate.hi >> 8 & 0x1f; /* with S */
    if (type != DESCRIPTOR_TASK_GATE && (type & ~8u) != DESCRIPTOR_INT_GATE16 &&
        (type & ~8u) != DESCRIPTOR_TRAP_GATE16)
        cpu_fault(cpu, VEC_GP, error | cpu->ext);
    if (software && descriptor_dpl(&gate) < cpu->cpl)
        cpu_fault(cpu, VEC_GP, error);
    if (!descriptor_present(&gate))
        cpu_fault(cpu, VEC_NP, error | cpu->ext);
    if (type == DESCRIPTOR_TASK_GATE)
        deliver_task(cpu, ev, &gate);
    else
        deliver_gate(cpu, ev, &gate);
}

static void deliver(struct cpu *cpu, struct event *ev)
{
    trace(INT, "vector %02x%s error %04x at %04x:%08x cpl %u eflags %08x esp %08x cr2 %08x", ev->vector,
          ev->kind == INTERRUPT_EXCEPTION  ? " exception"
          : ev->kind == INTERRUPT_HARDWARE ? " hardware"
                                           : " software",
          ev->has_error ? ev->error : 0, cpu->seg[SEG_CS].selector, cpu->eip, cpu->cpl, cpu_eflags(cpu),
          cpu->gpr[ESP], cpu->cr2);
    cpu->ext =
        ev->kind == INTERRUPT_HARDWARE || ev->kind == INTERRUPT_EXCEPTION || ev->kind == INTERRUPT_INT1;
    cpu->step_armed = false;
    if (cpu->cr0 & CR0_PE)
        deliver_protected(cpu, ev);
    else
        deliver_real(cpu, ev);
    cpu->ext = 0;
    cpu->in_exception = false;
}

void cpu_interrupt(struct cpu *cpu, enum interrupt_kind kind, uint8_t vector, bool has_error, uint32_t error)
{
    struct event ev = {
        .kind = kind, .vector = vector, .has_error = has_error, .error = error, .flags = cpu_eflags(cpu)};
    /* Between two iterations: its breakpoint has been had (SDM vol. 3, 17.3.1.1). */
    if (rep_continues(cpu))
        ev.flags |= FLAG_RF;
    cpu->rep_paused = false;
    if (kind == INTERRUPT_HARDWARE || kind == INTERRUPT_EXCEPTION)
        cpu->insn_eip = cpu->eip; /* between instructions: what a fault on the way reports */
    cpu->halted = false;
    if (kind == INTERRUPT_EXCEPTION)
        cpu->stats.exceptions++;
    else
        cpu->stats.interrupts++;
    if (kind == INTERRUPT_EXCEPTION && vector == VEC_DB)
        cpu->dr[7] &= ~DR7_GD;
    if (kind == INTERRUPT_EXCEPTION || kind == INTERRUPT_HARDWARE) {
        cpu->in_exception = kind == INTERRUPT_EXCEPTION;
        cpu->exception_vector = vector;
    }
    deliver(cpu, &ev);
}

/* INT n in V86 mode by way of the 8086 program's own vector table (SDM vol. 3, 20.3.3.4; CR4.VME). */
void cpu_interrupt_v86_redirected(struct cpu *cpu, uint8_t vector)
{
    uint32_t entry = sys_read32(cpu, vector * 4u), flags = cpu_eflags(cpu);
    bool extended = (cpu->eflags & FLAG_IOPL) != FLAG_IOPL;
    if (extended)
        flags = (flags & ~FLAG_IF) | FLAG_IOPL | (cpu->eflags & FLAG_VIF ? FLAG_IF : 0);
    struct stack st = stack_current(cpu);
    stack_put(cpu, &st, flags, 2);
    stack_put(cpu, &st, cpu->seg[SEG_CS].selector, 2);
    stack_put(cpu, &st, cpu->eip, 2);
    cpu->gpr[ESP] = st.sp;
    segment_commit_v86(cpu, SEG_CS, (uint16_t)(entry >> 16));
    cpu->eip = entry & 0xffff;
    cpu->step_armed = false;
    cpu_set_eflags(cpu, cpu_eflags(cpu) & ~(FLAG_TF | FLAG_NT | (extended ? FLAG_VIF : FLAG_IF)));
    cpu_update_mode(cpu);
}

/* ---- faults that landed in the run loop ---- */

#define FAULT_CHAIN_MOST 16 /* what makes sense ends after three */

static bool contributory(unsigned vector)
{
    return vector == VEC_DE || (vector >= VEC_TS && vector <= VEC_GP);
}

bool cpu_deliver_fault(struct cpu *cpu)
{
    unsigned vector = cpu->fault_vector;
    uint32_t error = cpu->fault_error;

    cpu->ext = 0;
    /* An #AC whose delivery is misaligned raises the next one, for ever; a processor hangs, interrupts and
     * all. The emulator must not. */
    cpu->fault_chain = cpu->in_exception ? cpu->fault_chain + 1 : 0;
    if (cpu->fault_chain > FAULT_CHAIN_MOST) {
        trace(INT, "faults without end while delivering them: the last is vector %02x at %04x:%08x", vector,
              cpu->seg[SEG_CS].selector, cpu->insn_eip);
        cpu->in_exception = false;
        return false;
    }
    if (cpu->in_exception) {
        unsigned first = cpu->exception_vector;
        bool second_serious = contributory(vector) || vector == VEC_PF;
        if (first == VEC_DF && second_serious) {
            trace(INT, "triple fault: vector %02x while delivering a double fault at %04x:%08x", vector,
                  cpu->seg[SEG_CS].selector, cpu->insn_eip);
            cpu->in_exception = false;
            return false;
        }
        if ((contributory(first) && contributory(vector)) || (first == VEC_PF && second_serious)) {
            vector = VEC_DF;
            error = 0;
        }
    }
    cpu->eip = cpu->insn_eip;
    cpu->block_stale = false;
    if (access_unlikely(cpu->debugger))
        cpu->debugger->stopped = false; /* the instruction will run again */
    /* Debug traps of the instruction that faulted are not taken: it will run again. */
    cpu->dr6_pending &= DR6_BT;
    cpu->exception_vector = (uint8_t)vector;

    struct event ev = {.kind = INTERRUPT_EXCEPTION, .vector = (uint8_t)vector, .flags = cpu_eflags(cpu)};
    /* Faults set RF in the image so that the restarted instruction does not trip its breakpoint again; an
     * instruction breakpoint's own #DB leaves that to the handler (SDM vol. 3, 17.3.1.1). */
    if (vector != VEC_DB && vector != VEC_DF)
        ev.flags |= FLAG_RF;
    ev.has_error = (cpu->cr0 & CR0_PE) && pushes_error((enum vector)vector);
    ev.error = error;
    cpu->in_exception = true;
    cpu->stats.exceptions++;
    if (vector == VEC_DB)
        cpu->dr[7] &= ~DR7_GD;
    deliver(cpu, &ev);
    return true;
}

/* ---- between instructions ---- */

static void take_debug_trap(struct cpu *cpu)
{
    uint32_t bits = cpu->dr6_pending;
    /* A breakpoint on the next instruction shows too, though its own fault is still to come. */
    if (cpu->has_breakpoints && !rep_continues(cpu) && !(cpu->eflags & FLAG_RF))
        bits |= instruction_breakpoints(cpu);
    cpu->dr6_pending = 0;
    cpu->dr[6] = (cpu->dr[6] & ~0xfu) | bits;
    cpu_update_events(cpu);
    cpu_interrupt(cpu, INTERRUPT_EXCEPTION, VEC_DB, false, 0);
}

bool cpu_take_events(struct cpu *cpu)
{
    if (cpu->init_pending) {
        cpu_init(cpu);
        return true;
    }
    if (cpu->dr6_pending && !cpu->shadow_db) {
        take_debug_trap(cpu);
        return true;
    }
    if (cpu->nmi_pending && !cpu->nmi_blocked && !cpu->shadow_db) {
        cpu->nmi_pending = false;
        cpu->nmi_blocked = true;
        cpu_update_events(cpu);
        cpu_interrupt(cpu, INTERRUPT_HARDWARE, VEC_NMI, false, 0);
        return true;
    }
    if (interrupt_is_due(cpu)) {
        if (cpu->shadow && cpu->eip == cpu->shadow_eip) {
            cpu->events |= CPU_EVENT_STEP;
            return false;
        }
        int vector = cpu->board.acknowledge ? cpu->board.acknowledge(cpu->board.opaque) : -1;
        if (vector < 0)
            return false;
        cpu_interrupt(cpu, INTERRUPT_HARDWARE, (uint8_t)vector, false, 0);
        return true;
    }
    return false;
}

void cpu_set_intr(struct cpu *cpu, bool level)
{
    cpu->intr = level;
    cpu_update_events(cpu);
}

void cpu_raise_nmi(struct cpu *cpu)
{
    cpu->nmi_pending = true;
    cpu_update_events(cpu);
}

void cpu_set_init(struct cpu *cpu)
{
    cpu->init_pending = true;
    cpu_update_events(cpu);
}
