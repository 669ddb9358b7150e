/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The keyboard controller: see i8042.h. IBM PS/2 Hardware Interface Technical Reference, "Keyboard and
 * auxiliary device controller"; the pulse and output port commands as every AT clone has them.
 *
 * There is one output buffer. refill() puts the next byte there when it is free: the controller's own answers
 * at once, else the keyboard's, else the mouse's, unless the port's clock is disabled by the command byte.
 * Bytes travel in no time, but a new one appears only after the previous was read, with a falling interrupt
 * line in between. The output buffer's byte stays readable after it was taken, as on hardware.
 */
#include "emu/dev/i8042.h"
#include "emu/dev/ps2.h"
#include "emu/trace.h"

#include <gio/gio.h>

enum { DATA_PORT = 0x60, COMMAND_PORT = 0x64 };
enum {
    STATUS_OBF = 1,
    STATUS_SYSTEM = 4,
    STATUS_COMMAND = 8,
    STATUS_UNLOCKED = 0x10,
    STATUS_AUX = 0x20,
    STATUS_TIMEOUT = 0x40
};
enum {
    CTR_KEYBOARD_INT = 1,
    CTR_MOUSE_INT = 2,
    CTR_SYSTEM = 4,
    CTR_KEYBOARD_OFF = 0x10,
    CTR_MOUSE_OFF = 0x20,
    CTR_TRANSLATE = 0x40
};
enum { OUT_NOT_RESET = 1, OUT_A20 = 2, OUT_KEYBOARD_FULL = 0x10, OUT_MOUSE_FULL = 0x20, OUT_CLOCKS = 0xc0 };
enum { BREAK2 = 0xf0, RAM_SIZE = 32 };

enum source { FROM_NOBODY, FROM_CONTROLLER, FROM_KEYBOARD, FROM_MOUSE };

struct i8042 {
    struct device device;
    struct i8042_wiring wiring;
    struct clock *clock;
    struct clock_timer *repeat;
    uint8_t ram[RAM_SIZE]; /* [0] is the command byte */
    uint8_t status;        /* system flag, last write was a command, time-out */
    uint8_t pending;       /* command waiting for a byte at 0x60; 0: none */
    uint8_t out;           /* the output buffer */
    uint8_t out_from;      /* enum source */
    bool breaking;         /* translation has seen F0 */
    uint64_t repeat_at;    /* ns, 0: never; for saved state */
    struct ps2_keyboard keyboard;
    struct ps2_mouse mouse;
};

/* What the controller makes of set 2 codes when CTR_TRANSLATE is set. */
static const uint8_t translation[128] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, /* 00 */
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, /* 10 */
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, /* 20 */
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, /* 30 */
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, /* 40 */
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, /* 50 */
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, /* 60 */
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, /* 70 */
};

static uint8_t ctr(const struct i8042 *kbc)
{
    return kbc->ram[0];
}

/* ---- output buffer ---- */

static void update_irq(struct i8042 *kbc)
{
    bool keyboard = kbc->out_from == FROM_KEYBOARD || kbc->out_from == FROM_CONTROLLER;
    irq_set(&kbc->wiring.irq_keyboard, keyboard && ctr(kbc) & CTR_KEYBOARD_INT);
    irq_set(&kbc->wiring.irq_mouse, kbc->out_from == FROM_MOUSE && ctr(kbc) & CTR_MOUSE_INT);
}

static void fill(struct i8042 *kbc, uint8_t byte, enum source from)
{
    kbc->out = byte;
    kbc->out_from = (uint8_t)from;
    update_irq(kbc);
}

/* False when the byte was swallowed (the break prefix). */
static bool translate(struct i8042 *kbc, uint8_t *byte)
{
    if (!(ctr(kbc) & CTR_TRANSLATE))
        return true;
    if (*byte == BREAK2) {
        kbc->breaking = true;
        return false;
    }
    if (*byte < 0x80)
        *byte = translation[*byte];
    else if (*byte == 0x83)
        *byte = 0x41;
    else if (*byte == 0x84)
        *byte = 0x54;
    if (kbc->breaking)
        *byte |= 0x80;
    kbc->breaking = false;
    return true;
}

