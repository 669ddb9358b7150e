/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Windows (emu/cpu/jit/window.c): hot code sees what the guest's page tables, the board and the debug
 * registers say now, and refused accesses leave nothing behind.
 *
 * Programs are machine code in flat 32-bit protected mode at 64 KiB; each block is translated and hot before
 * its first execution. Exceptions go to HLTs. With paging on, the first 4 MiB are mapped one to one, and
 * 0x40000000 and the pages behind it (WINDOW) as a test says. Every test runs with the interpreter too, which
 * shows that what is expected is right.
 */
#include "emu/cpu/jit/window.h"

#include "emu/cpu/jit/jit.h"
#include "tests/cpu/rig.h"

#include <string.h>
#include <sys/mman.h>

enum {
    RAM_SIZE = 8 << 20,
    AT_TSS = 0x1800,
    AT_DIRECTORY = 0x9000,
    AT_TABLE = 0xa000,  /* of the first 4 MiB */
    AT_WINDOW = 0xb000, /* of WINDOW */
    AT_CODE = 0x10000,
    AT_DATA = 0x20000, /* frames: 0x20 … */
    AT_TABLES = 0x400000,
    WINDOW = 0x40000000,
};

/* What the rig has besides. */
struct parts {
    struct phys_range *overlay; /* RAM of 6 MiB at 2 MiB when it is switched on */
    unsigned reads, writes;     /* of the device */
    uint32_t last;
};

static uint32_t device_read(void *opaque, uint32_t offset, unsigned size)
{
    struct parts *parts = opaque;

    return ++parts->reads;
}

static void device_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct parts *parts = opaque;

    parts->writes++;
    parts->last = value;
}

static const struct mmio_ops device = {.read = device_read, .write = device_write};

/* Says where and how widely it was read. */
static uint32_t echo_read(void *opaque, uint32_t offset, unsigned size)
{
    return 0x55550000 | size << 12 | offset;
}

static void echo_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    ((struct parts *)opaque)->last = value ^ echo_read(opaque, offset, size);
}

static const struct mmio_ops echo = {.read = echo_read, .write = echo_write};

static void rig_setup(struct rig *rig, gconstpointer data)
{
    struct parts *parts = rig->own = g_new0(struct parts, 1);
    g_autoptr(GError) error = NULL;

    rig_make(rig, RAM_SIZE, NULL);
    physmap_add_ram(rig->mem, "top", 0xfffff000, 0x1000, 0x30000, 0);
    parts->overlay = physmap_add_ram(rig->mem, "overlay", 0x200000, 0x10000, 0x600000, 1);
    physmap_range_enable(rig->mem, parts->overlay, false);
    physmap_add_mmio(rig->mem, "device", 0xf0000000, 0x1000, &device, parts, 0);
    if (data && rig_translate(rig, &error))
        jit_set_heat(rig->cpu, 0);
    else if (data)
        g_test_skip(error->message);
    rig_lay_out(rig);
    phys_write32(rig->mem, AT_TSS + 4, RIG_STACK);
    phys_write32(rig->mem, AT_TSS + 8, 0x18);
}

static void rig_teardown(struct rig *rig, gconstpointer data)
{
    rig_free(rig);
    g_free(rig->own);
}

static void start(struct rig *rig)
{
    rig_start(rig, AT_CODE);
    rig->cpu->tr =
        (struct segment){.selector = 0x28, .base = AT_TSS, .limit = 0x67, .max = 0x67, .attr = 0x8b00};
    cpu_write_cr4(rig->cpu, CR4_OSFXSR | CR4_PSE);
}

static void map(struct rig *rig, unsigned page, uint32_t entry)
{
    phys_write32(rig->mem, AT_WINDOW + page * 4, entry);
}

static void start_paging(struct rig *rig)
{
    for (uint32_t i = 0; i < 1024; i++)
        phys_write32(rig->mem, AT_TABLE + i * 4, i << 12 | 7);
    for (unsigned i = 0; i < 1024; i++)
        map(rig, i, 0);
    phys_write32(rig->mem, AT_DIRECTORY, AT_TABLE | 7);
    phys_write32(rig->mem, AT_DIRECTORY + (WINDOW >> 20), AT_WINDOW | 7);
    start(rig);
    cpu_write_cr3(rig->cpu, AT_DIRECTORY);
    cpu_write_cr0(rig->cpu, rig->cpu->cr0 | CR0_PG | CR0_WP | CR0_AM);
}

/* Runs the code until HLT; the vector when an exception's handler halted, −1 otherwise. */
static int run_at(struct rig *rig, uint32_t eip)
{
    rig->cpu->eip = eip;
    rig->cpu->halted = false;
    return rig_run(rig);
}

static int run(struct rig *rig, const char *hex)
{
    rig_load(rig, AT_CODE, hex);
    return run_at(rig, AT_CODE);
}

static int run_with(struct rig *rig, uint32_t esi, uint32_t eax, const char *hex)
{
    rig->cpu->gpr[ESI] = esi;
    rig->cpu->gpr[EAX] = eax;
    rig->cpu->gpr[ESP] = RIG_STACK;
    return run(rig, hex);
}

static uint32_t read_at(struct rig *rig, uint32_t esi)
{
    g_assert_cmpint(run_with(rig, esi, 0, "8b06 f4"), ==, -1);
    return rig->cpu->gpr[EAX];
}

