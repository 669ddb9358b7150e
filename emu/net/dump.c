/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Frames to a pcap file (the format of draft-ietf-opsawg-pcap: magic of nanosecond time stamps, Ethernet).
 *
 * One writev() a frame straight into the file, so that a file of a machine that was killed is whole up to the
 * last frame, and `tcpdump -r` may follow it. When a write fails (disk full) the file is cut back to its last
 * whole record and writing ends, which the user is told; the machine does not care.
 *
 * A dump watches another's port (-object filter-dump), or is a listener of its own on a hub (-net dump), a
 * port that takes everything and sends nothing.
 */
#include "emu/net/frame.h"
#include "emu/net/netdev.h"
#include "emu/trace.h"
#include "emu/fdset.h"

#include <errno.h>
#include <fcntl.h>
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
    const struct net_env *env;
    char *path;
    unsigned watch; /* 0: none, the port is ours */
    int fd;         /* -1 after an error */
    off_t end;
    size_t most; /* bytes kept of each frame */
    uint64_t frames;
};

static void see(void *opaque, bool out, const struct net_frame *frame)
{
    struct net_dump *dump = opaque;
    if (dump->fd < 0)
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    size_t kept = MIN(frame->length, dump->most);
    struct pcap_record record = {.seconds = (uint32_t)now.tv_sec,
                                 .nanoseconds = (uint32_t)now.tv_nsec,
                                 .captured = (uint32_t)kept,
                                 .length = (uint32_t)frame->length};
    struct iovec iov[NET_IOV_MAX + 2];
    iov[0] = (struct iovec){.iov_base = &record, .iov_len = sizeof record};
    unsigned count = net_iov_slice(frame->iov, frame->count, 0, kept, iov + 1, NET_IOV_MAX + 1);
    off_t wanted = (off_t)(sizeof record + kept);
    ssize_t n = writev(dump->fd, iov, (int)count + 1);
    if (n == wanted) {
        dump->end += wanted;
        dump->frames++;
        return;
    }
    int why = n < 0 ? errno : ENOSPC;
    bool whole = n <= 0 || ftruncate(dump->fd, dump->end) == 0;
    close(dump->fd);
    dump->fd = -1;
    g_autofree char *text = g_strdup_printf(
        "capture file %s: %s; it ends after %" G_GUINT64_FORMAT " frames%s, and the machine runs on "
        "(make room, then capture into another file: object_add filter-dump)",
        dump->path, g_strerror(why), dump->frames, whole ? "" : " and part of one");
    dump->env->warn(dump->env->opaque, text);
}

static struct net_dump *open_file(const char *path, const struct net_env *env, GError **error)
{
    int fd = fdset_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const struct pcap_header header = {.magic = PCAP_MAGIC_NS,
                                       .major = 2,
                                       .minor = 4,
                                       .snap_length = SNAP_LENGTH,
                                       .link_type = LINKTYPE_ETHERNET};
    if (fd < 0 || write(fd, &header, sizeof header) != sizeof header) {
        int why = fd < 0 ? errno : ENOSPC;
        net_fail(error, why, "capture file %s: %s; name a file that can be written with file=", path,
                 g_strerror(why));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct net_dump *dump = g_new0(struct net_dump, 1);
    dump->fd = fd;
    dump->env = env;
    dump->path = g_strdup(path);
    dump->end = sizeof header;
    dump->most = SNAP_LENGTH;
    return dump;
}

struct net_dump *net_dump_new(struct net_port *port, const struct net_env *env, const char *path,
                              GError **error)
{
    struct net_dump *dump = open_file(path, env, error);
    if (dump) {
        dump->port = port;
        dump->watch = net_watch(port, see, dump);
    }
    return dump;
}

void net_dump_limit(struct net_dump *dump, size_t length)
{
    dump->most = length ? MIN(length, (size_t)SNAP_LENGTH) : SNAP_LENGTH;
}

void net_dump_free(struct net_dump *dump)
{
    if (!dump)
        return;
    if (dump->watch)
        net_unwatch(dump->port, dump->watch);
    if (dump->fd >= 0)
        close(dump->fd);
    g_free(dump->path);
    g_free(dump);
}

/* ---- -net dump ---- */

static const struct keyval_row dump_rows[] = {
    {"file", KEYVAL_PATH, .help = "pcap file to write (qemu-vlan0.pcap)"},
    {"len", KEYVAL_SIZE, .help = "bytes kept of each frame (64K)"},
};

static enum net_result listener_receive(void *opaque, const struct net_frame *frame)
{
    see(opaque, false, frame);
    return NET_SENT;
}

static void listener_free(void *opaque)
{
    net_dump_free(opaque);
}

static const struct net_ops listener_ops = {
    .kind = "dump", .receive = listener_receive, .free = listener_free};

static bool dump_check(const struct keyval *kv, GError **error)
{
    return true;
}

static struct net_port *dump_open(const char *id, const struct keyval *kv, const struct net_env *env,
                                  GError **error)
{
    struct net_dump *dump = open_file(keyval_string(kv, "file", "qemu-vlan0.pcap"), env, error);
    if (!dump)
        return NULL;
    net_dump_limit(dump, keyval_number(kv, "len", 65536));
    dump->port = net_port_new(id, &listener_ops, dump, 0);
    return dump->port;
}

const struct net_kind net_kind_dump = {.name = "dump",
                                       .help = "writes what the hub carries to a pcap file",
                                       .rows = dump_rows,
                                       .row_count = G_N_ELEMENTS(dump_rows),
                                       .old_only = true,
                                       .check = dump_check,
                                       .open = dump_open};
