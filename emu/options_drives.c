/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Handlers of the options about disks, CDs and floppies.
 *
 * -hda FILE and its like are -drive with the place filled in. Places are given out when all is read
 * (options_finish_drives): first those that were named, then the first free one for each drive that has none.
 * A drive with if=none stands aside until a -device takes it.
 */
#include "emu/options_internal.h"

#include <gio/gio.h>
#include <string.h>

enum { IDE_PLACES = 4, CD_PLACE = 2 };

#define LATER(key_, help_)                                                                                   \
    {                                                                                                        \
        key_, KEYVAL_LATER, .help = help_                                                                    \
    }
#define LIMIT(key_, help_)                                                                                   \
    {                                                                                                        \
        key_, KEYVAL_NUMBER, .help = help_                                                                   \
    }
/* A limit by its old word and by its new one, its burst and how long that lasts. */
#define LIMITS(old_, new_, what_)                                                                            \
    LIMIT(old_, what_), LIMIT("throttling." new_, "the same"), LIMIT(old_ "_max", "bursts of it"),           \
        LIMIT("throttling." new_ "-max", "the same"), LIMIT(old_ "_max_length", "seconds of a burst"),       \
        LIMIT("throttling." new_ "-max-length", "the same")

static const struct keyval_row drive_rows[] = {
    {"file", KEYVAL_STRING, .help = "image file or block device; empty or none: nothing in the drive"},
    {"format", KEYVAL_CHOICE, "raw|qcow2", "of the image; by its first bytes unless given"},
    {"if", KEYVAL_CHOICE, "ide|floppy|pflash|none|scsi|virtio|sd|mtd",
     "ide (the default), floppy, pflash (the firmware's flash chips), or none"},
    {"media", KEYVAL_CHOICE, "disk|cdrom", "what it is a medium of"},
    {"index", KEYVAL_NUMBER, .help = "place: 0 to 3 for ide, 0 and 1 for floppy and pflash", .max = 255},
    {"bus", KEYVAL_NUMBER, .help = "IDE channel, 0 or 1", .max = 255},
    {"unit", KEYVAL_NUMBER, .help = "0 master, 1 slave; floppy and pflash: 0 or 1", .max = 255},
    {"id", KEYVAL_NAME, .help = "its name; ide0-hd0 and so on unless given"},
    {"snapshot", KEYVAL_BOOL, .help = "what is written is gone at the end"},
    {"readonly", KEYVAL_BOOL, .help = "the guest must not write"},
    {"read-only", KEYVAL_BOOL, .help = "the same"},
    {"cache", KEYVAL_CHOICE, "none|writeback|writethrough|directsync|unsafe", "writeback unless given"},
    {"werror", KEYVAL_CHOICE, "report|stop|ignore|enospc", "when the host cannot write; enospc unless given"},
    {"rerror", KEYVAL_CHOICE, "report|stop|ignore", "when the host cannot read; report unless given"},
    {"discard", KEYVAL_CHOICE, "ignore|off|unmap|on", "what becomes of a guest's discards"},
    {"serial", KEYVAL_STRING, .help = "serial number the guest sees, at most 20 characters"},
    {"aio", KEYVAL_CHOICE, "threads|native|io_uring"},
    {"detect-zeroes", KEYVAL_CHOICE, "off|on|unmap", "zeros that are written become room not used"},
    {"copy-on-read", KEYVAL_BOOL, .help = "what is read from the backing file is kept in the image"},
    {"locking", KEYVAL_CHOICE, "auto|on"},
    {"file.locking", KEYVAL_CHOICE, "auto|on"},
    {"cyls", KEYVAL_NUMBER, .help = "geometry of a hard disk, with heads= and secs=", .min = 1, .max = 65535},
    {"heads", KEYVAL_NUMBER, .help = "1 to 16", .min = 1, .max = 16},
    {"secs", KEYVAL_NUMBER, .help = "of a track, 1 to 255", .min = 1, .max = 255},
    {"trans", KEYVAL_CHOICE, "none|lba|large|rechs|auto", "how the firmware translates the geometry"},
    LATER("addr", "it places a virtio disk; leave it out with if=ide"),
    LIMITS("bps", "bps-total", "bytes a second"),
    LIMITS("bps_rd", "bps-read", "bytes read a second"),
    LIMITS("bps_wr", "bps-write", "bytes written a second"),
    LIMITS("iops", "iops-total", "requests a second"),
    LIMITS("iops_rd", "iops-read", "reads a second"),
    LIMITS("iops_wr", "iops-write", "writes a second"),
    {"iops_size", KEYVAL_NUMBER, .help = "a request counts once for each so many bytes"},
    {"throttling.iops-size", KEYVAL_NUMBER, .help = "the same"},
    {"group", KEYVAL_NAME, .help = "drives that share their limits"},
    {"throttling.group", KEYVAL_NAME, .help = "the same"},
};
const struct keyval_table option_drive_table = {"", drive_rows, G_N_ELEMENTS(drive_rows), "file"};

