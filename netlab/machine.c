/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Starting machines; see machine.h for what is promised.
 *
 * Where the machine runs as another user, files it has to read (kernel, initrd, the emulator itself) are
 * opened by us and handed over as /proc/self/fd/N, so they may lie in folders that user cannot enter, such as
 * /root. The files themselves must be readable by everybody; machine_start() says so if they are not.
 */
#include "netlab/machine.h"
#include "netlab/caller.h"
#include "netlab/fault.h"
#include "netlab/hosts.h"
#include "netlab/machine_drives.h"
#include "netlab/objects.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <grp.h>
#include <unistd.h>

enum {
    FIRST_FD = 10, /* where passed fds begin in the child: clear of stdio */
    LONGEST_TAIL = 16384,
    UID_BASE = 1 << 30,
    SERVER_FILE_MOST = 1 << 20,
};

/* ---- who ---- */

struct machine_user machine_user_choose(const char *lab)
{
    struct machine_user user = {.change = false, .uid = geteuid(), .gid = getegid()};
    if (geteuid() != 0)
        return user;
    uid_t own = UID_BASE + (g_str_hash(lab) & 0xffffff);
    struct caller caller = {own, own};
    if (!caller_find(&caller) && !caller_is_mapped(own, own))
        return user;
    return (struct machine_user){.change = true, .uid = caller.uid, .gid = caller.gid};
}

bool machine_is_our_user(uid_t uid)
{
    return uid >= UID_BASE && uid - UID_BASE <= 0xffffff;
}

/* ---- the command line ---- */

struct command {
    GPtrArray *argv; /* char * */
    GArray *fds;     /* int: ours, passed as FIRST_FD + index */
};

static void command_clear(struct command *command)
{
    g_ptr_array_unref(command->argv);
    g_array_unref(command->fds);
}

static void add(struct command *command, const char *word)
{
    g_ptr_array_add(command->argv, g_strdup(word));
}

G_GNUC_PRINTF(2, 3) static void addf(struct command *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_ptr_array_add(command->argv, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

/* The number that this fd will have in the child. */
static int pass_fd(struct command *command, int fd)
{
    g_array_append_val(command->fds, fd);
    return FIRST_FD + (int)command->fds->len - 1;
}

/* The name by which the machine opens a file: its path, or an fd where the machine is another user. NULL: an
 * error. */
static char *name_file(struct command *command, const struct machine_spec *spec, const char *path,
                       GArray *opened, GError **error)
{
    if (!spec->user.change || !opened)
        return g_strdup(path);
    /* An image's file was chosen by netlab, another by who wrote the topology. */
    g_autofree char *image = payload_string(spec->payload, "image");
    int fd = image ? open(path, O_RDONLY | O_CLOEXEC) : caller_open(path);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "%s: %s", path, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    g_array_append_val(opened, fd);
    bool is_readable = found.st_mode & S_IROTH ||
                       (found.st_uid == spec->user.uid && found.st_mode & S_IRUSR) ||
                       (found.st_gid == spec->user.gid && found.st_mode & S_IRGRP);
    if (!is_readable) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                    "%s cannot be read by uid %u, who runs the machine; make it readable with chmod o+r",
                    path, spec->user.uid);
        return NULL;
    }
    return g_strdup_printf("/proc/self/fd/%d", pass_fd(command, fd));
}

/* A file for the machine to read. */
static bool add_file(struct command *command, const struct machine_spec *spec, const char *option,
                     const char *path, GArray *opened, GError **error)
{
    if (!path)
        return true;
    g_autofree char *name = name_file(command, spec, path, opened, error);
    if (!name)
        return false;
    add(command, option);
    add(command, name);
    return true;
}

/* A disk or CD of an image: all its machines read the one file and none writes to it. What a guest writes to
 * a disk that is not its root goes to a layer of its own without a name. QEMU has no disks that cannot be
 * written, so there the root has one too. */
