/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * SSE, SSE2, SSE3: arithmetic, comparisons and conversions, everything that MXCSR rules.
 *
 * The operation runs as the host's own instruction, on copies, under the guest's rounding mode, DAZ and FTZ,
 * with all exceptions masked and no flag set. While the guest masks all exceptions too (nearly always), its
 * flags are OR-ed into MXCSR, and that is all. Otherwise sse_unmasked() decides as a processor would:
 *
 *   - invalid, denormal and divide-by-zero are found before the computation. When one is unmasked, the flags
 *     found before it are set, those that would come after it are not, and #XM is raised;
 *   - overflow, underflow and inexact are found after it. Unmasked underflow means "tiny", masked underflow
 *     means "tiny and inexact"; and for an unmasked overflow or underflow, inexact means that the result
 * would not fit the precision even with an unbounded exponent. Both are worked out an element at a time, by
 * the x87 with its larger exponent range (sse_element_flags());
 *   - the destination changes only when nothing is raised.
 *
 * SDM vol. 1, 10.2.3, 11.5 and appendix E.
 */
#include "emu/cpu/fpu_internal.h"

#include <emmintrin.h>

#define OP(name) void op_##name(struct cpu *cpu, const struct insn *in)
#define REG      (&cpu->fpu.xmm[in->reg])
#define RM       (&cpu->fpu.xmm[in->rm])
#define BEFORE   (MXCSR_IE | MXCSR_DE | MXCSR_ZE)

/* What a result can overflow or underflow in, and how it is made of its operands. */
enum sse_shape {
    SHAPE_PS,    /* four floats */
    SHAPE_SS,    /* one */
    SHAPE_PD,    /* two doubles */
    SHAPE_SD,    /* one */
    SHAPE_OTHER, /* neither overflow nor underflow can happen */
};
enum sse_kind {
    KIND_ADD,
    KIND_SUB,
    KIND_MUL,
    KIND_DIV,
    KIND_ADDSUB,
    KIND_HADD,
    KIND_HSUB,
    KIND_NARROW,
    KIND_OTHER
};

_Noreturn static void sse_raise(struct cpu *cpu)
{
    if (cpu->cr4 & CR4_OSXMMEXCPT)
        cpu_fault(cpu, VEC_XM, 0);
    cpu_fault_ud(cpu);
}

/* One element's operands, as doubles: a float fits in without loss. */
struct sse_element {
    double a, b;
    enum sse_kind kind; /* ADD SUB MUL DIV or NARROW */
};

static double sse_double(const union xmm *x, bool single, unsigned i)
{
    union xmm value = {.u64 = {0}};
    if (!single)
        return x->f64[i];
    value.u32[0] = x->u32[i];
    /* By hand: a conversion of the host's would raise flags and honour DAZ. */
    uint32_t f = value.u32[0], exponent = f >> 23 & 0xff, fraction = f & 0x7fffff;
    uint64_t sign = (uint64_t)(f >> 31) << 63;
    if (exponent == 0xff) {
        value.u64[0] = sign | 0x7ff0000000000000u | (uint64_t)fraction << 29;
    } else if (exponent) {
        value.u64[0] = sign | (uint64_t)(exponent + 1023 - 127) << 52 | (uint64_t)fraction << 29;
    } else if (fraction) {
        unsigned shift = (unsigned)__builtin_clz(fraction) - 8; /* brings the leading one to bit 23 */
        value.u64[0] =
            sign | (uint64_t)(1023 - 126 - shift) << 52 | (uint64_t)(fraction << shift & 0x7fffff) << 29;
    } else {
        value.u64[0] = sign;
    }
    return value.f64[0];
}

static struct sse_element sse_element(const union xmm *a, const union xmm *b, bool single, enum sse_kind kind,
                                      unsigned i)
{
    unsigned half = single ? 2 : 1;
    const union xmm *from;
    switch (kind) {
    case KIND_HADD:
    case KIND_HSUB:
        from = i < half ? a : b;
        return (struct sse_element){.a = sse_double(from, single, 2 * (i % half)),
                                    .b = sse_double(from, single, 2 * (i % half) + 1),
                                    .kind = kind == KIND_HADD ? KIND_ADD : KIND_SUB};
    case KIND_ADDSUB:
        return (struct sse_element){.a = sse_double(a, single, i),
                                    .b = sse_double(b, single, i),
                                    .kind = i & 1 ? KIND_ADD : KIND_SUB};
    case KIND_NARROW:
        return (struct sse_element){.a = b->f64[i], .b = b->f64[i], .kind = kind};
    case KIND_ADD:
    case KIND_SUB:
    case KIND_MUL:
    case KIND_DIV:
    case KIND_OTHER:
        break;
    }
    return (struct sse_element){.a = sse_double(a, single, i), .b = sse_double(b, single, i), .kind = kind};
}

