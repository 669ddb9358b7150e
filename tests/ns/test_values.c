/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Values of hostnet: addresses, prefixes, MACs, marks, names, identities; and why namespaces are refused.
 * Needs no privilege and no namespace.
 */
#include "hostnet/address.h"
#include "hostnet/bridge.h"
#include "hostnet/namespace_internal.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>

static void assert_error(GError **error, enum hostnet_error code, const char *text)
{
    g_assert_error(*error, HOSTNET_ERROR, (int)code);
    g_assert_nonnull(strstr((*error)->message, text));
    g_clear_error(error);
}

static struct hostnet_prefix prefix(const char *text)
{
    GError *error = NULL;
    struct hostnet_prefix value;
    hostnet_prefix_parse(text, false, &value, &error);
    g_assert_no_error(error);
    return value;
}

static struct hostnet_address address(const char *text)
{
    GError *error = NULL;
    struct hostnet_address value;
    hostnet_address_parse(text, &value, &error);
    g_assert_no_error(error);
    return value;
}

static void test_address_text(void)
{
    static const struct {
        const char *text, *canonical; /* NULL: no address */
    } rows[] = {
        {"10.1.0.2", "10.1.0.2"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"fd00::2", "fd00::2"},
        {"FD00:0:0:0:0:0:0:2", "fd00::2"},
        {"::", "::"},
        {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
        {"", NULL},
        {"10.1.0", NULL},
        {"10.1.0.256", NULL},
        {"010.1.0.2", NULL},
        {"10.1.0.2 ", NULL},
        {" 10.1.0.2", NULL},
        {"10.1.0.2/24", NULL},
        {"fe80::1%lo", NULL},
        {"1:2:3:4:5:6:7:8:9", NULL},
        {"host", NULL},
        {"0x0a.1.0.2", NULL},
        {"167837698", NULL},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        GError *error = NULL;
        struct hostnet_address value = {.family = 99};
        char text[HOSTNET_ADDRESS_TEXT];
        bool is_good = hostnet_address_parse(rows[i].text, &value, &error);
        g_test_message("%s", rows[i].text);
        g_assert_cmpint(is_good, ==, rows[i].canonical != NULL);
        if (is_good) {
            g_assert_cmpstr(hostnet_address_format(&value, text), ==, rows[i].canonical);
        } else {
            assert_error(&error, HOSTNET_ERROR_INVALID, "is no IP address");
            g_assert_cmpint(value.family, ==, 99); /* written on success only */
        }
    }
}

static void test_prefix_text(void)
{
    static const char *const bad[] = {"",
                                      "10.1.0.0",
                                      "10.1.0.0/",
                                      "10.1.0.0/33",
                                      "10.1.0.0/024",
                                      "10.1.0.0/+8",
                                      "10.1.0.0/8 ",
                                      "fd00::/129",
                                      "/8",
                                      "10.1.0.0/-1",
                                      "10.1.0.0/0x8",
                                      "10.1.0.0/8/8",
                                      "10.1.0.0/4294967304"};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *error = NULL;
        struct hostnet_prefix value;
        g_test_message("%s", bad[i]);
        g_assert_false(hostnet_prefix_parse(bad[i], false, &value, &error));
        g_assert_error(error, HOSTNET_ERROR, HOSTNET_ERROR_INVALID);
        g_clear_error(&error);
    }
    char text[HOSTNET_PREFIX_TEXT];
    struct hostnet_prefix value = prefix("10.1.0.7/24");
    g_assert_cmpstr(hostnet_prefix_format(&value, text), ==, "10.1.0.7/24");
    value = prefix("::/0");
    g_assert_cmpstr(hostnet_prefix_format(&value, text), ==, "::/0");
    g_assert_true(hostnet_prefix_parse("10.1.0.7", true, &value, NULL));
    g_assert_cmpint(value.length, ==, 32);
    g_assert_true(hostnet_prefix_parse("fd00::7", true, &value, NULL));
    g_assert_cmpint(value.length, ==, 128);
}

