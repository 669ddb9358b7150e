/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The emitters: integer instructions as host code, by opcode. Theory: translate.c.
 *
 * Most come out as they went in: the same opcode, ESP as r12, a memory operand as [r9 + r8]. An AH…BH beside
 * a memory operand goes through r11, since no REX prefix can be had with them. Nothing architectural is
 * changed before the last jump out of line.
 */
#include "emu/cpu/jit/translate.h"

enum access { READS, WRITES, CHANGES };
enum field { FIELD_NUMBER, FIELD_SOURCE, FIELD_TARGET }; /* what ModRM.reg is */

static bool is_memory(const struct translation *t)
{
    return t->in->flags & INSN_MEM;
}
static bool is_high(unsigned size, unsigned reg)
{
    return size == 1 && reg >= 4;
}

/* Exchanges AL and AH or their like: both halves can be had then, whatever the prefix. */
static void emit_swap_high(struct emit *e, unsigned reg)
{
    emit_rr(e, 1, 0x86, (int)(reg & 3) + 4, (int)(reg & 3));
}
static void high_to_r11(struct emit *e, unsigned reg)
{
    emit_swap_high(e, reg);
    emit_move(e, 4, R11, (int)(reg & 3));
    emit_swap_high(e, reg);
}
static void r11_to_high(struct emit *e, unsigned reg)
{
    emit_swap_high(e, reg);
    emit_rr(e, 1, 0x8a, (int)(reg & 3), R11);
    emit_swap_high(e, reg);
}

static void emit_imm(struct emit *e, unsigned bytes, uint32_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        emit8(e, value >> 8 * i);
}

/* Any instruction with an E operand: opcode, ModRM.reg, immediate. `field_size` is the size of the register
 * of ModRM.reg, where that is one. */
static bool op_e_sized(struct translation *t, unsigned size, unsigned memory_size, unsigned field_size,
                       unsigned opcode, unsigned reg, enum field field, enum access access,
                       unsigned imm_bytes, uint32_t imm)
{
    struct emit *e = &t->e;
    const struct insn *in = t->in;
    int host = field == FIELD_NUMBER || field_size == 1 ? (int)reg : host_of(reg);
    bool high = field != FIELD_NUMBER && is_high(field_size, reg);

    if (!is_memory(t)) {
        int rm = memory_size == 1 ? (int)in->rm : host_of(in->rm);

        if ((host > 7 && is_high(memory_size, in->rm)) || (rm > 7 && high))
            return false;
        flags_need(t);
        emit_rr(e, size, opcode, host, rm);
        emit_imm(e, imm_bytes, imm);
        flags_done(t);
        return true;
    }
    if (access != READS && in->seg == SEG_CS)
        return false;
    flags_lose(t);
    if (high) {
        high_to_r11(e, reg);
        host = R11;
    }
    emit_operand_place(t, memory_size, access != READS);
    flags_need(t);
    emit_rm(e, size, opcode, host, R9, R8, 0, 0);
    emit_imm(e, imm_bytes, imm);
    if (high && field == FIELD_TARGET)
        r11_to_high(e, reg);
    flags_done(t);
    return true;
}

static bool op_e(struct translation *t, unsigned size, unsigned opcode, unsigned reg, enum field field,
                 enum access access, unsigned imm_bytes, uint32_t imm)
{
    return op_e_sized(t, size, size, size, opcode, reg, field, access, imm_bytes, imm);
}

static unsigned full_size(const struct translation *t)
{
    return t->in->flags & INSN_OP16 ? 2 : 4;
}
static unsigned size_by_bit0(const struct translation *t)
{
    return t->in->opcode & 1 ? full_size(t) : 1;
}

/* ADD…CMP, all forms but 80…83 */
static bool emit_alu(struct translation *t)
{
    const struct insn *in = t->in;
    unsigned op = in->opcode, size = size_by_bit0(t);
    bool compares = op >> 3 == ALU_CMP;

    switch (op & 7) {
    case 0:
    case 1:
        return op_e(t, size, op, in->reg, FIELD_SOURCE, compares ? READS : CHANGES, 0, 0);
    case 2:
    case 3:
        return op_e(t, size, op, in->reg, FIELD_TARGET, READS, 0, 0);
    default: /* 4 and 5: the accumulator */
        flags_need(t);
        emit_rr(&t->e, size, size == 1 ? 0x80 : 0x81, (int)(op >> 3), RAX);
        emit_imm(&t->e, size, in->imm);
        flags_done(t);
        return true;
    }
}

