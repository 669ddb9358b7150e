/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A processor with RAM, empty ports and a clock that stands still: what tests of the CPU build on.
 *
 * rig_make() and rig_free() are enough for a test that brings its own tables. Those whose programs are a few
 * bytes of flat 32-bit code take the rest too: rig_lay_out() puts a GDT and an IDT at the places below, every
 * exception ends in a HLT of its own, and rig_run() says in which.
 */
#pragma once

#include "emu/cpu/cpu_internal.h"

enum {
    RIG_GDT = 0x1000,      /* 10, 18: flat code and data; 20, 28: the same for ring 3 */
    RIG_IDT = 0x2000,      /* 256 interrupt gates */
    RIG_HANDLERS = 0x3000, /* 16 bytes each: HLT */
    RIG_STACK = 0x8000,
};

struct rig {
    struct physmap *mem;
    struct portio *io;
    struct clock *clock;
    struct cpu *cpu;
    int vector; /* for boards whose acknowledge() wants one, −1 for none */
    void *own;  /* the test's */
};

/* `board` gives callbacks and their argument, or is NULL; memory, ports and clock are put in. */
void rig_make(struct rig *rig, uint64_t ram_size, const struct cpu_board *board);
/* Blocks are translated before their first execution from now on. False: this host cannot. */
bool rig_translate(struct rig *rig, GError **error);
void rig_free(struct rig *rig);

/* Two of them for the same programs, the second translated, its tables indexed as jit_set_index() has it or,
 * with NULL, as is best here. False: this host cannot; a test is skipped then. Starts rig_run_watched()'s
 * ticks, which are SIGVTALRM. */
bool rig_make_pair(struct rig *interpreter, struct rig *translator, uint64_t ram_size, const char *index);
/* cpu_run() for programs that may overwrite themselves and then run for ever: CPU_STOP_REQUESTED after a
 * third of a second of processor time. One rig at a time. */
enum cpu_stop rig_run_watched(struct rig *rig);

void rig_lay_out(struct rig *rig);
/* Resets the CPU; flat ring 0 at `eip`. */
void rig_start(struct rig *rig, uint32_t eip);
/* Machine code from hexadecimal digits and blanks. Returns the address behind it. */
uint32_t rig_load(struct rig *rig, uint32_t at, const char *hex);
/* Runs until HLT, wherever EIP is. Returns the vector when an exception's handler halted, −1 otherwise. */
int rig_run(struct rig *rig);
