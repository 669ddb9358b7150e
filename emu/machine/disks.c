/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Drives: from the configuration to block devices, the IDE function and what firmware reads about them, and
 * back again for the control room (info block, change, eject).
 *
 * Images are opened while the board is built and before anything outside of the process is touched, so that a
 * wrong name ends the start and nothing else. A drive whose policy is to stop on errors stops the machine
 * here; the request is tried again when the machine goes on.
 */
#include "emu/machine/machine_internal.h"

#include "emu/dev/fdc.h"
#include "emu/dev/ide.h"
#include "emu/dev/pflash.h"

#include <gio/gio.h>
#include <string.h>

enum {
    CMOS_FLOPPY = 0x10,
    CMOS_HARD_DISKS = 0x12,
    CMOS_EQUIPMENT = 0x14,
    CMOS_HARD_DISK_TYPE = 0x19,
    CMOS_HARD_DISK = 0x1b, /* nine bytes a disk */
    CMOS_BOOT3 = 0x38,
    CMOS_BOOT12 = 0x3d,
    CMOS_TRANSLATION = 0x39,
};
enum { LBA_FROM_CYLINDERS = 1024, CYLINDERS_MOST = 16383, HEADS = 16, SECTORS = 63 };
enum { LARGE_TRACKS_MOST = 131072, HARD_DISK_TYPE_FIELDS = 47 };
enum { IDE_SLOT = 1 };

/* ---- discs that were cut short ---- */

void machine_drive_check(struct machine *m, const struct machine_disk *disk)
{
    uint64_t there, claimed;
    if (!block_shortfall(disk->block, &there, &claimed))
        return;
    g_autofree char *text = g_strdup_printf(
        "drive %s: file=%s is cut short: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
        " bytes are there; download it again and compare its checksum (what is missing cannot be read)",
        disk->config->qdev ? disk->config->qdev : disk->config->id, block_path(disk->block), there, claimed);
    if (!control_warn(m->control, text))
        fprintf(stderr, "netlab-emu: warning: %s\n", text);
}

/* ---- errors of the host ---- */

/* The members by which QEMU's events name a drive: one of a -blockdev has no name of its own, but its node's.
 */
static char *event_names(const struct machine *m, const struct block *block)
{
    const struct machine_drive *config = NULL;
    const char *node = NULL;
    for (unsigned i = 0; i < m->drive_count && !config; i++)
        if (m->drives[i].block == block) {
            config = m->drives[i].config;
            node = m->drives[i].node ? machine_node_name(m->drives[i].node) : NULL;
        }
    return g_strdup_printf("\"device\": \"%s\", \"node-name\": \"%s\"",
                           config && config->node ? "" : block_id(block), node ? node : block_id(block));
}

static void drive_failed(void *opaque, struct block *block, bool write, int error, bool stops, bool ignored)
{
    struct machine *m = opaque;
    const char *action = stops ? "stop" : ignored ? "ignore" : "report";
    g_autofree char *names = event_names(m, block);
    g_autofree char *data = g_strdup_printf(
        "%s, \"operation\": \"%s\", \"action\": \"%s\", \"nospace\": %s, \"reason\": \"%s\"", names,
        write ? "write" : "read", action, error == ENOSPC ? "true" : "false", g_strerror(error));
    control_event(m->control, "BLOCK_IO_ERROR", data);
    trace(IDE, "%s: %s: %s (%s)", block_id(block), write ? "writing" : "reading", g_strerror(error), action);
    if (stops)
        machine_stop(m, CONTROL_IO_ERROR);
}

static void tray_moved(void *opaque, struct block *block, bool open)
{
    struct machine *m = opaque;
    const char *device = block_id(block), *id = device;
    for (unsigned i = 0; i < m->drive_count; i++)
        if (m->drives[i].block == block) {
            device = m->drives[i].config->node ? "" : device;
            id = m->drives[i].config->qdev ? m->drives[i].config->qdev : id;
        }
    g_autofree char *data = g_strdup_printf("\"device\": \"%s\", \"id\": \"%s\", \"tray-open\": %s", device,
                                            id, open ? "true" : "false");
    control_event(m->control, "DEVICE_TRAY_MOVED", data);
}

