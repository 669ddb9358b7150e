/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Packed integers: MMX with its SSE and SSE2 additions, and the same operations on XMM registers.
 *
 * MMX runs on the host's SSE2 units, a register in the lower half. Any MMX instruction turns the x87
 * registers into MMX registers: top of stack 0, all tags valid; a written register's exponent becomes all
 * ones. That must not happen before the last possible fault, hence mmx_begin() (checks), then the memory
 * access, then mmx_enter().
 *
 * SDM vol. 1, chapter 9; 10.4.4, 11.4.2; vol. 2 for each instruction.
 */
#include "emu/cpu/fpu_internal.h"

#include <emmintrin.h>

#define OP(name) void op_##name(struct cpu *cpu, const struct insn *in)
#define REG      (&cpu->fpu.xmm[in->reg])
#define RM       (&cpu->fpu.xmm[in->rm])
#define MREG     (cpu->fpu.r[in->reg].significand)
#define MRM      (cpu->fpu.r[in->rm].significand)

FPU_INLINE __m128i packed_load(const union xmm *x)
{
    return _mm_loadu_si128((const __m128i *)x);
}
FPU_INLINE void packed_store(union xmm *x, __m128i value)
{
    _mm_storeu_si128((__m128i *)x, value);
}
FPU_INLINE __m128i packed_from64(uint64_t x)
{
    return _mm_cvtsi64_si128((long long)x);
}
FPU_INLINE uint64_t packed_low(__m128i x)
{
    return (uint64_t)_mm_cvtsi128_si64(x);
}
FPU_INLINE uint64_t packed_high(__m128i x)
{
    return packed_low(_mm_unpackhi_epi64(x, x));
}
FPU_INLINE uint64_t mmx_operand(struct cpu *cpu, const struct insn *in)
{
    return mem_read64(cpu, in->seg, insn_ea(cpu, in));
}
FPU_INLINE uint64_t mmx_operand32(struct cpu *cpu, const struct insn *in)
{
    return mem_read32(cpu, in->seg, insn_ea(cpu, in));
}

