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
 */
#include "emu/machine/machine_internal.h"

#include <gio/gio.h>
#include <string.h>

enum { NODES_MOST = 1024, BACKING_MOST = 16 };

struct machine_node {
    char *name;
    const struct machine_drive *words;
    struct machine_drive *own; /* the same when it was added while the machine runs */
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
    struct block_config config = words->block;
    struct block_below chain[BACKING_MOST] = {0};
    const struct block_below **under = &config.below;
    unsigned depth = 0;
    config.id = node->name;
    config.file = words->file;
    config.read_only |=
        words->media == MACHINE_MEDIA_CD || (!is_format(node) && !as_it_is && !words->claimed);
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
    node->image = node_open(node, false, error);
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
    bool writes = !node->words->block.read_only && disk->config->media != MACHINE_MEDIA_CD;
    if (!is_format(node) && writes && block_image_read_only(node->image)) {
        struct image *image = node_open(node, true, error);
        if (!image)
            return false;
        block_image_close(node->image);
        node->image = image;
    }
    if (!block_put(disk->block, node->image, &node->words->block, node_released, node, error))
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
    while (m->nodes->len) /* those above first */
        g_ptr_array_remove_index(m->nodes, m->nodes->len - 1);
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
        .read_only = node->words->block.read_only,
        .cache = block_cache_names[node->words->block.cache],
        .zeroes = zeroes[node->words->block.zeroes],
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
    struct machine_node *node = name_is_free(m, drive->id, error) ? node_new(m, drive, error) : NULL;
    if (!node) {
        machine_drive_free(drive);
        return false;
    }
    node->own = drive;
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
    else if (node->users)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY, "Block device %s is in use", name);
    else
        return g_ptr_array_remove(m->nodes, node);
    return false;
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
