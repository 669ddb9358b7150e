/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * MC146818 with PIIX3's second bank of CMOS memory: see rtc.h. Motorola MC146818A datasheet; the CMOS map is
 * the one SeaBIOS and QEMU agree on.
 *
 * The clock is guest time plus `offset`. Unless it is to run with guest time alone, the offset is set right
 * whenever guest time has fallen behind the host's clock (the machine was stopped) or the host's clock was
 * set. While it runs, the time registers are computed when they are read; while SET (or the divider reset)
 * holds it, they are plain memory, and the offset is computed anew when it is let go. The flags of register C
 * are lazy too: `flags_since` remembers up to when events were accounted for, and collect() adds what
 * happened since. A timer is armed only for interrupts that are enabled, so an idle guest costs no wake-up.
 */
#include "emu/dev/rtc.h"
#include "emu/trace.h"

#include <gio/gio.h>
#include <string.h>

enum {
    SECONDS,
    SECONDS_ALARM,
    MINUTES,
    MINUTES_ALARM,
    HOURS,
    HOURS_ALARM,
    WEEKDAY,
    DAY,
    MONTH,
    YEAR,
    REG_A,
    REG_B,
    REG_C,
    REG_D,
    CMOS_FLOPPY = 0x10,
    CMOS_EQUIPMENT = 0x14,
    CMOS_BASE_LOW = 0x15,
    CMOS_BASE_HIGH = 0x16,
    CMOS_EXTENDED = 0x17,
    CMOS_SUM = 0x2e,
    CMOS_EXTENDED2 = 0x30,
    CENTURY = 0x32,
    CMOS_ABOVE_16M = 0x34,
    CENTURY_PS2 = 0x37,
    CMOS_BOOT3 = 0x38,
    CMOS_BOOT12 = 0x3d,
    CMOS_ABOVE_4G = 0x5b,
    CMOS_CPUS = 0x5f,
};
enum { A_UIP = 0x80, A_DIVIDER = 0x70, A_HOLD = 0x60, A_RATE = 0x0f };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_SQWE = 0x08, B_BINARY = 0x04, B_24H = 0x02 };
enum { C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10, C_FLAGS = 0x70 };
enum { D_VALID = 0x80 };
enum { DONT_CARE = 0xc0, PM = 0x80, BANK = 128, DAY_SECONDS = 86400 };
/* UIP goes up 244 µs before the update cycle, which takes 1984 µs; the registers change at its end. */
#define UIP_NS       (244000 + 1984000)
#define CRYSTAL_HZ   32768
#define SECONDS_MIN  (-62167219200ll) /* 0000-01-01 */
#define SECONDS_MAX  253402300799ll   /* 9999-12-31 */
#define HOST_JUMP_NS 10000000ll       /* a smaller difference is only jitter */
#define SECOND_NS(s) ((s)*NANOSECONDS)

struct rtc {
    struct device device;
    struct clock *clock;
    struct clock_timer *timer;
    struct irq_line irq8, alarm;
    uint8_t cmos[2 * BANK]; /* the registers' places hold them while the clock is held */
    uint8_t index[2];
    int64_t offset_seconds; /* clock = guest time + offset */
    int64_t offset_ns;      /* 0…999999999 */
    int64_t host_seconds;   /* clock = host's clock + this, when it follows that */
    int64_t host_ns;        /* 0…999999999 */
    bool guest_clock;
    int64_t first_seconds; /* host_seconds, or with guest_clock offset_seconds, at the start */
    void (*changed)(void *opaque, int64_t seconds);
    void *changed_opaque;
    int64_t flags_since;   /* guest time */
    uint8_t weekday_shift; /* software may have set a weekday that is not the date's */
};

/* ---- time and date ---- */

struct moment {
    int64_t second; /* since 1970 */
    int64_t ns;     /* within it */
};

static struct moment moment_at(const struct rtc *rtc, int64_t guest_ns)
{
    int64_t ns = guest_ns % NANOSECONDS + rtc->offset_ns;
    return (struct moment){.second = guest_ns / NANOSECONDS + rtc->offset_seconds + ns / NANOSECONDS,
                           .ns = ns % NANOSECONDS};
}

