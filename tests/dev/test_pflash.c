/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Firmware's flash chip: array, identifier, query and status modes, programming by byte and by buffer,
 * erasing, wrong sequences, a read-only image, what is in the image afterwards and in which order, errors of
 * the host, saved state, and random accesses against a model.
 */
#include "emu/dev/pflash.h"
#include "tests/dev/chip_bench.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 16 * PFLASH_BLOCK };
#define END  UINT64_C(0x100000000)
#define BASE (END - SIZE)

struct rig {
    struct bench *b;
    struct block *block;
    struct pflash *flash;
    char *path;
};

static uint8_t content(unsigned i)
{
    return (uint8_t)(i / 251 + i);
}

static void plug_in(struct rig *r, bool read_only)
{
    g_autoptr(GError) error = NULL;
    r->b = bench_new();
    r->block = block_new(
        &(struct block_config){
            .id = "pflash0", .file = r->path, .format = BLOCK_FORMAT_RAW, .read_only = read_only},
        NULL, &error);
    g_assert_no_error(error);
    r->flash = pflash_new(r->b->mem, "pflash0", END, r->block, &error);
    g_assert_no_error(error);
}

static void unplug(struct rig *r)
{
    device_free((struct device *)r->flash);
    block_free(r->block);
    bench_free(r->b);
}

static void set_up(struct rig *r, gconstpointer read_only)
{
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *image = g_malloc(SIZE);
    for (unsigned i = 0; i < SIZE; i++)
        image[i] = content(i);
    close(g_file_open_tmp("netlab-pflash-XXXXXX", &r->path, &error));
    g_assert_true(g_file_set_contents(r->path, (char *)image, SIZE, NULL));
    plug_in(r, read_only != NULL);
}

static void tear_down(struct rig *r, gconstpointer unused)
{
    unplug(r);
    g_unlink(r->path);
    g_free(r->path);
}

static uint8_t rd(struct rig *r, uint32_t at)
{
    return phys_read8(r->b->mem, BASE + at);
}

static void wr(struct rig *r, uint32_t at, uint8_t value)
{
    phys_write8(r->b->mem, BASE + at, value);
}

static void test_modes(struct rig *r, gconstpointer unused)
{
    static const char qry[] = "QRY";
    struct phys_slice slice;
    physmap_lookup(r->b->mem, BASE, &slice);
    g_assert_nonnull(slice.read); /* code runs from it */
    g_assert_null(slice.write);
    g_assert_cmphex(rd(r, 5), ==, content(5));
    g_assert_cmphex(phys_read32(r->b->mem, END - 4), ==,
                    (uint32_t)content(SIZE - 4) | (uint32_t)content(SIZE - 3) << 8 |
                        (uint32_t)content(SIZE - 2) << 16 | (uint32_t)content(SIZE - 1) << 24);
    wr(r, 0x1000, 0x90);
    physmap_lookup(r->b->mem, BASE, &slice);
    g_assert_null(slice.read);
    g_assert_cmphex(rd(r, 0), ==, 0x89);
    g_assert_cmphex(rd(r, 1), ==, 0x18);
    g_assert_cmphex(rd(r, 0x2002), ==, 0);
    wr(r, 0x55, 0x98);
    for (unsigned i = 0; i < 3; i++)
        g_assert_cmphex(rd(r, 0x10 + i), ==, qry[i]);
    g_assert_cmphex(phys_read16(r->b->mem, BASE + 0x13), ==, 1);
    g_assert_cmphex(rd(r, 0x27), ==, 16); /* 2^16 bytes */
    g_assert_cmphex(rd(r, 0x2a), ==, 8);
    g_assert_cmpuint((phys_read16(r->b->mem, BASE + 0x2d) + 1u) * phys_read16(r->b->mem, BASE + 0x2f) * 256,
                     ==, SIZE);
    g_assert_cmphex(phys_read16(r->b->mem, BASE + 0x31), ==, 'P' | 'R' << 8);
    wr(r, 0, 0x70);
    g_assert_cmphex(phys_read32(r->b->mem, BASE + 8), ==, 0x80808080);
    wr(r, 0, 0x50);
    wr(r, 0, 0x70);
    g_assert_cmphex(rd(r, 0), ==, 0); /* what firmware takes for this chip */
    wr(r, 0, 0xff);
    g_assert_cmphex(rd(r, 5), ==, content(5));
}

