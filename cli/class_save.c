/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab save --for`: the nodes of all copies, into FOLDER/STUDENT/NODE. A process for each copy does it
 * (class.h), for files are made with the rights of who called, which are a process's and not a thread's.
 */
#include "cli/class.h"
#include "cli/save.h"

#include <stdio.h>

/* A copy's results with whose they are; or why there are none. */
static void add_results(JsonArray *out, const struct cli_job *job)
{
    guint count = job->results ? json_array_get_length(job->results) : 0;
    for (guint i = 0; i < MAX(count, 1); i++) {
        JsonObject *result =
            count ? json_object_ref(json_array_get_object_element(job->results, i)) : json_object_new();
        json_object_set_string_member(result, "student", job->member->student);
        json_object_set_string_member(result, "lab", job->member->lab);
        if (!count) {
            json_object_set_null_member(result, "node");
            json_object_set_string_member(result, "error", job->error ? job->error : "not begun");
        }
        json_array_add_object_element(out, result);
    }
}

static void print(const struct cli_crew *crew, bool is_json)
{
    JsonArray *out = json_array_new();
    for (guint i = 0; i < crew->jobs->len; i++) {
        const struct cli_job *job = crew->jobs->pdata[i];
        for (guint k = 0; !is_json && job->results && k < json_array_get_length(job->results); k++) {
            JsonObject *result = json_array_get_object_element(job->results, k);
            const char *why = json_object_get_string_member_with_default(result, "error", "");
            /* The copy's own error, that of its first node, was printed when it ended. */
            if (g_strcmp0(why, job->error) != 0)
                cli_save_print(job->member->student, result);
        }
        add_results(out, job);
    }
    if (is_json) {
        JsonNode *node = json_node_alloc();
        cli_print_json(json_node_init_array(node, out));
    }
    json_array_unref(out);
}

int cli_class_save(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_class class;
    if (!cli_class_find(call, cli_value(call, "students"), &class, &error)) {
        cli_class_clear(&class);
        return cli_fail(error);
    }
    g_autofree char *default_folder = g_strdup_printf("saved-%s", class.class->lab);
    const char *const words[] = {cli_value(call, "output") ? cli_value(call, "output") : default_folder,
                                 cli_argument(call, 0), NULL};
    struct cli_crew *crew = cli_crew_new(call, class.class->id);
    crew->words = words;
    /* No events: what --json prints is one list, as of a single lab. */
    crew->is_quiet = crew->is_quiet || crew->is_json;
    crew->is_json = false;
    for (guint i = 0; i < class.members->len; i++)
        cli_crew_add(crew, class.members->pdata[i], "save");
    int status = CLI_USAGE;
    if (cli_crew_run(crew)) {
        print(crew, cli_flag(call, "json"));
        if (crew->is_interrupted)
            fprintf(stderr, "netlab: interrupted; %u %s not begun\n", crew->skipped,
                    crew->skipped == 1 ? "copy was" : "copies were");
        status = crew->is_interrupted ? CLI_INTERRUPTED : crew->status;
    }
    cli_crew_free(crew);
    cli_class_clear(&class);
    return status;
}
