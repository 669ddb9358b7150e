/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Namespaces: made, entered, held by processes alone, gone with them; refusals with their reasons. And the
 * probe and the sysctls, which are about namespaces too.
 */
#include "hostnet/namespace.h"
#include "hostnet/probe.h"
#include "hostnet/sysctl.h"
#include "ns_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `body` in a child and gives its exit status; 77 is a skip. */
static int in_child(int (*body)(void *opaque), void *opaque)
{
    pid_t child = fork();
    if (child == 0)
        _exit(body(opaque));
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_create_net(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) here = hostnet_open(&error);
    g_autoptr(hostnet) net = ns_new();
    g_autoptr(hostnet) other = ns_new();
    g_assert_false(hostnet_same_namespace(here, net));
    g_assert_false(hostnet_same_namespace(other, net));
    g_assert_true(hostnet_same_namespace(net, net));
    g_assert_cmpuint(hostnet_get_netns_cookie(net), !=, hostnet_get_netns_cookie(other));
    g_assert_cmpuint(strlen(hostnet_get_boot_id(net)), ==, 36);
    g_autoptr(hostnet_link) loopback = hostnet_link_find(net, "lo", &error);
    g_assert_true(loopback->up);
    g_assert_true(hostnet_namespace_loopback_up(net, &error)); /* twice is once */
    g_assert_cmpint(loopback->kind, ==, HOSTNET_LINK_LOOPBACK);
    /* The caller did not move. */
    g_autoptr(hostnet) again = hostnet_open(&error);
    g_assert_true(hostnet_same_namespace(here, again));
    g_assert_null(hostnet_open_fd(-1, &error));
    g_assert_error(error, HOSTNET_ERROR, HOSTNET_ERROR_KERNEL);
    g_clear_error(&error);
    g_assert_null(hostnet_open_fd(0, &error)); /* open, but no namespace */
    g_assert_nonnull(error);
    g_clear_error(&error);
}

/* ---- rootless ---- */

static int work_in_rootless(void *opaque)
{
    const int *fds = opaque;
    GError *error = NULL;
    if (!hostnet_namespace_join(fds[0], fds[1], &error)) {
        fprintf(stderr, "# %s\n", error->message);
        return 1;
    }
    if (geteuid() != 0 || !hostnet_namespace_is_rootless())
        return 2;
    struct hostnet *net = hostnet_open(&error);
    struct hostnet_bridge_spec spec = {.link = {.name = "nlb1", .mark = "netlab:lab:lan", .up = true}};
    struct hostnet_tap_spec tap = {.link = {.name = "nlt1", .mark = "netlab:lab:h1"}};
    struct hostnet_link_identity bridge;
    if (!net || !hostnet_bridge_create(net, &spec, &bridge, &error)) {
        fprintf(stderr, "# %s\n", error->message);
        return 3;
    }
    tap.link.master = bridge.index;
    if (hostnet_tap_create(net, &tap, NULL, &error) < 0) {
        fprintf(stderr, "# %s\n", error->message);
        return 4;
    }
    struct hostnet_link *loopback = hostnet_link_find(net, "lo", &error);
    if (!loopback || !loopback->up)
        return 5;
    /* A second join changes nothing. */
    return hostnet_namespace_join(fds[0], fds[1], &error) ? 0 : 6;
}

static void test_rootless(void)
{
    GError *error = NULL;
    int fds[2];
    if (!hostnet_namespace_create_rootless(&fds[0], &fds[1], &error)) {
        g_test_skip(error->message);
        g_clear_error(&error);
        return;
    }
    g_assert_cmpint(in_child(work_in_rootless, fds), ==, 0);
    /* The bridge is still there: the fds hold the namespace. A second visitor finds it. */
    g_assert_cmpint(in_child(work_in_rootless, fds), ==, 3);
    close(fds[0]);
    close(fds[1]);
}