static bool emit_alu_group(struct translation *t)
{
    const struct insn *in = t->in;
    unsigned size = size_by_bit0(t), op = in->opcode == 0x82 ? 0x80 : in->opcode;
    unsigned imm = op == 0x81 ? size : 1;

    return op_e(t, size, op, in->modrm >> 3 & 7, FIELD_NUMBER,
                (in->modrm >> 3 & 7) == ALU_CMP ? READS : CHANGES, imm, in->imm);
}

static bool emit_test_accumulator(struct translation *t)
{
    unsigned size = size_by_bit0(t);

    emit_rr(&t->e, size, size == 1 ? 0xf6 : 0xf7, 0, RAX);
    emit_imm(&t->e, size, t->in->imm);
    flags_done(t);
    return true;
}

static bool emit_inc_dec(struct translation *t, unsigned reg, unsigned number)
{
    flags_need(t);
    emit_rr(&t->e, full_size(t), 0xff, (int)number, host_of(reg));
    flags_done(t);
    return true;
}

/* 32 bits, where none of the special cases of division can be: the quotient fits. */
static bool emit_divide(struct translation *t, bool is_signed)
{
    struct emit *e = &t->e;
    struct slow *s;

    if (size_by_bit0(t) != 4)
        return false;
    flags_lose(t);
    if (is_memory(t)) {
        emit_operand_place(t, 4, false);
        emit_rm(e, 4, EMIT_LOAD, R11, R9, R8, 0, 0);
    } else {
        emit_move(e, 4, R11, host_of(t->in->rm));
    }
    s = slow_here(t);
    if (is_signed) {
        emit_move(e, 4, R9, RAX);
        emit_shift_imm(e, 4, SHIFT_SAR, R9, 31);
        emit_rr(e, 4, 0x3b, R9, RDX);
        s->jump[s->jumps++] = emit_jump_if(e, CC_NE);
        emit_lea(e, 4, R9, R11, 1);
        emit_alu_imm(e, 4, ALU_CMP, R9, 1);
        s->jump[s->jumps++] = emit_jump_if(e, CC_BE);
    } else {
        emit_rr(e, 4, 0x3b, RDX, R11);
        s->jump[s->jumps++] = emit_jump_if(e, CC_AE);
    }
    flags_need(t);
    emit_rr(e, 4, 0xf7, is_signed ? 7 : 6, R11);
    flags_done(t);
    return true;
}

/* f6, f7 */
static bool emit_group3(struct translation *t)
{
    const struct insn *in = t->in;
    unsigned size = size_by_bit0(t), number = in->modrm >> 3 & 7;

    switch (number) {
    case 0:
    case 1:
        return op_e(t, size, in->opcode, 0, FIELD_NUMBER, READS, size, in->imm);
    case 2:
    case 3:
        return op_e(t, size, in->opcode, number, FIELD_NUMBER, CHANGES, 0, 0);
    case 4:
    case 5:
        return op_e(t, size, in->opcode, number, FIELD_NUMBER, READS, 0, 0);
    default:
        return emit_divide(t, number == 7);
    }
}

static bool emit_shift(struct translation *t)
{
    const struct insn *in = t->in;

    return op_e(t, size_by_bit0(t), in->opcode, in->modrm >> 3 & 7, FIELD_NUMBER, CHANGES,
                in->opcode < 0xd0 ? 1 : 0, in->imm);
}

static bool emit_xchg(struct translation *t)
{
    struct emit *e = &t->e;
    const struct insn *in = t->in;
    unsigned size = size_by_bit0(t);

    if (!is_memory(t))
        return op_e(t, size, in->opcode, in->reg, FIELD_TARGET, CHANGES, 0, 0);
    if (in->seg == SEG_CS || is_high(size, in->reg))
        return false;
    /* One processor: no need to lock. */
    flags_lose(t);
    emit_operand_place(t, size, true);
    emit_rm(e, size, size == 1 ? 0x8a : EMIT_LOAD, R11, R9, R8, 0, 0);
    emit_rm(e, size, size == 1 ? 0x88 : EMIT_STORE, size == 1 ? in->reg : host_of(in->reg), R9, R8, 0, 0);
    emit_rr(e, size, size == 1 ? 0x8a : EMIT_LOAD, size == 1 ? in->reg : host_of(in->reg), R11);
    return true;
}

static bool emit_lea_insn(struct translation *t)
{
    const struct insn *in = t->in;
    int base = in->base == GPR_ZERO ? EMIT_NONE : host_of(in->base);
    int index = in->index == GPR_ZERO ? EMIT_NONE : host_of(in->index);

    emit_rm(&t->e, full_size(t), EMIT_LEA, host_of(in->reg), base, index, in->scale, (int32_t)in->disp);
    return true;
}

