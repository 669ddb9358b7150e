/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Building images by recipe: Debian packages in; a kernel, an initramfs and perhaps a disk out.
 *
 * With "root: memory" the initramfs is the whole system. With "root: disk" it only holds what is needed to
 * mount the disk, an EROFS file system that all machines of the image read and none writes; each puts a layer
 * of its own memory over it.
 *
 * Everything is put together in a hidden folder beside the image's place, which is then renamed into it: a
 * build that fails, is interrupted or meets a full disk leaves what was there before. What went in (recipe,
 * package files, the guest program) is recorded as `inputs`, so an image that is up to date is not built
 * again.
 */
#include "netlab/image_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <utime.h>

enum { RECIPE_VERSION = 9, NEEDED_MIB = 600 };

struct build {
    struct recipe *recipe;
    const struct image_build_options *options;
    const char *name;
    char *images, *work, *place; /* folders */
    char *guest;                 /* path of the guest program */
    char *guest_hash;
    char *kernel_package;    /* "linux-image-6.1.0-50-686" */
    GHashTable *kernel_tree; /* what was taken out of the kernel's package */
    GHashTable *index;       /* its modules by name */
    GHashTable *tree;        /* the root file system */
    GHashTable *boot;        /* the initramfs: the same as tree when the root is in memory */
    int lock;
};

static void say(const struct build *b, const char *step, const char *text)
{
    if (b->options->progress)
        b->options->progress(b->options->opaque, step, text);
}

static bool fail(GError **error, enum image_error code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static bool fail(GError **error, enum image_error code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    GError *made = g_error_new_valist(IMAGE_ERROR, (int)code, format, args);
    va_end(args);
    g_propagate_error(error, made);
    return false;
}

/* Beside the running program, or where NETLAB_GUEST says. */
static bool find_guest(struct build *b, GError **error)
{
    const char *named = g_getenv("NETLAB_GUEST");
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self ? g_path_get_dirname(self) : g_strdup(".");
    b->guest = named ? g_strdup(named) : g_build_filename(folder, "netlab-guest", NULL);
    g_autoptr(GMappedFile) file = g_mapped_file_new(b->guest, FALSE, NULL);
    if (!file)
        return fail(error, IMAGE_ERROR_BUILD,
                    "the guest program %s is not there: build it with `cmake --build --preset release`, or "
                    "say where it is "
                    "with NETLAB_GUEST",
                    b->guest);
    b->guest_hash = g_compute_checksum_for_data(
        G_CHECKSUM_SHA256, (const guchar *)g_mapped_file_get_contents(file), g_mapped_file_get_length(file));
    return true;
}

static char *inputs_of(const struct build *b)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "version %d\nguest %s\n%s\n", RECIPE_VERSION, b->guest_hash,
                           b->recipe->text);
    for (guint i = 0; i < b->recipe->files->len; i++) { /* also those that the recipe only names */
        const struct recipe_file *file = b->recipe->files->pdata[i];
        g_autofree char *sum = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, file->data);
        g_string_append_printf(text, "file %s %s\n", file->path, sum);
    }
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text->str, -1);
}

static bool is_up_to_date(const struct build *b, const char *inputs)
{
    g_autofree char *path = g_build_filename(b->place, "inputs", NULL);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL) || strcmp(g_strstrip(text), inputs) != 0)
        return false;
    struct image *image = image_load(b->images, b->name, NULL);
    bool good = image != NULL;
    image_free(image);
    return good;
}

static bool take_lock(struct build *b, GError **error)
{
    g_autofree char *path = g_build_filename(b->images, ".lock", NULL);
    b->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (b->lock < 0)
        return fail(error, errno == ENOSPC ? IMAGE_ERROR_NO_SPACE : IMAGE_ERROR_BUILD,
                    "opening %s: %s (set NETLAB_IMAGE_DIR to a folder you may write to)", path,
                    g_strerror(errno));
    if (flock(b->lock, LOCK_EX | LOCK_NB) == 0)
        return true;
    say(b, "lock", "Waiting for another image build to end");
    while (flock(b->lock, LOCK_EX) != 0)
        if (errno != EINTR)
            return fail(error, IMAGE_ERROR_BUILD, "locking %s: %s", path, g_strerror(errno));
    return true;
}

