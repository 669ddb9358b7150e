/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The translator's code memory, and how translated code is entered and linked.
 *
 * Code memory is one memory file mapped twice, writable and executable, so that no page is ever both. It
 * fills from the start; what is out of line fills its second half, so that what runs lies close together: a
 * kernel's code is more than the caches hold. When it is full, all blocks are dropped, decoded and translated
 * (block_cache_flush()). The executable mapping is below 2 GiB, so that its addresses fit four bytes.
 *
 * A translation belongs to one decoded block, and block.c's care for overwritten code is its care too:
 * jit_block_dropped() takes all links back that lead to it and its places in the caches of indirect branches.
 * The code itself stays until the memory is used anew, since it may be running: whatever drops a block sets
 * block_stale, and translated code looks at that after each call of an interpreter function, the only things
 * that can drop blocks while it runs.
 *
 * Translated code is position-independent in EIP: cpu->jit_page is the EIP of the start of its page, so that
 * processes share the translation of a library whatever its address. Links within a page need no check: the
 * mapping that led to the block leads to its neighbour. Links between pages look which RAM page is mapped at
 * their target now (FLAT_EXEC), and indirect branches do the same with a cache by EIP; so neither is undone
 * when address spaces change.
 */
#include "emu/cpu/jit/debug.h"
#include "emu/cpu/jit/fp.h"
#include "emu/cpu/jit/jit_internal.h"
#include "emu/cpu/jit/window.h"

#include <cpuid.h>
#include <errno.h>
#include <gio/gio.h>
#include <sys/mman.h>
#include <unistd.h>

#define THRESHOLD 12   /* executions before a block is translated */
#define HEAT      3000 /* entries from behind before it is translated for the window */
#define ASKED                                                                                                \
    32 /* how often hot code is left for a block before that is hot as well: the rare is not worth it */

/* Translated code's stack: 64 KiB, which begin where the low 16 bits of an address are 0, so that the end is
 * found without a compare; below it room for signal handlers and what C is called without changing stacks. */
#define STACK_SIZE  (64u << 10)
#define STACK_BELOW (64u << 10)

void *jit_take(struct jit *jit, size_t size)
{
    void *p = jit->data + jit->data_used;

    jit->data_used += (size + 15) & ~(size_t)15;
    return p;
}

static bool host_fits(GError **error)
{
    unsigned a, b, c, d;

    if (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & 1)) /* LAHF and SAHF in 64-bit mode */
        return true;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                        "the host processor lacks LAHF in 64-bit mode");
    return false;
}

static bool map_code(struct jit *jit, GError **error)
{
    int fd = memfd_create("netlab-emu code", MFD_CLOEXEC);
    void *rw = MAP_FAILED, *rx = MAP_FAILED;
    const char *step = fd < 0 ? "memfd_create" : "ftruncate of a memory file";
    int saved;

    if (fd >= 0 && ftruncate(fd, jit->code_size) == 0) {
        step = "mmap of a memory file";
        rw = mmap(NULL, jit->code_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (rw != MAP_FAILED)
            rx = mmap(NULL, jit->code_size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_32BIT, fd, 0);
    }
    saved = errno;
    if (fd >= 0)
        close(fd);
    if (rx == MAP_FAILED) {
        if (rw != MAP_FAILED)
            munmap(rw, jit->code_size);
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(saved),
                    "no executable memory for translated code: %s: %s", step, g_strerror(saved));
        return false;
    }
    jit->code = rw;
    jit->exec = (uint8_t *)rx - (uint8_t *)rw;
    return true;
}

/* BMI2, and whether its pext is fast: AMD's processors before family 19h take a microprogram for it. */
static enum jit_index best_index(void)
{
    unsigned a, b, c, d, family;

    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_BMI2))
        return JIT_INDEX_SSE;
    __cpuid(0, a, b, c, d);
    if (b != signature_AMD_ebx && b != 0x6f677948 /* HygonGenuine */)
        return JIT_INDEX_PEXT;
    __cpuid(1, a, b, c, d);
    family = (a >> 8 & 15) + (a >> 20 & 255);
    return family < 0x19 ? JIT_INDEX_SHIFT : JIT_INDEX_PEXT;
}

