/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The files images are in: regular files and block devices.
 *
 * Locks are open file description locks (fcntl(2)), gone with the process however it ends, and QEMU's, so
 * that its programs and ours mind each other: what one does with the image is a shared lock on byte 100 + n,
 * what it allows no one else on byte 200 + n; n counts from 0: reads, writes, writes the same again, resizes.
 * Both are set first and looked for after that, so of two that come at once at least one sees the other.
 * Readers allow readers; a writer allows nobody else. O_DIRECT needs alignment that differs from one file
 * system to the next; where it is refused (tmpfs) or an access turns out not to be aligned, the flag is
 * dropped and the page cache used: slower is better than failing.
 *
 * Short reads and writes are continued; a file that shrank underneath reads as zeros, and the caller learns
 * how many bytes were not there.
 */
#include "emu/block/image.h"
#include "emu/fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool file_refuse(GError **error, const char *path, int code, const char *advice)
{
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(code), "%s: %s%s%s", path, g_strerror(code),
                advice ? "; " : "", advice ? advice : "");
    return false;
}

static const char *open_advice(const char *path, int code, bool read_only)
{
    if (fdset_is_path(path) && code == EACCES)
        return read_only
                   ? "the set has no descriptor that was opened to be read only (O_RDONLY)"
                   : "the set has no descriptor that was opened to be read and written (O_RDWR); add one, or "
                     "open it with readonly=on";
    if (fdset_is_path(path) && code == ENOENT)
        return "-add-fd makes the set";
    if (code == EACCES || code == EPERM || code == EROFS)
        return read_only ? "make it readable"
                         : "make it writable, or open it with readonly=on or snapshot=on";
    if (code == EISDIR)
        return "it is a folder; name an image in it";
    size_t scheme = strspn(path, "abcdefghijklmnopqrstuvwxyz0123456789+_");
    if (code == ENOENT && scheme > 1 && path[scheme] == ':')
        return "what is before the ':' is taken for a part of the name; an image is a file or block device "
               "of this host: copy it here, or mount it (nbdfuse, sshfs, qemu-nbd -c)";
    if (code == ENOENT)
        return read_only ? "check the name" : "check the name; truncate -s 1G FILE makes an empty raw image";
    return NULL;
}

static bool file_measure(struct block_file *file, GError **error)
{
    struct stat st;
    if (fstat(file->fd, &st))
        return file_refuse(error, file->path, errno, NULL);
    if (S_ISREG(st.st_mode)) {
        file->size = (uint64_t)st.st_size;
        return true;
    }
    if (S_ISBLK(st.st_mode)) {
        file->is_device = true;
        if (ioctl(file->fd, BLKGETSIZE64, &file->size))
            return file_refuse(error, file->path, errno, "the device tells no size");
        return true;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "%s: is %s; an image is a regular file or a block device", file->path,
                S_ISDIR(st.st_mode) ? "a folder" : "neither file nor block device");
    return false;
}

enum { LOCK_DOES = 100, LOCK_FORBIDS = 200 };
enum { LOCK_READS, LOCK_WRITES, LOCK_WRITES_SAME, LOCK_RESIZES, LOCK_COUNT };

/* Whether locks work in this file system; *taken: someone else holds one that excludes this one. */
static bool lock_byte(struct block_file *file, int op, short type, unsigned at, bool *taken)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    if (fcntl(file->fd, op, &lock) != 0) {
        *taken = errno == EAGAIN || errno == EACCES;
        return *taken;
    }
    *taken = op == F_OFD_GETLK && lock.l_type != F_UNLCK;
    return true;
}

void block_file_unlock(struct block_file *file)
{
    struct flock none = {
        .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = LOCK_DOES, .l_len = LOCK_FORBIDS};
    fcntl(file->fd, F_OFD_SETLK, &none);
    file->locked = false;
}

bool block_file_lock(struct block_file *file, GError **error)
{
    if (file->locked)
        return true;
    file->locked = true;
    unsigned does = 1u << LOCK_READS, forbids = 1u << LOCK_WRITES | 1u << LOCK_RESIZES;
    if (!file->read_only)
        does |= 1u << LOCK_WRITES | 1u << LOCK_RESIZES;
    bool taken = false;
    for (unsigned n = 0; n < LOCK_COUNT && !taken; n++) {
        if ((does >> n & 1 && !lock_byte(file, F_OFD_SETLK, F_RDLCK, LOCK_DOES + n, &taken)) ||
            (!taken && forbids >> n & 1 && !lock_byte(file, F_OFD_SETLK, F_RDLCK, LOCK_FORBIDS + n, &taken)))
            return true; /* a file system without locks */
    }
    for (unsigned n = 0; n < LOCK_COUNT && !taken; n++) {
        if (does >> n & 1)
            lock_byte(file, F_OFD_GETLK, F_WRLCK, LOCK_FORBIDS + n, &taken);
        if (!taken && forbids >> n & 1)
            lock_byte(file, F_OFD_GETLK, F_WRLCK, LOCK_DOES + n, &taken);
    }
    if (!taken)
        return file_measure(file, error);
    block_file_unlock(file);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                "%s: the image is in use by another machine or program%s; end that one, or use "
                "snapshot=on or a copy (or a qcow2 image with this one as backing file)",
                file->path, file->read_only ? " that writes to it" : "");
    return false;
}

