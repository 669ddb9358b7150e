/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What kernels do all the time: interrupts off and on, flags pushed and popped, segment registers, atomic
 * operations and bit strings in memory, control registers read.
 *
 * Privileged ones are emitted for CPL 0 and for an INTR pin that is low; everything else is the
 * interpreter's. With the pin low, IF decides nothing about `events`, so it is just a bit to be changed.
 *
 * A segment register is loaded from what the last such load found (cpu->segment_memo, made by
 * segment_load()), when selector and descriptor are what they were then. Loads of DS and ES are only
 * remembered when they are flat, so the block's mode holds on.
 *
 * Flags: translate.h. A bit of EFLAGS in memory is changed by rotating it to the top, where doubling by LEA
 * loses it.
 */
#include "emu/cpu/jit/insn_emit.h"

#define MEMO(n, member)                                                                                      \
    (CPU(segment_memo) + (int32_t)((n) * sizeof(struct segment_memo) + offsetof(struct segment_memo, member)))

static void emit_load_byte(struct emit *e, int to, int32_t at)
{
    emit_rm(e, 4, EMIT_MOVZX8, to, R15, EMIT_NONE, 0, at);
}
static void emit_load_word(struct emit *e, int to, int32_t at)
{
    emit_rm(e, 4, EMIT_MOVZX16, to, R15, EMIT_NONE, 0, at);
}
static void emit_pdep(struct emit *e, int to, int from, int mask)
{
    emit_vex(e, 4, 2, VEX_F2, 0xf5, to, from, 0, mask);
    emit_modrm_register(e, to, mask);
}

/* rcx is not 0 unless CPL is. */
static void demand_cpl0(struct translation *t)
{
    emit_load_byte(&t->e, RCX, CPU(cpl));
    emit_out_unless_zero(t);
}

static void demand_cpl0_and_no_interrupt(struct translation *t)
{
    _Static_assert(offsetof(struct cpu, intr) == offsetof(struct cpu, cpl) + 1, "read in one");
    emit_load_word(&t->e, RCX, CPU(cpl));
    emit_out_unless_zero(t);
}

/* The block is over; it goes on behind the instruction. */
static bool emit_end(struct translation *t)
{
    emit_room(t, 70);
    fp_emit_note(&t->e, &t->fp);
    t->fp.noted = NULL;
    emit_direct(t, emit_jump(&t->e), (int32_t)t->next);
    t->ended = true;
    return true;
}

/* ---- EFLAGS ---- */

/* Bit `bit` of the word at `at` becomes `set`; r8, r9 and rcx are used. */
static void emit_change_bit(struct translation *t, int32_t at, unsigned bit, bool set)
{
    struct emit *e = &t->e;

    emit_room(t, 100);
    emit_load(e, 4, R8, R15, at);
    if (t->jit->index == JIT_INDEX_SSE) {
        emit_free_shift(t, FREE_SHR, 4, R9, R8, bit + 1);
        emit_free_shift(t, FREE_SHL, 4, R9, R9, bit + 1);
        emit_free_shift(t, FREE_SHL, 4, R8, R8, 32 - bit);
        emit_free_shift(t, FREE_SHR, 4, R8, R8, 32 - bit);
        emit_rm(e, 4, EMIT_LEA, R8, R8, R9, 0, set ? (int32_t)(1u << bit) : 0);
    } else {
        emit_rorx(e, R8, R8, bit + 1);
        emit_rm(e, 4, EMIT_LEA, R8, EMIT_NONE, R8, 1, set);
        emit_rorx(e, R8, R8, 32 - bit);
    }
    emit_store(e, 4, R8, R15, at);
}

static bool emit_cli(struct translation *t)
{
    demand_cpl0_and_no_interrupt(t);
    emit_change_bit(t, CPU(eflags), 9, false);
    return true;
}

