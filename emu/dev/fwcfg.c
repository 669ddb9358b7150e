/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * fw_cfg: see fwcfg.h. The interface is specified by QEMU's docs/specs/fw_cfg ("fw_cfg device").
 *
 * Every key holds bytes; reading past them, or a key nobody set, gives zeros. Contents are the board's
 * configuration and not saved state: only selector, offset and the pending DMA address are. DMA goes to and
 * from guest RAM only, and ends with the error bit at the first address that is not RAM, so no guest can make
 * it run longer than its own memory is long.
 */
#include "emu/dev/fwcfg.h"
#include "emu/trace.h"

#include <gio/gio.h>
#include <string.h>

enum { SELECTOR_PORT = 0x510, DATA_PORT = 0x511, DMA_PORT = 0x514 };
enum { KEY_LOCAL = 0x8000, KEY_WRITE = 0x4000, KEY_BITS = 0x3fff, LOCAL_KEYS = 16 };
enum { KEYS = FWCFG_FILE_FIRST + FWCFG_FILES_MAX };
enum { ID_TRADITIONAL = 1, ID_DMA = 2 };
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG", big-endian */

struct item {
    uint8_t *data;
    uint32_t len;
};

struct directory_entry {
    uint32_t size; /* these are big-endian */
    uint16_t key;
    uint16_t reserved;
    char name[FWCFG_NAME_MAX + 1];
};
_Static_assert(sizeof(struct directory_entry) == 64, "as the specification has it");

struct fwcfg {
    struct device device;
    struct physmap *mem;
    struct item item[KEYS];
    struct item local[LOCAL_KEYS];
    GArray *directory; /* struct directory_entry */
    uint16_t key;
    uint32_t offset;
    uint32_t dma_high;
    uint16_t refresh_key;
    void (*refresh)(void *opaque);
    void *refresh_opaque;
};

/* ---- contents ---- */

static struct item *find(struct fwcfg *fw, uint16_t key)
{
    unsigned n = key & KEY_BITS;
    if (key & KEY_LOCAL)
        return n < LOCAL_KEYS ? &fw->local[n] : NULL;
    return n < KEYS ? &fw->item[n] : NULL;
}

void fwcfg_set_bytes(struct fwcfg *fw, uint16_t key, const void *data, size_t len)
{
    struct item *item = find(fw, key);
    g_return_if_fail(item && len <= UINT32_MAX);
    g_free(item->data);
    item->data = len ? g_memdup2(data, len) : NULL;
    item->len = (uint32_t)len;
}

void fwcfg_set_u16(struct fwcfg *fw, uint16_t key, uint16_t value)
{
    uint16_t bytes = GUINT16_TO_LE(value);
    fwcfg_set_bytes(fw, key, &bytes, sizeof bytes);
}

void fwcfg_set_u32(struct fwcfg *fw, uint16_t key, uint32_t value)
{
    uint32_t bytes = GUINT32_TO_LE(value);
    fwcfg_set_bytes(fw, key, &bytes, sizeof bytes);
}

void fwcfg_set_u64(struct fwcfg *fw, uint16_t key, uint64_t value)
{
    uint64_t bytes = GUINT64_TO_LE(value);
    fwcfg_set_bytes(fw, key, &bytes, sizeof bytes);
}

static void publish_directory(struct fwcfg *fw)
{
    uint32_t count = GUINT32_TO_BE(fw->directory->len);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_byte_array_append(bytes, (const uint8_t *)&count, sizeof count);
    g_byte_array_append(bytes, (const uint8_t *)fw->directory->data,
                        fw->directory->len * (guint)sizeof(struct directory_entry));
    fwcfg_set_bytes(fw, FWCFG_FILE_DIR, bytes->data, bytes->len);
}

static struct directory_entry *find_file(struct fwcfg *fw, const char *name)
{
    for (unsigned i = 0; i < fw->directory->len; i++) {
        struct directory_entry *entry = &g_array_index(fw->directory, struct directory_entry, i);
        if (strcmp(entry->name, name) == 0)
            return entry;
    }
    return NULL;
}

