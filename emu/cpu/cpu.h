/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The CPU as the board sees it: one i686-class processor with x87, MMX, SSE, SSE2, SSE3.
 *
 * The machine's thread calls cpu_run(); it returns when asked to (cpu_request_exit), when the guest halts and
 * nothing is pending, or on shutdown (triple fault). Everything is for that thread except cpu_request_exit().
 * The registers are opaque here; emu/cpu/cpu_internal.h has them.
 */
#pragma once

#include "emu/snapshot/state.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct cpu;
struct physmap;
struct portio;
struct clock;

/* What the board gives its CPU. All callbacks run inside cpu_run(). */
struct cpu_board {
    struct physmap *mem;
    struct portio *io;
    struct clock *clock;
    void *opaque;
    int (*acknowledge)(void *opaque); /* INTA: the vector (0…255), or -1 when nothing is pending any more */
    void (*apic_base_changed)(void *opaque, uint64_t msr); /* IA32_APIC_BASE written or reset; may be NULL */
    void (*ferr)(void *opaque, bool level); /* FERR# pin, for CR0.NE = 0 (IRQ 13); may be NULL */
};

struct cpu_model; /* a row of cpuid.c */
/* "n270" (default), "qemu32", "pentium3", "486" …, with QEMU's ",+feature,-feature,feature=on|off". */
const struct cpu_model *cpu_model_parse(const char *text, GError **error);
/* The caller frees what it parsed, after the CPUs made of it; the default and NULL are left alone. */
void cpu_model_free(const struct cpu_model *model);
const struct cpu_model *cpu_model_default(void);
const char *cpu_model_name(const struct cpu_model *model);
/* The same for models that guests cannot tell from each other. */
uint32_t cpu_model_digest(const struct cpu_model *model);
const char *cpu_model_known(unsigned index); /* the names; NULL: no more */
void cpu_model_describe_all(GString *out);   /* -cpu help */

struct cpu *cpu_new(const struct cpu_model *model, const struct cpu_board *board);
void cpu_free(struct cpu *cpu);
/* Interpreter (at first) or translator. Before cpu_run(). False, and still the interpreter, when this host
 * has no executable memory or lacks what translated code needs. */
enum cpu_accel { CPU_ACCEL_INTERP, CPU_ACCEL_JIT };
bool cpu_set_accel(struct cpu *cpu, enum cpu_accel accel, GError **error);
/* Bytes of memory for translated code, 4 MiB to 512 MiB, a multiple of 1 MiB. Before cpu_set_accel(). */
void cpu_set_code_size(struct cpu *cpu, size_t bytes);
/* Instructions are counted exactly from now on (icount.h); after cpu_set_accel(), before anything is
 * executed. */
void cpu_set_icount(struct cpu *cpu);
/* How many were executed; from within one (a device's register): before it. */
uint64_t cpu_icount(const struct cpu *cpu);
/* cpu_run() returns CPU_STOP_REQUESTED when that many were. Not less than were already. */
void cpu_icount_until(struct cpu *cpu, uint64_t count);
/* Blocks of one instruction each: slow, and every instruction shows in traces of blocks. Before cpu_run(). */
void cpu_set_single(struct cpu *cpu, bool on);
/* Entries of a block by which the translator takes it for hot. After cpu_set_accel(…, CPU_ACCEL_JIT). */
void cpu_set_heat(struct cpu *cpu, uint32_t entries);
/* Interpreter and translator side by side (lockstep.c). After cpu_set_accel(…, CPU_ACCEL_JIT). */
struct cpu_lockstep {
    uint64_t from;   /* blocks to let run before the first is compared */
    unsigned insns;  /* longest block; 0: as decoded */
    unsigned sample; /* executions of each block to compare, later on one in a thousand; 0: all */
    unsigned links;  /* longest stretch of blocks that are compared linked, as they run; 0: each by itself */
    uint64_t
        plant;  /* for tests: the comparison from which on the translator's outcome is falsified; 0: none */
    bool quiet; /* no progress in the trace file */
};
void cpu_set_lockstep(struct cpu *cpu, const struct cpu_lockstep *options);
/* What differed when cpu_run() returned CPU_STOP_DIFFERENCE. */
const char *cpu_difference(const struct cpu *cpu);
/* Lets the translator show its work: the traces in_asm, op, out_asm, tb and exec as they are enabled now, and
 * names for perf in /tmp/perf-PID.map. Nothing to show with the interpreter alone, which is no error. */
