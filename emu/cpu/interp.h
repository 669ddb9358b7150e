/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the files with instruction functions share: registers by number, operands in memory.
 *
 * Split rows (size BS, VS in optable.def) have a function for the register form, _r, and one for the memory
 * form, _m. Macros here name the three operand widths 8, 16 and 32; T(N) is the type, REG(N) the register
 * file.
 */
#pragma once

#include "emu/cpu/access.h"
#include "emu/cpu/flags.h"
#include "emu/cpu/insn.h"

#include <stdint.h>

/* AL CL DL BL AH CH DH BH */
static inline uint8_t *reg8(struct cpu *cpu, unsigned number)
{
    return (uint8_t *)cpu->gpr + ((number & 3) << 2) + (number >> 2);
}
static inline uint16_t *reg16(struct cpu *cpu, unsigned number)
{
    return (uint16_t *)&cpu->gpr[number];
}
static inline uint32_t *reg32(struct cpu *cpu, unsigned number)
{
    return &cpu->gpr[number];
}

#define T(N)                uint##N##_t
#define REG(N, number)      (*reg##N(cpu, number))
#define MEM_READ(N)         mem_read##N(cpu, in->seg, insn_ea(cpu, in))
#define MEM_WRITE(N, value) mem_write##N(cpu, in->seg, insn_ea(cpu, in), value)
/* The same by the E operand's form, for functions that are not split. */
#define E_READ(N) (in->flags & INSN_MEM ? MEM_READ(N) : REG(N, in->rm))

/*
 * Read-modify-write of the memory operand: `value` is the old contents, `change` an expression for the new.
 * One look into the TLB serves both halves when the place is plain writable memory. The read faults as a
 * write would; nothing after it can.
 */
#define MEM_CHANGE(N, value, change)                                                                         \
    do {                                                                                                     \
        uint32_t linear_ = mem_linear(cpu, in->seg, insn_ea(cpu, in), N / 8, true);                          \
        const struct tlb_entry *slot_ = tlb_slot(cpu->tlb_data, linear_);                                    \
        if (ACCESS_TAG_MATCHES(slot_->write, linear_, N / 8)) {                                              \
            void *host_ = (void *)(slot_->addend + linear_);                                                 \
            T(N) value;                                                                                      \
            memcpy(&value, host_, sizeof(value));                                                            \
            value = (change);                                                                                \
            memcpy(host_, &value, sizeof(value));                                                            \
        } else {                                                                                             \
            T(N) value = lin_read_rmw##N(cpu, linear_);                                                      \
            value = (change);                                                                                \
            lin_write##N(cpu, linear_, value);                                                               \
        }                                                                                                    \
    } while (0)

/* Where a near branch by `displacement` goes, for the operand size: 16 bits cut the sum. */
#define BRANCH_MASK(N) (N == 16 ? 0xffffu : 0xffffffffu)

static inline void branch_to(struct cpu *cpu, uint32_t eip)
{
    if (__builtin_expect(eip <= cpu->seg[SEG_CS].max, 1))
        cpu->eip = eip;
    else
        segment_set_eip(cpu, eip); /* #GP(0) */
}

/* String instructions and other long ones: whether something waits that must not wait for their end. */
static inline bool must_look_up(const struct cpu *cpu)
{
    uint32_t events = cpu->events;

    if (!(cpu->eflags & FLAG_IF))
        events &= ~(uint32_t)CPU_EVENT_INTR;
    return events || __atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED);
}
