/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The TAP back end: a cable into the host's kernel (Linux, Documentation/networking/tuntap.rst).
 *
 * Out: one writev() a frame, gathered straight from guest memory by the NIC. In: one readv() a frame into the
 * buffer here. With IFF_VNET_HDR each frame is preceded by a struct virtio_net_hdr, and a "frame" may be a
 * TCP burst of up to 64 KiB with its checksum still to be done: the kernel then carries it over the bridge
 * whole, to the next TAP or the next NIC, and nobody on the way computes anything. What the kernel may hand
 * us unfinished (TUNSETOFFLOAD) is what the peer says it can take; what an old peer cannot take is cut here.
 *
 * Backpressure: when the peer answers NET_FULL the frame stays in the buffer, the fd is no longer watched,
 * and the kernel queues and in the end drops (tx_dropped of the interface). room() sends what is held and
 * watches again. Writes do not wait: what the kernel does not take at once is dropped and counted, as a wire
 * does.
 *
 * When the interface is deleted under us the link goes down and the machine runs on. Machine thread only.
 */
#include "emu/machine/loop.h"
#include "emu/net/frame.h"
#include "emu/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    FRAMES_PER_WAKE = 64,
    BYTES_PER_WAKE = 512 * 1024,
};

struct net_tap {
    struct net_port *port;
    struct loop *loop;
    struct loop_fd *watch;
    int fd;
    bool vnet_hdr;
    unsigned offload; /* NET_CAN_… told to the kernel */
    char ifname[IFNAMSIZ];
    char *down_script; /* NULL: none */
    bool holding;      /* the buffer has a frame the peer had no room for */
    unsigned held_piece;
    size_t length;
    struct virtio_net_hdr header;
    uint8_t buffer[NET_FRAME_MAX + 1]; /* one more, to notice what is too long */
};

/* ---- out: guest to host ---- */

static void tap_gone(struct net_tap *tap, int why)
{
    if (!tap->watch)
        return;
    trace(NET, "%s: interface %s is gone (%s)", net_port_id(tap->port), tap->ifname, g_strerror(why));
    loop_remove_fd(g_steal_pointer(&tap->watch));
    tap->holding = false;
    net_set_link(tap->port, false);
}

static void describe(const struct net_frame *frame, struct virtio_net_hdr *out)
{
    const struct net_offload *offload = &frame->offload;
    *out = (struct virtio_net_hdr){0};
    if (offload->needs_checksum) {
        out->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        out->csum_start = offload->checksum_start;
        out->csum_offset = offload->checksum_offset;
    } else if (offload->checksum_good) {
        out->flags = VIRTIO_NET_HDR_F_DATA_VALID;
    }
    if (offload->gso == NET_GSO_NONE)
        return;
    out->gso_type = offload->gso == NET_GSO_TCPV4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
    out->gso_size = offload->gso_size;
    out->hdr_len = offload->header_length;
    uint8_t flags = 0;
    net_iov_copy(frame->iov, frame->count, offload->checksum_start + 13u, &flags, 1);
    if (flags & 0x80) /* CWR: only the first piece may keep it */
        out->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
}

static enum net_result tap_write(void *opaque, const struct net_frame *frame)
{
    struct net_tap *tap = opaque;
    struct virtio_net_hdr header;
    struct iovec iov[NET_IOV_MAX + 2];
    unsigned count = 0;
    if (tap->vnet_hdr) {
        describe(frame, &header);
        iov[count++] = (struct iovec){.iov_base = &header, .iov_len = sizeof header};
    }
    if (frame->count > NET_IOV_MAX + 1) {
        net_drop(tap->port, NET_DROP_ERROR);
        return NET_DROPPED;
    }
    memcpy(iov + count, frame->iov, frame->count * sizeof *iov);
    count += frame->count;

    ssize_t n;
    do
        n = writev(tap->fd, iov, (int)count);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return NET_SENT;
    int why = errno;
    trace(NET, "%s: %s did not take %zu bytes: %s", net_port_id(tap->port), tap->ifname, frame->length,
          g_strerror(why));
    net_drop(tap->port, why == EIO ? NET_DROP_LINK_DOWN : NET_DROP_ERROR); /* EIO: the interface is down */
    if (why == EBADFD)
        tap_gone(tap, why);
    return NET_DROPPED;
}

