/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What fpu.c, interp_x87*.c, interp_mmx.c and interp_sse*.c share: bits, checks, the register stack, and how
 * the host's x87 and SSE units run under the guest's control words.
 *
 * x87. An operation loads its operands from struct fpu into the host's registers, executes the guest's very
 * instruction under the guest's own control word, reads the host's status word and stores the result.
 * Unmasked exceptions are wanted: the host then behaves as the guest must (operands kept, or the result's
 * exponent biased), and since an x87 exception is only *reported* by the next waiting instruction, FNSTSW and
 * FNCLEX before it keep our own process from ever seeing SIGFPE. Each operation is one asm statement that
 * leaves the host's register stack empty, and between x87_host_enter() and x87_host_leave() nothing else
 * runs.
 *
 * FNCLEX after an inexact operation costs a hundred cycles on some hosts. So the host's sticky flags stay set
 * as long as they say nothing new: they must be a subset of the guest's own flags, and masked. Then OR-ing
 * them into the guest's status word changes nothing.
 *
 * SSE. Its exceptions are precise, so the host runs with all of them masked and the flags decide afterwards;
 * see interp_sse_fp.c.
 *
 * Tags: fpu.ftw holds 3 for an empty register and 0 for any other. What FSTENV shows (zero, special) is
 * worked out from the register's contents when it is asked for, as processors do.
 */
#pragma once

#include "emu/cpu/access.h"
#include "emu/cpu/cpu_internal.h"
#include "emu/cpu/insn.h"

#define FSW_IE         0x0001u
#define FSW_DE         0x0002u
#define FSW_ZE         0x0004u
#define FSW_OE         0x0008u
#define FSW_UE         0x0010u
#define FSW_PE         0x0020u
#define FSW_SF         0x0040u /* stack fault */
#define FSW_ES         0x0080u
#define FSW_C0         0x0100u
#define FSW_C1         0x0200u
#define FSW_C2         0x0400u
#define FSW_TOP        0x3800u
#define FSW_C3         0x4000u
#define FSW_B          0x8000u
#define FSW_TOP_SHIFT  11
#define FSW_EXCEPTIONS 0x003fu
#define FSW_CONDITION  (FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3)
#define FCW_MASKS      0x003fu
#define FCW_DEFAULT    0x037fu /* FNINIT's, and what the host's C code runs under */

#define MXCSR_FLAGS      0x003fu
#define MXCSR_DAZ        0x0040u
#define MXCSR_MASKS      0x1f80u
#define MXCSR_MASK_SHIFT 7
#define MXCSR_RC         0x6000u
#define MXCSR_FTZ        0x8000u
#define MXCSR_VALID      0xffffu
#define MXCSR_DEFAULT    0x1f80u /* RESET's, and what the host's C code runs under */
#define MXCSR_IE         0x01u
#define MXCSR_DE         0x02u
#define MXCSR_ZE         0x04u
#define MXCSR_OE         0x08u
#define MXCSR_UE         0x10u
#define MXCSR_PE         0x20u

#define fpu_unlikely(x) __builtin_expect(!!(x), 0)
#define fpu_likely(x)   __builtin_expect(!!(x), 1)
#define FPU_INLINE      static inline __attribute__((always_inline))

/* ---- what every instruction starts with; the slow halves are in fpu.c ---- */
FPU_INLINE void x87_begin(struct cpu *cpu)
{
    if (fpu_unlikely((cpu->cr0 & (CR0_EM | CR0_TS)) || (cpu->fpu.fsw & FSW_ES)))
        fpu_check_x87(cpu, true);
}
FPU_INLINE void x87_begin_nowait(struct cpu *cpu)
{
    if (fpu_unlikely(cpu->cr0 & (CR0_EM | CR0_TS)))
        fpu_check_x87(cpu, false);
}
FPU_INLINE void sse_begin(struct cpu *cpu)
{
    if (fpu_unlikely((cpu->cr0 & (CR0_EM | CR0_TS)) || !(cpu->cr4 & CR4_OSFXSR)))
        fpu_check_sse(cpu);
}
/* Checks only; mmx_enter() below is to follow once nothing can fault any more. */
FPU_INLINE void mmx_begin(struct cpu *cpu)
{
    if (fpu_unlikely((cpu->cr0 & (CR0_EM | CR0_TS)) || (cpu->fpu.fsw & FSW_ES)))
        fpu_check_mmx(cpu);
}
/* An MMX instruction makes all registers valid and the stack's top 0 (SDM vol. 1, 9.5.1). */
FPU_INLINE void mmx_enter(struct cpu *cpu)
{
    cpu->fpu.ftw = 0;
    cpu->fpu.fsw &= ~FSW_TOP;
}
FPU_INLINE void mmx_set(struct cpu *cpu, unsigned reg, uint64_t value)
{
    cpu->fpu.r[reg].significand = value;
    cpu->fpu.r[reg].sign_exponent = 0xffff;
}

