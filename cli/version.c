/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab version`.
 */
#include "cli/cli.h"
#include "netlab/paths.h"
#include "netlab/store.h"

#include <stdio.h>

static const struct cli_option options[] = {CLI_JSON_OPTION, CLI_HELP_OPTION};

static int run(struct cli_call *call)
{
    if (!cli_flag(call, "json")) {
        printf("netlab %s\n", NETLAB_VERSION);
        return CLI_OK;
    }
    g_autofree char *emulator = paths_emulator(NULL);
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "version", NETLAB_VERSION);
    json_object_set_int_member(object, "store_version", STORE_VERSION);
    if (emulator)
        json_object_set_string_member(object, "emulator", emulator);
    JsonNode *node = json_node_alloc();
    json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), object);
    cli_print_json(node);
    return CLI_OK;
}

const struct cli_verb verb_version = {
    .name = "version",
    .arguments = "",
    .summary = "print the version",
    .description = "With --json also the store's version and which emulator is used.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .examples = CLI_EXAMPLES({"netlab version --json", "with the emulator that is used"}),
    .run = run,
};
