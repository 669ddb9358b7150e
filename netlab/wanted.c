/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What a topology wants: bridges, addresses of bridges, and for each node its TAPs and its machine.
 *
 * Here meets the person's file what this computer has: an image's name becomes a kernel, an initrd, a command
 * line and an amount of memory. The configuration that a guest reads (fw_cfg opt/netlab/config, one setting a
 * line, see netlab/guest/config.c) is written here too, and is part of the machine's payload: a node whose
 * addresses, routes or commands change is a machine that has changed.
 */
#include "netlab/caller.h"
#include "netlab/wanted.h"
#include "netlab/image.h"
#include "netlab/topology_line.h"
#include "netlab/topology_six.h"
#include "netlab/topology_node.h"
#include "netlab/topology_uplink.h"
#include "netlab/trial.h"
#include "netlab/wanted_dhcp.h"
#include "netlab/wanted_media.h"

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DEFAULT_MEMORY_MIB = 64,
    BARE_MEMORY_MIB = 256 /* as of an imported disk */,
    LONGEST_CONFIG = 60000,
    NODES_AT_ONCE = 16
};

/* What boots: from an image, or from files of one's own. */
struct boot {
    char *kernel, *initrd, *disk, *cdrom, *append;
    const char *disk_format; /* NULL: the root of our start-up program */
    unsigned memory;
    bool has_agent, has_cloud_init;
    struct media media;
};

static void boot_clear(struct boot *boot)
{
    g_free(boot->kernel);
    g_free(boot->initrd);
    g_free(boot->disk);
    g_free(boot->cdrom);
    g_free(boot->append);
    if (boot->media.list)
        json_array_unref(boot->media.list);
    if (boot->media.cloud_init)
        json_object_unref(boot->media.cloud_init);
}

static char *finish(JsonBuilder *builder)
{
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    return json_to_string(root, FALSE);
}

static void put_string(JsonBuilder *builder, const char *name, const char *value)
{
    if (!value)
        return;
    json_builder_set_member_name(builder, name);
    json_builder_add_string_value(builder, value);
}

static void put_number(JsonBuilder *builder, const char *name, gint64 value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_int_value(builder, value);
}

/* ---- network ---- */

/* What the lab's own namespace has on this network; of a gateway that is elsewhere, nothing. */
static struct ipv4_prefix lab_address(const struct topology_network *network)
{
    if (network->dhcp.is_on)
        return (struct ipv4_prefix){network->dhcp.server, network->subnet.length};
    bool is_inside = network->has_host && network->uplink == TOPOLOGY_UPLINK_NONE;
    return is_inside ? network->host : (struct ipv4_prefix){0, 0};
}

static bool has_lab_address6(const struct topology_network *network)
{
    return network->has_host6 && network->uplink == TOPOLOGY_UPLINK_NONE;
}

static void want_network(GPtrArray *objects, const struct topology_network *network)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    put_string(builder, "kind", network->kind == TOPOLOGY_LINK ? "link" : "network");
    put_number(builder, "mtu", network->mtu);
    put_number(builder, "host", lab_address(network).address || has_lab_address6(network));
    json_builder_end_object(builder);
    g_autofree char *payload = finish(builder);
    g_ptr_array_add(objects, object_new(OBJECT_BRIDGE, network->name, payload));
}

static void want_address(GPtrArray *objects, const struct topology_network *network, const char *key,
                         const char *address)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    put_string(builder, "network", network->name);
    put_string(builder, "address", address);
    json_builder_end_object(builder);
    g_autofree char *payload = finish(builder);
    g_ptr_array_add(objects, object_new(OBJECT_ADDRESS, key, payload));
}

static void want_addresses(GPtrArray *objects, const struct topology_network *network)
{
    struct ipv4_prefix four = lab_address(network);
    g_autofree char *text = ipv4_format(four), *six = ipv6_format(&network->host6),
                    *key = g_strdup_printf("%s/6", network->name);
    if (four.address)
        want_address(objects, network, network->name, text);
    if (has_lab_address6(network))
        want_address(objects, network, key, six);
}

