/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The MC146818: time in all its encodings, setting it, UIP, alarms, periodic and update interrupts, reset,
 * the CMOS map, -rtc words.
 */
#include "emu/dev/rtc.h"
#include "tests/dev/chip_bench.h"

enum { IRQ8 = 0 };
enum { A = 0x0a, B = 0x0b, C = 0x0c, D = 0x0d };
#define MS 1000000ll

struct rig {
    struct bench *b;
    struct rtc *rtc;
};

static void set_up(struct rig *r, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    struct rtc_config config = {
        .guest_clock = true, .ram_below_4g = 96 << 20, .boot_device = {2, 3}, .floppy_type = {4}};
    const char *date = data ? data : "base=2024-02-28T23:59:57";
    rtc_config_parse(date, &config, &error);
    g_assert_no_error(error);
    r->b = bench_new();
    clock_manual_advance(r->b->clock, 123456789);
    struct irq_line irq8 = bench_wire(r->b, IRQ8);
    r->rtc = rtc_new(r->b->io, r->b->clock, &irq8, &config);
}

static void tear_down(struct rig *r, gconstpointer data)
{
    device_free((struct device *)r->rtc);
    bench_free(r->b);
}

static uint8_t get(struct rig *r, uint8_t index)
{
    out8(r->b, 0x70, index);
    return in8(r->b, 0x71);
}

static void set(struct rig *r, uint8_t index, uint8_t value)
{
    out8(r->b, 0x70, index);
    out8(r->b, 0x71, value);
}

static void pass(struct rig *r, int64_t ns)
{
    clock_manual_advance(r->b->clock, ns);
}

static void assert_time(struct rig *r, unsigned century, unsigned year, unsigned month, unsigned day,
                        unsigned hour, unsigned minute, unsigned second)
{
    g_assert_cmphex(get(r, 0x32), ==, century);
    g_assert_cmphex(get(r, 0x37), ==, century);
    g_assert_cmphex(get(r, 9), ==, year);
    g_assert_cmphex(get(r, 8), ==, month);
    g_assert_cmphex(get(r, 7), ==, day);
    g_assert_cmphex(get(r, 4), ==, hour);
    g_assert_cmphex(get(r, 2), ==, minute);
    g_assert_cmphex(get(r, 0), ==, second);
}

static void test_calendar(struct rig *r, gconstpointer data)
{
    assert_time(r, 0x20, 0x24, 0x02, 0x28, 0x23, 0x59, 0x57);
    g_assert_cmphex(get(r, 6), ==, 4); /* a Wednesday */
    pass(r, 3 * NANOSECONDS);
    assert_time(r, 0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x00);
    pass(r, 86400 * NANOSECONDS);
    assert_time(r, 0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x00);
    g_assert_cmphex(get(r, 6), ==, 6);
    pass(r, 306 * 86400 * NANOSECONDS);
    assert_time(r, 0x20, 0x25, 0x01, 0x01, 0x00, 0x00, 0x00);
    pass(r, 59 * 86400 * NANOSECONDS);
    assert_time(r, 0x20, 0x25, 0x03, 0x01, 0x00, 0x00, 0x00); /* no leap year */
}

static void test_century(struct rig *r, gconstpointer data)
{
    assert_time(r, 0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59);
    pass(r, NANOSECONDS);
    assert_time(r, 0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00);
}

static void test_encodings(struct rig *r, gconstpointer data)
{
    set(r, B, 0x06); /* binary, 24 hours */
    assert_time(r, 20, 24, 2, 28, 23, 59, 57);
    set(r, B, 0x04); /* binary, 12 hours */
    g_assert_cmphex(get(r, 4), ==, 0x80 | 11);
    set(r, B, 0x00); /* BCD, 12 hours */
    g_assert_cmphex(get(r, 4), ==, 0x91);
    pass(r, 3 * NANOSECONDS);
    g_assert_cmphex(get(r, 4), ==, 0x12); /* midnight is 12 AM */
    pass(r, 12 * 3600 * NANOSECONDS);
    g_assert_cmphex(get(r, 4), ==, 0x92); /* noon is 12 PM */
    set(r, 4, 0x83);
    set(r, B, 0x02);
    g_assert_cmphex(get(r, 4), ==, 0x15);
}

