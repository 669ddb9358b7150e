/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Snapshots of the machine in its images: QEMU's savevm, loadvm, delvm and -loadvm. Every drive that is
 * written to for good takes part, and the first one's image has the machine's state (saved.h), behind the end
 * of its disk. The machine stands still meanwhile. Machine thread only.
 *
 * `devices`: drives by name (of a drive, a device or a node), ends with NULL; NULL: all. `state`: the one
 * whose image has the machine's state; NULL: the first.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

struct machine;
struct block_snapshot;

/* tag NULL: one is made up of the date. replace: of one that has this name the new one takes the place, once
 * it is complete; else it is refused. On failure there is none, and the machine goes on. */
bool machine_snapshot_save(void *machine, const char *tag, const char *state, const char *const *devices,
                           bool replace, GError **error);
/* tag: a name, or an id. What can be known before anything is changed is refused before; a machine of which
 * some was changed already is stopped (internal-error). */
bool machine_snapshot_load(void *machine, const char *tag, const char *state, const char *const *devices,
                           GError **error);
bool machine_snapshot_delete(void *machine, const char *tag, const char *const *devices, GError **error);
/* The one with this number of the drive; false: no more. *whole: the machine can be loaded from it (it is in
 * the images of all drives, and a state is in the first one's). */
bool machine_snapshot_get(void *machine, const char *drive, unsigned index, const struct block_snapshot **out,
                          bool *whole);
/* Of one drive's disk alone; deleting: by name, id, or both, and `gone` is told what it was. */
bool machine_snapshot_disk(void *machine, const char *device, const char *name, GError **error);
bool machine_snapshot_disk_delete(void *machine, const char *device, const char *id, const char *name,
                                  void (*gone)(void *opaque, const struct block_snapshot *snapshot),
                                  void *opaque, GError **error);
/* -loadvm, when the machine is built. */
bool machine_loadvm_build(struct machine *machine, GError **error);
