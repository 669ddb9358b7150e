/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The guest-physical address space: which range of addresses is RAM, ROM or a device.
 *
 * Ranges are added by the board (machine/pc.c) and by PCI BARs; they can be moved, switched off, taken away
 * and have their readable and writable halves redirected (PAM shadowing). Where ranges overlap the higher
 * priority wins. Guest RAM is one host mapping (see physmap_ram), so that it can be backed by a file and
 * cloned.
 *
 * Everything runs on the machine's thread. Addresses are 64 bits wide; a PC's bus has 36 of them (PAE).
 * The CPU does not call phys_read() for ordinary accesses: its soft TLB asks physmap_lookup() once a page and
 * then goes to host memory directly. Devices (DMA) use phys_read()/phys_write()/phys_map().
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PHYS_PAGE_SHIFT 12
#define PHYS_PAGE_SIZE  (1u << PHYS_PAGE_SHIFT)
#define PHYS_PAGE_MASK  (PHYS_PAGE_SIZE - 1)

struct physmap;
struct phys_range;

/* A device's memory window. `offset` counts from the range's base; `size` is 1, 2 or 4; an access never
 * crosses the end of the range. Wider or misaligned guest accesses are split by the caller. Values are in
 * the low bits. NULL members read as all ones and ignore writes. */
struct mmio_ops {
    uint32_t (*read)(void *opaque, uint32_t offset, unsigned size);
    void (*write)(void *opaque, uint32_t offset, uint32_t value, unsigned size);
};

/* What stands at one physical page, as physmap_lookup() reports it. */
struct phys_slice {
    uint8_t *read;  /* host address of this very byte when reads hit memory, else NULL */
    uint8_t *write; /* the same for writes; NULL for ROM and devices */
    const struct mmio_ops
        *ops;            /* device behind the NULL half, NULL when nothing is there (reads give ones) */
    void *opaque;        /* its argument */
    uint32_t offset;     /* of this address in the device's range */
    uint64_t run;        /* bytes from here on for which all of this holds, at least 1 */
    bool is_ram;         /* guest RAM: `read` lies in physmap_ram(), and page flags exist */
    uint64_t ram_offset; /* offset in guest RAM when is_ram */
};

/* Makes an empty address space with `ram_size` bytes of zeroed guest RAM, page aligned, at least 1 MiB.
 * The RAM is not placed anywhere yet: see physmap_add_ram(). Fails with a message when it cannot be had. */
struct physmap *physmap_new(uint64_t ram_size, GError **error);
/* What RAM is made of, where it is not memory of this process alone. */
struct physmap_backing {
    const char *path; /* a folder: a file in it that has no name; or a file, made or overwritten; NULL: none */
    bool prealloc;    /* all of it is there from the start */
    bool apart;       /* of a file: RAM begins with what is in it, and the file stays as it is */
};
struct physmap *physmap_new_backed(uint64_t ram_size, const struct physmap_backing *backing, GError **error);
void physmap_free(struct physmap *pm);

/* Guest RAM as one host mapping, and its size in bytes. */
uint8_t *physmap_ram(struct physmap *pm);
uint64_t physmap_ram_size(const struct physmap *pm);
/* The memory file that guest RAM is a shared mapping of, or -1 where the host gives none. */
int physmap_ram_fd(const struct physmap *pm);
/* The `len` bytes of guest RAM from `ram_offset` on were replaced by another mapping. physmap_ram_unite()
 * brings such pages back into the memory file, contents kept, before anyone maps them a second time: those of
 * `len` bytes, and a few neighbours. */
void physmap_ram_replaced(struct physmap *pm, uint64_t ram_offset, uint64_t len);
bool physmap_ram_unite(struct physmap *pm, uint64_t ram_offset, uint64_t len);

/* Places `size` bytes of guest RAM, from `ram_offset` on, at `base`. */
struct phys_range *physmap_add_ram(struct physmap *pm, const char *name, uint64_t base, uint64_t size,
                                   uint64_t ram_offset, int priority);
