/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The emitters: integer instructions as host code, by opcode. Theory: translate.c.
 *
 * Most come out as they went in: the same opcode, ESP as r12, ECX as r11, a memory operand as [rcx + r8]. Two
 * things need care. AH, DH and BH cannot be had beside a REX prefix, so beside r11, r12 or a place with r8;
 * and CH only as a part of rcx: it comes from r11 and goes back there. Shifts by CL have the count in cl.
 */
#include "emu/cpu/jit/insn_emit.h"

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

enum { CL = 1, CH = 5 };
static bool is_of_ecx(unsigned reg8)
{
    return reg8 == CL || reg8 == CH;
}
/* AL CL DL BL, with a REX prefix for CL */
static int low_byte(unsigned reg8)
{
    return host_of(reg8);
}

static void ecx_to_host(struct emit *e)
{
    emit_move(e, 4, RCX, R11);
}
static void ecx_from_host(struct emit *e)
{
    emit_move(e, 4, R11, RCX);
}

static void ch_to_r10(struct emit *e)
{
    ecx_to_host(e);
    emit_rr(e, 4, 0x0fb6, RCX, CH);
    emit_move(e, 4, R10, RCX);
}
static void ch_from_r10(struct emit *e)
{
    ecx_to_host(e);
    emit_rr(e, 1, 0x86, CH, RCX);
    emit_rr(e, 1, 0x8a, RCX, R10);
    emit_rr(e, 1, 0x86, CH, RCX);
    ecx_from_host(e);
}

static void emit_imm(struct emit *e, unsigned bytes, uint32_t value)
{
    for (unsigned i = 0; i < bytes; i++)
        emit8(e, value >> 8 * i);
}

/* opcode reg, rm with byte registers; `field` says what reg is. */
static void emit_bytes(struct emit *e, unsigned opcode, unsigned reg, enum field field, unsigned rm,
                       unsigned imm_bytes, uint32_t imm)
{
    bool is_register = field != FIELD_NUMBER;
    bool high = rm >= 4 || (is_register && reg >= 4);
    bool ecx = high && (is_of_ecx(rm) || (is_register && is_of_ecx(reg)));

    if (ecx)
        ecx_to_host(e);
    if (high)
        emit_rr(e, 1, opcode, (int)reg, (int)rm);
    else
        emit_rr(e, 1, opcode, is_register ? low_byte(reg) : (int)reg, low_byte(rm));
    emit_imm(e, imm_bytes, imm);
    if (ecx)
        ecx_from_host(e);
}

/* MOVZX, MOVSX of a byte register to a whole one. */
static void emit_extend(struct emit *e, unsigned size, unsigned opcode, int to, unsigned rm)
{
    int target = rm >= 4 && to > 7 ? RCX : to;

    if (rm == CH)
        ecx_to_host(e);
    emit_rr(e, size, opcode, target, rm >= 4 ? (int)rm : low_byte(rm));
    if (target != to)
        emit_move(e, size, to, target);
}

static bool op_register(struct translation *t, unsigned size, unsigned memory_size, unsigned field_size,
                        unsigned opcode, unsigned reg, enum field field, unsigned imm_bytes, uint32_t imm)
{
    struct emit *e = &t->e;
    unsigned rm = t->in->rm;

    if (memory_size == 1 && field_size != 1 && field != FIELD_NUMBER) {
        emit_extend(e, size, opcode, host_of(reg), rm);
    } else if (memory_size == 1) {
        emit_bytes(e, opcode, reg, field, rm, imm_bytes, imm);
    } else {
        emit_rr(e, size, opcode, field == FIELD_NUMBER ? (int)reg : host_of(reg), host_of(rm));
        emit_imm(e, imm_bytes, imm);
    }
    return true;
}

/* Any instruction with an E operand: opcode, ModRM.reg, immediate. `field_size` is the size of the register
 * of ModRM.reg, where that is one. */
