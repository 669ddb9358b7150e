/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Snapshots (equal when nothing was changed, different when anything was), raw dumps and their replay, and
 * the event monitor.
 */
#include "hostnet/dump.h"
#include "hostnet/monitor.h"
#include "hostnet/route.h"
#include "hostnet/snapshot.h"
#include "hostnet/sysctl.h"
#include "ns_harness.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <string.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct hostnet_link_address address_on(uint32_t index, const char *text)
{
    struct hostnet_link_address address = {.index = index, .default_broadcast = true, .flags = IFA_F_NODAD};
    GError *error = NULL;
    hostnet_prefix_parse(text, false, &address.local, &error);
    g_assert_no_error(error);
    return address;
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

/* ---- snapshots ---- */

static void add_altname(struct hostnet *net, uint32_t index)
{
    g_assert_true(hostnet_link_add_altname(net, index, "other", NULL));
}
static void remove_altname(struct hostnet *net, uint32_t index)
{
    g_assert_true(hostnet_link_remove_altname(net, index, "other", NULL));
}
static void raise_mtu(struct hostnet *net, uint32_t index)
{
    g_assert_true(hostnet_link_set_mtu(net, index, 2000, NULL));
}
static void lower_mtu(struct hostnet *net, uint32_t index)
{
    g_assert_true(hostnet_link_set_mtu(net, index, 1500, NULL));
}
static void change_mark(struct hostnet *net, uint32_t index)
{
    g_assert_true(hostnet_link_set_mark(net, index, "netlab:lab:other", NULL));
}
static void restore_mark(struct hostnet *net, uint32_t index)
{
    g_assert_true(hostnet_link_set_mark(net, index, "netlab:lab:lan", NULL));
}
static void set_stp(struct hostnet *net, uint32_t index)
{
    g_assert_true(hostnet_bridge_set(net, index, &(struct hostnet_bridge_spec){.stp = true}, NULL));
}
static void clear_stp(struct hostnet *net, uint32_t index)
{
    g_assert_true(hostnet_bridge_set(net, index, &(struct hostnet_bridge_spec){}, NULL));
}
static void add_address(struct hostnet *net, uint32_t index)
{
    struct hostnet_link_address address = address_on(index, "10.1.0.1/24");
    address.flags |= IFA_F_NOPREFIXROUTE;
    g_assert_true(hostnet_address_add(net, &address, NULL));
}
static void remove_address(struct hostnet *net, uint32_t index)
{
    struct hostnet_link_address address = address_on(index, "10.1.0.1/24");
    g_assert_true(hostnet_address_remove(net, &address, NULL));
}
static void add_route(struct hostnet *net, uint32_t index)
{
    struct hostnet_route route = route_to("10.7.0.0/16", NULL, index);
    route.table = 77;
    g_assert_true(hostnet_route_add(net, &route, NULL));
}
static void remove_route(struct hostnet *net, uint32_t index)
{
    struct hostnet_route route = route_to("10.7.0.0/16", NULL, index);
    route.table = 77;
    g_assert_true(hostnet_route_remove(net, &route, NULL));
}
static void set_forward(struct hostnet *net, uint32_t index)
{
    g_assert_true(hostnet_sysctl_set(net, "net/ipv4/ip_default_ttl", "55", NULL, NULL));
}
static void clear_forward(struct hostnet *net, uint32_t index)
{
    g_assert_true(hostnet_sysctl_set(net, "net/ipv4/ip_default_ttl", "64", NULL, NULL));
}
static void set_link_sysctl(struct hostnet *net, uint32_t index)
{
    g_assert_true(hostnet_sysctl_set(net, "net/ipv6/conf/nlb1/accept_ra", "2", NULL, NULL));
}
static void clear_link_sysctl(struct hostnet *net, uint32_t index)
{
    g_assert_true(hostnet_sysctl_set(net, "net/ipv6/conf/nlb1/accept_ra", "1", NULL, NULL));
}

/* Each change shows, with the text that names it, and taking it back makes the snapshot what it was. */
static void test_changes_show(void)
{
    static const struct {
        void (*change)(struct hostnet *net, uint32_t index);
        void (*undo)(struct hostnet *net, uint32_t index);
        const char *text;
    } rows[] = {
        {add_altname, remove_altname, "altname=other"},
        {raise_mtu, lower_mtu, "mtu=2000"},
        {change_mark, restore_mark, "netlab:lab:other"},
        {set_stp, clear_stp, "stp_state=1"},
        {add_address, remove_address, "+address nlb1 10.1.0.1/24"},
        {add_route, remove_route, "+route inet table=77 10.7.0.0/16"},
        {set_forward, clear_forward, "+sysctl net/ipv4/ip_default_ttl = 55"},
        {set_link_sysctl, clear_link_sysctl, "link nlb1"},
    };
    g_autoptr(hostnet) net = ns_new();
    struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    g_autofree char *before = ns_snapshot(net);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        rows[i].change(net, bridge.index);
        g_autofree char *changed = ns_snapshot(net);
        g_autofree char *difference = hostnet_snapshot_diff(before, changed);
        g_test_message("%s", rows[i].text);
        g_assert_nonnull(difference);
        g_assert_nonnull(strstr(difference, rows[i].text));
        rows[i].undo(net, bridge.index);
        g_autofree char *undone = ns_snapshot(net);
        ns_assert_same(before, undone);
    }
}

