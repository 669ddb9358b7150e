/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * AML emitter: see aml.h.
 */
#include "emu/machine/aml.h"

#include <string.h>

enum {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_EXTENDED = 0x5b,
    OP_ROOT = 0x5c,
    OP_MULTI_NAME = 0x2f,
    OP_LOCAL0 = 0x60,
    OP_ARG0 = 0x68,
    OP_STORE = 0x70,
    OP_AND = 0x7b,
    OP_NOTIFY = 0x86,
    OP_IF = 0xa0,
    OP_RETURN = 0xa4,
    EXT_REGION = 0x80,
    EXT_FIELD = 0x81,
    EXT_DEVICE = 0x82,
    EXT_PROCESSOR = 0x83,
};
enum { NAME_LENGTH = 4 };
enum { RANGE_MEMORY, RANGE_IO, RANGE_BUS, RANGE_FIXED = 0x0c /* produced; minimum and maximum are fixed */ };

static void put8(GByteArray *out, unsigned value)
{
    uint8_t byte = (uint8_t)value;
    g_byte_array_append(out, &byte, 1);
}

static void put16(GByteArray *out, unsigned value)
{
    put8(out, value);
    put8(out, value >> 8);
}

static void put32(GByteArray *out, uint32_t value)
{
    put16(out, value);
    put16(out, value >> 16);
}

static void put_all(GByteArray *out, GByteArray *body)
{
    g_byte_array_append(out, body->data, body->len);
    g_byte_array_unref(body);
}

/* PkgLength counts itself: one byte up to 63, else a lead byte with the count of those that follow. */
static void put_length(GByteArray *out, uint32_t body)
{
    if (body + 1 < 64) {
        put8(out, body + 1);
        return;
    }
    unsigned follow = 1;
    while (body + 1 + follow >= 1u << (4 + 8 * follow))
        follow++;
    uint32_t length = body + 1 + follow;
    put8(out, follow << 6 | (length & 15));
    for (unsigned i = 0; i < follow; i++)
        put8(out, length >> (4 + 8 * i));
}

void aml_name_string(GByteArray *out, const char *name)
{
    if (*name == '\\') {
        put8(out, OP_ROOT);
        name++;
    }
    size_t length = strlen(name);
    g_assert(length >= 1 && length <= NAME_LENGTH);
    for (size_t i = 0; i < NAME_LENGTH; i++)
        put8(out, (uint8_t)(i < length ? name[i] : '_'));
}

void aml_integer(GByteArray *out, uint32_t value)
{
    if (value <= 1) {
        put8(out, value ? OP_ONE : OP_ZERO);
    } else if (value <= 0xff) {
        put8(out, OP_BYTE);
        put8(out, value);
    } else if (value <= 0xffff) {
        put8(out, OP_WORD);
        put16(out, value);
    } else {
        put8(out, OP_DWORD);
        put32(out, value);
    }
}

void aml_string(GByteArray *out, const char *text)
{
    put8(out, OP_STRING);
    g_byte_array_append(out, (const uint8_t *)text, (guint)strlen(text) + 1);
}

/* Three letters of five bits, then four hexadecimal digits; big-endian. */
void aml_eisa_id(GByteArray *out, const char *id)
{
    g_assert(strlen(id) == 7);
    uint32_t value =
        (uint32_t)(id[0] - '@') << 26 | (uint32_t)(id[1] - '@') << 21 | (uint32_t)(id[2] - '@') << 16;
    for (unsigned i = 3; i < 7; i++)
        value |= (uint32_t)g_ascii_xdigit_value(id[i]) << 4 * (6 - i);
    put8(out, OP_DWORD);
    put32(out, GUINT32_SWAP_LE_BE(value));
}

void aml_name_integer(GByteArray *out, const char *name, uint32_t value)
{
    put8(out, OP_NAME);
    aml_name_string(out, name);
    aml_integer(out, value);
}

void aml_name_eisa_id(GByteArray *out, const char *name, const char *id)
{
    put8(out, OP_NAME);
    aml_name_string(out, name);
    aml_eisa_id(out, id);
}

void aml_name_string_value(GByteArray *out, const char *name, const char *text)
{
    put8(out, OP_NAME);
    aml_name_string(out, name);
    aml_string(out, text);
}

void aml_name_term(GByteArray *out, const char *name, GByteArray *value)
{
    put8(out, OP_NAME);
    aml_name_string(out, name);
    put_all(out, value);
}

static unsigned name_size(const char *name)
{
    return NAME_LENGTH + (*name == '\\');
}

void aml_scope(GByteArray *out, const char *name, GByteArray *body)
{
    put8(out, OP_SCOPE);
    put_length(out, name_size(name) + body->len);
    aml_name_string(out, name);
    put_all(out, body);
}

void aml_device(GByteArray *out, const char *name, GByteArray *body)
{
    put8(out, OP_EXTENDED);
    put8(out, EXT_DEVICE);
    put_length(out, name_size(name) + body->len);
    aml_name_string(out, name);
    put_all(out, body);
}

void aml_method(GByteArray *out, const char *name, unsigned arguments, GByteArray *body)
{
    put8(out, OP_METHOD);
    put_length(out, name_size(name) + 1 + body->len);
    aml_name_string(out, name);
    put8(out, arguments & 7);
    put_all(out, body);
}

void aml_if(GByteArray *out, const char *predicate, GByteArray *body)
{
    put8(out, OP_IF);
    put_length(out, name_size(predicate) + body->len);
    aml_name_string(out, predicate);
    put_all(out, body);
}

