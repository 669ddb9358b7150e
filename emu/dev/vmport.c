/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * VMware's port and its mouse: see vmport.h. What is known of both is what open drivers and open-vm-tools'
 * documentation of the "backdoor" say.
 *
 * An IN of 32 bits from port 0x5658 with a magic number in EAX is a call: its number is in ECX, an argument
 * in EBX, and results come in EAX to EDX. Any other access finds an empty port. The mouse has a queue of
 * words, four a packet (buttons, x, y, wheel); the PS/2 mouse that is there as well interrupts, and its
 * driver reads here. A packet that says no more than the last one, but for the place, takes its stead, so a
 * guest that is slow is one packet behind and not a queue.
 */
#include "emu/dev/vmport.h"

#include "emu/snapshot/state.h"
#include "emu/trace.h"

#include <gio/gio.h>
#include <string.h>

enum { PORT = 0x5658, WORDS = 256, PACKET = 4 };
enum { EAX, ECX, EDX, EBX };
enum { GET_VERSION = 10, GET_RAM_SIZE = 20, POINTER_DATA = 39, POINTER_STATUS = 40, POINTER_COMMAND = 41 };
enum { VERSION = 6, PRODUCT = 2 };
#define MAGIC            0x564d5868u
#define POINTER_ENABLE   0x45414552u
#define POINTER_DISABLE  0x000000f5u
#define POINTER_RELATIVE 0x4c455252u
#define POINTER_ABSOLUTE 0x53424152u
#define POINTER_VERSION  0x3442554au
#define POINTER_ERROR    0xffff0000u
enum { BUTTON_LEFT = 0x20, BUTTON_RIGHT = 0x10, BUTTON_MIDDLE = 0x08 };

struct vmport {
    struct device device;
    struct vmport_board board;
    bool enabled, absolute;
    uint32_t queue[WORDS]; /* [0] is the oldest */
    uint16_t count;
    uint8_t buttons; /* as the last packet had them */
};

static void tell(struct vmport *v, bool before)
{
    bool now = vmport_absolute(v);
    if (before != now) {
        trace(I8042, "vmport: the guest's mouse takes %s", now ? "positions" : "motion");
        v->board.changed(v->board.opaque);
    }
}

static void take_words(struct vmport *v, uint32_t want)
{
    uint32_t words[PACKET] = {0};
    if (want > PACKET || want > v->count) {
        v->enabled = false; /* a driver that is out of step begins anew */
        v->count = 0;
        return;
    }
    memcpy(words, v->queue, want * sizeof *words);
    v->count = (uint16_t)(v->count - want);
    memmove(v->queue, v->queue + want, v->count * sizeof *v->queue);
    static const uint8_t order[PACKET] = {EAX, EBX, ECX, EDX};
    for (unsigned i = 0; i < want; i++)
        v->board.set(v->board.opaque, order[i], words[i]);
}

static void pointer_command(struct vmport *v, uint32_t command)
{
    switch (command) {
    case POINTER_ENABLE:
        v->enabled = true;
        v->queue[0] = POINTER_VERSION;
        v->count = 1;
        break;
    case POINTER_DISABLE:
        v->enabled = v->absolute = false;
        v->count = 0;
        break;
    case POINTER_RELATIVE:
        v->absolute = false;
        break;
    case POINTER_ABSOLUTE:
        v->absolute = true;
        break;
    default:
        break;
    }
}