static bool op_e_sized(struct translation *t, unsigned size, unsigned memory_size, unsigned field_size,
                       unsigned opcode, unsigned reg, enum field field, enum access access,
                       unsigned imm_bytes, uint32_t imm)
{
    struct emit *e = &t->e;
    bool high = field != FIELD_NUMBER && is_high(field_size, reg);
    int linear;

    if (!is_memory(t))
        return op_register(t, size, memory_size, field_size, opcode, reg, field, imm_bytes, imm);
    if (access != READS && t->in->seg == SEG_CS)
        return false;
    if (!(high && reg == CH) &&
        emit_window_operand(t, size, opcode, field == FIELD_NUMBER || high ? (int)reg : host_of(reg), high)) {
        emit_imm(e, imm_bytes, imm);
        return true;
    }
    if (high && reg == CH)
        ch_to_r10(e);
    linear = emit_operand_at(t, memory_size, access != READS);
    if (high && reg != CH) {
        emit_rm(e, 8, EMIT_LEA, RCX, RCX, linear, 0, 0);
        emit_rm(e, size, opcode, (int)reg, RCX, EMIT_NONE, 0, 0);
    } else {
        emit_rm(e, size, opcode,
                field == FIELD_NUMBER ? (int)reg
                : high                ? R10
                                      : host_of(reg),
                RCX, linear, 0, 0);
    }
    emit_imm(e, imm_bytes, imm);
    if (high && reg == CH && field == FIELD_TARGET)
        ch_from_r10(e);
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
        emit_rr(&t->e, size, size == 1 ? 0x80 : 0x81, (int)(op >> 3), RAX);
        emit_imm(&t->e, size, in->imm);
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
    return true;
}

static bool emit_inc_dec(struct translation *t, unsigned reg, unsigned number)
{
    emit_rr(&t->e, full_size(t), 0xff, (int)number, host_of(reg));
    return true;
}

