/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the translator's emitting files share: the block under translation. Theory: translate.c.
 */
#pragma once

#include "emu/cpu/jit/jit_internal.h"

#include <stddef.h>

#define CPU(member) ((int32_t)offsetof(struct cpu, member))

#define TLB_SLOT_SHIFT (PHYS_PAGE_SHIFT - 5)
#define TLB_SLOT_MASK  ((int32_t)((TLB_SIZE - 1) << 5))

/* The host register that holds a guest register. */
static inline int host_of(unsigned guest)
{
    return guest == ESP ? R12 : (int)guest;
}

#define SLOW_JUMPS 8
#define MAX_EXITS  (2 * BLOCK_MAX_INSNS)

/* A jump out of line, to be emitted behind the block: the whole instruction by its interpreter function. */
struct slow {
    const struct insn *in;
    uint32_t offset;
    uint8_t *jump[SLOW_JUMPS];
    unsigned jumps;
    uint8_t *resume; /* NULL: leaves afterwards */
    bool in_host;    /* the flags are expected there too */
};

/* A direct branch, its flags and link to be emitted behind the block. */
struct exit {
    uint8_t *jump;
    int32_t target; /* offset in the page; may be outside of it */
    uint32_t from;
    bool in_r13;
};

struct translation {
    struct emit e;
    struct jit *jit;
    const struct block *b;
    const struct insn *in;
    const struct insn_row *row;
    uint32_t offset, next; /* of the instruction and the next one, in the page */
    /* flags: what the instruction reads, certainly overwrites, and whether it changes any; what is read after
     * it, and before */
    uint32_t reads, kills, live_after, live_before;
    bool touches;
    bool in_host, in_r13; /* where the guest's flags are valid, those that are live */
    bool ended;           /* nothing follows */
    struct slow slow[BLOCK_MAX_INSNS];
    unsigned slows;
    struct exit exits[MAX_EXITS];
    unsigned exit_count;
    uint32_t live[BLOCK_MAX_INSNS + 1];
};

/* Flags: into r13 (r10 is used), into the host's (r10 is used). */
void flags_to_r13(struct translation *t);
void flags_to_host(struct translation *t);
/* The host's flags are about to be lost: those that the instruction or what follows reads go to r13. */
void flags_lose(struct translation *t);
/* The flags that the coming instruction needs are in the host's register. */
void flags_need(struct translation *t);
/* It was executed. */
void flags_done(struct translation *t);

/* The emitters of insn_*.c: false when there is none for this form, and then nothing was emitted. */
bool emit_instruction(struct translation *t);
/* What the instruction does with flags, for liveness; of the row, but more exact where the form is known. */
void instruction_flags(const struct insn *in, uint32_t *reads, uint32_t *kills, bool *touches);
bool instruction_is_known(const struct insn *in);

/* r8d = offset of the memory operand, its linear address; r9 + r8 = its place in host memory, or a jump out
 * of line. r10 is used. Flags must have been lost before. */
void emit_operand_place(struct translation *t, unsigned size, bool write);
/* The same from the offset in r8d, in SS. */
void emit_stack_place(struct translation *t, bool write);
struct slow *slow_here(struct translation *t);

void emit_direct(struct translation *t, uint8_t *jump, int32_t target);
void emit_indirect(struct translation *t); /* r8d: EIP */