static void refill(struct i8042 *kbc)
{
    uint8_t byte;
    while (kbc->out_from == FROM_NOBODY && !(ctr(kbc) & CTR_KEYBOARD_OFF) &&
           ps2_take(&kbc->keyboard.queue, &byte))
        if (translate(kbc, &byte))
            fill(kbc, byte, FROM_KEYBOARD);
    if (kbc->out_from != FROM_NOBODY || ctr(kbc) & CTR_MOUSE_OFF || !kbc->wiring.mouse)
        return;
    ps2_mouse_report(&kbc->mouse);
    if (ps2_take(&kbc->mouse.queue, &byte))
        fill(kbc, byte, FROM_MOUSE);
}

/* The controller's own answer replaces what stands in the buffer: a guest that commands does not wait for
 * keys. */
static void reply(struct i8042 *kbc, uint8_t byte)
{
    kbc->out_from = FROM_NOBODY;
    update_irq(kbc);
    fill(kbc, byte, FROM_CONTROLLER);
}

static uint8_t data_read(struct i8042 *kbc)
{
    uint8_t byte = kbc->out;
    if (kbc->out_from == FROM_NOBODY)
        return byte;
    kbc->out_from = FROM_NOBODY;
    kbc->status &= (uint8_t)~STATUS_TIMEOUT;
    update_irq(kbc);
    refill(kbc);
    return byte;
}

/* ---- typematic ---- */

static void repeat_fire(void *opaque)
{
    struct i8042 *kbc = opaque;
    if (!kbc->keyboard.held)
        return;
    ps2_keyboard_repeat(&kbc->keyboard);
    refill(kbc);
    clock_timer_set(kbc->repeat, clock_now(kbc->clock) + ps2_keyboard_period(&kbc->keyboard));
}

void i8042_key(struct i8042 *kbc, unsigned code, bool down)
{
    ps2_keyboard_key(&kbc->keyboard, code, down);
    if (kbc->keyboard.held)
        clock_timer_set(kbc->repeat, clock_now(kbc->clock) + ps2_keyboard_delay(&kbc->keyboard));
    else
        clock_timer_cancel(kbc->repeat);
    refill(kbc);
}

void i8042_mouse(struct i8042 *kbc, int dx, int dy, int dz, unsigned buttons)
{
    if (!kbc->wiring.mouse)
        return;
    ps2_mouse_move(&kbc->mouse, dx, dy, dz, buttons);
    refill(kbc);
}

void i8042_mouse_nudge(struct i8042 *kbc)
{
    if (!kbc->wiring.mouse)
        return;
    ps2_mouse_nudge(&kbc->mouse);
    refill(kbc);
}

unsigned i8042_key_room(const struct i8042 *kbc)
{
    return PS2_EVENTS - kbc->keyboard.queue.events;
}

unsigned i8042_leds(const struct i8042 *kbc)
{
    return kbc->keyboard.leds;
}

/* ---- commands ---- */

static void pulse_reset(struct i8042 *kbc)
{
    trace(I8042, "the guest resets the machine");
    irq_set(&kbc->wiring.reset, true);
    irq_set(&kbc->wiring.reset, false);
}

static uint8_t output_port(const struct i8042 *kbc)
{
    bool keyboard = kbc->out_from == FROM_KEYBOARD || kbc->out_from == FROM_CONTROLLER;
    return (uint8_t)(OUT_NOT_RESET | OUT_CLOCKS | (a20_get(kbc->wiring.a20) ? OUT_A20 : 0) |
                     (keyboard ? OUT_KEYBOARD_FULL : 0) | (kbc->out_from == FROM_MOUSE ? OUT_MOUSE_FULL : 0));
}

static void write_output_port(struct i8042 *kbc, uint8_t value)
{
    a20_set(kbc->wiring.a20, value & OUT_A20);
    if (!(value & OUT_NOT_RESET))
        pulse_reset(kbc);
}

static void write_command_byte(struct i8042 *kbc, uint8_t value)
{
    kbc->ram[0] = value;
    kbc->status = (uint8_t)((kbc->status & ~STATUS_SYSTEM) | (value & CTR_SYSTEM ? STATUS_SYSTEM : 0));
    update_irq(kbc);
}

