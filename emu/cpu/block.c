/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The decoded-block cache: straight runs of instructions, decoded once.
 *
 * A block is up to BLOCK_MAX_INSNS instructions from one page, ending at a control transfer, at anything that
 * changes what decoding depends on, or before the page's end. An instruction that crosses into the next page
 * is a block of its own, which also names the host address of that page and is entered only while the mapping
 * still leads there.
 *
 * Blocks are keyed by the host address of their first byte and by mode, so by physical memory: address spaces
 * share them and a change of mapping invalidates nothing. What leads from EIP to the host address is the exec
 * tag of the TLB, looked at for each block that is not reached by a link. Links stay within one page: the
 * mapping that led to the block leads to its neighbour too.
 *
 * Memory: blocks lie one after the other in a pool and are never freed singly; when the pool is full
 * everything is dropped. How large it is follows from how much of what was dropped is made again. A dropped
 * block has host = 0, so that links to it fail their test; its bytes stay until the pool is used anew, since
 * the running block may be among the dropped.
 *
 * Self-modifying code: a RAM page with code carries PHYS_PAGE_CODE and has no write tag in any TLB, so stores
 * and DMA come to block_invalidate(). It drops exactly the blocks whose bytes change. Data beside code cost a
 * look into a map of the page's 64-byte lines, then, when that misleads too often, of its bytes. A page that
 * is written again and again where no code is loses its blocks, so that its stores are fast again (code pages
 * that were given back and became data); each time that turns out wrong, it takes longer until it is tried
 * again.
 *
 * Machine thread only. SDM vol. 3, 11.6 (self-modifying code).
 */
#include "emu/cpu/block.h"
#include "emu/cpu/access.h"
#include "emu/cpu/debugger.h"
#include "emu/cpu/jit/jit.h"
#include "emu/cpu/lockstep.h"

#include <sys/mman.h>

#define POOL_SIZE       (32u << 20)
#define POOL_FIRST      (12u << 20) /* how much of it is used at first */
#define WORTHWHILE      (2u << 20)  /* what is given back when there is so much */
#define POOL_LARGEST    4096u       /* what one allocation may need */
#define LINE_SHIFT      6
#define FALSE_LINE_HITS 4   /* then a map of bytes is made */
#define PATIENCE        256 /* quiet stores before a page's blocks are given up, at first */
#define PATIENCE_MAX    (1u << 20)

struct code_page {
    struct block *blocks; /* by page_next */
    uint64_t lines;       /* bit n: bytes [64n, 64n + 64) hold code */
    uint64_t *bytes;      /* the same by byte, or NULL; in the pool */
    uint32_t next_used;   /* chain from first_used */
    uint32_t false_hits;  /* stores to lines with code that hit no code */
    uint32_t quiet, patience;
    bool used; /* in the chain */
};
_Static_assert(PHYS_PAGE_SIZE >> LINE_SHIFT == 64, "lines fit a word");

struct block_cache *block_cache_new(void)
{
    struct block_cache *cache = g_new0(struct block_cache, 1);

    cache->pool =
        mmap(NULL, POOL_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cache->pool == MAP_FAILED)
        g_error("no address space for %u MiB of decoded code; raise the limit (ulimit -v)", POOL_SIZE >> 20);
    cache->pool_limit = POOL_FIRST;
    cache->running = &cache->none;
    cache->first_used = BLOCK_NO_PAGE;
    return cache;
}

void block_cache_free(struct block_cache *cache)
{
    if (!cache)
        return;
    munmap(cache->pool, POOL_SIZE);
    g_free(cache->pages);
    g_free(cache);
}

static bool pool_has(const struct block_cache *cache, size_t size)
{
    return cache->pool_used + size <= cache->pool_limit;
}

static void *pool_take(struct block_cache *cache, size_t size)
{
    void *p = cache->pool + cache->pool_used;

    cache->pool_used += (size + 15) & ~(size_t)15;
    return p;
}

