/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Paging: rights at both levels for both privileges with and without WP, error codes and CR2, A and D bits,
 * page-crossing accesses, 4 MiB pages, global pages, INVLPG, PAE with 2 MiB pages, PDPTE checks and NX
 * (SDM vol. 3, chapter 4).
 */
#include "rt.h"

FIXED static uint8_t pages[8 * 4096] __attribute__((aligned(4096)));
FIXED static uint32_t pd[1024] __attribute__((aligned(4096))), pt_low[4][1024] __attribute__((aligned(4096))),
    pt[1024] __attribute__((aligned(4096)));
FIXED static uint64_t pdpt[4] __attribute__((aligned(32))), pae_pd[512] __attribute__((aligned(4096))),
    pae_pt[512] __attribute__((aligned(4096))), pae_low[512] __attribute__((aligned(4096)));

#define WINDOW 0x40000000u /* linear address under test */
enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };

SNIPPET(read4, "mov (%edi), %eax\n xor %eax, %eax");
SNIPPET(write4, "movl $0x12345678, (%edi)");
SNIPPET(rmw4, "addl $0, (%edi)");
SNIPPET(cmpxchg_same, "mov (%edi), %eax\n cmpxchg %eax, (%edi)\n xor %eax, %eax");
SNIPPET(bts_mem, "btsl $0, (%edi)");
SNIPPET(execute, "call *%edi");
SNIPPET(push_there, "xchg %esp, %edi\n push %eax\n xchg %esp, %edi");
SNIPPET(pop_there, "xchg %esp, %edi\n pop %eax\n xchg %esp, %edi\n xor %eax, %eax");
SNIPPET(pusha_there, "xchg %esp, %edi\n pusha\n xchg %esp, %edi");
SNIPPET(enter_there, "xchg %esp, %edi\n enter $8, $2\n leave\n xchg %esp, %edi");
SNIPPET(movs_there, "mov %esp, %esi\n mov $2, %ecx\n rep movsl\n xor %esi, %esi");
SNIPPET(stosb_many, "mov $0x1800, %ecx\n rep stosb");
SNIPPET(movsb_back, "std\n mov %esp, %esi\n mov $8, %ecx\n rep movsb\n cld\n xor %esi, %esi");
SNIPPET(read8, "movq (%edi), %mm0\n emms");
SNIPPET(read10, "fldt (%edi)\n fninit");
SNIPPET(write10, "fld1\n fstpt (%edi)");
SNIPPET(read16, "movups (%edi), %xmm0");
SNIPPET(write16, "xorps %xmm0, %xmm0\n movups %xmm0, (%edi)");
SNIPPET(cmpxchg8, "cmpxchg8b (%edi)");
SNIPPET(fxsave, "fxsave (%edi)");
SNIPPET(sgdt_there, "sgdt (%edi)");
SNIPPET(set_there, "setz (%edi)");
SNIPPET(xchg_there, "xchg %eax, (%edi)\n xor %eax, %eax");
SNIPPET(verr_mem, "verr (%edi)");
SNIPPET(load_eax, "mov %eax, %ds\n xor %eax, %eax");
SNIPPET(lar_eax, "lar %eax, %ebx");
SNIPPET(int_42, "int $0x42");

static void identity(void)
{
    for (unsigned i = 0; i < 1024; i++)
        pd[i] = 0;
    for (unsigned t = 0; t < 4; t++) {
        for (unsigned i = 0; i < 1024; i++)
            pt_low[t][i] = (t << 22) | i << 12 | P | W | U;
        pd[t] = (uint32_t)pt_low[t] | P | W | U;
    }
    for (unsigned i = 0; i < 1024; i++)
        pt[i] = 0;
}

static void paging_on(uint32_t cr3)
{
    tss.cr3 = df_tss.cr3 = cr3; /* for the double-fault task */
    write_cr3(cr3);
    write_cr0(read_cr0() | 0x80000000u);
}

static void paging_off(void)
{
    write_cr0(read_cr0() & 0x7fffffffu);
}

static void show_bits(uint32_t pde, uint32_t pte)
{
    /* Whether a walk that ends in a fault sets the PDE's A bit is the processor's choice. */
    bool fault = last.vector == 14;
    print("  pde %x%s%s pte %x%s%s\n", pde & 7, pde & A && !fault ? " A" : "", pde & D ? " D" : "", pte & 7,
          pte & A ? " A" : "", pte & D ? " D" : "");
}

