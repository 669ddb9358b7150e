/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Addresses, routes and rules, in a namespace with one bridge that is up (and has carrier, thanks to a TAP).
 */
#include "hostnet/route.h"
#include "ns_harness.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct scene {
    struct hostnet *net;
    uint32_t index;
    int tap;
};

static struct scene scene_new(void)
{
    struct scene scene = {.net = ns_new()};
    scene.index = ns_bridge(scene.net, "nlb1", "netlab:lab:lan").index;
    ns_tap(scene.net, "nlt1", "netlab:lab:h1", scene.index, false, &scene.tap);
    return scene;
}

static void scene_end(struct scene *scene)
{
    close(scene->tap);
    hostnet_close(scene->net);
}

static struct hostnet_link_address address_on(uint32_t index, const char *text)
{
    struct hostnet_link_address address = {.index = index, .default_broadcast = true, .flags = IFA_F_NODAD};
    GError *error = NULL;
    hostnet_prefix_parse(text, false, &address.local, &error);
    g_assert_no_error(error);
    return address;
}

/* The listed address with this text, or NULL. */
static const struct hostnet_link_address *find_address(GArray *addresses, const char *text)
{
    for (unsigned i = 0; i < addresses->len; i++) {
        const struct hostnet_link_address *address =
            &g_array_index(addresses, struct hostnet_link_address, i);
        char found[HOSTNET_PREFIX_TEXT];
        if (strcmp(hostnet_prefix_format(&address->local, found), text) == 0)
            return address;
    }
    return NULL;
}

