/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Commands of an ATAPI CD-ROM drive: see ide_internal.h. ATA/ATAPI-6 chapter 8.23 (PACKET), SFF-8020i, MMC-3.
 *
 * The medium is one data track of 2048-byte sectors, the image's size rounded down to them: a CD, or a DVD
 * when larger than one. A packet command answers from a table built in the channel's buffer, or with sectors;
 * in PIO each DRQ block is at most as long as the byte count the guest gave, and the interrupt reason in the
 * sector count register says what comes next.
 *
 * Taking out and putting in a medium makes a unit attention (28h: medium may have changed) and an event for
 * GET EVENT STATUS NOTIFICATION; a command that needs a medium fails with 3Ah while there is none. An eject
 * asked for from outside while the guest has the tray locked is told as an event, so that the guest can let
 * go.
 */
#include "emu/dev/ide_internal.h"

#include <errno.h>
#include <string.h>

enum { CD_SECTOR = 2048, RAW_SECTOR = 2352, CD_SECTORS_MOST = 90 * 60 * 75, LEAD = 150 };
enum { SENSE_NONE = 0, SENSE_NOT_READY = 2, SENSE_MEDIUM = 3, SENSE_ILLEGAL = 5, SENSE_ATTENTION = 6 };
enum {
    ASC_COMMAND = 0x20,
    ASC_RANGE = 0x21,
    ASC_FIELD = 0x24,
    ASC_CHANGED = 0x28,
    ASC_RESET = 0x29,
    ASC_SAVING = 0x39,
    ASC_NO_MEDIUM = 0x3a,
    ASC_LOCKED = 0x53,
    ASC_MODE = 0x64,
    ASC_UNREADABLE = 0x11,
};
enum { EVENT_NONE, EVENT_EJECT, EVENT_NEW, EVENT_GONE };
enum { PROFILE_CD_ROM = 0x08, PROFILE_DVD_ROM = 0x10 };
enum { FEATURE_DMA = 1 };

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put_be32(uint8_t *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * (3 - i));
}

