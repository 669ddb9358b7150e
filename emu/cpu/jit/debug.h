/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The translator's work made visible: -d in_asm,op,out_asm, what lockstep shows of a block, names for perf.
 * Theory: debug.c. Machine thread.
 */
#pragma once

#include "emu/cpu/block.h"

#include <glib.h>

struct jit_debug;

/* `perfmap`: writes /tmp/perf-PID.map. Traces as trace.h has them when a block is translated. */
struct jit_debug *jit_debug_new(struct cpu *cpu, bool perfmap, GError **error);
void jit_debug_free(struct jit_debug *debug);

/* ---- the translator tells; only when there is a struct jit_debug ---- */

/* An instruction of the block under translation became `size` bytes; `how` is a constant: "emitted",
 * "interpreter" … */
void jit_debug_note(struct jit_debug *debug, const struct insn *in, size_t size, const char *how);
/* The block is done: what is run usually, and what is out of line. `eip`: of its first instruction. */
struct jit_span {
    const uint8_t *code; /* where it runs */
    size_t size;
};
void jit_debug_translated(struct jit_debug *debug, const struct block *b, uint32_t eip, struct jit_span usual,
                          struct jit_span cold);
/* Code that translations share. */
void jit_debug_shared(struct jit_debug *debug, const char *name, const uint8_t *code, size_t size);

/* ---- text ---- */

/* The latest translation of the block at this host address, an instruction a line; nothing when there was
 * none. Its code memory may have been used anew since. */
void jit_debug_translation(const struct jit_debug *debug, uintptr_t host, GString *out);
/* A block's instructions, a line each. */
void jit_debug_guest_code(const struct block *b, uint32_t eip, GString *out);
/* Host code, at the address where it runs; in bytes without libZydis. */
void jit_debug_host_code(const uint8_t *code, size_t size, GString *out);
