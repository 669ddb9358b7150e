/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * -dump-vmstate: the tables of saved state as JSON, in the layout QEMU's has, so that two of them can be
 * compared field by field: what a newer version has, what an older one had. One entry for each kind of device
 * of this machine, sorted by name. Names are ours and plain; nothing has to be escaped.
 */
#include "emu/machine/machine_internal.h"

#include <string.h>

static unsigned type_size(enum state_type type)
{
    return (unsigned)state_type_size(type);
}

static void describe_table(GString *out, const char *kind, const struct state_table *table, bool last)
{
    g_string_append_printf(out,
                           "    \"%s\": {\n        \"Name\": \"%s\",\n        \"version_id\": %u,\n"
                           "        \"minimum_version_id\": 1,\n        \"Description\": {\n"
                           "            \"name\": \"%s\",\n            \"version_id\": %u,\n"
                           "            \"minimum_version_id\": 1,\n            \"Fields\": [",
                           kind, kind, table->version, table->name, table->version);
    for (size_t i = 0; i < table->count; i++) {
        const struct state_field *f = &table->fields[i];
        g_string_append_printf(
            out,
            "%s\n                {\"field\": \"%s\", \"version_id\": %u, \"field_exists\": "
            "false, \"size\": %u, \"num\": %u}",
            i ? "," : "", f->name, f->since, type_size(f->type), f->count);
    }
    g_string_append_printf(out, "\n            ]\n        }\n    }%s\n", last ? "" : ",");
}

static void collect(struct device *device, void *opaque)
{
    const struct device_class *class = device->class;
    if (class->state)
        g_hash_table_insert(opaque, (void *)class->name, (void *)class->state);
}

void machine_describe_state(struct machine *m, GString *out)
{
    g_autoptr(GHashTable) tables = g_hash_table_new(g_str_hash, g_str_equal);
    machine_foreach_device(m, collect, tables);
    g_hash_table_insert(tables, (void *)"cpu", (void *)&cpu_state_table);
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(tables), (GCompareFunc)strcmp);
    g_string_append(out, "{\n    \"vmschkmachine\": {\n        \"Name\": \"pc\"\n    },\n");
    for (GList *name = names; name; name = name->next)
        describe_table(out, name->data, g_hash_table_lookup(tables, name->data), !name->next);
    g_string_append(out, "}\n");
}
