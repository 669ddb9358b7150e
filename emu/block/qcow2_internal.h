/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A qcow2 image from the inside: what its files share. The format's tables and clusters are qcow2.c,
 * reference counts and places qcow2_counts.c, internal snapshots qcow2_snapshot.c, opening qcow2_open.c. All
 * functions that return an int give 0 or an errno.
 */
#pragma once

#include "emu/block/image.h"

enum { CLUSTER_BITS_LEAST = 9, CLUSTER_BITS_MOST = 21, L1_MOST = 32 << 20, REFTABLE_MOST = 8 << 20 };
enum { L2_CACHE = 16, RESERVE_LEAST = 64, RESERVE_MOST = 1024, DIRTY_MOST = 64, UNUSED_MOST = 1024 };
enum { PLACES_LOOKED_AT = 1024 }; /* entries of a table compared with each cluster that is written */
enum { HEADER_V2 = 72, HEADER_V3 = 104, BACKING_NAME_MOST = 1023 };
enum { SNAPSHOTS_MOST = 65536, SNAPSHOT_TABLE_MOST = 64 << 20, SNAPSHOT_EXTRA_MOST = 1024 };
#define COPIED      (UINT64_C(1) << 63)
#define COMPRESSED  (UINT64_C(1) << 62)
#define ZERO        UINT64_C(1)
#define OFFSET_BITS UINT64_C(0x00fffffffffffe00)

struct l2_table {
    uint64_t offset; /* 0: empty */
    uint64_t used;   /* when it was last asked for */
    uint64_t *entry; /* as in the file: big-endian */
    bool dirty;      /* has entries that are not in the file yet */
};

/* An entry of the table of snapshots. */
struct qcow2_snapshot {
    struct block_snapshot shown; /* strings are its own */
    uint64_t l1_offset;
    uint32_t l1_size;
    uint8_t *extra; /* what is behind the fields of `shown`, kept as it is */
    uint32_t extra_len;
};

struct qcow2_change;

struct cluster_run {
    uint64_t first, count; /* as numbers */
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
    GArray *freed;            /* struct cluster_run: free, and nothing on the disk refers to them */
    uint8_t *room, *unpacked; /* a cluster each */
    uint64_t unpacked_entry;  /* what `unpacked` holds, 0: nothing */
    unsigned dirty;           /* entries that wait in tables */
    GArray *unused;           /* uint64_t: clusters to be given back after a sync, as numbers */
    GPtrArray *snapshots;     /* struct qcow2_snapshot *, oldest first */
    uint64_t snapshots_offset, snapshots_len; /* of their table in the file, bytes */
    struct qcow2_change *change;              /* reference counts are being worked out */
    GArray *state;       /* uint64_t: clusters of a machine's state, not in any table yet */
    uint8_t *state_part; /* its last one, which is not full yet */
    uint64_t state_len;
    struct {
        char *id; /* whose L1 table is `l1` */
        uint64_t *l1;
        uint32_t l1_size;
    } read; /* the snapshot whose state was last read */
    bool copy_on_read, corrupt;
    bool arranged; /* the user said what is below the image below */
    enum block_cache cache;
};

static inline uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t be64(const uint8_t *p)
{
    return (uint64_t)be32(p) << 32 | be32(p + 4);
}

static inline bool qcow2_aligned(const struct qcow2 *q, uint64_t offset)
{
    return !(offset & (q->cluster - 1));
}

/* Clusters that so many bytes take. */
static inline uint64_t qcow2_clusters(const struct qcow2 *q, uint64_t bytes)
{
    return (bytes >> q->cluster_bits) + !!(bytes & (q->cluster - 1));
}

/* Entries of L1 for a disk of so many bytes, 1 at least. */
static inline uint64_t qcow2_l1_needed(const struct qcow2 *q, uint64_t size)
{
    return ((size - 1) >> (q->cluster_bits + q->l2_bits)) + 1;
}

static inline bool qcow2_reads_zero(const struct qcow2 *q, uint64_t entry)
{
    return q->version >= 3 && !(entry & COMPRESSED) && entry & ZERO;
}

/* ---- qcow2_counts.c ---- */

/* Nothing is written any more; the file says so to whoever opens it next. Returns EIO. */
int qcow2_corrupt(struct qcow2 *q, const char *what, uint64_t offset);
enum { PLACE_L2 = 1, PLACE_COUNTS = 2 };
/* EIO, and the image is marked: the cluster must not be written as what it is `known` to be. */
int qcow2_check_place(struct qcow2 *q, uint64_t at, unsigned known);
int qcow2_write_entry(struct qcow2 *q, uint64_t offset, uint64_t value);
/* Puts `len` bytes at `at` of the header's first sector, all at once, when everything else is on the disk. On
 * failure it is what it was. */
int qcow2_switch_header(struct qcow2 *q, unsigned at, const uint8_t *fields, unsigned len);
uint64_t qcow2_counts_per_block(const struct qcow2 *q);
/* One count of a block in memory. */
uint64_t qcow2_count_get(const struct qcow2 *q, const uint8_t *block, uint64_t in_block);
void qcow2_count_put(const struct qcow2 *q, uint8_t *block, uint64_t in_block, uint64_t value);
/* Adds `by` (±1) to the counts of clusters from `first` on, all in one block. */
int qcow2_count_clusters(struct qcow2 *q, uint64_t first, uint64_t count, int by);
/* A cluster that is counted and on the disk as such. */
int qcow2_allocate(struct qcow2 *q, uint64_t *offset);
/* So many behind each other at the end of the file; the refcount table grows when it has to. */
int qcow2_allocate_run(struct qcow2 *q, uint64_t count, uint64_t *first);
/* Notes a cluster that nothing in memory refers to any more. */
void qcow2_let_go(struct qcow2 *q, uint64_t n);
void qcow2_let_go_run(struct qcow2 *q, uint64_t offset, uint64_t bytes);
/* After a sync: gives back what no entry of the file refers to. */
void qcow2_give_back(struct qcow2 *q);
/* Of what was counted ahead. */
void qcow2_return_reserved(struct qcow2 *q);

/* ---- qcow2.c ---- */

/* Entries that waited for what they point to. */
int qcow2_settle(struct qcow2 *q);
int qcow2_sync_all(struct qcow2 *q);
int qcow2_load_l2(struct qcow2 *q, uint64_t offset, struct l2_table **out);
/* Where compressed data is: first byte, and length rounded up to sectors. */
void qcow2_compressed_extent(const struct qcow2 *q, uint64_t entry, uint64_t *offset, uint64_t *len);
/* Part of one cluster, whose entry is known. */
int qcow2_read_cluster(struct qcow2 *q, uint64_t entry, uint64_t offset, uint8_t *to, size_t len);
extern const struct image_ops qcow2_ops, qcow2_discard_ops;

/* ---- qcow2_open.c ---- */

G_GNUC_PRINTF(3, 4) bool qcow2_refuse(const struct qcow2 *q, GError **error, const char *format, ...);
uint64_t *qcow2_read_table(struct qcow2 *q, const char *what, uint64_t offset, uint64_t entries,
                           GError **error);

/* ---- qcow2_snapshot.c ---- */

extern const struct image_snapshot_ops qcow2_snapshot_ops;
/* The table of `count` snapshots at `offset`. */
bool qcow2_snapshots_load(struct qcow2 *q, uint64_t offset, uint32_t count, GError **error);
/* While a change is worked out: a count of the file was changed by something else. */
void qcow2_change_counted(struct qcow2_change *change, uint64_t n, int by);
void qcow2_snapshot_free(struct qcow2_snapshot *s);