static bool emit_sti(struct translation *t)
{
    struct emit *e = &t->e;
    uint8_t *on;

    demand_cpl0_and_no_interrupt(t);
    emit_room(t, 127);
    emit_load(e, 4, R8, R15, CPU(eflags));
    emit_free_shift(t, FREE_SHL, 4, R8, R8, 22);
    emit_free_shift(t, FREE_SHR, 4, R8, R8, 31);
    emit_lea(e, 4, RCX, R8, -1);
    on = emit_jump_if_zero(e); /* IF is set already, and then there is no shadow */
    emit_change_bit(t, CPU(eflags), 9, true);
    emit_store_imm_byte(e, CPU(shadow), true);
    emit_load(e, 4, R8, R15, CPU(jit_page));
    emit_lea(e, 4, R8, R8, (int32_t)t->next);
    emit_store(e, 4, R8, R15, CPU(shadow_eip));
    emit_fill_short(on, e->at);
    return emit_end(t);
}

static bool emit_direction(struct translation *t, bool down)
{
    emit_change_bit(t, CPU(eflags), 10, down);
    return true;
}

/* Translated code never runs with RF or VM set. */
static bool emit_pushf(struct translation *t)
{
    struct emit *e = &t->e;

    emit_room(t, 100);
    emit_move(e, 4, R9, RAX);
    emit8(e, 0x9f);                                /* lahf */
    emit_prefixes(e, 4, 0x0f90, 0, 0, R10, false); /* seto r10b */
    emit_modrm_register(e, 0, R10);
    emit_rr(e, 4, EMIT_MOVZX8, R10, R10); /* movzx r10d, r10b */
    emit_free_shift(t, FREE_SHL, 4, R10, R10, 11);
    emit_rr(e, 4, EMIT_MOVZX8, RCX, 4); /* movzx ecx, ah */
    emit_move(e, 4, RAX, R9);
    emit_rm(e, 4, EMIT_LEA, R10, R10, RCX, 0, -(int32_t)FLAG_ONE);
    emit_load(e, 4, RCX, R15, CPU(eflags));
    emit_rm(e, 4, EMIT_LEA, R10, R10, RCX, 0, 0);
    emit_lea(e, 4, R8, R12, -4);
    emit_place(t, R8, 4, true);
    emit_rm(e, 4, EMIT_STORE, R10, RCX, R8, 0, 0);
    emit_move(e, 4, R12, R8);
    return true;
}

/* to = from & mask; rcx is used, and may be `to` or `from`. On hosts with a quick pext not the best way. */
static void emit_keep(struct translation *t, int to, int from, uint32_t mask)
{
    enum { XMM8 = 8, XMM9 };
    struct emit *e = &t->e;

    emit_room(t, 60);
    emit8(e, 0x66); /* movd xmm8, from */
    emit_rr(e, 4, 0x0f6e, XMM8, from);
    emit_imm32(e, RCX, mask);
    emit8(e, 0x66); /* movd xmm9, ecx */
    emit_rr(e, 4, 0x0f6e, XMM9, RCX);
    emit8(e, 0x66); /* pand xmm8, xmm9 */
    emit_rr(e, 4, 0x0fdb, XMM8, XMM9);
    emit8(e, 0x66); /* movd to, xmm8 */
    emit_rr(e, 4, 0x0f7e, XMM8, to);
}

/* r9 = what POPF of r8 leaves in cpu->eflags; rcx = 0 if that differs from what is there in IF and DF alone.
 */
