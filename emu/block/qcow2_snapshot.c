/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Internal snapshots of a qcow2 image. Each is an L1 table with all below it, in which a machine's state can
 * be behind the end of the disk.
 *
 * Taking, applying and deleting one changes reference counts and, with them, which entries in use are COPIED.
 * Both have to change at one moment, or whoever finds the image after a crash takes a shared cluster for its
 * own. So nothing that is in use is changed: what becomes different (L1, L2 tables, blocks of counts, the
 * refcount table, the table of snapshots) is written to new clusters, synced, and then one write of the
 * header's first sector makes all of it valid. Before that write a crash leaves the image as it was, after it
 * as it shall be, either way with clusters counted that nobody uses. The old ones are given back when the
 * header is on the disk.
 *
 *   struct qcow2_change   the counts as they will be: blocks of counts in memory, those alone that are
 * touched walk()                adds to the counts of all that an L1 table reaches switch_to() writes the new
 * tables, and switches
 *
 * A new snapshot keeps the tables that were in use, and what goes on is a copy of them without COPIED. Tables
 * that have no such entry are shared instead. A machine's state is written before, to clusters that no table
 * knows.
 */
#include "emu/block/qcow2_internal.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

enum { ENTRY_FIXED = 40, EXTRA_SIZES = 16, EXTRA_ICOUNT = 24, NAME_MOST = 65535 };
enum { COUNTS_MOST = 256 << 20, STATE_BATCH = 16 << 20, REUSED_LEAST = 16 };

struct counted {
    uint8_t *block;
    bool changed;
};

struct qcow2_change {
    struct qcow2 *q;
    GHashTable *counts; /* index in the refcount table → struct counted */
    uint64_t bytes;
    GArray *gone;           /* uint64_t: clusters that nobody will use, but for those that came back */
    bool taken_first;       /* what goes was taken from the counts before what comes was added */
    const char *wrong;      /* what does not fit in the image; NULL: nothing yet */
    uint64_t tables, *l1;   /* what will be in use */
    uint64_t l1_size, size; /* entries; of the disk */
    bool *moves;            /* for each entry of it: its table is written anew */
    GPtrArray *snapshots;   /* as they will be */
    struct qcow2_snapshot *with_state;
    struct cluster_run run; /* the new clusters */
};

static void counted_free(void *opaque)
{
    struct counted *c = opaque;
    g_free(c->block);
    g_free(c);
}

void qcow2_snapshot_free(struct qcow2_snapshot *s)
{
    g_free(s->shown.id);
    g_free(s->shown.name);
    g_free(s->extra);
    g_free(s);
}

static struct qcow2_snapshot *copy_of(const struct qcow2_snapshot *s)
{
    struct qcow2_snapshot *copy = g_memdup2(s, sizeof *s);
    copy->shown.id = g_strdup(s->shown.id);
    copy->shown.name = g_strdup(s->shown.name);
    copy->extra = g_memdup2(s->extra, s->extra_len);
    return copy;
}

/* ---- the table ---- */

static bool parse_entry(struct qcow2 *q, const uint8_t *p, uint64_t left, uint64_t *len)
{
    if (left < ENTRY_FIXED)
        return false;
    uint64_t id_len = be32(p + 12) >> 16, name_len = be32(p + 12) & 0xffff, extra = be32(p + 36);
    uint64_t whole = ENTRY_FIXED + extra + id_len + name_len;
    if (extra > SNAPSHOT_EXTRA_MOST || whole > left)
        return false;
    const uint8_t *more = p + ENTRY_FIXED, *id = more + extra, *name = id + id_len;
    struct qcow2_snapshot *s = g_new0(struct qcow2_snapshot, 1);
    uint64_t large = extra >= 8 ? be64(more) : 0;
    s->l1_offset = be64(p);
    s->l1_size = be32(p + 8);
    s->shown = (struct block_snapshot){.id = g_strndup((const char *)id, id_len),
                                       .name = g_strndup((const char *)name, name_len),
                                       .date = be32(p + 16),
                                       .date_ns = be32(p + 20),
                                       .clock_ns = be64(p + 24),
                                       .state_size = large ? large : be32(p + 32),
                                       .size = extra >= EXTRA_SIZES ? be64(more + 8) : q->image.size,
                                       .icount = extra >= EXTRA_ICOUNT ? be64(more + 16) : UINT64_MAX};
    if (extra > EXTRA_ICOUNT) {
        s->extra_len = (uint32_t)extra - EXTRA_ICOUNT;
        s->extra = g_memdup2(more + EXTRA_ICOUNT, s->extra_len);
    }
    g_ptr_array_add(q->snapshots, s);
    *len = (whole + 7) & ~UINT64_C(7);
    return s->l1_offset && qcow2_aligned(q, s->l1_offset) && (uint64_t)s->l1_size * 8 <= L1_MOST &&
           s->l1_offset <= INT64_MAX - L1_MOST && s->shown.size && s->shown.size <= INT64_MAX - q->cluster &&
           qcow2_l1_needed(q, s->shown.size) * 8 <= L1_MOST;
}

