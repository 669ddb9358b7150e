/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The IDE function by its specifications: detection, IDENTIFY, PIO and bus-master DMA both ways, 48-bit
 * addresses, errors, resets, packets of the CD-ROM, media changes, PRD tables that end early or never, saved
 * state.
 */
#include "tests/dev/ide_rig.h"

#include <string.h>
#include <unistd.h>

enum { BASE = 0x1f0, CONTROL = 0x3f6, STATUS = BASE + 7 };
enum { DISK = 0xe0, CD = 0xb0 };
enum { TABLE = 0x1000, BUFFER = 0x10000 };

static void set_up(struct ide_rig *r, gconstpointer data)
{
    ide_rig_set_up(r);
}

static void tear_down(struct ide_rig *r, gconstpointer data)
{
    ide_rig_tear_down(r);
}

/* ---- driving ---- */

static void command(struct ide_rig *r, uint8_t device, uint8_t code, uint8_t count, uint32_t lba)
{
    out8(r->b, BASE + 6, (uint8_t)(device | (lba >> 24 & 15)));
    out8(r->b, BASE + 2, count);
    out8(r->b, BASE + 3, (uint8_t)lba);
    out8(r->b, BASE + 4, (uint8_t)(lba >> 8));
    out8(r->b, BASE + 5, (uint8_t)(lba >> 16));
    out8(r->b, STATUS, code);
}

static void command_48(struct ide_rig *r, uint8_t code, uint16_t count, uint64_t lba)
{
    out8(r->b, BASE + 6, DISK);
    out8(r->b, BASE + 2, (uint8_t)(count >> 8));
    out8(r->b, BASE + 2, (uint8_t)count);
    for (unsigned i = 0; i < 3; i++) {
        out8(r->b, (uint16_t)(BASE + 3 + i), (uint8_t)(lba >> (24 + 8 * i)));
        out8(r->b, (uint16_t)(BASE + 3 + i), (uint8_t)(lba >> 8 * i));
    }
    out8(r->b, STATUS, code);
}

static void read_block(struct ide_rig *r, uint8_t *to, unsigned len)
{
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x58);
    for (unsigned i = 0; i < len; i += 2) {
        uint16_t word = in16(r->b, BASE);
        memcpy(to + i, &word, 2);
    }
}

static void check_sector(const uint8_t *data, unsigned n)
{
    for (unsigned i = 0; i < 512; i++)
        g_assert_cmphex(data[i], ==, (uint8_t)((i & 1 ? n >> 8 : n) ^ (i >> 1)));
}

static void packet(struct ide_rig *r, const uint8_t bytes[12], unsigned limit, bool dma)
{
    out8(r->b, BASE + 6, CD);
    out8(r->b, BASE + 1, dma);
    out8(r->b, BASE + 4, (uint8_t)limit);
    out8(r->b, BASE + 5, (uint8_t)(limit >> 8));
    out8(r->b, STATUS, 0xa0);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x58);
    g_assert_cmphex(in8(r->b, BASE + 2), ==, 1);
    for (unsigned i = 0; i < 12; i += 2)
        out16(r->b, BASE, (uint16_t)(bytes[i] | bytes[i + 1] << 8));
}

/* Sense key and additional code of the last failure. */
static unsigned sense(struct ide_rig *r)
{
    uint8_t data[18];
    packet(r, (const uint8_t[12]){0x03, 0, 0, 0, 18}, 18, false);
    read_block(r, data, sizeof data);
    return (unsigned)data[2] << 8 | data[12];
}

/* One PIO answer of at most `most` bytes; its length. */
static unsigned answer(struct ide_rig *r, uint8_t *to, unsigned most)
{
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x58);
    unsigned len = in8(r->b, BASE + 4) | in8(r->b, BASE + 5) << 8;
    g_assert_cmphex(in8(r->b, BASE + 2), ==, 2);
    g_assert_cmpuint(len, <=, most);
    read_block(r, to, len);
    return len;
}

static void descriptor(struct ide_rig *r, unsigned n, uint32_t address, uint16_t count, bool last)
{
    phys_write32(r->b->mem, TABLE + 8 * n, address);
    phys_write32(r->b->mem, TABLE + 8 * n + 4, count | (last ? 1u << 31 : 0));
}

