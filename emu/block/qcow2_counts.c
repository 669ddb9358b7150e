/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Reference counts of a qcow2 image, where new clusters come from, and what must not be written over: the
 * rules are in qcow2.c.
 */
#include "emu/block/qcow2_internal.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

enum { INCOMPATIBLE_CORRUPT = 2 };

int qcow2_write_entry(struct qcow2 *q, uint64_t offset, uint64_t value)
{
    uint64_t be = GUINT64_TO_BE(value);
    return block_file_write(q->file, offset, &be, sizeof be);
}

int qcow2_switch_header(struct qcow2 *q, unsigned at, const uint8_t *fields, unsigned len)
{
    uint8_t old[BLOCK_SECTOR];
    int code = block_file_sync(q->file);
    if (code || (code = block_file_read(q->file, at, old, len, NULL)))
        return code;
    if (!(code = block_file_write(q->file, at, fields, len)) && !(code = block_file_sync(q->file)))
        return 0;
    if (block_file_write(q->file, at, old, len)) /* nobody knows what it says now */
        qcow2_corrupt(q, "the header could not be written", at);
    return code;
}

/* ---- damage ---- */

/* Nothing is written any more; the file says so to whoever opens it next. */
int qcow2_corrupt(struct qcow2 *q, const char *what, uint64_t offset)
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
        qcow2_write_entry(q, 72, be64(features) | INCOMPATIBLE_CORRUPT);
        block_file_sync(q->file);
    }
    g_atomic_int_set(&q->image.damaged, 1);
    return EIO;
}

static bool overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

/* Why the cluster must not be written as something else; NULL: it may. `known`: what it is known to be. */
static const char *taken_by(const struct qcow2 *q, uint64_t at, unsigned known)
{
    if (at < q->cluster)
        return "the header";
    if (overlaps(at, q->cluster, q->l1_offset, (uint64_t)q->l1_size * 8))
        return "the L1 table";
    if (overlaps(at, q->cluster, q->reftable_offset, (uint64_t)q->reftable_size * 8))
        return "the refcount table";
    if (overlaps(at, q->cluster, q->snapshots_offset, q->snapshots_len))
        return "the snapshot table";
    for (guint i = 0; i < MIN(q->snapshots->len, (guint)PLACES_LOOKED_AT); i++) {
        const struct qcow2_snapshot *s = q->snapshots->pdata[i];
        if (overlaps(at, q->cluster, s->l1_offset, (uint64_t)s->l1_size * 8))
            return "the L1 table of a snapshot";
    }
    for (uint32_t i = 0; !(known & PLACE_COUNTS) && i < MIN(q->reftable_size, (uint32_t)PLACES_LOOKED_AT);
         i++)
        if ((q->reftable[i] & ~(uint64_t)511) == at)
            return "a refcount block";
    for (uint32_t i = 0; !(known & PLACE_L2) && i < MIN(q->l1_size, (uint32_t)PLACES_LOOKED_AT); i++)
        if ((q->l1[i] & OFFSET_BITS) == at)
            return "an L2 table";
    return NULL;
}

int qcow2_check_place(struct qcow2 *q, uint64_t at, unsigned known)
{
    const char *what = qcow2_aligned(q, at) ? taken_by(q, at, known) : "no possible place";
    if (!what)
        return 0;
    g_autofree char *text = g_strdup_printf("an entry for %s is %s",
                                            known == PLACE_L2       ? "an L2 table"
                                            : known == PLACE_COUNTS ? "reference counts"
                                                                    : "data",
                                            what);
    return qcow2_corrupt(q, text, at);
}

/* ---- reference counts ---- */

uint64_t qcow2_counts_per_block(const struct qcow2 *q)
{
    return (q->cluster * 8) / q->refcount_bits;
}

uint64_t qcow2_count_get(const struct qcow2 *q, const uint8_t *block, uint64_t in_block)
{
    unsigned bits = q->refcount_bits;
    const uint8_t *p = block + in_block * bits / 8;
    uint64_t value = 0;
    if (bits < 8)
        return *p >> in_block * bits % 8 & ((1u << bits) - 1);
    for (unsigned k = 0; k < bits / 8; k++)
        value = value << 8 | p[k];
    return value;
}

