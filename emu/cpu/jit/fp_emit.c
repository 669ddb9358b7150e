/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * x87, MMX and SSE instructions as host code: they come out as they went in, on live registers (fp_live.c).
 *
 * There is no function per opcode. The columns of optable.def say all that is needed: prefix and opcode,
 * which operands are XMM, MMX or general registers (ECX and ESP live elsewhere, hence a REX prefix), the
 * bytes of the memory operand and whether it must be aligned. Not emitted, so calls of their interpreter
 * functions, are what moves or resets the whole state, and MASKMOV and the conversions between MMX and XMM,
 * where processors differ in when they enter MMX state.
 *
 * Checks: a block that wants a unit looks at its start whether it is live; 16-byte operands are checked for
 * alignment (in the window the host does that, and its fault leads to the stub with the check); FLDCW and
 * LDMXCSR look at the new value, since an unmasked exception is not for the host. All of it without flags.
 * What fails jumps out of line before anything was changed.
 *
 * FIP and its like are noted once for the last x87 instruction of a block, and out of line (fp_emit_note()),
 * and worked out when the x87 goes back to struct cpu; FDP is stored at each memory operand, since it is gone
 * later.
 */
#include "emu/cpu/jit/translate.h"
#include "emu/cpu/fpu_internal.h"

bool fp_instruction(const struct insn *in)
{
    return insn_rows[in->op].attr & (ATTR_X87 | ATTR_MMX | ATTR_SSE);
}

/* ---- FIP, FCS, FOP, FDP, FDS ---- */

void fp_emit_note(struct emit *e, const struct fp_point *point)
{
    const struct insn *in = point->noted;
    uint32_t note;

    if (!in)
        return;
    note = FP_NOTE_THERE | point->noted_offset | (in->opcode & 7u) << FP_NOTE_OPCODE |
           (uint32_t)in->modrm << FP_NOTE_MODRM;
    emit_load(e, 4, R9, R15, CPU(jit_page));
    emit_store(e, 4, R9, R15, CPU(fp_note_page));
    emit_rm(e, 4, 0xc7, 0, R15, EMIT_NONE, 0, CPU(fp_note));
    emit32(e, note);
    if (point->data_noted) {
        emit_rm(e, 4, 0xc7, 0, R15, EMIT_NONE, 0, CPU(fp_note_data));
        emit32(e, point->data_segment + 1u);
    }
}

static void note_written(struct fp_point *point)
{
    point->noted = NULL;
    point->data_noted = false;
}

static void note_instruction(struct translation *t)
{
    t->fp.noted = t->in;
    t->fp.noted_offset = t->offset;
}

/* The operand's place was just found; its linear address is in `linear`. */
static void note_operand(struct translation *t, int linear)
{
    t->fp.data_noted = true;
    t->fp.data_segment = t->in->seg;
    if (t->in->seg == SEG_FS || t->in->seg == SEG_GS) {
        emit_effective_address(t, 4, R9);
        linear = R9;
    }
    emit_store(&t->e, 4, linear, R15, CPU(fpu.fdp));
}

/* ---- checks ---- */

/* rcx = table[low byte of `reg`], a table in struct cpu; out of line when that is 0. */
static void check_byte(struct translation *t, int reg, int32_t table)
{
    emit_rr(&t->e, 4, 0x0fb6, RCX, reg);
    emit_rm(&t->e, 4, 0x0fb6, RCX, R15, RCX, 0, table);
    emit_out_if_zero(t);
}

static void emit_load_call(struct emit *e, const struct jit *jit, unsigned units, uint32_t leave)
{
    emit_rm(e, 4, 0xc7, 0, R15, EMIT_NONE, 0, CPU(fp_leave));
    emit32(e, leave);
    emit_call_to(e, jit->fp_load[units]);
}

#define NEED_BYTES 32 /* of code for a unit */

static void need_units(struct translation *t, unsigned units)
{
    struct emit *e = &t->e;

    units &= ~(unsigned)t->fp.live;
    if (!units)
        return;
    emit_room(t, FP_NOTE_BYTES + 2 * NEED_BYTES);
    fp_emit_note(e, &t->fp); /* it may leave */
    note_written(&t->fp);
    for (unsigned unit = 0; unit < 2; unit++) {
        uint8_t *live;

        if (!(units >> unit & 1))
            continue;
        emit_load(e, 4, RCX, R15, CPU(fp_away) + (int32_t)unit * 4);
        live = emit_jump_if_zero(e);
        emit_load_call(e, t->jit, 1u << unit, t->offset);
        emit_fill_short(live, e->at);
    }
    t->fp.live |= (uint8_t)units;
}

void fp_emit_reload(struct translation *t, const struct fp_point *point, uint32_t next)
{
    if (point->live)
        emit_load_call(&t->e, t->jit, point->live, next);
}

