/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * From a decoded block to host code. Only 32-bit code in flat segments (BLOCK_MODE_FLAT) is translated.
 *
 * Registers: EAX ECX EDX EBX EBP ESI EDI in the host's of the same name, ESP in r12; r15 = struct cpu, r14 =
 * the TLB table for data; r13 = the guest's status flags as LAHF and SETO leave them in AX, when they are
 * kept there; r8…r11 scratch. Upper halves of the guest's registers are zero.
 *
 * Flags are in the host's flags register, in r13, or in both; in_host and in_r13 say so at each point. They
 * are carried over what destroys the host's (a look into the TLB) only when something reads them before they
 * are overwritten: liveness, backwards, over the rows' columns, all alive at the end of the block. A block is
 * entered with the flags in r13, if it reads them at all. So at a fault or an interrupt those status flags
 * that the code does not read again may be older ones.
 *
 * Every instruction is either emitted, its memory operand's fast path inline, or is a call of its interpreter
 * function with the state written back. What is not the fast path jumps out of line to just such a call:
 * until then nothing of the instruction has been done. So faults, devices, code pages, breakpoints and
 * alignment checks are the interpreter's business, and EIP is exact whenever it is looked at.
 *
 * Exits: direct branches within the page can be linked (cache.c); other direct branches and indirect ones go
 * through the look-up. Links from behind go to the entry that looks at exit_request and events.
 */
#include "emu/cpu/jit/translate.h"

#include "emu/cpu/jit/debug.h"

/* ---- flags ---- */

void flags_to_r13(struct translation *t)
{
    struct emit *e = &t->e;

    if (t->in_r13)
        return;
    emit_move(e, 4, R10, RAX);
    emit8(e, 0x9f);                /* lahf */
    emit_rr(e, 1, 0x0f90, 0, RAX); /* seto al */
    emit_move(e, 4, R13, RAX);
    emit_move(e, 4, RAX, R10);
    t->in_r13 = true;
}

static void emit_restore(struct emit *e)
{
    emit_move(e, 4, R10, RAX);
    emit_move(e, 4, RAX, R13);
    emit8(e, 0x04); /* add al, 0x7f: OF */
    emit8(e, 0x7f);
    emit8(e, 0x9e); /* sahf */
    emit_move(e, 4, RAX, R10);
}

void flags_to_host(struct translation *t)
{
    if (t->in_host)
        return;
    emit_restore(&t->e);
    t->in_host = true;
}

void flags_lose(struct translation *t)
{
    if (t->live_before)
        flags_to_r13(t);
    t->in_host = false;
}

void flags_need(struct translation *t)
{
    if (t->reads || (t->touches && (t->live_after & ~t->kills)))
        flags_to_host(t);
}

void flags_done(struct translation *t)
{
    if (t->touches) {
        t->in_host = true;
        t->in_r13 = false;
    }
}

/* ---- memory ---- */

struct slow *slow_here(struct translation *t)
{
    struct slow *s;

    if (t->slows && t->slow[t->slows - 1].in == t->in)
        return &t->slow[t->slows - 1];
    s = &t->slow[t->slows++];
    *s = (struct slow){.in = t->in, .offset = t->offset};
    return s;
}

static void slow_if(struct translation *t, unsigned condition)
{
    struct slow *s = slow_here(t);

    s->jump[s->jumps++] = emit_jump_if(&t->e, condition);
}

/* r8d: linear address */
static void emit_tlb(struct translation *t, unsigned size, bool write)
{
    struct emit *e = &t->e;

    emit_move(e, 4, R9, R8);
    emit_shift_imm(e, 4, SHIFT_SHR, R9, TLB_SLOT_SHIFT);
    emit_alu_imm(e, 4, ALU_AND, R9, TLB_SLOT_MASK);
    emit_lea(e, 4, R10, R8, (int32_t)size - 1);
    emit_alu_imm(e, 4, ALU_AND, R10, -4096);
    emit_rm(e, 4, 0x3b, R10, R14, R9, 0,
            write ? (int32_t)offsetof(struct tlb_entry, write) : (int32_t)offsetof(struct tlb_entry, read));
    slow_if(t, CC_NE);
    emit_rm(e, 8, EMIT_LOAD, R9, R14, R9, 0, offsetof(struct tlb_entry, addend));
}

