/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The common pieces of translated code: entry, exits, places in memory out of line, calls of interpreter
 * functions, the look-up of branch targets.
 *
 * Registers in translated code: translate.h. It runs on a stack of its own (cpu->jit_stack), which holds
 * return addresses and nothing else (insn_branch.c); pieces that call C change to the C stack and back. A
 * fault in C longjmps to the run loop and so forgets both.
 *
 * While C runs, the guest's registers are in cpu->gpr and the flags, as LAHF and SETO leave them, in
 * cpu->jit_flags; live FPU state was put away (fp_spill()).
 */
#include "emu/cpu/icount.h"
#include "emu/cpu/jit/fp.h"
#include "emu/cpu/jit/translate.h"
#include "emu/cpu/jit/window.h"

#include <stddef.h>

/* ---- C's half ---- */

static void status_from_flags(struct cpu *cpu)
{
    cpu->status = (cpu->jit_flags >> 8 & 0xd5) | (cpu->jit_flags & 1) << 11;
}

void jit_status_back(struct cpu *cpu)
{
    status_from_flags(cpu);
}

static void flags_from_status(struct cpu *cpu)
{
    cpu->jit_flags = (cpu->status & 0xff) << 8 | (cpu->status >> 11 & 1);
}

static bool segment_is_plain(const struct segment *s)
{
    return s->min == 0 && s->max == 0xffffffff && s->can_read && s->can_write;
}

/* Translated code is to look up at its next backward or indirect branch; hot code at its next block. */
static void poll_stop(struct cpu *cpu)
{
    cpu->go = cpu->hot_go[0] = cpu->hot_go[1] = 0;
}

/* Nothing was pending: what translated code asks about that says so, unless another thread is quicker. Its
 * request comes before its zeros: what was written over them here is taken back. */
static void poll_update(struct cpu *cpu)
{
    const struct window *window = cpu->jit->window;
    uint64_t hot[2] = {0, 0};

    for (unsigned i = 0; i < 2 && window && !cpu->align_check; i++)
        hot[i] = *window_on(window, i);
    if (cpu->go && cpu->hot_go[0] == hot[0] && cpu->hot_go[1] == hot[1])
        return;
    __atomic_store_n(&cpu->go, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&cpu->hot_go[0], hot[0], __ATOMIC_SEQ_CST);
    __atomic_store_n(&cpu->hot_go[1], hot[1], __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST))
        poll_stop(cpu);
}

static void note_segments(struct cpu *cpu)
{
    cpu->jit_plain[0] = segment_is_plain(&cpu->seg[SEG_FS]);
    cpu->jit_plain[1] = segment_is_plain(&cpu->seg[SEG_GS]);
}

/* The same for code that is not flat, where limits are looked at each time. */
static void note_all_segments(struct cpu *cpu)
{
    for (unsigned i = 0; i < SEG_COUNT; i++)
        cpu->jit_open[i] = cpu->seg[i].min == 0 && cpu->seg[i].can_read && cpu->seg[i].can_write;
    note_segments(cpu);
}

void jit_forget_returns(struct jit *jit, struct cpu *cpu)
{
    jit->generation = flat_generation(cpu->flat);
    jit->cpl = cpu->cpl;
    cpu->jit_stack = cpu->jit_stack_top = jit->stack_top[cpu->cpl == 3];
    cpu->jit_stack_user = jit->stack_top[1];
}

/* Translated code is about to be entered, in the mode BLOCK_MODE_FLAT and with nothing pending. */
void jit_prepare(struct cpu *cpu, bool flat)
{
    struct jit *jit = cpu->jit;
    unsigned table;

    poll_update(cpu);
    if (flat)
        note_segments(cpu);
    else
        note_all_segments(cpu);
    flags_from_status(cpu);
    table = cpu->align_check ? TLB_EMPTY : cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR;
    cpu->jit_tables = (uint8_t *)flat_region(cpu->flat, table) + FLAT_BIAS;
    if (jit->window) {
        unsigned window = cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR;

        window_enter(jit->window, window);
    }
    if (jit->generation != flat_generation(cpu->flat) || jit->cpl != cpu->cpl)
        jit_forget_returns(jit, cpu);
}

