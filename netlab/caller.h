/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Who called netlab through sudo, and what that person may read. docs/security.md
 *
 * Being allowed to run netlab as root must not mean being allowed to read as root: a file that is named on
 * the command line or in a topology is opened with the rights of who called sudo. SUDO_UID says who that is;
 * it only ever takes rights away, so that nobody gains by setting it.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

struct caller {
    uid_t uid;
    gid_t gid;
};

/* False: not root, not by sudo, or an id that this user namespace does not know; `caller` is unchanged then.
 */
bool caller_find(struct caller *caller);

/* Is this id known in our user namespace? */
bool caller_is_mapped(uid_t uid, gid_t gid);

/* From enter to leave files are opened, made and removed with the caller's rights, in this thread and those
 * that it starts; with our own where nobody called by sudo. Processes that have no other threads then: the
 * groups are all threads'. Enter fails, and then changes nothing, where the rights cannot be taken on. */
struct caller_scope {
    bool is_in;
    int count;
    gid_t *groups;
};
bool caller_scope_enter(struct caller_scope *scope, GError **error);
void caller_scope_leave(struct caller_scope *scope);

/* open() of a regular file for reading, with the caller's rights where there is one. -1 with errno; EINVAL:
 * not a regular file. */
int caller_open(const char *path);

/* g_file_get_contents() of such a file. */
bool caller_get_contents(const char *path, char **data, gsize *size, GError **error);

/* May root work below this folder, making and removing files in it? It has to be root's (or ours) and
 * writable by nobody else; with `whole_way` what leads to it, too, but for sticky folders like /tmp. For
 * others than root only the folder itself is looked at. False with a sentence on what to do. `variable` is
 * the environment's name for it. What is not there yet is left out. */
bool caller_trust_folder(const char *folder, bool whole_way, const char *variable, GError **error);