static double sse_daz(double x, bool single, uint32_t mxcsr)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    unsigned exponent = bits >> 52 & 0x7ff;
    if ((mxcsr & MXCSR_DAZ) && exponent < (single ? 1023u - 126u : 1u))
        bits &= (uint64_t)1 << 63;
    memcpy(&x, &bits, 8);
    return x;
}

/*
 * The flags that come after the computation of one element, for a guest with overflow or underflow unmasked.
 * The x87, its precision set to the format's, rounds exactly as an unbounded exponent would have it.
 */
static uint32_t sse_element_flags(struct sse_element e, bool single, uint32_t mxcsr)
{
    static const uint16_t host = FCW_DEFAULT;
    uint16_t control = (uint16_t)(FCW_MASKS | 0x40 | (single ? 0 : 0x200) | (mxcsr & MXCSR_RC) >> 3);
    uint16_t sw = 0;
    union fpu_reg r = {.significand = 0};
    double a = e.kind == KIND_NARROW ? sse_daz(e.a, false, mxcsr) : sse_daz(e.a, single, mxcsr);
    double b = e.kind == KIND_NARROW ? a : sse_daz(e.b, single, mxcsr);
#define HOST_OP(text)                                                                                        \
    __asm__ volatile("fnclex\n\tfldcw %4\n\tfldl %2\n\t" text                                                \
                     "\n\tfnstsw %%ax\n\tfstpt %0\n\tfnclex\n\tfldcw %5"                                     \
                     : "=m"(r), "=a"(sw)                                                                     \
                     : "m"(a), "m"(b), "m"(control), "m"(host)                                               \
                     : "cc", "memory", "st", "st(1)")
    switch (e.kind) {
    case KIND_ADD:
        HOST_OP("faddl %3");
        break;
    case KIND_SUB:
        HOST_OP("fsubl %3");
        break;
    case KIND_MUL:
        HOST_OP("fmull %3");
        break;
    case KIND_DIV:
        HOST_OP("fdivl %3");
        break;
    case KIND_NARROW: /* −0.0 would spoil nothing: x·1 rounds x */
        b = 1.0;
        HOST_OP("fmull %3");
        break;
    case KIND_ADDSUB:
    case KIND_HADD:
    case KIND_HSUB:
    case KIND_OTHER:
        return 0;
    }
#undef HOST_OP
    unsigned exponent = r.sign_exponent & 0x7fff;
    if (exponent == 0x7fff || (sw & (FSW_IE | FSW_ZE)) || r.significand == 0)
        return 0; /* infinities and NaNs of the operands, exact zeros: nothing after the computation */
    bool inexact = sw & FSW_PE;
    unsigned max = single ? 16383 + 127 : 16383 + 1023, min = single ? 16383 - 126 : 16383 - 1022;
    if (exponent > max) {
        bool masked = mxcsr & (MXCSR_OE << MXCSR_MASK_SHIFT);
        return MXCSR_OE | (inexact || masked ? MXCSR_PE : 0);
    }
    if (exponent >= min)
        return inexact ? MXCSR_PE : 0;
    if (!(mxcsr & (MXCSR_UE << MXCSR_MASK_SHIFT)))
        return MXCSR_UE | (inexact ? MXCSR_PE : 0);
    unsigned lost =
        64 - (single ? 24 : 53) + (min - exponent); /* bits a denormal of this format cannot hold */
    if (inexact || (mxcsr & MXCSR_FTZ) || lost >= 64 || (r.significand & (((uint64_t)1 << lost) - 1)))
        return MXCSR_UE | MXCSR_PE;
    return 0;
}

/* Whether some element is a denormal: the one sign of underflow that raises no flag when it is masked. */
static bool sse_any_denormal(const union xmm *x, bool single, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (single ? !(x->u32[i] & 0x7f800000) && (x->u32[i] & 0x7fffff)
                   : !(x->u64[i] & 0x7ff0000000000000) && (x->u64[i] & 0xfffffffffffff))
            return true;
    }
    return false;
}

/* The guest has some exception unmasked: `flags` and `d` came from the operation with all of them masked.
 * Returns when nothing is to be raised, with MXCSR updated. */
