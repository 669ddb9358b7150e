/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The whole program: netlab-emu as a process, running small Multiboot guests written here in machine code.
 * Power-off, reboot, exit codes, signals, what is left behind, QMP while a guest runs, an idle guest's cost.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct bench {
    char *folder, *kernel, *serial, *qmp, *pidfile;
    pid_t pid;
    int qmp_fd;
    GString *qmp_text;
};

static void setup(struct bench *b, gconstpointer data)
{
    b->folder = g_dir_make_tmp("netlab-machine-XXXXXX", NULL);
    b->kernel = g_build_filename(b->folder, "kernel", NULL);
    b->serial = g_build_filename(b->folder, "serial", NULL);
    b->qmp = g_build_filename(b->folder, "qmp", NULL);
    b->pidfile = g_build_filename(b->folder, "pid", NULL);
    b->qmp_fd = -1;
    b->qmp_text = g_string_new(NULL);
}

static void teardown(struct bench *b, gconstpointer data)
{
    if (b->pid) {
        kill(b->pid, SIGKILL);
        waitpid(b->pid, NULL, 0);
    }
    if (b->qmp_fd >= 0)
        close(b->qmp_fd);
    g_unlink(b->kernel);
    g_unlink(b->serial);
    g_assert_cmpint(g_rmdir(b->folder), ==, 0); /* socket and pidfile are gone, or this fails */
    g_free(b->folder);
    g_free(b->kernel);
    g_free(b->serial);
    g_free(b->qmp);
    g_free(b->pidfile);
    g_string_free(b->qmp_text, TRUE);
}

/* A Multiboot kernel by addresses: header, then `code` at 0x100020. */
static void write_kernel(struct bench *b, const uint8_t *code, size_t len)
{
    const uint32_t load = 0x100000, flags = 1 << 16;
    uint32_t header[8] = {0x1badb002, flags, -(0x1badb002 + flags), load, load, 0, 0, load + sizeof header};
    g_autoptr(GByteArray) file = g_byte_array_new();
    g_byte_array_append(file, (uint8_t *)header, sizeof header);
    g_byte_array_append(file, code, (guint)len);
    g_assert_true(g_file_set_contents(b->kernel, (char *)file->data, file->len, NULL));
}

#define GUEST(b, ...)                                                                                        \
    do {                                                                                                     \
        static const uint8_t code_[] = {__VA_ARGS__};                                                        \
        write_kernel(b, code_, sizeof code_);                                                                \
    } while (0)

/* Pieces of guest code. */
#define OUT_E9(c) 0xb0, (c), 0xe6, 0xe9 /* mov al, c; out 0xe9, al */
#define OUT_DX(port, v)                                                                                      \
    0x66, 0xba, (port)&0xff, (port) >> 8, 0xb0, (v), 0xee /* mov dx; mov al; out dx, al                      \
                                                           */
#define OUTW_DX(port, v) 0x66, 0xba, (port)&0xff, (port) >> 8, 0x66, 0xb8, (v)&0xff, (v) >> 8, 0x66, 0xef
#define HLT_FOREVER      0xfa, 0xf4, 0xeb, 0xfd /* cli; hlt; jmp hlt */
#define SPIN_FOREVER     0xeb, 0xfe
#define TRIPLE_FAULT     0x0f, 0x01, 0x1d, 0, 0, 0, 0, 0x0f, 0x0b /* lidt [0] (limit 0 there); ud2 */

/* Starts the program with the words every test has, and `words` (split at spaces). stderr goes to the test's.
 */
static void start(struct bench *b, const char *words)
{
    const char *accel = g_getenv("NETLAB_ACCEL");
    g_autofree char *line = g_strdup_printf("%s -m 4M -accel %s -kernel %s -display none %s", NETLAB_EMU,
                                            accel ? accel : "interp", b->kernel, words);
    g_auto(GStrv) argv = NULL;
    g_assert_true(g_shell_parse_argv(line, NULL, &argv, NULL));
    b->pid = fork();
    g_assert_cmpint(b->pid, >=, 0);
    if (!b->pid) {
        execv(argv[0], argv);
        _exit(127);
    }
}

/* The exit code, or 1000 + the signal. Ten seconds at most. */
static int finish(struct bench *b)
{
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    int status;
    while (waitpid(b->pid, &status, WNOHANG) != b->pid) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        poll(NULL, 0, 1);
    }
    b->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static char *with_debugcon(struct bench *b, const char *more)
{
    return g_strdup_printf("-debugcon file:%s %s", b->serial, more);
}

