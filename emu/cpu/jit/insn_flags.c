/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What an instruction does with the status flags, for the translator's liveness: the row's columns, made
 * exact where the form says more (the condition, a shift's immediate count).
 */
#include "emu/cpu/jit/translate.h"

static uint32_t condition_reads(unsigned condition)
{
    static const uint32_t reads[8] = {
        FLAG_OF, FLAG_CF, FLAG_ZF,           FLAG_CF | FLAG_ZF,
        FLAG_SF, FLAG_PF, FLAG_SF | FLAG_OF, FLAG_SF | FLAG_OF | FLAG_ZF,
    };
    return reads[condition >> 1 & 7];
}

struct flag_use {
    uint32_t reads, kills;
    bool touches;
};

/* A shift or rotate; a count of 0 leaves all flags alone. */
static struct flag_use shift_flags(const struct insn *in, const struct insn_row *row, bool by_cl,
                                   unsigned count)
{
    bool through_carry = row->map == 0 && ((in->modrm >> 3 & 7) == 2 || (in->modrm >> 3 & 7) == 3);
    uint32_t reads = through_carry ? FLAG_CF : 0;

    if (by_cl)
        return (struct flag_use){reads, 0, true};
    if (!(count & 31))
        return (struct flag_use){0, 0, false};
    return (struct flag_use){reads, row->flags_set, true};
}

static struct flag_use flags_of(const struct insn *in)
{
    const struct insn_row *row = &insn_rows[in->op];
    unsigned op = in->opcode;

    if ((row->attr & ATTR_END) && !(row->attr & ATTR_BRANCH))
        return (struct flag_use){FLAG_STATUS, 0, true};
    if (row->attr & ATTR_COND)
        return (struct flag_use){condition_reads(op), 0, false};
    if (row->map == 0) {
        if (op == 0xc0 || op == 0xc1)
            return shift_flags(in, row, false, in->imm);
        if (op == 0xd0 || op == 0xd1)
            return shift_flags(in, row, false, 1);
        if (op == 0xd2 || op == 0xd3)
            return shift_flags(in, row, true, 0);
        if (op < 0x40 && (op & 7) < 6)
            return (struct flag_use){row->flags_read, row->flags_set | row->flags_undef, true};
        if ((op >= 0x80 && op <= 0x85) || op == 0xa8 || op == 0xa9)
            return (struct flag_use){row->flags_read, row->flags_set | row->flags_undef, true};
        if (op == 0xf8 || op == 0xf9)
            return (struct flag_use){0, FLAG_CF, true};
        if (op == 0xf5)
            return (struct flag_use){FLAG_CF, FLAG_CF, true};
    } else {
        if (op == 0xa4 || op == 0xac)
            return shift_flags(in, row, false, in->imm);
        if (op == 0xa5 || op == 0xad)
            return shift_flags(in, row, true, 0);
        if (op == 0xa3 || op == 0xab || op == 0xb3 || op == 0xbb || op == 0xba) /* BT and its like */
            return (struct flag_use){0, FLAG_CF, true};
        if (op == 0xbc || op == 0xbd)
            return (struct flag_use){0, FLAG_ZF, true};
    }
    return (struct flag_use){row->flags_read, row->flags_set, (row->flags_set | row->flags_undef) != 0};
}

void instruction_flags(const struct insn *in, uint32_t *reads, uint32_t *kills, bool *touches)
{
    struct flag_use use = flags_of(in);

    *reads = use.reads & FLAG_STATUS;
    *kills = use.kills & FLAG_STATUS;
    *touches = use.touches;
}
