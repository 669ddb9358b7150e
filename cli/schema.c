/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab schema`: the keys of topology files, from the parser's own tables: as a list, as the page
 * docs/topology-reference.md, and as JSON Schema (netlab/topology_schema.json) for editors. What a mistake
 * gives is what the parser says of it just now.
 */
#include "cli/cli.h"
#include "netlab/topology_parse.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    {"markdown", 'm', NULL, "print the reference: every key with type, default, example and mistake"},
    {"json", 'j', NULL, "print a JSON Schema for editors"},
    CLI_HELP_OPTION,
};

/* ---- text ---- */

void cli_print_grammar(void)
{
    struct topology_mapping_info mapping;
    for (size_t i = 0; topology_grammar(i, &mapping); i++) {
        printf("%s%s:\n", i ? "\n" : "", mapping.name);
        for (size_t k = 0; k < mapping.count; k++) {
            g_autofree char *help = g_strdup_printf(
                "%s%s", mapping.keys[k].help, mapping.keys[k].later ? " (not yet in this version)" : "");
            printf("  %-12s ", mapping.keys[k].name);
            cli_print_hanging(help, 15);
        }
        g_free((void *)mapping.keys);
    }
}

/* ---- Markdown ---- */

static char *capitalised(const char *text)
{
    char *copy = g_strdup(text);
    *copy = g_ascii_toupper(*copy);
    return copy;
}

static void print_key(const struct topology_mapping_info *mapping, const struct topology_key_info *key)
{
    g_autofree char *help = capitalised(key->help);
    printf("\n### %s: `%s`\n\n%s.\n\n", mapping->title, key->name, help);
    if (key->later) {
        printf("Not yet in this version: %s.\n", key->instead);
        return;
    }
    printf("* value: %s%s\n", topology_type_info(key->type)->text, key->is_required ? "; **required**" : "");
    if (!key->is_required)
        printf("* unless said: %s\n", key->standard ? key->standard : "nothing");
    if (key->guests)
        printf("* works with: %s\n", key->guests);
    g_autofree char *whole = NULL;
    g_free(topology_grammar_try(mapping, key->example, &whole));
    /* A file of checks and one that names files are no topologies that stand alone. */
    bool stands_alone = !g_str_equal(mapping->name, "checks") && !strstr(key->example, "vmlinuz");
    printf("\n```%s\n%s%s```\n", stands_alone ? "yaml" : "yml", whole,
           g_str_has_suffix(whole, "\n") ? "" : "\n");
    g_autofree char *told = topology_grammar_try(mapping, key->mistake, NULL);
    g_autofree char *mistake = g_strdup(key->mistake);
    mistake[strcspn(mistake, "\n")] = '\0';
    printf("\nA mistake, `%s`:\n\n```\n%s\n```\n", mistake, told ? told : "");
}

static void print_markdown(void)
{
    printf("# Topology reference\n\nEvery key of a topology file: what it may be, what holds without it, an "
           "example that "
           "passes, and what is said to a mistake.\n[topology.md](topology.md) is the page to learn from. "
           "Printed by "
           "`netlab schema --markdown` from the parser's own tables; a test\nholds this page against them. "
           "For editors "
           "there is `netlab schema --json` ([below](#editors)).\n\n");
    struct topology_mapping_info mapping;
    for (size_t i = 0; topology_grammar(i, &mapping); i++) {
        printf("* %s: ", mapping.title);
        for (size_t k = 0; k < mapping.count; k++)
            printf("%s`%s`", k ? ", " : "", mapping.keys[k].name);
        printf("\n");
        g_free((void *)mapping.keys);
    }
    for (size_t i = 0; topology_grammar(i, &mapping); i++) {
        printf("\n## %s\n", mapping.title);
        for (size_t k = 0; k < mapping.count; k++)
            print_key(&mapping, &mapping.keys[k]);
        g_free((void *)mapping.keys);
    }
    printf(
        "\n## Editors\n\n`netlab schema --json > topology_schema.json` writes a JSON Schema (2020-12). With "
        "yaml-language-server (VS Code, Neovim, Emacs, Kate)\nthis line at the top of a topology gives "
        "completion, "
        "help and red underlines:\n\n```\n# yaml-language-server: $schema=topology_schema.json\n```\n\nThe "
        "schema "
        "knows kinds and ranges. What goes together (addresses within subnets, names that exist) says "
        "`netlab up "
        "--dry-run`.\n");
}

