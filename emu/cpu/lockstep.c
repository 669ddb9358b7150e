/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Interpreter and translator side by side on a running machine, block by block, until they differ.
 *
 * For each block that has a translation:
 *
 *   1. The state of the CPU is kept. The interpreter executes the block on approval (LOCKSTEP_TRY), one
 *      instruction after the other, with the empty TLB for data, so that each store comes by mmu.c and from
 *      there to lockstep_store(), which keeps the 64-byte line it falls into. No code is dropped.
 *   2. What the interpreter left is kept, then RAM and CPU are put back. TLB entries that were filled are
 *      dropped, so that the accessed and dirty bits are set once more.
 *   3. The translation executes (LOCKSTEP_RUN), unlinked, so that it leaves at the end of the block.
 *   4. Registers, flags, FPU, segments, pending events and the kept lines must be the same. For faults also
 *      vector, error code and CR2; the fault is raised again then, and delivered once.
 *
 * What has effects outside CPU and RAM happens once. Such instructions known by their row (I/O, TSC, MSRs,
 * control registers …) are blocks of their own (lockstep_splits()) that only the interpreter executes. For
 * the others, device memory and FERR#, both executions stop in front of the access (lockstep_effect()), where
 * they are compared; then the interpreter executes that instruction.
 *
 * The translation may leave early because a store dropped translated code elsewhere. Then the first step is
 * done again up to there. A store that misses the kept lines altogether is not noticed until something reads
 * what it overwrote.
 *
 * With options.links it is not a block but a stretch of them that is executed by both, linked and hot as it
 * would be without lockstep: lockstep_links.c.
 *
 * At a difference, everything is put back and the block is compared again with one instruction, two, … until
 * the first that differs is known; the report shows that one. cpu_run() then returns CPU_STOP_DIFFERENCE.
 *
 * A whole boot has some 10⁹ blocks, at 0.4 µs each. With `sample` each block's first executions are compared,
 * and one in a thousand later on.
 *
 * Machine thread. exit_request is held back during a comparison, and is due again after it.
 */
#include "emu/cpu/lockstep_internal.h"

#include "emu/cpu/access.h"
#include "emu/cpu/jit/jit.h"

#define LANDING_EFFECT   100
#define LANDING_TOO_MUCH LOCKSTEP_TOO_MUCH
#define UNDONE_MOST      4  /* in a row */
#define SAMPLE_BITS      10 /* one execution in so many is compared once a block has had its share */
#define PROGRESS_AFTER   (5 * G_USEC_PER_SEC)

/* ---- rows that are treated apart ---- */

/* Its effects cannot be taken back, or it changes what decoding and the TLB depend on. */
static bool row_has_effects(unsigned op)
{
    switch (op) {
    case INSN_rdtsc:
    case INSN_rdpmc:
    case INSN_rdmsr:
    case INSN_wrmsr:
    case INSN_mov_cr_r:
    case INSN_mov_dr_r:
    case INSN_mov_r_dr:
    case INSN_lmsw:
    case INSN_invlpg:
    case INSN_invd:
    case INSN_wbinvd:
    case INSN_hlt:
    case INSN_in_al_ib:
    case INSN_in_eax_ib:
    case INSN_in_al_dx:
    case INSN_in_eax_dx:
    case INSN_out_ib_al:
    case INSN_out_ib_eax:
    case INSN_out_dx_al:
    case INSN_out_dx_eax:
    case INSN_insb:
    case INSN_insv:
    case INSN_outsb:
    case INSN_outsv:
        return true;
    default: /* one of many instructions */
        return false;
    }
}

/* It may store by the TLB of another privilege than the present: descriptors, TSS, stacks. */
static bool row_stores_as_system(unsigned op)
{
    const struct insn_row *row = &insn_rows[op];

    if ((row->attr & (ATTR_END | ATTR_BRANCH)) == ATTR_END || (row->attr & (ATTR_PRIV | ATTR_NO_V86)))
        return true;
    return op == INSN_pop_fs || op == INSN_pop_gs || op == INSN_lfs || op == INSN_lgs;
}

