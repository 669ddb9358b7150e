/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The handle, and the visit to its namespace.
 *
 * A handle is a netlink socket and an fd of the namespace that the socket belongs to. Everything that goes
 * through the socket needs no visit. The visit (hostnet_scope_*) is for what goes by the thread: opening
 * /dev/net/tun, /proc/sys and further sockets. It compares device and inode of the namespace first, so a
 * thread that is there already never calls setns(), which would need CAP_SYS_ADMIN.
 *
 * Invariant: outside hostnet_scope_enter()…leave() the thread is where its owner left it.
 */
#include "hostnet/hostnet_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

/* Newer than the headers some distributions build with (Linux 5.14). */
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define OWN_NAMESPACE "/proc/thread-self/ns/net"

static const char *no_proc_hint(int error_number)
{
    return error_number == ENOENT ? "mount /proc" : NULL;
}

static void read_boot_id(char boot_id[HOSTNET_BOOT_ID_MAX + 1])
{
    g_autofree char *text = NULL;
    if (g_file_get_contents("/proc/sys/kernel/random/boot_id", &text, NULL, NULL))
        g_strstrip(text);
    g_strlcpy(boot_id, text && *text ? text : "unknown", HOSTNET_BOOT_ID_MAX + 1);
}

bool hostnet_scope_enter(const struct hostnet *net, struct hostnet_scope *scope, GError **error)
{
    scope->previous = -1;
    struct stat own;
    if (stat(OWN_NAMESPACE, &own) == 0 && own.st_dev == net->netns_device && own.st_ino == net->netns_inode)
        return true;
    int previous = open(OWN_NAMESPACE, O_RDONLY | O_CLOEXEC);
    if (previous < 0)
        return hostnet_error_set(error, errno, NULL, no_proc_hint(errno), "opening %s", OWN_NAMESPACE);
    if (setns(net->netns_fd, CLONE_NEWNET) < 0) {
        int reason = errno;
        close(previous);
        return hostnet_error_set(
            error, reason, NULL,
            "needs CAP_SYS_ADMIN here and over that namespace; for a rootless lab join its "
            "user namespace first",
            "entering the lab's network namespace");
    }
    scope->previous = previous;
    return true;
}

void hostnet_scope_leave(struct hostnet_scope *scope)
{
    if (scope->previous < 0)
        return;
    /* Going on in the wrong namespace would do the lab's work to somebody else's network. */
    if (setns(scope->previous, CLONE_NEWNET) < 0)
        g_error("hostnet: cannot return to the thread's network namespace: %s", g_strerror(errno));
    close(scope->previous);
    scope->previous = -1;
}

int hostnet_scope_open(const struct hostnet *net, const char *path, int flags, int *error_number,
                       GError **error)
{
    struct hostnet_scope scope;
    *error_number = 0;
    if (!hostnet_scope_enter(net, &scope, error))
        return -1;
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        *error_number = errno;
    hostnet_scope_leave(&scope);
    return fd;
}

int hostnet_socket_open(const struct hostnet *net, int protocol, GError **error)
{
    struct hostnet_scope scope;
    if (!hostnet_scope_enter(net, &scope, error))
        return -1;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    int reason = errno;
    hostnet_scope_leave(&scope);
    if (fd < 0)
        hostnet_error_set(error, reason, NULL, NULL, "opening a netlink socket (protocol %d)", protocol);
    return fd;
}