/* Guest time at which the clock begins `second`. */
static int64_t guest_time(const struct rtc *rtc, int64_t second)
{
    return SECOND_NS(second - rtc->offset_seconds) - rtc->offset_ns;
}

/* Brings the two halves of a difference into their ranges. */
static void normalise(int64_t *seconds, int64_t *ns)
{
    while (*ns < 0) {
        *ns += NANOSECONDS;
        --*seconds;
    }
    *seconds += *ns / NANOSECONDS;
    *ns %= NANOSECONDS;
}

static struct moment host_now(void)
{
    int64_t us = g_get_real_time();
    return (struct moment){.second = us / G_USEC_PER_SEC, .ns = us % G_USEC_PER_SEC * 1000};
}

/* The clock is right now: what it is ahead of the host's. */
static void compare_with_host(struct rtc *rtc)
{
    struct moment clock = moment_at(rtc, clock_now(rtc->clock)), host = host_now();
    rtc->host_seconds = clock.second - host.second;
    rtc->host_ns = clock.ns - host.ns;
    normalise(&rtc->host_seconds, &rtc->host_ns);
}

static void follow_host(struct rtc *rtc)
{
    if (rtc->guest_clock)
        return;
    int64_t guest = clock_now(rtc->clock);
    struct moment clock = moment_at(rtc, guest), host = host_now();
    int64_t seconds = host.second + rtc->host_seconds - clock.second, ns = host.ns + rtc->host_ns - clock.ns;
    normalise(&seconds, &ns);
    if ((seconds == 0 && ns < HOST_JUMP_NS) || (seconds == -1 && ns > NANOSECONDS - HOST_JUMP_NS))
        return;
    trace(RTC, "set right by %" G_GINT64_FORMAT ".%09" G_GINT64_FORMAT " s", seconds, ns);
    rtc->offset_seconds += seconds;
    rtc->offset_ns += ns;
    normalise(&rtc->offset_seconds, &rtc->offset_ns);
}

struct civil {
    int year, month, day, hour, minute, second, weekday; /* weekday 0 is Sunday */
};

/* Days since 1970 ↔ proleptic Gregorian date, with years counted from March so that leap days come last. */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static struct civil civil_of(int64_t second)
{
    second = CLAMP(second, SECONDS_MIN, SECONDS_MAX);
    int64_t days = (second >= 0 ? second : second - (DAY_SECONDS - 1)) / DAY_SECONDS;
    int rest = (int)(second - days * DAY_SECONDS);
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int shifted = (int)((5 * day_of_year + 2) / 153);
    int month = shifted < 10 ? shifted + 3 : shifted - 9;
    return (struct civil){
        .year = (int)(year_of_era + era * 400 + (month <= 2)),
        .month = month,
        .day = (int)(day_of_year - (153 * shifted + 2) / 5 + 1),
        .hour = rest / 3600,
        .minute = rest / 60 % 60,
        .second = rest % 60,
        .weekday = (int)(((days + 4) % 7 + 7) % 7),
    };
}