bool lockstep_has_effects(const struct block *b)
{
    return row_has_effects(b->insns[0].op);
}

bool lockstep_splits(const struct lockstep *l, const struct block *b, const struct insn *in)
{
    return b->count && (row_has_effects(in->op) || row_has_effects(b->insns[0].op) ||
                        (l->options.insns && b->count >= l->options.insns));
}

/* ---- what mmu.c and devices tell ---- */

static void line_keep(struct cpu *cpu, struct lockstep *l, uint64_t at)
{
    struct lockstep_line *line;

    for (unsigned i = l->line_count; i-- > 0 && i + 8 > l->line_count;)
        if (l->lines[i].at == at)
            return;
    if (l->line_count == LOCKSTEP_LINES)
        longjmp(cpu->fault_exit, LANDING_TOO_MUCH);
    line = &l->lines[l->line_count++];
    line->at = at;
    memcpy(line->before, physmap_ram(cpu->board.mem) + at, LOCKSTEP_LINE);
}

bool lockstep_store(struct cpu *cpu, uint64_t ram_offset, unsigned size)
{
    struct lockstep *l = cpu->lockstep;
    uintptr_t host = (uintptr_t)physmap_ram(cpu->board.mem) + ram_offset;
    bool walks = l->walks;

    l->walks = false;
    if (l->phase != LOCKSTEP_TRY)
        return false;
    for (uint64_t at = ram_offset & ~(uint64_t)(LOCKSTEP_LINE - 1); at < ram_offset + size && !l->lines_fixed;
         at += LOCKSTEP_LINE)
        line_keep(cpu, l, at);
    if (l->options.links ? block_leaves_for(cpu, ram_offset, size, walks ? NULL : l->stretch.running)
                         : host < l->block->host + l->block->bytes && l->block->host < host + size)
        l->overwritten = true;
    return true;
}

void lockstep_walk_stores(struct lockstep *l)
{
    l->walks = true;
}

bool lockstep_is_trying(const struct lockstep *l)
{
    return l->phase == LOCKSTEP_TRY;
}

void lockstep_filled(struct cpu *cpu, uint32_t linear)
{
    struct lockstep *l = cpu->lockstep;

    if (l->phase != LOCKSTEP_TRY)
        return;
    if (l->fill_count < LOCKSTEP_FILLS)
        l->fills[l->fill_count++] = linear;
    else
        l->fills_lost = true;
}

void lockstep_effect(struct cpu *cpu)
{
    if (cpu->lockstep->phase != LOCKSTEP_OFF)
        longjmp(cpu->fault_exit, LANDING_EFFECT);
}

/* ---- keeping and putting back ---- */

#define BEFORE_REQUEST offsetof(struct cpu, exit_request)
#define BEHIND_REQUEST (offsetof(struct cpu, exit_request) + sizeof(int))

static void state_keep(const struct cpu *cpu, struct lockstep_state *state)
{
    memcpy(state->bytes, cpu, sizeof(state->bytes));
}

/* All but exit_request, which belongs to other threads. */
static void state_put_back(struct cpu *cpu, const struct lockstep_state *state)
{
    memcpy(cpu, state->bytes, BEFORE_REQUEST);
    memcpy((uint8_t *)cpu + BEHIND_REQUEST, state->bytes + BEHIND_REQUEST,
           sizeof(state->bytes) - BEHIND_REQUEST);
}

static void lines_put_back(struct cpu *cpu, const struct lockstep *l)
{
    uint8_t *ram = physmap_ram(cpu->board.mem);

    for (unsigned i = l->line_count; i-- > 0;)
        memcpy(ram + l->lines[i].at, l->lines[i].before, LOCKSTEP_LINE);
}

