/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * System instructions: control, debug and model-specific registers, descriptor tables, CPUID, flags, halting
 * (SDM vol. 2, and vol. 3, 2.8). Segment registers, far transfers and I/O are in interp_segment.c and
 * interp_io.c; the rules themselves are in segment.c, exception.c and sysregs.c.
 *
 * Functions of optable_system.def's rows: called by the run loop with eip behind the instruction.
 */
#include "emu/cpu/descriptor.h"
#include "emu/cpu/system_operands.h"

/* ---- flags (SDM vol. 2, PUSHF, POPF, CLI, STI; vol. 3, 20.3 and 20.4) ---- */

static unsigned iopl(const struct cpu *cpu)
{
    return (cpu->eflags & FLAG_IOPL) >> 12;
}

void op_pushf(struct cpu *cpu, const struct insn *in)
{
    uint32_t flags = cpu_eflags(cpu) & ~(FLAG_VM | FLAG_RF);
    if (cpu_v86(cpu) && iopl(cpu) < 3) {
        if (!(cpu->cr4 & CR4_VME) || !(in->flags & INSN_OP16))
            cpu_fault_gp(cpu, 0);
        flags = (flags & ~FLAG_IF) | FLAG_IOPL | (cpu->eflags & FLAG_VIF ? FLAG_IF : 0);
    }
    if (in->flags & INSN_OP16)
        stack_push16(cpu, (uint16_t)flags);
    else
        stack_push32(cpu, flags);
}

void op_popf(struct cpu *cpu, const struct insn *in)
{
    bool op16 = in->flags & INSN_OP16;
    uint32_t mask = FLAG_STATUS | FLAG_TF | FLAG_DF | FLAG_NT | (op16 ? 0 : FLAG_AC | FLAG_ID);
    uint32_t value, forced = 0;

    if (cpu_v86(cpu)) {
        if (iopl(cpu) == 3) {
            mask |= FLAG_IF;
            value = stack_peek(cpu, 0, op16 ? 2 : 4);
        } else {
            if (!(cpu->cr4 & CR4_VME) || !op16)
                cpu_fault_gp(cpu, 0);
            value = stack_peek(cpu, 0, 2);
            if ((value & FLAG_TF) || ((value & FLAG_IF) && (cpu->eflags & FLAG_VIP)))
                cpu_fault_gp(cpu, 0);
            mask |= FLAG_VIF;
            forced = value & FLAG_IF ? FLAG_VIF : 0;
        }
    } else {
        if (cpu->cpl == 0)
            mask |= FLAG_IOPL;
        if (cpu->cpl <= iopl(cpu))
            mask |= FLAG_IF;
        value = stack_peek(cpu, 0, op16 ? 2 : 4);
    }
    stack_set(cpu, cpu->gpr[ESP] + (op16 ? 2 : 4));
    cpu_set_eflags(cpu, (cpu_eflags(cpu) & ~(mask | FLAG_RF)) | (((value & ~FLAG_VIF) | forced) & mask));
}

void op_cli(struct cpu *cpu, const struct insn *in)
{
    if (cpu->cpl <= iopl(cpu)) { /* real mode is CPL 0; V86 mode is CPL 3 */
        cpu->eflags &= ~FLAG_IF;
        cpu->events &= ~CPU_EVENT_INTR;
    } else if (cpu_v86(cpu) ? cpu->cr4 & CR4_VME : cpu->cpl == 3 && (cpu->cr4 & CR4_PVI)) {
        cpu->eflags &= ~FLAG_VIF;
    } else {
        cpu_fault_gp(cpu, 0);
    }
}

void op_sti(struct cpu *cpu, const struct insn *in)
{
    if (cpu->cpl <= iopl(cpu)) {
        if (cpu->eflags & FLAG_IF)
            return;
        cpu->eflags |= FLAG_IF;
        if (cpu->intr) {
            cpu->events |= CPU_EVENT_INTR;
            cpu->block_stale |= cpu->icount;
        }
        cpu_set_shadow(cpu, false);
    } else if (cpu_v86(cpu) ? cpu->cr4 & CR4_VME : cpu->cpl == 3 && (cpu->cr4 & CR4_PVI)) {
        if (cpu->eflags & FLAG_VIP)
            cpu_fault_gp(cpu, 0);
        cpu->eflags |= FLAG_VIF;
    } else {
        cpu_fault_gp(cpu, 0);
    }
}

