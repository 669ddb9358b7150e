/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab validate --for`: the checks of all copies, some copies at once, and one report for the class.
 */
#include "cli/class.h"
#include "cli/validate.h"
#include "netlab/topology_parse.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { AT_ONCE = 8, PARALLEL_MOST = 256 };

/* A copy's work and what came of it. */
struct paper {
    const struct store_member *member;
    struct lab_status *status; /* NULL: the copy is not up */
    struct topology *topology; /* NULL: as above */
    GArray *outcomes;          /* struct grade_outcome; NULL: as above */
    struct grade_totals totals;
};

struct sitting {
    struct cli_call *call;
    struct cli_class class;
    unsigned most;
    enum cli_report format;
    GPtrArray *papers; /* struct paper * */
    GMutex lock;
    GCond changed;
    guint done;
};

static void paper_free(void *data)
{
    struct paper *paper = data;
    if (paper->outcomes)
        g_array_unref(paper->outcomes);
    topology_free(paper->topology);
    lab_status_free(paper->status);
    g_free(paper);
}

/* The copy as it is up: its topology is what the store has of it. */
static bool read_paper(struct sitting *s, const struct store_member *member, GError **error)
{
    struct paper *paper = g_new0(struct paper, 1);
    GError *cause = NULL;
    paper->member = member;
    g_ptr_array_add(s->papers, paper);
    g_autoptr(store_lab) lab = store_find_lab(s->class.store, member->lab, &cause);
    if (lab)
        paper->status = lab_status_read(&s->class.place, s->class.store, lab, &cause);
    if (paper->status)
        paper->topology = topology_load_text(lab->file, lab->file, lab->source, &cause);
    if (paper->topology)
        cli_report_add_hidden(s->call, paper->topology, &cause);
    if (cause)
        g_propagate_error(error, cause);
    return cause == NULL;
}

static void look_at(void *data, void *opaque)
{
    struct paper *paper = data;
    struct sitting *s = opaque;
    struct grade_spec spec = {.status = paper->status, .topology = paper->topology, .most = s->most};
    paper->outcomes = grade_run(&spec);
    paper->totals = grade_count(paper->outcomes);
    g_mutex_lock(&s->lock);
    s->done++;
    g_cond_signal(&s->changed);
    g_mutex_unlock(&s->lock);
}

/* The line of progress goes to standard error, for the report may go into a file. */
static void run_papers(struct sitting *s, unsigned at_once)
{
    bool is_live = isatty(STDERR_FILENO) && !cli_flag(s->call, "quiet");
    guint count = 0;
    GThreadPool *pool = g_thread_pool_new(look_at, s, (int)at_once, FALSE, NULL);
    for (guint i = 0; i < s->papers->len; i++) {
        struct paper *paper = s->papers->pdata[i];
        if (!paper->topology)
            continue;
        count++;
        g_thread_pool_push(pool, paper, NULL);
    }
    g_mutex_lock(&s->lock);
    while (s->done < count) {
        if (is_live)
            fprintf(stderr, "\r\033[Kchecked %u of %u copies", s->done, count);
        g_cond_wait(&s->changed, &s->lock);
    }
    g_mutex_unlock(&s->lock);
    g_thread_pool_free(pool, FALSE, TRUE);
    if (is_live && count)
        fprintf(stderr, "\r\033[K");
}

/* ---- reports ---- */

/* The names of all checks, in the order in which they come: of the copies up, which may differ. */
static GPtrArray *find_checks(const struct sitting *s)
{
    GPtrArray *names = g_ptr_array_new();
    for (guint i = 0; i < s->papers->len; i++) {
        const struct paper *paper = s->papers->pdata[i];
        for (guint k = 0; paper->outcomes && k < paper->outcomes->len; k++) {
            const char *name = g_array_index(paper->outcomes, struct grade_outcome, k).test->name;
            if (!g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
                g_ptr_array_add(names, (char *)name);
        }
    }
    return names;
}

static const struct grade_outcome *find_outcome(const struct paper *paper, const char *name)
{
    for (guint i = 0; paper->outcomes && i < paper->outcomes->len; i++) {
        const struct grade_outcome *o = &g_array_index(paper->outcomes, struct grade_outcome, i);
        if (g_str_equal(o->test->name, name))
            return o;
    }
    return NULL;
}

/* What was not passed: "ping (not reached), route". Owned by the caller. */
static char *describe_open(const struct paper *paper)
{
    GString *text = g_string_new(paper->outcomes ? NULL : "its copy is not up");
    for (guint i = 0; paper->outcomes && i < paper->outcomes->len; i++) {
        const struct grade_outcome *o = &g_array_index(paper->outcomes, struct grade_outcome, i);
        if (o->verdict == GRADE_PASSED)
            continue;
        g_string_append_printf(text, "%s%s", text->len ? ", " : "", o->test->name);
        if (o->verdict != GRADE_FAILED)
            g_string_append_printf(text, " (%s)", grade_verdict_name(o->verdict));
    }
    return g_string_free(text, FALSE);
}

static void print_csv(const struct sitting *s)
{
    g_autoptr(GPtrArray) names = find_checks(s);
    printf("student,name,email,lab,points,of");
    for (guint i = 0; i < names->len; i++) {
        printf(",");
        cli_report_cell(names->pdata[i], "");
    }
    printf(",open\r\n");
    for (guint i = 0; i < s->papers->len; i++) {
        const struct paper *paper = s->papers->pdata[i];
        cli_report_cell(paper->member->student, ",");
        cli_report_cell(paper->member->name, ",");
        cli_report_cell(paper->member->email, ",");
        cli_report_cell(paper->member->lab, ",");
        if (paper->outcomes)
            printf("%u,%u", paper->totals.points, paper->totals.most);
        else
            printf(",");
        for (guint k = 0; k < names->len; k++) {
            const struct grade_outcome *o = find_outcome(paper, names->pdata[k]);
            if (o && o->verdict != GRADE_UNUSABLE)
                printf(",%u", o->verdict == GRADE_PASSED ? o->test->points : 0);
            else
                printf(",");
        }
        g_autofree char *open = describe_open(paper);
        printf(",");
        cli_report_cell(open, "\r\n");
    }
}

static void print_json(const struct sitting *s)
{
    JsonArray *list = json_array_new();
    for (guint i = 0; i < s->papers->len; i++) {
        const struct paper *paper = s->papers->pdata[i];
        JsonObject *item = json_object_new();
        json_object_set_string_member(item, "student", paper->member->student);
        json_object_set_string_member(item, "name", paper->member->name);
        json_object_set_string_member(item, "email", paper->member->email);
        json_object_set_string_member(item, "lab", paper->member->lab);
        json_object_set_boolean_member(item, "up", paper->outcomes != NULL);
        json_object_set_int_member(item, "points", paper->totals.points);
        json_object_set_int_member(item, "of", paper->totals.most);
        json_object_set_array_member(item, "checks",
                                     paper->outcomes ? cli_report_json(paper->outcomes) : json_array_new());
        json_array_add_object_element(list, item);
    }
    JsonNode *node = json_node_alloc();
    json_node_take_array(json_node_init(node, JSON_NODE_ARRAY), list);
    cli_print_json(node);
}

static void print_junit(const struct sitting *s)
{
    printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (guint i = 0; i < s->papers->len; i++) {
        const struct paper *paper = s->papers->pdata[i];
        if (paper->outcomes) {
            cli_report_junit(paper->member->lab, paper->outcomes, 2);
            continue;
        }
        g_autofree char *lab = cli_report_xml(paper->member->lab);
        printf("  <testsuite name=\"%1$s\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\">\n"
               "    <testcase classname=\"%1$s\" name=\"up\"><error message=\"its copy is not "
               "up\"></error></testcase>\n"
               "  </testsuite>\n",
               lab);
    }
    printf("</testsuites>\n");
}

static void print_text(const struct sitting *s)
{
    static const char *const header[] = {"STUDENT", "NAME", "POINTS", "CHECKS", "OPEN", NULL};
    struct cli_table *table = cli_table_new(header);
    guint all = 0;
    for (guint i = 0; i < s->papers->len; i++) {
        const struct paper *paper = s->papers->pdata[i];
        const struct grade_totals *t = &paper->totals;
        g_autofree char *points =
            paper->outcomes ? g_strdup_printf("%u/%u", t->points, t->most) : g_strdup("-");
        g_autofree char *checks =
            paper->outcomes ? g_strdup_printf("%u/%u", t->passed, paper->outcomes->len) : g_strdup("-");
        g_autofree char *open = describe_open(paper),
                        *name = cli_printable(*paper->member->name ? paper->member->name : "-");
        all += paper->outcomes && t->passed == paper->outcomes->len;
        /* At 80 columns the list of open checks goes on below. */
        char *begin = open;
        for (char *c = open; *c; c++)
            if (*c == ' ' && c > open && c[-1] == ',' && c - begin > 28) {
                *c = '\n';
                begin = c + 1;
            }
        const char *cells[] = {paper->member->student, name, points, checks, *open ? open : "-", NULL};
        cli_table_add(table, cells);
    }
    cli_table_print(table);
    printf("%u of %u copies pass all checks\n", all, s->papers->len);
}

static int report(const struct sitting *s)
{
    struct grade_totals sum = {0};
    unsigned checks = 0, absent = 0;
    for (guint i = 0; i < s->papers->len; i++) {
        const struct paper *paper = s->papers->pdata[i];
        absent += !paper->outcomes;
        checks += paper->outcomes ? paper->outcomes->len : 0;
        sum.failed += paper->totals.failed;
        sum.unusable += paper->totals.unusable;
        sum.unreached += paper->totals.unreached;
        sum.warned += paper->totals.warned;
    }
    if (!cli_flag(s->call, "quiet")) {
        switch (s->format) {
        case CLI_REPORT_TEXT:
            print_text(s);
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
    int status = grade_status(&sum, checks);
    return status != GRADE_NONE_USABLE && absent ? GRADE_SOME_FAIL : status;
}

int cli_class_validate(struct cli_call *call, unsigned most)
{
    g_autoptr(GError) error = NULL;
    struct sitting s = {.call = call, .most = most};
    unsigned at_once = AT_ONCE;
    if (!cli_report_format(call, &s.format) || !cli_number(call, "parallel", 1, PARALLEL_MOST, &at_once))
        return CLI_USAGE;
    if (cli_flag(call, "list"))
        return cli_misuse(call, "--list shows the checks of one lab; name a copy by --student");
    s.papers = g_ptr_array_new_with_free_func(paper_free);
    g_mutex_init(&s.lock);
    g_cond_init(&s.changed);
    bool good = cli_class_find(call, cli_value(call, "students"), &s.class, &error);
    for (guint i = 0; good && i < s.class.members->len; i++)
        good = read_paper(&s, s.class.members->pdata[i], &error);
    int status = CLI_OK;
    if (good) {
        run_papers(&s, at_once);
        status = report(&s);
    } else {
        status = cli_fail(error);
    }
    g_ptr_array_unref(s.papers);
    cli_class_clear(&s.class);
    g_cond_clear(&s.changed);
    g_mutex_clear(&s.lock);
    return status;
}