static bool add_medium(struct command *command, const struct machine_spec *spec, JsonObject *payload,
                       const char *member, GArray *opened, GError **error)
{
    const char *path = json_object_get_string_member_with_default(payload, member, NULL);
    if (!path)
        return true;
    g_autofree char *name = name_file(command, spec, path, opened, error);
    if (!name)
        return false;
    g_auto(GStrv) words = g_strsplit(name, ",", -1);
    g_autofree char *doubled = g_strjoinv(",,", words);
    add(command, "-drive");
    if (g_str_equal(member, "cdrom")) {
        addf(command, "file=%s,format=raw,if=ide,index=2,media=cdrom", doubled);
        return true;
    }
    const char *format = json_object_get_string_member_with_default(payload, "disk_format", "root");
    g_autofree char *base = g_path_get_basename(spec->emulator);
    bool is_root = g_str_equal(format, "root");
    addf(command, "file=%s,format=%s,if=ide,index=0,%s", doubled, is_root ? "raw" : format,
         is_root && g_str_equal(base, "netlab-emu") ? "readonly=on" : "snapshot=on");
    return true;
}

/* Those of the node's own. */
static bool add_drives(struct command *command, const struct machine_spec *spec, JsonObject *payload,
                       GArray *opened, GError **error)
{
    struct machine_fds fds = {g_array_new(FALSE, FALSE, sizeof(int)), FIRST_FD + (int)command->fds->len};
    bool good = machine_drives_add(command->argv, payload, &spec->user, opened ? &fds : NULL, error);
    g_array_append_vals(command->fds, fds.fds->data, fds.fds->len);
    if (opened)
        g_array_append_vals(opened, fds.fds->data, fds.fds->len);
    g_array_unref(fds.fds);
    return good;
}

/* Ours confines itself to what a machine needs. Other programs at NETLAB_EMU have other words for that, or
 * none; a kernel without filters runs machines as their user all the same. */
static void add_confinement(struct command *command, const char *emulator)
{
    g_autofree char *name = g_path_get_basename(emulator);
    if (!g_str_equal(name, "netlab-emu") || access("/proc/sys/kernel/seccomp/actions_avail", F_OK) != 0)
        return;
    add(command, "-sandbox");
    add(command, "on,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

/* A gateway: no guest, the network's TAP and user networking on one hub (docs/uplinks.md). */
static bool build_gateway(const struct machine_spec *spec, JsonObject *gateway, struct command *command,
                          GError **error)
{
    static const char *const fixed[] = {
        "-machine", "none",     "-display", "none", "-serial",
        "none",     "-monitor", "none",     "-qmp", "unix:qmp.sock,server=on,wait=off"};
    add(command, spec->emulator);
    add(command, "-name");
    add(command, spec->node);
    add_confinement(command, spec->emulator);
    for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++)
        add(command, fixed[i]);
    add(command, "-netdev");
    addf(command, "tap,id=lab,fd=%d", pass_fd(command, spec->taps ? spec->taps[0] : -1));
    add(command, "-netdev");
    add(command, "hubport,id=p0,hubid=1,netdev=lab");
    g_autoptr(GString) user = g_string_new("user,id=user");
    static const char *const words[][2] = {
        {"subnet", "net"},       {"host", "host"},       {"dns", "dns"},       {"dhcpstart", "dhcpstart"},
        {"subnet6", "ipv6-net"}, {"host6", "ipv6-host"}, {"dns6", "ipv6-dns"}, {"domain", "domainname"}};
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        const char *value = json_object_get_string_member_with_default(gateway, words[i][0], NULL);
        if (value)
            g_string_append_printf(user, ",%s=%s", words[i][1], value);
    }
    JsonArray *forwards = json_object_has_member(gateway, "forwards")
                              ? json_object_get_array_member(gateway, "forwards")
                              : NULL;
    for (guint i = 0; forwards && i < json_array_get_length(forwards); i++)
        g_string_append_printf(user, ",hostfwd=%s", json_array_get_string_element(forwards, i));
    add(command, "-netdev");
    add(command, user->str);
    add(command, "-netdev");
    add(command, "hubport,id=p1,hubid=1,netdev=user");
    return true;
}

/* A network's DHCP and DNS server: dnsmasq with the payload's settings. */
static bool build_server(const struct machine_spec *spec, struct command *command)
{
    add(command, spec->emulator);
    add(command, "--conf-file=config");
    addf(command, "--interface=%s", spec->interface ? spec->interface : "?");
    return true;
}

/* What keeps a bridged NIC's lease: netlab itself. */
static bool build_renewer(const struct machine_spec *spec, struct command *command)
{
    add(command, "netlab");
    add(command, "renew");
    addf(command, "--bridge=%s", spec->interface ? spec->interface : "?");
    return true;
}

