/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Saving and loading device state by table: see state.h.
 *
 * Encoding, all integers little-endian. A section is "DEV1", name, instance (each a u16 length and the
 * bytes), u16 version, u16 number of fields; a field is its name likewise, u8 type, u32 count, and count
 * elements.
 *
 * Loading reads every field of the section into a copy of the device's listed fields, checks it whole, and
 * only then stores it. A field the table does not know is an error (a newer program's file); a field the file
 * does not have keeps its value when the table says the field is younger than the file, else it is an error.
 */
#include "emu/snapshot/state.h"

#include <gio/gio.h>
#include <string.h>

#define STATE_MAGIC     "DEV1"
#define STATE_MAX_COUNT (1u << 24)

static unsigned element_size(enum state_type type)
{
    switch (type) {
    case STATE_U8:
    case STATE_BYTES:
    case STATE_VARYING:
        return 1;
    case STATE_U16:
        return 2;
    case STATE_U32:
        return 4;
    case STATE_U64:
        return 8;
    case STATE_BOOL:
        return sizeof(bool);
    }
    return 0;
}

/* Where the field is, and how many elements it has now. */
static uint8_t *elements(const struct state_field *f, void *device, uint32_t *count)
{
    uint8_t *at = (uint8_t *)device + f->offset;
    *count = f->count;
    if (f->type != STATE_VARYING)
        return at;
    memcpy(count, (uint8_t *)device + f->used, sizeof *count);
    *count = MIN(*count, f->count);
    memcpy(&at, at, sizeof at);
    return at;
}

static void store(const struct state_field *f, void *device, const uint8_t *from, uint32_t count)
{
    uint32_t before;
    uint8_t *at = elements(f, device, &before);
    memcpy(at, from, (size_t)count * element_size(f->type));
    if (f->type == STATE_VARYING)
        memcpy((uint8_t *)device + f->used, &count, sizeof count);
}

static void put_u16(GByteArray *out, unsigned value)
{
    uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
    g_byte_array_append(out, bytes, 2);
}

static void put_string(GByteArray *out, const char *text)
{
    put_u16(out, (unsigned)strlen(text));
    g_byte_array_append(out, (const uint8_t *)text, (guint)strlen(text));
}

void state_save(const struct state_table *table, const char *instance, void *device, GByteArray *out)
{
    if (table->before_save)
        table->before_save(device);
    g_byte_array_append(out, (const uint8_t *)STATE_MAGIC, 4);
    put_string(out, table->name);
    put_string(out, instance);
    put_u16(out, table->version);
    put_u16(out, (unsigned)table->count);
    for (size_t i = 0; i < table->count; i++) {
        const struct state_field *f = &table->fields[i];
        uint8_t type = (uint8_t)f->type;
        uint32_t count;
        const uint8_t *at = elements(f, device, &count);
        put_string(out, f->name);
        g_byte_array_append(out, &type, 1);
        g_byte_array_append(out, (const uint8_t *)&count, 4);
        /* The host is little-endian (x86-64 only), so memory order is file order. */
        g_byte_array_append(out, at, count * element_size(f->type));
    }
}

/* A cursor that never runs past the end; `ok` turns false instead. */
struct reader {
    const uint8_t *data;
    size_t len, pos;
    bool ok;
};

static const uint8_t *take(struct reader *r, size_t n)
{
    if (!r->ok || n > r->len - r->pos) {
        r->ok = false;
        return NULL;
    }
    const uint8_t *at = r->data + r->pos;
    r->pos += n;
    return at;
}

static unsigned take_u16(struct reader *r)
{
    const uint8_t *p = take(r, 2);
    return p ? (unsigned)(p[0] | p[1] << 8) : 0;
}

static uint32_t take_u32(struct reader *r)
{
    const uint8_t *p = take(r, 4);
    return p ? (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24 : 0;
}

static char *take_string(struct reader *r)
{
    unsigned n = take_u16(r);
    const uint8_t *p = take(r, n);
    return p ? g_strndup((const char *)p, n) : g_strdup("");
}

static bool fail(GError **error, const struct state_table *table, const char *instance, const char *what)
{
    g_set_error(
        error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
        "saved state of %s (%s): %s; the file was made by another version or is damaged: save it again",
        instance, table->name, what);
    return false;
}

char *state_shown(const char *text, unsigned most)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    glong len = g_utf8_strlen(valid, -1);
    char *shown = g_utf8_substring(valid, 0, MIN(len, (glong)most));
    for (char *p = shown; *p; p++)
        if (g_ascii_iscntrl(*p))
            *p = '?';
    return shown;
}

bool state_load(const struct state_table *table, const char *instance, void *device, const uint8_t *data,
                size_t len, size_t *pos, GError **error)
{
    if (*pos > len)
        return fail(error, table, instance, "file too short");
    struct reader r = {.data = data, .len = len, .pos = *pos, .ok = true};
    const uint8_t *magic = take(&r, 4);
    if (!magic || memcmp(magic, STATE_MAGIC, 4) != 0)
        return fail(error, table, instance, "no state section where one was expected");
    g_autofree char *name = take_string(&r);
    g_autofree char *saved_instance = take_string(&r);
    unsigned version = take_u16(&r), fields = take_u16(&r);
    if (!r.ok)
        return fail(error, table, instance, "file too short");
    if (strcmp(name, table->name) != 0 || strcmp(saved_instance, instance) != 0) {
        g_autofree char *shown_instance = state_shown(saved_instance, 60),
                        *shown_name = state_shown(name, 60);
        g_autofree char *what =
            g_strdup_printf("found '%s' of kind '%s' in its place", shown_instance, shown_name);
        return fail(error, table, instance, what);
    }
    if (version > table->version)
        return fail(error, table, instance, "written by a newer version");

    g_autofree const uint8_t **source = g_new0(const uint8_t *, table->count + 1);
    g_autofree uint32_t *counts = g_new0(uint32_t, table->count + 1);
    for (unsigned i = 0; i < fields; i++) {
        g_autofree char *field_name = take_string(&r);
        const uint8_t *type = take(&r, 1);
        uint32_t count = take_u32(&r);
        if (!r.ok || count > STATE_MAX_COUNT)
            return fail(error, table, instance, "file too short");
        size_t k = 0;
        while (k < table->count && strcmp(table->fields[k].name, field_name) != 0)
            k++;
        if (k == table->count || table->fields[k].type != (enum state_type) * type ||
            (table->fields[k].type == STATE_VARYING ? count > table->fields[k].count
                                                    : count != table->fields[k].count) ||
            source[k]) {
            g_autofree char *shown = state_shown(field_name, 60);
            g_autofree char *what = g_strdup_printf("field '%s' does not fit", shown);
            return fail(error, table, instance, what);
        }
        size_t size = (size_t)count * element_size(table->fields[k].type);
        source[k] = take(&r, size);
        counts[k] = count;
        if (!r.ok)
            return fail(error, table, instance, "file too short");
        if (table->fields[k].type == STATE_BOOL)
            for (uint32_t b = 0; b < count; b++)
                if (source[k][b] > 1)
                    return fail(error, table, instance, "a truth value is neither 0 nor 1");
    }
    for (size_t k = 0; k < table->count; k++)
        if (!source[k] && table->fields[k].since <= version) {
            g_autofree char *what = g_strdup_printf("field '%s' is missing", table->fields[k].name);
            return fail(error, table, instance, what);
        }

    /* Keep the old values, so that a refusal by after_load leaves the device as it was. */
    g_autoptr(GByteArray) old = g_byte_array_new();
    for (size_t k = 0; k < table->count; k++) {
        const struct state_field *f = &table->fields[k];
        uint32_t count;
        const uint8_t *at = elements(f, device, &count);
        g_byte_array_append(old, (const uint8_t *)&count, sizeof count);
        g_byte_array_append(old, at, count * element_size(f->type));
        if (source[k])
            store(f, device, source[k], counts[k]);
    }
    if (table->after_load && !table->after_load(device, error)) {
        size_t at = 0;
        for (size_t k = 0; k < table->count; k++) {
            const struct state_field *f = &table->fields[k];
            uint32_t count;
            memcpy(&count, old->data + at, sizeof count);
            at += sizeof count;
            store(f, device, old->data + at, count);
            at += (size_t)count * element_size(f->type);
        }
        table->after_load(device, NULL);
        g_prefix_error(error, "saved state of %s (%s): ", instance, table->name);
        return false;
    }
    *pos = r.pos;
    return true;
}

bool state_is_of(const struct state_table *table, const char *instance, const uint8_t *data, size_t len)
{
    struct reader r = {.data = data, .len = len, .ok = true};
    const uint8_t *magic = take(&r, 4);
    if (!magic || memcmp(magic, STATE_MAGIC, 4) != 0)
        return false;
    g_autofree char *name = take_string(&r);
    g_autofree char *saved_instance = take_string(&r);
    return r.ok && !strcmp(name, table->name) && !strcmp(saved_instance, instance);
}

void state_print(const struct state_table *table, const char *instance, void *device, GString *out)
{
    if (table->before_save)
        table->before_save(device);
    for (size_t i = 0; i < table->count; i++) {
        const struct state_field *f = &table->fields[i];
        uint32_t count;
        const uint8_t *at = elements(f, device, &count);
        unsigned size = element_size(f->type);
        g_string_append_printf(out, "%s.%s=", instance, f->name);
        for (uint32_t k = 0; k < count; k++) {
            uint64_t value = 0;
            memcpy(&value, at + (size_t)k * size, size);
            if (f->type == STATE_BYTES || f->type == STATE_VARYING)
                g_string_append_printf(out, "%02x", (unsigned)value);
            else
                g_string_append_printf(out, "%s%" G_GINT64_MODIFIER "x", k ? "," : "", value);
        }
        g_string_append_c(out, '\n');
    }
}
