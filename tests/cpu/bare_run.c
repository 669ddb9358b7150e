/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Runs a bare-metal test image on the CPU alone: RAM, a debug port that is this program's stdout, an exit
 * port, and nothing else of a PC. The image is a multiboot kernel (ELF, 32 bits). A test that needs no board
 * is a test of the CPU, and finds its faults before a board exists.
 *
 * usage: bare-run [--jit] IMAGE [TRACE]
 * --jit: by the translator instead of the interpreter
 * Ends with status 0 when the image said so, 1 on shutdown, halt, or after ten seconds.
 */
#include "emu/cpu/cpu.h"
#include "emu/machine/clock.h"
#include "emu/mem/physmap.h"
#include "emu/mem/portio.h"
#include "emu/trace.h"

#include <elf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RAM_SIZE   (32u << 20)
#define TIME_LIMIT 10 /* seconds */

struct machine {
    struct physmap *mem;
    struct portio *io;
    struct clock *clock;
    struct cpu *cpu;
    bool done;
};

static void debugcon_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    putchar((int)(value & 0xff));
    if (value == '\n')
        fflush(stdout);
}

static uint32_t debugcon_read(void *opaque, uint16_t port, unsigned size)
{
    return 0xe9;
}

static void exit_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct machine *m = opaque;
    m->done = true;
    cpu_request_exit(m->cpu);
}

static const struct portio_ops debugcon_ops = {.read = debugcon_read, .write = debugcon_write, .max_size = 1};
static const struct portio_ops exit_ops = {.write = exit_write, .max_size = 1};

static bool load_elf(struct machine *m, const char *path, uint32_t *entry)
{
    g_autofree char *data = NULL;
    g_autoptr(GError) error = NULL;
    gsize len;
    if (!g_file_get_contents(path, &data, &len, &error)) {
        fprintf(stderr, "bare-run: %s\n", error->message);
        return false;
    }
    const Elf32_Ehdr *eh = (const Elf32_Ehdr *)data;
    if (len < sizeof *eh || memcmp(eh->e_ident, ELFMAG, SELFMAG) || eh->e_machine != EM_386 ||
        eh->e_phoff + (gsize)eh->e_phnum * sizeof(Elf32_Phdr) > len) {
        fprintf(stderr, "bare-run: %s is not a 32-bit x86 ELF file\n", path);
        return false;
    }
    const Elf32_Phdr *ph = (const Elf32_Phdr *)(data + eh->e_phoff);
    for (unsigned i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type != PT_LOAD)
            continue;
        if ((gsize)ph[i].p_offset + ph[i].p_filesz > len || ph[i].p_paddr > RAM_SIZE ||
            ph[i].p_memsz > RAM_SIZE - ph[i].p_paddr) {
            fprintf(stderr, "bare-run: %s: segment %u does not fit\n", path, i);
            return false;
        }
        memcpy(physmap_ram(m->mem) + ph[i].p_paddr, data + ph[i].p_offset, ph[i].p_filesz);
    }
    *entry = eh->e_entry;
    return true;
}

int main(int argc, char **argv)
{
    struct machine m = {0};
    uint32_t entry;
    g_autoptr(GError) error = NULL;

    bool jit = argc > 1 && !strcmp(argv[1], "--jit");
    argc -= jit;
    argv += jit;
    if (argc < 2) {
        fprintf(stderr, "usage: bare-run [--jit] IMAGE [TRACE]\n");
        return 2;
    }
    if (argc > 2 && !trace_enable(argv[2], &error)) {
        fprintf(stderr, "bare-run: %s\n", error->message);
        return 2;
    }
    m.mem = physmap_new(RAM_SIZE, &error);
    if (!m.mem) {
        fprintf(stderr, "bare-run: %s\n", error->message);
        return 2;
    }
    physmap_add_ram(m.mem, "ram", 0, RAM_SIZE, 0, 0);
    m.io = portio_new();
    m.clock = clock_new();
    portio_add(m.io, "debugcon", 0xe9, 1, &debugcon_ops, &m);
    portio_add(m.io, "exit", 0xf4, 4, &exit_ops, &m);
    struct cpu_board board = {.mem = m.mem, .io = m.io, .clock = m.clock, .opaque = &m};
    m.cpu = cpu_new(cpu_model_default(), &board);
    physmap_set_change_listener(m.mem, cpu_memory_changed, m.cpu);
    physmap_set_code_listener(m.mem, cpu_code_written, m.cpu);
    if (jit && !cpu_set_accel(m.cpu, CPU_ACCEL_JIT, &error)) {
        fprintf(stderr, "bare-run: %s\n", error->message);
        return 77;
    }
    if (!load_elf(&m, argv[1], &entry))
        return 2;
    /* As a multiboot loader leaves things; the image brings its own GDT at once. */
    struct cpu_boot_state boot = {.eip = entry, .eax = 0x2badb002, .cs = 0x10, .ds = 0x18};
    cpu_set_boot_state(m.cpu, &boot);

    alarm(TIME_LIMIT);
    enum cpu_stop stop = CPU_STOP_REQUESTED;
    while (!m.done && stop == CPU_STOP_REQUESTED)
        stop = cpu_run(m.cpu);
    fflush(stdout);
    if (!m.done) {
        g_autoptr(GString) text = g_string_new(NULL);
        cpu_describe(m.cpu, text);
        fprintf(stderr, "bare-run: %s\n%s", stop == CPU_STOP_SHUTDOWN ? "triple fault" : "halted for good",
                text->str);
    }
    cpu_free(m.cpu);
    clock_free(m.clock);
    portio_free(m.io);
    physmap_free(m.mem);
    return m.done ? 0 : 1;
}
