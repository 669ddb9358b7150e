/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Into the kernel and back without leaving translated code: SYSENTER, SYSEXIT, INT n from CPL 3 to 0, and
 * IRET from 0 to 3, all between flat segments.
 *
 * INT and IRET look at what they read as the processor does, gate, descriptors and TSS, but only compare:
 * deliver_quickly() and iret_quickly() left a memo (struct gate_memo) of what they found the last time, and
 * when the same is there again the same comes out of it. Anything else is the interpreter's: nothing was
 * changed before. Memory is reached by the soft TLB's tags for the supervisor, as there.
 *
 * The INTR pin is low, and neither TF nor RF nor NT nor VIF and VIP are involved: then nothing of this
 * changes `events`.
 *
 * Each privilege has a stack of return addresses of its own (insn_branch.c). The user's stays as it is while
 * the kernel runs and is good again when no translation of an address was taken away meanwhile; the kernel's
 * begins anew. Whatever else changes CPL forgets both.
 *
 * SDM vol. 3, 6.12.1 and 5.8.7; vol. 2, INT n, IRET, SYSENTER, SYSEXIT.
 */
#include "emu/cpu/jit/insn_emit.h"
#include "emu/cpu/jit/window.h"

#define MEMO(which, member) (CPU(which) + (int32_t)offsetof(struct gate_memo, member))
#define TLB_MEMBER(member)                                                                                   \
    (CPU(tlb) +                                                                                              \
     (int32_t)(TLB_SUPERVISOR * sizeof(struct tlb_entry) * TLB_SIZE + offsetof(struct tlb_entry, member)))

/* What the piece for INT is told: offsets in the IDT have fewer bits. */
#define GATE_NEXT_SHIFT 12

#define EMIT_OR  0x0b
#define EMIT_CMP 0x3b /* register with memory */
#define TEST_IMM 0    /* of group f7 */

_Static_assert(offsetof(struct segment, min) == 8 && offsetof(struct segment, max) == 12 &&
                   offsetof(struct segment, limit) == 16 && sizeof(struct segment) == 24,
               "written in pairs");
_Static_assert(TLB_USER == TLB_SUPERVISOR + 1, "the regions are neighbours");
_Static_assert(offsetof(struct cpu, intr) == offsetof(struct cpu, cpl) + 1, "compared as one");

/* The piece that is being made: the jumps to where nothing was done. */
struct piece {
    struct emit *e;
    uint8_t *out[24];
    unsigned outs;
};

static void out_if(struct piece *p, unsigned condition)
{
    p->out[p->outs++] = emit_jump_if(p->e, condition);
}

/* Unless CPL is this and the INTR pin low. */
static void out_unless_cpl(struct piece *p, unsigned cpl)
{
    emit_rm(p->e, 2, 0x81, ALU_CMP, R15, EMIT_NONE, 0, CPU(cpl));
    emit16(p->e, cpl);
    out_if(p, CC_NE);
}

static void out_if_byte(struct piece *p, int32_t at)
{
    emit_rm(p->e, 1, 0x80, ALU_CMP, R15, EMIT_NONE, 0, at);
    emit8(p->e, 0);
    out_if(p, CC_NE);
}

/* ZF, from four bytes at `at` masked with `bits` and compared with `value`; rcx is used. */
static void compare_bits(struct emit *e, int32_t at, uint32_t bits, uint32_t value)
{
    emit_load(e, 4, RCX, R15, at);
    emit_alu_imm(e, 4, ALU_AND, RCX, (int32_t)bits);
    emit_alu_imm(e, 4, ALU_CMP, RCX, (int32_t)value);
}

/* ---- flags and EAX, EDX: away while a piece works ---- */

static void begin_piece(struct piece *p)
{
    struct emit *e = p->e;

    emit_store(e, 4, RAX, R15, EAX * 4);
    emit_store(e, 4, RDX, R15, EDX * 4);
    emit8(e, 0x9f);                /* lahf */
    emit_rr(e, 1, 0x0f90, 0, RAX); /* seto al */
    emit_store(e, 4, RAX, R15, CPU(jit_flags));
}