static void test_setting(struct rig *r, gconstpointer data)
{
    static const uint8_t registers[] = {0, 2, 4, 6, 7, 8, 9, 0x32};
    static const uint8_t values[] = {0x58, 0x59, 0x23, 0x03, 0x31, 0x12, 0x30, 0x21};
    set(r, B, 0x82); /* SET holds the clock */
    for (unsigned i = 0; i < sizeof registers; i++)
        set(r, registers[i], values[i]);
    pass(r, 10 * NANOSECONDS);
    assert_time(r, 0x21, 0x30, 0x12, 0x31, 0x23, 0x59, 0x58);
    set(r, B, 0x02);
    assert_time(r, 0x21, 0x30, 0x12, 0x31, 0x23, 0x59, 0x58);
    g_assert_cmphex(get(r, 6), ==, 3);
    pass(r, 2 * NANOSECONDS);
    assert_time(r, 0x21, 0x31, 0x01, 0x01, 0x00, 0x00, 0x00);
    g_assert_cmphex(get(r, 6), ==, 4); /* counts on from what was set */
    set(r, 4, 0x12);                   /* without SET */
    assert_time(r, 0x21, 0x31, 0x01, 0x01, 0x12, 0x00, 0x00);
}

static void test_nonsense_date(struct rig *r, gconstpointer data)
{
    set(r, B, 0x82);
    for (uint8_t i = 0; i < 10; i++)
        set(r, i, 0xff);
    set(r, 0x32, 0xff);
    g_assert_cmphex(get(r, 7), ==, 0xff); /* held: plain memory */
    set(r, B, 0x02);
    pass(r, 5 * NANOSECONDS);
    g_assert_cmpuint(get(r, 8), <=, 0x12);
    g_assert_cmpuint(get(r, 7), <=, 0x31);
    g_assert_cmpuint(get(r, 0), <=, 0x59);
}

static void test_uip(struct rig *r, gconstpointer data)
{
    /* Started on a second. The update cycle takes 1984 µs, UIP goes up 244 µs before it. */
    g_assert_cmphex(get(r, A), ==, 0x26);
    pass(r, NANOSECONDS - 2229000);
    g_assert_cmphex(get(r, A), ==, 0x26);
    pass(r, 2000);
    g_assert_cmphex(get(r, A), ==, 0xa6);
    g_assert_cmphex(get(r, 0), ==, 0x57);
    pass(r, 2226000);
    g_assert_cmphex(get(r, A), ==, 0xa6);
    pass(r, 1000);
    g_assert_cmphex(get(r, A), ==, 0x26);
    g_assert_cmphex(get(r, 0), ==, 0x58);
    set(r, B, 0x82);
    for (unsigned i = 0; i < 2000; i++, pass(r, MS))
        g_assert_cmphex(get(r, A) & 0x80, ==, 0); /* none while held */
}

static void test_divider(struct rig *r, gconstpointer data)
{
    set(r, A, 0x76); /* divider held in reset */
    pass(r, 100 * NANOSECONDS);
    g_assert_cmphex(get(r, 0), ==, 0x57);
    set(r, A, 0x26);
    pass(r, NANOSECONDS / 2 - MS); /* the first update comes half a second later */
    g_assert_cmphex(get(r, 0), ==, 0x57);
    pass(r, 2 * MS);
    g_assert_cmphex(get(r, 0), ==, 0x58);
    pass(r, NANOSECONDS);
    g_assert_cmphex(get(r, 0), ==, 0x59);
}

static void test_update_interrupt(struct rig *r, gconstpointer data)
{
    pass(r, 500 * MS);
    set(r, B, 0x12);
    g_assert_false(r->b->level[IRQ8]);
    pass(r, 499 * MS);
    g_assert_false(r->b->level[IRQ8]);
    pass(r, 2 * MS);
    g_assert_true(r->b->level[IRQ8]);
    g_assert_cmphex(get(r, C), ==, 0x90 | 0x40); /* the periodic flag rises without its interrupt, too */
    g_assert_false(r->b->level[IRQ8]);
    g_assert_cmphex(get(r, C), ==, 0);
    pass(r, 10 * NANOSECONDS);
    g_assert_cmpuint(r->b->rises[IRQ8], ==, 2); /* not read: the line stays up */
    get(r, C);
    set(r, B, 0x92); /* SET clears UIE */
    g_assert_cmphex(get(r, B), ==, 0x82);
}

static void test_flags_without_interrupts(struct rig *r, gconstpointer data)
{
    get(r, C);
    g_assert_cmpint(clock_next_deadline(r->b->clock), ==, CLOCK_NEVER); /* nothing wakes an idle host */
    g_assert_cmphex(get(r, C), ==, 0);
    pass(r, NANOSECONDS);
    g_assert_cmphex(get(r, C), ==, 0x50);
    g_assert_cmphex(get(r, C), ==, 0);
}