/* The offset in r8d within a segment that is not flat. */
static void emit_segment(struct translation *t, unsigned seg, unsigned size, bool write)
{
    struct emit *e = &t->e;
    int32_t at = CPU(seg) + (int32_t)(seg * sizeof(struct segment));

    emit_rm(e, 1, 0x80, ALU_CMP, R15, EMIT_NONE, 0,
            at + (write ? (int32_t)offsetof(struct segment, can_write)
                        : (int32_t)offsetof(struct segment, can_read)));
    emit8(e, 0);
    slow_if(t, CC_E);
    emit_rm(e, 4, 0x3b, R8, R15, EMIT_NONE, 0, at + (int32_t)offsetof(struct segment, min));
    slow_if(t, CC_B);
    emit_load(e, 4, R9, R15, at + (int32_t)offsetof(struct segment, max));
    emit_lea(e, 8, R10, R8, (int32_t)size - 1);
    emit_rr(e, 8, 0x3b, R10, R9);
    slow_if(t, CC_A);
    emit_rm(e, 4, 0x03, R8, R15, EMIT_NONE, 0, at + (int32_t)offsetof(struct segment, base));
}

void emit_operand_place(struct translation *t, unsigned size, bool write)
{
    const struct insn *in = t->in;
    int base = in->base == GPR_ZERO ? EMIT_NONE : host_of(in->base);
    int index = in->index == GPR_ZERO ? EMIT_NONE : host_of(in->index);

    if (base == EMIT_NONE && index == EMIT_NONE)
        emit_imm32(&t->e, R8, in->disp);
    else
        emit_rm(&t->e, 4, EMIT_LEA, R8, base, index, in->scale, (int32_t)in->disp);
    if (in->seg == SEG_FS || in->seg == SEG_GS)
        emit_segment(t, in->seg, size, write);
    emit_tlb(t, size, write);
}

void emit_stack_place(struct translation *t, bool write)
{
    emit_tlb(t, 4, write);
}

/* ---- leaving ---- */

void emit_direct(struct translation *t, uint8_t *jump, int32_t target)
{
    t->exits[t->exit_count++] = (struct exit){jump, target, t->offset, t->in_r13};
}

void emit_indirect(struct translation *t)
{
    emit_jump_to(&t->e, t->jit->look_up);
    t->ended = true;
}

static void emit_slow_paths(struct translation *t)
{
    struct emit *e = &t->e;

    for (unsigned i = 0; i < t->slows; i++) {
        const struct slow *s = &t->slow[i];

        for (unsigned j = 0; j < s->jumps; j++)
            emit_fill(s->jump[j], e->at);
        emit_imm64(e, R9, (uintptr_t)s->in);
        emit_imm32(e, R10, s->offset);
        if (!s->resume) {
            emit_jump_to(e, t->jit->run_last);
            continue;
        }
        emit_call_to(e, t->jit->run_one);
        if (s->in_host)
            emit_restore(e);
        emit_jump_to(e, s->resume);
    }
}

static void emit_exits(struct translation *t)
{
    struct emit *e = &t->e;

    for (unsigned i = 0; i < t->exit_count; i++) {
        const struct exit *x = &t->exits[i];
        uintptr_t page = t->b->host & ~(uintptr_t)PHYS_PAGE_MASK;
        struct jit_link *link;

        emit_fill(x->jump, e->at);
        t->in_host = true;
        t->in_r13 = x->in_r13;
        if (x->target < 0 || x->target > (int32_t)PHYS_PAGE_MASK) {
            flags_to_r13(t);
            emit_load(e, 4, R8, R15, CPU(jit_page));
            emit_lea(e, 4, R8, R8, x->target);
            emit_jump_to(e, t->jit->look_up);
            continue;
        }
        link = jit_take(t->jit, sizeof(*link));
        *link = (struct jit_link){
            .site[0] = x->jump,
            .back[0] = e->at,
            .target_host = page + (uintptr_t)x->target,
            .backward = x->target <= (int32_t)x->from,
            .saved = x->in_r13,
        };
        flags_to_r13(t);
        link->site[1] = emit_jump(e);
        link->back[1] = e->at;
        emit_fill(link->site[1], e->at);
        emit_imm32(e, R8, (uint32_t)x->target);
        emit_imm64(e, R9, (uintptr_t)link);
        emit_jump_to(e, t->jit->leave_link);
    }
}

