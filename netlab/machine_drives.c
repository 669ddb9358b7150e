/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See machine_drives.h.
 *
 * A chain of images is told to the emulator file by file ({"driver": "qcow2", "file": …, "backing": {…}}), so
 * that it follows no name of an image itself: what was checked before is what is opened. A persistent raw
 * disk is named without its format; the emulator then finds it out by the first bytes, and does not let the
 * guest write another format's header there.
 */
#include "netlab/machine_drives.h"
#include "netlab/caller.h"
#include "netlab/disk.h"
#include "netlab/hosts.h"
#include "netlab/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *text_of(JsonObject *object, const char *name)
{
    return json_object_get_string_member_with_default(object, name, NULL);
}

static bool is_persistent(JsonObject *medium)
{
    return json_object_get_boolean_member_with_default(medium, "persistent", FALSE);
}

JsonArray *machine_media(JsonObject *payload)
{
    JsonNode *node = json_object_get_member(payload, "media");
    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

/* The name by which the emulator opens a file. */
static char *name_file(GPtrArray *argv, const char *path, bool writes, const struct machine_user *user,
                       struct machine_fds *fds, unsigned *set, GError **error)
{
    if (!user->change || !fds)
        return g_strdup(path);
    int fd = writes ? disk_open_writable(path) : caller_open(path);
    if (fd < 0) {
        int cause = errno;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause), "%s: %s", path,
                    cause == EINVAL ? "not a regular file" : g_strerror(cause));
        return NULL;
    }
    g_array_append_val(fds->fds, fd);
    g_ptr_array_add(argv, g_strdup("-add-fd"));
    g_ptr_array_add(argv, g_strdup_printf("fd=%d,set=%u", fds->first + (int)fds->fds->len - 1, *set));
    return g_strdup_printf("/dev/fdset/%u", (*set)++);
}

/* ---- chains ---- */

/* Is what the image names today what stands in the payload? */
static bool check_chain(JsonObject *medium, const char *path, GError **error)
{
    JsonArray *below =
        json_object_has_member(medium, "below") ? json_object_get_array_member(medium, "below") : NULL;
    guint count = below ? json_array_get_length(below) : 0;
    g_autoptr(GPtrArray) chain = disk_chain(path, NULL, is_persistent(medium), error);
    if (!chain)
        return false;
    bool is_same = chain->len == count + 1;
    for (guint i = 0; is_same && i < count; i++) {
        const struct disk_file *file = chain->pdata[i + 1];
        JsonObject *known = json_array_get_object_element(below, i);
        is_same = g_strcmp0(text_of(known, "file"), file->path) == 0 &&
                  g_strcmp0(text_of(known, "format"), file->format) == 0;
    }
    if (!is_same)
        g_set_error(
            error, DISK_ERROR, DISK_ERROR_FILE,
            "%s has other backing files than when the lab was brought up; `netlab up` takes them over", path);
    return is_same;
}

static JsonObject *file_node(const char *format, const char *name)
{
    JsonObject *node = json_object_new(), *file = json_object_new();
    json_object_set_string_member(node, "driver", format);
    json_object_set_string_member(file, "driver", "file");
    json_object_set_string_member(file, "filename", name);
    json_object_set_object_member(node, "file", file);
    return node;
}

/* json:{…} of a qcow2 image and all below it; from the bottom up. */
static char *chain_name(GPtrArray *argv, JsonObject *medium, const char *name,
                        const struct machine_user *user, struct machine_fds *fds, unsigned *set,
                        GError **error)
{
    JsonArray *below =
        json_object_has_member(medium, "below") ? json_object_get_array_member(medium, "below") : NULL;
    guint count = below ? json_array_get_length(below) : 0;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < count; i++) {
        char *each = name_file(argv, text_of(json_array_get_object_element(below, i), "file"), false, user,
                               fds, set, error);
        if (!each)
            return NULL;
        g_ptr_array_add(names, each);
    }
    JsonObject *under = NULL;
    for (guint i = count + 1; i-- > 0;) {
        const char *format = i ? text_of(json_array_get_object_element(below, i - 1), "format") : "qcow2";
        JsonObject *node = file_node(format, i ? names->pdata[i - 1] : name);
        if (under)
            json_object_set_object_member(node, "backing", under);
        else if (g_str_equal(format, "qcow2"))
            json_object_set_null_member(node, "backing");
        under = node;
    }
    JsonNode *root = json_node_init_object(json_node_alloc(), under);
    json_object_unref(under);
    g_autofree char *text = json_to_string(root, FALSE);
    json_node_unref(root);
    return g_strconcat("json:", text, NULL);
}

/* ---- words ---- */

static char *double_commas(const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    return g_strjoinv(",,", words);
}

static char *scratch_name(JsonObject *medium)
{
    return g_strdup_printf("disk%d.img", (int)json_object_get_int_member_with_default(medium, "at", 0));
}