static bool check_space(const struct build *b, GError **error)
{
    struct statvfs fs;
    if (statvfs(b->images, &fs) != 0)
        return true;
    uint64_t free_mib = (uint64_t)fs.f_bavail * fs.f_frsize >> 20;
    if (free_mib >= NEEDED_MIB)
        return true;
    return fail(error, IMAGE_ERROR_NO_SPACE,
                "building an image needs %d MiB and %s has %" G_GUINT64_FORMAT
                " MiB left: free some space, or set NETLAB_IMAGE_DIR and NETLAB_CACHE_DIR to another disk",
                NEEDED_MIB, b->images, free_mib);
}

/* ---- the kernel and its modules ---- */

static bool add_modules(struct build *b, GError **error)
{
    static const char *const always[] = {"e1000", "qemu_fw_cfg", "button", NULL};
    static const char *const for_disk[] = {"crc32c_generic", "ata_piix", "sd_mod", "erofs", "overlay", NULL};
    g_autoptr(GString) load = g_string_new(NULL);
    g_autoptr(GString) more = g_string_new(NULL);
    b->index = image_kernel_index(b->kernel_tree);
    for (const char *const *name = always; *name; name++)
        if (!image_kernel_add_module(b->index, b->boot, *name, 0, load, error))
            return false;
    for (const char *const *name = for_disk; b->recipe->on_disk && *name; name++)
        if (!image_kernel_add_module(b->index, b->boot, *name, 0, load, error))
            return false;
    if (b->recipe->on_disk)
        image_kernel_add_tables(b->kernel_tree, b->index, b->tree,
                                b->kernel_package + strlen("linux-image-"));
    for (guint i = 0; i < b->recipe->modules->len; i++)
        if (!image_kernel_add_module(b->index, b->tree, b->recipe->modules->pdata[i], 0, more, error))
            return false;
    if (!strstr(load->str, "/e1000.ko"))
        return fail(error, IMAGE_ERROR_BUILD, "the kernel package %s has no e1000 driver", b->kernel_package);
    g_autoptr(GBytes) list = g_bytes_new(load->str, load->len);
    image_tree_add(b->boot, "lib/modules/netlab.load", S_IFREG | 0644, list, NULL);
    return true;
}

static bool save_kernel(struct build *b, GError **error)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, b->kernel_tree);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct image_file *file = value;
        if (!g_str_has_prefix(file->path, "boot/vmlinuz-") || !file->data)
            continue;
        g_autofree char *path = g_build_filename(b->work, "vmlinuz", NULL);
        gsize size;
        const char *data = g_bytes_get_data(file->data, &size);
        if (!g_file_set_contents(path, data, (gssize)size, error)) {
            g_prefix_error(error, "writing the kernel: ");
            return false;
        }
        return chmod(path, 0644) == 0 || fail(error, IMAGE_ERROR_BUILD, "%s: %s", path, g_strerror(errno));
    }
    return fail(error, IMAGE_ERROR_BUILD, "the kernel package %s has no vmlinuz", b->kernel_package);
}

/* ---- userland ---- */

static bool want_of_userland(const char *path, void *opaque)
{
    const struct build *b = opaque;
    static const char *const without[] = {"usr/share/doc/",
                                          "usr/share/man/",
                                          "usr/share/locale/",
                                          "usr/share/info/",
                                          "usr/share/lintian/",
                                          "usr/share/bash-completion/",
                                          "usr/share/common-licenses/"};
    for (unsigned i = 0; i < G_N_ELEMENTS(without); i++)
        if (g_str_has_prefix(path, without[i]))
            return false;
    for (guint i = 0; i < b->recipe->leave_out->len; i++) {
        const char *left = b->recipe->leave_out->pdata[i];
        size_t length = strlen(left);
        if (strncmp(path, left, length) == 0 && (!path[length] || path[length] == '/'))
            return false;
    }
    return true;
}

/* Links for busybox's applets where no package brought the real thing. When this host cannot run i386
 * programs the guest makes the links at its first start instead. */