static uint8_t encode(const struct rtc *rtc, int value)
{
    return (uint8_t)(rtc->cmos[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t byte)
{
    return rtc->cmos[REG_B] & B_BINARY ? byte : (byte >> 4) * 10 + (byte & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
    if (rtc->cmos[REG_B] & B_24H)
        return encode(rtc, hour);
    return (uint8_t)(encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? PM : 0));
}

static int decode_hour(const struct rtc *rtc, uint8_t byte)
{
    if (rtc->cmos[REG_B] & B_24H)
        return decode(rtc, byte);
    return decode(rtc, byte & 0x7f) % 12 + (byte & PM ? 12 : 0);
}

static bool is_time(unsigned index)
{
    return index == SECONDS || index == MINUTES || index == HOURS || (index >= WEEKDAY && index <= YEAR) ||
           index == CENTURY || index == CENTURY_PS2;
}

static bool held(const struct rtc *rtc)
{
    return rtc->cmos[REG_B] & B_SET || (rtc->cmos[REG_A] & A_HOLD) == A_HOLD;
}

/* Clock → registers. */
static void store_time(struct rtc *rtc)
{
    struct civil t = civil_of(moment_at(rtc, clock_now(rtc->clock)).second);
    uint8_t *cmos = rtc->cmos;
    cmos[SECONDS] = encode(rtc, t.second);
    cmos[MINUTES] = encode(rtc, t.minute);
    cmos[HOURS] = encode_hour(rtc, t.hour);
    cmos[WEEKDAY] = encode(rtc, (t.weekday + rtc->weekday_shift) % 7 + 1);
    cmos[DAY] = encode(rtc, t.day);
    cmos[MONTH] = encode(rtc, t.month);
    cmos[YEAR] = encode(rtc, t.year % 100);
    cmos[CENTURY] = cmos[CENTURY_PS2] = encode(rtc, t.year / 100);
}

/* Nanoseconds are rounded: setting the clock keeps the phase within the second, the host's is another. */
static int64_t ahead_of_start(const struct rtc *rtc)
{
    return rtc->guest_clock ? rtc->offset_seconds + (rtc->offset_ns >= NANOSECONDS / 2) - rtc->first_seconds
                            : rtc->host_seconds + (rtc->host_ns >= NANOSECONDS / 2) - rtc->first_seconds;
}

/* Registers → clock. Whatever a guest put there becomes some date; the phase within the second is kept. */
static void take_time(struct rtc *rtc)
{
    const uint8_t *cmos = rtc->cmos;
    int century = CLAMP(decode(rtc, cmos[CENTURY]), 0, 99), year = CLAMP(decode(rtc, cmos[YEAR]), 0, 99);
    int month = CLAMP(decode(rtc, cmos[MONTH]), 1, 12), day = CLAMP(decode(rtc, cmos[DAY]), 1, 31);
    int hour = CLAMP(decode_hour(rtc, cmos[HOURS]), 0, 23), minute = CLAMP(decode(rtc, cmos[MINUTES]), 0, 59);
    int second = CLAMP(decode(rtc, cmos[SECONDS]), 0, 59);
    int64_t days = days_of(century * 100 + year, month, day);
    struct moment now = moment_at(rtc, clock_now(rtc->clock));
    rtc->offset_seconds += days * DAY_SECONDS + hour * 3600 + minute * 60 + second - now.second;
    int weekday = civil_of(days * DAY_SECONDS).weekday;
    rtc->weekday_shift = (uint8_t)((unsigned)(decode(rtc, cmos[WEEKDAY]) - 1 - weekday + 7 * 64) % 7);
    compare_with_host(rtc);
    if (rtc->changed)
        rtc->changed(rtc->changed_opaque, ahead_of_start(rtc));
}

/* ---- flags and IRQ 8 ---- */

/* Ticks of the 32768 Hz chain between two periodic interrupts, 0: none. */
static int64_t period_ticks(const struct rtc *rtc)
{
    unsigned rate = rtc->cmos[REG_A] & A_RATE;
    if (rate == 0 || (rtc->cmos[REG_A] & A_HOLD) == A_HOLD)
        return 0;
    return 1ll << (rate <= 2 ? rate + 6 : rate - 1);
}

/* The chain's count within the second; the periodic flag rises where it is a multiple of the period. */
static int64_t chain(const struct rtc *rtc, int64_t guest_ns, int64_t *second)
{
    struct moment m = moment_at(rtc, guest_ns);
    *second = m.second;
    return (int64_t)clock_muldiv((uint64_t)m.ns, CRYSTAL_HZ, NANOSECONDS);
}

static int64_t next_periodic(const struct rtc *rtc, int64_t after)
{
    int64_t period = period_ticks(rtc), second;
    if (!period)
        return CLOCK_NEVER;
    int64_t tick = (chain(rtc, after, &second) / period + 1) * period;
    int64_t ns = (int64_t)clock_muldiv((uint64_t)tick, NANOSECONDS, CRYSTAL_HZ);
    /* rounding down may land just before the tick */
    return guest_time(rtc, second) + ns + ((uint64_t)tick * NANOSECONDS % CRYSTAL_HZ ? 1 : 0);
}

static int64_t next_update(const struct rtc *rtc, int64_t after)
{
    return held(rtc) ? CLOCK_NEVER : guest_time(rtc, moment_at(rtc, after).second + 1);
}

static bool alarm_byte_matches(uint8_t alarm, uint8_t now)
{
    return (alarm & DONT_CARE) == DONT_CARE || alarm == now;
}

/* The first second after `second` that the alarm registers match, INT64_MAX when none does. */
static int64_t next_alarm_second(const struct rtc *rtc, int64_t second)
{
    const uint8_t *cmos = rtc->cmos;
    int64_t from = second + 1,
            midnight = (from >= 0 ? from : from - (DAY_SECONDS - 1)) / DAY_SECONDS * DAY_SECONDS;
    int start = (int)(from - midnight);
    /* Today from `start` on, then tomorrow from midnight: at most two passes over hours, minutes, seconds. */
    for (int pass = 0; pass < 2; pass++, midnight += DAY_SECONDS, start = 0) {
        for (int h = start / 3600; h < 24; h++) {
            if (!alarm_byte_matches(cmos[HOURS_ALARM], encode_hour(rtc, h)))
                continue;
            for (int m = h == start / 3600 ? start / 60 % 60 : 0; m < 60; m++) {
                if (!alarm_byte_matches(cmos[MINUTES_ALARM], encode(rtc, m)))
                    continue;
                for (int s = h * 60 + m == start / 60 ? start % 60 : 0; s < 60; s++)
                    if (alarm_byte_matches(cmos[SECONDS_ALARM], encode(rtc, s)))
                        return midnight + h * 3600 + m * 60 + s;
            }
        }
    }
    return INT64_MAX;
}

static int64_t next_alarm(const struct rtc *rtc, int64_t after)
{
    if (held(rtc))
        return CLOCK_NEVER;
    int64_t second = next_alarm_second(rtc, moment_at(rtc, after).second);
    return second == INT64_MAX ? CLOCK_NEVER : guest_time(rtc, second);
}

/* Adds to register C what happened since it was last brought up to date. */
static void collect(struct rtc *rtc)
{
    int64_t now = clock_now(rtc->clock), since = rtc->flags_since;
    uint8_t *c = &rtc->cmos[REG_C], b = rtc->cmos[REG_B];
    if (now > since) {
        if (!(*c & C_PF) && next_periodic(rtc, since) <= now)
            *c |= C_PF;
        if (!(*c & C_UF) && next_update(rtc, since) <= now)
            *c |= C_UF;
        if (!(*c & C_AF) && next_alarm(rtc, since) <= now)
            *c |= C_AF;
    }
    rtc->flags_since = now;
    *c &= C_FLAGS;
    if (*c & b & C_FLAGS)
        *c |= C_IRQF;
}

static void update_irq(struct rtc *rtc)
{
    uint8_t b = rtc->cmos[REG_B], c = rtc->cmos[REG_C];
    irq_set(&rtc->irq8, c & C_IRQF);
    irq_set(&rtc->alarm, b & c & B_AIE);
    int64_t now = rtc->flags_since, deadline = CLOCK_NEVER;
    if (!(c & C_IRQF)) { /* while the line is up nothing new can be told */
        if (b & B_PIE)
            deadline = MIN(deadline, next_periodic(rtc, now));
        if (b & B_UIE)
            deadline = MIN(deadline, next_update(rtc, now));
        if (b & B_AIE)
            deadline = MIN(deadline, next_alarm(rtc, now));
    }
    clock_timer_set(rtc->timer, deadline);
}

static void rtc_fire(void *opaque)
{
    struct rtc *rtc = opaque;
    if (!held(rtc))
        follow_host(rtc);
    collect(rtc);
    update_irq(rtc);
}

/* ---- registers ---- */

static bool updating(const struct rtc *rtc)
{
    return !held(rtc) && moment_at(rtc, clock_now(rtc->clock)).ns >= NANOSECONDS - UIP_NS;
}

static void control_changed(struct rtc *rtc, bool was_held, bool was_divider_held)
{
    if (!was_held && held(rtc))
        return; /* the caller stored the time before */
    bool divider_held = (rtc->cmos[REG_A] & A_HOLD) == A_HOLD;
    if (was_divider_held && !divider_held) {
        /* The first update comes half a second after the divider is let go. */
        rtc->offset_ns += NANOSECONDS / 2 - moment_at(rtc, clock_now(rtc->clock)).ns;
        normalise(&rtc->offset_seconds, &rtc->offset_ns);
    }
    if (was_held && !held(rtc))
        take_time(rtc);
}

static void write_a(struct rtc *rtc, uint8_t value)
{
    bool was_held = held(rtc), was_divider_held = (rtc->cmos[REG_A] & A_HOLD) == A_HOLD;
    if (!was_held)
        store_time(rtc);
    rtc->cmos[REG_A] = value & (uint8_t)~A_UIP;
    control_changed(rtc, was_held, was_divider_held);
}

static void write_b(struct rtc *rtc, uint8_t value)
{
    bool was_held = held(rtc), was_divider_held = (rtc->cmos[REG_A] & A_HOLD) == A_HOLD;
    if (!was_held)
        store_time(rtc);
    if (value & B_SET)
        value &= (uint8_t)~B_UIE; /* the datasheet: SET clears UIE */
    rtc->cmos[REG_B] = value;
    control_changed(rtc, was_held, was_divider_held);
}

void rtc_set_alarm_line(struct rtc *rtc, const struct irq_line *alarm)
{
    rtc->alarm = *alarm;
    update_irq(rtc);
}

void rtc_on_change(struct rtc *rtc, void (*changed)(void *opaque, int64_t seconds), void *opaque)
{
    rtc->changed = changed;
    rtc->changed_opaque = opaque;
}

uint8_t rtc_cmos_read(struct rtc *rtc, uint8_t index)
{
    if (!held(rtc))
        follow_host(rtc);
    switch (index) {
    case REG_A:
        return rtc->cmos[REG_A] | (updating(rtc) ? A_UIP : 0);
    case REG_C:
        collect(rtc);
        return rtc->cmos[REG_C];
    case REG_D:
        return D_VALID;
    default:
        if (is_time(index) && !held(rtc))
            store_time(rtc);
        return rtc->cmos[index];
    }
}

void rtc_cmos_write(struct rtc *rtc, uint8_t index, uint8_t value)
{
    if (!held(rtc))
        follow_host(rtc);
    collect(rtc);
    switch (index) {
    case REG_A:
        write_a(rtc, value);
        break;
    case REG_B:
        write_b(rtc, value);
        break;
    case REG_C:
    case REG_D:
        return; /* read-only */
    default:
        if (is_time(index) && !held(rtc)) {
            store_time(rtc);
            rtc->cmos[index == CENTURY_PS2 ? CENTURY : index] = value;
            take_time(rtc);
        }
        rtc->cmos[index] = value;
        if (index == CENTURY || index == CENTURY_PS2)
            rtc->cmos[CENTURY] = rtc->cmos[CENTURY_PS2] = value;
        break;
    }
    collect(rtc);
    update_irq(rtc);
}

static uint32_t rtc_read(void *opaque, uint16_t port, unsigned size)
{
    struct rtc *rtc = opaque;
    unsigned bank = port >> 1 & 1;
    if (!(port & 1))
        return 0xff; /* the index is write-only */
    uint8_t index = (uint8_t)(bank * BANK + rtc->index[bank]);
    uint8_t value = rtc_cmos_read(rtc, index);
    if (index == REG_C) {
        rtc->cmos[REG_C] = 0;
        update_irq(rtc);
    }
    trace(RTC, "read %02x -> %02x", index, value);
    return value;
}

static void rtc_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    struct rtc *rtc = opaque;
    unsigned bank = port >> 1 & 1;
    if (!(port & 1)) {
        rtc->index[bank] = value & (BANK - 1); /* bit 7 masks NMI, of which this board has none to mask */
        return;
    }
    uint8_t index = (uint8_t)(bank * BANK + rtc->index[bank]);
    trace(RTC, "write %02x <- %02x", index, value);
    rtc_cmos_write(rtc, index, (uint8_t)value);
}

static const struct portio_ops rtc_ops = {.read = rtc_read, .write = rtc_write};

/* ---- CMOS contents ---- */

static void put16(uint8_t *at, uint64_t value)
{
    value = MIN(value, 0xffff);
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void fill_cmos(struct rtc *rtc, const struct rtc_config *config)
{
    uint8_t *cmos = rtc->cmos;
    const uint64_t mib = 1 << 20, below = config->ram_below_4g;
    unsigned floppies = (config->floppy_type[0] != 0) + (config->floppy_type[1] != 0);
    cmos[REG_A] = 0x26;
    cmos[REG_B] = B_24H;
    cmos[CMOS_FLOPPY] = (uint8_t)(config->floppy_type[0] << 4 | (config->floppy_type[1] & 15));
    cmos[CMOS_EQUIPMENT] =
        (uint8_t)(0x06 | (floppies ? 0x01 | (floppies - 1) << 6 : 0)); /* FPU, PS/2 mouse */
    put16(&cmos[CMOS_BASE_LOW], 640);
    put16(&cmos[CMOS_EXTENDED], below > mib ? (below - mib) >> 10 : 0);
    put16(&cmos[CMOS_EXTENDED2], below > mib ? (below - mib) >> 10 : 0);
    put16(&cmos[CMOS_ABOVE_16M], below > 16 * mib ? (below - 16 * mib) >> 16 : 0);
    uint64_t above = config->ram_above_4g >> 16;
    put16(&cmos[CMOS_ABOVE_4G], above & 0xffff);
    cmos[CMOS_ABOVE_4G + 2] = (uint8_t)(above >> 16);
    cmos[CMOS_CPUS] = 0; /* processors besides the first */
    cmos[CMOS_BOOT12] = (uint8_t)((config->boot_device[1] & 15) << 4 | (config->boot_device[0] & 15));
    cmos[CMOS_BOOT3] = (uint8_t)((config->boot_device[2] & 15) << 4 | config->skip_floppy_check);
    unsigned sum = 0;
    for (unsigned i = 0x10; i <= 0x2d; i++)
        sum += cmos[i];
    cmos[CMOS_SUM] = (uint8_t)(sum >> 8);
    cmos[CMOS_SUM + 1] = (uint8_t)sum;
}

static void set_start(struct rtc *rtc, const struct rtc_config *config)
{
    struct moment start = host_now();
    int64_t guest = clock_now(rtc->clock);
    switch (config->base) {
    case RTC_BASE_LOCALTIME: {
        g_autoptr(GDateTime) here = g_date_time_new_now_local();
        start.second += g_date_time_get_utc_offset(here) / G_USEC_PER_SEC;
        break;
    }
    case RTC_BASE_DATE:
        start = (struct moment){.second = CLAMP(config->date, SECONDS_MIN, SECONDS_MAX)};
        break;
    case RTC_BASE_UTC:
    case RTC_BASE_COUNT:
        break;
    }
    rtc->offset_seconds = start.second - guest / NANOSECONDS;
    rtc->offset_ns = start.ns - guest % NANOSECONDS;
    normalise(&rtc->offset_seconds, &rtc->offset_ns);
    rtc->guest_clock = config->guest_clock;
    compare_with_host(rtc);
    rtc->first_seconds = 0;
    rtc->first_seconds = ahead_of_start(rtc);
}

static bool parse_date(const char *text, int64_t *out)
{
    unsigned year, month, day, hour = 0, minute = 0, second = 0;
    int end = 0, end_date = 0;
    if (sscanf(text, "%4u-%2u-%2u%n%*1[T]%2u:%2u:%2u%n", &year, &month, &day, &end_date, &hour, &minute,
               &second, &end) != 6)
        end = end_date;
    if (!end || text[end] || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
        second > 59)
        return false;
    int64_t days = days_of(year, (int)month, (int)day);
    if (civil_of(days * DAY_SECONDS).day != (int)day) /* 30 February */
        return false;
    *out = days * DAY_SECONDS + hour * 3600 + minute * 60 + second;
    return true;
}

bool rtc_config_parse(const char *text, struct rtc_config *config, GError **error)
{
    struct rtc_config parsed = *config;
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    for (unsigned i = 0; words[i]; i++) {
        const char *word = words[i];
        if (g_str_equal(word, "base=utc")) {
            parsed.base = RTC_BASE_UTC;
        } else if (g_str_equal(word, "base=localtime")) {
            parsed.base = RTC_BASE_LOCALTIME;
        } else if (g_str_has_prefix(word, "base=") && parse_date(word + 5, &parsed.date)) {
            parsed.base = RTC_BASE_DATE;
        } else if (g_str_equal(word, "clock=host") || g_str_equal(word, "clock=vm")) {
            parsed.guest_clock = g_str_equal(word, "clock=vm");
        } else if (g_str_equal(word, "clock=rt") || g_str_equal(word, "driftfix=slew")) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                        "-rtc %s is QEMU's and not ours yet; leave it out", word);
            return false;
        } else if (!g_str_equal(word, "driftfix=none")) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "-rtc %s: say base=utc, base=localtime or base=2024-12-31T23:59:58", word);
            return false;
        }
    }
    *config = parsed;
    return true;
}

