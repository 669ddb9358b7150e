/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Virtual-8086 mode: what traps with which IOPL, interrupts out of it, IRET into it, the virtual interrupt
 * flag (CR4.VME) with the redirection bitmap, PVI in protected mode, the I/O permission map (SDM vol. 3,
 * chapter 20).
 */
#include "rt.h"

/* 8086 code runs from a copy at linear 0x10000 (segment 1000h); its stack is segment 2000h. */
#define CODE_SEGMENT  0x1000u
#define STACK_SEGMENT 0x2000u
#define IVT_TARGET    0x3000u

#define SNIPPET16(name, text) SNIPPET(name, ".code16\n" text)

SNIPPET16(nothing, "nop");
SNIPPET16(cli16, "cli");
SNIPPET16(sti16, "sti");
SNIPPET16(pushf16, "pushf\n pop %ax");
SNIPPET16(pushfd16, "pushfl\n pop %eax");
SNIPPET16(popf16, "push %cx\n popf\n xor %cx, %cx");
SNIPPET16(popfd16, "push %ecx\n popfl\n xor %ecx, %ecx");
SNIPPET16(int16, "int $0x42");
SNIPPET16(int3_16, "int3");
SNIPPET16(into16, "mov $0x7f, %al\n inc %al\n into");
SNIPPET16(int1_16, ".byte 0xf1");
SNIPPET16(iret16, "push %cx\n push %cs\n push $10\n iret\n nop\n nop\n nop\n nop\n nop\n nop\n nop\n nop");
SNIPPET16(iretd16, "push %ecx\n pushl $0x1000\n pushl $0x300\n iretl");
SNIPPET16(hlt16, "hlt");
SNIPPET16(in16, "in $0x80, %al\n xor %ax, %ax");
SNIPPET16(inw16, "in $0x80, %ax\n xor %ax, %ax");
SNIPPET16(ind16, "in $0x80, %eax\n xor %eax, %eax");
SNIPPET16(outdx16, "mov $0x87, %dx\n out %al, %dx\n out %ax, %dx");
SNIPPET16(load16, "mov $0x1234, %ax\n mov %ax, %ds\n mov %ax, %es\n mov %ax, %fs\n mov %ax, %gs\n movw (0), "
                  "%bx\n xor %bx, %bx");
SNIPPET16(far16, "lcall $0x1000, $0x300\n");
SNIPPET16(jmp16, "ljmp $0x1000, $0x300\n");
SNIPPET16(limit16, "movw $0, %bx\n movw (0xffff), %cx");
SNIPPET16(limit16_ok, "movb (0xffff), %cl\n xor %cx, %cx");
SNIPPET16(push_wrap, "mov $1, %sp\n push %ax");
SNIPPET16(lgdt16, "lgdt (0)");
SNIPPET16(lldt16, "lldt %ax");
SNIPPET16(str16, "str %ax");
SNIPPET16(arpl16, "arpl %ax, %bx");
SNIPPET16(verr16, "verr %ax");
SNIPPET16(lar16, "lar %ax, %bx");
SNIPPET16(smsw16, "smsw %ax\n and $1, %ax");
SNIPPET16(movcr16, "mov %cr0, %eax");
SNIPPET16(movdr16, "mov %dr0, %eax");
SNIPPET16(clts16, "clts");
SNIPPET16(ud16, "ud2");
SNIPPET16(div16, "xor %bl, %bl\n div %bl");
SNIPPET16(addr32, "mov $0x12345, %ebx\n movb %ds:(%ebx), %al\n");
SNIPPET16(addr32_ok, "mov $0xfff0, %ebx\n movb %ds:(%ebx), %al\n xor %ax, %ax\n xor %ebx, %ebx");
SNIPPET16(eip_out, "ljmpl $0x1000, $0x10000");
SNIPPET16(lds16, "lds (0x10), %bx\n xor %bx, %bx");
SNIPPET16(enter16, "enter $4, $1\n leave");
SNIPPET16(rdtsc16, "rdtsc\n xor %eax, %eax\n xor %edx, %edx");
SNIPPET16(cpuid_is_free,
          "xor %eax, %eax\n cpuid\n xor %eax, %eax\n xor %ebx, %ebx\n xor %ecx, %ecx\n xor %edx, %edx");
