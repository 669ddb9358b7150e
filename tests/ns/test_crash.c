/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The process is killed at every single system call of making and taking down a small lab; whatever it was
 * doing, all that is left carries our mark, goes by its mark alone, and then the namespace is what it was.
 *
 * The child is traced: it stops before and after each of its system calls, and at the nth stop it gets
 * SIGKILL. n counts up until the child ends by itself. Nothing is sampled.
 */
#include "hostnet/route.h"
#include "ns_harness.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STOPS_AT_MOST = 20000, SECONDS = 500 };

/* The life of a lab, in the namespace `net`: a bridge, a persistent TAP in it, a veth pair, an address, a
 * route; then all of it away again. Exit status. */
static int live(struct hostnet *net, struct hostnet *far_net)
{
    struct hostnet_link_identity bridge, tap, near_end, far_end;
    struct hostnet_bridge_spec bridge_spec = {.link = {.name = "nlb1",
                                                       .mark = "netlab:lab:lan",
                                                       .altname = "lab-lan",
                                                       .up = true,
                                                       .no_ipv6_address = true}};
    if (!hostnet_identity_plan(net, "nlb1", "netlab:lab:lan", &bridge, NULL))
        return 1;
    bridge_spec.link.index = bridge.index;
    if (!hostnet_bridge_create(net, &bridge_spec, NULL, NULL))
        return 2;
    struct hostnet_tap_spec tap_spec = {.link = {.name = "nlt1",
                                                 .mark = "netlab:lab:h1",
                                                 .altname = "lab-h1",
                                                 .master = bridge.index,
                                                 .up = true,
                                                 .no_ipv6_address = true},
                                        .persistent = true,
                                        .has_owner = true,
                                        .owner = geteuid()};
    int fd = hostnet_tap_create(net, &tap_spec, &tap, NULL);
    if (fd < 0)
        return 3;
    struct hostnet_link_spec near_spec = {.name = "nlv0",
                                          .mark = "netlab:lab:v0",
                                          .up = true,
                                          .no_ipv6_address = true},
                             far_spec = {.name = "nlv1",
                                         .mark = "netlab:lab:v1",
                                         .up = true,
                                         .master = bridge.index,
                                         .no_ipv6_address = true};
    if (!hostnet_veth_create(net, &near_spec, net, &far_spec, &near_end, &far_end, NULL))
        return 4;
    struct hostnet_link_address address = {.index = bridge.index, .default_broadcast = true};
    struct hostnet_route route = {.index = bridge.index};
    if (!hostnet_prefix_parse("10.1.0.1/24", false, &address.local, NULL) ||
        !hostnet_address_add(net, &address, NULL) ||
        !hostnet_prefix_parse("10.2.0.0/16", false, &route.destination, NULL) ||
        !hostnet_address_parse("10.1.0.2", &route.gateway, NULL) || !hostnet_route_add(net, &route, NULL))
        return 5;
    close(fd);
    if (!hostnet_route_remove(net, &route, NULL) || !hostnet_address_remove(net, &address, NULL) ||
        !hostnet_link_delete(net, &near_end, NULL) || !hostnet_link_delete(net, &tap, NULL) ||
        !hostnet_link_delete(net, &bridge, NULL))
        return 6;
    return 0;
}

/* A veth pair into another namespace, and away again. */
static int live_across(struct hostnet *net, struct hostnet *far_net)
{
    struct hostnet_link_identity near_end;
    struct hostnet_link_spec near_spec = {.name = "nlv0", .mark = "netlab:lab:v0", .up = true},
                             far_spec = {
                                 .name = "nlv1", .mark = "netlab:lab:v1", .altname = "far", .up = true};
    if (!hostnet_veth_create(net, &near_spec, far_net, &far_spec, &near_end, NULL, NULL))
        return 1;
    return hostnet_link_delete(net, &near_end, NULL) ? 0 : 2;
}