/* `opened` gets the fds opened here (NULL: only for show, nothing is opened). */
static bool build_command(const struct machine_spec *spec, struct command *command, GArray *opened,
                          GError **error)
{
    g_autoptr(JsonNode) root = json_from_string(spec->payload, error);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root))
        return false;
    JsonObject *payload = json_node_get_object(root);
    if (json_object_has_member(payload, "server"))
        return build_server(spec, command);
    if (json_object_has_member(payload, "lease"))
        return build_renewer(spec, command);
    if (json_object_has_member(payload, "gateway"))
        return build_gateway(spec, json_object_get_object_member(payload, "gateway"), command, error);
    add(command, spec->emulator);
    add(command, "-name");
    add(command, spec->node);
    add_confinement(command, spec->emulator);
    add(command, "-m");
    addf(command, "%" G_GINT64_FORMAT, json_object_get_int_member(payload, "memory"));
    if (json_object_has_member(payload, "cpu")) {
        add(command, "-cpu");
        add(command, json_object_get_string_member(payload, "cpu"));
    }
    add(command, "-display");
    add(command, "none");
    if (!add_file(command, spec, "-kernel",
                  json_object_get_string_member_with_default(payload, "kernel", NULL), opened, error) ||
        !add_file(command, spec, "-initrd",
                  json_object_get_string_member_with_default(payload, "initrd", NULL), opened, error))
        return false;
    if (!add_medium(command, spec, payload, "disk", opened, error) ||
        !add_medium(command, spec, payload, "cdrom", opened, error) ||
        !add_drives(command, spec, payload, opened, error))
        return false;
    const char *append = json_object_get_string_member_with_default(payload, "append", NULL);
    if (append && *append) {
        add(command, "-append");
        add(command, append);
    }
    static const char *const fixed[] = {
        "-serial", "unix:console.sock,server=on,wait=off,logfile=console.log",
        "-serial", "unix:agent.sock,server=on,wait=off",
        "-qmp",    "unix:qmp.sock,server=on,wait=off",
        "-fw_cfg", "name=opt/netlab/config,file=config",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++)
        add(command, fixed[i]);
    if (json_object_has_member(payload, "files")) {
        add(command, "-fw_cfg");
        add(command, "name=opt/netlab/files,file=files");
    }
    g_autofree char *hosts =
        spec->directory ? g_build_filename(spec->directory, "..", HOSTS_FILE, NULL) : NULL;
    if (hosts && access(hosts, F_OK) == 0) {
        add(command, "-fw_cfg");
        add(command, "name=opt/netlab/hosts,file=../" HOSTS_FILE);
    }
    JsonArray *nics = json_object_get_array_member(payload, "nics");
    guint count = nics ? json_array_get_length(nics) : 0;
    if (count == 0) {
        add(command, "-nic");
        add(command, "none");
    }
    for (guint i = 0; i < count; i++) {
        JsonObject *nic = json_array_get_object_element(nics, i);
        add(command, "-netdev");
        addf(command, "tap,id=n%u,fd=%d", i, pass_fd(command, spec->taps ? spec->taps[i] : -1));
        add(command, "-device");
        const char *line = json_object_get_string_member_with_default(nic, "line", NULL);
        g_auto(GStrv) words = line ? g_strsplit(line, ",", -1) : NULL;
        g_autofree char *doubled = words ? g_strjoinv(",,", words) : NULL;
        addf(command, "e1000,netdev=n%u,mac=%s%s%s", i, json_object_get_string_member(nic, "mac"),
             doubled ? ",impair-out=" : "", doubled ? doubled : "");
    }
    return true;
}

char *machine_command_line(const struct machine_spec *spec)
{
    struct command command = {g_ptr_array_new_with_free_func(g_free), g_array_new(FALSE, FALSE, sizeof(int))};
    GString *line = g_string_new(NULL);
    if (build_command(spec, &command, NULL, NULL)) {
        for (guint i = 0; i < command.argv->len; i++) {
            const char *word = command.argv->pdata[i];
            bool is_plain =
                strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=,.:/+") ==
                strlen(word);
            g_autofree char *quoted = is_plain && *word ? g_strdup(word) : g_shell_quote(word);
            g_string_append_printf(line, "%s%s", i ? " " : "", quoted);
        }
    }
    command_clear(&command);
    return g_string_free(line, FALSE);
}