void block_cache_flush(struct cpu *cpu)
{
    struct block_cache *cache = cpu->blocks;
    uint8_t *flags = physmap_page_flags(cpu->board.mem);

    trace(BLOCK, "all blocks dropped, %zu KiB were in use", cache->pool_used >> 10);
    for (uint32_t n = cache->first_used; n != BLOCK_NO_PAGE;) {
        struct code_page *page = &cache->pages[n];
        uint32_t next = page->next_used, patience = page->patience;

        flags[n] &= ~PHYS_PAGE_CODE;
        *page = (struct code_page){.patience = patience};
        n = next;
    }
    cache->first_used = BLOCK_NO_PAGE;
    memset(cache->hash, 0, sizeof(cache->hash));
    cache->pool_used = 0;
    cache->generation++;
    jit_flush(cpu);
    cpu->block_stale = true; /* the running block is void with the others */
}

/* ---- how large the pool is to be ---- */

static void made_clear(struct block_cache *cache)
{
    memcpy(cache->made_before, cache->made, sizeof(cache->made));
    memset(cache->made, 0, sizeof(cache->made));
    cache->made_count = cache->made_again = 0;
}

static void made_note(struct block_cache *cache, uintptr_t host)
{
    unsigned bit = (unsigned)(host ^ host >> 17) & (BLOCK_MADE_BITS - 1);

    cache->made[bit >> 6] |= 1ull << (bit & 63);
    cache->made_count++;
    cache->made_again += cache->made_before[bit >> 6] >> (bit & 63) & 1;
}

/* The pool is full. Most of what was made since it was last had been in it then: more is needed at a time.
 * Hardly anything was: less will do. */
static void pool_full(struct cpu *cpu)
{
    struct block_cache *cache = cpu->blocks;

    trace(BLOCK, "%u blocks made, %u of them not for the first time", cache->made_count, cache->made_again);
    if (cache->made_again > cache->made_count / 8 * 7 && cache->pool_limit < POOL_SIZE) {
        cache->pool_limit = MIN(2 * cache->pool_limit, POOL_SIZE);
    } else if (cache->made_again < cache->made_count / 8 && cache->pool_limit > POOL_FIRST) {
        cache->pool_limit = MAX(cache->pool_limit / 2, POOL_FIRST);
        madvise(cache->pool + cache->pool_limit, POOL_SIZE - cache->pool_limit, MADV_DONTNEED);
    }
    block_cache_flush(cpu);
    made_clear(cache);
}

bool cpu_give_back(struct cpu *cpu)
{
    struct block_cache *cache = cpu->blocks;

    if (cache->pool_used < WORTHWHILE || cpu->lockstep)
        return false;
    block_cache_flush(cpu);
    madvise(cache->pool, POOL_SIZE, MADV_DONTNEED);
    cache->pool_limit = POOL_FIRST;
    made_clear(cache);
    jit_give_back(cpu);
    return true;
}

/* ---- which bytes of a page are code ---- */

/* The bytes of a block on one of its two pages, as offsets in the page. */
static unsigned block_start_on(const struct block *b, unsigned side)
{
    return side ? 0 : b->host & PHYS_PAGE_MASK;
}
static unsigned block_end_on(const struct block *b, unsigned side)
{
    return (side ? b->bytes : (unsigned)(b->host & PHYS_PAGE_MASK) + 2u * b->first_bytes) - b->first_bytes;
}
static unsigned block_side(const struct block *b, uint32_t number)
{
    return b->page[0] != number;
}

/* Bits start/unit … (end-1)/unit of a word; start < end. */
static uint64_t line_mask(unsigned start, unsigned end)
{
    unsigned first = start >> LINE_SHIFT, last = (end - 1) >> LINE_SHIFT;

    return (~0ull >> (63 - (last - first))) << first;
}

static void byte_map_add(uint64_t *map, unsigned start, unsigned end)
{
    for (unsigned i = start; i < end; i++)
        map[i >> 6] |= 1ull << (i & 63);
}

