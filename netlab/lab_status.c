/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Looking at labs: which one is meant, and how it is. Reads the store and /proc, changes nothing, takes no
 * lock.
 */
#include "netlab/lab.h"
#include "netlab/machine_drives.h"
#include "netlab/objects.h"
#include "netlab/paths.h"
#include "netlab/process.h"
#include "netlab/seed.h"

#include <assert.h>
#include <json-glib/json-glib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LAST_LINES = 5 };

static const char *const state_names[] = {[LAB_NODE_STARTING] = "starting",
                                          [LAB_NODE_RUNNING] = "running",
                                          [LAB_NODE_ENDED] = "ended",
                                          [LAB_NODE_STOPPED] = "stopped"};
static_assert(G_N_ELEMENTS(state_names) == LAB_NODE_STATES, "every state has a name");

const char *lab_node_state_name(enum lab_node_state state)
{
    return state_names[state];
}

static void nic_free(void *data)
{
    struct lab_nic_status *nic = data;
    g_free(nic->interface);
    g_free(nic->mac);
    g_free(nic->network);
    g_free(nic->address);
    g_free(nic->address6);
    g_free(nic);
}

static void medium_free(void *data)
{
    struct lab_medium_status *medium = data;
    g_free(medium->drive);
    g_free(medium->file);
    g_free(medium->format);
    g_free(medium);
}

static void node_free(void *data)
{
    struct lab_node_status *node = data;
    g_free(node->name);
    g_free(node->note);
    g_free(node->restart);
    g_free(node->last_words);
    g_free(node->image);
    g_free(node->directory);
    g_free(node->console);
    g_ptr_array_unref(node->nics);
    g_ptr_array_unref(node->media);
    g_free(node);
}

void lab_status_free(struct lab_status *status)
{
    if (!status)
        return;
    g_free(status->name);
    g_free(status->file);
    g_free(status->directory);
    g_ptr_array_unref(status->nodes);
    g_free(status);
}

static char *member(JsonObject *object, const char *name)
{
    return g_strdup(json_object_get_string_member_with_default(object, name, NULL));
}

static void add_medium(struct lab_node_status *node, int at, bool is_disk, char *file, char *format)
{
    struct lab_medium_status *medium = g_new0(struct lab_medium_status, 1);
    medium->drive = g_strdup_printf("ide%d-%s%d", at / 2, is_disk ? "hd" : "cd", at % 2);
    medium->is_disk = is_disk;
    medium->file = file;
    medium->format = format;
    g_ptr_array_add(node->media, medium);
}

static void read_media(struct lab_node_status *node, JsonObject *payload)
{
    const char *disk = json_object_get_string_member_with_default(payload, "disk", NULL),
               *cdrom = json_object_get_string_member_with_default(payload, "cdrom", NULL),
               *format = json_object_get_string_member_with_default(payload, "disk_format", "raw");
    if (disk)
        add_medium(node, 0, true, g_strdup(disk), g_strdup(format));
    if (cdrom)
        add_medium(node, 2, false, g_strdup(cdrom), NULL);
    for (guint i = 0; i < node->media->len; i++)
        ((struct lab_medium_status *)node->media->pdata[i])->is_image = true;
    JsonArray *media = machine_media(payload);
    for (guint i = 0; media && i < json_array_get_length(media); i++) {
        JsonObject *object = json_array_get_object_element(media, i);
        g_autofree char *kind = member(object, "kind");
        add_medium(node, (int)json_object_get_int_member_with_default(object, "at", 0),
                   g_strcmp0(kind, "disk") == 0, member(object, "file"), member(object, "format"));
        struct lab_medium_status *medium = node->media->pdata[node->media->len - 1];
        medium->is_persistent = json_object_get_boolean_member_with_default(object, "persistent", FALSE);
        medium->is_seed = json_object_get_boolean_member_with_default(object, "seed", FALSE);
        if (medium->is_seed)
            medium->file = g_build_filename(node->directory, SEED_FILE, NULL);
        medium->size = (uint64_t)json_object_get_int_member_with_default(object, "size", 0);
    }
    for (guint i = 0; i < node->media->len && !node->image; i++) {
        const struct lab_medium_status *medium = node->media->pdata[i];
        node->image = g_strdup(medium->is_seed ? NULL : medium->file);
    }
}

