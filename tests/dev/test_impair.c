/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Bad lines by a clock that only moves when told: times to the nanosecond, shares over many frames, the same
 * fate for the same seed, queues, pressure from behind, and the words for all of it.
 */
#include "emu/machine/clock.h"
#include "emu/net/frame.h"
#include "emu/net/impair.h"

#include <math.h>
#include <string.h>

enum { MANY = 100000 };
#define MS 1000000ll

struct far_end {
    struct net_port *port;
    struct clock *clock;
    GArray *numbers; /* uint32_t in bytes 14…17 of each frame that came */
    GArray *times;
    unsigned flipped; /* bits that are not as they were sent */
    int takes;        /* frames until it is full; negative: all */
};

struct line {
    struct clock *clock;
    struct net_port *sender;
    struct far_end far_end;
    unsigned rooms;
};

static enum net_result sender_receive(void *opaque, const struct net_frame *frame)
{
    return NET_SENT;
}

static void sender_room(void *opaque)
{
    ((struct line *)opaque)->rooms++;
}

static const struct net_ops sender_ops = {.kind = "sender", .receive = sender_receive, .room = sender_room};

static uint8_t pattern(uint32_t number, size_t at)
{
    return (uint8_t)(number * 31 + at);
}

static enum net_result far_receive(void *opaque, const struct net_frame *frame)
{
    struct far_end *end = opaque;
    uint8_t bytes[2048];
    uint32_t number;
    if (end->takes == 0)
        return NET_FULL;
    if (end->takes > 0)
        end->takes--;
    g_assert_cmpint(frame->offload.gso, ==, NET_GSO_NONE);
    size_t length = net_iov_copy(frame->iov, frame->count, 0, bytes, sizeof bytes);
    memcpy(&number, bytes + 14, sizeof number);
    for (size_t i = 18; i < length; i++)
        end->flipped += (unsigned)__builtin_popcount(bytes[i] ^ pattern(number, i));
    int64_t now = clock_now(end->clock);
    g_array_append_val(end->numbers, number);
    g_array_append_val(end->times, now);
    return NET_SENT;
}

static const struct net_ops far_ops = {.kind = "far", .receive = far_receive};

static void line_init(struct line *line, const char *words)
{
    struct net_impairment impairment;
    GError *error = NULL;
    *line = (struct line){.clock = clock_new_manual()};
    line->far_end = (struct far_end){.clock = line->clock,
                                     .takes = -1,
                                     .numbers = g_array_new(FALSE, FALSE, sizeof(uint32_t)),
                                     .times = g_array_new(FALSE, FALSE, sizeof(int64_t))};
    line->sender = net_port_new("near", &sender_ops, line, 0);
    line->far_end.port = net_port_new("far", &far_ops, &line->far_end, NET_CAN_CHECKSUM | NET_CAN_TSO4);
    net_join(line->sender, line->far_end.port);
    net_impairment_parse(words, &impairment, &error);
    g_assert_no_error(error);
    net_port_impair(line->sender, line->clock, &impairment);
}

static void line_set(struct line *line, const char *words)
{
    struct net_impairment impairment;
    g_assert_true(net_impairment_parse(words, &impairment, NULL));
    net_port_impair(line->sender, line->clock, &impairment);
}

static void line_end(struct line *line)
{
    net_port_free(line->sender);
    net_port_free(line->far_end.port);
    g_array_unref(line->far_end.numbers);
    g_array_unref(line->far_end.times);
    clock_free(line->clock);
}

static enum net_result send_number(struct line *line, uint32_t number, size_t length)
{
    uint8_t bytes[2048] = {0};
    struct iovec iov = {.iov_base = bytes, .iov_len = length};
    memcpy(bytes + 14, &number, sizeof number);
    for (size_t i = 18; i < length; i++)
        bytes[i] = pattern(number, i);
    return net_send(line->sender, &(struct net_frame){.iov = &iov, .count = 1, .length = length});
}

static uint32_t number_at(const struct line *line, unsigned i)
{
    return g_array_index(line->far_end.numbers, uint32_t, i);
}

static int64_t time_at(const struct line *line, unsigned i)
{
    return g_array_index(line->far_end.times, int64_t, i);
}

static struct net_impair_counters counters_of(const struct line *line)
{
    struct net_impair_counters counters = {0};
    net_port_impairment(line->sender, NULL, &counters);
    return counters;
}

