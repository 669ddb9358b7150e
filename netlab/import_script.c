/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Start scripts (Kathará's NAME.startup). One of plain commands is taken line by line, as start commands are
 * (import_commands.c). One with loops, conditions, variables or here-documents goes into the node's folder
 * whole and is run by bash; its lines that call ifconfig, route or an init script become what does the same,
 * unless text that spans lines could make them something else.
 */
#include "netlab/import_internal.h"

#include <string.h>

static bool has_control_flow(const char *line)
{
    static const char *const words[] = {"if ",     "for ", "while ", "until ", "case ",  "function ",
                                        "then",    "do",   "done",   "fi",     "esac",   "else",
                                        "export ", "cd ",  "set ",   "exec ",  "exit",   "sleep ",
                                        "source ", ". ",   "{",      "}",      "local ", "eval "};
    if (strstr(line, "<<") || g_str_has_suffix(line, "\\") || strstr(line, "() "))
        return true;
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_str_has_prefix(line, words[i]))
            return true;
    /* NAME=value, which later lines use. */
    size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return name && line[name] == '=';
}

/* Quotes that go over the end of a line. */
static bool has_open_quote(const char *line)
{
    char quote = 0;
    for (const char *c = line; *c; c++) {
        if (*c == '\\' && quote != '\'' && c[1])
            c++;
        else if (quote)
            quote = *c == quote ? 0 : quote;
        else if (*c == '\'' || *c == '"')
            quote = *c;
        else if (*c == '#' && (c == line || c[-1] == ' ' || c[-1] == '\t'))
            break;
    }
    return quote != 0;
}

/* The script as it will run here; *left: lines that call what our images have not. Owned by the caller. */
static char *rewrite(struct import_lab *lab, struct import_node *node, char **lines, unsigned *left)
{
    bool spans = false;
    for (guint i = 0; lines[i]; i++)
        spans |= strstr(lines[i], "<<") || has_open_quote(lines[i]) || g_str_has_suffix(lines[i], "\\");
    GString *out = g_string_new(NULL);
    for (guint i = 0; lines[i]; i++) {
        if (g_str_has_suffix(lines[i], "\r"))
            lines[i][strlen(lines[i]) - 1] = '\0';
        struct topology_mark mark = {i + 1, (unsigned)strspn(lines[i], " \t") + 1};
        g_autofree char *other = spans ? NULL : import_rewrite(lab, node, lines[i], mark);
        *left += !other && import_calls_old_tools(lines[i]);
        g_string_append_printf(out, "%s%s", other ? other : lines[i], lines[i + 1] ? "\n" : "");
    }
    return g_string_free(out, FALSE);
}

static void keep_whole(struct import_lab *lab, struct import_node *node, const char *name, const char *text,
                       bool is_utf8)
{
    g_autofree char *what = g_strdup_printf("node %s: %s", node->name, name);
    g_autofree char *base = g_path_get_basename(name);
    /* Devices' names are letters, digits, `_`, `-` and `.`: nothing to quote. */
    g_autofree char *path = g_strconcat("/etc/lab/", base, NULL), *run = g_strconcat("bash ", path, NULL);
    struct topology_mark start = {1, 1};
    unsigned left = 0;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *script = is_utf8 ? rewrite(lab, node, lines, &left) : g_strdup(text);
    if (!import_put(lab, node, path, 0755, script, strlen(script), start) ||
        !import_run(lab, node, run, start, what))
        return;
    if (left)
        import_note(lab, IMPORT_LEFT, start, what,
                    "run whole; %u lines call ifconfig or route, which are not in our images: write ip",
                    left);
    else
        import_note(lab, IMPORT_APPROXIMATED, start, what, "run whole, as %s", path);
}

void import_script(struct import_lab *lab, struct import_node *node, const char *name, const char *text)
{
    const char *before = lab->shown;
    g_autofree char *place = g_build_filename(lab->folder_shown, name, NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    bool is_utf8 = g_utf8_validate(text, -1, NULL), whole = !is_utf8;
    guint count = 0;
    for (guint i = 0; lines[i]; i++) {
        g_strstrip(lines[i]);
        if (!*lines[i] || *lines[i] == '#')
            continue;
        count++;
        whole |=
            has_control_flow(lines[i]) || has_open_quote(lines[i]) || strlen(lines[i]) > IMPORT_LINE_MOST;
    }
    whole |= count > IMPORT_COMMANDS_MOST / 2;
    lab->shown = g_intern_string(place);
    if (whole)
        keep_whole(lab, node, name, text, is_utf8);
    for (guint i = 0; lines[i] && !whole; i++)
        import_command(lab, node, lines[i], (struct topology_mark){i + 1, 1});
    lab->shown = before;
}
