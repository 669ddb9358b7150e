/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The seccomp filter: see sandbox.h.
 *
 * What is not in the table is allowed: what libraries call changes from one release to the next, and a
 * machine that dies a year later is no gain. Four calls depend on their arguments:
 *
 *   clone      a thread is allowed always, a process with spawn; new namespaces never
 *   clone3     hides its arguments in memory: there is no such call (ENOSYS), so that libraries use clone
 *   ioctl      typing for whoever has the terminal next (TIOCSTI, TIOCLINUX) is refused
 *   prlimit64  asking is allowed, setting is resource control
 *
 * Calls by another ABI (int 0x80, x32) end the process: their numbers mean something else.
 */
#include "emu/sandbox.h"

#include <errno.h>
#include <gio/gio.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>

enum group { ALWAYS, OBSOLETE, ELEVATE, SPAWN, RESOURCES };
enum { END = 0 }; /* instead of an error: the process */

struct rule {
    const char *call; /* one that libseccomp does not know is none of this architecture, or of this age */
    enum group group;
    int error;
};

static const struct rule rules[] = {
    /* the machine room */
    {"reboot", ALWAYS, END},
    {"kexec_load", ALWAYS, END},
    {"kexec_file_load", ALWAYS, END},
    {"init_module", ALWAYS, END},
    {"finit_module", ALWAYS, END},
    {"delete_module", ALWAYS, END},
    {"swapon", ALWAYS, END},
    {"swapoff", ALWAYS, END},
    {"acct", ALWAYS, END},
    {"quotactl", ALWAYS, END},
    {"quotactl_fd", ALWAYS, END},
    {"syslog", ALWAYS, END},
    {"vhangup", ALWAYS, END},
    {"iopl", ALWAYS, END},
    {"ioperm", ALWAYS, END},
    {"settimeofday", ALWAYS, END},
    {"clock_settime", ALWAYS, END},
    {"adjtimex", ALWAYS, END},
    {"clock_adjtime", ALWAYS, END},
    {"sethostname", ALWAYS, END},
    {"setdomainname", ALWAYS, END},
    /* mounts and namespaces */
    {"mount", ALWAYS, END},
    {"umount2", ALWAYS, END},
    {"pivot_root", ALWAYS, END},
    {"chroot", ALWAYS, END},
    {"mount_setattr", ALWAYS, END},
    {"move_mount", ALWAYS, END},
    {"open_tree", ALWAYS, END},
    {"fsopen", ALWAYS, END},
    {"fsconfig", ALWAYS, END},
    {"fsmount", ALWAYS, END},
    {"fspick", ALWAYS, END},
    {"unshare", ALWAYS, END},
    {"setns", ALWAYS, END},
    /* other processes, and the kernel's larger doors */
    {"ptrace", ALWAYS, END},
    {"process_vm_readv", ALWAYS, END},
    {"process_vm_writev", ALWAYS, END},
    {"process_madvise", ALWAYS, END},
    {"pidfd_getfd", ALWAYS, END},
    {"kcmp", ALWAYS, END},
    {"migrate_pages", ALWAYS, END},
    {"move_pages", ALWAYS, END},
    {"open_by_handle_at", ALWAYS, END},
    {"name_to_handle_at", ALWAYS, EPERM},
    {"fanotify_init", ALWAYS, END},
    {"bpf", ALWAYS, END},
    {"perf_event_open", ALWAYS, EPERM},
    {"userfaultfd", ALWAYS, EPERM},
    {"add_key", ALWAYS, EPERM},
    {"request_key", ALWAYS, EPERM},
    {"keyctl", ALWAYS, EPERM},
    {"io_uring_setup", ALWAYS, ENOSYS},
    {"io_uring_enter", ALWAYS, ENOSYS},
    {"io_uring_register", ALWAYS, ENOSYS},
    {"clone3", ALWAYS, ENOSYS},
    /* what only very old programs say */
    {"_sysctl", OBSOLETE, END},
    {"create_module", OBSOLETE, END},
    {"get_kernel_syms", OBSOLETE, END},
    {"query_module", OBSOLETE, END},
    {"nfsservctl", OBSOLETE, END},
    {"lookup_dcookie", OBSOLETE, END},
    {"modify_ldt", OBSOLETE, END},
    {"uselib", OBSOLETE, END},
    {"ustat", OBSOLETE, END},
    {"sysfs", OBSOLETE, END},
    /* users, groups, sessions */
    {"setuid", ELEVATE, EPERM},
    {"setgid", ELEVATE, EPERM},
    {"setreuid", ELEVATE, EPERM},
    {"setregid", ELEVATE, EPERM},
    {"setresuid", ELEVATE, EPERM},
    {"setresgid", ELEVATE, EPERM},
    {"setfsuid", ELEVATE, EPERM},
    {"setfsgid", ELEVATE, EPERM},
    {"setgroups", ELEVATE, EPERM},
    {"setpgid", ELEVATE, EPERM},
    {"setsid", ELEVATE, EPERM},
    {"capset", ELEVATE, EPERM},
    /* programs; clone is below */
    {"fork", SPAWN, EPERM},
    {"vfork", SPAWN, EPERM},
    {"execve", SPAWN, END}, /* which would come after a fork */
    {"execveat", SPAWN, END},
    /* shares of the host */
    {"setpriority", RESOURCES, EPERM},
    {"sched_setparam", RESOURCES, EPERM},
    {"sched_setscheduler", RESOURCES, EPERM},
    {"sched_setattr", RESOURCES, EPERM},
    {"sched_setaffinity", RESOURCES, EPERM},
    {"ioprio_set", RESOURCES, EPERM},
    {"setrlimit", RESOURCES, EPERM},
    {"set_mempolicy", RESOURCES, EPERM},
};