typedef int (*life_function)(struct hostnet *net, struct hostnet *far_net);

/* Runs the child to its nth stop and kills it there. True when the child ended by itself before (status 0).
 */
static bool run_to_stop(struct hostnet *net, struct hostnet *far_net, life_function life, unsigned stop)
{
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(77);
        raise(SIGSTOP);
        _exit(life(net, far_net));
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        g_test_skip("processes may not be traced here");
        return true;
    }
    g_assert_true(WIFSTOPPED(status));
    ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(uintptr_t)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD));
    for (unsigned at = 0; at < stop; at++) {
        g_assert_cmpint(ptrace(PTRACE_SYSCALL, child, NULL, NULL), ==, 0);
        g_assert_cmpint(waitpid(child, &status, 0), ==, child);
        if (WIFEXITED(status)) {
            g_assert_cmpint(WEXITSTATUS(status), ==, 0);
            return true;
        }
        g_assert_true(WIFSTOPPED(status));
    }
    kill(child, SIGKILL);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFSIGNALED(status));
    return false;
}

/* What `repair` does when the store is lost: goes by the marks alone. Everything that is there must have one.
 */
static unsigned clean_by_marks(struct hostnet *net, unsigned stop)
{
    GError *error = NULL;
    unsigned removed = 0;
    g_autoptr(GPtrArray) links = hostnet_link_list(net, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < links->len; i++) {
        const struct hostnet_link *link = links->pdata[i];
        g_autofree char *lab = NULL;
        if (link->index < 1 << 20)
            continue; /* the namespace's own: loopback and fall-back tunnels */
        if (!link->mark || !hostnet_mark_parse(link->mark, &lab, NULL) || strcmp(lab, "lab") != 0)
            g_error("killed at stop %u: link %s is left without a mark", stop, link->name);
        struct hostnet_link_identity identity;
        hostnet_link_get_identity(net, link, &identity);
        g_assert_true(hostnet_link_delete(net, &identity, &error));
        g_assert_no_error(error);
        removed++;
    }
    return removed;
}

static void kill_everywhere(struct hostnet *net, struct hostnet *far_net, life_function life,
                            unsigned at_least)
{
    bool is_two = far_net != net;
    g_autofree char *before = ns_snapshot(net), *far_before = is_two ? ns_snapshot(far_net) : NULL;
    gint64 deadline = g_get_monotonic_time() + SECONDS * G_USEC_PER_SEC;
    unsigned stop = 1, left = 0;
    bool done = false;
    for (; !done && stop < STOPS_AT_MOST; stop++) {
        done = run_to_stop(net, far_net, life, stop);
        left += clean_by_marks(net, stop) > 0;
        g_autofree char *after = ns_snapshot(net), *far_after = is_two ? ns_snapshot(far_net) : NULL;
        ns_assert_same(before, after);
        if (is_two)
            ns_assert_same(far_before, far_after);
        if (g_get_monotonic_time() > deadline)
            g_error("only %u stops in %d s", stop, SECONDS);
    }
    g_assert_true(done);
    g_test_message("killed at %u stops, in %u of them something was left and removed by its mark", stop - 2,
                   left);
    g_assert_true(left >= at_least || stop == 2);
}

static void test_killed_everywhere(void)
{
    g_autoptr(hostnet) net = ns_new();
    kill_everywhere(net, net, live, 10);
}

/* The far end goes with the near end, which alone is cleaned up. */
static void test_killed_across(void)
{
    g_autoptr(hostnet) net = ns_new();
    g_autoptr(hostnet) far_net = ns_new();
    kill_everywhere(net, far_net, live_across, 3);
}

int main(int argc, char **argv)
{
    ns_test_init(&argc, &argv);
    g_test_add_func("/crash/killed-everywhere", test_killed_everywhere);
    g_test_add_func("/crash/killed-across", test_killed_across);
    return g_test_run();
}
