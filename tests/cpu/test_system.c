/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The CPU from outside: pins and priorities of interrupts, halting and shutdown, devices and special memory
 * behind paging, A20, models and CPUID against the instruction table, saved state.
 *
 * Programs are a few bytes of machine code, placed at 0x1000 in flat 32-bit protected mode with a GDT at
 * 0x800, an IDT at 0x2000 whose gate n leads to 0x4000 + 16 n, where there is `hlt`, and a stack at 0x8000.
 */
#include "emu/cpu/access.h"
#include "emu/cpu/insn.h"

#include <string.h>

#define RAM_SIZE (4u << 20)
#define DEVICE   0x80000000u
#define ROM      0xf0000000u

struct access {
    bool write;
    uint32_t offset, value;
    unsigned size;
};

struct machine {
    struct physmap *mem;
    struct portio *io;
    struct clock *clock;
    struct cpu *cpu;
    uint8_t *ram;
    int vector; /* next acknowledge */
    unsigned acknowledged;
    struct access log[64];
    unsigned logged;
    uint64_t apic_base;
    uint8_t rom[4096];
    bool drop_line; /* acknowledge lowers INTR, as a controller with nothing else does */
    unsigned port_reads;
    bool exit_on_port;
};

static int acknowledge(void *opaque)
{
    struct machine *m = opaque;
    m->acknowledged++;
    if (m->drop_line)
        cpu_set_intr(m->cpu, false);
    return m->vector;
}

static void apic_base_changed(void *opaque, uint64_t msr)
{
    ((struct machine *)opaque)->apic_base = msr;
}

static uint32_t device_read(void *opaque, uint32_t offset, unsigned size)
{
    struct machine *m = opaque;
    if (m->logged < G_N_ELEMENTS(m->log))
        m->log[m->logged++] = (struct access){.offset = offset, .size = size};
    return 0x11223344u + offset;
}

static void device_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct machine *m = opaque;
    if (m->logged < G_N_ELEMENTS(m->log))
        m->log[m->logged++] = (struct access){.write = true, .offset = offset, .size = size, .value = value};
}

static const struct mmio_ops device_ops = {.read = device_read, .write = device_write};

static uint32_t port_read(void *opaque, uint16_t port, unsigned size)
{
    struct machine *m = opaque;
    m->port_reads++;
    if (m->exit_on_port)
        cpu_request_exit(m->cpu);
    return 0x40 + m->port_reads;
}

static const struct portio_ops port_ops = {.read = port_read, .max_size = 1};

static uint64_t flat(unsigned type)
{
    return 0x00cf00000000ffffull | (uint64_t)type << 40;
}

static struct machine *machine_new_model(const struct cpu_model *model)
{
    struct machine *m = g_new0(struct machine, 1);
    m->mem = physmap_new(RAM_SIZE, NULL);
    m->ram = physmap_ram(m->mem);
    m->io = portio_new();
    m->clock = clock_new_manual();
    m->vector = -1;
    m->drop_line = true;
    physmap_add_ram(m->mem, "ram", 0, RAM_SIZE, 0, 0);
    physmap_add_mmio(m->mem, "device", DEVICE, 0x2000, &device_ops, m, 0);
    memset(m->rom, 0x5a, sizeof m->rom);
    physmap_add_rom(m->mem, "rom", ROM, sizeof m->rom, m->rom, 0);
    portio_add(m->io, "port", 0x60, 1, &port_ops, m);
    struct cpu_board board = {.mem = m->mem,
                              .io = m->io,
                              .clock = m->clock,
                              .opaque = m,
                              .acknowledge = acknowledge,
                              .apic_base_changed = apic_base_changed};
    m->cpu = cpu_new(model, &board);
    physmap_set_change_listener(m->mem, cpu_memory_changed, m->cpu);
    physmap_set_code_listener(m->mem, cpu_code_written, m->cpu);

    const uint64_t gdt[] = {0, flat(0x9b), flat(0x93), flat(0xfb), flat(0xf3)};
    memcpy(m->ram + 0x800, gdt, sizeof gdt);
    for (unsigned i = 0; i < 256; i++) {
        const uint64_t gate = (0x4000ull + 16 * i) | 8ull << 16 | 0x8e00ull << 32;
        memcpy(m->ram + 0x2000 + 8 * i, &gate, 8);
        m->ram[0x4000 + 16 * i] = 0xf4;
    }
    const struct cpu_boot_state boot = {
        .eip = 0x1000, .esp = 0x8000, .gdt_base = 0x800, .gdt_limit = sizeof gdt - 1, .cs = 8, .ds = 16};
    cpu_set_boot_state(m->cpu, &boot);
    m->cpu->idtr = (struct descriptor_table){.base = 0x2000, .limit = 0x7ff};
    return m;
}

static struct machine *machine_new(void)
{
    return machine_new_model(cpu_model_default());
}

