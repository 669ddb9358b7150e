/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Character back ends against real sockets, pipes, files and pseudo-terminals: order, bounds, credit,
 * reconnects, escapes, and that nothing is left behind.
 */
#include "emu/char/char_internal.h"
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

struct bench {
    struct clock *clock;
    struct loop *loop;
    char *folder, *path;
    struct char_port *port;
    GString *got;
    unsigned opened, closed, broke, quits, monitors;
    size_t largest; /* piece that input() was given */
    size_t again;   /* what input() accepts after each piece */
};

static void on_input(void *opaque, const uint8_t *data, size_t len)
{
    struct bench *b = opaque;
    g_string_append_len(b->got, (const char *)data, (gssize)len);
    b->largest = MAX(b->largest, len);
    if (b->again)
        char_accept(b->port, b->again);
}

static void on_opened(void *opaque)
{
    ((struct bench *)opaque)->opened++;
}

static void on_closed(void *opaque)
{
    ((struct bench *)opaque)->closed++;
}

static void on_broke(void *opaque)
{
    ((struct bench *)opaque)->broke++;
}

static void on_quit(void *opaque)
{
    ((struct bench *)opaque)->quits++;
}

static void on_monitor(void *opaque)
{
    ((struct bench *)opaque)->monitors++;
}

static const struct char_events events = {
    .input = on_input, .opened = on_opened, .closed = on_closed, .broke = on_broke};
static const struct char_escape escape = {.quit = on_quit, .monitor = on_monitor};

static void setup(struct bench *b, gconstpointer data)
{
    b->clock = clock_new();
    b->loop = loop_new(b->clock, NULL);
    b->folder = g_dir_make_tmp("netlab-char-XXXXXX", NULL);
    b->path = g_build_filename(b->folder, "port", NULL);
    b->got = g_string_new(NULL);
}

static void teardown(struct bench *b, gconstpointer data)
{
    char_free(b->port);
    loop_free(b->loop);
    clock_free(b->clock);
    g_unlink(b->path);
    g_assert_cmpint(g_rmdir(b->folder), ==, 0);
    g_free(b->folder);
    g_free(b->path);
    g_string_free(b->got, TRUE);
}

static void open_port(struct bench *b, const char *format)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *spec = g_strdup_printf(format, b->path);
    b->port = char_open("serial0", spec, b->loop, &error);
    g_assert_no_error(error);
    char_connect(b->port, &events, b);
    char_set_escape(b->port, &escape, b);
}

/* Runs the loop until the condition holds; a test that waits a minute has failed. */
#define RUN_UNTIL(b, condition)                                                                              \
    do {                                                                                                     \
        gint64 until_ = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;                                        \
        while (!(condition)) {                                                                               \
            g_assert_cmpint(g_get_monotonic_time(), <, until_);                                              \
            loop_wait((b)->loop, 10000000);                                                                  \
        }                                                                                                    \
    } while (0)

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void say(struct char_port *port, const char *text)
{
    char_write(port, (const uint8_t *)text, strlen(text));
}

static void expect(struct bench *b, int fd, const char *text)
{
    char buffer[256];
    size_t done = 0, want = strlen(text);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    while (done < want) {
        ssize_t got = 0;
        RUN_UNTIL(b,
                  (got = read(fd, buffer + done, want - done)) > 0 || (got < 0 && errno != EAGAIN) || !got);
        g_assert_cmpint(got, >, 0);
        done += (size_t)got;
    }
    g_assert_cmpmem(buffer, done, text, want);
}

static void type(int fd, const char *text)
{
    g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
}

/* ---- kinds ---- */

static void test_null(struct bench *b, gconstpointer data)
{
    open_port(b, "null");
    say(b->port, "gone");
    g_assert_true(char_is_open(b->port));
    g_assert_cmpuint(char_dropped(b->port), ==, 0);
}

static void test_file(struct bench *b, gconstpointer data)
{
    g_autofree char *content = NULL;
    open_port(b, "file:%s");
    for (unsigned i = 0; i < 1000; i++)
        say(b->port, "0123456789");
    char_free(b->port); /* flushes */
    b->port = NULL;
    g_assert_true(g_file_get_contents(b->path, &content, NULL, NULL));
    g_assert_cmpuint(strlen(content), ==, 10000);
    g_assert_true(g_str_has_suffix(content, "0123456789"));
    open_port(b, "file:%s,append=on");
    say(b->port, "more");
    RUN_UNTIL(b, ({
                  struct stat st;
                  stat(b->path, &st);
                  st.st_size == 10004;
              }));
}