static char *output(struct bench *b)
{
    char *text = NULL;
    g_assert_true(g_file_get_contents(b->serial, &text, NULL, NULL));
    return text;
}

/* Waits until the guest has written `text`. */
static void wait_output(struct bench *b, const char *text)
{
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    for (;;) {
        g_autofree char *got = NULL;
        if (g_file_get_contents(b->serial, &got, NULL, NULL) && strstr(got, text))
            return;
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        g_assert_cmpint(waitpid(b->pid, NULL, WNOHANG), ==, 0);
        poll(NULL, 0, 1);
    }
}

/* ---- QMP ---- */

static void qmp_connect(struct bench *b)
{
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, b->qmp, sizeof address.sun_path);
    b->qmp_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (connect(b->qmp_fd, (struct sockaddr *)&address, sizeof address)) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        poll(NULL, 0, 1);
    }
}

/* Reads on until a line with `text` has come, and returns it. */
static char *qmp_line(struct bench *b, const char *text)
{
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    for (;;) {
        char *end = strstr(b->qmp_text->str, "\r\n");
        if (end) {
            *end = '\0';
            g_autofree char *line = g_strdup(b->qmp_text->str);
            g_string_erase(b->qmp_text, 0, end + 2 - b->qmp_text->str);
            if (strstr(line, text))
                return g_steal_pointer(&line);
            continue;
        }
        char buffer[4096];
        struct pollfd ready = {.fd = b->qmp_fd, .events = POLLIN};
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        if (poll(&ready, 1, 100) < 1)
            continue;
        ssize_t got = read(b->qmp_fd, buffer, sizeof buffer);
        if (got <= 0)
            g_error("QMP ended before it said '%s'", text);
        g_string_append_len(b->qmp_text, buffer, got);
    }
}

static void qmp_expect(struct bench *b, const char *text)
{
    g_free(qmp_line(b, text));
}

static void qmp(struct bench *b, const char *command, const char *says)
{
    g_autofree char *json = g_strdup_printf("{\"execute\":\"%s\"}\n", command);
    g_assert_cmpint(write(b->qmp_fd, json, strlen(json)), ==, strlen(json));
    qmp_expect(b, says);
}

static char *qmp_hmp_line(struct bench *b, const char *line, const char *says)
{
    g_autofree char *json = g_strdup_printf(
        "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"%s\"}}\n", line);
    g_assert_cmpint(write(b->qmp_fd, json, strlen(json)), ==, strlen(json));
    return qmp_line(b, says);
}

static void qmp_hmp(struct bench *b, const char *line, const char *says)
{
    g_free(qmp_hmp_line(b, line, says));
}

static void start_with_qmp(struct bench *b, const char *words)
{
    g_autofree char *line =
        g_strdup_printf("-debugcon file:%s -qmp unix:%s,server=on,wait=off %s", b->serial, b->qmp, words);
    start(b, line);
    qmp_connect(b);
    qmp_expect(b, "QMP");
    qmp(b, "qmp_capabilities", "{\"return\":{}}");
}

/* ---- how it ends ---- */

static void test_debug_exit(struct bench *b, gconstpointer data)
{
    GUEST(b, OUT_E9('o'), OUT_E9('k'), OUT_DX(0x501, 0x10), SPIN_FOREVER);
    g_autofree char *words = with_debugcon(b, "-device isa-debug-exit");
    start(b, words);
    g_assert_cmpint(finish(b), ==, 0x21);
    g_autofree char *text = output(b);
    g_assert_cmpstr(text, ==, "ok");
}

static void test_power_off(struct bench *b, gconstpointer data)
{
    GUEST(b, OUTW_DX(0x604, 0x2000), SPIN_FOREVER); /* PM1a_CNT: SLP_EN, S5 */
    start(b, "");
    g_assert_cmpint(finish(b), ==, 0);
}

