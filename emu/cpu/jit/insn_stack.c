/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Pushing and popping, 32 bits on a flat 32-bit stack. ESP changes last.
 */
#include "emu/cpu/jit/insn_emit.h"

static void push_place(struct translation *t)
{
    emit_lea(&t->e, 4, R8, R12, -4);
    emit_place(t, R8, 4, true);
}

bool emit_push_reg(struct translation *t)
{
    if (emit_window_direct(t)) {
        emit_window_at(t, 4, EMIT_STORE, host_of(t->in->reg), R12, -4);
        emit_lea(&t->e, 4, R12, R12, -4);
        return true;
    }
    push_place(t);
    emit_rm(&t->e, 4, EMIT_STORE, host_of(t->in->reg), RCX, R8, 0, 0);
    emit_move(&t->e, 4, R12, R8);
    return true;
}

bool emit_push_imm(struct translation *t)
{
    if (emit_window_direct(t)) {
        emit_window_at(t, 4, 0xc7, 0, R12, -4);
        emit32(&t->e, t->in->imm);
        emit_lea(&t->e, 4, R12, R12, -4);
        return true;
    }
    push_place(t);
    emit_rm(&t->e, 4, 0xc7, 0, RCX, R8, 0, 0);
    emit32(&t->e, t->in->imm);
    emit_move(&t->e, 4, R12, R8);
    return true;
}

bool emit_push_e(struct translation *t)
{
    struct emit *e = &t->e;

    if (t->in->flags & INSN_MEM) {
        int linear = emit_operand_at(t, 4, false);

        emit_rm(e, 4, EMIT_LOAD, R10, RCX, linear, 0, 0);
    } else {
        emit_move(e, 4, R10, host_of(t->in->rm));
    }
    push_place(t);
    emit_rm(e, 4, EMIT_STORE, R10, RCX, R8, 0, 0);
    emit_move(e, 4, R12, R8);
    return true;
}

bool emit_pop_reg(struct translation *t)
{
    if (emit_window_direct(t)) {
        emit_window_at(t, 4, EMIT_LOAD, host_of(t->in->reg), R12, 0);
    } else {
        emit_place(t, R12, 4, false);
        emit_rm(&t->e, 4, EMIT_LOAD, host_of(t->in->reg), RCX, R12, 0, 0);
    }
    if (t->in->reg != ESP)
        emit_lea(&t->e, 4, R12, R12, 4);
    return true;
}

bool emit_pop_e(struct translation *t)
{
    struct emit *e = &t->e;
    const struct insn *in = t->in;

    /* An address with ESP is that after the pop. */
    if ((in->flags & INSN_MEM) && (in->base == ESP || in->seg == SEG_CS))
        return false;
    emit_place(t, R12, 4, false);
    if (!(in->flags & INSN_MEM)) {
        emit_rm(e, 4, EMIT_LOAD, host_of(in->rm), RCX, R12, 0, 0);
        if (in->rm != ESP)
            emit_lea(e, 4, R12, R12, 4);
        return true;
    }
    emit_rm(e, 4, EMIT_LOAD, R10, RCX, R12, 0, 0);
    emit_operand_place(t, 4, true);
    emit_rm(e, 4, EMIT_STORE, R10, RCX, R8, 0, 0);
    emit_lea(e, 4, R12, R12, 4);
    return true;
}

bool emit_leave_frame(struct translation *t)
{
    emit_place(t, RBP, 4, false);
    emit_rm(&t->e, 4, EMIT_LOAD, R10, RCX, RBP, 0, 0);
    emit_lea(&t->e, 4, R12, RBP, 4);
    emit_move(&t->e, 4, RBP, R10);
    return true;
}
