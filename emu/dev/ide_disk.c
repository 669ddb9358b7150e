/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Commands of an ATA disk: see ide_internal.h. ATA/ATAPI-6 (T13/1410D), chapters 6.2 (addressing) and 8;
 * SMART by ATA/ATAPI-5 8.41.
 *
 * Sectors are 512 bytes. An address comes as CHS, LBA of 28 or LBA of 48 bits and becomes a sector number
 * that is checked against the drive's visible size before anything else; the registers then name the last
 * sector of a command that went well. Writes are in the image when a command is done, and on the host's disk
 * after FLUSH CACHE, or at once when the write cache is off (SET FEATURES 82h, or -drive cache=writethrough)
 * and for FUA.
 *
 * TRIM (DATA SET MANAGEMENT of ATA8-ACS-2) gathers ranges in the channel's buffer and becomes one discard of
 * the block layer after the other, neighbours taken together. What was discarded reads as it was or as zeros,
 * as the image has it: nothing is promised. No range is touched when one of them is not the disk's.
 *
 * FLUSH CACHE, IDENTIFY, SMART and power commands answer as a healthy, awake disk does; security and
 * overlapped commands are not offered and abort.
 */
#include "emu/dev/ide_internal.h"

#include <errno.h>
#include <string.h>

enum { HEADS = 16, SECTORS = 63, CYLINDERS_MOST = 16383, LBA28_MOST = 0x0fffffff };
enum { SECTOR = BLOCK_SECTOR };
enum { TRIM_BLOCKS_MOST = 64, TRIM_RANGE = 8 }; /* sectors of ranges a command may have, bytes a range */
_Static_assert(TRIM_BLOCKS_MOST *SECTOR <= IDE_BUFFER, "all ranges of a command are in the buffer");

static uint64_t all_sectors(const struct ide_drive *d)
{
    return block_size(d->block) / SECTOR;
}

static uint64_t sectors(const struct ide_drive *d)
{
    return d->visible ? d->visible : all_sectors(d);
}

static unsigned cylinders(const struct ide_drive *d, unsigned heads, unsigned per_track)
{
    uint64_t n = MIN(sectors(d), (uint64_t)CYLINDERS_MOST * HEADS * SECTORS) / (heads * per_track);
    return (unsigned)CLAMP(n, 1, 65535);
}

/* ---- IDENTIFY DEVICE ---- */

