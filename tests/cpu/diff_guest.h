/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Our side of the host-differential test, and what the generator and its extensions share. Theory: diff.h.
 */
#pragma once

#include "emu/cpu/cpu_internal.h"
#include "emu/cpu/insn.h"
#include "tests/cpu/diff.h"

#include <glib.h>

/* ---- our CPU with the arena, in user mode (diff_guest.c) ---- */
struct diff_guest;
struct diff_guest *diff_guest_new(void);
void diff_guest_free(struct diff_guest *guest);
struct cpu *diff_guest_cpu(struct diff_guest *guest);
uint8_t *diff_guest_arena(struct diff_guest *guest);
/* Makes the memory of the case's windows what the result says. */
void diff_guest_adopt(struct diff_guest *guest, const struct diff_case *c, const struct diff_result *result);
/* Runs one case to its trap or fault. */
void diff_guest_execute(struct diff_guest *guest, const struct diff_case *c, struct diff_result *out);

/* ---- random numbers ---- */
struct diff_random {
    uint64_t state;
};
uint64_t diff_random64(struct diff_random *r);
uint32_t diff_below(struct diff_random *r, uint32_t limit); /* 0 … limit − 1 */
bool diff_one_in(struct diff_random *r, uint32_t n);
uint32_t diff_value(struct diff_random *r); /* prefers edges: 0, −1, 0x80, 0x7fff, … */

/* ---- building a case ---- */

/* What the case's segments are; bases and limits follow from diff.h's table. */
struct diff_frame {
    bool code32, stack32;
    uint32_t cs_base;
};
struct diff_gen {
    struct diff_random random;
    const struct insn_row *row;
    enum insn_id id;
    struct diff_case *c;
    struct diff_frame frame;
    uint32_t data_used; /* of c->data */
    /* the instruction as it was put together */
    struct insn insn;
    uint8_t bytes[16];
    unsigned modrm_at, disp_at, disp_size, imm_at;
};

/* Base of the segment that a selector of the test names; its valid offsets. */
uint32_t diff_segment_base(uint16_t selector);

/* Adds a window of random data around [addr, +len), cut to what is writable and to what fits. */
void diff_add_window(struct diff_gen *g, uint32_t addr, uint32_t len);
/* The bytes of data[] that stand for linear address `addr`, NULL when no window covers [addr, +len). */
uint8_t *diff_window_at(struct diff_gen *g, uint32_t addr, uint32_t len);
/* A linear address in the arena's data; near page ends and forbidden pages now and then. */
uint32_t diff_data_address(struct diff_gen *g);

/* Where the memory operand of g->insn lies now. */
uint32_t diff_operand_address(const struct diff_gen *g);

/* Chooses mode, selectors, random registers and flags. `flat`: only flat 32-bit segments. */
void diff_begin_case(struct diff_gen *g, bool flat);
/* Puts the row's instruction together in g->bytes and decodes it to g->insn: prefixes, ModRM, displacement,
 * immediates random, address registers set so that the memory operand lies at diff_data_address() (with its
 * window). Returns false when that did not work out; try again. */
bool diff_build_insn(struct diff_gen *g);
/* Appends code; the instruction itself by diff_put_insn(). */
void diff_put_code(struct diff_gen *g, const void *bytes, unsigned len);
void diff_put_insn(struct diff_gen *g);
/* Places the code and ends it: by single step (only when it is one instruction) or by INT3. */
void diff_end_case(struct diff_gen *g, bool single_step);

/*
 * A part of the instruction set with a generator of its own. The first domain that wants a row gets it.
 * `mask` may take what must not be compared out of both results; say there why.
 */
struct diff_domain {
    const char *name;
    bool (*wants)(const struct insn_row *row, enum insn_id id);
    bool (*generate)(struct diff_gen *g);
    bool (*mask)(const struct diff_case *c, struct diff_result *ours, struct diff_result *native);
};
extern const struct diff_domain diff_integer_domain, diff_system_domain, diff_sequence_domain;
