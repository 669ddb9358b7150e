/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* A frame in a few words, as tcpdump says it: for a look at what passes, not for study. */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* Appends e.g. "10.1.0.1 > 10.1.0.2: ICMP echo request, id 3, seq 1" for an Ethernet frame of which
 * `captured` of `length` bytes are there. Printable ASCII only, at most some 200 characters. */
void frame_text_add(GString *out, const uint8_t *data, size_t captured, size_t length);
