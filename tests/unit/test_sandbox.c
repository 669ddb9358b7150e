/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * -sandbox: children enter it and try what it forbids, and what it must not. Each call is made with arguments
 * that do no harm should it be let through, and a child without the sandbox says how the kernel answers then,
 * so that a refusal is known to be the sandbox's.
 */
#include "emu/sandbox.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILLED = -1, FINE = 0 }; /* else an error */

static long call(const long *a)
{
    return syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
}

/* How a child gets along with a call. */
static int outcome(const struct sandbox *sandbox, long (*try)(const long *arguments), const long *arguments)
{
    int status;
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (!child) {
        g_autoptr(GError) error = NULL;
        if (sandbox && !sandbox_enter(sandbox, &error)) {
            fprintf(stderr, "%s\n", error->message);
            _exit(255);
        }
        _exit(try(arguments) < 0 ? errno : 0);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    if (WIFSIGNALED(status)) {
        g_assert_cmpint(WTERMSIG(status), ==, SIGSYS);
        return KILLED;
    }
    g_assert_cmpint(WEXITSTATUS(status), !=, 255);
    return WEXITSTATUS(status);
}

static const struct sandbox tight = {.on = true};
static const struct sandbox loose = {
    .on = true, .obsolete = true, .elevate = true, .spawn = true, .resource_control = true};

static void test_refused(void)
{
    static const struct {
        const char *what;
        long arguments[7];
        int refused; /* in the tight one */
        bool always; /* in the loose one, too */
    } rows[] = {
        {"reboot", {SYS_reboot, 0, 0, 0, 0}, KILLED, true},
        {"mount", {SYS_mount, 0, 0, 0, 0, 0}, KILLED, true},
        {"umount2", {SYS_umount2, 0, 0}, KILLED, true},
        {"chroot", {SYS_chroot, 0}, KILLED, true},
        {"pivot_root", {SYS_pivot_root, 0, 0}, KILLED, true},
        {"unshare", {SYS_unshare, 0}, KILLED, true},
        {"setns", {SYS_setns, -1, 0}, KILLED, true},
        {"ptrace", {SYS_ptrace, 9999, 0, 0, 0}, KILLED, true},
        {"process_vm_readv", {SYS_process_vm_readv, 0, 0, 0, 0, 0, 99}, KILLED, true},
        {"init_module", {SYS_init_module, 0, 0, 0}, KILLED, true},
        {"kexec_load", {SYS_kexec_load, 0, 99, 0, 0}, KILLED, true},
        {"bpf", {SYS_bpf, -1, 0, 0}, KILLED, true},
        {"open_by_handle_at", {SYS_open_by_handle_at, -1, 0, 0}, KILLED, true},
        {"settimeofday", {SYS_settimeofday, -1, 0}, KILLED, true},
        {"perf_event_open", {SYS_perf_event_open, 0, 0, 0, -1, 0}, EPERM, true},
        {"io_uring_setup", {SYS_io_uring_setup, 0, 0}, ENOSYS, true},
        {"clone of a user namespace", {SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0}, EPERM, true},
        {"clone3", {SYS_clone3, 0, 0}, ENOSYS, true},
        {"TIOCSTI", {SYS_ioctl, -1, TIOCSTI, 0}, EPERM, true},
        {"ustat", {SYS_ustat, 0, 0}, KILLED, false},
        {"modify_ldt", {SYS_modify_ldt, 99, 0, 0}, KILLED, false},
        {"setresuid", {SYS_setresuid, -1, -1, -1}, EPERM, false},
        {"setgroups", {SYS_setgroups, -1, 0}, EPERM, false},
        {"setsid", {SYS_setsid}, EPERM, false},
        {"fork", {SYS_fork}, EPERM, false},
        {"clone of a process", {SYS_clone, SIGCHLD, 0, 0, 0, 0}, EPERM, false},
        {"execve", {SYS_execve, 0, 0, 0}, KILLED, false},
        {"execveat", {SYS_execveat, -1, 0, 0, 0, 0}, KILLED, false},
        {"setpriority", {SYS_setpriority, PRIO_PROCESS, 0, 19}, EPERM, false},
        {"sched_setaffinity", {SYS_sched_setaffinity, 0, 0, 0}, EPERM, false},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        int in_tight = outcome(&tight, call, rows[i].arguments),
            in_loose = outcome(&loose, call, rows[i].arguments);
        g_test_message("%s: %d in the tight one, %d in the loose one", rows[i].what, in_tight, in_loose);
        g_assert_cmpint(in_tight, ==, rows[i].refused);
        if (rows[i].always)
            g_assert_cmpint(in_loose, ==, rows[i].refused);
        else
            g_assert_cmpint(in_loose, ==, outcome(NULL, call, rows[i].arguments));
    }
}

static long set_limit(const long *unused)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? -1 : setrlimit(RLIMIT_NOFILE, &limit);
}

