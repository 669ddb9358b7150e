/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Hostile guests: random instructions at ring 0, in real, 16-bit, 32-bit, paged and virtual-8086 mode, with
 * random descriptors, page tables, task state and devices around them. Nothing is expected of the guest; the
 * emulator must neither crash (run this under the sanitizers) nor hang nor leave the CPU's own invariants.
 *
 * --jit runs them by the translator, --lockstep by both, side by side: then something is expected after all.
 * --links is --lockstep by stretches of linked and hot blocks.
 *
 * One seed is one guest: CHAOS_VERBOSE=1 names them, test-chaos [--jit|--lockstep|--links] SEED COUNT runs
 * some again (how far each stretch of cpu_run() goes is the clock's choice). Seconds by default;
 * NETLAB_TEST_FULL=1: a hundred times as many.
 */
#include "emu/cpu/access.h"
#include "emu/cpu/insn.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define RAM_SIZE (2u << 20)
#define BATCHES  24 /* of up to sixteen instructions stepped, then a stretch run */

struct machine {
    struct physmap *mem;
    struct portio *io;
    struct clock *clock;
    struct cpu *cpu;
    uint8_t *ram;
    GRand *random;
    struct phys_range *movable;
};

static uint32_t any(struct machine *m)
{
    return g_rand_int(m->random);
}
static bool one_in(struct machine *m, unsigned n)
{
    return any(m) % n == 0;
}

/* A device that does what devices can: it moves memory, raises interrupts, asks for an exit. */
static uint32_t wild_read(void *opaque, uint32_t offset, unsigned size)
{
    struct machine *m = opaque;
    if (one_in(m, 16))
        physmap_range_enable(m->mem, m->movable, one_in(m, 2));
    if (one_in(m, 8))
        cpu_set_intr(m->cpu, one_in(m, 2));
    if (one_in(m, 32))
        cpu_request_exit(m->cpu);
    return any(m);
}
static void wild_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct machine *m = opaque;
    if (one_in(m, 16))
        cpu_set_a20(m->cpu, value & 1);
    if (one_in(m, 16))
        cpu_raise_nmi(m->cpu);
    if (one_in(m, 8)) { /* DMA, perhaps into code that is running */
        uint8_t bytes[64];
        for (unsigned i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)any(m);
        phys_write(m->mem, any(m) % (RAM_SIZE - 64), bytes, sizeof bytes);
    }
}
static const struct mmio_ops wild_ops = {.read = wild_read, .write = wild_write};

static uint32_t wild_in(void *opaque, uint16_t port, unsigned size)
{
    return wild_read(opaque, port, size);
}
static void wild_out(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    wild_write(opaque, port, value, size);
}
static const struct portio_ops wild_port_ops = {.read = wild_in, .write = wild_out, .max_size = 4};

static int acknowledge(void *opaque)
{
    struct machine *m = opaque;
    if (one_in(m, 2))
        cpu_set_intr(m->cpu, false);
    return one_in(m, 4) ? -1 : (int)(any(m) & 0xff);
}

/* Bytes that often are an instruction, and often a system instruction. */
static void write_code(struct machine *m, uint32_t at, unsigned len)
{
    while (len > 24) {
        uint8_t insn[16];
        unsigned n = 0;
        if (one_in(m, 6))
            insn[n++] = (uint8_t[]){0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x64, 0x65}[any(m) % 9];
        const struct insn_row *row = &insn_rows[any(m) % INSN_COUNT];
        if (row->prefix == PREFIX_66)
            insn[n++] = 0x66;
        else if (row->prefix == PREFIX_F3 || row->prefix == PREFIX_F2)
            insn[n++] = row->prefix == PREFIX_F3 ? 0xf3 : 0xf2;
        if (row->map)
            insn[n++] = 0x0f;
        insn[n++] = row->opcode | (uint8_t)(row->attr & ATTR_PLUS_R ? any(m) & 7
                                            : row->attr & ATTR_COND ? any(m) & 15
                                                                    : 0);
        if (row->ext & INSN_EXT_EXACT)
            insn[n++] = (uint8_t)row->ext;
        else if (row->ext & INSN_EXT_MODRM)
            insn[n++] = (uint8_t)((any(m) & 0xc7) |
                                  (row->ext & INSN_EXT_OPCODE ? (row->ext & 7) << 3 : any(m) & 0x38));
        for (unsigned extra = any(m) % 6; extra; extra--)
            insn[n++] = (uint8_t)(one_in(m, 2) ? any(m) : any(m) & 0x1f);
        memcpy(m->ram + at, insn, n);
        at += n;
        len -= n;
    }
}

