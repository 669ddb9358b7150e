/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Running checks; see grade.h.
 *
 * Threads share struct stage under its lock: which checks are decided, and when each was. The caller's thread
 * waits for them in order, so that what is told comes in order, too.
 */
#include "netlab/grade.h"
#include "netlab/agent.h"
#include "netlab/check.h"

#include <assert.h>
#include <string.h>

enum { WAIT_MS = 1000, PAUSE_MS = 500, ATTEMPT_MS = 10000, CONNECT_MS = 5000 };

static const char *const verdict_names[] = {[GRADE_PASSED] = "passed",
                                            [GRADE_FAILED] = "failed",
                                            [GRADE_WARNING] = "warning",
                                            [GRADE_NOT_REACHED] = "not reached",
                                            [GRADE_UNUSABLE] = "unusable"};
static_assert(G_N_ELEMENTS(verdict_names) == GRADE_VERDICTS, "every verdict has a name");

const char *grade_verdict_name(enum grade_verdict verdict)
{
    return verdict_names[verdict];
}

static void outcome_clear(void *data)
{
    g_free(((struct grade_outcome *)data)->why);
}

/* The checks of one stage. */
struct stage {
    const struct grade_spec *spec;
    struct grade_outcome *outcomes; /* of its checks, `count` */
    guint count;
    gint64 began; /* monotonic µs, as all times */
    GMutex lock;  /* of what follows, and of decided outcomes */
    GCond decided;
    gint64 *ends; /* when each was decided; 0: not yet */
};

/* One attempt. NULL: passed; else why not. */
static char *attempt(const struct grade_spec *spec, const struct lab_node_status *node,
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
    char *why = check_judge(spec->topology, test, result.status, out);
    agent_result_clear(&result);
    return why;
}

/* When the check's time is over; G_MAXINT64: those above it are not decided yet. */
static gint64 deadline_of(struct stage *stage, guint index)
{
    unsigned within = MIN(stage->outcomes[index].test->within, stage->spec->most);
    gint64 since = stage->began;
    if (!within)
        return since;
    g_mutex_lock(&stage->lock);
    for (guint i = 0; i < index && since != G_MAXINT64; i++) {
        if (!stage->ends[i])
            since = G_MAXINT64;
        else if (stage->outcomes[i].verdict == GRADE_PASSED)
            since = MAX(since, stage->ends[i]);
    }
    g_mutex_unlock(&stage->lock);
    return since == G_MAXINT64 ? since : since + (gint64)within * G_USEC_PER_SEC;
}

static void decide(struct stage *stage, guint index, enum grade_verdict verdict, char *why)
{
    struct grade_outcome *outcome = &stage->outcomes[index];
    g_mutex_lock(&stage->lock);
    stage->ends[index] = g_get_monotonic_time();
    outcome->verdict = verdict;
    outcome->why = why;
    outcome->seconds = (double)(stage->ends[index] - stage->began) / G_USEC_PER_SEC;
    g_cond_broadcast(&stage->decided);
    g_mutex_unlock(&stage->lock);
}

/* True: it is decided now. */
static bool look(struct stage *stage, guint index, const struct lab_node_status *node)
{
    const struct topology_test *test = stage->outcomes[index].test;
    gint64 now = g_get_monotonic_time(), deadline = deadline_of(stage, index);
    bool is_last = deadline != G_MAXINT64 && now + PAUSE_MS * 1000 >= deadline;
    int left = deadline == G_MAXINT64 ? ATTEMPT_MS : MAX((int)((deadline - now) / 1000), ATTEMPT_MS);
    char *why = attempt(stage->spec, node, test, left);
    if (!why)
        decide(stage, index, GRADE_PASSED, NULL);
    else if (is_last)
        decide(stage, index, test->optional > 0 ? GRADE_WARNING : GRADE_FAILED, why);
    else
        g_free(why);
    return !why || is_last;
}

/* A thread's work: the checks of one node. `data`: the node. */
static void look_at_node(void *data, void *opaque)
{
    struct stage *stage = opaque;
    const struct lab_node_status *node = data;
    g_autoptr(GArray) open = g_array_new(FALSE, FALSE, sizeof(guint));
    for (guint i = 0; i < stage->count; i++)
        if (g_str_equal(stage->outcomes[i].test->node, node->name))
            g_array_append_val(open, i);
    while (open->len) {
        for (guint i = 0; i < open->len;) {
            if (look(stage, g_array_index(open, guint, i), node))
                g_array_remove_index(open, i);
            else
                i++;
        }
        if (open->len)
            g_usleep(PAUSE_MS * 1000); /* between attempts; each has a deadline */
    }
}

/* What cannot be looked at is decided at once; the nodes of all others. */
static GPtrArray *find_nodes(struct stage *stage)
{
    GPtrArray *nodes = g_ptr_array_new();
    for (guint i = 0; i < stage->count; i++) {
        const struct topology_test *test = stage->outcomes[i].test;
        g_autoptr(GError) error = NULL;
        struct lab_node_status *node = lab_status_find_node(stage->spec->status, test->node, &error);
        if (node && node->state == LAB_NODE_RUNNING) {
            if (!g_ptr_array_find(nodes, node, NULL))
                g_ptr_array_add(nodes, node);
            continue;
        }
        decide(stage, i, GRADE_UNUSABLE,
               node ? g_strdup_printf("the machine of %s does not run; start it with `netlab up %s`",
                                      test->node, test->node)
                    : g_strdup(error->message));
    }
    return nodes;
}