/* ---- instructions ---- */

/* prefix opcode reg, rm; `memory`: [rcx + rm] */
static void emit_coded(struct emit *e, unsigned prefix, bool map_0f, unsigned opcode, int reg, int rm,
                       bool memory)
{
    unsigned rex = (reg & 8 ? 4u : 0) | (rm & 8 ? (memory ? 2u : 1u) : 0);

    if (prefix > PREFIX_NP)
        emit8(e, prefix == PREFIX_66 ? 0x66 : prefix == PREFIX_F3 ? 0xf3 : 0xf2);
    if (rex)
        emit8(e, 0x40 | rex);
    if (map_0f)
        emit8(e, 0x0f);
    emit8(e, opcode);
    if (memory)
        emit_modrm_memory(e, reg, RCX, rm, 0, 0);
    else
        emit8(e, 0xc0u | (unsigned)(reg & 7) << 3 | (unsigned)(rm & 7));
}

static unsigned memory_bytes(const struct insn_row *row)
{
    for (unsigned n = 0; n < 3; n++) {
        const struct insn_operand_info *info = &insn_operands[row->operand[n]];

        switch (info->class) {
        case OPCLASS_RM:
        case OPCLASS_MEM:
        case OPCLASS_MMRM:
        case OPCLASS_XMMRM:
            return info->bytes[1];
        default: /* not memory */
            break;
        }
    }
    return 0;
}

static bool is_store(const struct translation *t)
{
    return t->row->attr & ATTR_STORE;
}

/* FLDCW: as long as all exceptions stay masked. */
static void emit_control_word(struct translation *t, int linear)
{
    struct emit *e = &t->e;

    emit_rm(e, 4, 0x0fb7, R9, RCX, linear, 0, 0);
    check_byte(t, R9, CPU(fp_masks));
    emit_store(e, 4, R9, R15, CPU(fp_scratch));
    emit_rm(e, 4, 0xd9, 5, R15, EMIT_NONE, 0, CPU(fp_scratch));
}

/* LDMXCSR: the same, and no reserved bit. The masks are bits 7…12. */
static void emit_mxcsr(struct translation *t, int linear)
{
    struct emit *e = &t->e;

    emit_rm(e, 4, EMIT_LOAD, R9, RCX, linear, 0, 0);
    emit_store(e, 4, R9, R15, CPU(fp_scratch));
    emit_rm(e, 4, 0x0fb7, RCX, R15, EMIT_NONE, 0, CPU(fp_scratch) + 2);
    emit_out_unless_zero(t);
    emit_rm(e, 4, EMIT_LEA, RCX, R9, R9, 0, 0);
    check_byte(t, 5, CPU(fp_masks)); /* CH */
    emit_rm(e, 4, 0x0fae, 2, R15, EMIT_NONE, 0, CPU(fp_scratch));
}

/* Comparisons to EFLAGS clear C1 (SDM), but AMD's processors leave it alone. */
static bool leaves_c1(const struct insn *in)
{
    switch (in->op) {
    case INSN_fcomi:
    case INSN_fcomip:
    case INSN_fucomi:
    case INSN_fucomip:
        return true;
    default: /* one of many instructions */
        return false;
    }
}
static void emit_clear_c1(struct emit *e)
{
    emit16(e, 0xf6d9); /* fdecstp */
    emit16(e, 0xf7d9); /* fincstp */
}

/* Not what moves or resets the whole state. */
static bool x87_is_emitted(const struct insn *in)
{
    switch (in->op) {
    case INSN_fldenv:
    case INSN_fnstenv:
    case INSN_frstor:
    case INSN_fnsave:
    case INSN_fxsave:
    case INSN_fxrstor:
    case INSN_fninit:
        return false;
    default: /* all others are */
        return true;
    }
}

static bool emit_x87(struct translation *t)
{
    struct emit *e = &t->e;
    const struct insn *in = t->in;
    bool notes = true;
    int linear;

    if (!x87_is_emitted(in))
        return false;
    switch (in->op) {
    case INSN_fldcw:
    case INSN_fnstcw:
    case INSN_fnstsw_m:
    case INSN_fnstsw_ax:
    case INSN_fnclex:
    case INSN_fwait:
    case INSN_fneni:
    case INSN_fndisi:
    case INSN_fnsetpm:
        notes = false;
        break;
    default: /* the rest does what the host does */
        break;
    }
    need_units(t, FP_X87);
    if (in->op == INSN_fwait) /* nothing is pending while it is live */
        return true;
    if (!(in->flags & INSN_MEM)) {
        if (leaves_c1(in))
            emit_clear_c1(e);
        emit8(e, in->opcode);
        emit8(e, in->modrm);
    } else if (in->op != INSN_fldcw && emit_window_simd(t, PREFIX_ANY, in->opcode, in->modrm >> 3 & 7)) {
        if (notes) {
            emit_effective_address(t, 4, R9);
            note_operand(t, R9);
        }
    } else {
        linear = emit_operand_at(t, memory_bytes(t->row), is_store(t));
        if (notes && !t->window)
            note_operand(t, linear);
        if (in->op == INSN_fldcw)
            emit_control_word(t, linear);
        else
            emit_coded(e, PREFIX_ANY, false, in->opcode, in->modrm >> 3 & 7, linear, true);
        if (notes && t->window) /* not before the host has granted the access */
            note_operand(t, linear);
    }
    if (notes)
        note_instruction(t);
    return true;
}

