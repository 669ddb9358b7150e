/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A decoded instruction, and how the table in optable.def becomes decoder, functions and names.
 *
 * optable.def has one row per instruction form:
 *
 *   INSN(id, map, opcode, ext, prefix, mnemonic, op1, op2, op3, size, attr, flags_read, flags_set, flags_undef, feature)
 *
 *   id        names the row (INSN_id) and its function op_id()
 *   map       1B (one-byte opcodes) or 0F (0F xx)
 *   opcode    the opcode byte; a register in its low three bits (operand Z*, Rv+) is given by attr ATTR_PLUS_R
 *   ext       R (ModRM with /r), 0…7 (ModRM, reg field is an opcode extension), N (no ModRM);
 *             with M_ or R_ in front (M_R, R_R, M_0…, R_0…) only memory or only register forms; X_c0…X_ff: this very
 *             ModRM byte (x87 and 0F 01 forms)
 *   prefix    ANY, or a mandatory prefix: NP (none of 66 F2 F3), 66, F3, F2
 *   op1…op3   operands in the SDM's letters (vol. 2, appendix A): Eb Gv Iz Jb Ob Sw Cd Dd Mq Pq Vdq Wss …,
 *             fixed registers as AL eAX DX CL 1 ST0 STi, NONE
 *   size      B: does not depend on operand size, one function op_id
 *             V: two functions op_id_16 and op_id_32, by operand size
 *   attr      ATTR_ flags below, ORed
 *   flags_*   FLAG_ masks: read, written with a defined value, left undefined (test generator, liveness)
 *   feature   CPUID bit needed, FEATURE_ below; absent: #UD
 *
 * A row's function has the type insn_fn. It is called with eip already at the next instruction.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct cpu;
struct insn;
typedef void insn_fn(struct cpu *cpu, const struct insn *in);

#define ATTR_LOCK     (1u << 0)  /* LOCK is allowed with a memory destination; elsewhere it is #UD */
#define ATTR_REP      (1u << 1)  /* string instruction: REP/REPNE repeat it */
#define ATTR_END      (1u << 2)  /* ends a block: control transfer, or changes what later decoding depends on */
#define ATTR_PLUS_R   (1u << 3)  /* opcode's low three bits name a register; the row covers eight opcodes */
#define ATTR_STACK    (1u << 4)  /* PUSH/POP kind: stack-size rules */
#define ATTR_PRIV     (1u << 5)  /* needs CPL 0: the function checks */
#define ATTR_NO_V86   (1u << 6)  /* #UD in real and V86 mode (ARPL, LLDT, …) */
#define ATTR_X87      (1u << 7)
#define ATTR_MMX      (1u << 8)
#define ATTR_SSE      (1u << 9)
#define ATTR_STORE    (1u << 10) /* op1 in memory is written */
#define ATTR_RMW      (1u << 11) /* op1 in memory is read and written */
#define ATTR_UNDOC    (1u << 12) /* valid but undocumented alias */
#define ATTR_COND     (1u << 13) /* Jcc, SETcc, CMOVcc: condition in the opcode's low four bits; sixteen opcodes */
#define ATTR_ALIGN16  (1u << 14) /* memory operand must be 16-byte aligned, else #GP(0) */
#define ATTR_NOTEST   (1u << 15) /* not for the random differential tests (control flow, privileged, I/O) */

enum insn_feature { FEATURE_NONE, FEATURE_FPU, FEATURE_TSC, FEATURE_MSR, FEATURE_CX8, FEATURE_SEP, FEATURE_CMOV,
                    FEATURE_MMX, FEATURE_FXSR, FEATURE_SSE, FEATURE_SSE2, FEATURE_SSE3, FEATURE_MONITOR,
                    FEATURE_CLFLUSH, FEATURE_486, FEATURE_586, FEATURE_686, FEATURE_COUNT };

#define INSN_LOCK  (1u << 0)
#define INSN_REP   (1u << 1) /* F3 */
#define INSN_REPNE (1u << 2) /* F2 */
#define INSN_MEM   (1u << 3) /* the E operand is memory */
#define INSN_OP16  (1u << 4) /* effective operand size is 16 bits */
#define INSN_ADDR16 (1u << 5) /* effective address size is 16 bits */
#define INSN_SEG_OVERRIDE (1u << 6)
#define INSN_66    (1u << 7) /* the 66 prefix was there */

struct insn {
    insn_fn *run;
    uint32_t disp;    /* displacement, sign-extended; moffs address; far pointer's offset is imm */
    uint32_t imm;     /* immediate, extended as the row says; relative branch: the displacement */
    uint32_t ea_mask; /* 0xffff or 0xffffffff */
    uint16_t op;      /* INSN_id of the row */
    uint16_t imm2;    /* far pointer's selector, ENTER's level */
    uint8_t length;   /* bytes, 1…15 */
    uint8_t flags;    /* INSN_ above */
    uint8_t modrm;    /* raw */
    uint8_t reg;      /* G operand, or the register of ATTR_PLUS_R; opcode condition of ATTR_COND */
    uint8_t rm;       /* E operand when it is a register */
    uint8_t seg;      /* enum segment_register for the memory operand, overrides applied */
    uint8_t base, index; /* gpr numbers, GPR_ZERO when absent */
    uint8_t scale;    /* shift, 0…3 */
    uint8_t opcode;
};

/* Offset of the memory operand in its segment. */
#define insn_ea(cpu, in) \
    (((cpu)->gpr[(in)->base] + ((cpu)->gpr[(in)->index] << (in)->scale) + (in)->disp) & (in)->ea_mask)

enum insn_id {
#define INSN(id, ...) INSN_##id,
#include "emu/cpu/optable.def"
#undef INSN
    INSN_COUNT
};

/* Decodes the instruction whose first bytes are in `bytes` (`available` of them). Returns 0 on success;
 * DECODE_MORE when more bytes are needed; DECODE_INVALID (#UD) or DECODE_TOO_LONG (#GP) otherwise, with
 * out->length = bytes looked at. `code32`: CS.D. Pure: no CPU state. */
enum decode_result { DECODE_OK, DECODE_MORE, DECODE_INVALID, DECODE_TOO_LONG };
struct cpu_model;
enum decode_result insn_decode(const uint8_t *bytes, unsigned available, bool code32, bool real_or_v86,
                               const struct cpu_model *model, struct insn *out);
/* Text in Intel syntax, for traces. `eip` resolves relative targets. */
void insn_format(const struct insn *in, uint32_t eip, char *out, unsigned size);
const char *insn_mnemonic(enum insn_id id);
