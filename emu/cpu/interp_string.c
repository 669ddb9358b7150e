/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * MOVS, CMPS, STOS, LODS, SCAS with their repeat prefixes.
 *
 * Between two iterations the state is architectural: registers are stored after each element, so that a fault
 * restarts at the right one and an interrupt can be taken (EIP stays at the instruction until it is done).
 *
 * Upwards, runs of elements go at once as far as plain host memory reaches (mem_fast_span: to the page's end,
 * the segment's limit); where it does not, one element goes the ordinary way, which faults, fills the TLB or
 * reaches the device. Downwards everything goes element by element.
 */
#include "emu/cpu/interp.h"

/* The index registers go by the address size; the 16-bit ones wrap and keep the upper half. */
static inline uint32_t index_get(const struct cpu *cpu, const struct insn *in, unsigned number)
{
    return cpu->gpr[number] & in->ea_mask;
}

static inline void index_add(struct cpu *cpu, const struct insn *in, unsigned number, uint32_t delta)
{
    cpu->gpr[number] = (cpu->gpr[number] & ~in->ea_mask) | ((cpu->gpr[number] + delta) & in->ea_mask);
}

static inline bool is_repeated(const struct insn *in)
{
    return in->flags & (INSN_REP | INSN_REPNE);
}

static inline uint32_t step(const struct cpu *cpu, unsigned size)
{
    return cpu->eflags & FLAG_DF ? -size : size;
}

/* Bytes up to the wrap of a 16-bit index, at most `bytes`. */
static inline uint32_t before_wrap(const struct insn *in, uint32_t index, uint64_t bytes)
{
    return (uint32_t)MIN(bytes, (uint64_t)in->ea_mask + 1 - index);
}

/* Leaves a repeated instruction between two iterations; the run loop comes back to it. */
static inline void pause_here(struct cpu *cpu)
{
    cpu->eip = cpu->insn_eip;
    cpu->rep_paused = true;
    cpu->block_stale = true;
}

/* Copies upwards element by element in effect: where the ranges overlap so that a later element reads what an
 * earlier one wrote, that must show. */
static void copy_up(uint8_t *to, const uint8_t *from, uint32_t bytes, unsigned size)
{
    if ((uintptr_t)to - (uintptr_t)from >= bytes) {
        memmove(to, from, bytes);
        return;
    }
    for (uint32_t i = 0; i < bytes; i += size) {
        uint32_t element;

        memcpy(&element, from + i, size);
        memcpy(to + i, &element, size);
    }
}

static inline void fill_up(uint8_t *to, uint32_t value, uint32_t bytes, unsigned size)
{
    if (size == 1) {
        memset(to, (int)value, bytes);
        return;
    }
    for (uint32_t i = 0; i < bytes; i += size)
        memcpy(to + i, &value, size);
}

/* Each returns how many elements it did at once, 0 when it could not. */
static uint32_t movs_run(struct cpu *cpu, const struct insn *in, uint32_t count, unsigned size)
{
    uint32_t si = index_get(cpu, in, ESI), di = index_get(cpu, in, EDI), bytes, more;
    uint8_t *from, *to;

    bytes = before_wrap(in, MAX(si, di), (uint64_t)count * size);
    from = mem_fast_span(cpu, in->seg, si, false, &bytes);
    if (!from)
        return 0;
    more = bytes;
    to = mem_fast_span(cpu, SEG_ES, di, true, &more);
    if (!to)
        return 0;
    bytes = more & -size;
    copy_up(to, from, bytes, size);
    index_add(cpu, in, ESI, bytes);
    index_add(cpu, in, EDI, bytes);
    return bytes / size;
}

static uint32_t stos_run(struct cpu *cpu, const struct insn *in, uint32_t count, unsigned size)
{
    uint32_t di = index_get(cpu, in, EDI), bytes = before_wrap(in, di, (uint64_t)count * size);
    uint8_t *to = mem_fast_span(cpu, SEG_ES, di, true, &bytes);

    if (!to)
        return 0;
    bytes &= -size;
    fill_up(to, cpu->gpr[EAX], bytes, size);
    index_add(cpu, in, EDI, bytes);
    return bytes / size;
}

/* Scans for the element that ends the repetition and leaves that one, the last of the run, to the caller, who
 * sets the flags by it. */
static uint32_t scas_run(struct cpu *cpu, const struct insn *in, uint32_t count, unsigned size)
{
    uint32_t di = index_get(cpu, in, EDI), bytes = before_wrap(in, di, (uint64_t)(count - 1) * size), done;
    const uint8_t *at = mem_fast_span(cpu, SEG_ES, di, false, &bytes);
    bool until_equal = in->flags & INSN_REPNE;

    if (!at)
        return 0;
    bytes &= -size;
    if (size == 1 && until_equal) {
        const uint8_t *found = memchr(at, (int)(cpu->gpr[EAX] & 0xff), bytes);

        done = found ? (uint32_t)(found - at) : bytes;
    } else {
        for (done = 0; done < bytes; done += size)
            if (!memcmp(at + done, &cpu->gpr[EAX], size) == until_equal)
                break;
    }
    index_add(cpu, in, EDI, done);
    return done / size;
}

static uint32_t cmps_run(struct cpu *cpu, const struct insn *in, uint32_t count, unsigned size)
{
    uint32_t si = index_get(cpu, in, ESI), di = index_get(cpu, in, EDI), bytes, more, done;
    const uint8_t *a, *b;
    bool until_equal = in->flags & INSN_REPNE;

    bytes = before_wrap(in, MAX(si, di), (uint64_t)(count - 1) * size);
    a = mem_fast_span(cpu, in->seg, si, false, &bytes);
    if (!a)
        return 0;
    more = bytes;
    b = mem_fast_span(cpu, SEG_ES, di, false, &more);
    if (!b)
        return 0;
    bytes = more & -size;
    for (done = 0; done < bytes; done += size)
        if (!memcmp(a + done, b + done, size) == until_equal)
            break;
    index_add(cpu, in, ESI, done);
    index_add(cpu, in, EDI, done);
    return done / size;
}

/*
 * One function a form: `element` does one element and moves the indices, `run` many at once (or is 0), `ends`
 * says whether the flags end the repetition.
 */
#define STRING(name, size, element, run, ends)                                                               \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        uint32_t delta = step(cpu, size);                                                                    \
                                                                                                             \
        if (!is_repeated(in)) {                                                                              \
            element;                                                                                         \
            return;                                                                                          \
        }                                                                                                    \
        for (;;) {                                                                                           \
            uint32_t count = index_get(cpu, in, ECX), done = 0;                                              \
                                                                                                             \
            if (!count)                                                                                      \
                return;                                                                                      \
            if (!(cpu->eflags & FLAG_DF) && !(cpu->events & CPU_EVENT_STEP))                                 \
                done = run;                                                                                  \
            if (done) {                                                                                      \
                index_add(cpu, in, ECX, -done);                                                              \
                if (done == count)                                                                           \
                    return;                                                                                  \
            } else {                                                                                         \
                element;                                                                                     \
                index_add(cpu, in, ECX, -1u);                                                                \
                if (count == 1 || (ends))                                                                    \
                    return;                                                                                  \
            }                                                                                                \
            if (__builtin_expect(must_look_up(cpu), 0)) {                                                    \
                pause_here(cpu);                                                                             \
                return;                                                                                      \
            }                                                                                                \
        }                                                                                                    \
    }

