/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * x87, MMX and SSE for jit_lockstep.c: random instructions of all their rows, operands where something
 * happens, states to begin with, and the comparison. Everything follows from the seeds.
 */
#pragma once

#include "emu/cpu/cpu_internal.h"

/* Guest memory with operands, control words and images; two pages. */
#define LOCKSTEP_FP_SIZE 0x2000u

/* One instruction of a random row, its memory operand most often in the area at linear address `area`, else
 * at a small distance from EBX, EBP, ESI or EDI. Returns its length, at most 15. */
unsigned lockstep_fp_instruction(uint64_t seed, uint32_t area, uint8_t *out);
void lockstep_fp_memory(uint64_t seed, uint8_t *area);
/* FPU state, and the bits of CR0 and CR4 that it depends on; most often everything is masked and allowed. */
void lockstep_fp_state(uint64_t seed, struct cpu *cpu);
/* False: `text` says what differs. */
bool lockstep_fp_agrees(const struct cpu *interpreter, const struct cpu *translator, char *text, size_t size);
