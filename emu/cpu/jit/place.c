/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Places in memory: from an operand to a host address, by the flat tables (flat.c) or by the window
 * (window.c).
 *
 * All of it leaves the flags alone: tables are indexed by pext, by shrx and shlx, or by SSE's shifts, as the
 * host is best at, and tested by jrcxz, which leads out of line (translate.c). Registers used: rcx, r8, r9.
 */
#include "emu/cpu/jit/translate.h"
#include "emu/cpu/jit/window.h"

/* ---- tables ---- */

/* SSE's shifts by an immediate: the register group 72 (32 bits) or 73 (64), numbers 2, 4, 6. */
static void sse_shift(struct emit *e, enum free_shift shift, unsigned size, int xmm, unsigned count)
{
    static const uint8_t number[] = {[FREE_SHL] = 6, [FREE_SHR] = 2, [FREE_SAR] = 4};

    emit8(e, 0x66);
    emit8(e, 0x41);
    emit8(e, 0x0f);
    emit8(e, size == 8 ? 0x73 : 0x72);
    emit_modrm_register(e, number[shift], xmm);
    emit8(e, count);
}
static void sse_from(struct emit *e, unsigned size, int xmm, int reg) /* movd/movq xmm, reg */
{
    emit8(e, 0x66);
    emit_prefixes(e, size, 0x0f6e, xmm, 0, reg, false);
    emit_modrm_register(e, xmm, reg);
}
static void sse_to(struct emit *e, unsigned size, int reg, int xmm)
{
    emit8(e, 0x66);
    emit_prefixes(e, size, 0x0f7e, xmm, 0, reg, false);
    emit_modrm_register(e, xmm, reg);
}
static void sse_or(struct emit *e, int to, int from) /* por */
{
    emit8(e, 0x66);
    emit_prefixes(e, 4, 0x0feb, to, 0, from, false);
    emit_modrm_register(e, to, from);
}
enum { XMM8 = 8, XMM9 };

static void free_shift(struct emit *e, const struct jit *jit, enum free_shift shift, unsigned size, int to,
                       int from, unsigned count)
{
    static const uint8_t prefix[] = {[FREE_SHL] = VEX_66, [FREE_SHR] = VEX_F2, [FREE_SAR] = VEX_F3};

    if (jit->index == JIT_INDEX_SSE) {
        sse_from(e, size, XMM8, from);
        sse_shift(e, shift, size, XMM8, count);
        sse_to(e, size, to, XMM8);
    } else {
        emit_imm32(e, RCX, count);
        emit_shift_x(e, size, (enum emit_vex_prefix)prefix[shift], to, from, RCX);
    }
}

void emit_free_shift(struct translation *t, enum free_shift shift, unsigned size, int to, int from,
                     unsigned count)
{
    free_shift(&t->e, t->jit, shift, size, to, from, count);
}

void emit_page_index(struct emit *e, const struct jit *jit, int to, int from)
{
    if (jit->index != JIT_INDEX_SSE)
        emit_shift_x(e, 4, VEX_F2, to, from, R14); /* FLAT_BIAS */
    else
        free_shift(e, jit, FREE_SHR, 4, to, from, PHYS_PAGE_SHIFT);
}

/* r9d = page << 2, ORed with low bits that are 0 when the address is a multiple of `size`, 2 or 4. */
static void emit_index(struct translation *t, int linear, unsigned size)
{
    struct emit *e = &t->e;
    unsigned drop = size == 2 ? 31 : 30;

    switch (t->jit->index) {
    case JIT_INDEX_PEXT:
        if (size == 2) {
            emit_pext_memory(e, R9, linear, R15, CPU(jit_index) + JIT_MASK_2 * 4);
            emit_rm(e, 4, EMIT_LEA, R9, R9, R9, 0, 0);
        } else {
            emit_pext(e, R9, linear, R13);
        }
        break;
    case JIT_INDEX_SHIFT:
        emit_imm32(e, RCX, drop);
        emit_shift_x(e, 4, VEX_66, R9, linear, RCX);
        emit_shift_x(e, 4, VEX_F2, R9, R9, RCX);
        emit_shift_x(e, 4, VEX_F2, RCX, linear, R14);
        emit_rm(e, 4, EMIT_LEA, R9, R9, RCX, 2, 0);
        break;
    case JIT_INDEX_SSE:
        sse_from(e, 4, XMM8, linear);
        sse_from(e, 4, XMM9, linear);
        sse_shift(e, FREE_SHR, 4, XMM8, PHYS_PAGE_SHIFT);
        sse_shift(e, FREE_SHL, 4, XMM8, 2);
        sse_shift(e, FREE_SHL, 4, XMM9, drop);
        sse_shift(e, FREE_SHR, 4, XMM9, drop);
        sse_or(e, XMM8, XMM9);
        sse_to(e, 4, R9, XMM8);
        break;
    }
}

