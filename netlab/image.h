/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 *
 * Guest images: what `image: mini` in a topology means on this machine.
 *
 * An image is a folder <images>/NAME with `image.json` and the files it names (kernel, initrd). Users' own
 * images are found first ($NETLAB_IMAGE_DIR, else $XDG_DATA_HOME/netlab/images for users and
 * /var/lib/netlab/images for root), then the system's (/var/lib/netlab/images). Images are built whole beside
 * their place and then renamed, so a failed or interrupted build leaves the old image, or none.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct image {
    char *name;
    char *folder;      /* absolute */
    char *kernel;      /* absolute path of a bzImage; NULL: boots from disk or CD */
    char *initrd;      /* absolute path, or NULL */
    char *disk;        /* absolute path of a disk image, or NULL; read-only to the machine */
    bool disk_is_root; /* the disk is the root of our start-up program and never written; else each machine
                          writes to a layer of its own */
    bool disk_is_qcow2;
    char *cdrom;  /* absolute path of an ISO, or NULL */
    char *append; /* kernel command line */
    char *id;     /* SHA-256 of its contents, hexadecimal; "" of images that an earlier version built */
    char *description;
    char *kernel_release;  /* "6.1.0-41-686" */
    char *built;           /* ISO 8601 */
    unsigned memory;       /* MiB a node gets when the topology does not say */
    unsigned least_memory; /* MiB below which it will not boot */
    uint64_t size;         /* bytes on disk */
    bool takes_disks;      /* has drivers for disks of a node, and its own is found beside them; of imported
                              images nothing is known, and it is assumed */
    bool has_cloud_init;   /* its guest reads a NoCloud seed */
    bool has_agent;        /* speaks our start-up protocol on the second serial port and reports ready */
};

#define IMAGE_ERROR image_error_quark()
GQuark image_error_quark(void);
enum image_error {
    IMAGE_ERROR_UNKNOWN,
    IMAGE_ERROR_DAMAGED,
    IMAGE_ERROR_BUILD,
    IMAGE_ERROR_NO_SPACE,
    IMAGE_ERROR_NAME,
    IMAGE_ERROR_RECIPE,
    IMAGE_ERROR_IMPORT
};

void image_free(struct image *image);

/* Finds an image by name. Unknown: IMAGE_ERROR_UNKNOWN, and the message lists the images there are and how to
 * build one. Owned by the caller. */
struct image *image_find(const char *name, GError **error);
/* All images, own ones first, sorted by name: GPtrArray of struct image *, freeing its elements. */
GPtrArray *image_list(GError **error);
/* Removes an image of one's own. */
bool image_remove(const char *name, GError **error);

/* Reads all files of an image and holds them against what was built. */
bool image_verify(const struct image *image, GError **error);

/* Told now and then during a build: a step began ("kernel", "Downloading linux-image-686"); never from
 * another thread. */
typedef void image_progress(void *opaque, const char *step, const char *text);

struct image_build_options {
    const char *name;         /* image to make; NULL: the recipe's own name */
    bool refresh;             /* build although it is there and up to date */
    image_progress *progress; /* may be NULL */
    void *opaque;
};
/* Builds by recipe ("mini", …: image_recipes_describe; or a file: "./my.recipe"). Uses apt-get and the
 * machine's own apt sources in a private apt root, needs no root, changes nothing of the system. *made (may be
 * NULL) becomes the image's name, the caller's; *changed (may be NULL) false when it was up to date. */
bool image_build(const char *recipe, const struct image_build_options *options, char **made, bool *changed,
                 GError **error);
/* One line a recipe: name and what it is. */
void image_recipes_describe(GString *out);
bool image_recipe_exists(const char *name);
/* The text of one of our recipes, to copy and change. */
char *image_recipe_text(const char *name, GError **error);

struct image_import_options {
    const char *name;
    const char *const *files;                           /* ISO, raw, qcow2; NULL-terminated, may be NULL */
    const char *kernel, *initrd, *append, *description; /* NULL where there is none */
    unsigned memory;                                    /* MiB a node gets; 0: 256 */
    bool agent;      /* the guest runs a guest agent on its second serial port and says when it is ready */
    bool cloud_init; /* the guest has cloud-init */
    bool replace;    /* an image of that name may go */
    image_progress *progress;
    void *opaque;
};
/* Copies people's own files into an image. */
bool image_import(const struct image_import_options *options, GError **error);
