/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Arithmetic by the host's own instruction, with the host's flags kept as the guest's.
 *
 * Every function executes one host instruction on guest values and leaves all six status flags in
 * cpu->status, those the manual calls undefined included: so interpreter, translator and this very processor
 * agree bit for bit. Flags come out by LAHF and SETO (0.7 ns; PUSHF costs 11 ns). Where the instruction reads
 * flags, leaves some alone, or might (undefined ones), the guest's flags go in first: ADD of 0x7f to AL makes
 * OF, SAHF the rest.
 *
 *   host_add8(cpu, a, b) …    returns a + b               host_shl32(cpu, value, count) …
 */
#pragma once

#include "emu/cpu/cpu_internal.h"

/* AX after "lahf; seto %al" → flags at their EFLAGS positions. */
static inline uint32_t flags_from_ax(uint32_t ax)
{
    return (ax >> 8 & 0xd5) | (uint32_t)(uint8_t)ax << 11;
}
/* What FLAGS_LOAD wants in AX. */
static inline uint32_t flags_to_ax(uint32_t status)
{
    return (status & 0xff) << 8 | (status >> 11 & 1);
}
#define FLAGS_LOAD "addb $0x7f, %%al\n\tsahf\n\t"
#define FLAGS_SAVE "\n\tlahf\n\tseto %%al"

