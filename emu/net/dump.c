/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Captures: the frames of a cable's end to a file or a reader.
 *
 * pcap (draft-ietf-opsawg-pcap: magic of nanosecond time stamps, Ethernet): one writev() a frame straight
 * into the file, so that a file of a machine that was killed is whole up to the last frame, and `tcpdump -r`
 * may follow it. When a write fails (disk full) the file is cut back to its last whole record and writing
 * ends, which the user is told; the machine does not care.
 *
 * pcapng (draft-ietf-opsawg-pcapng): a section header and one interface, then a block a frame with its
 * direction as the guest sees it; how many frames were lost before it, if any; counters at the end. Blocks go
 * through a ring and another thread (dump_sink.c), to a file or live to a reader.
 *
 * A dump watches another's port (-object filter-dump), or is a listener of its own on a hub (-net dump), a
 * port that takes everything and sends nothing.
 */
#include "emu/fdset.h"
#include "emu/net/dump_sink.h"
#include "emu/net/frame.h"
#include "emu/net/netdev.h"
#include "emu/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
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

enum pcapng_block {
    PCAPNG_SECTION = 0x0a0d0d0a,
    PCAPNG_INTERFACE = 1,
    PCAPNG_STATISTICS = 5,
    PCAPNG_PACKET = 6,
};
enum pcapng_option {
    PCAPNG_END = 0,
    PCAPNG_SHB_PROGRAM = 4,
    PCAPNG_IF_NAME = 2,
    PCAPNG_IF_DESCRIPTION = 3,
    PCAPNG_IF_TSRESOL = 9,
    PCAPNG_EPB_FLAGS = 2,
    PCAPNG_EPB_DROPPED = 4,
    PCAPNG_ISB_START = 2,
    PCAPNG_ISB_END = 3,
    PCAPNG_ISB_RECEIVED = 4,
    PCAPNG_ISB_DROPPED = 5,
};
enum { PCAPNG_MAGIC = 0x1a2b3c4d, PCAPNG_INBOUND = 1, PCAPNG_OUTBOUND = 2 };

struct pcapng_packet {
    uint32_t type, total, interface, time_high, time_low, captured, length;
};

/* What follows a frame's bytes: padding is put in front of it. */
struct pcapng_tail {
    uint16_t flags_code, flags_length;
    uint32_t flags;
    uint32_t rest[5]; /* dropped (code and length, low, high), end, total */
};

struct net_dump {
    struct net_port *port;
    const struct net_env *env;
    char *path;
    unsigned watch;         /* 0: none, the port is ours */
    struct dump_sink *sink; /* pcapng; NULL: pcap */
    int fd;                 /* pcap: -1 after an error */
    off_t end;
    size_t most; /* bytes kept of each frame */
    enum net_dump_queue queue;
    bool finished; /* an error or the reader's leaving was noticed */
    uint64_t frames, bytes, dropped, dropped_told;
    uint64_t began; /* ns since 1970 */
};

/* ---- pcapng ---- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void block_begin(GByteArray *block, uint32_t type)
{
    const uint32_t front[] = {type, 0};
    g_byte_array_set_size(block, 0);
    g_byte_array_append(block, (const uint8_t *)front, sizeof front);
}

static void block_option(GByteArray *block, enum pcapng_option code, const void *value, size_t length)
{
    const uint16_t front[] = {(uint16_t)code, (uint16_t)length};
    const uint8_t zeroes[4] = {0};
    g_byte_array_append(block, (const uint8_t *)front, sizeof front);
    g_byte_array_append(block, value, (guint)length);
    g_byte_array_append(block, zeroes, -length & 3);
}

static bool block_put(GByteArray *block, struct dump_sink *sink)
{
    block_option(block, PCAPNG_END, "", 0);
    uint32_t total = block->len + 4;
    g_byte_array_append(block, (const uint8_t *)&total, sizeof total);
    memcpy(block->data + 4, &total, sizeof total);
    struct iovec iov = {.iov_base = block->data, .iov_len = block->len};
    return dump_sink_put(sink, &iov, 1, block->len);
}

/* Section and interface. The ring is empty then and has room. */
static void put_headers(struct net_dump *dump, const struct net_port *port, const char *name)
{
    static const uint8_t nanoseconds = 9;
    g_autoptr(GByteArray) block = g_byte_array_new();
    g_autoptr(GString) about = g_string_new(NULL);
    const struct {
        uint32_t magic;
        uint16_t major, minor;
        int64_t length;
    } section = {PCAPNG_MAGIC, 1, 0, -1};
    const struct {
        uint16_t link, reserved;
        uint32_t most;
    } interface = {LINKTYPE_ETHERNET, 0, (uint32_t)dump->most};
    block_begin(block, PCAPNG_SECTION);
    g_byte_array_append(block, (const uint8_t *)&section, sizeof section);
    block_option(block, PCAPNG_SHB_PROGRAM, "netlab-emu", strlen("netlab-emu"));
    block_put(block, dump->sink);
    if (port)
        net_port_describe(port, about);
    block_begin(block, PCAPNG_INTERFACE);
    g_byte_array_append(block, (const uint8_t *)&interface, sizeof interface);
    block_option(block, PCAPNG_IF_NAME, name, MIN(strlen(name), 255u));
    block_option(block, PCAPNG_IF_DESCRIPTION, about->str, MIN(about->len, 255u));
    block_option(block, PCAPNG_IF_TSRESOL, &nanoseconds, 1);
    block_put(block, dump->sink);
}

