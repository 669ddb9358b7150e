/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Saving into images and loading from them: see snapshots.h.
 *
 * Saving writes the state first, to clusters that no table of the image knows, then takes the snapshot of
 * each image, and deletes those of the same name when all are there. Several images cannot change at one
 * moment: a process killed in between leaves the new snapshot in some and the old one in all. So the ones
 * that belong together are told by name, date and clock, and the newest complete set is the one that is
 * loaded.
 *
 * Loading reads the state twice. First it is checked whole, and tried on the chips, which take their own back
 * afterwards; a machine that it does not fit goes on. Then the images are set back, and it is loaded.
 */
#include "emu/machine/snapshots.h"

#include "emu/dev/pflash.h"
#include "emu/machine/machine_internal.h"
#include "emu/machine/migrate.h"
#include "emu/machine/saved.h"

#include <gio/gio.h>
#include <string.h>

enum { READ_PIECE = 256 << 10 };

/* ---- drives ---- */

static bool is_called(const struct machine_disk *disk, const char *name)
{
    const char *node = disk->node ? machine_node_name(disk->node) : NULL;
    return g_str_equal(block_id(disk->block), name) || !g_strcmp0(node, name) ||
           !g_strcmp0(disk->config->qdev, name);
}

static struct machine_disk *find_called(struct machine *m, const char *name)
{
    for (unsigned i = 0; i < m->drive_count; i++)
        if (is_called(&m->drives[i], name))
            return &m->drives[i];
    return NULL;
}

static bool cannot(const struct machine_disk *disk, GError **error)
{
    g_set_error(
        error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
        "Device '%s' is writable but does not support snapshots: convert its image to qcow2 (qemu-img "
        "convert -O qcow2), or open it with readonly=on, or with snapshot=on when nothing written to it "
        "is to be kept",
        block_id(disk->block));
    return false;
}

static bool add_drive(struct machine_disk *disk, bool named, bool saves, GPtrArray *out, GError **error)
{
    switch (block_snapshot_kind(disk->block)) {
    case BLOCK_SNAPSHOTS_KEPT:
        g_ptr_array_add(out, disk);
        return true;
    case BLOCK_SNAPSHOTS_PASSING:
        if (!saves && !named)
            return true; /* what was written is taken back */
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
            "Device '%s' has snapshot=on, and what the guest has written to it is in this process alone: "
            "commit it first, or use a qcow2 image without snapshot=on",
            block_id(disk->block));
        return false;
    case BLOCK_SNAPSHOTS_NEEDLESS:
        if (!named)
            return true;
        break;
    case BLOCK_SNAPSHOTS_NONE:
        break;
    }
    return cannot(disk, error);
}

/* Those that take part, the one with the state first. NULL: it cannot be. */
static GPtrArray *gather(struct machine *m, const char *state, const char *const *devices, bool saves,
                         GError **error)
{
    g_autoptr(GPtrArray) out = g_ptr_array_new();
    for (unsigned i = 0; i < m->drive_count && !devices; i++)
        if (!add_drive(&m->drives[i], false, saves, out, error))
            return NULL;
    for (; devices && *devices; devices++) {
        struct machine_disk *disk = find_called(m, *devices);
        if (!disk)
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "No block device node '%s'", *devices);
        if (!disk || (!g_ptr_array_find(out, disk, NULL) && !add_drive(disk, true, saves, out, error)))
            return NULL;
    }
    if (!out->len) {
        g_set_error_literal(
            error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
            "No block device supports snapshots: give the machine a drive with a qcow2 image that "
            "is written to (it may be empty: qemu-img create -f qcow2 FILE 1M)");
        return NULL;
    }
    for (guint i = 0; state && i < out->len; i++) {
        struct machine_disk *disk = out->pdata[i];
        if (!is_called(disk, state))
            continue;
        out->pdata[i] = out->pdata[0];
        out->pdata[0] = disk;
        state = NULL;
    }
    if (state) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "vmstate block device '%s' does not exist",
                    state);
        return NULL;
    }
    return g_steal_pointer(&out);
}

static struct block *drive(const GPtrArray *drives, guint i)
{
    return ((struct machine_disk *)drives->pdata[i])->block;
}

/* The one that was taken together with `of`. */
static const struct block_snapshot *find_sibling(struct block *b, const struct block_snapshot *of)
{
    for (unsigned i = block_snapshot_count(b); i-- > 0;) {
        const struct block_snapshot *s = block_snapshot_get(b, i);
        if (g_str_equal(s->name, of->name) && s->date == of->date && s->date_ns == of->date_ns &&
            s->clock_ns == of->clock_ns)
            return s;
    }
    return NULL;
}

