/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Control registers, model-specific registers, the time-stamp counter and the I/O permission check
 * (SDM vol. 3, chapters 2, 4, 11, 15, 17; vol. 1, chapter 18; vol. 4).
 *
 * The TSC runs at CPU_TSC_HZ = 1 GHz of guest time whatever the host does: one tick is one nanosecond of
 * clock_now(). CPUID says so (invariant TSC, leaf 15H), and the local APIC's timer has the same clock, so
 * that a kernel that knows these leaves needs no calibration.
 *
 * MSRs that are not modelled raise #GP(0), as on the processor, and are traced.
 */
#include "emu/cpu/access.h"

#include <cpuid.h>
#include <inttypes.h>
#include <x86intrin.h>

/* ---- time ---- */

/*
 * Linux reads the TSC in every system call and several times in every task switch, and asking the host for
 * the time costs three times what its own TSC does. So guest time is carried on by the host's TSC, where that
 * is invariant, for at most TSC_SPAN ticks since clock_now() was asked. The rate is measured against
 * clock_now() over TSC_BASELINE or more, by pairs of readings that nothing came between; one that leaps says
 * that the host slept, and is measured anew, as it is when guest time was stopped. What was carried on ahead
 * of the clock goes on more slowly until they meet: the guest's TSC never goes back.
 */
#define TSC_SPAN     (1u << 20)  /* host ticks: about a third of a millisecond */
#define TSC_PAIR     4000u       /* host ticks that one look at the clock may take: about a microsecond */
#define TSC_BASELINE 20000000u   /* ns */
#define TSC_LEAP     NANOSECONDS /* ns: guest time that is so far back was set to be there (saved state) */

static bool host_tsc_is_invariant(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
}

static void start_measuring(struct cpu_tsc_clock *k, uint64_t tsc, uint64_t now, int64_t offset)
{
    k->base_tsc = tsc;
    k->base_time = now;
    k->offset = offset;
    k->rate = 0;
}

static void measure_rate(struct cpu_tsc_clock *k, uint64_t tsc, uint64_t now, int64_t offset)
{
    uint64_t time = now - k->base_time, ticks = tsc - k->base_tsc, rate;

    if (!k->base_tsc || k->offset != offset || tsc <= k->base_tsc || now < k->base_time) {
        start_measuring(k, tsc, now, offset);
        return;
    }
    if (time < TSC_BASELINE)
        return;
    rate = (uint64_t)(((unsigned __int128)time << 32) / ticks);
    if (k->rate && MAX(rate, k->rate) - MIN(rate, k->rate) > k->rate >> 8) {
        start_measuring(k, tsc, now, offset);
        return;
    }
    k->rate = rate;
    if (time > 50 * TSC_BASELINE) { /* the next one is over a time near by */
        k->base_tsc = tsc;
        k->base_time = now;
    }
}

static uint64_t guest_time_slowly(struct cpu *cpu)
{
    struct cpu_tsc_clock *k = &cpu->tsc_clock;
    if (cpu->icount) /* the span stays 0: translated code asks each time as well */
        return (uint64_t)clock_now(cpu->board.clock);
    uint64_t before = __rdtsc(), now = (uint64_t)clock_now(cpu->board.clock), tsc = __rdtsc();
    uint64_t ahead, span;

    k->span = 0;
    if (!k->base_tsc)
        k->useless = !host_tsc_is_invariant();
    if (k->useless || clock_is_stopped(cpu->board.clock) || tsc - before > TSC_PAIR)
        return now;
    measure_rate(k, tsc, now, clock_offset(cpu->board.clock));
    span = TSC_SPAN * k->rate >> 32;
    if (!span)
        return now;
    ahead = k->last > now && k->last - now < TSC_LEAP ? k->last - now : 0;
    k->span = TSC_SPAN;
    k->at_tsc = tsc;
    k->at_time = now + ahead;
    k->slope = ahead < span ? k->rate - k->rate * ahead / span : 0;
    return k->at_time;
}

/* Nanoseconds of guest time. */
static uint64_t guest_time(struct cpu *cpu)
{
    struct cpu_tsc_clock *k = &cpu->tsc_clock;
    uint64_t passed = __rdtsc() - k->at_tsc, now;

    if (!cpu->board.clock)
        return 0;
    now = passed < k->span ? k->at_time + (passed * k->slope >> 32) : guest_time_slowly(cpu);
    if (now > k->last || k->last - now >= TSC_LEAP)
        k->last = now;
    return k->last;
}

uint64_t cpu_tsc(struct cpu *cpu)
{
    return guest_time(cpu) + cpu->tsc_offset;
}

