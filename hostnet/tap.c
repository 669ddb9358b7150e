/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * TAP interfaces. The order that leaves no unmarked one behind is told in tap.h.
 *
 * A TAP belongs to the namespace in which /dev/net/tun was opened, not to that of the ioctl, so one scoped
 * open() is all the visiting there is.
 *
 * Source: Documentation/networking/tuntap.rst and linux/if_tun.h of the kernel.
 */
#include "hostnet/tap.h"
#include "hostnet/link_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/ioctl.h>

#define TUN_PATH "/dev/net/tun"

enum { MAKE_TRIES = 4, HOLDERS_SHOWN = 4 };

static const char no_device_hint[] =
    "what is there is not the tun device; make it with `mknod -m 0666 " TUN_PATH " c 10 200`";

/* fd, or -1 with an error that says what is wrong with the device node. */
static int open_tun(struct hostnet *net, const char *what, GError **error)
{
    int reason;
    int fd = hostnet_scope_open(net, TUN_PATH, O_RDWR | O_NONBLOCK, &reason, error);
    if (fd >= 0)
        return fd;
    if (reason == 0)
        g_prefix_error(error, "%s: ", what);
    else if (reason == EACCES || reason == EPERM)
        hostnet_error_set(error, reason, NULL,
                          "this user may not open " TUN_PATH "; its usual mode is 0666 (`chmod 0666 " TUN_PATH
                          "`), or run as root",
                          "%s: opening " TUN_PATH, what);
    else if (reason == EISDIR)
        hostnet_error_set_code(error, HOSTNET_ERROR_NO_TUN, reason, NULL, no_device_hint,
                               "%s: opening " TUN_PATH, what);
    else if (reason == ENOENT || reason == ENODEV || reason == ENXIO || reason == ENOTDIR)
        hostnet_error_set_code(error, HOSTNET_ERROR_NO_TUN, reason, NULL, NULL, "%s: opening " TUN_PATH,
                               what);
    else
        hostnet_error_set(error, reason, NULL, NULL, "%s: opening " TUN_PATH, what);
    return -1;
}

/* Owner and group must be mapped where we are; then everything by netlink; then persistence. */
static bool equip(struct hostnet *net, int fd, uint32_t index, const struct hostnet_tap_spec *spec,
                  const char *what, GError **error)
{
    if (spec->has_owner && ioctl(fd, TUNSETOWNER, (unsigned long)spec->owner) < 0)
        return hostnet_error_set(error, errno, NULL,
                                 "in a user namespace only ids that are mapped there can own a TAP",
                                 "%s: giving it to uid %u", what, spec->owner);
    if (spec->has_group && ioctl(fd, TUNSETGROUP, (unsigned long)spec->group) < 0)
        return hostnet_error_set(error, errno, NULL,
                                 "in a user namespace only ids that are mapped there can own a TAP",
                                 "%s: giving it to gid %u", what, spec->group);
    hostnet_auto_batch batch = {};
    hostnet_link_add_rest(&batch, index, &spec->link, true);
    int failed = hostnet_batch_send(net, &batch, error);
    if (failed < 0) {
        g_prefix_error(error, "%s: ", what);
        return false;
    }
    if (failed < (int)batch.count)
        return hostnet_link_make_error(net, &spec->link, "TAP", batch.requests[failed].error_number,
                                       batch.requests[failed].kernel_text, error);
    if (spec->persistent && ioctl(fd, TUNSETPERSIST, 1UL) < 0)
        return hostnet_error_set(error, errno, NULL, NULL, "%s: making it persistent", what);
    return true;
}

/* 0 or errno. */
static int attach(int fd, uint32_t index, const char *name, short flags)
{
    int wanted = (int)index;
    struct ifreq request = {.ifr_flags = flags};
    g_strlcpy(request.ifr_name, name, sizeof request.ifr_name);
    if (index && ioctl(fd, TUNSETIFINDEX, &wanted) < 0)
        return errno;
    return ioctl(fd, TUNSETIFF, &request) < 0 ? errno : 0;
}

static short make_flags(bool vnet_hdr, bool multi_queue)
{
    return (short)(IFF_TAP | IFF_NO_PI | (vnet_hdr ? IFF_VNET_HDR : 0) | (multi_queue ? IFF_MULTI_QUEUE : 0));
}

