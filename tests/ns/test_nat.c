/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * NAT tables with real traffic: three namespaces, a lab's (10.1.0.2), a host's (10.1.0.1 and 192.0.2.1) and
 * an outside (192.0.2.9), IPv6 beside. Then what may not happen: other people's tables touched, halves left.
 */
#include "hostnet/dump.h"
#include "hostnet/nat.h"
#include "hostnet/route.h"
#include "hostnet/sysctl.h"
#include "ns_harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000, QUIET_MS = 300 };

struct scene {
    struct hostnet *lab, *host, *outside;
};

static struct hostnet_prefix prefix(const char *text)
{
    struct hostnet_prefix value;
    GError *error = NULL;
    hostnet_prefix_parse(text, true, &value, &error);
    g_assert_no_error(error);
    return value;
}

static void address_add(struct hostnet *net, uint32_t index, const char *text)
{
    GError *error = NULL;
    struct hostnet_link_address address = {
        .index = index, .local = prefix(text), .default_broadcast = true, .flags = IFA_F_NODAD};
    hostnet_address_add(net, &address, &error);
    g_assert_no_error(error);
}

static void route_default(struct hostnet *net, const char *gateway)
{
    GError *error = NULL;
    struct hostnet_route route = {.gateway = prefix(gateway).address};
    route.destination.address.family = route.gateway.family;
    hostnet_route_add(net, &route, &error);
    g_assert_no_error(error);
}

static void join(struct hostnet *a, const char *a_name, const char *a4, const char *a6, struct hostnet *b,
                 const char *b_name, const char *b4, const char *b6)
{
    GError *error = NULL;
    struct hostnet_link_identity near_identity, far_identity;
    struct hostnet_link_spec
        near_spec = {.name = a_name, .mark = "netlab:scene:near", .up = true, .no_ipv6_address = true},
        far_spec = {.name = b_name, .mark = "netlab:scene:far", .up = true, .no_ipv6_address = true};
    hostnet_veth_create(a, &near_spec, b, &far_spec, &near_identity, &far_identity, &error);
    g_assert_no_error(error);
    address_add(a, near_identity.index, a4);
    address_add(a, near_identity.index, a6);
    address_add(b, far_identity.index, b4);
    address_add(b, far_identity.index, b6);
}

static void sysctl(struct hostnet *net, const char *key, const char *value)
{
    GError *error = NULL;
    hostnet_sysctl_set(net, key, value, NULL, &error);
    g_assert_no_error(error);
}

static struct scene scene_new(void)
{
    struct scene scene = {.lab = ns_new(), .host = ns_new(), .outside = ns_new()};
    join(scene.lab, "eth0", "10.1.0.2/24", "fd00:1::2/64", scene.host, "inside", "10.1.0.1/24",
         "fd00:1::1/64");
    join(scene.host, "uplink", "192.0.2.1/24", "2001:db8::1/64", scene.outside, "eth0", "192.0.2.9/24",
         "2001:db8::9/64");
    route_default(scene.lab, "10.1.0.1");
    route_default(scene.lab, "fd00:1::1");
    sysctl(scene.host, "net/ipv4/conf/inside/forwarding", "1");
    sysctl(scene.host, "net/ipv4/conf/uplink/forwarding", "1");
    sysctl(scene.host, "net/ipv6/conf/all/forwarding", "1");
    return scene;
}

static void scene_end(struct scene *scene)
{
    hostnet_close(scene->lab);
    hostnet_close(scene->host);
    hostnet_close(scene->outside);
}

/* ---- sockets in a namespace ---- */

static int socket_in(struct hostnet *net, int family, int type)
{
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(home, >=, 0);
    g_assert_cmpint(setns(hostnet_get_netns_fd(net), CLONE_NEWNET), ==, 0);
    int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(setns(home, CLONE_NEWNET), ==, 0);
    close(home);
    return fd;
}