static void read_payload(struct lab_node_status *node, const char *text)
{
    g_autoptr(JsonNode) root = json_from_string(text, NULL);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root))
        return;
    JsonObject *payload = json_node_get_object(root);
    node->image = member(payload, "image");
    if (!node->image)
        node->image = member(payload, "kernel");
    read_media(node, payload);
    node->memory = (unsigned)json_object_get_int_member_with_default(payload, "memory", 0);
    JsonArray *nics =
        json_object_has_member(payload, "nics") ? json_object_get_array_member(payload, "nics") : NULL;
    for (guint i = 0; nics && i < json_array_get_length(nics); i++) {
        JsonObject *object = json_array_get_object_element(nics, i);
        struct lab_nic_status *nic = g_new0(struct lab_nic_status, 1);
        nic->interface = member(object, "interface");
        nic->mac = member(object, "mac");
        nic->network = member(object, "network");
        nic->address = member(object, "address");
        nic->address6 = member(object, "address6");
        g_ptr_array_add(node->nics, nic);
    }
}

static struct lab_node_status *read_node(const struct lab_place *place, const struct store_lab *lab,
                                         const struct store_object *object)
{
    struct lab_node_status *node = g_new0(struct lab_node_status, 1);
    struct process_identity identity;
    node->name = g_strdup(object->key);
    node->nics = g_ptr_array_new_with_free_func(nic_free);
    node->media = g_ptr_array_new_with_free_func(medium_free);
    node->directory = paths_node_directory(place->runtime, lab->name, object->key);
    /* What serves a network has no console. */
    node->console = object->key[0] == OBJECT_GATEWAY_SIGN
                        ? NULL
                        : g_build_filename(node->directory, "console.sock", NULL);
    read_payload(node, object->payload);
    if (g_str_equal(object->kind, object_kind_name(OBJECT_STOPPED))) {
        node->state = LAB_NODE_STOPPED;
        node->note = g_strdup("");
    } else if (process_parse(object->identity, &identity) && process_is_alive(&identity)) {
        node->state = object->state == STORE_PRESENT ? LAB_NODE_RUNNING : LAB_NODE_STARTING;
        node->pid = identity.pid;
        node->resident = process_resident(identity.pid);
        node->note = g_strdup(object->note);
    } else {
        node->state = *object->identity || object->state != STORE_MAKING ? LAB_NODE_ENDED : LAB_NODE_STARTING;
        node->note = g_strdup(object->note);
        node->last_words = machine_log_tail(node->directory, "console.log", LAST_LINES);
    }
    return node;
}

/* The age of its oldest process; of one that has none, by the clock, which may have been set since. */
static int64_t find_age(GPtrArray *objects, const struct store_lab *lab)
{
    int64_t age = -1;
    for (guint i = 0; i < objects->len; i++) {
        const struct store_object *object = objects->pdata[i];
        struct process_identity identity;
        if (process_parse(object->identity, &identity) && process_is_alive(&identity))
            age = MAX(age, process_age(&identity));
    }
    gint64 since = g_get_real_time() / G_USEC_PER_SEC - lab->created_at;
    return age >= 0 ? age : MAX(since, 0);
}

/* By name, numbers in it as numbers: the order of the store changes with each start. */
static int compare_nodes(const void *a, const void *b)
{
    const struct lab_node_status *left = *(struct lab_node_status *const *)a,
                                 *right = *(struct lab_node_status *const *)b;
    g_autofree char *left_key = g_utf8_collate_key_for_filename(left->name, -1),
                    *right_key = g_utf8_collate_key_for_filename(right->name, -1);
    return strcmp(left_key, right_key);
}

