/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Near control transfers, conditions, flags, BOUND.
 *
 * A near branch checks its target against the limit of CS before anything is changed (SDM vol. 2, JMP, CALL,
 * RET); with a 16-bit operand size the target is cut to 16 bits.
 */
#include "emu/cpu/interp.h"

#define JUMP_IF(N, number, condition)                                                                        \
    static void jump_if_##number##_##N(struct cpu *cpu, const struct insn *in)                               \
    {                                                                                                        \
        uint32_t s = cpu->status;                                                                            \
                                                                                                             \
        if (condition)                                                                                       \
            branch_to(cpu, (cpu->eip + in->imm) & BRANCH_MASK(N));                                           \
    }
#define SET_IF(number, condition)                                                                            \
    static void set_if_##number##_r(struct cpu *cpu, const struct insn *in)                                  \
    {                                                                                                        \
        uint32_t s = cpu->status;                                                                            \
                                                                                                             \
        REG(8, in->rm) = (condition) != 0;                                                                   \
    }                                                                                                        \
    static void set_if_##number##_m(struct cpu *cpu, const struct insn *in)                                  \
    {                                                                                                        \
        uint32_t s = cpu->status;                                                                            \
                                                                                                             \
        MEM_WRITE(8, (condition) != 0);                                                                      \
    }
#define MOVE_IF(N, number, condition)                                                                        \
    static void move_if_##number##_##N##_r(struct cpu *cpu, const struct insn *in)                           \
    {                                                                                                        \
        uint32_t s = cpu->status;                                                                            \
                                                                                                             \
        if (condition)                                                                                       \
            REG(N, in->reg) = REG(N, in->rm);                                                                \
    }                                                                                                        \
    static void move_if_##number##_##N##_m(struct cpu *cpu, const struct insn *in)                           \
    {                                                                                                        \
        uint32_t s = cpu->status;                                                                            \
        T(N) value = MEM_READ(N); /* read, and faulting, whatever the condition */                           \
                                                                                                             \
        if (condition)                                                                                       \
            REG(N, in->reg) = value;                                                                         \
    }
#define ALL_OF_CONDITION(number, condition)                                                                  \
    JUMP_IF(16, number, condition)                                                                           \
    JUMP_IF(32, number, condition)                                                                           \
    SET_IF(number, condition)                                                                                \
    MOVE_IF(16, number, condition)                                                                           \
    MOVE_IF(32, number, condition)
/* clang-format off */
FLAGS_CONDITIONS(ALL_OF_CONDITION)

#define TABLE(name, prefix, suffix)                                                                          \
    insn_fn *const name[16] = {                                                                              \
        prefix##0##suffix, prefix##1##suffix, prefix##2##suffix, prefix##3##suffix,                          \
        prefix##4##suffix, prefix##5##suffix, prefix##6##suffix, prefix##7##suffix,                          \
        prefix##8##suffix, prefix##9##suffix, prefix##10##suffix, prefix##11##suffix,                        \
        prefix##12##suffix, prefix##13##suffix, prefix##14##suffix, prefix##15##suffix,                      \
    };
TABLE(op_jcc_jb_16_cc, jump_if_, _16)
TABLE(op_jcc_jb_32_cc, jump_if_, _32)
TABLE(op_jcc_jz_16_cc, jump_if_, _16)
TABLE(op_jcc_jz_32_cc, jump_if_, _32)
TABLE(op_setcc_r_cc, set_if_, _r)
TABLE(op_setcc_m_cc, set_if_, _m)
TABLE(op_cmovcc_16_r_cc, move_if_, _16_r)
TABLE(op_cmovcc_16_m_cc, move_if_, _16_m)
TABLE(op_cmovcc_32_r_cc, move_if_, _32_r)
TABLE(op_cmovcc_32_m_cc, move_if_, _32_m)
/* clang-format on */

/* The counter of LOOP and JECXZ goes by the address size. */
static inline uint32_t loop_count(const struct cpu *cpu, const struct insn *in)
{
    return cpu->gpr[ECX] & in->ea_mask;
}

/* What a LOOP leaves in ECX; it is stored only when the branch cannot fault any more. */
static inline uint32_t loop_next(const struct cpu *cpu, const struct insn *in)
{
    return (cpu->gpr[ECX] & ~in->ea_mask) | ((cpu->gpr[ECX] - 1) & in->ea_mask);
}

#define LOOP_FORM(name, N, condition)                                                                        \
    void op_##name##_##N(struct cpu *cpu, const struct insn *in)                                             \
    {                                                                                                        \
        uint32_t count = loop_next(cpu, in);                                                                 \
                                                                                                             \
        if ((count & in->ea_mask) && (condition))                                                            \
            branch_to(cpu, (cpu->eip + in->imm) & BRANCH_MASK(N));                                           \
        cpu->gpr[ECX] = count;                                                                               \
    }