static void image_corrupted(void *opaque, struct block *block, const char *what, uint64_t offset)
{
    struct machine *m = opaque;
    g_autofree char *names = event_names(m, block);
    g_autofree char *data = g_strdup_printf(
        "%s, \"msg\": \"%s\", \"offset\": %" G_GUINT64_FORMAT ", \"fatal\": true", names, what, offset);
    control_event(m->control, "BLOCK_IMAGE_CORRUPTED", data);
    trace(IDE, "%s: %s: %s", block_id(block), block_path(block), what);
}

void machine_disks_retry(struct machine *m)
{
    for (unsigned i = 0; i < m->drive_count; i++)
        block_retry(m->drives[i].block);
}

/* ---- building ---- */

static bool has_limits(const struct block_limits *limits)
{
    for (unsigned i = 0; i < BLOCK_LIMITS; i++)
        if (limits->rate[i])
            return true;
    return false;
}

/* group NULL: its own. Limits of a group that is there already are changed for all in it; none given to a
 * drive that joins by name: those of the group. */
static bool limit_drive(struct machine *m, struct machine_disk *disk, const struct block_limits *limits,
                        const char *group, GError **error)
{
    struct block_throttle *throttle = NULL;
    bool limited = has_limits(limits);
    if (!group && !limited) {
        block_set_throttle(disk->block, NULL);
        return true;
    }
    const char *name = group ? group : block_id(disk->block);
    for (unsigned i = 0; i < m->drive_count && !throttle; i++) {
        struct block_throttle *other = block_get_throttle(m->drives[i].block);
        if (other && g_str_equal(block_throttle_group(other), name))
            throttle = block_throttle_ref(other);
    }
    if (!throttle)
        throttle = block_throttle_new(name, m->clock);
    bool good = !limited || block_throttle_set(throttle, limits, error);
    if (good)
        block_set_throttle(disk->block, throttle);
    block_throttle_unref(throttle);
    return good;
}

static bool open_drive(struct machine *m, const struct machine_drive *drive, GError **error)
{
    bool cd = drive->media == MACHINE_MEDIA_CD;
    struct block_config config = drive->block;
    config.id = drive->node && drive->qdev ? drive->qdev : drive->id;
    config.file = drive->node ? NULL : drive->file;
    config.read_only |= cd;
    config.disc = cd;
    config.inactive = m->config->incoming != NULL;
    struct block *block = block_new(&config, m->loop, error);
    if (!block) {
        g_prefix_error(error, "drive %s: ", drive->id);
        return false;
    }
    if (m->config->icount.on)
        block_set_steady(block, m->clock);
    m->drives[m->drive_count++] = (struct machine_disk){.block = block, .config = drive};
    if (drive->node && !machine_node_plug(m, &m->drives[m->drive_count - 1], error)) {
        g_prefix_error(error, "drive %s: ", drive->id);
        return false;
    }
    machine_drive_check(m, &m->drives[m->drive_count - 1]);
    block_set_error_listener(block, drive_failed, m);
    block_set_tray_listener(block, tray_moved, m);
    block_set_damage_listener(block, image_corrupted, m);
    if (!limit_drive(m, &m->drives[m->drive_count - 1], &drive->limits, drive->throttle_group, error))
        return false;
    if (!drive->file && !cd && drive->bus != MACHINE_BUS_FLOPPY) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "drive %s: %s", drive->id,
                    drive->bus == MACHINE_BUS_IDE
                        ? "a hard disk needs file=; media=cdrom makes a drive that may be empty"
                        : "a flash chip needs file=, the image of its content");
        return false;
    }
    return true;
}

/* ---- geometry ---- */

/* The geometry that who partitioned the disk saw, by the last sectors of its partitions. */
static bool geometry_of_partitions(struct block *block, struct machine_geometry *out)
{
    uint8_t sector[BLOCK_SECTOR];
    if (block_read_now(block, 0, sector, sizeof sector) || sector[510] != 0x55 || sector[511] != 0xaa)
        return false;
    for (const uint8_t *p = sector + 446; p < sector + 510; p += 16) {
        uint32_t heads = p[5] + 1u, sectors = p[6] & 63;
        if (heads == 1 || !sectors || !(p[12] | p[13] | p[14] | p[15]))
            continue;
        uint64_t cylinders = block_size(block) / BLOCK_SECTOR / (heads * sectors);
        if (cylinders < 1 || cylinders > CYLINDERS_MOST)
            continue;
        *out = (struct machine_geometry){(uint32_t)cylinders, heads, sectors};
        return true;
    }
    return false;
}

