/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Host-differential test: one instruction, once on this very processor and once on our CPU.
 *
 * The native side (diff_native.c) is a static 32-bit program. Both sides map the same arena of pages at the
 * same linear address, with the same page rights, and have the same segments (modify_ldt there, a real LDT
 * here). A case is complete: registers, flags, selectors, code bytes, and windows of memory that are written
 * before and read back after. It ends with a trap or a fault in any event: either EFLAGS.TF is set
 * (single-step trap after the one instruction, EIP compared) or INT3 follows the instruction.
 *
 * Batches of cases lie in shared memory; the native side goes from one to the next inside its signal handler,
 * letting sigreturn load the next case's registers, at about 2 µs a case.
 *
 * This header is compiled for both sides: fixed-width types only.
 */
#pragma once

#include <stdint.h>

#define DIFF_ARENA      0x40000000u /* linear, both sides */
#define DIFF_PAGES      18
#define DIFF_ARENA_SIZE (DIFF_PAGES * 4096u)
#define DIFF_BATCH_AT   0x30000000u /* native side only */
#define DIFF_STACK_AT   0x20000000u /* native side only: for signals */

/* Page rights, one letter a page: x code, w data, r read-only, - not there. The first 64 KiB are what a
 * 16-bit segment reaches. */
#define DIFF_RIGHTS "xx-wwwwrwwww-wwwww"

/* LDT: X(name, base, limit in bytes or pages, 32-bit, contents as modify_ldt's: 0 data 1 expand-down 2 code,
 * read-only data, limit counts pages) */
#define DIFF_SEGMENTS(X)                                                                                     \
    X(CODE16, DIFF_ARENA, 0xffff, 0, 2, 0, 0)                                                                \
    X(DATA16, DIFF_ARENA, 0xffff, 0, 0, 0, 0)                                                                \
    X(SHORT32, DIFF_ARENA, 0x5fff, 1, 0, 0, 0)                                                               \
    X(DOWN32, DIFF_ARENA, 0x3fff, 1, 1, 0, 0)                                                                \
    X(READONLY32, DIFF_ARENA, 0x10, 1, 0, 1, 1)                                                              \
    X(CODE32, DIFF_ARENA, 0xffff, 1, 2, 0, 0)                                                                \
    X(OFFSET32, DIFF_ARENA - 0x12345, 0xfffff, 1, 0, 0, 1)                                                   \
    X(DOWN16, DIFF_ARENA, 0x2fff, 0, 1, 0, 0)

enum diff_segment {
#define X(name, ...) DIFF_SEG_##name,
    DIFF_SEGMENTS(X)
#undef X
        DIFF_SEG_COUNT
};
#define DIFF_SELECTOR(name) (DIFF_SEG_##name << 3 | 7)
#define DIFF_FLAT_CODE      0x23 /* Linux's, and the same in our GDT */
#define DIFF_FLAT_DATA      0x2b

enum { DIFF_ES, DIFF_CS, DIFF_SS, DIFF_DS, DIFF_FS, DIFF_GS };

#define DIFF_WINDOWS     4
#define DIFF_WINDOW_DATA 2048
#define DIFF_CODE        64
#define DIFF_BATCH       96

struct diff_window {
    uint32_t addr; /* linear, within writable pages */
    uint16_t len;
    uint16_t at; /* in data[] */
};

struct diff_case {
    uint32_t gpr[8]; /* eax ecx edx ebx esp ebp esi edi */
    uint32_t eip, eflags;
    uint16_t selector[6]; /* es cs ss ds fs gs */
    uint32_t code_at;     /* linear */
    uint8_t code_len;     /* of code[], INT3 included */
    uint8_t window_count;
    uint8_t want_fx; /* return the FXSAVE image of the x87/SSE state */
    uint8_t insn_len;
    uint32_t row; /* INSN_id; not for the native side */
    uint8_t code[DIFF_CODE];
    struct diff_window window[DIFF_WINDOWS];
    uint8_t data[DIFF_WINDOW_DATA];
};

struct diff_result {
    uint32_t gpr[8];
    uint32_t eip, eflags;
    uint16_t selector[6];
    uint32_t trap, error, cr2;
    uint8_t fx[512];
    uint8_t data[DIFF_WINDOW_DATA];
};

struct diff_batch {
    uint32_t count;
    uint32_t failed; /* set by the native side when it cannot work: 1 LDT, 2 memory */
    struct diff_case cases[DIFF_BATCH];
    struct diff_result results[DIFF_BATCH];
};

/* File descriptors the native side finds open. */
enum { DIFF_FD_ARENA = 3, DIFF_FD_BATCH, DIFF_FD_GO, DIFF_FD_DONE };
