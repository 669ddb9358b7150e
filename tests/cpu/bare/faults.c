/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Every exception once, with its error code, and the privilege rules of the plain system instructions in all
 * four rings (SDM vol. 3, chapter 6).
 */
#include "rt.h"

SNIPPET(divide, "xor %ecx, %ecx\n div %ecx");
SNIPPET(divide_overflow, "mov $0xffffffff, %edx\n mov $2, %ecx\n div %ecx");
SNIPPET(int3, "int3");
SNIPPET(into_taken, "mov $0x7fffffff, %eax\n inc %eax\n into");
SNIPPET(into_not, "xor %eax, %eax\n into");
SNIPPET(bound_fail,
        "mov %esp, %ebp\n movl $10, -8(%ebp)\n movl $20, -4(%ebp)\n mov $21, %eax\n bound %eax, -8(%ebp)");
SNIPPET(bound_ok, "mov %esp, %ebp\n movl $10, -8(%ebp)\n movl $20, -4(%ebp)\n mov $20, %eax\n bound %eax, "
                  "-8(%ebp)\n xor %ebp, %ebp");
SNIPPET(undefined, "ud2");
SNIPPET(undefined_ff7, ".byte 0xff, 0xff");
SNIPPET(lock_reg, ".byte 0xf0, 0x01, 0xc0");
SNIPPET(lock_mov, ".byte 0xf0, 0x89, 0x04, 0x24");
SNIPPET(no_device, "fld1");
SNIPPET(wait_no_device, "fwait");
SNIPPET(int_42, "int $0x42");
SNIPPET(int_ff, "int $0xff");
SNIPPET(too_long, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90");
SNIPPET(fifteen, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90");
SNIPPET(hlt_insn, "hlt");
SNIPPET(cli_insn, "cli");
SNIPPET(sti_insn, "sti");
SNIPPET(clts_insn, "clts");
SNIPPET(invlpg_insn, "invlpg (%esp)");
SNIPPET(invd_insn, "wbinvd");
SNIPPET(mov_cr0, "mov %cr0, %eax\n xor %eax, %eax");
SNIPPET(mov_to_cr3, "mov %cr3, %eax\n mov %eax, %cr3\n xor %eax, %eax");
SNIPPET(mov_cr1, ".byte 0x0f, 0x20, 0xc8");
SNIPPET(mov_cr5, ".byte 0x0f, 0x20, 0xe8");
SNIPPET(mov_cr7, ".byte 0x0f, 0x22, 0xf8");
SNIPPET(mov_dr7, "mov %dr7, %eax");
SNIPPET(mov_dr4, ".byte 0x0f, 0x21, 0xe0");
SNIPPET(lgdt_insn, "sub $8, %esp\n sgdt (%esp)\n lgdt (%esp)\n add $8, %esp");
SNIPPET(lidt_insn, "sub $8, %esp\n sidt (%esp)\n lidt (%esp)\n add $8, %esp");
SNIPPET(lldt_insn, "xor %eax, %eax\n lldt %ax");
SNIPPET(ltr_null, "xor %eax, %eax\n ltr %ax");
SNIPPET(ltr_busy, "str %eax\n ltr %ax");
SNIPPET(ltr_data, "mov $0x10, %eax\n ltr %ax");
SNIPPET(ltr_local, "mov $0x2c, %eax\n ltr %ax");
SNIPPET(ltr_beyond, "mov $0xfff8, %eax\n ltr %ax");
SNIPPET(lldt_data, "mov $0x10, %eax\n lldt %ax");
SNIPPET(lldt_local, "mov $0x5c, %eax\n lldt %ax");
SNIPPET(sldt_insn, "mov $-1, %eax\n sldt %eax\n mov $-1, %ebx\n .byte 0x66\n sldt %ebx");
SNIPPET(str_insn, "str %eax");
SNIPPET(smsw_insn, "smsw %ax\n and $0xf, %eax");
SNIPPET(lmsw_insn, "smsw %ax\n and $0xfffffffe, %eax\n lmsw %ax\n smsw %ax\n and $1, %eax");
SNIPPET(rdmsr_insn, "mov $0x1b, %ecx\n rdmsr");
SNIPPET(rdmsr_unknown, "mov $0x12345678, %ecx\n rdmsr");
SNIPPET(wrmsr_unknown, "mov $0x12345678, %ecx\n wrmsr");
SNIPPET(wrmsr_efer_bad, "mov $0xc0000080, %ecx\n xor %edx, %edx\n mov $2, %eax\n wrmsr");
SNIPPET(rdtsc_insn, "rdtsc\n xor %eax, %eax\n xor %edx, %edx");
SNIPPET(rdpmc_bad, "mov $0xff, %ecx\n rdpmc");
SNIPPET(sysexit_insn, "sysexit");
SNIPPET(sysenter_null, "sysenter");
SNIPPET(in_insn, "in $0x80, %al\n xor %eax, %eax");
SNIPPET(out_insn, "xor %eax, %eax\n out %al, $0x80");
SNIPPET(outs_insn, "mov %esp, %esi\n mov $0x80, %edx\n outsb\n xor %esi, %esi");
SNIPPET(popf_all, "push $0x3fffff & ~0x00120100\n popf\n pushf\n pop %ebx\n push $2\n popf");
SNIPPET(popfw_all, "pushw $0xfeff\n popfw\n pushf\n pop %ebx\n push $2\n popf");
SNIPPET(iret_null, "push $2\n push $0\n push $0\n iret");
SNIPPET(cr0_pg_without_pe, "mov $0x80000000, %eax\n mov %eax, %cr0");
SNIPPET(cr0_nw_without_cd,
        "mov %cr0, %eax\n and $0xbfffffff, %eax\n or $0x20000000, %eax\n mov %eax, %cr0\n");
SNIPPET(cr4_reserved, "mov $0x80000000, %eax\n mov %eax, %cr4");
SNIPPET(cr4_reserved2, "mov $0x00100800, %eax\n mov %eax, %cr4");
SNIPPET(stack_limit, "push %eax");
SNIPPET(fp_error,
        "fninit\n fnstcw (%esp)\n andw $0xfffb, (%esp)\n fldcw (%esp)\n fldz\n fld1\n fdivp\n fwait");
SNIPPET(sse_error, "stmxcsr (%esp)\n andl $~0x0200, (%esp)\n ldmxcsr (%esp)\n xorps %xmm0, %xmm0\n movl "
                   "$0x3f800000, (%esp)\n movss (%esp), %xmm1\n divss %xmm0, %xmm1");
SNIPPET(sse_unaligned, "movaps 1(%esp), %xmm0");
SNIPPET(mxcsr_reserved, "movl $0xffff0000, (%esp)\n ldmxcsr (%esp)");
SNIPPET(sse_insn, "xorps %xmm0, %xmm0");
SNIPPET(mmx_insn, "pxor %mm0, %mm0\n emms");
SNIPPET(misaligned, "mov 1(%esp), %eax\n xor %eax, %eax");
SNIPPET(misaligned_word, "mov 2(%esp), %ax\n mov 1(%esp), %ax");
SNIPPET(aligned, "mov (%esp), %eax\n movw 2(%esp), %ax\n movb 3(%esp), %al\n xor %eax, %eax");
SNIPPET(misaligned_push, "dec %esp\n push %eax");

static const struct {
    const char *title, *start, *end;
} privileged[] = {
#define ROW(name)                                                                                            \
    {                                                                                                        \
#name, name, name##_end                                                                              \
    }
    ROW(hlt_insn),       ROW(cli_insn),   ROW(sti_insn),   ROW(clts_insn),     ROW(invlpg_insn),
    ROW(invd_insn),      ROW(mov_cr0),    ROW(mov_to_cr3), ROW(mov_cr1),       ROW(mov_cr5),
    ROW(mov_cr7),        ROW(mov_dr7),    ROW(mov_dr4),    ROW(lgdt_insn),     ROW(lidt_insn),
    ROW(lldt_insn),      ROW(ltr_null),   ROW(ltr_busy),   ROW(ltr_data),      ROW(ltr_local),
    ROW(ltr_beyond),     ROW(lldt_data),  ROW(lldt_local), ROW(sldt_insn),     ROW(str_insn),
    ROW(smsw_insn),      ROW(lmsw_insn),  ROW(rdmsr_insn), ROW(rdmsr_unknown), ROW(wrmsr_unknown),
    ROW(wrmsr_efer_bad), ROW(rdtsc_insn), ROW(rdpmc_bad),  ROW(sysexit_insn),  ROW(sysenter_null),
    ROW(in_insn),        ROW(out_insn),   ROW(outs_insn),  ROW(popf_all),      ROW(popfw_all),
    ROW(iret_null),      ROW(int_42),
};

static void all_rings(void)
{
    for (unsigned ring = 0; ring < 4; ring++) {
        for (unsigned iopl = 0; iopl < 4; iopl += 3) {
            print("-- ring %u iopl %u\n", ring, iopl);
            for (unsigned i = 0; i < sizeof privileged / sizeof privileged[0]; i++) {
                /* QEMU loads a null TR and gives up later: see the end. */
                if (ring == 0 && (privileged[i].start == hlt_insn || privileged[i].start == ltr_null))
                    continue;
                fresh(ring);
                ctx.eflags |= iopl << 12;
                run(privileged[i].title, privileged[i].start, privileged[i].end);
            }
        }
    }
}

static void alignment(void)
{
    write_cr0(read_cr0() | 1u << 18);
    for (unsigned ring = 0; ring < 4; ring += 3) {
        for (unsigned ac = 0; ac < 2; ac++) {
            print("-- alignment: ring %u AC %u\n", ring, ac);
#define ALIGN(name)                                                                                          \
    fresh(ring);                                                                                             \
    ctx.eflags |= ac << 18;                                                                                  \
    RUN(name)
            ALIGN(aligned);
            ALIGN(misaligned);
            ALIGN(misaligned_word);
            ALIGN(misaligned_push);
        }
    }
    write_cr0(read_cr0() & ~(1u << 18));
}

void image_main(void)
{
    fresh(0);
    RUN(divide);
#define PLAIN(name)                                                                                          \
    fresh(3);                                                                                                \
    RUN(name)
    PLAIN(divide);
    PLAIN(divide_overflow);
    PLAIN(int3); /* gate DPL 0: #GP */
    PLAIN(into_taken);
    idt[3] |= (uint64_t)DPL3 << 40;
    idt[4] |= (uint64_t)DPL3 << 40;
    PLAIN(int3);
    PLAIN(into_taken);
    PLAIN(into_not);
    PLAIN(bound_fail);
    PLAIN(bound_ok);
    PLAIN(undefined);
    PLAIN(undefined_ff7);
    PLAIN(lock_reg);
    PLAIN(lock_mov);
    PLAIN(too_long);
    PLAIN(fifteen);
    PLAIN(int_ff);
    fresh(0);
    RUN(int_ff);
    idt[0xff] &= ~((uint64_t)PRESENT << 40);
    fresh(0);
    RUN(int_ff);
    fresh(3);
    RUN(int_ff);
    idt[0xff] = 0;
    fresh(0);
    RUN(int_ff);
    lidt(idt, 0x42 * 8 + 6); /* vector 42h is cut off */
    fresh(0);
    RUN(int_42);
    lidt(idt, 0x81 * 8 - 1);
    fresh(0);
    RUN(int_ff);
    lidt(idt, sizeof idt - 1);

    /* FPU, MMX, SSE: EM, TS, MP, OSFXSR, OSXMMEXCPT, NE */
    for (unsigned cr0 = 0; cr0 < 8; cr0++) {
        for (unsigned osfxsr = 0; osfxsr < 2; osfxsr++) {
            write_cr0((read_cr0() & ~14u) | cr0 << 1);
            write_cr4(osfxsr << 9);
            print("-- cr0 %x osfxsr %u\n", cr0 << 1, osfxsr);
            PLAIN(no_device);
            PLAIN(wait_no_device);
            PLAIN(mmx_insn);
            PLAIN(sse_insn);
        }
    }
    write_cr0((read_cr0() & ~14u) | 1u << 5 | 2);
    write_cr4(1u << 9);
    PLAIN(fp_error);
    __asm__ volatile("fninit");
    PLAIN(sse_error);
    PLAIN(sse_unaligned);
    PLAIN(mxcsr_reserved);
    write_cr4(3u << 9);
    PLAIN(sse_error);
    write_cr4(0);

    /* A stack too short for a push, same ring and outer ring. */
    fresh(3);
    set_descriptor(SCRATCH, 0, 0xfff, PRESENT | DPL3 | DATA_RW, BIG);
    ctx.ss = SCRATCH | 3;
    ctx.esp = 0x1001;
    RUN(stack_limit);
    ctx.esp = 0;
    RUN(stack_limit);

    all_rings();
    alignment();
    fresh(0);
    RUN(ltr_null);
    fresh(0);
    RUN(cr0_pg_without_pe);
    fresh(0);
    RUN(cr0_nw_without_cd);
    fresh(0);
    RUN(cr4_reserved);
    fresh(0);
    RUN(cr4_reserved2);
}
