/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Namespaces: making unnamed ones, going into them, and saying why not. See namespace.h.
 *
 * A network namespace alone is made by a short-lived thread that unshares and opens its own
 * /proc/thread-self/ns/net: the fd keeps the namespace when the thread has gone, and the process stays where
 * it is. A user namespace cannot be made by a thread of many, so that one is made by a child process, which
 * does nothing but system calls (it is forked from a program that may have threads). namespaces(7),
 * user_namespaces(7).
 */
#include "hostnet/namespace.h"
#include "hostnet/namespace_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { THREAD_END_PATIENCE = G_USEC_PER_SEC / 2 };
enum { INITIAL_USER_NAMESPACE = 0xEFFFFFFD }; /* PROC_USER_INIT_INO: a fixed number of the kernel's */

/* ---- why not ---- */

/* True when the switch exists and has this value. */
static bool is_switch(const char *sysctl_root, const char *key, const char *value)
{
    g_autofree char *path = g_build_filename(sysctl_root, key, NULL);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return false;
    return strcmp(g_strstrip(text), value) == 0;
}

char *hostnet_namespace_explain(int error_number, bool is_user, const char *sysctl_root)
{
    if (is_user && is_switch(sysctl_root, "user/max_user_namespaces", "0"))
        return g_strdup(
            "user namespaces are switched off: `sysctl user.max_user_namespaces` is 0; raise it as "
            "root, or run as root without --rootless");
    if (is_switch(sysctl_root, "user/max_net_namespaces", "0"))
        return g_strdup(
            "network namespaces are switched off: `sysctl user.max_net_namespaces` is 0; raise it as "
            "root");
    if (is_user && is_switch(sysctl_root, "kernel/unprivileged_userns_clone", "0"))
        return g_strdup(
            "user namespaces are for root only here: `sysctl kernel.unprivileged_userns_clone` is 0; "
            "set it to 1 as root, or run as root without --rootless");
    if (is_user && is_switch(sysctl_root, "kernel/apparmor_restrict_unprivileged_userns", "1"))
        return g_strdup(
            "AppArmor restricts user namespaces: `sysctl kernel.apparmor_restrict_unprivileged_userns` "
            "is 1; set it to 0 or install an AppArmor profile with `userns,` for netlab as root, or "
            "run as root without --rootless");
    if (error_number == ENOSPC || error_number == EUSERS)
        return g_strdup_printf(
            "too many namespaces exist or are nested: see `sysctl user.max_net_namespaces`%s",
            is_user ? " and `sysctl user.max_user_namespaces`" : "");
    if (error_number == EINVAL)
        return g_strdup_printf(
            "the kernel was built without %s namespaces, or the process has threads already",
            is_user ? "user or network" : "network");
    if (error_number == EPERM || error_number == EACCES)
        return g_strdup(is_user
                            ? "a container or security policy forbids user namespaces; allow them, or run as "
                              "root without --rootless"
                            : "needs CAP_SYS_ADMIN; run as root or use --rootless");
    return NULL;
}

static bool refuse(GError **error, int error_number, bool is_user, const char *what)
{
    g_autofree char *hint = hostnet_namespace_explain(error_number, is_user, "/proc/sys");
    return hostnet_error_set(error, error_number, NULL, hint, "%s", what);
}

/* ---- pieces that are only system calls ---- */