/* From AX as LAHF and SETO leave it. */
static void flags_from_ax(struct emit *e)
{
    emit8(e, 0x04); /* add al, 0x7f: OF */
    emit8(e, 0x7f);
    emit8(e, 0x9e); /* sahf */
}

static void restore(struct emit *e)
{
    emit_load(e, 4, RAX, R15, CPU(jit_flags));
    flags_from_ax(e);
    emit_load(e, 4, RAX, R15, EAX * 4);
    emit_load(e, 4, RDX, R15, EDX * 4);
}

static void end_piece(struct piece *p, const struct jit *jit)
{
    for (unsigned i = 0; i < p->outs; i++)
        emit_fill(p->out[i], p->e->at);
    restore(p->e);
    emit_jump_to(p->e, jit->run_last);
}

/* ---- the other level ---- */

/* rax is used. */
static void switch_level(struct jit *jit, struct emit *e, bool enter)
{
    emit_store_imm_byte(e, CPU(cpl), enter ? 0 : 3);
    emit_lea(e, 8, RAX, R15,
             CPU(tlb) + (int32_t)((enter ? TLB_SUPERVISOR : TLB_USER) * sizeof(struct tlb_entry) * TLB_SIZE));
    emit_store(e, 8, RAX, R15, CPU(tlb_data));
    emit_lea(e, 8, R14, R14, enter ? -(int32_t)FLAT_SIZE : (int32_t)FLAT_SIZE);
    emit_store(e, 8, R14, R15, CPU(jit_tables));
    emit_window_switch(jit, e, enter ? TLB_SUPERVISOR : TLB_USER);
}

/* rax and rcx are used. */
static void switch_stack(struct jit *jit, struct emit *e, bool enter)
{
    uint8_t *other;

    emit_imm64(e, RAX, (uintptr_t)jit->now);
    emit_load(e, 4, RAX, RAX, 0);
    if (enter) {
        emit_store(e, 8, RSP, R15, CPU(jit_stack_user));
        emit_store(e, 4, RAX, R15, CPU(jit_stack_generation));
        emit_imm64(e, RSP, (uintptr_t)jit->stack_top[0]);
        emit_store(e, 8, RSP, R15, CPU(jit_stack_top));
    } else {
        emit_imm64(e, RCX, (uintptr_t)jit->stack_top[1]);
        emit_store(e, 8, RCX, R15, CPU(jit_stack_top));
        emit_move(e, 8, RSP, RCX);
        emit_rm(e, 4, EMIT_CMP, RAX, R15, EMIT_NONE, 0, CPU(jit_stack_generation));
        other = emit_jump_if(e, CC_NE);
        emit_load(e, 8, RSP, R15, CPU(jit_stack_user));
        emit_fill(other, e->at);
    }
    emit_imm64(e, RCX, (uintptr_t)&jit->generation);
    emit_store(e, 4, RAX, RCX, 0);
    emit_imm64(e, RCX, (uintptr_t)&jit->cpl);
    emit_rm(e, 1, 0xc6, 0, RCX, EMIT_NONE, 0, 0);
    emit8(e, enter ? 0 : 3);
}

/* To EIP in r8d, with an indirect jump of the piece's own, which the host predicts better than a shared one.
 */
static void leave_to_eip(struct piece *p, struct jit *jit)
{
    restore(p->e);
    emit_look_up(jit, p->e);
}

/* ---- SYSENTER and SYSEXIT ---- */

/* ecx: the selector; a flat segment. */
static void set_flat_segment(struct emit *e, unsigned seg, bool writable, uint32_t attr)
{
    emit_rm(e, 4, EMIT_LEA, RCX, RCX, EMIT_NONE, 0, writable ? 0x01010000 : 0x00010000);
    emit_store(e, 4, RCX, R15, SEGMENT(seg, selector));
    emit_rm(e, 8, 0xc7, 0, R15, EMIT_NONE, 0, SEGMENT(seg, base)); /* and min */
    emit32(e, 0);
    emit_rm(e, 8, 0xc7, 0, R15, EMIT_NONE, 0, SEGMENT(seg, max)); /* and limit */
    emit32(e, 0xffffffff);
    emit_store_imm(e, SEGMENT(seg, attr), attr);
}

