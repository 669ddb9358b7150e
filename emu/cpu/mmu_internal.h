/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the flat tables (jit/flat.c) ask of the MMU. Machine thread only.
 */
#pragma once

#include "emu/cpu/cpu_internal.h"

/* The entry that a data access at the present privilege gets, after a walk that sets A and D bits; NULL when
 * it would fault, and then nothing has changed but A bits. */
struct tlb_entry *mmu_try_fill(struct cpu *cpu, uint32_t linear, bool write);
bool mmu_entry_is_global(const struct tlb_entry *e);