static void put_be16(uint8_t *p, unsigned value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static uint32_t cd_sectors(const struct ide_drive *d)
{
    uint64_t n = block_has_medium(d->block) ? block_size(d->block) / CD_SECTOR : 0;
    return (uint32_t)MIN(n, (uint64_t)INT32_MAX);
}

static bool is_dvd(const struct ide_drive *d)
{
    return cd_sectors(d) > CD_SECTORS_MOST;
}

/* ---- ends of packet commands ---- */

static void packet_done(struct ide_drive *d)
{
    d->sense_key = SENSE_NONE;
    d->sense_code = d->sense_qualifier = 0;
    d->error = 0;
    d->now.count = REASON_IN | REASON_COMMAND;
    d->status = 0;
    ide_done(d);
}

static void packet_fail(struct ide_drive *d, uint8_t key, uint8_t code)
{
    trace(IDE, "ide%u.%u: packet %02x fails: sense %x/%02x", d->channel->n, d->unit, d->packet[0], key, code);
    d->sense_key = key;
    d->sense_code = code;
    d->sense_qualifier = 0;
    d->now.count = REASON_IN | REASON_COMMAND;
    ide_abort(d, (uint8_t)(key << 4 | ERR_ABORT));
}

void atapi_finish(struct ide_drive *d, int error)
{
    if (d->command != 0xa0) { /* IDENTIFY PACKET DEVICE */
        d->channel->phase = PHASE_IDLE;
        d->status = ST_READY | ST_SEEK;
    } else if (error == ENOMEDIUM) {
        packet_fail(d, SENSE_NOT_READY, ASC_NO_MEDIUM);
    } else if (error) {
        d->sense_sector = (uint32_t)(d->channel->request.offset / CD_SECTOR);
        packet_fail(d, SENSE_MEDIUM, ASC_UNREADABLE);
    } else {
        packet_done(d);
    }
}

void atapi_data_ready(struct ide_drive *d, uint32_t len)
{
    if (d->command != 0xa0)
        return;
    d->now.count = REASON_IN;
    d->now.mid = (uint8_t)len;
    d->now.high = (uint8_t)(len >> 8);
}

/* The byte count limit of this command; what it may be by 8.23: even when it matters. */
static uint32_t byte_limit(const struct ide_drive *d)
{
    uint32_t limit = (uint32_t)(d->now.mid | d->now.high << 8);
    if (!limit || limit == 0xffff)
        limit = 0xfffe;
    return limit;
}

/* `len` bytes that are in the buffer, of which the guest wants at most `wanted`. */
static void answer(struct ide_drive *d, uint32_t len, uint32_t wanted)
{
    len = MIN(len, wanted);
    if (!len) {
        packet_done(d);
        return;
    }
    struct ide_transfer t = {.dma = d->now.feature & FEATURE_DMA, .end = len, .block = byte_limit(d)};
    if (t.block & 1 && t.block < len)
        t.block = MAX(t.block - 1, 2);
    ide_transfer_start(d, &t);
}

/* ---- reading ---- */

static void read_sectors(struct ide_drive *d, uint32_t first, uint32_t count, bool raw)
{
    uint32_t size = cd_sectors(d);
    if (!count) {
        packet_done(d);
        return;
    }
    if (first >= size || count > size - first) {
        packet_fail(d, SENSE_ILLEGAL, ASC_RANGE);
        return;
    }
    struct ide_transfer t = {
        .dma = d->now.feature & FEATURE_DMA,
        .raw = raw,
        .offset = (uint64_t)first * CD_SECTOR,
        .left = (uint64_t)count * CD_SECTOR,
        .block = byte_limit(d),
    };
    /* Whole sectors where they fit: some drivers count on it. */
    uint32_t unit = raw ? RAW_SECTOR : CD_SECTOR;
    if (t.block >= unit)
        t.block -= t.block % unit;
    else
        t.block = MAX(t.block & ~1u, 2);
    ide_transfer_start(d, &t);
}

/* READ CD: user data alone, or whole raw sectors. */
static void read_cd(struct ide_drive *d)
{
    uint32_t count = be32(d->packet + 5) & 0xffffff;
    switch (d->packet[9] & 0xf8) {
    case 0x00:
        read_sectors(d, 0, 0, false);
        break;
    case 0x10:
        read_sectors(d, be32(d->packet + 2), count, false);
        break;
    case 0xf8:
        read_sectors(d, be32(d->packet + 2), count, true);
        break;
    default:
        packet_fail(d, SENSE_ILLEGAL, ASC_FIELD);
    }
}

/* ---- tables ---- */

static void inquiry(struct ide_drive *d)
{
    uint8_t *out = d->channel->buffer;
    memset(out, 0, 36);
    if (d->packet[1] & 1) { /* no vital product data pages */
        packet_fail(d, SENSE_ILLEGAL, ASC_FIELD);
        return;
    }
    out[0] = 5;    /* CD/DVD */
    out[1] = 0x80; /* removable */
    out[3] = 0x21; /* ATAPI */
    out[4] = 31;
    memcpy(out + 8, "NETLAB  CD-ROM DRIVE    0.1 ", 28);
    answer(d, 36, d->packet[4]);
}

static void request_sense(struct ide_drive *d)
{
    uint8_t *out = d->channel->buffer;
    memset(out, 0, 18);
    if (d->attention && !d->sense_key) { /* asking is one way of being told */
        d->sense_key = SENSE_ATTENTION;
        d->sense_code = d->attention;
        d->attention = 0;
    }
    out[0] = 0x70;
    out[2] = d->sense_key;
    if (d->sense_key == SENSE_MEDIUM) {
        out[0] |= 0x80; /* the information field counts */
        put_be32(out + 3, d->sense_sector);
    }
    out[7] = 10;
    out[12] = d->sense_code;
    out[13] = d->sense_qualifier;
    answer(d, 18, d->packet[4]);
}

static void capacity(struct ide_drive *d)
{
    uint8_t *out = d->channel->buffer;
    put_be32(out, cd_sectors(d) - 1);
    put_be32(out + 4, CD_SECTOR);
    answer(d, 8, 8);
}

static void put_address(uint8_t *p, uint32_t lba, bool minutes)
{
    if (!minutes) {
        put_be32(p, lba);
        return;
    }
    lba += LEAD;
    p[0] = 0;
    p[1] = (uint8_t)(lba / 75 / 60);
    p[2] = (uint8_t)(lba / 75 % 60);
    p[3] = (uint8_t)(lba % 75);
}

static void put_track(uint8_t *p, uint8_t number, uint32_t lba, bool minutes)
{
    p[0] = p[3] = 0;
    p[1] = 0x14; /* a data track */
    p[2] = number;
    put_address(p + 4, lba, minutes);
}

/* A raw entry (format 2): session, ADR, TNO, POINT, minutes now, zero, minutes of POINT. */
static uint8_t *put_point(uint8_t *p, uint8_t point, uint8_t m, uint8_t s, uint8_t f)
{
    const uint8_t entry[11] = {1, 0x14, 0, point, 0, 0, 0, 0, m, s, f};
    memcpy(p, entry, sizeof entry);
    return p + sizeof entry;
}

static void table_of_contents(struct ide_drive *d)
{
    uint8_t *out = d->channel->buffer;
    bool minutes = d->packet[1] & 2;
    unsigned format = d->packet[2] & 15 ? d->packet[2] & 15 : d->packet[9] >> 6, track = d->packet[6];
    uint32_t len = 4, end = cd_sectors(d);
    out[2] = out[3] = 1; /* first and last track, or session */
    if (format == 0) {
        if (track > 1 && track != 0xaa) {
            packet_fail(d, SENSE_ILLEGAL, ASC_FIELD);
            return;
        }
        if (track <= 1) {
            put_track(out + len, 1, 0, minutes);
            len += 8;
        }
        put_track(out + len, 0xaa, end, minutes);
        len += 8;
    } else if (format == 1) {
        put_track(out + len, 1, 0, minutes);
        len += 8;
    } else if (format == 2) {
        uint8_t lead_out[4], *p = out + 4;
        put_address(lead_out, end, true);
        p = put_point(p, 0xa0, 1, 0, 0);
        p = put_point(p, 0xa1, 1, 0, 0);
        p = put_point(p, 0xa2, lead_out[1], lead_out[2], lead_out[3]);
        p = put_point(p, 1, 0, 2, 0);
        len = (uint32_t)(p - out);
    } else {
        packet_fail(d, SENSE_ILLEGAL, ASC_FIELD);
        return;
    }
    put_be16(out, len - 2);
    answer(d, len, be16(d->packet + 7));
}

static void mode_sense(struct ide_drive *d)
{
    uint8_t *out = d->channel->buffer;
    unsigned page = d->packet[2] & 0x3f, control = d->packet[2] >> 6;
    bool ten = d->packet[0] == 0x5a;
    uint32_t header = ten ? 8 : 4, len = header;
    memset(out, 0, 64);
    if (control == 3) { /* saved values */
        packet_fail(d, SENSE_ILLEGAL, ASC_SAVING);
        return;
    }
    if (page == 0x01 || page == 0x3f) { /* error recovery */
        out[len] = 0x01;
        out[len + 1] = 6;
        if (control != 1)
            out[len + 3] = 5; /* retries */
        len += 8;
    }
    if (page == 0x2a || page == 0x3f) { /* capabilities */
        uint8_t *p = out + len;
        p[0] = 0x2a;
        p[1] = 18;
        if (control != 1) {
            p[2] = 0x3b;                                  /* reads CD-R, CD-RW, DVD-ROM, DVD-R */
            p[4] = 0x70;                                  /* mode 2 forms, multi-session */
            p[6] = (uint8_t)(0x29 | (d->locked ? 2 : 0)); /* tray; may be locked; ejects */
            put_be16(p + 8, 706);
            put_be16(p + 10, 2);
            put_be16(p + 12, 512);
            put_be16(p + 14, 706);
        }
        len += 20;
    }
    if (len == header) {
        packet_fail(d, SENSE_ILLEGAL, ASC_FIELD);
        return;
    }
    uint8_t medium = !block_has_medium(d->block) ? 0x70 : is_dvd(d) ? 0x00 : 0x01;
    if (ten) {
        put_be16(out, len - 2);
        out[2] = medium;
        answer(d, len, be16(d->packet + 7));
    } else {
        out[0] = (uint8_t)(len - 1);
        out[1] = medium;
        answer(d, len, d->packet[4]);
    }
}

static void configuration(struct ide_drive *d)
{
    static const struct {
        uint16_t code;
        uint8_t flags, len, data[8];
    } features[] = {
        {0x0000, 0x03, 8, {0, PROFILE_DVD_ROM, 0, 0, 0, PROFILE_CD_ROM, 0, 0}},
        {0x0001, 0x0b, 8, {0, 0, 0, 2, 1, 0, 0, 0}},              /* core: ATAPI */
        {0x0002, 0x07, 4, {0}},                                   /* morphing: asynchronous events no */
        {0x0003, 0x03, 4, {0x29}},                                /* removable medium: tray, lock, eject */
        {0x0010, 0x00, 8, {0, 0, CD_SECTOR >> 8, 0, 0, 1, 0, 0}}, /* random readable */
        {0x001e, 0x00, 4, {0}},                                   /* CD read */
        {0x001f, 0x00, 4, {0}},                                   /* DVD read */
    };
    uint8_t *out = d->channel->buffer;
    unsigned kind = d->packet[1] & 3, start = be16(d->packet + 2);
    uint32_t len = 8;
    bool medium = block_has_medium(d->block);
    unsigned profile = !medium ? 0 : is_dvd(d) ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
    memset(out, 0, 8);
    put_be16(out + 6, profile);
    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        unsigned code = features[i].code;
        bool current = code < 4 || (medium && (code == 0x10 || code == (is_dvd(d) ? 0x1f : 0x1e)));
        if (code < start || (kind == 1 && !current) || (kind == 2 && code != start))
            continue;
        uint8_t *p = out + len;
        put_be16(p, code);
        p[2] = (uint8_t)((features[i].flags & ~1) | current);
        p[3] = features[i].len;
        memcpy(p + 4, features[i].data, features[i].len);
        if (code == 0) {
            p[6] = profile == PROFILE_DVD_ROM;
            p[10] = profile == PROFILE_CD_ROM;
        }
        len += 4u + features[i].len;
    }
    put_be32(out, len - 4);
    answer(d, len, be16(d->packet + 7));
}

