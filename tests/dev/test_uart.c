/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The 16550A: FIFO and holding register, every interrupt and its priority, timeout, overrun, break, loopback,
 * modem lines, flow control towards the back end. The back end is a fake: the functions of char/backend.h are
 * defined here. The debug console, which has the same back end, is tested along.
 */
#include "emu/dev/debugcon.h"
#include "emu/dev/uart.h"
#include "tests/dev/chip_bench.h"

#include <string.h>

enum { IRQ4 = 0, BASE = 0x3f8 };
enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

struct char_port {
    const struct char_events *events;
    void *opaque;
    GByteArray *sent;
    size_t room; /* what char_accept() said last */
    struct char_line line;
    unsigned lines_set, breaks, modem_out;
    bool breaking;
    bool has_modem;
    unsigned modem_in;
};

void char_set_line(struct char_port *port, const struct char_line *line)
{
    port->line = *line;
    port->lines_set++;
}

void char_set_break(struct char_port *port, bool on)
{
    port->breaking = on;
    port->breaks++;
}

void char_set_modem(struct char_port *port, unsigned lines)
{
    port->modem_out = lines;
}

bool char_modem(struct char_port *port, unsigned *lines)
{
    *lines = port->modem_in;
    return port->has_modem;
}

void char_connect(struct char_port *port, const struct char_events *events, void *opaque)
{
    port->events = events;
    port->opaque = opaque;
}

void char_write(struct char_port *port, const uint8_t *data, size_t len)
{
    g_byte_array_append(port->sent, data, (guint)len);
}

void char_accept(struct char_port *port, size_t bytes)
{
    port->room = bytes;
}

struct rig {
    struct bench *b;
    struct char_port port;
    struct uart *uart;
};

static void set_up(struct rig *r, gconstpointer data)
{
    r->b = bench_new();
    r->port.sent = g_byte_array_new();
    struct irq_line irq = bench_wire(r->b, IRQ4);
    r->uart = uart_new(r->b->io, r->b->clock, "serial0", BASE, &irq, &r->port);
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->uart);
    g_byte_array_unref(r->port.sent);
    bench_free(r->b);
}

static uint8_t get(struct rig *r, unsigned reg)
{
    return in8(r->b, (uint16_t)(BASE + reg));
}

static void set(struct rig *r, unsigned reg, uint8_t value)
{
    out8(r->b, (uint16_t)(BASE + reg), value);
}

static void arrive(struct rig *r, const char *text)
{
    size_t len = strlen(text);
    g_assert_cmpuint(len, <=, r->port.room);
    r->port.events->input(r->port.opaque, (const uint8_t *)text, len);
}

static void set_rate_115200(struct rig *r)
{
    set(r, LCR, 0x83);
    set(r, DATA, 1);
    set(r, IER, 0);
    set(r, LCR, 0x03);
}

static void test_registers(struct rig *r, gconstpointer data)
{
    g_assert_cmphex(get(r, LSR), ==, 0x60);
    g_assert_cmphex(get(r, IIR), ==, 0x01);
    g_assert_cmphex(get(r, MSR), ==, 0xb0);
    set(r, SCR, 0xa5);
    g_assert_cmphex(get(r, SCR), ==, 0xa5);
    set(r, IER, 0xff);
    g_assert_cmphex(get(r, IER), ==, 0x0f);
    set(r, IER, 0);
    set(r, MCR, 0xff);
    g_assert_cmphex(get(r, MCR), ==, 0x1f);
    set(r, MCR, 0);
    set(r, LCR, 0x83);
    set(r, DATA, 0x34);
    set(r, IER, 0x12);
    g_assert_cmphex(get(r, DATA), ==, 0x34);
    g_assert_cmphex(get(r, IER), ==, 0x12);
    set(r, LCR, 0x03);
    g_assert_cmphex(get(r, IER), ==, 0x00); /* DLAB kept them apart */
    set(r, FCR, 0x01);
    g_assert_cmphex(get(r, IIR), ==, 0xc1);
    set(r, LSR, 0xff);
    set(r, MSR, 0xff);
    g_assert_cmphex(get(r, LSR), ==, 0x60);
}

