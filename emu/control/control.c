/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Clients and events: see control.h.
 *
 * A session that ends (its peer went away, sent nonsense, or did not read) is only marked dead where that is
 * noticed, and freed from a deferred sweep: it may be noticed in the middle of its own input callback.
 */
#include "emu/control/control_internal.h"
#include "emu/control/gdbstub.h"

#include "emu/machine/loop.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void server_free(void *data)
{
    struct control_server *server = data;
    loop_remove_fd(server->watch);
    char_unlisten(&server->listener);
    g_free(server);
}

struct control *control_new(const struct control_machine *machine, struct loop *loop)
{
    struct control *control = g_new0(struct control, 1);
    control->machine = machine;
    control->loop = loop;
    control->servers = g_ptr_array_new_with_free_func(server_free);
    control->sessions = g_ptr_array_new_with_free_func((GDestroyNotify)qmp_session_free);
    control->monitors = g_ptr_array_new_with_free_func((GDestroyNotify)monitor_session_free);
    return control;
}

void control_free(struct control *control)
{
    if (!control)
        return;
    g_ptr_array_free(control->sessions, TRUE);
    g_ptr_array_free(control->monitors, TRUE);
    g_ptr_array_free(control->servers, TRUE);
    if (control->named_fds)
        g_hash_table_unref(control->named_fds);
    loop_cancel_deferred(control->loop, control);
    if (control->jobs)
        g_ptr_array_free(control->jobs, TRUE);
    g_free(control);
}

static void control_sweep(void *opaque)
{
    struct control *control = opaque;
    control->sweeping = false;
    for (guint i = control->sessions->len; i-- > 0;)
        if (((struct qmp_session *)control->sessions->pdata[i])->dead)
            g_ptr_array_remove_index(control->sessions, i);
}

bool control_warn(struct control *control, const char *text)
{
    if (!control || !control->saying)
        return false;
    g_string_append_printf(control->saying, "warning: %s\n", text);
    return true;
}

bool control_wake(struct control *control, GError **error)
{
    const struct control_machine *m = control->machine;
    if (m->can_suspend && m->wake(m->opaque))
        return true;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                        m->can_suspend ? "Unable to wake up: guest is not in suspended state"
                                       : "wake-up from suspend is not supported by this guest");
    return false;
}

void control_sweep_soon(struct control *control)
{
    if (control->sweeping)
        return;
    control->sweeping = true;
    loop_defer(control->loop, control_sweep, control);
}

static void server_accept(void *opaque, unsigned events)
{
    struct control_server *server = opaque;
    struct control *control = server->control;
    int fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (control->sessions->len >= QMP_CLIENTS_MOST) {
        trace(QMP, "more than %d clients: one is turned away", QMP_CLIENTS_MOST);
        close(fd);
        return;
    }
    g_autofree char *id = g_strdup_printf("qmp-client%u", control->clients++);
    struct char_spec spec = {.kind = CHAR_FD, .fd = fd};
    struct char_port *port = char_open_spec(id, &spec, control->loop, NULL);
    if (!port) {
        close(fd);
        return;
    }
    server->waiting = false;
    g_ptr_array_add(control->sessions, qmp_session_new(control, port, true, server->pretty));
}

bool control_listen(struct control *control, const char *path, bool wait, bool pretty, GError **error)
{
    struct control_server *server = g_new0(struct control_server, 1);
    server->control = control;
    server->waiting = wait;
    server->pretty = pretty;
    if (!char_listen_unix(&server->listener, path, error)) {
        g_free(server);
        return false;
    }
    server->watch = loop_add_fd(control->loop, server->listener.fd, LOOP_READ, server_accept, server);
    g_ptr_array_add(control->servers, server);
    return true;
}

void control_add_qmp(struct control *control, struct char_port *port, bool pretty)
{
    g_ptr_array_add(control->sessions, qmp_session_new(control, port, false, pretty));
}

void control_add_monitor(struct control *control, struct char_port *port)
{
    g_ptr_array_add(control->monitors, monitor_session_new(control, port));
}

void control_prompt(struct control *control, struct char_port *port)
{
    for (guint i = 0; i < control->monitors->len; i++) {
        struct monitor_session *session = control->monitors->pdata[i];
        if (session->port == port)
            monitor_prompt(session);
    }
}

bool control_is_waiting(const struct control *control)
{
    for (guint i = 0; i < control->servers->len; i++)
        if (((const struct control_server *)control->servers->pdata[i])->waiting)
            return true;
    return false;
}

struct char_port *control_ringbuf(struct control *control, const char *id, GError **error)
{
    struct char_port *port = control->machine->port(control->machine->opaque, id);
    if (port && char_is_ringbuf(port))
        return port;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                port ? "'%s' is not a ringbuf chardev" : "Device '%s' not found", id);
    return NULL;
}

void control_set_debugger(struct control *control, struct gdbstub *stub)
{
    control->debugger = stub;
}

void control_event(struct control *control, const char *name, const char *data)
{
    if (control->debugger)
        gdbstub_event(control->debugger, name);

    gint64 now = g_get_real_time();
    trace(QMP, "event %s %s", name, data ? data : "");
    g_autofree char *json =
        g_strdup_printf("{\"timestamp\": {\"seconds\": %" G_GINT64_FORMAT
                        ", \"microseconds\": %" G_GINT64_FORMAT "}, \"event\": \"%s\"%s%s%s}",
                        now / G_USEC_PER_SEC, now % G_USEC_PER_SEC, name, data ? ", \"data\": {" : "",
                        data ? data : "", data ? "}" : "");
    for (guint i = 0; i < control->sessions->len; i++)
        qmp_session_event(control->sessions->pdata[i], json);
    if (g_str_equal(name, "SHUTDOWN"))
        for (guint i = 0; i < control->sessions->len; i++)
            qmp_session_over(control->sessions->pdata[i]);
}
