/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * One look for several accesses: stretches of instructions that access memory beside one unchanged register.
 *
 * Stack frames and structures are accessed at small distances from ESP, EBP or a pointer, several times in a
 * row. Where three or more such accesses of four bytes follow each other, with nothing between them but
 * simple instructions on registers, the lowest place is looked for, and that all of them are on its page;
 * then rcx and r8 serve them all. PUSH and POP take part: ESP is changed once, behind them.
 *
 * When the look fails (a page's last 64 bytes, misaligned, not there, about to fault) nothing has been done,
 * and the same instructions follow out of line with a look each.
 *
 * The instructions taken are those that leave rcx and r8 alone when emitted: 32 bits, registers but no parts
 * of them.
 */
#include "emu/cpu/jit/insn_emit.h"

#define RUN_BYTES 64 /* within which all accesses are: emit_span_place() */
#define RUN_LEAST 3  /* accesses for which it pays */

enum role {
    ROLE_NONE,    /* ends the stretch */
    ROLE_NEUTRAL, /* registers alone */
    ROLE_READ,
    ROLE_WRITE,
    ROLE_PUSH,
    ROLE_POP,
    ROLE_FRAME, /* MOV reg, ESP */
};

struct run {
    unsigned base; /* guest register */
    int32_t moved; /* what was added to it so far: ESP */
    int32_t first; /* offset of the first access */
    int32_t lowest, highest;
    unsigned accesses;
    bool writes;
};

static bool is_frame(const struct insn *in)
{
    return (in->opcode == 0x89 && in->reg == ESP && in->rm != ESP) ||
           (in->opcode == 0x8b && in->rm == ESP && in->reg != ESP);
}

/* Forms with ModRM and 32-bit operands, in registers or memory. The register written, if that is not the E
 * operand: *target; GPR_ZERO when none is. *e_written: the E operand is. */
static bool is_simple(const struct insn *in, unsigned *target, bool *e_written)
{
    unsigned op = in->opcode, number = in->modrm >> 3 & 7;

    *target = GPR_ZERO;
    *e_written = false;
    if (op < 0x40 && ((op & 7) == 1 || (op & 7) == 3)) {
        if (op >> 3 == ALU_CMP)
            return true;
        if ((op & 7) == 3)
            *target = in->reg;
        else
            *e_written = true;
        return true;
    }
    switch (op) {
    case 0x81:
    case 0x83:
        *e_written = number != ALU_CMP;
        return true;
    case 0x85:
        return true;
    case 0x89:
    case 0xc7:
        *e_written = true;
        return true;
    case 0x8b:
        *target = in->reg;
        return true;
    default: /* not one of them */
        return false;
    }
}

static bool uses(const struct insn *in, unsigned reg)
{
    return in->reg == reg || (!(in->flags & INSN_MEM) && in->rm == reg);
}

static enum role role_neutral(const struct insn *in, unsigned base)
{
    unsigned op = in->opcode, target, written;
    bool e_written;

    if (base == ESP && is_frame(in))
        return ROLE_FRAME;
    if (op == 0x8d)
        return in->reg != base && (base != ESP || in->base != ESP) ? ROLE_NEUTRAL : ROLE_NONE;
    if ((op >= 0xb8 && op <= 0xbf) || (op >= 0x40 && op <= 0x4f))
        return in->reg != base ? ROLE_NEUTRAL : ROLE_NONE;
    if (op == 0xc1 || op == 0xd1) /* shifts by a constant */
        return in->rm != base ? ROLE_NEUTRAL : ROLE_NONE;
    if ((in->flags & INSN_MEM) || !is_simple(in, &target, &e_written))
        return ROLE_NONE;
    written = e_written ? in->rm : target;
    return written == base || (base == ESP && uses(in, ESP)) ? ROLE_NONE : ROLE_NEUTRAL;
}

static enum role role_of(const struct insn *in, unsigned base)
{
    const struct insn_row *row = &insn_rows[in->op];
    unsigned op = in->opcode, target;
    bool e_written;

    if (row->map || (row->attr & (ATTR_END | ATTR_X87 | ATTR_MMX | ATTR_SSE | ATTR_REP)) ||
        (in->flags & (INSN_OP16 | INSN_ADDR16)) || in->op == INSN_ud2)
        return ROLE_NONE;
    if (op >= 0x50 && op <= 0x57)
        return base == ESP && in->reg != ESP ? ROLE_PUSH : ROLE_NONE;
    if (op == 0x68 || op == 0x6a)
        return base == ESP ? ROLE_PUSH : ROLE_NONE;
    if (op >= 0x58 && op <= 0x5f)
        return base == ESP && in->reg != ESP ? ROLE_POP : ROLE_NONE;
    if (op == 0x8d || !(in->flags & INSN_MEM))
        return role_neutral(in, base);
    if (in->base != base || in->index != GPR_ZERO || in->seg == SEG_FS || in->seg == SEG_GS ||
        in->seg == SEG_CS || !is_simple(in, &target, &e_written) || target == base ||
        (base == ESP && op != 0x81 && op != 0x83 && op != 0xc7 && in->reg == ESP))
        return ROLE_NONE;
    return e_written ? ROLE_WRITE : ROLE_READ;
}

/* Takes an access at `offset` in; false when it is too far off, or would be aligned otherwise. */
static bool run_add(struct run *r, int64_t offset, bool write)
{
    int64_t lowest, highest;

    if (offset != (int32_t)offset)
        return false;
    if (!r->accesses)
        r->first = r->lowest = r->highest = (int32_t)offset;
    lowest = MIN(r->lowest, offset);
    highest = MAX(r->highest, offset);
    if (highest + 4 - lowest > RUN_BYTES || ((offset - r->first) & 3))
        return false;
    r->lowest = (int32_t)lowest;
    r->highest = (int32_t)highest;
    r->writes |= write;
    r->accesses++;
    return true;
}

static bool run_take(struct run *r, const struct insn *in, enum role role)
{
    switch (role) {
    case ROLE_NONE:
        return false;
    case ROLE_NEUTRAL:
    case ROLE_FRAME:
        return true;
    case ROLE_READ:
    case ROLE_WRITE:
        return run_add(r, (int64_t)r->moved + (int32_t)in->disp, role == ROLE_WRITE);
    case ROLE_PUSH:
        if (!run_add(r, (int64_t)r->moved - 4, true))
            return false;
        r->moved -= 4;
        return true;
    case ROLE_POP:
        if (!run_add(r, r->moved, false))
            return false;
        r->moved += 4;
        return true;
    }
    return false;
}

static bool is_access(enum role role)
{
    return role >= ROLE_READ && role <= ROLE_POP;
}

/* How many instructions from `first` on are a stretch that ends with an access; 0: it does not pay. */
static unsigned run_find(const struct block *b, unsigned first, struct run *r)
{
    const struct insn *in = &b->insns[first];
    bool stack = in->opcode >= 0x50 && in->opcode <= 0x5f;
    struct run taken;
    unsigned count = 0;

    taken.base = stack || in->opcode == 0x68 || in->opcode == 0x6a ? ESP : in->base;
    taken.moved = 0;
    taken.accesses = 0;
    taken.writes = false;
    if (taken.base == GPR_ZERO || !is_access(role_of(in, taken.base)))
        return 0;
    for (unsigned i = first; i < b->count; i++) {
        enum role role = role_of(&b->insns[i], taken.base);

        if (!run_take(&taken, &b->insns[i], role))
            break;
        if (is_access(role)) {
            *r = taken;
            count = i + 1 - first;
        }
    }
    return count && r->accesses >= RUN_LEAST ? count : 0;
}

static void emit_access(struct translation *t, const struct run *r, enum role role, int32_t moved)
{
    struct emit *e = &t->e;
    const struct insn *in = t->in;
    unsigned op = in->opcode;

    if (role == ROLE_PUSH && op >= 0x68) {
        emit_rm(e, 4, 0xc7, 0, RCX, R8, 0, moved - 4 - r->lowest);
        emit32(e, in->imm);
    } else if (role == ROLE_PUSH) {
        emit_rm(e, 4, EMIT_STORE, host_of(in->reg), RCX, R8, 0, moved - 4 - r->lowest);
    } else if (role == ROLE_POP) {
        emit_rm(e, 4, EMIT_LOAD, host_of(in->reg), RCX, R8, 0, moved - r->lowest);
    } else {
        bool number = op == 0x81 || op == 0x83 || op == 0xc7;

        emit_rm(e, 4, op, number ? in->modrm >> 3 & 7 : host_of(in->reg), RCX, R8, 0,
                moved + (int32_t)in->disp - r->lowest);
        if (op == 0x83)
            emit8(e, in->imm);
        else if (number)
            emit32(e, in->imm);
    }
}

unsigned emit_run(struct translation *t, unsigned first)
{
    struct run r = {0};
    int32_t moved = 0;
    unsigned count = run_find(t->b, first, &r);

    if (!count)
        return 0;
    emit_lea(&t->e, 4, R8, host_of(r.base), r.lowest);
    emit_span_place(t, r.writes, first, count);
    for (unsigned i = first; i < first + count; i++) {
        enum role role;

        translate_begin(t, i);
        emit_room(t, 40);
        role = role_of(t->in, r.base);
        if (role == ROLE_FRAME)
            emit_lea(&t->e, 4, host_of(t->in->opcode == 0x89 ? t->in->rm : t->in->reg), R12, moved);
        else if (role == ROLE_NEUTRAL)
            emit_instruction(t); /* there is an emitter for each of them */
        else
            emit_access(t, &r, role, moved);
        moved += role == ROLE_PUSH ? -4 : role == ROLE_POP ? 4 : 0;
        translate_done(t);
    }
    if (r.moved)
        emit_lea(&t->e, 4, R12, R12, r.moved);
    return count;
}