bool qcow2_snapshots_load(struct qcow2 *q, uint64_t offset, uint32_t count, GError **error)
{
    uint64_t end = q->file->size, most = 0, at = 0, len;
    g_autofree uint8_t *table = NULL;
    bool good = true;
    if (!count)
        return true;
    if (count > SNAPSHOTS_MOST)
        return qcow2_refuse(q, error, "%u snapshots, and more than %d cannot be; the file is damaged", count,
                            SNAPSHOTS_MOST);
    if (!offset || !qcow2_aligned(q, offset) || offset >= end)
        good = false;
    else
        most = MIN((uint64_t)SNAPSHOT_TABLE_MOST, end - offset);
    if (good && (!(table = g_try_malloc(most)) || block_file_read(q->file, offset, table, most, NULL)))
        good = false;
    for (uint32_t i = 0; i < count && good; i++, at += len)
        good = at < most && parse_entry(q, table + at, most - at, &len);
    if (good) {
        q->snapshots_offset = offset;
        q->snapshots_len = MIN(at, most);
        return true;
    }
    g_ptr_array_set_size(q->snapshots, 0);
    return qcow2_refuse(
        q, error,
        "its table of snapshots is damaged; repair it (qemu-img check -r all), or open it with "
        "readonly=on or snapshot=on");
}

static void put(GByteArray *out, uint64_t value, unsigned bytes)
{
    uint64_t be = GUINT64_TO_BE(value);
    g_byte_array_append(out, (const uint8_t *)&be + 8 - bytes, bytes);
}

static void put_entry(GByteArray *out, const struct qcow2_snapshot *s)
{
    static const uint8_t zeros[8];
    const struct block_snapshot *b = &s->shown;
    size_t id = strlen(b->id), name = strlen(b->name);
    put(out, s->l1_offset, 8);
    put(out, s->l1_size, 4);
    put(out, id, 2);
    put(out, name, 2);
    put(out, (uint64_t)b->date, 4);
    put(out, b->date_ns, 4);
    put(out, b->clock_ns, 8);
    put(out, b->state_size > UINT32_MAX ? 0 : b->state_size, 4);
    put(out, EXTRA_ICOUNT + s->extra_len, 4);
    put(out, b->state_size, 8);
    put(out, b->size, 8);
    put(out, b->icount, 8);
    g_byte_array_append(out, s->extra ? s->extra : zeros, s->extra_len);
    g_byte_array_append(out, (const uint8_t *)b->id, (guint)id);
    g_byte_array_append(out, (const uint8_t *)b->name, (guint)name);
    g_byte_array_append(out, zeros, -out->len & 7);
}

/* ---- counts as they will be ---- */

/* NULL: nothing counts this cluster yet, or it cannot be read (`wrong`). */
static struct counted *counts_of(struct qcow2_change *c, uint64_t n)
{
    struct qcow2 *q = c->q;
    uint64_t index = n / qcow2_counts_per_block(q);
    struct counted *counted = g_hash_table_lookup(c->counts, GSIZE_TO_POINTER(index));
    if (counted || index >= q->reftable_size || !q->reftable[index])
        return counted;
    uint64_t offset = q->reftable[index] & ~(uint64_t)511;
    if ((c->bytes += q->cluster) > COUNTS_MOST) {
        c->wrong = "it is too large for its clusters: convert it with larger ones (qemu-img convert -o "
                   "cluster_size=)";
        return NULL;
    }
    counted = g_new0(struct counted, 1);
    counted->block = g_malloc(q->cluster);
    if (!qcow2_aligned(q, offset) || block_file_read(q->file, offset, counted->block, q->cluster, NULL)) {
        c->wrong = "its reference counts cannot be read; the file is damaged (qemu-img check -r all)";
        counted_free(counted);
        return NULL;
    }
    g_hash_table_insert(c->counts, GSIZE_TO_POINTER(index), counted);
    return counted;
}

static uint64_t count_of(struct qcow2_change *c, uint64_t n)
{
    const struct counted *counted = counts_of(c, n);
    return counted ? qcow2_count_get(c->q, counted->block, n % qcow2_counts_per_block(c->q)) : 0;
}

