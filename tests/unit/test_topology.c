/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The topology's grammar and its check: what good files mean, and for each mistake the exact message with its
 * place.
 */
#include "netlab/topology_check.h"
#include "netlab/topology_parse.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static struct topology *load(const char *text)
{
    g_autoptr(GError) error = NULL;
    struct topology *topology = topology_load_text("/labs/office/topology.yml", "t.yml", text, &error);
    g_assert_no_error(error);
    return topology;
}

/* The first line of each complaint, joined by newlines. */
static char *complaints(const char *text)
{
    g_autoptr(GError) error = NULL;
    topology_auto struct topology *topology =
        topology_load_text("/labs/office/topology.yml", "t.yml", text, &error);
    if (topology)
        return g_strdup("");
    g_assert_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_INVALID);
    g_auto(GStrv) lines = g_strsplit(error->message, "\n", -1);
    GString *out = g_string_new(NULL);
    for (int i = 0; lines[i]; i++) {
        if (g_str_has_prefix(lines[i], "t.yml"))
            g_string_append_printf(out, "%s%s", out->len ? "\n" : "", lines[i]);
    }
    return g_string_free(out, FALSE);
}

static const struct {
    const char *name, *text, *message;
} mistakes[] = {
#define NODES "nodes: {h1: {networks: [lan]}, h2: {networks: [lan]}}\n"
#define LAN   "networks: {lan: {subnet: 10.1.0.0/24}}\n"
    {"empty", "",
     "t.yml:1:1: the topology is empty; the least is \"nodes: {h1: {image: mini}}\" (see `netlab help "
     "topology`)"},
    {"comment", "# nothing\n",
     "t.yml:1:1: the topology is empty; the least is \"nodes: {h1: {image: mini}}\" (see `netlab help "
     "topology`)"},
    {"list", "- a\n",
     "t.yml:1:1: a topology is a mapping with the keys name, networks, nodes and links; this is a list"},
    {"syntax", "nodes: {h1: ]\n",
     "t.yml:1:13: not valid YAML: did not find expected node content while parsing a flow node; check the "
     "indentation and the punctuation here"},
    {"tab", "nodes:\n\th1: {}\n",
     "t.yml:2:1: not valid YAML: found character that cannot start any token while scanning for the next "
     "token; indent with blanks, not tabs, and put text with special characters in quotes"},
    {"utf8", "name: \xff\xfe\n",
     "t.yml:1:7: not valid YAML: invalid leading UTF-8 octet; save the file as plain UTF-8 text"},
    {"two documents", "nodes: {h1: }\n---\nnodes: {}\n",
     "t.yml:3:1: a second YAML document begins here; one file holds one topology, remove the \"---\""},
    {"typo", "nodes: {h1: {memry: 4M}}\n",
     "t.yml:1:14: unknown key \"memry\" in node \"h1\"; did you mean \"memory\"?"},
    {"unknown key", "nodes: {h1: {frobnicate: 1}}\n",
     "t.yml:1:14: unknown key \"frobnicate\" in node \"h1\"; the keys are: image, memory, cpu, kernel, "
     "initrd, append, ready, forwarding, restart, disk, cdrom, boot, cloud_init, networks, routes, run, "
     "hostname, files, "
     "frr, bird, "
     "loopback"},
    {"top level", "nodse: {h1: }\n",
     "t.yml:1:1: unknown key \"nodse\" in the topology; did you mean \"nodes\"?\nt.yml:1:1: the topology has "
     "no nodes; add at least \"nodes: {h1: {image: mini}}\""},
    {"later", "nodes: {h1: {display: x}}\n",
     "t.yml:1:14: \"display\" is not yet in this version of netlab; use `netlab console`"},
    {"disk number", "nodes: {h1: {disk: 2048}}\n",
     "t.yml:1:20: \"2048\" is neither a file nor the size of a disk; write a size like 2048M or 2048G, and a "
     "file of that name as ./2048"},
    {"disk large", "nodes: {h1: {disk: [1G, 3T]}}\n",
     "t.yml:1:25: a disk of 3T is out of range; give 1M to 2T"},
    {"disk very large", "nodes: {h1: {disk: 99999999999999999999T}}\n",
     "t.yml:1:20: a disk of 99999999999999999999T is out of range; give 1M to 2T"},
    {"disk nothing", "nodes: {h1: {disk: 0M}}\n", "t.yml:1:20: a disk of 0M is out of range; give 1M to 2T"},
    {"disk size", "nodes: {h1: {disk: {size: 2}}}\n",
     "t.yml:1:27: \"2\" is no size of a disk; write it like 512M, 2G or 1T"},
    {"disk empty", "nodes: {h1: {disk: {persistent: false}}}\n",
     "t.yml:1:20: the disk has neither \"file\" nor \"size\"; write {file: debian.qcow2} or {size: 2G}"},
    {"disk both", "nodes: {h1: {disk: {file: a, size: 1G}}}\n",
     "t.yml:1:36: the disk is as large as its file; leave \"size\" out, or add \"persistent: true\" for a "
     "file "
     "that is made when it is not there"},
    {"disk persistent", "nodes: {h1: {disk: {size: 1G, persistent: true}}}\n",
     "t.yml:1:43: a disk can be persistent only in a file; add one: {file: data.img, size: 2G, persistent: "
     "true}"},
    {"disks", "nodes: {h1: {disk: [a, b, c, d, e]}}\n", "t.yml:1:33: a machine has room for 4 disks and CDs"},
    {"disks and CD", "nodes: {h1: {disk: [a, b, c, d], cdrom: e}}\n",
     "t.yml:1:20: node \"h1\" has 5 disks and CDs; a machine has room for 4"},
    {"cdrom list", "nodes: {h1: {cdrom: [a]}}\n",
     "t.yml:1:21: \"cdrom\" must be a plain value, this is a list"},
    {"cloud_init list", "nodes: {h1: {cloud_init: [a]}}\n",
     "t.yml:1:26: \"cloud_init\" must be a plain value, this is a list"},
    {"cloud_init key", "nodes: {h1: {cloud_init: {ssh_key: a}}}\n",
     "t.yml:1:27: unknown key \"ssh_key\" in \"cloud_init\"; did you mean \"ssh_keys\"?"},
    {"boot", "nodes: {h1: {cdrom: a, boot: d}}\n",
     "t.yml:1:30: \"d\" is nothing a machine starts from; write \"kernel\", \"disk\" or \"cdrom\""},
    {"boot kernel", "nodes: {h1: {kernel: k, disk: a, boot: disk}}\n",
     "t.yml:1:40: node \"h1\" has a \"kernel\", which starts without disk or CD; leave one of the two out"},
    {"boot disk", "nodes: {h1: {cdrom: a, boot: disk}}\n",
     "t.yml:1:30: node \"h1\" is to start from its disk and has none; add one, like disk: debian.qcow2"},
    {"boot cdrom", "nodes: {h1: {disk: 1G, cdrom: empty, boot: cdrom}}\n",
     "t.yml:1:44: node \"h1\" is to start from its CD and has none; add one, like cdrom: debian.iso"},
    {"boot append", "nodes: {h1: {disk: a, append: quiet}}\n",
     "t.yml:1:9: node \"h1\" has an \"append\", but no kernel that it could go to: it starts from disk or "
     "CD; "
     "leave it out"},
    {"files mode", "nodes: {h1: {files: {/a: {text: x, mode: 9}}}}\n",
     "t.yml:1:42: \"9\" is no file mode; write it like 0755"},
    {"files both", "nodes: {h1: {files: {/a: {text: x, from: y}}}}\n",
     "t.yml:1:22: the file /a needs a \"from\" or a \"text\"; give one of them"},
    {"files path", "nodes: {h1: {files: {a/../b: x}}}\n",
     "t.yml:1:22: \"a/../b\" is no path in the guest; write it like /etc/motd"},
    {"loopback", "nodes: {h1: {loopback: 127.0.0.1}}\n",
     "t.yml:1:24: 127.0.0.1 cannot be a loopback's address here; use a unicast one like 10.0.0.1"},
    {"loopback twice", "nodes: {a: {loopback: 10.0.0.1}, b: {loopback: 10.0.0.1}}\n",
     "t.yml:1:48: 10.0.0.1 is already an address of node \"a\"; give node \"b\" another loopback"},
    {"loopbacks", "loopbacks: 10.0.0.0/31\nnodes: {a: , b: , c: }\n",
     "t.yml:2:19: the loopbacks 10.0.0.0/31 have no address left for node \"c\"; give a larger network"},
    {"check kinds", "nodes: {h1: }\nchecks: {c: {node: h1, ping: h1, route: default}}\n",
     "t.yml:2:41: check \"c\" has a \"ping\" and a \"route\"; make two checks of it"},
    {"check shell", "nodes: {h1: }\nchecks: {c: {node: h1, ping: $(reboot)}}\n",
     "t.yml:2:30: \"$(reboot)\" cannot be looked for; give a name, an address or a URL without blanks"},
    {"check option", "nodes: {h1: }\nchecks: {c: {node: h1, ping: -f}}\n",
     "t.yml:2:30: \"-f\" cannot be looked for; give a name, an address or a URL without blanks"},
    {"check port", "nodes: {h1: }\nchecks: {c: {node: h1, service: web}}\n",
     "t.yml:2:33: \"web\" has no port; write it like web:80 or http://web/"},
    {"check file", "nodes: {h1: }\nchecks: {c: {node: h1, file: etc}}\n",
     "t.yml:2:30: \"etc\" is no path in the guest; write it like /etc/hosts"},
    {"check via", "nodes: {h1: }\nchecks: {c: {node: h1, ping: h1, via: 10.0.0.1}}\n",
     "t.yml:2:39: \"via\" goes with \"route\"; remove it"},
    {"check points", "nodes: {h1: }\nchecks: {c: {node: h1, ping: h1, points: many}}\n",
     "t.yml:2:42: \"many\" is no number of points; give 0 to 1000"},
    {"check equals", "nodes: {h1: }\nchecks: {c: {node: h1, run: x, equals: y}}\n",
     "t.yml:2:10: check \"c\" has \"equals\" without \"json\"; say where to look"},
    {"uplink", NODES "networks: {lan: {uplink: a/b}}\n",
     "t.yml:2:26: \"a/b\" is no uplink; write \"user\", \"nat\" or the name of a NIC of this host (`ip link` "
     "lists them)"},
    {"forward", NODES "networks: {lan: {uplink: user, forward: [tcp 80]}}\n",
     "t.yml:2:42: \"tcp 80\" is no port forward: there is no \"->\" in it; write it like \"tcp 8080 -> "
     "web:80\""},
    {"twice", "nodes: {h1: {}, h1: {}}\n",
     "t.yml:1:17: \"h1\" is given twice, first in line 1; keep one of them"},
    {"key twice", "nodes:\n  h1:\n    memory: 64M\n    memory: 32M\n",
     "t.yml:4:5: \"memory\" is given twice, first in line 3; keep one of them"},
    {"case", "nodes: {h1: {}, H1: {}}\n",
     "t.yml:1:17: node \"H1\" differs from \"h1\" (line 1) by upper and lower case only; rename one"},
    {"node name", "nodes: {h_1: {}}\n",
     "t.yml:1:9: \"h_1\" cannot be a node's name; use at most 63 letters, digits and hyphens, as in host "
     "names"},
    {"lab name", "name: a b\nnodes: {h1: }\n",
     "t.yml:1:7: the lab's name \"a b\" is not usable; use at most 32 letters, digits, - and _, a letter or "
     "digit first"},
    {"scalar node", "nodes: {h1: mini}\n",
     "t.yml:1:13: node \"h1\" must be a mapping like {image: …}, this is a plain value"},
    {"no nodes", LAN, "t.yml:1:1: the topology has no nodes; add at least \"nodes: {h1: {image: mini}}\""},
    {"memory", "nodes: {h1: {memory: lots}}\n",
     "t.yml:1:22: \"lots\" is not an amount of memory; write it like 64M or 1G"},
    {"memory zero", "nodes: {h1: {memory: 0}}\n", "t.yml:1:22: 0 of memory is out of range; give 1M to 64G"},
    {"memory little", "nodes: {h1: {memory: 4M}}\n",
     "t.yml:1:22: 4M of memory is too little for any kernel; give at least 8M"},
    {"boolean", "nodes: {h1: {forwarding: maybe}}\n",
     "t.yml:1:26: \"maybe\" is neither true nor false; write \"forwarding: true\""},
    {"image and kernel", "nodes: {h1: {image: mini, kernel: k}}\n",
     "t.yml:1:35: node \"h1\" has an \"image\" and a \"kernel\" of its own; keep one of them"},
    {"initrd alone", "nodes: {h1: {initrd: k}}\n",
     "t.yml:1:22: node \"h1\" has an \"initrd\" but no \"kernel\"; give both or use an \"image\""},
    {"unknown network", "nodes: {h1: {networks: [lan]}}\nnetworks: {lna: }\n",
     "t.yml:1:25: node \"h1\" is on network \"lan\", which does not exist; did you mean \"lna\"?"},
    {"no network", "nodes: {h1: {networks: [lan]}}\n",
     "t.yml:1:25: node \"h1\" is on network \"lan\", which does not exist; add \"lan: {subnet: "
     "10.1.0.0/24}\" under \"networks\""},
    {"networks scalar", "nodes: {h1: {networks: lan}}\n" LAN,
     "t.yml:1:24: \"networks\" of node \"h1\" must be a list or a mapping; write [lan]"},
    {"subnet", NODES "networks: {lan: {subnet: 10.1.0.0}}\n",
     "t.yml:2:26: \"10.1.0.0\" has no prefix length; write it like 10.1.0.0/24"},
    {"subnet host bits", NODES "networks: {lan: {subnet: 10.1.0.7/24}}\n",
     "t.yml:2:26: \"10.1.0.7/24\" is an address within a network, not a network; did you mean 10.1.0.0/24?"},
    {"subnet multicast", NODES "networks: {lan: {subnet: 224.0.0.0/24}}\n",
     "t.yml:2:26: 224.0.0.0/24 cannot be the subnet of a network; use a unicast one from /4 to /31, like "
     "10.1.0.0/24"},
    {"ipv6", NODES "networks: {lan: {subnet: 'fd00::/64'}}\n",
     "t.yml:2:26: \"fd00::/64\" is an IPv6 address, and an IPv4 one belongs here (\"subnet6\", \"host6\" and "
     "\"address6\" are for IPv6)"},
    {"mtu", NODES "networks: {lan: {mtu: 9000}}\n",
     "t.yml:2:23: mtu \"9000\" is out of range; give 68 to 1500 bytes"},
    {"address", "nodes: {h1: {networks: {lan: 10.1.0.300}}}\n" LAN,
     "t.yml:1:30: \"10.1.0.300\" is not an IPv4 address; write it like 10.1.0.1/24"},
    {"outside", "nodes: {h1: {networks: {lan: 10.2.0.1/24}}}\n" LAN,
     "t.yml:1:30: 10.2.0.1/24 is outside the subnet 10.1.0.0/24 of network \"lan\"; use an address like "
     "10.1.0.1"},
    {"other length", "nodes: {h1: {networks: {lan: 10.1.0.1/16}}}\n" LAN,
     "t.yml:1:30: 10.1.0.1/16 contradicts the subnet 10.1.0.0/24 of \"lan\"; leave the prefix length away or "
     "write /24"},
    {"network address", "nodes: {h1: {networks: {lan: 10.1.0.0}}}\n" LAN,
     "t.yml:1:30: 10.1.0.0 is the network address of its network; no node can have it, use the next one"},
    {"broadcast address", "nodes: {h1: {networks: {lan: 10.1.0.255/24}}}\n" LAN,
     "t.yml:1:30: 10.1.0.255/24 is the broadcast address of its network; no node can have it, use the "
     "previous one"},
    {"no length", "nodes: {h1: {networks: {lan: 10.1.0.1}}}\nnetworks: {lan: }\n",
     "t.yml:1:30: 10.1.0.1 needs a prefix length because network \"lan\" has no subnet; write 10.1.0.1/24"},
    {"same address", "nodes:\n  h1: {networks: {lan: 10.1.0.1}}\n  h2: {networks: {lan: 10.1.0.1}}\n" LAN,
     "t.yml:3:24: 10.1.0.1 is already the address of node \"h1\" (line 2); give node \"h2\" another one"},
    {"host address",
     "nodes: {h1: {networks: {lan: 10.1.0.9}}}\nnetworks: {lan: {subnet: 10.1.0.0/24, host: 10.1.0.9}}\n",
     "t.yml:1:30: 10.1.0.9 is already the address of the host side (line 2); give node \"h1\" another one"},
    {"full",
     "nodes: {a: {networks: [lan]}, b: {networks: [lan]}, c: {networks: [lan]}}\nnetworks: {lan: {subnet: "
     "10.1.0.0/30}}\n",
     "t.yml:1:68: no address is left for node \"c\" in the subnet 10.1.0.0/30 of \"lan\", which has room for "
     "2; use a larger subnet"},
    {"same mac",
     "nodes:\n  h1: {networks: {lan: {mac: '52:54:00:00:00:01'}}}\n  h2: {networks: {lan: {mac: "
     "'52:54:00:00:00:01'}}}\n" LAN,
     "t.yml:3:30: the MAC 52:54:00:00:00:01 is already that of h1:eth0; change one, or leave it away and it "
     "is made up"},
    {"multicast mac", "nodes: {h1: {networks: {lan: {mac: '53:54:00:00:00:01'}}}}\n" LAN,
     "t.yml:1:36: 53:54:00:00:00:01 is a multicast MAC; a NIC needs a unicast one, like 52:54:00:12:34:56"},
    {"bad mac", "nodes: {h1: {networks: {lan: {mac: '52:54'}}}}\n" LAN,
     "t.yml:1:36: \"52:54\" is not a MAC address; write it like 52:54:00:12:34:56 (in quotes, if it is all "
     "digits)"},
    {"overlap",
     "nodes: {h1: {networks: [a, b]}}\nnetworks: {a: {subnet: 10.1.0.0/16}, b: {subnet: 10.1.2.0/24}}\n",
     "t.yml:1:28: node \"h1\" is on two networks whose subnets overlap: \"a\" (10.1.0.0/16) and \"b\" "
     "(10.1.2.0/24); change one subnet"},
    {"same interface",
     "nodes: {h1: {networks: {a: {interface: eth1}, b: {interface: eth1}}}}\nnetworks: {a: , b: }\n",
     "t.yml:1:62: node \"h1\" has two interfaces \"eth1\", the first in line 1; rename one"},
    {"interface name", "nodes: {h1: {networks: {a: {interface: a-name-much-too-long}}}}\nnetworks: {a: }\n",
     "t.yml:1:40: \"a-name-much-too-long\" cannot be an interface's name; use at most 15 letters, digits, -, "
     "_ and ., like eth1"},
    {"route gateway", "nodes: {h1: {networks: [lan], routes: [{to: 10.2.0.0/24, via: 10.9.0.1}]}}\n" LAN,
     "t.yml:1:63: node \"h1\" cannot reach the gateway 10.9.0.1; it is on 10.1.0.0/24"},
    {"route itself", "nodes: {h1: {networks: {lan: 10.1.0.5}, routes: {default: 10.1.0.5}}}\n" LAN,
     "t.yml:1:59: the gateway 10.1.0.5 is node \"h1\" itself; name the neighbour's address"},
    {"route without address", "nodes: {h1: {routes: {default: 10.1.0.5}}}\n",
     "t.yml:1:32: node \"h1\" has no address from which to reach the gateway 10.1.0.5; give it one under "
     "\"networks\""},
    {"route host bits", "nodes: {h1: {networks: [lan], routes: {10.2.0.1/24: 10.1.0.9}}}\n" LAN,
     "t.yml:1:40: \"10.2.0.1/24\" is an address within a network, not a network; did you mean 10.2.0.0/24?"},
    {"route half", "nodes: {h1: {networks: [lan], routes: [{to: 10.2.0.0/24}]}}\n" LAN,
     "t.yml:1:40: the route has no \"via\"; write {to: 10.2.0.0/24, via: 10.1.0.1}"},
    {"route twice",
     "nodes: {h1: {networks: [lan], routes: [{to: default, via: 10.1.0.9}, {to: 0.0.0.0/0, via: "
     "10.1.0.8}]}}\n" LAN,
     "t.yml:1:75: node \"h1\" has two routes to default, the first in line 1; keep one"},
    {"link text", "nodes: {a: , b: }\nlinks: [a b]\n",
     "t.yml:2:9: \"a b\" is not a link; write it like \"r1 - r2\" or \"r1:eth1 - r2:eth1\""},
    {"link node", "nodes: {web: , b: }\nlinks: [wbe - b]\n",
     "t.yml:2:9: there is no node \"wbe\"; did you mean \"web\"?"},
    {"link quotes", "nodes: {web: , b: }\nlinks: [b - \"x:y\"]\n",
     "t.yml:2:13: there is no node \"\"x\"; add it under \"nodes\""},
    {"link second node", "nodes: {web: , b: }\nlinks: [b - wbe:eth3]\n",
     "t.yml:2:13: there is no node \"wbe\"; did you mean \"web\"?"},
    {"link itself", "nodes: {a: , b: }\nlinks: [a - a]\n",
     "t.yml:2:13: both ends of the link are node \"a\"; a link joins two nodes"},
    {"link three", "nodes: {a: , b: , c: }\nlinks: [{ends: [a, b, c]}]\n",
     "t.yml:2:16: \"ends\" must be a list of two ends like [r1:eth1, r2]; a segment with more nodes goes "
     "under \"networks\""},
    {"link name", NODES LAN "links: [{ends: [h1, h2], name: lan}]\n",
     "t.yml:3:32: \"lan\" is already the name of the network in line 2; rename one"},
    {"pool", "nodes: {a: , b: }\npool: 10.0.0.0/30\nlinks: [a - b, a - b]\n",
     "t.yml:3:16: the pool 10.0.0.0/30 has no free /30 left for this link; give a larger \"pool\" or the "
     "link a \"subnet\""},
    {"check node", "nodes: {web: }\nchecks: {c: {node: wep, run: x}}\n",
     "t.yml:2:20: there is no node \"wep\"; did you mean \"web\"?"},
    {"check half", "nodes: {web: }\nchecks: {c: {node: web}}\n",
     "t.yml:2:10: check \"c\" has nothing to look at; give it one of run, ping, address, route, ospf, bgp, "
     "isis, service, "
     "file, like {node: h1, ping: h2}"},
    {"check time", "nodes: {web: }\nchecks: {c: {node: web, run: x, within: soon}}\n",
     "t.yml:2:41: \"soon\" is not a time; write it like 30s or 2m, at most 1 hour"},
    {"check never", "nodes: {web: }\nchecks: {c: {node: web, run: x, within: -1}}\n",
     "t.yml:2:41: \"-1\" is not a time; write it like 30s or 2m, at most 1 hour"},
    {"two mistakes", "nodes: {h1: {memry: 1, networks: [x]}}\n",
     "t.yml:1:14: unknown key \"memry\" in node \"h1\"; did you mean \"memory\"?\nt.yml:1:35: node \"h1\" is "
     "on network \"x\", which does not exist; add \"x: {subnet: 10.1.0.0/24}\" under \"networks\""},
    {"anchor in itself", "nodes: &a {h1: *a}\n",
     "t.yml:1:12: unknown key \"h1\" in node \"h1\"; the keys are: image, memory, cpu, kernel, initrd, "
     "append, ready, forwarding, restart, disk, cdrom, boot, cloud_init, networks, routes, run, hostname, "
     "files, frr, bird, loopback"},
};