static void emit_popped(struct translation *t)
{
    const uint32_t taken = FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_AC | FLAG_ID;
    struct emit *e = &t->e;

    if (t->jit->index == JIT_INDEX_PEXT) {
        emit_imm32(e, R10, taken);
        emit_pext(e, R9, R8, R10);
        emit_pdep(e, R9, R9, R10);
        emit_lea(e, 4, R9, R9, FLAG_ONE); /* what is not status */
        emit_imm32(e, R10, ~(FLAG_IF | FLAG_DF));
        emit_load(e, 4, RCX, R15, CPU(eflags));
        emit_pext(e, RCX, RCX, R10);
        emit_pext(e, R10, R9, R10);
    } else {
        emit_keep(t, R9, R8, taken);
        emit_lea(e, 4, R9, R9, FLAG_ONE);
        emit_keep(t, R10, R9, ~(FLAG_IF | FLAG_DF));
        emit_load(e, 4, RCX, R15, CPU(eflags));
        emit_keep(t, RCX, RCX, ~(FLAG_IF | FLAG_DF));
    }
    emit_not(e, 4, R10);
    emit_rm(e, 4, EMIT_LEA, RCX, RCX, R10, 0, 1);
}

/* When nothing but status, IF and DF changes. */
static bool emit_popf(struct translation *t)
{
    struct emit *e = &t->e;

    demand_cpl0_and_no_interrupt(t);
    emit_place(t, R12, 4, false);
    emit_room(t, 127);
    emit_rm(e, 4, EMIT_LOAD, R8, RCX, R12, 0, 0);
    emit_popped(t);
    emit_out_unless_zero(t);
    emit_store(e, 4, R9, R15, CPU(eflags));
    emit_free_shift(t, FREE_SHL, 4, R10, R8, 31 - 11);
    emit_free_shift(t, FREE_SHR, 4, R10, R10, 31);
    emit_move(e, 4, R9, RAX);
    emit_move(e, 4, RCX, R8);
    emit_rr(e, 1, 0x8a, 4, RCX);   /* mov ah, cl */
    emit_rr(e, 1, 0x8a, RAX, R10); /* mov al, r10b */
    emit8(e, 0x04);                /* add al, 0x7f: OF */
    emit8(e, 0x7f);
    emit8(e, 0x9e); /* sahf */
    emit_move(e, 4, RAX, R9);
    emit_lea(e, 4, R12, R12, 4);
    return emit_end(t);
}

/* ---- segment registers ---- */

static bool emit_push_segment(struct translation *t, unsigned seg)
{
    struct emit *e = &t->e;

    if (t->in->flags & INSN_OP16)
        return false;
    emit_lea(e, 4, R8, R12, -4);
    emit_place(t, R8, 4, true);
    emit_load_word(e, R9, SEGMENT(seg, selector));
    emit_rm(e, 4, EMIT_STORE, R9, RCX, R8, 0, 0);
    emit_move(e, 4, R12, R8);
    return true;
}

static bool emit_store_segment(struct translation *t)
{
    const struct insn *in = t->in;
    struct emit *e = &t->e;

    if (in->reg >= SEG_COUNT)
        return false;
    if (in->flags & INSN_MEM) {
        emit_operand_place(t, 2, true);
        emit_load_word(e, R9, SEGMENT(in->reg, selector));
        emit_rm(e, 2, EMIT_STORE, R9, RCX, R8, 0, 0);
    } else if (in->flags & INSN_OP16) {
        emit_load(e, 2, host_of(in->rm), R15, SEGMENT(in->reg, selector));
    } else {
        emit_load_word(e, host_of(in->rm), SEGMENT(in->reg, selector));
    }
    return true;
}

/* rcx is 0 when r8 and rcx were the same; `size` 4 or 8. */
static void emit_difference(struct emit *e, unsigned size)
{
    emit_not(e, size, RCX);
    emit_rm(e, size, EMIT_LEA, RCX, RCX, R8, 0, 1);
}

