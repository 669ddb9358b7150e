/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See link_manager.h. The services are asked by their own programs, and only when systemd says that they run:
 * starting nmcli would otherwise tell of a daemon that nobody uses. The programs run in the host's network
 * namespace, for networkctl looks the interface's index up by itself.
 */
#include "netlab/link_manager.h"
#include "hostnet/link.h"
#include "hostnet/namespace.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PROGRAM_MS = 10000,
    ANSWER_MOST = 255,
    /* NMDeviceState of NetworkManager's D-Bus interface: from "prepare" to before "activated", and going down. */
    NM_PREPARE = 40,
    NM_ACTIVATED = 100,
    NM_DEACTIVATING = 110,
};

static bool is_of_first_process(const struct hostnet *host)
{
    struct stat ours, first;
    return fstat(hostnet_get_netns_fd(host), &ours) == 0 && stat("/proc/1/ns/net", &first) == 0 &&
           ours.st_ino == first.st_ino && ours.st_dev == first.st_dev;
}

/* In the child. */
static void enter(void *opaque)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!hostnet_namespace_join(-1, *(int *)opaque, NULL))
        _exit(126);
}

/* Waits for it, or ends it. */
static int wait_for(pid_t pid)
{
    int status = 0, fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    gint64 deadline = g_get_monotonic_time() + PROGRAM_MS * 1000;
    int ready = -1;
    errno = EINTR;
    while (fd >= 0 && ready < 0 && errno == EINTR) {
        gint64 left = (deadline - g_get_monotonic_time()) / 1000;
        ready = poll(&ended, 1, (int)MAX(left, 0));
    }
    if (fd >= 0) {
        if (ready <= 0)
            kill(pid, SIGKILL);
        close(fd);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Its exit status; -1 when there is no such program. The first ANSWER_MOST bytes of what it writes go to
 * `answer` (may be NULL), which a program of one short line never fills. */
static int run(struct hostnet *host, const char *const *words, char *answer)
{
    pid_t pid;
    int netns = hostnet_get_netns_fd(host), out = -1;
    GSpawnFlags flags = G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL |
                        (answer ? 0 : G_SPAWN_STDOUT_TO_DEV_NULL);
    g_autofree char *path = g_find_program_in_path(words[0]);
    if (!path || !g_spawn_async_with_pipes("/", (char **)words, NULL, flags, enter, &netns, &pid, NULL,
                                           answer ? &out : NULL, NULL, NULL))
        return -1;
    int status = wait_for(pid);
    if (answer) {
        ssize_t got = read(out, answer, ANSWER_MOST);
        answer[MAX(got, 0)] = 0;
        close(out);
    }
    return status;
}

static bool nm_works_on(struct hostnet *host, const char *nic)
{
    char answer[ANSWER_MOST + 1];
    const char *ask[] = {"nmcli", "-g", "GENERAL.STATE", "device", "show", nic, NULL};
    if (run(host, ask, answer) != 0)
        return false;
    long state = strtol(answer, NULL, 10); /* "70 (connecting (getting IP configuration))" */
    return (state >= NM_PREPARE && state < NM_ACTIVATED) || state == NM_DEACTIVATING;
}

/* By its state file, which sd_network_link_get_setup_state() of systemd reads too. */
static bool networkd_works_on(struct hostnet *host, const char *nic)
{
    g_autoptr(hostnet_link) link = hostnet_link_find(host, nic, NULL);
    g_autofree char *path = g_strdup_printf("/run/systemd/netif/links/%u", link ? link->index : 0), *text = NULL;
    if (!link || !g_file_get_contents(path, &text, NULL, NULL))
        return false;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    return g_strv_contains((const char *const *)lines, "ADMIN_STATE=pending") ||
           g_strv_contains((const char *const *)lines, "ADMIN_STATE=configuring");
}

static const struct manager {
    const char *service, *program;
    const char *words[2];  /* before the NIC's name */
    const char *reload[3]; /* to read its files again */
    bool (*is_at_work)(struct hostnet *host, const char *nic);
} managers[] = {
    {"NetworkManager", "nmcli", {"device", "reapply"}, {"general", "reload", "conf"}, nm_works_on},
    {"systemd-networkd", "networkctl", {"reconfigure", NULL}, {"reload", NULL, NULL}, networkd_works_on},
};

static bool is_active(struct hostnet *host, const char *service)
{
    const char *look[] = {"systemctl", "is-active", "--quiet", service, NULL};
    return run(host, look, NULL) == 0;
}

bool link_manager_runs(struct hostnet *host, const char *service)
{
    return is_of_first_process(host) && is_active(host, service);
}

bool link_manager_reload(struct hostnet *host, const char *service)
{
    if (!link_manager_runs(host, service))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(managers); i++) {
        const struct manager *manager = &managers[i];
        const char *ask[] = {manager->program, manager->reload[0], manager->reload[1], manager->reload[2],
                             NULL};
        if (g_str_equal(manager->service, service))
            return run(host, ask, NULL) == 0;
    }
    return false;
}

const char *link_manager_at_work(struct hostnet *host, const char *nic)
{
    if (!is_of_first_process(host))
        return NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(managers); i++)
        if (is_active(host, managers[i].service) && managers[i].is_at_work(host, nic))
            return managers[i].service;
    return NULL;
}

bool link_manager_reapply(struct hostnet *host, const char *nic, GPtrArray *notes)
{
    bool was_asked = false;
    if (!is_of_first_process(host))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(managers); i++) {
        const struct manager *manager = &managers[i];
        const char *ask[] = {manager->program, manager->words[0], manager->words[1] ? manager->words[1] : nic,
                             manager->words[1] ? nic : NULL, NULL};
        if (!is_active(host, manager->service))
            continue;
        g_autofree char *command = g_strjoinv(" ", (char **)ask);
        int status = run(host, ask, NULL);
        was_asked = was_asked || status == 0;
        if (!notes)
            continue;
        if (status == 0)
            g_ptr_array_add(notes, g_strdup_printf("%s was asked to set up %s again (`%s`)", manager->service,
                                                   nic, command));
        else
            g_ptr_array_add(notes, g_strdup_printf("%s was asked to set up %s again, but `%s` %s; try it by "
                                                   "hand",
                                                   manager->service, nic, command,
                                                   status < 0 ? "could not be run" : "failed"));
    }
    return was_asked;
}