/* What the disk says of itself and what the firmware makes of it: as given, else by the partition table, else
 * by the size. */
static void settle_geometry(struct machine_disk *disk)
{
    const struct machine_drive *drive = disk->config;
    struct machine_geometry by_size = {.heads = HEADS, .sectors = SECTORS}, seen;
    uint64_t tracks = block_size(disk->block) / BLOCK_SECTOR / (HEADS * SECTORS);
    by_size.cylinders = (uint32_t)CLAMP(tracks, 2, CYLINDERS_MOST);
    disk->geometry = drive->geometry.cylinders ? drive->geometry : by_size;
    disk->translation = drive->translation;
    disk->usual_geometry = false;
    if (drive->geometry.cylinders) {
        if (drive->translation == MACHINE_TRANSLATION_AUTO)
            disk->translation = drive->geometry.cylinders <= LBA_FROM_CYLINDERS ? MACHINE_TRANSLATION_NONE
                                                                                : MACHINE_TRANSLATION_LBA;
        return;
    }
    bool partitioned = geometry_of_partitions(disk->block, &seen);
    disk->usual_geometry = !partitioned || seen.heads > HEADS;
    enum machine_translation found = MACHINE_TRANSLATION_LBA;
    if (partitioned && seen.heads <= HEADS) {
        disk->geometry = seen;
        found = MACHINE_TRANSLATION_NONE;
    } else if (partitioned) {
        found = by_size.cylinders * HEADS <= LARGE_TRACKS_MOST ? MACHINE_TRANSLATION_LARGE
                                                               : MACHINE_TRANSLATION_LBA;
    } else if (by_size.cylinders <= LBA_FROM_CYLINDERS) {
        found = MACHINE_TRANSLATION_NONE;
    }
    if (drive->translation == MACHINE_TRANSLATION_AUTO)
        disk->translation = found;
}

static void identify(struct ide_identity *out, const struct machine_disk *disk)
{
    const struct machine_drive *drive = disk->config;
    g_strlcpy(out->serial, drive->serial ? drive->serial : "", sizeof out->serial);
    g_strlcpy(out->model, drive->model ? drive->model : "", sizeof out->model);
    g_strlcpy(out->version, drive->version ? drive->version : "", sizeof out->version);
    out->wwn = drive->wwn;
    out->rotation = (uint16_t)drive->rotation;
    if (!disk->usual_geometry) {
        out->cylinders = (uint16_t)disk->geometry.cylinders;
        out->heads = (uint8_t)disk->geometry.heads;
        out->sectors = (uint8_t)disk->geometry.sectors;
    }
    while (drive->physical >> out->physical > BLOCK_SECTOR)
        out->physical++;
    out->no_trim = drive->no_trim;
    out->no_write_cache = drive->no_write_cache;
}

static bool build_ide(struct machine *m, GError **error)
{
    struct ide_plug plugs[IDE_CHANNELS][IDE_UNITS] = {0};
    struct irq_line irqs[IDE_CHANNELS] = {gsi_input(m->gsi, 14), gsi_input(m->gsi, 15)};
    for (unsigned i = 0; i < m->drive_count; i++) {
        const struct machine_drive *drive = m->drives[i].config;
        if (drive->bus != MACHINE_BUS_IDE)
            continue;
        struct ide_plug *plug = &plugs[drive->index / IDE_UNITS % IDE_CHANNELS][drive->index % IDE_UNITS];
        plug->kind = drive->media == MACHINE_MEDIA_CD ? IDE_CD : IDE_DISK;
        plug->block = m->drives[i].block;
        if (drive->media == MACHINE_MEDIA_DISK)
            settle_geometry(&m->drives[i]);
        identify(&plug->identity, &m->drives[i]);
    }
    struct ide *ide = ide_new(m->bus, m->io, IDE_SLOT, irqs, plugs, error);
    if (ide && m->config->win2k_hack)
        ide_slow_writes(ide, m->clock);
    if (ide)
        g_ptr_array_add(m->devices, ide);
    return ide != NULL;
}

