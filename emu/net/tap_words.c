/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The words of -netdev tap and -netdev bridge: how a TAP is come by.
 *
 *   ifname=           opened by name, made when it does not exist (tap.c)
 *   fd=, fds=         passed in
 *   helper=           a program opens it and sends the descriptor over a socket (the protocol of
 *                     qemu-bridge-helper: --fd=N, one byte with SCM_RIGHTS)
 *   bridge, br=       made here and made a port of the bridge; with helper= the helper does both
 *
 * script= and downscript= are run with the interface's name, when it is there and when it goes. None runs
 * unless named: a lab's links are made before (`netlab up`). All of it happens before the guest runs.
 */
#include "emu/machine/loop.h"
#include "emu/net/netdev.h"
#include "emu/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELPER_SECONDS = 20, HELPER_END_MS = 5000 };

static const char default_bridge[] = "br0";

static const struct keyval_row tap_rows[] = {
    {"ifname", KEYVAL_STRING, .help = "name of the TAP interface"},
    {"fd", KEYVAL_NUMBER, .help = "an open TAP, passed in", .max = 1 << 20},
    {"fds", KEYVAL_STRING, .help = "the same, for QEMU's sake: the NIC has one queue"},
    {"script", KEYVAL_STRING, .help = "run with the interface's name to set it up (no)"},
    {"downscript", KEYVAL_STRING, .help = "run with the interface's name at the end (no)"},
    {"helper", KEYVAL_PATH, .help = "program that opens the TAP (qemu-bridge-helper)"},
    {"br", KEYVAL_STRING, .help = "bridge the TAP becomes a port of"},
    {"vnet_hdr", KEYVAL_BOOL, .help = "hand over checksums and TSO bursts unfinished"},
    {"sndbuf", KEYVAL_SIZE, .help = "bytes on their way out that the kernel may hold"},
    {"vhost", KEYVAL_CHOICE, "off"},
    {"queues", KEYVAL_NUMBER, .min = 1, .max = 1},
    {"poll-us", KEYVAL_NUMBER},
    {"vhostfd", KEYVAL_LATER, .help = "e1000 has no use for vhost; leave it out"},
    {"vhostfds", KEYVAL_LATER, .help = "e1000 has no use for vhost; leave it out"},
    {"vhostforce", KEYVAL_CHOICE, "off"},
};

static const struct keyval_row bridge_rows[] = {
    {"br", KEYVAL_STRING, .help = "the bridge (br0)"},
    {"helper", KEYVAL_PATH, .help = "program that opens the TAP (qemu-bridge-helper)"},
};

/* A script's or a bridge's name that counts; NULL when it is "no" or empty. */
static const char *named(const struct keyval *kv, const char *key)
{
    const char *text = keyval_string(kv, key, "no");
    return *text && !g_str_equal(text, "no") ? text : NULL;
}

static bool interface_name(const char *key, const char *name, GError **error)
{
    return (*name && strlen(name) < IFNAMSIZ && !strpbrk(name, "/ \t\n:%")) ||
           net_fail(error, EINVAL, "%s=%s: an interface name has 1 to %d characters, no '/', ':' or space",
                    key, name, IFNAMSIZ - 1);
}

/* fd= or the one of fds=; -1 when neither is given. */
static bool passed_fd(const struct keyval *kv, int *fd, GError **error)
{
    const char *list = keyval_string(kv, "fds", NULL);
    uint64_t number;
    *fd = keyval_has(kv, "fd") ? (int)keyval_number(kv, "fd", 0) : -1;
    if (list) {
        if (*fd >= 0)
            return net_fail(error, EINVAL, "give one of fd= and fds=");
        if (strchr(list, ':'))
            return net_fail(error, EINVAL, "fds=%s: the e1000 has one queue; pass one descriptor (fd=)",
                            list);
        if (!keyval_parse_number("fds", list, 0, 1 << 20, &number, error))
            return false;
        *fd = (int)number;
    }
    return *fd < 0 || fcntl(*fd, F_GETFD) >= 0 ||
           net_fail(error, errno, "fd=%d: %s (pass the descriptor open and without close-on-exec)", *fd,
                    g_strerror(errno));
}

