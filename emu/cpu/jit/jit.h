/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The translator as the rest of emu/cpu sees it; theory: docs/translator.md, translate.c, cache.c.
 * Machine thread only.
 */
#pragma once

#include "emu/cpu/block.h"

#include <glib.h>

struct jit;

/* Sets cpu->jit. NULL when this host gives no executable memory or lacks what translated code uses; the error
 * says which. */
struct jit *jit_new(struct cpu *cpu, GError **error);
void jit_free(struct cpu *cpu, struct jit *jit);

/* Executes from `b`, the block at CS:EIP in the mode BLOCK_MODE_FLAT, until translated code leaves. False:
 * the block is not for translated code (yet), and nothing was done. True: look at block_stale and events, and
 * find the next block anew. May cpu_fault(). */
bool jit_enter(struct cpu *cpu, struct block *b);

/* `b` is dropped: nothing leads to its translation any more. Sets block_stale if it has one. */
void jit_block_dropped(struct cpu *cpu, struct block *b);
/* All blocks are dropped. */
void jit_flush(struct cpu *cpu);
/* The memory of what was dropped goes back to the host: after jit_flush(), with nothing translated since. */
void jit_give_back(struct cpu *cpu);

/* How tables are indexed: "pext", "shift" (BMI2 without a fast pext) or "sse" (any host); for tests. False
 * when this host cannot. */
bool jit_set_index(struct cpu *cpu, const char *name);
/* Without links every block is left at its end: for lockstep and -d exec. Before anything is translated. */
void jit_set_linking(struct cpu *cpu, bool linking);
/* Translated code counts instructions from now on (icount.h), and there is no hot code. Before anything is
 * translated. */
void jit_set_icount(struct jit *jit);
/* Shows what is translated from now on; `debug` becomes the translator's. */
struct jit_debug;
void jit_set_debug(struct cpu *cpu, struct jit_debug *debug);
struct jit_debug *jit_get_debug(const struct cpu *cpu);
/* Executions of a block before it is translated; for tests. */
void jit_set_threshold(struct cpu *cpu, unsigned executions);
/* Entries of a block from behind or by indirect branches before it is translated for the windows; for tests.
 * 0: at once, and no matter what the windows cost. */
void jit_set_heat(struct cpu *cpu, unsigned entries);
/* Instructions that had no emitter when they were translated, by row, and the rest of `info jit`. */
void jit_describe(const struct cpu *cpu, GString *out);
void jit_foreach_counter(const struct cpu *cpu, cpu_counter_fn *visit, void *opaque);
