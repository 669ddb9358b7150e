/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Moves, exchanges, the stack, conversions of width, hints.
 *
 * Stack instructions write memory first and move ESP last, so that a fault leaves everything as it was. The
 * address size of the stack is SS.B's (cpu->stack_mask), the width of what is pushed the operand size's
 * (SDM vol. 1, 6.2).
 */
#include "emu/cpu/interp.h"

#define MOVE_FORMS(N, size, gb, eb, ib)                                                                      \
    void op_mov_##eb##_##gb##size##_r(struct cpu *cpu, const struct insn *in)                                \
    {                                                                                                        \
        REG(N, in->rm) = REG(N, in->reg);                                                                    \
    }                                                                                                        \
    void op_mov_##eb##_##gb##size##_m(struct cpu *cpu, const struct insn *in)                                \
    {                                                                                                        \
        MEM_WRITE(N, REG(N, in->reg));                                                                       \
    }                                                                                                        \
    void op_mov_##gb##_##eb##size##_r(struct cpu *cpu, const struct insn *in)                                \
    {                                                                                                        \
        REG(N, in->reg) = REG(N, in->rm);                                                                    \
    }                                                                                                        \
    void op_mov_##gb##_##eb##size##_m(struct cpu *cpu, const struct insn *in)                                \
    {                                                                                                        \
        REG(N, in->reg) = MEM_READ(N);                                                                       \
    }                                                                                                        \
    void op_mov_##eb##_##ib##size##_r(struct cpu *cpu, const struct insn *in)                                \
    {                                                                                                        \
        REG(N, in->rm) = (T(N))in->imm;                                                                      \
    }                                                                                                        \
    void op_mov_##eb##_##ib##size##_m(struct cpu *cpu, const struct insn *in)                                \
    {                                                                                                        \
        MEM_WRITE(N, (T(N))in->imm);                                                                         \
    }                                                                                                        \
    void op_xchg_##eb##_##gb##size##_r(struct cpu *cpu, const struct insn *in)                               \
    {                                                                                                        \
        T(N) old = REG(N, in->rm);                                                                           \
                                                                                                             \
        REG(N, in->rm) = REG(N, in->reg);                                                                    \
        REG(N, in->reg) = old;                                                                               \
    }                                                                                                        \
    void op_xchg_##eb##_##gb##size##_m(struct cpu *cpu, const struct insn *in)                               \
    {                                                                                                        \
        T(N) old = 0;                                                                                        \
                                                                                                             \
        MEM_CHANGE(N, value, (old = value, REG(N, in->reg)));                                                \
        REG(N, in->reg) = old;                                                                               \
    }                                                                                                        \
    void op_cmpxchg_##eb##_##gb##size##_r(struct cpu *cpu, const struct insn *in)                            \
    {                                                                                                        \
        T(N) old = REG(N, in->rm);                                                                           \
                                                                                                             \
        host_cmp##N(cpu, REG(N, EAX), old);                                                                  \
        if (cpu->status & FLAG_ZF)                                                                           \
            REG(N, in->rm) = REG(N, in->reg);                                                                \
        else                                                                                                 \
            REG(N, EAX) = old;                                                                               \
    }                                                                                                        \
    void op_cmpxchg_##eb##_##gb##size##_m(struct cpu *cpu, const struct insn *in)                            \
    {                                                                                                        \
        T(N) old = 0;                                                                                        \
                                                                                                             \
        /* memory is written in either case */                                                               \
        MEM_CHANGE(N, value, (old = value, old == REG(N, EAX) ? REG(N, in->reg) : old));                     \
        host_cmp##N(cpu, REG(N, EAX), old);                                                                  \
        if (!(cpu->status & FLAG_ZF))                                                                        \
            REG(N, EAX) = old;                                                                               \
    }                                                                                                        \
    void op_xadd_##eb##_##gb##size##_r(struct cpu *cpu, const struct insn *in)                               \
    {                                                                                                        \
        T(N) old = REG(N, in->rm), sum = host_add##N(cpu, old, REG(N, in->reg));                             \
                                                                                                             \
        REG(N, in->reg) = old;                                                                               \
        REG(N, in->rm) = sum; /* last: it wins when both are the same */                                     \
    }                                                                                                        \
    void op_xadd_##eb##_##gb##size##_m(struct cpu *cpu, const struct insn *in)                               \
    {                                                                                                        \
        T(N) old = 0;                                                                                        \
                                                                                                             \
        MEM_CHANGE(N, value, (old = value, host_add##N(cpu, value, REG(N, in->reg))));                       \
        REG(N, in->reg) = old;                                                                               \
    }
/* clang-format off */
MOVE_FORMS(8, , gb, eb, ib)
MOVE_FORMS(16, _16, gv, ev, iz)
MOVE_FORMS(32, _32, gv, ev, iz)
/* clang-format on */

void op_mov_al_ob(struct cpu *cpu, const struct insn *in)
{
    REG(8, EAX) = mem_read8(cpu, in->seg, in->disp);
}

void op_mov_ob_al(struct cpu *cpu, const struct insn *in)
{
    mem_write8(cpu, in->seg, in->disp, REG(8, EAX));
}

void op_mov_zb_ib(struct cpu *cpu, const struct insn *in)
{
    REG(8, in->reg) = (uint8_t)in->imm;
}

#define MOVE_BY_SIZE(N)                                                                                      \
    void op_mov_eax_ov_##N(struct cpu *cpu, const struct insn *in)                                           \
    {                                                                                                        \
        REG(N, EAX) = mem_read##N(cpu, in->seg, in->disp);                                                   \
    }                                                                                                        \
    void op_mov_ov_eax_##N(struct cpu *cpu, const struct insn *in)                                           \
    {                                                                                                        \
        mem_write##N(cpu, in->seg, in->disp, REG(N, EAX));                                                   \
    }                                                                                                        \
    void op_mov_zv_iz_##N(struct cpu *cpu, const struct insn *in)                                            \
    {                                                                                                        \
        REG(N, in->reg) = (T(N))in->imm;                                                                     \
    }                                                                                                        \
    void op_xchg_eax_zv_##N(struct cpu *cpu, const struct insn *in)                                          \
    {                                                                                                        \
        T(N) old = REG(N, EAX);                                                                              \
                                                                                                             \
        REG(N, EAX) = REG(N, in->reg);                                                                       \
        REG(N, in->reg) = old;                                                                               \
    }                                                                                                        \
    void op_lea_##N(struct cpu *cpu, const struct insn *in)                                                  \
    {                                                                                                        \
        REG(N, in->reg) = (T(N))insn_ea(cpu, in);                                                            \
    }                                                                                                        \
    EXTEND(N, z, eb, uint8_t, 8)                                                                             \
    EXTEND(N, z, ew, uint16_t, 16)                                                                           \
    EXTEND(N, s, eb, int8_t, 8)                                                                              \
    EXTEND(N, s, ew, int16_t, 16)
#define EXTEND(N, kind, source, type, M)                                                                     \
    void op_mov##kind##x_gv_##source##_##N##_r(struct cpu *cpu, const struct insn *in)                       \
    {                                                                                                        \
        REG(N, in->reg) = (T(N))(type)REG(M, in->rm);                                                        \
    }                                                                                                        \
    void op_mov##kind##x_gv_##source##_##N##_m(struct cpu *cpu, const struct insn *in)                       \
    {                                                                                                        \
        REG(N, in->reg) = (T(N))(type)MEM_READ(M);                                                           \
    }
/* clang-format off */
MOVE_BY_SIZE(16)
MOVE_BY_SIZE(32)
/* clang-format on */

void op_xlat(struct cpu *cpu, const struct insn *in)
{
    REG(8, EAX) = mem_read8(cpu, in->seg, (cpu->gpr[EBX] + REG(8, EAX)) & in->ea_mask);
}

/* The 16-bit form is undefined; it does here what the host's does. */
void op_bswap_16(struct cpu *cpu, const struct insn *in)
{
    uint32_t value = REG(32, in->reg);

    __asm__(".byte 0x66, 0x0f, 0xc8" : "+a"(value));
    REG(32, in->reg) = value;
}

void op_bswap_32(struct cpu *cpu, const struct insn *in)
{
    REG(32, in->reg) = __builtin_bswap32(REG(32, in->reg));
}

void op_cmpxchg8b(struct cpu *cpu, const struct insn *in)
{
    uint32_t offset = insn_ea(cpu, in);
    uint64_t old = mem_read_rmw64(cpu, in->seg, offset);
    uint64_t expected = (uint64_t)REG(32, EDX) << 32 | REG(32, EAX);

    if (old == expected) {
        mem_write64(cpu, in->seg, offset, (uint64_t)REG(32, ECX) << 32 | REG(32, EBX));
        cpu->status |= FLAG_ZF;
    } else {
        mem_write64(cpu, in->seg, offset, old);
        cpu->status &= ~FLAG_ZF;
        REG(32, EAX) = (uint32_t)old;
        REG(32, EDX) = (uint32_t)(old >> 32);
    }
}

/* ---- stack ---- */

#define STACK_FORMS(N)                                                                                       \
    void op_push_zv_##N(struct cpu *cpu, const struct insn *in)                                              \
    {                                                                                                        \
        stack_push##N(cpu, REG(N, in->reg)); /* PUSH ESP: the value before */                                \
    }                                                                                                        \
    void op_pop_zv_##N(struct cpu *cpu, const struct insn *in)                                               \
    {                                                                                                        \
        T(N) value = stack_pop##N(cpu);                                                                      \
                                                                                                             \
        REG(N, in->reg) = value; /* POP ESP: the value wins over the increment */                            \
    }                                                                                                        \
    void op_push_iz_##N(struct cpu *cpu, const struct insn *in)                                              \
    {                                                                                                        \
        stack_push##N(cpu, (T(N))in->imm);                                                                   \
    }                                                                                                        \
    void op_push_sib_##N(struct cpu *cpu, const struct insn *in)                                             \
    {                                                                                                        \
        stack_push##N(cpu, (T(N))in->imm);                                                                   \
    }                                                                                                        \
    void op_push_ev_##N(struct cpu *cpu, const struct insn *in)                                              \
    {                                                                                                        \
        stack_push##N(cpu, E_READ(N)); /* an address with ESP: ESP before */                                 \
    }                                                                                                        \
    void op_pop_ev_##N(struct cpu *cpu, const struct insn *in)                                               \
    {                                                                                                        \
        uint32_t before = cpu->gpr[ESP], after, offset;                                                      \
        T(N) value = stack_pop##N(cpu);                                                                      \
                                                                                                             \
        if (!(in->flags & INSN_MEM)) {                                                                       \
            REG(N, in->rm) = value;                                                                          \
            return;                                                                                          \
        }                                                                                                    \
        after = cpu->gpr[ESP];                                                                               \
        offset = insn_ea(cpu, in); /* an address with ESP: ESP after */                                      \
        cpu->gpr[ESP] = before;    /* the store may fault */                                                 \
        mem_write##N(cpu, in->seg, offset, value);                                                           \
        cpu->gpr[ESP] = after;                                                                               \
    }                                                                                                        \
    void op_pusha_##N(struct cpu *cpu, const struct insn *in)                                                \
    {                                                                                                        \
        uint32_t mask = cpu->stack_mask, sp = cpu->gpr[ESP];                                                 \
                                                                                                             \
        for (unsigned i = 1; i <= 8; i++) /* all or nothing */                                               \
            mem_check_write(cpu, SEG_SS, (sp - i * (N / 8)) & mask, N / 8);                                  \
        for (unsigned i = 0; i < 8; i++)                                                                     \
            mem_write##N(cpu, SEG_SS, (sp - (i + 1) * (N / 8)) & mask, REG(N, i));                           \
        stack_set(cpu, sp - N);                                                                              \
    }                                                                                                        \
    void op_popa_##N(struct cpu *cpu, const struct insn *in)                                                 \
    {                                                                                                        \
        uint32_t mask = cpu->stack_mask, sp = cpu->gpr[ESP];                                                 \
        T(N) value[8];                                                                                       \
                                                                                                             \
        for (unsigned i = 0; i < 8; i++)                                                                     \
            value[i] = mem_read##N(cpu, SEG_SS, (sp + i * (N / 8)) & mask);                                  \
        for (unsigned i = 0; i < 8; i++)                                                                     \
            if (7 - i != ESP)                                                                                \
                REG(N, 7 - i) = value[i];                                                                    \
        stack_set(cpu, sp + N);                                                                              \
    }                                                                                                        \
    void op_leave_##N(struct cpu *cpu, const struct insn *in)                                                \
    {                                                                                                        \
        uint32_t sp = cpu->gpr[EBP] & cpu->stack_mask;                                                       \
        T(N) value = mem_read##N(cpu, SEG_SS, sp);                                                           \
                                                                                                             \
        stack_set(cpu, sp + N / 8);                                                                          \
        REG(N, EBP) = value;                                                                                 \
    }                                                                                                        \
    void op_enter_##N(struct cpu *cpu, const struct insn *in)                                                \
    {                                                                                                        \
        uint32_t mask = cpu->stack_mask, sp = cpu->gpr[ESP] - N / 8, bp = cpu->gpr[EBP], frame;              \
        unsigned level = in->imm2 & 31;                                                                      \
                                                                                                             \
        mem_write##N(cpu, SEG_SS, sp &mask, (T(N))bp);                                                       \
        frame = sp;                                                                                          \
        for (unsigned i = 1; i < level; i++) {                                                               \
            bp -= N / 8;                                                                                     \
            sp -= N / 8;                                                                                     \
            mem_write##N(cpu, SEG_SS, sp &mask, mem_read##N(cpu, SEG_SS, bp &mask));                         \
        }                                                                                                    \
        if (level) {                                                                                         \
            sp -= N / 8;                                                                                     \
            mem_write##N(cpu, SEG_SS, sp &mask, (T(N))frame);                                                \
        }                                                                                                    \
        sp -= in->imm;                                                                                       \
        mem_check_write(cpu, SEG_SS, sp &mask, N / 8); /* the new top must be writable */                    \
        stack_set(cpu, sp);                                                                                  \
        if (N == 32)                                                                                         \
            frame = (frame & mask) | (cpu->gpr[ESP] & ~mask);                                                \
        REG(N, EBP) = (T(N))frame;                                                                           \
    }
/* clang-format off */
STACK_FORMS(16)
STACK_FORMS(32)
/* clang-format on */

/* ---- hints: decoded, checked for form, and nothing more ---- */

#define HINT(id)                                                                                             \
    void op_##id(struct cpu *cpu, const struct insn *in)                                                     \
    {                                                                                                        \
    }
/* clang-format off */
HINT(nop)
HINT(pause)
HINT(nop_ev)
HINT(nop_ev_18)
HINT(nop_ev_19)
HINT(nop_ev_1a)
HINT(nop_ev_1b)
HINT(nop_ev_1c)
HINT(nop_ev_1d)
HINT(nop_ev_1e)
/* clang-format on */
