/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * From a decoded block to host code.
 *
 * Registers and what emitters may do: translate.h. The guest's status flags are the host's at every point, so
 * nothing is to be known about who reads them, and a fault or an interrupt finds them exact. All that is not
 * the guest's own arithmetic is done without touching flags: addresses by lea, tables by pext or shrx, tests
 * by jrcxz.
 *
 * Every instruction is either emitted, its memory operand's fast path inline, or is a call of its interpreter
 * function with the state written back. What is not the fast path (place.c) jumps out of line, to a piece
 * that looks more closely (runtime.c) and comes back, or else runs the whole instruction by its interpreter
 * function: until then nothing of it has been done. So faults, devices, code pages, breakpoints and alignment
 * checks are the interpreter's business, and EIP is exact whenever it is looked at.
 *
 * A jrcxz reaches 127 bytes. What they jump to are islands, jumps to the real place: some before the block,
 * the rest behind its last jump, or earlier behind a jump over them.
 *
 * Exits: direct branches can be linked (cache.c); indirect ones are in insn_branch.c. Links from behind and
 * indirect branches go to an entry that looks whether anything is pending.
 */
#include "emu/cpu/jit/translate.h"

#include "emu/cpu/jit/debug.h"
#include "emu/cpu/jit/window.h"

/* ---- out of line ---- */

static void emit_islands(struct translation *t)
{
    for (unsigned i = 0; i < t->pendings; i++) {
        struct slow *s = &t->slow[t->pending[i].slow];

        emit_fill_short(t->pending[i].disp, t->e.at);
        s->jump[s->jumps++] = emit_jump(&t->e);
    }
    t->pendings = 0;
}

void emit_room(struct translation *t, unsigned bytes)
{
    uint8_t *over;

    if (!t->pendings)
        return;
    if (t->pendings < MAX_PENDING && t->e.at + bytes + 7 + 5 * t->pendings < t->pending[0].disp + 1 + 127)
        return;
    over = emit_jump(&t->e);
    emit_islands(t);
    emit_fill(over, t->e.at);
}

unsigned slow_new(struct translation *t, const uint8_t *piece, int linear)
{
    t->slow[t->slows] =
        (struct slow){.in = t->in, .offset = t->offset, .piece = piece, .linear = linear, .fp = t->fp};
    return t->slows++;
}

/* Whether a jrcxz emitted now reaches it. */
static bool within_reach(const struct translation *t, const uint8_t *island)
{
    return island && t->e.at + 2 - island <= 128;
}

/* At most so many islands are worth it: the last of them are out of reach before they are used up. */
#define MAX_AHEAD 10

static void emit_ahead(struct translation *t)
{
    unsigned accesses = 1; /* the look at what is pending */

    for (unsigned i = 0; i < t->b->count; i++) {
        const struct insn *in = &t->b->insns[i];
        const struct insn_row *row = &insn_rows[in->op];

        accesses += (in->flags & INSN_MEM) || (row->attr & ATTR_STACK);
        accesses += (in->flags & INSN_MEM) && (row->attr & ATTR_ALIGN16);
    }
    t->ahead = t->e.at;
    t->aheads = t->hot ? 2 : MIN(accesses, MAX_AHEAD);
    for (unsigned i = 0; i < t->aheads; i++)
        emit_jump(&t->e);
}

/* jrcxz to there */
void emit_out(struct translation *t, unsigned slow)
{
    struct slow *s = &t->slow[slow];

    for (; t->aheads && !within_reach(t, t->ahead); t->aheads--)
        t->ahead += 5;
    if (t->aheads && !within_reach(t, s->island)) {
        s->island = t->ahead;
        s->jump[s->jumps++] = s->island + 1;
        t->ahead += 5;
        t->aheads--;
    }
    if (within_reach(t, s->island)) {
        emit_fill_short(emit_jump_if_zero(&t->e), s->island);
        return;
    }
    emit_room(t, 70);
    t->pending[t->pendings].disp = emit_jump_if_zero(&t->e);
    t->pending[t->pendings++].slow = slow;
}

void emit_out_if_zero(struct translation *t)
{
    emit_out(t, slow_new(t, t->jit->run_direct, EMIT_NONE));
}

static void emit_unless_zero_to(struct translation *t, unsigned slow)
{
    uint8_t *zero = emit_jump_if_zero(&t->e);

    t->slow[slow].jump[t->slow[slow].jumps++] = emit_jump(&t->e);
    emit_fill_short(zero, t->e.at);
}