static bool tap_check(const struct keyval *kv, GError **error)
{
    static const char *const scripts[] = {"script", "downscript"};
    const char *ifname = keyval_string(kv, "ifname", NULL);
    int fd;
    if (ifname && (keyval_has(kv, "fd") || keyval_has(kv, "fds")))
        return net_fail(error, EINVAL, "give one of ifname= and fd=");
    if (ifname && !interface_name("ifname", ifname, error))
        return false;
    if (!passed_fd(kv, &fd, error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(scripts); i++) {
        const char *script = named(kv, scripts[i]);
        if (script && (fd >= 0 || keyval_has(kv, "helper")))
            return net_fail(error, EINVAL, "%s= is for a TAP that is opened here; say %s=no", scripts[i],
                            scripts[i]);
        int why = !script                                   ? 0
                  : access(script, X_OK) < 0                ? errno
                  : g_file_test(script, G_FILE_TEST_IS_DIR) ? EISDIR
                                                            : 0;
        if (why)
            return net_fail(
                error, why,
                "%s=%s: %s; name a program that may be run, or say %s=no and set the TAP up before",
                scripts[i], script, g_strerror(why), scripts[i]);
    }
    if (keyval_has(kv, "helper") && (ifname || fd >= 0))
        return net_fail(error, EINVAL, "helper= names the TAP itself; leave out ifname= and fd=");
    return !keyval_has(kv, "br") || interface_name("br", keyval_string(kv, "br", ""), error);
}

static bool bridge_check(const struct keyval *kv, GError **error)
{
    return interface_name("br", keyval_string(kv, "br", default_bridge), error);
}

/* ---- programs ---- */

static bool explain_end(const char *what, int status, GError **error)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFSIGNALED(status))
        return net_fail(error, EIO, "%s was ended by signal %d", what, WTERMSIG(status));
    return net_fail(error, EIO, "%s failed with exit code %d; what it printed says why", what,
                    WEXITSTATUS(status));
}

/* Runs argv with descriptor `keep` (-1: none) left open. The child's process id; -1 with errno when it cannot
 * be run, which the child says by a pipe that running the program closes. */
static pid_t start_program(char **argv, int keep)
{
    int why = 0, result[2];
    if (pipe2(result, O_CLOEXEC) < 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        if (keep >= 0)
            fcntl(keep, F_SETFD, 0);
        execvp(argv[0], argv);
        why = errno;
        ssize_t n = write(result[1], &why, sizeof why);
        _exit(n < 0 ? 126 : 127);
    }
    if (child < 0)
        why = errno;
    close(result[1]);
    if (child > 0) {
        ssize_t n;
        do
            n = read(result[0], &why, sizeof why);
        while (n < 0 && errno == EINTR);
        if (n == (ssize_t)sizeof why) {
            waitpid(child, NULL, 0);
            child = -1;
        }
    }
    close(result[0]);
    errno = why;
    return child;
}

/* Ends a program that has not ended by itself after `ms` milliseconds. True when it was stuck. */
static bool end_if_stuck(pid_t child, int ms)
{
    int fd = pidfd_open(child, 0);
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    bool stuck = fd >= 0 && poll(&poll_fd, 1, ms) == 0;
    if (fd >= 0)
        close(fd);
    if (stuck)
        kill(child, SIGKILL);
    return stuck;
}

static bool wait_program(pid_t child, const char *what, GError **error)
{
    int status;
    pid_t got;
    if (child < 0)
        return net_fail(error, errno, "starting %s: %s; name a program that may be run", what,
                        g_strerror(errno));
    do
        got = waitpid(child, &status, 0);
    while (got < 0 && errno == EINTR);
    return got < 0 ? net_fail(error, errno, "waiting for %s: %s", what, g_strerror(errno))
                   : explain_end(what, status, error);
}

bool net_tap_script(const char *script, const char *ifname, GError **error)
{
    g_autofree char *what = g_strdup_printf("network script %s %s", script, ifname);
    char *argv[] = {(char *)script, (char *)ifname, NULL};
    return wait_program(start_program(argv, -1), what, error);
}

static int receive_fd(int from)
{
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n;
    int fd = -1;
    do
        n = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

/* The descriptor a helper opens, or -1. */
static int ask_helper(const char *helper, const char *bridge, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) words = NULL;
    int pair[2];
    if (!g_shell_parse_argv(helper, NULL, &words, error)) {
        g_prefix_error(error, "helper=%s: ", helper);
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        net_fail(error, errno, "a socket for the helper: %s", g_strerror(errno));
        return -1;
    }
    bool has_bridge = false, has_fd = false;
    for (char **word = words; *word; word++) {
        has_bridge |= g_str_has_prefix(*word, "--br=");
        has_fd |= g_str_has_prefix(*word, "--fd=");
        g_ptr_array_add(argv, g_strdup(*word));
    }
    if (!has_fd)
        g_ptr_array_add(argv, g_strdup("--use-vnet"));
    if (!has_fd)
        g_ptr_array_add(argv, g_strdup_printf("--fd=%d", pair[1]));
    if (!has_bridge)
        g_ptr_array_add(argv, g_strdup_printf("--br=%s", bridge));
    g_ptr_array_add(argv, NULL);
    struct timeval limit = {.tv_sec = HELPER_SECONDS};
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    pid_t child = start_program((char **)argv->pdata, pair[1]);
    int why = errno;
    close(pair[1]);
    int fd = child > 0 ? receive_fd(pair[0]) : -1;
    close(pair[0]);
    g_autofree char *what = g_strdup_printf("helper %s", words[0]);
    bool stuck = child > 0 && end_if_stuck(child, HELPER_END_MS);
    errno = why;
    bool good = wait_program(child, what, stuck ? NULL : error);
    if (stuck)
        good =
            net_fail(error, ETIMEDOUT, "%s %s and was ended; run it by hand to see what it waits for", what,
                     fd < 0 ? "sent nothing for 20 seconds" : "did not end after it had sent a descriptor");
    if (good && fd < 0)
        good = net_fail(error, EIO, "%s sent no descriptor", what);
    if (!good && fd >= 0)
        close(fd);
    return good ? fd : -1;
}