static void test_prefix_arithmetic(void)
{
    static const struct {
        const char *prefix, *network, *last, *first_host, *second_host;
        uint64_t hosts;
    } rows[] = {
        {"10.1.0.7/24", "10.1.0.0", "10.1.0.255", "10.1.0.1", "10.1.0.2", 254},
        {"10.1.0.7/30", "10.1.0.4", "10.1.0.7", "10.1.0.5", "10.1.0.6", 2},
        {"10.1.0.7/31", "10.1.0.6", "10.1.0.7", "10.1.0.6", "10.1.0.7", 2},
        {"10.1.0.7/32", "10.1.0.7", "10.1.0.7", "10.1.0.7", NULL, 1},
        {"0.0.0.0/0", "0.0.0.0", "255.255.255.255", "0.0.0.1", "0.0.0.2", 4294967294},
        {"10.1.255.200/23", "10.1.254.0", "10.1.255.255", "10.1.254.1", "10.1.254.2", 510},
        {"fd00::77/64", "fd00::", "fd00::ffff:ffff:ffff:ffff", "fd00::1", "fd00::2", UINT64_MAX},
        {"fd00::77/120", "fd00::", "fd00::ff", "fd00::1", "fd00::2", 255},
        {"fd00::77/127", "fd00::76", "fd00::77", "fd00::76", "fd00::77", 2},
        {"fd00::77/128", "fd00::77", "fd00::77", "fd00::77", NULL, 1},
        {"fd00::77/65", "fd00::", "fd00::7fff:ffff:ffff:ffff", "fd00::1", "fd00::2", INT64_MAX},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        char text[HOSTNET_ADDRESS_TEXT];
        struct hostnet_prefix value = prefix(rows[i].prefix);
        struct hostnet_address result;
        g_test_message("%s", rows[i].prefix);
        hostnet_prefix_network(&value, &result);
        g_assert_cmpstr(hostnet_address_format(&result, text), ==, rows[i].network);
        hostnet_prefix_last(&value, &result);
        g_assert_cmpstr(hostnet_address_format(&result, text), ==, rows[i].last);
        g_assert_cmpuint(hostnet_prefix_host_count(&value), ==, rows[i].hosts);
        g_assert_true(hostnet_prefix_host(&value, 1, &result));
        g_assert_cmpstr(hostnet_address_format(&result, text), ==, rows[i].first_host);
        g_assert_true(hostnet_prefix_is_host(&value, &result));
        g_assert_cmpint(hostnet_prefix_host(&value, 2, &result), ==, rows[i].second_host != NULL);
        if (rows[i].second_host)
            g_assert_cmpstr(hostnet_address_format(&result, text), ==, rows[i].second_host);
        g_assert_false(hostnet_prefix_host(&value, 0, &result));
        /* The last host there is, and not one more. */
        if (rows[i].hosts < UINT64_MAX) {
            g_assert_true(hostnet_prefix_host(&value, rows[i].hosts, &result));
            g_assert_true(hostnet_prefix_is_host(&value, &result));
            g_assert_false(hostnet_prefix_host(&value, rows[i].hosts + 1, &result));
        }
    }
}

