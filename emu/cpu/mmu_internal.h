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
struct tlb_entry *mmu_try_fetch(struct cpu *cpu, uint32_t linear); /* the same for a fetch */

/* Bits of an entry's flags. */
#define TLB_GLOBAL      (1u << 3)
#define TLB_OTHER_READ  (1u << 9) /* where there is a tag for it, the other privilege may as well */
#define TLB_OTHER_WRITE (1u << 10)

/* Whether the soft TLB grants such an access at the present privilege, to whatever is there; and whether the
 * page is known to be global, or a part of a large one. */
bool mmu_has_page(const struct cpu *cpu, uint32_t linear, bool write);
bool mmu_page_is_global(const struct cpu *cpu, uint32_t linear);
bool mmu_page_is_large(const struct cpu *cpu, uint32_t linear);
/* Whether `e` grants such an access to `linear` and there is no memory of the host's behind it. */
bool mmu_is_device(const struct tlb_entry *e, uint32_t linear, bool write);
