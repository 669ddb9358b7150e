/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Back ends whose other end is in the program: a text console (vc) and a serial mouse (msmouse).
 *
 * A console may be written to before the display is there that shows it: the last WAITING_MOST bytes are kept
 * until then.
 *
 * The mouse is Microsoft's, with the third button and the wheel of the IntelliMouse: 1200 bits a second,
 * seven data bits, packets of three bytes and, when the middle button or the wheel has changed, a fourth. It
 * is fed by the modem lines: when RTS comes on while DTR is, it says what it is ("M3", and the Plug and Play
 * name that follows in the External COM Device Specification). Motion that a guest has no room for is added
 * up.
 */
#include "emu/char/char_internal.h"

#include <string.h>

enum { WAITING_MOST = 64 << 10 };

/* ---- vc ---- */

struct vc {
    void (*show)(void *opaque, const uint8_t *data, size_t len);
    void *opaque;
    GByteArray *waiting; /* NULL once it is shown */
};

static void vc_write(struct char_port *port, const uint8_t *data, size_t len)
{
    struct vc *vc = port->kind;
    if (vc->show) {
        vc->show(vc->opaque, data, len);
        return;
    }
    g_byte_array_append(vc->waiting, data, (guint)MIN(len, (size_t)WAITING_MOST));
    if (vc->waiting->len > WAITING_MOST)
        g_byte_array_remove_range(vc->waiting, 0, vc->waiting->len - WAITING_MOST);
}

static void vc_free(struct char_port *port)
{
    struct vc *vc = port->kind;
    if (vc->waiting)
        g_byte_array_free(vc->waiting, TRUE);
    g_free(vc);
}

static const struct char_ops vc_ops = {.kind = "vc", .write = vc_write, .free = vc_free};

struct char_port *char_vc_open(const char *id, const struct char_spec *spec, struct loop *loop)
{
    struct char_port *port = char_port_new(id, &vc_ops, loop);
    struct vc *vc = g_new0(struct vc, 1);
    vc->waiting = g_byte_array_new();
    port->kind = vc;
    port->text = g_strdup("vc");
    port->has_escapes = spec->mux;
    port->open = true;
    return port;
}

bool char_is_vc(const struct char_port *port)
{
    return port->ops == &vc_ops;
}

void char_vc_attach(struct char_port *port, void (*show)(void *opaque, const uint8_t *data, size_t len),
                    void *opaque)
{
    struct vc *vc = port->kind;
    vc->show = show;
    vc->opaque = opaque;
    if (show && vc->waiting) {
        show(opaque, vc->waiting->data, vc->waiting->len);
        g_byte_array_free(vc->waiting, TRUE);
        vc->waiting = NULL;
    }
}

void char_vc_typed(struct char_port *port, const uint8_t *data, size_t len)
{
    if (char_is_vc(port)) /* and nothing else came into its place */
        char_port_deliver(port, data, len);
}

/* ---- msmouse ---- */

enum { MOTION_MOST = 127, PACKET_BYTES = 4 };

struct mouse {
    unsigned lines; /* CHAR_DTR, CHAR_RTS as the guest has them */
    int dx, dy, dz;
    unsigned buttons, told; /* now, and as the guest knows them */
};

static void mouse_write(struct char_port *port, const uint8_t *data, size_t len)
{
}

/* A packet: 01LRYYXX 00XXXXXX 00YYYYYY, then with the middle button or the wheel 000MZZZZ. */
static void send_motion(struct char_port *port)
{
    struct mouse *m = port->kind;
    bool fourth = m->dz || (m->buttons ^ m->told) & 4;
    while (port->credit >= PACKET_BYTES && !port->in_len &&
           (m->dx || m->dy || m->dz || m->buttons != m->told)) {
        int dx = CLAMP(m->dx, -MOTION_MOST, MOTION_MOST), dy = CLAMP(m->dy, -MOTION_MOST, MOTION_MOST);
        int dz = CLAMP(m->dz, -8, 7);
        uint8_t packet[PACKET_BYTES] = {(uint8_t)(0x40 | (m->buttons & 1) << 5 | (m->buttons & 2) << 3 |
                                                  (dy >> 4 & 0x0c) | (dx >> 6 & 3)),
                                        (uint8_t)(dx & 0x3f), (uint8_t)(dy & 0x3f),
                                        (uint8_t)((m->buttons & 4) << 2 | (dz & 15))};
        m->dx -= dx;
        m->dy -= dy;
        m->dz -= dz;
        m->told = m->buttons;
        char_port_deliver(port, packet, fourth ? 4 : 3);
        fourth = m->dz != 0;
    }
}

static void mouse_accept(struct char_port *port)
{
    if (port->delivering)
        return;
    char_port_deliver(port, NULL, 0); /* what did not fit before */
    send_motion(port);
}

/* What it is: a mouse with wheel; then revision 1.0, maker, model, no serial number, class, and the
 * compatible device. A device of seven data bits sends these as their code less 0x20; the checksum may be
 * left out. */
static void introduce(struct char_port *port)
{
    static const char name[] = "NLB0001\\\\MOUSE\\PNP0F01";
    uint8_t hello[64] = {'M', '3', '(' - 0x20, 0x01, 0x24};
    unsigned len = 5;
    for (const char *c = name; *c; c++)
        hello[len++] = (uint8_t)(*c - 0x20);
    hello[len++] = ')' - 0x20;
    char_port_deliver(port, hello, len);
}

static void mouse_set_modem(struct char_port *port, unsigned lines)
{
    struct mouse *m = port->kind;
    bool powered = (lines & (CHAR_DTR | CHAR_RTS)) == (CHAR_DTR | CHAR_RTS);
    bool was = (m->lines & (CHAR_DTR | CHAR_RTS)) == (CHAR_DTR | CHAR_RTS);
    m->lines = lines;
    if (powered == was)
        return;
    port->in_len = 0;
    m->dx = m->dy = m->dz = 0;
    m->told = m->buttons;
    if (powered)
        introduce(port);
}

static void mouse_free(struct char_port *port)
{
    g_free(port->kind);
}

static const struct char_ops mouse_ops = {.kind = "msmouse",
                                          .write = mouse_write,
                                          .accept = mouse_accept,
                                          .set_modem = mouse_set_modem,
                                          .free = mouse_free};

struct char_port *char_mouse_open(const char *id, struct loop *loop)
{
    struct char_port *port = char_port_new(id, &mouse_ops, loop);
    port->kind = g_new0(struct mouse, 1);
    port->text = g_strdup("msmouse");
    port->open = true;
    return port;
}

bool char_is_mouse(const struct char_port *port)
{
    return char_behind(port)->ops == &mouse_ops;
}

bool char_mouse_move(struct char_port *port, int dx, int dy, int dz, unsigned buttons)
{
    port = char_behind(port);
    struct mouse *m = port->kind;
    m->buttons = buttons & 7;
    if ((m->lines & (CHAR_DTR | CHAR_RTS)) != (CHAR_DTR | CHAR_RTS))
        return false;
    m->dx = CLAMP(m->dx + dx, -10000, 10000);
    m->dy = CLAMP(m->dy + dy, -10000, 10000);
    m->dz = CLAMP(m->dz + dz, -100, 100);
    send_motion(port);
    return true;
}
