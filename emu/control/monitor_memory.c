/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The text monitor's words about memory, ports and values: x, xp, print, memsave, pmemsave, i, o.
 *
 * Where an address or a value is wanted, an expression may stand: numbers (decimal, 0x, 'c'), $registers,
 * parentheses, and the operators of QEMU's monitor, which bind in its order: unary + - ~, then * / %, then
 * & | ^, and + - last. All in 64 bits, wrapping around. The depth of parentheses and signs is bounded. The
 * words of a line are put together again first, so that "p 1 + 2" is one expression.
 */
#include "emu/control/control_internal.h"

#include "emu/keyval.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <unistd.h>

enum { DUMP_MOST = 65536, DEPTH_MOST = 64 };

/* ---- expressions ---- */

struct expression {
    struct control *control;
    const char *at;
    unsigned depth;
    GString *out; /* what is wrong */
};

static bool expression_sum(struct expression *e, uint64_t *value);

static char expression_peek(struct expression *e)
{
    while (*e->at == ' ' || *e->at == '\t')
        e->at++;
    return *e->at;
}

static size_t word_length(const char *text)
{
    size_t len = 0;
    while (g_ascii_isalnum(text[len]) || text[len] == '_')
        len++;
    return len;
}

static bool expression_register(struct expression *e, uint64_t *value)
{
    const struct control_machine *m = e->control->machine;
    size_t len = word_length(e->at + 1);
    g_autofree char *name = g_strndup(e->at + 1, len);
    uint32_t got;
    if (!m->register_value || !m->register_value(m->opaque, name, &got)) {
        g_string_append_printf(e->out, "no register '$%s'\n", name);
        return false;
    }
    *value = got;
    e->at += 1 + len;
    return true;
}

static bool expression_number(struct expression *e, uint64_t *value)
{
    g_autoptr(GError) error = NULL;
    if (e->at[0] == '\'' && e->at[1] && e->at[2] == '\'') {
        *value = (uint8_t)e->at[1];
        e->at += 3;
        return true;
    }
    size_t len = word_length(e->at);
    g_autofree char *text = len ? g_strndup(e->at, len) : g_strdup(e->at);
    if (!keyval_parse_number("value", text, 0, 0, value, &error)) {
        g_string_append_printf(e->out, "%s\n", error->message);
        return false;
    }
    e->at += len;
    return true;
}

static bool expression_unary(struct expression *e, uint64_t *value)
{
    char c = expression_peek(e);
    if (!c) {
        g_string_append(e->out, "the expression ends too early\n");
        return false;
    }
    if (c == '$')
        return expression_register(e, value);
    if (!strchr("+-~(", c))
        return expression_number(e, value);
    if (e->depth == DEPTH_MOST) {
        g_string_append(e->out, "the expression is nested too deeply\n");
        return false;
    }
    e->at++;
    e->depth++;
    if (!(c == '(' ? expression_sum(e, value) : expression_unary(e, value)))
        return false;
    e->depth--;
    if (c == '(') {
        if (expression_peek(e) != ')') {
            g_string_append(e->out, "')' is missing\n");
            return false;
        }
        e->at++;
    }
    *value = c == '-' ? 0 - *value : c == '~' ? ~*value : *value;
    return true;
}

static bool expression_product(struct expression *e, uint64_t *value)
{
    uint64_t right;
    if (!expression_unary(e, value))
        return false;
    for (char c = expression_peek(e); c && strchr("*/%", c); c = expression_peek(e)) {
        e->at++;
        if (!expression_unary(e, &right))
            return false;
        if (c == '*') {
            *value *= right;
        } else if (!right) {
            g_string_append(e->out, "division by zero\n");
            return false;
        } else if (right == UINT64_MAX) { /* -1, by which the smallest number cannot be divided */
            *value = c == '/' ? 0 - *value : 0;
        } else {
            int64_t a = (int64_t)*value, b = (int64_t)right;
            *value = (uint64_t)(c == '/' ? a / b : a % b);
        }
    }
    return true;
}

static bool expression_logic(struct expression *e, uint64_t *value)
{
    uint64_t right;
    if (!expression_product(e, value))
        return false;
    for (char c = expression_peek(e); c && strchr("&|^", c); c = expression_peek(e)) {
        e->at++;
        if (!expression_product(e, &right))
            return false;
        *value = c == '&' ? *value & right : c == '|' ? *value | right : *value ^ right;
    }
    return true;
}