static void start_master(struct ide_rig *r, bool to_memory)
{
    out32(r->b, RIG_MASTER + 4, TABLE);
    out8(r->b, RIG_MASTER + 2, 6);
    out8(r->b, RIG_MASTER, to_memory ? 9 : 1);
}

/* ---- tests ---- */

static void test_detection(struct ide_rig *r, gconstpointer data)
{
    g_assert_cmphex(in8(r->b, 0x177), ==, 0xff); /* nobody on the second channel: it floats */
    out8(r->b, 0x172, 0x55);
    g_assert_cmphex(in8(r->b, 0x172), ==, 0xff);
    out8(r->b, BASE + 2, 0x55);
    out8(r->b, BASE + 3, 0xaa);
    g_assert_cmphex(in8(r->b, BASE + 2), ==, 0x55);
    g_assert_cmphex(in8(r->b, BASE + 3), ==, 0xaa);
    out8(r->b, CONTROL, 4);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x80);
    out8(r->b, CONTROL, 0);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    g_assert_cmphex(in8(r->b, BASE + 1), ==, 1);
    g_assert_cmphex(in8(r->b, BASE + 4), ==, 0);
    out8(r->b, BASE + 6, CD);
    g_assert_cmphex(in8(r->b, BASE + 4), ==, 0x14);
    g_assert_cmphex(in8(r->b, BASE + 5), ==, 0xeb);
    command(r, CD, 0xec, 0, 0); /* IDENTIFY DEVICE of a packet device */
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
    g_assert_cmphex(in8(r->b, BASE + 1), ==, 4);
    g_assert_cmphex(in8(r->b, BASE + 4), ==, 0x14);
}

static void test_identify(struct ide_rig *r, gconstpointer data)
{
    uint16_t id[256];
    command(r, DISK, 0xec, 0, 0);
    g_assert_cmpuint(r->b->rises[IRQ14], ==, 1);
    read_block(r, (uint8_t *)id, sizeof id);
    g_assert_false(r->b->level[IRQ14]); /* reading the status took it back */
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    g_assert_cmphex(id[0], ==, 0x40);
    g_assert_cmpuint(id[60] | id[61] << 16, ==, RIG_SECTORS);
    g_assert_cmpuint(id[100], ==, RIG_SECTORS);
    g_assert_cmphex(id[10], ==, 'S' << 8 | 'E');
    g_assert_cmphex(id[49] & 0x300, ==, 0x300);
    g_assert_cmphex(id[85] & 0x20, ==, 0x20); /* write cache on */
    command(r, CD, 0xa1, 0, 0);
    read_block(r, (uint8_t *)id, sizeof id);
    g_assert_cmphex(id[0], ==, 0x85c0);
}

static void test_pio(struct ide_rig *r, gconstpointer unused)
{
    uint8_t data[1024], back[512];
    command(r, DISK, 0x20, 2, 5);
    read_block(r, data, 512);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x58); /* the next one is ready */
    read_block(r, data + 512, 512);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    check_sector(data, 5);
    check_sector(data + 512, 6);
    g_assert_cmphex(in8(r->b, BASE + 3), ==, 6); /* the last sector */

    r->b->rises[IRQ14] = 0;
    command(r, DISK, 0x30, 1, 9);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x58);
    g_assert_cmpuint(r->b->rises[IRQ14], ==, 0); /* the first block is asked for without */
    for (unsigned i = 0; i < 512; i += 4)
        out32(r->b, BASE, 0x01020304u * (i / 4 + 1));
    g_assert_cmpuint(r->b->rises[IRQ14], ==, 1);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    command(r, DISK, 0xe7, 0, 0);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    g_assert_cmpuint(block_counters(r->disk)->requests[BLOCK_FLUSH], ==, 1);
    command(r, DISK, 0x20, 1, 9);
    read_block(r, back, 512);
    for (unsigned i = 0; i < 512; i += 4)
        g_assert_cmpmem(back + i, 4, &(uint32_t){0x01020304u * (i / 4 + 1)}, 4);

    command(r, DISK, 0xc6, 16, 0); /* SET MULTIPLE, READ MULTIPLE: one interrupt for all */
    r->b->rises[IRQ14] = 0;
    command(r, DISK, 0xc4, 2, 100);
    read_block(r, data, 1024);
    check_sector(data, 100);
    check_sector(data + 512, 101);
    g_assert_cmpuint(r->b->rises[IRQ14], ==, 1);

    command(r, 0xa0, 0x20, 1, 0x000001); /* CHS 0/0/1 */
    read_block(r, data, 512);
    check_sector(data, 0);
    command(r, 0xa1, 0x20, 1, 0x000002); /* 0/1/2 is sector 64 */
    read_block(r, data, 512);
    check_sector(data, 64);
}