/* Each way a guest can reset; with -no-reboot it ends the program, without it the guest starts again. */
static void test_resets(struct bench *b, gconstpointer data)
{
    static const uint8_t keyboard[] = {OUT_E9('r'), OUT_DX(0x64, 0xfe), SPIN_FOREVER};
    static const uint8_t port92[] = {OUT_E9('r'), OUT_DX(0x92, 0x01), SPIN_FOREVER};
    static const uint8_t cf9[] = {OUT_E9('r'), OUT_DX(0xcf9, 0x02), OUT_DX(0xcf9, 0x06), SPIN_FOREVER};
    static const uint8_t triple[] = {OUT_E9('r'), TRIPLE_FAULT};
    static const struct {
        const uint8_t *code;
        size_t len;
    } ways[] = {
        {keyboard, sizeof keyboard}, {port92, sizeof port92}, {cf9, sizeof cf9}, {triple, sizeof triple}};
    for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
        g_autofree char *once = with_debugcon(b, "-no-reboot");
        g_autofree char *again = with_debugcon(b, "");
        write_kernel(b, ways[i].code, ways[i].len);
        start(b, once);
        g_assert_cmpint(finish(b), ==, 0);
        g_autofree char *text = output(b);
        g_assert_cmpstr(text, ==, "r");
        start(b, again);
        wait_output(b, "rrrrrrrr");
        kill(b->pid, SIGTERM);
        g_assert_cmpint(finish(b), ==, 0);
    }
}

static void test_signals(struct bench *b, gconstpointer data)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    for (unsigned round = 0; round < 2; round++) {
        if (round)
            GUEST(b, OUT_E9('x'), SPIN_FOREVER);
        else
            GUEST(b, OUT_E9('x'), HLT_FOREVER);
        for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
            g_autofree char *words = g_strdup_printf(
                "-debugcon file:%s -pidfile %s -qmp unix:%s,server,nowait", b->serial, b->pidfile, b->qmp);
            g_autofree char *text = NULL;
            start(b, words);
            wait_output(b, "x");
            g_assert_true(g_file_get_contents(b->pidfile, &text, NULL, NULL));
            g_assert_cmpint(atoi(text), ==, b->pid);
            kill(b->pid, signals[i]);
            g_assert_cmpint(finish(b), ==, 0);
            g_assert_cmpint(access(b->pidfile, F_OK), !=, 0);
            g_assert_cmpint(access(b->qmp, F_OK), !=, 0);
            g_unlink(b->serial);
        }
    }
}

static void test_pidfile_taken(struct bench *b, gconstpointer data)
{
    GUEST(b, OUT_E9('x'), HLT_FOREVER);
    g_autofree char *words = g_strdup_printf("-debugcon file:%s -pidfile %s", b->serial, b->pidfile);
    g_autofree char *second = g_strdup_printf("-pidfile %s", b->pidfile);
    start(b, words);
    wait_output(b, "x");
    pid_t first = b->pid;
    start(b, second);
    g_assert_cmpint(finish(b), ==, 1);
    g_assert_cmpint(access(b->pidfile, F_OK), ==, 0); /* the first one's, still there */
    b->pid = first;
    kill(first, SIGTERM);
    g_assert_cmpint(finish(b), ==, 0);
    /* left by a process that is dead: taken over */
    g_assert_true(g_file_set_contents(b->pidfile, "1\n", -1, NULL));
    g_unlink(b->serial);
    start(b, words);
    wait_output(b, "x");
    kill(b->pid, SIGTERM);
    g_assert_cmpint(finish(b), ==, 0);
}

static void test_bad_start(struct bench *b, gconstpointer data)
{
    /* Nothing is created when something is wrong, wherever in the line it is. */
    GUEST(b, HLT_FOREVER);
    static const char *const wrong[] = {
        "-bogus",
        "-initrd /nonexistent",
        "-device isa-debug-exit,iosize=3",
        "-fw_cfg opt/x,file=/nonexistent",
        "-serial file:/nonexistent/x",
        "-monitor unix:/nonexistent/x,server,nowait",
        "-device e1000,addr=2 -netdev tap,id=n,fd=2 -device e1000,netdev=n",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *words =
            g_strdup_printf("-pidfile %s -qmp unix:%s,server,nowait %s", b->pidfile, b->qmp, wrong[i]);
        start(b, words);
        g_assert_cmpint(finish(b), ==, 1);
        g_assert_cmpint(access(b->pidfile, F_OK), !=, 0);
        g_assert_cmpint(access(b->qmp, F_OK), !=, 0);
    }
}