static int unshare_in_thread_company(void *opaque)
{
    GError *error = NULL;
    if (hostnet_namespace_unshare(HOSTNET_NAMESPACE_USER | HOSTNET_NAMESPACE_NET, &error))
        return 1;
    return g_error_matches(error, HOSTNET_ERROR, HOSTNET_ERROR_INVALID) && strstr(error->message, "2 threads")
               ? 0
               : 2;
}

static gpointer wait_for_close(gpointer opaque)
{
    char byte;
    (void)!read(GPOINTER_TO_INT(opaque), &byte, 1);
    return NULL;
}

static int with_a_thread(void *opaque)
{
    int ends[2];
    if (pipe(ends) < 0)
        return 3;
    GThread *thread = g_thread_new("company", wait_for_close, GINT_TO_POINTER(ends[0]));
    int result = unshare_in_thread_company(NULL);
    /* A network namespace alone can be made with threads about. */
    int fd = hostnet_namespace_create_net(NULL);
    /* And a rootless one by a child, from a program with threads. */
    int user_fd = -1, net_fd = -1;
    if (fd < 0 || !hostnet_namespace_create_rootless(&user_fd, &net_fd, NULL))
        result = 4;
    close(ends[1]);
    g_thread_join(thread);
    return result;
}

static void test_threads(void)
{
    g_autoptr(GError) error = NULL;
    int user_fd, net_fd;
    if (!hostnet_namespace_create_rootless(&user_fd, &net_fd, &error)) {
        g_test_skip(error->message);
        return;
    }
    close(user_fd);
    close(net_fd);
    g_assert_cmpint(in_child(with_a_thread, NULL), ==, 0);
}

/* In a user namespace of our own, limits can be set that stand in the way. */
static int against_limits(void *opaque)
{
    GError *error = NULL;
    if (!hostnet_namespace_unshare(HOSTNET_NAMESPACE_USER | HOSTNET_NAMESPACE_NET, &error))
        return 77;
    int user_fd, net_fd;
    if (!g_file_set_contents_full("/proc/sys/user/max_user_namespaces", "0", 1, G_FILE_SET_CONTENTS_NONE,
                                  0644, NULL))
        return 77;
    if (hostnet_namespace_create_rootless(&user_fd, &net_fd, &error))
        return 1;
    fprintf(stderr, "# %s\n", error->message);
    if (!g_error_matches(error, HOSTNET_ERROR, HOSTNET_ERROR_LIMIT) ||
        !strstr(error->message, "user.max_user_namespaces` is 0"))
        return 2;
    g_clear_error(&error);
    if (!g_file_set_contents_full("/proc/sys/user/max_net_namespaces", "0", 1, G_FILE_SET_CONTENTS_NONE, 0644,
                                  NULL))
        return 77;
    if (hostnet_namespace_create_net(&error) >= 0)
        return 3;
    fprintf(stderr, "# %s\n", error->message);
    if (!g_error_matches(error, HOSTNET_ERROR, HOSTNET_ERROR_LIMIT) ||
        !strstr(error->message, "user.max_net_namespaces` is 0"))
        return 4;
    /* The probe says so too, and goes on. */
    struct hostnet_probe probe;
    g_clear_error(&error);
    if (!hostnet_probe_run(&probe, &error) || probe.features[HOSTNET_FEATURE_USER_NAMESPACE].works ||
        probe.features[HOSTNET_FEATURE_NET_NAMESPACE].works || probe.features[HOSTNET_FEATURE_BRIDGE].works ||
        !probe.features[HOSTNET_FEATURE_NET_ADMIN].works || !*probe.features[HOSTNET_FEATURE_BRIDGE].reason)
        return 5;
    return hostnet_probe_require(&probe, HOSTNET_FEATURE_USER_NAMESPACE, &error) ? 6 : 0;
}

