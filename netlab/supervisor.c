/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The supervisor; see supervisor.h for what it promises and what it speaks.
 *
 * Namespaces come first, before anything could start a thread (CLONE_NEWUSER needs a single-threaded
 * process). SIGTERM ends it and nothing else: machines are not touched, `down` ends those by their
 * identities, so it makes no difference whether the supervisor was told to go, was killed, or had died long
 * before.
 */
#include "netlab/supervisor.h"
#include "netlab/caller.h"
#include "hostnet/namespace.h"
#include "netlab/channel.h"
#include "netlab/cleanup.h"
#include "netlab/fault.h"
#include "netlab/operations.h"
#include "netlab/paths.h"
#include "netlab/ready.h"
#include "netlab/revival.h"

#include <errno.h>
#include <gio/gio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct watch {
    char *node;
    struct process_identity identity;
    int pidfd;
};

struct supervisor {
    const struct supervisor_options *options;
    struct store *store;
    struct hostnet *net;
    struct hostnet *host_net; /* where we came from */
    struct outside *outside;
    struct operation_context context;
    int listener, signals;
    GPtrArray *watches; /* struct watch * */
    struct revival *revival;
    char *emulator; /* the last one we were told */
    bool is_blind;  /* a machine runs that could not be watched yet */
    bool is_done;
};

static void watch_free(void *data)
{
    struct watch *watch = data;
    close(watch->pidfd);
    g_free(watch->node);
    g_free(watch);
}

/* ---- machines that end ---- */

static char *describe_end(pid_t pid, bool *failed)
{
    int status;
    *failed = true;
    if (waitpid(pid, &status, WNOHANG) != pid)
        return g_strdup("ended");
    *failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    if (WIFSIGNALED(status))
        return g_strdup_printf("killed by signal %d (%s)", WTERMSIG(status), g_strsignal(WTERMSIG(status)));
    return WEXITSTATUS(status) ? g_strdup_printf("exited with status %d", WEXITSTATUS(status))
                               : g_strdup("powered off");
}

static void note_end(struct supervisor *s, const struct watch *watch)
{
    bool failed;
    g_autofree char *note = describe_end(watch->identity.pid, &failed);
    g_autoptr(GError) error = NULL;
    g_autoptr(store_object) object =
        store_find_object(s->store, s->options->lab_id, object_kind_name(OBJECT_MACHINE), watch->node, NULL);
    g_autofree char *identity = process_format(&watch->identity);
    /* Not that one any more: it was stopped by a step, and perhaps started anew. */
    if (!object || !g_str_equal(object->identity, identity))
        return;
    g_message("machine %s: %s", watch->node, note);
    g_autofree char *text = revival_plan(s->revival, &s->context, watch->node, note, failed);
    if (!store_set_note(s->store, s->options->lab_id, object_kind_name(OBJECT_MACHINE), watch->node, text,
                        &error))
        g_warning("%s", error->message);
}

/* The supervisor before us died while this one waited to be started again. */
static void resume(struct supervisor *s, const struct store_object *object)
{
    g_autofree char *why = revival_read_note(object->note);
    if (!why)
        return;
    g_autofree char *text = revival_plan(s->revival, &s->context, object->key, why, true);
    store_set_note(s->store, s->options->lab_id, object_kind_name(OBJECT_MACHINE), object->key, text, NULL);
}

/* Watches each machine of the lab that runs and is not watched yet. When that cannot be done now (no fd, no
 * memory, no store), it is tried again soon: nobody has said that the machine has ended. */
