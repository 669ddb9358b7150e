/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Floppy controller: see fdc.h. Intel 82077AA datasheet (290166), chapters 2 (registers), 5 and 6 (commands).
 *
 * A command is bytes into the FIFO (PHASE_COMMAND), maybe data, bytes out of it (PHASE_RESULT). Data goes by
 * DMA, all of a command's sectors at once: as many as the DMA channel counts and the track has (both sides
 * with the multi-track bit). A count that ends before the track does is the normal end (TC); one that is
 * longer ends with "end of cylinder".
 *
 * In SPECIFY's non-DMA mode data goes through the FIFO (PHASE_READ, PHASE_WRITE), a byte whenever MSR says
 * so, from the sector the command names to the last one it names. Nobody gives TC there, so such a command
 * always ends with "end of cylinder", as on the chip. Each sector is written when its last byte came.
 *
 * The format of a disk follows from the image's size alone. A data rate that is not the disk's finds no
 * address mark, which is how systems tell formats apart. The disk change line stands from when a disk is put
 * in until the head moves with a disk in the drive.
 */
#include "emu/dev/fdc.h"

#include "emu/machine/clock.h"
#include "emu/trace.h"

#include <string.h>

enum { PORT_BASE = 0x3f0, PORT_SECOND = 0x3f7, DMA_CHANNEL = 2 };
enum { REG_SRA, REG_SRB, REG_DOR, REG_TDR, REG_MSR, REG_FIFO, REG_DIR = 7 };
enum { DOR_DRIVE = 0x03, DOR_NOT_RESET = 0x04, DOR_GATE = 0x08 };
enum { DSR_RESET = 0x80, RATE_BITS = 3 };
enum { MSR_BUSY = 0x10, MSR_NON_DMA = 0x20, MSR_TO_HOST = 0x40, MSR_READY = 0x80 };
enum { DIR_CHANGED = 0x80 };
enum { ST0_ABNORMAL = 0x40, ST0_INVALID = 0x80, ST0_POLLING = 0xc0, ST0_SEEK_END = 0x20, ST0_CHECK = 0x10 };
enum {
    ST1_NO_MARK = 0x01,
    ST1_PROTECTED = 0x02,
    ST1_NO_DATA = 0x04,
    ST1_OVERRUN = 0x10,
    ST1_CRC = 0x20,
    ST1_END = 0x80
};
enum { ST2_WRONG_CYLINDER = 0x10, ST2_CRC = 0x20 };
enum { ST3_TRACK0 = 0x10, ST3_PROTECTED = 0x40, ST3_ALWAYS = 0x28 };
enum { COMMAND_BITS = 0x1f, MULTI_TRACK = 0x80 };
enum { SECTOR = BLOCK_SECTOR, TRACKS_MOST = 85, SECTORS_MOST = 36, BUFFER = 2 * SECTORS_MOST * SECTOR };

enum fdc_phase { PHASE_COMMAND, PHASE_HOST, PHASE_RESULT, PHASE_READ, PHASE_WRITE };
enum { SPECIFY_NON_DMA = 1, FORMAT_TRACK = 0x0d };

struct fdc_format {
    uint8_t tracks, heads, sectors, rate, drive_type;
};

/* By size, in the order they are tried. Rates: 0 500, 1 300, 2 250, 3 1000 kbit/s. */
static const struct fdc_format formats[] = {
    {80, 2, 18, 0, 4}, {80, 2, 36, 3, 5}, {80, 2, 15, 0, 2}, {80, 2, 9, 2, 4},  {40, 2, 9, 2, 1},
    {40, 1, 9, 2, 1},  {40, 2, 8, 2, 1},  {40, 1, 8, 2, 1},  {80, 2, 21, 0, 4}, {82, 2, 21, 0, 4},
    {83, 2, 21, 0, 4}, {80, 2, 20, 0, 4}, {80, 2, 10, 2, 4},
};

struct fdc_drive {
    struct block *block;
    struct fdc *fdc;
    uint8_t track; /* where the head stands */
    bool changed;
};

struct fdc {
    struct device device;
    struct fdc_wiring wiring;
    struct fdc_drive drive[FDC_DRIVES];
    uint8_t dor, dsr, tdr;
    uint8_t phase; /* enum fdc_phase */
    uint8_t fifo[16], fill, wanted, taken;
    uint8_t specify[2], configure[3], perpendicular;
    bool lock, interrupt;
    uint8_t polls;    /* SENSE INTERRUPT STATUS owed after a reset */
    uint8_t seek_st0; /* what it says after a seek; 0: nothing */

