/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * National 16550A serial port: eight I/O ports, one interrupt, a character back end.
 */
#pragma once

#include "emu/char/backend.h"
#include "emu/dev/device.h"
#include "emu/machine/clock.h"
#include "emu/mem/portio.h"

struct uart;

/* id "serial0"; base 0x3f8…; port is not owned and may be NULL (nothing plugged in). */
struct uart *uart_new(struct portio *io, struct clock *clock, const char *id, uint16_t base,
                      const struct irq_line *irq, struct char_port *port);
