/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The decoded-block cache and the run loop: self-modifying code, code in two pages, in ROM and in device
 * memory, the limit of CS, interrupts and requests in the middle of things, single step, the count of
 * instructions.
 *
 * Flat 32-bit code at 64 KiB, no paging unless a test makes page tables; exceptions go to HLTs, so that every
 * program ends by itself. Each test runs with the interpreter and again, under /jit, with the translator,
 * which then translates every block before its first execution; those about the interpreter's own counts do
 * not.
 */
#include "tests/cpu/rig.h"

#include <string.h>

enum {
    RAM_SIZE = 4 << 20,
    AT_DIRECTORY = 0x9000,
    AT_TABLE = 0xa000,
    AT_CODE = 0x10000,
    AT_DATA = 0x20000,
};

enum engine { INTERPRETED, WITH_JIT };

static int acknowledge(void *opaque)
{
    struct rig *rig = opaque;
    int vector = rig->vector;

    rig->vector = -1;
    cpu_set_intr(rig->cpu, false);
    return vector;
}

static void rig_setup(struct rig *rig, gconstpointer data)
{
    const struct cpu_board board = {.opaque = rig, .acknowledge = acknowledge};
    g_autoptr(GError) error = NULL;

    rig_make(rig, RAM_SIZE, &board);
    if (GPOINTER_TO_INT(data) == WITH_JIT && !rig_translate(rig, &error))
        g_test_skip(error->message);
    rig_lay_out(rig);
}

static void rig_teardown(struct rig *rig, gconstpointer data)
{
    rig_free(rig);
}

static uint32_t pushed(struct rig *rig, unsigned index)
{
    return phys_read32(rig->mem, rig->cpu->gpr[ESP] + index * 4);
}

/* ---- self-modifying code ---- */

/* The store changes the next instruction of the same block. */
static void test_modify_ahead(struct rig *rig, gconstpointer data)
{
    rig_load(rig, AT_CODE,
             "31c0"            /* xor eax, eax */
             "c60509000100 40" /* mov byte [10009], 40 */
             "90"              /* becomes inc eax */
             "40 f4");         /* inc eax; hlt */
    rig_start(rig, AT_CODE);
    g_assert_cmpint(rig_run(rig), ==, -1);
    g_assert_cmpuint(rig->cpu->gpr[EAX], ==, 2);
}

/* A loop that patches its own immediate each time round. */
static void test_modify_loop(struct rig *rig, gconstpointer data)
{
    rig_load(rig, AT_CODE,
             "b9e8030000 31c0" /* mov ecx, 1000; xor eax, eax */
             "ff050f000100"    /* 10007: inc dword [1000f] */
             "81c000000000"    /* 1000d: add eax, imm32 */
             "e2f2 f4");       /* loop 10007; hlt */
    rig_start(rig, AT_CODE);
    g_assert_cmpint(rig_run(rig), ==, -1);
    g_assert_cmpuint(rig->cpu->gpr[EAX], ==, 500500);
}

/* REP STOS over the code that follows. */
static void test_modify_by_string(struct rig *rig, gconstpointer data)
{
    rig_load(rig, AT_CODE,
             "bf0c000100 b904000000" /* mov edi, 1000c; mov ecx, 4 */
             "f3aa"                  /* rep stosb: AL = 40 */
             "f4f4f4f4 f4");
    rig_start(rig, AT_CODE);
    rig->cpu->gpr[EAX] = 0x40;
    g_assert_cmpint(rig_run(rig), ==, -1);
    g_assert_cmpuint(rig->cpu->gpr[EAX], ==, 0x44);
}

static void start_paged(struct rig *rig, uint32_t eip)
{
    rig_start(rig, eip);
    cpu_write_cr3(rig->cpu, AT_DIRECTORY);
    cpu_write_cr0(rig->cpu, rig->cpu->cr0 | CR0_PG);
}

