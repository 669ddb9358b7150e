/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A decoded instruction, and how the table in optable.def becomes decoder, functions and names.
 *
 * optable.def has one row per instruction form:
 *
 *   INSN(id, map, opcode, ext, prefix, mnemonic, op1, op2, op3, size, attr, flags_read, flags_set,
 * flags_undef, feature)
 *
 *   id        names the row (INSN_id) and its function op_id(); lower case
 *   map       1B (one-byte opcodes) or 0F (0F xx)
 *   opcode    the opcode byte, 0x00…0xff; with ATTR_PLUS_R the first of eight, with ATTR_COND the first of
 * sixteen ext       R (ModRM with /r), 0…7 (ModRM, reg field is an opcode extension), N (no ModRM); with M_
 * or R_ in front (M_R, R_R, M_0…, R_0…) only memory or only register forms; X_c0…X_ff: this very ModRM byte
 * (x87 and 0F 01 forms). The more special row wins: X_ over M_/R_ over plain. prefix    ANY, or a mandatory
 * prefix: NP (none of 66 F2 F3), 66, F3, F2 (F2/F3 win over 66, the last of them counts). A row with a prefix
 * wins over an ANY row. Opcodes with no row for the prefix are #UD. mnemonic  a string. "cbw|cwde":
 * 16-bit|32-bit operand size. ATTR_COND: the condition is appended. String instructions (operands X*, Y*): b,
 * w or d is appended. op1…op3   INSN_OPERANDS below: the SDM's letters (vol. 2, appendix A) and fixed
 * registers size      which functions the row has: B    op_id                                           does
 * not depend on operand size V    op_id_16, op_id_32                              by operand size BS op_id_r,
 * op_id_m                                split in register and memory form of the E operand VS   op_id_16_r,
 * op_id_16_m, op_id_32_r, op_id_32_m BC, VC, BSC, VSC: ATTR_COND rows: as above, each an array of 16
 * functions named as above + _cc, e.g. insn_fn *const op_jcc_jz_32_cc[16] attr      ATTR_ flags below, ORed
 *   flags_*   FLAG_ masks: read, written with a defined value, left undefined (test generator, liveness)
 *   feature   CPUID bit needed, FEATURE_ below; absent: #UD
 *
 * A row's function has the type insn_fn. It is called with eip already at the next instruction and insn_eip
 * at this one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct cpu;
struct insn;
typedef void insn_fn(struct cpu *cpu, const struct insn *in);

#define ATTR_LOCK   (1u << 0) /* LOCK is allowed with a memory destination; elsewhere it is #UD */
#define ATTR_REP    (1u << 1) /* string instruction: REP/REPNE repeat it */
#define ATTR_END    (1u << 2) /* ends a block: control transfer, or changes what later decoding depends on */
#define ATTR_PLUS_R (1u << 3) /* opcode's low three bits name a register; the row covers eight opcodes */
#define ATTR_STACK  (1u << 4) /* PUSH/POP kind: stack-size rules */
#define ATTR_PRIV   (1u << 5) /* needs CPL 0: the function checks */
#define ATTR_NO_V86 (1u << 6) /* #UD in real and V86 mode (ARPL, LLDT, …) */
#define ATTR_X87    (1u << 7)
#define ATTR_MMX    (1u << 8)
#define ATTR_SSE    (1u << 9)
#define ATTR_STORE  (1u << 10) /* op1 in memory is written */
#define ATTR_RMW    (1u << 11) /* op1 in memory is read and written */
#define ATTR_UNDOC  (1u << 12) /* valid but undocumented alias */
#define ATTR_COND                                                                                            \
    (1u << 13) /* Jcc, SETcc, CMOVcc: condition in the opcode's low four bits; sixteen opcodes */
#define ATTR_ALIGN16 (1u << 14) /* memory operand must be 16-byte aligned, else #GP(0) */
#define ATTR_BRANCH  (1u << 16) /* near branch: with ATTR_END, changes EIP and the stack and nothing else */
#define ATTR_NOTEST  (1u << 15) /* not for the random differential tests (control flow, privileged, I/O) */

// clang-format off
#define INSN_FEATURES(X)                                                                                     \
    X(NONE) X(FPU) X(TSC) X(MSR) X(CX8) X(SEP) X(CMOV) X(MMX) X(FXSR) X(SSE) X(SSE2) X(SSE3) X(MONITOR)      \
    X(CLFLUSH) X(486) X(586) X(686)