static void machine_free(struct machine *m)
{
    cpu_free(m->cpu);
    clock_free(m->clock);
    portio_free(m->io);
    physmap_free(m->mem);
    g_free(m);
}

static void program(struct machine *m, const char *code, size_t len)
{
    memcpy(m->ram + 0x1000, code, len);
}
#define PROGRAM(m, code) program(m, code, sizeof(code) - 1)

/* The vector whose handler the CPU halted in, or −1. */
static int halted_in(struct machine *m)
{
    uint32_t at = m->cpu->eip - 1;
    return m->cpu->halted && at >= 0x4000 && at < 0x5000 ? (int)(at - 0x4000) / 16 : -1;
}

static uint32_t stacked(struct machine *m, unsigned n)
{
    uint32_t value;
    memcpy(&value, m->ram + m->cpu->gpr[ESP] + 4 * n, 4);
    return value;
}

static void steps(struct machine *m, unsigned n)
{
    while (n--)
        g_assert_cmpint(cpu_step(m->cpu), ==, CPU_STOP_REQUESTED);
}

/* ---- interrupts ---- */

static void test_intr(void)
{
    struct machine *m = machine_new();
    PROGRAM(m, "\x90\xfb\x90\x90\x90\xf4"); /* nop; sti; nop; nop; nop; hlt */
    m->vector = 0x30;
    cpu_set_intr(m->cpu, true);
    g_assert_cmpint(cpu_run(m->cpu), ==, CPU_STOP_HALTED);
    g_assert_cmpint(halted_in(m), ==, 0x30);
    /* Not before the instruction after STI is done. */
    g_assert_cmphex(stacked(m, 0), ==, 0x1003);
    g_assert_cmpuint(m->acknowledged, ==, 1);
    g_assert_cmphex(stacked(m, 2) & FLAG_IF, ==, FLAG_IF);
    g_assert_cmphex(m->cpu->eflags & FLAG_IF, ==, 0);
    machine_free(m);
}

static void test_intr_masked(void)
{
    struct machine *m = machine_new();
    PROGRAM(m, "\x90\xf4");
    m->vector = 0x30;
    cpu_set_intr(m->cpu, true);
    g_assert_cmpint(cpu_run(m->cpu), ==, CPU_STOP_HALTED);
    g_assert_cmpuint(m->acknowledged, ==, 0);
    g_assert_cmphex(m->cpu->eip, ==, 0x1002);
    machine_free(m);
}

/* STI; HLT: the interrupt is taken out of the halt, never between the two. */
static void test_sti_hlt(void)
{
    struct machine *m = machine_new();
    PROGRAM(m, "\xfb\xf4\x90");
    m->vector = 0x31;
    cpu_set_intr(m->cpu, true);
    g_assert_cmpint(cpu_run(m->cpu), ==, CPU_STOP_HALTED);
    g_assert_cmpint(halted_in(m), ==, 0x31);
    g_assert_cmphex(stacked(m, 0), ==, 0x1002);
    machine_free(m);

    m = machine_new();
    PROGRAM(m, "\xfb\xf4\x90");
    m->vector = 0x31;
    g_assert_cmpint(cpu_run(m->cpu), ==, CPU_STOP_HALTED);
    g_assert_cmphex(m->cpu->eip, ==, 0x1002);
    g_assert_true(cpu_is_halted(m->cpu));
    cpu_set_intr(m->cpu, true);
    g_assert_cmpint(cpu_run(m->cpu), ==, CPU_STOP_HALTED);
    g_assert_cmpint(halted_in(m), ==, 0x31);
    machine_free(m);
}

/* A request that is gone when the CPU asks for it. */
static void test_spurious(void)
{
    struct machine *m = machine_new();
    PROGRAM(m, "\xfb\x90\x90\xf4");
    m->vector = -1;
    cpu_set_intr(m->cpu, true);
    g_assert_cmpint(cpu_run(m->cpu), ==, CPU_STOP_HALTED);
    g_assert_cmphex(m->cpu->eip, ==, 0x1004);
    g_assert_cmpuint(m->acknowledged, ==, 1);
    machine_free(m);
}

static void test_nmi(void)
{
    struct machine *m = machine_new();
    PROGRAM(m, "\x90\x90\x90\xf4");
    m->ram[0x4020] = 0x90; /* the NMI handler: nop; nop; iret */
    m->ram[0x4021] = 0x90;
    m->ram[0x4022] = 0xcf;
    cpu_raise_nmi(m->cpu);
    steps(m, 1); /* the NMI itself */
    g_assert_cmphex(m->cpu->eip, ==, 0x4020);
    g_assert_true(m->cpu->nmi_blocked);
    cpu_raise_nmi(m->cpu); /* waits for IRET */
    steps(m, 1);
    g_assert_cmphex(m->cpu->eip, ==, 0x4021);
    steps(m, 2);
    g_assert_cmphex(m->cpu->eip, ==, 0x1000);
    g_assert_false(m->cpu->nmi_blocked);
    steps(m, 1);
    g_assert_cmphex(m->cpu->eip, ==, 0x4020);
    g_assert_cmpuint(cpu_statistics(m->cpu)->interrupts, ==, 2);
    machine_free(m);
}