static void lines_note_after(struct cpu *cpu, struct lockstep *l)
{
    const uint8_t *ram = physmap_ram(cpu->board.mem);

    for (unsigned i = 0; i < l->line_count; i++)
        memcpy(l->lines[i].after, ram + l->lines[i].at, LOCKSTEP_LINE);
}

static void fills_drop(struct cpu *cpu, struct lockstep *l)
{
    if (l->fills_lost)
        mmu_flush(cpu, true);
    for (unsigned i = 0; i < l->fill_count && !l->fills_lost; i++)
        mmu_flush_page(cpu, l->fills[i]);
    l->fill_count = 0;
    l->fills_lost = false;
}

/* ---- the two executions ---- */

static void landed(const struct cpu *cpu, int landing, struct lockstep_outcome *out)
{
    out->at = cpu->insn_eip;
    if (landing == CPU_LANDING_FAULT) {
        out->end = LOCKSTEP_FAULT;
        out->vector = cpu->fault_vector;
        out->error = cpu->fault_error;
    } else {
        out->end = landing == LANDING_EFFECT     ? LOCKSTEP_EFFECT
                   : landing == LANDING_TOO_MUCH ? LOCKSTEP_REFUSED
                                                 : LOCKSTEP_RESTART;
    }
}

static void hide_write_tags(struct cpu *cpu)
{
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++)
        for (unsigned log = 0; log < 2; log++)
            for (unsigned i = 0; i < cpu->tlb_logged[table][log]; i++)
                cpu->tlb[table][cpu->tlb_log[table][log][i]].write = TLB_NONE;
}

bool __attribute__((noinline))
lockstep_interpret_block(struct cpu *cpu, struct lockstep *l, const struct block *b, uint64_t until)
{
    struct lockstep_stretch *s = &l->stretch;
    uint32_t eip = cpu->eip;

    s->running = b;
    for (unsigned i = 0; i < b->count; i++) {
        const struct insn *in = &b->insns[i];
        uint32_t next = eip + in->end;

        if (row_stores_as_system(in->op))
            hide_write_tags(cpu);
        cpu->tlb_data = cpu->tlb[TLB_EMPTY];
        cpu->insn_eip = next - in->length;
        cpu->eip = next;
        l->tried_insns++;
        in->run(cpu, in);
        if (s->goal && cpu->eip == s->goal_eip && lockstep_states_agree(s->goal, cpu)) {
            s->at_goal = true;
            return false;
        }
        if (l->overwritten || cpu->block_stale || cpu->eip == until)
            return false;
        if (cpu->eip != next)
            return i + 1 == b->count;
    }
    return true;
}

/* The interpreter, up to the instruction at `until`. */
static void __attribute__((noinline)) interpret(struct cpu *cpu, struct lockstep *l, uint32_t until)
{
    if (l->options.links)
        lockstep_interpret_stretch(cpu, l);
    else
        lockstep_interpret_block(cpu, l, l->block, until);
}

/* Leaves RAM as it made it, and in `tried` and `expected` how it ended. */
static void try_interpreter(struct cpu *cpu, struct lockstep *l, uint32_t until)
{
    int landing;

    l->overwritten = false;
    l->tried_insns = 0;
    l->expected = (struct lockstep_outcome){0};
    l->phase = LOCKSTEP_TRY;
    landing = setjmp(cpu->fault_exit);
    if (!landing) {
        interpret(cpu, l, until);
        l->expected.at = cpu->eip;
    } else {
        landed(cpu, landing, &l->expected);
    }
    l->phase = LOCKSTEP_OFF;
    cpu->tlb_data = l->start_tlb;
    cpu->block_stale = false;
    state_keep(cpu, &l->tried);
}