/* ---- the register stack ---- */
FPU_INLINE unsigned x87_top(const struct fpu *f)
{
    return (f->fsw >> FSW_TOP_SHIFT) & 7;
}
FPU_INLINE unsigned x87_phys(const struct fpu *f, unsigned sti)
{
    return (x87_top(f) + sti) & 7;
}
FPU_INLINE bool x87_empty(const struct fpu *f, unsigned phys)
{
    return (f->ftw >> (phys * 2) & 3) == 3;
}
FPU_INLINE void x87_set_top(struct fpu *f, unsigned top)
{
    f->fsw = (uint16_t)((f->fsw & ~FSW_TOP) | (top & 7) << FSW_TOP_SHIFT);
}
FPU_INLINE void x87_mark_full(struct fpu *f, unsigned phys)
{
    f->ftw &= (uint16_t) ~(3u << (phys * 2));
}
FPU_INLINE void x87_mark_empty(struct fpu *f, unsigned phys)
{
    f->ftw |= (uint16_t)(3u << (phys * 2));
}
FPU_INLINE void x87_put(struct fpu *f, unsigned phys, const union fpu_reg *value)
{
    f->r[phys].significand = value->significand;
    f->r[phys].sign_exponent = value->sign_exponent;
    x87_mark_full(f, phys);
}
FPU_INLINE void x87_pop(struct fpu *f)
{
    unsigned top = x87_top(f);
    x87_mark_empty(f, top);
    x87_set_top(f, top + 1);
}
/* The caller has seen that the register is free. */
FPU_INLINE void x87_push(struct fpu *f, const union fpu_reg *value)
{
    unsigned top = (x87_top(f) - 1) & 7;
    x87_set_top(f, top);
    x87_put(f, top, value);
}

/* ---- status ---- */

/* Takes a host operation's flags and C1 over; sets ES and B when one is unmasked. Returns the unmasked ones.
 */
FPU_INLINE unsigned x87_raise(struct fpu *f, unsigned sw)
{
    f->fsw = (uint16_t)((f->fsw & ~FSW_C1) | (sw & (FSW_EXCEPTIONS | FSW_C1)));
    unsigned unmasked = sw & ~f->fcw & FSW_EXCEPTIONS;
    if (fpu_unlikely(unmasked))
        f->fsw |= FSW_ES | FSW_B;
    return unmasked;
}
/* ES and B after the flags or the masks were loaded. */
FPU_INLINE void x87_update_es(struct fpu *f)
{
    if (f->fsw & ~f->fcw & FSW_EXCEPTIONS)
        f->fsw |= FSW_ES | FSW_B;
    else
        f->fsw &= (uint16_t) ~(FSW_ES | FSW_B);
}
/* Invalid operation by stack underflow or overflow. True: masked, the default response is to follow. */
bool x87_stack_fault(struct fpu *f, bool overflow);
extern const union fpu_reg x87_indefinite;

/* FIP, FCS and FOP of a non-control instruction; with FDP and FDS when it has a memory operand. */
FPU_INLINE void x87_note(struct cpu *cpu, const struct insn *in)
{
    struct fpu *f = &cpu->fpu;
    f->fip = cpu->insn_eip;
    f->fcs = cpu->seg[SEG_CS].selector;
    f->fop = (uint16_t)((in->opcode & 7) << 8 | in->modrm);
}
FPU_INLINE void x87_note_mem(struct cpu *cpu, const struct insn *in, uint32_t offset)
{
    x87_note(cpu, in);
    cpu->fpu.fdp = offset;
    cpu->fpu.fds = cpu->seg[in->seg].selector;
}

/* ---- the host's x87 ---- */

/* Control words with all exceptions masked, by bits 8…12. */
extern const uint16_t x87_masked_controls[32];

/* Loads the guest's control word. True: as it is. False: with everything masked, which is enough as long as
 * no unmasked exception comes up; loading unmasked bits costs hundreds of cycles on some hosts. An unmasked
 * underflow must be known even where the masked one raises no flag (a tiny result that is exact). */