    struct block_request request;
    uint8_t *buffer;
    uint32_t moved;    /* bytes of the transfer in progress */
    uint32_t pos;      /* non-DMA: of them through the FIFO */
    uint64_t place;    /* and where on the medium they begin */
    bool ended;        /* the DMA count ended with them */
    struct {           /* saved state */
        uint32_t held; /* bytes of the buffer that are needed */
        uint8_t op;    /* of `request`, in PHASE_HOST */
        uint64_t offset;
        uint32_t len;
        uint64_t answer_at; /* ns of guest time, 0: never */
    } saved;
};

/* ---- formats ---- */

static const struct fdc_format *format_of(uint64_t size)
{
    const struct fdc_format *fits = &formats[1];
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        const struct fdc_format *f = &formats[i];
        uint64_t bytes = (uint64_t)f->tracks * f->heads * f->sectors * SECTOR;
        if (bytes == size)
            return f;
        if (bytes > size && bytes < (uint64_t)fits->tracks * fits->heads * fits->sectors * SECTOR &&
            f->drive_type == 4)
            fits = f;
    }
    return fits; /* an odd size: the smallest 3.5" disk it fits on */
}

uint8_t fdc_drive_type(uint64_t image_size)
{
    return image_size ? format_of(image_size)->drive_type : 4;
}

/* ---- lines and phases ---- */

static void set_interrupt(struct fdc *fdc, bool level)
{
    fdc->interrupt = level;
    irq_set(&fdc->wiring.irq, level && fdc->dor & DOR_GATE);
}

static void await_command(struct fdc *fdc)
{
    fdc->phase = PHASE_COMMAND;
    fdc->fill = fdc->taken = 0;
    fdc->wanted = 1;
}

static void results(struct fdc *fdc, const uint8_t *bytes, unsigned count, bool interrupt)
{
    memcpy(fdc->fifo, bytes, count);
    fdc->fill = (uint8_t)count;
    fdc->taken = 0;
    fdc->phase = PHASE_RESULT;
    if (interrupt)
        set_interrupt(fdc, true);
}

static struct fdc_drive *selected(struct fdc *fdc)
{
    unsigned n = fdc->fifo[1] & 3;
    return n < FDC_DRIVES && fdc->drive[n].block ? &fdc->drive[n] : NULL;
}

static bool has_disk(const struct fdc_drive *drive)
{
    return drive && block_has_medium(drive->block);
}

/* Ends a command with data: ST0 to ST2 and the sector after the last one, at `c`, `h`, `r`. */
static void end_data(struct fdc *fdc, uint8_t st0, uint8_t st1, uint8_t st2, uint8_t c, uint8_t h, uint8_t r)
{
    uint8_t out[] = {(uint8_t)(st0 | (fdc->fifo[1] & 7)), st1, st2, c, h, r, 2};
    trace(FDC, "result %02x %02x %02x chr %u %u %u", out[0], st1, st2, c, h, r);
    results(fdc, out, sizeof out, true);
}

static void fail_data(struct fdc *fdc, uint8_t st1, uint8_t st2)
{
    end_data(fdc, ST0_ABNORMAL, st1, st2, fdc->fifo[2], fdc->fifo[3], fdc->fifo[4]);
}

/* ---- reading and writing ---- */

static bool rate_fits(const struct fdc *fdc, const struct fdc_format *format)
{
    unsigned rate = fdc->dsr & RATE_BITS;
    return rate == format->rate || (format->tracks == 40 && rate == 1); /* 360 K in a 1.2 M drive */
}

/* After `count` sectors from C/H/R of the command. */
static void end_at(struct fdc *fdc, uint8_t st0, uint8_t st1, unsigned count)
{
    bool multi = fdc->fifo[0] & MULTI_TRACK;
    uint8_t c = fdc->fifo[2], h = fdc->fifo[3], last = fdc->fifo[6];
    unsigned r = fdc->fifo[4];
    for (; count; count--) {
        if (r++ < last)
            continue;
        r = 1;
        if (multi && !(h & 1)) {
            h |= 1;
        } else {
            h = multi ? 0 : h;
            c++;
        }
    }
    end_data(fdc, st0, st1, 0, c, h, (uint8_t)r);
}

static bool non_dma(const struct fdc *fdc)
{
    return fdc->specify[1] & SPECIFY_NON_DMA;
}

