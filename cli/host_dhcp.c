/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab host dhcp …`: our own DHCP client on one interface of this host.
 */
#include "cli/host.h"
#include "netlab/lab.h"
#include "netlab/process.h"

#include <stdio.h>

/* ---- show ---- */

static const struct cli_option show_options[] = {CLI_JSON_OPTION, CLI_HELP_OPTION};

static const char *state_of(const struct store_lease *lease)
{
    return lease->state == STORE_LEASE_BOUND ? "bound" : "requesting";
}

/* The process that renews it; 0: there is none. */
static int runner_of(const struct store_lease *lease)
{
    struct process_identity identity;
    return process_parse(lease->runner, &identity) && process_is_alive(&identity) ? identity.pid : 0;
}

static void show_json(GPtrArray *leases)
{
    JsonArray *out = json_array_new();
    for (guint i = 0; i < leases->len; i++) {
        const struct store_lease *lease = leases->pdata[i];
        JsonObject *item = json_object_new();
        json_object_set_string_member(item, "interface", lease->interface);
        json_object_set_string_member(item, "state", state_of(lease));
        json_object_set_int_member(item, "pid", runner_of(lease));
        json_array_add_object_element(out, item);
    }
    JsonNode *node = json_node_alloc();
    json_node_take_array(json_node_init(node, JSON_NODE_ARRAY), out);
    cli_print_json(node);
}

static void show_table(GPtrArray *leases)
{
    static const char *const header[] = {"INTERFACE", "STATE", "PID", NULL};
    if (!leases->len) {
        printf("no interface has a lease of ours\n");
        return;
    }
    struct cli_table *table = cli_table_new(header);
    for (guint i = 0; i < leases->len; i++) {
        const struct store_lease *lease = leases->pdata[i];
        int runner = runner_of(lease);
        g_autofree char *pid = runner ? g_strdup_printf("%d", runner) : g_strdup("-");
        const char *cells[] = {lease->interface, state_of(lease), pid, NULL};
        cli_table_add(table, cells);
    }
    cli_table_print(table);
}

static int run_show(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct lab_place place;
    lab_place_find(&place);
    g_autoptr(store) store = store_open(place.state, &error);
    g_autoptr(GPtrArray) leases = store ? store_list_leases(store, &error) : NULL;
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
    .description = "Lists the interfaces of this host whose addresses netlab has by DHCP.",
    .options = show_options,
    .option_count = G_N_ELEMENTS(show_options),
    .run = run_show,
};

static const struct cli_verb *const dhcp_verbs[] = {&verb_show, NULL};

const struct cli_verb verb_host_dhcp = {
    .name = "host dhcp",
    .arguments = "COMMAND …",
    .summary = "addresses by DHCP",
    .description = "Our own DHCP client, on one interface of this host.",
    .group = dhcp_verbs,
};
