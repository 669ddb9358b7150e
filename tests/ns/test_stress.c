/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Many and at once: two processes that want the same names, 200 TAPs in one bridge, names as long as they
 * get, a dump while everything changes, handles in several threads.
 */
#include "hostnet/dump.h"
#include "hostnet/monitor.h"
#include "hostnet/namespace.h"
#include "hostnet/probe.h"
#include "hostnet/snapshot.h"
#include "hostnet/sysctl.h"
#include "ns_harness.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TAPS = 200, NAMES = 100, ROUNDS = 5, SECONDS_OF_CHANGE = 3 };

/* ---- two processes, the same names ---- */

/* Makes all names it can get, `claims` says which; 0, or what went wrong. */
static int claim_names(struct hostnet *shared, unsigned who, unsigned *claimed)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = hostnet_open_fd(hostnet_get_netns_fd(shared), &error);
    g_autofree char *mark = g_strdup_printf("netlab:lab%u:x", who);
    *claimed = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        char name[16];
        g_snprintf(name, sizeof name, "nl%u", i);
        struct hostnet_link_identity identity;
        bool made;
        if (i % 2) {
            struct hostnet_bridge_spec spec = {.link = {.name = name, .mark = mark, .up = true}};
            made = hostnet_bridge_create(net, &spec, &identity, &error);
        } else {
            struct hostnet_tap_spec spec = {.link = {.name = name, .mark = mark, .up = true},
                                            .persistent = true};
            int fd = hostnet_tap_create(net, &spec, &identity, &error);
            made = fd >= 0;
            if (made)
                close(fd);
        }
        if (made) {
            ++*claimed;
            continue;
        }
        if (!g_error_matches(error, HOSTNET_ERROR, HOSTNET_ERROR_EXISTS)) {
            fprintf(stderr, "# %s\n", error->message);
            return 1;
        }
        g_clear_error(&error);
    }
    return 0;
}

static void test_same_names(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        GError *error = NULL;
        g_autoptr(hostnet) net = ns_new();
        int go[2], say[2];
        g_assert_cmpint(pipe(go), ==, 0);
        g_assert_cmpint(pipe(say), ==, 0);
        pid_t children[2];
        for (unsigned who = 0; who < 2; who++) {
            children[who] = fork();
            if (children[who] == 0) {
                char byte;
                unsigned claimed[2] = {who};
                close(go[1]);
                (void)!read(go[0], &byte, 1); /* both start when the parent closes its end */
                int result = claim_names(net, who, &claimed[1]);
                _exit(write(say[1], claimed, sizeof claimed) == sizeof claimed ? result : 2);
            }
        }
        close(go[0]);
        close(go[1]);
        unsigned claimed[2] = {};
        for (unsigned i = 0; i < 2; i++) {
            unsigned message[2];
            g_assert_cmpint(read(say[0], message, sizeof message), ==, sizeof message);
            claimed[message[0]] = message[1];
        }
        for (unsigned who = 0; who < 2; who++) {
            int status;
            g_assert_cmpint(waitpid(children[who], &status, 0), ==, children[who]);
            g_assert_true(WIFEXITED(status));
            g_assert_cmpint(WEXITSTATUS(status), ==, 0);
        }
        close(say[0]);
        close(say[1]);
        /* Every name exists once, and carries the mark of exactly the one who was told that it is his. */
        g_assert_cmpuint(claimed[0] + claimed[1], ==, NAMES);
        for (unsigned who = 0; who < 2; who++) {
            g_autofree char *lab = g_strdup_printf("lab%u", who);
            g_autoptr(GPtrArray) links = hostnet_link_list_marked(net, lab, &error);
            g_assert_cmpuint(links->len, ==, claimed[who]);
            for (unsigned i = 0; i < links->len; i++) {
                const struct hostnet_link *link = links->pdata[i];
                g_assert_true(link->up);
            }
        }
        g_test_message("round %u: %u and %u names", round, claimed[0], claimed[1]);
    }
}

/* ---- 200 TAPs ---- */

