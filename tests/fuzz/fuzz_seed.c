/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes the making of cloud-init's seeds: the input is a node's configuration, an archive of files, a
 * password and user-data at once. Whatever it is, the seed is made, what is YAML in it is JSON of characters
 * that YAML takes, and the CD has room for all of it.
 */
#include "netlab/seed.h"

#include <string.h>

#include "tests/fuzz/fuzz_main.h"

static void check_yaml(const char *text)
{
    g_autoptr(JsonNode) root = json_from_string(text, NULL);
    if (!root || !g_utf8_validate(text, -1, NULL))
        __builtin_trap();
    for (const char *c = text; *c; c = g_utf8_next_char(c)) {
        gunichar u = g_utf8_get_char(c);
        if ((u < 0x20 && u != '\n') || (u >= 0x7f && u < 0xa0) || u == 0xfeff)
            __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *raw = g_strndup((const char *)data, size), *config = g_utf8_make_valid(raw, -1),
                    *user = g_base64_encode(data, size);
    g_autoptr(JsonObject) cloud = json_object_new();
    JsonArray *keys = json_array_new();
    json_array_add_string_element(keys, config);
    json_object_set_array_member(cloud, "keys", keys);
    json_object_set_string_member(cloud, "user", user);
    json_object_set_string_member(cloud, "password", config);
    const struct seed_input input = {.node = config,
                                     .config = config,
                                     .cloud_init = cloud,
                                     .files = data,
                                     .files_size = size,
                                     .hosts = config};
    g_autofree char *meta = seed_meta_data(&input), *network = seed_network_config(config),
                    *vendor = seed_vendor_data(&input);
    check_yaml(meta);
    check_yaml(network);
    check_yaml(strchr(vendor, '\n') + 1);
    g_autoptr(GBytes) seed = seed_make(&input, NULL);
    if (!seed || g_bytes_get_size(seed) % 2048 || g_bytes_get_size(seed) < 20 * 2048 + 2 * size)
        __builtin_trap();
    return 0;
}

FUZZ_MAIN(2000, 600)