static bool is_complete(const GPtrArray *drives, const struct block_snapshot *of)
{
    for (guint i = 0; i < drives->len; i++)
        if (!find_sibling(drive(drives, i), of))
            return false;
    return true;
}

/* The newest of the first drive that is in all of them; by name, or else by id. */
static const struct block_snapshot *find_complete(const GPtrArray *drives, const char *tag)
{
    struct block *first = drive(drives, 0);
    for (int by_id = 0; by_id < 2; by_id++)
        for (unsigned i = block_snapshot_count(first); i-- > 0;) {
            const struct block_snapshot *s = block_snapshot_get(first, i);
            if (g_str_equal(by_id ? s->id : s->name, tag) && is_complete(drives, s))
                return s;
        }
    return NULL;
}

static bool may_begin(struct machine *m, GError **error)
{
    if (machine_is_moving(m, error))
        return false;
    for (unsigned i = 0; i < m->drive_count; i++) {
        if (block_is_active(m->drives[i].block))
            continue;
        g_set_error_literal(
            error, G_IO_ERROR, G_IO_ERROR_BUSY,
            "the machine has let go of its images after it was saved (postmigrate): cont first");
        return false;
    }
    return true;
}

/* ---- saving ---- */

static bool write_state(struct machine *m, struct block *b, bool ran, GError **error)
{
    struct saved_writer *writer = saved_writer_new(m, ran, error);
    g_autoptr(GByteArray) part = g_byte_array_new();
    bool good = writer != NULL;
    while (good && saved_writer_next(writer, part)) {
        good = block_state_write(b, part->data, part->len, error);
        g_byte_array_set_size(part, 0);
    }
    saved_writer_free(writer);
    return good;
}

static bool take_all(GPtrArray *drives, const struct block_snapshot *what, GError **error)
{
    for (guint i = 0; i < drives->len; i++) {
        g_autofree char *id = NULL;
        if (block_snapshot_take(drive(drives, i), what, &id, error))
            continue;
        while (i-- > 0) { /* all or none */
            const struct block_snapshot *s = find_sibling(drive(drives, i), what);
            g_autoptr(GError) ignored = NULL;
            g_autofree char *taken = s ? g_strdup(s->id) : NULL;
            if (taken && !block_snapshot_remove(drive(drives, i), taken, &ignored))
                g_warning("%s", ignored->message);
        }
        return false;
    }
    return true;
}

/* All of that name, but for `but`. */
static bool delete_named(struct block *b, const char *name, const struct block_snapshot *but, unsigned *count,
                         GError **error)
{
    for (unsigned i = 0; i < block_snapshot_count(b);) {
        const struct block_snapshot *s = block_snapshot_get(b, i);
        if (!g_str_equal(s->name, name) || (but && find_sibling(b, but) == s)) {
            i++;
            continue;
        }
        g_autofree char *id = g_strdup(s->id);
        if (!block_snapshot_remove(b, id, error))
            return false;
        ++*count;
    }
    return true;
}

static void go_on(struct machine *m, enum control_status before)
{
    g_autoptr(GError) error = NULL;
    m->status = before == CONTROL_RUNNING ? CONTROL_PAUSED : before;
    if (before == CONTROL_RUNNING && !machine_cont(m, &error))
        g_warning("%s", error->message);
}

bool machine_snapshot_save(void *opaque, const char *tag, const char *state, const char *const *devices,
                           bool replace, GError **error)
{
    struct machine *m = opaque;
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *made_up = tag && *tag ? g_strdup(tag) : g_date_time_format(now, "vm-%Y%m%d%H%M%S");
    if (m->status == CONTROL_INTERNAL_ERROR) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                            "Resetting the Virtual Machine is required");
        return false;
    }
    g_autoptr(GPtrArray) drives = may_begin(m, error) ? gather(m, state, devices, true, error) : NULL;
    if (!drives)
        return false;
    for (guint i = 0; i < drives->len && !replace; i++) {
        if (!block_snapshot_find(drive(drives, i), made_up, NULL))
            continue;
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    "Snapshot '%s' already exists in one or more devices", made_up);
        return false;
    }
    enum control_status before = m->status;
    machine_stop(m, CONTROL_SAVE_VM);
    gint64 date = g_get_real_time();
    struct block_snapshot what = {.name = made_up,
                                  .date = date / G_USEC_PER_SEC,
                                  .date_ns = (uint32_t)(date % G_USEC_PER_SEC * 1000),
                                  .clock_ns = (uint64_t)clock_now(m->clock),
                                  .icount = m->icount ? cpu_icount(m->cpu) : UINT64_MAX};
    bool good =
        write_state(m, drive(drives, 0), before == CONTROL_RUNNING, error) && take_all(drives, &what, error);
    if (!good)
        block_state_drop(drive(drives, 0));
    unsigned count = 0;
    for (guint i = 0; i < drives->len && good && replace; i++)
        if (!(good = delete_named(drive(drives, i), made_up, &what, &count, error)))
            g_prefix_error(error, "the snapshot was saved, but an older one of that name is still there: ");
    go_on(m, before);
    trace(LOOP, "snapshot %s: %s", made_up, good ? "saved" : "failed");
    return good;
}

