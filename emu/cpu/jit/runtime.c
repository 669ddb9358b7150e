/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The common pieces of translated code: entry, exits, the look-up, calls of interpreter functions.
 *
 * Registers in translated code: translate.c. All pieces are entered with rsp as `enter` left it, a multiple
 * of 16, but for run_one, which is called.
 */
#include "emu/cpu/jit/translate.h"

#include <stddef.h>

/* cpu->status → r13; r10 is used, and the host's flags. */
static void load_status(struct emit *e)
{
    emit_load(e, 4, R10, R15, CPU(status));
    emit_rr(e, 4, 0x0fb6, R13, R10); /* movzx r13d, r10b */
    emit_shift_imm(e, 4, SHIFT_SHL, R13, 8);
    emit_shift_imm(e, 4, SHIFT_SHR, R10, 11);
    emit_alu_imm(e, 4, ALU_AND, R10, 1);
    emit_rr(e, 4, 0x0b, R13, R10);
}

/* r13 → cpu->status; r11 and r8 are used. */
static void store_status(struct emit *e)
{
    emit_move(e, 4, R11, R13);
    emit_shift_imm(e, 4, SHIFT_SHR, R11, 8);
    emit_alu_imm(e, 4, ALU_AND, R11, 0xd5);
    emit_rr(e, 4, 0x0fb6, R8, R13);
    emit_alu_imm(e, 4, ALU_AND, R8, 1);
    emit_shift_imm(e, 4, SHIFT_SHL, R8, 11);
    emit_rr(e, 4, 0x0b, R11, R8);
    emit_store(e, 4, R11, R15, CPU(status));
}

static void load_registers(struct emit *e)
{
    for (int i = 0; i < 8; i++)
        emit_load(e, 4, host_of(i), R15, i * 4);
    load_status(e);
}

static void store_registers(struct emit *e)
{
    for (int i = 0; i < 8; i++)
        emit_store(e, 4, host_of(i), R15, i * 4);
    store_status(e);
}

static const int8_t saved[] = {RBX, RBP, R12, R13, R14, R15};

static void emit_enter(struct emit *e)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(saved); i++)
        emit_prefixes(e, 4, 0x50u | (saved[i] & 7), 0, 0, saved[i], false);
    emit_alu_imm(e, 8, ALU_SUB, RSP, 8);
    emit_move(e, 8, R15, RDI);
    emit_move(e, 8, R11, RSI);
    emit_load(e, 8, R14, R15, CPU(tlb_data));
    load_registers(e);
    emit_rr(e, 4, 0xff, 4, R11);
}

/* Back to jit_enter() with what is in rax; the state is in struct cpu. */
static void emit_leave(struct emit *e)
{
    emit_alu_imm(e, 8, ALU_ADD, RSP, 8);
    for (unsigned i = G_N_ELEMENTS(saved); i-- > 0;)
        emit_prefixes(e, 4, 0x58u | (saved[i] & 7), 0, 0, saved[i], false);
    emit8(e, 0xc3);
}

/* r9: instruction, r10d: its offset in the page. Calls its function as the interpreter would. */
static void emit_run(struct emit *e)
{
    store_registers(e);
    emit_rm(e, 4, 0x03, R10, R15, EMIT_NONE, 0, CPU(jit_page));
    emit_store(e, 4, R10, R15, CPU(insn_eip));
    emit_rm(e, 4, 0x0fb6, R11, R9, EMIT_NONE, 0, offsetof(struct insn, length));
    emit_rr(e, 4, 0x03, R10, R11);
    emit_store(e, 4, R10, R15, CPU(eip));
    emit_move(e, 8, RDI, R15);
    emit_move(e, 8, RSI, R9);
    emit_rm(e, 4, 0xff, 2, R9, EMIT_NONE, 0, offsetof(struct insn, run));
}

