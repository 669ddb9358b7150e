/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Small CDs with a handful of files in one folder: ISO 9660 (ECMA-119) with Rock Ridge names, as Linux, the
 * BSDs and others mount them.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

enum { ISO9660_FILES_MOST = 8, ISO9660_NAME_MOST = 27, ISO9660_LABEL_MOST = 32 };

struct iso9660_file {
    const char *name; /* small letters, digits and hyphens, at most ISO9660_NAME_MOST */
    const void *data;
    gsize size;         /* bytes, less than 2^31 */
    bool is_executable; /* 0555, else 0444 */
};

/* The image; its size is a multiple of 2048. The same files give the same bytes: there is no time in it.
 * NULL: a name or label that does not fit, two alike, or too much (a mistake of the caller, said in `error`).
 */
GBytes *iso9660_write(const char *label, const struct iso9660_file *files, size_t count, GError **error);
