/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * MC146818 clock with 128 bytes of CMOS memory at 0x70/0x71, and a second bank of 128 at 0x72/0x73.
 */
#pragma once

#include "emu/dev/device.h"
#include "emu/machine/clock.h"
#include "emu/mem/portio.h"

enum rtc_base {
    RTC_BASE_UTC,       /* the host's time */
    RTC_BASE_LOCALTIME, /* the host's, in its time zone */
    RTC_BASE_DATE,      /* rtc_config.date */
    RTC_BASE_COUNT
};

struct rtc_config {
    enum rtc_base base;
    int64_t date;     /* seconds since 1970 as the guest shall see them, for RTC_BASE_DATE */
    bool guest_clock; /* runs with guest time; else with the host's clock, also while the machine stands */
    uint64_t ram_below_4g; /* bytes from address 0 */
    uint64_t ram_above_4g;
    uint8_t boot_device[3]; /* what SeaBIOS tries, in order: 1 floppy, 2 disk, 3 cdrom, 4 network, 0 end */
    uint8_t floppy_type[2]; /* CMOS 0x10: 0 none, 4 1.44 MB, 5 2.88 MB */
    bool skip_floppy_check;
};

struct rtc;

struct rtc *rtc_new(struct portio *io, struct clock *clock, const struct irq_line *irq8,
                    const struct rtc_config *config);
/* Parses "base=utc|localtime|YYYY-MM-DD[THH:MM:SS]", "clock=host|vm", "driftfix=none", separated by commas.
 */
bool rtc_config_parse(const char *text, struct rtc_config *config, GError **error);
/* A wire that is up while an enabled alarm has come and register C was not read. */
void rtc_set_alarm_line(struct rtc *rtc, const struct irq_line *alarm);
/* Called when the guest has set the clock: by how much it is now ahead of what -rtc said, in seconds. */
void rtc_on_change(struct rtc *rtc, void (*changed)(void *opaque, int64_t seconds), void *opaque);
enum { RTC_CMOS_SHUTDOWN = 0x0f, RTC_SHUTDOWN_S3 = 0xfe }; /* tells firmware that it starts to resume */
/* CMOS byte, as the guest would read it through 0x71; for firmware-less boot and the monitor. */
uint8_t rtc_cmos_read(struct rtc *rtc, uint8_t index);
void rtc_cmos_write(struct rtc *rtc, uint8_t index, uint8_t value);