static void run_translation(struct cpu *cpu, struct lockstep *l, struct block *b)
{
    int landing;

    l->actual = (struct lockstep_outcome){0};
    l->phase = LOCKSTEP_RUN;
    landing = setjmp(cpu->fault_exit);
    if (!landing) {
        if (!(l->options.links ? lockstep_run_stretch(cpu, l, b) : jit_enter(cpu, b)))
            l->actual.end = LOCKSTEP_REFUSED;
        l->actual.at = cpu->eip;
    } else {
        landed(cpu, landing, &l->actual);
    }
    l->phase = LOCKSTEP_OFF;
}

/* Falsifies what the translator left, in a way that depends on the number. */
static void plant(struct cpu *cpu, struct lockstep *l)
{
    switch (l->options.plant % 4) {
    case 0:
        cpu->gpr[EBX] ^= 0x40;
        break;
    case 1:
        cpu->status ^= FLAG_ZF;
        break;
    case 2:
        cpu->fpu.xmm[3].u32[1] ^= 1;
        break;
    default:
        if (l->line_count)
            physmap_ram(cpu->board.mem)[l->lines[0].at + 5] ^= 0x20;
        else
            cpu->gpr[ESP] += 4;
        break;
    }
}

/* ---- comparing ---- */

enum verdict {
    AGREED,
    DIFFERED,
    DISTURBED, /* somebody asked the CPU to stop meanwhile: nothing follows from a difference */
    UNDONE,    /* nothing was executed: see nothing_done() */
    REFUSED,
    UNCOMPARED, /* a stretch that has no end, or stores too much */
};

static void lines_note_ran(struct cpu *cpu, struct lockstep *l)
{
    const uint8_t *ram = physmap_ram(cpu->board.mem);

    for (unsigned i = 0; i < l->line_count; i++)
        memcpy(l->lines[i].ran, ram + l->lines[i].at, LOCKSTEP_LINE);
}

static bool line_agrees(const struct lockstep *l, const struct lockstep_line *line)
{
    bool agrees = !memcmp(line->after, line->ran, LOCKSTEP_LINE);

    if (agrees || !l->options.links)
        return agrees;
    /* Hot code has pages mapped that it may not come to, a faulting access's other one for instance: accessed
     * bits may be set early (SDM vol. 3, 4.8). Nothing else. */
    for (unsigned i = 0; i < LOCKSTEP_LINE; i++)
        if (line->after[i] != line->ran[i] && (i % 4 || line->ran[i] != (line->after[i] | 0x20)))
            return false;
    return true;
}

static bool lines_agree(const struct lockstep *l)
{
    for (unsigned i = 0; i < l->line_count; i++)
        if (!line_agrees(l, &l->lines[i]))
            return false;
    return true;
}

static bool outcomes_agree(const struct lockstep *l)
{
    return l->actual.end == l->expected.end && l->actual.at == l->expected.at &&
           l->actual.vector == l->expected.vector && l->actual.error == l->expected.error &&
           lockstep_states_agree(lockstep_cpu(&l->tried), lockstep_cpu(&l->ran)) && lines_agree(l);
}

static void all_put_back(struct cpu *cpu, struct lockstep *l)
{
    lines_put_back(cpu, l);
    state_put_back(cpu, &l->start);
    cpu->tlb_data = l->start_tlb;
    cpu->block_stale = false;
}

/* The translation left within the block: the interpreter once more, as far as that. */
static void try_again_until(struct cpu *cpu, struct lockstep *l, uint32_t until)
{
    all_put_back(cpu, l);
    mmu_flush(cpu, true); /* what the translation filled counted on the bits that it set */
    l->lines_fixed = true;
    try_interpreter(cpu, l, until);
    l->lines_fixed = false;
    lines_note_after(cpu, l);
    l->reruns++;
}

/* A line may be kept again: line_keep() looks at the latest ones only. */
static bool line_is_first(const struct lockstep *l, unsigned number)
{
    for (unsigned i = 0; i < number; i++)
        if (l->lines[i].at == l->lines[number].at)
            return false;
    return true;
}

/* The translation may leave before it began: to be translated better, or to leave an unmasked FPU exception
 * to the interpreter. Next time it does more. */
