/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the files of the translator share. Only emu/cpu/jit includes this.
 */
#pragma once

#include "emu/cpu/jit/emit_x64.h"
#include "emu/cpu/jit/flat.h"
#include "emu/cpu/jit/jit.h"

#define JIT_CODE_SIZE  (32u << 20) /* unless asked for otherwise */
#define JIT_DATA_SIZE  (16u << 20)
#define JIT_BLOCK_ROOM 32768u  /* no translation is larger, */
#define JIT_HOT_ROOM   131072u /* unless it is a hot one */

struct jit_block;

/* A direct branch: the displacement of a jump or call, at first to code that leaves with this link (`back`).
 * Within the page it is led straight to its target. Across pages it stays with the code at `back`, which
 * compares the page that is mapped there now: `expect` is the number it subtracts, `hit` the jump when it is
 * that one, `miss` the jump when not. All are offsets in the code memory. */
struct jit_link {
    uint32_t site, back;
    uint32_t expect, hit, miss; /* expect 0: within the page */
    uintptr_t page;             /* host address of the page that the branch is on */
    int32_t target;             /* offset in the page */
    uint8_t mode;               /* of the block that it is in */
    bool backward;              /* the target looks at what is pending */
    bool hot;                   /* of hot code: what it leads to becomes hot as well */
    uint8_t fp_live;            /* FPU units that are live there */
    struct jit_block *to;
    struct jit_link *next_in; /* of to->incoming */
};
#define JIT_EXPECT_NONE 0x7fffffffu /* no page has this number */

/* A translation. */
struct jit_block {
    uintptr_t host;
    struct jit_entries {
        uint8_t *indirect;          /* r8d: EIP; for indirect branches */
        uint8_t *polling;           /* looks at what is pending first; for links from behind */
        uint8_t *quiet;             /* for links from before */
        uint8_t *live, *live_quiet; /* the same two where the FPU units in fp_wanted are live */
    } entry,                        /* those in use */
        other;                      /* of its hot code when that is not in use, of its flat code when it is */
    uint32_t heat;                  /* entries from behind until it is hot; translated code counts it down */
    uint8_t asked;                  /* how often hot code was left for it */
    bool hot;                       /* code for the window is in use (window.c) */
    uint8_t window;                 /* and for which */
    struct jit_block *next_hot;     /* of jit->hot_blocks; since the last flush it was hot */
    uint8_t fp_wanted;
    uint16_t cached[TLB_TABLES]; /* bit n: may be in the region's branch cache, with bits 12…15 of EIP = n */
    struct jit_link *incoming;
};

/* How tables are indexed. */
enum jit_index {
    JIT_INDEX_PEXT,  /* BMI2 with a fast pext */
    JIT_INDEX_SHIFT, /* shrx and shlx */
    JIT_INDEX_SSE,   /* anything */
};
/* cpu->jit_index */
enum jit_index_mask { JIT_MASK_2, JIT_MASK_8, JIT_MASK_10, JIT_MASK_16, JIT_MASK_64 };
#define JIT_MASK_4 0xfffff003u /* in r13 */

/* From PIECE_4_SOON on, and for bytes, with the tables by page alone. */
enum jit_piece_size { PIECE_1, PIECE_2, PIECE_4, PIECE_4_SOON, PIECE_8, PIECE_10, PIECE_16, PIECE_SIZES };

struct jit {
    bool icount;
    uint8_t *code; /* writable */
    size_t code_size;
    ptrdiff_t exec; /* what to add to get the executable address, which is below 4 GiB */
    uint8_t *at, *start;
    uint8_t *cold; /* the same for code that is rarely run */
    uint8_t *data;
    size_t data_used;
    struct jit_link *pending; /* the link by which translated code left last, and for which EIP */
    uint32_t pending_eip;
    uint32_t generation; /* flat_generation() when the stack of return addresses began */
    uint8_t cpl;         /* and CPL: code of another level is not to be returned to */
    unsigned threshold, heat, asked;
    enum jit_index index;
    bool quick_movsb;             /* REP MOVSB is the quickest short move: insn_string.c */
    struct jit_block *hot_blocks; /* that have hot code */
    struct window *window;        /* NULL: nothing is ever hot */
    bool gs;                      /* the host's GS leads to it */
    bool unlinked;                /* no links, and no look-up finds anything */
    struct jit_debug *debug;      /* NULL: nobody looks */
    const uint8_t *insns;         /* start of the pool of decoded blocks */
    const uint32_t *now;          /* flat_generation(), for translated code */
    uint8_t *stack;               /* of return addresses: the memory, */
    uint8_t *stack_top[2];        /* and where those of the supervisor and of the user begin */
    uint64_t translated, hot, flushes, branches, links, fallbacks[INSN_COUNT];
    uint64_t entered, continued, fills, runs[INSN_COUNT];

