/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The A20 gate: see a20.h.
 */
#include "emu/dev/a20.h"
#include "emu/trace.h"

struct a20 {
    struct device device;
    struct irq_line line;
    bool enabled;
};

void a20_set(struct a20 *gate, bool enabled)
{
    if (gate->enabled == enabled)
        return;
    trace(I8042, "A20 %s", enabled ? "on" : "off");
    gate->enabled = enabled;
    irq_set(&gate->line, enabled);
}

bool a20_get(const struct a20 *gate)
{
    return gate->enabled;
}

static void a20_reset(struct device *device)
{
    struct a20 *gate = (struct a20 *)device;
    gate->enabled = true;
    irq_set(&gate->line, true);
}

static bool a20_after_load(void *device, GError **error)
{
    struct a20 *gate = device;
    irq_set(&gate->line, gate->enabled);
    return true;
}

static const struct state_field a20_fields[] = {STATE(struct a20, BOOL, enabled)};
static const struct state_table a20_state = {
    .name = "a20",
    .version = 1,
    .fields = a20_fields,
    .count = G_N_ELEMENTS(a20_fields),
    .after_load = a20_after_load,
};
static const struct device_class a20_class = {.name = "a20", .state = &a20_state, .reset = a20_reset};

struct a20 *a20_new(const struct irq_line *line)
{
    struct a20 *gate = g_new0(struct a20, 1);
    device_init(&gate->device, &a20_class, "a20");
    gate->line = *line;
    a20_reset(&gate->device);
    return gate;
}
