/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The 8237A pair: see dma8237.h. Intel 8237A datasheet (231466).
 *
 * Chip 0 has byte channels 0–3 at 0x00–0x0f, chip 1 word channels 4–7 at 0xc0–0xdf, every second port.
 * Address and count are 16-bit registers behind a byte flip-flop. Software requests are latched and shown in
 * the status register, and move nothing. A device's request moves its bytes at once (dma8237_run): addresses
 * wrap within the 64 KiB of the page register, a masked channel does not answer.
 */
#include "emu/dev/dma8237.h"
#include "emu/trace.h"

enum { PAGE_PORT = 0x80 };

struct dma_chip {
    uint16_t base_address[4], base_count[4];
    uint16_t address[4], count[4];
    uint8_t mode[4];
    uint8_t command, mask, request, terminal_count, temporary;
    bool high_byte; /* flip-flop: the second byte is next */
};

struct dma8237 {
    struct device device;
    struct dma_chip chip[2];
    uint8_t page[16]; /* 0x80–0x8f; some are only scratch, among them the POST code port 0x80 */
};

static void chip_clear(struct dma_chip *c)
{
    c->command = c->request = c->terminal_count = c->temporary = 0;
    c->mask = 15;
    c->high_byte = false;
}

static uint8_t pair_read(struct dma_chip *c, uint16_t value)
{
    uint8_t byte = (uint8_t)(c->high_byte ? value >> 8 : value);
    c->high_byte = !c->high_byte;
    return byte;
}

static void pair_write(struct dma_chip *c, uint16_t *base, uint16_t *current, uint8_t byte)
{
    *base = (uint16_t)(c->high_byte ? (*base & 0xff) | byte << 8 : (*base & 0xff00) | byte);
    *current = *base;
    c->high_byte = !c->high_byte;
}

static uint8_t chip_read(struct dma_chip *c, unsigned reg)
{
    if (reg < 8)
        return pair_read(c, reg & 1 ? c->count[reg >> 1] : c->address[reg >> 1]);
    if (reg == 8) { /* status: terminal counts are cleared by reading */
        uint8_t status = (uint8_t)(c->terminal_count | c->request << 4);
        c->terminal_count = 0;
        return status;
    }
    if (reg == 13)
        return c->temporary;
    if (reg == 15)
        return (uint8_t)(0xf0 | c->mask);
    return 0xff;
}

static void chip_write(struct dma_chip *c, unsigned reg, uint8_t value)
{
    unsigned channel = value & 3, bit = 1u << channel;
    if (reg < 8) {
        channel = reg >> 1;
        if (reg & 1)
            pair_write(c, &c->base_count[channel], &c->count[channel], value);
        else
            pair_write(c, &c->base_address[channel], &c->address[channel], value);
        return;
    }
    switch (reg) {
    case 8:
        c->command = value;
        break;
    case 9:
        c->request = (uint8_t)(value & 4 ? c->request | bit : c->request & ~bit);
        break;
    case 10:
        c->mask = (uint8_t)(value & 4 ? c->mask | bit : c->mask & ~bit);
        break;
    case 11:
        c->mode[channel] = value;
        break;
    case 12:
        c->high_byte = false;
        break;
    case 13: /* master clear */
        chip_clear(c);
        break;
    case 14:
        c->mask = 0;
        break;
    case 15:
        c->mask = value & 15;
        break;
    }
}

static uint32_t dma0_read(void *opaque, uint16_t port, unsigned size)
{
    struct dma8237 *dma = opaque;
    return chip_read(&dma->chip[0], port & 15);
}

static void dma0_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct dma8237 *dma = opaque;
    chip_write(&dma->chip[0], port & 15, (uint8_t)value);
}

static uint32_t dma1_read(void *opaque, uint16_t port, unsigned size)
{
    struct dma8237 *dma = opaque;
    return chip_read(&dma->chip[1], port >> 1 & 15);
}

static void dma1_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct dma8237 *dma = opaque;
    chip_write(&dma->chip[1], port >> 1 & 15, (uint8_t)value);
}

static uint32_t page_read(void *opaque, uint16_t port, unsigned size)
{
    const struct dma8237 *dma = opaque;
    return dma->page[port & 15];
}

static void page_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct dma8237 *dma = opaque;
    dma->page[port & 15] = (uint8_t)value;
}

static const struct portio_ops dma0_ops = {.read = dma0_read, .write = dma0_write};
static const struct portio_ops dma1_ops = {.read = dma1_read, .write = dma1_write};
static const struct portio_ops page_ops = {.read = page_read, .write = page_write};

