/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab diff`: the running lab against its file: what `up` would change, and what was changed by hand while
 * it ran (cables, lines, machines that ended). Objects are compared as `up` compares them, by their payloads.
 */
#include "cli/node.h"
#include "netlab/channel.h"
#include "netlab/nic.h"
#include "netlab/objects.h"
#include "netlab/topology_parse.h"
#include "netlab/wanted.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

enum { SHORT = 60 }; /* both values on one line */

struct report {
    JsonArray *out; /* NULL: lines */
    guint count;
};

/* The lines of a text, or the elements of a list: what it consists of. */
static GPtrArray *parts_of(const char *json)
{
    GPtrArray *parts = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(JsonNode) node = json_from_string(json, NULL);
    if (node && JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);
        for (guint i = 0; i < json_array_get_length(array); i++)
            g_ptr_array_add(parts, json_to_string(json_array_get_element(array, i), FALSE));
    } else if (node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING) {
        g_auto(GStrv) lines = g_strsplit(json_node_get_string(node), "\n", -1);
        for (guint i = 0; lines[i]; i++)
            g_ptr_array_add(parts, g_strdup(lines[i]));
    } else {
        g_ptr_array_add(parts, g_strdup(json));
    }
    return parts;
}

/* What is in `json` and not in `other`. */
static void print_parts(char sign, const char *json, const char *other)
{
    g_autoptr(GPtrArray) parts = parts_of(json), others = parts_of(other);
    for (guint i = 0; i < parts->len; i++)
        if (!g_ptr_array_find_with_equal_func(others, parts->pdata[i], g_str_equal, NULL))
            printf("    %c %s\n", sign, (char *)parts->pdata[i]);
}

/* One difference. what: "added", "removed", "changed", "live"; each of the texts may be NULL. */
static void tell(struct report *report, const char *what, const char *kind, const char *key,
                 const char *member, const char *before, const char *after)
{
    report->count++;
    if (report->out) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "difference", what);
        json_object_set_string_member(object, "kind", kind);
        json_object_set_string_member(object, "key", key);
        if (member)
            json_object_set_string_member(object, "member", member);
        if (before)
            json_object_set_string_member(object, "running", before);
        if (after)
            json_object_set_string_member(object, "file", after);
        json_array_add_object_element(report->out, object);
        return;
    }
    char sign = g_str_equal(what, "added")     ? '+'
                : g_str_equal(what, "removed") ? '-'
                : g_str_equal(what, "live")    ? '!'
                                               : '~';
    printf("%c %s%s%s", sign, kind, *key ? " " : "", key);
    if (member)
        printf(": %s", member);
    if (before && after && strlen(before) + strlen(after) > SHORT) {
        printf("\n");
        print_parts('-', before, after);
        print_parts('+', after, before);
        return;
    }
    if (before || after)
        printf(" %s → %s", before ? before : "(none)", after ? after : "(none)");
    printf("\n");
}

static void compare_payloads(struct report *report, const char *kind, const char *key, const char *running,
                             const char *file)
{
    g_autoptr(JsonNode) a = json_from_string(running, NULL), b = json_from_string(file, NULL);
    JsonObject *old = a && JSON_NODE_HOLDS_OBJECT(a) ? json_node_get_object(a) : NULL;
    JsonObject *new = b &&JSON_NODE_HOLDS_OBJECT(b) ? json_node_get_object(b) : NULL;
    guint before = report->count;
    g_autoptr(GList) names = old ? json_object_get_members(old) : NULL;
    g_autoptr(GList) more = new ? json_object_get_members(new) : NULL;
    for (GList *each = names; each; each = each->next) {
        g_autofree char *was = json_to_string(json_object_get_member(old, each->data), FALSE);
        JsonNode *member = new ? json_object_get_member(new, each->data) : NULL;
        g_autofree char *is = member ? json_to_string(member, FALSE) : NULL;
        if (g_strcmp0(was, is) != 0)
            tell(report, "changed", kind, key, each->data, was, is);
    }
    for (GList *each = more; each; each = each->next) {
        if (old && json_object_has_member(old, each->data))
            continue;
        g_autofree char *is = json_to_string(json_object_get_member(new, each->data), FALSE);
        tell(report, "changed", kind, key, each->data, NULL, is);
    }
    if (report->count == before)
        tell(report, "changed", kind, key, NULL, NULL, NULL);
}

/* A stopped node's object holds its machine's payload. */
static bool is_of_interest(const char *kind)
{
    return !g_str_equal(kind, object_kind_name(OBJECT_RUNTIME)) &&
           !g_str_equal(kind, object_kind_name(OBJECT_SUPERVISOR));
}

static const char *kind_shown(const char *kind)
{
    return g_str_equal(kind, object_kind_name(OBJECT_STOPPED)) ? object_kind_name(OBJECT_MACHINE) : kind;
}

static void compare_objects(struct report *report, GPtrArray *wanted, GPtrArray *existing)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < existing->len; i++) {
        struct store_object *object = existing->pdata[i];
        if (is_of_interest(object->kind))
            g_hash_table_insert(seen, g_strdup_printf("%s %s", kind_shown(object->kind), object->key),
                                object);
    }
    for (guint i = 0; i < wanted->len; i++) {
        const struct object *object = wanted->pdata[i];
        const char *kind = object_kind_name(object->kind);
        g_autofree char *name = g_strdup_printf("%s %s", kind, object->key);
        const struct store_object *found = g_hash_table_lookup(seen, name);
        if (!is_of_interest(kind))
            continue;
        if (!found)
            tell(report, "added", kind, object->key, NULL, NULL, NULL);
        else if (!g_str_equal(found->payload, object->payload))
            compare_payloads(report, kind, object->key, found->payload, object->payload);
        g_hash_table_remove(seen, name);
    }
    for (guint i = 0; i < existing->len; i++) {
        const struct store_object *object = existing->pdata[i];
        g_autofree char *name = g_strdup_printf("%s %s", kind_shown(object->kind), object->key);
        /* A stopped node has no TAPs: that is told by its state. */
        if (g_hash_table_remove(seen, name))
            tell(report, "removed", kind_shown(object->kind), object->key, NULL, NULL, NULL);
    }
}

/* ---- by hand ---- */

static char *line_of(const char *payload, guint index)
{
    g_autoptr(JsonNode) root = json_from_string(payload, NULL);
    JsonObject *object = root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
    JsonArray *nics = object && json_object_has_member(object, "nics")
                          ? json_object_get_array_member(object, "nics")
                          : NULL;
    if (!nics || index >= json_array_get_length(nics))
        return g_strdup("off");
    return g_strdup(json_object_get_string_member_with_default(json_array_get_object_element(nics, index),
                                                               "line", "off"));
}

/* The first words of what the machine says of a line, without a seed that nobody gave. */
static char *plain_line(const char *text)
{
    g_autofree char *line = g_strndup(text, strcspn(text, "\n"));
    g_auto(GStrv) words = g_strsplit(line, ",", -1);
    g_autoptr(GString) kept = g_string_new(NULL);
    for (guint i = 0; words[i]; i++)
        if (!g_str_has_prefix(words[i], "seed=") && !g_str_has_prefix(words[i], "limit="))
            g_string_append_printf(kept, "%s%s", kept->len ? "," : "", words[i]);
    return g_strdup(kept->str);
}

static void compare_live(struct report *report, const struct lab_node_status *node, const char *payload)
{
    if (node->state == LAB_NODE_ENDED || node->state == LAB_NODE_STOPPED) {
        tell(report, "live", "node", node->name, lab_node_state_name(node->state), NULL, NULL);
        return;
    }
    g_autoptr(JsonArray) nics = nic_query(node->directory, NULL);
    for (guint i = 0; i < node->nics->len && nics; i++) {
        const struct lab_nic_status *nic = node->nics->pdata[i];
        g_autofree char *name = g_strdup_printf("%s:%s", node->name, nic->interface);
        JsonObject *found = nic_find(nics, i);
        if (found && !channel_flag(found, "link"))
            tell(report, "live", "link", name, NULL, "down", "up");
        g_autofree char *text = nic_impair(node->directory, i, NULL, NULL);
        if (!text || !g_str_has_prefix(text, "out: "))
            continue;
        g_autofree char *wanted = line_of(payload, i), *is = plain_line(text + 5),
                        *plain = plain_line(wanted);
        if (!g_str_equal(is, plain))
            tell(report, "live", "line", name, NULL, is, plain);
    }
}

static int compare(struct cli_call *call, struct cli_node *lab, const struct topology *topology,
                   GError **error)
{
    g_autoptr(GPtrArray) existing = store_list_objects(lab->store, lab->lab->id, error);
    topology_report_auto struct topology_report *complaints =
        topology_report_new(lab->lab->file, topology->source);
    g_autoptr(GPtrArray) wanted = existing ? wanted_objects(topology, existing, complaints) : NULL;
    if (!wanted || !topology_report_ok(complaints, error))
        return -1;
    struct report report = {.out = cli_flag(call, "json") ? json_array_new() : NULL};
    compare_objects(&report, wanted, existing);
    for (guint i = 0; i < lab->status->nodes->len; i++) {
        const struct lab_node_status *node = lab->status->nodes->pdata[i];
        for (guint k = 0; k < existing->len; k++) {
            const struct store_object *object = existing->pdata[k];
            if (g_str_equal(kind_shown(object->kind), object_kind_name(OBJECT_MACHINE)) &&
                g_str_equal(object->key, node->name))
                compare_live(&report, node, object->payload);
        }
    }
    if (report.out) {
        JsonNode *node = json_node_alloc();
        json_node_take_array(json_node_init(node, JSON_NODE_ARRAY), report.out);
        cli_print_json(node);
    } else if (!report.count) {
        printf("lab %s is as %s says\n", lab->status->name, lab->lab->file);
    } else {
        printf("(+ in the file only, - running only, ~ differs: running → file, ! changed while it ran;\n"
               " `netlab up` applies the file)\n");
    }
    return report.count ? CLI_FAILED : CLI_OK;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_node lab;
    int status = -1;
    topology_auto struct topology *topology = NULL;
    if (cli_node_find_path(call, cli_argument(call, 0), &lab, &error) &&
        (topology = topology_load_again(lab.lab->file, lab.lab->source, &error)))
        status = compare(call, &lab, topology, &error);
    if (status < 0)
        status = cli_fail(error);
    cli_node_clear(&lab);
    return status;
}

const struct cli_verb verb_diff = {
    .name = "diff",
    .arguments = "[PATH]",
    .summary = "compare the running lab with its file",
    .description = "Prints what stands in the file and does not run, what runs and does not stand in the "
                   "file, what differs in "
                   "what, and what was changed while it ran: cables pulled, lines made bad, machines that "
                   "ended or were stopped. "
                   "Ends with 0 when there is no difference, with 1 when there is one.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .most = 1,
    .examples = CLI_EXAMPLES({"netlab diff", "what differs; status 1 when something does"}),
    .statuses = "0 the lab is as its file says\n1 there are differences",
    .files = CLI_FILE_TOPOLOGY | CLI_FILE_STORE,
    .run = run,
};