/* Bytes may go through the FIFO, from here on or again. */
static void open_fifo(struct fdc *fdc, enum fdc_phase phase)
{
    fdc->phase = (uint8_t)phase;
    set_interrupt(fdc, false); /* an edge each time */
    set_interrupt(fdc, true);
}

static void data_done(void *opaque, int error)
{
    struct fdc *fdc = opaque;
    uint32_t len = fdc->request.len;
    if (fdc->phase != PHASE_HOST)
        return;
    if (error) {
        trace(FDC, "host I/O: %s", g_strerror(error));
        fail_data(fdc, fdc->request.op == BLOCK_READ ? ST1_CRC : ST1_NO_DATA,
                  fdc->request.op == BLOCK_READ ? ST2_CRC : 0);
        return;
    }
    if ((fdc->fifo[0] & COMMAND_BITS) == FORMAT_TRACK) {
        end_data(fdc, 0, 0, 0, fdc->fifo[2], fdc->fifo[3], fdc->fifo[4]);
        return;
    }
    if (non_dma(fdc) && fdc->request.op == BLOCK_READ) {
        fdc->pos = 0;
        open_fifo(fdc, PHASE_READ);
        return;
    }
    if (non_dma(fdc) && fdc->pos < fdc->moved) {
        open_fifo(fdc, PHASE_WRITE);
        return;
    }
    if (non_dma(fdc)) {
        end_at(fdc, ST0_ABNORMAL, ST1_END, fdc->moved / SECTOR);
        return;
    }
    if (fdc->request.op == BLOCK_READ)
        fdc->moved = (uint32_t)dma8237_run(fdc->wiring.dma, fdc->wiring.mem, DMA_CHANNEL, fdc->buffer,
                                           fdc->moved, true, &fdc->ended);
    end_at(fdc, fdc->ended ? 0 : ST0_ABNORMAL, fdc->ended ? 0 : ST1_END, len / SECTOR);
}

static void prepare(struct fdc *fdc, enum block_op op, uint8_t *buf, uint64_t offset, uint32_t len)
{
    fdc->phase = PHASE_HOST;
    fdc->request = (struct block_request){
        .op = op, .offset = offset, .len = len, .buf = buf, .done = data_done, .opaque = fdc};
}

static void submit(struct fdc *fdc, struct fdc_drive *drive, enum block_op op, uint8_t *buf, uint64_t offset,
                   uint32_t len)
{
    prepare(fdc, op, buf, offset, len);
    block_submit(drive->block, &fdc->request);
}

/* READ DATA, WRITE DATA and their kin: C H R N EOT GPL DTL follow the drive and head. */
static void transfer(struct fdc *fdc, bool out)
{
    struct fdc_drive *drive = selected(fdc);
    unsigned head = fdc->fifo[1] >> 2 & 1, track = fdc->fifo[2], first = fdc->fifo[4], last = fdc->fifo[6];
    if (!has_disk(drive)) {
        fail_data(fdc, ST1_NO_MARK, 0);
        return;
    }
    const struct fdc_format *f = format_of(block_size(drive->block));
    if (!rate_fits(fdc, f)) {
        fail_data(fdc, ST1_NO_MARK, 0);
    } else if (track != drive->track || fdc->fifo[3] != head) {
        fail_data(fdc, ST1_NO_DATA, track != drive->track ? ST2_WRONG_CYLINDER : 0);
    } else if (fdc->fifo[5] != 2 || !first || first > f->sectors || track >= f->tracks || head >= f->heads) {
        fail_data(fdc, ST1_NO_DATA, 0);
    } else if (out && block_read_only(drive->block)) {
        fail_data(fdc, ST1_PROTECTED, 0);
    } else {
        uint64_t offset = (((uint64_t)track * f->heads + head) * f->sectors + first - 1) * SECTOR;
        unsigned count = MIN(last, f->sectors) >= first ? MIN(last, f->sectors) - first + 1 : 1;
        if (fdc->fifo[0] & MULTI_TRACK && head == 0 && f->heads == 2)
            count = f->sectors - first + 1 + MIN(last, f->sectors);
        uint64_t size = block_size(drive->block), there = offset < size ? (size - offset) / SECTOR : 0;
        fdc->moved = count * SECTOR;
        if (!non_dma(fdc))
            fdc->moved = MIN(fdc->moved, dma8237_pending(fdc->wiring.dma, DMA_CHANNEL));
        fdc->moved = (uint32_t)MIN((uint64_t)fdc->moved, there * SECTOR);
        uint32_t len = (fdc->moved + SECTOR - 1) / SECTOR * SECTOR;
        if (!len) {
            fail_data(fdc, there ? ST1_OVERRUN : ST1_NO_DATA, 0);
            return;
        }
        if (out && non_dma(fdc)) {
            fdc->pos = 0;
            fdc->place = offset;
            open_fifo(fdc, PHASE_WRITE);
            return;
        }
        if (out) {
            memset(fdc->buffer, 0, len);
            dma8237_run(fdc->wiring.dma, fdc->wiring.mem, DMA_CHANNEL, fdc->buffer, fdc->moved, false,
                        &fdc->ended);
        }
        submit(fdc, drive, out ? BLOCK_WRITE : BLOCK_READ, fdc->buffer, offset, len);
    }
}

