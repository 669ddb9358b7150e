/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The DHCP client against real servers: Debian's dnsmasq and ISC dhcpd, in namespaces, over veth and a
 * bridge.
 *
 *   client namespace: eth0 ──veth── p0 ┐
 *                                      br0 10.77.0.1/24, a server: "server" namespace
 *   other namespace:  eth0 ──veth── p1 ┘
 *
 * Leases are of seconds, so that T1, T2 and the end are really seen. Servers die with the test.
 */
#include "hostnet/dhcp_runner.h"
#include "hostnet/dhcp_socket.h"
#include "ns_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define IPV4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

enum { PATIENCE = 60 }; /* seconds; the machine may be loaded */

struct lab {
    struct hostnet *server, *client, *other;
    struct hostnet_link_identity br0, eth0, other0;
    char *folder;
    char *before; /* the client's namespace */
};

struct client {
    struct lab *lab;
    struct dhcp_applied *applied;
    struct dhcp_runner *runner;
    GString *log; /* "DISCOVER OFFER … BOUND " */
    GString *notes;
    GPtrArray *records;
    GError *error;
};

static void give_address(struct hostnet *net, uint32_t index, const char *text)
{
    struct hostnet_link_address address = {.index = index, .default_broadcast = true};
    GError *error = NULL;
    g_assert_true(hostnet_prefix_parse(text, false, &address.local, &error));
    hostnet_address_add(net, &address, &error);
    g_assert_no_error(error);
}

static struct hostnet_link_identity wire(struct lab *lab, struct hostnet *net, const char *port)
{
    GError *error = NULL;
    struct hostnet_link_identity near_identity;
    g_autofree char *mark = g_strdup_printf("netlab:test:%s", port);
    struct hostnet_link_spec
        near_end = {.name = "eth0", .mark = "netlab:test:eth0", .up = true, .no_ipv6_address = true},
        far_end = {.name = port, .mark = mark, .master = lab->br0.index, .up = true, .no_ipv6_address = true};
    /* From the server's side: the far end's master is a link of that namespace. */
    hostnet_veth_create(lab->server, &far_end, net, &near_end, NULL, &near_identity, &error);
    g_assert_no_error(error);
    return near_identity;
}

static struct lab *lab_new(void)
{
    struct lab *lab = g_new0(struct lab, 1);
    lab->server = ns_new();
    lab->client = ns_new();
    lab->other = ns_new();
    lab->br0 = ns_bridge(lab->server, "br0", "netlab:test:br0");
    give_address(lab->server, lab->br0.index, "10.77.0.1/24");
    lab->eth0 = wire(lab, lab->client, "p0");
    lab->other0 = wire(lab, lab->other, "p1");
    lab->folder = g_dir_make_tmp("netlab-dhcp.XXXXXX", NULL);
    g_assert_nonnull(lab->folder);
    lab->before = ns_snapshot(lab->client);
    return lab;
}

static void lab_free(struct lab *lab)
{
    hostnet_close(lab->server);
    hostnet_close(lab->client);
    hostnet_close(lab->other);
    g_autoptr(GDir) folder = g_dir_open(lab->folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(folder));) {
        g_autofree char *path = g_build_filename(lab->folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(lab->folder);
    g_free(lab->folder);
    g_free(lab->before);
    g_free(lab);
}

static char *path_of(const struct lab *lab, const char *name)
{
    return g_build_filename(lab->folder, name, NULL);
}

static char *read_file(const struct lab *lab, const char *name)
{
    g_autofree char *path = path_of(lab, name);
    char *text = NULL;
    g_file_get_contents(path, &text, NULL, NULL);
    return text ? text : g_strdup("");
}

/* ---- servers ---- */

static pid_t spawn(const struct lab *lab, struct hostnet *net, const char *command)
{
    g_autofree char *log = path_of(lab, "server.log");
    pid_t parent = getpid(), pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || setns(hostnet_get_netns_fd(net), CLONE_NEWNET) != 0)
        _exit(126);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(fd, 1);
    dup2(fd, 2);
    g_auto(GStrv) words = NULL;
    if (g_shell_parse_argv(command, NULL, &words, NULL))
        execvp(words[0], words);
    _exit(127);
}