enum insn_feature {
#define X(name) FEATURE_##name,
    INSN_FEATURES(X)
#undef X
        FEATURE_COUNT
};

/*
 * Operands: X(letters, class, bytes with 16-bit operand size, bytes with 32-bit operand size). The bytes are the
 * size of the memory operand or register part concerned; for immediates what the instruction holds.
 * sIb is a byte sign-extended to the operand size; RvMw and RdMw are a whole register or a 16-bit memory operand.
 */
#define INSN_OPERANDS(X)                                                                                     \
    X(NONE, NONE, 0, 0)                                                                                      \
    /* ModRM.rm: general register or memory */                                                               \
    X(Eb, RM, 1, 1) X(Ew, RM, 2, 2) X(Ed, RM, 4, 4) X(Ev, RM, 2, 4)                                          \
    X(RvMw, RM, 2, 2) X(RdMw, RM, 2, 2) X(RdMb, RM, 1, 1)                                                    \
    /* ModRM.rm: general register only */                                                                    \
    X(Rw, RM, 2, 2) X(Rd, RM, 4, 4) X(Rv, RM, 2, 4)                                                          \
    /* ModRM.rm: memory only. Ma: two bounds, Mp: far pointer, Ms: pseudo-descriptor, Mt: 80-bit real,       \
     * Mbcd: 80-bit BCD, Menv: FSTENV, Mst: FSAVE, Mfx: FXSAVE, M: no access (LEA, INVLPG) */                \
    X(M, MEM, 0, 0) X(Mb, MEM, 1, 1) X(Mw, MEM, 2, 2) X(Md, MEM, 4, 4) X(Mv, MEM, 2, 4) X(Mq, MEM, 8, 8)     \
    X(Mdq, MEM, 16, 16) X(Mt, MEM, 10, 10) X(Mbcd, MEM, 10, 10) X(Ma, MEM, 4, 8) X(Mp, MEM, 4, 6)            \
    X(Ms, MEM, 6, 6) X(Menv, MEM, 14, 28) X(Mst, MEM, 94, 108) X(Mfx, MEM, 512, 512)                         \
    X(Mps, MEM, 16, 16) X(Mpd, MEM, 16, 16)                                                                  \
    /* ModRM.reg */                                                                                          \
    X(Gb, REG, 1, 1) X(Gw, REG, 2, 2) X(Gd, REG, 4, 4) X(Gv, REG, 2, 4)                                      \
    X(Sw, SREG, 2, 2) X(Cd, CREG, 4, 4) X(Dd, DREG, 4, 4)                                                    \
    /* a register in the opcode (ATTR_PLUS_R) */                                                             \
    X(Zb, OPREG, 1, 1) X(Zd, OPREG, 4, 4) X(Zv, OPREG, 2, 4)                                                 \
    /* immediates, relative targets, far pointer, moffs */                                                   \
    X(Ib, IMM, 1, 1) X(sIb, IMM, 1, 1) X(Iw, IMM, 2, 2) X(Iz, IMM, 2, 4) X(Id, IMM, 4, 4)                    \
    X(Jb, REL, 1, 1) X(Jz, REL, 2, 4) X(Ap, FAR, 4, 6) X(Ob, MOFFS, 1, 1) X(Ov, MOFFS, 2, 4)                 \
    /* strings: X is seg:eSI, Y is es:eDI; XLAT's table is Bb, MASKMOV's place is Dq and Ddq */              \
    X(Xb, STR_SI, 1, 1) X(Xv, STR_SI, 2, 4) X(Yb, STR_DI, 1, 1) X(Yv, STR_DI, 2, 4)                          \
    X(Bb, STR_BX, 1, 1) X(Dq, STR_DI, 8, 8) X(Ddq, STR_DI, 16, 16)                                           \
    /* fixed */                                                                                              \
    X(AL, FIXED, 1, 1) X(CL, FIXED, 1, 1) X(AH, FIXED, 1, 1) X(AX, FIXED, 2, 2) X(DX, FIXED, 2, 2)           \
    X(eAX, FIXED, 2, 4) X(eCX, FIXED, 2, 4) X(eDX, FIXED, 2, 4) X(1, FIXED, 0, 0) X(3, FIXED, 0, 0)          \
    X(ES, FIXED, 2, 2) X(CS, FIXED, 2, 2) X(SS, FIXED, 2, 2) X(DS, FIXED, 2, 2) X(FS, FIXED, 2, 2)           \
    X(GS, FIXED, 2, 2)                                                                                       \
    /* x87: ST(0), ST(i) from ModRM.rm */                                                                    \
    X(ST0, FIXED, 10, 10) X(STi, STI, 10, 10)                                                                \
    /* MMX: P is ModRM.reg, Q is ModRM.rm or memory, N is ModRM.rm as register only */                       \
    X(Pq, MMREG, 8, 8) X(Pd, MMREG, 4, 4) X(Qq, MMRM, 8, 8) X(Qd, MMRM, 4, 4) X(Nq, MMRM, 8, 8)              \
    /* SSE: V is ModRM.reg, W is ModRM.rm or memory, U is ModRM.rm as register only */                       \
    X(Vss, XMMREG, 4, 4) X(Vsd, XMMREG, 8, 8) X(Vps, XMMREG, 16, 16) X(Vpd, XMMREG, 16, 16)                  \
    X(Vdq, XMMREG, 16, 16) X(Vq, XMMREG, 8, 8) X(Vd, XMMREG, 4, 4) X(Vw, XMMREG, 2, 2)                       \
    X(Wss, XMMRM, 4, 4) X(Wsd, XMMRM, 8, 8) X(Wps, XMMRM, 16, 16) X(Wpd, XMMRM, 16, 16)                      \
    X(Wdq, XMMRM, 16, 16) X(Wq, XMMRM, 8, 8) X(Wd, XMMRM, 4, 4) X(Ww, XMMRM, 2, 2)                           \
    X(Uss, XMMRM, 4, 4) X(Usd, XMMRM, 8, 8) X(Ups, XMMRM, 16, 16) X(Upd, XMMRM, 16, 16)                      \
    X(Udq, XMMRM, 16, 16) X(Uq, XMMRM, 8, 8)

