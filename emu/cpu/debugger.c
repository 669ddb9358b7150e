/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Breakpoints, watchpoints, single steps and registers for a debugger outside of the guest, which the guest
 * cannot see: its debug registers and its code are left alone.
 *
 * A breakpoint is a linear address. Decoded blocks belong to physical bytes, which may be mapped at several
 * addresses and at none yet; so what ends blocks is the offset in the page alone: no block begins at an
 * offset that some breakpoint has, nor goes on over one. The instruction there is executed by itself, and its
 * linear address is compared first. Everything else runs at full speed.
 *
 * A watched page has no tags in the soft TLB, so that accesses come to mmu.c's slow half, which says what
 * they touch. The machine stops behind the instruction (data breakpoints are traps).
 *
 * A single step leaves maskable interrupts waiting; else one would step into the timer's handler again and
 * again. Machine thread only, between two calls of cpu_run().
 */
#include "emu/cpu/debugger.h"

#include "emu/cpu/access.h"
#include "emu/cpu/fpu_internal.h"

#include <string.h>

void cpu_debug_attach(struct cpu *cpu, bool attached)
{
    if (attached == !!cpu->debugger)
        return;
    if (attached) {
        cpu->debugger = g_new0(struct debugger, 1);
    } else {
        g_clear_pointer(&cpu->debugger, g_free);
        mmu_flush(cpu, true);
        block_cache_flush(cpu);
    }
}

/* ---- points ---- */

static bool is_exec(enum cpu_break kind)
{
    return kind == CPU_BREAK_EXEC;
}

/* Code and tags were made for the points as they were. */
static void points_changed(struct cpu *cpu, enum cpu_break kind)
{
    struct debugger *d = cpu->debugger;

    memset(d->offsets, 0, sizeof(d->offsets));
    d->watches = false;
    for (unsigned i = 0; i < d->count; i++) {
        unsigned offset = d->points[i].linear & PHYS_PAGE_MASK;

        if (is_exec(d->points[i].kind))
            d->offsets[offset >> 6] |= 1ull << (offset & 63);
        else
            d->watches = true;
    }
    if (is_exec(kind))
        block_cache_flush(cpu);
    else
        mmu_flush(cpu, true);
}

bool cpu_debug_add(struct cpu *cpu, enum cpu_break kind, uint32_t linear, uint32_t len)
{
    struct debugger *d = cpu->debugger;

    if (!d || d->count == DEBUGGER_POINTS_MOST)
        return false;
    d->points[d->count++] = (struct debugger_point){kind, linear, len};
    points_changed(cpu, kind);
    return true;
}

bool cpu_debug_remove(struct cpu *cpu, enum cpu_break kind, uint32_t linear, uint32_t len)
{
    struct debugger *d = cpu->debugger;

    for (unsigned i = 0; d && i < d->count; i++) {
        const struct debugger_point *p = &d->points[i];

        if (p->kind != kind || p->linear != linear || p->len != len)
            continue;
        d->points[i] = d->points[--d->count];
        points_changed(cpu, kind);
        return true;
    }
    return false;
}

static void stop_for(struct cpu *cpu, const struct debugger_point *p)
{
    cpu->debugger->stopped = true;
    cpu->debugger->hit = (struct cpu_break_hit){.kind = p->kind, .linear = p->linear};
    cpu->block_stale = true;
}

bool debugger_stops(struct cpu *cpu)
{
    struct debugger *d = cpu->debugger;
    uint32_t linear = cpu->seg[SEG_CS].base + cpu->eip;

    if (d->stopped)
        return true;
    for (unsigned i = 0; i < d->count; i++) {
        if (!is_exec(d->points[i].kind) || d->points[i].linear != linear)
            continue;
        if (d->resuming && d->resume_linear == linear) {
            d->resuming = false;
            return false;
        }
        stop_for(cpu, &d->points[i]);
        return true;
    }
    return false;
}

bool debugger_watches_page(const struct cpu *cpu, uint32_t page)
{
    const struct debugger *d = cpu->debugger;

    if (!d->watches)
        return false;
    for (unsigned i = 0; i < d->count; i++) {
        const struct debugger_point *p = &d->points[i];

        if (!is_exec(p->kind) && (p->linear - page < PHYS_PAGE_SIZE || page - p->linear < p->len))
            return true;
    }
    return false;
}

void debugger_accessed(struct cpu *cpu, uint32_t linear, unsigned size, bool write)
{
    struct debugger *d = cpu->debugger;

    if (!d->watches || d->stopped)
        return;
    for (unsigned i = 0; i < d->count; i++) {
        const struct debugger_point *p = &d->points[i];

        if (is_exec(p->kind) || p->kind == (write ? CPU_BREAK_READ : CPU_BREAK_WRITE))
            continue;
        if (linear - p->linear < p->len || p->linear - linear < size) {
            stop_for(cpu, p);
            return;
        }
    }
}

/* ---- going on ---- */

bool cpu_debug_hit(const struct cpu *cpu, struct cpu_break_hit *out)
{
    const struct debugger *d = cpu->debugger;

    if (!d || !d->stopped)
        return false;
    *out = d->hit;
    return true;
}

void cpu_debug_resume(struct cpu *cpu)
{
    struct debugger *d = cpu->debugger;

    if (!d)
        return;
    d->stopped = d->resuming = false;
    d->resume_linear = cpu->seg[SEG_CS].base + cpu->eip;
    for (unsigned i = 0; i < d->count; i++)
        d->resuming |= is_exec(d->points[i].kind) && d->points[i].linear == d->resume_linear;
}

enum cpu_stop cpu_debug_step(struct cpu *cpu)
{
    struct debugger *d = cpu->debugger;
    enum cpu_stop stop;