static enum net_result tap_receive(void *opaque, const struct net_frame *frame)
{
    struct net_tap *tap = opaque;
    unsigned can = tap->vnet_hdr ? NET_CAN_CHECKSUM | NET_CAN_TSO4 | NET_CAN_TSO6 : 0;
    if (!tap->watch) {
        net_drop(tap->port, NET_DROP_LINK_DOWN);
        return NET_DROPPED;
    }
    return net_frame_finish(frame, can, tap_write, tap);
}

/* ---- in: host to guest ---- */

/* False: the kernel says something about the frame that nobody asked it to. */
static bool understand(const struct net_tap *tap, struct net_frame *frame)
{
    const struct virtio_net_hdr *header = &tap->header;
    struct net_offload *offload = &frame->offload;
    if (!tap->vnet_hdr)
        return true;
    offload->needs_checksum = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
    offload->checksum_start = header->csum_start;
    offload->checksum_offset = header->csum_offset;
    offload->checksum_good = header->flags & (VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_NEEDS_CSUM);
    offload->gso_size = header->gso_size;
    offload->header_length = header->hdr_len;
    switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE:
        offload->gso = NET_GSO_NONE;
        return true;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        offload->gso = NET_GSO_TCPV4;
        return offload->needs_checksum;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        offload->gso = NET_GSO_TCPV6;
        return offload->needs_checksum;
    default:
        return false;
    }
}

/* Sends what is in the buffer, from piece number held_piece on. */
static enum net_result deliver(struct net_tap *tap)
{
    struct iovec iov = {.iov_base = tap->buffer, .iov_len = tap->length};
    struct net_frame frame = {.iov = &iov, .count = 1, .length = tap->length};
    if (!understand(tap, &frame)) {
        net_drop(tap->port, NET_DROP_ERROR);
        return NET_DROPPED;
    }
    if (!net_frame_unfinished(&frame, net_peer_can(tap->port)))
        return net_send(tap->port, &frame);
    struct net_cutter cutter;
    if (!net_cutter_init(&cutter, &frame, tap->held_piece)) {
        net_drop(tap->port, NET_DROP_ERROR);
        return NET_DROPPED;
    }
    for (const struct net_frame *piece; (piece = net_cutter_next(&cutter));)
        if (net_send(tap->port, piece) == NET_FULL) {
            tap->held_piece = cutter.next - 1;
            return NET_FULL;
        }
    return NET_SENT;
}

static void tap_ready(void *opaque, unsigned events)
{
    struct net_tap *tap = opaque;
    size_t bytes = 0;
    for (unsigned frames = 0; frames < FRAMES_PER_WAKE && bytes < BYTES_PER_WAKE && tap->watch; frames++) {
        if (tap->holding)
            return;
        struct iovec iov[2] = {{.iov_base = &tap->header, .iov_len = sizeof tap->header},
                               {.iov_base = tap->buffer, .iov_len = sizeof tap->buffer}};
        ssize_t n = tap->vnet_hdr ? readv(tap->fd, iov, 2) : readv(tap->fd, iov + 1, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EAGAIN)
                tap_gone(tap, errno);
            else if (events & LOOP_HANGUP && frames == 0)
                tap_gone(tap, ENODEV);
            return;
        }
        size_t length = (size_t)n;
        size_t before = tap->vnet_hdr ? sizeof tap->header : 0;
        if (length < before + NET_FRAME_MIN || length > before + NET_FRAME_MAX) {
            net_drop(tap->port, length > before + NET_FRAME_MAX ? NET_DROP_TOO_LONG : NET_DROP_TOO_SHORT);
            continue;
        }
        tap->length = length - before;
        tap->held_piece = 0;
        bytes += tap->length;
        if (deliver(tap) == NET_FULL) {
            tap->holding = true;
            if (tap->watch)
                loop_set_events(tap->watch, 0);
        }
    }
}

/* What came meanwhile is taken at once: the guest is at its ring now, and a watch would be set and taken back
 * for each few descriptors that it gives. */
static void tap_room(void *opaque)
{
    struct net_tap *tap = opaque;
    if (!tap->holding || !tap->watch)
        return;
    if (deliver(tap) == NET_FULL)
        return;
    tap->holding = false;
    tap_ready(tap, 0);
    if (tap->watch && !tap->holding)
        loop_set_events(tap->watch, LOOP_READ);
}

