/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzz target: the whole CPU executes the input. Whatever a guest does, the emulator must neither crash nor
 * hang: sanitizers watch, and cpu_request_exit() must bring it back.
 *
 * Byte 0 chooses the start: real mode, or flat protected mode with or without paging; the next ones fill
 * registers; the rest is laid at the start address. First steps one at a time, then the block loop until an
 * alarm asks for the exit.
 */
#include "emu/cpu/cpu.h"
#include "emu/machine/clock.h"
#include "emu/mem/physmap.h"
#include "emu/mem/portio.h"
#include "tests/fuzz/fuzz_main.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>

enum {
    RAM_SIZE = 1 << 20,
    AT_GDT = 0x500,
    AT_DIRECTORY = 0x2000,
    AT_CODE = 0x7c00,
    STEPS = 200,
    RUN_US = 1500
};

static struct {
    struct physmap *mem;
    struct cpu *cpu;
} rig;

static void on_alarm(int number)
{
    cpu_request_exit(rig.cpu);
}

static void make_rig(void)
{
    struct cpu_board board = {.io = portio_new(), .clock = clock_new_manual()};
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};

    board.mem = rig.mem = physmap_new(RAM_SIZE, NULL);
    physmap_add_ram(rig.mem, "ram", 0, RAM_SIZE, 0, 0);
    rig.cpu = cpu_new(NULL, &board);
    physmap_set_change_listener(rig.mem, cpu_memory_changed, rig.cpu);
    physmap_set_code_listener(rig.mem, cpu_code_written, rig.cpu);
    sigaction(SIGALRM, &action, NULL);
}

/* Asks for the exit every so often, so that neither a loop nor a long string instruction keeps us. */
static void set_alarm(int microseconds)
{
    struct itimerval timer = {.it_value.tv_usec = microseconds, .it_interval.tv_usec = microseconds};

    setitimer(ITIMER_REAL, &timer, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t gdt[] = {
        0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff};
    struct cpu_boot_state state = {
        .eip = AT_CODE, .gdt_base = AT_GDT, .gdt_limit = sizeof(gdt) - 1, .cs = 0x10, .ds = 0x18};
    static const uint8_t to_real[] = {0xea, 0x00, 0x7c, 0x00, 0x00};
    uint32_t words[9] = {0};

    if (!rig.cpu)
        make_rig();
    if (size < 2)
        return 0;
    memcpy(words, data + 1, MIN(size - 1, sizeof(words)));
    memset(physmap_ram(rig.mem), 0, 0x20000);
    cpu_code_written(rig.cpu, 0, RAM_SIZE);
    phys_write(rig.mem, AT_GDT, gdt, sizeof(gdt));
    phys_write32(rig.mem, AT_DIRECTORY, 0x000000e7); /* 4 MiB, all rights */
    phys_write(rig.mem, AT_CODE, data, MIN(size, 0x4000));
    cpu_reset(rig.cpu);
    if (data[0] & 1) {
        state.eax = words[0];
        state.ecx = words[1];
        state.edx = words[2];
        state.ebx = words[3];
        state.esi = words[4] & 0xfffff;
        state.edi = words[5] & 0xfffff;
        state.ebp = words[6] & 0xfffff;
        state.esp = words[7] & 0xfffff;
        cpu_set_boot_state(rig.cpu, &state);
    } else {
        /* from the reset vector to 0:7c00 */
        phys_write(rig.mem, 0xffff0, to_real, sizeof(to_real));
        cpu_set_a20(rig.cpu, data[0] & 2);
    }
    set_alarm(RUN_US);
    for (unsigned i = 0; i < STEPS; i++)
        if (cpu_step(rig.cpu) != CPU_STOP_REQUESTED)
            break;
    cpu_run(rig.cpu);
    set_alarm(0);
    return 0;
}

FUZZ_MAIN(1500, 600)
