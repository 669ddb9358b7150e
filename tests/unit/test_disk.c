/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Disk and CD files: what they are, what lies below them, hostile ones, and the words that the emulator gets.
 */
#include "netlab/disk.h"
#include "netlab/machine_drives.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder; /* <tmp>/labs/a: the topology's; disks also in <tmp>/labs/a/disks, <tmp>/other */

static char *at(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

static void put(const char *name, const void *data, gsize size)
{
    g_autofree char *path = at(name);
    g_assert_true(g_file_set_contents(path, data, (gssize)size, NULL));
}

static void put32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

enum { HEADER = 1024, NAME_AT = 512 };

/* A qcow2 header; `below` NULL: nothing below; `format` NULL: not said. */
static void header(uint8_t out[HEADER], uint32_t version, const char *below, const char *format)
{
    memset(out, 0, HEADER);
    memcpy(out, "QFI\xfb", 4);
    put32(out + 4, version);
    put32(out + 20, 16);
    put32(out + 100, version == 3 ? 104 : 0);
    uint8_t *extension = out + (version == 3 ? 104 : 72);
    if (format) {
        put32(extension, 0x6803f857); /* one that is of no interest, of a length that is rounded up */
        put32(extension + 4, 3);
        put32(extension + 16, 0xe2792aca);
        put32(extension + 20, (uint32_t)strlen(format));
        memcpy(extension + 24, format, strlen(format));
    }
    if (below) {
        put32(out + 12, NAME_AT);
        put32(out + 16, (uint32_t)strlen(below));
        memcpy(out + NAME_AT, below, strlen(below));
    }
}

static void qcow2(const char *name, uint32_t version, const char *below, const char *format)
{
    uint8_t image[HEADER];
    header(image, version, below, format);
    put(name, image, sizeof image);
}

/* "qcow2 top, raw base.img"; or the error. */
static char *chain_text(const char *name, bool any_content)
{
    g_autofree char *path = at(name);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) chain = disk_chain(path, folder, any_content, &error);
    GString *text = g_string_new(error ? "error: " : "");
    if (error) {
        g_assert_true(error->domain == DISK_ERROR);
        g_autoptr(GString) message = g_string_new(error->message);
        g_autofree char *prefix = g_strconcat(folder, "/", NULL);
        g_string_replace(message, prefix, "", 0);
        g_string_append(text, message->str);
    }
    for (guint i = 0; chain && i < chain->len; i++) {
        const struct disk_file *file = chain->pdata[i];
        g_autofree char *base = g_path_get_basename(file->path);
        g_assert_true(g_path_is_absolute(file->path));
        g_string_append_printf(text, "%s%s %s", i ? ", " : "", file->format, base);
    }
    return g_string_free(text, FALSE);
}

static void assert_chain(const char *name, const char *expected)
{
    g_autofree char *text = chain_text(name, false);
    g_assert_cmpstr(text, ==, expected);
}

static void assert_refused(const char *name, const char *part)
{
    g_autofree char *text = chain_text(name, false);
    g_test_message("%s", text);
    g_assert_true(g_str_has_prefix(text, "error: "));
    g_assert_nonnull(strstr(text, part));
}

static void test_chains(void)
{
    static const uint8_t raw[2048];
    put("raw.img", raw, sizeof raw);
    assert_chain("raw.img", "raw raw.img");
    qcow2("alone.qcow2", 2, NULL, NULL);
    assert_chain("alone.qcow2", "qcow2 alone.qcow2");
    qcow2("disks/base.qcow2", 3, "../raw.img", "raw");
    qcow2("top.qcow2", 3, "disks/base.qcow2", "qcow2");
    assert_chain("top.qcow2", "qcow2 top.qcow2, qcow2 base.qcow2, raw raw.img");
    /* What is not said is seen; what is said counts: the first bytes of a raw image may be anything. */
    qcow2("unsaid.qcow2", 2, "top.qcow2", NULL);
    assert_chain("unsaid.qcow2", "qcow2 unsaid.qcow2, qcow2 top.qcow2, qcow2 base.qcow2, raw raw.img");
    qcow2("said.qcow2", 2, "top.qcow2", "raw");
    assert_chain("said.qcow2", "qcow2 said.qcow2, raw top.qcow2");
    qcow2("wrong.qcow2", 3, "raw.img", "qcow2");
    assert_refused("wrong.qcow2", "raw.img is no qcow2 image, and the one above it says it is");
    /* A link is another name for the file. */
    g_autofree char *link = at("link.qcow2");
    g_assert_cmpint(symlink("disks/base.qcow2", link), ==, 0);
    assert_chain("link.qcow2", "qcow2 link.qcow2, raw raw.img");
}

