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

struct lockstep {
    struct cpu_lockstep options;
    enum lockstep_phase phase;

    /* the block under comparison */
    const struct block *block;
    uintptr_t host; /* where it was: a dropped block forgets */
    uint32_t eip;
    unsigned undone;  /* executions of the translation in a row that did nothing */
    bool pinpointed;  /* it is the shortest that differs, and was translated last */
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
    int64_t began, told; /* monotonic time, µs */
    GString *report;
};

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
