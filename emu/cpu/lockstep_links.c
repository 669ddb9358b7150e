/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Lockstep with links: both engines execute a stretch of blocks, the translator as it does without lockstep:
 * from block to block by links, look-ups and its stack of return addresses, in hot code where that is in use.
 *
 * Both must end at the same place, and translated code cannot count. So the interpreter, which goes first,
 * ends its stretch at an EIP to which it has not come before in this stretch; the block there is dropped, and
 * with it all that leads to its translation: the translation leaves when it gets there, for the first time
 * too. What else ends a stretch ends it for both: a fault, something with effects, an event, a mode that is
 * not flat, code that was overwritten.
 *
 * Where translated code leaves of itself (a block without translation, or to be made hot) it is entered again
 * as the run loop would, until the stretch is over. When it leaves in between for good, the interpreter does
 * its stretch again until it has that very state.
 *
 * A loop of more than LOCKSTEP_MOST blocks has no such end. Then the stretch is cut where it last came to
 * something new, or runs uncompared.
 *
 * What the interpreter stored is taken back, so blocks that were decoded from that are dropped.
 */
#include "emu/cpu/lockstep_internal.h"

#include "emu/cpu/access.h"
#include "emu/cpu/jit/jit.h"
#include "emu/cpu/mmu_internal.h"

#define ENTRIES_MOST (2 * LOCKSTEP_MOST)

/* Whether the stretch comes to this EIP for the first time; notes that. */
static bool first_time(struct lockstep_stretch *s, uint32_t eip)
{
    uint32_t at = (eip ^ eip >> 13) % LOCKSTEP_SEEN;

    while (s->seen[at].when == s->now) {
        if (s->seen[at].eip == eip)
            return false;
        at = (at + 1) % LOCKSTEP_SEEN;
    }
    s->seen[at].eip = eip;
    s->seen[at].when = s->now;
    return true;
}

/* The page at EIP is fetched from, by either engine, where a stretch ends: page tables are to look alike. */
static uintptr_t fetch_end(struct cpu *cpu)
{
    const struct tlb_entry *e = tlb_slot(cpu->tlb[cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR], cpu->eip);
    uint32_t tag = cpu->eip & ~(uint32_t)PHYS_PAGE_MASK;

    if (e->exec != tag)
        e = mmu_try_fetch(cpu, cpu->eip);
    return e && e->exec == tag ? e->addend + cpu->eip : 0;
}

/* The block was decoded just now: whether of bytes that are to be taken back. */
static void note_dirty(struct cpu *cpu, struct lockstep *l, const struct block *b)
{
    struct lockstep_stretch *s = &l->stretch;
    uint64_t first = b->page[0], second = b->page[1];
    bool dirty = false;

    for (unsigned i = 0; i < l->line_count && !dirty; i++)
        dirty = l->lines[i].at >> PHYS_PAGE_SHIFT == first || l->lines[i].at >> PHYS_PAGE_SHIFT == second;
    if (!dirty)
        return;
    if (s->dirty_count == LOCKSTEP_DIRTY) {
        block_drop_at(cpu, b->host);
        longjmp(cpu->fault_exit, LOCKSTEP_TOO_MUCH);
    }
    s->dirty[s->dirty_count++] = b->host;
}

/* The block that comes next, or NULL when the stretch ends here. */
static const struct block *next_block(struct cpu *cpu, struct lockstep *l, unsigned mode)
{
    uint32_t generation = cpu->blocks->generation;
    uint64_t made = cpu->stats.blocks_made;
    const struct block *b = block_find(cpu, mode);

    if (generation != cpu->blocks->generation) {
        l->stretch.flushed = true;
        longjmp(cpu->fault_exit, LOCKSTEP_TOO_MUCH);
    }
    if (b && made != cpu->stats.blocks_made)
        note_dirty(cpu, l, b);
    return b && !lockstep_has_effects(b) ? b : NULL;
}

void lockstep_interpret_stretch(struct cpu *cpu, struct lockstep *l)
{
    struct lockstep_stretch *s = &l->stretch;
    const struct block *b = l->block;
    unsigned mode = b->mode;

    s->blocks = s->fresh = s->dirty_count = 0;
    s->at_goal = s->cut = s->flushed = s->stops = false;
    if (!++s->now)
        memset(s->seen, 0, sizeof(s->seen));
    first_time(s, cpu->eip); /* entering it makes it known to indirect branches: no place to end at */
    while (b) {
        bool more;

        s->path[s->blocks % LOCKSTEP_PATH] = cpu->eip;
        more = lockstep_interpret_block(cpu, l, b, LOCKSTEP_NOWHERE);
        s->blocks++;
        cpu->block_stale = false;
        if (!more || cpu->events || cpu->halted || block_mode(cpu) != mode)
            return;
        if (s->goal) {
            if (s->blocks >= s->most)
                return;
        } else if (first_time(s, cpu->eip)) {
            s->fresh = s->blocks;
            if (s->blocks >= s->wanted) {
                s->stops = true;
                s->stop = cpu->eip;
                s->stop_host = fetch_end(cpu);
                return;
            }
        } else if (s->blocks >= LOCKSTEP_MOST) {
            s->cut = true;
            return;
        }
        b = next_block(cpu, l, mode);
    }
}

bool lockstep_run_stretch(struct cpu *cpu, struct lockstep *l, struct block *b)
{
    const struct lockstep_stretch *s = &l->stretch;
    unsigned mode = b->mode;

    for (unsigned entries = 0; entries < ENTRIES_MOST && b && !lockstep_has_effects(b); entries++) {
        if (entries && cpu->fp_denied) /* the next block is the interpreter's, next time */
            break;
        if (!jit_enter(cpu, b))
            return entries;
        if (cpu->block_stale && l->overwritten) /* there the interpreter ended */
            break;
        cpu->block_stale = false;
        if (cpu->events || cpu->halted || block_mode(cpu) != mode ||
            __atomic_load_n(&cpu->exit_request, __ATOMIC_ACQUIRE))
            break;
        if (s->stops && cpu->eip == s->stop) {
            fetch_end(cpu);
            break;
        }
        b = block_find(cpu, mode);
    }
    return true;
}

void lockstep_describe_stretch(const struct lockstep *l, GString *out)
{
    const struct lockstep_stretch *s = &l->stretch;
    unsigned from = s->blocks > LOCKSTEP_PATH ? s->blocks - LOCKSTEP_PATH : 0;

    g_string_append_printf(out, "a stretch of %u blocks, linked; the last of them at", s->blocks);
    for (unsigned i = from; i < s->blocks; i++)
        g_string_append_printf(out, " %08x", s->path[i % LOCKSTEP_PATH]);
    g_string_append_c(out, '\n');
}
