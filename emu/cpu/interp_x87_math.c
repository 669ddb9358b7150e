/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * x87: constants, square root, rounding, remainders, scaling and the transcendental instructions, all by the
 * host's own instruction (see fpu_internal.h).
 *
 * Some of these change the depth of the stack, and do not when an unmasked exception or an operand out of
 * range (C2) keeps them from it. Whether the host's did is told from the parity of its TOP.
 *
 * SDM vol. 1, 8.3.5–8.3.7 and 8.3.10.
 */
#include "emu/cpu/fpu_internal.h"

#define BEFORE_RESULT (FSW_IE | FSW_DE | FSW_ZE)
#define HOST_STATUS   "fnstsw %%ax\n\ttestb $0x80,%%al\n\tjz 1f\n\tfnclex\n1:\n\t"
#define HOST_CLOBBER  "cc", "memory", "st", "st(1)", "st(2)"

/* ---- constants: rounded by RC, whatever PC says; no flags ---- */
#define CONSTANT(name)                                                                                       \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        struct fpu *f = &cpu->fpu;                                                                           \
        union fpu_reg value;                                                                                 \
        x87_begin(cpu);                                                                                      \
        x87_note(cpu, in);                                                                                   \
        if (fpu_unlikely(!x87_empty(f, x87_phys(f, 7)))) {                                                   \
            if (x87_stack_fault(f, true))                                                                    \
                x87_push(f, &x87_indefinite);                                                                \
            return;                                                                                          \
        }                                                                                                    \
        x87_host_enter(f);                                                                                   \
        __asm__ volatile(#name "\n\tfstpt %0" : "=m"(value) : : HOST_CLOBBER);                               \
        x87_host_leave(f);                                                                                   \
        f->fsw &= (uint16_t)~FSW_C1;                                                                         \
        x87_push(f, &value);                                                                                 \
    }
CONSTANT(fld1)
CONSTANT(fldl2t)
CONSTANT(fldl2e)
CONSTANT(fldpi)
CONSTANT(fldlg2)
CONSTANT(fldln2)
CONSTANT(fldz)

/* ---- one operand, result in its place ---- */

FPU_INLINE bool x87_operand_missing(struct fpu *f, unsigned a, unsigned b)
{
    return fpu_unlikely(x87_empty(f, a) || x87_empty(f, b));
}

/* `codes`: the condition codes besides C1 that the instruction defines. */
#define UNARY(name, codes)                                                                                   \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        struct fpu *f = &cpu->fpu;                                                                           \
        union fpu_reg result;                                                                                \
        uint16_t sw;                                                                                         \
        x87_begin(cpu);                                                                                      \
        x87_note(cpu, in);                                                                                   \
        unsigned a = x87_top(f);                                                                             \
        if (x87_operand_missing(f, a, a)) {                                                                  \
            f->fsw &= (uint16_t) ~((codes)&FSW_C2);                                                          \
            if (x87_stack_fault(f, false))                                                                   \
                x87_put(f, a, &x87_indefinite);                                                              \
            return;                                                                                          \
        }                                                                                                    \
        x87_host_enter(f);                                                                                   \
        __asm__ volatile("fldt %2\n\t" #name "\n\t" HOST_STATUS "fstpt %0"                                   \
                         : "=m"(result), "=&a"(sw)                                                           \
                         : "m"(f->r[a])                                                                      \
                         : HOST_CLOBBER);                                                                    \
        x87_host_leave(f);                                                                                   \
        f->fsw = (uint16_t)((f->fsw & ~(codes)) | (sw & (codes)));                                           \
        if (fpu_likely(!(x87_raise(f, sw) & BEFORE_RESULT)))                                                 \
            x87_put(f, a, &result);                                                                          \
    }
UNARY(fsqrt, 0u)
UNARY(frndint, 0u)
UNARY(f2xm1, 0u)
UNARY(fsin, FSW_C2)
UNARY(fcos, FSW_C2)

/* Gives the host the guest's C0 and C3, by a comparison that comes out so: the remainders leave them as they
 * were when there is no quotient. */
FPU_INLINE void x87_host_codes(const struct fpu *f)
{
    static const uint32_t one = 0x3f800000, two = 0x40000000, nan = 0x7fc00000;
    bool c0 = f->fsw & FSW_C0, c3 = f->fsw & FSW_C3;
    const uint32_t *st0 = c3 && c0 ? &nan : c0 || c3 ? &one : &two;
    const uint32_t *st1 = c0 && !c3 ? &two : &one;
    __asm__ volatile("flds %1\n\tflds %0\n\tfucompp" : : "m"(*st0), "m"(*st1) : HOST_CLOBBER);
}

