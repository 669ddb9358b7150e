/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * netlab-emu: an i386 PC in one process.
 *
 *   options → (daemonize) → machine_new → pidfile, runas → machine_run → clean up → exit code
 *
 * Signals. SIGTERM, SIGINT and SIGHUP end the machine as `quit` does, through machine_signal(); so pidfile
 * and sockets go and the terminal is put back; one that comes while the machine is being built takes effect
 * once it is. A second one of them, should the first not get through, ends
 * the process at once. Fatal signals (SIGSEGV and so on) put the terminal back before they do what they do.
 * Whoever starts us may have blocked signals (a supervisor that reads them from a descriptor does); ours are
 * let through, of which translated code needs SIGSEGV (jit/window.c).
 */
#include "emu/fdset.h"
#include "emu/machine/machine.h"
#include "emu/options.h"
#include "emu/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct machine *volatile running; /* for the handlers */
static volatile sig_atomic_t asked_to_end;
static volatile sig_atomic_t has_files; /* pidfile or sockets may exist: do not just die */

static const struct machine_config *message_style; /* -msg */

static void begin_message(void)
{
    if (message_style && message_style->message_time) {
        g_autoptr(GDateTime) now = g_date_time_new_now_utc();
        g_autofree char *text = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S.%fZ ");
        fputs(text, stderr);
    }
    if (message_style && message_style->message_name && message_style->name)
        fprintf(stderr, "%s ", message_style->name);
    fputs("netlab-emu: ", stderr);
}

G_GNUC_PRINTF(1, 2) static void complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    begin_message();
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

/* ---- signals ---- */

static void end_handler(int number)
{
    if (asked_to_end || !has_files) {
        char_terminal_restore();
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    asked_to_end = 1;
    if (running)
        machine_signal(running);
}

static void continue_handler(int number)
{
    int saved = errno;
    char_terminal_resume();
    errno = saved;
}

static void fatal_handler(int number)
{
    char_terminal_restore();
    signal(number, SIG_DFL);
    raise(number);
}

/* Guest RAM may be pages of a file that somebody has cut short since. */
static void bus_handler(int number, siginfo_t *info, void *context)
{
    static const char text[] =
        "netlab-emu: a file that was loaded into the guest has been cut short; what is "
        "missing reads as zeros (restart the machine when the file is whole)\n";
    static volatile sig_atomic_t told;
    int saved = errno;
    if (info->si_code == BUS_ADRERR && running && machine_fill_hole(running, info->si_addr)) {
        ssize_t ignored = told ? 0 : write(2, text, sizeof text - 1);
        (void)ignored;
        told = 1;
        errno = saved;
        return;
    }
    fatal_handler(number);
}

static void signals_install(void)
{
    static const struct {
        int number;
        void (*handler)(int number);
    } rows[] = {
        {SIGTERM, end_handler},      {SIGINT, end_handler},   {SIGHUP, end_handler},
        {SIGCONT, continue_handler}, {SIGPIPE, SIG_IGN},      {SIGQUIT, fatal_handler},
        {SIGXFSZ, SIG_IGN}, /* memory files count, too (ulimit -f): an error is enough */
#ifndef __SANITIZE_ADDRESS__
        {SIGSEGV, fatal_handler},    {SIGFPE, fatal_handler}, {SIGILL, fatal_handler},
        {SIGABRT, fatal_handler},
#endif
    };
    sigset_t ours;
    sigemptyset(&ours);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct sigaction action = {.sa_handler = rows[i].handler};
        sigemptyset(&action.sa_mask);
        sigaction(rows[i].number, &action, NULL);
        sigaddset(&ours, rows[i].number);
    }
    struct sigaction bus = {.sa_sigaction = bus_handler, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&bus.sa_mask);
    sigaction(SIGBUS, &bus, NULL);
    sigaddset(&ours, SIGBUS);
    sigaddset(&ours, SIGSEGV);
    sigprocmask(SIG_UNBLOCK, &ours, NULL);
}

/* ---- pidfile ---- */

/* Makes and locks it. The lock is what says that the process lives; it goes with the process. */
static bool pidfile_take(const char *path, int *fd)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (*fd < 0) {
        complain("-pidfile %s: %s (name a file in a folder you may write to)", path, g_strerror(errno));
        return false;
    }
    if (fcntl(*fd, F_SETLK, &lock)) {
        complain("-pidfile %s: %s", path,
                 errno == EAGAIN || errno == EACCES
                     ? "another machine that is running holds it (end that one, or "
                       "name another file)"
                     : g_strerror(errno));
        close(*fd);
        return false;
    }
    if (ftruncate(*fd, 0) || write(*fd, text, (size_t)len) != len) {
        complain("-pidfile %s: %s", path, g_strerror(errno));
        unlink(path);
        close(*fd);
        return false;
    }
    return true;
}

