/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The flat tables: a slot for every page of the linear address space, for translated code.
 *
 * A region of address space for each privilege holds, by linear page, what to add to get the host address,
 * for reads and for writes; 0 where an access is not plainly allowed. Nothing is compared: a look is an
 * index, a load and a jump if zero, none of which touches flags. The tables for accesses of four bytes have
 * four slots a page, chosen by the low two bits of the address, of which only the first is ever filled: so an
 * access that is not aligned, which might cross the page's end, looks like a miss. The third region is always
 * empty: it is the one in use while alignment checks are armed.
 *
 * The tables are a cache of what the soft TLB of mmu.c granted: an entry is filled from a tag there, and
 * lives longer than the tag when the slot is reused; everything that takes grants or tags away for another
 * reason tells us.
 *
 * Each page has a note: which of its slots are filled, by the log that the page is in; there is one for pages
 * that are global, which survives CR3. So a flush costs what was filled, and a page that has nothing costs a
 * look. A log may hold a page twice; when it is full everything goes. The note also says which slots were
 * ever missed: after a flush the first miss fills all of these that the walk grants, at both privileges,
 * since a process's stack is read and written, by it and by the kernel, in every time slice.
 *
 * Memory: pages of the tables come with their first entry, which maps half a MiB. When more than TOUCHED_MAX
 * were touched, the next flush gives all of them back.
 *
 * For code there is the number of the RAM page by linear page (FLAT_EXEC), which links between pages and
 * indirect branches check instead of being undone at flushes. Whatever takes one away counts up `generation`.
 */
#include "emu/cpu/jit/flat.h"
#include "emu/cpu/access.h"
#include "emu/cpu/jit/window.h"
#include "emu/cpu/mmu_internal.h"

#include <sys/mman.h>

#define LOG_SIZE    32768u
#define TOUCHED_MAX 768u /* pages of the tables: 3 MiB */

#define PAGES (1u << 20)

enum flat_kind { KIND_READ4, KIND_WRITE4, KIND_READ1, KIND_WRITE1, KINDS, KIND_EXEC = KINDS };

/* A set of slots of a page: four of data for each table, then those for fetches. */
#define BIT_DATA(table, kind) (1u << ((table)*KINDS + (kind)))
#define BIT_EXEC(table)       (1u << (2 * KINDS + (table)))
#define BITS_WRITE(table)     (BIT_DATA(table, KIND_WRITE4) | BIT_DATA(table, KIND_WRITE1))
#define BITS_DATA(table)      (((1u << KINDS) - 1) << ((table)*KINDS))

struct note {
    uint16_t filled[2]; /* by global: these are, or were and are cleared by that flush all the same */
    uint16_t missed;    /* these were asked for; a page of the tables without such a slot is untouched */
    uint16_t spare;
};

struct flat {
    struct cpu *cpu;
    uint8_t *memory; /* TLB_TABLES regions */
    size_t ram_pages;
    uint32_t generation;
    unsigned touched;
    struct note *notes; /* by page */
    unsigned logged[2]; /* by global */
    uint32_t log[2][LOG_SIZE];
    uint64_t touched_bits[2][FLAT_SIZE / PHYS_PAGE_SIZE / 64];
    uint64_t touched_notes[PAGES * sizeof(struct note) / PHYS_PAGE_SIZE / 64];
};

