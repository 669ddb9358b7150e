/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * GDB's remote serial protocol (GDB manual, appendix E): all-stop, one thread, the CPU.
 *
 * $packet#checksum comes in, is acknowledged by '+' until QStartNoAckMode, and answered. A byte 3 outside of
 * a packet stops the machine. While the machine runs for GDB (`running`), the stop reply is owed and sent
 * when the machine stops, for whatever reason: a point, the monitor, a reset that keeps it stopped. When GDB
 * goes away its points go too, and a machine that it had stopped runs on.
 *
 * The peer is hostile: packets are bounded, numbers checked, memory read and written by the functions for
 * debuggers, which touch no device.
 */
#include "emu/control/gdbstub.h"
#include "emu/control/control_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PACKET_MOST = 16384, REGISTERS_G = 41 /* in the `g` packet: up to mxcsr */ };

struct gdbstub {
    struct control *control;
    const struct control_machine *machine;
    const struct control_debug *debug;
    struct char_port *port;
    enum { STATE_IDLE, STATE_DATA, STATE_SUM1, STATE_SUM2 } state;
    GString *packet; /* coming in */
    uint8_t sum;
    unsigned sum_given;
    bool too_long;
    bool no_ack;
    bool attached;
    bool running;  /* GDB waits for a stop reply */
    GString *last; /* the last answer, for '-' */
};

