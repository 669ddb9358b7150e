/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Flash chip: see pflash.h. Intel StrataFlash (28FxxxJ3 datasheet, "command set definitions"), JEDEC
 * JESD68.01 (common flash interface).
 *
 * While the array is read, the window is ROM to the processor, and code runs from it at full speed; writes
 * are commands. Any other mode takes the ROM away, and reads come here. An access wider than a byte is so
 * many byte cycles, the lowest first. Programming clears bits and erasing a block sets them, at once.
 *
 * A chip has no flush, so each change goes to the image, in the guest's order: `pending` are copies of
 * changed blocks, one in flight at a time, and the image is synced when none is left. Changes to the block at
 * the tail join it while that is not in flight. A guest that is faster than the host waits for it. A host
 * that refuses shows as an error of programming, when it is known; werror= says what else becomes of it.
 *
 * As firmware expects of QEMU's chip, CLEAR STATUS clears the ready bit too, until the next operation.
 */
#include "emu/dev/pflash.h"
#include "emu/trace.h"

#include <gio/gio.h>
#include <string.h>

enum { PAGE = 256, PENDING_MOST = 256 };
enum {
    CMD_LOCK_CONFIRM = 0x01,
    CMD_PROGRAM_OLD = 0x10,
    CMD_ERASE = 0x20,
    CMD_PROGRAM = 0x40,
    CMD_CLEAR_STATUS = 0x50,
    CMD_LOCK = 0x60,
    CMD_READ_STATUS = 0x70,
    CMD_READ_ID = 0x90,
    CMD_QUERY = 0x98,
    CMD_SUSPEND = 0xb0,
    CMD_CONFIRM = 0xd0,
    CMD_PROGRAM_BUFFER = 0xe8,
    CMD_READ_ARRAY = 0xff,
};
enum { SR_READY = 0x80, SR_ERASE = 0x20, SR_PROGRAM = 0x10, SR_PROTECTED = 0x02 };
enum { MAKER_INTEL = 0x89, DEVICE_128J3 = 0x18 };
enum { CFI = 0x10, CFI_LENGTH = 0x30 };

enum pflash_mode { MODE_ARRAY, MODE_STATUS, MODE_ID, MODE_QUERY, MODES };
/* What the next write is to be. */
enum pflash_step {
    STEP_COMMAND,
    STEP_PROGRAM,
    STEP_ERASE,
    STEP_COUNT,
    STEP_DATA,
    STEP_CONFIRM,
    STEP_LOCK,
    STEPS
};

struct change {
    uint32_t offset;
    uint8_t bytes[PFLASH_BLOCK];
};

struct pflash {
    struct device device;
    struct physmap *mem;
    struct block *block;
    struct phys_range *array;
    uint32_t size;
    uint8_t *data;
    uint8_t cfi[CFI_LENGTH];

    uint8_t mode, step, status;
    uint16_t left; /* bytes that STEP_DATA still takes */
    uint32_t page; /* where they go; the first one decides */
    bool page_set;
    uint8_t buffer[PAGE];

    GQueue pending; /* struct change * */
    struct block_request request;
    bool in_flight, unsynced, draining;
};

/* ---- to the image ---- */

static void carry_on(struct pflash *f);

static void request_done(void *opaque, int error)
{
    struct pflash *f = opaque;
    f->in_flight = false;
    if (error) {
        trace(PFLASH, "%s: host I/O: %s", f->device.id, g_strerror(error));
        f->status |= SR_PROGRAM | SR_ERASE;
    }
    if (f->request.op == BLOCK_WRITE) {
        g_free(g_queue_pop_head(&f->pending));
        f->unsynced = true;
    } else {
        f->unsynced = false;
    }
    if (!f->draining)
        carry_on(f);
}

/* Without a loop, requests are done before block_submit() returns; hence no recursion here. */
static void carry_on(struct pflash *f)
{
    bool outer = !f->draining;
    f->draining = true;
    while (!f->in_flight && (f->pending.length || f->unsynced)) {
        struct change *change = g_queue_peek_head(&f->pending);
        f->request = (struct block_request){.op = BLOCK_FLUSH, .done = request_done, .opaque = f};
        if (change) {
            f->request.op = BLOCK_WRITE;
            f->request.offset = change->offset;
            f->request.buf = change->bytes;
            f->request.len = PFLASH_BLOCK;
        }
        f->in_flight = true;
        block_submit(f->block, &f->request);
    }
    if (outer)
        f->draining = false;
}

