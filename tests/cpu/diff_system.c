/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What system instructions do in user mode, for the host-differential test: segment registers loaded from the
 * LDT, far transfers within privilege 3, LAR, LSL, VERR, VERW, ARPL, POPF, and that everything privileged is
 * refused.
 *
 * Left out: CPUID, RDTSC, RDPMC (the host's own answers), SGDT, SIDT, SLDT, STR, SMSW (UMIP: Linux emulates
 * them), INT 0x80 and SYSENTER (they enter Linux), INT1 (Linux reports it as it likes).
 */
#include "tests/cpu/diff_guest.h"

#include <string.h>

/* Selectors that both sides answer alike: ours and Linux's flat ones, the LDT's, beyond its end, null,
 * Linux's own (never visible at privilege 3). */
static uint16_t pick_selector(struct diff_gen *g)
{
    static const uint16_t others[] = {
        0, 3, DIFF_FLAT_CODE, DIFF_FLAT_DATA, DIFF_SEG_COUNT << 3 | 7, 0x7fff, 0x10, 0x13};
    uint32_t which = diff_below(&g->random, DIFF_SEG_COUNT + G_N_ELEMENTS(others));

    if (which >= DIFF_SEG_COUNT)
        return others[which - DIFF_SEG_COUNT];
    return (uint16_t)(which << 3 | (diff_one_in(&g->random, 6) ? diff_below(&g->random, 8) | 4 : 7));
}

static bool is_one_of(enum insn_id id, const enum insn_id *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i] == id)
            return true;
    return false;
}

static bool wants(const struct insn_row *row, enum insn_id id)
{
    static const enum insn_id tested[] = {
        INSN_mov_sreg_rm, INSN_pop_es,     INSN_pop_ss,    INSN_pop_ds,    INSN_pop_fs,    INSN_pop_gs,
        INSN_les,         INSN_lds,        INSN_lss,       INSN_lfs,       INSN_lgs,       INSN_call_far,
        INSN_call_far_m,  INSN_jmp_far,    INSN_jmp_far_m, INSN_retf,      INSN_retf_iw,   INSN_into,
        INSN_popf,        INSN_cli,        INSN_sti,       INSN_hlt,       INSN_in_al_ib,  INSN_in_eax_ib,
        INSN_out_ib_al,   INSN_out_ib_eax, INSN_in_al_dx,  INSN_in_eax_dx, INSN_out_dx_al, INSN_out_dx_eax,
        INSN_insb,        INSN_insv,       INSN_outsb,     INSN_outsv,     INSN_lldt,      INSN_ltr,
        INSN_verr,        INSN_verw,       INSN_lgdt,      INSN_lidt,      INSN_lmsw,      INSN_invlpg,
        INSN_lar,         INSN_lsl,        INSN_arpl,      INSN_clts,      INSN_wbinvd,    INSN_mov_r_cr,
        INSN_mov_cr_r,    INSN_mov_r_dr,   INSN_mov_dr_r,  INSN_wrmsr,     INSN_rdmsr,     INSN_sysexit,
        INSN_ud1,         INSN_ud2,
    };

    return is_one_of(id, tested, G_N_ELEMENTS(tested));
}

/* Puts selectors where the instruction takes them from. */
static void plant(struct diff_gen *g, uint32_t addr, unsigned bytes)
{
    uint16_t selector = pick_selector(g);
    uint8_t *at = diff_window_at(g, addr, bytes + 2);

    if (at)
        memcpy(at + bytes, &selector, 2);
}

static bool generate(struct diff_gen *g)
{
    const struct insn_row *row = g->row;
    unsigned bytes;
    bool far, changes_ss;

    diff_begin_case(g, false);
    if (!diff_build_insn(g))
        return false;
    bytes = g->insn.flags & INSN_OP16 ? 2 : 4;
    if (row->attr & ATTR_STACK || g->id == INSN_retf || g->id == INSN_retf_iw || g->id == INSN_call_far ||
        g->id == INSN_call_far_m) {
        uint32_t stack = diff_data_address(g), offset = stack - diff_segment_base(g->c->selector[DIFF_SS]);

        if (!g->frame.stack32 && offset > 0xffff)
            return false;
        g->c->gpr[ESP] = g->frame.stack32 ? offset : (g->c->gpr[ESP] & 0xffff0000) | offset;
        diff_add_window(g, stack - 32, 96);
        plant(g, stack, 0);
        if (g->id == INSN_retf || g->id == INSN_retf_iw)
            plant(g, stack, bytes);
    }
    if (g->insn.flags & INSN_MEM) {
        bool pointer = row->operand[0] == OPERAND_Mp || row->operand[1] == OPERAND_Mp;

        plant(g, diff_operand_address(g), pointer ? bytes : 0);
    } else if (row->ext & INSN_EXT_MODRM) {
        uint16_t selector = pick_selector(g);

        if (!(row->attr & ATTR_PRIV))
            g->c->gpr[g->insn.rm] = (g->c->gpr[g->insn.rm] & 0xffff0000) | selector;
        if (g->id == INSN_arpl)
            g->c->gpr[g->insn.reg] ^= diff_below(&g->random, 4);
    }
    if (g->id == INSN_call_far || g->id == INSN_jmp_far) {
        uint16_t selector = pick_selector(g);

        memcpy(g->bytes + g->imm_at + bytes, &selector, 2);
    }
    if (g->id ==
        INSN_retf_iw) { /* what is released stays near: AMD looks there before it looks at the selector */
        g->bytes[g->imm_at] &= 15;
        g->bytes[g->imm_at + 1] = 0;
    }
    if (g->id == INSN_popf) {
        uint32_t addr = g->c->gpr[ESP] + diff_segment_base(g->c->selector[DIFF_SS]);
        uint8_t *at = diff_window_at(g, g->frame.stack32 ? addr : (addr & 0xffff) | DIFF_ARENA, 4);
        uint32_t flags = (uint32_t)diff_random64(&g->random) & ~(FLAG_AC | FLAG_TF);

        if (at)
            memcpy(at, &flags, 4);
    }
    diff_put_insn(g);
    far = g->id == INSN_call_far || g->id == INSN_call_far_m || g->id == INSN_jmp_far ||
          g->id == INSN_jmp_far_m || g->id == INSN_retf || g->id == INSN_retf_iw;
    /* a load of SS holds the single-step trap off by one instruction */
    changes_ss =
        g->id == INSN_pop_ss || g->id == INSN_lss || (g->id == INSN_mov_sreg_rm && g->insn.reg == SEG_SS);
    diff_end_case(g, far || (g->id != INSN_popf && !changes_ss && diff_one_in(&g->random, 2)));
    return true;
}

static bool mask(const struct diff_case *c, struct diff_result *ours, struct diff_result *native)
{
    if (c->row != INSN_retf && c->row != INSN_retf_iw)
        return false;
    /* Which half of the far pointer on the stack is read first shows in CR2 alone. */
    if (ours->trap == VEC_PF && native->trap == VEC_PF)
        ours->cr2 = native->cr2 = 0;
    /* AMD reads what a return to an outer level would pop before it refuses the selector. */
    if (ours->trap == VEC_GP && (native->trap == VEC_PF || native->trap == VEC_AC)) {
        native->trap = ours->trap;
        native->error = ours->error;
        native->cr2 = ours->cr2;
    }
    return false;
}

const struct diff_domain diff_system_domain = {
    .name = "system",
    .wants = wants,
    .generate = generate,
    .mask = mask,
};
