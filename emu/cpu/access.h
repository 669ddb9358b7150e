/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Memory as instructions see it: segment:offset → checks → linear → soft TLB → host memory or device.
 *
 * Fast path inline, everything else in mmu.c and segment.c. All functions may cpu_fault() and then do not
 * return. Values are little-endian in the low bits. `size` is in bytes. Misaligned and page-crossing accesses
 * work; a page-crossing store checks both pages before it writes a byte.
 *
 *   mem_readN(cpu, seg, offset)              a data read
 *   mem_writeN(cpu, seg, offset, value)      a data write
 *   mem_read_rmwN(cpu, seg, offset)          the read half of read-modify-write: faults as a write would; the
 *                                            following mem_writeN to the same place cannot fault
 *   mem_check_write(cpu, seg, offset, size)  faults if a write of size bytes would; for multi-part stores
 *   mmu_plain_span(…)                        host memory for string instructions
 *   lin_readN / lin_writeN(cpu, linear)      without segment, at the present CPL
 *   sys_readN / sys_writeN(cpu, linear)      supervisor accesses by the CPU itself (GDT, IDT, TSS)
 *   mem_read_bytes / mem_write_bytes         any length, segment-checked (FXSAVE, FSTENV …)
 *   stack_pushN / stack_popN                 SS:(E)SP with the stack-size rules
 *
 * How the fast path is one compare a check: the sum offset + size − 1 is taken in 64 bits, so that a wrap
 * exceeds every limit; and the tag is compared with the page of the access's *last* byte at the slot of its
 * *first*, so that a page-crossing access never matches. A tag is only there when nothing stands against a
 * plain host access: no device, no data breakpoint, no code to invalidate (stores), rights and A/D bits in
 * order, DIRTY flag set (stores). While #AC is armed, cpu->tlb_data is the empty table.
 */
#pragma once

#include "emu/cpu/cpu_internal.h"

#include <string.h>

/* ---- the slow half (mmu.c) ---- */
enum access_kind {
    ACCESS_READ,
    ACCESS_WRITE,
    ACCESS_RMW,   /* reads, but demands what a write demands */
    ACCESS_FETCH, /* instruction bytes */
};
/* `user`: checked as CPL 3 would be. Sizes 1…8. */
uint64_t mmu_read_slow(struct cpu *cpu, uint32_t linear, unsigned size, bool user, enum access_kind kind);
void mmu_write_slow(struct cpu *cpu, uint32_t linear, uint64_t value, unsigned size, bool user);
void mmu_check_write_slow(struct cpu *cpu, uint32_t linear, unsigned size, bool user);
/* Host memory at `linear`, where a string instruction's element begins that does not cross the page's end,
 * for a run of elements [first, +len) around it on that page. Faults as that element would; NULL when
 * elements must go one by one: no memory, a breakpoint on the page, alignment checks. Before a write the code
 * made of those bytes is dropped. */
uint8_t *mmu_plain_span(struct cpu *cpu, uint32_t linear, uint32_t first, uint32_t len, bool write);

#define access_likely(x)   __builtin_expect(!!(x), 1)
#define access_unlikely(x) __builtin_expect(!!(x), 0)

static inline struct tlb_entry *tlb_slot(struct tlb_entry *table, uint32_t linear)
{
    return &table[(linear >> PHYS_PAGE_SHIFT) & (TLB_SIZE - 1)];
}

/* Segment half: the linear address, or a fault. */
static inline uint32_t mem_linear(struct cpu *cpu, unsigned seg, uint32_t offset, unsigned size, bool write)
{
    const struct segment *s = &cpu->seg[seg];
    if (access_likely((write ? s->can_write : s->can_read) && offset >= s->min &&
                      (uint64_t)offset + (size - 1) <= s->max))
        return s->base + offset;
    return segment_check_slow(cpu, (enum segment_register)seg, offset, size, write);
}

#define ACCESS_TAG_MATCHES(tag, linear, size)                                                                \
    access_likely((tag) == (((linear) + (uint32_t)((size)-1)) & ~(uint32_t)PHYS_PAGE_MASK))