int hostnet_tap_create(struct hostnet *net, const struct hostnet_tap_spec *spec,
                       struct hostnet_link_identity *identity, GError **error)
{
    if (!hostnet_link_spec_check(&spec->link, "TAP", error))
        return -1;
    g_autofree char *human = hostnet_describe_link(spec->link.mark, spec->link.name);
    g_autofree char *what = g_strdup_printf("creating TAP %s", human);
    hostnet_autofd fd = open_tun(net, what, error);
    if (fd < 0)
        return -1;
    uint32_t index;
    for (unsigned try = 1;; try++) {
        index = hostnet_link_take_index(net, &spec->link, "TAP", error);
        if (!index)
            return -1;
        int reason = attach(fd, index, spec->link.name,
                            (short)(make_flags(spec->vnet_hdr, spec->multi_queue) | (short)IFF_TUN_EXCL));
        if (!reason)
            break;
        bool is_clash = reason == EBUSY || reason == EEXIST;
        g_autoptr(hostnet_link) taken = is_clash ? hostnet_link_find(net, spec->link.name, NULL) : NULL;
        if (is_clash && !taken && !spec->link.index && try < MAKE_TRIES)
            continue; /* the index was taken, or the name for a moment */
        if (reason == ENOTTY)
            hostnet_error_set_code(error, HOSTNET_ERROR_NO_TUN, reason, NULL, no_device_hint, "%s", what);
        else
            hostnet_link_make_error(net, &spec->link, "TAP", reason, NULL, error);
        return -1;
    }
    if (!equip(net, fd, index, spec, what, error))
        return -1; /* closing the fd removes it */
    hostnet_link_fill_identity(net, &spec->link, index, identity);
    return hostnet_fd_steal(&fd);
}

int hostnet_tap_open(struct hostnet *net, const struct hostnet_link_identity *identity, GError **error)
{
    g_autofree char *human = hostnet_describe_link(identity->mark, identity->name);
    g_autofree char *what = g_strdup_printf("opening TAP %s", human);
    enum hostnet_presence presence;
    g_autoptr(hostnet_link) link = NULL;
    if (!hostnet_link_check(net, identity, &presence, &link, error)) {
        g_prefix_error(error, "%s: ", what);
        return -1;
    }
    if (presence == HOSTNET_ABSENT) {
        hostnet_error_set(error, ENODEV, NULL, "it is gone; bring the lab up again", "%s", what);
        return -1;
    }
    if (presence == HOSTNET_FOREIGN || link->kind != HOSTNET_LINK_TAP) {
        hostnet_error_say(
            error, HOSTNET_ERROR_NOT_OURS,
            "%s: the link that has its index or name now is not ours, or no TAP (look at it with "
            "`ip -d link`)",
            what);
        return -1;
    }
    hostnet_autofd fd = open_tun(net, what, error);
    if (fd < 0)
        return -1;
    int reason = attach(fd, 0, identity->name, make_flags(link->tap.vnet_hdr, link->tap.multi_queue));
    if (reason == EBUSY) {
        g_autofree char *holders = hostnet_tap_describe_holders(identity->name);
        g_autofree char *hint =
            g_strdup_printf("%s has it open, and a TAP has one user at a time; stop that program first",
                            holders ? holders : "another process (run as root to see which)");
        hostnet_error_set(error, reason, NULL, hint, "%s", what);
        return -1;
    }
    if (reason == EPERM) {
        hostnet_error_set(error, reason, NULL,
                          "needs CAP_NET_ADMIN, or to be the user or group that the TAP was made for", "%s",
                          what);
        return -1;
    }
    if (reason) {
        hostnet_error_set(error, reason, NULL, NULL, "%s", what);
        return -1;
    }
    /* Had it gone in between, the kernel would have made a new one of that name; closing removes that again.
     */
    g_autoptr(hostnet_link) attached = hostnet_link_find(net, identity->name, NULL);
    if (!attached || attached->index != identity->index) {
        hostnet_error_set(error, ENODEV, NULL, "it went this very moment; bring the lab up again", "%s",
                          what);
        return -1;
    }
    return hostnet_fd_steal(&fd);
}

/* ---- on a fd ---- */