static bool nothing_done(struct cpu *cpu, const struct lockstep *l)
{
    const uint8_t *ram = physmap_ram(cpu->board.mem);

    if (l->actual.end != LOCKSTEP_DONE || l->actual.at != l->eip ||
        !lockstep_states_agree(lockstep_cpu(&l->start), cpu))
        return false;
    for (unsigned i = 0; i < l->line_count; i++)
        if (line_is_first(l, i) && memcmp(l->lines[i].before, ram + l->lines[i].at, LOCKSTEP_LINE))
            return false;
    return true;
}

/* Both, from the state that is kept in `start`. What they left is in `tried`, `ran` and the lines; CPU and
 * RAM are as one of them left them. */
static enum verdict compare_once(struct cpu *cpu, struct lockstep *l, struct block *b)
{
    uint32_t generation = cpu->blocks->generation;
    bool stale;

    l->block = b;
    l->host = b->host;
    l->generation = generation;
    l->line_count = 0;
    try_interpreter(cpu, l, l->eip); /* no instruction ends at the block's start */
    lines_note_after(cpu, l);
    lines_put_back(cpu, l);
    state_put_back(cpu, &l->start);
    fills_drop(cpu, l);
    if (l->expected.end == LOCKSTEP_REFUSED)
        return REFUSED;
    run_translation(cpu, l, b);
    if (l->actual.end == LOCKSTEP_REFUSED)
        return REFUSED;
    if (generation != cpu->blocks->generation && l->actual.at == l->eip)
        return UNDONE;
    if (l->options.plant && l->compared >= l->options.plant)
        plant(cpu, l);
    state_keep(cpu, &l->ran);
    lines_note_ran(cpu, l);
    if (outcomes_agree(l))
        return AGREED;
    if (nothing_done(cpu, l) && ++l->undone < UNDONE_MOST)
        return UNDONE;
    if (__atomic_load_n(&cpu->exit_request, __ATOMIC_ACQUIRE))
        return DISTURBED;
    /* The instructions of `b` stay readable, even if it is dropped. */
    if (l->actual.end == LOCKSTEP_DONE && l->actual.at - l->eip - 1 < b->bytes - 1u &&
        (l->actual.at != l->expected.at || l->expected.end != LOCKSTEP_DONE)) {
        stale = cpu->block_stale;
        try_again_until(cpu, l, l->actual.at);
        cpu->block_stale = stale;
        if (outcomes_agree(l))
            return AGREED;
    }
    return DIFFERED;
}

/* Puts everything back after the interpreter's stretch, and lets the translation leave where that ended.
 * NULL: the cache of blocks was emptied meanwhile. */
static struct block *prepare_stretch(struct cpu *cpu, struct lockstep *l, struct block *b)
{
    struct lockstep_stretch *s = &l->stretch;

    lines_note_after(cpu, l);
    lines_put_back(cpu, l);
    state_put_back(cpu, &l->start);
    fills_drop(cpu, l);
    for (unsigned i = 0; i < s->dirty_count && !s->flushed; i++)
        block_drop_at(cpu, s->dirty[i]);
    if (!s->flushed && s->stops && s->stop_host)
        block_drop_at(cpu, s->stop_host);
    if (!s->flushed && !b->host)
        b = block_find(cpu, block_mode(cpu)); /* it is where it was: this cannot fault */
    cpu->block_stale = false;
    return l->generation == cpu->blocks->generation ? b : NULL;
}

/* RAM was put back, or changed, without a word to the cache of blocks: those it no longer holds are dropped.
 */
static void lines_drop_code(struct cpu *cpu, const struct lockstep *l)
{
    for (unsigned i = 0; i < l->line_count; i++)
        if (memcmp(l->lines[i].before, l->lines[i].ran, LOCKSTEP_LINE))
            block_invalidate(cpu, l->lines[i].at, LOCKSTEP_LINE);
}