static void test_circles(void)
{
    qcow2("self.qcow2", 3, "self.qcow2", "qcow2");
    assert_refused("self.qcow2", "round in a circle: self.qcow2 → self.qcow2; qemu-img rebase");
    qcow2("a.qcow2", 3, "b.qcow2", "qcow2");
    qcow2("b.qcow2", 3, "c.qcow2", "qcow2");
    qcow2("c.qcow2", 3, "b.qcow2", "qcow2");
    assert_refused("a.qcow2", "round in a circle: b.qcow2 → c.qcow2 → b.qcow2");
    g_autofree char *second = at("c2.qcow2"), *first = at("a.qcow2");
    g_assert_cmpint(link(first, second), ==, 0); /* another name, the same file */
    qcow2("d.qcow2", 3, "e.qcow2", "qcow2");
    qcow2("e.qcow2", 3, "d-again.qcow2", "qcow2");
    g_autofree char *d = at("d.qcow2"), *again = at("d-again.qcow2");
    g_assert_cmpint(link(d, again), ==, 0);
    assert_refused("d.qcow2", "round in a circle");
    for (int i = 0; i < DISK_DEPTH_MOST + 2; i++) {
        g_autofree char *name = g_strdup_printf("deep%d.qcow2", i),
                        *next = g_strdup_printf("deep%d.qcow2", i + 1);
        qcow2(name, 3, i == DISK_DEPTH_MOST + 1 ? NULL : next, "qcow2");
    }
    assert_refused("deep0.qcow2", "more than 16 backing files");
    g_autofree char *fits = chain_text("deep1.qcow2", false);
    g_assert_true(g_str_has_prefix(fits, "qcow2 deep1.qcow2, "));
}

static void test_strays(void)
{
    static const uint8_t secret[512] = "private";
    put("../../other/secret", secret, sizeof secret);
    qcow2("out.qcow2", 3, "../../other/secret", "raw");
    assert_refused("out.qcow2", "neither in the folder of the disk nor in the topology's");
    g_autofree char *outside = at("../../other/secret"), *inside = at("inside");
    g_autofree char *real = g_canonicalize_filename(outside, NULL);
    qcow2("absolute.qcow2", 3, real, "raw");
    assert_refused("absolute.qcow2", "neither in the folder");
    g_assert_cmpint(symlink(real, inside), ==, 0);
    qcow2("linked.qcow2", 3, "inside", "raw");
    assert_refused("linked.qcow2", "neither in the folder");
    /* The disk itself may be anywhere, and what is beside it, too. */
    qcow2("../../other/top.qcow2", 3, "secret", "raw");
    assert_chain("../../other/top.qcow2", "qcow2 top.qcow2, raw secret");
    /* "labs/ab" is not beneath "labs/a". */
    g_autofree char *neighbour = at("../ab");
    g_assert_cmpint(g_mkdir(neighbour, 0755), ==, 0);
    put("../ab/base", secret, sizeof secret);
    qcow2("neighbour.qcow2", 3, "../ab/base", "raw");
    assert_refused("neighbour.qcow2", "neither in the folder");
    qcow2("gone.qcow2", 3, "nowhere.qcow2", "qcow2");
    assert_refused("gone.qcow2", "gone.qcow2 has a backing file that cannot be used: ");
    static const char *const names[] = {"nbd://server/disk", "json:{\"driver\": \"file\"}", "file:raw.img",
                                        "ssh:host\033[31m"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        qcow2("protocol.qcow2", 3, names[i], "raw");
        assert_refused("protocol.qcow2", "which is no file here");
    }
    g_autofree char *text = chain_text("protocol.qcow2", false);
    g_assert_null(strchr(text, '\033'));
}