static void want_tap(GPtrArray *objects, const struct topology_node *node, const struct topology_nic *nic)
{
    g_autofree char *key = g_strdup_printf("%s:%s", node->name, nic->interface);
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    put_string(builder, "node", node->name);
    put_string(builder, "network", nic->network->name);
    put_number(builder, "mtu", nic->network->mtu);
    json_builder_end_object(builder);
    g_autofree char *payload = finish(builder);
    g_ptr_array_add(objects, object_new(OBJECT_TAP, key, payload));
}

/* ---- gateways ---- */

static char *plain(uint32_t address)
{
    return ipv4_format((struct ipv4_prefix){address, IPV4_NO_LENGTH});
}

/* Where the gateway's leases begin: in the upper half, for fixed addresses count from the bottom. */
static uint32_t first_lease(const struct topology_network *network)
{
    uint32_t half = 1u << (31 - network->subnet.length), address = network->subnet.address + half;
    while (address == network->host.address || address == network->dns)
        address++;
    return address;
}

static void put_forwards(JsonBuilder *builder, const struct topology_network *network)
{
    json_builder_set_member_name(builder, "forwards");
    json_builder_begin_array(builder);
    for (guint i = 0; network->forwards && i < network->forwards->len; i++) {
        const struct topology_forward *forward = network->forwards->pdata[i];
        g_autofree char *host = forward->any_host ? g_strdup("") : plain(forward->host);
        g_autofree char *guest = plain(forward->address);
        g_autofree char *rule = g_strdup_printf("%s:%s:%u-%s:%u", forward->is_udp ? "udp" : "tcp", host,
                                                forward->host_port, guest, forward->node_port);
        json_builder_add_string_value(builder, rule);
    }
    json_builder_end_array(builder);
}

struct object *own_policy(const char *name)
{
    enum { RESTARTS = 1000000 };
    g_autoptr(JsonBuilder) policy = json_builder_new();
    json_builder_begin_object(policy);
    put_string(policy, "restart", "always");
    put_number(policy, "most", RESTARTS);
    json_builder_end_object(policy);
    g_autofree char *payload = finish(policy);
    return object_new(OBJECT_POLICY, name, payload);
}

/* A TAP and a process that has it and user networking (machine.c). It is started again whenever it ends. */
static void want_gateway(GPtrArray *objects, const struct topology_network *network)
{
    enum { SHOWN_MEMORY_MIB = 16 };
    g_autofree char *name = g_strdup_printf("%c%s", OBJECT_GATEWAY_SIGN, network->name);
    g_autofree char *key = g_strdup_printf("%s:uplink", name);
    g_autofree char *subnet = ipv4_format(network->subnet), *host = plain(network->host.address),
                    *dns = plain(network->dns), *lease = plain(first_lease(network)),
                    *address = ipv4_format(network->host);
    uint32_t bits = network->host.address; /* libslirp makes its MAC of them */
    g_autofree char *mac = g_strdup_printf("52:55:%02x:%02x:%02x:%02x", bits >> 24, bits >> 16 & 255,
                                           bits >> 8 & 255, bits & 255);
    g_autoptr(JsonBuilder) tap = json_builder_new();
    json_builder_begin_object(tap);
    put_string(tap, "node", name);
    put_string(tap, "network", network->name);
    put_number(tap, "mtu", network->mtu);
    json_builder_end_object(tap);
    g_autofree char *tap_payload = finish(tap);
    g_ptr_array_add(objects, object_new(OBJECT_TAP, key, tap_payload));
    g_ptr_array_add(objects, own_policy(name));
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    put_string(builder, "image", "gateway");
    put_number(builder, "memory", SHOWN_MEMORY_MIB);
    put_string(builder, "ready", "started");
    json_builder_set_member_name(builder, "gateway");
    json_builder_begin_object(builder);
    put_string(builder, "subnet", subnet);
    put_string(builder, "host", host);
    put_string(builder, "dns", dns);
    put_string(builder, "dhcpstart", lease);
    if (network->has_subnet6) {
        g_autofree char *subnet6 = ipv6_format(&network->subnet6),
                        *host6 = ipv6_format_plain(&network->host6),
                        *dns6 = ipv6_format_plain(&network->dns6);
        put_string(builder, "subnet6", subnet6);
        put_string(builder, "host6", host6);
        put_string(builder, "dns6", dns6);
    }
    put_forwards(builder, network);
    json_builder_end_object(builder);
    json_builder_set_member_name(builder, "nics");
    json_builder_begin_array(builder);
    json_builder_begin_object(builder);
    put_string(builder, "interface", "uplink");
    put_string(builder, "mac", mac);
    put_string(builder, "network", network->name);
    put_string(builder, "address", address);
    json_builder_end_object(builder);
    json_builder_end_array(builder);
    put_string(builder, "config", "");
    json_builder_end_object(builder);
    g_autofree char *payload = finish(builder);
    g_ptr_array_add(objects, object_new(OBJECT_MACHINE, name, payload));
}

