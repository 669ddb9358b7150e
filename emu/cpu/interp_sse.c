/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * SSE, SSE2, SSE3: moves, logic, shuffles, cache hints, fences. Nothing here depends on MXCSR.
 *
 * op_x_r is the register form of row x, op_x_m the memory form; rows with one form only have op_x.
 * Non-temporal stores are ordinary stores, fences order nothing: one processor sees its own accesses in
 * order.
 *
 * SDM vol. 1, chapters 10–12; vol. 2 for each instruction.
 */
#include "emu/cpu/fpu_internal.h"

#define OP(name) void op_##name(struct cpu *cpu, const struct insn *in)
#define REG      (&cpu->fpu.xmm[in->reg])
#define RM       (&cpu->fpu.xmm[in->rm])

FPU_INLINE void sse_write128(struct cpu *cpu, const struct insn *in, const union xmm *value)
{
    uint32_t ea = insn_ea(cpu, in);
    sse_check_alignment(cpu, in, ea);
    mem_write128(cpu, in->seg, ea, value);
}

/* ---- 128-bit moves ---- */

#define MOVE_LOAD(name, read)                                                                                \
    OP(name##_r)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        *REG = *RM;                                                                                          \
    }                                                                                                        \
    OP(name##_m)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        union xmm value = read(cpu, in);                                                                     \
        *REG = value;                                                                                        \
    }
#define STORE_ALIGNED(name)                                                                                  \
    OP(name)                                                                                                 \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        sse_write128(cpu, in, REG);                                                                          \
    }
#define STORE_UNALIGNED(name)                                                                                \
    OP(name)                                                                                                 \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        mem_write128(cpu, in->seg, insn_ea(cpu, in), REG);                                                   \
    }
#define MOVE_STORE_REGISTER(name)                                                                            \
    OP(name)                                                                                                 \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        *RM = *REG;                                                                                          \
    }

MOVE_LOAD(movaps, sse_read128)
MOVE_LOAD(movapd, sse_read128)
MOVE_LOAD(movdqa, sse_read128)
MOVE_LOAD(movups, sse_read128_unaligned)
MOVE_LOAD(movupd, sse_read128_unaligned)
MOVE_LOAD(movdqu, sse_read128_unaligned)
STORE_ALIGNED(movaps_st_m)
STORE_ALIGNED(movapd_st_m)
STORE_ALIGNED(movdqa_st_m)
STORE_ALIGNED(movntps)
STORE_ALIGNED(movntpd)
STORE_ALIGNED(movntdq)
STORE_UNALIGNED(movups_st_m)
STORE_UNALIGNED(movupd_st_m)
STORE_UNALIGNED(movdqu_st_m)
MOVE_STORE_REGISTER(movaps_st_r)
MOVE_STORE_REGISTER(movapd_st_r)
MOVE_STORE_REGISTER(movdqa_st_r)
MOVE_STORE_REGISTER(movups_st_r)
MOVE_STORE_REGISTER(movupd_st_r)
MOVE_STORE_REGISTER(movdqu_st_r)

OP(lddqu)
{
    sse_begin(cpu);
    union xmm value = sse_read128_unaligned(cpu, in);
    *REG = value;
}

/* ---- 32- and 64-bit moves: registers keep the upper part, loads clear it ---- */

OP(movss_r)
{
    sse_begin(cpu);
    REG->u32[0] = RM->u32[0];
}
OP(movss_m)
{
    sse_begin(cpu);
    uint32_t value = mem_read32(cpu, in->seg, insn_ea(cpu, in));
    *REG = (union xmm){.u32 = {value}};
}
OP(movss_st_r)
{
    sse_begin(cpu);
    RM->u32[0] = REG->u32[0];
}
OP(movss_st_m)
{
    sse_begin(cpu);
    mem_write32(cpu, in->seg, insn_ea(cpu, in), REG->u32[0]);
}
OP(movsd_xmm_r)
{
    sse_begin(cpu);
    REG->u64[0] = RM->u64[0];
}
OP(movsd_xmm_m)
{
    sse_begin(cpu);
    uint64_t value = mem_read64(cpu, in->seg, insn_ea(cpu, in));
    *REG = (union xmm){.u64 = {value}};
}
OP(movsd_st_xmm_r)
{
    sse_begin(cpu);
    RM->u64[0] = REG->u64[0];
}

