/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * x87, MMX and SSE in translated code, as the rest of the translator sees them. Theory: fp_live.c, fp_emit.c.
 *
 * While translated code runs, the guest's x87 and XMM registers may be live in the host's. What the core of
 * the translator owes them:
 *
 *   - fp_start() once for the CPU; fp_emit_spill() at the start, when jit->leave_offset is there;
 *   - before any call of a C function, and when translated code is left, with the guest's registers and flags
 *     stored: the piece of fp_emit_spill(), or fp_spill(cpu), if cpu->fp_live is not 0. C code would destroy
 *     xmm0…xmm7 and the x87 stack;
 *   - in an out-of-line path: fp_emit_note() before the call of an interpreter function, and after any call,
 *     before going back into the block, fp_emit_resume(), both with what t->fp was where the path branched off;
 *   - an instruction that is emitted as a call of its interpreter function within the block: fp_emit_note()
 *     with t->fp before it, t->fp = 0 after it;
 *   - before the code that ends a block, its branch or falling out of it: fp_emit_note() with t->fp, and then
 *     t->fp = fp_noted(t->fp);
 *   - jit_enter() says false once when cpu->fp_denied is set, and clears it: the interpreter is to execute
 *     the block at EIP.
 */
#pragma once

#include "emu/cpu/jit/emit_x64.h"

#include <stdbool.h>
#include <stdint.h>

struct cpu;
struct jit;
struct translation;

/* Units, ORed. */
#define FP_X87   1u /* MMX registers are a part of it */
#define FP_SSE   2u
#define FP_UNITS 4 /* sets of them */

/* What is known at a point of a block under translation, in t->fp. */
#define FP_POINT_LIVE       3u       /* units that are certainly live */
#define FP_POINT_NOTE       4u       /* FIP, FCS and FOP do not tell yet of the last x87 instruction, which is … */
#define FP_POINT_DATA       8u       /* nor FDS of the last memory operand, in segment … */
#define FP_POINT_SEG_SHIFT  4        /* … */
#define FP_POINT_SEG        (7u << FP_POINT_SEG_SHIFT)
#define FP_POINT_INSN_SHIFT 8        /* … of the block */
static inline uint32_t fp_noted(uint32_t fp)
{
    return fp & FP_POINT_LIVE;
}

/* ---- fp_live.c ---- */
void fp_start(struct cpu *cpu);
/* The live units go back to struct cpu, the host's get what C code wants. */
void fp_spill(struct cpu *cpu);
/* Makes `units` live; false when an instruction of theirs would fault, or could raise an unmasked exception. */
bool fp_load(struct cpu *cpu, unsigned units);
/* Emits the pieces: the one that calls fp_spill() is returned; the others are jit->fp_load and jit->fp_reload,
 * for each set of units a subroutine that makes them live and keeps all registers and flags. When that is not
 * allowed now, they leave translated code with fp_denied set, fp_load at offset r10d of the page and fp_reload
 * at cpu->eip. */
const uint8_t *fp_emit_spill(struct jit *jit, struct emit *e);

/* ---- fp_emit.c ---- */
/* An instruction with ATTR_X87, ATTR_MMX or ATTR_SSE. False: no emitter for this form, nothing was emitted. */
bool emit_fp_instruction(struct translation *t);
/* Stores FIP, FCS, FOP and FDS if need be. Flag-free; r9 is used. */
void fp_emit_note(struct translation *t, uint32_t fp);
/* Makes the point's units live again. Flag-free; keeps all registers. */
void fp_emit_resume(struct translation *t, uint32_t fp);
