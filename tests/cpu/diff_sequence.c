/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Sequences for the host-differential test: many instructions in a row, in flat 32-bit segments, with short
 * forward jumps among them, so that blocks, their threading and links, and faults in their middle are
 * compared with the processor's as a whole.
 *
 * Operands are registers, or memory by an absolute address, since earlier instructions change the registers.
 * The stack pointer lies in the arena and moves by PUSH, POP, CALL and RET.
 */
#include "tests/cpu/diff_guest.h"

#include <string.h>

static bool fits(const struct insn_row *row, enum insn_id id)
{
    if (row->attr & (ATTR_X87 | ATTR_MMX | ATTR_SSE | ATTR_NOTEST | ATTR_PRIV | ATTR_REP))
        return false;
    for (unsigned i = 0; i < 3; i++) {
        unsigned class = insn_operands[row->operand[i]].class;

        if (class == OPCLASS_STR_SI || class == OPCLASS_STR_DI || class == OPCLASS_STR_BX)
            return false;
    }
    if (row->attr & ATTR_STACK)
        return id == INSN_push_zv || id == INSN_pop_zv || id == INSN_push_iz || id == INSN_push_sib ||
               id == INSN_push_ev;
    /* the address would come from a register: a bit string's, or a bound that rarely holds */
    return id != INSN_bt_ev_gv && id != INSN_bts_ev_gv && id != INSN_btr_ev_gv && id != INSN_btc_ev_gv &&
           id != INSN_bound && !(row->ext & INSN_EXT_EXACT) && id != INSN_aaa && id != INSN_aas &&
           id != INSN_aam && id != INSN_aad && id != INSN_daa && id != INSN_das;
}

static const struct insn_row *pick_row(struct diff_gen *g, enum insn_id *id)
{
    static uint16_t usable[INSN_COUNT];
    static unsigned count;

    if (!count)
        for (unsigned i = 0; i < INSN_COUNT; i++)
            if (fits(&insn_rows[i], (enum insn_id)i))
                usable[count++] = (uint16_t)i;
    *id = (enum insn_id)usable[diff_below(&g->random, count)];
    return &insn_rows[*id];
}

/* One instruction into `out`; its length, 0 when this try came to nothing. */
static unsigned put_one(struct diff_gen *g, uint8_t out[16], uint32_t window)
{
    enum insn_id id;
    const struct insn_row *row = pick_row(g, &id);
    uint8_t bytes[16];
    unsigned n = 0;
    struct insn in;

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)diff_random64(&g->random);
    if (diff_one_in(&g->random, 6))
        bytes[n++] = 0x66;
    if (row->map)
        bytes[n++] = 0x0f;
    bytes[n++] = (uint8_t)(row->opcode + diff_below(&g->random, row->attr & ATTR_PLUS_R ? 8
                                                                : row->attr & ATTR_COND ? 16
                                                                                        : 1));
    if (row->ext & INSN_EXT_MODRM) {
        uint8_t reg = row->ext & INSN_EXT_OPCODE ? row->ext & 7 : bytes[n] >> 3 & 7;
        bool memory = row->ext & INSN_EXT_MEM || (!(row->ext & INSN_EXT_REG) && diff_one_in(&g->random, 2));

        if (memory) {
            uint32_t at = window + diff_below(&g->random, 56);

            bytes[n++] = (uint8_t)(reg << 3 | 5);
            memcpy(bytes + n, &at, 4);
        } else {
            bytes[n] = (uint8_t)(bytes[n] | 0xc0);
            bytes[n] = (uint8_t)((bytes[n] & 0xc7) | reg << 3);
        }
    } else if (row->operand[0] == OPERAND_Ob || row->operand[0] == OPERAND_Ov ||
               row->operand[1] == OPERAND_Ob || row->operand[1] == OPERAND_Ov) {
        uint32_t at = window + diff_below(&g->random, 56);

        memcpy(bytes + n, &at, 4);
    }
    if (insn_decode(bytes, 15, true, false, cpu_model_default(), &in) != DECODE_OK || in.op != id)
        return 0;
    /* None changes ESP other than by the stack: any other address may be the native side's own memory. */
    if ((in.reg == ESP || (!(in.flags & INSN_MEM) && in.rm == ESP)) &&
        (!(row->attr & ATTR_STACK) || id == INSN_pop_zv))
        return 0;
    memcpy(out, bytes, in.length);
    return in.length;
}

static bool generate(struct diff_gen *g)
{
    uint8_t code[12][16];
    unsigned length[12], count = 3 + diff_below(&g->random, 7), total = 0;
    uint32_t window = diff_data_address(g), stack = diff_data_address(g);

    diff_begin_case(g, true);
    diff_add_window(g, window - 8, 96);
    diff_add_window(g, stack - 64, 112);
    g->c->gpr[ESP] = stack;
    for (unsigned i = 0; i < count; i++) {
        do
            length[i] = put_one(g, code[i], window);
        while (!length[i]);
        total += length[i];
        if (total > DIFF_CODE - 16) {
            count = i;
            break;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        /* a jump over the next one, on some condition */
        if (i + 1 < count && g->c->code_len + 2 + length[i] < DIFF_CODE - 4 && diff_one_in(&g->random, 5)) {
            uint8_t jump[2] = {(uint8_t)(0x70 + diff_below(&g->random, 16)), (uint8_t)length[i]};

            diff_put_code(g, jump, 2);
        }
        if (g->c->code_len + length[i] > DIFF_CODE - 2)
            break;
        diff_put_code(g, code[i], length[i]);
    }
    diff_end_case(g, false);
    return true;
}

static bool wants(const struct insn_row *row, enum insn_id id)
{
    return false; /* not by rows */
}

static bool mask(const struct diff_case *c, struct diff_result *ours, struct diff_result *native)
{
    return false;
}

const struct diff_domain diff_sequence_domain = {
    .name = "sequence",
    .wants = wants,
    .generate = generate,
    .mask = mask,
};
