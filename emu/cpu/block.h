/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Decoded blocks as block.c, run.c and the translator see them. Theory: block.c.
 */
#pragma once

#include "emu/cpu/cpu_internal.h"
#include "emu/cpu/insn.h"

/* What decoding depends on beside the bytes. */
#define BLOCK_MODE_CODE32 (1u << 0)
#define BLOCK_MODE_V86    (1u << 1) /* real or virtual-8086 mode */
/* 32-bit code; CS, DS, ES and SS begin at 0, have 4 GiB and allow what they are used for; a 32-bit stack:
 * then threaded.c's functions apply. */
#define BLOCK_MODE_FLAT (1u << 2)

#define BLOCK_MAX_INSNS 32
#define BLOCK_MAX_BYTES 240
#define BLOCK_HASH_SIZE 32768u
#define BLOCK_MADE_BITS 131072u
#define BLOCK_NO_PAGE   0xffffffffu

struct block {
    uintptr_t host;  /* host address of the first byte; 0: dropped, never to be entered again */
    uintptr_t host2; /* of the second page's start, when its one instruction crosses into it; else 0 */
    /* Where it went before, within the same page: [0] straight on, [1] elsewhere. Followed when the host
     * address fits; never NULL. */
    struct block *link[2];
    struct block *hash_next;
    struct block *page_next[2]; /* other blocks with bytes on this one's first and second page */
    uint32_t page[2];           /* RAM page numbers, BLOCK_NO_PAGE when there is none */
    uint16_t bytes;
    uint16_t first_bytes;          /* those on the first page */
    uint8_t count;                 /* instructions, at least 1 */
    uint8_t mode;                  /* BLOCK_MODE_ */
    uint8_t heat;                  /* executions before it is translated */
    struct jit_block *translation; /* jit/; NULL when there is none */
    bool linkable; /* falls through or ends in a near branch: mode and mapping are the same afterwards */
    struct insn insns[];
};

struct code_page;
struct jit_block;

struct block_cache {
    struct block *running; /* the block being executed, or &none; and the EIP it was entered with */
    uint32_t running_eip;
    uint32_t generation; /* counts block_cache_flush(): older block pointers are void */
    struct block *hash[BLOCK_HASH_SIZE];
    uint8_t *pool;
    size_t pool_used, pool_limit;
    /* Blocks made since everything was last dropped, and those made between that and the time before: a set
     * of hashes each; and how many of the first are in the second. */
    uint64_t made[BLOCK_MADE_BITS / 64], made_before[BLOCK_MADE_BITS / 64];
    unsigned made_count, made_again;
    struct code_page *pages; /* by RAM page; made with the first block */
    size_t page_count;
    uint32_t first_used; /* chain of pages that had blocks since the last flush; BLOCK_NO_PAGE ends it */
    struct block none;   /* where links point that lead nowhere */
};

static inline bool block_segment_is_flat(const struct segment *s)
{
    return s->base == 0 && s->min == 0 && s->max == 0xffffffff && s->can_read;
}

/* The mode for what comes next. Near branches do not change it; after anything else it is to be asked anew.
 */
static inline unsigned block_mode(const struct cpu *cpu)
{
    const struct segment *seg = cpu->seg;
    unsigned mode = (cpu->code32 ? BLOCK_MODE_CODE32 : 0) |
                    ((cpu->cr0 & CR0_PE) && !(cpu->eflags & FLAG_VM) ? 0 : BLOCK_MODE_V86);

    if (mode == BLOCK_MODE_CODE32 && block_segment_is_flat(&seg[SEG_CS]) &&
        block_segment_is_flat(&seg[SEG_DS]) && block_segment_is_flat(&seg[SEG_ES]) &&
        block_segment_is_flat(&seg[SEG_SS]) && seg[SEG_DS].can_write && seg[SEG_ES].can_write &&
        seg[SEG_SS].can_write && cpu->stack_mask == 0xffffffff)
        mode |= BLOCK_MODE_FLAT;
    return mode;
}

/* Neighbours in memory share cache lines of the table: most look-ups are of code that is not warm. */
static inline unsigned block_hash(uintptr_t host)
{
    return (unsigned)(host >> 3 ^ host >> 12 << 4) & (BLOCK_HASH_SIZE - 1);
}

/* The block at CS:EIP for block_mode(), decoded now when there was none. NULL: this code cannot be cached
 * (device memory, limit of CS): execute one instruction by block_decode_one(). Faults as the fetch does, with
 * insn_eip set. */
struct block *block_find(struct cpu *cpu, unsigned mode);

/* For lockstep.c. RAM bytes [ram_offset, +len) are about to be changed for a while: whether translated code
 * would be left for that, as they are part of `running` or of a block with a translation. Others are dropped;
 * so are all when `running` is NULL, for bits that a walk sets: they are no reason to leave. */
bool block_leaves_for(struct cpu *cpu, uint64_t ram_offset, size_t len, const struct block *running);
/* Drops the blocks that begin at this host address, so that translated code leaves there. */
void block_drop_at(struct cpu *cpu, uintptr_t host);

/* Fetches and decodes the one instruction at CS:EIP, byte by byte with all checks; faults as the fetch does.
 * What is undefined or too long comes out as an instruction that raises it. */
void block_decode_one(struct cpu *cpu, struct insn *out);

/*
 * threaded.c. A block is executed by calling the go function of its first instruction, with cpu->eip at the
 * block's start. Each go function ends by calling the next one's; the last sets cpu->eip to where execution
 * goes and returns. One that left early, before the block's end, has set block_stale.
 *
 * threaded_prepare() sets the go functions of a block that has its instructions and their `end`; one entry
 * behind the last instruction is used.
 */
void threaded_prepare(struct block *b, unsigned mode);