/* IDs came by the FIFO (`ids_there`), or are to be fetched by DMA. What is in them is of no use here: sectors
 * are where they always are. */
static void format_track(struct fdc *fdc, bool ids_there)
{
    struct fdc_drive *drive = selected(fdc);
    unsigned head = fdc->fifo[1] >> 2 & 1, count = fdc->fifo[3];
    uint8_t filler = fdc->fifo[5];
    const struct fdc_format *f = has_disk(drive) ? format_of(block_size(drive->block)) : NULL;
    uint8_t ids[4 * SECTORS_MOST];
    if (!f || !rate_fits(fdc, f) || head >= f->heads || drive->track >= f->tracks || fdc->fifo[2] != 2 ||
        !count || count > f->sectors) {
        fail_data(fdc, ST1_NO_MARK, 0);
        return;
    }
    uint64_t offset = ((uint64_t)drive->track * f->heads + head) * f->sectors * SECTOR;
    if (block_read_only(drive->block)) {
        fail_data(fdc, ST1_PROTECTED, 0);
    } else if (non_dma(fdc) && !ids_there) {
        fdc->pos = 0;
        fdc->moved = 4 * count;
        open_fifo(fdc, PHASE_WRITE);
    } else if ((!ids_there && dma8237_run(fdc->wiring.dma, fdc->wiring.mem, DMA_CHANNEL, ids, 4 * count,
                                          false, &fdc->ended) < 4 * count) ||
               offset + (uint64_t)count * SECTOR > block_size(drive->block)) {
        fail_data(fdc, ST1_OVERRUN, 0);
    } else {
        memset(fdc->buffer, filler, count * SECTOR);
        submit(fdc, drive, BLOCK_WRITE, fdc->buffer, offset, count * SECTOR);
    }
}

/* ---- data through the FIFO ---- */

static uint8_t fifo_read(struct fdc *fdc)
{
    uint8_t byte = fdc->buffer[fdc->pos++];
    set_interrupt(fdc, false);
    if (fdc->pos == fdc->moved)
        end_at(fdc, ST0_ABNORMAL, ST1_END, fdc->moved / SECTOR);
    return byte;
}

static void fifo_write(struct fdc *fdc, uint8_t byte)
{
    struct fdc_drive *drive = selected(fdc);
    fdc->buffer[fdc->pos++] = byte;
    set_interrupt(fdc, false);
    if ((fdc->fifo[0] & COMMAND_BITS) == FORMAT_TRACK) {
        if (fdc->pos == fdc->moved)
            format_track(fdc, true);
    } else if (fdc->pos % SECTOR == 0) {
        submit(fdc, drive, BLOCK_WRITE, fdc->buffer + fdc->pos - SECTOR, fdc->place + fdc->pos - SECTOR,
               SECTOR);
    }
}

static void read_id(struct fdc *fdc)
{
    struct fdc_drive *drive = selected(fdc);
    unsigned head = fdc->fifo[1] >> 2 & 1;
    const struct fdc_format *f = has_disk(drive) ? format_of(block_size(drive->block)) : NULL;
    if (!f || !rate_fits(fdc, f) || head >= f->heads || drive->track >= f->tracks)
        end_data(fdc, ST0_ABNORMAL, ST1_NO_MARK, 0, 0, 0, 0);
    else
        end_data(fdc, 0, 0, 0, drive->track, (uint8_t)head, 1);
}

/* ---- the other commands ---- */