static socklen_t fill(const char *text, uint16_t port, struct sockaddr_storage *storage)
{
    struct hostnet_prefix value = prefix(text);
    *storage = (struct sockaddr_storage){.ss_family = value.address.family};
    if (value.address.family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)storage;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, value.address.bytes, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;
    in6->sin6_port = htons(port);
    memcpy(&in6->sin6_addr, value.address.bytes, 16);
    return sizeof *in6;
}

static int family_of(const char *text)
{
    return strchr(text, ':') ? AF_INET6 : AF_INET;
}

static int server(struct hostnet *net, const char *address, uint16_t port, int type)
{
    struct sockaddr_storage storage;
    socklen_t length = fill(address, port, &storage);
    int fd = socket_in(net, storage.ss_family, type);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&storage, length), ==, 0);
    if (type == SOCK_STREAM)
        g_assert_cmpint(listen(fd, 4), ==, 0);
    return fd;
}

static bool readable(int fd, int timeout)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return poll(&poll_fd, 1, timeout) == 1;
}

/* Connects (or sends a datagram) from `net`; returns whom the server sees, NULL when nothing came in time.
 * Owned by the caller. */
static char *who_comes(struct hostnet *net, const char *address, uint16_t port, int type, int listener,
                       int timeout)
{
    struct sockaddr_storage storage, from;
    socklen_t length = fill(address, port, &storage), from_length = sizeof from;
    int fd = socket_in(net, family_of(address), type), peer = -1;
    char byte = 'x', text[INET6_ADDRSTRLEN];
    (void)connect(fd, (struct sockaddr *)&storage, length);
    if (type == SOCK_DGRAM)
        (void)!send(fd, &byte, 1, 0);
    bool has_come = readable(listener, timeout);
    if (has_come && type == SOCK_STREAM) {
        peer = accept4(listener, (struct sockaddr *)&from, &from_length, SOCK_CLOEXEC);
        g_assert_cmpint(peer, >=, 0);
        /* The way back works as well. */
        g_assert_cmpint(send(peer, &byte, 1, 0), ==, 1);
        g_assert_true(readable(fd, PATIENCE_MS));
        g_assert_cmpint(recv(fd, &byte, 1, 0), ==, 1);
        close(peer);
    } else if (has_come) {
        g_assert_cmpint(recvfrom(listener, &byte, 1, 0, (struct sockaddr *)&from, &from_length), ==, 1);
        g_assert_cmpint(sendto(listener, &byte, 1, 0, (struct sockaddr *)&from, from_length), ==, 1);
        g_assert_true(readable(fd, PATIENCE_MS));
        g_assert_cmpint(recv(fd, &byte, 1, 0), ==, 1);
    }
    close(fd);
    if (!has_come)
        return NULL;
    if (from.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&from)->sin_addr, text, sizeof text);
    else
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&from)->sin6_addr, text, sizeof text);
    return g_strdup(text);
}

/* ---- the tests ---- */

static struct hostnet_prefix inside[2];
static struct hostnet_nat_forward forwards[3];

static struct hostnet_nat_spec spec_new(void)
{
    inside[0] = prefix("10.1.0.0/24");
    inside[1] = prefix("fd00:1::/64");
    forwards[0] = (struct hostnet_nat_forward){
        .protocol = IPPROTO_TCP, .host_port = 8080, .guest = prefix("10.1.0.2").address, .guest_port = 80};
    forwards[1] = (struct hostnet_nat_forward){
        .protocol = IPPROTO_UDP, .host_port = 5353, .guest = prefix("10.1.0.2").address, .guest_port = 53};
    forwards[2] = (struct hostnet_nat_forward){.protocol = IPPROTO_TCP,
                                               .host = prefix("2001:db8::1").address,
                                               .host_port = 8080,
                                               .guest = prefix("fd00:1::2").address,
                                               .guest_port = 80};
    return (struct hostnet_nat_spec){.table = "netlab_1a2b3c4d",
                                     .mark = "netlab:lab:internet",
                                     .link = "inside",
                                     .inside = inside,
                                     .inside_count = 2,
                                     .forwards = forwards,
                                     .forward_count = 3};
}

