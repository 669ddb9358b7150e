/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The floppy controller with the DMA controller it works with: reset, seeks, reads and writes over both
 * sides, ends of counts and of tracks, formats by size and rate, disk change, what goes wrong, saved state,
 * and random accesses.
 */
#include "emu/dev/fdc.h"
#include "tests/dev/chip_bench.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

enum { IRQ = 6, DOR = 0x3f2, MSR = 0x3f4, FIFO = 0x3f5, CCR = 0x3f7, BUFFER = 0x20000 };
enum { SIZE = 1440 << 10 };

struct rig {
    struct bench *b;
    struct dma8237 *dma;
    struct block *disk;
    struct fdc *fdc;
    char *path;
};

static void set_up(struct rig *r, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *image = g_malloc(SIZE);
    for (unsigned i = 0; i < SIZE; i++)
        image[i] = (uint8_t)(i / 512 + i % 512);
    close(g_file_open_tmp("netlab-fdc-XXXXXX", &r->path, &error));
    g_assert_true(g_file_set_contents(r->path, (char *)image, SIZE, NULL));
    r->b = bench_new();
    r->dma = dma8237_new(r->b->io);
    r->disk = block_new(&(struct block_config){.id = "fd", .file = r->path, .format = BLOCK_FORMAT_RAW}, NULL,
                        &error);
    g_assert_no_error(error);
    r->fdc =
        fdc_new(r->b->io,
                &(struct fdc_wiring){
                    .irq = bench_wire(r->b, IRQ), .dma = r->dma, .mem = r->b->mem, .drive = {r->disk, NULL}});
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->fdc);
    device_free((struct device *)r->dma);
    block_free(r->disk);
    bench_free(r->b);
    g_unlink(r->path);
    g_free(r->path);
}

static void send(struct rig *r, unsigned count, const uint8_t *bytes)
{
    for (unsigned i = 0; i < count; i++) {
        g_assert_cmphex(in8(r->b, MSR) & 0xc0, ==, 0x80);
        out8(r->b, FIFO, bytes[i]);
    }
}
#define SEND(...) send(r, sizeof((uint8_t[]){__VA_ARGS__}), (const uint8_t[]){__VA_ARGS__})

static void expect(struct rig *r, unsigned count, const uint8_t *bytes)
{
    for (unsigned i = 0; i < count; i++) {
        g_assert_cmphex(in8(r->b, MSR) & 0xd0, ==, 0xd0);
        g_assert_cmphex(in8(r->b, FIFO), ==, bytes[i]);
    }
    g_assert_cmphex(in8(r->b, MSR), ==, 0x80);
}
#define EXPECT(...) expect(r, sizeof((uint8_t[]){__VA_ARGS__}), (const uint8_t[]){__VA_ARGS__})

static void start(struct rig *r)
{
    out8(r->b, DOR, 0);
    out8(r->b, DOR, 0x1c);
    for (unsigned i = 0; i < 4; i++) {
        SEND(0x08);
        EXPECT((uint8_t)(0xc0 | i), 0);
    }
    out8(r->b, CCR, 0);
}

/* Channel 2: mode 0x46 writes memory, 0x4a reads it. */
static void dma(struct rig *r, uint8_t mode, unsigned len)
{
    out8(r->b, 0x0c, 0);
    out8(r->b, 0x0b, mode);
    out8(r->b, 0x04, (uint8_t)BUFFER);
    out8(r->b, 0x04, (uint8_t)(BUFFER >> 8));
    out8(r->b, 0x81, BUFFER >> 16);
    out8(r->b, 0x05, (uint8_t)(len - 1));
    out8(r->b, 0x05, (uint8_t)((len - 1) >> 8));
    out8(r->b, 0x0a, 2);
}

static void check(struct rig *r, unsigned at, unsigned sector)
{
    for (unsigned i = 0; i < 512; i++)
        g_assert_cmphex(phys_read8(r->b->mem, BUFFER + at + i), ==, (uint8_t)(sector + i));
}

static void seek(struct rig *r, uint8_t track)
{
    SEND(0x0f, 0, track);
    g_assert_true(r->b->level[IRQ]);
    SEND(0x08);
    EXPECT(0x20, track);
    g_assert_false(r->b->level[IRQ]);
}

