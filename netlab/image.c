/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Images on disk: finding, listing, removing. See image.h for where they lie; image_build.c makes them.
 *
 * image.json is read as a stranger's file: names of files inside it must be plain, so that an image can never
 * point outside its folder.
 */
#include "netlab/caller.h"
#include "netlab/image_internal.h"

#include <errno.h>
#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_IMAGES "/var/lib/netlab/images"

G_DEFINE_QUARK(image - error - quark, image_error)

void image_free(struct image *image)
{
    if (!image)
        return;
    g_free(image->name);
    g_free(image->folder);
    g_free(image->kernel);
    g_free(image->initrd);
    g_free(image->disk);
    g_free(image->cdrom);
    g_free(image->id);
    g_free(image->append);
    g_free(image->description);
    g_free(image->kernel_release);
    g_free(image->built);
    g_free(image);
}

static char *own_folder_name(void)
{
    const char *named = g_getenv("NETLAB_IMAGE_DIR");
    if (named && *named)
        return g_strdup(named);
    return geteuid() == 0 ? g_strdup(SYSTEM_IMAGES)
                          : g_build_filename(g_get_user_data_dir(), "netlab", "images", NULL);
}

/* What root writes there must not be led elsewhere. */
static bool trust_folder(const char *folder, const char *variable, GError **error)
{
    g_autoptr(GError) cause = NULL;
    if (caller_trust_folder(folder, false, variable, &cause))
        return true;
    g_set_error_literal(error, IMAGE_ERROR, IMAGE_ERROR_BUILD, cause->message);
    return false;
}

static bool make_folder(const char *folder, const char *variable, GError **error)
{
    if (g_mkdir_with_parents(folder, 0755) == 0)
        return trust_folder(folder, variable, error);
    int why = errno;
    g_set_error(error, IMAGE_ERROR, why == ENOSPC ? IMAGE_ERROR_NO_SPACE : IMAGE_ERROR_BUILD,
                "making the folder %s: %s (set %s to a folder you may write to)", folder, g_strerror(why),
                variable);
    return false;
}

char *image_own_folder(GError **error)
{
    g_autofree char *folder = own_folder_name();
    return make_folder(folder, "NETLAB_IMAGE_DIR", error) ? g_steal_pointer(&folder) : NULL;
}

char *image_cache_folder(GError **error)
{
    const char *named = g_getenv("NETLAB_CACHE_DIR");
    g_autofree char *folder = named && *named  ? g_strdup(named)
                              : geteuid() == 0 ? g_strdup("/var/cache/netlab")
                                               : g_build_filename(g_get_user_cache_dir(), "netlab", NULL);
    return make_folder(folder, "NETLAB_CACHE_DIR", error) ? g_steal_pointer(&folder) : NULL;
}

bool image_name_check(const char *name, GError **error)
{
    size_t n = strlen(name);
    bool good = n >= 1 && n <= 64 && g_ascii_isalnum(name[0]);
    for (size_t i = 0; i < n && good; i++)
        good = g_ascii_isalnum(name[i]) || strchr("-_.", name[i]);
    if (!good)
        g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_NAME,
                    "'%s' is no image name: use letters, digits, '-', '_' and '.', at most 64", name);
    return good;
}

static const char *text_member(JsonObject *object, const char *key, const char *otherwise)
{
    JsonNode *node = json_object_get_member(object, key);
    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING
               ? json_node_get_string(node)
               : otherwise;
}

static unsigned number_member(JsonObject *object, const char *key, unsigned low, unsigned high,
                              unsigned otherwise)
{
    JsonNode *node = json_object_get_member(object, key);
    if (!node || !JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_INT64)
        return otherwise;
    gint64 value = json_node_get_int(node);
    return value < low || value > high ? otherwise : (unsigned)value;
}

/* Absolute path of a file the image names, when it is a plain name and the file is there. */
static char *file_member(JsonObject *object, const char *key, const char *folder)
{
    const char *name = text_member(object, key, NULL);
    if (!name || strchr(name, '/') || name[0] == '.')
        return NULL;
    g_autofree char *path = g_build_filename(folder, name, NULL);
    return g_file_test(path, G_FILE_TEST_IS_REGULAR) ? g_steal_pointer(&path) : NULL;
}

