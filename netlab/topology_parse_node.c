/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Nodes, of the grammar in topology_parse.h: the machine, routes, commands, files, daemons.
 */
#include "netlab/topology_parse_internal.h"

#include <string.h>

static void read_ready(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = topology_scalar(p, value, "\"ready\"");
    if (!text)
        return;
    if (g_str_equal(text, "agent"))
        *FIELD(enum topology_ready, key, target) = TOPOLOGY_READY_AGENT;
    else if (g_str_equal(text, "started"))
        *FIELD(enum topology_ready, key, target) = TOPOLOGY_READY_STARTED;
    else
        topology_complain(p->report, topology_mark_of(value),
                          "\"%s\" is no kind of ready; write \"agent\" or \"started\"", text);
}

/* "always", "on-failure:3". */
static void read_restart(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    static const char *const names[] = {[TOPOLOGY_RESTART_NEVER] = "never",
                                        [TOPOLOGY_RESTART_ON_FAILURE] = "on-failure",
                                        [TOPOLOGY_RESTART_ALWAYS] = "always"};
    const char *text = topology_scalar(p, value, "\"restart\"");
    if (!text)
        return;
    size_t length = strcspn(text, ":");
    guint64 most = TOPOLOGY_RESTARTS_MOST;
    struct topology_restart_policy policy = {.when = TOPOLOGY_RESTART_UNSET};
    for (int i = TOPOLOGY_RESTART_NEVER; i <= TOPOLOGY_RESTART_ALWAYS; i++) {
        if (strlen(names[i]) == length && strncmp(names[i], text, length) == 0)
            policy.when = (enum topology_restart)i;
    }
    bool good =
        policy.when != TOPOLOGY_RESTART_UNSET &&
        (!text[length] || (policy.when != TOPOLOGY_RESTART_NEVER &&
                           g_ascii_string_to_unsigned(text + length + 1, 10, 1, 1000000, &most, NULL)));
    if (!good) {
        topology_complain(
            p->report, topology_mark_of(value),
            "\"%s\" is no restart policy; write \"never\", \"on-failure\" or \"always\", and if "
            "%d restarts in a row are not what you want, how many: \"on-failure:3\"",
            text, TOPOLOGY_RESTARTS_MOST);
        return;
    }
    policy.most = (unsigned)most;
    *FIELD(struct topology_restart_policy, key, target) = policy;
}

static void add_route(struct parser *p, struct topology_node *node, yaml_node_t *to, const char *to_text,
                      yaml_node_t *via, const char *via_text)
{
    struct topology_route route = {.to_mark = topology_mark_of(to), .via_mark = topology_mark_of(via)};
    struct ipv4_prefix gateway;
    if (strchr(via_text, ':')) {
        route.is_six = true;
        if ((!g_str_equal(to_text, "default") &&
             !topology_read_subnet_six_text(p, to, to_text, &route.to6)) ||
            !topology_read_six_text(p, via, via_text, &route.via6))
            return;
        if (route.via6.length != IPV6_NO_LENGTH)
            topology_complain(p->report, topology_mark_of(via),
                              "the gateway \"%s\" must be an address without a prefix length", via_text);
        else
            g_ptr_array_add(node->routes, g_memdup2(&route, sizeof route));
        return;
    }
    if (!g_str_equal(to_text, "default") && !topology_read_subnet_text(p, to, to_text, &route.to))
        return;
    if (!topology_read_prefix_text(p, via, via_text, &gateway))
        return;
    if (gateway.length != IPV4_NO_LENGTH) {
        topology_complain(p->report, topology_mark_of(via),
                          "the gateway \"%s\" must be an address without a prefix length", via_text);
        return;
    }
    route.via = gateway.address;
    g_ptr_array_add(node->routes, g_memdup2(&route, sizeof route));
}

struct route_ends {
    yaml_node_t *to, *via;
};

static void read_route_end(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    *FIELD(yaml_node_t *, key, target) = value;
}

