/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Images by their contents: each file of an image has its SHA-256 in image.json, and lies, as a hard link,
 * under that name in blobs/ too, so that equal files of several images (a kernel) take their room once. Their
 * sums together are the image's id.
 *
 * image_seal() is called on a folder that is not in its place yet; image_verify() reads everything again.
 */
#include "netlab/image_internal.h"

#include <errno.h>
#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const members[] = {"kernel", "initrd", "disk", "cdrom"};

static bool fail_errno(GError **error, const char *what)
{
    int why = errno;
    g_set_error(error, IMAGE_ERROR, why == ENOSPC ? IMAGE_ERROR_NO_SPACE : IMAGE_ERROR_BUILD, "%s: %s", what,
                g_strerror(why));
    return false;
}

/* The file's SHA-256 in hexadecimal; files may be larger than memory. */
static char *sum_file(const char *path, GError **error)
{
    g_autoptr(GFile) file = g_file_new_for_path(path);
    g_autoptr(GFileInputStream) in = g_file_read(file, NULL, error);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    enum { PIECE = 1 << 20 };
    g_autofree guchar *piece = g_malloc(PIECE);
    gssize got = in ? 1 : -1;
    while (got > 0) {
        got = g_input_stream_read(G_INPUT_STREAM(in), piece, PIECE, NULL, error);
        if (got > 0)
            g_checksum_update(sum, piece, got);
    }
    return got < 0 ? NULL : g_strdup(g_checksum_get_string(sum));
}

/* The image's file becomes one with the blob of its contents. Where hard links do not work it stays as it is.
 */
static void share(const char *images, const char *path, const char *sum)
{
    g_autofree char *folder = g_build_filename(images, "blobs", NULL);
    g_autofree char *blob = g_build_filename(folder, sum, NULL);
    g_autofree char *beside = g_strconcat(path, ".link", NULL);
    struct stat old, own;
    if (mkdir(folder, 0755) != 0 && errno != EEXIST)
        return;
    if (link(path, blob) == 0 || errno != EEXIST || stat(blob, &old) != 0 || stat(path, &own) != 0 ||
        old.st_size != own.st_size)
        return;
    if (link(blob, beside) == 0 && rename(beside, path) != 0)
        unlink(beside);
}

bool image_seal(const char *images, const char *folder, JsonObject *metadata, GError **error)
{
    g_autoptr(GChecksum) id = g_checksum_new(G_CHECKSUM_SHA256);
    JsonObject *sums = json_object_new();
    bool good = true;
    for (size_t i = 0; i < G_N_ELEMENTS(members) && good; i++) {
        if (!json_object_has_member(metadata, members[i]))
            continue;
        g_autofree char *path =
            g_build_filename(folder, json_object_get_string_member(metadata, members[i]), NULL);
        g_autofree char *sum = sum_file(path, error);
        good = sum != NULL;
        if (!good)
            break;
        share(images, path, sum);
        json_object_set_string_member(sums, members[i], sum);
        g_autofree char *line = g_strdup_printf("%s %s\n", members[i], sum);
        g_checksum_update(id, (const guchar *)line, -1);
    }
    json_object_set_object_member(metadata, "sha256", sums);
    json_object_set_string_member(metadata, "id", g_checksum_get_string(id));
    if (!good)
        return false;
    g_autoptr(JsonNode) root = json_node_init_object(json_node_alloc(), metadata);
    g_autofree char *text = json_to_string(root, TRUE);
    g_autofree char *path = g_build_filename(folder, "image.json", NULL);
    return g_file_set_contents(path, text, -1, error) && (chmod(path, 0644) == 0 || fail_errno(error, path));
}

bool image_put_in_place(const char *images, const char *work, const char *name, GError **error)
{
    g_autofree char *place = g_build_filename(images, name, NULL);
    g_autofree char *old = g_strdup_printf("%s/.old-%s-%d", images, name, (int)getpid());
    bool had_old = rename(place, old) == 0;
    if (rename(work, place) != 0) {
        fail_errno(error, "putting the image in place");
        if (had_old && rename(old, place) != 0)
            g_warning("the old image is left in %s", old);
        return false;
    }
    if (had_old)
        image_remove_folder(old, NULL);
    image_remove_unused_blobs(images);
    return true;
}

void image_remove_unused_blobs(const char *images)
{
    g_autofree char *folder = g_build_filename(images, "blobs", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        struct stat found;
        if (lstat(path, &found) == 0 && S_ISREG(found.st_mode) && found.st_nlink == 1)
            unlink(path);
    }
    rmdir(folder); /* when it is empty */
}

bool image_verify(const struct image *image, GError **error)
{
    const char *const paths[] = {image->kernel, image->initrd, image->disk, image->cdrom};
    _Static_assert(G_N_ELEMENTS(paths) == G_N_ELEMENTS(members), "a path for each");
    g_autofree char *path = g_build_filename(image->folder, "image.json", NULL);
    g_autoptr(JsonParser) parser = json_parser_new();
    if (!json_parser_load_from_file(parser, path, error))
        return false;
    JsonObject *metadata = json_node_get_object(json_parser_get_root(parser));
    JsonNode *sums = json_object_get_member(metadata, "sha256");
    if (!sums || !JSON_NODE_HOLDS_OBJECT(sums)) {
        g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_DAMAGED,
                    "image %s has no sums: an earlier version built it; build it again with: netlab image "
                    "build %s --refresh",
                    image->name, image->name);
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        if (!paths[i])
            continue;
        const char *wanted =
            json_object_get_string_member_with_default(json_node_get_object(sums), members[i], "");
        g_autofree char *sum = sum_file(paths[i], error);
        if (!sum)
            return false;
        if (g_str_equal(sum, wanted))
            continue;
        g_set_error(error, IMAGE_ERROR, IMAGE_ERROR_DAMAGED,
                    "image %s is damaged: the %s %s is not what was built; remove it and make it again: "
                    "netlab image rm %s",
                    image->name, members[i], paths[i], image->name);
        return false;
    }
    return true;
}
