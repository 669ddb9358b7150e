/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * IDE: see ide.h, ide_internal.h. ATA/ATAPI-6 (T13/1410D) chapters 5 to 9, Intel 82371SB (290550)
 * chapter 2.7, Programming Interface for Bus Master IDE Controller 1.0.
 *
 * What a guest can do to a transfer: read or write the data port, start and stop the bus master, reset. Each
 * step is one function (transfer_step) that moves as far as it can and leaves in `phase` what it waits for.
 * Answers of the block layer come back through request_done(), from the loop or from within block_submit().
 *
 * A PRD table is memory of the guest's: descriptors are read one at a time, each moves at least two bytes,
 * and a command moves a bounded number of them, so no table keeps us longer than its command is long. When
 * the table ends before the data does the command waits for ever, as on silicon: the guest's time-out resets
 * the channel.
 *
 * A channel without drives floats: its registers read as ones. An absent drive 1 beside a drive 0 reads
 * zeros.
 */
#include "emu/dev/ide_internal.h"

#include "emu/machine/clock.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { REG_DATA, REG_ERROR, REG_COUNT, REG_LOW, REG_MID, REG_HIGH, REG_DEVICE, REG_STATUS };
enum { CONTROL_NO_INTERRUPT = 0x02, CONTROL_RESET = 0x04, CONTROL_PREVIOUS = 0x80 };
enum { MASTER_START = 1, MASTER_TO_MEMORY = 8 };
enum { MASTER_ACTIVE = 1, MASTER_ERROR = 2, MASTER_INTERRUPT = 4, MASTER_CAPABLE = 0x60 };
enum { IDETIM = 0x40, IDETIM_SIZE = 5 }; /* timing registers and channel enables: kept, without effect */
enum { COMMAND_DEVICE_RESET = 0x08, COMMAND_DIAGNOSTIC = 0x90 };

struct ide {
    struct pci_device pci;
    struct ide_channel channel[IDE_CHANNELS];
    struct clock *slow; /* ide_slow_writes() */
};

static void transfer_step(struct ide_channel *ch);

/* ---- interrupts and ends of commands ---- */

static void update_line(struct ide_channel *ch)
{
    irq_set(&ch->irq, ch->interrupt && !(ch->control & CONTROL_NO_INTERRUPT));
}

void ide_interrupt(struct ide_channel *ch)
{
    ch->interrupt = true;
    if (!(ch->control & CONTROL_NO_INTERRUPT))
        ch->master.status |= MASTER_INTERRUPT;
    update_line(ch);
}

static void interrupt_late(void *opaque)
{
    ide_interrupt(opaque);
}

enum { SLOW_BY = 1000000 }; /* ns */

/* A DRQ block was taken, or a command has ended. */
static void interrupt_after(struct ide_drive *drive)
{
    enum { SLOW_EACH = 16 };
    struct ide_channel *ch = drive->channel;
    bool wrote = drive->kind == IDE_DISK && ch->transfer.out && !ch->transfer.dma;
    if (ch->late && wrote && ++ch->written % SLOW_EACH == 0)
        clock_timer_set(ch->late, clock_now(ch->ide->slow) + SLOW_BY);
    else
        ide_interrupt(ch);
}

void ide_done(struct ide_drive *drive)
{
    drive->channel->phase = PHASE_IDLE;
    drive->status = (uint8_t)(ST_READY | ST_SEEK | (drive->status & ST_ERR));
    interrupt_after(drive);
}

void ide_abort(struct ide_drive *drive, uint8_t error)
{
    drive->error = error;
    drive->status = ST_ERR;
    ide_done(drive);
}

static void finish(struct ide_drive *drive, int error)
{
    if (drive->kind == IDE_CD)
        atapi_finish(drive, error);
    else
        disk_finish(drive, error);
}

/* ---- bus master ---- */

/* Bytes that fit into the current descriptor; 0: the table has come to its end. */
static uint32_t descriptor_run(struct ide_channel *ch)
{
    if (ch->master.left)
        return ch->master.left;
    if (ch->master.fresh) {
        ch->master.fresh = ch->master.last = false;
        ch->master.at = ch->master.table;
    } else if (ch->master.last) {
        return 0;
    }
    uint8_t raw[8];
    pci_dma_read(&ch->ide->pci, ch->master.at, raw, sizeof raw);
    uint32_t count = (uint32_t)(raw[4] | raw[5] << 8) & 0xfffe;
    ch->master.address =
        ((uint32_t)raw[0] | (uint32_t)raw[1] << 8 | (uint32_t)raw[2] << 16 | (uint32_t)raw[3] << 24) & ~1u;
    ch->master.left = count ? count : 0x10000;
    ch->master.last = raw[7] & 0x80;
    /* A table does not cross 64 KiB; the counter behind it has 16 bits. */
    ch->master.at = (ch->master.at & 0xffff0000) | ((ch->master.at + 8) & 0xffff);
    trace(IDE, "ide%u: PRD %08x + %x%s", ch->n, ch->master.address, ch->master.left,
          ch->master.last ? ", last" : "");
    return ch->master.left;
}

