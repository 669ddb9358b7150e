/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab doctor`: what this host can and cannot do.
 */
#include "netlab/doctor.h"
#include "cli/cli.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"problems", 'p', NULL, "print only what does not work or is to be known"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

static const char *const words[] = {[DOCTOR_GOOD] = "good", [DOCTOR_NOTE] = "note", [DOCTOR_BAD] = "bad"};
static_assert(G_N_ELEMENTS(words) == DOCTOR_VERDICTS, "every verdict has a word");

static void print_json(GPtrArray *findings)
{
    JsonArray *list = json_array_new();
    for (guint i = 0; i < findings->len; i++) {
        const struct doctor_finding *finding = findings->pdata[i];
        JsonObject *item = json_object_new();
        json_object_set_string_member(item, "name", finding->name);
        json_object_set_string_member(item, "verdict", words[finding->verdict]);
        json_object_set_string_member(item, "text", finding->text);
        if (finding->remedy)
            json_object_set_string_member(item, "remedy", finding->remedy);
        json_array_add_object_element(list, item);
    }
    JsonObject *root = json_object_new();
    json_object_set_array_member(root, "doctor", list);
    JsonNode *node = json_node_alloc();
    json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), root);
    cli_print_json(node);
}

enum { NAME_COLUMNS = 16, TEXT_COLUMN = 6 + NAME_COLUMNS };

/* From TEXT_COLUMN on, broken at words; the cursor is there already. */
static void print_text(const char *text, glong width)
{
    g_auto(GStrv) lines = g_strsplit_set(text, " \n", -1);
    glong column = TEXT_COLUMN;
    for (guint i = 0; lines[i]; i++) {
        glong length = g_utf8_strlen(lines[i], -1);
        if (column > TEXT_COLUMN && column + 1 + length > width) {
            printf("\n%*s", TEXT_COLUMN, "");
            column = TEXT_COLUMN;
        }
        printf("%s%s", column > TEXT_COLUMN ? " " : "", lines[i]);
        column += length + (column > TEXT_COLUMN);
    }
    printf("\n");
}

static void print_findings(GPtrArray *findings, bool only_problems)
{
    struct winsize size;
    glong width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 40 ? size.ws_col : 80;
    guint counts[DOCTOR_VERDICTS] = {0};
    for (guint i = 0; i < findings->len; i++) {
        const struct doctor_finding *finding = findings->pdata[i];
        counts[finding->verdict]++;
        if (only_problems && finding->verdict == DOCTOR_GOOD)
            continue;
        printf("%-4s  %-*s", words[finding->verdict], NAME_COLUMNS, finding->name);
        print_text(finding->text, width);
        if (!finding->remedy)
            continue;
        printf("%*s", TEXT_COLUMN, "");
        g_autofree char *remedy = g_strconcat("→ ", finding->remedy, NULL);
        print_text(remedy, width);
    }
    printf("%s%u good, %u to be known, %u that keep%s labs from coming up\n",
           counts[DOCTOR_GOOD] < findings->len || !only_problems ? "\n" : "", counts[DOCTOR_GOOD],
           counts[DOCTOR_NOTE], counts[DOCTOR_BAD], counts[DOCTOR_BAD] == 1 ? "s" : "");
}

static int run(struct cli_call *call)
{
    struct lab_place place;
    lab_place_find(&place);
    g_autoptr(GPtrArray) findings = doctor_examine(&place);
    lab_place_clear(&place);
    if (cli_flag(call, "json"))
        print_json(findings);
    else
        print_findings(findings, cli_flag(call, "problems"));
    for (guint i = 0; i < findings->len; i++) {
        if (((const struct doctor_finding *)findings->pdata[i])->verdict == DOCTOR_BAD)
            return CLI_FAILED;
    }
    return CLI_OK;
}

const struct cli_verb verb_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "say what this host can and cannot do for labs, and how to mend it",
    .description =
        "Tries what a lab needs in throw-away namespaces, looks at programs, folders, limits, sysctls and "
        "who else manages networks here, and names for each lack what to do. It changes nothing. Ends "
        "with status 1 when something keeps labs from coming up.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .examples = CLI_EXAMPLES({"netlab doctor", "all it has looked at"},
                             {"netlab doctor --problems", "only what is to be mended"}),
    .statuses = "0 labs can come up here\n1 something keeps them from it; it is named",
    .run = run,
};