static void test_unix_server(struct bench *b, gconstpointer data)
{
    struct stat st;
    open_port(b, "unix:%s,server=on,wait=off");
    g_assert_false(char_is_open(b->port));
    g_assert_false(char_is_waiting(b->port));
    g_assert_cmpint(stat(b->path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0600);
    say(b->port, "nobody hears this");
    g_assert_cmpuint(char_dropped(b->port), ==, 17);
    b->again = 4;
    /* Peers come and go, and each speaks and hears. */
    for (unsigned round = 1; round <= 5; round++) {
        int fd = connect_to(b->path);
        g_assert_cmpint(fd, >=, 0);
        RUN_UNTIL(b, b->opened == round);
        g_string_truncate(b->got, 0);
        char_accept(b->port, 4);
        type(fd, "hello there");
        RUN_UNTIL(b, b->got->len == 11);
        g_assert_cmpstr(b->got->str, ==, "hello there");
        g_assert_cmpuint(b->largest, <=, 4);
        say(b->port, "welcome");
        expect(b, fd, "welcome");
        close(fd);
        RUN_UNTIL(b, b->closed == round);
        g_assert_false(char_is_open(b->port));
    }
    char_free(b->port);
    b->port = NULL;
    g_assert_cmpint(access(b->path, F_OK), !=, 0);
}

static void test_second_peer_waits(struct bench *b, gconstpointer data)
{
    open_port(b, "unix:%s,server,nowait");
    int first = connect_to(b->path), second = connect_to(b->path);
    RUN_UNTIL(b, b->opened == 1);
    say(b->port, "a");
    expect(b, first, "a");
    close(first);
    RUN_UNTIL(b, b->opened == 2);
    say(b->port, "b");
    expect(b, second, "b");
    close(second);
    RUN_UNTIL(b, b->closed == 2);
}

static void test_hangup_without_credit(struct bench *b, gconstpointer data)
{
    /* The device takes nothing, the peer fills the line and goes: the next one must still get in. */
    static char flood[20000];
    open_port(b, "unix:%s,server,nowait");
    int first = connect_to(b->path);
    fcntl(first, F_SETFL, O_NONBLOCK);
    RUN_UNTIL(b, b->opened == 1);
    g_assert_cmpint(write(first, flood, sizeof flood), >, 0);
    for (unsigned i = 0; i < 5; i++)
        loop_wait(b->loop, 1000000);
    close(first);
    RUN_UNTIL(b, b->closed == 1);
    int second = connect_to(b->path);
    RUN_UNTIL(b, b->opened == 2);
    say(b->port, "x");
    expect(b, second, "x");
    close(second);
}

static void test_waiting(struct bench *b, gconstpointer data)
{
    open_port(b, "unix:%s,server=on");
    g_assert_true(char_is_waiting(b->port));
    int fd = connect_to(b->path);
    RUN_UNTIL(b, b->opened == 1);
    g_assert_false(char_is_waiting(b->port));
    close(fd);
    RUN_UNTIL(b, b->closed == 1);
    g_assert_false(char_is_waiting(b->port)); /* only the first one is waited for */
}

static void test_socket_file(struct bench *b, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *spec = g_strdup_printf("unix:%s,server,nowait", b->path);
    /* One that is alive is an error, */
    open_port(b, "unix:%s,server,nowait");
    g_assert_null(char_open("serial1", spec, b->loop, &error));
    g_assert_nonnull(strstr(error->message, "another program is listening there"));
    g_clear_error(&error);
    char_free(b->port);
    /* a dead one is replaced, */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, b->path, sizeof address.sun_path);
    int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(bind(stale, (struct sockaddr *)&address, sizeof address), ==, 0);
    close(stale);
    g_assert_cmpint(access(b->path, F_OK), ==, 0);
    open_port(b, "unix:%s,server,nowait");
    char_free(b->port);
    b->port = NULL;
    /* and what is no socket stays as it is. */
    g_assert_true(g_file_set_contents(b->path, "precious", -1, NULL));
    g_assert_null(char_open("serial0", spec, b->loop, &error));
    g_assert_nonnull(strstr(error->message, "exists and is not a socket"));
    g_autofree char *content = NULL;
    g_assert_true(g_file_get_contents(b->path, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "precious");
}

static void test_not_ours_any_more(struct bench *b, gconstpointer data)
{
    /* Somebody replaced the socket file: it is theirs and is not removed. */
    open_port(b, "unix:%s,server,nowait");
    g_unlink(b->path);
    g_assert_true(g_file_set_contents(b->path, "theirs", -1, NULL));
    char_free(b->port);
    b->port = NULL;
    g_assert_cmpint(access(b->path, F_OK), ==, 0);
}

static void test_long_path(struct bench *b, gconstpointer data)
{
    g_autofree char *deep = g_strnfill(120, 'd');
    g_autofree char *folder = g_build_filename(b->folder, deep, NULL);
    g_autofree char *path = g_build_filename(folder, "s", NULL);
    g_autofree char *spec = g_strdup_printf("unix:%s,server,nowait", path);
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
    b->port = char_open("serial0", spec, b->loop, &error);
    g_assert_no_error(error);
    g_autofree char *client_spec = g_strdup_printf("unix:%s", path);
    struct char_port *client = char_open("client", client_spec, b->loop, &error);
    g_assert_no_error(error);
    g_assert_true(char_is_open(client));
    RUN_UNTIL(b, char_is_open(b->port));
    char_free(client);
    char_free(b->port);
    b->port = NULL;
    g_assert_cmpint(g_rmdir(folder), ==, 0);
}

static void test_client(struct bench *b, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *spec = g_strdup_printf("unix:%s", b->path);
    g_assert_null(char_open("serial0", spec, b->loop, &error));
    g_assert_nonnull(strstr(error->message, "start its server first"));
    /* With reconnect= it goes on trying. */
    open_port(b, "unix:%s,reconnect=1");
    g_assert_false(char_is_open(b->port));
    struct char_listener listener;
    g_assert_true(char_listen_unix(&listener, b->path, NULL));
    for (unsigned round = 1; round <= 2; round++) {
        int fd = -1;
        RUN_UNTIL(b, (fd = accept(listener.fd, NULL, NULL)) >= 0);
        RUN_UNTIL(b, b->opened == round);
        say(b->port, "hi");
        expect(b, fd, "hi");
        close(fd);
        RUN_UNTIL(b, b->closed == round);
    }
    char_unlisten(&listener);
}

static void test_tcp(struct bench *b, gconstpointer data)
{
    /* Port 0 is taken from the kernel by a listener of our own first, so that the number is free. */
    g_autoptr(GError) error = NULL;
    b->port = char_open("a", "tcp:127.0.0.1:45671,server=on,wait=off", b->loop, &error);
    if (error) { /* somebody has the port: nothing that is ours to test */
        g_test_skip(error->message);
        return;
    }
    char_connect(b->port, &events, b);
    struct char_port *client = char_open("b", "tcp:127.0.0.1:45671", b->loop, &error);
    g_assert_no_error(error);
    RUN_UNTIL(b, b->opened == 1 && char_is_open(client));
    char_accept(b->port, 100);
    say(client, "over tcp");
    RUN_UNTIL(b, b->got->len == 8);
    char_free(client);
    RUN_UNTIL(b, b->closed == 1);
}

static void test_telnet(struct bench *b, gconstpointer data)
{
    static const char hello[] = "\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00";
    g_autoptr(GError) error = NULL;
    b->port = char_open("a", "telnet:127.0.0.1:45673,server=on,wait=off", b->loop, &error);
    if (error) {
        g_test_skip(error->message);
        return;
    }
    char_connect(b->port, &events, b);
    char_accept(b->port, 100);
    for (unsigned round = 1; round <= 2; round++) { /* nothing is left of the first */
        struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons(45673), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        char buffer[sizeof hello - 1];
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_no_errno(connect(fd, (struct sockaddr *)&address, sizeof address));
        RUN_UNTIL(b, b->opened == round);
        g_assert_cmpint(recv(fd, buffer, sizeof buffer, MSG_WAITALL), ==, sizeof buffer);
        g_assert_cmpmem(buffer, sizeof buffer, hello, sizeof buffer);
        say(b->port, "a\xff"
                     "b");
        expect(b, fd,
               "a\xff\xff"
               "b");
        g_string_truncate(b->got, 0);
        b->broke = 0;
        /* options, a suboption with 255 in it, BREAK, a doubled 255, and an option that never ends */
        static const char said[] = "x\xff\xfd\x03y\xff\xfa\x18\xff\xff\x01\xff\xf0z\xff\xf3\xff\xff!\xff\xfa";
        g_assert_cmpint(write(fd, said, sizeof said - 1), ==, sizeof said - 1);
        RUN_UNTIL(b, b->got->len >= 5);
        g_assert_cmpmem(b->got->str, b->got->len, "xyz\xff!", 5);
        g_assert_cmpuint(b->broke, ==, 1);
        close(fd);
        RUN_UNTIL(b, b->closed == round);
    }
}

static void test_udp(struct bench *b, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    b->port = char_open("a", "udp:127.0.0.1:45675@127.0.0.1:45676", b->loop, &error);
    if (error) {
        g_test_skip(error->message);
        return;
    }
    char_connect(b->port, &events, b);
    g_assert_true(char_is_open(b->port));
    /* nobody is there: that is no end */
    say(b->port, "lost");
    loop_wait(b->loop, 0);
    say(b->port, "lost too");
    loop_wait(b->loop, 0);
    g_assert_cmpuint(b->closed, ==, 0);
    struct char_port *other = char_open("b", "udp:127.0.0.1:45676@127.0.0.1:45675", b->loop, &error);
    g_assert_no_error(error);
    char_accept(b->port, 100);
    say(other, "over udp");
    RUN_UNTIL(b, b->got->len == 8);
    g_assert_cmpstr(b->got->str, ==, "over udp");
    char_free(other);
}

/* What does not fit a port is an error, and not another port. */
static void test_ports_out_of_range(struct bench *b, gconstpointer data)
{
    static const char *const bad[] = {
        "tcp:127.0.0.1:65536", "tcp::99999,server=on", "telnet:localhost:-1,server=on",
        "udp::70000",          "udp::1@:65536",        "tcp::12x"};
    static const char *const bad_chardevs[] = {"socket,id=c,host=localhost,port=65536",
                                               "udp,id=c,port=1,localport=99999999999999999999"};
    struct char_spec spec;
    g_autofree char *id = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(char_spec_parse(bad[i], &spec, &error));
        g_assert_nonnull(strstr(error->message, "from 0 to 65535"));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad_chardevs); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(char_spec_parse_chardev(bad_chardevs[i], &spec, &id, &error));
        g_assert_nonnull(strstr(error->message, "from 0 to 65535"));
    }
    g_autoptr(GError) error = NULL;
    g_assert_true(char_spec_parse("tcp:localhost:65535", &spec, &error));
    char_spec_clear(&spec);
}

