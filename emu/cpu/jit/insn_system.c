/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What a kernel does all the time: flags as a whole, segment registers, control registers, fences, far
 * transfers (SDM vol. 2; vol. 3, chapters 2, 5 and 6).
 */
#include "emu/cpu/jit/translate.h"

bool emit_system_instruction(struct translation *t)
{
    return false;
}
