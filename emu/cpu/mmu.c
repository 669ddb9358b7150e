/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The memory management unit: page walks, the soft TLB, and everything access.h does not do inline.
 *
 * Paging: 32-bit with 4 MiB pages (PSE, PSE-36) and PAE with 2 MiB pages and NX (SDM vol. 3, chapter 4). A
 * walk either grants the access, having set the A and D bits that the access demands, or raises #PF with CR2
 * and the precise error code. What it grants goes into a TLB entry, in two layers:
 *
 *   flags   the linear page and what the walk granted (GRANT_…), device or memory alike. A slow access that
 *           finds its grant there needs no walk. Nothing but flushes takes grants away.
 *   tags    read, write, exec: the subset of grants for which a plain host access at `addend` is the whole
 *           story. Missing on devices and on pages with armed data breakpoints; `write` is missing also on
 *           ROM and on pages that decoded code came from, where the store must tell the block cache first.
 *
 * A write grant implies that the D bit is set, and a write tag that PHYS_PAGE_DIRTY is set as well: whoever
 * clears DIRTY flags calls cpu_memory_changed() or cpu_dirty_cleared().
 *
 * A flush clears what was filled since the last one (tlb_log), so a CR3 reload costs what the old address
 * space used. Entries of global pages have a log of their own and survive. Large pages are entered as 4 KiB
 * pieces; tlb_large remembers the regions, so that INVLPG on any address of a large page drops all its
 * pieces.
 *
 * Machine thread only. Faults leave by cpu_fault(); all checks of a page-crossing access come before its
 * first byte is written.
 */
#include "emu/cpu/access.h"
#include "emu/cpu/debugger.h"
#include "emu/cpu/jit/flat.h"
#include "emu/cpu/lockstep.h"
#include "emu/cpu/mmu_internal.h"

#include <inttypes.h>

#define GRANT_READ        (1u << 0)
#define GRANT_WRITE       (1u << 1)
#define GRANT_EXEC        (1u << 2)
#define TLB_LARGE         (1u << 4)
#define TLB_LOGGED        (1u << 5) /* in tlb_log[][0] */
#define TLB_LOGGED_GLOBAL (1u << 6)
#define TLB_HOST_READ     (1u << 7) /* reads may use addend */
#define TLB_HOST_WRITE    (1u << 8) /* writes may, once code and breakpoints are seen to */
/* and TLB_GLOBAL and TLB_OTHER_… of mmu_internal.h */
#define TLB_LOG_BITS (TLB_LOGGED | TLB_LOGGED_GLOBAL)

#define PAGE_OF(x) ((uint32_t)(x) & ~(uint32_t)PHYS_PAGE_MASK)

/* page-table entry bits (SDM vol. 3, 4.3 and 4.4) */
#define PTE_P            0x001ull
#define PTE_W            0x002ull
#define PTE_U            0x004ull
#define PTE_A            0x020ull
#define PTE_D            0x040ull
#define PTE_PS           0x080ull
#define PTE_G            0x100ull
#define PTE_NX           (1ull << 63)
#define PHYS_BITS        36
#define PTE_PAE_FRAME    ((1ull << PHYS_BITS) - PHYS_PAGE_SIZE)
#define PTE_PAE_RESERVED (((1ull << 63) - 1) & ~((1ull << PHYS_BITS) - 1)) /* bits 36…62 */

/* #PF error code bits */
#define PF_PRESENT  1u
#define PF_WRITE    2u
#define PF_USER     4u
#define PF_RESERVED 8u
#define PF_FETCH    16u

/* ---- physical memory, the short way ---- */

static __attribute__((noinline)) bool window_move(struct cpu *cpu, uint64_t physical, unsigned size)
{
    struct phys_slice slice;
    physmap_lookup(cpu->board.mem, physical, &slice);
    if (!slice.is_ram || !slice.read || slice.write != slice.read || slice.run < size)
        return false;
    cpu->window_base = physical;
    cpu->window_size = slice.run;
    cpu->window_ram_offset = slice.ram_offset;
    cpu->window_host = slice.read;
    return true;
}

/* Host address of guest RAM at `physical` when all of [physical, +size) is there to be read and written. */
static inline uint8_t *ram_at(struct cpu *cpu, uint64_t physical, unsigned size, uint64_t *ram_offset)
{
    uint64_t offset = physical - cpu->window_base;
    if (access_unlikely(offset >= cpu->window_size || cpu->window_size - offset < size)) {
        if (!window_move(cpu, physical, size))
            return NULL;
        offset = 0;
    }
    *ram_offset = cpu->window_ram_offset + offset;
    return cpu->window_host + offset;
}

/* ---- who writes to a RAM page ----
 *
 * A page that becomes code loses its write tags, here and in the flat tables, so they must be found: two
 * linear pages where it has, or had, any; or MANY, and then all logs are searched. Either table: both have
 * the slots of a linear page at the same place. */

#define MANY 0xffffffffu

struct page_writers {
    uint32_t page[2]; /* number of the linear page + 1; 0: none. The first may be MANY */
};