static void test_periodic(struct rig *r, gconstpointer data)
{
    static const unsigned hertz[16] = {0,   256, 128, 8192, 4096, 2048, 1024, 512,
                                       256, 128, 64,  32,   16,   8,    4,    2};
    for (unsigned rate = 0; rate < 16; rate++) {
        set(r, A, (uint8_t)(0x20 | rate));
        set(r, B, 0x42);
        get(r, C);
        unsigned count = 0;
        int64_t end = clock_now(r->b->clock) + NANOSECONDS;
        while (clock_next_deadline(r->b->clock) <= end) {
            pass(r, clock_next_deadline(r->b->clock) - clock_now(r->b->clock));
            g_assert_true(r->b->level[IRQ8]);
            g_assert_cmphex(get(r, C) & 0xc0, ==, 0xc0);
            g_assert_false(r->b->level[IRQ8]);
            count++;
        }
        pass(r, end - clock_now(r->b->clock));
        g_assert_cmpuint(count, ==, hertz[rate]);
    }
}

static void alarm_at(struct rig *r, uint8_t hour, uint8_t minute, uint8_t second)
{
    set(r, 5, hour);
    set(r, 3, minute);
    set(r, 1, second);
    set(r, B, 0x22);
    get(r, C);
}

/* Seconds until the alarm interrupt, up to a limit; -1: it did not come. */
static int seconds_to_alarm(struct rig *r, int limit)
{
    for (int i = 1; i <= limit; i++) {
        pass(r, NANOSECONDS);
        if (r->b->level[IRQ8]) {
            g_assert_cmphex(get(r, C) & 0xa0, ==, 0xa0);
            return i;
        }
    }
    return -1;
}

static void test_alarms(struct rig *r, gconstpointer data)
{
    alarm_at(r, 0x00, 0x00, 0x05); /* 23:59:57 → 8 seconds */
    g_assert_cmpint(seconds_to_alarm(r, 20), ==, 8);
    alarm_at(r, 0xff, 0xff, 0xff); /* every second */
    g_assert_cmpint(seconds_to_alarm(r, 5), ==, 1);
    alarm_at(r, 0xc0, 0xff, 0x30); /* every minute at :30; now :06 */
    g_assert_cmpint(seconds_to_alarm(r, 100), ==, 24);
    g_assert_cmpint(seconds_to_alarm(r, 100), ==, 60);
    alarm_at(r, 0xff, 0x15, 0x00); /* now 00:01:30 */
    g_assert_cmpint(seconds_to_alarm(r, 4000), ==, 13 * 60 + 30);
    g_assert_cmpint(seconds_to_alarm(r, 4000), ==, 3600);
    alarm_at(r, 0x01, 0x15, 0x00); /* the same second: a day later */
    g_assert_cmpint(clock_next_deadline(r->b->clock) - clock_now(r->b->clock), >, 86399 * NANOSECONDS);
    alarm_at(r, 0x25, 0x00, 0x00); /* no such time */
    g_assert_cmpint(clock_next_deadline(r->b->clock), ==, CLOCK_NEVER);
    set(r, B, 0x20); /* 12 hours: 2 PM */
    set(r, 5, 0x82);
    g_assert_cmpint(clock_next_deadline(r->b->clock) - clock_now(r->b->clock), ==,
                    (12 * 60 + 45) * 60 * NANOSECONDS);
}

static void test_read_only(struct rig *r, gconstpointer data)
{
    g_assert_cmphex(get(r, D), ==, 0x80);
    set(r, D, 0);
    set(r, C, 0xff);
    g_assert_cmphex(get(r, D), ==, 0x80);
    g_assert_cmphex(get(r, C), ==, 0);
    set(r, A, 0xa6);
    g_assert_cmphex(get(r, A), ==, 0x26);
    g_assert_cmphex(in8(r->b, 0x70), ==, 0xff);
}

static void test_memory(struct rig *r, gconstpointer data)
{
    for (unsigned i = 0x40; i < 0x58; i++)
        set(r, (uint8_t)i, (uint8_t)(i * 7));
    set(r, 0x80 | 0x33, 0x5a); /* bit 7 is the NMI mask */
    for (unsigned i = 0x40; i < 0x58; i++)
        g_assert_cmphex(get(r, (uint8_t)i), ==, (uint8_t)(i * 7));
    g_assert_cmphex(get(r, 0x33), ==, 0x5a);
    out8(r->b, 0x72, 0x40); /* the second bank is another memory */
    out8(r->b, 0x73, 0x11);
    g_assert_cmphex(in8(r->b, 0x73), ==, 0x11);
    g_assert_cmphex(get(r, 0x40), ==, (uint8_t)(0x40 * 7));
    out8(r->b, 0x72, 0x0a); /* and has no clock */
    out8(r->b, 0x73, 0xff);
    g_assert_cmphex(in8(r->b, 0x73), ==, 0xff);
}

