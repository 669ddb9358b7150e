/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A guest's TFTP requests to user networking, libslirp's server behind them: files are served, named pipes,
 * sockets, devices and folders are not, by IPv4 (options and fragments as well) and by IPv6, and nothing
 * waits: an open() of a pipe would, until the test's time-out. Requests to others are not looked at.
 */
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"
#include "emu/net/frame.h"
#include "emu/net/netdev.h"
#include "emu/net/tftp.h"
#include "emu/net/user.h"

#include <arpa/inet.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { TFTP_READ = 1, TFTP_DATA = 3, TFTP_ERROR = 5, NOT_FOUND = 1, ACCESS_VIOLATION = 2 };

struct rig {
    struct clock *clock;
    struct loop *loop;
    struct net_env env;
    struct net_port *net, *guest;
    char *folder;
    unsigned opcode, code; /* of the last answer by TFTP; 0: none */
    struct tftp_server server;
};

static void keep_text(void *opaque, const char *text)
{
    g_test_message("%s", text);
}

static enum net_result guest_takes(void *opaque, const struct net_frame *frame)
{
    struct rig *r = opaque;
    uint8_t data[2048];
    size_t length = net_iov_copy(frame->iov, frame->count, 0, data, sizeof data);
    struct net_layout layout;
    if (net_layout_parse(data, length, length, &layout) && layout.l4_valid &&
        layout.protocol == IPPROTO_UDP && data[layout.l4] == 0 && data[layout.l4 + 1] == 69) {
        r->opcode = data[layout.l4 + 9];
        r->code = data[layout.l4 + 11];
    }
    return NET_SENT;
}

static const struct net_ops guest_ops = {.kind = "guest", .receive = guest_takes};

static void send_frame(struct rig *r, const uint8_t *frame, size_t length)
{
    struct iovec iov = {(void *)frame, length};
    net_send(r->guest, &(struct net_frame){.iov = &iov, .count = 1, .length = length});
}

/* Whoever is asked for his address learns ours: ARP (RFC 826), neighbour solicitation (RFC 4861 4.3). */
static void introduce(struct rig *r)
{
    uint8_t arp[42] =
        "\xff\xff\xff\xff\xff\xff\x52\x54\0\x12\x34\x56\x08\x06\0\1\x08\0\6\4\0\1\x52\x54\0\x12\x34\x56"
        "\x0a\0\2\x0f\0\0\0\0\0\0\x0a\0\2\2";
    uint8_t ask[86] = "\x33\x33\xff\0\0\2\x52\x54\0\x12\x34\x56\x86\xdd\x60\0\0\0\0\x20\x3a\xff";
    struct net_layout layout;
    inet_pton(AF_INET6, "fec0::15", ask + 22);
    inet_pton(AF_INET6, "fec0::2", ask + 38);
    ask[54] = 135;
    inet_pton(AF_INET6, "fec0::2", ask + 62);
    ask[78] = ask[79] = 1;
    memcpy(ask + 80, ask + 6, 6);
    g_assert_true(net_layout_parse(ask, sizeof ask, sizeof ask, &layout));
    uint16_t sum =
        (uint16_t)~net_checksum_bytes(ask + 54, 32, net_checksum_pseudo(ask, &layout, IPPROTO_ICMPV6, 32));
    ask[56] = (uint8_t)(sum >> 8);
    ask[57] = (uint8_t)sum;
    send_frame(r, arp, sizeof arp);
    send_frame(r, ask, sizeof ask);
}

static struct net_port *open_user(struct rig *r, const char *words, GError **error)
{
    static struct keyval_table table = {.count = USER_ROW_COUNT};
    table.rows = net_kind_user.rows;
    struct keyval *kv = keyval_parse(&table, words, error);
    struct net_port *port = kv ? net_kind_user.open("u", kv, &r->env, error) : NULL;
    g_test_queue_destroy((GDestroyNotify)keyval_free, kv);
    return port;
}

static void set_up(struct rig *r, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    r->clock = clock_new();
    r->loop = loop_new(r->clock, &error);
    r->env = (struct net_env){.loop = r->loop, .clock = r->clock, .opaque = r, .warn = keep_text};
    r->folder = g_dir_make_tmp("netlab-tftp-XXXXXX", NULL);
    g_autofree char *words = g_strdup_printf("tftp=%s", r->folder),
                    *file = g_build_filename(r->folder, "file", NULL),
                    *pipe = g_build_filename(r->folder, "pipe", NULL),
                    *link = g_build_filename(r->folder, "link", NULL),
                    *good = g_build_filename(r->folder, "good", NULL),
                    *sub = g_build_filename(r->folder, "sub", NULL),
                    *inner = g_build_filename(sub, "pipe", NULL),
                    *device = g_build_filename(r->folder, "zero", NULL);
    g_assert_true(g_file_set_contents(file, "some text", -1, NULL));
    g_assert_cmpint(mkfifo(pipe, 0600), ==, 0);
    g_assert_cmpint(symlink("pipe", link), ==, 0);
    g_assert_cmpint(symlink("file", good), ==, 0);
    g_assert_cmpint(symlink("/dev/zero", device), ==, 0);
    g_assert_cmpint(mkdir(sub, 0700), ==, 0);
    g_assert_cmpint(mkfifo(inner, 0600), ==, 0);
    r->net = open_user(r, words, &error);
    g_assert_no_error(error);
    r->guest = net_port_new("guest", &guest_ops, r, 0);
    net_join(r->net, r->guest);
    introduce(r);
    r->server.folder = r->folder;
    inet_pton(AF_INET, "10.0.2.2", &r->server.host);
    inet_pton(AF_INET6, "fec0::2", &r->server.host6);
}