/* Moves buffer[pos…end) through the table. False: the table ended before. */
static bool master_move(struct ide_channel *ch)
{
    struct ide_transfer *t = &ch->transfer;
    while (t->pos < t->end) {
        uint32_t run = MIN(descriptor_run(ch), t->end - t->pos);
        if (!run)
            return false;
        if (t->out)
            pci_dma_read(&ch->ide->pci, ch->master.address, ch->buffer + t->pos, run);
        else
            pci_dma_write(&ch->ide->pci, ch->master.address, ch->buffer + t->pos, run);
        t->pos += run;
        ch->master.address += run;
        ch->master.left -= run;
    }
    return true;
}

static void master_command(struct ide_channel *ch, uint8_t value)
{
    bool before = ch->master.command & MASTER_START;
    ch->master.command = value & (MASTER_START | MASTER_TO_MEMORY);
    if (!before && value & MASTER_START) {
        ch->master.status |= MASTER_ACTIVE;
        ch->master.fresh = true;
        ch->master.left = 0;
        if (ch->phase == PHASE_DMA)
            transfer_step(ch);
    } else if (before && !(value & MASTER_START)) {
        ch->master.status &= (uint8_t)~MASTER_ACTIVE;
    }
}

static uint32_t master_read(void *opaque, uint16_t port, unsigned size)
{
    struct ide *ide = opaque;
    unsigned reg = port & 15;
    const struct ide_channel *ch = &ide->channel[reg >> 3];
    reg &= 7;
    if (size == 4 || reg >= 4)
        return reg < 4 ? (uint32_t)(ch->master.command | ch->master.status << 16)
                       : ch->master.table >> 8 * (reg & 3);
    uint32_t value = (uint32_t)(ch->master.command | ch->master.status << 16);
    return value >> 8 * reg;
}

static void master_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct ide *ide = opaque;
    for (unsigned i = 0; i < size; i++) {
        unsigned reg = (port + i) & 15;
        struct ide_channel *ch = &ide->channel[reg >> 3];
        uint8_t byte = (uint8_t)(value >> 8 * i);
        reg &= 7;
        if (reg == 0) {
            master_command(ch, byte);
        } else if (reg == 2) {
            ch->master.status = (uint8_t)((ch->master.status & MASTER_ACTIVE) | (byte & MASTER_CAPABLE) |
                                          (ch->master.status & (MASTER_ERROR | MASTER_INTERRUPT) & ~byte));
        } else if (reg >= 4) {
            unsigned shift = 8 * (reg & 3);
            ch->master.table = (ch->master.table & ~(0xffu << shift)) | (uint32_t)byte << shift;
            ch->master.table &= ~3u;
        }
    }
}

static const struct portio_ops master_ops = {.read = master_read, .write = master_write, .max_size = 4};

/* ---- transfers ---- */

static void submit(struct ide_drive *drive, enum block_op op, uint8_t *buf, uint64_t offset, uint32_t len);

enum { RAW_HEAD = 16, RAW_DATA = 2048 }; /* of a raw sector of a CD: sync and header, then the medium's */

static uint32_t smallest_read(const struct ide_drive *drive)
{
    return drive->kind == IDE_CD ? 2048 : BLOCK_SECTOR;
}

static void request_done(void *opaque, int error)
{
    struct ide_channel *ch = opaque;
    struct ide_drive *drive = ide_selected(ch);
    struct ide_transfer *t = &ch->transfer;
    if (ch->phase != PHASE_HOST)
        return;
    ch->phase = PHASE_IDLE;
    bool data = ch->request.op == BLOCK_READ || ch->request.op == BLOCK_WRITE;
    if (!error && t->trim) {
        disk_trim(drive);
        return;
    }
    uint32_t unit = smallest_read(drive);
    if (error && error != ENOMEDIUM && ch->request.narrows) {
        /* What comes before the sector that cannot be read is for the guest, and which one it is, too. */
        uint32_t half = ch->request.len / 2 / unit * unit;
        submit(drive, BLOCK_READ, ch->request.buf, ch->request.offset, MAX(half, unit));
        return;
    }
    if (error || !data) {
        if (error)
            trace(IDE, "ide%u.%u: host I/O: %s", ch->n, ch->unit, g_strerror(error));
        t->left = 0;
        t->pos = t->end = 0;
        finish(drive, error);
        return;
    }
    t->offset += ch->request.len;
    t->left -= ch->request.len;
    if (ch->request.op == BLOCK_READ) {
        t->pos = 0;
        t->end = ch->request.len;
        if (t->raw) { /* sync, header, data, and no error correction: what programs that read raw check */
            uint32_t frame = (uint32_t)((t->offset - ch->request.len) / 2048) + 150;
            uint8_t *p = ch->buffer;
            memset(p + 1, 0xff, 10);
            p[0] = p[11] = 0;
            p[12] = (uint8_t)(frame / 75 / 60 % 100 / 10 << 4 | frame / 75 / 60 % 10);
            p[13] = (uint8_t)(frame / 75 % 60 / 10 << 4 | frame / 75 % 60 % 10);
            p[14] = (uint8_t)(frame % 75 / 10 << 4 | frame % 75 % 10);
            p[15] = 1;
            memset(p + 16 + 2048, 0, 288);
            t->end = 2352;
        }
    } else {
        t->pos = t->end = 0;
    }
    transfer_step(ch);
}