static void test_map(struct rig *r, gconstpointer data)
{
    g_assert_cmphex(get(r, 0x10), ==, 0x40);
    g_assert_cmphex(get(r, 0x14), ==, 0x07);
    g_assert_cmpuint(get(r, 0x15) | get(r, 0x16) << 8, ==, 640);
    g_assert_cmpuint(get(r, 0x17) | get(r, 0x18) << 8, ==, 65535);
    g_assert_cmpuint(get(r, 0x30) | get(r, 0x31) << 8, ==, 65535);
    g_assert_cmpuint(get(r, 0x34) | get(r, 0x35) << 8, ==, 80 * 16);
    g_assert_cmphex(get(r, 0x3d), ==, 0x32);
    g_assert_cmphex(get(r, 0x5f), ==, 0);
    unsigned sum = 0;
    for (uint8_t i = 0x10; i <= 0x2d; i++)
        sum += get(r, i);
    g_assert_cmpuint(sum, ==, get(r, 0x2e) << 8 | get(r, 0x2f));
}

static void disturb(void *opaque)
{
    struct rig *r = opaque;
    set(r, 0x0f, 0x0a);
    set(r, 0x40, 0x77);
    set(r, B, 0x72);
    set(r, 5, 0x12);
    set(r, 6, 0x01);
    pass(r, 1234567890);
}

static void test_reset_keeps_time(struct rig *r, gconstpointer data)
{
    disturb(r);
    device_reset((struct device *)r->rtc);
    g_assert_cmphex(get(r, B), ==, 0x02);
    g_assert_cmphex(get(r, C) & 0x80, ==, 0);
    g_assert_false(r->b->level[IRQ8]);
    g_assert_cmphex(get(r, 0x0f), ==, 0x0a);
    g_assert_cmphex(get(r, 0x40), ==, 0x77);
    g_assert_cmphex(get(r, 0), ==, 0x58);
}

static void scramble(void *opaque)
{
    struct rig *r = opaque;
    set(r, B, 0x84);
    for (uint8_t i = 0; i < 10; i++)
        set(r, i, 1);
    set(r, B, 0x04);
    set(r, 0x40, 0);
}

static void test_state(struct rig *r, gconstpointer data)
{
    disturb(r);
    bench_round_trip((struct device *)r->rtc, scramble, r);
    g_assert_cmphex(get(r, 0x40), ==, 0x77);
    g_assert_cmphex(get(r, 0), ==, 0x58);
    g_assert_cmphex(get(r, 6), ==, 0x01);
    g_assert_true(r->b->level[IRQ8]);
    bench_damaged_state(r->b, (struct device *)r->rtc);
}

static void test_words(void)
{
    g_autoptr(GError) error = NULL;
    struct rtc_config config = {0};
    g_assert_true(rtc_config_parse("base=localtime,clock=vm,driftfix=none", &config, &error));
    g_assert_cmpint(config.base, ==, RTC_BASE_LOCALTIME);
    g_assert_true(config.guest_clock);
    g_assert_true(rtc_config_parse("clock=host", &config, &error));
    g_assert_false(config.guest_clock);
    g_assert_true(rtc_config_parse("base=utc", &config, &error));
    g_assert_cmpint(config.base, ==, RTC_BASE_UTC);
    g_assert_true(rtc_config_parse("base=2006-06-17", &config, &error));
    g_assert_cmpint(config.date, ==, 1150502400);
    g_assert_true(rtc_config_parse("base=1970-01-02T03:04:05", &config, &error));
    g_assert_cmpint(config.date, ==, 86400 + 3 * 3600 + 4 * 60 + 5);
    static const char *const wrong[] = {"base=2006-13-01",          "base=2006-02-30",    "base=yesterday",
                                        "base=2006-06-17T25:00:00", "base=2006-06-17T12", "bass=utc",
                                        "base=2006-06-17x",         "clock=rt",           ""};
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        struct rtc_config before = config;
        bool good = rtc_config_parse(wrong[i], &config, &error);
        g_assert_true(good == (*wrong[i] == '\0'));
        g_assert_true(good || error != NULL);
        g_assert_cmpmem(&before, sizeof before, &config, sizeof config);
        g_clear_error(&error);
    }
}

