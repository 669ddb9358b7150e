/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Machines that go to a file or another process, and come from one: QEMU's migrate and -incoming.
 *
 * The machine stands still while it is written (stop and copy): a second or so, and not a fraction of one. It
 * is left in the state postmigrate with its images let go of, and `cont` takes it up again; a transfer that
 * fails or is cancelled lets it go on as before. The control room answers all the time. Machine thread only.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct machine;
struct control_migration;

/* Begins; how it goes on is told by machine_migration(). fd: of "fd:NAME", adopted on success, or -1. */
bool machine_migrate(void *machine, const char *uri, int fd, GError **error);
bool machine_migrate_cancel(void *machine);
bool machine_migrate_incoming(void *machine, const char *uri, int fd, GError **error);
/* False: there has been none. */
bool machine_migration(void *machine, struct control_migration *out);
/* -incoming, while the machine is built: listens, or begins to read. */
bool machine_incoming_build(struct machine *machine, GError **error);
/* What a command of the control room is refused for now; false: nothing. */
bool machine_is_moving(const struct machine *machine, GError **error);
void machine_migrate_free(struct machine *machine);
