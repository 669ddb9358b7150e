/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Captures as pcapng: the blocks of a file, one by one; a full disk; live to a reader that is quick, slow, or
 * leaves; a frame that finds no room and comes again. Files are read back by a plain reader here.
 */
#include "emu/net/dump_sink.h"
#include "emu/net/frame.h"
#include "emu/net/netdev.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { SOON_US = 10 * G_USEC_PER_SEC };

/* ---- a cable whose far end takes as much as it is told to ---- */

struct bench {
    struct net_port *near, *far;
    unsigned takes; /* frames before it is full */
    GString *warned;
    struct net_env env;
    char *folder, *path;
};

static enum net_result take(void *opaque, const struct net_frame *frame)
{
    struct bench *b = opaque;
    if (!b->takes)
        return NET_FULL;
    b->takes--;
    return NET_SENT;
}

static const struct net_ops ops = {.kind = "end", .receive = take};

static void keep_text(void *opaque, const char *text)
{
    g_string_append_printf(opaque, "%s\n", text);
}

static void setup(struct bench *b)
{
    g_autoptr(GError) error = NULL;
    *b = (struct bench){.takes = G_MAXUINT, .warned = g_string_new(NULL)};
    b->near = net_port_new("near", &ops, b, 0);
    b->far = net_port_new("far", &ops, b, 0);
    b->env = (struct net_env){.opaque = b->warned, .warn = keep_text};
    net_join(b->near, b->far);
    b->folder = g_dir_make_tmp("netlab-capture-XXXXXX", &error);
    g_assert_no_error(error);
    b->path = g_build_filename(b->folder, "a.pcapng", NULL);
}

static void teardown(struct bench *b)
{
    net_port_free(b->near);
    net_port_free(b->far);
    g_string_free(b->warned, TRUE);
    g_unlink(b->path);
    g_assert_cmpint(g_rmdir(b->folder), ==, 0);
    g_free(b->path);
    g_free(b->folder);
}

/* A frame of three pieces whose bytes count on from `first`. */
static enum net_result send_frame(struct net_port *port, size_t length, uint8_t first)
{
    static uint8_t data[NET_FRAME_MAX];
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(first + i);
    struct iovec iov[] = {{data, 14}, {data + 14, (length - 14) / 2}, {data + 14 + (length - 14) / 2, 0}};
    iov[2].iov_len = length - 14 - iov[1].iov_len;
    struct net_frame frame = {.iov = iov, .count = 3, .length = length};
    if (length > 16384)
        frame.offload = (struct net_offload){
            .needs_checksum = true, .gso = NET_GSO_TCPV4, .gso_size = 1448, .checksum_start = 34};
    return net_send(port, &frame);
}

static struct net_dump *capture(struct bench *b, struct net_dump_config config)
{
    g_autoptr(GError) error = NULL;
    config.pcapng = true;
    if (!config.socket && !config.path)
        config.path = b->path;
    struct net_dump *dump = net_dump_new(b->near, &b->env, &config, &error);
    g_assert_no_error(error);
    return dump;
}

/* ---- a reader ---- */

struct frame_seen {
    size_t captured, length;
    uint32_t flags;
    uint64_t ns, dropped;
    const uint8_t *data;
};

struct reading {
    GArray *frames; /* struct frame_seen */
    uint64_t dropped, received, counted_dropped;
    unsigned statistics;
    size_t rest; /* bytes of a block that is not whole */
    char *name;
};

static uint32_t get32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

/* The value of an option of [at, end), which have to be well-formed up to the end; NULL: not there. */
static const uint8_t *find_option(const uint8_t *at, const uint8_t *end, unsigned wanted, unsigned *length)
{
    const uint8_t *found = NULL;
    for (;;) {
        g_assert_cmpuint((size_t)(end - at), >=, 4);
        unsigned code = get32(at) & 0xffff, size = get32(at) >> 16;
        at += 4;
        if (code == 0) {
            g_assert_cmpuint(size, ==, 0);
            g_assert_true(at == end);
            return found;
        }
        g_assert_cmpuint((size_t)(end - at), >=, (size + 3) & ~3u);
        if (code == wanted) {
            found = at;
            *length = size;
        }
        at += (size + 3) & ~3u;
    }
}