static void make_page_tables(struct rig *rig)
{
    for (uint32_t i = 0; i < 1024; i++)
        phys_write32(rig->mem, AT_TABLE + i * 4, i << 12 | 3);
    phys_write32(rig->mem, AT_DIRECTORY, AT_TABLE | 3);
}

/* The page is mapped twice; the store goes through the other address. */
static void test_modify_alias(struct rig *rig, gconstpointer data)
{
    make_page_tables(rig);
    phys_write32(rig->mem, AT_TABLE + 0x50 * 4, AT_CODE | 3);
    rig_load(rig, AT_CODE,
             "31c0 b902000000" /* xor eax, eax; mov ecx, 2 */
             "c60510000500 40" /* 10007: mov byte [50010], 40 */
             "eb00"            /* another block */
             "40 49 75f3 f4"); /* 10010: inc eax; dec ecx; jnz 10007; hlt */
    start_paged(rig, AT_CODE);
    g_assert_cmpint(rig_run(rig), ==, -1);
    g_assert_cmpuint(rig->cpu->gpr[EAX], ==, 2);
    phys_write8(rig->mem, AT_CODE + 0xd, 0x48); /* dec eax */
    start_paged(rig, AT_CODE);
    g_assert_cmpint(rig_run(rig), ==, -1);
    g_assert_cmphex(rig->cpu->gpr[EAX], ==, 0xfffffffe);
}

/* A device writes code by DMA. */
static void test_modify_by_dma(struct rig *rig, gconstpointer data)
{
    rig_load(rig, AT_CODE, "b801000000 f4");
    rig_start(rig, AT_CODE);
    rig_run(rig);
    g_assert_cmpuint(rig->cpu->gpr[EAX], ==, 1);
    phys_write8(rig->mem, AT_CODE + 1, 7);
    rig_start(rig, AT_CODE);
    rig_run(rig);
    g_assert_cmpuint(rig->cpu->gpr[EAX], ==, 7);
}

/* Data right behind a loop's code: the loop is decoded a few times, not each time round. */
static void test_data_beside_code(struct rig *rig, gconstpointer data)
{
    uint64_t made;

    rig_load(rig, AT_CODE,
             "b9a0860100"   /* mov ecx, 100000 */
             "ff0520000100" /* loop: inc dword [10020] */
             "49 75f7 f4"); /* dec ecx; jnz; hlt */
    phys_write32(rig->mem, AT_CODE + 0x20, 0);
    rig_start(rig, AT_CODE);
    made = rig->cpu->stats.blocks_made;
    rig_run(rig);
    g_assert_cmpuint(phys_read32(rig->mem, AT_CODE + 0x20), ==, 100000);
    g_assert_cmpuint(rig->cpu->stats.blocks_made - made, <, 60);
}

/* More code than the pool holds: everything is dropped and made again, and goes on working. */
static void test_pool_overflow(struct rig *rig, gconstpointer data)
{
    uint64_t made;

    rig_load(rig, AT_CODE,
             "b9400d0300 31c0" /* mov ecx, 200000; xor eax, eax */
             "ff0515000100"    /* 10007: inc dword [10015] */
             "eb04 90909090"   /* to the block with the immediate */
             "81c000000000"    /* 10013: add eax, imm32 */
             "49 75eb f4");    /* dec ecx; jnz 10007; hlt */
    rig_start(rig, AT_CODE);
    made = rig->cpu->stats.blocks_made;
    g_assert_cmpint(rig_run(rig), ==, -1);
    g_assert_cmpuint(rig->cpu->gpr[EAX], ==, (uint32_t)(200000ull * 200001 / 2));
    g_assert_cmpuint(rig->cpu->stats.blocks_made - made, >, 199999);
}

/* ---- where code lies ---- */

