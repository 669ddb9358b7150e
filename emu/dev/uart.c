/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * 16550A serial port: see uart.h. National PC16550D datasheet.
 *
 * Sending takes no time: a byte written to THR is at the back end at once, so THRE and TEMT are always set
 * (a guest that waits for them never waits). Receiving is paced by the guest: the back end may only deliver
 * what fits in the FIFO, and is told after each read how much that is. Each byte in the FIFO carries its line
 * status bits (only a break can happen here). The character timeout of a FIFO below its trigger level runs on
 * guest time, four characters at the programmed rate. INTR goes straight to the interrupt wire; MCR.OUT2,
 * which gates it on most PC boards, does not here, so drivers that forget it work as they do on common
 * emulators. The modem lines of the other end (CTS, DSR, DCD) are always on while something is plugged in,
 * but for back ends that have such lines (a serial port of the host): these are asked, every MODEM_LOOK_NS
 * while the guest wants interrupts from them. Speed and format, breaks, DTR and RTS are told to the back end.
 */
#include "emu/dev/uart.h"
#include "emu/trace.h"

#include <gio/gio.h>
#include <string.h>

enum { RBR_THR_DLL = 0, IER_DLM = 1, IIR_FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };
enum { IER_RX = 1, IER_THRE = 2, IER_LINE = 4, IER_MODEM = 8, IER_BITS = 15 };
enum {
    IIR_NONE = 0x01,
    IIR_MODEM = 0x00,
    IIR_THRE = 0x02,
    IIR_RX = 0x04,
    IIR_LINE = 0x06,
    IIR_TIMEOUT = 0x0c,
    IIR_FIFOS = 0xc0
};
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4, FCR_STORED = 0xc9 };
enum { LCR_STOP2 = 4, LCR_PARITY = 8, LCR_EVEN_PARITY = 0x10, LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10, MCR_BITS = 0x1f };
enum {
    LSR_DR = 1,
    LSR_OE = 2,
    LSR_PE = 4,
    LSR_FE = 8,
    LSR_BI = 0x10,
    LSR_THRE = 0x20,
    LSR_TEMT = 0x40,
    LSR_FIFO = 0x80
};
enum { LSR_ERRORS = LSR_OE | LSR_PE | LSR_FE | LSR_BI, LSR_OF_BYTE = LSR_PE | LSR_FE | LSR_BI };
enum {
    MSR_DCTS = 1,
    MSR_DDSR = 2,
    MSR_TERI = 4,
    MSR_DDCD = 8,
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80
};
enum { MSR_LINES = 0xf0, MSR_DELTAS = 0x0f };
#define MODEM_LOOK_NS INT64_C(10000000)
enum { FIFO = 16, CRYSTAL_HZ = 1843200, TIMEOUT_CHARACTERS = 4 };

static const uint8_t trigger_level[4] = {1, 4, 8, 14};

struct uart {
    struct device device;
    struct clock *clock;
    struct clock_timer *timeout_timer, *modem_timer;
    struct irq_line irq;
    struct char_line line; /* as the back end was told */
    bool breaking;
    struct char_port *port;
    uint16_t base;
    uint8_t ier, fcr, lcr, mcr, msr, scr;
    uint16_t divisor;
    uint8_t rx[FIFO], rx_flags[FIFO]; /* rx[0] is the oldest */
    uint8_t rx_count;
    bool overrun;
    bool thre_pending; /* THR became empty and nobody has been told */
    bool timed_out;
    uint64_t timeout_at; /* ns, 0: not running; for saved state */
};

static bool fifo_on(const struct uart *u)
{
    return u->fcr & FCR_ENABLE;
}

static unsigned capacity(const struct uart *u)
{
    return fifo_on(u) ? FIFO : 1;
}

/* ---- interrupts ---- */