bool machine_disks_open(struct machine *m, GError **error)
{
    const struct machine_config *config = m->config;
    m->drives = g_new0(struct machine_disk, config->drives->len);
    if (!machine_nodes_open(m, error))
        return false;
    for (guint i = 0; i < config->drives->len; i++) {
        const struct machine_drive *drive = config->drives->pdata[i];
        if (drive->bus != MACHINE_BUS_NONE && !open_drive(m, drive, error))
            return false;
    }
    return true;
}

bool machine_disks_build(struct machine *m, GError **error)
{
    /* A machine started without firmware and without drives is spared the function. */
    if (m->config->direct && !m->drive_count)
        return true;
    return build_ide(m, error);
}

void machine_disks_build_floppy(struct machine *m, struct dma8237 *dma)
{
    struct fdc_wiring wiring = {.irq = gsi_input(m->gsi, 6), .dma = dma, .mem = m->mem};
    uint8_t types = 0;
    bool any = false;
    for (unsigned i = 0; i < m->drive_count; i++) {
        const struct machine_drive *drive = m->drives[i].config;
        if (drive->bus != MACHINE_BUS_FLOPPY)
            continue;
        wiring.drive[drive->index & 1] = m->drives[i].block;
        types |= (uint8_t)(fdc_drive_type(block_size(m->drives[i].block)) << (drive->index & 1 ? 0 : 4));
        any = true;
    }
    if (!any)
        return;
    g_ptr_array_add(m->devices, fdc_new(m->io, &wiring));
    rtc_cmos_write(m->rtc, CMOS_FLOPPY, types);
    uint8_t equipment = rtc_cmos_read(m->rtc, CMOS_EQUIPMENT) & 0x3e;
    rtc_cmos_write(m->rtc, CMOS_EQUIPMENT, (uint8_t)(equipment | 1 | (types & 15 && types >> 4 ? 0x40 : 0)));
}

/* Chips one below the other; the firmware is in the highest. */
bool machine_disks_build_flash(struct machine *m, uint64_t end, GError **error)
{
    for (int unit = 0; unit < MACHINE_FLASH_CHIPS; unit++) {
        struct machine_disk *disk = NULL;
        for (unsigned i = 0; i < m->drive_count && !disk; i++)
            if (m->drives[i].config->bus == MACHINE_BUS_PFLASH && m->drives[i].config->index == unit)
                disk = &m->drives[i];
        if (!disk)
            return true;
        struct pflash *flash = pflash_new(m->mem, block_id(disk->block), end, disk->block, error);
        if (!flash)
            return false;
        machine_keep(m, flash);
        disk->flash = flash;
        end -= pflash_size(flash);
        if (unit)
            continue;
        m->rom = pflash_data(flash);
        m->rom_size = pflash_size(flash);
    }
    return true;
}

void machine_disks_free(struct machine *m)
{
    for (unsigned i = 0; i < m->drive_count; i++)
        block_free(m->drives[i].block);
    g_free(m->drives);
    m->drives = NULL;
    m->drive_count = 0;
    machine_nodes_free(m);
}

/* ---- for firmware ---- */

/* How INT 13h is to translate each IDE disk's geometry, two bits a disk; and the first channel's disks as an
 * AT's firmware had them: type 47 with all of its numbers. */