void mmu_attach(struct cpu *cpu)
{
    if (cpu->board.mem)
        cpu->writers = g_new0(struct page_writers, physmap_ram_size(cpu->board.mem) >> PHYS_PAGE_SHIFT);
}

void mmu_detach(struct cpu *cpu)
{
    g_clear_pointer(&cpu->writers, g_free);
}

/* Whether a tag of linear page `page`, or a slot of the flat tables, leads to a write at `host`. */
static bool is_writer(struct cpu *cpu, uint32_t page, uintptr_t host)
{
    uint32_t linear = page << PHYS_PAGE_SHIFT;
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++) {
        const struct tlb_entry *e = tlb_slot(cpu->tlb[table], linear);
        if (e->write == linear && e->addend + linear == host)
            return true;
    }
    return flat_writes(cpu, page, host);
}

static void writer_note(struct cpu *cpu, uint32_t linear, uint64_t ram_offset)
{
    struct page_writers *w = &cpu->writers[ram_offset >> PHYS_PAGE_SHIFT];
    uint32_t entry = (linear >> PHYS_PAGE_SHIFT) + 1;
    if (access_likely(w->page[0] == entry || w->page[1] == entry || w->page[0] == MANY))
        return;
    uintptr_t host = (uintptr_t)physmap_ram(cpu->board.mem) + (ram_offset & ~(uint64_t)PHYS_PAGE_MASK);
    for (unsigned i = 0; i < 2; i++) {
        if (!w->page[i] || !is_writer(cpu, w->page[i] - 1, host)) {
            w->page[i] = entry;
            return;
        }
    }
    w->page[0] = MANY;
}

static void write_tag_give(struct cpu *cpu, struct tlb_entry *e, uint32_t linear, uint64_t ram_offset)
{
    writer_note(cpu, linear, ram_offset);
    e->write = PAGE_OF(linear);
}

static void write_tag_take(struct tlb_entry *e, uintptr_t host)
{
    if (e->write != TLB_NONE && e->addend + e->write == host)
        e->write = TLB_NONE;
}

void mmu_protect_code(struct cpu *cpu, uint64_t ram_page)
{
    uintptr_t host = (uintptr_t)physmap_ram(cpu->board.mem) + ram_page;
    struct page_writers *w = &cpu->writers[ram_page >> PHYS_PAGE_SHIFT];
    struct page_writers was = *w;
    *w = (struct page_writers){0};
    if (was.page[0] == MANY) {
        flat_protect_anywhere(cpu, host);
        for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++)
            for (unsigned log = 0; log < 2; log++)
                for (unsigned i = 0; i < cpu->tlb_logged[table][log]; i++)
                    write_tag_take(&cpu->tlb[table][cpu->tlb_log[table][log][i]], host);
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (!was.page[i])
            continue;
        flat_protect(cpu, was.page[i] - 1, host);
        for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++)
            write_tag_take(tlb_slot(cpu->tlb[table], (was.page[i] - 1) << PHYS_PAGE_SHIFT), host);
    }
}

/* Whether a write tag may be given: not while each store is to be noticed. */
static bool may_tag(const struct cpu *cpu)
{
    return access_likely(!cpu->lockstep) || !lockstep_is_trying(cpu->lockstep);
}

/* About to store into guest RAM behind the tags' back. */
static void ram_written(struct cpu *cpu, uint64_t ram_offset, unsigned size)
{
    uint8_t *flags = &cpu->ram_flags[ram_offset >> PHYS_PAGE_SHIFT];
    bool tried = access_unlikely(cpu->lockstep) && lockstep_store(cpu, ram_offset, size);
    if ((*flags & PHYS_PAGE_CODE) && !tried)
        block_invalidate(cpu, ram_offset, size);
    *flags |= PHYS_PAGE_DIRTY;
}

static uint32_t table_read32(struct cpu *cpu, uint64_t physical)
{
    uint64_t ram_offset;
    uint8_t *host = ram_at(cpu, physical, 4, &ram_offset);
    uint32_t value;
    if (!host)
        return phys_read32(cpu->board.mem, physical);
    memcpy(&value, host, sizeof value);
    return value;
}

static uint64_t table_read64(struct cpu *cpu, uint64_t physical)
{
    uint64_t ram_offset;
    uint8_t *host = ram_at(cpu, physical, 8, &ram_offset);
    uint64_t value;
    if (!host)
        return phys_read64(cpu->board.mem, physical);
    memcpy(&value, host, sizeof value);
    return value;
}

/* Sets A and D bits: they all lie in an entry's first byte. */
static void table_set_bits(struct cpu *cpu, uint64_t physical, uint8_t bits)
{
    uint64_t ram_offset;
    uint8_t *host = ram_at(cpu, physical, 1, &ram_offset);
    if (host) {
        if (access_unlikely(cpu->lockstep))
            lockstep_walk_stores(cpu->lockstep);
        ram_written(cpu, ram_offset, 1);
        *host |= bits;
    } else {
        phys_write8(cpu->board.mem, physical, phys_read8(cpu->board.mem, physical) | bits);
    }
}

/* ---- the walk ---- */

