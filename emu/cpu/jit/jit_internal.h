/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What cache.c and translate.c share. Only emu/cpu/jit includes this.
 */
#pragma once

#include "emu/cpu/jit/emit_x64.h"
#include "emu/cpu/jit/fp.h"
#include "emu/cpu/jit/jit.h"

#define JIT_CODE_SIZE  (32u << 20)
#define JIT_DATA_SIZE  (16u << 20)
#define JIT_BLOCK_ROOM 16384u /* no translation is larger */
#define JIT_HASH_BITS  15
#define JIT_HASH_SIZE  (1u << JIT_HASH_BITS)
#define JIT_HASH_SHIFT 15 /* of the host address, XORed to it */

struct jit_block;

/* A direct branch within a page. `site` are the displacements of two jumps, one behind the other: the first
 * is led to the target when that does not need the flags, else the second, which comes after they were put
 * into r13. `back` is where they led at first. All addresses are of the writable mapping. */
struct jit_link {
    uint8_t *site[2];
    uint8_t *back[2];
    uintptr_t target_host;
    bool backward; /* the target looks at what is pending */
    bool saved;    /* the flags are in r13 at the first site already */
    struct jit_block *to;
    struct jit_link *next_in; /* of to->incoming */
};

/* A translation. */
struct jit_block {
    uintptr_t host;
    uint8_t *entry;       /* looks at what is pending first; for links from behind and indirect branches */
    uint8_t *entry_quiet; /* for links from before */
    bool flags_in;        /* reads the flags that it is entered with: they must be in r13 */
    struct jit_link *incoming;
};

struct jit_hash_entry {
    uintptr_t host;
    const uint8_t *code; /* executable address */
};

struct jit {
    uint8_t *code;  /* writable */
    ptrdiff_t exec; /* what to add to get the executable address */
    uint8_t *at, *start;
    uint8_t *data;
    size_t data_used;
    struct jit_link *pending; /* the link by which translated code left last */
    unsigned threshold;
    bool unlinked;           /* no links, and no look-up finds anything */
    struct jit_debug *debug; /* NULL: nobody looks */
    uint64_t translated, flushes, links, fallbacks[INSN_COUNT];

    /* entered by jumps from translated code; addresses of the writable mapping */
    const uint8_t *enter;        /* void *enter(struct cpu *, const uint8_t *code) */
    const uint8_t *leave_link;   /* r8d: offset in the page, r9: the link */
    const uint8_t *leave_offset; /* r8d: offset in the page */
    const uint8_t *look_up;      /* r8d: EIP; flags in r13 */
    const uint8_t *run_one;      /* called; r9: instruction, r10d: its offset in the page */
    const uint8_t *run_last;     /* the same, and leaves */
    const uint8_t *fp_load[FP_UNITS], *fp_reload[FP_UNITS]; /* called; fp.h */

    struct jit_hash_entry hash[JIT_HASH_SIZE];
};

static inline struct jit_hash_entry *jit_hash_slot(struct jit *jit, uintptr_t host)
{
    return &jit->hash[(host ^ host >> JIT_HASH_SHIFT) & (JIT_HASH_SIZE - 1)];
}
static inline const uint8_t *jit_executable(const struct jit *jit, const uint8_t *code)
{
    return code + jit->exec;
}
void *jit_take(struct jit *jit, size_t size);
static inline bool jit_has_room(const struct jit *jit)
{
    return (size_t)(jit->at - jit->code) + JIT_BLOCK_ROOM <= JIT_CODE_SIZE &&
           jit->data_used + JIT_BLOCK_ROOM <= JIT_DATA_SIZE;
}

/* ---- translate.c ---- */
/* The common pieces at the start of the code memory. */
void jit_emit_runtime(struct jit *jit);
struct jit_block *jit_translate(struct jit *jit, struct block *b);