static void want_nat(GPtrArray *objects, const struct topology_network *network)
{
    g_autofree char *subnet = ipv4_format(network->subnet), *address = ipv4_format(network->host);
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    put_string(builder, "address", address);
    put_string(builder, "subnet", subnet);
    if (network->has_subnet6) {
        g_autofree char *subnet6 = ipv6_format(&network->subnet6), *address6 = ipv6_format(&network->host6);
        put_string(builder, "address6", address6);
        put_string(builder, "subnet6", subnet6);
    }
    put_number(builder, "mtu", network->mtu);
    json_builder_set_member_name(builder, "forwards");
    json_builder_begin_array(builder);
    for (guint i = 0; network->forwards && i < network->forwards->len; i++) {
        const struct topology_forward *forward = network->forwards->pdata[i];
        g_autofree char *host = forward->any_host ? NULL : plain(forward->host);
        g_autofree char *guest = plain(forward->address);
        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "udp");
        json_builder_add_boolean_value(builder, forward->is_udp);
        put_string(builder, "host", host);
        put_number(builder, "port", forward->host_port);
        put_string(builder, "address", guest);
        put_number(builder, "node_port", forward->node_port);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
    json_builder_end_object(builder);
    g_autofree char *payload = finish(builder);
    g_ptr_array_add(objects, object_new(OBJECT_NAT, network->name, payload));
}

static void want_uplink(GPtrArray *objects, const struct topology_network *network)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    put_string(builder, "nic", network->uplink_nic);
    put_number(builder, "mtu", network->mtu);
    json_builder_end_object(builder);
    g_autofree char *payload = finish(builder);
    g_ptr_array_add(objects, object_new(OBJECT_UPLINK, network->name, payload));
}

void wanted_renewal(GPtrArray *objects, guint at, const char *network, const char *nic)
{
    g_autofree char *name = g_strdup_printf("%c%s", OBJECT_GATEWAY_SIGN, network);
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    put_string(builder, "image", "dhcp-client");
    put_number(builder, "memory", OWN_MEMORY_MIB);
    put_string(builder, "ready", "started");
    put_string(builder, "lease", network);
    json_builder_set_member_name(builder, "nics");
    json_builder_begin_array(builder);
    json_builder_begin_object(builder);
    put_string(builder, "interface", nic);
    put_string(builder, "network", network);
    put_string(builder, "address", "dhcp");
    json_builder_end_object(builder);
    json_builder_end_array(builder);
    put_string(builder, "config", "");
    json_builder_end_object(builder);
    g_autofree char *payload = finish(builder);
    g_ptr_array_insert(objects, (gint)at, object_new(OBJECT_MACHINE, name, payload));
    g_ptr_array_insert(objects, (gint)at, own_policy(name));
}

/* ---- machines ---- */

static bool check_file(struct topology_report *report, struct topology_mark mark, const char *what,
                       const char *path)
{
    g_autofree char *reason = NULL;
    struct caller caller;
    int fd = caller_open(path);
    if (fd < 0)
        reason = g_strdup(errno == EINVAL                           ? "not a regular file"
                          : errno == EACCES && caller_find(&caller) ? "who called sudo may not read it"
                                                                    : g_strerror(errno));
    else
        close(fd);
    if (!reason)
        return true;
    topology_complain(report, mark,
                      "the %s %s cannot be used: %s; correct the path (it is relative to the topology file)",
                      what, path, reason);
    return false;
}