static void refresh_watches(struct supervisor *s, bool is_start)
{
    g_autoptr(GPtrArray) objects = store_list_objects(s->store, s->options->lab_id, NULL);
    s->is_blind = !objects;
    for (guint i = 0; objects && i < objects->len; i++) {
        const struct store_object *object = objects->pdata[i];
        struct process_identity identity;
        bool is_watched = false;
        if (!g_str_equal(object->kind, object_kind_name(OBJECT_MACHINE)) ||
            !process_parse(object->identity, &identity))
            continue;
        for (guint k = 0; k < s->watches->len; k++) {
            const struct watch *watch = s->watches->pdata[k];
            is_watched = is_watched ||
                         (watch->identity.pid == identity.pid && watch->identity.start == identity.start);
        }
        if (is_watched)
            continue;
        int pidfd = process_open(&identity);
        if (pidfd < 0 && errno != ESRCH) {
            s->is_blind = true;
            continue;
        }
        if (pidfd < 0) {
            struct watch gone = {.node = object->key, .identity = identity};
            /* Nobody has told its end yet: it was over before it was watched. */
            if (revival_is_running_note(object->note))
                note_end(s, &gone);
            else if (is_start)
                resume(s, object);
            continue;
        }
        struct watch *watch = g_new0(struct watch, 1);
        watch->node = g_strdup(object->key);
        watch->identity = identity;
        watch->pidfd = pidfd;
        g_ptr_array_add(s->watches, watch);
    }
}

/* ---- applying ---- */

struct apply {
    struct supervisor *s;
    struct channel *channel;
    GArray *steps; /* struct operation_step; keys and payloads are the request's */
    bool is_cancelled, has_client;
};

static void send_event(struct apply *apply, JsonObject *event)
{
    if (apply->has_client && !channel_send(apply->channel, event, -1, NULL))
        apply->has_client = false;
    json_object_unref(event);
}

static JsonObject *event_new(const char *name, const char *text)
{
    JsonObject *event = json_object_new();
    json_object_set_string_member(event, "event", name);
    if (text)
        json_object_set_string_member(event, "text", text);
    return event;
}

/* Has the client cancelled, or gone? */
static bool is_cancelled(struct apply *apply)
{
    JsonObject *request = NULL;
    if (!apply->is_cancelled && apply->has_client) {
        if (!channel_try(apply->channel, &request, NULL)) {
            apply->has_client = false;
            apply->is_cancelled = true;
        } else if (request && g_str_equal(channel_string(request, "request", ""), "cancel")) {
            apply->is_cancelled = true;
        }
        if (request)
            json_object_unref(request);
    }
    return apply->is_cancelled || !apply->has_client;
}

static bool fail_cancelled(struct apply *apply, GError **error)
{
    apply->is_cancelled = true;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "interrupted");
    return false;
}

/* Before each step: told to who follows, unless that one has gone or thinks better of it. */
static bool before_step(void *opaque, const struct operation_step *step, GError **error)
{
    struct apply *apply = opaque;
    if (is_cancelled(apply))
        return fail_cancelled(apply, error);
    g_autofree char *text = operation_describe(step->make, step->kind, step->key, step->payload);
    JsonObject *event = event_new("step", text);
    json_object_set_int_member(event, "index", step - (struct operation_step *)apply->steps->data + 1);
    json_object_set_int_member(event, "count", apply->steps->len);
    send_event(apply, event);
    return true;
}

/* The person who asked for it is asked back. Whatever else comes, or nothing: no. */
static bool confirm(void *opaque, const char *nic, unsigned seconds, GError **error)
{
    enum { LATE_MS = 2000 }; /* its own time is over first */
    struct apply *apply = opaque;
    JsonObject *event = event_new("confirm", NULL);
    json_object_set_string_member(event, "nic", nic);
    json_object_set_int_member(event, "seconds", seconds);
    send_event(apply, event);
    g_autoptr(GError) cause = NULL;
    g_autoptr(JsonObject) answer =
        apply->has_client ? channel_receive(apply->channel, (int)seconds * 1000 + LATE_MS, &cause) : NULL;
    const char *word = answer ? channel_string(answer, "request", "") : "";
    if (g_str_equal(word, "keep"))
        return true;
    if (!answer && !g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
        apply->has_client = false;
    if (g_str_equal(word, "cancel") || !apply->has_client)
        return fail_cancelled(apply, error);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s; %s is as it was",
                g_str_equal(word, "decline") ? "not kept" : "nobody has confirmed it in time", nic);
    return false;
}

