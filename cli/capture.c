/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab capture`: what passes at NICs, as lines, or as pcapng for Wireshark and its kin.
 */
#include "cli/change.h"
#include "cli/node.h"
#include "netlab/caller.h"
#include "netlab/capture.h"
#include "netlab/capture_filter.h"
#include "netlab/frame_text.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A machine hands its frames over within a few ms, on a busy computer later. Into a file nobody waits for
 * them. */
enum { LIVE_MS = 30, FILE_MS = 500 };

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"write", 'w', "FILE", "write pcapng to this file, or to standard output (-)"},
    {"filter", 'f', "FILTER", "only frames that match (pcap-filter(7)); also as words after the NICs"},
    {"count", 'c', "NUMBER", "end after so many frames"},
    {"snap", 's', "BYTES", "keep only so many bytes of each frame"},
    {"json", 'j', NULL, "print a JSON object a frame, a line each"},
    {"quiet", 'q', NULL, "no report at the end"},
    CLI_HELP_OPTION,
};

struct show {
    GArray *nics;     /* struct capture_nic */
    GPtrArray *names; /* "h1:eth0" */
    GPtrArray *about; /* "52:54:…, 10.1.0.1/24, lan" */
    const char *filter;
    unsigned most;
    guint64 frames;
    int fd; /* pcapng goes there; -1: lines */
    bool is_json, has_failed;
    GByteArray *out;
    int name_width;
    uint64_t began;
};

/* ---- which NICs ---- */

static bool add_nics(struct show *show, const struct lab_node_status *node, const char *pattern)
{
    bool any = false;
    for (guint i = 0; i < node->nics->len; i++) {
        const struct lab_nic_status *nic = node->nics->pdata[i];
        if (!g_pattern_match_simple(pattern, nic->interface))
            continue;
        any = true;
        g_autofree char *name = g_strdup_printf("%s:%s", node->name, nic->interface);
        if (g_ptr_array_find_with_equal_func(show->names, name, g_str_equal, NULL))
            continue;
        struct capture_nic item = {.node = node->name, .directory = node->directory, .index = i};
        g_array_append_val(show->nics, item);
        show->name_width = MAX(show->name_width, (int)strlen(name));
        g_ptr_array_add(show->about, g_strdup_printf("%s%s%s, %s", nic->mac, nic->address ? ", " : "",
                                                     nic->address ? nic->address : "", nic->network));
        g_ptr_array_add(show->names, g_steal_pointer(&name));
    }
    return any;
}

/* Is this word NICs of a node, and not the filter's first? */
static bool is_nic_word(const struct lab_status *status, const char *word)
{
    const char *colon = strchr(word, ':');
    g_autofree char *name = colon ? g_strndup(word, (gsize)(colon - word)) : g_strdup(word);
    for (guint i = 0; i < status->nodes->len; i++)
        if (g_pattern_match_simple(name, ((struct lab_node_status *)status->nodes->pdata[i])->name))
            return true;
    return false;
}

static bool add_word(struct cli_node *lab, struct show *show, const char *word, GError **error)
{
    const char *colon = strchr(word, ':');
    g_autofree char *name = colon ? g_strndup(word, (gsize)(colon - word)) : g_strdup(word);
    g_autoptr(GPtrArray) nodes = cli_node_choose(lab, name, error);
    bool any = false, is_pattern = cli_node_is_pattern(name);
    for (guint i = 0; nodes && i < nodes->len; i++) {
        lab->node = nodes->pdata[i];
        if (!cli_node_require_running(lab, is_pattern ? NULL : error)) {
            if (!is_pattern)
                return false;
            continue;
        }
        any |= add_nics(show, lab->node, colon ? colon + 1 : "*");
    }
    if (!any && nodes)
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP,
                    "there is no NIC %s that runs (`netlab inspect` lists them)", word);
    return any;
}

/* The words after the NICs are the filter. */
static bool read_words(struct cli_call *call, struct cli_node *lab, struct show *show, char **filter,
                       GError **error)
{
    guint i = 0;
    for (; cli_argument(call, i) && (i == 0 || is_nic_word(lab->status, cli_argument(call, i))); i++)
        if (!add_word(lab, show, cli_argument(call, i), error))
            return false;
    g_autoptr(GString) words = g_string_new(cli_value(call, "filter"));
    for (; cli_argument(call, i); i++)
        g_string_append_printf(words, "%s%s", words->len ? " " : "", cli_argument(call, i));
    *filter = words->len ? g_strdup(words->str) : NULL;
    return true;
}

/* ---- showing ---- */

static void print_json_line(struct show *show, unsigned nic, const struct pcapng_frame *frame,
                            const char *text)
{
    g_autoptr(JsonObject) object = json_object_new();
    json_object_set_string_member(object, "nic", show->names->pdata[nic]);
    json_object_set_int_member(object, "time_ns", (gint64)frame->time);
    json_object_set_string_member(object, "direction", frame->outbound ? "out" : "in");
    json_object_set_int_member(object, "length", frame->length);
    json_object_set_string_member(object, "text", text);
    if (frame->lost)
        json_object_set_int_member(object, "lost_before", (gint64)frame->lost);
    g_autoptr(JsonNode) node = json_node_alloc();
    json_node_init_object(node, object);
    g_autofree char *line = json_to_string(node, FALSE);
    printf("%s\n", line);
}

static void print_line(struct show *show, unsigned nic, const struct pcapng_frame *frame)
{
    g_autoptr(GString) text = g_string_new(NULL);
    frame_text_add(text, frame->data, frame->captured, frame->length);
    if (show->is_json) {
        print_json_line(show, nic, frame, text->str);
        return;
    }
    time_t seconds = (time_t)(frame->time / 1000000000u);
    struct tm local;
    char clock[16] = "?";
    if (localtime_r(&seconds, &local))
        strftime(clock, sizeof clock, "%H:%M:%S", &local);
    if (frame->lost)
        printf("(%" G_GUINT64_FORMAT " frames were lost here)\n", frame->lost);
    printf("%s.%06u %-*s %s %s\n", clock, (unsigned)(frame->time % 1000000000u / 1000), show->name_width,
           (char *)show->names->pdata[nic], frame->outbound ? "out" : "in ", text->str);
}

static bool take(void *opaque, unsigned nic, const struct pcapng_frame *frame)
{
    struct show *show = opaque;
    show->frames++;
    if (show->fd >= 0)
        pcapng_add_frame(show->out, nic, frame);
    else
        print_line(show, nic, frame);
    return true;
}

static bool flush(void *opaque)
{
    struct show *show = opaque;
    if (show->fd < 0)
        return fflush(stdout) == 0;
    guint done = 0;
    while (done < show->out->len) {
        ssize_t put = write(show->fd, show->out->data + done, show->out->len - done);
        if (put < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (put <= 0) {
            show->has_failed = errno != EPIPE; /* who reads has seen enough */
            if (show->has_failed)
                fprintf(stderr, "netlab: writing the capture: %s\n", g_strerror(errno));
            g_byte_array_set_size(show->out, 0);
            return false;
        }
        done += (guint)put;
    }
    g_byte_array_set_size(show->out, 0);
    return true;
}

static void note(void *opaque, const char *text)
{
    g_autofree char *plain = cli_printable(text);
    fprintf(stderr, "netlab: %s\n", plain);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void write_headers(struct show *show, const struct lab_status *status)
{
    g_autofree char *lab = g_strdup_printf("lab %s (%s)", status->name, status->file);
    pcapng_add_section(show->out, "netlab " NETLAB_VERSION, lab);
    for (guint i = 0; i < show->nics->len; i++) {
        struct pcapng_interface interface = {.name = show->names->pdata[i],
                                             .description = show->about->pdata[i],
                                             .comment = lab,
                                             .filter = show->filter,
                                             .most = show->most ? show->most : PCAPNG_FRAME_MOST};
        pcapng_add_interface(show->out, &interface);
    }
}

static void write_statistics(struct show *show)
{
    for (guint i = 0; i < show->nics->len; i++) {
        const struct capture_nic *nic = &g_array_index(show->nics, struct capture_nic, i);
        struct pcapng_statistics statistics = {.began = show->began,
                                               .ended = now_ns(),
                                               .received = nic->received + nic->lost,
                                               .accepted = nic->accepted,
                                               .lost = nic->lost};
        pcapng_add_statistics(show->out, i, &statistics);
    }
    flush(show);
}

static void report(const struct show *show, const char *file)
{
    uint64_t lost = 0;
    for (guint i = 0; i < show->nics->len; i++)
        lost += g_array_index(show->nics, struct capture_nic, i).lost;
    fprintf(stderr, "%" G_GUINT64_FORMAT " frames%s%s, %" G_GUINT64_FORMAT " lost for want of room\n",
            show->frames, file ? " in " : "", file ? file : "", lost);
}

static int capture(struct cli_call *call, struct cli_node *lab, struct show *show, unsigned count)
{
    const char *file = cli_value(call, "write");
    g_autoptr(GError) error = NULL;
    if (file && g_str_equal(file, "-") && isatty(STDOUT_FILENO))
        return cli_misuse(
            call,
            "-w - writes pcapng, which is not for terminals: netlab capture … -w - | wireshark -k -i -");
    if (show->filter) { /* before anything is made */
        struct capture_filter *filter = capture_filter_new(show->filter, &error);
        if (!filter)
            return cli_fail(error);
        capture_filter_free(filter);
    }
    struct caller_scope scope = {.is_in = false};
    if (file && !caller_scope_enter(&scope, &error))
        return cli_fail(error);
    if (file)
        show->fd = g_str_equal(file, "-") ? STDOUT_FILENO
                                          : open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int cause = errno;
    caller_scope_leave(&scope);
    if (file && show->fd < 0) {
        fprintf(stderr, "netlab: %s: %s\n", file, g_strerror(cause));
        return CLI_FAILED;
    }
    signal(SIGPIPE, SIG_IGN);
    show->began = now_ns();
    struct capture_spec spec = {.nics = (struct capture_nic *)show->nics->data,
                                .nic_count = show->nics->len,
                                .filter = show->filter,
                                .most = show->most,
                                .wait_ms = show->fd > STDERR_FILENO ? FILE_MS : LIVE_MS,
                                .count = count,
                                .cancel_fd = cli_cancel_fd(),
                                .output = show->fd == STDOUT_FILENO || !file ? STDOUT_FILENO : -1,
                                .take = take,
                                .flush = flush,
                                .note = note,
                                .opaque = show};
    if (show->fd >= 0)
        write_headers(show, lab->status);
    if (show->fd < 0 && isatty(STDERR_FILENO) && !cli_flag(call, "quiet"))
        fprintf(
            stderr,
            "Capturing at %u NICs; Ctrl-C ends it. In Wireshark: netlab capture … -w - | wireshark -k -i -\n",
            show->nics->len);
    bool good = (show->fd < 0 || flush(show)) && capture_run(&spec, &error);
    if (good && show->fd >= 0)
        write_statistics(show);
    if (show->fd > STDERR_FILENO && close(show->fd) != 0)
        show->has_failed = true;
    if (error)
        return cli_fail(error);
    if (!cli_flag(call, "quiet"))
        report(show, file && !g_str_equal(file, "-") ? file : NULL);
    return show->has_failed ? CLI_FAILED : CLI_OK;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *filter = NULL;
    struct cli_node lab;
    unsigned count = 0;
    struct show show = {.nics = g_array_new(FALSE, TRUE, sizeof(struct capture_nic)),
                        .names = g_ptr_array_new_with_free_func(g_free),
                        .about = g_ptr_array_new_with_free_func(g_free),
                        .out = g_byte_array_new(),
                        .fd = -1,
                        .is_json = cli_flag(call, "json")};
    int status = CLI_USAGE;
    if (cli_number(call, "count", 1, G_MAXINT32, &count) &&
        cli_number(call, "snap", 14, PCAPNG_FRAME_MOST, &show.most)) {
        bool good = cli_node_find_lab(call, &lab, &error) && read_words(call, &lab, &show, &filter, &error);
        show.filter = filter;
        status = good ? capture(call, &lab, &show, count) : cli_fail(error);
        cli_node_clear(&lab);
    }
    g_array_unref(show.nics);
    g_ptr_array_unref(show.names);
    g_ptr_array_unref(show.about);
    g_byte_array_unref(show.out);
    return status;
}

const struct cli_verb verb_capture = {
    .name = "capture",
    .arguments = "NODE[:NIC]… [FILTER]",
    .summary = "see or save what passes at nodes' NICs",
    .description =
        "Captures at one NIC or several (h1:eth0, all of h1, 'r*:eth0'), in both directions and in the order "
        "of "
        "time, without root's rights: the machines themselves hand the frames over. What follows the NICs is "
        "a "
        "filter in tcpdump's words: netlab capture h1:eth0 r1 icmp or arp.\n\n"
        "Without -w it prints a line a frame. With -w it writes pcapng: nanoseconds, an interface a NIC with "
        "its "
        "name, address and network, directions, and how many frames were lost. It ends with Ctrl-C, after -c "
        "frames, or with the machines.\n\n"
        "Live: netlab capture h1:eth0 -w - | wireshark -k -i -\n"
        "      netlab capture h1:eth0 -w - | tshark -r -\n"
        "      ssh server netlab capture --lab x h1:eth0 -w - | wireshark -k -i -",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .least = 1,
    .most = -1,
    .examples =
        CLI_EXAMPLES({"netlab capture h1:eth0", "a line a frame"},
                     {"netlab capture h1:eth0 -w - | wireshark -k -i -", "live in Wireshark"},
                     {"netlab capture h1 r1:eth1 -w both.pcapng icmp or arp", "two nodes into one file"}),
    .run = run,
};