static void test_dma(struct ide_rig *r, gconstpointer unused)
{
    uint8_t data[3 * 512];
    descriptor(r, 0, BUFFER, 700, false);
    descriptor(r, 1, BUFFER + 0x4000, 3 * 512 - 700, true);
    start_master(r, true); /* before the command, as some drivers do */
    command(r, DISK, 0xc8, 3, 40);
    g_assert_cmphex(in8(r->b, RIG_MASTER + 2) & 6, ==, 4);
    g_assert_true(r->b->level[IRQ14]);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    phys_read(r->b->mem, BUFFER, data, 700);
    phys_read(r->b->mem, BUFFER + 0x4000, data + 700, sizeof data - 700);
    for (unsigned i = 0; i < 3; i++)
        check_sector(data + 512 * i, 40 + i);
    out8(r->b, RIG_MASTER, 0);

    command_48(r, 0x35, 3, 1000); /* and after it */
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x58);
    start_master(r, false);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    out8(r->b, RIG_MASTER, 0);
    command_48(r, 0x24, 3, 1000);
    for (unsigned i = 0; i < 3; i++) {
        read_block(r, data, 512);
        check_sector(data, 40 + i);
    }
    g_assert_cmpuint(in8(r->b, BASE + 3) | in8(r->b, BASE + 4) << 8, ==, 1002);
    out8(r->b, CONTROL, 0x80);
    g_assert_cmphex(in8(r->b, BASE + 3), ==, 0);
}

/* n ranges of (first, count) where the bus master finds them. */
static void ranges(struct ide_rig *r, unsigned n, const uint64_t (*range)[2])
{
    for (unsigned i = 0; i < 64; i++) {
        uint64_t value = i < n ? range[i][0] | range[i][1] << 48 : 0;
        phys_write32(r->b->mem, BUFFER + 8 * i, (uint32_t)value);
        phys_write32(r->b->mem, BUFFER + 8 * i + 4, (uint32_t)(value >> 32));
    }
    descriptor(r, 0, BUFFER, 512, true);
}

static uint8_t trim(struct ide_rig *r, uint8_t feature)
{
    out8(r->b, BASE + 1, feature);
    command_48(r, 0x06, 1, 0);
    if (in8(r->b, STATUS) & 8)
        start_master(r, false);
    uint8_t status = in8(r->b, STATUS);
    out8(r->b, RIG_MASTER, 0);
    return status;
}

static void test_trim(struct ide_rig *r, gconstpointer unused)
{
    static const uint8_t zeros[512];
    uint16_t id[256];
    uint8_t data[512];
    const struct block_counters *n = block_counters(r->disk);
    command(r, DISK, 0xec, 0, 0);
    read_block(r, (uint8_t *)id, sizeof id);
    g_assert_cmphex(id[169], ==, 1);
    g_assert_cmpuint(id[105], ==, 64);

    ranges(r, 5, (const uint64_t[][2]){{64, 8}, {72, 56}, {0, 0}, {1024, 16}, {RIG_SECTORS - 8, 8}});
    g_assert_cmphex(trim(r, 1), ==, 0x50);
    g_assert_cmpuint(n->requests[BLOCK_DISCARD], ==, 3); /* neighbours went together */
    g_assert_cmpuint(n->bytes[BLOCK_DISCARD], ==, 88 * 512);
    for (unsigned lba = 60; lba < 132; lba++) {
        command(r, DISK, 0x20, 1, lba);
        read_block(r, data, 512);
        if (lba >= 64 && lba < 128)
            g_assert_cmpmem(data, 512, zeros, 512);
        else
            check_sector(data, lba);
    }
    /* One range that is not the disk's: nothing is touched. */
    ranges(r, 2, (const uint64_t[][2]){{2000, 8}, {RIG_SECTORS - 1, 2}});
    g_assert_cmphex(trim(r, 1), ==, 0x51);
    g_assert_cmphex(in8(r->b, BASE + 1), ==, 0x10);
    g_assert_cmpuint(n->requests[BLOCK_DISCARD], ==, 3);
    g_assert_cmphex(trim(r, 0), ==, 0x51); /* another subcommand */
    g_assert_cmphex(in8(r->b, BASE + 1), ==, 4);
    out8(r->b, BASE + 1, 1);
    command_48(r, 0x06, 65, 0); /* more ranges than are offered */
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
    command(r, DISK, 0xe7, 0, 0); /* and what comes next is itself */
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    g_assert_cmpuint(n->requests[BLOCK_FLUSH], ==, 1);
    command(r, DISK, 0x20, 1, 2000);
    read_block(r, data, 512);
    check_sector(data, 2000);
}