static void add_applets(struct build *b)
{
    const struct image_file *busybox = g_hash_table_lookup(b->tree, "bin/busybox");
    g_autofree char *path = g_build_filename(b->work, "busybox", NULL);
    gsize size;
    const char *data = g_bytes_get_data(busybox->data, &size);
    g_autofree char *out = NULL;
    int status = -1;
    if (g_file_set_contents(path, data, (gssize)size, NULL) && chmod(path, 0755) == 0) {
        char *argv[] = {path, (char *)"--list-full", NULL};
        g_spawn_sync(NULL, argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &out, NULL, &status, NULL);
    }
    unlink(path);
    if (status != 0 || !out)
        return;
    g_auto(GStrv) applets = g_strsplit(out, "\n", -1);
    for (char **applet = applets; *applet; applet++) {
        if (!**applet || **applet == '/' || strstr(*applet, ".."))
            continue;
        g_autofree char *base = g_path_get_basename(*applet);
        bool present = false;
        static const char *const where[] = {"bin", "sbin", "usr/bin", "usr/sbin"};
        for (unsigned i = 0; i < G_N_ELEMENTS(where) && !present; i++) {
            g_autofree char *other = g_build_filename(where[i], base, NULL);
            present = g_hash_table_contains(b->tree, other);
        }
        if (!present)
            image_tree_add(b->tree, *applet, S_IFLNK | 0777, NULL, "/bin/busybox");
    }
}

/* Debian's folders are one since bookworm, which its packages' scripts see to: what packages have in /bin,
 * /sbin and /lib goes into /usr, with links in its place. */
static void merge_usr(GHashTable *tree)
{
    static const char *const tops[] = {"bin", "sbin", "lib"};
    g_autoptr(GPtrArray) moved = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;
    for (size_t i = 0; i < G_N_ELEMENTS(tops); i++) {
        g_autofree char *prefix = g_strconcat(tops[i], "/", NULL);
        g_hash_table_iter_init(&iter, tree);
        while (g_hash_table_iter_next(&iter, NULL, &value))
            if (g_str_has_prefix(((struct image_file *)value)->path, prefix))
                g_ptr_array_add(moved, value);
    }
    for (guint i = 0; i < moved->len; i++) {
        const struct image_file *file = moved->pdata[i];
        g_autofree char *path = g_strconcat("usr/", file->path, NULL);
        const struct image_file *there = g_hash_table_lookup(tree, path);
        if (!there || (!S_ISDIR(there->mode) && !S_ISLNK(file->mode)))
            image_tree_add(tree, path, file->mode, file->data, file->target);
    }
    for (guint i = 0; i < moved->len; i++) {
        g_autofree char *path = g_strdup(((struct image_file *)moved->pdata[i])->path);
        g_hash_table_remove(tree, path);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(tops); i++) {
        g_autofree char *target = g_strconcat("usr/", tops[i], NULL);
        if (!g_hash_table_contains(tree, target))
            image_tree_add(tree, target, S_IFDIR | 0755, NULL, NULL);
        image_tree_add(tree, tops[i], S_IFLNK | 0777, NULL, target);
    }
}

/* What the recipe itself says: users, files, links, and the commands for each start. */
static void add_own(struct build *b, GString *passwd, GString *group)
{
    for (guint i = 0; i < b->recipe->users->len; i++) {
        const struct recipe_user *user = b->recipe->users->pdata[i];
        g_string_append_printf(passwd, "%s:x:%u:%u:%s:%s:/usr/sbin/nologin\n", user->name, user->uid,
                               user->uid, user->name, user->home);
        g_string_append_printf(group, "%s:x:%u:\n", user->name, user->uid);
    }
    for (guint i = 0; i < b->recipe->groups->len; i++) {
        const struct recipe_user *own = b->recipe->groups->pdata[i];
        g_string_append_printf(group, "%s:x:%u:%s\n", own->name, own->uid, own->home);
    }
    for (guint i = 0; i < b->recipe->files->len; i++) {
        const struct recipe_file *file = b->recipe->files->pdata[i];
        image_tree_add(b->tree, file->path, S_IFREG | file->mode, file->data, NULL);
    }
    for (guint i = 0; i < b->recipe->links->len; i++) {
        const struct recipe_file *link = b->recipe->links->pdata[i];
        image_tree_add(b->tree, link->path, S_IFLNK | 0777, NULL, link->target);
    }
}