static void to_mouse(struct i8042 *kbc, uint8_t value)
{
    kbc->ram[0] &= (uint8_t)~CTR_MOUSE_OFF; /* sending enables the clock */
    if (kbc->wiring.mouse) {
        ps2_mouse_command(&kbc->mouse, value);
        return;
    }
    /* Nobody pulls the clock line: the controller gives up. */
    kbc->status |= STATUS_TIMEOUT;
    fill(kbc, 0xfe, FROM_MOUSE);
}

static void data_write(struct i8042 *kbc, uint8_t value)
{
    uint8_t command = kbc->pending;
    kbc->pending = 0;
    if (command >= 0x60 && command <= 0x7f) {
        if (command == 0x60)
            write_command_byte(kbc, value);
        else
            kbc->ram[command & (RAM_SIZE - 1)] = value;
        refill(kbc);
        return;
    }
    switch (command) {
    case 0xd1:
        write_output_port(kbc, value);
        break;
    case 0xd2: /* as if the keyboard had sent it; not translated */
        kbc->out_from = FROM_NOBODY;
        update_irq(kbc);
        fill(kbc, value, FROM_KEYBOARD);
        break;
    case 0xd3:
        kbc->out_from = FROM_NOBODY;
        update_irq(kbc);
        fill(kbc, value, FROM_MOUSE);
        break;
    case 0xd4:
        to_mouse(kbc, value);
        refill(kbc);
        break;
    default: /* to the keyboard; sending enables its clock */
        kbc->ram[0] &= (uint8_t)~CTR_KEYBOARD_OFF;
        ps2_keyboard_command(&kbc->keyboard, value);
        if (!kbc->keyboard.held)
            clock_timer_cancel(kbc->repeat);
        refill(kbc);
        break;
    }
}

static void command_write(struct i8042 *kbc, uint8_t command)
{
    kbc->pending = 0;
    if (command >= 0x20 && command <= 0x3f) {
        reply(kbc, kbc->ram[command & (RAM_SIZE - 1)]);
        return;
    }
    if (command >= 0x60 && command <= 0x7f) {
        kbc->pending = command;
        return;
    }
    if (command >= 0xf0) { /* pulses the output port bits whose command bit is 0 */
        if (!(command & OUT_NOT_RESET))
            pulse_reset(kbc);
        return;
    }
    switch (command) {
    case 0xa4: /* no password installed */
        reply(kbc, 0xf1);
        break;
    case 0xa7:
        kbc->ram[0] |= CTR_MOUSE_OFF;
        break;
    case 0xa8:
        kbc->ram[0] &= (uint8_t)~CTR_MOUSE_OFF;
        refill(kbc);
        break;
    case 0xa9: /* interface tests: no error */
    case 0xab:
        reply(kbc, 0x00);
        break;
    case 0xaa: /* self-test */
        kbc->status |= STATUS_SYSTEM;
        reply(kbc, 0x55);
        break;
    case 0xad:
        kbc->ram[0] |= CTR_KEYBOARD_OFF;
        break;
    case 0xae:
        kbc->ram[0] &= (uint8_t)~CTR_KEYBOARD_OFF;
        refill(kbc);
        break;
    case 0xc0: /* input port: not locked, colour display */
        reply(kbc, 0x80);
        break;
    case 0xd0:
        reply(kbc, output_port(kbc));
        break;
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xd4:
        kbc->pending = command;
        break;
    case 0xdd: /* A20 off and on without a parameter, as several chip sets have it */
    case 0xdf:
        a20_set(kbc->wiring.a20, command & OUT_A20);
        break;
    case 0xe0: /* test inputs: both clocks low */
        reply(kbc, 0x00);
        break;
    default:
        trace(I8042, "unknown command %02x", command);
        break;
    }
}

static uint32_t i8042_read(void *opaque, uint16_t port, unsigned size)
{
    struct i8042 *kbc = opaque;
    if (port == COMMAND_PORT)
        return kbc->status | STATUS_UNLOCKED | (kbc->out_from != FROM_NOBODY ? STATUS_OBF : 0u) |
               (kbc->out_from == FROM_MOUSE ? STATUS_AUX : 0u);
    uint8_t byte = data_read(kbc);
    trace(I8042, "read data %02x", byte);
    return byte;
}

