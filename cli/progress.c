/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Progress on the terminal; see progress.h.
 */
#include "cli/progress.h"
#include "cli/cli.h"

#include <stdio.h>
#include <sys/ioctl.h>

void cli_progress_init(struct cli_progress *progress, bool quiet, bool verbose)
{
    *progress = (struct cli_progress){
        .is_quiet = quiet,
        .is_verbose = verbose,
        .is_live = !quiet && !verbose && cli_is_terminal(),
        .steps = g_ptr_array_new_with_free_func(g_free),
        .undone = g_ptr_array_new_with_free_func(g_free),
    };
}

void cli_progress_clear(struct cli_progress *progress)
{
    g_ptr_array_unref(progress->steps);
    g_ptr_array_unref(progress->undone);
}

void cli_progress_end(struct cli_progress *progress)
{
    if (!progress->has_line)
        return;
    printf("\r\033[K");
    fflush(stdout);
    progress->has_line = false;
}

void cli_progress_rewrite(FILE *terminal, const char *text)
{
    struct winsize size;
    bool known = ioctl(fileno(terminal), TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    glong width = known ? size.ws_col - 1 : 79;
    g_autofree char *fitting =
        g_utf8_strlen(text, -1) > width ? g_utf8_substring(text, 0, width) : g_strdup(text);
    fprintf(terminal, "\r\033[K%s", fitting);
    fflush(terminal);
}

G_GNUC_PRINTF(2, 3) static void show_live(struct cli_progress *progress, const char *format, ...)
{
    if (!progress->is_live)
        return;
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    cli_progress_rewrite(stdout, text);
    progress->has_line = true;
}

/* A line that stays. */
G_GNUC_PRINTF(2, 3) static void show_line(struct cli_progress *progress, const char *format, ...)
{
    va_list arguments;
    cli_progress_end(progress);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
}

void cli_progress_tell(void *opaque, enum lab_event event, unsigned index, unsigned count, double seconds,
                       const char *text)
{
    struct cli_progress *progress = opaque;
    switch (event) {
    case LAB_STEP:
        g_ptr_array_add(progress->steps, g_strdup(text));
        if (progress->is_verbose && !progress->is_quiet)
            show_line(progress, "[%u/%u] %s", index, count, text);
        else
            show_live(progress, "[%u/%u] %s", index, count, text);
        return;
    case LAB_WAIT:
        show_live(progress, "waiting for %u machine%s to become ready ...", count, count == 1 ? "" : "s");
        return;
    case LAB_READY:
        if (progress->is_live || (progress->is_verbose && !progress->is_quiet))
            show_line(progress, "%s is ready (%.1f s)", text, seconds);
        if (count)
            show_live(progress, "waiting for %u machine%s to become ready ...", count, count == 1 ? "" : "s");
        return;
    case LAB_UNDO:
        g_ptr_array_add(progress->undone, g_strdup(text));
        if (progress->is_verbose && !progress->is_quiet)
            show_line(progress, "%s", text);
        else
            show_live(progress, "%s", text);
        return;
    case LAB_NOTE:
        cli_progress_end(progress);
        if (!progress->is_quiet)
            fprintf(stderr, "netlab: %s\n", text);
        return;
    case LAB_EVENTS:
        return;
    }
}

void cli_progress_print_undone(const struct cli_progress *progress)
{
    if (!progress->undone->len)
        return;
    fprintf(stderr, "Rolled back:\n");
    for (guint i = 0; i < progress->undone->len; i++)
        fprintf(stderr, "  %s\n", (char *)progress->undone->pdata[i]);
}