static uint8_t line_status(const struct uart *u)
{
    uint8_t lsr = LSR_THRE | LSR_TEMT;
    if (u->rx_count)
        lsr |= (uint8_t)(LSR_DR | u->rx_flags[0]);
    if (u->overrun)
        lsr |= LSR_OE;
    for (unsigned i = 0; fifo_on(u) && i < u->rx_count; i++)
        if (u->rx_flags[i])
            lsr |= LSR_FIFO;
    return lsr;
}

/* The highest-priority interrupt, as IIR names it. */
static uint8_t interrupt(const struct uart *u)
{
    if (u->ier & IER_LINE && line_status(u) & LSR_ERRORS)
        return IIR_LINE;
    if (u->ier & IER_RX && u->rx_count >= (fifo_on(u) ? trigger_level[u->fcr >> 6] : 1))
        return IIR_RX;
    if (u->ier & IER_RX && u->timed_out)
        return IIR_TIMEOUT;
    if (u->ier & IER_THRE && u->thre_pending)
        return IIR_THRE;
    if (u->ier & IER_MODEM && u->msr & MSR_DELTAS)
        return IIR_MODEM;
    return IIR_NONE;
}

static void update(struct uart *u)
{
    irq_set(&u->irq, interrupt(u) != IIR_NONE);
}

/* ---- receiving ---- */

static void tell_room(struct uart *u)
{
    if (u->port)
        char_accept(u->port, u->mcr & MCR_LOOP ? 0 : capacity(u) - MIN(u->rx_count, capacity(u)));
}

static int64_t character_ns(const struct uart *u)
{
    unsigned bits = 1 + 5 + (u->lcr & 3) + (u->lcr & LCR_PARITY ? 1 : 0) + (u->lcr & LCR_STOP2 ? 2 : 1);
    uint32_t divisor = u->divisor ? u->divisor : 0x10000;
    return (int64_t)clock_muldiv(16ull * divisor * bits, NANOSECONDS, CRYSTAL_HZ);
}

/* Every byte that arrives or is read starts the timeout anew. */
static void restart_timeout(struct uart *u)
{
    u->timed_out = false;
    if (fifo_on(u) && u->rx_count)
        clock_timer_set(u->timeout_timer, clock_now(u->clock) + TIMEOUT_CHARACTERS * character_ns(u));
    else
        clock_timer_cancel(u->timeout_timer);
}

static void timeout_fire(void *opaque)
{
    struct uart *u = opaque;
    u->timed_out = u->rx_count != 0;
    update(u);
}

static void receive(struct uart *u, uint8_t byte, uint8_t flags)
{
    if (u->rx_count >= capacity(u)) {
        u->overrun = true;
        if (!fifo_on(u)) { /* the holding register is overwritten; a FIFO keeps what it has */
            u->rx[0] = byte;
            u->rx_flags[0] = flags;
        }
        return;
    }
    u->rx[u->rx_count] = byte;
    u->rx_flags[u->rx_count++] = flags;
}

static void input(void *opaque, const uint8_t *data, size_t len)
{
    struct uart *u = opaque;
    trace(UART, "%s: %zu bytes in", u->device.id, len);
    for (size_t i = 0; i < len; i++)
        receive(u, data[i], 0);
    restart_timeout(u);
    tell_room(u);
    update(u);
}

static void broke(void *opaque)
{
    struct uart *u = opaque;
    receive(u, 0, LSR_BI);
    restart_timeout(u);
    tell_room(u);
    update(u);
}

static void clear_rx(struct uart *u)
{
    u->rx_count = 0;
    u->overrun = false;
    restart_timeout(u);
}

static uint8_t take_byte(struct uart *u)
{
    uint8_t byte = u->rx[0];
    if (u->rx_count) {
        u->rx_count--;
        for (unsigned i = 0; i < u->rx_count; i++) {
            u->rx[i] = u->rx[i + 1];
            u->rx_flags[i] = u->rx_flags[i + 1];
        }
    }
    restart_timeout(u);
    tell_room(u);
    return byte;
}

/* ---- sending and modem lines ---- */

