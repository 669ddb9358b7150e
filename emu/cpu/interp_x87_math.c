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

/* A missing operand: C2, where the instruction defines it, says that nothing is left to be done. */
static __attribute__((noinline)) bool x87_missing_operand(struct fpu *f, unsigned codes, bool overflow)
{
    f->fsw &= (uint16_t) ~(codes & FSW_C2);
    return x87_stack_fault(f, overflow);
}
FPU_INLINE void x87_take_codes(struct fpu *f, unsigned sw, unsigned codes)
{
    f->fsw = (uint16_t)((f->fsw & ~codes) | (sw & codes));
}

/* `codes`: the condition codes besides C1 that the instruction defines. */
#define UNARY(name, codes)                                                                                   \
    FPU_INLINE unsigned host_##name(union fpu_reg *out, const union fpu_reg *a)                              \
    {                                                                                                        \
        uint16_t sw;                                                                                         \
        __asm__ volatile("fldt %2\n\t" #name "\n\t" HOST_STATUS "fstpt %0"                                   \
                         : "=m"(*out), "=&a"(sw)                                                             \
                         : "m"(*a)                                                                           \
                         : HOST_CLOBBER);                                                                    \
        return sw;                                                                                           \
    }                                                                                                        \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        struct fpu *f = &cpu->fpu;                                                                           \
        union fpu_reg result;                                                                                \
        unsigned sw;                                                                                         \
        x87_begin(cpu);                                                                                      \
        x87_note(cpu, in);                                                                                   \
        unsigned a = x87_top(f);                                                                             \
        if (fpu_unlikely(x87_empty(f, a))) {                                                                 \
            if (x87_missing_operand(f, codes, false))                                                        \
                x87_put(f, a, &x87_indefinite);                                                              \
            return;                                                                                          \
        }                                                                                                    \
        X87_HOST(f, sw, sw = host_##name(&result, &f->r[a]));                                                \
        x87_take_codes(f, sw, codes);                                                                        \
        if (fpu_likely(!(x87_raise(f, sw) & BEFORE_RESULT)))                                                 \
            x87_put(f, a, &result);                                                                          \
    }
UNARY(fsqrt, 0u)
UNARY(frndint, 0u)
UNARY(f2xm1, 0u)
UNARY(fsin, FSW_C2)
UNARY(fcos, FSW_C2)

/* ---- ST(0) and ST(1), result in ST(0) ---- */

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

#define BINARY(name, codes)                                                                                  \
    FPU_INLINE unsigned host_##name(union fpu_reg *out, const union fpu_reg *a, const union fpu_reg *b)      \
    {                                                                                                        \
        uint16_t sw;                                                                                         \
        __asm__ volatile("fldt %3\n\tfldt %2\n\t" #name "\n\t" HOST_STATUS "fstpt %0\n\tfstp %%st(0)"        \
                         : "=m"(*out), "=&a"(sw)                                                             \
                         : "m"(*a), "m"(*b)                                                                  \
                         : HOST_CLOBBER);                                                                    \
        return sw;                                                                                           \
    }                                                                                                        \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        struct fpu *f = &cpu->fpu;                                                                           \
        union fpu_reg result;                                                                                \
        unsigned sw;                                                                                         \
        x87_begin(cpu);                                                                                      \
        x87_note(cpu, in);                                                                                   \
        unsigned a = x87_top(f), b = x87_phys(f, 1);                                                         \
        if (fpu_unlikely(x87_empty(f, a) || x87_empty(f, b))) {                                              \
            if (x87_missing_operand(f, codes, false))                                                        \
                x87_put(f, a, &x87_indefinite);                                                              \
            return;                                                                                          \
        }                                                                                                    \
        X87_HOST(f, sw, {                                                                                    \
            if (codes)                                                                                       \
                x87_host_codes(f);                                                                           \
            sw = host_##name(&result, &f->r[a], &f->r[b]);                                                   \
        });                                                                                                  \
        x87_take_codes(f, sw, codes);                                                                        \
        if (fpu_likely(!(x87_raise(f, sw) & BEFORE_RESULT)))                                                 \
            x87_put(f, a, &result);                                                                          \
    }
BINARY(fprem, (FSW_C0 | FSW_C2 | FSW_C3))
BINARY(fprem1, (FSW_C0 | FSW_C2 | FSW_C3))
BINARY(fscale, 0u)

/* ---- ST(0) and ST(1), result in ST(1), pop ---- */

