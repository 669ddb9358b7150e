/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors
 */
/*
 * Trace output: see trace.h. One line an event: seconds since start, category, text.
 */
#include "emu/trace.h"
#include "emu/fdset.h"

#include <fcntl.h>
#include <errno.h>
#include <gio/gio.h>
#include <stdarg.h>
#include <string.h>

uint64_t trace_mask;

static FILE *trace_out; /* NULL: stderr */
static gint64 trace_start;

static const struct {
    const char *name, *help;
} categories[TRACE_COUNT] = {
#define X(id, name_, help_) [TRACE_##id] = {#name_, help_},
    TRACE_CATEGORIES(X)
#undef X
};

void trace_write(enum trace_category cat, const char *format, ...)
{
    FILE *out = trace_file();
    gint64 now = g_get_monotonic_time();
    if (!trace_start)
        trace_start = now;
    fprintf(out, "%10.6f %-6s ", (double)(now - trace_start) / 1e6, categories[cat].name);
    va_list args;
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fputc('\n', out);
}

FILE *trace_file(void)
{
    return trace_out ? trace_out : stderr;
}

bool trace_set_file(const char *path, GError **error)
{
    FILE *file = NULL;
    if (path) {
        int fd = fdset_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        file = fd < 0 ? NULL : fdopen(fd, "w");
        if (!file) {
            int why = errno;
            g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why),
                        "opening the trace file %s: %s (name a file in a folder you may write to)", path,
                        g_strerror(why));
            return false;
        }
        setvbuf(file, NULL, _IOLBF, 0);
    }
    if (trace_out)
        fclose(trace_out);
    trace_out = file;
    return true;
}

bool trace_enable(const char *list, GError **error)
{
    g_auto(GStrv) names = g_strsplit(list, ",", 64);
    uint64_t mask = 0;
    for (char **name = names; *name; name++) {
        g_strstrip(*name);
        if (!**name)
            continue;
        if (g_str_equal(*name, "all")) {
            mask |= (UINT64_C(1) << (TRACE_COUNT - 1) << 1) - 1;
            continue;
        }
        unsigned i = 0;
        while (i < TRACE_COUNT && !g_str_equal(categories[i].name, *name))
            i++;
        if (i == TRACE_COUNT) {
            g_autoptr(GString) known = g_string_new(NULL);
            for (unsigned k = 0; k < TRACE_COUNT; k++)
                g_string_append_printf(known, " %s", categories[k].name);
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "no trace category '%s'; there are:%s, and all", *name, known->str);
            return false;
        }
        mask |= UINT64_C(1) << i;
    }
    trace_mask |= mask;
    return true;
}

const char *trace_name(enum trace_category category)
{
    return categories[category].name;
}

void trace_describe(GString *out)
{
    for (unsigned i = 0; i < TRACE_COUNT; i++)
        g_string_append_printf(out, "%-8s %s\n", categories[i].name, categories[i].help);
}