static void test_ringbuf(struct bench *b, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *id = NULL;
    struct char_spec spec;
    uint8_t bytes[32];
    g_assert_true(char_spec_parse_chardev("ringbuf,id=r,size=8", &spec, &id, &error));
    b->port = char_open_spec(id, &spec, b->loop, &error);
    g_assert_no_error(error);
    char_connect(b->port, &events, b);
    say(b->port, "0123456789");
    g_assert_cmpuint(char_dropped(b->port), ==, 2);
    g_assert_cmpuint(char_ringbuf_read(b->port, bytes, 3), ==, 3);
    g_assert_cmpmem(bytes, 3, "234", 3);
    say(b->port, "ab");
    g_assert_cmpuint(char_ringbuf_read(b->port, bytes, sizeof bytes), ==, 7);
    g_assert_cmpmem(bytes, 7, "56789ab", 7);
    g_assert_cmpuint(char_ringbuf_read(b->port, bytes, sizeof bytes), ==, 0);
    char_accept(b->port, 100);
    char_ringbuf_write(b->port, (const uint8_t *)"typed", 5);
    g_assert_cmpstr(b->got->str, ==, "typed");
    char_spec_clear(&spec);
    g_clear_pointer(&id, g_free);
    static const char *const bad[] = {"12", "0", "99999999999", "4G", "8589934592"};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *words = g_strdup_printf("ringbuf,id=r,size=%s", bad[i]);
        g_assert_false(char_spec_parse_chardev(words, &spec, &id, &error));
        g_assert_nonnull(strstr(error->message, "no power of two"));
        g_assert_nonnull(strstr(error->message, bad[i]));
        g_clear_error(&error);
    }
}