/* MOV SS holds off NMI, INTR and debug traps for one instruction. */
static void test_mov_ss_shadow(void)
{
    struct machine *m = machine_new();
    PROGRAM(m, "\x8c\xd0\x8e\xd0\x90\x90\xf4"); /* mov eax, ss; mov ss, eax; nop; nop; hlt */
    steps(m, 1);
    steps(m, 1);
    cpu_raise_nmi(m->cpu);
    m->cpu->eflags |= FLAG_IF;
    m->vector = 0x40;
    cpu_set_intr(m->cpu, true);
    cpu_note_debug(m->cpu, 1);
    steps(m, 1);
    g_assert_cmphex(m->cpu->eip, ==, 0x1005);
    /* Then: debug trap, NMI, INTR, each on top of the other. */
    steps(m, 1);
    g_assert_cmphex(m->cpu->eip, ==, 0x4010);
    steps(m, 1);
    g_assert_cmphex(m->cpu->eip, ==, 0x4020);
    g_assert_cmphex(stacked(m, 0), ==, 0x4010);
    g_assert_cmpuint(m->acknowledged, ==, 0); /* the gates are interrupt gates: IF is clear now */
    machine_free(m);
}

static void test_init(void)
{
    struct machine *m = machine_new();
    PROGRAM(m, "\x90\xf4");
    m->cpu->mtrr_def_type = 6;
    m->cpu->fpu.xmm[3].u64[0] = 0x123456789abcdef0ull;
    cpu_run(m->cpu);
    g_assert_true(cpu_is_halted(m->cpu));
    cpu_set_init(m->cpu);
    steps(m, 1);
    g_assert_false(cpu_is_halted(m->cpu));
    g_assert_cmphex(m->cpu->eip, ==, 0xfff0);
    g_assert_cmphex(m->cpu->seg[SEG_CS].base, ==, 0xffff0000u);
    g_assert_cmphex(m->cpu->cr0 & CR0_PE, ==, 0);
    g_assert_cmphex(m->cpu->mtrr_def_type, ==, 6);
    g_assert_cmphex(m->cpu->fpu.xmm[3].u64[0], ==, 0x123456789abcdef0ull);
    machine_free(m);
}

static void test_triple_fault(void)
{
    struct machine *m = machine_new();
    PROGRAM(m, "\x0f\x0b");
    m->cpu->idtr.limit = 0;
    g_assert_cmpint(cpu_run(m->cpu), ==, CPU_STOP_SHUTDOWN);
    cpu_reset(m->cpu);
    g_assert_cmphex(m->cpu->eip, ==, 0xfff0);
    machine_free(m);
}

/* Which pairs of exceptions are a double fault (SDM vol. 3, table 6-5), by gates that are missing or lead to
 * a missing page. */
static void test_double_fault_table(void)
{
    static const struct {
        const char *code;
        size_t len;
        unsigned first;
        bool page_fault; /* the first one's handler lies on a missing page of the IDT; else its gate is absent
                          */
        int expect;
    } rows[] = {
        {"\x0f\x0b", 2, VEC_UD, false, VEC_NP},         /* benign, then contributory: one after the other */
        {"\xcc", 1, VEC_BP, false, VEC_NP},             /* a software interrupt is not an exception */
        {"\x31\xc9\xf7\xf1", 4, VEC_DE, false, VEC_DF}, /* contributory twice */
        {"\x8e\xd9", 2, VEC_GP, false, VEC_DF},         /* mov ds, cx: #GP without a gate */
        {"\xa1\x00\x00\x80\x00", 5, VEC_PF, false, VEC_DF}, /* page fault, then contributory */
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct machine *m = machine_new();
        uint32_t pde = 0x83; /* 4 MiB, present, writable: 8 MiB is missing */
        memcpy(m->ram + 0x10000, &pde, 4);
        program(m, rows[i].code, rows[i].len);
        cpu_write_cr4(m->cpu, CR4_PSE);
        cpu_write_cr3(m->cpu, 0x10000);
        cpu_write_cr0(m->cpu, m->cpu->cr0 | CR0_PG);
        m->cpu->gpr[ECX] = 0x1238;
        m->ram[0x2000 + 8 * rows[i].first + 5] = 0x0e;
        g_assert_cmpint(cpu_run(m->cpu), ==, CPU_STOP_HALTED);
        g_assert_cmpint(halted_in(m), ==, rows[i].expect);
        g_assert_cmphex(stacked(m, 0), ==,
                        rows[i].expect == VEC_DF ? 0 : rows[i].first * 8 + 2 + (rows[i].first != VEC_BP));
        machine_free(m);
    }
}