static void test_host_time(void)
{
    struct bench *b = bench_new();
    struct irq_line irq8 = {0};
    struct rtc_config config = {.base = RTC_BASE_UTC, .ram_below_4g = 1 << 20};
    int64_t before = g_get_real_time() / G_USEC_PER_SEC;
    struct rtc *rtc = rtc_new(b->io, b->clock, &irq8, &config);
    int64_t after = g_get_real_time() / G_USEC_PER_SEC;
    rtc_cmos_write(rtc, B, 0x06);
    g_autoptr(GDateTime) shown = g_date_time_new_utc(
        rtc_cmos_read(rtc, 0x32) * 100 + rtc_cmos_read(rtc, 9), rtc_cmos_read(rtc, 8), rtc_cmos_read(rtc, 7),
        rtc_cmos_read(rtc, 4), rtc_cmos_read(rtc, 2), rtc_cmos_read(rtc, 0));
    g_assert_cmpint(g_date_time_to_unix(shown), >=, before);
    g_assert_cmpint(g_date_time_to_unix(shown), <=, after);
    g_assert_cmpuint(rtc_cmos_read(rtc, 0x17) | rtc_cmos_read(rtc, 0x18) << 8, ==, 0);
    /* Guest time stood (or ran away): the clock is the host's all the same, and also after the guest set it.
     */
    uint8_t hour = rtc_cmos_read(rtc, 4), minute = rtc_cmos_read(rtc, 2);
    clock_manual_advance(b->clock, 10 * 3600 * NANOSECONDS);
    g_assert_cmpint(abs(rtc_cmos_read(rtc, 4) * 60 + rtc_cmos_read(rtc, 2) - hour * 60 - minute) % 1438, <=,
                    1);
    rtc_cmos_write(rtc, 9, 77);
    clock_manual_advance(b->clock, 10 * 366 * 86400 * NANOSECONDS);
    g_assert_cmpint(abs(rtc_cmos_read(rtc, 9) - 77), <=, 1);
    bench_round_trip((struct device *)rtc, NULL, NULL);
    device_free((struct device *)rtc);
    bench_free(b);
}

static void note_change(void *opaque, int64_t seconds)
{
    int64_t *told = opaque;
    told[0] = seconds;
    told[1]++;
}

/* By registers while the clock runs, and by SET; each time by how much it is ahead of -rtc. */
static void test_told_when_set(struct rig *r, gconstpointer data)
{
    int64_t told[2] = {0};
    rtc_on_change(r->rtc, note_change, told);
    pass(r, 10 * NANOSECONDS + NANOSECONDS / 3);
    assert_time(r, 0x20, 0x24, 0x02, 0x29, 0x00, 0x00, 0x07);
    g_assert_cmpint(told[1], ==, 0);
    set(r, 0x02, 0x05); /* minutes */
    g_assert_cmpint(told[1], ==, 1);
    g_assert_cmpint(told[0], ==, 300);
    set(r, B, get(r, B) | 0x80);
    set(r, 0x02, 0x00);
    set(r, 0x04, 0x23); /* hours */
    g_assert_cmpint(told[1], ==, 1);
    set(r, B, get(r, B) & ~0x80);
    g_assert_cmpint(told[1], ==, 2);
    g_assert_cmpint(told[0], ==, 23 * 3600);
    set(r, 0x01, 0x12); /* the alarm's seconds are not the time */
    g_assert_cmpint(told[1], ==, 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/rtc/" #name, struct rig, NULL, set_up, test_##name, tear_down)
    TEST(calendar);
    g_test_add("/rtc/told_when_set", struct rig, NULL, set_up, test_told_when_set, tear_down);
    g_test_add("/rtc/century", struct rig, "base=1999-12-31T23:59:59", set_up, test_century, tear_down);
    TEST(encodings);
    TEST(setting);
    TEST(nonsense_date);
    TEST(uip);
    TEST(divider);
    TEST(update_interrupt);
    TEST(flags_without_interrupts);
    TEST(periodic);
    TEST(alarms);
    TEST(read_only);
    TEST(memory);
    TEST(map);
    TEST(reset_keeps_time);
    TEST(state);
    g_test_add_func("/rtc/words", test_words);
    g_test_add_func("/rtc/host_time", test_host_time);
    return g_test_run();
}