static void test_mistake(gconstpointer data)
{
    size_t index = GPOINTER_TO_SIZE(data);
    g_autofree char *found = complaints(mistakes[index].text);
    g_assert_cmpstr(found, ==, mistakes[index].message);
}

static void test_source_line(void)
{
    g_autoptr(GError) error = NULL;
    topology_auto struct topology *topology =
        topology_load_text("/x/t.yml", "t.yml", "nodes:\n\n  h1: {memry: 4M}\n", &error);
    g_assert_null(topology);
    g_assert_cmpstr(error->message, ==,
                    "t.yml:3:8: unknown key \"memry\" in node \"h1\"; did you mean \"memory\"?\n"
                    "      3 |   h1: {memry: 4M}\n"
                    "        |        ^");
}

static struct topology_nic *nic_of(struct topology *topology, const char *node, guint index)
{
    return topology_find_node(topology, node)->nics->pdata[index];
}

static void assert_nic(struct topology *topology, const char *node, guint index, const char *interface,
                       const char *network, const char *address)
{
    struct topology_nic *nic = nic_of(topology, node, index);
    g_autofree char *found = nic->has_address ? ipv4_format(nic->address) : NULL;
    g_assert_cmpstr(nic->interface, ==, interface);
    g_assert_cmpstr(nic->network->name, ==, network);
    g_assert_cmpstr(found, ==, address);
}

