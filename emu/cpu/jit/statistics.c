/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The translator's counters: by name for tools, as text for people.
 *
 * They count since the start, but for sizes, which are as they are now. "direct branches" are those that were
 * translated and "links made" how often one was led straight to its target, so a branch whose target was
 * dropped and made anew counts again. Interpreter functions: "calls" is how often translated code called the
 * one of a row, be it that the row has no emitter or that an access was not plain; "fallbacks" how often the
 * row was translated as such a call.
 */
#include "emu/cpu/jit/flat.h"
#include "emu/cpu/jit/jit_internal.h"
#include "emu/cpu/jit/window.h"

void jit_foreach_counter(const struct cpu *cpu, cpu_counter_fn *visit, void *opaque)
{
    const struct jit *jit = cpu->jit;

    if (!jit)
        return;
    struct window_counts window = window_counts(jit->window);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"translations", jit->translated},
        {"hot-translations", jit->hot},
        {"window-faults", window.faults},
        {"window-pages-mapped", window.mapped},
        {"window-pages-unmapped", window.unmapped},
        {"window-rests", window.rests},
        {"window-sites-replaced", window.patched},
        {"flushes", jit->flushes},
        {"code-bytes", (uint64_t)(jit->at - jit->code + jit->cold - jit->code - jit_cold(jit))},
        {"code-bytes-limit", jit->code_size},
        {"data-bytes", jit->data_used},
        {"table-bytes", flat_touched(cpu->flat)},
        {"direct-branches", jit->branches},
        {"links-made", jit->links},
        {"entered", jit->entered},
        {"continued", jit->continued},
        {"places-filled", jit->fills},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        visit(opaque, "jit", rows[i].name, rows[i].value);
    for (unsigned id = 0; id < INSN_COUNT; id++)
        if (jit->runs[id])
            visit(opaque, "jit-calls", insn_rows[id].name, jit->runs[id]);
    for (unsigned id = 0; id < INSN_COUNT; id++)
        if (jit->fallbacks[id])
            visit(opaque, "jit-fallbacks", insn_rows[id].name, jit->fallbacks[id]);
}

static unsigned rate(uint64_t part, uint64_t whole)
{
    return whole ? (unsigned)(part * 100 / whole) : 0;
}

/* Rows by calls, most first. */
static int by_calls(gconstpointer a, gconstpointer b, gpointer opaque)
{
    const struct jit *jit = opaque;
    uint64_t x = jit->runs[*(const uint16_t *)a], y = jit->runs[*(const uint16_t *)b];

    return x < y ? 1 : x > y ? -1 : *(const uint16_t *)a - *(const uint16_t *)b;
}

static void describe_calls(const struct jit *jit, GString *out)
{
    uint16_t order[INSN_COUNT];
    unsigned count = 0;
    uint64_t all = 0;

    for (unsigned id = 0; id < INSN_COUNT; id++) {
        if (jit->runs[id] || jit->fallbacks[id])
            order[count++] = (uint16_t)id;
        all += jit->runs[id];
    }
    g_qsort_with_data(order, (int)count, sizeof(order[0]), by_calls, (void *)(uintptr_t)jit);
    g_string_append_printf(out,
                           "interpreter functions called: %" G_GUINT64_FORMAT
                           "; by instruction (and how often it was translated as such a call)\n",
                           all);
    for (unsigned i = 0; i < count; i++)
        g_string_append_printf(out, "%12" G_GUINT64_FORMAT "  %-16s (%" G_GUINT64_FORMAT ")\n",
                               jit->runs[order[i]], insn_rows[order[i]].name, jit->fallbacks[order[i]]);
}

void jit_describe(const struct cpu *cpu, GString *out)
{
    const struct jit *jit = cpu->jit;

    struct window_counts window = window_counts(jit ? jit->window : NULL);

    if (!jit) {
        g_string_append(out, "no translator: -accel interp\n");
        return;
    }
    g_string_append_printf(
        out,
        "translations    %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT " of them hot, %" G_GUINT64_FORMAT
        " flushes\n"
        "windows         %" G_GUINT64_FORMAT " faults, %" G_GUINT64_FORMAT " pages mapped, %" G_GUINT64_FORMAT
        " unmapped, %" G_GUINT64_FORMAT " rests\n"
        "code memory     %zu of %zu KiB, data %zu KiB, flat tables %zu KiB\n"
        "direct branches %" G_GUINT64_FORMAT ", links made %" G_GUINT64_FORMAT " (%u %%)\n"
        "entered         %" G_GUINT64_FORMAT ", gone on after a call %" G_GUINT64_FORMAT "\n"
        "places filled   %" G_GUINT64_FORMAT "\n",
        jit->translated, jit->hot, jit->flushes, window.faults, window.mapped, window.unmapped, window.rests,
        (size_t)(jit->at - jit->code + jit->cold - jit->code - jit_cold(jit)) >> 10, jit->code_size >> 10,
        jit->data_used >> 10, flat_touched(cpu->flat) >> 10, jit->branches, jit->links,
        rate(jit->links, jit->branches), jit->entered, jit->continued, jit->fills);
    describe_calls(jit, out);
}
