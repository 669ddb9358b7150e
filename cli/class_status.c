/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab status --for`: a line for each student.
 */
#include "cli/class.h"

#include <stdio.h>

/* A copy in a word: "up"; "partly" when some of its machines run; "starting"; "down". */
static const char *describe(const struct lab_status *status, guint *running)
{
    *running = 0;
    if (!status || status->is_stale)
        return "down";
    bool starts = !status->is_complete;
    for (guint i = 0; i < status->nodes->len; i++) {
        const struct lab_node_status *node = status->nodes->pdata[i];
        *running += node->state == LAB_NODE_RUNNING;
        starts = starts || node->state == LAB_NODE_STARTING;
    }
    return starts ? "starting" : *running == status->nodes->len ? "up" : *running ? "partly" : "down";
}

static void sum_memory(const struct lab_status *status, guint64 *used, guint64 *given)
{
    *used = *given = 0;
    for (guint i = 0; status && i < status->nodes->len; i++) {
        const struct lab_node_status *node = status->nodes->pdata[i];
        *used += node->pid ? node->resident >> 10 : 0;
        *given += node->memory;
    }
}

static char *describe_age(const struct lab_status *status)
{
    gint64 seconds = status ? status->up_s : -1;
    return seconds < 0      ? g_strdup("-")
           : seconds < 120  ? g_strdup_printf("%d s", (int)seconds)
           : seconds < 7200 ? g_strdup_printf("%d min", (int)(seconds / 60))
                            : g_strdup_printf("%d h", (int)(seconds / 3600));
}

static void add_row(struct cli_table *table, const struct store_member *member,
                    const struct lab_status *status, bool with_lab)
{
    guint running;
    guint64 used, given;
    const char *word = describe(status, &running);
    sum_memory(status, &used, &given);
    g_autofree char *nodes = status ? g_strdup_printf("%u/%u", running, status->nodes->len) : g_strdup("-");
    g_autofree char *memory =
        status ? g_strdup_printf("%u/%u MiB", (unsigned)used, (unsigned)given) : g_strdup("-");
    g_autofree char *age = describe_age(status), *name = cli_printable(*member->name ? member->name : "-");
    const char *cells[] = {
        member->student, name, word, nodes, memory, age, with_lab ? member->lab : NULL, NULL};
    cli_table_add(table, cells);
}

static struct cli_table *make_table(const struct cli_class *class, GPtrArray *statuses, bool with_lab)
{
    const char *header[] = {"STUDENT", "NAME", "STATE", "NODES", "MEMORY", "UP FOR", with_lab ? "LAB" : NULL,
                            NULL};
    struct cli_table *table = cli_table_new(header);
    for (guint i = 0; i < class->members->len; i++)
        add_row(table, class->members->pdata[i], statuses->pdata[i], with_lab);
    return table;
}

static void print_table(const struct cli_class *class, GPtrArray *statuses)
{
    guint up = 0, running;
    guint64 used = 0, given = 0;
    for (guint i = 0; i < statuses->len; i++) {
        guint64 one, most;
        up += g_str_equal(describe(statuses->pdata[i], &running), "up");
        sum_memory(statuses->pdata[i], &one, &most);
        used += one;
        given += most;
    }
    printf("class %s (%s): %u of %u copies up, %u of %u MiB used\n", class->class->lab, class->class->roster,
           up, statuses->len, (unsigned)used, (unsigned)given);
    struct cli_table *table = make_table(class, statuses, true);
    if (cli_table_width(table) > cli_terminal_width()) {
        cli_table_free(table);
        table = make_table(class, statuses, false);
    }
    cli_table_print(table);
}

static void print_json(const struct cli_class *class, GPtrArray *statuses)
{
    JsonObject *root = json_object_new();
    JsonArray *list = json_array_new();
    json_object_set_string_member(root, "class", class->class->lab);
    json_object_set_string_member(root, "file", class->class->file);
    json_object_set_string_member(root, "list", class->class->roster);
    json_object_set_int_member(root, "copy_memory_mib", class->class->memory);
    json_object_set_int_member(root, "copy_cpu_percent", class->class->cpu);
    for (guint i = 0; i < statuses->len; i++) {
        const struct store_member *member = class->members->pdata[i];
        struct lab_status *status = statuses->pdata[i];
        JsonObject *item = json_object_new(), *nodes = json_object_new();
        guint running;
        guint64 used, given;
        const char *word = describe(status, &running);
        sum_memory(status, &used, &given);
        json_object_set_string_member(item, "student", member->student);
        json_object_set_string_member(item, "name", member->name);
        json_object_set_string_member(item, "email", member->email);
        json_object_set_string_member(item, "lab", member->lab);
        json_object_set_string_member(item, "state", word);
        json_object_set_int_member(item, "used_mib", (gint64)used);
        json_object_set_int_member(item, "given_mib", (gint64)given);
        json_object_set_int_member(item, "up_s", status ? status->up_s : -1);
        for (guint k = 0; status && k < status->nodes->len; k++) {
            const struct lab_node_status *node = status->nodes->pdata[k];
            json_object_set_string_member(nodes, node->name, lab_node_state_name(node->state));
        }
        json_object_set_object_member(item, "nodes", nodes);
        json_array_add_object_element(list, item);
    }
    json_object_set_array_member(root, "students", list);
    JsonNode *node = json_node_alloc();
    json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), root);
    cli_print_json(node);
}

static void free_status(void *status)
{
    lab_status_free(status);
}

int cli_class_status(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_class class;
    g_autoptr(GPtrArray) statuses = g_ptr_array_new_with_free_func(free_status);
    bool good = cli_class_find(call, cli_value(call, "students"), &class, &error);
    for (guint i = 0; good && i < class.members->len; i++) {
        const struct store_member *member = class.members->pdata[i];
        g_autoptr(store_lab) lab = store_find_lab(class.store, member->lab, &error);
        struct lab_status *status = lab ? lab_status_read(&class.place, class.store, lab, &error) : NULL;
        good = !error;
        g_ptr_array_add(statuses, status);
    }
    if (good && cli_flag(call, "json"))
        print_json(&class, statuses);
    else if (good)
        print_table(&class, statuses);
    cli_class_clear(&class);
    return good ? CLI_OK : cli_fail(error);
}
