/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Writing a tree as an EROFS file system, the root of images that boot from a disk
 * (Documentation/filesystems/erofs in Linux, fs/erofs/erofs_fs.h for the layout).
 *
 * Uncompressed, blocks of 4096 bytes, compact inodes of 32 bytes. The tail of a file that fits behind its
 * inode within the block stands there ("inline"); all else is in whole blocks behind the inodes. Identical
 * contents are written once. Nothing in the output depends on time or on the order of a hash table: the same
 * tree gives the same bytes.
 *
 * Three passes over the sorted paths: sizes and places of inodes, places of data, writing.
 */
#include "netlab/image_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BLOCK = 4096,
    BLOCK_BITS = 12,
    SUPER_OFFSET = 1024,
    SUPER_SIZE = 128,
    INODE = 32, /* bytes of a compact inode, and the unit of node ids */
    DIRENT = 12,
    LONGEST_NAME = 255,
    LAYOUT_PLAIN = 0,
    LAYOUT_INLINE = 2
};
#define EROFS_MAGIC 0xe0f5e1e2u

struct entry {
    const struct image_file *file;
    const char *path;
    GPtrArray *children; /* struct entry *, sorted by name; folders only */
    struct entry *parent;
    GBytes *data; /* what the inode holds: contents, a link's target, a folder's entries */
    gsize size;
    uint64_t place; /* of the inode, in bytes */
    bool has_inline_tail;
    uint32_t block; /* of the first whole block */
    unsigned links;
    uint32_t number;
};

struct writer {
    GPtrArray *entries; /* struct entry *, by path; the root first */
    GHashTable *shared; /* sha256 → struct entry * whose blocks others use too */
    uint64_t end;       /* of the inodes so far */
    uint32_t next_block;
    FILE *to;
};

static const char *name_of(const struct entry *e)
{
    const char *slash = strrchr(e->path, '/');
    return slash ? slash + 1 : e->path;
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(name_of(*(struct entry *const *)a), name_of(*(struct entry *const *)b));
}

static int by_path(gconstpointer a, gconstpointer b)
{
    return strcmp((*(struct entry *const *)a)->path, (*(struct entry *const *)b)->path);
}

static void entry_free(gpointer data)
{
    struct entry *e = data;
    if (e->children)
        g_ptr_array_unref(e->children);
    if (e->data)
        g_bytes_unref(e->data);
    g_free(e);
}

static struct entry *entry_new(const struct image_file *file, const char *path)
{
    struct entry *e = g_new0(struct entry, 1);
    e->file = file;
    e->path = path;
    e->links = 1;
    if (S_ISDIR(file->mode))
        e->children = g_ptr_array_new();
    else if (file->data)
        e->data = g_bytes_ref(file->data);
    else if (file->target)
        e->data = g_bytes_new(file->target, strlen(file->target));
    e->size = e->data ? g_bytes_get_size(e->data) : 0;
    return e;
}

/* A block of a folder begins with its records, and then come their names. */
struct folder_packer {
    gsize records, names; /* of the present block */
};

static bool folder_fits(struct folder_packer *p, gsize name)
{
    if ((p->records + 1) * DIRENT + p->names + name > BLOCK)
        return false;
    p->records++;
    p->names += name;
    return true;
}

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, (uint16_t)value);
    put16(at + 2, (uint16_t)(value >> 16));
}

static unsigned type_of(unsigned mode)
{
    /* fs_types.h: FT_REG_FILE 1, FT_DIR 2, FT_CHRDEV 3, FT_BLKDEV 4, FT_SYMLINK 7 */
    return S_ISDIR(mode) ? 2 : S_ISLNK(mode) ? 7 : S_ISCHR(mode) ? 3 : S_ISBLK(mode) ? 4 : 1;
}

/* "." and ".." sort among the names by their bytes: before all that begin with a letter, but not before "+x"
 * or ",". */