static void test_sending(struct rig *r, gconstpointer data)
{
    set(r, LCR, 0x03);
    set(r, DATA, 'h');
    set(r, DATA, 'i');
    g_assert_cmpmem(r->port.sent->data, r->port.sent->len, "hi", 2);
    g_assert_false(r->b->level[IRQ4]);
    set(r, IER, 0x02); /* THR is empty: at once */
    g_assert_true(r->b->level[IRQ4]);
    g_assert_cmphex(get(r, IIR), ==, 0x02);
    g_assert_false(r->b->level[IRQ4]); /* reading IIR ends it */
    g_assert_cmphex(get(r, IIR), ==, 0x01);
    set(r, DATA, '!');
    g_assert_true(r->b->level[IRQ4]);
    set(r, IER, 0x00);
    g_assert_false(r->b->level[IRQ4]);
    set(r, IER, 0x02); /* what some drivers test: enabling again gives it again */
    g_assert_true(r->b->level[IRQ4]);
    set(r, LCR, 0x00); /* five bits a character */
    set(r, DATA, 0xff);
    g_assert_cmphex(r->port.sent->data[3], ==, 0x1f);
}

static void test_holding_register(struct rig *r, gconstpointer data)
{
    g_assert_cmpuint(r->port.room, ==, 1);
    set(r, IER, 0x01);
    arrive(r, "a");
    g_assert_cmpuint(r->port.room, ==, 0); /* the back end keeps the rest */
    g_assert_true(r->b->level[IRQ4]);
    g_assert_cmphex(get(r, IIR), ==, 0x04);
    g_assert_cmphex(get(r, LSR), ==, 0x61);
    g_assert_cmphex(get(r, DATA), ==, 'a');
    g_assert_false(r->b->level[IRQ4]);
    g_assert_cmphex(get(r, LSR), ==, 0x60);
    g_assert_cmpuint(r->port.room, ==, 1);
}

static void test_fifo_trigger(struct rig *r, gconstpointer data)
{
    static const uint8_t level[4] = {1, 4, 8, 14};
    for (unsigned i = 0; i < 4; i++) {
        set(r, FCR, (uint8_t)(i << 6 | 0x07));
        set(r, IER, 0x01);
        g_assert_cmpuint(r->port.room, ==, 16);
        for (unsigned n = 1; n <= 16; n++) {
            arrive(r, "x");
            g_assert_true(r->b->level[IRQ4] == (n >= level[i]));
        }
        g_assert_cmpuint(r->port.room, ==, 0);
        for (unsigned n = 16; n > level[i]; n--)
            g_assert_cmphex(get(r, DATA), ==, 'x');
        g_assert_cmphex(get(r, IIR), ==, 0xc4);
        g_assert_cmphex(get(r, DATA), ==, 'x');
        g_assert_cmphex(get(r, IIR), ==, 0xc1);
    }
}

static void test_timeout(struct rig *r, gconstpointer data)
{
    set_rate_115200(r);
    set(r, FCR, 0xc7);
    set(r, IER, 0x01);
    arrive(r, "ab");
    clock_manual_advance(r->b->clock, 340000); /* four characters of ten bits: 347 µs */
    g_assert_false(r->b->level[IRQ4]);
    clock_manual_advance(r->b->clock, 10000);
    g_assert_true(r->b->level[IRQ4]);
    g_assert_cmphex(get(r, IIR), ==, 0xcc);
    g_assert_cmphex(get(r, IIR), ==, 0xcc); /* only reading data ends it */
    g_assert_cmphex(get(r, DATA), ==, 'a');
    g_assert_false(r->b->level[IRQ4]);
    clock_manual_advance(r->b->clock, 350000); /* and starts it anew */
    g_assert_cmphex(get(r, IIR), ==, 0xcc);
    g_assert_cmphex(get(r, DATA), ==, 'b');
    clock_manual_advance(r->b->clock, NANOSECONDS);
    g_assert_cmphex(get(r, IIR), ==, 0xc1);
}

static void test_order_and_clearing(struct rig *r, gconstpointer data)
{
    set(r, FCR, 0x07);
    arrive(r, "0123456789abcdef");
    for (unsigned i = 0; i < 16; i++)
        g_assert_cmphex(get(r, DATA), ==, (uint8_t) "0123456789abcdef"[i]);
    arrive(r, "rest");
    set(r, FCR, 0x03); /* clear the receive FIFO */
    g_assert_cmphex(get(r, LSR), ==, 0x60);
    g_assert_cmpuint(r->port.room, ==, 16);
    arrive(r, "rest");
    set(r, FCR, 0x00); /* switching FIFOs clears them, too */
    g_assert_cmphex(get(r, LSR), ==, 0x60);
    g_assert_cmpuint(r->port.room, ==, 1);
    set(r, FCR, 0xc6); /* nothing of it is taken without bit 0 */
    g_assert_cmphex(get(r, IIR), ==, 0x01);
}