static void write_at(struct rig *rig, uint32_t esi, uint32_t value)
{
    g_assert_cmpint(run_with(rig, esi, value, "8906 f4"), ==, -1);
}

static void flush_page(struct rig *rig, uint32_t esi)
{
    g_assert_cmpint(run_with(rig, esi, 0, "0f013e f4"), ==, -1);
}

static uint64_t mapped(struct rig *rig)
{
    return rig->cpu->window ? window_counts(rig->cpu->window).mapped : 0;
}

/* ---- the tests ---- */

static void test_used(struct rig *rig, gconstpointer data)
{
    start(rig);
    rig->cpu->gpr[ECX] = 1000;
    g_assert_cmpint(run_with(rig, AT_DATA, 0, "ff06 49 75fb f4"), ==, -1); /* inc dword [esi]; dec ecx; jnz */
    g_assert_cmpuint(phys_read32(rig->mem, AT_DATA), ==, 1000);
    if (rig->cpu->window) {
        struct window_counts counts = window_counts(rig->cpu->window);

        g_assert_cmpuint(counts.mapped, >, 0);
        g_assert_cmpuint(counts.faults, <, 10);
    }
}

static void test_remap(struct rig *rig, gconstpointer data)
{
    start_paging(rig);
    for (uint32_t global = 0; global < 2; global++) {
        uint32_t bits = 3 | global << 8;

        cpu_write_cr4(rig->cpu, CR4_OSFXSR | (global ? CR4_PGE : 0));
        phys_write32(rig->mem, 0x20000, 0xaaaa);
        phys_write32(rig->mem, 0x21000, 0xbbbb);
        map(rig, 0, 0x20000 | bits);
        flush_page(rig, WINDOW);
        g_assert_cmpuint(read_at(rig, WINDOW), ==, 0xaaaa);
        write_at(rig, WINDOW, 0xa0a0);
        map(rig, 0, 0x21000 | bits);
        flush_page(rig, WINDOW);
        g_assert_cmpuint(read_at(rig, WINDOW), ==, 0xbbbb);
        write_at(rig, WINDOW, 0xb0b0);
        g_assert_cmpuint(phys_read32(rig->mem, 0x20000), ==, 0xa0a0);
        g_assert_cmpuint(phys_read32(rig->mem, 0x21000), ==, 0xb0b0);
        /* CR3 takes what is not global, switching CR4.PGE all */
        map(rig, 0, 0x20000 | bits);
        g_assert_cmpint(run(rig, global ? "0f20e0 3480 0f22e0 3480 0f22e0 f4" : "0f20d8 0f22d8 f4"), ==, -1);
        g_assert_cmpuint(read_at(rig, WINDOW), ==, 0xa0a0);
        /* and absent */
        map(rig, 0, 0);
        flush_page(rig, WINDOW);
        g_assert_cmpint(run_with(rig, WINDOW + 8, 0, "8b06 f4"), ==, VEC_PF);
        g_assert_cmpuint(rig->cpu->cr2, ==, WINDOW + 8);
    }
    if (rig->cpu->window)
        g_assert_cmpuint(mapped(rig), >, 5);
}

static void test_write_protection(struct rig *rig, gconstpointer data)
{
    start_paging(rig);
    map(rig, 0, 0x20000 | 1);
    g_assert_cmpuint(read_at(rig, WINDOW), ==, 0);
    g_assert_cmpint(run_with(rig, WINDOW, 5, "8906 f4"), ==, VEC_PF);
    g_assert_cmpuint(phys_read32(rig->mem, rig->cpu->gpr[ESP]), ==, 3); /* present, write */
    g_assert_cmpint(run_with(rig, WINDOW, 5, "0106 f4"), ==, VEC_PF);
    g_assert_cmpuint(phys_read32(rig->mem, 0x20000), ==, 0);
    map(rig, 0, 0x20000 | 3);
    flush_page(rig, WINDOW);
    write_at(rig, WINDOW, 6);
    g_assert_cmpuint(phys_read32(rig->mem, AT_WINDOW) & 0x60, ==, 0x60);
    map(rig, 0, 0x20000 | 1);
    flush_page(rig, WINDOW);
    g_assert_cmpint(run_with(rig, WINDOW, 7, "8906 f4"), ==, VEC_PF);
    g_assert_cmpuint(phys_read32(rig->mem, 0x20000), ==, 6);
    /* the D bit again when software cleared it */
    map(rig, 0, 0x20000 | 3);
    flush_page(rig, WINDOW);
    g_assert_cmpuint(read_at(rig, WINDOW), ==, 6);
    g_assert_cmpuint(phys_read32(rig->mem, AT_WINDOW) & 0x60, ==, 0x20);
    write_at(rig, WINDOW, 8);
    g_assert_cmpuint(phys_read32(rig->mem, AT_WINDOW) & 0x60, ==, 0x60);
}