/* Places host memory that guests read and cannot write; `data` stays the caller's and must outlive pm. */
struct phys_range *physmap_add_rom(struct physmap *pm, const char *name, uint64_t base, uint64_t size,
                                   const uint8_t *data, int priority);
struct phys_range *physmap_add_mmio(struct physmap *pm, const char *name, uint64_t base, uint64_t size,
                                    const struct mmio_ops *ops, void *opaque, int priority);

/* Moves a range, or switches it on and off. Both tell the listener. */
void physmap_range_move(struct physmap *pm, struct phys_range *range, uint64_t base);
void physmap_range_enable(struct physmap *pm, struct phys_range *range, bool enabled);
/* For RAM ranges: other bytes of guest RAM stand there from now on. */
void physmap_range_set_ram(struct physmap *pm, struct phys_range *range, uint64_t ram_offset);
/* Takes a range away for good; `range` is gone afterwards. Like a move, it tells the listener. */
void physmap_range_remove(struct physmap *pm, struct phys_range *range);
/* For RAM ranges: whether reads and writes are served by this range or by what lies below it (PAM). */
void physmap_range_set_access(struct physmap *pm, struct phys_range *range, bool readable, bool writable);
/* Several changes, one notification: changes between begin and end are published by end. Nests. */
void physmap_begin(struct physmap *pm);
void physmap_end(struct physmap *pm);

/* Called after each published change; the CPU flushes what it cached. */
void physmap_set_change_listener(struct physmap *pm, void (*changed)(void *opaque), void *opaque);

/* What stands at `addr`. Never fails: an empty address gives ops = NULL. */
void physmap_lookup(struct physmap *pm, uint64_t addr, struct phys_slice *out);

/* DMA and other slow accesses of any length. Devices are reached 1, 2 or 4 bytes at a time; holes read as
 * ones. Writes into pages that hold decoded code tell the code listener first. */
void phys_read(struct physmap *pm, uint64_t addr, void *buf, size_t len);
void phys_write(struct physmap *pm, uint64_t addr, const void *buf, size_t len);
uint8_t phys_read8(struct physmap *pm, uint64_t addr);
uint16_t phys_read16(struct physmap *pm, uint64_t addr);
uint32_t phys_read32(struct physmap *pm, uint64_t addr);
uint64_t phys_read64(struct physmap *pm, uint64_t addr);
void phys_write8(struct physmap *pm, uint64_t addr, uint8_t value);
void phys_write16(struct physmap *pm, uint64_t addr, uint16_t value);
void phys_write32(struct physmap *pm, uint64_t addr, uint32_t value);
void phys_write64(struct physmap *pm, uint64_t addr, uint64_t value);

/* Host pointer for zero-copy DMA to [addr, addr+*len) when it starts in RAM; *len is cut to what is
 * contiguous there. NULL when addr is not RAM. With `write` set, code pages in the run are reported first and
 * marked dirty. Valid until the machine next runs guest code or changes the map. */
uint8_t *phys_map(struct physmap *pm, uint64_t addr, size_t *len, bool write);

/* One flag byte per page of guest RAM, indexed by ram_offset >> 12. */
enum {
    PHYS_PAGE_CODE =
        1 << 0, /* decoded or translated code was made from bytes of this page (set by the CPU) */
    PHYS_PAGE_DIRTY = 1 << 1, /* written since the flag was last cleared (snapshots, display); see dirty.c */
};
uint8_t *physmap_page_flags(struct physmap *pm);

/* Called before a DMA write changes [ram_offset, +len) of a page flagged PHYS_PAGE_CODE. */
void physmap_set_code_listener(struct physmap *pm,
                               void (*write)(void *opaque, uint64_t ram_offset, size_t len), void *opaque);

/* Writes the map as text, a range a line (monitor `info mtree`). */
void physmap_describe(struct physmap *pm, GString *out);
