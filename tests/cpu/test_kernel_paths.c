/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What kernels do all the time has short ways through the emulator: system calls, returns from them, loads of
 * segment registers, the interrupt flag, RDTSC. Here each is done many times over, until it goes the short
 * way, and then what it depends on is changed: the next time must see it. Every test runs in the interpreter
 * and translated.
 *
 * Programs are machine code at 0x1000 in flat 32-bit protected mode, ring 0; GDT at 0x800: 08 and 10 flat
 * code and data, 1b and 23 the same for ring 3, 28 a data segment that tests change, 30 the TSS at 0x700. IDT
 * at 0x2000; gate n leads to 0x4000 + 16 n, where there is HLT. Data at 0x10000 and 0x20000.
 */
#include "emu/cpu/access.h"
#include "emu/cpu/jit/jit.h"

#include <string.h>

#define RAM_SIZE (4u << 20)
#define GDT      0x800u
#define TSS      0x700u
#define IDT      0x2000u
#define ROUNDS   200

struct machine {
    struct physmap *mem;
    struct portio *io;
    struct clock *clock;
    struct cpu *cpu;
    uint8_t *ram;
    unsigned port_reads;
};

static void put32(struct machine *m, uint32_t at, uint32_t value)
{
    memcpy(m->ram + at, &value, 4);
}
static uint32_t get32(struct machine *m, uint32_t at)
{
    uint32_t value;
    memcpy(&value, m->ram + at, 4);
    return value;
}

static void set_descriptor(struct machine *m, unsigned selector, uint32_t base, uint32_t pages, unsigned type)
{
    uint32_t at = GDT + (selector & ~7u);
    put32(m, at, base << 16 | (pages & 0xffff));
    put32(m, at + 4, (base & 0xff000000) | 0xc00000 | (pages & 0xf0000) | type << 8 | (base >> 16 & 0xff));
}

static void set_gate(struct machine *m, unsigned vector, unsigned type)
{
    put32(m, IDT + 8 * vector, 8u << 16 | (0x4000 + 16 * vector));
    put32(m, IDT + 8 * vector + 4, type << 8);
}

static int acknowledge(void *opaque)
{
    struct machine *m = opaque;
    cpu_set_intr(m->cpu, false);
    return 0x30;
}

static uint32_t port_read(void *opaque, uint16_t port, unsigned size)
{
    struct machine *m = opaque;
    if (++m->port_reads == ROUNDS)
        cpu_set_intr(m->cpu, true);
    return 0;
}

static const struct portio_ops port_ops = {.read = port_read, .max_size = 1};

static struct machine *machine_new(const void *jit, struct clock *clock)
{
    struct machine *m = g_new0(struct machine, 1);
    m->mem = physmap_new(RAM_SIZE, NULL);
    m->ram = physmap_ram(m->mem);
    m->io = portio_new();
    m->clock = clock ? clock : clock_new_manual();
    physmap_add_ram(m->mem, "ram", 0, RAM_SIZE, 0, 0);
    portio_add(m->io, "port", 0x60, 1, &port_ops, m);
    struct cpu_board board = {
        .mem = m->mem, .io = m->io, .clock = m->clock, .opaque = m, .acknowledge = acknowledge};
    m->cpu = cpu_new(cpu_model_default(), &board);
    physmap_set_change_listener(m->mem, cpu_memory_changed, m->cpu);
    physmap_set_code_listener(m->mem, cpu_code_written, m->cpu);
    set_descriptor(m, 0x08, 0, 0xfffff, 0x9b);
    set_descriptor(m, 0x10, 0, 0xfffff, 0x93);
    set_descriptor(m, 0x18, 0, 0xfffff, 0xfb);
    set_descriptor(m, 0x20, 0, 0xfffff, 0xf3);
    set_descriptor(m, 0x28, 0x10000, 0xfffff, 0x93);
    for (unsigned i = 0; i < 256; i++) {
        set_gate(m, i, i == 0x80 ? 0xee : 0x8e);
        m->ram[0x4000 + 16 * i] = 0xf4;
    }
    put32(m, TSS + 4, 0x9000);
    put32(m, TSS + 8, 0x10);
    put32(m, 0x10000, 0x11111111);
    put32(m, 0x20000, 0x22222222);
    const struct cpu_boot_state boot = {
        .eip = 0x1000, .esp = 0x8000, .gdt_base = GDT, .gdt_limit = 0x37, .cs = 8, .ds = 16};
    cpu_set_boot_state(m->cpu, &boot);
    m->cpu->idtr = (struct descriptor_table){.base = IDT, .limit = 0x7ff};
    m->cpu->tr = (struct segment){.selector = 0x30, .base = TSS, .limit = 0x67, .max = 0x67, .attr = 0x8b00};
    if (jit) {
        g_autoptr(GError) error = NULL;
        if (!cpu_set_accel(m->cpu, CPU_ACCEL_JIT, &error))
            g_test_skip(error->message);
        else
            jit_set_threshold(m->cpu, 2);
    }
    return m;
}