static bool boot_from_image(const struct topology_node *node, struct topology_report *report,
                            struct boot *boot)
{
    const struct topology_machine *machine = &node->machine;
    g_autoptr(GError) error = NULL;
    struct image *image = image_find(machine->image, &error);
    if (!image) {
        topology_complain(report, machine->image_mark, "%s", error->message);
        return false;
    }
    bool good = true;
    if (machine->memory && machine->memory < image->least_memory) {
        topology_complain(report, machine->memory_mark,
                          "%uM of memory is too little for image \"%s\"; node \"%s\" needs at least %uM",
                          machine->memory, image->name, node->name, image->least_memory);
        good = false;
    }
    boot->kernel = g_strdup(image->kernel);
    boot->initrd = g_strdup(image->initrd);
    boot->disk = g_strdup(image->disk);
    boot->cdrom = g_strdup(image->cdrom);
    boot->disk_format = image->disk && !image->disk_is_root ? (image->disk_is_qcow2 ? "qcow2" : "raw") : NULL;
    boot->memory = machine->memory ? machine->memory : image->memory ? image->memory : DEFAULT_MEMORY_MIB;
    boot->has_agent = image->has_agent;
    boot->has_cloud_init = image->has_cloud_init;
    if (!image->takes_disks && (machine->disks->len || machine->has_cdrom || machine->cloud_init.is_on > 0)) {
        topology_complain(
            report,
            machine->disks->len  ? machine->disks_mark
            : machine->has_cdrom ? machine->cdrom_mark
                                 : machine->cloud_init.mark,
            image->disk ? "image \"%s\" was built by an earlier version and might take the node's disk for "
                          "its own; build it again: netlab image build %s"
                        : "image \"%s\" has no drivers for disks and CDs; use an image with a root on "
                          "disk, like host (netlab image build %s)",
            image->name, image->disk ? image->name : "host");
        good = false;
    }
    if (machine->append && !image->kernel) {
        topology_complain(
            report, node->mark,
            "node \"%s\" has an \"append\", but image \"%s\" boots from its own disk; leave it out",
            node->name, image->name);
        good = false;
    }
    if (machine->append && image->append)
        boot->append = g_strconcat(image->append, " ", machine->append, NULL);
    else
        boot->append = g_strdup(machine->append ? machine->append : image->append);
    image_free(image);
    return good;
}

static bool boot_from_files(const struct topology_node *node, struct topology_report *report,
                            struct boot *boot)
{
    const struct topology_machine *machine = &node->machine;
    boot->kernel = g_strdup(machine->kernel);
    boot->initrd = g_strdup(machine->initrd);
    boot->append = g_strdup(machine->append);
    boot->memory = machine->memory ? machine->memory : DEFAULT_MEMORY_MIB;
    return check_file(report, machine->kernel_mark, "kernel", machine->kernel) &&
           (!machine->initrd || check_file(report, machine->initrd_mark, "initrd", machine->initrd));
}

/* A kernel or CPU of the person's own choice is tried before anything is changed; nodes that are alike share
 * one trial (`trials`: what was tried → what came of it, "" when good). */
static bool try_machine(const struct topology_machine *machine, const struct boot *boot, GHashTable *trials,
                        struct topology_report *report)
{
    if (!machine->kernel && !machine->cpu)
        return true;
    g_autofree char *what =
        g_strdup_printf("%s\n%s\n%s\n%s\n%u", boot->kernel, boot->initrd ? boot->initrd : "",
                        boot->append ? boot->append : "", machine->cpu ? machine->cpu : "", boot->memory);
    const char *known = g_hash_table_lookup(trials, what);
    g_autofree char *why = NULL;
    const struct trial trial = {.kernel = boot->kernel,
                                .initrd = boot->initrd,
                                .append = boot->append,
                                .cpu = machine->cpu,
                                .memory = boot->memory};
    if (!known && trial_run(&trial, &why))
        why = g_strdup("");
    if (!known)
        g_hash_table_insert(trials, g_steal_pointer(&what), g_strdup(why));
    if (!*(known ? known : why))
        return true;
    if (known)
        why = g_strdup(known);
    topology_complain(report,
                      g_str_has_prefix(why, "-cpu") ? machine->cpu_mark
                      : machine->kernel             ? machine->kernel_mark
                                                    : machine->image_mark,
                      "%s", why);
    return false;
}

/* A shell command on one line, whatever it holds. */
static void put_command(GString *config, const char *command)
{
    if (!strchr(command, '\n')) {
        g_string_append_printf(config, "run %s\n", command);
        return;
    }
    g_string_append(config, "run eval \"$(printf '%b' '");
    for (const char *c = command; *c; c++) {
        if (*c == '\n')
            g_string_append(config, "\\n");
        else if (*c == '\\')
            g_string_append(config, "\\\\");
        else if (*c == '\'')
            g_string_append(config, "'\\''");
        else
            g_string_append_c(config, *c);
    }
    g_string_append(config, "')\"\n");
}