static void event_status(struct ide_drive *d)
{
    uint8_t *out = d->channel->buffer;
    enum { MEDIA_CLASS = 4 };
    if (!(d->packet[1] & 1)) { /* only polling */
        packet_fail(d, SENSE_ILLEGAL, ASC_FIELD);
        return;
    }
    memset(out, 0, 8);
    out[3] = 1 << MEDIA_CLASS; /* classes there are */
    if (!(d->packet[4] & 1 << MEDIA_CLASS)) {
        put_be16(out, 2);
        out[2] = 0x80; /* none of those asked for */
        answer(d, 4, be16(d->packet + 7));
        return;
    }
    put_be16(out, 6);
    out[2] = MEDIA_CLASS;
    out[4] = d->media_event;
    out[5] = (uint8_t)((block_has_medium(d->block) ? 2 : 0) | (block_tray_open(d->block) ? 1 : 0));
    d->media_event = EVENT_NONE;
    answer(d, 8, be16(d->packet + 7));
}

static void disc_information(struct ide_drive *d)
{
    uint8_t *out = d->channel->buffer;
    memset(out, 0, 34);
    put_be16(out, 32);
    out[2] = 0x0e; /* complete, last session complete */
    out[3] = out[4] = out[5] = out[6] = 1;
    out[7] = 0x20; /* unrestricted use */
    memset(out + 16, 0xff, 8);
    answer(d, 34, be16(d->packet + 7));
}