enum insn_operand {
#define X(name, class, b16, b32) OPERAND_##name,
    INSN_OPERANDS(X)
#undef X
        OPERAND_COUNT
};

enum insn_operand_class {
    OPCLASS_NONE, OPCLASS_RM, OPCLASS_MEM, OPCLASS_REG, OPCLASS_SREG, OPCLASS_CREG, OPCLASS_DREG, OPCLASS_OPREG,
    OPCLASS_IMM, OPCLASS_REL, OPCLASS_FAR, OPCLASS_MOFFS, OPCLASS_STR_SI, OPCLASS_STR_DI, OPCLASS_STR_BX,
    OPCLASS_FIXED, OPCLASS_STI, OPCLASS_MMREG, OPCLASS_MMRM, OPCLASS_XMMREG, OPCLASS_XMMRM,
};
// clang-format on

struct insn_operand_info {
    const char *name;
    uint8_t class; /* enum insn_operand_class */
    uint8_t reserved;
    uint16_t bytes[2]; /* by operand size: [0] 16, [1] 32 bits */
};
extern const struct insn_operand_info insn_operands[OPERAND_COUNT];

#define INSN_LOCK         (1u << 0)
#define INSN_REP          (1u << 1) /* F3 */
#define INSN_REPNE        (1u << 2) /* F2; never together with INSN_REP: the last of them counts */
#define INSN_MEM          (1u << 3) /* the E operand is memory */
#define INSN_OP16         (1u << 4) /* effective operand size is 16 bits */
#define INSN_ADDR16       (1u << 5) /* effective address size is 16 bits */
#define INSN_SEG_OVERRIDE (1u << 6)
#define INSN_66           (1u << 7) /* the 66 prefix was there */

struct insn {
    insn_fn *run; /* does the instruction */
    insn_fn *go;  /* in a block: does it and goes on to the next one (threaded.c) */
    union {
        uint32_t disp; /* displacement, sign-extended; moffs address */
        uint16_t imm2; /* far pointer's selector, ENTER's level (neither has a displacement) */
    };
    uint32_t
        imm; /* immediate, extended as the row says; relative branch: the displacement; far pointer: offset */
    uint32_t ea_mask;    /* 0xffff or 0xffffffff */
    uint16_t op;         /* INSN_id of the row */
    uint8_t length;      /* bytes, 1…15 */
    uint8_t end;         /* in a block: bytes from its start to behind this instruction */
    uint8_t flags;       /* INSN_ above */
    uint8_t modrm;       /* raw */
    uint8_t reg;         /* ModRM.reg (G operand, opcode extension), or the register of ATTR_PLUS_R */
    uint8_t rm;          /* E operand when it is a register */
    uint8_t base, index; /* gpr numbers, GPR_ZERO when absent */
    uint8_t seg : 4;   /* enum segment_register for the memory operand, overrides applied; DS for strings' eSI
                          side */
    uint8_t scale : 4; /* shift, 0…3 */
    uint8_t opcode;    /* last opcode byte; ATTR_COND: the condition is in the low four bits */
};
_Static_assert(sizeof(struct insn) == 40, "what blocks are made of");