struct walk {
    uint64_t physical; /* of the page the address is in, A20 applied */
    uint32_t grants;   /* GRANT_… | TLB_GLOBAL | TLB_LARGE | TLB_OTHER_… */
    uint32_t error;    /* #PF error code when refused */
};

/* What the kernel may do where the process may, and the process by these rights. */
static uint32_t others_grants(uint64_t rights, bool user)
{
    if (user)
        return TLB_OTHER_READ | TLB_OTHER_WRITE;
    if (!(rights & PTE_U))
        return 0;
    return rights & PTE_W ? TLB_OTHER_READ | TLB_OTHER_WRITE : TLB_OTHER_READ;
}

/* `touch` false: for the debugger, no A and D bits. Returns false when refused. */
static bool walk_32bit(struct cpu *cpu, uint32_t linear, bool user, enum access_kind kind, bool touch,
                       struct walk *w)
{
    bool write = kind == ACCESS_WRITE || kind == ACCESS_RMW;
    uint64_t pde_at = ((cpu->cr3 & 0xfffff000u) | (linear >> 20 & 0xffc)) & cpu->a20_mask;
    uint32_t pde = table_read32(cpu, pde_at);
    uint64_t pte_at = 0, frame;
    uint32_t pte, rights;

    w->error = (write ? PF_WRITE : 0) | (user ? PF_USER : 0);
    if (!(pde & PTE_P))
        return false;
    bool large = (pde & PTE_PS) && (cpu->cr4 & CR4_PSE);
    if (large) {
        /* Bits 13…20 are physical address bits 32…39 (PSE-36), of which 36…39 do not exist; 21 is reserved.
         */
        if (pde & 0x003e0000u) {
            w->error |= PF_PRESENT | PF_RESERVED;
            return false;
        }
        pte = pde;
        pte_at = pde_at;
        rights = pde;
        frame = (pde & 0xffc00000u) | (uint64_t)(pde & 0x0001e000u) << 19 | (linear & 0x003ff000u);
    } else {
        if (touch && !(pde & PTE_A))
            table_set_bits(cpu, pde_at, PTE_A);
        pte_at = ((pde & 0xfffff000u) | (linear >> 10 & 0xffc)) & cpu->a20_mask;
        pte = table_read32(cpu, pte_at);
        if (!(pte & PTE_P))
            return false;
        rights = pde & pte;
        frame = pte & 0xfffff000u;
    }

    bool writable = (rights & PTE_W) || (!user && !(cpu->cr0 & CR0_WP));
    if ((user && !(rights & PTE_U)) || (write && !writable)) {
        w->error |= PF_PRESENT;
        return false;
    }
    if (touch) {
        uint8_t want = PTE_A | (write ? PTE_D : 0);
        if (~pte & want)
            table_set_bits(cpu, pte_at, want);
    }
    w->physical = frame & (cpu->a20_mask | ~0xffffffffull);
    w->grants = GRANT_READ | GRANT_EXEC | others_grants(rights, user);
    if (writable && (write || (pte & PTE_D)))
        w->grants |= GRANT_WRITE;
    if ((pte & PTE_G) && (cpu->cr4 & CR4_PGE))
        w->grants |= TLB_GLOBAL;
    if (large)
        w->grants |= TLB_LARGE;
    return true;
}

static bool walk_pae(struct cpu *cpu, uint32_t linear, bool user, enum access_kind kind, bool touch,
                     struct walk *w)
{
    bool write = kind == ACCESS_WRITE || kind == ACCESS_RMW;
    bool fetch = kind == ACCESS_FETCH;
    bool nxe = (cpu->efer & EFER_NXE) != 0;
    uint64_t a20 = cpu->a20_mask | ~0xffffffffull;
    uint64_t reserved = PTE_PAE_RESERVED | (nxe ? 0 : PTE_NX);
    uint64_t pdpte = cpu->pdpte[linear >> 30];
    uint64_t rights, pte_at, pte, frame;

    w->error = (write ? PF_WRITE : 0) | (user ? PF_USER : 0) | (fetch && nxe ? PF_FETCH : 0);
    if (!(pdpte & PTE_P))
        return false;
    uint64_t pde_at = ((pdpte & PTE_PAE_FRAME) | (linear >> 18 & 0xff8)) & a20;
    uint64_t pde = table_read64(cpu, pde_at);
    if (!(pde & PTE_P))
        return false;
    bool large = (pde & PTE_PS) != 0;
    if (pde & (reserved | (large ? 0x1fe000ull : 0)))
        goto reserved_bit;
    if (large) {
        pte = pde;
        pte_at = pde_at;
        rights = pde;
        frame = (pde & PTE_PAE_FRAME & ~0x1fffffull) | (linear & 0x1ff000u);
    } else {
        if (touch && !(pde & PTE_A))
            table_set_bits(cpu, pde_at, PTE_A);
        pte_at = ((pde & PTE_PAE_FRAME) | (linear >> 9 & 0xff8)) & a20;
        pte = table_read64(cpu, pte_at);
        if (!(pte & PTE_P))
            return false;
        if (pte & reserved)
            goto reserved_bit;
        rights = (pde & pte & ~PTE_NX) | ((pde | pte) & PTE_NX);
        frame = pte & PTE_PAE_FRAME;
    }

