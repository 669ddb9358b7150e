/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See iso9660.h. Sectors of 2048 bytes:
 *
 *   0–15  empty        18, 19  path tables, little- and big-endian (the root alone)
 *   16    volume       20      the root folder, one sector
 *   17    end of the   21…     the files, in the order given
 *         volumes
 *
 * Numbers stand in both byte orders (ECMA-119 7.2.3, 7.3.3). Names on the ISO level are the given ones in
 * capitals with ";1", which is more than level 1 allows and what every reader takes; Rock Ridge (SUSP 1.10,
 * RRIP 1.10) has the real ones: SP and ER in the root's own record, PX and NM in each file's.
 */
#include "netlab/iso9660.h"

#include <gio/gio.h>
#include <string.h>

enum {
    SECTOR = 2048,
    VOLUME = 16,
    END = 17,
    LITTLE_TABLE = 18,
    BIG_TABLE = 19,
    ROOT = 20,
    FIRST_FILE = 21,
    TABLE_SIZE = 10,
    RECORD_FIXED = 33,
    MODE_FILE = 0100444,
    MODE_EXECUTABLE = 0100555,
    MODE_FOLDER = 0040555,
    FLAG_FOLDER = 2,
};

static void put16(guint8 *at, guint16 value) /* both orders */
{
    at[0] = at[3] = (guint8)value;
    at[1] = at[2] = (guint8)(value >> 8);
}

static void put32(guint8 *at, guint32 value) /* both orders */
{
    for (int i = 0; i < 4; i++)
        at[i] = at[7 - i] = (guint8)(value >> 8 * i);
}

static guint32 sectors(gsize size)
{
    return (guint32)((size + SECTOR - 1) / SECTOR);
}

/* ---- records of the folder ---- */

struct entry {
    const char *id; /* "\0", "\1", "USER-DATA;1" */
    gsize id_length;
    guint32 sector, size, mode;
    const char *name; /* Rock Ridge's; NULL: none */
    bool is_root;     /* has SP and ER */
};

/* A field of the system use area; returns what follows it. */
static guint8 *field(guint8 *at, const char signature[2], gsize size)
{
    at[0] = (guint8)signature[0];
    at[1] = (guint8)signature[1];
    at[2] = (guint8)size;
    at[3] = 1; /* version */
    return at + size;
}

static guint8 *put_rock_ridge(guint8 *at, const struct entry *entry)
{
    enum { SP = 7, PX = 36, NM = 5, ER = 8 };
    static const char extension[] = "RRIP_1991A";
    guint8 *here = at;
    if (entry->is_root) {
        at = field(here, "SP", SP);
        here[4] = 0xbe;
        here[5] = 0xef;
        here = at;
    }
    at = field(here, "PX", PX);
    put32(here + 4, entry->mode);
    put32(here + 12, entry->mode & 0040000 ? 2 : 1); /* links; user and group are 0 */
    here = at;
    if (entry->name) {
        at = field(here, "NM", NM + strlen(entry->name));
        memcpy(here + 5, entry->name, strlen(entry->name));
        here = at;
    }
    if (entry->is_root) {
        at = field(here, "ER", ER + strlen(extension));
        here[4] = (guint8)strlen(extension);
        here[7] = 1; /* version of the extension */
        memcpy(here + 8, extension, strlen(extension));
    }
    return at;
}

/* ECMA-119 9.1. Returns its length. */
static gsize put_record(guint8 *at, const struct entry *entry, bool with_rock_ridge)
{
    put32(at + 2, entry->sector);
    put32(at + 10, entry->size);
    at[18] = 70; /* 1 January 1970; month and day count from 1 */
    at[19] = at[20] = 1;
    at[25] = entry->mode & 0040000 ? FLAG_FOLDER : 0;
    put16(at + 28, 1);
    at[32] = (guint8)entry->id_length;
    memcpy(at + RECORD_FIXED, entry->id, entry->id_length);
    guint8 *end = at + RECORD_FIXED + entry->id_length;
    if ((end - at) & 1)
        end++;
    if (with_rock_ridge)
        end = put_rock_ridge(end, entry);
    gsize length = (gsize)(end - at);
    length += length & 1;
    at[0] = (guint8)length;
    return length;
}

static struct entry folder_entry(const char *id)
{
    return (struct entry){.id = id, .id_length = 1, .sector = ROOT, .size = SECTOR, .mode = MODE_FOLDER};
}

/* ---- the volume ---- */

static void put_text(guint8 *at, const char *text, gsize size)
{
    memset(at, ' ', size);
    memcpy(at, text, MIN(strlen(text), size));
}