/* FS or GS, and does not end a decoded block. */
static bool changes_segments(const struct insn *in)
{
    switch (in->op) {
    case INSN_pop_fs:
    case INSN_pop_gs:
    case INSN_lfs:
    case INSN_lgs:
        return true;
    default: /* one of many instructions */
        return false;
    }
}

/* Runs an instruction as the interpreter would. False: its block is not to be gone on with. */
static bool run_instruction(struct cpu *cpu, uint32_t insn, uint32_t offset)
{
    struct jit *jit = cpu->jit;
    const struct insn *in = (const struct insn *)(const void *)(jit->insns + insn);

    jit->runs[in->op]++;
    status_from_flags(cpu);
    cpu->insn_eip = cpu->jit_page + offset;
    cpu->eip = cpu->insn_eip + in->length;
    in->run(cpu, in);
    flags_from_status(cpu);
    if (cpu->events)
        poll_stop(cpu);
    if (changes_segments(in))
        note_all_segments(cpu);
    if (!cpu->block_stale && jit->generation == flat_generation(cpu->flat))
        return true;
    if (jit->icount)
        icount_settle(cpu, cpu->insn_eip + 1);
    return false;
}

/* The last of its block: where to go on, or NULL. */
static const uint8_t *run_last_instruction(struct cpu *cpu, uint32_t insn, uint32_t offset)
{
    run_instruction(cpu, insn, offset);
    return jit_continue(cpu);
}

/* After an instruction in the middle of its block, which is not gone on with. */
static const uint8_t *continue_behind(struct cpu *cpu)
{
    if (cpu->jit->icount)
        icount_settle(cpu, cpu->insn_eip + 1);
    return jit_continue(cpu);
}

static uintptr_t find_place(struct cpu *cpu, uint32_t linear, unsigned size, unsigned write, bool dense)
{
    cpu->jit->fills++;
    return flat_fill(cpu, linear, size, write, dense);
}

/* ---- registers ---- */

static void save_flags(struct emit *e)
{
    emit_store(e, 4, RAX, R15, EAX * 4);
    emit8(e, 0x9f);                /* lahf */
    emit_rr(e, 1, 0x0f90, 0, RAX); /* seto al */
    emit_store(e, 4, RAX, R15, CPU(jit_flags));
}

static void load_flags(struct emit *e)
{
    emit_load(e, 4, RAX, R15, CPU(jit_flags));
    emit8(e, 0x04); /* add al, 0x7f: OF */
    emit8(e, 0x7f);
    emit8(e, 0x9e); /* sahf */
    emit_load(e, 4, RAX, R15, EAX * 4);
}

static void save_others(struct emit *e)
{
    for (int i = ECX; i < 8; i++)
        emit_store(e, 4, host_of((unsigned)i), R15, i * 4);
}

static void load_all(struct emit *e)
{
    for (int i = ECX; i < 8; i++)
        emit_load(e, 4, host_of((unsigned)i), R15, i * 4);
    emit_load(e, 8, R14, R15, CPU(jit_tables));
    load_flags(e);
}

/* What C does not keep of the guest's, for functions that look at none of it. */
static const uint8_t clobbered[] = {ECX, EDX, ESI, EDI};

static void save_clobbered(struct emit *e)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(clobbered); i++)
        emit_store(e, 4, host_of(clobbered[i]), R15, clobbered[i] * 4);
}

static void load_clobbered(struct emit *e)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(clobbered); i++)
        emit_load(e, 4, host_of(clobbered[i]), R15, clobbered[i] * 4);
    load_flags(e);
}

static void emit_call_c(struct emit *e, uintptr_t function)
{
    emit_move(e, 8, RDI, R15);
    emit_imm64(e, RAX, function);
    emit_rr(e, 4, 0xff, 2, RAX);
}