    bool writable = (rights & PTE_W) || (!user && !(cpu->cr0 & CR0_WP));
    if ((user && !(rights & PTE_U)) || (write && !writable) || (fetch && (rights & PTE_NX))) {
        w->error |= PF_PRESENT;
        return false;
    }
    if (touch) {
        uint8_t want = PTE_A | (write ? PTE_D : 0);
        if (~pte & want)
            table_set_bits(cpu, pte_at, want);
    }
    w->physical = frame & a20;
    w->grants = GRANT_READ | others_grants(rights, user);
    if (!(rights & PTE_NX))
        w->grants |= GRANT_EXEC;
    if (writable && (write || (pte & PTE_D)))
        w->grants |= GRANT_WRITE;
    if ((pte & PTE_G) && (cpu->cr4 & CR4_PGE))
        w->grants |= TLB_GLOBAL;
    if (large)
        w->grants |= TLB_LARGE;
    return true;

reserved_bit:
    w->error |= PF_PRESENT | PF_RESERVED;
    return false;
}

static bool walk(struct cpu *cpu, uint32_t linear, bool user, enum access_kind kind, bool touch,
                 struct walk *w)
{
    if (!(cpu->cr0 & CR0_PG)) {
        w->physical = PAGE_OF(linear) & cpu->a20_mask;
        w->grants = GRANT_READ | GRANT_WRITE | GRANT_EXEC;
        return true;
    }
    if (cpu->cr4 & CR4_PAE)
        return walk_pae(cpu, linear, user, kind, touch, w);
    return walk_32bit(cpu, linear, user, kind, touch, w);
}

/* SDM vol. 3, 4.4.1: the four PDPTEs are registers, loaded and checked when CR3 is. Returns false when a
 * reserved bit is set; the registers are then as they were. */
bool mmu_load_pdptes(struct cpu *cpu, uint32_t cr3)
{
    uint64_t value[4];
    for (unsigned i = 0; i < 4; i++) {
        value[i] = table_read64(cpu, ((cr3 & 0xffffffe0u) + 8 * i) & cpu->a20_mask);
        if ((value[i] & PTE_P) && (value[i] & (PTE_PAE_RESERVED | PTE_NX | 0x1e6)))
            return false;
    }
    memcpy(cpu->pdpte, value, sizeof value);
    return true;
}

/* ---- the TLB ---- */

static void entry_clear(struct tlb_entry *e)
{
    e->read = e->write = e->exec = TLB_NONE;
    e->flags &= TLB_LOG_BITS;
}

static void log_flush(struct cpu *cpu, unsigned table, bool global)
{
    uint32_t logged = global ? TLB_LOGGED_GLOBAL : TLB_LOGGED;
    for (unsigned i = 0; i < cpu->tlb_logged[table][global]; i++) {
        struct tlb_entry *e = &cpu->tlb[table][cpu->tlb_log[table][global][i]];
        e->flags &= ~logged;
        if (!!(e->flags & TLB_GLOBAL) == global)
            entry_clear(e);
    }
    cpu->tlb_logged[table][global] = 0;
}

void mmu_flush(struct cpu *cpu, bool global_too)
{
    cpu->stats.tlb_flushes++;
    flat_flush(cpu, global_too);
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++) {
        log_flush(cpu, table, false);
        if (global_too)
            log_flush(cpu, table, true);
    }
    if (global_too)
        memset(cpu->tlb_large, 0, sizeof cpu->tlb_large);
}

/* For tables in an unknown state: at power-up and after loading saved state. */
void mmu_reset(struct cpu *cpu)
{
    for (unsigned table = 0; table < TLB_TABLES; table++) {
        for (unsigned i = 0; i < TLB_SIZE; i++) {
            cpu->tlb[table][i].flags = 0;
            entry_clear(&cpu->tlb[table][i]);
        }
    }
    memset(cpu->tlb_logged, 0, sizeof cpu->tlb_logged);
    memset(cpu->tlb_large, 0, sizeof cpu->tlb_large);
    cpu->window_size = 0;
    memset(cpu->devices, 0, sizeof cpu->devices);
    flat_flush(cpu, true);
}

void mmu_flush_page(struct cpu *cpu, uint32_t linear)
{
    flat_flush_page(cpu, linear);
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++) {
        struct tlb_entry *e = tlb_slot(cpu->tlb[table], linear);
        if (PAGE_OF(e->flags) == PAGE_OF(linear))
            entry_clear(e);
    }
    uint32_t region = linear >> 22;
    if (!(cpu->tlb_large[region >> 5] & (1u << (region & 31))))
        return;
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++) {
        for (unsigned log = 0; log < 2; log++) {
            for (unsigned i = 0; i < cpu->tlb_logged[table][log]; i++) {
                struct tlb_entry *e = &cpu->tlb[table][cpu->tlb_log[table][log][i]];
                if ((e->flags & TLB_LARGE) && e->flags >> 22 == region)
                    entry_clear(e);
            }
        }
    }
}