static void tap_poll(void *opaque)
{
    struct net_tap *tap = opaque;
    if (!tap->watch || tap->holding)
        return;
    loop_looked(tap->loop);
    tap_ready(tap, 0);
}

/* ---- setting up ---- */

/* Tells the kernel what the peer can take. Kernels that know no TSO for TAPs still know checksums. */
static void negotiate(struct net_tap *tap)
{
    if (!tap->vnet_hdr)
        return;
    unsigned can = net_peer_can(tap->port);
    unsigned long flags = 0;
    if (can & NET_CAN_CHECKSUM) {
        flags = TUN_F_CSUM;
        if (can & NET_CAN_TSO4)
            flags |= TUN_F_TSO4 | TUN_F_TSO_ECN;
        if (can & NET_CAN_TSO6)
            flags |= TUN_F_TSO6 | TUN_F_TSO_ECN;
    }
    if (ioctl(tap->fd, TUNSETOFFLOAD, flags) == 0) {
        tap->offload = can;
    } else if (flags && ioctl(tap->fd, TUNSETOFFLOAD, (unsigned long)TUN_F_CSUM) == 0) {
        tap->offload = NET_CAN_CHECKSUM;
    } else {
        tap->offload = 0;
    }
    trace(NET, "%s: %s may hand over%s%s%s", net_port_id(tap->port), tap->ifname,
          tap->offload ? "" : " finished frames only", tap->offload & NET_CAN_CHECKSUM ? " checksums" : "",
          tap->offload & (NET_CAN_TSO4 | NET_CAN_TSO6) ? " and bursts" : "");
}

static void tap_link_changed(void *opaque, bool up)
{
    if (up)
        negotiate(opaque);
}

static void tap_free(void *opaque)
{
    struct net_tap *tap = opaque;
    loop_remove_fd(tap->watch);
    g_autoptr(GError) error = NULL;
    if (tap->down_script && !net_tap_script(tap->down_script, tap->ifname, &error))
        trace(NET, "%s", error->message);
    if (tap->fd >= 0)
        close(tap->fd);
    g_free(tap->down_script);
    g_free(tap);
}

static void tap_describe(const void *opaque, GString *out)
{
    g_string_append_printf(out, ", ifname=%s", ((const struct net_tap *)opaque)->ifname);
}

static const struct net_ops tap_ops = {
    .kind = "tap",
    .receive = tap_receive,
    .room = tap_room,
    .poll = tap_poll,
    .link_changed = tap_link_changed,
    .free = tap_free,
    .describe = tap_describe,
};

const char *net_tap_ifname(const struct net_port *port)
{
    const struct net_tap *tap = net_port_opaque(port, &tap_ops);
    return tap ? tap->ifname : NULL;
}

/* Which process has the TAP of this name open, as "NAME (pid N)"; NULL when it cannot be seen. Tun files say
 * in /proc/PID/fdinfo/FD the name of their interface and not its network namespace, where others may have one
 * of the same name: a process of our own namespace is the likelier holder, one of another may have been
 * passed its descriptor. */
static char *find_holder(const char *ifname)
{
    g_autofree char *wanted = g_strdup_printf("iff:\t%s\n", ifname);
    g_autofree char *ours = g_file_read_link("/proc/self/ns/net", NULL), *elsewhere = NULL;
    g_autoptr(GDir) processes = g_dir_open("/proc", 0, NULL);
    for (const char *pid; processes && (pid = g_dir_read_name(processes));) {
        if (!g_ascii_isdigit(*pid))
            continue;
        g_autofree char *folder = g_build_filename("/proc", pid, "fdinfo", NULL);
        g_autoptr(GDir) files = g_dir_open(folder, 0, NULL);
        for (const char *fd; files && (fd = g_dir_read_name(files));) {
            g_autofree char *path = g_build_filename(folder, fd, NULL);
            g_autofree char *text = NULL;
            if (!g_file_get_contents(path, &text, NULL, NULL) || !strstr(text, wanted))
                continue;
            g_autofree char *comm = g_build_filename("/proc", pid, "comm", NULL);
            g_autofree char *namespace = g_build_filename("/proc", pid, "ns", "net", NULL);
            g_autofree char *theirs = g_file_read_link(namespace, NULL), *name = NULL;
            if (!g_file_get_contents(comm, &name, NULL, NULL))
                continue; /* it has just ended */
            if (!g_strcmp0(ours, theirs))
                return g_strdup_printf("%s (pid %s)", g_strstrip(name), pid);
            if (!elsewhere)
                elsewhere =
                    g_strdup_printf("another program, perhaps %s (pid %s, which is in another network "
                                    "namespace)",
                                    g_strstrip(name), pid);
        }
    }
    return g_steal_pointer(&elsewhere);
}