static void test_addresses(void)
{
    GError *error = NULL;
    struct scene scene = scene_new();
    g_autofree char *before = ns_snapshot(scene.net);
    struct hostnet_link_address v4 = address_on(scene.index, "10.1.0.1/24"),
                                v6 = address_on(scene.index, "fd00:1::1/64"),
                                timed = address_on(scene.index, "10.1.0.2/24");
    timed.valid = 1000;
    timed.preferred = 500;
    timed.flags |= IFA_F_NOPREFIXROUTE;
    g_assert_true(hostnet_address_add(scene.net, &v4, &error));
    g_assert_no_error(error);
    g_assert_true(hostnet_address_add(scene.net, &v6, &error));
    g_assert_no_error(error);
    g_assert_true(hostnet_address_add(scene.net, &timed, &error));
    g_assert_no_error(error);

    g_autoptr(GArray) addresses = hostnet_address_list(scene.net, scene.index, &error);
    g_assert_cmpuint(addresses->len, ==, 3);
    const struct hostnet_link_address *found = find_address(addresses, "10.1.0.1/24");
    char text[HOSTNET_ADDRESS_TEXT];
    g_assert_nonnull(found);
    g_assert_cmpstr(hostnet_address_format(&found->broadcast, text), ==, "10.1.0.255");
    g_assert_cmpuint(found->valid, ==, HOSTNET_FOREVER);
    g_assert_cmpint(found->peer.family, ==, AF_UNSPEC);
    found = find_address(addresses, "10.1.0.2/24");
    g_assert_nonnull(found);
    g_assert_cmpuint(found->valid, <=, 1000);
    g_assert_cmpuint(found->valid, >=, 990);
    g_assert_cmpuint(found->preferred, <=, 500);
    g_assert_cmpuint(found->flags & IFA_F_NOPREFIXROUTE, !=, 0);
    g_assert_cmpuint(found->flags & IFA_F_SECONDARY, !=, 0);
    g_assert_nonnull(find_address(addresses, "fd00:1::1/64"));

    g_assert_false(hostnet_address_add(scene.net, &v4, &error));
    ns_assert_error(&error, HOSTNET_ERROR_EXISTS, "10.1.0.1/24 to lan (nlb1)");
    timed.valid = timed.preferred = HOSTNET_FOREVER;
    g_assert_true(hostnet_address_replace(scene.net, &timed, &error));
    g_assert_no_error(error);
    g_autoptr(GArray) replaced = hostnet_address_list(scene.net, scene.index, &error);
    g_assert_cmpuint(replaced->len, ==, 3);
    g_assert_cmpuint(find_address(replaced, "10.1.0.2/24")->valid, ==, HOSTNET_FOREVER);

    for (int i = 0; i < 2; i++) { /* twice is once */
        g_assert_true(hostnet_address_remove(scene.net, &timed, &error));
        g_assert_true(hostnet_address_remove(scene.net, &v4, &error));
        g_assert_true(hostnet_address_remove(scene.net, &v6, &error));
        g_assert_no_error(error);
    }
    g_autofree char *after = ns_snapshot(scene.net);
    ns_assert_same(before, after);

    struct hostnet_link_address peer = address_on(scene.index, "10.9.0.1/32");
    g_assert_true(hostnet_address_parse("10.9.0.2", &peer.peer, &error));
    g_assert_true(hostnet_address_add(scene.net, &peer, &error));
    g_autoptr(GArray) with_peer = hostnet_address_list(scene.net, scene.index, &error);
    g_assert_cmpuint(with_peer->len, ==, 1);
    found = &g_array_index(with_peer, struct hostnet_link_address, 0);
    g_assert_cmpstr(hostnet_address_format(&found->peer, text), ==, "10.9.0.2");
    g_assert_true(hostnet_address_remove(scene.net, &peer, &error));

    struct hostnet_link_address bad = address_on(7777, "10.1.0.1/24");
    g_assert_false(hostnet_address_add(scene.net, &bad, &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "7777");
    g_assert_true(hostnet_address_remove(scene.net, &bad, &error));
    bad = v4;
    bad.valid = 5;
    bad.preferred = 6;
    g_assert_false(hostnet_address_add(scene.net, &bad, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "preferred");
    bad = (struct hostnet_link_address){.index = scene.index};
    g_assert_false(hostnet_address_add(scene.net, &bad, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "IPv4 or IPv6");
    scene_end(&scene);
}

static struct hostnet_route route_to(const char *destination, const char *gateway, uint32_t index)
{
    struct hostnet_route route = {.index = index};
    GError *error = NULL;
    hostnet_prefix_parse(destination, false, &route.destination, &error);
    g_assert_no_error(error);
    if (gateway)
        hostnet_address_parse(gateway, &route.gateway, &error);
    g_assert_no_error(error);
    return route;
}

static const struct hostnet_route *find_route(GArray *routes, const char *destination, uint32_t metric)
{
    for (unsigned i = 0; i < routes->len; i++) {
        const struct hostnet_route *route = &g_array_index(routes, struct hostnet_route, i);
        char text[HOSTNET_PREFIX_TEXT];
        struct hostnet_prefix prefix = route->destination;
        if (strcmp(hostnet_prefix_format(&prefix, text), destination) == 0 && route->metric == metric)
            return route;
    }
    return NULL;
}

/* The kernel makes the local route of an IPv6 address a moment later, after duplicate detection. */
static bool has_local_route(struct hostnet *net, const char *destination)
{
    g_autoptr(GArray) routes = hostnet_route_list(net, RT_TABLE_LOCAL, 0, NULL);
    return routes && find_route(routes, destination, 0);
}

static void test_routes(void)
{
    GError *error = NULL;
    struct scene scene = scene_new();
    struct hostnet_link_address v4 = address_on(scene.index, "10.1.0.1/24"),
                                v6 = address_on(scene.index, "fd00:1::1/64");
    g_assert_true(hostnet_address_add(scene.net, &v4, &error));
    g_assert_true(hostnet_address_add(scene.net, &v6, &error));
    g_assert_true(ns_poll(10, has_local_route(scene.net, "fd00:1::1/128")));
    g_autofree char *before = ns_snapshot(scene.net);

    struct hostnet_route routes[] = {
        route_to("0.0.0.0/0", "10.1.0.254", scene.index),
        route_to("10.2.0.0/16", "10.1.0.253", 0),
        route_to("10.3.0.0/16", NULL, scene.index),
        route_to("::/0", "fd00:1::fe", scene.index),
        route_to("fd00:2::/64", "fd00:1::fd", 0),
        route_to("10.4.0.0/16", "10.1.0.252", 0),
        route_to("10.5.0.0/16", NULL, 0),
    };
    routes[0].metric = 77;
    routes[0].mtu = 1300;
    routes[1].source = v4.local.address;
    routes[5].table = 1000;
    routes[5].protocol = RTPROT_BOOT;
    routes[6].type = RTN_BLACKHOLE;
    for (unsigned i = 0; i < G_N_ELEMENTS(routes); i++) {
        g_assert_true(hostnet_route_add(scene.net, &routes[i], &error));
        g_assert_no_error(error);
    }
    g_autoptr(GArray) main_table = hostnet_route_list(scene.net, RT_TABLE_MAIN, 0, &error);
    g_assert_no_error(error);
    char text[HOSTNET_ADDRESS_TEXT];
    const struct hostnet_route *found = find_route(main_table, "0.0.0.0/0", 77);
    g_assert_nonnull(found);
    g_assert_cmpstr(hostnet_address_format(&found->gateway, text), ==, "10.1.0.254");
    g_assert_cmpuint(found->mtu, ==, 1300);
    g_assert_cmpuint(found->protocol, ==, RTPROT_STATIC);
    g_assert_cmpuint(found->index, ==, scene.index);
    found = find_route(main_table, "10.2.0.0/16", 0);
    g_assert_cmpuint(found->index, ==, scene.index); /* found by the gateway */
    g_assert_cmpstr(hostnet_address_format(&found->source, text), ==, "10.1.0.1");
    found = find_route(main_table, "10.3.0.0/16", 0);
    g_assert_cmpuint(found->scope, ==, RT_SCOPE_LINK);
    g_assert_nonnull(find_route(main_table, "::/0", 1024));
    g_assert_nonnull(find_route(main_table, "fd00:2::/64", 1024));
    g_assert_cmpuint(find_route(main_table, "10.5.0.0/16", 0)->type, ==, RTN_BLACKHOLE);
    g_assert_null(find_route(main_table, "10.4.0.0/16", 0));
    g_autoptr(GArray) other_table = hostnet_route_list(scene.net, 1000, 0, &error);
    g_assert_cmpuint(other_table->len, ==, 1);
    g_assert_cmpuint(g_array_index(other_table, struct hostnet_route, 0).protocol, ==, RTPROT_BOOT);
    g_autoptr(GArray) on_link = hostnet_route_list(scene.net, 0, scene.index, &error);
    g_autoptr(GArray) all = hostnet_route_list(scene.net, 0, 0, &error);
    g_assert_cmpuint(on_link->len, <, all->len);

    g_assert_false(hostnet_route_add(scene.net, &routes[1], &error));
    ns_assert_error(&error, HOSTNET_ERROR_EXISTS, "10.2.0.0/16 via 10.1.0.253");
    struct hostnet_route moved = routes[1];
    g_assert_true(hostnet_address_parse("10.1.0.99", &moved.gateway, &error));
    g_assert_true(hostnet_route_replace(scene.net, &moved, &error));
    g_autoptr(GArray) after_replace = hostnet_route_list(scene.net, RT_TABLE_MAIN, 0, &error);
    found = find_route(after_replace, "10.2.0.0/16", 0);
    g_assert_cmpstr(hostnet_address_format(&found->gateway, text), ==, "10.1.0.99");
    /* Removing goes by every field that is set: the old gateway is not there. */
    g_assert_true(hostnet_route_remove(scene.net, &routes[1], &error));
    g_autoptr(GArray) still = hostnet_route_list(scene.net, RT_TABLE_MAIN, 0, &error);
    g_assert_nonnull(find_route(still, "10.2.0.0/16", 0));
    routes[1] = moved;
    for (int twice = 0; twice < 2; twice++)
        for (unsigned i = 0; i < G_N_ELEMENTS(routes); i++) {
            g_assert_true(hostnet_route_remove(scene.net, &routes[i], &error));
            g_assert_no_error(error);
        }
    g_autofree char *after = ns_snapshot(scene.net);
    ns_assert_same(before, after);

    struct hostnet_route unreachable = route_to("10.6.0.0/16", "192.168.77.1", 0);
    g_assert_false(hostnet_route_add(scene.net, &unreachable, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "gateway");
    struct hostnet_route host_bits = route_to("10.6.0.0/16", "10.1.0.9", 0);
    host_bits.destination.address.bytes[3] = 1;
    g_assert_false(hostnet_route_add(scene.net, &host_bits, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "host bits");
    struct hostnet_route mixed = route_to("10.6.0.0/16", "10.1.0.9", 0);
    mixed.source = v6.local.address;
    g_assert_false(hostnet_route_add(scene.net, &mixed, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "family");
    g_assert_true(hostnet_link_set_up(scene.net, scene.index, false, &error));
    struct hostnet_route down = route_to("10.7.0.0/16", NULL, scene.index);
    g_assert_false(hostnet_route_add(scene.net, &down, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "set the link up");
    scene_end(&scene);
}

/* An IPv4 route through an IPv6 gateway (RFC 5549). */
static void test_route_via_other_family(void)
{
    GError *error = NULL;
    struct scene scene = scene_new();
    struct hostnet_link_address v6 = address_on(scene.index, "fd00:1::1/64");
    g_assert_true(hostnet_address_add(scene.net, &v6, &error));
    struct hostnet_route route = route_to("10.8.0.0/16", "fd00:1::2", scene.index);
    g_assert_true(hostnet_route_add(scene.net, &route, &error));
    g_assert_no_error(error);
    g_autoptr(GArray) routes = hostnet_route_list(scene.net, RT_TABLE_MAIN, scene.index, &error);
    char text[HOSTNET_ADDRESS_TEXT];
    g_assert_cmpstr(hostnet_address_format(&find_route(routes, "10.8.0.0/16", 0)->gateway, text), ==,
                    "fd00:1::2");
    g_assert_true(hostnet_route_remove(scene.net, &route, &error));
    g_assert_no_error(error);
    scene_end(&scene);
}

static void test_rules(void)
{
    GError *error = NULL;
    struct scene scene = scene_new();
    g_autoptr(GArray) rules = hostnet_rule_list(scene.net, &error);
    g_assert_no_error(error);
    /* What every namespace starts with: local, main, default. */
    bool has_local = false, has_main = false;
    for (unsigned i = 0; i < rules->len; i++) {
        const struct hostnet_rule *rule = &g_array_index(rules, struct hostnet_rule, i);
        has_local |= rule->family == AF_INET && rule->priority == 0 && rule->table == RT_TABLE_LOCAL;
        has_main |= rule->family == AF_INET && rule->priority == 32766 && rule->table == RT_TABLE_MAIN;
    }
    g_assert_true(has_local && has_main);
    scene_end(&scene);
}

int main(int argc, char **argv)
{
    ns_test_init(&argc, &argv);
    g_test_add_func("/address/all", test_addresses);
    g_test_add_func("/route/all", test_routes);
    g_test_add_func("/route/via-other-family", test_route_via_other_family);
    g_test_add_func("/rule/list", test_rules);
    return g_test_run();
}