/* ---- the gate ---- */

enum { GATE_GO = 1, GATE_AWAY = 0 };

static G_GNUC_NORETURN void wait_at_gate(int fd, const struct gate_child *child)
{
    char word = GATE_AWAY;
    ssize_t got;
    if (child->prepare)
        child->prepare(child->opaque, fd);
    do
        got = read(fd, &word, 1);
    while (got < 0 && errno == EINTR);
    if (got != 1 || word != GATE_GO)
        _exit(0); /* the parent has died, or thought better of it */
    child->run(child->opaque);
    _exit(127);
}

bool gate_begin(struct gate *gate, const struct gate_child *child, struct process_identity *identity,
                GError **error)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "starting a process: %s",
                    g_strerror(errno));
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[1]);
        wait_at_gate(fds[0], child);
    }
    int cause = errno;
    close(fds[0]);
    *gate = (struct gate){.pid = pid, .fd = fds[1]};
    if (pid < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause),
                    "starting a process: %s; end other programs or raise the limit (ulimit -u)",
                    g_strerror(cause));
        close(fds[1]);
        return false;
    }
    fault_point();
    if (process_identify(pid, identity))
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                "the new process %d is not seen in /proc; is /proc mounted?", pid);
    gate_cancel(gate);
    return false;
}

bool gate_open(struct gate *gate, GError **error)
{
    bool good = write(gate->fd, &(char){GATE_GO}, 1) == 1;
    close(gate->fd);
    if (good)
        return true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "the new process %d ended at once", gate->pid);
    waitpid(gate->pid, NULL, 0);
    return false;
}

void gate_cancel(struct gate *gate)
{
    /* Said, and not only hung up: a sibling that was forked later may hold a copy of this end. */
    if (write(gate->fd, &(char){GATE_AWAY}, 1) != 1)
        g_debug("gate: process %d is gone already", gate->pid);
    close(gate->fd);
    waitpid(gate->pid, NULL, 0);
}

/* ---- starting ---- */

struct launch {
    const struct machine_spec *spec;
    struct command command;
    char **environment;
    int directory, log, null, emulator, report; /* fds */
};

/* What a server needs: ports 53 and 67, answers to clients that have no address yet, pings before offers. So
 * does the client of a bridge's lease, which puts it there. A machine needs nothing. */
static bool needs_capability(bool is_server, int capability)
{
    return is_server &&
           (capability == CAP_NET_BIND_SERVICE || capability == CAP_NET_ADMIN || capability == CAP_NET_RAW);
}