/* ---- ST(0) and ST(1), result in ST(0) ---- */
#define BINARY(name, codes)                                                                                  \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        struct fpu *f = &cpu->fpu;                                                                           \
        union fpu_reg result;                                                                                \
        uint16_t sw;                                                                                         \
        x87_begin(cpu);                                                                                      \
        x87_note(cpu, in);                                                                                   \
        unsigned a = x87_top(f), b = x87_phys(f, 1);                                                         \
        if (x87_operand_missing(f, a, b)) {                                                                  \
            f->fsw &= (uint16_t) ~((codes)&FSW_C2);                                                          \
            if (x87_stack_fault(f, false))                                                                   \
                x87_put(f, a, &x87_indefinite);                                                              \
            return;                                                                                          \
        }                                                                                                    \
        x87_host_enter(f);                                                                                   \
        if (codes)                                                                                           \
            x87_host_codes(f);                                                                               \
        __asm__ volatile("fldt %3\n\tfldt %2\n\t" #name "\n\t" HOST_STATUS "fstpt %0\n\tfstp %%st(0)"        \
                         : "=m"(result), "=&a"(sw)                                                           \
                         : "m"(f->r[a]), "m"(f->r[b])                                                        \
                         : HOST_CLOBBER);                                                                    \
        x87_host_leave(f);                                                                                   \
        f->fsw = (uint16_t)((f->fsw & ~(codes)) | (sw & (codes)));                                           \
        if (fpu_likely(!(x87_raise(f, sw) & BEFORE_RESULT)))                                                 \
            x87_put(f, a, &result);                                                                          \
    }
BINARY(fprem, (FSW_C0 | FSW_C2 | FSW_C3))
BINARY(fprem1, (FSW_C0 | FSW_C2 | FSW_C3))
BINARY(fscale, 0u)

/* ---- ST(0) and ST(1), result in ST(1), pop ---- */
#define BINARY_POP(name)                                                                                     \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        struct fpu *f = &cpu->fpu;                                                                           \
        union fpu_reg result;                                                                                \
        uint16_t sw;                                                                                         \
        x87_begin(cpu);                                                                                      \
        x87_note(cpu, in);                                                                                   \
        unsigned a = x87_top(f), b = x87_phys(f, 1);                                                         \
        if (x87_operand_missing(f, a, b)) {                                                                  \
            if (x87_stack_fault(f, false)) {                                                                 \
                x87_put(f, b, &x87_indefinite);                                                              \
                x87_pop(f);                                                                                  \
            }                                                                                                \
            return;                                                                                          \
        }                                                                                                    \
        x87_host_enter(f);                                                                                   \
        /* Two loads and a pop move TOP by one; by two when the pop did not happen. */                       \
        __asm__ volatile("fnstsw %%ax\n\tmovl %%eax,%%ecx\n\tfldt %3\n\tfldt %2\n\t" #name                   \
                         "\n\t" HOST_STATUS "fstpt %0\n\txorl %%eax,%%ecx\n\ttestb $8,%%ch\n\tjnz 2f\n\t"    \
                         "fstp %%st(0)\n2:"                                                                  \
                         : "=m"(result), "=&a"(sw)                                                           \
                         : "m"(f->r[a]), "m"(f->r[b])                                                        \
                         : "ecx", HOST_CLOBBER);                                                             \
        x87_host_leave(f);                                                                                   \
        if (fpu_unlikely(x87_raise(f, sw) & BEFORE_RESULT))                                                  \
            return;                                                                                          \
        x87_put(f, b, &result);                                                                              \
        x87_pop(f);                                                                                          \
    }
BINARY_POP(fyl2x)
BINARY_POP(fyl2xp1)
BINARY_POP(fpatan)

/* ---- one operand, a result in its place and another one pushed ---- */
#define UNARY_PUSH(name, codes)                                                                              \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        struct fpu *f = &cpu->fpu;                                                                           \
        union fpu_reg result = {.significand = 0}, pushed = {.significand = 0};                              \
        uint16_t sw;                                                                                         \
        bool two;                                                                                            \
        x87_begin(cpu);                                                                                      \
        x87_note(cpu, in);                                                                                   \
        unsigned a = x87_top(f);                                                                             \
        bool missing = x87_empty(f, a);                                                                      \
        if (fpu_unlikely(missing || !x87_empty(f, x87_phys(f, 7)))) {                                        \
            f->fsw &= (uint16_t) ~((codes)&FSW_C2);                                                          \
            if (x87_stack_fault(f, !missing)) {                                                              \
                x87_put(f, a, &x87_indefinite);                                                              \
                x87_push(f, &x87_indefinite);                                                                \
            }                                                                                                \
            return;                                                                                          \
        }                                                                                                    \
        x87_host_enter(f);                                                                                   \
        /* The load and a push move TOP by two; by one when nothing was pushed. */                           \
        __asm__ volatile("fnstsw %%ax\n\tmovl %%eax,%%ecx\n\tfldt %4\n\t" #name "\n\t" HOST_STATUS           \
                         "xorl %%eax,%%ecx\n\ttestb $8,%%ch\n\tsetz %%cl\n\tjnz 2f\n\tfstpt %1\n2:\n\t"      \
                         "fstpt %0"                                                                          \
                         : "=m"(result), "+m"(pushed), "=&a"(sw), "=&c"(two)                                 \
                         : "m"(f->r[a])                                                                      \
                         : HOST_CLOBBER);                                                                    \
        x87_host_leave(f);                                                                                   \
        f->fsw = (uint16_t)((f->fsw & ~(codes)) | (sw & (codes)));                                           \
        if (fpu_unlikely(x87_raise(f, sw) & BEFORE_RESULT))                                                  \
            return;                                                                                          \
        x87_put(f, a, &result);                                                                              \
        if (two)                                                                                             \
            x87_push(f, &pushed);                                                                            \
    }
UNARY_PUSH(fptan, FSW_C2)
UNARY_PUSH(fsincos, FSW_C2)
UNARY_PUSH(fxtract, 0u)