static void test_daemonize(struct bench *b, gconstpointer data)
{
    g_autofree char *text = NULL;
    GUEST(b, OUT_E9('x'), HLT_FOREVER);
    g_autofree char *words =
        g_strdup_printf("-debugcon file:%s -daemonize -pidfile %s", b->serial, b->pidfile);
    start(b, words);
    g_assert_cmpint(finish(b), ==, 0); /* the parent, once all is set up */
    g_assert_true(g_file_get_contents(b->pidfile, &text, NULL, NULL));
    pid_t daemon = atoi(text);
    g_assert_cmpint(daemon, >, 1);
    g_assert_cmpint(getsid(daemon), ==, daemon);
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    kill(daemon, SIGTERM);
    while (access(b->pidfile, F_OK) == 0) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        poll(NULL, 0, 1);
    }
    /* and one that cannot be set up says so to its parent */
    g_autofree char *bad = g_strdup_printf("-daemonize -pidfile %s -serial file:/nonexistent/x", b->pidfile);
    start(b, bad);
    g_assert_cmpint(finish(b), ==, 1);
}

static void test_run_as(struct bench *b, gconstpointer data)
{
    if (getuid()) {
        g_test_skip("only root can become another user");
        return;
    }
    GUEST(b, OUT_E9('x'), HLT_FOREVER);
    g_autofree char *words = with_debugcon(b, "-runas 65534:65534");
    g_autofree char *status = NULL;
    start(b, words);
    wait_output(b, "x");
    g_autofree char *path = g_strdup_printf("/proc/%d/status", b->pid);
    g_assert_true(g_file_get_contents(path, &status, NULL, NULL));
    g_assert_nonnull(strstr(status, "\nUid:\t65534\t65534\t65534\t65534\n"));
    g_assert_nonnull(strstr(status, "\nGid:\t65534\t65534\t65534\t65534\n"));
    g_assert_nonnull(strstr(status, "\nGroups:\t65534 \n"));
    g_assert_nonnull(strstr(status, "\nCapEff:\t0000000000000000\n"));
    g_assert_nonnull(strstr(status, "\nNoNewPrivs:\t1\n"));
    kill(b->pid, SIGTERM);
    g_assert_cmpint(finish(b), ==, 0);
    start(b, "-runas nobody-of-this-name");
    g_assert_cmpint(finish(b), ==, 1);
}

static void test_early_signals(struct bench *b, gconstpointer data)
{
    /* At whatever moment of the start it comes: the process ends and nothing stays behind. */
    GUEST(b, HLT_FOREVER);
    g_autofree char *words = g_strdup_printf("-pidfile %s -qmp unix:%s,server,nowait", b->pidfile, b->qmp);
    for (unsigned i = 0; i < 40; i++) {
        start(b, words);
        gint64 until = g_get_monotonic_time() + i * 500;
        while (g_get_monotonic_time() < until)
            ;
        kill(b->pid, SIGTERM);
        int code = finish(b);
        g_assert_true(code == 0 || code == 1000 + SIGTERM);
        g_assert_cmpint(access(b->pidfile, F_OK), !=, 0);
        g_assert_cmpint(access(b->qmp, F_OK), !=, 0);
    }
}

/* ---- while it runs ---- */

static void test_qmp_run(struct bench *b, gconstpointer data)
{
    GUEST(b, OUT_E9('x'), SPIN_FOREVER);
    start_with_qmp(b, "-name box");
    wait_output(b, "x");
    qmp(b, "query-status", "\"status\":\"running\"");
    qmp(b, "query-name", "box");
    qmp(b, "stop", "{\"return\":{}}");
    qmp(b, "query-status", "\"status\":\"paused\"");
    qmp_hmp(b, "info registers", "0010002");
    qmp_hmp(b, "xp/1xw 0x100000", "0x1badb002");
    qmp_hmp(b, "xp/2i 0x100020", "00100020:  mov al, 0x78\\n00100022:  out 0xe9, al");
    qmp_hmp(b, "x/1i $pc", "jmp");
    qmp_hmp(b, "info mtree", "ram");
    qmp_hmp(b, "info pci", "8086");
    qmp_hmp(b, "info qtree", "pit");
    qmp_hmp(b, "info chardev", "debugcon");
    qmp_hmp(b, "info pic", "return");
    qmp_hmp(b, "info lapic", "return");
    qmp_hmp(b, "info fwcfg", "e820");
    qmp_hmp(b, "info jit", "instructions");
    qmp_hmp(b, "info state", "return");
    qmp_hmp(b, "info network", "return");
    qmp(b, "cont", "RESUME");
    qmp(b, "system_reset",
        "\"event\":\"RESET\",\"data\":{\"guest\":false,\"reason\":\"host-qmp-system-reset\"}");
    wait_output(b, "xx");
    qmp(b, "quit", "\"event\":\"SHUTDOWN\"");
    g_assert_cmpint(finish(b), ==, 0);
}