static bool applies(const struct sandbox *s, enum group group)
{
    switch (group) {
    case ALWAYS:
        return true;
    case OBSOLETE:
        return !s->obsolete;
    case ELEVATE:
        return !s->elevate;
    case SPAWN:
        return !s->spawn;
    case RESOURCES:
        return !s->resource_control;
    }
    return true;
}

static int add_rules(scmp_filter_ctx filter, const struct sandbox *s)
{
    static const unsigned namespaces[] = {CLONE_NEWNS,  CLONE_NEWUSER, CLONE_NEWPID,   CLONE_NEWNET,
                                          CLONE_NEWIPC, CLONE_NEWUTS,  CLONE_NEWCGROUP};
    static const unsigned typing[] = {TIOCSTI, TIOCLINUX}; /* for the shell behind us */
    int failed = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(rules) && !failed; i++) {
        int number = seccomp_syscall_resolve_name(rules[i].call);
        if (number < 0 || !applies(s, rules[i].group))
            continue;
        failed = seccomp_rule_add(
            filter, rules[i].error ? SCMP_ACT_ERRNO((unsigned)rules[i].error) : SCMP_ACT_KILL_PROCESS, number,
            0);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(namespaces) && !failed; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                  SCMP_A0_64(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
    for (size_t i = 0; i < G_N_ELEMENTS(typing) && !failed; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                                  SCMP_A1_64(SCMP_CMP_MASKED_EQ, 0xffffffff, typing[i]));
    if (!failed && !s->spawn)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                  SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    if (!failed && !s->resource_control)
        failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1,
                                  SCMP_A2_64(SCMP_CMP_NE, 0));
    return failed;
}

bool sandbox_enter(const struct sandbox *sandbox, GError **error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int failed = filter ? 0 : -ENOMEM;
    if (!failed)
        failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (!failed) /* older kernels would switch off forwarding of stores as well, which costs guests their
                    speed */
        failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    if (!failed)
        failed = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (!failed)
        failed = add_rules(filter, sandbox);
    if (!failed)
        failed = seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    if (failed)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(-failed),
                    "-sandbox: %s (the kernel needs CONFIG_SECCOMP_FILTER; leave it out to run without)",
                    failed == -ECANCELED ? "the kernel refused the filter" : g_strerror(-failed));
    return !failed;
}