static void test_reset(struct rig *r, gconstpointer unused)
{
    g_assert_cmphex(in8(r->b, MSR), ==, 0);
    out8(r->b, DOR, 0x0c);
    g_assert_true(r->b->level[IRQ]);
    SEND(0x08);
    EXPECT(0xc0, 0);
    g_assert_false(r->b->level[IRQ]);
    start(r);
    SEND(0x08);
    EXPECT(0x80); /* nothing more to tell */
    SEND(0x10);
    EXPECT(0x90);
    SEND(0x1e);
    EXPECT(0x80);
    SEND(0x04, 0);
    EXPECT(0x38); /* track 0, two sides, ready */
}

static void test_read(struct rig *r, gconstpointer unused)
{
    start(r);
    seek(r, 3);
    dma(r, 0x46, 20 * 512); /* from the last sector of side 0 on to side 1 */
    SEND(0xe6, 0, 3, 0, 18, 2, 18, 0x1b, 0xff);
    g_assert_true(r->b->level[IRQ]);
    EXPECT(0x40, 0x80, 0, 4, 0, 1, 2); /* the track ended first: 19 sectors */
    for (unsigned i = 0; i < 19; i++)
        check(r, 512 * i, 3 * 36 + 17 + i);
    dma(r, 0x46, 700); /* the count ends within a sector */
    SEND(0xe6, 4, 3, 1, 5, 2, 18, 0x1b, 0xff);
    EXPECT(4, 0, 0, 3, 1, 7, 2);
    check(r, 0, 3 * 36 + 18 + 4);
    g_assert_cmphex(in8(r->b, 0x08) & 4, ==, 4); /* terminal count */
    g_assert_cmpuint(dma8237_pending(r->dma, 2), ==, 0);
    SEND(0x4a, 4);
    EXPECT(4, 0, 0, 3, 1, 1, 2);
}

static void test_write(struct rig *r, gconstpointer unused)
{
    start(r);
    seek(r, 79);
    for (unsigned i = 0; i < 1024; i++)
        phys_write8(r->b->mem, BUFFER + i, (uint8_t)(i * 3));
    dma(r, 0x4a, 1024);
    SEND(0xc5, 4, 79, 1, 17, 2, 18, 0x1b, 0xff);
    EXPECT(4, 0, 0, 80, 0, 1, 2);
    for (unsigned i = 0; i < 72; i++)
        phys_write8(r->b->mem, BUFFER + i, 2);
    dma(r, 0x4a, 72);
    SEND(0x4d, 0, 2, 18, 0x54, 0xf6); /* FORMAT TRACK, side 0 */
    g_assert_cmphex(in8(r->b, FIFO), ==, 0);
    for (unsigned i = 0; i < 6; i++)
        in8(r->b, FIFO);
    g_autofree char *data = NULL;
    gsize len;
    g_assert_true(g_file_get_contents(r->path, &data, &len, NULL));
    g_assert_cmpuint(len, ==, SIZE);
    for (unsigned i = 0; i < 1024; i++)
        g_assert_cmphex((uint8_t)data[SIZE - 1024 + i], ==, (uint8_t)(i * 3));
    for (unsigned i = 0; i < 18 * 512; i++)
        g_assert_cmphex((uint8_t)data[79 * 36 * 512 + i], ==, 0xf6);
}