/* The translation left within the stretch: the interpreter once more, to the same state. */
static bool stretch_again(struct cpu *cpu, struct lockstep *l)
{
    bool stale = cpu->block_stale;

    all_put_back(cpu, l);
    mmu_flush(cpu, true);
    lines_drop_code(cpu, l);
    cpu->block_stale = false;
    l->stretch.goal = lockstep_cpu(&l->ran);
    l->stretch.goal_eip = l->actual.at;
    l->stretch.most = l->stretch.blocks + 1;
    l->lines_fixed = true;
    try_interpreter(cpu, l, l->eip);
    l->lines_fixed = false;
    l->stretch.goal = NULL;
    lines_note_after(cpu, l);
    lines_drop_code(cpu, l);
    l->reruns++;
    if (!l->stretch.at_goal)
        return false;
    cpu->block_stale = stale;
    return outcomes_agree(l);
}

/* As compare_once(), for a stretch of blocks. */
static enum verdict compare_stretch(struct cpu *cpu, struct lockstep *l, struct block **first)
{
    struct block *b = *first;

    l->block = b;
    l->host = b->host;
    l->generation = cpu->blocks->generation;
    l->random = l->random * 6364136223846793005u + 1442695040888963407u;
    l->stretch.wanted = 1 + (unsigned)(l->random >> 33) % l->options.links;
    l->line_count = 0;
    try_interpreter(cpu, l, 0);
    if (l->stretch.cut && l->stretch.fresh && !(l->random >> 32 & 1)) {
        /* A long loop: half of the time as far as it was new. */
        l->stretch.wanted = l->stretch.fresh;
        all_put_back(cpu, l);
        fills_drop(cpu, l);
        l->line_count = 0;
        try_interpreter(cpu, l, 0);
    }
    b = prepare_stretch(cpu, l, b);
    if (!b)
        return UNDONE;
    *first = b;
    if (l->expected.end == LOCKSTEP_REFUSED || l->stretch.cut)
        return UNCOMPARED;
    l->block = b;
    run_translation(cpu, l, b);
    if (l->actual.end == LOCKSTEP_REFUSED)
        return REFUSED;
    if (l->options.plant && l->compared >= l->options.plant)
        plant(cpu, l);
    state_keep(cpu, &l->ran);
    lines_note_ran(cpu, l);
    if (outcomes_agree(l))
        return AGREED;
    /* Asked to stop before it began, or to leave the block to the interpreter: no reason to wonder. */
    if (nothing_done(cpu, l) && (cpu->fp_denied || __atomic_load_n(&cpu->exit_request, __ATOMIC_ACQUIRE) ||
                                 ++l->undone < UNDONE_MOST))
        return UNDONE;
    if (l->actual.end == LOCKSTEP_DONE && stretch_again(cpu, l))
        return AGREED;
    return __atomic_load_n(&cpu->exit_request, __ATOMIC_ACQUIRE) ? DISTURBED : DIFFERED;
}

/* At a difference: with more and more instructions of the block, until it differs again. */
static void pinpoint(struct cpu *cpu, struct lockstep *l, unsigned count)
{
    unsigned insns = l->options.insns;
    g_autoptr(GString) whole = g_string_new(NULL);

    lockstep_describe_difference(l, cpu, whole);
    for (unsigned n = 1; n <= count && !l->report; n++) {
        all_put_back(cpu, l);
        mmu_flush(cpu, true);
        block_cache_flush(cpu);
        cpu->block_stale = false;
        l->options.insns = n;
        l->undone = 0;
        /* with the TLB empty, and with what that made of it */
        for (unsigned warm = 0; warm < 2 && !l->report; warm++) {
            struct block *b = block_find(cpu, block_mode(cpu));

            if (!b || compare_once(cpu, l, b) != DIFFERED) {
                all_put_back(cpu, l);
                continue;
            }
            l->report = g_string_new(NULL);
            l->pinpointed = true;
            lockstep_describe_difference(l, cpu, l->report);
        }
    }
    l->options.insns = insns;
    if (!l->report) {
        l->report = g_steal_pointer(&whole);
        g_string_append(l->report, "It did not happen again when the block was tried once more.\n");
    }
}