struct lab_status *lab_status_read(const struct lab_place *place, struct store *store,
                                   const struct store_lab *lab, GError **error)
{
    g_autoptr(GPtrArray) objects = store_list_objects(store, lab->id, error);
    bool was_up = false;
    if (!objects || !store_was_up(store, lab->id, &was_up, error))
        return NULL;
    struct lab_status *status = g_new0(struct lab_status, 1);
    char boot_id[37];
    process_boot_id(boot_id);
    status->name = g_strdup(lab->name);
    status->file = g_strdup(lab->file);
    status->directory = g_strdup(lab->directory);
    status->is_rootless = lab->is_rootless;
    status->is_own_namespace = lab->is_own_namespace;
    status->is_stale = !g_str_equal(boot_id, lab->boot_id);
    status->is_complete = was_up;
    status->created_at = lab->created_at;
    status->nodes = g_ptr_array_new_with_free_func(node_free);
    g_autoptr(GHashTable) policies = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < objects->len; i++) {
        const struct store_object *object = objects->pdata[i];
        struct process_identity identity;
        if (g_str_equal(object->kind, object_kind_name(OBJECT_POLICY)))
            g_hash_table_insert(policies, object->key, object->payload);
        if (g_str_equal(object->kind, object_kind_name(OBJECT_MACHINE)) ||
            g_str_equal(object->kind, object_kind_name(OBJECT_STOPPED)))
            g_ptr_array_add(status->nodes, read_node(place, lab, object));
        if (g_str_equal(object->kind, object_kind_name(OBJECT_SUPERVISOR)) &&
            process_parse(object->identity, &identity)) {
            status->is_supervised = process_is_alive(&identity);
            status->supervisor = status->is_supervised ? identity.pid : 0;
        }
    }
    g_ptr_array_sort(status->nodes, compare_nodes);
    status->up_s = find_age(objects, lab);
    for (guint i = 0; i < status->nodes->len; i++) {
        struct lab_node_status *node = status->nodes->pdata[i];
        const char *policy = g_hash_table_lookup(policies, node->name);
        node->restart = policy ? payload_string(policy, "restart") : NULL;
    }
    return status;
}

struct lab_node_status *lab_status_find_node(struct lab_status *status, const char *name, GError **error)
{
    g_autofree const char **names = g_new0(const char *, status->nodes->len + 1);
    g_autoptr(GString) all = g_string_new(NULL);
    for (guint i = 0; i < status->nodes->len; i++) {
        struct lab_node_status *node = status->nodes->pdata[i];
        if (g_str_equal(node->name, name))
            return node;
        names[i] = node->name;
        g_string_append_printf(all, "%s%s", i ? ", " : "", node->name);
    }
    const char *nearest = topology_nearest(name, names, status->nodes->len);
    if (nearest)
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "lab %s has no node \"%s\"; did you mean \"%s\"?",
                    status->name, name, nearest);
    else
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "lab %s has no node \"%s\"; it has: %s", status->name,
                    name, all->str);
    return NULL;
}

/* ---- which lab ---- */

static char *describe_labs(GPtrArray *labs)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < labs->len; i++) {
        const struct store_lab *lab = labs->pdata[i];
        g_string_append_printf(text, "%s%s", i ? ", " : "", lab->name);
    }
    return g_string_free(text, FALSE);
}

static struct store_lab *take(GPtrArray *labs, guint index)
{
    return g_ptr_array_steal_index(labs, index);
}

/* The lab that came from this file or folder; NULL when none did. */
static struct store_lab *select_by_path(GPtrArray *labs, const char *path)
{
    g_autofree char *absolute = realpath(path, NULL);
    g_autofree char *canonical = absolute ? NULL : g_canonicalize_filename(path, NULL);
    const char *wanted = absolute ? absolute : canonical;
    for (guint i = 0; i < labs->len; i++) {
        const struct store_lab *lab = labs->pdata[i];
        if (g_str_equal(lab->file, wanted) || g_str_equal(lab->directory, wanted))
            return take(labs, i);
    }
    return NULL;
}