#define LOAD_HALF(name, half)                                                                                \
    OP(name)                                                                                                 \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        REG->u64[half] = mem_read64(cpu, in->seg, insn_ea(cpu, in));                                         \
    }
#define STORE_HALF(name, half)                                                                               \
    OP(name)                                                                                                 \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        mem_write64(cpu, in->seg, insn_ea(cpu, in), REG->u64[half]);                                         \
    }
LOAD_HALF(movlps, 0)
LOAD_HALF(movlpd, 0)
LOAD_HALF(movhps, 1)
LOAD_HALF(movhpd, 1)
STORE_HALF(movlps_st, 0)
STORE_HALF(movlpd_st, 0)
STORE_HALF(movhps_st, 1)
STORE_HALF(movhpd_st, 1)
STORE_HALF(movsd_st_xmm_m, 0)
STORE_HALF(movq_st_xmm_m, 0)

OP(movhlps)
{
    sse_begin(cpu);
    REG->u64[0] = RM->u64[1];
}
OP(movlhps)
{
    sse_begin(cpu);
    REG->u64[1] = RM->u64[0];
}

/* MOVQ and MOVD clear the rest, in registers too. */
OP(movq_xmm_r)
{
    sse_begin(cpu);
    uint64_t value = RM->u64[0];
    *REG = (union xmm){.u64 = {value}};
}
OP(movq_xmm_m)
{
    sse_begin(cpu);
    uint64_t value = mem_read64(cpu, in->seg, insn_ea(cpu, in));
    *REG = (union xmm){.u64 = {value}};
}
OP(movq_st_xmm_r)
{
    sse_begin(cpu);
    uint64_t value = REG->u64[0];
    *RM = (union xmm){.u64 = {value}};
}
OP(movd_xmm_r)
{
    sse_begin(cpu);
    *REG = (union xmm){.u32 = {cpu->gpr[in->rm]}};
}
OP(movd_xmm_m)
{
    sse_begin(cpu);
    uint32_t value = mem_read32(cpu, in->seg, insn_ea(cpu, in));
    *REG = (union xmm){.u32 = {value}};
}
OP(movd_st_xmm_r)
{
    sse_begin(cpu);
    cpu->gpr[in->rm] = REG->u32[0];
}
OP(movd_st_xmm_m)
{
    sse_begin(cpu);
    mem_write32(cpu, in->seg, insn_ea(cpu, in), REG->u32[0]);
}

/* A general register's store: no SSE state, so neither CR0 nor CR4 is asked. */
OP(movnti)
{
    mem_write32(cpu, in->seg, insn_ea(cpu, in), cpu->gpr[in->reg]);
}

/* ---- logic and shuffles of 128 bits ---- */

