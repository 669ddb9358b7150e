/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * SYSENTER and SYSEXIT, model-specific registers, CR0 and CR4 side effects, TSC, CPUID's shape
 * (SDM vol. 2 and 4).
 */
#include "rt.h"

SNIPPET(enter_kernel, "sysenter");
SNIPPET(leave_kernel, "sysexit");
SNIPPET(landing, "pushf\n pop %ebx");
SNIPPET(read_msr, "rdmsr");
SNIPPET(write_msr, "wrmsr");
SNIPPET(read_tsc, "rdtsc\n mov %eax, %ebx\n mov %edx, %esi\n rdtsc\n sub %ebx, %eax\n sbb %esi, %edx\n shr "
                  "$28, %eax\n xor %ebx, %ebx\n xor %esi, %esi");
SNIPPET(sse_state, "movups %xmm0, (%esp)");
SNIPPET(flip_id, "pushf\n pop %eax\n mov %eax, %ebx\n xor $0x200000, %eax\n push %eax\n popf\n pushf\n pop "
                 "%eax\n xor %ebx, %eax\n xor %ebx, %ebx\n push $2\n popf");
SNIPPET(flip_ac, "pushf\n pop %eax\n mov %eax, %ebx\n xor $0x40000, %eax\n push %eax\n popf\n pushf\n pop "
                 "%eax\n xor %ebx, %eax\n xor %ebx, %ebx\n push $2\n popf");
SNIPPET(cr4_tsd, "rdtsc\n xor %eax, %eax\n xor %edx, %edx");
SNIPPET(code_selector, "mov %cs, %eax\n mov %ss, %ebx\n mov %ds, %ecx");

static void fast_calls(void)
{
    print("-- SYSENTER, SYSEXIT\n");
    static const uint16_t selectors[] = {0, 3, KCODE, KCODE | 3, 0x1008, 0xfff8};
    for (unsigned i = 0; i < sizeof selectors / sizeof selectors[0]; i++) {
        for (unsigned ring = 0; ring < 4; ring += 3) {
            wrmsr(0x174, selectors[i]);
            wrmsr(0x175, (uint32_t)kernel_stack + 1024);
            wrmsr(0x176, (uint32_t)landing);
            fresh(ring);
            ctx.eflags = 0x203202 | 0x40000;
            print("cs %x ring %u: ", selectors[i], ring);
            RUN(enter_kernel);
            fresh(ring);
            ctx.edx = (uint32_t)landing;
            ctx.ecx = (uint32_t)user_stack + 1024;
            ctx.eflags = 0x3002;
            print("cs %x ring %u: ", selectors[i], ring);
            RUN(leave_kernel);
        }
    }
    wrmsr(0x174, 0);
}

static void msr(uint32_t number, uint64_t value)
{
    fresh(0);
    ctx.ecx = number;
    ctx.eax = (uint32_t)value;
    ctx.edx = (uint32_t)(value >> 32);
    print("%x ", number);
    RUN(write_msr);
    fresh(0);
    ctx.ecx = number;
    ctx.eax = ctx.edx = 0;
    print("%x ", number);
    RUN(read_msr);
}

static void msrs(void)
{
    print("-- MSRs\n");
    msr(0x174, 0x12345678);
    msr(0x175, 0xfedcba9876543210ull & 0xffffffff);
    msr(0x176, 0x55555555);
    wrmsr(0x174, 0);
    msr(0x277, 0x0007040600070406ull);
    msr(0x277, 0x0605040100070401ull);
    msr(0x277, 0x0000000000000002ull);
    msr(0x277, 0x0300000000000000ull);
    msr(0x277, 0x0800000000000000ull);
    msr(0x277, 0x0007040600070406ull);
    msr(0x2ff, 0xc06);
    msr(0x2ff, 0);
    msr(0x250, 0x0606060606060606ull);
    msr(0x250, 0);
    msr(0x268, 0x0505050505050505ull);
    msr(0x268, 0);
    msr(0x200, 0xe0000000ull);
    msr(0x201, 0xfe0000800ull);
    msr(0x200, 0);
    msr(0x201, 0);
    msr(0xc0000080, 1u << 11);
    msr(0xc0000080, 0);
    print("apic base low bits %x\n", (uint32_t)rdmsr(0x1b) & 0xfff);
}

static void cpuid(uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(sub));
}

/* Only what every model must get right. */
static void identification(void)
{
    uint32_t r[4], top;
    print("-- CPUID\n");
    cpuid(0, 0, r);
    top = r[0];
    print("vendor %x %x %x\n", r[1], r[3], r[2]);
    cpuid(1, 0, r);
    print("family %u, APIC id %u, logical processors %u\n", r[0] >> 8 & 15, r[1] >> 24, r[1] >> 16 & 255);
    print("no %s%s%s%s\n", r[2] & 1u << 27 ? "OSXSAVE " : "xsave, ", r[2] & 1u << 28 ? "AVX " : "avx, ",
          r[2] & 1u << 30 ? "RDRAND " : "rdrand, ", r[2] & 1u << 21 ? "X2APIC" : "x2apic");
    cpuid(0x80000000u, 0, r);
    print("extended leaves %u, basic leaves %u\n", r[0] >= 0x80000001u, top >= 1);
    fresh(3);
    RUN(flip_id);
    fresh(3);
    RUN(flip_ac);
    /* IA32_APIC_BASE's enable shows in CPUID. */
    uint64_t base = rdmsr(0x1b);
    cpuid(1, 0, r);
    print("APIC bit %u", r[3] >> 9 & 1);
    wrmsr(0x1b, base & ~0x800ull);
    cpuid(1, 0, r);
    print(", switched off %u\n", r[3] >> 9 & 1);
}

void image_main(void)
{
    fast_calls();
    print("-- TSC\n");
    fresh(0);
    RUN(read_tsc);
    for (unsigned ring = 0; ring < 4; ring += 3) {
        write_cr4(4);
        fresh(ring);
        RUN(cr4_tsd);
        write_cr4(0);
        fresh(ring);
        RUN(cr4_tsd);
    }
    msrs();
    identification();
}