bool cpu_set_debug(struct cpu *cpu, bool perfmap, GError **error);
/* The translator's counters, for people (`info jit`). */
void cpu_describe_jit(const struct cpu *cpu, GString *out);
/* RESET#: real mode at f000:fff0 (SDM vol. 3, 9.1). */
void cpu_reset(struct cpu *cpu);

enum cpu_stop {
    CPU_STOP_REQUESTED,  /* cpu_request_exit() was called */
    CPU_STOP_HALTED,     /* HLT, no interrupt pending */
    CPU_STOP_SHUTDOWN,   /* triple fault: the board resets or stops */
    CPU_STOP_DEBUG,      /* a point of the debugger's: cpu_debug_hit() */
    CPU_STOP_DIFFERENCE, /* lockstep found one: cpu_difference(). It stays at that */
};
enum cpu_stop cpu_run(struct cpu *cpu);
/* Executes exactly one instruction (or takes one interrupt), for tests and the debugger. */
enum cpu_stop cpu_step(struct cpu *cpu);
void cpu_request_exit(struct cpu *cpu); /* any thread, any signal handler */

void cpu_set_intr(struct cpu *cpu, bool level); /* INTR pin: the interrupt controller has something */
void cpu_raise_nmi(struct cpu *cpu);            /* NMI# edge */
void cpu_set_init(struct cpu *cpu);             /* INIT#: reset without clearing FPU, caches, MSRs */
void cpu_set_a20(struct cpu *cpu, bool enabled);
bool cpu_a20(const struct cpu *cpu);
bool cpu_is_halted(const struct cpu *cpu);

/* The physical map changed: drop cached translations. Wire to physmap_set_change_listener(). */
void cpu_memory_changed(void *cpu);
/* PHYS_PAGE_DIRTY flags were cleared: stores set them anew. */
void cpu_dirty_cleared(struct cpu *cpu);
/* The guest has little to do: drops what is decoded and translated if it is much, most of it from busier
 * times, and gives its memory back. Between two calls of cpu_run(). True: it was done, and the next moments
 * cost more. */
bool cpu_give_back(struct cpu *cpu);
/* RAM bytes [ram_offset, +len) are about to change by DMA. Wire to physmap_set_code_listener(). */
void cpu_code_written(void *cpu, uint64_t ram_offset, size_t len);

/* Boot without firmware: flat 32-bit protected mode with the GDT the boot protocols ask for (CS 0x10, data
 * 0x18, all 4 GiB), paging and interrupts off. The descriptors are expected at `gdt_addr` by the caller. */
struct cpu_boot_state {
    uint32_t eip, esp, eax, ebx, ecx, edx, esi, edi, ebp;
    uint32_t gdt_base;
    uint16_t gdt_limit, cs, ds;
};
void cpu_set_boot_state(struct cpu *cpu, const struct cpu_boot_state *state);
/* After cpu_reset(): goes on in real mode at a physical address below 1 MiB, as firmware enters a system that
 * it resumes: CS is the address without its low four bits (ACPI 2.0, FACS: Firmware_Waking_Vector). */
void cpu_set_real_address(struct cpu *cpu, uint32_t address);

/* Architectural registers for the monitor, the debugger and tests, in GDB's i386 order for the first 16. */
struct cpu_registers {
    uint32_t gpr[8]; /* eax ecx edx ebx esp ebp esi edi */
    uint32_t eip, eflags;
    uint32_t cs, ss, ds, es, fs, gs;
    uint32_t seg_base[6]; /* es cs ss ds fs gs */
    uint32_t cr0, cr2, cr3, cr4;
    uint32_t dr[8];
    uint8_t cpl;
};
void cpu_get_registers(struct cpu *cpu, struct cpu_registers *out);
/* Guest-linear access for the debugger: no faults, no A/D bits. Returns the bytes copied. */
size_t cpu_debug_read(struct cpu *cpu, uint32_t linear, void *buf, size_t len);
void cpu_describe(struct cpu *cpu, GString *out); /* `info registers` */

