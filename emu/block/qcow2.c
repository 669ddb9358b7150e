/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * qcow2 images, versions 2 and 3: see QEMU's docs/interop/qcow2.txt, which specifies the format.
 *
 * A guest address goes through L1 (all of it in memory) and L2 (a few tables in memory, written through) to a
 * cluster of the file, or to the image below. A cluster that is ours alone (COPIED) is written in place;
 * anything else is written to a new cluster, with what the write does not cover filled in from what was there
 * before.
 *
 * New clusters come from the end of the file, or are those that a deleted snapshot has just left. They are
 * counted ahead, RESERVE_LEAST of them and then twice as many each time, up to RESERVE_MOST, and that is
 * synced before the first of them is used; so whatever is lost in a crash, no table points to a cluster that
 * is counted as free. A crash leaves at most RESERVE_MOST clusters counted that nobody uses (more while a
 * machine's state is written); a clean end gives them back.
 *
 * What a flush was answered for survives a power cut, whatever of the later writes reached the disk:
 *   - A cluster that takes over older content (from below, or unpacked) has to be on the disk before its
 * entry is. Such an entry waits in its L2 table in memory (`dirty`) until the next flush, or until there are
 *     DIRTY_MOST of them; then the file is synced and the tables are written. Any other entry is written at
 * once.
 *   - A cluster that is not used any more is given back (`unused`) only after a sync of the entry that let go
 *     of it.
 * A killed process loses at most DIRTY_MOST first writes to clusters with older content since the last flush,
 * and leaves some clusters counted that nobody uses.
 *
 * Before a cluster is written it is checked against the places of header, L1, L2 and reference counts. When
 * they overlap, or an entry points to no possible place, the image is marked corrupt (version 3), not written
 * any more, and the machine is told.
 *
 * Snapshots share clusters, and L2 tables, with what is written now: those are not COPIED, so a write goes
 * elsewhere and takes one from the counts of the old one. Taking, applying and deleting them is
 * qcow2_snapshot.c's.
 *
 * Refused, with the reason: encryption, external data files, extended L2 entries, compression other than
 * deflate; for writing also damaged tables of snapshots, and images marked dirty or corrupt.
 *
 * The file is hostile. Sizes and offsets are checked when it is opened and again at each step; an entry that
 * makes no sense gives an I/O error. What a file names as its backing file is opened: as everywhere, an image
 * is to be trusted that far.
 */
#include "emu/block/qcow2_internal.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

/* ---- tables ---- */

/* Entries that waited for what they point to. */
int qcow2_settle(struct qcow2 *q)
{
    int code = q->dirty || q->unused->len ? block_file_sync(q->file) : 0;
    for (unsigned i = 0; !code && i < L2_CACHE; i++) {
        struct l2_table *t = &q->l2[i];
        if (!t->dirty)
            continue;
        if (!(code = qcow2_check_place(q, t->offset, PLACE_L2)) &&
            !(code = block_file_write(q->file, t->offset, t->entry, q->cluster)))
            t->dirty = false;
    }
    if (!code)
        q->dirty = 0;
    return code;
}

int qcow2_load_l2(struct qcow2 *q, uint64_t offset, struct l2_table **out)
{
    struct l2_table *oldest = &q->l2[0];
    if (!qcow2_aligned(q, offset))
        return qcow2_corrupt(q, "an L2 table is at no possible place", offset);
    for (unsigned i = 0; i < L2_CACHE; i++) {
        struct l2_table *t = &q->l2[i];
        if (t->offset == offset) {
            t->used = ++q->clock;
            *out = t;
            return 0;
        }
        if (t->used < oldest->used)
            oldest = t;
    }
    if (!oldest->entry)
        oldest->entry = g_malloc(q->cluster);
    int code = oldest->dirty ? qcow2_settle(q) : 0;
    if (code)
        return code;
    oldest->offset = 0;
    code = block_file_read(q->file, offset, oldest->entry, q->cluster, NULL);
    if (code)
        return code;
    oldest->offset = offset;
    oldest->used = ++q->clock;
    *out = oldest;
    return 0;
}

/* The L2 entry of a guest cluster; 0 where there is no table. */
static int look_up(struct qcow2 *q, uint64_t n, uint64_t *entry)
{
    uint64_t l1 = n >> q->l2_bits;
    struct l2_table *table;
    *entry = 0;
    if (l1 >= q->l1_size || !(q->l1[l1] & OFFSET_BITS))
        return l1 >= q->l1_size ? EIO : 0;
    int code = qcow2_load_l2(q, q->l1[l1] & OFFSET_BITS, &table);
    if (!code)
        *entry = GUINT64_FROM_BE(table->entry[n & ((UINT64_C(1) << q->l2_bits) - 1)]);
    if (!(q->l1[l1] & COPIED)) /* what a shared table points to is shared, whatever it says itself */
        *entry &= ~COPIED;
    return code;
}

/* The L2 table of a guest cluster, made or copied so that it is ours to change. */
static int own_l2(struct qcow2 *q, uint64_t n, struct l2_table **out)
{
    uint64_t l1 = n >> q->l2_bits, offset, old;
    int code;
    if (l1 >= q->l1_size)
        return EIO;
    old = q->l1[l1] & OFFSET_BITS;
    if (old && (code = qcow2_check_place(q, old, PLACE_L2)))
        return code;
    if (old && q->l1[l1] & COPIED)
        return qcow2_load_l2(q, old, out);
    g_autofree uint64_t *copy = g_malloc0(q->cluster);
    if (old && (code = qcow2_load_l2(q, old, out)))
        return code;
    for (uint64_t i = 0; old && i < q->cluster / 8; i++)
        copy[i] = (*out)->entry[i] & ~GUINT64_TO_BE(COPIED);
    if ((code = qcow2_allocate(q, &offset)) || (code = block_file_write(q->file, offset, copy, q->cluster)) ||
        (code = qcow2_write_entry(q, q->l1_offset + 8 * l1, offset | COPIED)))
        return code;
    q->l1[l1] = offset | COPIED;
    if (old)
        qcow2_let_go(q, old >> q->cluster_bits);
    return qcow2_load_l2(q, offset, out);
}

/* waits: what the entry points to has to be on the disk first. */
static int set_entry(struct qcow2 *q, uint64_t n, uint64_t value, bool waits)
{
    struct l2_table *table;
    uint64_t index = n & ((UINT64_C(1) << q->l2_bits) - 1);
    int code = own_l2(q, n, &table);
    if (code || (!waits && (code = qcow2_write_entry(q, table->offset + 8 * index, value))))
        return code;
    table->entry[index] = GUINT64_TO_BE(value);
    if (!waits)
        return 0;
    table->dirty = true;
    return ++q->dirty >= DIRTY_MOST ? qcow2_settle(q) : 0;
}

/* ---- clusters ---- */

static int read_below(struct qcow2 *q, uint64_t offset, uint8_t *to, size_t len)
{
    uint64_t size = q->base ? q->base->size : 0;
    size_t there = offset >= size ? 0 : (size_t)MIN((uint64_t)len, size - offset);
    memset(to + there, 0, len - there);
    return there ? q->base->ops->read(q->base, offset, to, there) : 0;
}

/* Where compressed data is: first byte, and length rounded up to sectors. */
void qcow2_compressed_extent(const struct qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *len)
{
    unsigned bits = 62 - (q->cluster_bits - 8);
    *offset = entry & ((UINT64_C(1) << bits) - 1);
    uint64_t sectors = (entry & ~(COPIED | COMPRESSED)) >> bits;
    *len = (sectors + 1) * 512 - (*offset & 511);
}

static int unpack(struct qcow2 *q, uint64_t entry)
{
    uint64_t offset, len;
    size_t beyond = 0;
    if (q->unpacked_entry == entry)
        return 0;
    qcow2_compressed_extent(q, entry, &offset, &len);
    q->unpacked_entry = 0;
    g_autofree uint8_t *packed = g_malloc(len); /* at most two clusters: the field has so many bits */
    int code = block_file_read(q->file, offset, packed, len, &beyond);
    if (code)
        return code;
    if (beyond == len)
        return EIO;
    g_autoptr(GZlibDecompressor) inflate = g_zlib_decompressor_new(G_ZLIB_COMPRESSOR_FORMAT_RAW);
    gsize in = 0, out = 0;
    while (out < q->cluster) {
        gsize taken = 0, made = 0;
        GConverterResult result =
            g_converter_convert(G_CONVERTER(inflate), packed + in, len - in, q->unpacked + out,
                                q->cluster - out, G_CONVERTER_NO_FLAGS, &taken, &made, NULL);
        in += taken;
        out += made;
        if (result == G_CONVERTER_FINISHED || result == G_CONVERTER_ERROR || (!taken && !made))
            break;
    }
    if (out != q->cluster)
        return EIO;
    q->unpacked_entry = entry;
    return 0;
}

/* Part of one cluster, whose entry is known. */
int qcow2_read_cluster(struct qcow2 *q, uint64_t entry, uint64_t offset, uint8_t *to, size_t len)
{
    uint64_t in = offset & (q->cluster - 1), host = entry & OFFSET_BITS;
    size_t beyond;
    if (entry & COMPRESSED) {
        int code = unpack(q, entry);
        if (!code)
            memcpy(to, q->unpacked + in, len);
        return code;
    }
    if (qcow2_reads_zero(q, entry)) {
        memset(to, 0, len);
        return 0;
    }
    if (!host)
        return read_below(q, offset, to, len);
    if (!qcow2_aligned(q, host))
        return qcow2_corrupt(q, "an entry for data is at no possible place", host);
    return block_file_read(q->file, host + in, to, len, &beyond); /* the last cluster may be short */
}

static size_t cluster_run(const struct qcow2 *q, uint64_t offset, size_t len)
{
    return (size_t)MIN((uint64_t)len, q->cluster - (offset & (q->cluster - 1)));
}

static int write_elsewhere(struct qcow2 *q, uint64_t entry, uint64_t offset, const uint8_t *from, size_t len);

/* Copy on read: a cluster of the image below. When that fails it stays where it is. */
static void bring_up(struct qcow2 *q, uint64_t entry, uint64_t offset)
{
    uint64_t start = offset & ~(q->cluster - 1);
    g_autofree uint8_t *whole = g_malloc(q->cluster);
    if (!qcow2_read_cluster(q, entry, start, whole, q->cluster))
        write_elsewhere(q, entry, start, whole, q->cluster);
}

static int qcow2_read(struct image *image, uint64_t offset, void *buf, size_t len)
{
    struct qcow2 *q = (struct qcow2 *)image;
    uint8_t *to = buf;
    while (len) {
        size_t run = cluster_run(q, offset, len);
        uint64_t entry;
        int code = look_up(q, offset >> q->cluster_bits, &entry);
        if (code || (code = qcow2_read_cluster(q, entry, offset, to, run)))
            return code;
        if (q->copy_on_read && !q->corrupt && !entry && q->base && offset < q->base->size)
            bring_up(q, entry, offset);
        to += run;
        offset += run;
        len -= run;
    }
    return 0;
}

static void release_old(struct qcow2 *q, uint64_t entry)
{
    uint64_t offset = entry & OFFSET_BITS, len;
    if (!(entry & COMPRESSED)) {
        if (offset && qcow2_aligned(q, offset))
            qcow2_let_go(q, offset >> q->cluster_bits);
        return;
    }
    qcow2_compressed_extent(q, entry, &offset, &len);
    for (uint64_t n = offset >> q->cluster_bits; n <= (offset + len - 1) >> q->cluster_bits; n++)
        qcow2_let_go(q, n);
    q->unpacked_entry = 0;
}

/* Whether a cluster has content that a part of it written anew must keep. */
static bool has_content(const struct qcow2 *q, uint64_t entry, uint64_t offset)
{
    if (entry & COMPRESSED || (entry & OFFSET_BITS && !qcow2_reads_zero(q, entry)))
        return true;
    return !qcow2_reads_zero(q, entry) && q->base && offset < q->base->size;
}

int qcow2_sync_all(struct qcow2 *q)
{
    int code = qcow2_settle(q);
    if (!code)
        code = block_file_sync(q->file);
    if (!code)
        qcow2_give_back(q);
    return code;
}

/* The part of one cluster goes to a new place, with the rest of the cluster. */
static int write_elsewhere(struct qcow2 *q, uint64_t entry, uint64_t offset, const uint8_t *from, size_t len)
{
    uint64_t start = offset & ~(q->cluster - 1), host = 0;
    bool prepared =
        !(entry & COMPRESSED) && qcow2_reads_zero(q, entry) && entry & COPIED && entry & OFFSET_BITS;
    bool waits = prepared || has_content(q, entry, start); /* else a cut may show neither old nor new */
    g_autofree uint8_t *whole = NULL;
    int code = 0;
    if (prepared)
        host = entry & OFFSET_BITS;
    if (len < q->cluster) {
        whole = g_malloc(q->cluster);
        if ((code = qcow2_read_cluster(q, entry, start, whole, q->cluster)))
            return code;
        memcpy(whole + (offset - start), from, len);
        from = whole;
    }
    if (prepared && (code = qcow2_check_place(q, host, 0)))
        return code;
    if ((!prepared && (code = qcow2_allocate(q, &host))) ||
        (code = block_file_write(q->file, host, from, q->cluster)) ||
        (code = set_entry(q, offset >> q->cluster_bits, host | COPIED, waits)))
        return code;
    if (!prepared)
        release_old(q, entry);
    return q->unused->len >= UNUSED_MOST ? qcow2_sync_all(q) : 0;
}

static int qcow2_write(struct image *image, uint64_t offset, const void *buf, size_t len)
{
    struct qcow2 *q = (struct qcow2 *)image;
    const uint8_t *from = buf;
    if (q->corrupt)
        return EIO;
    while (len) {
        size_t run = cluster_run(q, offset, len);
        uint64_t entry, host;
        int code = look_up(q, offset >> q->cluster_bits, &entry);
        if (code)
            return code;
        host = entry & OFFSET_BITS;
        if (entry & COPIED && host && !(entry & COMPRESSED) && !qcow2_reads_zero(q, entry)) {
            if ((code = qcow2_check_place(q, host, 0)))
                return code;
            code = block_file_write(q->file, host + (offset & (q->cluster - 1)), from, run);
        } else {
            code = write_elsewhere(q, entry, offset, from, run);
        }
        if (code)
            return code;
        from += run;
        offset += run;
        len -= run;
    }
    return 0;
}

static int qcow2_flush(struct image *image)
{
    return qcow2_sync_all((struct qcow2 *)image);
}

/* Whole clusters only, the rest is the caller's: makes them read as zeros (`zeros`), or leaves what is
 * simplest. */
static int drop_clusters(struct qcow2 *q, uint64_t first, uint64_t end, bool zeros)
{
    int code = 0;
    for (uint64_t n = first; n < end; n++) {
        uint64_t entry, value = q->base || zeros ? ZERO : 0;
        if (q->version < 3)
            value = 0;
        if ((code = look_up(q, n, &entry)))
            return code;
        if ((!entry && !q->base) || (qcow2_reads_zero(q, entry) && !(entry & OFFSET_BITS)))
            continue;
        if ((code = set_entry(q, n, value, false)))
            return code;
        release_old(q, entry);
        if (q->unused->len >= UNUSED_MOST && (code = qcow2_sync_all(q)))
            return code;
    }
    return 0;
}

static int qcow2_discard(struct image *image, uint64_t offset, uint64_t len)
{
    struct qcow2 *q = (struct qcow2 *)image;
    uint64_t first = (offset + q->cluster - 1) >> q->cluster_bits, end = (offset + len) >> q->cluster_bits;
    if (q->corrupt)
        return EIO;
    if (q->version < 3 && q->base)
        return 0;
    return drop_clusters(q, first, end, false);
}

static int qcow2_zero(struct image *image, uint64_t offset, uint64_t len, bool unmap)
{
    struct qcow2 *q = (struct qcow2 *)image;
    if (q->corrupt || (q->version < 3 && q->base) || (offset | len) & (q->cluster - 1))
        return q->corrupt ? EIO : ENOTSUP;
    return drop_clusters(q, offset >> q->cluster_bits, (offset + len) >> q->cluster_bits, true);
}

/* Larger only. What L1 needs more is behind it in its last cluster. */
static int qcow2_resize(struct image *image, uint64_t size)
{
    struct qcow2 *q = (struct qcow2 *)image;
    uint64_t wanted = qcow2_l1_needed(q, size);
    uint64_t room = (((uint64_t)q->l1_size * 8 + q->cluster - 1) & ~(q->cluster - 1)) / 8;
    uint8_t number[4];
    int code;
    if (q->corrupt)
        return EIO;
    if (size < q->image.size || size > INT64_MAX - q->cluster || wanted > room || wanted * 8 > L1_MOST ||
        (q->version < 3 && q->snapshots->len)) /* which do not say what size they are of */
        return size < q->image.size ? ENOTSUP : EFBIG;
    if (wanted > q->l1_size) {
        q->l1 = g_realloc(q->l1, (size_t)wanted * 8);
        for (uint64_t i = q->l1_size; i < wanted; i++) {
            q->l1[i] = 0;
            if ((code = qcow2_write_entry(q, q->l1_offset + 8 * i, 0)))
                return code;
        }
        for (unsigned i = 0; i < 4; i++)
            number[i] = (uint8_t)(wanted >> (24 - 8 * i));
        if ((code = block_file_sync(q->file)) || (code = block_file_write(q->file, 36, number, 4)))
            return code;
        q->l1_size = (uint32_t)wanted;
    }
    if ((code = block_file_sync(q->file)) || (code = qcow2_write_entry(q, 24, size)) ||
        (code = block_file_sync(q->file)))
        return code;
    q->image.size = size;
    return 0;
}

/* All that is here goes into the image below, which is opened for writing meanwhile. */
static bool qcow2_commit(struct image *image, GError **error)
{
    struct qcow2 *q = (struct qcow2 *)image;
    g_autofree uint8_t *buf = g_malloc(q->cluster);
    int code = q->corrupt ? EIO : 0;
    if (!q->base) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "%s: has nothing to commit: there is no backing file", image->path);
        return false;
    }
    if (q->arranged) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "%s: the chain below it was put together by backing=, which commit does not follow; use "
                    "qemu-img commit",
                    image->path);
        return false;
    }
    if (!image_reopen(&q->base, false, q->cache, error))
        return false;
    if (!code && q->base->size < image->size)
        code = q->base->ops->resize ? q->base->ops->resize(q->base, image->size) : EFBIG;
    uint64_t clusters = (image->size + q->cluster - 1) >> q->cluster_bits, entry;
    for (uint64_t n = 0; !code && n < clusters; n++) {
        uint64_t start = n << q->cluster_bits;
        size_t len = (size_t)MIN(q->cluster, image->size - start);
        if ((code = look_up(q, n, &entry)) || !entry ||
            (code = qcow2_read_cluster(q, entry, start, buf, len)))
            continue;
        code = q->base->ops->write(q->base, start, buf, len);
    }
    if (!code)
        code = q->base->ops->flush(q->base);
    for (uint64_t n = 0; !code && n < clusters; n++) {
        if ((code = look_up(q, n, &entry)) || !entry || (code = set_entry(q, n, 0, false)))
            continue;
        release_old(q, entry);
        if (q->unused->len >= UNUSED_MOST)
            code = qcow2_sync_all(q);
    }
    if (!code)
        code = qcow2_sync_all(q);
    if (!image_reopen(&q->base, true, q->cache, error))
        return false;
    if (code)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(code),
                    "%s: committing: %s; nothing is lost: try again", image->path, g_strerror(code));
    return !code;
}

