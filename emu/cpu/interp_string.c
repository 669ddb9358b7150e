/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * MOVS, CMPS, STOS, LODS, SCAS with their repeat prefixes (SDM vol. 2, REP).
 *
 * Between two iterations the state is architectural: registers are stored, so that a fault restarts at the
 * right element and an interrupt can be taken (EIP stays at the instruction until it is done). CMPS and SCAS
 * show the flags of the last iteration then, as AMD's processors do; Intel's show those from before the
 * instruction.
 *
 * Repeated forms work by runs: as many elements as lie on one page of plain host memory on each side, within
 * the segments' limits and before a 16-bit index wraps, upwards or downwards. What is pending is looked at
 * after each run. Where there is no run (devices, elements across a page's border, faults to come,
 * breakpoints, alignment checks, single steps) one element goes the ordinary way. mmu_plain_span() makes a
 * page accessible that is not yet in the TLB, or holds code, as its first element would.
 *
 * A run has the effect of its elements one after the other: where source and destination overlap so that a
 * later element reads what an earlier one wrote, that shows. With a distance of at least an element the
 * result is the bytes of the distance, repeated.
 *
 * Everything is one function, string_do(), inlined into each row's with the form and the size as constants.
 */
#include "emu/cpu/interp.h"

#include <emmintrin.h>

enum string_form { FORM_MOVS, FORM_STOS, FORM_LODS, FORM_SCAS, FORM_CMPS };

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* ---- registers ---- */

/* The index registers go by the address size; the 16-bit ones wrap and keep the upper half. */
static ALWAYS_INLINE uint32_t index_get(const struct cpu *cpu, const struct insn *in, unsigned number)
{
    return cpu->gpr[number] & in->ea_mask;
}

static ALWAYS_INLINE void index_add(struct cpu *cpu, const struct insn *in, unsigned number, uint32_t delta)
{
    cpu->gpr[number] = (cpu->gpr[number] & ~in->ea_mask) | ((cpu->gpr[number] + delta) & in->ea_mask);
}

static ALWAYS_INLINE uint32_t accumulator(const struct cpu *cpu, unsigned size)
{
    return size == 1 ? (uint8_t)cpu->gpr[EAX] : size == 2 ? (uint16_t)cpu->gpr[EAX] : cpu->gpr[EAX];
}

static ALWAYS_INLINE void accumulator_set(struct cpu *cpu, uint32_t value, unsigned size)
{
    memcpy(&cpu->gpr[EAX], &value, size);
}

static ALWAYS_INLINE void compare(struct cpu *cpu, uint32_t first, uint32_t second, unsigned size)
{
    if (size == 1)
        host_cmp8(cpu, (uint8_t)first, (uint8_t)second);
    else if (size == 2)
        host_cmp16(cpu, (uint16_t)first, (uint16_t)second);
    else
        host_cmp32(cpu, first, second);
}

/* Leaves a repeated instruction between two iterations; the run loop comes back to it. */
static inline void pause_here(struct cpu *cpu)
{
    cpu->eip = cpu->insn_eip;
    cpu->rep_paused = true;
    cpu->block_stale = true;
    cpu->icount_left++; /* it has not ended */
}

/* ---- host memory ---- */

static ALWAYS_INLINE uint32_t load(const uint8_t *at, unsigned size)
{
    uint32_t value = 0;

    memcpy(&value, at, size);
    return value;
}

/* Short ones by the vector: REP STOS takes long to start, and so does memset() where it goes by size. */
static void fill(uint8_t *to, uint32_t value, uint32_t bytes, unsigned size)
{
    uint32_t pattern = size == 1   ? (uint8_t)value * 0x01010101u
                       : size == 2 ? (uint16_t)value * 0x00010001u
                                   : value;
    const __m128i vector = _mm_set1_epi32((int)pattern);
    size_t count = bytes / 4;
    uint32_t at = 0;

    if (bytes > 1024) {
        __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(pattern) : "memory");
        memcpy(to, &pattern, bytes & 3);
    } else if (bytes >= 16) {
#pragma GCC unroll 4
        for (; at + 16 <= bytes; at += 16)
            _mm_storeu_si128((__m128i *)(to + at), vector);
        /* The rest, and some once more: a multiple of `size`, so in step with the pattern. */
        _mm_storeu_si128((__m128i *)(to + bytes - 16), vector);
    } else {
        for (; at + 4 <= bytes; at += 4)
            memcpy(to + at, &pattern, 4);
        memcpy(to + at, &pattern, bytes & 3);
    }
}