/* ---- a block ---- */

/* What changes the segments that the block takes for flat, and does not end a decoded block. */
static bool changes_segments(const struct insn *in)
{
    switch (in->op) {
    case INSN_pop_es:
    case INSN_pop_ds:
    case INSN_les:
    case INSN_lds:
        return true;
    default: /* one of many instructions */
        return false;
    }
}

static void emit_fallback(struct translation *t)
{
    struct emit *e = &t->e;
    bool last = (t->row->attr & ATTR_END) || changes_segments(t->in);

    t->jit->fallbacks[t->in->op]++;
    if (t->live_before)
        flags_to_r13(t);
    emit_imm64(e, R9, (uintptr_t)t->in);
    emit_imm32(e, R10, t->offset);
    if (last) {
        emit_jump_to(e, t->jit->run_last);
        t->ended = true;
        return;
    }
    emit_call_to(e, t->jit->run_one);
    t->in_r13 = true;
    t->in_host = false;
}

static void compute_liveness(struct translation *t)
{
    const struct block *b = t->b;

    t->live[b->count] = FLAG_STATUS;
    for (unsigned i = b->count; i-- > 0;) {
        uint32_t reads, kills;
        bool touches;

        instruction_flags(&b->insns[i], &reads, &kills, &touches);
        t->live[i] = reads | (t->live[i + 1] & ~kills);
    }
}

static void translate_one(struct translation *t, unsigned i)
{
    const uint8_t *start = t->e.at;
    unsigned slows = t->slows;
    bool emitted;

    t->in = &t->b->insns[i];
    t->row = &insn_rows[t->in->op];
    t->next = (uint32_t)(t->b->host & PHYS_PAGE_MASK) + t->in->end;
    t->offset = t->next - t->in->length;
    t->live_after = t->live[i + 1];
    t->live_before = t->live[i];
    instruction_flags(t->in, &t->reads, &t->kills, &t->touches);
    emitted = instruction_is_known(t->in) && emit_instruction(t);
    if (!emitted)
        emit_fallback(t);
    if (t->jit->debug)
        jit_debug_note(t->jit->debug, t->in, (size_t)(t->e.at - start), emitted ? "emitted" : "interpreter");
    if (t->slows > slows && !t->ended) {
        t->slow[t->slows - 1].resume = t->e.at;
        t->slow[t->slows - 1].in_host = t->in_host;
    }
}

struct jit_block *jit_translate(struct jit *jit, struct block *b)
{
    struct translation translation = {.e = {jit->at}, .jit = jit, .b = b, .in_r13 = true}, *t = &translation;
    struct jit_block *result = jit_take(jit, sizeof(*result));
    uint32_t start = (uint32_t)(b->host & PHYS_PAGE_MASK);
    uint8_t *pending;

    compute_liveness(t);
    *result = (struct jit_block){.host = b->host, .entry = t->e.at, .flags_in = t->live[0] != 0};
    emit_rm(&t->e, 8, 0x83, ALU_CMP, R15, EMIT_NONE, 0, CPU(exit_request)); /* and events behind it */
    emit8(&t->e, 0);
    pending = emit_jump_if(&t->e, CC_NE);
    result->entry_quiet = t->e.at;
    for (unsigned i = 0; i < b->count && !t->ended; i++)
        translate_one(t, i);
    if (!t->ended)
        emit_direct(t, emit_jump(&t->e), (int32_t)t->next);
    emit_slow_paths(t);
    emit_exits(t);
    emit_fill(pending, t->e.at);
    emit_imm32(&t->e, R8, start);
    emit_jump_to(&t->e, jit->leave_offset);
    jit->at = t->e.at;
    return result;
}