/* Whether an armed data breakpoint (not execution, not I/O) touches [linear, +size). */
static uint32_t data_breakpoints(struct cpu *cpu, uint32_t linear, unsigned size, bool write)
{
    static const uint8_t length[4] = {1, 2, 8, 4};
    uint32_t hit = 0;
    for (unsigned i = 0; i < 4; i++) {
        unsigned kind = cpu->dr[7] >> (16 + 4 * i) & 3;
        uint32_t len = length[cpu->dr[7] >> (18 + 4 * i) & 3];
        uint32_t start = cpu->dr[i] & ~(len - 1);
        if (!(cpu->dr[7] & (3u << (2 * i))) || !(kind & 1) || (kind == 1 && !write))
            continue;
        if (linear - start < len || start - linear < size)
            hit |= 1u << i;
    }
    return hit;
}

static bool page_has_breakpoint(struct cpu *cpu, uint32_t page)
{
    return (cpu->has_breakpoints && data_breakpoints(cpu, page, PHYS_PAGE_SIZE, true)) ||
           (access_unlikely(cpu->debugger) && debugger_watches_page(cpu, page));
}

static void log_entry(struct cpu *cpu, unsigned table, struct tlb_entry *e)
{
    bool global = (e->flags & TLB_GLOBAL) != 0;
    uint32_t logged = global ? TLB_LOGGED_GLOBAL : TLB_LOGGED;
    if (e->flags & logged)
        return;
    e->flags |= logged;
    cpu->tlb_log[table][global][cpu->tlb_logged[table][global]++] = (uint16_t)(e - cpu->tlb[table]);
}

/* Walks and enters what is found; NULL when it is refused, and *error is the error code then. */
static struct tlb_entry *tlb_try_fill(struct cpu *cpu, uint32_t linear, bool user, enum access_kind kind,
                                      uint32_t *error)
{
    struct walk w = {0};
    unsigned table = user ? TLB_USER : TLB_SUPERVISOR;
    uint32_t page = PAGE_OF(linear);

    cpu->stats.tlb_misses++;
    if (cpu->cr0 & CR0_PG)
        cpu->stats.page_walks++;
    if (access_unlikely(cpu->lockstep))
        lockstep_filled(cpu, linear);
    if (!walk(cpu, linear, user, kind, true, &w)) {
        *error = w.error;
        return NULL;
    }

    struct tlb_entry *e = tlb_slot(cpu->tlb[table], linear);
    entry_clear(e);
    e->flags |= page | w.grants;
    e->physical = w.physical;
    log_entry(cpu, table, e);
    if (w.grants & TLB_LARGE)
        cpu->tlb_large[linear >> 27] |= 1u << (linear >> 22 & 31);

    uint64_t ram_offset;
    uint8_t *host = ram_at(cpu, w.physical, PHYS_PAGE_SIZE, &ram_offset), *host_write = host;
    bool ram = host != NULL;
    if (!ram) {
        struct phys_slice slice;
        physmap_lookup(cpu->board.mem, w.physical, &slice);
        if (slice.run >= PHYS_PAGE_SIZE && slice.read) { /* ROM, or RAM shadowed for reading alone */
            host = slice.read;
            host_write = slice.write == slice.read ? slice.write : NULL;
            ram = slice.is_ram;
            ram_offset = slice.ram_offset;
        }
    }
    if (!host)
        return e;
    e->addend = (uintptr_t)host - page;
    e->flags |= TLB_HOST_READ;
    bool watched = page_has_breakpoint(cpu, page);
    if (!watched)
        e->read = page;
    if (w.grants & GRANT_EXEC)
        e->exec = page;
    if (ram && host_write) {
        e->flags |= TLB_HOST_WRITE;
        uint8_t *flags = &cpu->ram_flags[ram_offset >> PHYS_PAGE_SHIFT];
        /* A read alone makes no page dirty: its first store comes by page_write(). */
        bool dirty = (*flags & PHYS_PAGE_DIRTY) || kind == ACCESS_WRITE || kind == ACCESS_RMW;
        if ((w.grants & GRANT_WRITE) && dirty && !watched && !(*flags & PHYS_PAGE_CODE) && may_tag(cpu)) {
            *flags |= PHYS_PAGE_DIRTY;
            write_tag_give(cpu, e, page, ram_offset);
        }
    }
    return e;
}

/* The same; raises #PF when it is refused. */
static struct tlb_entry *tlb_fill(struct cpu *cpu, uint32_t linear, bool user, enum access_kind kind)
{
    uint32_t error = 0;
    struct tlb_entry *e = tlb_try_fill(cpu, linear, user, kind, &error);
    if (access_likely(e != NULL))
        return e;
    cpu->cr2 = linear;
    trace(MMU, "#PF at %08x error %02x eip %08x", linear, error, cpu->insn_eip);
    /* What made the access fail may have been cached from before; the processor forgets it. */
    mmu_flush_page(cpu, linear);
    cpu_fault(cpu, VEC_PF, error);
}

struct tlb_entry *mmu_try_fill(struct cpu *cpu, uint32_t linear, bool write)
{
    uint32_t error;
    return tlb_try_fill(cpu, linear, cpu->cpl == 3, write ? ACCESS_WRITE : ACCESS_READ, &error);
}

