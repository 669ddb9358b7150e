/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Links in namespaces of their own: looking up, changing, identities and what they refuse, veth pairs,
 * bridges.
 */
#include "hostnet/namespace.h"
#include "ns_harness.h"

#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- look-up and identity ---- */

static void test_lookup(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    struct hostnet_bridge_spec spec = {
        .link = {.name = "nlb3f2a1", .mark = "netlab:lab:lan", .altname = "lab.a-quite-long-human-name.lan"}};
    struct hostnet_link_identity made;
    g_assert_true(hostnet_bridge_create(net, &spec, &made, &error));

    g_autoptr(hostnet_link) by_name = hostnet_link_find(net, "nlb3f2a1", &error);
    g_assert_no_error(error);
    g_autoptr(hostnet_link) by_altname = hostnet_link_find(net, spec.link.altname, &error);
    g_assert_no_error(error);
    g_autoptr(hostnet_link) by_mark = hostnet_link_find_mark(net, "netlab:lab:lan", &error);
    g_assert_no_error(error);
    g_autoptr(hostnet_link) by_index = hostnet_link_get(net, made.index, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(by_name->index, ==, made.index);
    g_assert_cmpuint(by_altname->index, ==, made.index);
    g_assert_cmpuint(by_mark->index, ==, made.index);
    g_assert_cmpstr(by_index->name, ==, "nlb3f2a1");
    g_assert_cmpstr(by_index->mark, ==, "netlab:lab:lan");
    g_assert_cmpstr(by_index->altnames[0], ==, spec.link.altname);
    g_assert_null(by_index->altnames[1]);
    g_assert_cmpint(by_index->kind, ==, HOSTNET_LINK_BRIDGE);
    g_assert_false(by_index->up);

    struct hostnet_link_identity seen;
    hostnet_link_get_identity(net, by_index, &seen);
    g_autofree char *one = hostnet_identity_format(&made), *two = hostnet_identity_format(&seen);
    g_assert_cmpstr(one, ==, two);

    g_assert_null(hostnet_link_find(net, "nothing", &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "nothing");
    g_assert_null(hostnet_link_find(net, "a-name-longer-than-fifteen", &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "longer");
    g_assert_null(hostnet_link_find(net, "", &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "empty");
    g_assert_null(hostnet_link_find_mark(net, "netlab:lab:wan", &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "netlab:lab:wan");
    g_assert_null(hostnet_link_get(net, 7777, &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "7777");
    g_assert_null(hostnet_link_get(net, 0, &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "link 0");

    ns_bridge(net, "nlb2", "netlab:lab:lan");
    g_assert_null(hostnet_link_find_mark(net, "netlab:lab:lan", &error));
    ns_assert_error(&error, HOSTNET_ERROR_BUSY, "nlb2");

    ns_bridge(net, "nlb3", "netlab:other:lan");
    g_autoptr(GPtrArray) of_lab = hostnet_link_list_marked(net, "lab", &error);
    g_autoptr(GPtrArray) of_any = hostnet_link_list_marked(net, NULL, &error);
    g_autoptr(GPtrArray) all = hostnet_link_list(net, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(of_lab->len, ==, 2);
    g_assert_cmpuint(of_any->len, ==, 3);
    g_assert_cmpuint(all->len, >, 3); /* and the loopback */
}

static void test_names_taken(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    ns_bridge(net, "nlb1", "netlab:lab:lan");
    g_autofree char *before = ns_snapshot(net);

    struct hostnet_bridge_spec spec = {.link = {.name = "nlb1", .mark = "netlab:other:lan", .up = true}};
    g_assert_false(hostnet_bridge_create(net, &spec, NULL, &error));
    ns_assert_error(&error, HOSTNET_ERROR_EXISTS, "netlab:lab:lan");
    struct hostnet_tap_spec tap = {.link = {.name = "nlb1", .mark = "netlab:other:tap", .up = true},
                                   .persistent = true};
    g_assert_cmpint(hostnet_tap_create(net, &tap, NULL, &error), ==, -1);
    ns_assert_error(&error, HOSTNET_ERROR_EXISTS, "netlab:lab:lan");
    struct hostnet_link_identity identity;
    g_assert_false(hostnet_identity_plan(net, "nlb1", "netlab:other:lan", &identity, &error));
    ns_assert_error(&error, HOSTNET_ERROR_EXISTS, "nlb1");
    struct hostnet_link_spec near_end = {.name = "nlv0", .mark = "netlab:other:v0"},
                             far_end = {.name = "nlb1", .mark = "netlab:other:v1"};
    g_assert_false(hostnet_veth_create(net, &near_end, net, &far_end, NULL, NULL, &error));
    ns_assert_error(&error, HOSTNET_ERROR_EXISTS, "nlb1");
    /* Nothing that failed left anything, or changed the link that was there. */
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);

    /* An alternative name that is taken is left out; the mark says it all the same. */
    struct hostnet_bridge_spec first = {.link = {.name = "nlb2", .mark = "netlab:a:x", .altname = "human"}},
                               second = {.link = {.name = "nlb3", .mark = "netlab:b:x", .altname = "human"}};
    g_assert_true(hostnet_bridge_create(net, &first, NULL, &error));
    g_assert_true(hostnet_bridge_create(net, &second, &identity, &error));
    g_autoptr(hostnet_link) link = hostnet_link_get(net, identity.index, &error);
    g_assert_null(link->altnames[0]);
    g_assert_cmpstr(link->mark, ==, "netlab:b:x");
}

static void test_planned_index(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    struct hostnet_link_identity planned, made;
    g_assert_true(hostnet_identity_plan(net, "nlb1", "netlab:lab:lan", &planned, &error));
    g_assert_cmpuint(planned.index, >=, 1u << 20);
    struct hostnet_bridge_spec spec = {
        .link = {.name = planned.name, .mark = planned.mark, .index = planned.index}};
    enum hostnet_presence presence;
    g_assert_true(hostnet_link_check(net, &planned, &presence, NULL, &error));
    g_assert_cmpint(presence, ==, HOSTNET_ABSENT);
    g_assert_true(hostnet_bridge_create(net, &spec, &made, &error));
    g_assert_cmpmem(&planned, sizeof planned, &made, sizeof made);

    /* The index is taken: refused, and the link that has it is as it was. */
    g_autofree char *before = ns_snapshot(net);
    struct hostnet_bridge_spec again = {
        .link = {.name = "nlb2", .mark = "netlab:lab:wan", .index = made.index}};
    g_assert_false(hostnet_bridge_create(net, &again, NULL, &error));
    g_assert_error(error, HOSTNET_ERROR, HOSTNET_ERROR_EXISTS);
    g_clear_error(&error);
    enum hostnet_presence still;
    g_assert_true(hostnet_link_check(net, &made, &still, NULL, &error));
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
}

/* ---- deleting: only what is ours ---- */

static void test_delete_twice(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    for (int i = 0; i < 3; i++) {
        g_assert_true(hostnet_link_delete(net, &bridge, &error));
        g_assert_no_error(error);
    }
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
}

static void make_in_group(struct hostnet *net, const char *name, const char *mark, uint32_t group)
{
    g_autoptr(GError) error = NULL;
    const struct hostnet_bridge_spec spec = {
        .link = {.name = name, .mark = mark, .group = group, .up = true}};
    hostnet_bridge_create(net, &spec, NULL, &error);
    g_assert_no_error(error);
}

static guint count_of_lab(struct hostnet *net, const char *lab)
{
    g_autoptr(GPtrArray) links = hostnet_link_list_marked(net, lab, NULL);
    return links->len;
}

/* A group goes at once, and not at all when it has a stranger in it. */
static void test_delete_group(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(hostnet) net = ns_new();
    for (int i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("nlbgroup%d", i),
                        *mark = g_strdup_printf("netlab:many:n%d", i);
        make_in_group(net, name, mark, 4711);
    }
    make_in_group(net, "nlbother", "netlab:other:lan", 4712);
    g_autoptr(hostnet_link) one = hostnet_link_find(net, "nlbgroup7", NULL);
    g_assert_cmpuint(one->group, ==, 4711);
    g_assert_false(hostnet_link_delete_group(net, 4712, "many", &error));
    g_assert_error(error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_OURS);
    g_clear_error(&error);
    g_assert_false(hostnet_link_delete_group(net, 0, "many", NULL));
    g_assert_cmpuint(count_of_lab(net, "many"), ==, 20);
    for (int i = 0; i < 2; i++) {
        hostnet_link_delete_group(net, 4711, "many", &error);
        g_assert_no_error(error);
        g_assert_cmpuint(count_of_lab(net, "many"), ==, 0);
        g_assert_cmpuint(count_of_lab(net, "other"), ==, 1);
    }
    hostnet_link_delete_group(net, 4712, "other", &error);
    g_assert_no_error(error);
}

static void test_delete_refuses(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    struct hostnet_link_identity ours = ns_bridge(net, "nlb1", "netlab:lab:lan");
    enum hostnet_presence presence;

    /* Same name, made again by somebody else. */
    g_assert_true(hostnet_link_delete(net, &ours, &error));
    struct hostnet_link_identity theirs = ns_bridge(net, "nlb1", "netlab:lab:lan");
    g_assert_cmpuint(theirs.index, !=, ours.index);
    g_assert_true(hostnet_link_delete(net, &ours, &error)); /* ours is gone: nothing to do */
    g_assert_true(hostnet_link_check(net, &ours, &presence, NULL, &error));
    g_assert_cmpint(presence, ==, HOSTNET_FOREIGN);
    g_assert_true(hostnet_link_check(net, &theirs, &presence, NULL, &error));
    g_assert_cmpint(presence, ==, HOSTNET_PRESENT);

    /* Same index and name, another mark. */
    g_assert_true(hostnet_link_set_mark(net, theirs.index, "somebody else's", &error));
    g_assert_false(hostnet_link_delete(net, &theirs, &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_OURS, "somebody else's");
    /* No mark at all. */
    g_assert_true(hostnet_link_set_mark(net, theirs.index, "", &error));
    g_assert_false(hostnet_link_delete(net, &theirs, &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_OURS, "nothing was deleted");
    g_assert_true(hostnet_link_set_mark(net, theirs.index, theirs.mark, &error));
    /* Same index and mark, another name. */
    struct hostnet_link_identity renamed = theirs;
    g_assert_true(hostnet_link_rename(net, &renamed, "nlb9", &error));
    g_assert_false(hostnet_link_delete(net, &theirs, &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_OURS, "nlb9");
    /* Another namespace. */
    g_autoptr(hostnet) elsewhere = ns_new();
    g_assert_false(hostnet_link_delete(elsewhere, &renamed, &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_OURS, "another network namespace");
    g_assert_false(hostnet_link_check(elsewhere, &renamed, &presence, NULL, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "another network namespace");
    /* An earlier boot: it is gone, whatever is there now. */
    struct hostnet_link_identity old = renamed;
    g_strlcpy(old.boot_id, "00000000-0000-0000-0000-000000000000", sizeof old.boot_id);
    g_assert_true(hostnet_link_delete(net, &old, &error));
    g_assert_true(hostnet_link_check(net, &old, &presence, NULL, &error));
    g_assert_cmpint(presence, ==, HOSTNET_ABSENT);
    /* An identity without a mark of ours never deletes. */
    struct hostnet_link_identity loopback = {.index = 1, .name = "lo", .netns = renamed.netns};
    g_strlcpy(loopback.boot_id, renamed.boot_id, sizeof loopback.boot_id);
    g_assert_false(hostnet_link_delete(net, &loopback, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "owner mark");
    /* It is all still there, and goes by its true identity. */
    g_assert_true(hostnet_link_check(net, &renamed, &presence, NULL, &error));
    g_assert_cmpint(presence, ==, HOSTNET_PRESENT);
    g_assert_true(hostnet_link_delete(net, &renamed, &error));
    g_assert_no_error(error);
}

/* ---- changing ---- */

static void test_changes(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    struct hostnet_mac mac = {{0x02, 0, 0, 1, 2, 3}};
    g_assert_true(hostnet_link_set_up(net, bridge.index, false, &error));
    g_assert_true(hostnet_link_set_mtu(net, bridge.index, 9000, &error));
    g_assert_true(hostnet_link_set_mac(net, bridge.index, &mac, &error));
    g_assert_true(hostnet_link_add_altname(net, bridge.index, "human", &error));
    g_assert_true(hostnet_link_add_altname(net, bridge.index, "human", &error)); /* twice is once */
    g_autoptr(hostnet_link) link = hostnet_link_get(net, bridge.index, &error);
    g_assert_false(link->up);
    g_assert_cmpuint(link->mtu, ==, 9000);
    g_assert_cmpmem(link->mac.octets, 6, mac.octets, 6);
    g_assert_cmpstr(link->altnames[0], ==, "human");
    g_assert_true(hostnet_link_remove_altname(net, bridge.index, "human", &error));
    g_assert_true(hostnet_link_remove_altname(net, bridge.index, "human", &error));
    g_assert_no_error(error);

    struct hostnet_link_identity other = ns_bridge(net, "nlb2", "netlab:lab:wan");
    g_assert_true(hostnet_link_add_altname(net, other.index, "human", &error));
    g_assert_false(hostnet_link_add_altname(net, bridge.index, "human", &error));
    ns_assert_error(&error, HOSTNET_ERROR_EXISTS, "human");
    g_assert_false(hostnet_link_rename(net, &bridge, "nlb2", &error));
    ns_assert_error(&error, HOSTNET_ERROR_EXISTS, "nlb2");
    g_assert_cmpstr(bridge.name, ==, "nlb1");
    g_assert_false(hostnet_link_rename(net, &bridge, "a name", &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "white space");
    g_assert_false(hostnet_link_set_mtu(net, bridge.index, 7, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "lan (nlb1)");
    g_assert_false(
        hostnet_link_set_mac(net, bridge.index, &(struct hostnet_mac){{1, 0, 0, 0, 0, 1}}, &error));
    g_assert_error(error, HOSTNET_ERROR, HOSTNET_ERROR_INVALID);
    g_clear_error(&error);
    g_assert_false(hostnet_link_set_up(net, 7777, true, &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "7777");
    g_assert_false(hostnet_link_set_up(net, 0, true, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "no such index");
}

static void test_bad_specs(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    struct hostnet_mac multicast = {{0x01, 0, 0x5e, 0, 0, 1}};
    g_autofree char *long_altname = g_strnfill(128, 'a');
    static const char mark[] = "netlab:lab:x";
    const struct {
        struct hostnet_link_spec spec;
        const char *text;
    } rows[] = {
        {{.name = "sixteen-letters!", .mark = mark}, "16 characters"},
        {{.name = "", .mark = mark}, "empty"},
        {{.name = NULL, .mark = mark}, "empty"},
        {{.name = "tap%d", .mark = mark}, "'%'"},
        {{.name = "x"}, "owner mark"},
        {{.name = "x", .mark = "mine"}, "owner mark"},
        {{.name = "x", .mark = mark, .altname = long_altname}, "128 characters"},
        {{.name = "x", .mark = mark, .altname = "a b"}, "white space"},
        {{.name = "x", .mark = mark, .mac = &multicast}, "multicast"},
        {{.name = "x", .mark = mark, .mtu = 67}, "MTU"},
        {{.name = "x", .mark = mark, .mtu = 65536}, "MTU"},
        {{.name = "x", .mark = mark, .index = 0x80000000u}, "index"},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct hostnet_bridge_spec bridge = {.link = rows[i].spec};
        struct hostnet_tap_spec tap = {.link = rows[i].spec, .persistent = true};
        struct hostnet_link_spec good = {.name = "nlv1", .mark = mark};
        g_assert_false(hostnet_bridge_create(net, &bridge, NULL, &error));
        ns_assert_error(&error, HOSTNET_ERROR_INVALID, rows[i].text);
        g_assert_cmpint(hostnet_tap_create(net, &tap, NULL, &error), ==, -1);
        ns_assert_error(&error, HOSTNET_ERROR_INVALID, rows[i].text);
        g_assert_false(hostnet_veth_create(net, &good, net, &rows[i].spec, NULL, NULL, &error));
        ns_assert_error(&error, HOSTNET_ERROR_INVALID, rows[i].text);
    }
    /* Refused by a later request of the datagram: what was born is taken away again. */
    struct hostnet_bridge_spec orphan = {.link = {.name = "nlb1", .mark = mark, .master = 7777}};
    g_assert_false(hostnet_bridge_create(net, &orphan, NULL, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    struct hostnet_tap_spec tap = {.link = {.name = "nlt1", .mark = mark, .master = 7777},
                                   .persistent = true};
    g_assert_cmpint(hostnet_tap_create(net, &tap, NULL, &error), ==, -1);
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
}

/* ---- bridges ---- */

static void test_bridge_settings(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    struct hostnet_link_identity identity;
    struct hostnet_bridge_spec spec = {.link = {.name = "nlb1", .mark = "netlab:lab:lan", .up = true},
                                       .ageing = 60,
                                       .multicast_snooping = true,
                                       .group_forward_mask = 1 << 14};
    g_assert_true(hostnet_bridge_create(net, &spec, &identity, &error));
    g_autoptr(hostnet_link) link = hostnet_link_get(net, identity.index, &error);
    g_assert_false(link->bridge.stp);
    g_assert_cmpuint(link->bridge.forward_delay, ==, 0);
    g_assert_cmpuint(link->bridge.ageing, ==, 60);
    g_assert_true(link->bridge.multicast_snooping);
    g_assert_cmpuint(link->bridge.group_forward_mask, ==, 1 << 14);
    struct hostnet_mac derived;
    hostnet_mac_derive("netlab:lab:lan", &derived);
    g_assert_cmpmem(link->mac.octets, 6, derived.octets, 6);

    struct hostnet_bridge_spec stp = {.stp = true, .forward_delay = 400};
    g_assert_true(hostnet_bridge_set(net, identity.index, &stp, &error));
    g_assert_no_error(error);
    g_autoptr(hostnet_link) with_stp = hostnet_link_get(net, identity.index, &error);
    g_assert_true(with_stp->bridge.stp);
    g_assert_cmpuint(with_stp->bridge.forward_delay, ==, 400);
    g_assert_cmpuint(with_stp->bridge.ageing, ==, 300);
    g_assert_false(with_stp->bridge.multicast_snooping);
    g_assert_cmpuint(with_stp->bridge.group_forward_mask, ==, 0);
    struct hostnet_bridge_spec plain = {};
    g_assert_true(hostnet_bridge_set(net, identity.index, &plain, &error));
    g_assert_no_error(error);
    g_autoptr(hostnet_link) without = hostnet_link_get(net, identity.index, &error);
    g_assert_false(without->bridge.stp);
    g_assert_cmpuint(without->bridge.forward_delay, ==, 0);

    struct hostnet_bridge_spec bad = {
        .link = {.name = "nlb2", .mark = "netlab:lab:x"}, .stp = true, .forward_delay = 100};
    g_assert_false(hostnet_bridge_create(net, &bad, NULL, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "forward delay");
    bad = (struct hostnet_bridge_spec){.link = {.name = "nlb2", .mark = "netlab:lab:x"},
                                       .group_forward_mask = 1};
    g_assert_false(hostnet_bridge_create(net, &bad, NULL, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "STP");
    g_assert_false(hostnet_bridge_set(net, 1, &plain, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "no bridge");
}

static void test_bridge_vlan(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    struct hostnet_link_identity identity;
    struct hostnet_bridge_spec spec = {.link = {.name = "nlb1", .mark = "netlab:lab:lan"},
                                       .vlan_filtering = true};
    if (hostnet_bridge_create(net, &spec, &identity, &error)) {
        g_autoptr(hostnet_link) link = hostnet_link_get(net, identity.index, &error);
        g_assert_true(link->bridge.vlan_filtering);
        return;
    }
    /* A kernel without it says so, and leaves nothing. */
    ns_assert_error(&error, HOSTNET_ERROR_UNSUPPORTED, "CONFIG_BRIDGE_VLAN_FILTERING");
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
}

static void test_bridge_ports(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    struct hostnet_link_identity one = ns_bridge(net, "nlb1", "netlab:lab:one"),
                                 two = ns_bridge(net, "nlb2", "netlab:lab:two");
    struct hostnet_link_identity a = ns_tap(net, "nlt1", "netlab:lab:a", 0, true, NULL),
                                 b = ns_tap(net, "nlt2", "netlab:lab:b", one.index, true, NULL);
    g_assert_true(hostnet_bridge_add_port(net, one.index, a.index, &error));
    g_assert_true(hostnet_bridge_add_port(net, one.index, a.index, &error));
    g_autoptr(GPtrArray) ports = hostnet_bridge_list_ports(net, one.index, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(ports->len, ==, 2);
    g_assert_cmpint(((struct hostnet_link *)ports->pdata[0])->master, ==, one.index);

    g_assert_false(hostnet_bridge_add_port(net, two.index, a.index, &error));
    ns_assert_error(&error, HOSTNET_ERROR_BUSY, "one (nlb1)");
    g_assert_false(hostnet_bridge_add_port(net, a.index, b.index, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "no bridge");
    g_assert_false(hostnet_bridge_add_port(net, one.index, two.index, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "two (nlb2)");
    g_assert_false(hostnet_bridge_add_port(net, 7777, a.index, &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "7777");

    g_assert_true(hostnet_bridge_remove_port(net, two.index, a.index, &error)); /* not in there: as wanted */
    g_autoptr(hostnet_link) still = hostnet_link_get(net, a.index, &error);
    g_assert_cmpuint(still->master, ==, one.index);
    g_assert_true(hostnet_bridge_remove_port(net, one.index, a.index, &error));
    g_assert_true(hostnet_bridge_remove_port(net, one.index, a.index, &error));
    g_assert_true(hostnet_bridge_remove_port(net, one.index, 7777, &error));
    g_assert_no_error(error);
    g_autoptr(GPtrArray) left = hostnet_bridge_list_ports(net, one.index, &error);
    g_assert_cmpuint(left->len, ==, 1);

    g_autoptr(GArray) entries = hostnet_bridge_list_entries(net, one.index, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(entries->len, >=, 1); /* the port's own MAC at least */
    g_assert_true(g_array_index(entries, struct hostnet_bridge_entry, 0).is_permanent);

    /* Deleting a bridge frees its ports and deletes none. */
    g_assert_true(hostnet_link_delete(net, &one, &error));
    g_autoptr(hostnet_link) freed = hostnet_link_get(net, b.index, &error);
    g_assert_cmpuint(freed->master, ==, 0);
}

/* MAC and MTU are what was said, whatever ports come and go. */
static void test_bridge_keeps_mac_and_mtu(void)
{
    GError *error = NULL;
    static const uint32_t sizes[] = {1500, 9000, 1400};
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(hostnet) net = ns_new();
        struct hostnet_link_identity bridge;
        struct hostnet_bridge_spec spec = {
            .link = {.name = "nlb1", .mark = "netlab:lab:lan", .mtu = sizes[i], .up = true}};
        g_assert_true(hostnet_bridge_create(net, &spec, &bridge, &error));
        g_autoptr(hostnet_link) before = hostnet_link_get(net, bridge.index, &error);
        g_assert_cmpuint(before->mtu, ==, sizes[i]);
        struct hostnet_mac low = {{0x02, 0, 0, 0, 0, 1}};
        struct hostnet_tap_spec tap = {.link = {.name = "nlt1",
                                                .mark = "netlab:lab:t",
                                                .mac = &low,
                                                .mtu = 1300,
                                                .master = bridge.index,
                                                .up = true}};
        struct hostnet_link_identity port;
        int fd = hostnet_tap_create(net, &tap, &port, &error);
        g_assert_no_error(error);
        g_autoptr(hostnet_link) with = hostnet_link_get(net, bridge.index, &error);
        close(fd);
        g_autoptr(hostnet_link) after = hostnet_link_get(net, bridge.index, &error);
        g_assert_cmpuint(with->mtu, ==, sizes[i]);
        g_assert_cmpuint(after->mtu, ==, sizes[i]);
        g_assert_cmpmem(with->mac.octets, 6, before->mac.octets, 6);
        g_assert_cmpmem(after->mac.octets, 6, before->mac.octets, 6);
    }
}

/* ---- veth and moving ---- */

static bool has_carrier(struct hostnet *net, uint32_t index)
{
    g_autoptr(hostnet_link) link = hostnet_link_get(net, index, NULL);
    return link && link->carrier;
}

static void test_veth_same_namespace(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autofree char *before = ns_snapshot(net);
    struct hostnet_mac mac = {{0x02, 0, 0, 0, 9, 9}};
    struct hostnet_link_spec
        near_end = {.name = "nlv0", .mark = "netlab:lab:v0", .altname = "near-end", .up = true},
        far_end = {.name = "nlv1", .mark = "netlab:lab:v1", .mac = &mac, .mtu = 1400, .up = true};
    struct hostnet_link_identity a, b;
    g_assert_true(hostnet_veth_create(net, &near_end, net, &far_end, &a, &b, &error));
    g_assert_no_error(error);
    g_autoptr(hostnet_link) first = hostnet_link_get(net, a.index, &error);
    g_autoptr(hostnet_link) second = hostnet_link_get(net, b.index, &error);
    g_assert_cmpuint(first->peer, ==, b.index);
    g_assert_cmpuint(second->peer, ==, a.index);
    g_assert_cmpstr(first->mark, ==, "netlab:lab:v0");
    g_assert_cmpstr(second->mark, ==, "netlab:lab:v1");
    g_assert_cmpstr(first->altnames[0], ==, "near-end");
    g_assert_cmpuint(second->mtu, ==, 1400);
    g_assert_cmpmem(second->mac.octets, 6, mac.octets, 6);
    g_assert_cmpint(first->kind, ==, HOSTNET_LINK_VETH);
    g_assert_true(ns_poll(5, has_carrier(net, a.index)));
    g_assert_true(hostnet_link_delete(net, &b, &error)); /* takes the other end with it */
    g_assert_true(hostnet_link_delete(net, &a, &error));
    g_assert_no_error(error);
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
    near_end.altname = NULL;
    far_end.name = "nlv0";
    g_assert_false(hostnet_veth_create(net, &near_end, net, &far_end, &a, &b, &error));
    ns_assert_error(&error, HOSTNET_ERROR_INVALID, "same name");
}

static void test_veth_two_namespaces(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autoptr(hostnet) far_net = ns_new();
    g_autofree char *before = ns_snapshot(net), *far_before = ns_snapshot(far_net);
    /* The same name on both sides is fine. Down, since the kernel gives addresses and routes to links that
     * are up in its own time, and the snapshots below would differ by them. */
    struct hostnet_link_spec near_end = {.name = "nlv0", .mark = "netlab:lab:near"},
                             far_end = {.name = "nlv0", .mark = "netlab:lab:far"};
    struct hostnet_link_identity a, b;
    g_assert_true(hostnet_veth_create(net, &near_end, far_net, &far_end, &a, &b, &error));
    g_assert_no_error(error);
    g_autoptr(hostnet_link) second = hostnet_link_get(far_net, b.index, &error);
    g_assert_cmpstr(second->mark, ==, "netlab:lab:far");
    g_assert_false(second->up);
    g_assert_cmpuint(a.netns, !=, b.netns);
    g_assert_false(hostnet_same_namespace(net, far_net));

    /* The far name is taken: refused as such, nothing left on either side. */
    g_autofree char *with = ns_snapshot(net), *far_with = ns_snapshot(far_net);
    near_end.name = "nlv1";
    g_assert_false(hostnet_veth_create(net, &near_end, far_net, &far_end, NULL, NULL, &error));
    ns_assert_error(&error, HOSTNET_ERROR_EXISTS, "far (nlv0)");
    /* The far end cannot be finished: the pair is taken back. */
    far_end.name = "nlv2";
    far_end.master = 7777;
    g_assert_false(hostnet_veth_create(net, &near_end, far_net, &far_end, NULL, NULL, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_autofree char *with_again = ns_snapshot(net), *far_again = ns_snapshot(far_net);
    ns_assert_same(with, with_again);
    ns_assert_same(far_with, far_again);

    g_assert_true(hostnet_link_delete(net, &a, &error));
    g_autofree char *after = ns_snapshot(net), *far_after = ns_snapshot(far_net);
    ns_assert_same(before, after);
    ns_assert_same(far_before, far_after);

    far_end = (struct hostnet_link_spec){.name = "nlv0", .mark = "netlab:lab:far", .up = true};
    g_assert_true(hostnet_veth_create(net, &near_end, far_net, &far_end, &a, &b, &error));
    g_autoptr(hostnet_link) up = hostnet_link_get(far_net, b.index, &error);
    g_assert_true(up->up);
}

static void test_move(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autoptr(hostnet) target = ns_new();
    g_autofree char *before = ns_snapshot(net);
    struct hostnet_link_spec one = {.name = "nlv0",
                                    .mark = "netlab:lab:v0",
                                    .altname = "human-v0",
                                    .up = true},
                             two = {.name = "nlv1", .mark = "netlab:lab:v1"};
    struct hostnet_link_identity a, b;
    g_assert_true(hostnet_veth_create(net, &one, net, &two, &a, &b, &error));
    struct hostnet_link_identity old = a;
    g_assert_true(hostnet_link_move(net, &a, target, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(a.netns, ==, hostnet_get_netns_cookie(target));
    g_autoptr(hostnet_link) arrived = hostnet_link_find(target, "human-v0", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(arrived->mark, ==, "netlab:lab:v0");
    enum hostnet_presence presence;
    g_assert_true(hostnet_link_check(net, &old, &presence, NULL, &error));
    g_assert_cmpint(presence, ==, HOSTNET_ABSENT);
    g_assert_false(hostnet_link_move(net, &old, target, &error));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "v0");
    /* The name is taken over there. */
    ns_bridge(target, "nlv1", "netlab:lab:taken");
    g_assert_false(hostnet_link_move(net, &b, target, &error));
    ns_assert_error(&error, HOSTNET_ERROR_EXISTS, "v1 (nlv1)");
    /* Bridges cannot be moved; the kernel says so. */
    struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    g_assert_false(hostnet_link_move(net, &bridge, target, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_assert_true(hostnet_link_delete(net, &bridge, &error));
    g_assert_true(hostnet_link_delete(net, &b, &error));
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
}

/* ---- counters, with real frames ---- */

static void test_counters(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    int one, two;
    struct hostnet_link_identity a = ns_tap(net, "nlt1", "netlab:lab:a", bridge.index, false, &one);
    struct hostnet_link_identity b = ns_tap(net, "nlt2", "netlab:lab:b", bridge.index, false, &two);
    uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 1, 0x88, 0xb5, 'n', 'e', 't'};
    for (int i = 0; i < 10; i++)
        g_assert_cmpint(write(one, frame, sizeof frame), ==, sizeof frame);
    uint8_t got[2048];
    int received = 0;
    g_assert_true(
        ns_poll(5, (read(two, got, sizeof got) == sizeof frame && memcmp(got, frame, sizeof frame) == 0
                        ? ++received
                        : received) == 10));
    g_autoptr(hostnet_link) from = hostnet_link_get(net, a.index, &error);
    g_autoptr(hostnet_link) to = hostnet_link_get(net, b.index, &error);
    g_assert_cmpuint(from->counters.rx_packets, ==, 10);
    g_assert_cmpuint(from->counters.rx_bytes, ==, 600);
    g_assert_cmpuint(to->counters.tx_packets, >=, 10);
    /* The bridge learned who sent it. */
    g_autoptr(GArray) entries = hostnet_bridge_list_entries(net, bridge.index, &error);
    bool learned = false;
    for (unsigned i = 0; i < entries->len; i++) {
        const struct hostnet_bridge_entry *entry = &g_array_index(entries, struct hostnet_bridge_entry, i);
        learned |=
            !entry->is_permanent && entry->port == a.index && memcmp(entry->mac.octets, frame + 6, 6) == 0;
    }
    g_assert_true(learned);
    close(one);
    close(two);
}

/* ---- without privilege ---- */

static void test_no_privilege(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    struct hostnet_link_identity bridge = ns_bridge(net, "nlb1", "netlab:lab:lan");
    g_autofree char *before = ns_snapshot(net);
    /* Another process, in a user namespace of its own: no privilege over our namespace, though it is root
     * there. */
    pid_t child = fork();
    if (child == 0) {
        if (setns(hostnet_get_netns_fd(net), CLONE_NEWNET) < 0 ||
            !hostnet_namespace_unshare(HOSTNET_NAMESPACE_USER, NULL))
            _exit(77);
        struct hostnet *seen = hostnet_open(NULL);
        struct hostnet_bridge_spec spec = {.link = {.name = "nlb2", .mark = "netlab:lab:wan"}};
        struct hostnet_tap_spec tap = {.link = {.name = "nlt2", .mark = "netlab:lab:tap"}};
        GError *refusal = NULL;
        if (hostnet_bridge_create(seen, &spec, NULL, &refusal) ||
            !g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_PERMISSION) ||
            !strstr(refusal->message, "creating bridge wan (nlb2)") ||
            !strstr(refusal->message, "CAP_NET_ADMIN"))
            _exit(1);
        g_clear_error(&refusal);
        if (hostnet_link_delete(seen, &bridge, &refusal) ||
            !g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_PERMISSION))
            _exit(2);
        g_clear_error(&refusal);
        if (hostnet_tap_create(seen, &tap, NULL, &refusal) >= 0 ||
            !g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_PERMISSION))
            _exit(3);
        g_clear_error(&refusal);
        /* Looking is free. */
        struct hostnet_link *link = hostnet_link_find(seen, "nlb1", &refusal);
        _exit(link && link->index == bridge.index ? 0 : 4);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        g_test_skip("no second user namespace can be made here");
        return;
    }
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    g_autofree char *after = ns_snapshot(net);
    ns_assert_same(before, after);
    g_assert_no_error(error);
}

/* A link of the host's own has no mark: it can be told from others by its identity, and is never deleted. */
static void test_unmarked(void)
{
    GError *error = NULL;
    g_autoptr(hostnet) net = ns_new();
    g_autoptr(hostnet_link) loopback = hostnet_link_find(net, "lo", &error);
    struct hostnet_link_identity identity;
    enum hostnet_presence presence;
    hostnet_link_get_identity(net, loopback, &identity);
    g_assert_cmpstr(identity.mark, ==, "");
    g_autoptr(hostnet_link) found = NULL;
    g_assert_true(hostnet_link_check(net, &identity, &presence, &found, &error));
    g_assert_cmpint(presence, ==, HOSTNET_PRESENT);
    g_assert_nonnull(found);
    g_assert_false(hostnet_link_delete(net, &identity, &error));
    g_clear_error(&error);
    /* Marked since, it is another one. */
    g_assert_true(hostnet_link_set_mark(net, loopback->index, "netlab:lab:lo", &error));
    g_assert_true(hostnet_link_check(net, &identity, &presence, NULL, &error));
    g_assert_cmpint(presence, ==, HOSTNET_FOREIGN);
}

int main(int argc, char **argv)
{
    ns_test_init(&argc, &argv);
    g_test_add_func("/link/unmarked", test_unmarked);
    g_test_add_func("/link/lookup", test_lookup);
    g_test_add_func("/link/names-taken", test_names_taken);
    g_test_add_func("/link/planned-index", test_planned_index);
    g_test_add_func("/link/delete-twice", test_delete_twice);
    g_test_add_func("/link/delete-group", test_delete_group);
    g_test_add_func("/link/delete-refuses", test_delete_refuses);
    g_test_add_func("/link/changes", test_changes);
    g_test_add_func("/link/bad-specs", test_bad_specs);
    g_test_add_func("/bridge/settings", test_bridge_settings);
    g_test_add_func("/bridge/vlan", test_bridge_vlan);
    g_test_add_func("/bridge/ports", test_bridge_ports);
    g_test_add_func("/bridge/keeps-mac-and-mtu", test_bridge_keeps_mac_and_mtu);
    g_test_add_func("/veth/same-namespace", test_veth_same_namespace);
    g_test_add_func("/veth/two-namespaces", test_veth_two_namespaces);
    g_test_add_func("/link/move", test_move);
    g_test_add_func("/link/counters", test_counters);
    g_test_add_func("/link/no-privilege", test_no_privilege);
    return g_test_run();
}