static bool add_count(struct qcow2_change *c, uint64_t n, int by)
{
    struct counted *counted = counts_of(c, n);
    uint64_t in_block = n % qcow2_counts_per_block(c->q), value = 0;
    uint64_t most = c->q->refcount_bits == 64 ? UINT64_MAX : (UINT64_C(1) << c->q->refcount_bits) - 1;
    if (counted)
        value = qcow2_count_get(c->q, counted->block, in_block);
    if (!value && !c->wrong && (by < 0 || !c->taken_first || !counted))
        c->wrong = "it uses a cluster that is counted as free; the file is damaged (qemu-img check -r all)";
    if (by > 0 && value == most && !c->wrong)
        c->wrong =
            "its reference counts have no room for one more snapshot: delete some, or convert it with wider "
            "counts (qemu-img convert -o refcount_bits=16)";
    if (c->wrong)
        return false;
    value += (uint64_t)(int64_t)by;
    qcow2_count_put(c->q, counted->block, in_block, value);
    counted->changed = true;
    if (!value)
        g_array_append_val(c->gone, n);
    return true;
}

/* What the file's own counts say changed; nothing more is to be written for it. */
void qcow2_change_counted(struct qcow2_change *c, uint64_t n, int by)
{
    uint64_t per_block = qcow2_counts_per_block(c->q);
    struct counted *counted = g_hash_table_lookup(c->counts, GSIZE_TO_POINTER(n / per_block));
    if (counted)
        qcow2_count_put(c->q, counted->block, n % per_block,
                        qcow2_count_get(c->q, counted->block, n % per_block) + (uint64_t)(int64_t)by);
}

static bool damaged(struct qcow2_change *c)
{
    if (!c->wrong)
        c->wrong =
            "an entry of its tables points to no possible place; the file is damaged (qemu-img check -r all)";
    return false;
}

/* An L2 table, in the file's byte order. */
static bool read_l2(struct qcow2_change *c, uint64_t offset, uint64_t *table)
{
    if (!qcow2_aligned(c->q, offset) || offset >= c->q->file->size)
        return damaged(c);
    if (!block_file_read(c->q->file, offset, table, c->q->cluster, NULL))
        return true;
    c->wrong = "its tables cannot be read";
    return false;
}

static bool walk_entry(struct qcow2_change *c, uint64_t entry, int by)
{
    struct qcow2 *q = c->q;
    uint64_t offset = entry & OFFSET_BITS, len = 1;
    if (entry & COMPRESSED)
        qcow2_compressed_extent(q, entry, &offset, &len);
    else if (!offset)
        return true;
    if (offset >= q->file->size || (!(entry & COMPRESSED) && !qcow2_aligned(q, offset)))
        return damaged(c);
    for (uint64_t n = offset >> q->cluster_bits; n <= (offset + len - 1) >> q->cluster_bits; n++)
        if (!add_count(c, n, by))
            return false;
    return true;
}

static bool walk(struct qcow2_change *c, const uint64_t *l1, uint64_t first, uint64_t end, int by)
{
    struct qcow2 *q = c->q;
    g_autofree uint64_t *table = g_malloc(q->cluster);
    for (uint64_t i = first; i < end; i++) {
        uint64_t offset = l1[i] & OFFSET_BITS;
        if (!offset)
            continue;
        if (++c->tables >
            4 * qcow2_clusters(q, q->file->size)) /* more than there can be, each in its place */
            return damaged(c);
        if (!read_l2(c, offset, table) || !add_count(c, offset >> q->cluster_bits, by))
            return false;
        for (uint64_t k = 0; k < q->cluster / 8; k++)
            if (table[k] && !walk_entry(c, GUINT64_FROM_BE(table[k]), by))
                return false;
    }
    return true;
}

/* COPIED as the counts say. Returns whether an entry was another. */
static bool mark_copied(struct qcow2_change *c, uint64_t *table)
{
    struct qcow2 *q = c->q;
    bool any = false;
    for (uint64_t k = 0; k < q->cluster / 8 && !c->wrong; k++) {
        uint64_t entry = GUINT64_FROM_BE(table[k]), offset = entry & OFFSET_BITS;
        if (!entry)
            continue;
        bool ours = !(entry & COMPRESSED) && offset && count_of(c, offset >> q->cluster_bits) == 1;
        if (ours == !!(entry & COPIED))
            continue;
        table[k] ^= GUINT64_TO_BE(COPIED);
        any = true;
    }
    return any;
}

/* Which L2 tables that will be in use have to be written anew. */
static bool find_moves(struct qcow2_change *c, uint64_t *count)
{
    g_autofree uint64_t *table = g_malloc(c->q->cluster);
    *count = 0;
    for (uint64_t i = 0; i < c->l1_size; i++) {
        uint64_t offset = c->l1[i] & OFFSET_BITS;
        if (!offset)
            continue;
        if (!read_l2(c, offset, table))
            return false;
        if (!(c->moves[i] = mark_copied(c, table)) || c->wrong)
            continue;
        ++*count;
        if (!add_count(c, offset >> c->q->cluster_bits, -1))
            return false;
    }
    return !c->wrong;
}

/* ---- the new tables ---- */

