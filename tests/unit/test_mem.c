/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The physical memory map, the I/O ports, the guest's clock and saved state: what every chip stands on.
 */
#include "emu/machine/clock.h"
#include "emu/mem/physmap.h"
#include "emu/mem/portio.h"
#include "emu/snapshot/state.h"

#include <gio/gio.h>
#include <string.h>

enum { MIB = 1 << 20 };

/* ---- physmap ---- */

struct chip {
    uint32_t last_offset, last_value;
    unsigned last_size, reads, writes;
};

static uint32_t chip_read(void *opaque, uint32_t offset, unsigned size)
{
    struct chip *chip = opaque;
    chip->last_offset = offset;
    chip->last_size = size;
    chip->reads++;
    return 0x44332211u + offset;
}

static void chip_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct chip *chip = opaque;
    *chip = (struct chip){offset, value, size, chip->reads, chip->writes + 1};
}

static const struct mmio_ops chip_ops = {chip_read, chip_write};

static struct physmap *map_new(void)
{
    GError *error = NULL;
    struct physmap *pm = physmap_new(4 * MIB, &error);
    g_assert_no_error(error);
    return pm;
}

static void test_sizes(void)
{
    static const uint64_t bad[] = {0, 4096, MIB + 1, MIB - 4096, (uint64_t)MIB + 512};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(physmap_new(bad[i], &error));
        g_assert_nonnull(strstr(error->message, "-m"));
    }
}

static void test_overlaps(void)
{
    struct physmap *pm = map_new();
    struct chip chip = {0};
    static const uint8_t rom[4096] = {0xaa, 0xbb};
    physmap_add_ram(pm, "ram", 0, 4 * MIB, 0, 0);
    physmap_add_rom(pm, "rom", 0x1000, 4096, rom, 1);
    struct phys_range *window = physmap_add_mmio(pm, "chip", 0x1800, 0x100, &chip_ops, &chip, 2);
    struct phys_slice s;
    physmap_lookup(pm, 0xfff, &s);
    g_assert_true(s.is_ram && s.read == physmap_ram(pm) + 0xfff && s.write == s.read);
    g_assert_cmpuint(s.run, ==, 1);
    physmap_lookup(pm, 0x1000, &s);
    g_assert_true(!s.is_ram && s.read == rom && !s.write && !s.ops);
    g_assert_cmpuint(s.run, ==, 0x800);
    physmap_lookup(pm, 0x1810, &s);
    g_assert_true(!s.read && !s.write && s.ops == &chip_ops && s.offset == 0x10);
    physmap_lookup(pm, 0x1900, &s);
    g_assert_true(s.read == rom + 0x900);
    physmap_lookup(pm, 4 * MIB, &s);
    g_assert_true(!s.read && !s.write && !s.ops);
    /* An access over all four kinds, and writes to ROM and to nothing go nowhere. */
    uint8_t seen[0x1200];
    memset(physmap_ram(pm), 0x55, 0x3000);
    phys_read(pm, 0xf00, seen, sizeof seen);
    g_assert_true(seen[0xff] == 0x55 && seen[0x100] == 0xaa && seen[0x101] == 0xbb && seen[0x900] == 0x11);
    phys_write32(pm, 0x1000, 0);
    g_assert_cmphex(phys_read16(pm, 0x1000), ==, 0xbbaa);
    phys_write32(pm, 8 * MIB, 1);
    g_assert_cmphex(phys_read32(pm, 8 * MIB), ==, 0xffffffff);
    g_assert_cmphex(phys_read32(pm, UINT64_MAX - 3), ==, 0xffffffff);
    /* Devices see aligned accesses of 1, 2 and 4 bytes. */
    phys_write64(pm, 0x1801, 0x8877665544332211);
    g_assert_cmpuint(chip.writes, ==, 4); /* 1 + 2 + 4 + 1 */
    g_assert_cmpuint(chip.last_offset, ==, 8);
    g_assert_cmphex(chip.last_value, ==, 0x88);
    physmap_range_move(pm, window, 0x200000);
    physmap_lookup(pm, 0x1810, &s);
    g_assert_true(s.read == rom + 0x810);
    physmap_range_enable(pm, window, false);
    physmap_lookup(pm, 0x200000, &s);
    g_assert_true(s.is_ram);
    physmap_free(pm);
}

