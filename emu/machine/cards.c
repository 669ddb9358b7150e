/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Cards beside the board's own chips, made when they are asked for: parallel ports, watchdogs, the test
 * device. And what happens when a watchdog runs out, which is the user's choice (-action watchdog=,
 * watchdog_action).
 */
#include "emu/machine/machine_internal.h"

#include "emu/dev/parallel.h"
#include "emu/dev/pc_testdev.h"
#include "emu/dev/rtc.h"
#include "emu/dev/watchdog.h"

#include <gio/gio.h>
#include <string.h>

static const char *const action_names[MACHINE_WATCHDOG_COUNT] = {
    [MACHINE_WATCHDOG_RESET] = "reset",       [MACHINE_WATCHDOG_SHUTDOWN] = "shutdown",
    [MACHINE_WATCHDOG_POWEROFF] = "poweroff", [MACHINE_WATCHDOG_PAUSE] = "pause",
    [MACHINE_WATCHDOG_DEBUG] = "debug",       [MACHINE_WATCHDOG_NONE] = "none",
    [MACHINE_WATCHDOG_NMI] = "inject-nmi",
};
_Static_assert(G_N_ELEMENTS(action_names) == MACHINE_WATCHDOG_COUNT, "a name for each action");

bool machine_watchdog_parse(const char *text, enum machine_watchdog_action *action, GError **error)
{
    for (unsigned i = 0; i < MACHINE_WATCHDOG_COUNT; i++) {
        if (g_str_equal(text, action_names[i])) {
            *action = (enum machine_watchdog_action)i;
            return true;
        }
    }
    g_set_error(
        error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "'%s' is no action of a watchdog; say reset, shutdown, poweroff, pause, debug, none or inject-nmi",
        text);
    return false;
}

/* From a timer, so what ends or stops the machine is asked of the run loop. */
static void watchdog_expired(void *opaque)
{
    struct machine *m = opaque;
    g_autofree char *data = g_strdup_printf("\"action\": \"%s\"", action_names[m->watchdog_action]);
    control_event(m->control, "WATCHDOG", data);
    switch (m->watchdog_action) {
    case MACHINE_WATCHDOG_RESET:
        machine_request(m, MACHINE_REQUEST_RESET);
        break;
    case MACHINE_WATCHDOG_SHUTDOWN:
        control_event(m->control, "POWERDOWN", NULL);
        piix4_pm_power_button(m->pm);
        break;
    case MACHINE_WATCHDOG_POWEROFF:
        machine_request(m, MACHINE_REQUEST_QUIT);
        break;
    case MACHINE_WATCHDOG_PAUSE:
        machine_stop(m, CONTROL_WATCHDOG);
        break;
    case MACHINE_WATCHDOG_DEBUG:
        g_printerr("watchdog: timer fired\n");
        break;
    case MACHINE_WATCHDOG_NMI:
        cpu_raise_nmi(m->cpu);
        break;
    case MACHINE_WATCHDOG_NONE:
    case MACHINE_WATCHDOG_COUNT:
        break;
    }
}

bool machine_set_watchdog_action(void *opaque, const char *action, GError **error)
{
    struct machine *m = opaque;
    return machine_watchdog_parse(action, &m->watchdog_action, error);
}

static bool build_parallel(struct machine *m, GError **error)
{
    for (guint i = 0; i < m->config->parallels->len; i++) {
        const struct machine_parallel *wanted = m->config->parallels->pdata[i];
        g_autofree char *id = g_strdup_printf("parallel%u", i);
        struct char_port *port = machine_plug(m, wanted->id ? wanted->id : id, &wanted->spec, error);
        if (!port)
            return false;
        struct irq_line irq = gsi_input(m->gsi, wanted->irq);
        machine_keep(m, parallel_new(m->io, wanted->id ? wanted->id : id, wanted->iobase, &irq, port));
        for (unsigned k = 0; k < PARALLEL_PORTS; k++)
            m->parallel_there[k] |= wanted->iobase == parallel_base[k] && wanted->irq == PARALLEL_IRQ;
    }
    return true;
}

/* At most one event a second, as QEMU does: guests may write the clock's registers all the time. */
static void tell_clock(void *opaque)
{
    struct machine *m = opaque;
    if (!m->clock_untold)
        return;
    g_autofree char *data =
        g_strdup_printf("\"offset\": %" G_GINT64_FORMAT ", \"qom-path\": \"/machine/rtc\"", m->clock_ahead);
    m->clock_untold = false;
    control_event(m->control, "RTC_CHANGE", data);
    clock_timer_set(m->clock_told, clock_now(m->clock) + NANOSECONDS);
}

static void clock_was_set(void *opaque, int64_t seconds)
{
    struct machine *m = opaque;
    m->clock_ahead = seconds;
    m->clock_untold = true;
    if (clock_timer_deadline(m->clock_told) == CLOCK_NEVER)
        tell_clock(m);
}

void machine_cards_free(struct machine *m)
{
    clock_timer_free(m->clock_told);
}

bool machine_cards_build(struct machine *m, GError **error)
{
    const struct watchdog_wiring dog = {.expired = watchdog_expired, .opaque = m};
    m->watchdog_action = m->config->watchdog_action;
    m->clock_told = clock_timer_new(m->clock, tell_clock, m);
    rtc_on_change(m->rtc, clock_was_set, m);
    if (!build_parallel(m, error))
        return false;
    for (guint i = 0; i < m->config->watchdogs->len; i++) {
        const struct machine_watchdog *wanted = m->config->watchdogs->pdata[i];
        const char *id = wanted->id ? wanted->id : wanted->pci ? "i6300esb" : "ib700";
        struct device *card =
            wanted->pci ? (struct device *)i6300esb_new(m->bus, m->clock, id, wanted->slot, &dog, error)
                        : (struct device *)ib700_new(m->io, m->clock, id, &dog);
        if (!machine_keep(m, card))
            return false;
    }
    if (m->config->testdev) {
        struct irq_line lines[PC_TESTDEV_LINES];
        for (unsigned i = 0; i < PC_TESTDEV_LINES; i++)
            lines[i] = gsi_input(m->gsi, i);
        machine_keep(m, pc_testdev_new(m->mem, m->io, "pc-testdev", lines));
    }
    return true;
}