/* A connected NETLINK_ROUTE socket of the calling thread's namespace; NULL on error. */
static struct nl_sock *connect_socket(GError **error)
{
    struct nl_sock *socket = nl_socket_alloc();
    if (!socket) {
        hostnet_error_set(error, ENOMEM, NULL, NULL, "opening a netlink socket");
        return NULL;
    }
    errno = 0;
    int result = nl_connect(socket, NETLINK_ROUTE);
    if (result < 0) {
        /* libnl's own codes lump most reasons together. */
        hostnet_error_set(error, errno ? errno : EIO, NULL, NULL, "opening a netlink socket: %s",
                          nl_geterror(result));
        nl_socket_free(socket);
        return NULL;
    }
    int option = 1, fd = nl_socket_get_fd(socket);
    /* Extended ACKs carry the kernel's words (Linux 4.12); capped ACKs do not send our request back. Without
     * them, messages are only poorer. */
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &option, sizeof option);
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &option, sizeof option);
    /* An answer is there when the request returns; this bounds the wait should one ever be missing. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 20}, sizeof(struct timeval));
    (void)nl_socket_set_buffer_size(socket, 1 << 20, 1 << 20);
    return socket;
}

bool hostnet_own_socket(struct hostnet *net, GError **error)
{
    if (net->owner == getpid())
        return true;
    struct hostnet_scope scope;
    if (!hostnet_scope_enter(net, &scope, error))
        return false;
    struct nl_sock *socket = connect_socket(error);
    hostnet_scope_leave(&scope);
    if (!socket)
        return false;
    nl_socket_free(net->socket);
    net->socket = socket;
    net->owner = getpid();
    return true;
}

/* The calling thread is in the namespace that `netns_fd` (taken over) stands for. */
static struct hostnet *open_here(int netns_fd, GError **error)
{
    hostnet_autofd fd = netns_fd;
    struct stat status;
    if (fstat(fd, &status) < 0) {
        hostnet_error_set(error, errno, NULL, NULL, "looking at a network namespace");
        return NULL;
    }
    struct nl_sock *socket = connect_socket(error);
    if (!socket)
        return NULL;
    struct hostnet *net = g_new0(struct hostnet, 1);
    net->socket = socket;
    net->owner = getpid();
    net->netns_device = status.st_dev;
    net->netns_inode = status.st_ino;
    net->netns_cookie = status.st_ino;
    uint64_t cookie;
    socklen_t length = sizeof cookie;
    if (getsockopt(nl_socket_get_fd(socket), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) == 0)
        net->netns_cookie = cookie;
    net->netns_fd = hostnet_fd_steal(&fd);
    read_boot_id(net->boot_id);
    return net;
}

struct hostnet *hostnet_open(GError **error)
{
    int fd = open(OWN_NAMESPACE, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        hostnet_error_set(error, errno, NULL, no_proc_hint(errno), "opening %s", OWN_NAMESPACE);
        return NULL;
    }
    return open_here(fd, error);
}

struct hostnet *hostnet_open_fd(int netns_fd, GError **error)
{
    struct stat status;
    if (fstat(netns_fd, &status) < 0) {
        hostnet_error_set(error, errno, NULL, "pass an open namespace fd", "looking at a network namespace");
        return NULL;
    }
    hostnet_autofd copy = fcntl(netns_fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
        hostnet_error_set(error, errno, NULL, NULL, "keeping a network namespace");
        return NULL;
    }
    struct hostnet target = {.netns_fd = copy, .netns_device = status.st_dev, .netns_inode = status.st_ino};
    struct hostnet_scope scope;
    if (!hostnet_scope_enter(&target, &scope, error))
        return NULL;
    struct hostnet *net = open_here(hostnet_fd_steal(&copy), error);
    hostnet_scope_leave(&scope);
    return net;
}

void hostnet_close(struct hostnet *net)
{
    if (!net)
        return;
    nl_socket_free(net->socket);
    hostnet_fd_clear(&net->netns_fd);
    g_free(net);
}

int hostnet_get_netns_fd(const struct hostnet *net)
{
    return net->netns_fd;
}

uint64_t hostnet_get_netns_cookie(const struct hostnet *net)
{
    return net->netns_cookie;
}

bool hostnet_same_namespace(const struct hostnet *a, const struct hostnet *b)
{
    return a->netns_device == b->netns_device && a->netns_inode == b->netns_inode;
}

const char *hostnet_get_boot_id(const struct hostnet *net)
{
    return net->boot_id;
}
