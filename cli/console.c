/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab console`: the node's first serial port on this terminal.
 *
 * The terminal goes into raw mode, so that Ctrl-C and all others reach the guest; Ctrl-] leaves. The port
 * takes one peer at a time; a lock on the node's configuration file lets a second console say so instead of
 * waiting in silence.
 */
#include "cli/node.h"
#include "netlab/machine.h"
#include "netlab/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <termios.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ESCAPE = 0x1d /* Ctrl-] */, DRAIN_MS = 300, PAST_LINES = 100 };

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"lines", 'n', "NUMBER",
     "how much of what it said before is shown first, on a terminal (100; 0: nothing)"},
    {"log", 0, NULL, "print what the console has shown so far and end"},
    CLI_HELP_OPTION,
};

static bool write_all(int fd, const char *data, size_t length)
{
    while (length) {
        ssize_t put = write(fd, data, length);
        if (put < 0 && (errno == EINTR || errno == EAGAIN)) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, -1);
            continue;
        }
        if (put <= 0)
            return false;
        data += put;
        length -= (size_t)put;
    }
    return true;
}

enum outcome { LEFT, CLOSED, INPUT_ENDED, INTERRUPTED };

static volatile sig_atomic_t was_signalled;

static void on_signal(int number)
{
    was_signalled = number;
}

/* Copies both ways until something ends it. */
static enum outcome converse(int console, bool has_escape)
{
    char data[4096];
    bool input_open = true;
    while (!was_signalled) {
        struct pollfd fds[2] = {{.fd = console, .events = POLLIN},
                                {.fd = input_open ? STDIN_FILENO : -1, .events = POLLIN}};
        int n = poll(fds, 2, input_open ? -1 : DRAIN_MS);
        if (n == 0)
            return INPUT_ENDED;
        if (n < 0)
            continue;
        if (fds[0].revents) {
            ssize_t got = read(console, data, sizeof data);
            if (got <= 0 || !write_all(STDOUT_FILENO, data, (size_t)got))
                return CLOSED;
        }
        if (fds[1].revents) {
            ssize_t got = read(STDIN_FILENO, data, sizeof data);
            if (got <= 0) {
                input_open = false;
                continue;
            }
            char *escape = has_escape ? memchr(data, ESCAPE, (size_t)got) : NULL;
            if (!write_all(console, data, escape ? (size_t)(escape - data) : (size_t)got))
                return CLOSED;
            if (escape)
                return LEFT;
        }
    }
    return INTERRUPTED;
}

/* What was said before, without control characters: the terminal's own scrolling reaches it. */
static void print_past(const struct lab_node_status *node, unsigned lines)
{
    g_autofree char *text = lines ? machine_log_tail(node->directory, "console.log", lines) : NULL;
    if (text && *text)
        printf("%s\n", text);
    fflush(stdout);
}

static int converse_on_terminal(int console, const struct lab_node_status *node, unsigned lines)
{
    struct termios before, raw;
    const char *name = node->name;
    bool is_terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    if (is_terminal) {
        raw = before;
        cfmakeraw(&raw);
        print_past(node, lines);
        fprintf(stderr, "Console of %s, below what it said before. Ctrl-] leaves; Enter if it is silent.\n",
                name);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    enum outcome outcome = converse(console, is_terminal);
    if (is_terminal) {
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
        fprintf(stderr, "\n%s\n",
                outcome == LEFT ? "Left the console; the machine goes on."
                                : "The console was closed: the machine has ended.");
    }
    return outcome == INTERRUPTED ? CLI_INTERRUPTED : CLI_OK;
}

static int print_log(const struct lab_node_status *node)
{
    g_autofree char *path = g_build_filename(node->directory, "console.log", NULL);
    char data[65536];
    ssize_t got = 0;
    struct stat found;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    /* The folder is its machine's user's, who may have put anything there. */
    bool is_log = fd >= 0 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_nlink == 1;
    if (!is_log) {
        fprintf(stderr, "netlab: %s: %s\n", path, fd < 0 ? g_strerror(errno) : "this is no log of netlab's");
        if (fd >= 0)
            close(fd);
        return CLI_FAILED;
    }
    bool good = true;
    while (good && (got = read(fd, data, sizeof data)) > 0)
        good = write_all(STDOUT_FILENO, data, (size_t)got);
    close(fd);
    return good && got == 0 ? CLI_OK : CLI_FAILED;
}

static int lock_console(const struct lab_node_status *node, GError **error)
{
    g_autofree char *path = g_build_filename(node->directory, "config", NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                fd >= 0 ? "another console of %s is open; leave that one first (Ctrl-])"
                        : "the folder of %s is gone; run `netlab up`",
                node->name);
    if (fd >= 0)
        close(fd);
    return -1;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_node node;
    int status, lock = -1, console = -1;
    unsigned lines = PAST_LINES;
    if (!cli_number(call, "lines", 0, 10000, &lines))
        return CLI_USAGE;
    if (!cli_node_find(call, cli_argument(call, 0), &node, &error)) {
        status = cli_fail(error);
    } else if (cli_flag(call, "log")) {
        status = print_log(node.node);
    } else if (!node.node->console) {
        g_set_error(&error, LAB_ERROR, LAB_ERROR_NOT_UP,
                    "%s serves a network and has no console; `netlab log %s` prints what it has said",
                    node.node->name, node.node->name);
        status = cli_fail(error);
    } else if (!cli_node_require_running(&node, &error) || (lock = lock_console(node.node, &error)) < 0) {
        status = cli_fail(error);
    } else if ((console = paths_connect(node.node->console)) < 0) {
        fprintf(stderr, "netlab: %s: %s; is the machine still running? (see `netlab status`)\n",
                node.node->console, g_strerror(errno));
        status = CLI_NOT_UP;
    } else {
        status = converse_on_terminal(console, node.node, lines);
    }
    if (console >= 0)
        close(console);
    if (lock >= 0)
        close(lock);
    cli_node_clear(&node);
    return status;
}

const struct cli_verb verb_console = {
    .name = "console",
    .arguments = "NODE",
    .summary = "talk to a node's serial console",
    .description =
        "Connects this terminal to the node's first serial port. Everything typed goes to the guest, Ctrl-C "
        "too; Ctrl-] leaves "
        "and the machine goes on. What the console said before stands above. In a pipe it sends its input "
        "and prints what comes until that is silent.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .least = 1,
    .most = 1,
    .examples =
        CLI_EXAMPLES({"netlab console h1", "Ctrl-] leaves"}, {"netlab console --log h1", "all it has said"}),
    .run = run,
};
