/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the translator's emitting files share: the block under translation. Theory: translate.c.
 *
 * Rules for an emitter. The guest's status flags are in the host's EFLAGS, always: what is not the guest's
 * own arithmetic must leave them alone (mov, lea, movzx, not, xchg, bswap, jrcxz, pext, rorx, shrx, shlx; SSE
 * on xmm8…15). Registers: EAX EDX EBX EBP ESI EDI in the host's of that name, ECX in r11, ESP in r12
 * (host_of()); r13, r14, r15 and rsp are fixed. Free for use: rcx, r8, r9, r10; looking for a place in memory
 * uses rcx, r8 and r9, and leaves r10. Upper halves of the guest's registers are zero. Nothing of the guest's
 * state is changed before the last emit_out…() or emit_operand_place(): they may run the whole instruction
 * anew.
 */
#pragma once

#include "emu/cpu/jit/fp.h"
#include "emu/cpu/jit/jit_internal.h"

#include <stddef.h>

#define CPU(member) ((int32_t)offsetof(struct cpu, member))
/* A table's displacement from r14. */
#define TABLE(offset) ((int32_t)(offset)-FLAT_BIAS)

/* The host register that holds a guest register. */
static inline int host_of(unsigned guest)
{
    return guest == ESP ? R12 : guest == ECX ? R11 : (int)guest;
}

#define MAX_SLOWS   (20 * BLOCK_MAX_INSNS) /* hot code has half of them twice */
#define MAX_EXITS   (4 * BLOCK_MAX_INSNS)
#define MAX_PENDING 16

/* A way out of line, emitted behind the block: a call of the piece that finds the place (rcx) and comes back
 * to `resume`, or else runs the instruction by its interpreter function and goes on at `after`. */
struct slow {
    const struct insn *in;
    uint32_t offset;
    const uint8_t *piece; /* NULL: leaves before the instruction */
    int linear;           /* the register with the linear address, or EMIT_NONE */
    uint8_t *jump[4];     /* displacements of the jumps here */
    unsigned jumps;
    uint8_t *island;               /* one of them, which a jrcxz behind it may reach */
    uint8_t *resume, *after;       /* after NULL: leaves */
    bool leaves;                   /* always */
    unsigned run_first, run_count; /* not 0: these instructions one by one, then `after` */
    struct fp_point fp;
};

/* A direct branch; its link is emitted behind the block. */
struct exit {
    uint8_t *jump;
    const struct insn *in; /* the branch; NULL: the next instruction */
    int32_t target;        /* offset in the page; may be outside of it */
    uint32_t from;
    uint8_t fp_live;
};

struct translation {
    struct emit e;
    struct jit *jit;
    const struct block *b;
    const struct insn *in;
    const struct insn_row *row;
    uint32_t offset, next; /* of the instruction and the next one, in the page */
    const uint8_t *begun;  /* its code */
    bool ended;            /* nothing follows */
    bool hot;              /* the block is translated for the window */
    bool window;           /* places are in the window: nothing is looked up */
    bool windowed;         /* such a place was emitted */
    /* Instructions with such places: they are emitted once more, for the tables. */
    struct site {
        uint8_t *start, *end;
        unsigned insn;
        uint8_t plain;
        struct fp_point fp;
        bool ended;
    } site[BLOCK_MAX_INSNS];
    uint8_t *away; /* the jump to the flat block */
    unsigned sites;
    bool full;     /* no room for more of them */
    uint8_t plain; /* bits: FS, GS are known to be plain */
    struct fp_point fp;
    struct slow slow[MAX_SLOWS];
    unsigned slows;
    struct exit exits[MAX_EXITS];
    unsigned exit_count;
    /* jrcxz whose islands are still to come */
    struct {
        uint8_t *disp; /* its displacement byte */
        unsigned slow;
    } pending[MAX_PENDING];
    unsigned pendings;
    /* places for islands before the block, for the first jrcxz in it */
    uint8_t *ahead;
    unsigned aheads;
};

static inline bool is_flat(const struct translation *t)
{
    return t->b->mode & BLOCK_MODE_FLAT;
}

/* A way out of line from the present instruction, by number, and a jrcxz to it. `piece` NULL leaves at the
 * start of the block's present offset; `linear` is the register with the linear address that the piece wants,
 * or EMIT_NONE. */
