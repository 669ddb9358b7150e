/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab copy ACTION CLASS STUDENT`: works on one copy of a class (class.h) and says what it does on
 * standard output, a line of JSON each: {"step": …}, {"note": …}, {"error": …}, {"changed": true},
 * {"result": {…}}. `save` takes the folder in which the student's is made, and the nodes. Not for people.
 */
#include "cli/change.h"
#include "cli/class.h"
#include "cli/save.h"
#include "netlab/fault.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"timeout", 0, "SECONDS", "for its machines to become ready"},
    {"graceful", 0, "SECONDS", "for its guests to power off"},
    {"rootless", 0, NULL, "in a user namespace"},
    {"no-rootless", 0, NULL, "as rights are"},
};

struct copy {
    struct lab_place place;
    struct store *store;
    struct store_class *class;
    struct store_member *member;
};

static void say(const char *key, const char *text)
{
    g_autoptr(JsonObject) object = json_object_new();
    json_object_set_string_member(object, key, text);
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), object);
    g_autofree char *line = json_to_string(node, FALSE);
    printf("%s\n", line);
    fflush(stdout);
}

static void tell(void *opaque, enum lab_event event, unsigned index, unsigned count, double seconds,
                 const char *text)
{
    g_autofree char *step = NULL;
    if (event == LAB_NOTE)
        say("note", text);
    if (event == LAB_STEP)
        step = g_strdup_printf("[%u/%u] %s", index, count, text);
    else if (event == LAB_UNDO)
        step = g_strdup(text);
    else if (event == LAB_WAIT || (event == LAB_READY && count))
        step = g_strdup_printf("waiting for %u machine%s", count, count == 1 ? "" : "s");
    if (step)
        say("step", step);
}

static bool find(struct copy *copy, const char *class, const char *student, GError **error)
{
    lab_place_find(&copy->place);
    copy->store = store_open(copy->place.state, error);
    g_autoptr(GPtrArray) classes = copy->store ? store_list_classes(copy->store, error) : NULL;
    for (guint i = 0; classes && i < classes->len && !copy->class; i++)
        if (((struct store_class *)classes->pdata[i])->id == g_ascii_strtoll(class, NULL, 10))
            copy->class = g_ptr_array_steal_index(classes, i);
    g_autoptr(GPtrArray) members =
        copy->class ? store_list_members(copy->store, copy->class->id, error) : NULL;
    for (guint i = 0; members && i < members->len && !copy->member; i++)
        if (g_str_equal(((struct store_member *)members->pdata[i])->student, student))
            copy->member = g_ptr_array_steal_index(members, i);
    if (!copy->member && (!error || !*error))
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "student %s is not in this class any more", student);
    return copy->member != NULL;
}

static bool bring_up(struct copy *copy, const struct cli_call *call, unsigned timeout, GError **error)
{
    topology_auto struct topology *topology = class_load_copy(copy->class, copy->member, error);
    if (!topology)
        return false;
    struct lab_up_options up = {.place = &copy->place,
                                .topology = topology,
                                .shown_file = copy->class->file,
                                .choice = {.action = LAB_START},
                                .rootless = cli_flag(call, "rootless"),
                                .timeout_s = timeout,
                                .cancel_fd = cli_cancel_fd(),
                                .progress = {tell, NULL}};
    enum lab_up_result result = LAB_UP_NOTHING_TO_DO;
    bool good = lab_up(&up, &result, error);
    close(up.cancel_fd);
    if (good && result == LAB_UP_DONE)
        printf("{\"changed\":true}\n");
    return good;
}

static void tell_saved(void *opaque, JsonObject *result)
{
    g_autofree char *step = g_strdup_printf("saved %s", json_object_get_string_member(result, "node"));
    g_autoptr(JsonObject) object = json_object_new();
    json_object_set_object_member(object, "result", json_object_ref(result));
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), object);
    g_autofree char *line = json_to_string(node, FALSE);
    printf("%s\n", line);
    say("step", step);
}

static bool save(struct copy *copy, const struct cli_call *call, GError **error)
{
    g_autofree char *folder = g_build_filename(cli_argument(call, 3), copy->member->student, NULL);
    g_autoptr(store_lab) lab = store_find_lab(copy->store, copy->member->lab, error);
    struct cli_node node = {.status = lab ? lab_status_read(&copy->place, copy->store, lab, error) : NULL};
    if (!lab && error && !*error)
        g_set_error_literal(error, LAB_ERROR, LAB_ERROR_NOT_UP, "its copy is not up");
    g_autoptr(GPtrArray) nodes = node.status ? cli_node_choose(&node, cli_argument(call, 4), error) : NULL;
    int cancel_fd = cli_cancel_fd();
    bool good = nodes && cli_save_nodes(&node, nodes, folder, cancel_fd, tell_saved, NULL, error);
    close(cancel_fd);
    lab_status_free(node.status);
    return good;
}

static bool act(struct copy *copy, const struct cli_call *call, unsigned timeout, unsigned graceful,
                GError **error)
{
    const char *action = cli_argument(call, 0);
    struct lab_down_options down = {
        .place = &copy->place, .lab = copy->member->lab, .graceful_s = graceful, .progress = {tell, NULL}};
    GError *cause = NULL;
    if (g_str_equal(action, "up"))
        return bring_up(copy, call, timeout, error);
    if (g_str_equal(action, "save"))
        return save(copy, call, error);
    if (g_str_equal(action, "down")) {
        bool good = class_take_down(&down, copy->class, error);
        if (good)
            printf("{\"changed\":true}\n");
        return good;
    }
    if (lab_down(&down, &cause) || g_error_matches(cause, LAB_ERROR, LAB_ERROR_NOT_UP)) {
        g_clear_error(&cause);
        return bring_up(copy, call, timeout, error);
    }
    g_propagate_error(error, cause);
    return false;
}

static int run(struct cli_call *call)
{
    unsigned timeout = 300, graceful = 0;
    struct copy copy = {0};
    g_autoptr(GError) error = NULL;
    if (!cli_number(call, "timeout", 0, 86400, &timeout) || !cli_number(call, "graceful", 0, 3600, &graceful))
        return CLI_USAGE;
    fault_arm_from_environment();
    signal(SIGPIPE, SIG_IGN);
    int status = CLI_OK;
    if (!find(&copy, cli_argument(call, 1), cli_argument(call, 2), &error) ||
        !act(&copy, call, timeout, graceful, &error)) {
        say("error", error->message);
        status = cli_status_of(error);
    }
    store_member_free(copy.member);
    store_class_free(copy.class);
    store_close(copy.store);
    lab_place_clear(&copy.place);
    return status;
}

const struct cli_verb verb_copy = {
    .name = "copy",
    .arguments = "ACTION CLASS STUDENT [FOLDER [NODES]]",
    .summary = "work on one copy of a class",
    .description = "",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .least = 3,
    .most = 5,
    .is_hidden = true,
    .run = run,
};