static void rights(void)
{
    for (unsigned wp = 0; wp < 2; wp++) {
        write_cr0((read_cr0() & ~0x10000u) | wp << 16);
        for (unsigned ring = 0; ring < 4; ring += 3) {
            for (unsigned upper = 0; upper < 8; upper++) {
                for (unsigned lower = 0; lower < 8; lower++) {
                    if ((!(upper & P) && upper) || (!(lower & P) && lower))
                        continue;
                    print("-- wp %u ring %u pde %u pte %u\n", wp, ring, upper, lower);
#define ACCESS(name)                                                                                         \
    pd[WINDOW >> 22] = (uint32_t)pt | upper;                                                                 \
    pt[0] = (uint32_t)pages | lower;                                                                         \
    pages[0] = 0xc3;                                                                                         \
    write_cr3(read_cr3());                                                                                   \
    fresh(ring);                                                                                             \
    ctx.edi = WINDOW;                                                                                        \
    RUN(name);                                                                                               \
    show_bits(pd[WINDOW >> 22], pt[0])
                    ACCESS(read4);
                    ACCESS(write4);
                    ACCESS(rmw4);
                    ACCESS(execute);
                }
            }
        }
    }
}

/* Two pages in a row, the second one missing, read-only or supervisor's; and the first one. */
static void crossing(void)
{
    static const struct {
        const char *name;
        uint32_t first, second;
    } rows[] = {
        {"second absent", P | W | U, 0},         {"second read-only", P | W | U, P | U},
        {"second supervisor", P | W | U, P | W}, {"first absent", 0, P | W | U},
        {"first read-only", P | U, P | W | U},   {"both", P | W | U, P | W | U},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        print("-- crossing: %s\n", rows[i].name);
#define CROSS(name, back)                                                                                    \
    pd[WINDOW >> 22] = (uint32_t)pt | P | W | U;                                                             \
    pt[0] = (uint32_t)pages | rows[i].first;                                                                 \
    pt[1] = (uint32_t)(pages + 4096) | rows[i].second;                                                       \
    memset(pages, 0, 8192);                                                                                  \
    write_cr3(read_cr3());                                                                                   \
    fresh(3);                                                                                                \
    ctx.edi = WINDOW + 4096 - (back);                                                                        \
    RUN(name);                                                                                               \
    print("  A %x%x D %x%x bytes %02x%02x\n", !!(pt[0] & A), !!(pt[1] & A), !!(pt[0] & D), !!(pt[1] & D),    \
          pages[4095], pages[4096])
        CROSS(read4, 2);
        CROSS(write4, 2);
        CROSS(write4, 3);
        CROSS(rmw4, 1);
        CROSS(cmpxchg_same, 2);
        CROSS(bts_mem, 1);
        CROSS(read8, 4);
        CROSS(read16, 8);
        CROSS(write16, 8);
        CROSS(read10, 8);
        CROSS(write10, 9);
        CROSS(write10, 4);
        CROSS(cmpxchg8, 4);
        CROSS(xchg_there, 2);
        CROSS(push_there, 0u - 2);
        CROSS(pop_there, 2);
        CROSS(movs_there, 4);
        CROSS(movs_there, 6);
        CROSS(stosb_many, 16);
        CROSS(movsb_back, 0u - 3);
    }
}

static void more_instructions(void)
{
    print("-- more: on a read-only page\n");
#define READONLY(name)                                                                                       \
    pt[0] = (uint32_t)pages | P | U;                                                                         \
    write_cr3(read_cr3());                                                                                   \
    fresh(3);                                                                                                \
    ctx.edi = WINDOW + 16;                                                                                   \
    RUN(name);                                                                                               \
    show_bits(pd[WINDOW >> 22], pt[0])
    READONLY(cmpxchg_same);
    READONLY(bts_mem);
    READONLY(fxsave);
    READONLY(set_there);
    READONLY(xchg_there);
    READONLY(enter_there);
    READONLY(pusha_there);
    READONLY(pop_there);
    READONLY(cmpxchg8);
    READONLY(verr_mem);
}

