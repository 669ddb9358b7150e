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
 * New clusters come from the end of the file only. They are counted ahead, RESERVE_LEAST of them and then twice
 * as many each time, up to RESERVE_MOST, and that is synced before the first of them is used; so whatever is
 * lost in a crash, no table points to a cluster that is counted as free. A crash leaves at most RESERVE_MOST
 * clusters counted that nobody uses; a clean end gives them back.
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
 * Refused, with the reason: encryption, external data files, extended L2 entries, compression other than
 * deflate; for writing also internal snapshots, images marked dirty or corrupt, and refcount tables without
 * room to grow.
 *
 * The file is hostile. Sizes and offsets are checked when it is opened and again at each step; an entry that
 * makes no sense gives an I/O error. What a file names as its backing file is opened: as everywhere, an image
 * is to be trusted that far.
 */
#include "emu/block/image.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

enum { CLUSTER_BITS_LEAST = 9, CLUSTER_BITS_MOST = 21, L1_MOST = 32 << 20, REFTABLE_MOST = 8 << 20 };
enum { L2_CACHE = 16, RESERVE_LEAST = 64, RESERVE_MOST = 1024, DIRTY_MOST = 64, UNUSED_MOST = 1024 };
enum { PLACES_LOOKED_AT = 1024 }; /* entries of a table compared with each cluster that is written */
enum { HEADER_V2 = 72, HEADER_V3 = 104, BACKING_NAME_MOST = 1023 };
enum { EXT_END = 0, EXTENSIONS_MOST = 64 };
#define EXT_BACKING_FORMAT UINT32_C(0xe2792aca)
#define COPIED             (UINT64_C(1) << 63)
#define COMPRESSED         (UINT64_C(1) << 62)
#define ZERO               UINT64_C(1)
#define OFFSET_BITS        UINT64_C(0x00fffffffffffe00)
enum {
    INCOMPATIBLE_DIRTY = 1,
    INCOMPATIBLE_CORRUPT = 2,
    INCOMPATIBLE_DATA_FILE = 4,
    INCOMPATIBLE_COMPRESSION = 8
};
enum { INCOMPATIBLE_KNOWN = 3 };

struct l2_table {
    uint64_t offset; /* 0: empty */
    uint64_t used;   /* when it was last asked for */
    uint64_t *entry; /* as in the file: big-endian */
    bool dirty;      /* has entries that are not in the file yet */
};

struct qcow2 {
    struct image image;
    struct block_file *file;
    struct image *base; /* NULL: none */
    bool discard;
    unsigned version, cluster_bits, l2_bits, refcount_bits;
    uint64_t cluster;
    uint64_t l1_offset, *l1; /* host order */
    uint32_t l1_size;
    uint64_t reftable_offset, *reftable; /* host order */
    uint32_t reftable_size;              /* entries */
    struct l2_table l2[L2_CACHE];
    uint64_t clock;
    uint64_t next, reserved;  /* clusters counted and not used: [next, reserved), as numbers */
    uint64_t ahead;           /* how many are counted the next time */
    uint8_t *room, *unpacked; /* a cluster each */
    uint64_t unpacked_entry;  /* what `unpacked` holds, 0: nothing */
    unsigned dirty;           /* entries that wait in tables */
    GArray *unused;           /* uint64_t: clusters to be given back after a sync, as numbers */
    bool copy_on_read, corrupt;
    bool arranged; /* the user said what is below the image below */
    enum block_cache cache;
};

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
    return (uint64_t)be32(p) << 32 | be32(p + 4);
}

static bool aligned(const struct qcow2 *q, uint64_t offset)
{
    return !(offset & (q->cluster - 1));
}

static int write_entry(struct qcow2 *q, uint64_t offset, uint64_t value)
{
    uint64_t be = GUINT64_TO_BE(value);
    return block_file_write(q->file, offset, &be, sizeof be);
}

/* ---- damage ---- */

