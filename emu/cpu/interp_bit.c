/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Bit tests and scans. With a memory operand and a register for the bit, the register is a signed bit offset
 * from the operand's address: the word that holds the bit is the one that is accessed (SDM vol. 2, BT).
 */
#include "emu/cpu/interp.h"

/* The word's address: the offset's bits above the low 4 or 5, times the word's bytes. */
#define BIT_STRING_OFFSET(N)                                                                                 \
    ((insn_ea(cpu, in) + (uint32_t)((int##N##_t)REG(N, in->reg) >> (N == 16 ? 4 : 5)) * (N / 8)) &           \
     in->ea_mask)

#define BIT_FORM(id, N)                                                                                      \
    void op_##id##_ev_gv_##N##_r(struct cpu *cpu, const struct insn *in)                                     \
    {                                                                                                        \
        REG(N, in->rm) = host_##id##N(cpu, REG(N, in->rm), REG(N, in->reg));                                 \
    }                                                                                                        \
    void op_##id##_ev_gv_##N##_m(struct cpu *cpu, const struct insn *in)                                     \
    {                                                                                                        \
        uint32_t offset = BIT_STRING_OFFSET(N);                                                              \
        T(N) value = mem_read_rmw##N(cpu, in->seg, offset);                                                  \
                                                                                                             \
        mem_write##N(cpu, in->seg, offset, host_##id##N(cpu, value, REG(N, in->reg)));                       \
    }                                                                                                        \
    void op_##id##_ev_ib_##N##_r(struct cpu *cpu, const struct insn *in)                                     \
    {                                                                                                        \
        REG(N, in->rm) = host_##id##N(cpu, REG(N, in->rm), (T(N))in->imm);                                   \
    }                                                                                                        \
    void op_##id##_ev_ib_##N##_m(struct cpu *cpu, const struct insn *in)                                     \
    {                                                                                                        \
        MEM_CHANGE(N, value, host_##id##N(cpu, value, (T(N))in->imm));                                       \
    }
#define BIT_TEST_FORM(N)                                                                                     \
    void op_bt_ev_gv_##N##_r(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        host_bt##N(cpu, REG(N, in->rm), REG(N, in->reg));                                                    \
    }                                                                                                        \
    void op_bt_ev_gv_##N##_m(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        T(N) value = mem_read##N(cpu, in->seg, BIT_STRING_OFFSET(N));                                        \
                                                                                                             \
        host_bt##N(cpu, value, REG(N, in->reg));                                                             \
    }                                                                                                        \
    void op_bt_ev_ib_##N##_r(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        host_bt##N(cpu, REG(N, in->rm), (T(N))in->imm);                                                      \
    }                                                                                                        \
    void op_bt_ev_ib_##N##_m(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        T(N) value = MEM_READ(N);                                                                            \
                                                                                                             \
        host_bt##N(cpu, value, (T(N))in->imm);                                                               \
    }
/* A source of 0 leaves the destination alone, as the host does. */
#define BIT_SCAN_FORM(id, N)                                                                                 \
    void op_##id##_##N(struct cpu *cpu, const struct insn *in)                                               \
    {                                                                                                        \
        T(N) source = E_READ(N);                                                                             \
                                                                                                             \
        REG(N, in->reg) = host_##id##N(cpu, REG(N, in->reg), source);                                        \
    }
/* clang-format off */
BIT_TEST_FORM(16)
BIT_TEST_FORM(32)
BIT_FORM(bts, 16)
BIT_FORM(bts, 32)
BIT_FORM(btr, 16)
BIT_FORM(btr, 32)
BIT_FORM(btc, 16)
BIT_FORM(btc, 32)
BIT_SCAN_FORM(bsf, 16)
BIT_SCAN_FORM(bsf, 32)
BIT_SCAN_FORM(bsr, 16)
BIT_SCAN_FORM(bsr, 32)
/* clang-format on */