/* ---- a debugger outside of the guest (debugger.c); between two calls of cpu_run() ---- */
/* While one is attached; afterwards all its points are gone. */
void cpu_debug_attach(struct cpu *cpu, bool attached);
/* Execution is stopped before the instruction at the linear address, an access behind the one that made it.
 */
enum cpu_break { CPU_BREAK_EXEC, CPU_BREAK_WRITE, CPU_BREAK_READ, CPU_BREAK_ACCESS };
struct cpu_break_hit {
    enum cpu_break kind;
    uint32_t linear; /* of the point */
};
bool cpu_debug_add(struct cpu *cpu, enum cpu_break kind, uint32_t linear, uint32_t len); /* false: too many */
bool cpu_debug_remove(struct cpu *cpu, enum cpu_break kind, uint32_t linear, uint32_t len);
/* Why cpu_run() returned CPU_STOP_DEBUG; false: it did not, or cpu_debug_resume() was called since. */
bool cpu_debug_hit(const struct cpu *cpu, struct cpu_break_hit *out);
/* Before cpu_run() goes on; one instruction is stepped by cpu_debug_step(), which needs no such call. */
void cpu_debug_resume(struct cpu *cpu);
enum cpu_stop cpu_debug_step(struct cpu *cpu);
/* RAM at guest-linear addresses. Returns the bytes written. */
size_t cpu_debug_write(struct cpu *cpu, uint32_t linear, const void *buf, size_t len);
/* Registers by number: eax ecx edx ebx esp ebp esi edi eip eflags cs ss ds es fs gs, st0…st7 (10 bytes),
 * fctrl fstat ftag fiseg fioff foseg fooff fop, xmm0…xmm7 (16 bytes), mxcsr, cr0 cr2 cr3 cr4 fs_base gs_base
 * efer; 4 bytes where nothing else is said. Returns the size, 0 when there is no such register. */
enum {
    CPU_REGISTER_EIP = 8,
    CPU_REGISTER_EFLAGS,
    CPU_REGISTER_CS,
    CPU_REGISTER_ST0 = 16,
    CPU_REGISTER_FCTRL = 24,
    CPU_REGISTER_XMM0 = 32,
    CPU_REGISTER_MXCSR = 40,
    CPU_REGISTER_CR0,
    CPU_REGISTER_COUNT = 48
};
unsigned cpu_debug_get_register(struct cpu *cpu, unsigned number, uint8_t out[16]);
/* False: no such register, or one that only the guest can change. */
bool cpu_debug_set_register(struct cpu *cpu, unsigned number, const uint8_t *value);
/* One instruction as text, decoded in the CPU's present mode; `eip` is its own address. Returns its length in
 * bytes: at least 1 (what is none is shown as a byte), 0 when `available` is too little. */
unsigned cpu_disassemble(struct cpu *cpu, const uint8_t *bytes, unsigned available, uint32_t eip, char *out,
                         unsigned size);

/* Counters since start, for `info jit` and benchmarks. */
struct cpu_statistics {
    uint64_t instructions, blocks_made, blocks_dropped, tlb_misses, tlb_flushes, page_walks, interrupts,
        exceptions;
};
const struct cpu_statistics *cpu_statistics(const struct cpu *cpu);
/* All counters by name, in groups: "cpu", "jit", "jit-calls" and "jit-fallbacks" (by row of the optable), and
 * "lockstep". Names hold letters, digits, '-' and '_'. */
typedef void cpu_counter_fn(void *opaque, const char *group, const char *name, uint64_t value);
void cpu_foreach_counter(const struct cpu *cpu, cpu_counter_fn *visit, void *opaque);

extern const struct state_table cpu_state_table; /* for a struct cpu * */
