# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
# The BIOS as a DOS-style program uses it: INT 10h, 11h, 12h, 13h, 15h, 16h and 1ah, the timer, the real-time clock and its interrupt.
# What depends on time or on what differs between machines is made into a yes or no.
.include "print.inc"
main:
    say "int 11h "
    int $0x11
    hex16 %ax
    say "int 12h "
    int $0x12
    hex16 %ax
    line

# int 10h: modes, text, cursor, attributes read back, pixels
    movw $0x0003, %ax
    int $0x10
    movb $0x0f, %ah
    int $0x10
    say "int 10h mode "
    hex16 %ax
    hex16 %bx
    movw $0x0200, %ax
    xorw %bx, %bx
    movw $0x0507, %dx
    int $0x10
    movw $0x0941, %ax
    movw $0x001e, %bx
    movw $3, %cx
    int $0x10
    movb $8, %ah
    xorw %bx, %bx
    int $0x10
    hex16 %ax
    movb $3, %ah
    int $0x10
    hex16 %cx
    hex16 %dx
    movw $0xb800, %ax
    movw %ax, %es
    hex16 %es:((5*80+9)*2)
    line
    movw $0x1301, %ax               # a string, with the cursor moved
    movw $0x0007, %bx
    movw $5, %cx
    movw $0x1700, %dx
    pushw %ds
    popw %es
    movw $string, %bp
    int $0x10
    movw $0x0601, %ax               # scrolled up by one
    movb $0x07, %bh
    xorw %cx, %cx
    movw $0x184f, %dx
    int $0x10
    movw $0xb800, %ax
    movw %ax, %es
    say "scrolled "
    hex16 %es:(22*160)
    hex16 %es:(22*160+8)
    line
    movw $0x0013, %ax
    int $0x10
    movw $0x0c2a, %ax
    movw $77, %cx
    movw $33, %dx
    xorw %bx, %bx
    int $0x10
    movb $0x0d, %ah
    int $0x10
    say "pixel "
    hex16 %ax
    movw $0xa000, %ax
    movw %ax, %es
    hex16 %es:(33*320+76)
    movw $0x0012, %ax
    int $0x10
    movw $0x0c05, %ax
    movw $77, %cx
    movw $33, %dx
    xorw %bx, %bx
    int $0x10
    movb $0x0d, %ah
    int $0x10
    hex16 %ax
    line
    xorw %ax, %ax                   # VBE: information, the mode 640 x 480 x 8, set, asked for
    movw %ax, %es
    movw $0x9000, %di
    movl $0x32454256, %es:(%di)
    movw $0x4f00, %ax
    int $0x10
    say "VBE "
    hex16 %ax
    hex16 0x9000
    hex16 0x9004
    movw $0x4f01, %ax
    movw $0x0101, %cx
    movw $0x9200, %di
    int $0x10
    hex16 %ax
    hex16 0x9200
    hex16 0x9212
    hex16 0x9214
    movw $0x4f02, %ax
    movw $0x4101, %bx
    int $0x10
    hex16 %ax
    movw $0x4f03, %ax
    int $0x10
    hex16 %bx
    movw $0x0003, %ax
    int $0x10
    line

# int 13h: geometry, extensions, reads by CHS and LBA, verify, errors
    say "int 13h geometry "
    movb $8, %ah
    movb boot_drive, %dl
    xorw %di, %di
    int $0x13
    carry
    hex16 %cx
    hex16 %dx
    xorw %ax, %ax
    movw %ax, %es
    movw $0x55aa, %bx
    movb $0x41, %ah
    movb boot_drive, %dl
    int $0x13
    carry
    hex16 %bx
    movb $0x15, %ah
    movb boot_drive, %dl
    int $0x13
    carry
    hex16 %ax
    line
    say "reads "
    movw $0x0201, %ax
    movw $0xa000, %bx
    movw $1, %cx
    xorb %dh, %dh
    movb boot_drive, %dl
    int $0x13
    carry
    hex16 %ax
    hex16 0xa1fe
    movb $0x42, %ah
    movb boot_drive, %dl
    movw $packet, %si
    int $0x13
    carry
    hex16 0xa5fe
    movw $0x0401, %ax
    movw $2, %cx
    xorb %dh, %dh
    movb boot_drive, %dl
    int $0x13
    carry
    hex16 %ax
    movw $0x0201, %ax               # a cylinder that is none
    movw $0xa000, %bx
    movw $0xffff, %cx
    movb $0xff, %dh
    movb boot_drive, %dl
    int $0x13
    carry
    andw $0xff00, %ax
    hex16 %ax
    line

# int 15h: extended memory in its four ways, A20, the feature byte, moving memory
    say "int 15h 88 "
    movb $0x88, %ah
    int $0x15
    hex16 %ax
    movw $0xe801, %ax
    int $0x15
    carry
    hex16 %ax
    hex16 %bx
    say "e820"
    line
    xorl %ebx, %ebx
1:  movl $0xe820, %eax
    movl $0x534d4150, %edx
    movl $20, %ecx
    movw $0xb000, %di
    int $0x15
    jc 2f
    hex16 0xb002
    hex16 0xb000
    hex16 0xb00a
    hex16 0xb008
    hex16 0xb010
    line
    testl %ebx, %ebx
    jnz 1b
