/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See disk.h.
 *
 * What a file is, is read from its first bytes and not from its name. A qcow2 image names the one below it,
 * relative to its own folder; with a header extension it says what that one is, else its first bytes do. The
 * walk goes down file by file, each opened once and known by device and inode, so a circle is seen when it
 * closes. Where a file really is, is asked of the opened descriptor, so no link can lead elsewhere after it
 * was looked at.
 */
#include "netlab/disk.h"
#include "netlab/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

G_DEFINE_QUARK(netlab - disk - error - quark, disk_error)

enum {
    SECTOR = 512,
    VOLUME = 0x8000,        /* of an ISO file: sector 16 */
    NAME_MOST = 1023,       /* of a backing file */
    HEADER_MOST = 64 << 10, /* how far extensions are looked through */
    PADDING = 300 << 10,    /* what some writers count and do not write */
    EXTENSION_FORMAT = 0xe2792aca
};

struct open_file {
    int fd;
    struct stat found;
    size_t length; /* of head */
    uint8_t head[HEADER_MOST];
};

void disk_file_free(void *data)
{
    struct disk_file *file = data;
    g_free(file->path);
    g_free(file);
}

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint64_t be64(const uint8_t *at)
{
    return (uint64_t)be32(at) << 32 | be32(at + 4);
}

static bool refuse(GError **error, enum disk_error code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static bool refuse(GError **error, enum disk_error code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_propagate_error(error, g_error_new_valist(DISK_ERROR, code, format, args));
    va_end(args);
    return false;
}

/* Why a file was not opened: `cause` is the errno, EINVAL for what is no regular file. */
static bool refuse_open(const char *path, int cause, GError **error)
{
    struct caller caller;
    struct stat found;
    const char *why = g_strerror(cause);
    if (cause == EINVAL && stat(path, &found) == 0)
        why = S_ISDIR(found.st_mode)   ? "it is a folder; name an image in it"
              : S_ISBLK(found.st_mode) ? "it is a device; copy it to a file first, with dd"
                                       : "it is no regular file; copy it to one first";
    else if (cause == EACCES && caller_find(&caller))
        why = "who called sudo may not read it";
    else if (cause == ENOENT)
        why = "no such file; correct the path (it is relative to the topology file)";
    return refuse(error, DISK_ERROR_FILE, "%s: %s", path, why);
}

static void file_close(struct open_file *file)
{
    if (file && file->fd >= 0)
        close(file->fd);
    g_free(file);
}

static void file_cleanup(struct open_file **file)
{
    file_close(*file);
}
#define FILE_AUTO __attribute__((cleanup(file_cleanup)))

static struct open_file *file_open(const char *path, GError **error)
{
    struct open_file *file = g_new0(struct open_file, 1);
    file->fd = caller_open(path);
    if (file->fd < 0 || fstat(file->fd, &file->found) != 0) {
        refuse_open(path, errno, error);
        file_close(file);
        return NULL;
    }
    ssize_t got = pread(file->fd, file->head, sizeof file->head, 0);
    if (got >= 0) {
        file->length = (size_t)got;
        return file;
    }
    refuse(error, DISK_ERROR_FILE, "%s cannot be read: %s", path, g_strerror(errno));
    file_close(file);
    return NULL;
}

/* ---- what a file is ---- */

/* Formats that are disks elsewhere, or no disks at all. */
static const struct {
    size_t at;
    const char *bytes;
    size_t length;
    const char *what, *advice;
} foreign[] = {
    {0, "KDMV", 4, "a VMDK disk", "qemu-img convert -O qcow2 FILE disk.qcow2 makes a disk of it"},
    {0, "# Disk Descriptor", 17, "a VMDK descriptor",
     "qemu-img convert -O qcow2 FILE disk.qcow2 makes a disk of it"},
    {0x40, "\x7f\x10\xda\xbe", 4, "a VDI disk",
     "qemu-img convert -O qcow2 FILE disk.qcow2 makes a disk of it"},
    {0, "vhdxfile", 8, "a VHDX disk", "qemu-img convert -O qcow2 FILE disk.qcow2 makes a disk of it"},
    {0, "conectix", 8, "a VHD disk", "qemu-img convert -O qcow2 FILE disk.qcow2 makes a disk of it"},
    {0, "QED", 4, "a QED disk", "qemu-img convert -O qcow2 FILE disk.qcow2 makes a disk of it"},
    {0, "\x1f\x8b", 2, "compressed with gzip", "unpack it first: gunzip FILE"},
    {0,
     "\xfd"
     "7zXZ",
     6, "compressed with xz", "unpack it first: unxz FILE"},
    {0, "BZh", 3, "compressed with bzip2", "unpack it first: bunzip2 FILE"},
    {0, "\x28\xb5\x2f\xfd", 4, "compressed with zstd", "unpack it first: unzstd FILE"},
    {0, "PK\x03\x04", 4, "a ZIP archive", "unpack it first: unzip FILE"},
    {0,
     "\x7f"
     "ELF",
     4, "a program (ELF)", "name a disk image"},
};

static bool is_qcow2(const struct open_file *file)
{
    return file->length >= 8 && memcmp(file->head, "QFI\xfb", 4) == 0;
}

static bool is_cd(const struct open_file *file)
{
    const uint8_t *volume = file->head + VOLUME + 1;
    return file->length >= VOLUME + SECTOR &&
           (memcmp(volume, "CD001", 5) == 0 || memcmp(volume, "BEA01", 5) == 0);
}

static bool refuse_foreign(const char *path, const struct open_file *file, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(foreign); i++)
        if (file->length >= foreign[i].at + foreign[i].length &&
            memcmp(file->head + foreign[i].at, foreign[i].bytes, foreign[i].length) == 0)
            return refuse(error, DISK_ERROR_FORMAT, "%s is %s; %s", path, foreign[i].what, foreign[i].advice);
    return true;
}

