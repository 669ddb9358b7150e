/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab connect`: a shell in a node, on a terminal of its own, through the agent.
 *
 * Our terminal goes into raw mode: Ctrl-C and all others are the guest's terminal's to understand, which has
 * our terminal's size and follows it. In a pipe the shell gets pipes, as ssh does it.
 */
#include "cli/node.h"
#include "netlab/session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

enum { LEAVE = 0x1d /* Ctrl-] */, CONNECT_MS = 10000 };

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    CLI_HELP_OPTION,
};

static void terminal_size(unsigned *rows, unsigned *columns)
{
    struct winsize size = {0};
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0)
        return;
    *rows = size.ws_row;
    *columns = size.ws_col;
}

/* The signals become readability of an fd; -1 when that cannot be. */
static int signal_fd(int first, ...)
{
    sigset_t mask;
    va_list more;
    sigemptyset(&mask);
    va_start(more, first);
    for (int number = first; number; number = va_arg(more, int))
        sigaddset(&mask, number);
    va_end(more);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* env TERM=… and the command; without one the person's shell. */
static char **shell_argv(const struct cli_call *call, bool is_terminal)
{
    static const char shell[] = "if [ -x /bin/bash ]; then exec /bin/bash -l; else exec /bin/sh -l; fi";
    GPtrArray *argv = g_ptr_array_new();
    const char *term = g_getenv("TERM");
    g_ptr_array_add(argv, g_strdup("/usr/bin/env"));
    if (is_terminal)
        g_ptr_array_add(argv, g_strdup_printf("TERM=%s", term && *term ? term : "linux"));
    if (call->arguments->len <= 2) {
        g_ptr_array_add(argv, g_strdup("/bin/sh"));
        g_ptr_array_add(argv, g_strdup("-c"));
        g_ptr_array_add(argv, g_strdup(call->arguments->len == 2 ? cli_argument(call, 1) : shell));
    }
    for (guint i = 1; call->arguments->len > 2 && i < call->arguments->len; i++)
        g_ptr_array_add(argv, g_strdup(cli_argument(call, i)));
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

static int say_end(const struct session_result *result, const char *name, bool is_terminal)
{
    if (result->end == SESSION_LEFT)
        fprintf(stderr, "Left %s; what ran in that shell was hung up.\n", name);
    else if (result->end == SESSION_CANCELLED)
        fprintf(stderr, "netlab: interrupted; the shell was ended\n");
    else if (is_terminal && result->status > 128 && result->end == SESSION_EXITED)
        fprintf(stderr, "The shell on %s was ended by signal %d.\n", name, result->status - 128);
    return result->end == SESSION_EXITED ? result->status
           : result->end == SESSION_LEFT ? CLI_OK
                                         : CLI_INTERRUPTED;
}

static int converse(struct cli_call *call, struct cli_node *node, struct agent *agent)
{
    struct termios before, raw;
    bool is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    g_auto(GStrv) argv = shell_argv(call, is_terminal);
    struct session_spec spec = {.argv = (const char *const *)argv, .terminal = is_terminal};
    struct session_io io = {.input = STDIN_FILENO,
                            .output = STDOUT_FILENO,
                            .error = STDERR_FILENO,
                            .leave_key = is_terminal ? LEAVE : 0,
                            .cancel_fd = signal_fd(SIGTERM, SIGHUP, is_terminal ? 0 : SIGINT, 0),
                            .resize_fd = is_terminal ? signal_fd(SIGWINCH, 0) : -1,
                            .size = terminal_size};
    struct session_result result;
    g_autoptr(GError) error = NULL;
    signal(SIGPIPE, SIG_IGN);
    if (is_terminal) {
        terminal_size(&spec.rows, &spec.columns);
        fprintf(stderr, "A shell on %s. exit or Ctrl-D ends it, Ctrl-] leaves at once.\n", node->node->name);
        raw = before;
        cfmakeraw(&raw);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    bool good = session_run(agent, &spec, &io, &result, &error);
    if (is_terminal) {
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
        if (!good || result.end != SESSION_EXITED)
            fprintf(stderr, "\n");
    }
    int status = CLI_EXEC;
    if (good)
        status = say_end(&result, node->node->name, is_terminal);
    else if (g_error_matches(error, AGENT_ERROR, AGENT_ERROR_UNKNOWN))
        fprintf(stderr,
                "netlab: %s: the agent in this guest has no terminals; use `netlab console %s`, or build its "
                "image anew (netlab image build) if it is one of ours\n",
                node->node->name, node->node->name);
    else
        cli_fail(error);
    session_result_clear(&result);
    return status;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_node node;
    struct agent agent;
    int status = CLI_EXEC;
    if (!cli_node_find(call, cli_argument(call, 0), &node, &error) ||
        !cli_node_require_running(&node, &error)) {
        cli_fail(error);
    } else if (!agent_open(&agent, node.node->directory, CONNECT_MS, -1, &error)) {
        g_prefix_error(&error, "%s: ", node.node->name);
        cli_fail(error);
    } else {
        status = converse(call, &node, &agent);
        agent_close(&agent);
    }
    cli_node_clear(&node);
    return status;
}

const struct cli_verb verb_connect = {
    .name = "connect",
    .arguments = "NODE [COMMAND…]",
    .summary = "open a shell in a node",
    .description =
        "A shell in the guest, on a terminal of its own that has this one's size; any number at a time, and "
        "beside the console. It goes through the node's agent, so the node needs no address. Ctrl-C and the "
        "like reach the guest; `exit` or Ctrl-D ends the shell and connect with its status; Ctrl-] leaves at "
        "once. With a command that runs on such a terminal instead: netlab connect r1 top.\n\n"
        "Guests whose agent is not ours (an installed Debian with qemu-guest-agent) have `netlab console`.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .least = 1,
    .most = -1,
    .stops_at_argument = true,
    .examples =
        CLI_EXAMPLES({"netlab connect r1", "a shell"}, {"netlab connect r1 vtysh", "the shell of FRR"}),
    .statuses = "125 netlab failed; otherwise the status of the shell or command",
    .run = run,
};