static void test_stopped_start(struct bench *b, gconstpointer data)
{
    GUEST(b, OUT_E9('x'), OUT_DX(0x501, 0), SPIN_FOREVER);
    start_with_qmp(b, "-S -device isa-debug-exit");
    qmp(b, "query-status", "\"status\":\"prelaunch\"");
    g_autofree char *text = output(b);
    g_assert_cmpstr(text, ==, "");
    qmp(b, "cont", "RESUME");
    g_assert_cmpint(finish(b), ==, 1);
    g_autofree char *after = output(b);
    g_assert_cmpstr(after, ==, "x");
}

static void test_no_shutdown(struct bench *b, gconstpointer data)
{
    GUEST(b, OUT_E9('x'), OUTW_DX(0x604, 0x2000), SPIN_FOREVER);
    start_with_qmp(b, "-no-shutdown");
    wait_output(b, "x");
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    /* It may take a moment until the guest is there: ask until it is. */
    for (;;) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        const char *ask = "{\"execute\":\"cont\"}\n";
        g_assert_cmpint(write(b->qmp_fd, ask, strlen(ask)), ==, strlen(ask));
        struct pollfd ready = {.fd = b->qmp_fd, .events = POLLIN};
        char buffer[4096] = {0};
        g_assert_cmpint(poll(&ready, 1, 10000), ==, 1);
        g_assert_cmpint(read(b->qmp_fd, buffer, sizeof buffer - 1), >, 0);
        if (strstr(buffer, "Resetting the Virtual Machine is required"))
            break;
    }
    qmp(b, "system_reset", "\"event\":\"RESET\"");
    qmp(b, "query-status", "\"status\":\"paused\"");
    qmp(b, "cont", "RESUME");
    wait_output(b, "xx");
    qmp(b, "quit", "{\"return\":{}}");
    g_assert_cmpint(finish(b), ==, 0);
}

static void test_power_button(struct bench *b, gconstpointer data)
{
    /* PM1a_EN: PWRBTN_EN; then wait for PWRBTN_STS by polling, and power off. */
    GUEST(b, OUTW_DX(0x602, 0x0100), OUT_E9('x'), 0x66, 0xba, 0x00, 0x06, /* mov dx, 0x600 */
          0x66, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xf9,                       /* in ax, dx; test ah, 1; jz in */
          OUT_E9('b'), OUTW_DX(0x604, 0x2000), SPIN_FOREVER);
    start_with_qmp(b, "");
    wait_output(b, "x");
    qmp(b, "system_powerdown", "\"event\":\"POWERDOWN\"");
    qmp_expect(b, "\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-shutdown\"}");
    g_assert_cmpint(finish(b), ==, 0);
    g_autofree char *text = output(b);
    g_assert_cmpstr(text, ==, "xb");
}

/* Puts real-mode code at 0x8000 and its address where the FACS wants it, enables events, and suspends:
 * "s", and once awake "w" and what memory had before, then off. */
#define PUT32(at, a, b, c, d)                                                                                \
    0xc7, 0x05, (at)&0xff, (at) >> 8 & 0xff, (at) >> 16, 0, (a), (b), (c), (d) /* mov dword [at], … */
#define SLEEPER(...)                                                                                         \
    PUT32(0xe004c, 0x00, 0x80, 0, 0), PUT32(0x8000, 0xb0, 'w', 0xe6, 0xe9),                                  \
        PUT32(0x8004, 0x2e, 0xa0, 0x14, 0x00), /* mov al, cs:[0x14] */                                       \
        PUT32(0x8008, 0xe6, 0xe9, 0xba, 0x04), PUT32(0x800c, 0x06, 0xb8, 0x00, 0x20),                        \
        PUT32(0x8010, 0xef, 0xeb, 0xfe, 0), PUT32(0x8014, 'm', 0, 0, 0), __VA_ARGS__, OUT_E9('s'),           \
        OUTW_DX(0x604, 0x2400), SPIN_FOREVER

