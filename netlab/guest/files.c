/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Files that the host hands over as fw_cfg files: the lab's names, and an archive of what the node has of its
 * own.
 *
 * The archive is entries of "KIND MODE LENGTH PATH\n" and LENGTH bytes; KIND is F (file), D (folder) or L
 * (link, the bytes are its target). Later entries replace earlier ones. An entry that cannot be made is one
 * line on the console, and the next is tried.
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BY_NAME "/sys/firmware/qemu_fw_cfg/by_name/opt/netlab/"
enum { ARCHIVE_MOST = 8 << 20, PATH_MOST = 1200 };

/* Its size stands beside it ("…/size"): that of `raw` is told as 0. */
static char *read_whole(const char *name, size_t *length)
{
    char path[128], number[24] = "";
    snprintf(path, sizeof path, BY_NAME "%s/size", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    ssize_t n = read(fd, number, sizeof number - 1);
    close(fd);
    unsigned long size = n > 0 ? strtoul(number, NULL, 10) : 0;
    snprintf(path, sizeof path, BY_NAME "%s/raw", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    char *data = size <= ARCHIVE_MOST && fd >= 0 ? malloc(size + 1) : NULL;
    size_t got = 0;
    while (data && got < size && n > 0) {
        n = read(fd, data + got, size - got);
        if (n > 0)
            got += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    if (data)
        data[got] = 0;
    *length = got;
    return data;
}

char *files_hosts(size_t *length)
{
    return read_whole("hosts", length);
}

static void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0755);
        *slash = '/';
    }
}

static int make_file(const char *path, unsigned mode, const char *data, size_t length)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int why = 0;
    for (size_t done = 0; done < length && !why;) {
        ssize_t n = write(fd, data + done, length - done);
        if (n < 0)
            why = errno;
        else
            done += (size_t)n;
    }
    if (fchmod(fd, mode) != 0 && !why)
        why = errno;
    close(fd);
    return why;
}

static void make_entry(char kind, unsigned mode, char *path, const char *data, size_t length)
{
    int why = 0;
    make_parents(path);
    if (kind == 'D') {
        if (mkdir(path, mode) != 0 && errno != EEXIST)
            why = errno;
        else if (chmod(path, mode) != 0)
            why = errno;
    } else if (kind == 'L') {
        char target[PATH_MOST];
        snprintf(target, sizeof target, "%.*s", (int)length, data);
        unlink(path);
        why = symlink(target, path) == 0 ? 0 : errno;
    } else {
        why = make_file(path, mode, data, length);
    }
    if (why)
        guest_log("file %s: %s", path, strerror(why));
}

void files_unpack(void)
{
    size_t length = 0;
    char *archive = read_whole("files", &length);
    if (!archive)
        return;
    for (size_t at = 0; at < length;) {
        char kind, path[PATH_MOST];
        unsigned mode;
        unsigned long size;
        int head = 0;
        const char *end = memchr(archive + at, '\n', length - at);
        if (!end || sscanf(archive + at, "%c %o %lu %n", &kind, &mode, &size, &head) != 3 || !head ||
            archive + at + head >= end || (size_t)(end - archive - at) - (size_t)head >= sizeof path ||
            size > length - (size_t)(end + 1 - archive)) {
            guest_log("the files that were handed over end in the middle");
            break;
        }
        snprintf(path, sizeof path, "%.*s", (int)(end - archive - at) - head, archive + at + head);
        make_entry(kind, mode & 07777, path, end + 1, size);
        at = (size_t)(end + 1 - archive) + size;
    }
    free(archive);
}