/* As op_sysenter() and op_sysexit() between CPL 3 and 0 in flat segments; all else is theirs. */
static void make_system_call(struct jit *jit, struct emit *e, bool enter)
{
    const uint32_t data =
        SEG_ATTR_G | SEG_ATTR_DB | SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED;
    const uint32_t dpl = enter ? 0 : SEG_ATTR_DPL;
    struct piece p = {.e = e};
    uint8_t *no_check;

    begin_piece(&p);
    out_unless_cpl(&p, enter ? 3 : 0);
    compare_bits(e, CPU(sysenter_cs), 0xfffc, 0);
    out_if(&p, CC_E);
    if (enter) {
        out_if_byte(&p, CPU(align_check));
        emit_load(e, 4, RAX, R15, CPU(eflags));
        emit_alu_imm(e, 4, ALU_AND, RAX, (int32_t) ~(FLAG_VM | FLAG_IF));
        emit_store(e, 4, RAX, R15, CPU(eflags));
    } else {
        compare_bits(e, CPU(eflags), FLAG_VIF | FLAG_VIP, FLAG_VIF | FLAG_VIP);
        out_if(&p, CC_E);
        compare_bits(e, CPU(eflags), FLAG_AC, 0);
        no_check = emit_jump_if(e, CC_E);
        compare_bits(e, CPU(cr0), CR0_AM, 0);
        out_if(&p, CC_NE);
        emit_fill(no_check, e->at);
    }
    emit_load(e, 4, RAX, R15, CPU(sysenter_cs));
    emit_alu_imm(e, 4, ALU_AND, RAX, 0xfffc);
    emit_lea(e, 4, RCX, RAX, enter ? 0 : 16 + 3);
    emit_rr(e, 4, EMIT_MOVZX16, RCX, RCX);
    set_flat_segment(e, SEG_CS, false, data | SEG_ATTR_CODE | dpl);
    emit_lea(e, 4, RCX, RAX, enter ? 8 : 24 + 3);
    emit_rr(e, 4, EMIT_MOVZX16, RCX, RCX);
    set_flat_segment(e, SEG_SS, true, data | dpl);
    if (enter) {
        emit_load(e, 4, R12, R15, CPU(sysenter_esp));
        emit_load(e, 4, R8, R15, CPU(sysenter_eip));
    } else {
        emit_move(e, 4, R12, R11);
        emit_move(e, 4, R8, RDX);
    }
    switch_level(jit, e, enter);
    switch_stack(jit, e, enter);
    leave_to_eip(&p, jit);
    end_piece(&p, jit);
}

/* ---- INT and IRET ---- */

/* rcx = what to add to the linear address in eax for the place of `size` bytes there; edx is used. */
static void find_supervisor(struct piece *p, unsigned size, bool write)
{
    struct emit *e = p->e;

    _Static_assert(sizeof(struct tlb_entry) == 32, "a shift");
    emit_move(e, 4, RCX, RAX);
    emit_shift_imm(e, 4, SHIFT_SHR, RCX, PHYS_PAGE_SHIFT);
    emit_alu_imm(e, 4, ALU_AND, RCX, TLB_SIZE - 1);
    emit_shift_imm(e, 4, SHIFT_SHL, RCX, 5);
    emit_lea(e, 4, RDX, RAX, (int32_t)size - 1);
    emit_alu_imm(e, 4, ALU_AND, RDX, (int32_t) ~(uint32_t)PHYS_PAGE_MASK);
    emit_rm(e, 4, EMIT_CMP, RDX, R15, RCX, 0, write ? TLB_MEMBER(write) : TLB_MEMBER(read));
    out_if(p, CC_NE);
    emit_rm(e, 8, EMIT_LOAD, RCX, R15, RCX, 0, TLB_MEMBER(addend));
}