static void tell_progress(struct lockstep *l)
{
    int64_t now = g_get_monotonic_time();

    if (l->options.quiet || now - l->told < PROGRESS_AFTER)
        return;
    l->told = now;
    fprintf(trace_file(), "lockstep: %" G_GUINT64_FORMAT " blocks, %" G_GUINT64_FORMAT " compared, %.0f s\n",
            l->blocks, l->compared, (double)(now - l->began) / G_USEC_PER_SEC);
}

/* The one instruction at insn_eip, for good; the run loop's landing is in force again. */
static void execute_effect(struct cpu *cpu)
{
    struct insn in;

    cpu->eip = cpu->insn_eip;
    block_decode_one(cpu, &in);
    cpu->eip += in.length;
    in.run(cpu, &in);
    cpu->stats.instructions++;
}

/* Whether this execution is to be compared: all, or the first ones of each block and then some. */
static bool chosen(struct lockstep *l, const struct block *b)
{
    uint32_t *executed;

    if (!l->options.sample)
        return true;
    executed = &l->executed[block_hash(b->host)];
    if ((*executed)++ < l->options.sample)
        return true;
    l->random = l->random * 6364136223846793005u + 1442695040888963407u;
    return l->random >> (64 - SAMPLE_BITS) == 0;
}

bool lockstep_run(struct cpu *cpu, struct block *b)
{
    struct lockstep *l = cpu->lockstep;
    enum verdict verdict = DISTURBED;
    unsigned count = b->count;
    int requested;

    if (row_has_effects(b->insns[0].op))
        return false;
    if (!(++l->blocks & (l->options.links ? 0xfff : 0xffff)))
        tell_progress(l);
    if (l->blocks <= l->options.from || !chosen(l, b)) {
        cpu->stats.instructions += count;
        return jit_enter(cpu, b);
    }
    requested = __atomic_exchange_n(&cpu->exit_request, 0, __ATOMIC_ACQUIRE);
    memcpy(l->outer, cpu->fault_exit, sizeof(jmp_buf));
    l->eip = cpu->eip;
    l->start_tlb = cpu->tlb_data;
    state_keep(cpu, &l->start);
    for (unsigned tries = 0; verdict == DISTURBED && tries < 8; tries++) {
        if (tries) {
            requested |= __atomic_exchange_n(&cpu->exit_request, 0, __ATOMIC_ACQUIRE);
            all_put_back(cpu, l);
            mmu_flush(cpu, true);
            b = block_find(cpu, block_mode(cpu));
        }
        verdict = !b ? REFUSED : l->options.links ? compare_stretch(cpu, l, &b) : compare_once(cpu, l, b);
    }
    if (verdict == DIFFERED && l->options.links) {
        l->report = g_string_new(NULL);
        lockstep_describe_difference(l, cpu, l->report);
    } else if (verdict == DIFFERED) {
        pinpoint(cpu, l, count);
    }
    memcpy(cpu->fault_exit, l->outer, sizeof(jmp_buf));
    if (requested)
        cpu_request_exit(cpu);
    switch (verdict) {
    case AGREED:
        l->undone = 0;
        break;
    case UNDONE:
        return true;
    case REFUSED:
        l->undone = 0;
        l->refused++;
        return false;
    case UNCOMPARED:
        l->uncompared++;
        return jit_enter(cpu, b);
    case DIFFERED:
    case DISTURBED:
        all_put_back(cpu, l);
        mmu_flush(cpu, true);
        cpu->block_stale = true;
        return true;
    }
    if (l->options.links) {
        count = l->tried_insns;
        l->linked += l->stretch.blocks;
    }
    l->compared++;
    l->instructions += count;
    cpu->stats.instructions += count;
    switch (l->actual.end) {
    case LOCKSTEP_DONE:
    case LOCKSTEP_REFUSED:
        break;
    case LOCKSTEP_FAULT:
        l->faults++;
        longjmp(cpu->fault_exit, CPU_LANDING_FAULT);
    case LOCKSTEP_RESTART:
        longjmp(cpu->fault_exit, CPU_LANDING_RESTART);
    case LOCKSTEP_EFFECT:
        l->effects++;
        cpu->insn_eip = l->actual.at;
        execute_effect(cpu);
        break;
    }
    return true;
}

