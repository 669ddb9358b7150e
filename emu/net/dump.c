/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Frames to a pcap file (the format of draft-ietf-opsawg-pcap: magic of nanosecond time stamps, Ethernet).
 *
 * One writev() a frame straight into the file, so that a file of a machine that was killed is whole up to the
 * last frame, and `tcpdump -r` may follow it. When a write fails (disk full) the file is cut back to its last
 * whole record and writing ends; the machine does not care.
 */
#include "emu/net/backend.h"
#include "emu/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PCAP_MAGIC_NS = 0xa1b23c4d, LINKTYPE_ETHERNET = 1, SNAP_LENGTH = 262144 };

struct pcap_header {
    uint32_t magic;
    uint16_t major, minor;
    int32_t zone;
    uint32_t accuracy, snap_length, link_type;
};

struct pcap_record {
    uint32_t seconds, nanoseconds, captured, length;
};

struct net_dump {
    struct net_port *port;
    unsigned watch;
    int fd; /* -1 after an error */
    off_t end;
};

static void see(void *opaque, bool out, const struct net_frame *frame)
{
    struct net_dump *dump = opaque;
    if (dump->fd < 0)
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct pcap_record record = {.seconds = (uint32_t)now.tv_sec,
                                 .nanoseconds = (uint32_t)now.tv_nsec,
                                 .captured = (uint32_t)frame->length,
                                 .length = (uint32_t)frame->length};
    struct iovec iov[NET_IOV_MAX + 2];
    iov[0] = (struct iovec){.iov_base = &record, .iov_len = sizeof record};
    memcpy(iov + 1, frame->iov, frame->count * sizeof *iov);
    off_t wanted = (off_t)(sizeof record + frame->length);
    ssize_t n = writev(dump->fd, iov, (int)frame->count + 1);
    if (n == wanted) {
        dump->end += wanted;
        return;
    }
    trace(NET, "%s: capture ends: %s", net_port_id(dump->port), n < 0 ? g_strerror(errno) : "file full");
    if (ftruncate(dump->fd, dump->end) < 0)
        trace(NET, "%s: the capture's last record is cut", net_port_id(dump->port));
    close(dump->fd);
    dump->fd = -1;
}

struct net_dump *net_dump_new(struct net_port *port, const char *path, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const struct pcap_header header = {.magic = PCAP_MAGIC_NS,
                                       .major = 2,
                                       .minor = 4,
                                       .snap_length = SNAP_LENGTH,
                                       .link_type = LINKTYPE_ETHERNET};
    if (fd < 0 || write(fd, &header, sizeof header) != sizeof header) {
        int why = fd < 0 ? errno : ENOSPC;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why),
                    "capture file %s: %s; name a file that can be written with file=", path, g_strerror(why));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct net_dump *dump = g_new0(struct net_dump, 1);
    dump->port = port;
    dump->fd = fd;
    dump->end = sizeof header;
    dump->watch = net_watch(port, see, dump);
    return dump;
}

void net_dump_free(struct net_dump *dump)
{
    if (!dump)
        return;
    net_unwatch(dump->port, dump->watch);
    if (dump->fd >= 0)
        close(dump->fd);
    g_free(dump);
}
