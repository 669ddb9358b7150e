/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What lockstep.c and lockstep_report.c share.
 */
#pragma once

#include "emu/cpu/lockstep.h"

#define LOCKSTEP_LINE  64u
#define LOCKSTEP_LINES 16384u
#define LOCKSTEP_FILLS 256u
#define LOCKSTEP_PATH  16u   /* blocks of a stretch that a report names: the last ones */
#define LOCKSTEP_MOST  4096u /* blocks of a stretch, before it is cut */
#define LOCKSTEP_SEEN  (4 * LOCKSTEP_MOST)
#define LOCKSTEP_DIRTY 16u

/* 64 bytes of RAM that the interpreter stored to: before, and as each left them. */
struct lockstep_line {
    uint64_t at; /* offset in RAM */
    uint8_t before[LOCKSTEP_LINE], after[LOCKSTEP_LINE], ran[LOCKSTEP_LINE];
};

/* Registers and everything else in struct cpu that an instruction can change: all before `board`. */
struct lockstep_state {
    _Alignas(64) uint8_t bytes[offsetof(struct cpu, board)];
};

enum lockstep_phase { LOCKSTEP_OFF, LOCKSTEP_TRY /* the interpreter, on approval */, LOCKSTEP_RUN };

/* How an execution of a block ended. */
enum lockstep_end {
    LOCKSTEP_DONE,    /* at its end, or early because code was overwritten or a repetition paused */
    LOCKSTEP_FAULT,   /* cpu_fault() */
    LOCKSTEP_RESTART, /* CPU_LANDING_RESTART */
    LOCKSTEP_EFFECT,  /* before something outside CPU and RAM */
    LOCKSTEP_REFUSED, /* the translator leaves this block to the interpreter, or it stores too much */
};

struct lockstep_outcome {
    enum lockstep_end end;
    uint8_t vector;
    uint32_t error;
    uint32_t at; /* EIP: of the next instruction, or of the one that faulted */
};

/* With options.links: what the interpreter executed, from block to block. lockstep_links.c */
struct lockstep_stretch {
    unsigned wanted; /* blocks, at least: the stretch ends at the next EIP it has not come to yet */
    unsigned blocks; /* executed */
    unsigned fresh;  /* how many of them before the last EIP that had not come before */
    unsigned most;   /* blocks, when it is executed again as far as `goal` */
    const struct cpu *goal;
    uint32_t goal_eip;
    bool at_goal, cut; /* cut: it met nothing but EIPs that it knew */
    bool flushed;      /* all blocks were dropped meanwhile */
    bool stops;        /* at `stop`, whose block is to be dropped: so the translation leaves there */
    uint32_t stop;
    uintptr_t stop_host;         /* 0: nothing is executed there */
    const struct block *running; /* by the interpreter */
    uint32_t path[LOCKSTEP_PATH];
    uintptr_t dirty[LOCKSTEP_DIRTY]; /* blocks that were decoded from what the interpreter stored */
    unsigned dirty_count;
    uint32_t now; /* number of the stretch */
    struct {
        uint32_t eip, when;
    } seen[LOCKSTEP_SEEN]; /* EIPs that it came to */
};

struct lockstep {
    struct cpu_lockstep options;
    struct lockstep_stretch stretch;
    enum lockstep_phase phase;

    /* the block under comparison */
    const struct block *block;
    uintptr_t host;      /* where it was: a dropped block forgets */
    uint32_t generation; /* of the block cache: with another one the block is no more */
    uint32_t eip;
    unsigned undone;  /* executions of the translation in a row that did nothing */
    bool pinpointed;  /* it is the shortest that differs, and was translated last */
    bool walks;       /* the next store is a walk\'s */
    bool overwritten; /* the interpreter stored into the block's own bytes */
    struct lockstep_line *lines;
    unsigned line_count;
    bool lines_fixed; /* those that are kept are enough */
    uint32_t fills[LOCKSTEP_FILLS];
    unsigned fill_count;
    bool fills_lost;
    struct lockstep_state start, tried, ran; /* before, after the interpreter, after the translation */
    struct tlb_entry *start_tlb;
    struct lockstep_outcome expected, actual;
    jmp_buf outer; /* cpu->fault_exit as the run loop set it */

    struct cpu_board board; /* the real one */
    bool ferr;              /* FERR# as it was set last */

    uint32_t executed[BLOCK_HASH_SIZE]; /* by hash of the block; for options.sample */
    uint64_t random;
    uint64_t blocks, compared, instructions, faults, effects, refused, reruns;
    uint64_t linked, uncompared; /* blocks compared in stretches; stretches that were too long to be */
    unsigned tried_insns;        /* that the interpreter began */
    int64_t began, told;         /* monotonic time, µs */
    GString *report;
};

/* lockstep.c, for lockstep_links.c: one block by the interpreter, until EIP is `until` or the stretch's goal
 * is reached. False: there, or before the block's end for another reason. */
bool lockstep_interpret_block(struct cpu *cpu, struct lockstep *l, const struct block *b, uint64_t until);
#define LOCKSTEP_NOWHERE UINT64_MAX
/* The instruction is executed by the interpreter alone. */
bool lockstep_has_effects(const struct block *b);
#define LOCKSTEP_TOO_MUCH 101 /* landing: more than there is room to note */

/* lockstep_links.c: the interpreter from the block l->block on, to the end of a stretch. Under fault_exit. */
void lockstep_interpret_stretch(struct cpu *cpu, struct lockstep *l);
/* The translations, linked, as far. False: none was entered. Under fault_exit. */
bool lockstep_run_stretch(struct cpu *cpu, struct lockstep *l, struct block *b);
void lockstep_describe_stretch(const struct lockstep *l, GString *out);

/* lockstep_report.c: whether two states are the same in all that is compared. */
bool lockstep_states_agree(const struct cpu *a, const struct cpu *b);
/* What of it differs, a line each: `a` is the interpreter's, `b` the translator's. */
void lockstep_describe_states(const struct cpu *start, const struct cpu *a, const struct cpu *b,
                              GString *out);
/* The block, both outcomes, and what differs. */
void lockstep_describe_difference(struct lockstep *l, struct cpu *cpu, GString *out);
/* The state as a struct cpu of which nothing behind `board` may be used. */
static inline const struct cpu *lockstep_cpu(const struct lockstep_state *state)
{
    return (const struct cpu *)(const void *)state->bytes;
}