/* Made anew under another index: the same text, unless indexes are asked for. Frames and time change nothing.
 */
static void test_snapshot_equality(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    int fd;
    struct hostnet_mac mac = {{2, 0, 0, 0, 0, 7}};
    struct hostnet_tap_spec spec = {.link = {.name = "nlt1",
                                             .mark = "netlab:lab:h1",
                                             .mac = &mac,
                                             .up = true,
                                             .no_ipv6_address = true,
                                             .master = bridge.index}};
    fd = hostnet_tap_create(net, &spec, NULL, &error);
    g_assert_no_error(error);
    g_autofree char *before = ns_snapshot(net);
    g_autofree char *indexes_before = hostnet_snapshot_take(net, HOSTNET_SNAPSHOT_INDEXES, &error);
    close(fd);
    g_autofree char *without = ns_snapshot(net);
    g_autofree char *difference = hostnet_snapshot_diff(before, without);
    g_assert_true(strstr(difference, "-link nlt1 ") && !strstr(difference, "+link nlt1 "));
    fd = hostnet_tap_create(net, &spec, NULL, &error);
    uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1};
    for (int i = 0; i < 100; i++)
        g_assert_cmpint(write(fd, frame, sizeof frame), ==, sizeof frame);
    g_autofree char *again = ns_snapshot(net);
    ns_assert_same(before, again);
    g_autofree char *indexes_again = hostnet_snapshot_take(net, HOSTNET_SNAPSHOT_INDEXES, &error);
    g_autofree char *index_difference = hostnet_snapshot_diff(indexes_before, indexes_again);
    g_assert_nonnull(strstr(index_difference, "link nlt1"));
    g_autofree char *neighbours = hostnet_snapshot_take(net, HOSTNET_SNAPSHOT_NEIGHBOURS, &error);
    g_assert_no_error(error);
    g_assert_nonnull(strstr(neighbours, "neighbour bridge nlt1"));
    close(fd);
    g_assert_null(hostnet_snapshot_diff("a\nb\n", "a\nb\n"));
    g_autofree char *small = hostnet_snapshot_diff("a\nb\nb\nd\n", "b\nc\nd\n");
    g_assert_cmpstr(small, ==, "-a\n-b\n+c\n");
    g_autofree char *from_nothing = hostnet_snapshot_diff("", "x\n");
    g_assert_cmpstr(from_nothing, ==, "+x\n");
}

/* ---- nf_tables, whose objects hostnet does not make yet: built here ---- */

struct nft_batch {
    char bytes[4096];
    size_t length;
    uint32_t sequence;
};

static struct nlmsghdr *nft_begin(struct nft_batch *batch, uint16_t type, uint16_t flags, uint8_t family)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(batch->bytes + batch->length);
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | flags;
    message->nlmsg_seq = ++batch->sequence;
    struct nfgenmsg *header = mnl_nlmsg_put_extra_header(message, sizeof *header);
    header->nfgen_family = family;
    header->version = NFNETLINK_V0;
    if (type == NFNL_MSG_BATCH_BEGIN || type == NFNL_MSG_BATCH_END)
        header->res_id = htons(NFNL_SUBSYS_NFTABLES);
    return message;
}

static void nft_end(struct nft_batch *batch, const struct nlmsghdr *message)
{
    batch->length += MNL_ALIGN(message->nlmsg_len);
}

