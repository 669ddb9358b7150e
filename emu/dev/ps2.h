/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The devices at the two plugs of the keyboard controller: a keyboard (scancode sets 1 and 2) and a mouse
 * (standard, and IntelliMouse after its knock). i8042.c embeds them, saves them, and takes their bytes.
 *
 * A device has two queues: answers to commands, which go first, and events. Both are bounded; what does not
 * fit is dropped the way the hardware does it.
 */
#pragma once

#include "emu/machine/clock.h"
#include "emu/snapshot/state.h"

enum { PS2_ANSWERS = 8, PS2_EVENTS = 32 };

struct ps2_queue {
    uint8_t answer[PS2_ANSWERS], event[PS2_EVENTS];
    uint8_t answers, events; /* bytes in each; [0] is the oldest */
    uint8_t last;            /* byte taken last, for Resend */
};
/* Next byte for the controller; false when there is none. */
bool ps2_take(struct ps2_queue *queue, uint8_t *byte);

struct ps2_keyboard {
    struct ps2_queue queue;
    uint8_t command; /* waiting for its parameter; 0: none */
    uint8_t set;     /* 1 or 2 */
    uint8_t leds;
    uint8_t typematic;
    bool scanning;
    uint16_t held; /* key that repeats, 0: none */
};
void ps2_keyboard_reset(struct ps2_keyboard *keyboard);
void ps2_keyboard_command(struct ps2_keyboard *keyboard, uint8_t byte);
/* See i8042_key(). */
void ps2_keyboard_key(struct ps2_keyboard *keyboard, unsigned code, bool down);
/* The held key repeats: called at the times the two below give. */
void ps2_keyboard_repeat(struct ps2_keyboard *keyboard);
int64_t ps2_keyboard_delay(const struct ps2_keyboard *keyboard);  /* ns until the first repeat */
int64_t ps2_keyboard_period(const struct ps2_keyboard *keyboard); /* ns between repeats */

struct ps2_mouse {
    struct ps2_queue queue;
    uint8_t command;
    uint8_t id;    /* 0 standard, 3 with wheel */
    uint8_t knock; /* how far the 200, 100, 80 sequence has come */
    uint8_t resolution, rate;
    uint8_t buttons;
    uint8_t sent_buttons; /* as the last packet had them */
    bool scaling, remote, wrap, reporting;
    uint32_t dx, dy, dz; /* pending motion, two's complement, bounded */
};
void ps2_mouse_reset(struct ps2_mouse *mouse);
void ps2_mouse_command(struct ps2_mouse *mouse, uint8_t byte);
void ps2_mouse_move(struct ps2_mouse *mouse, int dx, int dy, int dz, unsigned buttons);
/* Queues a packet when there is something to report and room for it. */
void ps2_mouse_report(struct ps2_mouse *mouse);
/* Queues a packet even when there is nothing to report. */
void ps2_mouse_nudge(struct ps2_mouse *mouse);

#define PS2_QUEUE_STATE(type, member)                                                                        \
    STATE_ARRAY(type, BYTES, member.answer), STATE_ARRAY(type, BYTES, member.event),                         \
        STATE(type, U8, member.answers), STATE(type, U8, member.events), STATE(type, U8, member.last)
#define PS2_KEYBOARD_STATE(type, member)                                                                     \
    PS2_QUEUE_STATE(type, member.queue), STATE(type, U8, member.command), STATE(type, U8, member.set),       \
        STATE(type, U8, member.leds), STATE(type, U8, member.typematic), STATE(type, BOOL, member.scanning), \
        STATE(type, U16, member.held)
#define PS2_MOUSE_STATE(type, member)                                                                        \
    PS2_QUEUE_STATE(type, member.queue), STATE(type, U8, member.command), STATE(type, U8, member.id),        \
        STATE(type, U8, member.knock), STATE(type, U8, member.resolution), STATE(type, U8, member.rate),     \
        STATE(type, U8, member.buttons), STATE(type, U8, member.sent_buttons),                               \
        STATE(type, BOOL, member.scaling), STATE(type, BOOL, member.remote), STATE(type, BOOL, member.wrap), \
        STATE(type, BOOL, member.reporting), STATE(type, U32, member.dx), STATE(type, U32, member.dy),       \
        STATE(type, U32, member.dz)
/* False when loaded values are ones the devices can never have. */
bool ps2_keyboard_check(const struct ps2_keyboard *keyboard);
bool ps2_mouse_check(const struct ps2_mouse *mouse);
