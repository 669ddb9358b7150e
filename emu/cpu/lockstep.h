/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `-accel jit,lockstep=on`: interpreter and translator side by side. Theory: lockstep.c. Machine thread only.
 */
#pragma once

#include "emu/cpu/block.h"

#include <glib.h>

struct lockstep;

/* The CPU must have its translator. */
struct lockstep *lockstep_new(struct cpu *cpu, const struct cpu_lockstep *options);
void lockstep_free(struct lockstep *lockstep);

/* Executes `b`, the block at CS:EIP, by both. False: it is not for translated code, and nothing was done.
 * True: look at lockstep_report(), block_stale and events, and find the next block anew. May cpu_fault(),
 * when both did. */
bool lockstep_run(struct cpu *cpu, struct block *b);
/* The first difference as text, or NULL. */
const char *lockstep_report(const struct lockstep *lockstep);
void lockstep_describe(const struct lockstep *lockstep, GString *out);
void lockstep_foreach_counter(const struct lockstep *lockstep, cpu_counter_fn *visit, void *opaque);

/* ---- what the rest of emu/cpu tells it; only with cpu->lockstep ---- */

/* RAM bytes [ram_offset, +size) are about to be stored to, not by a write tag. True: the interpreter is being
 * tried; do the store, but drop no code and give no tag. */
bool lockstep_store(struct cpu *cpu, uint64_t ram_offset, unsigned size);
/* The next lockstep_store() is for bits that a walk sets. */
void lockstep_walk_stores(struct lockstep *lockstep);
/* While the interpreter is tried no write tag is to be given. */
bool lockstep_is_trying(const struct lockstep *lockstep);
/* A TLB entry was filled for this page. */
void lockstep_filled(struct cpu *cpu, uint32_t linear);
/* Something outside CPU and RAM is about to be read or changed (a device). Returns when that is to be done.
 */
void lockstep_effect(struct cpu *cpu);
/* Whether the block being decoded must end before `in`. */
bool lockstep_splits(const struct lockstep *lockstep, const struct block *b, const struct insn *in);