static void test_short_tables(struct ide_rig *r, gconstpointer unused)
{
    descriptor(r, 0, BUFFER, 512, true);
    command(r, DISK, 0xc8, 2, 0);
    start_master(r, true);
    g_assert_cmphex(in8(r->b, RIG_MASTER + 2) & 5, ==, 0); /* not active, no interrupt: it waits */
    g_assert_cmphex(in8(r->b, STATUS) & 0x88, ==, 0x08);
    out8(r->b, CONTROL, 4);
    out8(r->b, CONTROL, 0);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);

    descriptor(r, 0, 0xfffffff0, 0, false); /* nowhere, then on to what is no table */
    command(r, DISK, 0xc8, 0, 0);
    start_master(r, true);
    in8(r->b, STATUS);
    out8(r->b, RIG_MASTER, 0);

    out32(r->b, RIG_MASTER + 4, 0xfffffffc); /* a table outside of memory reads as ones */
    out8(r->b, CONTROL, 4);
    out8(r->b, CONTROL, 0);
    command(r, DISK, 0xca, 4, 0);
    out8(r->b, RIG_MASTER, 1);
    out8(r->b, RIG_MASTER, 0);
}

static void test_errors(struct ide_rig *r, gconstpointer unused)
{
    command(r, DISK, 0x20, 1, RIG_SECTORS); /* behind the end */
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
    g_assert_cmphex(in8(r->b, BASE + 1), ==, 0x10);
    command(r, DISK, 0x20, 2, RIG_SECTORS - 1);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
    command_48(r, 0x25, 0, RIG_SECTORS - 1); /* 65536 sectors */
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
    command_48(r, 0x24, 1, UINT64_C(0xffffffffffff));
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
    command(r, DISK, 0xff, 0, 0);
    g_assert_cmphex(in8(r->b, BASE + 1), ==, 4);
    out8(r->b, BASE + 1, 0x03);
    command(r, DISK, 0xef, 0x47, 0); /* UDMA 7 */
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
    command(r, DISK, 0xef, 0x45, 0);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
}

/* The host has lost what comes after the first sectors: what is there is read, and the guest is told which
 * sector was not, and may go on. */
