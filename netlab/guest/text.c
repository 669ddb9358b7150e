/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Growing strings, JSON quoting and base64 for the guest program.
 */
#include "guest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(struct text *t, size_t more)
{
    if (t->length + more + 1 <= t->size)
        return;
    size_t size = (t->length + more + 1) * 2;
    char *at = realloc(t->at, size);
    if (!at) { /* init must not die: lose the text, keep the machine */
        t->length = 0;
        return;
    }
    t->at = at;
    t->size = size;
}

void text_add_bytes(struct text *t, const char *s, size_t n)
{
    reserve(t, n);
    if (!t->at || t->size < t->length + n + 1)
        return;
    memcpy(t->at + t->length, s, n);
    t->length += n;
    t->at[t->length] = 0;
}

void text_add(struct text *t, const char *s)
{
    text_add_bytes(t, s, strlen(s));
}

void text_addf(struct text *t, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n > 0)
        text_add_bytes(t, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

void text_add_json(struct text *t, const char *s, size_t n)
{
    text_add_bytes(t, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            text_addf(t, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            text_addf(t, "\\u%04x", c);
        else
            text_add_bytes(t, s + i, 1);
    }
    text_add_bytes(t, "\"", 1);
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void text_add_base64(struct text *t, const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)data[i] << 16;
        if (i + 1 < n)
            v |= (uint32_t)data[i + 1] << 8;
        if (i + 2 < n)
            v |= data[i + 2];
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
                        i + 2 < n ? digits[v & 63] : '='};
        text_add_bytes(t, four, 4);
    }
}

size_t base64_decode(char *in_place, size_t n)
{
    size_t out = 0;
    uint32_t v = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < n; i++) {
        const char *d = in_place[i] ? strchr(digits, in_place[i]) : NULL;
        if (!d)
            break;
        v = v << 6 | (uint32_t)(d - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            in_place[out++] = (char)(v >> bits);
        }
    }
    return out;
}

void text_free(struct text *t)
{
    free(t->at);
    *t = (struct text){0};
}