SNIPPET16(sysenter16, "sysenter");
SNIPPET16(landing16, "nop");
SNIPPET16(push_segments, "push %ds\n pop %es\n push %fs\n push %gs\n pop %ds\n pop %ds");

SNIPPET(pvi_cli, "cli\n pushf\n pop %eax");
SNIPPET(pvi_sti, "sti\n pushf\n pop %eax");
SNIPPET(pvi_popf, "pushl $0x3202\n popf\n pushf\n pop %eax");
SNIPPET(ring3_nop, "nop");

static void enter_v86(const char *start, const char *end, unsigned iopl)
{
    memcpy((void *)(CODE_SEGMENT << 4), start, (size_t)(end + 2 - start));
    ctx = (struct context){.eax = 0xa0a0a0a0,
                           .ebx = 0xb0b0b0b0,
                           .ecx = 0xc0c0c0c0,
                           .edx = 0xd0d0d0d0,
                           .esi = 0x51515151,
                           .edi = 0xd1d1d1d1,
                           .ebp = 0xb9b9b9b9,
                           .cs = CODE_SEGMENT,
                           .eip = 0,
                           .ss = STACK_SEGMENT,
                           .esp = 0x1000,
                           .ds = 0x4000,
                           .es = 0x5000,
                           .fs = 0x6000,
                           .gs = 0x7000};
    ctx.eflags = 0x20002 | iopl << 12;
}