static uint64_t wild_descriptor(struct machine *m)
{
    uint64_t d = (uint64_t)any(m) << 32 | any(m);
    if (one_in(m, 2)) /* small base and large limit: usable */
        d = 0x00cf00000000ffffull | (uint64_t)(any(m) & 0xff) << 40 | (uint64_t)(any(m) & 0xff) << 16;
    if (!one_in(m, 4))
        d |= 1ull << 47;
    return d;
}

static void build(struct machine *m, uint32_t seed)
{
    struct cpu *cpu = m->cpu;
    g_rand_set_seed(m->random, seed);
    for (unsigned i = 0; i < RAM_SIZE / 16; i++)
        memcpy(m->ram + 16 * i, (const uint32_t[]){any(m), one_in(m, 2) ? 0 : any(m), 0, 0}, 8);
    bool tame = !one_in(m, 3); /* most gates lead somewhere: such guests live longer */
    for (unsigned i = 0; i < 256; i++) {
        uint64_t d = wild_descriptor(m);
        uint64_t gate = (any(m) & 0xfff8) | (uint64_t)(any(m) % 32 * 8) << 16 |
                        (uint64_t)(0x8000 | (any(m) & 0x6f00)) << 32;
        if (tame && !one_in(m, 16))
            gate = (0x8000 + any(m) % 0x8000) | 8ull << 16 | (uint64_t)(0xee00 | (any(m) & 0x100)) << 32;
        memcpy(m->ram + 0x800 + 8 * i, &d, 8);
        memcpy(m->ram + 0x3000 + 8 * i, &gate, 8);
    }
    for (unsigned i = 0; i < 1024; i++) { /* page directory and a table, mostly present */
        uint32_t pde =
            (one_in(m, 4) ? any(m) : 0x21000u) | (one_in(m, 8) ? 0 : 0x27) | (one_in(m, 16) ? 0x80 : 0);
        uint32_t pte = ((i << 12) % RAM_SIZE) | (one_in(m, 8) ? any(m) & 0xfff : 0x67);
        if (one_in(m, 32))
            pte = 0x80000007u; /* the device */
        memcpy(m->ram + 0x20000 + 4 * i, &pde, 4);
        memcpy(m->ram + 0x21000 + 4 * i, &pte, 4);
    }
    for (uint32_t at = 0x8000; at < 0x18000; at += 0x1000)
        write_code(m, at, 0x1000);

    cpu_reset(cpu);
    cpu_set_a20(cpu, true);
    physmap_range_enable(m->mem, m->movable, true);
    const struct cpu_boot_state boot = {.eip = 0x8000,
                                        .esp = 0x19000,
                                        .ebx = 0x30000,
                                        .esi = 0x40000,
                                        .edi = 0x50000,
                                        .ebp = 0x19000,
                                        .eax = any(m),
                                        .ecx = any(m) & 0xff,
                                        .edx = any(m) & 0x3ff,
                                        .gdt_base = 0x800,
                                        .gdt_limit = 0x7ff,
                                        .cs = 8,
                                        .ds = 16};
    const uint64_t code = 0x00cf9b000000ffffull, data = 0x00cf93000000ffffull,
                   tss = 0x00008b00700020ffull | 0x6000ull << 16;
    memcpy(m->ram + 0x808, &code, 8);
    memcpy(m->ram + 0x810, &data, 8);
    memcpy(m->ram + 0x818, &tss, 8);
    cpu_set_boot_state(cpu, &boot);
    cpu->idtr = (struct descriptor_table){.base = 0x3000, .limit = (uint16_t)(tame ? 0x7ff : any(m) & 0x7ff)};
    cpu->tr = (struct segment){
        .selector = 0x18, .base = 0x6000, .limit = tame ? 0x20ff : any(m) & 0x20ff, .attr = 0x8b00};
    cpu->tr.max = cpu->tr.limit;
    if (tame)
        memcpy(m->ram + 0x6004, (const uint32_t[]){0x19000, 0x10}, 8);
    cpu->cr4 = any(m) & cpu_model_cr4(cpu->model) & ~CR4_PAE;
    cpu->cr3 = 0x20000;
    if (one_in(m, 2))
        cpu->cr0 |= CR0_PG;
    if (one_in(m, 4))
        cpu->cr0 |= CR0_WP | CR0_AM;
    if (one_in(m, 4)) /* real mode */
        cpu->cr0 &= ~(CR0_PE | CR0_PG);
    cpu_set_eflags(cpu, one_in(m, 2) ? any(m) & 0x003f7fd5u & ~FLAG_VM : 2);
    if (one_in(m, 4)) { /* ring 3 or virtual-8086 */
        for (unsigned i = 0; i < SEG_COUNT; i++)
            segment_set_cache(cpu, (enum segment_register)i, 0x800, 0x8000, 0xffff,
                              i == SEG_CS ? 0xfb00u : 0xf300u);
        cpu->eip = cpu->gpr[ESP] = 0;
        if (one_in(m, 2) && (cpu->cr0 & CR0_PE))
            cpu_set_eflags(cpu, cpu_eflags(cpu) | FLAG_VM);
    }
    for (unsigned i = 0; i < 4; i++)
        cpu->dr[i] = any(m) & 0x1ffff;
    if (one_in(m, 4))
        cpu->dr[7] = (any(m) & 0xffff2fffu) | DR7_FIXED;
    cpu_debug_registers_changed(cpu);
    mmu_flush(cpu, true);
    cpu_update_mode(cpu);
}