/* Nothing is written any more; the file says so to whoever opens it next. */
static int corrupt(struct qcow2 *q, const char *what, uint64_t offset)
{
    uint8_t features[8];
    if (q->corrupt)
        return EIO;
    q->corrupt = true;
    g_free(q->image.damage);
    q->image.damage =
        g_strdup_printf("%s at offset %#" G_GINT64_MODIFIER
                        "x; the image is not written any more: repair it (qemu-img check -r all)",
                        what, offset);
    q->image.damage_offset = offset;
    if (!q->file->read_only && q->version == 3 && !block_file_read(q->file, 72, features, 8, NULL)) {
        write_entry(q, 72, be64(features) | INCOMPATIBLE_CORRUPT);
        block_file_sync(q->file);
    }
    g_atomic_int_set(&q->image.damaged, 1);
    return EIO;
}

static bool overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

enum { PLACE_L2 = 1, PLACE_COUNTS = 2 };

/* Why the cluster must not be written as something else; NULL: it may. `known`: what it is known to be. */
static const char *taken_by(const struct qcow2 *q, uint64_t at, unsigned known)
{
    if (at < q->cluster)
        return "the header";
    if (overlaps(at, q->cluster, q->l1_offset, (uint64_t)q->l1_size * 8))
        return "the L1 table";
    if (overlaps(at, q->cluster, q->reftable_offset, (uint64_t)q->reftable_size * 8))
        return "the refcount table";
    for (uint32_t i = 0; !(known & PLACE_COUNTS) && i < MIN(q->reftable_size, (uint32_t)PLACES_LOOKED_AT);
         i++)
        if ((q->reftable[i] & ~(uint64_t)511) == at)
            return "a refcount block";
    for (uint32_t i = 0; !(known & PLACE_L2) && i < MIN(q->l1_size, (uint32_t)PLACES_LOOKED_AT); i++)
        if ((q->l1[i] & OFFSET_BITS) == at)
            return "an L2 table";
    return NULL;
}

static int check_place(struct qcow2 *q, uint64_t at, unsigned known)
{
    const char *what = aligned(q, at) ? taken_by(q, at, known) : "no possible place";
    if (!what)
        return 0;
    g_autofree char *text = g_strdup_printf("an entry for %s is %s",
                                            known == PLACE_L2       ? "an L2 table"
                                            : known == PLACE_COUNTS ? "reference counts"
                                                                    : "data",
                                            what);
    return corrupt(q, text, at);
}

/* ---- reference counts ---- */

static uint64_t counts_per_block(const struct qcow2 *q)
{
    return (q->cluster * 8) / q->refcount_bits;
}

/* Adds `by` (±1) to `count` clusters' counts from `first` on, all in one block. `*gone`: the last one has
 * none left. */
static int count_clusters_to(struct qcow2 *q, uint64_t first, uint64_t count, int by, bool *gone)
{
    uint64_t per_block = counts_per_block(q), index = first / per_block, in_block = first % per_block;
    uint64_t block = index < q->reftable_size ? q->reftable[index] & ~(uint64_t)511 : 0;
    unsigned bits = q->refcount_bits;
    if (!block || in_block + count > per_block)
        return EIO;
    if (check_place(q, block, PLACE_COUNTS))
        return EIO;
    uint64_t from = in_block * bits / 8, to = ((in_block + count) * bits + 7) / 8;
    int code = block_file_read(q->file, block + from, q->room, to - from, NULL);
    if (code)
        return code;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t value = 0, most = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
        uint8_t *p = q->room + (in_block + i) * bits / 8 - from;
        unsigned shift = bits < 8 ? (unsigned)((in_block + i) * bits % 8) : 0;
        if (bits < 8)
            value = *p >> shift & most;
        else
            for (unsigned k = 0; k < bits / 8; k++)
                value = value << 8 | p[k];
        if (by > 0 ? value == most : value == 0)
            continue; /* a count that cannot be right: left to qemu-img check */
        value += (uint64_t)(int64_t)by;
        *gone = !value;
        if (bits < 8)
            *p = (uint8_t)((*p & ~(most << shift)) | value << shift);
        else
            for (unsigned k = bits / 8; k-- > 0; value >>= 8)
                p[k] = (uint8_t)value;
    }
    return block_file_write(q->file, block + from, q->room, to - from);
}