/* To the C stack, and no FPU state is live any more; rdi and rax are used, registers are saved. */
static void emit_to_c(struct emit *e)
{
    uint8_t *none;

    emit_store(e, 8, RSP, R15, CPU(jit_stack));
    emit_load(e, 8, RSP, R15, CPU(jit_c_stack));
    emit_rm(e, 4, 0x83, ALU_CMP, R15, EMIT_NONE, 0, CPU(fp_live));
    emit8(e, 0);
    none = emit_jump_if(e, CC_E);
    for (int reg = R8; reg <= R10; reg++)
        emit_push_host(e, reg);
    emit_push_host(e, RSI);
    emit_call_c(e, (uintptr_t)fp_spill);
    emit_pop_host(e, RSI);
    for (int reg = R10; reg >= R8; reg--)
        emit_pop_host(e, reg);
    emit_fill(none, e->at);
}

/* ---- entering and leaving ---- */

static const int8_t saved[] = {RBX, RBP, R12, R13, R14, R15};

static void emit_enter(struct emit *e)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(saved); i++)
        emit_push_host(e, saved[i]);
    emit_alu_imm(e, 8, ALU_SUB, RSP, 8);
    emit_move(e, 8, R15, RDI);
    emit_move(e, 8, R10, RSI);
    emit_store(e, 8, RSP, R15, CPU(jit_c_stack));
    emit_load(e, 8, RSP, R15, CPU(jit_stack));
    emit_imm32(e, R13, JIT_MASK_4);
    load_all(e);
    emit_load(e, 4, R8, R15, CPU(eip));
    emit_rr(e, 4, 0xff, 4, R10);
}

/* On the C stack: back to jit_enter() with what is in eax. */
static void emit_leave(struct emit *e)
{
    emit_alu_imm(e, 8, ALU_ADD, RSP, 8);
    for (unsigned i = G_N_ELEMENTS(saved); i-- > 0;)
        emit_pop_host(e, saved[i]);
    emit8(e, 0xc3);
}

void emit_look_up(const struct jit *jit, struct emit *e)
{
    uint8_t *hit;

    emit_page_index(e, jit, R9, R8);
    emit_rm(e, 4, EMIT_LOAD, RCX, R14, R9, 2, TABLE(FLAT_EXEC));
    emit_rr(e, 4, 0x0fb7, R9, R8); /* movzx r9d, r8w */
    emit_rm(e, 4, EMIT_LOAD, R10, R14, R9, 3, TABLE(FLAT_CACHE + offsetof(struct flat_cached, page)));
    emit_rm(e, 4, EMIT_LEA, RCX, RCX, R10, 0, 1);
    emit_rm(e, 4, EMIT_LOAD, R10, R14, R9, 3, TABLE(FLAT_CACHE + offsetof(struct flat_cached, code)));
    hit = emit_jump_if_zero(e);
    emit_jump_to(e, jit->find_eip);
    emit_fill_short(hit, e->at);
    emit_rr(e, 4, 0xff, 4, R10);
}

static void emit_exits(struct jit *jit, struct emit *e)
{
    static const uint8_t kept[] = {EBX, ESP, EBP}; /* by C */
    uint8_t *none;

    jit->leave_offset = e->at;
    emit_imm32(e, R9, 0);
    jit->leave_link = e->at;
    emit_load(e, 4, R10, R15, CPU(jit_page));
    emit_rm(e, 4, EMIT_LEA, R8, R8, R10, 0, 0);
    jit->leave_eip = e->at;
    emit_store(e, 4, R8, R15, CPU(eip));
    save_flags(e);
    save_others(e);
    emit_to_c(e);
    emit_move(e, 4, RAX, R9);
    emit_leave(e);

    jit->find_eip = e->at;
    emit_store(e, 4, R8, R15, CPU(eip));
    save_flags(e);
    save_clobbered(e);
    emit_to_c(e);
    emit_call_c(e, (uintptr_t)jit_find_eip);
    emit_rr(e, 8, 0x85, RAX, RAX);
    none = emit_jump_if(e, CC_E);
    emit_move(e, 8, R10, RAX);
    emit_load(e, 8, RSP, R15, CPU(jit_stack));
    load_clobbered(e);
    emit_load(e, 4, R8, R15, CPU(eip));
    emit_rr(e, 4, 0xff, 4, R10);
    emit_fill(none, e->at);
    for (unsigned i = 0; i < G_N_ELEMENTS(kept); i++)
        emit_store(e, 4, host_of(kept[i]), R15, kept[i] * 4);
    emit_leave(e); /* eax is 0: no link */

    jit->look_up = e->at;
    emit_look_up(jit, e);
}