const struct keyval_row option_ide_rows[OPTION_IDE_ROWS] = {
    {"driver", KEYVAL_STRING},
    {"drive", KEYVAL_NAME, .help = "id of the -drive with if=none it is made of"},
    {"bus", KEYVAL_CHOICE, "ide.0|ide.1", "channel; the first with a free place unless given"},
    {"unit", KEYVAL_NUMBER, .help = "0 master, 1 slave", .max = 1},
    {"id", KEYVAL_NAME, .help = "accepted; the drive keeps its own id"},
    {"bootindex", KEYVAL_NUMBER, .help = "the firmware tries the lowest first", .max = INT32_MAX},
    {"serial", KEYVAL_STRING, .help = "serial number the guest sees, at most 20 characters"},
    {"ver", KEYVAL_STRING, .help = "firmware version the guest sees, at most 8 characters"},
    {"model", KEYVAL_STRING, .help = "model the guest sees, at most 40 characters"},
    {"write-cache", KEYVAL_CHOICE, "on|off|auto", "off: the guest finds the disk's write cache off"},
    {"werror", KEYVAL_CHOICE, "report|stop|ignore|enospc|auto", "as of -drive"},
    {"rerror", KEYVAL_CHOICE, "report|stop|ignore|auto", "as of -drive"},
    {"physical_block_size", KEYVAL_SIZE, .help = "bytes, a power of two from 512 on", .max = 1 << 20},
    {"logical_block_size", KEYVAL_NUMBER, .help = "512, as of every IDE disk", .min = 512, .max = 512},
    {"wwn", KEYVAL_NUMBER, .help = "world wide name the guest sees"},
    {"rotation_rate", KEYVAL_NUMBER, .help = "turns a minute; 1: a solid state disk", .max = 65534},
    {"discard_granularity", KEYVAL_SIZE, .help = "0: no TRIM"},
    {"cyls", KEYVAL_NUMBER, .help = "geometry, with heads= and secs=", .min = 1, .max = 65535},
    {"heads", KEYVAL_NUMBER, .help = "1 to 16", .min = 1, .max = 16},
    {"secs", KEYVAL_NUMBER, .help = "of a track, 1 to 255", .min = 1, .max = 255},
    {"bios-chs-trans", KEYVAL_CHOICE, "none|lba|large|rechs|auto",
     "how the firmware translates the geometry"},
    {"lcyls", KEYVAL_NUMBER, .help = "geometry that INT 13h tells, with lheads= and lsecs=", .min = 1,
     .max = 1024},
    {"lheads", KEYVAL_NUMBER, .help = "1 to 255", .min = 1, .max = 255},
    {"lsecs", KEYVAL_NUMBER, .help = "1 to 63", .min = 1, .max = 63},
    {"min_io_size", KEYVAL_SIZE},
    {"opt_io_size", KEYVAL_SIZE},
    {"share-rw", KEYVAL_CHOICE, "off"},
};
const struct keyval_row option_floppy_rows[OPTION_FLOPPY_ROWS] = {
    {"driver", KEYVAL_STRING},
    {"drive", KEYVAL_NAME, .help = "id of the -drive with if=none it is made of"},
    {"unit", KEYVAL_NUMBER, .help = "0 or 1", .max = 1},
    {"bus", KEYVAL_STRING},
    {"id", KEYVAL_NAME, .help = "accepted; the drive keeps its own id"},
    {"bootindex", KEYVAL_NUMBER, .help = "the firmware tries the lowest first", .max = INT32_MAX},
    {"drive-type", KEYVAL_CHOICE, "144|288|120|auto"},
};