bool hostnet_tap_set_persistent(int fd, bool persistent, GError **error)
{
    if (ioctl(fd, TUNSETPERSIST, persistent ? 1UL : 0UL) < 0)
        return hostnet_error_set(error, errno, NULL, "pass the fd of an attached TAP",
                                 "changing the persistence of a TAP");
    return true;
}

bool hostnet_tap_set_offload(int fd, unsigned offloads, GError **error)
{
    unsigned long flags = (offloads & HOSTNET_TAP_CHECKSUM ? TUN_F_CSUM : 0) |
                          (offloads & HOSTNET_TAP_TSO4 ? TUN_F_TSO4 : 0) |
                          (offloads & HOSTNET_TAP_TSO6 ? TUN_F_TSO6 : 0);
    if ((flags & (TUN_F_TSO4 | TUN_F_TSO6)) && !(flags & TUN_F_CSUM))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "TAP offloads: segmentation needs checksums; ask for both");
    if (ioctl(fd, TUNSETOFFLOAD, flags) < 0)
        return hostnet_error_set(error, errno, NULL, "pass the fd of a TAP that was made with vnet_hdr",
                                 "setting the offloads of a TAP");
    return true;
}

bool hostnet_tap_describe_fd(int fd, struct hostnet_tap_fd *description, GError **error)
{
    struct ifreq request = {};
    if (ioctl(fd, TUNGETIFF, &request) < 0)
        return hostnet_error_set_code(error, HOSTNET_ERROR_INVALID, errno, NULL,
                                      "pass the fd of an attached TAP", "looking at fd %d", fd);
    unsigned flags = (unsigned short)request.ifr_flags;
    int size = 0;
    if ((flags & IFF_VNET_HDR) && ioctl(fd, TUNGETVNETHDRSZ, &size) < 0)
        return hostnet_error_set(error, errno, NULL, NULL, "looking at TAP fd %d", fd);
    *description = (struct hostnet_tap_fd){
        .is_tap = (flags & IFF_TAP) != 0,
        .vnet_hdr = (flags & IFF_VNET_HDR) != 0,
        .persistent = (flags & IFF_PERSIST) != 0,
        .multi_queue = (flags & IFF_MULTI_QUEUE) != 0,
        .vnet_hdr_size = (uint32_t)size,
    };
    g_strlcpy(description->name, request.ifr_name, sizeof description->name);
    return true;
}

/* ---- who has it ---- */

static bool is_number(const char *text)
{
    for (const char *at = text; *at; at++)
        if (!isdigit((unsigned char)*at))
            return false;
    return *text != '\0';
}

/* Does one of the process's fds belong to the TAP of this name? The driver writes "iff:\tNAME" into fdinfo.
 */
static bool has_tap_open(const char *pid, const char *name)
{
    g_autofree char *folder = g_strdup_printf("/proc/%s/fdinfo", pid);
    g_autofree char *wanted = g_strdup_printf("\niff:\t%s\n", name);
    DIR *directory = opendir(folder);
    bool found = false;
    for (struct dirent *entry; directory && !found && (entry = readdir(directory));) {
        if (!is_number(entry->d_name))
            continue;
        g_autofree char *path = g_strdup_printf("%s/%s", folder, entry->d_name);
        g_autofree char *text = NULL;
        found = g_file_get_contents(path, &text, NULL, NULL) && strstr(text, wanted);
    }
    if (directory)
        closedir(directory);
    return found;
}

char *hostnet_tap_describe_holders(const char *name)
{
    g_autoptr(GString) holders = g_string_new(NULL);
    DIR *directory = opendir("/proc");
    unsigned shown = 0;
    for (struct dirent *entry; directory && shown < HOLDERS_SHOWN && (entry = readdir(directory));) {
        if (!is_number(entry->d_name) || !has_tap_open(entry->d_name, name))
            continue;
        g_autofree char *path = g_strdup_printf("/proc/%s/comm", entry->d_name);
        g_autofree char *command = NULL;
        if (!g_file_get_contents(path, &command, NULL, NULL))
            continue;
        g_strchomp(command);
        g_string_append_printf(holders, "%s%s (pid %s)", shown++ ? ", " : "", command, entry->d_name);
    }
    if (directory)
        closedir(directory);
    return shown ? g_string_free(g_steal_pointer(&holders), FALSE) : NULL;
}