static const struct key route_keys[] = {
    FIELD_ROW("to", read_route_end, offsetof(struct route_ends, to), TOPOLOGY_TYPE_ROUTE_TO,
              "a network, or \"default\"", .example = "to: 10.2.0.0/24, via: 10.1.0.1",
              .mistake = "to: 10.2.0.1/24, via: 10.1.0.1", .guests = OURS, .is_required = true),
    FIELD_ROW("via", read_route_end, offsetof(struct route_ends, via), TOPOLOGY_TYPE_ROUTE_VIA,
              "the gateway's address", .example = "to: default, via: 10.1.0.1",
              .mistake = "to: default, via: 10.9.0.1", .guests = OURS, .is_required = true),
    LATER("metric", "preference among routes", "`run:` can add it with ip route"),
};
const struct mapping topology_mapping_route = {
    .name = "route",
    .what = "a route",
    .keys = route_keys,
    .count = G_N_ELEMENTS(route_keys),
    .title = "Routes",
    .frame = "networks: {lan: {subnet: 10.1.0.0/24}}\nnodes:\n  r1: {networks: {lan: 10.1.0.1}}\n  h1: "
             "{networks: [lan], routes: [{@}]}\n",
};

static void read_route_entry(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value,
                             void *target)
{
    const char *via = topology_scalar(p, value, "a gateway");
    if (via)
        add_route(p, target, key, name, value, via);
}

static void read_routes(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_node *node = target;
    if (topology_is_null(value))
        return;
    if (value->type == YAML_MAPPING_NODE) {
        topology_read_entries(p, value, "\"routes\"", "10.2.0.0/24: 10.1.0.1", read_route_entry, node);
        return;
    }
    if (value->type != YAML_SEQUENCE_NODE) {
        topology_complain(
            p->report, topology_mark_of(value),
            "\"routes\" of node \"%s\" must be a list like [{to: 10.2.0.0/24, via: 10.1.0.1}], this is %s",
            node->name, topology_kind_of(value));
        return;
    }
    for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
         item++) {
        yaml_node_t *entry = yaml_document_get_node(p->document, *item);
        if (entry->type != YAML_MAPPING_NODE) {
            topology_complain(p->report, topology_mark_of(entry),
                              "a route must be a mapping like {to: 10.2.0.0/24, via: 10.1.0.1}, this is %s",
                              topology_kind_of(entry));
            continue;
        }
        struct route_ends ends = {NULL, NULL};
        guint before = p->report->complaints->len;
        topology_read_mapping(p, entry, &topology_mapping_route, "a route", &ends);
        if (!ends.to || !ends.via) {
            if (p->report->complaints->len == before)
                topology_complain(p->report, topology_mark_of(entry),
                                  "the route has no \"%s\"; write {to: 10.2.0.0/24, via: 10.1.0.1}",
                                  ends.to ? "via" : "to");
            continue;
        }
        const char *to = topology_scalar(p, ends.to, "\"to\""),
                   *via = topology_scalar(p, ends.via, "\"via\"");
        if (to && via)
            add_route(p, node, ends.to, to, ends.via, via);
    }
}

static void read_run(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_node *node = target;
    if (topology_is_null(value))
        return;
    if (value->type == YAML_SEQUENCE_NODE) {
        for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
             item++) {
            const char *text =
                topology_scalar(p, yaml_document_get_node(p->document, *item), "a command of \"run\"");
            if (text)
                g_ptr_array_add(node->run, g_strchomp(g_strdup(text)));
        }
        return;
    }
    const char *text = topology_scalar(p, value, "\"run\"");
    if (text)
        g_ptr_array_add(node->run, g_strchomp(g_strdup(text)));
}

/* ---- files ---- */

enum { MOST_FILES_READ = 256 };

static struct topology_file *add_file(struct topology_node *node, const char *path, yaml_node_t *at)
{
    struct topology_file *file = g_new0(struct topology_file, 1);
    file->path = g_strdup(path);
    file->mark = topology_mark_of(at);
    if (node->files->len < MOST_FILES_READ) /* by aliases of aliases */
        g_ptr_array_add(node->files, file);
    else
        g_ptr_array_insert(node->files, (gint)node->files->len - 1, file);
    return file;
}

