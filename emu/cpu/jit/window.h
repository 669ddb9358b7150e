/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The windows: guest memory by the host's own page tables, for hot code. Theory: window.c. Machine thread.
 */
#pragma once

#include "emu/cpu/cpu_internal.h"

struct window;

/* `code` and `size`: the executable mapping whose faults are the window's, `writable` what to add to get to
 * the writable one. NULL where guest RAM is no memory file or there is no address space: then nothing is ever
 * hot. */
struct window *window_new(struct cpu *cpu, const uint8_t *code, ptrdiff_t writable, size_t size);
void window_free(struct window *window);

/* Host address of linear address 0 in a table's window. */
uint8_t *window_base(const struct window *window, unsigned table);
/* Whether the host lets a process set GS: then hot code finds the window there. */
bool window_has_gs(void);
/* This thread is about to run translated code with the window of `table`. */
void window_enter(struct window *window, unsigned table);
/* Whether hot code may be entered: there is credit. 0 or 1; asked when translated code is entered. */
const uint64_t *window_on(const struct window *window, unsigned table);
/* For tests: as much credit as ever. */
void window_set_unlimited(struct window *window, bool unlimited);
/* For tests: so many mappings at most. */
void window_set_most(struct window *window, unsigned mappings);
/* Whether it has begun to rest since this was asked last. */
bool window_take_rest(struct window *window, unsigned table);
/* Time went by: perhaps there is credit again. */
void window_refresh(struct cpu *cpu);

/* An instruction of hot code, as offsets in the code memory: faults in [start, end) go on at `stub`. Sites
 * are added in ascending order, and are at least WINDOW_SITE_LEAST long; false: no room. */
#define WINDOW_SITE_LEAST 5
bool window_site_add(struct window *window, uint32_t start, uint32_t end, uint32_t stub);
void window_sites_clear(struct window *window);

/* flat.c tells: a slot of this page was cleared. Takes effect at window_settle(), which comes before anything
 * else happens. NULL is no window. */
void window_forget(struct window *window, unsigned table, uint32_t page);
void window_settle(struct window *window);
/* All slots were: takes effect at once. */
void window_forget_all(struct window *window);
/* All slots are about to be. */
void window_flush(struct window *window);

/* Faults, pages mapped and unmapped, how often a credit was used up, accesses that became jumps. */
struct window_counts {
    uint64_t faults, mapped, unmapped, rests, patched;
};
struct window_counts window_counts(const struct window *window);