FPU_INLINE bool x87_host_enter(const struct fpu *f)
{
    uint16_t sw;
    __asm__ volatile("fnstsw %0" : "=a"(sw));
    if (fpu_unlikely(sw & FSW_EXCEPTIONS & (~f->fsw | ~f->fcw)))
        __asm__ volatile("fnclex");
    if (fpu_likely(f->fcw == FCW_DEFAULT))
        return true;
    bool exact = (f->fcw & FCW_MASKS) == FCW_MASKS || !(f->fcw & FSW_UE);
    const uint16_t *control = exact ? &f->fcw : &x87_masked_controls[f->fcw >> 8 & 0x1f];
    __asm__ volatile("fldcw %0" : : "m"(*control));
    return exact;
}
/* Once more, as it is. */
static __attribute__((noinline, unused)) bool x87_host_enter_exact(const struct fpu *f)
{
    __asm__ volatile("fnclex\n\tfldcw %0" : : "m"(f->fcw));
    return true;
}
FPU_INLINE void x87_host_leave(const struct fpu *f)
{
    static const uint16_t host = FCW_DEFAULT;
    if (fpu_unlikely(f->fcw != FCW_DEFAULT))
        __asm__ volatile("fldcw %0" : : "m"(host));
}
/* Executes a statement that runs a host instruction and leaves the status word in `sw`; a second time, under
 * the very control word, when an unmasked exception came up. */
#define X87_HOST(f, sw, ...)                                                                                 \
    do {                                                                                                     \
        bool exact_ = x87_host_enter(f);                                                                     \
        for (;;) {                                                                                           \
            __VA_ARGS__;                                                                                     \
            if (fpu_likely(exact_ || !((sw) & ~(f)->fcw & FSW_EXCEPTIONS)))                                  \
                break;                                                                                       \
            exact_ = x87_host_enter_exact(f);                                                                \
        }                                                                                                    \
        x87_host_leave(f);                                                                                   \
    } while (0)

/* ---- the host's SSE ---- */

/* All exceptions masked, no flag set, the guest's rounding, DAZ and FTZ. FTZ only counts while underflow is
 * masked (SDM vol. 1, 10.2.3.3), and here it always is: so it is taken out when the guest has it unmasked. */
FPU_INLINE uint32_t sse_host_control(uint32_t guest)
{
    uint32_t control = (guest & (MXCSR_DAZ | MXCSR_RC | MXCSR_FTZ)) | MXCSR_MASKS;
    if (!(guest & (MXCSR_UE << MXCSR_MASK_SHIFT)))
        control &= ~MXCSR_FTZ;
    return control;
}
FPU_INLINE void sse_host_enter(uint32_t guest)
{
    uint32_t control = sse_host_control(guest);
    __asm__ volatile("ldmxcsr %0" : : "m"(control));
}
/* The flags the operation raised. */
FPU_INLINE uint32_t sse_host_leave(uint32_t guest)
{
    static const uint32_t host = MXCSR_DEFAULT;
    uint32_t after;
    __asm__ volatile("stmxcsr %0" : "=m"(after));
    if (fpu_unlikely((guest & ~MXCSR_FLAGS) != MXCSR_DEFAULT))
        __asm__ volatile("ldmxcsr %0" : : "m"(host));
    return after & MXCSR_FLAGS;
}

/* ---- SSE memory operands ---- */

/* #GP(0) unless the linear address is a multiple of 16. */
FPU_INLINE void sse_check_alignment(struct cpu *cpu, const struct insn *in, uint32_t offset)
{
    if (fpu_unlikely((cpu->seg[in->seg].base + offset) & 15))
        cpu_fault_gp(cpu, 0);
}
FPU_INLINE union xmm sse_read128(struct cpu *cpu, const struct insn *in)
{
    union xmm value;
    uint32_t ea = insn_ea(cpu, in);
    sse_check_alignment(cpu, in, ea);
    mem_read128(cpu, in->seg, ea, &value);
    return value;
}
FPU_INLINE union xmm sse_read128_unaligned(struct cpu *cpu, const struct insn *in)
{
    union xmm value;
    mem_read128(cpu, in->seg, insn_ea(cpu, in), &value);
    return value;
}

/* fpu.c: two bits a register, as FSTENV shows them. */
uint16_t fpu_full_tags(const struct fpu *f);
