/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Whether what an instruction loads becomes a part of an address soon.
 *
 * There are two ways to find a place for four bytes (translate.c): one with few instructions, one with a
 * short way from address to value. The second pays where the value is waited for: lists, tables indexed by
 * what was just read. So the loaded register is followed through the rest of the block, and once around when
 * the block branches to itself. It is a guess about speed alone: an instruction not known here is taken for
 * one that does nothing.
 */
#include "emu/cpu/jit/translate.h"

static unsigned bit_of(unsigned reg, bool byte)
{
    return 1u << (byte ? reg & 3 : reg);
}

struct flow {
    unsigned from; /* registers */
    unsigned to;
    bool adds; /* what was in `to` is in it still */
};

static struct flow flow_of(const struct insn *in, const struct insn_row *row)
{
    unsigned op = in->opcode, address = 0, rm, reg;
    bool byte = !(op & 1);

    if (in->base != GPR_ZERO)
        address |= 1u << in->base;
    if (in->index != GPR_ZERO)
        address |= 1u << in->index;
    if (row->map) {
        reg = 1u << in->reg;
        rm = in->flags & INSN_MEM ? 0 : bit_of(in->rm, op == 0xb6 || op == 0xbe);
        if (op == 0xb6 || op == 0xb7 || op == 0xbe || op == 0xbf)
            return (struct flow){rm, reg, false};
        if ((op >= 0x40 && op <= 0x4f) || op == 0xaf)
            return (struct flow){rm, reg, true};
        return (struct flow){0, 0, true};
    }
    reg = bit_of(in->reg, byte);
    rm = in->flags & INSN_MEM ? 0 : bit_of(in->rm, byte);
    if (op == 0x8d)
        return (struct flow){address, 1u << in->reg, false};
    if (op == 0x8a || op == 0x8b)
        return (struct flow){rm, reg, byte};
    if (op == 0x88 || op == 0x89)
        return (struct flow){reg, rm, byte};
    if (op >= 0xb8 && op <= 0xbf)
        return (struct flow){0, 1u << in->reg, false};
    if (op < 0x38 && (op & 7) < 2)
        return (struct flow){reg, rm, true};
    if (op < 0x38 && (op & 7) < 4)
        return (struct flow){rm, reg, true};
    return (struct flow){0, 0, true};
}

static bool address_uses(const struct insn *in, unsigned regs)
{
    return (in->flags & INSN_MEM) && ((in->base != GPR_ZERO && regs >> in->base & 1) ||
                                      (in->index != GPR_ZERO && regs >> in->index & 1));
}

/* JMP and CALL to a register */
static bool branches_to(const struct insn *in, unsigned regs)
{
    unsigned number = in->modrm >> 3 & 7;

    return in->opcode == 0xff && !(in->flags & INSN_MEM) && (number == 2 || number == 4) &&
           regs >> in->rm & 1;
}

/* What the instruction's memory operand is loaded into, as a set of one; 0: not that kind. */
static unsigned loaded(const struct insn *in, const struct insn_row *row)
{
    unsigned op = in->opcode;

    if (!(in->flags & INSN_MEM) || (in->flags & INSN_OP16))
        return 0;
    if (row->map)
        return (op >= 0x40 && op <= 0x4f) || op == 0xaf ? 1u << in->reg : 0;
    return op == 0x8b || (op < 0x38 && (op & 7) == 3) ? 1u << in->reg : 0;
}

/* Whether the last instruction branches to the first. */
static bool is_loop(const struct block *b)
{
    const struct insn *last = &b->insns[b->count - 1];
    const struct insn_row *row = &insn_rows[last->op];

    return (row->attr & ATTR_BRANCH) && (row->operand[0] == OPERAND_Jb || row->operand[0] == OPERAND_Jz) &&
           last->imm + last->end == 0;
}

bool insn_feeds_address(const struct block *b, const struct insn *in)
{
    unsigned i = (unsigned)(in - b->insns), regs = loaded(in, &insn_rows[in->op]);

    if (in->opcode == 0xff && !insn_rows[in->op].map && (insn_rows[in->op].attr & ATTR_BRANCH))
        return true; /* where to go */
    for (unsigned n = 1; regs && n <= b->count; n++) {
        const struct insn *at;
        struct flow f;

        if (++i == b->count) {
            if (!is_loop(b))
                return false;
            i = 0;
        }
        at = &b->insns[i];
        if ((at->opcode != 0x8d && address_uses(at, regs)) || branches_to(at, regs))
            return true;
        f = flow_of(at, &insn_rows[at->op]);
        if (f.from & regs)
            regs |= f.to;
        else if (!f.adds)
            regs &= ~f.to;
    }
    return false;
}