/* BODY works on d, the destination's old value, and s, the source; the result is in d. */
#define SHUFFLE(name, BODY)                                                                                  \
    FPU_INLINE void do_##name(struct cpu *cpu, const struct insn *in, union xmm s)                           \
    {                                                                                                        \
        union xmm d = *REG;                                                                                  \
        BODY;                                                                                                \
        *REG = d;                                                                                            \
    }                                                                                                        \
    OP(name##_r)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        do_##name(cpu, in, *RM);                                                                             \
    }                                                                                                        \
    OP(name##_m)                                                                                             \
    {                                                                                                        \
        sse_begin(cpu);                                                                                      \
        do_##name(cpu, in, sse_read128(cpu, in));                                                            \
    }
#define LOGIC(name, expression)                                                                              \
    FPU_INLINE uint64_t logic_##name(uint64_t a, uint64_t b)                                                 \
    {                                                                                                        \
        return expression;                                                                                   \
    }                                                                                                        \
    SHUFFLE(name, d.u64[0] = logic_##name(d.u64[0], s.u64[0]); d.u64[1] = logic_##name(d.u64[1], s.u64[1]))
LOGIC(andps, a &b)
LOGIC(andpd, a &b)
LOGIC(andnps, ~a &b)
LOGIC(andnpd, ~a &b)
LOGIC(orps, a | b)
LOGIC(orpd, a | b)
LOGIC(xorps, a ^ b)
LOGIC(xorpd, a ^ b)

SHUFFLE(unpcklps, d = ((union xmm){.u32 = {d.u32[0], s.u32[0], d.u32[1], s.u32[1]}}))
SHUFFLE(unpckhps, d = ((union xmm){.u32 = {d.u32[2], s.u32[2], d.u32[3], s.u32[3]}}))
SHUFFLE(unpcklpd, d.u64[1] = s.u64[0])
SHUFFLE(unpckhpd, d = ((union xmm){.u64 = {d.u64[1], s.u64[1]}}))
SHUFFLE(movsldup, d = ((union xmm){.u32 = {s.u32[0], s.u32[0], s.u32[2], s.u32[2]}}))
SHUFFLE(movshdup, d = ((union xmm){.u32 = {s.u32[1], s.u32[1], s.u32[3], s.u32[3]}}))
SHUFFLE(shufps, d = ((union xmm){.u32 = {d.u32[in->imm & 3], d.u32[in->imm >> 2 & 3], s.u32[in->imm >> 4 & 3],
                                         s.u32[in->imm >> 6 & 3]}}))
SHUFFLE(shufpd, d = ((union xmm){.u64 = {d.u64[in->imm & 1], s.u64[in->imm >> 1 & 1]}}))
SHUFFLE(pshufd, d = ((union xmm){.u32 = {s.u32[in->imm & 3], s.u32[in->imm >> 2 & 3], s.u32[in->imm >> 4 & 3],
                                         s.u32[in->imm >> 6 & 3]}}))
SHUFFLE(pshuflw, d = s; for (unsigned i = 0; i < 4; i++) d.u16[i] = s.u16[in->imm >> (2 * i) & 3];)
SHUFFLE(pshufhw, d = s; for (unsigned i = 0; i < 4; i++) d.u16[4 + i] = s.u16[4 + (in->imm >> (2 * i) & 3)];)

OP(movddup_r)
{
    sse_begin(cpu);
    uint64_t value = RM->u64[0];
    *REG = (union xmm){.u64 = {value, value}};
}
OP(movddup_m)
{
    sse_begin(cpu);
    uint64_t value = mem_read64(cpu, in->seg, insn_ea(cpu, in));
    *REG = (union xmm){.u64 = {value, value}};
}

/* ---- to and from general registers ---- */

OP(movmskps)
{
    sse_begin(cpu);
    uint32_t mask = 0;
    for (unsigned i = 0; i < 4; i++)
        mask |= (RM->u32[i] >> 31) << i;
    cpu->gpr[in->reg] = mask;
}
OP(movmskpd)
{
    sse_begin(cpu);
    cpu->gpr[in->reg] = (uint32_t)(RM->u64[0] >> 63) | (uint32_t)(RM->u64[1] >> 63) << 1;
}
OP(pmovmskb_xmm)
{
    sse_begin(cpu);
    uint32_t mask = 0;
    for (unsigned i = 0; i < 16; i++)
        mask |= (uint32_t)(RM->u8[i] >> 7) << i;
    cpu->gpr[in->reg] = mask;
}
OP(pinsrw_xmm_r)
{
    sse_begin(cpu);
    REG->u16[in->imm & 7] = (uint16_t)cpu->gpr[in->rm];
}
OP(pinsrw_xmm_m)
{
    sse_begin(cpu);
    REG->u16[in->imm & 7] = mem_read16(cpu, in->seg, insn_ea(cpu, in));
}
OP(pextrw_xmm)
{
    sse_begin(cpu);
    cpu->gpr[in->reg] = RM->u16[in->imm & 7];
}

/* Only the bytes that the mask selects are touched, faults included. */
OP(maskmovdqu)
{
    sse_begin(cpu);
    uint32_t edi = cpu->gpr[EDI];
    for (unsigned i = 0; i < 16; i++)
        if (RM->u8[i] & 0x80)
            mem_check_write(cpu, in->seg, (edi + i) & in->ea_mask, 1);
    for (unsigned i = 0; i < 16; i++)
        if (RM->u8[i] & 0x80)
            mem_write8(cpu, in->seg, (edi + i) & in->ea_mask, REG->u8[i]);
}

/* ---- the cache ---- */

OP(clflush)
{
    (void)mem_read8(cpu, in->seg, insn_ea(cpu, in)); /* faults as a load would; there is no cache to flush */
}
#define HINT(name)                                                                                           \
    OP(name)                                                                                                 \
    {                                                                                                        \
    }
HINT(lfence)
HINT(mfence)
HINT(sfence)
HINT(prefetchnta)
HINT(prefetcht0)
HINT(prefetcht1)
HINT(prefetcht2)