static void test_priorities(struct rig *r, gconstpointer data)
{
    set(r, LCR, 0x03);
    set(r, FCR, 0x07);
    set(r, IER, 0x0f);
    set(r, MCR, 0x10); /* loopback takes CTS, DSR, DCD away: modem interrupt */
    set(r, DATA, 'z');
    r->port.events->broke(r->port.opaque);
    g_assert_cmphex(get(r, IIR), ==, 0xc4); /* data; the break is behind it */
    g_assert_cmphex(get(r, DATA), ==, 'z');
    g_assert_cmphex(get(r, IIR), ==, 0xc6); /* line status */
    g_assert_cmphex(get(r, LSR), ==, 0xf1);
    g_assert_cmphex(get(r, LSR), ==, 0x61); /* told once */
    g_assert_cmphex(get(r, IIR), ==, 0xc4);
    g_assert_cmphex(get(r, DATA), ==, 0x00);
    g_assert_cmphex(get(r, IIR), ==, 0xc2);
    g_assert_cmphex(get(r, IIR), ==, 0xc0);
    g_assert_cmphex(get(r, MSR), ==, 0x0b);
    g_assert_cmphex(get(r, IIR), ==, 0xc1);
    g_assert_false(r->b->level[IRQ4]);
}

static void test_loopback(struct rig *r, gconstpointer data)
{
    set(r, LCR, 0x03);
    set(r, FCR, 0x07);
    set(r, MCR, 0x10);
    g_assert_cmpuint(r->port.room, ==, 0); /* the line is disconnected */
    for (unsigned i = 0; i < 20; i++)
        set(r, DATA, (uint8_t)('A' + i));
    g_assert_cmpuint(r->port.sent->len, ==, 0);
    g_assert_cmphex(get(r, LSR), ==, 0x63); /* overrun: a FIFO keeps the old ones */
    g_assert_cmphex(get(r, LSR), ==, 0x61);
    for (unsigned i = 0; i < 16; i++)
        g_assert_cmphex(get(r, DATA), ==, 'A' + i);
    g_assert_cmphex(get(r, LSR), ==, 0x60);
    static const uint8_t lines[5][2] = {{0x01, 0x20}, {0x02, 0x10}, {0x04, 0x40}, {0x08, 0x80}, {0x0f, 0xf0}};
    for (unsigned i = 0; i < 5; i++) {
        set(r, MCR, 0x10 | lines[i][0]);
        g_assert_cmphex(get(r, MSR) & 0xf0, ==, lines[i][1]);
    }
    get(r, MSR);
    set(r, MCR, 0x10 | 0x0b); /* RI goes away: trailing edge */
    g_assert_cmphex(get(r, MSR), ==, 0xb4);
    set(r, MCR, 0x10 | 0x0f); /* and comes: no delta */
    g_assert_cmphex(get(r, MSR), ==, 0xf0);
    set(r, LCR, 0x43); /* break goes round as well */
    g_assert_cmphex(get(r, LSR) & 0x11, ==, 0x11);
    set(r, LCR, 0x03);
    get(r, DATA);
    set(r, FCR, 0x00); /* without FIFO the newest stays */
    set(r, DATA, '1');
    set(r, DATA, '2');
    g_assert_cmphex(get(r, LSR), ==, 0x63);
    g_assert_cmphex(get(r, DATA), ==, '2');
}

static void test_unplugged(void)
{
    struct bench *b = bench_new();
    struct irq_line irq = bench_wire(b, IRQ4);
    struct uart *uart = uart_new(b->io, b->clock, "serial1", 0x2f8, &irq, NULL);
    out8(b, 0x2f8, 'x');
    g_assert_cmphex(in8(b, 0x2f8 + LSR), ==, 0x60);
    g_assert_cmphex(in8(b, 0x2f8 + MSR), ==, 0x00);
    device_free((struct device *)uart);
    bench_free(b);
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    set_rate_115200(r);
    set(r, FCR, 0xc7);
    set(r, IER, 0x05);
    set(r, MCR, 0x0b);
    set(r, SCR, 0x42);
    if (r->port.room >= 3)
        arrive(r, "abc");
    r->port.events->broke(r->port.opaque);
}

static void test_state(struct rig *r, gconstpointer data)
{
    disturb(r);
    bench_round_trip((struct device *)r->uart, NULL, NULL);
    g_assert_cmpuint(r->port.room, ==, 12);
    clock_manual_advance(r->b->clock, 400000);
    g_assert_cmphex(get(r, IIR), ==, 0xcc); /* the timeout ran on */
    g_assert_cmphex(get(r, DATA), ==, 'a');
    bench_damaged_state(r->b, (struct device *)r->uart);
    bench_reset_is_complete((struct device *)r->uart, disturb, r);
    g_assert_false(r->b->level[IRQ4]);
}

