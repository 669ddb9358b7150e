/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The run loop of the interpreter.
 *
 * cpu_run() lands faults (setjmp), looks at what is pending, and then lets run_blocks() execute decoded
 * blocks until something is pending again. Events are looked at between blocks only; whatever must be seen
 * after the present instruction either ends its block (ATTR_END) or sets block_stale.
 *
 * Before an instruction's `run` function is called, insn_eip is its own EIP and eip the next one's. The
 * function moves eip when it branches. A repeated string instruction that leaves early puts eip back to
 * itself.
 *
 * The loop is never left by cpu_fault() with anything half done: blocks and caches are in order before each
 * instruction, and statistics are settled where the fault lands.
 */
#include "emu/cpu/access.h"
#include "emu/cpu/block.h"
#include "emu/cpu/debugger.h"
#include "emu/cpu/icount.h"
#include "emu/cpu/jit/jit.h"
#include "emu/cpu/lockstep.h"

static inline bool something_pending(struct cpu *cpu)
{
    return __builtin_expect((__atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED) | (int)cpu->events) != 0,
                            0);
}

/* The running block was counted whole, but ended before the instruction that begins at `eip` or behind it. */
static void settle_statistics(struct cpu *cpu, uint32_t eip)
{
    const struct block *b = cpu->blocks->running;
    uint32_t done = eip - cpu->blocks->running_eip;

    for (unsigned i = b->count; i-- > 0 && (uint32_t)(b->insns[i].end - b->insns[i].length) >= done;) {
        cpu->stats.instructions--;
        cpu->icount_left++;
    }
    cpu->blocks->running = &cpu->blocks->none;
}

/* One instruction without the cache. */
static void run_one(struct cpu *cpu)
{
    struct insn in;

    block_decode_one(cpu, &in);
    cpu->eip += in.length;
    in.run(cpu, &in);
    cpu->stats.instructions++;
    cpu->icount_left--;
    cpu->block_stale = false;
}

static void step_one(struct cpu *cpu)
{
    if (access_unlikely(cpu->debugger) && debugger_stops(cpu))
        return;
    cpu_step_begin(cpu);
    run_one(cpu);
    cpu_step_end(cpu);
}

/* Whether all bytes of the block lie within CS; a limit of 4 GiB lets EIP wrap. */
static inline bool block_fits_limit(const struct cpu *cpu, const struct block *b)
{
    uint32_t max = cpu->seg[SEG_CS].max;

    return __builtin_expect(max == 0xffffffff, 1) || (uint64_t)cpu->eip + b->bytes - 1 <= max;
}

/* Making room for a block may mark the one that ran before as stale: that is over. */
static struct block *find_slowly(struct cpu *cpu, unsigned mode)
{
    struct block *b = block_find(cpu, mode);

    cpu->block_stale = false;
    return b;
}

/* block_find() for the usual case: in the TLB and first in its hash chain. */
static inline struct block *find_quickly(struct cpu *cpu, unsigned mode)
{
    uint32_t linear = cpu->seg[SEG_CS].base + cpu->eip;
    const struct tlb_entry *e = tlb_slot(cpu->tlb[cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR], linear);

    if (access_likely(e->exec == (linear & ~(uint32_t)PHYS_PAGE_MASK))) {
        uintptr_t host = e->addend + linear;
        struct block *b = cpu->blocks->hash[block_hash(host)];

        if (access_likely(b && b->host == host && b->mode == mode && !b->host2))
            return b;
    }
    return find_slowly(cpu, mode);
}

/* Whether all of `b` may be executed; if not, one instruction was, unless none is left. */
static bool icount_admits(struct cpu *cpu, const struct block *b)
{
    if (cpu->icount_left >= b->count)
        return true;
    cpu->blocks->running = &cpu->blocks->none;
    if (cpu->icount_left > 0 && !(cpu->debugger && debugger_stops(cpu)))
        run_one(cpu);
    return false;
}