static bool map_stacks(struct jit *jit)
{
    size_t each = STACK_BELOW + STACK_SIZE;
    uintptr_t end;

    jit->stack = mmap(NULL, 2 * each + STACK_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (jit->stack == MAP_FAILED)
        jit->stack = NULL;
    if (!jit->stack)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        end = ((uintptr_t)jit->stack + (i + 1) * each + STACK_SIZE) & ~(uintptr_t)(STACK_SIZE - 1);
        jit->stack_top[i] = (uint8_t *)end - 16;
    }
    return true;
}

static bool map_tables(struct jit *jit, struct cpu *cpu, GError **error)
{
    /* below 2 GiB: translated code counts in it */
    void *data = mmap(NULL, JIT_DATA_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_32BIT, -1, 0);

    jit->data = data == MAP_FAILED ? NULL : data;
    cpu->flat = flat_new(cpu);
    if (jit->data && cpu->flat && map_stacks(jit))
        return true;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                        "no address space for the translator's tables (limited by ulimit -v?)");
    return false;
}

static void begin_memory(struct jit *jit)
{
    jit->at = jit->start;
    jit->cold = jit->code + jit_cold(jit);
    jit->data_used = 16; /* a link at 0 would be none */
    jit->pending = NULL;
}

/* The pieces, and what they need in struct cpu. */
static void begin(struct jit *jit, struct cpu *cpu)
{
    cpu->jit_index[JIT_MASK_2] = 0xfffff001;
    cpu->jit_index[JIT_MASK_8] = 0xff8;
    cpu->jit_index[JIT_MASK_10] = 0xff0;
    cpu->jit_index[JIT_MASK_16] = 0xff0;
    cpu->jit_index[JIT_MASK_64] = 0xfc0;
    jit->now = flat_generation_place(cpu->flat);
    jit_forget_returns(jit, cpu);
    fp_start(cpu);
    jit->at = jit->code;
    jit_emit_runtime(jit);
    jit->start = jit->at;
    begin_memory(jit);
}

struct jit *jit_new(struct cpu *cpu, GError **error)
{
    struct jit *jit;

    if (!host_fits(error))
        return NULL;
    jit = g_new0(struct jit, 1);
    jit->code_size = cpu->code_size ? cpu->code_size : JIT_CODE_SIZE;
    if (!map_code(jit, error) || !map_tables(jit, cpu, error)) {
        jit_free(cpu, jit);
        return NULL;
    }
    jit->threshold = THRESHOLD;
    jit->heat = HEAT;
    jit->asked = ASKED;
    jit->index = best_index();
    jit->quick_movsb = jit_movsb_is_quick();
    jit->insns = cpu->blocks->pool;
    cpu->window = jit->window = window_new(cpu, jit_executable(jit, jit->code), -jit->exec, jit->code_size);
    jit->gs = window_has_gs();
    begin(jit, cpu);
    cpu->jit = jit;
    block_cache_flush(cpu); /* blocks made before know nothing of translations */
    return jit;
}

void jit_free(struct cpu *cpu, struct jit *jit)
{
    if (!jit)
        return;
    jit_debug_free(jit->debug);
    if (jit->code) {
        munmap(jit->code + jit->exec, jit->code_size);
        munmap(jit->code, jit->code_size);
    }
    if (jit->data)
        munmap(jit->data, JIT_DATA_SIZE);
    if (jit->stack)
        munmap(jit->stack, STACK_BELOW + 2 * STACK_SIZE);
    window_free(jit->window);
    cpu->window = NULL;
    flat_free(cpu->flat);
    cpu->flat = NULL;
    g_free(jit);
}

bool jit_set_index(struct cpu *cpu, const char *name)
{
    static const char *const names[] = {
        [JIT_INDEX_PEXT] = "pext", [JIT_INDEX_SHIFT] = "shift", [JIT_INDEX_SSE] = "sse"};

    for (unsigned i = best_index(); i < G_N_ELEMENTS(names); i++) {
        if (g_str_equal(names[i], name)) {
            cpu->jit->index = (enum jit_index)i;
            cpu->jit->quick_movsb &= i == best_index(); /* as the processors meant have it */
            begin(cpu->jit, cpu);
            block_cache_flush(cpu);
            return true;
        }
    }
    return false;
}

void jit_set_threshold(struct cpu *cpu, unsigned executions)
{
    cpu->jit->threshold = executions;
}

void jit_set_heat(struct cpu *cpu, unsigned entries)
{
    cpu->jit->heat = entries;
    cpu->jit->asked = MIN(entries / 64, ASKED);
    window_set_unlimited(cpu->jit->window, !entries);
}

void jit_set_linking(struct cpu *cpu, bool linking)
{
    cpu->jit->unlinked = !linking;
}

