/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A PC's parallel port (LPT1 at 0x378, IRQ 7) with a printer on it whose paper is a character back end.
 */
#pragma once

#include "emu/char/backend.h"
#include "emu/dev/device.h"
#include "emu/mem/portio.h"

enum { PARALLEL_PORTS = 3, PARALLEL_IRQ = 7 };
/* Where BIOSes and drivers look, in this order. */
extern const uint16_t parallel_base[PARALLEL_PORTS];

struct parallel;

/* Claims iobase to iobase + 2 (at most 0xfffd). port is not owned; NULL: nothing is plugged in. */
struct parallel *parallel_new(struct portio *io, const char *id, uint16_t iobase, const struct irq_line *irq,
                              struct char_port *port);
