/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Opening a qcow2 image: its header, tables, backing files, and what is refused. The file is hostile: see
 * qcow2.c.
 */
#include "emu/block/qcow2_internal.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

enum { EXT_END = 0, EXTENSIONS_MOST = 64 };
#define EXT_BACKING_FORMAT UINT32_C(0xe2792aca)
enum {
    INCOMPATIBLE_DIRTY = 1,
    INCOMPATIBLE_CORRUPT = 2,
    INCOMPATIBLE_DATA_FILE = 4,
    INCOMPATIBLE_COMPRESSION = 8
};
enum { INCOMPATIBLE_KNOWN = 3 };

/* ---- opening ---- */

G_GNUC_PRINTF(3, 4) bool qcow2_refuse(const struct qcow2 *q, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: qcow2 image: %s", q->file->path, text);
    return false;
}

uint64_t *qcow2_read_table(struct qcow2 *q, const char *what, uint64_t offset, uint64_t entries,
                           GError **error)
{
    size_t beyond = 0, len = (size_t)entries * 8;
    if (!qcow2_aligned(q, offset) || !offset || offset > INT64_MAX - len) {
        qcow2_refuse(q, error, "its %s is at no possible place; the file is damaged", what);
        return NULL;
    }
    uint64_t *table = g_try_malloc0(MAX(len, 8));
    int code = table ? block_file_read(q->file, offset, table, len, &beyond) : ENOMEM;
    if (code || beyond) {
        qcow2_refuse(q, error, "its %s cannot be read (%s); the file is damaged or was cut short", what,
                     code ? g_strerror(code) : "it lies behind the end of the file");
        g_free(table);
        return NULL;
    }
    for (uint64_t i = 0; i < entries; i++)
        table[i] = GUINT64_FROM_BE(table[i]);
    return table;
}

/* The backing file's format, as an extension of the header says it. */
static enum block_format backing_format(struct qcow2 *q, uint64_t at, uint64_t end)
{
    for (unsigned i = 0; i < EXTENSIONS_MOST && at + 8 <= end; i++) {
        uint8_t head[8], name[8] = {0};
        if (block_file_read(q->file, at, head, sizeof head, NULL))
            break;
        uint32_t type = be32(head), len = be32(head + 4);
        if (type == EXT_END || len > end - at - 8)
            break;
        if (type == EXT_BACKING_FORMAT && len < sizeof name &&
            !block_file_read(q->file, at + 8, name, len, NULL))
            return !strcmp((char *)name, "qcow2") ? BLOCK_FORMAT_QCOW2
                   : !strcmp((char *)name, "raw") ? BLOCK_FORMAT_RAW
                                                  : BLOCK_FORMAT_AUTO;
        at += 8 + ((uint64_t)len + 7) / 8 * 8;
    }
    return BLOCK_FORMAT_AUTO;
}

/* What the user put below it. */
static bool open_below(struct qcow2 *q, const struct block_below *below, enum block_cache cache,
                       unsigned depth, GError **error)
{
    if (!below->file)
        return true;
    if (depth + 1 >= IMAGE_DEPTH_MOST)
        return qcow2_refuse(q, error, "more than %d backing files below each other", IMAGE_DEPTH_MOST);
    q->base = image_open(below->file, below->format, true, cache, 0, depth + 1, below->below, error);
    if (!q->base) {
        g_prefix_error(error, "%s: its backing file: ", q->file->path);
        return false;
    }
    q->image.backing = g_strdup(below->file);
    q->arranged = below->below != NULL;
    return true;
}

static bool open_backing(struct qcow2 *q, const uint8_t *header, uint64_t header_len, enum block_cache cache,
                         unsigned depth, const struct block_below *below, GError **error)
{
    uint64_t at = be64(header + 8);
    uint32_t len = be32(header + 16);
    char name[BACKING_NAME_MOST + 1] = {0};
    size_t beyond = 0;
    if (below)
        return open_below(q, below, cache, depth, error);
    if (!at)
        return true;
    if (!len || len > BACKING_NAME_MOST || at > q->cluster || len > q->cluster - at ||
        block_file_read(q->file, at, name, len, &beyond) || beyond || strlen(name) != len)
        return qcow2_refuse(q, error, "the name of its backing file is damaged");
    if (depth + 1 >= IMAGE_DEPTH_MOST)
        return qcow2_refuse(q, error, "more than %d backing files below each other", IMAGE_DEPTH_MOST);
    if (g_str_has_prefix(name, "json:") || strstr(name, "://"))
        return qcow2_refuse(q, error, "its backing file \"%s\" is not a file; only files are opened here",
                            name);
    const char *plain = g_str_has_prefix(name, "file:") ? name + strlen("file:") : name;
    g_autofree char *folder = g_path_get_dirname(q->file->path);
    g_autofree char *path =
        g_path_is_absolute(plain) ? g_strdup(plain) : g_build_filename(folder, plain, NULL);
    q->base = image_open(path, backing_format(q, header_len, at), true, cache, 0, depth + 1, NULL, error);
    if (!q->base) {
        g_prefix_error(error, "%s: its backing file: ", q->file->path);
        return false;
    }
    q->image.backing = g_strdup(path);
    return true;
}

static bool check_writable(struct qcow2 *q, uint64_t incompatible, GError **error)
{
    if (incompatible & (INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT))
        return qcow2_refuse(
            q, error,
            "it was not closed cleanly or is marked corrupt; repair it (qemu-img check -r all), "
            "or open it with readonly=on or snapshot=on");
    return true;
}