void jit_set_debug(struct cpu *cpu, struct jit_debug *debug)
{
    struct jit *jit = cpu->jit;

    jit_debug_free(jit->debug);
    jit->debug = debug;
    if (debug)
        jit_debug_shared(debug, "translator:shared", jit_executable(jit, jit->code),
                         (size_t)(jit->start - jit->code));
}

struct jit_debug *jit_get_debug(const struct cpu *cpu)
{
    return cpu->jit ? cpu->jit->debug : NULL;
}

void jit_flush(struct cpu *cpu)
{
    struct jit *jit = cpu->jit;

    if (!jit)
        return;
    begin_memory(jit);
    window_sites_clear(jit->window);
    jit->hot_blocks = NULL;
    for (unsigned table = 0; table < TLB_TABLES; table++)
        madvise((uint8_t *)flat_region(cpu->flat, table) + FLAT_CACHE, FLAT_SIZE - FLAT_CACHE, MADV_DONTNEED);
    jit->generation--; /* no return address is good any more */
    jit->flushes++;
}

void jit_give_back(struct cpu *cpu)
{
    struct jit *jit = cpu->jit;
    uint8_t *from;

    if (!jit)
        return;
    from = jit->code + (((size_t)(jit->start - jit->code) + PHYS_PAGE_MASK) & ~(size_t)PHYS_PAGE_MASK);
    madvise(from, (size_t)(jit->code + jit->code_size - from), MADV_REMOVE);
    madvise(jit->data, JIT_DATA_SIZE, MADV_DONTNEED);
}

/* ---- links ---- */

static void fill_at(struct jit *jit, uint32_t site, const uint8_t *target)
{
    emit_fill(jit->code + site, target);
}

static void expect_page(struct jit *jit, const struct jit_link *link, uint32_t page)
{
    uint32_t minus = 0u - page;

    memcpy(jit->code + link->expect, &minus, 4);
}

static const uint8_t *link_entry(const struct jit_link *link, const struct jit_block *to)
{
    bool live = !(to->fp_wanted & ~link->fp_live);

    const struct jit_entries *e = &to->entry;

    return link->backward ? (live ? e->live : e->polling) : live ? e->live_quiet : e->quiet;
}

static void link_make(struct jit *jit, struct jit_link *link, struct jit_block *to, uint32_t ram_page)
{
    const uint8_t *target = link_entry(link, to);

    if (jit->unlinked || link->to || (link->expect && ram_page == BLOCK_NO_PAGE))
        return;
    link->to = to;
    link->next_in = to->incoming;
    to->incoming = link;
    if (link->expect) {
        fill_at(jit, link->hit, target);
        fill_at(jit, link->miss, jit->look_up);
        expect_page(jit, link, ram_page + 1);
    } else {
        fill_at(jit, link->site, target);
    }
    jit->links++;
}

static void link_undo(struct jit *jit, struct jit_link *link)
{
    if (link->expect) {
        expect_page(jit, link, JIT_EXPECT_NONE);
        fill_at(jit, link->miss, jit->leave_eip);
    } else {
        fill_at(jit, link->site, jit->code + link->back);
    }
    link->to = NULL;
}

static struct flat_cached *cache_slot(struct cpu *cpu, unsigned table, uint32_t eip)
{
    uint8_t *region = flat_region(cpu->flat, table);

    return (struct flat_cached *)(void *)(region + FLAT_CACHE) + (eip & 0xffff);
}

static unsigned present_table(const struct cpu *cpu)
{
    return cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR;
}

static uint32_t entry_address(const struct jit *jit, const struct jit_block *t)
{
    return (uint32_t)(uintptr_t)jit_executable(jit, t->entry.indirect);
}

/* Indirect branches to EIP find it from now on. */
static void cache_enter(struct cpu *cpu, struct jit_block *t, uint32_t ram_page)
{
    unsigned table = present_table(cpu);

    if (ram_page == BLOCK_NO_PAGE || cpu->align_check || cpu->jit->unlinked)
        return;
    flat_fill_exec(cpu, cpu->eip, ram_page);
    *cache_slot(cpu, table, cpu->eip) =
        (struct flat_cached){.page = ~(ram_page + 1), .code = entry_address(cpu->jit, t)};
    t->cached[table] |= (uint16_t)(1u << (cpu->eip >> 12 & 15));
}