void emit_out_unless_zero(struct translation *t)
{
    emit_unless_zero_to(t, slow_new(t, t->jit->run_direct, EMIT_NONE));
}

static void emit_slow_paths(struct translation *t)
{
    struct emit *e = &t->e;

    for (unsigned i = 0; i < t->slows; i++) {
        const struct slow *s = &t->slow[i];
        uint8_t *back, *data;
        struct jit_slow_data d = {.offset = (uint16_t)s->offset};

        if (s->run_count)
            continue;
        for (unsigned j = 0; j < s->jumps; j++)
            emit_fill(s->jump[j], e->at);
        if (!s->piece) {
            emit_imm32(e, R8, s->offset);
            emit_jump_to(e, t->jit->leave_offset);
            continue;
        }
        d.insn = (uint32_t)((const uint8_t *)s->in - t->jit->insns);
        fp_emit_note(e, &s->fp);
        if (s->linear != EMIT_NONE && s->linear != R8)
            emit_move(e, 4, R8, s->linear);
        emit_call_to(e, s->piece);
        back = emit_jump(e);
        data = e->at;
        e->at += sizeof(d);
        emit_fill(back, s->fp.live ? e->at : s->resume ? s->resume : e->at);
        if (s->fp.live && s->resume) {
            fp_emit_reload(t, &s->fp, s->offset);
            emit_jump_to(e, s->resume);
        }
        if (s->after) {
            d.after = (int32_t)((s->fp.live ? e->at : s->after) - data);
            if (s->fp.live) {
                fp_emit_reload(t, &s->fp, s->offset + s->in->length);
                emit_jump_to(e, s->after);
            }
        }
        memcpy(data, &d, sizeof(d));
    }
}

/* ---- leaving ---- */

void emit_direct(struct translation *t, uint8_t *jump, int32_t target)
{
    t->exits[t->exit_count++] = (struct exit){jump, t->in, target, t->offset, t->fp.live};
}

static uint32_t code_offset(const struct translation *t, const uint8_t *at)
{
    return (uint32_t)(at - t->jit->code);
}

/* To another page: as long as the page is mapped there that the target was found on. */
static void emit_crossing_exit(struct translation *t, struct jit_link *link, uint32_t number)
{
    struct emit *e = &t->e;
    uint32_t offset = (uint32_t)link->target & PHYS_PAGE_MASK, none = 0u - JIT_EXPECT_NONE;
    uint8_t *hit, *miss;

    emit_load(e, 4, R9, R15, CPU(jit_page));
    emit_lea(e, 4, R9, R9, (int32_t)((uint32_t)link->target - offset));
    emit_page_index(e, t->jit, R10, R9);
    emit_rm(e, 4, EMIT_LOAD, RCX, R14, R10, 2, TABLE(FLAT_EXEC));
    emit8(e, EMIT_LEA); /* lea ecx, [rcx + …] */
    emit8(e, 0x89);
    link->expect = code_offset(t, e->at);
    emit32(e, none);
    hit = emit_jump_if_zero(e);
    emit_lea(e, 4, R8, R9, (int32_t)offset);
    emit_imm32(e, R9, number);
    miss = emit_jump(e);
    link->miss = code_offset(t, miss);
    emit_fill(miss, t->jit->leave_eip);
    emit_fill_short(hit, e->at);
    emit_store(e, 4, R9, R15, CPU(jit_page));
    link->hit = code_offset(t, emit_jump(e));
}

static bool is_crossing(const struct exit *x)
{
    return x->target < 0 || x->target > (int32_t)PHYS_PAGE_MASK;
}

/* Those across pages, which stay in use when they are linked, or the others, which do not. */
/* Off the page, in code that is not flat: a taken branch is the interpreter's, with limit and wrap-around. */
static void emit_leave_segmented(struct translation *t, const struct exit *x)
{
    struct emit *e = &t->e;

    if (!x->in || x->target == (int32_t)((t->b->host & PHYS_PAGE_MASK) + x->in->end)) {
        emit_imm32(e, R8, (uint32_t)x->target);
        emit_jump_to(e, t->jit->leave_offset);
        return;
    }
    emit_imm32(e, R9, (uint32_t)((const uint8_t *)x->in - t->jit->insns));
    emit_imm32(e, R10, x->from);
    emit_jump_to(e, t->jit->run_last);
}