/* ---- becoming another user, going to the background ---- */

/* Another user and another root folder, either of which may be NULL. User and groups are looked up while the
 * files that name them can be seen; privilege goes last. */
static bool confine(const char *who, const char *root)
{
    uid_t uid;
    gid_t gid;
    unsigned long numbers[2];
    char tail;
    struct passwd *user = NULL;
    if (!who) {
        uid = geteuid();
        gid = getegid();
    } else if (sscanf(who, "%lu:%lu%c", &numbers[0], &numbers[1], &tail) == 2) {
        /* All ones would mean "as it is" to setresuid(); more would be cut off, perhaps to root. */
        if (numbers[0] >= UINT32_MAX || numbers[1] >= UINT32_MAX) {
            complain("-runas %s: ids go from 0 to 4294967294", who);
            return false;
        }
        uid = (uid_t)numbers[0];
        gid = (gid_t)numbers[1];
    } else if ((user = getpwnam(who))) {
        uid = user->pw_uid;
        gid = user->pw_gid;
    } else {
        complain("-runas %s: there is no such user (give a name, or UID:GID)", who);
        return false;
    }
    int failed = !who ? 0 : user ? initgroups(user->pw_name, gid) : setgroups(1, &gid);
    failed = failed || (who && setresgid(gid, gid, gid));
    if (!failed && root && (chroot(root) || chdir("/"))) {
        complain("-chroot %s: %s (name a folder; only root can change its root folder)", root,
                 g_strerror(errno));
        return false;
    }
    if (failed || (who && setresuid(uid, uid, uid))) {
        complain("-runas %s: %s (only root can become another user)", who, g_strerror(errno));
        return false;
    }
    return true;
}

/* Forks. The parent waits for the child's word and ends with its exit code; the child gets the pipe to say it
 * through. -1: failed. */
static int background(void)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC)) {
        complain("-daemonize: %s", g_strerror(errno));
        return -1;
    }
    pid_t child = fork();
    if (child < 0) {
        complain("-daemonize: %s", g_strerror(errno));
        return -1;
    }
    if (child) {
        char word;
        close(pipe_fds[1]);
        ssize_t got;
        do {
            got = read(pipe_fds[0], &word, 1);
        } while (got < 0 && errno == EINTR);
        _exit(got == 1 ? 0 : 1);
    }
    close(pipe_fds[0]);
    setsid();
    return pipe_fds[1];
}

/* null: open before the root folder was changed. */
static void detach(int pipe_fd, int null)
{
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    if (chdir("/"))
        complain("-daemonize: chdir: %s", g_strerror(errno));
    ssize_t ignored = write(pipe_fd, "", 1);
    (void)ignored;
    close(pipe_fd);
}

/* Guest RAM all of it and at once, the rest as it is used. */
static bool lock_memory(struct machine *machine)
{
    if (!mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) && machine_lock_memory(machine))
        return true;
    complain("locking memory: %s (raise `ulimit -l`, run with CAP_IPC_LOCK, or leave -overcommit mem-lock=on "
             "out)",
             g_strerror(errno));
    return false;
}

static bool enter_sandbox(const struct machine_config *config)
{
    g_autoptr(GError) error = NULL;
    if (!config->sandbox.on || sandbox_enter(&config->sandbox, &error))
        return true;
    complain("%s", error->message);
    return false;
}

/* ---- the program ---- */

/* Whoever started this may have closed them: an image or the event loop as descriptor 2 would get our
 * messages, and -daemonize would close it. */
static void open_standard_files(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            _exit(1); /* and nowhere to say why */
}

static bool write_config(const struct machine_config *config)
{
    g_autoptr(GError) error = NULL;
    if (g_str_equal(config->config_file, "-"))
        return fputs(config->config_text, stdout) >= 0 && fflush(stdout) == 0;
    if (g_file_set_contents_full(config->config_file, config->config_text, -1, G_FILE_SET_CONTENTS_CONSISTENT,
                                 0644, &error))
        return true;
    complain("-writeconfig %s: %s", config->config_file, error->message);
    return false;
}