static void prepare(struct ide_drive *drive, enum block_op op, uint8_t *buf, uint64_t offset, uint32_t len)
{
    struct ide_channel *ch = drive->channel;
    ch->phase = PHASE_HOST;
    drive->status = ST_BUSY;
    ch->request = (struct block_request){
        .op = op, .offset = offset, .len = len, .buf = buf, .done = request_done, .opaque = ch};
    ch->request.narrows = op == BLOCK_READ && len > smallest_read(drive);
}

static void submit(struct ide_drive *drive, enum block_op op, uint8_t *buf, uint64_t offset, uint32_t len)
{
    prepare(drive, op, buf, offset, len);
    block_submit(drive->block, &drive->channel->request);
}

/* One DRQ block is ready to be read or written by the guest. */
static void offer_block(struct ide_drive *drive, bool interrupt)
{
    struct ide_channel *ch = drive->channel;
    struct ide_transfer *t = &ch->transfer;
    uint32_t room = t->out ? (uint32_t)MIN(t->left, (uint64_t)IDE_BUFFER) - t->end : t->end - t->pos;
    uint32_t len = MIN(t->block, room);
    t->drq_end = (t->out ? t->end : t->pos) + len;
    ch->phase = t->out ? PHASE_OUT : PHASE_IN;
    drive->status = ST_READY | ST_SEEK | ST_DRQ;
    if (drive->kind == IDE_CD)
        atapi_data_ready(drive, len);
    if (interrupt)
        interrupt_after(drive);
}

static void step_in(struct ide_drive *drive)
{
    struct ide_channel *ch = drive->channel;
    struct ide_transfer *t = &ch->transfer;
    if (t->pos < t->end) {
        if (!t->dma) {
            offer_block(drive, true);
            return;
        }
        if (!(ch->master.command & MASTER_START) || !master_move(ch)) {
            ch->phase = PHASE_DMA;
            drive->status = ST_READY | ST_SEEK | ST_DRQ;
            if (ch->master.command & MASTER_START)
                ch->master.status &= (uint8_t)~MASTER_ACTIVE;
            return;
        }
    }
    if (t->left && t->raw)
        submit(drive, BLOCK_READ, ch->buffer + RAW_HEAD, t->offset, RAW_DATA);
    else if (t->left)
        submit(drive, BLOCK_READ, ch->buffer, t->offset, (uint32_t)MIN(t->left, (uint64_t)IDE_BUFFER));
    else
        finish(drive, 0);
}

static void step_out(struct ide_drive *drive)
{
    struct ide_channel *ch = drive->channel;
    struct ide_transfer *t = &ch->transfer;
    uint32_t piece = (uint32_t)MIN(t->left, (uint64_t)IDE_BUFFER);
    if (!t->left) {
        if (t->flush) {
            t->flush = false;
            submit(drive, BLOCK_FLUSH, NULL, 0, 0);
        } else {
            finish(drive, 0);
        }
        return;
    }
    if (t->dma) {
        t->end = piece;
        if (!(ch->master.command & MASTER_START) || !master_move(ch)) {
            ch->phase = PHASE_DMA;
            drive->status = ST_READY | ST_SEEK | ST_DRQ;
            if (ch->master.command & MASTER_START)
                ch->master.status &= (uint8_t)~MASTER_ACTIVE;
            return;
        }
    } else if (t->end < piece) {
        offer_block(drive, true);
        return;
    }
    if (t->trim) {
        t->pos = 0;
        disk_trim(drive);
        return;
    }
    submit(drive, BLOCK_WRITE, ch->buffer, t->offset, piece);
}

static void transfer_step(struct ide_channel *ch)
{
    if (ch->transfer.out)
        step_out(ide_selected(ch));
    else
        step_in(ide_selected(ch));
}

void ide_transfer_start(struct ide_drive *drive, const struct ide_transfer *transfer)
{
    struct ide_channel *ch = drive->channel;
    ch->transfer = *transfer;
    if (transfer->out && !transfer->dma)
        offer_block(drive, drive->kind == IDE_CD); /* the first block of a disk is asked for by DRQ alone */
    else
        transfer_step(ch);
}

void ide_host_request(struct ide_drive *drive, enum block_op op, uint64_t offset, uint64_t len)
{
    if (!drive->channel->transfer.trim)
        drive->channel->transfer = (struct ide_transfer){0};
    submit(drive, op, NULL, offset, (uint32_t)MIN(len, (uint64_t)G_MAXUINT32 & ~511u));
}

/* ---- data port ---- */

static uint32_t data_read(void *opaque, uint16_t port, unsigned size)
{
    struct ide_channel *ch = opaque;
    struct ide_transfer *t = &ch->transfer;
    if (ch->phase != PHASE_IN)
        return 0;
    uint32_t value = 0;
    if (t->drq_end - t->pos < size)
        size = t->drq_end - t->pos;
    memcpy(&value, ch->buffer + t->pos, size);
    t->pos += size;
    if (t->pos == t->drq_end) {
        ide_selected(ch)->status &= (uint8_t)~ST_DRQ;
        ch->phase = PHASE_IDLE;
        transfer_step(ch);
    }
    return value;
}

