/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab up --for`, `down --for` and `reset`: a class is planned and checked whole before anything is
 * changed; then its rows are written, and a crew works on the copies (class.h).
 */
#include "cli/change.h"
#include "cli/class.h"
#include "netlab/fault.h"
#include "netlab/limits.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static double since(gint64 began)
{
    return (double)(g_get_monotonic_time() - began) / G_USEC_PER_SEC;
}

static void print_interrupted(const struct cli_crew *crew)
{
    if (crew->is_interrupted)
        fprintf(stderr, "netlab: interrupted; %u %s not begun, and the same command again goes on\n",
                crew->skipped, crew->skipped == 1 ? "copy was" : "copies were");
}

static int status_of(const struct cli_crew *crew)
{
    return crew->is_interrupted ? CLI_INTERRUPTED : crew->failed ? crew->status : CLI_OK;
}

static void tell_end(const struct cli_crew *crew, const char *lab, gint64 began)
{
    JsonObject *object = json_object_new();
    JsonArray *failed = json_array_new();
    for (guint i = 0; i < crew->jobs->len; i++) {
        const struct cli_job *job = crew->jobs->pdata[i];
        if (job->error)
            json_array_add_string_element(failed, job->member->student);
    }
    json_object_set_string_member(object, "event", "end");
    json_object_set_string_member(object, "class", lab);
    json_object_set_int_member(object, "copies", crew->jobs->len);
    json_object_set_int_member(object, "good", crew->jobs->len - crew->failed - crew->skipped);
    json_object_set_int_member(object, "changed", crew->changed);
    json_object_set_array_member(object, "failed", failed);
    json_object_set_boolean_member(object, "interrupted", crew->is_interrupted);
    json_object_set_double_member(object, "seconds", since(began));
    cli_crew_event(crew, object);
}

/* ---- up ---- */

/* The topology: PATH, else the current folder's, else that of the class that is up. */
static char *find_topology(const struct cli_call *call, const struct lab_place *place, GError **error)
{
    const char *first = cli_argument(call, 0);
    if (first)
        return g_file_test(first, G_FILE_TEST_IS_DIR) ? g_build_filename(first, "topology.yml", NULL)
                                                      : g_strdup(first);
    if (access("topology.yml", F_OK) == 0)
        return g_strdup("topology.yml");
    g_autoptr(store) store = store_open(place->state, error);
    g_autoptr(store_class) class =
        store ? class_select(store, cli_value(call, "for"), cli_value(call, "lab"), NULL) : NULL;
    return class ? g_strdup(class->file) : store ? g_strdup("topology.yml") : NULL;
}

static void print_gone(const struct cli_call *call, const struct class_plan *plan, struct cli_crew *crew)
{
    g_autoptr(GString) names = g_string_new(NULL);
    for (guint i = 0; i < plan->gone->len; i++)
        g_string_append_printf(names, "%s%s", i ? ", " : "",
                               ((struct store_member *)plan->gone->pdata[i])->student);
    if (!names->len)
        return;
    if (crew->is_json) {
        JsonObject *object = json_object_new();
        JsonArray *list = json_array_new();
        for (guint i = 0; i < plan->gone->len; i++)
            json_array_add_string_element(list, ((struct store_member *)plan->gone->pdata[i])->student);
        json_object_set_string_member(object, "event", "gone");
        json_object_set_array_member(object, "students", list);
        json_object_set_boolean_member(object, "pruned", cli_flag(call, "prune"));
        cli_crew_event(crew, object);
    } else if (!crew->is_quiet && !cli_flag(call, "prune")) {
        fprintf(stderr, "netlab: no longer in the list: %s; with --prune their copies are taken down\n",
                names->str);
    }
}

static void print_plan(const struct cli_call *call, const struct class_plan *plan)
{
    for (guint i = 0; cli_flag(call, "prune") && i < plan->gone->len; i++)
        printf("take down %s\n", ((struct store_member *)plan->gone->pdata[i])->lab);
    for (guint i = 0; i < plan->members->len; i++) {
        const struct store_member *member = plan->members->pdata[i];
        printf("bring up %s, or to what its file says now\n", member->lab);
    }
    printf("%u machines with %" PRIu64 " MiB, %u MiB at most for one copy\nnothing was done (--dry-run)\n",
           plan->machines, plan->memory, plan->copy_memory);
}

/* The limits that were asked for, into the class. */
static bool set_limits(struct cli_call *call, struct class_plan *plan, int *status)
{
    struct store_class *class = plan->class;
    g_autofree char *why = NULL;
    if (!cli_number(call, "copy-memory", 0, 1 << 20, &class->memory) ||
        !cli_number(call, "copy-cpu", 0, 100000, &class->cpu)) {
        *status = CLI_USAGE;
        return false;
    }
    if (class->memory && plan->copy_memory > class->memory) {
        *status = cli_misuse(
            call,
            "a copy's machines may take %u MiB (what they are given, and %d MiB for each emulator), "
            "and --copy-memory is %u; raise it, or give nodes less (\"memory:\")",
            plan->copy_memory, LIMITS_OVERHEAD_MIB, class->memory);
        return false;
    }
    if (!class->memory && !class->cpu)
        return true;
    char *group = limits_find_group(true, &why);
    if (group) {
        g_free(class->cgroup);
        class->cgroup = group;
    } else if (!*class->cgroup && !cli_flag(call, "quiet") && !cli_flag(call, "json")) {
        fprintf(stderr, "netlab: limits are kept without control groups (%s): %s\n", why,
                class->cpu
                    ? "copies run at a lower priority, and no machine gets more memory than it is given"
                    : "no machine gets more memory than it is given");
    }
    return true;
}

static void print_up(const struct class_plan *plan, const struct cli_crew *crew, gint64 began)
{
    guint good = crew->jobs->len - crew->failed - crew->skipped;
    const char *lab = plan->class->lab;
    if (crew->is_quiet)
        return;
    if (!crew->failed && !crew->skipped && !crew->changed)
        printf("class %s: all %u copies are up already, nothing to do\n", lab, good);
    else if (crew->failed || crew->skipped)
        printf("class %s: %u of %u copies as wanted (%.1f s)\n", lab, good, crew->jobs->len, since(began));
    else
        printf("class %s is up: %u cop%s, %u machines (%.1f s)\n", lab, plan->members->len,
               plan->members->len == 1 ? "y" : "ies", plan->machines, since(began));
}

static int carry_out(struct cli_call *call, const struct lab_place *place, struct store *store,
                     struct class_plan *plan, unsigned timeout)
{
    g_autoptr(GError) error = NULL;
    gint64 began = g_get_monotonic_time();
    int status = CLI_OK;
    if (!set_limits(call, plan, &status))
        return status;
    if (!cli_flag(call, "force") && !class_check_memory(place, store, plan, &error))
        return cli_fail(error);
    if (cli_flag(call, "dry-run")) {
        print_plan(call, plan);
        return CLI_OK;
    }
    if (!store_put_class(store, plan->class, plan->members, &error))
        return cli_fail(error);
    struct cli_crew *crew = cli_crew_new(call, plan->class->id);
    crew->timeout = timeout;
    crew->rootless = cli_flag(call, "rootless");
    print_gone(call, plan, crew);
    for (guint i = 0; cli_flag(call, "prune") && i < plan->gone->len; i++)
        cli_crew_add(crew, plan->gone->pdata[i], "down");
    for (guint i = 0; i < plan->members->len; i++)
        cli_crew_add(crew, plan->members->pdata[i], "up");
    if (!cli_crew_run(crew)) {
        status = CLI_USAGE;
    } else {
        print_interrupted(crew);
        print_up(plan, crew, began);
        tell_end(crew, plan->class->lab, began);
        status = status_of(crew);
    }
    cli_crew_free(crew);
    return status;
}

int cli_class_up(struct cli_call *call, unsigned timeout)
{
    static const char *const alone[] = {"here", "confirm", "all"};
    for (size_t i = 0; i < G_N_ELEMENTS(alone); i++)
        if (cli_flag(call, alone[i]))
            return cli_misuse(call, "--%s is for one lab, --for makes many", alone[i]);
    if (call->arguments->len > 1)
        return cli_misuse(
            call, "--for brings whole copies up; of one student's, `netlab up --student ID NODE…` starts "
                  "a node");
    g_autoptr(GError) error = NULL;
    struct lab_place place;
    fault_arm_from_environment();
    signal(SIGPIPE, SIG_IGN);
    lab_place_find(&place);
    g_autofree char *topology = find_topology(call, &place, &error);
    roster_auto struct roster *roster = topology ? roster_load_file(cli_value(call, "for"), &error) : NULL;
    g_autoptr(store) store = roster ? store_open(place.state, &error) : NULL;
    struct class_plan *plan =
        store ? class_plan_make(store, topology, roster, cli_value(call, "students"), &error) : NULL;
    int status = plan ? carry_out(call, &place, store, plan, timeout) : cli_fail(error);
    class_plan_free(plan);
    lab_place_clear(&place);
    return status;
}

/* ---- down, reset ---- */

static int work_on(struct cli_call *call, const char *chosen, const char *action, unsigned timeout,
                   unsigned graceful)
{
    g_autoptr(GError) error = NULL;
    gint64 began = g_get_monotonic_time();
    struct cli_class class;
    int status = CLI_USAGE;
    fault_arm_from_environment();
    signal(SIGPIPE, SIG_IGN);
    bool is_down = g_str_equal(action, "down");
    if (!cli_class_find(call, chosen, &class, &error)) {
        status = cli_fail(error);
        if (is_down)
            lab_sweep_locks(&class.place);
        cli_class_clear(&class);
        return status;
    }
    struct cli_crew *crew = cli_crew_new(call, class.class->id);
    crew->timeout = timeout;
    crew->graceful = graceful;
    crew->rootless = cli_flag(call, "rootless");
    for (guint i = 0; i < class.members->len; i++)
        cli_crew_add(crew, class.members->pdata[i], action);
    if (cli_crew_run(crew)) {
        guint good = crew->jobs->len - crew->failed - crew->skipped;
        print_interrupted(crew);
        if (!crew->is_quiet && is_down && !chosen && good == crew->jobs->len)
            printf("class %s is down: %u cop%s (%.1f s)\n", class.class->lab, good, good == 1 ? "y" : "ies",
                   since(began));
        else if (!crew->is_quiet)
            printf("class %s: %u of %u cop%s %s (%.1f s)\n", class.class->lab, good, crew->jobs->len,
                   crew->jobs->len == 1 ? "y" : "ies", is_down ? "down" : "as in the beginning",
                   since(began));
        tell_end(crew, class.class->lab, began);
        status = status_of(crew);
    }
    cli_crew_free(crew);
    if (is_down)
        lab_sweep_locks(&class.place);
    cli_class_clear(&class);
    return status;
}

int cli_class_down(struct cli_call *call, unsigned graceful)
{
    if (cli_flag(call, "all") || call->arguments->len)
        return cli_misuse(call, "--for is the whole class; some of it are chosen by --students");
    return work_on(call, cli_value(call, "students"), "down", 300, graceful);
}

static const struct cli_option reset_options[] = {
    {"for", 0, "FILE", "the class of this list (otherwise: the only one that is up)"},
    {"lab", 'l', "NAME", "the class of this lab, when several are up from one list"},
    CLI_PARALLEL_OPTION,
    {"timeout", 't', "SECONDS", "how long machines may take to become ready (300)"},
    {"verbose", 'v', NULL, "print each step on a line of its own"},
    {"quiet", 'q', NULL, "print errors only"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

static int run_reset(struct cli_call *call)
{
    unsigned timeout = 300;
    if (!cli_number(call, "timeout", 1, 86400, &timeout))
        return CLI_USAGE;
    g_autofree char *chosen = g_strjoinv(",", (char **)call->arguments->pdata);
    return work_on(call, chosen, "reset", timeout, 0);
}

const struct cli_verb verb_reset = {
    .name = "reset",
    .arguments = "STUDENT…",
    .summary = "put a student's copy of a lab back to the beginning",
    .description =
        "Takes the copies of these students (`netlab up --for`) down and brings them up again, as they were "
        "in the beginning: with what the topology said at the last `netlab up --for`, and with the student's "
        "own values. What was changed in their machines is gone. Other copies are left alone.",
    .options = reset_options,
    .option_count = G_N_ELEMENTS(reset_options),
    .examples = CLI_EXAMPLES({"netlab reset anna", "of the only class that is up"},
                             {"netlab reset --for students.csv anna ben", "of this list's"}),
    .least = 1,
    .most = -1,
    .run = run_reset,
};