void qcow2_count_put(const struct qcow2 *q, uint8_t *block, uint64_t in_block, uint64_t value)
{
    unsigned bits = q->refcount_bits, shift = (unsigned)(in_block * bits % 8);
    uint8_t *p = block + in_block * bits / 8;
    if (bits < 8)
        *p = (uint8_t)((*p & ~(((1u << bits) - 1) << shift)) | value << shift);
    else
        for (unsigned k = bits / 8; k-- > 0; value >>= 8)
            p[k] = (uint8_t)value;
}

/* `*gone`: the last one has none left. */
static int count_clusters_to(struct qcow2 *q, uint64_t first, uint64_t count, int by, bool *gone)
{
    uint64_t per_block = qcow2_counts_per_block(q), index = first / per_block, in_block = first % per_block;
    uint64_t block = index < q->reftable_size ? q->reftable[index] & ~(uint64_t)511 : 0;
    unsigned bits = q->refcount_bits;
    uint64_t most = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    if (!block || in_block + count > per_block)
        return EIO;
    if (qcow2_check_place(q, block, PLACE_COUNTS))
        return EIO;
    uint64_t from = in_block * bits / 8, to = ((in_block + count) * bits + 7) / 8;
    int code = block_file_read(q->file, block + from, q->room + from, to - from, NULL);
    if (code)
        return code;
    for (uint64_t i = in_block; i < in_block + count; i++) {
        uint64_t value = qcow2_count_get(q, q->room, i);
        if (by > 0 ? value == most : value == 0)
            continue; /* a count that cannot be right: left to qemu-img check */
        value += (uint64_t)(int64_t)by;
        *gone = !value;
        qcow2_count_put(q, q->room, i, value);
    }
    if ((code = block_file_write(q->file, block + from, q->room + from, to - from)))
        return code;
    for (uint64_t n = first; q->change && n < first + count; n++)
        qcow2_change_counted(q->change, n, by);
    return 0;
}

int qcow2_count_clusters(struct qcow2 *q, uint64_t first, uint64_t count, int by)
{
    bool gone;
    return count_clusters_to(q, first, count, by, &gone);
}

void qcow2_let_go(struct qcow2 *q, uint64_t n)
{
    g_array_append_val(q->unused, n);
}

void qcow2_let_go_run(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
    for (uint64_t at = offset & ~(q->cluster - 1); at < offset + bytes; at += q->cluster)
        qcow2_let_go(q, at >> q->cluster_bits);
}

void qcow2_give_back(struct qcow2 *q)
{
    for (guint i = 0; i < q->unused->len && !q->corrupt; i++) {
        uint64_t n = g_array_index(q->unused, uint64_t, i);
        bool gone = false;
        if (!count_clusters_to(q, n, 1, -1, &gone) && gone && q->discard)
            block_file_punch(q->file, n << q->cluster_bits, q->cluster);
    }
    g_array_set_size(q->unused, 0);
}

void qcow2_return_reserved(struct qcow2 *q)
{
    uint64_t per_block = qcow2_counts_per_block(q);
    while (q->next < q->reserved && !q->corrupt) {
        uint64_t count = MIN(q->reserved - q->next, per_block - q->next % per_block);
        if (qcow2_count_clusters(q, q->next, count, -1))
            break;
        q->next += count;
    }
    q->next = q->reserved;
}

/* How many clusters from `first` on, at most `most` and all in one block, are counted as free. */
static int free_run(struct qcow2 *q, uint64_t first, uint64_t most, uint64_t *run)
{
    uint64_t per_block = qcow2_counts_per_block(q), in_block = first % per_block;
    uint64_t block = q->reftable[first / per_block] & ~(uint64_t)511;
    if (!block || !qcow2_aligned(q, block))
        return EIO;
    int code = block_file_read(q->file, block, q->room, q->cluster, NULL);
    for (*run = 0; !code && *run < most; ++*run)
        if (qcow2_count_get(q, q->room, in_block + *run))
            break;
    return code;
}

