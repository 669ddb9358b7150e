/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * IN, OUT, INS, OUTS (SDM vol. 1, chapter 18).
 *
 * A device may do anything in answer: raise an interrupt, move the memory map, ask the CPU to stop. So these
 * rows end their block, and a repeated one looks up after each element: it leaves eip at itself when
 * something waits, and goes on afterwards, as the processor does between iterations.
 */
#include "emu/cpu/access.h"
#include "emu/cpu/system_operands.h"

static uint32_t port_in(struct cpu *cpu, uint16_t port, unsigned size)
{
    cpu_check_io(cpu, port, size);
    cpu_check_io_breakpoint(cpu, port, size);
    return portio_read(cpu->board.io, port, size);
}

static void port_out(struct cpu *cpu, uint16_t port, uint32_t value, unsigned size)
{
    cpu_check_io(cpu, port, size);
    cpu_check_io_breakpoint(cpu, port, size);
    portio_write(cpu->board.io, port, value, size);
}

static void set_accumulator(struct cpu *cpu, uint32_t value, unsigned size)
{
    uint32_t mask = 0xffffffffu >> (32 - 8 * size);
    cpu->gpr[EAX] = (cpu->gpr[EAX] & ~mask) | (value & mask);
}

static uint32_t accumulator(const struct cpu *cpu, unsigned size)
{
    return cpu->gpr[EAX] & (0xffffffffu >> (32 - 8 * size));
}

void op_in_al_ib(struct cpu *cpu, const struct insn *in)
{
    set_accumulator(cpu, port_in(cpu, in->imm & 0xff, 1), 1);
}
void op_in_eax_ib(struct cpu *cpu, const struct insn *in)
{
    set_accumulator(cpu, port_in(cpu, in->imm & 0xff, insn_opsize(in)), insn_opsize(in));
}
void op_in_al_dx(struct cpu *cpu, const struct insn *in)
{
    set_accumulator(cpu, port_in(cpu, (uint16_t)cpu->gpr[EDX], 1), 1);
}
void op_in_eax_dx(struct cpu *cpu, const struct insn *in)
{
    set_accumulator(cpu, port_in(cpu, (uint16_t)cpu->gpr[EDX], insn_opsize(in)), insn_opsize(in));
}
void op_out_ib_al(struct cpu *cpu, const struct insn *in)
{
    port_out(cpu, in->imm & 0xff, accumulator(cpu, 1), 1);
}
void op_out_ib_eax(struct cpu *cpu, const struct insn *in)
{
    port_out(cpu, in->imm & 0xff, accumulator(cpu, insn_opsize(in)), insn_opsize(in));
}
void op_out_dx_al(struct cpu *cpu, const struct insn *in)
{
    port_out(cpu, (uint16_t)cpu->gpr[EDX], accumulator(cpu, 1), 1);
}
void op_out_dx_eax(struct cpu *cpu, const struct insn *in)
{
    port_out(cpu, (uint16_t)cpu->gpr[EDX], accumulator(cpu, insn_opsize(in)), insn_opsize(in));
}

/* ---- strings ---- */

static void advance(struct cpu *cpu, unsigned reg, uint32_t mask, unsigned size)
{
    uint32_t step = cpu->eflags & FLAG_DF ? 0u - size : size;
    cpu->gpr[reg] = (cpu->gpr[reg] & ~mask) | ((cpu->gpr[reg] + step) & mask);
}

/* The store is proved possible before the device is asked: reading a port may change it. */
static void ins_once(struct cpu *cpu, uint32_t mask, unsigned size)
{
    uint16_t port = (uint16_t)cpu->gpr[EDX];
    uint32_t offset = cpu->gpr[EDI] & mask;
    cpu_check_io(cpu, port, size);
    mem_check_write(cpu, SEG_ES, offset, size);
    uint32_t value = port_in(cpu, port, size);
    if (size == 1)
        mem_write8(cpu, SEG_ES, offset, (uint8_t)value);
    else if (size == 2)
        mem_write16(cpu, SEG_ES, offset, (uint16_t)value);
    else
        mem_write32(cpu, SEG_ES, offset, value);
    advance(cpu, EDI, mask, size);
}

static void outs_once(struct cpu *cpu, const struct insn *in, uint32_t mask, unsigned size)
{
    uint32_t offset = cpu->gpr[ESI] & mask, value;
    cpu_check_io(cpu, (uint16_t)cpu->gpr[EDX], size);
    if (size == 1)
        value = mem_read8(cpu, in->seg, offset);
    else if (size == 2)
        value = mem_read16(cpu, in->seg, offset);
    else
        value = mem_read32(cpu, in->seg, offset);
    port_out(cpu, (uint16_t)cpu->gpr[EDX], value, size);
    advance(cpu, ESI, mask, size);
}

static void string_io(struct cpu *cpu, const struct insn *in, bool input, unsigned size)
{
    uint32_t mask = in->flags & INSN_ADDR16 ? 0xffffu : 0xffffffffu;
    bool repeat = (in->flags & (INSN_REP | INSN_REPNE)) != 0;

    if (repeat && !(cpu->gpr[ECX] & mask)) {
        cpu_check_io(cpu, (uint16_t)cpu->gpr[EDX], size); /* refused even when there is nothing to do */
        return;
    }
    for (;;) {
        if (input)
            ins_once(cpu, mask, size);
        else
            outs_once(cpu, in, mask, size);
        if (!repeat)
            return;
        cpu->gpr[ECX] = (cpu->gpr[ECX] & ~mask) | ((cpu->gpr[ECX] - 1) & mask);
        if (!(cpu->gpr[ECX] & mask))
            return;
        if (cpu->events || __atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED)) {
            cpu->eip = cpu->insn_eip;
            cpu->rep_paused = true;
            cpu->icount_left++; /* it has not ended */
            return;
        }
    }
}

void op_insb(struct cpu *cpu, const struct insn *in)
{
    string_io(cpu, in, true, 1);
}
void op_insv(struct cpu *cpu, const struct insn *in)
{
    string_io(cpu, in, true, insn_opsize(in));
}
void op_outsb(struct cpu *cpu, const struct insn *in)
{
    string_io(cpu, in, false, 1);
}
void op_outsv(struct cpu *cpu, const struct insn *in)
{
    string_io(cpu, in, false, insn_opsize(in));
}