static void put_statistics(struct net_dump *dump)
{
    g_autoptr(GByteArray) block = g_byte_array_new();
    uint64_t now = now_ns(), seen = dump->frames + dump->dropped;
    const uint32_t front[] = {0, (uint32_t)(now >> 32), (uint32_t)now};
    const uint32_t start[] = {(uint32_t)(dump->began >> 32), (uint32_t)dump->began};
    block_begin(block, PCAPNG_STATISTICS);
    g_byte_array_append(block, (const uint8_t *)front, sizeof front);
    block_option(block, PCAPNG_ISB_START, start, sizeof start);
    block_option(block, PCAPNG_ISB_END, front + 1, 8);
    block_option(block, PCAPNG_ISB_RECEIVED, &seen, sizeof seen);
    block_option(block, PCAPNG_ISB_DROPPED, &dump->dropped, sizeof dump->dropped);
    block_put(block, dump->sink);
}

static void put_packet(struct net_dump *dump, uint32_t direction, const struct net_frame *frame)
{
    static const uint8_t zeroes[4];
    uint64_t now = now_ns(), lost = dump->dropped - dump->dropped_told;
    size_t kept = MIN(frame->length, dump->most), padding = -kept & 3;
    struct pcapng_tail tail = {.flags_code = PCAPNG_EPB_FLAGS, .flags_length = 4, .flags = direction};
    unsigned words = 0;
    if (lost) {
        tail.rest[words++] = PCAPNG_EPB_DROPPED | 8 << 16;
        tail.rest[words++] = (uint32_t)lost;
        tail.rest[words++] = (uint32_t)(lost >> 32);
    }
    tail.rest[words++] = PCAPNG_END;
    size_t tail_length = offsetof(struct pcapng_tail, rest) + 4 * (words + 1);
    size_t total = sizeof(struct pcapng_packet) + kept + padding + tail_length;
    tail.rest[words] = (uint32_t)total;
    struct pcapng_packet packet = {.type = PCAPNG_PACKET,
                                   .total = (uint32_t)total,
                                   .time_high = (uint32_t)(now >> 32),
                                   .time_low = (uint32_t)now,
                                   .captured = (uint32_t)kept,
                                   .length = (uint32_t)frame->length};
    struct iovec iov[NET_IOV_MAX + 4];
    iov[0] = (struct iovec){.iov_base = &packet, .iov_len = sizeof packet};
    unsigned count = 1 + net_iov_slice(frame->iov, frame->count, 0, kept, iov + 1, NET_IOV_MAX + 1);
    iov[count++] = (struct iovec){.iov_base = (uint8_t *)zeroes, .iov_len = padding};
    iov[count++] = (struct iovec){.iov_base = &tail, .iov_len = tail_length};
    if (dump_sink_put(dump->sink, iov, count, total)) {
        dump->frames++;
        dump->bytes += frame->length;
        dump->dropped_told = dump->dropped;
    } else {
        dump->dropped++;
    }
}

/* ---- both ---- */

static void give_up(struct net_dump *dump, int why, uint64_t frames, bool whole)
{
    dump->finished = true;
    if (dump->sink && !dump_sink_is_file(dump->sink)) {
        trace(NET, "capture into %s: the reader has gone", dump->path);
        return;
    }
    g_autofree char *text = g_strdup_printf(
        "capture file %s: %s; it ends after %" G_GUINT64_FORMAT " frames%s, and the machine runs on "
        "(make room, then capture into another file: object_add filter-dump)",
        dump->path, g_strerror(why), frames, whole ? "" : " and part of one");
    dump->env->warn(dump->env->opaque, text);
}

static void put_record(struct net_dump *dump, const struct net_frame *frame)
{
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
        dump->bytes += frame->length;
        return;
    }
    int why = n < 0 ? errno : ENOSPC;
    bool whole = n <= 0 || ftruncate(dump->fd, dump->end) == 0;
    close(dump->fd);
    dump->fd = -1;
    give_up(dump, why, dump->frames, whole);
}