static void i8042_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct i8042 *kbc = opaque;
    trace(I8042, "write %s %02x", port == COMMAND_PORT ? "command" : "data", value);
    if (port == COMMAND_PORT) {
        kbc->status |= STATUS_COMMAND;
        command_write(kbc, (uint8_t)value);
    } else {
        kbc->status &= (uint8_t)~STATUS_COMMAND;
        data_write(kbc, (uint8_t)value);
    }
}

static const struct portio_ops i8042_ops = {.read = i8042_read, .write = i8042_write};

/* ---- device ---- */

static void i8042_reset(struct device *device)
{
    struct i8042 *kbc = (struct i8042 *)device;
    for (unsigned i = 0; i < RAM_SIZE; i++)
        kbc->ram[i] = 0;
    kbc->ram[0] = CTR_KEYBOARD_INT | CTR_MOUSE_INT;
    kbc->status = kbc->pending = kbc->out = 0;
    kbc->out_from = FROM_NOBODY;
    kbc->breaking = false;
    ps2_keyboard_reset(&kbc->keyboard);
    ps2_mouse_reset(&kbc->mouse);
    clock_timer_cancel(kbc->repeat);
    update_irq(kbc);
}

static void i8042_before_save(void *device)
{
    struct i8042 *kbc = device;
    int64_t deadline = clock_timer_deadline(kbc->repeat);
    kbc->repeat_at = deadline == CLOCK_NEVER ? 0 : (uint64_t)MAX(deadline, 1);
}

static bool i8042_after_load(void *device, GError **error)
{
    struct i8042 *kbc = device;
    if (!ps2_keyboard_check(&kbc->keyboard) || !ps2_mouse_check(&kbc->mouse) || kbc->out_from > FROM_MOUSE) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "i8042: saved state is impossible; the file is damaged, save it again");
        i8042_reset(&kbc->device);
        return false;
    }
    kbc->status &= STATUS_SYSTEM | STATUS_COMMAND | STATUS_TIMEOUT;
    clock_timer_cancel(kbc->repeat);
    uint64_t latest = (uint64_t)clock_now(kbc->clock) + (uint64_t)ps2_keyboard_delay(&kbc->keyboard);
    if (kbc->keyboard.held && kbc->repeat_at)
        clock_timer_set(kbc->repeat, (int64_t)MIN(kbc->repeat_at, latest));
    update_irq(kbc);
    return true;
}

static const struct state_field i8042_fields[] = {
    STATE_ARRAY(struct i8042, BYTES, ram), STATE(struct i8042, U8, status),
    STATE(struct i8042, U8, pending),      STATE(struct i8042, U8, out),
    STATE(struct i8042, U8, out_from),     STATE(struct i8042, BOOL, breaking),
    STATE(struct i8042, U64, repeat_at),   PS2_KEYBOARD_STATE(struct i8042, keyboard),
    PS2_MOUSE_STATE(struct i8042, mouse),
};
static const struct state_table i8042_state = {
    .name = "i8042",
    .version = 1,
    .fields = i8042_fields,
    .count = G_N_ELEMENTS(i8042_fields),
    .before_save = i8042_before_save,
    .after_load = i8042_after_load,
};

static void i8042_free(struct device *device)
{
    struct i8042 *kbc = (struct i8042 *)device;
    clock_timer_free(kbc->repeat);
    g_free(kbc);
}

static const struct device_class i8042_class = {
    .name = "i8042", .state = &i8042_state, .reset = i8042_reset, .free = i8042_free};

struct i8042 *i8042_new(struct portio *io, struct clock *clock, const struct i8042_wiring *wiring)
{
    struct i8042 *kbc = g_new0(struct i8042, 1);
    device_init(&kbc->device, &i8042_class, "i8042");
    kbc->wiring = *wiring;
    kbc->clock = clock;
    kbc->repeat = clock_timer_new(clock, repeat_fire, kbc);
    portio_add(io, "i8042-data", DATA_PORT, 1, &i8042_ops, kbc);
    portio_add(io, "i8042-command", COMMAND_PORT, 1, &i8042_ops, kbc);
    i8042_reset(&kbc->device);
    return kbc;
}