/* Until all is in the image, or what is first stopped the machine. */
static void drain(struct pflash *f)
{
    block_drain(f->block);
}

/* The block at `offset` has changed. */
static void changed(struct pflash *f, uint32_t offset)
{
    struct change *last = g_queue_peek_tail(&f->pending);
    bool busy = f->in_flight && f->pending.length == 1 && f->request.op == BLOCK_WRITE;
    offset &= ~(uint32_t)(PFLASH_BLOCK - 1);
    if (!last || last->offset != offset || busy) {
        last = g_new(struct change, 1);
        last->offset = offset;
        g_queue_push_tail(&f->pending, last);
    }
    memcpy(last->bytes, f->data + offset, PFLASH_BLOCK);
    carry_on(f);
    if (f->pending.length > PENDING_MOST)
        drain(f);
}

/* ---- the chip's work ---- */

static void set_mode(struct pflash *f, enum pflash_mode mode)
{
    f->mode = (uint8_t)mode;
    physmap_range_enable(f->mem, f->array, mode == MODE_ARRAY);
}

static void end_step(struct pflash *f, uint8_t errors)
{
    f->step = STEP_COMMAND;
    f->status |= SR_READY | errors;
    set_mode(f, MODE_STATUS);
}

static void program(struct pflash *f, uint32_t offset, const uint8_t *bytes, uint32_t len)
{
    if (block_read_only(f->block)) {
        end_step(f, SR_PROGRAM | SR_PROTECTED);
        return;
    }
    bool same = true;
    for (uint32_t i = 0; i < len; i++) {
        uint8_t before = f->data[offset + i];
        f->data[offset + i] &= bytes[i];
        same &= before == f->data[offset + i];
    }
    end_step(f, 0);
    if (!same)
        changed(f, offset);
}

static void erase(struct pflash *f, uint32_t offset)
{
    if (block_read_only(f->block)) {
        end_step(f, SR_ERASE | SR_PROTECTED);
        return;
    }
    memset(f->data + (offset & ~(uint32_t)(PFLASH_BLOCK - 1)), 0xff, PFLASH_BLOCK);
    end_step(f, 0);
    changed(f, offset);
}

static void command(struct pflash *f, uint32_t offset, uint8_t value)
{
    trace(PFLASH, "%s: command %02x at %06x", f->device.id, value, offset);
    switch (value) {
    case CMD_READ_ARRAY:
        set_mode(f, MODE_ARRAY);
        break;
    case CMD_READ_ID:
        set_mode(f, MODE_ID);
        break;
    case CMD_QUERY:
        set_mode(f, MODE_QUERY);
        break;
    case CMD_READ_STATUS:
        set_mode(f, MODE_STATUS);
        break;
    case CMD_CLEAR_STATUS:
        f->status = 0;
        set_mode(f, MODE_ARRAY);
        break;
    case CMD_PROGRAM:
    case CMD_PROGRAM_OLD:
        f->step = STEP_PROGRAM;
        set_mode(f, MODE_STATUS);
        break;
    case CMD_ERASE:
        f->step = STEP_ERASE;
        set_mode(f, MODE_STATUS);
        break;
    case CMD_PROGRAM_BUFFER:
        f->step = STEP_COUNT;
        f->status |= SR_READY; /* a buffer is free */
        set_mode(f, MODE_STATUS);
        break;
    case CMD_LOCK:
        f->step = STEP_LOCK;
        set_mode(f, MODE_STATUS);
        break;
    case CMD_SUSPEND: /* nothing ever runs that could be */
    case CMD_CONFIRM:
        break;
    default: /* a value that is none of the chip's */
        set_mode(f, MODE_ARRAY);
        break;
    }
}

