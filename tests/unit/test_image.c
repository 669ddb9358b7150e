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
    g_assert_false(image_build("mimi", &options, NULL, NULL, &error));
    g_assert_nonnull(strstr(error->message, "mini"));
    g_clear_error(&error);
    g_setenv("NETLAB_GUEST", "/nonexistent/guest", TRUE);
    g_assert_false(image_build("mini", &options, NULL, NULL, &error));
    g_assert_nonnull(strstr(error->message, "NETLAB_GUEST"));
    g_clear_error(&error);
}

static void test_recipe_text(void)
{
    static const char good[] =
        "# mine\nname: mine\ndescription: a: b\nroot: disk\nmemory: 80M\nleast-memory: 64\n"
        "packages: bash\n  iproute2 frr\nwithout: perl-*\nuser: frr 92 /home\ngroup: vty 93 frr\n"
        "link: /bin/sh dash\nfile: /etc/x 0755\n  one\n    two\n\n  three\nstart: true\nstart:\n  a\n  b\n";
    GError *error = NULL;
    struct recipe *r = recipe_parse("mine", good, strlen(good), &error);
    g_assert_no_error(error);
    g_assert_cmpstr(r->name, ==, "mine");
    g_assert_cmpstr(r->description, ==, "a: b");
    g_assert_cmpstr(r->kernel, ==, "linux-image-686");
    g_assert_true(r->on_disk && r->memory == 80 && r->least_memory == 64);
    g_assert_cmpuint(r->packages->len, ==, 3);
    g_assert_cmpstr(r->packages->pdata[2], ==, "frr");
    const struct recipe_file *file = r->files->pdata[0];
    g_assert_cmpstr(file->path, ==, "etc/x");
    g_assert_cmpuint(file->mode, ==, 0755);
    g_assert_cmpmem(g_bytes_get_data(file->data, NULL), g_bytes_get_size(file->data), "one\n  two\n\nthree\n",
                    17);
    g_assert_cmpstr(r->start->pdata[1], ==, "a\nb");
    recipe_free(r);
    static const struct {
        const char *text, *place, *word;
    } bad[] = {
        {"description: x\n", "x:1:1", "no name"},
        {"name: a b\n", "x:1:7", "no image name"},
        {"name: a\nmemory: lots\n", "x:2:9", "96M"},
        {"name: a\nmemory: 8M\nleast-memory: 9M\n", "x:", "exchange"},
        {"name: a\npackages: -o\n", "x:2:11", "Debian package"},
        {"name: a\nfile: ../etc\n", "x:2:7", "/path"},
        {"name: a\nfile: /etc/../x\n", "x:2:7", "/path"},
        {"name: a\nfile: /x 99\n", "x:2:7", "0644"},
        {"name: a\nlink: /x\n", "x:2:7", "target"},
        {"name: a\nuser: x:y 5\n", "x:2:7", "UID"},
        {"name: a\nroot: tape\n", "x:2:7", "disk"},
        {"name: a\nkernel: bash\n", "x:2:9", "linux-image-686"},
        {"name: a\nnothing\n", "x:2:1", "key: value"},
        {"  name: a\n", "x:1:1", "no key"},
        {"name: a\nnaem: b\n", "x:2:1", "the keys are"},
        {"name: a\n  b\n", "x:1:7", "one line"},
        {"name: a\ncopy: /nonexistent/file /x\n", "x:2:7", "correct the path"},
        {"name: \xff\n", "x:1:1", "UTF-8"},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_null(recipe_parse("x", bad[i].text, strlen(bad[i].text), &error));
        g_assert_error(error, IMAGE_ERROR, IMAGE_ERROR_RECIPE);
        if (!g_str_has_prefix(error->message, bad[i].place) || !strstr(error->message, bad[i].word))
            g_error("%s: %s", bad[i].text, error->message);
        g_clear_error(&error);
    }
    static const char *const ours[] = {"mini", "mini-pae", "debian", "host", "router"};
    for (unsigned i = 0; i < G_N_ELEMENTS(ours); i++) {
        r = recipe_load(ours[i], &error);
        g_assert_no_error(error);
        g_assert_cmpstr(r->name, ==, ours[i]);
        recipe_free(r);
    }
}