static bool byte_map_has(const uint64_t *map, unsigned start, unsigned end)
{
    for (unsigned i = start; i < end; i++) {
        if (!(i & 63) && end - i >= 64) {
            if (map[i >> 6])
                return true;
            i += 63;
        } else if (map[i >> 6] >> (i & 63) & 1) {
            return true;
        }
    }
    return false;
}

static void page_note_block(struct code_page *page, const struct block *b, unsigned side)
{
    unsigned start = block_start_on(b, side), end = block_end_on(b, side);

    page->lines |= line_mask(start, end);
    if (page->bytes)
        byte_map_add(page->bytes, start, end);
}

static void page_remake_maps(struct code_page *page, uint32_t number)
{
    page->lines = 0;
    if (page->bytes)
        memset(page->bytes, 0, PHYS_PAGE_SIZE / 8);
    for (const struct block *b = page->blocks; b; b = b->page_next[block_side(b, number)])
        page_note_block(page, b, block_side(b, number));
}

/* A page gets its first block: from now on its stores come to block_invalidate(). */
static struct code_page *page_need(struct cpu *cpu, uint32_t number)
{
    struct block_cache *cache = cpu->blocks;
    struct code_page *page;
    uint8_t *flags;

    if (!cache->pages) {
        cache->page_count = physmap_ram_size(cpu->board.mem) >> PHYS_PAGE_SHIFT;
        cache->pages = g_new0(struct code_page, cache->page_count);
    }
    page = &cache->pages[number];
    if (!page->used) {
        page->used = true;
        page->next_used = cache->first_used;
        cache->first_used = number;
        if (!page->patience)
            page->patience = PATIENCE;
    }
    flags = &physmap_page_flags(cpu->board.mem)[number];
    if (!(*flags & PHYS_PAGE_CODE)) {
        *flags |= PHYS_PAGE_CODE;
        page->quiet = 0;
        mmu_protect_code(cpu, (uint64_t)number << PHYS_PAGE_SHIFT);
    }
    return page;
}

/* ---- dropping ---- */

static void unlink_from_page(struct block_cache *cache, struct block *b, unsigned side)
{
    struct block **at;

    if (b->page[side] == BLOCK_NO_PAGE)
        return;
    at = &cache->pages[b->page[side]].blocks;
    while (*at != b)
        at = &(*at)->page_next[block_side(*at, b->page[side])];
    *at = b->page_next[side];
}

static void block_drop(struct cpu *cpu, struct block *b)
{
    struct block_cache *cache = cpu->blocks;
    struct block **at = &cache->hash[block_hash(b->host)];

    while (*at != b)
        at = &(*at)->hash_next;
    *at = b->hash_next;
    unlink_from_page(cache, b, 0);
    unlink_from_page(cache, b, 1);
    b->host = 0;
    jit_block_dropped(cpu, b);
    cpu->stats.blocks_dropped++;
    if (b == cache->running)
        cpu->block_stale = true;
}

/* Drops the page's blocks with bytes in [start, end). */
static unsigned page_drop(struct cpu *cpu, uint32_t number, unsigned start, unsigned end)
{
    struct code_page *page = &cpu->blocks->pages[number];
    unsigned dropped = 0;
    struct block *next;

    for (struct block *b = page->blocks; b; b = next) {
        unsigned side = block_side(b, number);

        next = b->page_next[side];
        if (block_start_on(b, side) < end && start < block_end_on(b, side)) {
            block_drop(cpu, b);
            dropped++;
        }
    }
    if (!dropped)
        return 0;
    page_remake_maps(page, number);
    if (!page->blocks)
        physmap_page_flags(cpu->board.mem)[number] &= ~PHYS_PAGE_CODE;
    return dropped;
}

