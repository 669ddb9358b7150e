/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Registers as rows: storing, masks, write-one-to-clear, clear-on-read, hooks, runs, unknown offsets, and the
 * check of the table itself.
 */
#include "emu/dev/regs.h"

#include <string.h>

enum { CTRL, STATUS, CAUSE, COUNT0, COUNT1, COUNT2, LIVE, VALUES };

struct thing {
    uint32_t values[VALUES];
    unsigned writes, last_index;
    uint32_t last_raw;
};

static uint32_t live_read(void *device, unsigned i)
{
    return 0x1000 + i;
}

static void ctrl_written(void *device, unsigned i, uint32_t value)
{
    struct thing *thing = device;
    thing->writes++;
    thing->last_index = i;
    thing->last_raw = value;
}

static const struct reg_row rows[] = {
    {.offset = 0x00,
     .index = CTRL,
     .name = "CTRL",
     .reset = 0x81,
     .writable = 0xff,
     .on_write = ctrl_written},
    {.offset = 0x08, .index = STATUS, .name = "STATUS", .reset = 0xf0f0, .writable = 0xf, .w1c = 0xff00},
    {.offset = 0x10, .index = CAUSE, .name = "CAUSE", .reset = 7, .clear_on_read = true},
    {.offset = 0x20, .index = COUNT0, .count = 3, .name = "COUNT", .writable = ~0u, .on_write = ctrl_written},
    {.offset = 0x40, .index = LIVE, .name = "LIVE", .on_read = live_read},
};
static const struct reg_file file = {
    .name = "thing", .trace = TRACE_E1000, .rows = rows, .count = G_N_ELEMENTS(rows)};

static void test_access(void)
{
    struct thing t = {0};
    regs_check(&file, VALUES);
    regs_reset(&file, t.values);
    g_assert_cmphex(regs_read(&file, t.values, &t, 0), ==, 0x81);
    regs_write(&file, t.values, &t, 0, 0x12345);
    g_assert_cmphex(t.values[CTRL], ==, 0x45);
    g_assert_cmphex(t.last_raw, ==, 0x12345);
    regs_write(&file, t.values, &t, 8, 0x30ff);
    g_assert_cmphex(t.values[STATUS], ==, 0xc0ff);
    g_assert_cmphex(regs_read(&file, t.values, &t, 0x10), ==, 7);
    g_assert_cmphex(regs_read(&file, t.values, &t, 0x10), ==, 0);
    regs_write(&file, t.values, &t, 0x28, 99);
    g_assert_cmpuint(t.values[COUNT2], ==, 99);
    g_assert_cmpuint(t.last_index, ==, 2);
    g_assert_cmpuint(t.writes, ==, 2);
    g_assert_cmphex(regs_read(&file, t.values, &t, 0x40), ==, 0x1000);
}

static void test_unknown(void)
{
    struct thing t = {0}, before = {0};
    static const uint32_t nowhere[] = {0x04, 0x0c, 0x14, 0x2c, 0x3c, 0x44, 0x1fffc, 0xfffffffc};
    for (unsigned i = 0; i < G_N_ELEMENTS(nowhere); i++) {
        g_assert_cmphex(regs_read(&file, t.values, &t, nowhere[i]), ==, 0);
        regs_write(&file, t.values, &t, nowhere[i], ~0u);
        g_assert_null(regs_find(&file, nowhere[i]));
    }
    g_assert_cmpmem(&t, sizeof t, &before, sizeof before);
    g_assert_cmpstr(regs_find(&file, 0x24)->name, ==, "COUNT");
}

static void check_bad_table(const char *path, const struct reg_row *bad, size_t count, size_t values)
{
    if (g_test_subprocess()) {
        const struct reg_file broken = {.name = "broken", .rows = bad, .count = count};
        regs_check(&broken, values);
        return;
    }
    g_test_trap_subprocess(path, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_failed();
}

static void test_overlap(void)
{
    static const struct reg_row bad[] = {{.offset = 0, .count = 2, .name = "A"}, {.offset = 4, .name = "B"}};
    check_bad_table("/regs/overlap", bad, 2, 8);
}

static void test_bad_index(void)
{
    static const struct reg_row bad[] = {{.offset = 0, .index = 7, .count = 2, .name = "A"}};
    check_bad_table("/regs/bad_index", bad, 1, 8);
}

static void test_unaligned(void)
{
    static const struct reg_row bad[] = {{.offset = 2, .name = "A"}};
    check_bad_table("/regs/unaligned", bad, 1, 8);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/regs/access", test_access);
    g_test_add_func("/regs/unknown", test_unknown);
    g_test_add_func("/regs/overlap", test_overlap);
    g_test_add_func("/regs/bad_index", test_bad_index);
    g_test_add_func("/regs/unaligned", test_unaligned);
    return g_test_run();
}