static void data_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct ide_channel *ch = opaque;
    struct ide_drive *drive = ide_selected(ch);
    struct ide_transfer *t = &ch->transfer;
    if (ch->phase == PHASE_PACKET) {
        for (unsigned i = 0; i < size && t->pos < IDE_PACKET; i++)
            drive->packet[t->pos++] = (uint8_t)(value >> 8 * i);
        if (t->pos == IDE_PACKET) {
            ch->phase = PHASE_IDLE;
            atapi_packet(drive);
        }
        return;
    }
    if (ch->phase != PHASE_OUT)
        return;
    size = MIN(size, t->drq_end - t->end);
    memcpy(ch->buffer + t->end, &value, size);
    t->end += size;
    if (t->end == t->drq_end) {
        drive->status &= (uint8_t)~ST_DRQ;
        ch->phase = PHASE_IDLE;
        transfer_step(ch);
    }
}

static const struct portio_ops data_ops = {.read = data_read, .write = data_write, .max_size = 4};

/* ---- command block ---- */

static bool floats(const struct ide_channel *ch)
{
    return ch->drive[0].kind == IDE_NONE && ch->drive[1].kind == IDE_NONE;
}

static void end_transfer(struct ide_channel *ch)
{
    for (unsigned u = 0; u < IDE_UNITS; u++)
        if (ch->drive[u].block)
            block_cancel(ch->drive[u].block, &ch->request);
    ch->phase = PHASE_IDLE;
    ch->transfer = (struct ide_transfer){0};
    if (ch->late)
        clock_timer_cancel(ch->late);
}

void ide_set_signature(struct ide_drive *drive)
{
    bool cd = drive->kind == IDE_CD;
    drive->now = (struct ide_registers){.count = 1, .low = 1, .mid = cd ? 0x14 : 0, .high = cd ? 0xeb : 0};
    drive->error = 1;
    drive->status = cd ? 0 : ST_READY | ST_SEEK;
}

static void drive_reset(struct ide_drive *drive)
{
    drive->previous = (struct ide_registers){0};
    drive->device = 0;
    drive->command = 0;
    if (drive->kind == IDE_CD)
        atapi_reset(drive);
    else if (drive->kind == IDE_DISK)
        disk_reset(drive);
    if (drive->kind != IDE_NONE)
        ide_set_signature(drive);
}

static void channel_reset(struct ide_channel *ch)
{
    end_transfer(ch);
    ch->unit = 0;
    ch->interrupt = false;
    for (unsigned u = 0; u < IDE_UNITS; u++)
        drive_reset(&ch->drive[u]);
    update_line(ch);
}

static void run_command(struct ide_channel *ch, uint8_t command)
{
    struct ide_drive *drive = ide_selected(ch);
    trace(IDE, "ide%u.%u: command %02x feature %02x count %02x lba %02x %02x %02x device %02x", ch->n,
          ch->unit, command, drive->now.feature, drive->now.count, drive->now.high, drive->now.mid,
          drive->now.low, drive->device);
    ch->interrupt = false;
    update_line(ch);
    if (command == COMMAND_DIAGNOSTIC) {
        end_transfer(ch);
        for (unsigned u = 0; u < IDE_UNITS; u++)
            if (ch->drive[u].kind != IDE_NONE)
                ide_set_signature(&ch->drive[u]);
        ch->unit = 0;
        ide_interrupt(ch);
        return;
    }
    if (drive->kind == IDE_NONE)
        return;
    if (command == COMMAND_DEVICE_RESET && drive->kind == IDE_CD) {
        end_transfer(ch);
        atapi_reset(drive);
        ide_set_signature(drive);
        return;
    }
    if (drive->status & ST_BUSY)
        return;
    if (ch->phase != PHASE_IDLE)
        end_transfer(ch);
    ch->transfer = (struct ide_transfer){0};
    drive->command = command;
    drive->error = 0;
    drive->status = ST_READY | ST_SEEK;
    if (drive->kind == IDE_CD)
        atapi_command(drive, command);
    else
        disk_command(drive, command);
}

static uint32_t block_read(void *opaque, uint16_t port, unsigned size)
{
    struct ide_channel *ch = opaque;
    struct ide_drive *drive = ide_selected(ch);
    const struct ide_registers *r = ch->control & CONTROL_PREVIOUS ? &drive->previous : &drive->now;
    if (floats(ch))
        return 0xff;
    if (drive->kind == IDE_NONE)
        return (port & 7) == REG_DEVICE ? 0xa0u | ch->unit << 4 : 0;
    switch (port & 7) {
    case REG_ERROR:
        return ch->control & CONTROL_PREVIOUS ? r->feature : drive->error;
    case REG_COUNT:
        return r->count;
    case REG_LOW:
        return r->low;
    case REG_MID:
        return r->mid;
    case REG_HIGH:
        return r->high;
    case REG_DEVICE:
        return (drive->device & ~DEVICE_UNIT) | 0xa0u | ch->unit << 4;
    case REG_STATUS:
        ch->interrupt = false;
        update_line(ch);
        return drive->status;
    }
    return 0;
}

