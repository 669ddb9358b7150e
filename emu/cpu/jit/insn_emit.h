/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The emitters by kind: insn_emit.c asks them by opcode. Each returns false when there is none for this form,
 * and then nothing was emitted.
 */
#pragma once

#include "emu/cpu/jit/translate.h"

#define SEGMENT(n, member)                                                                                   \
    (CPU(seg) + (int32_t)((n) * sizeof(struct segment) + offsetof(struct segment, member)))

#define EMIT_MOVZX8  0x0fb6
#define EMIT_MOVZX16 0x0fb7

/* Into struct cpu. */
static inline void emit_store_imm(struct emit *e, int32_t at, uint32_t value)
{
    emit_rm(e, 4, 0xc7, 0, R15, EMIT_NONE, 0, at);
    emit32(e, value);
}
static inline void emit_store_imm_byte(struct emit *e, int32_t at, unsigned value)
{
    emit_rm(e, 1, 0xc6, 0, R15, EMIT_NONE, 0, at);
    emit8(e, value);
}

/* insn_branch.c */
bool emit_jump_direct(struct translation *t);
bool emit_jump_condition(struct translation *t);
bool emit_count_branch(struct translation *t);
bool emit_call_direct(struct translation *t);
bool emit_branch_e(struct translation *t, bool call);
bool emit_return(struct translation *t);

/* insn_segmented.c: all of them, in code that is not flat. */
bool emit_segmented_instruction(struct translation *t);
/* insn_emit.c: what works on registers and an E operand alone. */
bool emit_plain_instruction(struct translation *t);

/* insn_stack.c */
bool emit_push_reg(struct translation *t);
bool emit_push_imm(struct translation *t);
bool emit_push_e(struct translation *t);
bool emit_pop_reg(struct translation *t);
bool emit_pop_e(struct translation *t);
bool emit_leave_frame(struct translation *t);