static void add_text(GHashTable *tree, const char *path, const char *text)
{
    g_autoptr(GBytes) data = g_bytes_new(text, strlen(text));
    image_tree_add(tree, path, S_IFREG | 0644, data, NULL);
}

static void add_folders(GHashTable *tree, const char *const *folders)
{
    for (; *folders; folders++)
        if (!g_hash_table_contains(tree, *folders))
            image_tree_add(tree, *folders, S_IFDIR | 0755, NULL, NULL);
}

static bool add_init(const struct build *b, GHashTable *tree, GError **error)
{
    g_autofree char *program = NULL;
    gsize size;
    if (!g_file_get_contents(b->guest, &program, &size, error))
        return false;
    g_autoptr(GBytes) bytes = g_bytes_new(program, size);
    image_tree_add(tree, "init", S_IFREG | 0755, bytes, NULL);
    return true;
}

static bool add_basics(struct build *b, GError **error)
{
    static const char *const folders[] = {"bin", "sbin", "dev",     "etc",      "proc",    "sys", "run",
                                          "tmp", "root", "usr/bin", "usr/sbin", "var/run", "mnt", NULL};
    static const char *const boot_folders[] = {"dev", "proc", "sys", "run", "tmp", "root", "etc", NULL};
    add_folders(b->tree, folders);
    image_tree_add_device(b->boot, "dev/console", S_IFCHR | 0600, 5, 1);
    image_tree_add_device(b->boot, "dev/null", S_IFCHR | 0666, 1, 3);
    g_autoptr(GString) passwd = g_string_new("root::0:0:root:/root:/bin/sh\n"),
                       group = g_string_new("root:x:0:\n");
    add_own(b, passwd, group);
    g_string_append(passwd, "nobody:x:65534:65534:nobody:/:/bin/false\n");
    g_string_append(group, "nogroup:x:65534:\n");
    add_text(b->tree, "etc/passwd", passwd->str);
    add_text(b->tree, "etc/group", group->str);
    add_text(b->tree, "etc/profile",
             "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPS1='\\h:\\w# '\n"
             "for f in /etc/profile.d/*.sh; do [ -r \"$f\" ] && . \"$f\"; done\nunset f\n");
    if (b->recipe->start->len) {
        g_autoptr(GString) start = g_string_new("#!/bin/sh\n");
        for (guint i = 0; i < b->recipe->start->len; i++)
            g_string_append_printf(start, "%s\n", (char *)b->recipe->start->pdata[i]);
        g_autoptr(GBytes) data = g_bytes_new(start->str, start->len);
        image_tree_add(b->tree, "etc/netlab/start", S_IFREG | 0755, data, NULL);
    }
    if (b->recipe->on_disk) {
        /* What Debian's packages expect of base-files, and the tree's names in its own spelling. */
        static const char *const more[] = {"var/log",       "var/lib", "var/tmp", "home",
                                           "usr/local/bin", "srv",     NULL};
        add_folders(b->tree, more);
        add_folders(b->boot, boot_folders);
        add_text(b->boot, "etc/netlab-root", "ide 0 0\n");
        add_text(b->tree, "etc/nsswitch.conf",
                 "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n");
        g_hash_table_remove(b->tree, "var/run");
        image_tree_add(b->tree, "var/run", S_IFLNK | 0777, NULL, "/run");
    }
    return add_init(b, b->boot, error) && (!b->recipe->on_disk || add_init(b, b->tree, error));
}

static bool unpack_all(struct build *b, GPtrArray *debs, bool (*wanted)(const char *, void *),
                       GHashTable *tree, GError **error)
{
    for (unsigned i = 0; i < debs->len; i++)
        if (!image_deb_unpack(debs->pdata[i], wanted, b, tree, error))
            return false;
    return true;
}