static void transmit(struct uart *u, uint8_t byte)
{
    byte &= (uint8_t)(0xff >> (3 - (u->lcr & 3))); /* 5 to 8 data bits */
    if (u->mcr & MCR_LOOP) {
        receive(u, byte, 0);
        restart_timeout(u);
    } else if (u->port) {
        char_write(u->port, &byte, 1);
    }
    u->thre_pending = true;
}

static uint8_t modem_lines(const struct uart *u)
{
    unsigned lines;
    if (!(u->mcr & MCR_LOOP) && u->port && char_modem(u->port, &lines))
        return (uint8_t)((lines & CHAR_CTS ? MSR_CTS : 0) | (lines & CHAR_DSR ? MSR_DSR : 0) |
                         (lines & CHAR_RI ? MSR_RI : 0) | (lines & CHAR_DCD ? MSR_DCD : 0));
    if (!(u->mcr & MCR_LOOP))
        return u->port ? MSR_CTS | MSR_DSR | MSR_DCD : 0;
    return (uint8_t)((u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
                     (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void update_modem(struct uart *u)
{
    uint8_t before = u->msr & MSR_LINES, now = modem_lines(u), changed = before ^ now;
    u->msr = (uint8_t)((u->msr & MSR_DELTAS) | now);
    if (changed & MSR_CTS)
        u->msr |= MSR_DCTS;
    if (changed & MSR_DSR)
        u->msr |= MSR_DDSR;
    if (changed & before & MSR_RI) /* trailing edge only */
        u->msr |= MSR_TERI;
    if (changed & MSR_DCD)
        u->msr |= MSR_DDCD;
}

/* Modem lines that change by themselves are looked at while they interrupt. */
static void watch_modem(struct uart *u)
{
    unsigned lines;
    if (u->ier & IER_MODEM && u->port && char_modem(u->port, &lines))
        clock_timer_set(u->modem_timer, clock_now(u->clock) + MODEM_LOOK_NS);
    else
        clock_timer_cancel(u->modem_timer);
}

static void modem_fire(void *opaque)
{
    struct uart *u = opaque;
    update_modem(u);
    watch_modem(u);
    update(u);
}

/* Tells the back end what has changed of speed, format, break and modem lines. */
static void tell_line(struct uart *u)
{
    if (!u->port)
        return;
    uint32_t divisor = u->divisor ? u->divisor : 0x10000;
    struct char_line line = {.speed = CRYSTAL_HZ / 16 / divisor,
                             .data_bits = 5u + (u->lcr & 3),
                             .stop_bits = u->lcr & LCR_STOP2 ? 2 : 1,
                             .parity = !(u->lcr & LCR_PARITY)     ? 'N'
                                       : u->lcr & LCR_EVEN_PARITY ? 'E'
                                                                  : 'O'};
    if (line.speed != u->line.speed || line.data_bits != u->line.data_bits ||
        line.stop_bits != u->line.stop_bits || line.parity != u->line.parity) {
        u->line = line;
        char_set_line(u->port, &line);
    }
    bool breaking = u->lcr & LCR_BREAK && !(u->mcr & MCR_LOOP);
    if (breaking != u->breaking) {
        u->breaking = breaking;
        char_set_break(u->port, breaking);
    }
}

static void tell_modem(struct uart *u)
{
    bool loop = u->mcr & MCR_LOOP; /* the pins are off then */
    if (u->port)
        char_set_modem(u->port, (u->mcr & MCR_DTR && !loop ? CHAR_DTR : 0u) |
                                    (u->mcr & MCR_RTS && !loop ? CHAR_RTS : 0u));
}

/* ---- registers ---- */

static void fcr_write(struct uart *u, uint8_t value)
{
    bool switched = (value ^ u->fcr) & FCR_ENABLE;
    u->fcr = value & FCR_ENABLE ? value & FCR_STORED : 0; /* the rest is only taken together with bit 0 */
    if (switched || value & FCR_CLEAR_RX)
        clear_rx(u);
    if (switched || value & FCR_CLEAR_TX)
        u->thre_pending = true;
    tell_room(u);
}

static void ier_write(struct uart *u, uint8_t value)
{
    /* Enabling the interrupt while THR is empty (always) gives one. */
    if (value & ~u->ier & IER_THRE)
        u->thre_pending = true;
    u->ier = value & IER_BITS;
    watch_modem(u);
}

static void mcr_write(struct uart *u, uint8_t value)
{
    u->mcr = value & MCR_BITS;
    tell_modem(u);
    tell_line(u);
    update_modem(u);
    tell_room(u);
}

static void lcr_write(struct uart *u, uint8_t value)
{
    bool break_begins = value & ~u->lcr & LCR_BREAK;
    u->lcr = value;
    if (!(value & LCR_DLAB)) /* while the divisor is being written it is half one */
        tell_line(u);
    if (break_begins && u->mcr & MCR_LOOP) {
        receive(u, 0, LSR_BI);
        restart_timeout(u);
    }
}

static void uart_write(void *opaque, uint16_t port, uint32_t value32, unsigned size)
{
    struct uart *u = opaque;
    uint8_t value = (uint8_t)value32;
    bool dlab = u->lcr & LCR_DLAB;
    trace(UART, "%s: register %u <- %02x", u->device.id, port - u->base, value);
    switch (port - u->base) {
    case RBR_THR_DLL:
        if (dlab)
            u->divisor = (uint16_t)((u->divisor & 0xff00) | value);
        else
            transmit(u, value);
        break;
    case IER_DLM:
        if (dlab)
            u->divisor = (uint16_t)((u->divisor & 0xff) | value << 8);
        else
            ier_write(u, value);
        break;
    case IIR_FCR:
        fcr_write(u, value);
        break;
    case LCR:
        lcr_write(u, value);
        break;
    case MCR:
        mcr_write(u, value);
        break;
    case LSR: /* factory test */
    case MSR:
        break;
    case SCR:
        u->scr = value;
        break;
    }
    update(u);
}

static uint8_t iir_read(struct uart *u)
{
    uint8_t iir = interrupt(u);
    if (iir == IIR_THRE)
        u->thre_pending = false;
    return iir | (fifo_on(u) ? IIR_FIFOS : 0);
}

static uint8_t lsr_read(struct uart *u)
{
    uint8_t lsr = line_status(u);
    u->overrun = false;
    u->rx_flags[0] = 0;
    return lsr;
}

static uint8_t msr_read(struct uart *u)
{
    update_modem(u);
    uint8_t msr = u->msr;
    u->msr &= MSR_LINES;
    return msr;
}

static uint8_t register_read(struct uart *u, unsigned reg)
{
    bool dlab = u->lcr & LCR_DLAB;
    switch (reg) {
    case RBR_THR_DLL:
        return dlab ? (uint8_t)u->divisor : take_byte(u);
    case IER_DLM:
        return dlab ? (uint8_t)(u->divisor >> 8) : u->ier;
    case IIR_FCR:
        return iir_read(u);
    case LCR:
        return u->lcr;
    case MCR:
        return u->mcr;
    case LSR:
        return lsr_read(u);
    case MSR:
        return msr_read(u);
    default:
        return u->scr;
    }
}

static uint32_t uart_read(void *opaque, uint16_t port, unsigned size)
{
    struct uart *u = opaque;
    uint8_t value = register_read(u, port - u->base);
    trace(UART, "%s: register %u -> %02x", u->device.id, port - u->base, value);
    update(u);
    return value;
}

static const struct portio_ops uart_ops = {.read = uart_read, .write = uart_write};

/* ---- device ---- */

static void uart_reset(struct device *device)
{
    struct uart *u = (struct uart *)device;
    u->ier = u->fcr = u->lcr = u->mcr = u->scr = 0;
    u->divisor = 12; /* undefined on silicon; 9600 baud */
    u->rx_count = 0;
    memset(u->rx, 0, sizeof u->rx);
    memset(u->rx_flags, 0, sizeof u->rx_flags);
    u->overrun = u->thre_pending = false;
    tell_modem(u);
    tell_line(u);
    watch_modem(u);
    u->msr = modem_lines(u);
    restart_timeout(u);
    tell_room(u);
    update(u);
}

static void uart_before_save(void *device)
{
    struct uart *u = device;
    int64_t deadline = clock_timer_deadline(u->timeout_timer);
    u->timeout_at = deadline == CLOCK_NEVER ? 0 : (uint64_t)MAX(deadline, 1);
}

static bool uart_after_load(void *device, GError **error)
{
    struct uart *u = device;
    u->fcr &= FCR_STORED;
    if (u->rx_count > capacity(u)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "%s: saved state has %u bytes in a FIFO of %u; the file is damaged, save it again",
                    u->device.id, u->rx_count, capacity(u));
        uart_reset(&u->device);
        return false;
    }
    for (unsigned i = 0; i < FIFO; i++)
        u->rx_flags[i] &= LSR_OF_BYTE;
    u->ier &= IER_BITS;
    u->mcr &= MCR_BITS;
    tell_modem(u);
    tell_line(u);
    watch_modem(u);
    u->msr = (uint8_t)((u->msr & MSR_DELTAS) | modem_lines(u));
    bool timed_out = u->timed_out && u->rx_count;
    restart_timeout(u);
    u->timed_out = timed_out;
    /* What is left of a running timeout is at most a whole one. */
    if (u->rx_count && fifo_on(u) && u->timeout_at && (int64_t)u->timeout_at > 0)
        clock_timer_set(u->timeout_timer,
                        MIN((int64_t)u->timeout_at, clock_timer_deadline(u->timeout_timer)));
    else
        clock_timer_cancel(u->timeout_timer);
    tell_room(u);
    update(u);
    return true;
}

static const struct state_field uart_fields[] = {
    STATE(struct uart, U8, ier),
    STATE(struct uart, U8, fcr),
    STATE(struct uart, U8, lcr),
    STATE(struct uart, U8, mcr),
    STATE(struct uart, U8, msr),
    STATE(struct uart, U8, scr),
    STATE(struct uart, U16, divisor),
    STATE_ARRAY(struct uart, BYTES, rx),
    STATE_ARRAY(struct uart, BYTES, rx_flags),
    STATE(struct uart, U8, rx_count),
    STATE(struct uart, BOOL, overrun),
    STATE(struct uart, BOOL, thre_pending),
    STATE(struct uart, BOOL, timed_out),
    STATE(struct uart, U64, timeout_at),
};
static const struct state_table uart_state = {
    .name = "uart",
    .version = 1,
    .fields = uart_fields,
    .count = G_N_ELEMENTS(uart_fields),
    .before_save = uart_before_save,
    .after_load = uart_after_load,
};

static void uart_free(struct device *device)
{
    struct uart *u = (struct uart *)device;
    clock_timer_free(u->timeout_timer);
    clock_timer_free(u->modem_timer);
    g_free(u);
}

static const struct device_class uart_class = {
    .name = "isa-serial", .state = &uart_state, .reset = uart_reset, .free = uart_free};
static const struct char_events uart_events = {.input = input, .broke = broke, .may_change = true};

struct uart *uart_new(struct portio *io, struct clock *clock, const char *id, uint16_t base,
                      const struct irq_line *irq, struct char_port *port)
{
    struct uart *u = g_new0(struct uart, 1);
    device_init(&u->device, &uart_class, id);
    u->clock = clock;
    u->irq = *irq;
    u->port = port;
    u->base = base;
    u->timeout_timer = clock_timer_new(clock, timeout_fire, u);
    u->modem_timer = clock_timer_new(clock, modem_fire, u);
    portio_add(io, "uart", base, 8, &uart_ops, u);
    if (port)
        char_connect(port, &uart_events, u);
    uart_reset(&u->device);
    return u;
}
