/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Raw images: byte n of the disk is byte n of the file, and how files of any format are told apart.
 *
 * A size that is no multiple of a sector is rounded up: the missing bytes read as zeros, and writing them
 * makes the file longer. A file that was cut short while it is in use gives I/O errors where nothing is left,
 * not zeros: a guest that reads zeros believes them.
 *
 * When the user named no format and the file is none of those we know, it is taken for raw; a guest could
 * then write a header of another format, whose backing file is any file of the host, and wait for the next
 * start. So such a write to the first sector is refused ("guarded").
 */
#include "emu/block/image.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

struct raw {
    struct image image;
    struct block_file *file;
    bool guarded;
};

static uint64_t raw_size(const struct block_file *file)
{
    return (file->size + BLOCK_SECTOR - 1) & ~(uint64_t)(BLOCK_SECTOR - 1);
}

static int raw_read(struct image *image, uint64_t offset, void *buf, size_t len)
{
    struct raw *raw = (struct raw *)image;
    size_t beyond = 0;
    int code = block_file_read(raw->file, offset, buf, len, &beyond);
    return code ? code : beyond >= BLOCK_SECTOR ? EIO : 0;
}

static int raw_write(struct image *image, uint64_t offset, const void *buf, size_t len)
{
    struct raw *raw = (struct raw *)image;
    if (raw->guarded && offset == 0 && len >= IMAGE_PROBE) {
        const char *foreign = NULL;
        if (image_probe(buf, &foreign) != BLOCK_FORMAT_RAW)
            return EPERM;
    }
    return block_file_write(raw->file, offset, buf, len);
}

static int raw_flush(struct image *image)
{
    return block_file_sync(((struct raw *)image)->file);
}

static int raw_discard(struct image *image, uint64_t offset, uint64_t len)
{
    return block_file_punch(((struct raw *)image)->file, offset, len);
}

static void raw_close(struct image *image)
{
    block_file_close(((struct raw *)image)->file);
    g_free(image);
}

static int raw_zero(struct image *image, uint64_t offset, uint64_t len, bool unmap)
{
    struct raw *raw = (struct raw *)image;
    if (offset + len > raw->file->size) /* what is behind the end has to be made first */
        return ENOTSUP;
    return block_file_zero(raw->file, offset, len, unmap);
}

static int raw_resize(struct image *image, uint64_t size)
{
    int code = block_file_resize(((struct raw *)image)->file, size);
    if (!code)
        image->size = size;
    return code;
}

static bool raw_hold(struct image *image, bool held, GError **error)
{
    struct raw *raw = (struct raw *)image;
    if (!held)
        block_file_unlock(raw->file);
    else if (!block_file_lock(raw->file, error))
        return false;
    image->size = raw_size(raw->file);
    return true;
}

#define RAW_OPS                                                                                              \
    .format = "raw", .read = raw_read, .write = raw_write, .flush = raw_flush, .zero = raw_zero,             \
    .resize = raw_resize, .hold = raw_hold, .close = raw_close
static const struct image_ops raw_ops = {RAW_OPS};
static const struct image_ops raw_discard_ops = {RAW_OPS, .discard = raw_discard};

struct image *raw_new(struct block_file *file, bool guarded, bool discard, GError **error)
{
    if (!file->size) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s: the image is empty; give it a size, as truncate -s 1G does", file->path);
        block_file_close(file);
        return NULL;
    }
    struct raw *raw = g_new0(struct raw, 1);
    raw->image.ops = discard ? &raw_discard_ops : &raw_ops;
    raw->image.size = raw_size(file);
    raw->image.read_only = file->read_only;
    raw->image.path = g_strdup(file->path);
    raw->file = file;
    raw->guarded = guarded;
    return &raw->image;
}

/* ---- which format ---- */

enum block_format image_probe(const uint8_t bytes[IMAGE_PROBE], const char **foreign)
{
    static const struct {
        const char *magic, *name;
        unsigned offset, len;
    } known[] = {
        {"KDMV", "VMDK", 0, 4},
        {"COWD", "VMDK", 0, 4},
        {"vhdxfile", "VHDX", 0, 8},
        {"conectix", "VHD", 0, 8},
        {"QED\0", "QED", 0, 4},
        {"\x7f\x10\xda\xbe", "VDI", 64, 4},
        {"OOOO CD", "CD image in a format of its own", 0, 7},
    };
    *foreign = NULL;
    if (!memcmp(bytes, "QFI\xfb", 4)) {
        if (bytes[7] != 1)
            return BLOCK_FORMAT_QCOW2;
        *foreign = "qcow (version 1)";
        return BLOCK_FORMAT_AUTO;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        if (!memcmp(bytes + known[i].offset, known[i].magic, known[i].len)) {
            *foreign = known[i].name;
            return BLOCK_FORMAT_AUTO;
        }
    }
    return BLOCK_FORMAT_RAW;
}

