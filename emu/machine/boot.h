/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Starting a kernel: Linux by its 32-bit boot protocol, or Multiboot 1, both without firmware; Linux behind
 * firmware, at its 16-bit entry.
 *
 *   boot_file_open() → boot_identify() → linux_plan() / multiboot_plan() → linux_place() / multiboot_place()
 *
 * A plan is made from the files and the amount of RAM alone, so that everything that can be wrong is found
 * before a machine exists; placing it needs the machine's memory, and is done again after each reset. Files
 * are mapped into guest RAM where their pages fit it (bootfile.c), else read straight into it. Every field of
 * a file is hostile, and one that shrinks underneath ends nothing.
 */
#pragma once

#include "emu/cpu/cpu.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct physmap;

/* ---- files (bootfile.c) ---- */

struct boot_file;

/* Opens a file (or reads a pipe to its end). `what` begins errors: "kernel", "initrd". */
struct boot_file *boot_file_open(const char *what, const char *path, GError **error);
/* The same from memory; the bytes are copied. */
struct boot_file *boot_file_new(const char *what, const void *data, size_t size, GError **error);
void boot_file_free(struct boot_file *file);
uint64_t boot_file_size(const struct boot_file *file);
const char *boot_file_path(const struct boot_file *file);
/* Reads exactly len bytes at offset. */
bool boot_file_read(struct boot_file *file, uint64_t offset, void *buf, size_t len, GError **error);
/* Reads as many of len bytes as there are. */
size_t boot_file_peek(struct boot_file *file, uint64_t offset, void *buf, size_t len);
/* Puts [offset, +len) of the file at guest-physical `addr`, which must be RAM: by mapping it there,
 * privately, as far as whole pages go, else as a copy. */
bool boot_file_place(struct boot_file *file, uint64_t offset, uint64_t len, struct physmap *mem,
                     uint64_t addr, GError **error);
/* Clears guest RAM; false when a part of it is none. */
bool boot_clear(struct physmap *mem, uint64_t addr, uint64_t len);

enum boot_kind { BOOT_LINUX, BOOT_MULTIBOOT };
/* What kind of kernel it is. Everything else is an error that says what the file is and what would do. */
bool boot_identify(struct boot_file *kernel, enum boot_kind *kind, GError **error);

/* ---- the board a kernel lands on ---- */

enum {
    BOOT_LOW_RAM_END = 0x9fc00, /* conventional memory ends where an EBDA begins */
    BOOT_SHADOW_RAM = 0xc0000,  /* RAM too, once firmware has switched it; its tables are in it */
    BOOT_HIGH_RAM = 0x100000,
};

struct boot_board {
    uint64_t ram_below_4g; /* bytes, from address 0 */
    uint64_t ram_above_4g; /* bytes, from 4 GiB */
    bool steady;           /* the same each time: no seed of the host's */
    bool screen;           /* a VGA shows 80×25 characters */
    uint32_t rsdp;         /* address of the ACPI RSDP, 0: no ACPI */
};

/* The memory map as firmware would report it: types as in ACPI 15 (1 RAM, 2 reserved). */
struct boot_e820 {
    uint64_t start, size;
    uint32_t type;
};
enum { BOOT_E820_RAM = 1, BOOT_E820_RESERVED = 2, BOOT_E820_MOST = 8 };
unsigned boot_e820(const struct boot_board *board, struct boot_e820 out[BOOT_E820_MOST]);
/* Writes the flat descriptors both protocols start with (code 0x10, data 0x18) to `addr`, and fills in the
 * register state that goes with them; everything else is zero. */
void boot_flat_state(struct physmap *mem, uint32_t addr, struct cpu_boot_state *state);

/* ---- Linux (linuxboot.c) ---- */

struct linux_plan {
    uint16_t version;      /* of the boot protocol */
    uint32_t setup_size;   /* bytes of real-mode code at the front of the file */
    uint64_t kernel_size;  /* bytes of protected-mode code after it */
    uint32_t kernel_start; /* where it is loaded and entered */
    uint64_t kernel_end;   /* one past what it uses before it knows its memory map */
    uint32_t initrd_start, initrd_size;
    uint32_t cmdline_most; /* bytes without the final zero */
    uint8_t header[0x290]; /* of the file, from 0 */
    size_t header_end;
};

/* initrd and cmdline may be NULL. */
bool linux_plan(struct boot_file *kernel, struct boot_file *initrd, const char *cmdline,
                const struct boot_board *board, struct linux_plan *plan, GError **error);
bool linux_place(const struct linux_plan *plan, struct boot_file *kernel, struct boot_file *initrd,
                 const char *cmdline, const struct boot_board *board, struct physmap *mem,
                 struct cpu_boot_state *state, GError **error);

/* ---- Linux behind firmware (linuxrom.c) ---- */

#define LINUX_ROM "genroms/linux" /* the option ROM's file of fw_cfg */
struct fwcfg;

struct linux_rom_plan {
    uint16_t version;                    /* of the boot protocol */
    uint32_t setup_addr, setup_size;     /* real-mode code */
    uint32_t cmdline_addr, cmdline_size; /* with the final zero */
    uint32_t kernel_addr, kernel_size;   /* the rest of the file */
    uint32_t initrd_addr, initrd_size;
};

/* Whether a file with Linux's setup header cannot be entered without firmware. */
bool linux_needs_firmware(struct boot_file *kernel);
/* The same of a path, before anything is opened; what cannot be read or read twice needs none. */
bool boot_needs_firmware(const char *path);
/* initrd and cmdline may be NULL. */
bool linux_rom_plan(struct boot_file *kernel, struct boot_file *initrd, const char *cmdline,
                    const struct boot_board *board, struct linux_rom_plan *plan, GError **error);
/* Gives all parts, and the ROM that loads them, to fw_cfg: firmware comes by after each reset. */
bool linux_rom_offer(const struct linux_rom_plan *plan, struct boot_file *kernel, struct boot_file *initrd,
                     const char *cmdline, struct fwcfg *fw, GError **error);

/* ---- Multiboot (multiboot.c) ---- */

enum { MULTIBOOT_SEGMENTS_MOST = 32, MULTIBOOT_MODULES_MOST = 64 };

struct multiboot_module {
    struct boot_file *file; /* not owned */
    const char *arguments;  /* not owned; the module's own string */
    uint32_t start;
};

struct multiboot_plan {
    struct multiboot_segment {
        uint64_t offset, file_size;
        uint32_t addr;
        uint64_t size;
    } segments[MULTIBOOT_SEGMENTS_MOST];
    unsigned segment_count;
    uint32_t entry, info; /* info: where the information block goes */
    uint32_t info_size;
    unsigned module_count;
    struct multiboot_module modules[MULTIBOOT_MODULES_MOST];
};

/* modules: `count` of them with file and arguments filled in. */
bool multiboot_plan(struct boot_file *kernel, const struct multiboot_module *modules, unsigned count,
                    const char *cmdline, const struct boot_board *board, struct multiboot_plan *plan,
                    GError **error);
bool multiboot_place(const struct multiboot_plan *plan, struct boot_file *kernel, const char *cmdline,
                     const struct boot_board *board, struct physmap *mem, struct cpu_boot_state *state,
                     GError **error);
