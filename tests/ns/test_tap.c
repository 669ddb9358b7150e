/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * TAP interfaces: held by fd and persistent, opened again, busy, offloads, owners, and a missing or closed
 * /dev/net/tun.
 */
#include "ns_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_fd_held(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    int fd;
    struct hostnet_link_identity identity = ns_tap(net, "nlt1", "netlab:lab:h1 eth0", 0, false, &fd);
    g_autoptr(hostnet_link) link = hostnet_link_get(net, identity.index, &error);
    g_assert_cmpint(link->kind, ==, HOSTNET_LINK_TAP);
    g_assert_cmpstr(link->mark, ==, "netlab:lab:h1 eth0");
    g_assert_false(link->tap.persistent);
    g_assert_true(link->up);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_NONBLOCK, ==, O_NONBLOCK);
    struct hostnet_tap_fd description;
    g_assert_true(hostnet_tap_describe_fd(fd, &description, &error));
    g_assert_cmpstr(description.name, ==, "nlt1");
    g_assert_true(description.is_tap);
    g_assert_false(description.vnet_hdr);
    g_assert_false(description.persistent);
    close(fd);
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after); /* it went with its fd */
}

static void test_persistent(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    struct hostnet_tap_spec spec = {
        .link = {.name = "nlt1", .mark = "netlab:lab:h1", .altname = "h1-eth0", .up = true},
        .persistent = true,
        .vnet_hdr = true,
        .has_owner = true,
        .owner = geteuid(),
        .has_group = true,
        .group = getegid()};
    struct hostnet_link_identity identity;
    int fd = hostnet_tap_create(net, &spec, &identity, &error);
    g_assert_no_error(error);
    close(fd);
    g_autoptr(hostnet_link) link = hostnet_link_get(net, identity.index, &error);
    g_assert_no_error(error);
    g_assert_true(link->tap.persistent);
    g_assert_true(link->tap.vnet_hdr);
    g_assert_true(link->tap.has_owner);
    g_assert_cmpuint(link->tap.owner, ==, geteuid());
    g_assert_cmpuint(link->tap.group, ==, getegid());
    g_assert_false(link->tap.multi_queue);

    fd = hostnet_tap_open(net, &identity, &error);
    g_assert_no_error(error);
    struct hostnet_tap_fd description;
    g_assert_true(hostnet_tap_describe_fd(fd, &description, &error));
    g_assert_true(description.vnet_hdr && description.persistent);
    g_assert_cmpuint(description.vnet_hdr_size, ==, 10);
    g_assert_true(
        hostnet_tap_set_offload(fd, HOSTNET_TAP_CHECKSUM | HOSTNET_TAP_TSO4 | HOSTNET_TAP_TSO6, &error));
    g_assert_no_error(error);
    g_assert_false(hostnet_tap_set_offload(fd, HOSTNET_TAP_TSO4, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "checksums");
    close(fd);
    /* Deleted with an fd open: the link goes, the fd is dead. */
    fd = hostnet_tap_open(net, &identity, &error);
    g_assert_no_error(error);
    g_assert_true(hostnet_link_delete(net, &identity, &error));
    char frame[64];
    g_assert_cmpint(read(fd, frame, sizeof frame), ==, -1);
    g_assert_cmpint(errno, ==, EBADFD);
    close(fd);
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
    /* Persistence taken back: it goes with the last fd. */
    fd = hostnet_tap_create(net, &spec, &identity, &error);
    g_assert_true(hostnet_tap_set_persistent(fd, false, &error));
    close(fd);
    g_autofree char *at_end = ns_snapshot(net);
    ns_assert_same(before, at_end);
}

static void test_busy(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    int fd;
    struct hostnet_link_identity identity = ns_tap(net, "nlt-busy", "netlab:lab:h1", 0, true, &fd);
    g_autofree char *self = g_strdup_printf("(pid %d)", getpid());
    g_assert_cmpint(hostnet_tap_open(net, &identity, &error), ==, -1);
    ns_assert_error(&error, HOSTNET_ERROR_BUSY, self);
    g_autofree char *holders = hostnet_tap_describe_holders("nlt-busy");
    g_assert_nonnull(strstr(holders, self));
    g_assert_null(hostnet_tap_describe_holders("nlt-bus"));
    close(fd);
    fd = hostnet_tap_open(net, &identity, &error);
    g_assert_no_error(error);
    close(fd);
}

static void test_multi_queue(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    struct hostnet_tap_spec spec = {
        .link = {.name = "nlt1", .mark = "netlab:lab:h1"}, .persistent = true, .multi_queue = true};
    struct hostnet_link_identity identity;
    int one = hostnet_tap_create(net, &spec, &identity, &error);
    g_assert_no_error(error);
    int two = hostnet_tap_open(net, &identity, &error);
    g_assert_no_error(error);
    g_autoptr(hostnet_link) link = hostnet_link_get(net, identity.index, &error);
    g_assert_true(link->tap.multi_queue);
    g_assert_cmpuint(link->tap.queues, ==, 2);
    close(one);
    close(two);
}

static void test_open_refuses(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    struct hostnet_link_identity gone = ns_tap(net, "nlt1", "netlab:lab:h1", 0, true, NULL);
    g_assert_true(hostnet_link_delete(net, &gone, &error));
    g_assert_cmpint(hostnet_tap_open(net, &gone, &error), ==, -1);
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "h1 (nlt1)");
    g_autoptr(GPtrArray) links = hostnet_link_list_marked(net, NULL, &error);
    g_assert_cmpuint(links->len, ==, 0); /* it was not made anew */
    ns_tap(net, "nlt1", "netlab:lab:h1", 0, true, NULL);
    g_assert_cmpint(hostnet_tap_open(net, &gone, &error), ==, -1);
    ns_assert_error(&error, HOSTNET_ERROR_NOT_OURS, "nlt1");
    struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    g_assert_cmpint(hostnet_tap_open(net, &bridge, &error), ==, -1);
    ns_assert_error(&error, HOSTNET_ERROR_NOT_OURS, "no TAP");
    struct hostnet_tap_fd description;
    g_assert_false(hostnet_tap_describe_fd(0, &description, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "fd 0");
}

static void test_unmapped_owner(void)
{
    GError *error = NULL;
    if (!ns_is_rootless()) {
        g_test_skip("every uid is mapped outside of a user namespace");
        return;
    }
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    struct hostnet_tap_spec spec = {.link = {.name = "nlt1", .mark = "netlab:lab:h1"},
                                    .persistent = true,
                                    .has_owner = true,
                                    .owner = 4711};
    g_assert_cmpint(hostnet_tap_create(net, &spec, NULL, &error), ==, -1);
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "mapped");
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
}