static const char target_xml[] =
    "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>"
    "<architecture>i386</architecture><feature name=\"org.gnu.gdb.i386.core\">"
    "<flags id=\"i386_eflags\" size=\"4\"><field name=\"CF\" start=\"0\" end=\"0\"/>"
    "<field name=\"\" start=\"1\" end=\"1\"/><field name=\"PF\" start=\"2\" end=\"2\"/>"
    "<field name=\"AF\" start=\"4\" end=\"4\"/><field name=\"ZF\" start=\"6\" end=\"6\"/>"
    "<field name=\"SF\" start=\"7\" end=\"7\"/><field name=\"TF\" start=\"8\" end=\"8\"/>"
    "<field name=\"IF\" start=\"9\" end=\"9\"/><field name=\"DF\" start=\"10\" end=\"10\"/>"
    "<field name=\"OF\" start=\"11\" end=\"11\"/><field name=\"NT\" start=\"14\" end=\"14\"/>"
    "<field name=\"RF\" start=\"16\" end=\"16\"/><field name=\"VM\" start=\"17\" end=\"17\"/>"
    "<field name=\"AC\" start=\"18\" end=\"18\"/><field name=\"VIF\" start=\"19\" end=\"19\"/>"
    "<field name=\"VIP\" start=\"20\" end=\"20\"/><field name=\"ID\" start=\"21\" end=\"21\"/></flags>"
    "<reg name=\"eax\" bitsize=\"32\" type=\"int32\" regnum=\"0\"/><reg name=\"ecx\" bitsize=\"32\" "
    "type=\"int32\"/>"
    "<reg name=\"edx\" bitsize=\"32\" type=\"int32\"/><reg name=\"ebx\" bitsize=\"32\" type=\"int32\"/>"
    "<reg name=\"esp\" bitsize=\"32\" type=\"data_ptr\"/><reg name=\"ebp\" bitsize=\"32\" type=\"data_ptr\"/>"
    "<reg name=\"esi\" bitsize=\"32\" type=\"int32\"/><reg name=\"edi\" bitsize=\"32\" type=\"int32\"/>"
    "<reg name=\"eip\" bitsize=\"32\" type=\"code_ptr\"/><reg name=\"eflags\" bitsize=\"32\" "
    "type=\"i386_eflags\"/>"
    "<reg name=\"cs\" bitsize=\"32\" type=\"int32\"/><reg name=\"ss\" bitsize=\"32\" type=\"int32\"/>"
    "<reg name=\"ds\" bitsize=\"32\" type=\"int32\"/><reg name=\"es\" bitsize=\"32\" type=\"int32\"/>"
    "<reg name=\"fs\" bitsize=\"32\" type=\"int32\"/><reg name=\"gs\" bitsize=\"32\" type=\"int32\"/>"
    "<reg name=\"st0\" bitsize=\"80\" type=\"i387_ext\"/><reg name=\"st1\" bitsize=\"80\" type=\"i387_ext\"/>"
    "<reg name=\"st2\" bitsize=\"80\" type=\"i387_ext\"/><reg name=\"st3\" bitsize=\"80\" type=\"i387_ext\"/>"
    "<reg name=\"st4\" bitsize=\"80\" type=\"i387_ext\"/><reg name=\"st5\" bitsize=\"80\" type=\"i387_ext\"/>"
    "<reg name=\"st6\" bitsize=\"80\" type=\"i387_ext\"/><reg name=\"st7\" bitsize=\"80\" type=\"i387_ext\"/>"
    "<reg name=\"fctrl\" bitsize=\"32\" type=\"int\" group=\"float\"/><reg name=\"fstat\" bitsize=\"32\" "
    "type=\"int\" "
    "group=\"float\"/><reg name=\"ftag\" bitsize=\"32\" type=\"int\" group=\"float\"/><reg name=\"fiseg\" "
    "bitsize=\"32\" "
    "type=\"int\" group=\"float\"/><reg name=\"fioff\" bitsize=\"32\" type=\"int\" group=\"float\"/><reg "
    "name=\"foseg\" "
    "bitsize=\"32\" type=\"int\" group=\"float\"/><reg name=\"fooff\" bitsize=\"32\" type=\"int\" "
    "group=\"float\"/><reg "
    "name=\"fop\" bitsize=\"32\" type=\"int\" group=\"float\"/></feature>"
    "<feature name=\"org.gnu.gdb.i386.sse\"><vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
    "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/><vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
    "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/><vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
    "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/><union id=\"vec128\"><field name=\"v4_float\" "
    "type=\"v4f\"/>"
    "<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/><field "
    "name=\"v8_int16\" "
    "type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" "
    "type=\"v2i64\"/><field "
    "name=\"uint128\" type=\"uint128\"/></union>"
    "<reg name=\"xmm0\" bitsize=\"128\" type=\"vec128\" regnum=\"32\"/><reg name=\"xmm1\" bitsize=\"128\" "
    "type=\"vec128\"/>"
    "<reg name=\"xmm2\" bitsize=\"128\" type=\"vec128\"/><reg name=\"xmm3\" bitsize=\"128\" type=\"vec128\"/>"
    "<reg name=\"xmm4\" bitsize=\"128\" type=\"vec128\"/><reg name=\"xmm5\" bitsize=\"128\" type=\"vec128\"/>"
    "<reg name=\"xmm6\" bitsize=\"128\" type=\"vec128\"/><reg name=\"xmm7\" bitsize=\"128\" type=\"vec128\"/>"
    "<reg name=\"mxcsr\" bitsize=\"32\" type=\"int\" group=\"vector\"/></feature>"
    "<feature name=\"netlab.i386.system\"><reg name=\"cr0\" bitsize=\"32\" type=\"int\" regnum=\"41\" "
    "group=\"system\"/>"
    "<reg name=\"cr2\" bitsize=\"32\" type=\"data_ptr\" group=\"system\"/><reg name=\"cr3\" bitsize=\"32\" "
    "type=\"int\" "
    "group=\"system\"/><reg name=\"cr4\" bitsize=\"32\" type=\"int\" group=\"system\"/><reg name=\"fs_base\" "
    "bitsize=\"32\" type=\"data_ptr\" group=\"system\"/><reg name=\"gs_base\" bitsize=\"32\" "
    "type=\"data_ptr\" "
    "group=\"system\"/><reg name=\"efer\" bitsize=\"32\" type=\"int\" group=\"system\"/></feature></target>";

/* ---- answers ---- */

static void send_text(struct gdbstub *stub, const char *text, size_t len)
{
    uint8_t sum = 0;

    g_string_assign(stub->last, "$");
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)text[i];

        if (c == '#' || c == '$' || c == '}' || c == '*') {
            g_string_append_c(stub->last, '}');
            sum = (uint8_t)(sum + '}');
            c ^= 0x20;
        }
        g_string_append_c(stub->last, (char)c);
        sum = (uint8_t)(sum + c);
    }
    g_string_append_printf(stub->last, "#%02x", sum);
    char_write(stub->port, (const uint8_t *)stub->last->str, stub->last->len);
}

static void answer(struct gdbstub *stub, const char *text)
{
    trace(QMP, "gdb: -> %.200s", text);
    send_text(stub, text, strlen(text));
}

