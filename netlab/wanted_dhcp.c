/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * dnsmasq on a network: a process of the lab called "@NETWORK", as the gateway of user networking is one. Its
 * settings are the payload's "config", which machine.c writes into its folder; so when they change, it is
 * started anew, and nothing else is. docs/dhcp.md says what they mean for people.
 *
 * What it answers is all known beforehand: each NIC's lease, each node's names. A server that was killed and
 * started again says the same; only clients that nobody knows live by its file of leases.
 *
 * Sources: dnsmasq(8).
 */
#include "netlab/wanted_dhcp.h"
#include "netlab/topology_six.h"

#include <json-glib/json-glib.h>
#include <string.h>

static char *plain(uint32_t address)
{
    return ipv4_format((struct ipv4_prefix){address, IPV4_NO_LENGTH});
}

static void put_address(GString *text, const char *before, uint32_t address)
{
    g_autofree char *shown = plain(address);
    g_string_append_printf(text, "%s%s", before, shown);
}

static void put_settings(GString *text, const struct topology_network *network)
{
    const struct topology_dhcp *dhcp = &network->dhcp;
    static const char fixed[] = "keep-in-foreground\n"
                                "log-facility=-\n"
                                "quiet-dhcp\n"
                                "pid-file\n"
                                "user=\n" /* it runs as a user already */
                                "group=\n"
                                "no-resolv\n"
                                "no-hosts\n"
                                "bind-interfaces\n"
                                "except-interface=lo\n"
                                "domain-needed\n"
                                "bogus-priv\n"
                                "expand-hosts\n"
                                "dhcp-authoritative\n"
                                "dhcp-leasefile=leases\n";
    g_string_append(text, fixed);
    g_string_append_printf(text, "domain=%s\nlocal=/%s/\n", dhcp->domain, dhcp->domain);
    put_address(text, "dhcp-range=", dhcp->first);
    put_address(text, ",", dhcp->last);
    put_address(text, ",", ipv4_mask(network->subnet.length));
    g_string_append_printf(text, ",%u\n", dhcp->lease);
    g_string_append(text, "dhcp-option=3");
    if (dhcp->has_router)
        put_address(text, ",", dhcp->router);
    g_string_append(text, "\ndhcp-option=6");
    for (unsigned i = 0; i < dhcp->dns_count; i++)
        put_address(text, ",", dhcp->dns[i]);
    if (!dhcp->dns_count)
        put_address(text, ",", dhcp->server);
    if (!dhcp->dns_count && network->has_dns)
        put_address(text, ",", network->dns);
    g_string_append(text, "\n");
    for (unsigned i = 0; i < dhcp->ntp_count; i++)
        put_address(text, i ? "," : "dhcp-option=42,", dhcp->ntp[i]);
    g_string_append_printf(text, "%sdhcp-option=26,%u\n", dhcp->ntp_count ? "\n" : "", network->mtu);
    for (guint i = 0; dhcp->options && i < dhcp->options->len; i++) {
        const struct topology_dhcp_option *option = dhcp->options->pdata[i];
        g_string_append_printf(text, "dhcp-option=%u,%s\n", option->number, option->value);
    }
}

/* "web.lab.internal,web": the first is what its address is called. */
static char *names_of(const struct topology_node *node, const char *domain)
{
    bool has_other = !g_str_equal(node->hostname, node->name);
    return g_strdup_printf("%s.%s,%s%s%s", node->name, domain, node->name, has_other ? "," : "",
                           has_other ? node->hostname : "");
}

static bool has_address(const struct topology_nic *nic)
{
    return nic->has_address || nic->is_reserved;
}

/* ",10.1.0.1,fd00:1::1"; "" when it has none. */
static char *addresses_of(const struct topology_nic *nic)
{
    g_autofree char *four = has_address(nic) ? plain(nic->address.address) : NULL,
                    *six = nic->has_address6 ? ipv6_format_plain(&nic->address6) : NULL;
    return g_strdup_printf("%s%s%s%s", four ? "," : "", four ? four : "", six ? "," : "", six ? six : "");
}

/* Its lease and name here; one that is elsewhere only is known by its addresses there. */
static void put_node(GString *text, const struct topology_network *network, const struct topology_node *node)
{
    g_autofree char *names = names_of(node, network->dhcp.domain);
    bool is_here = false;
    for (guint i = 0; i < node->nics->len; i++) {
        const struct topology_nic *nic = node->nics->pdata[i];
        g_autofree char *mac = mac_format(nic->mac), *address = plain(nic->address.address),
                        *all = addresses_of(nic);
        if (nic->network != network || !*all)
            continue;
        if (has_address(nic))
            g_string_append_printf(text, "dhcp-host=%s,%s,%s\n", mac, address, node->name);
        g_string_append_printf(text, "host-record=%s%s\n", names, all);
        is_here = true;
    }
    for (guint i = 0; i < node->nics->len && !is_here; i++) {
        g_autofree char *all = addresses_of(node->nics->pdata[i]);
        if (*all)
            g_string_append_printf(text, "host-record=%s%s\n", names, all);
    }
}

static void put_nic(JsonBuilder *builder, const struct topology_network *network)
{
    struct ipv4_prefix address = {network->dhcp.server, network->subnet.length};
    g_autofree char *shown = ipv4_format(address);
    json_builder_set_member_name(builder, "nics");
    json_builder_begin_array(builder);
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "interface");
    json_builder_add_string_value(builder, "bridge");
    json_builder_set_member_name(builder, "network");
    json_builder_add_string_value(builder, network->name);
    json_builder_set_member_name(builder, "address");
    json_builder_add_string_value(builder, shown);
    json_builder_end_object(builder);
    json_builder_end_array(builder);
}

static void add(GPtrArray *objects, enum object_kind kind, const char *key, JsonBuilder *builder)
{
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    g_autofree char *payload = json_to_string(root, FALSE);
    g_ptr_array_add(objects, object_new(kind, key, payload));
}

void want_dhcp(GPtrArray *objects, const struct topology *topology, const struct topology_network *network)
{
    g_autofree char *name = g_strdup_printf("%c%s", OBJECT_GATEWAY_SIGN, network->name);
    g_autoptr(GString) config = g_string_new(NULL);
    put_settings(config, network);
    for (guint i = 0; i < topology->nodes->len; i++)
        put_node(config, network, topology->nodes->pdata[i]);
    g_ptr_array_add(objects, own_policy(name));
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "image");
    json_builder_add_string_value(builder, "dnsmasq");
    json_builder_set_member_name(builder, "memory");
    json_builder_add_int_value(builder, OWN_MEMORY_MIB);
    json_builder_set_member_name(builder, "ready");
    json_builder_add_string_value(builder, "started");
    json_builder_set_member_name(builder, "server");
    json_builder_add_string_value(builder, network->name);
    put_nic(builder, network);
    json_builder_set_member_name(builder, "config");
    json_builder_add_string_value(builder, config->str);
    json_builder_end_object(builder);
    add(objects, OBJECT_MACHINE, name, builder);
}
