/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Near branches, calls and returns.
 *
 * A call pushes its return address on the guest's stack, and on translated code's own: there the guest's
 * address, and below it the host's, by a host call. A return pops the guest's and is a host return, which the
 * host predicts. Where that arrives, behind the host call, the two guest addresses are compared. When they
 * differ (other stacks, code that fiddles with return addresses), or when the own stack is empty, the target
 * is looked up as any other. The pairs are good as long as the mapping of addresses stands: whatever changes
 * it leaves translated code, which forgets them all. They are forgotten too when 4096 of them are there.
 *
 * Indirect branches: the RAM page at the target's address (FLAT_EXEC), compared with what the cache has at
 * the low 16 bits of EIP (struct flat_cached).
 */
#include "emu/cpu/jit/insn_emit.h"

static int32_t branch_target(const struct translation *t)
{
    return (int32_t)(t->next + t->in->imm);
}

bool emit_jump_direct(struct translation *t)
{
    emit_direct(t, emit_jump(&t->e), branch_target(t));
    t->ended = true;
    return true;
}

bool emit_jump_condition(struct translation *t)
{
    emit_direct(t, emit_jump_if(&t->e, t->in->opcode & 15), branch_target(t));
    emit_direct(t, emit_jump(&t->e), (int32_t)t->next);
    t->ended = true;
    return true;
}

/* LOOPNE, LOOPE, LOOP, JECXZ */
bool emit_count_branch(struct translation *t)
{
    struct emit *e = &t->e;
    unsigned op = t->in->opcode;
    uint8_t *zero;

    if (op != 0xe3)
        emit_lea(e, 4, R11, R11, -1);
    emit_move(e, 4, RCX, R11);
    zero = emit_jump_if_zero(e);
    if (op == 0xe0 || op == 0xe1)
        emit_direct(t, emit_jump_if(e, op == 0xe0 ? CC_NE : CC_E), branch_target(t));
    else if (op == 0xe2)
        emit_direct(t, emit_jump(e), branch_target(t));
    else
        emit_direct(t, emit_jump(e), (int32_t)t->next);
    emit_fill_short(zero, e->at);
    emit_direct(t, emit_jump(e), op == 0xe3 ? branch_target(t) : (int32_t)t->next);
    t->ended = true;
    return true;
}

/* r8d: EIP. r10 = where its code is when rcx is 0. */
static void emit_cached(struct translation *t)
{
    struct emit *e = &t->e;

    emit_page_index(e, t->jit, R9, R8);
    emit_rm(e, 4, EMIT_LOAD, RCX, R14, R9, 2, TABLE(FLAT_EXEC));
    emit_rr(e, 4, 0x0fb7, R9, R8); /* movzx r9d, r8w */
    emit_rm(e, 4, EMIT_LOAD, R10, R14, R9, 3, TABLE(FLAT_CACHE + offsetof(struct flat_cached, page)));
    emit_rm(e, 4, EMIT_LEA, RCX, RCX, R10, 0, 1);
    emit_rm(e, 4, EMIT_LOAD, R10, R14, R9, 3, TABLE(FLAT_CACHE + offsetof(struct flat_cached, code)));
}

/* What is to be jumped to, an E operand, into r10. */
static void emit_target(struct translation *t)
{
    if (t->in->flags & INSN_MEM) {
        if (!emit_window_operand(t, 4, EMIT_LOAD, R10, false)) {
            int linear = emit_operand_at(t, 4, false);

            emit_rm(&t->e, 4, EMIT_LOAD, R10, RCX, linear, 0, 0);
        }
    } else {
        emit_move(&t->e, 4, R10, host_of(t->in->rm));
    }
}

/* The guest's half of a call, and the own stack's; r10 is kept. Returns the jrcxz to where that is full,
 * *back is where to go on then. */
static uint8_t *emit_push_return(struct translation *t, uint8_t **back)
{
    struct emit *e = &t->e;
    uint8_t *full;

    if (emit_window_direct(t)) {
        emit_load(e, 4, R9, R15, CPU(jit_page));
        emit_lea(e, 4, R9, R9, (int32_t)t->next);
        emit_window_at(t, 4, EMIT_STORE, R9, R12, -4);
        emit_lea(e, 4, R12, R12, -4);
    } else {
        emit_lea(e, 4, R8, R12, -4);
        emit_place(t, R8, 4, true);
        emit_load(e, 4, R9, R15, CPU(jit_page));
        emit_lea(e, 4, R9, R9, (int32_t)t->next);
        emit_rm(e, 4, EMIT_STORE, R9, RCX, R8, 0, 0);
        emit_move(e, 4, R12, R8);
    }
    emit_room(t, 120);
    emit_rr(e, 4, 0x0fb7, RCX, RSP); /* movzx ecx, sp */
    full = emit_jump_if_zero(e);
    *back = e->at;
    emit_push_host(e, R9);
    return full;
}

/* Behind the host call: r8d is the guest's return address. */
static void emit_returned(struct translation *t, uint8_t *full, const uint8_t *back)
{
    struct emit *e = &t->e;
    uint8_t *hit;

    emit_pop_host(e, RCX);
    emit_not(e, 4, RCX);
    emit_rm(e, 4, EMIT_LEA, RCX, RCX, R8, 0, 1);
    hit = emit_jump_if_zero(e);
    emit_jump_to(e, t->jit->look_up);
    emit_fill_short(hit, e->at);
    emit_lea(e, 4, R9, R8, -(int32_t)t->next);
    emit_store(e, 4, R9, R15, CPU(jit_page));
    t->fp.live = 0; /* who knows, after the call */
    emit_direct(t, emit_jump(e), (int32_t)t->next);
    emit_fill_short(full, e->at);
    emit_load(e, 8, RSP, R15, CPU(jit_stack_top));
    emit_jump_to(e, back);
    t->ended = true;
}

bool emit_call_direct(struct translation *t)
{
    uint8_t *back, *full = emit_push_return(t, &back);

    emit8(&t->e, 0xe8);
    emit32(&t->e, 0);
    emit_direct(t, t->e.at - 4, branch_target(t));
    emit_returned(t, full, back);
    return true;
}

bool emit_branch_e(struct translation *t, bool call)
{
    struct emit *e = &t->e;
    uint8_t *hit, *back = NULL, *full = NULL;

    emit_target(t);
    if (call)
        full = emit_push_return(t, &back);
    emit_move(e, 4, R8, R10);
    emit_cached(t);
    hit = emit_jump_if_zero(e);
    if (call)
        emit_imm32(e, R10, (uint32_t)(uintptr_t)jit_executable(t->jit, t->jit->look_up));
    else
        emit_jump_to(e, t->jit->look_up);
    emit_fill_short(hit, e->at);
    emit_rr(e, 4, 0xff, call ? 2 : 4, R10);
    if (call)
        emit_returned(t, full, back);
    t->ended = true;
    return true;
}

bool emit_return(struct translation *t)
{
    struct emit *e = &t->e;

    if (emit_window_direct(t)) {
        emit_window_at(t, 4, EMIT_LOAD, R8, R12, 0);
    } else {
        emit_place(t, R12, 4, false);
        emit_rm(e, 4, EMIT_LOAD, R8, RCX, R12, 0, 0);
    }
    emit_lea(e, 4, R12, R12, 4 + (t->in->opcode == 0xc2 ? (int32_t)(t->in->imm & 0xffff) : 0));
    emit8(e, 0xc3);
    t->ended = true;
    return true;
}