/* REP INS stops for whoever rings, and goes on where it was. */
static void test_string_io_interrupted(void)
{
    struct machine *m = machine_new();
    PROGRAM(m, "\xba\x60\x00\x00\x00\xb9\x05\x00\x00\x00\xbf\x00\x90\x00\x00\xf3\x6c\xf4");
    m->exit_on_port = true;
    for (unsigned i = 1; i <= 4; i++) {
        g_assert_cmpint(cpu_run(m->cpu), ==, CPU_STOP_REQUESTED);
        g_assert_cmpuint(m->port_reads, ==, i);
        g_assert_cmphex(m->cpu->eip, ==, 0x100f);
        g_assert_cmpuint(m->cpu->gpr[ECX], ==, 5 - i);
    }
    m->exit_on_port = false;
    g_assert_cmpint(cpu_run(m->cpu), ==, CPU_STOP_HALTED);
    g_assert_cmpmem(m->ram + 0x9000, 6, "\x41\x42\x43\x44\x45\0", 6);
    machine_free(m);
}

/* ---- memory that is not plain ---- */

static void paging_on(struct machine *m)
{
    /* Page directory at 0x10000; 4 MiB identity; table at 0x11000 for linear 0x40000000… */
    uint32_t pde = 0x87;
    memcpy(m->ram + 0x10000, &pde, 4);
    pde = 0x11007;
    memcpy(m->ram + 0x10400, &pde, 4);
    cpu_write_cr4(m->cpu, CR4_PSE);
    cpu_write_cr3(m->cpu, 0x10000);
    cpu_write_cr0(m->cpu, m->cpu->cr0 | CR0_PG);
}

static void map(struct machine *m, unsigned page, uint32_t entry)
{
    memcpy(m->ram + 0x11000 + 4 * page, &entry, 4);
    mmu_flush_page(m->cpu, 0x40000000u + 4096 * page);
}

static void test_mmio(void)
{
    struct machine *m = machine_new();
    paging_on(m);
    map(m, 0, DEVICE | 7);
    map(m, 1, (DEVICE + 0x1000) | 7);
    map(m, 2, 0x20000 | 7);
    if (setjmp(m->cpu->fault_exit))
        g_assert_not_reached();
    /* Eight bytes are two accesses, low half first. */
    g_assert_cmphex(mem_read64(m->cpu, SEG_DS, 0x40000010), ==,
                    (0x11223344ull + 0x14) << 32 | (0x11223344 + 0x10));
    g_assert_cmpuint(m->logged, ==, 2);
    g_assert_cmphex(m->log[0].offset, ==, 0x10);
    g_assert_cmpuint(m->log[1].size, ==, 4);
    /* Misaligned ones are split into aligned pieces. */
    m->logged = 0;
    mem_write32(m->cpu, SEG_DS, 0x40000021, 0xaabbccdd);
    g_assert_cmpuint(m->logged, ==, 3);
    g_assert_cmphex(m->log[0].value, ==, 0xdd);
    g_assert_cmphex(m->log[1].value, ==, 0xbbcc);
    g_assert_cmpuint(m->log[1].size, ==, 2);
    g_assert_cmphex(m->log[2].value, ==, 0xaa);
    /* From one device page into the next. */
    m->logged = 0;
    mem_write32(m->cpu, SEG_DS, 0x40000ffe, 0x11223344);
    g_assert_cmpuint(m->logged, ==, 2);
    g_assert_cmphex(m->log[0].offset, ==, 0xffe);
    g_assert_cmphex(m->log[0].value, ==, 0x3344);
    g_assert_cmphex(m->log[1].offset, ==, 0x1000);
    g_assert_cmphex(m->log[1].value, ==, 0x1122);
    /* From device to RAM. */
    m->logged = 0;
    mem_write32(m->cpu, SEG_DS, 0x40001ffe, 0x55667788);
    g_assert_cmpuint(m->logged, ==, 1);
    g_assert_cmphex(m->log[0].value, ==, 0x7788);
    g_assert_cmpmem(m->ram + 0x20000, 2, "\x66\x55", 2);
    /* Read-modify-write: one read, one write. */
    m->logged = 0;
    uint32_t value = mem_read_rmw32(m->cpu, SEG_DS, 0x40000040);
    mem_write32(m->cpu, SEG_DS, 0x40000040, value + 1);
    g_assert_cmpuint(m->logged, ==, 2);
    g_assert_true(m->log[1].write);
    g_assert_cmphex(m->log[1].value, ==, 0x11223344 + 0x41);
    /* The walk is kept: a second access walks no more. */
    uint64_t walks = m->cpu->stats.page_walks;
    mem_read32(m->cpu, SEG_DS, 0x40000040);
    g_assert_cmpuint(m->cpu->stats.page_walks, ==, walks);
    machine_free(m);
}

