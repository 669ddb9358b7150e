/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Real mode: limits that are not checked against types, interrupts through the vector table, flags, what is
 * undefined there, limits that survive from protected mode (SDM vol. 3, chapter 20 and 9.9).
 *
 * A trampoline below 64 KiB leaves protected mode, enters the snippet by IRET, and its vector stubs store the
 * registers and come back.
 */
#include "rt.h"

#define BLOB     0x8000u
#define STUBS    0x9000u /* 256 of four bytes */
#define CONTEXT  0x9800u /* struct context */
#define RESULT   0x9900u
#define CODE_AT  0x1000u /* segments */
#define STACK_AT 0x2000u

struct result {
    uint32_t eax, ebx, ecx, edx, esi, edi, ebp, esp;
    uint16_t ds, es, fs, gs, ss, stub, ip, cs, flags;
};

#define REL(label) "(" label " - real_blob + 0x8000)"

__asm__(
    ".pushsection .text\n"
    ".globl real_call, real_blob, real_blob_end\n"
    "real_call:\n pusha\n mov %esp, real_esp\n ljmp $0x60, $" REL(
        "real_entry") "\n"
                      "real_back:\n cld\n mov $0x10, %eax\n mov %eax, %ds\n mov %eax, %es\n mov %eax, %fs\n "
                      "mov %eax, %gs\n mov %eax, %ss\n"
                      " mov real_esp, %esp\n lidt real_idt32\n popa\n ret\n"
                      "real_blob:\n .code16\n"
                      "real_entry:\n mov limit_selector, %ax\n mov %ax, %ds\n mov %ax, %es\n mov %ax, %fs\n "
                      "mov %ax, %gs\n mov %ax, %ss\n"
                      " mov %cr0, %eax\n and $0xfe, %al\n mov %eax, %cr0\n ljmp $0, $" REL(
                          "real_go") "\n"
                                     "real_go:\n xor %ax, %ax\n mov %ax, %ss\n mov %ax, %ds\n lidtl " REL(
                                         "real_idt") "\n"
                                                     " mov $0x9800, %bp\n"
                                                     " mov 60(%bp), %ax\n mov %ax, %ss\n mov %ds:56(%bp), "
                                                     "%esp\n"
                                                     " pushw %ds:52(%bp)\n pushw %ds:48(%bp)\n pushw "
                                                     "%ds:44(%bp)\n"
                                                     " mov %ds:32(%bp), %ax\n mov %ax, %es\n mov "
                                                     "%ds:36(%bp), %ax\n mov %ax, %fs\n mov %ds:40(%bp), "
                                                     "%ax\n mov %ax, %gs\n"
                                                     " mov %ds:0(%bp), %eax\n mov %ds:4(%bp), %ebx\n mov "
                                                     "%ds:8(%bp), %ecx\n mov %ds:12(%bp), %edx\n"
                                                     " mov %ds:16(%bp), %esi\n mov %ds:20(%bp), %edi\n"
                                                     " pushl %ds:24(%bp)\n pushw %ds:28(%bp)\n pop %ds\n pop "
                                                     "%ebp\n iret\n"
                                                     "real_common:\n"
                                                     " mov %eax, %cs:0x9900\n mov %ebx, %cs:0x9904\n mov "
                                                     "%ecx, %cs:0x9908\n mov %edx, %cs:0x990c\n"
                                                     " mov %esi, %cs:0x9910\n mov %edi, %cs:0x9914\n mov "
                                                     "%ebp, %cs:0x9918\n"
                                                     " mov %ds, %cs:0x9920\n mov %es, %cs:0x9922\n mov %fs, "
                                                     "%cs:0x9924\n mov %gs, %cs:0x9926\n mov %ss, "
                                                     "%cs:0x9928\n"
                                                     " popw %cs:0x992a\n popw %cs:0x992c\n popw %cs:0x992e\n "
                                                     "popw %cs:0x9930\n mov %esp, %cs:0x991c\n"
                                                     " cli\n xor %ax, %ax\n mov %ax, %ds\n lgdtl " REL(
                                                         "real_gdt") "\n mov %cr0, %eax\n or $1, %al\n mov "
                                                                     "%eax, %cr0\n"
                                                                     " ljmpl $0x08, $real_back\n"
                                                                     ".align 8\n"
                                                                     "real_idt: .word 0x3ff\n .long 0\n"
                                                                     "real_gdt: .word 0x7ff\n .long gdt\n"
                                                                     "limit_selector = " REL(
                                                                         "real_selector") "\n"
                                                                                          "real_selector: "
                                                                                          ".word 0x68\n"
                                                                                          "real_blob_end:\n "
                                                                                          ".code32\n "
                                                                                          ".popsection\n"
                                                                                          ".pushsection "
                                                                                          ".data\n real_esp: "
                                                                                          ".long 0\n "
                                                                                          "real_idt32: .word "
                                                                                          "0x7ff\n .long "
                                                                                          "idt\n "
                                                                                          ".popsection\n");
