/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See caller.h. The kernel checks a path by the file-system ids of the process, which can be set to and fro
 * without giving up anything else: with a file-system uid other than 0 the capabilities that override
 * permissions are out of effect.
 */
#include "netlab/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OVERFLOW_ID = 65534 };

static bool is_in_map(const char *map_file, guint64 id)
{
    g_autofree char *map = NULL;
    if (!g_file_get_contents(map_file, &map, NULL, NULL))
        return false;
    g_auto(GStrv) lines = g_strsplit(map, "\n", -1);
    for (int i = 0; lines[i]; i++) {
        unsigned long long inside, outside, count;
        if (sscanf(lines[i], "%llu %llu %llu", &inside, &outside, &count) == 3 && id >= inside &&
            id - inside < count)
            return true;
    }
    return false;
}

bool caller_is_mapped(uid_t uid, gid_t gid)
{
    return is_in_map("/proc/self/uid_map", uid) && is_in_map("/proc/self/gid_map", gid);
}

bool caller_find(struct caller *caller)
{
    const char *sudo_uid = g_getenv("SUDO_UID"), *sudo_gid = g_getenv("SUDO_GID");
    guint64 uid, gid;
    if (geteuid() != 0 || !sudo_uid || !sudo_gid ||
        !g_ascii_string_to_unsigned(sudo_uid, 10, 1, G_MAXUINT32 - 1, &uid, NULL) ||
        !g_ascii_string_to_unsigned(sudo_gid, 10, 1, G_MAXUINT32 - 1, &gid, NULL) ||
        !caller_is_mapped((uid_t)uid, (gid_t)gid))
        return false;
    *caller = (struct caller){(uid_t)uid, (gid_t)gid};
    return true;
}

/* The groups first, while we may; the uid last. */
static bool become(const struct caller *caller)
{
    struct passwd *account = getpwuid(caller->uid);
    int result = account ? initgroups(account->pw_name, caller->gid) : setgroups(1, &caller->gid);
    setfsgid(caller->gid);
    setfsuid(caller->uid);
    return result == 0 && (gid_t)setfsgid((gid_t)-1) == caller->gid &&
           (uid_t)setfsuid((uid_t)-1) == caller->uid;
}

static int open_regular(const char *path)
{
    struct stat found;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int cause = errno;
    if (fd >= 0 && (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode))) {
        close(fd);
        fd = -1;
        cause = EINVAL;
    }
    errno = cause;
    return fd;
}

void caller_scope_leave(struct caller_scope *scope)
{
    if (scope->is_in) {
        setfsuid(geteuid());
        setfsgid(getegid());
        if (setgroups((size_t)scope->count, scope->groups) != 0)
            g_warning("the groups of root cannot be taken again: %s", g_strerror(errno));
    }
    scope->is_in = false;
    g_clear_pointer(&scope->groups, g_free);
}

bool caller_scope_enter(struct caller_scope *scope, GError **error)
{
    struct caller caller;
    *scope = (struct caller_scope){.is_in = false};
    if (!caller_find(&caller))
        return true;
    scope->count = getgroups(0, NULL);
    scope->groups = g_new0(gid_t, (gsize)MAX(scope->count, 0) + 1);
    bool is_known = scope->count >= 0 && getgroups(scope->count, scope->groups) == scope->count;
    scope->is_in = is_known;
    if (is_known && become(&caller))
        return true;
    caller_scope_leave(scope);
    g_set_error(
        error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
        "the rights of who called sudo (uid %u) cannot be taken on, so no file is touched; in a shell of "
        "root `unset SUDO_UID`",
        caller.uid);
    return false;
}

int caller_open(const char *path)
{
    struct caller_scope scope;
    if (!caller_scope_enter(&scope, NULL)) {
        errno = EPERM;
        return -1;
    }
    int fd = open_regular(path);
    int cause = errno;
    caller_scope_leave(&scope);
    errno = cause;
    return fd;
}

bool caller_get_contents(const char *path, char **data, gsize *size, GError **error)
{
    int fd = caller_open(path);
    if (fd < 0) {
        int cause = errno;
        struct caller caller;
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(cause), "%s cannot be read%s: %s", path,
                    caller_find(&caller) ? " by who called sudo" : "",
                    cause == EINVAL ? "it is no regular file" : g_strerror(cause));
        return false;
    }
    g_autofree char *opened = g_strdup_printf("/proc/self/fd/%d", fd);
    bool good = g_file_get_contents(opened, data, size, error);
    close(fd);
    return good;
}

/* ---- folders ---- */

/* Not the root of a user namespace that a user has made: that one gains nothing. */
static bool is_root(void)
{
    g_autofree char *map = NULL;
    unsigned long long inside, outside;
    return geteuid() == 0 && g_file_get_contents("/proc/self/uid_map", &map, NULL, NULL) &&
           sscanf(map, "%llu %llu", &inside, &outside) == 2 && inside == 0 && outside == 0;
}

static bool distrust(const char *path, const struct stat *found, const char *folder, const char *variable,
                     GError **error)
{
    bool is_anothers = found->st_uid != 0 && found->st_uid != geteuid();
    g_autofree char *who = is_anothers ? g_strdup_printf("belongs to uid %u", found->st_uid)
                                       : g_strdup("may be written to by others");
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                "%s %s, who could then lead netlab astray in %s; mend it with `%s %s`, or set %s to another "
                "folder",
                path, who, folder, is_anothers ? "chown root" : "chmod go-w", path, variable);
    return false;
}

static bool trust(const char *path, bool for_root, bool is_on_the_way, const char *folder,
                  const char *variable, GError **error)
{
    struct stat found;
    if (stat(path, &found) != 0)
        return true; /* to be made, by us */
    /* A group that is the user's own is the user's business. */
    mode_t open_to_others = for_root ? S_IWGRP | S_IWOTH : S_IWOTH;
    bool is_owner_good = found.st_uid == 0 || found.st_uid == geteuid() ||
                         /* the owner is not of this user namespace */
                         (found.st_uid == OVERFLOW_ID && !caller_is_mapped(OVERFLOW_ID, OVERFLOW_ID));
    bool is_closed = !(found.st_mode & open_to_others) || (is_on_the_way && (found.st_mode & S_ISVTX));
    return (is_owner_good && is_closed) || distrust(path, &found, folder, variable, error);
}

bool caller_trust_folder(const char *folder, bool whole_way, const char *variable, GError **error)
{
    g_autofree char *path = g_canonicalize_filename(folder, NULL);
    bool for_root = is_root();
    if (!trust(path, for_root, false, folder, variable, error))
        return false;
    while (for_root && whole_way && strcmp(path, "/") != 0) {
        char *parent = g_path_get_dirname(path);
        g_free(path);
        path = parent;
        if (!trust(path, true, true, folder, variable, error))
            return false;
    }
    return true;
}
