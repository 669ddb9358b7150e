/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A small emitter of ACPI Machine Language (ACPI 2.0, chapter 16.2 "AML Grammar", 6.4 resource descriptors).
 *
 * A term appends its bytes to `out`. Terms with a length (Scope, Device, Method, If, Package, Buffer) take
 * their body as an array that was filled before; it is freed (g_byte_array_unref) by the call, so that
 * nesting reads inside out. Names are one to four characters, padded with '_'; a leading '\' makes the path
 * absolute.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

void aml_name_string(GByteArray *out, const char *name);
void aml_integer(GByteArray *out, uint32_t value);
void aml_string(GByteArray *out, const char *text);
/* "PNP0A03" in its compressed form, as a DWord constant. */
void aml_eisa_id(GByteArray *out, const char *id);

void aml_name_integer(GByteArray *out, const char *name, uint32_t value);
void aml_name_eisa_id(GByteArray *out, const char *name, const char *id);
void aml_name_string_value(GByteArray *out, const char *name, const char *text);
/* Name (name, Buffer/Package …): `value` is a finished term, consumed. */
void aml_name_term(GByteArray *out, const char *name, GByteArray *value);

void aml_scope(GByteArray *out, const char *name, GByteArray *body);
void aml_device(GByteArray *out, const char *name, GByteArray *body);
void aml_method(GByteArray *out, const char *name, unsigned arguments, GByteArray *body);
void aml_if(GByteArray *out, const char *predicate, GByteArray *body);
void aml_package(GByteArray *out, unsigned elements, GByteArray *body);
void aml_buffer(GByteArray *out, GByteArray *bytes);
void aml_processor(GByteArray *out, const char *name, uint8_t id);
void aml_return_name(GByteArray *out, const char *name);
void aml_store_arg0(GByteArray *out, const char *name);

void aml_store_integer(GByteArray *out, uint32_t value, const char *name);
void aml_store_name_in_local(GByteArray *out, const char *name, unsigned local); /* local 0…7 */
/* If (And (LocalN, mask)) { body } */
void aml_if_local_and(GByteArray *out, unsigned local, uint32_t mask, GByteArray *body);
void aml_notify(GByteArray *out, const char *name, unsigned event);
/* \NAME.NAME.NAME: as a term of its own it calls the method of that name. */
void aml_absolute_path(GByteArray *out, const char *const *names, unsigned count);

/* OperationRegion (name, SystemIO, base, length), and its fields one after the other, in double words. */
struct aml_field {
    const char *name;
    unsigned bits; /* at most 63 */
};
void aml_io_region(GByteArray *out, const char *name, uint16_t base, uint8_t length);
void aml_dword_fields(GByteArray *out, const char *region, const struct aml_field *fields, unsigned count);

/* Resource descriptors, for the bytes of a _CRS buffer; aml_resource_end() closes the template. */
void aml_resource_io(GByteArray *out, uint16_t base, uint8_t length);
void aml_resource_irq(GByteArray *out, unsigned irq);
void aml_resource_bus_range(GByteArray *out, uint8_t first, uint8_t last);
void aml_resource_io_range(GByteArray *out, uint16_t first, uint16_t last);
void aml_resource_memory_range(GByteArray *out, uint32_t first, uint32_t last, bool cacheable);
void aml_resource_end(GByteArray *out);
