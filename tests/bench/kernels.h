/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * The benchmark kernels: small freestanding i386 programs, the same machine code native and under an
 * emulator.
 *
 * platform_native.c runs them as a Linux process, platform_bare.c as a multiboot kernel in ring 0 or ring 3
 * with paging on, bench_cpu.c on the CPU alone. A kernel gets a count of rounds and returns a checksum, so
 * that nothing can be left out by the compiler and a wrong result shows.
 */
#pragma once

#include <stdint.h>

struct kernel {
    const char *name;
    const char *what;
    void (*prepare)(void); /* fills the arena, untimed; may be NULL */
    uint32_t (*run)(uint32_t rounds);
    uint32_t rounds; /* about a tenth of a second natively: bench_cpu.c */
};

extern const struct kernel kernels[];
extern const unsigned kernel_count;

/* 16 MiB of scratch memory, zeroed at start. */
enum { ARENA_SIZE = 16 << 20 };
extern uint8_t arena[ARENA_SIZE];