static int write_padded(struct qcow2 *q, uint64_t *at, const void *data, uint64_t len)
{
    uint64_t clusters = qcow2_clusters(q, len);
    g_autofree uint8_t *whole = g_malloc0(clusters << q->cluster_bits);
    memcpy(whole, data, len);
    int code = block_file_write(q->file, *at, whole, clusters << q->cluster_bits);
    *at += clusters << q->cluster_bits;
    return code;
}

static int write_l1(struct qcow2 *q, uint64_t *at, const uint64_t *l1, uint64_t entries)
{
    g_autofree uint64_t *be = g_malloc0(MAX(entries, 1) * 8);
    for (uint64_t i = 0; i < entries; i++)
        be[i] = GUINT64_TO_BE(l1[i]);
    return write_padded(q, at, be, entries * 8);
}

static int write_moved(struct qcow2_change *c, uint64_t *at)
{
    struct qcow2 *q = c->q;
    g_autofree uint64_t *table = g_malloc(q->cluster);
    int code = 0;
    for (uint64_t i = 0; i < c->l1_size && !code; i++) {
        uint64_t offset = c->l1[i] & OFFSET_BITS;
        if (!offset)
            continue;
        if (!c->moves[i]) {
            c->l1[i] = offset | (count_of(c, offset >> q->cluster_bits) == 1 ? COPIED : 0);
            continue;
        }
        if ((code = block_file_read(q->file, offset, table, q->cluster, NULL)))
            break;
        mark_copied(c, table);
        c->l1[i] = *at | COPIED;
        code = write_padded(q, at, table, q->cluster);
    }
    return code;
}

/* The tables of the state, behind those of the disk, in an L1 table that is the snapshot's alone. */
static int write_state_tables(struct qcow2_change *c, uint64_t *at)
{
    struct qcow2 *q = c->q;
    struct qcow2_snapshot *s = c->with_state;
    uint64_t per_table = q->cluster / 8, first = qcow2_l1_needed(q, q->image.size);
    uint64_t tables = (q->state->len + per_table - 1) / per_table;
    g_autofree uint64_t *l1 = g_malloc0((first + tables) * 8), *table = g_malloc(q->cluster);
    int code = 0;
    memcpy(l1, q->l1, (size_t)MIN(first, (uint64_t)q->l1_size) * 8);
    for (uint64_t i = 0; i < tables && !code; i++) {
        memset(table, 0, q->cluster);
        for (uint64_t k = 0; k < per_table && i * per_table + k < q->state->len; k++)
            table[k] = GUINT64_TO_BE(g_array_index(q->state, uint64_t, i * per_table + k) | COPIED);
        l1[first + i] = *at | COPIED;
        code = write_padded(q, at, table, q->cluster);
    }
    s->l1_offset = *at;
    s->l1_size = (uint32_t)(first + tables);
    return code ? code : write_l1(q, at, l1, s->l1_size);
}

/* Blocks of counts that changed, and a refcount table that names the new ones. */
static int write_counts(struct qcow2_change *c, uint64_t *at, uint64_t *reftable)
{
    GHashTableIter iter;
    gpointer key, value;
    int code = 0;
    g_hash_table_iter_init(&iter, c->counts);
    while (!code && g_hash_table_iter_next(&iter, &key, &value)) {
        const struct counted *counted = value;
        if (!counted->changed)
            continue;
        reftable[GPOINTER_TO_SIZE(key)] = *at;
        code = write_padded(c->q, at, counted->block, c->q->cluster);
    }
    return code ? code : write_l1(c->q, at, reftable, c->q->reftable_size);
}

