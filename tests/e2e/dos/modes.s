# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
# Protected mode as 16-bit programs know it (286 segments, LDT, call gate to an inner ring, 286 task switches), then a V86 monitor (386 gates,
# I/O permission map, interrupts and IRET of the V86 program emulated), then back to real mode and the BIOS.
# GDT: 08 code, 10 data, 18 LDT, 20 and 28 286 TSS, 30 call gate, 38 data of ring 3, 40 386 TSS. LDT: 07 code of ring 3. All bases are 0.
.include "print.inc"
main:
    say "real cs "
    hex16 %cs
    smsw %ax
    andw $1, %ax
    hex16 %ax
    line
    cli
    lgdt gdt_pointer
    lidt idt_pointer
    smsw %ax
    orb $1, %al
    lmsw %ax
    ljmp $0x08, $protected
protected:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    movw $0x18, %ax
    lldt %ax
    movw $0x20, %ax
    ltr %ax
    say "protected cs "
    hex16 %cs
    sldt %ax
    hex16 %ax
    str %ax
    hex16 %ax
    movw $0x07, %ax
    lar %ax, %bx
    hex16 %bx
    lsl %ax, %bx
    hex16 %bx
    verw %ax
    movb $'w', %al
    jz 1f
    movb $'-', %al
1:  outb %al, $0xe9
    movw $0x40, %ax
    lar %ax, %bx
    hex16 %bx
    line
    lcall $0x28, $0                 # a nested task; it comes back by IRET
    say "again in task "
    str %ax
    hex16 %ax
    line
    pushw $0x3002                   # IOPL 3: ring 3 prints
    popfw
    pushw $0x3b
    pushw $0x6800
    pushw $0x07
    pushw $ring3
    lret

task2:
    say "task "
    str %ax
    hex16 %ax
    hex16 second_tss                # back link
    pushfw
    popw %ax
    andw $0x4000, %ax               # NT
    hex16 %ax
    hex16 %cx
    line
    iretw
    jmp task2

ring3:
    movw $0x3b, %ax
    movw %ax, %ds
    movw %ax, %es
    say "ring 3 cs "
    hex16 %cs
    hex16 %ss
    line
    pushw $0x1234
    lcall $0x33, $0
    say "ring 3 again, sp "
    hex16 %sp
    line
    pushw $0
    lcall $0x33, $0

gate:                               # one word is copied from ring 3's stack
    movw %sp, %bp
    say "gate cs "
    hex16 %cs
    hex16 %ss
    hex16 4(%bp)
    hex16 2(%bp)
    hex16 6(%bp)
    line
    cmpw $0, 4(%bp)
    je monitor
    lret $2

monitor:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw $0x40, %ax
    ltr %ax
    movw $v86_interrupt, 0x40*4
    movw $0, 0x40*4+2
    xorl %eax, %eax
    pushl %eax
    pushl %eax
    pushl %eax
    pushl %eax
    pushl %eax
    pushl $0x6000
    pushl $0x20002
    pushl %eax
    pushl $v86
    iretl

v86:
    say "V86 cs "
    hex16 %cs
    smsw %ax
    andw $1, %ax
    hex16 %ax
    line
    int $0x40
    say "V86 after int, ax "
    hex16 %ax
    line
    outb %al, $0x80
    inb $0x80, %al
    hex16 %ax
    line
    cli
    sti
    movw $0xffff, %bx
    movw %bx, %fs
    movw %fs:0x10, %ax              # wraps to address 0 with A20 off, else 1 MiB: the selector is a paragraph
    hlt
v86_interrupt:
    say "V86 interrupt, on the stack "
    movw %sp, %bp
    hex16 2(%bp)
    line
    movw $0xbeef, %ax
    iretw

general:                            # #GP from V86: what the program may not do is done for it
    pushal
    movw %sp, %bp
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    testb $2, 46(%bp)               # VM
    jz other
    movw 36(%bp), %bx
    movb (%bx), %al
    cmpb $0xcd, %al
    je software_interrupt
    cmpb $0xcf, %al
    je interrupt_return
    cmpb $0xf4, %al
    je halted
    say "monitor: "
    movb (%bx), %cl
    movzbw %cl, %ax
    hex16 %ax
    hex16 32(%bp)
    movw 46(%bp), %ax
    andw $0xfffe, %ax               # RF is set in a fault's image of the flags, not by QEMU
    hex16 %ax
    line
    cmpb $0xe6, %cl
    je two
    cmpb $0xe4, %cl
    jne one
    movb $0x5a, 28(%bp)             # AL, for the IN
two:
    incw 36(%bp)
one:
    incw 36(%bp)
resume:
    popal
    addw $4, %sp
    iretl
software_interrupt:
    movzbw 1(%bx), %si
    shlw $2, %si
    movw 48(%bp), %di
    subw $6, %di
    movw 44(%bp), %ax
    movw %ax, 4(%di)
    movw 40(%bp), %ax
    movw %ax, 2(%di)
    movw 36(%bp), %ax
    addw $2, %ax
    movw %ax, (%di)
    movw %di, 48(%bp)
    movw (%si), %ax
    movw %ax, 36(%bp)
    movw 2(%si), %ax
    movw %ax, 40(%bp)
    jmp resume
interrupt_return:
    movw 48(%bp), %di
    movw (%di), %ax
    movw %ax, 36(%bp)
    movw 2(%di), %ax
    movw %ax, 40(%bp)
    addw $6, 48(%bp)
    jmp resume
halted:
    say "monitor: halted"
    line
    lidt real_idt
    movl %cr0, %eax
    andb $0xfe, %al
    movl %eax, %cr0
    ljmp $0, $real
real:
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %ss
    movw $0x7c00, %sp
    sti
    int $0x12
    say "real again, int 12h "
    hex16 %ax
    line
    say "END"
    line
    jmp quit

other:                              # any other exception
    say "unexpected exception at "
    movw %sp, %bp
    hex16 (%bp)
    hex16 4(%bp)
    line
    jmp quit

.balign 8
gdt:
    .quad 0
    .quad 0x00009a000000ffff
    .quad 0x000092000000ffff
    .word 15, ldt, 0x8200, 0
    .word 43, first_tss, 0x8100, 0
    .word 43, second_tss, 0x8100, 0
    .word gate, 0x08, 0xe401, 0
    .quad 0x0000f2000000ffff
    .word 0x68+32, third_tss, 0x8900, 0
gdt_end:
ldt:
    .quad 0x0000fa000000ffff
    .quad 0
gdt_pointer: .word gdt_end - gdt - 1
    .long gdt
idt:
.rept 13
    .word other, 0x08, 0x8e00, 0
.endr
    .word general, 0x08, 0x8e00, 0
.rept 18
    .word other, 0x08, 0x8e00, 0
.endr
idt_end:
idt_pointer: .word idt_end - idt - 1
    .long idt
real_idt: .word 0x3ff
    .long 0
first_tss:
    .word 0, 0x7000, 0x10
    .fill 36, 1, 0
    .word 0x18                      # a task's LDT is loaded from here and never stored
second_tss:
    .word 0, 0x6c00, 0x10, 0, 0, 0, 0, task2, 0x0002, 0x1111, 0x2222, 0x3333, 0x4444, 0x6c00, 0, 0, 0, 0x10, 0x08, 0x10, 0x10, 0x18
third_tss:
    .long 0, 0x7000, 0x10
    .fill 0x66 - 12, 1, 0
    .word 0x68
    .fill 16, 1, 0
    .byte 0x01                      # port 80h is forbidden
    .fill 15, 1, 0
    .byte 0xff