static __attribute__((noinline)) void sse_unmasked(struct cpu *cpu, uint32_t flags, const union xmm *a,
                                                   const union xmm *b, const union xmm *d,
                                                   enum sse_shape shape, enum sse_kind kind)
{
    uint32_t mxcsr = cpu->fpu.mxcsr;
    uint32_t unmasked = ~mxcsr >> MXCSR_MASK_SHIFT & MXCSR_FLAGS;
    if (flags & BEFORE & unmasked) {
        cpu->fpu.mxcsr |= flags & BEFORE;
        sse_raise(cpu);
    }
    if (shape != SHAPE_OTHER && (unmasked & (MXCSR_OE | MXCSR_UE))) {
        bool single = shape == SHAPE_PS || shape == SHAPE_SS;
        unsigned count = shape == SHAPE_PS ? 4 : shape == SHAPE_PD ? 2 : 1;
        if (kind == KIND_NARROW && count == 4)
            count = 2;
        if ((flags & (MXCSR_OE | MXCSR_UE)) || sse_any_denormal(d, single, count)) {
            flags &= BEFORE;
            for (unsigned i = 0; i < count; i++)
                flags |= sse_element_flags(sse_element(a, b, single, kind, i), single, mxcsr);
        }
    }
    cpu->fpu.mxcsr |= flags;
    if (flags & unmasked)
        sse_raise(cpu);
}

FPU_INLINE bool sse_all_masked(uint32_t mxcsr)
{
    return fpu_likely((mxcsr & MXCSR_MASKS) == MXCSR_MASKS);
}
/* For operations that can neither overflow nor underflow. */
FPU_INLINE void sse_finish(struct cpu *cpu, uint32_t flags)
{
    if (sse_all_masked(cpu->fpu.mxcsr))
        cpu->fpu.mxcsr |= flags;
    else
        sse_unmasked(cpu, flags, NULL, NULL, NULL, SHAPE_OTHER, KIND_OTHER);
}

/* ---- xmm ← xmm op xmm/memory ---- */

typedef void sse_fn(union xmm *d, const union xmm *s);

FPU_INLINE void sse_operate(struct cpu *cpu, const struct insn *in, const union xmm *s, sse_fn *fn,
                            enum sse_shape shape, enum sse_kind kind)
{
    uint32_t mxcsr = cpu->fpu.mxcsr;
    union xmm d = *REG;
    sse_host_enter(mxcsr);
    fn(&d, s);
    uint32_t flags = sse_host_leave(mxcsr);
    if (sse_all_masked(cpu->fpu.mxcsr))
        cpu->fpu.mxcsr |= flags;
    else
        sse_unmasked(cpu, flags, REG, s, &d, shape, kind);
    *REG = d;
}

FPU_INLINE __m128i xmm_load(const union xmm *x)
{
    return _mm_loadu_si128((const __m128i *)x);
}
FPU_INLINE void xmm_store(union xmm *x, __m128i value)
{
    _mm_storeu_si128((__m128i *)x, value);
}
FPU_INLINE union xmm sse_read32(struct cpu *cpu, const struct insn *in)
{
    return (union xmm){.u32 = {mem_read32(cpu, in->seg, insn_ea(cpu, in))}};
}
FPU_INLINE union xmm sse_read64(struct cpu *cpu, const struct insn *in)
{
    return (union xmm){.u64 = {mem_read64(cpu, in->seg, insn_ea(cpu, in))}};
}

#define HOST_SSE(name, text)                                                                                 \
    FPU_INLINE void host_##name(union xmm *d, const union xmm *s)                                            \
    {                                                                                                        \
        __m128i a = xmm_load(d), b = xmm_load(s);                                                            \
        __asm__ volatile(text " %1,%0" : "+x"(a) : "x"(b));                                                  \
        xmm_store(d, a);                                                                                     \
    }
