/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Saved state: every device lists its fields once; this table saves, loads and prints them.
 *
 * A device's `before_save` brings fields up to date (e.g. a timer's deadline), `after_load` rebuilds what is
 * derived (timers, lines, ranges) and refuses values a device can never have: saved files are hostile.
 * Pointers are never saved. The encoding names every field, so that a newer program reads an older file.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* STATE_VARYING: bytes behind a pointer, as many as a u32 beside it says. */
enum state_type { STATE_U8, STATE_U16, STATE_U32, STATE_U64, STATE_BOOL, STATE_BYTES, STATE_VARYING };

struct state_field {
    const char *name;
    uint32_t offset;      /* in the device's struct */
    enum state_type type; /* of one element; STATE_BYTES counts bytes */
    uint32_t count;       /* elements, 1 for a scalar; STATE_VARYING: the most there can be */
    uint32_t used;        /* STATE_VARYING: offset of the uint32_t that says how many there are */
    uint16_t since;       /* table version that brought the field; older files leave it as reset made it */
};

struct state_table {
    const char *name; /* "pit", "e1000"; the instance is named by the device that owns the table */
    uint16_t version;
    const struct state_field *fields;
    size_t count;
    void (*before_save)(void *device);
    bool (*after_load)(void *device, GError **error);
};

/* Rows: STATE(struct pit, U16, latch), STATE_ARRAY(struct rtc, U8, cmos), both since version 1. */
#define STATE_SINCE(type_, kind, member, version_)                                                           \
    {                                                                                                        \
        .name = #member, .offset = offsetof(type_, member), .type = STATE_##kind, .count = 1,                \
        .since = (version_)                                                                                  \
    }
#define STATE(type, kind, member) STATE_SINCE(type, kind, member, 1)
#define STATE_ARRAY(type_, kind, member)                                                                     \
    {                                                                                                        \
        .name = #member, .offset = offsetof(type_, member), .type = STATE_##kind,                            \
        .count = sizeof(((type_ *)0)->member) / state_type_size(STATE_##kind), .since = 1                    \
    }
/* `member` points to `most` bytes, of which `used_` (a uint32_t of the struct) are saved and loaded. */
#define STATE_VARYING_SINCE(type_, member, used_, most, version_)                                            \
    {                                                                                                        \
        .name = #member, .offset = offsetof(type_, member), .type = STATE_VARYING, .count = (most),          \
        .used = offsetof(type_, used_), .since = (version_)                                                  \
    }
#define state_type_size(t)                                                                                   \
    ((t) == STATE_U16    ? 2                                                                                 \
     : (t) == STATE_U32  ? 4                                                                                 \
     : (t) == STATE_U64  ? 8                                                                                 \
     : (t) == STATE_BOOL ? sizeof(bool)                                                                      \
                         : 1)

/* Appends the device's state to `out`. `instance` distinguishes two devices of a kind ("net0"). */
void state_save(const struct state_table *table, const char *instance, void *device, GByteArray *out);
/* Loads from the front of data[*pos…len), advancing *pos. On error the device is left as it was: values are
 * read into a scratch copy of the fields first. */
bool state_load(const struct state_table *table, const char *instance, void *device, const uint8_t *data,
                size_t len, size_t *pos, GError **error);
/* Whether a saved section is this instance's; hostile input gives false. */
bool state_is_of(const struct state_table *table, const char *instance, const uint8_t *data, size_t len);
/* What a file says, made fit to be shown: at most `most` characters, none of them a control character. */
char *state_shown(const char *text, unsigned most);
/* name=value lines for people and for golden tests. */
void state_print(const struct state_table *table, const char *instance, void *device, GString *out);
