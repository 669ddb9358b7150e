/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The lock of a lab; see lock.h.
 */
#include "netlab/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

G_DEFINE_QUARK(netlab - lock - error - quark, lock_error)

static char *describe_holder(int fd)
{
    char text[200];
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    if (length <= 0)
        return g_strdup("another netlab");
    text[length] = '\0';
    return g_strdup(g_strchomp(text));
}

/* Who took it, not who holds it now: an `up` that was killed has left it to its supervisor, who rolls back.
 */
static bool is_taker_alive(const char *holder)
{
    const char *pid = strstr(holder, "(pid ");
    return pid && (kill(atoi(pid + 5), 0) == 0 || errno == EPERM);
}

/* A supervisor that starts a machine again holds it for a moment only. */
static bool is_brief(const char *holder)
{
    return g_str_has_prefix(holder, "`netlab supervise`");
}

static void write_holder(int fd, const char *verb)
{
    struct passwd *user = getpwuid(getuid());
    g_autofree char *text = g_strdup_printf("`netlab %s` (pid %d, user %s)\n", verb, (int)getpid(),
                                            user ? user->pw_name : "unknown");
    /* Only for the message to others: failing to write it does not weaken the lock. */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, strlen(text), 0) < 0)
        g_debug("lock: %s", g_strerror(errno));
}

static bool is_still_there(int fd, const char *path)
{
    struct stat locked, named;
    return fstat(fd, &locked) == 0 && stat(path, &named) == 0 && locked.st_dev == named.st_dev &&
           locked.st_ino == named.st_ino;
}

bool lock_take(struct lock *lock, const char *state_directory, const char *lab, const char *verb,
               unsigned wait_ms, GError **error)
{
    g_autofree char *directory = g_build_filename(state_directory, "locks", NULL);
    g_autofree char *path = g_build_filename(directory, lab, NULL);
    gint64 deadline = g_get_monotonic_time() + (gint64)wait_ms * 1000;
    lock->fd = -1;
    lock->path = NULL;
    /* The names of labs are checked elsewhere; those of interfaces come from the command line. */
    if (!*lab || strchr(lab, '/')) {
        g_set_error(error, LOCK_ERROR, LOCK_ERROR_FAILED,
                    "\"%s\" is no name of a lab or an interface; `netlab status` and `ip link` list them",
                    lab);
        return false;
    }
    if (g_mkdir_with_parents(directory, 0700) != 0) {
        g_set_error(error, LOCK_ERROR, LOCK_ERROR_FAILED,
                    "cannot make the state directory %s: %s; check the permissions and the disk's free "
                    "space, or set NETLAB_STATE_DIR",
                    directory, g_strerror(errno));
        return false;
    }
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
            g_set_error(error, LOCK_ERROR, LOCK_ERROR_FAILED,
                        "cannot open %s: %s; check the permissions and the disk's free space", path,
                        g_strerror(errno));
            return false;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            if (is_still_there(fd, path)) {
                write_holder(fd, verb);
                lock->fd = fd;
                lock->path = g_steal_pointer(&path);
                return true;
            }
            close(fd); /* it was removed with its lab between open and flock: lock the new one */
            continue;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            g_set_error(error, LOCK_ERROR, LOCK_ERROR_FAILED, "cannot lock %s: %s", path, g_strerror(errno));
            close(fd);
            return false;
        }
        g_autofree char *holder = describe_holder(fd);
        if (g_get_monotonic_time() >= deadline || (is_taker_alive(holder) && !is_brief(holder))) {
            g_set_error(error, LOCK_ERROR, LOCK_ERROR_HELD,
                        "lab %s is being changed by %s; wait until that has finished", lab, holder);
            close(fd);
            return false;
        }
        close(fd);
        g_usleep(20000); /* flock() has no timeout; this polls, with the deadline above */
    }
}

void lock_release(struct lock *lock)
{
    if (lock->fd < 0)
        return;
    g_unlink(lock->path);
    close(lock->fd);
    lock->fd = -1;
    g_clear_pointer(&lock->path, g_free);
}