static int count_clusters(struct qcow2 *q, uint64_t first, uint64_t count, int by)
{
    bool gone;
    return count_clusters_to(q, first, count, by, &gone);
}

/* Notes a cluster that nothing in memory refers to any more. */
static void let_go(struct qcow2 *q, uint64_t n)
{
    g_array_append_val(q->unused, n);
}

/* After a sync: gives back what no entry of the file refers to. */
static void give_back(struct qcow2 *q)
{
    for (guint i = 0; i < q->unused->len && !q->corrupt; i++) {
        uint64_t n = g_array_index(q->unused, uint64_t, i);
        bool gone = false;
        if (!count_clusters_to(q, n, 1, -1, &gone) && gone && q->discard)
            block_file_punch(q->file, n << q->cluster_bits, q->cluster);
    }
    g_array_set_size(q->unused, 0);
}

/* How many clusters from `first` on, at most `most` and all in one block, are counted as free. */
static int free_run(struct qcow2 *q, uint64_t first, uint64_t most, uint64_t *run)
{
    uint64_t per_block = counts_per_block(q), in_block = first % per_block;
    uint64_t block = q->reftable[first / per_block] & ~(uint64_t)511;
    unsigned bits = q->refcount_bits;
    if (!block || !aligned(q, block))
        return EIO;
    int code = block_file_read(q->file, block, q->room, q->cluster, NULL);
    for (*run = 0; !code && *run < most; ++*run) {
        uint64_t bit = (in_block + *run) * bits;
        uint8_t any = bits < 8 ? q->room[bit / 8] >> bit % 8 & ((1u << bits) - 1) : 0;
        for (unsigned k = 0; k < bits / 8; k++)
            any |= q->room[bit / 8 + k];
        if (any)
            break;
    }
    return code;
}

/* Counts some clusters at the end of the file, so that they can be used. What a crash left counted there is
 * left out. */
static int reserve(struct qcow2 *q)
{
    uint64_t per_block = counts_per_block(q);
    uint64_t end = MAX(q->reserved, (q->file->size + q->cluster - 1) >> q->cluster_bits),
             index = end / per_block;
    int code;
    if (index >= q->reftable_size)
        return ENOSPC;
    if (!q->reftable[index]) { /* the block that counts them comes first, and counts itself */
        uint64_t block = end << q->cluster_bits;
        memset(q->room, 0, q->cluster);
        if ((code = block_file_write(q->file, block, q->room, q->cluster)))
            return code;
        q->reftable[index] = block;
        if ((code = count_clusters(q, end, 1, 1)) || (code = block_file_sync(q->file)) ||
            (code = write_entry(q, q->reftable_offset + 8 * index, block))) {
            q->reftable[index] = 0;
            return code;
        }
        if (++end / per_block != index)
            return reserve(q); /* it had room for itself only */
    }
    uint64_t count = 0;
    while (!count) {
        if ((code = free_run(q, end, MIN(q->ahead, per_block - end % per_block), &count)))
            return code;
        if (!count && ++end % per_block == 0) {
            q->next = q->reserved = end;
            return reserve(q);
        }
    }
    if ((code = count_clusters(q, end, count, 1)) || (code = block_file_sync(q->file)))
        return code;
    q->next = end;
    q->reserved = end + count;
    /* A crash leaves them counted: only where the table has room for many of those. */
    if (q->reserved + 64 * RESERVE_MOST < q->reftable_size * per_block)
        q->ahead = MIN(2 * q->ahead, (uint64_t)RESERVE_MOST);
    return 0;
}