static void track_information(struct ide_drive *d)
{
    uint8_t *out = d->channel->buffer;
    memset(out, 0, 36);
    put_be16(out, 34);
    out[2] = out[3] = 1;
    out[5] = 0x04;
    out[6] = 0x01; /* mode 1 */
    put_be32(out + 24, cd_sectors(d));
    answer(d, 36, be16(d->packet + 7));
}

static void mechanism_status(struct ide_drive *d)
{
    uint8_t *out = d->channel->buffer;
    memset(out, 0, 8);
    out[1] = block_tray_open(d->block) ? 0x10 : 0;
    answer(d, 8, be16(d->packet + 8));
}

static void dvd_structure(struct ide_drive *d)
{
    uint8_t *out = d->channel->buffer;
    if (!is_dvd(d) || d->packet[7] != 0) {
        packet_fail(d, SENSE_ILLEGAL, ASC_FIELD);
        return;
    }
    memset(out, 0, 2052);
    put_be16(out, 2050);
    out[4] = 1;    /* DVD-ROM, part version 1 */
    out[5] = 0x0f; /* 120 mm, no limit of the rate */
    out[6] = 1;    /* one layer, embossed */
    put_be32(out + 8, 0x30000);
    put_be32(out + 12, 0x30000 + cd_sectors(d) - 1);
    answer(d, 2052, be16(d->packet + 8));
}