static GBytes *folder_data(const struct entry *folder)
{
    struct line {
        const char *name;
        const struct entry *entry;
    };
    guint count = folder->children->len + 2;
    g_autofree struct line *lines = g_new0(struct line, count);
    guint n = 0, child = 0;
    const struct line dots[2] = {{".", folder}, {"..", folder->parent ? folder->parent : folder}};
    guint dot = 0;
    while (n < count) {
        const struct entry *next = child < folder->children->len ? folder->children->pdata[child] : NULL;
        if (dot < 2 && (!next || strcmp(dots[dot].name, name_of(next)) < 0)) {
            lines[n++] = dots[dot++];
        } else {
            lines[n++] = (struct line){name_of(next), next};
            child++;
        }
    }
    GByteArray *out = g_byte_array_new();
    for (guint from = 0; from < count;) {
        struct folder_packer p = {0};
        guint end = from;
        while (end < count && folder_fits(&p, strlen(lines[end].name)))
            end++;
        gsize used = p.records * DIRENT + p.names, start = out->len;
        g_byte_array_set_size(out, (guint)(start + (end < count ? BLOCK : used)));
        memset(out->data + start, 0, out->len - start);
        gsize at = p.records * DIRENT;
        for (guint i = from; i < end; i++) {
            uint8_t *record = out->data + start + (i - from) * DIRENT;
            put32(record, (uint32_t)(lines[i].entry->place / INODE));
            put16(record + 8, (uint16_t)at);
            record[10] = (uint8_t)type_of(lines[i].entry->file->mode);
            gsize length = strlen(lines[i].name);
            memcpy(out->data + start + at, lines[i].name, length);
            at += length;
        }
        from = end;
    }
    return g_byte_array_free_to_bytes(out);
}

/* The inode and, when it fits, what stands behind it. */
static void place_inode(struct writer *w, struct entry *e)
{
    gsize tail = e->size % BLOCK;
    uint64_t at = (w->end + INODE - 1) / INODE * INODE;
    e->has_inline_tail =
        tail && tail <= BLOCK - INODE && (tail <= 512 || S_ISLNK(e->file->mode) || S_ISDIR(e->file->mode));
    gsize need = INODE + (e->has_inline_tail ? tail : 0);
    if (at % BLOCK + need > BLOCK)
        at = (at / BLOCK + 1) * BLOCK;
    e->place = at;
    w->end = at + need;
}

static gsize whole_blocks(const struct entry *e)
{
    return e->has_inline_tail ? e->size / BLOCK : (e->size + BLOCK - 1) / BLOCK;
}

/* Whole blocks of equal contents are shared. */
static void place_data(struct writer *w, struct entry *e)
{
    gsize count = whole_blocks(e);
    if (!count)
        return;
    if (S_ISREG(e->file->mode)) {
        g_autofree char *sum = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, e->data);
        const struct entry *same = g_hash_table_lookup(w->shared, sum);
        if (same) {
            e->block = same->block;
            return;
        }
        g_hash_table_insert(w->shared, g_steal_pointer(&sum), e);
    }
    e->block = w->next_block;
    w->next_block += (uint32_t)count;
}

static bool write_at(struct writer *w, uint64_t place, const void *data, gsize length)
{
    return fseeko(w->to, (off_t)place, SEEK_SET) == 0 && fwrite(data, 1, length, w->to) == length;
}

static bool write_inode(struct writer *w, struct entry *e)
{
    uint8_t inode[INODE] = {0};
    unsigned mode = e->file->mode;
    if (S_ISDIR(mode))
        e->data = folder_data(e);
    const uint8_t *data = e->data ? g_bytes_get_data(e->data, NULL) : NULL;
    gsize whole = whole_blocks(e) * BLOCK, tail = e->has_inline_tail ? e->size % BLOCK : 0;
    put16(inode, (uint16_t)((e->has_inline_tail ? LAYOUT_INLINE : LAYOUT_PLAIN) << 1));
    put16(inode + 4, (uint16_t)mode);
    put16(inode + 6, (uint16_t)e->links);
    put32(inode + 8, (uint32_t)e->size);
    if (S_ISCHR(mode) || S_ISBLK(mode)) /* new_encode_dev() */
        put32(inode + 16, (e->file->minor & 0xff) | e->file->major << 8 | (e->file->minor & ~0xffu) << 12);
    else
        put32(inode + 16, whole ? e->block : tail ? ~0u : 0);
    put32(inode + 20, e->number);
    bool good = write_at(w, e->place, inode, sizeof inode);
    if (good && tail)
        good = write_at(w, e->place + INODE, data + e->size - tail, tail);
    if (good && whole)
        good = write_at(w, (uint64_t)e->block * BLOCK, data, MIN(whole, e->size));
    return good;
}