static int allocate(struct qcow2 *q, uint64_t *offset)
{
    int code = q->next < q->reserved ? 0 : reserve(q);
    if (code)
        return code;
    *offset = q->next << q->cluster_bits;
    if (*offset > OFFSET_BITS)
        return EFBIG;
    q->next++;
    return 0;
}

/* ---- tables ---- */

/* Entries that waited for what they point to. */
static int settle(struct qcow2 *q)
{
    int code = q->dirty || q->unused->len ? block_file_sync(q->file) : 0;
    for (unsigned i = 0; !code && i < L2_CACHE; i++) {
        struct l2_table *t = &q->l2[i];
        if (!t->dirty)
            continue;
        if (!(code = check_place(q, t->offset, PLACE_L2)) &&
            !(code = block_file_write(q->file, t->offset, t->entry, q->cluster)))
            t->dirty = false;
    }
    if (!code)
        q->dirty = 0;
    return code;
}

static int load_l2(struct qcow2 *q, uint64_t offset, struct l2_table **out)
{
    struct l2_table *oldest = &q->l2[0];
    if (!aligned(q, offset))
        return corrupt(q, "an L2 table is at no possible place", offset);
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
    int code = oldest->dirty ? settle(q) : 0;
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
    int code = load_l2(q, q->l1[l1] & OFFSET_BITS, &table);
    if (!code)
        *entry = GUINT64_FROM_BE(table->entry[n & ((UINT64_C(1) << q->l2_bits) - 1)]);
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
    if (old && (code = check_place(q, old, PLACE_L2)))
        return code;
    if (old && q->l1[l1] & COPIED)
        return load_l2(q, old, out);
    g_autofree uint8_t *copy = g_malloc0(q->cluster);
    if (old && (code = load_l2(q, old, out)))
        return code;
    if (old)
        memcpy(copy, (*out)->entry, q->cluster);
    if ((code = allocate(q, &offset)) || (code = block_file_write(q->file, offset, copy, q->cluster)) ||
        (code = write_entry(q, q->l1_offset + 8 * l1, offset | COPIED)))
        return code;
    q->l1[l1] = offset | COPIED;
    if (old)
        let_go(q, old >> q->cluster_bits);
    return load_l2(q, offset, out);
}

/* waits: what the entry points to has to be on the disk first. */
static int set_entry(struct qcow2 *q, uint64_t n, uint64_t value, bool waits)
{
    struct l2_table *table;
    uint64_t index = n & ((UINT64_C(1) << q->l2_bits) - 1);
    int code = own_l2(q, n, &table);
    if (code || (!waits && (code = write_entry(q, table->offset + 8 * index, value))))
        return code;
    table->entry[index] = GUINT64_TO_BE(value);
    if (!waits)
        return 0;
    table->dirty = true;
    return ++q->dirty >= DIRTY_MOST ? settle(q) : 0;
}

/* ---- clusters ---- */

static bool reads_zero(const struct qcow2 *q, uint64_t entry)
{
    return q->version >= 3 && !(entry & COMPRESSED) && entry & ZERO;
}

static int read_below(struct qcow2 *q, uint64_t offset, uint8_t *to, size_t len)
{
    uint64_t size = q->base ? q->base->size : 0;
    size_t there = offset >= size ? 0 : (size_t)MIN((uint64_t)len, size - offset);
    memset(to + there, 0, len - there);
    return there ? q->base->ops->read(q->base, offset, to, there) : 0;
}