static void assert_comes(struct hostnet *net, const char *address, uint16_t port, int type, int listener,
                         const char *wanted)
{
    g_autofree char *from = who_comes(net, address, port, type, listener, PATIENCE_MS);
    g_assert_cmpstr(from, ==, wanted);
}

static void test_traffic(void)
{
    GError *error = NULL;
    struct scene scene = scene_new();
    int web4 = server(scene.outside, "192.0.2.9", 80, SOCK_STREAM),
        web6 = server(scene.outside, "2001:db8::9", 80, SOCK_STREAM),
        names = server(scene.outside, "192.0.2.9", 53, SOCK_DGRAM),
        lab_web4 = server(scene.lab, "0.0.0.0", 80, SOCK_STREAM),
        lab_web6 = server(scene.lab, "fd00:1::2", 80, SOCK_STREAM),
        lab_names = server(scene.lab, "10.1.0.2", 53, SOCK_DGRAM);
    struct hostnet_nat_spec spec = spec_new();
    struct hostnet_nat_identity identity;
    g_assert_true(hostnet_nat_plan(scene.host, &spec, &identity, &error));
    g_assert_no_error(error);
    hostnet_nat_create(scene.host, &spec, &error);
    g_assert_no_error(error);
    assert_comes(scene.lab, "192.0.2.9", 80, SOCK_STREAM, web4, "192.0.2.1");
    assert_comes(scene.lab, "2001:db8::9", 80, SOCK_STREAM, web6, "2001:db8::1");
    assert_comes(scene.lab, "192.0.2.9", 53, SOCK_DGRAM, names, "192.0.2.1");
    /* Forwards: from outside, from the host itself; an address that has none. */
    assert_comes(scene.outside, "192.0.2.1", 8080, SOCK_STREAM, lab_web4, "192.0.2.9");
    assert_comes(scene.outside, "192.0.2.1", 5353, SOCK_DGRAM, lab_names, "192.0.2.9");
    assert_comes(scene.outside, "2001:db8::1", 8080, SOCK_STREAM, lab_web6, "2001:db8::9");
    assert_comes(scene.host, "10.1.0.2", 80, SOCK_STREAM, lab_web4, "10.1.0.1");
    g_autofree char *wrong = who_comes(scene.outside, "192.0.2.1", 8081, SOCK_STREAM, lab_web4, QUIET_MS);
    g_assert_null(wrong);
    /* Gone: nothing is left, and nothing is forwarded. */
    hostnet_nat_delete(scene.host, &identity, &error);
    g_assert_no_error(error);
    g_autofree char *before = ns_snapshot(scene.host);
    hostnet_nat_create(scene.host, &spec, &error);
    g_assert_no_error(error);
    assert_comes(scene.outside, "192.0.2.1", 8080, SOCK_STREAM, lab_web4, "192.0.2.9");
    hostnet_nat_delete(scene.host, &identity, &error);
    g_assert_no_error(error);
    g_autofree char *after = ns_snapshot(scene.host);
    ns_assert_same(before, after);
    g_autofree char *none = who_comes(scene.outside, "192.0.2.1", 8080, SOCK_STREAM, lab_web4, QUIET_MS);
    g_assert_null(none);
    int fds[] = {web4, web6, names, lab_web4, lab_web6, lab_names};
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++)
        close(fds[i]);
    scene_end(&scene);
}

static void test_own_packets(void)
{
    GError *error = NULL;
    struct scene scene = scene_new();
    struct hostnet_nat_spec spec = spec_new();
    int lab_web = server(scene.lab, "0.0.0.0", 80, SOCK_STREAM);
    hostnet_nat_create(scene.host, &spec, &error);
    g_assert_no_error(error);
    assert_comes(scene.host, "192.0.2.1", 8080, SOCK_STREAM, lab_web, "192.0.2.1");
    g_autofree char *loop = who_comes(scene.host, "127.0.0.1", 8080, SOCK_STREAM, lab_web, QUIET_MS);
    g_assert_null(loop);
    close(lab_web);
    scene_end(&scene);
}