static void *take(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static void give(void *p, size_t size)
{
    if (p)
        munmap(p, size);
}

struct flat *flat_new(struct cpu *cpu)
{
    struct flat *flat = take(sizeof(*flat));

    if (!flat)
        return NULL;
    flat->cpu = cpu;
    flat->ram_pages = physmap_ram_size(cpu->board.mem) >> PHYS_PAGE_SHIFT;
    flat->memory = take((size_t)TLB_TABLES * FLAT_SIZE);
    flat->notes = take(PAGES * sizeof(struct note));
    if (!flat->memory || !flat->notes) {
        flat_free(flat);
        return NULL;
    }
    madvise(flat->memory, (size_t)TLB_TABLES * FLAT_SIZE, MADV_NOHUGEPAGE);
    madvise(flat->notes, PAGES * sizeof(struct note), MADV_NOHUGEPAGE);
    return flat;
}

void flat_free(struct flat *flat)
{
    if (!flat)
        return;
    give(flat->memory, (size_t)TLB_TABLES * FLAT_SIZE);
    give(flat->notes, PAGES * sizeof(struct note));
    munmap(flat, sizeof(*flat));
}

void *flat_region(struct flat *flat, unsigned table)
{
    return flat->memory + (size_t)table * FLAT_SIZE;
}

uint32_t flat_generation(const struct flat *flat)
{
    return flat->generation;
}

const uint32_t *flat_generation_place(const struct flat *flat)
{
    return &flat->generation;
}

size_t flat_touched(const struct flat *flat)
{
    return (size_t)flat->touched * PHYS_PAGE_SIZE;
}

static uint32_t slot_offset(enum flat_kind kind, uint32_t page)
{
    switch (kind) {
    case KIND_READ4:
        return FLAT_READ4 + page * 32;
    case KIND_WRITE4:
        return FLAT_WRITE4 + page * 32;
    case KIND_READ1:
        return FLAT_READ1 + page * 8;
    case KIND_WRITE1:
        return FLAT_WRITE1 + page * 8;
    case KIND_EXEC:
        break;
    }
    return FLAT_EXEC + page * 4;
}

static uintptr_t *addend_slot(const struct flat *flat, unsigned table, enum flat_kind kind, uint32_t page)
{
    return (uintptr_t *)(void *)(flat->memory + (size_t)table * FLAT_SIZE + slot_offset(kind, page));
}

static uint32_t *exec_slot(struct flat *flat, unsigned table, uint32_t page)
{
    return (uint32_t *)(void *)(flat->memory + (size_t)table * FLAT_SIZE + slot_offset(KIND_EXEC, page));
}

/* ---- flushing ---- */

static void slots_clear(struct flat *flat, uint32_t page, unsigned bits)
{
    struct window *window = flat->cpu->window;

    if (window && (bits & BITS_DATA(TLB_SUPERVISOR)))
        window_forget(window, TLB_SUPERVISOR, page);
    if (window && (bits & BITS_DATA(TLB_USER)))
        window_forget(window, TLB_USER, page);
    for (; bits & (BIT_EXEC(0) - 1); bits &= bits - 1) {
        unsigned n = (unsigned)__builtin_ctz(bits);

        *addend_slot(flat, n / KINDS, (enum flat_kind)(n % KINDS), page) = 0;
    }
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++)
        if (bits & BIT_EXEC(table))
            *exec_slot(flat, table, page) = 0;
}

static void log_clear(struct flat *flat, unsigned global)
{
    const uint32_t *log = flat->log[global];

    for (unsigned i = 0; i < flat->logged[global]; i++) {
        struct note *note = &flat->notes[log[i]];
        unsigned bits = note->filled[global];

        note->filled[global] = 0;
        slots_clear(flat, log[i], bits);
    }
    flat->logged[global] = 0;
}

static void give_back(struct flat *flat)
{
    window_forget_all(flat->cpu->window);
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++)
        madvise(flat_region(flat, table), FLAT_CACHE, MADV_DONTNEED);
    madvise(flat->notes, PAGES * sizeof(struct note), MADV_DONTNEED);
    memset(flat->touched_bits, 0, sizeof(flat->touched_bits));
    memset(flat->touched_notes, 0, sizeof(flat->touched_notes));
    memset(flat->logged, 0, sizeof(flat->logged));
    flat->touched = 0;
}

void flat_flush(struct cpu *cpu, bool global_too)
{
    struct flat *flat = cpu->flat;

    if (!flat)
        return;
    flat->generation++;
    if (flat->touched > TOUCHED_MAX) {
        give_back(flat);
        return;
    }
    if (global_too)
        window_flush(cpu->window);
    log_clear(flat, false);
    if (global_too)
        log_clear(flat, true);
    window_settle(cpu->window);
}

/* Those of a page's slots that are in `bits`. */
static void page_clear(struct flat *flat, uint32_t page, unsigned bits)
{
    struct note *note = &flat->notes[page];
    unsigned filled = (note->filled[0] | note->filled[1]) & bits;

    if (!filled)
        return;
    note->filled[0] &= (uint16_t)~bits;
    note->filled[1] &= (uint16_t)~bits;
    slots_clear(flat, page, filled);
}

void flat_flush_page(struct cpu *cpu, uint32_t linear)
{
    struct flat *flat = cpu->flat;
    uint32_t region = linear >> 22;

    if (!flat)
        return;
    flat->generation++;
    page_clear(flat, linear >> PHYS_PAGE_SHIFT, ~0u);
    if (cpu->tlb_large[region >> 5] & (1u << (region & 31)))
        for (unsigned global = 0; global < 2; global++)
            for (unsigned i = 0; i < flat->logged[global]; i++)
                if (flat->log[global][i] >> 10 == region)
                    page_clear(flat, flat->log[global][i], ~0u);
    window_settle(cpu->window);
}

