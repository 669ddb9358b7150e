/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Labs that run and are in no store, because that was lost: found by the marks of their processes, as
 * `repair` does. A second one beside such a lab would ask for the names of its links, its ports and its
 * disks, and its `down` would leave the first. Marks of other users' processes are theirs to set, and count
 * for nothing.
 */
#include "netlab/lab.h"
#include "netlab/machine.h"
#include "netlab/process.h"

#include <unistd.h>

bool lab_check_unknown(const struct lab_place *place, const char *name, GError **error)
{
    enum { PATIENCE_MS = 3000, PAUSE_US = 20000 };
    gint64 deadline = g_get_monotonic_time() + (gint64)PATIENCE_MS * 1000;
    for (;;) {
        g_autoptr(GPtrArray) processes = process_list_marked(place->state);
        const struct process_marked *found = NULL;
        for (guint i = 0; i < processes->len && !found; i++) {
            const struct process_marked *process = processes->pdata[i];
            bool is_ours = process->uid == geteuid() || (geteuid() == 0 && machine_is_our_user(process->uid));
            if (is_ours && g_str_equal(process->lab, name))
                found = process;
        }
        if (!found)
            return true;
        if (g_get_monotonic_time() >= deadline) {
            g_set_error(
                error, LAB_ERROR, LAB_ERROR_ELSEWHERE,
                "lab %s runs (%s%s, pid %d), and the store in %s does not know of it; `netlab repair` "
                "takes away what runs, then say this again",
                name, *found->node ? "machine " : "its supervisor", found->node, found->identity.pid,
                place->state);
            return false;
        }
        g_usleep(PAUSE_US); /* processes of others have no event to wait for */
    }
}