/* `total` bytes from `at` on become the repetition of the `period` bytes at `from`, which end where `at`
 * begins, or begin before. */
static void repeat_up(uint8_t *at, const uint8_t *from, uint32_t period, uint32_t total)
{
    if (period == 1) {
        fill(at, *from, total, 1);
        return;
    }
    memcpy(at, from, period);
    for (uint32_t done = period; done < total;) {
        uint32_t more = MIN(done, total - done);

        memcpy(at + done, at, more);
        done += more;
    }
}

/* The same downwards: `at` and `from` are the ends. */
static void repeat_down(uint8_t *at, const uint8_t *from, uint32_t period, uint32_t total)
{
    memcpy(at - period, from - period, period);
    for (uint32_t done = period; done < total;) {
        uint32_t more = MIN(done, total - done);

        memcpy(at - done - more, at - more, more);
        done += more;
    }
}

static ALWAYS_INLINE void copy_up(uint8_t *to, const uint8_t *from, uint32_t bytes, unsigned size)
{
    uintptr_t ahead = (uintptr_t)to - (uintptr_t)from;

    if (__builtin_expect(ahead >= bytes, 1)) {
        memmove(to, from, bytes);
    } else if (ahead >= size) {
        repeat_up(to, from, (uint32_t)ahead, bytes);
    } else {
        for (uint32_t i = 0; i < bytes; i += size) {
            uint32_t element = load(from + i, size);

            memcpy(to + i, &element, size);
        }
    }
}

/* `to` and `from` are the first, uppermost elements. */
static ALWAYS_INLINE void copy_down(uint8_t *to, const uint8_t *from, uint32_t bytes, unsigned size)
{
    uintptr_t ahead = (uintptr_t)from - (uintptr_t)to;

    if (__builtin_expect(ahead >= bytes, 1)) {
        memmove(to + size - bytes, from + size - bytes, bytes);
    } else if (ahead >= size) {
        repeat_down(to + size, from + size, (uint32_t)ahead, bytes);
    } else {
        for (uint32_t i = 0; i < bytes; i += size) {
            uint32_t element = load(from - i, size);

            memcpy(to - i, &element, size);
        }
    }
}

/* The offset of the first element that is equal to its partner (`until_equal`) or is not; `bytes` when there
 * is none. The partner is at the same offset of `b`, or is `value` when `b` is NULL. */
static ALWAYS_INLINE uint32_t search_up(const uint8_t *a, const uint8_t *b, uint32_t value, uint32_t bytes,
                                        unsigned size, bool until_equal)
{
    const __m128i wanted = size == 1   ? _mm_set1_epi8((char)value)
                           : size == 2 ? _mm_set1_epi16((short)value)
                                       : _mm_set1_epi32((int)value);
    uint32_t at = 0, flip = until_equal ? 0 : 0xffff;

    for (; bytes - at >= 16; at += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(a + at));
        __m128i y = b ? _mm_loadu_si128((const __m128i *)(b + at)) : wanted;
        __m128i same = size == 1   ? _mm_cmpeq_epi8(x, y)
                       : size == 2 ? _mm_cmpeq_epi16(x, y)
                                   : _mm_cmpeq_epi32(x, y);
        uint32_t hits = (uint32_t)_mm_movemask_epi8(same) ^ flip;

        if (hits)
            return at + (uint32_t)__builtin_ctz(hits);
    }
    for (; at < bytes; at += size)
        if ((load(a + at, size) == (b ? load(b + at, size) : value)) == until_equal)
            break;
    return at;
}

static ALWAYS_INLINE uint32_t search_down(const uint8_t *a, const uint8_t *b, uint32_t value, uint32_t bytes,
                                          unsigned size, bool until_equal)
{
    uint32_t at = 0;

    for (; at < bytes; at += size)
        if ((load(a - at, size) == (b ? load(b - at, size) : value)) == until_equal)
            break;
    return at;
}

/* ---- runs ---- */

/*
 * The element at `offset`, in host memory, and in *bytes how many from it on, upwards or downwards, lie on
 * its page and within the segment, at most as many as asked: a multiple of `size`. NULL when the element is
 * not plain. May fault, as the element would.
 */