static void identify(struct ide_drive *d, uint8_t *out)
{
    uint64_t n = sectors(d);
    const struct ide_identity *id = &d->identity;
    unsigned tracks = id->cylinders ? id->cylinders : cylinders(d, HEADS, SECTORS),
             now = cylinders(d, d->heads, d->sectors);
    if (id->cylinders && d->heads == id->heads && d->sectors == id->sectors)
        now = id->cylinders;
    uint32_t chs = now * d->heads * d->sectors, lba28 = (uint32_t)MIN(n, (uint64_t)LBA28_MOST);
    const struct {
        unsigned word;
        uint64_t value;
    } words[] = {
        {0, 0x0040}, /* fixed disk */
        {1, tracks},
        {3, id->cylinders ? id->heads : HEADS},
        {6, id->cylinders ? id->sectors : SECTORS},
        {21, 512},
        {22, 4},
        {47, 0x8000 | IDE_MULTIPLE_MOST},
        {48, 1},      /* 32-bit data port */
        {49, 0x0b00}, /* IORDY, LBA, DMA */
        {50, 0x4000},
        {51, 0x0200},
        {52, 0x0200},
        {53, 0x0007},
        {54, now},
        {55, d->heads},
        {56, d->sectors},
        {57, chs & 0xffff},
        {58, chs >> 16},
        {59, d->multiple ? 0x0100u | d->multiple : 0},
        {60, lba28 & 0xffff},
        {61, lba28 >> 16},
        {63, 0x0007u | (unsigned)d->mwdma << 8},
        {64, 0x0003},
        {65, 120},
        {66, 120},
        {67, 120},
        {68, 120},
        {80, 0x00f0}, /* ATA/ATAPI-4 to 7: Linux looks for TRIM from there on */
        {81, 0x001a},
        {82, 0x4461}, /* NOP, host protected area, look-ahead, write cache, SMART */
        {83, 0x7400}, /* flush, 48-bit addresses */
        {84, 0x4000u | (id->wwn ? 0x100u : 0u)},
        {85, 0x4440u | (d->smart ? 1u : 0u) | (d->write_cache ? 0x20u : 0u)},
        {86, 0x3400},
        {87, 0x4000u | (id->wwn ? 0x100u : 0u)},
        {88, 0x003fu | (unsigned)d->udma << 8},
        {93, d->unit ? 0x6b00 : 0x600b}, /* 80-conductor cable */
        {100, n & 0xffff},
        {101, n >> 16 & 0xffff},
        {102, n >> 32 & 0xffff},
        {105, id->no_trim ? 0 : TRIM_BLOCKS_MOST},
        {106, id->physical ? 0x6000u | id->physical : 0},
        {108, id->wwn >> 48 & 0xffff},
        {109, id->wwn >> 32 & 0xffff},
        {110, id->wwn >> 16 & 0xffff},
        {111, id->wwn & 0xffff},
        {169, id->no_trim ? 0 : 1}, /* TRIM */
        {209, id->physical ? 0x4000 : 0},
        {217, id->rotation},
    };
    memset(out, 0, SECTOR);
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        ide_identify_word(out, words[i].word, (unsigned)words[i].value);
    ide_identify_text(out, 10, 10, id->serial);
    ide_identify_text(out, 23, 4, *id->version ? id->version : NETLAB_VERSION);
    ide_identify_text(out, 27, 20, *id->model ? id->model : "NETLAB HARDDISK");
}

/* ---- addresses ---- */

struct extent {
    uint64_t first;
    uint32_t count;
    bool wide; /* 48 bits */
};

static bool address(const struct ide_drive *d, bool wide, struct extent *e)
{
    const struct ide_registers *r = &d->now, *p = &d->previous;
    e->wide = wide;
    if (wide) {
        e->first = (uint64_t)r->low | (uint64_t)r->mid << 8 | (uint64_t)r->high << 16 |
                   (uint64_t)p->low << 24 | (uint64_t)p->mid << 32 | (uint64_t)p->high << 40;
        e->count = (uint32_t)(r->count | p->count << 8);
        if (!e->count)
            e->count = 65536;
    } else {
        e->count = r->count ? r->count : 256;
        unsigned head = d->device & DEVICE_HEAD;
        if (d->device & DEVICE_LBA) {
            e->first =
                (uint64_t)r->low | (uint64_t)r->mid << 8 | (uint64_t)r->high << 16 | (uint64_t)head << 24;
        } else {
            if (!r->low || r->low > d->sectors || head >= d->heads)
                return false;
            e->first = ((uint64_t)(r->mid | r->high << 8) * d->heads + head) * d->sectors + r->low - 1;
        }
    }
    uint64_t size = sectors(d);
    return e->first < size && e->count <= size - e->first;
}

static void set_address(struct ide_drive *d, uint64_t lba, bool wide)
{
    struct ide_registers *r = &d->now, *p = &d->previous;
    if (!wide && !(d->device & DEVICE_LBA)) {
        uint64_t track = lba / d->sectors;
        r->low = (uint8_t)(lba % d->sectors + 1);
        d->device = (uint8_t)((d->device & 0xf0) | (track % d->heads));
        r->mid = (uint8_t)(track / d->heads);
        r->high = (uint8_t)(track / d->heads >> 8);
        return;
    }
    r->low = (uint8_t)lba;
    r->mid = (uint8_t)(lba >> 8);
    r->high = (uint8_t)(lba >> 16);
    if (wide) {
        p->low = (uint8_t)(lba >> 24);
        p->mid = (uint8_t)(lba >> 32);
        p->high = (uint8_t)(lba >> 40);
    } else {
        d->device = (uint8_t)((d->device & 0xf0) | (lba >> 24 & 15));
    }
}