static void read_file_text(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_file *file = target;
    if (value->type != YAML_SCALAR_NODE ||
        strlen((const char *)value->data.scalar.value) != value->data.scalar.length) {
        topology_complain(p->report, topology_mark_of(value),
                          "\"text\" must be a text; write it as a block (text: |)");
        return;
    }
    g_free(file->text);
    file->text = g_strdup((const char *)value->data.scalar.value);
}

static void read_file_mode(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = topology_scalar(p, value, "\"mode\"");
    char *end = NULL;
    guint64 mode = text ? g_ascii_strtoull(text, &end, 8) : 0;
    if (text && (!g_ascii_isdigit(*text) || *end || mode < 1 || mode > 07777))
        topology_complain(p->report, topology_mark_of(value), "\"%s\" is no file mode; write it like 0755",
                          text);
    else if (text)
        ((struct topology_file *)target)->mode = (unsigned)mode;
}

static const struct key file_keys[] = {
    FIELD_ROW("from", topology_read_string, offsetof(struct topology_file, source), TOPOLOGY_TYPE_PATH,
              "file or folder, relative to the topology file", .example = "from: /etc/hosts",
              .mistake = "from: [a, b]", .guests = OURS),
    ROW("text", read_file_text, TOPOLOGY_TYPE_TEXT, "what is in it, instead of \"from\"",
        .example = "text: \"Welcome to the lab\\n\"", .mistake = "text: [a, b]", .guests = OURS),
    ROW("mode", read_file_mode, TOPOLOGY_TYPE_MODE, "permissions, like 0755",
        .standard = "the file's own; 0644 for a text", .example = "text: \"#!/bin/sh\\ndate\\n\", mode: 0755",
        .mistake = "text: hello, mode: rwx", .guests = OURS),
};
const struct mapping topology_mapping_file = {
    .name = "file",
    .what = "a file",
    .keys = file_keys,
    .count = G_N_ELEMENTS(file_keys),
    .title = "Files",
    .frame = "nodes:\n  h1:\n    files:\n      /etc/motd: {@}\n",
};

static void read_file_entry(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value,
                            void *target)
{
    struct topology_file *file = add_file(target, name, key);
    if (value->type != YAML_MAPPING_NODE) {
        const char *text = topology_scalar(p, value, "a file");
        file->source = g_strdup(text ? text : "/dev/null");
        return;
    }
    guint before = p->report->complaints->len;
    topology_read_mapping(p, value, &topology_mapping_file, "a file", file);
    if (p->report->complaints->len == before && !file->source == !file->text)
        topology_complain(p->report, topology_mark_of(key),
                          "the file %s needs a \"from\" or a \"text\"; give one of them", name);
}

/* A folder, a list of folders, or paths in the guest with what goes there. */
static void read_files(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    if (topology_is_null(value))
        return;
    if (value->type == YAML_MAPPING_NODE) {
        topology_read_entries(p, value, "\"files\"", "/etc/motd: motd.txt", read_file_entry, target);
    } else if (value->type == YAML_SCALAR_NODE) {
        const char *text = topology_scalar(p, value, "\"files\"");
        if (text)
            add_file(target, "/", value)->source = g_strdup(text);
    } else {
        for (yaml_node_item_t *item = value->data.sequence.items.start; item < value->data.sequence.items.top;
             item++) {
            yaml_node_t *entry = yaml_document_get_node(p->document, *item);
            const char *text = topology_scalar(p, entry, "an entry of \"files\"");
            if (text)
                add_file(target, "/", entry)->source = g_strdup(text);
        }
    }
}