/* rdx = the eight bytes at the linear address in eax. */
static void read_supervisor(struct piece *p)
{
    find_supervisor(p, 8, false);
    emit_rm(p->e, 8, EMIT_LOAD, RDX, RCX, RAX, 0, 0);
}

/* Out unless the descriptor at `offset` (in memory) of the GDT is the one at `raw`. */
static void out_unless_descriptor(struct piece *p, int32_t offset, int32_t raw)
{
    emit_load(p->e, 4, RAX, R15, CPU(gdtr.base));
    emit_rm(p->e, 4, 0x03, RAX, R15, EMIT_NONE, 0, offset); /* add */
    read_supervisor(p);
    emit_rm(p->e, 8, EMIT_CMP, RDX, R15, EMIT_NONE, 0, raw);
    out_if(p, CC_NE);
}

static void out_unless_equal(struct piece *p, int reg, int32_t at)
{
    emit_rm(p->e, 4, EMIT_CMP, reg, R15, EMIT_NONE, 0, at);
    out_if(p, CC_NE);
}

static void set_segment(struct emit *e, unsigned seg, int32_t from)
{
    for (int i = 0; i < (int)sizeof(struct segment); i += 8) {
        emit_load(e, 8, RAX, R15, from + i);
        emit_store(e, 8, RAX, R15, SEGMENT(seg, selector) + i);
    }
}

/* eax = ESP of CPL 0 from the TSS, made to have room for the frame. */
static void find_inner_stack(struct piece *p, unsigned frame)
{
    struct emit *e = p->e;

    compare_bits(e, CPU(tr.attr), SEG_ATTR_P | 0x800, SEG_ATTR_P | 0x800);
    out_if(p, CC_NE);
    emit_rm(e, 4, 0x83, ALU_CMP, R15, EMIT_NONE, 0, CPU(tr.limit));
    emit8(e, 4 + 5);
    out_if(p, CC_B);
    emit_load(e, 4, RAX, R15, CPU(tr.base));
    emit_alu_imm(e, 4, ALU_ADD, RAX, 4);
    read_supervisor(p);
    emit_move(e, 8, RAX, RDX);
    emit_shift_imm(e, 8, SHIFT_SHR, RAX, 32);
    emit_rr(e, 4, EMIT_MOVZX16, RAX, RAX);
    out_unless_equal(p, RAX, MEMO(gate_in, ss));
    emit_move(e, 4, RAX, RDX);
    emit_alu_imm(e, 4, ALU_SUB, RAX, (int32_t)frame);
    out_if(p, CC_B);
}