/* A store changes code that was executed; its page was in the window before. */
static void test_code_modified(struct rig *rig, gconstpointer data)
{
    start(rig);
    write_at(rig, 0x30800, 0);
    rig_load(rig, 0x30000, "b800000000 c3"); /* mov eax, …; ret */
    rig->cpu->gpr[ECX] = 100;
    rig->cpu->gpr[EBX] = 0;
    rig->cpu->gpr[EDX] = 0x30000;
    /* again: mov [30001], ecx; inc dword [30800]; call edx; add ebx, eax; dec ecx; jnz again; hlt */
    g_assert_cmpint(run(rig, "890d01000300 ff0500080300 ffd2 01c3 49 75ed f4"), ==, -1);
    g_assert_cmpuint(rig->cpu->gpr[EBX], ==, 5050);
    g_assert_cmpuint(phys_read32(rig->mem, 0x30800), ==, 100);
    if (rig->cpu->window)
        g_assert_cmpuint(window_counts(rig->cpu->window).patched, >, 0);
}

/* What was behind a page is not what is there after a change of the map. */
static void test_device_moves(struct rig *rig, gconstpointer data)
{
    struct parts *parts = rig->own;
    struct phys_range *second = physmap_add_mmio(rig->mem, "second", 0xf0004000, 0x2000, &echo, parts, 1);
    struct phys_range *ram = physmap_add_ram(rig->mem, "ram there", 0xf0000000, 0x1000, 0x700000, 2);

    physmap_add_mmio(rig->mem, "half", 0xf0008000, 0x800, &echo, parts, 1);
    physmap_range_enable(rig->mem, ram, false);
    start(rig);
    for (unsigned i = 0; i < 3; i++) {
        parts->reads = 0x100;
        for (unsigned n = 1; n < 20; n++)
            g_assert_cmphex(read_at(rig, 0xf0000000), ==, 0x100 + n);
        g_assert_cmphex(read_at(rig, 0xf0005008), ==, 0x55554000 + 0x1008);
        physmap_range_move(rig->mem, second, 0xf0000000);
        g_assert_cmphex(read_at(rig, 0xf0000008), ==, 0x55554008);
        g_assert_cmphex(read_at(rig, 0xf0005008), ==, 0xffffffff);
        write_at(rig, 0xf0001004, 0x1234);
        g_assert_cmphex(parts->last, ==, 0x1234 ^ (0x55554000 + 0x1004));
        physmap_range_enable(rig->mem, ram, true);
        write_at(rig, 0xf0000008, i);
        g_assert_cmphex(read_at(rig, 0xf0000008), ==, i);
        physmap_range_enable(rig->mem, ram, false);
        g_assert_cmphex(read_at(rig, 0xf0000008), ==, 0x55554008);
        physmap_range_move(rig->mem, second, 0xf0004000);
    }
    g_assert_cmphex(read_at(rig, 0xf0008010), ==, 0x55554010);
    g_assert_cmphex(read_at(rig, 0xf0008900), ==, 0xffffffff);
    /* bytes and words; what is not aligned comes in pieces */
    g_assert_cmpint(run_with(rig, 0xf0004003, 0, "8a06 f4"), ==, -1);
    g_assert_cmphex(rig->cpu->gpr[EAX], ==, 0x03);
    g_assert_cmpint(run_with(rig, 0xf0004006, 0, "668b06 f4"), ==, -1);
    g_assert_cmphex(rig->cpu->gpr[EAX], ==, 0x2006);
    g_assert_cmpint(run_with(rig, 0xf0004002, 0x11223344, "668906 f4"), ==, -1);
    g_assert_cmphex(parts->last, ==, 0x3344 ^ 0x55552002);
    g_assert_cmphex(read_at(rig, 0xf0004001), ==, 0x04200201);
}

static void test_device(struct rig *rig, gconstpointer data)
{
    struct parts *parts = rig->own;

    start(rig);
    rig->cpu->gpr[ECX] = 100;
    rig->cpu->gpr[EBX] = 0;
    /* again: add ebx, [esi]; mov [esi+4], ecx; dec ecx; jnz again; hlt */
    g_assert_cmpint(run_with(rig, 0xf0000000, 0, "031e 894e04 49 75f8 f4"), ==, -1);
    g_assert_cmpuint(parts->reads, ==, 100);
    g_assert_cmpuint(parts->writes, ==, 100);
    g_assert_cmpuint(parts->last, ==, 1);
    g_assert_cmpuint(rig->cpu->gpr[EBX], ==, 5050);
    if (rig->cpu->window) { /* the sites were given up; and go on with RAM */
        g_assert_cmpuint(window_counts(rig->cpu->window).patched, ==, 2);
        g_assert_cmpuint(window_counts(rig->cpu->window).faults, <, 30);
    }
    rig->cpu->gpr[ECX] = 3;
    rig->cpu->gpr[ESI] = AT_DATA;
    g_assert_cmpint(run_at(rig, AT_CODE), ==, -1);
    g_assert_cmpuint(phys_read32(rig->mem, AT_DATA + 4), ==, 1);
}

