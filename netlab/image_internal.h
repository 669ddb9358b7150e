/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * What the files of the image builder share: folders, the private apt root, reading packages.
 */
#pragma once

#include "netlab/image.h"

/* Folder that this user's images are built in; created when missing. */
char *image_own_folder(GError **error);
char *image_cache_folder(GError **error);
bool image_name_check(const char *name, GError **error);
bool image_recipe_exists(const char *name);
bool image_remove_folder(const char *path, GError **error);
struct image *image_load(const char *folder, const char *name, GError **error);

/* ---- image_apt.c: Debian packages for i386, without root and without touching the system's apt ---- */
struct image_apt;
struct image_apt *image_apt_open(image_progress *progress, void *opaque, GError **error);
void image_apt_close(struct image_apt *apt);
/* First real package that a metapackage depends on: "linux-image-686" → "linux-image-6.1.0-50-686". */
char *image_apt_dependency(struct image_apt *apt, const char *metapackage, GError **error);
/* Downloads packages (with_dependencies: and all they depend on); returns the .deb paths. */
GPtrArray *image_apt_fetch(struct image_apt *apt, const char *const *packages, bool with_dependencies,
                           GError **error);

/* ---- image_deb.c ---- */
struct image_file {
    char *path;    /* relative, no leading "./" */
    unsigned mode; /* S_IFMT and permissions */
    unsigned major, minor;
    GBytes *data; /* regular files */
    char *target; /* symlinks; hard links become copies */
};
/* Everything in an image: path → struct image_file, in a hash table that owns both. */
GHashTable *image_tree_new(void);
void image_tree_add(GHashTable *tree, const char *path, unsigned mode, GBytes *data, const char *target);
void image_tree_add_device(GHashTable *tree, const char *path, unsigned mode, unsigned major, unsigned minor);
/* Unpacks a .deb's files for which wanted() is true (NULL: all). Hostile paths ("..", absolute) are refused.
 */
bool image_deb_unpack(const char *deb, bool (*wanted)(const char *path, void *opaque), void *opaque,
                      GHashTable *tree, GError **error);
/* Writes the tree as a newc cpio archive (what Linux unpacks as its initramfs). */
bool image_tree_write_cpio(GHashTable *tree, const char *path, GError **error);