void machine_drop_privileges(const struct machine_user *user, bool is_server)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct kept[2] = {0};
    /* The bounding set first: with it empty, not even exec as uid 0 of a user namespace brings anything back.
     */
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
        if (needs_capability(is_server, capability))
            kept[capability / 32].permitted |= 1u << (capability % 32);
        else
            prctl(PR_CAPBSET_DROP, capability);
    }
    prctl(PR_SET_KEEPCAPS, is_server, 0, 0, 0);
    if (user->change) {
        uid_t uid = user->uid;
        gid_t gid = user->gid;
        if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
            return; /* seen by the caller: the ids are not the ones asked for */
    }
    for (int i = 0; i < 2; i++)
        kept[i].effective = kept[i].inheritable = kept[i].permitted;
    syscall(SYS_capset, &header, kept);
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
        if (needs_capability(is_server, capability))
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* In the child; tells the parent errno and dies when something does not work. */
static void launch_run(void *opaque)
{
    struct launch *launch = opaque;
    int count = (int)launch->command.fds->len, cause = 0;
    struct rlimit no_core = {0, 0};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    setrlimit(RLIMIT_CORE, &no_core);
    /* What strangers make a server write down must not fill the disk. */
    if (launch->spec->interface) {
        struct rlimit files = {SERVER_FILE_MOST, SERVER_FILE_MOST};
        setrlimit(RLIMIT_FSIZE, &files);
        signal(SIGXFSZ, SIG_IGN);
    }
    /* First out of the way of the target numbers, then onto them. */
    int high = FIRST_FD + count + 8;
    int directory = fcntl(launch->directory, F_DUPFD_CLOEXEC, high),
        log = fcntl(launch->log, F_DUPFD_CLOEXEC, high), null = fcntl(launch->null, F_DUPFD_CLOEXEC, high),
        emulator = fcntl(launch->emulator, F_DUPFD_CLOEXEC, high),
        report = fcntl(launch->report, F_DUPFD_CLOEXEC, high);
    g_autofree int *moved = g_new0(int, count + 1);
    for (int i = 0; i < count; i++)
        moved[i] = fcntl(g_array_index(launch->command.fds, int, i), F_DUPFD_CLOEXEC, high);
    bool good = directory >= 0 && log >= 0 && null >= 0 && emulator >= 0 && report >= 0;
    for (int i = 0; good && i < count; i++)
        good = moved[i] >= 0 && dup2(moved[i], FIRST_FD + i) >= 0;
    good = good && dup2(null, 0) >= 0 && dup2(log, 1) >= 0 && dup2(log, 2) >= 0 && fchdir(directory) == 0;
    if (good) {
        machine_drop_privileges(&launch->spec->user, launch->spec->interface != NULL);
        if (launch->spec->user.change &&
            (getuid() != launch->spec->user.uid || getgid() != launch->spec->user.gid)) {
            errno = EPERM;
            good = false;
        }
    }
    if (good) {
        umask(0077);
        char **argv = (char **)launch->command.argv->pdata;
        syscall(SYS_execveat, emulator, "", argv, launch->environment, AT_EMPTY_PATH);
        /* A script (#!) cannot be run by fd once that fd is close-on-exec: by its path then. */
        if (errno == ENOENT)
            execve(argv[0], argv, launch->environment);
    }
    cause = errno;
    if (report >= 0 && write(report, &cause, sizeof cause) < 0)
        _exit(126);
    _exit(127);
}

static int compare_fds(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* In the child, at once: lets go of what is not its own. Siblings wait at their gates meanwhile, and each
 * would hold the others' pipes open. */
static void launch_prepare(void *opaque, int gate)
{
    struct launch *launch = opaque;
    g_autoptr(GArray) keep = g_array_new(FALSE, FALSE, sizeof(int));
    const int own[] = {gate, launch->directory, launch->log, launch->null, launch->emulator, launch->report};
    g_array_append_vals(keep, own, G_N_ELEMENTS(own));
    g_array_append_vals(keep, launch->command.fds->data, launch->command.fds->len);
    g_array_sort(keep, compare_fds);
    int from = STDERR_FILENO + 1;
    for (guint i = 0; i < keep->len; i++) {
        int fd = g_array_index(keep, int, i);
        if (fd > from)
            close_range((unsigned)from, (unsigned)fd - 1, 0);
        from = MAX(from, fd + 1);
    }
    close_range((unsigned)from, ~0u, 0);
}

/* What the machine gets of our environment: nothing private. And whose it is. */
static char **machine_environment(const char *owner_mark)
{
    static const char *const passed[] = {"PATH",         "LANG",          "LC_ALL",       "TZ",
                                         "ASAN_OPTIONS", "UBSAN_OPTIONS", "NETLAB_TRACE", "FAKE_EMU"};
    char **environment = g_new0(char *, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(passed); i++) {
        if (g_getenv(passed[i]))
            environment = g_environ_setenv(environment, passed[i], g_getenv(passed[i]), TRUE);
    }
    if (owner_mark)
        environment = g_environ_setenv(environment, PROCESS_MARK, owner_mark, TRUE);
    return environment;
}

static bool fail_errno(GError **error, const char *what)
{
    int cause = errno;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause), "%s: %s%s", what, g_strerror(cause),
                cause == ENOSPC || cause == EDQUOT ? "; make room there" : "");
    return false;
}

/* The leases that a server knew when it ended. The folder is its user's: nothing in it is followed or
 * trusted; NULL: none. Owned by the caller. */
