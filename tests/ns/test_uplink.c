/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A "host" whose NIC eth0 (a veth; a gateway is at its far end) is bridged and put back: everything it had is
 * on the bridge meanwhile and on the NIC again afterwards, also when the process is killed at any system call
 * of either way.
 */
#include "hostnet/dump.h"
#include "hostnet/route.h"
#include "hostnet/sysctl.h"
#include "hostnet/uplink.h"
#include "ns_harness.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STOPS_AT_MOST = 20000, SECONDS = 500, SHORT_STRIDE = 19, PATIENCE_MS = 20000 };

struct scene {
    struct hostnet *host, *outside;
    uint32_t nic;
};

static struct hostnet_prefix prefix(const char *text)
{
    struct hostnet_prefix value;
    GError *error = NULL;
    hostnet_prefix_parse(text, true, &value, &error);
    g_assert_no_error(error);
    return value;
}

static void address_add(struct hostnet *net, uint32_t index, const char *text, uint32_t valid, uint32_t flags)
{
    GError *error = NULL;
    struct hostnet_link_address address = {.index = index,
                                           .local = prefix(text),
                                           .default_broadcast = true,
                                           .flags = IFA_F_NODAD | flags,
                                           .valid = valid,
                                           .preferred = valid / 2};
    hostnet_address_add(net, &address, &error);
    g_assert_no_error(error);
}

static void route_add(struct hostnet *net, uint32_t index, const char *to, const char *via, uint32_t metric,
                      uint32_t table, uint8_t protocol)
{
    GError *error = NULL;
    struct hostnet_route route = {.destination = prefix(to),
                                  .index = index,
                                  .metric = metric,
                                  .table = table,
                                  .protocol = protocol,
                                  .gateway = via ? prefix(via).address : (struct hostnet_address){0}};
    hostnet_route_add(net, &route, &error);
    g_assert_no_error(error);
}

/* A shell command in the namespace. */
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

static struct scene scene_new(void)
{
    GError *error = NULL;
    struct scene scene = {.host = ns_new(), .outside = ns_new()};
    struct hostnet_link_identity nic, far;
    struct hostnet_link_spec near_spec = {.name = "eth0", .mark = "netlab:scene:eth0", .mtu = 1400},
                             far_spec = {.name = "gw0", .mark = "netlab:scene:gw0", .mtu = 1400, .up = true};
    hostnet_veth_create(scene.host, &near_spec, scene.outside, &far_spec, &nic, &far, &error);
    g_assert_no_error(error);
    scene.nic = nic.index;
    g_assert_true(hostnet_link_set_mark(scene.host, nic.index, "", &error)); /* as a host's own */
    hostnet_sysctl_set(scene.host, "net/ipv6/conf/eth0/accept_dad", "0", NULL, &error);
    hostnet_sysctl_set(scene.outside, "net/ipv6/conf/gw0/accept_dad", "0", NULL, &error);
    g_assert_no_error(error);
    g_assert_true(hostnet_link_set_up(scene.host, nic.index, true, &error));
    address_add(scene.outside, far.index, "192.0.2.1/24", 0, 0);
    address_add(scene.outside, far.index, "2001:db8::1/64", 0, 0);
    address_add(scene.host, nic.index, "192.0.2.7/24", 4000, 0); /* a lease */
    address_add(scene.host, nic.index, "192.0.2.8/24", 0, 0);    /* a second one of the subnet */
    address_add(scene.host, nic.index, "198.51.100.4/32", 0, IFA_F_NOPREFIXROUTE);
    address_add(scene.host, nic.index, "2001:db8::7/64", 4000, IFA_F_NOPREFIXROUTE);
    address_add(scene.host, nic.index, "fd00:9::7/64", 0, 0);
    route_add(scene.host, nic.index, "0.0.0.0/0", "192.0.2.1", 100, 0, RTPROT_DHCP);
    route_add(scene.host, nic.index, "10.20.0.0/16", "192.0.2.1", 0, 0, RTPROT_STATIC);
    route_add(scene.host, nic.index, "10.30.0.0/16", NULL, 50, 0, RTPROT_STATIC);
    route_add(scene.host, nic.index, "0.0.0.0/0", "192.0.2.1", 0, 77, RTPROT_STATIC);
    route_add(scene.host, nic.index, "2001:db8::/64", NULL, 256, 0, RTPROT_RA);
    route_add(scene.host, nic.index, "::/0", "2001:db8::1", 1024, 0, RTPROT_RA);
    /* Neighbours that somebody has set; the kernel drops the IPv4 ones with the last address. */
    g_assert_true(run_in(scene.host,
                         "ip neigh add 192.0.2.55 lladdr 02:00:00:00:00:55 dev eth0 nud permanent &&"
                         "ip neigh add proxy 192.0.2.66 dev eth0 &&"
                         "ip neigh add 2001:db8::55 lladdr 02:00:00:00:00:55 dev eth0 nud permanent"));
    return scene;
}