static void stop(pid_t pid)
{
    kill(pid, SIGCONT);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static bool has_died(pid_t pid)
{
    int status;
    return waitpid(pid, &status, WNOHANG) == pid;
}

/* Waits until the log has `word`; 0 and a skip when the server cannot be run here. */
static pid_t started(const struct lab *lab, pid_t pid, const char *word, const char *what)
{
    bool is_up = ns_poll(PATIENCE, ({
                             g_autofree char *log = read_file(lab, "server.log");
                             strstr(log, word) != NULL || has_died(pid);
                         }));
    g_autofree char *log = read_file(lab, "server.log");
    if (is_up && strstr(log, word))
        return pid;
    g_test_message("%s", log);
    g_autofree char *reason = g_strdup_printf("%s cannot be run here", what);
    if (ns_is_rootless() || !g_find_program_in_path(what))
        g_test_skip(reason);
    else
        g_error("%s: %s", reason, log);
    return 0;
}

static pid_t dnsmasq(const struct lab *lab, struct hostnet *net, const char *interface, const char *options)
{
    g_autofree char *leases = path_of(lab, "dnsmasq.leases");
    g_autofree char *log = path_of(lab, "server.log");
    g_unlink(log);
    g_autofree char *command = g_strdup_printf("dnsmasq --no-daemon --conf-file=/dev/null "
                                               "--pid-file= --port=0 --no-ping "
                                               "--log-facility=- --log-dhcp --dhcp-authoritative "
                                               "--bind-interfaces --interface=%s --except-interface=lo "
                                               "--dhcp-leasefile=%s %s",
                                               interface, leases, options);
    return started(lab, spawn(lab, net, command), "DHCP, IP range", "dnsmasq");
}

#define RANGE "--dhcp-range=10.77.0.50,10.77.0.59,255.255.255.0,120 "

static pid_t isc(const struct lab *lab, struct hostnet *net, const char *interface, const char *declarations)
{
    g_autofree char *leases = path_of(lab, "dhcpd.leases"), *configuration = path_of(lab, "dhcpd.conf");
    g_autofree char *log = path_of(lab, "server.log");
    g_unlink(log);
    if (!g_file_test(leases, G_FILE_TEST_EXISTS))
        g_assert_true(g_file_set_contents(leases, "", 0, NULL));
    g_autofree char *text =
        g_strdup_printf("authoritative;\nping-check false;\nddns-update-style none;\n%s", declarations);
    g_assert_true(g_file_set_contents(configuration, text, -1, NULL));
    g_autofree char *command =
        g_strdup_printf("dhcpd -4 -f -d -cf %s -lf %s --no-pid %s", configuration, leases, interface);
    return started(lab, spawn(lab, net, command), "Server starting service", "dhcpd");
}

/* ---- the client ---- */

static void on_tell(void *opaque, const struct dhcp_event *event)
{
    struct client *client = opaque;
    static const char *const words[] = {[DHCP_EVENT_BOUND] = "BOUND",
                                        [DHCP_EVENT_RENEWED] = "RENEWED",
                                        [DHCP_EVENT_LOST] = "LOST",
                                        [DHCP_EVENT_CONFLICT] = "CONFLICT",
                                        [DHCP_EVENT_COUNT] = NULL};
    if (event->type == DHCP_EVENT_SENT || event->type == DHCP_EVENT_RECEIVED)
        g_string_append_printf(client->log, "%s%s ", dhcp_type_name(event->message) + 4,
                               event->type == DHCP_EVENT_SENT && event->peer != DHCP_BROADCAST ? "@" : "");
    else if (words[event->type])
        g_string_append_printf(client->log, "%s ", words[event->type]);
    if (event->type == DHCP_EVENT_IGNORED)
        g_test_message("ignored %s: %s", dhcp_type_name(event->message), event->text);
}

static void on_note(void *opaque, const char *text)
{
    struct client *client = opaque;
    g_string_append_printf(client->notes, "%s\n", text);
}

static bool on_record(void *opaque, const struct dhcp_applied *applied, GError **error)
{
    struct client *client = opaque;
    g_ptr_array_add(client->records, dhcp_applied_format(applied));
    return true;
}

static void settings_quick(struct dhcp_settings *settings)
{
    static const struct hostnet_mac none;
    dhcp_settings_default(settings, &none);
    settings->retry_ms = 500;
    settings->select_ms = 50;
    settings->probe_ms = 20;
    settings->decline_ms = 200;
}

static struct client *client_new(struct lab *lab, const struct dhcp_settings *settings,
                                 const struct dhcp_lease *remembered)
{
    struct client *client = g_new0(struct client, 1);
    client->lab = lab;
    client->applied = dhcp_applied_new(&lab->eth0);
    client->log = g_string_new(NULL);
    client->notes = g_string_new(NULL);
    client->records = g_ptr_array_new_with_free_func(g_free);
    struct dhcp_runner_options options = {.remembered = remembered,
                                          .hooks = {.tell = on_tell, .note = on_note, .record = on_record},
                                          .opaque = client};
    if (settings)
        options.settings = *settings;
    else
        settings_quick(&options.settings);
    /* The identifier goes by the link's own MAC. */
    g_autoptr(hostnet_link) link = hostnet_link_get(lab->client, lab->eth0.index, NULL);
    options.settings.mac = link->mac;
    dhcp_settings_set_client_id(&options.settings, DHCP_CLIENT_ID_MAC, NULL);
    client->runner = dhcp_runner_new(lab->client, client->applied, &options, &client->error);
    g_assert_no_error(client->error);
    return client;
}

static void client_free(struct client *client)
{
    dhcp_runner_free(client->runner);
    dhcp_applied_free(client->applied);
    g_string_free(client->log, TRUE);
    g_string_free(client->notes, TRUE);
    g_ptr_array_unref(client->records);
    g_clear_error(&client->error);
    g_free(client);
}

/* Lets the client run until its log has `word` `count` times. */
static void run_until(struct client *client, const char *word, unsigned count)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE * G_USEC_PER_SEC;
    for (;;) {
        unsigned seen = 0;
        for (const char *at = client->log->str; (at = strstr(at, word)); at++)
            seen++;
        if (seen >= count)
            return;
        struct pollfd ready = {.fd = dhcp_runner_fd(client->runner), .events = POLLIN};
        poll(&ready, 1, 1000);
        if (!dhcp_runner_dispatch(client->runner, &client->error))
            g_error("the client ended: %s", client->error->message);
        if (g_get_monotonic_time() > deadline) {
            g_autofree char *log = read_file(client->lab, "server.log");
            g_error("no %s (%u of them) within %d s: %s\n%s", word, count, PATIENCE, client->log->str, log);
        }
    }
}