static void read_block(struct reading *r, const uint8_t *block, uint32_t length, size_t number)
{
    const uint8_t *end = block + length - 4;
    unsigned size = 0;
    const uint8_t *value;
    switch (get32(block)) {
    case 0x0a0d0d0a:
        g_assert_cmpuint(number, ==, 0);
        g_assert_cmphex(get32(block + 8), ==, 0x1a2b3c4d);
        g_assert_cmpuint(get32(block + 12), ==, 1);
        g_assert_cmpint((int64_t)get64(block + 16), ==, -1);
        value = find_option(block + 24, end, 4, &size);
        g_assert_cmpmem(value, size, "netlab-emu", 10);
        break;
    case 1:
        g_assert_cmpuint(number, ==, 1);
        g_assert_cmpuint(get32(block + 8), ==, 1);
        value = find_option(block + 16, end, 9, &size);
        g_assert_true(size == 1 && *value == 9);
        value = find_option(block + 16, end, 2, &size);
        r->name = g_strndup((const char *)value, size);
        break;
    case 6: {
        struct frame_seen f = {.captured = get32(block + 20),
                               .length = get32(block + 24),
                               .ns = (uint64_t)get32(block + 12) << 32 | get32(block + 16),
                               .data = block + 28};
        g_assert_cmpuint(get32(block + 8), ==, 0);
        g_assert_cmpuint(f.captured, <=, length - 32);
        const uint8_t *options = block + 28 + ((f.captured + 3) & ~3ul);
        f.flags = get32(find_option(options, end, 2, &size));
        value = find_option(options, end, 4, &size);
        f.dropped = value ? get64(value) : 0;
        r->dropped += f.dropped;
        g_array_append_val(r->frames, f);
        break;
    }
    case 5:
        r->statistics++;
        r->received = get64(find_option(block + 20, end, 4, &size));
        r->counted_dropped = get64(find_option(block + 20, end, 5, &size));
        break;
    default:
        g_assert_not_reached();
    }
}

static struct reading read_blocks(const uint8_t *data, size_t length)
{
    struct reading r = {.frames = g_array_new(FALSE, FALSE, sizeof(struct frame_seen))};
    size_t at = 0;
    for (size_t number = 0; length - at >= 12 && get32(data + at + 4) <= length - at; number++) {
        uint32_t size = get32(data + at + 4);
        g_assert_cmpuint(size % 4, ==, 0);
        g_assert_cmpuint(size, >=, 12);
        g_assert_cmpuint(get32(data + at + size - 4), ==, size);
        read_block(&r, data + at, size, number);
        at += size;
    }
    r.rest = length - at;
    return r;
}

static const struct frame_seen *frame_at(const struct reading *r, guint i)
{
    g_assert_cmpuint(i, <, r->frames->len);
    return &g_array_index(r->frames, struct frame_seen, i);
}

static void reading_clear(struct reading *r)
{
    g_array_unref(r->frames);
    g_free(r->name);
}

/* ---- tests ---- */