static long get_limit(const long *unused)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit);
}

static void test_limits(void)
{
    g_assert_cmpint(outcome(&tight, get_limit, NULL), ==, FINE);
    g_assert_cmpint(outcome(&tight, set_limit, NULL), ==, EPERM);
    g_assert_cmpint(outcome(&loose, set_limit, NULL), ==, FINE);
}

static void *nothing(void *argument)
{
    return argument;
}

/* What a machine does all its life. */
static long honest(const long *unused)
{
    pthread_t thread;
    void *result = NULL;
    if (pthread_create(&thread, NULL, nothing, (void *)&tight) || pthread_join(thread, &result) ||
        result != &tight)
        return -1;
    int file = memfd_create("code", MFD_CLOEXEC), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (file < 0 || fd < 0 || ftruncate(file, 65536))
        return -1;
    void *code = mmap(NULL, 65536, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    return code == MAP_FAILED || mprotect(code, 4096, PROT_NONE) || listen(fd, 1) || close(fd) ? -1 : 0;
}

static void test_honest(void)
{
    g_assert_cmpint(outcome(&tight, honest, NULL), ==, FINE);
    g_assert_cmpint(outcome(&loose, honest, NULL), ==, FINE);
}

/* Threads that are there before it are in it as well. */
static int gate[2], answer[2];

static void *late(void *unused)
{
    char byte;
    if (read(gate[0], &byte, 1) == 1) {
        byte = syscall(SYS_setsid) < 0 && errno == EPERM &&
                       syscall(SYS_perf_event_open, 0, 0, 0, -1, 0) < 0 && errno == EPERM
                   ? 'y'
                   : 'n';
        if (write(answer[1], &byte, 1) != 1)
            _exit(9);
    }
    return NULL;
}

static long other_thread(const long *unused)
{
    char byte = 'g';
    return write(gate[1], &byte, 1) == 1 && read(answer[0], &byte, 1) == 1 && byte == 'y' ? 0 : -1;
}

static void test_threads(void)
{
    int status;
    pid_t child = fork();
    if (!child) {
        pthread_t thread;
        g_autoptr(GError) error = NULL;
        bool good = !pipe(gate) && !pipe(answer) && !pthread_create(&thread, NULL, late, NULL) &&
                    sandbox_enter(&tight, &error) && other_thread(NULL) == 0;
        _exit(good ? 0 : 1);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
}

#ifdef __x86_64__
static long old_door(const long *unused)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "0"(20L) : "memory", "r8", "r9", "r10", "r11");
    return result > 0 ? 0 : (errno = (int)-result, -1);
}

static void test_other_abi(void)
{
    g_assert_cmpint(outcome(&tight, old_door, NULL), ==, KILLED);
    g_assert_cmpint(outcome(&loose, old_door, NULL), ==, KILLED);
}
#endif

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sandbox/refused", test_refused);
    g_test_add_func("/sandbox/limits", test_limits);
    g_test_add_func("/sandbox/honest", test_honest);
    g_test_add_func("/sandbox/threads", test_threads);
#ifdef __x86_64__
    g_test_add_func("/sandbox/other-abi", test_other_abi);
#endif
    return g_test_run();
}