/* Offset of the memory operand in its segment. */
#define insn_ea(cpu, in)                                                                                     \
    (((cpu)->gpr[(in)->base] + ((cpu)->gpr[(in)->index] << (in)->scale) + (in)->disp) & (in)->ea_mask)

enum insn_id {
#define INSN(id, ...) INSN_##id,
#include "emu/cpu/optable.def"
#undef INSN
    INSN_COUNT
};

/* The columns of a row, for the decoder, the translator and the test generator. */
#define INSN_EXT_NONE   0x000  /* no ModRM */
#define INSN_EXT_MODRM  0x100  /* there is a ModRM byte; ORed with: */
#define INSN_EXT_OPCODE 0x200  /* bits 0…2: reg field must be this */
#define INSN_EXT_MEM    0x400  /* memory forms only */
#define INSN_EXT_REG    0x800  /* register forms only */
#define INSN_EXT_EXACT  0x1000 /* bits 0…7: the ModRM byte */
enum insn_prefix { PREFIX_ANY, PREFIX_NP, PREFIX_66, PREFIX_F3, PREFIX_F2 };

struct insn_row {
    const char *name, *mnemonic;
    uint8_t map; /* 0: one byte, 1: 0F */
    uint8_t opcode;
    uint16_t ext;   /* INSN_EXT_ */
    uint8_t prefix; /* enum insn_prefix */
    uint8_t operand[3];
    uint32_t attr;
    uint32_t flags_read, flags_set, flags_undef;
    enum insn_feature feature;
    bool by_size;                 /* V… rows: depends on operand size */
    insn_fn *run[2][2];           /* [0] 16-bit, [1] 32-bit operand size; [0] register, [1] memory form */
    insn_fn *const *run_cc[2][2]; /* ATTR_COND instead: sixteen each */
};
extern const struct insn_row insn_rows[INSN_COUNT];

/* Decodes the instruction whose first bytes are in `bytes` (`available` of them). DECODE_MORE when more bytes
 * are needed; DECODE_INVALID (#UD) or DECODE_TOO_LONG (#GP): out->length = bytes looked at. `code32`: CS.D.
 * `model` NULL: every feature is there. Pure: no CPU state. */
enum decode_result { DECODE_OK, DECODE_MORE, DECODE_INVALID, DECODE_TOO_LONG };
struct cpu_model;
enum decode_result insn_decode(const uint8_t *bytes, unsigned available, bool code32, bool real_or_v86,
                               const struct cpu_model *model, struct insn *out);
/* Text in Intel syntax, for traces. `eip` is the instruction's own address and resolves relative targets. */
void insn_format(const struct insn *in, uint32_t eip, char *out, unsigned size);
const char *insn_mnemonic(enum insn_id id);

// clang-format off
/* Prototypes of every row's functions. */
#define INSN_DECLARE_B(id) insn_fn op_##id;
#define INSN_DECLARE_V(id) insn_fn op_##id##_16, op_##id##_32;
#define INSN_DECLARE_BS(id) insn_fn op_##id##_r, op_##id##_m;
#define INSN_DECLARE_VS(id) insn_fn op_##id##_16_r, op_##id##_16_m, op_##id##_32_r, op_##id##_32_m;
#define INSN_DECLARE_BC(id) extern insn_fn *const op_##id##_cc[16];
#define INSN_DECLARE_VC(id) extern insn_fn *const op_##id##_16_cc[16], *const op_##id##_32_cc[16];
#define INSN_DECLARE_BSC(id) extern insn_fn *const op_##id##_r_cc[16], *const op_##id##_m_cc[16];
#define INSN_DECLARE_VSC(id)                                                                                 \
    extern insn_fn *const op_##id##_16_r_cc[16], *const op_##id##_16_m_cc[16], *const op_##id##_32_r_cc[16], \
        *const op_##id##_32_m_cc[16];
#define INSN(id, map, opcode, ext, prefix, mnemonic, op1, op2, op3, size, ...) INSN_DECLARE_##size(id)
#include "emu/cpu/optable.def"
#undef INSN
// clang-format on
