/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Descriptors, selectors, and stacks other than the present one: what segment.c, task.c, exception.c and the
 * system instructions share (SDM vol. 3, 3.4, 3.5, 5.8, 7.2).
 *
 * A descriptor is read whole, checked, and only then committed to a segment register. Faults that name a
 * selector go through cpu_fault_selector(), which adds the EXT bit while an event is being delivered.
 */
#pragma once

#include "emu/cpu/access.h"

struct descriptor {
    uint32_t lo, hi;
    uint32_t linear; /* where it was read */
};

#define SELECTOR_INDEX(sel)   ((sel)&0xfff8u)
#define SELECTOR_IS_NULL(sel) (((sel)&0xfffcu) == 0)
#define SELECTOR_TI           4u
#define SELECTOR_RPL(sel)     ((sel)&3u)

/* system descriptor types (SDM vol. 3, table 3-2) */
enum descriptor_type {
    DESCRIPTOR_TSS16 = 1,
    DESCRIPTOR_LDT = 2,
    DESCRIPTOR_TSS16_BUSY = 3,
    DESCRIPTOR_CALL_GATE16 = 4,
    DESCRIPTOR_TASK_GATE = 5,
    DESCRIPTOR_INT_GATE16 = 6,
    DESCRIPTOR_TRAP_GATE16 = 7,
    DESCRIPTOR_TSS32 = 9,
    DESCRIPTOR_TSS32_BUSY = 11,
    DESCRIPTOR_CALL_GATE32 = 12,
    DESCRIPTOR_INT_GATE32 = 14,
    DESCRIPTOR_TRAP_GATE32 = 15,
};

#define SEG_ATTR_MASK 0x00f0ff00u
#define SEG_ATTR_REAL (SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED)
#define SEG_ATTR_V86  (SEG_ATTR_REAL | SEG_ATTR_DPL)

static inline uint32_t descriptor_base(const struct descriptor *d)
{
    return d->lo >> 16 | (d->hi & 0xff) << 16 | (d->hi & 0xff000000u);
}
static inline uint32_t descriptor_limit(const struct descriptor *d)
{
    uint32_t limit = (d->lo & 0xffff) | (d->hi & 0x000f0000u);
    return d->hi & SEG_ATTR_G ? limit << 12 | 0xfff : limit;
}
static inline unsigned descriptor_dpl(const struct descriptor *d)
{
    return d->hi >> 13 & 3;
}
static inline unsigned descriptor_type(const struct descriptor *d) /* with S clear: enum descriptor_type */
{
    return d->hi >> 8 & 15;
}
static inline bool descriptor_present(const struct descriptor *d)
{
    return (d->hi & SEG_ATTR_P) != 0;
}
static inline bool descriptor_is_code(const struct descriptor *d)
{
    return (d->hi & (SEG_ATTR_S | SEG_ATTR_CODE)) == (SEG_ATTR_S | SEG_ATTR_CODE);
}
static inline bool descriptor_is_conforming(const struct descriptor *d) /* of a code segment */
{
    return (d->hi & SEG_ATTR_CONFORMING) != 0;
}
static inline bool descriptor_is_writable_data(const struct descriptor *d)
{
    return (d->hi & (SEG_ATTR_S | SEG_ATTR_CODE | SEG_ATTR_RW)) == (SEG_ATTR_S | SEG_ATTR_RW);
}
static inline bool descriptor_is_tss(const struct descriptor *d, bool busy)
{
    return !(d->hi & SEG_ATTR_S) &&
           (descriptor_type(d) & ~8u) == (busy ? DESCRIPTOR_TSS16_BUSY : DESCRIPTOR_TSS16);
}

/*
 * The usual case, for the paths every system call and page fault takes: a descriptor of the GDT that the TLB
 * gives access to, of a kind that needs no more than a look at its rights. The functions with `quickly` in
 * their names try that, and say false before anything was changed; then the general way is gone, which knows
 * all cases and raises what is to be raised.
 */
#define DESCRIPTOR_USUAL_MASK                                                                                \
    (SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_CODE | SEG_ATTR_EXPAND_DOWN | SEG_ATTR_RW | SEG_ATTR_ACCESSED)
#define DESCRIPTOR_USUAL_DATA                                                                                \
    (SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED)       /* grows upwards                       \
                                                                       */