/* a OP b, flags written whatever they were. */
#define HOST_BINARY(name, bits, suffix)                                                                      \
    static inline uint##bits##_t host_##name##bits(struct cpu *cpu, uint##bits##_t a, uint##bits##_t b)      \
    {                                                                                                        \
        uint32_t ax;                                                                                         \
        __asm__(#name suffix " %2, %0" FLAGS_SAVE : "+r"(a), "=&a"(ax) : "r"(b) : "cc");                     \
        cpu->status = flags_from_ax(ax);                                                                     \
        return a;                                                                                            \
    }
/* The same with CF going in. */
#define HOST_BINARY_CARRY(name, bits, suffix)                                                                \
    static inline uint##bits##_t host_##name##bits(struct cpu *cpu, uint##bits##_t a, uint##bits##_t b)      \
    {                                                                                                        \
        uint32_t ax;                                                                                         \
        __asm__("btl $0, %3\n\t" #name suffix " %2, %0" FLAGS_SAVE                                           \
                : "+r"(a), "=&a"(ax)                                                                         \
                : "r"(b), "r"(cpu->status)                                                                   \
                : "cc");                                                                                     \
        cpu->status = flags_from_ax(ax);                                                                     \
        return a;                                                                                            \
    }
/* Only flags come out. */
#define HOST_COMPARE(name, bits, suffix)                                                                     \
    static inline void host_##name##bits(struct cpu *cpu, uint##bits##_t a, uint##bits##_t b)                \
    {                                                                                                        \
        uint32_t ax;                                                                                         \
        __asm__(#name suffix " %2, %1" FLAGS_SAVE : "=&a"(ax) : "r"(a), "r"(b) : "cc");                      \
        cpu->status = flags_from_ax(ax);                                                                     \
    }
/* One operand; INC and DEC keep CF. */
#define HOST_UNARY(name, bits, suffix, keep)                                                                 \
    static inline uint##bits##_t host_##name##bits(struct cpu *cpu, uint##bits##_t a)                        \
    {                                                                                                        \
        uint32_t ax;                                                                                         \
        __asm__(#name suffix " %0" FLAGS_SAVE : "+r"(a), "=&a"(ax) : : "cc");                                \
        cpu->status = (flags_from_ax(ax) & ~(uint32_t)(keep)) | (cpu->status & (keep));                      \
        return a;                                                                                            \
    }
/* Shift or rotate by CL: all guest flags in, all out. */
#define HOST_SHIFT(name, bits, suffix)                                                                       \
    static inline uint##bits##_t host_##name##bits(struct cpu *cpu, uint##bits##_t a, uint8_t count)         \
    {                                                                                                        \
        uint32_t ax = flags_to_ax(cpu->status);                                                              \
        __asm__(FLAGS_LOAD #name suffix " %%cl, %0" FLAGS_SAVE : "+r"(a), "+&a"(ax) : "c"(count) : "cc");    \
        cpu->status = flags_from_ax(ax);                                                                     \
        return a;                                                                                            \
    }
#define HOST_SHIFT_DOUBLE(name, bits, suffix)                                                                \
    static inline uint##bits##_t host_##name##bits(struct cpu *cpu, uint##bits##_t a, uint##bits##_t b,      \
                                                   uint8_t count)                                            \
    {                                                                                                        \
        uint32_t ax = flags_to_ax(cpu->status);                                                              \
        __asm__(FLAGS_LOAD #name suffix " %%cl, %3, %0" FLAGS_SAVE                                           \
                : "+r"(a), "+&a"(ax)                                                                         \
                : "c"(count), "r"(b)                                                                         \
                : "cc");                                                                                     \
        cpu->status = flags_from_ax(ax);                                                                     \
        return a;                                                                                            \
    }
/* dst OP src with all flags in and out: BT*, BSF, BSR, two-operand IMUL. */
#define HOST_FULL(name, bits, suffix)                                                                        \
    static inline uint##bits##_t host_##name##bits(struct cpu *cpu, uint##bits##_t a, uint##bits##_t b)      \
    {                                                                                                        \
        uint32_t ax = flags_to_ax(cpu->status);                                                              \
        __asm__(FLAGS_LOAD #name suffix " %2, %0" FLAGS_SAVE : "+r"(a), "+&a"(ax) : "r"(b) : "cc");          \
        cpu->status = flags_from_ax(ax);                                                                     \
        return a;                                                                                            \
    }

#define HOST_SIZES(macro, name) macro(name, 8, "b") macro(name, 16, "w") macro(name, 32, "l")
#define HOST_UNARY_SIZES(name, keep)                                                                         \
    HOST_UNARY(name, 8, "b", keep) HOST_UNARY(name, 16, "w", keep) HOST_UNARY(name, 32, "l", keep)
#define HOST_WORD_SIZES(macro, name) macro(name, 16, "w") macro(name, 32, "l")

// clang-format off
HOST_SIZES(HOST_BINARY, add)
HOST_SIZES(HOST_BINARY, sub)
HOST_SIZES(HOST_BINARY, and)
HOST_SIZES(HOST_BINARY, or)
HOST_SIZES(HOST_BINARY, xor)
HOST_SIZES(HOST_BINARY_CARRY, adc)
HOST_SIZES(HOST_BINARY_CARRY, sbb)
HOST_SIZES(HOST_COMPARE, cmp)
HOST_SIZES(HOST_COMPARE, test)
HOST_UNARY_SIZES(inc, FLAG_CF)
HOST_UNARY_SIZES(dec, FLAG_CF)
HOST_UNARY_SIZES(neg, 0)
HOST_SIZES(HOST_SHIFT, rol)
HOST_SIZES(HOST_SHIFT, ror)
HOST_SIZES(HOST_SHIFT, rcl)
HOST_SIZES(HOST_SHIFT, rcr)
HOST_SIZES(HOST_SHIFT, shl)
HOST_SIZES(HOST_SHIFT, shr)
HOST_SIZES(HOST_SHIFT, sar)
HOST_WORD_SIZES(HOST_SHIFT_DOUBLE, shld)
HOST_WORD_SIZES(HOST_SHIFT_DOUBLE, shrd)
HOST_WORD_SIZES(HOST_FULL, imul)
HOST_WORD_SIZES(HOST_FULL, bt)
HOST_WORD_SIZES(HOST_FULL, bts)
HOST_WORD_SIZES(HOST_FULL, btr)
HOST_WORD_SIZES(HOST_FULL, btc)
HOST_WORD_SIZES(HOST_FULL, bsf)
HOST_WORD_SIZES(HOST_FULL, bsr)
// clang-format on

#undef HOST_BINARY
#undef HOST_BINARY_CARRY
#undef HOST_COMPARE
#undef HOST_UNARY
#undef HOST_SHIFT
#undef HOST_SHIFT_DOUBLE
#undef HOST_FULL
#undef HOST_SIZES
#undef HOST_UNARY_SIZES
#undef HOST_WORD_SIZES

/* MUL, IMUL, DIV, IDIV on the accumulator pair; the caller has ruled out what raises #DE on the host. AX is
 * one of the operands, so the flags pass through memory and another register: PUSHF is out of question here
 * too, as the red zone may be in use; LAHF after saving AX. */
#define HOST_WIDE(name, bits, suffix)                                                                        \
    static inline void host_##name##bits##_wide(struct cpu *cpu, uint##bits##_t *low, uint##bits##_t *high,  \
                                                uint##bits##_t operand)                                      \
    {                                                                                                        \
        uint32_t flags = flags_to_ax(cpu->status), a = *low;                                                 \
        uint##bits##_t d = *high;                                                                            \
        __asm__("xchgl %%eax, %2\n\t" FLAGS_LOAD "xchgl %%eax, %2\n\t" #name suffix " %3\n\t"                \
                "movl %%eax, %2" FLAGS_SAVE                                                                  \
                : "+&a"(a), "+&d"(d), "+&r"(flags)                                                           \
                : "r"(operand)                                                                               \
                : "cc");                                                                                     \
        *low = (uint##bits##_t)flags;                                                                        \
        *high = d;                                                                                           \
        cpu->status = flags_from_ax(a);                                                                      \
    }
// clang-format off
HOST_WIDE(mul, 16, "w")
HOST_WIDE(mul, 32, "l")
HOST_WIDE(imul, 16, "w")
HOST_WIDE(imul, 32, "l")
HOST_WIDE(div, 16, "w")
HOST_WIDE(div, 32, "l")
HOST_WIDE(idiv, 16, "w")
HOST_WIDE(idiv, 32, "l")
// clang-format on
#undef HOST_WIDE

/* The byte forms: AX op operand → AX. */
#define HOST_WIDE8(name)                                                                                     \
    static inline uint16_t host_##name##8_wide(struct cpu * cpu, uint16_t ax, uint8_t operand)               \
    {                                                                                                        \
        uint32_t flags = flags_to_ax(cpu->status), a = ax;                                                   \
        __asm__("xchgl %%eax, %1\n\t" FLAGS_LOAD "xchgl %%eax, %1\n\t" #name                                 \
                "b %2\n\tmovl %%eax, %1" FLAGS_SAVE                                                          \
                : "+&a"(a), "+&r"(flags)                                                                     \
                : "r"(operand)                                                                               \
                : "cc");                                                                                     \
        cpu->status = flags_from_ax(a);                                                                      \
        return (uint16_t)flags;                                                                              \
    }
// clang-format off
HOST_WIDE8(mul)
HOST_WIDE8(imul)
HOST_WIDE8(div)
HOST_WIDE8(idiv)
// clang-format on
#undef HOST_WIDE8

/* Conditions (SDM vol. 1, appendix B), by the low four bits of the opcode. */
static inline bool flags_less(uint32_t status)
{
    return ((status >> 4 ^ status) & FLAG_SF) != 0; /* SF ≠ OF */
}

/* X(number, condition): expressions on `s`, the status flags. */
#define FLAGS_CONDITIONS(X)                                                                                  \
    X(0, (s & FLAG_OF))                                                                                      \
    X(1, !(s & FLAG_OF))                                                                                     \
    X(2, (s & FLAG_CF))                                                                                      \
    X(3, !(s & FLAG_CF))                                                                                     \
    X(4, (s & FLAG_ZF))                                                                                      \
    X(5, !(s & FLAG_ZF))                                                                                     \
    X(6, (s & (FLAG_CF | FLAG_ZF)))                                                                          \
    X(7, !(s & (FLAG_CF | FLAG_ZF)))                                                                         \
    X(8, (s & FLAG_SF))                                                                                      \
    X(9, !(s & FLAG_SF))                                                                                     \
    X(10, (s & FLAG_PF))                                                                                     \
    X(11, !(s & FLAG_PF))                                                                                    \
    X(12, flags_less(s))                                                                                     \
    X(13, !flags_less(s))                                                                                    \
    X(14, (flags_less(s) || (s & FLAG_ZF)))                                                                  \
    X(15, !(flags_less(s) || (s & FLAG_ZF)))