static void test_rom_and_holes(void)
{
    struct machine *m = machine_new();
    paging_on(m);
    map(m, 0, ROM | 7);
    map(m, 1, 0x50000000 | 7);
    if (setjmp(m->cpu->fault_exit))
        g_assert_not_reached();
    g_assert_cmphex(mem_read32(m->cpu, SEG_DS, 0x40000000), ==, 0x5a5a5a5a);
    mem_write32(m->cpu, SEG_DS, 0x40000000, 0);
    g_assert_cmphex(mem_read32(m->cpu, SEG_DS, 0x40000000), ==, 0x5a5a5a5a);
    g_assert_cmphex(mem_read16(m->cpu, SEG_DS, 0x40001000), ==, 0xffff);
    mem_write16(m->cpu, SEG_DS, 0x40001000, 0);
    g_assert_cmphex(mem_read64(m->cpu, SEG_DS, 0x40001ff8), ==, UINT64_MAX);
    machine_free(m);
}

static void test_a20(void)
{
    struct machine *m = machine_new();
    if (setjmp(m->cpu->fault_exit))
        g_assert_not_reached();
    m->ram[0x500] = 0x11;
    m->ram[0x100500] = 0x22;
    g_assert_cmphex(mem_read8(m->cpu, SEG_DS, 0x100500), ==, 0x22);
    cpu_set_a20(m->cpu, false);
    g_assert_false(cpu_a20(m->cpu));
    g_assert_cmphex(mem_read8(m->cpu, SEG_DS, 0x100500), ==, 0x11);
    mem_write8(m->cpu, SEG_DS, 0x100500, 0x33);
    g_assert_cmphex(m->ram[0x500], ==, 0x33);
    /* Page tables are read through the gate too. */
    uint32_t pde = 0x11007, pte = 0x7;
    memcpy(m->ram + 0x10000, &pde, 4);
    memcpy(m->ram + 0x10400, &pde, 4);
    for (unsigned i = 0; i < 1024; i++, pte += 4096)
        memcpy(m->ram + 0x11000 + 4 * i, &pte, 4);
    cpu_write_cr3(m->cpu, 0x110000); /* with A20 off: 0x10000 */
    cpu_write_cr0(m->cpu, m->cpu->cr0 | CR0_PG);
    g_assert_cmphex(mem_read8(m->cpu, SEG_DS, 0x40000500), ==, 0x33);
    cpu_set_a20(m->cpu, true);
    machine_free(m);
}

static void test_dirty_flags(void)
{
    struct machine *m = machine_new();
    uint8_t *flags = physmap_page_flags(m->mem);
    if (setjmp(m->cpu->fault_exit))
        g_assert_not_reached();
    memset(flags, 0, RAM_SIZE >> 12);
    cpu_dirty_cleared(m->cpu);
    mem_read32(m->cpu, SEG_DS, 0x30000);
    g_assert_cmphex(flags[0x30] & PHYS_PAGE_DIRTY, ==, 0);
    mem_write32(m->cpu, SEG_DS, 0x30000, 1);
    g_assert_cmphex(flags[0x30] & PHYS_PAGE_DIRTY, !=, 0);
    flags[0x30] = 0;
    cpu_dirty_cleared(m->cpu);
    mem_write32(m->cpu, SEG_DS, 0x30004, 1);
    g_assert_cmphex(flags[0x30] & PHYS_PAGE_DIRTY, !=, 0);
    /* A and D bits are stores too. */
    flags[0x10] = flags[0x11] = 0;
    cpu_dirty_cleared(m->cpu);
    paging_on(m);
    map(m, 0, 0x30007);
    flags[0x11] = 0;
    cpu_dirty_cleared(m->cpu);
    mem_read8(m->cpu, SEG_DS, 0x40000000);
    g_assert_cmphex(flags[0x11] & PHYS_PAGE_DIRTY, !=, 0);
    machine_free(m);
}

/* Code that is written again, by the program, by DMA and by another name of its page. */
static void test_code_changes(void)
{
    struct machine *m = machine_new();
    paging_on(m);
    map(m, 0, 0x1007);
    PROGRAM(m, "\xb0\x01\xf4");
    g_assert_cmpint(cpu_run(m->cpu), ==, CPU_STOP_HALTED);
    g_assert_cmphex(m->cpu->gpr[EAX] & 0xff, ==, 1);
    g_assert_cmphex(physmap_page_flags(m->mem)[1] & PHYS_PAGE_CODE, !=, 0);
    if (setjmp(m->cpu->fault_exit))
        g_assert_not_reached();
    mem_write8(m->cpu, SEG_DS, 0x40000001, 2);
    m->cpu->eip = 0x1000;
    m->cpu->halted = false;
    cpu_run(m->cpu);
    g_assert_cmphex(m->cpu->gpr[EAX] & 0xff, ==, 2);
    const uint8_t three = 3;
    phys_write(m->mem, 0x1001, &three, 1);
    m->cpu->eip = 0x1000;
    m->cpu->halted = false;
    cpu_run(m->cpu);
    g_assert_cmphex(m->cpu->gpr[EAX] & 0xff, ==, 3);
    machine_free(m);
}

