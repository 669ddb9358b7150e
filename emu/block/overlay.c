/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * snapshot=on: an image that can be written and stays as it was.
 *
 * What is written goes to the same place of a temporary, sparse file without a name; a bit for each cluster
 * says that it is there. The first write to a cluster that does not cover all of it copies the rest from
 * below, in that order: data, then the bit. Nothing has to survive, so flushes do nothing.
 */
#include "emu/block/image.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

enum { CLUSTER = 64 << 10 };

struct overlay {
    struct image image;
    struct image *base;
    struct block_file *file;
    uint8_t *present; /* a bit a cluster */
    uint8_t *cluster; /* room for one */
};

static bool is_present(const struct overlay *o, uint64_t n)
{
    return o->present[n >> 3] >> (n & 7) & 1;
}

/* Cuts [offset, +len) at the end of the cluster. */
static size_t cluster_run(uint64_t offset, size_t len)
{
    return MIN(len, (size_t)(CLUSTER - offset % CLUSTER));
}

static int overlay_read(struct image *image, uint64_t offset, void *buf, size_t len)
{
    struct overlay *o = (struct overlay *)image;
    uint8_t *to = buf;
    while (len) {
        size_t run = cluster_run(offset, len);
        int code = is_present(o, offset / CLUSTER) ? block_file_read(o->file, offset, to, run, NULL)
                                                   : o->base->ops->read(o->base, offset, to, run);
        if (code)
            return code;
        to += run;
        offset += run;
        len -= run;
    }
    return 0;
}

static int overlay_write(struct image *image, uint64_t offset, const void *buf, size_t len)
{
    struct overlay *o = (struct overlay *)image;
    const uint8_t *from = buf;
    while (len) {
        size_t run = cluster_run(offset, len);
        uint64_t n = offset / CLUSTER, start = n * CLUSTER;
        size_t whole = (size_t)MIN((uint64_t)CLUSTER, image->size - start);
        int code;
        if (is_present(o, n) || run == whole) {
            code = block_file_write(o->file, offset, from, run);
        } else {
            code = o->base->ops->read(o->base, start, o->cluster, whole);
            if (!code) {
                memcpy(o->cluster + offset % CLUSTER, from, run);
                code = block_file_write(o->file, start, o->cluster, whole);
            }
        }
        if (code)
            return code;
        o->present[n >> 3] |= (uint8_t)(1u << (n & 7));
        from += run;
        offset += run;
        len -= run;
    }
    return 0;
}

static int overlay_flush(struct image *image)
{
    return 0;
}

/* What was written goes into the image below, which is opened for writing meanwhile. */
static bool overlay_commit(struct image *image, GError **error)
{
    struct overlay *o = (struct overlay *)image;
    uint64_t clusters = (image->size + CLUSTER - 1) / CLUSTER;
    int code = 0;
    if (!image_reopen(&o->base, false, BLOCK_CACHE_WRITEBACK, error))
        return false;
    for (uint64_t n = 0; !code && n < clusters; n++) {
        size_t len = (size_t)MIN((uint64_t)CLUSTER, image->size - n * CLUSTER);
        if (is_present(o, n) && !(code = block_file_read(o->file, n * CLUSTER, o->cluster, len, NULL)))
            code = o->base->ops->write(o->base, n * CLUSTER, o->cluster, len);
    }
    if (!code && !(code = o->base->ops->flush(o->base)))
        memset(o->present, 0, (size_t)(clusters / 8 + 1));
    if (!image_reopen(&o->base, true, BLOCK_CACHE_WRITEBACK, error))
        return false;
    if (code)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(code),
                    "%s: committing: %s; nothing is lost: try again", image->path, g_strerror(code));
    return !code;
}

static void overlay_forget(struct image *image)
{
    struct overlay *o = (struct overlay *)image;
    memset(o->present, 0, (size_t)((image->size + CLUSTER - 1) / CLUSTER / 8 + 1));
    block_file_punch(o->file, 0, image->size);
}

static void overlay_close(struct image *image)
{
    struct overlay *o = (struct overlay *)image;
    image_close(o->base);
    block_file_close(o->file);
    g_free(o->present);
    g_free(o->cluster);
    g_free(o);
}

struct image *overlay_new(struct image *base, GError **error)
{
    struct block_file *file = block_file_temporary(error);
    uint64_t clusters = (base->size + CLUSTER - 1) / CLUSTER;
    uint8_t *present = file ? g_try_malloc0((gsize)(clusters / 8 + 1)) : NULL;
    if (!present) {
        if (file)
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                        "%s: no memory for snapshot=on of an image that large", base->path);
        block_file_close(file);
        image_close(base);
        return NULL;
    }
    struct overlay *o = g_new0(struct overlay, 1);
    static const struct image_ops ops = {.format = "raw",
                                         .read = overlay_read,
                                         .write = overlay_write,
                                         .flush = overlay_flush,
                                         .commit = overlay_commit,
                                         .forget = overlay_forget,
                                         .close = overlay_close};
    o->image.ops = &ops;
    o->image.size = base->size;
    o->image.path = g_strdup(base->path);
    o->image.backing = g_strdup(base->path);
    o->base = base;
    o->file = file;
    o->present = present;
    o->cluster = g_malloc(CLUSTER);
    return &o->image;
}
