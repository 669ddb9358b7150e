/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Nodes: images that have names of their own, of -blockdev and of blockdev-add.
 *
 *   "f1" raw ──► "s1" file         a format node's image is opened when the node is made, and is in the node
 *     │                            or in the one drive that has it as its medium
 *     └── drive cd0                a file node under others is a name; its own image serves for its size, and
 *                                  for a drive that takes the file as it is
 *
 * While nobody has a raw image in use its file is not locked (see block_put()), so nodes of the same file may
 * stand beside each other, as they do while media are exchanged; a qcow2 image is locked as long as it is
 * open. A node that is below another one or in a drive is not deleted. All of it is the machine's thread's.
 *
 * blockdev-reopen gives nodes other words: their images are closed and opened, in a drive with nothing in
 * flight, because the old one's lock would be in the new one's way. When one of them cannot be opened, all
 * are what they were, or with very bad luck (somebody else took the file meanwhile) answer with I/O errors.
 */
#include "emu/machine/machine_internal.h"

#include <gio/gio.h>
#include <string.h>

enum { NODES_MOST = 1024, BACKING_MOST = 16 };

struct machine_node {
    char *name;
    const struct machine_drive *words;
    struct machine_drive *own; /* the same when it was added, or opened anew, while the machine runs */
    struct block_config how; /* it is opened as: the words', but for what auto-read-only= and others change */
    struct machine_node *below, *backing;
    unsigned users;            /* nodes above it */
    struct machine_disk *disk; /* it is the medium of, and the image is there; NULL: none */
    struct image *image;
};

static bool is_format(const struct machine_node *node)
{
    return g_str_equal(node->words->driver, "raw") || g_str_equal(node->words->driver, "qcow2");
}

static struct machine_node *find_node(const struct machine *m, const char *name)
{
    for (guint i = 0; i < m->nodes->len; i++) {
        struct machine_node *node = m->nodes->pdata[i];
        if (g_str_equal(node->name, name))
            return node;
    }
    return NULL;
}

static void node_free(void *data)
{
    struct machine_node *node = data;
    if (node->below)
        node->below->users--;
    if (node->backing)
        node->backing->users--;
    block_image_close(node->image);
    machine_drive_free(node->own);
    g_free(node->name);
    g_free(node);
}

/* as_it_is: for a drive that takes a file node and may write. */
static struct image *node_open(const struct machine_node *node, bool as_it_is, GError **error)
{
    const struct machine_drive *words = node->words;
    struct block_config config = node->how;
    struct block_below chain[BACKING_MOST] = {0};
    const struct block_below **under = &config.below;
    unsigned depth = 0;
    config.id = node->name;
    config.file = words->file;
    config.read_only |= words->media == MACHINE_MEDIA_CD ||
                        (node->disk && node->disk->config->media == MACHINE_MEDIA_CD) ||
                        (!is_format(node) && !as_it_is && !words->claimed);
    for (const struct machine_node *at = node; at->words->backing && depth < BACKING_MOST; at = at->backing) {
        struct block_below *below = &chain[depth++];
        *under = below;
        if (!at->backing) /* nothing is below */
            break;
        below->file = at->backing->words->file;
        below->format = at->backing->words->block.format;
        under = &below->below;
    }
    return block_image_open(&config, error);
}

static bool is_forbidden(const GError *error)
{
    return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED) ||
           g_error_matches(error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
}

/* With auto-read-only=on a file that cannot be written is opened for reading. */
static struct image *node_open_or_less(struct machine_node *node, bool as_it_is, GError **error)
{
    g_autoptr(GError) inner = NULL;
    struct image *image = node_open(node, as_it_is, &inner);
    if (!image && node->words->auto_read_only && is_format(node) && !node->how.read_only &&
        is_forbidden(inner)) {
        g_clear_error(&inner);
        node->how.read_only = true;
        image = node_open(node, as_it_is, &inner);
    }
    if (!image)
        g_propagate_error(error, g_steal_pointer(&inner));
    return image;
}

static struct machine_node *node_new(struct machine *m, const struct machine_drive *words, GError **error)
{
    struct machine_node *node = g_new0(struct machine_node, 1);
    node->name = g_strdup(words->id);
    node->words = words;
    node->below = words->below ? find_node(m, words->below) : NULL;
    node->backing = words->backing && *words->backing ? find_node(m, words->backing) : NULL;
    if (node->below)
        node->below->users++;
    if (node->backing)
        node->backing->users++;
    node->how = words->block;
    node->image = node_open_or_less(node, false, error);
    if (!node->image) {
        node_free(node);
        return NULL;
    }
    g_ptr_array_add(m->nodes, node);
    return node;
}

/* ---- in and out of drives ---- */

