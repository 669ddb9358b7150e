/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Arithmetic and logic: ADD…CMP, TEST, INC, DEC, NOT, NEG, multiply, divide, shifts, rotates, decimal adjust.
 *
 * The arithmetic itself is the host's (flags.h). What the host cannot do in 64-bit mode, the decimal adjusts,
 * is written out after SDM vol. 2. Division looks for #DE first, then lets the host divide.
 */
#include "emu/cpu/interp.h"

/* ---- two operands ---- */

/* `store` is a statement macro that puts the result away; CMP and TEST have none. */
#define ALU_FORMS(id, host, N, size, gb, eb, ib)                                                             \
    void op_##id##_##eb##_##gb##size##_r(struct cpu *cpu, const struct insn *in)                             \
    {                                                                                                        \
        REG(N, in->rm) = host##N(cpu, REG(N, in->rm), REG(N, in->reg));                                      \
    }                                                                                                        \
    void op_##id##_##eb##_##gb##size##_m(struct cpu *cpu, const struct insn *in)                             \
    {                                                                                                        \
        MEM_CHANGE(N, value, host##N(cpu, value, REG(N, in->reg)));                                          \
    }                                                                                                        \
    void op_##id##_##gb##_##eb##size##_r(struct cpu *cpu, const struct insn *in)                             \
    {                                                                                                        \
        REG(N, in->reg) = host##N(cpu, REG(N, in->reg), REG(N, in->rm));                                     \
    }                                                                                                        \
    void op_##id##_##gb##_##eb##size##_m(struct cpu *cpu, const struct insn *in)                             \
    {                                                                                                        \
        T(N) source = MEM_READ(N);                                                                           \
        REG(N, in->reg) = host##N(cpu, REG(N, in->reg), source);                                             \
    }
#define ALU_IMM(id, host, N, suffix)                                                                         \
    void op_##id##suffix##_r(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        REG(N, in->rm) = host##N(cpu, REG(N, in->rm), (T(N))in->imm);                                        \
    }                                                                                                        \
    void op_##id##suffix##_m(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        MEM_CHANGE(N, value, host##N(cpu, value, (T(N))in->imm));                                            \
    }
#define ALU_ACC(id, host, N, suffix)                                                                         \
    void op_##id##suffix(struct cpu *cpu, const struct insn *in)                                             \
    {                                                                                                        \
        REG(N, EAX) = host##N(cpu, REG(N, EAX), (T(N))in->imm);                                              \
    }