/* A daemon's configuration: the name of a file, or the text itself when it has several lines. */
static void read_daemon(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    g_autofree char *what = g_strdup_printf("\"%s\"", key->name);
    const char *text = topology_scalar(p, value, what);
    if (!text)
        return;
    struct topology_file *file =
        add_file(target, g_str_equal(key->name, "frr") ? "/etc/frr/frr.conf" : "/etc/bird/bird.conf", value);
    if (strchr(text, '\n'))
        file->text = g_strdup(text);
    else
        file->source = g_strdup(text);
}

static void read_loopback(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    struct topology_node *node = target;
    const char *text = topology_scalar(p, value, "\"loopback\"");
    if (!text)
        return;
    node->loopback_mark = topology_mark_of(value);
    if (g_str_equal(text, "true") || g_str_equal(text, "auto"))
        node->wants_loopback = true;
    else if (topology_read_prefix_text(p, value, text, &node->loopback))
        node->has_loopback = true;
}

void topology_read_loopbacks(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    const char *text = topology_scalar(p, value, "\"loopbacks\"");
    if (text && topology_read_subnet_text(p, value, text, &p->topology->loopbacks)) {
        p->topology->has_loopbacks = true;
        p->topology->loopbacks_mark = topology_mark_of(value);
    }
}

#define AT(at, field_) ((at) + offsetof(struct topology_machine, field_))
/* The rows that stand in nodes (at .machine) and in defaults alike. */
#define MACHINE_KEYS(at)                                                                                     \
    MARKED_ROW("image", topology_read_string, AT(at, image), AT(at, image_mark), TOPOLOGY_TYPE_TEXT,         \
               "guest image, as `netlab image list` shows them",                                             \
               .standard = "mini, unless there is a kernel", .example = "image: mini",                       \
               .mistake = "image: [mini]"),                                                                  \
        MARKED_ROW("memory", topology_read_memory, AT(at, memory), AT(at, memory_mark),                      \
                   TOPOLOGY_TYPE_MEMORY, "memory, like 64M or 1G", .standard = "what the image says",        \
                   .example = "memory: 96M", .mistake = "memory: lots"),                                     \
        MARKED_ROW("cpu", topology_read_string, AT(at, cpu), AT(at, cpu_mark), TOPOLOGY_TYPE_TEXT,           \
                   "CPU model, as `netlab-emu -cpu help` lists them", .standard = "the emulator's",          \
                   .example = "cpu: pentium3", .mistake = "cpu: {model: pentium3}"),                         \
        MARKED_ROW("kernel", topology_read_string, AT(at, kernel), AT(at, kernel_mark), TOPOLOGY_TYPE_PATH,  \
                   "own kernel (bzImage or multiboot), relative to the topology file",                       \
                   .example = "kernel: vmlinuz", .mistake = "kernel: vmlinuz, image: mini"),                 \
        MARKED_ROW("initrd", topology_read_string, AT(at, initrd), AT(at, initrd_mark), TOPOLOGY_TYPE_PATH,  \
                   "own initial RAM disk, relative to the topology file",                                    \
                   .example = "kernel: vmlinuz, initrd: initrd.cpio", .mistake = "initrd: initrd.cpio"),     \
        FIELD_ROW("append", topology_read_string, AT(at, append), TOPOLOGY_TYPE_TEXT,                        \
                  "kernel command line; added to the image's own", .example = "append: loglevel=7",          \
                  .mistake = "append: [loglevel=7]"),                                                        \
        FIELD_ROW("ready", read_ready, AT(at, ready), TOPOLOGY_TYPE_READY,                                   \
                  "when a machine counts as up: \"agent\" (it says so) or \"started\"",                      \
                  .standard = "what the image says; started with a kernel of one's own",                     \
                  .example = "ready: started", .mistake = "ready: soon"),                                    \
        FIELD_ROW("forwarding", topology_read_flag, AT(at, forwarding), TOPOLOGY_TYPE_FLAG,                  \
                  "true: the guest routes between its NICs", .standard = "false",                            \
                  .example = "forwarding: true", .mistake = "forwarding: maybe", .guests = OURS),            \
        FIELD_ROW("restart", read_restart, AT(at, restart), TOPOLOGY_TYPE_RESTART,                           \
                  "when its machine ends by itself: \"never\", \"on-failure\", \"always\", \"always:3\"",    \
                  .standard = "never; with the others 10 times in a row",                                    \
                  .example = "restart: on-failure:3", .mistake = "restart: sometimes"),                      \
        MARKED_ROW("disk", topology_read_disks, AT(at, disks), AT(at, disks_mark), TOPOLOGY_TYPE_DISKS,      \
                   "disks: a raw or qcow2 file, the size of an empty one (2G), or a list",                   \
                   .standard = "the image's own", .example = "disk: debian.qcow2",                           \
                   .mistake = "disk: {file: debian.qcow2, size: 2G}"),                                       \
        MARKED_ROW("cdrom", topology_read_cdrom, AT(at, cdrom), AT(at, cdrom_mark), TOPOLOGY_TYPE_CDROM,     \
                   "the CD in its drive: an ISO file, or \"empty\"", .standard = "the image's own",          \
                   .example = "cdrom: debian.iso", .mistake = "cdrom: [debian.iso]"),                        \
        MARKED_ROW("boot", topology_read_boot, AT(at, boot), AT(at, boot_mark), TOPOLOGY_TYPE_BOOT,          \
                   "what starts: \"kernel\", \"disk\" or \"cdrom\"",                                         \
                   .standard = "the image's or its own kernel; without one the first disk that can be "      \
                               "started, then the CD",                                                       \
                   .example = "disk: 2G, cdrom: debian.iso, boot: cdrom", .mistake = "boot: floppy"),        \
        FIELD_ROW("cloud_init", topology_read_cloud_init, AT(at, cloud_init), TOPOLOGY_TYPE_CLOUD_INIT,      \
                  "a seed for cloud-init in the guest: true, or a file of user-data",                        \
                  .standard = "true with images imported with --cloud-init, else false",                     \
                  .example = "disk: debian.qcow2, cloud_init: user-data.yml",                                \
                  .mistake = "disk: debian.qcow2, cloud_init: [user-data.yml]",                              \
                  .guests = "guests with cloud-init")