static void node_released(void *opaque, struct image *image)
{
    struct machine_node *node = opaque;
    node->image = image;
    node->disk->node = NULL;
    node->disk = NULL;
}

static bool node_put(struct machine_node *node, struct machine_disk *disk, GError **error)
{
    bool cd = disk->config->media == MACHINE_MEDIA_CD, writes = !node->how.read_only && !cd;
    if (node->how.read_only && !node->words->block.read_only && !cd) { /* nobody asked for that */
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_READ_ONLY,
                    "Block node is read-only: %s cannot be written; make it writable, or say read-only=on",
                    node->words->file);
        return false;
    }
    if (!is_format(node) && writes && block_image_read_only(node->image)) {
        struct image *image = node_open(node, true, error);
        if (!image)
            return false;
        block_image_close(node->image);
        node->image = image;
    }
    if (!block_put(disk->block, node->image, &node->how, node_released, node, error))
        return false;
    node->image = NULL;
    node->disk = disk;
    disk->node = node;
    return true;
}

bool machine_nodes_open(struct machine *m, GError **error)
{
    const GPtrArray *drives = m->config->drives;
    m->nodes = g_ptr_array_new_with_free_func(node_free);
    for (guint i = 0; i < drives->len; i++) {
        const struct machine_drive *drive = drives->pdata[i];
        if (drive->node && !node_new(m, drive, error)) {
            g_prefix_error(error, "-blockdev node-name=%s: ", drive->id);
            return false;
        }
    }
    return true;
}

bool machine_node_plug(struct machine *m, struct machine_disk *disk, GError **error)
{
    struct machine_node *node = find_node(m, disk->config->id);
    return node_put(node, disk, error);
}

void machine_nodes_free(struct machine *m)
{
    if (!m->nodes)
        return;
    for (guint i = 0; i < m->nodes->len; i++) { /* in whatever order they stand on each other */
        struct machine_node *node = m->nodes->pdata[i];
        node->below = node->backing = NULL;
    }
    g_clear_pointer(&m->nodes, g_ptr_array_unref);
}

const char *machine_node_name(const struct machine_node *node)
{
    return node->name;
}

const char *machine_node_driver(const struct machine_node *node)
{
    return node->words->driver;
}

/* ---- control room ---- */

bool machine_node_status(void *opaque, unsigned index, struct control_drive *out)
{
    static const char *const zeroes[] = {
        [BLOCK_ZEROES_WRITE] = "off", [BLOCK_ZEROES_DETECT] = "on", [BLOCK_ZEROES_UNMAP] = "unmap"};
    struct machine *m = opaque;
    if (index >= m->nodes->len)
        return false;
    const struct machine_node *node = m->nodes->pdata[index];
    if (node->disk)
        return machine_drive_status(m, (unsigned)(node->disk - m->drives), out);
    *out = (struct control_drive){
        .id = node->name,
        .node = true,
        .node_name = node->name,
        .file = node->words->file,
        .format = node->words->driver,
        .backing = block_image_backing(node->image),
        .size = block_image_size(node->image),
        .read_only = node->how.read_only,
        .cache = block_cache_names[node->how.cache],
        .zeroes = zeroes[node->how.zeroes],
    };
    return true;
}

static bool name_is_free(const struct machine *m, const char *name, GError **error)
{
    if (find_node(m, name)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, "Duplicate nodes with node-name='%s'", name);
        return false;
    }
    for (unsigned i = 0; i < m->drive_count; i++) {
        if (m->drives[i].config->node || !g_str_equal(m->drives[i].config->id, name))
            continue;
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, "node-name=%s is conflicting with a device id",
                    name);
        return false;
    }
    return true;
}

/* Takes over `drive`, in any case. */
static bool add_node(struct machine *m, struct machine_drive *drive, GError **error)
{
    struct machine_node *node = name_is_free(m, drive->id, error) ? node_new(m, drive, error) : NULL;
    if (node)
        node->own = drive;
    else
        machine_drive_free(drive);
    return node != NULL;
}

bool machine_blockdev_add(void *opaque, const char *words, GError **error)
{
    struct machine *m = opaque;
    g_autoptr(GPtrArray) others = g_ptr_array_new();
    if (!m->config->words || m->nodes->len >= NODES_MOST) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "there is no room for more than %d nodes",
                    NODES_MOST);
        return false;
    }
    for (guint i = 0; i < m->nodes->len; i++) {
        const struct machine_node *node = m->nodes->pdata[i];
        g_ptr_array_add(others, (void *)node->words);
    }
    struct machine_drive *drive = m->config->words->blockdev(words, others, error);
    if (!drive)
        return false;
    struct machine_drive *inner = g_steal_pointer(&drive->inner);
    if (inner && !add_node(m, inner, error)) {
        machine_drive_free(drive);
        return false;
    }
    if (add_node(m, drive, error))
        return true;
    if (inner)
        g_ptr_array_remove_index(m->nodes, m->nodes->len - 1);
    return false;
}

