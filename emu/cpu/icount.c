/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* What the machine sees of the counter of instructions: icount.h. Machine thread. */
#include "emu/cpu/icount.h"

#include "emu/cpu/jit/jit.h"

void cpu_set_icount(struct cpu *cpu)
{
    cpu->icount = true;
    if (cpu->jit)
        jit_set_icount(cpu->jit);
}

uint64_t cpu_icount(const struct cpu *cpu)
{
    const struct block_cache *cache = cpu->blocks;
    int64_t left = cpu->icount_left;

    if (cpu->icount_block)
        left += icount_behind(cpu->icount_block, icount_block_eip(cpu), cpu->insn_eip);
    else if (cache->running != &cache->none)
        left += icount_behind(cache->running, cache->running_eip, cpu->insn_eip);
    return cpu->icount_target - (uint64_t)left;
}

void cpu_icount_until(struct cpu *cpu, uint64_t count)
{
    cpu->icount_left += (int64_t)(count - cpu->icount_target);
    cpu->icount_target = count;
    if (cpu->icount_left < 0) /* the end is within the running block */
        cpu->block_stale = true;
}