static void take_data(struct pflash *f, uint32_t offset, uint8_t value)
{
    uint32_t page = offset & ~(uint32_t)(PAGE - 1);
    if (!f->page_set) {
        f->page = page;
        f->page_set = true;
    }
    if (page != f->page) { /* out of the buffer: the sequence is wrong */
        end_step(f, SR_PROGRAM | SR_ERASE);
        return;
    }
    f->buffer[offset - page] = value;
    if (!--f->left)
        f->step = STEP_CONFIRM;
}

static void write_byte(struct pflash *f, uint32_t offset, uint8_t value)
{
    switch ((enum pflash_step)f->step) {
    case STEP_COMMAND:
        command(f, offset, value);
        return;
    case STEP_PROGRAM:
        program(f, offset, &value, 1);
        return;
    case STEP_ERASE:
        if (value == CMD_CONFIRM)
            erase(f, offset);
        else
            end_step(f, SR_PROGRAM | SR_ERASE);
        return;
    case STEP_COUNT:
        f->left = (uint16_t)(value + 1);
        f->page_set = false;
        memset(f->buffer, 0xff, sizeof f->buffer); /* what is not given stays as it is */
        f->step = STEP_DATA;
        return;
    case STEP_DATA:
        take_data(f, offset, value);
        return;
    case STEP_CONFIRM:
        if (value == CMD_CONFIRM)
            program(f, f->page, f->buffer, PAGE);
        else
            end_step(f, SR_PROGRAM | SR_ERASE);
        return;
    case STEP_LOCK: /* no block is locked that is not read-only for good */
        end_step(f, value == CMD_CONFIRM || value == CMD_LOCK_CONFIRM ? 0 : SR_PROGRAM | SR_ERASE);
        return;
    case STEPS:
        break;
    }
}

static uint8_t read_byte(const struct pflash *f, uint32_t offset)
{
    switch ((enum pflash_mode)f->mode) {
    case MODE_ARRAY:
        return f->data[offset];
    case MODE_STATUS:
        return f->status;
    case MODE_ID:
        switch (offset & (PFLASH_BLOCK - 1)) {
        case 0:
            return MAKER_INTEL;
        case 1:
            return DEVICE_128J3;
        case 2:
            return block_read_only(f->block);
        }
        return 0;
    case MODE_QUERY:
        offset &= 0xff;
        return offset >= CFI && offset < CFI + CFI_LENGTH ? f->cfi[offset - CFI] : 0;
    case MODES:
        break;
    }
    return 0xff;
}

static uint32_t window_read(void *opaque, uint32_t offset, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)read_byte(opaque, offset + i) << 8 * i;
    return value;
}

static void window_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        write_byte(opaque, offset + i, (uint8_t)(value >> 8 * i));
}

static const struct mmio_ops window_ops = {.read = window_read, .write = window_write};

/* ---- device ---- */

static void pflash_reset(struct device *device)
{
    struct pflash *f = (struct pflash *)device;
    f->step = STEP_COMMAND;
    f->status = SR_READY;
    f->left = 0;
    f->page = 0;
    f->page_set = false;
    memset(f->buffer, 0xff, sizeof f->buffer);
    set_mode(f, MODE_ARRAY);
}

static void pflash_before_save(void *device)
{
    drain(device);
}

static bool pflash_after_load(void *device, GError **error)
{
    struct pflash *f = device;
    if (f->mode >= MODES || f->step >= STEPS || f->left > PAGE || f->page % PAGE || f->page >= f->size ||
        (f->step == STEP_DATA && !f->left)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: a state no flash chip has",
                    f->device.id);
        return false;
    }
    set_mode(f, (enum pflash_mode)f->mode);
    return true;
}

static const struct state_field pflash_fields[] = {
    STATE(struct pflash, U8, mode),
    STATE(struct pflash, U8, step),
    STATE(struct pflash, U8, status),
    STATE(struct pflash, U16, left),
    STATE(struct pflash, U32, page),
    STATE(struct pflash, BOOL, page_set),
    STATE_ARRAY(struct pflash, BYTES, buffer),
};
static const struct state_table pflash_state = {
    .name = "pflash",
    .version = 1,
    .fields = pflash_fields,
    .count = G_N_ELEMENTS(pflash_fields),
    .before_save = pflash_before_save,
    .after_load = pflash_after_load,
};