static void nft_put_rule(struct nft_batch *batch, uint16_t type)
{
    struct nlmsghdr *message = nft_begin(batch, type, NLM_F_CREATE | NLM_F_APPEND, AF_INET);
    mnl_attr_put_strz(message, NFTA_RULE_TABLE, "netlab-test");
    mnl_attr_put_strz(message, NFTA_RULE_CHAIN, "out");
    struct nlattr *list = mnl_attr_nest_start(message, NFTA_RULE_EXPRESSIONS);
    struct nlattr *element = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
    mnl_attr_put_strz(message, NFTA_EXPR_NAME, "counter");
    mnl_attr_nest_end(message, mnl_attr_nest_start(message, NFTA_EXPR_DATA));
    mnl_attr_nest_end(message, element);
    mnl_attr_nest_end(message, list);
    nft_end(batch, message);
}

/* A table with a chain on the output hook that has `rules` rules that count; or that table away. False:
 * refused. */
static bool nft_change(bool remove, unsigned rules)
{
    enum { TYPE = NFNL_SUBSYS_NFTABLES << 8 };
    struct nft_batch batch = {};
    nft_end(&batch, nft_begin(&batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC));
    struct nlmsghdr *message = nft_begin(&batch, TYPE | (remove ? NFT_MSG_DELTABLE : NFT_MSG_NEWTABLE),
                                         remove ? 0 : NLM_F_CREATE, AF_INET);
    mnl_attr_put_strz(message, NFTA_TABLE_NAME, "netlab-test");
    nft_end(&batch, message);
    if (!remove) {
        message = nft_begin(&batch, TYPE | NFT_MSG_NEWCHAIN, NLM_F_CREATE, AF_INET);
        mnl_attr_put_strz(message, NFTA_CHAIN_TABLE, "netlab-test");
        mnl_attr_put_strz(message, NFTA_CHAIN_NAME, "out");
        struct nlattr *hook = mnl_attr_nest_start(message, NFTA_CHAIN_HOOK);
        mnl_attr_put_u32(message, NFTA_HOOK_HOOKNUM, htonl(NF_INET_LOCAL_OUT));
        mnl_attr_put_u32(message, NFTA_HOOK_PRIORITY, htonl(0));
        mnl_attr_nest_end(message, hook);
        mnl_attr_put_strz(message, NFTA_CHAIN_TYPE, "filter");
        nft_end(&batch, message);
    }
    for (unsigned i = 0; i < rules; i++)
        nft_put_rule(&batch, TYPE | NFT_MSG_NEWRULE);
    nft_end(&batch, nft_begin(&batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC));
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0)
        return false;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    bool sent = sendto(fd, batch.bytes, batch.length, 0, (struct sockaddr *)&kernel, sizeof kernel) ==
                (ssize_t)batch.length;
    char answer[4096]; /* only refusals are answered */
    ssize_t length = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
    close(fd);
    return sent && length < 0;
}

static void test_nftables(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) here = hostnet_open(&error); /* the test's own namespace, not the machine's */
    g_autofree char *before = ns_snapshot(here);
    if (!nft_change(false, 2)) {
        g_test_skip("no nf_tables in this kernel");
        return;
    }
    g_autofree char *with = ns_snapshot(here);
    g_autofree char *difference = hostnet_snapshot_diff(before, with);
    g_test_message("%s", difference);
    g_assert_nonnull(strstr(difference, "+nft table family=2 table=netlab-test"));
    g_assert_nonnull(strstr(difference, "+nft chain family=2 table=netlab-test chain=out"));
    g_assert_nonnull(strstr(
        difference, "+nft rule family=2 place=000000 table=netlab-test chain=out expressions=(counter)"));
    g_assert_nonnull(strstr(difference, "+nft rule family=2 place=000001 "));
    /* Packets counted are no difference. */
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 10; i++)
        (void)!sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
    close(fd);
    g_autofree char *counted = ns_snapshot(here);
    ns_assert_same(with, counted);
    /* Made anew, with other handles: the same. */
    g_assert_true(nft_change(true, 0));
    g_autofree char *without = ns_snapshot(here);
    ns_assert_same(before, without);
    g_assert_true(nft_change(false, 2));
    g_autofree char *again = ns_snapshot(here);
    ns_assert_same(with, again);
    g_assert_true(nft_change(true, 0));
}

/* ---- dumps and replay ---- */

struct uplink {
    struct hostnet *net;
    struct hostnet_link_identity near_end, bridge;
};