static bool emit_mov_offset(struct translation *t)
{
    struct emit *e = &t->e;
    unsigned size = size_by_bit0(t);
    bool store = t->in->opcode & 2;

    if (store && t->in->seg == SEG_CS)
        return false;
    flags_lose(t);
    emit_operand_place(t, size, store);
    emit_rm(e, size, (store ? 0x88u : 0x8au) | (size > 1), RAX, R9, R8, 0, 0);
    return true;
}

static bool emit_mov_imm_reg(struct translation *t)
{
    const struct insn *in = t->in;

    if (in->opcode < 0xb8) {
        emit8(&t->e, in->opcode);
        emit8(&t->e, in->imm);
    } else if (full_size(t) == 4) {
        emit_imm32(&t->e, host_of(in->reg), in->imm);
    } else {
        emit_rr(&t->e, 2, 0xc7, 0, host_of(in->reg));
        emit16(&t->e, in->imm);
    }
    return true;
}

static bool emit_direction_flag(struct translation *t, bool set)
{
    struct emit *e = &t->e;

    flags_lose(t);
    emit_rm(e, 4, 0x81, set ? ALU_OR : ALU_AND, R15, EMIT_NONE, 0, CPU(eflags));
    emit32(e, set ? FLAG_DF : ~FLAG_DF);
    return true;
}

/* ---- stack ---- */

static void push_place(struct translation *t)
{
    flags_lose(t);
    emit_lea(&t->e, 4, R8, R12, -4);
    emit_stack_place(t, true);
}

static bool emit_push_reg(struct translation *t)
{
    push_place(t);
    emit_rm(&t->e, 4, EMIT_STORE, host_of(t->in->reg), R9, R8, 0, 0);
    emit_move(&t->e, 4, R12, R8);
    return true;
}

static bool emit_push_imm(struct translation *t)
{
    push_place(t);
    emit_rm(&t->e, 4, 0xc7, 0, R9, R8, 0, 0);
    emit32(&t->e, t->in->imm);
    emit_move(&t->e, 4, R12, R8);
    return true;
}

/* What is to be pushed or jumped to, an E operand, into r11. */
static void e_to_r11(struct translation *t)
{
    if (is_memory(t)) {
        emit_operand_place(t, 4, false);
        emit_rm(&t->e, 4, EMIT_LOAD, R11, R9, R8, 0, 0);
    } else {
        emit_move(&t->e, 4, R11, host_of(t->in->rm));
    }
}

static bool emit_push_e(struct translation *t)
{
    flags_lose(t);
    e_to_r11(t);
    push_place(t);
    emit_rm(&t->e, 4, EMIT_STORE, R11, R9, R8, 0, 0);
    emit_move(&t->e, 4, R12, R8);
    return true;
}

static bool emit_pop_reg(struct translation *t)
{
    flags_lose(t);
    emit_move(&t->e, 4, R8, R12);
    emit_stack_place(t, false);
    if (t->in->reg != ESP)
        emit_lea(&t->e, 4, R12, R12, 4);
    emit_rm(&t->e, 4, EMIT_LOAD, host_of(t->in->reg), R9, R8, 0, 0);
    return true;
}

static bool emit_leave(struct translation *t)
{
    flags_lose(t);
    emit_move(&t->e, 4, R8, RBP);
    emit_stack_place(t, false);
    emit_rm(&t->e, 4, EMIT_LOAD, RBP, R9, R8, 0, 0);
    emit_lea(&t->e, 4, R12, R8, 4);
    return true;
}

/* ---- control ---- */

static int32_t branch_target(const struct translation *t)
{
    return (int32_t)(t->next + t->in->imm);
}

static bool emit_jump_direct(struct translation *t)
{
    emit_direct(t, emit_jump(&t->e), branch_target(t));
    t->ended = true;
    return true;
}

static bool emit_jump_condition(struct translation *t)
{
    flags_to_host(t);
    emit_direct(t, emit_jump_if(&t->e, t->in->opcode & 15), branch_target(t));
    emit_direct(t, emit_jump(&t->e), (int32_t)t->next);
    t->ended = true;
    return true;
}

/* JECXZ and LOOP leave all flags alone, here as there. */
static bool emit_count_branch(struct translation *t, bool loop)
{
    struct emit *e = &t->e;
    uint8_t *zero;

    if (!t->in_host && !t->in_r13)
        return false;
    if (loop)
        emit_lea(e, 4, RCX, RCX, -1);
    emit8(e, 0x67); /* jecxz */
    emit8(e, 0xe3);
    emit8(e, 0);
    zero = e->at;
    emit_direct(t, emit_jump(e), loop ? branch_target(t) : (int32_t)t->next);
    zero[-1] = (uint8_t)(e->at - zero);
    emit_direct(t, emit_jump(e), loop ? (int32_t)t->next : branch_target(t));
    t->ended = true;
    return true;
}