/* ---- loading ---- */

static bool read_state(struct machine *m, struct block *b, const struct block_snapshot *s,
                       enum saved_mode mode, bool *began, GError **error)
{
    struct saved_loader *loader = saved_loader_new(m, mode);
    g_autofree uint8_t *piece = g_malloc(READ_PIECE);
    g_autofree char *id = g_strdup(s->id);
    uint64_t size = s->state_size, at = 0;
    bool good = true, ran;
    while (good && at < size && !saved_loader_ended(loader)) {
        size_t len = (size_t)MIN((uint64_t)READ_PIECE, size - at);
        good = block_state_read(b, id, at, piece, len, error) && saved_loader_feed(loader, piece, len, error);
        at += len;
    }
    good = good && saved_loader_finish(loader, &ran, error);
    *began = saved_loader_began(loader);
    saved_loader_free(loader);
    return good;
}

/* *began: something of the machine is different already. */
static bool set_back(struct machine *m, GPtrArray *drives, const struct block_snapshot *s, bool *began,
                     GError **error)
{
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < drives->len; i++)
        g_ptr_array_add(ids, g_strdup(find_sibling(drive(drives, i), s)->id));
    for (guint i = 0; i < drives->len; i++) {
        if (!block_snapshot_apply(drive(drives, i), ids->pdata[i], error))
            return false;
        *began = true;
    }
    for (unsigned i = 0; i < m->drive_count; i++) {
        struct machine_disk *disk = &m->drives[i];
        if (block_snapshot_kind(disk->block) == BLOCK_SNAPSHOTS_PASSING)
            block_forget_passing_writes(disk->block);
        if (disk->flash && block_snapshot_kind(disk->block) == BLOCK_SNAPSHOTS_KEPT &&
            !pflash_read_again(disk->flash, error))
            return false;
    }
    return true;
}

static bool load(struct machine *m, GPtrArray *drives, const struct block_snapshot *s, bool *began,
                 GError **error)
{
    struct block *first = drive(drives, 0);
    bool none, memory = false;
    g_autofree char *id = g_strdup(s->id);
    for (unsigned i = 0; i < m->drive_count; i++)
        block_settle(m->drives[i].block);
    if (!read_state(m, first, s, SAVED_TRY, &none, error) || !set_back(m, drives, s, began, error))
        return false;
    s = block_snapshot_find(first, NULL, id);
    *began = true;
    return read_state(m, first, s, SAVED_LOAD, &memory, error);
}

bool machine_snapshot_load(void *opaque, const char *tag, const char *state, const char *const *devices,
                           GError **error)
{
    struct machine *m = opaque;
    g_autoptr(GPtrArray) drives = may_begin(m, error) ? gather(m, state, devices, false, error) : NULL;
    bool began = false;
    if (!drives)
        return false;
    const struct block_snapshot *s = find_complete(drives, tag);
    for (guint i = 0; i < drives->len && !s; i++) {
        if (i + 1 < drives->len && (block_snapshot_find(drive(drives, i), tag, NULL) ||
                                    block_snapshot_find(drive(drives, i), NULL, tag)))
            continue;
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "Device '%s' does not have the requested snapshot '%s' (see info snapshots)",
                    block_id(drive(drives, i)), tag);
        return false;
    }
    if (!s->state_size) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
            "Snapshot '%s' is of the disk alone, without a machine: revert to it offline (qemu-img snapshot "
            "-a)",
            tag);
        return false;
    }
    enum control_status before = m->status;
    machine_stop(m, CONTROL_RESTORE_VM);
    bool good = load(m, drives, s, &began, error);
    if (good || !began) {
        if (good && before != CONTROL_RUNNING && before != CONTROL_PRELAUNCH)
            before = CONTROL_PAUSED;
        go_on(m, before);
    } else {
        m->status = CONTROL_INTERNAL_ERROR;
        g_prefix_error(
            error, "loading was not finished, and the machine cannot go on (load a snapshot, or reset it): ");
    }
    trace(LOOP, "snapshot %s: %s", tag, good ? "loaded" : "not loaded");
    return good;
}