/* The lock is held, but not during the call. */
static void tell_waiting(struct stage *stage, guint next)
{
    const struct grade_spec *spec = stage->spec;
    double seconds = (double)(g_get_monotonic_time() - stage->began) / G_USEC_PER_SEC;
    unsigned decided = 0;
    for (guint i = 0; i < stage->count; i++)
        decided += stage->ends[i] != 0;
    g_mutex_unlock(&stage->lock);
    if (spec->wait)
        spec->wait(spec->opaque, decided, stage->count, stage->outcomes[next].test, seconds);
    g_mutex_lock(&stage->lock);
}

/* Tells what is decided, in order, as it comes. */
static void wait_for_all(struct stage *stage)
{
    for (guint i = 0; i < stage->count; i++) {
        g_mutex_lock(&stage->lock);
        while (!stage->ends[i]) {
            gint64 look = g_get_monotonic_time() + WAIT_MS * 1000;
            while (!stage->ends[i] && g_cond_wait_until(&stage->decided, &stage->lock, look))
                continue;
            if (!stage->ends[i])
                tell_waiting(stage, i);
        }
        g_mutex_unlock(&stage->lock);
        if (stage->spec->tell)
            stage->spec->tell(stage->spec->opaque, &stage->outcomes[i]);
    }
}

static void run_stage(const struct grade_spec *spec, struct grade_outcome *outcomes, guint count)
{
    struct stage stage = {
        .spec = spec, .outcomes = outcomes, .count = count, .began = g_get_monotonic_time()};
    stage.ends = g_new0(gint64, count);
    g_mutex_init(&stage.lock);
    g_cond_init(&stage.decided);
    g_autoptr(GPtrArray) nodes = find_nodes(&stage);
    GThreadPool *pool = g_thread_pool_new(look_at_node, &stage, GRADE_NODES_AT_ONCE, FALSE, NULL);
    for (guint i = 0; i < nodes->len; i++)
        g_thread_pool_push(pool, nodes->pdata[i], NULL);
    wait_for_all(&stage);
    g_thread_pool_free(pool, FALSE, TRUE);
    g_cond_clear(&stage.decided);
    g_mutex_clear(&stage.lock);
    g_free(stage.ends);
}

static void skip_stage(const struct grade_spec *spec, struct grade_outcome *outcomes, guint count)
{
    for (guint i = 0; i < count; i++) {
        outcomes[i].verdict = GRADE_NOT_REACHED;
        outcomes[i].why = g_strdup("an earlier stage has not passed yet");
        if (spec->tell)
            spec->tell(spec->opaque, &outcomes[i]);
    }
}

static int compare_stages(gconstpointer a, gconstpointer b)
{
    const struct grade_outcome *one = a, *two = b;
    return one->test->stage < two->test->stage ? -1 : one->test->stage > two->test->stage;
}

GArray *grade_run(const struct grade_spec *spec)
{
    GPtrArray *tests = spec->topology->tests;
    GArray *outcomes = g_array_new(FALSE, FALSE, sizeof(struct grade_outcome));
    g_array_set_clear_func(outcomes, outcome_clear);
    for (guint i = 0; i < tests->len; i++) {
        struct grade_outcome outcome = {.test = tests->pdata[i]};
        g_array_append_val(outcomes, outcome);
    }
    g_array_sort(outcomes, compare_stages); /* stable: the order of the file within a stage */
    bool is_over = false;
    for (guint first = 0, next; first < outcomes->len; first = next) {
        struct grade_outcome *begin = &g_array_index(outcomes, struct grade_outcome, first);
        for (next = first; next < outcomes->len && begin[next - first].test->stage == begin->test->stage;)
            next++;
        if (is_over)
            skip_stage(spec, begin, next - first);
        else
            run_stage(spec, begin, next - first);
        for (guint i = 0; i < next - first; i++)
            is_over = is_over || (begin[i].test->stage &&
                                  (begin[i].verdict == GRADE_FAILED || begin[i].verdict == GRADE_UNUSABLE));
    }
    return outcomes;
}

struct grade_totals grade_count(const GArray *outcomes)
{
    struct grade_totals t = {0};
    for (guint i = 0; i < outcomes->len; i++) {
        const struct grade_outcome *o = &g_array_index(outcomes, struct grade_outcome, i);
        t.most += o->test->points;
        t.points += o->verdict == GRADE_PASSED ? o->test->points : 0;
        t.passed += o->verdict == GRADE_PASSED;
        t.failed += o->verdict == GRADE_FAILED || o->verdict == GRADE_NOT_REACHED;
        t.unreached += o->verdict == GRADE_NOT_REACHED;
        t.warned += o->verdict == GRADE_WARNING;
        t.unusable += o->verdict == GRADE_UNUSABLE;
    }
    return t;
}

int grade_status(const struct grade_totals *t, unsigned checks)
{
    /* Later stages are not reached when no machine of the first runs: nothing was looked at either. */
    if (t->unusable + t->unreached == checks)
        return GRADE_NONE_USABLE;
    return t->failed || t->unusable ? GRADE_SOME_FAIL : t->warned ? GRADE_SOME_WARN : GRADE_ALL_PASS;
}