static void test_bad_sectors(struct ide_rig *r, gconstpointer unused)
{
    g_autofree char *disk = g_build_filename(r->folder, "disk", NULL),
                    *cd = g_build_filename(r->folder, "cd", NULL);
    uint8_t data[8192];
    g_assert_cmpint(truncate(disk, 100 * 512), ==, 0);
    g_assert_cmpint(truncate(cd, 10 * 2048 + 1024), ==, 0);

    command(r, DISK, 0x20, 16, 95);
    for (unsigned i = 0; i < 5; i++) {
        read_block(r, data, 512);
        check_sector(data, 95 + i);
    }
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
    g_assert_cmphex(in8(r->b, BASE + 1), ==, 0x40);
    g_assert_cmphex(in8(r->b, BASE + 3), ==, 100);
    descriptor(r, 0, BUFFER, 8192, true);
    command(r, DISK, 0xc8, 16, 93);
    start_master(r, true);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
    g_assert_cmphex(in8(r->b, BASE + 1), ==, 0x40);
    g_assert_cmphex(in8(r->b, BASE + 3), ==, 100);
    phys_read(r->b->mem, BUFFER, data, 7 * 512);
    for (unsigned i = 0; i < 7; i++)
        check_sector(data + 512 * i, 93 + i);
    out8(r->b, RIG_MASTER, 0);
    command(r, DISK, 0x20, 1, 99);
    read_block(r, data, 512);
    check_sector(data, 99);

    packet(r, (const uint8_t[12]){0x28, 0, 0, 0, 0, 7, 0, 0, 8}, 2048, false);
    for (unsigned k = 0; k < 3; k++) {
        g_assert_cmpuint(answer(r, data, 2048), ==, 2048);
        for (unsigned i = 0; i < 4; i++)
            check_sector(data + 512 * i, 28 + 4 * k + i);
    }
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
    g_assert_cmphex(in8(r->b, BASE + 1) & 0xf0, ==, 0x30);
    packet(r, (const uint8_t[12]){0x03, 0, 0, 0, 18}, 18, false);
    g_assert_cmpuint(answer(r, data, 18), ==, 18);
    g_assert_cmphex(data[0], ==, 0xf0); /* with the sector's number */
    g_assert_cmphex(data[2], ==, 3);
    g_assert_cmphex(data[6], ==, 10);
    g_assert_cmphex(data[12], ==, 0x11);
    g_assert_cmphex(data[13], ==, 0);
    packet(r, (const uint8_t[12]){0x28, 0, 0, 0, 0, 9, 0, 0, 1}, 2048, false);
    g_assert_cmpuint(answer(r, data, 2048), ==, 2048);
    check_sector(data, 36);
    packet(r, (const uint8_t[12]){0x28, 0, 0, 0, 0, RIG_CD_SECTORS, 0, 0, 1}, 2048, false);
    packet(r, (const uint8_t[12]){0x03, 0, 0, 0, 18}, 18, false);
    answer(r, data, 18);
    g_assert_cmphex(data[0], ==, 0x70); /* no number here */
    g_assert_cmphex(data[6], ==, 0);
}

static void test_interrupts_off(struct ide_rig *r, gconstpointer unused)
{
    out8(r->b, CONTROL, 2);
    command(r, DISK, 0xe5, 0, 0);
    g_assert_false(r->b->level[IRQ14]);
    g_assert_cmphex(in8(r->b, BASE + 2), ==, 0xff);
    out8(r->b, CONTROL, 0);
    g_assert_true(r->b->level[IRQ14]);
    g_assert_cmphex(in8(r->b, CONTROL), ==, 0x50); /* the alternate status leaves it */
    g_assert_true(r->b->level[IRQ14]);
    in8(r->b, STATUS);
    g_assert_false(r->b->level[IRQ14]);
}

static void test_host_protected_area(struct ide_rig *r, gconstpointer unused)
{
    uint16_t id[256];
    command(r, DISK, 0xf8, 0, 0);
    g_assert_cmpuint(in8(r->b, BASE + 3) | in8(r->b, BASE + 4) << 8, ==, RIG_SECTORS - 1);
    command(r, DISK, 0xf9, 0, 999);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    command(r, DISK, 0xec, 0, 0);
    read_block(r, (uint8_t *)id, sizeof id);
    g_assert_cmpuint(id[60], ==, 1000);
    command(r, DISK, 0x20, 1, 1000);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
    command(r, DISK, 0xf9, 0, RIG_SECTORS - 1); /* not without READ NATIVE MAX right before */
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
}