/* Loopback up, in the calling thread's namespace. 0 or errno. */
static int raise_loopback(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    struct ifreq request = {.ifr_name = "lo"};
    int result = ioctl(fd, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    if (result == 0)
        result = ioctl(fd, SIOCSIFFLAGS, &request);
    int reason = errno;
    close(fd);
    return result < 0 ? reason : 0;
}

/* Writes a file of /proc below `folder` in one write. 0 or errno. */
static int write_file(int folder, const char *name, const char *text)
{
    int fd = openat(folder, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    ssize_t length = (ssize_t)strlen(text);
    int reason = write(fd, text, (size_t)length) == length ? 0 : errno ? errno : EIO;
    close(fd);
    return reason;
}

/* Maps the one uid and gid to root of the process whose /proc folder it is. 0 or errno. */
static int map_ids(int folder, uid_t uid, gid_t gid)
{
    char text[32];
    /* Without setgroups denied, an unprivileged gid map is refused (CVE-2014-8989). ENOENT: before 3.19. */
    int reason = write_file(folder, "setgroups", "deny");
    if (reason && reason != ENOENT)
        return reason;
    g_snprintf(text, sizeof text, "0 %u 1", uid);
    reason = write_file(folder, "uid_map", text);
    g_snprintf(text, sizeof text, "0 %u 1", gid);
    return reason ? reason : write_file(folder, "gid_map", text);
}

/* ---- a network namespace of its own ---- */

struct net_maker {
    int fd, reason;
};

static gpointer make_net(gpointer opaque)
{
    struct net_maker *maker = opaque;
    maker->fd = -1;
    if (unshare(CLONE_NEWNET) < 0)
        maker->reason = errno;
    else if ((maker->reason = raise_loopback()) == 0 &&
             (maker->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) < 0)
        maker->reason = errno;
    return NULL;
}

int hostnet_namespace_create_net(GError **error)
{
    struct net_maker maker = {.fd = -1};
    g_autoptr(GError) refusal = NULL;
    GThread *thread = g_thread_try_new("netns", make_net, &maker, &refusal);
    if (!thread) {
        hostnet_error_say(error, HOSTNET_ERROR_LIMIT,
                          "creating a network namespace: %s (raise the limit on processes)",
                          refusal->message);
        return -1;
    }
    g_thread_join(thread);
    if (maker.fd < 0)
        refuse(error, maker.reason, false, "creating a network namespace");
    return maker.fd;
}

/* ---- a user and a network namespace ---- */

/* The child of hostnet_namespace_create_rootless(): system calls only. Says errno of its unshare, waits for
 * the ids to be mapped and loopback's turn, says errno of that, and lives until the parent has the fds. */
static G_NORETURN void hold_namespaces(int pipe_to_parent, int pipe_from_parent)
{
    int reason = unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 ? errno : 0;
    char byte;
    if (write(pipe_to_parent, &reason, sizeof reason) == sizeof reason && !reason &&
        read(pipe_from_parent, &byte, 1) == 1) {
        reason = raise_loopback();
        if (write(pipe_to_parent, &reason, sizeof reason) == sizeof reason)
            (void)!read(pipe_from_parent, &byte, 1); /* until the parent closes its end */
    }
    _exit(0);
}

/* errno from the child; ECHILD when it died. */
static int hear_child(int fd)
{
    int reason;
    ssize_t length;
    do
        length = read(fd, &reason, sizeof reason);
    while (length < 0 && errno == EINTR);
    return length == sizeof reason ? reason : ECHILD;
}

static int open_namespace(int folder, const char *name)
{
    return openat(folder, name, O_RDONLY | O_CLOEXEC);
}

/* The parent's side, with the child running. 0 or errno. */
static int take_namespaces(pid_t child, int from_child, int to_child, int *user_fd, int *net_fd)
{
    int reason = hear_child(from_child);
    if (reason)
        return reason;
    char path[32];
    g_snprintf(path, sizeof path, "/proc/%d", child);
    hostnet_autofd folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return errno;
    reason = map_ids(folder, geteuid(), getegid());
    if (reason)
        return reason;
    if (write(to_child, "", 1) != 1)
        return EPIPE;
    reason = hear_child(from_child);
    if (reason)
        return reason;
    hostnet_autofd user = open_namespace(folder, "ns/user");
    if (user < 0)
        return errno;
    hostnet_autofd net = open_namespace(folder, "ns/net");
    if (net < 0)
        return errno;
    *user_fd = hostnet_fd_steal(&user);
    *net_fd = hostnet_fd_steal(&net);
    return 0;
}

bool hostnet_namespace_create_rootless(int *user_fd, int *net_fd, GError **error)
{
    static const char what[] = "creating a user namespace for a rootless lab";
    int to_parent[2] = {-1, -1}, to_child[2] = {-1, -1};
    if (pipe2(to_parent, O_CLOEXEC) < 0)
        return hostnet_error_set(error, errno, NULL, NULL, "%s", what);
    hostnet_autofd from_child = to_parent[0], child_says = to_parent[1];
    if (pipe2(to_child, O_CLOEXEC) < 0)
        return hostnet_error_set(error, errno, NULL, NULL, "%s", what);
    hostnet_autofd child_hears = to_child[0], say = to_child[1];
    /* Blocked while forking, so that no handler of the program runs in the child. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t child = fork();
    if (child == 0) {
        close(from_child);
        close(say);
        hold_namespaces(child_says, child_hears);
    }
    int reason = child < 0 ? errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    hostnet_fd_clear(&child_says);
    hostnet_fd_clear(&child_hears);
    if (reason)
        return hostnet_error_set(error, reason, NULL, "raise the limit on processes", "%s", what);
    reason = take_namespaces(child, from_child, say, user_fd, net_fd);
    hostnet_fd_clear(&say);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return reason ? refuse(error, reason, true, what) : true;
}

/* ---- moving the caller ---- */

static unsigned count_threads(void)
{
    DIR *directory = opendir("/proc/self/task");
    unsigned count = 0;
    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count >= 2 ? count - 2 : 0; /* "." and ".." */
}

/* A thread that was joined is still counted for a moment, until the kernel is done with it; one that stays
 * makes it false. */
static bool require_single_thread(const char *what, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + THREAD_END_PATIENCE;
    unsigned threads;
    while ((threads = count_threads()) > 1 && g_get_monotonic_time() < deadline)
        g_usleep(1000);
    if (threads <= 1)
        return true;
    return hostnet_error_say(
        error, HOSTNET_ERROR_INVALID,
        "%s: the process has %u threads, and the kernel wants one; do it before any thread is "
        "started",
        what, threads);
}

bool hostnet_namespace_unshare(unsigned flags, GError **error)
{
    bool is_user = (flags & HOSTNET_NAMESPACE_USER) != 0;
    const char *what =
        is_user ? "creating a user namespace for a rootless lab" : "creating a network namespace";
    if (is_user && !require_single_thread(what, error))
        return false;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int kinds = (is_user ? CLONE_NEWUSER : 0) | (flags & HOSTNET_NAMESPACE_NET ? CLONE_NEWNET : 0) |
                (flags & HOSTNET_NAMESPACE_MOUNT ? CLONE_NEWNS : 0);
    if (unshare(kinds) < 0)
        return refuse(error, errno, is_user, what);
    if (is_user) {
        hostnet_autofd folder = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int reason = folder < 0 ? errno : map_ids(folder, uid, gid);
        if (reason)
            return refuse(error, reason, true, "mapping the ids of a user namespace");
    }
    if ((flags & HOSTNET_NAMESPACE_MOUNT) && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return hostnet_error_set(error, errno, NULL, "needs CAP_SYS_ADMIN", "making mounts private");
    if (flags & HOSTNET_NAMESPACE_NET) {
        int reason = raise_loopback();
        if (reason)
            return refuse(error, reason, is_user, "setting the loopback of a new namespace up");
    }
    return true;
}

/* Is the caller in the namespace behind `fd`? */
static bool is_in(int fd, const char *own)
{
    struct stat mine, its;
    return stat(own, &mine) == 0 && fstat(fd, &its) == 0 && mine.st_dev == its.st_dev &&
           mine.st_ino == its.st_ino;
}

bool hostnet_namespace_join(int user_fd, int net_fd, GError **error)
{
    if (user_fd >= 0 && !is_in(user_fd, "/proc/self/ns/user")) {
        static const char what[] = "entering the lab's user namespace";
        if (!require_single_thread(what, error))
            return false;
        if (setns(user_fd, CLONE_NEWUSER) < 0)
            return hostnet_error_set(error, errno, NULL, "only the user who brought the lab up, or root, may",
                                     "%s", what);
        /* One's own ids are root there already; those of the machine's root are not mapped, and then nothing
         * more can be done about it than to become the root of that namespace. */
        if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
            return hostnet_error_set(error, errno, NULL, NULL, "%s: becoming its root", what);
    }
    if (net_fd >= 0 && !is_in(net_fd, "/proc/thread-self/ns/net") && setns(net_fd, CLONE_NEWNET) < 0)
        return hostnet_error_set(
            error, errno, NULL,
            "needs CAP_SYS_ADMIN over it; for a rootless lab its user namespace comes first",
            "entering the lab's network namespace");
    return true;
}

bool hostnet_namespace_open_pid(pid_t pid, int *user_fd, int *net_fd, GError **error)
{
    char path[32];
    g_snprintf(path, sizeof path, "/proc/%d", pid);
    hostnet_autofd folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    hostnet_autofd user = -1, net = -1;
    int reason = folder < 0 ? errno : 0;
    if (!reason && user_fd && (user = open_namespace(folder, "ns/user")) < 0)
        reason = errno;
    if (!reason && net_fd && (net = open_namespace(folder, "ns/net")) < 0)
        reason = errno;
    if (reason)
        return hostnet_error_set(error, reason, NULL,
                                 reason == EACCES || reason == EPERM
                                     ? "it belongs to another user; be that user, or root"
                                     : "that process has ended",
                                 "opening the namespaces of process %d", pid);
    if (user_fd)
        *user_fd = hostnet_fd_steal(&user);
    if (net_fd)
        *net_fd = hostnet_fd_steal(&net);
    return true;
}

bool hostnet_namespace_is_rootless(void)
{
    struct stat own;
    return stat("/proc/self/ns/user", &own) == 0 && own.st_ino != (ino_t)(unsigned)INITIAL_USER_NAMESPACE;
}

bool hostnet_namespace_loopback_up(struct hostnet *net, GError **error)
{
    /* The loopback is link 1 of every namespace. */
    return hostnet_link_set_up(net, 1, true, error);
}