static void test_prefix_relations(void)
{
    struct hostnet_prefix lan = prefix("10.1.0.0/24"), wide = prefix("10.0.0.0/8"),
                          other = prefix("10.1.1.0/24"), six = prefix("fd00::/64"), all = prefix("0.0.0.0/0");
    struct hostnet_address inside = address("10.1.0.255"), outside = address("10.1.1.0"),
                           v6 = address("fd00::1");
    g_assert_true(hostnet_prefix_contains(&lan, &inside));
    g_assert_false(hostnet_prefix_contains(&lan, &outside));
    g_assert_false(hostnet_prefix_contains(&all, &v6));
    g_assert_true(hostnet_prefix_contains(&six, &v6));
    g_assert_true(hostnet_prefix_overlaps(&lan, &wide));
    g_assert_true(hostnet_prefix_overlaps(&wide, &lan));
    g_assert_false(hostnet_prefix_overlaps(&lan, &other));
    g_assert_false(hostnet_prefix_overlaps(&all, &six));
    g_assert_true(hostnet_prefix_is_network(&lan));
    struct hostnet_prefix host = prefix("10.1.0.7/24");
    g_assert_false(hostnet_prefix_is_network(&host));
    g_assert_false(hostnet_prefix_is_host(&lan, &inside)); /* the broadcast address */
    struct hostnet_address zero = address("10.1.0.0");
    g_assert_false(hostnet_prefix_is_host(&lan, &zero));
    g_assert_cmpint(hostnet_address_compare(&zero, &inside), <, 0);
    g_assert_cmpint(hostnet_address_compare(&v6, &inside), >, 0);
}

static void test_address_classes(void)
{
    static const struct {
        const char *text;
        bool unspecified, multicast, loopback, link_local;
    } rows[] = {
        {"0.0.0.0", true, false, false, false},
        {"224.0.0.1", false, true, false, false},
        {"239.255.255.255", false, true, false, false},
        {"127.1.2.3", false, false, true, false},
        {"169.254.3.4", false, false, false, true},
        {"10.0.0.1", false, false, false, false},
        {"::", true, false, false, false},
        {"::1", false, false, true, false},
        {"ff02::1", false, true, false, false},
        {"fe80::1", false, false, false, true},
        {"febf::1", false, false, false, true},
        {"fec0::1", false, false, false, false},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct hostnet_address value = address(rows[i].text);
        g_test_message("%s", rows[i].text);
        g_assert_cmpint(hostnet_address_is_unspecified(&value), ==, rows[i].unspecified);
        g_assert_cmpint(hostnet_address_is_multicast(&value), ==, rows[i].multicast);
        g_assert_cmpint(hostnet_address_is_loopback(&value), ==, rows[i].loopback);
        g_assert_cmpint(hostnet_address_is_link_local(&value), ==, rows[i].link_local);
    }
    struct hostnet_address last = address("255.255.255.255"), result = {.family = 99};
    g_assert_false(hostnet_address_add_offset(&last, 1, &result));
    g_assert_cmpint(result.family, ==, 99);
    struct hostnet_address low = address("fd00::ffff:ffff:ffff:ffff"), expected = address("fd00:0:0:1::");
    g_assert_true(hostnet_address_add_offset(&low, 1, &result));
    g_assert_true(hostnet_address_equal(&result, &expected));
}

static void test_mac(void)
{
    struct hostnet_mac mac, again;
    char text[HOSTNET_MAC_TEXT];
    g_assert_true(hostnet_mac_parse("02:00:00:AA:bb:0c", &mac, NULL));
    g_assert_cmpstr(hostnet_mac_format(&mac, text), ==, "02:00:00:aa:bb:0c");
    static const char *const bad[] = {"",
                                      "02:00:00:aa:bb",
                                      "02:00:00:aa:bb:0c:0d",
                                      "02-00-00-aa-bb-0c",
                                      "2:0:0:a:b:c",
                                      "02:00:00:aa:bb:0g",
                                      "02:00:00:aa:bb:0c "};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *error = NULL;
        g_assert_false(hostnet_mac_parse(bad[i], &mac, &error));
        assert_error(&error, HOSTNET_ERROR_INVALID, "MAC");
    }
    hostnet_mac_derive("netlab:a:lan", &mac);
    hostnet_mac_derive("netlab:a:lan", &again);
    g_assert_cmpmem(mac.octets, 6, again.octets, 6);
    g_assert_cmpint(mac.octets[0] & 3, ==, 2);
    hostnet_mac_derive("netlab:b:lan", &again);
    g_assert_cmpint(memcmp(mac.octets, again.octets, 6), !=, 0);
}