/* Any tree comes back out of the file system that is made of it, as erofs-utils reads it; twice the same
 * bytes. */
static void test_erofs(void)
{
    g_autofree char *fsck = g_find_program_in_path("fsck.erofs");
    GError *error = NULL;
    g_autoptr(GHashTable) tree = image_tree_new();
    g_autofree char *path = g_build_filename(folder, "root.img", NULL),
                    *again = g_build_filename(folder, "again.img", NULL);
    static const gsize sizes[] = {0, 1, 511, 512, 513, 4063, 4064, 4065, 4096, 4097, 8192, 8200, 100000};
    g_autofree char *contents = g_malloc(100000);
    for (gsize i = 0; i < 100000; i++)
        contents[i] = (char)(i * 7 + i / 256);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *name = g_strdup_printf("sizes/%u", (unsigned)sizes[i]);
        g_autoptr(GBytes) data = g_bytes_new(contents, sizes[i]);
        image_tree_add(tree, name, S_IFREG | 0644, data, NULL);
    }
    for (unsigned i = 0; i < 700; i++) { /* a folder of several blocks, with names that sort before "." */
        g_autofree char *name = g_strdup_printf("many/%s%u-with-a-rather-long-name", i % 3 ? "n" : "+", i);
        g_autoptr(GBytes) data = g_bytes_new(&i, sizeof i);
        image_tree_add(tree, name, S_IFREG | 0755, data, NULL);
    }
    image_tree_add(tree, "link", S_IFLNK | 0777, NULL, "sizes/512");
    image_tree_add(tree, "empty", S_IFDIR | 0700, NULL, NULL);
    image_tree_add_device(tree, "dev/null", S_IFCHR | 0666, 1, 3);
    g_assert_true(image_tree_write_erofs(tree, path, &error) && image_tree_write_erofs(tree, again, &error));
    g_autofree char *one = NULL, *two = NULL;
    gsize one_size, two_size;
    g_assert_true(g_file_get_contents(path, &one, &one_size, NULL) &&
                  g_file_get_contents(again, &two, &two_size, NULL));
    g_assert_cmpmem(one, one_size, two, two_size);
    g_autoptr(GHashTable) bad = image_tree_new();
    image_tree_add(bad, "a", S_IFLNK | 0777, NULL, "b");
    image_tree_add(bad, "a/c", S_IFDIR | 0755, NULL, NULL);
    g_assert_false(image_tree_write_erofs(bad, again, &error));
    g_assert_nonnull(strstr(error->message, "no folder"));
    g_clear_error(&error);
    if (!fsck) {
        g_test_skip("fsck.erofs is not there (package erofs-utils)");
        return;
    }
    g_autofree char *out = g_build_filename(folder, "extracted", NULL),
                    *option = g_strconcat("--extract=", out, NULL);
    char *argv[] = {fsck, option, (char *)"--no-preserve", path, NULL};
    int status;
    g_autofree char *said = NULL;
    g_assert_true(
        g_spawn_sync(NULL, argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, &said, &status, &error));
    if (status)
        g_error("fsck.erofs: %s", said);
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, tree);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct image_file *file = value;
        g_autofree char *where = g_build_filename(out, file->path, NULL), *got = NULL;
        gsize size;
        if (!file->data)
            continue;
        g_assert_true(g_file_get_contents(where, &got, &size, NULL));
        g_assert_cmpmem(got, size, g_bytes_get_data(file->data, NULL), g_bytes_get_size(file->data));
    }
    image_remove_folder(out, NULL);
}

static void write_medium(const char *path, gsize at, const char *magic, gsize length)
{
    g_autofree char *bytes = g_malloc0(0x9000);
    memcpy(bytes + at, magic, length);
    g_assert_true(g_file_set_contents(path, bytes, 0x9000, NULL));
}