static void test_damaged(void)
{
    uint8_t image[HEADER];
    header(image, 9, NULL, NULL);
    put("version.qcow2", image, sizeof image);
    assert_refused("version.qcow2", "version 9, and there are 2 and 3");
    header(image, 3, "raw.img", "raw");
    put("short.qcow2", image, 60);
    assert_refused("short.qcow2", "ends within its header");
    put32(image + 8, 0xffffffff);
    put("far.qcow2", image, sizeof image);
    assert_refused("far.qcow2", "name of its backing file is not within it");
    header(image, 3, "raw.img", "raw");
    put32(image + 16, 0xffffffff);
    put("long.qcow2", image, sizeof image);
    assert_refused("long.qcow2", "name of its backing file is not within it");
    header(image, 3, "raw.img", "raw");
    image[NAME_AT + 2] = 0;
    put("nul.qcow2", image, sizeof image);
    assert_refused("nul.qcow2", "name of its backing file is not within it");
    /* An extension longer than the file says nothing. */
    header(image, 3, "alone.qcow2", "raw");
    put32(image + 104 + 4, 0xfffffff0);
    put("extension.qcow2", image, sizeof image);
    assert_chain("extension.qcow2", "qcow2 extension.qcow2, qcow2 alone.qcow2");
}

static void test_foreign(void)
{
    static const struct {
        const char *bytes;
        gsize length;
        const char *says;
    } rows[] = {
        {"KDMV", 4, "a VMDK disk; qemu-img convert"},
        {"# Disk DescriptorFile\n", 22, "a VMDK descriptor"},
        {"vhdxfile", 8, "a VHDX disk"},
        {"\x1f\x8b\x08", 3, "compressed with gzip; unpack it first: gunzip"},
        {"\xfd"
         "7zXZ\0",
         6, "compressed with xz"},
        {"\x28\xb5\x2f\xfd", 4, "compressed with zstd"},
        {"PK\x03\x04", 4, "a ZIP archive"},
        {"\x7f"
         "ELF",
         4, "a program"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint8_t sector[1024] = {0};
        memcpy(sector, rows[i].bytes, rows[i].length);
        put("foreign", sector, sizeof sector);
        assert_refused("foreign", rows[i].says);
        /* A guest may write this to its own disk. */
        g_autofree char *text = chain_text("foreign", true);
        g_assert_cmpstr(text, ==, "raw foreign");
    }
    put("nothing", "", 0);
    assert_refused("nothing", "is empty (0 bytes); truncate -s 1G");
    put("little", "abc", 3);
    assert_refused("little", "has 3 bytes, less than a sector");
    assert_refused("missing", "no such file; correct the path");
    assert_refused("disks", "it is a folder; name an image in it");
    assert_refused("../../../../../../../../../../dev/null", "it is no regular file");
    g_autofree char *fifo = at("fifo");
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    assert_refused("fifo", "it is no regular file");
    if (geteuid() != 0) {
        g_autofree char *raw = at("raw.img");
        g_chmod(raw, 0);
        assert_refused("raw.img", "Permission denied");
        g_chmod(raw, 0644);
    }
}

/* ---- CDs ---- */

static char *cd_text(const char *name)
{
    g_autofree char *path = at(name);
    g_autoptr(GError) error = NULL;
    return disk_check_cd(path, &error) ? g_strdup("good") : g_strdup(error->message);
}

static void test_cds(void)
{
    enum { BLOCKS = 400, SIZE = BLOCKS * 2048 };
    g_autofree uint8_t *iso = g_malloc0(SIZE);
    uint8_t *volume = iso + 0x8000;
    memcpy(volume, "\1CD001\1", 7);
    volume[80] = volume[87] = BLOCKS & 255;
    volume[81] = volume[86] = BLOCKS >> 8;
    volume[129] = volume[130] = 2048 >> 8;
    put("good.iso", iso, SIZE);
    g_autofree char *good = cd_text("good.iso");
    g_assert_cmpstr(good, ==, "good");
    assert_refused("good.iso", "is the image of a CD; write \"cdrom: …\" instead");
    put("cut.iso", iso, 40960);
    g_autofree char *cut = cd_text("cut.iso");
    g_assert_nonnull(strstr(cut, "is cut short: it has 40960 bytes of 819200"));
    volume[86] ^= 0x40; /* the two numbers differ: nothing is known */
    put("odd.iso", iso, 40960);
    g_autofree char *odd = cd_text("odd.iso");
    g_assert_cmpstr(odd, ==, "good");
    memcpy(volume, "\0BEA01\1", 7);
    put("udf.iso", iso, 40960);
    g_autofree char *udf = cd_text("udf.iso");
    g_assert_cmpstr(udf, ==, "good");
    static const struct {
        const char *name, *says;
    } rows[] = {{"alone.qcow2", "is a qcow2 disk and no CD; write \"disk: …\" instead"},
                {"raw.img", "is no image of a CD (ISO 9660 or UDF)"},
                {"foreign", "is a program (ELF)"},
                {"missing", "no such file"},
                {"disks", "it is a folder"},
                {"nothing", "is no image of a CD"}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = cd_text(rows[i].name);
        g_test_message("%s", text);
        g_assert_nonnull(strstr(text, rows[i].says));
    }
}

/* ---- writing ---- */

static void test_make(void)
{
    g_autoptr(GError) error = NULL;
    struct stat found;
    g_autofree char *path = at("made.img"), *nowhere = at("nosuch/made.img"), *raw = at("raw.img"),
                    *disks = at("disks");
    g_assert_true(disk_check_writable(path, NULL)); /* it could be made */
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_true(disk_make(path, 5ull << 30, NULL));
    g_assert_cmpint(stat(path, &found), ==, 0);
    g_assert_cmpint(found.st_size, ==, 5ll << 30);
    g_assert_cmpint(found.st_blocks, <, 64);
    g_assert_true(disk_make(path, 1 << 20, NULL)); /* there is one: it stays */
    g_assert_cmpint(stat(path, &found), ==, 0);
    g_assert_cmpint(found.st_size, ==, 5ll << 30);
    g_assert_false(disk_make(nowhere, 1 << 20, &error));
    g_assert_nonnull(strstr(error->message, "cannot be made"));
    g_clear_error(&error);
    g_assert_false(disk_check_writable(nowhere, &error));
    g_assert_nonnull(strstr(error->message, "make the folder"));
    g_clear_error(&error);
    g_assert_false(disk_check_writable(disks, &error));
    g_clear_error(&error);
    g_assert_true(disk_check_writable(raw, NULL));
    if (geteuid() != 0) {
        g_chmod(raw, 0444);
        g_assert_false(disk_check_writable(raw, &error));
        g_assert_nonnull(strstr(error->message, "leave \"persistent\" out"));
        g_chmod(raw, 0644);
    }
}

/* ---- the emulator's words ---- */

static void test_words(void)
{
    static const char media[] =
        "{\"boot\": \"dc\", \"media\": ["
        "{\"at\": 0, \"kind\": \"disk\", \"file\": \"/l/a,\\\"b\\\".qcow2\", \"format\": \"qcow2\", "
        "\"below\": "
        "[{\"file\": \"/l/base.qcow2\", \"format\": \"qcow2\"}, {\"file\": \"/l/r w\", \"format\": "
        "\"raw\"}]},"
        "{\"at\": 1, \"kind\": \"disk\", \"size\": 1048576},"
        "{\"at\": 3, \"kind\": \"disk\", \"file\": \"/l/d.img\", \"format\": \"raw\", \"persistent\": true},"
        "{\"at\": 2, \"kind\": \"cdrom\", \"file\": \"/l/c,d.iso\"}]}";
    static const char *const expected[] = {
        "-drive",
        "file=json:{\"driver\":\"qcow2\",,\"file\":{\"driver\":\"file\",,\"filename\":\"/l/"
        "a,,\\\"b\\\".qcow2\"},,"
        "\"backing\":{\"driver\":\"qcow2\",,\"file\":{\"driver\":\"file\",,\"filename\":\"/l/base.qcow2\"},,"
        "\"backing\":{\"driver\":\"raw\",,\"file\":{\"driver\":\"file\",,\"filename\":\"/l/r "
        "w\"}}}},if=ide,index=0,"
        "snapshot=on",
        "-drive",
        "file=disk1.img,format=raw,if=ide,index=1,snapshot=on",
        "-drive",
        "file=/l/d.img,if=ide,index=3",
        "-drive",
        "file=/l/c,,d.iso,format=raw,if=ide,index=2,media=cdrom",
        "-boot",
        "order=dc",
    };
    struct machine_user user = {.change = true, .uid = 1, .gid = 1};
    g_autoptr(JsonNode) root = json_from_string(media, NULL);
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_assert_true(machine_drives_add(argv, json_node_get_object(root), &user, NULL, NULL)); /* for show */
    g_assert_cmpuint(argv->len, ==, G_N_ELEMENTS(expected));
    for (guint i = 0; i < argv->len; i++)
        g_assert_cmpstr(argv->pdata[i], ==, expected[i]);
    g_autoptr(GString) text =
        g_string_new("/dev/fdset/1: bad; /dev/fdset/3 and /dev/fdset/5: gone, /dev/fdset/12 is unknown");
    machine_drives_restore_paths(json_node_get_object(root), text);
    g_assert_cmpstr(text->str, ==,
                    "/l/a,\"b\".qcow2: bad; /l/r w and /l/c,d.iso: gone, /l/a,\"b\".qcow22 is unknown");
}

/* The files are passed, and a chain that has changed since is seen. */
static void test_passing(void)
{
    qcow2("p-base.qcow2", 3, NULL, NULL);
    qcow2("p-top.qcow2", 3, "p-base.qcow2", "qcow2");
    g_autofree char *top = at("p-top.qcow2"), *base = at("p-base.qcow2"), *real = realpath(base, NULL);
    g_autofree char *media = g_strdup_printf("{\"media\": [{\"at\": 0, \"kind\": \"disk\", \"file\": \"%s\", "
                                             "\"format\": \"qcow2\", \"below\": [{\"file\": \"%s\", "
                                             "\"format\": \"qcow2\"}]}]}",
                                             top, real);
    struct machine_user user = {.change = true, .uid = 1, .gid = 1};
    g_autoptr(JsonNode) root = json_from_string(media, NULL);
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(int));
    struct machine_fds fds = {list, 20};
    g_autoptr(GError) error = NULL;
    g_assert_true(machine_drives_add(argv, json_node_get_object(root), &user, &fds, &error));
    g_assert_cmpuint(list->len, ==, 2);
    g_assert_cmpstr(argv->pdata[1], ==, "fd=20,set=1");
    g_assert_cmpstr(argv->pdata[3], ==, "fd=21,set=2");
    g_assert_nonnull(strstr(argv->pdata[5], "/dev/fdset/1"));
    g_assert_null(strstr(argv->pdata[5], top));
    for (guint i = 0; i < list->len; i++)
        close(g_array_index(list, int, i));
    g_array_set_size(list, 0);
    qcow2("p-top.qcow2", 3, "raw.img", "raw");
    g_assert_false(machine_drives_add(argv, json_node_get_object(root), &user, &fds, &error));
    g_assert_nonnull(strstr(error->message, "has other backing files than when the lab was brought up"));
    for (guint i = 0; i < list->len; i++)
        close(g_array_index(list, int, i));
}

static void remove_all(const char *path)
{
    g_autoptr(GDir) dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *inner = g_build_filename(path, name, NULL);
        remove_all(inner);
    }
    g_remove(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_unsetenv("SUDO_UID");
    g_autofree char *top = g_dir_make_tmp("netlab-disk-XXXXXX", NULL);
    static const char *const folders[] = {"labs", "labs/a", "labs/a/disks", "other"};
    for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(top, folders[i], NULL);
        g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
    }
    folder = g_build_filename(top, "labs/a", NULL);
    g_test_add_func("/disk/chains", test_chains);
    g_test_add_func("/disk/circles", test_circles);
    g_test_add_func("/disk/strays", test_strays);
    g_test_add_func("/disk/damaged", test_damaged);
    g_test_add_func("/disk/foreign", test_foreign);
    g_test_add_func("/disk/cds", test_cds);
    g_test_add_func("/disk/make", test_make);
    g_test_add_func("/disk/words", test_words);
    g_test_add_func("/disk/passing", test_passing);
    int result = g_test_run();
    remove_all(top);
    g_free(folder);
    return result;
}
