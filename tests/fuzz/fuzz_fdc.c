/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A guest that means harm, against the floppy controller and its DMA channel: registers and commands of any
 * content, transfers by DMA and through the FIFO, counts and addresses that fit nothing, formatting, disks
 * that come and go, damaged saved state. The sanitizers judge; and the controller has to answer again after
 * a reset, whatever was before. libFuzzer target with -DNETLAB_FUZZ=ON, else a test with its corpus and a
 * fixed series of inputs.
 */
#include "emu/dev/fdc.h"
#include "tests/dev/chip_bench.h"
#include "tests/fuzz/fuzz_main.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

enum { IRQ = 6, DOR = 0x3f2, MSR = 0x3f4, FIFO = 0x3f5, CCR = 0x3f7 };
enum { OPERATIONS_MOST = 200, SIZE = 360 << 10, FIFO_MOST = 20000 };

struct input {
    const uint8_t *data;
    size_t left;
};

static uint8_t take(struct input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->data++;
}

struct rig {
    struct bench *b;
    struct dma8237 *dma;
    struct block *disk[FDC_DRIVES];
    struct fdc *fdc;
    char *path[FDC_DRIVES];
};

/* Command bytes and how many follow; the last rows are no commands. */
static const struct {
    uint8_t code, more;
} commands[] = {
    {0x46, 8}, {0xe6, 8}, {0x45, 8}, {0xc5, 8}, {0x4d, 5}, {0x42, 8}, {0x4c, 8}, {0x49, 8}, {0x51, 8},
    {0x16, 8}, {0x0f, 2}, {0x07, 1}, {0x08, 0}, {0x03, 2}, {0x04, 1}, {0x4a, 1}, {0x0e, 0}, {0x10, 0},
    {0x13, 3}, {0x12, 1}, {0x14, 0}, {0x94, 0}, {0x8f, 2}, {0xcf, 2}, {0x18, 0}, {0x1f, 3},
};

static void drain_fifo(struct rig *r, unsigned most)
{
    while (most-- && (in8(r->b, MSR) & 0xc0) == 0xc0)
        in8(r->b, FIFO);
}

static void give_command(struct rig *r, struct input *in)
{
    unsigned n = take(in) % G_N_ELEMENTS(commands);
    bool sane = take(in) & 3;
    out8(r->b, FIFO, commands[n].code);
    for (unsigned i = 0; i < commands[n].more; i++) {
        /* drive, C, H, R, N, EOT, gap, length: often such as a disk has */
        static const uint8_t most[] = {8, 2, 2, 12, 3, 12, 255, 255};
        uint8_t value = take(in);
        out8(r->b, FIFO, sane ? (uint8_t)(i == 4 ? 2 : value % most[i]) : value);
    }
}