static void emit_exits(struct translation *t, bool crossing)
{
    struct emit *e = &t->e;

    for (unsigned i = 0; i < t->exit_count; i++) {
        const struct exit *x = &t->exits[i];
        struct jit_link *link;
        uint32_t number;

        if (is_crossing(x) != crossing)
            continue;
        t->jit->branches++;
        link = jit_take(t->jit, sizeof(*link));
        number = (uint32_t)((uint8_t *)link - t->jit->data);
        *link = (struct jit_link){
            .site = code_offset(t, x->jump),
            .back = code_offset(t, e->at),
            .page = t->b->host & ~(uintptr_t)PHYS_PAGE_MASK,
            .target = x->target,
            .backward = x->target <= (int32_t)x->from,
            .fp_live = x->fp_live,
            .hot = t->hot,
            .mode = t->b->mode,
        };
        emit_fill(x->jump, e->at);
        if (crossing && !is_flat(t)) {
            emit_leave_segmented(t, x);
            continue;
        }
        if (crossing) {
            emit_crossing_exit(t, link, number);
            continue;
        }
        emit_imm32(e, R8, (uint32_t)x->target);
        emit_imm32(e, R9, number);
        emit_jump_to(e, t->jit->leave_link);
    }
}

/* ---- a block ---- */

/* A block that crosses into another page is left when that is not the page its last bytes came from. */
static void emit_second_page(struct translation *t)
{
    struct emit *e = &t->e;

    emit_load(e, 4, R9, R15, CPU(jit_page));
    emit_lea(e, 4, R9, R9, PHYS_PAGE_SIZE);
    emit_page_index(e, t->jit, R9, R9);
    emit_rm(e, 4, EMIT_LOAD, RCX, R14, R9, 2, TABLE(FLAT_EXEC));
    emit_lea(e, 4, RCX, RCX, -(int32_t)(t->b->page[1] + 1));
    emit_unless_zero_to(t, slow_new(t, NULL, EMIT_NONE));
}

void emit_fallback(struct translation *t)
{
    struct emit *e = &t->e;

    t->jit->fallbacks[t->in->op]++;
    emit_room(t, 80);
    fp_emit_note(e, &t->fp);
    emit_imm32(e, R9, (uint32_t)((const uint8_t *)t->in - t->jit->insns));
    emit_imm32(e, R10, t->offset);
    t->fp = (struct fp_point){0};
    t->plain = 0;
    if (t->row->attr & ATTR_END) {
        emit_jump_to(e, t->jit->run_last);
        t->ended = true;
    } else {
        emit_call_to(e, t->jit->run_one);
    }
}

static void emit_fp_noted(struct translation *t)
{
    fp_emit_note(&t->e, &t->fp);
    t->fp.noted = NULL;
}

/* Instructions that may be executed again from their start when the host refuses an access: nothing of the
 * guest's state is changed before the last one that can be refused. */
static bool window_safe(const struct insn *in, const struct insn_row *row)
{
    unsigned op = in->opcode;

    if (row->attr & (ATTR_X87 | ATTR_MMX | ATTR_SSE))
        return true;
    if (row->map)
        return (op >= 0x40 && op <= 0x4f) || (op >= 0x90 && op <= 0x9f) || (op >= 0xa3 && op <= 0xa5) ||
               (op >= 0xac && op <= 0xad) || op == 0xaf || (op >= 0xb0 && op <= 0xb1) ||
               (op >= 0xb6 && op <= 0xb7) || op == 0xba || (op >= 0xbc && op <= 0xc1) || op == 0xc7;
    switch (op) {
    case 0x00 ... 0x3f:
        return (op & 7) < 6;
    case 0x50 ... 0x5f:
    case 0x68 ... 0x6b:
    case 0x80 ... 0x8b:
    case 0x8f:
    case 0x9c:
    case 0xa0 ... 0xa3:
    case 0xc0 ... 0xc3:
    case 0xc6 ... 0xc7:
    case 0xc9:
    case 0xd0 ... 0xd3:
    case 0xe8:
    case 0xf6 ... 0xf7:
    case 0xfe ... 0xff:
        return true;
    default:
        return false;
    }
}

void translate_begin(struct translation *t, unsigned i)
{
    t->begun = t->e.at;
    t->in = &t->b->insns[i];
    t->row = &insn_rows[t->in->op];
    t->next = (uint32_t)(t->b->host & PHYS_PAGE_MASK) + t->in->end;
    t->offset = t->next - t->in->length;
}

