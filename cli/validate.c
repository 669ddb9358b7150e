/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab validate`: looks at what stands under `checks:` inside the guests. Each is repeated until it passes
 * or its time (`within`) is over, for networks need a moment to settle. Stages go in order: when a check of
 * one fails, those of later stages are not looked at and count as failed.
 */
#include "cli/node.h"
#include "netlab/agent.h"
#include "netlab/check.h"
#include "netlab/topology_parse.h"

#include <stdio.h>
#include <string.h>

enum {
    PAUSE_MS = 500,
    ATTEMPT_MS = 10000,
    WITHIN_MOST = 3600,
    CONNECT_MS = 5000,
    CHECKS_FILE_MOST = 1 << 20
};
/* As ipspace netlab has them. */
enum { ALL_PASS = 0, SOME_FAIL = 1, NONE_USABLE = 2, SOME_WARN = 3 };

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"list", 0, NULL, "print the checks and do not run them"},
    {"checks", 'c', "FILE", "checks of a second file, which the lab's users need not see"},
    {"format", 'f', "FORMAT", "text (as is), json, junit or csv"},
    {"within", 'w', "SECONDS", "keep trying at most so long, whatever the checks say (0: look once)"},
    {"quiet", 'q', NULL, "print nothing; the exit status tells"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

enum verdict { VERDICT_PASSED, VERDICT_FAILED, VERDICT_WARNING, VERDICT_NOT_REACHED, VERDICT_UNUSABLE };
static const char *const verdict_words[] = {"passed", "failed", "warning", "not reached", "unusable"};

struct outcome {
    const struct topology_test *test;
    enum verdict verdict;
    char *why;
    double seconds;
};

static void outcome_clear(void *data)
{
    g_free(((struct outcome *)data)->why);
}

struct session {
    struct cli_call *call;
    struct cli_node *lab;
    const struct topology *topology;
    GArray *outcomes; /* struct outcome */
    unsigned most;    /* seconds for each check */
    enum { FORMAT_TEXT, FORMAT_JSON, FORMAT_JUNIT, FORMAT_CSV } format;
};

/* One attempt. NULL: passed; else why not. */
static char *attempt(const struct session *s, const struct lab_node_status *node,
                     const struct topology_test *test, int left_ms)
{
    g_autofree char *command = check_command(test);
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    g_autoptr(GError) error = NULL;
    struct agent agent;
    struct agent_result result = {0};
    if (!agent_open(&agent, node->directory, CONNECT_MS, -1, &error))
        return g_strdup(error->message);
    bool good = agent_exec(&agent, argv, left_ms, &result, &error);
    agent_close(&agent);
    if (!good)
        return test->fails > 0 ? NULL : g_strdup(error->message);
    gsize length;
    const char *data = g_bytes_get_data(result.out, &length);
    g_autofree char *out = g_strndup(data ? data : "", length);
    char *why = check_judge(s->topology, test, result.status, out);
    agent_result_clear(&result);
    return why;
}

static char *run_test(const struct session *s, const struct lab_node_status *node,
                      const struct topology_test *test)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)MIN(test->within, s->most) * G_USEC_PER_SEC;
    for (;;) {
        /* One attempt has the time that it needs, and the last one what is left. */
        int left = MAX((int)((deadline - g_get_monotonic_time()) / 1000), ATTEMPT_MS);
        g_autofree char *why = attempt(s, node, test, left);
        if (!why)
            return NULL;
        if (g_get_monotonic_time() + PAUSE_MS * 1000 >= deadline)
            return g_steal_pointer(&why);
        g_usleep(PAUSE_MS * 1000); /* between attempts, with the deadline above */
    }
}

static void run_one(struct session *s, const struct topology_test *test, bool reached)
{
    struct outcome outcome = {.test = test};
    g_autoptr(GError) error = NULL;
    gint64 began = g_get_monotonic_time();
    struct lab_node_status *node = lab_status_find_node(s->lab->status, test->node, &error);
    if (!reached) {
        outcome.verdict = VERDICT_NOT_REACHED;
        outcome.why = g_strdup("an earlier stage has not passed yet");
    } else if (!node || node->state != LAB_NODE_RUNNING) {
        outcome.verdict = VERDICT_UNUSABLE;
        outcome.why = node ? g_strdup_printf("the machine of %s does not run; start it with `netlab up %s`",
                                             test->node, test->node)
                           : g_strdup(error->message);
    } else {
        outcome.why = run_test(s, node, test);
        outcome.verdict = !outcome.why         ? VERDICT_PASSED
                          : test->optional > 0 ? VERDICT_WARNING
                                               : VERDICT_FAILED;
    }
    outcome.seconds = (double)(g_get_monotonic_time() - began) / G_USEC_PER_SEC;
    g_array_append_val(s->outcomes, outcome);
}

static void print_outcome(const struct session *s, const struct outcome *o)
{
    static const char *const marks[] = {"ok     ", "FAILED ", "warning", "-      ", "FAILED "};
    static const char *const colours[] = {"\033[32m", "\033[31m", "\033[33m", "\033[2m", "\033[31m"};
    if (s->format != FORMAT_TEXT || cli_flag(s->call, "quiet"))
        return;
    g_autofree char *what = check_describe(o->test);
    bool colour = cli_has_colour();
    printf("%s%s%s  %s (%s: %s)\n", colour ? colours[o->verdict] : "", marks[o->verdict],
           colour ? "\033[0m" : "", o->test->name, o->test->node, what);
    if (o->why && o->verdict != VERDICT_NOT_REACHED)
        printf("         %s\n", o->why);
    if (o->test->hint && (o->verdict == VERDICT_FAILED || o->verdict == VERDICT_WARNING))
        printf("         hint: %s\n", o->test->hint);
    fflush(stdout);
}

struct totals {
    unsigned passed, failed, warned, unusable, points, most;
};

static struct totals count(const struct session *s)
{
    struct totals t = {0};
    for (guint i = 0; i < s->outcomes->len; i++) {
        const struct outcome *o = &g_array_index(s->outcomes, struct outcome, i);
        t.most += o->test->points;
        t.points += o->verdict == VERDICT_PASSED ? o->test->points : 0;
        t.passed += o->verdict == VERDICT_PASSED;
        t.failed += o->verdict == VERDICT_FAILED || o->verdict == VERDICT_NOT_REACHED;
        t.warned += o->verdict == VERDICT_WARNING;
        t.unusable += o->verdict == VERDICT_UNUSABLE;
    }
    return t;
}

static void print_json(const struct session *s)
{
    JsonArray *out = json_array_new();
    for (guint i = 0; i < s->outcomes->len; i++) {
        const struct outcome *o = &g_array_index(s->outcomes, struct outcome, i);
        g_autofree char *what = check_describe(o->test);
        JsonObject *item = json_object_new();
        json_object_set_string_member(item, "check", o->test->name);
        json_object_set_string_member(item, "node", o->test->node);
        json_object_set_string_member(item, "what", what);
        json_object_set_boolean_member(item, "passed", o->verdict == VERDICT_PASSED);
        json_object_set_string_member(item, "verdict", verdict_words[o->verdict]);
        json_object_set_int_member(item, "points", o->verdict == VERDICT_PASSED ? o->test->points : 0);
        json_object_set_int_member(item, "of", o->test->points);
        if (o->test->stage)
            json_object_set_int_member(item, "stage", o->test->stage);
        json_object_set_boolean_member(item, "hidden", o->test->is_hidden);
        json_object_set_double_member(item, "seconds", o->seconds);
        if (o->why)
            json_object_set_string_member(item, "why", o->why);
        json_array_add_object_element(out, item);
    }
    JsonNode *node = json_node_alloc();
    json_node_take_array(json_node_init(node, JSON_NODE_ARRAY), out);
    cli_print_json(node);
}

/* XML 1.0 has no place for control characters, not even escaped. */
static char *for_xml(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    for (char *c = valid; *c; c++)
        if ((unsigned char)*c < ' ' && *c != '\n' && *c != '\t')
            *c = ' ';
    return g_markup_escape_text(valid, -1);
}

static void print_junit(const struct session *s)
{
    struct totals t = count(s);
    g_autofree char *lab = for_xml(s->topology->name);
    printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"%s\" tests=\"%u\" failures=\"%u\" "
           "errors=\"%u\" "
           "skipped=\"%u\">\n",
           lab, s->outcomes->len, t.failed, t.unusable, t.warned);
    for (guint i = 0; i < s->outcomes->len; i++) {
        const struct outcome *o = &g_array_index(s->outcomes, struct outcome, i);
        static const char *const elements[] = {NULL, "failure", "skipped", "failure", "error"};
        g_autofree char *name = for_xml(o->test->name), *node = for_xml(o->test->node),
                        *why = for_xml(o->why ? o->why : "");
        printf("  <testcase classname=\"%s.%s\" name=\"%s\" time=\"%.3f\"", lab, node, name, o->seconds);
        if (elements[o->verdict])
            printf(">\n    <%1$s message=\"%2$s\"></%1$s>\n  </testcase>\n", elements[o->verdict], why);
        else
            printf("/>\n");
    }
    printf("</testsuite>\n");
}

/* RFC 4180; what a spreadsheet would take for a formula gets an apostrophe. */
static void print_cell(const char *text, const char *after)
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
        const struct outcome *o = &g_array_index(s->outcomes, struct outcome, i);
        print_cell(s->topology->name, ",");
        print_cell(o->test->name, ",");
        print_cell(o->test->node, ",");
        printf("%u,", o->test->stage);
        print_cell(verdict_words[o->verdict], ",");
        printf("%u,%u,%.1f,", o->verdict == VERDICT_PASSED ? o->test->points : 0, o->test->points,
               o->seconds);
        print_cell(o->why ? o->why : "", "\r\n");
    }
}

static void print_summary(const struct session *s)
{
    struct totals t = count(s);
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

static int compare_stages(gconstpointer a, gconstpointer b)
{
    const struct topology_test *one = *(struct topology_test *const *)a,
                               *two = *(struct topology_test *const *)b;
    return one->stage < two->stage ? -1 : one->stage > two->stage;
}

static void run_all(struct session *s)
{
    g_autoptr(GPtrArray) tests = g_ptr_array_new();
    for (guint i = 0; i < s->topology->tests->len; i++)
        g_ptr_array_add(tests, s->topology->tests->pdata[i]);
    g_ptr_array_sort(tests, compare_stages); /* stable: the order of the file within a stage */
    unsigned failed_stage = G_MAXUINT;
    for (guint i = 0; i < tests->len; i++) {
        const struct topology_test *test = tests->pdata[i];
        run_one(s, test, test->stage <= failed_stage);
        const struct outcome *o = &g_array_index(s->outcomes, struct outcome, i);
        if (test->stage && failed_stage == G_MAXUINT &&
            (o->verdict == VERDICT_FAILED || o->verdict == VERDICT_UNUSABLE))
            failed_stage = test->stage;
        print_outcome(s, o);
    }
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
    struct totals t = count(s);
    if (!cli_flag(s->call, "quiet")) {
        switch (s->format) {
        case FORMAT_TEXT:
            print_summary(s);
            break;
        case FORMAT_JSON:
            print_json(s);
            break;
        case FORMAT_JUNIT:
            print_junit(s);
            break;
        case FORMAT_CSV:
            print_csv(s);
            break;
        }
    }
    if (t.unusable == s->outcomes->len)
        return NONE_USABLE;
    return t.failed || t.unusable ? SOME_FAIL : t.warned ? SOME_WARN : ALL_PASS;
}

static bool read_format(struct session *s)
{
    static const char *const words[] = {"text", "json", "junit", "csv"};
    const char *given = cli_value(s->call, "format");
    s->format = cli_flag(s->call, "json") ? FORMAT_JSON : FORMAT_TEXT;
    for (int i = 0; given && i < (int)G_N_ELEMENTS(words); i++) {
        if (g_str_equal(words[i], given)) {
            s->format = i;
            return true;
        }
    }
    if (given)
        cli_misuse(s->call, "there is no format \"%s\"; there are text, json, junit and csv", given);
    return !given;
}

static bool add_hidden(struct cli_call *call, struct topology *topology, GError **error)
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
    if (!read_format(&session) || !cli_number(call, "within", 0, WITHIN_MOST, &session.most))
        return CLI_USAGE;
    if (!cli_node_find_lab(call, &lab, &error) ||
        !(topology = topology_load_text(lab.lab->file, lab.lab->file, lab.lab->source, &error)) ||
        !add_hidden(call, topology, &error)) {
        status = cli_fail(error);
    } else {
        session.topology = topology;
        session.outcomes = g_array_new(FALSE, FALSE, sizeof(struct outcome));
        g_array_set_clear_func(session.outcomes, outcome_clear);
        if (cli_flag(call, "list")) {
            list(&session);
            status = CLI_OK;
        } else {
            run_all(&session);
            status = report(&session);
        }
        g_array_unref(session.outcomes);
    }
    cli_node_clear(&lab);
    return status;
}

const struct cli_verb verb_validate = {
    .name = "validate",
    .arguments = "",
    .summary = "run the lab's checks inside its nodes",
    .description = "Looks at what stands under `checks:` in the topology as it was brought up, and in the "
                   "file of --checks. Ends with 0 "
                   "when all pass, with 1 when one fails, with 2 when none could be looked at, with 3 when "
                   "only optional ones fail.",
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