/* An instruction over two pages, the second of which is mapped elsewhere later. */
static void test_crossing_remapped(struct rig *rig, gconstpointer data)
{
    make_page_tables(rig);
    rig_load(rig, AT_CODE + 0xffe, "b811");
    rig_load(rig, AT_CODE + 0x1000, "111111 f4");
    rig_load(rig, AT_CODE + 0x2000, "222222 f4");
    for (unsigned round = 0; round < 4; round++) {
        phys_write32(rig->mem, AT_TABLE + 0x11 * 4, (AT_CODE + (round & 1 ? 0x2000 : 0x1000)) | 3);
        start_paged(rig, AT_CODE + 0xffe);
        rig_run(rig);
        g_assert_cmphex(rig->cpu->gpr[EAX], ==, round & 1 ? 0x22222211 : 0x11111111);
    }
    /* Its bytes on either page change. */
    phys_write8(rig->mem, AT_CODE + 0x2000, 0x33);
    start_paged(rig, AT_CODE + 0xffe);
    rig_run(rig);
    g_assert_cmphex(rig->cpu->gpr[EAX], ==, 0x22223311);
    phys_write8(rig->mem, AT_CODE + 0xfff, 0x44);
    start_paged(rig, AT_CODE + 0xffe);
    rig_run(rig);
    g_assert_cmphex(rig->cpu->gpr[EAX], ==, 0x22223344);
    /* The second page goes away: the fault is the fetch's, at its address. */
    phys_write32(rig->mem, AT_TABLE + 0x11 * 4, 0);
    start_paged(rig, AT_CODE + 0xffe);
    g_assert_cmpint(rig_run(rig), ==, VEC_PF);
    g_assert_cmphex(rig->cpu->cr2, ==, AT_CODE + 0x1000);
    g_assert_cmphex(pushed(rig, 1), ==, AT_CODE + 0xffe);
}

/* The same in a loop that maps it elsewhere each time round, so that links lead there. */
static void test_crossing_in_loop(struct rig *rig, gconstpointer data)
{
    make_page_tables(rig);
    rig_load(rig, AT_CODE + 0x7f0, "b9e8030000 31db eb07"); /* mov ecx, 1000; xor ebx, ebx; jmp 10800 */
    rig_load(rig, AT_CODE + 0x800,
             "8135 44a00000 00300000"       /* xor dword [the second page's PTE], 3000 */
             "0f013d 00100100 e9e8070000"); /* invlpg [11000]; jmp 10ffe */
    rig_load(rig, AT_CODE + 0xffe, "b811"); /* mov eax, 11111111 or 22222211 */
    rig_load(rig, AT_CODE + 0x1000, "111111 01c3 49 0f85f4f7ffff f4"); /* add ebx, eax; dec ecx; jnz 10800 */
    rig_load(rig, AT_CODE + 0x2000, "222222 01c3 49 0f85f4f7ffff f4");
    start_paged(rig, AT_CODE + 0x7f0);
    g_assert_cmpint(rig_run(rig), ==, -1);
    g_assert_cmphex(rig->cpu->gpr[EBX], ==, 500u * 0x11111111u + 500u * 0x22222211u);
    g_assert_cmphex(rig->cpu->gpr[ECX], ==, 0);
}

static void test_rom(struct rig *rig, gconstpointer data)
{
    static uint8_t rom[4096] = {0xb8, 0x78, 0x56, 0x34, 0x12, /* mov eax, 12345678 */
                                0xa2, 0x01, 0x00, 0xff, 0xff, /* mov [ffff0001], al: no effect */
                                0x40, 0xf4};

    physmap_add_rom(rig->mem, "rom", 0xffff0000, sizeof(rom), rom, 0);
    for (unsigned round = 0; round < 2; round++) {
        rig_start(rig, 0xffff0000);
        g_assert_cmpint(rig_run(rig), ==, -1);
        g_assert_cmphex(rig->cpu->gpr[EAX], ==, 0x12345679);
    }
}

static uint32_t device_read(void *opaque, uint32_t offset, unsigned size)
{
    static const uint8_t code[] = {0x40, 0x40, 0xb9, 0x05, 0x00, 0x00, 0x00, 0xf4};
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)(offset + i < sizeof(code) ? code[offset + i] : 0x90) << 8 * i;
    return value;
}