/* Those of its networks first: they know the nodes, and refuse what they do not know. */
static void put_name_servers(GString *config, const struct topology_node *node,
                             const struct topology_network *out)
{
    enum { MOST = 3 }; /* of netlab/guest and of resolv.conf */
    unsigned count = 0;
    for (guint i = 0; i < node->nics->len; i++) {
        const struct topology_nic *nic = node->nics->pdata[i];
        const struct topology_dhcp *dhcp = &nic->network->dhcp;
        for (unsigned k = 0; dhcp->is_on && nic->has_address && k < MAX(dhcp->dns_count, 1) && count < MOST;
             k++, count++) {
            g_autofree char *server = plain(dhcp->dns_count ? dhcp->dns[k] : dhcp->server);
            g_string_append_printf(config, "nameserver %s\n", server);
        }
    }
    if (!out || !out->has_dns || count == MOST)
        return;
    g_autofree char *server = plain(out->dns);
    g_string_append_printf(config, "nameserver %s\n", server);
}

/* The drives of the node's own, by their places. */
static void put_drives(GString *config, JsonArray *media)
{
    for (guint i = 0; media && i < json_array_get_length(media); i++) {
        JsonObject *medium = json_array_get_object_element(media, i);
        int at = (int)json_object_get_int_member(medium, "at");
        bool is_disk = g_str_equal(json_object_get_string_member(medium, "kind"), "disk");
        g_string_append_printf(config, "drive ide%d-%s%d\n", at / 2, is_disk ? "hd" : "cd", at % 2);
    }
}

static char *guest_config(const struct topology_node *node, JsonArray *media)
{
    GString *config = g_string_new(NULL);
    g_string_append_printf(config, "hostname %s\n", node->hostname);
    for (guint i = 0; i < node->nics->len; i++) {
        struct topology_nic *nic = node->nics->pdata[i];
        g_autofree char *mac = mac_format(nic->mac);
        g_string_append_printf(config, "interface %s %s", mac, nic->interface);
        if (nic->has_address) {
            g_autofree char *address = ipv4_format(nic->address);
            g_string_append_printf(config, " %s", address);
        }
        if (nic->has_address6) {
            g_autofree char *address = ipv6_format(&nic->address6);
            g_string_append_printf(config, " %s", address);
        }
        if (nic->dhcp)
            g_string_append(config, " dhcp");
        g_string_append_printf(config, " mtu %u\n", nic->network->mtu);
    }
    if (node->has_loopback) {
        g_autofree char *address = ipv4_format(node->loopback);
        g_string_append_printf(config, "loopback %s\n", address);
    }
    g_string_append_printf(config, "forwarding %s\n", node->machine.forwarding > 0 ? "on" : "off");
    for (guint i = 0; i < node->routes->len; i++) {
        struct topology_route *route = node->routes->pdata[i];
        bool is_default = route->is_six ? !route->to6.length : !route->to.length;
        g_autofree char *to = is_default      ? g_strdup("default")
                              : route->is_six ? ipv6_format(&route->to6)
                                              : ipv4_format(route->to);
        g_autofree char *via = route->is_six ? ipv6_format_plain(&route->via6) : plain(route->via);
        g_string_append_printf(config, "route %s via %s\n", to, via);
    }
    const struct topology_network *out = topology_way_out(node);
    g_autofree char *via = out ? plain(out->host.address) : NULL;
    if (out)
        g_string_append_printf(config, "route default via %s\n", via);
    const struct topology_network *out_six = topology_way_out_six(node);
    g_autofree char *via_six = out_six ? ipv6_format_plain(&out_six->host6) : NULL;
    if (out_six)
        g_string_append_printf(config, "route default via %s\n", via_six);
    put_name_servers(config, node, out);
    put_drives(config, media);
    for (guint i = 0; i < node->run->len; i++)
        put_command(config, node->run->pdata[i]);
    return g_string_free(config, FALSE);
}