/* ---- single drives ---- */

static struct machine_drive *drive_new(struct options *o, enum machine_bus bus, enum machine_media media)
{
    struct machine_drive *drive = g_new0(struct machine_drive, 1);
    drive->bus = bus;
    drive->media = media;
    drive->index = drive->bootindex = -1;
    drive->translation = MACHINE_TRANSLATION_AUTO;
    drive->block.on_write_error = BLOCK_ERROR_ENOSPC;
    g_ptr_array_add(o->config->drives, drive);
    return drive;
}

static bool add_file(struct options *o, enum machine_bus bus, enum machine_media media, int index,
                     const char *file, GError **error)
{
    if (!*file)
        return option_fail(error, "needs the name of an image");
    struct machine_drive *drive = drive_new(o, bus, media);
    drive->file = g_strdup(file);
    drive->index = index;
    return true;
}

#define FILE_OPTION(name_, bus_, media_, index_)                                                             \
    bool option_##name_(struct options *o, const char *arg, GError **error)                                  \
    {                                                                                                        \
        return add_file(o, MACHINE_BUS_##bus_, MACHINE_MEDIA_##media_, index_, arg, error);                  \
    }
FILE_OPTION(hda, IDE, DISK, 0)
FILE_OPTION(hdb, IDE, DISK, 1)
FILE_OPTION(hdc, IDE, DISK, 2)
FILE_OPTION(hdd, IDE, DISK, 3)
FILE_OPTION(cdrom, IDE, CD, CD_PLACE)
FILE_OPTION(fda, FLOPPY, DISK, 0)
FILE_OPTION(fdb, FLOPPY, DISK, 1)
FILE_OPTION(pflash, PFLASH, DISK, -1)

static enum block_on_error error_policy(const char *word)
{
    return g_str_equal(word, "stop")     ? BLOCK_ERROR_STOP
           : g_str_equal(word, "ignore") ? BLOCK_ERROR_IGNORE
           : g_str_equal(word, "report") ? BLOCK_ERROR_REPORT
                                         : BLOCK_ERROR_ENOSPC;
}

/* What a drive says about itself: ASCII of a bounded length. */
static bool set_text(char **where, const char *key, const char *text, size_t most, GError **error)
{
    if (!text)
        return true;
    if (strlen(text) > most)
        return option_fail(error, "%s=%s: at most %zu characters", key, text, most);
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            return option_fail(error, "%s=: only ASCII characters that can be printed", key);
    g_free(*where);
    *where = g_strdup(text);
    return true;
}

static bool set_serial(struct machine_drive *drive, const char *serial, GError **error)
{
    return set_text(&drive->serial, "serial", serial, 20, error);
}

static bool parse_translation(const char *word, enum machine_translation *out)
{
    static const char *const names[] = {"none", "lba", "large", "rechs", "auto"};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (!g_str_equal(word, names[i]))
            continue;
        *out = (enum machine_translation)i;
        return true;
    }
    return false;
}

/* Three keys that belong together; `prefix` "l" for the logical geometry. */
static bool set_geometry(struct machine_geometry *out, const struct keyval *kv, const char *prefix,
                         GError **error)
{
    static const char *const words[] = {"cyls", "heads", "secs"};
    uint32_t value[3] = {0};
    unsigned given = 0;
    for (unsigned i = 0; i < 3; i++) {
        g_autofree char *key = g_strconcat(prefix, words[i], NULL);
        given += keyval_has(kv, key);
        value[i] = (uint32_t)keyval_number(kv, key, 0);
    }
    if (given && given < 3)
        return option_fail(error, "%scyls=, %sheads= and %ssecs= belong together: give all three", prefix,
                           prefix, prefix);
    if (given)
        *out = (struct machine_geometry){value[0], value[1], value[2]};
    return true;
}