/* Accesses that begin on a page in the window and end on one that is not there: nothing has happened. */
static void test_crossing(struct rig *rig, gconstpointer data)
{
    static const struct {
        const char *store, *read;
        unsigned bytes;
    } forms[] = {
        {"668906 f4", "668b06 f4", 2},  {"8906 f4", "8b06 f4", 4}, {"dd1e f4", "dd06 f4", 8}, /* fstp, fld */
        {"0f7f06 f4", "0f6f06 f4", 8},                                                        /* movq */
        {"db3e f4", "db2e f4", 10},                                                           /* fstp, fld */
        {"0f1106 f4", "0f1006 f4", 16},                                                       /* movups */
        {"df36 f4", "df26 f4", 10}, /* fbstp, fbld */
    };

    start_paging(rig);
    for (uint32_t second = 0; second < 2; second++) {
        map(rig, 0, 0x20000 | 3);
        map(rig, 1, second ? 0x21000 | 1 : 0); /* absent, or for reading */
        flush_page(rig, WINDOW + 0x1000);
        for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
            for (uint32_t over = 1; over < forms[i].bytes; over++) {
                uint32_t at = WINDOW + 0x1000 - forms[i].bytes + over;

                write_at(rig, WINDOW + 0x800, 1);
                for (uint32_t k = 0; k < 8; k++)
                    phys_write32(rig->mem, 0x21000 - 16 + 4 * k, 0x55555555);
                g_assert_cmpint(run(rig, "dbe3 d9e8 d9eb f4"), ==, -1); /* fninit; fld1; fldpi */
                g_assert_cmpint(run_with(rig, at, ~0u, forms[i].store), ==, VEC_PF);
                g_assert_cmpuint(rig->cpu->cr2, ==, WINDOW + 0x1000);
                for (uint32_t k = 0; k < 8; k++)
                    g_assert_cmphex(phys_read32(rig->mem, 0x21000 - 16 + 4 * k), ==, 0x55555555);
                g_assert_cmpuint(rig->cpu->fpu.fsw >> 11 & 7, ==, 6); /* nothing popped */
                g_assert_cmpint(run_with(rig, at, ~0u, forms[i].read), ==, second ? -1 : VEC_PF);
            }
        }
    }
    /* both there, and neighbours in no memory */
    map(rig, 0, 0x2f000 | 3);
    map(rig, 1, 0x21000 | 3);
    flush_page(rig, WINDOW);
    flush_page(rig, WINDOW + 0x1000);
    write_at(rig, WINDOW + 0xffd, 0x44332211);
    g_assert_cmphex(phys_read8(rig->mem, 0x2ffff), ==, 0x33);
    g_assert_cmphex(phys_read8(rig->mem, 0x21000), ==, 0x44);
    g_assert_cmphex(read_at(rig, WINDOW + 0xffd), ==, 0x44332211);
}

/* Across 4 GiB it goes on at 0. */
static void test_wrap(struct rig *rig, gconstpointer data)
{
    start(rig);
    write_at(rig, 0xfffffffc, 0x11223344);
    g_assert_cmphex(phys_read32(rig->mem, 0x30ffc), ==, 0x11223344);
    write_at(rig, 0, 0x55667788);
    g_assert_cmphex(read_at(rig, 0xfffffffe), ==, 0x77881122);
    write_at(rig, 0xfffffffe, 0xaabbccdd);
    g_assert_cmphex(phys_read16(rig->mem, 0x30ffe), ==, 0xccdd);
    g_assert_cmphex(phys_read16(rig->mem, 0), ==, 0xaabb);
    g_assert_cmpint(run_with(rig, 0xfffffff8, 0, "0f1006 0f114610 f4"), ==, -1);
    g_assert_cmphex(phys_read32(rig->mem, 8), ==, 0);
    g_assert_cmphex(phys_read32(rig->mem, 12), ==, 0xccdd3344);
    write_at(rig, 0xfffffffc, 0x11223344);
    write_at(rig, 0, 0x55667788);
    /* displacements wrap without complaint */
    g_assert_cmpint(run_with(rig, 0xfffffffc, 0, "8b4604 f4"), ==, -1);
    g_assert_cmphex(rig->cpu->gpr[EAX], ==, 0x55667788);
    g_assert_cmpint(run_with(rig, 4, 0, "8b46f8 f4"), ==, -1);
    g_assert_cmphex(rig->cpu->gpr[EAX], ==, 0x11223344);
}

static void test_dma(struct rig *rig, gconstpointer data)
{
    start(rig);
    write_at(rig, AT_DATA, 1);
    phys_write32(rig->mem, AT_DATA, 2);
    g_assert_cmpuint(read_at(rig, AT_DATA), ==, 2);
    write_at(rig, AT_DATA, 3);
    g_assert_cmpuint(phys_read32(rig->mem, AT_DATA), ==, 3);
}

static void test_board(struct rig *rig, gconstpointer data)
{
    struct parts *parts = rig->own;

    start(rig);
    for (unsigned i = 0; i < 3; i++) {
        write_at(rig, 0x200000, 0x10 + i);
        physmap_range_enable(rig->mem, parts->overlay, true);
        g_assert_cmpuint(read_at(rig, 0x200000), ==, i ? 0x20 + i - 1 : 0);
        write_at(rig, 0x200000, 0x20 + i);
        /* as with PAM: reads from the overlay, writes below */
        physmap_range_set_access(rig->mem, parts->overlay, true, false);
        write_at(rig, 0x200000, 0x30 + i);
        g_assert_cmpuint(read_at(rig, 0x200000), ==, 0x20 + i);
        physmap_range_set_access(rig->mem, parts->overlay, true, true);
        physmap_range_enable(rig->mem, parts->overlay, false);
        g_assert_cmpuint(read_at(rig, 0x200000), ==, 0x30 + i);
    }
}

