/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Two ports on one terminal (mon:stdio): a serial port and the monitor. What is typed goes to the face in
 * front; switching discards what the other face has not taken, so that a line typed at a hung guest does not
 * become a monitor command.
 */
#include "emu/char/char_internal.h"

struct char_mux {
    struct char_port *terminal;
    struct char_port *face[2];
    unsigned front;
};

static void face_write(struct char_port *port, const uint8_t *data, size_t len)
{
    struct char_mux *mux = port->kind;
    char_write(mux->terminal, data, len);
}

static void face_accept(struct char_port *port)
{
    struct char_mux *mux = port->kind;
    if (mux->face[mux->front] == port)
        char_accept(mux->terminal, port->credit);
}

static const struct char_ops face_ops = {.kind = "mux", .write = face_write, .accept = face_accept};

static void mux_input(void *opaque, const uint8_t *data, size_t len)
{
    struct char_mux *mux = opaque;
    struct char_port *face = mux->face[mux->front];
    face->credit = face->credit > len ? face->credit - len : 0;
    if (face->events && face->events->input)
        face->events->input(face->opaque, data, len);
}

static void mux_opened(void *opaque)
{
    struct char_mux *mux = opaque;
    for (unsigned i = 0; i < G_N_ELEMENTS(mux->face); i++) {
        struct char_port *face = mux->face[i];
        face->open = true;
        if (face->events && face->events->opened)
            face->events->opened(face->opaque);
    }
}

static void mux_closed(void *opaque)
{
    struct char_mux *mux = opaque;
    for (unsigned i = 0; i < G_N_ELEMENTS(mux->face); i++) {
        struct char_port *face = mux->face[i];
        face->open = false;
        if (face->events && face->events->closed)
            face->events->closed(face->opaque);
    }
}

static void mux_broke(void *opaque)
{
    struct char_mux *mux = opaque;
    struct char_port *face = mux->face[mux->front];
    if (face->events && face->events->broke)
        face->events->broke(face->opaque);
}

static const struct char_events mux_events = {
    .input = mux_input, .opened = mux_opened, .closed = mux_closed, .broke = mux_broke};

struct char_mux *char_mux_new(struct char_port *terminal)
{
    struct char_mux *mux = g_new0(struct char_mux, 1);
    mux->terminal = terminal;
    for (unsigned i = 0; i < G_N_ELEMENTS(mux->face); i++) {
        mux->face[i] = char_port_new(char_id(terminal), &face_ops, terminal->loop);
        mux->face[i]->text = g_strdup(char_spec(terminal));
        mux->face[i]->kind = mux;
        mux->face[i]->open = char_is_open(terminal);
    }
    char_connect(terminal, &mux_events, mux);
    return mux;
}

void char_mux_free(struct char_mux *mux)
{
    if (!mux)
        return;
    char_connect(mux->terminal, NULL, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(mux->face); i++)
        char_free(mux->face[i]);
    g_free(mux);
}

struct char_port *char_mux_face(struct char_mux *mux, unsigned face)
{
    return mux->face[face & 1];
}

void char_mux_switch(struct char_mux *mux, unsigned face)
{
    mux->front = face & 1;
    mux->terminal->in_len = 0;
    char_accept(mux->terminal, mux->face[mux->front]->credit);
}

unsigned char_mux_front(const struct char_mux *mux)
{
    return mux->front;
}

bool char_is_shared(const struct char_port *port)
{
    return port->ops == &face_ops;
}