/* ---- calls of interpreter functions ---- */

/* On the C stack, all saved: where to go on is to be found anew. *found: with that in rax. */
static uint8_t *emit_find_next(struct emit *e, uint8_t **found)
{
    uint8_t *at = e->at, *none;

    emit_call_c(e, (uintptr_t)continue_behind);
    *found = e->at;
    emit_rr(e, 8, 0x85, RAX, RAX);
    none = emit_jump_if(e, CC_E);
    emit_move(e, 8, R10, RAX);
    emit_load(e, 8, RSP, R15, CPU(jit_stack));
    load_all(e);
    emit_load(e, 4, R8, R15, CPU(eip));
    emit_rr(e, 4, 0xff, 4, R10);
    emit_fill(none, e->at);
    emit_leave(e); /* eax is 0: no link */
    return at;
}

static void emit_runs(struct jit *jit, struct emit *e, uint8_t **slow_saved)
{
    uint8_t *found, *next = emit_find_next(e, &found), *left, *stale[2], *last;

    jit->run_last = e->at;
    save_flags(e);
    save_others(e);
    emit_to_c(e);
    emit_move(e, 4, RSI, R9);
    emit_move(e, 4, RDX, R10);
    emit_call_c(e, (uintptr_t)run_last_instruction);
    emit_jump_to(e, found);

    jit->run_one = e->at;
    save_flags(e);
    save_others(e);
    emit_to_c(e);
    emit_move(e, 4, RSI, R9);
    emit_move(e, 4, RDX, R10);
    emit_call_c(e, (uintptr_t)run_instruction);
    emit_rr(e, 1, 0x84, RAX, RAX);
    left = emit_jump_if(e, CC_E);
    emit_load(e, 8, RSP, R15, CPU(jit_stack));
    load_all(e);
    emit8(e, 0xc3);
    emit_fill(left, e->at);
    emit_rm(e, 8, 0x83, ALU_ADD, R15, EMIT_NONE, 0, CPU(jit_stack)); /* the return address */
    emit8(e, 8);
    emit_jump_to(e, next);

    /* Called out of line; behind the call are a jump of five bytes and struct jit_slow_data. */
    jit->run_direct = e->at;
    save_flags(e);
    *slow_saved = e->at;
    save_others(e);
    emit_pop_host(e, R9);
    emit_store(e, 8, R9, R15, CPU(jit_saved));
    emit_to_c(e);
    emit_load(e, 4, RSI, R9, 5 + (int32_t)offsetof(struct jit_slow_data, insn));
    emit_rm(e, 4, 0x0fb7, RDX, R9, EMIT_NONE, 0, 5 + (int32_t)offsetof(struct jit_slow_data, offset));
    emit_call_c(e, (uintptr_t)run_instruction);
    emit_rr(e, 1, 0x84, RAX, RAX);
    stale[0] = emit_jump_if(e, CC_E);
    emit_load(e, 8, R9, R15, CPU(jit_saved));
    emit_rm(e, 8, 0x63, R10, R9, EMIT_NONE, 0, 5 + (int32_t)offsetof(struct jit_slow_data, after));
    emit_rr(e, 8, 0x85, R10, R10);
    last = emit_jump_if(e, CC_E);
    emit_rm(e, 8, EMIT_LEA, R10, R10, R9, 0, 5);
    emit_load(e, 8, RSP, R15, CPU(jit_stack));
    load_all(e);
    emit_rr(e, 4, 0xff, 4, R10);
    emit_fill(stale[0], e->at);
    emit_fill(last, e->at);
    emit_jump_to(e, next);
}