static void test_device_memory(struct rig *rig, gconstpointer data)
{
    static const struct mmio_ops ops = {.read = device_read};

    physmap_add_mmio(rig->mem, "device", 0xe0000000, 4096, &ops, NULL, 0);
    rig_start(rig, 0xe0000000);
    g_assert_cmpint(rig_run(rig), ==, -1);
    g_assert_cmpuint(rig->cpu->gpr[EAX], ==, 2);
    g_assert_cmpuint(rig->cpu->gpr[ECX], ==, 5);
}

/* The map changes: other memory appears where the code was. */
static void test_map_change(struct rig *rig, gconstpointer data)
{
    static uint8_t rom[4096] = {0xb8, 0x02, 0x00, 0x00, 0x00, 0xf4};
    struct phys_range *range = physmap_add_rom(rig->mem, "rom", AT_CODE, sizeof(rom), rom, 5);

    rig_load(rig, AT_DATA, "f4"); /* not over the ROM */
    physmap_range_enable(rig->mem, range, false);
    rig_load(rig, AT_CODE, "b801000000 f4");
    for (unsigned round = 0; round < 4; round++) {
        physmap_range_enable(rig->mem, range, round & 1);
        rig_start(rig, AT_CODE);
        rig_run(rig);
        g_assert_cmpuint(rig->cpu->gpr[EAX], ==, round & 1 ? 2 : 1);
    }
}

/* Straight code runs over the limit of CS; an instruction's last byte lies beyond it. */
static void test_code_limit(struct rig *rig, gconstpointer data)
{
    rig_load(rig, AT_CODE, "40404040 b811111111 f4");
    for (uint32_t limit = AT_CODE; limit <= AT_CODE + 9; limit++) {
        uint32_t expected = limit >= AT_CODE + 8 ? 0x11111111 : MIN(limit - AT_CODE + 1, 4u);
        uint32_t stops_at = limit >= AT_CODE + 8 ? AT_CODE + 9 : MIN(limit + 1, AT_CODE + 4u);

        for (unsigned round = 0; round < 2; round++) {
            rig_start(rig, AT_CODE);
            segment_set_cache(rig->cpu, SEG_CS, 0x10, 0, limit, 0x00409b00);
            cpu_update_mode(rig->cpu);
            if (limit == AT_CODE + 9) {
                g_assert_cmpint(rig_run(rig), ==, -1);
            } else {
                g_assert_cmpint(rig_run(rig), ==, VEC_GP);
                g_assert_cmphex(pushed(rig, 1), ==, stops_at);
            }
            g_assert_cmphex(rig->cpu->gpr[EAX], ==, expected);
            /* the second round finds the block that the whole segment made */
            rig_start(rig, AT_CODE);
            rig_run(rig);
        }
    }
}

/* ---- interruptions ---- */

/* A request from outside ends an endless loop, with everything in order. */
static void test_exit_request(struct rig *rig, gconstpointer data)
{
    rig_load(rig, AT_CODE, "40 ebfd"); /* inc eax; jmp back */
    rig_start(rig, AT_CODE);
    cpu_request_exit(rig->cpu);
    g_assert_cmpint(cpu_run(rig->cpu), ==, CPU_STOP_REQUESTED);
    g_assert_cmphex(rig->cpu->eip, ==, AT_CODE);
}

/* A device access in the middle of REP MOVS asks for the exit: it stops between two elements and goes on. */
static void ask_exit(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct rig *rig = opaque;

    cpu_request_exit(rig->cpu);
}

