/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Runs a command and, at the N-th system call of those that change or ask something, kills it, makes the call
 * fail, or lets somebody else change the machine meanwhile.
 *
 *   callfault [--class A,B…] [--at N] [--do WHAT] [--report FILE] -- COMMAND…
 *   callfault … --attach PID… [-- COMMAND…]     processes that run already, too; without a command it ends
 * when N was reached, the first of them ended, or at SIGTERM
 *
 * The command and all its descendants that run the same program are traced (the supervisor, the helper
 * outside, the watchdog); a process that becomes another program (a machine) is let go. Calls are counted
 * over all of them together, in the order in which they are made:
 *
 *   net     netlink sockets: making and binding one, each send and each receive
 *   ask     only the sends on netlink sockets
 *   device  ioctl
 *   spawn   fork, clone, execve, unshare, setns, pidfd_open and the sending of signals
 *   disk    fsync, fdatasync, pwrite64, ftruncate, renames, links, removals, folders, files opened to be
 *           written or made, writes to those, flock
 *   socket  other sockets, pipes, and what is sent by them
 *   sysctl  files opened to be written that are there already (/proc/sys, /dev/net/tun), and writes to them
 *
 * What to do at the N-th (without --do they are only counted):
 *
 *   kill        SIGKILL to the process that makes the call, before the call
 *   kill-all    SIGKILL to all that are traced
 *   fail:N      the call is not made and fails with errno N
 *   refuse:N    netlink (class ask): the kernel does not do what is asked and answers with error N
 *   answer:N    the same, but the kernel has done it
 *   run:COMMAND a shell runs COMMAND while all the traced stand still, then the call goes on
 *
 * --report gets one line: how many calls there were, the class of the one that was hit, and which it was.
 * Exit status: the command's; 128 + signal when one ended it; 77 where this cannot be done.
 *
 * Only registers and, for refuse and answer, the memory of the traced are touched. A supervisor without
 * privilege has made itself unreadable by its namespace; those two then do nothing ("unreadable" is
 * reported).
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
/* After sys/ptrace.h, which has its own names for some of what is in there. */
#include <linux/ptrace.h>

#ifndef __x86_64__
int main(void)
{
    puts("SKIP: callfault knows the registers of x86-64 only");
    return 77;
}
#else

enum class { NET = 1, ASK = 2, DEVICE = 4, SPAWN = 8, DISK = 16, SOCKET = 32, SYSCTL = 64 };

static const struct {
    const char *name;
    unsigned bit;
} class_names[] = {{"net", NET},   {"ask", ASK},       {"device", DEVICE}, {"spawn", SPAWN},
                   {"disk", DISK}, {"socket", SOCKET}, {"sysctl", SYSCTL}};

enum action { COUNT, KILL, KILL_ALL, FAIL, REFUSE, ANSWER, RUN };

static const struct {
    const char *name;
    enum action action;
    bool has_value;
} action_names[] = {{"kill", KILL, false},     {"kill-all", KILL_ALL, false}, {"fail:", FAIL, true},
                    {"refuse:", REFUSE, true}, {"answer:", ANSWER, true},     {"run:", RUN, true}};

/* What a file descriptor is, as far as it matters. */
enum kind { OTHER, NETLINK, KNOB, MADE };
enum { FDS = 4096, PROCESSES = 256, ATTACHED = 8 };

struct process {
    pid_t tgid;
    uint8_t fds[FDS];
};

struct thread {
    pid_t tid;
    struct process *process;
    bool is_failing; /* the call it is in gets our error at its end */
    long call;
    uint64_t args[6];
    /* Where the type of the netlink message was changed, to be put back; 0: nowhere. */
    uint64_t patched;
    uint16_t type;
};

static struct process *processes[PROCESSES];
static struct thread threads[PROCESSES];

static struct {
    unsigned classes;
    long at, count;
    enum action action;
    int error;
    const char *command, *report;
    pid_t child;
    volatile sig_atomic_t is_told_to_end;
    char program[4096];
    bool has_started, is_done, is_unreadable, is_alone; /* alone: there is no command */
    /* refuse and answer: whose socket's next answer is to be an error. */
    struct process *answering;
    int answering_fd;
    char hit[160];
    const char *kind; /* the class of the call that was hit */
} tool = {.classes = ~(unsigned)ASK};

