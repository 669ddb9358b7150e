/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Instructions that load and store segment registers, far transfers, software interrupts, and the fast system
 * call (SDM vol. 2). The checks are in segment.c and exception.c; here are operands and order.
 */
#include "emu/cpu/descriptor.h"
#include "emu/cpu/system_operands.h"

/* ---- segment registers ---- */

void op_mov_rm_sreg(struct cpu *cpu, const struct insn *in)
{
    if (in->reg >= SEG_COUNT)
        cpu_fault_ud(cpu);
    store_word_operand(cpu, in, cpu->seg[in->reg].selector);
}

void op_mov_sreg_rm(struct cpu *cpu, const struct insn *in)
{
    if (in->reg >= SEG_COUNT || in->reg == SEG_CS)
        cpu_fault_ud(cpu);
    segment_load(cpu, (enum segment_register)in->reg, load_word_operand(cpu, in));
    if (in->reg == SEG_SS)
        cpu_set_shadow(cpu, true);
}

static void push_segment(struct cpu *cpu, const struct insn *in, enum segment_register seg)
{
    if (in->flags & INSN_OP16)
        stack_push16(cpu, cpu->seg[seg].selector);
    else
        stack_push32(cpu, cpu->seg[seg].selector);
}

static void pop_segment(struct cpu *cpu, const struct insn *in, enum segment_register seg)
{
    uint32_t mask = cpu->stack_mask, esp = cpu->gpr[ESP];
    segment_load(cpu, seg, (uint16_t)stack_peek(cpu, 0, insn_opsize(in)));
    /* By the width of the stack it was popped from, when it is SS that changed. */
    cpu->gpr[ESP] = (esp & ~mask) | ((esp + insn_opsize(in)) & mask);
}

void op_push_es(struct cpu *cpu, const struct insn *in)
{
    push_segment(cpu, in, SEG_ES);
}
void op_push_cs(struct cpu *cpu, const struct insn *in)
{
    push_segment(cpu, in, SEG_CS);
}
void op_push_ss(struct cpu *cpu, const struct insn *in)
{
    push_segment(cpu, in, SEG_SS);
}
void op_push_ds(struct cpu *cpu, const struct insn *in)
{
    push_segment(cpu, in, SEG_DS);
}
void op_push_fs(struct cpu *cpu, const struct insn *in)
{
    push_segment(cpu, in, SEG_FS);
}
void op_push_gs(struct cpu *cpu, const struct insn *in)
{
    push_segment(cpu, in, SEG_GS);
}
void op_pop_es(struct cpu *cpu, const struct insn *in)
{
    pop_segment(cpu, in, SEG_ES);
}
void op_pop_ss(struct cpu *cpu, const struct insn *in)
{
    pop_segment(cpu, in, SEG_SS);
    cpu_set_shadow(cpu, true);
}
void op_pop_ds(struct cpu *cpu, const struct insn *in)
{
    pop_segment(cpu, in, SEG_DS);
}
void op_pop_fs(struct cpu *cpu, const struct insn *in)
{
    pop_segment(cpu, in, SEG_FS);
}
void op_pop_gs(struct cpu *cpu, const struct insn *in)
{
    pop_segment(cpu, in, SEG_GS);
}

struct far_pointer {
    uint32_t offset;
    uint16_t selector;
};

static struct far_pointer load_far_pointer(struct cpu *cpu, const struct insn *in)
{
    uint32_t ea = insn_ea(cpu, in);
    struct far_pointer p;
    if (in->flags & INSN_OP16) {
        p.offset = mem_read16(cpu, in->seg, ea);
        p.selector = mem_read16(cpu, in->seg, (ea + 2) & in->ea_mask);
    } else {
        p.offset = mem_read32(cpu, in->seg, ea);
        p.selector = mem_read16(cpu, in->seg, (ea + 4) & in->ea_mask);
    }
    return p;
}

static void load_full_pointer(struct cpu *cpu, const struct insn *in, enum segment_register seg)
{
    struct far_pointer p = load_far_pointer(cpu, in);
    segment_load(cpu, seg, p.selector);
    store_register(cpu, in, in->reg, p.offset);
}

void op_les(struct cpu *cpu, const struct insn *in)
{
    load_full_pointer(cpu, in, SEG_ES);
}
void op_lds(struct cpu *cpu, const struct insn *in)
{
    load_full_pointer(cpu, in, SEG_DS);
}
void op_lss(struct cpu *cpu, const struct insn *in)
{
    load_full_pointer(cpu, in, SEG_SS); /* loads ESP too: no shadow is needed, nor made */
}
void op_lfs(struct cpu *cpu, const struct insn *in)
{
    load_full_pointer(cpu, in, SEG_FS);
}
void op_lgs(struct cpu *cpu, const struct insn *in)
{
    load_full_pointer(cpu, in, SEG_GS);
}

/* ---- far transfers ---- */

void op_jmp_far(struct cpu *cpu, const struct insn *in)
{
    segment_far_jump(cpu, in->imm2, in->imm, insn_opsize(in));
}