/* Non-temporal stores are ordinary ones: the guest's devices look at its memory from other threads. */
static unsigned simd_opcode(const struct insn *in)
{
    switch (in->op) {
    case INSN_movntps:
    case INSN_movntpd:
        return 0x29;
    case INSN_movntdq:
    case INSN_movntq:
        return 0x7f;
    default: /* as it is */
        return in->opcode;
    }
}

/* The memory operand is [rcx + what is returned]. */
static int simd_place(struct translation *t)
{
    unsigned bytes = memory_bytes(t->row);

    if (t->row->attr & ATTR_ALIGN16) {
        emit_operand_address(t);
        if (!t->window) /* there the host checks it */
            check_byte(t, R8, CPU(fp_alignment));
        emit_place_aligned(t, R8, is_store(t));
        return R8;
    }
    if ((t->row->attr & ATTR_MMX) && !is_store(t) && bytes == 4)
        bytes = 8; /* the host may read as many for PUNPCKL's four */
    return emit_operand_at(t, bytes, is_store(t));
}

static bool emit_simd(struct translation *t)
{
    struct emit *e = &t->e;
    const struct insn *in = t->in;
    const struct insn_row *row = t->row;
    bool memory = in->flags & INSN_MEM, immediate = false;
    int reg = in->reg, rm = in->rm;
    unsigned units = (row->attr & ATTR_SSE ? FP_SSE : 0) | (row->attr & ATTR_MMX ? FP_X87 : 0);

    if (units == (FP_X87 | FP_SSE) && in->op != INSN_movq2dq && in->op != INSN_movdq2q)
        return false;
    for (unsigned n = 0; n < 3; n++) {
        switch (insn_operands[row->operand[n]].class) {
        case OPCLASS_REG:
            reg = host_of(in->reg);
            break;
        case OPCLASS_RM:
            rm = host_of(in->rm);
            break;
        case OPCLASS_IMM:
            immediate = true;
            break;
        case OPCLASS_STR_DI:
            return false;
        default: /* XMM and MMX registers have their own numbers */
            break;
        }
    }
    if (row->ext & INSN_EXT_OPCODE)
        reg = in->modrm >> 3 & 7;
    need_units(t, units);
    if (!(row->ext & INSN_EXT_MODRM)) { /* EMMS */
        emit8(e, 0x0f);
        emit8(e, in->opcode);
        return true;
    }
    if (memory && in->op != INSN_ldmxcsr &&
        emit_window_simd(t, row->prefix, 0x0f00u | simd_opcode(in), reg)) {
        if (immediate)
            emit8(e, in->imm);
        return true;
    }
    if (memory) {
        rm = simd_place(t);
        if (in->op == INSN_ldmxcsr) {
            emit_mxcsr(t, rm);
            return true;
        }
    }
    emit_coded(e, row->prefix, true, simd_opcode(in), reg, rm, memory);
    if (immediate)
        emit8(e, in->imm);
    return true;
}

/* The units of an instruction with an emitter, 0 of any other. */
static unsigned units_of(const struct insn *in)
{
    uint32_t attr = insn_rows[in->op].attr;

    if (attr & ATTR_X87)
        return x87_is_emitted(in) ? FP_X87 : 0;
    return (attr & ATTR_SSE ? FP_SSE : 0) | (attr & ATTR_MMX ? FP_X87 : 0);
}

unsigned fp_wanted_units(const struct block *b)
{
    unsigned units = 0;

    for (unsigned i = 0; i < b->count; i++) {
        const struct insn *in = &b->insns[i];

        if (fp_instruction(in) && !units_of(in)) /* may change what is allowed */
            break;
        units |= units_of(in);
    }
    return units;
}

void fp_emit_entry(struct translation *t, unsigned units)
{
    need_units(t, units);
}

bool fp_emit_instruction(struct translation *t)
{
    if ((t->in->flags & INSN_ADDR16) && (t->in->flags & INSN_MEM))
        return false;
    if ((t->in->flags & INSN_MEM) && is_store(t) && t->in->seg == SEG_CS)
        return false;
    return t->row->attr & ATTR_X87 ? emit_x87(t) : emit_simd(t);
}
