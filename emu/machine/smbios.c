/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * SMBIOS structures: see smbios.h. A structure is a header, a body in which texts are numbers, and the texts,
 * one after the other, with an empty one at the end. Handles are made of the type: there is one of each.
 */
#include "emu/machine/smbios.h"

#include <string.h>

enum { STRINGS_MOST = 8, BOARD_HANDLE_TYPE = 2 };
#define PLACED 0x28 /* BCD revision, offset 30: SMBIOS 2.8 */

struct table {
    GByteArray *bytes;
    const struct smbios_config *config;
    unsigned count, widest;
};

/* The structure that is being made. */
struct body {
    uint8_t bytes[64];
    const char *strings[STRINGS_MOST];
    unsigned count;
};

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, (uint16_t)value);
    put16(at + 2, (uint16_t)(value >> 16));
}

/* The number of a text; 0: there is none. */
static uint8_t put_text(struct body *body, const char *text)
{
    if (!text || !*text)
        return 0;
    g_assert(body->count < STRINGS_MOST);
    body->strings[body->count] = text;
    return (uint8_t)++body->count;
}

/* What -smbios says, or `usual`. */
static uint8_t word(const struct table *t, struct body *body, enum smbios_text which, const char *usual)
{
    const char *given = t->config->words->text[which];
    return put_text(body, given ? given : usual);
}

size_t smbios_structure_size(const uint8_t *data, size_t len)
{
    size_t at = len >= 4 ? data[1] : 0;
    if (at < 4)
        return 0;
    for (; at + 2 <= len; at++)
        if (!data[at] && !data[at + 1])
            return at + 2;
    return 0;
}

/* Whether a file has brought a structure of that type. */
static bool is_brought(const struct table *t, uint8_t type)
{
    const GByteArray *extra = t->config->extra;
    for (size_t at = 0; extra && at < extra->len;) {
        size_t size = smbios_structure_size(extra->data + at, extra->len - at);
        if (!size)
            return false;
        if (extra->data[at] == type)
            return true;
        at += size;
    }
    return false;
}

/* Appends a structure with `len` bytes of body. */
static void add(struct table *t, uint8_t type, const struct body *body, uint8_t len)
{
    const uint8_t header[4] = {type, (uint8_t)(len + 4), 0, type};
    guint start = t->bytes->len;
    if (is_brought(t, type))
        return;
    g_byte_array_append(t->bytes, header, sizeof header);
    g_byte_array_append(t->bytes, body->bytes, len);
    for (unsigned i = 0; i < body->count; i++)
        g_byte_array_append(t->bytes, (const uint8_t *)body->strings[i], (guint)strlen(body->strings[i]) + 1);
    g_byte_array_append(t->bytes, (const uint8_t *)"\0", body->count ? 1 : 2);
    t->widest = MAX(t->widest, t->bytes->len - start);
    t->count++;
}

static void add_bios(struct table *t)
{
    const struct smbios_words *w = t->config->words;
    struct body b = {0};
    b.bytes[0] = word(t, &b, SMBIOS_BIOS_VENDOR, "netlab");
    b.bytes[1] = word(t, &b, SMBIOS_BIOS_VERSION, NETLAB_VERSION);
    put16(b.bytes + 2, 0xe000);
    b.bytes[4] = word(t, &b, SMBIOS_BIOS_DATE, "01/01/2024");
    b.bytes[6] = 0x08;                                    /* characteristics are not told, */
    b.bytes[15] = (uint8_t)(0x14 | (w->uefi ? 0x08 : 0)); /* but that it is a virtual machine */
    b.bytes[16] = w->has_release ? w->release[0] : 0;
    b.bytes[17] = w->has_release ? w->release[1] : 0;
    b.bytes[18] = b.bytes[19] = 0xff; /* no embedded controller */
    add(t, 0, &b, 20);
}