/* C,H,S[,translation] for the first hard disk. */
bool option_hdachs(struct options *o, const char *arg, GError **error)
{
    g_auto(GStrv) words = g_strsplit(arg, ",", 5);
    static const uint64_t most[] = {65535, 16, 255};
    static const char *const names[] = {"cylinders", "heads", "sectors"};
    uint64_t value[3];
    unsigned count = g_strv_length(words);
    if (count < 3 || count > 4)
        return option_fail(error, "write cylinders,heads,sectors and maybe a translation, as 1024,16,63,lba");
    for (unsigned i = 0; i < 3; i++)
        if (!keyval_parse_number(names[i], words[i], 1, most[i], &value[i], error))
            return false;
    o->hdachs_translation = MACHINE_TRANSLATION_AUTO;
    if (count == 4 && !parse_translation(words[3], &o->hdachs_translation))
        return option_fail(error, "'%s' is no translation; there are none, lba, large, rechs and auto",
                           words[3]);
    o->hdachs = (struct machine_geometry){(uint32_t)value[0], (uint32_t)value[1], (uint32_t)value[2]};
    return true;
}

static bool drive_bus(const char *word, enum machine_bus *bus, GError **error)
{
    if (g_str_equal(word, "ide"))
        *bus = MACHINE_BUS_IDE;
    else if (g_str_equal(word, "floppy"))
        *bus = MACHINE_BUS_FLOPPY;
    else if (g_str_equal(word, "pflash"))
        *bus = MACHINE_BUS_PFLASH;
    else if (g_str_equal(word, "none"))
        *bus = MACHINE_BUS_NONE;
    else
        return option_fail(error, "if=%s: QEMU's and not in netlab-emu; use if=ide", word);
    return true;
}

struct bus_places {
    int count;
    const char *name, *all;
};
static const struct bus_places places_of[] = {
    [MACHINE_BUS_IDE] = {IDE_PLACES, "IDE", "IDE has two channels of two drives"},
    [MACHINE_BUS_FLOPPY] = {2, "floppy", "two floppy drives are the most"},
    [MACHINE_BUS_PFLASH] = {MACHINE_FLASH_CHIPS, "pflash", "two flash chips are the most"},
    [MACHINE_BUS_NONE] = {IDE_PLACES, "IDE", "IDE has two channels of two drives"},
};

static bool drive_place(struct machine_drive *drive, const struct keyval *kv, GError **error)
{
    unsigned units = 2, bus = (unsigned)keyval_number(kv, "bus", 0),
             unit = (unsigned)keyval_number(kv, "unit", 0);
    if (keyval_has(kv, "index") && (keyval_has(kv, "bus") || keyval_has(kv, "unit")))
        return option_fail(error, "give index=, or bus= and unit=, not both");
    if (keyval_has(kv, "index"))
        drive->index = (int)keyval_number(kv, "index", 0);
    else if (keyval_has(kv, "unit") && unit >= units)
        return option_fail(error, "unit=%u: there are 0 and 1", unit);
    else if (keyval_has(kv, "bus") || keyval_has(kv, "unit"))
        drive->index = (int)(bus * units + unit);
    if (drive->index >= places_of[drive->bus].count)
        return option_fail(error, "there is no place %d: %s", drive->index, places_of[drive->bus].all);
    return true;
}

static uint64_t either(const struct keyval *kv, const char *one, const char *other)
{
    return keyval_number(kv, one, keyval_number(kv, other, 0));
}

static bool set_limits(struct machine_drive *drive, const struct keyval *kv, GError **error)
{
    static const struct {
        const char *old_name, *new_name;
    } names[BLOCK_LIMITS] = {
        [BLOCK_BPS] = {"bps", "throttling.bps-total"},
        [BLOCK_BPS_READ] = {"bps_rd", "throttling.bps-read"},
        [BLOCK_BPS_WRITE] = {"bps_wr", "throttling.bps-write"},
        [BLOCK_IOPS] = {"iops", "throttling.iops-total"},
        [BLOCK_IOPS_READ] = {"iops_rd", "throttling.iops-read"},
        [BLOCK_IOPS_WRITE] = {"iops_wr", "throttling.iops-write"},
    };
    struct block_limits *l = &drive->limits;
    for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
        g_autofree char *old_max = g_strconcat(names[i].old_name, "_max", NULL);
        g_autofree char *new_max = g_strconcat(names[i].new_name, "-max", NULL);
        g_autofree char *old_length = g_strconcat(old_max, "_length", NULL);
        g_autofree char *new_length = g_strconcat(new_max, "-length", NULL);
        l->rate[i] = either(kv, names[i].old_name, names[i].new_name);
        l->burst[i] = either(kv, old_max, new_max);
        l->seconds[i] = (uint32_t)MIN(either(kv, old_length, new_length), G_MAXUINT32);
    }
    l->io_size = either(kv, "iops_size", "throttling.iops-size");
    drive->throttle_group = g_strdup(keyval_string(kv, "group", keyval_string(kv, "throttling.group", NULL)));
    return block_limits_check(l, error);
}