bool block_leaves_for(struct cpu *cpu, uint64_t ram_offset, size_t len, const struct block *running)
{
    const struct block_cache *cache = cpu->blocks;
    bool leaves = false, stale = cpu->block_stale;

    for (uint64_t at = ram_offset, end = ram_offset + len, border; at < end; at = border) {
        uint64_t number = at >> PHYS_PAGE_SHIFT;
        unsigned start = at & PHYS_PAGE_MASK, stop;
        struct block *next;

        border = MIN(end, (number + 1) << PHYS_PAGE_SHIFT);
        stop = start + (unsigned)(border - at);
        if (number >= cache->page_count || !(cache->pages[number].lines & line_mask(start, stop)))
            continue;
        for (struct block *b = cache->pages[number].blocks; b; b = next) {
            unsigned side = block_side(b, (uint32_t)number);

            next = b->page_next[side];
            if (block_start_on(b, side) >= stop || start >= block_end_on(b, side))
                continue;
            if (running && (b == running || b->translation))
                leaves = true;
            else
                block_drop(cpu, b);
        }
    }
    cpu->block_stale = stale;
    return leaves;
}

void block_drop_at(struct cpu *cpu, uintptr_t host)
{
    for (struct block *b = cpu->blocks->hash[block_hash(host)], *next; b; b = next) {
        next = b->hash_next;
        if (b->host == host)
            block_drop(cpu, b);
    }
}

/* A store that touched no code: bring its like to cost less. */
static void page_quiet_store(struct cpu *cpu, uint32_t number)
{
    struct code_page *page = &cpu->blocks->pages[number];

    if (++page->quiet < page->patience)
        return;
    trace(BLOCK, "page %05x: %u stores beside code, its blocks are dropped", number, page->quiet);
    page_drop(cpu, number, 0, PHYS_PAGE_SIZE);
    page->patience = MIN(page->patience * 2, PATIENCE_MAX);
}

static void page_invalidate(struct cpu *cpu, uint32_t number, unsigned start, unsigned end)
{
    struct block_cache *cache = cpu->blocks;
    struct code_page *page = &cache->pages[number];

    if (!page->blocks)
        return;
    if (!(page->lines & line_mask(start, end)) || (page->bytes && !byte_map_has(page->bytes, start, end))) {
        page_quiet_store(cpu, number);
        return;
    }
    if (page_drop(cpu, number, start, end)) {
        trace(BLOCK, "page %05x: code at %03x…%03x overwritten", number, start, end);
        return;
    }
    if (!page->bytes && ++page->false_hits >= FALSE_LINE_HITS && pool_has(cache, POOL_LARGEST)) {
        page->bytes = pool_take(cache, PHYS_PAGE_SIZE / 8);
        page_remake_maps(page, number);
    }
    page_quiet_store(cpu, number);
}

void block_invalidate(struct cpu *cpu, uint64_t ram_offset, size_t len)
{
    struct block_cache *cache = cpu->blocks;

    while (len) {
        uint64_t number = ram_offset >> PHYS_PAGE_SHIFT;
        unsigned start = ram_offset & PHYS_PAGE_MASK;
        size_t run = MIN(len, PHYS_PAGE_SIZE - start);

        if (number >= cache->page_count)
            return;
        page_invalidate(cpu, (uint32_t)number, start, start + (unsigned)run);
        ram_offset += run;
        len -= run;
    }
}

/* ---- making ---- */

static void raise_undefined(struct cpu *cpu, const struct insn *in)
{
    cpu_fault_ud(cpu);
}

static void raise_too_long(struct cpu *cpu, const struct insn *in)
{
    cpu_fault_gp(cpu, 0);
}

/* An instruction that cannot be: it faults when its turn comes. */
static void make_faulting(enum decode_result result, struct insn *out)
{
    out->run = result == DECODE_TOO_LONG ? raise_too_long : raise_undefined;
    out->op = INSN_ud2;
    if (!out->length)
        out->length = 1;
}

static enum decode_result decode(struct cpu *cpu, const uint8_t *bytes, unsigned available, unsigned mode,
                                 struct insn *out)
{
    return insn_decode(bytes, available, mode & BLOCK_MODE_CODE32, mode & BLOCK_MODE_V86, cpu->model, out);
}