struct tlb_entry *mmu_try_fetch(struct cpu *cpu, uint32_t linear)
{
    uint32_t error;
    return tlb_try_fill(cpu, linear, cpu->cpl == 3, ACCESS_FETCH, &error);
}

static uint32_t entry_flags(const struct cpu *cpu, uint32_t linear)
{
    unsigned table = cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR;
    return cpu->tlb[table][(linear >> PHYS_PAGE_SHIFT) & (TLB_SIZE - 1)].flags;
}

bool mmu_has_page(const struct cpu *cpu, uint32_t linear, bool write)
{
    uint32_t flags = entry_flags(cpu, linear);
    return PAGE_OF(flags) == PAGE_OF(linear) && (flags & (write ? GRANT_WRITE : GRANT_READ));
}

bool mmu_is_device(const struct tlb_entry *e, uint32_t linear, bool write)
{
    return PAGE_OF(e->flags) == PAGE_OF(linear) && (e->flags & (write ? GRANT_WRITE : GRANT_READ)) &&
           !(e->flags & (write ? TLB_HOST_WRITE : TLB_HOST_READ));
}

bool mmu_page_is_global(const struct cpu *cpu, uint32_t linear)
{
    return mmu_has_page(cpu, linear, false) && (entry_flags(cpu, linear) & TLB_GLOBAL);
}

bool mmu_page_is_large(const struct cpu *cpu, uint32_t linear)
{
    return mmu_has_page(cpu, linear, false) && (entry_flags(cpu, linear) & TLB_LARGE);
}

/* The entry that grants this access, walking when it must. */
static struct tlb_entry *tlb_grant(struct cpu *cpu, uint32_t linear, bool user, enum access_kind kind)
{
    static const uint32_t need[] = {
        [ACCESS_READ] = GRANT_READ,
        [ACCESS_WRITE] = GRANT_WRITE,
        [ACCESS_RMW] = GRANT_WRITE,
        [ACCESS_FETCH] = GRANT_EXEC,
    };
    struct tlb_entry *e = tlb_slot(cpu->tlb[user ? TLB_USER : TLB_SUPERVISOR], linear);
    if (PAGE_OF(e->flags) == PAGE_OF(linear) && (e->flags & need[kind]))
        return e;
    return tlb_fill(cpu, linear, user, kind);
}

/* ---- devices ----
 *
 * Drivers reach for a few registers again and again, so what is behind the pages of devices is remembered, as
 * long as the map of memory stands (cpu_memory_changed). */

/* What is behind a page that is a device's and nothing else; NULL: it is not, or in parts. */
static const struct cpu_device_page *device_page(struct cpu *cpu, uint64_t physical)
{
    uint64_t page = physical & ~(uint64_t)PHYS_PAGE_MASK;
    struct cpu_device_page *d = &cpu->devices[page >> PHYS_PAGE_SHIFT & (CPU_DEVICE_PAGES - 1)];
    if (access_likely(d->ops && d->page == page))
        return d;
    struct phys_slice slice;
    physmap_lookup(cpu->board.mem, page, &slice);
    if (slice.read || slice.write || !slice.ops || slice.run < PHYS_PAGE_SIZE)
        return NULL;
    *d = (struct cpu_device_page){
        .page = page, .ops = slice.ops, .opaque = slice.opaque, .offset = slice.offset};
    return d;
}

/* Whether an access is one of a register, or of an aligned part of one. */
static bool is_one_piece(uint64_t physical, unsigned size)
{
    return size <= 4 && !(size & (size - 1)) && !(physical & (size - 1));
}

/* The widest naturally aligned piece of [offset, +left), at most 4. */
static unsigned piece_size(uint64_t offset, unsigned left)
{
    unsigned size = 4;
    while (size > left || (offset & (size - 1)))
        size >>= 1;
    return size;
}

static uint64_t device_read(struct cpu *cpu, uint64_t physical, unsigned size)
{
    uint64_t value = 0;
    if (access_unlikely(cpu->lockstep))
        lockstep_effect(cpu);
    if (is_one_piece(physical, size)) {
        const struct cpu_device_page *d = device_page(cpu, physical);
        if (d && d->ops->read)
            return d->ops->read(d->opaque, d->offset + (uint32_t)(physical & PHYS_PAGE_MASK), size) &
                   (0xffffffffu >> (32 - 8 * size));
    }
    for (unsigned done = 0; done < size;) {
        struct phys_slice slice;
        physmap_lookup(cpu->board.mem, physical + done, &slice);
        unsigned n = piece_size(physical + done, size - done);
        while (n > slice.run)
            n >>= 1;
        uint32_t part = 0xffffffffu;
        if (slice.read)
            memcpy(&part, slice.read, n);
        else if (slice.ops && slice.ops->read)
            part = slice.ops->read(slice.opaque, slice.offset, n);
        else if (!slice.ops)
            trace(MMIO, "read of %u at %09" PRIx64 ": nothing there", n, physical + done);
        value |= (uint64_t)(part & (0xffffffffu >> (32 - 8 * n))) << (8 * done);
        done += n;
    }
    return value;
}

