/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * PS/2 keyboard and mouse: see ps2.h. IBM PS/2 Hardware Interface Technical Reference, "Keyboard" and
 * "Mouse".
 *
 * Scancodes are made from the set 1 code the caller gives: set 2 by the inverse of the controller's
 * translation table, which is in i8042.c's terms the same relation. Set 3 is refused (FE), as some keyboards
 * do.
 */
#include "emu/dev/ps2.h"

#include <glib.h>
#include <string.h>

enum {
    ACK = 0xfa,
    RESEND = 0xfe,
    BAT_OK = 0xaa,
    ECHO = 0xee,
    OVERRUN = 0x00,
    BREAK2 = 0xf0,
    EXTENDED = 0xe0
};
enum { EVENT_LONGEST = 8 }; /* Pause in set 2 */

/* ---- queues ---- */

bool ps2_take(struct ps2_queue *q, uint8_t *byte)
{
    if (q->answers) {
        *byte = q->answer[0];
        memmove(q->answer, q->answer + 1, --q->answers);
    } else if (q->events) {
        *byte = q->event[0];
        memmove(q->event, q->event + 1, --q->events);
    } else {
        return false;
    }
    q->last = *byte;
    return true;
}

/* A host that sends commands without reading answers loses answers. */
static void answer(struct ps2_queue *q, uint8_t byte)
{
    if (q->answers < PS2_ANSWERS)
        q->answer[q->answers++] = byte;
}

static bool has_room(const struct ps2_queue *q, unsigned count)
{
    return q->events + count <= PS2_EVENTS;
}

static void push(struct ps2_queue *q, const uint8_t *bytes, unsigned count)
{
    for (unsigned i = 0; i < count && q->events < PS2_EVENTS; i++)
        q->event[q->events++] = bytes[i];
}

static bool queue_check(const struct ps2_queue *q)
{
    return q->answers <= PS2_ANSWERS && q->events <= PS2_EVENTS;
}

/* ---- keyboard ---- */

enum { KEY_PAUSE = 0x145, KEY_PRINT = 0x137 };

/* Set 2 code of each set 1 code; 0: no such key. */
static const uint8_t set2_of[128] = {
    [0x01] = 0x76, [0x02] = 0x16, [0x03] = 0x1e, [0x04] = 0x26, [0x05] = 0x25, [0x06] = 0x2e, [0x07] = 0x36,
    [0x08] = 0x3d, [0x09] = 0x3e, [0x0a] = 0x46, [0x0b] = 0x45, [0x0c] = 0x4e, [0x0d] = 0x55, [0x0e] = 0x66,
    [0x0f] = 0x0d, [0x10] = 0x15, [0x11] = 0x1d, [0x12] = 0x24, [0x13] = 0x2d, [0x14] = 0x2c, [0x15] = 0x35,
    [0x16] = 0x3c, [0x17] = 0x43, [0x18] = 0x44, [0x19] = 0x4d, [0x1a] = 0x54, [0x1b] = 0x5b, [0x1c] = 0x5a,
    [0x1d] = 0x14, [0x1e] = 0x1c, [0x1f] = 0x1b, [0x20] = 0x23, [0x21] = 0x2b, [0x22] = 0x34, [0x23] = 0x33,
    [0x24] = 0x3b, [0x25] = 0x42, [0x26] = 0x4b, [0x27] = 0x4c, [0x28] = 0x52, [0x29] = 0x0e, [0x2a] = 0x12,
    [0x2b] = 0x5d, [0x2c] = 0x1a, [0x2d] = 0x22, [0x2e] = 0x21, [0x2f] = 0x2a, [0x30] = 0x32, [0x31] = 0x31,
    [0x32] = 0x3a, [0x33] = 0x41, [0x34] = 0x49, [0x35] = 0x4a, [0x36] = 0x59, [0x37] = 0x7c, [0x38] = 0x11,
    [0x39] = 0x29, [0x3a] = 0x58, [0x3b] = 0x05, [0x3c] = 0x06, [0x3d] = 0x04, [0x3e] = 0x0c, [0x3f] = 0x03,
    [0x40] = 0x0b, [0x41] = 0x83, [0x42] = 0x0a, [0x43] = 0x01, [0x44] = 0x09, [0x45] = 0x77, [0x46] = 0x7e,
    [0x47] = 0x6c, [0x48] = 0x75, [0x49] = 0x7d, [0x4a] = 0x7b, [0x4b] = 0x6b, [0x4c] = 0x73, [0x4d] = 0x74,
    [0x4e] = 0x79, [0x4f] = 0x69, [0x50] = 0x72, [0x51] = 0x7a, [0x52] = 0x70, [0x53] = 0x71, [0x54] = 0x84,
    [0x56] = 0x61, [0x57] = 0x78, [0x58] = 0x07, [0x5b] = 0x1f, [0x5c] = 0x27, [0x5d] = 0x2f, [0x5e] = 0x37,
    [0x5f] = 0x3f, [0x63] = 0x5e,
};

