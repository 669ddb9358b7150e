/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Device registers as rows. A register file is an array of 32-bit values; a table of rows says which offset
 * names which register, what reset puts there, which bits a guest may write and what else happens.
 *
 * regs_read()/regs_write() are what a device's MMIO handlers call. An offset without a row is traced and
 * reads as zero: unknown is visible, never silent.
 */
#pragma once

#include "emu/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reg_row {
    uint32_t offset;  /* of the first byte in the window */
    uint16_t index;   /* in the device's array of values */
    uint16_t count;   /* 0 or 1: one register; n: n consecutive 32-bit registers */
    const char *name; /* the datasheet's */
    uint32_t reset;
    uint32_t writable; /* bits a write stores */
    uint32_t w1c;      /* bits cleared by writing one */
    bool clear_on_read;
    /* Instead of the stored value / after storing. `i` is the register's place in a run of `count`.
     * on_write gets the raw value written; the array already holds the masked result. */
    uint32_t (*on_read)(void *device, unsigned i);
    void (*on_write)(void *device, unsigned i, uint32_t value);
};

struct reg_file {
    const char *name;
    enum trace_category trace;
    const struct reg_row *rows; /* sorted by offset */
    size_t count;
};

/* Checks once, at start, that rows are sorted and do not overlap; g_error() otherwise (a programming error).
 */
void regs_check(const struct reg_file *file, size_t value_count);
void regs_reset(const struct reg_file *file, uint32_t *values);
/* 32-bit aligned access; narrower ones are assembled by the caller (the e1000 takes whole words only). */
uint32_t regs_read(const struct reg_file *file, uint32_t *values, void *device, uint32_t offset);
void regs_write(const struct reg_file *file, uint32_t *values, void *device, uint32_t offset, uint32_t value);
/* name=value lines. */
const struct reg_row *regs_find(const struct reg_file *file, uint32_t offset);