2:  say "A20 "
    movw $0x2402, %ax
    int $0x15
    carry
    hex16 %ax
    movw $0x2400, %ax
    int $0x15
    call a20_wraps
    movw $0x2401, %ax
    int $0x15
    call a20_wraps
    inb $0x92, %al                  # the fast gate
    andb $0xfd, %al
    outb %al, $0x92
    call a20_wraps
    orb $2, %al
    outb %al, $0x92
    call a20_wraps
    line
    movw $0x8700, %ax               # a block above 1 MiB and back
    movl $0x12345678, 0x9400
    movw $2, %cx
    movw $move_up, %si
    pushw %ds
    popw %es
    int $0x15
    say "block move "
    carry
    movw $0x8700, %ax
    movw $2, %cx
    movw $move_down, %si
    int $0x15
    carry
    hex16 0x9500
    line

# big real mode: limits of 4 GiB kept from protected mode
    cli
    lgdt flat_gdt
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    movw $8, %bx
    movw %bx, %fs
    andb $0xfe, %al
    movl %eax, %cr0
    xorw %bx, %bx
    movw %bx, %fs
    sti
    movl $0x200000, %esi
    movl $0xcafebabe, %fs:(%esi)
    movl %fs:(%esi), %eax
    say "big real "
    hex16 %ax
    movw %fs, %ax                   # a load keeps the limit
    movw %ax, %fs
    movl %fs:4(%esi), %eax
    movl $0x5a5aa5a5, %fs:4(%esi)
    hex16 %fs:4(%esi)
    line

# a far read beyond 64 KiB faults; INT 0dh is the handler's, with IP of the instruction
    say "limit "
    cli
    movw $on_limit, 0x0d*4
    movw %cs, 0x0d*4+2
    movl $0x10000, %esi
beyond:
    movl %ds:(%esi), %eax
    say "none"
    jmp after_limit
on_limit:
    popw %ax
    subw $beyond, %ax
    hex16 %ax
    addw $4, %sp
after_limit:
    line

# int 16h: nothing there, a key put into the buffer, its flags
    sti
    movb $1, %ah
    int $0x16
    movb $'0', %al
    jz 1f
    incb %al
1:  say "key "
    outb %al, $0xe9
    movb $5, %ah
    movw $0x1e61, %cx
    int $0x16
    xorb %ah, %ah
    int $0x16
    hex16 %ax
    movb $2, %ah
    int $0x16
    andw $0x00ff, %ax
    hex16 %ax
    line

# int 1ah and the timer: ticks go on; int 1ch is called; channel 2 counts through port 61h
    movw 0x46c, %cx
    movw $on_tick, 0x1c*4
    movw %cs, 0x1c*4+2
1:  hlt
    movw 0x46c, %ax
    subw %cx, %ax
    cmpw $3, %ax
    jb 1b
    say "ticks "
    movw ticks, %ax
    cmpw $3, %ax
    movb $'+', %al
    jae 1f
    movb $'-', %al
1:  outb %al, $0xe9
    inb $0x61, %al
    andb $0xfc, %al
    orb $1, %al
    outb %al, $0x61
    movb $0xb0, %al
    outb %al, $0x43
    movb $0, %al
    outb %al, $0x42
    movb $4, %al
    outb %al, $0x42                 # 1024 counts, mode 0: the output goes high and stays
    inb $0x61, %al
    testb $0x20, %al
    movb $'+', %al
    jz 1f
    movb $'-', %al
1:  outb %al, $0xe9
1:  inb $0x61, %al
    testb $0x20, %al
    jz 1b
    movb $'+', %al
    outb %al, $0xe9
    movb $2, %ah
    int $0x1a
    carry
    movb $4, %ah
    int $0x1a
    carry
    hex16 %cx
    line

# the real-time clock's periodic interrupt, IRQ 8 by the second controller
    movw $on_rtc, 0x70*4
    movw %cs, 0x70*4+2
    inb $0xa1, %al
    andb $0xfe, %al
    outb %al, $0xa1
    inb $0x21, %al
    andb $0xfb, %al
    outb %al, $0x21
    movb $0x0b, %al
    outb %al, $0x70
    inb $0x71, %al
    movb %al, %ah
    movb $0x0b, %al
    outb %al, $0x70
    movb %ah, %al
    orb $0x40, %al
    outb %al, $0x71
    movb $0x0c, %al
    outb %al, $0x70
    inb $0x71, %al
1:  hlt
    cmpw $5, rtc_ticks
    jb 1b
    say "rtc interrupts"
    line
    say "END"
    line
    jmp quit

a20_wraps:
    pushw %ax
    pushw %es
    movw $0xffff, %ax
    movw %ax, %es
    movw $0x1234, 0x9600
    movw $0x4321, %es:0x9610
    cmpw $0x4321, 0x9600
    movb $'w', %al
    je 1f
    movb $'-', %al
1:  outb %al, $0xe9
    popw %es
    popw %ax
    ret
on_tick:
    incw %cs:ticks
    iret
on_rtc:
    pushw %ax
    incw %cs:rtc_ticks
    movb $0x0c, %al
    outb %al, $0x70
    inb $0x71, %al
    movb $0x20, %al
    outb %al, $0xa0
    outb %al, $0x20
    popw %ax
    iret
ticks: .word 0
rtc_ticks: .word 0
string: .ascii "Hello"
.balign 4
packet: .byte 16, 0
    .word 1, 0xa400, 0
    .quad 0
flat_gdt: .word 15
    .long flat_gdt_table
flat_gdt_table:
    .quad 0
    .quad 0x00cf92000000ffff
move_up:
    .quad 0, 0
    .word 0xffff, 0x9400, 0x9300, 0
    .word 0xffff, 0x0000, 0x9320, 0
    .quad 0, 0
move_down:
    .quad 0, 0
    .word 0xffff, 0x0000, 0x9320, 0
    .word 0xffff, 0x9500, 0x9300, 0
    .quad 0, 0
