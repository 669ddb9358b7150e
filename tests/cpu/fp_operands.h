/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Random operands for the floating-point tests: plain numbers, and often the ones where something happens
 * (zeros, denormals, infinities, NaNs of all kinds, unnormals, edges of each format's range, halfway cases,
 * integer limits). One sequence from one seed, so that a failing case can be had again.
 */
#pragma once

#include "emu/cpu/cpu_internal.h"

#include <stdbool.h>
#include <stdint.h>

extern uint64_t fp_random_state; /* set it to the seed */

uint64_t random64(void);
unsigned random_below(unsigned n);           /* 0 … n − 1 */
bool chance(unsigned percent);               /* true that often */
uint64_t special_significand(unsigned bits); /* right-justified */
uint32_t random_f32(void);
uint64_t random_f64(void);
union fpu_reg random_f80(void);
union xmm random_xmm(void);
uint16_t random_fcw(void);
void random_bcd(uint8_t *p);
