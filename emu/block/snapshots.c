/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Snapshots within a drive's image, for the machine's thread: see backend.h. What is under way is settled
 * first, so that the image is idle. How an image does it is its format's (qcow2_snapshot.c).
 */
#include "emu/block/image.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

static struct image *idle_with_snapshots(struct block *b)
{
    struct image *image = block_idle_image(b);
    return image && image->ops->snapshots ? image : NULL;
}

/* For what only the machine's thread changes. */
static struct image *present_with_snapshots(const struct block *b)
{
    struct image *image = block_present_image(b);
    return image && image->ops->snapshots ? image : NULL;
}

enum block_snapshots block_snapshot_kind(struct block *b)
{
    struct image *image = block_present_image(b);
    if (!image || image->read_only)
        return BLOCK_SNAPSHOTS_NEEDLESS;
    if (image->ops->forget)
        return block_has_passing_writes(b) ? BLOCK_SNAPSHOTS_PASSING : BLOCK_SNAPSHOTS_NEEDLESS;
    return image->ops->snapshots ? BLOCK_SNAPSHOTS_KEPT : BLOCK_SNAPSHOTS_NONE;
}

unsigned block_snapshot_count(struct block *b)
{
    struct image *image = present_with_snapshots(b);
    return image ? image->ops->snapshots->count(image) : 0;
}

const struct block_snapshot *block_snapshot_get(struct block *b, unsigned i)
{
    struct image *image = present_with_snapshots(b);
    return image ? image->ops->snapshots->get(image, i) : NULL;
}

const struct block_snapshot *block_snapshot_find(struct block *b, const char *name, const char *id)
{
    for (unsigned i = block_snapshot_count(b); i-- > 0;) {
        const struct block_snapshot *s = block_snapshot_get(b, i);
        if ((!name || g_str_equal(s->name, name)) && (!id || g_str_equal(s->id, id)))
            return s;
    }
    return NULL;
}

static bool none(struct block *b, GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                "Device '%s' has no image that keeps snapshots; a qcow2 image does", block_id(b));
    return false;
}

bool block_snapshot_take(struct block *b, const struct block_snapshot *what, char **id, GError **error)
{
    struct image *image = idle_with_snapshots(b);
    return image ? image->ops->snapshots->take(image, what, id, error) : none(b, error);
}

bool block_snapshot_apply(struct block *b, const char *id, GError **error)
{
    struct image *image = idle_with_snapshots(b);
    return image ? image->ops->snapshots->apply(image, id, error) : none(b, error);
}

bool block_snapshot_remove(struct block *b, const char *id, GError **error)
{
    struct image *image = idle_with_snapshots(b);
    return image ? image->ops->snapshots->remove(image, id, error) : none(b, error);
}

static bool failed(struct block *b, int code, const char *what, GError **error)
{
    if (code)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(code),
                    "Device '%s': %s the machine's state: %s%s", block_id(b), what, g_strerror(code),
                    code == ENOSPC || code == EFBIG ? " (make room on the host's disk)" : "");
    return !code;
}

bool block_state_write(struct block *b, const void *data, size_t len, GError **error)
{
    struct image *image = idle_with_snapshots(b);
    return image ? failed(b, image->ops->snapshots->state_write(image, data, len), "writing", error)
                 : none(b, error);
}

void block_state_drop(struct block *b)
{
    struct image *image = idle_with_snapshots(b);
    if (image)
        image->ops->snapshots->state_drop(image);
}

bool block_state_read(struct block *b, const char *id, uint64_t offset, void *buf, size_t len, GError **error)
{
    struct image *image = idle_with_snapshots(b);
    return image ? failed(b, image->ops->snapshots->state_read(image, id, offset, buf, len), "reading", error)
                 : none(b, error);
}