/* Where compressed data is: first byte, and length rounded up to sectors. */
static void compressed_extent(const struct qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *len)
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
    compressed_extent(q, entry, &offset, &len);
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
static int read_cluster(struct qcow2 *q, uint64_t entry, uint64_t offset, uint8_t *to, size_t len)
{
    uint64_t in = offset & (q->cluster - 1), host = entry & OFFSET_BITS;
    size_t beyond;
    if (entry & COMPRESSED) {
        int code = unpack(q, entry);
        if (!code)
            memcpy(to, q->unpacked + in, len);
        return code;
    }
    if (reads_zero(q, entry)) {
        memset(to, 0, len);
        return 0;
    }
    if (!host)
        return read_below(q, offset, to, len);
    if (!aligned(q, host))
        return corrupt(q, "an entry for data is at no possible place", host);
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
    if (!read_cluster(q, entry, start, whole, q->cluster))
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
        if (code || (code = read_cluster(q, entry, offset, to, run)))
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
        if (offset && aligned(q, offset))
            let_go(q, offset >> q->cluster_bits);
        return;
    }
    compressed_extent(q, entry, &offset, &len);
    for (uint64_t n = offset >> q->cluster_bits; n <= (offset + len - 1) >> q->cluster_bits; n++)
        let_go(q, n);
    q->unpacked_entry = 0;
}

/* Whether a cluster has content that a part of it written anew must keep. */
static bool has_content(const struct qcow2 *q, uint64_t entry, uint64_t offset)
{
    if (entry & COMPRESSED || (entry & OFFSET_BITS && !reads_zero(q, entry)))
        return true;
    return !reads_zero(q, entry) && q->base && offset < q->base->size;
}

static int sync_all(struct qcow2 *q)
{
    int code = settle(q);
    if (!code)
        code = block_file_sync(q->file);
    if (!code)
        give_back(q);
    return code;
}

/* The part of one cluster goes to a new place, with the rest of the cluster. */
static int write_elsewhere(struct qcow2 *q, uint64_t entry, uint64_t offset, const uint8_t *from, size_t len)
{
    uint64_t start = offset & ~(q->cluster - 1), host = 0;
    bool prepared = !(entry & COMPRESSED) && reads_zero(q, entry) && entry & COPIED && entry & OFFSET_BITS;
    bool waits = prepared || has_content(q, entry, start); /* else a cut may show neither old nor new */
    g_autofree uint8_t *whole = NULL;
    int code = 0;
    if (prepared)
        host = entry & OFFSET_BITS;
    if (len < q->cluster) {
        whole = g_malloc(q->cluster);
        if ((code = read_cluster(q, entry, start, whole, q->cluster)))
            return code;
        memcpy(whole + (offset - start), from, len);
        from = whole;
    }
    if (prepared && (code = check_place(q, host, 0)))
        return code;
    if ((!prepared && (code = allocate(q, &host))) ||
        (code = block_file_write(q->file, host, from, q->cluster)) ||
        (code = set_entry(q, offset >> q->cluster_bits, host | COPIED, waits)))
        return code;
    if (!prepared)
        release_old(q, entry);
    return q->unused->len >= UNUSED_MOST ? sync_all(q) : 0;
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
        if (entry & COPIED && host && !(entry & COMPRESSED) && !reads_zero(q, entry)) {
            if ((code = check_place(q, host, 0)))
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
    return sync_all((struct qcow2 *)image);
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
        if ((!entry && !q->base) || (reads_zero(q, entry) && !(entry & OFFSET_BITS)))
            continue;
        if ((code = set_entry(q, n, value, false)))
            return code;
        release_old(q, entry);
        if (q->unused->len >= UNUSED_MOST && (code = sync_all(q)))
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
    uint64_t wanted = ((size - 1) >> (q->cluster_bits + q->l2_bits)) + 1;
    uint64_t room = (((uint64_t)q->l1_size * 8 + q->cluster - 1) & ~(q->cluster - 1)) / 8;
    uint64_t clusters = (size >> q->cluster_bits) + (wanted << 1) + RESERVE_LEAST + 4;
    uint8_t number[4];
    int code;
    if (q->corrupt)
        return EIO;
    if (size < q->image.size || size > INT64_MAX - q->cluster || wanted > room || wanted * 8 > L1_MOST ||
        clusters + clusters / counts_per_block(q) > (uint64_t)q->reftable_size * counts_per_block(q))
        return size < q->image.size ? ENOTSUP : EFBIG;
    if (wanted > q->l1_size) {
        q->l1 = g_realloc(q->l1, (size_t)wanted * 8);
        for (uint64_t i = q->l1_size; i < wanted; i++) {
            q->l1[i] = 0;
            if ((code = write_entry(q, q->l1_offset + 8 * i, 0)))
                return code;
        }
        for (unsigned i = 0; i < 4; i++)
            number[i] = (uint8_t)(wanted >> (24 - 8 * i));
        if ((code = block_file_sync(q->file)) || (code = block_file_write(q->file, 36, number, 4)))
            return code;
        q->l1_size = (uint32_t)wanted;
    }
    if ((code = block_file_sync(q->file)) || (code = write_entry(q, 24, size)) ||
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
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "%s: has nothing to commit: there is no backing file",
                    image->path);
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
        if ((code = look_up(q, n, &entry)) || !entry || (code = read_cluster(q, entry, start, buf, len)))
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
            code = sync_all(q);
    }
    if (!code)
        code = sync_all(q);
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
        if (!settle(q) && (!q->unused->len || !block_file_sync(q->file)))
            give_back(q);
        if (q->next < q->reserved)
            count_clusters(q, q->next, q->reserved - q->next, -1);
    }
    image_close(q->base);
    block_file_close(q->file);
    for (unsigned i = 0; i < L2_CACHE; i++)
        g_free(q->l2[i].entry);
    g_array_free(q->unused, TRUE);
    g_free(q->l1);
    g_free(q->reftable);
    g_free(q->room);
    g_free(q->unpacked);
    g_free(q);
}