bool option_drive(struct options *o, const char *arg, GError **error)
{
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        GString *text = g_string_new("Keys of -drive:\n");
        keyval_describe(&option_drive_table, text);
        return option_print(o, text);
    }
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&option_drive_table, arg, error);
    enum machine_bus bus = MACHINE_BUS_IDE;
    if (!kv || !drive_bus(keyval_string(kv, "if", "ide"), &bus, error))
        return false;
    bool cd = g_str_equal(keyval_string(kv, "media", "disk"), "cdrom");
    if (cd && (bus == MACHINE_BUS_FLOPPY || bus == MACHINE_BUS_PFLASH))
        return option_fail(error,
                           "media=cdrom does not go into a floppy drive or a flash chip; leave if= out");
    struct machine_drive *drive = drive_new(o, bus, cd ? MACHINE_MEDIA_CD : MACHINE_MEDIA_DISK);
    const char *file = keyval_string(kv, "file", ""), *format = keyval_string(kv, "format", "");
    const char *cache = keyval_string(kv, "cache", "writeback"),
               *discard = keyval_string(kv, "discard", "ignore");
    drive->file = *file && !g_str_equal(file, "none") ? g_strdup(file) : NULL;
    drive->id = g_strdup(keyval_string(kv, "id", NULL));
    drive->block.format = g_str_equal(format, "raw")     ? BLOCK_FORMAT_RAW
                          : g_str_equal(format, "qcow2") ? BLOCK_FORMAT_QCOW2
                                                         : BLOCK_FORMAT_AUTO;
    for (unsigned i = 0; i < BLOCK_CACHE_COUNT; i++)
        if (g_str_equal(cache, block_cache_names[i]))
            drive->block.cache = (enum block_cache)i;
    if (g_str_has_prefix(file, "json:") && !options_json_file(o, drive, file + strlen("json:"), error))
        return false;
    drive->block.snapshot = keyval_bool(kv, "snapshot", false);
    drive->block.read_only |= keyval_bool(kv, "readonly", keyval_bool(kv, "read-only", false));
    drive->block.discard = g_str_equal(discard, "unmap") || g_str_equal(discard, "on");
    drive->block.on_write_error = error_policy(keyval_string(kv, "werror", "enospc"));
    drive->block.on_read_error = error_policy(keyval_string(kv, "rerror", "report"));
    parse_translation(keyval_string(kv, "trans", "auto"), &drive->translation);
    const char *zeroes = keyval_string(kv, "detect-zeroes", "off");
    drive->block.zeroes = g_str_equal(zeroes, "on")      ? BLOCK_ZEROES_DETECT
                          : g_str_equal(zeroes, "unmap") ? BLOCK_ZEROES_UNMAP
                                                         : BLOCK_ZEROES_WRITE;
    drive->block.copy_on_read = keyval_bool(kv, "copy-on-read", false);
    if (drive->block.zeroes == BLOCK_ZEROES_UNMAP && !drive->block.discard)
        return option_fail(error, "detect-zeroes=unmap needs discard=unmap");
    if (drive->block.copy_on_read && drive->block.read_only)
        return option_fail(error, "copy-on-read=on writes to the image; leave readonly=on out");
    if (!set_limits(drive, kv, error))
        return false;
    if (!set_geometry(&drive->geometry, kv, "", error))
        return false;
    if (drive->geometry.cylinders && (cd || bus == MACHINE_BUS_FLOPPY || bus == MACHINE_BUS_PFLASH))
        return option_fail(error, "cyls=, heads= and secs= are a hard disk's; leave them out");
    return set_serial(drive, keyval_string(kv, "serial", NULL), error) && drive_place(drive, kv, error);
}