#define FORMS(name, read, shape, kind)                                                                       \
    OP(name##_r)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        union xmm s = *RM;                                                                                   \
        sse_operate(cpu, in, &s, host_##name, shape, kind);                                                  \
    }                                                                                                        \
    OP(name##_m)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        union xmm s = read(cpu, in);                                                                         \
        sse_operate(cpu, in, &s, host_##name, shape, kind);                                                  \
    }
#define ARITH(name, read, shape, kind)                                                                       \
    HOST_SSE(name, #name)                                                                                    \
    FORMS(name, read, shape, kind)
#define ARITH4(name, kind)                                                                                   \
    ARITH(name##ps, sse_read128, SHAPE_PS, kind)                                                             \
    ARITH(name##pd, sse_read128, SHAPE_PD, kind)                                                             \
    ARITH(name##ss, sse_read32, SHAPE_SS, kind)                                                              \
    ARITH(name##sd, sse_read64, SHAPE_SD, kind)
#define PLAIN4(name)                                                                                         \
    ARITH(name##ps, sse_read128, SHAPE_OTHER, KIND_OTHER)                                                    \
    ARITH(name##pd, sse_read128, SHAPE_OTHER, KIND_OTHER)                                                    \
    ARITH(name##ss, sse_read32, SHAPE_OTHER, KIND_OTHER)                                                     \
    ARITH(name##sd, sse_read64, SHAPE_OTHER, KIND_OTHER)

ARITH4(add, KIND_ADD)
ARITH4(sub, KIND_SUB)
ARITH4(mul, KIND_MUL)
ARITH4(div, KIND_DIV)
PLAIN4(min)
PLAIN4(max)
PLAIN4(sqrt)
ARITH(addsubps, sse_read128, SHAPE_PS, KIND_ADDSUB)
ARITH(addsubpd, sse_read128, SHAPE_PD, KIND_ADDSUB)
ARITH(haddps, sse_read128, SHAPE_PS, KIND_HADD)
ARITH(haddpd, sse_read128, SHAPE_PD, KIND_HADD)
ARITH(hsubps, sse_read128, SHAPE_PS, KIND_HSUB)
ARITH(hsubpd, sse_read128, SHAPE_PD, KIND_HSUB)
/* Approximations: the host's own, within the SDM's 1.5·2^-12; no exceptions. */
ARITH(rcpps, sse_read128, SHAPE_OTHER, KIND_OTHER)
ARITH(rcpss, sse_read32, SHAPE_OTHER, KIND_OTHER)
ARITH(rsqrtps, sse_read128, SHAPE_OTHER, KIND_OTHER)
ARITH(rsqrtss, sse_read32, SHAPE_OTHER, KIND_OTHER)

/* ---- conversions within the XMM registers ---- */
ARITH(cvtps2pd, sse_read64, SHAPE_OTHER, KIND_OTHER)
ARITH(cvtss2sd, sse_read32, SHAPE_OTHER, KIND_OTHER)
ARITH(cvtpd2ps, sse_read128, SHAPE_PS, KIND_NARROW)
ARITH(cvtsd2ss, sse_read64, SHAPE_SS, KIND_NARROW)
ARITH(cvtdq2ps, sse_read128, SHAPE_OTHER, KIND_OTHER)
ARITH(cvtps2dq, sse_read128, SHAPE_OTHER, KIND_OTHER)
ARITH(cvttps2dq, sse_read128, SHAPE_OTHER, KIND_OTHER)
ARITH(cvtdq2pd, sse_read64, SHAPE_OTHER, KIND_OTHER)
ARITH(cvtpd2dq, sse_read128, SHAPE_OTHER, KIND_OTHER)
ARITH(cvttpd2dq, sse_read128, SHAPE_OTHER, KIND_OTHER)

/* ---- compare to a mask; the predicate is the immediate's low three bits ---- */
#define HOST_COMPARE(name)                                                                                   \
    FPU_INLINE void host_##name(union xmm *d, const union xmm *s, unsigned predicate)                        \
    {                                                                                                        \
        __m128i a = xmm_load(d), b = xmm_load(s);                                                            \
        switch (predicate & 7) {                                                                             \
        case 0:                                                                                              \
            __asm__ volatile(#name " $0,%1,%0" : "+x"(a) : "x"(b));                                          \
            break;                                                                                           \
        case 1:                                                                                              \
            __asm__ volatile(#name " $1,%1,%0" : "+x"(a) : "x"(b));                                          \
            break;                                                                                           \
        case 2:                                                                                              \
            __asm__ volatile(#name " $2,%1,%0" : "+x"(a) : "x"(b));                                          \
            break;                                                                                           \
        case 3:                                                                                              \
            __asm__ volatile(#name " $3,%1,%0" : "+x"(a) : "x"(b));                                          \
            break;                                                                                           \
        case 4:                                                                                              \
            __asm__ volatile(#name " $4,%1,%0" : "+x"(a) : "x"(b));                                          \
            break;                                                                                           \
        case 5:                                                                                              \
            __asm__ volatile(#name " $5,%1,%0" : "+x"(a) : "x"(b));                                          \
            break;                                                                                           \
        case 6:                                                                                              \
            __asm__ volatile(#name " $6,%1,%0" : "+x"(a) : "x"(b));                                          \
            break;                                                                                           \
        case 7:                                                                                              \
            __asm__ volatile(#name " $7,%1,%0" : "+x"(a) : "x"(b));                                          \
            break;                                                                                           \
        }                                                                                                    \
        xmm_store(d, a);                                                                                     \
    }
#define COMPARE(id, name, read)                                                                              \
    HOST_COMPARE(name)                                                                                       \
    FPU_INLINE void do_##id(struct cpu *cpu, const struct insn *in, const union xmm *s)                      \
    {                                                                                                        \
        uint32_t mxcsr = cpu->fpu.mxcsr;                                                                     \
        union xmm d = *REG;                                                                                  \
        sse_host_enter(mxcsr);                                                                               \
        host_##name(&d, s, in->imm);                                                                         \
        sse_finish(cpu, sse_host_leave(mxcsr));                                                              \
        *REG = d;                                                                                            \
    }                                                                                                        \
    OP(id##_r)                                                                                               \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        union xmm s = *RM;                                                                                   \
        do_##id(cpu, in, &s);                                                                                \
    }                                                                                                        \
    OP(id##_m)                                                                                               \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        union xmm s = read(cpu, in);                                                                         \
        do_##id(cpu, in, &s);                                                                                \
    }
COMPARE(cmpps, cmpps, sse_read128)
COMPARE(cmppd, cmppd, sse_read128)
COMPARE(cmpss, cmpss, sse_read32)
COMPARE(cmpsd_xmm, cmpsd, sse_read64)

/* ---- compare to EFLAGS; OF SF AF are cleared ---- */
#define COMPARE_FLAGS(name, read)                                                                            \
    FPU_INLINE void do_##name(struct cpu *cpu, const struct insn *in, const union xmm *s)                    \
    {                                                                                                        \
        uint32_t mxcsr = cpu->fpu.mxcsr;                                                                     \
        __m128i a = xmm_load(REG), b = xmm_load(s);                                                          \
        sse_host_enter(mxcsr);                                                                               \
        uint8_t cf, pf, zf;                                                                                  \
        __asm__ volatile(#name " %4,%3" : "=@ccc"(cf), "=@ccp"(pf), "=@ccz"(zf) : "x"(a), "x"(b));           \
        uint32_t flags = sse_host_leave(mxcsr);                                                              \
        sse_finish(cpu, flags);                                                                              \
        cpu->status = (cf ? FLAG_CF : 0) | (pf ? FLAG_PF : 0) | (zf ? FLAG_ZF : 0);                          \
    }                                                                                                        \
    OP(name##_r)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        union xmm s = *RM;                                                                                   \
        do_##name(cpu, in, &s);                                                                              \
    }                                                                                                        \
    OP(name##_m)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        union xmm s = read(cpu, in);                                                                         \
        do_##name(cpu, in, &s);                                                                              \
    }
COMPARE_FLAGS(comiss, sse_read32)
COMPARE_FLAGS(ucomiss, sse_read32)
COMPARE_FLAGS(comisd, sse_read64)
COMPARE_FLAGS(ucomisd, sse_read64)

/* ---- general register ← float ---- */
#define TO_GENERAL(name, read)                                                                               \
    FPU_INLINE void do_##name(struct cpu *cpu, const struct insn *in, const union xmm *s)                    \
    {                                                                                                        \
        uint32_t mxcsr = cpu->fpu.mxcsr, value;                                                              \
        __m128i b = xmm_load(s);                                                                             \
        sse_host_enter(mxcsr);                                                                               \
        __asm__ volatile(#name " %1,%0" : "=r"(value) : "x"(b));                                             \
        uint32_t flags = sse_host_leave(mxcsr);                                                              \
        sse_finish(cpu, flags);                                                                              \
        cpu->gpr[in->reg] = value;                                                                           \
    }                                                                                                        \
    OP(name##_r)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        union xmm s = *RM;                                                                                   \
        do_##name(cpu, in, &s);                                                                              \
    }                                                                                                        \
    OP(name##_m)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        union xmm s = read(cpu, in);                                                                         \
        do_##name(cpu, in, &s);                                                                              \
    }
TO_GENERAL(cvtss2si, sse_read32)
TO_GENERAL(cvttss2si, sse_read32)
TO_GENERAL(cvtsd2si, sse_read64)
TO_GENERAL(cvttsd2si, sse_read64)

/* ---- float ← general register ---- */
#define FROM_GENERAL(name)                                                                                   \
    FPU_INLINE void do_##name(struct cpu *cpu, const struct insn *in, uint32_t value)                        \
    {                                                                                                        \
        uint32_t mxcsr = cpu->fpu.mxcsr;                                                                     \
        __m128i d = xmm_load(REG);                                                                           \
        sse_host_enter(mxcsr);                                                                               \
        __asm__ volatile(#name "l %1,%0" : "+x"(d) : "r"(value));                                            \
        uint32_t flags = sse_host_leave(mxcsr);                                                              \
        sse_finish(cpu, flags);                                                                              \
        xmm_store(REG, d);                                                                                   \
    }                                                                                                        \
    OP(name##_r)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        do_##name(cpu, in, cpu->gpr[in->rm]);                                                                \
    }                                                                                                        \
    OP(name##_m)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        do_##name(cpu, in, mem_read32(cpu, in->seg, insn_ea(cpu, in)));                                      \
    }
FROM_GENERAL(cvtsi2ss)
FROM_GENERAL(cvtsi2sd)

/* ---- between MMX and XMM: the checks of both; done with the XMM forms of the same conversions ---- */

/* Two integers → floats in the lower half, the upper half stays. CVTDQ2PS converts four: two of them zeros.
 */
FPU_INLINE void do_cvtpi2ps(struct cpu *cpu, const struct insn *in, uint64_t value)
{
    uint32_t mxcsr = cpu->fpu.mxcsr;
    union xmm d = {.u64 = {0}}, s = {.u64 = {value}};
    sse_host_enter(mxcsr);
    host_cvtdq2ps(&d, &s);
    uint32_t flags = sse_host_leave(mxcsr);
    sse_finish(cpu, flags);
    mmx_enter(cpu);
    REG->u64[0] = d.u64[0];
}
OP(cvtpi2ps_r)
{
    sse_begin(cpu);
    mmx_begin(cpu);
    do_cvtpi2ps(cpu, in, cpu->fpu.r[in->rm].significand);
}
OP(cvtpi2ps_m)
{
    sse_begin(cpu);
    mmx_begin(cpu);
    do_cvtpi2ps(cpu, in, mem_read64(cpu, in->seg, insn_ea(cpu, in)));
}
/* Exact: no flags. From memory it does not touch the MMX state. */
FPU_INLINE void do_cvtpi2pd(struct cpu *cpu, const struct insn *in, uint64_t value)
{
    union xmm s = {.u64 = {value}};
    host_cvtdq2pd(REG, &s);
}
OP(cvtpi2pd_r)
{
    sse_begin(cpu);
    mmx_begin(cpu);
    mmx_enter(cpu);
    do_cvtpi2pd(cpu, in, cpu->fpu.r[in->rm].significand);
}
OP(cvtpi2pd_m)
{
    sse_begin(cpu);
    do_cvtpi2pd(cpu, in, mem_read64(cpu, in->seg, insn_ea(cpu, in)));
}

#define TO_MMX(name, host, read, keep)                                                                       \
    FPU_INLINE void do_##name(struct cpu *cpu, const struct insn *in, union xmm s)                           \
    {                                                                                                        \
        uint32_t mxcsr = cpu->fpu.mxcsr;                                                                     \
        union xmm d = {.u64 = {0}};                                                                          \
        keep;                                                                                                \
        sse_host_enter(mxcsr);                                                                               \
        host(&d, &s);                                                                                        \
        uint32_t flags = sse_host_leave(mxcsr);                                                              \
        sse_finish(cpu, flags);                                                                              \
        mmx_enter(cpu);                                                                                      \
        mmx_set(cpu, in->reg, d.u64[0]);                                                                     \
    }                                                                                                        \
    OP(name##_r)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        mmx_begin(cpu);                                                                                      \
        do_##name(cpu, in, *RM);                                                                             \
    }                                                                                                        \
    OP(name##_m)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        mmx_begin(cpu);                                                                                      \
        do_##name(cpu, in, read(cpu, in));                                                                   \
    }
/* Of the floats only the lower two take part. */
TO_MMX(cvtps2pi, host_cvtps2dq, sse_read64, s.u64[1] = 0)
TO_MMX(cvttps2pi, host_cvttps2dq, sse_read64, s.u64[1] = 0)
TO_MMX(cvtpd2pi, host_cvtpd2dq, sse_read128, )
TO_MMX(cvttpd2pi, host_cvttpd2dq, sse_read128, )
