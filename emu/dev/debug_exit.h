/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * isa-debug-exit: a write of v to its port ends the machine with exit code (v << 1) | 1.
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/mem/portio.h"

enum { DEBUG_EXIT_IOBASE = 0x501, DEBUG_EXIT_IOSIZE = 2 }; /* QEMU's defaults */

struct debug_exit;

/* iosize 1, 2 or 4, else it fails. `ended` is called from inside the port write. */
struct debug_exit *debug_exit_new(struct portio *io, const char *id, uint32_t iobase, uint32_t iosize,
                                  void (*ended)(void *opaque, int code), void *opaque, GError **error);