static ALWAYS_INLINE uint8_t *span(struct cpu *cpu, unsigned seg, uint32_t offset, unsigned size, bool write,
                                   bool down, uint32_t *bytes)
{
    const struct segment *s = &cpu->seg[seg];
    const struct tlb_entry *e;
    uint32_t linear, in_page, room;

    if (__builtin_expect(!(write ? s->can_write : s->can_read) || offset < s->min ||
                             (uint64_t)offset + (size - 1) > s->max,
                         0))
        return NULL;
    linear = s->base + offset;
    in_page = linear & PHYS_PAGE_MASK;
    if (__builtin_expect(in_page > PHYS_PAGE_SIZE - size, 0))
        return NULL;
    /* one less than the bytes that there are: 4 GiB do not fit */
    room = down ? MIN(in_page + (size - 1), offset - s->min + (size - 1))
                : MIN(PHYS_PAGE_MASK - in_page, s->max - offset);
    if (*bytes - 1 > room)
        *bytes = room + 1;
    *bytes &= -size;
    e = tlb_slot(cpu->tlb_data, linear);
    if (__builtin_expect((write ? e->write : e->read) == (linear & ~(uint32_t)PHYS_PAGE_MASK), 1))
        return (uint8_t *)(e->addend + linear);
    return mmu_plain_span(cpu, linear, down ? linear + size - *bytes : linear, *bytes, write);
}

/* Bytes of `count` elements, fewer when a 16-bit index wraps before; `low` and `high` are the lowest and the
 * highest index concerned. */
static ALWAYS_INLINE uint32_t before_wrap(const struct insn *in, uint32_t low, uint32_t high, uint32_t count,
                                          unsigned size, bool down)
{
    uint64_t room = down ? (uint64_t)low + size : (uint64_t)in->ea_mask + 1 - high;

    /* More than a page is never needed, and this is where the product cannot overflow. */
    if (count > PHYS_PAGE_SIZE)
        count = PHYS_PAGE_SIZE;
    return (uint32_t)MIN(room, (uint64_t)count * size) & -size;
}

/* Does as many elements as it can at once, at most `count`, moves the indices, and says how many; 0 when not
 * one. *ended: the last of them ends the repetition. */
static ALWAYS_INLINE uint32_t run(struct cpu *cpu, const struct insn *in, enum string_form form,
                                  unsigned size, bool down, uint32_t count, bool *ended)
{
    const bool has_source = form == FORM_MOVS || form == FORM_LODS || form == FORM_CMPS;
    const bool has_place = form != FORM_LODS, writes = form == FORM_MOVS || form == FORM_STOS;
    const bool until_equal = in->flags & INSN_REPNE;
    uint32_t si = index_get(cpu, in, ESI), di = index_get(cpu, in, EDI), bytes, at, last;
    uint32_t low = !has_source ? di : !has_place ? si : MIN(si, di);
    uint32_t high = !has_source ? di : !has_place ? si : MAX(si, di);
    uint8_t *from = NULL, *to = NULL;

    bytes = before_wrap(in, low, high, count, size, down);
    if (__builtin_expect(!bytes, 0))
        return 0;
    if (has_source && !(from = span(cpu, in->seg, si, size, false, down, &bytes)))
        return 0;
    if (has_place && !(to = span(cpu, SEG_ES, di, size, writes, down, &bytes)))
        return 0;
    if (form == FORM_MOVS) {
        if (down)
            copy_down(to, from, bytes, size);
        else
            copy_up(to, from, bytes, size);
    } else if (form == FORM_STOS) {
        fill(down ? to + size - bytes : to, cpu->gpr[EAX], bytes, size);
    } else if (form == FORM_LODS) {
        accumulator_set(cpu, load(down ? from + size - bytes : from + bytes - size, size), size);
    } else {
        const uint8_t *a = form == FORM_CMPS ? from : to, *b = form == FORM_CMPS ? to : NULL;
        uint32_t value = accumulator(cpu, size);

        if (down)
            at = search_down(a, b, value, bytes, size, until_equal);
        else if (until_equal)
            at = search_up(a, b, value, bytes, size, true);
        else
            at = search_up(a, b, value, bytes, size, false);
        *ended = at < bytes;
        if (*ended)
            bytes = at + size;
        last = bytes - size;
        a = down ? a - last : a + last;
        if (form == FORM_CMPS)
            compare(cpu, load(a, size), load(down ? b - last : b + last, size), size);
        else
            compare(cpu, value, load(a, size), size);
    }
    if (has_source)
        index_add(cpu, in, ESI, down ? -bytes : bytes);
    if (has_place)
        index_add(cpu, in, EDI, down ? -bytes : bytes);
    return bytes / size;
}

