/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Sets of passed descriptors: see fdset.h. One list for all of them, in the order they came.
 */
#include "emu/fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct passed {
    int fd;
    int64_t set;
    char *opaque; /* may be NULL */
};

static const char prefix[] = "/dev/fdset/";
enum { CONTENTS_MOST = 256 << 20 };

static GArray *all; /* struct passed */

static struct passed *at(guint i)
{
    return &g_array_index(all, struct passed, i);
}

static bool has_set(int64_t set)
{
    for (guint i = 0; all && i < all->len; i++)
        if (at(i)->set == set)
            return true;
    return false;
}

bool fdset_add(int fd, int64_t *set, const char *opaque, GError **error)
{
    if (!all)
        all = g_array_new(FALSE, FALSE, sizeof(struct passed));
    if (all->len >= FDSET_DESCRIPTORS_MOST) {
        close(fd);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                    "the sets have %d descriptors already; remove-fd takes some away",
                    FDSET_DESCRIPTORS_MOST);
        return false;
    }
    for (int64_t n = 0; *set < 0; n++)
        if (!has_set(n))
            *set = n;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    struct passed one = {fd, *set, g_strdup(opaque)};
    g_array_append_val(all, one);
    return true;
}

bool fdset_remove(int64_t set, int fd, GError **error)
{
    bool found = false;
    for (guint i = all ? all->len : 0; i-- > 0;) {
        if (at(i)->set != set || (fd >= 0 && at(i)->fd != fd))
            continue;
        close(at(i)->fd);
        g_free(at(i)->opaque);
        g_array_remove_index(all, i);
        found = true;
    }
    if (!found)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "File descriptor named 'fdset-id:%" G_GINT64_FORMAT "%s' not found", set,
                    fd >= 0 ? ", fd" : "");
    return found;
}

void fdset_foreach(void (*each)(void *opaque, int64_t set, int fd, const char *text), void *opaque)
{
    for (guint i = 0; all && i < all->len; i++)
        each(opaque, at(i)->set, at(i)->fd, at(i)->opaque);
}

bool fdset_is_path(const char *path)
{
    return g_str_has_prefix(path, prefix);
}

/* What else there is but regular files has no length. */
static bool empty(int fd)
{
    struct stat st;
    return !fstat(fd, &st) &&
           (!S_ISREG(st.st_mode) || (lseek(fd, 0, SEEK_SET) == 0 && ftruncate(fd, 0) == 0));
}

int fdset_open(const char *path, int flags, mode_t mode)
{
    enum { SETTABLE = O_APPEND | O_NONBLOCK | O_DIRECT };
    guint64 set;
    if (!fdset_is_path(path))
        return open(path, flags, mode);
    if (!g_ascii_string_to_unsigned(path + strlen(prefix), 10, 0, INT64_MAX, &set, NULL) ||
        !has_set((int64_t)set)) {
        errno = ENOENT;
        return -1;
    }
    for (guint i = 0; i < all->len; i++) {
        int now = at(i)->set == (int64_t)set ? fcntl(at(i)->fd, F_GETFL) : -1;
        if (now < 0 || (now & O_ACCMODE) != (flags & O_ACCMODE))
            continue;
        int fd = fcntl(at(i)->fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            return -1;
        int wanted = (now & ~SETTABLE) | (flags & SETTABLE);
        if ((wanted != now && fcntl(fd, F_SETFL, wanted)) || (flags & O_TRUNC && !empty(fd))) {
            int why = errno;
            close(fd);
            errno = why;
            return -1;
        }
        return fd;
    }
    errno = EACCES;
    return -1;
}

bool fdset_get_contents(const char *path, char **data, size_t *len, GError **error)
{
    struct stat st;
    if (!fdset_is_path(path) && (stat(path, &st) || S_ISDIR(st.st_mode)))
        return g_file_get_contents(path, data, len, error); /* its words for what is wrong */
    int fd = fdset_open(path, O_RDONLY | O_CLOEXEC, 0), why = fd < 0 ? errno : 0;
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    uint8_t buffer[65536];
    bool seeks = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    while (!why) {
        ssize_t got = seeks ? pread(fd, buffer, sizeof buffer, bytes->len) : read(fd, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            why = got < 0 ? errno : 0;
            break;
        }
        g_byte_array_append(bytes, buffer, (guint)got);
        if (bytes->len > CONTENTS_MOST)
            why = EFBIG;
    }
    if (fd >= 0)
        close(fd);
    if (why) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why), "%s: %s%s", path, g_strerror(why),
                    why == EFBIG           ? " (at most 256 MiB)"
                    : !fdset_is_path(path) ? ""
                    : why == ENOENT        ? " (-add-fd makes the set)"
                    : why == EACCES        ? " (the set has no descriptor that was opened to be read only)"
                                           : "");
        return false;
    }
    *len = bytes->len;
    g_byte_array_append(bytes, (const uint8_t *)"", 1);
    *data = (char *)g_byte_array_free(g_steal_pointer(&bytes), FALSE);
    return true;
}
