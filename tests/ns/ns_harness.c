/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The shared part of the namespace tests. See ns_harness.h.
 */
#include "ns_harness.h"
#include "hostnet/namespace.h"
#include "hostnet/route.h"
#include "hostnet/snapshot.h"

#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EXIT_SKIP = 77 };

static void skip(const char *reason)
{
    printf("SKIP: %s\n", reason);
    exit(EXIT_SKIP);
}

void ns_test_init(int *argc, char ***argv)
{
    bool is_root = geteuid() == 0;
    for (int i = 1; i < *argc; i++) {
        if (strcmp((*argv)[i], "--as-root") == 0 && !is_root)
            skip("this half of the tests needs root");
        if (strcmp((*argv)[i], "--as-user") == 0 && is_root)
            skip("this half of the tests is for a user without privilege; see with-private-tun");
        if (g_str_has_prefix((*argv)[i], "--as-")) {
            memmove(&(*argv)[i], &(*argv)[i + 1], (size_t)(*argc - i) * sizeof **argv);
            --*argc;
            i--;
        }
    }
    g_test_init(argc, argv, NULL);
    /* A wait for an answer that never comes must end before CTest's own limit, with a place to look at. */
    alarm(560);
    g_autoptr(GError) error = NULL;
    unsigned flags =
        HOSTNET_NAMESPACE_NET | HOSTNET_NAMESPACE_MOUNT | (is_root ? 0u : HOSTNET_NAMESPACE_USER);
    if (!hostnet_namespace_unshare(flags, &error))
        skip(error->message);
}

bool ns_is_rootless(void)
{
    return hostnet_namespace_is_rootless();
}

struct hostnet *ns_new(void)
{
    GError *error = NULL;
    int fd = hostnet_namespace_create_net(&error);
    g_assert_no_error(error);
    struct hostnet *net = hostnet_open_fd(fd, &error);
    g_assert_no_error(error);
    close(fd);
    return net;
}

struct hostnet_link_identity ns_bridge(struct hostnet *net, const char *name, const char *mark)
{
    GError *error = NULL;
    struct hostnet_link_identity identity;
    struct hostnet_bridge_spec spec = {
        .link = {.name = name, .mark = mark, .up = true, .no_ipv6_address = true}};
    hostnet_bridge_create(net, &spec, &identity, &error);
    g_assert_no_error(error);
    return identity;
}

struct hostnet_link_identity ns_tap(struct hostnet *net, const char *name, const char *mark, uint32_t master,
                                    bool persistent, int *fd)
{
    GError *error = NULL;
    struct hostnet_link_identity identity;
    struct hostnet_tap_spec spec = {
        .link = {.name = name, .mark = mark, .master = master, .up = true, .no_ipv6_address = true},
        .persistent = persistent};
    int made = hostnet_tap_create(net, &spec, &identity, &error);
    g_assert_no_error(error);
    g_assert_cmpint(made, >=, 0);
    if (fd)
        *fd = made;
    else
        close(made);
    return identity;
}

void ns_assert_error(GError **error, enum hostnet_error code, const char *text)
{
    g_assert_error(*error, HOSTNET_ERROR, (int)code);
    if (!strstr((*error)->message, text))
        g_error("the message \"%s\" does not say \"%s\"", (*error)->message, text);
    g_test_message("%s", (*error)->message);
    g_clear_error(error);
}

/* True when the kernel has given every link that is up the IPv6 multicast route that it gives in its own
 * time. */
static bool is_settled(struct hostnet *net)
{
    g_autoptr(GPtrArray) links = hostnet_link_list(net, NULL);
    g_autoptr(GArray) routes = hostnet_route_list(net, RT_TABLE_LOCAL, 0, NULL);
    bool has_ipv6 = false;
    for (unsigned i = 0; routes && i < routes->len; i++)
        has_ipv6 |= g_array_index(routes, struct hostnet_route, i).destination.address.family == AF_INET6;
    for (unsigned i = 0; links && routes && i < links->len; i++) {
        const struct hostnet_link *link = links->pdata[i];
        bool has_route = !has_ipv6 || !link->up || !link->carrier || link->kind == HOSTNET_LINK_LOOPBACK;
        for (unsigned k = 0; !has_route && k < routes->len; k++) {
            const struct hostnet_route *route = &g_array_index(routes, struct hostnet_route, k);
            has_route = route->index == link->index && route->destination.length == 8 &&
                        hostnet_address_is_multicast(&route->destination.address);
        }
        if (!has_route)
            return false;
    }
    return links && routes;
}

char *ns_snapshot(struct hostnet *net)
{
    GError *error = NULL;
    g_assert_true(ns_poll(20, is_settled(net)));
    char *text = hostnet_snapshot_take(net, 0, &error);
    g_assert_no_error(error);
    return text;
}

void ns_assert_same(const char *before, const char *after)
{
    g_autofree char *difference = hostnet_snapshot_diff(before, after);
    if (difference)
        g_error("the namespace is not what it was:\n%s", difference);
}
