/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * TAP interfaces: made with the tun ioctls, configured by netlink.
 *
 * A TAP is made non-persistent with an index of our choice (TUNSETIFINDEX) and its final name, exclusively
 * (IFF_TUN_EXCL: an existing one is never taken over). It then gets mark, alternative name, MAC, MTU, master
 * through netlink, and only when it carries the mark is it made persistent, if that is asked for. Die before,
 * and the kernel removes it with the fd: there is no window in which a crash leaves an unmarked TAP.
 *
 * A fd-held TAP (persistent false) lives as long as one fd of it does, whoever holds it: right for a lab's
 * own namespace, where the supervisor passes the fd to the emulator. An open fd also holds its network
 * namespace.
 *
 * Opening /dev/net/tun goes by the thread's namespace; see hostnet.h. Errors: NO_TUN when the device node is
 * missing or the module absent, PERMISSION when the node may not be opened or CAP_NET_ADMIN is missing, BUSY
 * with the pid and program name of the holder, where it can be seen, when the TAP is open elsewhere.
 */
#pragma once

#include "hostnet/link.h"

#define HOSTNET_TAP_ANYBODY ((uint32_t)-1) /* no owner, no group: CAP_NET_ADMIN is needed to open it */

struct hostnet_tap_spec {
    struct hostnet_link_spec link;
    bool persistent; /* stays when the last fd closes */
    bool has_owner;  /* `owner` may attach without CAP_NET_ADMIN */
    bool has_group;
    uid_t owner;
    gid_t group;
    bool vnet_hdr;    /* each frame is preceded by struct virtio_net_hdr (10 bytes, host byte order) */
    bool multi_queue; /* several fds at once; off: one, and the second opener gets BUSY */
};

/* Makes it and returns the open fd (close-on-exec, non-blocking, ready to be passed), or -1. For a
 * persistent one the fd can be closed at once. The name may not exist (EXISTS). `identity` may be NULL. */
int hostnet_tap_create(struct hostnet *net, const struct hostnet_tap_spec *spec,
                       struct hostnet_link_identity *identity, GError **error);

/* Attaches to an existing TAP of ours: fd, or -1. NOT_FOUND when it is gone (it is never made anew), NOT_OURS
 * when name and mark do not agree, BUSY when somebody has it open. vnet_hdr and multi_queue as it was made.
 */
int hostnet_tap_open(struct hostnet *net, const struct hostnet_link_identity *identity, GError **error);

/* On a TAP's fd: */
bool hostnet_tap_set_persistent(int fd, bool persistent, GError **error);
enum { HOSTNET_TAP_CHECKSUM = 1, HOSTNET_TAP_TSO4 = 2, HOSTNET_TAP_TSO6 = 4 };
/* What the reader of the fd is ready to finish (needs vnet_hdr). */
bool hostnet_tap_set_offload(int fd, unsigned offloads, GError **error);

struct hostnet_tap_fd {
    char name[HOSTNET_NAME_MAX + 1];
    bool is_tap, vnet_hdr, persistent, multi_queue;
    uint32_t vnet_hdr_size; /* bytes; 0 without vnet_hdr */
};
/* Which TAP a fd belongs to. INVALID when it is not one, or not attached. */
bool hostnet_tap_describe_fd(int fd, struct hostnet_tap_fd *description, GError **error);

/* Who has a TAP of this name open, as "netlab-emu (pid 4711), …", or NULL when nobody is seen. Looks at
 * /proc/PID/fdinfo, so other users' processes show only to root. Owned by the caller. */
char *hostnet_tap_describe_holders(const char *name);

/* Deleting: hostnet_link_delete(). It works with fds still open; those then read and write EBADFD. */