static void device_write(struct cpu *cpu, uint64_t physical, uint64_t value, unsigned size)
{
    if (access_unlikely(cpu->lockstep))
        lockstep_effect(cpu);
    if (is_one_piece(physical, size)) {
        const struct cpu_device_page *d = device_page(cpu, physical);
        if (d && d->ops->write) {
            d->ops->write(d->opaque, d->offset + (uint32_t)(physical & PHYS_PAGE_MASK),
                          (uint32_t)value & (0xffffffffu >> (32 - 8 * size)), size);
            return;
        }
    }
    for (unsigned done = 0; done < size;) {
        struct phys_slice slice;
        physmap_lookup(cpu->board.mem, physical + done, &slice);
        unsigned n = piece_size(physical + done, size - done);
        while (n > slice.run)
            n >>= 1;
        uint32_t part = (uint32_t)(value >> (8 * done)) & (0xffffffffu >> (32 - 8 * n));
        if (slice.write)
            phys_write(cpu->board.mem, physical + done, &part, n);
        else if (slice.ops && slice.ops->write)
            slice.ops->write(slice.opaque, slice.offset, part, n);
        else if (!slice.ops && !slice.read)
            trace(MMIO, "write of %u at %09" PRIx64 ": nothing there", n, physical + done);
        done += n;
    }
}

/* ---- slow accesses within one page ---- */

static uint64_t page_read(struct cpu *cpu, const struct tlb_entry *e, uint32_t linear, unsigned size)
{
    if (!(e->flags & TLB_HOST_READ))
        return device_read(cpu, e->physical | (linear & PHYS_PAGE_MASK), size);
    uint64_t value = 0;
    memcpy(&value, (const void *)(e->addend + linear), size);
    return value;
}

static void page_write(struct cpu *cpu, struct tlb_entry *e, uint32_t linear, uint64_t value, unsigned size)
{
    if (!(e->flags & TLB_HOST_WRITE)) {
        device_write(cpu, e->physical | (linear & PHYS_PAGE_MASK), value, size);
        return;
    }
    uint8_t *host = (uint8_t *)(e->addend + linear);
    uint64_t ram_offset = (uint64_t)(host - physmap_ram(cpu->board.mem));
    uint8_t *flags = &cpu->ram_flags[ram_offset >> PHYS_PAGE_SHIFT];
    ram_written(cpu, ram_offset, size);
    memcpy(host, &value, size);
    if (!(*flags & PHYS_PAGE_CODE) && (e->flags & GRANT_WRITE) &&
        !page_has_breakpoint(cpu, PAGE_OF(linear)) && may_tag(cpu))
        write_tag_give(cpu, e, linear, ram_offset);
}

static void check_alignment(struct cpu *cpu, uint32_t linear, unsigned size, bool user)
{
    if (cpu->align_check && user && (linear & (size - 1)))
        cpu_fault(cpu, VEC_AC, 0);
}

uint64_t mmu_read_slow(struct cpu *cpu, uint32_t linear, unsigned size, bool user, enum access_kind kind)
{
    check_alignment(cpu, linear, size, user);
    if (cpu->has_breakpoints) {
        uint32_t hit = data_breakpoints(cpu, linear, size, false);
        if (hit)
            cpu_note_debug(cpu, hit);
    }
    unsigned first = PHYS_PAGE_SIZE - (linear & PHYS_PAGE_MASK);
    struct tlb_entry *e = tlb_grant(cpu, linear, user, kind);
    if (access_unlikely(cpu->debugger))
        debugger_accessed(cpu, linear, size, kind == ACCESS_RMW);
    if (access_likely(first >= size))
        return page_read(cpu, e, linear, size);

    struct tlb_entry *next = tlb_grant(cpu, linear + first, user, kind);
    uint64_t high = page_read(cpu, next, linear + first, size - first);
    /* The device behind the upper half may have changed the map. */
    e = tlb_grant(cpu, linear, user, kind);
    return page_read(cpu, e, linear, first) | high << (8 * first);
}

void mmu_check_write_slow(struct cpu *cpu, uint32_t linear, unsigned size, bool user)
{
    unsigned first = PHYS_PAGE_SIZE - (linear & PHYS_PAGE_MASK);
    if (size == 2 || size == 4 || size == 8)
        check_alignment(cpu, linear, size, user);
    tlb_grant(cpu, linear, user, ACCESS_WRITE);
    if (first < size)
        tlb_grant(cpu, linear + first, user, ACCESS_WRITE);
}

void mmu_write_slow(struct cpu *cpu, uint32_t linear, uint64_t value, unsigned size, bool user)
{
    check_alignment(cpu, linear, size, user);
    unsigned first = PHYS_PAGE_SIZE - (linear & PHYS_PAGE_MASK);
    struct tlb_entry *e = tlb_grant(cpu, linear, user, ACCESS_WRITE);
    if (access_unlikely(first < size))
        tlb_grant(cpu, linear + first, user, ACCESS_WRITE);
    if (cpu->has_breakpoints) {
        uint32_t hit = data_breakpoints(cpu, linear, size, true);
        if (hit)
            cpu_note_debug(cpu, hit);
    }
    if (access_unlikely(cpu->debugger))
        debugger_accessed(cpu, linear, size, true);
    if (access_likely(first >= size)) {
        page_write(cpu, e, linear, value, size);
        return;
    }
    page_write(cpu, e, linear, value & ((1ull << (8 * first)) - 1), first);
    /* Granted above; only a device's change of the map makes this walk again, and then it cannot refuse. */
    e = tlb_grant(cpu, linear + first, user, ACCESS_WRITE);
    page_write(cpu, e, linear + first, value >> (8 * first), size - first);
}

