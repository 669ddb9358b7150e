/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Code that is not flat: real and virtual-8086 mode, 16-bit segments, 32-bit code in segments with base or
 * limit.
 *
 * Instructions on registers and memory are emitted as in flat code; a memory operand first passes its
 * segment's limit (translate.c). Stacks are the 16-bit ones of such code: where SS is a 32-bit segment, stack
 * instructions are the interpreter's, out of line. Strings, system instructions and floating point are its
 * too.
 *
 * Branches within the page are linked as ever. jit_enter() sees to it that all of the page is within CS and,
 * in 16-bit code, below 64 KiB, so their targets need neither check nor mask. All others leave: taken
 * branches by their interpreter function, returns after a look at the limit.
 */
#include "emu/cpu/jit/insn_emit.h"

static unsigned operand_size(const struct translation *t)
{
    return t->in->flags & INSN_OP16 ? 2 : 4;
}

/* ---- the stack ---- */

static void demand_stack16(struct translation *t)
{
    emit_room(t, 60);
    emit_rm(&t->e, 4, 0x0fb7, RCX, R15, EMIT_NONE, 0, CPU(stack_mask) + 2);
    emit_out_unless_zero(t);
}

/* SP += by; rcx is used. */
static void move_sp(struct translation *t, int32_t by)
{
    emit_lea(&t->e, 4, RCX, R12, by);
    emit_move(&t->e, 2, R12, RCX);
}

/* [rcx + r8]: where a push goes. */
static void push_place(struct translation *t, unsigned size)
{
    struct emit *e = &t->e;

    demand_stack16(t);
    emit_lea(e, 4, R8, R12, -(int32_t)size);
    emit_rr(e, 4, 0x0fb7, R8, R8); /* movzx r8d, r8w */
    emit_segment_address(t, SEG_SS, size);
    emit_place(t, R8, size, true);
}

/* r10 = what a pop gets; nothing has changed. */
static void pop_value(struct translation *t, unsigned size)
{
    struct emit *e = &t->e;

    demand_stack16(t);
    emit_rr(e, 4, 0x0fb7, R8, R12);
    emit_segment_address(t, SEG_SS, size);
    emit_place(t, R8, size, false);
    if (size == 2)
        emit_rm(e, 4, 0x0fb7, R10, RCX, R8, 0, 0);
    else
        emit_rm(e, 4, EMIT_LOAD, R10, RCX, R8, 0, 0);
}

static bool emit_push(struct translation *t)
{
    struct emit *e = &t->e;
    const struct insn *in = t->in;
    unsigned size = operand_size(t);
    int value = R10;

    if (in->opcode == 0xff && (in->flags & INSN_MEM)) {
        int linear = emit_operand_at(t, size, false);

        emit_rm(e, size, EMIT_LOAD, R10, RCX, linear, 0, 0);
    } else if (in->opcode == 0x68 || in->opcode == 0x6a) {
        emit_imm32(e, R10, in->imm);
    } else {
        value = host_of(in->opcode == 0xff ? in->rm : in->reg);
    }
    push_place(t, size);
    emit_rm(e, size, EMIT_STORE, value, RCX, R8, 0, 0);
    move_sp(t, -(int32_t)size);
    return true;
}

static bool emit_pop(struct translation *t)
{
    unsigned size = operand_size(t);

    pop_value(t, size);
    move_sp(t, (int32_t)size);
    emit_move(&t->e, size, host_of(t->in->reg), R10);
    return true;
}

/* ---- branches ---- */

static int32_t branch_target(const struct translation *t)
{
    return (int32_t)(t->next + t->in->imm);
}

static bool target_on_page(const struct translation *t)
{
    return branch_target(t) >= 0 && branch_target(t) <= (int32_t)PHYS_PAGE_MASK;
}

static bool emit_call(struct translation *t)
{
    struct emit *e = &t->e;
    unsigned size = operand_size(t);

    if (!target_on_page(t))
        return false;
    push_place(t, size);
    emit_load(e, 4, R9, R15, CPU(jit_page));
    emit_lea(e, 4, R9, R9, (int32_t)t->next);
    emit_rm(e, size, EMIT_STORE, R9, RCX, R8, 0, 0);
    move_sp(t, -(int32_t)size);
    return emit_jump_direct(t);
}

static bool emit_return_segmented(struct translation *t)
{
    struct emit *e = &t->e;
    unsigned size = operand_size(t);

    pop_value(t, size);
    emit_limit(t, SEG_CS, R10, 1);
    move_sp(t, (int32_t)(size + (t->in->opcode == 0xc2 ? t->in->imm & 0xffff : 0)));
    emit_move(e, 4, R8, R10);
    emit_imm32(e, R9, 0);
    emit_jump_to(e, t->jit->leave_eip);
    t->ended = true;
    return true;
}

/* ---- by opcode ---- */

static bool emit_one_byte(struct translation *t)
{
    const struct insn *in = t->in;
    unsigned op = in->opcode, number = in->modrm >> 3 & 7;
    /* EIP would be cut off at 16 bits. */
    bool cut = (in->flags & INSN_OP16) && (t->b->mode & BLOCK_MODE_CODE32);

    switch (op) {
    case 0x50 ... 0x57:
    case 0x68:
    case 0x6a:
        return emit_push(t);
    case 0x58 ... 0x5f:
        return emit_pop(t);
    case 0x70 ... 0x7f:
        return !cut && emit_jump_condition(t);
    case 0xe0 ... 0xe3:
        return !cut && !(in->flags & INSN_ADDR16) && target_on_page(t) && emit_count_branch(t);
    case 0xe8:
        return !cut && emit_call(t);
    case 0xe9:
    case 0xeb:
        return !cut && target_on_page(t) && emit_jump_direct(t);
    case 0xc2:
    case 0xc3:
        return emit_return_segmented(t);
    case 0xff:
        return number < 2 ? emit_plain_instruction(t) : number == 6 && emit_push(t);
    case 0x8f:
    case 0xc9:
        return false;
    default:
        return emit_plain_instruction(t);
    }
}

bool emit_segmented_instruction(struct translation *t)
{
    const struct insn *in = t->in;
    bool cut = (in->flags & INSN_OP16) && (t->b->mode & BLOCK_MODE_CODE32);

    if (in->op == INSN_ud2 || (t->row->attr & (ATTR_REP | ATTR_X87 | ATTR_MMX | ATTR_SSE)) ||
        ((t->row->attr & ATTR_END) && !(t->row->attr & ATTR_BRANCH)))
        return false;
    if (!t->row->map)
        return emit_one_byte(t);
    if (in->opcode >= 0x80 && in->opcode <= 0x8f)
        return !cut && emit_jump_condition(t);
    return emit_plain_instruction(t);
}