static void add_system(struct table *t)
{
    /* The first three fields of a UUID are little-endian here. */
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    struct body b = {0};
    b.bytes[0] = word(t, &b, SMBIOS_SYSTEM_MANUFACTURER, "netlab");
    b.bytes[1] = word(t, &b, SMBIOS_SYSTEM_PRODUCT, "netlab PC (i440FX)");
    b.bytes[2] = word(t, &b, SMBIOS_SYSTEM_VERSION, NETLAB_VERSION);
    b.bytes[3] = word(t, &b, SMBIOS_SYSTEM_SERIAL, NULL);
    for (unsigned i = 0; i < 16; i++)
        b.bytes[4 + i] = t->config->uuid[order[i]];
    b.bytes[20] = 6; /* woken by the power switch */
    b.bytes[21] = word(t, &b, SMBIOS_SYSTEM_SKU, NULL);
    b.bytes[22] = word(t, &b, SMBIOS_SYSTEM_FAMILY, NULL);
    add(t, 1, &b, 23);
}

static void add_board(struct table *t)
{
    struct body b = {0};
    b.bytes[0] = word(t, &b, SMBIOS_BOARD_MANUFACTURER, "netlab");
    b.bytes[1] = word(t, &b, SMBIOS_BOARD_PRODUCT, "netlab PC (i440FX)");
    b.bytes[2] = word(t, &b, SMBIOS_BOARD_VERSION, NETLAB_VERSION);
    b.bytes[3] = word(t, &b, SMBIOS_BOARD_SERIAL, NULL);
    b.bytes[4] = word(t, &b, SMBIOS_BOARD_ASSET, NULL);
    b.bytes[5] = 1; /* it hosts the rest */
    b.bytes[6] = word(t, &b, SMBIOS_BOARD_LOCATION, NULL);
    put16(b.bytes + 7, 3 << 8); /* handle of the chassis */
    b.bytes[9] = 10;            /* a motherboard */
    add(t, 2, &b, 11);
}

static void add_chassis(struct table *t)
{
    struct body b = {.bytes = {[1] = 1, [5] = 3, 3, 3, 2}};
    b.bytes[0] = word(t, &b, SMBIOS_CHASSIS_MANUFACTURER, "netlab");
    b.bytes[2] = word(t, &b, SMBIOS_CHASSIS_VERSION, NULL);
    b.bytes[3] = word(t, &b, SMBIOS_CHASSIS_SERIAL, NULL);
    b.bytes[4] = word(t, &b, SMBIOS_CHASSIS_ASSET, NULL);
    b.bytes[17] = word(t, &b, SMBIOS_CHASSIS_SKU, NULL);
    add(t, 3, &b, 18);
}