static bool link_has(struct lab *lab, const char *prefix)
{
    g_autoptr(GArray) addresses = hostnet_address_list(lab->client, lab->eth0.index, NULL);
    for (guint i = 0; i < addresses->len; i++) {
        char text[HOSTNET_PREFIX_TEXT];
        hostnet_prefix_format(&g_array_index(addresses, struct hostnet_link_address, i).local, text);
        if (!prefix || g_str_has_prefix(text, prefix))
            return true;
    }
    return false;
}

static char *address_text(const struct client *client)
{
    char text[DHCP_ADDRESS_TEXT];
    return g_strdup(dhcp_address_format(dhcp_runner_lease(client->runner)->address, text));
}

/* "10.9.0.0/16 via 10.77.0.9 metric 1024 protocol 16", … in the kernel's order. */
static char *routes_text(struct lab *lab)
{
    g_autoptr(GArray) routes = hostnet_route_list(lab->client, RT_TABLE_MAIN, lab->eth0.index, NULL);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < routes->len; i++) {
        const struct hostnet_route *route = &g_array_index(routes, struct hostnet_route, i);
        char destination[HOSTNET_PREFIX_TEXT], gateway[HOSTNET_ADDRESS_TEXT];
        if (route->destination.address.family == AF_INET && route->protocol == 16)
            g_string_append_printf(text, "%s via %s metric %u, ",
                                   hostnet_prefix_format(&route->destination, destination),
                                   hostnet_address_format(&route->gateway, gateway), route->metric);
    }
    return g_string_free(text, FALSE);
}

/* Everything is as before the lease. */
static void assert_untouched(struct lab *lab)
{
    g_autofree char *after = ns_snapshot(lab->client);
    ns_assert_same(lab->before, after);
}

