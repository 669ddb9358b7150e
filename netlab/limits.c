/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Limits of copies; see limits.h. Reads and writes the files of /proc and /sys/fs/cgroup; a file that is not
 * there means that there is no such limit.
 */
#include "netlab/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PERIOD_US = 100000, REMOVE_MS = 2000, REMOVE_EVERY_MS = 10 };

#define LEAF "netlab"

static bool write_file(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    ssize_t length = (ssize_t)strlen(text), got = write(fd, text, (size_t)length);
    int cause = got == length ? 0 : got < 0 ? errno : EIO;
    close(fd);
    errno = cause;
    return cause == 0;
}

static char *read_file(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? g_strstrip(text) : NULL;
}

static bool has_controllers(const char *folder, const char *file)
{
    g_autofree char *text = read_file(folder, file);
    g_auto(GStrv) words = g_strsplit(text ? text : "", " ", -1);
    return g_strv_contains((const char *const *)words, "cpu") &&
           g_strv_contains((const char *const *)words, "memory");
}

/* What stands behind "ID:CONTROLLER:" in /proc/self/cgroup. */
static char *own_path(const char *controller)
{
    g_autofree char *text = read_file("/proc/self", "cgroup");
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) part = g_strsplit(*line, ":", 3);
        if (g_strv_length(part) == 3 && g_str_equal(part[1], controller))
            return g_strdup(part[2]);
    }
    return NULL;
}

/* Where the file system of this type (and with this word among its options, if any) is mounted. */
static char *find_mount(const char *type, const char *option)
{
    g_autofree char *text = read_file("/proc/self", "mountinfo");
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) halves = g_strsplit(*line, " - ", 2);
        if (g_strv_length(halves) != 2)
            continue;
        g_auto(GStrv) left = g_strsplit(halves[0], " ", -1), right = g_strsplit(halves[1], " ", 3);
        if (g_strv_length(left) < 5 || g_strv_length(right) != 3 || !g_str_equal(right[0], type))
            continue;
        g_auto(GStrv) options = g_strsplit(right[2], ",", -1);
        if (!option || g_strv_contains((const char *const *)options, option))
            return g_strdup(left[4]);
    }
    return NULL;
}

char *limits_find_group(bool prepare, char **why)
{
    const char *given = g_getenv("NETLAB_CGROUP");
    g_autofree char *mount = find_mount("cgroup2", NULL), *path = own_path("");
    *why = NULL;
    if (given && *given) {
        if (has_controllers(given, "cgroup.subtree_control"))
            return g_strdup(given);
        *why = g_strdup_printf("%s (NETLAB_CGROUP) does not hand cpu and memory down", given);
        return NULL;
    }
    g_autofree char *own = mount && path ? g_build_filename(mount, path, NULL) : NULL;
    if (!own || !has_controllers(own, "cgroup.controllers"))
        *why =
            g_strdup("this computer's control groups are not of version 2 with cpu and memory, or not ours");
    else if (access(own, W_OK) != 0)
        *why = g_strdup_printf("the control group %s is not delegated to this user", own);
    if (*why)
        return NULL;
    if (has_controllers(own, "cgroup.subtree_control") || !prepare)
        return g_steal_pointer(&own);
    /* A group that hands controllers down must not have processes itself. */
    g_autofree char *leaf = g_build_filename(own, LEAF, NULL);
    if ((mkdir(leaf, 0755) == 0 || errno == EEXIST) && write_file(leaf, "cgroup.procs", "0") &&
        write_file(own, "cgroup.subtree_control", "+cpu +memory"))
        return g_steal_pointer(&own);
    *why = g_strdup_printf("the control group %s cannot be divided: %s", own, g_strerror(errno));
    return NULL;
}

static char *group_of(const char *group, const char *lab)
{
    return g_strdup_printf("%s/netlab-%s", group, lab);
}