void real_call(void);
extern const char real_blob[], real_blob_end[], real_common[], real_selector[];

#define SNIPPET16(name, text) SNIPPET(name, ".code16\n" text)

SNIPPET16(nothing, "nop");
SNIPPET16(wide_write, "movw $0, (0xffff)");
SNIPPET16(wide_read, "movl (0xfffd), %eax");
SNIPPET16(last_byte, "movb (0xffff), %al\n xor %ax, %ax");
SNIPPET16(stack_write, "mov $0xfffd, %bp\n movl $0, (%bp)");
SNIPPET16(push_wraps, "xor %sp, %sp\n push %ax\n mov %sp, %bx\n mov $0x1000, %sp");
SNIPPET16(pop_odd, "mov $0xffff, %sp\n pop %ax");
SNIPPET16(addr32_beyond, "mov $0x10000, %ebx\n movb (%ebx), %al\n xor %ax, %ax\n xor %ebx, %ebx");
SNIPPET16(addr32_high,
          "mov $0x00100000, %ebx\n movl $0x5ca1ab1e, (%ebx)\n movl (%ebx), %eax\n xor %ebx, %ebx");
SNIPPET16(reload_ds_high, "mov $0x1234, %ax\n mov %ax, %ds\n xor %ax, %ax\n mov %ax, %ds\n mov $0x00200000, "
                          "%ebx\n movb (%ebx), %al\n xor %ax, %ax\n xor %ebx, %ebx");