/* FS and GS from the null selector, as segment_commit_null() does it. */
static void emit_null_segment(struct translation *t, unsigned seg)
{
    struct emit *e = &t->e;

    emit_store_imm(e, SEGMENT(seg, selector), 0); /* and neither readable nor writable */
    emit_store_imm(e, SEGMENT(seg, base), 0);
    emit_store_imm(e, SEGMENT(seg, min), 1);
    emit_store_imm(e, SEGMENT(seg, max), 0);
    emit_load(e, 4, R8, R15, SEGMENT(seg, attr));
    if (t->jit->index == JIT_INDEX_PEXT) {
        emit_imm32(e, RCX, SEG_ATTR_DB | SEG_ATTR_G);
        emit_pext(e, R8, R8, RCX);
        emit_pdep(e, R8, R8, RCX);
    } else {
        emit_keep(t, R8, R8, SEG_ATTR_DB | SEG_ATTR_G);
    }
    emit_store(e, 4, R8, R15, SEGMENT(seg, attr));
    emit_store_imm_byte(e, CPU(jit_plain) + (seg == SEG_GS), false);
}

/* r10d: the selector. Nothing of the guest's state was changed before. Its code is long, so it ends a block.
 */
static void emit_load_segment(struct translation *t, unsigned seg)
{
    bool nullable = seg == SEG_FS || seg == SEG_GS;
    uint8_t *null, *other = NULL, *done = NULL;
    struct emit *e = &t->e;

    _Static_assert(offsetof(struct segment, can_read) == 2 && offsetof(struct segment, can_write) == 3 &&
                       sizeof(struct segment) == 24,
                   "selector and rights are stored as one word, all of it as three");
    demand_cpl0(t);
    if (nullable) {
        emit_room(t, 160);
        emit_move(e, 4, RCX, R10);
        null = emit_jump_if_zero(e);
        other = emit_jump(e);
        emit_fill_short(null, e->at);
        emit_null_segment(t, seg);
        done = emit_jump(e);
        emit_fill(other, e->at);
    }
    emit_room(t, 80);
    emit_move(e, 4, RCX, R10);
    emit_load(e, 4, R8, R15, MEMO(seg, selector));
    emit_difference(e, 4);
    emit_out_unless_zero(t);
    emit_load(e, 4, R8, R15, CPU(gdtr.base));
    emit_load(e, 4, RCX, R15, MEMO(seg, offset));
    emit_rm(e, 4, EMIT_LEA, R8, R8, RCX, 0, 0);
    emit_place(t, R8, 8, false);
    emit_room(t, 127);
    emit_rm(e, 8, EMIT_LOAD, RCX, RCX, R8, 0, 0);
    emit_load(e, 8, R8, R15, MEMO(seg, raw));
    emit_difference(e, 8);
    emit_out_unless_zero(t);
    for (int i = 0; i < 24; i += 8) {
        emit_load(e, 8, R8, R15, MEMO(seg, loaded) + i);
        emit_store(e, 8, R8, R15, SEGMENT(seg, selector) + i);
    }
    if (nullable) {
        emit_load_byte(e, R8, MEMO(seg, plain));
        emit_rm(e, 1, 0x88, R8, R15, EMIT_NONE, 0, CPU(jit_plain) + (seg == SEG_GS));
        t->plain &= (uint8_t) ~(1u << (seg == SEG_GS));
    }
    if (done)
        emit_fill(done, e->at);
}

static bool emit_mov_to_segment(struct translation *t)
{
    const struct insn *in = t->in;
    struct emit *e = &t->e;

    if (in->reg >= SEG_COUNT || in->reg == SEG_CS || in->reg == SEG_SS)
        return false;
    if (in->flags & INSN_MEM) {
        int linear = emit_operand_at(t, 2, false);

        emit_rm(e, 4, EMIT_MOVZX16, R10, RCX, linear, 0, 0);
    } else {
        emit_rr(e, 4, EMIT_MOVZX16, R10, host_of(in->rm));
    }
    emit_load_segment(t, in->reg);
    return emit_end(t);
}

static bool emit_pop_segment(struct translation *t, unsigned seg)
{
    struct emit *e = &t->e;

    if (t->in->flags & INSN_OP16)
        return false;
    emit_place(t, R12, 4, false);
    emit_rm(e, 4, EMIT_MOVZX16, R10, RCX, R12, 0, 0);
    emit_load_segment(t, seg);
    emit_lea(e, 4, R12, R12, 4);
    return emit_end(t);
}