/* ---- device ---- */

/* RESET# leaves time, memory and register A alone (datasheet, "RESET"). */
static void rtc_reset(struct device *device)
{
    struct rtc *rtc = (struct rtc *)device;
    rtc_cmos_write(rtc, REG_B, rtc->cmos[REG_B] & (uint8_t) ~(B_PIE | B_AIE | B_UIE | B_SQWE));
    rtc->cmos[REG_C] = 0;
    rtc->index[0] = rtc->index[1] = 0;
    update_irq(rtc);
}

static void rtc_before_save(void *device)
{
    collect(device);
}

static bool rtc_after_load(void *device, GError **error)
{
    struct rtc *rtc = device;
    const int64_t limit = 2 * SECONDS_MAX;
    if (rtc->offset_seconds > limit || rtc->offset_seconds < -limit || rtc->offset_ns < 0 ||
        rtc->offset_ns >= NANOSECONDS || rtc->host_seconds > limit || rtc->host_seconds < -limit ||
        rtc->host_ns < 0 || rtc->host_ns >= NANOSECONDS || rtc->weekday_shift > 6 || rtc->flags_since < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "rtc: saved state has an impossible time; the file is damaged, save it again");
        rtc->offset_seconds = rtc->offset_ns = rtc->flags_since = rtc->weekday_shift = 0;
        compare_with_host(rtc);
        return false;
    }
    rtc->index[0] &= BANK - 1;
    rtc->index[1] &= BANK - 1;
    rtc->cmos[REG_A] &= (uint8_t)~A_UIP;
    collect(rtc);
    update_irq(rtc);
    return true;
}