/* r8d: the gate's offset in the IDT, and GATE_NEXT_SHIFT higher the next instruction's in the page. */
static void make_int(struct jit *jit, struct emit *e)
{
    struct piece p = {.e = e};

    begin_piece(&p);
    out_unless_cpl(&p, 3);
    out_if_byte(&p, CPU(align_check));
    emit_imm64(e, RAX, (uintptr_t)&trace_mask);
    emit_rm(e, 4, 0xf7, TEST_IMM, RAX, EMIT_NONE, 0, TRACE_INT / 32 * 4);
    emit32(e, 1u << TRACE_INT % 32);
    out_if(&p, CC_NE);
    emit_move(e, 4, RAX, R8);
    emit_alu_imm(e, 4, ALU_AND, RAX, (1 << GATE_NEXT_SHIFT) - 1);
    out_unless_equal(&p, RAX, MEMO(gate_in, offset));
    emit_rm(e, 4, EMIT_MOVZX16, RCX, R15, EMIT_NONE, 0, CPU(idtr.limit));
    emit_lea(e, 4, RDX, RAX, 7);
    emit_rr(e, 4, EMIT_CMP, RDX, RCX);
    out_if(&p, CC_A);
    emit_rm(e, 4, 0x03, RAX, R15, EMIT_NONE, 0, CPU(idtr.base)); /* add */
    read_supervisor(&p);
    emit_rm(e, 8, EMIT_CMP, RDX, R15, EMIT_NONE, 0, MEMO(gate_in, gate));
    out_if(&p, CC_NE);
    out_unless_descriptor(&p, MEMO(gate_in, cs_offset), MEMO(gate_in, code));
    out_unless_descriptor(&p, MEMO(gate_in, ss_offset), MEMO(gate_in, stack));
    find_inner_stack(&p, 20);
    find_supervisor(&p, 20, true);

    emit_rm(e, 8, EMIT_LEA, RCX, RCX, RAX, 0, 0);
    emit_store(e, 4, R12, RCX, 12);
    emit_move(e, 4, R12, RAX);
    emit_rm(e, 4, EMIT_MOVZX16, RAX, R15, EMIT_NONE, 0, SEGMENT(SEG_SS, selector));
    emit_store(e, 4, RAX, RCX, 16);
    emit_rm(e, 4, EMIT_MOVZX16, RAX, R15, EMIT_NONE, 0, SEGMENT(SEG_CS, selector));
    emit_store(e, 4, RAX, RCX, 4);
    emit_shift_imm(e, 4, SHIFT_SHR, R8, GATE_NEXT_SHIFT);
    emit_rm(e, 4, 0x03, R8, R15, EMIT_NONE, 0, CPU(jit_page)); /* add */
    emit_store(e, 4, R8, RCX, 0);
    emit_load(e, 4, RAX, R15, CPU(jit_flags));
    emit_rr(e, 4, EMIT_MOVZX8, RDX, 4); /* movzx edx, ah */
    emit_alu_imm(e, 4, ALU_AND, RDX, 0xd5);
    emit_rr(e, 4, EMIT_MOVZX8, RAX, RAX); /* al */
    emit_shift_imm(e, 4, SHIFT_SHL, RAX, 11);
    emit_rr(e, 4, EMIT_OR, RAX, RDX);
    emit_load(e, 4, RDX, R15, CPU(eflags));
    emit_rr(e, 4, EMIT_OR, RAX, RDX);
    emit_store(e, 4, RAX, RCX, 8);
    emit_rm(e, 4, 0x23, RDX, R15, EMIT_NONE, 0, MEMO(gate_in, keep)); /* and */
    emit_store(e, 4, RDX, R15, CPU(eflags));
    set_segment(e, SEG_CS, MEMO(gate_in, cs));
    set_segment(e, SEG_SS, MEMO(gate_in, stack_segment));
    emit_store_imm_byte(e, CPU(rep_paused), false);
    emit_rm(e, 8, 0xff, 0, R15, EMIT_NONE, 0, CPU(stats.interrupts)); /* inc */
    emit_load(e, 4, R8, R15, MEMO(gate_in, eip));
    switch_level(jit, e, true);
    switch_stack(jit, e, true);
    leave_to_eip(&p, jit);
    end_piece(&p, jit);
}

/* A data segment that the outer level may keep, or one that is null already. */
static void out_unless_kept(struct piece *p, unsigned seg)
{
    uint8_t *kept;

    compare_bits(p->e, SEGMENT(seg, attr), SEG_ATTR_DPL, SEG_ATTR_DPL);
    kept = emit_jump_if(p->e, CC_E);
    emit_rm(p->e, 4, 0x83, ALU_CMP, R15, EMIT_NONE, 0, SEGMENT(seg, selector)); /* and the rights */
    emit8(p->e, 0);
    out_if(p, CC_NE);
    emit_fill(kept, p->e->at);
}

