/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Limits of a drive's rate, from the inside of this room: see throttle.c. What others need is in backend.h.
 */
#pragma once

#include "emu/block/backend.h"

enum { BLOCK_BURST_SECONDS_MOST = 1000000 };
#define BLOCK_RATE_MOST UINT64_C(1000000000000000)

/* ns until a request may begin; 0: now. */
int64_t block_throttle_wait(struct block_throttle *throttle, bool write);
/* It begins. */
void block_throttle_take(struct block_throttle *throttle, bool write, uint64_t bytes);
struct clock *block_throttle_clock(struct block_throttle *throttle);