static void test_cd(struct ide_rig *r, gconstpointer unused)
{
    uint8_t data[8192];
    packet(r, (const uint8_t[12]){0x12, 0, 0, 0, 36}, 36, false);
    g_assert_cmpuint(answer(r, data, 36), ==, 36);
    g_assert_cmphex(data[0], ==, 5);
    packet(r, (const uint8_t[12]){0x25}, 8, false);
    answer(r, data, 8);
    g_assert_cmphex(data[3], ==, RIG_CD_SECTORS - 1);
    g_assert_cmphex(data[6], ==, 8);

    packet(r, (const uint8_t[12]){0x28, 0, 0, 0, 0, 3, 0, 0, 2}, 2048, false); /* READ(10), two blocks */
    g_assert_cmpuint(answer(r, data, 2048), ==, 2048);
    g_assert_cmpuint(answer(r, data + 2048, 2048), ==, 2048);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    g_assert_cmphex(in8(r->b, BASE + 2), ==, 3);
    for (unsigned i = 0; i < 8; i++)
        check_sector(data + 512 * i, 12 + i);

    descriptor(r, 0, BUFFER, 4096, true);
    packet(r, (const uint8_t[12]){0xa8, 0, 0, 0, 0, 62, 0, 0, 0, 2}, 0, true); /* READ(12) by DMA */
    start_master(r, true);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    phys_read(r->b->mem, BUFFER, data, 4096);
    check_sector(data + 4096 - 512, 255);
    out8(r->b, RIG_MASTER, 0);

    packet(r, (const uint8_t[12]){0xbe, 0, 0, 0, 0, 1, 0, 0, 1, 0xf8}, 2352, false); /* raw */
    g_assert_cmpuint(answer(r, data, 2352), ==, 2352);
    g_assert_cmphex(data[1], ==, 0xff);
    g_assert_cmphex(data[14], ==, 0x01); /* frame 151 is 00:02:01 */
    g_assert_cmphex(data[13], ==, 0x02);
    check_sector(data + 16, 4);

    packet(r, (const uint8_t[12]){0x43, 2, 0, 0, 0, 0, 0, 0, 100}, 100, false); /* table of contents */
    g_assert_cmpuint(answer(r, data, 100), ==, 20);
    g_assert_cmphex(data[14], ==, 0xaa);
    g_assert_cmphex(data[18], ==, 2); /* (64 + 150) frames: 2 s 64 f */
    g_assert_cmphex(data[19], ==, 64);

    packet(r, (const uint8_t[12]){0x28, 0, 0, 0, 0, RIG_CD_SECTORS, 0, 0, 1}, 2048, false);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x51);
    g_assert_cmphex(in8(r->b, BASE + 1), ==, 0x54);
    g_assert_cmphex(sense(r), ==, 0x521);
    packet(r, (const uint8_t[12]){0xff}, 8, false);
    g_assert_cmphex(sense(r), ==, 0x520);
}

static void test_media(struct ide_rig *r, gconstpointer unused)
{
    static const uint8_t ready[12] = {0x00}, event[12] = {0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8};
    g_autofree char *other = ide_rig_image(r, "other", 16);
    g_autoptr(GError) error = NULL;
    uint8_t data[16];
    packet(r, (const uint8_t[12]){0x1e, 0, 0, 0, 1}, 0, false); /* the guest locks the tray */
    g_assert_false(block_eject(r->cd, false, &error));
    g_assert_nonnull(strstr(error->message, "is locked"));
    packet(r, event, 8, false);
    answer(r, data, 8);
    g_assert_cmphex(data[4], ==, 1); /* the guest is asked */
    g_assert_cmphex(data[5], ==, 2);
    g_assert_true(block_eject(r->cd, true, NULL));
    packet(r, ready, 0, false);
    g_assert_cmphex(sense(r), ==, 0x23a);
    packet(r, event, 8, false);
    answer(r, data, 8);
    g_assert_cmphex(data[4], ==, 3);
    g_assert_true(block_insert(r->cd, other, BLOCK_FORMAT_AUTO, true, NULL));
    packet(r, ready, 0, false);
    g_assert_cmphex(sense(r), ==, 0x628); /* unit attention, once */
    packet(r, ready, 0, false);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    packet(r, event, 8, false);
    answer(r, data, 8);
    g_assert_cmphex(data[4], ==, 2);
    g_assert_cmphex(data[5], ==, 2);
    packet(r, (const uint8_t[12]){0x25}, 8, false);
    answer(r, data, 8);
    g_assert_cmphex(data[3], ==, 3);
    packet(r, (const uint8_t[12]){0x1b, 0, 0, 0, 2}, 0, false); /* the guest opens the tray, and shuts it */
    g_assert_true(block_tray_open(r->cd));
    packet(r, ready, 0, false);
    g_assert_cmphex(sense(r), ==, 0x23a);
    packet(r, (const uint8_t[12]){0x1b, 0, 0, 0, 3}, 0, false);
    packet(r, ready, 0, false);
    g_assert_cmphex(sense(r), ==, 0x628);
    g_clear_error(&error);
    g_assert_false(block_insert(r->cd, "/nonexistent/image", BLOCK_FORMAT_AUTO, true, &error) &&
                   block_has_medium(r->cd));
}