static unsigned one_key(const struct ps2_keyboard *k, bool extended, uint8_t code, bool down, uint8_t *out)
{
    unsigned n = 0;
    if (extended)
        out[n++] = EXTENDED;
    if (k->set == 1) {
        out[n++] = down ? code : code | 0x80;
    } else {
        if (!down)
            out[n++] = BREAK2;
        out[n++] = set2_of[code];
    }
    return n;
}

static unsigned encode_key(const struct ps2_keyboard *k, unsigned code, bool down, uint8_t out[EVENT_LONGEST])
{
    static const uint8_t pause1[] = {0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};
    static const uint8_t pause2[] = {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};
    unsigned n;
    switch (code) {
    case KEY_PAUSE: /* makes and breaks at once */
        if (!down)
            return 0;
        n = k->set == 1 ? sizeof pause1 : sizeof pause2;
        memcpy(out, k->set == 1 ? pause1 : pause2, n);
        return n;
    case KEY_PRINT: /* comes with a shift around it */
        n = one_key(k, true, down ? 0x2a : 0x37, down, out);
        return n + one_key(k, true, down ? 0x37 : 0x2a, down, out + n);
    default:
        return one_key(k, code >= 0x100, code & 0x7f, down, out);
    }
}

static void send_key(struct ps2_keyboard *k, unsigned code, bool down)
{
    uint8_t bytes[EVENT_LONGEST];
    unsigned n = encode_key(k, code, down, bytes);
    if (!has_room(&k->queue, n + 1)) { /* one byte is kept for the overrun mark */
        const uint8_t overrun = k->set == 1 ? 0xff : OVERRUN;
        if (k->queue.events && k->queue.event[k->queue.events - 1] != overrun)
            push(&k->queue, &overrun, 1);
        return;
    }
    push(&k->queue, bytes, n);
}

void ps2_keyboard_key(struct ps2_keyboard *k, unsigned code, bool down)
{
    bool known = code < 0x200 && !(code & 0x80) && set2_of[code & 0x7f];
    if (!k->scanning || !known)
        return;
    send_key(k, code, down);
    if (down)
        k->held = code == KEY_PAUSE ? 0 : (uint16_t)code;
    else if (k->held == code)
        k->held = 0;
}

void ps2_keyboard_repeat(struct ps2_keyboard *k)
{
    /* A guest that does not read gets no backlog of repeats. */
    if (k->held && k->scanning && k->queue.events == 0)
        send_key(k, k->held, true);
}

int64_t ps2_keyboard_delay(const struct ps2_keyboard *k)
{
    return (int64_t)(1 + (k->typematic >> 5 & 3)) * 250 * 1000000;
}

int64_t ps2_keyboard_period(const struct ps2_keyboard *k)
{
    return (int64_t)(8 + (k->typematic & 7)) * (1 << (k->typematic >> 3 & 3)) * 4170000;
}

static void keyboard_defaults(struct ps2_keyboard *k)
{
    k->set = 2;
    k->typematic = 0x2b; /* 10.9 a second after 500 ms */
    k->held = 0;
    k->queue.events = 0;
}

void ps2_keyboard_reset(struct ps2_keyboard *k)
{
    *k = (struct ps2_keyboard){.scanning = true};
    keyboard_defaults(k);
}

static void keyboard_parameter(struct ps2_keyboard *k, uint8_t command, uint8_t byte)
{
    k->command = 0;
    switch (command) {
    case 0xed:
        k->leds = byte & 7;
        break;
    case 0xf0:
        if (byte > 2) {
            answer(&k->queue, RESEND);
            return;
        }
        answer(&k->queue, ACK);
        if (byte == 0)
            answer(&k->queue, k->set);
        else
            k->set = byte;
        return;
    case 0xf3:
        k->typematic = byte & 0x7f;
        break;
    case 0xfb: /* key type of one key, of use in set 3 only */
    case 0xfc:
    case 0xfd:
        break;
    }
    answer(&k->queue, ACK);
}

