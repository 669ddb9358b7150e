/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The control room with a machine that only takes notes: QMP conversations over a real socket, hostile peers,
 * several clients, events, and the text monitor.
 */
#include "tests/unit/qmp_bench.h"

/* ---- a client ---- */

struct client {
    int fd;
    GString *text;
};

static void client_open(struct bench *b, struct client *c)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, b->path, sizeof address.sun_path);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(c->fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->text = g_string_new(NULL);
}

static void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    g_string_free(c->text, TRUE);
}

/* The next line the server sends, without its line end; NULL when it hung up. */
static char *client_line(struct bench *b, struct client *c)
{
    gint64 until = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    for (;;) {
        char *end = strstr(c->text->str, "\r\n");
        if (end) {
            char *line = g_strndup(c->text->str, (gsize)(end - c->text->str));
            g_string_erase(c->text, 0, end + 2 - c->text->str);
            return line;
        }
        char buffer[4096];
        ssize_t got = read(c->fd, buffer, sizeof buffer);
        if (got > 0) {
            g_string_append_len(c->text, buffer, got);
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            return NULL;
        } else {
            g_assert_cmpint(g_get_monotonic_time(), <, until);
            loop_wait(b->loop, 10000000);
        }
    }
}

static void client_say(struct client *c, const char *text)
{
    g_assert_cmpint(send(c->fd, text, strlen(text), MSG_NOSIGNAL), ==, strlen(text));
}

static void client_expect(struct bench *b, struct client *c, const char *says)
{
    g_autofree char *line = client_line(b, c);
    if (!line || !strstr(line, says))
        g_error("'%s' does not say '%s'", line ? line : "(hung up)", says);
}

static void client_ask(struct bench *b, struct client *c, const char *text, const char *says)
{
    client_say(c, text);
    client_expect(b, c, says);
}