/* Executes blocks until something is pending. */
static void run_blocks(struct cpu *cpu)
{
    struct block_cache *cache = cpu->blocks;
    unsigned mode = block_mode(cpu);
    struct block *b = find_slowly(cpu, mode);

    for (;;) {
        struct block **link, *next;
        uint32_t generation, from, moved;

        if (access_unlikely(!b || !block_fits_limit(cpu, b))) {
            cache->running = &cache->none;
            if (!(access_unlikely(cpu->debugger) && debugger_stops(cpu)))
                run_one(cpu);
            return;
        }
        if (access_unlikely(cpu->icount) && !icount_admits(cpu, b))
            return;
        trace(EXEC, "%04x:%08x cpl %u mode %u", cpu->seg[SEG_CS].selector, cpu->eip, cpu->cpl, mode);
        if (cpu->jit) {
            cache->running = &cache->none;
            if (access_unlikely(cpu->lockstep) ? (b->mode & BLOCK_MODE_FLAT) && lockstep_run(cpu, b)
                                               : jit_enter(cpu, b)) {
                if (access_unlikely(cpu->icount))
                    icount_came_back(cpu);
                if (cpu->block_stale || something_pending(cpu) || cpu->halted)
                    break;
                mode = block_mode(cpu);
                b = find_quickly(cpu, mode);
                continue;
            }
        }
        from = cpu->eip;
        cache->running = b;
        cache->running_eip = from;
        cpu->stats.instructions += b->count;
        if (access_unlikely(cpu->icount))
            cpu->icount_left -= b->count;
        b->insns[0].go(cpu, b->insns);
        if (access_unlikely(cpu->block_stale)) {
            settle_statistics(cpu, cpu->insn_eip + 1);
            break;
        }
        if (something_pending(cpu))
            break;
        if (!b->linkable) {
            if (cpu->halted)
                break;
            mode = block_mode(cpu);
            b = find_quickly(cpu, mode);
            continue;
        }
        moved = cpu->eip - from;
        link = &b->link[moved != b->bytes];
        next = *link;
        if (access_likely(next->host == b->host + moved)) {
            b = next;
            continue;
        }
        generation = cache->generation;
        next = find_quickly(cpu, mode);
        /* Same page, and the block that we come from is still there: go straight next time. */
        if (next && generation == cache->generation && b->host && next->host == b->host + moved &&
            !((b->host ^ next->host) & ~(uintptr_t)PHYS_PAGE_MASK) && !next->host2)
            *link = next;
        b = next;
    }
    cache->running = &cache->none;
    cpu->block_stale = false;
}

enum cpu_stop cpu_run(struct cpu *cpu)
{
    if (setjmp(cpu->fault_exit)) {
        settle_statistics(cpu, cpu->insn_eip);
        icount_settle(cpu, cpu->insn_eip);
        if (!cpu_deliver_fault(cpu))
            return CPU_STOP_SHUTDOWN;
    }
    for (;;) {
        if (access_unlikely(cpu->lockstep) && lockstep_report(cpu->lockstep))
            return CPU_STOP_DIFFERENCE;
        if (access_unlikely(cpu->debugger) && cpu->debugger->stopped)
            return CPU_STOP_DEBUG;
        if (access_unlikely(cpu->icount) && cpu->icount_left <= 0)
            return CPU_STOP_REQUESTED;
        if (something_pending(cpu)) {
            if (__atomic_exchange_n(&cpu->exit_request, 0, __ATOMIC_ACQUIRE))
                return CPU_STOP_REQUESTED;
            if (cpu_take_events(cpu))
                continue;
        }
        if (cpu->halted)
            return CPU_STOP_HALTED;
        if (cpu->events & CPU_EVENT_STEP)
            step_one(cpu);
        else
            run_blocks(cpu);
    }
}

enum cpu_stop cpu_step(struct cpu *cpu)
{
    if (setjmp(cpu->fault_exit))
        return cpu_deliver_fault(cpu) ? CPU_STOP_REQUESTED : CPU_STOP_SHUTDOWN;
    if (cpu->events && cpu_take_events(cpu))
        return CPU_STOP_REQUESTED;
    if (cpu->halted)
        return CPU_STOP_HALTED;
    step_one(cpu);
    return CPU_STOP_REQUESTED;
}