static bool run_steps(struct apply *apply, bool confirms, GError **error)
{
    struct operation_context *context = &apply->s->context;
    context->before = before_step;
    context->before_opaque = apply;
    context->confirm = confirms ? confirm : NULL;
    context->confirm_opaque = apply;
    bool good = operation_run(context, (struct operation_step *)apply->steps->data, apply->steps->len, error);
    context->before = NULL;
    context->confirm = NULL;
    return good;
}

static void became_ready(void *opaque, const char *node, double seconds, guint left)
{
    struct apply *apply = opaque;
    JsonObject *event = event_new("ready", NULL);
    json_object_set_string_member(event, "node", node);
    json_object_set_double_member(event, "seconds", seconds);
    json_object_set_int_member(event, "left", left);
    send_event(apply, event);
}

static bool wait_for_machines(struct apply *apply, JsonObject *request, GError **error)
{
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();
    JsonArray *wait =
        json_object_has_member(request, "wait") ? json_object_get_array_member(request, "wait") : NULL;
    for (guint i = 0; wait && i < json_array_get_length(wait); i++)
        g_ptr_array_add(nodes, (char *)json_array_get_string_element(wait, i));
    struct ready_options options = {
        .runtime = apply->s->options->runtime,
        .lab = apply->s->options->lab,
        .timeout_s = (unsigned)channel_number(request, "timeout", 120),
        .cancel_fd = apply->channel->fd,
        .became_ready = became_ready,
        .opaque = apply,
    };
    if (ready_wait(apply->s->store, apply->s->options->lab_id, nodes, &options, error))
        return true;
    if (error && g_error_matches(*error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        is_cancelled(apply); /* takes the request off the line, sees a hang-up */
        apply->is_cancelled = true;
    }
    return false;
}

/* It was unmade, wholly or half: wholly first, and then made again. */
static void make_again(struct apply *apply, const struct operation_step *step, GString *problems)
{
    struct operation_context *context = &apply->s->context;
    struct operation_step steps[] = {*step, *step};
    g_autoptr(GError) error = NULL;
    g_autoptr(store_object) left =
        store_find_object(context->store, context->lab_id, object_kind_name(step->kind), step->key, NULL);
    steps[1].make = true;
    if (!operation_run(context, left ? steps : steps + 1, left ? 2 : 1, &error))
        g_string_append_printf(problems, "%s%s", problems->len ? "; " : "", error->message);
}

/* A TAP that was still to be unmade when the run failed, but went with its machine, which was. */
static bool went_with_machine(const struct operation_step *steps, guint at)
{
    const char *end = steps[at].kind == OBJECT_TAP && !steps[at].make ? strrchr(steps[at].key, ':') : NULL;
    for (guint i = 0; end && i < at; i++) {
        size_t length = (size_t)(end - steps[at].key);
        if (!steps[i].make && steps[i].kind == OBJECT_MACHINE && steps[i].number &&
            strlen(steps[i].key) == length && strncmp(steps[i].key, steps[at].key, length) == 0)
            return true;
    }
    return false;
}

/* Undoes what this run did, last first; what cannot be undone is reported and stays in the store for `down`.
 */
static void roll_back(struct apply *apply, GString *problems)
{
    struct operation_step *steps = (struct operation_step *)apply->steps->data;
    for (guint end = apply->steps->len; end > 0;) {
        guint begin = end - 1;
        while (begin > 0 && steps[begin].make && steps[begin - 1].make)
            begin--;
        for (guint i = end; i-- > begin;) {
            if (!steps[i].number)
                continue;
            g_autofree char *text =
                operation_describe(!steps[i].make, steps[i].kind, steps[i].key, steps[i].payload);
            send_event(apply, event_new("undo", text));
        }
        if (steps[begin].make)
            operation_undo(&apply->s->context, steps + begin, end - begin, problems);
        else if (steps[begin].number || went_with_machine(steps, begin))
            make_again(apply, &steps[begin], problems);
        end = begin;
    }
}

static bool read_steps(JsonObject *request, GArray *steps, GError **error)
{
    JsonArray *list =
        json_object_has_member(request, "steps") ? json_object_get_array_member(request, "steps") : NULL;
    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *item = json_array_get_object_element(list, i);
        struct operation_step step = {.make = channel_flag(item, "make"),
                                      .key = channel_string(item, "key", NULL),
                                      .payload = channel_string(item, "payload", NULL)};
        if (!step.key || !step.payload || !object_kind_parse(channel_string(item, "kind", ""), &step.kind)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "step %u of the request is not understood; is `netlab` of another version than the "
                        "supervisor? Run `netlab down` first",
                        i);
            return false;
        }
        g_array_append_val(steps, step);
    }
    return true;
}