/* Another back end in the place of one that is in use. */
static void test_replace(struct bench *b, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *second = g_build_filename(b->folder, "second", NULL);
    g_autofree char *words = g_strdup_printf("unix:%s,server=on,wait=off", second);
    const struct char_line line = {.speed = 9600, .data_bits = 7, .stop_bits = 2, .parity = 'E'};
    uint8_t bytes[32];
    open_port(b, "unix:%s,server=on,wait=off");
    char_accept(b->port, 100);
    char_set_line(b->port, &line);
    char_set_modem(b->port, CHAR_DTR | CHAR_RTS);
    int fd = connect_to(b->path);
    RUN_UNTIL(b, b->opened == 1);
    say(b->port, "to the first");
    /* What was said goes out before it is closed; then a socket that nobody is connected to. */
    struct char_port *with = char_open("serial0", words, b->loop, &error);
    g_assert_no_error(error);
    char_replace(b->port, with);
    expect(b, fd, "to the first");
    g_assert_cmpint(read(fd, bytes, 1), ==, 0);
    close(fd);
    g_assert_cmpuint(b->closed, ==, 1);
    g_assert_false(char_is_open(b->port));
    g_assert_cmpint(connect_to(b->path), ==, -1);
    say(b->port, "lost");
    g_assert_cmpuint(char_dropped(b->port), ==, 4);
    fd = connect_to(second);
    RUN_UNTIL(b, b->opened == 2);
    g_assert_true(char_is_open(b->port));
    say(b->port, "to the second");
    expect(b, fd, "to the second");
    type(fd, "typed");
    RUN_UNTIL(b, b->got->len == 5);
    /* No more than is accepted. */
    char_accept(b->port, 2);
    type(fd, "1234");
    RUN_UNTIL(b, b->got->len == 7);
    for (unsigned i = 0; i < 3; i++)
        loop_dispatch(b->loop);
    g_assert_cmpstr(b->got->str, ==, "typed12");
    char_accept(b->port, 100);
    RUN_UNTIL(b, b->got->len == 9);
    /* A mouse, which knows from what was set before that it has power. */
    b->opened = b->closed = 0;
    char_replace(b->port, char_open("serial0", "msmouse", b->loop, &error));
    g_assert_no_error(error);
    g_assert_cmpint(read(fd, bytes, 1), ==, 0);
    close(fd);
    g_assert_cmpuint(b->closed, ==, 0); /* one that is open was followed by another */
    g_assert_true(char_is_mouse(b->port));
    g_assert_true(g_str_has_prefix(b->got->str + 9, "M3"));
    g_assert_true(char_mouse_move(b->port, 1, 1, 0, 0));
    /* Memory; and the line is as it was set. */
    char_replace(b->port, char_open("serial0", "ringbuf", b->loop, &error));
    g_assert_no_error(error);
    g_assert_false(char_is_mouse(b->port));
    g_assert_true(char_is_ringbuf(b->port));
    g_assert_cmpint(char_behind(b->port)->line.speed, ==, 9600);
    g_assert_cmpuint(char_behind(b->port)->modem_lines, ==, CHAR_DTR | CHAR_RTS);
    g_string_truncate(b->got, 0);
    say(b->port, "kept");
    g_assert_cmpuint(char_ringbuf_read(b->port, bytes, sizeof bytes), ==, 4);
    char_accept(b->port, 100);
    char_ringbuf_write(b->port, (const uint8_t *)"in", 2);
    g_assert_cmpstr(b->got->str, ==, "in");
    g_assert_cmpstr(char_spec(b->port), ==, "ringbuf");
    g_assert_cmpstr(char_id(b->port), ==, "serial0");
    g_assert_cmpuint(char_dropped(b->port), ==, 4);
    g_assert_false(char_may_change(b->port)); /* these events do not say so */
    char_connect(b->port, NULL, NULL);
    g_assert_true(char_may_change(b->port));
}

static void test_pty(struct bench *b, gconstpointer data)
{
    open_port(b, "pty");
    g_assert_true(g_str_has_prefix(char_spec(b->port), "pty:/dev/pts/"));
    int fd = open(char_spec(b->port) + 4, O_RDWR | O_NOCTTY | O_NONBLOCK);
    g_assert_cmpint(fd, >=, 0);
    say(b->port, "login: ");
    expect(b, fd, "login: ");
    char_accept(b->port, 100);
    type(fd, "root\r");
    RUN_UNTIL(b, b->got->len == 5);
    g_assert_cmpstr(b->got->str, ==, "root\r"); /* raw: no CR to LF, no echo */
    close(fd);
    say(b->port, "x");
    char_flush(b->port);
    g_assert_true(char_is_open(b->port));
}

static void test_pipe(struct bench *b, gconstpointer data)
{
    g_autofree char *in = g_strconcat(b->path, ".in", NULL), *out = g_strconcat(b->path, ".out", NULL);
    g_assert_cmpint(mkfifo(in, 0600), ==, 0);
    g_assert_cmpint(mkfifo(out, 0600), ==, 0);
    open_port(b, "pipe:%s");
    int writer = open(in, O_WRONLY | O_NONBLOCK), reader = open(out, O_RDONLY | O_NONBLOCK);
    char_accept(b->port, 100);
    type(writer, "in");
    RUN_UNTIL(b, b->got->len == 2);
    say(b->port, "out");
    expect(b, reader, "out");
    close(writer);
    close(reader);
    char_free(b->port);
    b->port = NULL;
    g_unlink(in);
    g_unlink(out);
}