/* ---- the tests ---- */

static void test_dnsmasq(void)
{
    struct lab *lab = lab_new();
    pid_t server =
        dnsmasq(lab, lab->server, "br0",
                RANGE "--dhcp-option=option:T1,3s --dhcp-option=option:T2,60s --dhcp-option=option:mtu,1400 "
                      "--dhcp-option=option:dns-server,10.77.0.2,9.9.9.9 --domain=lab.example "
                      "--dhcp-option=option:domain-search,a.example,b.a.example "
                      "--dhcp-option=option:ntp-server,10.77.0.3 "
                      "--dhcp-option=option:router,10.77.0.1 "
                      "--dhcp-option=121,0.0.0.0/0,10.77.0.254,10.9.0.0/16,10.77.0.9,10.8.0.0/16,0.0.0.0");
    if (!server) {
        lab_free(lab);
        return;
    }
    struct dhcp_settings settings;
    settings_quick(&settings);
    dhcp_settings_set_hostname(&settings, "h1", NULL);
    struct client *client = client_new(lab, &settings, NULL);
    run_until(client, "BOUND", 1);
    g_assert_cmpstr(client->log->str, ==, "DISCOVER OFFER REQUEST ACK BOUND ");
    g_assert_cmpstr(client->notes->str, ==, "");
    g_autofree char *address = address_text(client);
    g_assert_true(link_has(lab, address));
    g_autoptr(GArray) addresses = hostnet_address_list(lab->client, lab->eth0.index, NULL);
    const struct hostnet_link_address *first = &g_array_index(addresses, struct hostnet_link_address, 0);
    g_assert_cmpuint(first->valid, <=, 120);
    g_assert_cmpuint(first->valid, >, 60);
    g_assert_cmpuint(first->local.length, ==, 24);
    g_assert_cmpuint(first->broadcast.bytes[3], ==, 255);
    /* Option 121, and not the router of option 3. */
    g_autofree char *routes = routes_text(lab);
    g_assert_nonnull(strstr(routes, "0.0.0.0/0 via 10.77.0.254 metric 1024"));
    g_assert_nonnull(strstr(routes, "10.9.0.0/16 via 10.77.0.9 metric 1024"));
    g_assert_nonnull(strstr(routes, "10.8.0.0/16 via  metric 1024"));
    g_assert_null(strstr(routes, "10.77.0.1 "));
    g_autoptr(hostnet_link) link = hostnet_link_get(lab->client, lab->eth0.index, NULL);
    g_assert_cmpuint(link->mtu, ==, 1400);
    g_autofree char *lease = dhcp_lease_format(dhcp_runner_lease(client->runner));
    g_assert_nonnull(strstr(lease, "dns=10.77.0.2 9.9.9.9\n"));
    g_assert_nonnull(strstr(lease, "search=a.example b.a.example\n"));
    g_assert_nonnull(strstr(lease, "ntp=10.77.0.3\n"));
    g_assert_nonnull(strstr(lease, "domain=lab.example\n"));
    g_autofree char *leases = read_file(lab, "dnsmasq.leases");
    g_assert_nonnull(strstr(leases, address));
    g_assert_nonnull(strstr(leases, " h1 "));

    run_until(client, "RENEWED", 2); /* T1 after 3 s, twice, by unicast */
    g_assert_cmpstr(client->log->str, ==,
                    "DISCOVER OFFER REQUEST ACK BOUND REQUEST@ ACK RENEWED REQUEST@ ACK RENEWED ");

    g_assert_true(dhcp_runner_release(client->runner, &client->error));
    g_assert_true(g_str_has_suffix(client->log->str, "RELEASE@ LOST "));
    assert_untouched(lab);
    g_assert_true(ns_poll(PATIENCE, ({
                              g_autofree char *text = read_file(lab, "dnsmasq.leases");
                              strstr(text, address) == NULL;
                          })));
    client_free(client);
    stop(server);
    lab_free(lab);
}

#define ISC_SUBNET(first, last)                                                                              \
    "subnet 10.77.0.0 netmask 255.255.255.0 { range 10.77.0." first " 10.77.0." last                         \
    "; option routers 10.77.0.1; }\n"