static void pflash_free(struct device *device)
{
    struct pflash *f = (struct pflash *)device;
    drain(f);
    block_cancel(f->block, &f->request); /* what stopped the machine is lost with it */
    g_queue_clear_full(&f->pending, g_free);
    g_free(f->data);
    g_free(f);
}

static const struct device_class pflash_class = {
    .name = "cfi.pflash01", .state = &pflash_state, .reset = pflash_reset, .free = pflash_free};

/* Query table from offset 0x10 on: the chip's numbers, then Intel's extension. */
static void make_cfi(struct pflash *f)
{
    uint32_t last_block = f->size / PFLASH_BLOCK - 1;
    uint8_t log = 0;
    while (1u << log < f->size)
        log++;
    const uint8_t table[CFI_LENGTH] = {
        'Q',
        'R',
        'Y',
        0x01,
        0x00,
        0x31,
        0x00,
        0x00,
        0x00,
        0x00,
        0x00,
        0x45,
        0x55,
        0x00,
        0x00, /* Vcc 4.5 to 5.5 V, no Vpp */
        0x07,
        0x07,
        0x0a,
        0x00, /* typical: 2^n µs a byte, a buffer; 2^n ms a block; the chip: cannot */
        0x04,
        0x04,
        0x04,
        0x00, /* at most 2^n times that */
        log,
        0x00,
        0x00,
        0x08,
        0x00, /* 2^n bytes; eight bits wide; buffer of 2^n bytes */
        0x01,
        (uint8_t)last_block,
        (uint8_t)(last_block >> 8),
        (uint8_t)(PFLASH_BLOCK / 256),
        (uint8_t)(PFLASH_BLOCK / 256 >> 8), /* one region of equal blocks */
        'P',
        'R',
        'I',
        '1',
        '0',
        0x00,
        0x00,
        0x00,
        0x00,
        0x00,
        0x00,
        0x00,
        0x50,
        0x00,
    };
    memcpy(f->cfi, table, sizeof f->cfi);
}

struct pflash *pflash_new(struct physmap *mem, const char *id, uint64_t end, struct block *block,
                          GError **error)
{
    uint64_t size = block_size(block);
    if (!size || size % PFLASH_BLOCK || size > PFLASH_MOST) {
        g_set_error(
            error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
            "%s: %s has %" G_GUINT64_FORMAT
            " bytes; a flash chip has a multiple of %d, and at most %d MiB (truncate -s makes it so; a "
            "ROM of another size goes to -bios)",
            id, block_path(block) ? block_path(block) : "the drive", size, PFLASH_BLOCK, PFLASH_MOST >> 20);
        return NULL;
    }
    g_autofree uint8_t *data = g_malloc(size);
    int why = block_read_now(block, 0, data, (uint32_t)size);
    if (why) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why), "%s: reading %s: %s", id,
                    block_path(block), g_strerror(why));
        return NULL;
    }
    struct pflash *f = g_new0(struct pflash, 1);
    device_init(&f->device, &pflash_class, id);
    f->mem = mem;
    f->block = block;
    f->size = (uint32_t)size;
    f->data = g_steal_pointer(&data);
    g_queue_init(&f->pending);
    make_cfi(f);
    physmap_add_mmio(mem, "pflash", end - size, size, &window_ops, f, 0);
    f->array = physmap_add_rom(mem, "pflash-array", end - size, size, f->data, 1);
    physmap_range_set_access(mem, f->array, true, false);
    pflash_reset(&f->device);
    return f;
}

bool pflash_read_again(struct pflash *f, GError **error)
{
    int why = block_read_now(f->block, 0, f->data, f->size);
    if (why)
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why), "%s: reading %s: %s", f->device.id,
                    block_path(f->block) ? block_path(f->block) : "the image", g_strerror(why));
    return !why;
}

const uint8_t *pflash_data(const struct pflash *flash)
{
    return flash->data;
}

uint32_t pflash_size(const struct pflash *flash)
{
    return flash->size;
}