/* What a guest wrote to the beginning of its own disk is its business (any_content). */
static bool check_raw(const char *path, const struct open_file *file, bool any_content, GError **error)
{
    if (file->found.st_size == 0)
        return refuse(error, DISK_ERROR_FORMAT,
                      "%s is empty (0 bytes); truncate -s 1G %s makes an empty disk of it", path, path);
    if (file->found.st_size < SECTOR)
        return refuse(error, DISK_ERROR_FORMAT,
                      "%s has %d bytes, less than a sector of a disk; see what `file %s` "
                      "says of it",
                      path, (int)file->found.st_size, path);
    if (!any_content && is_cd(file))
        return refuse(error, DISK_ERROR_FORMAT, "%s is the image of a CD; write \"cdrom: …\" instead", path);
    return any_content || refuse_foreign(path, file, error);
}

bool disk_check_cd(const char *path, GError **error)
{
    FILE_AUTO struct open_file *file = file_open(path, error);
    if (!file)
        return false;
    if (is_qcow2(file))
        return refuse(error, DISK_ERROR_FORMAT, "%s is a qcow2 disk and no CD; write \"disk: …\" instead",
                      path);
    if (!is_cd(file))
        return refuse_foreign(path, file, error) &&
               refuse(error, DISK_ERROR_FORMAT,
                      "%s is no image of a CD (ISO 9660 or UDF); see what `file %s` says "
                      "of it",
                      path, path);
    /* ECMA-119 8.4.8, 8.4.12: blocks and their size, little-endian first (emu/block/volume.c is the
     * emulator's). */
    const uint8_t *volume = file->head + VOLUME;
    uint64_t blocks = volume[80] | (uint64_t)volume[81] << 8 | (uint64_t)volume[82] << 16 |
                      (uint64_t)volume[83] << 24,
             block = volume[128] | (uint64_t)volume[129] << 8, has = (uint64_t)file->found.st_size;
    /* Both numbers stand there in the other byte order as well; what does not fit says nothing. */
    bool is_iso = memcmp(volume,
                         "\x01"
                         "CD001",
                         6) == 0 &&
                  blocks == be32(volume + 84) && block == (be32(volume + 128) & 0xffff) &&
                  (block == 512 || block == 1024 || block == 2048);
    if (is_iso && blocks * block > has + PADDING)
        return refuse(error, DISK_ERROR_FORMAT,
                      "%s is cut short: it has %" G_GUINT64_FORMAT " bytes of %" G_GUINT64_FORMAT
                      "; get it again and compare its checksum",
                      path, has, blocks * block);
    return true;
}

/* ---- what is below ---- */

