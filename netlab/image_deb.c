/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Unpacking .deb packages into a tree in memory, and writing such a tree as an initramfs. libarchive does
 * both formats: a .deb is an `ar` archive (deb(5)) holding data.tar.*; Linux unpacks newc cpio
 * (Documentation/driver-api/early-userspace/buffer-format).
 *
 * The tree never touches the disk in between, so device nodes and owners need no root.
 */
#include "netlab/image_internal.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { MEMBER_MOST = 512 << 20 };

static void file_free(gpointer data)
{
    struct image_file *file = data;
    g_free(file->path);
    g_free(file->target);
    if (file->data)
        g_bytes_unref(file->data);
    g_free(file);
}

GHashTable *image_tree_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, NULL, file_free);
}

static void add_parents(GHashTable *tree, const char *path)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        g_autofree char *parent = g_strndup(path, (gsize)(slash - path));
        if (!g_hash_table_contains(tree, parent))
            image_tree_add(tree, parent, S_IFDIR | 0755, NULL, NULL);
    }
}

static void add_file(GHashTable *tree, struct image_file *file)
{
    add_parents(tree, file->path);
    g_hash_table_replace(tree, file->path, file);
}

void image_tree_add(GHashTable *tree, const char *path, unsigned mode, GBytes *data, const char *target)
{
    struct image_file *file = g_new0(struct image_file, 1);
    file->path = g_strdup(path);
    file->mode = mode;
    file->data = data ? g_bytes_ref(data) : NULL;
    file->target = g_strdup(target);
    add_file(tree, file);
}

void image_tree_add_device(GHashTable *tree, const char *path, unsigned mode, unsigned major, unsigned minor)
{
    struct image_file *file = g_new0(struct image_file, 1);
    file->path = g_strdup(path);
    file->mode = mode;
    file->major = major;
    file->minor = minor;
    add_file(tree, file);
}

static bool fail(GError **error, const char *deb, const char *what)
{
    g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_BUILD, "package %s: %s (remove it and build again)", deb,
                what);
    return false;
}

/* The present entry's data, at most MEMBER_MOST bytes. */
static GBytes *read_entry(struct archive *from, struct archive_entry *entry)
{
    la_int64_t size = archive_entry_size(entry);
    if (size < 0 || size > MEMBER_MOST)
        return NULL;
    g_autofree uint8_t *data = g_try_malloc(size ? (gsize)size : 1);
    if (!data)
        return NULL;
    gsize got = 0;
    while (got < (gsize)size) {
        la_ssize_t n = archive_read_data(from, data + got, (gsize)size - got);
        if (n <= 0)
            return NULL;
        got += (gsize)n;
    }
    return g_bytes_new_take(g_steal_pointer(&data), (gsize)size);
}

/* Relative, without "./" and without any "..": NULL for anything else. */
static const char *clean_path(const char *path)
{
    if (!path)
        return NULL;
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    if (path[0] == '/' || strcmp(path, "..") == 0 || g_str_has_prefix(path, "../") || strstr(path, "/../") ||
        g_str_has_suffix(path, "/.."))
        return NULL;
    return path;
}

static bool add_entry(GHashTable *tree, struct archive *from, struct archive_entry *entry, const char *path,
                      const char *deb, GError **error)
{
    g_autofree char *name = g_strdup(path);
    size_t n = strlen(name);
    while (n && name[n - 1] == '/')
        name[--n] = 0;
    unsigned mode = (unsigned)archive_entry_mode(entry);
    const char *hard = clean_path(archive_entry_hardlink(entry));
    if (hard) {
        const struct image_file *first = g_hash_table_lookup(tree, hard);
        if (first && first->data)
            image_tree_add(tree, name, first->mode, first->data, NULL);
        return true;
    }
    if (S_ISDIR(mode)) {
        /* usrmerge: a package's /lib may be a link already */
        if (!g_hash_table_contains(tree, name))
            image_tree_add(tree, name, mode, NULL, NULL);
        return true;
    }
    if (S_ISLNK(mode)) {
        image_tree_add(tree, name, S_IFLNK | 0777, NULL, archive_entry_symlink(entry));
        return true;
    }
    if (!S_ISREG(mode))
        return true;
    g_autoptr(GBytes) data = read_entry(from, entry);
    if (!data)
        return fail(error, deb,
                    archive_error_string(from) ? archive_error_string(from) : "a file is cut short");
    image_tree_add(tree, name, mode, data, NULL);
    return true;
}