static void test_program(struct rig *r, gconstpointer unused)
{
    g_autofree char *data = NULL;
    gsize len;
    wr(r, 0x3004, 0x20);
    wr(r, 0x3004, 0xd0);
    g_assert_cmphex(rd(r, 0x3004), ==, 0x80);
    for (unsigned i = 0; i < 300; i++) {
        wr(r, 0x3000 + i, i & 1 ? 0x40 : 0x10);
        wr(r, 0x3000 + i, (uint8_t)~i);
        g_assert_cmphex(rd(r, 0), ==, 0x80);
    }
    wr(r, 0x3005, 0x40);
    wr(r, 0x3005, 0xf0); /* bits are cleared only */
    wr(r, 0x3200, 0xe8);
    g_assert_cmphex(rd(r, 0x3200), ==, 0x80);
    wr(r, 0x3200, 15);
    for (unsigned i = 0; i < 16; i++)
        wr(r, 0x3210 + i, (uint8_t)(0xa0 + i));
    wr(r, 0x3200, 0xd0);
    g_assert_cmphex(rd(r, 0x3200), ==, 0x80);
    wr(r, 0, 0xff);
    for (unsigned i = 0; i < 300; i++)
        g_assert_cmphex(rd(r, 0x3000 + i), ==, i == 5 ? (0xfa & 0xf0) : (uint8_t)~i);
    for (unsigned i = 0; i < 256; i++)
        g_assert_cmphex(rd(r, 0x3200 + i), ==, i >= 16 && i < 32 ? 0xa0 + i - 16 : 0xff);
    unplug(r);
    g_assert_true(g_file_get_contents(r->path, &data, &len, NULL));
    g_assert_cmpuint(len, ==, SIZE);
    for (unsigned i = 0; i < SIZE; i++)
        if (i >> 12 != 3)
            g_assert_cmphex((uint8_t)data[i], ==, content(i));
    g_assert_cmphex((uint8_t)data[0x3005], ==, 0xf0);
    g_assert_cmphex((uint8_t)data[0x3006], ==, 0xf9);
    g_assert_cmphex((uint8_t)data[0x321f], ==, 0xaf);
    g_assert_cmphex((uint8_t)data[0x3fff], ==, 0xff);
    plug_in(r, false);
    g_assert_cmphex(rd(r, 0x321f), ==, 0xaf);
}

static void test_sequences(struct rig *r, gconstpointer unused)
{
    wr(r, 0x1000, 0x20);
    wr(r, 0x1000, 0x00); /* not confirmed */
    g_assert_cmphex(rd(r, 0), ==, 0xb0);
    wr(r, 0, 0x50);
    wr(r, 0x1000, 0xe8);
    wr(r, 0x1000, 1);
    wr(r, 0x1000, 0);
    wr(r, 0x1100, 0); /* in another page */
    g_assert_cmphex(rd(r, 0), ==, 0xb0);
    wr(r, 0, 0x50);
    wr(r, 0x1000, 0xe8);
    wr(r, 0x1000, 0);
    wr(r, 0x1000, 0);
    wr(r, 0x1000, 0xff); /* not confirmed */
    g_assert_cmphex(rd(r, 0), ==, 0xb0);
    wr(r, 0, 0x50);
    wr(r, 0x1000, 0x60);
    wr(r, 0x1000, 0xd0);
    g_assert_cmphex(rd(r, 0), ==, 0x80);
    wr(r, 0, 0x33); /* none of the commands */
    for (unsigned i = 0; i < SIZE; i++)
        g_assert_cmphex(rd(r, i), ==, content(i));
    wr(r, 0, 0x20);
    device_reset((struct device *)r->flash);
    wr(r, 0, 0xd0); /* the erase was forgotten */
    g_assert_cmphex(rd(r, 0), ==, content(0));
}

static void test_read_only(struct rig *r, gconstpointer unused)
{
    wr(r, 0, 0x40);
    wr(r, 0, 0);
    g_assert_cmphex(rd(r, 0), ==, 0x92);
    wr(r, 0, 0x50);
    wr(r, 0, 0x20);
    wr(r, 0, 0xd0);
    g_assert_cmphex(rd(r, 0), ==, 0xa2);
    wr(r, 0, 0x90);
    g_assert_cmphex(rd(r, 0x5002), ==, 1);
    wr(r, 0, 0xff);
    for (unsigned i = 0; i < SIZE; i++)
        g_assert_cmphex(rd(r, i), ==, content(i));
}

