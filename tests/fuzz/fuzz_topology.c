/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes topology files: whatever the bytes, there is a checked topology or complaints with places, never
 * both.
 */
#include "netlab/topology_parse.h"

#include <string.h>

#include "tests/fuzz/fuzz_main.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GError) error = NULL;
    topology_auto struct topology *topology =
        topology_load_text("/labs/x/topology.yml", "t.yml", text, &error);
    if ((topology != NULL) == (error != NULL))
        __builtin_trap();
    if (error && !g_str_has_prefix(error->message, "t.yml:"))
        __builtin_trap();
    /* What passed is complete: every NIC has a network, a name and a MAC. */
    for (guint n = 0; topology && n < topology->nodes->len; n++) {
        const struct topology_node *node = topology->nodes->pdata[n];
        for (guint i = 0; i < node->nics->len; i++) {
            const struct topology_nic *nic = node->nics->pdata[i];
            if (!nic->network || !nic->interface || !nic->has_mac)
                __builtin_trap();
        }
    }
    return 0;
}

FUZZ_MAIN(500, 200)