/* "raw" or "qcow2" of the header extension; NULL: not said, or something else. */
static const char *said_format(const struct open_file *file)
{
    uint32_t version = be32(file->head + 4);
    size_t at = version >= 3 && file->length >= 104 ? be32(file->head + 100) : 72;
    while (at + 8 <= file->length) {
        uint32_t type = be32(file->head + at), length = be32(file->head + at + 4);
        if (!type || length > file->length - at - 8)
            return NULL;
        const char *text = (const char *)file->head + at + 8;
        if (type == EXTENSION_FORMAT && length == 5 && memcmp(text, "qcow2", 5) == 0)
            return "qcow2";
        if (type == EXTENSION_FORMAT && length == 3 && memcmp(text, "raw", 3) == 0)
            return "raw";
        at += 8 + ((size_t)length + 7) / 8 * 8;
    }
    return NULL;
}

/* The name of the image below; *name NULL: none. Owned by the caller. */
static bool read_below(const char *path, const struct open_file *file, char **name, GError **error)
{
    *name = NULL;
    if (file->length < 72)
        return refuse(error, DISK_ERROR_FORMAT,
                      "%s is a qcow2 image that ends within its header; get it again", path);
    uint64_t offset = be64(file->head + 8);
    uint32_t version = be32(file->head + 4), length = be32(file->head + 16);
    if (version != 2 && version != 3)
        return refuse(
            error, DISK_ERROR_FORMAT,
            "%s says it is qcow2 of version %u, and there are 2 and 3: its header is damaged; get it again",
            path, version);
    if (!offset)
        return true;
    if (length == 0 || length > NAME_MOST || offset > file->length || length > file->length - offset ||
        memchr(file->head + offset, 0, length))
        return refuse(
            error, DISK_ERROR_FORMAT,
            "%s has a damaged header: the name of its backing file is not within it; see qemu-img check",
            path);
    g_autofree char *text = g_strndup((const char *)file->head + offset, length);
    const char *colon = strchr(text, ':'), *slash = strchr(text, '/');
    if (colon && (!slash || colon < slash)) {
        g_autofree char *shown = g_strescape(text, NULL);
        return refuse(
            error, DISK_ERROR_FORMAT,
            "%s has the backing file \"%s\", which is no file here; make one image of both: qemu-img convert "
            "-O qcow2 %s whole.qcow2",
            path, shown, path);
    }
    g_autofree char *folder = g_path_get_dirname(path);
    *name = g_canonicalize_filename(text, folder);
    return true;
}

/* Where an opened file is. */
static char *real_path(const struct open_file *file)
{
    g_autofree char *proc = g_strdup_printf("/proc/self/fd/%d", file->fd);
    return g_file_read_link(proc, NULL);
}

static bool is_beneath(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (length == 1 || path[length] == '/');
}

static bool is_allowed(const char *path, const char *folder, const char *within)
{
    g_autofree char *real = within ? realpath(within, NULL) : NULL;
    return !within || is_beneath(path, folder) || (real && is_beneath(path, real));
}

static struct disk_file *describe(const char *path, const struct open_file *file, const char *format)
{
    struct disk_file *out = g_new0(struct disk_file, 1);
    out->path = g_strdup(path);
    out->format = format;
    out->device = file->found.st_dev;
    out->inode = file->found.st_ino;
    return out;
}

static bool refuse_circle(GPtrArray *chain, guint from, GError **error)
{
    g_autoptr(GString) names = g_string_new(NULL);
    for (guint i = from; i < chain->len; i++)
        g_string_append_printf(names, "%s → ", ((struct disk_file *)chain->pdata[i])->path);
    const char *first = ((struct disk_file *)chain->pdata[from])->path;
    return refuse(error, DISK_ERROR_FORMAT,
                  "the backing files go round in a circle: %s%s; qemu-img rebase gives one of them another",
                  names->str, first);
}

/* Adds the file, once. */
static bool chain_add(GPtrArray *chain, const char *path, const struct open_file *file, const char *format,
                      GError **error)
{
    for (guint i = 0; i < chain->len; i++) {
        const struct disk_file *other = chain->pdata[i];
        if (other->device == file->found.st_dev && other->inode == file->found.st_ino)
            return refuse_circle(chain, i, error);
    }
    if (chain->len > DISK_DEPTH_MOST)
        return refuse(error, DISK_ERROR_FORMAT,
                      "%s has more than %d backing files below each other; qemu-img convert "
                      "makes one image of all",
                      ((struct disk_file *)chain->pdata[0])->path, DISK_DEPTH_MOST);
    g_ptr_array_add(chain, describe(path, file, format));
    return true;
}

