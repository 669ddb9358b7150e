/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab events`: what has happened to a lab (its journal), and with --follow what happens: new steps of the
 * journal, how nodes' states change, and the events of the machines (QMP). A line each; as JSON for programs.
 */
#include "cli/change.h"
#include "cli/node.h"
#include "netlab/channel.h"
#include "netlab/nic.h"

#include <gio/gio.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { LOOK_MS = 300 };

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"follow", 'f', NULL, "go on with what happens, until Ctrl-C or the lab is taken away"},
    {"new", 'n', NULL, "with --follow: without what has happened before"},
    {"json", 'j', NULL, "print a JSON object an event, a line each"},
    CLI_HELP_OPTION,
};

/* A machine that is listened to. */
struct listener {
    char *node;
    pid_t pid;
    struct nic_events *events; /* NULL: it cannot be listened to, or has ended */
};

struct watch {
    struct cli_node *lab;
    bool is_json;
    int64_t last_step;
    GPtrArray *listeners; /* struct listener * */
    GHashTable *states;   /* node → "running 1234" */
};

static void listener_free(void *data)
{
    struct listener *listener = data;
    nic_events_free(listener->events);
    g_free(listener->node);
    g_free(listener);
}

/* ---- a line each ---- */

static void print_event(const struct watch *watch, int64_t at_ms, const char *source, const char *node,
                        const char *what, JsonObject *details)
{
    g_autoptr(JsonObject) object = details ? json_object_ref(details) : json_object_new();
    if (watch->is_json) {
        g_autoptr(JsonObject) line = json_object_new();
        json_object_set_int_member(line, "at_ms", at_ms);
        json_object_set_string_member(line, "lab", watch->lab->status->name);
        json_object_set_string_member(line, "source", source);
        if (node)
            json_object_set_string_member(line, "node", node);
        json_object_set_string_member(line, "event", what);
        if (details)
            json_object_set_object_member(line, "data", json_object_ref(object));
        g_autoptr(JsonNode) root = json_node_alloc();
        json_node_init_object(root, line);
        g_autofree char *text = json_to_string(root, FALSE);
        printf("%s\n", text);
        return;
    }
    g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(at_ms / 1000);
    g_autoptr(GDateTime) local = utc ? g_date_time_to_local(utc) : NULL;
    g_autofree char *clock = local ? g_date_time_format(local, "%F %H:%M:%S") : g_strdup("?");
    g_autoptr(GString) more = g_string_new(NULL);
    g_autoptr(GList) names = json_object_get_members(object);
    for (GList *each = names; each; each = each->next) {
        g_autofree char *text = json_to_string(json_object_get_member(object, each->data), FALSE);
        g_string_append_printf(more, " %s=%s", (char *)each->data, text);
    }
    g_autofree char *plain = cli_printable(what), *rest = cli_printable(more->str);
    printf("%s.%03d  %-8s %-10s %s%s\n", clock, (int)(at_ms % 1000), source, node ? node : "", plain, rest);
}

static int64_t now_ms(void)
{
    return g_get_real_time() / 1000;
}

/* ---- the journal ---- */

static bool tell_steps(struct watch *watch, bool is_silent, GError **error)
{
    g_autoptr(GPtrArray) steps = store_list_steps(watch->lab->store, watch->lab->lab->id, error);
    if (!steps)
        return false;
    for (guint i = 0; i < steps->len; i++) {
        const struct store_step *step = steps->pdata[i];
        /* One that is under way is told when it has its outcome. */
        if (step->id <= watch->last_step)
            continue;
        if (g_str_equal(step->state, "intent") && i + 1 == steps->len)
            break;
        watch->last_step = step->id;
        if (is_silent)
            continue;
        g_autoptr(JsonObject) details = json_object_new();
        g_autofree char *what = g_strdup_printf("%s %s", step->make ? "make" : "unmake", step->kind);
        bool is_node = g_str_equal(step->kind, "machine") || g_str_equal(step->kind, "stopped") ||
                       g_str_equal(step->kind, "policy");
        json_object_set_string_member(details, "run", step->verb);
        if (*step->key)
            json_object_set_string_member(details, "key", step->key);
        json_object_set_string_member(details, "outcome", step->state);
        if (step->error)
            json_object_set_string_member(details, "error", step->error);
        print_event(watch, step->at, "journal", is_node ? step->key : NULL, what, details);
    }
    return true;
}

/* ---- states ---- */

static struct listener *find_listener(struct watch *watch, const char *node)
{
    for (guint i = 0; i < watch->listeners->len; i++) {
        struct listener *listener = watch->listeners->pdata[i];
        if (g_str_equal(listener->node, node))
            return listener;
    }
    struct listener *listener = g_new0(struct listener, 1);
    listener->node = g_strdup(node);
    g_ptr_array_add(watch->listeners, listener);
    return listener;
}

static void look_at_node(struct watch *watch, const struct lab_node_status *node, bool is_silent)
{
    struct listener *listener = find_listener(watch, node->name);
    if (node->pid != listener->pid) {
        g_clear_pointer(&listener->events, nic_events_free);
        listener->pid = node->pid;
    }
    if (node->pid && !listener->events)
        listener->events = nic_events_new(node->directory, NULL);
    char *state = g_strdup_printf("%s %d", lab_node_state_name(node->state), node->pid);
    const char *before = g_hash_table_lookup(watch->states, node->name);
    if (g_strcmp0(before, state) == 0) {
        g_free(state);
        return;
    }
    g_hash_table_insert(watch->states, g_strdup(node->name), state);
    if (is_silent)
        return;
    g_autoptr(JsonObject) details = json_object_new();
    if (node->pid)
        json_object_set_int_member(details, "pid", node->pid);
    if (*node->note)
        json_object_set_string_member(details, "note", node->note);
    print_event(watch, now_ms(), "node", node->name, lab_node_state_name(node->state), details);
}

/* False: the lab is gone, or the store cannot be read. */
static bool look(struct watch *watch, bool is_silent, GError **error)
{
    struct cli_node *lab = watch->lab;
    g_autoptr(store_lab) found = store_find_lab(lab->store, lab->lab->name, error);
    struct lab_status *status =
        found && found->id == lab->lab->id ? lab_status_read(&lab->place, lab->store, found, error) : NULL;
    if (!status)
        return false;
    lab_status_free(lab->status);
    lab->status = status;
    for (guint i = 0; i < status->nodes->len; i++)
        look_at_node(watch, status->nodes->pdata[i], is_silent);
    return true;
}

/* ---- machines ---- */

static void hear(struct watch *watch, struct listener *listener)
{
    for (;;) {
        JsonObject *event = NULL;
        if (!nic_events_next(listener->events, &event)) {
            g_clear_pointer(&listener->events, nic_events_free);
            return;
        }
        if (!event)
            return;
        JsonNode *stamp = json_object_get_member(event, "timestamp"),
                 *data = json_object_get_member(event, "data");
        JsonObject *time = stamp && JSON_NODE_HOLDS_OBJECT(stamp) ? json_node_get_object(stamp) : NULL;
        int64_t at =
            channel_number(time, "seconds", 0) * 1000 + channel_number(time, "microseconds", 0) / 1000;
        print_event(watch, time ? at : now_ms(), "machine", listener->node,
                    channel_string(event, "event", "?"),
                    data && JSON_NODE_HOLDS_OBJECT(data) ? json_node_get_object(data) : NULL);
        json_object_unref(event);
    }
}

static bool follow(struct watch *watch, int cancel_fd, GError **error)
{
    while (fflush(stdout) == 0) {
        guint count = watch->listeners->len;
        g_autofree struct pollfd *fds = g_new0(struct pollfd, count + 2);
        for (guint i = 0; i < count; i++) {
            struct listener *listener = watch->listeners->pdata[i];
            fds[i] = (struct pollfd){.fd = listener->events ? nic_events_fd(listener->events) : -1,
                                     .events = POLLIN};
        }
        fds[count] = (struct pollfd){.fd = cancel_fd, .events = POLLIN};
        fds[count + 1] = (struct pollfd){.fd = 1}; /* hangs up: nobody reads */
        poll(fds, count + 2, LOOK_MS);
        if (fds[count].revents || fds[count + 1].revents & (POLLERR | POLLHUP))
            return true;
        for (guint i = 0; i < count; i++)
            if (fds[i].revents)
                hear(watch, watch->listeners->pdata[i]);
        GError *cause = NULL;
        if (!tell_steps(watch, false, &cause) || !look(watch, false, &cause)) {
            if (cause) {
                g_propagate_error(error, cause);
                return false;
            }
            print_event(watch, now_ms(), "lab", NULL, "gone", NULL);
            return true;
        }
    }
    return true;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_node lab;
    struct watch watch = {.lab = &lab,
                          .is_json = cli_flag(call, "json"),
                          .listeners = g_ptr_array_new_with_free_func(listener_free),
                          .states = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};
    if (cli_flag(call, "new") && !cli_flag(call, "follow"))
        return cli_misuse(call, "--new alone would print nothing; it goes with --follow");
    bool good = cli_node_find_lab(call, &lab, &error) && tell_steps(&watch, cli_flag(call, "new"), &error);
    if (good && cli_flag(call, "follow"))
        good = look(&watch, cli_flag(call, "new"), &error) && follow(&watch, cli_cancel_fd(), &error);
    int status = good || !error ? CLI_OK : cli_fail(error);
    g_ptr_array_unref(watch.listeners);
    g_hash_table_unref(watch.states);
    cli_node_clear(&lab);
    return status;
}

const struct cli_verb verb_events = {
    .name = "events",
    .arguments = "",
    .summary = "tell what has happened to a lab, and what happens",
    .description = "Prints the lab's journal, a line a step. With --follow it goes on: new steps, nodes that "
                   "start, end or are "
                   "stopped, and what the machines say (SHUTDOWN, RESET, STOP, RESUME, DEVICE_DELETED …), "
                   "until Ctrl-C or the "
                   "lab is taken away. With --json each line is an object: at_ms, lab, source (journal, "
                   "node, machine, lab), "
                   "node, event, data.",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .examples = CLI_EXAMPLES({"netlab events --follow --new", "what happens from now on"}),
    .run = run,
};
