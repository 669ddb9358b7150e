/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The board's interrupt wires: see gsi.h.
 *
 * A wire is the OR of its inputs; every change of the OR is passed on at once. Input levels are saved state,
 * so that after loading no wire makes an edge it did not have. Machine thread only.
 */
#include "emu/dev/gsi.h"
#include "emu/trace.h"

struct gsi {
    struct device device;
    struct irq_line pic[GSI_ISA_COUNT];
    struct irq_line ioapic[GSI_COUNT];
    uint8_t used[GSI_COUNT];   /* inputs handed out */
    uint8_t inputs[GSI_COUNT]; /* level of each input */
};

static void wire_set(void *opaque, unsigned n, bool level)
{
    struct gsi *router = opaque;
    unsigned wire = n >> 8;
    uint8_t bit = (uint8_t)(1u << (n & 7)), before = router->inputs[wire];
    router->inputs[wire] = level ? before | bit : (uint8_t)(before & ~bit);
    if (!before == !router->inputs[wire])
        return;
    trace(IRQ, "gsi %u %s", wire, level ? "high" : "low");
    if (wire >= GSI_ISA_COUNT) {
        irq_set(&router->ioapic[wire], level);
        return;
    }
    irq_set(&router->pic[wire], level);
    /* Input 0 of the I/O APIC is not connected on this board; the timer is on 2, where ISA has the cascade.
     */
    if (wire != 2)
        irq_set(&router->ioapic[wire == 0 ? 2 : wire], level);
}

struct irq_line gsi_input(struct gsi *router, unsigned gsi)
{
    g_assert(gsi < GSI_COUNT && router->used[gsi] < GSI_INPUTS);
    return (struct irq_line){.set = wire_set, .opaque = router, .n = gsi << 8 | router->used[gsi]++};
}

static bool gsi_after_load(void *device, GError **error)
{
    struct gsi *router = device;
    for (unsigned i = 0; i < GSI_COUNT; i++)
        router->inputs[i] &= (uint8_t)((1u << router->used[i]) - 1);
    return true;
}

static const struct state_field gsi_fields[] = {STATE_ARRAY(struct gsi, U8, inputs)};
static const struct state_table gsi_state = {
    .name = "gsi",
    .version = 1,
    .fields = gsi_fields,
    .count = G_N_ELEMENTS(gsi_fields),
    .after_load = gsi_after_load,
};

/* No reset: a wire has no memory of its own, the chips that drive it go to their reset levels. */
static const struct device_class gsi_class = {.name = "gsi", .state = &gsi_state};

struct gsi *gsi_new(const struct irq_line pic[GSI_ISA_COUNT], const struct irq_line *ioapic)
{
    struct gsi *router = g_new0(struct gsi, 1);
    device_init(&router->device, &gsi_class, "gsi");
    for (unsigned i = 0; i < GSI_ISA_COUNT; i++)
        router->pic[i] = pic[i];
    for (unsigned i = 0; ioapic && i < GSI_COUNT; i++)
        router->ioapic[i] = ioapic[i];
    return router;
}