static void machine_free(struct machine *m)
{
    cpu_free(m->cpu);
    clock_free(m->clock);
    portio_free(m->io);
    physmap_free(m->mem);
    g_free(m);
}

#define PROGRAM(m, at, code) memcpy((m)->ram + (at), code, sizeof(code) - 1)

/* Runs from `eip` until the CPU halts; the vector whose handler that was in, or −1. */
static int run(struct machine *m, uint32_t eip)
{
    m->cpu->eip = eip;
    m->cpu->halted = false;
    while (cpu_run(m->cpu) != CPU_STOP_HALTED)
        ;
    uint32_t at = m->cpu->eip - 1;
    return at >= 0x4000 && at < 0x5000 ? (int)(at - 0x4000) / 16 : -1;
}

/* ---- segment registers ---- */

/* A changed descriptor is seen by the next load of the same selector. */
static void test_segment_reload(const void *jit)
{
    struct machine *m = machine_new(jit, NULL);
    /* again: mov fs, ax; mov ebx, fs:[0]; xor edx, edx; mov gs, dx; dec ecx; jnz again; hlt */
    PROGRAM(m, 0x1000, "\x8e\xe0\x64\x8b\x1d\0\0\0\0\x31\xd2\x8e\xea\x49\x75\xf0\xf4");
    for (unsigned i = 0; i < 4; i++) {
        set_descriptor(m, 0x28, i & 1 ? 0x20000 : 0x10000, 0xfffff, 0x93);
        m->cpu->gpr[EAX] = 0x28;
        m->cpu->gpr[ECX] = ROUNDS;
        g_assert_cmpint(run(m, 0x1000), ==, -1);
        g_assert_cmphex(m->cpu->gpr[EBX], ==, i & 1 ? 0x22222222 : 0x11111111);
    }
    /* not present; smaller than what is read; for code only */
    set_descriptor(m, 0x28, 0x10000, 0xfffff, 0x13);
    m->cpu->gpr[ECX] = ROUNDS;
    g_assert_cmpint(run(m, 0x1000), ==, VEC_NP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0x28);
    set_descriptor(m, 0x28, 0x10000, 0, 0x97); /* grows down: nothing below 4 KiB */
    g_assert_cmpint(run(m, 0x1000), ==, VEC_GP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP] + 4), ==, 0x1002);
    set_descriptor(m, 0x28, 0x10000, 0xfffff, 0x99);
    g_assert_cmpint(run(m, 0x1000), ==, VEC_GP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP] + 4), ==, 0x1000);
    machine_free(m);
}

/* The table itself becomes shorter. */
static void test_segment_limit(const void *jit)
{
    struct machine *m = machine_new(jit, NULL);
    /* again: mov fs, ax; mov ebx, fs:[0]; dec ecx; jnz again; hlt. At 0x1100: lgdt [0x1200]; jmp again */
    PROGRAM(m, 0x1000, "\x8e\xe0\x64\x8b\x1d\0\0\0\0\x49\x75\xf4\xf4");
    PROGRAM(m, 0x1100, "\x0f\x01\x15\0\x12\0\0\xe9\xf4\xfe\xff\xff");
    PROGRAM(m, 0x1200, "\x27\0\0\x08\0\0");
    m->cpu->gpr[EAX] = 0x28;
    m->cpu->gpr[ECX] = ROUNDS;
    g_assert_cmpint(run(m, 0x1000), ==, -1);
    m->cpu->gpr[ECX] = ROUNDS;
    g_assert_cmpint(run(m, 0x1100), ==, VEC_GP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0x28);
    machine_free(m);
}