static void translate_note(struct translation *t, bool emitted)
{
    if (t->jit->debug)
        jit_debug_note(t->jit->debug, t->in, (size_t)(t->e.at - t->begun),
                       emitted ? "emitted" : "interpreter");
}

void translate_done(struct translation *t)
{
    translate_note(t, true);
}

static void set_after(struct translation *t, unsigned first, uint8_t *after)
{
    for (unsigned s = first; s < t->slows; s++)
        t->slow[s].after = t->slow[s].leaves ? NULL : after;
}

static void translate_one(struct translation *t, unsigned i)
{
    unsigned first = t->slows;
    struct site *site = &t->site[t->sites];
    bool emitted;

    translate_begin(t, i);
    emit_room(t, 70);
    if (t->row->attr & ATTR_END)
        emit_fp_noted(t);
    *site = (struct site){.start = t->e.at, .insn = i, .plain = t->plain, .fp = t->fp};
    t->windowed = false;
    t->window = t->hot && window_safe(t->in, t->row);
    emitted = emit_instruction(t);
    t->window = false;
    if (!emitted)
        emit_fallback(t);
    if (t->windowed) {
        while (t->e.at < site->start + WINDOW_SITE_LEAST)
            emit8(&t->e, 0x90);
        site->end = t->e.at;
        site->ended = t->ended;
        t->sites++;
    }
    translate_note(t, emitted);
    if (!t->ended)
        set_after(t, first, t->e.at);
}

/* The stretches that emit_run() made, with a look for each access. */
static void emit_runs_apart(struct translation *t)
{
    unsigned end = t->slows;
    uint8_t plain = t->plain;
    bool ended = t->ended;

    for (unsigned i = 0; i < end; i++) {
        struct slow *s = &t->slow[i];

        if (!s->run_count)
            continue;
        for (unsigned j = 0; j < s->jumps; j++)
            emit_fill(s->jump[j], t->e.at);
        t->ended = false;
        t->fp = s->fp;
        for (unsigned k = 0; k < s->run_count; k++)
            translate_one(t, s->run_first + k);
        emit_jump_to(&t->e, s->after);
        emit_islands(t);
    }
    t->plain = plain;
    t->ended = ended;
}

/* Behind a hot block: its instructions with places in the window as they are in a flat block. */
static void emit_stubs(struct translation *t)
{
    for (unsigned i = 0; i < t->sites; i++) {
        const struct site *site = &t->site[i];
        unsigned first = t->slows;
        uint8_t *start = t->e.at;

        t->plain = site->plain;
        t->fp = site->fp;
        t->ended = false;
        translate_begin(t, site->insn);
        if (!emit_instruction(t))
            emit_fallback(t);
        if (!site->ended) {
            set_after(t, first, site->end);
            emit_jump_to(&t->e, site->end);
        }
        emit_islands(t);
        if (!window_site_add(t->jit->window, code_offset(t, site->start), code_offset(t, site->end),
                             code_offset(t, start)))
            t->full = true;
    }
}

static void begin_block(struct translation *t, struct jit *jit, struct block *b, bool hot)
{
    t->e = (struct emit){jit->at};
    t->jit = jit;
    t->b = b;
    t->ended = false;
    t->plain = 0;
    t->fp = (struct fp_point){0};
    t->in = NULL;
    t->offset = (uint32_t)(b->host & PHYS_PAGE_MASK);
    t->slows = t->exit_count = t->pendings = t->aheads = t->sites = 0;
    t->hot = hot;
    t->window = t->full = false;
}

/* The heads of loops and the targets of indirect branches count how often they are entered. */
static void emit_heat(struct translation *t, uint32_t *heat)
{
    struct emit *e = &t->e;
    int32_t at = (int32_t)(uintptr_t)heat; /* the data are below 2 GiB */

    emit_load(e, 4, RCX, EMIT_NONE, at);
    emit_lea(e, 4, RCX, RCX, -1);
    emit_store(e, 4, RCX, EMIT_NONE, at);
    emit_out(t, slow_new(t, NULL, EMIT_NONE));
}