static void add_processor(struct table *t)
{
    /* central processor, populated and enabled, upgrade "other", caches not told */
    struct body b = {.bytes = {[1] = 3, 1, [20] = 0x41, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    const char *prefix = t->config->words->text[SMBIOS_CPU_SOCKET];
    g_autofree char *socket = g_strdup_printf("%s 0", prefix ? prefix : "CPU");
    b.bytes[0] = put_text(&b, socket);
    b.bytes[3] = word(t, &b, SMBIOS_CPU_MANUFACTURER, "netlab");
    b.bytes[12] = word(t, &b, SMBIOS_CPU_VERSION, NULL);
    b.bytes[28] = word(t, &b, SMBIOS_CPU_SERIAL, NULL);
    b.bytes[29] = word(t, &b, SMBIOS_CPU_ASSET, NULL);
    b.bytes[30] = word(t, &b, SMBIOS_CPU_PART, NULL);
    add(t, 4, &b, 31);
}

static void add_memory(struct table *t)
{
    uint64_t kib = t->config->ram_size >> 10, mib = t->config->ram_size >> 20;
    struct body array = {.bytes = {1, 3, 6, [7] = 0xfe, 0xff, 1}};
    put32(array.bytes + 3, kib < 0x80000000u ? (uint32_t)kib : 0x80000000u);
    add(t, 16, &array, 11);

    struct body b = {.bytes = {0, 16, 0xfe, 0xff, 64, 0, 64, 0, [10] = 9, [14] = 7}};
    const char *prefix = t->config->words->text[SMBIOS_MEMORY_LOCATOR];
    g_autofree char *locator = g_strdup_printf("%s 0", prefix ? prefix : "DIMM");
    put16(b.bytes + 8, (uint16_t)MIN(mib, (uint64_t)0x7fff));
    b.bytes[12] = put_text(&b, locator);
    b.bytes[13] = word(t, &b, SMBIOS_MEMORY_BANK, NULL);
    put16(b.bytes + 17, t->config->words->speed);
    b.bytes[19] = word(t, &b, SMBIOS_MEMORY_MANUFACTURER, NULL);
    b.bytes[20] = word(t, &b, SMBIOS_MEMORY_SERIAL, NULL);
    b.bytes[21] = word(t, &b, SMBIOS_MEMORY_ASSET, NULL);
    b.bytes[22] = word(t, &b, SMBIOS_MEMORY_PART, NULL);
    put32(b.bytes + 24, mib >= 0x7fff ? (uint32_t)mib : 0);
    put16(b.bytes + 28, t->config->words->speed);
    add(t, 17, &b, 30);

    struct body mapped = {.bytes = {[9] = 16, [10] = 1}};
    put32(mapped.bytes + 4, kib > 0xffffffffu ? 0xffffffffu : (uint32_t)kib - 1);
    add(t, 19, &mapped, 11);
}

static void add_brought(struct table *t)
{
    const GByteArray *extra = t->config->extra;
    for (size_t at = 0; extra && at < extra->len;) {
        size_t size = smbios_structure_size(extra->data + at, extra->len - at);
        if (!size)
            return;
        g_byte_array_append(t->bytes, extra->data + at, (guint)size);
        t->widest = MAX(t->widest, (unsigned)size);
        t->count++;
        at += size;
    }
}

GByteArray *smbios_build(const struct smbios_config *config, unsigned *count, unsigned *widest)
{
    struct table t = {.bytes = g_byte_array_new(), .config = config};
    struct body boot_status = {0}, end = {0};
    if (config->bios || config->words->given[0])
        add_bios(&t);
    add_system(&t);
    if (config->words->given[BOARD_HANDLE_TYPE])
        add_board(&t);
    add_chassis(&t);
    add_processor(&t);
    add_memory(&t);
    add_brought(&t);
    add(&t, 32, &boot_status, 7);
    add(&t, 127, &end, 0);
    *count = t.count;
    *widest = t.widest;
    return t.bytes;
}

static uint8_t sum_of(const uint8_t *data, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + data[i]);
    return (uint8_t)-sum;
}

void smbios_anchor(const GByteArray *table, unsigned count, unsigned widest, uint32_t address,
                   uint8_t anchor[SMBIOS_ANCHOR])
{
    enum { INTERMEDIATE = 16 };
    memset(anchor, 0, SMBIOS_ANCHOR);
    memcpy(anchor, "_SM_", 4);
    anchor[5] = SMBIOS_ANCHOR;
    anchor[6] = 2;
    anchor[7] = 8;
    put16(anchor + 8, (uint16_t)MIN(widest, 0xffffu));
    memcpy(anchor + INTERMEDIATE, "_DMI_", 5);
    put16(anchor + 22, (uint16_t)table->len);
    put32(anchor + 24, address);
    put16(anchor + 28, (uint16_t)count);
    anchor[30] = PLACED;
    if (!address)
        return;
    anchor[INTERMEDIATE + 5] = sum_of(anchor + INTERMEDIATE, SMBIOS_ANCHOR - INTERMEDIATE);
    anchor[4] = sum_of(anchor, SMBIOS_ANCHOR);
}