static void test_delay(void)
{
    struct line line;
    line_init(&line, "delay=20ms");
    g_assert_cmpuint(net_peer_can(line.sender), ==, 0);
    g_assert_cmpint(send_number(&line, 1, 60), ==, NET_SENT);
    clock_manual_advance(line.clock, 5 * MS);
    send_number(&line, 2, 60);
    clock_manual_advance(line.clock, 15 * MS - 1);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 0);
    clock_manual_advance(line.clock, 1);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 1);
    g_assert_cmpint(time_at(&line, 0), ==, 20 * MS);
    clock_manual_advance(line.clock, 5 * MS);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 2);
    g_assert_cmpint(time_at(&line, 1), ==, 25 * MS);
    g_assert_cmpuint(line.far_end.flipped, ==, 0);
    line_end(&line);
}

static void test_jitter_keeps_order(const char *words, double mean_ms, double deviation_ms)
{
    struct line line;
    line_init(&line, words);
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < MANY / 10; i++) {
        send_number(&line, i, 60);
        clock_manual_advance(line.clock, 1000 * MS); /* so far apart that none holds back another */
        double delay = (double)(time_at(&line, i) - (int64_t)i * 1000 * MS) / 1e6;
        sum += delay;
        squares += delay * delay;
    }
    double mean = sum / (MANY / 10), deviation = sqrt(squares / (MANY / 10) - mean * mean);
    g_test_message("%s: mean %.3f ms, deviation %.3f ms", words, mean, deviation);
    g_assert_cmpfloat(fabs(mean - mean_ms), <, 0.5);
    g_assert_cmpfloat(fabs(deviation - deviation_ms), <, deviation_ms / 10 + 0.3);
    /* Close together they keep their order. */
    for (uint32_t i = 0; i < 500; i++) {
        send_number(&line, 100000 + i, 60);
        clock_manual_advance(line.clock, MS / 10);
    }
    clock_manual_advance(line.clock, 3600000 * MS);
    unsigned first = MANY / 10;
    g_assert_cmpuint(line.far_end.numbers->len, ==, first + 500);
    for (unsigned i = 0; i < 500; i++)
        g_assert_cmpuint(number_at(&line, first + i), ==, 100000 + i);
    line_end(&line);
}

static void test_jitter(void)
{
    test_jitter_keeps_order("delay=50ms,jitter=10ms,seed=1", 50, 10 / sqrt(3));
    test_jitter_keeps_order("delay=50ms,jitter=10ms,distribution=normal,seed=2", 50, 10);
    test_jitter_keeps_order("delay=50ms,jitter=2ms,distribution=pareto,seed=3", 52, 2 * sqrt(3));
}

/* Which of MANY frames came: a bit each. */
static GArray *fate(const char *words, struct net_impair_counters *counters)
{
    struct line line;
    line_init(&line, words);
    for (uint32_t i = 0; i < MANY; i++)
        send_number(&line, i, 60);
    clock_manual_advance(line.clock, 10000 * MS);
    *counters = counters_of(&line);
    GArray *numbers = g_array_ref(line.far_end.numbers);
    line_end(&line);
    return numbers;
}

static void test_loss(void)
{
    struct net_impair_counters counters;
    g_autoptr(GArray) a = fate("loss=10%,seed=5", &counters);
    g_assert_cmpuint(counters.frames, ==, MANY);
    g_assert_cmpuint(counters.lost + a->len, ==, MANY);
    g_assert_cmpfloat(fabs((double)counters.lost / MANY - 0.1), <, 0.005);
    g_autoptr(GArray) b = fate("loss=10%,seed=5", &counters);
    g_assert_cmpmem(a->data, a->len * 4, b->data, b->len * 4); /* again the same */
    g_autoptr(GArray) c = fate("loss=10%,seed=6", &counters);
    g_assert_false(a->len == c->len && memcmp(a->data, c->data, a->len * 4) == 0);
    g_autoptr(GArray) all = fate("loss=100%", &counters);
    g_assert_cmpuint(all->len, ==, 0);
    /* In bursts: as many in all, but one after the other. */
    g_autoptr(GArray) bursts = fate("loss=10%,burst=5,seed=7", &counters);
    g_assert_cmpfloat(fabs((double)counters.lost / MANY - 0.1), <, 0.02);
    unsigned runs = 0;
    for (unsigned i = 1; i < bursts->len; i++)
        runs += g_array_index(bursts, uint32_t, i) != g_array_index(bursts, uint32_t, i - 1) + 1;
    g_assert_cmpfloat(fabs((double)counters.lost / runs - 5), <, 0.5);
}