static void cache_forget(struct cpu *cpu, struct jit_block *t)
{
    uint32_t code = entry_address(cpu->jit, t), offset = t->host & PHYS_PAGE_MASK;

    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++) {
        for (unsigned bits = t->cached[table]; bits; bits &= bits - 1) {
            struct flat_cached *slot = cache_slot(cpu, table, (unsigned)__builtin_ctz(bits) << 12 | offset);

            if (slot->code == code)
                *slot = (struct flat_cached){0};
        }
    }
}

void jit_block_dropped(struct cpu *cpu, struct block *b)
{
    struct jit_block *t = b->translation;

    if (!t)
        return;
    b->translation = NULL;
    for (struct jit_link *link = t->incoming; link; link = link->next_in)
        link_undo(cpu->jit, link);
    t->incoming = NULL;
    cache_forget(cpu, t);
    cpu->block_stale = true;
}

void jit_set_icount(struct jit *jit)
{
    jit->icount = true;
    jit->heat = UINT32_MAX;
}

/* ---- entering ---- */

static bool block_translate(struct cpu *cpu, struct block *b)
{
    struct jit *jit = cpu->jit;
    uint8_t *start = jit->at, *cold = jit->cold;

    if (!jit_has_room(jit, JIT_BLOCK_ROOM)) {
        block_cache_flush(cpu); /* sets block_stale: the run loop finds its block anew */
        return false;
    }
    b->translation = jit_translate(jit, b);
    jit->translated++;
    if (jit->debug)
        jit_debug_translated(jit->debug, b, cpu->eip,
                             (struct jit_span){jit_executable(jit, start), (size_t)(jit->at - start)},
                             (struct jit_span){jit_executable(jit, cold), (size_t)(jit->cold - cold)});
    return true;
}

/* All that leads to the block leads to its hot code from now on, or to its flat code again. */
static void change_entries(struct cpu *cpu, struct jit_block *t)
{
    struct jit_entries entry = t->other;

    cache_forget(cpu, t);
    t->other = t->entry;
    t->entry = entry;
    t->hot = !t->hot;
    for (struct jit_link *link = t->incoming; link; link = link->next_in)
        fill_at(cpu->jit, link->expect ? link->hit : link->site, link_entry(link, t));
}

/* False: not now, for the window rests. */
static bool make_hot(struct cpu *cpu, struct block *b)
{
    struct jit *jit = cpu->jit;
    struct jit_block *t = b->translation;
    uint8_t *start = jit->at, *cold = jit->cold;
    unsigned window = cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR;

    t->heat = MAX(jit->heat, 2); /* with 1 it would be left at once, and again */
    if (!(b->mode & BLOCK_MODE_FLAT) || !jit->window || jit->unlinked || jit->icount ||
        !jit_has_room(jit, JIT_HOT_ROOM))
        return true;
    window_refresh(cpu);
    if (!*window_on(jit->window, window))
        return false;
    if (t->hot)
        return true;
    if (t->other.polling && t->window != window) /* its hot code asks for the other one */
        return true;
    if (!t->other.polling) {
        t->window = (uint8_t)window;
        if (!jit_translate_hot(jit, b))
            return true;
        jit->hot++;
        t->next_hot = jit->hot_blocks;
        jit->hot_blocks = t;
        if (jit->debug)
            jit_debug_translated(jit->debug, b, cpu->eip,
                                 (struct jit_span){jit_executable(jit, start), (size_t)(jit->at - start)},
                                 (struct jit_span){jit_executable(jit, cold), (size_t)(jit->cold - cold)});
    }
    change_entries(cpu, t);
    return true;
}

/* Hot code leaves for this block from now on, and asks for it to be hot as well: a link would stay. */
static void undo_hot_links(struct jit *jit, struct jit_block *t)
{
    struct jit_link **at = &t->incoming;

    while (*at) {
        struct jit_link *link = *at;

        if (link->hot) {
            *at = link->next_in;
            link_undo(jit, link);
        } else {
            at = &link->next_in;
        }
    }
}

/* A window rests: its blocks are flat again, until they are hot anew. */
static void cool_down(struct cpu *cpu)
{
    struct jit *jit = cpu->jit;

    for (unsigned window = 0; window < 2; window++) {
        if (!window_take_rest(jit->window, window))
            continue;
        for (struct jit_block *t = jit->hot_blocks; t; t = t->next_hot) {
            if (!t->hot || t->window != window)
                continue;
            change_entries(cpu, t);
            undo_hot_links(jit, t);
            t->heat = jit->heat;
            t->asked = 0;
        }
    }
}