static void expect_sleep_and_wake(struct bench *b)
{
    qmp_expect(b, "\"event\":\"WAKEUP\"");
    qmp_expect(b, "\"event\":\"SHUTDOWN\"");
    g_assert_cmpint(finish(b), ==, 0);
    g_autofree char *text = output(b);
    g_assert_cmpstr(text, ==, "swm");
}

static void test_suspend(struct bench *b, gconstpointer data)
{
    GUEST(b, SLEEPER(OUTW_DX(0x602, 0)));
    start_with_qmp(b, "-S");
    qmp(b, "query-current-machine", "\"wakeup-suspend-support\":true");
    qmp(b, "system_wakeup", "guest is not in suspended state");
    qmp(b, "cont", "RESUME");
    qmp_expect(b, "\"event\":\"SUSPEND\"");
    qmp(b, "query-status", "\"status\":\"suspended\"");
    qmp(b, "stop", "\"event\":\"STOP\"");
    qmp(b, "query-status", "\"status\":\"paused\"");
    qmp(b, "cont", "RESUME");
    qmp(b, "query-status", "\"status\":\"suspended\"");
    qmp(b, "system_powerdown", "\"event\":\"POWERDOWN\""); /* not enabled: it sleeps on */
    qmp(b, "query-status", "\"status\":\"suspended\"");
    qmp(b, "system_wakeup", "{\"return\":{}}");
    expect_sleep_and_wake(b);
}

static void test_wake_by_button(struct bench *b, gconstpointer data)
{
    GUEST(b, SLEEPER(OUTW_DX(0x602, 0x0100)));
    start_with_qmp(b, "-S");
    qmp(b, "cont", "RESUME");
    qmp_expect(b, "\"event\":\"SUSPEND\"");
    qmp(b, "system_powerdown", "\"event\":\"POWERDOWN\"");
    expect_sleep_and_wake(b);
}

static void test_wake_by_key(struct bench *b, gconstpointer data)
{
    GUEST(b, SLEEPER(OUTW_DX(0x602, 0)));
    start_with_qmp(b, "-S");
    qmp(b, "cont", "RESUME");
    qmp_expect(b, "\"event\":\"SUSPEND\"");
    qmp_hmp(b, "sendkey a", "return");
    expect_sleep_and_wake(b);
}

#define CMOS(at, v) 0xb0, (at), 0xe6, 0x70, 0xb0, (v), 0xe6, 0x71

static void test_wake_by_alarm(struct bench *b, gconstpointer data)
{
    /* RTC_EN; an alarm each second (all "don't care"), AIE */
    GUEST(b, SLEEPER(OUTW_DX(0x602, 0x0400), CMOS(1, 0xff), CMOS(3, 0xff), CMOS(5, 0xff), CMOS(11, 0x22)));
    start_with_qmp(b, "-S");
    qmp(b, "cont", "RESUME");
    qmp_expect(b, "\"event\":\"SUSPEND\"");
    expect_sleep_and_wake(b);
}

/* A reset from outside ends sleep; a guest that says nowhere to go on starts anew. */
static void test_reset_asleep(struct bench *b, gconstpointer data)
{
    GUEST(b, OUT_E9('s'), OUTW_DX(0x604, 0x2400), SPIN_FOREVER);
    start_with_qmp(b, "-S");
    qmp(b, "cont", "RESUME");
    qmp_expect(b, "\"event\":\"SUSPEND\"");
    qmp(b, "system_reset", "\"event\":\"RESET\"");
    qmp_expect(b, "\"event\":\"SUSPEND\"");
    qmp(b, "system_wakeup", "\"event\":\"WAKEUP\"");
    wait_output(b, "sss");
    qmp(b, "quit", "\"event\":\"SHUTDOWN\"");
    g_assert_cmpint(finish(b), ==, 0);
}

static void test_hibernate(struct bench *b, gconstpointer data)
{
    GUEST(b, OUTW_DX(0x604, 0x2800), SPIN_FOREVER);
    start_with_qmp(b, "-S");
    qmp(b, "cont", "RESUME");
    qmp_expect(b, "\"event\":\"SUSPEND_DISK\"");
    qmp_expect(b, "\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-shutdown\"}");
    g_assert_cmpint(finish(b), ==, 0);
}

