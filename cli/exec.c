/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab exec`: a command inside guests, through their agents; no address of the guest is needed.
 *
 * One node: its streams are ours, as they come. Several: each has a thread, its output goes into a file
 * without a name, and is printed under its header in the order of the nodes. A class (--for) is several nodes
 * of each copy. No more than IN_HAND nodes have such files at a time, so that a large class does not need
 * more descriptors than there are.
 */
#include "cli/change.h"
#include "cli/class.h"
#include "cli/node.h"
#include "netlab/session.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { AT_ONCE = 16, AT_ONCE_MOST = 256, IN_HAND = 300, CONNECT_MS = 10000, JSON_MOST = 16 << 20 };
/* Of all nodes of a class together, and what each has at least. */
enum { CLASS_JSON_MOST = 512 << 20, CLASS_JSON_LEAST = 1 << 20 };

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    CLI_CLASS_OPTIONS,
    {"parallel", 0, "NUMBER", "with --for: in how many machines at once (16)"},
    {"all", 'a', NULL, "in all nodes that run: netlab exec --all COMMAND…"},
    {"timeout", 't', "SECONDS", "how long it may take; then it is ended in the guest (60)"},
    {"input", 'i', NULL,
     "give it our standard input although that is a terminal, or there are several nodes"},
    {"no-input", 'n', NULL, "its standard input is empty (as it is with several nodes, or on a terminal)"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

struct job {
    const struct store_member *member;  /* NULL: no class is meant */
    const struct lab_node_status *node; /* NULL: none, as `why` says */
    const char *const *argv;
    GBytes *given; /* input of several; NULL: none */
    int input, output, error, cancel_fd;
    unsigned timeout_s;
    guint64 most;
    bool is_done;
    int status; /* CLI_EXEC with `why` */
    char *why;
    double seconds;
};

static void job_clear(void *data)
{
    struct job *job = data;
    g_free(job->why);
    if (job->output > STDERR_FILENO)
        close(job->output);
    if (job->error > STDERR_FILENO)
        close(job->error);
    g_free(job);
}

/* One word is a shell command, several are a program with its arguments. */
static char **guest_argv(const struct cli_call *call, guint first)
{
    GPtrArray *argv = g_ptr_array_new();
    if (call->arguments->len == first + 1) {
        g_ptr_array_add(argv, g_strdup("/bin/sh"));
        g_ptr_array_add(argv, g_strdup("-c"));
    } else {
        /* The agent executes a path; env looks it up in PATH. */
        g_ptr_array_add(argv, g_strdup("/usr/bin/env"));
    }
    for (guint i = first; i < call->arguments->len; i++)
        g_ptr_array_add(argv, g_strdup(call->arguments->pdata[i]));
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

/* ---- one node ---- */

static void write_bytes(int fd, GBytes *bytes)
{
    gsize length;
    const char *data = g_bytes_get_data(bytes, &length);
    for (ssize_t put; fd >= 0 && length && (put = write(fd, data, length)) != 0;) {
        if (put < 0 && errno != EINTR && errno != EAGAIN)
            return;
        data += MAX(put, 0);
        length -= (gsize)MAX(put, 0);
    }
}

/* An agent of another make: what it prints comes at the end, and it has no input. */
static bool run_plainly(struct job *job, struct agent *agent, GError **error)
{
    struct agent_result result = {0};
    if (!agent_exec(agent, job->argv, (int)job->timeout_s * 1000, &result, error))
        return false;
    write_bytes(job->output, result.out);
    write_bytes(job->error, result.err);
    job->status = result.status;
    if (result.truncated)
        job->why = g_strdup("the output was longer than the guest's agent keeps; the rest is lost");
    agent_result_clear(&result);
    return true;
}

static bool run_session(struct job *job, struct agent *agent, GError **error)
{
    struct session_spec spec = {.argv = job->argv};
    struct session_io io = {.input = job->input,
                            .output = job->output,
                            .error = job->error,
                            .cancel_fd = job->cancel_fd,
                            .resize_fd = -1,
                            .output_most = job->most,
                            .deadline = g_get_monotonic_time() + (gint64)job->timeout_s * G_USEC_PER_SEC};
    struct session_result result;
    g_autoptr(GError) cause = NULL;
    if (!session_run(agent, &spec, &io, &result, &cause)) {
        if (g_error_matches(cause, AGENT_ERROR, AGENT_ERROR_UNKNOWN))
            return run_plainly(job, agent, error);
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    job->status = result.status;
    if (result.end == SESSION_TIMED_OUT) {
        job->status = CLI_EXEC;
        job->why = g_strdup_printf("the command has not ended within %u s and was ended in the guest (give a "
                                   "longer --timeout)",
                                   job->timeout_s);
    } else if (result.end == SESSION_CANCELLED) {
        job->status = CLI_INTERRUPTED;
        job->why = g_strdup("interrupted; the command was ended in the guest");
    } else if (result.end == SESSION_UNREAD) {
        job->status = 128 + SIGPIPE;
    } else if (job->most && result.output_bytes > job->most) {
        job->why = g_strdup_printf("of its output of %" G_GUINT64_FORMAT
                                   " bytes only the first %" G_GUINT64_FORMAT " are shown",
                                   result.output_bytes, job->most);
    }
    session_result_clear(&result);
    return true;
}

static void run_job(struct job *job)
{
    g_autoptr(GError) error = NULL;
    struct agent agent;
    gint64 began = g_get_monotonic_time();
    job->status = CLI_EXEC;
    if (!agent_open(&agent, job->node->directory, (int)MIN(job->timeout_s * 1000, CONNECT_MS), job->cancel_fd,
                    &error)) {
        job->why = g_strdup(error->message);
    } else {
        if (!run_session(job, &agent, &error)) {
            job->status = CLI_EXEC;
            job->why = g_strdup(error->message);
        }
        agent_close(&agent);
    }
    job->seconds = (double)(g_get_monotonic_time() - began) / G_USEC_PER_SEC;
}

/* ---- several ---- */

static GMutex done_lock;
static GCond done;

/* A file without a name. */
static int open_spool(void)
{
    int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : memfd_create("output", MFD_CLOEXEC);
}

static void run_in_thread(void *data, void *unused)
{
    struct job *job = data;
    if (!job->why) {
        job->output = open_spool();
        job->error = open_spool();
    }
    if (!job->why && (job->output < 0 || job->error < 0))
        job->why = g_strdup_printf("no place for its output: %s", g_strerror(errno));
    if (job->given && !job->why) {
        job->input = memfd_create("input", MFD_CLOEXEC);
        write_bytes(job->input, job->given);
        if (job->input >= 0)
            lseek(job->input, 0, SEEK_SET);
    }
    if (!job->why)
        run_job(job);
    if (job->given && job->input >= 0)
        close(job->input);
    job->input = -1;
    g_mutex_lock(&done_lock);
    job->is_done = true;
    g_cond_broadcast(&done);
    g_mutex_unlock(&done_lock);
}

static void copy_out(int from, FILE *to)
{
    char data[65536];
    lseek(from, 0, SEEK_SET);
    for (ssize_t got; (got = read(from, data, sizeof data)) > 0;)
        fwrite(data, 1, (size_t)got, to);
}

static void add_text(JsonObject *object, const char *name, int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    g_autofree char *data = g_malloc((gsize)MAX(size, 0) + 1);
    ssize_t got = size > 0 ? pread(fd, data, (size_t)size, 0) : 0;
    data[MAX(got, 0)] = '\0';
    if (g_utf8_validate(data, MAX(got, 0), NULL)) {
        json_object_set_string_member(object, name, data);
    } else {
        g_autofree char *coded = g_base64_encode((guchar *)data, (gsize)got);
        g_autofree char *member = g_strconcat(name, "_base64", NULL);
        json_object_set_string_member(object, member, coded);
    }
}

/* "r1", "anna: r1", "anna". Owned by the caller. */
static char *title_of(const struct job *job)
{
    return g_strconcat(job->member ? job->member->student : "", job->member && job->node ? ": " : "",
                       job->node ? job->node->name : "", NULL);
}

static void report(const struct job *job, JsonArray *out)
{
    if (out) {
        JsonObject *object = json_object_new();
        if (job->member) {
            json_object_set_string_member(object, "student", job->member->student);
            json_object_set_string_member(object, "lab", job->member->lab);
        }
        if (job->node)
            json_object_set_string_member(object, "node", job->node->name);
        else
            json_object_set_null_member(object, "node");
        json_object_set_int_member(object, "status", job->status);
        if (job->why)
            json_object_set_string_member(object, job->status == CLI_EXEC ? "error" : "note", job->why);
        json_object_set_double_member(object, "seconds", job->seconds);
        add_text(object, "stdout", job->output);
        add_text(object, "stderr", job->error);
        json_array_add_object_element(out, object);
        return;
    }
    bool bold = cli_has_colour();
    g_autofree char *title = title_of(job);
    printf("%s== %s%s", bold ? "\033[1m" : "", title, bold ? "\033[0m" : "");
    if (job->status && !(job->why && job->status == CLI_EXEC))
        printf(": exit status %d", job->status);
    printf("\n");
    copy_out(job->output, stdout);
    fflush(stdout);
    copy_out(job->error, stderr);
    if (job->why) {
        g_autofree char *why = cli_printable(job->why);
        fprintf(stderr, "netlab: %s: %s\n", title, why);
    }
}

static void close_spools(struct job *job)
{
    if (job->output >= 0)
        close(job->output);
    if (job->error >= 0)
        close(job->error);
    job->output = job->error = -1;
}

static int run_several(struct cli_call *call, GPtrArray *jobs, unsigned at_once)
{
    JsonArray *out = cli_flag(call, "json") ? json_array_new() : NULL;
    GThreadPool *pool = g_thread_pool_new(run_in_thread, NULL, (int)at_once, FALSE, NULL);
    int status = CLI_OK;
    for (guint i = 0, pushed = 0; i < jobs->len; i++) {
        struct job *job = jobs->pdata[i];
        for (; pushed < jobs->len && pushed < i + IN_HAND; pushed++)
            g_thread_pool_push(pool, jobs->pdata[pushed], NULL);
        g_mutex_lock(&done_lock);
        while (!job->is_done)
            g_cond_wait(&done, &done_lock);
        g_mutex_unlock(&done_lock);
        report(job, out);
        close_spools(job);
        if (!status)
            status = job->status;
    }
    g_thread_pool_free(pool, FALSE, TRUE);
    if (out) {
        JsonNode *node = json_node_alloc();
        json_node_take_array(json_node_init(node, JSON_NODE_ARRAY), out);
        cli_print_json(node);
    }
    return status;
}

static int run_one(struct job *job)
{
    signal(SIGPIPE, SIG_IGN);
    run_job(job);
    if (job->why) {
        g_autofree char *why = cli_printable(job->why);
        fprintf(stderr, "netlab: %s: %s\n", job->node->name, why);
    }
    return job->status;
}

/* ---- which ---- */

/* All of standard input, for several. */
static GBytes *read_input(void)
{
    GByteArray *all = g_byte_array_new();
    guint8 data[65536];
    for (ssize_t got; (got = read(STDIN_FILENO, data, sizeof data)) > 0;)
        g_byte_array_append(all, data, (guint)got);
    return g_byte_array_free_to_bytes(all);
}

static struct job *job_new(struct cli_call *call, const struct lab_node_status *node, bool is_only)
{
    struct job *job = g_new0(struct job, 1);
    bool is_json = cli_flag(call, "json");
    job->node = node;
    job->input = job->cancel_fd = -1;
    if (is_only && !cli_flag(call, "no-input") && (cli_flag(call, "input") || !isatty(STDIN_FILENO)))
        job->input = STDIN_FILENO;
    job->output = is_only && !is_json ? STDOUT_FILENO : -1;
    job->error = is_only && !is_json ? STDERR_FILENO : -1;
    job->most = is_json ? JSON_MOST : 0;
    return job;
}

/* ---- a class ---- */

struct several {
    struct cli_call *call;
    const char *nodes; /* NULL: all that run */
    const char *const *argv;
    unsigned timeout_s;
    int cancel_fd;
    GBytes *given;
    GPtrArray *jobs;     /* struct job * */
    GPtrArray *statuses; /* struct lab_status *, which the jobs' nodes belong to */
};

static struct job *add_job(struct several *s, const struct store_member *member,
                           const struct lab_node_status *node, const char *why)
{
    struct job *job = job_new(s->call, node, false);
    job->member = member;
    job->argv = s->argv;
    job->cancel_fd = s->cancel_fd;
    job->timeout_s = s->timeout_s;
    job->given = s->given;
    job->status = CLI_EXEC;
    job->why = g_strdup(why);
    g_ptr_array_add(s->jobs, job);
    return job;
}

/* A job for each node of the copy that is meant, or one that says why there is none. False: it has none that
 * is called so. */
static bool add_copy(struct several *s, const struct cli_class *class, const struct store_member *member,
                     GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(store_lab) lab = store_find_lab(class->store, member->lab, &cause);
    struct lab_status *status = lab ? lab_status_read(&class->place, class->store, lab, &cause) : NULL;
    if (!status) {
        add_job(s, member, NULL, cause ? cause->message : "its copy is not up");
        return true;
    }
    g_ptr_array_add(s->statuses, status);
    struct cli_node copy = {.status = status};
    g_autoptr(GPtrArray) nodes = cli_node_choose(&copy, s->nodes, &cause);
    if (!nodes) {
        add_job(s, member, NULL, cause->message);
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    for (guint i = 0; i < nodes->len; i++) {
        g_autoptr(GError) stopped = NULL;
        copy.node = nodes->pdata[i];
        bool runs = cli_node_require_running(&copy, &stopped);
        add_job(s, member, copy.node, runs ? NULL : stopped->message);
    }
    return true;
}

static int run_class(struct several *s, unsigned at_once)
{
    g_autoptr(GError) error = NULL;
    struct cli_class class;
    int status = CLI_EXEC;
    guint without = 0;
    bool good = cli_class_find(s->call, cli_value(s->call, "students"), &class, &error);
    for (guint i = 0; good && i < class.members->len; i++) {
        g_autoptr(GError) cause = NULL;
        if (add_copy(s, &class, class.members->pdata[i], &cause))
            continue;
        without++;
        if (!error)
            error = g_steal_pointer(&cause);
    }
    /* A name that none of them has is said once. */
    if (!good || without == class.members->len) {
        cli_fail(error);
    } else {
        guint64 most = MAX(CLASS_JSON_MOST / s->jobs->len, CLASS_JSON_LEAST);
        for (guint i = 0; i < s->jobs->len; i++)
            ((struct job *)s->jobs->pdata[i])->most = cli_flag(s->call, "json") ? MIN(most, JSON_MOST) : 0;
        status = run_several(s->call, s->jobs, at_once);
    }
    cli_class_clear(&class);
    return status;
}

static bool check_call(struct cli_call *call, guint first, unsigned *timeout, unsigned *at_once)
{
    if (!cli_number(call, "timeout", 1, 86400, timeout) ||
        !cli_number(call, "parallel", 1, AT_ONCE_MOST, at_once))
        return false;
    if (!cli_class_is_meant(call) && (cli_value(call, "students") || cli_value(call, "parallel")))
        cli_misuse(call, "--%s goes with --for FILE, the list of a class",
                   cli_value(call, "students") ? "students" : "parallel");
    else if (call->arguments->len <= first)
        cli_misuse(call, "which command? As in: netlab exec %s", first ? "h1 hostname" : "--all hostname");
    else
        return true;
    return false;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func(job_clear);
    g_autoptr(GPtrArray) nodes = NULL;
    g_autoptr(GBytes) given = NULL;
    struct cli_node lab;
    unsigned timeout = 60, at_once = AT_ONCE;
    guint first = cli_flag(call, "all") ? 0 : 1;
    int status = CLI_EXEC;
    if (!check_call(call, first, &timeout, &at_once))
        return CLI_EXEC;
    g_auto(GStrv) argv = guest_argv(call, first);
    if (cli_class_is_meant(call)) {
        g_autoptr(GPtrArray) statuses = g_ptr_array_new_with_free_func((GDestroyNotify)lab_status_free);
        given = cli_flag(call, "input") ? read_input() : NULL;
        struct several several = {.call = call,
                                  .nodes = first ? cli_argument(call, 0) : NULL,
                                  .argv = (const char *const *)argv,
                                  .timeout_s = timeout,
                                  .cancel_fd = cli_cancel_fd(),
                                  .given = given,
                                  .jobs = jobs,
                                  .statuses = statuses};
        return run_class(&several, at_once);
    }
    if (!cli_node_find_lab(call, &lab, &error) ||
        !(nodes = cli_node_choose(&lab, first ? cli_argument(call, 0) : NULL, &error))) {
        cli_fail(error);
        cli_node_clear(&lab);
        return CLI_EXEC;
    }
    bool is_only = nodes->len == 1 && first && !cli_node_is_pattern(cli_argument(call, 0));
    if (!is_only && cli_flag(call, "input"))
        given = read_input();
    int cancel_fd = cli_cancel_fd();
    for (guint i = 0; i < nodes->len; i++) {
        struct job *job = job_new(call, nodes->pdata[i], is_only);
        g_autoptr(GError) cause = NULL;
        lab.node = nodes->pdata[i];
        job->argv = (const char *const *)argv;
        job->cancel_fd = cancel_fd;
        job->timeout_s = timeout;
        job->given = given;
        job->status = CLI_EXEC;
        if (!cli_node_require_running(&lab, &cause))
            job->why = g_strdup(cause->message);
        g_ptr_array_add(jobs, job);
    }
    struct job *only = jobs->pdata[0];
    if (is_only && !cli_flag(call, "json") && only->why)
        fprintf(stderr, "netlab: %s\n", only->why);
    else
        status = is_only && !cli_flag(call, "json") ? run_one(only) : run_several(call, jobs, AT_ONCE);
    cli_node_clear(&lab);
    return status;
}

const struct cli_verb verb_exec = {
    .name = "exec",
    .arguments = "NODE[,NODE…]|'PATTERN' COMMAND…",
    .summary = "run a command inside one node or many",
    .description =
        "Runs a command in the guest through its agent; its output comes as it is printed, and exec ends "
        "with "
        "its exit status. One word is given to the guest's shell: netlab exec h1 'ip addr; ping -c1 h2'. "
        "Several words are a program and its arguments.\n\n"
        "Standard input goes to the command unless it is a terminal: netlab exec h1 'cat >/tmp/x' <x. "
        "In a loop that reads its own input, give -n.\n\n"
        "With several nodes (netlab exec 'r*' CMD, netlab exec h1,h2 CMD, netlab exec --all CMD) the command "
        "runs in all at the same time; each node's output follows a line with its name, and the status is "
        "that "
        "of the first that failed. A command that runs out of time, or is interrupted, is ended in the "
        "guest.\n\n"
        "With --for it runs in these nodes of every copy of a class; a copy that is not up is said, and the "
        "others go on.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .least = 1,
    .most = -1,
    .stops_at_argument = true,
    .examples = CLI_EXAMPLES({"netlab exec h1 ping -c 1 h2", "a program and its arguments"},
                             {"netlab exec 'r*' 'ip route; cat /etc/resolv.conf'",
                              "a line for the shell, in all nodes that match"},
                             {"netlab exec --all --json uname -a", "results as JSON"},
                             {"netlab exec --for students.csv 'r*' 'ip route'", "in every student's copy"}),
    .statuses =
        "125 netlab failed (no such node, no agent, ran out of time); otherwise the command's own status",
    .run = run,
};