/* ---- bridges ---- */

/* Makes the interface a port of the bridge, with the bridge's MTU, and switches it on. */
static bool join_bridge(const char *ifname, const char *bridge, GError **error)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = {0};
    int why = fd < 0 ? errno : 0;
    g_strlcpy(ifr.ifr_name, bridge, sizeof ifr.ifr_name);
    if (!why && ioctl(fd, SIOCGIFMTU, &ifr) == 0) {
        g_strlcpy(ifr.ifr_name, ifname, sizeof ifr.ifr_name);
        if (ioctl(fd, SIOCSIFMTU, &ifr) < 0)
            trace(NET, "%s: MTU of %s: %s", ifname, bridge, g_strerror(errno));
    }
    ifr = (struct ifreq){.ifr_ifindex = (int)if_nametoindex(ifname)};
    g_strlcpy(ifr.ifr_name, bridge, sizeof ifr.ifr_name);
    if (!why && ioctl(fd, SIOCBRADDIF, &ifr) < 0)
        why = errno;
    ifr = (struct ifreq){0};
    g_strlcpy(ifr.ifr_name, ifname, sizeof ifr.ifr_name);
    if (!why &&
        (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0 || (ifr.ifr_flags |= IFF_UP, ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)))
        why = errno;
    if (fd >= 0)
        close(fd);
    if (!why)
        return true;
    if (why == ENODEV)
        return net_fail(error, why,
                        "there is no bridge %s; make it: ip link add %s type bridge && ip link set %s up",
                        bridge, bridge, bridge);
    if (why == EPERM)
        return net_fail(
            error, why,
            "making %s a port of %s needs CAP_NET_ADMIN; run with it, name a helper= that has it, or "
            "make a TAP before (ip tuntap add dev NAME mode tap user %u; ip link set NAME master %s up) "
            "and say tap,ifname=NAME",
            ifname, bridge, (unsigned)geteuid(), bridge);
    if (why == EOPNOTSUPP || why == EINVAL)
        return net_fail(error, why, "%s is no bridge; name one with br=", bridge);
    return net_fail(error, why, "making %s a port of %s: %s", ifname, bridge, g_strerror(why));
}

/* Opens a TAP by a helper (NULL: here), and makes it a port of a bridge (NULL: of none). */
static struct net_port *open_tap(const char *id, struct loop *loop, struct net_tap_config *config,
                                 const char *helper, const char *bridge, const char *script, GError **error)
{
    if (helper) {
        config->fd = ask_helper(helper, bridge ? bridge : default_bridge, error);
        if (config->fd < 0)
            return NULL;
    }
    struct net_port *port = net_tap_new(id, loop, config, error);
    if (!port) {
        if (helper)
            close(config->fd);
        return NULL;
    }
    const char *ifname = net_tap_ifname(port);
    if ((bridge && !helper && !join_bridge(ifname, bridge, error)) ||
        (script && !net_tap_script(script, ifname, error))) {
        net_port_free(port);
        return NULL;
    }
    return port;
}

static struct net_port *tap_open(const char *id, const struct keyval *kv, const struct net_env *env,
                                 GError **error)
{
    int fd;
    if (!passed_fd(kv, &fd, error) || (named(kv, "downscript") && !net_may_run(env, "downscript=", error)))
        return NULL;
    struct net_tap_config config = {.ifname = keyval_string(kv, "ifname", ""),
                                    .fd = fd,
                                    .vnet_hdr =
                                        keyval_has(kv, "vnet_hdr") ? keyval_bool(kv, "vnet_hdr", false) : -1,
                                    .sndbuf = keyval_number(kv, "sndbuf", 0),
                                    .down_script = named(kv, "downscript")};
    return open_tap(id, env->loop, &config, keyval_string(kv, "helper", NULL), keyval_string(kv, "br", NULL),
                    named(kv, "script"), error);
}

static struct net_port *bridge_open(const char *id, const struct keyval *kv, const struct net_env *env,
                                    GError **error)
{
    struct net_tap_config config = {.ifname = "", .fd = -1, .vnet_hdr = -1};
    return open_tap(id, env->loop, &config, keyval_string(kv, "helper", NULL),
                    keyval_string(kv, "br", default_bridge), NULL, error);
}

const struct net_kind net_kind_tap = {.name = "tap",
                                      .help = "a TAP interface of the host",
                                      .rows = tap_rows,
                                      .row_count = G_N_ELEMENTS(tap_rows),
                                      .check = tap_check,
                                      .open = tap_open};

const struct net_kind net_kind_bridge = {.name = "bridge",
                                         .help = "a TAP that is a port of a bridge of the host",
                                         .rows = bridge_rows,
                                         .row_count = G_N_ELEMENTS(bridge_rows),
                                         .check = bridge_check,
                                         .open = bridge_open};