/* A lease of 8 s: renewed at 4, rebound at 7, over at 8; and a new one from a server that came back. */
static void test_isc(void)
{
    static const char declarations[] =
        "default-lease-time 8; max-lease-time 8; min-lease-time 8;\n" ISC_SUBNET("50", "59");
    struct lab *lab = lab_new();
    pid_t server = isc(lab, lab->server, "br0", declarations);
    if (!server) {
        lab_free(lab);
        return;
    }
    struct client *client = client_new(lab, NULL, NULL);
    run_until(client, "BOUND", 1);
    run_until(client, "RENEWED", 1);
    g_assert_cmpstr(client->log->str, ==, "DISCOVER OFFER REQUEST ACK BOUND REQUEST@ ACK RENEWED ");
    g_autofree char *address = address_text(client);
    stop(server);
    run_until(client, "LOST", 1);
    g_assert_nonnull(strstr(client->log->str, "RENEWED REQUEST@ "));
    g_assert_nonnull(strstr(client->log->str, "REQUEST@ REQUEST ")); /* T2: by broadcast */
    g_assert_false(link_has(lab, NULL));
    assert_untouched(lab);
    server = isc(lab, lab->server, "br0", declarations);
    run_until(client, "BOUND", 2);
    g_autofree char *again = address_text(client);
    g_assert_cmpstr(address, ==, again);
    g_assert_true(dhcp_runner_release(client->runner, &client->error));
    g_autofree char *entry = g_strdup_printf("lease %s {", address);
    g_assert_true(ns_poll(PATIENCE, ({
                              /* The last entry of a lease is what counts in that file. */
                              g_autofree char *text = read_file(lab, "dhcpd.leases");
                              const char *last = g_strrstr(text, entry);
                              last &&strstr(last, "binding state free") != NULL;
                          })));
    assert_untouched(lab);
    client_free(client);
    stop(server);
    lab_free(lab);
}

/* A client that comes back has its old address at once; a server that no longer gives it says so. */
static void test_reboot_and_nak(void)
{
    struct lab *lab = lab_new();
    pid_t server = dnsmasq(lab, lab->server, "br0", RANGE);
    if (!server) {
        lab_free(lab);
        return;
    }
    struct client *client = client_new(lab, NULL, NULL);
    run_until(client, "BOUND", 1);
    g_autoptr(dhcp_lease) lease = dhcp_lease_copy(dhcp_runner_lease(client->runner));
    g_autofree char *address = address_text(client);
    /* Killed; what it left is known from its record. */
    g_autofree char *record = g_strdup(g_ptr_array_index(client->records, client->records->len - 1));
    client_free(client);
    g_assert_true(link_has(lab, address));
    g_autoptr(GError) error = NULL;
    g_autoptr(dhcp_applied) left = dhcp_applied_parse(record, &error);
    g_assert_no_error(error);
    g_assert_true(dhcp_apply_undo(lab->client, left, &error));
    g_assert_no_error(error);
    assert_untouched(lab);

    client = client_new(lab, NULL, lease);
    run_until(client, "BOUND", 1);
    g_assert_cmpstr(client->log->str, ==, "REQUEST ACK BOUND ");
    g_assert_true(link_has(lab, address));
    stop(server);
    g_autofree char *leases = path_of(lab, "dnsmasq.leases");
    g_unlink(leases);
    server = dnsmasq(lab, lab->server, "br0", "--dhcp-range=10.77.0.100,10.77.0.109,255.255.255.0,120");
    /* The cable is pulled and put back: a REQUEST for the old address, refused; then from the start. */
    g_string_truncate(client->log, 0);
    g_autoptr(hostnet_link) port = hostnet_link_find(lab->server, "p0", NULL);
    g_assert_true(hostnet_link_set_up(lab->server, port->index, false, NULL));
    g_assert_true(ns_poll(PATIENCE, ({
                              dhcp_runner_dispatch(client->runner, NULL);
                              !dhcp_runner_has_carrier(client->runner);
                          })));
    g_assert_true(link_has(lab, address));
    g_assert_true(hostnet_link_set_up(lab->server, port->index, true, NULL));
    run_until(client, "BOUND", 1);
    g_assert_true(g_str_has_prefix(client->log->str, "REQUEST "));
    g_assert_nonnull(strstr(client->log->str, "NAK LOST DISCOVER "));
    g_assert_false(link_has(lab, address));
    g_assert_true(link_has(lab, "10.77.0.10"));
    g_assert_true(dhcp_runner_release(client->runner, &client->error));
    assert_untouched(lab);
    client_free(client);
    stop(server);
    lab_free(lab);
}