static bool expression_sum(struct expression *e, uint64_t *value)
{
    uint64_t right;
    if (!expression_logic(e, value))
        return false;
    for (char c = expression_peek(e); c && strchr("+-", c); c = expression_peek(e)) {
        e->at++;
        if (!expression_logic(e, &right))
            return false;
        *value = c == '+' ? *value + right : *value - right;
    }
    return true;
}

bool monitor_value(struct control *control, const char *text, uint64_t *value, GString *out)
{
    struct expression e = {.control = control, .at = text, .out = out};
    uint64_t got;
    if (!expression_sum(&e, &got))
        return false;
    if (expression_peek(&e)) {
        g_string_append_printf(out, "what is '%s' in '%s'?\n", e.at, text);
        return false;
    }
    *value = got;
    return true;
}

/* [/FMT] EXPRESSION…: the format's text (NULL: none), and the expression (NULL: none). */
static char *split_format(char **words, const char **format)
{
    *format = *words[0] == '/' ? words[0] + 1 : NULL;
    char **rest = words + (*format ? 1 : 0);
    return *rest ? g_strjoinv(" ", rest) : NULL;
}

/* ---- values ---- */

struct value_format {
    unsigned count, size;
    char kind;
};

/* "4xw": count, then x d u o c, then b h w g; each part may be left out. */
static bool parse_format(const char *text, struct value_format *format, GString *out)
{
    if (g_ascii_isdigit(*text)) {
        guint64 count = g_ascii_strtoull(text, (char **)&text, 10);
        format->count = (unsigned)MIN(count, (guint64)DUMP_MOST);
    }
    for (; *text; text++) {
        if (strchr("xduoc", *text)) {
            format->kind = *text;
            if (*text == 'c')
                format->size = 1;
        } else if (strchr("bhwg", *text)) {
            format->size = *text == 'b' ? 1 : *text == 'h' ? 2 : *text == 'w' ? 4 : 8;
        } else {
            g_string_append_printf(out, "format '%c' is none of x d u o c and b h w g\n", *text);
            return false;
        }
    }
    return true;
}

static void append_value(GString *out, const struct value_format *format, uint64_t value)
{
    int64_t negative = format->size == 1   ? (int8_t)value
                       : format->size == 2 ? (int16_t)value
                       : format->size == 4 ? (int32_t)value
                                           : (int64_t)value;
    switch (format->kind) {
    case 'd':
        g_string_append_printf(out, "%" G_GINT64_FORMAT, negative);
        break;
    case 'u':
        g_string_append_printf(out, "%" G_GUINT64_FORMAT, value);
        break;
    case 'o':
        g_string_append_printf(out, "0%" G_GINT64_MODIFIER "o", value);
        break;
    case 'c':
        if (value < 0x80 && g_ascii_isprint((char)value))
            g_string_append_printf(out, "'%c'", (char)value);
        else
            g_string_append_printf(out, "'\\x%02x'", (unsigned)value & 0xff);
        break;
    default:
        g_string_append_printf(out, "0x%0*" G_GINT64_MODIFIER "x", (int)format->size * 2, value);
        break;
    }
}

/* One value of 64 bits; hexadecimal without leading zeroes. */
void monitor_print(struct control *control, char **words, GString *out)
{
    struct value_format format = {.count = 1, .size = 8, .kind = 'x'};
    const char *text;
    uint64_t value;
    g_autofree char *expression = split_format(words, &text);
    if (text && !parse_format(text, &format, out))
        return;
    if (!expression) {
        g_string_append(out, "usage: print /FMT EXPRESSION\n");
        return;
    }
    if (!monitor_value(control, expression, &value, out))
        return;
    format.size = 8;
    if (format.kind == 'x')
        g_string_append_printf(out, "0x%" G_GINT64_MODIFIER "x", value);
    else
        append_value(out, &format, value);
    g_string_append_c(out, '\n');
}

/* ---- memory ---- */

static void dump(struct control *control, bool physical, const struct value_format *format, uint64_t addr,
                 GString *out)
{
    const struct control_machine *m = control->machine;
    unsigned a_line = 16 / format->size;
    for (unsigned i = 0; i < format->count; i++) {
        uint8_t bytes[8] = {0};
        uint64_t value = 0;
        if (i % a_line == 0)
            g_string_append_printf(out, "%s%0*" G_GINT64_MODIFIER "x:", i ? "\n" : "", physical ? 9 : 8,
                                   addr);
        if (m->read_memory(m->opaque, physical, addr, bytes, format->size) < format->size) {
            g_string_append(out, " (no memory there)\n");
            return;
        }
        for (unsigned j = 0; j < format->size; j++)
            value |= (uint64_t)bytes[j] << 8 * j;
        g_string_append_c(out, ' ');
        append_value(out, format, value);
        addr += format->size;
        if (!physical)
            addr &= UINT32_MAX;
    }
    g_string_append_c(out, '\n');
}