static void close_taps(struct supervisor *s)
{
    GHashTableIter iter;
    gpointer fd;
    g_hash_table_iter_init(&iter, s->context.taps);
    while (g_hash_table_iter_next(&iter, NULL, &fd)) {
        close(GPOINTER_TO_INT(fd));
        g_hash_table_iter_remove(&iter);
    }
}

/* Nobody is left who would clean up a lab that never came up. */
static void give_up_lab(struct supervisor *s)
{
    g_autoptr(GError) error = NULL;
    g_message("the command that brought the lab up is gone: taking the lab away");
    if (!cleanup_lab(&s->context, true, NULL, NULL, &error)) {
        g_warning("%s", error->message);
        return;
    }
    g_autofree char *lock = g_build_filename(s->options->state, "locks", s->options->lab, NULL);
    unlink(lock);
    s->is_done = true;
}

/* The last step: from here on the run stands. It is taken here and not by the command, because a failure of
 * it has to be rolled back like any other. */
static bool complete(struct apply *apply, JsonObject *request, GError **error)
{
    struct supervisor *s = apply->s;
    g_autoptr(GError) cause = NULL;
    fault_point();
    if (store_complete_run(s->store, s->options->lab_id, s->context.run,
                           channel_string(request, "file", NULL), channel_string(request, "source", ""),
                           &cause)) {
        fault_point();
        return true;
    }
    if (g_error_matches(cause, STORE_ERROR, STORE_ERROR_GIVEN_UP)) {
        apply->has_client = false;
        return fail_cancelled(apply, error);
    }
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

static void apply(struct supervisor *s, struct channel *channel, JsonObject *request, pid_t client)
{
    g_autoptr(GArray) steps = g_array_new(FALSE, TRUE, sizeof(struct operation_step));
    g_autoptr(GError) error = NULL;
    struct apply apply = {.s = s, .channel = channel, .steps = steps, .has_client = true};
    /* The lock stays held by this copy of its fd until we are done, whatever becomes of the client. */
    int lock = channel->received_fd;
    channel->received_fd = -1;
    s->context.run = channel_number(request, "run", 0);
    g_free(s->emulator);
    s->emulator = g_strdup(channel_string(request, "emulator", "netlab-emu"));
    s->context.emulator = s->emulator;
    s->context.user = (struct machine_user){.change = channel_flag(request, "change_user"),
                                            .uid = (uid_t)channel_number(request, "uid", 0),
                                            .gid = (gid_t)channel_number(request, "gid", 0)};
    fault_arm(channel_number(request, "crash_at", 0), channel_number(request, "crash_passed", 0),
              channel_string(request, "crash_whom", "self"), client);

    bool good = read_steps(request, steps, &error);
    good = good && run_steps(&apply, channel_flag(request, "confirm"), &error);
    refresh_watches(s, false);
    good = good && wait_for_machines(&apply, request, &error);
    good = good && (!is_cancelled(&apply) || fail_cancelled(&apply, &error));
    good = good && complete(&apply, request, &error);
    if (good) {
        send_event(&apply, event_new("done", NULL));
    } else {
        g_autoptr(GString) problems = g_string_new(NULL);
        roll_back(&apply, problems);
        refresh_watches(s, false);
        JsonObject *event = event_new("failed", NULL);
        json_object_set_string_member(event, "error", error->message);
        json_object_set_boolean_member(event, "cancelled", apply.is_cancelled);
        json_object_set_int_member(event, "crash_passed", fault_passed());
        if (problems->len)
            json_object_set_string_member(event, "residue", problems->str);
        else /* otherwise it stays cut off, for `repair` and `up` */
            store_end_run(s->store, s->context.run, "rolled back", NULL);
        send_event(&apply, event);
    }
    close_taps(s);
    /* The client says what it has seen to the end; if it cannot any more, a lab that did not come up is ours
     * to end. */
    if (channel_flag(request, "new") && !good && !apply.has_client)
        give_up_lab(s);
    fault_arm(0, 0, NULL, 0);
    if (lock >= 0)
        close(lock);
}

/* ---- serving ---- */

static bool is_trusted(const struct supervisor *s, int fd, pid_t *pid)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return false;
    *pid = peer.pid;
    return peer.uid == geteuid() || peer.uid == 0;
}