static void run_v86(const char *title, const char *start, const char *end)
{
    run_context();
    /* Addresses within the copy are small; show them as such. */
    if (last.eflags & 0x20000 && (last.cs & 0xffff) == CODE_SEGMENT) {
        if (last.vector == 0x80 && last.eip == (uint32_t)(end - start) + 2)
            last.eip = (uint32_t)end + 2;
        else
            last.eip += (uint32_t)start;
    }
    report(title, start, end);
}
#define V86(name, iopl)                                                                                      \
    enter_v86(name, name##_end, iopl);                                                                       \
    run_v86(#name, name, name##_end)

static void plain(unsigned iopl)
{
    print("-- iopl %u\n", iopl);
    V86(nothing, iopl);
    V86(cli16, iopl);
    V86(sti16, iopl);
    V86(pushf16, iopl);
    V86(pushfd16, iopl);
    static const uint32_t images[] = {0x0002, 0x0202,     0x4ed7,     0x3002,
                                      0x7002, 0x00040002, 0x00200202, 0x001b0002};
    for (unsigned i = 0; i < sizeof images / sizeof images[0]; i++) {
        print("image %x: ", images[i]);
        enter_v86(popf16, popf16_end, iopl);
        ctx.ecx = images[i];
        flags_hidden = 0;
        run_v86("popf16", popf16, popf16_end);
        enter_v86(popfd16, popfd16_end, iopl);
        ctx.ecx = images[i];
        run_v86("popfd16", popfd16, popfd16_end);
        enter_v86(iret16, iret16_end, iopl);
        ctx.ecx = images[i];
        run_v86("iret16", iret16, iret16_end);
        flags_hidden = 0x108d5;
    }
    V86(int16, iopl);
    V86(int3_16, iopl);
    V86(into16, iopl);
    V86(int1_16, iopl);
    V86(iretd16, iopl);
    V86(hlt16, iopl);
    V86(in16, iopl);
    V86(inw16, iopl);
    V86(ind16, iopl);
    V86(outdx16, iopl);
    V86(load16, iopl);
    V86(far16, iopl);
    V86(jmp16, iopl);
    V86(limit16, iopl);
    V86(limit16_ok, iopl);
    V86(push_wrap, iopl);
    V86(lgdt16, iopl);
    V86(lldt16, iopl);
    V86(str16, iopl);
    V86(arpl16, iopl);
    V86(verr16, iopl);
    V86(lar16, iopl);
    V86(smsw16, iopl);
    V86(movcr16, iopl);
    V86(movdr16, iopl);
    V86(clts16, iopl);
    V86(ud16, iopl);
    V86(div16, iopl);
    V86(addr32, iopl);
    V86(addr32_ok, iopl);
    V86(eip_out, iopl);
    V86(lds16, iopl);
    V86(enter16, iopl);
    V86(rdtsc16, iopl);
    V86(cpuid_is_free, iopl);
    V86(sysenter16, iopl);
    V86(push_segments, iopl);
}

static void gate_targets(void)
{
    extern char stubs[];
    print("-- interrupts out of V86 mode\n");
    static const struct {
        const char *name;
        unsigned access;
    } rows[] = {{"code 0", PRESENT | CODE_R},
                {"code 1", PRESENT | DPL1 | CODE_R},
                {"code 3", PRESENT | DPL3 | CODE_R},
                {"conforming 0", PRESENT | CODE_R | CONFORMING},
                {"conforming 3", PRESENT | DPL3 | CODE_R | CONFORMING}};
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set_descriptor(SCRATCH, 0, 0xfffff, rows[i].access, GRAN | BIG);
        set_gate(&idt[0x42], SCRATCH, (uint32_t)stubs + 16 * 0x42, PRESENT | DPL3 | 14, 0);
        print("%s ", rows[i].name);
        V86(int16, 3);
        print("%s ", rows[i].name);
        set_gate(&idt[6], SCRATCH, (uint32_t)stubs + 16 * 6, PRESENT | 14, 0);
        V86(ud16, 0);
        set_vector(6, (uint32_t)stubs + 16 * 6, PRESENT | 14);
    }
    set_vector(0x42, (uint32_t)stubs + 16 * 0x42, PRESENT | 14);
    print("DPL 0 ");
    V86(int16, 3);
    set_vector(0x42, (uint32_t)stubs + 16 * 0x42, PRESENT | DPL3 | 14);
}

static void extensions(void)
{
    print("-- CR4.VME\n");
    write_cr4(read_cr4() | 1);
    /* The 8086 program's vector 42h and its handler. */
    ((uint16_t *)0)[0x42 * 2] = 0;
    __asm__ volatile("movw $0, (%0)\n movw %1, 2(%0)"
                     :
                     : "r"(0x42 * 4), "r"((uint16_t)IVT_TARGET)
                     : "memory");
    memcpy((void *)(IVT_TARGET << 4), landing16, 3);
    for (unsigned iopl = 0; iopl < 4; iopl += 3) {
        for (unsigned vif = 0; vif < 4; vif++) {
            print("-- VME: iopl %u VIF %u VIP %u\n", iopl, vif & 1, vif >> 1);
#define VME(name)                                                                                            \
    enter_v86(name, name##_end, iopl);                                                                       \
    ctx.eflags |= vif << 19;                                                                                 \
    run_v86(#name, name, name##_end)
            VME(cli16);
            VME(sti16);
            VME(pushf16);
            VME(pushfd16);
            static const uint32_t images[] = {0x0002, 0x0202, 0x4ed7, 0x0102, 0x3202};
            for (unsigned i = 0; i < sizeof images / sizeof images[0]; i++) {
                print("image %x: ", images[i]);
                enter_v86(popf16, popf16_end, iopl);
                ctx.eflags |= vif << 19;
                ctx.ecx = images[i] & (iopl == 3 ? ~0x100u : ~0u);
                flags_hidden = 0x8d5;
                run_v86("popf16", popf16, popf16_end);
                enter_v86(iret16, iret16_end, iopl);
                ctx.eflags |= vif << 19;
                ctx.ecx = images[i] & (iopl == 3 ? ~0x100u : ~0u);
                run_v86("iret16", iret16, iret16_end);
                flags_hidden = 0x108d5;
            }
            VME(iretd16);
            for (unsigned redirect = 0; redirect < 2; redirect++) {
                tss.bits[0x42 / 8] = redirect ? 0xfb : 0xff;
                print("redirected %u: ", redirect);
                VME(int16);
                if ((last.cs & 0xffff) == IVT_TARGET) {
                    const uint16_t *sp = (const uint16_t *)((STACK_SEGMENT << 4) + 0x1000 - 6);
                    print("  8086 stack: %x %x %x\n", sp[0], sp[1], sp[2]);
                }
                print("redirected %u: ", redirect);
                VME(int3_16);
            }
            tss.bits[0x42 / 8] = 0xff;
        }
    }
    print("-- VME: redirection map outside the TSS\n");
    unsigned iopl = 3, vif = 0;
    tss.iomap = 0x9000;
    VME(int16);
    tss.iomap = offsetof(struct tss, bits) + 32;
    write_cr4(read_cr4() & ~1u);

    print("-- PVI\n");
    for (unsigned pvi = 0; pvi < 2; pvi++) {
        write_cr4((read_cr4() & ~2u) | pvi << 1);
        for (unsigned ring = 0; ring < 4; ring++) {
            for (unsigned bits = 0; bits < 4; bits++) {
                print("pvi %u ring %u VIF %u VIP %u: ", pvi, ring, bits & 1, bits >> 1);
#define PVI(name)                                                                                            \
    fresh(ring);                                                                                             \
    ctx.eflags |= bits << 19;                                                                                \
    RUN(name)
                PVI(pvi_cli);
                PVI(pvi_sti);
                PVI(pvi_popf);
            }
        }
    }
    write_cr4(read_cr4() & ~2u);
}

static void permission_map(void)
{
    print("-- I/O permission map\n");
    static const uint16_t allowed[] = {0x80, 0x81, 0x83, 0x87};
    for (unsigned i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        tss.bits[32 + allowed[i] / 8] &= (uint8_t) ~(1u << (allowed[i] & 7));
        print("up to %x:\n", allowed[i]);
        V86(in16, 0);
        V86(inw16, 0);
        V86(ind16, 0);
        V86(outdx16, 0);
        V86(in16, 3);
    }
    tss.bits[32 + 0x82 / 8] = 0;
    V86(ind16, 0);
    V86(outdx16, 0);
    tss.bits[32 + 0x88 / 8] = 0;
    V86(outdx16, 0);
    /* The map ends with the TSS's limit; the processor reads two bytes. */
    for (unsigned limit = 0x67 + 32 + 0x10; limit < 0x67 + 32 + 0x13; limit++) {
        set_descriptor(TSS, (uint32_t)&tss, limit, PRESENT | 9, 0);
        ltr(TSS);
        print("limit +%x: ", limit - 0x67 - 32);
        V86(in16, 0);
    }
    set_descriptor(TSS, (uint32_t)&tss, sizeof tss - 1, PRESENT | 9, 0);
    ltr(TSS);
    tss.iomap = 0xffff;
    V86(in16, 0);
    tss.iomap = offsetof(struct tss, bits) + 32;
    memset(tss.bits, 0xff, sizeof tss.bits);
}

void image_main(void)
{
    extern char stubs[];
    set_vector(0x42, (uint32_t)stubs + 16 * 0x42, PRESENT | DPL3 | 14);
    idt[3] |= (uint64_t)DPL3 << 40;
    idt[4] |= (uint64_t)DPL3 << 40;
    memset((void *)0x10000, 0, 0x70000);
    memcpy((void *)0x10300, landing16, 3);
    plain(3);
    plain(0);
    gate_targets();
    permission_map();
    extensions();
    fresh(3);
    RUN(ring3_nop);
}
