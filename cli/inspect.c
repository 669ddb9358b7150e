/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab inspect`: all that is known of a lab or of a node. Gathered as JSON, which is also what is printed
 * as lines and tables, so that the two cannot differ.
 */
#include "cli/media.h"
#include "cli/node.h"
#include "netlab/agent.h"
#include "netlab/nic.h"
#include "netlab/objects.h"
#include "netlab/paths.h"
#include "netlab/process.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { AGENT_MS = 2000, COMMAND_MOST = 65536 };

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

static void set(JsonObject *object, const char *name, const char *value)
{
    if (value && *value)
        json_object_set_string_member(object, name, value);
}

/* ---- gathering ---- */

static void add_path(JsonObject *object, const char *name, const char *directory, const char *file)
{
    g_autofree char *path = g_build_filename(directory, file, NULL);
    if (access(path, F_OK) == 0)
        json_object_set_string_member(object, name, path);
}

/* The machine's command line, as it was started. */
static void add_command(JsonObject *object, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", pid), *data = NULL;
    gsize length = 0;
    if (!pid || !g_file_get_contents(path, &data, &length, NULL) || length > COMMAND_MOST)
        return;
    JsonArray *words = json_array_new();
    for (gsize at = 0; at < length; at += strlen(data + at) + 1) {
        g_autofree char *word = g_utf8_make_valid(data + at, -1);
        json_array_add_string_element(words, word);
    }
    json_object_set_array_member(object, "command", words);
}

/* What the guest's agent says of its interfaces: the addresses of one, by its MAC. */
static JsonArray *guest_addresses(JsonArray *interfaces, const char *mac)
{
    JsonArray *found = json_array_new();
    for (guint i = 0; interfaces && i < json_array_get_length(interfaces); i++) {
        JsonNode *node = json_array_get_element(interfaces, i);
        JsonObject *object = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        JsonNode *list = object ? json_object_get_member(object, "ip-addresses") : NULL;
        if (!list || !JSON_NODE_HOLDS_ARRAY(list) ||
            g_ascii_strcasecmp(channel_string(object, "hardware-address", ""), mac) != 0)
            continue;
        JsonArray *addresses = json_node_get_array(list);
        for (guint k = 0; k < MIN(json_array_get_length(addresses), 64); k++) {
            JsonNode *item = json_array_get_element(addresses, k);
            JsonObject *address = JSON_NODE_HOLDS_OBJECT(item) ? json_node_get_object(item) : NULL;
            const char *text = channel_string(address, "ip-address", NULL);
            g_autofree char *whole =
                text ? g_strdup_printf("%.64s/%d", text, (int)channel_number(address, "prefix", 0)) : NULL;
            if (whole && strspn(whole, "0123456789abcdefABCDEF:./") == strlen(whole))
                json_array_add_string_element(found, whole);
        }
    }
    return found;
}

static JsonArray *ask_guest(const struct lab_node_status *node)
{
    struct agent agent;
    if (!agent_open(&agent, node->directory, AGENT_MS, -1, NULL))
        return NULL;
    g_autoptr(JsonNode) answer = agent_call(&agent, "guest-network-get-interfaces", NULL, AGENT_MS, NULL);
    agent_close(&agent);
    return answer && JSON_NODE_HOLDS_ARRAY(answer) ? json_array_ref(json_node_get_array(answer)) : NULL;
}

static JsonObject *nic_json(const struct lab_node_status *node, guint index, JsonArray *machine,
                            JsonArray *guest)
{
    static const char *const counters[][2] = {{"tx-frames", "sent_frames"},
                                              {"tx-bytes", "sent_bytes"},
                                              {"rx-frames", "received_frames"},
                                              {"rx-bytes", "received_bytes"}};
    const struct lab_nic_status *nic = node->nics->pdata[index];
    JsonObject *object = json_object_new(), *found = nic_find(machine, index);
    set(object, "interface", nic->interface);
    set(object, "mac", nic->mac);
    set(object, "network", nic->network);
    set(object, "address", nic->address);
    set(object, "address6", nic->address6);
    if (guest)
        json_object_set_array_member(object, "guest_addresses",
                                     guest_addresses(guest, nic->mac ? nic->mac : ""));
    if (!found)
        return object;
    json_object_set_boolean_member(object, "link", channel_flag(found, "link"));
    set(object, "tap", channel_string(found, "ifname", NULL));
    g_autofree char *line = nic_impair(node->directory, index, NULL, NULL);
    if (line && g_str_has_prefix(line, "out: ")) {
        g_autofree char *words = g_strndup(line + 5, strcspn(line + 5, "\n"));
        set(object, "line", g_str_equal(words, "off") ? "good" : words);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(counters); i++)
        json_object_set_int_member(object, counters[i][1], channel_number(found, counters[i][0], 0));
    if (json_object_has_member(found, "drops"))
        json_object_set_member(object, "drops", json_node_copy(json_object_get_member(found, "drops")));
    return object;
}

static JsonObject *node_json(const struct lab_node_status *node, bool deep)
{
    JsonObject *object = json_object_new();
    bool runs = node->state == LAB_NODE_RUNNING || node->state == LAB_NODE_STARTING;
    json_object_set_string_member(object, "name", node->name);
    json_object_set_string_member(object, "state", lab_node_state_name(node->state));
    set(object, "note", node->note);
    set(object, "image", node->image);
    json_object_set_string_member(object, "restart", node->restart ? node->restart : "never");
    json_object_set_int_member(object, "memory_mib", node->memory);
    if (runs) {
        json_object_set_int_member(object, "resident_kib", (gint64)node->resident);
        json_object_set_int_member(object, "pid", node->pid);
        json_object_set_int_member(object, "cpu_ms", (gint64)process_cpu_ms(node->pid));
        json_object_set_int_member(object, "network_namespace", (gint64)process_netns(node->pid));
    }
    json_object_set_string_member(object, "directory", node->directory);
    add_path(object, "console", node->directory, "console.sock");
    add_path(object, "agent", node->directory, "agent.sock");
    add_path(object, "qmp", node->directory, "qmp.sock");
    add_path(object, "console_log", node->directory, "console.log");
    add_path(object, "machine_log", node->directory, "machine.log");
    if (deep)
        add_command(object, runs ? node->pid : 0);
    g_autoptr(JsonArray) machine = runs ? nic_query(node->directory, NULL) : NULL;
    g_autoptr(JsonArray) guest = runs && deep ? ask_guest(node) : NULL;
    if (runs && deep)
        json_object_set_boolean_member(object, "agent_answers", guest != NULL);
    JsonArray *nics = json_array_new();
    for (guint i = 0; i < node->nics->len; i++)
        json_array_add_object_element(nics, nic_json(node, i, machine, guest));
    json_object_set_array_member(object, "nics", nics);
    json_object_set_array_member(object, "media", cli_media_json(node));
    return object;
}

static JsonObject *lab_json(const struct cli_node *lab, GError **error)
{
    const struct lab_status *status = lab->status;
    g_autoptr(GPtrArray) objects = store_list_objects(lab->store, lab->lab->id, error);
    if (!objects)
        return NULL;
    JsonObject *object = json_object_new();
    JsonArray *nodes = json_array_new(), *list = json_array_new();
    json_object_set_string_member(object, "lab", status->name);
    json_object_set_string_member(object, "file", status->file);
    json_object_set_string_member(object, "directory", status->directory);
    json_object_set_boolean_member(object, "rootless", status->is_rootless);
    json_object_set_boolean_member(object, "own_namespace", status->is_own_namespace);
    json_object_set_boolean_member(object, "supervised", status->is_supervised);
    json_object_set_int_member(object, "up_s", status->up_s);
    if (status->is_supervised) {
        json_object_set_int_member(object, "supervisor", status->supervisor);
        json_object_set_int_member(object, "network_namespace", (gint64)process_netns(status->supervisor));
        g_autofree char *enter = g_strdup_printf("nsenter -t %d%s -n", status->supervisor,
                                                 status->is_rootless ? " -U --preserve-credentials" : "");
        json_object_set_string_member(object, "enter", enter);
    }
    for (guint i = 0; i < status->nodes->len; i++)
        json_array_add_object_element(nodes, node_json(status->nodes->pdata[i], false));
    for (guint i = 0; i < objects->len; i++) {
        static const char *const states[] = {"making", "present", "removing"};
        const struct store_object *each = objects->pdata[i];
        JsonObject *item = json_object_new();
        json_object_set_string_member(item, "kind", each->kind);
        json_object_set_string_member(item, "key", each->key);
        json_object_set_string_member(item, "state", states[each->state]);
        set(item, "identity", each->identity);
        json_array_add_object_element(list, item);
    }
    json_object_set_array_member(object, "nodes", nodes);
    json_object_set_array_member(object, "objects", list);
    return object;
}

/* ---- as text ---- */

static const char *text_of(JsonObject *object, const char *name)
{
    return channel_string(object, name, "-");
}

static char *value_text(JsonNode *node)
{
    if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING)
        return cli_printable(json_node_get_string(node));
    return json_to_string(node, FALSE);
}

static void print_nic(JsonObject *nic)
{
    printf("\n%s  %s  on %s\n", text_of(nic, "interface"), text_of(nic, "mac"), text_of(nic, "network"));
    g_autoptr(GString) guest = g_string_new(NULL);
    JsonArray *addresses = json_object_has_member(nic, "guest_addresses")
                               ? json_object_get_array_member(nic, "guest_addresses")
                               : NULL;
    for (guint i = 0; addresses && i < json_array_get_length(addresses); i++)
        g_string_append_printf(guest, "%s%s", i ? ", " : "", json_array_get_string_element(addresses, i));
    printf("  %-12s %s%s%s\n", "address", text_of(nic, "address"),
           json_object_has_member(nic, "address6") ? ", " : "", channel_string(nic, "address6", ""));
    if (addresses)
        printf("  %-12s %s\n", "in the guest", guest->len ? guest->str : "none");
    if (!json_object_has_member(nic, "link"))
        return;
    g_autofree char *line = cli_printable(text_of(nic, "line")), *tap = cli_printable(text_of(nic, "tap"));
    printf("  %-12s %s, line %s, TAP %s\n", "link", channel_flag(nic, "link") ? "up" : "DOWN", line, tap);
    for (int i = 0; i < 2; i++) {
        const char *way = i ? "received" : "sent";
        g_autofree char *frames = g_strconcat(way, "_frames", NULL),
                        *bytes = g_strconcat(way, "_bytes", NULL);
        g_autofree char *size = g_format_size((guint64)channel_number(nic, bytes, 0));
        printf("  %-12s %" G_GINT64_FORMAT " frames, %s\n", way, channel_number(nic, frames, 0), size);
    }
    JsonArray *drops =
        json_object_has_member(nic, "drops") ? json_object_get_array_member(nic, "drops") : NULL;
    for (guint i = 0; drops && i < json_array_get_length(drops); i++) {
        JsonObject *drop = json_array_get_object_element(drops, i);
        g_autofree char *end = cli_printable(text_of(drop, "end")),
                        *reason = cli_printable(text_of(drop, "reason"));
        printf("  %-12s %" G_GINT64_FORMAT " at %s: %s\n", i ? "" : "dropped",
               channel_number(drop, "frames", 0), end, reason);
    }
}

static void print_node(JsonObject *object)
{
    g_autoptr(GList) names = json_object_get_members(object);
    for (GList *each = names; each; each = each->next) {
        JsonNode *member = json_object_get_member(object, each->data);
        if (g_str_equal(each->data, "nics") || g_str_equal(each->data, "media"))
            continue;
        if (g_str_equal(each->data, "command")) {
            JsonArray *words = json_node_get_array(member);
            g_autoptr(GString) line = g_string_new(NULL);
            for (guint i = 0; i < json_array_get_length(words); i++) {
                const char *word = json_array_get_string_element(words, i);
                g_autofree char *quoted = strpbrk(word, " '\"$\\") ? g_shell_quote(word) : g_strdup(word);
                g_string_append_printf(line, "%s%s", i ? " " : "", quoted);
            }
            g_autofree char *plain = cli_printable(line->str);
            printf("%-18s %s\n", "command", plain);
            continue;
        }
        g_autofree char *text = value_text(member), *label = g_strdup(each->data);
        printf("%-18s %s\n", g_strdelimit(label, "_", ' '), text);
    }
    JsonArray *media = json_object_get_array_member(object, "media");
    for (guint i = 0; i < json_array_get_length(media); i++) {
        JsonObject *medium = json_array_get_object_element(media, i);
        g_autofree char *text = cli_medium_text(medium);
        printf("%-18s %s\n", text_of(medium, "drive"), text);
    }
    JsonArray *nics = json_object_get_array_member(object, "nics");
    for (guint i = 0; i < json_array_get_length(nics); i++)
        print_nic(json_array_get_object_element(nics, i));
}

static void print_lab(JsonObject *object)
{
    static const char *const node_header[] = {"NODE", "STATE",   "PID",     "NIC",
                                              "LINK", "ADDRESS", "NETWORK", NULL};
    static const char *const object_header[] = {"OBJECT", "KEY", "STATE", "IDENTITY", NULL};
    g_autoptr(GList) names = json_object_get_members(object);
    for (GList *each = names; each; each = each->next) {
        JsonNode *member = json_object_get_member(object, each->data);
        if (JSON_NODE_HOLDS_ARRAY(member))
            continue;
        g_autofree char *text = value_text(member), *label = g_strdup(each->data);
        printf("%-18s %s\n", g_strdelimit(label, "_", ' '), text);
    }
    struct cli_table *table = cli_table_new(node_header);
    JsonArray *nodes = json_object_get_array_member(object, "nodes");
    for (guint i = 0; i < json_array_get_length(nodes); i++) {
        JsonObject *node = json_array_get_object_element(nodes, i);
        JsonArray *nics = json_object_get_array_member(node, "nics");
        g_autofree char *pid = g_strdup_printf("%d", (int)channel_number(node, "pid", 0));
        for (guint k = 0; k < MAX(json_array_get_length(nics), 1); k++) {
            JsonObject *nic = k < json_array_get_length(nics) ? json_array_get_object_element(nics, k) : NULL;
            const char *link = !nic || !json_object_has_member(nic, "link") ? "-"
                               : channel_flag(nic, "link")                  ? "up"
                                                                            : "DOWN";
            const char *cells[] = {k ? "" : text_of(node, "name"),
                                   k ? "" : text_of(node, "state"),
                                   k                       ? ""
                                   : g_str_equal(pid, "0") ? "-"
                                                           : pid,
                                   nic ? text_of(nic, "interface") : "-",
                                   link,
                                   nic ? text_of(nic, "address") : "-",
                                   nic ? text_of(nic, "network") : "-",
                                   NULL};
            cli_table_add(table, cells);
        }
    }
    printf("\n");
    cli_table_print(table);
    table = cli_table_new(object_header);
    JsonArray *objects = json_object_get_array_member(object, "objects");
    for (guint i = 0; i < json_array_get_length(objects); i++) {
        JsonObject *item = json_array_get_object_element(objects, i);
        const char *cells[] = {text_of(item, "kind"), text_of(item, "key"), text_of(item, "state"),
                               text_of(item, "identity"), NULL};
        cli_table_add(table, cells);
    }
    printf("\n");
    cli_table_print(table);
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_node node;
    const char *name = cli_argument(call, 0);
    JsonObject *object = NULL;
    bool found = name ? cli_node_find(call, name, &node, &error) : cli_node_find_lab(call, &node, &error);
    if (found)
        object = name ? node_json(node.node, true) : lab_json(&node, &error);
    int status = object ? CLI_OK : cli_fail(error);
    if (object && cli_flag(call, "json")) {
        JsonNode *root = json_node_alloc();
        json_node_take_object(json_node_init(root, JSON_NODE_OBJECT), object);
        cli_print_json(root);
    } else if (object) {
        if (name)
            print_node(object);
        else
            print_lab(object);
        json_object_unref(object);
    }
    cli_node_clear(&node);
    return status;
}

const struct cli_verb verb_inspect = {
    .name = "inspect",
    .arguments = "[NODE]",
    .summary = "print all that is known of a node, or of a lab",
    .description = "Of a node: state, image, memory, process and its command line, sockets, logs, disks "
                   "and CDs, and each NIC with its MAC, "
                   "address (also as the guest has it now), network, link, line, counters and why frames "
                   "were dropped. Without a "
                   "node: the lab, how to enter its network namespace, its nodes, and every object that "
                   "stands in the journal.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = 1,
    .examples = CLI_EXAMPLES({"netlab inspect r1", "one node, with counters and addresses"},
                             {"netlab inspect", "the lab and its objects"}),
    .run = run,
};