static void test_string_interrupted(struct rig *rig, gconstpointer data)
{
    static const struct mmio_ops ops = {.write = ask_exit};
    unsigned exits = 0;

    physmap_add_mmio(rig->mem, "device", 0xe0000000, 4096, &ops, rig, 0);
    rig_load(rig, AT_CODE, "f3a5 f4");
    rig_start(rig, AT_CODE);
    rig->cpu->gpr[ECX] = 10;
    rig->cpu->gpr[ESI] = AT_DATA;
    rig->cpu->gpr[EDI] = 0xe0000000;
    while (cpu_run(rig->cpu) == CPU_STOP_REQUESTED) {
        exits++;
        g_assert_cmpuint(rig->cpu->gpr[ECX], ==, 10 - exits);
        g_assert_cmphex(rig->cpu->gpr[EDI], ==, 0xe0000000 + 4 * exits);
        g_assert_cmphex(rig->cpu->eip, ==, exits < 10 ? AT_CODE : AT_CODE + 3);
    }
    g_assert_cmpuint(exits, ==, 10);
}

/* The instruction after STI still runs before the interrupt is taken. */
static void test_sti_shadow(struct rig *rig, gconstpointer data)
{
    rig_load(rig, AT_CODE, "40 fb 40 40 f4"); /* inc; sti; inc; inc; hlt */
    rig_start(rig, AT_CODE);
    rig->vector = 0x30;
    cpu_set_intr(rig->cpu, true);
    g_assert_cmpint(rig_run(rig), ==, 0x30);
    g_assert_cmpuint(rig->cpu->gpr[EAX], ==, 2);
    g_assert_cmphex(pushed(rig, 0), ==, AT_CODE + 3);
}

/* An interrupt is taken between the blocks of an endless loop. */
static uint32_t raise_interrupt(void *opaque, uint16_t port, unsigned size)
{
    struct rig *rig = opaque;

    rig->vector = 0x31;
    cpu_set_intr(rig->cpu, true);
    return 0;
}

static void test_interrupt_in_loop(struct rig *rig, gconstpointer data)
{
    static const struct portio_ops ops = {.read = raise_interrupt};

    portio_add(rig->io, "device", 0x80, 1, &ops, rig);
    rig_load(rig, AT_CODE, "e480 fb ebfd"); /* in al, 80; sti; back to sti */
    rig_start(rig, AT_CODE);
    g_assert_cmpint(rig_run(rig), ==, 0x31);
}

/* TF: a trap after each instruction, after each iteration of REP, none after the one that sets it. */
static void test_single_step(struct rig *rig, gconstpointer data)
{
    rig_load(rig, AT_CODE, "9c 66810c240001 9d 90 40 f4"); /* pushf; or word [esp], 100; popf; nop; inc eax */
    rig_start(rig, AT_CODE);
    g_assert_cmpint(rig_run(rig), ==, VEC_DB);
    g_assert_cmphex(pushed(rig, 0), ==, AT_CODE + 9); /* after the NOP */
    g_assert_cmphex(rig->cpu->dr[6] & 0x4000, ==, 0x4000);

    rig_load(rig, AT_CODE, "f3aa f4");
    rig_start(rig, AT_CODE);
    rig->cpu->gpr[ECX] = 3;
    rig->cpu->gpr[EDI] = AT_DATA;
    for (unsigned i = 1; i <= 3; i++) {
        cpu_set_eflags(rig->cpu, FLAG_ONE | FLAG_TF);
        rig->cpu->eip = AT_CODE;
        rig->cpu->halted = false;
        g_assert_cmpint(rig_run(rig), ==, VEC_DB);
        g_assert_cmpuint(rig->cpu->gpr[ECX], ==, 3 - i);
        g_assert_cmphex(pushed(rig, 0), ==, i < 3 ? AT_CODE : AT_CODE + 2);
    }
}

/* ---- counting ---- */