#define QCOW2_OPS                                                                                            \
    .format = "qcow2", .read = qcow2_read, .write = qcow2_write, .flush = qcow2_flush, .zero = qcow2_zero,   \
    .resize = qcow2_resize, .commit = qcow2_commit, .close = qcow2_close
static const struct image_ops qcow2_ops = {QCOW2_OPS};
static const struct image_ops qcow2_discard_ops = {QCOW2_OPS, .discard = qcow2_discard};

/* ---- opening ---- */

G_GNUC_PRINTF(3, 4) static bool refuse(const struct qcow2 *q, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: qcow2 image: %s", q->file->path, text);
    return false;
}

static uint64_t *read_table(struct qcow2 *q, const char *what, uint64_t offset, uint64_t entries,
                            GError **error)
{
    size_t beyond = 0, len = (size_t)entries * 8;
    if (!aligned(q, offset) || !offset || offset > INT64_MAX - len) {
        refuse(q, error, "its %s is at no possible place; the file is damaged", what);
        return NULL;
    }
    uint64_t *table = g_try_malloc0(MAX(len, 8));
    int code = table ? block_file_read(q->file, offset, table, len, &beyond) : ENOMEM;
    if (code || beyond) {
        refuse(q, error, "its %s cannot be read (%s); the file is damaged or was cut short", what,
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
        return refuse(q, error, "more than %d backing files below each other", IMAGE_DEPTH_MOST);
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
        return refuse(q, error, "the name of its backing file is damaged");
    if (depth + 1 >= IMAGE_DEPTH_MOST)
        return refuse(q, error, "more than %d backing files below each other", IMAGE_DEPTH_MOST);
    if (g_str_has_prefix(name, "json:") || strstr(name, "://"))
        return refuse(q, error, "its backing file \"%s\" is not a file; only files are opened here", name);
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

static bool check_writable(struct qcow2 *q, const uint8_t *header, uint64_t incompatible, GError **error)
{
    uint64_t per_block = counts_per_block(q);
    uint64_t data = (q->image.size >> q->cluster_bits) + 1, tables = (data >> q->l2_bits) + 1;
    if (be32(header + 60))
        return refuse(q, error,
                      "it has internal snapshots, which are not kept when it is written; open it with "
                      "readonly=on or snapshot=on, or take them out (qemu-img snapshot -d)");
    if (incompatible & (INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT))
        return refuse(q, error,
                      "it was not closed cleanly or is marked corrupt; repair it (qemu-img check -r all), "
                      "or open it with readonly=on or snapshot=on");
    uint64_t wanted = data + tables + (data + tables) / per_block + 2 + RESERVE_LEAST;
    if ((uint64_t)q->reftable_size * per_block < wanted)
        return refuse(q, error,
                      "its refcount table has no room for the whole disk; convert it with larger clusters "
                      "(qemu-img convert -O qcow2), or open it with readonly=on or snapshot=on");
    return true;
}

static bool read_header(struct qcow2 *q, enum block_cache cache, unsigned depth,
                        const struct block_below *below, GError **error)
{
    uint8_t h[HEADER_V3 + 8] = {0};
    size_t beyond = 0;
    int code = block_file_read(q->file, 0, h, sizeof h, &beyond);
    if (code)
        return refuse(q, error, "reading its header: %s", g_strerror(code));
    if (beyond > sizeof h - HEADER_V2 || memcmp(h, "QFI\xfb", 4) != 0)
        return refuse(q, error, "the file has no qcow2 header; is format=raw meant?");
    q->version = be32(h + 4);
    q->cluster_bits = be32(h + 20);
    if (q->version != 2 && q->version != 3)
        return refuse(q, error, "version %u is not known; there are 2 and 3", q->version);
    if (q->cluster_bits < CLUSTER_BITS_LEAST || q->cluster_bits > CLUSTER_BITS_MOST)
        return refuse(q, error, "clusters of 2^%u bytes are not possible; the file is damaged",
                      q->cluster_bits);
    uint64_t incompatible = 0, header_len = HEADER_V2;
    unsigned order = 4;
    if (q->version == 3) {
        incompatible = be64(h + 72);
        order = be32(h + 96);
        header_len = be32(h + 100);
        if (header_len < HEADER_V3 || order > 6)
            return refuse(q, error, "its header is damaged");
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
        return refuse(q, error, "encrypted images are not read here; decrypt it (qemu-img convert)");
    if (incompatible & INCOMPATIBLE_DATA_FILE)
        return refuse(q, error, "external data files are not read here; convert it (qemu-img convert)");
    if (incompatible & INCOMPATIBLE_COMPRESSION && header_len > HEADER_V3 && h[HEADER_V3])
        return refuse(q, error, "only deflate compression is read here; convert it (qemu-img convert)");
    if (incompatible & ~(uint64_t)(INCOMPATIBLE_KNOWN | INCOMPATIBLE_COMPRESSION))
        return refuse(q, error, "it uses features that are not known here (%#" G_GINT64_MODIFIER "x)",
                      incompatible);
    if (!size || size > INT64_MAX - q->cluster || l1_bytes > L1_MOST || reftable_bytes > REFTABLE_MOST ||
        (uint64_t)q->l1_size < ((size - 1) >> (q->cluster_bits + q->l2_bits)) + 1)
        return refuse(q, error, "its size and its tables do not fit each other; the file is damaged");
    q->image.size = (size + BLOCK_SECTOR - 1) & ~(uint64_t)(BLOCK_SECTOR - 1);
    q->reftable_size = (uint32_t)(reftable_bytes / 8);
    if (!(q->l1 = read_table(q, "L1 table", q->l1_offset, q->l1_size, error)) ||
        !(q->reftable = read_table(q, "refcount table", q->reftable_offset, q->reftable_size, error)))
        return false;
    if (!q->file->read_only && !check_writable(q, h, incompatible, error))
        return false;
    if (!q->file->read_only && q->version == 3 && be64(h + 88) && (code = write_entry(q, 88, 0)))
        return refuse(q, error, "writing its header: %s", g_strerror(code));
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
    q->ahead = RESERVE_LEAST;
    q->unused = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    if (!read_header(q, cache, depth, below, error)) {
        image_close(&q->image);
        return NULL;
    }
    q->room = g_malloc(q->cluster);
    q->unpacked = g_malloc(q->cluster);
    return &q->image;
}