#define BRANCH_FORMS(N)                                                                                      \
    LOOP_FORM(loop, N, true)                                                                                 \
    LOOP_FORM(loope, N, cpu->status &FLAG_ZF)                                                                \
    LOOP_FORM(loopne, N, !(cpu->status & FLAG_ZF))                                                           \
    void op_jecxz_##N(struct cpu *cpu, const struct insn *in)                                                \
    {                                                                                                        \
        if (!loop_count(cpu, in))                                                                            \
            branch_to(cpu, (cpu->eip + in->imm) & BRANCH_MASK(N));                                           \
    }                                                                                                        \
    void op_jmp_jb_##N(struct cpu *cpu, const struct insn *in)                                               \
    {                                                                                                        \
        branch_to(cpu, (cpu->eip + in->imm) & BRANCH_MASK(N));                                               \
    }                                                                                                        \
    void op_jmp_jz_##N(struct cpu *cpu, const struct insn *in)                                               \
    {                                                                                                        \
        branch_to(cpu, (cpu->eip + in->imm) & BRANCH_MASK(N));                                               \
    }                                                                                                        \
    void op_jmp_ev_##N##_r(struct cpu *cpu, const struct insn *in)                                           \
    {                                                                                                        \
        branch_to(cpu, REG(N, in->rm));                                                                      \
    }                                                                                                        \
    void op_jmp_ev_##N##_m(struct cpu *cpu, const struct insn *in)                                           \
    {                                                                                                        \
        branch_to(cpu, MEM_READ(N));                                                                         \
    }                                                                                                        \
    static inline void call_##N(struct cpu *cpu, uint32_t target)                                            \
    {                                                                                                        \
        uint32_t next = cpu->eip;                                                                            \
                                                                                                             \
        if (__builtin_expect(target > cpu->seg[SEG_CS].max, 0)) {                                            \
            /* the stack's faults come before the limit's */                                                 \
            mem_check_write(cpu, SEG_SS, (cpu->gpr[ESP] - N / 8) & cpu->stack_mask, N / 8);                  \
            segment_set_eip(cpu, target);                                                                    \
        }                                                                                                    \
        stack_push##N(cpu, (T(N))next);                                                                      \
        cpu->eip = target;                                                                                   \
    }                                                                                                        \
    void op_call_jz_##N(struct cpu *cpu, const struct insn *in)                                              \
    {                                                                                                        \
        call_##N(cpu, (cpu->eip + in->imm) & BRANCH_MASK(N));                                                \
    }                                                                                                        \
    void op_call_ev_##N##_r(struct cpu *cpu, const struct insn *in)                                          \
    {                                                                                                        \
        call_##N(cpu, REG(N, in->rm));                                                                       \
    }                                                                                                        \
    void op_call_ev_##N##_m(struct cpu *cpu, const struct insn *in)                                          \
    {                                                                                                        \
        call_##N(cpu, MEM_READ(N));                                                                          \
    }                                                                                                        \
    static inline void return_##N(struct cpu *cpu, uint32_t release)                                         \
    {                                                                                                        \
        uint32_t sp = cpu->gpr[ESP] & cpu->stack_mask;                                                       \
        uint32_t target = mem_read##N(cpu, SEG_SS, sp);                                                      \
                                                                                                             \
        branch_to(cpu, target);                                                                              \
        stack_set(cpu, sp + N / 8 + release);                                                                \
    }                                                                                                        \
    void op_ret_##N(struct cpu *cpu, const struct insn *in)                                                  \
    {                                                                                                        \
        return_##N(cpu, 0);                                                                                  \
    }                                                                                                        \
    void op_ret_iw_##N(struct cpu *cpu, const struct insn *in)                                               \
    {                                                                                                        \
        return_##N(cpu, in->imm);                                                                            \
    }                                                                                                        \
    void op_bound_##N(struct cpu *cpu, const struct insn *in)                                                \
    {                                                                                                        \
        uint32_t offset = insn_ea(cpu, in);                                                                  \
        int##N##_t lower = (int##N##_t)mem_read##N(cpu, in->seg, offset);                                    \
        int##N##_t upper = (int##N##_t)mem_read##N(cpu, in->seg, (offset + N / 8) & in->ea_mask);            \
        int##N##_t value = (int##N##_t)REG(N, in->reg);                                                      \
                                                                                                             \
        if (value < lower || value > upper)                                                                  \
            cpu_fault(cpu, VEC_BR, 0);                                                                       \
    }
/* clang-format off */
BRANCH_FORMS(16)
BRANCH_FORMS(32)
/* clang-format on */

/* ---- flags ---- */

#define SAHF_FLAGS (FLAG_STATUS & ~FLAG_OF)

void op_sahf(struct cpu *cpu, const struct insn *in)
{
    cpu->status = (cpu->status & FLAG_OF) | (*reg8(cpu, 4) & SAHF_FLAGS);
}

void op_lahf(struct cpu *cpu, const struct insn *in)
{
    *reg8(cpu, 4) = (uint8_t)((cpu->status & SAHF_FLAGS) | FLAG_ONE);
}

void op_cmc(struct cpu *cpu, const struct insn *in)
{
    cpu->status ^= FLAG_CF;
}

void op_clc(struct cpu *cpu, const struct insn *in)
{
    cpu->status &= ~FLAG_CF;
}

void op_stc(struct cpu *cpu, const struct insn *in)
{
    cpu->status |= FLAG_CF;
}

void op_cld(struct cpu *cpu, const struct insn *in)
{
    cpu->eflags &= ~FLAG_DF;
}

void op_std(struct cpu *cpu, const struct insn *in)
{
    cpu->eflags |= FLAG_DF;
}

/* ---- undefined on purpose ---- */

void op_ud0(struct cpu *cpu, const struct insn *in)
{
    cpu_fault_ud(cpu);
}
