/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A VGA with the Bochs display extension, as a PCI function (1234:1111).
 *
 * Its memory is a part of guest RAM (physmap_ram) that the board sets aside behind what the guest has as RAM,
 * so that BAR 0 is plain memory to the CPU. Nothing is drawn unless somebody asks: see vga_draw().
 */
#pragma once

#include "emu/dev/pci.h"
#include "emu/display/surface.h"
#include "emu/machine/clock.h"

struct vga;

enum { VGA_MEMORY_LEAST = 1 << 20, VGA_MEMORY_MOST = 256 << 20, VGA_FONT_BYTES = 256 * 16 };

struct vga_config {
    const char *id;
    int slot;            /* -1: the first free one */
    uint64_t ram_offset; /* of the card's memory in physmap_ram() */
    uint32_t memory;     /* bytes, a power of two */
    const uint8_t *rom;  /* option ROM, a power of two bytes, outlives the card; NULL: none */
    uint32_t rom_size;
    unsigned width, height; /* preferred by the monitor, as EDID says; 0: no EDID */
};

struct vga *vga_new(struct pci_bus *bus, struct portio *io, struct clock *clock,
                    const struct vga_config *config, GError **error);

/* Draws what the guest shows. `changed` is the smallest rectangle around what is not as the surface had it,
 * and the whole surface after a change of size. False when nothing has changed. `steady`: as if nothing
 * blinked. */
bool vga_draw(struct vga *vga, struct display_surface *surface, bool steady, struct display_rect *changed);
/* The characters on the screen; false in a graphics mode, whose size is then in *width and *height. */
bool vga_text(struct vga *vga, struct display_text *text, unsigned *width, unsigned *height);

/* What a firmware's video BIOS would leave behind: 80×25 characters, an empty screen, the cursor at its top
 * left. font: 256 characters of 8×16 dots, or NULL when there is none (characters are then invisible). */
void vga_start_text(struct vga *vga, const uint8_t *font);
/* The 8×16 font in a video BIOS, found by the shape of its letters; NULL when it has none. */
const uint8_t *vga_find_font(const uint8_t *rom, uint32_t size);
