/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * EDID: what a monitor says of itself (VESA E-EDID 1.4).
 */
#pragma once

#include <stdint.h>

enum { EDID_BYTES = 128, EDID_SIZE_LEAST = 640, EDID_HEIGHT_LEAST = 400, EDID_SIZE_MOST = 4088 };

/* A monitor whose preferred mode is this one, brought into [EDID_…_LEAST, EDID_SIZE_MOST]. */
void edid_make(unsigned width, unsigned height, uint8_t out[EDID_BYTES]);
