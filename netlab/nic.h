/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A running node's NIC: its cable and its line, through the machine's QMP socket.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* In these, `directory` is the node's and `index` the NIC's place in it (0 …). */
bool nic_set_link(const char *directory, unsigned index, bool up, GError **error);
/* Words of emu/net/impair.h for what the node sends, "off", or NULL: only look. How the line is then, a text
 * of a few lines. Owned by the caller. */
char *nic_impair(const char *directory, unsigned index, const char *words, GError **error);
/* Is its link up? */
bool nic_get_link(const char *directory, unsigned index, bool *up, GError **error);