static void test_doubles_and_damage(void)
{
    struct line line;
    line_init(&line, "duplicate=5%,seed=8");
    for (uint32_t i = 0; i < MANY; i++)
        send_number(&line, i, 60);
    struct net_impair_counters counters = counters_of(&line);
    g_assert_cmpfloat(fabs((double)counters.duplicated / MANY - 0.05), <, 0.005);
    g_assert_cmpuint(line.far_end.numbers->len, ==, MANY + counters.duplicated);
    g_assert_cmpuint(line.far_end.flipped, ==, 0);
    line_end(&line);
    line_init(&line, "corrupt=100%,seed=9");
    unsigned damaged = 0;
    for (uint32_t i = 0; i < 1000; i++)
        send_number(&line, 0, 1400);
    damaged = line.far_end.flipped;
    g_assert_cmpuint(line.far_end.numbers->len, ==, 1000);
    g_assert_cmpuint(counters_of(&line).corrupted, ==, 1000);
    /* One bit each; a few fall into the header and number, which are not looked at. */
    g_assert_cmpuint(damaged, >, 900);
    g_assert_cmpuint(damaged, <, 1000 + 40 * 1400 * 4);
    line_end(&line);
}

static void test_rate(void)
{
    struct line line;
    line_init(&line, "rate=10M,limit=50");
    for (uint32_t i = 0; i < 60; i++)
        send_number(&line, i, 1226); /* with 24 bytes of overhead: 1 ms each */
    g_assert_cmpuint(counters_of(&line).overflow, ==, 10);
    g_assert_cmpuint(counters_of(&line).most_queued, ==, 50);
    clock_manual_advance(line.clock, 100 * MS);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 50);
    for (unsigned i = 0; i < 50; i++) {
        g_assert_cmpuint(number_at(&line, i), ==, i);
        g_assert_cmpint(time_at(&line, i), ==, (i + 1) * MS);
    }
    /* What overflowed did not take the line: the next one goes at once. */
    send_number(&line, 99, 1226);
    clock_manual_advance(line.clock, MS);
    g_assert_cmpint(time_at(&line, 50), ==, 101 * MS);
    g_assert_cmpuint(net_port_counters(line.sender)->dropped[NET_DROP_QUEUE], ==, 10);
    line_end(&line);
}

static void test_reorder(void)
{
    struct line line;
    line_init(&line, "delay=10ms,reorder=10%,seed=11");
    for (uint32_t i = 0; i < 10000; i++) {
        send_number(&line, i, 60);
        clock_manual_advance(line.clock, MS);
    }
    clock_manual_advance(line.clock, 20 * MS);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 10000);
    unsigned overtaken = 0;
    for (unsigned i = 1; i < 10000; i++)
        overtaken += number_at(&line, i) < number_at(&line, i - 1);
    g_assert_cmpuint(counters_of(&line).reordered, >, 800);
    g_assert_cmpuint(overtaken, >, 600);
    line_end(&line);
}

static void test_pressure(void)
{
    struct line line;
    line_init(&line, "delay=1ms,limit=10");
    line.far_end.takes = 3;
    for (uint32_t i = 0; i < 8; i++)
        send_number(&line, i, 60);
    clock_manual_advance(line.clock, 5 * MS);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 3);
    clock_manual_advance(line.clock, 5 * MS);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 3); /* waits, and does not spin */
    line.far_end.takes = -1;
    net_room(line.far_end.port);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 8);
    g_assert_cmpuint(number_at(&line, 7), ==, 7);
    g_assert_cmpuint(line.rooms, ==, 0); /* the sender was never told to wait */
    line_end(&line);
}

static void test_changes(void)
{
    struct line line;
    line_init(&line, "off");
    g_assert_false(net_port_impairment(line.sender, NULL, NULL));
    g_assert_cmpuint(net_peer_can(line.sender), ==, NET_CAN_CHECKSUM | NET_CAN_TSO4);
    send_number(&line, 0, 60);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 1);
    line_set(&line, "delay=50ms");
    send_number(&line, 1, 60);
    line_set(&line, "delay=10ms"); /* what is on its way keeps its time, and its place */
    send_number(&line, 2, 60);
    clock_manual_advance(line.clock, 20 * MS);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 1);
    line_set(&line, "off");
    send_number(&line, 3, 60); /* behind those */
    clock_manual_advance(line.clock, 30 * MS);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 4);
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmpuint(number_at(&line, i), ==, i);
    line_set(&line, "off");
    g_assert_false(net_port_impairment(line.sender, NULL, NULL));
    /* Pulled while frames are on their way; the far end gone; the port freed with a full queue. */
    line_set(&line, "delay=50ms");
    send_number(&line, 4, 60);
    net_set_link(line.far_end.port, false);
    g_assert_cmpint(send_number(&line, 5, 60), ==, NET_DROPPED);
    clock_manual_advance(line.clock, 60 * MS);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 4);
    net_set_link(line.far_end.port, true);
    send_number(&line, 6, 60);
    line_end(&line);
}