static void test_many_taps(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    gint64 start = g_get_monotonic_time();
    struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    struct hostnet_link_identity taps[TAPS];
    int fds[TAPS];
    for (unsigned i = 0; i < TAPS; i++) {
        g_autofree char *name = g_strdup_printf("nlt%08x", i * 2654435761u);
        g_autofree char *mark = g_strdup_printf("netlab:lab:a-rather-long-node-name-%u eth0", i);
        taps[i] = ns_tap(net, name, mark, bridge.index, i % 2, &fds[i]);
    }
    gint64 made = g_get_monotonic_time();
    g_autoptr(GPtrArray) ports = hostnet_bridge_list_ports(net, bridge.index, &error);
    g_assert_cmpuint(ports->len, ==, TAPS);
    for (unsigned i = 0; i < TAPS; i++) {
        g_autoptr(hostnet_link) link = hostnet_link_find_mark(net, taps[i].mark, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(link->index, ==, taps[i].index);
    }
    gint64 found = g_get_monotonic_time();
    g_autofree char *text = ns_snapshot(net);
    gint64 taken = g_get_monotonic_time();
    for (unsigned i = 0; i < TAPS; i++) {
        close(fds[i]);
        g_assert_true(hostnet_link_delete(net, &taps[i], &error));
        g_assert_no_error(error);
    }
    g_assert_true(hostnet_link_delete(net, &bridge, &error));
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
    g_test_message(
        "%d TAPs: made in %.0f ms, each found by mark in %.1f ms, snapshot of %zu KiB in %.0f ms, removed "
        "in %.0f ms",
        TAPS, (double)(made - start) / 1000, (double)(found - made) / 1000 / TAPS, strlen(text) / 1024,
        (double)(taken - found) / 1000, (double)(g_get_monotonic_time() - taken) / 1000);
}

/* ---- names as long as they get ---- */

static void test_long_names(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *human = g_strnfill(HOSTNET_MARK_MAX - strlen("netlab:lab:"), 'h');
    g_autofree char *mark = hostnet_mark_format("lab", human, &error);
    g_autofree char *altname = g_strnfill(HOSTNET_ALTNAME_MAX, 'a');
    struct hostnet_bridge_spec spec = {.link = {.name = "fifteen-letters", .mark = mark, .altname = altname}};
    struct hostnet_link_identity identity;
    g_assert_true(hostnet_bridge_create(net, &spec, &identity, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(strlen(identity.mark), ==, HOSTNET_MARK_MAX);
    g_autoptr(hostnet_link) link = hostnet_link_find(net, altname, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(link->mark, ==, mark);
    g_assert_cmpstr(link->name, ==, "fifteen-letters");
    g_autofree char *text = hostnet_identity_format(&identity);
    struct hostnet_link_identity parsed;
    g_assert_true(hostnet_identity_parse(text, &parsed, &error));
    g_assert_true(hostnet_link_delete(net, &parsed, &error));
    g_assert_no_error(error);
    /* Names with everything that the kernel lets through. */
    struct hostnet_bridge_spec odd = {.link = {.name = "a\"b'c\\d$e`f",
                                               .mark = "netlab:lab:Zürich → \"Bern\"; $(x)",
                                               .altname = "Zürich-\"Bern\""}};
    g_assert_true(hostnet_bridge_create(net, &odd, &identity, &error));
    g_assert_no_error(error);
    g_autoptr(hostnet_link) found = hostnet_link_find(net, "Zürich-\"Bern\"", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(found->mark, ==, odd.link.mark);
    g_assert_true(hostnet_link_delete(net, &identity, &error));
}

/* ---- looking while everything changes ---- */

struct changer {
    int netns_fd;
    gint stop;
    unsigned changes;
};

static gpointer keep_changing(gpointer opaque)
{
    struct changer *changer = opaque;
    g_autoptr(hostnet) net = hostnet_open_fd(changer->netns_fd, NULL);
    while (net && !g_atomic_int_get(&changer->stop)) {
        struct hostnet_link_identity identities[8];
        for (unsigned i = 0; i < G_N_ELEMENTS(identities); i++) {
            char name[16];
            g_snprintf(name, sizeof name, "nlx%u", i);
            struct hostnet_bridge_spec spec = {.link = {.name = name, .mark = "netlab:lab:x", .up = true}};
            if (hostnet_bridge_create(net, &spec, &identities[i], NULL))
                changer->changes++;
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(identities); i++)
            hostnet_link_delete(net, &identities[i], NULL);
    }
    return NULL;
}

static void test_dumps_under_change(void)
{
    g_autoptr(hostnet) net = ns_new();
    for (unsigned i = 0; i < 60; i++) {
        char name[16];
        g_snprintf(name, sizeof name, "nlstay%u", i);
        ns_bridge(net, name, "netlab:lab:stay");
    }
    struct changer changer = {.netns_fd = hostnet_get_netns_fd(net)};
    GThread *thread = g_thread_new("changer", keep_changing, &changer);
    gint64 deadline = g_get_monotonic_time() + SECONDS_OF_CHANGE * G_USEC_PER_SEC;
    unsigned lists = 0, too_busy = 0;
    while (g_get_monotonic_time() < deadline) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) links = hostnet_link_list(net, &error);
        if (!links) {
            /* It may give up, with that reason; it may not lie. */
            g_assert_error(error, HOSTNET_ERROR, HOSTNET_ERROR_BUSY);
            too_busy++;
            continue;
        }
        lists++;
        unsigned staying = 0;
        for (unsigned i = 0; i < links->len; i++) {
            const struct hostnet_link *link = links->pdata[i];
            staying += g_str_has_prefix(link->name, "nlstay");
            if (i)
                g_assert_cmpuint(((struct hostnet_link *)links->pdata[i - 1])->index, <, link->index);
        }
        g_assert_cmpuint(staying, ==, 60); /* none lost, none twice */
        g_autoptr(GError) raw_error = NULL;
        g_autoptr(GBytes) raw = hostnet_dump_take(net, HOSTNET_DUMP_LINKS, &raw_error);
        if (!raw)
            g_assert_error(raw_error, HOSTNET_ERROR, HOSTNET_ERROR_BUSY);
    }
    g_atomic_int_set(&changer.stop, 1);
    g_thread_join(thread);
    g_test_message("%u lists, %u given up as too busy, during %u changes", lists, too_busy, changer.changes);
    g_assert_cmpuint(lists, >, 0);
    g_assert_cmpuint(changer.changes, >, 0);
}

/* ---- handles in several threads ---- */

static gpointer work_alone(gpointer opaque)
{
    /* Each thread its own namespace, entered and left again for each TAP. */
    g_autoptr(hostnet) net = ns_new();
    for (unsigned i = 0; i < 20; i++) {
        int fd;
        struct hostnet_link_identity tap = ns_tap(net, "nlt1", "netlab:lab:h1", 0, false, &fd);
        g_autoptr(GPtrArray) links = hostnet_link_list_marked(net, NULL, NULL);
        g_assert_cmpuint(links->len, ==, 1);
        g_assert_cmpuint(((struct hostnet_link *)links->pdata[0])->index, ==, tap.index);
        close(fd);
    }
    return NULL;
}

static void test_threads(void)
{
    g_autoptr(hostnet) here = hostnet_open(NULL);
    g_autofree char *before = ns_snapshot(here);
    GThread *threads[6];
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("worker", work_alone, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    g_autofree char *after = ns_snapshot(here);
    ns_assert_same(before, after);
}

/* ---- signals at every moment ---- */

static void ignore_signal(int number)
{
}

static void test_signals(void)
{
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    struct sigaction action = {.sa_handler = ignore_signal},
                     old; /* no SA_RESTART: system calls are interrupted */
    g_assert_cmpint(sigaction(SIGUSR1, &action, &old), ==, 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_t timer;
    g_assert_cmpint(timer_create(CLOCK_MONOTONIC, &event, &timer), ==, 0);
    struct itimerspec often = {.it_value.tv_nsec = 150000, .it_interval.tv_nsec = 150000};
    g_assert_cmpint(timer_settime(timer, 0, &often, NULL), ==, 0);
    for (unsigned i = 0; i < 30; i++) {
        GError *error = NULL;
        struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
        struct hostnet_link_identity tap = ns_tap(net, "nlt1", "netlab:lab:h1", bridge.index, true, NULL);
        g_autoptr(GPtrArray) links = hostnet_link_list_marked(net, "lab", &error);
        g_assert_no_error(error);
        g_assert_cmpuint(links->len, ==, 2);
        g_autofree char *text = hostnet_snapshot_take(net, 0, &error);
        g_assert_no_error(error);
        g_assert_true(hostnet_link_delete(net, &tap, &error) && hostnet_link_delete(net, &bridge, &error));
        g_assert_no_error(error);
    }
    timer_delete(timer);
    sigaction(SIGUSR1, &old, NULL);
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
}

/* ---- no file descriptors left ---- */

static unsigned count_fds(void)
{
    unsigned count = 0;
    g_autoptr(GDir) folder = g_dir_open("/proc/self/fd", 0, NULL);
    while (g_dir_read_name(folder))
        count++;
    return count - 1; /* the folder's own */
}

/* Everything that opens something, once. False with the first error. */
static bool open_everything(struct hostnet *net, GError **error)
{
    struct hostnet_tap_spec spec = {.link = {.name = "nlt1", .mark = "netlab:lab:h1"}};
    int fd = hostnet_tap_create(net, &spec, NULL, error);
    if (fd < 0)
        return false;
    close(fd);
    int net_fd = hostnet_namespace_create_net(error);
    if (net_fd < 0)
        return false;
    struct hostnet *other = hostnet_open_fd(net_fd, error);
    close(net_fd);
    if (!other)
        return false;
    hostnet_close(other);
    g_autofree char *text = hostnet_snapshot_take(net, 0, error);
    if (!text)
        return false;
    int user_fd;
    if (!hostnet_namespace_create_rootless(&user_fd, &net_fd, error))
        return false;
    close(user_fd);
    close(net_fd);
    struct hostnet_probe probe;
    struct hostnet_monitor *monitor = hostnet_monitor_open(net, HOSTNET_MONITOR_LINKS, NULL, NULL, error);
    if (!monitor)
        return false;
    hostnet_monitor_close(monitor);
    g_autofree char *value = hostnet_sysctl_get(net, "net/ipv4/ip_forward", error);
    return value && hostnet_probe_run(&probe, error);
}

static void test_no_fds(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    int user_fd, net_fd;
    if (!hostnet_namespace_create_rootless(&user_fd, &net_fd, &error)) {
        g_test_skip(error->message);
        g_clear_error(&error);
        return;
    }
    close(user_fd);
    close(net_fd);
    g_assert_true(open_everything(net, &error)); /* what is opened once and kept, is now */
    g_assert_no_error(error);
    unsigned open_before = count_fds();
    struct rlimit old, limit;
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &old), ==, 0);
    int highest = dup(0);
    close(highest);
    unsigned refusals = 0;
    bool done = false;
    for (unsigned room = 0; !done && room < 30; room++) {
        limit = (struct rlimit){.rlim_cur = (rlim_t)highest + room, .rlim_max = old.rlim_max};
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
        done = open_everything(net, &error);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &old), ==, 0);
        if (!done) {
            g_test_message("room for %u: %s", room, error->message);
            g_assert_error(error, HOSTNET_ERROR, HOSTNET_ERROR_LIMIT);
            g_clear_error(&error);
            refusals++;
        }
        g_assert_cmpuint(count_fds(), ==, open_before); /* nothing leaks on the way out */
        g_autofree char *after = ns_snapshot(net);
        ns_assert_same(before, after);
    }
    g_assert_true(done);
    g_assert_cmpuint(refusals, >=, 2);
}

int main(int argc, char **argv)
{
    ns_test_init(&argc, &argv);
    g_test_add_func("/stress/same-names", test_same_names);
    g_test_add_func("/stress/many-taps", test_many_taps);
    g_test_add_func("/stress/long-names", test_long_names);
    g_test_add_func("/stress/dumps-under-change", test_dumps_under_change);
    g_test_add_func("/stress/threads", test_threads);
    g_test_add_func("/stress/signals", test_signals);
    g_test_add_func("/stress/no-fds", test_no_fds);
    return g_test_run();
}