void machine_disks_tell_cmos(struct machine *m)
{
    uint8_t translation = 0, types = 0;
    for (unsigned i = 0; i < m->drive_count; i++) {
        const struct machine_disk *disk = &m->drives[i];
        const struct machine_drive *drive = disk->config;
        const struct machine_geometry *g = &disk->geometry;
        if (drive->bus != MACHINE_BUS_IDE || drive->media != MACHINE_MEDIA_DISK)
            continue;
        translation |= (uint8_t)(disk->translation << 2 * (drive->index & 3));
        if (drive->index > 1)
            continue;
        const uint8_t numbers[9] = {(uint8_t)g->cylinders,
                                    (uint8_t)(g->cylinders >> 8),
                                    (uint8_t)g->heads,
                                    0xff, /* write precompensation: none */
                                    0xff,
                                    (uint8_t)(0xc0 | (g->heads > 8 ? 8 : 0)),
                                    (uint8_t)g->cylinders, /* landing zone */
                                    (uint8_t)(g->cylinders >> 8),
                                    (uint8_t)g->sectors};
        types |= drive->index ? 0x0f : 0xf0;
        rtc_cmos_write(m->rtc, CMOS_HARD_DISK_TYPE + (unsigned)drive->index, HARD_DISK_TYPE_FIELDS);
        for (unsigned k = 0; k < sizeof numbers; k++)
            rtc_cmos_write(m->rtc, CMOS_HARD_DISK + 9u * (unsigned)drive->index + k, numbers[k]);
    }
    rtc_cmos_write(m->rtc, CMOS_HARD_DISKS, types);
    rtc_cmos_write(m->rtc, CMOS_TRANSLATION, translation);
}

void machine_disks_boot_order(struct machine *m)
{
    const uint8_t *order = m->has_boot_set ? m->boot_set : m->config->boot_order;
    uint8_t low = rtc_cmos_read(m->rtc, CMOS_BOOT3) & 15;
    if (!m->config->boot_once[0] && !m->has_boot_set)
        return;
    rtc_cmos_write(m->rtc, CMOS_BOOT12, (uint8_t)(order[1] << 4 | order[0]));
    rtc_cmos_write(m->rtc, CMOS_BOOT3, (uint8_t)(order[2] << 4 | low));
}

/* lcyls= and its kin: what INT 13h is to say, whatever the disk says. */
bool machine_disks_tell_fwcfg(struct machine *m, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < m->drive_count; i++) {
        const struct machine_drive *drive = m->drives[i].config;
        if (drive->logical.cylinders)
            g_string_append_printf(text, "/pci@i0cf8/ide@1,1/drive@%u/disk@%u %u %u %u\n", drive->index / 2,
                                   drive->index % 2, drive->logical.cylinders, drive->logical.heads,
                                   drive->logical.sectors);
    }
    return !text->len || fwcfg_add_file(m->fwcfg, "bios-geometry", text->str, text->len, error);
}

/* ---- control room ---- */

/* By the id of its -device, its own, or the name of the node in it. A drive that was made by naming a node
 * has that name only while nothing better is there. */
struct machine_disk *machine_find_drive(struct machine *m, const char *id, GError **error)
{
    for (unsigned i = 0; i < m->drive_count; i++) {
        struct machine_disk *disk = &m->drives[i];
        const char *names[] = {disk->config->qdev, disk->node ? machine_node_name(disk->node) : NULL,
                               disk->config->node && disk->config->qdev ? NULL : disk->config->id};
        for (unsigned k = 0; k < G_N_ELEMENTS(names); k++)
            if (names[k] && g_str_equal(names[k], id))
                return disk;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "Device '%s' not found", id);
    return NULL;
}

bool machine_drive_status(void *opaque, unsigned index, struct control_drive *out)
{
    struct machine *m = opaque;
    if (index >= m->drive_count)
        return false;
    const struct block *block = m->drives[index].block;
    const struct block_counters *n = block_counters(block);
    static const char *const zeroes[] = {
        [BLOCK_ZEROES_WRITE] = "off", [BLOCK_ZEROES_DETECT] = "on", [BLOCK_ZEROES_UNMAP] = "unmap"};
    const struct machine_drive *config = m->drives[index].config;
    const struct machine_node *node = m->drives[index].node;
    const char *node_name = node ? machine_node_name(node) : NULL;
    *out = (struct control_drive){
        .id = config->node && node_name      ? node_name
              : config->node && config->qdev ? config->qdev
                                             : block_id(block),
        .qdev = config->node && !config->qdev ? config->id : config->qdev,
        .node = config->node,
        .node_name = node_name,
        .file = block_path(block),
        .format = node ? machine_node_driver(node) : block_format(block),
        .backing = block_backing(block),
        .size = block_size(block),
        .read_only = block_read_only(block),
        .removable = block_is_removable(block),
        .locked = block_tray_locked(block),
        .tray_open = block_tray_open(block),
        .has_tray = block_has_tray(block),
        .cache = block_cache_names[block_cache_mode(block)],
        .reads = n->requests[BLOCK_READ],
        .read_bytes = n->bytes[BLOCK_READ],
        .writes = n->requests[BLOCK_WRITE],
        .write_bytes = n->bytes[BLOCK_WRITE],
        .flushes = n->requests[BLOCK_FLUSH],
        .errors = n->errors[BLOCK_READ] + n->errors[BLOCK_WRITE] + n->errors[BLOCK_FLUSH],
        .zeroes = zeroes[block_zeroes_mode(block)],
        .counters = n,
        .throttle = block_get_throttle(block),
    };
    return true;
}