/* A watchdog of 2 s (IB700) that nobody feeds, and what each action makes of it. */
static void test_watchdog(struct bench *b, gconstpointer data)
{
    GUEST(b, OUT_E9('x'), OUT_DX(0x443, 0x0f), SPIN_FOREVER); /* at once */
    g_autofree char *once = with_debugcon(b, "-watchdog ib700 -no-reboot");
    start(b, once);
    g_assert_cmpint(finish(b), ==, 0);
    g_autofree char *off = with_debugcon(b, "-device ib700 -action watchdog=poweroff");
    start(b, off);
    g_assert_cmpint(finish(b), ==, 0);

    start_with_qmp(b, "-watchdog ib700 -watchdog-action pause -S");
    qmp(b, "cont", "RESUME");
    qmp_expect(b, "\"event\":\"WATCHDOG\",\"data\":{\"action\":\"pause\"}");
    qmp(b, "query-status", "\"status\":\"watchdog\"");
    qmp_hmp(b, "watchdog_action bogus", "is no action");
    qmp_hmp(b, "watchdog_action reset", "return");
    qmp(b, "system_reset", "\"event\":\"RESET\"");
    qmp(b, "cont", "RESUME");
    qmp_expect(b, "\"event\":\"WATCHDOG\",\"data\":{\"action\":\"reset\"}");
    qmp_expect(b, "\"event\":\"RESET\",\"data\":{\"guest\":true");
    qmp(b, "quit", "\"event\":\"SHUTDOWN\"");
    g_assert_cmpint(finish(b), ==, 0);
}

static double cpu_seconds(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid), *text = NULL;
    unsigned long user = 0, system = 0;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpint(
        sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system),
        ==, 2);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void test_idle(struct bench *b, gconstpointer data)
{
    /* A halted guest costs nothing; QMP is answered all the same. */
    GUEST(b, OUT_E9('x'), HLT_FOREVER);
    start_with_qmp(b, "");
    wait_output(b, "x");
    qmp(b, "query-status", "running");
    double before = cpu_seconds(b->pid);
    gint64 until = g_get_monotonic_time() + G_USEC_PER_SEC / 2;
    while (g_get_monotonic_time() < until)
        poll(NULL, 0, 100);
    g_assert_cmpfloat(cpu_seconds(b->pid) - before, <=, 0.02);
    qmp(b, "quit", "{\"return\":{}}");
    g_assert_cmpint(finish(b), ==, 0);
}

/* ---- time ---- */

static double host_seconds(void)
{
    return (double)g_get_monotonic_time() / G_USEC_PER_SEC;
}

static double guest_seconds(struct bench *b)
{
    g_autofree char *line = qmp_hmp_line(b, "info jit", "guest time");
    return g_ascii_strtod(strstr(line, "guest time") + strlen("guest time"), NULL);
}

/* Work for the host's processors beside the machine, ten seconds at most. */
static void spin(pid_t pids[4])
{
    for (unsigned i = 0; i < 4; i++) {
        pids[i] = fork();
        g_assert_cmpint(pids[i], >=, 0);
        if (pids[i])
            continue;
        alarm(10);
        for (;;)
            ;
    }
}

static void test_time(struct bench *b, gconstpointer data)
{
    /* A guest that reads the TSC for ever and ends the program if it goes back; it is stopped and continued
     * on a host that is busy. Guest time is what passed on the host while it ran, neither more nor less. */
    enum { STORED = 0x200000 };
    GUEST(b, 0x31, 0xf6, 0x31, 0xff,                               /* esi, edi: the last reading */
          0x0f, 0x31,                                              /* again: rdtsc */
          0x39, 0xfa, 0x72, 0x11, 0x75, 4, 0x39, 0xf0, 0x72, 0x0b, /* below edi:esi? end */
          0x89, 0xc6, 0x89, 0xd7, 0xa3, 0, 0, 0x20, 0,             /* keep it; mov [STORED], eax */
          0xeb, 0xe9, OUT_DX(0x501, 0x44), SPIN_FOREVER);
    start_with_qmp(b, "-S -device isa-debug-exit");
    pid_t load[4];
    spin(load);
    double before = guest_seconds(b);
    for (unsigned i = 0; i < 6; i++) {
        double asked = host_seconds();
        qmp(b, "cont", "{\"return\":{}}");
        double runs = host_seconds();
        while (host_seconds() < runs + 0.2)
            poll(NULL, 0, 10);
        double stops = host_seconds();
        qmp(b, "stop", "{\"return\":{}}");
        double stopped = host_seconds(), now = guest_seconds(b);
        g_assert_cmpfloat(now - before, >=, stops - runs - 0.002);
        g_assert_cmpfloat(now - before, <=, stopped - asked + 0.002);
        g_autofree char *line = qmp_hmp_line(b, "xp/1xw 0x200000", "000200000: 0x");
        double tsc = (double)g_ascii_strtoull(strstr(line, ": 0x") + 2, NULL, 16) / 1e9;
        g_assert_cmpfloat(tsc, <=, now + 0.001);
        g_assert_cmpfloat(tsc, >=, now - 0.15); /* the guest ran until shortly before it was stopped */
        while (host_seconds() < stopped + 0.1)
            poll(NULL, 0, 10);
        before = guest_seconds(b);
        g_assert_cmpfloat(before, ==, now);
    }
    for (unsigned i = 0; i < 4; i++) {
        kill(load[i], SIGKILL);
        waitpid(load[i], NULL, 0);
    }
    qmp(b, "quit", "{\"return\":{}}");
    g_assert_cmpint(finish(b), ==, 0);
}