static void scene_end(struct scene *scene)
{
    hostnet_close(scene->host);
    hostnet_close(scene->outside);
}

/* The kernel finishes IPv6 addresses in its own time; then their local routes are there. */
static char *settled_snapshot(struct hostnet *net)
{
    char *text = NULL;
    g_assert_true(ns_poll(20, ({
                              g_free(text);
                              text = ns_snapshot(net);
                              strstr(text, " table=255 2001:db8::7/128 ") &&
                                  strstr(text, " table=255 fd00:9::7/128 ") &&
                                  strstr(text, " table=255 fe80::");
                          })));
    return text;
}

/* The snapshot becomes what it was. */
static void assert_becomes(struct hostnet *net, const char *before)
{
    char *text = NULL;
    (void)ns_poll(20, ({
                      g_free(text);
                      text = ns_snapshot(net);
                      strcmp(before, text) == 0;
                  }));
    ns_assert_same(before, text);
    g_free(text);
}

static struct hostnet_uplink *capture(struct scene *scene)
{
    GError *error = NULL;
    struct hostnet_uplink *uplink =
        hostnet_uplink_capture(scene->host, "eth0", "nlu1", "netlab:lab:campus", &error);
    g_assert_no_error(error);
    return uplink;
}

static bool has_address(struct hostnet *net, uint32_t index, const char *text)
{
    GError *error = NULL;
    g_autoptr(GArray) list = hostnet_address_list(net, index, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < list->len; i++) {
        char found[HOSTNET_PREFIX_TEXT];
        if (strcmp(hostnet_prefix_format(&g_array_index(list, struct hostnet_link_address, i).local, found),
                   text) == 0)
            return true;
    }
    return false;
}

/* The addresses of a link, in the kernel's order. */
static char *list_addresses(struct hostnet *net, uint32_t index)
{
    GError *error = NULL;
    g_autoptr(GArray) list = hostnet_address_list(net, index, &error);
    g_assert_no_error(error);
    GString *all = g_string_new(NULL);
    for (unsigned i = 0; i < list->len; i++) {
        char text[HOSTNET_PREFIX_TEXT];
        g_string_append_printf(
            all, "%s\n",
            hostnet_prefix_format(&g_array_index(list, struct hostnet_link_address, i).local, text));
    }
    return g_string_free(all, FALSE);
}

static unsigned count_notes(GPtrArray *notes, const char *text)
{
    unsigned count = 0;
    for (unsigned i = 0; i < notes->len; i++)
        count += strstr(notes->pdata[i], text) != NULL;
    return count;
}