static void disturb(void *opaque)
{
    struct ide_rig *r = opaque;
    command(r, DISK, 0x30, 7, 3);
    out16(r->b, BASE, 0x1234);
    out32(r->b, RIG_MASTER + 4, 0x123400);
}

/* Saved, disturbed by something else that uses the buffer, reset, and loaded. */
static GByteArray *save(struct ide_rig *r)
{
    struct device *device = (struct device *)r->ide;
    GByteArray *out = g_byte_array_new();
    state_save(device->class->state, device->id, device, out);
    return out;
}

static void load(struct ide_rig *r, const GByteArray *state)
{
    struct device *device = (struct device *)r->ide;
    g_autoptr(GError) error = NULL;
    size_t pos = 0;
    g_assert_true(
        state_load(device->class->state, device->id, device, state->data, state->len, &pos, &error));
    g_assert_no_error(error);
}

static void forget(struct ide_rig *r)
{
    device_reset((struct device *)r->ide);
    command(r, DISK, 0x20, 1, 3000);
    device_reset((struct device *)r->ide);
}

/* In the middle of a sector, either way: the rest of it is still there. */
static void test_state_amid(struct ide_rig *r, gconstpointer unused)
{
    uint8_t data[1024];
    command(r, DISK, 0x20, 2, 77);
    for (unsigned i = 0; i < 100; i += 2) {
        uint16_t word = in16(r->b, BASE);
        memcpy(data + i, &word, 2);
    }
    g_autoptr(GByteArray) reading = save(r);
    forget(r);
    load(r, reading);
    for (unsigned i = 100; i < 512; i += 2) {
        uint16_t word = in16(r->b, BASE);
        memcpy(data + i, &word, 2);
    }
    read_block(r, data + 512, 512);
    check_sector(data, 77);
    check_sector(data + 512, 78);

    command(r, DISK, 0x30, 1, 9);
    for (unsigned i = 0; i < 300; i += 2)
        out16(r->b, BASE, (uint16_t)(i * 3));
    g_autoptr(GByteArray) writing = save(r);
    forget(r);
    load(r, writing);
    for (unsigned i = 300; i < 512; i += 2)
        out16(r->b, BASE, (uint16_t)(i * 3));
    command(r, DISK, 0x20, 1, 9);
    read_block(r, data, 512);
    for (unsigned i = 0; i < 512; i += 2)
        g_assert_cmphex(data[i] | data[i + 1] << 8, ==, (uint16_t)(i * 3));
    /* while a soft reset is held */
    out8(r->b, CONTROL, 4);
    g_autoptr(GByteArray) held = save(r);
    out8(r->b, CONTROL, 0);
    load(r, held);
    g_assert_cmphex(in8(r->b, CONTROL), ==, 0x80);
}

static void set_up_steady(struct ide_rig *r, gconstpointer data)
{
    r->steady = true;
    ide_rig_set_up(r);
}

