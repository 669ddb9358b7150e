/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Counting instructions exactly, for -icount (machine/icount.c): the CPU stops before the instruction that
 * would be one too many, and knows in the middle of one how many were done before it.
 *
 * `icount_left` counts down. A block is counted whole when it begins: by the interpreter's run loop, or by
 * translated code at its front (jit/translate.c), which leaves when the counter gets negative. Whoever ends a
 * block early gives back what was not executed. Where fewer instructions are left than a block has, they are
 * executed one by one.
 *
 * What is counted is an instruction that ends: not one that faults, and a repeated string instruction once
 * however many elements it has and however often it pauses. An interrupt that becomes due within a block, or
 * a new deadline before its end, ends the block after the present instruction. So what the guest sees depends
 * on counts alone, not on where blocks begin, which of them are translated, or when the host looks in; both
 * engines count alike.
 */
#pragma once

#include "emu/cpu/block.h"
#include "emu/cpu/cpu_internal.h"

/* Instructions of a block that begins at `from` which are at `eip` or behind it. */
static inline unsigned icount_behind(const struct block *b, uint32_t from, uint32_t eip)
{
    uint32_t done = eip - from;
    unsigned behind = 0;

    for (unsigned i = b->count; i-- > 0 && (uint32_t)(b->insns[i].end - b->insns[i].length) >= done;)
        behind++;
    return behind;
}

static inline uint32_t icount_block_eip(const struct cpu *cpu)
{
    return cpu->jit_page + cpu->icount_offset; /* the block may be void by now, its `host` with it */
}

/* Translated code left its block before the instruction at `eip`. */
static inline void icount_settle(struct cpu *cpu, uint32_t eip)
{
    if (!cpu->icount_block)
        return;
    cpu->icount_left += icount_behind(cpu->icount_block, icount_block_eip(cpu), eip);
    cpu->icount_block = NULL;
}

/* Translated code came back to the run loop. */
static inline void icount_came_back(struct cpu *cpu)
{
    if (cpu->fp_denied)
        icount_settle(cpu, cpu->eip);
    else if (cpu->icount_block && cpu->icount_left < 0)
        cpu->icount_left += cpu->icount_block->count; /* it did not begin */
    cpu->icount_block = NULL;
}