/* DS that is flat at first and then is not, popped; the null selector. */
static void test_segment_data(const void *jit)
{
    struct machine *m = machine_new(jit, NULL);
    /* again: push eax; pop ds; mov ebx, [0x20]; push 0x10; pop ds; dec ecx; jnz again; hlt */
    PROGRAM(m, 0x1000, "\x50\x1f\x8b\x1d\x20\0\0\0\x6a\x10\x1f\x49\x75\xf2\xf4");
    put32(m, 0x20, 0x33333333);
    put32(m, 0x20020, 0x44444444);
    for (unsigned i = 0; i < 4; i++) {
        set_descriptor(m, 0x28, i & 1 ? 0x20000 : 0, 0xfffff, 0x93);
        m->cpu->gpr[EAX] = 0x28;
        m->cpu->gpr[ECX] = ROUNDS;
        g_assert_cmpint(run(m, 0x1000), ==, -1);
        g_assert_cmphex(m->cpu->gpr[EBX], ==, i & 1 ? 0x44444444 : 0x33333333);
    }
    m->cpu->gpr[EAX] = 0;
    g_assert_cmpint(run(m, 0x1000), ==, VEC_GP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP] + 4), ==, 0x1002);
    machine_free(m);
}

/* ---- system calls ---- */

/* In ring 3: again: int 0x80; dec ecx; jnz again; ud2. In ring 0: iret. */
static struct machine *system_calls(const void *jit)
{
    struct machine *m = machine_new(jit, NULL);
    /* push 0x23; pop ds; push 0x23; pop es; iret to 1b:3000, 23:7000 */
    PROGRAM(m, 0x1000,
            "\x6a\x23\x1f\x6a\x23\x07\x6a\x23\x68\0\x70\0\0\x9c\x6a\x1b\x68\0\x30\0\0\xcf");
    PROGRAM(m, 0x3000, "\xcd\x80\x49\x75\xfb\x0f\x0b");
    PROGRAM(m, 0x4000 + 16 * 0x80, "\x40\x89\xe2\xcf"); /* inc eax; mov edx, esp; iret */
    return m;
}

static int call_system(struct machine *m, unsigned times)
{
    m->cpu->gpr[EAX] = 0;
    m->cpu->gpr[ECX] = times;
    m->cpu->gpr[ESP] = 0x8000;
    const struct cpu_boot_state boot = {
        .eip = 0x1000, .esp = 0x8000, .ecx = times, .gdt_base = GDT, .gdt_limit = 0x37, .cs = 8, .ds = 16};
    cpu_set_boot_state(m->cpu, &boot);
    return run(m, 0x1000);
}

static void add_gates(void *opaque, const char *group, const char *name, uint64_t value)
{
    uint64_t *sum = opaque;
    if (g_str_equal(group, "jit-calls") && (g_str_equal(name, "int_ib") || g_str_equal(name, "iret")))
        *sum += value;
}

static void test_system_call(const void *jit)
{
    struct machine *m = system_calls(jit);
    uint64_t slow = 0;
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    cpu_foreach_counter(m->cpu, add_gates, &slow);
    g_assert_cmpuint(slow, <, ROUNDS / 4); /* the short way is taken at all */
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, ROUNDS);
    g_assert_cmphex(m->cpu->gpr[EDX], ==, 0x9000 - 20);
    g_assert_cmphex(get32(m, 0x9000 - 4), ==, 0x23);
    g_assert_cmphex(get32(m, 0x9000 - 8), ==, 0x7000);
    g_assert_cmphex(get32(m, 0x9000 - 16), ==, 0x1b);
    /* another stack */
    put32(m, TSS + 4, 0xa000);
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    g_assert_cmphex(m->cpu->gpr[EDX], ==, 0xa000 - 20);
    machine_free(m);

    /* a gate for ring 0 alone */
    m = system_calls(jit);
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    set_gate(m, 0x80, 0x8e);
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_GP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0x80 * 8 + 2);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP] + 4), ==, 0x3000);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, 0);
    /* one that leads elsewhere, as a trap gate: IF stays */
    set_gate(m, 0x80, 0xef);
    put32(m, IDT + 8 * 0x80, 8u << 16 | 0x5000);
    PROGRAM(m, 0x5000, "\x83\xc0\x02\xcf"); /* add eax, 2; iret */
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, 2 * ROUNDS);
    /* not there */
    set_gate(m, 0x80, 0x6e);
    g_assert_cmpint(call_system(m, 1), ==, VEC_NP);
    machine_free(m);
}