void aml_package(GByteArray *out, unsigned elements, GByteArray *body)
{
    g_assert(elements <= 255);
    put8(out, OP_PACKAGE);
    put_length(out, 1 + body->len);
    put8(out, elements);
    put_all(out, body);
}

void aml_buffer(GByteArray *out, GByteArray *bytes)
{
    g_autoptr(GByteArray) size = g_byte_array_new();
    aml_integer(size, bytes->len);
    put8(out, OP_BUFFER);
    put_length(out, size->len + bytes->len);
    g_byte_array_append(out, size->data, size->len);
    put_all(out, bytes);
}

void aml_processor(GByteArray *out, const char *name, uint8_t id)
{
    put8(out, OP_EXTENDED);
    put8(out, EXT_PROCESSOR);
    put_length(out, name_size(name) + 6);
    aml_name_string(out, name);
    put8(out, id);
    put32(out, 0); /* no P_BLK */
    put8(out, 0);
}

void aml_return_name(GByteArray *out, const char *name)
{
    put8(out, OP_RETURN);
    aml_name_string(out, name);
}

void aml_store_arg0(GByteArray *out, const char *name)
{
    put8(out, OP_STORE);
    put8(out, OP_ARG0);
    aml_name_string(out, name);
}

void aml_store_integer(GByteArray *out, uint32_t value, const char *name)
{
    put8(out, OP_STORE);
    aml_integer(out, value);
    aml_name_string(out, name);
}

void aml_store_name_in_local(GByteArray *out, const char *name, unsigned local)
{
    put8(out, OP_STORE);
    aml_name_string(out, name);
    put8(out, OP_LOCAL0 + (local & 7));
}

void aml_if_local_and(GByteArray *out, unsigned local, uint32_t mask, GByteArray *body)
{
    g_autoptr(GByteArray) predicate = g_byte_array_new();
    put8(predicate, OP_AND);
    put8(predicate, OP_LOCAL0 + (local & 7));
    aml_integer(predicate, mask);
    put8(predicate, OP_ZERO); /* the result is kept nowhere */
    put8(out, OP_IF);
    put_length(out, predicate->len + body->len);
    g_byte_array_append(out, predicate->data, predicate->len);
    put_all(out, body);
}

void aml_notify(GByteArray *out, const char *name, unsigned event)
{
    put8(out, OP_NOTIFY);
    aml_name_string(out, name);
    aml_integer(out, event);
}

void aml_absolute_path(GByteArray *out, const char *const *names, unsigned count)
{
    g_assert(count >= 3 && count <= 255);
    put8(out, OP_ROOT);
    put8(out, OP_MULTI_NAME);
    put8(out, count);
    for (unsigned i = 0; i < count; i++)
        aml_name_string(out, names[i]);
}

void aml_io_region(GByteArray *out, const char *name, uint16_t base, uint8_t length)
{
    enum { SYSTEM_IO = 1 };
    put8(out, OP_EXTENDED);
    put8(out, EXT_REGION);
    aml_name_string(out, name);
    put8(out, SYSTEM_IO);
    aml_integer(out, base);
    aml_integer(out, length);
}

void aml_dword_fields(GByteArray *out, const char *region, const struct aml_field *fields, unsigned count)
{
    enum { DWORD_ACCESS = 3, WRITE_AS_ZEROS = 0x40 };
    put8(out, OP_EXTENDED);
    put8(out, EXT_FIELD);
    put_length(out, name_size(region) + 1 + count * (NAME_LENGTH + 1));
    aml_name_string(out, region);
    put8(out, DWORD_ACCESS | WRITE_AS_ZEROS);
    for (unsigned i = 0; i < count; i++) {
        g_assert(fields[i].bits < 64);
        aml_name_string(out, fields[i].name);
        put8(out, fields[i].bits);
    }
}

/* ---- resource descriptors (6.4) ---- */

void aml_resource_io(GByteArray *out, uint16_t base, uint8_t length)
{
    put8(out, 0x47);
    put8(out, 1); /* decodes 16 bits */
    put16(out, base);
    put16(out, base);
    put8(out, 1);
    put8(out, length);
}

void aml_resource_irq(GByteArray *out, unsigned irq)
{
    put8(out, 0x22); /* edge, active high, exclusive */
    put16(out, 1u << irq);
}

static void word_range(GByteArray *out, unsigned type, unsigned flags, unsigned first, unsigned last)
{
    put8(out, 0x88);
    put16(out, 13);
    put8(out, type);
    put8(out, RANGE_FIXED);
    put8(out, flags);
    put16(out, 0);
    put16(out, first);
    put16(out, last);
    put16(out, 0);
    put16(out, last - first + 1);
}

void aml_resource_bus_range(GByteArray *out, uint8_t first, uint8_t last)
{
    word_range(out, RANGE_BUS, 0, first, last);
}

void aml_resource_io_range(GByteArray *out, uint16_t first, uint16_t last)
{
    word_range(out, RANGE_IO, 3 /* ISA and other ports */, first, last);
}

void aml_resource_memory_range(GByteArray *out, uint32_t first, uint32_t last, bool cacheable)
{
    put8(out, 0x87);
    put16(out, 23);
    put8(out, RANGE_MEMORY);
    put8(out, RANGE_FIXED);
    put8(out, 1 | (cacheable ? 2 : 0)); /* writable */
    put32(out, 0);
    put32(out, first);
    put32(out, last);
    put32(out, 0);
    put32(out, last - first + 1);
}

void aml_resource_end(GByteArray *out)
{
    put8(out, 0x79);
    put8(out, 0); /* no checksum */
}
