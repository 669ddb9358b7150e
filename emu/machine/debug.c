/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The machine as its debugger sees it: struct control_debug, filled in from the CPU's own functions.
 */
#include "emu/cpu/cpu.h"
#include "emu/machine/machine_internal.h"

static void debug_attach(void *opaque, bool attached)
{
    cpu_debug_attach(((struct machine *)opaque)->cpu, attached);
}

static unsigned debug_get_register(void *opaque, unsigned number, uint8_t out[16])
{
    return cpu_debug_get_register(((struct machine *)opaque)->cpu, number, out);
}

static bool debug_set_register(void *opaque, unsigned number, const uint8_t *value)
{
    return cpu_debug_set_register(((struct machine *)opaque)->cpu, number, value);
}

static size_t debug_write_memory(void *opaque, uint32_t linear, const void *buf, size_t len)
{
    return cpu_debug_write(((struct machine *)opaque)->cpu, linear, buf, len);
}

static bool debug_breakpoint(void *opaque, bool add, enum control_break kind, uint32_t linear, uint32_t len)
{
    static const enum cpu_break kinds[] = {[CONTROL_BREAK_EXEC] = CPU_BREAK_EXEC,
                                           [CONTROL_BREAK_WRITE] = CPU_BREAK_WRITE,
                                           [CONTROL_BREAK_READ] = CPU_BREAK_READ,
                                           [CONTROL_BREAK_ACCESS] = CPU_BREAK_ACCESS};
    struct cpu *cpu = ((struct machine *)opaque)->cpu;

    return add ? cpu_debug_add(cpu, kinds[kind], linear, len)
               : cpu_debug_remove(cpu, kinds[kind], linear, len);
}

static bool debug_hit(void *opaque, enum control_break *kind, uint32_t *linear)
{
    static const enum control_break kinds[] = {[CPU_BREAK_EXEC] = CONTROL_BREAK_EXEC,
                                               [CPU_BREAK_WRITE] = CONTROL_BREAK_WRITE,
                                               [CPU_BREAK_READ] = CONTROL_BREAK_READ,
                                               [CPU_BREAK_ACCESS] = CONTROL_BREAK_ACCESS};
    struct cpu_break_hit hit;

    if (!cpu_debug_hit(((struct machine *)opaque)->cpu, &hit))
        return false;
    *kind = kinds[hit.kind];
    *linear = hit.linear;
    return true;
}

static void debug_step(void *opaque)
{
    struct machine *m = opaque;

    if (cpu_debug_step(m->cpu) == CPU_STOP_SHUTDOWN)
        machine_request(m, MACHINE_REQUEST_RESET);
}

void machine_offer_debug(struct machine *m)
{
    m->debug_offer = (struct control_debug){
        .opaque = m,
        .attach = debug_attach,
        .get_register = debug_get_register,
        .set_register = debug_set_register,
        .write_memory = debug_write_memory,
        .breakpoint = debug_breakpoint,
        .hit = debug_hit,
        .step = debug_step,
    };
}