/* Kernel and initrd are mapped over RAM while the machine is reset. */
static void test_replaced(struct rig *rig, gconstpointer data)
{
    enum { AT = 0x300000, SIZE = 0x40000 };

    for (unsigned i = 1; i < 4; i++) {
        uint8_t *to = physmap_ram(rig->mem) + AT;

        start(rig);
        write_at(rig, AT, 1);
        write_at(rig, AT + SIZE - 4, 2);
        cpu_reset(rig->cpu);
        g_assert_true(
            mmap(to, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == to);
        physmap_ram_replaced(rig->mem, AT, SIZE);
        for (uint32_t at = AT; at < AT + SIZE; at += 0x800)
            phys_write32(rig->mem, at, at ^ i);
        start(rig);
        for (uint32_t at = AT; at < AT + SIZE; at += i * 0x3800) {
            g_assert_cmphex(read_at(rig, at), ==, at ^ i);
            write_at(rig, at, at + i);
            g_assert_cmphex(phys_read32(rig->mem, at), ==, at + i);
            phys_write32(rig->mem, at, at + 2 * i);
            g_assert_cmphex(read_at(rig, at), ==, at + 2 * i);
            g_assert_cmphex(phys_read32(rig->mem, at + 0x800), ==, (at + 0x800) ^ i);
        }
    }
    if (rig->cpu->window)
        g_assert_cmpuint(mapped(rig), >, 8);
}

/* More mappings than the host lets a process have: none of these pages can be mapped with its neighbour. */
static void test_many(struct rig *rig, gconstpointer data)
{
    enum { TABLES = 20, PAGES = TABLES * 1024 };
    uint64_t sum = 0;

    start_paging(rig);
    for (uint32_t i = 0; i < 512; i++)
        phys_write32(rig->mem, 0x500000 + (i << 12), i + 1);
    for (uint32_t i = 0; i < PAGES; i++) {
        uint32_t frame = (i * 37) % 512;

        phys_write32(rig->mem, AT_TABLES + i * 4, (0x500000 + (frame << 12)) | 3);
        sum += frame + 1;
    }
    for (uint32_t i = 0; i < TABLES; i++)
        phys_write32(rig->mem, AT_DIRECTORY + (WINDOW >> 20) + i * 4, (AT_TABLES + (i << 12)) | 3);
    for (unsigned round = 0; round < 2; round++) {
        rig->cpu->gpr[ECX] = PAGES;
        rig->cpu->gpr[EBX] = 0;
        /* again: add ebx, [esi]; add esi, 1000; dec ecx; jnz again; hlt */
        g_assert_cmpint(run_with(rig, WINDOW, 0, "031e 81c600100000 49 75f5 f4"), ==, -1);
        g_assert_cmpuint(rig->cpu->gpr[EBX], ==, (uint32_t)sum);
    }
    if (rig->cpu->window)
        g_assert_cmpuint(mapped(rig), >, PAGES);
}

/* Few mappings are allowed: what has to go makes room, and the rest is dropped when there is none. */
static void test_few(struct rig *rig, gconstpointer data)
{
    if (rig->cpu->window)
        window_set_most(rig->cpu->window, 50);
    test_many(rig, data);
}

/* The host has no more mappings for us: pages that stand in the middle of others are taken away all the same,
 * and what cannot be mapped is done without. */
static void test_exhausted(struct rig *rig, gconstpointer data)
{
    enum { PAGES = 16, HOST_PAGE = 4096 };
    size_t most = 200000, held = 0;
    uint8_t *host;

    start_paging(rig);
    for (unsigned i = 0; i < PAGES; i++) {
        phys_write32(rig->mem, 0x500000 + (i << 12), i + 1);
        phys_write32(rig->mem, 0x600000 + (i << 12), i + 101);
        map(rig, i, (0x500000 + (i << 12)) | 0x63);
    }
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < PAGES; i++)
            g_assert_cmpuint(read_at(rig, WINDOW + (i << 12)), ==, i + 1);
    host = mmap(NULL, most * HOST_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert_true(host != MAP_FAILED);
    while (held < most && !mprotect(host + held * HOST_PAGE, HOST_PAGE, PROT_READ))
        held += 2;
    if (held >= most) {
        munmap(host, most * HOST_PAGE);
        g_test_skip("vm.max_map_count is too large to be used up");
        return;
    }
    for (unsigned i = 1; i < PAGES; i += 2)
        map(rig, i, (0x600000 + (i << 12)) | 0x63);
    for (unsigned i = 1; i < PAGES; i += 2) {
        flush_page(rig, WINDOW + (i << 12));
        write_at(rig, WINDOW + (i << 12) + 4, i);
    }
    for (unsigned i = 0; i < PAGES; i++)
        g_assert_cmpuint(read_at(rig, WINDOW + (i << 12)), ==, i + (i & 1 ? 101 : 1));
    for (unsigned i = 1; i < PAGES; i += 2) {
        g_assert_cmpuint(phys_read32(rig->mem, 0x600004 + (i << 12)), ==, i);
        g_assert_cmpuint(phys_read32(rig->mem, 0x500004 + (i << 12)), ==, 0);
    }
    munmap(host, most * HOST_PAGE);
    for (unsigned i = 0; i < PAGES; i++)
        g_assert_cmpuint(read_at(rig, WINDOW + (i << 12)), ==, i + (i & 1 ? 101 : 1));
}

/* Large pages: one bit and one entry for many pages, taken back at once. */
static void test_large(struct rig *rig, gconstpointer data)
{
    start_paging(rig);
    for (unsigned i = 0; i < 4; i++) {
        uint32_t other = 0x400000u * (i & 1) | 0x1e3; /* 4 MiB, global, written, accessed */

        /* from the second round on as in kernels, whose own pages are global */
        cpu_write_cr4(rig->cpu, CR4_OSFXSR | CR4_PSE | (i ? CR4_PGE : 0));
        for (uint32_t page = 0x100; page < 0x3f0; page++) {
            phys_write32(rig->mem, page << 12, page);
            phys_write32(rig->mem, 0x400000 + (page << 12), page + 0x1000);
        }
        phys_write32(rig->mem, AT_DIRECTORY + (WINDOW >> 20), other);
        flush_page(rig, WINDOW + 0x12345);
        for (uint32_t page = 0x100; page < 0x3f0; page += 5) {
            g_assert_cmpuint(read_at(rig, WINDOW + (page << 12)), ==, page + 0x1000 * (i & 1));
            write_at(rig, WINDOW + (page << 12), page + 7);
            g_assert_cmpuint(phys_read32(rig->mem, 0x400000 * (i & 1) + (page << 12)), ==, page + 7);
        }
        /* code among it */
        rig_load(rig, 0x400000 * (i & 1) + 0x123000, "b811000000 c3");
        rig->cpu->gpr[EDX] = WINDOW + 0x123000;
        g_assert_cmpint(run(rig, "ffd2 89c3 c6420122 ffd2 f4"), ==, -1); /* call, store, call */
        g_assert_cmphex(rig->cpu->gpr[EBX], ==, 0x11);
        g_assert_cmphex(rig->cpu->gpr[EAX], ==, 0x22);
    }
}

/* eax to every page of [first, end), by hot code; the faults it took */
static uint64_t write_pages(struct rig *rig, uint32_t first, uint32_t end, uint32_t value)
{
    uint64_t before = rig->cpu->window ? window_counts(rig->cpu->window).faults : 0;

    rig->cpu->gpr[ECX] = (end - first) >> 12;
    /* again: mov [esi], eax; add esi, 1000; dec ecx; jnz again; hlt */
    g_assert_cmpint(run_with(rig, first, value, "8906 81c600100000 49 75f5 f4"), ==, -1);
    for (uint32_t at = first; at < end; at += 0x1000)
        g_assert_cmphex(phys_read32(rig->mem, at), ==, value);
    return rig->cpu->window ? window_counts(rig->cpu->window).faults - before : 0;
}

/* Without paging pages are mapped ahead of what touches them, up to the next page of code and the next piece
 * of the board. */
static void test_ahead(struct rig *rig, gconstpointer data)
{
    struct phys_range *overlay;

    start(rig);
    g_assert_cmpuint(write_pages(rig, 0x300000, 0x340000, 1), <=, 8);
    rig_load(rig, 0x355100, "b811000000 c3"); /* mov eax, 11; ret */
    rig->cpu->gpr[EDX] = 0x355100;
    g_assert_cmpint(run(rig, "ffd2 f4"), ==, -1);
    g_assert_cmpuint(write_pages(rig, 0x350000, 0x360000, 2), <=, 8);
    rig->cpu->gpr[EDX] = 0x355100;
    g_assert_cmpint(run(rig, "ffd2 89c3 c6420122 ffd2 f4"), ==, -1); /* call, mov [edx+1], 22; call */
    g_assert_cmphex(rig->cpu->gpr[EBX], ==, 0x11);
    g_assert_cmphex(rig->cpu->gpr[EAX], ==, 0x22);
    overlay = physmap_add_ram(rig->mem, "ahead", 0x254000, 0x3000, 0x600000, 1);
    write_pages(rig, 0x250000, 0x260000, 3);
    physmap_range_enable(rig->mem, overlay, false);
    for (uint32_t at = 0x250000; at < 0x260000; at += 0x1000)
        g_assert_cmphex(phys_read32(rig->mem, at), ==, at >= 0x254000 && at < 0x257000 ? 0 : 3);
    g_assert_cmphex(phys_read32(rig->mem, 0x600000), ==, 3);
    g_assert_cmphex(phys_read32(rig->mem, 0x602000), ==, 3);
    g_assert_cmphex(phys_read32(rig->mem, 0x603000), ==, 0);
    write_pages(rig, 0x250000, 0x260000, 4);
    g_assert_cmphex(phys_read32(rig->mem, 0x600000), ==, 3);
}

/* With a budget: it is used up, and all goes on; later there is some again. */
static void test_budget(struct rig *rig, gconstpointer data)
{
    uint64_t before;

    start_paging(rig);
    if (!rig->cpu->window)
        return;
    jit_set_heat(rig->cpu, 1);
    map(rig, 0, 0x20000 | 3);
    rig->cpu->gpr[ECX] = 20000;
    /* again: invlpg [esi]; inc dword [esi]; dec ecx; jnz again; hlt */
    g_assert_cmpint(run_with(rig, WINDOW, 0, "0f013e ff06 49 75f8 f4"), ==, -1);
    g_assert_cmpuint(phys_read32(rig->mem, 0x20000), ==, 20000);
    g_assert_cmpuint(window_counts(rig->cpu->window).rests, >, 0);
    g_assert_cmpuint(window_counts(rig->cpu->window).faults, <, 20000);
    before = mapped(rig);
    for (unsigned i = 0; i < 100000 && mapped(rig) == before; i++) { /* 20 s at most */
        rig->cpu->gpr[ECX] = 20000;
        g_assert_cmpint(run_with(rig, AT_DATA + (i << 12 & 0xf000), 0, "ff06 49 75fb f4"), ==, -1);
    }
    g_assert_cmpuint(mapped(rig), >, before);
}

/* What a kernel touches that is not its own is left out, and what does it no longer asks. */
static void test_lasting(struct rig *rig, gconstpointer data)
{
    start_paging(rig);
    cpu_write_cr4(rig->cpu, CR4_OSFXSR | CR4_PGE);
    map(rig, 0, 0x20000 | 7);
    rig->cpu->gpr[ECX] = 100;
    g_assert_cmpint(run_with(rig, WINDOW, 0, "ff06 49 75fb f4"), ==, -1);
    g_assert_cmpuint(phys_read32(rig->mem, 0x20000), ==, 100);
    if (rig->cpu->window) {
        g_assert_cmpuint(mapped(rig), ==, 0);
        g_assert_cmpuint(window_counts(rig->cpu->window).faults, <, 20);
        g_assert_cmpuint(window_counts(rig->cpu->window).patched, ==, 1);
    }
}

/* Ring 3: its own window; alignment checks; pages that are the kernel's. */
static void enter_ring3(struct rig *rig, uint32_t eflags, const char *hex)
{
    struct cpu *cpu = rig->cpu;

    rig_load(rig, AT_CODE + 0x1000, hex);
    cpu->gpr[ESP] = RIG_STACK - 20;
    phys_write32(rig->mem, RIG_STACK - 20, AT_CODE + 0x1000);
    phys_write32(rig->mem, RIG_STACK - 16, 0x23);
    phys_write32(rig->mem, RIG_STACK - 12, eflags | 2);
    phys_write32(rig->mem, RIG_STACK - 8, RIG_STACK - 0x400);
    phys_write32(rig->mem, RIG_STACK - 4, 0x2b);
    /* mov edx, 2b; mov ds, edx; iret */
    rig_load(rig, AT_CODE, "ba2b000000 8eda 8ec2 cf");
}

static int run_ring3(struct rig *rig, uint32_t eflags, uint32_t esi, const char *hex)
{
    int vector;

    enter_ring3(rig, eflags, hex);
    rig->cpu->gpr[ESI] = esi;
    vector = run_at(rig, AT_CODE);
    /* back in ring 0, for the next one */
    g_assert_cmpuint(rig->cpu->cpl, ==, 0);
    return vector;
}

static void test_ring3(struct rig *rig, gconstpointer data)
{
    start_paging(rig);
    map(rig, 0, 0x20000 | 7);
    map(rig, 1, 0x21000 | 3);
    write_at(rig, WINDOW, 0x1234);
    write_at(rig, WINDOW + 0x1000, 0x5678);
    /* mov eax, [esi]; int3: a gate of ring 0 */
    g_assert_cmpint(run_ring3(rig, 0, WINDOW, "8b06 cc"), ==, VEC_GP);
    g_assert_cmphex(rig->cpu->gpr[EAX], ==, 0x1234);
    g_assert_cmpint(run_ring3(rig, 0, WINDOW + 0x1000, "8b06 cc"), ==, VEC_PF);
    g_assert_cmpint(run_ring3(rig, 0, WINDOW + 1, "8b06 cc"), ==, VEC_GP);
    g_assert_cmpint(run_ring3(rig, 0, WINDOW, "8b06 8906 8906 cc"), ==, VEC_GP);
    /* armed at the return, and by POPF in between */
    g_assert_cmpint(run_ring3(rig, FLAG_AC, WINDOW + 1, "8b06 cc"), ==, VEC_AC);
    g_assert_cmpint(run_ring3(rig, FLAG_AC, WINDOW, "8b06 cc"), ==, VEC_GP);
    g_assert_cmpint(run_ring3(rig, 0, WINDOW + 1, "8b06 9c 810c2400000400 9d 8906 cc"), ==, VEC_AC);
    g_assert_cmpint(run_ring3(rig, FLAG_AC, WINDOW + 1, "9c 81242400f0fbff 9d 8b06 cc"), ==, VEC_GP);
    g_assert_cmphex(read_at(rig, WINDOW + 0x1000), ==, 0x5678);
}

static void test_breakpoint(struct rig *rig, gconstpointer data)
{
    start_paging(rig);
    map(rig, 0, 0x20000 | 3);
    write_at(rig, WINDOW + 0x10, 1);
    /* mov dr0, esi; mov edx, stores of four bytes; mov dr7, edx; hlt */
    g_assert_cmpint(run_with(rig, WINDOW + 0x10, 0, "0f23c6 ba02040d00 0f23fa f4"), ==, -1);
    g_assert_cmpuint(read_at(rig, WINDOW + 0x10), ==, 1);
    g_assert_cmpint(run_with(rig, WINDOW + 0x10, 2, "8906 90 f4"), ==, VEC_DB);
    g_assert_cmpuint(phys_read32(rig->mem, 0x20010), ==, 2);
    g_assert_cmpint(run_with(rig, WINDOW + 0x12, 2, "6689460c 668906 90 f4"), ==, VEC_DB);
    g_assert_cmpint(run_with(rig, WINDOW + 0x20, 2, "8906 90 f4"), ==, -1);
    g_assert_cmpint(run_with(rig, 0, 0, "31d2 0f23fa f4"), ==, -1);
    write_at(rig, WINDOW + 0x10, 3);
}

/* SSE operands that must be aligned are not, on pages that are there and that are not. */
static void test_alignment(struct rig *rig, gconstpointer data)
{
    start_paging(rig);
    map(rig, 0, 0x20000 | 3);
    for (uint32_t offset = 0; offset < 0x1000; offset += 0x4c4) {
        bool aligned = offset % 16 == 0;

        g_assert_cmpint(run_with(rig, WINDOW + offset, 0, "0f2806 f4"), ==, aligned ? -1 : VEC_GP);
        g_assert_cmpint(run_with(rig, WINDOW + offset, 0, "0f2906 f4"), ==, aligned ? -1 : VEC_GP);
        g_assert_cmpint(run_with(rig, WINDOW + offset, 0, "0f5806 f4"), ==, aligned ? -1 : VEC_GP);
        g_assert_cmpint(run_with(rig, WINDOW + 0x1000 + offset, 0, "660f6f06 f4"), ==,
                        aligned ? VEC_PF : VEC_GP);
    }
}

/* FDP stays as it was when the operand cannot be had. */
static void test_x87_pointer(struct rig *rig, gconstpointer data)
{
    start_paging(rig);
    map(rig, 0, 0x20000 | 3);
    /* fninit; fld dword [esi] */
    g_assert_cmpint(run_with(rig, WINDOW + 0x10, 0, "dbe3 d906 f4"), ==, -1);
    g_assert_cmphex(rig->cpu->fpu.fdp, ==, WINDOW + 0x10);
    g_assert_cmpint(run_with(rig, WINDOW + 0x2000, 0, "d9e8 d906 f4"), ==, VEC_PF);
    g_assert_cmphex(rig->cpu->fpu.fdp, ==, WINDOW + 0x10);
    g_assert_cmpint(run_with(rig, WINDOW + 0xffe, 0, "d91e f4"), ==, VEC_PF);
    g_assert_cmphex(rig->cpu->fpu.fdp, ==, WINDOW + 0x10);
}

/* Blocks full of what needs the most code out of line. */
static void test_largest(struct rig *rig, gconstpointer data)
{
    static const char *const forms[] = {"64f73e", "64f736",     "f73e",  "64db2f",
                                        "65f73e", "64660f2807", "64ff36"};

    start(rig);
    for (unsigned x87 = 0; x87 < 2; x87++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
            g_autoptr(GString) code = g_string_new(x87 ? "d9e8" : "");

            for (unsigned n = x87; n < 31; n++)
                g_string_append(code, forms[i]);
            g_string_append(code, "f4");
            phys_write32(rig->mem, AT_DATA, 3);
            rig->cpu->gpr[EDX] = 0;
            rig->cpu->gpr[EDI] = AT_DATA + 0x100;
            rig->cpu->seg[SEG_FS] = rig->cpu->seg[SEG_GS] = rig->cpu->seg[SEG_DS];
            run_with(rig, AT_DATA, 1000, code->str);
        }
    }
    g_assert_cmpuint(read_at(rig, AT_DATA), ==, 3);
}