static void test_file(void)
{
    struct bench b;
    setup(&b);
    int64_t before = g_get_real_time() * 1000;
    struct net_dump *dump = capture(&b, (struct net_dump_config){.length = 100});
    for (unsigned i = 0; i < 8; i++) /* every amount of padding */
        send_frame(i & 1 ? b.near : b.far, 60 + i, (uint8_t)i);
    send_frame(b.near, NET_FRAME_MAX, 77);
    net_set_link(b.near, false);
    send_frame(b.near, 60, 0); /* refused: nobody saw it */
    struct net_dump_counters counters;
    net_dump_counters(dump, &counters);
    g_assert_cmpuint(counters.frames, ==, 9);
    g_assert_true(counters.pcapng && !counters.live && !counters.ended && !counters.dropped);
    net_dump_free(dump);
    g_autofree char *data = NULL;
    gsize length;
    g_assert_true(g_file_get_contents(b.path, &data, &length, NULL));
    struct reading r = read_blocks((const uint8_t *)data, length);
    g_assert_cmpuint(r.rest, ==, 0);
    g_assert_cmpstr(r.name, ==, "near");
    g_assert_cmpuint(r.frames->len, ==, 9);
    for (unsigned i = 0; i < 9; i++) {
        const struct frame_seen *f = frame_at(&r, i);
        g_assert_cmpuint(f->length, ==, i < 8 ? 60 + i : NET_FRAME_MAX);
        g_assert_cmpuint(f->captured, ==, MIN(f->length, 100));
        g_assert_cmpuint(f->flags, ==, i & 1 || i == 8 ? 1 : 2); /* near is the back end: to the guest */
        for (size_t k = 0; k < f->captured; k++)
            g_assert_cmpuint(f->data[k], ==, (uint8_t)((i < 8 ? i : 77) + k));
        g_assert_cmpint((int64_t)f->ns, >=, i ? (int64_t)frame_at(&r, i - 1)->ns : before);
    }
    g_assert_cmpint((int64_t)frame_at(&r, 8)->ns, <=, (g_get_real_time() + 1) * 1000);
    g_assert_cmpuint(r.statistics, ==, 1);
    g_assert_cmpuint(r.received, ==, 9);
    reading_clear(&r);
    teardown(&b);
}

/* One direction only. */
static void test_queues(void)
{
    static const enum net_dump_queue queues[] = {NET_DUMP_RX, NET_DUMP_TX};
    for (unsigned i = 0; i < 2; i++) {
        struct bench b;
        setup(&b);
        struct net_dump *dump = capture(&b, (struct net_dump_config){.queue = queues[i]});
        send_frame(b.near, 100, 0);
        send_frame(b.far, 101, 0);
        net_dump_free(dump);
        g_autofree char *data = NULL;
        gsize length;
        g_assert_true(g_file_get_contents(b.path, &data, &length, NULL));
        struct reading r = read_blocks((const uint8_t *)data, length);
        g_assert_cmpuint(r.frames->len, ==, 1);
        g_assert_cmpuint(frame_at(&r, 0)->length, ==, queues[i] == NET_DUMP_RX ? 101 : 100);
        reading_clear(&r);
        teardown(&b);
    }
}

/* More than the ring holds, many times over: a file loses nothing and keeps the order. */
static void test_much(void)
{
    struct bench b;
    setup(&b);
    struct net_dump *dump = capture(&b, (struct net_dump_config){.buffer = 1});
    enum { FRAMES = 3000 };
    for (unsigned i = 0; i < FRAMES; i++)
        send_frame(b.near, 60 + (i * 7919) % (i % 50 ? 1400 : 60000), (uint8_t)i);
    net_dump_free(dump);
    g_autofree char *data = NULL;
    gsize length;
    g_assert_true(g_file_get_contents(b.path, &data, &length, NULL));
    struct reading r = read_blocks((const uint8_t *)data, length);
    g_assert_cmpuint(r.rest, ==, 0);
    g_assert_cmpuint(r.frames->len, ==, FRAMES);
    g_assert_cmpuint(r.received, ==, FRAMES);
    g_assert_cmpuint(r.counted_dropped, ==, 0);
    for (unsigned i = 0; i < FRAMES; i++) {
        const struct frame_seen *f = frame_at(&r, i);
        g_assert_cmpuint(f->captured, ==, 60 + (i * 7919) % (i % 50 ? 1400 : 60000));
        for (size_t k = 0; k < f->captured; k += 59)
            g_assert_cmpuint(f->data[k], ==, (uint8_t)(i + k));
    }
    reading_clear(&r);
    teardown(&b);
}