#define DESCRIPTOR_USUAL_CODE (DESCRIPTOR_USUAL_DATA | SEG_ATTR_CODE) /* readable, not conforming */

static inline bool descriptor_read_quickly(struct cpu *cpu, uint16_t selector, struct descriptor *out)
{
    uint64_t raw;
    if ((selector & SELECTOR_TI) || SELECTOR_IS_NULL(selector) || (selector | 7u) > cpu->gdtr.limit ||
        !sys_try_read64(cpu, cpu->gdtr.base + SELECTOR_INDEX(selector), &raw))
        return false;
    out->lo = (uint32_t)raw;
    out->hi = (uint32_t)(raw >> 32);
    return true;
}

/* segment_commit() for DESCRIPTOR_USUAL_DATA and DESCRIPTOR_USUAL_CODE. */
static inline void segment_commit_usual(struct cpu *cpu, enum segment_register seg, uint16_t selector,
                                        const struct descriptor *d)
{
    struct segment *s = &cpu->seg[seg];
    /* Field by field: a copy made of a whole one waits for its parts to be stored. */
    s->selector = selector;
    s->can_read = true;
    s->can_write = !(d->hi & SEG_ATTR_CODE);
    s->base = descriptor_base(d);
    s->min = 0;
    s->max = s->limit = descriptor_limit(d);
    s->attr = d->hi & SEG_ATTR_MASK;
}

/* error = selector without its RPL, | EXT */
_Noreturn void cpu_fault_selector(struct cpu *cpu, enum vector vector, uint32_t selector);

/* segment.c: false when the selector lies outside its table (or there is no LDT); selector is not null. */
bool descriptor_read(struct cpu *cpu, uint16_t selector, struct descriptor *out);
/* The same, raising `vector`(selector) instead of returning false. */
void descriptor_demand(struct cpu *cpu, uint16_t selector, enum vector vector, struct descriptor *out);
void descriptor_set_accessed(struct cpu *cpu, struct descriptor *d);
void descriptor_set_busy(struct cpu *cpu, struct descriptor *d, bool busy);

/* CS and SS were loaded from these: into `memo` what they are, if they are flat; else there is none. */
void segment_remember_gate(struct cpu *cpu, struct gate_memo *memo, const struct descriptor *code,
                           const struct descriptor *stack);
/* Commits a checked descriptor; the caller runs cpu_update_mode() once all registers are in place. */
void segment_commit(struct cpu *cpu, enum segment_register seg, uint16_t selector,
                    const struct descriptor *d);
void segment_commit_null(struct cpu *cpu, enum segment_register seg, uint16_t selector);
void segment_commit_v86(struct cpu *cpu, enum segment_register seg, uint16_t selector);
void segment_commit_system(struct segment *s, uint16_t selector, const struct descriptor *d); /* LDTR, TR */

/* ---- a stack that is being pushed to before it becomes (or without becoming) SS:ESP ---- */
struct stack {
    uint32_t base, min, max;
    uint32_t sp, mask;
    uint32_t error; /* of #SS when it overflows: selector, or 0 for the present stack */
    bool user;      /* accesses as CPL 3 */
};
/* The present one. */
struct stack stack_current(struct cpu *cpu);
/* SS:ESP for privilege level `dpl` from the TSS, all checks made (#TS, #SS). */
struct stack stack_inner(struct cpu *cpu, unsigned dpl, uint16_t *ss, struct descriptor *ss_descriptor);
void stack_put(struct cpu *cpu, struct stack *stack, uint32_t value, unsigned size); /* size 2 or 4 */
/* Value at `offset` bytes above SS:ESP, without popping. */
uint32_t stack_peek(struct cpu *cpu, uint32_t offset, unsigned size);

/* ---- task.c ---- */
enum task_switch_reason { TASK_JUMP, TASK_CALL /* also interrupts */, TASK_RETURN };
/* `d` is the checked TSS descriptor. Afterwards the new task's registers are loaded; faults on the way are
 * raised in the old context before, in the new one after the point of no return (SDM vol. 3, 7.3). */
void task_switch(struct cpu *cpu, uint16_t selector, struct descriptor *d, enum task_switch_reason reason);
/* JMP/CALL/IRET/INT through a task gate's or plain TSS selector: the checks that raise `vector`, then the
 * switch. */
void task_switch_through_gate(struct cpu *cpu, const struct descriptor *gate, enum task_switch_reason reason);