/* A "NIC" with addresses and routes of many kinds, and a bridge to move them to. */
static struct uplink uplink_new(void)
{
    GError *error = NULL;
    struct uplink uplink = {.net = ns_new()};
    struct hostnet_link_spec
        near_end = {.name = "eth0", .mark = "netlab:test:nic", .up = true, .no_ipv6_address = true},
        far_end = {.name = "far0", .mark = "netlab:test:far", .up = true, .no_ipv6_address = true};
    g_assert_true(
        hostnet_veth_create(uplink.net, &near_end, uplink.net, &far_end, &uplink.near_end, NULL, &error));
    uplink.bridge = ns_bridge(uplink.net, "br0", "netlab:test:br");
    uint32_t index = uplink.near_end.index;
    struct hostnet_link_address addresses[] = {address_on(index, "192.0.2.7/24"),
                                               address_on(index, "192.0.2.8/24"),
                                               address_on(index, "2001:db8::7/64")};
    addresses[1].valid = 3000;
    addresses[1].preferred = 2000;
    g_strlcpy(addresses[0].label, "eth0:first", sizeof addresses[0].label);
    for (unsigned i = 0; i < G_N_ELEMENTS(addresses); i++)
        g_assert_true(hostnet_address_add(uplink.net, &addresses[i], &error));
    struct hostnet_route routes[] = {
        route_to("0.0.0.0/0", "192.0.2.1", index),      route_to("198.51.100.0/24", NULL, index),
        route_to("203.0.113.0/24", "192.0.2.1", index), route_to("::/0", "2001:db8::1", index),
        route_to("10.0.0.0/8", "198.51.100.9", index),
    };
    routes[0].metric = 100;
    routes[0].protocol = RTPROT_DHCP;
    routes[0].source = addresses[0].local.address;
    routes[2].table = 500;
    routes[2].mtu = 1280;
    for (unsigned i = 0; i < G_N_ELEMENTS(routes); i++) {
        g_assert_true(hostnet_route_add(uplink.net, &routes[i], &error));
        g_assert_no_error(error);
    }
    return uplink;
}

static unsigned count_lines(const char *text, const char *wanted)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, wanted)); at++)
        count++;
    return count;
}

static void replay_both(struct uplink *uplink, GBytes *addresses, GBytes *routes, uint32_t to,
                        uint32_t elapsed)
{
    GError *error = NULL;
    uint32_t from = uplink->near_end.index;
    g_assert_cmpint(hostnet_dump_replay(uplink->net, addresses, from, to, elapsed, &error), >=, 2);
    g_assert_no_error(error);
    g_assert_cmpint(hostnet_dump_replay(uplink->net, routes, from, to, elapsed, &error), >=, 5);
    g_assert_no_error(error);
}

/* Taken off a link and put back on it: the namespace is what it was, attribute for attribute. */
static void test_replay_same_link(void)
{
    GError *error = NULL;
    struct uplink uplink = uplink_new();
    uint32_t index = uplink.near_end.index;
    g_assert_true(ns_poll(10, ({
                              g_autofree char *text = ns_snapshot(uplink.net);
                              strstr(text, "route inet6 table=255 2001:db8::7/128") != NULL;
                          })));
    g_autofree char *before = ns_snapshot(uplink.net);
    g_autoptr(GBytes) all_addresses = hostnet_dump_take(uplink.net, HOSTNET_DUMP_ADDRESSES, &error);
    g_autoptr(GBytes) all_routes = hostnet_dump_take(uplink.net, HOSTNET_DUMP_ROUTES, &error);
    g_autoptr(GBytes) addresses = hostnet_dump_filter(all_addresses, index);
    g_autoptr(GBytes) routes = hostnet_dump_filter(all_routes, index);
    g_assert_cmpuint(hostnet_dump_count(addresses), ==, 3);
    g_assert_cmpuint(hostnet_dump_count(addresses), <, hostnet_dump_count(all_addresses));

    g_autoptr(GArray) listed = hostnet_address_list(uplink.net, index, &error);
    for (unsigned i = 0; i < listed->len; i++)
        g_assert_true(hostnet_address_remove(uplink.net,
                                             &g_array_index(listed, struct hostnet_link_address, i), &error));
    g_assert_no_error(error);
    g_autofree char *empty = ns_snapshot(uplink.net);
    g_assert_null(strstr(empty, "192.0.2.7"));
    replay_both(&uplink, addresses, routes, index, 0);
    g_assert_true(ns_poll(10, ({
                              g_autofree char *text = ns_snapshot(uplink.net);
                              strstr(text, "route inet6 table=255 2001:db8::7/128") != NULL;
                          })));
    g_autofree char *after = ns_snapshot(uplink.net);
    ns_assert_same(before, after);
    replay_both(&uplink, addresses, routes, index, 0); /* twice is once */
    g_autofree char *twice = ns_snapshot(uplink.net);
    ns_assert_same(before, twice);
    hostnet_close(uplink.net);
}