/* rcx = 0 when the access may cross the page's end: the offset's bits from `low` on are all ones */
static void emit_crossing(struct translation *t, int linear, unsigned size)
{
    struct emit *e = &t->e;
    enum jit_index_mask mask = size == 8    ? JIT_MASK_8
                               : size == 10 ? JIT_MASK_10
                               : size == 16 ? JIT_MASK_16
                                            : JIT_MASK_64;
    unsigned low = size == 8 ? 3 : size == 10 ? 4 : size == 16 ? 4 : 6;

    emit_move(e, 4, RCX, linear);
    emit_not(e, 4, RCX);
    switch (t->jit->index) {
    case JIT_INDEX_PEXT:
        emit_pext_memory(e, RCX, RCX, R15, CPU(jit_index) + (int32_t)mask * 4);
        break;
    case JIT_INDEX_SHIFT:
        emit_move(e, 4, R9, RCX);
        emit_imm32(e, RCX, 20);
        emit_shift_x(e, 4, VEX_66, R9, R9, RCX);
        emit_imm32(e, RCX, 20 + low);
        emit_shift_x(e, 4, VEX_F2, RCX, R9, RCX);
        break;
    case JIT_INDEX_SSE:
        sse_from(e, 4, XMM8, RCX);
        sse_shift(e, FREE_SHL, 4, XMM8, 20);
        sse_shift(e, FREE_SHR, 4, XMM8, 20 + low);
        sse_to(e, 4, RCX, XMM8);
        break;
    }
}

/* ---- memory ---- */

static enum jit_piece_size piece_of(unsigned size)
{
    switch (size) {
    case 1:
        return PIECE_1;
    case 2:
        return PIECE_2;
    case 4:
        return PIECE_4;
    case 8:
        return PIECE_8;
    case 10:
        return PIECE_10;
    default: /* no other is asked for */
        return PIECE_16;
    }
}

static void emit_addend(struct translation *t, unsigned slow, bool dense, bool write)
{
    emit_rm(&t->e, 8, EMIT_LOAD, RCX, R14, R9, 3,
            TABLE(dense   ? (write ? FLAT_WRITE1 : FLAT_READ1)
                  : write ? FLAT_WRITE4
                          : FLAT_READ4));
    emit_out(t, slow);
    t->slow[slow].resume = t->e.at;
}

/* In hot code a place is where the window has it; whether it may be accessed the host will tell. */
static bool place_in_window(struct translation *t)
{
    if (!t->window)
        return false;
    emit_load(&t->e, 8, RCX, R15, CPU(jit_window));
    t->windowed = true;
    return true;
}

void emit_place(struct translation *t, int linear, unsigned size, bool write)
{
    bool dense = size == 1 || size > 4;
    unsigned slow;

    if (place_in_window(t))
        return;
    slow = slow_new(t, t->jit->place[write][piece_of(size)], linear);
    if (size > 4) {
        emit_crossing(t, linear, size);
        emit_out(t, slow);
    }
    if (dense)
        emit_page_index(&t->e, t->jit, R9, linear);
    else
        emit_index(t, linear, size);
    emit_addend(t, slow, dense, write);
}

void emit_place_aligned(struct translation *t, int linear, bool write)
{
    unsigned slow;

    if (place_in_window(t))
        return;
    slow = slow_new(t, t->jit->place[write][PIECE_16], linear);
    emit_page_index(&t->e, t->jit, R9, linear);
    emit_addend(t, slow, true, write);
}