static void move_head(struct fdc *fdc, unsigned track)
{
    struct fdc_drive *drive = selected(fdc);
    fdc->seek_st0 = (uint8_t)(ST0_SEEK_END | (fdc->fifo[1] & 7));
    if (drive) {
        drive->track = (uint8_t)MIN(track, (unsigned)TRACKS_MOST);
        if (has_disk(drive))
            drive->changed = false;
    } else {
        fdc->seek_st0 |= ST0_ABNORMAL | ST0_CHECK;
    }
    await_command(fdc);
    set_interrupt(fdc, true);
}

static void sense_interrupt(struct fdc *fdc)
{
    uint8_t out[2] = {ST0_INVALID, 0};
    if (fdc->polls) {
        out[0] = (uint8_t)(ST0_POLLING | (4 - fdc->polls--));
    } else if (fdc->seek_st0) {
        unsigned n = fdc->seek_st0 & 3;
        out[0] = fdc->seek_st0;
        out[1] = n < FDC_DRIVES ? fdc->drive[n].track : 0;
        fdc->seek_st0 = 0;
    }
    set_interrupt(fdc, false);
    results(fdc, out, out[0] == ST0_INVALID ? 1 : 2, false);
}

static void sense_drive(struct fdc *fdc)
{
    struct fdc_drive *drive = selected(fdc);
    uint8_t st3 = (uint8_t)(ST3_ALWAYS | (fdc->fifo[1] & 7));
    if (drive && !drive->track)
        st3 |= ST3_TRACK0;
    if (has_disk(drive) && block_read_only(drive->block))
        st3 |= ST3_PROTECTED;
    results(fdc, &st3, 1, false);
}

static void dump_registers(struct fdc *fdc)
{
    const uint8_t out[10] = {
        fdc->drive[0].track, fdc->drive[1].track, 0,  0,
        fdc->specify[0],     fdc->specify[1],     18, (uint8_t)((fdc->lock ? 0x80 : 0) | fdc->perpendicular),
        fdc->configure[1],   fdc->configure[2]};
    results(fdc, out, sizeof out, false);
}

static void run_command(struct fdc *fdc)
{
    uint8_t byte;
    set_interrupt(fdc, false);
    trace(FDC, "command %02x %02x %02x %02x %02x %02x %02x", fdc->fifo[0], fdc->fifo[1], fdc->fifo[2],
          fdc->fifo[3], fdc->fifo[4], fdc->fifo[5], fdc->fifo[6]);
    switch (fdc->fifo[0] & COMMAND_BITS) {
    case 0x02: /* READ TRACK, READ DATA, READ DELETED DATA, VERIFY and scans as reads */
    case 0x06:
    case 0x0c:
        transfer(fdc, false);
        return;
    case 0x05: /* WRITE DATA, WRITE DELETED DATA */
    case 0x09:
        transfer(fdc, true);
        return;
    case 0x03: /* SPECIFY */
        memcpy(fdc->specify, fdc->fifo + 1, 2);
        await_command(fdc);
        return;
    case 0x04:
        sense_drive(fdc);
        return;
    case 0x07: /* RECALIBRATE */
        move_head(fdc, 0);
        return;
    case 0x08:
        sense_interrupt(fdc);
        return;
    case 0x0a:
        read_id(fdc);
        return;
    case 0x0d:
        format_track(fdc, false);
        return;
    case 0x0e:
        dump_registers(fdc);
        return;
    case 0x0f: /* SEEK */
        move_head(fdc, fdc->fifo[2]);
        return;
    case 0x10: /* VERSION: an 82077 */
        byte = 0x90;
        results(fdc, &byte, 1, false);
        return;
    case 0x12: /* PERPENDICULAR MODE */
        fdc->perpendicular = fdc->fifo[1] & 0x7f;
        await_command(fdc);
        return;
    case 0x13: /* CONFIGURE */
        memcpy(fdc->configure, fdc->fifo + 1, 3);
        await_command(fdc);
        return;
    case 0x14: /* LOCK, UNLOCK */
        fdc->lock = fdc->fifo[0] & 0x80;
        byte = fdc->lock ? 0x10 : 0;
        results(fdc, &byte, 1, false);
        return;
    }
    byte = ST0_INVALID;
    results(fdc, &byte, 1, false);
}

/* Bytes of a command, its own included. */
static unsigned command_length(uint8_t command)
{
    switch (command & COMMAND_BITS) {
    case 0x02:
    case 0x05:
    case 0x06:
    case 0x09:
    case 0x0c:
        return 9;
    case 0x0d:
        return 6;
    case 0x13:
        return 4;
    case 0x03:
    case 0x0f:
        return 3;
    case 0x04:
    case 0x07:
    case 0x0a:
    case 0x12:
        return 2;
    }
    return 1;
}