/* ---- making ---- */

/* The board's callbacks, which have effects too. */
static void board_ferr(void *opaque, bool level)
{
    struct cpu *cpu = opaque;
    struct lockstep *l = cpu->lockstep;

    if (l->ferr == level) /* FNCLEX and the like lower it, high or not */
        return;
    lockstep_effect(cpu);
    l->ferr = level;
    if (l->board.ferr)
        l->board.ferr(l->board.opaque, level);
}

static void board_apic_base_changed(void *opaque, uint64_t msr)
{
    struct cpu *cpu = opaque;

    lockstep_effect(cpu);
    if (cpu->lockstep->board.apic_base_changed)
        cpu->lockstep->board.apic_base_changed(cpu->lockstep->board.opaque, msr);
}

static int board_acknowledge(void *opaque)
{
    const struct cpu_board *board = &((struct cpu *)opaque)->lockstep->board;

    return board->acknowledge ? board->acknowledge(board->opaque) : -1;
}

struct lockstep *lockstep_new(struct cpu *cpu, const struct cpu_lockstep *options)
{
    struct lockstep *l = g_aligned_alloc0(1, sizeof(*l), 64);

    l->options = *options;
    l->lines = g_new(struct lockstep_line, LOCKSTEP_LINES);
    l->began = l->told = g_get_monotonic_time();
    l->board = cpu->board;
    cpu->board.opaque = cpu;
    cpu->board.acknowledge = board_acknowledge;
    cpu->board.apic_base_changed = board_apic_base_changed;
    cpu->board.ferr = board_ferr;
    jit_set_threshold(cpu, 0);
    jit_set_linking(cpu, options->links != 0);
    block_cache_flush(cpu);
    return l;
}

void lockstep_free(struct lockstep *l)
{
    if (!l)
        return;
    if (l->report)
        g_string_free(l->report, TRUE);
    g_free(l->lines);
    g_aligned_free(l);
}

const char *lockstep_report(const struct lockstep *l)
{
    return l->report ? l->report->str : NULL;
}

void lockstep_describe(const struct lockstep *l, GString *out)
{
    g_string_append_printf(
        out,
        "lockstep: %" G_GUINT64_FORMAT " blocks, %" G_GUINT64_FORMAT " compared (%" G_GUINT64_FORMAT
        " instructions, %" G_GUINT64_FORMAT " faults, %" G_GUINT64_FORMAT
        " device accesses, %" G_GUINT64_FORMAT " left early), %" G_GUINT64_FORMAT " interpreted alone\n",
        l->blocks, l->compared, l->instructions, l->faults, l->effects, l->reruns, l->refused);
    if (l->options.links)
        g_string_append_printf(out,
                               "linked: %" G_GUINT64_FORMAT " blocks in these stretches, %" G_GUINT64_FORMAT
                               " stretches too long to be compared\n",
                               l->linked, l->uncompared);
}

void lockstep_foreach_counter(const struct lockstep *l, cpu_counter_fn *visit, void *opaque)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"blocks", l->blocks},       {"compared", l->compared},          {"instructions", l->instructions},
        {"faults", l->faults},       {"accesses", l->effects},           {"left-early", l->reruns},
        {"alone", l->refused},       {"differences", l->report != NULL}, {"linked", l->linked},
        {"too-long", l->uncompared},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        visit(opaque, "lockstep", rows[i].name, rows[i].value);
}
