/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The run loop of the interpreter.
 *
 * cpu_run() lands faults (setjmp), looks at what is pending, and then lets run_blocks() execute decoded
 * blocks until something is pending again. Events are looked at between blocks only; whatever must be seen
 * after the present instruction either ends its block (ATTR_END) or sets block_stale.
 *
 * Before an instruction's function is called, insn_eip is its own EIP and eip the next one's. The function
 * moves eip when it branches. A repeated string instruction that leaves early puts eip back to itself.
 *
 * The loop is never left by cpu_fault() with anything half done: blocks and caches are in order before each
 * instruction, and statistics are settled where the fault lands.
 */
#include "emu/cpu/access.h"
#include "emu/cpu/block.h"

static bool something_pending(struct cpu *cpu)
{
    return __builtin_expect((__atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED) | (int)cpu->events) != 0,
                            0);
}

/* The instructions of the running block before the one at insn_eip; and nothing runs any more. */
static void settle_statistics(struct cpu *cpu)
{
    struct block_cache *cache = cpu->blocks;
    const struct block *b = cache->running;
    uint32_t eip = cache->running_eip;

    for (unsigned i = 0; i < b->count && eip != cpu->insn_eip; i++) {
        eip += b->insns[i].length;
        cpu->stats.instructions++;
    }
    cache->running = &cache->none;
}

/* One instruction without the cache. */
static void run_one(struct cpu *cpu)
{
    struct insn in;

    block_decode_one(cpu, &in);
    cpu->eip += in.length;
    in.run(cpu, &in);
    cpu->stats.instructions++;
    cpu->block_stale = false;
}

static void step_one(struct cpu *cpu)
{
    cpu_step_begin(cpu);
    run_one(cpu);
    cpu_step_end(cpu);
}

/* Executes all of `b`, or up to the instruction that made it stale. Returns whether it was executed whole. */
static inline bool block_execute(struct cpu *cpu, const struct block *b)
{
    const struct insn *in = b->insns, *end = in + b->count;
    uint32_t eip = cpu->eip;

    cpu->blocks->running = (struct block *)b;
    cpu->blocks->running_eip = eip;
    do {
        cpu->insn_eip = eip;
        eip += in->length;
        cpu->eip = eip;
        in->run(cpu, in);
        in++;
        if (__builtin_expect(cpu->block_stale, 0)) {
            cpu->stats.instructions += (uint64_t)(in - b->insns);
            return false;
        }
    } while (in != end);
    cpu->stats.instructions += b->count;
    return true;
}

/* Whether all bytes of the block lie within CS; a limit of 4 GiB lets EIP wrap. */
static inline bool block_fits_limit(const struct cpu *cpu, const struct block *b)
{
    uint32_t max = cpu->seg[SEG_CS].max;

    return __builtin_expect(max == 0xffffffff, 1) || (uint64_t)cpu->eip + b->bytes - 1 <= max;
}

/* Executes blocks until something is pending. */
static void run_blocks(struct cpu *cpu)
{
    struct block_cache *cache = cpu->blocks;
    struct block *b = block_find(cpu);

    cpu->block_stale = false;
    for (;;) {
        struct block **link, *next;
        uint32_t generation, from, moved;

        if (__builtin_expect(!b || !block_fits_limit(cpu, b), 0)) {
            cache->running = &cache->none;
            run_one(cpu);
            return;
        }
        from = cpu->eip;
        if (__builtin_expect(!block_execute(cpu, b), 0))
            break;
        if (something_pending(cpu))
            break;
        if (!b->linkable) {
            if (cpu->halted)
                break;
            b = block_find(cpu);
            continue;
        }
        moved = cpu->eip - from;
        link = &b->link[moved != b->bytes];
        next = *link;
        if (__builtin_expect(next->host == b->host + moved, 1)) {
            b = next;
            continue;
        }
        generation = cache->generation;
        next = block_find(cpu);
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
    int landing = setjmp(cpu->fault_exit);
    if (landing) {
        settle_statistics(cpu);
        if (landing != CPU_LANDING_RESTART && !cpu_deliver_fault(cpu))
            return CPU_STOP_SHUTDOWN;
    }
    for (;;) {
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
    int landing = setjmp(cpu->fault_exit);
    if (landing == CPU_LANDING_RESTART)
        return CPU_STOP_REQUESTED;
    if (landing)
        return cpu_deliver_fault(cpu) ? CPU_STOP_REQUESTED : CPU_STOP_SHUTDOWN;
    if (cpu->events && cpu_take_events(cpu))
        return CPU_STOP_REQUESTED;
    if (cpu->halted)
        return CPU_STOP_HALTED;
    step_one(cpu);
    return CPU_STOP_REQUESTED;
}