/* Which of its network's NICs this is, counted through the topology. */
static unsigned number_on_network(const struct topology *topology, const struct topology_nic *wanted)
{
    unsigned number = 0;
    for (guint n = 0; n < topology->nodes->len; n++) {
        const struct topology_node *node = topology->nodes->pdata[n];
        for (guint i = 0; i < node->nics->len; i++) {
            const struct topology_nic *nic = node->nics->pdata[i];
            if (nic == wanted)
                return number;
            number += nic->network == wanted->network;
        }
    }
    return number;
}

/* The lines of its NICs that are not good. */
static void want_lines(GPtrArray *objects, const struct topology *topology, const struct topology_node *node)
{
    for (guint i = 0; i < node->nics->len; i++) {
        const struct topology_nic *nic = node->nics->pdata[i];
        g_autofree char *key = g_strdup_printf("%s:%s", node->name, nic->interface);
        g_autofree char *line = topology_line_format(
            nic, nic->network->line.words[TOPOLOGY_SEED] ? number_on_network(topology, nic) : 0);
        if (!line)
            continue;
        g_autoptr(JsonBuilder) builder = json_builder_new();
        json_builder_begin_object(builder);
        put_string(builder, "line", line);
        json_builder_end_object(builder);
        g_autofree char *payload = finish(builder);
        g_ptr_array_add(objects, object_new(OBJECT_LINE, key, payload));
    }
}