static bool write_super(struct writer *w)
{
    uint8_t super[SUPER_SIZE] = {0};
    struct entry *root = w->entries->pdata[0];
    put32(super, EROFS_MAGIC);
    super[12] = BLOCK_BITS;
    put16(super + 14, (uint16_t)(root->place / INODE));
    put32(super + 16, w->entries->len); /* inodes */
    put32(super + 36, w->next_block);   /* blocks in all */
    memcpy(super + 64, "netlab", 6);    /* volume name */
    return write_at(w, SUPER_OFFSET, super, sizeof super);
}

static bool collect(struct writer *w, GHashTable *tree, const struct image_file *root, GError **error)
{
    GHashTableIter iter;
    gpointer key, value;
    g_autoptr(GHashTable) by_name_of_path = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_iter_init(&iter, tree);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        struct entry *e = entry_new(value, key);
        g_ptr_array_add(w->entries, e);
        g_hash_table_insert(by_name_of_path, key, e);
        if (strlen(name_of(e)) > LONGEST_NAME || e->size > G_MAXUINT32) {
            g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_BUILD,
                        "the file %s is too large or its name too long for an image; leave it out", e->path);
            return false;
        }
    }
    g_ptr_array_sort(w->entries, by_path);
    struct entry *top = entry_new(root, "");
    g_ptr_array_insert(w->entries, 0, top);
    for (guint i = 1; i < w->entries->len; i++) {
        struct entry *e = w->entries->pdata[i];
        const char *slash = strrchr(e->path, '/');
        g_autofree char *above = slash ? g_strndup(e->path, (gsize)(slash - e->path)) : NULL;
        struct entry *parent = above ? g_hash_table_lookup(by_name_of_path, above) : top;
        if (!parent || !parent->children) {
            g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_BUILD,
                        "the file %s stands in something that is no folder", e->path);
            return false;
        }
        e->parent = parent;
        e->number = i;
        g_ptr_array_add(parent->children, e);
    }
    for (guint i = 0; i < w->entries->len; i++) {
        struct entry *e = w->entries->pdata[i];
        if (!e->children)
            continue;
        g_ptr_array_sort(e->children, by_name);
        g_autoptr(GBytes) entries =
            folder_data(e); /* of the final size; the places of inodes are not known yet */
        e->size = g_bytes_get_size(entries);
        e->links = 2;
        for (guint k = 0; k < e->children->len; k++)
            e->links += ((struct entry *)e->children->pdata[k])->children != NULL;
    }
    return true;
}

bool image_tree_write_erofs(GHashTable *tree, const char *path, GError **error)
{
    const struct image_file root = {.path = (char *)"", .mode = S_IFDIR | 0755};
    struct writer w = {
        .entries = g_ptr_array_new_with_free_func(entry_free),
        .shared = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .end = SUPER_OFFSET + SUPER_SIZE,
    };
    bool good = collect(&w, tree, &root, error), tried = false;
    if (good) {
        for (guint i = 0; i < w.entries->len; i++)
            place_inode(&w, w.entries->pdata[i]);
        w.next_block = (uint32_t)((w.end + BLOCK - 1) / BLOCK);
        for (guint i = 0; i < w.entries->len; i++)
            place_data(&w, w.entries->pdata[i]);
        tried = true;
        w.to = fopen(path, "wbe");
        good = w.to && write_super(&w);
        for (guint i = 0; good && i < w.entries->len; i++)
            good = write_inode(&w, w.entries->pdata[i]);
        if (good)
            good = fflush(w.to) == 0 && ftruncate(fileno(w.to), (off_t)w.next_block * BLOCK) == 0;
    }
    int why = errno;
    if (w.to && fclose(w.to) != 0 && good) {
        why = errno;
        good = false;
    }
    if (!good && tried)
        g_set_error(error, IMAGE_ERROR, why == ENOSPC ? IMAGE_ERROR_NO_SPACE : IMAGE_ERROR_BUILD,
                    "writing %s: %s%s", path, g_strerror(why),
                    why == ENOSPC ? " (free some space, or set NETLAB_IMAGE_DIR to another disk)" : "");
    g_ptr_array_unref(w.entries);
    g_hash_table_unref(w.shared);
    return good;
}