static void tear_down(struct rig *r, gconstpointer unused)
{
    static const char *const names[] = {"file", "pipe", "link",   "good", "sub/pipe",
                                        "sub",  "zero", "socket", "later"};
    net_port_free(r->net);
    net_port_free(r->guest);
    loop_free(r->loop);
    clock_free(r->clock);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(r->folder, names[i], NULL);
        g_remove(path);
    }
    g_assert_cmpint(g_rmdir(r->folder), ==, 0);
    g_free(r->folder);
}

static void put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* A frame with a datagram of ours to the server; options: bytes of IPv4 options, a multiple of four. */
static size_t request(uint8_t *frame, bool six, size_t options, const char *to, unsigned opcode,
                      const char *name, bool summed)
{
    static uint16_t port = 2000;
    size_t header = six ? 40 : 20 + options, name_length = strlen(name);
    uint8_t *ip = frame + 14, *udp = ip + header;
    size_t udp_length = 8 + 2 + name_length + 1 + sizeof "octet";
    memset(frame, 0, 14 + header + udp_length);
    memcpy(frame, "\x52\x55\x0a\0\2\2\x52\x54\0\x12\x34\x56", 12);
    put16(frame + 12, six ? 0x86dd : 0x0800);
    put16(udp, ++port);
    put16(udp + 2, 69);
    put16(udp + 4, udp_length);
    put16(udp + 8, opcode);
    memcpy(udp + 10, name, name_length + 1);
    memcpy(udp + 10 + name_length + 1, "octet", sizeof "octet");
    if (six) {
        ip[0] = 0x60;
        put16(ip + 4, udp_length);
        ip[6] = IPPROTO_UDP;
        ip[7] = 64;
        inet_pton(AF_INET6, "fec0::15", ip + 8);
        inet_pton(AF_INET6, to, ip + 24);
    } else {
        ip[0] = (uint8_t)(0x40 | header / 4);
        put16(ip + 2, header + udp_length);
        ip[8] = 64;
        ip[9] = IPPROTO_UDP;
        inet_pton(AF_INET, "10.0.2.15", ip + 12);
        inet_pton(AF_INET, to, ip + 16);
        memset(ip + 20, 1, options);
        put16(ip + 10, (uint16_t)~net_checksum_bytes(ip, header, 0));
    }
    size_t length = 14 + header + udp_length;
    struct net_layout layout;
    g_assert_true(net_layout_parse(frame, length, length, &layout));
    if (summed || six)
        put16(udp + 6,
              (uint16_t)~net_checksum_bytes(
                  udp, udp_length, net_checksum_pseudo(frame, &layout, IPPROTO_UDP, (uint32_t)udp_length)));
    return length;
}

/* The answer: TFTP_DATA, or the code of an error. */
static void expect(struct rig *r, const char *name, unsigned code)
{
    int64_t deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (!r->opcode && g_get_monotonic_time() < deadline)
        loop_wait(r->loop, 100 * 1000000);
    g_test_message("%s: %u, %u", name, r->opcode, r->code);
    g_assert_cmpuint(r->opcode, ==, code ? TFTP_ERROR : TFTP_DATA);
    g_assert_cmpuint(r->code, ==, code ? code : 1);
    r->opcode = 0;
}

static const struct {
    const char *name;
    unsigned code;
} rows[] = {
    {"file", 0},
    {"pipe", ACCESS_VIOLATION},
    {"good", 0},
    {"link", ACCESS_VIOLATION},
    {"/sub//pipe", ACCESS_VIOLATION},
    {"./pipe", ACCESS_VIOLATION},
    {"sub", ACCESS_VIOLATION},
    {"sub/..", ACCESS_VIOLATION},
    {"zero", ACCESS_VIOLATION},
    {"socket", ACCESS_VIOLATION},
    {"missing", NOT_FOUND},
    {"../etc/passwd", ACCESS_VIOLATION},
    {"", ACCESS_VIOLATION},
    {"file", 0},
};

