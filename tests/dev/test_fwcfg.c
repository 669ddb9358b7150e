/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * fw_cfg: selector and data port, directory, DMA with all its commands, bad DMA addresses, bad names.
 */
#include "emu/dev/fwcfg.h"
#include "tests/dev/chip_bench.h"

#include <gio/gio.h>
#include <string.h>

struct rig {
    struct bench *b;
    struct fwcfg *fw;
};

enum { REQUEST = 0x8000, BUFFER = 0x9000 };
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };

static void set_up(struct rig *r, gconstpointer data)
{
    r->b = bench_new();
    r->fw = fwcfg_new(r->b->io, r->b->mem);
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->fw);
    bench_free(r->b);
}

static void read_key(struct rig *r, uint16_t key, void *to, size_t len)
{
    uint8_t *bytes = to;
    out16(r->b, 0x510, key);
    for (size_t i = 0; i < len; i++)
        bytes[i] = in8(r->b, 0x511);
}

static void add(struct rig *r, const char *name, const void *data, size_t len)
{
    g_autoptr(GError) error = NULL;
    fwcfg_add_file(r->fw, name, data, len, &error);
    g_assert_no_error(error);
}

static void test_keys(struct rig *r, gconstpointer data)
{
    char text[8];
    uint32_t word;
    read_key(r, FWCFG_SIGNATURE, text, 4);
    g_assert_cmpmem(text, 4, "QEMU", 4);
    g_assert_cmphex(in8(r->b, 0x511), ==, 0); /* beyond the end */
    read_key(r, FWCFG_ID, &word, 4);
    g_assert_cmphex(word, ==, 3);
    fwcfg_set_u16(r->fw, FWCFG_CPUS, 0x1234);
    fwcfg_set_u64(r->fw, FWCFG_RAM_SIZE, 0x123456789abcdef0);
    read_key(r, FWCFG_CPUS, &word, 4);
    g_assert_cmphex(word, ==, 0x1234);
    uint64_t wide;
    read_key(r, FWCFG_RAM_SIZE, &wide, 8);
    g_assert_cmphex(wide, ==, 0x123456789abcdef0);
    fwcfg_set_u16(r->fw, FWCFG_RAM_SIZE, 7); /* the last value counts */
    read_key(r, FWCFG_RAM_SIZE, &wide, 8);
    g_assert_cmphex(wide, ==, 7);
    fwcfg_set_u32(r->fw, 0x8002, 1); /* architecture-local */
    read_key(r, 0x8002, &word, 4);
    g_assert_cmphex(word, ==, 1);
    static const uint16_t unknown[] = {0x1f, 0x120, 0x3fff, 0x7fff, 0x8000, 0x8010, 0xffff};
    for (unsigned i = 0; i < G_N_ELEMENTS(unknown); i++) {
        read_key(r, unknown[i], &word, 4);
        g_assert_cmphex(word, ==, 0);
    }
    out8(r->b, 0x510, 0); /* not a selector write */
    out8(r->b, 0x511, 0xff);
    g_assert_cmphex(in8(r->b, 0x510), ==, 0xff);
}

struct entry {
    uint32_t size;
    uint16_t key, reserved;
    char name[56];
};

static void test_directory(struct rig *r, gconstpointer data)
{
    uint32_t count;
    read_key(r, FWCFG_FILE_DIR, &count, 4);
    g_assert_cmpuint(count, ==, 0);
    add(r, "opt/test/a", "alpha", 5);
    add(r, "opt/test/empty", NULL, 0);
    add(r, "opt/test/b", "beta", 4);
    add(r, "opt/test/a", "second", 6);
    struct {
        uint32_t count;
        struct entry entry[3];
    } directory;
    read_key(r, FWCFG_FILE_DIR, &directory, sizeof directory);
    g_assert_cmpuint(GUINT32_FROM_BE(directory.count), ==, 3);
    g_assert_cmpstr(directory.entry[0].name, ==, "opt/test/a");
    g_assert_cmpuint(GUINT32_FROM_BE(directory.entry[0].size), ==, 6);
    g_assert_cmphex(GUINT16_FROM_BE(directory.entry[0].key), ==, 0x20);
    g_assert_cmpuint(GUINT32_FROM_BE(directory.entry[1].size), ==, 0);
    g_assert_cmphex(GUINT16_FROM_BE(directory.entry[2].key), ==, 0x22);
    char text[7] = {0};
    read_key(r, 0x20, text, 6);
    g_assert_cmpstr(text, ==, "second");
    g_autoptr(GString) shown = g_string_new(NULL);
    fwcfg_describe(r->fw, shown);
    g_assert_nonnull(strstr(shown->str, "opt/test/b"));
}