static void large_pages(void)
{
    print("-- 4 MiB pages\n");
    write_cr4(read_cr4() | 1u << 4);
    for (unsigned ring = 0; ring < 4; ring += 3) {
        for (unsigned bits = 1; bits < 8; bits += 2) {
#define LARGE(name, extra)                                                                                   \
    pd[WINDOW >> 22] = 0x00400000u | PS | bits | (extra);                                                    \
    write_cr3(read_cr3());                                                                                   \
    fresh(ring);                                                                                             \
    ctx.edi = WINDOW + ((uint32_t)pages & 0x3fffff);                                                         \
    print("ring %u pde %x ", ring, bits | (extra));                                                          \
    RUN(name);                                                                                               \
    show_bits(pd[WINDOW >> 22], 0)
            LARGE(read4, 0);
            LARGE(write4, 0);
            LARGE(read4, 1u << 21);
            LARGE(write4, 1u << 21);
        }
    }
    /* Without PSE the bit is ignored and the entry is a table's. */
    write_cr4(read_cr4() & ~(1u << 4));
    pd[WINDOW >> 22] = (uint32_t)pt | PS | P | W | U;
    pt[0] = (uint32_t)pages | P | W | U;
    write_cr3(read_cr3());
    fresh(3);
    ctx.edi = WINDOW;
    RUN_AS("PS without PSE", write4);
}

/* What a TLB must forget and what it may keep; a test only where the architecture promises. */
static void invalidation(void)
{
    volatile uint32_t *there = (volatile uint32_t *)WINDOW;
    print("-- invalidation\n");
    ((uint32_t *)pages)[0] = 0x11111111;
    ((uint32_t *)pages)[1024] = 0x22222222;
    pd[WINDOW >> 22] = (uint32_t)pt | P | W | U;
    pt[0] = (uint32_t)pages | P | W | U;
    write_cr3(read_cr3());
    print("%x", there[0]);
    pt[0] = (uint32_t)(pages + 4096) | P | W | U;
    invlpg(there);
    print(" %x", there[0]);
    pt[0] = (uint32_t)pages | P | W | U;
    write_cr3(read_cr3());
    print(" %x", there[0]);
    /* A page that becomes writable or present needs no flush. */
    pt[0] = (uint32_t)pages | P | U;
    invlpg(there);
    fresh(3);
    ctx.edi = WINDOW;
    RUN(write4);
    pt[0] |= W;
    RUN(write4);
    pt[1] = 0;
    ctx.edi = WINDOW + 4096;
    RUN(read4);
    pt[1] = (uint32_t)pages | P | U;
    RUN(read4);
    /* Global pages survive MOV CR3 while PGE is set, and nothing else. */
    write_cr4(read_cr4() | 1u << 7);
    pt[0] = (uint32_t)pages | P | W | U | G;
    invlpg(there);
    print("global %x", there[0] & 0);
    pt[0] = 0;
    write_cr3(read_cr3());
    fresh(0);
    ctx.edi = WINDOW;
    RUN(read4);
    invlpg(there);
    RUN(read4);
    pt[0] = (uint32_t)pages | P | W | U | G;
    RUN(read4);
    pt[0] = 0;
    write_cr4(read_cr4() & ~(1u << 7));
    RUN(read4);
    /* D is set by the first write even when the page was read before; and set anew after it was cleared. */
    pt[0] = (uint32_t)pages | P | W | U;
    write_cr3(read_cr3());
    (void)there[0];
    print("read: %x", pt[0] & (A | D));
    there[0] = 1;
    print(" written: %x", pt[0] & (A | D));
    pt[0] &= ~(uint32_t)(A | D);
    invlpg(there);
    there[0] = 2;
    print(" again: %x\n", pt[0] & (A | D));
    /* INVLPG of one address drops the whole large page. */
    write_cr4(read_cr4() | 1u << 4);
    pd[WINDOW >> 22] = 0x00400000u | PS | P | W | U;
    write_cr3(read_cr3());
    (void)there[0];
    (void)there[0x1000];
    (void)there[0x80000];
    pd[WINDOW >> 22] = 0;
    invlpg(there + 0x1000);
    ctx.edi = WINDOW;
    RUN(read4);
    ctx.edi = WINDOW + 0x200000;
    RUN(read4);
    write_cr4(read_cr4() & ~(1u << 4));
}