static uint64_t changed_blocks(struct qcow2_change *c)
{
    GHashTableIter iter;
    gpointer value;
    uint64_t count = 0;
    g_hash_table_iter_init(&iter, c->counts);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        count += ((struct counted *)value)->changed;
    return count;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* After the switch: clusters that nothing refers to any more. */
static void reuse(struct qcow2_change *c)
{
    struct qcow2 *q = c->q;
    guint left = 0;
    for (guint i = 0; i < c->gone->len; i++) {
        uint64_t n = g_array_index(c->gone, uint64_t, i);
        if (!count_of(c, n))
            g_array_index(c->gone, uint64_t, left++) = n;
    }
    g_array_set_size(c->gone, left);
    if (left)
        qsort(c->gone->data, c->gone->len, sizeof(uint64_t), by_number);
    for (guint i = 0, end; i < left; i = end) {
        uint64_t first = g_array_index(c->gone, uint64_t, i);
        for (end = i + 1;
             end < left &&
             g_array_index(c->gone, uint64_t, end) - g_array_index(c->gone, uint64_t, end - 1) <= 1;
             end++)
            ;
        struct cluster_run run = {first, g_array_index(c->gone, uint64_t, end - 1) - first + 1};
        block_file_punch(q->file, first << q->cluster_bits, run.count << q->cluster_bits);
        if (run.count >= REUSED_LEAST)
            g_array_append_val(q->freed, run);
    }
}

static void forget_tables(struct qcow2 *q)
{
    for (unsigned i = 0; i < L2_CACHE; i++) {
        q->l2[i].offset = q->l2[i].used = 0;
        q->l2[i].dirty = false;
    }
    q->dirty = 0;
    q->unpacked_entry = 0;
    g_clear_pointer(&q->read.id, g_free);
    g_clear_pointer(&q->read.l1, g_free);
}

/* In memory as in the file. */
static void adopt(struct qcow2_change *c, uint64_t l1_offset, uint64_t reftable_offset, uint64_t *reftable,
                  uint64_t snapshots_offset, uint64_t snapshots_len)
{
    struct qcow2 *q = c->q;
    bool kept = false;
    for (guint i = 0; i < c->snapshots->len; i++)
        kept |= ((struct qcow2_snapshot *)c->snapshots->pdata[i])->l1_offset == q->l1_offset;
    if (!kept)
        qcow2_let_go_run(q, q->l1_offset, (uint64_t)q->l1_size * 8);
    for (uint64_t i = 0; i < q->reftable_size; i++)
        if (q->reftable[i] != reftable[i])
            qcow2_let_go(q, q->reftable[i] >> q->cluster_bits);
    qcow2_let_go_run(q, q->reftable_offset, (uint64_t)q->reftable_size * 8);
    qcow2_let_go_run(q, q->snapshots_offset, q->snapshots_len);
    g_free(q->l1);
    q->l1 = g_steal_pointer(&c->l1);
    q->l1_offset = l1_offset;
    q->l1_size = (uint32_t)c->l1_size;
    g_free(q->reftable);
    q->reftable = reftable;
    q->reftable_offset = reftable_offset;
    q->snapshots_offset = snapshots_offset;
    q->snapshots_len = snapshots_len;
    g_ptr_array_unref(q->snapshots);
    q->snapshots = g_ptr_array_ref(c->snapshots);
    q->image.size = c->size;
    forget_tables(q);
}

static int write_all(struct qcow2_change *c, uint64_t *at, uint64_t reftable_clusters)
{
    struct qcow2 *q = c->q;
    g_autofree uint64_t *reftable = g_malloc0(MAX((uint64_t)q->reftable_size * 8, 8));
    g_autoptr(GByteArray) table = g_byte_array_new();
    uint8_t header[48];
    memcpy(reftable, q->reftable, (size_t)q->reftable_size * 8);
    int code = write_moved(c, at);
    uint64_t l1_offset = *at;
    if (code || (code = write_l1(q, at, c->l1, c->l1_size)) ||
        (c->with_state && (code = write_state_tables(c, at))) || (code = write_counts(c, at, reftable)))
        return code;
    uint64_t reftable_offset = *at - (reftable_clusters << q->cluster_bits), snapshots_offset = *at;
    for (guint i = 0; i < c->snapshots->len; i++)
        put_entry(table, c->snapshots->pdata[i]);
    if ((code = block_file_read(q->file, 24, header, sizeof header, NULL)) ||
        (table->len && (code = write_padded(q, at, table->data, table->len))))
        return code;
    uint64_t wide[] = {GUINT64_TO_BE(c->size), GUINT64_TO_BE(l1_offset), GUINT64_TO_BE(reftable_offset),
                       GUINT64_TO_BE(c->snapshots->len ? snapshots_offset : 0)};
    uint32_t narrow[] = {GUINT32_TO_BE((uint32_t)c->l1_size), GUINT32_TO_BE((uint32_t)reftable_clusters),
                         GUINT32_TO_BE(c->snapshots->len)};
    if (c->size != q->image.size) /* which may be rounded up */
        memcpy(header, &wide[0], 8);
    memcpy(header + 12, &narrow[0], 4);
    memcpy(header + 16, &wide[1], 8);
    memcpy(header + 24, &wide[2], 8);
    memcpy(header + 32, &narrow[1], 4);
    memcpy(header + 36, &narrow[2], 4);
    memcpy(header + 40, &wide[3], 8);
    if ((code = qcow2_switch_header(q, 24, header, sizeof header))) {
        c->run.count = 0; /* with very bad luck the disk has it */
        return code;
    }
    adopt(c, l1_offset, reftable_offset, g_steal_pointer(&reftable), snapshots_offset, table->len);
    return 0;
}

/* Everything that a change needs is worked out: it is written, and becomes what is in use. */
static int switch_to(struct qcow2_change *c)
{
    struct qcow2 *q = c->q;
    uint64_t tables, first, per_table = q->cluster / 8, snapshot_bytes = 0;
    if (!find_moves(c, &tables))
        return EIO;
    for (guint i = 0; i < c->snapshots->len; i++) {
        const struct qcow2_snapshot *s = c->snapshots->pdata[i];
        snapshot_bytes +=
            ENTRY_FIXED + EXTRA_ICOUNT + s->extra_len + strlen(s->shown.id) + strlen(s->shown.name) + 8;
    }
    uint64_t state_tables = c->with_state ? (q->state->len + per_table - 1) / per_table : 0;
    uint64_t state_l1 = c->with_state ? qcow2_l1_needed(q, q->image.size) + state_tables : 0;
    uint64_t fixed = tables + state_tables + qcow2_clusters(q, c->l1_size * 8) +
                     qcow2_clusters(q, state_l1 * 8) + qcow2_clusters(q, snapshot_bytes);
    if (state_l1 * 8 > L1_MOST || snapshot_bytes > SNAPSHOT_TABLE_MOST)
        return EFBIG;
    uint64_t reftable = qcow2_clusters(q, (uint64_t)q->reftable_size * 8), blocks = changed_blocks(c), at;
    int code = qcow2_allocate_run(q, fixed + blocks + reftable, &first);
    uint64_t now = qcow2_clusters(q, (uint64_t)q->reftable_size * 8);
    c->run = (struct cluster_run){first, fixed + blocks + reftable};
    if (!code && now > reftable) { /* it had to grow for that */
        qcow2_let_go_run(q, first << q->cluster_bits, c->run.count << q->cluster_bits);
        reftable = now;
        code = qcow2_allocate_run(q, fixed + blocks + reftable, &first);
        c->run = (struct cluster_run){first, fixed + blocks + reftable};
    }
    if (code) {
        c->run.count = 0;
        return code;
    }
    at = first << q->cluster_bits;
    if ((code = write_all(c, &at, reftable)))
        return code;
    c->run.first = at >> q->cluster_bits; /* what is left of it */
    c->run.count -= c->run.first - first;
    return 0;
}

/* ---- changes ---- */

static struct qcow2_change *change_new(struct qcow2 *q)
{
    struct qcow2_change *c = g_new0(struct qcow2_change, 1);
    c->q = q;
    c->counts = g_hash_table_new_full(NULL, NULL, NULL, counted_free);
    c->gone = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    c->snapshots = g_ptr_array_new_with_free_func((GDestroyNotify)qcow2_snapshot_free);
    c->size = q->image.size;
    return c;
}

static void change_free(struct qcow2_change *c)
{
    c->q->change = NULL;
    g_hash_table_unref(c->counts);
    g_array_free(c->gone, TRUE);
    g_ptr_array_unref(c->snapshots);
    g_free(c->l1);
    g_free(c->moves);
    g_free(c);
}

/* Takes on the `entries` of `l1` as what will be in use. */
static void will_be(struct qcow2_change *c, const uint64_t *l1, uint64_t have, uint64_t entries)
{
    c->l1_size = entries;
    c->l1 = g_malloc0(entries * 8);
    c->moves = g_new0(bool, entries);
    memcpy(c->l1, l1, (size_t)MIN(have, entries) * 8);
}

static bool explain(struct qcow2 *q, const char *wrong, int code, const char *what, GError **error)
{
    g_set_error(error, G_IO_ERROR, wrong ? G_IO_ERROR_INVALID_DATA : g_io_error_from_errno(code),
                "%s: %s: %s; %s", q->image.path, what,
                wrong            ? wrong
                : code == ENOSPC ? "the host's disk is full: make room"
                : code == EFBIG  ? "the file would be larger than it can be"
                                 : g_strerror(code),
                "the image is as it was");
    return false;
}

/* Writes the change, if it could be worked out; it is freed. */
static bool carry_out(struct qcow2_change *c, bool worked_out, const char *what, GError **error)
{
    struct qcow2 *q = c->q;
    const char *wrong = NULL;
    int code = 0;
    if (!worked_out || (code = switch_to(c))) {
        wrong = c->wrong;
        code = code ? code : EIO;
    }
    if (c->run.count)
        qcow2_let_go_run(q, c->run.first << q->cluster_bits, c->run.count << q->cluster_bits);
    q->change = NULL;
    if (!block_file_sync(q->file))
        qcow2_give_back(q);
    if (!code)
        reuse(c);
    qcow2_return_reserved(q);
    change_free(c);
    return !code || explain(q, wrong, code, what, error);
}

static struct qcow2_change *begin(struct qcow2 *q, const char *what, GError **error)
{
    int code = q->corrupt ? EIO : q->file->read_only ? EROFS : qcow2_sync_all(q);
    if (code) {
        explain(q, q->corrupt ? "it is marked corrupt" : NULL, code, what, error);
        return NULL;
    }
    qcow2_return_reserved(q);
    return q->change = change_new(q);
}

static struct qcow2_snapshot *find(const struct qcow2 *q, const char *key)
{
    for (guint i = 0; i < q->snapshots->len; i++) {
        struct qcow2_snapshot *s = q->snapshots->pdata[i];
        if (g_str_equal(s->shown.id, key))
            return s;
    }
    return NULL;
}

static struct qcow2_snapshot *find_or_say(struct qcow2 *q, const char *key, GError **error)
{
    struct qcow2_snapshot *s = find(q, key);
    if (!s)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "%s: there is no snapshot \"%s\"", q->image.path,
                    key);
    return s;
}