void op_hlt(struct cpu *cpu, const struct insn *in)
{
    demand_cpl0(cpu);
    cpu->halted = true;
}

/* ---- descriptor-table and task registers ---- */

void op_sldt(struct cpu *cpu, const struct insn *in)
{
    demand_protected(cpu);
    store_word_operand(cpu, in, cpu->ldtr.selector);
}

void op_str(struct cpu *cpu, const struct insn *in)
{
    demand_protected(cpu);
    store_word_operand(cpu, in, cpu->tr.selector);
}

void op_lldt(struct cpu *cpu, const struct insn *in)
{
    struct descriptor d;
    demand_protected(cpu);
    demand_cpl0(cpu);
    uint16_t selector = load_word_operand(cpu, in);
    if (SELECTOR_IS_NULL(selector)) {
        segment_commit_system(&cpu->ldtr, selector, NULL);
        return;
    }
    if (selector & SELECTOR_TI)
        cpu_fault_selector(cpu, VEC_GP, selector);
    descriptor_demand(cpu, selector, VEC_GP, &d);
    if ((d.hi & SEG_ATTR_S) || descriptor_type(&d) != DESCRIPTOR_LDT)
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!descriptor_present(&d))
        cpu_fault_selector(cpu, VEC_NP, selector);
    segment_commit_system(&cpu->ldtr, selector, &d);
}

void op_ltr(struct cpu *cpu, const struct insn *in)
{
    struct descriptor d;
    demand_protected(cpu);
    demand_cpl0(cpu);
    uint16_t selector = load_word_operand(cpu, in);
    if (SELECTOR_IS_NULL(selector))
        cpu_fault_gp(cpu, 0);
    if (selector & SELECTOR_TI)
        cpu_fault_selector(cpu, VEC_GP, selector);
    descriptor_demand(cpu, selector, VEC_GP, &d);
    if (!descriptor_is_tss(&d, false))
        cpu_fault_selector(cpu, VEC_GP, selector);
    if (!descriptor_present(&d))
        cpu_fault_selector(cpu, VEC_NP, selector);
    descriptor_set_busy(cpu, &d, true);
    segment_commit_system(&cpu->tr, selector, &d);
}

static void store_table(struct cpu *cpu, const struct insn *in, const struct descriptor_table *table)
{
    uint32_t ea = insn_ea(cpu, in);
    mem_check_write(cpu, in->seg, ea, 6);
    mem_write16(cpu, in->seg, ea, table->limit);
    mem_write32(cpu, in->seg, (ea + 2) & in->ea_mask, table->base);
}

static void load_table(struct cpu *cpu, const struct insn *in, struct descriptor_table *table)
{
    demand_cpl0(cpu);
    uint32_t ea = insn_ea(cpu, in);
    uint16_t limit = mem_read16(cpu, in->seg, ea);
    uint32_t base = mem_read32(cpu, in->seg, (ea + 2) & in->ea_mask);
    table->limit = limit;
    table->base = in->flags & INSN_OP16 ? base & 0x00ffffffu : base;
}

void op_sgdt(struct cpu *cpu, const struct insn *in)
{
    store_table(cpu, in, &cpu->gdtr);
}

void op_sidt(struct cpu *cpu, const struct insn *in)
{
    store_table(cpu, in, &cpu->idtr);
}

void op_lgdt(struct cpu *cpu, const struct insn *in)
{
    load_table(cpu, in, &cpu->gdtr);
    segment_forget_memos(cpu);
}

void op_lidt(struct cpu *cpu, const struct insn *in)
{
    load_table(cpu, in, &cpu->idtr);
}

void op_smsw(struct cpu *cpu, const struct insn *in)
{
    if (in->flags & (INSN_MEM | INSN_OP16))
        store_word_operand(cpu, in, (uint16_t)cpu->cr0);
    else
        cpu->gpr[in->rm] = cpu->cr0;
}

