/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What the control room may change of a machine beside its bus and its drives: character ports, the
 * debugger's connection, the order of boot devices, VNC's password.
 */
#include "emu/machine/machine_internal.h"

#include <gio/gio.h>
#include <string.h>

/* ---- character ports ---- */

static struct machine_port *find_slot(struct machine *m, const char *id, GError **error)
{
    for (guint i = 0; i < m->ports->len; i++) {
        struct machine_port *slot = m->ports->pdata[i];
        if (g_str_equal(slot->id, id))
            return slot;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Chardev '%s' not found", id);
    return NULL;
}

bool operate_chardev_change(void *opaque, const char *id, const char *words, GError **error)
{
    struct machine *m = opaque;
    struct machine_port *slot = find_slot(m, id, NULL);
    if (!slot) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Chardev '%s' does not exist", id);
        return false;
    }
    if (slot->mux || !char_may_change(slot->port)) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                            slot->mux ? "Mux device hotswap not supported yet"
                                      : "Chardev user does not support chardev hotswap");
        return false;
    }
    struct machine_chardev *chardev = m->config->words ? m->config->words->chardev(words, error) : NULL;
    if (!chardev)
        return false;
    struct char_port *port = NULL;
    if (chardev->spec.mux || chardev->spec.wait || chardev->spec.kind == CHAR_VC)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "Chardev '%s': mux=on, wait=on and vc are for the command line", id);
    else
        port = char_open_spec(id, &chardev->spec, m->loop, error);
    if (port)
        char_replace(slot->port, port);
    machine_chardev_free(chardev);
    return port != NULL;
}

bool operate_chardev_break(void *opaque, const char *id, GError **error)
{
    struct machine_port *slot = find_slot(opaque, id, error);
    if (slot)
        char_broken(slot->port);
    return slot != NULL;
}

/* ---- the debugger ---- */

static const char gdb_id[] = "gdbserver";

/* From the loop: the command may have come from the debugger itself. */
static void end_debugger(void *opaque)
{
    struct machine *m = opaque;
    if (!m->gdb_ending)
        return;
    m->gdb_ending = false;
    control_set_debugger(m->control, NULL);
    gdbstub_free(m->gdb);
    m->gdb = NULL;
    for (guint i = 0; i < m->ports->len; i++) {
        struct machine_port *slot = m->ports->pdata[i];
        if (!g_str_equal(slot->id, gdb_id))
            continue;
        char_connect(slot->port, NULL, NULL);
        g_ptr_array_remove_index(m->ports, i);
        break;
    }
}

bool operate_gdbserver(void *opaque, const char *words, GError **error)
{
    struct machine *m = opaque;
    if (g_str_equal(words, "none")) {
        if (!m->gdb || m->gdb_ending)
            return true;
        if (!find_slot(m, gdb_id, NULL)) {
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                                "gdb's port is that of the command line (-gdb, -s), and stays");
            return false;
        }
        m->gdb_ending = true;
        loop_defer(m->loop, end_debugger, m);
        return true;
    }
    if (m->gdb) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                            "gdb's port is open already: end it with gdbserver none");
        return false;
    }
    struct machine_monitor *monitor = m->config->words ? m->config->words->gdb(words, error) : NULL;
    struct char_port *port = monitor ? machine_plug(m, gdb_id, &monitor->spec, error) : NULL;
    machine_monitor_free(monitor);
    if (!port)
        return false;
    m->gdb = gdbstub_new(m->control, &m->offer, &m->debug_offer, port);
    control_set_debugger(m->control, m->gdb);
    return true;
}

/* ---- boot order ---- */

bool operate_boot_set(void *opaque, const char *order, GError **error)
{
    struct machine *m = opaque;
    if (m->config->words && m->config->words->boot(order, m->boot_set, error)) {
        m->has_boot_set = true;
        machine_disks_boot_order(m);
        return true;
    }
    return false;
}

/* ---- memory ---- */

const void *operate_host_address(void *opaque, uint64_t addr)
{
    struct phys_slice slice;
    physmap_lookup(((struct machine *)opaque)->mem, addr, &slice);
    return slice.read;
}

/* ---- VNC ---- */

bool operate_vnc_expire(void *opaque, int64_t when, GError **error)
{
    struct machine *m = opaque;
    bool any = false;
    for (guint i = 0; i < m->vncs->len; i++)
        any |= vnc_expire_password(m->vncs->pdata[i], when);
    if (!any)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "%s (start it with -vnc :0,password=on)",
                    m->vncs->len ? "the VNC server wants no password" : "this machine has no VNC server");
    return any;
}