/* ---- registers ---- */

static void end_transfer(struct fdc *fdc)
{
    for (unsigned n = 0; n < FDC_DRIVES; n++)
        if (fdc->drive[n].block)
            block_cancel(fdc->drive[n].block, &fdc->request);
}

static void controller_reset(struct fdc *fdc)
{
    end_transfer(fdc);
    await_command(fdc);
    fdc->seek_st0 = 0;
    if (!fdc->lock)
        memset(fdc->configure, 0, sizeof fdc->configure);
    fdc->perpendicular = 0;
    fdc->polls = 4;
    set_interrupt(fdc, true);
}

static uint32_t fdc_read(void *opaque, uint16_t port, unsigned size)
{
    struct fdc *fdc = opaque;
    uint8_t byte;
    switch (port & 7) {
    case REG_SRA:
        return fdc->interrupt ? 0x80 : 0;
    case REG_SRB:
        return 0xc0;
    case REG_DOR:
        return fdc->dor;
    case REG_TDR:
        return fdc->tdr;
    case REG_MSR:
        if (!(fdc->dor & DOR_NOT_RESET))
            return 0;
        return fdc->phase == PHASE_RESULT  ? MSR_READY | MSR_TO_HOST | MSR_BUSY
               : fdc->phase == PHASE_READ  ? MSR_READY | MSR_TO_HOST | MSR_NON_DMA | MSR_BUSY
               : fdc->phase == PHASE_WRITE ? MSR_READY | MSR_NON_DMA | MSR_BUSY
               : fdc->phase == PHASE_HOST  ? MSR_BUSY | (non_dma(fdc) ? MSR_NON_DMA : 0u)
               : fdc->fill                 ? MSR_READY | MSR_BUSY
                                           : MSR_READY;
    case REG_FIFO:
        if (fdc->phase == PHASE_READ)
            return fifo_read(fdc);
        if (fdc->phase != PHASE_RESULT)
            return 0xff;
        if (!fdc->taken)
            set_interrupt(fdc, false);
        byte = fdc->fifo[fdc->taken++ & 15];
        if (fdc->taken >= fdc->fill)
            await_command(fdc);
        return byte;
    case REG_DIR: {
        unsigned n = fdc->dor & DOR_DRIVE;
        const struct fdc_drive *drive = n < FDC_DRIVES && fdc->drive[n].block ? &fdc->drive[n] : NULL;
        return drive && (drive->changed || !has_disk(drive)) ? DIR_CHANGED : 0;
    }
    }
    return 0xff;
}

static void fdc_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct fdc *fdc = opaque;
    uint8_t byte = (uint8_t)value, before = fdc->dor;
    switch (port & 7) {
    case REG_DOR:
        fdc->dor = byte;
        if (before & DOR_NOT_RESET && !(byte & DOR_NOT_RESET)) {
            end_transfer(fdc);
            await_command(fdc);
            set_interrupt(fdc, false);
        } else if (!(before & DOR_NOT_RESET) && byte & DOR_NOT_RESET) {
            controller_reset(fdc);
        }
        set_interrupt(fdc, fdc->interrupt);
        break;
    case REG_TDR:
        fdc->tdr = byte & 3;
        break;
    case REG_MSR: /* DSR */
        fdc->dsr = byte & 0x7f;
        if (byte & DSR_RESET)
            controller_reset(fdc);
        break;
    case REG_FIFO:
        if (fdc->phase == PHASE_WRITE && fdc->dor & DOR_NOT_RESET) {
            fifo_write(fdc, byte);
            break;
        }
        if (fdc->phase != PHASE_COMMAND || !(fdc->dor & DOR_NOT_RESET))
            break;
        if (!fdc->fill)
            fdc->wanted = (uint8_t)command_length(byte);
        fdc->fifo[fdc->fill++] = byte;
        if (fdc->fill == fdc->wanted)
            run_command(fdc);
        break;
    case REG_DIR: /* CCR */
        fdc->dsr = (uint8_t)((fdc->dsr & ~RATE_BITS) | (byte & RATE_BITS));
        break;
    }
}

static const struct portio_ops fdc_ops = {.read = fdc_read, .write = fdc_write};

/* ---- device ---- */