/* A burst is cut, and each piece has a fate of its own. */
static void test_bursts(void)
{
    struct line line;
    uint8_t bytes[14 + 20 + 20 + 4000] = {0};
    bytes[12] = 0x08;
    bytes[14] = 0x45;
    bytes[14 + 2] = (uint8_t)((sizeof bytes - 14) >> 8);
    bytes[14 + 3] = (uint8_t)(sizeof bytes - 14);
    bytes[14 + 8] = 64;
    bytes[14 + 9] = 6;
    bytes[34 + 12] = 0x50;
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof bytes};
    struct net_frame frame = {.iov = &iov,
                              .count = 1,
                              .length = sizeof bytes,
                              .offload = {.needs_checksum = true,
                                          .checksum_start = 34,
                                          .checksum_offset = 16,
                                          .gso = NET_GSO_TCPV4,
                                          .gso_size = 1000,
                                          .header_length = 54}};
    line_init(&line, "delay=1ms");
    g_assert_cmpint(net_send(line.sender, &frame), ==, NET_SENT);
    g_assert_cmpuint(counters_of(&line).frames, ==, 4);
    clock_manual_advance(line.clock, MS);
    g_assert_cmpuint(line.far_end.numbers->len, ==, 4);
    frame.offload.checksum_start = 60000; /* impossible */
    g_assert_cmpint(net_send(line.sender, &frame), ==, NET_DROPPED);
    line_end(&line);
}

static void test_words(void)
{
    static const char *const kept[] = {
        "off", "delay=20ms,seed=1", "delay=20ms,jitter=5ms,distribution=normal,loss=1%,burst=3,seed=7",
        "duplicate=0.1%,corrupt=0.01%,reorder=25%,rate=1e+07bit,limit=10,seed=2"};
    for (unsigned i = 0; i < G_N_ELEMENTS(kept); i++) {
        struct net_impairment a, b;
        GError *error = NULL;
        net_impairment_parse(kept[i], &a, &error);
        g_assert_no_error(error);
        g_autofree char *text = net_impairment_format(&a);
        g_assert_true(net_impairment_parse(text, &b, &error));
        g_assert_cmpfloat(fabs(a.loss - b.loss) + fabs(a.corrupt - b.corrupt) + fabs(a.reorder - b.reorder),
                          <, 1e-9);
        g_assert_cmpuint(a.delay_ns, ==, b.delay_ns);
        g_assert_cmpuint(a.rate, ==, b.rate);
        g_assert_cmpuint(a.limit, ==, b.limit);
    }
    static const struct {
        const char *words, *says;
    } wrong[] = {
        {"delay=x", "delay=x: write it like delay=20ms"},
        {"delay=-1ms", "write it like"},
        {"delay=20m", "write it like"},
        {"delay=700s", "at most 600s"},
        {"loss=101%", "at most 100%"},
        {"loss=nan", "write it like"},
        {"rate=10X", "write it like rate=10M"},
        {"limit=0", "limit"},
        {"distribution=flat", "distribution"},
        {"dely=1", "did you mean 'delay'"},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        struct net_impairment impairment;
        g_autoptr(GError) error = NULL;
        g_assert_false(net_impairment_parse(wrong[i].words, &impairment, &error));
        if (!strstr(error->message, wrong[i].says))
            g_error("%s: \"%s\" does not say \"%s\"", wrong[i].words, error->message, wrong[i].says);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/impair/delay", test_delay);
    g_test_add_func("/impair/jitter", test_jitter);
    g_test_add_func("/impair/loss", test_loss);
    g_test_add_func("/impair/doubles-and-damage", test_doubles_and_damage);
    g_test_add_func("/impair/rate", test_rate);
    g_test_add_func("/impair/reorder", test_reorder);
    g_test_add_func("/impair/pressure", test_pressure);
    g_test_add_func("/impair/changes", test_changes);
    g_test_add_func("/impair/bursts", test_bursts);
    g_test_add_func("/impair/words", test_words);
    return g_test_run();
}
