/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The option ROM that starts -kernel behind firmware, at its 16-bit entry; linuxrom.c says when and hands it over.
 *
 * Firmware finds a boot entry vector in the Plug and Play header (BIOS Boot Specification 1.01, 3.3). It fetches setup
 * code, command line, kernel and initrd by fw_cfg's DMA, places the initrd below what firmware keeps for itself at the
 * top of memory (INT 15h E801), and enters the setup code as Documentation/x86/boot.rst, "Running the Kernel", has it.
 * Nothing here is an absolute address but in segment 0: the ROM runs wherever firmware puts it.
 */
    .section .rodata
    .globl linuxrom_start, linuxrom_end
    .code16

    .set STACK, 0x7000              /* in segment 0, and behind it the request */
    .set REQUEST, 0x7000
    .set KERNEL_ADDR, 0x07
    .set KERNEL_SIZE, 0x08
    .set INITRD_ADDR, 0x0a
    .set INITRD_SIZE, 0x0b
    .set KERNEL_DATA, 0x11
    .set INITRD_DATA, 0x12
    .set CMDLINE_ADDR, 0x13
    .set CMDLINE_SIZE, 0x14
    .set CMDLINE_DATA, 0x15
    .set SETUP_ADDR, 0x16
    .set SETUP_SIZE, 0x17
    .set SETUP_DATA, 0x18
    .set RAMDISK_IMAGE, 0x218       /* in the setup header */

linuxrom_start:
    .byte 0x55, 0xaa, (linuxrom_end - linuxrom_start) / 512
    lretw                           /* nothing to be done when firmware looks at it */
    .org linuxrom_start + 0x1a
    .word pnp - linuxrom_start
    .org linuxrom_start + 0x20
pnp:
    .ascii "$PnP"
    .byte 1, 2                      /* revision, length / 16 */
    .word 0
    .byte 0, 0                      /* the second is the sum's: linuxrom.c */
    .long 0
    .word 0, product - linuxrom_start
    .byte 2, 0, 0, 0x14             /* a device to start from, shadowable */
    .word 0, 0, boot - linuxrom_start, 0, 0
product:
    .asciz "Linux kernel"

boot:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %ss
    movw $STACK, %sp
    movw $SETUP_ADDR, %si
    movw $SETUP_SIZE, %bp
    movw $SETUP_DATA, %di
    call load
    movw $CMDLINE_ADDR, %si
    movw $CMDLINE_SIZE, %bp
    movw $CMDLINE_DATA, %di
    call load
    movw $KERNEL_ADDR, %si
    movw $KERNEL_SIZE, %bp
    movw $KERNEL_DATA, %di
    call load

    movw $INITRD_SIZE, %si
    call number
    testl %eax, %eax
    jz enter
    movl %eax, %ebp                 /* its size */
    movw $INITRD_ADDR, %si
    call number
    addl %eax, %ebp
    pushl %ebp                      /* the end that the board planned */
    xorl %ecx, %ecx
    xorl %edx, %edx
    movw $0xe801, %ax
    int $0x15
    jc 3f
    shll $16, %edx                  /* 64 KiB each, from 16 MiB on */
    addl $0x1000000, %edx
    cmpl $0x1000000, %edx
    ja 1f
    movzwl %cx, %edx                /* KiB from 1 MiB on */
    shll $10, %edx
    addl $0x100000, %edx
1:  popl %eax
    cmpl %edx, %eax
    jbe 2f
    movl %edx, %eax
2:  pushl %eax
3:  movw $INITRD_SIZE, %si
    call number
    movl %eax, %ecx
    popl %ebx
    subl %ecx, %ebx
    jc short
    andl $0xfffff000, %ebx
    movw $KERNEL_ADDR, %si
    call number
    pushl %eax
    movw $KERNEL_SIZE, %si
    call number
    popl %edx
    addl %edx, %eax
    cmpl %eax, %ebx
    jb short
    movw $INITRD_DATA, %di
    call fetch
    movw $SETUP_ADDR, %si
    call number
    shrl $4, %eax
    movw %ax, %es
    movl %ebx, %es:RAMDISK_IMAGE

enter:
    movw $SETUP_ADDR, %si
    call number
    movl %eax, %ebx
    movw $CMDLINE_ADDR, %si
    call number
    subl %ebx, %eax                 /* the stack ends below the command line */
    cmpl $0x10000, %eax
    jb 4f
    movl $0x10000, %eax
4:  subw $16, %ax
    shrl $4, %ebx
    movw %bx, %ds
    movw %bx, %es
    movw %bx, %fs
    movw %bx, %gs
    movw %bx, %ss
    movw %ax, %sp
    addw $0x20, %bx
    pushw %bx
    pushw $0
    xorl %eax, %eax
    xorl %ebx, %ebx
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %edi, %edi
    xorl %ebp, %ebp
    lretw

/* EAX = the number that fw_cfg's key SI has. */
number:
    pushw %cx
    movw $0x510, %dx
    movw %si, %ax
    outw %ax, %dx
    incw %dx
    movw $4, %cx
5:  inb %dx, %al
    rorl $8, %eax
    loop 5b
    popw %cx
    ret

/* Fetches what key DI has, to the address and of the size that keys SI and BP have. */
load:
    call number
    movl %eax, %ebx
    movw %bp, %si
    call number
    movl %eax, %ecx

/* ECX bytes of key DI to EBX. */
fetch:
    movzwl %di, %eax
    shll $16, %eax
    orl $0x0a, %eax                 /* select, read */
    bswapl %eax
    movl %eax, REQUEST
    movl %ecx, %eax
    bswapl %eax
    movl %eax, REQUEST + 4
    xorl %eax, %eax
    movl %eax, REQUEST + 8
    movl %ebx, %eax
    bswapl %eax
    movl %eax, REQUEST + 12
    movw $0x514, %dx
    xorl %eax, %eax
    outl %eax, %dx
    movl $REQUEST, %eax
    bswapl %eax
    movw $0x518, %dx
    outl %eax, %dx
6:  movl REQUEST, %eax
    bswapl %eax
    testl %eax, %eax
    jz 7f
    testb $1, %al
    jz 6b
    movw $refused - linuxrom_start, %si
    jmp say
7:  ret

short:
    movw $scarce - linuxrom_start, %si
say:
    lodsb %cs:(%si), %al
    testb %al, %al
    jz 8f
    movb $0x0e, %ah
    movw $7, %bx
    pushw %si
    int $0x10
    popw %si
    jmp say
8:  int $0x18                       /* the next in the boot order */
refused:
    .asciz "The kernel could not be loaded: no RAM at its address.\r\n"
scarce:
    .asciz "Too little memory for the kernel and its initrd.\r\n"
    .balign 512
linuxrom_end:
    .code64
    .section .note.GNU-stack, "", @progbits