static void keep_others(struct qcow2_change *c, const struct qcow2_snapshot *but)
{
    for (guint i = 0; i < c->q->snapshots->len; i++)
        if (c->q->snapshots->pdata[i] != but)
            g_ptr_array_add(c->snapshots, copy_of(c->q->snapshots->pdata[i]));
}

static char *new_id(const struct qcow2 *q)
{
    uint64_t most = 0;
    for (guint i = 0; i < q->snapshots->len; i++) {
        uint64_t id = g_ascii_strtoull(((struct qcow2_snapshot *)q->snapshots->pdata[i])->shown.id, NULL, 10);
        most = id < UINT32_MAX ? MAX(most, id) : most;
    }
    return g_strdup_printf("%" G_GUINT64_FORMAT, most + 1);
}

/* ---- what the block layer asks for ---- */

static unsigned snapshot_count(const struct image *image)
{
    return ((const struct qcow2 *)image)->snapshots->len;
}

static const struct block_snapshot *snapshot_get(const struct image *image, unsigned i)
{
    return &((struct qcow2_snapshot *)((const struct qcow2 *)image)->snapshots->pdata[i])->shown;
}

static void state_drop(struct image *image)
{
    struct qcow2 *q = (struct qcow2 *)image;
    for (guint i = 0; i < q->state->len && !q->corrupt; i++)
        qcow2_let_go(q, g_array_index(q->state, uint64_t, i) >> q->cluster_bits);
    g_array_set_size(q->state, 0);
    g_clear_pointer(&q->state_part, g_free);
    q->state_len = 0;
    q->ahead = RESERVE_LEAST;
    qcow2_give_back(q);
    qcow2_return_reserved(q);
}