/* ---- writable pages ---- */

/* Which of the page's slots for writing lead to `host`. */
static unsigned page_writes(const struct flat *flat, uint32_t page, uintptr_t host)
{
    const struct note *note = &flat->notes[page];
    unsigned bits = (note->filled[0] | note->filled[1]) & (BITS_WRITE(TLB_SUPERVISOR) | BITS_WRITE(TLB_USER));
    unsigned found = 0;

    for (; bits; bits &= bits - 1) {
        unsigned n = (unsigned)__builtin_ctz(bits);

        if (*addend_slot(flat, n / KINDS, (enum flat_kind)(n % KINDS), page) +
                ((uintptr_t)page << PHYS_PAGE_SHIFT) ==
            host)
            found |= 1u << n;
    }
    return found;
}

static size_t ram_page_of(struct cpu *cpu, uintptr_t host)
{
    return (host - (uintptr_t)physmap_ram(cpu->board.mem)) >> PHYS_PAGE_SHIFT;
}

bool flat_writes(const struct cpu *cpu, uint32_t page, uintptr_t host)
{
    return cpu->flat && page_writes(cpu->flat, page, host);
}

void flat_protect(struct cpu *cpu, uint32_t page, uintptr_t host)
{
    struct flat *flat = cpu->flat;

    if (!flat)
        return;
    page_clear(flat, page, page_writes(flat, page, host));
    window_settle(cpu->window);
}

void flat_protect_anywhere(struct cpu *cpu, uintptr_t host)
{
    struct flat *flat = cpu->flat;

    if (!flat)
        return;
    for (unsigned global = 0; global < 2; global++) {
        for (unsigned i = 0; i < flat->logged[global]; i++) {
            uint32_t page = flat->log[global][i];

            page_clear(flat, page, page_writes(flat, page, host));
        }
    }
    window_settle(cpu->window);
}

void flat_protect_all(struct cpu *cpu)
{
    struct flat *flat = cpu->flat;

    if (!flat)
        return;
    for (unsigned global = 0; global < 2; global++)
        for (unsigned i = 0; i < flat->logged[global]; i++)
            page_clear(flat, flat->log[global][i], BITS_WRITE(TLB_SUPERVISOR) | BITS_WRITE(TLB_USER));
    window_settle(cpu->window);
}

/* ---- filling ---- */

static void count_touched(struct flat *flat, uint64_t *bits, uint32_t at)
{
    if (bits[at >> 6] >> (at & 63) & 1)
        return;
    bits[at >> 6] |= 1ull << (at & 63);
    flat->touched++;
}

static __attribute__((noinline)) void note_first(struct flat *flat, unsigned bit, uint32_t page)
{
    unsigned n = (unsigned)__builtin_ctz(bit), table = n / KINDS, kind = n % KINDS;

    if (bit >= BIT_EXEC(0)) {
        table = bit != BIT_EXEC(0);
        kind = KIND_EXEC;
    }
    flat->notes[page].missed |= (uint16_t)bit;
    count_touched(flat, flat->touched_bits[table],
                  slot_offset((enum flat_kind)kind, page) >> PHYS_PAGE_SHIFT);
    count_touched(flat, flat->touched_notes, page / (PHYS_PAGE_SIZE / sizeof(struct note)));
}

static __attribute__((noinline)) void log_full(struct flat *flat)
{
    for (unsigned global = 0; global < 2; global++)
        log_clear(flat, global);
    window_settle(flat->cpu->window);
}

/* This slot was missed, and is going to be filled. */
static inline void slot_note(struct flat *flat, struct note *note, unsigned bit, bool global, uint32_t page)
{
    if (!(note->missed & bit))
        note_first(flat, bit, page);
    if (!note->filled[global]) {
        if (flat->logged[global] == LOG_SIZE)
            log_full(flat);
        flat->log[global][flat->logged[global]++] = page;
    }
    note->filled[global] |= (uint16_t)bit;
}

uintptr_t flat_peek(const struct cpu *cpu, unsigned table, uint32_t page, bool write)
{
    struct flat *flat = cpu->flat;
    uintptr_t addend = *addend_slot(flat, table, write ? KIND_WRITE4 : KIND_READ4, page);

    return addend ? addend : *addend_slot(flat, table, write ? KIND_WRITE1 : KIND_READ1, page);
}