unsigned slow_new(struct translation *t, const uint8_t *piece, int linear);
void emit_out(struct translation *t, unsigned slow);

/* The emitters: false when there is none for this form, and then nothing was emitted. */
bool emit_instruction(struct translation *t);
bool emit_string_instruction(struct translation *t); /* insn_string.c; INS and OUTS are not asked for */
bool emit_system_instruction(struct translation *t); /* insn_system.c; asked first */
bool emit_gate_instruction(struct translation *t);   /* gate.c */
bool emit_cld(struct translation *t);

/*
 * r8d = linear address of the memory operand, [rcx + r8] its place in host memory; or out of line. `size` is
 * 1, 2, 4, 8, 10 or 16.
 */
void emit_operand_place(struct translation *t, unsigned size, bool write);
/* The same when the linear address is in `linear` already, which may be any register but rcx and r9; it is
 * still there afterwards: the place is [rcx + linear]. */
void emit_place(struct translation *t, int linear, unsigned size, bool write);
/* In hot code, where the host's GS leads to the window, an access needs nothing before it: opcode reg,
 * operand, and the same with [base + disp]. Ask emit_window_direct() first. */
bool emit_window_direct(const struct translation *t);
/* For code that changes CPL itself, beside r14; rax is used. */
void emit_window_switch(const struct jit *jit, struct emit *e, unsigned table);
/* The operand of the instruction, no segment but a flat one; `high`: reg is AH, DH or BH. */
bool emit_window_operand(struct translation *t, unsigned size, unsigned opcode, int reg, bool high);
/* The same for x87 (prefix 0) and SSE. Where the operand must be aligned the host checks it. */
bool emit_window_simd(struct translation *t, unsigned prefix, unsigned opcode, int reg);
void emit_window_at(struct translation *t, unsigned size, unsigned opcode, int reg, int base, int32_t disp);
/* Sixteen bytes; the address is known to be a multiple of as many. */
void emit_place_aligned(struct translation *t, int linear, bool write);
/* As emit_operand_place(), but the address may stay in the base register, which is returned. */
int emit_operand_at(struct translation *t, unsigned size, bool write);
/* r8d = linear address of the memory operand, and nothing is looked up; uses rcx and r9. */
void emit_operand_address(struct translation *t);
/* Code that is not flat: r8d = linear address of `size` bytes at offset r8d in a segment; and only the limit
 * of the offset in register `offset`, not rcx or r9. Both use rcx and r9. */
void emit_segment_address(struct translation *t, unsigned seg, unsigned size);
void emit_limit(struct translation *t, unsigned seg, int offset, unsigned size);
/* The offset of the operand into `to`, segments aside. */
void emit_effective_address(struct translation *t, unsigned size, int to);
/* When rcx is 0, or unless it is: the instruction is run by its interpreter function. */
void emit_out_if_zero(struct translation *t);
void emit_out_unless_zero(struct translation *t);
/* At least `bytes` can be emitted now without a jrcxz getting out of reach; each emit_out…() sees to 60. */
void emit_room(struct translation *t, unsigned bytes);
/* Flag-free shifts of 32 or 64 bits (`size` in bytes) by a constant; rcx is used. Not FREE_SAR of 64 bits. */
enum free_shift { FREE_SHL, FREE_SHR, FREE_SAR };
void emit_free_shift(struct translation *t, enum free_shift shift, unsigned size, int to, int from,
                     unsigned count);
/* runs.c: the instructions from `first` on with one look for all their accesses; how many, or 0. */
unsigned emit_run(struct translation *t, unsigned first);
/* For it: [rcx + r8] is the place of 64 bytes, to be written if `write`; else the `count` instructions from
 * `first` on are executed one by one. */
void emit_span_place(struct translation *t, bool write, unsigned first, unsigned count);
void translate_begin(struct translation *t, unsigned i);
void translate_done(struct translation *t);
/* feeds.c */
bool insn_feeds_address(const struct block *b, const struct insn *in);
/* Index of a table by page: `to` = from >> 12, for 32 bits; rcx is used on some hosts. */
void emit_page_index(struct emit *e, const struct jit *jit, int to, int from);

/* The instruction by its interpreter function. */
void emit_fallback(struct translation *t);

void emit_direct(struct translation *t, uint8_t *jump, int32_t target);