void ps2_keyboard_command(struct ps2_keyboard *k, uint8_t byte)
{
    if (k->command && byte < 0x80) {
        keyboard_parameter(k, k->command, byte);
        return;
    }
    k->command = 0; /* a new command instead of the parameter cancels the old one */
    switch (byte) {
    case 0xed: /* LEDs */
    case 0xf0: /* scancode set */
    case 0xf3: /* typematic */
    case 0xfb:
    case 0xfc:
    case 0xfd:
        answer(&k->queue, ACK);
        k->command = byte;
        break;
    case ECHO:
        answer(&k->queue, ECHO);
        break;
    case 0xf2: /* identify: a keyboard of the MF II family */
        answer(&k->queue, ACK);
        answer(&k->queue, 0xab);
        answer(&k->queue, 0x83);
        break;
    case 0xf4:
        k->queue.events = 0;
        k->scanning = true;
        answer(&k->queue, ACK);
        break;
    case 0xf5:
        keyboard_defaults(k);
        k->scanning = false;
        answer(&k->queue, ACK);
        break;
    case 0xf6:
        keyboard_defaults(k);
        answer(&k->queue, ACK);
        break;
    case 0xf7: /* key types of all keys, of use in set 3 only */
    case 0xf8:
    case 0xf9:
    case 0xfa:
        answer(&k->queue, ACK);
        break;
    case 0xfe:
        answer(&k->queue, k->queue.last);
        break;
    case 0xff:
        ps2_keyboard_reset(k);
        answer(&k->queue, ACK);
        answer(&k->queue, BAT_OK);
        break;
    default:
        answer(&k->queue, RESEND);
        break;
    }
}

bool ps2_keyboard_check(const struct ps2_keyboard *k)
{
    return queue_check(&k->queue) && (k->set == 1 || k->set == 2) && k->held < 0x200 && !(k->held & 0x80) &&
           k->leds < 8 && k->typematic < 0x80;
}

/* ---- mouse ---- */

enum {
    PACKET_ALWAYS = 0x08,
    PACKET_SIGN_X = 0x10,
    PACKET_SIGN_Y = 0x20,
    PACKET_OVER_X = 0x40,
    PACKET_OVER_Y = 0x80
};
enum { MOTION_LIMIT = 1 << 16 };

static void mouse_defaults(struct ps2_mouse *m)
{
    m->resolution = 2;
    m->rate = 100;
    m->scaling = m->remote = m->wrap = m->reporting = false;
    m->dx = m->dy = m->dz = 0;
    m->queue.events = 0;
}

void ps2_mouse_reset(struct ps2_mouse *m)
{
    *m = (struct ps2_mouse){0};
    mouse_defaults(m);
}

static uint32_t add_motion(uint32_t pending, int by)
{
    return (uint32_t)CLAMP((int64_t)(int32_t)pending + by, -MOTION_LIMIT, MOTION_LIMIT);
}

void ps2_mouse_move(struct ps2_mouse *m, int dx, int dy, int dz, unsigned buttons)
{
    m->dx = add_motion(m->dx, dx);
    m->dy = add_motion(m->dy, -dy); /* the mouse counts upwards */
    m->dz = add_motion(m->dz, dz);
    m->buttons = buttons & 7;
    if (m->reporting && !m->remote)
        ps2_mouse_report(m);
}

/* Takes what fits in nine bits. */
static int take_motion(uint32_t *pending)
{
    int taken = CLAMP((int32_t)*pending, -255, 255);
    *pending -= (uint32_t)taken;
    return taken;
}

static unsigned make_packet(struct ps2_mouse *m, uint8_t out[4])
{
    int dx = take_motion(&m->dx), dy = take_motion(&m->dy);
    out[0] =
        (uint8_t)(PACKET_ALWAYS | m->buttons | (dx < 0 ? PACKET_SIGN_X : 0) | (dy < 0 ? PACKET_SIGN_Y : 0));
    out[1] = (uint8_t)dx;
    out[2] = (uint8_t)dy;
    m->sent_buttons = m->buttons;
    if (m->id != 3)
        return 3;
    int dz = CLAMP((int32_t)m->dz, -8, 7);
    m->dz -= (uint32_t)dz;
    out[3] = (uint8_t)dz;
    return 4;
}