static void test_limits(void)
{
    int status = in_child(against_limits, NULL);
    if (status == 77)
        g_test_skip("limits cannot be set in a user namespace here");
    else
        g_assert_cmpint(status, ==, 0);
}

static int without_privilege(void *opaque)
{
    GError *error = NULL;
    /* Twice down: the inner one has no rights over the outer's namespaces. */
    int fd = hostnet_namespace_create_net(&error);
    if (fd < 0 || !hostnet_namespace_unshare(HOSTNET_NAMESPACE_USER, &error))
        return 77;
    if (hostnet_open_fd(fd, &error))
        return 1;
    if (!g_error_matches(error, HOSTNET_ERROR, HOSTNET_ERROR_PERMISSION))
        return 2;
    g_clear_error(&error);
    if (hostnet_namespace_join(-1, fd, &error))
        return 3;
    if (!g_error_matches(error, HOSTNET_ERROR, HOSTNET_ERROR_PERMISSION))
        return 4;
    g_clear_error(&error);
    /* Our own namespace needs no setns(), and so no privilege: looking works. */
    struct hostnet *net = hostnet_open(&error);
    GPtrArray *links = net ? hostnet_link_list(net, &error) : NULL;
    return links && links->len > 0 ? 0 : 5;
}

static void test_without_privilege(void)
{
    int status = in_child(without_privilege, NULL);
    if (status == 77)
        g_test_skip("no nested user namespace can be made here");
    else
        g_assert_cmpint(status, ==, 0);
}

/* ---- held by processes alone ---- */

/* Makes a lab in a namespace of its own, says so, and waits to be killed. */
static G_NORETURN void be_a_lab(int say)
{
    GError *error = NULL;
    if (!hostnet_namespace_unshare(HOSTNET_NAMESPACE_NET, &error))
        _exit(1);
    struct hostnet *net = hostnet_open(&error);
    struct hostnet_bridge_spec spec = {.link = {.name = "nlb1", .mark = "netlab:lab:lan", .up = true}};
    struct hostnet_link_identity bridge;
    if (!net || !hostnet_bridge_create(net, &spec, &bridge, &error))
        _exit(2);
    struct hostnet_tap_spec tap = {.link = {.name = "nlt1", .mark = "netlab:lab:h1", .master = bridge.index},
                                   .persistent = true};
    if (hostnet_tap_create(net, &tap, NULL, &error) < 0 || write(say, "", 1) != 1)
        _exit(3);
    for (;;)
        pause();
}

static bool has_no_links(struct hostnet *net, uint32_t near_index)
{
    g_autoptr(hostnet_link) link = hostnet_link_get(net, near_index, NULL);
    return link == NULL;
}

/* When the last process of a lab is killed the namespace goes, with a persistent TAP and all. Seen from
 * outside by a veth whose far end is in there: it goes with the namespace. */
static void test_gone_with_holders(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) outside = ns_new();
    int ends[2];
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    pid_t lab = fork();
    if (lab == 0) {
        close(ends[0]);
        be_a_lab(ends[1]);
    }
    close(ends[1]);
    char byte;
    g_assert_cmpint(read(ends[0], &byte, 1), ==, 1);
    close(ends[0]);
    int net_fd;
    g_assert_true(hostnet_namespace_open_pid(lab, NULL, &net_fd, &error));
    struct hostnet *inside = hostnet_open_fd(net_fd, &error);
    g_assert_no_error(error);
    close(net_fd);
    g_autoptr(hostnet_link) bridge = hostnet_link_find(inside, "nlb1", &error);
    g_assert_cmpstr(bridge->mark, ==, "netlab:lab:lan");
    struct hostnet_link_spec near_end = {.name = "nlv0", .mark = "netlab:lab:near"},
                             far_end = {.name = "nlv1", .mark = "netlab:lab:far"};
    struct hostnet_link_identity near_identity;
    g_assert_true(hostnet_veth_create(outside, &near_end, inside, &far_end, &near_identity, NULL, &error));

    kill(lab, SIGKILL);
    g_assert_cmpint(waitpid(lab, NULL, 0), ==, lab);
    /* Our handle is the last holder. */
    g_assert_false(has_no_links(outside, near_identity.index));
    hostnet_close(inside);
    g_assert_true(ns_poll(20, has_no_links(outside, near_identity.index)));
    g_assert_true(hostnet_link_delete(outside, &near_identity, &error)); /* gone is as good as deleted */
    g_assert_false(hostnet_namespace_open_pid(lab, NULL, &net_fd, &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "has ended");
}