/* And what came with it, unless somebody else has taken to that. */
static bool remove_node(struct machine *m, struct machine_node *node)
{
    struct machine_node *below = node->below;
    g_ptr_array_remove(m->nodes, node);
    if (below && below->words->implicit && !below->users && !below->disk)
        g_ptr_array_remove(m->nodes, below);
    return true;
}

bool machine_blockdev_del(void *opaque, const char *name, GError **error)
{
    struct machine *m = opaque;
    struct machine_node *node = find_node(m, name);
    if (!node)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Failed to find node with node-name='%s'", name);
    else if (node->disk)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY, "Node %s is in use", name);
    else if (node->words->implicit && node->users)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY, "Node %s is not owned by the monitor", name);
    else if (node->users)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY, "Block device %s is in use", name);
    else
        return remove_node(m, node);
    return false;
}

/* ---- opened anew ---- */

/* What a node's image stands on; all of it is exchanged, and back again when one of the nodes fails. */
struct state {
    const struct machine_drive *words;
    struct machine_drive *own;
    struct block_config how;
    struct machine_node *below, *backing;
};

struct reopening {
    struct machine_node *node;
    struct state next, before;
    char *path; /* of the image before, and its size */
    uint64_t size;
};

static void reopening_free(void *data)
{
    struct reopening *r = data;
    machine_drive_free(r->next.own);
    g_free(r->path);
    g_free(r);
}

static struct state state_of(const struct machine_node *node)
{
    return (struct state){node->words, node->own, node->how, node->below, node->backing};
}

static void set_state(struct machine_node *node, const struct state *state)
{
    struct machine_node *const from[] = {node->below, node->backing};
    struct machine_node *const to[] = {state->below, state->backing};
    for (unsigned i = 0; i < G_N_ELEMENTS(from); i++) {
        if (to[i])
            to[i]->users++;
        if (from[i])
            from[i]->users--;
    }
    node->words = state->words;
    node->own = state->own;
    node->how = state->how;
    node->below = state->below;
    node->backing = state->backing;
}

static struct reopening *find_reopening(const GPtrArray *list, const struct machine_node *node)
{
    for (guint i = 0; i < list->len; i++) {
        struct reopening *r = list->pdata[i];
        if (r->node == node)
            return r;
    }
    return NULL;
}

static bool stands_on(const struct machine_node *node, const struct machine_node *other)
{
    for (unsigned depth = 0; node && depth < NODES_MOST; depth++, node = node->below)
        if (node == other || (node->backing && stands_on(node->backing, other)))
            return true;
    return false;
}

static bool refuse_change(GError **error, const char *key)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "Cannot change the option '%s'", key);
    return false;
}

/* What a node is stays; what a format node stands on may change, if the new one has a name. */
static bool check_change(const struct machine_drive *from, const struct machine_drive *to, GError **error)
{
    if (!g_str_equal(from->driver, to->driver))
        return refuse_change(error, "driver");
    if (from->below && !to->below)
        return refuse_change(error, "file.driver");
    return to->below || g_strcmp0(from->file, to->file) == 0 || refuse_change(error, "filename");
}

/* The node as `words` say it; the others as they are, or are about to be. */
static bool plan_reopening(struct machine *m, const char *name, const char *words, GPtrArray *list,
                           GError **error)
{
    struct machine_node *node = find_node(m, name);
    g_autoptr(GPtrArray) others = g_ptr_array_new();
    if (!node) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Failed to find node with node-name='%s'", name);
        return false;
    }
    for (guint i = 0; i < m->nodes->len; i++) {
        const struct machine_node *other = m->nodes->pdata[i];
        const struct reopening *planned = find_reopening(list, other);
        if (!stands_on(other, node))
            g_ptr_array_add(others, (void *)(planned ? planned->next.words : other->words));
    }
    struct machine_drive *drive = m->config->words->blockdev(words, others, error);
    if (!drive)
        return false;
    if (!check_change(node->words, drive, error) ||
        (drive->inner && !refuse_change(error, "file.node-name"))) {
        machine_drive_free(drive);
        return false;
    }
    struct reopening *r = find_reopening(list, node);
    if (!r) {
        r = g_new0(struct reopening, 1);
        r->node = node;
        r->before = state_of(node);
        g_ptr_array_add(list, r);
    }
    machine_drive_free(r->next.own);
    drive->media = node->words->media;
    r->next = (struct state){drive, drive, drive->block, drive->below ? find_node(m, drive->below) : NULL,
                             drive->backing && *drive->backing ? find_node(m, drive->backing) : NULL};
    return true;
}