static uint32_t page_base(const struct cpu *cpu, const struct jit_block *t)
{
    return cpu->eip - (uint32_t)(t->host & PHYS_PAGE_MASK);
}

/* Whether all of the page lies within CS, and EIP on it within 16 bits in 16-bit code: then branches on the
 * page need no check. */
static bool page_fits_segment(const struct cpu *cpu, const struct block *b)
{
    uint32_t offset = b->host & PHYS_PAGE_MASK, max = cpu->seg[SEG_CS].max;
    uint64_t last = (uint64_t)cpu->eip - offset + PHYS_PAGE_MASK;

    if (b->host2 || cpu->eip < offset)
        return false;
    return last <= max && (last <= 0xffff || (b->mode & BLOCK_MODE_CODE32));
}

bool jit_enter(struct cpu *cpu, struct block *b)
{
    struct jit *jit = cpu->jit;
    struct jit_link *link = jit->pending;
    struct jit_block *t = b->translation;
    uint32_t (*enter)(struct cpu *, const uint8_t *), left;

    jit->pending = NULL;
    if (!(b->mode & BLOCK_MODE_FLAT) && !page_fits_segment(cpu, b))
        return false;
    if (cpu->fp_denied) {
        cpu->fp_denied = false;
        return false;
    }
    if (!t) {
        if (b->heat < jit->threshold) {
            b->heat++;
            return false;
        }
        if (!block_translate(cpu, b))
            return true;
        t = b->translation;
    }
    /* Or else it would be left at once. */
    if (b->host2 &&
        (b->page[1] == BLOCK_NO_PAGE || !flat_fill_exec(cpu, (cpu->eip | PHYS_PAGE_MASK) + 1, b->page[1])))
        return false;
    if (jit->window)
        cool_down(cpu);
    if (!(link && link->hot && !t->hot)) {
        if (!t->heat)
            make_hot(cpu, b);
    } else if (t->asked < jit->asked && (b->mode & BLOCK_MODE_FLAT)) {
        t->asked++;
        link = NULL;
    } else if (!make_hot(cpu, b)) {
        link = NULL;
    }
    if (link && cpu->eip == jit->pending_eip && link->mode == b->mode &&
        (link->expect || link->page == (t->host & ~(uintptr_t)PHYS_PAGE_MASK)))
        link_make(jit, link, t, b->page[0]);
    if (b->mode & BLOCK_MODE_FLAT)
        cache_enter(cpu, t, b->page[0]);
    jit->entered++;
    jit_prepare(cpu, b->mode & BLOCK_MODE_FLAT);
    jit_forget_returns(jit, cpu);
    cpu->jit_page = page_base(cpu, t);
    enter = (uint32_t(*)(struct cpu *, const uint8_t *))(uintptr_t)jit_executable(jit, jit->enter);
    left = enter(cpu, jit_executable(jit, t->entry.polling));
    jit_status_back(cpu);
    if (left && !cpu->block_stale) {
        jit->pending = (struct jit_link *)(void *)(jit->data + left);
        jit->pending_eip = cpu->eip;
    }
    return true;
}

/* The code at EIP, or NULL. In another address space nobody may have been on its page yet. */
const uint8_t *jit_find_eip(struct cpu *cpu)
{
    unsigned table = present_table(cpu);
    uint32_t page = cpu->eip >> PHYS_PAGE_SHIFT;
    const uint32_t *exec =
        (const uint32_t *)(const void *)((uint8_t *)flat_region(cpu->flat, table) + FLAT_EXEC);
    const struct flat_cached *slot = cache_slot(cpu, table, cpu->eip);

    if (slot->page != ~exec[page]) {
        if (!slot->page || cpu->jit->unlinked || exec[page] || !flat_find_exec(cpu, cpu->eip) ||
            slot->page != ~exec[page])
            return NULL;
    }
    cpu->jit->continued++;
    return (const uint8_t *)(uintptr_t)slot->code;
}

/* The same after an instruction that may have changed anything; NULL: back to the run loop. */
const uint8_t *jit_continue(struct cpu *cpu)
{
    const uint8_t *code;

    if (cpu->block_stale || cpu->halted || cpu->events || cpu->align_check ||
        __atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED) || !(block_mode(cpu) & BLOCK_MODE_FLAT))
        return NULL;
    code = jit_find_eip(cpu);
    if (code)
        jit_prepare(cpu, true);
    return code;
}