static void count(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void test_shadow(void)
{
    struct physmap *pm = map_new();
    static uint8_t rom[4096] = {0xcc};
    unsigned changes = 0;
    physmap_add_rom(pm, "bios", 0xf0000, 4096, rom, 0);
    struct phys_range *shadow = physmap_add_ram(pm, "shadow", 0xf0000, 4096, 0xf0000, 1);
    physmap_set_change_listener(pm, count, &changes);
    /* PAM: read ROM, write RAM; then read RAM, write nothing. */
    physmap_range_set_access(pm, shadow, false, true);
    g_assert_cmpuint(changes, ==, 1);
    physmap_range_set_access(pm, shadow, false, true);
    g_assert_cmpuint(changes, ==, 1);
    phys_write8(pm, 0xf0000, 0x77);
    g_assert_cmphex(phys_read8(pm, 0xf0000), ==, 0xcc);
    physmap_begin(pm);
    physmap_range_set_access(pm, shadow, true, true);
    physmap_range_set_access(pm, shadow, true, false);
    g_assert_cmpuint(changes, ==, 1);
    physmap_end(pm);
    g_assert_cmpuint(changes, ==, 2);
    phys_write8(pm, 0xf0000, 0x99);
    g_assert_cmphex(phys_read8(pm, 0xf0000), ==, 0x77);
    g_assert_cmphex(rom[0], ==, 0xcc);
    physmap_free(pm);
}

struct heard {
    uint64_t offset;
    size_t len;
    unsigned times;
};

static void code_written(void *opaque, uint64_t ram_offset, size_t len)
{
    struct heard *heard = opaque;
    *heard = (struct heard){ram_offset, len, heard->times + 1};
}

static void test_code_pages(void)
{
    struct physmap *pm = map_new();
    struct heard heard = {0};
    physmap_add_ram(pm, "ram", 0, 4 * MIB, 0, 0);
    physmap_set_code_listener(pm, code_written, &heard);
    physmap_page_flags(pm)[2] |= PHYS_PAGE_CODE;
    uint8_t zeros[0x3000] = {0};
    phys_write(pm, 0x1800, zeros, 0x800); /* up to the page, not into it */
    g_assert_cmpuint(heard.times, ==, 0);
    phys_write(pm, 0x1800, zeros, 0x2000);
    g_assert_cmpuint(heard.times, ==, 1);
    g_assert_cmphex(heard.offset, ==, 0x2000);
    g_assert_cmphex(heard.len, ==, 0x1000);
    size_t len = 0x2000;
    g_assert_true(phys_map(pm, 0x2ff0, &len, true) == physmap_ram(pm) + 0x2ff0);
    g_assert_cmpuint(heard.times, ==, 2);
    g_assert_cmphex(heard.len, ==, 0x10);
    g_assert_true(physmap_page_flags(pm)[3] & PHYS_PAGE_DIRTY);
    g_assert_false(physmap_page_flags(pm)[0] & PHYS_PAGE_DIRTY);
    len = 64 * MIB;
    g_assert_nonnull(phys_map(pm, 0, &len, false));
    g_assert_cmphex(len, ==, 4 * MIB);
    g_assert_null(phys_map(pm, 4 * MIB, &len, false));
    physmap_free(pm);
}

/* ---- portio ---- */

static uint32_t port_read(void *opaque, uint16_t port, unsigned size)
{
    return (size == 1 ? 0x10u : size == 2 ? 0x2000u : 0x40000000u) + port;
}

static void port_write(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    GString *log = opaque;
    g_string_append_printf(log, "%x=%x/%u ", port, value, size);
}

static void test_ports(void)
{
    struct portio *io = portio_new();
    g_autoptr(GString) log = g_string_new(NULL);
    const struct portio_ops narrow = {port_read, port_write, 1}, wide = {port_read, port_write, 4};
    portio_add(io, "narrow", 0x70, 2, &narrow, log);
    struct portio_range *range = portio_add(io, "wide", 0x80, 8, &wide, log);
    g_assert_cmphex(portio_read(io, 0x70, 2), ==, 0x8180);
    g_assert_cmphex(portio_read(io, 0x80, 4), ==, 0x40000080);
    g_assert_cmphex(portio_read(io, 0x86, 4), ==, 0xffff2086); /* two bytes of it run out of the range */
    g_assert_cmphex(portio_read(io, 0x71, 2), ==, 0xff81);
    g_assert_cmphex(portio_read(io, 0xffff, 4), ==, 0xffffffff); /* wraps to port 0 */
    portio_write(io, 0x70, 0x1234, 2);
    portio_write(io, 0x80, 0xdeadbeef, 4);
    g_assert_cmpstr(log->str, ==, "70=34/1 71=12/1 80=deadbeef/4 ");
    portio_range_move(io, range, 0xc000);
    g_assert_cmphex(portio_read(io, 0x80, 4), ==, 0xffffffff);
    g_assert_cmphex(portio_read(io, 0xc004, 4), ==, 0x4000c004);
    portio_range_enable(io, range, false);
    g_assert_cmphex(portio_read(io, 0xc004, 2), ==, 0xffff);
    portio_free(io);
}

/* ---- clock ---- */

struct alarm {
    struct clock *clock;
    struct clock_timer *timer, *other;
    GString *log;
    const char *name;
    int64_t again;
};

static void fire(void *opaque)
{
    struct alarm *alarm = opaque;
    g_string_append_printf(alarm->log, "%s@%" G_GINT64_FORMAT " ", alarm->name, clock_now(alarm->clock));
    if (alarm->again)
        clock_timer_set(alarm->timer, clock_now(alarm->clock) + alarm->again);
    if (alarm->other)
        clock_timer_cancel(alarm->other);
}

static void test_timers(void)
{
    struct clock *clock = clock_new_manual();
    g_autoptr(GString) log = g_string_new(NULL);
    struct alarm a = {.clock = clock, .log = log, .name = "a", .again = 30};
    struct alarm b = {.clock = clock, .log = log, .name = "b"}, c = b;
    c.name = "c";
    a.timer = clock_timer_new(clock, fire, &a);
    b.timer = clock_timer_new(clock, fire, &b);
    c.timer = clock_timer_new(clock, fire, &c);
    b.other = c.timer; /* b's firing cancels c, due at the same moment */
    clock_timer_set(b.timer, 50);
    clock_timer_set(c.timer, 50);
    clock_timer_set(a.timer, 10);
    g_assert_cmpint(clock_next_deadline(clock), ==, 10);
    /* Slack: a sleeper may stay until the first moment that one of them does not allow any more. */
    clock_timer_set_slack(a.timer, 100);
    g_assert_cmpint(clock_next_wake(clock), ==, 50);
    clock_timer_set_slack(a.timer, 15);
    g_assert_cmpint(clock_next_wake(clock), ==, 25);
    g_assert_cmpint(clock_next_deadline(clock), ==, 10);
    clock_timer_set(a.timer, 10); /* anew: exact again */
    g_assert_cmpint(clock_next_wake(clock), ==, 10);
    clock_manual_advance(clock, 9);
    g_assert_cmpstr(log->str, ==, "");
    clock_manual_advance(clock, 91);
    g_assert_cmpstr(log->str, ==, "a@10 a@40 b@50 a@70 a@100 ");
    g_assert_cmpint(clock_timer_deadline(c.timer), ==, CLOCK_NEVER);
    g_assert_cmpint(clock_timer_deadline(a.timer), ==, 130);
    clock_timer_free(a.timer);
    clock_timer_free(b.timer);
    clock_timer_free(c.timer);
    g_assert_cmpint(clock_next_deadline(clock), ==, CLOCK_NEVER);
    clock_free(clock);
}

static void count_idle(void *opaque)
{
    struct alarm *alarm = opaque;
    g_assert_true(clock_is_idle(alarm->clock));
    g_string_append_printf(alarm->log, "%s ", alarm->name);
    if (alarm->again)
        clock_timer_set(alarm->timer, clock_now(alarm->clock) + alarm->again);
    if (alarm->other)
        clock_timer_cancel(alarm->other);
}

static unsigned rearmed;

static void count_rearm(void *opaque)
{
    rearmed++;
}

/* Timers that spare a busy guest: rung for later, fired at once when it halts, and not for ever. */
static void test_relaxed_timers(void)
{
    struct clock *clock = clock_new();
    g_autoptr(GString) log = g_string_new(NULL);
    struct alarm a = {.clock = clock, .log = log, .name = "a"}, b = {.clock = clock, .log = log, .name = "b"},
                 c = {.clock = clock, .log = log, .name = "c"};
    int64_t soon = clock_now(clock) + 3600 * NANOSECONDS;
    a.timer = clock_timer_new(clock, count_idle, &a);
    b.timer = clock_timer_new(clock, count_idle, &b);
    c.timer = clock_timer_new(clock, count_idle, &c);
    g_assert_false(clock_run_idle(clock));
    clock_timer_relax(a.timer, 100);
    clock_timer_relax(b.timer, 100);
    clock_set_rearm(clock, count_rearm, NULL);
    clock_timer_set(a.timer, soon);
    g_assert_cmpint(clock_next_alarm(clock), ==, soon + 100);
    g_assert_cmpint(clock_next_wake(clock), ==, soon); /* a sleeper is on time */
    rearmed = 0;
    clock_timer_set(c.timer, soon + 50); /* behind it, and to be rung for before it */
    g_assert_cmpuint(rearmed, ==, 1);
    g_assert_cmpint(clock_next_alarm(clock), ==, soon + 50);
    clock_timer_set(b.timer, soon + 20);
    a.other = b.timer; /* its firing cancels the other */
    g_assert_true(clock_run_idle(clock));
    g_assert_cmpstr(log->str, ==, "a ");
    g_assert_cmpint(clock_timer_deadline(c.timer), ==, soon + 50); /* others wait for their time */
    g_assert_false(clock_run_idle(clock));
    g_assert_false(clock_is_idle(clock));
    a.again = 10; /* one that never has enough is left for the next time */
    clock_timer_set(a.timer, soon);
    g_assert_true(clock_run_idle(clock));
    clock_stop(clock);
    g_assert_false(clock_run_idle(clock));
    clock_timer_free(a.timer);
    clock_timer_free(b.timer);
    clock_timer_free(c.timer);
    clock_free(clock);
}

static void test_stopping(void)
{
    struct clock *clock = clock_new();
    int64_t first = clock_now(clock);
    clock_stop(clock);
    int64_t stopped = clock_now(clock);
    g_assert_cmpint(stopped, >=, first);
    g_assert_cmpint(clock_now(clock), ==, stopped);
    clock_continue(clock);
    g_assert_cmpint(clock_now(clock), >=, stopped);
    clock_set(clock, 5 * NANOSECONDS);
    g_assert_cmpint(clock_now(clock), >=, 5 * NANOSECONDS);
    clock_free(clock);
}

/* ---- saved state ---- */

struct thing {
    uint8_t small;
    bool truth;
    uint16_t row[3];
    uint32_t word;
    uint64_t wide;
    uint8_t bytes[5];
    bool refuse;
    unsigned loads;
};

static bool thing_loaded(void *device, GError **error)
{
    struct thing *thing = device;
    thing->loads++;
    if (thing->word != 13)
        return true;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "13 cannot be");
    return false;
}

