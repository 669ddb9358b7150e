// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The netlab authors
// From the reset vector to main() in flat protected mode. Theory: moves.c.

    .text
    .code16
    .globl start, gdtr
start:
    cli
    lgdtl %cs:in_segment_gdtr
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $flat
    .code32
flat:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    mov $0x90000, %esp
    cld
    mov $bss_start, %edi
    mov $bss_end, %ecx
    sub %edi, %ecx
    xor %eax, %eax
    rep stosb
    in $0x92, %al
    or $2, %al
    and $0xfe, %al
    out %al, $0x92
    call moves_main
1:  hlt
    jmp 1b

// Runs from a copy in RAM, for it makes this segment's shadow RAM readable and writable before anything is in it: fills it
// from `ROM` in moves.c.
    .globl fill_shadow, fill_shadow_end
fill_shadow:
    push %esi
    push %edi
    mov $0xcf8, %edx
    mov $0x80000058, %eax
    out %eax, %dx
    mov $0xcfd, %edx
    mov $0x30, %al
    out %al, %dx
    mov $0x480000, %esi
    mov $0xf0000, %edi
    mov $0x4000, %ecx
    rep movsl
    pop %edi
    pop %esi
    ret
fill_shadow_end:

    .align 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:
    .word . - gdt - 1
    .long gdt

// What differs between the ROM and its copy in RAM: main() writes 2 there.
    .section .variant, "ax"
    .globl variant, variant_value
variant:
    .byte 0xb8
variant_value:
    .long 1
    ret

    .section .start, "ax"
    .globl seed, steps, flags
seed:
    .long 0                 // the runner's
steps:
    .long 0
flags:
    .long 0
    .long 0
    .code16
    ljmpw $0xf000, $in_segment_start
    .org 0x20