/* What is wanted of the kernel's package, kept unpacked beside it: most of a build is the package's
 * decompression. */
static bool unpack_kernel(struct build *b, const char *deb, GError **error)
{
    g_autofree char *kept = g_strdup_printf("%s.%d.cpio", deb, RECIPE_VERSION);
    g_autofree char *half = g_strdup_printf("%s.%d", kept, (int)getpid());
    if (image_tree_read_cpio(b->kernel_tree, kept, NULL)) {
        g_utime(kept, NULL);
        return true;
    }
    g_hash_table_remove_all(b->kernel_tree);
    if (!image_deb_unpack(deb, image_kernel_wants, NULL, b->kernel_tree, error))
        return false;
    if (!image_tree_write_cpio(b->kernel_tree, half, NULL) || rename(half, kept) != 0)
        unlink(half); /* the next build unpacks it again */
    return true;
}

static bool gather(struct build *b, GError **error)
{
    struct image_apt *apt =
        image_apt_open(b->options->refresh, b->options->progress, b->options->opaque, error);
    if (!apt)
        return false;
    g_autoptr(GPtrArray) kernel = NULL;
    g_autoptr(GPtrArray) busybox = NULL;
    g_autoptr(GPtrArray) userland = NULL;
    bool wants_more = b->recipe->packages->len;
    g_ptr_array_add(b->recipe->packages, NULL);
    g_ptr_array_add(b->recipe->without, NULL);
    b->kernel_package = image_apt_dependency(apt, b->recipe->kernel, error);
    if (b->kernel_package)
        kernel = image_apt_fetch(apt, (const char *const[]){b->kernel_package, NULL}, false, NULL, error);
    if (kernel)
        busybox = image_apt_fetch(apt, (const char *const[]){"busybox-static", NULL}, false, NULL, error);
    if (busybox && wants_more)
        userland = image_apt_fetch(apt, (const char *const *)b->recipe->packages->pdata, true,
                                   (const char *const *)b->recipe->without->pdata, error);
    bool good = kernel && busybox && (userland || !wants_more);
    if (good)
        say(b, "unpack", "Unpacking the packages");
    good = good && unpack_kernel(b, kernel->pdata[0], error) &&
           (!userland || unpack_all(b, userland, want_of_userland, b->tree, error)) &&
           unpack_all(b, busybox, want_of_userland, b->tree, error);
    image_apt_close(apt);
    if (good && !g_hash_table_contains(b->tree, "bin/busybox"))
        return fail(error, IMAGE_ERROR_BUILD, "the package busybox-static has no bin/busybox");
    return good;
}

/* ---- putting it in place ---- */