void cpu_set_tsc(struct cpu *cpu, uint64_t value)
{
    cpu->tsc_offset += value - cpu_tsc(cpu);
}

/* ---- control registers ---- */

#define CR0_DEFINED                                                                                          \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)

void cpu_write_cr0(struct cpu *cpu, uint32_t value)
{
    if (((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
        cpu_fault_gp(cpu, 0);
    value = (value & CR0_DEFINED) | CR0_ET;
    uint32_t changed = cpu->cr0 ^ value;
    if ((value & CR0_PG) && (cpu->cr4 & CR4_PAE) && (changed & (CR0_PG | CR0_CD | CR0_NW)) &&
        !mmu_load_pdptes(cpu, cpu->cr3))
        cpu_fault_gp(cpu, 0);
    cpu->cr0 = value;
    if (changed & (CR0_PG | CR0_WP | CR0_PE))
        mmu_flush(cpu, true);
    cpu_update_mode(cpu);
}

void cpu_write_cr3(struct cpu *cpu, uint32_t value)
{
    if ((cpu->cr0 & CR0_PG) && (cpu->cr4 & CR4_PAE) && !mmu_load_pdptes(cpu, value))
        cpu_fault_gp(cpu, 0);
    cpu->cr3 = value;
    mmu_flush(cpu, false);
}

void cpu_write_cr4(struct cpu *cpu, uint32_t value)
{
    uint32_t changed = cpu->cr4 ^ value;
    if (value & ~cpu_model_cr4(cpu->model))
        cpu_fault_gp(cpu, 0);
    if ((cpu->cr0 & CR0_PG) && (value & CR4_PAE) && (changed & (CR4_PAE | CR4_PGE | CR4_PSE)) &&
        !mmu_load_pdptes(cpu, cpu->cr3))
        cpu_fault_gp(cpu, 0);
    cpu->cr4 = value;
    if (changed & (CR4_PAE | CR4_PGE | CR4_PSE))
        mmu_flush(cpu, true);
    cpu_update_events(cpu);
}

/* ---- I/O permission ---- */

void cpu_check_io(struct cpu *cpu, uint16_t port, unsigned size)
{
    if (!(cpu->cr0 & CR0_PE))
        return;
    if (!cpu_v86(cpu) && cpu->cpl <= (cpu->eflags & FLAG_IOPL) >> 12)
        return;
    const struct segment *tr = &cpu->tr;
    if (!(tr->attr & SEG_ATTR_P) || !(tr->attr >> 8 & 8) || tr->limit < 0x67)
        cpu_fault_gp(cpu, 0);
    uint32_t at = (uint32_t)sys_read16(cpu, tr->base + 0x66) + port / 8;
    /* The processor always reads two bytes. */
    if (at + 1 > tr->limit)
        cpu_fault_gp(cpu, 0);
    unsigned bits = sys_read16(cpu, tr->base + at) >> (port & 7);
    if (bits & ((1u << size) - 1))
        cpu_fault_gp(cpu, 0);
}

/* ---- MSRs ---- */

enum {
    MSR_P5_MC_ADDR = 0x000,
    MSR_P5_MC_TYPE = 0x001,
    MSR_TSC = 0x010,
    MSR_PLATFORM_ID = 0x017,
    MSR_APIC_BASE = 0x01b,
    MSR_EBL_CR_POWERON = 0x02a,
    MSR_TSC_ADJUST = 0x03b,
    MSR_BIOS_UPDT_TRIG = 0x079,
    MSR_BIOS_SIGN_ID = 0x08b,
    MSR_MTRRCAP = 0x0fe,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MCG_CAP = 0x179,
    MSR_MCG_STATUS = 0x17a,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_DEBUGCTL = 0x1d9,
    MSR_MTRR_BASE0 = 0x200,
    MSR_MTRR_FIX64K = 0x250,
    MSR_MTRR_FIX16K = 0x258,
    MSR_MTRR_FIX4K = 0x268,
    MSR_PAT = 0x277,
    MSR_MTRR_DEF_TYPE = 0x2ff,
    MSR_MC0_CTL = 0x400,
};
#define MSR_EFER 0xc0000080u

#define MTRR_VARIABLE 8u
#define MTRR_CAP      (MTRR_VARIABLE | 1u << 8 /* fixed */ | 1u << 10 /* WC */)
#define PHYS_MASK     ((1ull << 36) - 1)

/* 0 UC, 1 WC, 4 WT, 5 WP, 6 WB; the PAT adds 7 UC−. */
static bool memory_types_valid(uint64_t value, bool pat)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned type = value >> (8 * i) & 0xff;
        if (type > (pat ? 7u : 6u) || type == 2 || type == 3)
            return false;
    }
    return true;
}

/* Index into mtrr_fix of a fixed-range MTRR, or −1. */
static int fixed_mtrr(uint32_t msr)
{
    if (msr == MSR_MTRR_FIX64K)
        return 0;
    if (msr == MSR_MTRR_FIX16K || msr == MSR_MTRR_FIX16K + 1)
        return 1 + (int)(msr - MSR_MTRR_FIX16K);
    if (msr >= MSR_MTRR_FIX4K && msr < MSR_MTRR_FIX4K + 8)
        return 3 + (int)(msr - MSR_MTRR_FIX4K);
    return -1;
}

static bool has(const struct cpu *cpu, enum cpu_feature_bit bit)
{
    return cpu_model_has(cpu->model, bit);
}

static bool read_mtrr(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
    int fixed = fixed_mtrr(msr);
    if (!has(cpu, CPU_MTRR))
        return false;
    if (fixed >= 0)
        *value = cpu->mtrr_fix[fixed];
    else if (msr == MSR_MTRRCAP)
        *value = MTRR_CAP;
    else if (msr == MSR_MTRR_DEF_TYPE)
        *value = cpu->mtrr_def_type;
    else if (msr >= MSR_MTRR_BASE0 && msr < MSR_MTRR_BASE0 + 2 * MTRR_VARIABLE)
        *value = (msr & 1 ? cpu->mtrr_mask : cpu->mtrr_base)[(msr - MSR_MTRR_BASE0) / 2];
    else
        return false;
    return true;
}

/* The types have no effect on an emulated bus; guests set them up and read them back. */
static bool write_mtrr(struct cpu *cpu, uint32_t msr, uint64_t value)
{
    int fixed = fixed_mtrr(msr);
    if (!has(cpu, CPU_MTRR))
        return false;
    if (fixed >= 0) {
        if (!memory_types_valid(value, false))
            return false;
        cpu->mtrr_fix[fixed] = value;
    } else if (msr == MSR_MTRR_DEF_TYPE) {
        if ((value & ~0xcffull) || !memory_types_valid(value & 0xff, false))
            return false;
        cpu->mtrr_def_type = value;
    } else if (msr >= MSR_MTRR_BASE0 && msr < MSR_MTRR_BASE0 + 2 * MTRR_VARIABLE) {
        unsigned n = (msr - MSR_MTRR_BASE0) / 2;
        if (msr & 1) {
            if (value & ~PHYS_MASK || value & 0x7ff)
                return false;
            cpu->mtrr_mask[n] = value;
        } else {
            if (value & ~PHYS_MASK || value & 0xf00 || !memory_types_valid(value & 0xff, false))
                return false;
            cpu->mtrr_base[n] = value;
        }
    } else {
        return false;
    }
    return true;
}

static bool read_msr(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
    switch (msr) {
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
        *value = 0; /* no machine check ever happened */
        return has(cpu, CPU_MCE);
    case MSR_TSC:
        *value = cpu_tsc(cpu);
        return has(cpu, CPU_TSC);
    case MSR_TSC_ADJUST:
        *value = cpu->tsc_adjust;
        return has(cpu, CPU_TSC_ADJUST);
    case MSR_PLATFORM_ID:
    case MSR_EBL_CR_POWERON:
        *value = 0;
        return cpu_model_family(cpu->model) >= 6;
    case MSR_APIC_BASE:
        *value = cpu->apic_base;
        return has(cpu, CPU_APIC);
    case MSR_BIOS_SIGN_ID:
        *value = cpu->bios_sign;
        return cpu_model_family(cpu->model) >= 6;
    case MSR_SYSENTER_CS:
        *value = cpu->sysenter_cs;
        return has(cpu, CPU_SEP);
    case MSR_SYSENTER_ESP:
        *value = cpu->sysenter_esp;
        return has(cpu, CPU_SEP);
    case MSR_SYSENTER_EIP:
        *value = cpu->sysenter_eip;
        return has(cpu, CPU_SEP);
    case MSR_MCG_CAP:
        *value = CPU_MC_BANKS;
        return has(cpu, CPU_MCA);
    case MSR_MCG_STATUS:
        *value = cpu->mcg_status;
        return has(cpu, CPU_MCA);
    case MSR_MISC_ENABLE:
        *value = cpu->misc_enable;
        return cpu_model_family(cpu->model) >= 6;
    case MSR_DEBUGCTL:
        *value = 0;
        return cpu_model_family(cpu->model) >= 6;
    case MSR_PAT:
        *value = cpu->pat;
        return has(cpu, CPU_PAT);
    case MSR_EFER:
        *value = cpu->efer;
        return has(cpu, CPU_NX);
    default:
        if (has(cpu, CPU_MCA) && msr >= MSR_MC0_CTL && msr < MSR_MC0_CTL + 4 * CPU_MC_BANKS) {
            *value = msr & 3 ? 0 : cpu->mc_ctl[(msr - MSR_MC0_CTL) / 4];
            return true;
        }
        return read_mtrr(cpu, msr, value);
    }
}

static bool write_apic_base(struct cpu *cpu, uint64_t value)
{
    if (value & ~(PHYS_MASK & ~0x6ffull))
        return false;
    cpu->apic_base = value;
    if (cpu->board.apic_base_changed)
        cpu->board.apic_base_changed(cpu->board.opaque, value);
    return true;
}

static bool write_efer(struct cpu *cpu, uint64_t value)
{
    if (value & ~(uint64_t)EFER_NXE)
        return false;
    if (cpu->efer != value)
        mmu_flush(cpu, true);
    cpu->efer = value;
    return true;
}

#define MISC_ENABLE_WRITABLE 0xc50409ull /* fast strings, TCC, FERR mux, EST, MONITOR, CPUID limit, xTPR */

static bool write_msr(struct cpu *cpu, uint32_t msr, uint64_t value)
{
    switch (msr) {
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
        return has(cpu, CPU_MCE);
    case MSR_TSC:
        if (!has(cpu, CPU_TSC))
            return false;
        cpu->tsc_adjust -= cpu->tsc_offset;
        cpu_set_tsc(cpu, value);
        cpu->tsc_adjust += cpu->tsc_offset;
        return true;
    case MSR_TSC_ADJUST: /* the TSC moves by as much as this does (SDM vol. 3, 17.17.3) */
        if (!has(cpu, CPU_TSC_ADJUST))
            return false;
        cpu->tsc_offset += value - cpu->tsc_adjust;
        cpu->tsc_adjust = value;
        return true;
    case MSR_EBL_CR_POWERON:
        return cpu_model_family(cpu->model) >= 6;
    case MSR_APIC_BASE:
        return has(cpu, CPU_APIC) && write_apic_base(cpu, value);
    case MSR_BIOS_UPDT_TRIG: /* no update fits this processor: refused without a word, as the processor does
                              */
        return cpu_model_family(cpu->model) >= 6;
    case MSR_BIOS_SIGN_ID: /* software writes 0, CPUID then loads the revision: none */
        cpu->bios_sign = value;
        return cpu_model_family(cpu->model) >= 6;
    case MSR_SYSENTER_CS:
        cpu->sysenter_cs = (uint32_t)value;
        return has(cpu, CPU_SEP);
    case MSR_SYSENTER_ESP:
        cpu->sysenter_esp = (uint32_t)value;
        return has(cpu, CPU_SEP);
    case MSR_SYSENTER_EIP:
        cpu->sysenter_eip = (uint32_t)value;
        return has(cpu, CPU_SEP);
    case MSR_MCG_STATUS:
        if (value)
            return false;
        cpu->mcg_status = 0;
        return has(cpu, CPU_MCA);
    case MSR_MISC_ENABLE:
        cpu->misc_enable = (cpu->misc_enable & ~MISC_ENABLE_WRITABLE) | (value & MISC_ENABLE_WRITABLE);
        return cpu_model_family(cpu->model) >= 6;
    case MSR_DEBUGCTL: /* branch records and branch stepping are not there */
        return cpu_model_family(cpu->model) >= 6 && value == 0;
    case MSR_PAT:
        if (!has(cpu, CPU_PAT) || !memory_types_valid(value, true))
            return false;
        cpu->pat = value;
        return true;
    case MSR_EFER:
        return has(cpu, CPU_NX) && write_efer(cpu, value);
    default:
        if (has(cpu, CPU_MCA) && msr >= MSR_MC0_CTL && msr < MSR_MC0_CTL + 4 * CPU_MC_BANKS) {
            if (!(msr & 3))
                cpu->mc_ctl[(msr - MSR_MC0_CTL) / 4] = value;
            return !(msr & 3) || value == 0;
        }
        return write_mtrr(cpu, msr, value);
    }
}

uint64_t cpu_read_msr(struct cpu *cpu, uint32_t msr)
{
    uint64_t value = 0;
    if (!read_msr(cpu, msr, &value)) {
        trace(INT, "RDMSR %08x: not there", msr);
        cpu_fault_gp(cpu, 0);
    }
    return value;
}

void cpu_write_msr(struct cpu *cpu, uint32_t msr, uint64_t value)
{
    if (!write_msr(cpu, msr, value)) {
        trace(INT, "WRMSR %08x = %016" PRIx64 ": refused", msr, value);
        cpu_fault_gp(cpu, 0);
    }
}