/* ---- requests of devices ---- */

enum { MODE_WRITE = 0x04, MODE_READ = 0x08, MODE_AUTO = 0x10, MODE_DOWN = 0x20, COMMAND_OFF = 0x04 };

uint32_t dma8237_pending(const struct dma8237 *dma, unsigned channel)
{
    const struct dma_chip *c = &dma->chip[0];
    return c->command & COMMAND_OFF || c->mask >> channel & 1 ? 0 : c->count[channel] + 1u;
}

size_t dma8237_run(struct dma8237 *dma, struct physmap *mem, unsigned channel, uint8_t *buf, size_t len,
                   bool to_memory, bool *ended)
{
    static const uint8_t page_of[4] = {7, 3, 1, 2};
    struct dma_chip *c = &dma->chip[0];
    size_t moved = MIN(len, (size_t)dma8237_pending(dma, channel));
    uint64_t page = (uint64_t)dma->page[page_of[channel & 3]] << 16;
    uint8_t mode = c->mode[channel & 3];
    channel &= 3;
    *ended = false;
    for (size_t i = 0; i < moved; i++) {
        uint64_t at = page | c->address[channel];
        if (to_memory && mode & MODE_WRITE)
            phys_write8(mem, at, buf[i]);
        else if (!to_memory && mode & MODE_READ)
            buf[i] = phys_read8(mem, at);
        c->address[channel] = (uint16_t)(c->address[channel] + (mode & MODE_DOWN ? -1 : 1));
        if (c->count[channel]-- == 0)
            *ended = true;
    }
    if (*ended) {
        c->terminal_count |= (uint8_t)(1u << channel);
        if (mode & MODE_AUTO) {
            c->address[channel] = c->base_address[channel];
            c->count[channel] = c->base_count[channel];
        } else {
            c->mask |= (uint8_t)(1u << channel);
        }
    }
    return moved;
}

static void dma8237_reset(struct device *device)
{
    struct dma8237 *dma = (struct dma8237 *)device;
    for (unsigned i = 0; i < 2; i++) {
        dma->chip[i] = (struct dma_chip){0};
        chip_clear(&dma->chip[i]);
    }
    for (unsigned i = 0; i < sizeof dma->page; i++)
        dma->page[i] = 0;
}

static bool dma8237_after_load(void *device, GError **error)
{
    struct dma8237 *dma = device;
    for (unsigned i = 0; i < 2; i++) {
        dma->chip[i].mask &= 15;
        dma->chip[i].request &= 15;
        dma->chip[i].terminal_count &= 15;
    }
    return true;
}

#define DMA_CHIP_STATE(i)                                                                                    \
    STATE_ARRAY(struct dma8237, U16, chip[i].base_address),                                                  \
        STATE_ARRAY(struct dma8237, U16, chip[i].base_count),                                                \
        STATE_ARRAY(struct dma8237, U16, chip[i].address), STATE_ARRAY(struct dma8237, U16, chip[i].count),  \
        STATE_ARRAY(struct dma8237, U8, chip[i].mode), STATE(struct dma8237, U8, chip[i].command),           \
        STATE(struct dma8237, U8, chip[i].mask), STATE(struct dma8237, U8, chip[i].request),                 \
        STATE(struct dma8237, U8, chip[i].terminal_count), STATE(struct dma8237, U8, chip[i].temporary),     \
        STATE(struct dma8237, BOOL, chip[i].high_byte)

static const struct state_field dma8237_fields[] = {DMA_CHIP_STATE(0), DMA_CHIP_STATE(1),
                                                    STATE_ARRAY(struct dma8237, U8, page)};
static const struct state_table dma8237_state = {
    .name = "dma8237",
    .version = 1,
    .fields = dma8237_fields,
    .count = G_N_ELEMENTS(dma8237_fields),
    .after_load = dma8237_after_load,
};
static const struct device_class dma8237_class = {
    .name = "dma8237", .state = &dma8237_state, .reset = dma8237_reset};

struct dma8237 *dma8237_new(struct portio *io)
{
    struct dma8237 *dma = g_new0(struct dma8237, 1);
    device_init(&dma->device, &dma8237_class, "dma");
    portio_add(io, "dma-bytes", 0x00, 16, &dma0_ops, dma);
    portio_add(io, "dma-words", 0xc0, 32, &dma1_ops, dma);
    portio_add(io, "dma-pages", PAGE_PORT, 16, &page_ops, dma);
    dma8237_reset(&dma->device);
    return dma;
}