/* ---- others ---- */

static bool emit_mov_from_control(struct translation *t)
{
    const struct insn *in = t->in;
    int32_t at = in->reg == 0 ? CPU(cr0) : in->reg == 2 ? CPU(cr2) : CPU(cr3);

    if (in->reg != 0 && in->reg != 2 && in->reg != 3)
        return false;
    demand_cpl0(t);
    emit_load(&t->e, 4, host_of(in->rm), R15, at);
    return true;
}

/* What `jit->read_tsc` is: EDX:EAX = the guest's TSC as cpu_tsc() has it, as long as host ticks carry it on,
 * and rcx is not 0; or all is kept and rcx is 0. */
static void emit_read_tsc(struct jit *jit, struct emit *e)
{
    uint8_t *allowed, *out[3], *done;

    jit->read_tsc = e->at;
    emit_move(e, 4, R8, RAX);
    emit_move(e, 4, R9, RDX);
    emit8(e, 0x9f);                /* lahf */
    emit_rr(e, 1, 0x0f90, 0, RAX); /* seto al */
    emit_move(e, 4, R10, RAX);
    emit_rm(e, 1, 0xf6, 0, R15, EMIT_NONE, 0, CPU(cr4)); /* test */
    emit8(e, CR4_TSD);
    allowed = emit_jump_if(e, CC_E);
    emit_rm(e, 1, 0x80, ALU_CMP, R15, EMIT_NONE, 0, CPU(cpl));
    emit8(e, 0);
    out[0] = emit_jump_if(e, CC_NE);
    emit_fill(allowed, e->at);
    emit8(e, 0x0f); /* rdtsc */
    emit8(e, 0x31);
    emit_shift_imm(e, 8, SHIFT_SHL, RDX, 32);
    emit_rr(e, 8, 0x0b, RAX, RDX); /* or rax, rdx */
    emit_rm(e, 8, 0x2b, RAX, R15, EMIT_NONE, 0, CPU(tsc_clock.at_tsc));
    emit_rm(e, 8, 0x3b, RAX, R15, EMIT_NONE, 0, CPU(tsc_clock.span));
    out[1] = emit_jump_if(e, CC_AE);
    emit_rm(e, 8, 0x0faf, RAX, R15, EMIT_NONE, 0, CPU(tsc_clock.slope));
    emit_shift_imm(e, 8, SHIFT_SHR, RAX, 32);
    emit_rm(e, 8, 0x03, RAX, R15, EMIT_NONE, 0, CPU(tsc_clock.at_time));
    emit_rm(e, 8, 0x3b, RAX, R15, EMIT_NONE, 0, CPU(tsc_clock.last));
    out[2] = emit_jump_if(e, CC_B);
    emit_store(e, 8, RAX, R15, CPU(tsc_clock.last));
    emit_rm(e, 8, 0x03, RAX, R15, EMIT_NONE, 0, CPU(tsc_offset));
    emit_move(e, 4, R8, RAX);
    emit_shift_imm(e, 8, SHIFT_SHR, RAX, 32);
    emit_move(e, 4, R9, RAX);
    emit_imm32(e, RCX, 1);
    done = emit_jump(e);
    for (unsigned i = 0; i < 3; i++)
        emit_fill(out[i], e->at);
    emit_imm32(e, RCX, 0);
    emit_fill(done, e->at);
    emit_move(e, 4, RAX, R10);
    emit8(e, 0x04); /* add al, 0x7f: OF */
    emit8(e, 0x7f);
    emit8(e, 0x9e); /* sahf */
    emit_move(e, 4, RAX, R8);
    emit_move(e, 4, RDX, R9);
    emit8(e, 0xc3);
}

void system_emit_runtime(struct jit *jit)
{
    struct emit e = {jit->at};

    emit_read_tsc(jit, &e);
    jit->at = e.at;
}