/* Those that remember what they were before, for LBA48; NULL: another one. */
static uint8_t *task_register(struct ide_registers *r, unsigned number)
{
    switch (number) {
    case REG_ERROR:
        return &r->feature;
    case REG_COUNT:
        return &r->count;
    case REG_LOW:
        return &r->low;
    case REG_MID:
        return &r->mid;
    case REG_HIGH:
        return &r->high;
    default: /* data, device, command */
        return NULL;
    }
}

static void block_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct ide_channel *ch = opaque;
    uint8_t byte = (uint8_t)value;
    ch->control &= (uint8_t)~CONTROL_PREVIOUS;
    if ((port & 7) == REG_STATUS) {
        run_command(ch, byte);
        return;
    }
    if ((ch->drive[0].status | ch->drive[1].status) & ST_BUSY)
        return;
    for (unsigned u = 0; u < IDE_UNITS; u++) { /* both drives hear it */
        struct ide_drive *drive = &ch->drive[u];
        uint8_t *now = task_register(&drive->now, port & 7);

        if (now) {
            *task_register(&drive->previous, port & 7) = *now;
            *now = byte;
        } else if ((port & 7) == REG_DEVICE) {
            drive->device = byte;
        }
    }
    if ((port & 7) == REG_DEVICE && ch->phase == PHASE_IDLE)
        ch->unit = (byte & DEVICE_UNIT) != 0;
}

static const struct portio_ops block_ops = {.read = block_read, .write = block_write};

static uint32_t control_read(void *opaque, uint16_t port, unsigned size)
{
    struct ide_channel *ch = opaque;
    return floats(ch) ? 0xff : ide_selected(ch)->status;
}

static void control_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct ide_channel *ch = opaque;
    bool before = ch->control & CONTROL_RESET, now = value & CONTROL_RESET;
    ch->control = (uint8_t)value;
    if (!before && now) {
        trace(IDE, "ide%u: soft reset", ch->n);
        end_transfer(ch);
        for (unsigned u = 0; u < IDE_UNITS; u++)
            if (ch->drive[u].kind != IDE_NONE)
                ch->drive[u].status = ST_BUSY;
        ch->interrupt = false;
    } else if (before && !now) {
        channel_reset(ch);
    }
    update_line(ch);
}

static const struct portio_ops control_ops = {.read = control_read, .write = control_write};

/* ---- what both kinds of drives share ---- */

void ide_identify_text(uint8_t *identify, unsigned word, unsigned words, const char *text)
{
    size_t len = strlen(text);
    for (unsigned i = 0; i < 2 * words; i++)
        identify[2 * word + (i ^ 1)] = (uint8_t)(i < len ? text[i] : ' ');
}

bool ide_set_transfer_mode(struct ide_drive *drive, uint8_t mode)
{
    unsigned n = mode & 7;
    switch (mode >> 3) {
    case 0: /* PIO default */
    case 1: /* PIO with flow control */
        return n <= 4;
    case 4: /* multiword DMA */
        if (n > 2)
            return false;
        drive->mwdma = (uint8_t)(1u << n);
        drive->udma = 0;
        return true;
    case 8: /* ultra DMA */
        if (n > 5)
            return false;
        drive->udma = (uint8_t)(1u << n);
        drive->mwdma = 0;
        return true;
    }
    return false;
}

/* ---- device ---- */

static void ide_reset(struct device *device)
{
    struct ide *ide = (struct ide *)device;
    pci_device_reset(&ide->pci);
    pci_set16(&ide->pci, PCI_STATUS, 0x0280);
    memset(ide->pci.config + IDETIM, 0, IDETIM_SIZE);
    for (unsigned n = 0; n < IDE_CHANNELS; n++) {
        struct ide_channel *ch = &ide->channel[n];
        ch->control = 0;
        memset(&ch->master, 0, sizeof ch->master);
        channel_reset(ch);
        for (unsigned u = 0; u < IDE_UNITS; u++) {
            struct ide_drive *drive = &ch->drive[u];
            drive->mwdma = 0;
            drive->udma = 1u << 5; /* as a firmware leaves it, for there may be none */
            drive->multiple = IDE_MULTIPLE_MOST;
            drive->visible = 0;
            drive->smart = true;
            drive->write_cache =
                drive->block && block_write_cache(drive->block) && !drive->identity.no_write_cache;
            drive->locked = false;
            if (drive->kind == IDE_CD) {
                block_lock_tray(drive->block, false);
                drive->attention = 0;
                drive->media_event = 0;
            }
        }
    }
}

/*
 * Which channels are enabled outlives S3: firmware says it at power-on alone, and Linux, which does not put
 * these registers back either, takes a channel that is not enabled for one that is not there.
 */
static void ide_wake(struct device *device)
{
    struct ide *ide = (struct ide *)device;
    uint8_t kept[IDETIM_SIZE];
    memcpy(kept, ide->pci.config + IDETIM, sizeof kept);
    ide_reset(device);
    memcpy(ide->pci.config + IDETIM, kept, sizeof kept);
}

