/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab link`: pull and plug the cables of running nodes, and make their lines bad or good.
 */
#include "cli/node.h"
#include "netlab/nic.h"

#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {CLI_LAB_OPTION, CLI_JSON_OPTION, CLI_HELP_OPTION};

/* What was asked for: the words after the NIC as one list. NULL: show. */
static char *collect_words(struct cli_call *call)
{
    g_autoptr(GString) words = g_string_new(NULL);
    for (guint i = 2; cli_argument(call, i); i++)
        g_string_append_printf(words, "%s%s", words->len ? "," : "", cli_argument(call, i));
    return words->len ? g_strdup(words->str) : NULL;
}

static void print_state(struct cli_call *call, const char *nic, bool is_up, const char *line)
{
    /* "out: WORDS\n   counters\nin: …": the first two lines are ours. */
    g_auto(GStrv) lines = g_strsplit(line, "\n", -1);
    const char *words = lines[0] && g_str_has_prefix(lines[0], "out: ") ? lines[0] + strlen("out: ") : "";
    const char *counters =
        lines[0] && lines[1] && g_str_has_prefix(lines[1], "   ") ? g_strstrip(lines[1]) : "";
    if (cli_flag(call, "json")) {
        g_autoptr(JsonBuilder) builder = json_builder_new();
        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "nic");
        json_builder_add_string_value(builder, nic);
        json_builder_set_member_name(builder, "up");
        json_builder_add_boolean_value(builder, is_up);
        json_builder_set_member_name(builder, "line");
        json_builder_add_string_value(builder, words);
        json_builder_set_member_name(builder, "counters");
        json_builder_add_string_value(builder, counters);
        json_builder_end_object(builder);
        g_autoptr(JsonNode) root = json_builder_get_root(builder);
        g_autofree char *text = json_to_string(root, TRUE);
        printf("%s\n", text);
        return;
    }
    printf("%s: link %s, line %s\n", nic, is_up ? "up" : "down", g_str_equal(words, "off") ? "good" : words);
    if (*counters)
        printf("   %s\n", counters);
}

static bool act(const char *directory, unsigned index, const char *verb, const char *words, GError **error)
{
    g_autofree char *line = NULL;
    if (!verb || g_str_equal(verb, "show"))
        return true;
    if (g_str_equal(verb, "up") || g_str_equal(verb, "down"))
        return nic_set_link(directory, index, g_str_equal(verb, "up"), error);
    line = nic_impair(directory, index, g_str_equal(verb, "reset") ? "off" : words, error);
    return line != NULL;
}

static int run(struct cli_call *call)
{
    const char *text = cli_argument(call, 0), *verb = cli_argument(call, 1);
    static const char *const verbs[] = {"show", "up", "down", "set", "reset", NULL};
    g_autofree char *words = collect_words(call);
    if (verb && !g_strv_contains(verbs, verb))
        return cli_misuse(call, "after the NIC comes show, up, down, set WORD=VALUE… or reset");
    if (verb && (g_str_equal(verb, "set") != (words != NULL)))
        return cli_misuse(call,
                          words ? "only `set` takes words" : "set what? As in: set delay=20ms loss=1%%");
    g_autoptr(GError) error = NULL;
    struct cli_node node;
    unsigned index = 0;
    int status = CLI_OK;
    bool is_up = false;
    if (!cli_node_find_nic(call, text, &node, &index, &error) ||
        !act(node.node->directory, index, verb, words, &error) ||
        !nic_get_link(node.node->directory, index, &is_up, &error)) {
        status = cli_fail(error);
    } else {
        const struct lab_nic_status *nic = node.node->nics->pdata[index];
        g_autofree char *line = nic_impair(node.node->directory, index, NULL, &error);
        g_autofree char *name = g_strdup_printf("%s:%s", node.node->name, nic->interface);
        if (line)
            print_state(call, name, is_up, line);
        else
            status = cli_fail(error);
    }
    cli_node_clear(&node);
    return status;
}

const struct cli_verb verb_link = {
    .name = "link",
    .arguments = "NODE[:NIC] [show|up|down|set WORD=VALUE…|reset]",
    .summary = "pull and plug a node's cable, make its line bad or good",
    .description = "The line is what the node sends over that NIC. Words: delay, jitter, distribution, loss, "
                   "burst, duplicate, "
                   "corrupt, reorder, rate, limit, seed; as in `set delay=20ms loss=1%`. It lasts until the "
                   "machine is started anew, which then has what the topology says.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .least = 1,
    .most = 16,
    .examples = CLI_EXAMPLES({"netlab link r1:eth0 down", "pulls the cable"},
                             {"netlab link r1:eth0 set delay=20ms loss=1%", "a bad line"},
                             {"netlab link r1:eth0 reset", "a good one"}),
    .run = run,
};