static void test_bad_files(struct rig *r, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    char name[64];
    memset(name, 'x', sizeof name);
    name[56] = '\0';
    g_assert_false(fwcfg_add_file(r->fw, name, "", 0, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    g_assert_false(fwcfg_add_file(r->fw, "", "", 0, &error));
    g_clear_error(&error);
    name[55] = '\0';
    add(r, name, "1", 1);
    for (unsigned i = 1; i < FWCFG_FILES_MAX; i++) {
        g_snprintf(name, sizeof name, "opt/%u", i);
        add(r, name, &i, sizeof i);
    }
    g_assert_false(fwcfg_add_file(r->fw, "one-too-many", "", 0, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
    uint32_t last;
    read_key(r, FWCFG_FILE_FIRST + FWCFG_FILES_MAX - 1, &last, 4);
    g_assert_cmpuint(last, ==, FWCFG_FILES_MAX - 1);
}

static uint32_t dma(struct rig *r, uint32_t control, uint32_t length, uint64_t address)
{
    phys_write32(r->b->mem, REQUEST, GUINT32_TO_BE(control));
    phys_write32(r->b->mem, REQUEST + 4, GUINT32_TO_BE(length));
    phys_write64(r->b->mem, REQUEST + 8, GUINT64_TO_BE(address));
    out32(r->b, 0x514, 0);
    out32(r->b, 0x518, GUINT32_SWAP_LE_BE(REQUEST));
    return GUINT32_FROM_BE(phys_read32(r->b->mem, REQUEST));
}

static void test_dma(struct rig *r, gconstpointer data)
{
    char text[16] = {0};
    g_assert_cmphex(in32(r->b, 0x514), ==, GUINT32_SWAP_LE_BE(0x51454d55));
    g_assert_cmphex(in32(r->b, 0x518), ==, GUINT32_SWAP_LE_BE(0x20434647));
    g_assert_cmphex(in8(r->b, 0x514), ==, 'Q');
    add(r, "opt/text", "0123456789", 10);
    g_assert_cmphex(dma(r, 0x20u << 16 | DMA_SELECT | DMA_READ, 4, BUFFER), ==, 0);
    phys_read(r->b->mem, BUFFER, text, 4);
    g_assert_cmpstr(text, ==, "0123");
    g_assert_cmphex(dma(r, DMA_SKIP, 2, 0), ==, 0);
    g_assert_cmphex(dma(r, DMA_READ, 2, BUFFER), ==, 0);
    phys_read(r->b->mem, BUFFER, text, 2);
    g_assert_cmpmem(text, 2, "67", 2);
    g_assert_cmphex(in8(r->b, 0x511), ==, '8'); /* one offset for both doors */
    phys_write64(r->b->mem, BUFFER, ~0ull);
    g_assert_cmphex(dma(r, DMA_READ, 8, BUFFER), ==, 0);
    phys_read(r->b->mem, BUFFER, text, 8);
    g_assert_cmpmem(text, 8, "9\0\0\0\0\0\0\0", 8); /* zeros after the end */
    g_assert_cmphex(dma(r, DMA_WRITE, 4, BUFFER), ==, DMA_ERROR);
    g_assert_cmphex(dma(r, 0, 4, BUFFER), ==, 0);
    g_assert_cmphex(dma(r, DMA_SELECT | 0x1234u << 16, 0, 0), ==, 0);
    g_assert_cmphex(dma(r, DMA_SKIP, 0xffffffff, 0), ==, 0);
    g_assert_cmphex(dma(r, DMA_SKIP, 0xffffffff, 0), ==, 0);
}

static void test_bad_dma(struct rig *r, gconstpointer data)
{
    static const uint64_t nowhere[] = {0xa0000, 0xfee00000, BENCH_RAM, 0x100000000, ~0ull, 1ull << 63};
    for (unsigned i = 0; i < G_N_ELEMENTS(nowhere); i++)
        g_assert_cmphex(dma(r, DMA_READ, 16, nowhere[i]), ==, DMA_ERROR);
    g_assert_cmphex(dma(r, DMA_READ, 0xffffffff, 0x100000), ==, DMA_ERROR); /* runs out of RAM */
    g_assert_cmphex(phys_read32(r->b->mem, BENCH_RAM - 4), ==, 0);
    out32(r->b, 0x514, 0xffffffff); /* the request itself is nowhere */
    out32(r->b, 0x518, 0xffffffff);
    out16(r->b, 0x518, 0x1234); /* narrow writes start nothing */
    out8(r->b, 0x51b, 0x12);
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    out16(r->b, 0x510, 0x20);
    in8(r->b, 0x511);
    in8(r->b, 0x511);
    out32(r->b, 0x514, 0x01000000);
}

static void test_state(struct rig *r, gconstpointer data)
{
    add(r, "opt/text", "0123456789", 10);
    disturb(r);
    bench_round_trip((struct device *)r->fw, NULL, NULL);
    g_assert_cmphex(in8(r->b, 0x511), ==, '2');
    bench_damaged_state(r->b, (struct device *)r->fw);
    in8(r->b, 0x511);
    bench_reset_is_complete((struct device *)r->fw, disturb, r);
    g_assert_cmphex(in8(r->b, 0x511), ==, 'Q');
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/fwcfg/" #name, struct rig, NULL, set_up, test_##name, tear_down)
    TEST(keys);
    TEST(directory);
    TEST(bad_files);
    TEST(dma);
    TEST(bad_dma);
    TEST(state);
    return g_test_run();
}