/* What the back end is told: speed and format when they are whole, breaks, DTR and RTS; and what it says of
 * the lines of the other end, which are asked while they interrupt. */
static void test_host_line(struct rig *r, gconstpointer data)
{
    set_rate_115200(r);
    g_assert_cmpuint(r->port.line.speed, ==, 115200);
    g_assert_cmpuint(r->port.line.data_bits, ==, 8);
    g_assert_cmpint(r->port.line.parity, ==, 'N');
    g_assert_cmpuint(r->port.line.stop_bits, ==, 1);
    unsigned before = r->port.lines_set;
    set(r, LCR, 0x9e); /* 7 bits, even, 2 stop bits; the divisor is being written */
    set(r, DATA, 96);
    set(r, IER, 0);
    g_assert_cmpuint(r->port.lines_set, ==, before);
    set(r, LCR, 0x1e);
    g_assert_cmpuint(r->port.lines_set, ==, before + 1);
    g_assert_cmpuint(r->port.line.speed, ==, 1200);
    g_assert_cmpuint(r->port.line.data_bits, ==, 7);
    g_assert_cmpint(r->port.line.parity, ==, 'E');
    g_assert_cmpuint(r->port.line.stop_bits, ==, 2);
    set(r, LCR, 0x0a);
    g_assert_cmpint(r->port.line.parity, ==, 'O');
    set(r, LCR, 0x4a);
    g_assert_true(r->port.breaking);
    set(r, LCR, 0x0a);
    g_assert_false(r->port.breaking);
    g_assert_cmpuint(r->port.breaks, ==, 2);
    set(r, MCR, 0x0b);
    g_assert_cmpuint(r->port.modem_out, ==, CHAR_DTR | CHAR_RTS);
    set(r, MCR, 0x1b); /* the loop takes them from the pins */
    g_assert_cmpuint(r->port.modem_out, ==, 0);
    set(r, MCR, 0x09);
    g_assert_cmpuint(r->port.modem_out, ==, CHAR_DTR);

    (void)get(r, MSR);
    r->port.has_modem = true;
    g_assert_cmphex(get(r, MSR), ==, 0x0b); /* CTS, DSR, DCD went off */
    r->port.modem_in = CHAR_RI | CHAR_CTS;
    g_assert_cmphex(get(r, MSR), ==, 0x51);
    set(r, IER, 8);
    g_assert_false(r->b->level[IRQ4]);
    r->port.modem_in = CHAR_CTS | CHAR_DCD;
    clock_manual_advance(r->b->clock, 20000000);
    g_assert_true(r->b->level[IRQ4]);
    g_assert_cmphex(get(r, IIR) & 0x0f, ==, 0);
    g_assert_cmphex(get(r, MSR), ==, 0x9c); /* the ring's end and the carrier */
    g_assert_false(r->b->level[IRQ4]);
    set(r, IER, 0);
    g_assert_cmpint(clock_next_deadline(r->b->clock), ==, CLOCK_NEVER); /* nobody looks any more */
}

static void test_debugcon(struct rig *r, gconstpointer data)
{
    struct debugcon *console = debugcon_new(r->b->io, "debug", 0x402, &r->port);
    struct debugcon *deaf = debugcon_new(r->b->io, "debug2", 0xe9, NULL);
    g_assert_cmphex(in8(r->b, 0x402), ==, 0xe9);
    g_assert_cmphex(in8(r->b, 0xe9), ==, 0xe9);
    out8(r->b, 0x402, 'O');
    out8(r->b, 0x402, 'K');
    out8(r->b, 0xe9, '?');
    g_assert_cmpmem(r->port.sent->data, r->port.sent->len, "OK", 2);
    device_reset((struct device *)console);
    device_free((struct device *)console);
    device_free((struct device *)deaf);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/uart/" #name, struct rig, NULL, set_up, test_##name, tear_down)
    TEST(registers);
    TEST(sending);
    TEST(holding_register);
    TEST(fifo_trigger);
    TEST(timeout);
    TEST(order_and_clearing);
    TEST(priorities);
    TEST(loopback);
    g_test_add_func("/uart/unplugged", test_unplugged);
    TEST(state);
    TEST(host_line);
    TEST(debugcon);
    return g_test_run();
}