/* ---- sysctls ---- */

static void test_sysctl(void)
{
    static const char key[] = "net/ipv4/ip_forward";
    GError *error = NULL;
    g_autoptr(hostnet) here = hostnet_open(&error);
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net), *here_before = ns_snapshot(here);
    g_autofree char *value = hostnet_sysctl_get(net, key, &error);
    g_assert_no_error(error);
    const char *wanted = strcmp(value, "0") == 0 ? "1" : "0";
    g_autoptr(hostnet_sysctl_change) change = NULL;
    g_assert_true(hostnet_sysctl_set(net, key, wanted, &change, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(change->before, ==, value);
    g_assert_cmpstr(change->after, ==, wanted);
    g_autofree char *now = hostnet_sysctl_get(net, key, &error);
    g_assert_cmpstr(now, ==, wanted);
    g_autofree char *here_after = ns_snapshot(here);
    ns_assert_same(here_before, here_after); /* only there, not here */

    bool was_foreign = true;
    for (int twice = 0; twice < 2; twice++) {
        g_assert_true(hostnet_sysctl_undo(net, change, &was_foreign, &error));
        g_assert_false(was_foreign);
    }
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);

    /* Somebody else's later decision stands. */
    static const char ttl[] = "net/ipv4/ip_default_ttl";
    g_autoptr(hostnet_sysctl_change) ours = NULL;
    g_assert_true(hostnet_sysctl_set(net, ttl, "99", &ours, &error));
    g_assert_true(hostnet_sysctl_set(net, ttl, "101", NULL, &error));
    g_assert_true(hostnet_sysctl_undo(net, ours, &was_foreign, &error));
    g_assert_true(was_foreign);
    g_autofree char *theirs = hostnet_sysctl_get(net, ttl, &error);
    g_assert_cmpstr(theirs, ==, "101");

    /* Lists of numbers, and a link's own switches, which go with the link. */
    g_autoptr(hostnet_sysctl_change) range = NULL;
    g_assert_true(hostnet_sysctl_set(net, "net/ipv4/ip_local_port_range", "40000 50001", &range, &error));
    g_assert_no_error(error);
    g_assert_true(hostnet_sysctl_undo(net, range, &was_foreign, &error));
    g_assert_false(was_foreign);
    struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    g_autoptr(hostnet_sysctl_change) of_link = NULL;
    g_assert_true(hostnet_sysctl_set(net, "net/ipv6/conf/nlb1/accept_ra", "2", &of_link, &error));
    g_assert_no_error(error);
    g_assert_true(hostnet_link_delete(net, &bridge, &error));
    g_assert_true(hostnet_sysctl_undo(net, of_link, &was_foreign, &error));
    g_assert_no_error(error);

    static const char *const bad[] = {"kernel/hostname",
                                      "net/../kernel/hostname",
                                      "/proc/sys/net/ipv4/ip_forward",
                                      "net/",
                                      "net/ipv4/",
                                      "net//ipv4",
                                      "",
                                      "net.ipv4.ip_forward",
                                      "net/./ipv4/ip_forward"};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(hostnet_sysctl_set(net, bad[i], "1", NULL, &error));
        ns_assert_error(&error, HOSTNET_ERROR_INVALID, "sysctl");
    }
    g_assert_null(hostnet_sysctl_get(net, "net/ipv4/no_such_thing", &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "no_such_thing");
    g_assert_false(hostnet_sysctl_set(net, ttl, "many", NULL, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "many");
}

/* ---- the probe ---- */

static void test_probe(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) here = hostnet_open(&error);
    g_autofree char *before = ns_snapshot(here);
    struct hostnet_probe probe;
    g_assert_true(hostnet_probe_run(&probe, &error));
    g_assert_no_error(error);
    g_autofree char *after = ns_snapshot(here);
    ns_assert_same(before, after);
    for (int i = 0; i < HOSTNET_FEATURE_COUNT; i++) {
        enum hostnet_feature feature = (enum hostnet_feature)i;
        bool works = probe.features[i].works;
        g_test_message("%s: %s%s", hostnet_feature_name(feature),
                       works ? "yes" : "no: ", probe.features[i].reason);
        g_assert_cmpint(works, ==, probe.features[i].reason[0] == '\0');
        g_assert_cmpint(hostnet_probe_require(&probe, feature, &error), ==, works);
        if (!works) {
            g_assert_error(error, HOSTNET_ERROR, (int)probe.features[i].code);
            g_clear_error(&error);
        }
    }
    /* What every test of ours stands on. */
    g_assert_true(probe.features[HOSTNET_FEATURE_NET_ADMIN].works);
    g_assert_true(probe.features[HOSTNET_FEATURE_NET_NAMESPACE].works);
    g_assert_true(probe.features[HOSTNET_FEATURE_BRIDGE].works);
    g_assert_true(probe.features[HOSTNET_FEATURE_TAP].works);
    g_assert_true(probe.features[HOSTNET_FEATURE_VETH].works);
    /* The kernel's own word for it, where it publishes its configuration. */
    static const struct {
        enum hostnet_feature feature;
        const char *option;
    } options[] = {
        {HOSTNET_FEATURE_NETEM, "CONFIG_NET_SCH_NETEM="},
        {HOSTNET_FEATURE_VLAN, "CONFIG_VLAN_8021Q="},
        {HOSTNET_FEATURE_DUMMY, "CONFIG_DUMMY="},
        {HOSTNET_FEATURE_BRIDGE_VLAN, "CONFIG_BRIDGE_VLAN_FILTERING="},
        {HOSTNET_FEATURE_MACVLAN, "CONFIG_MACVLAN="},
        {HOSTNET_FEATURE_TBF, "CONFIG_NET_SCH_TBF="},
        {HOSTNET_FEATURE_NFTABLES, "CONFIG_NF_TABLES="},
    };
    g_autofree char *output = NULL;
    const char *argv[] = {"zcat", "/proc/config.gz", NULL};
    int status = -1;
    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                      &output, NULL, &status, NULL) ||
        status != 0 || !*output) {
        g_test_message("the kernel does not publish its configuration: nothing to compare with");
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        g_autofree char *built_in = g_strdup_printf("\n%sy", options[i].option);
        g_autofree char *anyhow = g_strdup_printf("\n%s", options[i].option);
        if (strstr(output, built_in))
            g_assert_true(probe.features[options[i].feature].works);
        if (!strstr(output, anyhow))
            g_assert_false(probe.features[options[i].feature].works);
    }
}

int main(int argc, char **argv)
{
    ns_test_init(&argc, &argv);
    g_test_add_func("/namespace/create-net", test_create_net);
    g_test_add_func("/namespace/rootless", test_rootless);
    g_test_add_func("/namespace/threads", test_threads);
    g_test_add_func("/namespace/limits", test_limits);
    g_test_add_func("/namespace/without-privilege", test_without_privilege);
    g_test_add_func("/namespace/gone-with-holders", test_gone_with_holders);
    g_test_add_func("/sysctl/all", test_sysctl);
    g_test_add_func("/probe/all", test_probe);
    return g_test_run();
}
