/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See unmanaged.h and docs/uplinks.md.
 *
 * The files name links by their pattern ("nlb" and ten more), which is that of all labs, so no lab's file has
 * to change when its links do. The first line says whose the file is; one without it is not touched. That the
 * service cannot be told is no reason to fail: it reads the file when it starts the next time, and says `up`.
 *
 * Sources: NetworkManager.conf(5) [device] managed, systemd.network(5) Unmanaged=.
 */
#include "netlab/unmanaged.h"
#include "netlab/fault.h"
#include "netlab/link_manager.h"
#include "netlab/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

#define MARK   "# netlab lab "
#define PREFIX "00-netlab-"
#define HOST   "@host" /* no lab: what `netlab host` has made */

static const struct place {
    const char *service, *folder, *suffix;
    const char *section, *before, *between,
        *after;                   /* around the patterns; section: of one's own, with a name */
    const char *pattern, *single; /* of links that labs name, and of one */
} places[] = {
    {"NetworkManager", "/run/NetworkManager/conf.d", ".conf", "[device-", "]\nmatch-device=", ",",
     "\nmanaged=0\n", "interface-name:nl%c??????????", "interface-name:="},
    {"systemd-networkd", "/run/systemd/network", ".network", "", "[Match]\nName=", " ",
     "\n[Link]\nUnmanaged=yes\n", "nl%c??????????", ""},
};

static const struct place *find_place(const char *service)
{
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++)
        if (g_str_equal(places[i].service, service))
            return &places[i];
    return NULL;
}

static char *mark_of(const char *lab)
{
    return g_strdup_printf(MARK "%s\n", lab);
}

/* The first lines. `path`: of the file, whose name sections of files that are read as one are told apart by.
 */
static GString *begin_text(const struct place *place, const char *lab, const char *path)
{
    g_autofree char *mark = mark_of(lab), *name = g_path_get_basename(path);
    GString *text = g_string_new(mark);
    name[strcspn(name, ".")] = '\0';
    g_string_append_printf(text, "%s%s%s", place->section, *place->section ? name : "", place->before);
    return text;
}

static char *file_text(const struct place *place, const char *lab, const char *path)
{
    static const char kinds[] = {'b', 't', 'u', 'v', 'w'}; /* names_interface() */
    GString *text = begin_text(place, lab, path);
    for (size_t i = 0; i < sizeof kinds; i++) {
        g_auto(GStrv) parts = g_strsplit(place->pattern, "%c", 2);
        g_string_append_printf(text, "%s%s%c%s", i ? place->between : "", parts[0], kinds[i], parts[1]);
    }
    g_string_append(text, place->after);
    return g_string_free(text, FALSE);
}

/* Does this file say that it is ours? `lab` (may be NULL) gets whose; owned by the caller. */
static bool read_mark(const char *path, char **lab)
{
    g_autofree char *text = NULL;
    if (g_file_test(path, G_FILE_TEST_IS_SYMLINK) || !g_file_get_contents(path, &text, NULL, NULL) ||
        !g_str_has_prefix(text, MARK))
        return false;
    if (lab)
        *lab = g_strndup(text + strlen(MARK), strcspn(text + strlen(MARK), "\n"));
    return true;
}

static void reload(const struct operation_context *context, const struct place *place)
{
    g_autoptr(hostnet) host = operation_open_host(context, NULL);
    if (host && !link_manager_reload(host, place->service))
        g_message("%s could not be asked to read its files again", place->service);
}

/* Whether the folder has to be made, too. */
bool unmanaged_plan(struct operation_context *context, const char *key, const char *payload, char **identity,
                    GError **error)
{
    const struct place *place = find_place(key);
    *identity = g_strdup(place && access(place->folder, F_OK) == 0 ? "file" : "folder");
    return true;
}

bool unmanaged_make(struct operation_context *context, const char *key, const char *payload,
                    const char *identity, GError **error)
{
    const struct place *place = find_place(key);
    g_autofree char *path = payload_string(payload, "file");
    g_autofree char *text = place && path ? file_text(place, context->lab, path) : NULL;
    if (!path || !text) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "no service is called %s", key);
        return false;
    }
    if (g_mkdir_with_parents(place->folder, 0755) != 0 && errno != EEXIST) {
        int cause = errno;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause), "cannot make %s: %s", place->folder,
                    g_strerror(cause));
        return false;
    }
    fault_point();
    if (!g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644, error))
        return false;
    fault_point();
    reload(context, place);
    return true;
}