SNIPPET16(write_cs, "movb $0x90, %cs:(0x200)\n movb %cs:(0x200), %al");
SNIPPET16(segments, "mov $0xf00d, %ax\n mov %ax, %es\n mov %ax, %fs\n mov %ax, %gs\n push %fs\n pop %ds");
SNIPPET16(far_call, "lcall $0x1000, $0x300");
SNIPPET16(far_call32, "lcalll $0x1000, $0x300");
SNIPPET16(far_jump, "ljmp $0x1000, $0x300");
SNIPPET16(far_jump_out, "ljmpl $0x1000, $0x10000");
SNIPPET16(near_out, "mov $0x10000, %eax\n jmpl *%eax");
SNIPPET16(ret_far, "push %cs\n push $0x300\n lret");
SNIPPET16(ret_far32, "pushl $0x1000\n pushl $0x300\n lretl");
SNIPPET16(iret16, "push $0x0ed7\n push %cs\n push $0x300\n iret");
SNIPPET16(iret32, "pushl $0x003f7ed7 & ~0x100\n pushl $0x1000\n pushl $0x300\n iretl");
SNIPPET16(popf16, "push $0x7ed7\n popf\n pushf\n pop %bx\n push $2\n popf");
SNIPPET16(popf32, "pushl $0x003f7ed7\n popfl\n pushfl\n pop %ebx\n pushl $2\n popfl");
SNIPPET16(iopl_free, "push $0\n popf\n cli\n sti\n cli\n in $0x80, %al\n xor %al, %al");
SNIPPET16(int42, "int $0x42");
SNIPPET16(int3, "int3");
SNIPPET16(into, "mov $0x7f, %al\n inc %al\n into");
SNIPPET16(int1, ".byte 0xf1");
SNIPPET16(bound, "mov %sp, %bp\n movl $0x00140010, -8(%bp)\n mov $0x15, %bx\n bound %bx, -8(%bp)");
SNIPPET16(divide, "xor %bl, %bl\n div %bl");
SNIPPET16(ud, "ud2");
SNIPPET16(arpl, "arpl %ax, %bx");
SNIPPET16(lldt_16, "lldt %ax");
SNIPPET16(sldt, "sldt %ax");
SNIPPET16(str, "str %ax");
SNIPPET16(ltr_16, "ltr %ax");
SNIPPET16(verr, "verr %ax");
SNIPPET16(lar, "lar %ax, %bx");
SNIPPET16(lsl, "lsl %ax, %bx");
SNIPPET16(lock_nop, ".byte 0xf0\n nop");
SNIPPET16(smsw, "smsw %ax\n and $1, %ax");
SNIPPET16(mov_cr0, "mov %cr0, %eax\n and $1, %eax");
SNIPPET16(clts, "clts");
SNIPPET16(sysenter, "sysenter");
SNIPPET16(sysexit, "sysexit");
SNIPPET16(no_device, "fld1");
SNIPPET16(string_wrap, "mov $0xfffe, %di\n mov $4, %cx\n rep stosb");
SNIPPET16(string_wrap_word, "mov $0xffff, %di\n mov $1, %cx\n rep stosw");
SNIPPET16(movs_down, "std\n mov $1, %si\n mov $1, %di\n mov $3, %cx\n rep movsb\n cld");
SNIPPET16(tf_on, "push $0x102\n popf\n nop");
SNIPPET16(tf_mov_ss, "push $0x102\n popf\n mov %ss, %ax\n mov %ax, %ss\n nop");
SNIPPET16(jump_self_modified, "movb $0xb0, %cs:1f - jump_self_modified\n jmp 1f\n1: nop\n .byte 0x42\n nop");
SNIPPET16(loop_ecx, "mov $0x10001, %ecx\n 1: loop 1b");
SNIPPET16(jcxz, "mov $0x10000, %ecx\n jcxz 1f\n mov $1, %al\n 1: nop");
SNIPPET16(lea32, "mov $0x12345678, %ebx\n lea 8(%ebx), %eax\n .byte 0x67\n lea 8(%bx), %ax");
SNIPPET16(enter_leave, "enter $8, $3\n leave\n xor %bp, %bp");
SNIPPET16(pusha_popa, "pusha\n popa\n pushal\n popal");
SNIPPET16(xlat_wrap, "mov $0xffff, %bx\n mov $2, %al\n xlat\n xor %al, %al");
SNIPPET16(bp_index, "mov $0xfff0, %bp\n mov $0x20, %si\n movb (%bp,%si), %al\n xor %al, %al");

