/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The disks and CDs that a node has besides its image's: from the payload's "media" to words for the
 * emulator.
 *
 *   "media": [{"at": 0, "kind": "disk", "file": "/labs/a/disk.qcow2", "format": "qcow2",
 *              "below": [{"file": "/labs/a/base.qcow2", "format": "raw"}]},
 *             {"at": 1, "kind": "disk", "file": "/labs/a/data.img", "format": "raw", "persistent": true,
 *              "size": 1073741824},
 *             {"at": 3, "kind": "disk", "size": 2147483648},
 *             {"at": 2, "kind": "cdrom", "file": "/labs/a/debian.iso"},
 *             {"at": 3, "kind": "cdrom", "seed": true}]
 *
 * "at" is the place on IDE (2 × channel + device). A disk's writes go to a layer of its own without a name,
 * which the emulator makes and the kernel takes away with it, unless it is persistent. One without a file is
 * a sparse file in the machine's folder, with such a layer. Where the machine runs as another user, the files
 * are opened here and passed (-add-fd); that user needs no right to them.
 */
#pragma once

#include "netlab/machine.h"

#include <json-glib/json-glib.h>

/* Descriptors to pass. */
struct machine_fds {
    GArray *fds; /* int: ours, to be closed by who owns this */
    int first;   /* number of fds[0] in the child */
};

/* Appends -add-fd and -drive of one medium to `argv` (char *). fds NULL: for show, nothing is opened. *set:
 * number of the next set, from 1; counted up. The images below are looked at again: they must be the ones
 * that stand in the payload. */
bool machine_drive_add(GPtrArray *argv, JsonObject *medium, const struct machine_user *user,
                       struct machine_fds *fds, unsigned *set, GError **error);
/* All of a payload, and "boot". */
bool machine_drives_add(GPtrArray *argv, JsonObject *payload, const struct machine_user *user,
                        struct machine_fds *fds, GError **error);
/* Makes what has to be there before: empty disks and the seed of cloud-init in `directory`, persistent files
 * that are not there. */
bool machine_drives_prepare(const char *node, JsonObject *payload, const char *directory,
                            const struct machine_user *user, GError **error);
/* In what the emulator says: the files' names instead of the sets'. */
void machine_drives_restore_paths(JsonObject *payload, GString *text);

/* The elements of "media"; NULL: none. Belongs to the payload. */
JsonArray *machine_media(JsonObject *payload);