static void serve(struct supervisor *s)
{
    enum { REQUEST_TIMEOUT_MS = 5000 };
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    pid_t client = 0;
    if (fd < 0)
        return;
    if (!is_trusted(s, fd, &client)) {
        close(fd);
        return;
    }
    struct channel channel;
    channel_init(&channel, fd);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonObject) hello = event_new("hello", NULL);
    json_object_set_string_member(hello, "version", NETLAB_VERSION);
    g_autoptr(JsonObject) request = NULL;
    if (channel_send(&channel, hello, -1, &error))
        request = channel_receive(&channel, REQUEST_TIMEOUT_MS, &error);
    if (request && g_str_equal(channel_string(request, "request", ""), "apply")) {
        apply(s, &channel, request, client);
    } else if (request) {
        g_autoptr(JsonObject) answer = event_new("failed", NULL);
        json_object_set_string_member(
            answer, "error",
            "the supervisor does not know this request; is it of another version? Run `netlab down` first");
        channel_send(&channel, answer, -1, NULL);
    }
    channel_clear(&channel);
}

static void serve_signal(struct supervisor *s)
{
    struct signalfd_siginfo info;
    if (read(s->signals, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT || info.ssi_signo == SIGHUP)
        s->is_done = true;
}

/* Milliseconds until something is to be done unasked; -1: nothing is. */
static int timeout(const struct supervisor *s)
{
    enum { BLIND_MS = 500 };
    int due = s->emulator ? revival_timeout(s->revival) : -1;
    return s->is_blind && (due < 0 || due > BLIND_MS) ? BLIND_MS : due;
}

static void loop(struct supervisor *s)
{
    while (!s->is_done) {
        guint count = s->watches->len;
        g_autofree struct pollfd *fds = g_new0(struct pollfd, count + 2);
        for (guint i = 0; i < count; i++)
            fds[i] = (struct pollfd){.fd = ((struct watch *)s->watches->pdata[i])->pidfd, .events = POLLIN};
        fds[count] = (struct pollfd){.fd = s->signals, .events = POLLIN};
        fds[count + 1] = (struct pollfd){.fd = s->listener, .events = POLLIN};
        if (poll(fds, count + 2, timeout(s)) < 0 && errno != EINTR)
            break;
        for (guint i = count; i-- > 0;) {
            if (!fds[i].revents)
                continue;
            note_end(s, s->watches->pdata[i]);
            g_ptr_array_remove_index(s->watches, i);
        }
        if (fds[count].revents)
            serve_signal(s);
        if (!s->is_done && fds[count + 1].revents)
            serve(s);
        bool is_changed = !s->is_done && s->emulator && revival_run(s->revival, &s->context);
        if (is_changed || (s->is_blind && !s->is_done))
            refresh_watches(s, false);
    }
}

/* ---- beginning and end ---- */

static bool enter_namespaces(const struct supervisor_options *options, GError **error)
{
    if (options->join) {
        int user_fd = -1, net_fd = -1;
        bool good = hostnet_namespace_open_pid(options->join, options->is_rootless ? &user_fd : NULL, &net_fd,
                                               error) &&
                    hostnet_namespace_join(user_fd, net_fd, error);
        if (user_fd >= 0)
            close(user_fd);
        if (net_fd >= 0)
            close(net_fd);
        return good;
    }
    if (options->here)
        return true;
    return hostnet_namespace_unshare(
        (options->is_rootless ? HOSTNET_NAMESPACE_USER : 0) | HOSTNET_NAMESPACE_NET, error);
}

/* TAPs on their way to machines, machines at their gates, and a pidfd each: more than 1024 for a large lab.
 */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool start(struct supervisor *s, GError **error)
{
    const struct supervisor_options *options = s->options;
    g_autofree char *directory = paths_lab_directory(options->runtime, options->lab);
    g_autofree char *socket_path = g_build_filename(directory, "supervisor.sock", NULL);
    sigset_t signals;
    raise_fd_limit();
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signals = signalfd(-1, &signals, SFD_CLOEXEC);
    if (s->signals < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "signalfd: %s", g_strerror(errno));
        return false;
    }
    s->outside = outside_new(error);
    s->host_net = s->outside ? hostnet_open(error) : NULL;
    if (!s->host_net || !enter_namespaces(options, error))
        return false;
    s->net = hostnet_open(error);
    s->store = s->net ? store_open(options->state, error) : NULL;
    if (!s->store ||
        !store_set_lab_netns(s->store, options->lab_id, options->here ? 0 : process_netns(getpid()),
                             !options->here && !options->join, error))
        return false;
    if (!caller_trust_folder(options->runtime, true, "NETLAB_RUNTIME_DIR", error))
        return false;
    s->listener = paths_listen(socket_path);
    if (s->listener < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno), "%s: %s", socket_path,
                    g_strerror(errno));
        return false;
    }
    s->context = (struct operation_context){
        .store = s->store,
        .lab_id = options->lab_id,
        .lab = options->lab,
        .state = options->state,
        .runtime = options->runtime,
        .is_rootless = options->is_rootless,
        .is_own_namespace = !options->here,
        .owner = options->owner,
        .net = s->net,
        .host_net = s->host_net,
        .outside = s->outside,
        .taps = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };
    s->watches = g_ptr_array_new_with_free_func(watch_free);
    s->revival = revival_new();
    refresh_watches(s, true);
    return true;
}

static void report(int fd, const char *text)
{
    if (fd < 0)
        return;
    if (write(fd, text, strlen(text)) < 0)
        g_warning("nobody listens to the supervisor's report: %s", g_strerror(errno));
    close(fd);
}

bool supervisor_run(const struct supervisor_options *options, GError **error)
{
    struct supervisor s = {.options = options, .listener = -1, .signals = -1};
    bool good = start(&s, error);
    report(options->report_fd, good ? "ok\n" : error && *error ? (*error)->message : "unknown reason");
    if (good)
        loop(&s);
    if (s.watches)
        g_ptr_array_unref(s.watches);
    revival_free(s.revival);
    g_free(s.emulator);
    if (s.context.taps) {
        close_taps(&s);
        g_hash_table_unref(s.context.taps);
    }
    if (s.listener >= 0)
        close(s.listener);
    if (s.signals >= 0)
        close(s.signals);
    hostnet_close(s.net);
    hostnet_close(s.host_net);
    store_close(s.store);
    outside_free(s.outside);
    return good;
}