/* Moved from the NIC to the bridge, as bridging an uplink does; with time having passed. */
static void test_replay_other_link(void)
{
    GError *error = NULL;
    struct uplink uplink = uplink_new();
    uint32_t index = uplink.near_end.index;
    g_autoptr(GBytes) all_addresses = hostnet_dump_take(uplink.net, HOSTNET_DUMP_ADDRESSES, &error);
    g_autoptr(GBytes) all_routes = hostnet_dump_take(uplink.net, HOSTNET_DUMP_ROUTES, &error);
    g_autoptr(GBytes) addresses = hostnet_dump_filter(all_addresses, index);
    g_autoptr(GBytes) routes = hostnet_dump_filter(all_routes, index);
    g_autoptr(GArray) listed = hostnet_address_list(uplink.net, index, &error);
    for (unsigned i = 0; i < listed->len; i++)
        g_assert_true(hostnet_address_remove(uplink.net,
                                             &g_array_index(listed, struct hostnet_link_address, i), &error));
    g_assert_true(hostnet_bridge_add_port(uplink.net, uplink.bridge.index, index, &error));
    g_autoptr(GArray) cleared = hostnet_route_list(uplink.net, 0, index, &error);
    for (unsigned i = 0; i < cleared->len; i++) {
        const struct hostnet_route *route = &g_array_index(cleared, struct hostnet_route, i);
        if (route->table != RT_TABLE_LOCAL)
            g_assert_true(hostnet_route_remove(uplink.net, route, &error));
    }

    replay_both(&uplink, addresses, routes, uplink.bridge.index, 1000);
    g_autoptr(GArray) moved = hostnet_address_list(uplink.net, uplink.bridge.index, &error);
    g_assert_cmpuint(moved->len, ==, 3);
    for (unsigned i = 0; i < moved->len; i++) {
        const struct hostnet_link_address *address = &g_array_index(moved, struct hostnet_link_address, i);
        char text[HOSTNET_PREFIX_TEXT];
        hostnet_prefix_format(&address->local, text);
        if (strcmp(text, "192.0.2.8/24") == 0) {
            g_assert_cmpuint(address->valid, <=, 2000);
            g_assert_cmpuint(address->valid, >, 1980);
            g_assert_cmpuint(address->preferred, <=, 1000);
        } else {
            g_assert_cmpuint(address->valid, ==, HOSTNET_FOREVER);
        }
        g_assert_null(strstr(address->label, "eth0"));
    }
    g_autofree char *text = ns_snapshot(uplink.net);
    g_assert_nonnull(
        strstr(text, "route inet table=254 default type=1 protocol=16 scope=0 tos=0 flags=0x0 metric=100 "
                     "src=192.0.2.7 via=192.0.2.1 dev=br0"));
    g_assert_nonnull(strstr(text, "route inet table=500 203.0.113.0/24"));
    g_assert_nonnull(strstr(text, "metrics={ mtu=1280 }"));
    g_assert_nonnull(strstr(text, "route inet table=254 10.0.0.0/8"));
    g_assert_nonnull(strstr(text, "route inet6 table=254 default"));
    g_assert_cmpuint(count_lines(text, "address eth0 "), ==, 0);
    /* With the short-lived one's time over, it is not put back. */
    g_autoptr(GArray) again = hostnet_address_list(uplink.net, uplink.bridge.index, &error);
    for (unsigned i = 0; i < again->len; i++)
        g_assert_true(hostnet_address_remove(uplink.net,
                                             &g_array_index(again, struct hostnet_link_address, i), &error));
    g_assert_cmpint(hostnet_dump_replay(uplink.net, addresses, index, uplink.bridge.index, 5000, &error), ==,
                    2);
    g_assert_no_error(error);
    /* Refusals do not stop the rest, and the first is told. */
    g_assert_cmpint(hostnet_dump_replay(uplink.net, addresses, index, 7777, 0, &error), ==, -1);
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "putting back");
    hostnet_close(uplink.net);
}

