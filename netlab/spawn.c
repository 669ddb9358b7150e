/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Starting the supervisor: this same program, executed anew as `netlab supervise …`, in a session of its own,
 * with its log in the lab's folder and, of a copy of a class, under the copy's limits. It reports through a
 * pipe: "ok", or the reason why it cannot work.
 */
#include "netlab/spawn.h"
#include "netlab/fault.h"
#include "netlab/limits.h"
#include "netlab/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_TIMEOUT_MS = 20000, REPORT_FD = 3 };

struct launch {
    char **argv, **environment;
    int log, null, report;
    int group; /* -1: none */
    bool yields;
};

static void launch_run(void *opaque)
{
    struct launch *launch = opaque;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (launch->yields || (launch->group >= 0 && !limits_join_group(launch->group)))
        limits_lower_priority();
    int report = fcntl(launch->report, F_DUPFD, 10);
    if (dup2(launch->null, 0) < 0 || dup2(launch->log, 1) < 0 || dup2(launch->log, 2) < 0 ||
        dup2(report, REPORT_FD) < 0 || chdir("/") != 0)
        _exit(126);
    close_range(REPORT_FD + 1, ~0u, 0);
    execve("/proc/self/exe", launch->argv, launch->environment);
    _exit(127);
}

static bool wait_for_report(int report, pid_t pid, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    gint64 deadline = g_get_monotonic_time() + START_TIMEOUT_MS * 1000;
    for (;;) {
        char part[512];
        int left = (int)((deadline - g_get_monotonic_time()) / 1000);
        struct pollfd fds = {.fd = report, .events = POLLIN};
        if (left <= 0 || (poll(&fds, 1, left) == 0)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                        "the supervisor (pid %d) has not come up within %d s; is this computer overloaded? "
                        "Try again when it is not",
                        pid, START_TIMEOUT_MS / 1000);
            return false;
        }
        ssize_t got = read(report, part, sizeof part);
        if (got > 0)
            g_string_append_len(text, part, got);
        if (g_str_equal(text->str, "ok\n"))
            return true;
        if (got == 0 || (got < 0 && errno != EINTR))
            break;
    }
    g_strchomp(text->str);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s",
                *text->str ? text->str : "the supervisor ended without a word; see supervisor.log");
    return false;
}

bool spawn_supervisor(const struct spawn_supervisor *spec, spawn_recorder *record, void *opaque,
                      GError **error)
{
    g_autofree char *directory = paths_lab_directory(spec->runtime, spec->lab);
    g_autofree char *log_path = g_build_filename(directory, "supervisor.log", NULL);
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(argv, g_strdup("netlab"));
    g_ptr_array_add(argv, g_strdup("supervise"));
    g_ptr_array_add(argv, g_strdup_printf("--lab=%s", spec->lab));
    g_ptr_array_add(argv, g_strdup_printf("--lab-id=%" G_GINT64_FORMAT, spec->lab_id));
    g_ptr_array_add(argv, g_strdup_printf("--state=%s", spec->state));
    g_ptr_array_add(argv, g_strdup_printf("--runtime=%s", spec->runtime));
    g_ptr_array_add(argv, g_strdup_printf("--owner=%u", spec->owner));
    if (spec->is_rootless)
        g_ptr_array_add(argv, g_strdup("--rootless"));
    if (!spec->is_own_namespace)
        g_ptr_array_add(argv, g_strdup("--here"));
    if (spec->join)
        g_ptr_array_add(argv, g_strdup_printf("--join=%d", spec->join));
    g_ptr_array_add(argv, NULL);

    g_autofree char *mark = process_mark_format(spec->state, spec->lab, NULL);
    g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), PROCESS_MARK, mark, TRUE);
    int report[2] = {-1, -1};
    struct launch launch = {.argv = (char **)argv->pdata,
                            .environment = environment,
                            .group = spec->group,
                            .yields = spec->yields,
                            .log =
                                open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600),
                            .null = open("/dev/null", O_RDWR | O_CLOEXEC)};
    bool good = launch.log >= 0 && launch.null >= 0 && pipe2(report, O_CLOEXEC) == 0;
    if (!good) {
        int cause = errno;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause), "%s: %s", log_path, g_strerror(cause));
    }
    if (good) {
        launch.report = report[1];
        const struct gate_child child = {NULL, launch_run, &launch};
        struct gate gate;
        struct process_identity identity;
        good = gate_begin(&gate, &child, &identity, error);
        close(report[1]);
        if (good && !record(&identity, opaque, error)) {
            gate_cancel(&gate);
            good = false;
        }
        fault_point();
        good = good && gate_open(&gate, error);
        if (good && !wait_for_report(report[0], gate.pid, error)) {
            kill(gate.pid, SIGKILL);
            waitpid(gate.pid, NULL, 0);
            good = false;
        }
        close(report[0]);
    }
    if (launch.log >= 0)
        close(launch.log);
    if (launch.null >= 0)
        close(launch.null);
    return good;
}
