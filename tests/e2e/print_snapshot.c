/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Prints the network namespace it runs in as canonical text (hostnet_snapshot_take): what the life-cycle
 * tests compare before and after.
 */
#include "hostnet/snapshot.h"

#include <stdio.h>

int main(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(hostnet) net = hostnet_open(&error);
    g_autofree char *text = net ? hostnet_snapshot_take(net, 0, &error) : NULL;
    if (!text) {
        fprintf(stderr, "print-snapshot: %s\n", error->message);
        return 1;
    }
    fputs(text, stdout);
    return 0;
}
