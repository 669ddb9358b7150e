/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Another back end in the place of one that is in use: chardev-change.
 *
 * Who uses a port holds its pointer, so the port stays, and what made it a file or a socket is taken out of
 * it. From then on it is a relay: what is written goes to the port behind it, which it owns, and what that
 * one reads comes back by it. Settings of the line are kept by every port and told the new one.
 */
#include "emu/char/char_internal.h"

static void relay_write(struct char_port *port, const uint8_t *data, size_t len)
{
    char_write(port->kind, data, len);
}

static void relay_accept(struct char_port *port)
{
    char_accept(port->kind, port->credit);
}

static void relay_set_line(struct char_port *port, const struct char_line *line)
{
    char_set_line(port->kind, line);
}

static void relay_set_break(struct char_port *port, bool on)
{
    char_set_break(port->kind, on);
}

static void relay_set_modem(struct char_port *port, unsigned lines)
{
    char_set_modem(port->kind, lines);
}

static bool relay_modem(struct char_port *port, unsigned *lines)
{
    return char_modem(port->kind, lines);
}

static void relay_free(struct char_port *port)
{
    struct char_port *behind = port->kind;
    port->dropped += behind->dropped;
    char_free(behind);
    port->kind = NULL;
}

static const struct char_ops relay_ops = {.kind = "relay",
                                          .write = relay_write,
                                          .accept = relay_accept,
                                          .set_line = relay_set_line,
                                          .set_break = relay_set_break,
                                          .set_modem = relay_set_modem,
                                          .modem = relay_modem,
                                          .free = relay_free};

/* ---- what the port behind tells ---- */

static void behind_input(void *opaque, const uint8_t *data, size_t len)
{
    struct char_port *port = opaque;
    port->credit = port->credit > len ? port->credit - len : 0;
    if (port->events && port->events->input)
        port->events->input(port->opaque, data, len);
}

static void behind_opened(void *opaque)
{
    struct char_port *port = opaque;
    port->open = true;
    if (port->events && port->events->opened)
        port->events->opened(port->opaque);
}

static void behind_closed(void *opaque)
{
    struct char_port *port = opaque;
    bool was_open = port->open;
    port->open = false;
    if (was_open && port->events && port->events->closed)
        port->events->closed(port->opaque);
}

static void behind_broke(void *opaque)
{
    char_broken(opaque);
}

static const struct char_events behind_events = {
    .input = behind_input, .opened = behind_opened, .closed = behind_closed, .broke = behind_broke};

/* ---- the exchange ---- */

struct char_port *char_behind(const struct char_port *port)
{
    return (struct char_port *)(port->ops == &relay_ops ? port->kind : port);
}

bool char_may_change(const struct char_port *port)
{
    return !port->events || port->events->may_change;
}

void char_replace(struct char_port *port, struct char_port *with)
{
    const struct char_events *events = port->events;
    bool was_open = port->open;
    port->events = NULL;
    char_port_clear(port);
    port->ops = &relay_ops;
    port->kind = with;
    port->text = g_strdup(with->text);
    port->events = events;
    port->open = with->open;
    if (was_open && !with->open && events && events->closed)
        events->closed(port->opaque);
    char_connect(with, &behind_events, port);
    if (port->told_line)
        char_set_line(with, &port->line);
    if (port->told_modem)
        char_set_modem(with, port->modem_lines);
    if (port->breaking)
        char_set_break(with, true);
    char_accept(with, port->credit);
}
