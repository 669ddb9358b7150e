/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab host dhcp request|release|show`: our own DHCP client on one interface of this host, and `host dhcp
 * run`, the process that `request` leaves to renew.
 */
#include "cli/host.h"
#include "netlab/fault.h"
#include "netlab/host_dhcp.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { REPORT_FD = 3, TIMEOUT_S = 60 };

/* ---- printing ---- */

static char *duration(int64_t seconds)
{
    if (seconds < 0)
        return g_strdup("for ever");
    if (seconds < 120)
        return g_strdup_printf("%d s", (int)seconds);
    if (seconds < 7200)
        return g_strdup_printf("%d min", (int)(seconds / 60));
    return g_strdup_printf("%d h", (int)(seconds / 3600));
}

static void set_words(JsonObject *object, const char *name, const char *words)
{
    JsonArray *array = json_array_new();
    g_auto(GStrv) parts = words ? g_strsplit(words, " ", -1) : NULL;
    for (char **part = parts; part && *part; part++)
        json_array_add_string_element(array, *part);
    json_object_set_array_member(object, name, array);
}

static void set_seconds(JsonObject *object, const char *name, int64_t seconds)
{
    if (seconds < 0)
        json_object_set_null_member(object, name);
    else
        json_object_set_int_member(object, name, seconds);
}

static JsonObject *lease_json(const struct host_dhcp_lease *lease)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "interface", lease->interface);
    json_object_set_string_member(object, "state", lease->state);
    json_object_set_int_member(object, "pid", lease->pid);
    json_object_set_string_member(object, "log", lease->log);
    if (!lease->address)
        return object;
    json_object_set_string_member(object, "address", lease->address);
    json_object_set_string_member(object, "server", lease->server);
    json_object_set_string_member(object, "router", lease->router);
    JsonArray *routes = json_array_new();
    g_auto(GStrv) parts = lease->routes ? g_strsplit(lease->routes, ", ", -1) : NULL;
    for (char **part = parts; part && *part; part++)
        json_array_add_string_element(routes, *part);
    json_object_set_array_member(object, "routes", routes);
    set_words(object, "dns", lease->dns);
    set_words(object, "search", lease->search);
    set_words(object, "ntp", lease->ntp);
    json_object_set_string_member(object, "domain", lease->domain);
    json_object_set_string_member(object, "hostname", lease->hostname);
    json_object_set_int_member(object, "mtu", lease->mtu);
    set_seconds(object, "lifetime", lease->lifetime);
    set_seconds(object, "left", lease->left);
    set_seconds(object, "renew_in", lease->renew_in);
    return object;
}

static void print_object(JsonObject *object)
{
    JsonNode *node = json_node_alloc();
    json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), object);
    cli_print_json(node);
}

static void print_lease(const struct cli_call *call, const struct host_dhcp_lease *lease)
{
    if (cli_flag(call, "json")) {
        print_object(lease_json(lease));
        fflush(stdout);
        return;
    }
    g_autofree char *left = duration(lease->left), *renew = duration(lease->renew_in);
    printf("%s has %s from %s", lease->interface, lease->address, lease->server);
    if (lease->left < 0)
        printf(" for ever");
    else
        printf(" for %s, renewed in %s", left, renew);
    if (lease->router)
        printf("; router %s", lease->router);
    if (lease->dns)
        printf("; name servers %s (not set up: that is yours to decide)", lease->dns);
    printf("\n");
    fflush(stdout);
}

/* Progress as other DHCP clients have it with -v: on terminals, or when asked for. */
static void tell(void *opaque, const char *text, bool is_detail)
{
    const struct cli_call *call = opaque;
    bool is_verbose = cli_flag(call, "verbose");
    if (cli_flag(call, "json") ? is_verbose : is_verbose || (!is_detail && cli_is_terminal())) {
        fprintf(cli_flag(call, "json") ? stderr : stdout, "%s\n", text);
        fflush(stdout);
    }
}

/* ---- request ---- */

static const struct cli_option request_options[] = {
    {"foreground", 'f', NULL, "stay and renew it here; Ctrl-C gives it back"},
    {"hostname", 0, "NAME", "tell the server this host name"},
    {"client-id", 0, "ID",
     "mac (as most servers have it; the usual), duid (RFC 4361), none, bytes like 01:52:55:…, or a "
     "text"},
    {"address", 0, "ADDRESS", "ask for this one"},
    {"server", 0, "ADDRESS", "take offers of this server only"},
    {"probe", 0, "HOW",
     "look for the address on the link before using it: quick (the usual), full (all of RFC 5227's "
     "seconds), off"},
    {"metric", 0, "NUMBER", "of the routes (otherwise 1024)"},
    {"no-routes", 0, NULL, "only the address"},
    {"no-mtu", 0, NULL, "leave the MTU as it is"},
    {"broadcast", 0, NULL, "ask the server to answer by broadcast"},
    {"timeout", 0, "SECONDS", "give up when there is no lease by then (otherwise 60)"},
    {"verbose", 'v', NULL, "print each message, also those that are ignored"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

static bool parse_probe(const struct cli_call *call, enum host_dhcp_probe *probe)
{
    static const char *const names[] = {
        [HOST_DHCP_PROBE_QUICK] = "quick", [HOST_DHCP_PROBE_FULL] = "full", [HOST_DHCP_PROBE_OFF] = "off"};
    const char *text = cli_value(call, "probe");
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (!text || g_str_equal(text, names[i])) {
            *probe = (enum host_dhcp_probe)i;
            return true;
        }
    }
    cli_misuse(call, "--probe: \"%s\" is none of quick, full and off", text);
    return false;
}

static void bound_here(void *opaque, const struct host_dhcp_lease *lease)
{
    print_lease(opaque, lease);
}

static int watch_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run_request(struct cli_call *call)
{
    struct lab_place place;
    struct host_dhcp_request request = {
        .place = &place,
        .interface = cli_argument(call, 0),
        .hostname = cli_value(call, "hostname"),
        .client_id = cli_value(call, "client-id"),
        .address = cli_value(call, "address"),
        .server = cli_value(call, "server"),
        .timeout_s = TIMEOUT_S,
        .no_routes = cli_flag(call, "no-routes"),
        .no_mtu = cli_flag(call, "no-mtu"),
        .broadcast = cli_flag(call, "broadcast"),
        .hooks = {.tell = tell, .opaque = call},
    };
    if (!cli_number(call, "timeout", 1, 86400, &request.timeout_s) ||
        !cli_number(call, "metric", 1, UINT32_MAX, &request.metric) || !parse_probe(call, &request.probe))
        return CLI_USAGE;
    g_autoptr(GError) error = NULL;
    fault_arm_from_environment();
    lab_place_find(&place);
    bool good;
    if (cli_flag(call, "foreground")) {
        good = host_dhcp_foreground(&request, bound_here, &error);
    } else {
        request.cancel_fd = watch_signals();
        g_autoptr(host_dhcp_lease) lease = host_dhcp_request(&request, &error);
        good = lease != NULL;
        if (good)
            print_lease(call, lease);
        close(request.cancel_fd);
    }
    lab_place_clear(&place);
    return good ? CLI_OK : cli_fail(error);
}

static const struct cli_verb verb_request = {
    .name = "host dhcp request",
    .arguments = "INTERFACE",
    .summary = "get an address and keep it renewed",
    .description = "What `dhclient -v INTERFACE` does: asks for a lease, puts its address, routes and MTU on "
                   "the interface, and "
                   "leaves a process that renews it until `netlab host dhcp release`. A lease that is "
                   "remembered is asked for "
                   "again. Nothing is changed when no lease is to be had.\n\n"
                   "Name servers and the like are printed, not set up.",
    .options = request_options,
    .option_count = G_N_ELEMENTS(request_options),
    .least = 1,
    .most = 1,
    .run = run_request,
};

/* ---- release ---- */

static const struct cli_option release_options[] = {
    {"quiet", 'q', NULL, "print errors only"},
    {"verbose", 'v', NULL, "print what is sent"},
    CLI_HELP_OPTION,
};

static int run_release(struct cli_call *call)
{
    struct lab_place place;
    struct host_dhcp_hooks hooks = {.tell = tell, .opaque = call};
    g_autoptr(GError) error = NULL;
    fault_arm_from_environment();
    lab_place_find(&place);
    bool good = host_dhcp_release(&place, cli_argument(call, 0), &hooks, &error);
    lab_place_clear(&place);
    if (!good)
        return cli_fail(error);
    if (!cli_flag(call, "quiet"))
        printf("the lease of %s is released\n", cli_argument(call, 0));
    return CLI_OK;
}

static const struct cli_verb verb_release = {
    .name = "host dhcp release",
    .arguments = "INTERFACE",
    .summary = "give a lease back",
    .description =
        "What `dhclient -v -r INTERFACE` does: ends the process that renews the lease, tells the server, and "
        "takes off the interface exactly what the lease has put on it.",
    .options = release_options,
    .option_count = G_N_ELEMENTS(release_options),
    .least = 1,
    .most = 1,
    .run = run_release,
};

/* ---- show ---- */

static const struct cli_option show_options[] = {CLI_JSON_OPTION, CLI_HELP_OPTION};

static void show_json(GPtrArray *leases)
{
    JsonArray *out = json_array_new();
    for (guint i = 0; i < leases->len; i++)
        json_array_add_object_element(out, lease_json(leases->pdata[i]));
    JsonNode *node = json_node_alloc();
    json_node_take_array(json_node_init(node, JSON_NODE_ARRAY), out);
    cli_print_json(node);
}

static const char *or_dash(const char *text)
{
    return text ? text : "-";
}

static void show_table(GPtrArray *leases)
{
    static const char *const header[] = {"INTERFACE", "ADDRESS", "STATE", "LEFT", "SERVER",
                                         "ROUTER",    "DNS",     "PID",   NULL};
    if (!leases->len) {
        printf("no interface has a lease of netlab's; get one with `netlab host dhcp request INTERFACE`\n");
        return;
    }
    struct cli_table *table = cli_table_new(header);
    for (guint i = 0; i < leases->len; i++) {
        const struct host_dhcp_lease *lease = leases->pdata[i];
        g_autofree char *pid = lease->pid ? g_strdup_printf("%d", lease->pid) : g_strdup("-");
        g_autofree char *left = lease->address ? duration(lease->left) : g_strdup("-");
        const char *cells[] = {
            lease->interface,       or_dash(lease->address), lease->state, left, or_dash(lease->server),
            or_dash(lease->router), or_dash(lease->dns),     pid,          NULL};
        cli_table_add(table, cells);
    }
    cli_table_print(table);
}

static int run_show(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct lab_place place;
    lab_place_find(&place);
    g_autoptr(GPtrArray) leases = host_dhcp_list(&place, &error);
    lab_place_clear(&place);
    if (!leases)
        return cli_fail(error);
    if (cli_flag(call, "json"))
        show_json(leases);
    else
        show_table(leases);
    return CLI_OK;
}

static const struct cli_verb verb_show = {
    .name = "host dhcp show",
    .arguments = "",
    .summary = "show the leases that netlab holds",
    .description = "Lists the interfaces whose addresses netlab has by DHCP. \"not renewed\": its process "
                   "has ended (it was "
                   "killed); `request` takes the lease on again, `release` gives it back.",
    .options = show_options,
    .option_count = G_N_ELEMENTS(show_options),
    .run = run_show,
};

/* ---- run ---- */

static const struct cli_option run_options[] = {
    {"row", 0, "NUMBER", "of the lease in the store"},
    {"state", 0, "FOLDER", "the store's"},
    {"timeout", 0, "SECONDS", "for the first lease"},
};

static int run_run(struct cli_call *call)
{
    const char *row = cli_value(call, "row"), *state = cli_value(call, "state");
    unsigned timeout = TIMEOUT_S;
    if (!row || !state)
        return cli_misuse(call, "this is started by `netlab host dhcp request`");
    if (!cli_number(call, "timeout", 1, 86400, &timeout))
        return CLI_USAGE;
    struct lab_place place = {.state = (char *)state, .runtime = (char *)""};
    g_autoptr(GError) error = NULL;
    fault_arm_from_environment();
    if (host_dhcp_run(&place, g_ascii_strtoll(row, NULL, 10), timeout, REPORT_FD, &error))
        return CLI_OK;
    return CLI_FAILED; /* said in the log and to who started it */
}

static const struct cli_verb verb_run = {
    .name = "host dhcp run",
    .arguments = "",
    .summary = "renew a lease (started by `host dhcp request`)",
    .description = "",
    .options = run_options,
    .option_count = G_N_ELEMENTS(run_options),
    .is_hidden = true,
    .run = run_run,
};

static const struct cli_verb *const dhcp_verbs[] = {&verb_request, &verb_release, &verb_show, &verb_run,
                                                    NULL};

const struct cli_verb verb_host_dhcp = {
    .name = "host dhcp",
    .arguments = "COMMAND …",
    .summary = "addresses by DHCP",
    .description = "Our own DHCP client, on one interface of this host.",
    .group = dhcp_verbs,
};