/* ---- JSON Schema ---- */

static JsonNode *parsed(const char *text)
{
    g_autoptr(GError) error = NULL;
    JsonNode *node = json_from_string(text, &error);
    if (!node)
        g_error("the schema of a type is no JSON: %s: %s", error->message, text); /* a mistake in our table */
    return node;
}

static JsonNode *key_schema(const struct topology_key_info *key)
{
    g_autofree char *reference = g_strdup_printf("#/$defs/%s", topology_type_info(key->type)->name);
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "$ref", reference);
    g_autofree char *text =
        g_strdup_printf("%s (%s)%s%s", key->help, topology_type_info(key->type)->text,
                        key->standard ? "; unless said: " : "", key->standard ? key->standard : "");
    json_object_set_string_member(object, "description", text);
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return node;
}

static JsonNode *mapping_schema(const struct topology_mapping_info *mapping)
{
    g_autoptr(JsonNode) condition = NULL;
    JsonObject *object = json_object_new(), *properties = json_object_new();
    g_autofree char *more = mapping->condition ? g_strdup_printf("{%s}", mapping->condition) : g_strdup("{}");
    JsonArray *required = json_array_new();
    json_object_set_member(object, "type",
                           parsed(mapping->may_be_empty ? "[\"object\", \"null\"]" : "\"object\""));
    json_object_set_boolean_member(object, "additionalProperties", FALSE);
    for (size_t k = 0; k < mapping->count; k++) {
        if (mapping->keys[k].later)
            continue;
        json_object_set_member(properties, mapping->keys[k].name, key_schema(&mapping->keys[k]));
        if (mapping->keys[k].is_required)
            json_array_add_string_element(required, mapping->keys[k].name);
    }
    json_object_set_object_member(object, "properties", properties);
    if (json_array_get_length(required))
        json_object_set_array_member(object, "required", required);
    else
        json_array_unref(required);
    condition = parsed(more);
    JsonObjectIter iter;
    const char *name;
    JsonNode *value;
    json_object_iter_init(&iter, json_node_get_object(condition));
    while (json_object_iter_next(&iter, &name, &value))
        json_object_set_member(object, name, json_node_copy(value));
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return node;
}

static void print_schema(void)
{
    JsonObject *root = json_object_new(), *definitions = json_object_new();
    json_object_set_string_member(root, "$schema", "https://json-schema.org/draft/2020-12/schema");
    json_object_set_string_member(root, "$id", "https://netlab.invalid/topology_schema.json");
    json_object_set_string_member(root, "title", "netlab topology");
    json_object_set_string_member(root, "description",
                                  "The file that `netlab up` reads. Printed by `netlab schema --json`; "
                                  "docs/topology-reference.md says the same for people.");
    json_object_set_string_member(root, "$ref", "#/$defs/topology");
    for (int i = 0; i < TOPOLOGY_TYPES; i++)
        json_object_set_member(definitions, topology_type_info((enum topology_type)i)->name,
                               parsed(topology_type_info((enum topology_type)i)->schema));
    struct topology_mapping_info mapping;
    for (size_t i = 0; topology_grammar(i, &mapping); i++) {
        json_object_set_member(definitions, mapping.name, mapping_schema(&mapping));
        g_free((void *)mapping.keys);
    }
    json_object_set_object_member(root, "$defs", definitions);
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, root);
    cli_print_json(node);
}

static int run(struct cli_call *call)
{
    if (cli_flag(call, "json") && cli_flag(call, "markdown"))
        return cli_misuse(call, "--json and --markdown are two forms; give one of them");
    if (cli_flag(call, "json"))
        print_schema();
    else if (cli_flag(call, "markdown"))
        print_markdown();
    else
        cli_print_grammar();
    return CLI_OK;
}

const struct cli_verb verb_schema = {
    .name = "schema",
    .arguments = "",
    .summary = "print all keys of topology files",
    .description = "A list for people, the reference as a Markdown page, or a JSON Schema that editors check "
                   "topology files with while one types.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .examples = CLI_EXAMPLES({"netlab schema", "a list"},
                             {"netlab schema --json >topology_schema.json", "for an editor"}),
    .files = CLI_FILE_TOPOLOGY,
    .run = run,
};