/* In a child, since it changes /dev/net for the whole process. */
static int child_without_tun(struct hostnet *net, const char *node)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("test", "/dev/net", "tmpfs", 0, NULL) < 0)
        return 77;
    const char *text = "modprobe tun";
    if (strcmp(node, "plain file") == 0) {
        /* Something that is not the device: refused by its ioctl, not mistaken for success. */
        int fd = open("/dev/net/tun", O_CREAT | O_RDWR, 0666);
        close(fd);
        text = "not the tun device";
    } else if (strcmp(node, "folder") == 0) {
        if (mkdir("/dev/net/tun", 0700) < 0)
            return 77;
        text = "not the tun device";
    }
    struct hostnet_tap_spec spec = {.link = {.name = "nlt1", .mark = "netlab:lab:h1"}, .persistent = true};
    GError *error = NULL;
    if (hostnet_tap_create(net, &spec, NULL, &error) >= 0)
        return 1;
    fprintf(stderr, "# %s\n", error->message);
    if (!g_error_matches(error, HOSTNET_ERROR, HOSTNET_ERROR_NO_TUN))
        return 2;
    return strstr(error->message, text) ? 0 : 3;
}

static void test_no_device(void)
{
    static const char *const modes[] = {"missing", "plain file", "folder"};
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_autoptr(hostnet) net = ns_new();
        g_autofree char *before = ns_snapshot(net);
        pid_t child = fork();
        if (child == 0)
            _exit(child_without_tun(net, modes[i]));
        int status;
        g_assert_cmpint(waitpid(child, &status, 0), ==, child);
        g_assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) {
            g_test_skip("/dev/net cannot be covered here");
            return;
        }
        g_test_message("%s", modes[i]);
        g_assert_cmpint(WEXITSTATUS(status), ==, 0);
        g_autofree char *after = ns_snapshot(net);
        ns_assert_same(before, after);
    }
}

/* An open TAP holds its namespace; and a handle opens TAPs in its namespace from any other. */
static void test_namespace_of_tap(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) here = hostnet_open(&error);
    g_autofree char *before = ns_snapshot(here);
    struct hostnet *net = ns_new();
    uint64_t cookie = hostnet_get_netns_cookie(net);
    g_assert_cmpuint(cookie, !=, hostnet_get_netns_cookie(here));
    int fd;
    ns_tap(net, "nlt1", "netlab:lab:h1", 0, false, &fd);
    g_autofree char *after = ns_snapshot(here);
    ns_assert_same(before, after); /* nothing appeared where the thread is */
    g_autoptr(hostnet) again = hostnet_open(&error);
    g_assert_true(hostnet_same_namespace(here, again)); /* and the thread came back */
    hostnet_close(net);
    /* All handles are closed; the fd alone holds it, and still works. */
    struct hostnet_tap_fd description;
    g_assert_true(hostnet_tap_describe_fd(fd, &description, &error));
    g_assert_cmpstr(description.name, ==, "nlt1");
    char frame[60] = {};
    g_assert_cmpint(write(fd, frame, sizeof frame), ==, sizeof frame);
    close(fd);
}

int main(int argc, char **argv)
{
    ns_test_init(&argc, &argv);
    g_test_add_func("/tap/fd-held", test_fd_held);
    g_test_add_func("/tap/persistent", test_persistent);
    g_test_add_func("/tap/busy", test_busy);
    g_test_add_func("/tap/multi-queue", test_multi_queue);
    g_test_add_func("/tap/open-refuses", test_open_refuses);
    g_test_add_func("/tap/unmapped-owner", test_unmapped_owner);
    g_test_add_func("/tap/no-device", test_no_device);
    g_test_add_func("/tap/namespace", test_namespace_of_tap);
    return g_test_run();
}