/* BODY gives the new value of the destination from its old one, d, and the source, s; both are __m128i. */
#define MMX_FORM(name, operand, BODY)                                                                        \
    OP(name##_mmx_r)                                                                                         \
    {                                                                                                        \
        mmx_begin(cpu);                                                                                      \
        mmx_enter(cpu);                                                                                      \
        __m128i d = packed_from64(MREG), s = packed_from64(MRM);                                             \
        mmx_set(cpu, in->reg, BODY);                                                                         \
    }                                                                                                        \
    OP(name##_mmx_m)                                                                                         \
    {                                                                                                        \
        mmx_begin(cpu);                                                                                      \
        __m128i s = packed_from64(operand(cpu, in));                                                         \
        mmx_enter(cpu);                                                                                      \
        __m128i d = packed_from64(MREG);                                                                     \
        mmx_set(cpu, in->reg, BODY);                                                                         \
    }
#define XMM_FORM(name, BODY)                                                                                 \
    OP(name##_r)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        __m128i d = packed_load(REG), s = packed_load(RM);                                                   \
        packed_store(REG, BODY);                                                                             \
    }                                                                                                        \
    OP(name##_m)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        union xmm value = sse_read128(cpu, in);                                                              \
        __m128i d = packed_load(REG), s = packed_load(&value);                                               \
        packed_store(REG, BODY);                                                                             \
    }
#define BOTH(name, function)                                                                                 \
    MMX_FORM(name, mmx_operand, packed_low(function(d, s)))                                                  \
    XMM_FORM(name##_xmm, function(d, s))

BOTH(paddb, _mm_add_epi8)
BOTH(paddw, _mm_add_epi16)
BOTH(paddd, _mm_add_epi32)
BOTH(paddq, _mm_add_epi64)
BOTH(paddsb, _mm_adds_epi8)
BOTH(paddsw, _mm_adds_epi16)
BOTH(paddusb, _mm_adds_epu8)
BOTH(paddusw, _mm_adds_epu16)
BOTH(psubb, _mm_sub_epi8)
BOTH(psubw, _mm_sub_epi16)
BOTH(psubd, _mm_sub_epi32)
BOTH(psubq, _mm_sub_epi64)
BOTH(psubsb, _mm_subs_epi8)
BOTH(psubsw, _mm_subs_epi16)
BOTH(psubusb, _mm_subs_epu8)
BOTH(psubusw, _mm_subs_epu16)
BOTH(pmullw, _mm_mullo_epi16)
BOTH(pmulhw, _mm_mulhi_epi16)
BOTH(pmulhuw, _mm_mulhi_epu16)
BOTH(pmuludq, _mm_mul_epu32)
BOTH(pmaddwd, _mm_madd_epi16)
BOTH(psadbw, _mm_sad_epu8)
BOTH(pand, _mm_and_si128)
BOTH(pandn, _mm_andnot_si128)
BOTH(por, _mm_or_si128)
BOTH(pxor, _mm_xor_si128)
BOTH(pcmpeqb, _mm_cmpeq_epi8)
BOTH(pcmpeqw, _mm_cmpeq_epi16)
BOTH(pcmpeqd, _mm_cmpeq_epi32)
BOTH(pcmpgtb, _mm_cmpgt_epi8)
BOTH(pcmpgtw, _mm_cmpgt_epi16)
BOTH(pcmpgtd, _mm_cmpgt_epi32)
BOTH(pavgb, _mm_avg_epu8)
BOTH(pavgw, _mm_avg_epu16)
BOTH(pminub, _mm_min_epu8)
BOTH(pminsw, _mm_min_epi16)
BOTH(pmaxub, _mm_max_epu8)
BOTH(pmaxsw, _mm_max_epi16)
/* The count is the source's low 64 bits, in both sizes. */
BOTH(psllw, _mm_sll_epi16)
BOTH(pslld, _mm_sll_epi32)
BOTH(psllq, _mm_sll_epi64)
BOTH(psrlw, _mm_srl_epi16)
BOTH(psrld, _mm_srl_epi32)
BOTH(psrlq, _mm_srl_epi64)
BOTH(psraw, _mm_sra_epi16)
BOTH(psrad, _mm_sra_epi32)

/* Interleaving the low halves of 128 bits gives both results for 64: PUNPCKL below, PUNPCKH above. */
#define UNPACK(unit, low, high)                                                                              \
    MMX_FORM(punpckl##unit, mmx_operand32, packed_low(low(d, s)))                                            \
    XMM_FORM(punpckl##unit##_xmm, low(d, s))                                                                 \
    MMX_FORM(punpckh##unit, mmx_operand, packed_high(low(d, s)))                                             \
    XMM_FORM(punpckh##unit##_xmm, high(d, s))
UNPACK(bw, _mm_unpacklo_epi8, _mm_unpackhi_epi8)
UNPACK(wd, _mm_unpacklo_epi16, _mm_unpackhi_epi16)
UNPACK(dq, _mm_unpacklo_epi32, _mm_unpackhi_epi32)
XMM_FORM(punpcklqdq, _mm_unpacklo_epi64(d, s))
XMM_FORM(punpckhqdq, _mm_unpackhi_epi64(d, s))

#define PACK(name, function)                                                                                 \
    MMX_FORM(name, mmx_operand, packed_low(function(_mm_unpacklo_epi64(d, s), _mm_setzero_si128())))         \
    XMM_FORM(name##_xmm, function(d, s))
PACK(packsswb, _mm_packs_epi16)
PACK(packssdw, _mm_packs_epi32)
PACK(packuswb, _mm_packus_epi16)

/* ---- shifts by an immediate ---- */
#define SHIFT(name, function)                                                                                \
    OP(name##_imm_mmx)                                                                                       \
    {                                                                                                        \
        mmx_begin(cpu);                                                                                      \
        mmx_enter(cpu);                                                                                      \
        __m128i count = packed_from64(in->imm & 0xff);                                                       \
        mmx_set(cpu, in->rm, packed_low(function(packed_from64(MRM), count)));                               \
    }                                                                                                        \
    OP(name##_imm_xmm)                                                                                       \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        __m128i count = packed_from64(in->imm & 0xff);                                                       \
        packed_store(RM, function(packed_load(RM), count));                                                  \
    }
SHIFT(psllw, _mm_sll_epi16)
SHIFT(pslld, _mm_sll_epi32)
SHIFT(psllq, _mm_sll_epi64)
SHIFT(psrlw, _mm_srl_epi16)
SHIFT(psrld, _mm_srl_epi32)
SHIFT(psrlq, _mm_srl_epi64)
SHIFT(psraw, _mm_sra_epi16)
SHIFT(psrad, _mm_sra_epi32)

OP(pslldq)
{
    sse_begin(cpu);
    unsigned n = in->imm & 0xff;
    union xmm d = {.u64 = {0}};
    for (unsigned i = n; i < 16; i++)
        d.u8[i] = RM->u8[i - n];
    *RM = d;
}
OP(psrldq)
{
    sse_begin(cpu);
    unsigned n = in->imm & 0xff;
    union xmm d = {.u64 = {0}};
    for (unsigned i = n; i < 16; i++)
        d.u8[i - n] = RM->u8[i];
    *RM = d;
}

/* ---- MMX moves ---- */
OP(movd_mmx_r)
{
    mmx_begin(cpu);
    mmx_enter(cpu);
    mmx_set(cpu, in->reg, cpu->gpr[in->rm]);
}
OP(movd_mmx_m)
{
    mmx_begin(cpu);
    uint64_t value = mmx_operand32(cpu, in);
    mmx_enter(cpu);
    mmx_set(cpu, in->reg, value);
}
OP(movd_st_mmx_r)
{
    mmx_begin(cpu);
    mmx_enter(cpu);
    cpu->gpr[in->rm] = (uint32_t)MREG;
}
OP(movd_st_mmx_m)
{
    mmx_begin(cpu);
    mem_write32(cpu, in->seg, insn_ea(cpu, in), (uint32_t)MREG);
    mmx_enter(cpu);
}
OP(movq_mmx_r)
{
    mmx_begin(cpu);
    mmx_enter(cpu);
    mmx_set(cpu, in->reg, MRM);
}
OP(movq_mmx_m)
{
    mmx_begin(cpu);
    uint64_t value = mmx_operand(cpu, in);
    mmx_enter(cpu);
    mmx_set(cpu, in->reg, value);
}
OP(movq_st_mmx_r)
{
    mmx_begin(cpu);
    mmx_enter(cpu);
    mmx_set(cpu, in->rm, MREG);
}
OP(movq_st_mmx_m)
{
    mmx_begin(cpu);
    mem_write64(cpu, in->seg, insn_ea(cpu, in), MREG);
    mmx_enter(cpu);
}
OP(movntq)
{
    op_movq_st_mmx_m(cpu, in);
}
OP(emms)
{
    mmx_begin(cpu);
    mmx_enter(cpu);
    cpu->fpu.ftw = 0xffff;
}

/* Between the two register files: the checks of both. */
OP(movq2dq)
{
    sse_begin(cpu);
    mmx_begin(cpu);
    mmx_enter(cpu);
    uint64_t value = MRM;
    *REG = (union xmm){.u64 = {value}};
}
OP(movdq2q)
{
    sse_begin(cpu);
    mmx_begin(cpu);
    mmx_enter(cpu);
    mmx_set(cpu, in->reg, RM->u64[0]);
}

/* ---- words and masks ---- */
FPU_INLINE uint64_t mmx_shuffle(uint64_t s, unsigned order)
{
    uint64_t d = 0;
    for (unsigned i = 0; i < 4; i++)
        d |= (s >> (16 * (order >> (2 * i) & 3)) & 0xffff) << (16 * i);
    return d;
}
OP(pshufw_r)
{
    mmx_begin(cpu);
    mmx_enter(cpu);
    mmx_set(cpu, in->reg, mmx_shuffle(MRM, in->imm));
}
OP(pshufw_m)
{
    mmx_begin(cpu);
    uint64_t value = mmx_operand(cpu, in);
    mmx_enter(cpu);
    mmx_set(cpu, in->reg, mmx_shuffle(value, in->imm));
}
FPU_INLINE void mmx_insert(struct cpu *cpu, const struct insn *in, uint16_t word)
{
    unsigned shift = 16 * (in->imm & 3);
    mmx_enter(cpu);
    mmx_set(cpu, in->reg, (MREG & ~((uint64_t)0xffff << shift)) | (uint64_t)word << shift);
}
OP(pinsrw_mmx_r)
{
    mmx_begin(cpu);
    mmx_insert(cpu, in, (uint16_t)cpu->gpr[in->rm]);
}
OP(pinsrw_mmx_m)
{
    mmx_begin(cpu);
    mmx_insert(cpu, in, mem_read16(cpu, in->seg, insn_ea(cpu, in)));
}
OP(pextrw_mmx)
{
    mmx_begin(cpu);
    mmx_enter(cpu);
    cpu->gpr[in->reg] = (uint16_t)(MRM >> (16 * (in->imm & 3)));
}
OP(pmovmskb_mmx)
{
    mmx_begin(cpu);
    mmx_enter(cpu);
    cpu->gpr[in->reg] = (uint32_t)_mm_movemask_epi8(packed_from64(MRM));
}
/* Only the bytes that the mask selects are touched, faults included. */
OP(maskmovq)
{
    mmx_begin(cpu);
    uint32_t edi = cpu->gpr[EDI];
    uint64_t mask = MRM, value = MREG;
    for (unsigned i = 0; i < 8; i++)
        if (mask >> (8 * i + 7) & 1)
            mem_check_write(cpu, in->seg, (edi + i) & in->ea_mask, 1);
    for (unsigned i = 0; i < 8; i++)
        if (mask >> (8 * i + 7) & 1)
            mem_write8(cpu, in->seg, (edi + i) & in->ea_mask, (uint8_t)(value >> (8 * i)));
    mmx_enter(cpu);
}
