/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Networks, of the grammar in topology_parse.h: subnets, the lab's own address, ways out, DHCP.
 */
#include "netlab/topology_parse_internal.h"
#include "netlab/topology_uplink.h"

#include <string.h>

enum { LONGEST_NIC_NAME = 15 };

void topology_read_subnet(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_network *network = target;
    const char *text = topology_scalar(p, value, "\"subnet\"");
    if (text && topology_read_subnet_text(p, value, text, &network->subnet)) {
        network->has_subnet = true;
        network->subnet_mark = topology_mark_of(value);
    }
}

void topology_read_subnet6(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_network *network = target;
    const char *text = topology_scalar(p, value, "\"subnet6\"");
    if (!text)
        return;
    network->subnet6_mark = topology_mark_of(value);
    network->auto_subnet6 = g_str_equal(text, "auto");
    network->has_subnet6 =
        network->auto_subnet6 || topology_read_subnet_six_text(p, value, text, &network->subnet6);
}

static void read_host6(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_network *network = target;
    const char *text = topology_scalar(p, value, "\"host6\"");
    if (text && topology_read_six_text(p, value, text, &network->host6)) {
        network->has_host6 = true;
        network->host6_mark = topology_mark_of(value);
    }
}

static void read_host(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_network *network = target;
    const char *text = topology_scalar(p, value, "\"host\"");
    if (text && topology_read_prefix_text(p, value, text, &network->host)) {
        network->has_host = true;
        network->host_mark = topology_mark_of(value);
    }
}

static void read_uplink(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_network *network = target;
    const char *text = topology_scalar(p, value, "\"uplink\"");
    if (!text)
        return;
    network->uplink_mark = topology_mark_of(value);
    if (g_str_equal(text, "user")) {
        network->uplink = TOPOLOGY_UPLINK_USER;
    } else if (g_str_equal(text, "nat")) {
        network->uplink = TOPOLOGY_UPLINK_NAT;
    } else if (!*text || strlen(text) > LONGEST_NIC_NAME || strpbrk(text, "/ \t:%")) {
        topology_complain(p->report, topology_mark_of(value),
                          "\"%s\" is no uplink; write \"user\", \"nat\" or the name of a NIC of this host "
                          "(`ip link` lists them)",
                          text);
    } else {
        network->uplink = TOPOLOGY_UPLINK_NIC;
        g_free(network->uplink_nic);
        network->uplink_nic = g_strdup(text);
    }
}

static void add_forward(struct parser *p, struct topology_network *network, yaml_node_t *value)
{
    const char *text = topology_scalar(p, value, "a port forward"), *why;
    struct topology_forward *forward = text ? topology_forward_parse(text, &why) : NULL;
    if (!text)
        return;
    if (!forward) {
        topology_complain(p->report, topology_mark_of(value),
                          "\"%s\" is no port forward: %s; write it like \"tcp 8080 -> web:80\"", text, why);
        return;
    }
    forward->mark = topology_mark_of(value);
    if (!network->forwards)
        network->forwards = g_ptr_array_new_with_free_func(topology_forward_free);
    g_ptr_array_add(network->forwards, forward);
}

static void read_forward(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    if (topology_is_null(value))
        return;
    if (value->type != YAML_SEQUENCE_NODE) {
        add_forward(p, target, value);
        return;
    }
    for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
         item++)
        add_forward(p, target, yaml_document_get_node(p->document, *item));
}

static void read_dns(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_network *network = target;
    const char *text = topology_scalar(p, value, "\"dns\"");
    struct ipv4_prefix address;
    if (!text || !topology_read_prefix_text(p, value, text, &address))
        return;
    if (address.length != IPV4_NO_LENGTH) {
        topology_complain(p->report, topology_mark_of(value),
                          "a name server is an address without a prefix length");
        return;
    }
    network->dns = address.address;
    network->has_dns = true;
    network->dns_mark = topology_mark_of(value);
}

/* ---- DHCP ---- */

