/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See wanted_media.h.
 *
 * Everything that can be known of a file is known before anything is changed: what it is and what lies below
 * it (disk.h), whether it may be written to, who else of this lab has it, and, by a trial of the emulator,
 * whether the rest of its header is sound and nobody else writes to it. A persistent file that a machine of
 * this very lab has open is not tried: that machine is the proof.
 *
 * Places on IDE: an image's disk has 0, the CD drive 2; the node's disks have what is free of 0, 1, 3, 2. So
 * firmware counts them in the order of the file. The seed of cloud-init is a CD in the drive, or beside it.
 */
#include "netlab/wanted_media.h"
#include "netlab/disk.h"
#include "netlab/machine_drives.h"
#include "netlab/objects.h"
#include "netlab/store.h"
#include "netlab/trial.h"
#include "netlab/wanted_cloud_init.h"

#include <string.h>
#include <unistd.h>

enum { CD_PLACE = 2 };

struct media_user {
    char *node;
    bool writes;
};

static void user_free(void *data)
{
    struct media_user *user = data;
    g_free(user->node);
    g_free(user);
}

void media_context_init(struct media_context *context, GPtrArray *existing, GHashTable *trials)
{
    *context = (struct media_context){
        .existing = existing,
        .trials = trials,
        .users = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, user_free),
    };
}

void media_context_clear(struct media_context *context)
{
    g_hash_table_unref(context->users);
}

/* One node's. */
struct work {
    const struct topology *topology;
    const struct topology_node *node;
    const struct media_image *image;
    struct media_context *context;
    struct topology_report *report;
    JsonArray *list;
    bool taken[TOPOLOGY_DISKS_MOST];
};

/* ---- who has a file ---- */

/* One machine may write to a file, or any number of them read it. */
static bool take_file(struct work *w, struct topology_mark mark, const char *path, const char *key,
                      bool writes)
{
    struct media_user *user = g_hash_table_lookup(w->context->users, key);
    if (user && (writes || user->writes)) {
        bool is_same = g_str_equal(user->node, w->node->name);
        topology_complain(w->report, mark,
                          "%s is %s of node \"%s\" already, and %s: give each a file of its own, or leave "
                          "\"persistent\" out",
                          path, is_same ? "another disk" : "a disk", user->node,
                          user->writes ? "that one writes to it" : "this one would write to it");
        return false;
    }
    if (!user) {
        user = g_new0(struct media_user, 1);
        user->node = g_strdup(w->node->name);
        g_hash_table_insert(w->context->users, g_strdup(key), user);
    }
    user->writes |= writes;
    return true;
}