static uint64_t saved_time(int64_t deadline)
{
    return deadline == CLOCK_NEVER ? 0 : (uint64_t)MAX(deadline, 1);
}

/* What the host still has to do is waited for, but for what is answered at a time of the guest's
 * (block_settle). */
static void ide_before_save(void *device)
{
    struct ide *ide = device;
    for (unsigned n = 0; n < IDE_CHANNELS; n++)
        for (unsigned u = 0; u < IDE_UNITS; u++)
            if (ide->channel[n].drive[u].block)
                block_settle(ide->channel[n].drive[u].block);
    for (unsigned n = 0; n < IDE_CHANNELS; n++) {
        struct ide_channel *ch = &ide->channel[n];
        const struct ide_transfer *t = &ch->transfer;
        bool data = ch->phase == PHASE_IN || ch->phase == PHASE_OUT || ch->phase == PHASE_DMA;
        memset(&ch->saved, 0, sizeof ch->saved);
        ch->saved.held = data || t->trim ? MIN(t->end, (uint32_t)IDE_BUFFER) : 0;
        ch->saved.late_at = ch->late ? saved_time(clock_timer_deadline(ch->late)) : 0;
        if (ch->phase != PHASE_HOST)
            continue;
        ch->saved.op = (uint8_t)ch->request.op;
        ch->saved.offset = ch->request.offset;
        ch->saved.len = ch->request.len;
        ch->saved.answer_at = saved_time(block_answer_time(ide_selected(ch)->block));
        if (ch->request.op == BLOCK_WRITE)
            ch->saved.held = ch->request.len;
    }
}

/* A request that is answered at a time of the guest's. */
static bool request_is_sane(const struct ide_channel *ch)
{
    const struct ide_transfer *t = &ch->transfer;
    const struct ide_drive *drive = &ch->drive[ch->unit];
    uint32_t len = ch->saved.len;
    if (drive->kind == IDE_NONE || !block_is_steady(drive->block) || !ch->saved.answer_at)
        return false;
    if (t->trim && (drive->kind != IDE_DISK || t->end > ch->saved.held || t->pos > t->end ||
                    (t->end | t->pos) % sizeof(uint64_t)))
        return false;
    bool data = len && !(len % BLOCK_SECTOR) && len <= t->left && len <= IDE_BUFFER && t->block && !t->trim &&
                ch->saved.offset == t->offset;
    switch (ch->saved.op) {
    case BLOCK_READ:
        return data && !t->out && (!t->raw || (drive->kind == IDE_CD && len == RAW_DATA));
    case BLOCK_WRITE:
        return data && t->out && drive->kind == IDE_DISK && len <= ch->saved.held;
    case BLOCK_FLUSH:
        return true;
    case BLOCK_DISCARD:
        return drive->kind == IDE_DISK;
    }
    return false;
}

/* The request that was in flight, anew. */
static void resume(struct ide_channel *ch)
{
    struct ide_drive *drive = ide_selected(ch);
    enum block_op op = (enum block_op)ch->saved.op;
    uint8_t *buf = op == BLOCK_WRITE  ? ch->buffer
                   : op != BLOCK_READ ? NULL
                                      : ch->buffer + (ch->transfer.raw ? RAW_HEAD : 0);
    prepare(drive, op, buf, ch->saved.offset, ch->saved.len);
    block_submit_for(drive->block, &ch->request, (int64_t)MIN(ch->saved.answer_at, (uint64_t)INT64_MAX));
}

static bool transfer_is_sane(const struct ide_channel *ch)
{
    const struct ide_transfer *t = &ch->transfer;
    const struct ide_drive *drive = &ch->drive[ch->unit];
    if (ch->phase == PHASE_IDLE)
        return true;
    if (ch->phase == PHASE_PACKET)
        return drive->kind == IDE_CD && t->pos < IDE_PACKET;
    if (ch->phase == PHASE_HOST)
        return request_is_sane(ch);
    if (t->end > ch->saved.held)
        return false;
    uint64_t size = drive->block ? block_size(drive->block) : 0;
    bool numbers = t->pos <= t->end && t->end <= IDE_BUFFER && t->drq_end <= IDE_BUFFER && t->block &&
                   !(t->offset % BLOCK_SECTOR) && !(t->left % BLOCK_SECTOR) && t->offset <= size &&
                   t->left <= size - t->offset;
    if (t->trim && (!t->out || !t->dma || t->offset || t->left > IDE_BUFFER))
        return false;
    if (t->out)
        return numbers && (ch->phase == PHASE_OUT || ch->phase == PHASE_DMA) && drive->kind == IDE_DISK &&
               t->left && t->drq_end <= t->left && t->end <= t->left &&
               (ch->phase == PHASE_DMA || t->end < t->drq_end);
    return numbers && drive->kind != IDE_NONE &&
           (ch->phase == PHASE_IN ? t->pos < t->drq_end && t->drq_end <= t->end : ch->phase == PHASE_DMA);
}