/* ---- tray ---- */

static void start_stop(struct ide_drive *d)
{
    unsigned what = d->packet[4] & 3;
    if (d->packet[4] & 0xf0) { /* power conditions */
        packet_done(d);
        return;
    }
    if (what == 2) { /* eject */
        if (d->locked) {
            packet_fail(d, SENSE_NOT_READY, ASC_LOCKED);
            return;
        }
        block_open_tray(d->block, true);
    } else if (what == 3) {
        if (block_tray_open(d->block)) {
            block_open_tray(d->block, false);
            d->attention = ASC_CHANGED;
        }
    }
    packet_done(d);
}

void atapi_medium_changed(void *opaque)
{
    struct ide_drive *d = opaque;
    bool there = block_has_medium(d->block);
    d->attention = there ? ASC_CHANGED : 0;
    d->media_event = there ? EVENT_NEW : EVENT_GONE;
    if (!there) {
        d->locked = false;
        block_lock_tray(d->block, false);
    }
}

/* The guest learns of it when it polls for events, and may unlock the tray and open it. */
void atapi_eject_asked(void *opaque)
{
    struct ide_drive *d = opaque;
    d->media_event = EVENT_EJECT;
}

/* ---- packets ---- */

enum { NEEDS_MEDIUM = 1, KEEPS_ATTENTION = 2 };

static void test_ready(struct ide_drive *d)
{
    packet_done(d);
}

static void read_10(struct ide_drive *d)
{
    read_sectors(d, be32(d->packet + 2), be16(d->packet + 7), false);
}

static void read_12(struct ide_drive *d)
{
    read_sectors(d, be32(d->packet + 2), be32(d->packet + 6), false);
}

static void seek(struct ide_drive *d)
{
    if (be32(d->packet + 2) >= cd_sectors(d))
        packet_fail(d, SENSE_ILLEGAL, ASC_RANGE);
    else
        packet_done(d);
}

static void lock(struct ide_drive *d)
{
    d->locked = d->packet[4] & 1;
    block_lock_tray(d->block, d->locked);
    packet_done(d);
}

static const struct packet_row {
    uint8_t code, flags;
    void (*run)(struct ide_drive *d);
} packets[] = {
    {0x00, NEEDS_MEDIUM, test_ready},
    {0x03, KEEPS_ATTENTION, request_sense},
    {0x12, KEEPS_ATTENTION, inquiry},
    {0x1a, 0, mode_sense},
    {0x1b, 0, start_stop},
    {0x1e, 0, lock},
    {0x25, NEEDS_MEDIUM, capacity},
    {0x28, NEEDS_MEDIUM, read_10},
    {0x2b, NEEDS_MEDIUM, seek},
    {0x35, 0, test_ready}, /* SYNCHRONIZE CACHE */
    {0x43, NEEDS_MEDIUM, table_of_contents},
    {0x46, KEEPS_ATTENTION, configuration},
    {0x4a, KEEPS_ATTENTION, event_status},
    {0x51, NEEDS_MEDIUM, disc_information},
    {0x52, NEEDS_MEDIUM, track_information},
    {0x5a, 0, mode_sense},
    {0xa8, NEEDS_MEDIUM, read_12},
    {0xad, NEEDS_MEDIUM, dvd_structure},
    {0xbb, 0, test_ready}, /* SET CD SPEED */
    {0xbd, KEEPS_ATTENTION, mechanism_status},
    {0xbe, NEEDS_MEDIUM, read_cd},
};