/* 32 bits, where none of the special cases of division can be: the quotient fits. */
static bool emit_divide(struct translation *t, bool is_signed)
{
    struct emit *e = &t->e;

    if (size_by_bit0(t) != 4)
        return false;
    if (is_memory(t)) {
        int linear = emit_operand_at(t, 4, false);

        emit_rm(e, 4, EMIT_LOAD, R10, RCX, linear, 0, 0);
    } else {
        emit_move(e, 4, R10, host_of(t->in->rm));
    }
    if (is_signed) {
        /* EDX is EAX's sign, and the divisor neither 0 nor -1 */
        emit_free_shift(t, FREE_SAR, 4, R9, RAX, 31);
        emit_not(e, 4, R9);
        emit_rm(e, 4, EMIT_LEA, RCX, R9, RDX, 0, 1);
        emit_out_unless_zero(t);
        emit_move(e, 4, RCX, R10);
        emit_out_if_zero(t);
        emit_lea(e, 4, RCX, R10, 1);
        emit_out_if_zero(t);
    } else {
        /* EDX - divisor in 64 bits is negative */
        emit_move(e, 4, R9, R10);
        emit_not(e, 8, R9);
        emit_rm(e, 8, EMIT_LEA, R9, R9, RDX, 0, 1);
        emit_free_shift(t, FREE_SHR, 8, RCX, R9, 63);
        emit_out_if_zero(t);
    }
    emit_rr(e, 4, 0xf7, is_signed ? 7 : 6, R10);
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

/* With the count in CL: by D3, D2, and SHLD and SHRD. */
static bool emit_shift_cl(struct translation *t, unsigned size, unsigned opcode, int field)
{
    struct emit *e = &t->e;
    const struct insn *in = t->in;

    if (is_memory(t)) {
        int linear;

        if (in->seg == SEG_CS)
            return false;
        linear = emit_operand_at(t, size, true);
        emit_rm(e, 8, EMIT_LEA, R8, RCX, linear, 0, 0);
        ecx_to_host(e);
        emit_rm(e, size, opcode, field, R8, EMIT_NONE, 0, 0);
        return true;
    }
    ecx_to_host(e);
    emit_rr(e, size, opcode, field, size == 1 ? (int)in->rm : host_of(in->rm));
    if (size == 1 && is_of_ecx(in->rm))
        ecx_from_host(e);
    return true;
}

static bool emit_shift(struct translation *t)
{
    const struct insn *in = t->in;
    unsigned number = in->modrm >> 3 & 7;

    if (in->opcode >= 0xd2)
        return emit_shift_cl(t, size_by_bit0(t), in->opcode, (int)number);
    return op_e(t, size_by_bit0(t), in->opcode, number, FIELD_NUMBER, CHANGES, in->opcode < 0xd0 ? 1 : 0,
                in->imm);
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
    {
        int reg = size == 1 ? low_byte(in->reg) : host_of(in->reg);

        emit_operand_place(t, size, true);
        emit_rm(e, size, size == 1 ? 0x8a : EMIT_LOAD, R10, RCX, R8, 0, 0);
        emit_rm(e, size, size == 1 ? 0x88 : EMIT_STORE, reg, RCX, R8, 0, 0);
        emit_rr(e, size, size == 1 ? 0x8a : EMIT_LOAD, reg, R10);
    }
    return true;
}

static bool emit_lea_insn(struct translation *t)
{
    /* r8, as an address of 16 bits is cut off there */
    emit_effective_address(t, full_size(t), host_of(t->in->reg));
    return true;
}

static bool emit_mov_offset(struct translation *t)
{
    struct emit *e = &t->e;
    unsigned size = size_by_bit0(t);
    bool store = t->in->opcode & 2;

    if (store && t->in->seg == SEG_CS)
        return false;
    emit_operand_place(t, size, store);
    emit_rm(e, size, (store ? 0x88u : 0x8au) | (size > 1), RAX, RCX, R8, 0, 0);
    return true;
}

static bool emit_mov_imm_reg(struct translation *t)
{
    const struct insn *in = t->in;

    if (in->opcode < 0xb8) {
        if (in->reg == CH)
            ecx_to_host(&t->e);
        emit_prefixes(&t->e, 1, 0xb0u | (unsigned)((in->reg == CL ? R11 : (int)in->reg) & 7), 0, 0,
                      in->reg == CL ? R11 : 0, false);
        emit8(&t->e, in->imm);
        if (in->reg == CH)
            ecx_from_host(&t->e);
    } else if (full_size(t) == 4) {
        emit_imm32(&t->e, host_of(in->reg), in->imm);
    } else {
        emit_rr(&t->e, 2, 0xc7, 0, host_of(in->reg));
        emit16(&t->e, in->imm);
    }
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
    case 0x8f:
        return !op16 && emit_pop_e(t);
    case 0x90:
        return true;
    case 0x91 ... 0x97:
        emit_rr(&t->e, full_size(t), 0x87, host_of(in->reg), RAX);
        return true;
    case 0x98:
    case 0x99:
        emit_prefixes(&t->e, full_size(t), op, 0, 0, 0, false);
        return true;
    case 0x9e:
    case 0x9f:
        emit8(&t->e, op);
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
        return !op16 && emit_leave_frame(t);
    case 0xe0 ... 0xe3:
        return !op16 && emit_count_branch(t);
    case 0xe8:
        return !op16 && emit_call_direct(t);
    case 0xe9:
    case 0xeb:
        return !op16 && emit_jump_direct(t);
    case 0xf5:
    case 0xf8:
    case 0xf9:
        emit8(&t->e, op);
        return true;
    case 0xfc:
        return emit_cld(t);
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
    return op_e(t, 1, 0x0f00u | t->in->opcode, 0, FIELD_NUMBER, WRITES, 0, 0);
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
        return full == 4 && emit_shift_cl(t, full, opcode, host_of(in->reg));
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

bool emit_plain_instruction(struct translation *t)
{
    return t->row->map ? emit_two_byte(t) : emit_one_byte(t);
}

bool emit_instruction(struct translation *t)
{
    const struct insn *in = t->in;

    if (in->op == INSN_ud2)
        return false;
    if (!(t->b->mode & BLOCK_MODE_FLAT))
        return emit_segmented_instruction(t);
    if (fp_instruction(in))
        return fp_emit_instruction(t);
    if (emit_system_instruction(t))
        return true;
    if (t->row->attr & ATTR_REP) {
        /* INS and OUTS are the interpreter's */
        return (in->opcode < 0x6c || in->opcode > 0x6f) && emit_string_instruction(t);
    }
    if ((in->flags & INSN_ADDR16) || ((t->row->attr & ATTR_END) && !(t->row->attr & ATTR_BRANCH)))
        return false;
    return t->row->map ? emit_two_byte(t) : emit_one_byte(t);
}
