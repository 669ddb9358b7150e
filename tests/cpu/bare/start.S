// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: The netlab authors
// Entry, exception stubs, and the way into snippets and out again. Theory: rt.h.

    .section .multiboot, "a"
    .align 4
    .long 0x1badb002, 0, -0x1badb002

    .text
    .globl _start
_start:
    mov $boot_stack_top, %esp
    cld
    call rt_setup
    ljmp $0x08, $1f
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    mov $0x28, %eax
    ltr %ax
    call image_main
    .globl rt_exit
rt_exit:
    xor %eax, %eax
    out %al, $0xf4
    mov $shutdown, %esi         // how Bochs is told
    mov $0x8900, %edx
    mov $8, %ecx
    rep outsb
    cli
1:  hlt
    jmp 1b

shutdown:
    .ascii "Shutdown"

// One stub a vector, sixteen bytes each.
    .align 16
    .globl stubs
stubs:
    .set vector, 0
    .rept 256
    .align 16
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17)
    .else
    push $0
    .endif
    push $vector
    jmp common
    .set vector, vector + 1
    .endr

common:
    pusha
    push %ds
    push %es
    push %fs
    push %gs
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    cld
    mov %esp, %eax
    push %eax
    call rt_trap            // returns when a hook took it
    add $4, %esp
    pop %gs
    pop %fs
    pop %es
    pop %ds
    popa
    add $8, %esp
    iret

// void run_context(void)
    .globl run_context
run_context:
    pusha
    pushf
    mov %esp, recover_esp
    mov $ctx, %ebp
    mov 13*4(%ebp), %eax    // eflags
    test $0x20000, %eax
    jnz v86
    testb $3, 12*4(%ebp)
    jnz outer
    mov 14*4(%ebp), %esp    // ring 0: its stack, then the frame on it
    jmp 1f
v86:
    push 10*4(%ebp)         // gs fs ds es
    push 9*4(%ebp)
    push 7*4(%ebp)
    push 8*4(%ebp)
outer:
    push 15*4(%ebp)         // ss esp
    push 14*4(%ebp)
1:  push 13*4(%ebp)
    push 12*4(%ebp)
    push 11*4(%ebp)
    test $0x20000, %eax
    jnz 2f
    mov 8*4(%ebp), %es
    mov 9*4(%ebp), %fs
    mov 10*4(%ebp), %gs
2:  mov 1*4(%ebp), %ebx
    mov 2*4(%ebp), %ecx
    mov 3*4(%ebp), %edx
    mov 4*4(%ebp), %esi
    mov 5*4(%ebp), %edi
    test $0x20000, %eax
    mov 0*4(%ebp), %eax
    jnz 3f
    push 7*4(%ebp)
    push 6*4(%ebp)
    pop %ebp
    pop %ds
    iret
3:  mov 6*4(%ebp), %ebp
    iret

    .globl rt_recover
rt_recover:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    mov recover_esp, %esp
    popf
    popa
    ret

    .bss
    .align 16
    .globl recover_esp
recover_esp: .skip 4
    .skip 16384
boot_stack_top:
    .section .note.GNU-stack, "", @progbits