static bool ide_after_load(void *device, GError **error)
{
    struct ide *ide = device;
    for (unsigned n = 0; n < IDE_CHANNELS; n++) {
        struct ide_channel *ch = &ide->channel[n];
        ch->unit &= 1;
        for (unsigned u = 0; u < IDE_UNITS; u++)
            if (ch->drive[u].block)
                block_cancel(ch->drive[u].block, &ch->request);
        ch->request = (struct block_request){0};
        if (!transfer_is_sane(ch)) { /* the guest's time-out takes care of it */
            ch->phase = PHASE_IDLE;
            ch->transfer = (struct ide_transfer){0};
        }
        for (unsigned u = 0; u < IDE_UNITS; u++) {
            struct ide_drive *drive = &ch->drive[u];
            if (!(ch->phase == PHASE_HOST && u == ch->unit) && !(ch->control & CONTROL_RESET))
                drive->status &= (uint8_t)~ST_BUSY;
            drive->multiple = MIN(drive->multiple, IDE_MULTIPLE_MOST);
            if (drive->block && drive->visible > block_size(drive->block) / BLOCK_SECTOR)
                drive->visible = 0;
        }
    }
    if (!pci_after_load(&ide->pci, error))
        return false;
    for (unsigned n = 0; n < IDE_CHANNELS; n++) {
        struct ide_channel *ch = &ide->channel[n];
        if (ch->phase == PHASE_HOST)
            resume(ch);
        if (ch->late) {
            uint64_t latest = (uint64_t)clock_now(ide->slow) + SLOW_BY;
            clock_timer_set(ch->late,
                            ch->saved.late_at ? (int64_t)MIN(ch->saved.late_at, latest) : CLOCK_NEVER);
        } else if (ch->saved.late_at) {
            ide_interrupt(ch);
        }
        update_line(ch);
    }
    return true;
}

#define IDE_REGISTER_STATE(member)                                                                           \
    STATE(struct ide, U8, member.feature), STATE(struct ide, U8, member.count),                              \
        STATE(struct ide, U8, member.low), STATE(struct ide, U8, member.mid),                                \
        STATE(struct ide, U8, member.high)
#define IDE_DRIVE_STATE(n, u)                                                                                \
    IDE_REGISTER_STATE(channel[n].drive[u].now), IDE_REGISTER_STATE(channel[n].drive[u].previous),           \
        STATE(struct ide, U8, channel[n].drive[u].status), STATE(struct ide, U8, channel[n].drive[u].error), \
        STATE(struct ide, U8, channel[n].drive[u].device),                                                   \
        STATE(struct ide, U8, channel[n].drive[u].command),                                                  \
        STATE(struct ide, U8, channel[n].drive[u].multiple),                                                 \
        STATE(struct ide, U8, channel[n].drive[u].heads),                                                    \
        STATE(struct ide, U8, channel[n].drive[u].sectors),                                                  \
        STATE(struct ide, U8, channel[n].drive[u].mwdma), STATE(struct ide, U8, channel[n].drive[u].udma),   \
        STATE(struct ide, BOOL, channel[n].drive[u].write_cache),                                            \
        STATE(struct ide, BOOL, channel[n].drive[u].smart),                                                  \
        STATE(struct ide, U64, channel[n].drive[u].visible),                                                 \
        STATE(struct ide, BOOL, channel[n].drive[u].native_read),                                            \
        STATE_ARRAY(struct ide, BYTES, channel[n].drive[u].packet),                                          \
        STATE(struct ide, U8, channel[n].drive[u].sense_key),                                                \
        STATE(struct ide, U8, channel[n].drive[u].sense_code),                                               \
        STATE(struct ide, U8, channel[n].drive[u].sense_qualifier),                                          \
        STATE(struct ide, U8, channel[n].drive[u].attention),                                                \
        STATE(struct ide, U8, channel[n].drive[u].media_event),                                              \
        STATE_SINCE(struct ide, U32, channel[n].drive[u].sense_sector, 3),                                   \
        STATE(struct ide, BOOL, channel[n].drive[u].locked)
#define IDE_CHANNEL_STATE(n)                                                                                 \
    IDE_DRIVE_STATE(n, 0), IDE_DRIVE_STATE(n, 1), STATE(struct ide, U8, channel[n].unit),                    \
        STATE(struct ide, U8, channel[n].control), STATE(struct ide, BOOL, channel[n].interrupt),            \
        STATE(struct ide, U8, channel[n].phase), STATE(struct ide, BOOL, channel[n].transfer.out),           \
        STATE(struct ide, BOOL, channel[n].transfer.dma), STATE(struct ide, BOOL, channel[n].transfer.raw),  \
        STATE_SINCE(struct ide, BOOL, channel[n].transfer.trim, 2),                                          \
        STATE(struct ide, BOOL, channel[n].transfer.flush),                                                  \
        STATE(struct ide, U64, channel[n].transfer.offset),                                                  \
        STATE(struct ide, U64, channel[n].transfer.left), STATE(struct ide, U32, channel[n].transfer.block), \
        STATE(struct ide, U32, channel[n].transfer.drq_end),                                                 \
        STATE(struct ide, U32, channel[n].transfer.pos), STATE(struct ide, U32, channel[n].transfer.end),    \
        STATE(struct ide, U8, channel[n].master.command), STATE(struct ide, U8, channel[n].master.status),   \
        STATE(struct ide, U32, channel[n].master.table), STATE(struct ide, U32, channel[n].master.at),       \
        STATE(struct ide, U32, channel[n].master.address), STATE(struct ide, U32, channel[n].master.left),   \
        STATE(struct ide, BOOL, channel[n].master.last), STATE(struct ide, BOOL, channel[n].master.fresh),   \
        STATE_SINCE(struct ide, U8, channel[n].written, 4),                                                  \
        STATE_VARYING_SINCE(struct ide, channel[n].buffer, channel[n].saved.held, IDE_BUFFER, 5),            \
        STATE_SINCE(struct ide, U8, channel[n].saved.op, 5),                                                 \
        STATE_SINCE(struct ide, U64, channel[n].saved.offset, 5),                                            \
        STATE_SINCE(struct ide, U32, channel[n].saved.len, 5),                                               \
        STATE_SINCE(struct ide, U64, channel[n].saved.answer_at, 5),                                         \
        STATE_SINCE(struct ide, U64, channel[n].saved.late_at, 5)

