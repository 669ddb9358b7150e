/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Processes that work on copies, and which class is meant; see class.h.
 */
#include "cli/class.h"
#include "cli/progress.h"
#include "cli/change.h"
#include "netlab/channel.h"
#include "netlab/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MOST = 1 << 20, PARALLEL_MOST = 256 };

bool cli_class_is_meant(const struct cli_call *call)
{
    return cli_value(call, "for") != NULL;
}

bool cli_class_find(const struct cli_call *call, const char *chosen, struct cli_class *class, GError **error)
{
    *class = (struct cli_class){0};
    lab_place_find(&class->place);
    class->store = store_open(class->place.state, error);
    class->class = class->store
                       ? class_select(class->store, cli_value(call, "for"), cli_value(call, "lab"), error)
                       : NULL;
    class->members = class->class ? class_list_members(class->store, class->class, chosen, error) : NULL;
    return class->members != NULL;
}

void cli_class_clear(struct cli_class *class)
{
    if (class->members)
        g_ptr_array_unref(class->members);
    store_class_free(class->class);
    store_close(class->store);
    lab_place_clear(&class->place);
    *class = (struct cli_class){0};
}

bool cli_class_resolve(struct cli_call *call, int *status)
{
    const char *student = cli_value(call, "student");
    if (!student)
        return true;
    if (cli_class_is_meant(call)) {
        *status = cli_misuse(
            call, "--student is one copy, --for a class; of a class some are chosen by --students");
        return false;
    }
    g_autoptr(GError) error = NULL;
    struct lab_place place;
    lab_place_find(&place);
    g_autoptr(store) store = store_open(place.state, &error);
    char *lab = store ? class_find_copy(store, student, NULL, cli_value(call, "lab"), &error) : NULL;
    lab_place_clear(&place);
    if (lab)
        g_hash_table_insert(call->values, (gpointer) "lab", lab);
    else
        *status = cli_fail(error);
    return lab != NULL;
}

/* ---- the crew ---- */

static void job_free(void *data)
{
    struct cli_job *job = data;
    if (job->out >= 0)
        close(job->out);
    if (job->line)
        g_string_free(job->line, TRUE);
    if (job->results)
        json_array_unref(job->results);
    g_free(job->doing);
    g_free(job->error);
    g_free(job);
}

struct cli_crew *cli_crew_new(const struct cli_call *call, int64_t class)
{
    struct cli_crew *crew = g_new0(struct cli_crew, 1);
    crew->call = call;
    crew->class = class;
    crew->jobs = g_ptr_array_new_with_free_func(job_free);
    crew->notes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    crew->is_json = cli_flag(call, "json");
    crew->is_quiet = cli_flag(call, "quiet") || crew->is_json;
    crew->is_live = !crew->is_quiet && !cli_flag(call, "verbose") && cli_is_terminal();
    return crew;
}

void cli_crew_free(struct cli_crew *crew)
{
    g_ptr_array_unref(crew->jobs);
    g_hash_table_unref(crew->notes);
    g_free(crew);
}

void cli_crew_add(struct cli_crew *crew, const struct store_member *member, const char *action)
{
    struct cli_job *job = g_new0(struct cli_job, 1);
    *job = (struct cli_job){.member = member, .action = action, .out = -1};
    g_ptr_array_add(crew->jobs, job);
}

void cli_crew_event(const struct cli_crew *crew, JsonObject *object)
{
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), object);
    g_autofree char *text = json_to_string(node, FALSE);
    json_object_unref(object);
    if (!crew->is_json)
        return;
    printf("%s\n", text);
    fflush(stdout);
}

static void tell_event(const struct cli_crew *crew, const struct cli_job *job, const char *name)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "event", name);
    json_object_set_string_member(object, "student", job->member->student);
    json_object_set_string_member(object, "lab", job->member->lab);
    if (job->is_done)
        json_object_set_double_member(object, "seconds",
                                      (double)((g_get_monotonic_time() - job->began) / 1000) / 1000);
    if (job->is_done && !job->error)
        json_object_set_boolean_member(object, "changed", job->is_changed);
    if (job->error)
        json_object_set_string_member(object, "error", job->error);
    cli_crew_event(crew, object);
}