static void test_marks(void)
{
    GError *error = NULL;
    g_autofree char *mark = hostnet_mark_format("branch-office", "r1 to: r2", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(mark, ==, "netlab:branch-office:r1 to: r2");
    g_autofree char *lab = NULL, *human = NULL;
    g_assert_true(hostnet_mark_parse(mark, &lab, &human));
    g_assert_cmpstr(lab, ==, "branch-office");
    g_assert_cmpstr(human, ==, "r1 to: r2");
    static const char *const foreign[] = {"",          "netlab",    "netlab:", "netlab:a",
                                          "netlab:a:", "netlab::b", "uplink",  "Netlab:a:b"};
    for (unsigned i = 0; i < G_N_ELEMENTS(foreign); i++)
        g_assert_false(hostnet_mark_parse(foreign[i], NULL, NULL));
    g_assert_null(hostnet_mark_format("a:b", "c", &error));
    assert_error(&error, HOSTNET_ERROR_INVALID, "':'");
    g_assert_null(hostnet_mark_format("", "c", &error));
    assert_error(&error, HOSTNET_ERROR_INVALID, "empty");
    g_assert_null(hostnet_mark_format("a", "line\nbreak", &error));
    assert_error(&error, HOSTNET_ERROR_INVALID, "control");
    g_assert_null(hostnet_mark_format("a", "\xff\xfe", &error));
    assert_error(&error, HOSTNET_ERROR_INVALID, "UTF-8");
    g_autofree char *fits = g_strnfill(HOSTNET_MARK_MAX - strlen("netlab:a:"), 'x');
    g_autofree char *longest = hostnet_mark_format("a", fits, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(strlen(longest), ==, HOSTNET_MARK_MAX);
    g_autofree char *too_long = g_strconcat(fits, "x", NULL);
    g_assert_null(hostnet_mark_format("a", too_long, &error));
    assert_error(&error, HOSTNET_ERROR_INVALID, "256 bytes");
}

static void test_names(void)
{
    static const char *const good[] = {"lan", "nlb3f2a1", "a", "abcdefghijklmno", "x.y-z_0", "...", "ü"};
    static const char *const bad[] = {"all", "default", "",    ".",     "..",   "abcdefghijklmnop",
                                      "a b", "a/b",     "a:b", "tap%d", "a\tb", "a\x01"};
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++)
        g_assert_true(hostnet_name_check(good[i], NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *error = NULL;
        g_assert_false(hostnet_name_check(bad[i], &error));
        assert_error(&error, HOSTNET_ERROR_INVALID, "interface name");
    }
}

static void test_identity_text(void)
{
    struct hostnet_link_identity identity = {.index = 123456789,
                                             .name = "nlb1",
                                             .mark = "netlab:a:x/y:z",
                                             .boot_id = "0b1c",
                                             .netns = 42},
                                 parsed;
    g_autofree char *text = hostnet_identity_format(&identity);
    g_assert_cmpstr(text, ==, "0b1c/42/123456789/nlb1/netlab:a:x/y:z");
    g_assert_true(hostnet_identity_parse(text, &parsed, NULL));
    g_autofree char *again = hostnet_identity_format(&parsed);
    g_assert_cmpstr(again, ==, text);
    static const char *const bad[] = {"",
                                      "a/b/c",
                                      "0b1c/42/0/nlb1/netlab:a:b",
                                      "0b1c/42/-1/nlb1/netlab:a:b",
                                      "0b1c/42/1/a name/netlab:a:b",
                                      "0b1c/42/1/nlb1/other",
                                      "0b1c/x/1/nlb1/netlab:a:b",
                                      "0b1c/42/99999999999/nlb1/netlab:a:b",
                                      "/42/1/nlb1/netlab:a:b"};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *error = NULL;
        g_assert_false(hostnet_identity_parse(bad[i], &parsed, &error));
        assert_error(&error, HOSTNET_ERROR_INVALID, "identity");
    }
}

/* Each switch that can stand in the way is named, in a made-up /proc/sys. */
static void test_explain(void)
{
    static const struct {
        const char *key, *value;
        int error_number;
        bool is_user;
        const char *expected;
    } rows[] = {
        {"user/max_user_namespaces", "0\n", ENOSPC, true, "user.max_user_namespaces` is 0"},
        {"user/max_net_namespaces", "0\n", ENOSPC, false, "user.max_net_namespaces` is 0"},
        {"kernel/unprivileged_userns_clone", "0\n", EPERM, true, "kernel.unprivileged_userns_clone` is 0"},
        {"kernel/apparmor_restrict_unprivileged_userns", "1\n", EACCES, true,
         "kernel.apparmor_restrict_unprivileged_userns` is 1"},
        {"kernel/unprivileged_userns_clone", "1\n", EPERM, true, "security policy"},
        {"kernel/unprivileged_userns_clone", "0\n", EPERM, false, "CAP_SYS_ADMIN"},
        {"user/max_user_namespaces", "100\n", ENOSPC, true, "too many"},
        {"user/max_user_namespaces", "100\n", EINVAL, true, "threads"},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *root = g_dir_make_tmp("netlab-sysctl-XXXXXX", NULL);
        g_autofree char *path = g_build_filename(root, rows[i].key, NULL);
        g_autofree char *folder = g_path_get_dirname(path);
        g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
        g_assert_true(g_file_set_contents(path, rows[i].value, -1, NULL));
        g_autofree char *text = hostnet_namespace_explain(rows[i].error_number, rows[i].is_user, root);
        g_assert_nonnull(text);
        g_test_message("%s", text);
        g_assert_nonnull(strstr(text, rows[i].expected));
        g_unlink(path);
        g_rmdir(folder);
        g_rmdir(root);
    }
    g_assert_null(hostnet_namespace_explain(EIO, true, "/nonexistent"));
}

static void test_error_words(void)
{
    GError *error = NULL;
    hostnet_error_set(&error, EPERM, NULL, NULL, "creating bridge %s", "lan (nlb3f2a1)");
    g_assert_cmpstr(
        error->message, ==,
        "creating bridge lan (nlb3f2a1): operation not permitted (needs CAP_NET_ADMIN; run as root or "
        "use --rootless)");
    g_clear_error(&error);
    hostnet_error_set(&error, EINVAL, "Invalid gateway", "do this", "adding a route");
    g_assert_cmpstr(error->message, ==,
                    "adding a route: invalid argument (the kernel says: Invalid gateway; do this)");
    g_clear_error(&error);
    for (int i = 0; i < HOSTNET_ERROR_COUNT; i++)
        g_assert_cmpstr(hostnet_error_name((enum hostnet_error)i), !=, "unknown");
    g_autofree char *both = hostnet_describe_link("netlab:a:lan", "nlb1"),
                    *one = hostnet_describe_link("x", "nlb1"),
                    *same = hostnet_describe_link("netlab:a:nlb1", "nlb1");
    g_assert_cmpstr(both, ==, "lan (nlb1)");
    g_assert_cmpstr(one, ==, "nlb1");
    g_assert_cmpstr(same, ==, "nlb1");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/values/address-text", test_address_text);
    g_test_add_func("/values/prefix-text", test_prefix_text);
    g_test_add_func("/values/prefix-arithmetic", test_prefix_arithmetic);
    g_test_add_func("/values/prefix-relations", test_prefix_relations);
    g_test_add_func("/values/address-classes", test_address_classes);
    g_test_add_func("/values/mac", test_mac);
    g_test_add_func("/values/marks", test_marks);
    g_test_add_func("/values/names", test_names);
    g_test_add_func("/values/identity-text", test_identity_text);
    g_test_add_func("/values/explain", test_explain);
    g_test_add_func("/values/error-words", test_error_words);
    return g_test_run();
}