static void test_import(void)
{
    GError *error = NULL;
    g_autofree char *iso = g_build_filename(folder, "x.iso", NULL),
                    *qcow = g_build_filename(folder, "x.qcow2", NULL),
                    *kernel = g_build_filename(folder, "bz", NULL),
                    *disk = g_build_filename(folder, "x.raw", NULL),
                    *cut = g_build_filename(folder, "cut.iso", NULL),
                    *chained = g_build_filename(folder, "chained", NULL);
    /* A volume of 256 blocks of 2048 bytes, of which there are 18. */
    char volume[132] = "\1CD001\1";
    volume[81] = volume[86] = 1;
    volume[129] = volume[130] = 8;
    write_medium(cut, 0x8000, volume, sizeof volume);
    write_medium(iso, 0x8001, "CD001", 5);
    write_medium(qcow, 0, "QFI\xfb\0\0\0\3\0\0\0\0\0\0\0\0", 16);
    write_medium(chained, 0, "QFI\xfb\0\0\0\3\0\0\0\0\0\0\2\0", 16);
    write_medium(kernel, 0x202, "HdrS", 4);
    write_medium(disk, 510, "\x55\xaa", 2);
    struct image_import_options o = {.name = "own", .files = (const char *const[]){iso, disk, NULL}};
    g_assert_true(image_import(&o, &error));
    struct image *image = image_find("own", &error);
    g_assert_true(image && image->cdrom && image->disk && !image->kernel && !image->disk_is_root &&
                  !image->disk_is_qcow2);
    g_assert_cmpuint(strlen(image->id), ==, 64);
    g_assert_true(image_verify(image, &error));
    /* A bit that turned is found. */
    g_autofree char *seen = g_strdup(image->disk);
    write_medium(seen, 509, "\1\x55\xaa", 3);
    g_assert_false(image_verify(image, &error));
    g_assert_nonnull(strstr(error->message, "is damaged"));
    g_clear_error(&error);
    image_free(image);
    g_assert_false(image_import(&o, &error));
    g_assert_nonnull(strstr(error->message, "--replace"));
    g_clear_error(&error);
    o.replace = true;
    o.files = (const char *const[]){qcow, NULL};
    g_assert_true(image_import(&o, &error));
    image = image_find("own", &error);
    g_assert_true(image && image->disk_is_qcow2 && !image->cdrom);
    image_free(image);
    const struct {
        struct image_import_options o;
        const char *word;
    } bad[] = {
        {{.name = "new"}, "import what"},
        {{.name = "../x", .kernel = kernel}, "no image name"},
        {{.name = "new", .kernel = iso}, "no Linux kernel"},
        {{.name = "new", .files = (const char *const[]){kernel, NULL}}, "--kernel"},
        {{.name = "new", .files = (const char *const[]){chained, NULL}}, "backing file"},
        {{.name = "new", .files = (const char *const[]){iso, iso, NULL}}, "second CD"},
        {{.name = "new", .files = (const char *const[]){cut, NULL}},
         "is cut short: it has 36864 bytes of 524288"},
        {{.name = "new", .files = (const char *const[]){"/nonexistent", NULL}}, "No such file"},
        {{.name = "new", .files = (const char *const[]){"/dev/null", NULL}}, "not a regular file"},
        {{.name = "new", .append = "quiet", .files = (const char *const[]){iso, NULL}}, "--kernel"},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(image_import(&bad[i].o, &error));
        if (!strstr(error->message, bad[i].word))
            g_error("%u: %s", i, error->message);
        g_clear_error(&error);
        g_assert_null(image_find("new", NULL));
    }
    o = (struct image_import_options){.name = "kern", .kernel = kernel, .initrd = iso, .append = "quiet"};
    g_assert_true(image_import(&o, &error));
    g_assert_true(image_remove("kern", &error) && image_remove("own", &error));
    g_autofree char *blobs = g_build_filename(folder, "blobs", NULL);
    g_assert_false(g_file_test(blobs, G_FILE_TEST_EXISTS)); /* nobody's contents are kept */
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
    g_test_add_func("/image/recipe-text", test_recipe_text);
    g_test_add_func("/image/erofs", test_erofs);
    g_test_add_func("/image/import", test_import);
    g_test_add_func("/image/recipes", test_recipes);
    int result = g_test_run();
    image_remove_folder(folder, NULL);
    g_free(folder);
    return result;
}