/* One step down. *path and *format are of the file to look at, and become those of the one below it. */
static bool chain_step(GPtrArray *chain, char **path, const char **format, char **folder, const char *within,
                       bool any_content, GError **error)
{
    FILE_AUTO struct open_file *file = file_open(*path, error);
    if (!file) {
        if (chain->len)
            g_prefix_error(error, "%s has a backing file that cannot be used: ",
                           ((struct disk_file *)chain->pdata[chain->len - 1])->path);
        return false;
    }
    g_autofree char *real = real_path(file);
    if (!real)
        return refuse(error, DISK_ERROR_FILE, "%s cannot be found any more; say it again", *path);
    if (!*folder)
        *folder = g_path_get_dirname(real);
    else if (!is_allowed(real, *folder, within))
        return refuse(error, DISK_ERROR_FILE,
                      "%s has the backing file %s, which is neither in the folder of the disk nor in the "
                      "topology's; move "
                      "it there, or make one image of both: qemu-img convert -O qcow2 %s whole.qcow2",
                      ((struct disk_file *)chain->pdata[chain->len - 1])->path, real,
                      ((struct disk_file *)chain->pdata[0])->path);
    const char *is = *format ? *format : is_qcow2(file) ? "qcow2" : "raw";
    g_autofree char *below = NULL;
    if (g_str_equal(is, "qcow2") && !is_qcow2(file))
        return refuse(error, DISK_ERROR_FORMAT,
                      "%s is no qcow2 image, and the one above it says it is; see qemu-img info", *path);
    if (g_str_equal(is, "qcow2") ? !read_below(real, file, &below, error)
                                 : !check_raw(*path, file, any_content && !chain->len, error))
        return false;
    if (!chain_add(chain, chain->len ? real : *path, file, is, error))
        return false;
    *format = below ? said_format(file) : NULL;
    g_free(*path);
    *path = g_steal_pointer(&below);
    return true;
}

GPtrArray *disk_chain(const char *path, const char *within, bool any_content, GError **error)
{
    g_autoptr(GPtrArray) chain = g_ptr_array_new_with_free_func(disk_file_free);
    g_autofree char *next = g_strdup(path), *folder = NULL;
    const char *format = NULL;
    while (next)
        if (!chain_step(chain, &next, &format, &folder, within, any_content, error))
            return NULL;
    return g_steal_pointer(&chain);
}

/* ---- writing ---- */

static int open_as_caller(const char *path, int flags, mode_t mode)
{
    struct caller_scope scope;
    if (!caller_scope_enter(&scope, NULL)) {
        errno = EPERM;
        return -1;
    }
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
    int cause = errno;
    caller_scope_leave(&scope);
    errno = cause;
    return fd;
}

int disk_open_writable(const char *path)
{
    struct stat found;
    int fd = open_as_caller(path, O_RDWR, 0);
    if (fd < 0 || (fstat(fd, &found) == 0 && S_ISREG(found.st_mode)))
        return fd;
    close(fd);
    errno = EINVAL;
    return -1;
}

bool disk_check_writable(const char *path, GError **error)
{
    int fd = disk_open_writable(path), cause = errno;
    g_autofree char *folder = g_path_get_dirname(path);
    if (fd < 0 && cause == ENOENT) {
        fd = open_as_caller(folder, O_TMPFILE | O_RDWR, 0600);
        cause = errno;
        if (fd < 0 && (cause == EOPNOTSUPP || cause == EISDIR))
            return true; /* a file system that does not tell beforehand */
        if (fd < 0)
            return refuse(error, DISK_ERROR_FILE,
                          "%s cannot be made: %s: %s; make the folder, or see to its mode", path, folder,
                          g_strerror(cause));
    }
    if (fd < 0)
        return cause == EACCES || cause == EROFS || cause == EPERM
                   ? refuse(error, DISK_ERROR_FILE,
                            "%s cannot be written to: %s; see to its mode, or leave "
                            "\"persistent\" out",
                            path, g_strerror(cause))
                   : refuse_open(path, cause, error);
    close(fd);
    return true;
}

bool disk_make(const char *path, uint64_t size, GError **error)
{
    struct caller_scope scope;
    if (!caller_scope_enter(&scope, error))
        return false;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644), cause = fd < 0 ? errno : 0;
    if (fd >= 0 && ftruncate(fd, (off_t)size) != 0) {
        cause = errno;
        unlink(path);
    }
    if (fd >= 0)
        close(fd);
    caller_scope_leave(&scope);
    return !cause || cause == EEXIST ||
           refuse(error, DISK_ERROR_FILE, "%s cannot be made: %s; see to its folder", path,
                  g_strerror(cause));
}
