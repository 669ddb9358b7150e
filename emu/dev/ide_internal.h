/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * IDE from the inside. ide.c has the function, the registers and the transfer of data; ide_disk.c the
 * commands of disks; atapi.c those of CD-ROMs.
 *
 * One command is in progress on a channel. Its data, if any, is a transfer (struct ide_transfer): bytes
 * [offset, offset + left) of the medium, by way of the channel's buffer, in DRQ blocks (PIO) or through the
 * PRD table (DMA). What came last calls finish() of the drive's kind.
 */
#pragma once

#include "emu/dev/ide.h"
#include "emu/trace.h"

enum { IDE_BUFFER = 512 << 10, IDE_PACKET = 12, IDE_MULTIPLE_MOST = 16 };

enum { /* status */
       ST_ERR = 0x01,
       ST_DRQ = 0x08,
       ST_SEEK = 0x10,
       ST_FAULT = 0x20,
       ST_READY = 0x40,
       ST_BUSY = 0x80,
};
enum { /* error */
       ERR_ABORT = 0x04,
       ERR_NOT_FOUND = 0x10,
       ERR_UNCORRECTABLE = 0x40,
};
enum { DEVICE_LBA = 0x40, DEVICE_UNIT = 0x10, DEVICE_HEAD = 0x0f };
enum { REASON_COMMAND = 1, REASON_IN = 2 }; /* sector count register of a packet command */

/* The register file of one drive: what was written last, and (`previous`) what was written before that. */
struct ide_registers {
    uint8_t feature, count, low, mid, high;
};

struct ide_drive {
    enum ide_kind kind;
    struct block *block;
    struct ide_channel *channel;
    uint8_t unit;
    struct ide_identity identity;

    struct ide_registers now, previous;
    uint8_t status, error, device;
    uint8_t command;        /* in progress, or the last */
    uint8_t multiple;       /* sectors a DRQ block of READ MULTIPLE; 0: off */
    uint8_t heads, sectors; /* of INITIALIZE DEVICE PARAMETERS */
    uint8_t mwdma, udma;    /* mode in force: bit of it, 0: none */
    bool write_cache, smart;
    uint64_t visible; /* sectors a guest may use (SET MAX); 0: all */
    bool native_read; /* READ NATIVE MAX came right before */

    /* CD */
    uint8_t packet[IDE_PACKET];
    uint8_t sense_key, sense_code, sense_qualifier;
    uint32_t sense_sector; /* with SENSE_MEDIUM: the one that could not be read */
    uint8_t attention;     /* unit attention to be reported: its additional sense code, 0: none */
    uint8_t media_event;   /* GET EVENT STATUS NOTIFICATION: 0 none, 1 eject asked, 2 new, 3 gone */
    bool locked;
};

enum ide_phase {
    PHASE_IDLE,
    PHASE_PACKET, /* the guest writes the 12 bytes of a packet */
    PHASE_IN,     /* DRQ block to be read by the guest */
    PHASE_OUT,    /* DRQ block to be written by the guest */
    PHASE_DMA,    /* waits for the bus master to be started, or is between two steps of it */
    PHASE_HOST,   /* waits for the block layer */
    PHASE_COUNT
};

struct ide_transfer {
    bool out; /* from guest to drive */
    bool dma;
    bool raw;          /* CD sectors of 2352 bytes are made of the 2048 on the medium */
    bool flush;        /* when all is written: FUA */
    bool trim;         /* the data are ranges to be discarded, not the medium's */
    uint64_t offset;   /* of the medium: where the next piece is read or written */
    uint64_t left;     /* bytes of the medium not yet through the buffer */
    uint32_t block;    /* bytes a DRQ block */
    uint32_t drq_end;  /* of the DRQ block in the buffer */
    uint32_t pos, end; /* of the buffer */
};

struct ide_channel {
    struct ide *ide;
    uint8_t n, unit;
    struct ide_drive drive[IDE_UNITS];
    uint8_t control;
    bool interrupt;
    uint8_t phase; /* enum ide_phase */
    struct ide_transfer transfer;
    struct block_request request;
    uint8_t *buffer;
    struct {           /* saved state */
        uint32_t held; /* bytes of the buffer that are needed */
        uint8_t op;    /* of `request`, in PHASE_HOST */
        uint64_t offset;
        uint32_t len;
        uint64_t answer_at, late_at; /* ns of guest time, 0: never */
    } saved;
    struct irq_line irq;
    struct clock_timer *late; /* NULL: ide_slow_writes() was not called */
    uint8_t written;          /* pieces by PIO, for it */
    struct {
        uint8_t command, status;
        uint32_t table;
        uint32_t at, address, left; /* next descriptor; what is left of this one */
        bool last, fresh;           /* no descriptor after this one; the table is to be read from its start */
    } master;
};

static inline struct ide_drive *ide_selected(struct ide_channel *ch)
{
    return &ch->drive[ch->unit];
}

/* ide.c: for the command sets. */
void ide_interrupt(struct ide_channel *ch);
/* Ends a command: status, and an interrupt. */
void ide_done(struct ide_drive *drive);
void ide_abort(struct ide_drive *drive, uint8_t error);
/* Data for the guest of which `len` bytes are in the buffer already, and medium bytes after them. */
void ide_transfer_start(struct ide_drive *drive, const struct ide_transfer *transfer);
/* A request of the block layer without data; the drive's finish() is called after it. */
void ide_host_request(struct ide_drive *drive, enum block_op op, uint64_t offset, uint64_t len);
void ide_set_signature(struct ide_drive *drive);

/* ide_disk.c */
void disk_command(struct ide_drive *drive, uint8_t command);
void disk_finish(struct ide_drive *drive, int error);
void disk_reset(struct ide_drive *drive);
/* The ranges of DATA SET MANAGEMENT are in the buffer, up to `end`: discards the next one from `pos` on. */
void disk_trim(struct ide_drive *drive);

/* atapi.c */
void atapi_command(struct ide_drive *drive, uint8_t command);
void atapi_packet(struct ide_drive *drive);
/* Before each DRQ block: tells the guest its size. */
void atapi_data_ready(struct ide_drive *drive, uint32_t len);
void atapi_finish(struct ide_drive *drive, int error);
void atapi_reset(struct ide_drive *drive);
void atapi_medium_changed(void *opaque);
void atapi_eject_asked(void *opaque);

/* Words 10–19, 23–26, 27–46 of IDENTIFY: padded, bytes swapped. */
void ide_identify_text(uint8_t *identify, unsigned word, unsigned words, const char *text);
static inline void ide_identify_word(uint8_t *identify, unsigned word, unsigned value)
{
    identify[2 * word] = (uint8_t)value;
    identify[2 * word + 1] = (uint8_t)(value >> 8);
}
bool ide_set_transfer_mode(struct ide_drive *drive, uint8_t mode);