/* Runs `ip` in that namespace; true when it succeeded. */
static bool run_ip(struct hostnet *net, const char *arguments)
{
    g_autofree char *command = g_strdup_printf("ip %s", arguments);
    pid_t child = fork();
    if (child == 0) {
        if (setns(hostnet_get_netns_fd(net), CLONE_NEWNET) == 0)
            execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Policy rules of every kind go and come back, attribute for attribute; those of a NIC go over to its bridge.
 */
static void test_replay_rules(void)
{
    static const char *const rules[] = {
        "-4 rule add priority 100 from 192.0.2.0/24 iif eth0 lookup 500",
        "-4 rule add priority 101 not to 198.51.100.7 oif eth0 tos 0x10 lookup 70000",
        "-4 rule add priority 102 fwmark 0x12/0xff ipproto tcp sport 1000-2000 dport 443 lookup main",
        "-4 rule add priority 103 uidrange 1000-1999 lookup 9 suppress_prefixlength 0",
        "-4 rule add priority 104 from 10.0.0.0/8 unreachable",
        "-4 rule add priority 105 from 10.0.0.0/8 blackhole protocol 17",
        "-4 rule add priority 106 from 10.9.0.0/16 goto 200",
        "-4 rule add priority 107 to 10.9.0.0/16 prohibit",
        "-6 rule add priority 100 from 2001:db8::/32 iif eth0 lookup 500",
        "-6 rule add priority 101 to 2001:db8:1::/48 iif far0 suppress_ifgroup 7 lookup 600",
    };
    GError *error = NULL;
    struct uplink uplink = uplink_new();
    unsigned made = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(rules); i++)
        made += run_ip(uplink.net, rules[i]);
    if (!made) {
        g_test_skip("this kernel has no policy rules, or there is no `ip`");
        hostnet_close(uplink.net);
        return;
    }
    g_test_message("%u of %zu kinds of rules can be had here", made, G_N_ELEMENTS(rules));
    g_autofree char *before = ns_snapshot(uplink.net);
    g_assert_cmpuint(count_lines(before, "table=70000"), ==, 1);
    g_autoptr(GBytes) stored = hostnet_dump_take(uplink.net, HOSTNET_DUMP_RULES, &error);
    g_assert_no_error(error);
    for (unsigned family = 4; family <= 6; family += 2)
        for (unsigned priority = 100; priority <= 107; priority++) {
            g_autofree char *command = g_strdup_printf("-%u rule del priority %u 2>&-", family, priority);
            run_ip(uplink.net, command);
        }
    g_autofree char *gone = ns_snapshot(uplink.net);
    g_assert_cmpuint(count_lines(gone, "table=70000"), ==, 0);
    /* Also those of the kernel itself, which are there: as good as put back. */
    g_assert_cmpint(hostnet_dump_replay(uplink.net, stored, 0, 0, 0, &error), ==,
                    (int)hostnet_dump_count(stored));
    g_assert_no_error(error);
    g_autofree char *after = ns_snapshot(uplink.net);
    ns_assert_same(before, after);
    g_assert_cmpint(hostnet_dump_replay(uplink.net, stored, 0, 0, 0, &error), ==,
                    (int)hostnet_dump_count(stored));
    g_autofree char *twice = ns_snapshot(uplink.net);
    ns_assert_same(before, twice);

    /* From the NIC to the bridge: the rules that name eth0 name br0, the one for far0 stays. */
    g_assert_true(run_ip(uplink.net, "-4 rule del priority 100"));
    g_assert_true(run_ip(uplink.net, "-4 rule del priority 101"));
    g_assert_cmpint(
        hostnet_dump_replay(uplink.net, stored, uplink.near_end.index, uplink.bridge.index, 0, &error), >, 0);
    g_assert_no_error(error);
    g_autoptr(GArray) listed = hostnet_rule_list(uplink.net, &error);
    unsigned inputs = 0, outputs = 0;
    for (unsigned i = 0; i < listed->len; i++) {
        const struct hostnet_rule *rule = &g_array_index(listed, struct hostnet_rule, i);
        if (rule->family == AF_INET && rule->priority == 100)
            inputs += strcmp(rule->input, "br0") == 0;
        if (rule->family == AF_INET && rule->priority == 101)
            outputs += strcmp(rule->output, "br0") == 0;
        g_assert_true(rule->family == AF_INET6 ||
                      (strcmp(rule->input, "eth0") && strcmp(rule->output, "eth0")));
    }
    g_assert_cmpuint(inputs, ==, 1);
    g_assert_cmpuint(outputs, ==, 1);
    hostnet_close(uplink.net);
}

/* A dump comes back from a store, where anything may have happened to it. */
static void test_damaged_dumps(void)
{
    GError *error = NULL;
    struct uplink uplink = uplink_new();
    g_autoptr(GBytes) routes = hostnet_dump_take(uplink.net, HOSTNET_DUMP_ROUTES, &error);
    g_autoptr(GBytes) addresses = hostnet_dump_take(uplink.net, HOSTNET_DUMP_ADDRESSES, &error);
    g_autoptr(GBytes) rules = hostnet_dump_take(uplink.net, HOSTNET_DUMP_RULES, &error);
    GBytes *dumps[] = {routes, addresses, rules};
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    for (unsigned round = 0; round < 3000; round++) {
        size_t size;
        const void *data = g_bytes_get_data(dumps[round % 3], &size);
        g_autofree uint8_t *copy = g_memdup2(data, size);
        size_t length = round % 4 ? size : (size_t)g_rand_int_range(random, 0, (gint32)size);
        for (int hits = g_rand_int_range(random, 0, 8); hits > 0; hits--)
            copy[g_rand_int_range(random, 0, (gint32)size)] = (uint8_t)g_rand_int(random);
        g_autoptr(GBytes) damaged =
            g_bytes_new(copy, length); /* own allocation: the sanitizer watches its end */
        g_assert_cmpuint(hostnet_dump_count(damaged), <=, size / 16);
        g_autoptr(GBytes) filtered = hostnet_dump_filter(damaged, uplink.near_end.index);
        g_assert_cmpuint(g_bytes_get_size(filtered), <=, size + 3);
        if (round % 10 == 0) {
            /* Whatever the kernel makes of it, in a namespace that is thrown away. */
            g_autoptr(GError) refusal = NULL;
            hostnet_dump_replay(uplink.net, damaged, uplink.near_end.index, uplink.bridge.index, 0, &refusal);
        }
    }
    hostnet_close(uplink.net);
}

static void test_dump_kinds(void)
{
    GError *error = NULL;
    struct uplink uplink = uplink_new();
    for (int kind = 0; kind < HOSTNET_DUMP_KIND_COUNT; kind++) {
        g_autoptr(GBytes) dump = hostnet_dump_take(uplink.net, (enum hostnet_dump_kind)kind, &error);
        g_assert_no_error(error);
        g_test_message("kind %d: %u messages", kind, hostnet_dump_count(dump));
        if (kind == HOSTNET_DUMP_LINKS)
            g_assert_cmpuint(hostnet_dump_count(dump), >=, 4);
    }
    hostnet_close(uplink.net);
}

/* ---- the monitor ---- */

struct log {
    GString *text;
    unsigned overruns;
};

static void note_event(const struct hostnet_event *event, void *opaque)
{
    static const char *const names[] = {
        [HOSTNET_EVENT_LINK] = "link",       [HOSTNET_EVENT_LINK_GONE] = "link-gone",
        [HOSTNET_EVENT_ADDRESS] = "address", [HOSTNET_EVENT_ADDRESS_GONE] = "address-gone",
        [HOSTNET_EVENT_ROUTE] = "route",     [HOSTNET_EVENT_ROUTE_GONE] = "route-gone",
        [HOSTNET_EVENT_OVERRUN] = "overrun",
    };
    G_STATIC_ASSERT(G_N_ELEMENTS(names) == HOSTNET_EVENT_TYPE_COUNT);
    struct log *log = opaque;
    char prefix[HOSTNET_PREFIX_TEXT] = "";
    if (event->prefix.address.family)
        hostnet_prefix_format(&event->prefix, prefix);
    g_string_append_printf(log->text, "%s %s%s up=%d mark=%s\n", names[event->type], event->name, prefix,
                           event->up, event->mark);
    log->overruns += event->type == HOSTNET_EVENT_OVERRUN;
}

static void test_monitor(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autoptr(hostnet) other = ns_new();
    g_autoptr(GString) text = g_string_new(NULL);
    struct log log = {.text = text};
    struct hostnet_monitor *monitor =
        hostnet_monitor_open(net, HOSTNET_MONITOR_LINKS | HOSTNET_MONITOR_ADDRESSES | HOSTNET_MONITOR_ROUTES,
                             note_event, &log, &error);
    g_assert_no_error(error);
    ns_bridge(other, "nlb-other", "netlab:lab:elsewhere");
    g_assert_true(hostnet_monitor_dispatch(monitor, &error));
    g_assert_cmpstr(text->str, ==, ""); /* other namespaces are not seen */

    struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    int tap;
    ns_tap(net, "nlt1", "netlab:lab:h1", bridge.index, false, &tap);
    struct hostnet_link_address address = address_on(bridge.index, "10.1.0.1/24");
    g_assert_true(hostnet_address_add(net, &address, &error));
    struct hostnet_route route = route_to("10.9.0.0/16", "10.1.0.9", bridge.index);
    g_assert_true(hostnet_route_add(net, &route, &error));
    g_assert_true(hostnet_route_remove(net, &route, &error));
    g_assert_true(hostnet_address_remove(net, &address, &error));
    close(tap);
    g_assert_true(hostnet_link_delete(net, &bridge, &error));
    struct pollfd waiting = {.fd = hostnet_monitor_get_fd(monitor), .events = POLLIN};
    g_assert_cmpint(poll(&waiting, 1, 5000), ==, 1);
    g_assert_true(
        ns_poll(10, hostnet_monitor_dispatch(monitor, NULL) && strstr(text->str, "link-gone nlb1")));
    static const char *const expected[] = {
        "link nlb1 up=1 mark=netlab:lab:lan\n",
        "address 10.1.0.1/24",
        "route 10.9.0.0/16",
        "route-gone 10.9.0.0/16",
        "address-gone 10.1.0.1/24",
        "link-gone nlt1",
        "link-gone nlb1",
    };
    const char *at = text->str;
    for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_test_message("%s", expected[i]);
        at = strstr(at, expected[i]); /* in this order */
        g_assert_nonnull(at);
    }
    g_assert_cmpuint(log.overruns, ==, 0);

    /* More than the queue holds: told once, and it works on afterwards. */
    bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    for (unsigned i = 0; i < 6000; i++)
        g_assert_true(hostnet_link_set_up(net, bridge.index, i % 2 == 0, &error));
    g_assert_true(ns_poll(10, hostnet_monitor_dispatch(monitor, NULL) && log.overruns > 0));
    while (poll(&waiting, 1, 0) == 1)
        g_assert_true(hostnet_monitor_dispatch(monitor, &error));
    g_string_truncate(text, 0);
    g_assert_true(hostnet_link_set_mtu(net, bridge.index, 1400, &error));
    g_assert_true(ns_poll(10, hostnet_monitor_dispatch(monitor, NULL) && strstr(text->str, "link nlb1")));
    hostnet_monitor_close(monitor);
}