static void test_statistics(struct rig *rig, gconstpointer data)
{
    uint64_t before;

    rig_load(rig, AT_CODE, "b90a000000 40 49 75fc 0f0b"); /* mov; 10 × (inc, dec, jnz); ud2 */
    for (unsigned round = 0; round < 3; round++) {
        rig_start(rig, AT_CODE);
        before = rig->cpu->stats.instructions;
        g_assert_cmpint(rig_run(rig), ==, VEC_UD);
        /* UD2 does not count, the handler's HLT does */
        g_assert_cmpuint(rig->cpu->stats.instructions - before, ==, 1 + 30 + 1);
    }
    /* a fault in the middle of a block */
    rig_load(rig, AT_CODE, "40 40 f7f1 40 40 f4"); /* inc; inc; div ecx; … */
    rig_start(rig, AT_CODE);
    before = rig->cpu->stats.instructions;
    g_assert_cmpint(rig_run(rig), ==, VEC_DE);
    g_assert_cmpuint(rig->cpu->stats.instructions - before, ==, 2 + 1);
    g_assert_cmphex(pushed(rig, 0), ==, AT_CODE + 2);
}

/* One at a time by cpu_step(). */
static void test_step(struct rig *rig, gconstpointer data)
{
    rig_load(rig, AT_CODE, "40 b902000000 e2fe f4");
    rig_start(rig, AT_CODE);
    g_assert_cmpint(cpu_step(rig->cpu), ==, CPU_STOP_REQUESTED);
    g_assert_cmphex(rig->cpu->eip, ==, AT_CODE + 1);
    cpu_step(rig->cpu);
    cpu_step(rig->cpu);
    g_assert_cmphex(rig->cpu->eip, ==, AT_CODE + 6); /* LOOP to itself */
    cpu_step(rig->cpu);
    g_assert_cmphex(rig->cpu->eip, ==, AT_CODE + 8);
    cpu_step(rig->cpu);
    g_assert_cmpint(cpu_step(rig->cpu), ==, CPU_STOP_HALTED);
}

/* 16-bit code after 32-bit code on the very same bytes: the mode is part of a block's identity. */
static void test_two_modes(struct rig *rig, gconstpointer data)
{
    rig_load(rig, AT_CODE, "b81122 f4f4 f4"); /* 16: mov ax, 2211; hlt    32: mov eax, f4f42211; hlt */
    for (unsigned round = 0; round < 4; round++) {
        rig_start(rig, AT_CODE);
        if (round & 1) {
            segment_set_cache(rig->cpu, SEG_CS, 0x10, 0, 0xffffffff, 0x00809b00);
            cpu_update_mode(rig->cpu);
        }
        rig_run(rig);
        g_assert_cmphex(rig->cpu->gpr[EAX], ==, round & 1 ? 0x2211 : 0xf4f42211);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct rig *rig, gconstpointer data);
        bool interpreted_only;
    } tests[] = {
        {"/block/modify-ahead", test_modify_ahead},
        {"/block/modify-loop", test_modify_loop},
        {"/block/modify-by-string", test_modify_by_string},
        {"/block/modify-alias", test_modify_alias},
        {"/block/modify-by-dma", test_modify_by_dma},
        {"/block/data-beside-code", test_data_beside_code},
        {"/block/pool-overflow", test_pool_overflow},
        {"/block/crossing-remapped", test_crossing_remapped},
        {"/block/crossing-in-loop", test_crossing_in_loop},
        {"/block/rom", test_rom},
        {"/block/device-memory", test_device_memory},
        {"/block/map-change", test_map_change},
        {"/block/code-limit", test_code_limit},
        {"/block/two-modes", test_two_modes},
        {"/run/exit-request", test_exit_request},
        {"/run/string-interrupted", test_string_interrupted},
        {"/run/sti-shadow", test_sti_shadow},
        {"/run/interrupt-in-loop", test_interrupt_in_loop},
        {"/run/single-step", test_single_step},
        {"/run/statistics", test_statistics, .interpreted_only = true},
        {"/run/step", test_step},
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *name = g_strconcat("/jit", tests[i].name, NULL);

        g_test_add(tests[i].name, struct rig, GINT_TO_POINTER(INTERPRETED), rig_setup, tests[i].run,
                   rig_teardown);
        if (!tests[i].interpreted_only)
            g_test_add(name, struct rig, GINT_TO_POINTER(WITH_JIT), rig_setup, tests[i].run, rig_teardown);
    }
    return g_test_run();
}