/* Another host has the address that the server gives: declined, and another one taken. */
static void test_decline(void)
{
    struct lab *lab = lab_new();
    pid_t server = dnsmasq(lab, lab->server, "br0", "--dhcp-range=10.77.0.50,10.77.0.51,255.255.255.0,120");
    if (!server) {
        lab_free(lab);
        return;
    }
    give_address(lab->other, lab->other0.index, "10.77.0.50/24");
    struct dhcp_settings settings;
    settings_quick(&settings);
    settings.address = IPV4(10, 77, 0, 50);
    settings.probe_ms = 300; /* the other host's answer has to come within */
    struct client *client = client_new(lab, &settings, NULL);
    run_until(client, "BOUND", 1);
    g_assert_nonnull(strstr(client->log->str, "ACK CONFLICT DECLINE DISCOVER "));
    g_assert_false(link_has(lab, "10.77.0.50"));
    g_assert_true(link_has(lab, "10.77.0.51/24"));
    g_autofree char *log = read_file(lab, "server.log");
    g_assert_nonnull(strstr(log, "DHCPDECLINE(br0) 10.77.0.50"));
    g_assert_true(dhcp_runner_release(client->runner, &client->error));
    assert_untouched(lab);
    client_free(client);
    stop(server);
    lab_free(lab);
}

/* Both servers answer; one of them is wanted. */
static void test_two_servers(void)
{
    struct lab *lab = lab_new();
    give_address(lab->other, lab->other0.index, "10.77.0.2/24");
    pid_t first = dnsmasq(lab, lab->server, "br0", RANGE);
    pid_t second =
        first ? isc(lab, lab->other, "eth0", "default-lease-time 60;\n" ISC_SUBNET("70", "79")) : 0;
    if (!first || !second) {
        if (first)
            stop(first);
        lab_free(lab);
        return;
    }
    struct dhcp_settings settings;
    settings_quick(&settings);
    /* The one that has the address asked for, whichever is quicker. */
    settings.select_ms = 30000;
    settings.address = IPV4(10, 77, 0, 75);
    struct client *client = client_new(lab, &settings, NULL);
    run_until(client, "BOUND", 1);
    g_assert_true(link_has(lab, "10.77.0.75/24"));
    settings.address = 0;
    g_assert_true(dhcp_runner_release(client->runner, &client->error));
    client_free(client);
    for (unsigned i = 1; i <= 2; i++) {
        settings.server = IPV4(10, 77, 0, i);
        settings.select_ms = 50;
        client = client_new(lab, &settings, NULL);
        run_until(client, "BOUND", 1);
        g_assert_cmpuint(dhcp_runner_lease(client->runner)->server, ==, settings.server);
        g_assert_true(link_has(lab, i == 1 ? "10.77.0.5" : "10.77.0.7"));
        g_assert_true(dhcp_runner_release(client->runner, &client->error));
        client_free(client);
    }
    assert_untouched(lab);
    stop(first);
    stop(second);
    lab_free(lab);
}

/* Every other packet is dropped, from the first on: those to the server, or its answers. */
static void test_loss(void)
{
    static const struct {
        const char *hook, *port;
    } rows[] = {{"input", "dport"}, {"output", "sport"}};
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct lab *lab = lab_new();
        pid_t server =
            dnsmasq(lab, lab->server, "br0", RANGE "--dhcp-option=option:T1,3s --dhcp-option=option:T2,9s");
        if (!server) {
            lab_free(lab);
            return;
        }
        g_autofree char *command = g_strdup_printf("nft 'add table ip loss; add chain ip loss c { type "
                                                   "filter hook %s priority 0 ; }; add rule ip loss c udp "
                                                   "%s 67 numgen inc mod 2 0 counter drop'",
                                                   rows[i].hook, rows[i].port);
        int status;
        waitpid(spawn(lab, lab->server, command), &status, 0);
        if (status != 0) {
            g_test_skip("nftables cannot drop packets here");
        } else {
            struct client *client = client_new(lab, NULL, NULL);
            run_until(client, "BOUND", 1);
            /* The first is lost for certain; which of the others are depends on how quick the server is. */
            g_assert_true(g_str_has_prefix(client->log->str, "DISCOVER DISCOVER "));
            run_until(client, "RENEWED", 1);
            g_assert_true(dhcp_runner_release(client->runner, &client->error));
            assert_untouched(lab);
            client_free(client);
        }
        stop(server);
        lab_free(lab);
    }
}