static bool unpack_data(GBytes *tar, const char *deb, bool (*wanted)(const char *path, void *opaque),
                        void *opaque, GHashTable *tree, GError **error)
{
    struct archive *from = archive_read_new();
    struct archive_entry *entry;
    bool good = true;
    gsize size;
    const void *bytes = g_bytes_get_data(tar, &size);
    archive_read_support_format_tar(from);
    archive_read_support_format_cpio(from);
    archive_read_support_filter_all(from);
    if (archive_read_open_memory(from, bytes, size) != ARCHIVE_OK)
        good = fail(error, deb, archive_error_string(from));
    int status;
    while (good && (status = archive_read_next_header(from, &entry)) != ARCHIVE_EOF) {
        if (status < ARCHIVE_WARN) {
            good = fail(error, deb, archive_error_string(from));
            break;
        }
        const char *path = clean_path(archive_entry_pathname(entry));
        if (!path)
            good = fail(error, deb, "a path in it leads outside");
        else if (*path && (!wanted || wanted(path, opaque)))
            good = add_entry(tree, from, entry, path, deb, error);
    }
    archive_read_free(from);
    return good;
}

bool image_deb_unpack(const char *deb, bool (*wanted)(const char *path, void *opaque), void *opaque,
                      GHashTable *tree, GError **error)
{
    struct archive *from = archive_read_new();
    struct archive_entry *entry;
    bool good = false;
    archive_read_support_format_ar(from);
    if (archive_read_open_filename(from, deb, 1 << 16) != ARCHIVE_OK) {
        fail(error, deb, archive_error_string(from));
        archive_read_free(from);
        return false;
    }
    int status;
    while ((status = archive_read_next_header(from, &entry)) == ARCHIVE_OK) {
        const char *name = archive_entry_pathname(entry);
        if (!name || !g_str_has_prefix(name, "data.tar"))
            continue;
        g_autoptr(GBytes) tar = read_entry(from, entry);
        good = tar ? unpack_data(tar, deb, wanted, opaque, tree, error) : fail(error, deb, "it is cut short");
        archive_read_free(from);
        return good;
    }
    fail(error, deb,
         status == ARCHIVE_EOF ? "it has no data.tar: no Debian package" : archive_error_string(from));
    archive_read_free(from);
    return false;
}

bool image_tree_read_cpio(GHashTable *tree, const char *path, GError **error)
{
    g_autoptr(GMappedFile) file = g_mapped_file_new(path, FALSE, error);
    if (!file)
        return false;
    g_autoptr(GBytes) data = g_mapped_file_get_bytes(file);
    return unpack_data(data, path, NULL, NULL, tree, error);
}

static bool write_one(struct archive *to, const struct image_file *file)
{
    struct archive_entry *entry = archive_entry_new();
    gsize size = 0;
    const void *data = file->data ? g_bytes_get_data(file->data, &size) : NULL;
    archive_entry_set_pathname(entry, file->path);
    archive_entry_set_mode(entry, file->mode);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    archive_entry_set_mtime(entry, 0, 0); /* the same packages make the same image, byte for byte */
    archive_entry_set_nlink(entry, 1);
    if (file->target)
        archive_entry_set_symlink(entry, file->target);
    archive_entry_set_size(entry, (la_int64_t)size);
    if (S_ISCHR(file->mode) || S_ISBLK(file->mode))
        archive_entry_set_rdev(entry, makedev(file->major, file->minor));
    bool good = archive_write_header(to, entry) >= ARCHIVE_WARN &&
                (!size || archive_write_data(to, data, size) == (la_ssize_t)size);
    archive_entry_free(entry);
    return good;
}

static int compare_paths(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool image_tree_write_cpio(GHashTable *tree, const char *path, GError **error)
{
    struct archive *to = archive_write_new();
    bool good = archive_write_set_format_cpio_newc(to) == ARCHIVE_OK &&
                archive_write_add_filter_none(to) == ARCHIVE_OK &&
                archive_write_open_filename(to, path) == ARCHIVE_OK;
    guint count;
    g_autofree char **names = (char **)g_hash_table_get_keys_as_array(tree, &count);
    qsort(names, count, sizeof *names, compare_paths); /* a folder sorts before what is in it */
    for (guint i = 0; good && i < count; i++)
        good = write_one(to, g_hash_table_lookup(tree, names[i]));
    if (good)
        good = archive_write_close(to) == ARCHIVE_OK;
    if (!good) {
        int why = archive_errno(to);
        g_set_error(error, IMAGE_ERROR, why == ENOSPC ? IMAGE_ERROR_NO_SPACE : IMAGE_ERROR_BUILD,
                    "writing %s: %s%s", path, archive_error_string(to),
                    why == ENOSPC ? " (free some space, or set NETLAB_IMAGE_DIR to another disk)" : "");
    }
    archive_write_free(to);
    return good;
}