/* ---- calls ---- */

/* A call and its class; `argument` is the one that has the descriptor or the flags which decide it. */
static const struct call {
    long number;
    const char *name;
    unsigned class;
} calls[] = {
    {SYS_ioctl, "ioctl", DEVICE},
    {SYS_clone, "clone", SPAWN},
    {SYS_clone3, "clone3", SPAWN},
    {SYS_fork, "fork", SPAWN},
    {SYS_vfork, "vfork", SPAWN},
    {SYS_execve, "execve", SPAWN},
    {SYS_execveat, "execveat", SPAWN},
    {SYS_unshare, "unshare", SPAWN},
    {SYS_setns, "setns", SPAWN},
    {SYS_kill, "kill", SPAWN},
    {SYS_pidfd_open, "pidfd_open", SPAWN},
    {SYS_pidfd_send_signal, "pidfd_send_signal", SPAWN},
    {SYS_fsync, "fsync", DISK},
    {SYS_fdatasync, "fdatasync", DISK},
    {SYS_pwrite64, "pwrite64", DISK},
    {SYS_ftruncate, "ftruncate", DISK},
    {SYS_rename, "rename", DISK},
    {SYS_renameat2, "renameat2", DISK},
    {SYS_unlink, "unlink", DISK},
    {SYS_unlinkat, "unlinkat", DISK},
    {SYS_mkdir, "mkdir", DISK},
    {SYS_mkdirat, "mkdirat", DISK},
    {SYS_rmdir, "rmdir", DISK},
    {SYS_chmod, "chmod", DISK},
    {SYS_chown, "chown", DISK},
    {SYS_flock, "flock", DISK},
    {SYS_openat, "openat", DISK | SYSCTL},
    {SYS_write, "write", DISK | SYSCTL},
    {SYS_socket, "socket", NET | SOCKET},
    {SYS_bind, "bind", NET | SOCKET},
    {SYS_sendto, "sendto", NET | ASK | SOCKET},
    {SYS_sendmsg, "sendmsg", NET | ASK | SOCKET},
    {SYS_recvfrom, "recvfrom", NET | SOCKET},
    {SYS_recvmsg, "recvmsg", NET | SOCKET},
    {SYS_connect, "connect", SOCKET},
    {SYS_listen, "listen", SOCKET},
    {SYS_accept4, "accept4", SOCKET},
    {SYS_socketpair, "socketpair", SOCKET},
    {SYS_pipe2, "pipe2", SOCKET},
};

static enum kind kind_of(const struct thread *thread, uint64_t fd)
{
    return fd < FDS ? thread->process->fds[fd] : OTHER;
}

static void set_kind(struct thread *thread, uint64_t fd, enum kind kind)
{
    if (fd < FDS)
        thread->process->fds[fd] = kind;
}

static bool is_writing(uint64_t flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

/* The one class the call belongs to, here and now; 0: it is not counted. NET calls that send are ASK too. */
static unsigned classify(const struct thread *thread, const struct call *call)
{
    const uint64_t *args = thread->args;
    switch (call->number) {
    case SYS_ioctl: /* a terminal's: is it one, and how wide */
        return (args[1] & 0xffff) == 0x5401 || (args[1] & 0xffff) == 0x5413 ? 0 : DEVICE;
    case SYS_openat:
        return args[2] & O_CREAT ? DISK : is_writing(args[2]) ? SYSCTL : 0;
    case SYS_write:
        return kind_of(thread, args[0]) == KNOB ? SYSCTL : kind_of(thread, args[0]) == MADE ? DISK : 0;
    case SYS_socket:
        return args[0] == AF_NETLINK ? NET : SOCKET;
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_bind:
        return kind_of(thread, args[0]) == NETLINK ? NET : SOCKET;
    case SYS_sendto:
    case SYS_sendmsg:
        return kind_of(thread, args[0]) == NETLINK ? NET | ASK : SOCKET;
    default:
        return call->class;
    }
}

static const struct call *find_call(long number)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i].number == number)
            return &calls[i];
    return NULL;
}