/* What was there already is used and left. */
static void test_foreign(void)
{
    struct lab *lab = lab_new();
    pid_t server = dnsmasq(lab, lab->server, "br0", RANGE "--dhcp-option=option:router,10.77.0.1");
    if (!server) {
        lab_free(lab);
        return;
    }
    give_address(lab->client, lab->eth0.index, "10.77.0.55/24");
    struct hostnet_route route = {.index = lab->eth0.index, .metric = DHCP_METRIC};
    g_assert_true(hostnet_prefix_parse("0.0.0.0/0", false, &route.destination, NULL));
    g_assert_true(hostnet_address_parse("10.77.0.99", &route.gateway, NULL));
    g_assert_true(hostnet_route_add(lab->client, &route, NULL));
    g_autofree char *before = ns_snapshot(lab->client);
    struct dhcp_settings settings;
    settings_quick(&settings);
    settings.address = IPV4(10, 77, 0, 55);
    struct client *client = client_new(lab, &settings, NULL);
    run_until(client, "BOUND", 1);
    /* The default route of that metric leads elsewhere: said, and left. */
    g_assert_nonnull(strstr(client->notes->str, "adding route default via 10.77.0.1"));
    g_autofree char *during = ns_snapshot(lab->client);
    ns_assert_same(before, during);
    g_assert_true(dhcp_applied_is_empty(client->applied));
    g_assert_true(dhcp_runner_release(client->runner, &client->error));
    g_autofree char *after = ns_snapshot(lab->client);
    ns_assert_same(before, after);
    client_free(client);
    stop(server);
    lab_free(lab);
}

/* Sends a frame to everyone out of a link of another namespace. */
static void send_raw(struct hostnet *net, uint32_t index, const uint8_t *frame, size_t length)
{
    pid_t pid = fork();
    if (pid == 0) {
        int fd = setns(hostnet_get_netns_fd(net), CLONE_NEWNET) == 0 ? socket(AF_PACKET, SOCK_RAW, 0) : -1;
        struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)index};
        _exit(fd >= 0 && sendto(fd, frame, length, 0, (struct sockaddr *)&to, sizeof to) == (ssize_t)length
                  ? 0
                  : 1);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