static bool is_wide(uint8_t command)
{
    static const uint8_t wide[] = {0x06, 0x24, 0x25, 0x27, 0x29, 0x34, 0x35,
                                   0x37, 0x39, 0x3d, 0x42, 0xce, 0xea};
    return memchr(wide, command, sizeof wide) != NULL;
}

/* ---- TRIM ---- */

static uint64_t trim_range(const uint8_t *p, uint32_t *count)
{
    uint64_t first = 0;
    for (unsigned i = 6; i-- > 0;)
        first = first << 8 | p[i];
    *count = (uint32_t)(p[6] | p[7] << 8);
    return first;
}

void disk_trim(struct ide_drive *d)
{
    struct ide_transfer *t = &d->channel->transfer;
    const uint8_t *ranges = d->channel->buffer;
    uint64_t size = sectors(d), first = 0, len = 0;
    uint32_t count;
    for (uint32_t at = t->pos ? t->end : 0; at < t->end; at += TRIM_RANGE) {
        first = trim_range(ranges + at, &count);
        if (count && (first >= size || count > size - first)) {
            t->left = 0;
            ide_abort(d, ERR_NOT_FOUND);
            return;
        }
    }
    for (; t->pos < t->end; t->pos += TRIM_RANGE) {
        uint64_t next = trim_range(ranges + t->pos, &count);
        if (!count)
            continue;
        if (len && (next != first + len || len + count > UINT32_MAX / SECTOR))
            break;
        if (!len)
            first = next;
        len += count;
    }
    t->left = 0;
    if (len)
        ide_host_request(d, BLOCK_DISCARD, first * SECTOR, len * SECTOR);
    else
        ide_done(d);
}

static void data_set_management(struct ide_drive *d)
{
    uint32_t blocks = (uint32_t)(d->now.count | d->previous.count << 8);
    if (d->identity.no_trim || d->now.feature != 1 || !blocks || blocks > TRIM_BLOCKS_MOST ||
        block_read_only(d->block)) {
        ide_abort(d, ERR_ABORT);
        return;
    }
    ide_transfer_start(
        d, &(struct ide_transfer){
               .out = true, .dma = true, .trim = true, .left = (uint64_t)blocks * SECTOR, .block = SECTOR});
}

/* ---- commands ---- */

enum transfer_flags { BY_DMA = 1, MULTIPLE = 2, OUT = 4, FUA = 8 };

static void transfer(struct ide_drive *d, bool wide, unsigned flags)
{
    struct extent e;
    if (flags & MULTIPLE && !d->multiple) {
        ide_abort(d, ERR_ABORT);
        return;
    }
    if (!address(d, wide, &e)) {
        ide_abort(d, ERR_NOT_FOUND);
        return;
    }
    struct ide_transfer t = {
        .out = flags & OUT,
        .dma = flags & BY_DMA,
        .flush = flags & OUT && (flags & FUA || (!d->write_cache && block_write_cache(d->block))),
        .offset = e.first * SECTOR,
        .left = (uint64_t)e.count * SECTOR,
        .block = flags & MULTIPLE ? d->multiple * (uint32_t)SECTOR : SECTOR,
    };
    if (t.out && block_read_only(d->block)) {
        ide_abort(d, ERR_ABORT);
        return;
    }
    ide_transfer_start(d, &t);
}

static void verify(struct ide_drive *d, bool wide)
{
    struct extent e;
    if (!address(d, wide, &e)) {
        ide_abort(d, ERR_NOT_FOUND);
        return;
    }
    set_address(d, e.first + e.count - 1, wide);
    ide_done(d);
}

/* 512 bytes that are in the buffer already. */
static void answer(struct ide_drive *d)
{
    ide_transfer_start(d, &(struct ide_transfer){.end = SECTOR, .block = SECTOR});
}