/* Physical addresses beyond 4 GiB: PSE-36 and PAE reach them, bit 36 is reserved. */
static void test_wide_addresses(void)
{
    struct machine *m = machine_new();
    struct phys_range *high = physmap_add_ram(m->mem, "high", 0x123400000ull, 0x200000, 0x200000, 0);
    g_assert_nonnull(high);
    paging_on(m);
    m->ram[0x200010] = 0x77;
    if (setjmp(m->cpu->fault_exit))
        g_assert_not_reached();
    uint32_t pde = 0x23400000u | 1u << 13 | 0x87;
    memcpy(m->ram + 0x10800, &pde, 4); /* linear 0x80000000 */
    g_assert_cmphex(mem_read8(m->cpu, SEG_DS, 0x80000010), ==, 0x77);

    uint64_t entry = 0x12001;
    cpu_write_cr0(m->cpu, m->cpu->cr0 & ~CR0_PG);
    memcpy(m->ram + 0x14000, &entry, 8);
    entry = 0x83;
    memcpy(m->ram + 0x12000, &entry, 8);
    entry = 0x123400083ull;
    memcpy(m->ram + 0x12008, &entry, 8); /* linear 0x200000 */
    entry = 0x1023400083ull;
    memcpy(m->ram + 0x12010, &entry, 8); /* bit 36 */
    cpu_write_cr4(m->cpu, CR4_PAE);
    cpu_write_cr3(m->cpu, 0x14000);
    cpu_write_cr0(m->cpu, m->cpu->cr0 | CR0_PG);
    g_assert_cmphex(mem_read8(m->cpu, SEG_DS, 0x200010), ==, 0x77);
    if (!setjmp(m->cpu->fault_exit)) {
        mem_read8(m->cpu, SEG_DS, 0x400000);
        g_assert_not_reached();
    }
    g_assert_cmpuint(m->cpu->fault_vector, ==, VEC_PF);
    g_assert_cmphex(m->cpu->fault_error, ==, 9);
    machine_free(m);
}

static void test_debug_read(void)
{
    struct machine *m = machine_new();
    uint8_t buf[16];
    paging_on(m);
    map(m, 0, 0x30005);
    map(m, 1, DEVICE | 7);
    memcpy(m->ram + 0x30ffc, "\x01\x02\x03\x04", 4);
    g_assert_cmpuint(cpu_debug_read(m->cpu, 0x40000ffc, buf, sizeof buf), ==, 4);
    g_assert_cmpmem(buf, 4, "\x01\x02\x03\x04", 4);
    g_assert_cmpuint(cpu_debug_read(m->cpu, 0x40002000, buf, 1), ==, 0);
    g_assert_cmphex(m->ram[0x11000] & 0x20, ==, 0); /* no A bit, no device touched */
    g_assert_cmpuint(m->logged, ==, 0);
    machine_free(m);
}

/* ---- models ---- */

/* Each instruction a feature brings is there when the feature is, and #UD when it is not. */
static void test_features_and_table(void)
{
    static const struct {
        enum insn_feature insn;
        enum cpu_feature_bit bit;
        const char *off;
    } rows[] = {
        {FEATURE_FPU, CPU_FPU, "fpu"},   {FEATURE_TSC, CPU_TSC, "tsc"},
        {FEATURE_MSR, CPU_MSR, "msr"},   {FEATURE_CX8, CPU_CX8, "cx8"},
        {FEATURE_SEP, CPU_SEP, "sep"},   {FEATURE_CMOV, CPU_CMOV, "cmov"},
        {FEATURE_MMX, CPU_MMX, "mmx"},   {FEATURE_FXSR, CPU_FXSR, "fxsr"},
        {FEATURE_SSE, CPU_SSE, "sse"},   {FEATURE_SSE2, CPU_SSE2, "sse2"},
        {FEATURE_SSE3, CPU_SSE3, "pni"}, {FEATURE_CLFLUSH, CPU_CLFLUSH, "clflush"},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        unsigned count = 0;
        for (unsigned id = 0; id < INSN_COUNT; id++)
            count += insn_rows[id].feature == rows[i].insn;
        g_assert_cmpuint(count, >, 0);
        g_assert_true(cpu_model_has(cpu_model_default(), rows[i].bit));
        g_autofree char *text = g_strdup_printf("n270,-%s", rows[i].off);
        const struct cpu_model *less = cpu_model_parse(text, NULL);
        g_assert_nonnull(less);
        g_assert_false(cpu_model_has(less, rows[i].bit));
        cpu_model_free(less);
    }
}

