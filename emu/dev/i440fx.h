/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Intel 440FX host bridge, 00:00.0 (8086:1237): PAM shadow segments over 0xc0000–0xfffff and SMRAM.
 *
 * Owns the RAM ranges it switches. The board adds RAM below 0xa0000 and from 0x100000 up, and any ROM of
 * 0xc0000–0xfffff at a priority below I440FX_PAM_PRIORITY.
 */
#pragma once

#include "emu/dev/pci.h"

enum { I440FX_PAM_PRIORITY = 10, I440FX_SMRAM_PRIORITY = 20 };
enum { I440FX_PAM0 = 0x59, I440FX_PAM6 = 0x5f, I440FX_SMRAM = 0x72 };

struct i440fx;

/* Also keeps the bus's CONFADD register (0xcf8) in saved state. */
struct i440fx *i440fx_new(struct pci_bus *bus, GError **error);
/* Makes all of 0xc0000–0xfffff readable and writable RAM, as firmware leaves it. */
void i440fx_shadow_all(struct i440fx *host);
