/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * logfile=: what the guest writes to a character port, kept in a file too, whether somebody is connected or
 * not.
 *
 * A guest must not be able to fill the host's disk, so the file is bounded: when it reaches LOG_MOST bytes,
 * its last LOG_KEEP are moved to its beginning. A full disk costs the log, never the console. Machine thread
 * only.
 */
#include "emu/char/char_internal.h"
#include "emu/fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_MOST = 1 << 20, LOG_KEEP = 256 << 10 };

struct char_log {
    int fd;
    off_t size;
};

struct char_log *char_log_open(const char *path, bool append, GError **error)
{
    int fd = fdset_open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | (append ? 0 : O_TRUNC), 0644);
    if (fd < 0) {
        char_error_errno(error, errno, "logfile=%s cannot be opened", path);
        return NULL;
    }
    struct stat found;
    struct char_log *log = g_new0(struct char_log, 1);
    log->fd = fd;
    log->size = fstat(fd, &found) == 0 ? found.st_size : 0;
    return log;
}

static void shorten(struct char_log *log)
{
    g_autofree char *kept = g_malloc(LOG_KEEP);
    ssize_t got = pread(log->fd, kept, LOG_KEEP, log->size - LOG_KEEP);
    if (got < 0 || ftruncate(log->fd, 0) != 0)
        return;
    ssize_t put = pwrite(log->fd, kept, (size_t)got, 0);
    log->size = put > 0 ? put : 0;
}

void char_log_write(struct char_log *log, const uint8_t *data, size_t len)
{
    while (len) {
        if (log->size >= LOG_MOST)
            shorten(log);
        ssize_t put = pwrite(log->fd, data, MIN(len, LOG_KEEP), log->size);
        if (put <= 0)
            return;
        log->size += put;
        data += put;
        len -= (size_t)put;
    }
}

void char_log_free(struct char_log *log)
{
    if (!log)
        return;
    close(log->fd);
    g_free(log);
}