static void test_everything(void)
{
    topology_auto struct topology *t =
        load("name: branch\n"
             "defaults: {image: host, memory: 96M, forwarding: false}\n"
             "pool: 192.168.0.0/24\n"
             "networks:\n"
             "  lan: {subnet: 10.1.0.0/24, mtu: 1400, host: 10.1.0.1}\n"
             "  raw:\n"
             "nodes:\n"
             "  r1: {forwarding: true, networks: {lan: 10.1.0.254/24, raw: }}\n"
             "  r2: {kernel: boot/bzImage, initrd: ../rd, append: quiet, memory: 1G, cpu: pentium3}\n"
             "  web:\n"
             "    hostname: www.example\n"
             "    networks: [lan, {raw: 10.7.0.1/16}, {raw: {address: none, interface: mgmt0, mac: "
             "02-00-00-00-00-07}}]\n"
             "    routes: {default: 10.1.0.254, 10.9.0.0/16: 10.7.0.2}\n"
             "    run: [nginx, 'echo a; echo b']\n"
             "links:\n"
             "  - r1 - r2\n"
             "  - {ends: [r2:eth5, web:eth1], subnet: 10.0.9.0/30, name: back}\n"
             "  - {ends: [{node: r1, address: 10.8.0.1/24}, web]}\n"
             "  - r1:up0 -- r2\n"
             "checks:\n"
             "  answers: {node: r2, run: curl http://web, expect: Welcome, within: 1m}\n");
    g_assert_cmpstr(t->name, ==, "branch");
    g_assert_cmpstr(t->directory, ==, "/labs/office");
    g_assert_cmpuint(t->networks->len, ==, 6);
    g_assert_cmpuint(topology_find_network(t, "lan")->mtu, ==, 1400);
    g_assert_cmpuint(topology_find_network(t, "raw")->mtu, ==, 1500);
    assert_nic(t, "r1", 0, "eth0", "lan", "10.1.0.254/24");
    assert_nic(t, "r1", 1, "eth1", "raw", NULL);
    assert_nic(t, "r1", 2, "eth2", "r1:eth2-r2:eth0", "192.168.0.1/30");
    assert_nic(t, "r1", 3, "eth3", "r1:eth3-web:eth3", "10.8.0.1/24");
    assert_nic(t, "r1", 4, "up0", "r1:up0-r2:eth1", "192.168.0.5/30");
    assert_nic(t, "r2", 0, "eth0", "r1:eth2-r2:eth0", "192.168.0.2/30");
    assert_nic(t, "r2", 1, "eth5", "back", "10.0.9.1/30");
    assert_nic(t, "web", 0, "eth0", "lan", "10.1.0.2/24"); /* .1 is the host side's */
    assert_nic(t, "web", 1, "eth2", "raw", "10.7.0.1/16");
    assert_nic(t, "web", 2, "mgmt0", "raw", NULL);
    assert_nic(t, "web", 3, "eth1", "back", "10.0.9.2/30");
    assert_nic(t, "web", 4, "eth3", "r1:eth3-web:eth3", "10.8.0.2/24");
    g_autofree char *mac = mac_format(nic_of(t, "web", 2)->mac);
    g_assert_cmpstr(mac, ==, "02:00:00:00:00:07");

    struct topology_node *r1 = topology_find_node(t, "r1"), *r2 = topology_find_node(t, "r2"),
                         *web = topology_find_node(t, "web");
    g_assert_cmpint(r1->machine.forwarding, ==, 1);
    g_assert_cmpstr(r1->machine.image, ==, "host");
    g_assert_cmpuint(r1->machine.memory, ==, 96);
    g_assert_null(r2->machine.image); /* its own kernel stands against the default image */
    g_assert_cmpstr(r2->machine.kernel, ==, "/labs/office/boot/bzImage");
    g_assert_cmpstr(r2->machine.initrd, ==, "/labs/rd");
    g_assert_cmpuint(r2->machine.memory, ==, 1024);
    g_assert_cmpint(r2->machine.forwarding, ==, 0);
    g_assert_cmpstr(web->hostname, ==, "www.example");
    g_assert_cmpuint(web->routes->len, ==, 2);
    g_assert_cmpuint(((struct topology_route *)web->routes->pdata[0])->to.length, ==, 0);
    g_assert_cmpstr(web->run->pdata[1], ==, "echo a; echo b");
    g_assert_cmpuint(((struct topology_test *)t->tests->pdata[0])->within, ==, 60);
}