/* -add-fd: a descriptor may be in several sets; after this it is in no other place. */
static bool take_passed(const struct machine_config *config)
{
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < config->passed_fds->len; i++) {
        const struct machine_passed_fd *passed = config->passed_fds->pdata[i];
        int64_t set = passed->set;
        int flags = fcntl(passed->fd, F_GETFD), fd = -1;
        if (flags < 0 || flags & FD_CLOEXEC || (fd = fcntl(passed->fd, F_DUPFD_CLOEXEC, 3)) < 0) {
            complain("-add-fd fd=%d: %s (pass the descriptor open and without close-on-exec)", passed->fd,
                     flags >= 0 && flags & FD_CLOEXEC ? "it is the emulator's own" : g_strerror(errno));
            return false;
        }
        if (!fdset_add(fd, &set, passed->opaque, &error)) {
            complain("-add-fd fd=%d: %s", passed->fd, error->message);
            return false;
        }
    }
    for (guint i = 0; i < config->passed_fds->len; i++) {
        int fd = ((const struct machine_passed_fd *)config->passed_fds->pdata[i])->fd,
            flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !(flags & FD_CLOEXEC)) /* not closed yet, and not taken by something since */
            close(fd);
    }
    return true;
}

static int run(const struct machine_config *config)
{
    g_autoptr(GError) error = NULL;
    int pidfile = -1, ready = -1, code = 1;
    message_style = config;
    if (config->process_name)
        prctl(PR_SET_NAME, config->process_name, 0, 0, 0);
    for (guint i = 0; i < config->notes->len; i++)
        complain("note: %s", (const char *)config->notes->pdata[i]);
    if (!take_passed(config))
        return 1;
    if (config->trace_file && !trace_set_file(config->trace_file, &error)) {
        complain("-D: %s", error->message);
        return 1;
    }
    if (config->config_file && !write_config(config))
        return 1;
    /* The child's working folder stays until everything named relative to it is open. */
    g_autofree char *pidfile_path = config->pidfile ? g_canonicalize_filename(config->pidfile, NULL) : NULL;
    g_autofree char *pidfile_folder = pidfile_path ? g_path_get_dirname(pidfile_path) : NULL;
    g_autofree char *pidfile_name = pidfile_path ? g_path_get_basename(pidfile_path) : NULL;
    int folder = pidfile_folder ? open(pidfile_folder, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* What only looks and ends stays in the foreground. */
    if (config->daemonize && !config->check_only && !config->state_file && (ready = background()) < 0)
        return 1;
    has_files = 1;
    if (pidfile_path && !pidfile_take(pidfile_path, &pidfile))
        return 1;
    struct machine *machine = machine_new(config, &error);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* network scripts and helpers of machine_new() may need some */
    if (!machine) {
        complain("%s", error->message);
    } else if (config->state_file) {
        g_autoptr(GString) text = g_string_new(NULL);
        machine_describe_state(machine, text);
        code = !g_file_set_contents_full(config->state_file, text->str, -1, G_FILE_SET_CONTENTS_CONSISTENT,
                                         0644, &error);
        if (code)
            complain("-dump-vmstate %s: %s", config->state_file, error->message);
    } else if (config->check_only) {
        code = 0;
    } else if ((!config->mem_lock || lock_memory(machine)) &&
               ((!config->run_as && !config->chroot) || confine(config->run_as, config->chroot)) &&
               enter_sandbox(config)) {
        running = machine;
        if (asked_to_end)
            machine_signal(machine);
        g_autofree char *notices = machine_notices(machine);
        fputs(notices, stderr);
        if (ready >= 0)
            detach(ready, null);
        code = machine_run(machine, &error);
        running = NULL;
        if (error)
            complain("%s", error->message);
    }
    machine_free(machine);
    char_terminal_restore();
    if (pidfile >= 0) {
        unlinkat(folder, pidfile_name, 0); /* which -chroot may have put out of sight */
        close(pidfile);
    }
    if (folder >= 0)
        close(folder);
    return code;
}

int main(int argc, char **argv)
{
    struct machine_config *config = NULL;
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    int code = 1;
    open_standard_files();
    signals_install();
    atexit(char_terminal_restore);
    switch (options_parse(argc, argv, &config, &text, &error)) {
    case OPTIONS_RUN:
        code = run(config);
        message_style = NULL;
        machine_config_free(config);
        break;
    case OPTIONS_PRINT:
        fputs(text, stdout);
        code = 0;
        break;
    case OPTIONS_ERROR:
        complain("%s", error->message);
        break;
    }
    return code;
}
