/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * fw_cfg: how the machine hands data to firmware and guests (selector 0x510, data 0x511, DMA 0x514).
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/mem/physmap.h"
#include "emu/mem/portio.h"

enum {
    FWCFG_SIGNATURE = 0x00,
    FWCFG_ID = 0x01,
    FWCFG_UUID = 0x02,
    FWCFG_RAM_SIZE = 0x03,
    FWCFG_NOGRAPHIC = 0x04,
    FWCFG_CPUS = 0x05,
    FWCFG_MACHINE_ID = 0x06,
    FWCFG_KERNEL_ADDR = 0x07,
    FWCFG_KERNEL_SIZE = 0x08,
    FWCFG_KERNEL_CMDLINE = 0x09,
    FWCFG_INITRD_ADDR = 0x0a,
    FWCFG_INITRD_SIZE = 0x0b,
    FWCFG_BOOT_DEVICE = 0x0c,
    FWCFG_NUMA = 0x0d,
    FWCFG_BOOT_MENU = 0x0e,
    FWCFG_MAX_CPUS = 0x0f,
    FWCFG_KERNEL_ENTRY = 0x10,
    FWCFG_KERNEL_DATA = 0x11,
    FWCFG_INITRD_DATA = 0x12,
    FWCFG_CMDLINE_ADDR = 0x13,
    FWCFG_CMDLINE_SIZE = 0x14,
    FWCFG_CMDLINE_DATA = 0x15,
    FWCFG_SETUP_ADDR = 0x16,
    FWCFG_SETUP_SIZE = 0x17,
    FWCFG_SETUP_DATA = 0x18,
    FWCFG_FILE_DIR = 0x19,
    FWCFG_FILE_FIRST = 0x20,
    FWCFG_FILES_MAX = 256,
};
enum { FWCFG_NAME_MAX = 55 };

struct fwcfg;

/* Comes with the signature, the id (DMA offered) and an empty directory. */
struct fwcfg *fwcfg_new(struct portio *io, struct physmap *mem);
/* Sets what a numbered key reads; a copy is kept. A key set twice has the last value. */
void fwcfg_set_bytes(struct fwcfg *fw, uint16_t key, const void *data, size_t len);
void fwcfg_set_u16(struct fwcfg *fw, uint16_t key, uint16_t value);
void fwcfg_set_u32(struct fwcfg *fw, uint16_t key, uint32_t value);
void fwcfg_set_u64(struct fwcfg *fw, uint16_t key, uint64_t value);
/* Adds a named file ("opt/org.example/name", at most FWCFG_NAME_MAX characters); a copy is kept. The same
 * name again replaces the content. Fails when the name is bad or the directory full. */
bool fwcfg_add_file(struct fwcfg *fw, const char *name, const void *data, size_t len, GError **error);
/* refresh() is called before a guest begins to read the file `name`: it may set it again, with the same size.
 * One file can have it. */
void fwcfg_set_refresh(struct fwcfg *fw, const char *name, void (*refresh)(void *opaque), void *opaque);
void fwcfg_describe(const struct fwcfg *fw, GString *out);
