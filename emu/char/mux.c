/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Several ports on one terminal (mon:stdio, mux=on): serial ports and a monitor, say. What is typed goes to
 * the face in front; switching discards what the other face has not taken, so that a line typed at a hung
 * guest does not become a monitor command.
 */
#include "emu/char/char_internal.h"

struct char_mux {
    struct char_port *terminal;
    struct char_port *face[CHAR_MUX_FACES];
    unsigned faces, front;
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

/* The line's settings are those of the face in front. */
static void face_set_line(struct char_port *port, const struct char_line *line)
{
    struct char_mux *mux = port->kind;
    if (mux->face[mux->front] == port)
        char_set_line(mux->terminal, line);
}

static void face_set_break(struct char_port *port, bool on)
{
    char_set_break(((struct char_mux *)port->kind)->terminal, on);
}

static void face_set_modem(struct char_port *port, unsigned lines)
{
    struct char_mux *mux = port->kind;
    if (mux->face[mux->front] == port)
        char_set_modem(mux->terminal, lines);
}

static bool face_modem(struct char_port *port, unsigned *lines)
{
    return char_modem(((struct char_mux *)port->kind)->terminal, lines);
}

static const struct char_ops face_ops = {.kind = "mux",
                                         .write = face_write,
                                         .accept = face_accept,
                                         .set_line = face_set_line,
                                         .set_break = face_set_break,
                                         .set_modem = face_set_modem,
                                         .modem = face_modem};

static void mux_input(void *opaque, const uint8_t *data, size_t len)
{
    struct char_mux *mux = opaque;
    struct char_port *face = mux->face[mux->front];
    if (!face)
        return;
    face->credit = face->credit > len ? face->credit - len : 0;
    if (face->events && face->events->input)
        face->events->input(face->opaque, data, len);
}

static void mux_opened(void *opaque)
{
    struct char_mux *mux = opaque;
    for (unsigned i = 0; i < mux->faces; i++) {
        struct char_port *face = mux->face[i];
        face->open = true;
        if (face->events && face->events->opened)
            face->events->opened(face->opaque);
    }
}

static void mux_closed(void *opaque)
{
    struct char_mux *mux = opaque;
    for (unsigned i = 0; i < mux->faces; i++) {
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
    if (face && face->events && face->events->broke)
        face->events->broke(face->opaque);
}

static const struct char_events mux_events = {
    .input = mux_input, .opened = mux_opened, .closed = mux_closed, .broke = mux_broke};

struct char_mux *char_mux_new(struct char_port *terminal)
{
    struct char_mux *mux = g_new0(struct char_mux, 1);
    mux->terminal = terminal;
    char_connect(terminal, &mux_events, mux);
    return mux;
}

void char_mux_free(struct char_mux *mux)
{
    if (!mux)
        return;
    char_connect(mux->terminal, NULL, NULL);
    for (unsigned i = 0; i < mux->faces; i++)
        char_free(mux->face[i]);
    g_free(mux);
}

struct char_port *char_mux_face(struct char_mux *mux, unsigned face)
{
    g_assert(face < CHAR_MUX_FACES);
    for (; mux->faces <= face; mux->faces++) {
        struct char_port *made = char_port_new(char_id(mux->terminal), &face_ops, mux->terminal->loop);
        made->text = g_strdup(char_spec(mux->terminal));
        made->kind = mux;
        made->open = char_is_open(mux->terminal);
        mux->face[mux->faces] = made;
    }
    return mux->face[face];
}

unsigned char_mux_faces(const struct char_mux *mux)
{
    return mux->faces;
}

void char_mux_switch(struct char_mux *mux, unsigned face)
{
    struct char_port *front = char_mux_face(mux, face);
    mux->front = face;
    mux->terminal->in_len = 0;
    char_accept(mux->terminal, front->credit);
}

unsigned char_mux_front(const struct char_mux *mux)
{
    return mux->front;
}

bool char_is_shared(const struct char_port *port)
{
    return port->ops == &face_ops;
}