/* ---- -device ---- */

static bool set_identity(struct machine_drive *drive, const struct keyval *kv, GError **error)
{
    drive->wwn = keyval_number(kv, "wwn", 0);
    drive->rotation = (uint32_t)keyval_number(kv, "rotation_rate", 0);
    drive->physical = (uint32_t)keyval_number(kv, "physical_block_size", 0);
    drive->no_trim = keyval_has(kv, "discard_granularity") && !keyval_number(kv, "discard_granularity", 0);
    drive->no_write_cache = g_str_equal(keyval_string(kv, "write-cache", "auto"), "off");
    if (keyval_has(kv, "bios-chs-trans"))
        parse_translation(keyval_string(kv, "bios-chs-trans", "auto"), &drive->translation);
    if (drive->physical & (drive->physical - 1) || (drive->physical && drive->physical < BLOCK_SECTOR))
        return option_fail(error, "physical_block_size=%u: is a power of two from 512 on", drive->physical);
    if (drive->media == MACHINE_MEDIA_CD && (keyval_has(kv, "cyls") || keyval_has(kv, "lcyls")))
        return option_fail(error, "a CD has no cylinders; leave cyls= and lcyls= out");
    return set_text(&drive->model, "model", keyval_string(kv, "model", NULL), 40, error) &&
           set_text(&drive->version, "ver", keyval_string(kv, "ver", NULL), 8, error) &&
           set_geometry(&drive->geometry, kv, "", error) && set_geometry(&drive->logical, kv, "l", error) &&
           set_serial(drive, keyval_string(kv, "serial", NULL), error);
}

/* The words of an ide-hd, ide-cd or floppy but for where it is. */
static bool take_words(struct machine_drive *drive, const struct keyval *kv, GError **error)
{
    if (keyval_has(kv, "bootindex"))
        drive->bootindex = (int)keyval_number(kv, "bootindex", 0);
    if (drive->bus == MACHINE_BUS_FLOPPY)
        return true;
    if (keyval_has(kv, "werror") && !g_str_equal(keyval_string(kv, "werror", ""), "auto"))
        drive->block.on_write_error = error_policy(keyval_string(kv, "werror", ""));
    if (keyval_has(kv, "rerror") && !g_str_equal(keyval_string(kv, "rerror", ""), "auto"))
        drive->block.on_read_error = error_policy(keyval_string(kv, "rerror", ""));
    return set_identity(drive, kv, error);
}

static bool take_drive(struct options *o, const struct keyval *kv, enum machine_bus bus,
                       enum machine_media media, int index, GError **error)
{
    const char *id = keyval_string(kv, "drive", NULL);
    struct machine_drive *drive = NULL;
    GPtrArray *drives = o->config->drives;
    for (guint i = 0; id && i < drives->len && !drive; i++) {
        struct machine_drive *other = drives->pdata[i];
        if (other->id && g_str_equal(other->id, id))
            drive = other;
    }
    if (id && !drive)
        return option_fail(error,
                           "drive=%s: there is no -drive with that id; add -drive "
                           "if=none,id=%s,file=…",
                           id, id);
    if (drive && drive->carries)
        return option_fail(error, "drive=%s: that node is below another one; name the one above", id);
    if (drive && (drive->claimed || drive->bus != MACHINE_BUS_NONE))
        return option_fail(error, "drive=%s: is plugged in already; say if=none in its -drive", id);
    if (!drive && media != MACHINE_MEDIA_CD && bus == MACHINE_BUS_IDE)
        return option_fail(error, "drive= is missing: a hard disk needs an image");
    if (!drive)
        drive = drive_new(o, bus, media);
    drive->claimed = true;
    drive->qdev = g_strdup(keyval_string(kv, "id", NULL));
    drive->bus = bus;
    drive->media = media;
    drive->index = index;
    return take_words(drive, kv, error);
}

static bool device_ide(struct options *o, const struct keyval *kv, enum machine_media media, GError **error)
{
    int index = -1;
    if (keyval_has(kv, "bus") || keyval_has(kv, "unit"))
        index =
            2 * g_str_equal(keyval_string(kv, "bus", "ide.0"), "ide.1") + (int)keyval_number(kv, "unit", 0);
    return take_drive(o, kv, MACHINE_BUS_IDE, media, index, error);
}