static void client_negotiate(struct bench *b, struct client *c)
{
    client_open(b, c);
    client_expect(b, c, "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":");
    client_ask(b, c, "{\"execute\": \"qmp_capabilities\"}", "{\"return\":{}}");
}

/* ---- conversations ---- */

static void test_conversation(struct bench *b, gconstpointer data)
{
    struct client c;
    struct stat st;
    g_assert_cmpint(stat(b->path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0600);
    client_open(b, &c);
    client_expect(b, &c, "\"capabilities\":[]");
    client_ask(b, &c, "{\"execute\":\"query-status\"}",
               "\"class\":\"CommandNotFound\",\"desc\":\"Expecting capabilities negotiation");
    client_ask(b, &c, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]},\"id\":7}",
               "{\"return\":{},\"id\":7}");
    client_ask(b, &c, "{\"execute\":\"qmp_capabilities\"}", "already complete");
    static const struct {
        const char *ask, *says;
    } rows[] = {
        {"{\"execute\":\"query-status\",\"id\":\"a\"}",
         "{\"return\":{\"status\":\"running\",\"singlestep\":false,\"running\":true},\"id\":\"a\"}"},
        {"{\"execute\":\"query-status\",\"id\":{\"deep\":[1,null]}}", "\"id\":{\"deep\":[1,null]}}"},
        {"{\"execute\":\"query-version\"}", "\"package\":\"netlab-emu " NETLAB_VERSION "\""},
        {"{\"execute\":\"query-commands\"}", "{\"name\":\"human-monitor-command\"}"},
        {"{\"execute\":\"query-name\"}", "{\"return\":{\"name\":\"r1\"}}"},
        {"{\"execute\":\"query-kvm\"}", "{\"return\":{\"enabled\":false,\"present\":false}}"},
        {"{\"execute\":\"query-chardev\"}",
         "\"label\":\"serial0\",\"filename\":\"null\",\"frontend-open\":true"},
        {"{\"execute\":\"query-block\"}",
         "{\"return\":[{\"device\":\"ide0-hd0\",\"qdev\":\"ide0-hd0\",\"type\":\"unknown\",\"removable\":"
         "false,"
         "\"locked\":false,\"inserted\":{\"file\":\"disk.qcow2\",\"drv\":\"qcow2\",\"ro\":false,"
         "\"backing_file_depth\":1,\"backing_file\":\"base\",\"image\":{\"filename\":\"disk.qcow2\","
         "\"format\":\"qcow2\",\"virtual-size\":4096},"
         "\"encrypted\":false,\"detect_zeroes\":\"off\",\"write_threshold\":0,"
         "\"cache\":{\"writeback\":true,\"direct\":true,\"no-flush\":false},"
         "\"bps\":0,\"bps_rd\":0,\"bps_wr\":0,\"iops\":0,\"iops_rd\":0,\"iops_wr\":0}},{\"device\":\"ide1-"
         "cd0\",\"qdev\":\"ide1-cd0\","
         "\"type\":\"unknown\",\"removable\":true,\"locked\":true,\"tray_open\":true}]}"},
        {"{\"execute\":\"eject\",\"arguments\":{\"id\":\"ide1-cd0\",\"force\":true}}", "{\"return\":{}}"},
        {"{\"execute\":\"eject\",\"arguments\":{\"device\":\"ide1-cd0\"}}", "is locked"},
        {"{\"execute\":\"eject\"}", "Need exactly one of 'device' and 'id'"},
        {"{\"execute\":\"eject\",\"arguments\":{\"device\":\"ide1-cd0\",\"id\":\"ide1-cd0\"}}",
         "Need exactly one of 'device' and 'id'"},
        {"{\"execute\":\"query-named-block-nodes\"}",
         "{\"node-name\":\"n1\",\"file\":\"a.iso\",\"drv\":\"file\""},
        {"{\"execute\":\"blockdev-insert-medium\",\"arguments\":{\"id\":\"ide1-cd0\",\"node-name\":\"n1\"}}",
         "{\"return\":{}}"},
        {"{\"execute\":\"blockdev-insert-medium\",\"arguments\":{\"id\":\"x\",\"node-name\":\"n1\"}}",
         "DeviceNotFound"},
        {"{\"execute\":\"blockdev-insert-medium\",\"arguments\":{\"id\":\"ide1-cd0\"}}",
         "'node-name' is missing"},
        {"{\"execute\":\"blockdev-del\",\"arguments\":{\"node-name\":\"n1\"}}", "{\"return\":{}}"},
        {"{\"execute\":\"blockdev-del\",\"arguments\":{\"node-name\":\"n2\"}}", "in use"},
        {"{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"ide1-cd0\",\"filename\":\"a.iso\","
         "\"read-only-mode\":\"read-only\"}}",
         "{\"return\":{}}"},
        {"{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"ide1-cd0\",\"filename\":\"a.iso\","
         "\"read-only-mode\":\"maybe\"}}",
         "'read-only-mode' does not accept value"},
        {"{\"execute\":\"blockdev-open-tray\",\"arguments\":{\"id\":\"ide1-cd0\"}}", "is locked"},
        {"{\"execute\":\"blockdev-open-tray\",\"arguments\":{\"id\":\"ide1-cd0\",\"force\":true}}",
         "{\"return\":{}}"},
        {"{\"execute\":\"blockdev-close-tray\",\"arguments\":{\"device\":\"ide1-cd0\"}}", "{\"return\":{}}"},
        {"{\"execute\":\"blockdev-remove-medium\",\"arguments\":{\"id\":\"ide1-cd0\"}}", "{\"return\":{}}"},
        {"{\"execute\":\"block_resize\",\"arguments\":{\"device\":\"hd\",\"size\":3221225472}}",
         "{\"return\":{}}"},
        {"{\"execute\":\"block_resize\",\"arguments\":{\"device\":\"hd\",\"size\":-1}}", "expects a >0 size"},
        {"{\"execute\":\"block_set_io_throttle\",\"arguments\":{\"id\":\"hd\",\"bps\":1000,\"bps_rd\":0,"
         "\"bps_wr\":0,"
         "\"iops\":0,\"iops_rd\":0,\"iops_wr\":7,\"bps_max\":5000,\"bps_max_length\":2,\"group\":\"g\"}}",
         "{\"return\":{}}"},
        {"{\"execute\":\"block_set_io_throttle\",\"arguments\":{\"id\":\"hd\",\"bps\":1000,\"bps_rd\":1,"
         "\"bps_wr\":0,"
         "\"iops\":0,\"iops_rd\":0,\"iops_wr\":0}}",
         "cannot be limited at the same time"},
        {"{\"execute\":\"block_set_io_throttle\",\"arguments\":{\"id\":\"hd\",\"bps\":1000}}",
         "Parameter 'bps_rd' is missing"},
        {"{\"execute\":\"query-blockstats\"}", "\"rd_operations\":"},
        {"{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"ide1-cd0\",\"filename\":\"a.iso\"}"
         "}",
         "{\"return\":{}}"},
        {"{\"execute\":\"blockdev-change-medium\",\"arguments\":{\"id\":\"x\",\"filename\":\"a.iso\"}}",
         "DeviceNotFound"},
        {"{\"execute\":\"query-cpus-fast\"}", "\"target\":\"i386\""},
        {"{\"execute\":\"x-netlab-query-network\"}", "\"mac\":\"52:54:00:12:34:56\",\"link\":true"},
        {"{\"execute\":\"x-netlab-query-network\"}", "\"rx-bytes\":5000000000"},
        {"{\"execute\":\"x-netlab-query-network\"}",
         "\"drops\":[{\"end\":\"netdev\",\"reason\":\"filtered\",\"frames\":9}]"},
        {"{\"execute\":\"query-rx-filter\"}", "{\"return\":[{\"name\":\"net0\",\"promiscuous\":false,"
                                              "\"multicast\":\"normal\",\"unicast\":\"normal\","
                                              "\"vlan\":\"normal\",\"broadcast-allowed\":true,\"multicast-"
                                              "overflow\":true,\"unicast-overflow\":false,"
                                              "\"main-mac\":\"52:54:00:12:34:57\",\"vlan-table\":[5,4095],"
                                              "\"unicast-table\":[\"02:00:00:00:00:09\"],"
                                              "\"multicast-table\":[\"01:00:5e:00:00:01\"]}]}"},
        {"{\"execute\":\"query-rx-filter\",\"arguments\":{\"name\":\"net1\"}}",
         "invalid net client name: net1"},
        {"{\"execute\":\"x-netlab-query-captures\"}",
         "{\"return\":[{\"id\":\"f\",\"netdev\":\"n0\",\"file\":\"a.pcapng\",\"format\":\"pcapng\",\"live\":"
         "true,"
         "\"ended\":false,\"frames\":2,\"bytes\":0,\"dropped\":3}]}"},
        {"{\"execute\":\"x-netlab-query-statistics\"}",
         "{\"return\":{\"cpu\":{\"instructions\":5000000000},"
         "\"jit\":{\"links-made\":7,\"flushes\":9223372036854775807}}}"},
        {"{\"execute\":\"system_reset\"}", "{\"return\":{}}"},
        {"{\"execute\":\"system_powerdown\"}", "{\"return\":{}}"},
        {"{\"execute\":\"inject-nmi\"}", "{\"return\":{}}"},
        {"{\"execute\":\"set_link\",\"arguments\":{\"name\":\"net0\",\"up\":false}}", "{\"return\":{}}"},
        {"{\"execute\":\"set_link\",\"arguments\":{\"name\":\"net9\",\"up\":false}}",
         "\"class\":\"DeviceNotFound\",\"desc\":\"Device 'net9' not found\""},
        {"{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info status\"}}",
         "{\"return\":\"VM status: running\\n\"}"},
        {"{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info "
         "registers\",\"cpu-index\":0}}",
         "{\"return\":\"description 0\\n\"}"},
        /* what is wrong is said, and the conversation goes on */
        {"{\"execute\":\"frobnicate\"}",
         "\"class\":\"CommandNotFound\",\"desc\":\"The command frobnicate has not been found\""},
        {"{\"execute\":\"set_link\"}", "Parameter 'name' is missing"},
        {"{\"execute\":\"query-vnc\"}", "\"service\":\"5901\""},
        {"{\"execute\":\"query-vnc\"}", "\"auth\":\"vnc\""},
        {"{\"execute\":\"query-vnc\"}", "\"clients\":[{\"host\":\"127.0.0.1\",\"service\":\"40001\","
                                        "\"family\":\"ipv4\",\"websocket\":false}]"},
        {"{\"execute\":\"query-vnc-servers\"}", "{\"return\":[{\"id\":\"default\",\"server\":[{"},
        {"{\"execute\":\"query-vnc-servers\"}", "\"service\":\"40001\""},
        {"{\"execute\":\"query-mice\"}", "\"name\":\"PS/2 Mouse\""},
        {"{\"execute\":\"screendump\",\"arguments\":{\"filename\":\"/tmp/x.png\"}}", "{\"return\":{}}"},
        {"{\"execute\":\"screendump\",\"arguments\":{\"filename\":\"/nowhere/x\"}}", "writing a picture"},
        {"{\"execute\":\"screendump\"}", "Parameter 'filename' is missing"},
        {"{\"execute\":\"set_password\",\"arguments\":{\"protocol\":\"vnc\",\"password\":\"x\"}}",
         "{\"return\":{}}"},
        {"{\"execute\":\"set_password\",\"arguments\":{\"protocol\":\"spice\",\"password\":\"x\"}}",
         "does not accept value 'spice'"},
        {"{\"execute\":\"change-vnc-password\",\"arguments\":{\"password\":\"x\"}}", "{\"return\":{}}"},
        {"{\"execute\":\"send-key\",\"arguments\":{\"keys\":[{\"type\":\"qcode\",\"data\":\"ctrl\"},{"
         "\"type\":"
         "\"number\",\"data\":211}]}}",
         "{\"return\":{}}"},
        {"{\"execute\":\"send-key\",\"arguments\":{\"keys\":[{\"type\":\"qcode\",\"data\":\"kee\"}]}}",
         "number 0 is no key"},
        {"{\"execute\":\"send-key\",\"arguments\":{\"keys\":[7]}}",
         "Invalid parameter type for 'keys[0]', expected: object"},
        {"{\"execute\":\"send-key\",\"arguments\":{\"keys\":\"ctrl\"}}", "expected: array"},
        {"{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"r\",\"size\":3}}",
         "{\"return\":\"one\"}"},
        {"{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"r\",\"size\":3,\"format\":\"base64\"}}",
         "{\"return\":\"IFwg\"}"},
        {"{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"r\",\"size\":99}}", "two\\u0001 thré"},
        {"{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"r\",\"size\":-1}}",
         "size must be greater than zero"},
        {"{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"r\",\"size\":1,\"format\":\"x\"}}",
         "does not accept value 'x'"},
        {"{\"execute\":\"ringbuf-write\",\"arguments\":{\"device\":\"r\",\"data\":\"aGk=\",\"format\":"
         "\"base64\"}}",
         "{\"return\":{}}"},
        {"{\"execute\":\"ringbuf-write\",\"arguments\":{\"device\":\"q\",\"data\":\"hi\"}}",
         "Device 'q' not found"},
        {"{\"execute\":\"set_link\",\"arguments\":{\"name\":\"net0\"}}", "Parameter 'up' is missing"},
        {"{\"execute\":\"set_link\",\"arguments\":{\"name\":1,\"up\":true}}",
         "Invalid parameter type for 'name', expected: string"},
        {"{\"execute\":\"set_link\",\"arguments\":{\"name\":\"net0\",\"up\":\"yes\"}}", "expected: boolean"},
        {"{\"execute\":\"set_link\",\"arguments\":{\"name\":[],\"up\":true}}", "expected: string"},
        {"{\"execute\":\"stop\",\"arguments\":{\"now\":true}}", "Parameter 'now' is unexpected"},
        {"{\"execute\":\"stop\",\"arguments\":[]}", "'arguments' must be an object"},
        {"{\"execute\":[]}", "'execute' must be a string"},
        {"{\"execute\":null}", "'execute' must be a string"},
        {"{\"run\":\"stop\"}", "QMP input member 'run' is unexpected"},
        {"{}", "QMP input lacks member 'execute'"},
        {"{\"exec-oob\":\"stop\"}", "needs the capability 'oob'"},
        {"[]", "QMP input must be a JSON object"},
        {"[{\"execute\":\"stop\"}]", "QMP input must be a JSON object"},
        {"{\"execute\" \"stop\"}", "JSON parse error"},
        {"{\"execute\":}", "JSON parse error"},
        {"hello\n", "JSON parse error, expecting an object"},
        {"\"text\"\n", "JSON parse error, expecting an object"},
        {"{\"execute\":\"query-status\",\"id\":\"}{\\\"]\\\\\"}", "\"id\":\"}{\\\"]\\\\\"}"},
        {"{\"execute\":\"stop\xff\"}", "JSON parse error"},
        {"}\n", "JSON parse error, expecting an object"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        client_ask(b, &c, rows[i].ask, rows[i].says);
    g_assert_cmpuint(b->resets, ==, 1);
    g_assert_cmpuint(b->buttons, ==, 1);
    g_assert_cmpuint(b->nmis, ==, 1);
    g_assert_false(b->link);
    client_close(&c);
}

static void test_pieces(struct bench *b, gconstpointer data)
{
    /* A byte at a time, and several in one write. */
    struct client c;
    client_negotiate(b, &c);
    for (const char *at = "  {\"execute\" :\n \"query-kvm\"}\r\n"; *at; at++) {
        char byte[2] = {*at, 0};
        client_say(&c, byte);
        loop_dispatch(b->loop);
    }
    client_expect(b, &c, "\"present\":false");
    client_say(&c, "{\"execute\":\"query-kvm\",\"id\":1}{\"execute\":\"query-kvm\",\"id\":2}\n{\"execute\":"
                   "\"query-kvm\",\"id\":3}");
    client_expect(b, &c, "\"id\":1");
    client_expect(b, &c, "\"id\":2");
    client_expect(b, &c, "\"id\":3");
    client_close(&c);
}

static void test_events(struct bench *b, gconstpointer data)
{
    struct client one, two, deaf;
    client_negotiate(b, &one);
    client_negotiate(b, &two);
    client_open(b, &deaf); /* never negotiates: gets the greeting and no events */
    client_expect(b, &deaf, "QMP");
    client_say(&one, "{\"execute\":\"stop\"}");
    client_expect(b, &one, "\"event\":\"STOP\"}");
    client_expect(b, &one, "{\"return\":{}}");
    client_expect(b, &two, "{\"timestamp\":{\"seconds\":");
    client_ask(b, &one, "{\"execute\":\"query-status\"}", "\"status\":\"paused\"");
    client_say(&two, "{\"execute\":\"cont\"}");
    client_expect(b, &two, "\"event\":\"RESUME\"");
    client_expect(b, &one, "\"event\":\"RESUME\"");
    b->status = CONTROL_SHUTDOWN;
    client_expect(b, &two, "{\"return\":{}}");
    client_ask(b, &two, "{\"execute\":\"cont\"}", "Resetting the Virtual Machine is required");
    client_say(&two, "{\"execute\":\"quit\"}{\"execute\":\"query-name\"}");
    client_expect(b, &two, "\"event\":\"SHUTDOWN\",\"data\":{\"guest\":false,\"reason\":\"host-qmp-quit\"}}");
    client_expect(b, &two, "{\"return\":{}}"); /* after the event, and the last: the second was not taken */
    for (unsigned i = 0; i < 3; i++)
        loop_dispatch(b->loop);
    g_autofree char *more = g_malloc0(100);
    g_assert_cmpint(read(two.fd, more, 99), ==, -1);
    g_assert_cmpstr(two.text->str, ==, "");
    g_assert_cmpuint(b->quits, ==, 1);
    g_assert_cmpstr(deaf.text->str, ==, "");
    client_close(&one);
    client_close(&two);
    client_close(&deaf);
}

static void expect_hangup(struct bench *b, struct client *c)
{
    for (;;) {
        g_autofree char *line = client_line(b, c);
        if (!line)
            return;
    }
}

static void test_hostile(struct bench *b, gconstpointer data)
{
    struct client c;
    /* nested too deeply */
    client_negotiate(b, &c);
    g_autofree char *deep = g_strnfill(100000, '[');
    client_say(&c, deep);
    client_expect(b, &c, "nested too deeply");
    expect_hangup(b, &c);
    client_close(&c);
    /* endless string */
    client_negotiate(b, &c);
    g_autofree char *chunk = g_strnfill(4096, 'x');
    client_say(&c, "{\"execute\":\"");
    for (unsigned i = 0; i < 100; i++) {
        if (send(c.fd, chunk, 4096, MSG_NOSIGNAL) < 0)
            g_assert_true(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
        loop_dispatch(b->loop);
    }
    client_expect(b, &c, "the message is too long");
    expect_hangup(b, &c);
    client_close(&c);
    /* a client that asks and asks and never reads */
    client_negotiate(b, &c);
    bool ended = false;
    for (unsigned i = 0; i < 200000 && !ended; i++) {
        const char *ask = "{\"execute\":\"query-commands\"}";
        if (send(c.fd, ask, strlen(ask), MSG_NOSIGNAL) < 0)
            ended = errno == EPIPE || errno == ECONNRESET;
        loop_dispatch(b->loop);
    }
    g_assert_true(ended);
    client_close(&c);
    /* one that goes in the middle of a word */
    client_negotiate(b, &c);
    client_say(&c, "{\"execute\":\"query-st");
    client_close(&c);
    for (unsigned i = 0; i < 10; i++)
        loop_wait(b->loop, 1000000);
    /* the server is as well as ever */
    client_negotiate(b, &c);
    client_ask(b, &c, "{\"execute\":\"query-kvm\"}", "\"present\":false");
    client_close(&c);
}

static void test_too_many(struct bench *b, gconstpointer data)
{
    struct client clients[QMP_CLIENTS_MOST + 1];
    for (unsigned i = 0; i < QMP_CLIENTS_MOST; i++)
        client_negotiate(b, &clients[i]);
    client_open(b, &clients[QMP_CLIENTS_MOST]);
    g_autofree char *line = client_line(b, &clients[QMP_CLIENTS_MOST]);
    g_assert_null(line);
    for (unsigned i = 0; i <= QMP_CLIENTS_MOST; i++)
        client_close(&clients[i]);
}

static void test_random(struct bench *b, gconstpointer data)
{
    /* Noise made of JSON's own bytes: no answer may be missing its line, nothing may crash. */
    g_autoptr(GRand) random = g_rand_new_with_seed(7);
    static const char *const pieces[] = {
        "{",    "}",       "[",    "]",    ":",       ",",       "\"",
        "\\",   "execute", "stop", "1",    "-",       ".",       "e9",
        "null", "true",    " ",    "\n",   "\\u0000", "\\ud800", "\"execute\":\"query-kvm\"",
        "/*",   "//",      "'",    "\xc3", "\x01",    "\"id\":", "99999999999999999999"};
    for (unsigned round = 0; round < 60; round++) {
        struct client c;
        client_negotiate(b, &c);
        g_autoptr(GString) noise = g_string_new(NULL);
        for (unsigned i = 0; i < 300; i++)
            g_string_append(noise, pieces[g_rand_int_range(random, 0, G_N_ELEMENTS(pieces))]);
        ssize_t put = send(c.fd, noise->str, noise->len, MSG_NOSIGNAL);
        g_assert_cmpint(put, >, 0);
        for (unsigned i = 0; i < 20; i++)
            loop_dispatch(b->loop);
        client_close(&c);
    }
    for (unsigned i = 0; i < 10; i++)
        loop_wait(b->loop, 1000000);
    struct client c;
    client_negotiate(b, &c);
    client_close(&c);
}

static void test_waiting(struct bench *b, gconstpointer data)
{
    g_autofree char *path = g_build_filename(b->folder, "wait", NULL);
    struct client c;
    g_assert_false(control_is_waiting(b->control));
    g_assert_true(control_listen(b->control, path, true, true, NULL));
    g_assert_true(control_is_waiting(b->control));
    char *other = b->path;
    b->path = path;
    client_open(b, &c);
    b->path = other;
    /* the pretty one writes an object on several lines */
    gint64 until = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    while (!strstr(c.text->str, "}\r\n")) {
        char buffer[1024];
        ssize_t got = read(c.fd, buffer, sizeof buffer);
        if (got > 0)
            g_string_append_len(c.text, buffer, got);
        loop_wait(b->loop, 1000000);
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    }
    g_assert_nonnull(strstr(c.text->str, "\n  \"QMP\" : {"));
    g_assert_false(control_is_waiting(b->control));
    client_close(&c);
}

/* ---- the monitor ---- */

/* What is plugged becomes the words of the option, by the rules of the command line. */
static void test_plugging(struct bench *b, gconstpointer data)
{
    static const struct {
        const char *ask, *says, *words;
    } rows[] = {
        {"{\"execute\":\"device_add\",\"arguments\":{\"id\":\"a\",\"driver\":\"e1000\",\"addr\":\"5\","
         "\"rombar\":0,"
         "\"mitigation\":false}}",
         "{\"return\":{}}", "driver=e1000,id=a,addr=5,rombar=0,mitigation=off"},
        {"{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"user\",\"id\":\"n\",\"hostfwd\":[{\"str\":"
         "\"tcp::1-:2\"},"
         "{\"str\":\"a,b\"}]}}",
         "{\"return\":{}}", "type=user,id=n,hostfwd=tcp::1-:2,hostfwd=a,,b"},
        {"{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"dgram\",\"id\":\"n\",\"local\":{\"type\":"
         "\"inet\",\"port\":\"9\"}}}",
         "{\"return\":{}}", "type=dgram,id=n,local.type=inet,local.port=9"},
        {"{\"execute\":\"object-add\",\"arguments\":{\"qom-type\":\"filter-dump\",\"id\":\"f\",\"file\":\"/"
         "x\"}}",
         "{\"return\":{}}", "qom-type=filter-dump,id=f,file=/x"},
        {"{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"e1000\",\"id\":\"taken\"}}",
         "\"class\":\"GenericError\",\"desc\":\"Duplicate device ID 'taken'\"", NULL},
        {"{\"execute\":\"device_del\",\"arguments\":{\"id\":\"nope\"}}",
         "\"class\":\"DeviceNotFound\",\"desc\":\"Device 'nope' not found\"", NULL},
        {"{\"execute\":\"device_del\",\"arguments\":{\"id\":\"a\"}}", "{\"return\":{}}", "a"},
        {"{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"qcow2\",\"node-name\":\"f\",\"file\":"
         "{\"driver\":\"file\",\"filename\":\"a,b\"},\"backing\":null,\"read-only\":true}}",
         "{\"return\":{}}",
         "driver=qcow2,node-name=f,file.driver=file,file.filename=a,,b,backing=,read-only=on"},
        {"{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"raw\",\"node-name\":\"f\",\"file\":"
         "\"n1\"}}",
         "{\"return\":{}}", "driver=raw,node-name=f,file=n1"},
        {"{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"raw\",\"node-name\":\"f\",\"file\":"
         "\"n2\"}}",
         "Cannot find device='n2' nor node-name='n2'", NULL},
        {"{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"file\",\"node-name\":\"n1\"}}",
         "Duplicate nodes with node-name='n1'", NULL},
        {"{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"file\"}}",
         "'node-name' must be specified", NULL},
        {"{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"file\",\"node-name\":7}}",
         "expected: string", NULL},
        {"{\"execute\":\"netdev_del\",\"arguments\":{\"id\":7}}", "expected: string", NULL},
        {"{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"user\"}}", "Parameter 'id' is missing", NULL},
        {"{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"user\",\"id\":\"n\",\"net,x\":\"1\"}}",
         "is unexpected", NULL},
        {"{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"user\",\"id\":\"n\",\"a\":{\"b=\":1}}}",
         "is unexpected", NULL},
        {"{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"user\",\"id\":\"n\",\"net\":null}}",
         "Invalid parameter type for 'net'", NULL},
        {"{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"user\",\"id\":\"n\",\"net\":1.5}}",
         "Invalid parameter type for 'net'", NULL},
    };
    struct client c;
    client_negotiate(b, &c);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        client_ask(b, &c, rows[i].ask, rows[i].says);
        if (rows[i].words)
            g_assert_cmpstr(b->words, ==, rows[i].words);
    }
    g_autoptr(GString) out = g_string_new(NULL);
    monitor_execute(b->control, "netdev_add tap,id=n1,ifname=t", out);
    g_assert_cmpstr(b->words, ==, "tap,id=n1,ifname=t");
    monitor_execute(b->control, "device_del nope", out);
    g_assert_cmpstr(out->str, ==, "Error: Device 'nope' not found\n");
    client_close(&c);
}

static void test_monitor_commands(struct bench *b, gconstpointer data)
{
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"", ""},
        {"   ", ""},
        {"help", "info WHAT -- look at something"},
        {"? x", "x /FMT ADDRESS"},
        {"info", "info mtree -- the physical memory map"},
        {"info network", "description 3\n"},
        {"info netwrok", "info: nothing called 'netwrok' (did you mean 'network'?)"},
        {"info status", "VM status: running"},
        {"info name", "r1"},
        {"stpo", "unknown command: 'stpo' (did you mean 'stop'?)"},
        {"eject ide1-cd0", "Device 'ide1-cd0' is locked"},
        {"eject -f", "eject -f NAME"},
        {"change ide1-cd0 a.iso raw read-write", "not found"},
        {"block_resize hd 1G", "size 1073741824"},
        {"block_resize hd 512", "size 536870912"},
        {"block_resize hd big", "size"},
        {"commit hd", "commit hd"},
        {"block_set_io_throttle hd 1 0 0 0 0 0", "limits of hd"},
        {"block_set_io_throttle hd 1 2 0 0 0 0", "at the same time"},
        {"block_set_io_throttle hd x 2 0 0 0 0", "bps"},
        {"change ide1-cd0 b.iso raw", "Device 'ide1-cd0' not found"},
        {"set_link net0", "usage: set_link NAME on|off"},
        {"ringbuf_read x 5", "Device 'x' not found"},
        {"ringbuf_read r 0", "size"},
        {"ringbuf_read r 11", "one \\\\ two\\u0001 \n"},
        {"ringbuf_read r 9", "thr"},
        {"ringbuf_write r hello", ""},
        {"ringbuf_write y hello", "Device 'y' not found"},
        {"set_link net0 maybe", "on or off is wanted"},
        {"set_link net7 on", "Device 'net7' not found (see info network)"},
        {"x/4xb 0x10", "00000010: 0x10 0x11 0x12 0x13\n"},
        {"x/2xw 0x10", "00000010: 0x13121110 0x17161514\n"},
        {"x/5xw 0", "\n00000010: 0x13121110\n"},
        {"xp/1xh 0x10", "000000010: 0x1211\n"},
        {"x /1db 0xff", "000000ff: -1\n"},
        {"x/3c 0x40", "'@' 'A' 'B'"},
        {"x/1ub $eip", "00000010: 16"},
        {"x/1ob 8", " 010\n"},
        {"x $foo", "no register '$foo'"},
        {"x 0xffe", "(no memory there)"},
        {"x 12monkeys", "'12monkeys' is not a number"},
        {"x/4z 0", "format 'z' is none of"},
        {"x/99999999999xb 0x0ff0", "(no memory there)"},
        {"x/2i 0", "(no memory there)"},
        {"x/4xb", "the address is missing"},
        {"i/w 0x3f8", "port 0x03f8 ="},
        {"i 0x3f8", "port 0x03f8 = 0x"},
        {"i/g 0x3f8", "ports are b, h or w wide"},
        {"x/1xg 0x10", "00000010: 0x1716151413121110\n"},
        {"x/2xg 8", "00000008: 0x0f0e0d0c0b0a0908 0x1716151413121110\n"},
        {"x/1dg 0xf8", "000000f8: -283686952306184\n"},
        {"x/xb $eip+4", "00000014: 0x14\n"},
        {"x/xb $eip + 2 * 2", "00000014: 0x14\n"},
        {"x/xb 0x100000010", "00000010: 0x10\n"},
        {"p 1+2*3", "0x7\n"},
        {"print /d 1 - 3", "-2\n"},
        {"p/d -7/2", "-3\n"},
        {"p/d -7%3", "-1\n"},
        {"p/u -1", "18446744073709551615\n"},
        {"p 1 + 2 & 3", "0x3\n"}, /* + binds last */
        {"p (1+2)&~1|8^1", "0xb\n"},
        {"p/c 65", "'A'\n"},
        {"p 'a'+1", "0x62\n"},
        {"p/o 8", "010\n"},
        {"p 0x8000000000000000/-1", "0x8000000000000000\n"},
        {"p 0x8000000000000000%-1", "0x0\n"},
        {"p 1/0", "division by zero"},
        {"p 1%(2-2)", "division by zero"},
        {"p", "usage: print"},
        {"p/x", "usage: print"},
        {"p 1 2", "what is '2' in '1 2'?"},
        {"p 1+", "ends too early"},
        {"p (1", "')' is missing"},
        {"p 1)", "what is ')'"},
        {"p $", "no register '$'"},
        {"p @", "'@' is not a number"},
        {"p ----1", "0x1\n"},
        {"p 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1", "at most 32 words"},
        {"memsave 0 1 /nowhere/x", "Could not open '/nowhere/x': No such file"},
        {"memsave 0xffffffff 2 /nowhere/x", "linear addresses end"},
        {"memsave 0 0x100000001 /nowhere/x", "linear addresses end"},
        {"memsave 0 1", "usage: memsave"},
        {"pmemsave 0 much /nowhere/x", "'much' is not a number"},
        {"screendump \"/tmp/x", "the closing '\"' is missing"},
        {"\"", "the closing '\"' is missing"},
        {"trace help", "e1000"},
        {"trace nonsense", "nonsense"},
        {"sendkey ctrl-alt-delte", "invalid parameter: delte"},
        {"sendkey kp_enter-meta_l", ""},
        {"mouse_move 1", "usage: mouse_move"},
        {"mouse_move 1 much", "'much' is no number"},
        {"screendump /nowhere/x", "no"},
        {"screendump /tmp/x -f", "usage: screendump"},
        {"change floppy0 password x", "Device 'floppy0' not found"},
        {"change vnc password", "give the password too"},
        {"change vnc port 5", "only the password"},
        {"info kvm", "kvm support: not compiled"},
        {"info uuid", "00000000-0000-0000-0000-000000000000"},
        {"info cpus", "* CPU #0"},
        {"info history", ""},
        {"info sev", "info sev: not on this machine"},
        {"info nonsense", "nothing called 'nonsense'"},
        {"migrate tcp:x", "this machine cannot be saved"},
        {"migrate_cancel", ""},
        {"savevm x", "this machine has no snapshots"},
        {"info snapshots", "There is no snapshot available."},
        {"migrate_pause", "migrate_pause: not on this machine: machines are saved by migrate"},
        {"gpa2hpa 0", "not on this machine"},
        {"cpu 0", ""},
        {"cpu 1", "there is one CPU"},
        {"sum 0 4 5", "usage: sum"},
        {"sum 0xfffffffff000 8", "not all of that is memory"},
        {"sum 0 0x7fffffff0", "at most 1 GiB"},
        {"gpa2hva 0x1000", "No memory is mapped at address 0x1000"},
        {"mouse_set 4", "there is no such mouse"},
        {"trace-event nonsense on", "no trace category 'nonsense'"},
        {"trace-event e1000 maybe", "on or off is wanted"},
        {"trace-event e1000 on", ""},
        {"trace-event e1000 off", ""},
        {"expire_password spice now", "no display 'spice'"},
        {"expire_password vnc soon", "'soon' is not a number"},
        {"expire_password vnc never", ""},
        {"set_password vnc w disconnect", "keep is the only action"},
        {"closefd none", "File descriptor named 'none' not found"},
        {"logfile /nowhere/x", "Could not open '/nowhere/x'"},
        {"dump-guest-memory -p x", "by physical addresses"},
        {"chardev-change r null", ""},
        {"chardev-send-break r", ""},
        {"announce_self", ""},
        {"announce_self nic0,nic1 x", ""},
        {"gdbserver", "Waiting for gdb connection on device 'tcp::1234'"},
        {"gdbserver none", "Disabled gdbserver"},
        {"boot_set dc", "boot device list now set to dc"},
        {"set_password spice x", "no display 'spice'"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GString) out = g_string_new(NULL);
        monitor_execute(b->control, rows[i].line, out);
        if (!strstr(out->str, rows[i].says))
            g_error("'%s' says '%s', not '%s'", rows[i].line, out->str, rows[i].says);
        if (!*rows[i].says)
            g_assert_cmpstr(out->str, ==, "");
    }
    for (unsigned deep = 63; deep < 4000; deep += 3900) { /* the stack of a hostile line */
        g_autoptr(GString) line = g_string_new("p ");
        g_autoptr(GString) out = g_string_new(NULL);
        for (unsigned i = 0; i < deep; i++)
            g_string_append_c(line, "(-~"[i % 3]);
        g_string_append_c(line, '1');
        for (unsigned i = 0; i < (deep + 2) / 3; i++)
            g_string_append_c(line, ')');
        monitor_execute(b->control, line->str, out);
        g_assert_nonnull(strstr(out->str, deep < 64 ? "0x16\n" : "nested too deeply"));
    }
    g_autoptr(GString) out = g_string_new(NULL);
    monitor_execute(b->control, "o/h 0x80 0x1234", out);
    g_assert_cmpstr(b->keys, ==, "out 80 1234 2");
    b->keys[0] = 0;
    monitor_execute(b->control, "sendkey ctrl-alt-delete", out);
    g_assert_cmpstr(b->keys, ==, "+1d +38 +153 -153 -38 -1d ");
    static const struct {
        const char *line, *does;
    } screen[] = {
        {"mouse_move 5 -3", "mouse 5 -3 0 -1"},
        {"mouse_move 0 0 1", "mouse 0 0 1 -1"},
        {"mouse_button 5", "mouse 0 0 0 5"},
        {"screendump /tmp/x.png", "dump /tmp/x.png -"},
        {"screendump /tmp/x -f png", "dump /tmp/x png"},
        {"screendump \"/tmp/a \\\"b\\\\.png\" -f  png ", "dump /tmp/a \"b\\.png png"},
        {"change vnc password secret", "password secret"},
        {"set_password vnc other", "password other"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(screen); i++) {
        b->keys[0] = 0;
        monitor_execute(b->control, screen[i].line, out);
        g_assert_cmpstr(b->keys, ==, screen[i].does);
    }
    monitor_execute(b->control, "stop", out);
    g_assert_cmpint(b->status, ==, CONTROL_PAUSED);
    monitor_execute(b->control, "c", out);
    g_assert_cmpint(b->status, ==, CONTROL_RUNNING);
    b->status = CONTROL_SHUTDOWN;
    monitor_execute(b->control, "cont", out);
    g_assert_nonnull(strstr(out->str, "system_reset first"));
    monitor_execute(b->control, "system_reset", out);
    monitor_execute(b->control, "system_powerdown", out);
    monitor_execute(b->control, "nmi", out);
    monitor_execute(b->control, "set_link net0 off", out);
    monitor_execute(b->control, "q", out);
    g_assert_cmpuint(b->resets + b->buttons + b->nmis + b->quits, ==, 4);
    g_assert_false(b->link);
}

/* memsave and pmemsave: whole files, and none of what is not memory. */
static void test_monitor_saves(struct bench *b, gconstpointer data)
{
    g_autofree char *folder = g_dir_make_tmp("netlab-qmp-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "a file", NULL);
    static const struct {
        const char *command, *range;
        size_t len;
        uint8_t first;
    } rows[] = {
        {"memsave", "$eip+1 0x20", 0x20, 0x11}, {"pmemsave", "0x10 0x20", 0x20, 0x11},
        {"memsave", "0 0x1000", 0x1000, 0},     {"memsave", "5 0", 0, 0},
        {"memsave", "0xfff 2", SIZE_MAX, 0},    {"pmemsave", "0 999999999999", SIZE_MAX, 0},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GString) out = g_string_new(NULL);
        g_autofree char *line = g_strdup_printf("%s %s \"%s\"", rows[i].command, rows[i].range, path);
        g_autofree char *bytes = NULL;
        gsize len = 0;
        monitor_execute(b->control, line, out);
        if (rows[i].len == SIZE_MAX) {
            g_assert_nonnull(strstr(out->str, "all of that is memory"));
            g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
            continue;
        }
        g_assert_cmpstr(out->str, ==, "");
        g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
        g_assert_cmpuint(len, ==, rows[i].len);
        for (gsize at = 0; at < len; at++)
            g_assert_cmpuint((uint8_t)bytes[at], ==, (uint8_t)(rows[i].first + at));
        g_unlink(path);
    }
    g_assert_cmpint(mkfifo(path, 0600), ==, 0); /* nobody reads: no waiting */
    g_autofree char *line = g_strdup_printf("memsave 0 1 \"%s\"", path);
    g_autoptr(GString) out = g_string_new(NULL);
    monitor_execute(b->control, line, out);
    g_assert_nonnull(strstr(out->str, "No such device"));
    g_unlink(path);
    g_rmdir(folder);
}

static void test_monitor_session(struct bench *b, gconstpointer data)
{
    int pair[2];
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_autofree char *spec = g_strdup_printf("fd:%d", pair[0]);
    struct char_port *port = char_open("monitor", spec, b->loop, &error);
    g_assert_no_error(error);
    control_add_monitor(b->control, port);
    struct client c = {.fd = pair[1], .text = g_string_new(NULL)};
    fcntl(c.fd, F_SETFL, O_NONBLOCK);
    client_expect(b, &c, "monitor - type 'help'");
    client_say(&c, "infx\x7f\bfo st\x1b[2~atus\r"); /* typing errors, a key without a meaning */
    client_expect(b, &c, "(netlab) infx\b \b\b \bfo status");
    client_expect(b, &c, "VM status: running");
    client_say(&c, "quit\x15info name\n"); /* Ctrl-U: not quit */
    client_expect(b, &c, "(netlab) quit");
    client_expect(b, &c, "(netlab) info name");
    client_expect(b, &c, "r1");
    g_assert_cmpuint(b->quits, ==, 0);
    static const char *const typing[] = {
        "o name\x01inf\r",           /* Ctrl-A */
        "nfo nam\x1b[1~i\x1b[4~e\r", /* Home, End */
        "inf name\x1b[D\x1b[D\x1bOD\x02\x02o\r",
        "info  name\x1b[H\x06\x1b[C\x1b[C\x1b[C\x04\r",
        "info naxme\x02\x02\x7f\r",
        "info naxme\x02\x02\x02\x1b[3~\r",
        "info name and more\x02\x02\x02\x02\x02\x02\x02\x02\x02\x0b\r",
        "info me\x17name\r",
        "info \xc3\xa4\xc3\xb6\x02\x7f\x04name\r", /* characters, not bytes */
        "\x1b[A\r",
        "\x10\r",
        "in\x1b[A\x1b[Bfo name\r",                           /* what was typed is back */
        "\x0e\x0e\x1b[B\x02\x04\x7f\x06\x17\x0binfo name\r", /* where there is nothing */
        "info na\t\r",
        "\x1b[200~info name\x1b[201~\r",
        "\x1b[99999999999999999999;5X\x1b\x1b[[info name\r",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(typing); i++) {
        client_say(&c, typing[i]);
        client_expect(b, &c, "(netlab) ");
        client_expect(b, &c, "r1");
    }
    client_say(&c, "sys\t\t");
    client_expect(b, &c, "(netlab) system_");
    client_expect(b, &c, "system_reset  system_powerdown  system_wakeup");
    client_say(&c, "\x15nosuch\t\x15"
                   "info st\tu\t\r");
    client_expect(b, &c, "(netlab) system_");
    client_expect(b, &c, "(netlab) nosuch");
    client_expect(b, &c, "(netlab) info status ");
    client_expect(b, &c, "VM status: running");
    g_autofree char *lengthy = g_strnfill(10000, 'x');
    client_say(&c, lengthy);
    client_say(&c, "\rinfo name\r");
    client_expect(b, &c, "(netlab) xxxx");
    client_expect(b, &c, "unknown command");
    client_expect(b, &c, "(netlab) info name");
    client_expect(b, &c, "r1");
    client_close(&c);
    for (unsigned i = 0; i < 5; i++)
        loop_wait(b->loop, 1000000);
    control_free(b->control);
    b->control = NULL;
    char_free(port);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/qmp/" #name, struct bench, NULL, setup, test_##name, teardown)
    TEST(conversation);
    TEST(pieces);
    TEST(events);
    TEST(hostile);
    TEST(too_many);
    TEST(random);
    TEST(waiting);
    TEST(plugging);
    TEST(monitor_commands);
    TEST(monitor_saves);
    TEST(monitor_session);
    return g_test_run();
}
