/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The A20 gate: one latch that the keyboard controller's output port and port 0x92 both write; the last write
 * wins, and both read it back.
 */
#pragma once

#include "emu/dev/device.h"

struct a20;

/* line: level = address line 20 is let through. Power-on: let through. */
struct a20 *a20_new(const struct irq_line *line);
void a20_set(struct a20 *gate, bool enabled);
bool a20_get(const struct a20 *gate);