static void test_monitor_in_loop(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GMainContext) context = g_main_context_new();
    struct log log = {.text = text};
    struct hostnet_monitor *monitor =
        hostnet_monitor_open(net, HOSTNET_MONITOR_LINKS, note_event, &log, &error);
    g_assert_no_error(error);
    hostnet_monitor_attach(monitor, context);
    hostnet_monitor_attach(monitor, context); /* twice is once */
    struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    struct hostnet_link_address address = address_on(bridge.index, "10.1.0.1/24");
    g_assert_true(hostnet_address_add(net, &address, &error));
    g_assert_true(
        ns_poll(10, (g_main_context_iteration(context, FALSE), strstr(text->str, "link nlb1 up=1"))));
    g_assert_null(strstr(text->str, "address")); /* that group was not asked for */
    hostnet_monitor_close(monitor);
    while (g_main_context_iteration(context, FALSE))
        ;
}

int main(int argc, char **argv)
{
    ns_test_init(&argc, &argv);
    g_test_add_func("/snapshot/changes-show", test_changes_show);
    g_test_add_func("/snapshot/equality", test_snapshot_equality);
    g_test_add_func("/snapshot/nftables", test_nftables);
    g_test_add_func("/dump/kinds", test_dump_kinds);
    g_test_add_func("/dump/replay-same-link", test_replay_same_link);
    g_test_add_func("/dump/replay-other-link", test_replay_other_link);
    g_test_add_func("/dump/replay-rules", test_replay_rules);
    g_test_add_func("/dump/damaged", test_damaged_dumps);
    g_test_add_func("/monitor/events", test_monitor);
    g_test_add_func("/monitor/in-loop", test_monitor_in_loop);
    return g_test_run();
}
