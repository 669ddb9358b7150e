/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Sysctls of the handle's namespace: get, set with memory, undo. See sysctl.h.
 *
 * The file that open() finds below /proc/sys/net is the one of the opener's namespace and stays so: only the
 * open() needs the visit. Values are compared with runs of white space as one blank, as the kernel writes
 * tabs between the numbers of a list.
 */
#include "hostnet/sysctl.h"
#include "hostnet/hostnet_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { VALUE_MAX = 4096 };

void hostnet_sysctl_change_free(struct hostnet_sysctl_change *change)
{
    if (!change)
        return;
    g_free(change->key);
    g_free(change->before);
    g_free(change->after);
    g_free(change);
}

static bool check_key(const char *key, GError **error)
{
    bool is_good = key && g_str_has_prefix(key, "net/") && key[4] && !strstr(key, "//") &&
                   !g_str_has_suffix(key, "/") && strlen(key) < 200;
    g_auto(GStrv) parts = g_strsplit(key ? key : "", "/", -1);
    for (char **part = parts; is_good && *part; part++)
        is_good = strcmp(*part, ".") != 0 && strcmp(*part, "..") != 0;
    if (!is_good)
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID,
            "\"%s\" is no sysctl of a network namespace; write one like net/ipv4/ip_forward", key ? key : "");
    return true;
}

/* fd, or -1 with an error; NOT_FOUND when there is no such key. */
static int open_key(struct hostnet *net, const char *key, int flags, const char *verb, GError **error)
{
    if (!check_key(key, error))
        return -1;
    g_autofree char *path = g_build_filename("/proc/sys", key, NULL);
    int reason;
    int fd = hostnet_scope_open(net, path, flags, &reason, error);
    if (fd < 0 && reason)
        hostnet_error_set(error, reason, NULL,
                          reason == ENOENT
                              ? "this kernel or namespace has no such switch, or its link is gone"
                              : "needs root, or the root of the lab's own namespace",
                          "%s sysctl %s", verb, key);
    return fd;
}

char *hostnet_sysctl_get(struct hostnet *net, const char *key, GError **error)
{
    hostnet_autofd fd = open_key(net, key, O_RDONLY, "reading", error);
    if (fd < 0)
        return NULL;
    char value[VALUE_MAX + 1];
    size_t length = 0;
    for (;;) {
        ssize_t got = read(fd, value + length, VALUE_MAX - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            hostnet_error_set(error, errno, NULL, "it has no value now", "reading sysctl %s", key);
            return NULL;
        }
        if (got == 0 || length == VALUE_MAX)
            break;
        length += (size_t)got;
    }
    value[length] = '\0';
    return g_strdup(g_strchomp(value));
}

static bool is_same_value(const char *a, const char *b)
{
    for (;;) {
        bool a_blank = g_ascii_isspace(*a), b_blank = g_ascii_isspace(*b);
        if (a_blank != b_blank || (!a_blank && *a != *b))
            return false;
        if (!*a)
            return true;
        if (!a_blank) {
            a++;
            b++;
            continue;
        }
        while (g_ascii_isspace(*a))
            a++;
        while (g_ascii_isspace(*b))
            b++;
    }
}

static bool write_value(struct hostnet *net, const char *key, const char *value, GError **error)
{
    hostnet_autofd fd = open_key(net, key, O_WRONLY, "writing", error);
    if (fd < 0)
        return false;
    size_t length = strlen(value);
    ssize_t written;
    do
        written = write(fd, value, length);
    while (written < 0 && errno == EINTR);
    if (written != (ssize_t)length)
        return hostnet_error_set(error, written < 0 ? errno : EIO, NULL,
                                 "the value is out of range, or needs privilege",
                                 "writing \"%s\" to sysctl %s", value, key);
    return true;
}

bool hostnet_sysctl_set(struct hostnet *net, const char *key, const char *value,
                        struct hostnet_sysctl_change **change, GError **error)
{
    g_autofree char *before = hostnet_sysctl_get(net, key, error);
    if (!before)
        return false;
    if (strlen(value) > VALUE_MAX || !*value)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "sysctl %s: a value of 1 to %d bytes is needed", key, VALUE_MAX);
    g_autofree char *after = NULL;
    if (is_same_value(before, value)) {
        after = g_strdup(before);
    } else {
        if (!write_value(net, key, value, error))
            return false;
        after = hostnet_sysctl_get(net, key, error);
        if (!after)
            return false;
    }
    if (change) {
        *change = g_new0(struct hostnet_sysctl_change, 1);
        (*change)->key = g_strdup(key);
        (*change)->before = g_steal_pointer(&before);
        (*change)->after = g_steal_pointer(&after);
    }
    return true;
}

bool hostnet_sysctl_undo(struct hostnet *net, const struct hostnet_sysctl_change *change, bool *was_foreign,
                         GError **error)
{
    if (was_foreign)
        *was_foreign = false;
    g_autoptr(GError) refusal = NULL;
    g_autofree char *now = hostnet_sysctl_get(net, change->key, &refusal);
    if (!now) {
        if (g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND))
            return true; /* gone with its link */
        g_propagate_error(error, g_steal_pointer(&refusal));
        return false;
    }
    if (is_same_value(now, change->before))
        return true;
    if (!is_same_value(now, change->after)) {
        if (was_foreign)
            *was_foreign = true;
        return true;
    }
    return write_value(net, change->key, change->before, error);
}