uint8_t *mmu_plain_span(struct cpu *cpu, uint32_t linear, uint32_t first, uint32_t len, bool write)
{
    if (cpu->align_check || page_has_breakpoint(cpu, PAGE_OF(linear)))
        return NULL;
    struct tlb_entry *e = tlb_grant(cpu, linear, cpu->cpl == 3, write ? ACCESS_WRITE : ACCESS_READ);
    if (!(e->flags & (write ? TLB_HOST_WRITE : TLB_HOST_READ)))
        return NULL;
    if (write) {
        uint64_t ram_offset = (uint64_t)((uint8_t *)(e->addend + first) - physmap_ram(cpu->board.mem));
        uint8_t *flags = &cpu->ram_flags[ram_offset >> PHYS_PAGE_SHIFT];
        ram_written(cpu, ram_offset, len);
        if (!(*flags & PHYS_PAGE_CODE) && may_tag(cpu))
            write_tag_give(cpu, e, linear, ram_offset);
    }
    return (uint8_t *)(e->addend + linear);
}

void mem_read_bytes(struct cpu *cpu, unsigned seg, uint32_t offset, void *out, unsigned len)
{
    if (!len)
        return;
    uint32_t linear = mem_linear(cpu, seg, offset, len, false);
    uint8_t *to = out;
    for (unsigned done = 0; done < len;) {
        unsigned n = MIN(len - done, PHYS_PAGE_SIZE - ((linear + done) & PHYS_PAGE_MASK));
        const struct tlb_entry *e = tlb_slot(cpu->tlb_data, linear + done);
        if (e->read == PAGE_OF(linear + done)) {
            memcpy(to + done, (const void *)(e->addend + (uint32_t)(linear + done)), n);
        } else {
            n = MIN(n, 8);
            uint64_t value = 0;
            for (unsigned i = 0; i < n; i++)
                value |=
                    (uint64_t)(uint8_t)mmu_read_slow(cpu, linear + done + i, 1, cpu->cpl == 3, ACCESS_READ)
                    << (8 * i);
            memcpy(to + done, &value, n);
        }
        done += n;
    }
}

void mem_write_bytes(struct cpu *cpu, unsigned seg, uint32_t offset, const void *data, unsigned len)
{
    if (!len)
        return;
    uint32_t linear = mem_linear(cpu, seg, offset, len, true);
    bool user = cpu->cpl == 3;
    const uint8_t *from = data;
    tlb_grant(cpu, linear, user, ACCESS_WRITE);
    for (uint32_t page = PHYS_PAGE_SIZE - (linear & PHYS_PAGE_MASK); page < len; page += PHYS_PAGE_SIZE)
        tlb_grant(cpu, linear + page, user, ACCESS_WRITE);
    for (unsigned done = 0; done < len; done++)
        lin_write8(cpu, linear + done, from[done]);
}

/* ---- fetch, code pages, debugger ---- */

uint64_t mmu_fetch_physical(struct cpu *cpu, uint32_t linear)
{
    const struct tlb_entry *e = tlb_slot(cpu->tlb[cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR], linear);
    if (access_unlikely(e->exec != PAGE_OF(linear)))
        e = tlb_grant(cpu, linear, cpu->cpl == 3, ACCESS_FETCH);
    return e->physical | (linear & PHYS_PAGE_MASK);
}

/* PHYS_PAGE_DIRTY flags were cleared: the next store to each page must set its own again. */
void cpu_dirty_cleared(struct cpu *cpu)
{
    flat_protect_all(cpu);
    for (unsigned table = TLB_SUPERVISOR; table <= TLB_USER; table++)
        for (unsigned log = 0; log < 2; log++)
            for (unsigned i = 0; i < cpu->tlb_logged[table][log]; i++)
                cpu->tlb[table][cpu->tlb_log[table][log][i]].write = TLB_NONE;
}

void cpu_memory_changed(void *opaque)
{
    struct cpu *cpu = opaque;
    cpu->window_size = 0;
    memset(cpu->devices, 0, sizeof cpu->devices);
    mmu_flush(cpu, true);
    block_cache_flush(cpu);
}

void cpu_code_written(void *opaque, uint64_t ram_offset, size_t len)
{
    struct cpu *cpu = opaque;
    block_invalidate(cpu, ram_offset, len);
}

bool mmu_translate_debug(struct cpu *cpu, uint32_t linear, uint64_t *physical)
{
    struct walk w = {0};
    if (!walk(cpu, linear, false, ACCESS_READ, false, &w))
        return false;
    *physical = w.physical | (linear & PHYS_PAGE_MASK);
    return true;
}