static const struct state_field rtc_fields[] = {
    STATE_ARRAY(struct rtc, BYTES, cmos),   STATE_ARRAY(struct rtc, U8, index),
    STATE(struct rtc, U64, offset_seconds), STATE(struct rtc, U64, offset_ns),
    STATE(struct rtc, U64, host_seconds),   STATE(struct rtc, U64, host_ns),
    STATE(struct rtc, U64, flags_since),    STATE(struct rtc, U8, weekday_shift),
};
static const struct state_table rtc_state = {
    .name = "rtc",
    .version = 1,
    .fields = rtc_fields,
    .count = G_N_ELEMENTS(rtc_fields),
    .before_save = rtc_before_save,
    .after_load = rtc_after_load,
};

static void rtc_free(struct device *device)
{
    struct rtc *rtc = (struct rtc *)device;
    clock_timer_free(rtc->timer);
    g_free(rtc);
}

static const struct device_class rtc_class = {
    .name = "mc146818rtc", .state = &rtc_state, .reset = rtc_reset, .free = rtc_free};

struct rtc *rtc_new(struct portio *io, struct clock *clock, const struct irq_line *irq8,
                    const struct rtc_config *config)
{
    struct rtc *rtc = g_new0(struct rtc, 1);
    device_init(&rtc->device, &rtc_class, "rtc");
    rtc->clock = clock;
    rtc->irq8 = *irq8;
    rtc->timer = clock_timer_new(clock, rtc_fire, rtc);
    fill_cmos(rtc, config);
    set_start(rtc, config);
    rtc->flags_since = clock_now(clock);
    portio_add(io, "rtc", 0x70, 4, &rtc_ops, rtc);
    return rtc;
}