#define MOVS_ELEMENT(N)                                                                                      \
    do {                                                                                                     \
        T(N) value = mem_read##N(cpu, in->seg, index_get(cpu, in, ESI));                                     \
        mem_write##N(cpu, SEG_ES, index_get(cpu, in, EDI), value);                                           \
        index_add(cpu, in, ESI, delta);                                                                      \
        index_add(cpu, in, EDI, delta);                                                                      \
    } while (0)
#define STOS_ELEMENT(N)                                                                                      \
    do {                                                                                                     \
        mem_write##N(cpu, SEG_ES, index_get(cpu, in, EDI), REG(N, EAX));                                     \
        index_add(cpu, in, EDI, delta);                                                                      \
    } while (0)
#define LODS_ELEMENT(N)                                                                                      \
    do {                                                                                                     \
        REG(N, EAX) = mem_read##N(cpu, in->seg, index_get(cpu, in, ESI));                                    \
        index_add(cpu, in, ESI, delta);                                                                      \
    } while (0)
#define SCAS_ELEMENT(N)                                                                                      \
    do {                                                                                                     \
        T(N) value = mem_read##N(cpu, SEG_ES, index_get(cpu, in, EDI));                                      \
        host_cmp##N(cpu, REG(N, EAX), value);                                                                \
        index_add(cpu, in, EDI, delta);                                                                      \
    } while (0)
#define CMPS_ELEMENT(N)                                                                                      \
    do {                                                                                                     \
        T(N) first = mem_read##N(cpu, in->seg, index_get(cpu, in, ESI));                                     \
        T(N) second = mem_read##N(cpu, SEG_ES, index_get(cpu, in, EDI));                                     \
        host_cmp##N(cpu, first, second);                                                                     \
        index_add(cpu, in, ESI, delta);                                                                      \
        index_add(cpu, in, EDI, delta);                                                                      \
    } while (0)
/* REPE goes on while equal, REPNE while not. */
#define ENDED_BY_FLAGS (!(cpu->status & FLAG_ZF) == !!(in->flags & INSN_REP))

#define STRING_FORMS(N, suffix)                                                                              \
    STRING(movs##suffix, N / 8, MOVS_ELEMENT(N), movs_run(cpu, in, count, N / 8), false)                     \
    STRING(stos##suffix, N / 8, STOS_ELEMENT(N), stos_run(cpu, in, count, N / 8), false)                     \
    STRING(lods##suffix, N / 8, LODS_ELEMENT(N), 0, false)                                                   \
    STRING(scas##suffix, N / 8, SCAS_ELEMENT(N), scas_run(cpu, in, count, N / 8), ENDED_BY_FLAGS)            \
    STRING(cmps##suffix, N / 8, CMPS_ELEMENT(N), cmps_run(cpu, in, count, N / 8), ENDED_BY_FLAGS)
/* clang-format off */
STRING_FORMS(8, b)
STRING_FORMS(16, v_16)
STRING_FORMS(32, v_32)
/* clang-format on */