/* After a call: what has become of the descriptors. */
static void follow_fds(struct thread *thread, int64_t result)
{
    const uint64_t *args = thread->args;
    switch (thread->call) {
    case SYS_close:
        set_kind(thread, args[0], OTHER);
        break;
    case SYS_close_range:
        for (uint64_t fd = args[0]; fd <= args[1] && fd < FDS; fd++)
            set_kind(thread, fd, OTHER);
        break;
    case SYS_socket:
        if (result >= 0)
            set_kind(thread, (uint64_t)result, args[0] == AF_NETLINK ? NETLINK : OTHER);
        break;
    case SYS_openat:
        if (result >= 0)
            set_kind(thread, (uint64_t)result,
                     !is_writing(args[2]) ? OTHER
                     : args[2] & O_CREAT  ? MADE
                                          : KNOB);
        break;
    case SYS_fcntl:
        if (args[1] != F_DUPFD && args[1] != F_DUPFD_CLOEXEC)
            break;
        __attribute__((fallthrough));
    case SYS_dup:
    case SYS_dup2:
    case SYS_dup3:
        if (result >= 0)
            set_kind(thread, (uint64_t)result, kind_of(thread, args[0]));
        break;
    default:
        break;
    }
}

/* ---- processes ---- */

static pid_t read_status(pid_t tid, const char *key)
{
    char path[64], line[256];
    int value = 0;
    snprintf(path, sizeof path, "/proc/%d/status", tid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            value = atoi(line + strlen(key));
    if (file)
        fclose(file);
    return value;
}

static struct process *find_process(pid_t tgid)
{
    for (int i = 0; i < PROCESSES; i++)
        if (processes[i] && processes[i]->tgid == tgid)
            return processes[i];
    return NULL;
}

static struct thread *find_thread(pid_t tid)
{
    for (int i = 0; i < PROCESSES; i++)
        if (threads[i].tid == tid)
            return &threads[i];
    return NULL;
}

/* A new one is a thread of a process that is known, or has its parent's descriptors. */
static struct thread *need_thread(pid_t tid)
{
    struct thread *thread = find_thread(tid);
    if (thread)
        return thread;
    thread = find_thread(0);
    pid_t tgid = read_status(tid, "Tgid:");
    struct process *process = find_process(tgid);
    for (int i = 0; !process && i < PROCESSES; i++) {
        if (processes[i])
            continue;
        const struct process *parent = find_process(read_status(tid, "PPid:"));
        process = processes[i] = calloc(1, sizeof *process);
        if (process && parent)
            *process = *parent;
        if (process)
            process->tgid = tgid;
    }
    if (!thread || !process) {
        fprintf(stderr, "callfault: more than %d processes\n", PROCESSES);
        exit(70);
    }
    *thread = (struct thread){.tid = tid, .process = process};
    return thread;
}

static void forget_thread(pid_t tid)
{
    struct thread *thread = find_thread(tid);
    if (!thread)
        return;
    struct process *process = thread->process;
    *thread = (struct thread){};
    for (int i = 0; i < PROCESSES; i++)
        if (threads[i].tid && threads[i].process == process)
            return;
    for (int i = 0; i < PROCESSES; i++)
        if (processes[i] == process) {
            if (tool.answering == process)
                tool.answering = NULL;
            free(process);
            processes[i] = NULL;
        }
}

static bool is_ours(pid_t pid)
{
    char path[64], program[4096];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t length = readlink(path, program, sizeof program - 1);
    if (length < 0)
        return false;
    program[length] = '\0';
    return strcmp(program, tool.program) == 0;
}

static void describe_process(pid_t pid, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, size - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[length > 0 ? length : 0] = '\0';
    for (ssize_t i = 0; i + 1 < length; i++)
        if (text[i] == '\0' || text[i] == '\n')
            text[i] = ' ';
}

/* ---- netlink messages in the memory of the traced ---- */

static bool peek(pid_t tid, uint64_t address, void *data, size_t length)
{
    for (size_t at = 0; at < length; at += sizeof(long)) {
        errno = 0;
        long word = ptrace(PTRACE_PEEKDATA, tid, (void *)(uintptr_t)(address + at), NULL);
        if (errno)
            return false;
        memcpy((char *)data + at, &word, length - at < sizeof word ? length - at : sizeof word);
    }
    return true;
}

static bool poke(pid_t tid, uint64_t address, const void *data, size_t length)
{
    for (size_t at = 0; at < length; at += sizeof(long)) {
        long word;
        size_t part = length - at < sizeof word ? length - at : sizeof word;
        if (!peek(tid, address + at, &word, sizeof word))
            return false;
        memcpy(&word, (const char *)data + at, part);
        if (ptrace(PTRACE_POKEDATA, tid, (void *)(uintptr_t)(address + at), (void *)word) < 0)
            return false;
    }
    return true;
}

/* Where the first byte of a message is or will be; 0: not to be seen. */
static uint64_t message_address(const struct thread *thread)
{
    if (thread->call == SYS_sendto || thread->call == SYS_recvfrom)
        return thread->args[1];
    struct {
        struct msghdr header;
    } seen;
    struct iovec first;
    if (!peek(thread->tid, thread->args[1], &seen, sizeof seen) || !seen.header.msg_iov ||
        !peek(thread->tid, (uint64_t)(uintptr_t)seen.header.msg_iov, &first, sizeof first))
        return 0;
    return (uint64_t)(uintptr_t)first.iov_base;
}

/* From now on the answer on this socket is to be an error; `refuse`: the request becomes one for nothing. */
static void spoil_request(struct thread *thread)
{
    struct nlmsghdr header;
    uint64_t address = message_address(thread);
    if (!address || !peek(thread->tid, address, &header, sizeof header)) {
        tool.is_unreadable = true;
        return;
    }
    tool.answering = thread->process;
    tool.answering_fd = (int)thread->args[0];
    /* One that asks for no acknowledgement would never be answered; it changes nothing anyway. */
    if (tool.action != REFUSE || !(header.nlmsg_flags & NLM_F_ACK))
        return;
    thread->patched = address;
    thread->type = header.nlmsg_type;
    header.nlmsg_type = NLMSG_NOOP;
    poke(thread->tid, address, &header, sizeof header);
}

static void restore_request(struct thread *thread)
{
    struct nlmsghdr header;
    if (thread->patched && peek(thread->tid, thread->patched, &header, sizeof header)) {
        header.nlmsg_type = thread->type;
        poke(thread->tid, thread->patched, &header, sizeof header);
    }
    thread->patched = 0;
}

static void spoil_answer(struct thread *thread, int64_t length)
{
    struct {
        struct nlmsghdr header;
        int error;
    } message;
    uint64_t address = message_address(thread);
    if (length < (int64_t)sizeof message || tool.answering != thread->process ||
        tool.answering_fd != (int)thread->args[0] || !address ||
        !peek(thread->tid, address, &message, sizeof message))
        return;
    message.header.nlmsg_type = NLMSG_ERROR;
    message.header.nlmsg_flags &= (uint16_t)~NLM_F_ACK_TLVS;
    message.error = -tool.error;
    poke(thread->tid, address, &message, sizeof message);
    tool.answering = NULL;
}

/* ---- at the N-th ---- */

static void set_register(pid_t tid, size_t offset, long value)
{
    ptrace(PTRACE_POKEUSER, tid, (void *)offset, (void *)value);
}

static void act(struct thread *thread, const struct call *call)
{
    char who[100];
    describe_process(thread->process->tgid, who, sizeof who);
    snprintf(tool.hit, sizeof tool.hit, "%s by %s", call->name, who);
    tool.kind = "";
    for (size_t i = 0; i < sizeof class_names / sizeof *class_names; i++)
        if (class_names[i].bit != ASK && (classify(thread, call) & class_names[i].bit))
            tool.kind = class_names[i].name;
    tool.is_done = true;
    switch (tool.action) {
    case COUNT:
        break;
    case KILL:
        kill(thread->process->tgid, SIGKILL);
        break;
    case KILL_ALL:
        for (int i = 0; i < PROCESSES; i++)
            if (processes[i])
                kill(processes[i]->tgid, SIGKILL);
        break;
    case FAIL:
        set_register(thread->tid, offsetof(struct user_regs_struct, orig_rax), -1);
        thread->is_failing = true;
        break;
    case REFUSE:
    case ANSWER:
        spoil_request(thread);
        break;
    case RUN:
        if (system(tool.command) != 0)
            snprintf(tool.hit, sizeof tool.hit, "%s by %.80s; the command failed", call->name, who);
        break;
    }
}

static void enter_call(struct thread *thread, const struct __ptrace_syscall_info *info)
{
    thread->call = (long)info->entry.nr;
    memcpy(thread->args, info->entry.args, sizeof thread->args);
    thread->is_failing = false;
    const struct call *call = find_call(thread->call);
    if (!call || !tool.has_started || !(classify(thread, call) & tool.classes))
        return;
    if (++tool.count == tool.at && !tool.is_done)
        act(thread, call);
}

static void leave_call(struct thread *thread, int64_t result)
{
    if (thread->is_failing) {
        set_register(thread->tid, offsetof(struct user_regs_struct, rax), -tool.error);
        thread->is_failing = false;
        return;
    }
    restore_request(thread);
    if (tool.answering && (thread->call == SYS_recvfrom || thread->call == SYS_recvmsg))
        spoil_answer(thread, result);
    follow_fds(thread, result);
}

/* ---- the loop ---- */

/* One stop of a traced thread; it goes on afterwards. */
static void handle_stop(pid_t tid, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;
    struct thread *thread = need_thread(tid);
    if (event == PTRACE_EVENT_EXEC) {
        tool.has_started = true;
        if (!is_ours(tid)) {
            ptrace(PTRACE_DETACH, tid, NULL, NULL);
            forget_thread(tid);
            return;
        }
        signal = 0;
    } else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
        ptrace(PTRACE_LISTEN, tid, NULL, NULL);
        return;
    } else if (event) {
        signal = 0;
    } else if (signal == (SIGTRAP | 0x80)) {
        struct __ptrace_syscall_info info = {};
        signal = 0;
        if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof info, &info) > 0) {
            if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
                enter_call(thread, &info);
            else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
                leave_call(thread, info.exit.rval);
        }
    }
    /* Nothing more is wanted of it: it may run at its own speed. */
    bool is_over = tool.is_done && !thread->is_failing && !thread->patched && !tool.answering;
    bool is_waited_for = tid == tool.child && !tool.is_alone;
    ptrace(!is_over        ? PTRACE_SYSCALL
           : is_waited_for ? PTRACE_CONT
                           : PTRACE_DETACH,
           tid, NULL, (void *)(uintptr_t)signal);
    is_over = is_over && !is_waited_for;
    if (is_over)
        forget_thread(tid);
}