/* What IRET returns to is checked each time. */
static void test_system_return(const void *jit)
{
    struct machine *m = system_calls(jit);
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    set_descriptor(m, 0x20, 0, 0xfffff, 0xf1); /* the user's stack cannot be written any more */
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_GP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0x20);
    set_descriptor(m, 0x20, 0, 0xfffff, 0xf3);
    set_descriptor(m, 0x18, 0, 0xfffff, 0x7b); /* code that is not present */
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_NP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0x18);
    set_descriptor(m, 0x18, 0, 2, 0xfb); /* ends at 12 KiB, before the program */
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_GP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0);
    machine_free(m);
}

/* The hundredth call does something before it returns; then the flags are compared and CF, set by the caller,
 * must be as it was. */
#define CHANGED 100
static struct machine *changing_calls(const void *jit, const char *code, size_t size)
{
    struct machine *m = system_calls(jit);
    uint8_t *at = m->ram + 0x6000;

    /* again: stc; int 0x80; jnc bad; dec ecx; jnz again; ud2; bad: hlt */
    PROGRAM(m, 0x3000, "\xf9\xcd\x80\x73\x05\x49\x75\xf8\x0f\x0b\xf4");
    PROGRAM(m, 0x4000 + 16 * 0x80, "\xe9\xfb\x17\0\0"); /* jmp 0x6000 */
    /* inc eax; cmp eax, 100; jne over; …; over: mov edx, esp; iret */
    memcpy(at, "\x40\x83\xf8\x64\x75", 5);
    at[5] = (uint8_t)size;
    memcpy(at + 6, code, size);
    memcpy(at + 6 + size, "\x89\xe2\xcf", 3);
    return m;
}
#define CHANGING(jit, code) changing_calls(jit, code, sizeof(code) - 1)

static void test_system_change(const void *jit)
{
    /* mov dword [TSS + 4], 0xa000: another stack from now on */
    struct machine *m = CHANGING(jit, "\xc7\x05\x04\x07\0\0\0\xa0\0\0");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, ROUNDS);
    g_assert_cmphex(m->cpu->gpr[EDX], ==, 0xa000 - 20);
    g_assert_cmphex(get32(m, 0xa000 - 8), ==, 0x7000);
    machine_free(m);
    /* mov dword [TSS + 8], 0x28: in a segment that begins elsewhere */
    m = CHANGING(jit, "\xc7\x05\x08\x07\0\0\x28\0\0\0");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, ROUNDS);
    g_assert_cmphex(get32(m, 0x10000 + 0x9000 - 8), ==, 0x7000);
    machine_free(m);
    /* mov dword [IDT + 0x400], …5000: the gate leads elsewhere */
    m = CHANGING(jit, "\xc7\x05\0\x24\0\0\0\x50\x08\0");
    PROGRAM(m, 0x5000, "\x83\xc0\x02\xcf"); /* add eax, 2; iret */
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, CHANGED + 2 * (ROUNDS - CHANGED));
    machine_free(m);
    /* mov dword [IDT + 0x404], 0x8e00: the gate is for ring 0 */
    m = CHANGING(jit, "\xc7\x05\x04\x24\0\0\0\x8e\0\0");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_GP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0x80 * 8 + 2);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, CHANGED);
    machine_free(m);
    /* mov dword [GDT + 0x1c], …: the user's code is not present; [GDT + 0x24]: his stack cannot be written */
    m = CHANGING(jit, "\xc7\x05\x1c\x08\0\0\0\x7b\xcf\0");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_NP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0x18);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, CHANGED);
    machine_free(m);
    m = CHANGING(jit, "\xc7\x05\x24\x08\0\0\0\xf1\xcf\0");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_GP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0x20);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, CHANGED);
    machine_free(m);
    /* mov word [0x7020], 0x400; lidt [0x7020]: the table ends before the gate */
    m = CHANGING(jit, "\x0f\x01\x1d\x20\x70\0\0");
    PROGRAM(m, 0x7020, "\x06\x04\0\x20\0\0");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_GP);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0x80 * 8 + 2);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, CHANGED);
    machine_free(m);
}