/* ---- the line of progress ---- */

static void wipe_line(struct cli_crew *crew)
{
    if (crew->has_line)
        printf("\r\033[K");
    fflush(stdout);
    crew->has_line = false;
}

/* "[12/30] anna: waiting for 2 machines; ben: [4/12] start machine h1" */
static void show_line(struct cli_crew *crew)
{
    if (!crew->is_live)
        return;
    unsigned done = 0;
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < crew->jobs->len; i++) {
        const struct cli_job *job = crew->jobs->pdata[i];
        done += job->is_done;
        if (job->pid && !job->is_done)
            g_string_append_printf(text, "%s%s: %s", text->len ? "; " : " ", job->member->student,
                                   job->doing ? job->doing : "…");
    }
    g_autofree char *whole = g_strdup_printf("[%u/%u]%s", done, crew->jobs->len, text->str);
    g_autofree char *plain = cli_printable(whole);
    cli_progress_rewrite(stdout, plain);
    crew->has_line = true;
}

/* What several copies say is said once. */
static void tell_note(struct cli_crew *crew, const char *text)
{
    if (crew->is_quiet || !g_hash_table_add(crew->notes, g_strdup(text)))
        return;
    wipe_line(crew);
    g_autofree char *plain = cli_printable(text);
    fprintf(stderr, "netlab: %s\n", plain);
}

/* ---- processes ---- */

static bool start(struct cli_crew *crew, struct cli_job *job)
{
    int ends[2];
    g_autofree char *self = paths_self();
    g_autofree char *class = g_strdup_printf("%" G_GINT64_FORMAT, (gint64)crew->class),
                    *timeout = g_strdup_printf("--timeout=%u", crew->timeout),
                    *graceful = g_strdup_printf("--graceful=%u", crew->graceful);
    const char *const first[] = {self,
                                 "copy",
                                 timeout,
                                 graceful,
                                 crew->rootless ? "--rootless" : "--no-rootless",
                                 "--",
                                 job->action,
                                 class,
                                 job->member->student,
                                 NULL};
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    for (guint i = 0; first[i]; i++)
        g_ptr_array_add(argv, (char *)first[i]);
    for (guint i = 0; crew->words && crew->words[i]; i++)
        g_ptr_array_add(argv, (char *)crew->words[i]);
    g_ptr_array_add(argv, NULL);
    pid_t parent = getpid();
    job->began = g_get_monotonic_time();
    if (pipe2(ends, O_CLOEXEC) != 0) {
        job->error = g_strdup(g_strerror(errno));
        return false;
    }
    job->pid = fork();
    if (job->pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setpgid(0, 0); /* Ctrl-C is ours, who then tell them */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent || dup2(ends[1], STDOUT_FILENO) < 0)
            _exit(CLI_FAILED);
        execv(self, (char *const *)argv->pdata);
        _exit(CLI_FAILED);
    }
    close(ends[1]);
    if (job->pid < 0) {
        job->error = g_strdup_printf("starting a process for it: %s", g_strerror(errno));
        job->pid = 0;
        close(ends[0]);
        return false;
    }
    job->out = ends[0];
    job->line = g_string_new(NULL);
    fcntl(job->out, F_SETFL, O_NONBLOCK);
    tell_event(crew, job, "begin");
    return true;
}

static void take_line(struct cli_crew *crew, struct cli_job *job, const char *text)
{
    g_autoptr(JsonNode) root = json_from_string(text, NULL);
    JsonObject *object = root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
    if (!object)
        return;
    const char *note = channel_string(object, "note", NULL), *step = channel_string(object, "step", NULL),
               *error = channel_string(object, "error", NULL);
    if (note)
        tell_note(crew, note);
    if (step) {
        g_free(job->doing);
        job->doing = g_strdup(step);
        if (cli_flag(crew->call, "verbose") && !crew->is_quiet)
            printf("%s: %s\n", job->member->student, step);
    }
    if (error) {
        g_free(job->error);
        job->error = g_strdup(error);
    }
    if (json_object_has_member(object, "result") &&
        JSON_NODE_HOLDS_OBJECT(json_object_get_member(object, "result"))) {
        if (!job->results)
            job->results = json_array_new();
        json_array_add_object_element(job->results,
                                      json_object_ref(json_object_get_object_member(object, "result")));
    }
    job->is_changed = job->is_changed || channel_flag(object, "changed");
}

