/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* Disks and CDs of a node: from the topology to its machine's payload (machine_drives.h has the form). */
#pragma once

#include "netlab/topology.h"

#include <json-glib/json-glib.h>

/* Of all nodes of a topology together. */
struct media_context {
    GPtrArray *existing; /* struct store_object *: what is there of this lab; NULL: nothing */
    GHashTable *trials;  /* as wanted.c has it: what was tried → what came of it, "" when good */
    GHashTable *users;   /* a file → who has it, struct media_user * */
};
/* Empty; its `trials` are the caller's. */
void media_context_init(struct media_context *context, GPtrArray *existing, GHashTable *trials);
void media_context_clear(struct media_context *context);

/* What the node starts with, whatever its own media. */
struct media_image {
    const char *name;            /* NULL: no image */
    const char *kernel, *initrd; /* NULL: none */
    unsigned memory;             /* MiB */
    bool has_disk, has_cdrom, has_cloud_init;
};

struct media {
    JsonArray *list;        /* NULL: none; owned by the caller */
    const char *order;      /* of -boot: "c", "cd", "dc"; NULL: as the emulator does it. Static */
    bool replaces_cdrom;    /* the image's CD is not in the drive */
    JsonObject *cloud_init; /* what the seed needs besides (seed.h); NULL: no seed. Owned by the caller */
};

/* Looks at the files, and has the emulator try each. False after complaints. */
bool wanted_media(const struct topology *topology, const struct topology_node *node,
                  const struct media_image *image, struct media_context *context, struct media *out,
                  struct topology_report *report);