/* The processor's own accesses are a supervisor's, whatever the ring. */
static void implicit(void)
{
    print("-- implicit accesses\n");
    pd[WINDOW >> 22] = (uint32_t)pt | P | W | U;
    pt[0] = (uint32_t)pages | P | W; /* GDT copy */
    pt[1] = 0;
    memcpy(pages, gdt, 0x800);
    write_cr3(read_cr3());
    lgdt((void *)WINDOW, 0x17ff);
    fresh(3);
    ctx.eax = 0x1003;
    RUN(load_eax);
    ctx.eax = 0x23;
    RUN(load_eax);
    ctx.eax = 0x1003;
    RUN(lar_eax);
    lgdt(gdt, sizeof gdt - 1);
    /* A descriptor on a read-only page: the accessed bit cannot be set when WP is on. */
    for (unsigned wp = 0; wp < 2; wp++) {
        write_cr0((read_cr0() & ~0x10000u) | wp << 16);
        pt[0] = (uint32_t)pages | P;
        ((uint64_t *)pages)[UDATA >> 3] &= ~(1ull << 40);
        write_cr3(read_cr3());
        lgdt((void *)WINDOW, 0x7ff);
        fresh(0);
        ctx.eax = 0x23;
        RUN(load_eax);
        lgdt(gdt, sizeof gdt - 1);
    }
    write_cr0(read_cr0() & ~0x10000u);
    /* The IDT on a missing page: a page fault while delivering, then a double fault. */
    pt[0] = (uint32_t)pages | P | W;
    pt[1] = 0;
    memcpy(pages + 2048, idt, 2048);
    write_cr3(read_cr3());
    lidt((void *)(WINDOW + 4096 - 0x42 * 8), 0x7ff);
    memcpy(pages + 4096 - 0x42 * 8, idt, 0x42 * 8);
    fresh(3);
    RUN(int_42);
    lidt(idt, sizeof idt - 1);
    /* The inner stack on a missing page: #PF while delivering #PF is a double fault. */
    tss.esp0 = WINDOW + 8192;
    fresh(3);
    ctx.edi = WINDOW + 4096;
    RUN_AS("kernel stack absent: double fault", read4);
    tss.esp0 = (uint32_t)(kernel_stack + sizeof kernel_stack);
}

static void paging_32(void)
{
    identity();
    paging_on((uint32_t)pd);
    rights();
    write_cr0(read_cr0() & ~0x10000u);
    crossing();
    more_instructions();
    large_pages();
    invalidation();
    implicit();
    paging_off();
}

/* ---- PAE ---- */

static void pae_identity(void)
{
    for (unsigned i = 0; i < 512; i++) {
        pae_pd[i] = pae_pt[i] = 0;
        pae_low[i] = i < 8 ? i << 21 | PS | P | W | U : 0;
    }
    pdpt[0] = (uint32_t)pae_low | P;
    pdpt[1] = (uint32_t)pae_pd | P; /* WINDOW is its first address */
    pdpt[2] = pdpt[3] = 0;
}

static void pae_access(uint64_t pde, uint64_t pte, unsigned ring)
{
#define PAE(name)                                                                                            \
    pae_pd[0] = pde;                                                                                         \
    pae_pt[0] = pte;                                                                                         \
    pages[0] = 0xc3;                                                                                         \
    write_cr3(read_cr3());                                                                                   \
    fresh(ring);                                                                                             \
    ctx.edi = WINDOW;                                                                                        \
    if (pde & PS)                                                                                            \
        ctx.edi += (uint32_t)pages & 0x1fffff;                                                               \
    RUN(name);                                                                                               \
    show_bits((uint32_t)pae_pd[0], (uint32_t)pae_pt[0])
    PAE(read4);
    PAE(write4);
    PAE(execute);
}

SNIPPET(load_cr3, "mov %eax, %cr3");
SNIPPET(set_pae, "mov %cr4, %eax\n or $0x20, %eax\n mov %eax, %cr4\n xor %eax, %eax");
SNIPPET(clear_pae, "mov %cr4, %eax\n and $~0x20, %eax\n mov %eax, %cr4\n xor %eax, %eax");
SNIPPET(set_pg,
        "mov %cr0, %eax\n and $0x1fffffff, %eax\n or $0x80000000, %eax\n mov %eax, %cr0\n xor %eax, %eax");