/* ---- new clusters ---- */

static bool has_block(const struct qcow2 *q, uint64_t index)
{
    return index < q->reftable_size && q->reftable[index];
}

/* The first cluster behind the end of the file that nothing before it, nor it itself, is counted. */
static int find_end(struct qcow2 *q, uint64_t count, uint64_t *first)
{
    uint64_t per_block = qcow2_counts_per_block(q), end = qcow2_clusters(q, q->file->size);
    for (uint64_t at = end; at < end + count;) { /* what a crash left counted there is left out */
        uint64_t most = MIN(end + count - at, per_block - at % per_block), run = most;
        int code = has_block(q, at / per_block) ? free_run(q, at, most, &run) : 0;
        if (code)
            return code;
        at += run;
        if (run < most)
            end = ++at;
    }
    *first = end;
    return 0;
}

/* The refcount table at a new place, with room for `entries`; `first`: a run of `clusters` is there for it.
 */
static int move_reftable(struct qcow2 *q, uint64_t *table, uint64_t first, uint64_t clusters)
{
    uint64_t entries = (clusters << q->cluster_bits) / 8, old = q->reftable_offset,
             old_len = q->reftable_size;
    g_autofree uint64_t *be = g_malloc0(entries * 8);
    uint8_t header[12];
    uint64_t offset = GUINT64_TO_BE(first << q->cluster_bits);
    uint32_t count = GUINT32_TO_BE((uint32_t)clusters);
    for (uint64_t i = 0; i < entries; i++)
        be[i] = GUINT64_TO_BE(table[i]);
    memcpy(header, &offset, 8);
    memcpy(header + 8, &count, 4);
    int code = block_file_write(q->file, first << q->cluster_bits, be, entries * 8);
    if (code || (code = qcow2_switch_header(q, 48, header, sizeof header)))
        return code;
    q->reftable_offset = first << q->cluster_bits;
    q->reftable_size = (uint32_t)entries;
    qcow2_let_go_run(q, old, old_len * 8);
    return 0;
}

/* [first, end) is counted: `blocks` at its beginning are for blocks that are missing, and `table` behind them
 * for the refcount table, 0: it stays where it is. */
static int make_countable(struct qcow2 *q, uint64_t first, uint64_t end, uint64_t blocks, uint64_t table)
{
    uint64_t per_block = qcow2_counts_per_block(q), used = 0, counted = first / per_block;
    uint64_t entries = table ? (table << q->cluster_bits) / 8 : q->reftable_size;
    g_autofree uint64_t *now = g_malloc0(entries * 8);
    g_autofree uint8_t *block = g_malloc(q->cluster);
    int code = 0;
    memcpy(now, q->reftable, (size_t)MIN((uint64_t)q->reftable_size, entries) * 8);
    for (; counted <= (end - 1) / per_block && !code; counted++) {
        uint64_t from = MAX(first, counted * per_block), to = MIN(end, (counted + 1) * per_block);
        if (has_block(q, counted)) {
            if ((code = qcow2_count_clusters(q, from, to - from, 1)))
                break;
            continue;
        }
        memset(block, 0, q->cluster);
        for (uint64_t n = from; n < to; n++)
            qcow2_count_put(q, block, n % per_block, 1);
        now[counted] = (first + used++) << q->cluster_bits;
        code = block_file_write(q->file, now[counted], block, q->cluster);
    }
    if (!code)
        code = block_file_sync(q->file);
    if (!code && table) {
        code = move_reftable(q, now, first + blocks, table);
    } else if (!code && used) {
        for (uint64_t i = first / per_block; i <= (end - 1) / per_block && !code; i++)
            if (now[i] != q->reftable[i])
                code = qcow2_write_entry(q, q->reftable_offset + 8 * i, now[i]);
        if (!code)
            code = block_file_sync(q->file);
        for (uint64_t i = first / per_block; code && i <= (end - 1) / per_block; i++)
            if (now[i] != q->reftable[i] && qcow2_write_entry(q, q->reftable_offset + 8 * i, 0))
                return qcow2_corrupt(q, "the refcount table could not be written", q->reftable_offset);
    }
    if (code) { /* as it was */
        while (counted-- > first / per_block) {
            uint64_t from = MAX(first, counted * per_block), to = MIN(end, (counted + 1) * per_block);
            if (has_block(q, counted))
                qcow2_count_clusters(q, from, to - from, -1);
        }
        return code;
    }
    g_free(q->reftable);
    q->reftable = g_steal_pointer(&now);
    for (uint64_t n = first + used; n < first + blocks; n++)
        qcow2_let_go(q, n);
    return 0;
}