static void check_invariants(const struct cpu *cpu)
{
    g_assert_cmpuint(cpu->gpr[GPR_ZERO], ==, 0);
    g_assert_cmpuint(cpu->cpl, ==, (cpu->seg[SEG_SS].attr & SEG_ATTR_DPL) >> 13);
    g_assert_cmphex(cpu->eflags & (FLAG_STATUS | ~FLAG_IMPLEMENTED), ==, 0);
    g_assert_cmphex(cpu->status & ~FLAG_STATUS, ==, 0);
    g_assert_cmphex(cpu->cr4 & ~cpu_model_cr4(cpu->model), ==, 0);
    g_assert_true((cpu->cr0 & CR0_PE) || !(cpu->cr0 & CR0_PG));
    g_assert_cmphex(cpu->dr[6] & DR6_FIXED, ==, DR6_FIXED);
    g_assert_cmpuint(cpu->ext, ==, 0);
    g_assert_false(cpu->in_exception);
    g_assert_true(cpu->tlb_data == cpu->tlb[0] || cpu->tlb_data == cpu->tlb[1] ||
                  cpu->tlb_data == cpu->tlb[2]);
    for (unsigned i = 0; i < TLB_SIZE; i++)
        g_assert_true(cpu->tlb[TLB_EMPTY][i].read == TLB_NONE && cpu->tlb[TLB_EMPTY][i].write == TLB_NONE);
}

/* The doorbell, every 300 µs: long repeated instructions and loops end by it. */
static struct cpu *bell_cpu;

static void bell(int number)
{
    cpu_request_exit(bell_cpu);
}

static void start_bell(struct cpu *cpu)
{
    const struct itimerval period = {.it_value.tv_usec = 300, .it_interval.tv_usec = 300};
    bell_cpu = cpu;
    signal(SIGALRM, bell);
    setitimer(ITIMER_REAL, &period, NULL);
}