    cpu_debug_resume(cpu);
    d->stepping = true;
    cpu_update_events(cpu);
    stop = cpu_step(cpu);
    d->stepping = d->resuming = false;
    cpu->block_stale = false;
    cpu_update_events(cpu);
    return stop;
}

/* ---- memory ---- */

size_t cpu_debug_write(struct cpu *cpu, uint32_t linear, const void *buf, size_t len)
{
    const uint8_t *from = buf;
    size_t done = 0;

    while (done < len) {
        uint32_t at = linear + (uint32_t)done;
        size_t n = MIN(len - done, PHYS_PAGE_SIZE - (at & PHYS_PAGE_MASK));
        struct phys_slice slice;
        uint64_t physical;

        if (!mmu_translate_debug(cpu, at, &physical))
            break;
        physmap_lookup(cpu->board.mem, physical, &slice);
        if (!slice.is_ram || !slice.write) /* ROM stays as it is, and devices are not to be disturbed */
            break;
        n = MIN(n, slice.run);
        phys_write(cpu->board.mem, physical, from + done, n);
        done += n;
    }
    return done;
}

/* ---- registers, by GDB's numbers (gdbstub.c has the description it sends) ---- */

static uint32_t segment_selector(const struct cpu *cpu, unsigned number)
{
    static const enum segment_register order[] = {SEG_CS, SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS};

    return cpu->seg[order[number - CPU_REGISTER_CS]].selector;
}

static uint32_t x87_register(const struct cpu *cpu, unsigned number)
{
    const struct fpu *f = &cpu->fpu;

    switch (number) {
    case CPU_REGISTER_FCTRL:
        return f->fcw;
    case CPU_REGISTER_FCTRL + 1:
        return f->fsw;
    case CPU_REGISTER_FCTRL + 2:
        return fpu_full_tags(f);
    case CPU_REGISTER_FCTRL + 3:
        return f->fcs;
    case CPU_REGISTER_FCTRL + 4:
        return f->fip;
    case CPU_REGISTER_FCTRL + 5:
        return f->fds;
    case CPU_REGISTER_FCTRL + 6:
        return f->fdp;
    default:
        return f->fop;
    }
}

static uint32_t system_register(const struct cpu *cpu, unsigned number)
{
    switch (number) {
    case CPU_REGISTER_CR0:
        return cpu->cr0;
    case CPU_REGISTER_CR0 + 1:
        return cpu->cr2;
    case CPU_REGISTER_CR0 + 2:
        return cpu->cr3;
    case CPU_REGISTER_CR0 + 3:
        return cpu->cr4;
    case CPU_REGISTER_CR0 + 4:
        return cpu->seg[SEG_FS].base;
    case CPU_REGISTER_CR0 + 5:
        return cpu->seg[SEG_GS].base;
    default:
        return (uint32_t)cpu->efer;
    }
}

static unsigned put_word(uint8_t *out, uint32_t value)
{
    memcpy(out, &value, 4);
    return 4;
}

static union fpu_reg *x87_stack(struct cpu *cpu, unsigned number)
{
    return &cpu->fpu.r[(number - CPU_REGISTER_ST0 + (cpu->fpu.fsw >> 11 & 7)) & 7];
}

unsigned cpu_debug_get_register(struct cpu *cpu, unsigned number, uint8_t out[16])
{
    if (number < CPU_REGISTER_EIP)
        return put_word(out, cpu->gpr[number]);
    if (number == CPU_REGISTER_EIP)
        return put_word(out, cpu->eip);
    if (number == CPU_REGISTER_EFLAGS)
        return put_word(out, cpu_eflags(cpu));
    if (number < CPU_REGISTER_ST0)
        return put_word(out, segment_selector(cpu, number));
    if (number < CPU_REGISTER_FCTRL) {
        memcpy(out, x87_stack(cpu, number)->bytes, 10);
        return 10;
    }
    if (number < CPU_REGISTER_XMM0)
        return put_word(out, x87_register(cpu, number));
    if (number < CPU_REGISTER_MXCSR) {
        memcpy(out, cpu->fpu.xmm[number - CPU_REGISTER_XMM0].u8, 16);
        return 16;
    }
    if (number == CPU_REGISTER_MXCSR)
        return put_word(out, cpu->fpu.mxcsr);
    return number < CPU_REGISTER_COUNT ? put_word(out, system_register(cpu, number)) : 0;
}

bool cpu_debug_set_register(struct cpu *cpu, unsigned number, const uint8_t *value)
{
    const uint32_t kept = FLAG_VM | FLAG_VIF | FLAG_VIP;
    uint8_t now[16];
    unsigned size = cpu_debug_get_register(cpu, number, now);
    uint32_t word;

    if (!size)
        return false;
    if (!memcmp(now, value, size)) /* all of them are written back together */
        return true;
    memcpy(&word, value, 4);
    if (number < CPU_REGISTER_EIP) {
        cpu->gpr[number] = word;
    } else if (number == CPU_REGISTER_EIP) {
        cpu->eip = word;
        cpu->rep_paused = false;
    } else if (number == CPU_REGISTER_EFLAGS) {
        cpu_set_eflags(cpu, (word & ~kept) | (cpu_eflags(cpu) & kept));
    } else if (number >= CPU_REGISTER_ST0 && number < CPU_REGISTER_FCTRL) {
        memcpy(x87_stack(cpu, number)->bytes, value, 10);
    } else if (number >= CPU_REGISTER_XMM0 && number < CPU_REGISTER_MXCSR) {
        memcpy(cpu->fpu.xmm[number - CPU_REGISTER_XMM0].u8, value, 16);
    } else {
        return false; /* selectors and control registers have effects that are the guest's to have */
    }
    return true;
}