static const struct state_field ide_fields[] = {PCI_STATE_ROWS(struct ide), IDE_CHANNEL_STATE(0),
                                                IDE_CHANNEL_STATE(1)};
static const struct state_table ide_state = {
    .name = "ide",
    .version = 5,
    .fields = ide_fields,
    .count = G_N_ELEMENTS(ide_fields),
    .before_save = ide_before_save,
    .after_load = ide_after_load,
};

static void ide_free(struct device *device)
{
    struct ide *ide = (struct ide *)device;
    for (unsigned n = 0; n < IDE_CHANNELS; n++) {
        end_transfer(&ide->channel[n]);
        munmap(ide->channel[n].buffer, IDE_BUFFER);
        clock_timer_free(ide->channel[n].late);
    }
    pci_device_remove(&ide->pci);
    g_free(ide);
}

static const struct device_class ide_class = {
    .name = "piix3-ide", .state = &ide_state, .reset = ide_reset, .wake = ide_wake, .free = ide_free};

enum ide_kind ide_kind(const struct ide *ide, unsigned channel, unsigned unit)
{
    return ide->channel[channel & 1].drive[unit & 1].kind;
}

static void make_channel(struct ide *ide, unsigned n, struct portio *io, const struct irq_line *irq,
                         const struct ide_plug drives[IDE_UNITS])
{
    static const uint16_t block_port[] = {0x1f0, 0x170}, control_port[] = {0x3f6, 0x376};
    struct ide_channel *ch = &ide->channel[n];
    ch->ide = ide;
    ch->n = (uint8_t)n;
    ch->irq = *irq;
    /* Aligned as O_DIRECT wants it, of zeros, and not there until it is used. */
    ch->buffer = mmap(NULL, IDE_BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ch->buffer == MAP_FAILED)
        g_error("no memory for a channel's buffer of %u KiB", IDE_BUFFER >> 10);
    for (unsigned u = 0; u < IDE_UNITS; u++) {
        struct ide_drive *drive = &ch->drive[u];
        drive->kind = drives[u].kind;
        drive->block = drives[u].block;
        drive->channel = ch;
        drive->unit = (uint8_t)u;
        drive->identity = drives[u].identity;
        if (!*drive->identity.serial)
            g_snprintf(drive->identity.serial, sizeof drive->identity.serial, "NL%05u", 2 * n + u + 1);
        if (drive->kind == IDE_CD) {
            block_set_removable(drive->block, atapi_medium_changed, drive);
            block_set_tray(drive->block, atapi_eject_asked, drive);
        }
    }
    portio_add(io, "ide-data", block_port[n], 4, &data_ops, ch);
    portio_add(io, "ide", (uint16_t)(block_port[n] + 1), 7, &block_ops, ch);
    portio_add(io, "ide-control", control_port[n], 1, &control_ops, ch);
}

struct ide *ide_new(struct pci_bus *bus, struct portio *io, int slot, const struct irq_line irq[IDE_CHANNELS],
                    const struct ide_plug drives[IDE_CHANNELS][IDE_UNITS], GError **error)
{
    struct ide *ide = g_new0(struct ide, 1);
    if (!pci_device_init(&ide->pci, bus, &ide_class, "ide", slot, 1, 0x8086, 0x7010, 0x010180, 0, error)) {
        g_free(ide);
        return NULL;
    }
    memset(ide->pci.wmask + IDETIM, 0xff, IDETIM_SIZE);
    pci_add_io_bar(&ide->pci, 4, 16, &master_ops, ide);
    for (unsigned n = 0; n < IDE_CHANNELS; n++)
        make_channel(ide, n, io, &irq[n], drives[n]);
    ide_reset(&ide->pci.device);
    return ide;
}

void ide_slow_writes(struct ide *ide, struct clock *clock)
{
    ide->slow = clock;
    for (unsigned n = 0; n < IDE_CHANNELS; n++)
        ide->channel[n].late = clock_timer_new(clock, interrupt_late, &ide->channel[n]);
}