/* "90s", "30m", "12h", "7d" */
static void read_lease(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    enum { LEAST = 120, MOST = 365 * 86400 }; /* dnsmasq makes two minutes of what is less */
    static const struct {
        const char *unit;
        unsigned seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    const char *text = topology_scalar(p, value, "\"lease\"");
    char *end;
    if (!text)
        return;
    guint64 number = g_ascii_strtoull(text, &end, 10);
    for (size_t i = 0; g_ascii_isdigit(*text) && number <= MOST && i < G_N_ELEMENTS(units); i++) {
        guint64 seconds = number * units[i].seconds;
        if (!g_str_equal(units[i].unit, end) || seconds < LEAST || seconds > MOST)
            continue;
        ((struct topology_dhcp *)target)->lease = (unsigned)seconds;
        return;
    }
    topology_complain(
        p->report, topology_mark_of(value),
        "\"%s\" is not how long a lease can be; write it like 10m, 12h or 7d, 2 minutes to a year", text);
}

/* "10.1.0.100 - 10.1.0.199" */
static void read_range(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_dhcp *dhcp = target;
    const char *text = topology_scalar(p, value, "\"range\"");
    g_auto(GStrv) ends = text ? g_strsplit(text, "-", 2) : NULL;
    struct ipv4_prefix first, last;
    if (!text)
        return;
    if (g_strv_length(ends) != 2 || !ipv4_parse(g_strstrip(ends[0]), &first) ||
        !ipv4_parse(g_strstrip(ends[1]), &last) || first.length != IPV4_NO_LENGTH ||
        last.length != IPV4_NO_LENGTH || first.address > last.address) {
        topology_complain(p->report, topology_mark_of(value),
                          "\"%s\" is no range of addresses; write it like 10.1.0.100-10.1.0.199", text);
        return;
    }
    dhcp->has_range = true;
    dhcp->first = first.address;
    dhcp->last = last.address;
    dhcp->range_mark = topology_mark_of(value);
}

static bool read_plain_address(struct parser *p, yaml_node_t *value, const char *what, uint32_t *out)
{
    const char *text = topology_scalar(p, value, what);
    struct ipv4_prefix address;
    if (!text || !topology_read_prefix_text(p, value, text, &address))
        return false;
    if (address.length != IPV4_NO_LENGTH)
        topology_complain(p->report, topology_mark_of(value), "%s is an address without a prefix length",
                          what);
    *out = address.address;
    return address.length == IPV4_NO_LENGTH;
}

static void read_router(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_dhcp *dhcp = target;
    dhcp->router_mark = topology_mark_of(value);
    if (value->type == YAML_SCALAR_NODE && g_str_equal((const char *)value->data.scalar.value, "none"))
        dhcp->no_router = true;
    else
        dhcp->has_router = read_plain_address(p, value, "\"router\"", &dhcp->router);
}

/* One address or a list of them. */
static void read_servers(struct parser *p, yaml_node_t *value, const char *what, uint32_t *list,
                         unsigned *count)
{
    bool is_list = value->type == YAML_SEQUENCE_NODE;
    yaml_node_item_t *item = is_list ? value->data.sequence.items.start : NULL;
    for (unsigned i = 0; is_list ? item < value->data.sequence.items.top : i == 0; i++, item += is_list) {
        yaml_node_t *entry = is_list ? yaml_document_get_node(p->document, *item) : value;
        if (*count == TOPOLOGY_DHCP_SERVERS_MOST) {
            topology_complain(p->report, topology_mark_of(entry), "%s has room for %d addresses", what,
                              TOPOLOGY_DHCP_SERVERS_MOST);
            return;
        }
        if (read_plain_address(p, entry, what, &list[*count]))
            ++*count;
    }
}

static void read_dhcp_dns(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_dhcp *dhcp = target;
    read_servers(p, value, "\"dns\"", dhcp->dns, &dhcp->dns_count);
}

static void read_dhcp_ntp(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_dhcp *dhcp = target;
    read_servers(p, value, "\"ntp\"", dhcp->ntp, &dhcp->ntp_count);
}

static void dhcp_option_free(void *data)
{
    struct topology_dhcp_option *option = data;
    g_free(option->value);
    g_free(option);
}

static void read_dhcp_option(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value,
                             void *target)
{
    enum { OPTIONS_MOST = 64, VALUE_MOST = 200 };
    struct topology_dhcp *dhcp = target;
    const char *text = topology_scalar(p, value, "the value of an option");
    guint64 number;
    if (!text)
        return;
    if (!g_ascii_string_to_unsigned(name, 10, 1, 254, &number, NULL)) {
        topology_complain(p->report, topology_mark_of(key),
                          "\"%s\" is no DHCP option; write its number, like 66 for a TFTP server's name",
                          name);
        return;
    }
    /* It stands in a file of dnsmasq's, where quotes, backslashes and # mean something. */
    bool is_plain = strlen(text) <= VALUE_MOST;
    for (const char *c = text; *c; c++)
        is_plain = is_plain && *c >= ' ' && *c < 127 && !strchr("\"\\#", *c);
    if (!is_plain) {
        topology_complain(p->report, topology_mark_of(value),
                          "the value of DHCP option %s must be at most %d printable characters without "
                          "quotes, backslashes and #",
                          name, VALUE_MOST);
        return;
    }
    if (!dhcp->options)
        dhcp->options = g_ptr_array_new_with_free_func(dhcp_option_free);
    if (dhcp->options->len >= OPTIONS_MOST)
        return;
    struct topology_dhcp_option *option = g_new0(struct topology_dhcp_option, 1);
    option->number = (unsigned)number;
    option->value = g_strdup(text);
    g_ptr_array_add(dhcp->options, option);
}

static void read_dhcp_options(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    topology_read_entries(p, value, "\"options\"", "66: tftp.example", read_dhcp_option, target);
}

static const struct key dhcp_keys[] = {
    ROW("range", read_range, TOPOLOGY_TYPE_RANGE,
        "addresses to give out: 10.1.0.100-10.1.0.199; otherwise the subnet's upper half",
        .standard = "the subnet's upper half", .example = "range: 10.1.0.100-10.1.0.199",
        .mistake = "range: 10.1.0.199-10.1.0.100"),
    ROW("lease", read_lease, TOPOLOGY_TYPE_LEASE, "how long a lease is, like 10m or 12h; 1h unless said",
        .standard = "1h", .example = "lease: 12h", .mistake = "lease: 5s"),
    ROW("router", read_router, TOPOLOGY_TYPE_ROUTER,
        "default gateway that clients are told; otherwise the node that routes; or \"none\"",
        .standard = "the network's gateway or the node that routes", .example = "router: 10.1.0.254",
        .mistake = "router: r1"),
    ROW("dns", read_dhcp_dns, TOPOLOGY_TYPE_SERVERS,
        "name servers that clients are told; otherwise the server, which knows the nodes",
        .standard = "the server itself", .example = "dns: 10.1.0.5", .mistake = "dns: ns1"),
    MARKED_ROW("domain", topology_read_string, offsetof(struct topology_dhcp, domain),
               offsetof(struct topology_dhcp, domain_mark), TOPOLOGY_TYPE_TEXT,
               "domain of the names; otherwise LAB.internal", .standard = "LAB.internal",
               .example = "domain: lab.example", .mistake = "domain: \"a b\""),
    ROW("ntp", read_dhcp_ntp, TOPOLOGY_TYPE_SERVERS, "time servers that clients are told",
        .example = "ntp: [10.1.0.6, 10.1.0.7]", .mistake = "ntp: 10.1.0.6/24"),
    ROW("options", read_dhcp_options, TOPOLOGY_TYPE_DHCP_OPTIONS,
        "other DHCP options by their number: {66: tftp.example}", .example = "options: {66: tftp.example}",
        .mistake = "options: {tftp: tftp.example}"),
};
const struct mapping topology_mapping_dhcp = {
    .name = "dhcp",
    .what = "\"dhcp\"",
    .keys = dhcp_keys,
    .count = G_N_ELEMENTS(dhcp_keys),
    .title = "DHCP",
    .frame = "networks:\n  lan: {subnet: 10.1.0.0/24, dhcp: {@}}\nnodes: {h1: {networks: {lan: dhcp}}}\n",
};

static void read_dhcp(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_dhcp *dhcp = &((struct topology_network *)target)->dhcp;
    static const struct key flag = {.name = "dhcp", .mark = NO_MARK};
    int is_on = 0;
    dhcp->mark = topology_mark_of(value);
    if (value->type == YAML_MAPPING_NODE) {
        dhcp->is_on = true;
        topology_read_mapping(p, value, &topology_mapping_dhcp, "\"dhcp\"", dhcp);
    } else {
        topology_read_flag(p, value, &flag, &is_on);
        dhcp->is_on = is_on;
    }
}

static void read_network_line(struct parser *p, yaml_node_t *value, const struct key *key,
                                       void *target)
{
    topology_read_line_word(p, value, key, &((struct topology_network *)target)->line);
}

static const struct key network_keys[] = {
    ROW("subnet", topology_read_subnet, TOPOLOGY_TYPE_IPV4_NETWORK,
        "IPv4 subnet; nodes without an address get one from it", .standard = "no addresses by itself",
        .example = "subnet: 10.1.0.0/24", .mistake = "subnet: 10.1.0.1/24"),
    MARKED_ROW("mtu", topology_read_mtu, offsetof(struct topology_network, mtu),
               offsetof(struct topology_network, mtu_mark), TOPOLOGY_TYPE_MTU,
               "largest packet in bytes, 68 to 1500", .standard = "1500", .example = "mtu: 1400",
               .mistake = "mtu: 9000"),
    ROW("host", read_host, TOPOLOGY_TYPE_IPV4, "address of the lab's own namespace on this network",
        .standard = "none; with an uplink the subnet's first free address",
        .example = "subnet: 10.1.0.0/24, host: 10.1.0.254", .mistake = "subnet: 10.1.0.0/24, host: 10.9.0.1"),
    ROW("uplink", read_uplink, TOPOLOGY_TYPE_UPLINK,
        "the way out: \"user\" (no privilege), \"nat\" (the kernel), or a NIC of the host",
        .standard = "no way out", .example = "subnet: 10.1.0.0/24, uplink: user",
        .mistake = "subnet: 10.1.0.0/24, uplink: \"eth0:1\""),
    ROW("dhcp", read_dhcp, TOPOLOGY_TYPE_DHCP,
        "true: serve addresses and names (dnsmasq); or a mapping of settings", .standard = "false",
        .example = "subnet: 10.1.0.0/24, dhcp: true", .mistake = "dhcp: true"),
    ROW("forward", read_forward, TOPOLOGY_TYPE_FORWARDS,
        "ports of the host that lead to nodes: [tcp 8080 -> web:80]",
        .example = "subnet: 10.1.0.0/24, uplink: user, forward: [tcp 8080 -> web:80]",
        .mistake = "subnet: 10.1.0.0/24, uplink: user, forward: [web:80]"),
    ROW("dns", read_dns, TOPOLOGY_TYPE_IPV4_PLAIN,
        "name server that nodes are told; `user` has one of its own",
        .standard = "with uplink `user` its own, else none", .example = "subnet: 10.1.0.0/24, uplink: nat, dns: 10.1.0.53",
        .mistake = "subnet: 10.1.0.0/24, uplink: nat, dns: 10.1.0.53/24", .guests = OURS),
    LATER("nat", "translate addresses to the outside", "write `uplink: nat`"),
    LATER("vlan", "VLAN of the segment", "use one network for each VLAN"),
    ROW("subnet6", topology_read_subnet6, TOPOLOGY_TYPE_SUBNET6,
        "IPv6 subnet, or \"auto\": a unique local one; nodes get addresses from it",
        .standard = "no IPv6 addresses", .example = "subnet6: \"fd00:1::/64\"",
        .mistake = "subnet6: \"fd00:1::1/64\""),
    ROW("host6", read_host6, TOPOLOGY_TYPE_IPV6, "IPv6 address of the lab's own namespace on this network",
        .example = "subnet6: \"fd00:1::/64\", host6: \"fd00:1::fe\"", .mistake = "host6: 10.1.0.1"),
    IMPAIRMENT_KEYS(read_network_line, ),
};
const struct mapping topology_mapping_network = {
    .name = "network",
    .what = "a network",
    .keys = network_keys,
    .count = G_N_ELEMENTS(network_keys),
    .title = "Networks",
    .frame = "networks:\n  lan: {@}\nnodes: {web: {networks: [lan]}, h1: {networks: [lan]}}\n",
    .may_be_empty = true,
};

static void read_network(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value,
                         void *target)
{
    struct topology_network *network = g_new0(struct topology_network, 1);
    network->name = g_strdup(name);
    network->mark = topology_mark_of(key);
    g_ptr_array_add(p->topology->networks, network);
    g_autofree char *what = g_strdup_printf("network \"%s\"", name);
    topology_read_mapping(p, value, &topology_mapping_network, what, network);
}

void topology_read_networks(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    topology_read_entries(p, value, "\"networks\"", "lan: {subnet: 10.1.0.0/24}", read_network, target);
}