static void finish(struct cli_crew *crew, struct cli_job *job)
{
    int status = 0;
    if (job->out >= 0)
        close(job->out);
    job->out = -1;
    while (job->pid > 0 && waitpid(job->pid, &status, 0) < 0 && errno == EINTR)
        ;
    job->status = job->pid <= 0 ? CLI_FAILED : WIFEXITED(status) ? WEXITSTATUS(status) : CLI_FAILED;
    if (WIFSIGNALED(status) && !job->error)
        job->error =
            g_strdup_printf("the process that worked on it was killed (%s); the same command again goes on",
                            strsignal(WTERMSIG(status)));
    if (job->status && !job->error)
        job->error = g_strdup_printf("it ended with status %d", job->status);
    job->pid = 0;
    job->is_done = true;
    crew->changed += job->is_changed && !job->error;
    if (job->error) {
        crew->failed++;
        crew->status = crew->status ? crew->status : job->status;
        wipe_line(crew);
        g_autofree char *plain = cli_printable(job->error);
        fprintf(stderr, "netlab: %s: %s\n", job->member->student, plain);
    }
    tell_event(crew, job, job->error ? "failed" : job->action);
}

/* False: it has ended. */
static bool read_from(struct cli_crew *crew, struct cli_job *job)
{
    char data[4096];
    ssize_t got = read(job->out, data, sizeof data);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    g_string_append_len(job->line, data, got);
    for (char *end; (end = memchr(job->line->str, '\n', job->line->len));) {
        *end = '\0';
        take_line(crew, job, job->line->str);
        g_string_erase(job->line, 0, end - job->line->str + 1);
    }
    return got > 0 && job->line->len < LINE_MOST;
}

static void interrupt(struct cli_crew *crew)
{
    crew->is_interrupted = true;
    for (guint i = 0; i < crew->jobs->len; i++) {
        const struct cli_job *job = crew->jobs->pdata[i];
        if (job->pid > 0 && !g_str_equal(job->action, "down"))
            kill(job->pid, SIGTERM); /* rolled back */
    }
}

/* Waits for something to happen, and takes it. */
static void attend(struct cli_crew *crew, GPtrArray *running, int cancel)
{
    g_autofree struct pollfd *fds = g_new0(struct pollfd, running->len + 1);
    for (guint i = 0; i < running->len; i++)
        fds[i] = (struct pollfd){.fd = ((struct cli_job *)running->pdata[i])->out, .events = POLLIN};
    fds[running->len] = (struct pollfd){.fd = crew->is_interrupted ? -1 : cancel, .events = POLLIN};
    if (poll(fds, running->len + 1, -1) <= 0)
        return;
    if (fds[running->len].revents)
        interrupt(crew);
    for (guint i = running->len; i-- > 0;) {
        if (!fds[i].revents || read_from(crew, running->pdata[i]))
            continue;
        finish(crew, running->pdata[i]);
        g_ptr_array_remove_index(running, i);
    }
}

bool cli_crew_run(struct cli_crew *crew)
{
    unsigned most = MAX(2, (unsigned)g_get_num_processors());
    if (!cli_number(crew->call, "parallel", 1, PARALLEL_MOST, &most))
        return false;
    int cancel = cli_cancel_fd();
    g_autoptr(GPtrArray) running = g_ptr_array_new();
    guint next = 0;
    while (running->len || (next < crew->jobs->len && !crew->is_interrupted)) {
        while (running->len < most && next < crew->jobs->len && !crew->is_interrupted) {
            struct cli_job *job = crew->jobs->pdata[next++];
            if (start(crew, job))
                g_ptr_array_add(running, job);
            else
                finish(crew, job);
        }
        show_line(crew);
        if (running->len)
            attend(crew, running, cancel);
    }
    crew->skipped = crew->jobs->len - next;
    wipe_line(crew);
    close(cancel);
    return true;
}