void op_jmp_far_m(struct cpu *cpu, const struct insn *in)
{
    struct far_pointer p = load_far_pointer(cpu, in);
    segment_far_jump(cpu, p.selector, p.offset, insn_opsize(in));
}

void op_call_far(struct cpu *cpu, const struct insn *in)
{
    segment_far_call(cpu, in->imm2, in->imm, insn_opsize(in));
}

void op_call_far_m(struct cpu *cpu, const struct insn *in)
{
    struct far_pointer p = load_far_pointer(cpu, in);
    segment_far_call(cpu, p.selector, p.offset, insn_opsize(in));
}

void op_retf(struct cpu *cpu, const struct insn *in)
{
    segment_far_return(cpu, insn_opsize(in), 0);
}

void op_retf_iw(struct cpu *cpu, const struct insn *in)
{
    segment_far_return(cpu, insn_opsize(in), in->imm & 0xffff);
}

void op_iret(struct cpu *cpu, const struct insn *in)
{
    segment_interrupt_return(cpu, insn_opsize(in));
}

/* ---- software interrupts ---- */

void op_int3(struct cpu *cpu, const struct insn *in)
{
    cpu_interrupt(cpu, INTERRUPT_INT3_INTO, VEC_BP, false, 0);
}

void op_into(struct cpu *cpu, const struct insn *in)
{
    if (cpu->status & FLAG_OF)
        cpu_interrupt(cpu, INTERRUPT_INT3_INTO, VEC_OF, false, 0);
}

void op_int1(struct cpu *cpu, const struct insn *in)
{
    cpu_interrupt(cpu, INTERRUPT_INT1, VEC_DB, false, 0);
}

/* Whether the TSS's redirection bitmap sends INT n to the 8086 program's own handler. */
static bool interrupt_is_redirected(struct cpu *cpu, uint8_t vector)
{
    if (!(cpu->tr.attr & SEG_ATTR_P) || !(cpu->tr.attr >> 8 & 8) || cpu->tr.limit < 0x67)
        cpu_fault_gp(cpu, 0);
    uint32_t at = (uint32_t)sys_read16(cpu, cpu->tr.base + 0x66) - 32 + vector / 8;
    if (at > cpu->tr.limit)
        cpu_fault_gp(cpu, 0);
    return !(sys_read8(cpu, cpu->tr.base + at) >> (vector & 7) & 1);
}

void op_int_ib(struct cpu *cpu, const struct insn *in)
{
    uint8_t vector = (uint8_t)in->imm;
    if (cpu_v86(cpu)) {
        if ((cpu->cr4 & CR4_VME) && interrupt_is_redirected(cpu, vector)) {
            cpu_interrupt_v86_redirected(cpu, vector);
            return;
        }
        if ((cpu->eflags & FLAG_IOPL) != FLAG_IOPL)
            cpu_fault_gp(cpu, 0);
    }
    cpu_interrupt(cpu, INTERRUPT_SOFTWARE, vector, false, 0);
}

/* ---- SYSENTER, SYSEXIT: flat segments, whatever the GDT says ---- */

#define FLAT_DATA (SEG_ATTR_G | SEG_ATTR_DB | SEG_ATTR_REAL)
#define FLAT_CODE (FLAT_DATA | SEG_ATTR_CODE)

static void set_flat_segments(struct cpu *cpu, uint16_t cs, uint16_t ss, uint32_t rights)
{
    const struct segment flat = {.can_read = true, .max = 0xffffffffu, .limit = 0xffffffffu};
    cpu->seg[SEG_CS] = cpu->seg[SEG_SS] = flat;
    cpu->seg[SEG_CS].selector = cs;
    cpu->seg[SEG_CS].attr = FLAT_CODE | rights;
    cpu->seg[SEG_SS].selector = ss;
    cpu->seg[SEG_SS].attr = FLAT_DATA | rights;
    cpu->seg[SEG_SS].can_write = true;
}

void op_sysenter(struct cpu *cpu, const struct insn *in)
{
    uint16_t cs = (uint16_t)(cpu->sysenter_cs & 0xfffc);
    if (!(cpu->cr0 & CR0_PE) || cs == 0)
        cpu_fault_gp(cpu, 0);
    cpu->eflags &= ~(FLAG_VM | FLAG_IF);
    set_flat_segments(cpu, cs, (uint16_t)(cs + 8), 0);
    cpu->gpr[ESP] = cpu->sysenter_esp;
    cpu->eip = cpu->sysenter_eip;
    cpu_update_mode(cpu);
}

void op_sysexit(struct cpu *cpu, const struct insn *in)
{
    uint16_t cs = (uint16_t)(cpu->sysenter_cs & 0xfffc);
    if (!cpu_protected(cpu) || cs == 0 || cpu->cpl != 0)
        cpu_fault_gp(cpu, 0);
    set_flat_segments(cpu, (uint16_t)((cs + 16) | 3), (uint16_t)((cs + 24) | 3), SEG_ATTR_DPL);
    cpu->gpr[ESP] = cpu->gpr[ECX];
    cpu->eip = cpu->gpr[EDX];
    cpu_update_mode(cpu);
}
