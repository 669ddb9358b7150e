/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * IB700 watchdog: see watchdog.h. iBase IB700 manual, "Watchdog Timer Configuration": a write to 0x443 starts
 * the timer anew with the time its low four bits say (0: 30 s, 1: 28 s … 15: at once), one to 0x441 stops it.
 */
#include "emu/dev/watchdog.h"
#include "emu/trace.h"

enum { STOP_PORT = 0x441, START_PORT = 0x443, LONGEST_SECONDS = 30, STEP_SECONDS = 2, CODE = 0x0f };

struct ib700 {
    struct device device;
    struct clock *clock;
    struct clock_timer *timer;
    struct watchdog_wiring wiring;
    bool running;
    uint64_t deadline; /* guest time, while it runs */
};

static void arm(struct ib700 *dog)
{
    clock_timer_set(dog->timer, dog->running ? (int64_t)dog->deadline : CLOCK_NEVER);
}

static void ib700_fire(void *opaque)
{
    struct ib700 *dog = opaque;
    dog->running = false;
    trace(ACPI, "%s ran out", dog->device.id);
    dog->wiring.expired(dog->wiring.opaque);
}

static void ib700_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct ib700 *dog = opaque;
    dog->running = port == START_PORT;
    int64_t seconds = LONGEST_SECONDS - STEP_SECONDS * (int64_t)(value & CODE);
    dog->deadline = (uint64_t)(clock_now(dog->clock) + seconds * NANOSECONDS);
    arm(dog);
}

static uint32_t ib700_read(void *opaque, uint16_t port, unsigned size)
{
    return 0xff; /* write-only */
}

static const struct portio_ops ib700_ops = {.read = ib700_read, .write = ib700_write};

static void ib700_reset(struct device *device)
{
    struct ib700 *dog = (struct ib700 *)device;
    dog->running = false;
    dog->deadline = 0;
    arm(dog);
}

static bool ib700_after_load(void *device, GError **error)
{
    struct ib700 *dog = device;
    const uint64_t longest = (uint64_t)clock_now(dog->clock) + LONGEST_SECONDS * NANOSECONDS;
    if (dog->deadline > longest)
        dog->deadline = longest;
    arm(dog);
    return true;
}

static const struct state_field ib700_fields[] = {
    STATE(struct ib700, BOOL, running),
    STATE(struct ib700, U64, deadline),
};
static const struct state_table ib700_state = {
    .name = "ib700",
    .version = 1,
    .fields = ib700_fields,
    .count = G_N_ELEMENTS(ib700_fields),
    .after_load = ib700_after_load,
};

static void ib700_free(struct device *device)
{
    struct ib700 *dog = (struct ib700 *)device;
    clock_timer_free(dog->timer);
    g_free(dog);
}

static const struct device_class ib700_class = {
    .name = "ib700", .state = &ib700_state, .reset = ib700_reset, .free = ib700_free};

struct ib700 *ib700_new(struct portio *io, struct clock *clock, const char *id,
                        const struct watchdog_wiring *wiring)
{
    struct ib700 *dog = g_new0(struct ib700, 1);
    device_init(&dog->device, &ib700_class, id);
    dog->clock = clock;
    dog->wiring = *wiring;
    dog->timer = clock_timer_new(clock, ib700_fire, dog);
    portio_add(io, "ib700-stop", STOP_PORT, 1, &ib700_ops, dog);
    portio_add(io, "ib700-start", START_PORT, 1, &ib700_ops, dog);
    return dog;
}