static void test_model_texts(void)
{
    static const char *const good[] = {"n270",
                                       "qemu32",
                                       "pentium3,+sse2",
                                       "486,fpu=off",
                                       "max,-nx,invtsc=off",
                                       "base,+tsc",
                                       "pentium,stepping=7,model=2",
                                       "n270,-ssse3",
                                       "n270,+sse3",
                                       "pentium2"};
    static const char *const bad[] = {
        "",       "athlon",        "n270,+avx", "n270,nx=perhaps", "n270,stepping=99",
        "n270,+", "n270,family=x", "n270,,"};
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GError) error = NULL;
        const struct cpu_model *model = cpu_model_parse(good[i], &error);
        g_assert_no_error(error);
        struct machine *m = machine_new_model(model);
        uint32_t r[4];
        cpu_cpuid(m->cpu, 1, 0, r);
        g_assert_cmphex(r[0], ==, cpu_model_signature(model));
        machine_free(m);
        cpu_model_free(model);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(cpu_model_parse(bad[i], &error));
        g_assert_nonnull(error);
        g_assert_cmpuint(strlen(error->message), >, 15);
    }
    g_autoptr(GString) help = g_string_new(NULL);
    cpu_model_describe_all(help);
    g_assert_nonnull(strstr(help->str, "n270"));
    g_assert_nonnull(strstr(help->str, "clflush"));
}

static void test_cpuid(void)
{
    struct machine *m = machine_new();
    uint32_t r[4];
    char text[49] = {0};
    cpu_cpuid(m->cpu, 0, 0, r);
    g_assert_cmpmem(&r[1], 4, "Genu", 4);
    g_assert_cmpmem(&r[3], 4, "ineI", 4);
    g_assert_cmpmem(&r[2], 4, "ntel", 4);
    cpu_cpuid(m->cpu, 1, 0, r);
    g_assert_cmphex(r[0], ==, 0x106ca); /* family 6, model 1ch, stepping 10 */
    for (unsigned i = 0; i < 3; i++) {
        cpu_cpuid(m->cpu, 0x80000002u + i, 0, r);
        memcpy(text + 16 * i, r, 16);
    }
    g_assert_cmpstr(text, ==, "netlab N270-class virtual CPU");
    /* The TSC is what leaf 15h says it is. */
    cpu_cpuid(m->cpu, 0x15, 0, r);
    g_assert_cmpuint((uint64_t)r[2] * r[1] / r[0], ==, CPU_TSC_HZ);
    uint64_t before = cpu_tsc(m->cpu);
    clock_manual_advance(m->clock, NANOSECONDS / 4);
    g_assert_cmpuint(cpu_tsc(m->cpu) - before, ==, CPU_TSC_HZ / 4);
    cpu_set_tsc(m->cpu, 1000);
    clock_manual_advance(m->clock, 5);
    g_assert_cmpuint(cpu_tsc(m->cpu), ==, 1005);
    cpu_cpuid(m->cpu, 0x40000000u, 0, r);
    g_assert_cmpmem(&r[1], 12, "netlabnetlab", 12);
    cpu_cpuid(m->cpu, 0x12345678, 0, r); /* beyond: the last basic leaf */
    g_assert_cmpuint(r[0], ==, CPU_TSC_HZ / 1000000);
    m->cpu->misc_enable |= CPU_MISC_LIMIT_CPUID;
    cpu_cpuid(m->cpu, 0, 0, r);
    g_assert_cmpuint(r[0], ==, 3);
    machine_free(m);
}

static void test_apic_base(void)
{
    struct machine *m = machine_new();
    if (setjmp(m->cpu->fault_exit))
        g_assert_not_reached();
    g_assert_cmphex(m->apic_base, ==, 0xfee00900);
    cpu_write_msr(m->cpu, 0x1b, 0xfed00100);
    g_assert_cmphex(m->apic_base, ==, 0xfed00100);
    cpu_reset(m->cpu);
    g_assert_cmphex(m->apic_base, ==, 0xfee00900);
    if (!setjmp(m->cpu->fault_exit)) {
        cpu_write_msr(m->cpu, 0x1b, 0xfee00d00); /* x2APIC */
        g_assert_not_reached();
    }
    g_assert_cmpuint(m->cpu->fault_vector, ==, VEC_GP);
    machine_free(m);
}

/* ---- saved state ---- */

static char *state_text(struct machine *m)
{
    GString *out = g_string_new(NULL);
    state_print(&cpu_state_table, "cpu", m->cpu, out);
    return g_string_free(out, FALSE);
}