static void make_iret(struct jit *jit, struct emit *e)
{
    const uint32_t unusual = FLAG_VM | FLAG_TF | FLAG_NT | FLAG_AC | FLAG_VIF | FLAG_VIP;
    const uint32_t taken = FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_ID;
    struct piece p = {.e = e};

    begin_piece(&p);
    out_unless_cpl(&p, 0);
    out_if_byte(&p, CPU(nmi_blocked));
    compare_bits(e, CPU(eflags), FLAG_NT, 0);
    out_if(&p, CC_NE);
    emit_move(e, 4, RAX, R12);
    find_supervisor(&p, 20, false);
    emit_rm(e, 8, EMIT_LEA, R8, RCX, RAX, 0, 0);
    emit_rm(e, 4, EMIT_MOVZX16, RAX, R8, EMIT_NONE, 0, 4);
    out_unless_equal(&p, RAX, MEMO(gate_out, selector));
    emit_rm(e, 4, EMIT_MOVZX16, RAX, R8, EMIT_NONE, 0, 16);
    out_unless_equal(&p, RAX, MEMO(gate_out, ss));
    emit_rm(e, 4, 0xf7, TEST_IMM, R8, EMIT_NONE, 0, 8);
    emit32(e, unusual);
    out_if(&p, CC_NE);
    out_unless_descriptor(&p, MEMO(gate_out, cs_offset), MEMO(gate_out, code));
    out_unless_descriptor(&p, MEMO(gate_out, ss_offset), MEMO(gate_out, stack));
    out_unless_kept(&p, SEG_ES);
    out_unless_kept(&p, SEG_FS);
    out_unless_kept(&p, SEG_GS);
    out_unless_kept(&p, SEG_DS);

    set_segment(e, SEG_CS, MEMO(gate_out, cs));
    set_segment(e, SEG_SS, MEMO(gate_out, stack_segment));
    emit_load(e, 4, RAX, R8, 8);
    emit_move(e, 4, RDX, RAX);
    emit_alu_imm(e, 4, ALU_AND, RDX, (int32_t)taken);
    emit_alu_imm(e, 4, ALU_OR, RDX, FLAG_ONE);
    emit_store(e, 4, RDX, R15, CPU(eflags));
    emit_move(e, 4, RDX, RAX);
    emit_shift_imm(e, 4, SHIFT_SHR, RDX, 11);
    emit_alu_imm(e, 4, ALU_AND, RDX, 1);
    emit_rr(e, 1, 0x8a, 4, RAX);   /* mov ah, al */
    emit_rr(e, 1, 0x8a, RAX, RDX); /* mov al, dl */
    emit_store(e, 4, RAX, R15, CPU(jit_flags));
    emit_load(e, 4, R12, R8, 12);
    emit_load(e, 4, R8, R8, 0);
    switch_level(jit, e, false);
    switch_stack(jit, e, false);
    leave_to_eip(&p, jit);
    end_piece(&p, jit);
}

void gate_emit_runtime(struct jit *jit)
{
    struct emit e = {jit->at};

    jit->sysenter = e.at;
    make_system_call(jit, &e, true);
    jit->sysexit = e.at;
    make_system_call(jit, &e, false);
    jit->int_user = e.at;
    make_int(jit, &e);
    jit->iret_user = e.at;
    make_iret(jit, &e);
    jit->at = e.at;
}

/* ---- in a block ---- */

static bool emit_to_piece(struct translation *t, const uint8_t *piece)
{
    struct emit *e = &t->e;

    emit_imm32(e, R9, (uint32_t)((const uint8_t *)t->in - t->jit->insns));
    emit_imm32(e, R10, t->offset);
    emit_jump_to(e, piece);
    t->ended = true;
    return true;
}

bool emit_gate_instruction(struct translation *t)
{
    const struct insn *in = t->in;

    switch (in->op) {
    case INSN_sysenter:
        return emit_to_piece(t, t->jit->sysenter);
    case INSN_sysexit:
        return emit_to_piece(t, t->jit->sysexit);
    case INSN_int_ib:
        emit_imm32(&t->e, R8, (in->imm & 0xff) * 8 | t->next << GATE_NEXT_SHIFT);
        return emit_to_piece(t, t->jit->int_user);
    case INSN_iret:
        return !(in->flags & INSN_OP16) && emit_to_piece(t, t->jit->iret_user);
    default: /* not of this kind */
        return false;
    }
}