/* Those above a node that changes are opened anew with it, and it must be what they need. */
static bool plan_above(struct machine *m, GPtrArray *list, GError **error)
{
    for (guint i = 0; i < list->len; i++) {
        const struct reopening *r = list->pdata[i];
        const struct machine_node *node = r->node;
        bool less = r->next.how.read_only && !node->how.read_only;
        bool writer = node->disk && node->disk->config->media != MACHINE_MEDIA_CD;
        for (guint k = 0; k < m->nodes->len; k++) {
            struct machine_node *above = m->nodes->pdata[k];
            struct reopening *its = find_reopening(list, above);
            if ((its ? its->next.below : above->below) != node)
                continue;
            writer |= !(its ? its->next.how : above->how).read_only;
            if (its)
                continue;
            its = g_new0(struct reopening, 1);
            its->node = above;
            its->before = its->next = state_of(above);
            its->next.own = NULL; /* its words stay */
            if (above->how.cache == node->how.cache)
                its->next.how.cache = r->next.how.cache;
            if (above->how.discard == node->how.discard)
                its->next.how.discard = r->next.how.discard;
            g_ptr_array_add(list, its);
        }
        if (!less || !writer)
            continue;
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "Read-only block node '%s' cannot support read-write users", node->name);
        return false;
    }
    return true;
}

/* Its image by what the node is now; in its drive, if it was in one. */
static bool open_again(struct machine_node *node, GError **error)
{
    bool writes = node->disk && node->disk->config->media != MACHINE_MEDIA_CD && !node->how.read_only;
    struct image *image = node_open_or_less(node, writes, error);
    if (!image)
        return false;
    if (!node->disk) {
        node->image = image;
        return true;
    }
    bool good = !writes || !node->how.read_only;
    if (!good)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_READ_ONLY, "Block node is read-only: %s cannot be written",
                    node->words->file);
    if (good && block_lower(node->disk->block, image, &node->how, error))
        return true;
    block_image_close(image);
    return false;
}

static void close_image(struct reopening *r)
{
    struct machine_node *node = r->node;
    struct image *image = node->disk ? block_lift(node->disk->block) : g_steal_pointer(&node->image);
    if (!r->path && image) {
        r->path = g_strdup(node->words->file);
        r->size = block_image_size(image);
    }
    block_image_close(image);
}

/* The first `count` of them, of which the last one has no image. */
static void undo(const GPtrArray *list, guint count)
{
    for (guint i = 0; i + 1 < count; i++)
        close_image(list->pdata[i]);
    for (guint i = count; i-- > 0;) {
        struct reopening *r = list->pdata[i];
        struct machine_node *node = r->node;
        set_state(node, &r->before);
        if (open_again(node, NULL))
            continue;
        struct image *lost = block_image_lost(r->path, r->size);
        if (!node->disk)
            node->image = lost;
        else
            block_lower(node->disk->block, lost, &node->how, NULL);
    }
}

bool machine_blockdev_reopen(void *opaque, const char *const *names, const char *const *words, GError **error)
{
    struct machine *m = opaque;
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(reopening_free);
    if (!m->config->words || m->config->incoming) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                            "nodes of a machine that was started with -incoming stay as they are");
        return false;
    }
    for (; *words; names++, words++)
        if (!plan_reopening(m, *names, *words, list, error))
            return false;
    if (!plan_above(m, list, error))
        return false;
    for (guint i = 0; i < list->len; i++) {
        struct reopening *r = list->pdata[i];
        struct state next = r->next;
        if (!next.own) /* of one above */
            next.own = r->node->own;
        close_image(r);
        set_state(r->node, &next);
        if (!open_again(r->node, error)) {
            undo(list, i + 1);
            return false;
        }
    }
    for (guint i = 0; i < list->len; i++) { /* the words of before are nobody's now */
        struct reopening *r = list->pdata[i];
        r->next.own = r->next.own ? r->before.own : NULL;
    }
    return true;
}

bool machine_drive_insert(void *opaque, const char *id, const char *name, GError **error)
{
    struct machine *m = opaque;
    struct machine_disk *disk = machine_find_drive(m, id, error);
    struct machine_node *node = find_node(m, name);
    if (!disk)
        return false;
    if (!node)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Node '%s' not found", name);
    else if (node->disk || node->users)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY, "Node '%s' is already in use%s", name,
                    node->users ? ", by a node above it" : "");
    else if (!block_is_removable(disk->block))
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "Device is not removable");
    else if (block_has_tray(disk->block) && !block_tray_open(disk->block))
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_BUSY, "Tray of the device is not open");
    else if (node_put(node, disk, error)) {
        machine_drive_check(m, disk);
        return true;
    }
    return false;
}