static void set_features(struct ide_drive *d)
{
    switch (d->now.feature) {
    case 0x02:
        d->write_cache = block_write_cache(d->block);
        break;
    case 0x82: /* what is in the cache has to be written: as FLUSH CACHE */
        d->write_cache = false;
        ide_host_request(d, BLOCK_FLUSH, 0, 0);
        return;
    case 0x03:
        if (!ide_set_transfer_mode(d, d->now.count)) {
            ide_abort(d, ERR_ABORT);
            return;
        }
        break;
    case 0x05: /* power, acoustic management, look-ahead, defaults kept over resets: taken, without effect */
    case 0x42:
    case 0x55:
    case 0x66:
    case 0x67:
    case 0x85:
    case 0xaa:
    case 0xc2:
    case 0xcc:
        break;
    default:
        ide_abort(d, ERR_ABORT);
        return;
    }
    ide_done(d);
}

static void smart(struct ide_drive *d)
{
    uint8_t *out = d->channel->buffer;
    if (d->now.mid != 0x4f || d->now.high != 0xc2 || (!d->smart && d->now.feature != 0xd8)) {
        ide_abort(d, ERR_ABORT);
        return;
    }
    switch (d->now.feature) {
    case 0xd0: /* data and thresholds: no attributes, self-test not offered */
    case 0xd1:
        memset(out, 0, SECTOR);
        out[0] = 1;
        for (unsigned i = 0; i < SECTOR - 1; i++)
            out[SECTOR - 1] = (uint8_t)(out[SECTOR - 1] - out[i]);
        answer(d);
        return;
    case 0xd2: /* attribute autosave */
        break;
    case 0xd8:
        d->smart = true;
        break;
    case 0xd9:
        d->smart = false;
        break;
    case 0xda: /* status: the cylinder stays 0xc24f, no threshold was passed */
        break;
    default:
        ide_abort(d, ERR_ABORT);
        return;
    }
    ide_done(d);
}

static void native_max(struct ide_drive *d, bool wide)
{
    uint64_t last = all_sectors(d) - 1;
    set_address(d, wide ? last : MIN(last, (uint64_t)LBA28_MOST - 1), wide);
    ide_done(d);
}

static void set_max(struct ide_drive *d, bool wide, bool allowed)
{
    struct ide_registers now = d->now;
    struct extent e;
    uint64_t visible = d->visible;
    d->now.count = 1;
    d->previous.count = 0;
    d->visible = 0;
    bool good = allowed && (wide || (d->device & DEVICE_LBA && !now.feature)) && address(d, wide, &e);
    d->now.count = now.count;
    d->visible = good ? e.first + 1 : visible;
    if (!good)
        ide_abort(d, ERR_ABORT);
    else
        ide_done(d);
}

static void set_parameters(struct ide_drive *d)
{
    d->heads = (uint8_t)((d->device & DEVICE_HEAD) + 1);
    if (!d->now.count) {
        ide_abort(d, ERR_ABORT);
        return;
    }
    d->sectors = d->now.count;
    ide_done(d);
}