static bool run_guest(struct machine *m, uint32_t seed)
{
    build(m, seed);
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        for (unsigned i = any(m) % 16; i; i--) {
            enum cpu_stop stop = cpu_step(m->cpu);
            if (stop == CPU_STOP_SHUTDOWN)
                return true;
            check_invariants(m->cpu);
            if (stop == CPU_STOP_HALTED)
                cpu_raise_nmi(m->cpu);
        }
        /* The block cache's way, until the bell rings. */
        cpu_set_intr(m->cpu, one_in(m, 2));
        enum cpu_stop stop = cpu_run(m->cpu);
        if (stop == CPU_STOP_SHUTDOWN)
            return true;
        if (stop == CPU_STOP_DIFFERENCE) {
            printf("seed %u: %s", seed, cpu_difference(m->cpu));
            exit(1);
        }
        check_invariants(m->cpu);
    }
    return false;
}

int main(int argc, char **argv)
{
    struct machine m = {.random = g_rand_new_with_seed(0)};
    bool links = argc > 1 && !strcmp(argv[1], "--links");
    bool lockstep = links || (argc > 1 && !strcmp(argv[1], "--lockstep"));
    bool jit = lockstep || (argc > 1 && !strcmp(argv[1], "--jit"));
    argc -= jit;
    argv += jit;
    uint32_t first = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1;
    uint32_t count = argc > 2                     ? (uint32_t)strtoul(argv[2], NULL, 0)
                     : getenv("NETLAB_TEST_FULL") ? (lockstep ? 15000 : 60000)
                                                  : 300;
    unsigned shutdowns = 0;

    m.mem = physmap_new(RAM_SIZE, NULL);
    m.ram = physmap_ram(m.mem);
    m.io = portio_new();
    m.clock = clock_new_manual();
    physmap_add_ram(m.mem, "ram", 0, RAM_SIZE, 0, 0);
    m.movable = physmap_add_ram(m.mem, "shadow", 0xc000, 0x4000, 0x100000, 1);
    physmap_add_mmio(m.mem, "wild", 0x80000000u, 0x3000, &wild_ops, &m, 0);
    portio_add(m.io, "wild", 0, 0x400, &wild_port_ops, &m);
    struct cpu_board board = {
        .mem = m.mem, .io = m.io, .clock = m.clock, .opaque = &m, .acknowledge = acknowledge};
    m.cpu = cpu_new(cpu_model_default(), &board);
    g_autoptr(GError) error = NULL;
    if (jit && !cpu_set_accel(m.cpu, CPU_ACCEL_JIT, &error)) {
        printf("skipped: %s\n", error->message);
        return 77;
    }
    if (links)
        cpu_set_heat(m.cpu, 3);
    if (lockstep)
        cpu_set_lockstep(m.cpu, &(struct cpu_lockstep){.quiet = true, .links = links ? 40 : 0});
    start_bell(m.cpu);
    physmap_set_change_listener(m.mem, cpu_memory_changed, m.cpu);
    physmap_set_code_listener(m.mem, cpu_code_written, m.cpu);
    /* Guests that once made trouble: faults without end. */
    static const uint32_t found[] = {10388};
    for (unsigned i = 0; i < G_N_ELEMENTS(found) && argc == 1; i++)
        shutdowns += run_guest(&m, found[i]);
    for (uint32_t i = 0; i < count; i++) {
        if (getenv("CHAOS_VERBOSE"))
            fprintf(stderr, "seed %u\n", first + i);
        shutdowns += run_guest(&m, first + i);
    }
    const struct cpu_statistics *stats = cpu_statistics(m.cpu);
    printf("%u guests, %u ended in shutdown, %" G_GUINT64_FORMAT " instructions, %" G_GUINT64_FORMAT
           " exceptions, "
           "%" G_GUINT64_FORMAT " interrupts\n",
           count, shutdowns, stats->instructions, stats->exceptions, stats->interrupts);
    signal(SIGALRM, SIG_IGN);
    cpu_free(m.cpu);
    clock_free(m.clock);
    portio_free(m.io);
    physmap_free(m.mem);
    g_rand_free(m.random);
    return 0;
}
