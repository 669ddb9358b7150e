/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The run loop: guest code until the doorbell rings, then what is ready; sleep while the guest is halted.
 *
 *           ┌────────► cpu_run ──requested──► loop_dispatch ─┐
 *   requests│             ├────halted───────► loop_wait ─────┤
 *           │             └────shutdown─────► reset request  │
 *           └────────────────────────────────────────────────┘
 *
 * With -machine none there is no guest: the loop serves back ends and control, and the CPU is never run.
 *
 * Whatever ends, stops or resets the machine is a request bit, because it is asked for from inside a device's
 * port write, a QMP command or a signal handler, and can only be done between instructions.
 */
#include "emu/machine/machine_internal.h"
#include "emu/machine/migrate.h"

#include <gio/gio.h>
#include <sys/mman.h>

void machine_request(struct machine *m, int what)
{
    g_atomic_int_or(&m->requests, (guint)what);
    cpu_request_exit(m->cpu);
    loop_wake(m->loop);
}

void machine_signal(struct machine *m)
{
    machine_request(m, MACHINE_REQUEST_SIGNAL);
}

bool machine_fill_hole(struct machine *m, void *address)
{
    uint8_t *ram = m->mem ? physmap_ram(m->mem) : NULL, *page = address;
    page -= (uintptr_t)address & PHYS_PAGE_MASK;
    return ram && page >= ram && page < ram + physmap_ram_size(m->mem) &&
           mmap(page, PHYS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                0) != MAP_FAILED;
}

bool machine_lock_memory(struct machine *m)
{
    return mlock(physmap_ram(m->mem), physmap_ram_size(m->mem)) == 0;
}

void machine_stop(struct machine *m, enum control_status why)
{
    if (m->status == CONTROL_RUNNING) {
        clock_stop(m->clock);
        cpu_request_exit(m->cpu);
        m->status = why;
        network_hold(m, true);
        display_set_stopped(m->display, true);
        control_event(m->control, "STOP", NULL);
    } else {
        m->status = why;
    }
}

bool machine_cont(struct machine *m, GError **error)
{
    switch (m->status) {
    case CONTROL_RUNNING:
        return true;
    case CONTROL_INMIGRATE:
        machine_incoming_autostart(m, true);
        return true;
    case CONTROL_FINISH_MIGRATE:
    case CONTROL_SAVE_VM:
    case CONTROL_RESTORE_VM:
        machine_is_moving(m, error);
        return false;
    case CONTROL_PRELAUNCH:
    case CONTROL_PAUSED:
    case CONTROL_IO_ERROR:
    case CONTROL_WATCHDOG:
    case CONTROL_POSTMIGRATE:
        if (!machine_disks_activate(m, true, error))
            return false;
        m->status = CONTROL_RUNNING;
        display_set_stopped(m->display, false);
        cpu_debug_resume(m->cpu);
        clock_continue(m->clock);
        if (m->icount)
            icount_resume(m->icount);
        loop_wake(m->loop);
        control_event(m->control, "RESUME", NULL);
        machine_disks_retry(m);
        network_hold(m, false);
        return true;
    case CONTROL_SHUTDOWN:
    case CONTROL_INTERNAL_ERROR:
    case CONTROL_SUSPENDED: /* only shown */
    case CONTROL_STATUS_COUNT:
        break;
    }
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Resetting the Virtual Machine is required");
    return false;
}

static void end(struct machine *m, int code, const char *reason, bool guest)
{
    g_autofree char *data =
        g_strdup_printf("\"guest\": %s, \"reason\": \"%s\"", guest ? "true" : "false", reason);
    m->exit_code = code;
    m->ended = true;
    control_event(m->control, "SHUTDOWN", data);
}

static bool handle_reset(struct machine *m, bool guest, GError **error)
{
    const char *reason = guest ? "guest-reset" : "host-qmp-system-reset";
    if (m->config->no_reboot) {
        end(m, 0, reason, guest);
        return true;
    }
    if (!machine_reset(m, error)) {
        machine_stop(m, CONTROL_INTERNAL_ERROR);
        return false;
    }
    g_autofree char *data =
        g_strdup_printf("\"guest\": %s, \"reason\": \"%s\"", guest ? "true" : "false", reason);
    control_event(m->control, "RESET", data);
    if (m->status == CONTROL_SHUTDOWN || m->status == CONTROL_INTERNAL_ERROR)
        m->status = CONTROL_PAUSED;
    return true;
}

static bool handle_wake(struct machine *m, GError **error)
{
    if (!machine_wake(m, error)) {
        machine_stop(m, CONTROL_INTERNAL_ERROR);
        return false;
    }
    control_event(m->control, "WAKEUP", NULL);
    return true;
}