/* Two processors of two machines on one thread in turn. */
static void test_two(struct rig *rig, gconstpointer data)
{
    struct rig other = {0};

    rig_setup(&other, data);
    start(rig);
    start(&other);
    for (uint32_t i = 1; i < 20; i++) {
        write_at(rig, AT_DATA, i);
        write_at(&other, AT_DATA, i + 100);
        g_assert_cmpuint(read_at(rig, AT_DATA), ==, i);
        g_assert_cmpuint(read_at(&other, AT_DATA), ==, i + 100);
    }
    rig_teardown(&other, data);
    write_at(rig, AT_DATA, 5);
    g_assert_cmpuint(read_at(rig, AT_DATA), ==, 5);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct rig *rig, gconstpointer data);
    } tests[] = {
        {"/window/used", test_used},
        {"/window/remap", test_remap},
        {"/window/write-protection", test_write_protection},
        {"/window/code", test_code_modified},
        {"/window/device", test_device},
        {"/window/device-moves", test_device_moves},
        {"/window/crossing", test_crossing},
        {"/window/wrap", test_wrap},
        {"/window/dma", test_dma},
        {"/window/board", test_board},
        {"/window/replaced", test_replaced},
        {"/window/many", test_many},
        {"/window/few", test_few},
        {"/window/exhausted", test_exhausted},
        {"/window/large", test_large},
        {"/window/ahead", test_ahead},
        {"/window/budget", test_budget},
        {"/window/lasting", test_lasting},
        {"/window/ring3", test_ring3},
        {"/window/breakpoint", test_breakpoint},
        {"/window/alignment", test_alignment},
        {"/window/x87-pointer", test_x87_pointer},
        {"/window/largest", test_largest},
        {"/window/two", test_two},
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *name = g_strconcat("/interpreter", tests[i].name, NULL);

        g_test_add(name, struct rig, NULL, rig_setup, tests[i].run, rig_teardown);
        g_test_add(tests[i].name, struct rig, GINT_TO_POINTER(1), rig_setup, tests[i].run, rig_teardown);
    }
    return g_test_run();
}
