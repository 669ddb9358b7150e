/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * String instructions, translated.
 *
 * The single forms are a load, a store or a comparison and the index registers moved by LEA. REP MOVS and REP
 * STOS are the host's own, with host addresses in RSI and RDI. That is for runs that stay on one page on each
 * side; longer ones, which are worth the call, are the interpreter's, as are repeated comparisons, which it
 * does sixteen bytes at a time, and LODS. So are moves whose place begins less than 64 bytes behind their
 * source: processors are slow at these. With DF 1 every string instruction is the interpreter's.
 *
 * A run is looked up as one byte at each side: its alignment does not matter. With a count of 0 nothing is
 * looked up, as that would leave traces in page tables. Flags are changed by CMPS and SCAS alone.
 */
#include "emu/cpu/jit/translate.h"

#include <cpuid.h>

/* FSRM, "fast short REP MOVSB" (SDM vol. 2, CPUID leaf 7). */
bool jit_movsb_is_quick(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 4 & 1);
}

/* rcx = 0xff or 0: DF, or its opposite. The flag goes to bit 7 of the byte, and by sign extension to bits
 * 8…15. */
static void emit_direction(struct translation *t, bool opposite)
{
    struct emit *e = &t->e;

    emit_rm(e, 4, 0x0fb6, RCX, R15, EMIT_NONE, 0, CPU(eflags) + 1); /* movzx */
    if (opposite)
        emit_not(e, 4, RCX);
    emit_rm(e, 4, EMIT_LEA, RCX, EMIT_NONE, RCX, 3, 0);
    emit_rm(e, 4, EMIT_LEA, RCX, EMIT_NONE, RCX, 2, 0);
    emit_rr(e, 4, 0x0fbe, RCX, RCX); /* movsx ecx, cl */
    emit_rr(e, 4, 0x0fb6, RCX, 5);   /* movzx ecx, ch */
}

static void emit_move_index(struct translation *t, int reg, unsigned size)
{
    emit_lea(&t->e, 4, reg, reg, (int32_t)size);
}

/* ---- single ---- */

/* r10 = the element at ESI, zero-extended. */
static void emit_source(struct translation *t, unsigned size)
{
    emit_place(t, RSI, size, false);
    emit_rm(&t->e, 4, size == 1 ? 0x0fb6 : size == 2 ? 0x0fb7 : EMIT_LOAD, R10, RCX, RSI, 0, 0);
}

static bool emit_movs(struct translation *t, unsigned size)
{
    emit_source(t, size);
    emit_place(t, RDI, size, true);
    emit_rm(&t->e, size, size == 1 ? 0x88 : EMIT_STORE, R10, RCX, RDI, 0, 0);
    emit_move_index(t, RSI, size);
    emit_move_index(t, RDI, size);
    return true;
}

static bool emit_stos(struct translation *t, unsigned size)
{
    emit_place(t, RDI, size, true);
    emit_rm(&t->e, size, size == 1 ? 0x88 : EMIT_STORE, RAX, RCX, RDI, 0, 0);
    emit_move_index(t, RDI, size);
    return true;
}

static bool emit_lods(struct translation *t, unsigned size)
{
    emit_place(t, RSI, size, false);
    emit_rm(&t->e, size, size == 1 ? 0x8a : EMIT_LOAD, RAX, RCX, RSI, 0, 0);
    emit_move_index(t, RSI, size);
    return true;
}

static bool emit_scas(struct translation *t, unsigned size)
{
    emit_place(t, RDI, size, false);
    emit_rm(&t->e, size, size == 1 ? 0x3a : 0x3b, RAX, RCX, RDI, 0, 0);
    emit_move_index(t, RDI, size);
    return true;
}

static bool emit_cmps(struct translation *t, unsigned size)
{
    emit_source(t, size);
    emit_place(t, RDI, size, false);
    emit_rm(&t->e, size, size == 1 ? 0x3a : 0x3b, R10, RCX, RDI, 0, 0);
    emit_move_index(t, RSI, size);
    emit_move_index(t, RDI, size);
    return true;
}

/* ---- repeated ---- */

static unsigned scale_of(unsigned size)
{
    return size == 4 ? 2 : size == 2 ? 1 : 0;
}

/* `to` = 0 when the run from `index` on has its last byte on the page of its first, else more. */
static void emit_pages_passed(struct translation *t, int to, int index, unsigned size)
{
    struct emit *e = &t->e;

    emit_rm(e, 8, EMIT_LEA, to, index, R11, scale_of(size), -1);
    emit_free_shift(t, FREE_SHR, 8, to, to, PHYS_PAGE_SHIFT);
    emit_page_index(e, t->jit, RCX, index);
    emit_not(e, 8, RCX);
    emit_rm(e, 8, EMIT_LEA, to, to, RCX, 0, 1);
}