static const struct key node_keys[] = {
    MACHINE_KEYS(offsetof(struct topology_node, machine)),
    ROW("networks", topology_read_node_networks, TOPOLOGY_TYPE_NODE_NETWORKS,
        "networks it has a NIC on: [lan] or {lan: 10.1.0.1/24}", .standard = "no NICs but those of links",
        .example = "networks: {lan: 10.1.0.1/24}", .mistake = "networks: [lann]"),
    ROW("routes", read_routes, TOPOLOGY_TYPE_ROUTES, "static routes: [{to: 10.2.0.0/24, via: 10.1.0.1}]",
        .standard = "with an uplink, the default route by its gateway",
        .example = "networks: [lan], routes: {default: 10.1.0.254}",
        .mistake = "networks: [lan], routes: [default]", .guests = OURS),
    ROW("run", read_run, TOPOLOGY_TYPE_COMMANDS, "shell commands run in the guest once its network is up",
        .example = "run: [httpd -h /srv]", .mistake = "run: {httpd: /srv}", .guests = OURS),
    MARKED_ROW("hostname", topology_read_string, offsetof(struct topology_node, hostname),
               offsetof(struct topology_node, hostname_mark), TOPOLOGY_TYPE_HOST_NAME,
               "otherwise the node's name", .standard = "the node's name", .example = "hostname: h1.example",
               .mistake = "hostname: \"my host\"", .guests = OURS),
    ROW("files", read_files, TOPOLOGY_TYPE_FILES,
        "files copied into the guest: a folder, or {/etc/motd: motd.txt}",
        .standard = "a folder beside the topology that is called like the node",
        .example = "files: {/etc/motd: {text: hello}}", .mistake = "files: {motd: {text: hello}}",
        .guests = OURS),
    ROW("frr", read_daemon, TOPOLOGY_TYPE_TEXT, "FRR's configuration: a file, or the text itself",
        .example = "image: router, frr: \"router ospf\\n network 10.0.0.0/8 area 0\\n\"",
        .mistake = "image: router, frr: {router: ospf}", .guests = "image router"),
    ROW("bird", read_daemon, TOPOLOGY_TYPE_TEXT, "BIRD's configuration: a file, or the text itself",
        .example = "image: router, bird: \"protocol device {}\\nprotocol ospf {}\\n\"",
        .mistake = "image: router, bird: [ospf]", .guests = "image router"),
    ROW("loopback", read_loopback, TOPOLOGY_TYPE_LOOPBACK,
        "an address of the loopback interface; true: one of \"loopbacks\"",
        .standard = "one of `loopbacks` when that is given", .example = "loopback: 10.0.0.1",
        .mistake = "loopback: lo", .guests = OURS),
    LATER("display", "screen", "use `netlab console`"),
};
const struct mapping topology_mapping_node = {
    .name = "node",
    .what = "a node",
    .keys = node_keys,
    .count = G_N_ELEMENTS(node_keys),
    .title = "Nodes",
    .frame =
        "networks: {lan: {subnet: 10.1.0.0/24}}\nnodes:\n  h1: {@}\n  h2: {networks: {lan: 10.1.0.254}}\n",
    .may_be_empty = true,
};

