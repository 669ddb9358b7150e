/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Code page 437, the character set of a PC's text modes, and Unicode.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

gunichar codepage_to_unicode(uint8_t code);
/* The code of a character, 0 when the page has none of that look; ASCII is itself. */
uint8_t codepage_from_unicode(gunichar character);