/* r8d: EIP. Where the TLB has its page and the table its block, goes there. */
static void emit_look_up(struct emit *e, const uint8_t *leave_eip)
{
    uint8_t *miss[2];

    emit_move(e, 4, R9, R8);
    emit_shift_imm(e, 4, SHIFT_SHR, R9, TLB_SLOT_SHIFT);
    emit_alu_imm(e, 4, ALU_AND, R9, TLB_SLOT_MASK);
    emit_rm(e, 8, 0x03, R9, R15, EMIT_NONE, 0, CPU(jit_exec_tlb));
    emit_move(e, 4, R10, R8);
    emit_alu_imm(e, 4, ALU_AND, R10, -4096);
    emit_rm(e, 4, 0x3b, R10, R9, EMIT_NONE, 0, offsetof(struct tlb_entry, exec));
    miss[0] = emit_jump_if(e, CC_NE);
    emit_load(e, 8, R10, R9, offsetof(struct tlb_entry, addend));
    emit_rr(e, 8, 0x03, R10, R8); /* host address */
    emit_move(e, 8, R11, R10);
    emit_shift_imm(e, 8, SHIFT_SHR, R11, JIT_HASH_SHIFT);
    emit_rr(e, 4, 0x33, R11, R10);
    emit_alu_imm(e, 4, ALU_AND, R11, JIT_HASH_SIZE - 1);
    emit_shift_imm(e, 4, SHIFT_SHL, R11, 4);
    emit_rm(e, 8, 0x03, R11, R15, EMIT_NONE, 0, CPU(jit_hash));
    emit_rm(e, 8, 0x3b, R10, R11, EMIT_NONE, 0, offsetof(struct jit_hash_entry, host));
    miss[1] = emit_jump_if(e, CC_NE);
    emit_alu_imm(e, 4, ALU_AND, R8, -4096);
    emit_store(e, 4, R8, R15, CPU(jit_page));
    emit_rm(e, 4, 0xff, 4, R11, EMIT_NONE, 0, offsetof(struct jit_hash_entry, code));
    emit_fill(miss[0], e->at);
    emit_fill(miss[1], e->at);
    emit_jump_to(e, leave_eip);
}

void jit_emit_runtime(struct jit *jit)
{
    struct emit emit = {jit->at}, *e = &emit;
    uint8_t *common, *left, *leave_eip;

    jit->enter = e->at;
    emit_enter(e);

    /* cpu->eip is there, r9 is what to return */
    common = e->at;
    store_registers(e);
    emit_move(e, 8, RAX, R9);
    emit_leave(e);

    leave_eip = e->at;
    emit_store(e, 4, R8, R15, CPU(eip));
    emit_rr(e, 4, 0x33, R9, R9);
    emit_jump_to(e, common);

    jit->leave_offset = e->at;
    emit_rr(e, 4, 0x33, R9, R9);
    jit->leave_link = e->at;
    emit_rm(e, 4, 0x03, R8, R15, EMIT_NONE, 0, CPU(jit_page));
    emit_store(e, 4, R8, R15, CPU(eip));
    emit_jump_to(e, common);

    jit->look_up = e->at;
    emit_look_up(e, leave_eip);

    jit->run_last = e->at;
    emit_run(e);
    left = e->at;
    emit_rr(e, 4, 0x33, RAX, RAX);
    emit_leave(e);

    jit->run_one = e->at;
    emit_alu_imm(e, 8, ALU_SUB, RSP, 8);
    emit_run(e);
    emit_alu_imm(e, 8, ALU_ADD, RSP, 8);
    emit_rm(e, 1, 0x80, ALU_CMP, R15, EMIT_NONE, 0, CPU(block_stale));
    emit8(e, 0);
    {
        uint8_t *stale = emit_jump_if(e, CC_NE);

        load_registers(e);
        emit8(e, 0xc3);
        emit_fill(stale, e->at);
    }
    emit_alu_imm(e, 8, ALU_ADD, RSP, 8); /* the return address */
    emit_jump_to(e, left);
    jit->at = e->at;
}