static int loop(void)
{
    for (;;) {
        int status;
        if (tool.is_told_to_end)
            return 0;
        pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 && errno == EINTR && !tool.is_told_to_end)
            continue;
        if (tid < 0)
            return 0;
        if (WIFSTOPPED(status)) {
            handle_stop(tid, status);
            continue;
        }
        forget_thread(tid);
        if (tid == tool.child)
            return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
}

static bool seize(pid_t pid)
{
    const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                         PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;
    if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)options) == 0)
        return true;
    int cause = errno;
    bool is_ending = cause == EPERM && !is_ours(pid);
    errno = is_ending ? ESRCH : cause;
    if (errno != ESRCH)
        printf("SKIP: process %d cannot be traced: %s\n", pid, strerror(errno));
    return false;
}

static int start_command(char **command)
{
    int gate[2];
    if (!realpath(command[0], tool.program)) {
        fprintf(stderr, "callfault: %s: %s\n", command[0], strerror(errno));
        return 2;
    }
    if (pipe2(gate, O_CLOEXEC) < 0)
        return 70;
    tool.child = fork();
    if (tool.child == 0) {
        char go;
        close(gate[1]);
        if (read(gate[0], &go, 1) != 1)
            _exit(77);
        execv(command[0], command);
        _exit(127);
    }
    if (tool.child < 0 || !seize(tool.child))
        return 77;
    return write(gate[1], "", 1) == 1 ? 0 : 70;
}

