/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Debug console: a port whose bytes go to a character back end; reads give 0xe9, which is how a guest knows.
 */
#pragma once

#include "emu/char/backend.h"
#include "emu/dev/device.h"
#include "emu/mem/portio.h"

enum { DEBUGCON_PORT = 0xe9, DEBUGCON_READBACK = 0xe9, DEBUGCON_SEABIOS_PORT = 0x402 };

struct debugcon;

/* iobase: 0xe9 (-debugcon), 0x402 (SeaBIOS). port is not owned; NULL swallows. */
struct debugcon *debugcon_new(struct portio *io, const char *id, uint16_t iobase, struct char_port *port);