static void test_fd(struct bench *b, gconstpointer data)
{
    int pair[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    g_autofree char *spec = g_strdup_printf("fd:%d", pair[0]);
    g_autoptr(GError) error = NULL;
    b->port = char_open("serial0", spec, b->loop, &error);
    g_assert_no_error(error);
    char_connect(b->port, &events, b);
    g_assert_cmpuint(b->opened, ==, 1);
    char_accept(b->port, 100);
    type(pair[1], "abc");
    RUN_UNTIL(b, b->got->len == 3);
    close(pair[1]);
    RUN_UNTIL(b, b->closed == 1);
    g_assert_null(char_open("x", "fd:987", b->loop, &error));
    g_assert_nonnull(strstr(error->message, "fd:987: Bad file descriptor"));
}

/* ---- bounds ---- */

static void test_slow_reader(struct bench *b, gconstpointer data)
{
    /* A peer that reads nothing: char_write() never blocks, what is kept is bounded, the newest survives. */
    open_port(b, "unix:%s,server,nowait");
    int fd = connect_to(b->path);
    RUN_UNTIL(b, b->opened == 1);
    char line[64];
    for (unsigned i = 0; i < 300000; i++) {
        g_snprintf(line, sizeof line, "line %06u\n", i);
        say(b->port, line);
        if (i % 1000 == 0)
            loop_dispatch(b->loop);
    }
    g_assert_cmpuint(char_dropped(b->port), >, 100000);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    g_autoptr(GString) all = g_string_new(NULL);
    char buffer[65536];
    gint64 until = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while (!g_str_has_suffix(all->str, "line 299999\n")) {
        ssize_t got = read(fd, buffer, sizeof buffer);
        if (got > 0)
            g_string_append_len(all, buffer, got);
        loop_dispatch(b->loop);
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
    g_assert_cmpuint(all->len + char_dropped(b->port), ==, 300000 * 12);
    close(fd);
}

static void test_credit(struct bench *b, gconstpointer data)
{
    open_port(b, "unix:%s,server,nowait");
    int fd = connect_to(b->path);
    RUN_UNTIL(b, b->opened == 1);
    type(fd, "abcdefgh");
    for (unsigned i = 0; i < 5; i++)
        loop_wait(b->loop, 1000000);
    g_assert_cmpuint(b->got->len, ==, 0);
    char_accept(b->port, 3); /* delivered at once from what was read ahead */
    g_assert_cmpstr(b->got->str, ==, "abc");
    char_accept(b->port, 0);
    char_accept(b->port, 2);
    g_assert_cmpstr(b->got->str, ==, "abcde");
    b->again = 1;
    char_accept(b->port, 1);
    g_assert_cmpstr(b->got->str, ==, "abcdefgh");
    close(fd);
}

/* ---- escapes, and two on one terminal ---- */

static void test_escapes(struct bench *b, gconstpointer data)
{
    open_port(b, "mon:unix:%s,server,nowait");
    int fd = connect_to(b->path);
    RUN_UNTIL(b, b->opened == 1);
    b->again = 100;
    char_accept(b->port, 100);
    type(fd, "a\001xb\001cc\001bd\001\001e\001?f\001zg");
    RUN_UNTIL(b, g_str_has_suffix(b->got->str, "g"));
    g_assert_cmpstr(b->got->str, ==, "abcd\001efg");
    g_assert_cmpuint(b->quits, ==, 1);
    g_assert_cmpuint(b->monitors, ==, 1);
    g_assert_cmpuint(b->broke, ==, 1);
    expect(b, fd, "\r\nCtrl-A h   this help\r\n");
    /* Another key, and none. */
    char_set_escape_key(b->port, 2);
    g_string_truncate(b->got, 0);
    type(fd, "\001x\002x.");
    RUN_UNTIL(b, g_str_has_suffix(b->got->str, "."));
    g_assert_cmpstr(b->got->str, ==, "\001x.");
    g_assert_cmpuint(b->quits, ==, 2);
    char_set_escape_key(b->port, 0);
    type(fd, "\002x!");
    RUN_UNTIL(b, g_str_has_suffix(b->got->str, "!"));
    g_assert_cmpuint(b->quits, ==, 2);
    close(fd);
}

static void test_mux(struct bench *b, gconstpointer data)
{
    struct bench other = {.got = g_string_new(NULL)};
    open_port(b, "unix:%s,server,nowait");
    struct char_mux *mux = char_mux_new(b->port);
    struct char_port *console = char_mux_face(mux, 0), *monitor = char_mux_face(mux, 1);
    char_connect(console, &events, b);
    char_connect(monitor, &events, &other);
    char_accept(console, 1000);
    char_accept(monitor, 1000);
    int fd = connect_to(b->path);
    RUN_UNTIL(b, char_is_open(console));
    g_assert_cmpuint(other.opened, ==, 1);
    type(fd, "to console");
    RUN_UNTIL(b, b->got->len == 10);
    char_mux_switch(mux, 1);
    type(fd, "to monitor");
    RUN_UNTIL(b, other.got->len == 10);
    g_assert_cmpuint(b->got->len, ==, 10);
    say(console, "A");
    say(monitor, "B");
    expect(b, fd, "AB");
    /* What one face did not take is not given to the other. */
    char_accept(monitor, 0);
    type(fd, "rm -rf");
    for (unsigned i = 0; i < 5; i++)
        loop_wait(b->loop, 1000000);
    char_mux_switch(mux, 0);
    char_accept(console, 1000);
    type(fd, "!");
    RUN_UNTIL(b, b->got->len == 11);
    g_assert_cmpstr(b->got->str, ==, "to console!");
    close(fd);
    RUN_UNTIL(b, other.closed == 1);
    char_mux_free(mux);
    g_string_free(other.got, TRUE);
}

/* Four users of one terminal, and no more than are there in front. */
static void test_mux_faces(struct bench *b, gconstpointer data)
{
    open_port(b, "unix:%s,server,nowait");
    struct char_mux *mux = char_mux_new(b->port);
    g_assert_cmpuint(char_mux_faces(mux), ==, 0);
    int fd = connect_to(b->path);
    RUN_UNTIL(b, char_is_open(b->port));
    type(fd, "nobody");
    for (unsigned i = 0; i < 5; i++)
        loop_wait(b->loop, 1000000);
    struct char_port *last = char_mux_face(mux, CHAR_MUX_FACES - 1);
    g_assert_cmpuint(char_mux_faces(mux), ==, CHAR_MUX_FACES);
    char_connect(last, &events, b);
    char_accept(last, 1000);
    char_mux_switch(mux, CHAR_MUX_FACES - 1);
    char_accept(last, 1000);
    type(fd, "four");
    RUN_UNTIL(b, b->got->len >= 4);
    g_assert_cmpstr(b->got->str, ==, "four");
    close(fd);
    RUN_UNTIL(b, !char_is_open(b->port));
    char_mux_free(mux);
}

static void test_timestamps(struct bench *b, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *spec = g_strdup_printf("mon:unix:%s,server,nowait", b->path);
    b->port = char_open("a", spec, b->loop, &error);
    g_assert_no_error(error);
    char_connect(b->port, &events, b);
    int fd = connect_to(b->path);
    RUN_UNTIL(b, b->opened == 1);
    char_accept(b->port, 100);
    type(fd, "\001t!");
    RUN_UNTIL(b, b->got->len == 1);
    say(b->port, "one\ntw");
    say(b->port, "o\n");
    g_autoptr(GString) seen = g_string_new(NULL);
    gint64 until = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while (!g_str_has_suffix(seen->str, "two\n")) {
        char buffer[256];
        loop_wait(b->loop, 10000000);
        ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (got > 0)
            g_string_append_len(seen, buffer, got);
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
    g_assert_true(g_regex_match_simple("^\\[00:00:\\d\\d\\.\\d{3}\\] one\n\\[00:00:\\d\\d\\.\\d{3}\\] two\n$",
                                       seen->str, 0, 0));
    close(fd);
}

/* ---- ports of the host ---- */

/* A pseudo-terminal's slave is what a serial port is to this process, but for modem lines and breaks. */
static void test_tty(struct bench *b, gconstpointer data)
{
    int master, slave;
    char name[128];
    struct termios before, now;
    unsigned lines;
    g_autoptr(GError) error = NULL;
    g_assert_no_errno(openpty(&master, &slave, name, NULL, NULL));
    g_assert_no_errno(tcgetattr(slave, &before));
    b->port = char_open("serial0", name, b->loop, &error); /* "/dev/pts/N" */
    g_assert_no_error(error);
    g_assert_true(g_str_has_prefix(char_spec(b->port), "serial:/dev/"));
    char_connect(b->port, &events, b);
    char_accept(b->port, 100);
    const struct {
        struct char_line line;
        speed_t speed;
        tcflag_t set, clear;
    } rows[] = {
        {{9600, 8, 1, 'N'}, B9600, CS8, PARENB | CSTOPB},
        {{1200, 7, 2, 'E'}, B1200, CS7 | CSTOPB | PARENB, PARODD},
        {{300, 5, 1, 'O'}, B300, PARENB | PARODD, CSTOPB | CSIZE},
        {{56000, 8, 1, 'N'}, B57600, CS8, PARENB}, /* none the host knows: the nearest */
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        char_set_line(b->port, &rows[i].line);
        g_assert_no_errno(tcgetattr(slave, &now));
        g_assert_cmpuint(cfgetospeed(&now), ==, rows[i].speed);
        tcflag_t kept = CSTOPB | PARODD; /* what every pseudo-terminal keeps of a format */
        g_assert_cmphex(now.c_cflag & rows[i].set & kept, ==, rows[i].set & kept);
        g_assert_cmphex(now.c_cflag & rows[i].clear & kept, ==, 0);
        g_assert_cmphex(now.c_lflag & (ICANON | ECHO | ISIG), ==, 0);
    }
    g_assert_false(char_modem(b->port, &lines));
    char_set_break(b->port, true);
    char_set_break(b->port, false);
    char_set_modem(b->port, CHAR_DTR | CHAR_RTS);
    say(b->port, "to the line\n");
    expect(b, master, "to the line\n");
    g_assert_cmpint(write(master,
                          "a\xff"
                          "b\003\0c",
                          6),
                    ==, 6); /* a 255 comes as two, and a Ctrl-C is a byte */
    RUN_UNTIL(b, b->got->len >= 6);
    g_assert_cmpmem(b->got->str, b->got->len,
                    "a\xff"
                    "b\003\0c",
                    6);
    g_assert_cmpuint(b->broke, ==, 0);
    char_free(b->port);
    b->port = NULL;
    g_assert_no_errno(tcgetattr(slave, &now));
    g_assert_cmphex(now.c_lflag, ==, before.c_lflag);
    g_assert_cmphex(now.c_iflag, ==, before.c_iflag);
    close(slave);
    close(master);
    b->port = char_open("a", "serial:/dev/null", b->loop, &error);
    g_assert_null(b->port);
    g_assert_nonnull(strstr(error->message, "is no serial port"));
    g_clear_error(&error);
    g_assert_null(char_open("a", "/dev/parport99", b->loop, &error));
    g_assert_nonnull(strstr(error->message, "ppdev"));
    g_clear_error(&error);
    g_assert_null(char_open("a", "parallel:/dev/null", b->loop, &error));
    g_assert_nonnull(strstr(error->message, "it is no parallel port"));
}

/* What a driver of the host makes of breaks and errors on the line. */
static void test_tty_marks(struct bench *b, gconstpointer data)
{
    open_port(b, "unix:%s,server,nowait");
    b->port->marked = true;
    char_accept(b->port, 100);
    int fd = connect_to(b->path);
    RUN_UNTIL(b, b->opened == 1);
    static const char said[] = "a\xff\xff"
                               "b\xff\0\0c\xff\0x\xff";
    g_assert_cmpint(write(fd, said, sizeof said - 1), ==, sizeof said - 1);
    RUN_UNTIL(b, b->got->len >= 5);
    g_assert_cmpuint(b->broke, ==, 1);
    g_assert_cmpint(write(fd, "\0", 1), ==, 1); /* in pieces */
    RUN_UNTIL(b, b->port->mark == 2);
    g_assert_cmpint(write(fd, "\0!", 2), ==, 2);
    RUN_UNTIL(b, b->got->len >= 6);
    g_assert_cmpmem(b->got->str, b->got->len,
                    "a\xff"
                    "bcx!",
                    6);
    g_assert_cmpuint(b->broke, ==, 2);
    close(fd);
}

/* The first free port from the one named. */
static void test_port_range(struct bench *b, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    b->port = char_open("a", "tcp:127.0.0.1:45680,server=on,wait=off", b->loop, &error);
    if (error) {
        g_test_skip(error->message);
        return;
    }
    struct char_port *second =
        char_open("b", "tcp:127.0.0.1:45680,server=on,wait=off,to=45690", b->loop, &error);
    g_assert_no_error(error);
    g_assert_true(g_str_has_prefix(char_spec(second), "tcp:127.0.0.1:456"));
    g_assert_false(g_str_has_prefix(char_spec(second), "tcp:127.0.0.1:45680"));
    char_free(second);
    g_assert_null(char_open("b", "tcp:127.0.0.1:45680,server=on,wait=off,to=45680", b->loop, &error));
    g_clear_error(&error);
    g_assert_null(char_open("b", "tcp:127.0.0.1:http,server=on,wait=off,to=45680", b->loop, &error));
    g_assert_nonnull(strstr(error->message, "must be a number"));
    g_clear_error(&error);
    g_assert_null(
        char_open("b", "tcp:127.0.0.1:45680,ipv6=on", b->loop, &error)); /* no such address of that kind */
    g_assert_nonnull(error);
}

/* ---- back ends within the program ---- */

static void shown(void *opaque, const uint8_t *data, size_t len)
{
    g_string_append_len(opaque, (const char *)data, (gssize)len);
}

static void test_vc(struct bench *b, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) screen = g_string_new(NULL);
    b->port = char_open("a", "vc", b->loop, &error);
    g_assert_no_error(error);
    g_assert_true(char_is_vc(b->port));
    g_assert_true(char_is_open(b->port));
    char_connect(b->port, &events, b);
    say(b->port, "before there is a screen");
    char_vc_attach(b->port, shown, screen);
    say(b->port, ", and after");
    g_assert_cmpstr(screen->str, ==, "before there is a screen, and after");
    for (unsigned i = 0; i < 10000; i++) /* nobody reads: bounded */
        char_vc_typed(b->port, (const uint8_t *)"x", 1);
    char_accept(b->port, 5);
    g_assert_cmpstr(b->got->str, ==, "xxxxx");
    g_assert_cmpuint(char_dropped(b->port), ==, 10000 - 4096);
}

static void test_msmouse(struct bench *b, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    b->port = char_open("a", "msmouse", b->loop, &error);
    g_assert_no_error(error);
    char_connect(b->port, &events, b);
    g_assert_false(char_mouse_move(b->port, 1, 1, 0, 0)); /* no power */
    b->again = 100;
    char_accept(b->port, 100);
    char_set_modem(b->port, CHAR_DTR);
    g_assert_cmpuint(b->got->len, ==, 0);
    char_set_modem(b->port, CHAR_DTR | CHAR_RTS);
    g_assert_cmpmem(b->got->str, MIN(b->got->len, 2), "M3", 2);
    g_assert_cmphex((uint8_t)b->got->str[2], ==, 0x08);
    g_assert_cmphex((uint8_t)b->got->str[b->got->len - 1], ==, 0x09);
    for (gsize i = 3; i < b->got->len; i++)
        g_assert_cmpuint((uint8_t)b->got->str[i], <, 0x40);
    static const struct {
        int dx, dy, dz;
        unsigned buttons;
        const char *bytes;
        size_t len;
    } rows[] = {
        {10, 5, 0, 0, "\x40\x0a\x05", 3},          {-1, -2, 0, 1, "\x6f\x3f\x3e", 3},
        {100, -100, 0, 3, "\x79\x24\x1c", 3},      {0, 0, 0, 0, "\x40\0\0", 3},
        {0, 0, 0, 4, "\x40\0\0\x10", 4},           {0, 0, 1, 4, "\x40\0\0\x11", 4},
        {0, 0, -1, 0, "\x40\0\0\x0f", 4},          {0, 0, 0, 0, "", 0},
        {200, 0, 0, 0, "\x41\x3f\0\x41\x09\0", 6},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_string_truncate(b->got, 0);
        g_assert_true(char_mouse_move(b->port, rows[i].dx, rows[i].dy, rows[i].dz, rows[i].buttons));
        g_assert_cmpmem(b->got->str, b->got->len, rows[i].bytes, rows[i].len);
    }
    /* A guest that does not read gets the sum of it. */
    b->again = 0;
    char_accept(b->port, 0);
    g_string_truncate(b->got, 0);
    for (unsigned i = 0; i < 20; i++)
        char_mouse_move(b->port, 1, -1, 0, 0);
    char_accept(b->port, 16);
    g_assert_cmpmem(b->got->str, b->got->len, "\x4c\x14\x2c", 3);
    char_set_modem(b->port, 0);
    g_assert_false(char_mouse_move(b->port, 1, 1, 0, 0));
}

/* ---- the terminal ---- */

/* Runs `child` in a process of its own on a new pseudo-terminal; leaves the master and the terminal's state.
 */
static pid_t on_terminal(void (*child)(struct bench *b), int *master, struct termios *before)
{
    struct termios canonical;
    pid_t pid = forkpty(master, NULL, NULL, NULL);
    g_assert_cmpint(pid, >=, 0);
    if (!pid) {
        struct bench b = {.got = g_string_new(NULL)};
        b.clock = clock_new();
        b.loop = loop_new(b.clock, NULL);
        child(&b);
        _exit(0);
    }
    tcgetattr(*master, &canonical);
    *before = canonical;
    return pid;
}

static void read_until(int fd, const char *text)
{
    g_autoptr(GString) all = g_string_new(NULL);
    gint64 until = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (!strstr(all->str, text)) {
        char buffer[256];
        ssize_t got = read(fd, buffer, sizeof buffer);
        if (got > 0)
            g_string_append_len(all, buffer, got);
        else
            poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 100);
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
}

static void stdio_child(struct bench *b)
{
    b->port = char_open("serial0", "mon:stdio", b->loop, NULL);
    if (!b->port || char_open("serial1", "stdio", b->loop, NULL)) /* there is one terminal */
        _exit(2);
    char_connect(b->port, &events, b);
    char_set_escape(b->port, &escape, b);
    b->again = 100;
    char_accept(b->port, 100);
    say(b->port, "ready");
    while (!b->quits)
        loop_wait(b->loop, NANOSECONDS);
    say(b->port, g_str_equal(b->got->str, "a\003b\r") ? "good" : "bad");
    char_free(b->port);
    /* The master stays open until the parent has looked. */
    char byte;
    ssize_t got = read(STDIN_FILENO, &byte, 1);
    _exit(got == 1 ? 0 : 3);
}

static void test_stdio(struct bench *b, gconstpointer data)
{
    int master, status;
    struct termios before, now;
    pid_t pid = on_terminal(stdio_child, &master, &before);
    read_until(master, "ready");
    tcgetattr(master, &now);
    g_assert_cmpuint(now.c_lflag & (ICANON | ECHO | ISIG), ==, 0);
    g_assert_cmpuint(now.c_oflag & OPOST, ==, before.c_oflag & OPOST);
    type(master, "a\003b\r\001x"); /* Ctrl-C reaches the guest */
    read_until(master, "good");
    gint64 until = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    do { /* put back once the port is closed */
        tcgetattr(master, &now);
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    } while (now.c_lflag != before.c_lflag);
    g_assert_cmpuint(now.c_iflag, ==, before.c_iflag);
    type(master, "q\n");
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    close(master);
}

/* ---- words ---- */

static void test_create_errors(struct bench *b, gconstpointer data)
{
    static const struct {
        const char *spec, *says;
    } rows[] = {
        {"file:/nonexistent/x", "opening /nonexistent/x for writing: No such file"},
        {"unix:/nonexistent/x,server,nowait", "make the folder first"},
        {"pipe:/nonexistent/x", "make them with mkfifo"},
        {"chardev:x", "stands for another back end"},
        {"tcp:127.0.0.1:1", NULL}, /* refused later, when the connection fails */
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        struct char_port *port = char_open("serial0", rows[i].spec, b->loop, &error);
        if (!rows[i].says) {
            for (unsigned k = 0; k < 5; k++)
                loop_wait(b->loop, 1000000);
            g_assert_false(char_is_open(port));
            char_free(port);
            continue;
        }
        g_assert_null(port);
        if (!strstr(error->message, rows[i].says))
            g_error("%s: '%s'", rows[i].spec, error->message);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/char/" #name, struct bench, NULL, setup, test_##name, teardown)
    TEST(null);
    TEST(file);
    TEST(unix_server);
    TEST(second_peer_waits);
    TEST(hangup_without_credit);
    TEST(waiting);
    TEST(socket_file);
    TEST(not_ours_any_more);
    TEST(long_path);
    TEST(client);
    TEST(tcp);
    TEST(telnet);
    TEST(udp);
    TEST(ports_out_of_range);
    TEST(ringbuf);
    TEST(replace);
    TEST(pty);
    TEST(pipe);
    TEST(fd);
    TEST(slow_reader);
    TEST(credit);
    TEST(escapes);
    TEST(mux);
    TEST(mux_faces);
    TEST(timestamps);
    TEST(tty);
    TEST(tty_marks);
    TEST(port_range);
    TEST(vc);
    TEST(msmouse);
    TEST(stdio);
    TEST(create_errors);
    return g_test_run();
}