/* With a slot the others that were missed before, as far as this entry of the soft TLB grants them. */
static void fill_others(struct cpu *cpu, struct note *note, const struct tlb_entry *e, unsigned table,
                        uint32_t page, bool global)
{
    struct flat *flat = cpu->flat;
    unsigned bits = note->missed & ~(note->filled[0] | note->filled[1]), may = 0;

    if (e->write == page << PHYS_PAGE_SHIFT)
        may = BITS_WRITE(table) | (e->flags & TLB_OTHER_WRITE ? BITS_WRITE(!table) : 0);
    if (e->read == page << PHYS_PAGE_SHIFT)
        may |= (BITS_DATA(table) | (e->flags & TLB_OTHER_READ ? BITS_DATA(!table) : 0)) &
               ~(BITS_WRITE(TLB_SUPERVISOR) | BITS_WRITE(TLB_USER));
    for (bits &= may; bits; bits &= bits - 1) {
        unsigned n = (unsigned)__builtin_ctz(bits);

        note->filled[global] |= (uint16_t)(1u << n);
        *addend_slot(flat, n / KINDS, (enum flat_kind)(n % KINDS), page) = e->addend;
    }
}

uintptr_t flat_fill(struct cpu *cpu, uint32_t linear, unsigned size, bool write, bool dense)
{
    unsigned table = cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR;
    uint32_t page = linear >> PHYS_PAGE_SHIFT, tag = linear & ~(uint32_t)PHYS_PAGE_MASK;
    enum flat_kind kind = dense ? (write ? KIND_WRITE1 : KIND_READ1) : write ? KIND_WRITE4 : KIND_READ4;
    struct note *note = &cpu->flat->notes[page];
    const struct tlb_entry *e;
    bool global;

    if (cpu->align_check || (linear & PHYS_PAGE_MASK) + size > PHYS_PAGE_SIZE)
        return 0;
    e = tlb_slot(cpu->tlb[table], linear);
    if ((write ? e->write : e->read) != tag) {
        if (mmu_is_device(e, linear, write)) /* known to be none of the host's memory */
            return 0;
        e = mmu_try_fill(cpu, linear, write);
        if (!e || (write ? e->write : e->read) != tag)
            return 0;
    }
    global = (e->flags & TLB_GLOBAL) != 0;
    slot_note(cpu->flat, note, BIT_DATA(table, kind), global, page);
    *addend_slot(cpu->flat, table, kind, page) = e->addend;
    fill_others(cpu, note, e, table, page, global);
    return e->addend;
}

uintptr_t flat_fill_both(struct cpu *cpu, uint32_t linear)
{
    unsigned table = cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR;
    uintptr_t addend = flat_fill(cpu, linear, 1, false, true);

    if (!addend || tlb_slot(cpu->tlb[table], linear)->write != (linear & ~(uint32_t)PHYS_PAGE_MASK))
        return 0;
    return flat_fill(cpu, linear, 1, true, true);
}

bool flat_fill_exec(struct cpu *cpu, uint32_t linear, uint32_t number)
{
    unsigned table = cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR;
    uint32_t page = linear >> PHYS_PAGE_SHIFT, *slot = exec_slot(cpu->flat, table, page);
    const struct tlb_entry *e = tlb_slot(cpu->tlb[table], linear);

    if (cpu->align_check)
        return false;
    if (*slot == number + 1)
        return true;
    if (e->exec != (linear & ~(uint32_t)PHYS_PAGE_MASK))
        return false;
    slot_note(cpu->flat, &cpu->flat->notes[page], BIT_EXEC(table), (e->flags & TLB_GLOBAL) != 0, page);
    *slot = number + 1;
    return true;
}

bool flat_find_exec(struct cpu *cpu, uint32_t linear)
{
    unsigned table = cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR;
    uint32_t tag = linear & ~(uint32_t)PHYS_PAGE_MASK;
    const struct tlb_entry *e = tlb_slot(cpu->tlb[table], linear);
    size_t number;

    if (e->exec != tag) {
        e = mmu_try_fetch(cpu, linear);
        if (!e || e->exec != tag)
            return false;
    }
    number = ram_page_of(cpu, e->addend + tag);
    return number < cpu->flat->ram_pages && flat_fill_exec(cpu, linear, (uint32_t)number);
}