int limits_open_group(const char *group, const char *lab, unsigned memory, unsigned cpu, char **why)
{
    g_autofree char *path = group_of(group, lab), *procs = g_build_filename(path, "cgroup.procs", NULL);
    g_autofree char *memory_text =
        memory ? g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)memory << 20) : g_strdup("max");
    g_autofree char *cpu_text = cpu ? g_strdup_printf("%u %d", cpu * (PERIOD_US / 100), PERIOD_US)
                                    : g_strdup_printf("max %d", PERIOD_US);
    int fd = -1;
    bool is_new = mkdir(path, 0755) == 0;
    if ((is_new || errno == EEXIST) && write_file(path, "memory.max", memory_text) &&
        write_file(path, "cpu.max", cpu_text) && (fd = open(procs, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)) >= 0)
        return fd;
    *why = g_strdup_printf("the control group %s: %s", path, g_strerror(errno));
    if (is_new)
        rmdir(path);
    return -1;
}

bool limits_join_group(int group_fd)
{
    return write(group_fd, "0", 1) == 1;
}

void limits_remove_group(const char *group, const char *lab)
{
    if (!*group)
        return;
    g_autofree char *path = group_of(group, lab);
    gint64 deadline = g_get_monotonic_time() + REMOVE_MS * 1000;
    while (rmdir(path) != 0 && errno == EBUSY && g_get_monotonic_time() < deadline)
        g_usleep(REMOVE_EVERY_MS * 1000); /* the last process is still dying */
}

void limits_lower_priority(void)
{
    if (getpriority(PRIO_PROCESS, 0) < LIMITS_NICENESS)
        setpriority(PRIO_PROCESS, 0, LIMITS_NICENESS);
}

/* ---- what is free ---- */

static uint64_t read_number(const char *folder, const char *name)
{
    g_autofree char *text = read_file(folder, name);
    guint64 number;
    return text && g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &number, NULL) ? number : G_MAXUINT64;
}

/* A number behind its name in a file of "name number" lines. */
static uint64_t read_entry(const char *folder, const char *file, const char *name)
{
    g_autofree char *text = read_file(folder, file);
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    size_t length = strlen(name);
    for (char **line = lines; *line; line++)
        if (strncmp(*line, name, length) == 0 && (*line)[length] == ' ')
            return g_ascii_strtoull(*line + length, NULL, 10);
    return 0;
}

/* Of this group and those above it: what the tightest leaves; cache that can be dropped is free. */
static uint64_t free_in_groups(const char *mount, const char *path, const char *most, const char *used,
                               const char *cache)
{
    uint64_t least = G_MAXUINT64;
    g_autofree char *at = g_build_filename(mount, path, NULL);
    while (strlen(at) >= strlen(mount)) {
        uint64_t limit = read_number(at, most), now = read_number(at, used);
        if (limit < G_MAXUINT64 / 4 && now != G_MAXUINT64) {
            uint64_t spare = read_entry(at, "memory.stat", cache);
            now -= MIN(now, spare);
            least = MIN(least, limit > now ? limit - now : 0);
        }
        if (g_str_equal(at, "/"))
            break;
        char *above = g_path_get_dirname(at);
        g_free(at);
        at = above;
    }
    return least;
}

uint64_t limits_free_memory(void)
{
    g_autofree char *text = read_file("/proc", "meminfo");
    const char *line = text ? strstr(text, "MemAvailable:") : NULL;
    uint64_t available =
        line ? g_ascii_strtoull(line + strlen("MemAvailable:"), NULL, 10) << 10 : G_MAXUINT64;
    g_autofree char *two = find_mount("cgroup2", NULL), *one = find_mount("cgroup", "memory"),
                    *path = own_path(""), *path_one = own_path("memory");
    if (two && path)
        available =
            MIN(available, free_in_groups(two, path, "memory.max", "memory.current", "inactive_file"));
    if (one && path_one)
        available = MIN(available, free_in_groups(one, path_one, "memory.limit_in_bytes",
                                                  "memory.usage_in_bytes", "total_inactive_file"));
    return available >> 20;
}