/* Is the socket in the list of the network namespace that `process` is in? */
static bool is_netlink(const char *process, unsigned long inode)
{
    char path[64], line[512];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%s/net/netlink", process);
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        unsigned long seen;
        found = sscanf(line, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %lu", &seen) == 1 && seen == inode;
    }
    if (file)
        fclose(file);
    return found;
}

/* What a process that runs already has open. */
static void learn_fds(struct thread *thread)
{
    char folder[64], number[16];
    snprintf(folder, sizeof folder, "/proc/%d/fd", thread->tid);
    snprintf(number, sizeof number, "%d", thread->tid);
    DIR *entries = opendir(folder);
    for (const struct dirent *entry; entries && (entry = readdir(entries));) {
        char path[400], target[64];
        unsigned long inode;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        if (sscanf(target, "socket:[%lu]", &inode) == 1 &&
            (is_netlink(number, inode) || is_netlink("self", inode)))
            set_kind(thread, strtoul(entry->d_name, NULL, 10), NETLINK);
    }
    if (entries)
        closedir(entries);
}

static int attach(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t length = readlink(path, tool.program, sizeof tool.program - 1);
    if (length < 0)
        return 0; /* it is ending */
    tool.program[length] = '\0';
    if (!seize(pid) || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
        return errno == ESRCH ? 0 : 77;
    learn_fds(need_thread(pid));
    return 0;
}

static void tell_to_end(int signal)
{
    (void)signal;
    tool.is_told_to_end = 1;
}

static bool parse_classes(char *text)
{
    tool.classes = 0;
    for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
        unsigned bit = 0;
        for (size_t i = 0; i < sizeof class_names / sizeof *class_names; i++)
            if (strcmp(word, class_names[i].name) == 0)
                bit = class_names[i].bit;
        if (!bit)
            return false;
        tool.classes |= bit;
    }
    return true;
}