static struct tlb_entry *fetch_slot(struct cpu *cpu, uint32_t linear)
{
    return tlb_slot(cpu->tlb[cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR], linear);
}

/* Host address of the instruction byte at `linear`, or 0 when it is not plain memory. Faults as a fetch. */
static uintptr_t fetch_host(struct cpu *cpu, uint32_t linear)
{
    const struct tlb_entry *e = fetch_slot(cpu, linear);

    if (access_unlikely(e->exec != (linear & ~(uint32_t)PHYS_PAGE_MASK))) {
        cpu->insn_eip = cpu->eip;
        mmu_fetch_physical(cpu, linear);
        if (e->exec != (linear & ~(uint32_t)PHYS_PAGE_MASK))
            return 0;
    }
    return e->addend + linear;
}

static uint32_t ram_page_of(struct cpu *cpu, uintptr_t host)
{
    uintptr_t offset = host - (uintptr_t)physmap_ram(cpu->board.mem);

    return offset < physmap_ram_size(cpu->board.mem) ? (uint32_t)(offset >> PHYS_PAGE_SHIFT) : BLOCK_NO_PAGE;
}

static void enter_on_page(struct cpu *cpu, struct block *b, unsigned side)
{
    struct code_page *page;

    b->page_next[side] = NULL;
    if (b->page[side] == BLOCK_NO_PAGE)
        return;
    page = page_need(cpu, b->page[side]);
    b->page_next[side] = page->blocks;
    page->blocks = b;
    page_note_block(page, b, side);
}

/* The bytes are in the pool already; makes them a block. */
static struct block *block_enter(struct cpu *cpu, struct block *b, uintptr_t host, uintptr_t host2,
                                 unsigned mode)
{
    struct block_cache *cache = cpu->blocks;
    unsigned hash = block_hash(host);

    b->host = host;
    b->host2 = host2;
    b->mode = (uint8_t)mode;
    b->link[0] = b->link[1] = &cache->none;
    b->translation = NULL;
    b->heat = 0;
    b->page[0] = ram_page_of(cpu, host);
    b->page[1] = host2 ? ram_page_of(cpu, host2) : BLOCK_NO_PAGE;
    enter_on_page(cpu, b, 0);
    enter_on_page(cpu, b, 1);
    b->hash_next = cache->hash[hash];
    cache->hash[hash] = b;
    threaded_prepare(b, mode);
    made_note(cache, host);
    pool_take(cache, sizeof(*b) + (b->count + 1u) * sizeof(struct insn));
    cpu->stats.blocks_made++;
    return b;
}

/* The instruction at `linear` reaches into the next page: `available` bytes of it are on this one. */
static struct block *block_make_crossing(struct cpu *cpu, struct block *b, uintptr_t host, unsigned available,
                                         uint32_t linear, unsigned mode)
{
    uint32_t next_eip = cpu->eip + available;
    uint8_t bytes[15];
    enum decode_result result;
    uintptr_t host2;

    if (next_eip > cpu->seg[SEG_CS].max || next_eip < cpu->eip)
        return NULL; /* the limit ends on this page */
    host2 = fetch_host(cpu, linear + available);
    /* One page mapped twice in a row is left to block_decode_one(): a block is on a page's list once. */
    if (!host2 ||
        (ram_page_of(cpu, host2) == ram_page_of(cpu, host) && ram_page_of(cpu, host) != BLOCK_NO_PAGE))
        return NULL;
    memcpy(bytes, (const void *)host, available);
    memcpy(bytes + available, (const void *)host2, sizeof(bytes) - available);
    result = decode(cpu, bytes, sizeof(bytes), mode, &b->insns[0]);
    if (result != DECODE_OK)
        make_faulting(result, &b->insns[0]);
    b->count = 1;
    b->bytes = b->insns[0].end = b->insns[0].length;
    b->first_bytes = (uint16_t)available;
    b->linkable = false;
    if (b->bytes <= available) /* invalid, and that shows on the first page already */
        return NULL;
    return block_enter(cpu, b, host, host2, mode);
}

