/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Init of our guest images: mount, load drivers, configure, report ready, then look after children.
 *
 * A shell on the first serial port is restarted whenever it ends. SIGUSR2, SIGTERM and SIGUSR1 mean power
 * off, reboot and halt, as busybox's poweroff, reboot and halt send them. Nothing here may end init: a
 * failure is one line on the console and the next step is tried.
 */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static const char *power_wanted; /* set by the agent, acted on by the loop */
static pid_t shell_pid;
static time_t shell_started;

void guest_log(const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    dprintf(STDERR_FILENO, "netlab: %s\n", line);
}

void guest_power(const char *mode)
{
    power_wanted = strcmp(mode, "reboot") == 0 ? "reboot" : strcmp(mode, "halt") == 0 ? "halt" : "powerdown";
}

pid_t guest_spawn(char *const argv[], const char *tty, int in, int out, int err)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (tty) {
        int fd = open(tty, O_RDWR);
        if (fd < 0)
            _exit(126);
        ioctl(fd, TIOCSCTTY, 1);
        in = out = err = fd;
    }
    int null = open("/dev/null", O_RDWR);
    int console = open("/dev/console", O_WRONLY | O_NOCTTY);
    dup2(in >= 0 ? in : null, 0);
    dup2(out >= 0 ? out : console >= 0 ? console : null, 1);
    dup2(err >= 0 ? err : console >= 0 ? console : null, 2);
    syscall(SYS_close_range, 3u, ~0u, 0u);
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("HOME", "/root", 1);
    setenv("TERM", "linux", 0);
    if (chdir("/root") != 0 && chdir("/") != 0)
        _exit(126);
    execvp(argv[0], argv);
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static void mount_one(const char *type, const char *where, unsigned long flags, const char *data)
{
    mkdir(where, 0755);
    if (mount(type, where, type, flags, data) != 0 && errno != EBUSY)
        guest_log("mounting %s: %s", where, strerror(errno));
}