static void qcow2_close(struct image *image)
{
    struct qcow2 *q = (struct qcow2 *)image;
    if (q->file && !q->file->read_only && q->room && !q->corrupt) {
        if (!qcow2_settle(q) && (!q->unused->len || !block_file_sync(q->file)))
            qcow2_give_back(q);
        for (guint i = 0; i < q->state->len; i++)
            qcow2_count_clusters(q, g_array_index(q->state, uint64_t, i) >> q->cluster_bits, 1, -1);
        qcow2_return_reserved(q);
    }
    image_close(q->base);
    block_file_close(q->file);
    for (unsigned i = 0; i < L2_CACHE; i++)
        g_free(q->l2[i].entry);
    g_array_free(q->unused, TRUE);
    g_array_free(q->freed, TRUE);
    g_array_free(q->state, TRUE);
    g_ptr_array_unref(q->snapshots);
    g_free(q->state_part);
    g_free(q->read.id);
    g_free(q->read.l1);
    g_free(q->l1);
    g_free(q->reftable);
    g_free(q->room);
    g_free(q->unpacked);
    g_free(q);
}

#define QCOW2_OPS                                                                                            \
    .format = "qcow2", .read = qcow2_read, .write = qcow2_write, .flush = qcow2_flush, .zero = qcow2_zero,   \
    .resize = qcow2_resize, .commit = qcow2_commit, .snapshots = &qcow2_snapshot_ops, .close = qcow2_close
const struct image_ops qcow2_ops = {QCOW2_OPS};
const struct image_ops qcow2_discard_ops = {QCOW2_OPS, .discard = qcow2_discard};