static char *read_leases(const char *directory)
{
    g_autofree char *path = g_build_filename(directory, "leases", NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat found;
    char *text = NULL;
    if (fd >= 0 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_size <= SERVER_FILE_MOST) {
        text = g_malloc0((gsize)found.st_size + 1);
        if (pread(fd, text, (size_t)found.st_size, 0) != found.st_size)
            g_clear_pointer(&text, g_free);
    }
    if (fd >= 0)
        close(fd);
    return text;
}

/* For the next one. Clients that nobody knows beforehand are all that would be lost with them. */
static void leave_leases(const struct machine_spec *spec, const char *text)
{
    g_autofree char *path = g_build_filename(spec->directory, "leases", NULL);
    int fd = text ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (fd < 0)
        return;
    size_t length = strlen(text);
    if (write(fd, text, length) != (ssize_t)length ||
        (spec->user.change && fchown(fd, spec->user.uid, spec->user.gid) != 0))
        unlink(path);
    close(fd);
}

/* A file for the machine in its folder. */
static bool leave_file(const struct machine_spec *spec, const char *name, const void *data, size_t length,
                       GError **error)
{
    g_autofree char *path = g_build_filename(spec->directory, name, NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return fail_errno(error, path);
    errno = 0;
    bool good = write(fd, data, length) == (ssize_t)length;
    if (!good) {
        if (errno == 0)
            errno = ENOSPC;
        fail_errno(error, path);
    }
    close(fd);
    return good;
}

bool machine_prepare(const struct machine_spec *spec, GError **error)
{
    g_autofree char *leases = spec->interface ? read_leases(spec->directory) : NULL;
    if (!machine_remove_directory(spec->directory, error))
        return false;
    if (g_mkdir(spec->directory, 0700) != 0)
        return fail_errno(error, spec->directory);
    fault_point();
    leave_leases(spec, leases);
    g_autoptr(JsonNode) root = json_from_string(spec->payload, error);
    if (!root)
        return false;
    const char *config = json_object_get_string_member_with_default(json_node_get_object(root), "config", "");
    const char *files = json_object_get_string_member_with_default(json_node_get_object(root), "files", NULL);
    bool good = leave_file(spec, "config", config, strlen(config), error);
    if (good && files) {
        gsize size;
        g_autofree guchar *archive = g_base64_decode(files, &size);
        good = leave_file(spec, "files", archive, size, error);
    }
    good = good && machine_drives_prepare(spec->node, json_node_get_object(root), spec->directory, &spec->user, error);
    if (good && spec->user.change && chown(spec->directory, spec->user.uid, spec->user.gid) != 0)
        good = fail_errno(error, spec->directory);
    return good;
}

static void close_all(GArray *fds)
{
    for (guint i = 0; i < fds->len; i++)
        close(g_array_index(fds, int, i));
    g_array_unref(fds);
}

/* Waits until the child has executed the emulator (the pipe closes) or says why not. */
static bool executed(int report, const char *emulator, GError **error)
{
    int cause = 0;
    ssize_t got;
    do
        got = read(report, &cause, sizeof cause);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return true;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause), "executing %s: %s; %s", emulator,
                g_strerror(cause),
                cause == EPERM ? "as another user it needs CAP_SETUID and CAP_SETGID: run as root with all "
                                 "capabilities, or `netlab up --rootless`"
                               : "check NETLAB_EMU and the program's mode");
    return false;
}

struct machine_start {
    struct gate gate;
    int report; /* fd */
    char *emulator;
};

static struct machine_start *begin_launch(struct launch *launch, struct process_identity *identity,
                                          GError **error)
{
    const struct gate_child child = {launch_prepare, launch_run, launch};
    struct machine_start start;
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) {
        fail_errno(error, "pipe");
        return NULL;
    }
    g_ptr_array_add(launch->command.argv, NULL);
    launch->report = report[1];
    bool good = gate_begin(&start.gate, &child, identity, error);
    close(report[1]);
    if (!good) {
        close(report[0]);
        return NULL;
    }
    start.report = report[0];
    start.emulator = g_strdup(launch->spec->emulator);
    return g_memdup2(&start, sizeof start);
}