static void mount_all(void)
{
    mount_one("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
    mount_one("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_one("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_one("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666");
    mount_one("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, NULL);
    mount_one("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
    mount_one("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
}

/* The image lists its modules in load order, dependencies first. */
static void load_modules(void)
{
    FILE *list = fopen("/lib/modules/netlab.load", "re");
    char path[256];
    while (list && fgets(path, sizeof path, list)) {
        path[strcspn(path, "\n")] = 0;
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST && errno != ENODEV))
            guest_log("loading %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
    }
    if (list)
        fclose(list);
}

/* ---- the image's root on a disk ---- */

/* What the initramfs takes of memory is given back. Only its own files: never across a mount. */
static void empty_folder(int folder, dev_t device, unsigned depth)
{
    DIR *dir = fdopendir(folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        struct stat found;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(dirfd(dir), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0 || found.st_dev != device)
            continue;
        if (!S_ISDIR(found.st_mode)) {
            unlinkat(dirfd(dir), entry->d_name, 0);
            continue;
        }
        int inner = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (inner >= 0 && depth < 32)
            empty_folder(inner, device, depth + 1);
        else if (inner >= 0)
            close(inner);
        unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
    }
    if (dir)
        closedir(dir);
}

/* Disk below, read-only; a layer in memory above, this machine's own; and what is mounted already goes along.
 */
static void enter_root(void)
{
    static const char *const mounted[] = {"/dev", "/proc", "/sys", "/run", "/tmp"};
    char disk[64] = "", inside[64];
    FILE *file = fopen("/etc/netlab-root", "re");
    if (!file)
        return;
    if (!fgets(disk, sizeof disk, file))
        disk[0] = 0;
    fclose(file);
    disk[strcspn(disk, "\n")] = 0;
    mkdir("/lower", 0755);
    mkdir("/upper", 0755);
    mkdir("/root.new", 0755);
    unsigned channel, device;
    char name[DISK_NAME];
    if (sscanf(disk, "ide %1u %1u", &channel, &device) != 2 || !disk_find(channel, device, name)) {
        guest_log("the image's disk (%s) is not there: what follows runs without it", disk);
        return;
    }
    snprintf(disk, sizeof disk, "/dev/%s", name);
    if (mount(disk, "/lower", "erofs", MS_RDONLY, NULL) != 0 ||
        mount("upper", "/upper", "tmpfs", 0, "mode=0755") != 0 || mkdir("/upper/files", 0755) != 0 ||
        mkdir("/upper/work", 0755) != 0 ||
        mount("overlay", "/root.new", "overlay", 0,
              "lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work") != 0) {
        guest_log("mounting the image's disk %s: %s", disk, strerror(errno));
        return;
    }
    struct stat old;
    int old_root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof mounted / sizeof mounted[0]; i++) {
        snprintf(inside, sizeof inside, "/root.new%s", mounted[i]);
        mkdir(inside, 0755);
        if (mount(mounted[i], inside, NULL, MS_MOVE, NULL) != 0)
            guest_log("moving %s: %s", mounted[i], strerror(errno));
    }
    if (old_root >= 0 && fstat(old_root, &old) == 0)
        empty_folder(old_root, old.st_dev, 0);
    if (chdir("/root.new") != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 ||
        chdir("/") != 0)
        guest_log("entering the image's root: %s", strerror(errno));
}

/* Where the image's builder could not list busybox's applets, the links are made here, once. */
static void install_applets(void)
{
    if (access("/bin/sh", X_OK) == 0)
        return;
    char *const argv[] = {"/bin/busybox", "--install", "-s", NULL};
    pid_t pid = guest_spawn(argv, NULL, -1, -1, -1);
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

void guest_write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        guest_log("writing %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void set_identity(const struct guest_config *config)
{
    char text[160];
    const char *name = config->hostname[0] ? config->hostname : "netlab";
    if (sethostname(name, strlen(name)) != 0)
        guest_log("setting the host name: %s", strerror(errno));
    snprintf(text, sizeof text, "%s\n", name);
    guest_write_file("/etc/hostname", text);
    snprintf(text, sizeof text, "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n", name);
    struct text hosts = {0};
    size_t length = 0;
    char *lab = files_hosts(&length);
    text_add(&hosts, text);
    if (lab)
        text_add_bytes(&hosts, lab, length);
    free(lab);
    guest_write_file("/etc/hosts", hosts.at);
    text_free(&hosts);
    if (config->name_server_count) {
        struct text resolver = {0};
        for (unsigned i = 0; i < config->name_server_count; i++) {
            char plain[INET6_ADDRSTRLEN];
            const struct guest_address *server = &config->name_server[i];
            text_addf(&resolver, "nameserver %s\n",
                      inet_ntop(server->family, server->bytes, plain, sizeof plain));
        }
        guest_write_file("/etc/resolv.conf", resolver.at);
        text_free(&resolver);
    }
    if (config->forwarding) {
        guest_write_file("/proc/sys/net/ipv4/ip_forward", "1");
        guest_write_file("/proc/sys/net/ipv6/conf/all/forwarding", "1");
    }
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

/* One command, given some time before what follows is started beside it. */
static void run_command(char *const argv[], const char *shown, int most_ms)
{
    pid_t pid = guest_spawn(argv, NULL, -1, -1, -1);
    int status = 0;
    int64_t deadline = now_ms() + most_ms;
    pid_t ended = 0;
    while (pid > 0 && !(ended = waitpid(pid, &status, WNOHANG)) && now_ms() < deadline)
        usleep(10000);
    if (pid < 0 || (ended == pid && status != 0))
        guest_log("run: '%s' failed (status %d)", shown, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    else if (!ended)
        guest_log("run: '%s' goes on in the background", shown);
}

void guest_run(char *const argv[])
{
    run_command((char **)argv, argv[0], 10000);
}

/* What the image starts, then the node's own commands, in order. */
static void run_commands(const struct guest_config *config)
{
    char *start[] = {"/etc/netlab/start", NULL};
    if (access(start[0], X_OK) == 0)
        run_command(start, start[0], 30000);
    for (unsigned i = 0; i < config->run_count; i++) {
        char *argv[] = {"/bin/sh", "-c", config->run[i], NULL};
        run_command(argv, config->run[i], 10000);
    }
}

static void reap(void);

/* A node counts as ready with its addresses; but a lab whose DHCP server comes up later must come up too. */
static void wait_for_leases(void)
{
    enum { PATIENCE_MS = 15000 };
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (dhcp_waiting() && now_ms() < deadline) {
        reap();
        dhcp_restart();
        usleep(10000);
    }
    if (dhcp_waiting())
        guest_log("no DHCP server has answered yet; asking goes on");
}

static void start_shell(void)
{
    char *const argv[] = {access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh", "-l", NULL};
    shell_started = time(NULL);
    shell_pid = guest_spawn(argv, "/dev/ttyS0", -1, -1, -1);
    if (shell_pid < 0)
        guest_log("starting the shell: %s", strerror(errno));
}

static int open_agent_port(void)
{
    int fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    struct termios raw;
    if (fd < 0 || tcgetattr(fd, &raw) != 0) {
        guest_log("no second serial port: the host cannot talk to this node");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    cfmakeraw(&raw);
    raw.c_cflag |= CLOCAL | CREAD;
    cfsetspeed(&raw, B115200);
    tcsetattr(fd, TCSANOW, &raw);
    tcflush(fd, TCIOFLUSH);
    return fd;
}

static void end_machine(const char *how)
{
    guest_log("%s", how);
    sync();
    kill(-1, SIGTERM);
    int64_t deadline = now_ms() + 1000;
    while (waitpid(-1, NULL, WNOHANG) >= 0 && now_ms() < deadline)
        usleep(10000);
    kill(-1, SIGKILL);
    sync();
    int command = strcmp(how, "reboot") == 0 ? RB_AUTOBOOT
                  : strcmp(how, "halt") == 0 ? RB_HALT_SYSTEM
                                             : RB_POWER_OFF;
    reboot(command);
    guest_log("%s: %s", how, strerror(errno));
}

static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (agent_child_ended(pid, status) || dhcp_child_ended(pid))
            continue;
        if (pid == shell_pid)
            shell_pid = 0;
    }
}

static void handle_signals(int fd)
{
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGCHLD:
            reap();
            break;
        case SIGUSR2:
            guest_power("powerdown");
            break;
        case SIGUSR1:
            guest_power("halt");
            break;
        case SIGTERM:
        case SIGINT: /* Ctrl-Alt-Del */
            guest_power("reboot");
            break;
        }
    }
}

static void serve(int signals)
{
    struct pollfd fds[1 + AGENT_MAX_FDS];
    for (;;) {
        if (power_wanted) {
            const char *how = power_wanted;
            power_wanted = NULL;
            end_machine(how);
        }
        bool shell_due = !shell_pid && time(NULL) != shell_started;
        if (shell_due)
            start_shell();
        bool restart_due = dhcp_restart();
        fds[0] = (struct pollfd){.fd = signals, .events = POLLIN};
        unsigned count = 1 + agent_fds(fds + 1);
        int agent_due = agent_timeout(), due = shell_pid && !restart_due ? -1 : 1000;
        if (poll(fds, count, due < 0 || (agent_due >= 0 && agent_due < due) ? agent_due : due) < 0)
            continue;
        if (fds[0].revents)
            handle_signals(signals);
        bool outputs = false;
        for (unsigned i = 1; i < count; i++) {
            if (!fds[i].revents)
                continue;
            if (fds[i].fd == agent_fd())
                agent_input();
            else
                outputs = true;
        }
        if (outputs)
            agent_poll_outputs();
        reap();
        agent_tick();
    }
}

int main(int argc, char **argv)
{
    if (dhcp_is_script(argc, argv)) {
        int report = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
        if (report >= 0)
            dup2(report, STDERR_FILENO);
        return dhcp_script(argv[1]);
    }
    static struct guest_config config;
    sigset_t mask;
    sigemptyset(&mask);
    for (const int *s = (const int[]){SIGCHLD, SIGUSR1, SIGUSR2, SIGTERM, SIGINT, 0}; *s; s++)
        sigaddset(&mask, *s);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    mount_all();
    int console = open("/dev/console", O_RDWR | O_NOCTTY);
    for (int fd = 0; fd < 3 && console >= 0; fd++)
        dup2(console, fd);
    reboot(RB_DISABLE_CAD);
    load_modules();
    enter_root();
    install_applets();
    if (!config_read(&config))
        guest_log("no configuration was handed over: this node has its NICs and no addresses");
    set_identity(&config);
    disks_link(&config);
    files_unpack();
    network_apply(&config);
    dhcp_start(&config);
    wait_for_leases();
    agent_start(open_agent_port());
    run_commands(&config);
    agent_ready();
    guest_log("%s is ready", config.hostname[0] ? config.hostname : "node");
    start_shell();
    serve(signals);
}
