/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Disk and CD files of people: what they are, and for qcow2 images the files below them.
 *
 * Read-only; everything is opened with the rights of who called sudo. Files are hostile: headers are bounded
 * and checked here as far as names go; the emulator checks the rest when it is asked to (trial.h). QEMU's
 * docs/interop/qcow2.txt has the format.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define DISK_ERROR disk_error_quark()
GQuark disk_error_quark(void);
enum disk_error {
    DISK_ERROR_FILE,  /* missing, not a file, not readable */
    DISK_ERROR_FORMAT /* readable, but no disk (CD) that machines can use */
};

enum { DISK_DEPTH_MOST = 16 }; /* images below each other */

struct disk_file {
    char *path;         /* absolute; of those below with all links resolved */
    const char *format; /* "raw", "qcow2"; static */
    uint64_t device, inode;
};
void disk_file_free(void *file);

/* A disk image and what is below it: struct disk_file *, the image itself first. Images below must lie in the
 * folder of the first one or in `within` (NULL: anywhere), or beneath these: an image that somebody else made
 * must not show its machine any file of the person. any_content: a raw disk
 * may hold whatever it likes, as one does that its machine writes to. */
GPtrArray *disk_chain(const char *path, const char *within, bool any_content, GError **error);

/* Is it a CD image (ISO 9660 or UDF), and whole? */
bool disk_check_cd(const char *path, GError **error);

/* Opens a file that a machine is to write to: like caller_open(), for reading and writing. */
int disk_open_writable(const char *path);
/* May it be written to, or (missing) be made? */
bool disk_check_writable(const char *path, GError **error);
/* Makes it, `size` bytes without content, unless it is there. */
bool disk_make(const char *path, uint64_t size, GError **error);