/* Two loads and a pop move TOP by one; by two when the pop did not happen. */
#define BINARY_POP(name)                                                                                     \
    FPU_INLINE unsigned host_##name(union fpu_reg *out, const union fpu_reg *a, const union fpu_reg *b)      \
    {                                                                                                        \
        uint16_t sw;                                                                                         \
        __asm__ volatile("fnstsw %%ax\n\tmovl %%eax,%%ecx\n\tfldt %3\n\tfldt %2\n\t" #name                   \
                         "\n\t" HOST_STATUS "fstpt %0\n\txorl %%eax,%%ecx\n\ttestb $8,%%ch\n\tjnz 2f\n\t"    \
                         "fstp %%st(0)\n2:"                                                                  \
                         : "=m"(*out), "=&a"(sw)                                                             \
                         : "m"(*a), "m"(*b)                                                                  \
                         : "ecx", HOST_CLOBBER);                                                             \
        return sw;                                                                                           \
    }                                                                                                        \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        struct fpu *f = &cpu->fpu;                                                                           \
        union fpu_reg result;                                                                                \
        unsigned sw;                                                                                         \
        x87_begin(cpu);                                                                                      \
        x87_note(cpu, in);                                                                                   \
        unsigned a = x87_top(f), b = x87_phys(f, 1);                                                         \
        if (fpu_unlikely(x87_empty(f, a) || x87_empty(f, b))) {                                              \
            if (x87_missing_operand(f, 0, false)) {                                                          \
                x87_put(f, b, &x87_indefinite);                                                              \
                x87_pop(f);                                                                                  \
            }                                                                                                \
            return;                                                                                          \
        }                                                                                                    \
        X87_HOST(f, sw, sw = host_##name(&result, &f->r[a], &f->r[b]));                                      \
        if (fpu_unlikely(x87_raise(f, sw) & BEFORE_RESULT))                                                  \
            return;                                                                                          \
        x87_put(f, b, &result);                                                                              \
        x87_pop(f);                                                                                          \
    }
BINARY_POP(fyl2x)
BINARY_POP(fyl2xp1)
BINARY_POP(fpatan)

/* ---- one operand, a result in its place and another one pushed ---- */

/* The load and a push move TOP by two; by one when nothing was pushed. */
#define UNARY_PUSH(name, codes)                                                                              \
    FPU_INLINE unsigned host_##name(union fpu_reg *out, union fpu_reg *pushed, bool *two,                    \
                                    const union fpu_reg *a)                                                  \
    {                                                                                                        \
        uint16_t sw;                                                                                         \
        __asm__ volatile("fnstsw %%ax\n\tmovl %%eax,%%ecx\n\tfldt %4\n\t" #name "\n\t" HOST_STATUS           \
                         "xorl %%eax,%%ecx\n\ttestb $8,%%ch\n\tsetz %%cl\n\tjnz 2f\n\tfstpt %1\n2:\n\t"      \
                         "fstpt %0"                                                                          \
                         : "=m"(*out), "+m"(*pushed), "=&a"(sw), "=&c"(*two)                                 \
                         : "m"(*a)                                                                           \
                         : HOST_CLOBBER);                                                                    \
        return sw;                                                                                           \
    }                                                                                                        \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        struct fpu *f = &cpu->fpu;                                                                           \
        union fpu_reg result, pushed = {.significand = 0};                                                   \
        unsigned sw;                                                                                         \
        bool two;                                                                                            \
        x87_begin(cpu);                                                                                      \
        x87_note(cpu, in);                                                                                   \
        unsigned a = x87_top(f);                                                                             \
        bool missing = x87_empty(f, a);                                                                      \
        if (fpu_unlikely(missing || !x87_empty(f, x87_phys(f, 7)))) {                                        \
            if (x87_missing_operand(f, codes, !missing)) {                                                   \
                x87_put(f, a, &x87_indefinite);                                                              \
                x87_push(f, &x87_indefinite);                                                                \
            }                                                                                                \
            return;                                                                                          \
        }                                                                                                    \
        X87_HOST(f, sw, sw = host_##name(&result, &pushed, &two, &f->r[a]));                                 \
        x87_take_codes(f, sw, codes);                                                                        \
        if (fpu_unlikely(x87_raise(f, sw) & BEFORE_RESULT))                                                  \
            return;                                                                                          \
        x87_put(f, a, &result);                                                                              \
        if (two)                                                                                             \
            x87_push(f, &pushed);                                                                            \
    }
UNARY_PUSH(fptan, FSW_C2)
UNARY_PUSH(fsincos, FSW_C2)
UNARY_PUSH(fxtract, 0u)