static void disk_changed(void *opaque)
{
    ((struct fdc_drive *)opaque)->changed = true;
}

static void fdc_reset(struct device *device)
{
    struct fdc *fdc = (struct fdc *)device;
    end_transfer(fdc);
    await_command(fdc);
    memset(fdc->fifo, 0, sizeof fdc->fifo);
    memset(fdc->specify, 0, sizeof fdc->specify);
    memset(fdc->configure, 0, sizeof fdc->configure);
    fdc->dor = fdc->tdr = fdc->perpendicular = fdc->polls = fdc->seek_st0 = 0;
    fdc->dsr = 2;
    fdc->lock = false;
    fdc->moved = 0;
    fdc->ended = false;
    for (unsigned n = 0; n < FDC_DRIVES; n++) {
        fdc->drive[n].track = 0;
        fdc->drive[n].changed = true;
    }
    set_interrupt(fdc, false);
}

static bool formats_track(const struct fdc *fdc)
{
    return (fdc->fifo[0] & COMMAND_BITS) == FORMAT_TRACK;
}

/* What the host still has to do is waited for, but for what is answered at a time of the guest's
 * (block_settle). */
static void fdc_before_save(void *device)
{
    struct fdc *fdc = device;
    const struct block_request *r = &fdc->request;
    for (unsigned n = 0; n < FDC_DRIVES; n++)
        if (fdc->drive[n].block)
            block_settle(fdc->drive[n].block);
    memset(&fdc->saved, 0, sizeof fdc->saved);
    if (fdc->phase == PHASE_READ)
        fdc->saved.held = fdc->moved;
    else if (fdc->phase == PHASE_WRITE)
        fdc->saved.held = fdc->pos;
    if (fdc->phase != PHASE_HOST)
        return;
    int64_t time = block_answer_time(selected(fdc)->block);
    fdc->saved.held = r->op == BLOCK_WRITE ? (uint32_t)(r->buf - fdc->buffer) + r->len : 0;
    fdc->saved.op = (uint8_t)r->op;
    fdc->saved.offset = r->offset;
    fdc->saved.len = r->len;
    fdc->saved.answer_at = time == CLOCK_NEVER ? 0 : (uint64_t)MAX(time, 1);
}

/* Whether loaded state is that of a transfer, and one that cannot leave the buffer. */
static bool transfer_is_sane(struct fdc *fdc)
{
    const struct fdc_drive *drive = selected(fdc);
    bool out = fdc->saved.op == BLOCK_WRITE, by_fifo = non_dma(fdc);
    uint32_t len = fdc->saved.len, pos = fdc->pos, moved = fdc->moved;
    if (!drive || moved > BUFFER || pos > moved || !(fdc->dor & DOR_NOT_RESET))
        return false;
    switch ((enum fdc_phase)fdc->phase) {
    case PHASE_READ:
        return by_fifo && pos < moved && moved <= fdc->saved.held;
    case PHASE_WRITE:
        return by_fifo && pos < moved && pos <= fdc->saved.held &&
               (formats_track(fdc) ? moved <= 4 * SECTORS_MOST : moved % SECTOR == 0);
    case PHASE_HOST:
        break;
    case PHASE_COMMAND:
    case PHASE_RESULT:
        return false;
    }
    if (fdc->phase != PHASE_HOST || !block_is_steady(drive->block) || !fdc->saved.answer_at || !len ||
        len % SECTOR || len > BUFFER || (!out && fdc->saved.op != BLOCK_READ))
        return false;
    if (formats_track(fdc))
        return out && len <= fdc->saved.held;
    if (out && by_fifo)
        return len == SECTOR && pos && pos % SECTOR == 0 && moved % SECTOR == 0 && pos <= fdc->saved.held;
    return moved && moved <= len && (!out || len <= fdc->saved.held);
}

/* The request that was in flight, anew. */
static void resume(struct fdc *fdc)
{
    bool piece = fdc->saved.op == BLOCK_WRITE && non_dma(fdc) && !formats_track(fdc);
    prepare(fdc, (enum block_op)fdc->saved.op, fdc->buffer + (piece ? fdc->pos - SECTOR : 0),
            fdc->saved.offset, fdc->saved.len);
    block_submit_for(selected(fdc)->block, &fdc->request,
                     (int64_t)MIN(fdc->saved.answer_at, (uint64_t)INT64_MAX));
}

