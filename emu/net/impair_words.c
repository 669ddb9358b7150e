/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Impairments as words: "delay=20ms,loss=1%". One row a word; the same rows read and write.
 */
#include "emu/keyval.h"
#include "emu/net/impair.h"

#include <gio/gio.h>
#include <math.h>
#include <string.h>

static const struct keyval_row rows[] = {
    {"delay", KEYVAL_STRING, .help = "one way, like 20ms"},
    {"jitter", KEYVAL_STRING, .help = "variation of the delay, like 5ms"},
    {"distribution", KEYVAL_CHOICE, "uniform|normal|pareto", .help = "of the jitter"},
    {"loss", KEYVAL_STRING, .help = "share of frames lost, like 1%"},
    {"burst", KEYVAL_STRING, .help = "mean number of frames lost in a row"},
    {"duplicate", KEYVAL_STRING, .help = "share of frames that come twice"},
    {"corrupt", KEYVAL_STRING, .help = "share of frames with one bit flipped"},
    {"reorder", KEYVAL_STRING, .help = "share of frames that overtake those on their way"},
    {"rate", KEYVAL_STRING, .help = "bit/s, like 10M"},
    {"limit", KEYVAL_NUMBER, .help = "frames in the queue (1000)", .min = 1, .max = NET_IMPAIR_LIMIT_MOST},
    {"seed", KEYVAL_NUMBER, .help = "the same seed, the same fate"},
};
static const struct keyval_table table = {"impairment", rows, G_N_ELEMENTS(rows), NULL};
static const char *const distributions[] = {
    [NET_JITTER_UNIFORM] = "uniform", [NET_JITTER_NORMAL] = "normal", [NET_JITTER_PARETO] = "pareto"};
_Static_assert(G_N_ELEMENTS(distributions) == NET_JITTER_COUNT, "a name for each");

struct unit {
    const char *name;
    double factor;
};

/* A number with one of these units; the first is meant where there is none. */
static bool parse_with(const char *key, const char *text, const struct unit *units, double most,
                       const char *like, double *value, GError **error)
{
    char *end;
    double number = g_ascii_strtod(text, &end);
    const struct unit *unit = NULL;
    for (const struct unit *u = units; u->name && !unit; u++)
        if (g_str_equal(end, u->name) || (!*end && u == units))
            unit = u;
    if (end == text || !unit || !isfinite(number) || number < 0 || number * unit->factor > most) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "%s=%s: write it like %s=%s", key, text,
                    key, like);
        return false;
    }
    *value = number * unit->factor;
    return true;
}

static bool parse_time(const struct keyval *kv, const char *key, uint64_t *ns, GError **error)
{
    static const struct unit units[] = {{"ms", 1e6}, {"us", 1e3}, {"ns", 1}, {"s", 1e9}, {NULL}};
    const char *text = keyval_string(kv, key, NULL);
    double value;
    if (!text)
        return true;
    if (!parse_with(key, text, units, 600e9, "20ms (at most 600s)", &value, error))
        return false;
    *ns = (uint64_t)value;
    return true;
}

static bool parse_share(const struct keyval *kv, const char *key, double *share, GError **error)
{
    static const struct unit units[] = {{"", 1}, {"%", 0.01}, {NULL}};
    const char *text = keyval_string(kv, key, NULL);
    return !text || parse_with(key, text, units, 1, "1% (at most 100%)", share, error);
}

static bool parse_rate(const struct keyval *kv, uint64_t *rate, GError **error)
{
    static const struct unit units[] = {{"bit", 1},    {"K", 1e3},    {"M", 1e6},    {"G", 1e9},
                                        {"kbit", 1e3}, {"Mbit", 1e6}, {"Gbit", 1e9}, {NULL}};
    const char *text = keyval_string(kv, "rate", NULL);
    double value;
    if (!text)
        return true;
    if (!parse_with("rate", text, units, 1e12, "10M (bit/s)", &value, error))
        return false;
    *rate = (uint64_t)value;
    return true;
}

bool net_impairment_parse(const char *text, struct net_impairment *out, GError **error)
{
    static const struct unit plain[] = {{"", 1}, {NULL}};
    struct net_impairment result = {.limit = NET_IMPAIR_LIMIT};
    if (g_str_equal(text, "off") || g_str_equal(text, "")) {
        *out = result;
        return true;
    }
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&table, text, error);
    const char *burst = kv ? keyval_string(kv, "burst", NULL) : NULL;
    if (!kv || !parse_time(kv, "delay", &result.delay_ns, error) ||
        !parse_time(kv, "jitter", &result.jitter_ns, error) ||
        !parse_share(kv, "loss", &result.loss, error) ||
        !parse_share(kv, "duplicate", &result.duplicate, error) ||
        !parse_share(kv, "corrupt", &result.corrupt, error) ||
        !parse_share(kv, "reorder", &result.reorder, error) || !parse_rate(kv, &result.rate, error) ||
        (burst && !parse_with("burst", burst, plain, 1e6, "3 (frames)", &result.loss_burst, error)))
        return false;
    const char *distribution = keyval_string(kv, "distribution", distributions[NET_JITTER_UNIFORM]);
    for (unsigned i = 0; i < NET_JITTER_COUNT; i++)
        if (g_str_equal(distribution, distributions[i]))
            result.distribution = (enum net_jitter)i;
    result.limit = (unsigned)keyval_number(kv, "limit", NET_IMPAIR_LIMIT);
    result.has_seed = keyval_has(kv, "seed");
    result.seed = keyval_number(kv, "seed", 0);
    *out = result;
    return true;
}

static void add_number(GString *text, const char *key, double value, double scale, const char *unit)
{
    char digits[G_ASCII_DTOSTR_BUF_SIZE];
    if (value > 0)
        g_string_append_printf(text, "%s%s=%s%s", text->len ? "," : "", key,
                               g_ascii_formatd(digits, sizeof digits, "%.10g", value / scale), unit);
}

char *net_impairment_format(const struct net_impairment *s)
{
    GString *text = g_string_new(NULL);
    add_number(text, "delay", (double)s->delay_ns, 1e6, "ms");
    add_number(text, "jitter", (double)s->jitter_ns, 1e6, "ms");
    if (s->jitter_ns && s->distribution != NET_JITTER_UNIFORM)
        g_string_append_printf(text, ",distribution=%s", distributions[s->distribution]);
    add_number(text, "loss", s->loss, 0.01, "%");
    if (s->loss > 0)
        add_number(text, "burst", s->loss_burst, 1, "");
    add_number(text, "duplicate", s->duplicate, 0.01, "%");
    add_number(text, "corrupt", s->corrupt, 0.01, "%");
    add_number(text, "reorder", s->reorder, 0.01, "%");
    add_number(text, "rate", (double)s->rate, 1, "bit");
    if (!text->len)
        return g_string_assign(text, "off"), g_string_free(text, FALSE);
    if (s->limit && s->limit != NET_IMPAIR_LIMIT)
        g_string_append_printf(text, ",limit=%u", s->limit);
    g_string_append_printf(text, ",seed=%" G_GUINT64_FORMAT, s->seed);
    return g_string_free(text, FALSE);
}