static void test_answers(struct rig *r, gconstpointer unused)
{
    uint8_t frame[700];
    g_autofree char *path = g_build_filename(r->folder, "socket", NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    for (unsigned how = 0; how < 5; how++)
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
            bool six = how == 3, fragments = how == 4;
            size_t length = request(frame, six, how == 1 ? 8 : 0, six ? "fec0::2" : "10.0.2.2", TFTP_READ,
                                    rows[i].name, how != 2);
            if (!fragments) {
                send_frame(r, frame, length);
            } else { /* 16 bytes of the datagram, and then the rest */
                uint8_t rest[700];
                size_t cut = 14 + 20 + 16;
                memcpy(rest, frame, 34);
                memcpy(rest + 34, frame + cut, length - cut);
                put16(frame + 16, 20 + 16);
                put16(frame + 18, i);
                put16(frame + 20, 0x2000);
                put16(rest + 16, 20 + length - cut);
                put16(rest + 18, i);
                put16(rest + 20, 2);
                for (unsigned k = 0; k < 2; k++) {
                    uint8_t *ip = (k ? rest : frame) + 14;
                    put16(ip + 10, 0);
                    put16(ip + 10, (uint16_t)~net_checksum_bytes(ip, 20, 0));
                }
                send_frame(r, rest, length - 16);
                send_frame(r, frame, cut);
            }
            expect(r, rows[i].name, rows[i].code);
        }
    close(fd);
}

/* What is not looked at, or is not for the server, and what the altered request looks like. */
static void test_frames(struct rig *r, gconstpointer unused)
{
    uint8_t frame[700];
    size_t length = request(frame, false, 0, "10.0.2.2", TFTP_READ, "pipe", true);
    g_autofree uint8_t *altered = tftp_refuse(&r->server, frame, length);
    g_assert_nonnull(altered);
    g_assert_cmpstr((const char *)altered + 44, ==, "pip/");
    struct net_layout layout;
    g_assert_true(net_layout_parse(altered, length, length, &layout));
    g_assert_cmphex(
        net_checksum_bytes(altered + 34, length - 34,
                           net_checksum_pseudo(altered, &layout, IPPROTO_UDP, (uint32_t)length - 34)),
        ==, 0xffff);
    for (size_t cut = 0; cut < length; cut++) { /* shorter than it says: read no farther */
        g_autofree uint8_t *piece = g_memdup2(frame, cut);
        g_autofree uint8_t *got = tftp_refuse(&r->server, piece, cut);
        g_assert_true(!got || cut >= 14 + 20 + 10 + sizeof "pipe");
    }
    struct tftp_server none = r->server;
    none.folder = NULL;
    g_assert_null(tftp_refuse(&none, frame, length));
    length = request(frame, false, 0, "10.0.2.3", TFTP_READ, "pipe", true);
    g_assert_null(tftp_refuse(&r->server, frame, length));
    length = request(frame, true, 0, "fec0::3", TFTP_READ, "pipe", true);
    g_assert_null(tftp_refuse(&r->server, frame, length));
    length = request(frame, false, 0, "10.0.2.2", 4, "pipe", true);
    g_assert_null(tftp_refuse(&r->server, frame, length));
    length = request(frame, false, 0, "10.0.2.2", TFTP_READ, "pipe", true);
    frame[37] = 70; /* another port */
    g_assert_null(tftp_refuse(&r->server, frame, length));
    /* A name as long as any, and one without an end: the server refuses both. */
    g_autofree char *name = g_strnfill(511, 'x');
    length = request(frame, false, 0, "10.0.2.2", TFTP_READ, name, true);
    g_assert_null(tftp_refuse(&r->server, frame, length));
    send_frame(r, frame, length);
    expect(r, "a long name", NOT_FOUND);
    memset(frame + 44, 'y', length - 44);
    g_assert_null(tftp_refuse(&r->server, frame, length));
}

static void test_bootfile(struct rig *r, gconstpointer unused)
{
    static const struct {
        const char *name, *says;
    } files[] = {{"file", NULL},
                 {"/file", NULL},
                 {"later", NULL},
                 {"pipe", "pipe is a named pipe; name a file to boot from"},
                 {"/zero", "zero is a device"},
                 {"sub/pipe", "is a named pipe"}};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *words = g_strdup_printf("tftp=%s,bootfile=%s", r->folder, files[i].name);
        struct net_port *port = open_user(r, words, &error);
        g_assert_true(!port == !!files[i].says);
        if (files[i].says)
            g_assert_nonnull(strstr(error->message, files[i].says));
        net_port_free(port);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/tftp/answers", struct rig, NULL, set_up, test_answers, tear_down);
    g_test_add("/tftp/frames", struct rig, NULL, set_up, test_frames, tear_down);
    g_test_add("/tftp/bootfile", struct rig, NULL, set_up, test_bootfile, tear_down);
    return g_test_run();
}