/* ---- nothing ---- */

enum { NULL_SIZE = 1 << 30 };

static int null_read(struct image *image, uint64_t offset, void *buf, size_t len)
{
    memset(buf, 0, len);
    return 0;
}

static int null_write(struct image *image, uint64_t offset, const void *buf, size_t len)
{
    return 0;
}

static int null_flush(struct image *image)
{
    return 0;
}

static void null_close(struct image *image)
{
    g_free(image);
}

/* null-co:// and null-aio://: reads as zeros, forgets what is written. For measuring. */
static struct image *null_new(const char *path, bool read_only)
{
    static const struct image_ops ops = {.format = "null-co",
                                         .read = null_read,
                                         .write = null_write,
                                         .flush = null_flush,
                                         .close = null_close};
    struct image *image = g_new0(struct image, 1);
    image->ops = &ops;
    image->path = g_strdup(path);
    image->size = NULL_SIZE;
    image->read_only = read_only;
    return image;
}

struct image *image_open(const char *path, enum block_format format, bool read_only, enum block_cache cache,
                         unsigned flags, unsigned depth, const struct block_below *below, GError **error)
{
    if (depth == 0 && (g_str_has_prefix(path, "null-co://") || g_str_has_prefix(path, "null-aio://")) &&
        format != BLOCK_FORMAT_QCOW2)
        return null_new(path, read_only);
    if (g_str_has_prefix(path, "file:"))
        path += strlen("file:");
    struct block_file *file = block_file_open(path, read_only, cache, error);
    if (!file)
        return NULL;
    bool guessed = format == BLOCK_FORMAT_AUTO;
    bool locks = !(flags & IMAGE_UNLOCKED) &&
                 (guessed || format == BLOCK_FORMAT_QCOW2 || !(flags & IMAGE_IDLE));
    if (locks && !block_file_lock(file, error)) {
        block_file_close(file);
        return NULL;
    }
    if (guessed) {
        uint8_t first[IMAGE_PROBE];
        const char *foreign;
        int code = block_file_read(file, 0, first, sizeof first, NULL);
        if (code) {
            g_set_error(error, G_IO_ERROR, g_io_error_from_errno(code), "%s: reading its first bytes: %s",
                        path, g_strerror(code));
            block_file_close(file);
            return NULL;
        }
        format = image_probe(first, &foreign);
        if (format == BLOCK_FORMAT_AUTO) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                        "%s: looks like a %s image; raw and qcow2 are read here: convert it, as by "
                        "`qemu-img convert -O qcow2`, or say format=raw if it is a disk all the same",
                        path, foreign);
            block_file_close(file);
            return NULL;
        }
    }
    if (format == BLOCK_FORMAT_QCOW2)
        return qcow2_new(file, flags & IMAGE_DISCARD, flags & IMAGE_COPY_ON_READ, cache, depth, below, error);
    return raw_new(file, guessed, flags & IMAGE_DISCARD, error);
}

bool image_hold(struct image *image, GError **error)
{
    return !image->ops->hold || image->ops->hold(image, true, error);
}

void image_relax(struct image *image)
{
    if (image->ops->hold)
        image->ops->hold(image, false, NULL);
}

/* ---- opened anew ---- */

static int lost_io(struct image *image, uint64_t offset, void *buf, size_t len)
{
    return EIO;
}

static int lost_write(struct image *image, uint64_t offset, const void *buf, size_t len)
{
    return EIO;
}

static int lost_flush(struct image *image)
{
    return EIO;
}

static void lost_close(struct image *image)
{
    g_free(image);
}

struct image *image_lost(const char *path, uint64_t size)
{
    static const struct image_ops ops = {
        .format = "raw", .read = lost_io, .write = lost_write, .flush = lost_flush, .close = lost_close};
    struct image *image = g_new0(struct image, 1);
    image->ops = &ops;
    image->path = g_strdup(path);
    image->size = size;
    image->read_only = true;
    return image;
}

bool image_reopen(struct image **image, bool read_only, enum block_cache cache, GError **error)
{
    g_autofree char *path = g_strdup((*image)->path);
    uint64_t size = (*image)->size;
    bool before = (*image)->read_only;
    enum block_format format =
        g_str_equal((*image)->ops->format, "qcow2") ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
    image_close(*image); /* its lock would be in the way */
    *image = image_open(path, format, read_only, cache, 0, 1, NULL, error);
    if (*image)
        return true;
    *image = image_open(path, format, before, cache, 0, 1, NULL, NULL);
    if (!*image)
        *image = image_lost(path, size);
    return false;
}

void image_close(struct image *image)
{
    if (!image)
        return;
    g_free(image->path);
    g_free(image->backing);
    g_free(image->damage);
    image->ops->close(image);
}