bool unmanaged_unmake(struct operation_context *context, const struct store_object *object, GError **error)
{
    const struct place *place = find_place(object->key);
    g_autofree char *path = payload_string(object->payload, "file");
    if (!place || !path)
        return true;
    bool was_there = read_mark(path, NULL);
    if (was_there && g_unlink(path) != 0 && errno != ENOENT) {
        int cause = errno;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause), "cannot remove %s: %s", path,
                    g_strerror(cause));
        return false;
    }
    fault_point();
    if (g_str_equal(object->identity, "folder"))
        g_rmdir(place->folder); /* only when it is empty */
    if (was_there)
        reload(context, place);
    return true;
}

bool unmanaged_is_there(const struct store_object *object)
{
    g_autofree char *path = payload_string(object->payload, "file");
    return path && read_mark(path, NULL);
}

char *unmanaged_describe(bool make, const char *key, const char *payload)
{
    return make ? g_strdup_printf("keep the lab's links on this host from %s", key)
                : g_strdup_printf("let %s see to links of such names again", key);
}

void unmanaged_want(GPtrArray *objects, unsigned owner, const char *lab)
{
    g_autoptr(hostnet) host = hostnet_open(NULL);
    for (size_t i = 0; host && i < G_N_ELEMENTS(places); i++) {
        if (!link_manager_runs(host, places[i].service))
            continue;
        g_autofree char *name = names_interface('m', owner, lab, places[i].service);
        g_autofree char *path =
            g_strdup_printf("%s/" PREFIX "%s%s", places[i].folder, name, places[i].suffix);
        g_autoptr(JsonBuilder) builder = json_builder_new();
        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "file");
        json_builder_add_string_value(builder, path);
        json_builder_end_object(builder);
        g_autoptr(JsonNode) root = json_builder_get_root(builder);
        g_autofree char *payload = json_to_string(root, FALSE);
        g_ptr_array_insert(objects, 0, object_new(OBJECT_UNMANAGED, places[i].service, payload));
    }
}

static char *link_path(const struct place *place, unsigned owner, const char *link)
{
    g_autofree char *name = names_interface('m', owner, HOST, link);
    return g_strdup_printf("%s/" PREFIX "%s%s", place->folder, name, place->suffix);
}

void unmanaged_keep_link(struct hostnet *host, unsigned owner, const char *link)
{
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        const struct place *place = &places[i];
        g_autofree char *path = link_path(place, owner, link);
        g_autoptr(GString) text = begin_text(place, HOST, path);
        g_string_append_printf(text, "%s%s%s", place->single, link, place->after);
        g_autoptr(GError) error = NULL;
        /* A name with signs that mean something in a pattern is left to them. */
        if (strpbrk(link, "*?[]\\!, ;") || !link_manager_runs(host, place->service))
            continue;
        if (g_mkdir_with_parents(place->folder, 0755) != 0 ||
            !g_file_set_contents_full(path, text->str, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644, &error) ||
            !link_manager_reload(host, place->service))
            g_warning("%s could not be kept from %s: %s", place->service, link,
                      error ? error->message : "it was not reached");
    }
}

void unmanaged_let_link(struct hostnet *host, unsigned owner, const char *link)
{
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path = link_path(&places[i], owner, link);
        if (!read_mark(path, NULL) || g_unlink(path) != 0)
            continue;
        g_rmdir(places[i].folder); /* only when nothing else is in it */
        (void)link_manager_reload(host, places[i].service);
    }
}

void unmanaged_sweep(bool dry_run, bool (*is_stray)(void *opaque, const char *lab),
                     void (*find)(void *opaque, const char *lab, const char *path), void *opaque)
{
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(GDir) folder = g_dir_open(places[i].folder, 0, NULL);
        bool has_any = false;
        for (const char *name; folder && (name = g_dir_read_name(folder));) {
            g_autofree char *path = g_build_filename(places[i].folder, name, NULL), *lab = NULL;
            if (!g_str_has_prefix(name, PREFIX) || !read_mark(path, &lab) || g_str_equal(lab, HOST) ||
                !is_stray(opaque, lab))
                continue;
            find(opaque, lab, path);
            has_any = !dry_run && g_unlink(path) == 0;
        }
        g_autoptr(hostnet) host = has_any ? hostnet_open(NULL) : NULL;
        if (host)
            (void)link_manager_reload(host, places[i].service);
    }
}