bool option_device_ide_disk(struct options *o, const struct keyval *kv, GError **error)
{
    return device_ide(o, kv, MACHINE_MEDIA_DISK, error);
}

bool option_device_ide_cd(struct options *o, const struct keyval *kv, GError **error)
{
    return device_ide(o, kv, MACHINE_MEDIA_CD, error);
}

bool option_device_floppy(struct options *o, const struct keyval *kv, GError **error)
{
    int index = keyval_has(kv, "unit") ? (int)keyval_number(kv, "unit", 0) : -1;
    return take_drive(o, kv, MACHINE_BUS_FLOPPY, MACHINE_MEDIA_DISK, index, error);
}

/* What -global says of drives that no -device has made. */
static bool use_globals(struct options *o, struct machine_drive *drive, GError **error)
{
    const char *driver = drive->bus == MACHINE_BUS_FLOPPY   ? "floppy"
                         : drive->media == MACHINE_MEDIA_CD ? "ide-cd"
                                                            : "ide-hd";
    if (!o->globals || drive->claimed || drive->bus == MACHINE_BUS_PFLASH)
        return true;
    KEYVAL_AUTO struct keyval *kv = option_globals(o, driver, error);
    if (!kv)
        return false;
    g_autofree char *own = g_steal_pointer(&drive->serial); /* -drive serial= counts more */
    if (!take_words(drive, kv, error))
        return false;
    if (own) {
        g_free(drive->serial);
        drive->serial = g_steal_pointer(&own);
    }
    return true;
}

/* ---- when all is read ---- */

static struct machine_drive *drive_at(struct options *o, enum machine_bus bus, int index)
{
    for (guint i = 0; i < o->config->drives->len; i++) {
        struct machine_drive *drive = o->config->drives->pdata[i];
        if (drive->bus == bus && drive->index == index)
            return drive;
    }
    return NULL;
}

bool options_has_flash(struct options *o)
{
    return o->flash_chip[0] || drive_at(o, MACHINE_BUS_PFLASH, 0);
}

static bool find_place(struct options *o, struct machine_drive *drive, GError **error)
{
    for (int index = 0; index < places_of[drive->bus].count; index++) {
        if (drive_at(o, drive->bus, index))
            continue;
        drive->index = index;
        return true;
    }
    return option_fail(error, "-drive file=%s: no place is left: %s", drive->file ? drive->file : "",
                       places_of[drive->bus].all);
}

/* Drives and NICs are in one list (bootorder.c). */
static bool check_bootindexes(const struct options *o, GError **error)
{
    const struct machine_config *config = o->config;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_direct_hash, g_direct_equal);
    for (guint i = 0; i < config->drives->len + config->nics->len; i++) {
        int bootindex =
            i < config->drives->len
                ? ((const struct machine_drive *)config->drives->pdata[i])->bootindex
                : ((const struct machine_nic *)config->nics->pdata[i - config->drives->len])->bootindex;
        if (bootindex >= 0 && !g_hash_table_add(seen, GINT_TO_POINTER(bootindex)))
            return option_fail(error, "bootindex=%d is given twice", bootindex);
    }
    return true;
}

static bool name_drive(struct options *o, struct machine_drive *drive, GError **error)
{
    if (!drive->id && drive->bus == MACHINE_BUS_IDE)
        drive->id = g_strdup_printf("ide%d-%s%d", drive->index / 2,
                                    drive->media == MACHINE_MEDIA_CD ? "cd" : "hd", drive->index % 2);
    else if (!drive->id)
        drive->id = g_strdup_printf("%s%d", places_of[drive->bus].name, drive->index);
    for (guint i = 0; i < o->config->drives->len; i++) {
        const struct machine_drive *other = o->config->drives->pdata[i];
        if (other != drive && other->id && g_str_equal(other->id, drive->id))
            return option_fail(error, "-drive id=%s: the id is taken by another drive", drive->id);
    }
    return true;
}

