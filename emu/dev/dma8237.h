/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The pair of Intel 8237A DMA controllers (0x00–0x0f, 0xc0–0xdf) with page registers (0x80–0x8f). No device
 * of this board asks for DMA; the registers are there because firmware and operating systems program them.
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/mem/portio.h"

struct dma8237;

struct dma8237 *dma8237_new(struct portio *io);
