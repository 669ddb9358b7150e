/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * System control port A (0x92): bit 1 is the fast A20 gate, a rising bit 0 resets the machine.
 */
#pragma once

#include "emu/dev/a20.h"
#include "emu/dev/device.h"
#include "emu/mem/portio.h"

struct port92;

struct port92 *port92_new(struct portio *io, struct a20 *a20, const struct irq_line *reset);
