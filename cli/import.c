/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab import`: a lab of containerlab, Kathará or ipspace's netlab becomes a folder of ours, and a report
 * says what became of what.
 */
#include "cli/cli.h"
#include "netlab/import.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* As ipspace's netlab and our validate have them: 3 is "with warnings". */
enum { IMPORT_WHOLE = 0, IMPORT_UNREADABLE = 1, IMPORT_WITH_GAPS = 3 };

static const struct cli_option options[] = {
    {"from", 'f', "KIND", "containerlab, kathara or ipspace; otherwise what it looks like"},
    {"output", 'o', "DIR",
     "the folder to make (otherwise: the lab's name, or NAME-netlab beside the source)"},
    {"dry-run", 'n', NULL, "make nothing; print the report and the topology"},
    {"all", 'a', NULL, "show what was mapped, too, and not only what was not the same"},
    {"quiet", 'q', NULL, "print errors only; the exit status tells the rest"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

static void print_json(const struct import_report *report)
{
    JsonObject *out = json_object_new(), *counts = json_object_new();
    JsonArray *notes = json_array_new();
    for (guint i = 0; i < report->notes->len; i++) {
        const struct import_note *note = report->notes->pdata[i];
        JsonObject *item = json_object_new();
        json_object_set_string_member(item, "level", import_level_name(note->level));
        json_object_set_string_member(item, "file", note->file);
        json_object_set_int_member(item, "line", note->mark.line);
        json_object_set_int_member(item, "column", note->mark.column);
        json_object_set_string_member(item, "what", note->what);
        json_object_set_string_member(item, "how", note->how);
        json_array_add_object_element(notes, item);
    }
    for (int level = 0; level < IMPORT_LEVELS; level++)
        json_object_set_int_member(counts, import_level_name((enum import_level)level),
                                   report->counts[level]);
    json_object_set_string_member(out, "kind", import_kind_name(report->kind));
    json_object_set_string_member(out, "name", report->name);
    json_object_set_string_member(out, "folder", report->folder);
    json_object_set_int_member(out, "nodes", report->nodes);
    json_object_set_int_member(out, "networks", report->networks);
    json_object_set_object_member(out, "counts", counts);
    json_object_set_array_member(out, "notes", notes);
    json_object_set_string_member(out, "topology", report->topology);
    JsonNode *node = json_node_alloc();
    json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), out);
    cli_print_json(node);
}

/* Where the table has no room: a note of two lines each. */
static void print_narrow(const struct cli_call *call, const struct import_report *report)
{
    for (guint i = 0; i < report->notes->len; i++) {
        const struct import_note *note = report->notes->pdata[i];
        if (note->level == IMPORT_MAPPED && !cli_flag(call, "all"))
            continue;
        g_autofree char *base = g_path_get_basename(note->file);
        g_autofree char *shown_base = cli_printable(base), *what = cli_printable(note->what),
                        *how = cli_printable(note->how);
        printf("%s:%u:%u: %s\n    %s: %s\n", shown_base, note->mark.line, note->mark.column, what,
               import_level_name(note->level), how);
    }
}

static struct cli_table *make_table(const struct cli_call *call, const struct import_report *report,
                                    unsigned *rows)
{
    static const char *const header[] = {"RESULT", "PLACE", "WHAT", "HERE", NULL};
    struct cli_table *table = cli_table_new(header);
    for (guint i = 0; i < report->notes->len; i++) {
        const struct import_note *note = report->notes->pdata[i];
        if (note->level == IMPORT_MAPPED && !cli_flag(call, "all"))
            continue;
        g_autofree char *base = g_path_get_basename(note->file);
        g_autofree char *place = g_strdup_printf("%s:%u:%u", base, note->mark.line, note->mark.column);
        g_autofree char *shown_place = cli_printable(place), *what = cli_printable(note->what),
                        *how = cli_printable(note->how);
        const char *cells[] = {import_level_name(note->level), shown_place, what, how, NULL};
        cli_table_add(table, cells);
        ++*rows;
    }
    return table;
}

static void print_report(const struct cli_call *call, const struct import_report *report)
{
    unsigned rows = 0;
    struct cli_table *table = make_table(call, report, &rows);
    if (rows && cli_table_width(table) <= cli_terminal_width()) {
        cli_table_print(table);
    } else {
        cli_table_free(table);
        print_narrow(call, report);
    }
    unsigned all =
        report->counts[IMPORT_MAPPED] + report->counts[IMPORT_APPROXIMATED] + report->counts[IMPORT_LEFT];
    if (all > report->notes->len)
        printf("… and %u more\n", all - report->notes->len);
    printf("%s%s: %u node%s, %u network%s; %u mapped, %u approximated, %u left out\n", rows ? "\n" : "",
           import_kind_name(report->kind), report->nodes, report->nodes == 1 ? "" : "s", report->networks,
           report->networks == 1 ? "" : "s", report->counts[IMPORT_MAPPED],
           report->counts[IMPORT_APPROXIMATED], report->counts[IMPORT_LEFT]);
    if (report->folder)
        printf("written to %s; bring it up with: netlab up %s/topology.yml\n", report->folder,
               report->folder);
    else
        printf("\n%s", report->topology);
}

static bool is_same_folder(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* The lab's name is known once it has been read: a look first. A lab in a folder of its name gets one beside
 * it. */
static char *choose_output(const struct cli_call *call, struct import_options *import_options, GError **error)
{
    if (cli_value(call, "output"))
        return g_strdup(cli_value(call, "output"));
    struct import_report *look = import_lab(import_options, error);
    if (!look)
        return NULL;
    const char *name = look->name ? look->name : "imported";
    char *output = g_strdup_printf("%s%s", name, is_same_folder(name, import_options->path) ? "-netlab" : "");
    import_report_free(look);
    return output;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct import_options import_options = {.path = cli_argument(call, 0)};
    const char *from = cli_value(call, "from");
    if (from && !(import_options.from = import_kind_by_name(from)))
        return cli_misuse(call, "--from: \"%s\" is none of containerlab, kathara and ipspace", from);
    g_autofree char *output = NULL;
    if (!cli_flag(call, "dry-run") && !(output = choose_output(call, &import_options, &error))) {
        cli_fail(error);
        return IMPORT_UNREADABLE;
    }
    import_options.output = output;
    struct import_report *report = import_lab(&import_options, &error);
    if (!report) {
        cli_fail(error);
        return IMPORT_UNREADABLE;
    }
    if (cli_flag(call, "json"))
        print_json(report);
    else if (!cli_flag(call, "quiet"))
        print_report(call, report);
    int status = report->counts[IMPORT_LEFT] ? IMPORT_WITH_GAPS : IMPORT_WHOLE;
    import_report_free(report);
    return status;
}

const struct cli_verb verb_import = {
    .name = "import",
    .arguments = "PATH",
    .summary = "make a lab of one for containerlab, Kathará or ipspace's netlab",
    .description =
        "Reads a containerlab topology (*.clab.yml), a Kathará folder (lab.conf) or a topology of ipspace's "
        "netlab, "
        "and writes a folder with a topology.yml and the nodes' files. PATH is the file or its folder. "
        "Images "
        "become ours (host, router), start commands what does the same here; the report says of everything "
        "else "
        "where it stood and what became of it. Nothing that is read is run here, and only files below the "
        "lab's "
        "own folder are taken.\n\n"
        "It ends with 0 when all was mapped, 3 when something was left out, 1 when the lab cannot be read or "
        "written.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .least = 1,
    .most = 1,
    .run = run,
};