static bool fdc_after_load(void *device, GError **error)
{
    struct fdc *fdc = device;
    for (unsigned n = 0; n < FDC_DRIVES; n++)
        if (fdc->drive[n].block)
            block_cancel(fdc->drive[n].block, &fdc->request);
    if (fdc->phase != PHASE_RESULT && fdc->phase != PHASE_COMMAND && !transfer_is_sane(fdc))
        await_command(fdc); /* the guest's time-out takes care of it */
    if (fdc->phase == PHASE_HOST)
        resume(fdc);
    fdc->fill = MIN(fdc->fill, 10);
    fdc->taken = MIN(fdc->taken, fdc->fill);
    if (fdc->phase == PHASE_RESULT && fdc->taken >= fdc->fill)
        await_command(fdc);
    if (fdc->phase == PHASE_COMMAND) {
        fdc->wanted = (uint8_t)(fdc->fill ? command_length(fdc->fifo[0]) : 1);
        if (fdc->fill >= fdc->wanted)
            await_command(fdc);
    }
    fdc->polls = MIN(fdc->polls, 4);
    for (unsigned n = 0; n < FDC_DRIVES; n++)
        fdc->drive[n].track = MIN(fdc->drive[n].track, TRACKS_MOST);
    set_interrupt(fdc, fdc->interrupt);
    return true;
}

static const struct state_field fdc_fields[] = {
    STATE(struct fdc, U8, dor),
    STATE(struct fdc, U8, dsr),
    STATE(struct fdc, U8, tdr),
    STATE(struct fdc, U8, phase),
    STATE_ARRAY(struct fdc, BYTES, fifo),
    STATE(struct fdc, U8, fill),
    STATE(struct fdc, U8, wanted),
    STATE(struct fdc, U8, taken),
    STATE_ARRAY(struct fdc, BYTES, specify),
    STATE_ARRAY(struct fdc, BYTES, configure),
    STATE(struct fdc, U8, perpendicular),
    STATE(struct fdc, BOOL, lock),
    STATE(struct fdc, BOOL, interrupt),
    STATE(struct fdc, U8, polls),
    STATE(struct fdc, U8, seek_st0),
    STATE(struct fdc, U8, drive[0].track),
    STATE(struct fdc, BOOL, drive[0].changed),
    STATE(struct fdc, U8, drive[1].track),
    STATE(struct fdc, BOOL, drive[1].changed),
    STATE_SINCE(struct fdc, U32, moved, 2),
    STATE_SINCE(struct fdc, U32, pos, 2),
    STATE_SINCE(struct fdc, U64, place, 2),
    STATE_SINCE(struct fdc, BOOL, ended, 2),
    STATE_VARYING_SINCE(struct fdc, buffer, saved.held, BUFFER, 2),
    STATE_SINCE(struct fdc, U8, saved.op, 2),
    STATE_SINCE(struct fdc, U64, saved.offset, 2),
    STATE_SINCE(struct fdc, U32, saved.len, 2),
    STATE_SINCE(struct fdc, U64, saved.answer_at, 2),
};
static const struct state_table fdc_state = {
    .name = "fdc",
    .version = 2,
    .fields = fdc_fields,
    .count = G_N_ELEMENTS(fdc_fields),
    .before_save = fdc_before_save,
    .after_load = fdc_after_load,
};

static void fdc_free(struct device *device)
{
    struct fdc *fdc = (struct fdc *)device;
    end_transfer(fdc);
    g_free(fdc->buffer);
    g_free(fdc);
}

static const struct device_class fdc_class = {
    .name = "isa-fdc", .state = &fdc_state, .reset = fdc_reset, .free = fdc_free};

struct fdc *fdc_new(struct portio *io, const struct fdc_wiring *wiring)
{
    struct fdc *fdc = g_new0(struct fdc, 1);
    device_init(&fdc->device, &fdc_class, "fdc");
    fdc->wiring = *wiring;
    fdc->buffer = g_malloc0(BUFFER);
    for (unsigned n = 0; n < FDC_DRIVES; n++) {
        fdc->drive[n] = (struct fdc_drive){.block = wiring->drive[n], .fdc = fdc};
        if (wiring->drive[n])
            block_set_removable(wiring->drive[n], disk_changed, &fdc->drive[n]);
    }
    portio_add(io, "fdc", PORT_BASE, 6, &fdc_ops, fdc);
    portio_add(io, "fdc-dir", PORT_SECOND, 1, &fdc_ops, fdc);
    fdc_reset(&fdc->device);
    return fdc;
}