/* All of the block is counted; what is too much is left before it begins. */
static void emit_icount(struct translation *t)
{
    struct emit *e = &t->e;

    emit_room(t, 70);
    emit_imm64(e, RCX, (uintptr_t)t->b);
    emit_store(e, 8, RCX, R15, CPU(icount_block));
    emit_imm32(e, RCX, t->offset);
    emit_store(e, 4, RCX, R15, CPU(icount_offset));
    emit_load(e, 8, RCX, R15, CPU(icount_left));
    emit_lea(e, 8, RCX, RCX, -(int32_t)t->b->count);
    emit_store(e, 8, RCX, R15, CPU(icount_left));
    emit_rm(e, 4, 0x0fb6, RCX, R15, EMIT_NONE, 0, CPU(icount_left) + 7); /* movzx: 0xff when it is negative */
    emit_lea(e, 4, RCX, RCX, -0xff);
    emit_out(t, slow_new(t, NULL, EMIT_NONE));
}

static void emit_body(struct translation *t)
{
    uint8_t *behind;

    if (t->b->host2)
        emit_second_page(t);
    if (t->jit->icount)
        emit_icount(t);
    for (unsigned i = 0, run; i < t->b->count && !t->ended; i += run ? run : 1) {
        unsigned slow = t->slows;

        run = t->hot ? 0 : (is_flat(t) ? emit_run(t, i) : 0);
        if (run)
            t->slow[slow].after = t->e.at;
        else
            translate_one(t, i);
    }
    if (!t->ended) {
        emit_room(t, 70);
        emit_fp_noted(t);
        emit_direct(t, emit_jump(&t->e), (int32_t)t->next);
    }
    emit_islands(t);
    emit_runs_apart(t);
    behind = t->e.at;
    t->e.at = t->jit->cold;
    emit_stubs(t);
    t->jit->cold = t->e.at;
    t->e.at = behind;
    emit_exits(t, true);
    t->jit->at = t->e.at;
    t->e.at = t->jit->cold;
    emit_slow_paths(t);
    emit_exits(t, false);
    t->jit->cold = t->e.at;
}

/* Islands for the first checks, near the entries; a hot block's way to the flat one is the first of them. */
static void emit_before(struct translation *t, const struct jit_block *flat)
{
    t->away = t->e.at;
    if (flat)
        emit_jump_to(&t->e, flat->entry.live);
    emit_ahead(t);
}

/* `flat`: what a hot block is made from. */
static void emit_entries(struct translation *t, struct jit_block *result, const struct jit_block *flat)
{
    result->fp_wanted = (uint8_t)fp_wanted_units(t->b);
    if (!result->fp_wanted)
        emit_before(t, flat);
    result->entry.indirect = t->e.at;
    emit_lea(&t->e, 4, R8, R8, -(int32_t)t->offset);
    emit_store(&t->e, 4, R8, R15, CPU(jit_page));
    result->entry.polling = t->e.at;
    if (result->fp_wanted) { /* long, and links mostly go behind it: so do the islands */
        uint8_t *over;

        if (t->jit->icount) { /* a unit that cannot be live has nothing to do with the block before */
            emit_imm32(&t->e, RCX, 0);
            emit_store(&t->e, 8, RCX, R15, CPU(icount_block));
        }
        fp_emit_entry(t, result->fp_wanted);
        over = emit_jump(&t->e);
        emit_before(t, flat);
        emit_fill(over, t->e.at);
    }
    result->entry.live = result->entry.live_quiet = t->e.at;
    if (flat) { /* one look for both: the flat block finds out */
        emit_load(&t->e, 8, RCX, R15, CPU(hot_go) + 8 * flat->window);
        emit_fill_short(emit_jump_if_zero(&t->e), t->away);
    } else {
        emit_load(&t->e, 8, RCX, R15, CPU(go));
        emit_out(t, slow_new(t, NULL, EMIT_NONE));
        if (t->jit->window)
            emit_heat(t, &result->heat);
        result->entry.live_quiet = t->e.at;
    }
    result->entry.quiet = result->fp_wanted ? result->entry.polling : result->entry.live_quiet;
}

struct jit_block *jit_translate(struct jit *jit, struct block *b)
{
    struct translation translation, *t = &translation;
    struct jit_block *result = jit_take(jit, sizeof(*result));

    begin_block(t, jit, b, false);
    *result = (struct jit_block){.host = b->host, .heat = jit->heat};
    emit_entries(t, result, NULL);
    emit_body(t);
    return result;
}

bool jit_translate_hot(struct jit *jit, struct block *b)
{
    struct translation translation, *t = &translation;
    struct jit_block *result = b->translation, hot = *result;

    begin_block(t, jit, b, true);
    emit_entries(t, &hot, result);
    emit_body(t);
    if (t->full)
        return false;
    result->other = hot.entry;
    return true;
}