/* A request that is answered at a time of the guest's is neither hurried nor lost, nor carried out twice. */
static void test_state_steady(struct ide_rig *r, gconstpointer unused)
{
    enum { ANSWER = 100000, BEFORE = 30000 };
    const struct block_counters *n = block_counters(r->disk);
    uint8_t data[512];
    for (unsigned dma = 0; dma < 2; dma++) {
        descriptor(r, 0, BUFFER, 512, true);
        if (dma)
            start_master(r, true);
        command(r, DISK, dma ? 0xc8 : 0x20, 1, 50 + dma);
        g_assert_cmphex(in8(r->b, CONTROL), ==, 0x80);
        clock_manual_advance(r->b->clock, BEFORE);
        g_autoptr(GByteArray) state = save(r);
        g_autoptr(GByteArray) again = save(r);
        g_assert_cmpmem(state->data, state->len, again->data, again->len);
        device_reset((struct device *)r->ide);
        clock_manual_advance(r->b->clock, 5);
        load(r, state);
        clock_manual_advance(r->b->clock, ANSWER - BEFORE - 6);
        g_assert_cmphex(in8(r->b, CONTROL), ==, 0x80);
        g_assert_false(r->b->level[IRQ14]);
        clock_manual_advance(r->b->clock, 1);
        g_assert_true(r->b->level[IRQ14]);
        if (dma) {
            phys_read(r->b->mem, BUFFER, data, 512);
            in8(r->b, STATUS);
            out8(r->b, RIG_MASTER, 0);
        } else {
            read_block(r, data, 512);
        }
        check_sector(data, 50 + dma);
    }
    /* a write, and the flush behind it, given up by the one that was saved */
    command(r, DISK, 0x30, 1, 60);
    for (unsigned i = 0; i < 512; i += 2)
        out16(r->b, BASE, (uint16_t)(i ^ 0x5aa5));
    g_autoptr(GByteArray) writing = save(r);
    device_reset((struct device *)r->ide);
    g_assert_cmpint(block_read_now(r->disk, 60 * 512, data, 512), ==, 0);
    check_sector(data, 60); /* it was not done before its time */
    load(r, writing);
    clock_manual_advance(r->b->clock, ANSWER);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    g_assert_cmpint(block_read_now(r->disk, 60 * 512, data, 512), ==, 0);
    for (unsigned i = 0; i < 512; i += 2)
        g_assert_cmphex(data[i] | data[i + 1] << 8, ==, i ^ 0x5aa5);
    uint64_t flushes = n->requests[BLOCK_FLUSH];
    command(r, DISK, 0xe7, 0, 0);
    g_autoptr(GByteArray) flushing = save(r);
    load(r, flushing);
    clock_manual_advance(r->b->clock, ANSWER);
    g_assert_cmphex(in8(r->b, STATUS), ==, 0x50);
    g_assert_cmpuint(n->requests[BLOCK_FLUSH], >, flushes);
    /* a disc, by packets */
    packet(r, (const uint8_t[12]){0x28, 0, 0, 0, 0, 3, 0, 0, 1}, 2048, false);
    g_autoptr(GByteArray) packets = save(r);
    device_reset((struct device *)r->ide);
    load(r, packets);
    clock_manual_advance(r->b->clock, ANSWER);
    uint8_t cd[2048];
    g_assert_cmpuint(answer(r, cd, sizeof cd), ==, 2048);
    for (unsigned i = 0; i < 4; i++)
        check_sector(cd + 512 * i, 12 + i);
    bench_damaged_state(r->b, (struct device *)r->ide);
}

static void test_state(struct ide_rig *r, gconstpointer unused)
{
    command(r, CD, 0xa0, 0, 0);
    bench_round_trip((struct device *)r->ide, disturb, r);
    bench_damaged_state(r->b, (struct device *)r->ide);
    bench_reset_is_complete((struct device *)r->ide, disturb, r);
}

/* Out of S3: the drives start anew, and the channels that firmware has enabled stay enabled. */
static void test_wake(struct ide_rig *r, gconstpointer unused)
{
    (void)unused;
    enum { IDETIM = 0x40, ENABLED = 0xa307 };
    uint8_t devfn = ((const struct pci_device *)r->ide)->devfn;
    pci_config_write(r->bus, devfn, IDETIM, ENABLED, 2);
    pci_config_write(r->bus, devfn, IDETIM + 2, ENABLED, 2);
    pci_config_write(r->bus, devfn, PCI_COMMAND, 5, 2);
    disturb(r);
    device_wake((struct device *)r->ide);
    g_assert_cmphex(pci_config_read(r->bus, devfn, IDETIM, 4), ==, (uint32_t)ENABLED << 16 | ENABLED);
    g_assert_cmphex(pci_config_read(r->bus, devfn, PCI_COMMAND, 2), ==, 0);
    device_reset((struct device *)r->ide);
    g_assert_cmphex(pci_config_read(r->bus, devfn, IDETIM, 4), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/ide/" #name, struct ide_rig, NULL, set_up, test_##name, tear_down)
    TEST(detection);
    TEST(identify);
    TEST(pio);
    TEST(dma);
    TEST(trim);
    TEST(short_tables);
    TEST(errors);
    TEST(bad_sectors);
    TEST(interrupts_off);
    TEST(host_protected_area);
    TEST(cd);
    TEST(media);
    TEST(state);
    TEST(state_amid);
    g_test_add("/ide/state_steady", struct ide_rig, NULL, set_up_steady, test_state_steady, tear_down);
    TEST(wake);
    return g_test_run();
}