void disk_command(struct ide_drive *d, uint8_t command)
{
    bool wide = is_wide(command), native_read = d->native_read;
    d->native_read = false;
    switch (command) {
    case 0x06: /* DATA SET MANAGEMENT */
        data_set_management(d);
        break;
    case 0x20: /* READ SECTORS, and without retries; EXT */
    case 0x21:
    case 0x24:
        transfer(d, wide, 0);
        break;
    case 0xc4: /* READ MULTIPLE */
    case 0x29:
        transfer(d, wide, MULTIPLE);
        break;
    case 0xc8: /* READ DMA */
    case 0xc9:
    case 0x25:
        transfer(d, wide, BY_DMA);
        break;
    case 0x30: /* WRITE SECTORS, and with verify */
    case 0x31:
    case 0x34:
    case 0x3c:
        transfer(d, wide, OUT);
        break;
    case 0xc5: /* WRITE MULTIPLE */
    case 0x39:
        transfer(d, wide, OUT | MULTIPLE);
        break;
    case 0xce:
        transfer(d, wide, OUT | MULTIPLE | FUA);
        break;
    case 0xca: /* WRITE DMA */
    case 0xcb:
    case 0x35:
        transfer(d, wide, OUT | BY_DMA);
        break;
    case 0x3d:
        transfer(d, wide, OUT | BY_DMA | FUA);
        break;
    case 0x40: /* READ VERIFY */
    case 0x41:
    case 0x42:
        verify(d, wide);
        break;
    case 0xe7: /* FLUSH CACHE */
    case 0xea:
        ide_host_request(d, BLOCK_FLUSH, 0, 0);
        break;
    case 0xec: /* IDENTIFY DEVICE */
        identify(d, d->channel->buffer);
        answer(d);
        break;
    case 0xef:
        set_features(d);
        break;
    case 0xc6: /* SET MULTIPLE MODE */
        if (d->now.count > IDE_MULTIPLE_MOST || d->now.count & (d->now.count - 1)) {
            ide_abort(d, ERR_ABORT);
            break;
        }
        d->multiple = d->now.count;
        ide_done(d);
        break;
    case 0x91: /* INITIALIZE DEVICE PARAMETERS */
        set_parameters(d);
        break;
    case 0xf8: /* READ NATIVE MAX ADDRESS */
    case 0x27:
        d->native_read = true;
        native_max(d, wide);
        break;
    case 0xf9: /* SET MAX ADDRESS */
    case 0x37:
        set_max(d, wide, native_read);
        break;
    case 0xb0:
        smart(d);
        break;
    case 0x98: /* CHECK POWER MODE: active */
    case 0xe5:
        d->now.count = 0xff;
        ide_done(d);
        break;
    case 0x94: /* STANDBY and IDLE, immediate and by timer, SLEEP: nothing turns */
    case 0x95:
    case 0x96:
    case 0x97:
    case 0x99:
    case 0xe0:
    case 0xe1:
    case 0xe2:
    case 0xe3:
    case 0xe6:
        ide_host_request(d, BLOCK_FLUSH, 0, 0);
        break;
    default:
        if ((command & 0xf0) == 0x10 || (command & 0xf0) == 0x70) { /* RECALIBRATE, SEEK */
            ide_done(d);
        } else if (command == 0xa1 ||
                   command == 0xa0) { /* what asks whether this is a CD-ROM sees that not */
            ide_set_signature(d);
            ide_abort(d, ERR_ABORT);
        } else {
            ide_abort(d, ERR_ABORT);
        }
    }
}

void disk_finish(struct ide_drive *d, int error)
{
    struct extent e;
    bool data = d->channel->request.op == BLOCK_READ || d->channel->request.op == BLOCK_WRITE;
    bool wide = is_wide(d->command);
    if (error && d->command != 0xe7 && d->command != 0xea && data) {
        set_address(d, d->channel->request.offset / SECTOR, wide);
        ide_abort(d, error == EROFS || error == EPERM       ? ERR_ABORT
                     : d->channel->request.op == BLOCK_READ ? ERR_UNCORRECTABLE
                                                            : ERR_ABORT | ERR_NOT_FOUND);
        return;
    }
    if (error) {
        ide_abort(d, ERR_ABORT);
        return;
    }
    if (d->channel->transfer.offset && address(d, wide, &e)) {
        set_address(d, e.first + e.count - 1, wide);
        d->now.count = 0;
    }
    /* The last DRQ block of a PIO read was announced by its own interrupt. */
    if (!d->channel->transfer.out && !d->channel->transfer.dma && d->channel->transfer.end) {
        d->channel->phase = PHASE_IDLE;
        d->status = ST_READY | ST_SEEK;
        return;
    }
    ide_done(d);
}

void disk_reset(struct ide_drive *d)
{
    d->heads = d->identity.cylinders ? d->identity.heads : HEADS;
    d->sectors = d->identity.cylinders ? d->identity.sectors : SECTORS;
    d->native_read = false;
}