/* ---- elements ---- */

static ALWAYS_INLINE uint32_t read_element(struct cpu *cpu, unsigned seg, uint32_t offset, unsigned size)
{
    return size == 1   ? mem_read8(cpu, seg, offset)
           : size == 2 ? mem_read16(cpu, seg, offset)
                       : mem_read32(cpu, seg, offset);
}

static ALWAYS_INLINE void write_element(struct cpu *cpu, uint32_t offset, uint32_t value, unsigned size)
{
    if (size == 1)
        mem_write8(cpu, SEG_ES, offset, (uint8_t)value);
    else if (size == 2)
        mem_write16(cpu, SEG_ES, offset, (uint16_t)value);
    else
        mem_write32(cpu, SEG_ES, offset, value);
}

static ALWAYS_INLINE void element(struct cpu *cpu, const struct insn *in, enum string_form form,
                                  unsigned size)
{
    const uint32_t si = index_get(cpu, in, ESI), di = index_get(cpu, in, EDI);
    const uint32_t delta = cpu->eflags & FLAG_DF ? -size : size;

    if (form == FORM_MOVS) {
        write_element(cpu, di, read_element(cpu, in->seg, si, size), size);
    } else if (form == FORM_STOS) {
        write_element(cpu, di, accumulator(cpu, size), size);
    } else if (form == FORM_LODS) {
        accumulator_set(cpu, read_element(cpu, in->seg, si, size), size);
    } else if (form == FORM_SCAS) {
        compare(cpu, accumulator(cpu, size), read_element(cpu, SEG_ES, di, size), size);
    } else {
        uint32_t first = read_element(cpu, in->seg, si, size);

        compare(cpu, first, read_element(cpu, SEG_ES, di, size), size);
    }
    if (form == FORM_MOVS || form == FORM_LODS || form == FORM_CMPS)
        index_add(cpu, in, ESI, delta);
    if (form != FORM_LODS)
        index_add(cpu, in, EDI, delta);
}

static ALWAYS_INLINE void string_do(struct cpu *cpu, const struct insn *in, enum string_form form,
                                    unsigned size)
{
    if (!(in->flags & (INSN_REP | INSN_REPNE))) {
        element(cpu, in, form, size);
        return;
    }
    for (;;) {
        uint32_t count = index_get(cpu, in, ECX), done = 0;
        bool ended = false;

        if (!count)
            return;
        if (__builtin_expect(!(cpu->events & CPU_EVENT_STEP), 1)) {
            if (__builtin_expect(cpu->eflags & FLAG_DF, 0))
                done = run(cpu, in, form, size, true, count, &ended);
            else
                done = run(cpu, in, form, size, false, count, &ended);
        }
        if (!done) {
            element(cpu, in, form, size);
            done = 1;
            /* REPE goes on while equal, REPNE while not. */
            if (form == FORM_SCAS || form == FORM_CMPS)
                ended = !(cpu->status & FLAG_ZF) == !!(in->flags & INSN_REP);
        }
        index_add(cpu, in, ECX, -done);
        if (done == count || ended)
            return;
        if (__builtin_expect(must_look_up(cpu), 0)) {
            pause_here(cpu);
            return;
        }
    }
}

#define STRING(name, form, size)                                                                             \
    void op_##name(struct cpu *cpu, const struct insn *in)                                                   \
    {                                                                                                        \
        string_do(cpu, in, form, size);                                                                      \
    }
#define STRING_SIZES(name, form)                                                                             \
    STRING(name##b, form, 1)                                                                                 \
    STRING(name##v_16, form, 2)                                                                              \
    STRING(name##v_32, form, 4)
/* clang-format off */
STRING_SIZES(movs, FORM_MOVS)
STRING_SIZES(stos, FORM_STOS)
STRING_SIZES(lods, FORM_LODS)
STRING_SIZES(scas, FORM_SCAS)
STRING_SIZES(cmps, FORM_CMPS)
/* clang-format on */