static bool write_metadata(struct build *b, const char *inputs, GError **error)
{
    g_autoptr(JsonObject) json = json_object_new();
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *built = g_date_time_format_iso8601(now);
    const char *const texts[][2] = {
        {"name", b->name},
        {"description", b->recipe->description},
        {"kernel", "vmlinuz"},
        {"initrd", "initrd.cpio"},
        {"disk", b->recipe->on_disk ? "root.img" : NULL},
        {"append", "console=ttyS0,115200 quiet panic=5 net.ifnames=0 cryptomgr.notests noisapnp"},
        {"kernel_release", b->kernel_package + strlen("linux-image-")},
        {"built", built},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        if (texts[i][1])
            json_object_set_string_member(json, texts[i][0], texts[i][1]);
    json_object_set_int_member(json, "memory", b->recipe->memory);
    json_object_set_int_member(json, "least_memory", b->recipe->least_memory);
    json_object_set_boolean_member(json, "agent", TRUE);
    json_object_set_boolean_member(json, "disks", b->recipe->on_disk);
    g_autofree char *inputs_path = g_build_filename(b->work, "inputs", NULL);
    if (g_file_set_contents(inputs_path, inputs, -1, error) && chmod(inputs_path, 0644) == 0 &&
        image_seal(b->images, b->work, json, error))
        return true;
    g_prefix_error(error, "writing the image: ");
    return false;
}

static bool write_image(struct build *b, GError **error)
{
    g_autofree char *initrd = g_build_filename(b->work, "initrd.cpio", NULL);
    g_autofree char *disk = g_build_filename(b->work, "root.img", NULL);
    if (!image_tree_write_cpio(b->boot, initrd, error) || chmod(initrd, 0644) != 0)
        return false;
    return !b->recipe->on_disk || (image_tree_write_erofs(b->tree, disk, error) && chmod(disk, 0644) == 0);
}

static bool build_image(struct build *b, const char *inputs, GError **error)
{
    if (!check_space(b, error))
        return false;
    if (g_mkdir_with_parents(b->work, 0755) != 0)
        return fail(error, errno == ENOSPC ? IMAGE_ERROR_NO_SPACE : IMAGE_ERROR_BUILD, "making %s: %s",
                    b->work, g_strerror(errno));
    b->kernel_tree = image_tree_new();
    b->tree = image_tree_new();
    b->boot = b->recipe->on_disk ? image_tree_new() : g_hash_table_ref(b->tree);
    if (!gather(b, error))
        return false;
    say(b, "image", "Putting the image together");
    if (!add_basics(b, error) || !add_modules(b, error))
        return false;
    add_applets(b); /* last: what a recipe links is not one of them */
    if (b->recipe->on_disk)
        merge_usr(b->tree);
    if (!save_kernel(b, error) || !write_image(b, error) || !write_metadata(b, inputs, error))
        return false;
    return image_put_in_place(b->images, b->work, b->name, error);
}

static void build_clear(struct build *b)
{
    if (b->work && g_file_test(b->work, G_FILE_TEST_IS_DIR))
        image_remove_folder(b->work, NULL);
    if (b->lock >= 0)
        close(b->lock);
    g_clear_pointer(&b->kernel_tree, g_hash_table_unref);
    g_clear_pointer(&b->index, g_hash_table_unref);
    g_clear_pointer(&b->boot, g_hash_table_unref);
    g_clear_pointer(&b->tree, g_hash_table_unref);
    recipe_free(b->recipe);
    g_free(b->images);
    g_free(b->work);
    g_free(b->place);
    g_free(b->guest);
    g_free(b->guest_hash);
    g_free(b->kernel_package);
}

/* What an interrupted build left behind: nobody else builds while we hold the lock. */
static void remove_leftovers(const struct build *b)
{
    g_autoptr(GDir) dir = g_dir_open(b->images, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir)))
        if (g_str_has_prefix(name, ".build-") || g_str_has_prefix(name, ".import-") ||
            g_str_has_prefix(name, ".removed-") || g_str_has_prefix(name, ".old-")) {
            g_autofree char *path = g_build_filename(b->images, name, NULL);
            image_remove_folder(path, NULL);
        }
}

bool image_build(const char *recipe_name, const struct image_build_options *options, char **made,
                 bool *changed, GError **error)
{
    struct recipe *recipe = recipe_load(recipe_name, error);
    if (!recipe)
        return false;
    struct build b = {.recipe = recipe, .options = options, .lock = -1};
    g_autofree char *own_name = g_strdup(options->name ? options->name : recipe->name);
    b.name = own_name;
    if (!image_name_check(b.name, error)) {
        recipe_free(recipe);
        return false;
    }
    b.images = image_own_folder(error);
    bool good = b.images && find_guest(&b, error);
    if (good) {
        g_autofree char *inputs = inputs_of(&b);
        b.work = g_strdup_printf("%s/.build-%s-%d", b.images, b.name, (int)getpid());
        b.place = g_build_filename(b.images, b.name, NULL);
        bool current = !options->refresh && is_up_to_date(&b, inputs);
        if (!current) {
            good = take_lock(&b, error);
            if (good) {
                remove_leftovers(&b);
                /* Another build may just have made it while we waited. */
                current = !options->refresh && is_up_to_date(&b, inputs);
            }
        }
        if (good && !current)
            good = build_image(&b, inputs, error);
        if (changed)
            *changed = good && !current;
        if (good && made)
            *made = g_strdup(b.name);
    }
    build_clear(&b);
    if (!good)
        g_prefix_error(error, "building image %s: ", b.name);
    return good;
}
