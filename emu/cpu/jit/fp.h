/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * x87, MMX and SSE in translated code, as the rest of the translator sees them. Theory: fp_live.c, fp_emit.c.
 *
 * While translated code runs, the guest's x87 and XMM registers may be live in the host's. What the core of
 * the translator owes them:
 *
 *   - fp_start() once for the CPU, fp_emit_runtime() when jit->leave_offset is there;
 *   - before any call of a C function, and when translated code is left, with the guest's registers and flags
 *     stored: fp_spill(cpu) if cpu->fp_live is not 0. C code would destroy xmm0…xmm7 and the x87 stack;
 *   - in an out-of-line path: fp_emit_note(e, &point) before the call of an interpreter function, and after
 *     any call, before going back into the block, fp_emit_reload(), both with the struct fp_point that the
 *     translation had where the path branched off (a copy of t->fp);
 *   - an instruction that is emitted as a call of its interpreter function within the block:
 *     fp_emit_note(e, &t->fp) before it, t->fp = (struct fp_point){0} after it;
 *   - before the code that ends a block, its branch or falling out of it: fp_emit_note(e, &t->fp), and then
 *     t->fp.noted = NULL. It is up to FP_NOTE_BYTES long;
 *   - the block begins with fp_emit_entry(); links from where its units are live may go behind that;
 *   - jit_enter() says false once when cpu->fp_denied is set, and clears it: the interpreter is to execute
 *     the block at EIP.
 */
#pragma once

#include "emu/cpu/jit/emit_x64.h"

#include <stdbool.h>
#include <stdint.h>

struct block;
struct cpu;
struct insn;
struct jit;
struct translation;

/* Units, ORed. */
#define FP_X87   1u /* MMX registers are a part of it */
#define FP_SSE   2u
#define FP_UNITS 4 /* sets of them */

/* What is known at a point of a block under translation; all zeros at its start. */
struct fp_point {
    const struct insn *noted; /* the last x87 instruction, while FIP, FCS and FOP do not tell of it yet */
    uint32_t noted_offset;    /* where that is in the page */
    uint8_t live;             /* units that are certainly live */
    bool data_noted;          /* the same for FDS: the last memory operand … */
    uint8_t data_segment;     /* … was in this segment */
};

/* cpu->fp_note: where the instruction is in the page, what it is. */
#define FP_NOTE_THERE  (1u << 31)
#define FP_NOTE_OFFSET 0xfffu
#define FP_NOTE_OPCODE 12 /* three bits */
#define FP_NOTE_MODRM  15 /* eight */

/* ---- fp_live.c ---- */
void fp_start(struct cpu *cpu);
/* The live units go back to struct cpu, the host's get what C code wants. */
void fp_spill(struct cpu *cpu);
/* Makes `units` live; false when an instruction of theirs would fault or could raise an unmasked exception.
 */
bool fp_load(struct cpu *cpu, unsigned units);
/* Emits what jit->fp_load is: for each set of units a subroutine that makes them live. It keeps all registers
 * and flags. When that is not allowed now, it leaves translated code at the offset in the page that is in
 * cpu->fp_leave, with fp_denied set. */
void fp_emit_runtime(struct jit *jit);

/* ---- fp_emit.c ---- */
/* Whether fp_emit_instruction() is to be asked. */
bool fp_instruction(const struct insn *in);
/* False: no emitter for this form, nothing was emitted. */
bool fp_emit_instruction(struct translation *t);
/* The units that a block wants; at its start: makes them live. */
unsigned fp_wanted_units(const struct block *b);
void fp_emit_entry(struct translation *t, unsigned units);
/* Notes the last x87 instruction for FIP, FCS, FOP and FDS if need be. Flag-free; r9 is used. */
#define FP_NOTE_BYTES 40
void fp_emit_note(struct emit *e, const struct fp_point *point);
/* Makes the point's units live again; `next`: offset in the page of the instruction at which to leave if that
 * is no longer allowed. Flag-free; keeps all registers. */
void fp_emit_reload(struct translation *t, const struct fp_point *point, uint32_t next);
