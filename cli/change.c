/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Changes of a lab as commands see them; see change.h.
 */
#include "cli/change.h"
#include "cli/progress.h"
#include "netlab/fault.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

bool cli_is_path(const char *word)
{
    if (strchr(word, '/') || g_str_equal(word, ".") || g_str_equal(word, "..") ||
        g_str_has_suffix(word, ".yml") || g_str_has_suffix(word, ".yaml"))
        return true;
    if (g_file_test(word, G_FILE_TEST_IS_DIR)) {
        g_autofree char *inside = g_build_filename(word, "topology.yml", NULL);
        return access(inside, F_OK) == 0;
    }
    return access(word, F_OK) == 0;
}

int cli_cancel_fd(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

char *cli_change_find_lab(const struct cli_call *call, char **file, char **source, GError **error)
{
    struct lab_place place;
    lab_place_find(&place);
    g_autoptr(store) store = store_open(place.state, error);
    g_autoptr(store_lab) lab = store ? lab_select(store, cli_value(call, "lab"), NULL, error) : NULL;
    lab_place_clear(&place);
    if (!lab)
        return NULL;
    if (file)
        *file = g_strdup(lab->file);
    if (source)
        *source = g_strdup(lab->source);
    return g_strdup(lab->name);
}

enum lab_answer cli_confirm(const char *nic, unsigned seconds, int cancel_fd)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
    char answer[256];
    printf("%s is bridged. Press ENTER within %u s to keep it so; otherwise it is put back.\n", nic, seconds);
    fflush(stdout);
    int ready;
    do {
        gint64 left = (deadline - g_get_monotonic_time()) / 1000;
        ready = poll(fds, 2, (int)MAX(left, 0));
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0)
        return LAB_NO_ANSWER;
    if (fds[1].revents)
        return LAB_CANCEL;
    bool is_kept = read(STDIN_FILENO, answer, sizeof answer) > 0 && (answer[0] == '\n' || answer[0] == '\r');
    return is_kept ? LAB_KEEP : LAB_DECLINE;
}

/* ---- the outcome ---- */

static const char *name_of(const struct lab_up_options *change)
{
    return change->topology ? change->topology->name : change->lab;
}

static void print_json(const struct lab_up_options *change, enum lab_up_result result,
                       const struct cli_progress *progress)
{
    static const char *const words[] = {
        [LAB_UP_NOTHING_TO_DO] = "nothing-to-do", [LAB_UP_PLANNED] = "planned", [LAB_UP_DONE] = "done"};
    JsonObject *object = json_object_new();
    JsonArray *steps = json_array_new();
    json_object_set_string_member(object, "lab", name_of(change));
    json_object_set_string_member(object, "result", words[result]);
    for (guint i = 0; i < progress->steps->len; i++)
        json_array_add_string_element(steps, progress->steps->pdata[i]);
    json_object_set_array_member(object, "steps", steps);
    JsonNode *node = json_node_alloc();
    json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), object);
    cli_print_json(node);
}

static unsigned count_segments(const struct topology *topology, enum topology_network_kind kind)
{
    unsigned count = 0;
    for (guint i = 0; i < topology->networks->len; i++)
        count += ((struct topology_network *)topology->networks->pdata[i])->kind == kind;
    return count;
}

static void print_up(const struct lab_up_options *change, unsigned stopped)
{
    const struct topology *topology = change->topology;
    unsigned nodes = topology->nodes->len, networks = count_segments(topology, TOPOLOGY_SEGMENT),
             links = count_segments(topology, TOPOLOGY_LINK);
    printf("lab %s is up: ", topology->name);
    if (stopped)
        printf("%u of ", nodes - stopped);
    printf("%u machine%s, %u network%s, %u link%s", nodes, nodes == 1 ? "" : "s", networks,
           networks == 1 ? "" : "s", links, links == 1 ? "" : "s");
}

static void print_names(const struct choice *choice)
{
    for (unsigned i = 0; i < choice->node_count; i++)
        printf("%s%s", i ? ", " : "", choice->nodes[i]);
    if (!choice->node_count)
        printf("all machines");
}

static void print_result(const struct lab_up_options *change, enum lab_up_result result, unsigned stopped,
                         gint64 started)
{
    const struct choice *choice = &change->choice;
    bool is_one = choice->node_count == 1;
    if (result == LAB_UP_PLANNED) {
        printf("nothing was done (--dry-run)\n");
        return;
    }
    if (result == LAB_UP_NOTHING_TO_DO) {
        if (choice->action == LAB_STOP) {
            print_names(choice);
            printf(" %s stopped already, nothing to do\n", is_one ? "is" : "are");
        } else if (choice->action == LAB_RESTART) {
            printf("no machine of lab %s is to run, nothing to do\n", name_of(change));
        } else {
            printf("lab %s is already up, nothing to do\n", name_of(change));
        }
        return;
    }
    if (choice->action == LAB_START) {
        print_up(change, stopped);
    } else {
        printf("lab %s: ", name_of(change));
        print_names(choice);
        printf(choice->action == LAB_STOP ? " stopped" : " restarted");
    }
    printf(" (%.1f s)\n", (double)(g_get_monotonic_time() - started) / G_USEC_PER_SEC);
}

/* For `up --confirm`. */
static enum lab_answer ask(void *opaque, const char *nic, unsigned seconds)
{
    struct cli_progress *progress = opaque;
    cli_progress_end(progress);
    int cancel = cli_cancel_fd();
    enum lab_answer answer = cli_confirm(nic, seconds, cancel);
    close(cancel);
    return answer;
}

int cli_change_run(const struct cli_call *call, struct lab_up_options *change)
{
    bool json = cli_flag(call, "json"), quiet = cli_flag(call, "quiet");
    gint64 started = g_get_monotonic_time();
    g_autoptr(GError) error = NULL;
    struct lab_place place;
    struct cli_progress progress;
    unsigned stopped = 0;
    fault_arm_from_environment();
    lab_place_find(&place);
    change->dry_run = cli_flag(call, "dry-run");
    cli_progress_init(&progress, quiet || json, cli_flag(call, "verbose") || change->dry_run);
    change->place = &place;
    change->cancel_fd = cli_cancel_fd();
    change->stopped = &stopped;
    change->progress = (struct lab_progress){cli_progress_tell, &progress};
    change->confirm = cli_flag(call, "confirm") ? ask : NULL;
    enum lab_up_result result = LAB_UP_NOTHING_TO_DO;
    bool good = lab_up(change, &result, &error);
    cli_progress_end(&progress);
    int status = CLI_OK;
    if (!good) {
        status = cli_fail(error);
        cli_progress_print_undone(&progress);
    } else if (json) {
        print_json(change, result, &progress);
    } else if (!quiet) {
        print_result(change, result, stopped, started);
    }
    cli_progress_clear(&progress);
    close(change->cancel_fd);
    lab_place_clear(&place);
    if (g_getenv("NETLAB_CRASH_REPORT"))
        fprintf(stderr, "crash points: %ld\n", fault_passed());
    return status;
}