/* -machine pflash0=, pflash1=: the drives named are chips. */
static bool take_chips(struct options *o, GError **error)
{
    for (int unit = 0; unit < MACHINE_FLASH_CHIPS; unit++) {
        const char *id = o->flash_chip[unit];
        struct machine_drive *chip = NULL;
        for (guint i = 0; id && i < o->config->drives->len && !chip; i++) {
            struct machine_drive *drive = o->config->drives->pdata[i];
            if (drive->id && g_str_equal(drive->id, id))
                chip = drive;
        }
        if (id && (!chip || chip->bus != MACHINE_BUS_NONE || chip->carries))
            return option_fail(
                error,
                "-machine pflash%d=%s: there is no -blockdev of that node-name, or -drive with "
                "if=none and that id, which nothing else uses",
                unit, id);
        if (!chip)
            continue;
        chip->bus = MACHINE_BUS_PFLASH;
        chip->index = unit;
        chip->claimed = true;
    }
    return true;
}

static bool check_chips(struct options *o, GError **error)
{
    struct machine_config *config = o->config;
    if (drive_at(o, MACHINE_BUS_PFLASH, 1) && !drive_at(o, MACHINE_BUS_PFLASH, 0))
        return option_fail(error, "pflash unit 1 without unit 0, which the firmware is in; add it, or leave "
                                  "unit=1 out");
    if (!drive_at(o, MACHINE_BUS_PFLASH, 0))
        return true;
    if (config->bios) {
        option_note(o, "-bios %s is not used: the firmware is the one in -pflash", config->bios);
        g_clear_pointer(&config->bios, g_free);
    }
    return true;
}

bool options_finish_drives(struct options *o, GError **error)
{
    struct machine_config *config = o->config;
    GPtrArray *drives = config->drives;
    if (!take_chips(o, error))
        return false;
    for (guint i = 0; i < drives->len; i++) {
        const struct machine_drive *drive = drives->pdata[i];
        if (drive->bus == MACHINE_BUS_NONE || drive->index < 0)
            continue;
        const struct machine_drive *other = drive_at(o, drive->bus, drive->index);
        if (other != drive)
            return option_fail(error,
                               "-drive file=%s: place %d (%s) is taken by file=%s; give it another index=",
                               drive->file ? drive->file : "", drive->index, places_of[drive->bus].name,
                               other->file ? other->file : "");
    }
    for (guint i = 0; i < drives->len; i++) {
        struct machine_drive *drive = drives->pdata[i];
        if (drive->bus != MACHINE_BUS_NONE && drive->index < 0 && !find_place(o, drive, error))
            return false;
    }
    if (!check_chips(o, error))
        return false;
    if (o->hdachs.cylinders) {
        struct machine_drive *first = drive_at(o, MACHINE_BUS_IDE, 0);
        if (!first || first->media != MACHINE_MEDIA_DISK)
            return option_fail(error, "-hdachs: there is no first hard disk; add -hda FILE");
        first->geometry = o->hdachs;
        first->translation = o->hdachs_translation;
    }
    /* An empty CD drive, as QEMU plugs in: something `change` can put a CD into. */
    if (!config->direct && drives->len && !o->nodefaults && !drive_at(o, MACHINE_BUS_IDE, CD_PLACE))
        drive_new(o, MACHINE_BUS_IDE, MACHINE_MEDIA_CD)->index = CD_PLACE;
    for (guint i = 0; i < drives->len; i++) {
        struct machine_drive *drive = drives->pdata[i];
        if (drive->bus == MACHINE_BUS_NONE && drive->carries)
            continue;
        if (drive->bus == MACHINE_BUS_NONE && drive->node) {
            option_note(o, "-blockdev node-name=%s is used by no -device (add -device ide-hd,drive=%s)",
                        drive->id, drive->id);
            continue;
        }
        if (drive->bus == MACHINE_BUS_NONE) {
            option_note(o, "-drive %s=%s has if=none and no -device (add %s-device ide-hd,drive=%s)",
                        drive->id ? "id" : "file",
                        drive->id     ? drive->id
                        : drive->file ? drive->file
                                      : "",
                        drive->id ? "" : "id=ID, and ", drive->id ? drive->id : "ID");
            continue;
        }
        if (!use_globals(o, drive, error) || !name_drive(o, drive, error))
            return false;
        drive->block.snapshot |= o->snapshot;
    }
    return check_bootindexes(o, error);
}
