/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The port by which guests speak to VMware, as far as its mouse goes: positions instead of motion.
 *
 * Linux's psmouse, Windows drivers and DOS ones look for it. So the pointer of a VNC viewer or a window and
 * the guest's own are at one place.
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/mem/portio.h"

struct vmport;

/* The board's end of it. Registers by number: 0 eax, 1 ecx, 2 edx, 3 ebx. */
struct vmport_board {
    void *opaque;
    uint32_t (*get)(void *opaque, unsigned reg);
    void (*set)(void *opaque, unsigned reg, uint32_t value);
    void (*nudge)(void *opaque);   /* the PS/2 mouse says something, so that its driver looks here */
    void (*changed)(void *opaque); /* vmport_absolute() is another */
    uint32_t ram_mib;
};

struct vmport *vmport_new(struct portio *io, const struct vmport_board *board);
/* A driver is there and wants positions. */
bool vmport_absolute(const struct vmport *vmport);
/* The pointer is at x, y (0 to 65535); buttons as i8042_mouse() has them. */
void vmport_pointer(struct vmport *vmport, unsigned x, unsigned y, int dz, unsigned buttons);