bool machine_drive_eject(void *opaque, const char *id, bool force, GError **error)
{
    struct machine *m = opaque;
    struct machine_disk *disk = machine_find_drive(m, id, error);
    return disk && block_eject(disk->block, force, error);
}

bool machine_drive_tray(void *opaque, const char *id, enum control_tray what, bool force, GError **error)
{
    struct machine *m = opaque;
    struct machine_disk *disk = machine_find_drive(m, id, error);
    if (!disk)
        return false;
    switch (what) {
    case CONTROL_TRAY_OPEN: { /* of a locked one the guest is asked, and DEVICE_TRAY_MOVED tells */
        g_autoptr(GError) inner = NULL;
        if (block_move_tray(disk->block, true, force, &inner) ||
            g_error_matches(inner, G_IO_ERROR, G_IO_ERROR_PENDING))
            return true;
        g_propagate_error(error, g_steal_pointer(&inner));
        return false;
    }
    case CONTROL_TRAY_CLOSE:
        return block_move_tray(disk->block, false, force, error);
    case CONTROL_TRAY_REMOVE:
        return block_remove(disk->block, error);
    }
    return false;
}

bool machine_drive_resize(void *opaque, const char *id, uint64_t size, GError **error)
{
    struct machine_disk *disk = machine_find_drive(opaque, id, error);
    return disk && block_resize(disk->block, size, error);
}

/* id NULL: every drive that has something to commit. */
bool machine_drive_commit(void *opaque, const char *id, GError **error)
{
    struct machine *m = opaque;
    struct machine_disk *disk = id ? machine_find_drive(m, id, error) : NULL;
    if (id)
        return disk && block_commit(disk->block, error);
    for (unsigned i = 0; i < m->drive_count; i++)
        if (block_backing(m->drives[i].block) && !block_read_only(m->drives[i].block) &&
            !block_commit(m->drives[i].block, error))
            return false;
    return true;
}

bool machine_drive_limit(void *opaque, const char *id, const struct block_limits *limits, const char *group,
                         GError **error)
{
    struct machine_disk *disk = machine_find_drive(opaque, id, error);
    return disk && limit_drive(opaque, disk, limits, group, error);
}

bool machine_drive_change(void *opaque, const char *id, const char *file, const char *format,
                          enum control_access access, bool force, GError **error)
{
    struct machine *m = opaque;
    struct machine_disk *disk = machine_find_drive(m, id, error);
    enum block_format wanted = BLOCK_FORMAT_AUTO;
    if (!disk)
        return false;
    if (format && g_str_equal(format, "raw")) {
        wanted = BLOCK_FORMAT_RAW;
    } else if (format && g_str_equal(format, "qcow2")) {
        wanted = BLOCK_FORMAT_QCOW2;
    } else if (format) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "format '%s': there are raw and qcow2",
                    format);
        return false;
    }
    if (!block_is_removable(disk->block)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "Device '%s' is not removable", id);
        return false;
    }
    bool cd = disk->config->media == MACHINE_MEDIA_CD;
    if (cd && access == CONTROL_ACCESS_WRITE) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "Device '%s' is a CD drive and only reads",
                    id);
        return false;
    }
    bool read_only = cd || access == CONTROL_ACCESS_READ ||
                     (access == CONTROL_ACCESS_RETAIN && disk->config->block.read_only);
    if (block_tray_locked(disk->block) && !block_move_tray(disk->block, true, force, error))
        return false;
    if (!block_insert(disk->block, file, wanted, read_only, error))
        return false;
    machine_drive_check(m, disk);
    return true;
}