static void test_file_cut_short(struct bench *b, gconstpointer data)
{
    /* A module's pages are guest RAM; somebody empties the file before the guest has read it. */
    enum { SIZE = 128 << 10 };
    g_autofree char *module = g_build_filename(b->folder, "module", NULL), *bytes = g_malloc(SIZE);
    g_autofree char *words = g_strdup_printf("-S -device isa-debug-exit -initrd %s", module);
    memset(bytes, 'k', SIZE);
    g_assert_true(g_file_set_contents(module, bytes, SIZE, NULL));
    GUEST(b, 0x8b, 0x73, 0x18 /* mov esi, [ebx + 24]: modules */, 0x8b, 0x36 /* mov esi, [esi] */, 0x8a,
          0x06 /* mov al, [esi] */, 0xe6, 0xe9, 0x8a, 0x86, 0, 0, 1, 0 /* mov al, [esi + 0x10000] */, 0x04,
          '0' /* add al, '0' */, 0xe6, 0xe9, 0xc6, 0x86, 0, 0, 1, 0, 'w' /* mov [esi + 0x10000], 'w' */, 0x8a,
          0x86, 0, 0, 1, 0, 0xe6, 0xe9, OUT_DX(0x501, 0), SPIN_FOREVER);
    start_with_qmp(b, words);
    g_assert_cmpint(truncate(module, 4096), ==, 0);
    qmp(b, "cont", "{\"return\":{}}");
    g_assert_cmpint(finish(b), ==, 1);
    g_autofree char *text = output(b);
    g_assert_cmpstr(text, ==, "k0w");
    g_unlink(module);
}

static void test_wait_for_peer(struct bench *b, gconstpointer data)
{
    /* server=on without wait=off: the guest starts when somebody has connected. */
    GUEST(b, OUT_E9('x'), OUT_DX(0x501, 0), SPIN_FOREVER);
    g_autofree char *words =
        g_strdup_printf("-debugcon file:%s -device isa-debug-exit -qmp unix:%s,server=on", b->serial, b->qmp);
    start(b, words);
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (access(b->qmp, F_OK)) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        poll(NULL, 0, 1);
    }
    poll(NULL, 0, 50);
    g_autofree char *text = output(b);
    g_assert_cmpstr(text, ==, "");
    qmp_connect(b);
    g_assert_cmpint(finish(b), ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/machine/" #name, struct bench, NULL, setup, test_##name, teardown)
    TEST(debug_exit);
    TEST(power_off);
    TEST(resets);
    TEST(signals);
    TEST(pidfile_taken);
    TEST(bad_start);
    TEST(daemonize);
    TEST(run_as);
    TEST(early_signals);
    TEST(qmp_run);
    TEST(stopped_start);
    TEST(no_shutdown);
    TEST(power_button);
    TEST(suspend);
    TEST(wake_by_button);
    TEST(wake_by_key);
    TEST(wake_by_alarm);
    TEST(reset_asleep);
    TEST(hibernate);
    TEST(watchdog);
    TEST(idle);
    TEST(time);
    TEST(file_cut_short);
    TEST(wait_for_peer);
    return g_test_run();
}