static const struct key defaults_keys[] = {MACHINE_KEYS(0)};
const struct mapping topology_mapping_defaults = {
    .name = "defaults",
    .what = "\"defaults\"",
    .keys = defaults_keys,
    .count = G_N_ELEMENTS(defaults_keys),
    .title = "Defaults",
    .frame = "defaults: {@}\nnodes: {h1: , h2: }\n",
    .may_be_empty = true,
};

static void read_node(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value, void *target)
{
    struct topology_node *node = topology_node_new(name, topology_mark_of(key));
    g_ptr_array_add(p->topology->nodes, node);
    g_autofree char *what = g_strdup_printf("node \"%s\"", name);
    topology_read_mapping(p, value, &topology_mapping_node, what, node);
}

void topology_read_nodes(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    topology_read_entries(p, value, "\"nodes\"", "h1: {networks: [lan]}", read_node, target);
}

void topology_read_defaults(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    topology_read_mapping(p, value, &topology_mapping_defaults, "\"defaults\"", &p->topology->defaults);
}

/* ---- checks ---- */

static void read_count(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    g_autofree char *what = g_strdup_printf("\"%s\"", key->name);
    const char *text = topology_scalar(p, value, what);
    char *end = NULL;
    guint64 number = text ? g_ascii_strtoull(text, &end, 10) : 0;
    if (text && (!g_ascii_isdigit(*text) || *end || number > 1000))
        topology_complain(p->report, topology_mark_of(value), "\"%s\" is no number of %s; give 0 to 1000",
                          text, key->name);
    else if (text)
        *FIELD(unsigned, key, target) = (unsigned)number;
}

#define TEST_ROW(name_, kind, type_, help_, ...)                                                             \
    MARKED_ROW(name_, topology_read_string, offsetof(struct topology_test, what) + sizeof(char *) * (kind),  \
               offsetof(struct topology_test, what_mark) + sizeof(struct topology_mark) * (kind), type_,     \
               help_, __VA_ARGS__)