/* A full disk: whole blocks only, and it is said, once. */
static void test_full_disk(void)
{
    struct bench b;
    setup(&b);
    struct net_dump *dump = capture(&b, (struct net_dump_config){0});
    struct rlimit before, small;
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
    small = (struct rlimit){.rlim_cur = 5000, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &small), ==, 0);
    int64_t until = g_get_monotonic_time() + SOON_US;
    struct net_dump_counters counters = {0};
    while (!counters.ended && g_get_monotonic_time() < until) {
        g_assert_cmpint(send_frame(b.near, 300, 0), ==, NET_SENT);
        net_dump_counters(dump, &counters);
    }
    g_assert_true(counters.ended);
    for (unsigned i = 0; i < 3; i++)
        g_assert_cmpint(send_frame(b.near, 300, 0), ==, NET_SENT);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &before), ==, 0);
    net_dump_free(dump);
    g_autofree char *data = NULL;
    gsize length;
    g_assert_true(g_file_get_contents(b.path, &data, &length, NULL));
    struct reading r = read_blocks((const uint8_t *)data, length);
    g_assert_cmpuint(r.rest, ==, 0);
    g_assert_cmpuint(length, <=, 5000);
    g_assert_cmpuint(length, >, 4600);
    g_autofree char *told =
        g_strdup_printf("it ends after %u frames, and the machine runs on", r.frames->len);
    g_assert_nonnull(strstr(b.warned->str, told));
    g_assert_true(strchr(b.warned->str, '\n') == b.warned->str + b.warned->len - 1);
    reading_clear(&r);
    teardown(&b);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (const struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

/* Reads until `frames` have come (0: until the end). */
static void receive(int fd, GByteArray *stream, unsigned frames)
{
    int64_t until = g_get_monotonic_time() + SOON_US;
    for (;;) {
        struct reading r = read_blocks(stream->data, stream->len);
        guint have = r.frames->len;
        reading_clear(&r);
        if (frames && have >= frames)
            return;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        g_assert_cmpint(poll(&wait, 1, (int)(MAX(until - g_get_monotonic_time(), 0) / 1000)), ==, 1);
        uint8_t bytes[65536];
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n <= 0) {
            g_assert_cmpuint(frames, ==, 0);
            return;
        }
        g_byte_array_append(stream, bytes, (guint)n);
    }
}

/* A reader gets each frame soon; one that does not read costs nothing but what finds no room, which is
 * counted. */
static void test_reader(void)
{
    struct bench b;
    setup(&b);
    int listener = listen_at(b.path);
    struct net_dump *dump =
        capture(&b, (struct net_dump_config){.socket = b.path, .buffer = DUMP_RING_LEAST});
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    g_autoptr(GByteArray) stream = g_byte_array_new();
    for (unsigned i = 1; i <= 20; i++) {
        send_frame(b.near, 60, (uint8_t)i);
        receive(fd, stream, i);
    }
    struct net_dump_counters counters;
    enum { FLOOD = 4000 };
    for (unsigned i = 0; i < FLOOD; i++)
        g_assert_cmpint(send_frame(b.far, 1514, (uint8_t)i), ==, NET_SENT);
    net_dump_counters(dump, &counters);
    g_assert_true(counters.live && !counters.ended);
    g_assert_cmpuint(counters.dropped, >, FLOOD / 4);
    g_assert_cmpuint(counters.dropped + counters.frames, ==, FLOOD + 20);
    receive(fd, stream, (unsigned)counters.frames);
    int64_t until = g_get_monotonic_time() + SOON_US;
    uint64_t before = counters.frames;
    do /* the ring has room again soon after the reader has read all */
        send_frame(b.far, 99, 0), net_dump_counters(dump, &counters);
    while (counters.frames == before && g_get_monotonic_time() < until);
    g_assert_cmpuint(counters.frames, >, before);
    net_dump_free(dump);
    receive(fd, stream, 0);
    struct reading r = read_blocks(stream->data, stream->len);
    g_assert_cmpuint(r.rest, ==, 0);
    g_assert_cmpuint(r.frames->len, ==, counters.frames);
    g_assert_cmpuint(r.dropped, ==, counters.dropped);
    g_assert_cmpuint(r.counted_dropped, ==, counters.dropped);
    g_assert_cmpuint(r.received, ==, counters.dropped + counters.frames);
    g_assert_cmpuint(b.warned->len, ==, 0);
    reading_clear(&r);
    close(fd);
    close(listener);
    teardown(&b);
}