bool fwcfg_add_file(struct fwcfg *fw, const char *name, const void *data, size_t len, GError **error)
{
    if (!*name || strlen(name) > FWCFG_NAME_MAX) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "fw_cfg file name \"%s\": give one of 1 to %d characters", name, FWCFG_NAME_MAX);
        return false;
    }
    if (len > UINT32_MAX) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "fw_cfg file %s: 4 GiB is the most; hand large data over as a disk", name);
        return false;
    }
    struct directory_entry *entry = find_file(fw, name);
    if (!entry) {
        unsigned n = fw->directory->len;
        if (n == FWCFG_FILES_MAX) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                        "fw_cfg file %s: the directory has room for %d files; give fewer -fw_cfg options",
                        name, FWCFG_FILES_MAX);
            return false;
        }
        struct directory_entry fresh = {.key = GUINT16_TO_BE(FWCFG_FILE_FIRST + n)};
        g_strlcpy(fresh.name, name, sizeof fresh.name);
        g_array_append_val(fw->directory, fresh);
        entry = &g_array_index(fw->directory, struct directory_entry, n);
    }
    entry->size = GUINT32_TO_BE((uint32_t)len);
    fwcfg_set_bytes(fw, GUINT16_FROM_BE(entry->key), data, len);
    publish_directory(fw);
    return true;
}

void fwcfg_set_refresh(struct fwcfg *fw, const char *name, void (*refresh)(void *opaque), void *opaque)
{
    const struct directory_entry *entry = find_file(fw, name);
    g_return_if_fail(entry);
    fw->refresh_key = GUINT16_FROM_BE(entry->key);
    fw->refresh = refresh;
    fw->refresh_opaque = opaque;
}

/* ---- selector and data ---- */

static void select_key(struct fwcfg *fw, uint16_t key)
{
    trace(FWCFG, "select %04x", key);
    fw->key = key;
    fw->offset = 0;
    if (fw->refresh && key == fw->refresh_key)
        fw->refresh(fw->refresh_opaque);
}

/* What is left of the selected item from the offset on. */
static const uint8_t *rest(struct fwcfg *fw, uint32_t *len)
{
    const struct item *item = find(fw, fw->key);
    if (!item || fw->offset >= item->len) {
        *len = 0;
        return NULL;
    }
    *len = item->len - fw->offset;
    return item->data + fw->offset;
}

static void skip(struct fwcfg *fw, uint32_t by)
{
    fw->offset = by > UINT32_MAX - fw->offset ? UINT32_MAX : fw->offset + by;
}

static uint32_t port_read(void *opaque, uint16_t port, unsigned size)
{
    struct fwcfg *fw = opaque;
    uint32_t len;
    if (size != 1 || port != DATA_PORT)
        return 0xffffffff;
    const uint8_t *data = rest(fw, &len);
    skip(fw, 1);
    return len ? *data : 0;
}

static void port_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    if (size == 2 && port == SELECTOR_PORT)
        select_key(opaque, (uint16_t)value);
    else
        trace(FWCFG, "write%u of %x to port %x is ignored", 8 * size, value, port);
}

static const struct portio_ops port_ops = {.read = port_read, .write = port_write, .max_size = 2};

/* ---- DMA ---- */

struct dma_request {
    uint32_t control, length; /* big-endian, as the next */
    uint64_t address;
};

/* Copies `length` bytes of the item, then zeros, to guest RAM. False at an address that is not RAM. */
static bool dma_to_guest(struct fwcfg *fw, uint64_t address, uint32_t length)
{
    while (length) {
        uint32_t have;
        const uint8_t *data = rest(fw, &have);
        size_t run = have ? MIN(have, length) : length;
        uint8_t *to = phys_map(fw->mem, address, &run, true);
        if (!to)
            return false;
        if (have)
            memcpy(to, data, run);
        else
            memset(to, 0, run);
        skip(fw, (uint32_t)run);
        address += run;
        length -= (uint32_t)run;
    }
    return true;
}

