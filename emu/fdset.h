/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Files that were opened by somebody else and passed to this process (-add-fd, QMP add-fd), by the names
 * /dev/fdset/N. They are in sets; of a set that one is taken whose access mode is the one wanted, so that
 * the name of a set may stand wherever a file is named.
 *
 * Descriptors belong to the process, and so do the sets. A user gets a duplicate: closing either of the two
 * leaves the other. Machine thread only.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { FDSET_DESCRIPTORS_MOST = 1024 }; /* in all sets together */

/* Puts fd, which it takes over, into a set; *set is -1: a new one, whose number it becomes. */
bool fdset_add(int fd, int64_t *set, const char *opaque, GError **error);
/* Takes one (fd -1: all) out of a set and closes it; whoever opened it before keeps it. */
bool fdset_remove(int64_t set, int fd, GError **error);
/* Each descriptor, by set. */
void fdset_foreach(void (*each)(void *opaque, int64_t set, int fd, const char *text), void *opaque);

/* open(2), and files of sets: -1 with errno, which is EACCES when the set has none of this access mode. What
 * O_TRUNC, O_APPEND, O_NONBLOCK and O_DIRECT ask for is done to the passed file, too. */
int fdset_open(const char *path, int flags, mode_t mode);
/* Whether a path is a set's, so that nothing is made, renamed or looked for in its folder. */
bool fdset_is_path(const char *path);
/* g_file_get_contents(), and files of sets, from their beginning; of at most 256 MiB (else G_IO_ERROR_FAILED
 * and the like), so that a device without an end is no trap. */
bool fdset_get_contents(const char *path, char **data, size_t *len, GError **error);