/* Readers that leave, at once and in the middle, and one that never reads while the capture ends. */
static void test_reader_leaves(void)
{
    for (unsigned turn = 0; turn < 3; turn++) {
        struct bench b;
        setup(&b);
        int listener = listen_at(b.path);
        struct net_dump *dump = capture(&b, (struct net_dump_config){.socket = b.path});
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        for (unsigned i = 0; turn && i < 3000; i++)
            send_frame(b.near, 1514, 0);
        struct net_dump_counters counters = {0};
        if (turn < 2) {
            close(fd);
            int64_t until = g_get_monotonic_time() + SOON_US;
            while (!counters.ended && g_get_monotonic_time() < until) {
                g_usleep(1000);
                net_dump_counters(dump, &counters);
            }
            g_assert_true(counters.ended);
        }
        g_assert_cmpint(send_frame(b.near, 60, 0), ==, NET_SENT);
        net_dump_free(dump);
        g_assert_cmpuint(b.warned->len, ==, 0);
        if (turn == 2)
            close(fd);
        close(listener);
        teardown(&b);
    }
}

static void test_refused(void)
{
    struct bench b;
    setup(&b);
    g_autofree char *deep =
        g_strconcat(b.folder, "/",
                    "0123456789012345678901234567890123456789012345678901234567890123456789"
                    "0123456789012345678901234567890123456789",
                    NULL);
    const struct {
        struct net_dump_config config;
        const char *says;
    } cases[] = {
        {{.socket = b.path}, "start the reader"},
        {{.socket = deep}, "use a shorter one"},
        {{.path = b.folder}, "file="},
        {{.path = "/nonexistent/x"}, "file="},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        struct net_dump_config config = cases[i].config;
        config.pcapng = true;
        g_assert_null(net_dump_new(b.near, &b.env, &config, &error));
        g_assert_nonnull(strstr(error->message, cases[i].says));
    }
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(mkfifo(b.path, 0600), ==, 0);
    g_assert_null(
        net_dump_new(b.near, &b.env, &(struct net_dump_config){.path = b.path, .pcapng = true}, &error));
    g_assert_nonnull(strstr(error->message, "nobody reads this pipe"));
    int fd = open(b.path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct net_dump *dump = capture(&b, (struct net_dump_config){0});
    g_autoptr(GByteArray) stream = g_byte_array_new();
    send_frame(b.near, 60, 0);
    receive(fd, stream, 1);
    net_dump_free(dump);
    close(fd);
    teardown(&b);
}

/* What finds no room comes again, and is one frame all the same. */
static void test_again(void)
{
    struct bench b;
    setup(&b);
    struct net_dump *dump = capture(&b, (struct net_dump_config){0});
    b.takes = 1;
    g_assert_cmpint(send_frame(b.near, 60, 1), ==, NET_SENT);
    for (unsigned i = 0; i < 3; i++)
        g_assert_cmpint(send_frame(b.near, 60, 2), ==, NET_FULL);
    b.takes = 1;
    g_assert_cmpint(send_frame(b.near, 60, 2), ==, NET_SENT);
    g_assert_cmpint(send_frame(b.near, 60, 2), ==, NET_FULL); /* another one that looks the same */
    b.takes = 2;
    g_assert_cmpint(send_frame(b.near, 60, 3), ==, NET_SENT); /* the sender has given up the other */
    g_assert_cmpint(send_frame(b.near, 60, 3), ==, NET_SENT);
    net_dump_free(dump);
    g_autofree char *data = NULL;
    gsize length;
    g_assert_true(g_file_get_contents(b.path, &data, &length, NULL));
    struct reading r = read_blocks((const uint8_t *)data, length);
    static const uint8_t first[] = {1, 2, 2, 3, 3};
    g_assert_cmpuint(r.frames->len, ==, G_N_ELEMENTS(first));
    for (unsigned i = 0; i < G_N_ELEMENTS(first); i++)
        g_assert_cmpuint(frame_at(&r, i)->data[0], ==, first[i]);
    reading_clear(&r);
    teardown(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/capture/file", test_file);
    g_test_add_func("/capture/queues", test_queues);
    g_test_add_func("/capture/much", test_much);
    g_test_add_func("/capture/full-disk", test_full_disk);
    g_test_add_func("/capture/reader", test_reader);
    g_test_add_func("/capture/reader-leaves", test_reader_leaves);
    g_test_add_func("/capture/refused", test_refused);
    g_test_add_func("/capture/again", test_again);
    return g_test_run();
}