#define ACCESS_FUNCTIONS(N)                                                                                  \
    static inline uint##N##_t lin_read##N(struct cpu *cpu, uint32_t linear)                                  \
    {                                                                                                        \
        const struct tlb_entry *e = tlb_slot(cpu->tlb_data, linear);                                         \
        if (ACCESS_TAG_MATCHES(e->read, linear, N / 8)) {                                                    \
            uint##N##_t value;                                                                               \
            memcpy(&value, (const void *)(e->addend + linear), sizeof value);                                \
            return value;                                                                                    \
        }                                                                                                    \
        return (uint##N##_t)mmu_read_slow(cpu, linear, N / 8, cpu->cpl == 3, ACCESS_READ);                   \
    }                                                                                                        \
    static inline uint##N##_t lin_read_rmw##N(struct cpu *cpu, uint32_t linear)                              \
    {                                                                                                        \
        const struct tlb_entry *e = tlb_slot(cpu->tlb_data, linear);                                         \
        if (ACCESS_TAG_MATCHES(e->write, linear, N / 8)) {                                                   \
            uint##N##_t value;                                                                               \
            memcpy(&value, (const void *)(e->addend + linear), sizeof value);                                \
            return value;                                                                                    \
        }                                                                                                    \
        return (uint##N##_t)mmu_read_slow(cpu, linear, N / 8, cpu->cpl == 3, ACCESS_RMW);                    \
    }                                                                                                        \
    static inline void lin_write##N(struct cpu *cpu, uint32_t linear, uint##N##_t value)                     \
    {                                                                                                        \
        const struct tlb_entry *e = tlb_slot(cpu->tlb_data, linear);                                         \
        if (ACCESS_TAG_MATCHES(e->write, linear, N / 8))                                                     \
            memcpy((void *)(e->addend + linear), &value, sizeof value);                                      \
        else                                                                                                 \
            mmu_write_slow(cpu, linear, value, N / 8, cpu->cpl == 3);                                        \
    }                                                                                                        \
    static inline uint##N##_t sys_read##N(struct cpu *cpu, uint32_t linear)                                  \
    {                                                                                                        \
        const struct tlb_entry *e = tlb_slot(cpu->tlb[TLB_SUPERVISOR], linear);                              \
        if (ACCESS_TAG_MATCHES(e->read, linear, N / 8)) {                                                    \
            uint##N##_t value;                                                                               \
            memcpy(&value, (const void *)(e->addend + linear), sizeof value);                                \
            return value;                                                                                    \
        }                                                                                                    \
        return (uint##N##_t)mmu_read_slow(cpu, linear, N / 8, false, ACCESS_READ);                           \
    }                                                                                                        \
    static inline void sys_write##N(struct cpu *cpu, uint32_t linear, uint##N##_t value)                     \
    {                                                                                                        \
        const struct tlb_entry *e = tlb_slot(cpu->tlb[TLB_SUPERVISOR], linear);                              \
        if (ACCESS_TAG_MATCHES(e->write, linear, N / 8))                                                     \
            memcpy((void *)(e->addend + linear), &value, sizeof value);                                      \
        else                                                                                                 \
            mmu_write_slow(cpu, linear, value, N / 8, false);                                                \
    }                                                                                                        \
    static inline uint##N##_t mem_read##N(struct cpu *cpu, unsigned seg, uint32_t offset)                    \
    {                                                                                                        \
        return lin_read##N(cpu, mem_linear(cpu, seg, offset, N / 8, false));                                 \
    }                                                                                                        \
    static inline uint##N##_t mem_read_rmw##N(struct cpu *cpu, unsigned seg, uint32_t offset)                \
    {                                                                                                        \
        return lin_read_rmw##N(cpu, mem_linear(cpu, seg, offset, N / 8, true));                              \
    }                                                                                                        \
    static inline void mem_write##N(struct cpu *cpu, unsigned seg, uint32_t offset, uint##N##_t value)       \
    {                                                                                                        \
        lin_write##N(cpu, mem_linear(cpu, seg, offset, N / 8, true), value);                                 \
    }

ACCESS_FUNCTIONS(8)
ACCESS_FUNCTIONS(16)
ACCESS_FUNCTIONS(32)
ACCESS_FUNCTIONS(64)
#undef ACCESS_FUNCTIONS

/* The eight bytes at `linear` if the CPU itself may read them plainly; else false, and nothing happened. */
static inline bool sys_try_read64(struct cpu *cpu, uint32_t linear, uint64_t *value)
{
    const struct tlb_entry *e = tlb_slot(cpu->tlb[TLB_SUPERVISOR], linear);
    if (!ACCESS_TAG_MATCHES(e->read, linear, 8))
        return false;
    memcpy(value, (const void *)(e->addend + linear), sizeof *value);
    return true;
}

/* size 1…4096 */
static inline void mem_check_write(struct cpu *cpu, unsigned seg, uint32_t offset, unsigned size)
{
    uint32_t linear = mem_linear(cpu, seg, offset, size, true);
    if (!ACCESS_TAG_MATCHES(tlb_slot(cpu->tlb_data, linear)->write, linear, size))
        mmu_check_write_slow(cpu, linear, size, cpu->cpl == 3);
}

/* Sixteen bytes, SSE. Alignment (#GP(0) for MOVAPS and its like) is the caller's. */
static inline void mem_read128(struct cpu *cpu, unsigned seg, uint32_t offset, void *out)
{
    uint32_t linear = mem_linear(cpu, seg, offset, 16, false);
    const struct tlb_entry *e = tlb_slot(cpu->tlb_data, linear);
    if (ACCESS_TAG_MATCHES(e->read, linear, 16)) {
        memcpy(out, (const void *)(e->addend + linear), 16);
    } else {
        uint64_t half[2] = {mmu_read_slow(cpu, linear, 8, cpu->cpl == 3, ACCESS_READ),
                            mmu_read_slow(cpu, linear + 8, 8, cpu->cpl == 3, ACCESS_READ)};
        memcpy(out, half, 16);
    }
}
static inline void mem_write128(struct cpu *cpu, unsigned seg, uint32_t offset, const void *value)
{
    uint32_t linear = mem_linear(cpu, seg, offset, 16, true);
    const struct tlb_entry *e = tlb_slot(cpu->tlb_data, linear);
    if (ACCESS_TAG_MATCHES(e->write, linear, 16)) {
        memcpy((void *)(e->addend + linear), value, 16);
    } else {
        uint64_t half[2];
        memcpy(half, value, 16);
        mmu_check_write_slow(cpu, linear, 16, cpu->cpl == 3);
        mmu_write_slow(cpu, linear, half[0], 8, cpu->cpl == 3);
        mmu_write_slow(cpu, linear + 8, half[1], 8, cpu->cpl == 3);
    }
}

/* mmu.c: any length; the write checks everything first and is then all or nothing. */
void mem_read_bytes(struct cpu *cpu, unsigned seg, uint32_t offset, void *out, unsigned len);
void mem_write_bytes(struct cpu *cpu, unsigned seg, uint32_t offset, const void *data, unsigned len);

/* ---- the stack ---- */
static inline void stack_set(struct cpu *cpu, uint32_t sp)
{
    cpu->gpr[ESP] = (cpu->gpr[ESP] & ~cpu->stack_mask) | (sp & cpu->stack_mask);
}
static inline void stack_push16(struct cpu *cpu, uint16_t value)
{
    uint32_t sp = (cpu->gpr[ESP] - 2) & cpu->stack_mask;
    mem_write16(cpu, SEG_SS, sp, value);
    stack_set(cpu, sp);
}
static inline void stack_push32(struct cpu *cpu, uint32_t value)
{
    uint32_t sp = (cpu->gpr[ESP] - 4) & cpu->stack_mask;
    mem_write32(cpu, SEG_SS, sp, value);
    stack_set(cpu, sp);
}
static inline uint16_t stack_pop16(struct cpu *cpu)
{
    uint32_t sp = cpu->gpr[ESP] & cpu->stack_mask;
    uint16_t value = mem_read16(cpu, SEG_SS, sp);
    stack_set(cpu, sp + 2);
    return value;
}
static inline uint32_t stack_pop32(struct cpu *cpu)
{
    uint32_t sp = cpu->gpr[ESP] & cpu->stack_mask;
    uint32_t value = mem_read32(cpu, SEG_SS, sp);
    stack_set(cpu, sp + 4);
    return value;
}
