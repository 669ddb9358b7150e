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
 * reason tells us. Entries that were filled are logged, those of global pages apart, so that a flush costs
 * what was filled. The log may hold an entry twice; when it is full everything goes.
 *
 * Memory: pages of the tables come with their first entry, which maps half a MiB. When more than TOUCHED_MAX
 * were touched, the next flush gives all of them back.
 *
 * For code there is the number of the RAM page by linear page (FLAT_EXEC), which links between pages and
 * indirect branches check instead of being undone at flushes. Whatever takes one away counts up `generation`.
 *
 * A store that makes a page code must find the page's writable entries: `writer` has the linear page of the
 * last one by RAM page, or MANY.
 */
#include "emu/cpu/jit/flat.h"
#include "emu/cpu/access.h"
#include "emu/cpu/jit/window.h"
#include "emu/cpu/mmu_internal.h"

#include <sys/mman.h>

#define LOG_SIZE    32768u
#define TOUCHED_MAX 768u /* pages of the tables: 3 MiB */
#define MANY        0xffffffffu

enum flat_kind { KIND_READ4, KIND_WRITE4, KIND_READ1, KIND_WRITE1, KIND_EXEC };
#define KIND_SHIFT 20
#define PAGE_MASK  ((1u << KIND_SHIFT) - 1)

struct flat {
    struct cpu *cpu;
    uint8_t *memory; /* TLB_TABLES regions */
    uint32_t *writer[2];
    size_t ram_pages;
    uint32_t generation;
    unsigned touched;
    unsigned logged[2][2]; /* by table, global */
    uint32_t log[2][2][LOG_SIZE];
    uint64_t touched_bits[2][FLAT_SIZE / PHYS_PAGE_SIZE / 64];
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
    for (unsigned i = 0; i < 2; i++)
        flat->writer[i] = take(flat->ram_pages * 4 + 1);
    if (!flat->memory || !flat->writer[0] || !flat->writer[1]) {
        flat_free(flat);
        return NULL;
    }
    madvise(flat->memory, (size_t)TLB_TABLES * FLAT_SIZE, MADV_NOHUGEPAGE);
    return flat;
}

void flat_free(struct flat *flat)
{
    if (!flat)
        return;
    give(flat->memory, (size_t)TLB_TABLES * FLAT_SIZE);
    for (unsigned i = 0; i < 2; i++)
        give(flat->writer[i], flat->ram_pages * 4 + 1);
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

static uintptr_t *addend_slot(struct flat *flat, unsigned table, enum flat_kind kind, uint32_t page)
{
    return (uintptr_t *)(void *)(flat->memory + (size_t)table * FLAT_SIZE + slot_offset(kind, page));
}

static uint32_t *exec_slot(struct flat *flat, unsigned table, uint32_t page)
{
    return (uint32_t *)(void *)(flat->memory + (size_t)table * FLAT_SIZE + slot_offset(KIND_EXEC, page));
}

/* Reads before it writes: a page of the tables that was never touched stays so. */
static void slot_clear(struct flat *flat, unsigned table, enum flat_kind kind, uint32_t page)
{
    if (kind == KIND_EXEC) {
        uint32_t *slot = exec_slot(flat, table, page);

        if (*slot)
            *slot = 0;
    } else {
        uintptr_t *slot = addend_slot(flat, table, kind, page);

        if (*slot) {
            *slot = 0;
            window_forget(flat->cpu->window, table, page);
        }
    }
}

/* ---- flushing ---- */

static void log_clear(struct flat *flat, unsigned table, unsigned global)
{
    const uint32_t *log = flat->log[table][global];

    for (unsigned i = 0; i < flat->logged[table][global]; i++)
        slot_clear(flat, table, (enum flat_kind)(log[i] >> KIND_SHIFT), log[i] & PAGE_MASK);
    flat->logged[table][global] = 0;
}

static void give_back(struct flat *flat)
{
    window_forget_all(flat->cpu->window);
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++)
        madvise(flat_region(flat, table), FLAT_CACHE, MADV_DONTNEED);
    memset(flat->touched_bits, 0, sizeof(flat->touched_bits));
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
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++) {
        log_clear(flat, table, false);
        if (global_too)
            log_clear(flat, table, true);
    }
    window_settle(cpu->window);
}

static void page_clear(struct flat *flat, uint32_t page)
{
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++)
        for (enum flat_kind kind = KIND_READ4; kind <= KIND_EXEC; kind++)
            slot_clear(flat, table, kind, page);
}

void flat_flush_page(struct cpu *cpu, uint32_t linear)
{
    struct flat *flat = cpu->flat;
    uint32_t region = linear >> 22;

    if (!flat)
        return;
    flat->generation++;
    page_clear(flat, linear >> PHYS_PAGE_SHIFT);
    window_settle(cpu->window);
    if (!(cpu->tlb_large[region >> 5] & (1u << (region & 31))))
        return;
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++) {
        for (unsigned global = 0; global < 2; global++) {
            const uint32_t *log = flat->log[table][global];

            for (unsigned i = 0; i < flat->logged[table][global]; i++)
                if ((log[i] & PAGE_MASK) >> 10 == region)
                    slot_clear(flat, table, (enum flat_kind)(log[i] >> KIND_SHIFT), log[i] & PAGE_MASK);
        }
    }
    window_settle(cpu->window);
}

