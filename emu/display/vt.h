/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A terminal of the VT100 family: bytes in, a screen of characters out. No pixels and no keys: console.c.
 */
#pragma once

#include "emu/display/surface.h"

#include <glib.h>
#include <stddef.h>

enum { VT_COLUMNS_LEAST = 20, VT_ROWS_LEAST = 4, VT_HISTORY_LINES = 1000 };

struct vt;

/* `answer` gets what the terminal says of itself (its position, what it is); NULL: nobody hears it. Sizes are
 * brought into [least, DISPLAY_…_MOST]. */
struct vt *vt_new(unsigned columns, unsigned rows,
                  void (*answer)(void *opaque, const uint8_t *data, size_t len), void *opaque);
void vt_free(struct vt *vt); /* NULL is allowed */
void vt_write(struct vt *vt, const uint8_t *data, size_t len);
/* Looks back by this many lines (negative: forward again). New output does not move what is looked at. */
void vt_scroll(struct vt *vt, int lines);
void vt_scroll_home(struct vt *vt);
/* What is seen. */
void vt_text(const struct vt *vt, struct display_text *text);
unsigned vt_rows(const struct vt *vt);
unsigned vt_columns(const struct vt *vt);
/* Changes with everything that may be seen. */
uint64_t vt_version(const struct vt *vt);
/* Whether cursor keys are to be sent as ESC O (DECCKM), and Enter as CR LF (LNM). */
bool vt_application_keys(const struct vt *vt);
bool vt_newline_mode(const struct vt *vt);