struct machine_start *machine_start_begin(const struct machine_spec *spec, struct process_identity *identity,
                                          GError **error)
{
    g_autofree char *log = g_build_filename(spec->directory, "machine.log", NULL);
    GArray *opened = g_array_new(FALSE, FALSE, sizeof(int));
    struct launch launch = {
        .spec = spec,
        .command = {g_ptr_array_new_with_free_func(g_free), g_array_new(FALSE, FALSE, sizeof(int))},
        .environment = machine_environment(spec->owner_mark),
        .directory = open(spec->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644),
        .null = open("/dev/null", O_RDWR | O_CLOEXEC),
        .emulator = open(spec->emulator, O_RDONLY | O_CLOEXEC),
    };
    bool good = build_command(spec, &launch.command, opened, error);
    if (good && (launch.directory < 0 || launch.log < 0 || launch.null < 0 || launch.emulator < 0))
        good = fail_errno(error, launch.emulator < 0 ? spec->emulator
                                 : launch.log < 0    ? log
                                                     : spec->directory);
    struct machine_start *start = good ? begin_launch(&launch, identity, error) : NULL;
    int ours[] = {launch.directory, launch.log, launch.null, launch.emulator};
    for (size_t i = 0; i < G_N_ELEMENTS(ours); i++) {
        if (ours[i] >= 0)
            close(ours[i]);
    }
    close_all(opened);
    g_strfreev(launch.environment);
    command_clear(&launch.command);
    return start;
}

static void start_free(struct machine_start *start)
{
    close(start->report);
    g_free(start->emulator);
    g_free(start);
}

bool machine_start_finish(struct machine_start *start, GError **error)
{
    bool good = gate_open(&start->gate, error);
    if (good && !executed(start->report, start->emulator, error)) {
        waitpid(start->gate.pid, NULL, 0);
        good = false;
    }
    start_free(start);
    return good;
}

void machine_start_cancel(struct machine_start *start)
{
    gate_cancel(&start->gate);
    start_free(start);
}

/* ---- folders and logs ---- */

bool machine_remove_directory(const char *directory, GError **error)
{
    /* The folder may belong to the machine's user, so nothing in it is followed or trusted: each entry is
     * unlinked by name within the folder that we have open. */
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT || fail_errno(error, directory);
    g_autofree char *proc = g_strdup_printf("/proc/self/fd/%d", fd);
    GDir *entries = g_dir_open(proc, 0, NULL);
    for (const char *name; entries && (name = g_dir_read_name(entries));) {
        if (unlinkat(fd, name, 0) != 0 && (errno == EISDIR || errno == EPERM))
            unlinkat(fd, name, AT_REMOVEDIR);
    }
    if (entries)
        g_dir_close(entries);
    close(fd);
    if (rmdir(directory) == 0 || errno == ENOENT)
        return true;
    return fail_errno(error, directory);
}

char *machine_log_tail(const char *directory, const char *file, unsigned most)
{
    g_autofree char *path = g_build_filename(directory, file, NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) ||
        found.st_nlink != 1) { /* the folder is its machine's user's, who may have put anything there */
        if (fd >= 0)
            close(fd);
        return g_strdup("");
    }
    g_autofree char *text = g_malloc0(LONGEST_TAIL + 1);
    ssize_t got = pread(fd, text, LONGEST_TAIL, MAX(0, found.st_size - LONGEST_TAIL));
    close(fd);
    GString *clean = g_string_new(NULL);
    for (ssize_t i = 0; i < got; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == 033) { /* escape sequences: ESC [ … letter, or ESC and one more */
            if (i + 1 < got && text[i + 1] == '[')
                for (i += 2; i < got && !g_ascii_isalpha(text[i]); i++)
                    ;
            else
                i++;
        } else if (c == '\n' || c == '\t' || (c >= ' ' && c < 127)) {
            g_string_append_c(clean, (char)c);
        }
    }
    g_strchomp(clean->str);
    g_auto(GStrv) lines = g_strsplit(clean->str, "\n", -1);
    g_string_free(clean, TRUE);
    guint count = g_strv_length(lines);
    return g_strjoinv("\n", lines + (count > most ? count - most : 0));
}

char *machine_restore_paths(const char *payload, const char *text)
{
    static const char *const members[] = {"kernel", "initrd", "disk",
                                          "cdrom"}; /* in build_command()'s order */
    GString *restored = g_string_new(text);
    int fd = FIRST_FD;
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        g_autofree char *path = payload_string(payload, members[i]);
        if (!path)
            continue;
        g_autofree char *name = g_strdup_printf("/proc/self/fd/%d", fd++);
        g_string_replace(restored, name, path, 0);
    }
    g_autoptr(JsonNode) root = json_from_string(payload, NULL);
    if (root && JSON_NODE_HOLDS_OBJECT(root))
        machine_drives_restore_paths(json_node_get_object(root), restored);
    return g_string_free(restored, FALSE);
}