static void paging_pae(void)
{
    static const uint64_t reserved[] = {1ull << 41, 1ull << 51, 1ull << 52, 1ull << 62, 1ull << 63};
    pae_identity();
    write_cr4(read_cr4() | 1u << 5);
    paging_on((uint32_t)pdpt);
    for (unsigned nxe = 0; nxe < 2; nxe++) {
        if (nxe)
            wrmsr(0xc0000080, 1u << 11);
        for (unsigned ring = 0; ring < 4; ring += 3) {
            print("-- PAE nxe %u ring %u\n", nxe, ring);
            for (unsigned bits = 1; bits < 8; bits += 2) {
                print("pde 7 pte %u:\n", bits);
                pae_access((uint32_t)pae_pt | 7, (uint32_t)pages | bits, ring);
                print("pde %u pte 7:\n", bits);
                pae_access((uint32_t)pae_pt | bits, (uint32_t)pages | 7, ring);
                print("large %u:\n", bits);
                pae_access(((uint32_t)pages & 0xffe00000u) | PS | bits, 0, ring);
            }
            print("absent:\n");
            pae_access((uint32_t)pae_pt | 7, 6, ring);
            pae_access(6, 0, ring);
            print("nx in pte, pde, large:\n");
            pae_access((uint32_t)pae_pt | 7, (uint32_t)pages | 7 | 1ull << 63, ring);
            pae_access((uint32_t)pae_pt | 7 | 1ull << 63, (uint32_t)pages | 7, ring);
            pae_access(((uint32_t)pages & 0xffe00000u) | PS | 7 | 1ull << 63, 0, ring);
            if (ring == 0)
                continue;
            for (unsigned i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
                print("reserved bit %x%08x in pte, pde, large:\n", (uint32_t)(reserved[i] >> 32), 0u);
                pae_access((uint32_t)pae_pt | 7, (uint32_t)pages | 7 | reserved[i], ring);
                pae_access((uint32_t)pae_pt | 7 | reserved[i], (uint32_t)pages | 7, ring);
                pae_access(((uint32_t)pages & 0xffe00000u) | PS | 7 | reserved[i], 0, ring);
            }
            pae_access(((uint32_t)pages & 0xffe00000u) | PS | 7 | 1u << 13, 0, ring);
            pae_access(((uint32_t)pages & 0xffe00000u) | PS | 7 | 1u << 20, 0, ring);
        }
    }
    print("-- PDPTEs\n");
    fresh(0);
    ctx.edi = 0x80000000u;
    RUN_AS("absent", read4);
    static const uint64_t bad[] = {1u << 1, 1u << 2, 1u << 5, 1u << 8, 1ull << 41, 1ull << 63};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        pdpt[3] = (uint32_t)pae_pd | P | bad[i];
        fresh(0);
        ctx.eax = (uint32_t)pdpt;
        print("%x%08x ", (uint32_t)(bad[i] >> 32), (uint32_t)bad[i]);
        RUN(load_cr3);
    }
    pdpt[3] = bad[0] & ~1u; /* not present: anything goes */
    fresh(0);
    ctx.eax = (uint32_t)pdpt;
    RUN(load_cr3);
    /* PDPTEs are registers: a change in memory waits for MOV CR3. */
    pae_pd[0] = (uint32_t)pae_pt | 7;
    pae_pt[0] = (uint32_t)pages | 7;
    pdpt[1] = 0;
    invlpg((void *)WINDOW);
    fresh(0);
    ctx.edi = WINDOW;
    RUN_AS("PDPTE cleared in memory", read4);
    write_cr3(read_cr3());
    RUN_AS("and CR3 loaded", read4);
    fresh(0);
    paging_off();
    /* Turning paging on checks them too. */
    pdpt[3] = P | 2;
    fresh(0);
    RUN(set_pg);
    write_cr4(read_cr4() & ~(1u << 5));
    wrmsr(0xc0000080, 0);
    identity();
    paging_on((uint32_t)pd);
    fresh(0);
    RUN(clear_pae);
    paging_off();
}

void image_main(void)
{
    paging_32();
    paging_pae();
    print("CR0 %08x CR4 %08x\n", read_cr0() & 0x9fffffff, read_cr4());
}