/* For four bytes to be read, on the way to the next address: two cycles quicker there, and more to do beside.
 */
static void emit_place_soon(struct translation *t, int linear)
{
    unsigned slow;

    if (place_in_window(t))
        return;
    slow = slow_new(t, t->jit->place[false][PIECE_4_SOON], linear);
    emit_page_index(&t->e, t->jit, R9, linear);
    emit_crossing(t, linear, 8); /* at the last four bytes too, which is out of line, but comes back */
    emit_out(t, slow);
    emit_addend(t, slow, true, false);
}

void emit_span_place(struct translation *t, bool write, unsigned first, unsigned count)
{
    unsigned slow = slow_new(t, NULL, EMIT_NONE);

    t->slow[slow].run_first = first;
    t->slow[slow].run_count = count;
    emit_crossing(t, R8, 64);
    emit_out(t, slow);
    emit_index(t, R8, 4);
    emit_addend(t, slow, false, write);
}

static int base_of(const struct insn *in)
{
    return in->base == GPR_ZERO ? EMIT_NONE : host_of(in->base);
}
static int index_of(const struct insn *in)
{
    return in->index == GPR_ZERO ? EMIT_NONE : host_of(in->index);
}

void emit_window_switch(const struct jit *jit, struct emit *e, unsigned table)
{
    if (!jit->window)
        return;
    emit_imm64(e, RAX, (uintptr_t)window_base(jit->window, table));
    emit_store(e, 8, RAX, R15, CPU(jit_window));
    if (jit->gs) {
        emit8(e, 0xf3); /* wrgsbase rax */
        emit8(e, 0x48);
        emit8(e, 0x0f);
        emit8(e, 0xae);
        emit8(e, 0xd8);
    }
}

bool emit_window_direct(const struct translation *t)
{
    return t->window && t->jit->gs;
}

/* GS, and addresses of 32 bits */
static void emit_gs(struct translation *t)
{
    emit8(&t->e, 0x65);
    emit8(&t->e, 0x67);
    t->windowed = true;
}

static bool is_flat_segment(const struct insn *in)
{
    return in->seg != SEG_FS && in->seg != SEG_GS;
}

bool emit_window_simd(struct translation *t, unsigned prefix, unsigned opcode, int reg)
{
    const struct insn *in = t->in;

    if (!emit_window_direct(t) || !is_flat_segment(in))
        return false;
    emit_gs(t);
    if (prefix > PREFIX_NP)
        emit8(&t->e, prefix == PREFIX_66 ? 0x66 : prefix == PREFIX_F3 ? 0xf3 : 0xf2);
    emit_rm(&t->e, 4, opcode, reg, base_of(in), index_of(in), in->scale, (int32_t)in->disp);
    return true;
}

bool emit_window_operand(struct translation *t, unsigned size, unsigned opcode, int reg, bool high)
{
    const struct insn *in = t->in;
    int base = base_of(in), index = index_of(in);

    if (!emit_window_direct(t) || !is_flat_segment(in) || (high && (base > 7 || index > 7)))
        return false;
    emit_gs(t);
    /* SPL and its like do not occur: a register number that needs a prefix to be had has one. */
    emit_rm(&t->e, size, opcode, reg, base, index, in->scale, (int32_t)in->disp);
    return true;
}

void emit_window_at(struct translation *t, unsigned size, unsigned opcode, int reg, int base, int32_t disp)
{
    emit_gs(t);
    emit_rm(&t->e, size, opcode, reg, base, EMIT_NONE, 0, disp);
}

void emit_effective_address(struct translation *t, unsigned size, int to)
{
    const struct insn *in = t->in;
    int base = base_of(in), index = index_of(in);

    if (base == EMIT_NONE && index == EMIT_NONE && size == 4)
        emit_imm32(&t->e, to, in->disp);
    else if (!(in->flags & INSN_ADDR16))
        emit_rm(&t->e, size, EMIT_LEA, to, base, index, in->scale, (int32_t)in->disp);
    if (!(in->flags & INSN_ADDR16))
        return;
    if (base == EMIT_NONE && index == EMIT_NONE)
        emit_imm32(&t->e, R8, in->disp & 0xffff);
    else
        emit_rm(&t->e, 4, EMIT_LEA, R8, base, index, in->scale, (int32_t)in->disp);
    emit_rr(&t->e, 4, 0x0fb7, R8, R8); /* movzx r8d, r8w */
    if (to != R8)
        emit_move(&t->e, size, to, R8);
}

