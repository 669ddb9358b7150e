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

enum { PATIENCE_MS = 3000, PAUSE_US = 20000 };

static bool is_unknown(const struct process_marked *process, const char *name, struct store *store)
{
    bool is_ours = process->uid == geteuid() || (geteuid() == 0 && machine_is_our_user(process->uid));
    if (!is_ours || (name && !g_str_equal(process->lab, name)))
        return false;
    g_autoptr(store_lab) lab = store ? store_find_lab(store, process->lab, NULL) : NULL;
    return !lab;
}

/* One is enough to name; `repair` finds them all. */
static char *describe_first(const struct lab_place *place, const char *name, struct store *store)
{
    g_autoptr(GPtrArray) processes = process_list_marked(place->state);
    for (guint i = 0; i < processes->len; i++) {
        const struct process_marked *process = processes->pdata[i];
        if (is_unknown(process, name, store))
            return g_strdup_printf("lab %s runs (%s%s, pid %d), and the store in %s does not know of it; "
                                   "`netlab repair` takes away what runs",
                                   process->lab, *process->node ? "machine " : "its supervisor",
                                   process->node, process->identity.pid, place->state);
    }
    return NULL;
}

/* Those that are just ending are waited for. */
static char *describe_lasting(const struct lab_place *place, const char *name, struct store *store)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)PATIENCE_MS * 1000;
    char *text;
    while ((text = describe_first(place, name, store)) && g_get_monotonic_time() < deadline) {
        g_free(text);
        g_usleep(PAUSE_US); /* processes of others have no event to wait for */
    }
    return text;
}

char *lab_describe_unknown(const struct lab_place *place, struct store *store)
{
    return describe_lasting(place, NULL, store);
}

bool lab_check_unknown(const struct lab_place *place, const char *name, GError **error)
{
    g_autofree char *text = describe_lasting(place, name, NULL);
    if (text)
        g_set_error(error, LAB_ERROR, LAB_ERROR_ELSEWHERE, "%s, then say this again", text);
    return !text;
}