static void set_error(GError **error, int code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void set_error(GError **error, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, G_IO_ERROR, g_io_error_from_errno(code), message);
}

static void explain_open(int why, GError **error)
{
    if (why == ENOENT)
        set_error(
            error, why,
            "/dev/net/tun does not exist: load the driver with \"modprobe tun\"; in a container, give it the "
            "device, or \"mkdir -p /dev/net && mknod /dev/net/tun c 10 200\"");
    else if (why == ENODEV || why == ENXIO)
        set_error(error, why,
                  "/dev/net/tun exists but the kernel has no tun driver: \"modprobe tun\", or "
                  "enable CONFIG_TUN in the kernel");
    else if (why == EACCES || why == EPERM)
        set_error(
            error, why,
            "opening /dev/net/tun: %s; its mode should be 0666 (\"chmod 0666 /dev/net/tun\"), or have the "
            "TAP opened by a process that may and pass it with fd=",
            g_strerror(why));
    else
        set_error(error, why, "opening /dev/net/tun: %s", g_strerror(why));
}

static void explain_attach(const char *ifname, int why, GError **error)
{
    bool exists = *ifname && if_nametoindex(ifname) != 0;
    if (why == EBUSY) {
        g_autofree char *holder = find_holder(ifname);
        set_error(error, why,
                  "TAP %s is already in use by %s%s; stop that program or give this machine a TAP of its own",
                  ifname, holder ? holder : "another program",
                  holder ? "" : " (run \"grep -l iff: /proc/*/fdinfo/*\" as root to find it)");
    } else if (why == EPERM && exists) {
        set_error(error, why,
                  "TAP %s belongs to another user; have its owner set to uid %u (\"netlab host tap add %s "
                  "--user\", "
                  "or ip tuntap add … user), run with CAP_NET_ADMIN, or pass it with fd=",
                  ifname, (unsigned)geteuid(), ifname);
    } else if (why == EPERM) {
        set_error(error, why,
                  "no such interface: TAP %s, and creating it needs CAP_NET_ADMIN; make it first for uid %u "
                  "(\"netlab host tap add %s --user\"), or pass an open one with fd=",
                  *ifname ? ifname : "(any name)", (unsigned)geteuid(), ifname);
    } else if (why == EINVAL && exists) {
        set_error(error, why,
                  "%s is not a TAP that can be opened (another kind of interface, or a TUN); name "
                  "another one with ifname=",
                  ifname);
    } else {
        set_error(error, why, "attaching to TAP %s: %s", ifname, g_strerror(why));
    }
}

/* Opens by name. Tries with IFF_VNET_HDR unless told not to, then what else the interface may have been made
 * with (multi_queue). */
static int open_by_name(const struct net_tap_config *config, struct ifreq *out, GError **error)
{
    const char *name = config->ifname ? config->ifname : "";
    if (strlen(name) >= IFNAMSIZ) {
        set_error(error, EINVAL,
                  "interface name \"%s\" is longer than %d characters; give a shorter ifname=", name,
                  IFNAMSIZ - 1);
        return -1;
    }
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        explain_open(errno, error);
        return -1;
    }
    static const short variants[] = {0, IFF_MULTI_QUEUE};
    int why = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++) {
        *out = (struct ifreq){0};
        g_strlcpy(out->ifr_name, name, sizeof out->ifr_name);
        out->ifr_flags =
            (short)(IFF_TAP | IFF_NO_PI | variants[i] | (config->vnet_hdr != 0 ? IFF_VNET_HDR : 0));
        if (ioctl(fd, TUNSETIFF, out) == 0)
            return fd;
        if (i == 0 || errno != EINVAL)
            why = errno;
        if (why != EINVAL)
            break;
    }
    explain_attach(name, why, error);
    close(fd);
    return -1;
}