/* ---- writable pages ---- */

/* Whether the page's entries for writing lead to `host`; they go when `clear` says so. */
static bool page_writes(struct flat *flat, unsigned table, uint32_t page, uintptr_t host, bool clear)
{
    bool found = false;

    for (enum flat_kind kind = KIND_WRITE4; kind <= KIND_WRITE1; kind += KIND_WRITE1 - KIND_WRITE4) {
        uintptr_t *slot = addend_slot(flat, table, kind, page);

        if (*slot && *slot + ((uintptr_t)page << PHYS_PAGE_SHIFT) == host) {
            found = true;
            if (clear) {
                *slot = 0;
                window_forget(flat->cpu->window, table, page);
            }
        }
    }
    return found;
}

static size_t ram_page_of(struct cpu *cpu, uintptr_t host)
{
    return (host - (uintptr_t)physmap_ram(cpu->board.mem)) >> PHYS_PAGE_SHIFT;
}

static void writer_note(struct cpu *cpu, unsigned table, uint32_t page, uintptr_t host)
{
    struct flat *flat = cpu->flat;
    size_t number = ram_page_of(cpu, host);
    uint32_t *writer;

    if (number >= flat->ram_pages)
        return;
    writer = &flat->writer[table][number];
    if (*writer == page + 1)
        return;
    if (*writer && (*writer == MANY || page_writes(flat, table, *writer - 1, host, false)))
        *writer = MANY;
    else
        *writer = page + 1;
}

void flat_protect(struct cpu *cpu, uintptr_t host)
{
    struct flat *flat = cpu->flat;
    size_t number;

    if (!flat)
        return;
    number = ram_page_of(cpu, host);
    if (number >= flat->ram_pages)
        return;
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++) {
        uint32_t writer = flat->writer[table][number];

        flat->writer[table][number] = 0;
        if (writer && writer != MANY)
            page_writes(flat, table, writer - 1, host, true);
        if (writer != MANY)
            continue;
        for (unsigned global = 0; global < 2; global++)
            for (unsigned i = 0; i < flat->logged[table][global]; i++)
                page_writes(flat, table, flat->log[table][global][i] & PAGE_MASK, host, true);
    }
    window_settle(cpu->window);
}

void flat_protect_all(struct cpu *cpu)
{
    struct flat *flat = cpu->flat;

    if (!flat)
        return;
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++) {
        for (unsigned global = 0; global < 2; global++) {
            for (unsigned i = 0; i < flat->logged[table][global]; i++) {
                uint32_t page = flat->log[table][global][i] & PAGE_MASK;

                slot_clear(flat, table, KIND_WRITE4, page);
                slot_clear(flat, table, KIND_WRITE1, page);
            }
        }
    }
    window_settle(cpu->window);
}

/* ---- filling ---- */

static void entry_note(struct cpu *cpu, unsigned table, bool global, enum flat_kind kind, uint32_t page)
{
    struct flat *flat = cpu->flat;
    uint32_t at = slot_offset(kind, page) >> PHYS_PAGE_SHIFT;
    uint64_t *bits = &flat->touched_bits[table][at >> 6];

    if (flat->logged[table][global] == LOG_SIZE) {
        for (unsigned both = 0; both < 2; both++)
            log_clear(flat, table, both);
        window_settle(cpu->window);
    }
    flat->log[table][global][flat->logged[table][global]++] = (uint32_t)kind << KIND_SHIFT | page;
    if (!(*bits >> (at & 63) & 1)) {
        *bits |= 1ull << (at & 63);
        flat->touched++;
    }
}

uintptr_t flat_peek(const struct cpu *cpu, unsigned table, uint32_t page, bool write)
{
    struct flat *flat = cpu->flat;
    uintptr_t addend = *addend_slot(flat, table, write ? KIND_WRITE4 : KIND_READ4, page);

    return addend ? addend : *addend_slot(flat, table, write ? KIND_WRITE1 : KIND_READ1, page);
}

uintptr_t flat_fill(struct cpu *cpu, uint32_t linear, unsigned size, bool write, bool dense)
{
    unsigned table = cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR;
    uint32_t page = linear >> PHYS_PAGE_SHIFT, tag = linear & ~(uint32_t)PHYS_PAGE_MASK;
    enum flat_kind kind = dense ? (write ? KIND_WRITE1 : KIND_READ1) : write ? KIND_WRITE4 : KIND_READ4;
    const struct tlb_entry *e;
    bool global;

    if (cpu->align_check || (linear & PHYS_PAGE_MASK) + size > PHYS_PAGE_SIZE)
        return 0;
    e = tlb_slot(cpu->tlb[table], linear);
    if ((write ? e->write : e->read) != tag) {
        e = mmu_try_fill(cpu, linear, write);
        if (!e || (write ? e->write : e->read) != tag)
            return 0;
    }
    global = mmu_entry_is_global(e);
    entry_note(cpu, table, global, kind, page);
    *addend_slot(cpu->flat, table, kind, page) = e->addend;
    if (write)
        writer_note(cpu, table, page, e->addend + tag);
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
    entry_note(cpu, table, mmu_entry_is_global(e), KIND_EXEC, page);
    *slot = number + 1;
    return true;
}
