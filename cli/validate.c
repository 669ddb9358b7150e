/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab validate`: looks at what stands under `checks:` inside the guests (grade.h), and reports. Those of
 * a whole class are class_validate.c's.
 */
#include "cli/class.h"
#include "cli/node.h"
#include "cli/progress.h"
#include "cli/validate.h"
#include "netlab/check.h"
#include "netlab/grade.h"
#include "netlab/topology_parse.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WITHIN_MOST = 3600, CHECKS_FILE_MOST = 1 << 20 };

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    CLI_CLASS_OPTIONS,
    {"parallel", 0, "NUMBER", "with --for: how many copies at once (8)"},
    {"list", 0, NULL, "print the checks and do not run them"},
    {"checks", 'c', "FILE", "checks of a second file, which the lab's users need not see"},
    {"format", 'f', "FORMAT", "text (as is), json, junit or csv"},
    {"within", 'w', "SECONDS", "keep trying at most so long, whatever the checks say (0: look once)"},
    {"quiet", 'q', NULL, "print nothing; the exit status tells"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

struct session {
    struct cli_call *call;
    struct cli_node *lab;
    const struct topology *topology;
    GArray *outcomes; /* struct grade_outcome */
    unsigned most;    /* seconds for each check */
    enum cli_report format;
    bool is_live;  /* a line on standard error, for the report may go into a file, says what is waited for */
    bool has_line; /* it is there */
};

static void wipe_line(struct session *s)
{
    if (s->has_line)
        fprintf(stderr, "\r\033[K");
    s->has_line = false;
}

static void show_waiting(void *opaque, unsigned decided, unsigned count, const struct topology_test *next,
                         double seconds)
{
    struct session *s = opaque;
    if (!s->is_live)
        return;
    g_autofree char *text = g_strdup_printf("[%u/%u] waiting for %s (%s), %.0f s", decided, count, next->name,
                                            next->node, seconds);
    cli_progress_rewrite(stderr, text);
    s->has_line = true;
}

static void print_outcome(void *opaque, const struct grade_outcome *o)
{
    struct session *s = opaque;
    static const char *const marks[] = {"ok     ", "FAILED ", "warning", "-      ", "FAILED "};
    static const char *const colours[] = {"\033[32m", "\033[31m", "\033[33m", "\033[2m", "\033[31m"};
    wipe_line(s);
    if (s->format != CLI_REPORT_TEXT || cli_flag(s->call, "quiet"))
        return;
    g_autofree char *what = check_describe(o->test);
    bool colour = cli_has_colour();
    printf("%s%s%s  %s (%s: %s)\n", colour ? colours[o->verdict] : "", marks[o->verdict],
           colour ? "\033[0m" : "", o->test->name, o->test->node, what);
    if (o->why && o->verdict != GRADE_NOT_REACHED)
        printf("         %s\n", o->why);
    if (o->test->hint && (o->verdict == GRADE_FAILED || o->verdict == GRADE_WARNING))
        printf("         hint: %s\n", o->test->hint);
    fflush(stdout);
}

JsonArray *cli_report_json(const GArray *outcomes)
{
    JsonArray *out = json_array_new();
    for (guint i = 0; i < outcomes->len; i++) {
        const struct grade_outcome *o = &g_array_index(outcomes, struct grade_outcome, i);
        g_autofree char *what = check_describe(o->test);
        JsonObject *item = json_object_new();
        json_object_set_string_member(item, "check", o->test->name);
        json_object_set_string_member(item, "node", o->test->node);
        json_object_set_string_member(item, "what", what);
        json_object_set_boolean_member(item, "passed", o->verdict == GRADE_PASSED);
        json_object_set_string_member(item, "verdict", grade_verdict_name(o->verdict));
        json_object_set_int_member(item, "points", o->verdict == GRADE_PASSED ? o->test->points : 0);
        json_object_set_int_member(item, "of", o->test->points);
        if (o->test->stage)
            json_object_set_int_member(item, "stage", o->test->stage);
        json_object_set_boolean_member(item, "hidden", o->test->is_hidden);
        json_object_set_double_member(item, "seconds", o->seconds);
        if (o->why)
            json_object_set_string_member(item, "why", o->why);
        json_array_add_object_element(out, item);
    }
    return out;
}

static void print_json(const struct session *s)
{
    JsonNode *node = json_node_alloc();
    json_node_take_array(json_node_init(node, JSON_NODE_ARRAY), cli_report_json(s->outcomes));
    cli_print_json(node);
}

/* XML 1.0 has no place for control characters, not even escaped. */
char *cli_report_xml(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    for (char *c = valid; *c; c++)
        if ((unsigned char)*c < ' ' && *c != '\n' && *c != '\t')
            *c = ' ';
    return g_markup_escape_text(valid, -1);
}

void cli_report_junit(const char *name, const GArray *outcomes, int indent)
{
    struct grade_totals t = grade_count(outcomes);
    g_autofree char *lab = cli_report_xml(name);
    printf("%*s<testsuite name=\"%s\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\">\n", indent,
           "", lab, outcomes->len, t.failed, t.unusable, t.warned);
    for (guint i = 0; i < outcomes->len; i++) {
        const struct grade_outcome *o = &g_array_index(outcomes, struct grade_outcome, i);
        static const char *const elements[] = {NULL, "failure", "skipped", "failure", "error"};
        g_autofree char *check = cli_report_xml(o->test->name), *node = cli_report_xml(o->test->node),
                        *why = cli_report_xml(o->why ? o->why : "");
        printf("%*s<testcase classname=\"%s.%s\" name=\"%s\" time=\"%.3f\"", indent + 2, "", lab, node, check,
               o->seconds);
        if (elements[o->verdict])
            printf(">\n%1$*2$s<%4$s message=\"%5$s\"></%4$s>\n%1$*3$s</testcase>\n", "", indent + 4,
                   indent + 2, elements[o->verdict], why);
        else
            printf("/>\n");
    }
    printf("%*s</testsuite>\n", indent, "");
}

static void print_junit(const struct session *s)
{
    printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    cli_report_junit(s->topology->name, s->outcomes, 0);
}

void cli_report_cell(const char *text, const char *after)
{
    printf("\"%s", strchr("=+-@", *text) && *text ? "'" : "");
    for (; *text; text++)
        printf(*text == '"' ? "\"\"" : "%c", *text == '\n' ? ' ' : *text);
    printf("\"%s", after);
}

static void print_csv(const struct session *s)
{
    printf("lab,check,node,stage,verdict,points,of,seconds,why\r\n");
    for (guint i = 0; i < s->outcomes->len; i++) {
        const struct grade_outcome *o = &g_array_index(s->outcomes, struct grade_outcome, i);
        cli_report_cell(s->topology->name, ",");
        cli_report_cell(o->test->name, ",");
        cli_report_cell(o->test->node, ",");
        printf("%u,", o->test->stage);
        cli_report_cell(grade_verdict_name(o->verdict), ",");
        printf("%u,%u,%.1f,", o->verdict == GRADE_PASSED ? o->test->points : 0, o->test->points, o->seconds);
        cli_report_cell(o->why ? o->why : "", "\r\n");
    }
}

static void print_summary(const struct session *s)
{
    struct grade_totals t = grade_count(s->outcomes);
    if (!s->outcomes->len) {
        printf("lab %s has no checks; write some under \"checks:\" in its topology\n", s->topology->name);
        return;
    }
    printf("%u of %u checks passed", t.passed, s->outcomes->len);
    if (t.most != s->outcomes->len)
        printf(", %u of %u points", t.points, t.most);
    if (t.warned)
        printf(", %u warning%s", t.warned, t.warned == 1 ? "" : "s");
    printf("\n");
}

static void list(const struct session *s)
{
    for (guint i = 0; i < s->topology->tests->len; i++) {
        const struct topology_test *test = s->topology->tests->pdata[i];
        g_autofree char *what = check_describe(test);
        printf("%s (%s: %s)\n", test->name, test->node, what);
    }
}

static int report(struct session *s)
{
    struct grade_totals t = grade_count(s->outcomes);
    if (!cli_flag(s->call, "quiet")) {
        switch (s->format) {
        case CLI_REPORT_TEXT:
            print_summary(s);
            break;
        case CLI_REPORT_JSON:
            print_json(s);
            break;
        case CLI_REPORT_JUNIT:
            print_junit(s);
            break;
        case CLI_REPORT_CSV:
            print_csv(s);
            break;
        }
    }
    return grade_status(&t, s->outcomes->len);
}

bool cli_report_format(const struct cli_call *call, enum cli_report *format)
{
    static const char *const words[] = {"text", "json", "junit", "csv"};
    const char *given = cli_value(call, "format");
    *format = cli_flag(call, "json") ? CLI_REPORT_JSON : CLI_REPORT_TEXT;
    for (int i = 0; given && i < (int)G_N_ELEMENTS(words); i++) {
        if (g_str_equal(words[i], given)) {
            *format = (enum cli_report)i;
            return true;
        }
    }
    if (given)
        cli_misuse(call, "there is no format \"%s\"; there are text, json, junit and csv", given);
    return !given;
}

bool cli_report_add_hidden(const struct cli_call *call, struct topology *topology, GError **error)
{
    const char *file = cli_value(call, "checks");
    g_autofree char *text = NULL;
    gsize length;
    if (!file)
        return true;
    if (!g_file_get_contents(file, &text, &length, error)) {
        g_prefix_error(error, "reading the checks: ");
        return false;
    }
    if (length <= CHECKS_FILE_MOST && strlen(text) == length)
        return topology_add_checks(topology, file, text, error);
    g_set_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_FILE,
                "%s is no text file of at most 1 MiB with \"checks:\"", file);
    return false;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_node lab;
    int status;
    topology_auto struct topology *topology = NULL;
    struct session session = {.call = call, .lab = &lab};
    session.most = WITHIN_MOST;
    session.is_live = isatty(STDERR_FILENO) && !cli_flag(call, "quiet");
    if (!cli_report_format(call, &session.format) ||
        !cli_number(call, "within", 0, WITHIN_MOST, &session.most))
        return CLI_USAGE;
    if (cli_class_is_meant(call))
        return cli_class_validate(call, session.most);
    if (!cli_node_find_lab(call, &lab, &error) ||
        !(topology = topology_load_text(lab.lab->file, lab.lab->file, lab.lab->source, &error)) ||
        !cli_report_add_hidden(call, topology, &error)) {
        status = cli_fail(error);
    } else {
        session.topology = topology;
        if (cli_flag(call, "list")) {
            list(&session);
            status = CLI_OK;
        } else {
            struct grade_spec spec = {.status = lab.status,
                                      .topology = topology,
                                      .most = session.most,
                                      .tell = print_outcome,
                                      .wait = show_waiting,
                                      .opaque = &session};
            session.outcomes = grade_run(&spec);
            status = report(&session);
            g_array_unref(session.outcomes);
        }
    }
    cli_node_clear(&lab);
    return status;
}

const struct cli_verb verb_validate = {
    .name = "validate",
    .arguments = "",
    .summary = "run the lab's checks inside its nodes",
    .description =
        "Looks at what stands under `checks:` in the topology as it was brought up, and in the "
        "file of --checks. Ends with 0 "
        "when all pass, with 1 when one fails, with 2 when none could be looked at, with 3 when "
        "only optional ones fail. The checks of a stage are looked at together.\n\n"
        "With --for the copies of a whole class are looked at, some at once, and the report has a line "
        "for each student: points for each check and in total (--format csv).",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .examples = CLI_EXAMPLES(
        {"netlab validate", "all checks"},
        {"netlab validate --checks hidden.yml --format csv", "with those of a second file, for a table"},
        {"netlab validate --format junit >report.xml", "for continuous integration"}),
    .statuses = "0 all checks pass\n1 one fails\n2 none could be looked at, or the command line is wrong\n3 "
                "only optional ones fail",
    .run = run,
};
