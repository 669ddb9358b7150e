/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See topology_line.h. The words are those of emu/net/impair_words.c, which has the last word on them.
 *
 * What is said of a network or a link holds for what every NIC on it sends: both ways of a link are bad
 * alike, and a ping over a link with `delay: 20ms` takes 40 ms.
 */
#include "netlab/topology_line.h"

#include <string.h>

static const struct {
    const char *name, *example,
        *units; /* units: what may follow the number, separated by blanks; "-": none */
    bool is_word;
    double most;
} words[] = {
    [TOPOLOGY_DELAY] = {"delay", "20ms", "ms us ns s", .most = 600e9},
    [TOPOLOGY_JITTER] = {"jitter", "5ms", "ms us ns s", .most = 600e9},
    [TOPOLOGY_DISTRIBUTION] = {"distribution", "uniform, normal or pareto", "uniform normal pareto",
                               .is_word = true},
    [TOPOLOGY_LOSS] = {"loss", "1%", "%", .most = 100},
    [TOPOLOGY_BURST] = {"burst", "3", "-", .most = 1e6},
    [TOPOLOGY_DUPLICATE] = {"duplicate", "1%", "%", .most = 100},
    [TOPOLOGY_CORRUPT] = {"corrupt", "0.1%", "%", .most = 100},
    [TOPOLOGY_REORDER] = {"reorder", "1%", "%", .most = 100},
    [TOPOLOGY_RATE] = {"rate", "10M", "K M G bit kbit Mbit Gbit", .most = 1e12},
    [TOPOLOGY_LIMIT] = {"limit", "100", "-", .most = 100000},
    [TOPOLOGY_SEED] = {"seed", "7", "-", .most = 1e15},
};
_Static_assert(G_N_ELEMENTS(words) == TOPOLOGY_IMPAIRMENTS, "a row for each word");

static double factor_of(const char *unit)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"ns", 1},  {"us", 1e3}, {"ms", 1e6},   {"s", 1e9},    {"K", 1e3},
                 {"M", 1e6}, {"G", 1e9},  {"kbit", 1e3}, {"Mbit", 1e6}, {"Gbit", 1e9}};
    for (size_t i = 0; i < G_N_ELEMENTS(units); i++)
        if (g_str_equal(units[i].unit, unit))
            return units[i].factor;
    return 1;
}

const char *topology_line_word_wrong(enum topology_impairment word, const char *text)
{
    g_auto(GStrv) units = g_strsplit(words[word].units, " ", -1);
    char *end;
    if (words[word].is_word)
        return g_strv_contains((const char *const *)units, text) ? NULL : words[word].example;
    double value = g_ascii_strtod(text, &end);
    bool has_number = end != text && (g_ascii_isdigit(text[0]) || text[0] == '.') && value >= 0;
    const char *unit = *end ? end : !strcmp(units[0], "ms") ? "ms" : "";
    bool is_known = !*end || g_strv_contains((const char *const *)units, end);
    /* A share without % is a fraction. */
    double scaled = value * factor_of(unit) * (words[word].units[0] == '%' && !*end ? 100 : 1);
    bool is_whole = word != TOPOLOGY_LIMIT && word != TOPOLOGY_SEED ? true : value == (double)(guint64)value;
    bool is_good = has_number && is_known && is_whole && scaled <= words[word].most &&
                   (word != TOPOLOGY_LIMIT || value >= 1);
    return is_good ? NULL : words[word].example;
}

char *topology_line_format(const struct topology_nic *nic, unsigned number)
{
    g_autoptr(GString) text = g_string_new(NULL);
    bool is_bad = false;
    for (int i = 0; i < TOPOLOGY_IMPAIRMENTS; i++) {
        const char *own = nic->line.words[i], *word = own ? own : nic->network->line.words[i];
        if (!word)
            continue;
        is_bad |=
            i != TOPOLOGY_SEED && i != TOPOLOGY_LIMIT && i != TOPOLOGY_DISTRIBUTION && i != TOPOLOGY_BURST;
        if (i == TOPOLOGY_SEED && !own)
            g_string_append_printf(text, "%sseed=%" G_GUINT64_FORMAT, text->len ? "," : "",
                                   g_ascii_strtoull(word, NULL, 10) + number);
        else
            g_string_append_printf(text, "%s%s=%s", text->len ? "," : "", words[i].name, word);
    }
    return is_bad ? g_strdup(text->str) : NULL;
}