/* What the frame says. */
static void test_system_frame(const void *jit)
{
    /* or byte [esp + 9], 1: TF; the instruction behind INT is done, and then traps */
    struct machine *m = CHANGING(jit, "\x80\x4c\x24\x09\x01");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_DB);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0x3005);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, CHANGED);
    machine_free(m);
    /* or dword [esp + 8], 0x203400: ID, IOPL 3 and DF are the caller's afterwards */
    m = CHANGING(jit, "\x81\x4c\x24\x08\0\x34\x20\0");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    g_assert_cmphex(get32(m, 0x9000 - 12) & 0x203400, ==, 0x203400);
    g_assert_cmphex(m->cpu->eflags & FLAG_IOPL, ==, FLAG_IOPL);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, ROUNDS);
    machine_free(m);
    /* mov dword [esp], 0x3100: there is UD2; xor byte [esp + 8], 0xd4 changes PF, AF, ZF and SF */
    m = CHANGING(jit, "\xc7\x04\x24\0\x31\0\0\x80\x74\x24\x08\xd4");
    PROGRAM(m, 0x3100, "\x0f\x0b");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, CHANGED);
    /* before: of DEC to 101, in the round before */
    g_assert_cmphex(get32(m, 0x9000 - 12) & FLAG_STATUS, ==, FLAG_CF | FLAG_AF | FLAG_ZF | FLAG_SF);
    machine_free(m);
    /* push 0x28; pop gs: what belongs to ring 0 does not stay; push 0x23; pop gs: the caller's does */
    m = CHANGING(jit, "\x6a\x28\x0f\xa9");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, ROUNDS);
    g_assert_cmphex(m->cpu->seg[SEG_GS].selector, ==, 0);
    g_assert_false(m->cpu->seg[SEG_GS].can_read);
    machine_free(m);
    m = CHANGING(jit, "\x6a\x23\x0f\xa9");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    g_assert_cmphex(m->cpu->seg[SEG_GS].selector, ==, 0x23);
    g_assert_true(m->cpu->seg[SEG_GS].can_read);
    machine_free(m);
    /* or byte [esp + 9], 0x40: NT is the caller's; he is asked nothing. pushf; or byte [esp + 1], 0x40; popf:
     * IRET returns from a task that does not exist */
    m = CHANGING(jit, "\x80\x4c\x24\x09\x40");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    g_assert_cmphex(get32(m, 0x9000 - 12) & FLAG_NT, ==, FLAG_NT);
    machine_free(m);
    m = CHANGING(jit, "\x9c\x80\x4c\x24\x01\x40\x9d");
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_TS);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, CHANGED);
    machine_free(m);
}

/* The kernel's returns, and the user's around a call, with code that changes meanwhile. */
static void test_system_returns(const void *jit)
{
    struct machine *m = system_calls(jit);

    /* again: call 0x3080; dec ecx; jnz again; ud2. 0x3080: call 0x30c0; inc ebx; ret. 0x30c0: int 0x80; ret
     */
    PROGRAM(m, 0x3000, "\xe8\x7b\0\0\0\x49\x75\xf8\x0f\x0b");
    PROGRAM(m, 0x3080, "\xe8\x3b\0\0\0\x43\xc3");
    PROGRAM(m, 0x30c0, "\xcd\x80\xc3");
    /* inc eax; call 0x6000; call 0x6000; iret. 0x6000: mov edx, esp; ret */
    PROGRAM(m, 0x4000 + 16 * 0x80, "\x40\xe8\xfa\x17\0\0\xe8\xf5\x17\0\0\xcf");
    PROGRAM(m, 0x6000, "\x89\xe2\xc3");
    m->cpu->gpr[EBX] = 0;
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    g_assert_cmpuint(m->cpu->gpr[EAX], ==, ROUNDS);
    g_assert_cmpuint(m->cpu->gpr[EBX], ==, ROUNDS);
    machine_free(m);

    /* The kernel writes over the code that the user is to return to: inc ebx becomes dec ebx, once. */
    m = CHANGING(jit, "\xc6\x05\x85\x30\0\0\x4b");
    PROGRAM(m, 0x3000, "\xe8\x7b\0\0\0\x49\x75\xf8\x0f\x0b");
    PROGRAM(m, 0x3080, "\xe8\x3b\0\0\0\x43\xc3");
    PROGRAM(m, 0x30c0, "\xcd\x80\xc3");
    m->cpu->gpr[EBX] = 0;
    g_assert_cmpint(call_system(m, ROUNDS), ==, VEC_UD);
    g_assert_cmpuint(m->cpu->gpr[EBX], ==, (uint32_t)(CHANGED - 1 - (ROUNDS - CHANGED + 1)));
    machine_free(m);
}

/* ---- the interrupt flag ---- */