void op_lmsw(struct cpu *cpu, const struct insn *in)
{
    demand_cpl0(cpu);
    uint32_t value = load_word_operand(cpu, in);
    /* PE can be set, not cleared. */
    cpu_write_cr0(cpu,
                  (cpu->cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | (value & (CR0_PE | CR0_MP | CR0_EM | CR0_TS)));
}

void op_invlpg(struct cpu *cpu, const struct insn *in)
{
    demand_cpl0(cpu);
    mmu_flush_page(cpu, cpu->seg[in->seg].base + insn_ea(cpu, in));
}

/* ---- LAR, LSL, VERR, VERW, ARPL: questions about a selector; the answer is ZF ---- */

static void set_zf(struct cpu *cpu, bool value)
{
    cpu->status = (cpu->status & ~FLAG_ZF) | (value ? FLAG_ZF : 0);
}

/* The descriptor, when it exists and the selector's privilege reaches it. */
static bool visible_descriptor(struct cpu *cpu, uint16_t selector, struct descriptor *d)
{
    if (SELECTOR_IS_NULL(selector) || !descriptor_read(cpu, selector, d))
        return false;
    if (descriptor_is_code(d) && descriptor_is_conforming(d))
        return true;
    return descriptor_dpl(d) >= cpu->cpl && descriptor_dpl(d) >= SELECTOR_RPL(selector);
}

void op_lar(struct cpu *cpu, const struct insn *in)
{
    /* system types LAR knows: TSSs, LDT, call and task gates */
    const uint32_t valid = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 9 | 1u << 11 | 1u << 12;
    struct descriptor d;
    demand_protected(cpu);
    uint16_t selector = load_word_operand(cpu, in);
    bool ok =
        visible_descriptor(cpu, selector, &d) && ((d.hi & SEG_ATTR_S) || (valid >> descriptor_type(&d) & 1));
    if (ok)
        store_register(cpu, in, in->reg, d.hi & 0x00ffff00u); /* limit bits included, as processors do */
    set_zf(cpu, ok);
}

void op_lsl(struct cpu *cpu, const struct insn *in)
{
    const uint32_t valid = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 9 | 1u << 11; /* TSSs, LDT */
    struct descriptor d;
    demand_protected(cpu);
    uint16_t selector = load_word_operand(cpu, in);
    bool ok =
        visible_descriptor(cpu, selector, &d) && ((d.hi & SEG_ATTR_S) || (valid >> descriptor_type(&d) & 1));
    if (ok)
        store_register(cpu, in, in->reg, descriptor_limit(&d));
    set_zf(cpu, ok);
}

void op_verr(struct cpu *cpu, const struct insn *in)
{
    struct descriptor d;
    demand_protected(cpu);
    uint16_t selector = load_word_operand(cpu, in);
    set_zf(cpu, visible_descriptor(cpu, selector, &d) && (d.hi & SEG_ATTR_S) &&
                    (!descriptor_is_code(&d) || (d.hi & SEG_ATTR_RW)));
}

void op_verw(struct cpu *cpu, const struct insn *in)
{
    struct descriptor d;
    demand_protected(cpu);
    uint16_t selector = load_word_operand(cpu, in);
    set_zf(cpu, visible_descriptor(cpu, selector, &d) && descriptor_is_writable_data(&d));
}

void op_arpl(struct cpu *cpu, const struct insn *in)
{
    demand_protected(cpu);
    uint16_t rpl = cpu->gpr[in->reg] & 3, selector;
    if (in->flags & INSN_MEM) {
        uint32_t ea = insn_ea(cpu, in);
        selector =
            mem_read16(cpu, in->seg, ea); /* a place that cannot be written does when nothing changes */
        if ((selector & 3) < rpl)
            mem_write16(cpu, in->seg, ea, (uint16_t)((selector & ~3u) | rpl));
    } else {
        selector = (uint16_t)cpu->gpr[in->rm];
        if ((selector & 3) < rpl)
            cpu->gpr[in->rm] = (cpu->gpr[in->rm] & ~3u) | rpl;
    }
    set_zf(cpu, (selector & 3) < rpl);
}

/* ---- control and debug registers ---- */

void op_clts(struct cpu *cpu, const struct insn *in)
{
    demand_cpl0(cpu);
    cpu->cr0 &= ~CR0_TS;
}

void op_invd(struct cpu *cpu, const struct insn *in)
{
    demand_cpl0(cpu);
}

void op_wbinvd(struct cpu *cpu, const struct insn *in)
{
    demand_cpl0(cpu);
}

/* #UD for registers that do not exist comes before #GP for privilege: it is found in decoding. */
static void check_control_register(struct cpu *cpu, const struct insn *in)
{
    bool exists = in->reg == 0 || in->reg == 2 || in->reg == 3 || (in->reg == 4 && cpu_model_cr4(cpu->model));
    if (!exists)
        cpu_fault_ud(cpu);
    demand_cpl0(cpu);
}

void op_mov_r_cr(struct cpu *cpu, const struct insn *in)
{
    check_control_register(cpu, in);
    switch (in->reg) {
    case 0:
        cpu->gpr[in->rm] = cpu->cr0;
        break;
    case 2:
        cpu->gpr[in->rm] = cpu->cr2;
        break;
    case 3:
        cpu->gpr[in->rm] = cpu->cr3;
        break;
    default:
        cpu->gpr[in->rm] = cpu->cr4;
        break;
    }
}

void op_mov_cr_r(struct cpu *cpu, const struct insn *in)
{
    uint32_t value = cpu->gpr[in->rm];
    check_control_register(cpu, in);
    switch (in->reg) {
    case 0:
        cpu_write_cr0(cpu, value);
        break;
    case 2:
        cpu->cr2 = value;
        break;
    case 3:
        cpu_write_cr3(cpu, value);
        break;
    default:
        cpu_write_cr4(cpu, value);
        break;
    }
}

/* The number of the register meant, after the checks common to both directions (SDM vol. 3, 17.2). */
static unsigned debug_register(struct cpu *cpu, const struct insn *in)
{
    unsigned n = in->reg;
    if (n == 4 || n == 5) {
        if (cpu->cr4 & CR4_DE)
            cpu_fault_ud(cpu);
        n += 2;
    }
    demand_cpl0(cpu);
    if (cpu->dr[7] & DR7_GD) {
        cpu->dr[6] |= DR6_BD;
        cpu_fault(cpu, VEC_DB, 0);
    }
    return n;
}

void op_mov_r_dr(struct cpu *cpu, const struct insn *in)
{
    cpu->gpr[in->rm] = cpu->dr[debug_register(cpu, in)];
}

void op_mov_dr_r(struct cpu *cpu, const struct insn *in)
{
    unsigned n = debug_register(cpu, in);
    uint32_t value = cpu->gpr[in->rm];
    if (n == 6)
        value = (value & 0xffffefffu) | DR6_FIXED;
    else if (n == 7)
        value = (value & 0xffff2fffu) | DR7_FIXED;
    cpu->dr[n] = value;
    if (n != 6)
        cpu_debug_registers_changed(cpu);
}

/* ---- MSRs, TSC, CPUID ---- */

void op_rdmsr(struct cpu *cpu, const struct insn *in)
{
    demand_cpl0(cpu);
    uint64_t value = cpu_read_msr(cpu, cpu->gpr[ECX]);
    cpu->gpr[EAX] = (uint32_t)value;
    cpu->gpr[EDX] = (uint32_t)(value >> 32);
}

void op_wrmsr(struct cpu *cpu, const struct insn *in)
{
    demand_cpl0(cpu);
    cpu_write_msr(cpu, cpu->gpr[ECX], (uint64_t)cpu->gpr[EDX] << 32 | cpu->gpr[EAX]);
}

void op_rdtsc(struct cpu *cpu, const struct insn *in)
{
    if ((cpu->cr4 & CR4_TSD) && cpu->cpl != 0)
        cpu_fault_gp(cpu, 0);
    uint64_t value = cpu_tsc(cpu);
    cpu->gpr[EAX] = (uint32_t)value;
    cpu->gpr[EDX] = (uint32_t)(value >> 32);
}

/* There are no performance counters (CPUID leaf 0AH says so), so every index is one too high. */
void op_rdpmc(struct cpu *cpu, const struct insn *in)
{
    cpu_fault_gp(cpu, 0);
}

void op_cpuid(struct cpu *cpu, const struct insn *in)
{
    uint32_t out[4];
    cpu_cpuid(cpu, cpu->gpr[EAX], cpu->gpr[ECX], out);
    cpu->gpr[EAX] = out[0];
    cpu->gpr[EBX] = out[1];
    cpu->gpr[ECX] = out[2];
    cpu->gpr[EDX] = out[3];
}

void op_ud2(struct cpu *cpu, const struct insn *in)
{
    cpu_fault_ud(cpu);
}

void op_ud1(struct cpu *cpu, const struct insn *in)
{
    cpu_fault_ud(cpu);
}