bool machine_drive_add(GPtrArray *argv, JsonObject *medium, const struct machine_user *user,
                       struct machine_fds *fds, unsigned *set, GError **error)
{
    const char *path = text_of(medium, "file"), *kind = text_of(medium, "kind"),
               *format = text_of(medium, "format");
    int at = (int)json_object_get_int_member_with_default(medium, "at", 0);
    bool is_disk = g_strcmp0(kind, "disk") == 0, is_qcow2 = g_strcmp0(format, "qcow2") == 0;
    g_autoptr(GString) words = g_string_new(NULL);
    if (path && is_disk && fds && !check_chain(medium, path, error))
        return false;
    bool is_seed = json_object_get_boolean_member_with_default(medium, "seed", FALSE);
    g_autofree char *name = is_seed   ? g_strdup(SEED_FILE)
                            : path    ? name_file(argv, path, is_persistent(medium), user, fds, set, error)
                            : is_disk ? scratch_name(medium)
                                      : g_strdup("");
    g_autofree char *whole =
        name && is_qcow2 ? chain_name(argv, medium, name, user, fds, set, error) : g_strdup(name);
    if (!whole)
        return false;
    g_autofree char *doubled = double_commas(whole);
    if (*doubled)
        g_string_append_printf(words, "file=%s,", doubled);
    if (!is_qcow2 && !is_persistent(medium) && *doubled)
        g_string_append(words, "format=raw,");
    g_string_append_printf(words, "if=ide,index=%d%s", at, is_disk ? "" : ",media=cdrom");
    if (is_disk && !is_persistent(medium))
        g_string_append(words, ",snapshot=on");
    g_ptr_array_add(argv, g_strdup("-drive"));
    g_ptr_array_add(argv, g_string_free(g_steal_pointer(&words), FALSE));
    return true;
}

bool machine_drives_add(GPtrArray *argv, JsonObject *payload, const struct machine_user *user,
                        struct machine_fds *fds, GError **error)
{
    JsonArray *media = machine_media(payload);
    const char *boot = text_of(payload, "boot");
    unsigned set = 1;
    for (guint i = 0; media && i < json_array_get_length(media); i++)
        if (!machine_drive_add(argv, json_array_get_object_element(media, i), user, fds, &set, error))
            return false;
    if (boot) {
        g_ptr_array_add(argv, g_strdup("-boot"));
        g_ptr_array_add(argv, g_strdup_printf("order=%s", boot));
    }
    return true;
}

/* ---- what has to be there ---- */

static bool make_scratch(JsonObject *medium, const char *directory, const struct machine_user *user,
                         GError **error)
{
    g_autofree char *name = scratch_name(medium), *path = g_build_filename(directory, name, NULL);
    gint64 size = json_object_get_int_member_with_default(medium, "size", 0);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good =
        fd >= 0 && ftruncate(fd, size) == 0 && (!user->change || fchown(fd, user->uid, user->gid) == 0);
    int cause = errno;
    if (fd >= 0)
        close(fd);
    if (!good)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause),
                    "an empty disk of %" G_GINT64_FORMAT " MiB, %s: %s", size >> 20, path, g_strerror(cause));
    return good;
}

static bool make_seed(const char *node, JsonObject *payload, const char *directory,
                      const struct machine_user *user, GError **error)
{
    gsize files_size = 0;
    const char *files = text_of(payload, "files"), *config = text_of(payload, "config");
    g_autofree guchar *archive = files ? g_base64_decode(files, &files_size) : NULL;
    g_autofree char *names = g_build_filename(directory, "..", HOSTS_FILE, NULL), *hosts = NULL,
                    *path = g_build_filename(directory, SEED_FILE, NULL);
    if (!g_file_get_contents(names, &hosts, NULL, NULL))
        g_clear_pointer(&hosts, g_free); /* nobody has an address */
    const struct seed_input input = {.node = node,
                                     .config = config ? config : "",
                                     .cloud_init = json_object_get_object_member(payload, "cloud_init"),
                                     .files = archive,
                                     .files_size = files_size,
                                     .hosts = hosts};
    g_autoptr(GBytes) seed = seed_make(&input, error);
    if (!seed)
        return false;
    gsize size;
    const char *data = g_bytes_get_data(seed, &size);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0;
    errno = good ? 0 : errno;
    for (gsize at = 0; good && at < size;) {
        ssize_t put = write(fd, data + at, size - at);
        good = put > 0 || (put < 0 && errno == EINTR);
        at += put > 0 ? (gsize)put : 0;
    }
    good = good && (!user->change || fchown(fd, user->uid, user->gid) == 0);
    int cause = errno ? errno : ENOSPC;
    if (fd >= 0)
        close(fd);
    if (!good)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause), "%s: %s", path, g_strerror(cause));
    return good;
}

bool machine_drives_prepare(const char *node, JsonObject *payload, const char *directory,
                            const struct machine_user *user, GError **error)
{
    JsonArray *media = machine_media(payload);
    if (json_object_has_member(payload, "cloud_init") && !make_seed(node, payload, directory, user, error))
        return false;
    for (guint i = 0; media && i < json_array_get_length(media); i++) {
        JsonObject *medium = json_array_get_object_element(media, i);
        const char *path = text_of(medium, "file");
        gint64 size = json_object_get_int_member_with_default(medium, "size", 0);
        if (g_strcmp0(text_of(medium, "kind"), "disk") != 0 || !size)
            continue;
        if (path ? !disk_make(path, (uint64_t)size, error) : !make_scratch(medium, directory, user, error))
            return false;
    }
    return true;
}

/* In the order in which machine_drive_add() counts. */
void machine_drives_restore_paths(JsonObject *payload, GString *text)
{
    JsonArray *media = machine_media(payload);
    g_autoptr(GPtrArray) paths = g_ptr_array_new();
    for (guint i = 0; media && i < json_array_get_length(media); i++) {
        JsonObject *medium = json_array_get_object_element(media, i);
        JsonArray *below =
            json_object_has_member(medium, "below") ? json_object_get_array_member(medium, "below") : NULL;
        if (text_of(medium, "file"))
            g_ptr_array_add(paths, (gpointer)text_of(medium, "file"));
        for (guint k = 0; below && k < json_array_get_length(below); k++)
            g_ptr_array_add(paths, (gpointer)text_of(json_array_get_object_element(below, k), "file"));
    }
    for (guint i = paths->len; i-- > 0;) { /* from behind: 1 is the beginning of 12 */
        g_autofree char *name = g_strdup_printf("/dev/fdset/%u", i + 1);
        g_string_replace(text, name, paths->pdata[i], 0);
    }
}