/* What the sockets let in: UDP to port 68, right checksums, no fragments, no VLAN but priority tags. */
static void test_sockets(void)
{
    static const struct {
        const char *what;
        int tag; /* -1: none */
        size_t at;
        uint8_t flip;
        bool is_let_in;
    } rows[] = {
        {"plain", -1, 0, 0, true},
        {"priority tag", 0x6000, 0, 0, true},
        {"VLAN 5", 5, 0, 0, false},
        {"another port", -1, 23, 1, false},
        {"a fragment", -1, 7, 1, false},
        {"no UDP", -1, 9, 1, false},
        {"wrong IP checksum", -1, 10, 1, false},
        {"wrong UDP checksum", -1, 26, 1, false},
        {"wrong payload", -1, 29, 1, false},
    };
    struct lab *lab = lab_new();
    g_autoptr(hostnet_link) link = hostnet_link_get(lab->client, lab->eth0.index, NULL);
    struct dhcp_sockets sockets;
    GError *error = NULL;
    g_assert_true(dhcp_sockets_open_raw(lab->client, link, &sockets, &error));
    g_assert_no_error(error);
    g_autofree uint8_t *buffer = g_malloc(DHCP_FRAME_MAX);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GByteArray) packet =
            dhcp_packet_build(IPV4(10, 77, 0, 9), 0xffffffff, (const uint8_t *)"payload", 8);
        /* From port 67 to 68: the sum does not mind. */
        uint8_t port[2];
        memcpy(port, packet->data + 20, 2);
        memcpy(packet->data + 20, packet->data + 22, 2);
        memcpy(packet->data + 22, port, 2);
        packet->data[rows[i].at] ^= rows[i].flip;
        uint8_t header[18] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x81, 0};
        size_t length = 12;
        if (rows[i].tag >= 0) {
            header[14] = (uint8_t)(rows[i].tag >> 8);
            header[15] = (uint8_t)rows[i].tag;
            length = 16;
        }
        header[length] = 8;
        header[length + 1] = 0;
        g_autoptr(GByteArray) frame = g_byte_array_new();
        g_byte_array_append(frame, header, (guint)length + 2);
        g_byte_array_append(frame, packet->data, packet->len);
        send_raw(lab->other, lab->other0.index, frame->data, frame->len);
        /* A plain one behind it says that it has come by. */
        packet->data[rows[i].at] ^= rows[i].flip;
        packet->data[packet->len - 1] = 0;
        uint8_t plain[14] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 0};
        g_byte_array_set_size(frame, 0);
        g_byte_array_append(frame, plain, sizeof plain);
        g_byte_array_append(frame, packet->data, packet->len);
        send_raw(lab->other, lab->other0.index, frame->data, frame->len);
        unsigned let_in = 0, wanted = rows[i].is_let_in ? 2 : 1;
        struct dhcp_packet received;
        g_assert_true(ns_poll(PATIENCE, ({
                                  let_in += dhcp_sockets_receive(&sockets, buffer, &received) ==
                                            DHCP_RECEIVED_PACKET;
                                  let_in >= wanted;
                              })));
        g_test_message("%s", rows[i].what);
        g_assert_cmpstr((const char *)received.payload, ==, "payload");
        while (dhcp_sockets_receive(&sockets, buffer, &received) != DHCP_RECEIVED_NOTHING)
            let_in += 100;
        g_assert_cmpuint(let_in, ==, wanted);
    }
    dhcp_sockets_close(&sockets);
    lab_free(lab);
}

/* No server at all, no carrier, no Ethernet, a link that goes, a port that is taken. */
static void test_errors(void)
{
    struct lab *lab = lab_new();
    g_autoptr(GError) error = NULL;
    struct client *client = client_new(lab, NULL, NULL);
    run_until(client, "DISCOVER", 3);
    struct dhcp_runner_options options = {};
    settings_quick(&options.settings);
    g_assert_null(dhcp_runner_new(lab->client, client->applied, &options, &error));
    ns_assert_error(&error, HOSTNET_ERROR_BUSY, "another DHCP client has port 68");
    g_autoptr(hostnet_link) loopback = hostnet_link_find(lab->client, "lo", NULL);
    struct hostnet_link_identity identity;
    hostnet_link_get_identity(lab->client, loopback, &identity);
    g_autoptr(dhcp_applied) none = dhcp_applied_new(&identity);
    g_assert_null(dhcp_runner_new(lab->client, none, &options, &error));
    ns_assert_error(&error, HOSTNET_ERROR_UNSUPPORTED, "no Ethernet interface");
    g_assert_true(hostnet_link_delete(lab->client, &lab->eth0, NULL));
    g_assert_true(ns_poll(PATIENCE, !dhcp_runner_dispatch(client->runner, &error)));
    ns_assert_error(&error, HOSTNET_ERROR_NOT_FOUND, "eth0 is gone");
    g_assert_true(dhcp_apply_undo(lab->client, client->applied, &error));
    client_free(client);
    lab_free(lab);
}

int main(int argc, char **argv)
{
    ns_test_init(&argc, &argv);
    g_test_add_func("/dhcp/dnsmasq", test_dnsmasq);
    g_test_add_func("/dhcp/isc", test_isc);
    g_test_add_func("/dhcp/reboot-and-nak", test_reboot_and_nak);
    g_test_add_func("/dhcp/decline", test_decline);
    g_test_add_func("/dhcp/two-servers", test_two_servers);
    g_test_add_func("/dhcp/loss", test_loss);
    g_test_add_func("/dhcp/foreign", test_foreign);
    g_test_add_func("/dhcp/sockets", test_sockets);
    g_test_add_func("/dhcp/errors", test_errors);
    return g_test_run();
}
