/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Images of people's own: a disk (raw or qcow2), a CD, or a kernel with its initrd, copied under a name.
 *
 * Machines boot a kernel directly, disks and CDs through the firmware. A disk is never written: each machine
 * has a layer of its own over it, which goes when the machine ends. What a file is, is read from its first
 * bytes and not from its name.
 */
#include "netlab/caller.h"
#include "netlab/disk.h"
#include "netlab/image_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum kind { KIND_UNKNOWN, KIND_QCOW2, KIND_ISO, KIND_KERNEL, KIND_DISK };

static bool fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool fail(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    GError *made = g_error_new_valist(IMAGE_ERROR, IMAGE_ERROR_IMPORT, format, args);
    va_end(args);
    g_propagate_error(error, made);
    return false;
}

/* ISO 9660: "CD001" in sector 16; qcow2: "QFI\xfb"; Linux: "HdrS" at 0x202; a disk: 0x55aa at the end of
 * sector 0. */
static enum kind kind_of(const char *path, GError **error)
{
    uint8_t head[0x210] = {0}, volume[6] = {0};
    struct stat found;
    int fd = caller_open(path);
    if (fd < 0 || fstat(fd, &found) != 0) {
        struct caller caller;
        fail(error, "%s: %s", path,
             errno == EINVAL                           ? "not a regular file; copy it to one first"
             : errno == EACCES && caller_find(&caller) ? "who called sudo may not read it"
                                                       : g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return KIND_UNKNOWN;
    }
    bool good = pread(fd, head, sizeof head, 0) >= 512 && pread(fd, volume, sizeof volume, 0x8000) >= 0;
    close(fd);
    if (good && memcmp(volume + 1, "CD001", 5) == 0)
        return KIND_ISO;
    if (good && memcmp(head, "QFI\xfb", 4) == 0)
        return KIND_QCOW2;
    if (good && memcmp(head + 0x202, "HdrS", 4) == 0)
        return KIND_KERNEL;
    if (good && head[510] == 0x55 && head[511] == 0xaa)
        return KIND_DISK;
    fail(error,
         "%s is no ISO, no qcow2 or raw disk with a boot sector and no Linux kernel; see what `file %s` says "
         "of it",
         path, path);
    return KIND_UNKNOWN;
}

/* A qcow2 file must stand alone: one that names another would let a machine read any file of the person. */
static bool stands_alone(const char *path, GError **error)
{
    uint8_t head[16] = {0};
    int fd = caller_open(path);
    bool read_it = fd >= 0 && pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head;
    if (fd >= 0)
        close(fd);
    for (int i = 8; read_it && i < 16; i++)
        if (head[i])
            return fail(
                error,
                "%s has a backing file; make one of them first: qemu-img convert -O qcow2 %s whole.qcow2",
                path, path);
    return read_it || fail(error, "%s cannot be read", path);
}

struct copy {
    const struct image_import_options *options;
    const char *name;
    int percent;
};

static void show(goffset done, goffset all, gpointer opaque)
{
    struct copy *copy = opaque;
    int percent = all > 0 ? (int)(done * 100 / all) : 100;
    if (!copy->options->progress || percent / 25 == copy->percent / 25)
        return;
    copy->percent = percent;
    g_autofree char *text = g_strdup_printf("Copying %s: %d %%", copy->name, percent);
    copy->options->progress(copy->options->opaque, "copy", text);
}

static bool copy_file(const struct image_import_options *options, const char *from, const char *folder,
                      const char *name, GError **error)
{
    g_autofree char *to = g_build_filename(folder, name, NULL);
    int fd = caller_open(from);
    g_autofree char *opened = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(GFile) source = g_file_new_for_path(fd < 0 ? from : opened), target = g_file_new_for_path(to);
    struct copy copy = {options, from, -1};
    bool good = fd < 0
                    ? fail(error, "%s", g_strerror(errno))
                    : g_file_copy(source, target, G_FILE_COPY_TARGET_DEFAULT_PERMS, NULL, show, &copy, error);
    if (fd >= 0)
        close(fd);
    if (!good) {
        g_prefix_error(error, "copying %s: ", from);
        return false;
    }
    return chmod(to, 0644) == 0 || fail(error, "%s: %s", to, g_strerror(errno));
}

/* What is given becomes files in `work` and members of `json`. */
static bool take_files(const struct image_import_options *o, const char *work, JsonObject *json,
                       GError **error)
{
    const char *disk_name = NULL;
    if (o->kernel) {
        if (kind_of(o->kernel, error) != KIND_KERNEL)
            return error && *error
                       ? false
                       : fail(error, "%s is no Linux kernel (bzImage); give one to --kernel", o->kernel);
        if (!copy_file(o, o->kernel, work, "vmlinuz", error))
            return false;
        json_object_set_string_member(json, "kernel", "vmlinuz");
    }
    if (o->initrd) {
        if (!copy_file(o, o->initrd, work, "initrd", error))
            return false;
        json_object_set_string_member(json, "initrd", "initrd");
    }
    for (guint i = 0; o->files && o->files[i]; i++) {
        enum kind kind = kind_of(o->files[i], error);
        if (kind == KIND_UNKNOWN)
            return false;
        if (kind == KIND_KERNEL)
            return fail(error, "%s is a kernel; give it as --kernel %s, with --initrd when it needs one",
                        o->files[i], o->files[i]);
        const char *member = kind == KIND_ISO ? "cdrom" : "disk";
        disk_name = kind == KIND_ISO ? "cd.iso" : kind == KIND_QCOW2 ? "disk.qcow2" : "disk.img";
        if (json_object_has_member(json, member))
            return fail(error, "%s is a second %s; an image has one", o->files[i],
                        kind == KIND_ISO ? "CD" : "disk");
        if ((kind == KIND_QCOW2 && !stands_alone(o->files[i], error)) ||
            (kind == KIND_ISO && !disk_check_cd(o->files[i], error)) ||
            !copy_file(o, o->files[i], work, disk_name, error))
            return false;
        json_object_set_string_member(json, member, disk_name);
        if (kind != KIND_ISO)
            json_object_set_string_member(json, "disk_format", kind == KIND_QCOW2 ? "qcow2" : "raw");
    }
    return true;
}

static JsonObject *metadata(const struct image_import_options *o)
{
    JsonObject *json = json_object_new();
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *built = g_date_time_format_iso8601(now);
    json_object_set_string_member(json, "name", o->name);
    json_object_set_string_member(json, "description", o->description ? o->description : "imported");
    json_object_set_string_member(json, "append", o->append ? o->append : "");
    json_object_set_string_member(json, "built", built);
    json_object_set_int_member(json, "memory", o->memory ? o->memory : 256);
    json_object_set_int_member(json, "least_memory", 1);
    json_object_set_boolean_member(json, "agent", o->agent);
    if (o->cloud_init)
        json_object_set_boolean_member(json, "cloud_init", TRUE);
    return json;
}

bool image_import(const struct image_import_options *o, GError **error)
{
    if (!image_name_check(o->name, error))
        return false;
    if (!o->kernel && (o->initrd || o->append))
        return fail(error, "--initrd and --append go with a --kernel; disks and CDs have their own");
    if (!o->kernel && !(o->files && o->files[0]))
        return fail(error, "import what? Name an ISO, a raw or qcow2 disk, or give --kernel (and --initrd)");
    g_autofree char *images = image_own_folder(error);
    if (!images)
        return false;
    g_autofree char *place = g_build_filename(images, o->name, NULL);
    if (!o->replace && g_file_test(place, G_FILE_TEST_EXISTS))
        return fail(error, "there is an image %s already: remove it (netlab image rm %s) or say --replace",
                    o->name, o->name);
    g_autofree char *work = g_strdup_printf("%s/.import-%s-%d", images, o->name, (int)getpid());
    if (g_mkdir_with_parents(work, 0755) != 0)
        return fail(error, "making %s: %s", work, g_strerror(errno));
    JsonObject *json = metadata(o);
    bool good = take_files(o, work, json, error) && image_seal(images, work, json, error) &&
                image_put_in_place(images, work, o->name, error);
    json_object_unref(json);
    if (!good)
        image_remove_folder(work, NULL);
    return good;
}