static bool parse_action(const char *text)
{
    for (size_t i = 0; i < sizeof action_names / sizeof *action_names; i++) {
        size_t length = strlen(action_names[i].name);
        if (strncmp(text, action_names[i].name, length) != 0 ||
            (text[length] != '\0') != action_names[i].has_value)
            continue;
        tool.action = action_names[i].action;
        tool.command = text + length;
        tool.error = atoi(text + length);
        return tool.action == RUN || !action_names[i].has_value || tool.error > 0;
    }
    return false;
}

static void write_report(void)
{
    FILE *file = tool.report ? fopen(tool.report, "we") : NULL;
    if (!file)
        return;
    fprintf(file, "%ld %s %s%s\n", tool.count, tool.kind ? tool.kind : "", tool.hit,
            tool.is_unreadable ? " (unreadable)" : "");
    fclose(file);
}

int main(int argc, char **argv)
{
    int at = 1;
    bool good = true;
    pid_t attached[ATTACHED];
    int count = 0, status = 0;
    for (; good && at + 1 < argc && strcmp(argv[at], "--") != 0; at += 2) {
        char *value = argv[at + 1];
        if (strcmp(argv[at], "--class") == 0)
            good = parse_classes(value);
        else if (strcmp(argv[at], "--at") == 0)
            tool.at = atol(value);
        else if (strcmp(argv[at], "--do") == 0)
            good = parse_action(value);
        else if (strcmp(argv[at], "--report") == 0)
            tool.report = value;
        else if (strcmp(argv[at], "--attach") == 0)
            attached[count < ATTACHED ? count++ : 0] = atoi(value);
        else
            good = false;
    }
    bool has_command = at + 1 < argc;
    if (!good || (!count && !has_command)) {
        fprintf(stderr, "usage: callfault [--class A,B] [--at N] [--do kill|kill-all|fail:ERRNO|refuse:ERRNO|"
                        "answer:ERRNO|run:COMMAND] [--report FILE] [--attach PID] [-- COMMAND...]\n");
        return 2;
    }
    const struct sigaction end = {.sa_handler = tell_to_end};
    sigaction(SIGTERM, &end, NULL);
    for (int i = 0; status == 0 && i < count; i++)
        status = attach(attached[i]);
    if (status == 0 && has_command) {
        status = start_command(argv + at + 1);
    } else if (status == 0) {
        tool.child = attached[0];
        tool.is_alone = true;
        tool.has_started = true;
    }
    if (status == 0)
        status = loop();
    write_report();
    return status; /* whoever is still traced is let go by the kernel */
}
#endif