static struct block *block_make(struct cpu *cpu, uintptr_t host, uint32_t linear, unsigned mode)
{
    struct block_cache *cache = cpu->blocks;
    const uint8_t *const start = (const uint8_t *)host, *at = start;
    unsigned left = PHYS_PAGE_SIZE - (linear & PHYS_PAGE_MASK);
    struct block *b;
    uint32_t attr = 0;

    if (!pool_has(cache, POOL_LARGEST))
        pool_full(cpu);
    b = (struct block *)(cache->pool + cache->pool_used);
    b->count = 0;
    while (left && b->count < cpu->block_most && at - start < BLOCK_MAX_BYTES && !(attr & ATTR_END)) {
        struct insn *in = &b->insns[b->count];
        enum decode_result result;

        if (access_unlikely(cpu->debugger) &&
            debugger_splits(cpu->debugger, linear + (uint32_t)(at - start)) && b->count)
            break;
        result = decode(cpu, at, left, mode, in);
        if (result == DECODE_MORE) {
            if (b->count)
                break;
            return block_make_crossing(cpu, b, host, left, linear, mode);
        }
        if (result != DECODE_OK)
            make_faulting(result, in);
        if (access_unlikely(cpu->lockstep) && lockstep_splits(cpu->lockstep, b, in))
            break;
        attr = insn_rows[in->op].attr;
        b->count++;
        at += in->length;
        in->end = (uint8_t)(at - start);
        left -= in->length;
    }
    b->bytes = b->first_bytes = (uint16_t)(at - start);
    b->linkable = !(attr & ATTR_END) || (attr & ATTR_BRANCH);
    trace(BLOCK, "made %08x (%u): %u instructions, %u bytes", linear, mode, b->count, b->bytes);
    return block_enter(cpu, b, host, 0, mode);
}

/* A block over two pages: whether the second is still where it was. */
static bool second_page_fits(struct cpu *cpu, const struct block *b, uint32_t linear)
{
    return !b->host2 || fetch_host(cpu, (linear | PHYS_PAGE_MASK) + 1) == b->host2;
}

struct block *block_find(struct cpu *cpu, unsigned mode)
{
    const struct segment *cs = &cpu->seg[SEG_CS];
    uint32_t linear = cs->base + cpu->eip;
    uintptr_t host;

    if (access_unlikely(cpu->eip > cs->max) ||
        (access_unlikely(cpu->debugger) && debugger_splits(cpu->debugger, linear)))
        return NULL;
    host = fetch_host(cpu, linear);
    if (!host)
        return NULL;
    for (struct block *b = cpu->blocks->hash[block_hash(host)]; b; b = b->hash_next)
        if (b->host == host && b->mode == mode && second_page_fits(cpu, b, linear))
            return b;
    return block_make(cpu, host, linear, mode);
}

void block_decode_one(struct cpu *cpu, struct insn *out)
{
    const struct segment *cs = &cpu->seg[SEG_CS];
    enum decode_result result = DECODE_MORE;
    uint8_t bytes[15];
    unsigned have = 0;

    cpu->insn_eip = cpu->eip;
    while (result == DECODE_MORE) {
        uint32_t eip = cpu->eip + have, linear = cs->base + eip;
        uint64_t room = (uint64_t)cs->max - eip + 1;
        unsigned n = MIN(sizeof(bytes) - have, PHYS_PAGE_SIZE - (linear & PHYS_PAGE_MASK));

        if (eip > cs->max)
            cpu_fault_gp(cpu, 0);
        n = (unsigned)MIN(n, room);
        phys_read(cpu->board.mem, mmu_fetch_physical(cpu, linear), bytes + have, n);
        have += n;
        result = decode(cpu, bytes, have, block_mode(cpu), out);
    }
    if (result != DECODE_OK)
        make_faulting(result, out);
}