/* The image was cut short: the host cannot keep what is programmed, and the chip says so. */
static void test_host_error(struct rig *r, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    wr(r, 0x1000, 0x40);
    wr(r, 0x1000, 0);
    g_assert_cmphex(rd(r, 0), ==, 0x80);
    g_assert_true(block_resize(r->block, PFLASH_BLOCK, &error));
    wr(r, SIZE - 1, 0x20);
    wr(r, SIZE - 1, 0xd0);
    g_assert_cmphex(rd(r, 0), ==, 0xb0);
    wr(r, 0, 0x50);
    wr(r, 0, 0xff);
    g_assert_cmphex(rd(r, SIZE - 1), ==, 0xff);
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    wr(r, 0x2000, 0xe8);
    wr(r, 0x2000, 7);
    wr(r, 0x2001, 0x12);
}

static void test_state(struct rig *r, gconstpointer unused)
{
    wr(r, 0x1000, 0xe8);
    wr(r, 0x1000, 1);
    wr(r, 0x1000, 0x55);
    bench_round_trip((struct device *)r->flash, NULL, NULL);
    wr(r, 0x1001, 0x44); /* goes on where it was */
    wr(r, 0x1000, 0xd0);
    wr(r, 0, 0xff);
    g_assert_cmphex(rd(r, 0x1000), ==, (content(0x1000) & 0x55));
    g_assert_cmphex(rd(r, 0x1001), ==, (content(0x1001) & 0x44));
    bench_reset_is_complete((struct device *)r->flash, disturb, r);
    bench_damaged_state(r->b, (struct device *)r->flash);
}

/* Random programming and erasing against a model; the image is the model's in the end. */
static void test_random(struct rig *r, gconstpointer unused)
{
    g_autofree uint8_t *model = g_malloc(SIZE);
    g_autofree char *data = NULL;
    gsize len;
    GRand *random = g_rand_new_with_seed(28);
    for (unsigned i = 0; i < SIZE; i++)
        model[i] = content(i);
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t at = (uint32_t)g_rand_int_range(random, 0, SIZE), count = 1;
        uint8_t value = (uint8_t)g_rand_int(random);
        switch (g_rand_int_range(random, 0, 4)) {
        case 0:
            wr(r, at, 0x40);
            wr(r, at, value);
            model[at] &= value;
            break;
        case 1:
            count = (uint32_t)g_rand_int_range(random, 1, (gint32)(257 - (at & 255)));
            wr(r, at, 0xe8);
            wr(r, at, (uint8_t)(count - 1));
            for (unsigned k = 0; k < count; k++) {
                wr(r, at + k, (uint8_t)(value + k));
                model[at + k] &= (uint8_t)(value + k);
            }
            wr(r, at, 0xd0);
            break;
        case 2:
            if (i % 8)
                break;
            wr(r, at, 0x20);
            wr(r, at, 0xd0);
            memset(model + (at & ~(PFLASH_BLOCK - 1u)), 0xff, PFLASH_BLOCK);
            break;
        case 3:
            wr(r, at, 0xff);
            g_assert_cmphex(rd(r, at), ==, model[at]);
            break;
        }
    }
    g_rand_free(random);
    unplug(r);
    g_assert_true(g_file_get_contents(r->path, &data, &len, NULL));
    g_assert_cmpmem(data, len, model, SIZE);
    plug_in(r, false);
}

static void test_sizes(void)
{
    static const struct {
        unsigned size;
        bool good;
    } rows[] = {{PFLASH_BLOCK, true},
                {3 * PFLASH_BLOCK, true},
                {PFLASH_BLOCK + 512, false},
                {PFLASH_MOST, true},
                {PFLASH_MOST + PFLASH_BLOCK, false}};
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *path = NULL;
        int fd = g_file_open_tmp("netlab-pflash-XXXXXX", &path, NULL);
        g_assert_cmpint(ftruncate(fd, rows[i].size), ==, 0);
        close(fd);
        struct bench *b = bench_new();
        struct block *block = block_new(
            &(struct block_config){.id = "f", .file = path, .format = BLOCK_FORMAT_RAW}, NULL, &error);
        g_assert_no_error(error);
        struct pflash *flash = pflash_new(b->mem, "f", END, block, &error);
        g_assert_cmpint(flash != NULL, ==, rows[i].good);
        if (!flash)
            g_assert_nonnull(strstr(error->message, "multiple of 4096"));
        device_free((struct device *)flash);
        block_free(block);
        bench_free(b);
        g_unlink(path);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, data, function) g_test_add("/pflash/" name, struct rig, data, set_up, function, tear_down)
    ADD("modes", NULL, test_modes);
    ADD("program", NULL, test_program);
    ADD("sequences", NULL, test_sequences);
    ADD("read-only", "", test_read_only);
    ADD("host-error", NULL, test_host_error);
    ADD("state", NULL, test_state);
    ADD("random", NULL, test_random);
    g_test_add_func("/pflash/sizes", test_sizes);
    return g_test_run();
}