static void test_there_and_back(void)
{
    GError *error = NULL;
    struct scene scene = scene_new();
    bool has_rules =
        run_in(scene.host, "ip rule add from 192.0.2.7 table 77 && ip rule add iif eth0 table 77 pref 900 && "
                           "ip -6 rule add oif eth0 table 77 pref 901");
    g_autofree char *before = settled_snapshot(scene.host);
    g_autoptr(hostnet_uplink) uplink = capture(&scene);
    g_autofree char *untouched = ns_snapshot(scene.host);
    ns_assert_same(before, untouched);
    g_assert_true(uplink->had_lease);
    g_assert_true(uplink->was_up);
    g_autofree char *order = list_addresses(scene.host, scene.nic);
    g_assert_true(hostnet_uplink_bridge(scene.host, uplink, "campus", &error));
    g_assert_no_error(error);

    static const char *const moved[] = {"192.0.2.7/24", "192.0.2.8/24", "198.51.100.4/32", "2001:db8::7/64",
                                        "fd00:9::7/64"};
    for (unsigned i = 0; i < G_N_ELEMENTS(moved); i++) {
        g_assert_true(has_address(scene.host, uplink->bridge.index, moved[i]));
        g_assert_false(has_address(scene.host, scene.nic, moved[i]));
    }
    g_autofree char *bridge_order = list_addresses(scene.host, uplink->bridge.index);
    g_assert_cmpstr(bridge_order, ==, order);
    g_autoptr(hostnet_link) bridge = hostnet_link_get(scene.host, uplink->bridge.index, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(&bridge->mac, sizeof bridge->mac, &uplink->mac, sizeof uplink->mac);
    g_assert_cmpuint(bridge->mtu, ==, 1400);
    g_autoptr(GArray) routes = hostnet_route_list(scene.host, 77, uplink->bridge.index, &error);
    g_assert_cmpuint(routes->len, ==, 1);
    g_autoptr(GArray) left = hostnet_route_list(scene.host, RT_TABLE_MAIN, scene.nic, &error);
    g_assert_cmpuint(left->len, ==, 0);
    if (has_rules) {
        g_assert_true(run_in(scene.host, "ip rule | grep -q 'iif nlu1 lookup 77'"));
        g_assert_true(run_in(scene.host, "ip -6 rule | grep -q 'oif nlu1'"));
    }
    /* The lease's time runs on. */
    g_autoptr(GArray) addresses = hostnet_address_list(scene.host, uplink->bridge.index, &error);
    const struct hostnet_link_address *lease = &g_array_index(addresses, struct hostnet_link_address, 0);
    g_assert_cmpuint(lease->valid, <=, 4000);
    g_assert_cmpuint(lease->valid, >, 3000);
    enum hostnet_uplink_answer answer;
    g_assert_true(hostnet_uplink_confirm(scene.host, uplink, PATIENCE_MS, &answer, &error));
    g_assert_no_error(error);
    g_assert_cmpint(answer, ==, HOSTNET_UPLINK_ANSWERED);

    g_assert_true(run_in(scene.host, "ip neigh show dev nlu1 nud permanent | grep -q '^192.0.2.55 '"));

    /* Through its text, as from a journal. */
    g_autofree char *text = hostnet_uplink_format(uplink);
    g_autoptr(hostnet_uplink) again = hostnet_uplink_parse(text, &error);
    g_assert_no_error(error);
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    for (unsigned times = 0; times < 2; times++) {
        g_assert_true(hostnet_uplink_restore(scene.host, again, notes, &error));
        g_assert_no_error(error);
        assert_becomes(scene.host, before);
        g_autofree char *order_again = list_addresses(scene.host, scene.nic);
        g_assert_cmpstr(order_again, ==, order);
    }
    g_assert_cmpuint(notes->len, ==, 0);
    scene_end(&scene);
}

/* An address that came back behind the others, as after a refusal: all of them stand as before in the end,
 * and so do the routes, with one that another tool has set meanwhile. */
static void test_order(void)
{
    static const char *const late[] = {"192.0.2.7/24", "2001:db8::7/64"};
    for (unsigned i = 0; i < G_N_ELEMENTS(late); i++) {
        GError *error = NULL;
        struct scene scene = scene_new();
        route_add(scene.host, scene.nic, "10.50.0.0/16", NULL, 7, 0, RTPROT_STATIC);
        g_autofree char *before = settled_snapshot(scene.host);
        g_autoptr(hostnet_uplink) uplink = capture(&scene);
        g_autofree char *order = list_addresses(scene.host, scene.nic);
        g_autoptr(GArray) list = hostnet_address_list(scene.host, scene.nic, &error);
        for (unsigned k = 0; k < list->len; k++) {
            struct hostnet_link_address *address = &g_array_index(list, struct hostnet_link_address, k);
            char text[HOSTNET_PREFIX_TEXT];
            if (strcmp(hostnet_prefix_format(&address->local, text), late[i]) != 0)
                continue;
            g_assert_true(hostnet_address_remove(scene.host, address, &error));
            g_assert_true(hostnet_address_replace(scene.host, address, &error));
        }
        g_assert_no_error(error);
        g_autofree char *wrong = list_addresses(scene.host, scene.nic);
        g_assert_cmpstr(wrong, !=, order);
        g_assert_true(hostnet_uplink_restore(scene.host, uplink, NULL, &error));
        g_assert_no_error(error);
        g_autofree char *right = list_addresses(scene.host, scene.nic);
        g_assert_cmpstr(right, ==, order);
        assert_becomes(scene.host, before);
        scene_end(&scene);
    }
}

static void test_silent_gateway(void)
{
    GError *error = NULL;
    struct scene scene = scene_new();
    g_autoptr(hostnet_link) far = hostnet_link_find(scene.outside, "gw0", &error);
    g_autoptr(hostnet_uplink) uplink = capture(&scene);
    g_assert_true(hostnet_uplink_bridge(scene.host, uplink, NULL, &error));
    g_autoptr(GArray) addresses = hostnet_address_list(scene.outside, far->index, &error);
    for (unsigned i = 0; i < addresses->len; i++)
        g_assert_true(hostnet_address_remove(
            scene.outside, &g_array_index(addresses, struct hostnet_link_address, i), &error));
    enum hostnet_uplink_answer answer;
    g_assert_true(hostnet_uplink_confirm(scene.host, uplink, 200, &answer, &error));
    g_assert_cmpint(answer, ==, HOSTNET_UPLINK_SILENT);
    g_assert_true(hostnet_uplink_restore(scene.host, uplink, NULL, &error));
    g_assert_no_error(error);
    scene_end(&scene);
}

/* What others do meanwhile stays theirs, and is told. */
static void test_foreign_hands(void)
{
    GError *error = NULL;
    struct scene scene = scene_new();
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(hostnet_uplink) uplink = capture(&scene);
    route_add(scene.host, scene.nic, "10.45.0.0/16", "192.0.2.1", 0, 0,
              RTPROT_STATIC); /* after the capture */
    g_assert_true(hostnet_uplink_bridge(scene.host, uplink, NULL, &error));
    g_assert_true(run_in(scene.host, "ip route | grep -q '10.45.0.0/16 via 192.0.2.1 dev nlu1'"));
    address_add(scene.host, uplink->bridge.index, "192.0.2.99/24", 0, 0);
    address_add(scene.host, scene.nic, "203.0.113.5/24", 0, 0);
    route_add(scene.host, uplink->bridge.index, "10.44.0.0/16", "192.0.2.1", 9, 0, RTPROT_STATIC);
    route_add(scene.host, uplink->bridge.index, "2001:db8:44::/48", "2001:db8::1", 1024, 77, RTPROT_STATIC);
    bool has_discipline = run_in(scene.host, "tc qdisc add dev nlu1 root pfifo");
    ns_tap(scene.host, "tap9", "netlab:other:x", uplink->bridge.index, true, NULL);
    g_autoptr(hostnet_link) tap = hostnet_link_find(scene.host, "tap9", &error);
    g_assert_true(hostnet_link_set_mark(scene.host, tap->index, "", &error));
    g_assert_true(hostnet_uplink_restore(scene.host, uplink, notes, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(count_notes(notes, "192.0.2.99/24 was given to the bridge"), ==, 1);
    g_assert_cmpuint(count_notes(notes, "203.0.113.5/24, which somebody else gave"), ==, 1);
    g_assert_cmpuint(count_notes(notes, "tap9, which is not ours"), ==, 1);
    g_assert_cmpuint(count_notes(notes, "the route 10.44.0.0/16 via 192.0.2.1 metric 9 was given to"), ==, 1);
    g_assert_cmpuint(count_notes(notes, "2001:db8:44::/48 via 2001:db8::1 metric 1024 table 77 was"), ==, 1);
    g_assert_cmpuint(count_notes(notes, "the route 10.45.0.0/16 via 192.0.2.1 was given to"), ==, 1);
    g_assert_cmpuint(count_notes(notes, "the route "), ==, 3);
    g_assert_cmpuint(count_notes(notes, "discipline pfifo was given to"), ==, has_discipline);
    g_autoptr(hostnet_link) tap_left = hostnet_link_find(scene.host, "tap9", &error);
    g_assert_no_error(error);
    g_assert_true(has_address(scene.host, scene.nic, "192.0.2.7/24"));
    scene_end(&scene);

    /* Into another bridge: it stays there. */
    scene = scene_new();
    g_autoptr(hostnet_uplink) second = capture(&scene);
    g_assert_true(hostnet_uplink_bridge(scene.host, second, NULL, &error));
    struct hostnet_link_identity other = ns_bridge(scene.host, "br9", "netlab:other:br9");
    g_assert_true(hostnet_bridge_remove_port(scene.host, second->bridge.index, scene.nic, &error));
    g_assert_true(hostnet_bridge_add_port(scene.host, other.index, scene.nic, &error));
    g_ptr_array_set_size(notes, 0);
    g_assert_true(hostnet_uplink_restore(scene.host, second, notes, &error));
    g_assert_cmpuint(count_notes(notes, "into another bridge"), ==, 1);
    g_autoptr(hostnet_link) nic = hostnet_link_get(scene.host, scene.nic, &error);
    g_assert_cmpuint(nic->master, ==, other.index);
    scene_end(&scene);

    /* Pulled out altogether. */
    scene = scene_new();
    g_autoptr(hostnet_uplink) third = capture(&scene);
    g_assert_true(hostnet_uplink_bridge(scene.host, third, NULL, &error));
    hostnet_close(scene.outside);
    scene.outside = NULL;
    g_assert_true(ns_poll(20, ({
                              g_autoptr(hostnet_link) still = hostnet_link_get(scene.host, scene.nic, NULL);
                              still == NULL;
                          })));
    g_ptr_array_set_size(notes, 0);
    g_assert_true(hostnet_uplink_restore(scene.host, third, notes, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(count_notes(notes, "eth0 is gone"), ==, 1);
    g_autoptr(hostnet_link) bridge = hostnet_link_get(scene.host, third->bridge.index, NULL);
    g_assert_null(bridge);
    hostnet_close(scene.host);
}

/* The NIC has another MAC, another name, or was set down when it is put back. */
static void test_changed_nic(void)
{
    static const struct {
        const char *command, *name, *note;
        bool has_routes;
    } changes[] = {
        {"ip link set eth0 address 02:00:00:00:00:77", "eth0", "eth0 has the MAC 02:00:00:00:00:77, which",
         true},
        {"ip link set eth0 down && ip link set eth0 name eth9 && ip link set eth9 up", "eth9",
         "eth0 is called eth9 now", true},
        {"ip link set eth0 down && ip link set eth0 address 02:00:00:00:00:77 && ip link set eth0 name eth9 "
         "&& "
         "ip link set eth9 up",
         "eth9", "eth9 has the MAC 02:00:00:00:00:77", true},
        {"ip link set eth0 nomaster && ip link set eth0 address 02:00:00:00:00:77", "eth0", "has the MAC",
         true},
        {"ip link set eth0 down", "eth0", "eth0 is down, which somebody else did", false},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(changes); i++) {
        GError *error = NULL;
        struct scene scene = scene_new();
        g_autoptr(hostnet_uplink) uplink = capture(&scene);
        g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
        g_assert_true(hostnet_uplink_bridge(scene.host, uplink, NULL, &error));
        g_assert_true(run_in(scene.host, changes[i].command));
        g_assert_true(hostnet_uplink_restore(scene.host, uplink, notes, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(count_notes(notes, changes[i].note), ==, 1);
        g_assert_cmpuint(count_notes(notes, "is gone"), ==, 0);
        g_assert_true(has_address(scene.host, scene.nic, "192.0.2.7/24"));
        g_autofree char *look =
            g_strdup_printf("ip route | grep -q '^default via 192.0.2.1 dev %s '", changes[i].name);
        g_assert_cmpint(run_in(scene.host, look), ==, changes[i].has_routes);
        g_autoptr(hostnet_link) bridge = hostnet_link_get(scene.host, uplink->bridge.index, NULL);
        g_assert_null(bridge);
        scene_end(&scene);
    }
}

/* Routes by nexthop objects: by what those say while the NIC is bridged, by the objects again afterwards,
 * and without them where they are there no more. */
static void test_nexthop_objects(void)
{
    GError *error = NULL;
    struct scene scene = scene_new();
    if (!run_in(scene.host,
                "ip nexthop add id 5 via 192.0.2.1 dev eth0 && ip route add 10.60.0.0/16 nhid 5 && "
                "ip nexthop add id 6 via 2001:db8::1 dev eth0 && ip route add 2001:db8:60::/48 nhid 6")) {
        g_test_skip("no nexthop objects here");
        scene_end(&scene);
        return;
    }
    g_autofree char *before = settled_snapshot(scene.host);
    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(hostnet_uplink) uplink = capture(&scene);
        g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
        hostnet_uplink_bridge(scene.host, uplink, NULL, &error);
        g_assert_no_error(error);
        g_assert_true(run_in(scene.host, "ip route | grep -q '^10.60.0.0/16 via 192.0.2.1 dev nlu1'"));
        g_assert_true(
            run_in(scene.host, "ip -6 route | grep -q '^2001:db8:60::/48 via 2001:db8::1 dev nlu1'"));
        if (i)
            g_assert_true(run_in(scene.host, "ip nexthop del id 5 && ip nexthop del id 6"));
        hostnet_uplink_restore(scene.host, uplink, notes, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(notes->len, ==, 0);
        if (!i)
            assert_becomes(scene.host, before);
    }
    g_assert_true(run_in(scene.host, "ip route | grep -q '^10.60.0.0/16 via 192.0.2.1 dev eth0'"));
    g_assert_true(run_in(scene.host, "ip -6 route | grep -q '^2001:db8:60::/48 via 2001:db8::1 dev eth0'"));
    scene_end(&scene);
}

static void assert_cannot(struct hostnet *net, const char *nic, const char *text)
{
    GError *error = NULL;
    g_assert_false(hostnet_uplink_check(net, nic, NULL, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, text);
    g_autoptr(hostnet_uplink) none = hostnet_uplink_capture(net, nic, "nlu1", "netlab:lab:x", &error);
    g_assert_null(none);
    g_clear_error(&error);
}

static void test_refusals(void)
{
    GError *error = NULL;
    struct scene scene = scene_new();
    g_autofree char *before = settled_snapshot(scene.host);
    assert_cannot(scene.host, "lo", "loopback");
    g_assert_false(hostnet_uplink_check(scene.host, "eth7", NULL, &error));
    g_assert_error(error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_true(hostnet_uplink_check(scene.host, "eth0", NULL, &error));
    g_autofree char *after = ns_snapshot(scene.host);
    ns_assert_same(before, after);
    struct hostnet_link_identity bridge = ns_bridge(scene.host, "br9", "netlab:other:br9");
    assert_cannot(scene.host, "br9", "a bridge already");
    ns_tap(scene.host, "tap9", "netlab:other:x", 0, true, NULL);
    assert_cannot(scene.host, "tap9", "belongs to a lab");
    g_assert_true(hostnet_bridge_add_port(scene.host, bridge.index, scene.nic, &error));
    assert_cannot(scene.host, "eth0", "a part of br9 already; name that bridge");
    static const char *const broken[] = {"", "x", "[uplink]\nversion=1\n", "[uplink]\nversion=2\nnic=eth0\n"};
    for (unsigned i = 0; i < G_N_ELEMENTS(broken); i++) {
        g_autoptr(hostnet_uplink) none = hostnet_uplink_parse(broken[i], &error);
        g_assert_null(none);
        ns_assert_error(&error, HOSTNET_ERROR_INVALID, "cannot be read");
    }
    scene_end(&scene);
}

/* ---- killed at every system call ---- */

struct deed {
    struct hostnet *host;
    const struct hostnet_uplink *uplink;
    bool is_back;
};

static int do_deed(const struct deed *deed)
{
    if (!deed->is_back)
        return hostnet_uplink_bridge(deed->host, deed->uplink, NULL, NULL) ? 0 : 1;
    return hostnet_uplink_restore(deed->host, deed->uplink, NULL, NULL) ? 0 : 2;
}

/* True when the child came to its end before the stop; -1: not to be traced here. */
static int run_to_stop(const struct deed *deed, unsigned stop)
{
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(77);
        raise(SIGSTOP);
        _exit(do_deed(deed));
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        return -1;
    ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(uintptr_t)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD));
    for (unsigned at = 0; at < stop; at++) {
        g_assert_cmpint(ptrace(PTRACE_SYSCALL, child, NULL, NULL), ==, 0);
        g_assert_cmpint(waitpid(child, &status, 0), ==, child);
        if (WIFEXITED(status)) {
            g_assert_cmpint(WEXITSTATUS(status), ==, 0);
            return 1;
        }
    }
    kill(child, SIGKILL);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    return 0;
}

static void kill_everywhere(bool is_back)
{
    GError *error = NULL;
    struct scene scene = scene_new();
    g_autofree char *before = settled_snapshot(scene.host);
    unsigned stop = 1, tried = 0, stride = g_getenv("NETLAB_TEST_FULL") ? 1 : SHORT_STRIDE;
    gint64 deadline = g_get_monotonic_time() + SECONDS * G_USEC_PER_SEC;
    for (int done = 0; !done && stop < STOPS_AT_MOST; stop += stride) {
        g_autoptr(hostnet_uplink) uplink = capture(&scene);
        if (is_back)
            g_assert_true(hostnet_uplink_bridge(scene.host, uplink, NULL, &error));
        g_assert_no_error(error);
        struct deed deed = {scene.host, uplink, is_back};
        done = run_to_stop(&deed, stop);
        if (done < 0) {
            g_test_skip("processes may not be traced here");
            break;
        }
        tried++;
        g_assert_true(hostnet_uplink_restore(scene.host, uplink, NULL, &error));
        g_assert_no_error(error);
        assert_becomes(scene.host, before);
        if (g_get_monotonic_time() > deadline)
            g_error("only %u stops in %d s", tried, SECONDS);
    }
    g_assert_true(stop < STOPS_AT_MOST);
    g_test_message("killed at %u of %u stops of %s: no difference", tried, stop,
                   is_back ? "restoring" : "bridging");
    scene_end(&scene);
}

static void test_killed_bridging(void)
{
    kill_everywhere(false);
}

static void test_killed_restoring(void)
{
    kill_everywhere(true);
}

int main(int argc, char **argv)
{
    ns_test_init(&argc, &argv);
    g_test_add_func("/uplink/there-and-back", test_there_and_back);
    g_test_add_func("/uplink/order", test_order);
    g_test_add_func("/uplink/silent-gateway", test_silent_gateway);
    g_test_add_func("/uplink/foreign-hands", test_foreign_hands);
    g_test_add_func("/uplink/changed-nic", test_changed_nic);
    g_test_add_func("/uplink/nexthop-objects", test_nexthop_objects);
    g_test_add_func("/uplink/refusals", test_refusals);
    g_test_add_func("/uplink/killed-bridging", test_killed_bridging);
    g_test_add_func("/uplink/killed-restoring", test_killed_restoring);
    return g_test_run();
}