/* out: from the watched end, which is the back end's: to the guest. */
static void see(void *opaque, bool out, const struct net_frame *frame)
{
    struct net_dump *dump = opaque;
    if (dump->finished || (out ? dump->queue == NET_DUMP_RX : dump->queue == NET_DUMP_TX))
        return;
    if (!dump->sink) {
        put_record(dump, frame);
        return;
    }
    int why = dump_sink_ended(dump->sink);
    if (why)
        give_up(dump, why, dump_sink_frames(dump->sink), true);
    else
        put_packet(dump, !dump->watch ? 0 : out ? PCAPNG_INBOUND : PCAPNG_OUTBOUND, frame);
}

/* ---- opening ---- */

static int open_socket(const char *path, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        net_fail(error, ENAMETOOLONG,
                 "capture socket %s: its path is longer than %zu bytes; use a shorter one", path,
                 sizeof address.sun_path - 1);
        return -1;
    }
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int why = errno;
    if (fd >= 0)
        close(fd);
    net_fail(error, why, "capture socket %s: %s; start the reader that listens there first", path,
             g_strerror(why));
    return -1;
}

static int open_path(const char *path, bool pcapng, GError **error)
{
    /* A pipe without a reader would wait for one. */
    int flags = O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | (pcapng ? O_NONBLOCK : 0);
    int fd = fdset_open(path, O_WRONLY | flags, 0600);
    if (fd < 0 && errno == EACCES && fdset_is_path(path)) /* sockets go both ways */
        fd = fdset_open(path, O_RDWR | flags, 0600);
    if (fd < 0 && errno == ENXIO)
        net_fail(error, ENXIO, "capture file %s: nobody reads this pipe; start its reader first", path);
    else if (fd < 0)
        net_fail(error, errno, "capture file %s: %s; name a file that can be written with file=", path,
                 g_strerror(errno));
    return fd;
}

static bool begin_pcap(struct net_dump *dump, GError **error)
{
    const struct pcap_header header = {.magic = PCAP_MAGIC_NS,
                                       .major = 2,
                                       .minor = 4,
                                       .snap_length = SNAP_LENGTH,
                                       .link_type = LINKTYPE_ETHERNET};
    dump->end = sizeof header;
    ssize_t n = write(dump->fd, &header, sizeof header);
    return n == sizeof header ||
           net_fail(error, n < 0 ? errno : ENOSPC,
                    "capture file %s: %s; name a file that can be written with file=", dump->path,
                    g_strerror(n < 0 ? errno : ENOSPC));
}

static struct net_dump *open_dump(const struct net_dump_config *config, const struct net_port *port,
                                  const char *name, const struct net_env *env, GError **error)
{
    int fd =
        config->socket ? open_socket(config->socket, error) : open_path(config->path, config->pcapng, error);
    if (fd < 0)
        return NULL;
    struct net_dump *dump = g_new0(struct net_dump, 1);
    dump->fd = fd;
    dump->env = env;
    dump->path = g_strdup(config->socket ? config->socket : config->path);
    dump->most = config->length ? MIN(config->length, (uint64_t)SNAP_LENGTH) : SNAP_LENGTH;
    dump->queue = config->queue;
    dump->began = now_ns();
    if (config->pcapng) {
        dump->sink = dump_sink_new(fd, config->buffer ? config->buffer : DUMP_RING_USUAL, error);
        if (dump->sink)
            dump->fd = -1;
        else
            g_prefix_error(error, "capture into %s: ", dump->path);
    }
    if (config->pcapng ? dump->sink != NULL : begin_pcap(dump, error)) {
        if (dump->sink)
            put_headers(dump, port, name);
        return dump;
    }
    net_dump_free(dump);
    return NULL;
}

struct net_dump *net_dump_new(struct net_port *port, const struct net_env *env,
                              const struct net_dump_config *config, GError **error)
{
    struct net_dump *dump = open_dump(config, port, net_port_id(port), env, error);
    if (dump) {
        dump->port = port;
        dump->watch = net_watch(port, see, dump);
    }
    return dump;
}

void net_dump_counters(const struct net_dump *dump, struct net_dump_counters *out)
{
    bool ended = dump->finished || (dump->sink && dump_sink_ended(dump->sink));
    *out = (struct net_dump_counters){.path = dump->path,
                                      .pcapng = dump->sink != NULL,
                                      .live = dump->sink && !dump_sink_is_file(dump->sink),
                                      .ended = ended,
                                      .frames = dump->frames,
                                      .bytes = dump->bytes,
                                      .dropped = dump->dropped};
}

void net_dump_free(struct net_dump *dump)
{
    if (!dump)
        return;
    if (dump->watch)
        net_unwatch(dump->port, dump->watch);
    if (dump->sink && !dump_sink_ended(dump->sink))
        put_statistics(dump);
    dump_sink_free(dump->sink);
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
    const struct net_dump_config config = {.path = keyval_string(kv, "file", "qemu-vlan0.pcap"),
                                           .length = keyval_number(kv, "len", 65536)};
    struct net_dump *dump = open_dump(&config, NULL, id, env, error);
    if (!dump)
        return NULL;
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
