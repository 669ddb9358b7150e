/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the system instructions' functions have in common: privilege and mode checks, 16-bit operands.
 */
#pragma once

#include "emu/cpu/access.h"
#include "emu/cpu/insn.h"

static inline void demand_cpl0(struct cpu *cpu)
{
    if (cpu->cpl != 0)
        cpu_fault_gp(cpu, 0);
}

/* #UD in real and V86 mode */
static inline void demand_protected(struct cpu *cpu)
{
    if (!cpu_protected(cpu))
        cpu_fault_ud(cpu);
}

static inline unsigned insn_opsize(const struct insn *in)
{
    return in->flags & INSN_OP16 ? 2 : 4;
}

/* Ew */
static inline uint16_t load_word_operand(struct cpu *cpu, const struct insn *in)
{
    return in->flags & INSN_MEM ? mem_read16(cpu, in->seg, insn_ea(cpu, in)) : (uint16_t)cpu->gpr[in->rm];
}

/* A register by operand size. */
static inline void store_register(struct cpu *cpu, const struct insn *in, unsigned reg, uint32_t value)
{
    if (in->flags & INSN_OP16)
        cpu->gpr[reg] = (cpu->gpr[reg] & 0xffff0000u) | (value & 0xffff);
    else
        cpu->gpr[reg] = value;
}

/* RvMw: sixteen bits in memory, a register zero-extended to the operand size */
static inline void store_word_operand(struct cpu *cpu, const struct insn *in, uint16_t value)
{
    if (in->flags & INSN_MEM)
        mem_write16(cpu, in->seg, insn_ea(cpu, in), value);
    else
        store_register(cpu, in, in->rm, value);
}
