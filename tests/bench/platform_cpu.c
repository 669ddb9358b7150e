/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * The kernels for bench-cpu: a flat image at 1 MiB that is entered at its start in ring 0 with the kernel's
 * number in EAX and the rounds in EDX, leaves the checksum in EAX and halts. The stack is below the image.
 */
#include "kernels.h"

uint32_t platform_main(uint32_t number, uint32_t rounds);
uint32_t platform_main(uint32_t number, uint32_t rounds)
{
    if (number >= kernel_count)
        return 0;
    if (kernels[number].prepare)
        kernels[number].prepare();
    return kernels[number].run(rounds);
}

__asm__(".section .entry,\"ax\"\n.globl kernel_entry\nkernel_entry:\n"
        "pushl %edx\n\tpushl %eax\n\tcall platform_main\n\tcli\n\thlt\n\t.text\n");