bool machine_loadvm_build(struct machine *m, GError **error)
{
    if (!m->config->loadvm || machine_snapshot_load(m, m->config->loadvm, NULL, NULL, error))
        return true;
    g_prefix_error(error, "-loadvm %s: ", m->config->loadvm);
    return false;
}

/* ---- deleting, and looking ---- */

bool machine_snapshot_delete(void *opaque, const char *tag, const char *const *devices, GError **error)
{
    struct machine *m = opaque;
    g_autoptr(GPtrArray) drives = may_begin(m, error) ? gather(m, NULL, devices, false, error) : NULL;
    unsigned count = 0;
    if (!drives)
        return false;
    bool named = false;
    for (guint i = 0; i < drives->len; i++)
        named |= block_snapshot_find(drive(drives, i), tag, NULL) != NULL;
    const struct block_snapshot *s = named ? NULL : block_snapshot_find(drive(drives, 0), NULL, tag);
    g_autofree char *name = g_strdup(s ? s->name : tag);
    for (guint i = 0; i < drives->len; i++)
        if (!delete_named(drive(drives, i), name, NULL, &count, error))
            return false;
    if (!count)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "no drive has a snapshot '%s' (see info snapshots)", tag);
    return count;
}

bool machine_snapshot_get(void *opaque, const char *name, unsigned index, const struct block_snapshot **out,
                          bool *whole)
{
    struct machine *m = opaque;
    struct machine_disk *disk = find_called(m, name);
    if (!disk || index >= block_snapshot_count(disk->block))
        return false;
    *out = block_snapshot_get(disk->block, index);
    g_autoptr(GError) ignored = NULL;
    g_autoptr(GPtrArray) drives = gather(m, NULL, NULL, false, &ignored);
    const struct block_snapshot *s = drives ? find_sibling(drive(drives, 0), *out) : NULL;
    *whole = s && s->state_size && is_complete(drives, *out);
    return true;
}

static struct machine_disk *find_one(struct machine *m, const char *device, GError **error)
{
    struct machine_disk *disk = may_begin(m, error) ? find_called(m, device) : NULL;
    if (!disk && !(error && *error))
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "Cannot find device='%s' nor node-name='%s'",
                    device, device);
    if (!disk || block_snapshot_kind(disk->block) == BLOCK_SNAPSHOTS_KEPT)
        return disk;
    if (!block_has_medium(disk->block))
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "Device '%s' has no medium", device);
    else if (block_read_only(disk->block))
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_READ_ONLY, "Device '%s' is read only", device);
    else
        cannot(disk, error);
    return NULL;
}

bool machine_snapshot_disk(void *opaque, const char *device, const char *name, GError **error)
{
    struct machine *m = opaque;
    struct machine_disk *disk = find_one(m, device, error);
    g_autofree char *id = NULL;
    gint64 date = g_get_real_time();
    if (!disk)
        return false;
    if (!*name || block_snapshot_find(disk->block, name, NULL)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    *name ? "Snapshot with name '%s' already exists on device '%s'" : "Name is empty%s%s",
                    name, *name ? device : "");
        return false;
    }
    struct block_snapshot what = {.name = (char *)name,
                                  .date = date / G_USEC_PER_SEC,
                                  .date_ns = (uint32_t)(date % G_USEC_PER_SEC * 1000),
                                  .clock_ns = (uint64_t)clock_now(m->clock),
                                  .icount = m->icount ? cpu_icount(m->cpu) : UINT64_MAX};
    return block_snapshot_take(disk->block, &what, &id, error);
}

bool machine_snapshot_disk_delete(void *opaque, const char *device, const char *id, const char *name,
                                  void (*gone)(void *opaque, const struct block_snapshot *snapshot),
                                  void *gone_opaque, GError **error)
{
    struct machine_disk *disk = find_one(opaque, device, error);
    if (!disk)
        return false;
    if (!id && !name) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Name or id must be provided");
        return false;
    }
    const struct block_snapshot *s = block_snapshot_find(disk->block, name, id);
    if (!s) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "Snapshot with id '%s' and name '%s' does not exist on device '%s'", id ? id : "null",
                    name ? name : "null", device);
        return false;
    }
    struct block_snapshot was = *s;
    g_autofree char *was_id = was.id = g_strdup(s->id), *was_name = was.name = g_strdup(s->name);
    if (!block_snapshot_remove(disk->block, was_id, error))
        return false;
    gone(gone_opaque, &was);
    return true;
}