static void enter_real(const char *title, const char *start, const char *end)
{
    const volatile struct result *r = (const volatile struct result *)RESULT;
    memcpy((void *)(CODE_AT << 4), start, (size_t)(end + 2 - start));
    ctx = (struct context){.eax = 0xa0a0a0a0,
                           .ebx = 0xb0b0b0b0,
                           .ecx = 0xc0c0c0c0,
                           .edx = 0xd0d0d0d0,
                           .esi = 0x51515151,
                           .edi = 0xd1d1d1d1,
                           .ebp = 0xb9b9b9b9,
                           .cs = CODE_AT,
                           .eip = 0,
                           .ss = STACK_AT,
                           .esp = 0x1000,
                           .ds = 0x4000,
                           .es = 0x5000,
                           .fs = 0x6000,
                           .gs = 0x7000};
    ctx.eflags = 2;
    if (title[0] == '*') /* DS at zero, for high addresses */
        ctx.ds = 0;
    memcpy((void *)CONTEXT, &ctx, sizeof ctx);
    real_call();
    last = (struct frame){.vector = (r->stub - 3u - STUBS) / 4,
                          .eip = r->ip,
                          .cs = r->cs,
                          .eflags = r->flags,
                          .esp = r->esp,
                          .ss = r->ss,
                          .eax = r->eax,
                          .ebx = r->ebx,
                          .ecx = r->ecx,
                          .edx = r->edx,
                          .esi = r->esi,
                          .edi = r->edi,
                          .ebp = r->ebp,
                          .ds = r->ds,
                          .es = r->es,
                          .fs = r->fs,
                          .gs = r->gs};
    if (last.cs == CODE_AT) {
        if (last.vector == 0x80 && last.eip == (uint32_t)(end - start) + 2)
            last.eip = (uint32_t)end + 2;
        else
            last.eip += (uint32_t)start;
    }
    report(title, start, end);
}
#define REAL(name)     enter_real(#name, name, name##_end)
#define REAL_DS0(name) enter_real("*" #name, name, name##_end)

static void all(void)
{
    REAL(nothing);
    REAL(wide_write);
    REAL(wide_read);
    REAL(last_byte);
    REAL(stack_write);
    REAL(push_wraps);
    REAL(pop_odd);
    REAL(addr32_beyond);
    REAL_DS0(addr32_high);
    REAL(reload_ds_high);
    REAL(write_cs);
    REAL(segments);
    REAL(far_call);
    REAL(far_call32);
    REAL(far_jump);
    REAL(ret_far);
    REAL(ret_far32);
    REAL(iret16);
    REAL(iret32);
    flags_hidden = 0;
    REAL(popf16);
    REAL(popf32);
    flags_hidden = 0x108d5;
    REAL(iopl_free);
    REAL(int42);
    REAL(int3);
    REAL(into);
    REAL(int1);
    REAL(bound);
    REAL(divide);
    REAL(ud);
    REAL(arpl);
    REAL(lldt_16);
    REAL(sldt);
    REAL(str);
    REAL(ltr_16);
    REAL(verr);
    REAL(lar);
    REAL(lsl);
    REAL(lock_nop);
    REAL(smsw);
    REAL(mov_cr0);
    REAL(clts);
    REAL(sysenter);
    REAL(sysexit);
    REAL(string_wrap);
    REAL(string_wrap_word);
    REAL(movs_down);
    REAL(tf_on);
    REAL(tf_mov_ss);
    REAL(jump_self_modified);
    REAL(loop_ecx);
    REAL(jcxz);
    REAL(lea32);
    REAL(enter_leave);
    REAL(pusha_popa);
    REAL(xlat_wrap);
    REAL(bp_index);
    REAL(far_jump_out);
    REAL(near_out);
}

void image_main(void)
{
    memset((void *)BLOB, 0, 0x80000);
    memcpy((void *)BLOB, real_blob, (size_t)(real_blob_end - real_blob));
    for (unsigned i = 0; i < 256; i++) {
        uint8_t *stub = (uint8_t *)(STUBS + 4 * i);
        uint16_t to = (uint16_t)(BLOB + (uint32_t)(real_common - real_blob) - (STUBS + 4 * i + 3));
        stub[0] = 0xe8;
        stub[1] = (uint8_t)to;
        stub[2] = (uint8_t)(to >> 8);
        stub[3] = 0x90;
        __asm__ volatile("movw %w1, (%0)\n movw $0, 2(%0)" : : "r"(4 * i), "r"(STUBS + 4 * i) : "memory");
    }
    memcpy((void *)((CODE_AT << 4) + 0x300), nothing, 3);
    print("-- limits of 64 KiB\n");
    all();
    print("-- limits of 4 GiB, from protected mode\n");
    set_descriptor(SCRATCH, 0, 0xfffff, PRESENT | DATA_RW, GRAN);
    *(uint16_t *)(BLOB + (uint32_t)(real_selector - real_blob)) = SCRATCH;
    all();
}