static uint64_t file_size(const char *path)
{
    struct stat st;
    return path && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

struct image *image_load(const char *images, const char *name, GError **error)
{
    g_autofree char *folder = g_build_filename(images, name, NULL);
    g_autofree char *path = g_build_filename(folder, "image.json", NULL);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) why = NULL;
    bool parsed = json_parser_load_from_file(parser, path, &why);
    JsonNode *root = parsed ? json_parser_get_root(parser) : NULL;
    JsonObject *object = root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
    g_autofree char *kernel = object ? file_member(object, "kernel", folder) : NULL;
    g_autofree char *initrd = object ? file_member(object, "initrd", folder) : NULL;
    g_autofree char *disk = object ? file_member(object, "disk", folder) : NULL;
    g_autofree char *cdrom = object ? file_member(object, "cdrom", folder) : NULL;
    if (!object || (!kernel && !disk && !cdrom) || (json_object_has_member(object, "initrd") && !initrd) ||
        (json_object_has_member(object, "kernel") && !kernel) ||
        (json_object_has_member(object, "cdrom") && !cdrom) ||
        (json_object_has_member(object, "disk") && !disk)) {
        g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_DAMAGED,
                    "image %s in %s is damaged: %s (make it again: netlab image build %s --refresh)", name,
                    folder, why ? why->message : "image.json does not name files that are there", name);
        return NULL;
    }
    struct image *image = g_new0(struct image, 1);
    image->name = g_strdup(name);
    image->folder = g_steal_pointer(&folder);
    image->kernel = g_steal_pointer(&kernel);
    image->initrd = g_steal_pointer(&initrd);
    image->disk = g_steal_pointer(&disk);
    image->cdrom = g_steal_pointer(&cdrom);
    const char *format = text_member(object, "disk_format", "root");
    image->disk_is_root = g_str_equal(format, "root");
    image->disk_is_qcow2 = g_str_equal(format, "qcow2");
    image->id = g_strdup(text_member(object, "id", ""));
    image->append = g_strdup(text_member(object, "append", ""));
    image->description = g_strdup(text_member(object, "description", ""));
    image->kernel_release = g_strdup(text_member(object, "kernel_release", ""));
    image->built = g_strdup(text_member(object, "built", ""));
    image->memory = number_member(object, "memory", 8, 65536, 64);
    image->least_memory = number_member(object, "least_memory", 1, 65536, 32);
    JsonNode *disks = json_object_get_member(object, "disks");
    image->takes_disks = !image->kernel || !*image->kernel_release ||
                         (disks && JSON_NODE_HOLDS_VALUE(disks) && json_node_get_boolean(disks));
    JsonNode *cloud_init = json_object_get_member(object, "cloud_init");
    image->has_cloud_init =
        cloud_init && JSON_NODE_HOLDS_VALUE(cloud_init) && json_node_get_boolean(cloud_init);
    JsonNode *agent = json_object_get_member(object, "agent");
    image->has_agent = agent && JSON_NODE_HOLDS_VALUE(agent) && json_node_get_boolean(agent);
    image->size = file_size(image->kernel) + file_size(image->initrd) + file_size(image->disk) +
                  file_size(image->cdrom);
    return image;
}

/* Folders in order of preference, NULL-terminated. */
static GStrv search_path(void)
{
    g_autofree char *own = own_folder_name();
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_strv_builder_add(builder, own);
    if (!g_getenv("NETLAB_IMAGE_DIR") && strcmp(own, SYSTEM_IMAGES) != 0)
        g_strv_builder_add(builder, SYSTEM_IMAGES);
    return g_strv_builder_end(builder);
}

static bool is_image(const char *images, const char *name)
{
    g_autofree char *path = g_build_filename(images, name, "image.json", NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp((*(struct image *const *)a)->name, (*(struct image *const *)b)->name);
}

static bool listed(GPtrArray *list, const char *name)
{
    for (unsigned i = 0; i < list->len; i++)
        if (strcmp(((struct image *)list->pdata[i])->name, name) == 0)
            return true;
    return false;
}

GPtrArray *image_list(GError **error)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)image_free);
    g_auto(GStrv) folders = search_path();
    for (char **folder = folders; *folder; folder++) {
        g_autoptr(GDir) dir = g_dir_open(*folder, 0, NULL);
        const char *name;
        while (dir && (name = g_dir_read_name(dir))) {
            if (name[0] == '.' || !image_name_check(name, NULL) || !is_image(*folder, name) ||
                listed(list, name))
                continue;
            struct image *image = image_load(*folder, name, NULL);
            if (image)
                g_ptr_array_add(list, image);
        }
    }
    g_ptr_array_sort(list, compare_names);
    return list;
}

struct image *image_find(const char *name, GError **error)
{
    if (!image_name_check(name, error))
        return NULL;
    g_auto(GStrv) folders = search_path();
    for (char **folder = folders; *folder; folder++)
        if (is_image(*folder, name))
            return image_load(*folder, name, error);

    g_autoptr(GPtrArray) list = image_list(NULL);
    g_autoptr(GString) known = g_string_new(NULL);
    for (unsigned i = 0; i < list->len; i++)
        g_string_append_printf(known, "%s%s", i ? ", " : "", ((struct image *)list->pdata[i])->name);
    g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_UNKNOWN, "no image '%s' on this machine (there %s%s); %s%s",
                name, list->len ? "is: " : "are none", known->str, "build one with: netlab image build ",
                image_recipe_exists(name) ? name : "mini");
    return NULL;
}

static bool remove_tree(const char *path, GError **error)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, error);
    if (!dir)
        return false;
    const char *name;
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *inner = g_build_filename(path, name, NULL);
        struct stat st;
        bool folder = lstat(inner, &st) == 0 && S_ISDIR(st.st_mode);
        if (folder ? !remove_tree(inner, error) : unlink(inner) != 0) {
            if (error && !*error)
                g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_BUILD, "removing %s: %s", inner,
                            g_strerror(errno));
            return false;
        }
    }
    if (rmdir(path) == 0)
        return true;
    g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_BUILD, "removing %s: %s", path, g_strerror(errno));
    return false;
}

bool image_remove_folder(const char *path, GError **error)
{
    return remove_tree(path, error);
}

bool image_remove(const char *name, GError **error)
{
    g_autoptr(GError) why = NULL;
    if (!image_name_check(name, error))
        return false;
    g_autofree char *own = own_folder_name();
    if (!is_image(own, name)) {
        struct image *elsewhere = image_find(name, error);
        if (elsewhere)
            g_set_error(
                error, IMAGE_ERROR, IMAGE_ERROR_UNKNOWN,
                "image '%s' is the system's (%s), not yours: root removes it with: netlab image rm %s", name,
                elsewhere->folder, name);
        image_free(elsewhere);
        return false;
    }
    /* Out of sight in one step first, so that nobody finds half an image. */
    g_autofree char *path = g_build_filename(own, name, NULL);
    g_autofree char *hidden = g_strdup_printf("%s/.removed-%s-%d", own, name, (int)getpid());
    if (rename(path, hidden) != 0) {
        g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_BUILD, "removing image %s: %s", name, g_strerror(errno));
        return false;
    }
    bool good = remove_tree(hidden, error);
    image_remove_unused_blobs(own);
    return good;
}