static void test_short(void)
{
    topology_auto struct topology *t = load("nodes: {h1: , h2: }\nlinks: [h1-h2]\n");
    g_assert_cmpstr(t->name, ==, "office"); /* the folder's */
    g_assert_cmpstr(topology_find_node(t, "h1")->machine.image, ==, "mini");
    assert_nic(t, "h1", 0, "eth0", "h1:eth0-h2:eth0", "10.255.0.1/30");
    assert_nic(t, "h2", 0, "eth0", "h1:eth0-h2:eth0", "10.255.0.2/30");
}

/* What a node starts from, and with which disks, when there are defaults: image, kernel's last part, whether
 * firmware starts, number of disks, CD's last part. */
static void test_starts(void)
{
    static const struct {
        const char *defaults, *node, *expected;
    } rows[] = {
        {"", "", "mini - no 0 -"},
        {"", "disk: a.qcow2", "- - bare 1 -"},
        {"", "cdrom: a.iso", "- - bare 0 a.iso"},
        {"", "cdrom: empty", "mini - no 0 empty"},
        {"", "disk: 1G", "mini - no 1 -"},
        {"", "disk: 1G, cdrom: a.iso", "- - bare 1 a.iso"},
        {"", "disk: a, boot: kernel", "mini - no 1 -"},
        {"", "kernel: k, disk: a", "- k no 1 -"},
        {"", "image: host, disk: [a, 1G]", "host - no 2 -"},
        {"image: host", "disk: a", "host - no 1 -"},
        {"image: host", "disk: a, boot: disk", "- - bare 1 -"},
        {"image: host", "cdrom: a.iso, boot: cdrom", "- - bare 0 a.iso"},
        {"kernel: k", "cdrom: a.iso, boot: cdrom", "- - bare 0 a.iso"},
        {"image: host, disk: 1G", "image: router", "router - no 1 -"},
        {"disk: a.qcow2, cdrom: t.iso", "", "- - bare 1 t.iso"},
        {"disk: a.qcow2, cdrom: t.iso", "image: mini", "mini - no 0 -"},
        {"disk: a.qcow2", "disk: b.qcow2, cdrom: empty", "- - bare 1 empty"},
        {"disk: a.qcow2", "disk: []", "mini - no 0 -"},
        {"disk: a.qcow2, boot: disk", "", "- - bare 1 -"},
        {"image: own, boot: disk", "", "own - no 0 -"},
        {"image: own, boot: cdrom", "cdrom: a.iso", "own - no 0 a.iso"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text =
            g_strdup_printf("defaults: {%s}\nnodes: {h1: {%s}}\n", rows[i].defaults, rows[i].node);
        topology_auto struct topology *t = load(text);
        const struct topology_node *node = t->nodes->pdata[0];
        const struct topology_machine *m = &node->machine;
        g_autofree char *kernel = m->kernel ? g_path_get_basename(m->kernel) : g_strdup("-"),
                        *cdrom =
                            m->cdrom ? g_path_get_basename(m->cdrom) : g_strdup(m->has_cdrom ? "empty" : "-");
        g_autofree char *is = g_strdup_printf("%s %s %s %u %s", m->image ? m->image : "-", kernel,
                                              m->is_bare ? "bare" : "no", m->disks->len, cdrom);
        g_test_message("%s", text);
        g_assert_cmpstr(is, ==, rows[i].expected);
        for (guint k = 0; k < m->disks->len; k++) {
            const struct topology_disk *disk = m->disks->pdata[k];
            g_assert_true(!disk->file == (disk->size != 0));
            g_assert_true(!disk->file || g_path_is_absolute(disk->file));
        }
    }
    topology_auto struct topology *t =
        load("nodes: {h1: {disk: [512m, 2GiB, ./3G, {file: ../x, size: 1T, persistent: yes}]}}\n");
    const struct topology_machine *m = &((const struct topology_node *)t->nodes->pdata[0])->machine;
    const struct topology_disk *disk = m->disks->pdata[0];
    g_assert_cmpuint(disk->size, ==, 512ull << 20);
    disk = m->disks->pdata[1];
    g_assert_cmpuint(disk->size, ==, 2ull << 30);
    disk = m->disks->pdata[2];
    g_assert_true(g_str_has_suffix(disk->file, "/3G"));
    disk = m->disks->pdata[3];
    g_assert_false(strstr(disk->file, "..") != NULL);
    g_assert_cmpuint(disk->size, ==, 1ull << 40);
    g_assert_cmpint(disk->persistent, ==, 1);
}

/* "on", the file's last part, number of keys, password. */
static void test_cloud_init(void)
{
    static const struct {
        const char *defaults, *node, *expected;
    } rows[] = {
        {"", "", "-1 - 0 -"},
        {"", "cloud_init: true", "1 - 0 -"},
        {"", "cloud_init: No", "0 - 0 -"},
        {"", "cloud_init: {}", "1 - 0 -"},
        {"", "cloud_init: sub/ud.yml", "1 ud.yml 0 -"},
        {"", "cloud_init: {user_data: ud.yml, ssh_keys: [a, b], password: 12345}", "1 ud.yml 2 12345"},
        {"cloud_init: {user_data: ud.yml, ssh_keys: a, password: x}", "", "1 ud.yml 1 x"},
        {"cloud_init: {user_data: ud.yml, ssh_keys: a, password: x}", "cloud_init: false", "0 - 0 -"},
        {"cloud_init: {user_data: ud.yml, ssh_keys: a, password: x}", "cloud_init: {password: y}", "1 - 0 y"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text =
            g_strdup_printf("defaults: {%s}\nnodes: {h1: {%s}}\n", rows[i].defaults, rows[i].node);
        topology_auto struct topology *t = load(text);
        const struct topology_cloud_init *c =
            &((const struct topology_node *)t->nodes->pdata[0])->machine.cloud_init;
        g_autofree char *file = c->user_data ? g_path_get_basename(c->user_data) : g_strdup("-");
        g_autofree char *is = g_strdup_printf("%d %s %u %s", c->is_on, file, c->keys ? c->keys->len : 0,
                                              c->password ? c->password : "-");
        g_test_message("%s", text);
        g_assert_cmpstr(is, ==, rows[i].expected);
        g_assert_true(!c->user_data || g_path_is_absolute(c->user_data));
    }
    unsigned line = 0, column = 0;
    g_autofree char *why = NULL;
    g_assert_true(topology_check_yaml("#cloud-config\na: [1, 2]\n", 24, &line, &column, &why));
    g_assert_true(topology_check_yaml("", 0, &line, &column, &why));
    g_assert_false(topology_check_yaml("#cloud-config\na: [1\nb: 2\n", 25, &line, &column, &why));
    g_assert_cmpuint(line, ==, 3);
    g_assert_nonnull(why);
}

static void test_same_text_same_lab(void)
{
    static const char text[] = NODES LAN;
    topology_auto struct topology *a = load(text), *b = load(text);
    g_assert_cmpmem(nic_of(a, "h1", 0)->mac, 6, nic_of(b, "h1", 0)->mac, 6);
    g_assert_cmpint(memcmp(nic_of(a, "h1", 0)->mac, nic_of(a, "h2", 0)->mac, 6), !=, 0);
    g_assert_cmpint(nic_of(a, "h1", 0)->mac[0] & 1, ==, 0);
}

static void test_pool_steps_over_subnets(void)
{
    topology_auto struct topology *t = load("nodes: {a: , b: }\npool: 10.0.0.0/28\nnetworks: {x: {subnet: "
                                            "10.0.0.4/30}}\nlinks: [a - b, a - b]\n");
    assert_nic(t, "a", 0, "eth0", "a:eth0-b:eth0", "10.0.0.1/30");
    assert_nic(t, "a", 1, "eth1", "a:eth1-b:eth1", "10.0.0.9/30");
}

static void test_slash_31(void)
{
    topology_auto struct topology *t =
        load("nodes: {a: , b: }\nlinks: [{ends: [a, b], subnet: 10.0.0.0/31}]\n");
    assert_nic(t, "a", 0, "eth0", "a:eth0-b:eth0", "10.0.0.0/31");
    assert_nic(t, "b", 0, "eth0", "a:eth0-b:eth0", "10.0.0.1/31");
}

/* A megabyte of brackets is refused at once: libyaml alone would look at it for minutes. */
static void test_depth(void)
{
    static const char *const bombs[] = {"[", "{a: ", "- "};
    for (unsigned i = 0; i < G_N_ELEMENTS(bombs); i++) {
        g_autoptr(GString) text = g_string_new("nodes: \n  ");
        while (text->len < 1000000)
            g_string_append(text, bombs[i]);
        gint64 begin = g_get_monotonic_time();
        g_autofree char *said = complaints(text->str);
        g_assert_true(strstr(said, "nested more than 32 levels deep"));
        g_assert_cmpint(g_get_monotonic_time() - begin, <, 20 * G_USEC_PER_SEC);
    }
}

static void test_many_complaints(void)
{
    g_autoptr(GString) text = g_string_new("nodes:\n  h1:\n    networks:\n");
    for (int i = 0; i < 100; i++)
        g_string_append_printf(text, "      - n%d\n", i);
    g_autofree char *found = complaints(text->str);
    g_auto(GStrv) lines = g_strsplit(found, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 20);
}

/* Whatever the bytes, it ends with a topology or with complaints. */
static void test_random_bytes(void)
{
    static const char seed[] = "name: x\nnetworks: {lan: {subnet: 10.1.0.0/24, host: 10.1.0.9}}\nnodes: {h1: "
                               "{networks: {lan: 10.1.0.1}}, h2: {networks: [lan]}}\nlinks: [h1 - h2]\n";
    for (int i = 0; i < 3000; i++) {
        g_autofree char *text = g_strdup(seed);
        for (int k = 0; k < 1 + i % 4; k++)
            text[g_test_rand_int_range(0, (int)sizeof seed - 1)] = (char)g_test_rand_int_range(1, 256);
        g_autoptr(GError) error = NULL;
        topology_auto struct topology *topology = topology_load_text("/x/t.yml", "t.yml", text, &error);
        g_assert_true((topology != NULL) != (error != NULL));
    }
}

static void test_values(void)
{
    struct ipv4_prefix p;
    g_assert_true(ipv4_parse("10.1.2.3/8", &p));
    g_assert_cmphex(p.address, ==, 0x0a010203);
    g_assert_cmpuint(p.length, ==, 8);
    static const char *const bad[] = {"10.1.2",       "10.1.2.3/33", "10.1.2.3/",    "10.1.2.3/+8",
                                      "10.1.2.3/08x", " 10.1.2.3",   "10.1.2.3/008", "1.2.3.4.5"};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(ipv4_parse(bad[i], &p));
    g_assert_cmphex(ipv4_mask(0), ==, 0);
    g_assert_cmphex(ipv4_mask(24), ==, 0xffffff00);
    g_assert_cmphex(ipv4_mask(32), ==, 0xffffffff);
    static const char *const names[] = {"memory", "image", "networks"};
    g_assert_cmpstr(topology_nearest("netwroks", names, 3), ==, "networks");
    g_assert_null(topology_nearest("zzz", names, 3));
}

/* Every key has its columns; its example passes, and its mistake is refused with a place. */
static void test_print_grammar(void)
{
    struct topology_mapping_info mapping;
    size_t count = 0;
    for (; topology_grammar(count, &mapping); count++) {
        for (size_t k = 0; k < mapping.count; k++) {
            const struct topology_key_info *key = &mapping.keys[k];
            g_assert_nonnull(key->help);
            if (key->later) {
                g_assert_nonnull(key->instead);
                continue;
            }
            g_autofree char *whole = NULL;
            g_autofree char *wrong = topology_grammar_try(&mapping, key->example, &whole);
            if (wrong)
                g_test_fail_printf("%s.%s: the example is refused: %s", mapping.name, key->name, wrong);
            g_assert_nonnull(strstr(whole, key->name));
            g_autofree char *told = topology_grammar_try(&mapping, key->mistake, NULL);
            if (!told || !g_regex_match_simple("^(topology|checks)\\.yml:[0-9]+:[0-9]+: ", told, 0, 0))
                g_test_fail_printf("%s.%s: the mistake \"%s\" passes, or has no place: %s", mapping.name,
                                   key->name, key->mistake, told);
        }
        g_free((void *)mapping.keys);
    }
    g_assert_cmpuint(count, ==, 14);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(mistakes); i++) {
        g_autofree char *path = g_strdup_printf("/topology/mistake/%s", mistakes[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_mistake);
    }
    g_test_add_func("/topology/source-line", test_source_line);
    g_test_add_func("/topology/everything", test_everything);
    g_test_add_func("/topology/short", test_short);
    g_test_add_func("/topology/starts", test_starts);
    g_test_add_func("/topology/cloud-init", test_cloud_init);
    g_test_add_func("/topology/deterministic", test_same_text_same_lab);
    g_test_add_func("/topology/pool", test_pool_steps_over_subnets);
    g_test_add_func("/topology/slash-31", test_slash_31);
    g_test_add_func("/topology/depth", test_depth);
    g_test_add_func("/topology/many-complaints", test_many_complaints);
    g_test_add_func("/topology/random-bytes", test_random_bytes);
    g_test_add_func("/topology/values", test_values);
    g_test_add_func("/topology/grammar", test_print_grammar);
    return g_test_run();
}