void atapi_packet(struct ide_drive *d)
{
    const uint8_t *p = d->packet;
    trace(IDE, "ide%u.%u: packet %02x %02x %02x %02x %02x %02x %02x %02x %02x %02x", d->channel->n, d->unit,
          p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9]);
    for (size_t i = 0; i < G_N_ELEMENTS(packets); i++) {
        const struct packet_row *row = &packets[i];
        if (row->code != p[0])
            continue;
        if (d->attention && !(row->flags & KEEPS_ATTENTION)) {
            uint8_t code = d->attention;
            d->attention = 0;
            packet_fail(d, SENSE_ATTENTION, code);
        } else if (row->flags & NEEDS_MEDIUM && !cd_sectors(d)) {
            packet_fail(d, SENSE_NOT_READY, ASC_NO_MEDIUM);
        } else {
            row->run(d);
        }
        return;
    }
    packet_fail(d, SENSE_ILLEGAL, ASC_COMMAND);
}

/* ---- ATA commands ---- */

static void identify(struct ide_drive *d, uint8_t *out)
{
    const struct {
        unsigned word, value;
    } words[] = {
        {0, 0x85c0}, /* ATAPI, CD-ROM, removable, 12-byte packets, DRQ within 50 us */
        {48, 1},
        {49, 0x0b00},
        {53, 0x0006},
        {63, 0x0007u | (unsigned)d->mwdma << 8},
        {64, 0x0003},
        {65, 120},
        {66, 120},
        {67, 120},
        {68, 120},
        {71, 30},
        {72, 30},
        {80, 0x0070},
        {82, 0x4210}, /* NOP, DEVICE RESET, PACKET */
        {83, 0x4000},
        {84, 0x4000},
        {85, 0x4210},
        {87, 0x4000},
        {88, 0x003fu | (unsigned)d->udma << 8},
        {93, d->unit ? 0x6b00 : 0x600b},
    };
    memset(out, 0, 512);
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        ide_identify_word(out, words[i].word, words[i].value);
    ide_identify_text(out, 10, 10, d->identity.serial);
    ide_identify_text(out, 23, 4, *d->identity.version ? d->identity.version : NETLAB_VERSION);
    ide_identify_text(out, 27, 20, *d->identity.model ? d->identity.model : "NETLAB DVD-ROM");
}

void atapi_command(struct ide_drive *d, uint8_t command)
{
    struct ide_channel *ch = d->channel;
    switch (command) {
    case 0xa0:                    /* PACKET */
        if (d->now.feature & 2) { /* overlapped */
            ide_abort(d, ERR_ABORT);
            return;
        }
        ch->transfer = (struct ide_transfer){0};
        ch->phase = PHASE_PACKET;
        d->now.count = REASON_COMMAND;
        d->status = ST_READY | ST_SEEK | ST_DRQ;
        return;
    case 0xa1: /* IDENTIFY PACKET DEVICE */
        identify(d, ch->buffer);
        ide_transfer_start(d, &(struct ide_transfer){.end = 512, .block = 512});
        return;
    case 0xec: /* IDENTIFY DEVICE, READ SECTORS: "this is a packet device" */
    case 0x20:
        ide_set_signature(d);
        ide_abort(d, ERR_ABORT);
        return;
    case 0xef: /* SET FEATURES */
        if (d->now.feature == 0x03 && !ide_set_transfer_mode(d, d->now.count)) {
            ide_abort(d, ERR_ABORT);
            return;
        }
        ide_done(d);
        return;
    case 0xe5: /* CHECK POWER MODE */
    case 0x98:
        d->now.count = 0xff;
        ide_done(d);
        return;
    case 0xe0: /* STANDBY, IDLE, immediate; SLEEP */
    case 0xe1:
    case 0xe2:
    case 0xe3:
    case 0xe6:
        ide_done(d);
        return;
    }
    ide_abort(d, ERR_ABORT);
}

void atapi_reset(struct ide_drive *d)
{
    memset(d->packet, 0, sizeof d->packet);
    d->sense_key = SENSE_NONE;
    d->sense_code = d->sense_qualifier = 0;
    d->sense_sector = 0;
}