static void test_identity(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    struct hostnet_nat_spec spec = spec_new();
    struct hostnet_nat_identity identity, parsed;
    enum hostnet_presence presence;
    g_assert_true(hostnet_nat_plan(net, &spec, &identity, &error));
    hostnet_nat_check(net, &identity, &presence, &error);
    g_assert_cmpint(presence, ==, HOSTNET_ABSENT);
    g_assert_true(hostnet_nat_delete(net, &identity, &error)); /* not there: fine */
    hostnet_nat_create(net, &spec, &error);
    g_assert_no_error(error);
    hostnet_nat_check(net, &identity, &presence, &error);
    g_assert_cmpint(presence, ==, HOSTNET_PRESENT);
    g_autofree char *text = hostnet_nat_identity_format(&identity);
    g_assert_true(hostnet_nat_identity_parse(text, &parsed, &error));
    g_assert_cmpmem(&parsed, sizeof parsed, &identity, sizeof identity);
    /* A second one of the same name changes nothing. */
    g_autofree char *once = ns_snapshot(net);
    struct hostnet_nat_spec other = spec;
    other.mark = "netlab:other:internet";
    g_assert_false(hostnet_nat_create(net, &other, &error));
    ns_assert_error(&error, HOSTNET_ERROR_EXISTS, "creating nftables table netlab_1a2b3c4d");
    g_autofree char *twice = ns_snapshot(net);
    ns_assert_same(once, twice);
    /* With another mark it is not ours; of an earlier boot it is gone. */
    struct hostnet_nat_identity foreign = identity;
    g_strlcpy(foreign.mark, other.mark, sizeof foreign.mark);
    g_assert_false(hostnet_nat_delete(net, &foreign, &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_OURS, "netlab:lab:internet");
    hostnet_nat_check(net, &foreign, &presence, &error);
    g_assert_cmpint(presence, ==, HOSTNET_FOREIGN);
    foreign = identity;
    g_strlcpy(foreign.boot_id, "another", sizeof foreign.boot_id);
    g_assert_true(hostnet_nat_delete(net, &foreign, &error));
    foreign = identity;
    foreign.netns++;
    g_assert_false(hostnet_nat_delete(net, &foreign, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "another network namespace");
    /* Marks alone find it. */
    g_autoptr(GArray) marked = hostnet_nat_list_marked(net, "lab", &error);
    g_assert_cmpuint(marked->len, ==, 1);
    g_autoptr(GArray) none = hostnet_nat_list_marked(net, "other", &error);
    g_assert_cmpuint(none->len, ==, 0);
    g_assert_true(hostnet_nat_delete(net, &g_array_index(marked, struct hostnet_nat_identity, 0), &error));
    g_assert_no_error(error);
    g_assert_true(hostnet_nat_delete(net, &identity, &error)); /* twice is once */
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
    g_assert_false(hostnet_nat_identity_parse("x/1/2/3", &parsed, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "no identity");
}

static void test_large(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    struct hostnet_nat_spec spec = spec_new();
    struct hostnet_nat_forward many[HOSTNET_NAT_FORWARDS_MAX + 1];
    for (unsigned i = 0; i < G_N_ELEMENTS(many); i++)
        many[i] = (struct hostnet_nat_forward){.protocol = IPPROTO_TCP,
                                               .host_port = (uint16_t)(1000 + i),
                                               .guest = prefix("fd00:1::2").address,
                                               .guest_port = (uint16_t)(i + 1)};
    spec.forwards = many;
    spec.forward_count = G_N_ELEMENTS(many);
    g_assert_false(hostnet_nat_create(net, &spec, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "at most 256");
    spec.forward_count--;
    hostnet_nat_create(net, &spec, &error);
    g_assert_no_error(error);
    struct hostnet_nat_identity identity;
    g_assert_true(hostnet_nat_plan(net, &spec, &identity, &error));
    g_assert_true(hostnet_nat_delete(net, &identity, &error));
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
}

static void assert_refused(struct hostnet *net, const struct hostnet_nat_spec *spec, const char *text)
{
    GError *error = NULL;
    g_assert_false(hostnet_nat_create(net, spec, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, text);
}

static void test_bad_input(void)
{
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    struct hostnet_nat_spec spec = spec_new();
    spec.table = "1x";
    assert_refused(net, &spec, "\"1x\"");
    spec.table = "a-very-long-name-with-more-than-31-characters";
    assert_refused(net, &spec, "cannot be");
    spec = spec_new();
    spec.inside_count = 0;
    assert_refused(net, &spec, "1 to 8");
    spec = spec_new();
    inside[0] = prefix("10.1.0.3/24");
    assert_refused(net, &spec, "10.1.0.3/24 is no network");
    spec = spec_new();
    inside[0] = prefix("0.0.0.0/0");
    assert_refused(net, &spec, "0.0.0.0/0 is no network");
    spec = spec_new();
    forwards[1].guest = prefix("10.2.0.2").address;
    assert_refused(net, &spec, "none of the networks");
    spec = spec_new();
    forwards[1].guest_port = 0;
    assert_refused(net, &spec, "two ports");
    spec = spec_new();
    forwards[1].protocol = IPPROTO_ICMP;
    assert_refused(net, &spec, "TCP or UDP");
    spec = spec_new();
    forwards[1] = forwards[0];
    forwards[1].host = prefix("192.0.2.1").address;
    assert_refused(net, &spec, "TCP port 8080 is forwarded twice");
    spec = spec_new();
    forwards[0].host = prefix("2001:db8::1").address;
    assert_refused(net, &spec, "IPv6 address cannot be forwarded");
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
}

/* A shell command in the namespace; true when it ends with status 0. */
static bool run_in(struct hostnet *net, const char *command)
{
    int status;
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        if (setns(hostnet_get_netns_fd(net), CLONE_NEWNET) == 0)
            execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(126);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_obstacles(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autoptr(GPtrArray) none = hostnet_nat_find_obstacles(net, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(none->len, ==, 0);
    struct hostnet_nat_spec spec = spec_new();
    hostnet_nat_create(net, &spec, &error);
    g_assert_no_error(error);
    /* Ours is none: it accepts. */
    g_autoptr(GPtrArray) still_none = hostnet_nat_find_obstacles(net, &error);
    g_assert_cmpuint(still_none->len, ==, 0);
    if (!run_in(net, "nft -v >/dev/null 2>&1")) {
        g_test_skip("nft is not installed (package nftables)");
        return;
    }
    /* nft reads ours as what it is meant to be. */
    g_assert_true(
        run_in(net, "nft list table inet netlab_1a2b3c4d | grep -q 'comment \"netlab:lab:internet\"'"));
    g_assert_true(run_in(net,
                         "nft list table inet netlab_1a2b3c4d | grep -q 'ip saddr 10.1.0.0/24 oifname != "
                         "\"inside\" counter packets 0 bytes 0 masquerade'"));
    g_assert_true(run_in(net, "nft add table ip guard && nft add chain ip guard forward "
                              "'{ type filter hook forward priority 0; policy drop; }'"));
    g_autoptr(GPtrArray) one = hostnet_nat_find_obstacles(net, &error);
    g_assert_cmpuint(one->len, ==, 1);
    g_assert_nonnull(strstr(one->pdata[0], "table ip guard, chain forward drops"));
}

int main(int argc, char **argv)
{
    ns_test_init(&argc, &argv);
    g_test_add_func("/nat/traffic", test_traffic);
    g_test_add_func("/nat/own-packets", test_own_packets);
    g_test_add_func("/nat/identity", test_identity);
    g_test_add_func("/nat/large", test_large);
    g_test_add_func("/nat/bad-input", test_bad_input);
    g_test_add_func("/nat/obstacles", test_obstacles);
    return g_test_run();
}
