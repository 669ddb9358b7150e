/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Files and folders into a guest and out of it: a tar stream through a session, with the guest's own tar at
 * the other end, and the SHA-256 of the stream compared at its end. The guest needs no network.
 *
 * What comes out of a guest is not trusted: nothing is written outside of the place that was named, through
 * no symbolic link, and only files, folders and links; the bits that give rights (set-user-ID) are left out.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

struct copy_place {
    const char *node, *directory; /* the node's name and folder; NULL: on the host */
    const char *path;
};
struct copy_result {
    guint files;   /* and folders and links */
    guint skipped; /* devices, sockets, names that lead elsewhere */
    guint64 bytes; /* of files */
};

/* Where `to` is a folder, what is copied gets its own name in it. Errors say which path of which node. */
bool copy_run(const struct copy_place *from, const struct copy_place *to, int cancel_fd,
              struct copy_result *result, GError **error);