/* One call; returns EAX. */
static uint32_t call(struct vmport *v, uint32_t eax)
{
    const struct vmport_board *b = &v->board;
    uint32_t number = b->get(b->opaque, ECX) & 0xffff, argument = b->get(b->opaque, EBX);
    bool before = vmport_absolute(v);
    trace(I8042, "vmport: call %u, %08x", number, argument);
    switch (number) {
    case GET_VERSION:
        b->set(b->opaque, EBX, MAGIC);
        b->set(b->opaque, ECX, PRODUCT);
        return VERSION;
    case GET_RAM_SIZE:
        b->set(b->opaque, EBX, 0x1177);
        return b->ram_mib << 20;
    case POINTER_DATA:
        take_words(v, argument);
        eax = b->get(b->opaque, EAX);
        break;
    case POINTER_STATUS:
        return v->enabled ? v->count : POINTER_ERROR;
    case POINTER_COMMAND:
        pointer_command(v, argument);
        break;
    default:
        break;
    }
    tell(v, before);
    return eax;
}

static uint32_t vmport_read(void *opaque, uint16_t port, unsigned size)
{
    struct vmport *v = opaque;
    if (size != 4 || port != PORT)
        return 0xffffffff;
    uint32_t eax = v->board.get(v->board.opaque, EAX);
    return eax == MAGIC ? call(v, eax) : 0xffffffff;
}

static const struct portio_ops vmport_ops = {.read = vmport_read, .max_size = 4};

/* ---- the pointer ---- */

bool vmport_absolute(const struct vmport *v)
{
    return v->enabled && v->absolute;
}

void vmport_pointer(struct vmport *v, unsigned x, unsigned y, int dz, unsigned buttons)
{
    uint32_t packet[PACKET] = {(buttons & 1 ? BUTTON_LEFT : 0u) | (buttons & 2 ? BUTTON_RIGHT : 0u) |
                                   (buttons & 4 ? BUTTON_MIDDLE : 0u),
                               x & 0xffff, y & 0xffff, (uint32_t)CLAMP(dz, -127, 127)};
    uint32_t *last = v->count >= 2 * PACKET ? v->queue + v->count - PACKET : NULL;
    bool same = last && last[0] == packet[0] && last[3] == 0 && dz == 0;
    if (same)
        memcpy(last, packet, sizeof packet);
    else if (v->count + PACKET <= WORDS)
        memcpy(v->queue + v->count, packet, sizeof packet);
    if (!same && v->count + PACKET <= WORDS)
        v->count += PACKET;
    v->buttons = (uint8_t)(buttons & 7);
    v->board.nudge(v->board.opaque);
}

/* ---- the device ---- */

static void vmport_reset(struct device *device)
{
    struct vmport *v = (struct vmport *)device;
    bool before = vmport_absolute(v);
    v->enabled = v->absolute = false;
    v->count = 0;
    v->buttons = 0;
    memset(v->queue, 0, sizeof v->queue);
    tell(v, before);
}

static bool vmport_after_load(void *device, GError **error)
{
    struct vmport *v = device;
    if (v->count <= WORDS && v->buttons < 8) {
        v->board.changed(v->board.opaque);
        return true;
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "vmport: saved state has %u words in a queue of %d; the file is damaged, save it again",
                v->count, WORDS);
    vmport_reset(&v->device);
    return false;
}

static void vmport_free(struct device *device)
{
    g_free(device);
}

static const struct state_field vmport_fields[] = {
    STATE(struct vmport, BOOL, enabled),    STATE(struct vmport, BOOL, absolute),
    STATE_ARRAY(struct vmport, U32, queue), STATE(struct vmport, U16, count),
    STATE(struct vmport, U8, buttons),
};
static const struct state_table vmport_state = {
    .name = "vmport",
    .version = 1,
    .fields = vmport_fields,
    .count = G_N_ELEMENTS(vmport_fields),
    .after_load = vmport_after_load,
};
static const struct device_class vmport_class = {
    .name = "vmport", .state = &vmport_state, .reset = vmport_reset, .free = vmport_free};

struct vmport *vmport_new(struct portio *io, const struct vmport_board *board)
{
    struct vmport *v = g_new0(struct vmport, 1);
    device_init(&v->device, &vmport_class, "vmport");
    v->board = *board;
    portio_add(io, "vmport", PORT, 4, &vmport_ops, v);
    return v;
}