static bool take_chain(struct work *w, const struct topology_disk *disk, GPtrArray *chain)
{
    for (guint i = 0; i < chain->len; i++) {
        const struct disk_file *file = chain->pdata[i];
        g_autofree char *key =
            g_strdup_printf("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, file->device, file->inode);
        if (!take_file(w, disk->mark, file->path, key, i == 0 && disk->persistent > 0))
            return false;
    }
    return true;
}

static bool is_held_by_us(const struct media_context *context, const char *path)
{
    for (guint i = 0; context->existing && i < context->existing->len; i++) {
        const struct store_object *object = context->existing->pdata[i];
        if (!g_str_equal(object->kind, object_kind_name(OBJECT_MACHINE)))
            continue;
        g_autoptr(JsonNode) root = json_from_string(object->payload, NULL);
        JsonArray *media =
            root && JSON_NODE_HOLDS_OBJECT(root) ? machine_media(json_node_get_object(root)) : NULL;
        for (guint k = 0; media && k < json_array_get_length(media); k++) {
            JsonObject *medium = json_array_get_object_element(media, k);
            if (json_object_get_boolean_member_with_default(medium, "persistent", FALSE) &&
                g_strcmp0(json_object_get_string_member_with_default(medium, "file", NULL), path) == 0)
                return true;
        }
    }
    return false;
}

/* ---- trials ---- */

static bool try_medium(struct work *w, struct topology_mark mark, JsonObject *medium)
{
    JsonNode *root = json_node_init_object(json_node_alloc(), medium);
    g_autofree char *text = json_to_string(root, FALSE);
    json_node_unref(root);
    const struct trial trial = {
        .kernel = w->image->kernel, .initrd = w->image->initrd, .memory = w->image->memory, .medium = medium};
    g_autofree char *what =
        g_strdup_printf("%s\n%s\n%u", text, trial.kernel ? trial.kernel : "", trial.memory);
    g_autofree char *why = g_strdup(g_hash_table_lookup(w->context->trials, what));
    if (!why) {
        if (trial_run(&trial, &why))
            why = g_strdup("");
        g_hash_table_insert(w->context->trials, g_steal_pointer(&what), g_strdup(why));
    }
    /* The emulator's advice is about its own options. */
    char *busy = strstr(why, "the image is in use by another machine"),
         *advice = busy ? strchr(busy, ';') : NULL;
    if (advice) {
        g_autofree char *fact = g_strndup(why, (gsize)(advice - why));
        g_free(why);
        why = g_strconcat(fact, "; end that one first, or take a copy of the file", NULL);
    }
    const char *shown = g_str_has_prefix(why, "drive ") && strstr(why, ": ") ? strstr(why, ": ") + 2 : why;
    if (*shown)
        topology_complain(w->report, mark, "%s", shown);
    return !*shown;
}

/* ---- media ---- */

static void put_file(JsonObject *object, const struct disk_file *file)
{
    json_object_set_string_member(object, "file", file->path);
    json_object_set_string_member(object, "format", file->format);
}

static int next_place(struct work *w)
{
    static const int order[] = {0, 1, 3, CD_PLACE};
    for (size_t i = 0; i < G_N_ELEMENTS(order); i++)
        if (!w->taken[order[i]]) {
            w->taken[order[i]] = true;
            return order[i];
        }
    return -1;
}

/* It is there, or is to be made. */
static bool fill_disk(struct work *w, const struct topology_disk *disk, JsonObject *medium)
{
    g_autoptr(GError) error = NULL;
    bool writes = disk->persistent > 0;
    if (writes && !disk_check_writable(disk->file, &error)) {
        topology_complain(w->report, disk->mark, "%s", error->message);
        return false;
    }
    if (writes && disk->size && access(disk->file, F_OK) != 0) {
        json_object_set_string_member(medium, "file", disk->file);
        json_object_set_string_member(medium, "format", "raw");
        return take_file(w, disk->mark, disk->file, disk->file, true);
    }
    g_autoptr(GPtrArray) chain = disk_chain(disk->file, w->topology->directory, writes, &error);
    if (!chain) {
        topology_complain(w->report, disk->mark, "%s%s", error->message,
                          writes && g_error_matches(error, DISK_ERROR, DISK_ERROR_FILE) &&
                                  access(disk->file, F_OK) != 0
                              ? "; with a \"size\" it would be made"
                              : "");
        return false;
    }
    put_file(medium, chain->pdata[0]);
    JsonArray *below = chain->len > 1 ? json_array_new() : NULL;
    for (guint i = 1; i < chain->len; i++) {
        JsonObject *each = json_object_new();
        put_file(each, chain->pdata[i]);
        json_array_add_object_element(below, each);
    }
    if (below)
        json_object_set_array_member(medium, "below", below);
    return take_chain(w, disk, chain) &&
           (is_held_by_us(w->context, disk->file) || try_medium(w, disk->mark, medium));
}

static bool add_disk(struct work *w, const struct topology_disk *disk)
{
    int place = next_place(w);
    if (place < 0) {
        topology_complain(w->report, disk->mark,
                          "node \"%s\" has no room for this disk: a machine has %d disks and "
                          "CDs at most, its image's among them",
                          w->node->name, TOPOLOGY_DISKS_MOST);
        return false;
    }
    JsonObject *medium = json_object_new();
    json_array_add_object_element(w->list, medium);
    json_object_set_int_member(medium, "at", place);
    json_object_set_string_member(medium, "kind", "disk");
    if (disk->size)
        json_object_set_int_member(medium, "size", (gint64)disk->size);
    if (disk->persistent > 0)
        json_object_set_boolean_member(medium, "persistent", TRUE);
    return !disk->file || fill_disk(w, disk, medium);
}

static bool add_cdrom(struct work *w)
{
    const struct topology_machine *machine = &w->node->machine;
    g_autoptr(GError) error = NULL;
    JsonObject *medium = json_object_new();
    json_array_add_object_element(w->list, medium);
    json_object_set_int_member(medium, "at", CD_PLACE);
    json_object_set_string_member(medium, "kind", "cdrom");
    if (!machine->cdrom)
        return true;
    json_object_set_string_member(medium, "file", machine->cdrom);
    if (disk_check_cd(machine->cdrom, &error))
        return try_medium(w, machine->cdrom_mark, medium);
    topology_complain(w->report, machine->cdrom_mark, "%s", error->message);
    return false;
}

static bool has_cloud_init(const struct work *w)
{
    int is_on = w->node->machine.cloud_init.is_on;
    return is_on < 0 ? w->image->has_cloud_init : is_on > 0;
}

/* In the CD drive, or beside it. Before the disks: they have what is left. */
static void add_seed(struct work *w)
{
    int place = w->taken[CD_PLACE] ? CD_PLACE + 1 : CD_PLACE;
    JsonObject *medium = json_object_new();
    w->taken[place] = true;
    json_array_add_object_element(w->list, medium);
    json_object_set_int_member(medium, "at", place);
    json_object_set_string_member(medium, "kind", "cdrom");
    json_object_set_boolean_member(medium, "seed", TRUE);
}

/* ---- what starts ---- */

static bool choose_order(const struct work *w, const char **order)
{
    const struct topology_machine *machine = &w->node->machine;
    const char *name = w->image->name ? w->image->name : "";
    bool has_disk = machine->disks->len || w->image->has_disk,
         has_cdrom = machine->cdrom || (w->image->has_cdrom && !machine->has_cdrom);
    const char *missing = machine->boot == TOPOLOGY_BOOT_DISK && !has_disk     ? "disk"
                          : machine->boot == TOPOLOGY_BOOT_CDROM && !has_cdrom ? "CD"
                                                                               : NULL;
    if (machine->boot != TOPOLOGY_BOOT_UNSET && machine->boot != TOPOLOGY_BOOT_KERNEL && w->image->kernel) {
        topology_complain(
            w->report, machine->boot_mark,
            "image \"%s\" has a kernel, which starts without disk or CD; leave the image out, or "
            "\"boot\"",
            name);
        return false;
    }
    if (machine->boot == TOPOLOGY_BOOT_KERNEL && !w->image->kernel) {
        topology_complain(w->report, machine->boot_mark,
                          "image \"%s\" has no kernel; write \"boot: disk\" or \"boot: cdrom\"", name);
        return false;
    }
    if (missing) {
        topology_complain(w->report, machine->boot_mark, "node \"%s\" is to start from its %s and has none",
                          w->node->name, missing);
        return false;
    }
    if (!w->image->kernel && (machine->boot != TOPOLOGY_BOOT_UNSET || json_array_get_length(w->list)))
        *order = machine->boot == TOPOLOGY_BOOT_DISK    ? "c"
                 : machine->boot == TOPOLOGY_BOOT_CDROM ? "dc"
                                                        : "cd";
    return true;
}

bool wanted_media(const struct topology *topology, const struct topology_node *node,
                  const struct media_image *image, struct media_context *context, struct media *out,
                  struct topology_report *report)
{
    const struct topology_machine *machine = &node->machine;
    g_autoptr(JsonArray) list = json_array_new();
    struct work w = {.topology = topology,
                     .node = node,
                     .image = image,
                     .context = context,
                     .report = report,
                     .list = list,
                     .taken = {[0] = image->has_disk, [CD_PLACE] = image->has_cdrom || machine->has_cdrom}};
    bool good = true;
    if (has_cloud_init(&w))
        add_seed(&w);
    *out = (struct media){.replaces_cdrom = machine->has_cdrom};
    for (guint i = 0; i < machine->disks->len; i++)
        good = add_disk(&w, machine->disks->pdata[i]) && good;
    if (machine->has_cdrom)
        good = add_cdrom(&w) && good;
    good = choose_order(&w, &out->order) && good;
    if (has_cloud_init(&w))
        good = wanted_cloud_init(topology, node, &out->cloud_init, report) && good;
    if (!good)
        return false;
    if (json_array_get_length(list))
        out->list = g_steal_pointer(&list);
    return true;
}