/* ---- places in memory ---- */

static const uint8_t piece_bytes[PIECE_SIZES] = {
    [PIECE_1] = 1, [PIECE_2] = 2,   [PIECE_4] = 4,   [PIECE_4_SOON] = 4,
    [PIECE_8] = 8, [PIECE_10] = 10, [PIECE_16] = 16,
};

static void emit_piece(struct jit *jit, struct emit *e, bool write, unsigned piece, const uint8_t *slow_saved)
{
    unsigned size = piece_bytes[piece];
    uint8_t *miss = NULL, *crosses = NULL, *none;
    bool dense = piece == PIECE_1 || piece >= PIECE_4_SOON;

    jit->place[write][piece] = e->at;
    save_flags(e);
    if (size > 1) {
        emit_move(e, 4, R9, R8);
        emit_shift_imm(e, 4, SHIFT_SHR, R9, PHYS_PAGE_SHIFT);
        emit_shift_imm(e, 4, SHIFT_SHL, R9, dense ? 3 : 5);
        emit_rm(e, 8, EMIT_LOAD, RCX, R14, R9, 0,
                TABLE(dense   ? (write ? FLAT_WRITE1 : FLAT_READ1)
                      : write ? FLAT_WRITE4
                              : FLAT_READ4));
        emit_rr(e, 8, 0x85, RCX, RCX);
        miss = emit_jump_if(e, CC_E);
        emit_move(e, 4, R9, R8);
        emit_alu_imm(e, 4, ALU_AND, R9, PHYS_PAGE_MASK);
        emit_alu_imm(e, 4, ALU_CMP, R9, (int32_t)(PHYS_PAGE_SIZE - size));
        crosses = emit_jump_if(e, CC_A);
        load_flags(e);
        emit8(e, 0xc3);
        emit_fill(miss, e->at);
    }
    save_clobbered(e);
    emit_store(e, 8, R10, R15, CPU(jit_saved));
    emit_to_c(e);
    emit_push_host(e, R8);
    emit_push_host(e, R8);
    emit_move(e, 4, RSI, R8);
    emit_imm32(e, RDX, size);
    emit_imm32(e, RCX, write);
    emit_imm32(e, R8, dense);
    emit_call_c(e, (uintptr_t)find_place);
    emit_pop_host(e, R8);
    emit_load(e, 8, RSP, R15, CPU(jit_stack));
    emit_move(e, 8, RCX, RAX);
    emit_load(e, 8, R10, R15, CPU(jit_saved));
    load_clobbered(e);
    none = emit_jump_if_zero(e);
    emit8(e, 0xc3);
    emit_fill_short(none, e->at);
    save_flags(e);
    if (crosses)
        emit_fill(crosses, e->at);
    emit_jump_to(e, slow_saved); /* saves the others */
}

void jit_emit_runtime(struct jit *jit)
{
    struct emit emit = {jit->at}, *e = &emit;
    uint8_t *slow_saved;

    jit->enter = e->at;
    emit_enter(e);
    emit_exits(jit, e);
    emit_runs(jit, e, &slow_saved);
    for (unsigned write = 0; write < 2; write++)
        for (unsigned piece = 0; piece < PIECE_SIZES; piece++)
            emit_piece(jit, e, write, piece, slow_saved);
    jit->at = e->at;
    fp_emit_runtime(jit);
    system_emit_runtime(jit);
    gate_emit_runtime(jit);
    for (unsigned i = 0; i < 2; i++)
        *(uint64_t *)(void *)jit->stack_top[i] = (uintptr_t)jit_executable(jit, jit->at);
    e->at = jit->at;
    /* A return with no call known: the stack begins anew. */
    emit_load(e, 8, RSP, R15, CPU(jit_stack_top));
    emit_jump_to(e, jit->look_up);
    jit->at = e->at;
}
