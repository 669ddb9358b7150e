/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The windows: 4 GiB of host address space for each privilege, in which guest RAM is mapped where the guest
 * has it. Hot code finds its memory there without any look-up; the host's processor does the checks.
 *
 * An access to a page that is not mapped faults. The handler, on the machine thread in the middle of hot
 * code, knows the page by the address. Where the flat tables grant the access it maps the page, together with
 * neighbours that the tables have and that are neighbours in guest RAM as well, and the access is done again.
 * Where they do not (a device, a page with code, a guest's page fault) it goes on at the instruction's stub,
 * the same instruction translated for the flat tables: nothing of it has been done, so all is as if it had
 * been there from the start. An access that is refused time and again by a device or a page with code is
 * replaced by a jump there. A misaligned operand of SSE faults too, without an address: the stub finds out.
 *
 * A page is in a window only as long as the flat tables have a slot for it, and writable only as long as they
 * have one for writing: flat.c tells whatever it clears, and that is unmapped before the guest goes on.
 *
 * What is unmapped stays mapped without rights: taking these away and giving them back costs a quarter of
 * mapping anew, and processes that take turns come back to the same pages.
 *
 * Costs: a fault takes the host 2 us, mapping and unmapping a page some 5 to 10 more, which hot code earns
 * back in some ten thousand accesses. Where address spaces come and go quickly it does not. So each window
 * has an account: all of this is paid from a credit that grows by a third of the time that passes, which is
 * about what hot code saves, or by a twentieth while most of it is in vain: refused, or mapped and lost again
 * within some milliseconds. When it is used up the window rests, and hot blocks go on as flat ones. A rest is
 * twice as long as the last one when that had not helped for long. But what made it necessary may be over, a
 * process that is not even there any more: slots filled in the flat tables tell how many pages hot code would
 * have asked for, and when that would have been cheap for a while, the rest is over at once.
 *
 * Machine thread only; the handler is for synchronous faults of that thread.
 */
#include "emu/cpu/jit/window.h"
#include "emu/cpu/jit/flat.h"
#include "emu/cpu/jit/jit_internal.h"
#include "emu/cpu/mmu_internal.h"

#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE (1 << 1)
#endif

#define SPAN         (1ull << 32)
#define GUARD        (1ull << 20) /* accesses that begin near the end, and displacements that wrap */
#define RUN_MOST     64u          /* pages mapped at once */
#define RUN_AHEAD    16u          /* of those that were not touched yet */
#define RANGES       8u           /* of pages to be unmapped, that grow side by side */
#define SITES        (1u << 19)
#define TRAP_GP      13  /* the processor's exception, in REG_TRAPNO */
#define REFUSED_MOST 8   /* times that a site is refused before it is a jump */
#define MAPS_APART   32u /* as many are unmapped one by one when all go */
/* mappings: a part of what the kernel allows a process, which is 65530 mostly */
enum { MAPS_PART = 4, MAPS_LEAST = 1000, MAPS_MOST = 16000 };

#define MAPPED_SIZE (1u << 20)

enum { COST_FAULT = 4000, COST_MOST = 50000 }; /* ns: what the handler cannot see; more is another's doing */
/* ns; the part of the time that it grows by */
enum { CREDIT_MOST = 4000000, CREDIT_PART = 3, CREDIT_PART_IN_VAIN = 20 };
enum { REST_LEAST = 10000000, REST_MOST = 1280000000 }; /* ns */
enum { REMEMBERED = 512 /* pages and refusals */, IN_VAIN_LEAST = 64, AGE_SHIFT = 22 /* 4 ms */ };
enum { LASTING = 16000000 }; /* ns between rests: what was paid was worth it */
/* For how long little must have been filled, and what a filled slot would cost. */
enum { CALM_LEAST = 1000000, CALM_MOST = 32000000, COST_FILL = 3000 };

struct site {
    uint32_t start, end, stub;
    uint32_t refused;
};

struct window {
    struct cpu *cpu;
    const uint8_t *code;
    ptrdiff_t writable; /* what to add to get there */
    size_t code_size;
    int ram_fd;
    uint8_t *space;
    uint8_t *mapped[2]; /* by page: 0 or when, age_of() */
    unsigned pages[2];  /* that are */
    uint32_t *frame[2]; /* by page: 0, or the page of RAM there, with rights or without, + 1 */
    struct site *sites;
    unsigned site_count;
    unsigned maps, maps_most; /* no more mappings than `maps`; when it is too much all are dropped */
    struct range {            /* pages to be unmapped: [first, end) */
        unsigned table;
        uint32_t first, end;
    } pending[RANGES];
    unsigned pendings;
    bool has_gs, unlimited;
    bool off; /* for good: the host would not let pages go */
    struct account {
        uint64_t on; /* translated code loads it */
        bool rested; /* and nobody was told */
        int64_t credit, credited_at;
        int64_t began, rest, rests_until; /* since when it has been on; how long the last rest was */
        int64_t calm;                     /* so long, to end a rest */
        /* while it rests: when that was looked for last, what the thread had run and filled then */
        int64_t looked_at, run;
        uint64_t filled;
        uint64_t made,
            wasted; /* of late: pages mapped and accesses refused; the latter, and pages lost soon */
    } account[2];
    struct window_counts counts;
};

/* Whose translated code this thread runs, and what stood in the handler's place. */
static _Thread_local struct window *present;
static struct sigaction before;
static bool installed;

static int64_t read_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

/* What this thread has had of the processor: a system call. */
static int64_t run_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void *reserve(size_t size, int protection)
{
    void *p = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

uint8_t *window_base(const struct window *window, unsigned table)
{
    return window->space + GUARD + table * (SPAN + GUARD);
}

static uint64_t space_size(void)
{
    return 2 * (SPAN + GUARD) + GUARD;
}

const uint64_t *window_on(const struct window *window, unsigned table)
{
    return &window->account[table].on;
}

/* ---- the account ---- */

static bool is_in_vain(const struct account *a)
{
    return a->wasted * 4 > a->made * 3 + IN_VAIN_LEAST;
}

/* So many pages mapped, or accesses refused; what was long ago counts less. */
static void note_made(struct account *a, unsigned made)
{
    a->made += made;
    if (a->made < REMEMBERED)
        return;
    a->made /= 2;
    a->wasted /= 2;
}

/* By the thread's own time: on a busy host, others' does not count. */
static void earn(struct account *a, int64_t run)
{
    a->credit += (run - a->credited_at) / (is_in_vain(a) ? CREDIT_PART_IN_VAIN : CREDIT_PART);
    a->credited_at = run;
    if (a->credit > CREDIT_MOST)
        a->credit = CREDIT_MOST;
}

/* For what began at `since`, and `more` that cannot be seen. */
static void pay(struct account *a, int64_t since, int64_t more)
{
    int64_t took = now_ns() - since;

    a->credit -= MIN(took, COST_MOST) + more;
}

static void look(const struct window *window, struct account *a, int64_t now, int64_t run)
{
    a->looked_at = now;
    a->run = run;
    a->filled = window->cpu->jit->fills;
}

static void begin_rest(struct window *window, unsigned table, int64_t now, int64_t run)
{
    struct account *a = &window->account[table];
    bool lasted = run - a->began >= LASTING && !is_in_vain(a);

    a->rest = lasted ? REST_LEAST : CLAMP(a->rest * 2, REST_LEAST, REST_MOST);
    a->calm = lasted ? CALM_LEAST : CLAMP(a->calm * 2, CALM_LEAST, CALM_MOST);
    a->rests_until = now + a->rest;
    look(window, a, now, run);
    a->on = 0;
    a->rested = true;
    window->counts.rests++;
}

static void end_rest(struct account *a)
{
    int64_t run = run_ns();

    earn(a, run);
    a->credit = MAX(a->credit, CREDIT_MOST / 2);
    a->made = a->wasted = 0;
    a->began = run;
    a->on = 1;
}

/* Whether hot code would have had little to pay for since the last look; looks anew from time to time. */
static bool is_calm(const struct window *window, struct account *a, int64_t now)
{
    uint64_t filled = window->cpu->jit->fills - a->filled;
    int64_t run, passed;

    if (now - a->looked_at < a->calm)
        return false;
    run = run_ns();
    passed = run - a->run;
    if (passed < a->calm)
        return false;
    look(window, a, now, run);
    return filled * COST_FILL < (uint64_t)passed / CREDIT_PART;
}

bool window_take_rest(struct window *window, unsigned table)
{
    struct account *a = &window->account[table];
    bool rested = a->rested;

    a->rested = false;
    return rested;
}

void window_set_unlimited(struct window *window, bool unlimited)
{
    if (!window)
        return;
    if (window->off)
        return;
    window->unlimited = unlimited;
    for (unsigned table = 0; table < 2; table++) {
        window->account[table].credit = CREDIT_MOST;
        window->account[table].on = 1;
    }
}

void window_refresh(struct cpu *cpu)
{
    struct window *window = cpu->window;
    int64_t now = now_ns();

    for (unsigned table = 0; table < 2; table++) {
        struct account *a = &window->account[table];

        if (a->on || window->off)
            continue;
        if (now >= a->rests_until || is_calm(window, a, now))
            end_rest(a);
    }
}

/* ---- mapping ---- */

static bool is_mapped(const struct window *window, unsigned table, uint32_t page)
{
    return window->mapped[table][page];
}

/* 1 to 255, for a second or so */
static uint8_t age_of(int64_t now)
{
    return (uint8_t)((now >> AGE_SHIFT) % 255 + 1);
}

static uint8_t *page_at(const struct window *window, unsigned table, uint32_t page)
{
    return window_base(window, table) + ((uint64_t)page << PHYS_PAGE_SHIFT);
}

/* Without its pages hot code would go on with memory the guest took away. */
static void switch_off(struct window *window)
{
    g_warning("translated code goes on without windows, slower: the host has no memory for their page tables "
              "(see vm.max_map_count and the limits of its control group)");
    window->off = true;
    for (unsigned table = 0; table < 2; table++)
        begin_rest(window, table, now_ns(), run_ns());
    window->cpu->hot_go[0] = window->cpu->hot_go[1] = 0;
}

/* All at once splits no mapping, so it works where a part does not. */
static void drop_all(struct window *window, unsigned table)
{
    uint8_t *base = window_base(window, table);

    if (mmap(base, SPAN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
            MAP_FAILED &&
        mprotect(base, SPAN, PROT_NONE) && !window->off)
        switch_off(window);
    madvise(window->mapped[table], MAPPED_SIZE, MADV_DONTNEED);
    madvise(window->frame[table], MAPPED_SIZE * sizeof(uint32_t), MADV_DONTNEED);
    window->counts.unmapped += window->pages[table];
    window->pages[table] = 0;
}

/* The mappings that come of a change of rights in the middle of one. */
static unsigned count_splits(const struct window *window, unsigned table, uint32_t first, uint32_t end)
{
    const uint32_t *frame = window->frame[table];

    return (first && frame[first - 1]) + (end < MAPPED_SIZE && frame[end]);
}

static void unmap_range(struct window *window, const struct range *range)
{
    unsigned table = range->table;
    uint32_t first = range->first, end = range->end;
    int64_t since = now_ns();

    window->counts.unmapped += end - first;
    window->maps += count_splits(window, table, first, end);
    if (mprotect(page_at(window, table, first), (uint64_t)(end - first) << PHYS_PAGE_SHIFT, PROT_NONE))
        window_forget_all(window);
    pay(&window->account[table], since, 0);
}

void window_settle(struct window *window)
{
    if (!window)
        return;
    for (unsigned i = 0; i < window->pendings; i++)
        unmap_range(window, &window->pending[i]); /* it may drop all */
    window->pendings = 0;
}

void window_forget(struct window *window, unsigned table, uint32_t page)
{
    if (!window || !is_mapped(window, table, page))
        return;
    if ((unsigned)(age_of(now_ns()) + 255 - window->mapped[table][page]) % 255 < 2)
        window->account[table].wasted++;
    window->mapped[table][page] = 0;
    window->pages[table]--;
    for (unsigned i = 0; i < window->pendings; i++) {
        struct range *range = &window->pending[i];

        if (range->table == table && page == range->end) {
            range->end++;
            return;
        }
        if (range->table == table && page + 1 == range->first) {
            range->first--;
            return;
        }
    }
    if (window->pendings == RANGES)
        unmap_range(window, &window->pending[0]);
    if (window->pendings == RANGES) { /* it was not all dropped */
        memmove(&window->pending[0], &window->pending[1], (RANGES - 1) * sizeof(window->pending[0]));
        window->pendings--;
    }
    window->pending[window->pendings++] = (struct range){table, page, page + 1};
}

void window_forget_all(struct window *window)
{
    if (!window)
        return;
    for (unsigned table = 0; table < 2; table++)
        drop_all(window, table);
    window->maps = 0;
    window->pendings = 0;
}

void window_flush(struct window *window)
{
    int64_t since;

    if (!window || window->maps < MAPS_APART)
        return;
    since = now_ns();
    window_forget_all(window);
    pay(&window->account[TLB_SUPERVISOR], since, 0);
}

/* Whether the page may be mapped together with one that has the same addend. Of a large page the parts that
 * were written already are as good as touched: they have its bits, and memory of the host. */
static bool belongs(const struct window *window, unsigned table, uint32_t page, uintptr_t addend, bool write,
                    bool large)
{
    struct cpu *cpu = window->cpu;

    if (is_mapped(window, table, page))
        return false;
    if (flat_peek(cpu, table, page, false) == addend &&
        (flat_peek(cpu, table, page, true) == addend) == write)
        return true;
    return large && write && flat_fill_both(cpu, page << PHYS_PAGE_SHIFT) == addend;
}

/* The same where nothing has to be touched to be granted, without paging and in large pages: a decompressor's
 * output and a kernel's fresh memory are written from one end to the other. */
static bool belongs_untouched(const struct window *window, unsigned table, uint32_t page, uintptr_t addend,
                              bool write)
{
    struct cpu *cpu = window->cpu;
    uint32_t linear = page << PHYS_PAGE_SHIFT;

    if (is_mapped(window, table, page) && (!write || flat_peek(cpu, table, page, true)))
        return false;
    return flat_fill(cpu, linear, 1, false, true) == addend &&
           (write ? flat_fill(cpu, linear, 1, true, true) == addend : !flat_peek(cpu, table, page, true));
}

/* Filling a slot may have cleared all the others. */
static bool still_granted(const struct window *window, unsigned table, uint32_t first, uint32_t end,
                          uintptr_t addend, bool write)
{
    for (uint32_t page = first; page < end; page++)
        if (flat_peek(window->cpu, table, page, false) != addend ||
            (write && flat_peek(window->cpu, table, page, true) != addend))
            return false;
    return true;
}

/* A kernel's own pages are global; those of processes it touches here and there, and soon they are others:
 * the instructions that do that are better off without the window. */
static bool is_lasting(const struct cpu *cpu, unsigned table, uint32_t linear)
{
    return table == TLB_USER || !(cpu->cr0 & CR0_PG) || !(cpu->cr4 & CR4_PGE) ||
           mmu_page_is_global(cpu, linear);
}

/* The pages from `offset` of RAM on, where they are already, without rights, or from anew. */
static bool give_rights(struct window *window, unsigned table, uint32_t first, uint32_t end, uint64_t offset,
                        bool writable)
{
    uint32_t *frame = window->frame[table], number = (uint32_t)(offset >> PHYS_PAGE_SHIFT) + 1;
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    uint8_t *start = page_at(window, table, first);
    size_t size = (size_t)(end - first) << PHYS_PAGE_SHIFT;
    uint32_t same = 0;

    window->maps += count_splits(window, table, first, end);
    while (same < end - first && frame[first + same] == number + same)
        same++;
    if (same == end - first && !mprotect(start, size, protection))
        return true;
    window->maps++;
    if (mmap(start, size, protection, MAP_SHARED | MAP_FIXED | (end - first > 1 ? MAP_POPULATE : 0),
             window->ram_fd, (off_t)offset) == MAP_FAILED)
        return false;
    for (uint32_t i = 0; i < end - first; i++)
        frame[first + i] = number + i;
    return true;
}

/* The access is plain, and its page is in the window now. */
static bool map_page(struct window *window, unsigned table, uint32_t linear, bool write)
{
    struct cpu *cpu = window->cpu;
    uint32_t page = linear >> PHYS_PAGE_SHIFT, first = page, end = page + 1, low, high;
    uintptr_t addend = flat_fill(cpu, linear, 1, write, true);
    uint64_t offset;
    bool writable, large;
    uint32_t ahead;

    if (!addend || (write && flat_fill(cpu, linear, 1, false, true) != addend))
        return false;
    if (!write)
        flat_fill_both(cpu, linear);
    offset = addend + ((uint64_t)page << PHYS_PAGE_SHIFT) - (uintptr_t)physmap_ram(cpu->board.mem);
    if (offset >= physmap_ram_size(cpu->board.mem) || !is_lasting(cpu, table, linear))
        return false;
    writable = flat_peek(cpu, table, page, true) == addend;
    large = mmu_page_is_large(cpu, linear);
    low = page & ~(RUN_MOST - 1);
    high = low + RUN_MOST;
    while (end < high && belongs(window, table, end, addend, writable, large))
        end++;
    ahead = !(cpu->cr0 & CR0_PG) || (large && write) ? RUN_AHEAD : 1;
    high = MIN(high, (page | (ahead - 1)) + 1);
    while (end < high && belongs_untouched(window, table, end, addend, writable))
        end++;
    while (first > low && offset >= PHYS_PAGE_SIZE &&
           belongs(window, table, first - 1, addend, writable, large)) {
        first--;
        offset -= PHYS_PAGE_SIZE;
    }
    if (offset + ((uint64_t)(end - first) << PHYS_PAGE_SHIFT) > physmap_ram_size(cpu->board.mem) ||
        !still_granted(window, table, first, end, addend, writable))
        return false;
    if (!physmap_ram_unite(cpu->board.mem, offset, (uint64_t)(end - first) << PHYS_PAGE_SHIFT))
        return false;
    if (window->maps >= window->maps_most)
        window_forget_all(window);
    if (!give_rights(window, table, first, end, offset, writable))
        return false;
    for (uint32_t i = first; i < end; i++)
        window->pages[table] += !window->mapped[table][i];
    memset(window->mapped[table] + first, age_of(now_ns()), end - first);
    note_made(&window->account[table], end - first);
    window->counts.mapped += end - first;
    return true;
}

/* ---- faults ---- */

static struct site *site_of(const struct window *window, uint32_t at)
{
    unsigned low = 0, high = window->site_count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (at < window->sites[middle].start)
            high = middle;
        else if (at >= window->sites[middle].end)
            low = middle + 1;
        else
            return &window->sites[middle];
    }
    return NULL;
}

/* Refused again and again, by a device or a page with code on it: from now on a jump to the stub. */
static void note_refusal(struct window *window, struct site *site)
{
    uint8_t *start = (uint8_t *)(uintptr_t)window->code + window->writable + site->start;
    int32_t distance = (int32_t)(site->stub - (site->start + WINDOW_SITE_LEAST));

    if (++site->refused < REFUSED_MOST)
        return;
    start[0] = 0xe9;
    memcpy(start + 1, &distance, sizeof(distance));
    window->counts.patched++;
}

static bool handle(struct window *window, uintptr_t address, mcontext_t *context)
{
    uintptr_t at = (uintptr_t)context->gregs[REG_RIP] - (uintptr_t)window->code;
    uint64_t offset = address - (uintptr_t)window->space;
    bool alignment = context->gregs[REG_TRAPNO] == TRAP_GP; /* of an SSE operand; there is no address */
    struct site *site;

    if (at >= window->code_size || (!alignment && offset >= space_size()))
        return false;
    site = site_of(window, (uint32_t)at);
    if (!site)
        return false;
    window->counts.faults++;
    for (unsigned table = 0; table < 2 && !alignment; table++) {
        struct account *a = &window->account[table];
        uint64_t linear = address - (uintptr_t)window_base(window, table);
        int64_t now = now_ns(), run;
        bool mapped = false, write = context->gregs[REG_ERR] & 2;

        if (linear >= SPAN)
            continue;
        run = run_ns();
        earn(a, run);
        if (a->on && a->credit < 0 && !window->unlimited)
            begin_rest(window, table, now, run);
        if (!a->on)
            window->cpu->hot_go[table] = 0;
        else
            mapped = map_page(window, table, (uint32_t)linear, write);
        pay(a, now, COST_FAULT);
        if (mapped)
            return true;
        a->wasted++;
        note_made(a, 1);
        if (a->on && mmu_has_page(window->cpu, (uint32_t)linear, write))
            note_refusal(window, site);
    }
    context->gregs[REG_RIP] = (greg_t)(window->code + site->stub);
    return true;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    if (present && handle(present, (uintptr_t)info->si_addr, &((ucontext_t *)context)->uc_mcontext))
        return;
    if ((before.sa_flags & SA_SIGINFO) && before.sa_sigaction)
        before.sa_sigaction(number, info, context);
    else
        sigaction(number, &before, NULL); /* and it faults again */
}

bool window_has_gs(void)
{
    return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}

void window_enter(struct window *window, unsigned table)
{
    void *base = window_base(window, table);

    if (present == window && window->cpu->jit_window == base)
        return;
    present = window;
    window->cpu->jit_window = base;
    if (window->has_gs)
        __asm__ volatile("wrgsbase %0" : : "r"(base));
}

/* ---- sites ---- */

bool window_site_add(struct window *window, uint32_t start, uint32_t end, uint32_t stub)
{
    if (window->site_count == SITES)
        return false;
    window->sites[window->site_count++] = (struct site){start, end, stub, 0};
    return true;
}

void window_sites_clear(struct window *window)
{
    if (window)
        window->site_count = 0;
}

/* ---- making ---- */

static unsigned most_mappings(void)
{
    g_autofree char *text = NULL;
    guint64 most = 0;

    if (g_file_get_contents("/proc/sys/vm/max_map_count", &text, NULL, NULL))
        most = g_ascii_strtoull(text, NULL, 10);
    return (unsigned)CLAMP(most / MAPS_PART, MAPS_LEAST, MAPS_MOST);
}

void window_set_most(struct window *window, unsigned mappings)
{
    window->maps_most = mappings;
}

struct window *window_new(struct cpu *cpu, const uint8_t *code, ptrdiff_t writable, size_t size)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct window *window;

    if (physmap_ram_fd(cpu->board.mem) < 0)
        return NULL;
    window = g_new0(struct window, 1);
    window->cpu = cpu;
    window->code = code;
    window->writable = writable;
    window->code_size = size;
    window->ram_fd = physmap_ram_fd(cpu->board.mem);
    window->space = reserve(space_size(), PROT_NONE);
    window->sites = reserve(SITES * sizeof(struct site), PROT_READ | PROT_WRITE);
    for (unsigned table = 0; table < 2; table++) {
        window->mapped[table] = reserve(MAPPED_SIZE, PROT_READ | PROT_WRITE);
        window->frame[table] = reserve(MAPPED_SIZE * sizeof(uint32_t), PROT_READ | PROT_WRITE);
    }
    window->has_gs = window_has_gs();
    window->maps_most = most_mappings();
    for (unsigned table = 0; table < 2; table++)
        window->account[table] = (struct account){.on = 1, .credit = CREDIT_MOST, .credited_at = run_ns()};
    if (!window->space || !window->sites || !window->mapped[0] || !window->mapped[1] || !window->frame[0] ||
        !window->frame[1] || (!installed && sigaction(SIGSEGV, &action, &before))) {
        window_free(window);
        return NULL;
    }
    installed = true;
    madvise(window->sites, SITES * sizeof(struct site), MADV_NOHUGEPAGE);
    return window;
}

static void give(void *p, size_t size)
{
    if (p)
        munmap(p, size);
}

void window_free(struct window *window)
{
    if (!window)
        return;
    if (present == window)
        present = NULL;
    give(window->space, space_size());
    give(window->sites, SITES * sizeof(struct site));
    for (unsigned table = 0; table < 2; table++) {
        give(window->mapped[table], MAPPED_SIZE);
        give(window->frame[table], MAPPED_SIZE * sizeof(uint32_t));
    }
    g_free(window);
}

struct window_counts window_counts(const struct window *window)
{
    return window ? window->counts : (struct window_counts){0};
}