static void append_hex(GString *out, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        g_string_append_printf(out, "%02x", bytes[i]);
}

/* Two digits a byte into `out`; false: not that many, or no digits. */
static bool parse_hex(const char *text, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = g_ascii_xdigit_value(text[2 * i]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(text[2 * i + 1]);

        if (low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* A number of at most eight digits (more is no address of this processor); *text moves behind it. */
static bool parse_number(const char **text, uint32_t *value)
{
    char *end;
    guint64 v;

    if (!g_ascii_isxdigit(**text))
        return false;
    v = g_ascii_strtoull(*text, &end, 16);
    if (v > G_MAXUINT32)
        v &= G_MAXUINT32; /* GDB extends the sign of addresses when it takes them for 64 bits */
    *text = end;
    *value = (uint32_t)v;
    return true;
}

static bool parse_pair(const char **text, uint32_t *first, uint32_t *second)
{
    if (!parse_number(text, first) || **text != ',')
        return false;
    ++*text;
    return parse_number(text, second);
}

/* ---- stopping and going on ---- */

static bool is_running(const struct gdbstub *stub)
{
    return stub->machine->status(stub->machine->opaque) == CONTROL_RUNNING;
}

static void send_stop(struct gdbstub *stub, int signal)
{
    static const char *const names[] = {
        [CONTROL_BREAK_WRITE] = "watch", [CONTROL_BREAK_READ] = "rwatch", [CONTROL_BREAK_ACCESS] = "awatch"};
    g_autofree char *text = NULL;
    enum control_break kind;
    uint32_t linear;

    stub->running = false;
    if (stub->debug->hit(stub->debug->opaque, &kind, &linear)) {
        if (kind != CONTROL_BREAK_EXEC)
            text = g_strdup_printf("T05thread:1;%s:%x;", names[kind], linear);
        signal = 5;
    }
    if (!text)
        text = g_strdup_printf("T%02xthread:1;", signal);
    answer(stub, text);
}

static void go_on(struct gdbstub *stub)
{
    g_autoptr(GError) error = NULL;

    if (stub->machine->cont(stub->machine->opaque, &error)) {
        stub->running = true;
        return;
    }
    answer(stub, "E22");
    trace(QMP, "gdb: cannot go on: %s", error->message);
}

static void step(struct gdbstub *stub)
{
    if (!is_running(stub)) {
        stub->debug->step(stub->debug->opaque);
        send_stop(stub, 5);
    } else {
        stub->running = true;
        stub->machine->stop(stub->machine->opaque);
    }
}

void gdbstub_event(struct gdbstub *stub, const char *name)
{
    if (!stub->attached)
        return;
    if (g_str_equal(name, "STOP") && stub->running)
        send_stop(stub, 2);
    else if (g_str_equal(name, "SHUTDOWN") && stub->running) {
        stub->running = false;
        answer(stub, "W00");
        char_flush(stub->port);
    }
}

static void detach(struct gdbstub *stub)
{
    stub->attached = stub->running = false;
    stub->debug->attach(stub->debug->opaque, false);
}

/* ---- packets ---- */

static void read_registers(struct gdbstub *stub)
{
    g_autoptr(GString) out = g_string_new(NULL);
    uint8_t value[16];

    for (unsigned i = 0; i < REGISTERS_G; i++)
        append_hex(out, value, stub->debug->get_register(stub->debug->opaque, i, value));
    answer(stub, out->str);
}

static void write_registers(struct gdbstub *stub, const char *text)
{
    uint8_t now[16], value[16];
    bool all = true;

    for (unsigned i = 0; i < REGISTERS_G; i++) {
        unsigned size = stub->debug->get_register(stub->debug->opaque, i, now);

        if (strlen(text) < 2 * size || !parse_hex(text, value, size)) {
            answer(stub, "E22");
            return;
        }
        all &= stub->debug->set_register(stub->debug->opaque, i, value);
        text += 2 * size;
    }
    answer(stub, all ? "OK" : "E01");
}

static void read_register(struct gdbstub *stub, const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    uint8_t value[16];
    uint32_t number;
    unsigned size = 0;

    if (parse_number(&text, &number) && !*text)
        size = stub->debug->get_register(stub->debug->opaque, number, value);
    append_hex(out, value, size);
    answer(stub, size ? out->str : "E14");
}

static void write_register(struct gdbstub *stub, const char *text)
{
    uint8_t now[16], value[16];
    uint32_t number;
    unsigned size = 0;

    if (parse_number(&text, &number) && *text == '=')
        size = stub->debug->get_register(stub->debug->opaque, number, now);
    if (!size || strlen(++text) != 2 * size || !parse_hex(text, value, size))
        answer(stub, "E22");
    else
        answer(stub, stub->debug->set_register(stub->debug->opaque, number, value) ? "OK" : "E01");
}

static void read_memory(struct gdbstub *stub, const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    uint8_t bytes[PACKET_MOST / 2];
    uint32_t addr, len;
    size_t got;

    if (!parse_pair(&text, &addr, &len) || *text) {
        answer(stub, "E22");
        return;
    }
    len = MIN(len, (PACKET_MOST - 8) / 2);
    got = stub->machine->read_memory(stub->machine->opaque, false, addr, bytes, len);
    append_hex(out, bytes, got);
    answer(stub, got || !len ? out->str : "E14");
}

/* `binary`: bytes as they are (X), `size` of them; else hexadecimal. */
static void write_memory(struct gdbstub *stub, const char *text, const char *end, bool binary)
{
    uint8_t bytes[PACKET_MOST];
    uint32_t addr, len;
    size_t have;

    if (!parse_pair(&text, &addr, &len) || *text != ':') {
        answer(stub, "E22");
        return;
    }
    text++;
    have = (size_t)(end - text) / (binary ? 1 : 2);
    if (have != len || len > sizeof(bytes) || (!binary && !parse_hex(text, bytes, len))) {
        answer(stub, "E22");
        return;
    }
    if (binary)
        memcpy(bytes, text, len);
    answer(stub, stub->debug->write_memory(stub->debug->opaque, addr, bytes, len) == len ? "OK" : "E14");
}

static void change_point(struct gdbstub *stub, bool add, const char *text)
{
    static const enum control_break kinds[] = {CONTROL_BREAK_EXEC, CONTROL_BREAK_EXEC, CONTROL_BREAK_WRITE,
                                               CONTROL_BREAK_READ, CONTROL_BREAK_ACCESS};
    uint32_t addr, len;
    unsigned type = (unsigned)(*text - '0');

    if (type >= G_N_ELEMENTS(kinds) || text[1] != ',') {
        answer(stub, "");
        return;
    }
    text += 2;
    if (!parse_pair(&text, &addr, &len) || (type >= 2 && (len == 0 || len > 4096))) {
        answer(stub, "E22");
        return;
    }
    bool done = stub->debug->breakpoint(stub->debug->opaque, add, kinds[type], addr, type < 2 ? 1 : len);
    answer(stub, done || !add ? "OK" : "E28");
}

static void run_monitor(struct gdbstub *stub, const char *hex)
{
    g_autoptr(GString) said = g_string_new(NULL), out = g_string_new(NULL);
    size_t len = strlen(hex) / 2;
    g_autofree char *line = g_malloc0(len + 1);

    if (strlen(hex) % 2 || len > MONITOR_LINE_MOST || !parse_hex(hex, (uint8_t *)line, len)) {
        answer(stub, "E22");
        return;
    }
    monitor_execute(stub->control, line, said);
    for (size_t at = 0; at < said->len; at += 4000) {
        g_string_assign(out, "O");
        append_hex(out, (const uint8_t *)said->str + at, MIN(4000, said->len - at));
        answer(stub, out->str);
    }
    answer(stub, "OK");
}

/* "features:read:target.xml:OFFSET,LENGTH" */
static void transfer(struct gdbstub *stub, const char *text)
{
    static const char object[] = "features:read:target.xml:";
    uint32_t offset, len;

    if (!g_str_has_prefix(text, object)) {
        answer(stub, g_str_has_prefix(text, "features:read:") ? "E00" : "");
        return;
    }
    text += strlen(object);
    if (!parse_pair(&text, &offset, &len) || *text) {
        answer(stub, "E22");
        return;
    }
    size_t left = offset < strlen(target_xml) ? strlen(target_xml) - offset : 0;
    size_t now = MIN(MIN(left, len), PACKET_MOST / 4);
    g_autoptr(GString) out = g_string_new(now < left ? "m" : "l");
    g_string_append_len(out, target_xml + (left ? offset : 0), (gssize)now);
    answer(stub, out->str);
}

static void query(struct gdbstub *stub, const char *text)
{
    if (g_str_has_prefix(text, "Supported")) {
        g_autofree char *features = g_strdup_printf(
            "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+;hwbreak+;swbreak+",
            PACKET_MOST);
        answer(stub, features);
    } else if (g_str_has_prefix(text, "Xfer:")) {
        transfer(stub, text + 5);
    } else if (g_str_has_prefix(text, "Rcmd,")) {
        run_monitor(stub, text + 5);
    } else if (g_str_equal(text, "fThreadInfo")) {
        answer(stub, "m1");
    } else if (g_str_equal(text, "sThreadInfo")) {
        answer(stub, "l");
    } else if (g_str_has_prefix(text, "ThreadExtraInfo")) {
        answer(stub, "43505520"
                     "30"); /* "CPU 0" */
    } else if (g_str_equal(text, "C")) {
        answer(stub, "QC1");
    } else if (g_str_has_prefix(text, "Attached")) {
        answer(stub, "1");
    } else if (g_str_equal(text, "Symbol::")) {
        answer(stub, "OK");
    } else {
        answer(stub, "");
    }
}

static void resume_by(struct gdbstub *stub, char how)
{
    if (how == 's' || how == 'S')
        step(stub);
    else
        go_on(stub);
}

static void verbose(struct gdbstub *stub, const char *text)
{
    if (g_str_equal(text, "Cont?"))
        answer(stub, "vCont;c;C;s;S");
    else if (g_str_has_prefix(text, "Cont;") && text[5] && strchr("cCsS", text[5]))
        resume_by(stub, text[5]);
    else if (g_str_has_prefix(text, "Kill")) {
        answer(stub, "OK");
        stub->machine->quit(stub->machine->opaque);
    } else {
        answer(stub, "");
    }
}

/* "c[ADDRESS]", "s[ADDRESS]", "C SIGNAL[;ADDRESS]": the guest gets no signals. */
static void resume_at(struct gdbstub *stub, const char *text)
{
    const char *addr = text + 1;
    uint32_t eip;
    uint8_t bytes[4];

    if (text[0] == 'C' || text[0] == 'S')
        addr = strchr(text, ';') ? strchr(text, ';') + 1 : "";
    if (*addr && parse_number(&addr, &eip)) {
        memcpy(bytes, &eip, 4);
        stub->debug->set_register(stub->debug->opaque, 8, bytes);
    }
    resume_by(stub, text[0]);
}

static void first_packet(struct gdbstub *stub)
{
    stub->attached = true;
    stub->debug->attach(stub->debug->opaque, true);
    if (is_running(stub))
        stub->machine->stop(stub->machine->opaque);
}

static void handle_packet(struct gdbstub *stub, const char *text, size_t len)
{
    trace(QMP, "gdb: <- %.200s", text);
    if (!stub->attached)
        first_packet(stub);
    switch (text[0]) {
    case '?':
        send_stop(stub, 5);
        break;
    case 'g':
        read_registers(stub);
        break;
    case 'G':
        write_registers(stub, text + 1);
        break;
    case 'p':
        read_register(stub, text + 1);
        break;
    case 'P':
        write_register(stub, text + 1);
        break;
    case 'm':
        read_memory(stub, text + 1);
        break;
    case 'M':
    case 'X':
        write_memory(stub, text + 1, text + len, text[0] == 'X');
        break;
    case 'Z':
    case 'z':
        change_point(stub, text[0] == 'Z', text + 1);
        break;
    case 'c':
    case 'C':
    case 's':
    case 'S':
        resume_at(stub, text);
        break;
    case 'v':
        verbose(stub, text + 1);
        break;
    case 'q':
        query(stub, text + 1);
        break;
    case 'Q':
        if (g_str_equal(text, "QStartNoAckMode")) {
            answer(stub, "OK");
            stub->no_ack = true;
        } else {
            answer(stub, "");
        }
        break;
    case 'H':
    case 'T':
        answer(stub, "OK");
        break;
    case 'D':
        answer(stub, "OK");
        detach(stub);
        if (!is_running(stub))
            stub->machine->cont(stub->machine->opaque, NULL);
        break;
    case 'k':
        stub->machine->quit(stub->machine->opaque);
        break;
    default:
        answer(stub, "");
    }
}

/* Takes the escapes of binary data away, in place. */
static void unescape(GString *packet)
{
    gsize to = 0;

    for (gsize i = 0; i < packet->len; i++) {
        char c = packet->str[i];

        if (c == '}' && i + 1 < packet->len)
            c = (char)(packet->str[++i] ^ 0x20);
        packet->str[to++] = c;
    }
    g_string_truncate(packet, to);
}

static void packet_done(struct gdbstub *stub)
{
    bool good = stub->sum == stub->sum_given && !stub->too_long;

    if (!stub->no_ack)
        char_write(stub->port, (const uint8_t *)(good ? "+" : "-"), 1);
    if (!good)
        return;
    unescape(stub->packet);
    /* While GDB waits for a stop it asks for nothing else. */
    if (!stub->running)
        handle_packet(stub, stub->packet->str, stub->packet->len);
}

static void take_byte(struct gdbstub *stub, uint8_t c)
{
    switch (stub->state) {
    case STATE_IDLE:
        if (c == '$') {
            g_string_truncate(stub->packet, 0);
            stub->sum = 0;
            stub->too_long = false;
            stub->state = STATE_DATA;
        } else if (c == 3) {
            if (!stub->attached)
                first_packet(stub);
            else if (is_running(stub))
                stub->machine->stop(stub->machine->opaque);
        } else if (c == '-' && !stub->no_ack && stub->last->len) {
            char_write(stub->port, (const uint8_t *)stub->last->str, stub->last->len);
        }
        break;
    case STATE_DATA:
        if (c == '#') {
            stub->state = STATE_SUM1;
            break;
        }
        stub->sum = (uint8_t)(stub->sum + c);
        if (stub->packet->len < PACKET_MOST)
            g_string_append_c(stub->packet, (char)c);
        else
            stub->too_long = true;
        break;
    case STATE_SUM1:
    case STATE_SUM2: {
        int digit = g_ascii_xdigit_value((char)c);

        if (stub->state == STATE_SUM1) {
            stub->sum_given = digit < 0 ? 256 : (unsigned)digit << 4;
            stub->state = STATE_SUM2;
        } else {
            stub->sum_given = digit < 0 ? 256 : stub->sum_given | (unsigned)digit;
            stub->state = STATE_IDLE;
            packet_done(stub);
        }
        break;
    }
    }
}

void gdbstub_feed(struct gdbstub *stub, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        take_byte(stub, data[i]);
}

/* ---- the port ---- */

static void port_input(void *opaque, const uint8_t *data, size_t len)
{
    struct gdbstub *stub = opaque;

    gdbstub_feed(stub, data, len);
    char_accept(stub->port, PACKET_MOST);
}

static void port_opened(void *opaque)
{
    struct gdbstub *stub = opaque;

    stub->state = STATE_IDLE;
    stub->no_ack = false;
    g_string_truncate(stub->last, 0);
}

static void port_closed(void *opaque)
{
    struct gdbstub *stub = opaque;

    if (!stub->attached)
        return;
    detach(stub);
    if (stub->machine->status(stub->machine->opaque) == CONTROL_PAUSED)
        stub->machine->cont(stub->machine->opaque, NULL);
}

struct gdbstub *gdbstub_new(struct control *control, const struct control_machine *machine,
                            const struct control_debug *debug, struct char_port *port)
{
    static const struct char_events events = {
        .input = port_input, .opened = port_opened, .closed = port_closed};
    struct gdbstub *stub = g_new0(struct gdbstub, 1);

    stub->control = control;
    stub->machine = machine;
    stub->debug = debug;
    stub->port = port;
    stub->packet = g_string_new(NULL);
    stub->last = g_string_new(NULL);
    char_connect(port, &events, stub);
    char_accept(port, PACKET_MOST);
    return stub;
}

void gdbstub_free(struct gdbstub *stub)
{
    if (!stub)
        return;
    if (stub->attached)
        stub->debug->attach(stub->debug->opaque, false);
    g_string_free(stub->packet, TRUE);
    g_string_free(stub->last, TRUE);
    g_free(stub);
}