static int state_cluster(struct qcow2 *q)
{
    uint64_t offset;
    int code = qcow2_allocate(q, &offset);
    if (code)
        return code;
    g_array_append_val(q->state, offset);
    return block_file_write(q->file, offset, q->state_part, q->cluster);
}

static int state_write(struct image *image, const void *data, size_t len)
{
    struct qcow2 *q = (struct qcow2 *)image;
    const uint8_t *from = data;
    if (q->corrupt || q->file->read_only)
        return q->corrupt ? EIO : EROFS;
    if (!q->state_part) {
        q->state_part = g_malloc0(q->cluster);
        q->ahead = MAX((uint64_t)STATE_BATCH >> q->cluster_bits, RESERVE_LEAST);
    }
    while (len) {
        size_t in = (size_t)(q->state_len & (q->cluster - 1)), run = MIN(len, (size_t)q->cluster - in);
        memcpy(q->state_part + in, from, run);
        q->state_len += run;
        from += run;
        len -= run;
        if (in + run < q->cluster)
            continue;
        int code = state_cluster(q);
        if (code)
            return code;
        memset(q->state_part, 0, q->cluster);
    }
    return 0;
}

static int state_read(struct image *image, const char *key, uint64_t offset, void *buf, size_t len)
{
    struct qcow2 *q = (struct qcow2 *)image;
    const struct qcow2_snapshot *s = find(q, key);
    uint8_t *to = buf;
    if (!s || offset > s->shown.state_size || len > s->shown.state_size - offset)
        return EINVAL;
    if (g_strcmp0(q->read.id, key) != 0) {
        g_autofree uint64_t *l1 = qcow2_read_table(q, "snapshot", s->l1_offset, s->l1_size, NULL);
        if (!l1)
            return EIO;
        g_free(q->read.id);
        g_free(q->read.l1);
        q->read.id = g_strdup(key);
        q->read.l1 = g_steal_pointer(&l1);
        q->read.l1_size = s->l1_size;
    }
    uint64_t first = qcow2_l1_needed(q, s->shown.size) << (q->cluster_bits + q->l2_bits);
    while (len) {
        uint64_t at = first + offset, n = at >> q->cluster_bits, entry = 0;
        size_t run = (size_t)MIN((uint64_t)len, q->cluster - (at & (q->cluster - 1)));
        struct l2_table *table;
        uint64_t l2 = n >> q->l2_bits < q->read.l1_size ? q->read.l1[n >> q->l2_bits] & OFFSET_BITS : 0;
        int code = l2 ? qcow2_load_l2(q, l2, &table) : 0;
        if (code)
            return code;
        if (l2)
            entry = GUINT64_FROM_BE(table->entry[n & ((UINT64_C(1) << q->l2_bits) - 1)]);
        if (entry && (code = qcow2_read_cluster(q, entry, at, to, run)))
            return code;
        if (!entry)
            memset(to, 0, run);
        to += run;
        offset += run;
        len -= run;
    }
    return 0;
}