/* ECMA-119 8.4. */
static void put_volume(guint8 *image, const char *label, guint32 total)
{
    guint8 *v = image + VOLUME * SECTOR;
    static const struct {
        guint16 at, size;
    } texts[] = {{8, 32}, {190, 128}, {318, 128}, {446, 128}, {574, 128}, {702, 37}, {739, 37}, {776, 37}};
    static const guint16 dates[] = {813, 830, 847, 864};
    memcpy(v, "\1CD001\1", 7);
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        put_text(v + texts[i].at, "", texts[i].size);
    put_text(v + 8, "LINUX", 32);
    put_text(v + 40, label, ISO9660_LABEL_MOST);
    put_text(v + 574, "NETLAB", 128);
    put32(v + 80, total);
    put16(v + 120, 1);
    put16(v + 124, 1);
    put16(v + 128, SECTOR);
    put32(v + 132, TABLE_SIZE);
    v[140] = LITTLE_TABLE;
    v[151] = BIG_TABLE;
    struct entry root = folder_entry("\0");
    put_record(v + 156, &root, false);
    for (gsize i = 0; i < G_N_ELEMENTS(dates); i++)
        memset(v + dates[i], '0', 16);
    v[881] = 1;
    memcpy(image + END * SECTOR, "\377CD001\1", 7);
    guint8 *little = image + LITTLE_TABLE * SECTOR, *big = image + BIG_TABLE * SECTOR;
    little[0] = big[0] = 1; /* length of the root's name, which is a NUL */
    little[2] = big[5] = ROOT;
    little[6] = big[7] = 1; /* its own parent */
}

/* ---- what may be written ---- */

static bool fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool fail(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_propagate_error(error, g_error_new_valist(G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, format, args));
    va_end(args);
    return false;
}

static bool check_files(const char *label, const struct iso9660_file *files, size_t count, GError **error)
{
    if (strlen(label) > ISO9660_LABEL_MOST || count > ISO9660_FILES_MOST)
        return fail(error, "a CD with a label of %zu characters and %zu files: there is room for %d and %d",
                    strlen(label), count, ISO9660_LABEL_MOST, ISO9660_FILES_MOST);
    for (size_t i = 0; i < count; i++) {
        gsize length = strlen(files[i].name);
        if (!length || length > ISO9660_NAME_MOST ||
            strspn(files[i].name, "abcdefghijklmnopqrstuvwxyz0123456789-") != length ||
            files[i].size > G_MAXINT32)
            return fail(error, "a file of %zu bytes called \"%s\" does not fit onto a CD", files[i].size,
                        files[i].name);
        for (size_t k = 0; k < i; k++)
            if (g_str_equal(files[k].name, files[i].name))
                return fail(error, "two files called \"%s\" on one CD", files[i].name);
    }
    return true;
}

/* Records come in the order of their names (ECMA-119 9.3). */
static void sort_names(const struct iso9660_file *files, size_t count, size_t order[ISO9660_FILES_MOST])
{
    for (size_t i = 0; i < count; i++) {
        size_t k = i;
        for (; k > 0 && strcmp(files[order[k - 1]].name, files[i].name) > 0; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
}

GBytes *iso9660_write(const char *label, const struct iso9660_file *files, size_t count, GError **error)
{
    if (!check_files(label, files, count, error))
        return NULL;
    guint32 starts[ISO9660_FILES_MOST], total = FIRST_FILE;
    for (size_t i = 0; i < count; i++) {
        starts[i] = total;
        total += sectors(files[i].size);
    }
    guint8 *image = g_malloc0((gsize)total * SECTOR), *at = image + ROOT * SECTOR;
    put_volume(image, label, total);
    struct entry own = folder_entry("\0"), above = folder_entry("\1");
    own.is_root = true;
    at += put_record(at, &own, true);
    at += put_record(at, &above, true);
    size_t order[ISO9660_FILES_MOST];
    sort_names(files, count, order);
    for (size_t n = 0; n < count; n++) {
        const struct iso9660_file *file = &files[order[n]];
        g_autofree char *capitals = g_ascii_strup(file->name, -1), *id = g_strconcat(capitals, ";1", NULL);
        struct entry entry = {.id = id,
                              .id_length = strlen(id),
                              .sector = starts[order[n]],
                              .size = (guint32)file->size,
                              .mode = file->is_executable ? MODE_EXECUTABLE : MODE_FILE,
                              .name = file->name};
        at += put_record(at, &entry, true);
        if (file->size)
            memcpy(image + (gsize)starts[order[n]] * SECTOR, file->data, file->size);
    }
    return g_bytes_new_take(image, (gsize)total * SECTOR);
}