static void emit_push_return(struct translation *t)
{
    struct emit *e = &t->e;

    push_place(t);
    emit_load(e, 4, R10, R15, CPU(jit_page));
    emit_lea(e, 4, R10, R10, (int32_t)t->next);
    emit_rm(e, 4, EMIT_STORE, R10, R9, R8, 0, 0);
    emit_move(e, 4, R12, R8);
}

static bool emit_call_direct(struct translation *t)
{
    emit_push_return(t);
    return emit_jump_direct(t);
}

static bool emit_branch_e(struct translation *t, bool call)
{
    flags_lose(t);
    e_to_r11(t);
    if (call)
        emit_push_return(t);
    emit_move(&t->e, 4, R8, R11);
    emit_indirect(t);
    return true;
}

static bool emit_return(struct translation *t)
{
    struct emit *e = &t->e;

    flags_lose(t);
    emit_move(e, 4, R8, R12);
    emit_stack_place(t, false);
    emit_rm(e, 4, EMIT_LOAD, R8, R9, R8, 0, 0);
    emit_lea(e, 4, R12, R12, 4 + (t->in->opcode == 0xc2 ? (int32_t)(t->in->imm & 0xffff) : 0));
    emit_indirect(t);
    return true;
}

/* ff */
static bool emit_group5(struct translation *t)
{
    const struct insn *in = t->in;
    unsigned number = in->modrm >> 3 & 7;

    if (number < 2)
        return op_e(t, full_size(t), 0xff, number, FIELD_NUMBER, CHANGES, 0, 0);
    if (in->flags & INSN_OP16)
        return false;
    switch (number) {
    case 2:
    case 4:
        return emit_branch_e(t, number == 2);
    case 6:
        return emit_push_e(t);
    default: /* far transfers */
        return false;
    }
}

/* ---- by opcode ---- */

static bool emit_one_byte(struct translation *t)
{
    const struct insn *in = t->in;
    unsigned op = in->opcode, size = size_by_bit0(t);
    bool op16 = in->flags & INSN_OP16;

    if (op < 0x40)
        return (op & 7) < 6 && emit_alu(t);
    switch (op) {
    case 0x40 ... 0x4f:
        return emit_inc_dec(t, in->reg, op >> 3 & 1);
    case 0x50 ... 0x57:
        return !op16 && emit_push_reg(t);
    case 0x58 ... 0x5f:
        return !op16 && emit_pop_reg(t);
    case 0x68:
    case 0x6a:
        return !op16 && emit_push_imm(t);
    case 0x69:
        return op_e(t, full_size(t), op, in->reg, FIELD_TARGET, READS, full_size(t), in->imm);
    case 0x6b:
        return op_e(t, full_size(t), op, in->reg, FIELD_TARGET, READS, 1, in->imm);
    case 0x70 ... 0x7f:
        return !op16 && emit_jump_condition(t);
    case 0x80 ... 0x83:
        return emit_alu_group(t);
    case 0x84:
    case 0x85:
        return op_e(t, size, op, in->reg, FIELD_SOURCE, READS, 0, 0);
    case 0x86:
    case 0x87:
        return emit_xchg(t);
    case 0x88:
    case 0x89:
        return op_e(t, size, op, in->reg, FIELD_SOURCE, WRITES, 0, 0);
    case 0x8a:
    case 0x8b:
        return op_e(t, size, op, in->reg, FIELD_TARGET, READS, 0, 0);
    case 0x8d:
        return emit_lea_insn(t);
    case 0x90:
        return true;
    case 0x91 ... 0x97:
        emit_rr(&t->e, full_size(t), 0x87, host_of(in->reg), RAX);
        return true;
    case 0x98:
    case 0x99:
        emit_prefixes(&t->e, full_size(t), op, 0, 0, 0, false);
        return true;
    case 0xa0 ... 0xa3:
        return emit_mov_offset(t);
    case 0xa8:
    case 0xa9:
        return emit_test_accumulator(t);
    case 0xb0 ... 0xbf:
        return emit_mov_imm_reg(t);
    case 0xc0:
    case 0xc1:
    case 0xd0 ... 0xd3:
        return emit_shift(t);
    case 0xc2:
    case 0xc3:
        return !op16 && emit_return(t);
    case 0xc6:
    case 0xc7:
        return op_e(t, size, op, 0, FIELD_NUMBER, WRITES, size, in->imm);
    case 0xc9:
        return !op16 && emit_leave(t);
    case 0xe2:
    case 0xe3:
        return !op16 && emit_count_branch(t, op == 0xe2);
    case 0xe8:
        return !op16 && emit_call_direct(t);
    case 0xe9:
    case 0xeb:
        return !op16 && emit_jump_direct(t);
    case 0xf5:
    case 0xf8:
    case 0xf9:
        flags_need(t);
        emit8(&t->e, op);
        flags_done(t);
        return true;
    case 0xfc:
    case 0xfd:
        return emit_direction_flag(t, op == 0xfd);
    case 0xf6:
    case 0xf7:
        return emit_group3(t);
    case 0xfe:
        return op_e(t, 1, op, in->modrm >> 3 & 7, FIELD_NUMBER, CHANGES, 0, 0);
    case 0xff:
        return emit_group5(t);
    default: /* the interpreter's */
        return false;
    }
}