static void dma_run(struct fwcfg *fw, uint64_t at)
{
    struct dma_request request;
    phys_read(fw->mem, at, &request, sizeof request);
    uint32_t control = GUINT32_FROM_BE(request.control), length = GUINT32_FROM_BE(request.length);
    uint64_t address = GUINT64_FROM_BE(request.address);
    bool ok = true;
    trace(FWCFG, "DMA control %x, length %x, address %" G_GINT64_MODIFIER "x", control, length, address);
    if (control & DMA_SELECT)
        select_key(fw, (uint16_t)(control >> 16));
    if (control & DMA_READ)
        ok = dma_to_guest(fw, address, length);
    else if (control & DMA_WRITE)
        ok = false; /* no item of this board can be written */
    else if (control & DMA_SKIP)
        skip(fw, length);
    phys_write32(fw->mem, at, GUINT32_TO_BE(ok ? 0 : DMA_ERROR));
}

static uint32_t dma_read(void *opaque, uint16_t port, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)(DMA_SIGNATURE >> 8 * (7 - (port - DMA_PORT + i)) & 0xff) << 8 * i;
    return value;
}

static void dma_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct fwcfg *fw = opaque;
    if (size != 4)
        return;
    if (port == DMA_PORT) {
        fw->dma_high = GUINT32_SWAP_LE_BE(value);
    } else if (port == DMA_PORT + 4) {
        uint64_t at = (uint64_t)fw->dma_high << 32 | GUINT32_SWAP_LE_BE(value);
        fw->dma_high = 0;
        dma_run(fw, at);
    }
}

static const struct portio_ops dma_ops = {.read = dma_read, .write = dma_write, .max_size = 4};

/* ---- device ---- */

static void fwcfg_reset(struct device *device)
{
    struct fwcfg *fw = (struct fwcfg *)device;
    select_key(fw, FWCFG_SIGNATURE);
    fw->dma_high = 0;
}

static const struct state_field fwcfg_fields[] = {
    STATE(struct fwcfg, U16, key),
    STATE(struct fwcfg, U32, offset),
    STATE(struct fwcfg, U32, dma_high),
};
static const struct state_table fwcfg_state = {
    .name = "fwcfg", .version = 1, .fields = fwcfg_fields, .count = G_N_ELEMENTS(fwcfg_fields)};

static void fwcfg_free(struct device *device)
{
    struct fwcfg *fw = (struct fwcfg *)device;
    for (unsigned i = 0; i < KEYS; i++)
        g_free(fw->item[i].data);
    for (unsigned i = 0; i < LOCAL_KEYS; i++)
        g_free(fw->local[i].data);
    g_array_unref(fw->directory);
    g_free(fw);
}

static const struct device_class fwcfg_class = {
    .name = "fw_cfg", .state = &fwcfg_state, .reset = fwcfg_reset, .free = fwcfg_free};

struct fwcfg *fwcfg_new(struct portio *io, struct physmap *mem)
{
    struct fwcfg *fw = g_new0(struct fwcfg, 1);
    device_init(&fw->device, &fwcfg_class, "fw_cfg");
    fw->mem = mem;
    fw->directory = g_array_new(FALSE, FALSE, sizeof(struct directory_entry));
    fwcfg_set_bytes(fw, FWCFG_SIGNATURE, "QEMU", 4);
    fwcfg_set_u32(fw, FWCFG_ID, ID_TRADITIONAL | ID_DMA);
    publish_directory(fw);
    portio_add(io, "fw_cfg", SELECTOR_PORT, 2, &port_ops, fw);
    portio_add(io, "fw_cfg-dma", DMA_PORT, 8, &dma_ops, fw);
    return fw;
}

void fwcfg_describe(const struct fwcfg *fw, GString *out)
{
    for (unsigned i = 0; i < fw->directory->len; i++) {
        const struct directory_entry *entry = &g_array_index(fw->directory, struct directory_entry, i);
        g_string_append_printf(out, "%04x %8u %s\n", GUINT16_FROM_BE(entry->key),
                               GUINT32_FROM_BE(entry->size), entry->name);
    }
}