/*
 * At the end of the file: blocks of counts that are not there yet, a larger refcount table should it need
 * one, and `count` clusters. What they are counted in is on the disk before the table says so.
 */
int qcow2_allocate_run(struct qcow2 *q, uint64_t count, uint64_t *out)
{
    uint64_t per_block = qcow2_counts_per_block(q), blocks = 0, table = 0, first, total, end;
    int code;
    for (unsigned turn = 0;;
         turn++) { /* the more there is to be counted, the more of it: until it is enough */
        uint64_t wanted = 0, wanted_table = 0;
        total = blocks + table + count;
        if ((code = find_end(q, total, &first)))
            return code;
        end = first + total;
        if (end > OFFSET_BITS >> q->cluster_bits)
            return EFBIG;
        for (uint64_t i = first / per_block; i <= (end - 1) / per_block; i++)
            wanted += !has_block(q, i);
        if ((end - 1) / per_block >= q->reftable_size)
            wanted_table = qcow2_clusters(q, ((end - 1) / per_block + 1) * 12); /* half as many again */
        if (wanted_table << q->cluster_bits > REFTABLE_MOST)
            return EFBIG;
        if (wanted <= blocks && wanted_table <= table)
            break;
        blocks = MAX(blocks, wanted);
        table = MAX(table, wanted_table);
        if (turn > 64)
            return EFBIG;
    }
    code = make_countable(q, first, end, blocks, table);
    if (!code)
        *out = end - count;
    return code;
}

/* From what deleted snapshots left. False: there is nothing, or it is not as it should be. */
static bool reserve_freed(struct qcow2 *q)
{
    uint64_t per_block = qcow2_counts_per_block(q), count = 0;
    while (q->freed->len) {
        struct cluster_run *run = &g_array_index(q->freed, struct cluster_run, q->freed->len - 1);
        uint64_t first = run->first, most = MIN(MIN(q->ahead, run->count), per_block - first % per_block);
        run->first += most;
        run->count -= most;
        if (!run->count)
            g_array_set_size(q->freed, q->freed->len - 1);
        if (first / per_block >= q->reftable_size || free_run(q, first, most, &count) || count != most ||
            qcow2_count_clusters(q, first, count, 1))
            continue;
        q->next = first;
        q->reserved = first + count;
        return true;
    }
    return false;
}

/* Counts some clusters, so that they can be used. */
static int reserve(struct qcow2 *q)
{
    uint64_t per_block = qcow2_counts_per_block(q), first, count;
    if (!reserve_freed(q)) {
        int code = find_end(q, 1, &first);
        if (code)
            return code;
        if (has_block(q, first / per_block)) {
            uint64_t most = MIN(q->ahead, per_block - first % per_block);
            if ((code = free_run(q, first, most, &count)) ||
                (code = qcow2_count_clusters(q, first, count, 1)))
                return code;
        } else {
            count = MIN(q->ahead, per_block / 2 + 1);
            if ((code = qcow2_allocate_run(q, count, &first)))
                return code;
        }
        q->next = first;
        q->reserved = first + count;
    }
    q->ahead = MAX(q->ahead, MIN(2 * q->ahead, (uint64_t)RESERVE_MOST));
    return block_file_sync(q->file);
}

int qcow2_allocate(struct qcow2 *q, uint64_t *offset)
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
