/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* The processor of rig.h. */
#include "tests/cpu/rig.h"

#include "emu/cpu/jit/jit.h"

#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

void rig_make(struct rig *rig, uint64_t ram_size, const struct cpu_board *board)
{
    struct cpu_board whole = board ? *board : (struct cpu_board){0};

    rig->vector = -1;
    whole.mem = rig->mem = physmap_new(ram_size, NULL);
    whole.io = rig->io = portio_new();
    whole.clock = rig->clock = clock_new_manual();
    physmap_add_ram(rig->mem, "ram", 0, ram_size, 0, 0);
    rig->cpu = cpu_new(NULL, &whole);
    physmap_set_change_listener(rig->mem, cpu_memory_changed, rig->cpu);
    physmap_set_code_listener(rig->mem, cpu_code_written, rig->cpu);
}

bool rig_translate(struct rig *rig, GError **error)
{
    if (!cpu_set_accel(rig->cpu, CPU_ACCEL_JIT, error))
        return false;
    jit_set_threshold(rig->cpu, 0);
    return true;
}

void rig_free(struct rig *rig)
{
    cpu_free(rig->cpu);
    clock_free(rig->clock);
    portio_free(rig->io);
    physmap_free(rig->mem);
}

/* What a signal handler may know. */
static struct {
    struct cpu *volatile cpu;
    volatile sig_atomic_t ticks;
} watched;

static void watchdog(int signal)
{
    if (watched.cpu && ++watched.ticks > 3)
        cpu_request_exit(watched.cpu);
}

bool rig_make_pair(struct rig *interpreter, struct rig *translator, uint64_t ram_size, const char *index)
{
    g_autoptr(GError) error = NULL;

    signal(SIGVTALRM, watchdog);
    setitimer(ITIMER_VIRTUAL, &(struct itimerval){{0, 100000}, {0, 100000}}, NULL);
    rig_make(interpreter, ram_size, NULL);
    rig_make(translator, ram_size, NULL);
    if (!rig_translate(translator, &error))
        printf("skipped: %s\n", error->message);
    else if (index && !jit_set_index(translator->cpu, index))
        printf("skipped: this host cannot index tables by \"%s\"\n", index);
    else
        return true;
    return false;
}

enum cpu_stop rig_run_watched(struct rig *rig)
{
    enum cpu_stop stop;

    watched.ticks = 0;
    rig->cpu->exit_request = 0; /* a tick may have come late */
    watched.cpu = rig->cpu;
    stop = cpu_run(rig->cpu);
    watched.cpu = NULL;
    return stop;
}

void rig_lay_out(struct rig *rig)
{
    static const uint64_t gdt[] = {
        0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff};

    phys_write(rig->mem, RIG_GDT, gdt, sizeof(gdt));
    for (uint32_t v = 0; v < 256; v++) {
        phys_write32(rig->mem, RIG_IDT + v * 8, 0x100000 | (RIG_HANDLERS + v * 16));
        phys_write32(rig->mem, RIG_IDT + v * 8 + 4, 0x8e00);
        phys_write8(rig->mem, RIG_HANDLERS + v * 16, 0xf4);
    }
}

void rig_start(struct rig *rig, uint32_t eip)
{
    struct cpu_boot_state state = {
        .eip = eip, .esp = RIG_STACK, .gdt_base = RIG_GDT, .gdt_limit = 47, .cs = 0x10, .ds = 0x18};

    cpu_reset(rig->cpu);
    cpu_set_boot_state(rig->cpu, &state);
    rig->cpu->idtr = (struct descriptor_table){.base = RIG_IDT, .limit = 0x7ff};
}

uint32_t rig_load(struct rig *rig, uint32_t at, const char *hex)
{
    for (; *hex; hex++) {
        if (*hex == ' ')
            continue;
        phys_write8(rig->mem, at++,
                    (uint8_t)(g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1])));
        hex++;
    }
    return at;
}

int rig_run(struct rig *rig)
{
    uint32_t handler;

    g_assert_cmpint(cpu_run(rig->cpu), ==, CPU_STOP_HALTED);
    handler = rig->cpu->eip - 1 - RIG_HANDLERS;
    return handler < 0x1000 ? (int)(handler / 16) : -1;
}