static void put_nics(JsonBuilder *builder, const struct topology_node *node)
{
    json_builder_set_member_name(builder, "nics");
    json_builder_begin_array(builder);
    for (guint i = 0; i < node->nics->len; i++) {
        struct topology_nic *nic = node->nics->pdata[i];
        g_autofree char *mac = mac_format(nic->mac);
        g_autofree char *address = nic->has_address ? ipv4_format(nic->address) : NULL;
        json_builder_begin_object(builder);
        put_string(builder, "interface", nic->interface);
        put_string(builder, "mac", mac);
        put_string(builder, "network", nic->network->name);
        put_string(builder, "address", nic->dhcp ? "dhcp" : address);
        g_autofree char *six = nic->has_address6 ? ipv6_format(&nic->address6) : NULL;
        put_string(builder, "address6", six);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
}

/* Firmware and the node's own disk or CD. */
static bool boot_bare(const struct topology_node *node, struct boot *boot)
{
    boot->memory = node->machine.memory ? node->machine.memory : BARE_MEMORY_MIB;
    return true;
}

static bool add_media(const struct topology *topology, const struct topology_node *node,
                      struct media_context *context, struct topology_report *report, struct boot *boot)
{
    const struct media_image image = {.name = node->machine.image,
                                      .kernel = boot->kernel,
                                      .initrd = boot->initrd,
                                      .memory = boot->memory,
                                      .has_disk = boot->disk != NULL,
                                      .has_cdrom = boot->cdrom != NULL,
                                      .has_cloud_init = boot->has_cloud_init};
    if (!wanted_media(topology, node, &image, context, &boot->media, report))
        return false;
    if (boot->media.replaces_cdrom)
        g_clear_pointer(&boot->cdrom, g_free);
    return true;
}

static void put_media(JsonBuilder *builder, const struct media *media)
{
    put_string(builder, "boot", media->order);
    if (media->cloud_init) {
        json_builder_set_member_name(builder, "cloud_init");
        json_builder_add_value(builder, json_node_init_object(json_node_alloc(), media->cloud_init));
    }
    if (!media->list)
        return;
    JsonNode *node = json_node_init_array(json_node_alloc(), media->list);
    json_builder_set_member_name(builder, "media");
    json_builder_add_value(builder, node);
}

static void want_machine(GPtrArray *objects, const struct topology *topology,
                         const struct topology_node *node, struct media_context *context,
                         struct topology_report *report)
{
    const struct topology_machine *machine = &node->machine;
    struct boot boot = {0};
    bool good = machine->is_bare  ? boot_bare(node, &boot)
                : machine->kernel ? boot_from_files(node, report, &boot)
                                  : boot_from_image(node, report, &boot);
    good = good && add_media(topology, node, context, report, &boot);
    g_autofree char *config = guest_config(node, boot.media.list);
    if (strlen(config) > LONGEST_CONFIG) {
        topology_complain(report, node->mark,
                          "the commands and routes of node \"%s\" are longer than %d bytes together; put "
                          "them into an initrd of its own",
                          node->name, LONGEST_CONFIG);
        good = false;
    }
    g_autofree char *files = topology_pack_files(node, report, &good);
    good = good && try_machine(machine, &boot, context->trials, report);
    if (good) {
        bool agent =
            machine->ready == TOPOLOGY_READY_UNSET ? boot.has_agent : machine->ready == TOPOLOGY_READY_AGENT;
        g_autoptr(JsonBuilder) builder = json_builder_new();
        json_builder_begin_object(builder);
        put_string(builder, "image", machine->kernel ? NULL : machine->image);
        put_number(builder, "memory", boot.memory);
        put_string(builder, "cpu", machine->cpu);
        put_string(builder, "kernel", boot.kernel);
        put_string(builder, "initrd", boot.initrd);
        put_string(builder, "disk", boot.disk);
        put_string(builder, "disk_format", boot.disk_format);
        put_string(builder, "cdrom", boot.cdrom);
        put_media(builder, &boot.media);
        put_string(builder, "append", boot.append);
        put_string(builder, "ready", agent ? "agent" : "started");
        put_nics(builder, node);
        put_string(builder, "config", config);
        put_string(builder, "files", files);
        json_builder_end_object(builder);
        g_autofree char *payload = finish(builder);
        g_ptr_array_add(objects, object_new(OBJECT_MACHINE, node->name, payload));
    }
    boot_clear(&boot);
}

static void want_policy(GPtrArray *objects, const struct topology_node *node)
{
    const struct topology_restart_policy *restart = &node->machine.restart;
    if (restart->when != TOPOLOGY_RESTART_ON_FAILURE && restart->when != TOPOLOGY_RESTART_ALWAYS)
        return;
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    put_string(builder, "restart", restart->when == TOPOLOGY_RESTART_ALWAYS ? "always" : "on-failure");
    put_number(builder, "most", restart->most);
    json_builder_end_object(builder);
    g_autofree char *payload = finish(builder);
    g_ptr_array_add(objects, object_new(OBJECT_POLICY, node->name, payload));
}

static void want_hosts(GPtrArray *objects, const struct topology *topology)
{
    g_autofree char *hosts = topology_hosts(topology);
    if (!*hosts)
        return;
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    put_string(builder, "hosts", hosts);
    json_builder_end_object(builder);
    g_autofree char *payload = finish(builder);
    g_ptr_array_add(objects, object_new(OBJECT_HOSTS, "", payload));
}

GPtrArray *wanted_objects(const struct topology *topology, GPtrArray *existing,
                          struct topology_report *report)
{
    GPtrArray *objects = g_ptr_array_new_with_free_func(object_free);
    g_autoptr(GHashTable) trials = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    struct media_context context;
    media_context_init(&context, existing, trials);
    for (guint i = 0; i < topology->networks->len; i++) {
        const struct topology_network *network = topology->networks->pdata[i];
        want_network(objects, network);
        want_addresses(objects, network);
        if (network->uplink == TOPOLOGY_UPLINK_USER)
            want_gateway(objects, network);
        if (network->uplink == TOPOLOGY_UPLINK_NAT)
            want_nat(objects, network);
        if (network->uplink == TOPOLOGY_UPLINK_NIC)
            want_uplink(objects, network);
        if (network->dhcp.is_on)
            want_dhcp(objects, topology, network);
    }
    want_hosts(objects, topology);
    /* Some nodes' TAPs, then their machines: a group of each is one step for the journal, and only the TAPs
     * of one group are open at a time. */
    for (guint from = 0; from < topology->nodes->len; from += NODES_AT_ONCE) {
        guint end = MIN(from + NODES_AT_ONCE, topology->nodes->len);
        for (guint i = from; i < end; i++) {
            const struct topology_node *node = topology->nodes->pdata[i];
            for (guint k = 0; k < node->nics->len; k++)
                want_tap(objects, node, node->nics->pdata[k]);
        }
        for (guint i = from; i < end; i++)
            want_policy(objects, topology->nodes->pdata[i]);
        for (guint i = from; i < end; i++)
            want_lines(objects, topology, topology->nodes->pdata[i]);
        for (guint i = from; i < end; i++)
            want_machine(objects, topology, topology->nodes->pdata[i], &context, report);
    }
    media_context_clear(&context);
    return objects;
}