#define ALU(id)                                                                                              \
    ALU_FORMS(id, host_##id, 8, , gb, eb, ib)                                                                \
    ALU_FORMS(id, host_##id, 16, _16, gv, ev, iz)                                                            \
    ALU_FORMS(id, host_##id, 32, _32, gv, ev, iz)                                                            \
    ALU_ACC(id, host_##id, 8, _al_ib)                                                                        \
    ALU_ACC(id, host_##id, 16, _eax_iz_16)                                                                   \
    ALU_ACC(id, host_##id, 32, _eax_iz_32)                                                                   \
    ALU_IMM(id, host_##id, 8, _eb_ib)                                                                        \
    ALU_IMM(id, host_##id, 8, _eb_ib_82)                                                                     \
    ALU_IMM(id, host_##id, 16, _ev_iz_16)                                                                    \
    ALU_IMM(id, host_##id, 32, _ev_iz_32)                                                                    \
    ALU_IMM(id, host_##id, 16, _ev_sib_16)                                                                   \
    ALU_IMM(id, host_##id, 32, _ev_sib_32)

/* The same without a result. */
#define COMPARE_FORM(id, host, N, suffix, a_r, a_m, b)                                                       \
    void op_##id##suffix##_r(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        host##N(cpu, a_r, b);                                                                                \
    }                                                                                                        \
    void op_##id##suffix##_m(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        T(N) memory = MEM_READ(N);                                                                           \
        a_m;                                                                                                 \
    }
#define COMPARE_EG(id, N, suffix)                                                                            \
    COMPARE_FORM(id, host_##id, N, suffix, REG(N, in->rm), host_##id##N(cpu, memory, REG(N, in->reg)),       \
                 REG(N, in->reg))
#define COMPARE_GE(id, N, suffix)                                                                            \
    COMPARE_FORM(id, host_##id, N, suffix, REG(N, in->reg), host_##id##N(cpu, REG(N, in->reg), memory),      \
                 REG(N, in->rm))
#define COMPARE_IMM(id, N, suffix)                                                                           \
    COMPARE_FORM(id, host_##id, N, suffix, REG(N, in->rm), host_##id##N(cpu, memory, (T(N))in->imm),         \
                 (T(N))in->imm)
#define COMPARE_ACC(id, N, suffix)                                                                           \
    void op_##id##suffix(struct cpu *cpu, const struct insn *in)                                             \
    {                                                                                                        \
        host_##id##N(cpu, REG(N, EAX), (T(N))in->imm);                                                       \
    }
/* clang-format off */
ALU(add)
ALU(or)
ALU(adc)
ALU(sbb)
ALU(and)
ALU(sub)
ALU(xor)

COMPARE_EG(cmp, 8, _eb_gb) COMPARE_EG(cmp, 16, _ev_gv_16) COMPARE_EG(cmp, 32, _ev_gv_32)
COMPARE_GE(cmp, 8, _gb_eb) COMPARE_GE(cmp, 16, _gv_ev_16) COMPARE_GE(cmp, 32, _gv_ev_32)
COMPARE_ACC(cmp, 8, _al_ib) COMPARE_ACC(cmp, 16, _eax_iz_16) COMPARE_ACC(cmp, 32, _eax_iz_32)
COMPARE_IMM(cmp, 8, _eb_ib) COMPARE_IMM(cmp, 8, _eb_ib_82)
COMPARE_IMM(cmp, 16, _ev_iz_16) COMPARE_IMM(cmp, 32, _ev_iz_32)
COMPARE_IMM(cmp, 16, _ev_sib_16) COMPARE_IMM(cmp, 32, _ev_sib_32)

COMPARE_EG(test, 8, _eb_gb) COMPARE_EG(test, 16, _ev_gv_16) COMPARE_EG(test, 32, _ev_gv_32)
COMPARE_ACC(test, 8, _al_ib) COMPARE_ACC(test, 16, _eax_iz_16) COMPARE_ACC(test, 32, _eax_iz_32)
COMPARE_IMM(test, 8, _eb_ib) COMPARE_IMM(test, 16, _ev_iz_16) COMPARE_IMM(test, 32, _ev_iz_32)
COMPARE_IMM(test, 8, _eb_ib_1) COMPARE_IMM(test, 16, _ev_iz_1_16) COMPARE_IMM(test, 32, _ev_iz_1_32)
    /* clang-format on */

    /* ---- one operand ---- */

    static inline uint8_t plain_not8(struct cpu *cpu, uint8_t a)
{
    return ~a;
}
static inline uint16_t plain_not16(struct cpu *cpu, uint16_t a)
{
    return ~a;
}
static inline uint32_t plain_not32(struct cpu *cpu, uint32_t a)
{
    return ~a;
}

#define UNARY_FORM(id, host, N, suffix)                                                                      \
    void op_##id##suffix##_r(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        REG(N, in->rm) = host##N(cpu, REG(N, in->rm));                                                       \
    }                                                                                                        \
    void op_##id##suffix##_m(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        MEM_CHANGE(N, value, host##N(cpu, value));                                                           \
    }
#define UNARY(id, host)                                                                                      \
    UNARY_FORM(id, host, 8, _eb) UNARY_FORM(id, host, 16, _ev_16) UNARY_FORM(id, host, 32, _ev_32)
#define UNARY_OPREG(id, N)                                                                                   \
    void op_##id##_zv_##N(struct cpu *cpu, const struct insn *in)                                            \
    {                                                                                                        \
        REG(N, in->reg) = host_##id##N(cpu, REG(N, in->reg));                                                \
    }
/* clang-format off */
UNARY(inc, host_inc)
UNARY(dec, host_dec)
UNARY(neg, host_neg)
UNARY(not, plain_not)
UNARY_OPREG(inc, 16) UNARY_OPREG(inc, 32)
UNARY_OPREG(dec, 16) UNARY_OPREG(dec, 32)
/* clang-format on */

/* ---- multiply ---- */

#define IMUL_FORMS(N)                                                                                        \
    void op_imul_gv_ev_##N##_r(struct cpu *cpu, const struct insn *in)                                       \
    {                                                                                                        \
        REG(N, in->reg) = host_imul##N(cpu, REG(N, in->reg), REG(N, in->rm));                                \
    }                                                                                                        \
    void op_imul_gv_ev_##N##_m(struct cpu *cpu, const struct insn *in)                                       \
    {                                                                                                        \
        T(N) source = MEM_READ(N);                                                                           \
        REG(N, in->reg) = host_imul##N(cpu, REG(N, in->reg), source);                                        \
    }                                                                                                        \
    IMUL_IMM(N, iz)                                                                                          \
    IMUL_IMM(N, sib)                                                                                         \
    void op_mul_ev_##N(struct cpu *cpu, const struct insn *in)                                               \
    {                                                                                                        \
        T(N) source = E_READ(N);                                                                             \
        host_mul##N##_wide(cpu, &REG(N, EAX), &REG(N, EDX), source);                                         \
    }                                                                                                        \
    void op_imul_ev_##N(struct cpu *cpu, const struct insn *in)                                              \
    {                                                                                                        \
        T(N) source = E_READ(N);                                                                             \
        host_imul##N##_wide(cpu, &REG(N, EAX), &REG(N, EDX), source);                                        \
    }
#define IMUL_IMM(N, imm_name)                                                                                \
    void op_imul_gv_ev_##imm_name##_##N##_r(struct cpu *cpu, const struct insn *in)                          \
    {                                                                                                        \
        REG(N, in->reg) = host_imul##N(cpu, REG(N, in->rm), (T(N))in->imm);                                  \
    }                                                                                                        \
    void op_imul_gv_ev_##imm_name##_##N##_m(struct cpu *cpu, const struct insn *in)                          \
    {                                                                                                        \
        T(N) source = MEM_READ(N);                                                                           \
        REG(N, in->reg) = host_imul##N(cpu, source, (T(N))in->imm);                                          \
    }
    /* clang-format off */
IMUL_FORMS(16)
IMUL_FORMS(32)
    /* clang-format on */

    void op_mul_eb(struct cpu *cpu, const struct insn *in)
{
    uint8_t source = E_READ(8);

    REG(16, EAX) = host_mul8_wide(cpu, REG(8, EAX), source);
}

void op_imul_eb(struct cpu *cpu, const struct insn *in)
{
    uint8_t source = E_READ(8);

    REG(16, EAX) = host_imul8_wide(cpu, REG(8, EAX), source);
}

/* ---- divide ---- */

static void divide_error(struct cpu *cpu)
{
    cpu_fault(cpu, VEC_DE, 0);
}

void op_div_eb(struct cpu *cpu, const struct insn *in)
{
    uint8_t divisor = E_READ(8);
    uint16_t dividend = REG(16, EAX);

    if (!divisor || dividend / divisor > 0xff)
        divide_error(cpu);
    REG(16, EAX) = host_div8_wide(cpu, dividend, divisor);
}

void op_idiv_eb(struct cpu *cpu, const struct insn *in)
{
    int8_t divisor = (int8_t)E_READ(8);
    int16_t dividend = (int16_t)REG(16, EAX);

    if (!divisor || dividend / divisor != (int8_t)(dividend / divisor))
        divide_error(cpu);
    REG(16, EAX) = host_idiv8_wide(cpu, (uint16_t)dividend, (uint8_t)divisor);
}

#define DIVIDE_FORMS(N, unsigned_wide, signed_wide)                                                          \
    void op_div_ev_##N(struct cpu *cpu, const struct insn *in)                                               \
    {                                                                                                        \
        T(N) divisor = E_READ(N);                                                                            \
                                                                                                             \
        if (REG(N, EDX) >= divisor) /* also when it is 0: the quotient needs more than N bits */             \
            divide_error(cpu);                                                                               \
        host_div##N##_wide(cpu, &REG(N, EAX), &REG(N, EDX), divisor);                                        \
    }                                                                                                        \
    void op_idiv_ev_##N(struct cpu *cpu, const struct insn *in)                                              \
    {                                                                                                        \
        int##N##_t divisor = (int##N##_t)E_READ(N);                                                          \
        signed_wide dividend = (signed_wide)((unsigned_wide)REG(N, EDX) << N | REG(N, EAX));                 \
                                                                                                             \
        /* −2^(2N−1) / −1 overflows the wide type itself, and its quotient does not fit either */      \
        if (!divisor || (divisor == -1 && dividend < -(signed_wide)INT##N##_MAX) ||                          \
            dividend / divisor != (int##N##_t)(dividend / divisor))                                          \
            divide_error(cpu);                                                                               \
        host_idiv##N##_wide(cpu, &REG(N, EAX), &REG(N, EDX), (T(N))divisor);                                 \
    }
/* clang-format off */
DIVIDE_FORMS(16, uint32_t, int32_t)
DIVIDE_FORMS(32, uint64_t, int64_t)
/* clang-format on */

/* ---- shifts and rotates ---- */

/* The count is taken modulo 32 by the host as by the guest; the memory form writes even when it is 0. */
#define SHIFT_FORM(id, host, N, suffix, count)                                                               \
    void op_##id##suffix##_r(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        REG(N, in->rm) = host##N(cpu, REG(N, in->rm), count);                                                \
    }                                                                                                        \
    void op_##id##suffix##_m(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        MEM_CHANGE(N, value, host##N(cpu, value, count));                                                    \
    }
#define SHIFT(id, host)                                                                                      \
    SHIFT_FORM(id, host, 8, _eb_ib, (uint8_t)in->imm)                                                        \
    SHIFT_FORM(id, host, 16, _ev_ib_16, (uint8_t)in->imm)                                                    \
    SHIFT_FORM(id, host, 32, _ev_ib_32, (uint8_t)in->imm)                                                    \
    SHIFT_FORM(id, host, 8, _eb_1, 1)                                                                        \
    SHIFT_FORM(id, host, 16, _ev_1_16, 1)                                                                    \
    SHIFT_FORM(id, host, 32, _ev_1_32, 1)                                                                    \
    SHIFT_FORM(id, host, 8, _eb_cl, REG(8, ECX))                                                             \
    SHIFT_FORM(id, host, 16, _ev_cl_16, REG(8, ECX))                                                         \
    SHIFT_FORM(id, host, 32, _ev_cl_32, REG(8, ECX))
#define SHIFT_DOUBLE_FORM(id, N, suffix, count)                                                              \
    void op_##id##suffix##_r(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        REG(N, in->rm) = host_##id##N(cpu, REG(N, in->rm), REG(N, in->reg), count);                          \
    }                                                                                                        \
    void op_##id##suffix##_m(struct cpu *cpu, const struct insn *in)                                         \
    {                                                                                                        \
        MEM_CHANGE(N, value, host_##id##N(cpu, value, REG(N, in->reg), count));                              \
    }
#define SHIFT_DOUBLE(id)                                                                                     \
    SHIFT_DOUBLE_FORM(id, 16, _ev_gv_ib_16, (uint8_t)in->imm)                                                \
    SHIFT_DOUBLE_FORM(id, 32, _ev_gv_ib_32, (uint8_t)in->imm)                                                \
    SHIFT_DOUBLE_FORM(id, 16, _ev_gv_cl_16, REG(8, ECX))                                                     \
    SHIFT_DOUBLE_FORM(id, 32, _ev_gv_cl_32, REG(8, ECX))
/* clang-format off */
SHIFT(rol, host_rol)
SHIFT(ror, host_ror)
SHIFT(rcl, host_rcl)
SHIFT(rcr, host_rcr)
SHIFT(shl, host_shl)
SHIFT(shr, host_shr)
SHIFT(sal, host_shl)
SHIFT(sar, host_sar)
SHIFT_DOUBLE(shld)
SHIFT_DOUBLE(shrd)
/* clang-format on */

/* ---- decimal (SDM vol. 2, AAA…DAS); none of these exists in 64-bit mode ---- */

/* SF, ZF and PF of a byte, the others as given. */
static void set_status(struct cpu *cpu, uint8_t result, uint32_t others)
{
    host_test8(cpu, result, result);
    cpu->status = (cpu->status & (FLAG_SF | FLAG_ZF | FLAG_PF)) | others;
}

void op_daa(struct cpu *cpu, const struct insn *in)
{
    uint8_t old = REG(8, EAX), al = old;
    bool adjust_low = (old & 0xf) > 9 || (cpu->status & FLAG_AF);
    bool adjust_high = old > 0x99 || (cpu->status & FLAG_CF);

    al += (adjust_low ? 6 : 0) + (adjust_high ? 0x60 : 0);
    REG(8, EAX) = al;
    set_status(cpu, al, (adjust_low ? FLAG_AF : 0) | (adjust_high ? FLAG_CF : 0));
}

void op_das(struct cpu *cpu, const struct insn *in)
{
    uint8_t old = REG(8, EAX), al = old;
    bool adjust_low = (old & 0xf) > 9 || (cpu->status & FLAG_AF);
    bool adjust_high = old > 0x99 || (cpu->status & FLAG_CF);
    bool borrow = adjust_low && old < 6;

    al -= (adjust_low ? 6 : 0) + (adjust_high ? 0x60 : 0);
    REG(8, EAX) = al;
    set_status(cpu, al, (adjust_low ? FLAG_AF : 0) | (adjust_high || borrow ? FLAG_CF : 0));
}

void op_aaa(struct cpu *cpu, const struct insn *in)
{
    bool adjust = (REG(8, EAX) & 0xf) > 9 || (cpu->status & FLAG_AF);

    if (adjust)
        REG(16, EAX) += 0x106;
    REG(8, EAX) &= 0xf;
    set_status(cpu, REG(8, EAX), adjust ? FLAG_AF | FLAG_CF : 0);
}

void op_aas(struct cpu *cpu, const struct insn *in)
{
    bool adjust = (REG(8, EAX) & 0xf) > 9 || (cpu->status & FLAG_AF);

    if (adjust)
        REG(16, EAX) -= 0x106;
    REG(8, EAX) &= 0xf;
    set_status(cpu, REG(8, EAX), adjust ? FLAG_AF | FLAG_CF : 0);
}

void op_aam(struct cpu *cpu, const struct insn *in)
{
    uint8_t base = (uint8_t)in->imm, al = REG(8, EAX);

    if (!base)
        divide_error(cpu);
    REG(16, EAX) = (uint16_t)(al / base << 8 | al % base);
    set_status(cpu, REG(8, EAX), 0);
}

void op_aad(struct cpu *cpu, const struct insn *in)
{
    uint16_t ax = REG(16, EAX);

    REG(16, EAX) = (uint8_t)((ax & 0xff) + (ax >> 8) * in->imm);
    set_status(cpu, REG(8, EAX), 0);
}

void op_salc(struct cpu *cpu, const struct insn *in)
{
    REG(8, EAX) = cpu->status & FLAG_CF ? 0xff : 0;
}

/* ---- widen the accumulator ---- */

void op_cbw_16(struct cpu *cpu, const struct insn *in)
{
    REG(16, EAX) = (uint16_t)(int8_t)REG(8, EAX);
}

void op_cbw_32(struct cpu *cpu, const struct insn *in)
{
    REG(32, EAX) = (uint32_t)(int16_t)REG(16, EAX);
}

void op_cwd_16(struct cpu *cpu, const struct insn *in)
{
    REG(16, EDX) = (int16_t)REG(16, EAX) < 0 ? 0xffff : 0;
}

void op_cwd_32(struct cpu *cpu, const struct insn *in)
{
    REG(32, EDX) = (int32_t)REG(32, EAX) < 0 ? 0xffffffff : 0;
}