static bool snapshot_take(struct image *image, const struct block_snapshot *what, char **id, GError **error)
{
    struct qcow2 *q = (struct qcow2 *)image;
    g_autofree char *doing = g_strdup_printf("taking the snapshot \"%s\"", what->name);
    uint64_t entries = qcow2_l1_needed(q, q->image.size), state_len = q->state_len;
    int code = 0;
    if (strlen(what->name) > NAME_MOST || q->snapshots->len >= SNAPSHOTS_MOST) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "%s: %s", q->image.path,
                    q->snapshots->len >= SNAPSHOTS_MOST
                        ? "it has as many snapshots as there can be; delete some"
                        : "the name is too long");
        return false;
    }
    if (q->state_len & (q->cluster - 1) && (code = state_cluster(q)))
        return explain(q, NULL, code, doing, error);
    struct qcow2_change *c = begin(q, doing, error);
    if (!c)
        return false;
    struct qcow2_snapshot *s = g_new0(struct qcow2_snapshot, 1);
    s->shown = *what;
    s->shown.id = new_id(q);
    s->shown.name = g_strdup(what->name);
    s->shown.state_size = q->state_len;
    s->shown.size = q->image.size;
    s->l1_offset = q->l1_offset;
    s->l1_size = q->l1_size;
    keep_others(c, NULL);
    g_ptr_array_add(c->snapshots, s);
    *id = g_strdup(s->shown.id);
    will_be(c, q->l1, q->l1_size, entries);
    /* A state that qemu-img applied with a snapshot stays with it, or goes when there is a new one. */
    bool good = walk(c, q->l1, 0, MIN(entries, (uint64_t)q->l1_size), 1);
    if (state_len) {
        c->with_state = s;
        good = good && walk(c, q->l1, entries, q->l1_size, -1);
    }
    if (!carry_out(c, good, doing, error)) {
        g_clear_pointer(id, g_free);
        return false;
    }
    g_array_set_size(q->state, 0); /* it is the snapshot's */
    state_drop(image);
    return true;
}

static bool snapshot_apply(struct image *image, const char *key, GError **error)
{
    struct qcow2 *q = (struct qcow2 *)image;
    const struct qcow2_snapshot *s = find_or_say(q, key, error);
    if (!s)
        return false;
    g_autofree char *doing = g_strdup_printf("going back to the snapshot \"%s\"", s->shown.name);
    g_autofree uint64_t *l1 = qcow2_read_table(q, "snapshot", s->l1_offset, s->l1_size, error);
    struct qcow2_change *c = l1 ? begin(q, doing, error) : NULL;
    if (!c)
        return false;
    uint64_t entries = qcow2_l1_needed(q, s->shown.size);
    c->size = (s->shown.size + BLOCK_SECTOR - 1) & ~(uint64_t)(BLOCK_SECTOR - 1);
    keep_others(c, NULL);
    will_be(c, l1, s->l1_size, entries);
    bool good = walk(c, q->l1, 0, q->l1_size, -1);
    c->taken_first = true;
    good = good && walk(c, l1, 0, MIN(entries, (uint64_t)s->l1_size), 1);
    return carry_out(c, good, doing, error);
}

static bool snapshot_remove(struct image *image, const char *key, GError **error)
{
    struct qcow2 *q = (struct qcow2 *)image;
    const struct qcow2_snapshot *s = find_or_say(q, key, error);
    if (!s)
        return false;
    g_autofree char *doing = g_strdup_printf("deleting the snapshot \"%s\"", s->shown.name);
    g_autofree uint64_t *l1 = qcow2_read_table(q, "snapshot", s->l1_offset, s->l1_size, error);
    struct qcow2_change *c = l1 ? begin(q, doing, error) : NULL;
    if (!c)
        return false;
    keep_others(c, s);
    will_be(c, q->l1, q->l1_size, q->l1_size);
    bool good = walk(c, l1, 0, s->l1_size, -1);
    for (uint64_t at = s->l1_offset; good && at < s->l1_offset + (uint64_t)s->l1_size * 8; at += q->cluster)
        good = add_count(c, at >> q->cluster_bits, -1);
    return carry_out(c, good, doing, error);
}

const struct image_snapshot_ops qcow2_snapshot_ops = {.count = snapshot_count,
                                                      .get = snapshot_get,
                                                      .state_write = state_write,
                                                      .state_drop = state_drop,
                                                      .state_read = state_read,
                                                      .take = snapshot_take,
                                                      .apply = snapshot_apply,
                                                      .remove = snapshot_remove};