static const struct state_field thing_fields[] = {
    STATE(struct thing, U8, small), STATE(struct thing, BOOL, truth), STATE_ARRAY(struct thing, U16, row),
    STATE(struct thing, U32, word), STATE(struct thing, U64, wide),   STATE_ARRAY(struct thing, BYTES, bytes),
};
static const struct state_table thing_table = {.name = "thing",
                                               .version = 1,
                                               .fields = thing_fields,
                                               .count = G_N_ELEMENTS(thing_fields),
                                               .after_load = thing_loaded};

static const struct thing sample = {.small = 200,
                                    .truth = true,
                                    .row = {1, 2, 65535},
                                    .word = 0xdeadbeef,
                                    .wide = UINT64_MAX - 1,
                                    .bytes = {9, 8, 7, 6, 5}};

static void test_round_trip(void)
{
    struct thing from = sample, to = {0};
    g_autoptr(GByteArray) file = g_byte_array_new();
    g_autoptr(GString) text = g_string_new(NULL);
    GError *error = NULL;
    size_t pos = 0;
    state_save(&thing_table, "thing0", &from, file);
    g_assert_true(state_load(&thing_table, "thing0", &to, file->data, file->len, &pos, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(pos, ==, file->len);
    to.loads = 0;
    g_assert_cmpmem(&to, sizeof to, &from, sizeof from);
    state_print(&thing_table, "thing0", &from, text);
    g_assert_cmpstr(text->str, ==,
                    "thing0.small=c8\nthing0.truth=1\nthing0.row=1,2,ffff\nthing0.word=deadbeef\n"
                    "thing0.wide=fffffffffffffffe\nthing0.bytes=0908070605\n");
}

/* Whatever is cut or changed: no crash, and a refusal leaves the device as it was. */
static void test_damage(void)
{
    struct thing from = sample;
    g_autoptr(GByteArray) file = g_byte_array_new();
    state_save(&thing_table, "thing0", &from, file);
    unsigned refused = 0;
    for (guint cut = 0; cut < file->len; cut++) {
        struct thing to = {.small = 1};
        size_t pos = 0;
        g_autoptr(GError) error = NULL;
        g_assert_false(state_load(&thing_table, "thing0", &to, file->data, cut, &pos, &error));
        g_assert_nonnull(error);
        g_assert_cmpuint(pos, ==, 0);
        g_assert_cmpuint(to.small, ==, 1);
    }
    for (guint i = 0; i < file->len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            struct thing to = {.small = 1};
            size_t pos = 0;
            g_autoptr(GError) error = NULL;
            file->data[i] ^= (uint8_t)(1u << bit);
            if (!state_load(&thing_table, "thing0", &to, file->data, file->len, &pos, &error)) {
                refused++;
                g_assert_cmpuint(to.small, ==, 1);
                g_assert_cmpuint(to.wide, ==, 0);
            }
            file->data[i] ^= (uint8_t)(1u << bit);
        }
    g_assert_cmpuint(refused, >, 8 * 60); /* names, types and counts; values are anybody's */
    from.word = 13;
    g_byte_array_set_size(file, 0);
    state_save(&thing_table, "thing0", &from, file);
    struct thing to = {.small = 1};
    size_t pos = 0;
    g_autoptr(GError) error = NULL;
    g_assert_false(state_load(&thing_table, "thing0", &to, file->data, file->len, &pos, &error));
    g_assert_nonnull(strstr(error->message, "13 cannot be"));
    g_assert_cmpuint(to.small, ==, 1);
    g_assert_cmpuint(to.loads, ==, 2); /* told of the values that came back, too */
}

/* A field that a later version brought keeps its value when an older file is loaded; a newer file is refused.
 */
static void test_versions(void)
{
    struct thing from = sample, to = {.wide = 77};
    const struct state_table older = {.name = "thing", .version = 1, .fields = thing_fields, .count = 4};
    struct state_field fields[G_N_ELEMENTS(thing_fields)];
    memcpy(fields, thing_fields, sizeof fields);
    fields[4].since = fields[5].since = 2;
    const struct state_table newer = {
        .name = "thing", .version = 2, .fields = fields, .count = G_N_ELEMENTS(fields)};
    g_autoptr(GByteArray) file = g_byte_array_new();
    GError *error = NULL;
    size_t pos = 0;
    state_save(&older, "x", &from, file);
    g_assert_true(state_load(&newer, "x", &to, file->data, file->len, &pos, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(to.word, ==, sample.word);
    g_assert_cmpuint(to.wide, ==, 77);
    pos = 0;
    g_assert_false(state_load(&newer, "y", &to, file->data, file->len, &pos, NULL)); /* another instance */
    g_byte_array_set_size(file, 0);
    state_save(&newer, "x", &from, file);
    pos = 0;
    g_assert_false(state_load(&older, "x", &to, file->data, file->len, &pos, &error));
    g_assert_nonnull(strstr(error->message, "newer version"));
    g_clear_error(&error);
}

struct holder {
    uint8_t *bytes;
    uint32_t held, number;
};
enum { HOLDER_MOST = 64 };
static bool holder_loaded(void *opaque, GError **error)
{
    struct holder *h = opaque;
    if (h->number != 13)
        return true;
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "13 cannot be");
    return false;
}

/* Bytes behind a pointer: as many as there are, never more than there is room for. */
static void test_varying(void)
{
    static const struct state_field fields[] = {
        STATE(struct holder, U32, number), STATE_VARYING_SINCE(struct holder, bytes, held, HOLDER_MOST, 2)};
    const struct state_table table = {
        .name = "holder", .version = 2, .fields = fields, .count = 2, .after_load = holder_loaded};
    uint8_t from_bytes[HOLDER_MOST], to_bytes[HOLDER_MOST];
    struct holder from = {.bytes = from_bytes, .number = 1}, to = {.bytes = to_bytes};
    for (unsigned i = 0; i < HOLDER_MOST; i++)
        from_bytes[i] = (uint8_t)(i + 1);
    static const uint32_t counts[] = {0, 1, 17, HOLDER_MOST,
                                      HOLDER_MOST + 5 /* no more than there is room for */};
    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
        g_autoptr(GByteArray) file = g_byte_array_new();
        g_autoptr(GError) error = NULL;
        size_t pos = 0;
        from.held = counts[i];
        memset(to_bytes, 0xee, sizeof to_bytes);
        state_save(&table, "h", &from, file);
        g_assert_true(state_load(&table, "h", &to, file->data, file->len, &pos, &error));
        g_assert_no_error(error);
        uint32_t n = MIN(counts[i], HOLDER_MOST);
        g_assert_cmpuint(to.held, ==, n);
        g_assert_true(to.bytes == to_bytes);
        g_assert_cmpmem(to_bytes, n, from_bytes, n);
        if (n < HOLDER_MOST)
            g_assert_cmphex(to_bytes[n], ==, 0xee);
        for (guint cut = 0; cut < file->len; cut++) {
            pos = 0;
            g_assert_false(state_load(&table, "h", &to, file->data, cut, &pos, NULL));
        }
    }
    /* one byte more than there is room for */
    g_autoptr(GByteArray) file = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    size_t pos = 0;
    from.held = HOLDER_MOST;
    state_save(&table, "h", &from, file);
    uint8_t *count = file->data + file->len - HOLDER_MOST - 4;
    g_assert_cmpuint(count[0], ==, HOLDER_MOST);
    count[0]++;
    g_byte_array_append(file, count, 1);
    g_assert_false(state_load(&table, "h", &to, file->data, file->len, &pos, &error));
    g_assert_nonnull(strstr(error->message, "'bytes' does not fit"));
    /* a refusal leaves bytes and their number as they were */
    g_byte_array_set_size(file, 0);
    from.number = 13;
    state_save(&table, "h", &from, file);
    to.held = 3;
    memcpy(to_bytes, "abc", 3);
    g_assert_false(state_load(&table, "h", &to, file->data, file->len, &pos, NULL));
    g_assert_cmpuint(to.held, ==, 3);
    g_assert_cmpmem(to_bytes, 3, "abc", 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/physmap/sizes", test_sizes);
    g_test_add_func("/physmap/overlaps", test_overlaps);
    g_test_add_func("/physmap/shadow", test_shadow);
    g_test_add_func("/physmap/code-pages", test_code_pages);
    g_test_add_func("/portio/all", test_ports);
    g_test_add_func("/clock/timers", test_timers);
    g_test_add_func("/clock/timers-relaxed", test_relaxed_timers);
    g_test_add_func("/clock/stopping", test_stopping);
    g_test_add_func("/state/round-trip", test_round_trip);
    g_test_add_func("/state/varying", test_varying);
    g_test_add_func("/state/damage", test_damage);
    g_test_add_func("/state/versions", test_versions);
    return g_test_run();
}