struct block_file *block_file_open(const char *path, bool read_only, enum block_cache cache, GError **error)
{
    bool direct = cache == BLOCK_CACHE_NONE || cache == BLOCK_CACHE_DIRECTSYNC;
    int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (read_only ? O_RDONLY : O_RDWR);
    if (cache == BLOCK_CACHE_WRITETHROUGH || cache == BLOCK_CACHE_DIRECTSYNC)
        flags |= O_DSYNC;
    int fd = fdset_open(path, flags | (direct ? O_DIRECT : 0), 0);
    if (fd < 0 && direct && errno == EINVAL) {
        direct = false;
        fd = fdset_open(path, flags, 0);
    }
    if (fd < 0) {
        file_refuse(error, path, errno, open_advice(path, errno, read_only));
        return NULL;
    }
    struct block_file *file = g_new0(struct block_file, 1);
    file->fd = fd;
    file->path = g_strdup(path);
    file->read_only = read_only;
    file->direct = direct;
    file->sync_ignored = cache == BLOCK_CACHE_UNSAFE;
    if (file_measure(file, error))
        return file;
    block_file_close(file);
    return NULL;
}

struct block_file *block_file_temporary(GError **error)
{
    const char *folder = g_getenv("TMPDIR");
    if (!folder || !*folder)
        folder = "/var/tmp"; /* on disk, where /tmp may be memory */
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        g_autofree char *name = g_build_filename(folder, "netlab-snapshot-XXXXXX", NULL);
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            unlink(name);
    }
    if (fd < 0) {
        file_refuse(error, folder, errno, "set TMPDIR to a folder for temporary files");
        return NULL;
    }
    struct block_file *file = g_new0(struct block_file, 1);
    file->fd = fd;
    file->path = g_strdup("(temporary)");
    file->sync_ignored = true;
    return file;
}

void block_file_close(struct block_file *file)
{
    if (!file)
        return;
    if (fdset_is_path(file->path)) /* whoever passed it may keep it open, and the locks with it */
        block_file_unlock(file);
    close(file->fd);
    g_free(file->path);
    g_free(file);
}

/* True: worth trying again without O_DIRECT. */
static bool drop_direct(struct block_file *file)
{
    int flags;
    if (!file->direct || (flags = fcntl(file->fd, F_GETFL)) < 0)
        return false;
    file->direct = false;
    return fcntl(file->fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

int block_file_read(struct block_file *file, uint64_t offset, void *buf, size_t len, size_t *beyond)
{
    uint8_t *to = buf;
    size_t left = len;
    if (offset > INT64_MAX - len)
        return EFBIG;
    while (left) {
        ssize_t got = pread(file->fd, to, left, (off_t)offset);
        if (got < 0) {
            if (errno == EINTR || (errno == EINVAL && drop_direct(file)))
                continue;
            return errno;
        }
        if (got == 0)
            break;
        to += got;
        offset += (uint64_t)got;
        left -= (size_t)got;
    }
    memset(to, 0, left);
    if (beyond)
        *beyond = left;
    return 0;
}

int block_file_write(struct block_file *file, uint64_t offset, const void *buf, size_t len)
{
    const uint8_t *from = buf;
    if (offset > INT64_MAX - len)
        return EFBIG;
    while (len) {
        ssize_t put = pwrite(file->fd, from, len, (off_t)offset);
        if (put < 0) {
            if (errno == EINTR || (errno == EINVAL && drop_direct(file)))
                continue;
            return errno;
        }
        if (put == 0)
            return ENOSPC;
        from += put;
        offset += (uint64_t)put;
        len -= (size_t)put;
    }
    file->size = MAX(file->size, offset);
    return 0;
}

int block_file_sync(struct block_file *file)
{
    if (file->sync_ignored || file->read_only)
        return 0;
    return fdatasync(file->fd) ? errno : 0;
}

int block_file_punch(struct block_file *file, uint64_t offset, uint64_t len)
{
    if (offset > INT64_MAX - len || !len)
        return 0;
    if (fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) == 0)
        return 0;
    return errno == EINTR || errno == EOPNOTSUPP || errno == ENODEV || errno == ENOSYS ? 0 : errno;
}

int block_file_zero(struct block_file *file, uint64_t offset, uint64_t len, bool unmap)
{
    if (offset > INT64_MAX - len || !len)
        return ENOTSUP;
    int mode = unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_ZERO_RANGE;
    if (fallocate(file->fd, mode, (off_t)offset, (off_t)len) == 0)
        return 0;
    return errno == ENOSPC || errno == EIO ? errno : ENOTSUP;
}

int block_file_resize(struct block_file *file, uint64_t size)
{
    if (file->is_device || size > INT64_MAX)
        return ENOTSUP;
    if (ftruncate(file->fd, (off_t)size))
        return errno;
    file->size = size;
    return block_file_sync(file);
}