/* False: the machine cannot go on. */
static bool handle_requests(struct machine *m, GError **error)
{
    int requests = (int)g_atomic_int_and((guint *)&m->requests, 0);
    if (m->status == CONTROL_FINISH_MIGRATE || m->status == CONTROL_INMIGRATE) {
        int now = requests & (MACHINE_REQUEST_QUIT | MACHINE_REQUEST_SIGNAL);
        m->put_off |= m->status == CONTROL_INMIGRATE ? 0 : requests & ~now;
        requests = now;
    }
    if (requests & MACHINE_REQUEST_SUSPEND)
        control_event(m->control, "SUSPEND", NULL);
    if (requests & MACHINE_REQUEST_HIBERNATE) { /* the guest has saved itself */
        control_event(m->control, "SUSPEND_DISK", NULL);
        requests |= MACHINE_REQUEST_POWER_OFF;
    }
    if (requests & MACHINE_REQUEST_EXIT) {
        end(m, m->exit_code, "guest-shutdown", true);
    } else if (requests & MACHINE_REQUEST_SIGNAL) {
        end(m, 0, "host-signal", false);
    } else if (requests & MACHINE_REQUEST_QUIT) {
        end(m, 0, "host-qmp-quit", false);
    } else if (requests & MACHINE_REQUEST_POWER_OFF) {
        if (!m->config->no_shutdown) {
            end(m, 0, "guest-shutdown", true);
        } else {
            control_event(m->control, "SHUTDOWN", "\"guest\": true, \"reason\": \"guest-shutdown\"");
            machine_stop(m, CONTROL_SHUTDOWN);
        }
    } else if (requests & (MACHINE_REQUEST_RESET | MACHINE_REQUEST_SYSTEM_RESET)) {
        return handle_reset(m, (requests & MACHINE_REQUEST_RESET) != 0, error);
    } else if (requests & MACHINE_REQUEST_WAKE && piix4_pm_is_asleep(m->pm)) {
        return handle_wake(m, error);
    }
    return true;
}

/* Whether a port or control socket with wait=on still waits for its first peer. */
static bool somebody_waits(const struct machine *m)
{
    for (guint i = 0; i < m->ports->len; i++)
        if (char_is_waiting(((struct machine_port *)m->ports->pdata[i])->port))
            return true;
    return control_is_waiting(m->control);
}

/* Code is decoded and translated for a boot or some other burst of work, and most of it is not needed again
 * soon. A look lasts half a second: when little new ran meanwhile the memory of all
 * that goes back to the host, and what is still needed is made anew; at most once a minute. */
static void rest(struct machine *m)
{
    enum { LOOK = 500000000, NEW_BLOCKS = 1000, STIRS = 500 };
    const struct cpu_statistics *s = cpu_statistics(m->cpu);
    struct machine_rest *r = &m->rest;
    int64_t now = clock_now(m->clock);
    uint64_t stirs = s->exceptions + s->tlb_flushes;

    if (now - r->since < LOOK && now >= r->since)
        return;
    bool quiet = s->blocks_made - r->made < NEW_BLOCKS && stirs - r->stirs < STIRS;
    r->since = now;
    r->stirs = stirs;
    r->made = s->blocks_made;
    if (quiet && (now >= r->next || r->next - now > 60 * NANOSECONDS) && cpu_give_back(m->cpu)) {
        r->next = now + 60 * NANOSECONDS;
        trace(LOOP, "quiet: decoded and translated code given back");
    }
}

static void ring(void *opaque)
{
    cpu_request_exit(opaque);
}

int machine_run(struct machine *m, GError **error)
{
    if (!loop_start_doorbell(m->loop, ring, m->cpu, error))
        return 1;
    bool waiting = somebody_waits(m), starts = !m->config->start_stopped && !m->config->incoming;
    if (starts && !waiting)
        machine_cont(m, NULL);
    while (!m->ended) {
        if (g_atomic_int_get(&m->requests)) {
            if (!handle_requests(m, error))
                return 1;
            continue;
        }
        if (waiting && !somebody_waits(m)) {
            waiting = false;
            if (starts)
                machine_cont(m, NULL);
        }
        /* in S3 time goes on */
        if (m->status != CONTROL_RUNNING || m->config->no_guest || piix4_pm_is_asleep(m->pm)) {
            loop_wait(m->loop, -1);
            continue;
        }
        if (m->icount && !icount_begin(m->icount)) {
            loop_dispatch(m->loop);
            continue;
        }
        switch (cpu_run(m->cpu)) {
        case CPU_STOP_REQUESTED:
            loop_dispatch(m->loop);
            if (m->icount)
                icount_ran(m->icount);
            break;
        case CPU_STOP_HALTED:
            if (clock_run_idle(m->clock))
                break;
            rest(m);
            if (m->icount)
                icount_halted(m->icount);
            else
                loop_wait(m->loop, -1);
            break;
        case CPU_STOP_SHUTDOWN:
            trace(RESET, "triple fault");
            machine_request(m, MACHINE_REQUEST_RESET);
            break;
        case CPU_STOP_DEBUG:
            machine_stop(m, CONTROL_PAUSED);
            break;
        case CPU_STOP_DIFFERENCE:
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, cpu_difference(m->cpu));
            return MACHINE_EXIT_DIFFERENCE;
        }
    }
    if (m->fatal)
        g_propagate_error(error, g_steal_pointer(&m->fatal));
    return m->exit_code;
}