static bool emit_setcc(struct translation *t)
{
    struct emit *e = &t->e;
    const struct insn *in = t->in;
    unsigned op = 0x0f00u | in->opcode;

    flags_to_host(t);
    if (!is_memory(t)) {
        emit_rr(e, 1, op, 0, in->rm);
        return true;
    }
    if (in->seg == SEG_CS)
        return false;
    emit_rr(e, 1, op, 0, R11);
    flags_lose(t);
    emit_operand_place(t, 1, true);
    emit_rm(e, 1, 0x88, R11, R9, R8, 0, 0);
    return true;
}

static bool emit_two_byte(struct translation *t)
{
    const struct insn *in = t->in;
    unsigned op = in->opcode, full = full_size(t), opcode = 0x0f00 | op;

    switch (op) {
    case 0x18 ... 0x1f:
        return true;
    case 0x40 ... 0x4f:
        return op_e(t, full, opcode, in->reg, FIELD_TARGET, READS, 0, 0);
    case 0x80 ... 0x8f:
        return full == 4 && emit_jump_condition(t);
    case 0x90 ... 0x9f:
        return emit_setcc(t);
    case 0xa3: /* bit strings in memory are the interpreter's */
    case 0xab:
    case 0xb3:
    case 0xbb:
        return !is_memory(t) && op_e(t, full, opcode, in->reg, FIELD_SOURCE, CHANGES, 0, 0);
    case 0xba:
        return op_e(t, full, opcode, in->modrm >> 3 & 7, FIELD_NUMBER,
                    (in->modrm >> 3 & 7) == 4 ? READS : CHANGES, 1, in->imm);
    case 0xa4:
    case 0xac:
        return full == 4 && op_e(t, full, opcode, in->reg, FIELD_SOURCE, CHANGES, 1, in->imm);
    case 0xa5:
    case 0xad:
        return full == 4 && op_e(t, full, opcode, in->reg, FIELD_SOURCE, CHANGES, 0, 0);
    case 0xaf:
    case 0xbc:
    case 0xbd:
        return op_e(t, full, opcode, in->reg, FIELD_TARGET, READS, 0, 0);
    case 0xb0: /* not the form with AH…BH: on failure memory is written all the same */
    case 0xb1:
    case 0xc0:
    case 0xc1: {
        unsigned size = size_by_bit0(t);

        if (is_memory(t) && is_high(size, in->reg))
            return false;
        return op_e(t, size, opcode, in->reg, FIELD_TARGET, CHANGES, 0, 0);
    }
    case 0xb6:
    case 0xbe:
        return op_e_sized(t, full, 1, full, opcode, in->reg, FIELD_TARGET, READS, 0, 0);
    case 0xb7:
    case 0xbf:
        return op_e_sized(t, full, 2, full, opcode, in->reg, FIELD_TARGET, READS, 0, 0);
    case 0xc8 ... 0xcf:
        if (full != 4)
            return false;
        emit_prefixes(&t->e, 4, 0x0fc8u | (unsigned)(host_of(in->reg) & 7), 0, 0, host_of(in->reg), false);
        return true;
    default: /* the interpreter's */
        return false;
    }
}

bool instruction_is_known(const struct insn *in)
{
    const struct insn_row *row = &insn_rows[in->op];

    return in->op != INSN_ud2 && !(in->flags & INSN_ADDR16) &&
           !(row->attr & (ATTR_X87 | ATTR_MMX | ATTR_SSE));
}

bool emit_instruction(struct translation *t)
{
    if ((t->row->attr & ATTR_END) && !(t->row->attr & ATTR_BRANCH))
        return false;
    return t->row->map ? emit_two_byte(t) : emit_one_byte(t);
}
