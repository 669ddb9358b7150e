/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Keys pressed by the control room (sendkey, send-key): a group is pressed, held for a while of guest time
 * and let go in the reverse order; the next group follows after a pause, so that a guest can tell them apart.
 */
#include "emu/machine/machine_internal.h"

#include <gio/gio.h>
#include <string.h>

enum { GROUPS_MOST = 256, PAUSE_MS = 10 };

struct group {
    unsigned codes[CONTROL_KEYS_MOST], count, hold_ms;
};

struct machine_keys {
    struct machine *machine;
    struct clock_timer *timer;
    GArray *groups; /* struct group; the first is held down, or about to be */
    bool down;
};

static void wait_for(struct machine_keys *keys, unsigned ms)
{
    clock_timer_set(keys->timer, clock_now(keys->machine->clock) + (int64_t)ms * (NANOSECONDS / 1000));
}

static void press(struct machine_keys *keys)
{
    const struct group *group = &g_array_index(keys->groups, struct group, 0);
    for (unsigned i = 0; i < group->count; i++)
        display_key(keys->machine->display, group->codes[i], true);
    keys->down = true;
    wait_for(keys, group->hold_ms);
}

static void turn(void *opaque)
{
    struct machine_keys *keys = opaque;
    if (!keys->groups->len)
        return;
    if (!keys->down) {
        press(keys);
        return;
    }
    const struct group *group = &g_array_index(keys->groups, struct group, 0);
    for (unsigned i = group->count; i-- > 0;)
        display_key(keys->machine->display, group->codes[i], false);
    keys->down = false;
    g_array_remove_index(keys->groups, 0);
    if (keys->groups->len)
        wait_for(keys, PAUSE_MS);
}

bool machine_press_keys(void *opaque, const unsigned *codes, unsigned count, unsigned hold_ms, GError **error)
{
    struct machine *m = opaque;
    struct machine_keys *keys = m->keys;
    struct group group = {.count = MIN(count, (unsigned)CONTROL_KEYS_MOST), .hold_ms = hold_ms};
    if (!keys) {
        keys = m->keys = g_new0(struct machine_keys, 1);
        keys->machine = m;
        keys->timer = clock_timer_new(m->clock, turn, keys);
        keys->groups = g_array_new(FALSE, FALSE, sizeof(struct group));
    }
    if (keys->groups->len >= GROUPS_MOST) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                            "more keys are waiting than a guest could take; let it run (cont)");
        return false;
    }
    memcpy(group.codes, codes, group.count * sizeof *codes);
    g_array_append_val(keys->groups, group);
    if (keys->groups->len == 1)
        press(keys);
    return true;
}

void machine_keys_free(struct machine *m)
{
    if (!m->keys)
        return;
    clock_timer_free(m->keys->timer);
    g_array_unref(m->keys->groups);
    g_free(m->keys);
    m->keys = NULL;
}