static void test_errors(struct rig *r, gconstpointer unused)
{
    start(r);
    dma(r, 0x46, 512);
    SEND(0x46, 0, 1, 0, 1, 2, 18, 0x1b, 0xff); /* the head is elsewhere */
    EXPECT(0x40, 4, 0x10, 1, 0, 1, 2);
    SEND(0x46, 0, 0, 0, 19, 2, 18, 0x1b, 0xff); /* no such sector */
    EXPECT(0x40, 4, 0, 0, 0, 19, 2);
    SEND(0x46, 1, 0, 0, 1, 2, 18, 0x1b, 0xff); /* no such drive */
    EXPECT(0x41, 1, 0, 0, 0, 1, 2);
    out8(r->b, CCR, 2); /* wrong rate */
    SEND(0x4a, 0);
    EXPECT(0x40, 1, 0, 0, 0, 0, 2);
    out8(r->b, CCR, 0);
    out8(r->b, 0x0a, 6); /* masked DMA */
    SEND(0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    EXPECT(0x40, 0x10, 0, 0, 0, 1, 2);
}

/* Data through the FIFO: no DMA is set up at all. */
static void test_non_dma(struct rig *r, gconstpointer unused)
{
    start(r);
    SEND(0x03, 0xaf, 0x03); /* SPECIFY: non-DMA */
    seek(r, 5);
    unsigned rises = r->b->rises[IRQ];
    SEND(0x46, 4, 5, 1, 17, 2, 18, 0x1b, 0xff); /* to the end of the track: two sectors */
    g_assert_true(r->b->level[IRQ]);
    g_assert_cmpuint(r->b->rises[IRQ], ==, rises + 1);
    for (unsigned i = 0; i < 1024; i++) {
        g_assert_cmphex(in8(r->b, MSR), ==, 0xf0);
        g_assert_cmphex(in8(r->b, FIFO), ==, (uint8_t)(5 * 36 + 18 + 16 + i / 512 + i % 512));
    }
    g_assert_cmpuint(r->b->rises[IRQ], ==, rises + 2); /* for the results */
    EXPECT(0x44, 0x80, 0, 6, 1, 1, 2);                 /* nobody gave TC */

    SEND(0xc5, 0, 5, 0, 18, 2, 1, 0x1b, 0xff); /* over to the other side */
    for (unsigned i = 0; i < 1024; i++) {
        g_assert_cmphex(in8(r->b, MSR), ==, 0xb0);
        out8(r->b, FIFO, (uint8_t)(i * 5 + i / 512));
    }
    EXPECT(0x40, 0x80, 0, 6, 0, 1, 2);
    SEND(0x45, 0, 5, 0, 1, 2, 18, 0x1b, 0xff); /* given up after one sector and a bit: the one is there */
    for (unsigned i = 0; i < 600; i++)
        out8(r->b, FIFO, 0xc3);
    start(r);
    seek(r, 6);
    SEND(0x03, 0xaf, 0x03);
    SEND(0x4d, 0, 2, 18, 0x54, 0xe5); /* FORMAT TRACK with its IDs by the FIFO */
    for (unsigned i = 0; i < 72; i++)
        out8(r->b, FIFO, (uint8_t)(i & 3 ? 2 : 6));
    for (unsigned i = 0; i < 7; i++)
        g_assert_cmphex(in8(r->b, FIFO) & (i < 3 ? 0xff : 0), ==, 0);
    g_autofree char *data = NULL;
    gsize len;
    g_assert_true(g_file_get_contents(r->path, &data, &len, NULL));
    const uint8_t *track = (const uint8_t *)data + 5 * 36 * 512;
    for (unsigned i = 0; i < 1024; i++)
        g_assert_cmphex(track[17 * 512 + i], ==, (uint8_t)(i * 5 + i / 512));
    for (unsigned i = 0; i < 512; i++)
        g_assert_cmphex(track[i], ==, 0xc3);
    g_assert_cmphex(track[512], ==, (uint8_t)(5 * 36 + 1));
    for (unsigned i = 0; i < 18 * 512; i++)
        g_assert_cmphex((uint8_t)data[6 * 36 * 512 + i], ==, 0xe5);
    SEND(0x45, 1, 5, 0, 1, 2, 18, 0x1b, 0xff); /* errors come before any data */
    EXPECT(0x41, 1, 0, 5, 0, 1, 2);
}

/* Every standard size: its geometry, its rate, its last sector. */
static void test_sizes(struct rig *r, gconstpointer unused)
{
    static const struct {
        unsigned kib;
        uint8_t tracks, heads, sectors, rate;
    } rows[] = {{160, 40, 1, 8, 2}, {180, 40, 1, 9, 2},   {320, 40, 2, 8, 2},   {360, 40, 2, 9, 2},
                {720, 80, 2, 9, 2}, {1200, 80, 2, 15, 0}, {1440, 80, 2, 18, 0}, {2880, 80, 2, 36, 3}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree uint8_t *image = g_malloc0(rows[i].kib * 1024);
        memset(image + rows[i].kib * 1024 - 512, 0x5e, 512);
        g_assert_true(block_eject(r->disk, true, &error));
        g_assert_true(g_file_set_contents(r->path, (char *)image, rows[i].kib * 1024, NULL));
        g_assert_true(block_insert(r->disk, r->path, BLOCK_FORMAT_RAW, false, &error));
        start(r);
        uint8_t track = rows[i].tracks - 1, head = rows[i].heads - 1;
        seek(r, track);
        SEND(0x03, 0xaf, 0x03);
        out8(r->b, CCR, rows[i].rate ^ 1); /* not its rate */
        SEND(0x4a, (uint8_t)(head << 2));
        g_assert_cmphex(in8(r->b, FIFO) & 0xc0, ==, 0x40);
        for (unsigned k = 0; k < 6; k++)
            in8(r->b, FIFO);
        out8(r->b, CCR, rows[i].rate);
        SEND(0x4a, (uint8_t)(head << 2));
        EXPECT((uint8_t)(head << 2), 0, 0, track, head, 1, 2);
        SEND(0x46, (uint8_t)(head << 2), track, head, rows[i].sectors, 2, rows[i].sectors, 0x1b, 0xff);
        for (unsigned k = 0; k < 512; k++)
            g_assert_cmphex(in8(r->b, FIFO), ==, 0x5e);
        g_assert_cmphex(in8(r->b, FIFO) & 0xc0, ==, 0x40);
        for (unsigned k = 0; k < 6; k++)
            in8(r->b, FIFO);
        SEND(0x46, (uint8_t)(head << 2), track, head, (uint8_t)(rows[i].sectors + 1), 2, 36, 0x1b, 0xff);
        g_assert_cmphex(in8(r->b, FIFO) & 0xc0, ==, 0x40);
        g_assert_cmphex(in8(r->b, FIFO), ==, 4); /* no such sector */
        for (unsigned k = 0; k < 5; k++)
            in8(r->b, FIFO);
    }
}

static void test_change(struct rig *r, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    start(r);
    g_assert_cmphex(in8(r->b, CCR), ==, 0x80);
    seek(r, 1);
    g_assert_cmphex(in8(r->b, CCR), ==, 0);
    g_assert_true(block_eject(r->disk, false, &error));
    g_assert_cmphex(in8(r->b, CCR), ==, 0x80);
    seek(r, 0);
    g_assert_cmphex(in8(r->b, CCR), ==, 0x80); /* no disk: it stays */
    g_assert_true(block_insert(r->disk, r->path, BLOCK_FORMAT_RAW, true, &error));
    seek(r, 1);
    g_assert_cmphex(in8(r->b, CCR), ==, 0);
    dma(r, 0x4a, 512);
    SEND(0x45, 0, 1, 0, 1, 2, 18, 0x1b, 0xff); /* write-protected now */
    EXPECT(0x40, 2, 0, 1, 0, 1, 2);
    g_assert_cmpuint(fdc_drive_type(0), ==, 4);
    g_assert_cmpuint(fdc_drive_type(SIZE), ==, 4);
    g_assert_cmpuint(fdc_drive_type(2880 << 10), ==, 5);
    g_assert_cmpuint(fdc_drive_type(1200 << 10), ==, 2);
    g_assert_cmpuint(fdc_drive_type(360 << 10), ==, 1);
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    out8(r->b, DOR, 0x0c);
    out8(r->b, FIFO, 0x0f);
    out8(r->b, FIFO, 1);
}

static GByteArray *save(struct rig *r)
{
    struct device *device = (struct device *)r->fdc;
    GByteArray *out = g_byte_array_new();
    state_save(device->class->state, device->id, device, out);
    return out;
}

static void load(struct rig *r, const GByteArray *state)
{
    struct device *device = (struct device *)r->fdc;
    g_autoptr(GError) error = NULL;
    size_t pos = 0;
    g_assert_true(
        state_load(device->class->state, device->id, device, state->data, state->len, &pos, &error));
    g_assert_no_error(error);
}

/* In the middle of a sector that goes through the FIFO: the rest of it is still there. */
static void test_state_amid(struct rig *r, gconstpointer unused)
{
    start(r);
    SEND(0x03, 0xaf, 0x03);
    seek(r, 5);
    SEND(0x46, 4, 5, 1, 17, 2, 18, 0x1b, 0xff);
    g_autoptr(GByteArray) reading = NULL;
    for (unsigned i = 0; i < 1024; i++) {
        if (i == 700) {
            reading = save(r);
            device_reset((struct device *)r->fdc);
            start(r);
            SEND(0x03, 0xaf, 0x03);
            SEND(0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
            load(r, reading);
        }
        g_assert_cmphex(in8(r->b, FIFO), ==, (uint8_t)(5 * 36 + 18 + 16 + i / 512 + i % 512));
    }
    EXPECT(0x44, 0x80, 0, 6, 1, 1, 2);
    SEND(0xc5, 0, 5, 0, 18, 2, 1, 0x1b, 0xff);
    g_autoptr(GByteArray) writing = NULL;
    for (unsigned i = 0; i < 1024; i++) {
        if (i == 600) {
            writing = save(r);
            device_reset((struct device *)r->fdc);
            load(r, writing);
        }
        out8(r->b, FIFO, (uint8_t)(i * 5 + i / 512));
    }
    EXPECT(0x40, 0x80, 0, 6, 0, 1, 2);
    uint8_t data[512];
    for (unsigned s = 0; s < 2; s++) {
        g_assert_cmpint(block_read_now(r->disk, (5 * 36 + 17 + s) * 512, data, 512), ==, 0);
        for (unsigned i = 0; i < 512; i++)
            g_assert_cmphex(data[i], ==, (uint8_t)((512 * s + i) * 5 + s));
    }
}

/* A request that is answered at a time of the guest's is neither hurried nor lost. */
static void test_state_steady(struct rig *r, gconstpointer unused)
{
    enum { ANSWER = 100000, BEFORE = 30000 };
    block_set_steady(r->disk, r->b->clock);
    start(r);
    SEND(0x03, 0xaf, 0x02);
    seek(r, 0);
    for (unsigned out = 0; out < 2; out++) {
        for (unsigned i = 0; i < 512 && out; i++)
            phys_write8(r->b->mem, BUFFER + i, (uint8_t)(i * 11));
        dma(r, out ? 0x4a : 0x46, 512);
        SEND((uint8_t)(out ? 0x45 : 0x46), 0, 0, 0, 3, 2, 18, 0x1b, 0xff);
        clock_manual_advance(r->b->clock, BEFORE);
        g_autoptr(GByteArray) state = save(r);
        device_reset((struct device *)r->fdc);
        load(r, state);
        clock_manual_advance(r->b->clock, ANSWER - BEFORE - 1);
        g_assert_false(r->b->level[IRQ]);
        clock_manual_advance(r->b->clock, 1);
        g_assert_true(r->b->level[IRQ]);
        EXPECT(0, 0, 0, 0, 0, 4, 2);
        if (!out)
            check(r, 0, 2);
    }
    uint8_t data[512];
    g_assert_cmpint(block_read_now(r->disk, 2 * 512, data, 512), ==, 0);
    for (unsigned i = 0; i < 512; i++)
        g_assert_cmphex(data[i], ==, (uint8_t)(i * 11));
    bench_damaged_state(r->b, (struct device *)r->fdc);
}

static void test_state(struct rig *r, gconstpointer unused)
{
    start(r);
    out8(r->b, FIFO, 0xe6);
    bench_round_trip((struct device *)r->fdc, disturb, r);
    bench_damaged_state(r->b, (struct device *)r->fdc);
    bench_reset_is_complete((struct device *)r->fdc, disturb, r);
}

/* Whatever is written, it ends, and touches nothing but its own. */
static void test_random(struct rig *r, gconstpointer unused)
{
    static const uint8_t codes[] = {0x03, 0xe6, 0xc5, 0x4d, 0x0f, 0x07, 0x08,
                                    0x4a, 0x13, 0x0e, 0x46, 0x42, 0x49};
    GRand *random = g_rand_new_with_seed(77);
    for (unsigned i = 0; i < 40000; i++) {
        switch (g_rand_int_range(random, 0, 8)) {
        case 0:
            out8(r->b, (uint16_t)(0x3f0 + g_rand_int_range(random, 0, 8)), (uint8_t)g_rand_int(random));
            break;
        case 1:
            in8(r->b, (uint16_t)(0x3f0 + g_rand_int_range(random, 0, 8)));
            break;
        case 2:
            start(r);
            break;
        case 3:
            dma(r, (uint8_t)g_rand_int(random), (unsigned)g_rand_int_range(random, 1, 65537));
            break;
        default:
            for (unsigned k = 0; k < 8; k++)
                in8(r->b, FIFO);
            out8(r->b, FIFO, codes[g_rand_int_range(random, 0, G_N_ELEMENTS(codes))]);
            for (unsigned k = 0; k < 8; k++)
                out8(r->b, FIFO, (uint8_t)g_rand_int_range(random, 0, g_rand_boolean(random) ? 4 : 256));
        }
        for (unsigned k = 0; i % 64 == 5 && k < 700; k++) { /* sectors through the FIFO */
            if (i & 64)
                in8(r->b, FIFO);
            else
                out8(r->b, FIFO, (uint8_t)k);
        }
        if (i % 8 == 2)
            for (unsigned k = 0; k < 16; k++)
                in8(r->b, FIFO);
        if (in8(r->b, MSR) != 0x80) { /* back to where start() can begin */
            out8(r->b, DOR, 0);
            out8(r->b, DOR, 0x0c);
        }
    }
    g_rand_free(random);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/fdc/" #name, struct rig, NULL, set_up, test_##name, tear_down)
    TEST(reset);
    TEST(read);
    TEST(write);
    TEST(errors);
    TEST(non_dma);
    TEST(sizes);
    TEST(change);
    TEST(state);
    TEST(state_amid);
    TEST(state_steady);
    TEST(random);
    return g_test_run();
}
