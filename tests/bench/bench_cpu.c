/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Speed of the CPU alone: cpu, physmap and ports, no devices. Runs each kernel of kernels.c and prints guest
 * instructions per second, and how many times slower than the same source compiled for the host it is.
 *
 *   bench-cpu IMAGE [--accel interp|jit] [--kernel NAME] [--paging] [--scale N]
 *
 * Exits 1 when a checksum differs from the host's.
 */
#include "emu/cpu/cpu.h"
#include "emu/machine/clock.h"
#include "emu/mem/physmap.h"
#include "emu/mem/portio.h"
#include "tests/bench/kernels.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    AT_GDT = 0x1000,
    AT_STACK = 0x80000,
    AT_IMAGE = 0x100000,
    AT_DIRECTORY = 0x3000,
    AT_START = 0x6000,
    AT_TABLES = 0x10000, /* as many as RAM_SIZE needs */
    RAM_SIZE = 32 << 20
};

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* other work on the machine must not show */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct board {
    struct physmap *mem;
    struct portio *io;
    struct clock *clock;
    struct cpu *cpu;
};

static void board_make(struct board *b, const char *image, gsize image_size, const char *model_name, bool jit)
{
    static const uint64_t gdt[] = {0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
    struct cpu_board board = {.io = b->io = portio_new(), .clock = b->clock = clock_new()};
    const struct cpu_model *model = NULL;
    g_autoptr(GError) error = NULL;

    if (model_name && !(model = cpu_model_parse(model_name, &error)))
        g_error("%s", error->message);
    b->mem = board.mem = physmap_new(RAM_SIZE, &error);
    g_assert_no_error(error);
    physmap_add_ram(b->mem, "ram", 0, RAM_SIZE, 0, 0);
    b->cpu = cpu_new(model, &board);
    if (jit && !cpu_set_accel(b->cpu, CPU_ACCEL_JIT, &error))
        g_error("%s", error->message);
    physmap_set_change_listener(b->mem, cpu_memory_changed, b->cpu);
    physmap_set_code_listener(b->mem, cpu_code_written, b->cpu);
    phys_write(b->mem, AT_GDT, gdt, sizeof(gdt));
    phys_write(b->mem, AT_IMAGE, image, image_size);
    /* every page mapped to itself, for --paging */
    for (uint32_t i = 0; i < RAM_SIZE >> 22; i++)
        phys_write32(b->mem, AT_DIRECTORY + i * 4, (AT_TABLES + i * 4096) | 7);
    for (uint32_t i = 0; i < RAM_SIZE >> 12; i++)
        phys_write32(b->mem, AT_TABLES + i * 4, i << 12 | 7);
}

static void board_free(struct board *b)
{
    cpu_free(b->cpu);
    clock_free(b->clock);
    portio_free(b->io);
    physmap_free(b->mem);
}

static bool run_kernel(struct board *b, unsigned number, uint32_t rounds, bool paging, bool jit,
                       unsigned repeat)
{
    /* With CR3 in EBX and CR0's new bits in ECX: FNINIT, CR3, CR4 for SSE, paging, far into the image. */
    static const uint8_t start[] = {0xdb, 0xe3,                                /* fninit */
                                    0x0f, 0x22, 0xdb,                          /* mov cr3, ebx */
                                    0xbb, 0x00, 0x06, 0x00, 0x00,              /* mov ebx, 0x600 */
                                    0x0f, 0x22, 0xe3,                          /* mov cr4, ebx */
                                    0x0f, 0x22, 0xc1,                          /* mov cr0, ecx */
                                    0xbb, 0x00, 0x00, 0x10, 0x00, 0xff, 0xe3}; /* mov ebx, image; jmp ebx */
    struct cpu_boot_state state = {.eip = AT_START,
                                   .esp = AT_STACK,
                                   .eax = number,
                                   .edx = rounds,
                                   .ebx = AT_DIRECTORY,
                                   .ecx = paging ? 0x80000033 : 0x33,
                                   .gdt_base = AT_GDT,
                                   .gdt_limit = 31,
                                   .cs = 0x10,
                                   .ds = 0x18};
    struct cpu_registers regs;
    const struct cpu_statistics *stats = cpu_statistics(b->cpu);
    uint64_t before;
    uint32_t expected;
    double guest = 1e9, native = 1e9;
    bool good = true;

    phys_write(b->mem, AT_START, start, sizeof(start));
    for (unsigned i = 0; i < repeat; i++) {
        double t0, t1, t2;
        enum cpu_stop stop;

        cpu_reset(b->cpu);
        cpu_set_boot_state(b->cpu, &state);
        before = stats->instructions;
        t0 = seconds();
        stop = cpu_run(b->cpu);
        t1 = seconds();
        if (kernels[number].prepare)
            kernels[number].prepare();
        expected = kernels[number].run(rounds);
        t2 = seconds();
        guest = MIN(guest, t1 - t0);
        native = MIN(native, t2 - t1);
        cpu_get_registers(b->cpu, &regs);
        good &= stop == CPU_STOP_HALTED && regs.gpr[0] == expected;
    }
    printf("%-12s %7.3f s  %6.1f x native", kernels[number].name, guest, guest / native);
    if (!jit) /* translated code does not count */
        printf("  %8.1f M instructions %7.1f M/s", (double)(stats->instructions - before) / 1e6,
               (double)(stats->instructions - before) / 1e6 / guest);
    printf("%s\n", good ? "" : "  WRONG RESULT");
    return good;
}

int main(int argc, char **argv)
{
    g_autofree char *kernel = NULL, *image = NULL, *model = NULL, *accel = NULL;
    gboolean paging = FALSE;
    double scale = 1;
    int repeat = 1;
    bool good = true;
    gsize image_size;
    struct board board;
    const GOptionEntry entries[] = {
        {"kernel", 0, 0, G_OPTION_ARG_STRING, &kernel, "only this one", "NAME"},
        {"paging", 0, 0, G_OPTION_ARG_NONE, &paging, "with paging on", NULL},
        {"accel", 0, 0, G_OPTION_ARG_STRING, &accel, "interp (unless given) or jit", "ENGINE"},
        {"model", 0, 0, G_OPTION_ARG_STRING, &model, "CPU model", "NAME"},
        {"repeat", 0, 0, G_OPTION_ARG_INT, &repeat, "take the best of so many runs", "N"},
        {"scale", 0, 0, G_OPTION_ARG_DOUBLE, &scale, "times the usual rounds", "N"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new("IMAGE");
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || argc != 2 ||
        !g_file_get_contents(argv[1], &image, &image_size, &error)) {
        printf("%s\n", error ? error->message : "usage: bench-cpu IMAGE");
        return 2;
    }
    if (accel && strcmp(accel, "interp") != 0 && strcmp(accel, "jit") != 0) {
        printf("--accel %s: interp or jit\n", accel);
        return 2;
    }
    bool jit = accel && strcmp(accel, "jit") == 0;
    board_make(&board, image, image_size, model, jit);
    for (unsigned i = 0; i < kernel_count; i++)
        if (!kernel || !strcmp(kernel, kernels[i].name))
            good &= run_kernel(&board, i, (uint32_t)MAX(kernels[i].rounds * scale, 1.), paging, jit,
                               (unsigned)MAX(repeat, 1));
    board_free(&board);
    return good ? 0 : 1;
}