static bool adopt(struct net_tap *tap, const struct net_tap_config *config, GError **error)
{
    struct ifreq ifr = {0};
    if (ioctl(tap->fd, TUNGETIFF, &ifr) < 0) {
        int why = errno;
        if (why == EBADFD)
            set_error(error, why,
                      "fd %d is /dev/net/tun but attached to no interface; do TUNSETIFF before passing it",
                      tap->fd);
        else if (why == EBADF)
            set_error(error, why, "fd=%d is not open; pass the fd of a TAP to this process", tap->fd);
        else
            set_error(error, why, "fd %d is not a TAP (%s); pass the fd of an open /dev/net/tun", tap->fd,
                      g_strerror(why));
        return false;
    }
    unsigned flags = (unsigned short)ifr.ifr_flags;
    g_strlcpy(tap->ifname, ifr.ifr_name, sizeof tap->ifname);
    /* Whether the fd was opened with IFF_NO_PI cannot be known: TUNGETIFF uses that bit for IFF_NOFILTER. */
    if (!(flags & IFF_TAP)) {
        set_error(error, EINVAL, "fd %d (%s) is a TUN, not a TAP; open it with IFF_TAP | IFF_NO_PI", tap->fd,
                  tap->ifname);
        return false;
    }
    tap->vnet_hdr = flags & IFF_VNET_HDR;
    if (config->vnet_hdr == 1 && !tap->vnet_hdr) {
        set_error(error, EINVAL,
                  "fd %d (%s) was opened without IFF_VNET_HDR; leave out vnet_hdr=on or open it "
                  "with that flag",
                  tap->fd, tap->ifname);
        return false;
    }
    int size = sizeof(struct virtio_net_hdr);
    if (tap->vnet_hdr && ioctl(tap->fd, TUNSETVNETHDRSZ, &size) < 0) {
        set_error(error, errno, "setting the header size of TAP %s: %s", tap->ifname, g_strerror(errno));
        return false;
    }
    int status = fcntl(tap->fd, F_GETFL);
    if (status < 0 || fcntl(tap->fd, F_SETFL, status | O_NONBLOCK) < 0 ||
        fcntl(tap->fd, F_SETFD, FD_CLOEXEC) < 0) {
        set_error(error, errno, "making fd %d (%s) non-blocking: %s", tap->fd, tap->ifname,
                  g_strerror(errno));
        return false;
    }
    return true;
}

static bool limit_sending(struct net_tap *tap, const struct net_tap_config *config, GError **error)
{
    int bytes = (int)MIN(config->sndbuf, (uint64_t)INT_MAX);
    if (!bytes || ioctl(tap->fd, TUNSETSNDBUF, &bytes) == 0)
        return true;
    set_error(error, errno, "sndbuf=%d: the kernel does not take it for TAP %s (%s); leave it out", bytes,
              tap->ifname, g_strerror(errno));
    return false;
}

struct net_port *net_tap_new(const char *id, struct loop *loop, const struct net_tap_config *config,
                             GError **error)
{
    bool opened = config->fd < 0;
    struct ifreq ifr;
    int fd = opened ? open_by_name(config, &ifr, error) : config->fd;
    if (fd < 0)
        return NULL;
    struct net_tap *tap = g_new0(struct net_tap, 1);
    tap->fd = fd;
    tap->loop = loop;
    if (!adopt(tap, config, error) || !limit_sending(tap, config, error)) {
        if (opened)
            close(fd);
        g_free(tap);
        return NULL;
    }
    tap->port =
        net_port_new(id, &tap_ops, tap, tap->vnet_hdr ? NET_CAN_CHECKSUM | NET_CAN_TSO4 | NET_CAN_TSO6 : 0);
    tap->down_script = g_strdup(config->down_script);
    negotiate(tap); /* no peer yet: finished frames only */
    tap->watch = loop_add_fd(loop, fd, LOOP_READ, tap_ready, tap);
    trace(NET, "%s: TAP %s, fd %d%s", id, tap->ifname, fd, tap->vnet_hdr ? ", vnet_hdr" : "");
    return tap->port;
}