static bool read_header(struct qcow2 *q, enum block_cache cache, unsigned depth,
                        const struct block_below *below, GError **error)
{
    uint8_t h[HEADER_V3 + 8] = {0};
    size_t beyond = 0;
    int code = block_file_read(q->file, 0, h, sizeof h, &beyond);
    if (code)
        return qcow2_refuse(q, error, "reading its header: %s", g_strerror(code));
    if (beyond > sizeof h - HEADER_V2 || memcmp(h, "QFI\xfb", 4) != 0)
        return qcow2_refuse(q, error, "the file has no qcow2 header; is format=raw meant?");
    q->version = be32(h + 4);
    q->cluster_bits = be32(h + 20);
    if (q->version != 2 && q->version != 3)
        return qcow2_refuse(q, error, "version %u is not known; there are 2 and 3", q->version);
    if (q->cluster_bits < CLUSTER_BITS_LEAST || q->cluster_bits > CLUSTER_BITS_MOST)
        return qcow2_refuse(q, error, "clusters of 2^%u bytes are not possible; the file is damaged",
                            q->cluster_bits);
    uint64_t incompatible = 0, header_len = HEADER_V2;
    unsigned order = 4;
    if (q->version == 3) {
        incompatible = be64(h + 72);
        order = be32(h + 96);
        header_len = be32(h + 100);
        if (header_len < HEADER_V3 || order > 6)
            return qcow2_refuse(q, error, "its header is damaged");
    }
    q->cluster = UINT64_C(1) << q->cluster_bits;
    q->l2_bits = q->cluster_bits - 3;
    q->refcount_bits = 1u << order;
    uint64_t size = be64(h + 24), l1_bytes, reftable_bytes = (uint64_t)be32(h + 56) << q->cluster_bits;
    q->l1_size = be32(h + 36);
    q->l1_offset = be64(h + 40);
    q->reftable_offset = be64(h + 48);
    l1_bytes = (uint64_t)q->l1_size * 8;
    if (be32(h + 32))
        return qcow2_refuse(q, error, "encrypted images are not read here; decrypt it (qemu-img convert)");
    if (incompatible & INCOMPATIBLE_DATA_FILE)
        return qcow2_refuse(q, error, "external data files are not read here; convert it (qemu-img convert)");
    if (incompatible & INCOMPATIBLE_COMPRESSION && header_len > HEADER_V3 && h[HEADER_V3])
        return qcow2_refuse(q, error, "only deflate compression is read here; convert it (qemu-img convert)");
    if (incompatible & ~(uint64_t)(INCOMPATIBLE_KNOWN | INCOMPATIBLE_COMPRESSION))
        return qcow2_refuse(q, error, "it uses features that are not known here (%#" G_GINT64_MODIFIER "x)",
                            incompatible);
    if (!size || size > INT64_MAX - q->cluster || l1_bytes > L1_MOST || reftable_bytes > REFTABLE_MOST ||
        (uint64_t)q->l1_size < ((size - 1) >> (q->cluster_bits + q->l2_bits)) + 1)
        return qcow2_refuse(q, error, "its size and its tables do not fit each other; the file is damaged");
    q->image.size = (size + BLOCK_SECTOR - 1) & ~(uint64_t)(BLOCK_SECTOR - 1);
    q->reftable_size = (uint32_t)(reftable_bytes / 8);
    if (!(q->l1 = qcow2_read_table(q, "L1 table", q->l1_offset, q->l1_size, error)) ||
        !(q->reftable = qcow2_read_table(q, "refcount table", q->reftable_offset, q->reftable_size, error)))
        return false;
    if (!q->file->read_only && !check_writable(q, incompatible, error))
        return false;
    g_autoptr(GError) bad = NULL;
    if (!qcow2_snapshots_load(q, be64(h + 64), be32(h + 60), &bad) && !q->file->read_only) {
        g_propagate_error(error, g_steal_pointer(&bad)); /* who only reads the disk can do without */
        return false;
    }
    if (!q->file->read_only && q->version == 3 && be64(h + 88) && (code = qcow2_write_entry(q, 88, 0)))
        return qcow2_refuse(q, error, "writing its header: %s", g_strerror(code));
    return open_backing(q, h, header_len, cache, depth, below, error);
}

struct image *qcow2_new(struct block_file *file, bool discard, bool copy_on_read, enum block_cache cache,
                        unsigned depth, const struct block_below *below, GError **error)
{
    struct qcow2 *q = g_new0(struct qcow2, 1);
    q->image.ops = discard ? &qcow2_discard_ops : &qcow2_ops;
    q->image.read_only = file->read_only;
    q->image.path = g_strdup(file->path);
    q->file = file;
    q->discard = discard;
    q->cache = cache;
    q->copy_on_read = copy_on_read && !file->read_only;
    q->unused = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    q->freed = g_array_new(FALSE, FALSE, sizeof(struct cluster_run));
    q->state = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    q->snapshots = g_ptr_array_new_with_free_func((GDestroyNotify)qcow2_snapshot_free);
    q->ahead = RESERVE_LEAST;
    if (!read_header(q, cache, depth, below, error)) {
        image_close(&q->image);
        return NULL;
    }
    q->room = g_malloc(q->cluster);
    q->unpacked = g_malloc(q->cluster);
    return &q->image;
}
