/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Images: packages good and hostile, the initramfs that comes out, finding and removing. Nothing here needs a
 * network.
 */
#include "netlab/image_internal.h"

#include <archive.h>
#include <archive_entry.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

static char *folder;

static char *in_folder(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

static void add_entry(struct archive *to, const char *path, unsigned mode, const char *data, const char *link)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, path);
    archive_entry_set_mode(entry, mode);
    if (link && S_ISLNK(mode))
        archive_entry_set_symlink(entry, link);
    else if (link)
        archive_entry_set_hardlink(entry, link);
    archive_entry_set_size(entry, data ? (la_int64_t)strlen(data) : 0);
    archive_write_header(to, entry);
    if (data)
        archive_write_data(to, data, strlen(data));
    archive_entry_free(entry);
}

/* A package whose data.tar holds one file of this path besides an ordinary tree. */
static char *make_package(const char *name, const char *extra)
{
    static char tar[1 << 16];
    size_t used = 0;
    struct archive *to = archive_write_new();
    archive_write_set_format_gnutar(to);
    archive_write_open_memory(to, tar, sizeof tar, &used);
    add_entry(to, "./usr/", S_IFDIR | 0755, NULL, NULL);
    add_entry(to, "./usr/bin/tool", S_IFREG | 0755, "#!/bin/sh\n", NULL);
    add_entry(to, "./usr/bin/same", S_IFREG | 0755, NULL, "./usr/bin/tool");
    add_entry(to, "./usr/bin/other", S_IFLNK | 0777, NULL, "tool");
    if (extra)
        add_entry(to, extra, S_IFREG | 0644, "evil", NULL);
    archive_write_close(to);
    archive_write_free(to);

    char *path = in_folder(name);
    to = archive_write_new();
    archive_write_set_format_ar_svr4(to);
    archive_write_open_filename(to, path);
    add_entry(to, "debian-binary", S_IFREG | 0644, "2.0\n", NULL);
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, "data.tar");
    archive_entry_set_mode(entry, S_IFREG | 0644);
    archive_entry_set_size(entry, (la_int64_t)used);
    archive_write_header(to, entry);
    archive_write_data(to, tar, used);
    archive_entry_free(entry);
    archive_write_close(to);
    archive_write_free(to);
    return path;
}

static void test_unpack(void)
{
    g_autofree char *path = make_package("good.deb", NULL);
    g_autoptr(GHashTable) tree = image_tree_new();
    GError *error = NULL;
    g_assert_true(image_deb_unpack(path, NULL, NULL, tree, &error));
    g_assert_no_error(error);
    const struct image_file *tool = g_hash_table_lookup(tree, "usr/bin/tool");
    const struct image_file *same = g_hash_table_lookup(tree, "usr/bin/same");
    const struct image_file *other = g_hash_table_lookup(tree, "usr/bin/other");
    g_assert_true(tool && same && other);
    g_assert_true(g_bytes_equal(tool->data, same->data));
    g_assert_cmpstr(other->target, ==, "tool");
    g_assert_nonnull(g_hash_table_lookup(tree, "usr/bin")); /* a parent that no entry named */
}

static void test_hostile(void)
{
    static const char *const paths[] = {"../outside", "/etc/passwd", "usr/../../outside", "..", "usr/.."};
    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *path = make_package("bad.deb", paths[i]);
        g_autoptr(GHashTable) tree = image_tree_new();
        g_autoptr(GError) error = NULL;
        g_assert_false(image_deb_unpack(path, NULL, NULL, tree, &error));
        g_assert_nonnull(strstr(error->message, "leads outside"));
    }
}

/* Cut anywhere, or not a package at all: an error, never a crash. */
static void test_damaged(void)
{
    g_autofree char *path = make_package("whole.deb", NULL);
    g_autofree char *cut_path = in_folder("cut.deb");
    g_autofree char *data = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(path, &data, &size, NULL));
    for (gsize cut = 0; cut < size - 2048; cut += 61) { /* the last KiBs are the tar's empty end */
        g_autoptr(GHashTable) tree = image_tree_new();
        g_autoptr(GError) error = NULL;
        g_assert_true(g_file_set_contents(cut_path, data, (gssize)cut, NULL));
        g_assert_false(image_deb_unpack(cut_path, NULL, NULL, tree, &error));
        g_assert_nonnull(error);
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(GHashTable) tree = image_tree_new();
    g_assert_true(g_file_set_contents(cut_path, "no package", -1, NULL));
    g_assert_false(image_deb_unpack(cut_path, NULL, NULL, tree, &error));
    g_assert_nonnull(error);
}