static void disassemble(struct control *control, bool physical, unsigned count, uint64_t addr, GString *out)
{
    const struct control_machine *m = control->machine;
    for (unsigned i = 0; i < count && i < 1000; i++) {
        char text[128];
        unsigned len = m->disassemble ? m->disassemble(m->opaque, physical, addr, text, sizeof text) : 0;
        if (!len) {
            g_string_append_printf(out, "%08" G_GINT64_MODIFIER "x: (no memory there)\n", addr);
            return;
        }
        g_string_append_printf(out, "%08" G_GINT64_MODIFIER "x:  %s\n", addr, text);
        addr += len;
    }
}

static void examine(struct control *control, bool physical, char **words, GString *out)
{
    struct value_format format = {.count = 1, .size = 4, .kind = 'x'};
    const char *text;
    g_autofree char *address = split_format(words, &text);
    size_t len = text ? strlen(text) : 0;
    uint64_t addr;
    if (len && text[len - 1] == 'i') {
        format.kind = 'i';
        format.count = len > 1 ? (unsigned)CLAMP(g_ascii_strtoull(text, NULL, 10), 1, 1000) : 1;
    } else if (text && !parse_format(text, &format, out)) {
        return;
    }
    if (!address) {
        g_string_append(out, "the address is missing\n");
        return;
    }
    if (!monitor_value(control, address, &addr, out))
        return;
    if (!physical)
        addr &= UINT32_MAX;
    if (format.kind == 'i')
        disassemble(control, physical, format.count, addr, out);
    else
        dump(control, physical, &format, addr, out);
}

void monitor_x(struct control *control, char **words, GString *out)
{
    examine(control, false, words, out);
}

void monitor_xp(struct control *control, char **words, GString *out)
{
    examine(control, true, words, out);
}

/* ---- memory to files ---- */

static void save_memory(struct control *control, bool physical, char **words, GString *out)
{
    g_autoptr(GError) error = NULL;
    uint64_t addr, size;
    if (monitor_value(control, words[0], &addr, out) && monitor_value(control, words[1], &size, out) &&
        !control_save_memory(control, physical, addr, size, words[2], &error))
        g_string_append_printf(out, "%s\n", error->message);
}

void monitor_memsave(struct control *control, char **words, GString *out)
{
    save_memory(control, false, words, out);
}

void monitor_pmemsave(struct control *control, char **words, GString *out)
{
    save_memory(control, true, words, out);
}

/* ---- ports ---- */

/* Takes a format off the words; false: it is a bad one. */
static bool port_format(char ***words, struct value_format *format, GString *out)
{
    *format = (struct value_format){.count = 1, .size = 1, .kind = 'x'};
    if (*(*words)[0] != '/')
        return true;
    if (!parse_format((*words)[0] + 1, format, out))
        return false;
    if (format->size > 4) {
        g_string_append(out, "ports are b, h or w wide\n");
        return false;
    }
    ++*words;
    return true;
}

static bool parse_port(struct control *control, const char *text, uint16_t *port, GString *out)
{
    uint64_t value;
    if (!text) {
        g_string_append(out, "the port is missing\n");
        return false;
    }
    if (!monitor_value(control, text, &value, out))
        return false;
    *port = (uint16_t)value;
    return true;
}

void monitor_port_in(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    struct value_format format;
    uint16_t port;
    if (!port_format(&words, &format, out) || !parse_port(control, words[0], &port, out))
        return;
    g_string_append_printf(out, "port 0x%04x = ", port);
    append_value(out, &format, m->read_port(m->opaque, port, format.size));
    g_string_append_c(out, '\n');
}

void monitor_port_out(struct control *control, char **words, GString *out)
{
    const struct control_machine *m = control->machine;
    struct value_format format;
    uint16_t port;
    uint64_t value;
    if (!port_format(&words, &format, out))
        return;
    if (!words[0] || !words[1])
        g_string_append(out, "port and value are wanted\n");
    else if (parse_port(control, words[0], &port, out) && monitor_value(control, words[1], &value, out))
        m->write_port(m->opaque, port, (uint32_t)value, format.size);
}