static const struct key test_keys[] = {
    MARKED_ROW("node", topology_read_string, offsetof(struct topology_test, node),
               offsetof(struct topology_test, node_mark), TOPOLOGY_TYPE_NODE_NAME, "the node to look in",
               .example = "node: h1, ping: h2", .mistake = "ping: h2", .is_required = true, .guests = AGENT),
    TEST_ROW("run", TOPOLOGY_TEST_RUN, TOPOLOGY_TYPE_TEXT, "shell command",
             .example = "node: h1, run: test -f /srv/done", .mistake = "node: h1, run: true, ping: h2"),
    TEST_ROW("ping", TOPOLOGY_TEST_PING, TOPOLOGY_TYPE_TEXT, "a node or address that answers",
             .example = "node: h1, ping: h2", .mistake = "node: h1, ping: h2 and h3"),
    TEST_ROW("address", TOPOLOGY_TEST_ADDRESS, TOPOLOGY_TYPE_TEXT,
             "an address that the node has, like 10.1.0.1/24", .example = "node: h1, address: 10.1.0.1/24",
             .mistake = "node: h1, address: \"\""),
    TEST_ROW("route", TOPOLOGY_TEST_ROUTE, TOPOLOGY_TYPE_TEXT,
             "a network that the node has a route to, or \"default\"", .example = "node: h1, route: default",
             .mistake = "node: h1, route: to h2"),
    TEST_ROW("ospf", TOPOLOGY_TEST_OSPF, TOPOLOGY_TYPE_TEXT,
             "a node, router id or address: FRR's adjacency with it is full", .example = "node: h1, ospf: h2",
             .mistake = "node: h1, ospf: [h2]", .guests = "image router, running FRR"),
    TEST_ROW("bgp", TOPOLOGY_TEST_BGP, TOPOLOGY_TYPE_TEXT,
             "a node or address: FRR's session with it is established", .example = "node: h1, bgp: h2",
             .mistake = "node: h1, bgp: [h2]", .guests = "image router, running FRR"),
    TEST_ROW("isis", TOPOLOGY_TEST_ISIS, TOPOLOGY_TYPE_TEXT, "a node: FRR's adjacency with it is up",
             .example = "node: h1, isis: h2", .mistake = "node: h1, isis: [h2]",
             .guests = "image router, running FRR"),
    TEST_ROW("service", TOPOLOGY_TEST_SERVICE, TOPOLOGY_TYPE_TEXT,
             "host:port that takes a connection, or a URL that answers",
             .example = "node: h1, service: \"h2:80\"", .mistake = "node: h1, service: h2"),
    TEST_ROW("file", TOPOLOGY_TEST_FILE, TOPOLOGY_TYPE_GUEST_PATH,
             "a file that is there; its contents are what \"expect\" and others look at",
             .example = "node: h1, file: /etc/motd, expect: Welcome", .mistake = "node: h1, file: motd"),
    MARKED_ROW("via", topology_read_string, offsetof(struct topology_test, via),
               offsetof(struct topology_test, via_mark), TOPOLOGY_TYPE_TEXT, "with route: the gateway",
               .example = "node: h1, route: default, via: 10.1.0.254",
               .mistake = "node: h1, ping: h2, via: 10.1.0.254"),
    FIELD_ROW("interface", topology_read_string, offsetof(struct topology_test, interface),
              TOPOLOGY_TYPE_INTERFACE_NAME, "with address and route: the interface",
              .example = "node: h1, address: 10.1.0.1, interface: eth0",
              .mistake = "node: h1, address: 10.1.0.1, interface: [eth0]"),
    FIELD_ROW("expect", topology_read_string, offsetof(struct topology_test, expect), TOPOLOGY_TYPE_VALUE,
              "text that must occur in what it prints; its exit status must be 0 in any case",
              .example = "node: h1, run: uname -s, expect: Linux",
              .mistake = "node: h1, run: uname -s, expect: [Linux]"),
    MARKED_ROW("match", topology_read_string, offsetof(struct topology_test, match),
               offsetof(struct topology_test, match_mark), TOPOLOGY_TYPE_TEXT,
               "regular expression that must match what it prints",
               .example = "node: h1, run: uname -m, match: \"^i[56]86$\"",
               .mistake = "node: h1, run: uname -m, match: \"i[56\""),
    MARKED_ROW("json", topology_read_string, offsetof(struct topology_test, json),
               offsetof(struct topology_test, json_mark), TOPOLOGY_TYPE_TEXT,
               "JSONPath that must find something in what it prints, like $.neighbors",
               .example = "node: h1, run: vtysh -c 'show ip ospf json', json: \"$.routerId\"",
               .mistake = "node: h1, run: date, json: \"$[\""),
    FIELD_ROW("equals", topology_read_string, offsetof(struct topology_test, equals), TOPOLOGY_TYPE_VALUE,
              "with json: what it must find",
              .example =
                  "node: h1, run: vtysh -c 'show ip ospf json', json: \"$.routerId\", equals: 10.0.0.1",
              .mistake = "node: h1, run: date, equals: 10.0.0.1"),
    FIELD_ROW("fails", topology_read_flag, offsetof(struct topology_test, fails), TOPOLOGY_TYPE_FLAG,
              "true: it must not succeed", .standard = "false", .example = "node: h1, ping: h2, fails: true",
              .mistake = "node: h1, ping: h2, fails: perhaps"),
    FIELD_ROW("hint", topology_read_string, offsetof(struct topology_test, hint), TOPOLOGY_TYPE_TEXT,
              "what a person is told when it fails",
              .example = "node: h1, ping: h2, hint: is the cable plugged in",
              .mistake = "node: h1, ping: h2, hint: [a, b]"),
    FIELD_ROW("points", read_count, offsetof(struct topology_test, points), TOPOLOGY_TYPE_COUNT,
              "weight in grading; 1 unless said", .standard = "1", .example = "node: h1, ping: h2, points: 5",
              .mistake = "node: h1, ping: h2, points: 5000"),
    FIELD_ROW("stage", read_count, offsetof(struct topology_test, stage), TOPOLOGY_TYPE_COUNT,
              "checks of stage 2 are looked at once all of stage 1 pass", .standard = "0",
              .example = "node: h1, ping: h2, stage: 2", .mistake = "node: h1, ping: h2, stage: last"),
    FIELD_ROW("optional", topology_read_flag, offsetof(struct topology_test, optional), TOPOLOGY_TYPE_FLAG,
              "true: a failure is a warning", .standard = "false",
              .example = "node: h1, ping: h2, optional: true", .mistake = "node: h1, ping: h2, optional: 2"),
    FIELD_ROW("within", topology_read_seconds, offsetof(struct topology_test, within), TOPOLOGY_TYPE_TIME,
              "how long to keep trying, like 30s; 0: it is asked once", .standard = "10s",
              .example = "node: h1, ping: h2, within: 30s", .mistake = "node: h1, ping: h2, within: a while"),
};
const struct mapping topology_mapping_check = {
    .name = "check",
    .what = "a check",
    .keys = test_keys,
    .count = G_N_ELEMENTS(test_keys),
    .title = "Checks",
    .frame = "nodes: {h1: , h2: }\nlinks: [h1 - h2]\nchecks:\n  reachable: {@}\n",
    .condition =
        "\"anyOf\": [{\"required\": [\"run\"]}, {\"required\": [\"ping\"]}, {\"required\": [\"address\"]}, "
        "{\"required\": [\"route\"]}, {\"required\": [\"ospf\"]}, {\"required\": [\"bgp\"]}, {\"required\": "
        "[\"isis\"]}, {\"required\": [\"service\"]}, {\"required\": [\"file\"]}]",
};

static void read_test(struct parser *p, const char *name, yaml_node_t *key, yaml_node_t *value, void *target)
{
    struct topology_test *test = g_new0(struct topology_test, 1);
    test->name = g_strdup(name);
    test->mark = topology_mark_of(key);
    test->within = 10;
    test->points = 1;
    g_ptr_array_add(p->topology->tests, test);
    g_autofree char *what = g_strdup_printf("check \"%s\"", name);
    guint before = p->report->complaints->len;
    topology_read_mapping(p, value, &topology_mapping_check, what, test);
    if (p->report->complaints->len == before && !test->node)
        topology_complain(p->report, topology_mark_of(key),
                          "check \"%s\" has no \"node\"; write {node: h1, ping: h2}", name);
}

void topology_read_checks(struct parser *p, yaml_node_t *value, const struct key *key, void *target)
{
    topology_read_entries(p, value, "\"checks\"", "reachable: {node: h1, run: ping -c1 10.1.0.2}", read_test,
                          target);
}