void emit_limit(struct translation *t, unsigned seg, int offset, unsigned size)
{
    struct emit *e = &t->e;
    int32_t at = CPU(seg) + (int32_t)(seg * sizeof(struct segment) + offsetof(struct segment, max));

    emit_room(t, 80);
    emit_load(e, 4, R9, R15, at);
    emit_move(e, 4, RCX, offset);
    emit_not(e, 8, RCX);
    emit_rm(e, 8, EMIT_LEA, R9, R9, RCX, 0, 2 - (int32_t)size); /* limit - last offset, in 64 bits */
    emit_free_shift(t, FREE_SHR, 8, RCX, R9, 63);
    emit_out_unless_zero(t);
    emit_room(t, 110); /* a look into the tables may follow */
}

void emit_segment_address(struct translation *t, unsigned seg, unsigned size)
{
    struct emit *e = &t->e;

    emit_rm(e, 4, 0x0fb6, RCX, R15, EMIT_NONE, 0, CPU(jit_open) + (int32_t)seg);
    emit_out_if_zero(t);
    emit_limit(t, seg, R8, size);
    emit_load(e, 4, R9, R15,
              CPU(seg) + (int32_t)(seg * sizeof(struct segment) + offsetof(struct segment, base)));
    emit_rm(e, 4, EMIT_LEA, R8, R8, R9, 0, 0);
}

static void emit_address(struct translation *t, unsigned size)
{
    if (is_flat(t)) {
        emit_operand_address(t);
        return;
    }
    emit_effective_address(t, 4, R8);
    emit_segment_address(t, t->in->seg, size);
}

void emit_operand_address(struct translation *t)
{
    struct emit *e = &t->e;
    const struct insn *in = t->in;
    unsigned which = in->seg == SEG_GS;
    int32_t base = CPU(seg) + (int32_t)(in->seg * sizeof(struct segment) + offsetof(struct segment, base));

    if (in->seg != SEG_FS && in->seg != SEG_GS) {
        emit_effective_address(t, 4, R8);
        return;
    }
    if (!(t->plain >> which & 1)) {
        emit_rm(e, 4, 0x0fb6, RCX, R15, EMIT_NONE, 0, CPU(jit_plain) + (int32_t)which);
        emit_out_if_zero(t);
        t->slow[t->slows - 1].leaves = true; /* what follows takes it for plain */
        t->plain |= (uint8_t)(1u << which);
    }
    if (base_of(in) == EMIT_NONE && index_of(in) == EMIT_NONE) {
        emit_load(e, 4, R8, R15, base);
        emit_lea(e, 4, R8, R8, (int32_t)in->disp);
        return;
    }
    emit_effective_address(t, 4, R8);
    emit_load(e, 4, R9, R15, base);
    emit_rm(e, 4, EMIT_LEA, R8, R8, R9, 0, 0);
}

int emit_operand_at(struct translation *t, unsigned size, bool write)
{
    const struct insn *in = t->in;
    int linear = R8;

    if (is_flat(t) && !(in->flags & INSN_ADDR16) && in->seg != SEG_FS && in->seg != SEG_GS && !in->disp &&
        in->base != GPR_ZERO && in->index == GPR_ZERO)
        linear = host_of(in->base);
    else
        emit_address(t, size);
    if (size == 4 && !write && t->jit->index == JIT_INDEX_PEXT && insn_feeds_address(t->b, t->in))
        emit_place_soon(t, linear);
    else
        emit_place(t, linear, size, write);
    return linear;
}

void emit_operand_place(struct translation *t, unsigned size, bool write)
{
    emit_address(t, size);
    emit_place(t, R8, size, write);
}