static bool emit_rdtsc(struct translation *t)
{
    emit_call_to(&t->e, t->jit->read_tsc);
    emit_out_if_zero(t);
    return true;
}

static bool emit_cmpxchg8b(struct translation *t)
{
    struct emit *e = &t->e;

    emit_operand_place(t, 8, true);
    emit_rm(e, 8, EMIT_LEA, R8, RCX, R8, 0, 0);
    emit_move(e, 4, RCX, R11);
    emit_rm(e, 4, 0x0fc7, 1, R8, EMIT_NONE, 0, 0);
    return true;
}

/* BT, BTS, BTR, BTC: the bit's number is signed and reaches beyond the operand. */
static bool emit_bit_string(struct translation *t, bool changes)
{
    const struct insn *in = t->in;
    struct emit *e = &t->e;

    if (!(in->flags & INSN_MEM) || (in->flags & INSN_OP16))
        return false;
    emit_operand_address(t);
    emit_room(t, 80);
    emit_free_shift(t, FREE_SAR, 4, R10, host_of(in->reg), 5);
    emit_rm(e, 4, EMIT_LEA, R8, R8, R10, 2, 0);
    emit_place(t, R8, 4, changes);
    emit_rm(e, 4, EMIT_LOAD, R9, RCX, R8, 0, 0);
    emit_rr(e, 4, 0x0f00u | in->opcode, host_of(in->reg), R9);
    if (changes)
        emit_rm(e, 4, EMIT_STORE, R9, RCX, R8, 0, 0);
    return true;
}

bool emit_system_instruction(struct translation *t)
{
    const struct insn *in = t->in;

    if (in->flags & INSN_ADDR16)
        return false;
    if ((in->flags & INSN_MEM) && in->seg == SEG_CS) /* stores there fault */
        return false;
    switch (in->op) {
    case INSN_cli:
        return emit_cli(t);
    case INSN_sti:
        return emit_sti(t);
    case INSN_cld:
        return emit_direction(t, false);
    case INSN_std:
        return emit_direction(t, true);
    case INSN_pushf:
        return !(in->flags & INSN_OP16) && emit_pushf(t);
    case INSN_popf:
        return !(in->flags & INSN_OP16) && emit_popf(t);
    case INSN_push_es:
        return emit_push_segment(t, SEG_ES);
    case INSN_push_cs:
        return emit_push_segment(t, SEG_CS);
    case INSN_push_ss:
        return emit_push_segment(t, SEG_SS);
    case INSN_push_ds:
        return emit_push_segment(t, SEG_DS);
    case INSN_push_fs:
        return emit_push_segment(t, SEG_FS);
    case INSN_push_gs:
        return emit_push_segment(t, SEG_GS);
    case INSN_pop_es:
        return emit_pop_segment(t, SEG_ES);
    case INSN_pop_ds:
        return emit_pop_segment(t, SEG_DS);
    case INSN_pop_fs:
        return emit_pop_segment(t, SEG_FS);
    case INSN_pop_gs:
        return emit_pop_segment(t, SEG_GS);
    case INSN_mov_rm_sreg:
        return emit_store_segment(t);
    case INSN_mov_sreg_rm:
        return emit_mov_to_segment(t);
    case INSN_mov_r_cr:
        return emit_mov_from_control(t);
    case INSN_sysenter:
    case INSN_sysexit:
    case INSN_int_ib:
    case INSN_iret:
        return emit_gate_instruction(t);
    case INSN_rdtsc:
        return emit_rdtsc(t);
    case INSN_cmpxchg8b:
        return emit_cmpxchg8b(t);
    case INSN_bt_ev_gv:
        return emit_bit_string(t, false);
    case INSN_bts_ev_gv:
    case INSN_btr_ev_gv:
    case INSN_btc_ev_gv:
        return emit_bit_string(t, true);
    case INSN_lfence:
    case INSN_mfence:
    case INSN_sfence:
        return true; /* one processor, in order */
    default:         /* not of this kind */
        return false;
    }
}