static void test_state(void)
{
    struct machine *a = machine_new(), *b = machine_new();
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    size_t pos = 0;

    /* Into ring 3 behind paging, with something in every corner. */
    PROGRAM(a, "\xb8\x23\x00\x00\x00\x8e\xd8\x8e\xc0\x8e\xe0\x8e\xe8\x50\x68\x00\x70\x00\x00\x68\x02\x02\x00"
               "\x00\x6a\x1b"
               "\x68\x28\x10\x00\x00\xcf");
    memcpy(a->ram + 0x1028, "\x40\xeb\xfd", 3); /* inc eax; jmp back */
    a->ram[0x4020] = 0xcf; /* the NMI's handler returns at once */
    a->cpu->tr.base = 0x3000;
    memcpy(a->ram + 0x3004, (const uint32_t[]){0x7800, 16}, 8);
    paging_on(a);
    a->cpu->dr[0] = 0x1234;
    a->cpu->pat = 0x0007040600070401ull;
    a->cpu->fpu.xmm[5].u64[1] = 0xfeedface;
    a->cpu->mtrr_mask[7] = 0xf00000800ull;
    steps(a, 40);
    g_assert_cmpuint(a->cpu->cpl, ==, 3);
    cpu_raise_nmi(a->cpu);
    state_save(&cpu_state_table, "cpu", a->cpu, saved);
    memcpy(b->ram, a->ram, RAM_SIZE);
    g_assert_true(state_load(&cpu_state_table, "cpu", b->cpu, saved->data, saved->len, &pos, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(pos, ==, saved->len);
    g_autofree char *before = state_text(a), *after = state_text(b);
    g_assert_cmpstr(before, ==, after);

    /* Both go on alike. */
    steps(a, 25);
    steps(b, 25);
    g_autofree char *before_end = state_text(a), *after_end = state_text(b);
    g_assert_cmpstr(before_end, ==, after_end);
    g_assert_cmpmem(a->ram, RAM_SIZE, b->ram, RAM_SIZE);
    machine_free(a);
    machine_free(b);
}

/* Saved files may say anything; what they say stays inside the guest. */
static void test_state_hostile(void)
{
    struct machine *a = machine_new();
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GRand) random = g_rand_new_with_seed(20240229);
    state_save(&cpu_state_table, "cpu", a->cpu, saved);
    for (unsigned round = 0; round < 400; round++) {
        struct machine *b = machine_new();
        g_autofree uint8_t *data = g_memdup2(saved->data, saved->len);
        g_autoptr(GError) error = NULL;
        size_t pos = 0;
        for (unsigned i = 0; i < 1 + round % 64; i++)
            data[g_rand_int_range(random, 0, (gint32)saved->len)] = (uint8_t)g_rand_int(random);
        if (state_load(&cpu_state_table, "cpu", b->cpu, data, saved->len, &pos, &error)) {
            for (unsigned i = 0; i < 200; i++)
                if (cpu_step(b->cpu) != CPU_STOP_REQUESTED)
                    break;
        } else {
            g_assert_nonnull(error);
        }
        machine_free(b);
    }
    /* CR0 that no processor can have. */
    struct machine *b = machine_new();
    g_autoptr(GError) error = NULL;
    size_t pos = 0;
    a->cpu->cr0 = CR0_PG;
    g_byte_array_set_size(saved, 0);
    state_save(&cpu_state_table, "cpu", a->cpu, saved);
    g_assert_false(state_load(&cpu_state_table, "cpu", b->cpu, saved->data, saved->len, &pos, &error));
    g_assert_nonnull(error);
    machine_free(a);
    machine_free(b);
}

static void test_describe(void)
{
    struct machine *m = machine_new();
    g_autoptr(GString) out = g_string_new(NULL);
    struct cpu_registers regs;
    m->cpu->gpr[EBX] = 0xcafef00d;
    cpu_describe(m->cpu, out);
    g_assert_nonnull(strstr(out->str, "EBX=cafef00d"));
    g_assert_nonnull(strstr(out->str, "protected mode, 32 bit"));
    cpu_get_registers(m->cpu, &regs);
    g_assert_cmphex(regs.gpr[3], ==, 0xcafef00d);
    g_assert_cmphex(regs.eip, ==, 0x1000);
    g_assert_cmphex(regs.cs, ==, 8);
    machine_free(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/system/intr", test_intr);
    g_test_add_func("/system/intr-masked", test_intr_masked);
    g_test_add_func("/system/sti-hlt", test_sti_hlt);
    g_test_add_func("/system/spurious", test_spurious);
    g_test_add_func("/system/nmi", test_nmi);
    g_test_add_func("/system/mov-ss-shadow", test_mov_ss_shadow);
    g_test_add_func("/system/init", test_init);
    g_test_add_func("/system/triple-fault", test_triple_fault);
    g_test_add_func("/system/double-fault-table", test_double_fault_table);
    g_test_add_func("/system/string-io-interrupted", test_string_io_interrupted);
    g_test_add_func("/system/mmio", test_mmio);
    g_test_add_func("/system/rom-and-holes", test_rom_and_holes);
    g_test_add_func("/system/a20", test_a20);
    g_test_add_func("/system/dirty-flags", test_dirty_flags);
    g_test_add_func("/system/code-changes", test_code_changes);
    g_test_add_func("/system/wide-addresses", test_wide_addresses);
    g_test_add_func("/system/debug-read", test_debug_read);
    g_test_add_func("/system/features-and-table", test_features_and_table);
    g_test_add_func("/system/model-texts", test_model_texts);
    g_test_add_func("/system/cpuid", test_cpuid);
    g_test_add_func("/system/apic-base", test_apic_base);
    g_test_add_func("/system/state", test_state);
    g_test_add_func("/system/state-hostile", test_state_hostile);
    g_test_add_func("/system/describe", test_describe);
    return g_test_run();
}
