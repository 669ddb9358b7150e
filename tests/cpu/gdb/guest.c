/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The program that test_gdb.py debugs: a Multiboot kernel in flat protected mode, ring 0, which calls, loops,
 * writes to memory and uses x87 and SSE. It is built with -g -O0 and ends by halting for ever.
 */
__asm__(".section .multiboot, \"a\"\n"
        ".balign 4\n"
        ".long 0x1badb002, 0, -0x1badb002\n"
        ".text\n"
        ".globl _start\n"
        "_start: mov $stack_end, %esp\n"
        "mov %cr0, %eax\n"
        "and $~4, %eax\n"
        "mov %eax, %cr0\n"
        "mov %cr4, %eax\n"
        "or $0x200, %eax\n"
        "mov %eax, %cr4\n"
        "fninit\n"
        "call start\n"
        "1: hlt\n"
        "jmp 1b\n"
        ".bss\n"
        ".skip 16384\n"
        "stack_end:\n");

volatile int counter, watched, other[4];
volatile char text[16] = "hello";

int square(int number)
{
    int result = number * number;

    counter++;
    return result;
}

static int factorial(int number)
{
    if (number < 2)
        return 1;
    return number * factorial(number - 1);
}

void units(void)
{
    __asm__ volatile("fldpi\n"
                     "fld1\n"
                     "movl $0x40490fdb, %%eax\n"
                     "movd %%eax, %%xmm3\n" ::
                         : "eax", "st", "st(1)");
    counter += 1000;
    __asm__ volatile("fstp %%st(0)\nfstp %%st(0)" ::: "memory");
}

void start(void)
{
    int sum = 0;

    for (int i = 0; i < 100000; i++) {
        sum += square(i);
        other[i & 3] = i;
    }
    units();
    watched = sum;
    sum = watched + factorial(6);
    watched = sum;
    counter = -1;
}