static struct store_lab *fail_none(GPtrArray *labs, const char *what, GError **error)
{
    g_autofree char *all = describe_labs(labs);
    if (labs->len)
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "%s; up %s: %s (choose one with --lab NAME)", what,
                    labs->len == 1 ? "is" : "are", all);
    else
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "%s%s; bring one up with `netlab up`", what,
                    g_str_equal(what, "no lab is up") ? "" : ", nor any other");
    return NULL;
}

/* The copies of a class are meant by name only: they all come from one file. */
static bool leave_out_copies(struct store *store, GPtrArray *labs, GError **error)
{
    g_autoptr(GPtrArray) members = store_list_members(store, 0, error);
    g_autoptr(GHashTable) copies = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; members && i < members->len; i++)
        g_hash_table_add(copies, ((struct store_member *)members->pdata[i])->lab);
    for (guint i = labs->len; i-- > 0;)
        if (g_hash_table_contains(copies, ((struct store_lab *)labs->pdata[i])->name))
            g_ptr_array_remove_index(labs, i);
    return members != NULL;
}

static bool is_of_class(GPtrArray *classes, const char *path)
{
    g_autofree char *absolute = realpath(path, NULL);
    for (guint i = 0; absolute && i < classes->len; i++) {
        const char *file = ((struct store_class *)classes->pdata[i])->file;
        g_autofree char *folder = g_path_get_dirname(file);
        if (g_str_equal(file, absolute) || g_str_equal(folder, absolute))
            return true;
    }
    return false;
}

struct store_lab *lab_select(struct store *store, const char *name, const char *path, GError **error)
{
    g_autoptr(GPtrArray) labs = store_list_labs(store, error);
    g_autofree char *what = NULL;
    if (!labs)
        return NULL;
    if (name) {
        for (guint i = 0; i < labs->len; i++) {
            if (g_str_equal(((struct store_lab *)labs->pdata[i])->name, name))
                return take(labs, i);
        }
        what = g_strdup_printf("no lab named %s is up", name);
        return fail_none(labs, what, error);
    }
    g_autoptr(GPtrArray) classes = store_list_classes(store, error);
    if (!classes || !leave_out_copies(store, labs, error))
        return NULL;
    g_autofree char *current = path ? NULL : g_get_current_dir();
    struct store_lab *lab = select_by_path(labs, path ? path : current);
    if (lab)
        return lab;
    if (is_of_class(classes, path ? path : current) || (!path && !labs->len && classes->len)) {
        g_set_error(
            error, LAB_ERROR, LAB_ERROR_NOT_UP,
            "the lab is up for a class, a copy for each student; name one with --student ID, or see `netlab "
            "status --for %s`",
            ((struct store_class *)classes->pdata[0])->roster);
        return NULL;
    }
    for (guint i = 0; path && i < labs->len; i++)
        if (g_str_equal(((struct store_lab *)labs->pdata[i])->name, path)) {
            g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP,
                        "no lab from a file or folder %s is up; the lab of that name is meant by --lab %s",
                        path, path);
            return NULL;
        }
    if (path) {
        what = g_strdup_printf("no lab from %s is up", path);
        return fail_none(labs, what, error);
    }
    g_autofree char *here = g_build_filename(current, "topology.yml", NULL);
    bool has_topology = access(here, F_OK) == 0;
    /* In another lab's folder the only one that is up is hardly the one that is meant. */
    if (labs->len == 1 && !has_topology)
        return take(labs, 0);
    return fail_none(labs,
                     has_topology ? "the lab of this folder is not up"
                     : labs->len  ? "no lab from this folder is up"
                                  : "no lab is up",
                     error);
}