static void test_cpio(void)
{
    g_autoptr(GHashTable) tree = image_tree_new();
    g_autoptr(GBytes) data = g_bytes_new_static("hello", 5);
    g_autofree char *path = in_folder("initrd"), *again = in_folder("initrd2");
    GError *error = NULL;
    image_tree_add(tree, "a/b/file", S_IFREG | 0640, data, NULL);
    image_tree_add(tree, "link", S_IFLNK | 0777, NULL, "a/b/file");
    image_tree_add_device(tree, "dev/console", S_IFCHR | 0600, 5, 1);
    g_assert_true(image_tree_write_cpio(tree, path, &error));
    g_assert_no_error(error);
    g_assert_true(image_tree_write_cpio(tree, again, &error));

    struct archive *from = archive_read_new();
    struct archive_entry *entry;
    g_autoptr(GString) seen = g_string_new(NULL);
    archive_read_support_format_cpio(from);
    g_assert_cmpint(archive_read_open_filename(from, path, 4096), ==, ARCHIVE_OK);
    while (archive_read_next_header(from, &entry) == ARCHIVE_OK)
        g_string_append_printf(seen, "%s:%o:%ld:%u.%u ", archive_entry_pathname(entry),
                               archive_entry_mode(entry), (long)archive_entry_size(entry),
                               (unsigned)archive_entry_rdevmajor(entry),
                               (unsigned)archive_entry_rdevminor(entry));
    archive_read_free(from);
    /* Folders come before what is in them. */
    g_assert_cmpstr(
        seen->str, ==,
        "a:40755:0:0.0 a/b:40755:0:0.0 a/b/file:100640:5:0.0 dev:40755:0:0.0 dev/console:20600:0:5.1 "
        "link:120777:8:0.0 ");
    g_autofree char *one = NULL, *two = NULL;
    gsize one_size, two_size;
    g_assert_true(g_file_get_contents(path, &one, &one_size, NULL) &&
                  g_file_get_contents(again, &two, &two_size, NULL));
    g_assert_cmpmem(one, one_size, two, two_size);
}

static void write_in(const char *image, const char *name, const char *text)
{
    g_autofree char *where = g_build_filename(folder, image, NULL);
    g_autofree char *path = g_build_filename(where, name, NULL);
    g_assert_cmpint(g_mkdir_with_parents(where, 0755), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void test_find(void)
{
    GError *error = NULL;
    write_in("good", "image.json",
             "{\"kernel\": \"vmlinuz\", \"append\": \"quiet\", \"memory\": 80, \"agent\": true}");
    write_in("good", "vmlinuz", "kernel");
    write_in("outside", "image.json", "{\"kernel\": \"../good/vmlinuz\"}");
    write_in("broken", "image.json", "{\"kernel\": ");
    write_in("headless", "image.json", "{\"kernel\": \"vmlinuz\"}");
    struct image *image = image_find("good", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(image->memory, ==, 80);
    g_assert_cmpstr(image->append, ==, "quiet");
    g_assert_true(image->has_agent && !image->initrd && g_str_has_suffix(image->kernel, "/good/vmlinuz"));
    image_free(image);
    static const struct {
        const char *name;
        enum image_error code;
        const char *word;
    } bad[] = {
        {"outside", IMAGE_ERROR_DAMAGED, "is damaged"}, {"broken", IMAGE_ERROR_DAMAGED, "is damaged"},
        {"headless", IMAGE_ERROR_DAMAGED, "--refresh"}, {"nosuch", IMAGE_ERROR_UNKNOWN, "there is: good"},
        {"../good", IMAGE_ERROR_NAME, "no image name"}, {"", IMAGE_ERROR_NAME, "no image name"},
        {".hidden", IMAGE_ERROR_NAME, "no image name"}};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_null(image_find(bad[i].name, &error));
        g_assert_error(error, IMAGE_ERROR, (int)bad[i].code);
        g_assert_nonnull(strstr(error->message, bad[i].word));
        g_clear_error(&error);
    }
    g_autoptr(GPtrArray) list = image_list(&error);
    g_assert_cmpuint(list->len, ==, 1);
    g_assert_true(image_remove("good", &error));
    g_assert_null(image_find("good", &error));
    g_clear_error(&error);
    g_assert_false(image_remove("good", &error));
    g_clear_error(&error);
}

static void test_recipes(void)
{
    GError *error = NULL;
    struct image_build_options options = {0};
    g_assert_false(image_build("mimi", &options, NULL, &error));
    g_assert_nonnull(strstr(error->message, "mini"));
    g_clear_error(&error);
    g_setenv("NETLAB_GUEST", "/nonexistent/guest", TRUE);
    g_assert_false(image_build("mini", &options, NULL, &error));
    g_assert_nonnull(strstr(error->message, "NETLAB_GUEST"));
    g_clear_error(&error);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("netlab-image-XXXXXX", NULL);
    g_setenv("NETLAB_IMAGE_DIR", folder, TRUE);
    g_test_add_func("/image/unpack", test_unpack);
    g_test_add_func("/image/hostile", test_hostile);
    g_test_add_func("/image/damaged", test_damaged);
    g_test_add_func("/image/cpio", test_cpio);
    g_test_add_func("/image/find", test_find);
    g_test_add_func("/image/recipes", test_recipes);
    int result = g_test_run();
    image_remove_folder(folder, NULL);
    g_free(folder);
    return result;
}