static void operate(struct rig *r, struct input *in)
{
    static const uint16_t ports[] = {0x3f0, 0x3f1, 0x3f2, 0x3f3, 0x3f4, 0x3f5, 0x3f7, 0x04, 0x05, 0x08,
                                     0x0a,  0x0b,  0x0c,  0x0d,  0x0e,  0x0f,  0x81,  0xd4, 0xd6, 0x487};
    uint8_t what = take(in), n = take(in);
    switch (what % 12) {
    case 0:
        out8(r->b, ports[n % G_N_ELEMENTS(ports)], take(in));
        break;
    case 1:
        in8(r->b, ports[n % G_N_ELEMENTS(ports)]);
        break;
    case 2:
    case 3:
        give_command(r, in);
        break;
    case 4:
        drain_fifo(r, n & 1 ? FIFO_MOST : n);
        break;
    case 5: /* data for a write in non-DMA mode */
        for (unsigned i = 0; i < 8u * n && (in8(r->b, MSR) & 0xc0) == 0x80; i++)
            out8(r->b, FIFO, (uint8_t)(i * 7));
        break;
    case 6: { /* channel 2: mode, address, count */
        static const uint8_t modes[] = {0x46, 0x4a, 0x42, 0x56, 0x5a, 0x66, 0x6a, 0x06, 0xc2};
        out8(r->b, 0x0c, 0);
        out8(r->b, 0x0b, modes[n % G_N_ELEMENTS(modes)]);
        out8(r->b, 0x04, take(in));
        out8(r->b, 0x04, take(in));
        out8(r->b, 0x81, take(in));
        out8(r->b, 0x05, take(in));
        out8(r->b, 0x05, take(in) & 0x7f);
        out8(r->b, 0x0a, n & 0x80 ? 6 : 2);
        break;
    }
    case 7: /* out of reset, motors on; DMA or not */
        out8(r->b, DOR, (uint8_t)(n & 3 ? 0x3c | (n >> 4 & 3) : n));
        out8(r->b, CCR, n & 0x80 ? n & 3 : 2);
        drain_fifo(r, FIFO_MOST);
        out8(r->b, FIFO, 0x03);
        out8(r->b, FIFO, 0xaf);
        out8(r->b, FIFO, (uint8_t)(2 | (n >> 2 & 1)));
        break;
    case 8:
        device_reset((struct device *)r->fdc);
        break;
    case 9:
        if (n & 1)
            block_eject(r->disk[n >> 1 & 1], true, NULL);
        else
            block_insert(r->disk[n >> 1 & 1], r->path[n >> 2 & 1], BLOCK_FORMAT_RAW, n & 8, NULL);
        break;
    case 10: {
        struct device *device = (struct device *)r->fdc;
        g_autoptr(GByteArray) state = g_byte_array_new();
        size_t pos = 0;
        state_save(device->class->state, "f", device, state);
        if (n & 1)
            state->data[(unsigned)(n << 4 | take(in) >> 4) % state->len] ^= (uint8_t)(1 + take(in) % 255);
        state_load(device->class->state, "f", device, state->data, state->len, &pos, NULL);
        break;
    }
    case 11:
        device_reset((struct device *)r->dma);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct rig r = {.b = bench_new()};
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        int fd = g_file_open_tmp("netlab-fuzz-fdc-XXXXXX", &r.path[i], NULL);
        g_assert_cmpint(ftruncate(fd, i ? 1440 << 10 : SIZE), ==, 0);
        close(fd);
        r.disk[i] = block_new(
            &(struct block_config){.id = i ? "b" : "a", .file = r.path[i], .format = BLOCK_FORMAT_RAW}, NULL,
            NULL);
    }
    r.dma = dma8237_new(r.b->io);
    r.fdc = fdc_new(r.b->io, &(struct fdc_wiring){.irq = bench_wire(r.b, IRQ),
                                                  .dma = r.dma,
                                                  .mem = r.b->mem,
                                                  .drive = {r.disk[0], r.disk[1]}});
    for (unsigned i = 0; i < FDC_DRIVES && size & 1; i++)
        block_set_steady(r.disk[i], r.b->clock);
    for (unsigned i = 0; i < OPERATIONS_MOST && in.left; i++) {
        operate(&r, &in);
        clock_manual_advance(r.b->clock, 30000);
    }
    out8(r.b, DOR, 0);
    out8(r.b, DOR, 0x0c);
    g_assert_true(r.b->level[IRQ]);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmphex(in8(r.b, MSR), ==, 0x80);
        out8(r.b, FIFO, 0x08);
        g_assert_cmphex(in8(r.b, FIFO), ==, 0xc0 | i);
        in8(r.b, FIFO);
    }
    device_free((struct device *)r.fdc);
    device_free((struct device *)r.dma);
    for (unsigned i = 0; i < FDC_DRIVES; i++) {
        block_free(r.disk[i]);
        g_unlink(r.path[i]);
        g_free(r.path[i]);
    }
    bench_free(r.b);
    return 0;
}

FUZZ_MAIN(600, 1200)
