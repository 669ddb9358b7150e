/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Fuzzes the GDB stub. The first byte: bit 0, the rest are packets, one a line, which get their frame and sum
 * here (as raw bytes they would hardly ever have the right one); bit 1, the machine was stopped before.
 * Between packets the machine stops when a line begins with '!'.
 */
#include "emu/control/gdbstub.h"
#include "emu/machine/clock.h"

#include "tests/fuzz/fuzz_machine.h"
#include "tests/fuzz/fuzz_main.h"

#include <string.h>

enum { REGISTERS = 48, POINTS = 8 };

static struct {
    bool running, attached;
    unsigned points;
    uint8_t registers[REGISTERS][16];
    uint8_t memory[256];
} guest;

static enum control_status guest_status(void *opaque)
{
    return guest.running ? CONTROL_RUNNING : CONTROL_PAUSED;
}

static void guest_stop(void *opaque)
{
    guest.running = false;
    control_event(opaque, "STOP", NULL);
}

static bool guest_cont(void *opaque, GError **error)
{
    guest.running = true;
    return true;
}

static void attach(void *opaque, bool attached)
{
    guest.attached = attached;
}

static unsigned size_of(unsigned number)
{
    return number >= REGISTERS ? 0 : number >= 32 && number < 40 ? 16 : number >= 16 && number < 24 ? 10 : 4;
}

static unsigned get_register(void *opaque, unsigned number, uint8_t out[16])
{
    unsigned size = size_of(number);

    if (size)
        memcpy(out, guest.registers[number], size);
    return size;
}

static bool set_register(void *opaque, unsigned number, const uint8_t *value)
{
    unsigned size = size_of(number);

    if (size)
        memcpy(guest.registers[number], value, size);
    return size != 0;
}

static size_t write_guest(void *opaque, uint32_t linear, const void *buf, size_t len)
{
    if (linear >= sizeof guest.memory)
        return 0;
    len = MIN(len, sizeof guest.memory - linear);
    memcpy(guest.memory + linear, buf, len);
    return len;
}

static size_t read_guest(void *opaque, bool physical, uint64_t addr, void *buf, size_t len)
{
    if (addr >= sizeof guest.memory)
        return 0;
    len = MIN(len, (size_t)(sizeof guest.memory - addr));
    memcpy(buf, guest.memory + addr, len);
    return len;
}

static bool breakpoint(void *opaque, bool add, enum control_break kind, uint32_t linear, uint32_t len)
{
    if (add ? guest.points == POINTS : !guest.points)
        return false;
    guest.points += add ? 1 : -1;
    return true;
}

static bool hit(void *opaque, enum control_break *kind, uint32_t *linear)
{
    *kind = (enum control_break)(guest.registers[8][0] & 3);
    *linear = guest.registers[8][1];
    return guest.points;
}

static void step(void *opaque)
{
    guest.registers[8][0]++;
}

static const struct control_debug debug = {.attach = attach,
                                           .get_register = get_register,
                                           .set_register = set_register,
                                           .write_memory = write_guest,
                                           .breakpoint = breakpoint,
                                           .hit = hit,
                                           .step = step};

static void feed(struct gdbstub *stub, const char *line)
{
    uint8_t sum = 0;

    for (const char *c = line; *c; c++)
        sum = (uint8_t)(sum + (uint8_t)*c);
    g_autofree char *packet = g_strdup_printf("$%s#%02x", line, sum);
    gdbstub_feed(stub, (const uint8_t *)packet, strlen(packet));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loop *loop;
    struct control_machine machine = fuzz_machine;

    if (!loop)
        loop = loop_new(clock_new(), NULL);
    if (!size)
        return 0;
    memset(&guest, 0, sizeof guest);
    guest.running = !(data[0] & 2);
    machine.status = guest_status;
    machine.stop = guest_stop;
    machine.cont = guest_cont;
    machine.read_memory = read_guest;
    struct control *control = control_new(&machine, loop);
    struct char_port *port = char_open("fuzz", "null", loop, NULL);
    struct gdbstub *stub;

    machine.opaque = control;
    stub = gdbstub_new(control, &machine, &debug, port);
    control_set_debugger(control, stub);
    if (data[0] & 1) {
        g_autofree char *text = g_strndup((const char *)data + 1, size - 1);
        g_auto(GStrv) lines = g_strsplit(text, "\n", 256);

        for (char **line = lines; *line; line++) {
            if (**line == '!')
                guest_stop(control);
            else
                feed(stub, *line);
        }
    } else {
        gdbstub_feed(stub, data + 1, size - 1);
    }
    control_event(control, "SHUTDOWN", NULL);
    control_set_debugger(control, NULL);
    gdbstub_free(stub);
    control_free(control);
    char_free(port);
    trace_mask = 0;
    g_assert_false(guest.attached); /* whoever leaves takes the points along */
    loop_dispatch(loop);
    return 0;
}

FUZZ_MAIN(1000, 4000)