    /* pieces entered from translated code; addresses of the writable mapping */
    const uint8_t *enter;        /* void *enter(struct cpu *, const uint8_t *code) */
    const uint8_t *leave_link;   /* r8d: offset in the page, r9d: the link's offset in `data` */
    const uint8_t *leave_offset; /* r8d: offset in the page */
    const uint8_t *leave_eip;    /* r8d: EIP, r9d: as above */
    const uint8_t *find_eip;     /* r8d: EIP; goes on there if jit_find_eip() knows where that is */
    const uint8_t *look_up;      /* r8d: EIP */
    const uint8_t *run_one;  /* called; r9d: instruction's offset in the pool, r10d: its offset in the page */
    const uint8_t *run_last; /* jumped to; the same, and leaves or finds the next block */
    const uint8_t *run_direct;            /* called, struct jit_slow_data behind the jump behind the call */
    const uint8_t *place[2][PIECE_SIZES]; /* called; [write]; r8d: linear address; rcx becomes the addend */
    const uint8_t *read_tsc;              /* called; insn_system.c */
    const uint8_t *sysenter, *sysexit;    /* jumped to, as run_last; gate.c */
    const uint8_t *int_user, *iret_user;
    const uint8_t *fp_load[4]; /* fp_live.c */
};

/* Behind `call piece; jmp rel32` out of line: what to run when the piece finds no place. */
struct jit_slow_data {
    uint32_t insn;   /* offset in the pool */
    int32_t after;   /* where to go on, from this structure; 0: nowhere in this block */
    uint16_t offset; /* in the page */
} __attribute__((packed));

static inline const uint8_t *jit_executable(const struct jit *jit, const uint8_t *code)
{
    return code + jit->exec;
}
void *jit_take(struct jit *jit, size_t size);
/* Where what is out of line begins. */
static inline size_t jit_cold(const struct jit *jit)
{
    return jit->code_size / 2;
}
static inline bool jit_has_room(const struct jit *jit, size_t room)
{
    return (size_t)(jit->at - jit->code) + room <= jit_cold(jit) &&
           (size_t)(jit->cold - jit->code) + room <= jit->code_size &&
           jit->data_used + JIT_BLOCK_ROOM <= JIT_DATA_SIZE;
}

/* ---- runtime.c ---- */
/* The common pieces at the start of the code memory. */
void jit_emit_runtime(struct jit *jit);
/* Flags out of cpu->jit_flags into cpu->status. */
void jit_status_back(struct cpu *cpu);
/* cache.c: the code to go on with at EIP, or NULL to leave. */
const uint8_t *jit_continue(struct cpu *cpu);
/* The same from translated code at the present privilege, when its own look failed. */
const uint8_t *jit_find_eip(struct cpu *cpu);
void jit_prepare(struct cpu *cpu, bool flat);

/* What jit->look_up is, for a jump of one's own. */
void emit_look_up(const struct jit *jit, struct emit *e);
/* Both stacks of return addresses begin anew. */
void jit_forget_returns(struct jit *jit, struct cpu *cpu);

/* ---- insn_system.c, gate.c ---- */
/* Emits what jit->read_tsc is, and jit->sysenter and its neighbours. */
void system_emit_runtime(struct jit *jit);
void gate_emit_runtime(struct jit *jit);

/* ---- insn_string.c ---- */
bool jit_movsb_is_quick(void);

/* ---- translate.c ---- */
struct jit_block *jit_translate(struct jit *jit, struct block *b);
/* Once more, for the window; goes on at the flat code while the window is off. The entries are in `other`.
 * False: no room for its sites. */
bool jit_translate_hot(struct jit *jit, struct block *b);