/* Past all of it when ECX is 0: returns the displacement of that jump. */
static uint8_t *emit_unless_none(struct translation *t)
{
    struct emit *e = &t->e;
    uint8_t *none, *some, *past;

    emit_room(t, 20);
    emit_move(e, 4, RCX, R11);
    none = emit_jump_if_zero(e);
    emit8(e, 0xeb); /* jmp */
    emit8(e, 0);
    some = e->at - 1;
    emit_fill_short(none, e->at);
    past = emit_jump(e);
    emit_fill_short(some, e->at);
    return past;
}

/* Out unless the run is upwards and r8, and r9 if `both`, are 0. */
static void emit_out_unless_run(struct translation *t, bool both)
{
    struct emit *e = &t->e;

    emit_direction(t, false);
    emit_rm(e, 8, EMIT_LEA, RCX, RCX, R8, 0, 0);
    if (both)
        emit_rm(e, 8, EMIT_LEA, RCX, RCX, R9, 0, 0);
    emit_out_unless_zero(t);
}

static void emit_rep(struct emit *e, unsigned size, unsigned opcode)
{
    if (size == 2)
        emit8(e, 0x66);
    emit8(e, 0xf3);
    emit8(e, opcode | (size > 1));
}

static bool emit_rep_movs(struct translation *t, unsigned size)
{
    struct emit *e = &t->e;
    uint8_t *past = emit_unless_none(t);

    emit_room(t, 120);
    emit_pages_passed(t, R9, RSI, size);
    emit_pages_passed(t, R8, RDI, size);
    emit_out_unless_run(t, true);
    emit_place(t, RSI, 1, false);
    emit_rm(e, 8, EMIT_LEA, R10, RCX, RSI, 0, 0);
    emit_place(t, RDI, 1, true);
    emit_rm(e, 8, EMIT_LEA, R8, RCX, RDI, 0, 0);
    emit_move(e, 8, R9, R10);
    emit_not(e, 8, R9);
    emit_rm(e, 8, EMIT_LEA, R9, R9, R8, 0, 1); /* how far the place is behind the source */
    emit_free_shift(t, FREE_SHR, 8, RCX, R9, 6);
    emit_out_if_zero(t);
    emit_rm(e, 4, EMIT_LEA, R9, RDI, R11, scale_of(size), 0); /* what EDI and, in r11, ESI become */
    if (t->jit->quick_movsb && size > 1)
        emit_rm(e, 4, EMIT_LEA, RCX, EMIT_NONE, R11, scale_of(size), 0);
    else
        emit_move(e, 4, RCX, R11);
    emit_rm(e, 4, EMIT_LEA, R11, RSI, R11, scale_of(size), 0);
    emit_move(e, 8, RSI, R10);
    emit_move(e, 8, RDI, R8);
    emit_rep(e, t->jit->quick_movsb ? 1 : size, 0xa4);
    emit_move(e, 4, RSI, R11);
    emit_move(e, 4, RDI, R9);
    emit_move(e, 4, R11, RCX); /* 0 */
    emit_fill(past, e->at);
    return true;
}

static bool emit_rep_stos(struct translation *t, unsigned size)
{
    struct emit *e = &t->e;
    uint8_t *past = emit_unless_none(t);

    emit_room(t, 100);
    emit_pages_passed(t, R8, RDI, size);
    emit_out_unless_run(t, false);
    emit_place(t, RDI, 1, true);
    emit_rm(e, 4, EMIT_LEA, R9, RDI, R11, scale_of(size), 0);
    emit_rm(e, 8, EMIT_LEA, RDI, RCX, RDI, 0, 0);
    emit_move(e, 4, RCX, R11);
    emit_rep(e, size, 0xaa);
    emit_move(e, 4, RDI, R9);
    emit_move(e, 4, R11, RCX); /* 0 */
    emit_fill(past, e->at);
    return true;
}

bool emit_string_instruction(struct translation *t)
{
    const struct insn *in = t->in;
    unsigned size = !(in->opcode & 1) ? 1 : in->flags & INSN_OP16 ? 2 : 4, op = in->opcode & 0xfe;
    bool repeated = in->flags & (INSN_REP | INSN_REPNE), to_only = op == 0xaa || op == 0xae;

    if (!(t->b->mode & BLOCK_MODE_FLAT) || (in->flags & INSN_ADDR16))
        return false;
    if (!to_only && (in->seg == SEG_FS || in->seg == SEG_GS))
        return false;
    if (repeated && op != 0xa4 && op != 0xaa)
        return false;
    if (repeated)
        return op == 0xa4 ? emit_rep_movs(t, size) : emit_rep_stos(t, size);
    emit_direction(t, true);
    emit_out_if_zero(t);
    switch (op) {
    case 0xa4:
        return emit_movs(t, size);
    case 0xa6:
        return emit_cmps(t, size);
    case 0xaa:
        return emit_stos(t, size);
    case 0xac:
        return emit_lods(t, size);
    default: /* ae */
        return emit_scas(t, size);
    }
}

/* Nearly always DF is 0 already. */
bool emit_cld(struct translation *t)
{
    emit_direction(t, true);
    emit_out_if_zero(t);
    return true;
}