/* An interrupt that comes while IF is 0 is taken behind POPF, and behind the instruction after STI. */
static void test_interrupt_flag(const void *jit)
{
    struct machine *m = machine_new(jit, NULL);
    /* again: pushf; cli; in al, 0x60; popf; nop; dec ecx; jnz again; hlt: INTR rises in the last round's IN
     */
    PROGRAM(m, 0x1000, "\x9c\xfa\xe4\x60\x9d\x90\x49\x75\xf7\xf4");
    m->cpu->gpr[ECX] = 2 * ROUNDS;
    m->cpu->eflags |= FLAG_IF;
    g_assert_cmpint(run(m, 0x1000), ==, 0x30);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0x1005);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP] + 8) & FLAG_IF, ==, FLAG_IF);
    g_assert_cmpuint(m->port_reads, ==, ROUNDS);
    machine_free(m);

    m = machine_new(jit, NULL);
    /* again: cli; in al, 0x60; sti; nop; nop; dec ecx; jnz again; hlt */
    PROGRAM(m, 0x1000, "\xfa\xe4\x60\xfb\x90\x90\x49\x75\xf7\xf4");
    m->cpu->gpr[ECX] = 2 * ROUNDS;
    g_assert_cmpint(run(m, 0x1000), ==, 0x30);
    g_assert_cmphex(get32(m, m->cpu->gpr[ESP]), ==, 0x1005);
    g_assert_cmpuint(m->port_reads, ==, ROUNDS);
    machine_free(m);
}

/* PUSHF shows what was popped, POPF changes what CPL 0 may change. */
static void test_flags_image(const void *jit)
{
    struct machine *m = machine_new(jit, NULL);
    static const uint32_t images[] = {0x00000002, 0x00000ad7, 0x00000897, 0x00003246, 0x00244202, 0x00200cd7};
    /* again: push eax; popf; pushf; pop ebx; dec ecx; jecxz out; jmp again; out: push 2; popf; hlt */
    PROGRAM(m, 0x1000, "\x50\x9d\x9c\x5b\x49\xe3\x02\xeb\xf7\x6a\x02\x9d\xf4");
    for (unsigned i = 0; i < 3 * G_N_ELEMENTS(images); i++) {
        m->cpu->gpr[EAX] = images[i % G_N_ELEMENTS(images)];
        m->cpu->gpr[ECX] = ROUNDS;
        g_assert_cmpint(run(m, 0x1000), ==, -1);
        g_assert_cmphex(m->cpu->gpr[EBX], ==, images[i % G_N_ELEMENTS(images)]);
    }
    machine_free(m);
}

/* ---- time ---- */

/* RDTSC never goes back and keeps to the clock. */
static void test_tsc(const void *jit)
{
    struct clock *clock = clock_new();
    struct machine *m = machine_new(jit, clock);
    /* again: rdtsc; cmp eax, esi; jb bad; mov esi, eax; dec ecx; jnz again; hlt; bad: ud2 */
    PROGRAM(m, 0x1000, "\x0f\x31\x39\xf0\x72\x06\x89\xc6\x49\x75\xf5\xf4\x0f\x0b");
    int64_t end = clock_now(clock) + NANOSECONDS / 5;
    while (clock_now(clock) < end) {
        int64_t before = clock_now(clock), tsc;
        m->cpu->gpr[ECX] = 10000;
        g_assert_cmpint(run(m, 0x1000), ==, -1);
        tsc = (int64_t)((uint64_t)m->cpu->gpr[EDX] << 32 | m->cpu->gpr[ESI]) - (int64_t)m->cpu->tsc_offset;
        g_assert_cmpint(tsc, >=, before - 100000);
        g_assert_cmpint(tsc, <=, clock_now(clock) + 100000);
    }
    machine_free(m);
}

#define BOTH(name, function)                                                                                 \
    g_test_add_data_func("/kernel-paths/" name "/interp", NULL, function);                                   \
    g_test_add_data_func("/kernel-paths/" name "/jit", "jit", function)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    BOTH("segment-reload", test_segment_reload);
    BOTH("segment-limit", test_segment_limit);
    BOTH("segment-data", test_segment_data);
    BOTH("system-call", test_system_call);
    BOTH("system-return", test_system_return);
    BOTH("system-change", test_system_change);
    BOTH("system-frame", test_system_frame);
    BOTH("system-returns", test_system_returns);
    BOTH("interrupt-flag", test_interrupt_flag);
    BOTH("flags-image", test_flags_image);
    BOTH("tsc", test_tsc);
    return g_test_run();
}
