/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The flat tables: where translated code finds guest memory. Theory: flat.c. Machine thread only.
 */
#pragma once

#include "emu/cpu/cpu_internal.h"

/* A region, one for each privilege; offsets in bytes. cpu->jit_tables, r14 in translated code, is FLAT_BIAS
 * behind its start: so that its low bits are the count by which shrx makes a page's number of an address. */
#define FLAT_BIAS   PHYS_PAGE_SHIFT
#define FLAT_READ4  0u          /* 8-byte addend by page << 2 | low two address bits: only 0 is filled */
#define FLAT_WRITE4 (32u << 20) /* the same */
#define FLAT_READ1  (64u << 20) /* 8-byte addend by page */
#define FLAT_WRITE1 (72u << 20)
#define FLAT_EXEC   (80u << 20) /* 4 bytes by page: number of the RAM page + 1 */
#define FLAT_CACHE  (84u << 20) /* struct flat_cached by the low 16 bits of EIP */
#define FLAT_SIZE   (85u << 20)

/* Where an indirect branch went: the offset in the page is a part of the index, so the page says all. */
struct flat_cached {
    uint32_t page; /* ~(number of the RAM page + 1); 0: none */
    uint32_t code; /* executable address of its entry for indirect branches */
};
_Static_assert(FLAT_CACHE + 65536 * sizeof(struct flat_cached) <= FLAT_SIZE, "the cache fits");

struct flat;

struct flat *flat_new(struct cpu *cpu); /* NULL: no address space */
void flat_free(struct flat *flat);
void *flat_region(struct flat *flat, unsigned table); /* TLB_SUPERVISOR, TLB_USER or TLB_EMPTY */
/* Counts what took translations of addresses away; while it stands still, code may rely on them. */
uint32_t flat_generation(const struct flat *flat);
const uint32_t *flat_generation_place(const struct flat *flat);
/* Bytes of the tables that were touched. */
size_t flat_touched(const struct flat *flat);

/* A plain access of `size` bytes at `linear` at the present privilege: the addend, after filling a table
 * (`dense`: FLAT_READ1 or FLAT_WRITE1),
 * or 0: a device, a fault, code on the page, across its end. Never faults. */
uintptr_t flat_fill(struct cpu *cpu, uint32_t linear, unsigned size, bool write, bool dense);
/* The same for reading, and for writing where nothing is left to be done for that, no D bit nor dirty flag to
 * be set. The addend when both are filled. */
uintptr_t flat_fill_both(struct cpu *cpu, uint32_t linear);
/* The addend of a page, if an access of some size is in the tables; else 0. */
uintptr_t flat_peek(const struct cpu *cpu, unsigned table, uint32_t page, bool write);
/* The page at `linear` holds RAM page `number` for fetches at the present privilege. False: translated code
 * will not find it so, for the soft TLB does not say it now, or alignment checks are armed. */
bool flat_fill_exec(struct cpu *cpu, uint32_t linear, uint32_t number);
/* The same for whatever RAM page is mapped there, after a walk. False: none, or it would fault. */
bool flat_find_exec(struct cpu *cpu, uint32_t linear);

/* ---- mmu.c tells; each does nothing without tables ---- */
void flat_flush(struct cpu *cpu, bool global_too);
void flat_flush_page(struct cpu *cpu, uint32_t linear);
/* Linear page `page` may no longer be written to when that leads to the RAM page at host address `host`. */
void flat_protect(struct cpu *cpu, uint32_t page, uintptr_t host);
/* The same for all linear pages. */
void flat_protect_anywhere(struct cpu *cpu, uintptr_t host);
/* Whether it may now, at any privilege. */
bool flat_writes(const struct cpu *cpu, uint32_t page, uintptr_t host);
/* No page may. */
void flat_protect_all(struct cpu *cpu);
