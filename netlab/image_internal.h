/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * What the files of the image builder share: folders, the private apt root, reading packages.
 */
#pragma once

#include "netlab/image.h"

#include <json-glib/json-glib.h>

/* Folder that this user's images are built in; created when missing. */
char *image_own_folder(GError **error);
char *image_cache_folder(GError **error);
bool image_name_check(const char *name, GError **error);
bool image_remove_folder(const char *path, GError **error);
struct image *image_load(const char *folder, const char *name, GError **error);

/* ---- image_store.c ---- */
/* Writes image.json of a folder whose files are complete, with their sums and the image's id. */
bool image_seal(const char *images, const char *folder, JsonObject *metadata, GError **error);
/* The old image moves aside, the new one takes its place, the old one goes. */
bool image_put_in_place(const char *images, const char *work, const char *name, GError **error);
void image_remove_unused_blobs(const char *images);

/* ---- image_apt.c: Debian packages for i386, without root and without touching the system's apt ---- */
struct image_apt;
/* Package lists that were read within the hour are used as they are, unless `refresh`. */
struct image_apt *image_apt_open(bool refresh, image_progress *progress, void *opaque, GError **error);
void image_apt_close(struct image_apt *apt);
/* First real package that a metapackage depends on: "linux-image-686" → "linux-image-6.1.0-50-686". */
char *image_apt_dependency(struct image_apt *apt, const char *metapackage, GError **error);
/* Packages (with_dependencies: and all they depend on, but none that match one of `without`, which may be
 * NULL), downloaded unless they lie in the cache already; their SHA-256 is that of the signed package lists.
 * Returns the .deb paths. */
GPtrArray *image_apt_fetch(struct image_apt *apt, const char *const *packages, bool with_dependencies,
                           const char *const *without, GError **error);

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
/* Adds what image_tree_write_cpio() wrote: plain files, folders and links. */
bool image_tree_read_cpio(GHashTable *tree, const char *path, GError **error);
/* Writes the tree as an EROFS file system. */
bool image_tree_write_erofs(GHashTable *tree, const char *path, GError **error);

/* ---- image_kernel.c ---- */
/* Does the builder need this file of the kernel's package? For image_deb_unpack(). */
bool image_kernel_wants(const char *path, void *opaque);
/* Module name (with '_') → its struct image_file, owned by the tree. */
GHashTable *image_kernel_index(GHashTable *kernel_tree);
/* Adds a module and what it needs to the tree and, in the order of loading, to `load`; depth 0: it may be
 * built in. */
bool image_kernel_add_module(GHashTable *index, GHashTable *tree, const char *name, unsigned depth,
                             GString *load, GError **error);
/* Adds all modules that a lab may ask for, and modprobe's tables. */
void image_kernel_add_tables(GHashTable *kernel_tree, GHashTable *index, GHashTable *tree,
                             const char *release);

/* ---- image_recipe.c ---- */
struct recipe_file {
    char *path;    /* in the image, without the first slash */
    unsigned mode; /* permissions */
    GBytes *data;  /* of files */
    char *target;  /* of links */
};
struct recipe_user {
    char *name, *home; /* of a group: its members, with commas */
    unsigned uid;      /* and gid of a group of the same name */
};
struct recipe {
    char *name, *description;
    char *kernel;                  /* Debian metapackage */
    bool on_disk;                  /* root: disk */
    unsigned memory, least_memory; /* MiB */
    GPtrArray *packages, *without; /* char *: names; patterns of packages that are not wanted */
    GPtrArray *leave_out;          /* char *: paths without the first slash */
    GPtrArray *modules;            /* char *: there for insmod, with "root: disk" anyway for modprobe */
    GPtrArray *links, *files;      /* struct recipe_file * */
    GPtrArray *users, *groups;     /* struct recipe_user * */
    GPtrArray *start;              /* char *: commands for each start of a machine */
    char *text;
};
void recipe_free(struct recipe *recipe);
/* Complaints name the place: "my.recipe:3:10: …". */
struct recipe *recipe_parse(const char *shown, const char *text, gsize length, GError **error);
/* A recipe of ours by name, or a file ("./my.recipe"). */
struct recipe *recipe_load(const char *name, GError **error);
