/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * pc-testdev: see pc_testdev.h. The places are QEMU's.
 *
 * The page port is for emulators that map guest pages lazily and might be wrong about one; here every page is
 * looked up anew when its mapping changes, so there is nothing to forget.
 */
#include "emu/dev/pc_testdev.h"

#include <gio/gio.h>
#include <string.h>

enum { ECHO = 0xe0, PAGE = 0xe4, ECHO_BYTES = 0xe8, LINES = 0x2000, ECHO_SIZE = 4, PAGE_SIZE = 4 };
enum { MEMORY_SIZE = 0x10000 };
#define MEMORY_BASE UINT64_C(0xff000000)

struct pc_testdev {
    struct device device;
    struct irq_line line[PC_TESTDEV_LINES];
    uint8_t echo[ECHO_SIZE];
    uint32_t pulled; /* a bit for each line that is up */
    uint8_t memory[MEMORY_SIZE];
};

static uint32_t echo_read(void *opaque, uint16_t port, unsigned size)
{
    const struct pc_testdev *t = opaque;
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)t->echo[(port + i) % ECHO_SIZE] << 8 * i;
    return value;
}

static void echo_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct pc_testdev *t = opaque;
    for (unsigned i = 0; i < size; i++)
        t->echo[(port + i) % ECHO_SIZE] = (uint8_t)(value >> 8 * i);
}

static uint32_t nothing_read(void *opaque, uint16_t port, unsigned size)
{
    return 0;
}

static void page_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
}

static void line_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct pc_testdev *t = opaque;
    unsigned n = port - LINES;
    t->pulled = value ? t->pulled | 1u << n : t->pulled & ~(1u << n);
    irq_set(&t->line[n], value != 0);
}

static const struct portio_ops echo_ops = {.read = echo_read, .write = echo_write, .max_size = 4};
static const struct portio_ops echo_byte_ops = {.read = echo_read, .write = echo_write, .max_size = 1};
static const struct portio_ops page_ops = {.read = nothing_read, .write = page_write, .max_size = 4};
static const struct portio_ops line_ops = {.read = nothing_read, .write = line_write};

static uint32_t memory_read(void *opaque, uint32_t offset, unsigned size)
{
    const struct pc_testdev *t = opaque;
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)t->memory[offset + i] << 8 * i;
    return value;
}

static void memory_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct pc_testdev *t = opaque;
    for (unsigned i = 0; i < size; i++)
        t->memory[offset + i] = (uint8_t)(value >> 8 * i);
}

static const struct mmio_ops memory_ops = {.read = memory_read, .write = memory_write};

static void drive(struct pc_testdev *t)
{
    for (unsigned n = 0; n < PC_TESTDEV_LINES; n++)
        irq_set(&t->line[n], t->pulled >> n & 1);
}

static void pc_testdev_reset(struct device *device)
{
    struct pc_testdev *t = (struct pc_testdev *)device;
    memset(t->echo, 0, sizeof t->echo);
    memset(t->memory, 0, sizeof t->memory);
    t->pulled = 0;
    drive(t);
}

static bool pc_testdev_after_load(void *device, GError **error)
{
    struct pc_testdev *t = device;
    t->pulled &= (1u << PC_TESTDEV_LINES) - 1;
    drive(t);
    return true;
}

static const struct state_field pc_testdev_fields[] = {
    STATE_ARRAY(struct pc_testdev, BYTES, echo),
    STATE(struct pc_testdev, U32, pulled),
    STATE_ARRAY(struct pc_testdev, BYTES, memory),
};
static const struct state_table pc_testdev_state = {
    .name = "pc-testdev",
    .version = 1,
    .fields = pc_testdev_fields,
    .count = G_N_ELEMENTS(pc_testdev_fields),
    .after_load = pc_testdev_after_load,
};
static const struct device_class pc_testdev_class = {
    .name = "pc-testdev", .state = &pc_testdev_state, .reset = pc_testdev_reset};

struct pc_testdev *pc_testdev_new(struct physmap *mem, struct portio *io, const char *id,
                                  const struct irq_line line[PC_TESTDEV_LINES])
{
    struct pc_testdev *t = g_new0(struct pc_testdev, 1);
    device_init(&t->device, &pc_testdev_class, id);
    memcpy(t->line, line, sizeof t->line);
    portio_add(io, "testdev-echo", ECHO, ECHO_SIZE, &echo_ops, t);
    portio_add(io, "testdev-page", PAGE, PAGE_SIZE, &page_ops, t);
    portio_add(io, "testdev-bytes", ECHO_BYTES, ECHO_SIZE, &echo_byte_ops, t);
    portio_add(io, "testdev-lines", LINES, PC_TESTDEV_LINES, &line_ops, t);
    physmap_add_mmio(mem, "testdev", MEMORY_BASE, MEMORY_SIZE, &memory_ops, t, 0);
    return t;
}