void ps2_mouse_report(struct ps2_mouse *m)
{
    uint8_t packet[4];
    bool anything = m->dx || m->dy || (m->id == 3 && m->dz) || m->buttons != m->sent_buttons;
    if (m->reporting && !m->remote && !m->wrap && anything && has_room(&m->queue, sizeof packet))
        push(&m->queue, packet, make_packet(m, packet));
}

void ps2_mouse_nudge(struct ps2_mouse *m)
{
    uint8_t packet[4];
    if (m->reporting && !m->remote && !m->wrap && !m->queue.events)
        push(&m->queue, packet, make_packet(m, packet));
}

static void set_rate(struct ps2_mouse *m, uint8_t rate)
{
    static const uint8_t knock[] = {200, 100, 80};
    m->rate = rate;
    m->knock = rate == knock[m->knock] ? m->knock + 1 : rate == knock[0];
    if (m->knock == sizeof knock) {
        m->id = 3;
        m->knock = 0;
    }
}

static void mouse_status(struct ps2_mouse *m)
{
    unsigned b = m->buttons;
    answer(&m->queue, (uint8_t)((m->remote ? 0x40 : 0) | (m->reporting ? 0x20 : 0) | (m->scaling ? 0x10 : 0) |
                                (b & 1) << 2 | (b >> 2 & 1) << 1 | (b >> 1 & 1)));
    answer(&m->queue, m->resolution);
    answer(&m->queue, m->rate);
}

static void mouse_parameter(struct ps2_mouse *m, uint8_t command, uint8_t byte)
{
    m->command = 0;
    answer(&m->queue, ACK);
    if (command == 0xf3)
        set_rate(m, byte);
    else
        m->resolution = byte & 3;
}

static void mouse_simple(struct ps2_mouse *m, uint8_t byte)
{
    switch (byte) {
    case 0xe6:
    case 0xe7:
        m->scaling = byte == 0xe7;
        break;
    case 0xea: /* stream mode */
    case 0xf0: /* remote mode */
        m->remote = byte == 0xf0;
        m->queue.events = 0;
        break;
    case 0xec:
        m->wrap = false;
        break;
    case 0xee:
        m->wrap = true;
        break;
    case 0xf4:
        m->reporting = true;
        m->queue.events = 0;
        break;
    case 0xf5:
        m->reporting = false;
        m->queue.events = 0;
        break;
    case 0xf6:
        mouse_defaults(m);
        break;
    }
    answer(&m->queue, ACK);
}

void ps2_mouse_command(struct ps2_mouse *m, uint8_t byte)
{
    if (m->wrap && byte != 0xec && byte != 0xff) {
        answer(&m->queue, byte);
        return;
    }
    if (m->command) {
        mouse_parameter(m, m->command, byte);
        return;
    }
    switch (byte) {
    case 0xe8: /* resolution */
    case 0xf3: /* sample rate */
        answer(&m->queue, ACK);
        m->command = byte;
        break;
    case 0xe9:
        answer(&m->queue, ACK);
        mouse_status(m);
        break;
    case 0xeb: { /* read data */
        uint8_t packet[4];
        answer(&m->queue, ACK);
        unsigned n = make_packet(m, packet);
        for (unsigned i = 0; i < n; i++)
            answer(&m->queue, packet[i]);
        break;
    }
    case 0xf2:
        answer(&m->queue, ACK);
        answer(&m->queue, m->id);
        break;
    case 0xfe:
        answer(&m->queue, m->queue.last);
        break;
    case 0xff:
        ps2_mouse_reset(m);
        answer(&m->queue, ACK);
        answer(&m->queue, BAT_OK);
        answer(&m->queue, 0);
        break;
    case 0xe6:
    case 0xe7:
    case 0xea:
    case 0xec:
    case 0xee:
    case 0xf0:
    case 0xf4:
    case 0xf5:
    case 0xf6:
        mouse_simple(m, byte);
        break;
    default:
        answer(&m->queue, RESEND);
        break;
    }
}

bool ps2_mouse_check(const struct ps2_mouse *m)
{
    int32_t dx = (int32_t)m->dx, dy = (int32_t)m->dy, dz = (int32_t)m->dz;
    return queue_check(&m->queue) && (m->id == 0 || m->id == 3) && m->knock < 3 && m->resolution < 4 &&
           m->buttons < 8 && m->sent_buttons < 8 && ABS(dx) <= MOTION_LIMIT && ABS(dy) <= MOTION_LIMIT &&
           ABS(dz) <= MOTION_LIMIT && dx != INT32_MIN && dy != INT32_MIN && dz != INT32_MIN;
}
