/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What values of a topology may be: for people (the reference) and as JSON Schema (editors). The readers in
 * topology_parse*.c have the last word; tests/e2e/test_cli.py holds the schema against them, and
 * tests/unit/test_topology.c each key's example and mistake.
 */
#include "netlab/topology_parse.h"

#define FOUR               "[0-9]+(\\\\.[0-9]+){3}"
#define SIX                "[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
#define REF(name)          "{\"$ref\": \"#/$defs/" name "\"}"
#define PATTERN(text)      "{\"type\": \"string\", \"pattern\": \"" text "\"}"
#define LIST_OR_NONE(item) "{\"anyOf\": [{\"type\": \"null\"}, {\"type\": \"array\", \"items\": " item "}]}"

static const struct topology_type_info types[] = {
    [TOPOLOGY_TYPE_TEXT] = {"text", "a text", "{\"type\": \"string\"}"},
    [TOPOLOGY_TYPE_VALUE] = {"value", "a text, a number, true or false",
                             "{\"type\": [\"string\", \"number\", \"boolean\"]}"},
    [TOPOLOGY_TYPE_FLAG] = {"flag", "`true` or `false` (also yes, no, on, off)", "{\"type\": \"boolean\"}"},
    [TOPOLOGY_TYPE_COUNT] = {"count", "a number, 0 to 1000",
                             "{\"type\": \"integer\", \"minimum\": 0, \"maximum\": 1000}"},
    [TOPOLOGY_TYPE_PATH] = {"path", "a file, relative to the topology file", "{\"type\": \"string\"}"},
    [TOPOLOGY_TYPE_GUEST_PATH] = {"guest_path", "a path in the guest, from /", PATTERN("^/")},
    [TOPOLOGY_TYPE_LAB_NAME] = {"lab_name",
                                "at most 32 letters, digits, `-` and `_`, a letter or digit first",
                                PATTERN("^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$")},
    [TOPOLOGY_TYPE_NETWORK_NAME] = {"network_name", "at most 32 letters, digits, `-`, `_` and `.`",
                                    PATTERN("^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")},
    [TOPOLOGY_TYPE_NODE_NAME] = {"node_name", "at most 63 letters, digits and hyphens, as in host names",
                                 PATTERN("^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")},
    [TOPOLOGY_TYPE_HOST_NAME] = {"host_name", "at most 63 letters, digits, hyphens and dots",
                                 PATTERN("^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$")},
    [TOPOLOGY_TYPE_INTERFACE_NAME] = {"interface_name",
                                      "at most 15 letters, digits, `-`, `_` and `.`, like eth1",
                                      PATTERN("^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$")},
    [TOPOLOGY_TYPE_IPV4] = {"ipv4", "an IPv4 address, with or without prefix length",
                            PATTERN("^" FOUR "(/[0-9]+)?$")},
    [TOPOLOGY_TYPE_IPV4_PLAIN] = {"ipv4_plain", "an IPv4 address without prefix length",
                                  PATTERN("^" FOUR "$")},
    [TOPOLOGY_TYPE_IPV4_NETWORK] = {"ipv4_network", "an IPv4 network, /4 to /31",
                                    PATTERN("^" FOUR "/[0-9]+$")},
    [TOPOLOGY_TYPE_IPV6] = {"ipv6", "an IPv6 address, with or without prefix length",
                            PATTERN("^" SIX "(/[0-9]+)?$")},
    [TOPOLOGY_TYPE_SUBNET6] = {"subnet6", "an IPv6 network, /16 to /127, or `auto`: a unique local /64",
                               "{\"anyOf\": [" PATTERN("^" SIX "/[0-9]+$") ", {\"const\": \"auto\"}]}"},
    [TOPOLOGY_TYPE_ADDRESS] = {"address", "an IPv4 or IPv6 address, `auto`, `dhcp` or `none`",
                               "{\"anyOf\": [" REF("ipv4") ", " REF(
                                   "ipv6") ", {\"enum\": [\"auto\", \"none\", \"dhcp\"]}]}"},
    [TOPOLOGY_TYPE_ADDRESS6] = {"address6", "an IPv6 address, `auto` or `none`",
                                "{\"anyOf\": [" REF("ipv6") ", {\"enum\": [\"auto\", \"none\"]}]}"},
    [TOPOLOGY_TYPE_MAC] = {"mac", "six bytes in hexadecimal, between colons or hyphens",
                           PATTERN("^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$")},
    [TOPOLOGY_TYPE_MTU] = {"mtu", "bytes, 68 to 1500",
                           "{\"type\": \"integer\", \"minimum\": 68, \"maximum\": 1500}"},
    [TOPOLOGY_TYPE_UPLINK] = {"uplink", "`user`, `nat`, or the name of a NIC of the host",
                              PATTERN("^[^/ \\\\t:%]{1,15}$")},
    [TOPOLOGY_TYPE_FORWARD] = {"forward", "a port forward like `tcp 8080 -> web:80`",
                               PATTERN(
                                   "^((tcp|udp) +)?([0-9.]+:|\\\\*:)?[0-9]+ *-> *[A-Za-z0-9-]+(:[0-9]+)?$")},
    [TOPOLOGY_TYPE_FORWARDS] = {"forwards", "a port forward like `tcp 8080 -> web:80`, or a list of them",
                                "{\"anyOf\": [" REF(
                                    "forward") ", {\"type\": \"null\"}, {\"type\": \"array\", "
                                               "\"items\": " REF("forward") "}]}"},
    [TOPOLOGY_TYPE_DHCP] = {"dhcp_value", "`true`, `false`, or a mapping with the keys of \"DHCP\"",
                            "{\"anyOf\": [{\"type\": \"boolean\"}, " REF("dhcp") "]}"},
    [TOPOLOGY_TYPE_LINE_TIME] = {"line_time", "a time up to 600 s, in ms unless it has ns, us, ms or s",
                                 "{\"type\": [\"string\", \"number\"], \"pattern\": "
                                 "\"^[0-9.]+(ns|us|ms|s)?$\"}"},
    [TOPOLOGY_TYPE_DISTRIBUTION] = {"distribution", "`uniform`, `normal` or `pareto`",
                                    "{\"enum\": [\"uniform\", \"normal\", \"pareto\"]}"},
    [TOPOLOGY_TYPE_SHARE] = {"share", "a share, 0 % to 100 %; without % a fraction of 1",
                             "{\"type\": [\"string\", \"number\"], \"pattern\": \"^[0-9.]+%?$\"}"},
    [TOPOLOGY_TYPE_BURST] = {"burst", "a number, up to 1000000", "{\"type\": \"number\", \"minimum\": 0}"},
    [TOPOLOGY_TYPE_RATE] = {"rate", "bit/s up to 1000G, with K, M, G (or kbit, Mbit, Gbit)",
                            "{\"type\": [\"string\", \"number\"], \"pattern\": "
                            "\"^[0-9.]+(K|M|G|bit|kbit|Mbit|Gbit)?$\"}"},
    [TOPOLOGY_TYPE_LIMIT] = {"limit", "a number, 1 to 100000",
                             "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 100000}"},
    [TOPOLOGY_TYPE_SEED] = {"seed", "a whole number", "{\"type\": \"integer\", \"minimum\": 0}"},
    [TOPOLOGY_TYPE_MEMORY] = {"memory", "8M to 64G, with M or G; a bare number is MiB",
                              "{\"anyOf\": [{\"type\": \"integer\", \"minimum\": 1}, " PATTERN(
                                  "^[0-9]+([MmGg]([Ii]?[Bb])?)?$") "]}"},
    [TOPOLOGY_TYPE_TIME] =
        {"time", "a time like `30s` or `2m`, from 0 to an hour; a bare number is seconds",
         "{\"anyOf\": [{\"type\": \"integer\", \"minimum\": 0, \"maximum\": 3600}, " PATTERN(
             "^[0-9]+(s|m|min)?$") "]}"},
    [TOPOLOGY_TYPE_LEASE] = {"lease", "a time like `10m`, `12h` or `7d`, 2 minutes to a year",
                             "{\"type\": [\"string\", \"integer\"], \"pattern\": \"^[0-9]+[smhd]?$\"}"},
    [TOPOLOGY_TYPE_RANGE] = {"range", "first and last address of the subnet with a hyphen between them",
                             PATTERN("^[0-9.]+ *- *[0-9.]+$")},
    [TOPOLOGY_TYPE_ROUTER] = {"router", "an IPv4 address without prefix length, or `none`",
                              "{\"anyOf\": [" REF("ipv4_plain") ", {\"const\": \"none\"}]}"},
    [TOPOLOGY_TYPE_SERVERS] = {"servers", "an IPv4 address or a list of at most four",
                               "{\"anyOf\": [" REF("ipv4_plain") ", {\"type\": \"array\", \"maxItems\": 4, "
                                                                 "\"items\": " REF("ipv4_plain") "}]}"},
    [TOPOLOGY_TYPE_DHCP_OPTIONS] = {"dhcp_options",
                                    "a mapping from the option's number (1 to 254) to its value, at most 200 "
                                    "printable characters without quotes, backslashes and #",
                                    "{\"type\": [\"object\", \"null\"], \"additionalProperties\": {\"type\": "
                                    "[\"string\", \"number\"]}}"},
    [TOPOLOGY_TYPE_COMMANDS] =
        {"commands", "a shell command, or a list of at most 64; 48 KiB together",
         "{\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"null\"}, {\"type\": \"array\", "
         "\"items\": {\"type\": \"string\"}}]}"},
    [TOPOLOGY_TYPE_READY] = {"ready", "`agent` or `started`", "{\"enum\": [\"agent\", \"started\"]}"},
    [TOPOLOGY_TYPE_RESTART] = {"restart",
                               "`never`, `on-failure` or `always`; these two with how often in a row, 1 to "
                               "1000000: `always:3`",
                               PATTERN("^(never|(on-failure|always)(:[1-9][0-9]{0,6})?)$")},
    [TOPOLOGY_TYPE_DISKS] =
        {"disks",
         "a file relative to the topology file, a size like `2G`, a mapping with the keys of \"Disks\", or a "
         "list of at most four of these",
         "{\"anyOf\": [{\"type\": \"string\"}, " REF(
             "disk") ", {\"type\": \"array\", \"maxItems\": 4, "
                     "\"items\": {\"anyOf\": [{\"type\": \"string\"}, " REF("disk") "]}}]}"},
    [TOPOLOGY_TYPE_DISK_SIZE] = {"disk_size", "a size with M, G or T, 1M to 2T",
                                 PATTERN("^[0-9]+[MmGgTt]([Ii]?[Bb])?$")},
    [TOPOLOGY_TYPE_CDROM] = {"cdrom",
                             "an ISO file relative to the topology file, or `empty`: a drive "
                             "without a CD",
                             "{\"type\": \"string\"}"},
    [TOPOLOGY_TYPE_BOOT] = {"boot", "`kernel`, `disk` or `cdrom`",
                            "{\"enum\": [\"kernel\", \"disk\", \"cdrom\"]}"},
    [TOPOLOGY_TYPE_CLOUD_INIT] =
        {"cloud_init_value",
         "`true`, `false`, a file of user-data relative to the topology file, or a mapping with the keys of "
         "\"cloud-init\"",
         "{\"anyOf\": [{\"type\": \"boolean\"}, {\"type\": \"string\"}, " REF("cloud_init") "]}"},
    [TOPOLOGY_TYPE_KEYS] = {"keys", "an SSH public key, a file of such, or a list of these",
                            "{\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"array\", \"items\": "
                            "{\"type\": \"string\"}}]}"},
    [TOPOLOGY_TYPE_NIC_VALUE] = {"nic_value", "an address, or a mapping with the keys of \"NICs\"",
                                 "{\"anyOf\": [{\"type\": \"null\"}, " REF("address") ", " REF("nic") "]}"},
    [TOPOLOGY_TYPE_NODE_NETWORKS] =
        {"node_networks",
         "a list of networks, or a mapping from network to an address or to the "
         "keys of \"NICs\"; at most 16 NICs a node",
         "{\"anyOf\": [{\"type\": \"null\"}, {\"type\": \"array\", \"items\": "
         "{\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"object\", "
         "\"additionalProperties\": " REF("nic_value") "}]}}, {\"type\": \"object\", "
                                                       "\"additionalProperties\": " REF("nic_value") "}]}"},
    [TOPOLOGY_TYPE_ROUTES] =
        {"routes",
         "a list of mappings with the keys of \"Routes\", or a mapping from network to "
         "gateway; at most 64",
         "{\"anyOf\": [{\"type\": \"null\"}, {\"type\": \"array\", \"items\": " REF(
             "route") "}, {\"type\": \"object\", \"additionalProperties\": " REF("route_"
                                                                                 "via") "}"
                                                                                        "]"
                                                                                        "}"},
    [TOPOLOGY_TYPE_ROUTE_TO] = {"route_to", "an IPv4 or IPv6 network, or `default`",
                                "{\"anyOf\": [" REF("ipv4_network") ", " PATTERN(
                                    "^" SIX "/[0-9]+$") ", {\"const\": \"default\"}]}"},
    [TOPOLOGY_TYPE_ROUTE_VIA] = {"route_via", "an address without prefix length, on a network of the node",
                                 "{\"anyOf\": [" REF("ipv4_plain") ", " PATTERN("^" SIX "$") "]}"},
    [TOPOLOGY_TYPE_FILES] =
        {"files",
         "a folder, a list of folders, or a mapping from a path in the guest to a file "
         "or to the keys of \"Files\"; at most 4 MiB a node",
         "{\"anyOf\": [{\"type\": \"null\"}, {\"type\": \"string\"}, {\"type\": \"array\", "
         "\"items\": {\"type\": \"string\"}}, {\"type\": \"object\", \"propertyNames\": "
         "{\"pattern\": \"^/\"}, \"additionalProperties\": {\"anyOf\": [{\"type\": "
         "\"string\"}, " REF("file") "]}}]}"},
    [TOPOLOGY_TYPE_MODE] = {"mode", "permissions in octal, 1 to 7777",
                            "{\"type\": [\"string\", \"integer\"], \"pattern\": \"^[0-7]{1,5}$\"}"},
    [TOPOLOGY_TYPE_LOOPBACK] = {"loopback", "an IPv4 address, or `true`",
                                "{\"anyOf\": [" REF("ipv4") ", {\"const\": true}, {\"const\": \"auto\"}]}"},
    [TOPOLOGY_TYPE_ENDS] = {"ends",
                            "a list of two: a node, `node:interface`, or a mapping with the keys of \"Ends\"",
                            "{\"type\": \"array\", \"minItems\": 2, \"maxItems\": 2, \"items\": {\"anyOf\": "
                            "[{\"type\": \"string\"}, " REF("end") "]}}"},
    [TOPOLOGY_TYPE_DEFAULTS] = {"defaults_value", "a mapping with the keys of \"Defaults\"", REF("defaults")},
    [TOPOLOGY_TYPE_NETWORKS] = {"networks", "a mapping from names to the keys of \"Networks\"",
                                "{\"type\": [\"object\", \"null\"], \"propertyNames\": " REF(
                                    "network_name") ", "
                                                    "\"additionalProperties\": " REF("network") "}"},
    [TOPOLOGY_TYPE_NODES] = {"nodes", "a mapping from names to the keys of \"Nodes\", 1 to 1024",
                             "{\"type\": \"object\", \"minProperties\": 1, \"propertyNames\": " REF(
                                 "node_name") ", \"additionalProperties\": " REF("node") "}"},
    [TOPOLOGY_TYPE_LINKS] = {"links", "a list of `r1 - r2`, `r1:eth1 - r2:eth1` or of the keys of \"Links\"",
                             LIST_OR_NONE("{\"anyOf\": [{\"type\": \"string\"}, " REF("link") "]}")},
    [TOPOLOGY_TYPE_CHECKS] = {"checks_value", "a mapping from names to the keys of \"Checks\"",
                              "{\"type\": [\"object\", \"null\"], \"additionalProperties\": " REF(
                                  "check") "}"},
    [TOPOLOGY_TYPE_STUDENT] =
        {"student_values", "a mapping from names (small letters, digits and `_`) to values",
         "{\"type\": \"object\", \"propertyNames\": {\"pattern\": \"^[a-z0-9_]+$\"}, "
         "\"additionalProperties\": {\"type\": [\"string\", \"number\", \"boolean\"]}}"},
};
_Static_assert(G_N_ELEMENTS(types) == TOPOLOGY_TYPES, "a row for each type");

const struct topology_type_info *topology_type_info(enum topology_type type)
{
    return &types[type];
}
