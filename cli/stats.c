/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * `netlab stats`: CPU, memory and what passes at each NIC, as `top` does it: on a terminal anew each second
 * on the alternate screen, else once. Rates are differences of two samples; nothing runs in the machines.
 */
#include "cli/change.h"
#include "cli/node.h"
#include "netlab/channel.h"
#include "netlab/nic.h"
#include "netlab/process.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const struct cli_option options[] = {
    CLI_LAB_OPTION,
    {"once", '1', NULL, "print once and end, also on a terminal"},
    {"interval", 'i', "SECONDS", "how long a sample takes (1)"},
    CLI_JSON_OPTION,
    CLI_HELP_OPTION,
};

struct nic_sample {
    bool is_known, link;
    gint64 tx_frames, tx_bytes, rx_frames, rx_bytes, drops;
};

struct node_sample {
    char *name;
    pid_t pid;
    gint64 at; /* µs */
    uint64_t cpu_ms, resident;
    GArray *nics; /* struct nic_sample */
};

static void sample_free(void *data)
{
    struct node_sample *sample = data;
    g_free(sample->name);
    g_array_unref(sample->nics);
    g_free(sample);
}

/* Without those that the NIC did not want: multicasts of others, and the like. */
static gint64 count_drops(JsonObject *nic)
{
    JsonNode *node = json_object_get_member(nic, "drops");
    JsonArray *drops = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    gint64 sum = 0;
    for (guint i = 0; drops && i < json_array_get_length(drops); i++) {
        JsonNode *item = json_array_get_element(drops, i);
        JsonObject *drop = JSON_NODE_HOLDS_OBJECT(item) ? json_node_get_object(item) : NULL;
        if (!g_str_equal(channel_string(drop, "reason", ""), "filtered"))
            sum += channel_number(drop, "frames", 0);
    }
    return sum;
}

static struct node_sample *take_node(const struct lab_node_status *node)
{
    struct node_sample *sample = g_new0(struct node_sample, 1);
    bool runs = node->state == LAB_NODE_RUNNING || node->state == LAB_NODE_STARTING;
    sample->name = g_strdup(node->name);
    sample->nics = g_array_new(FALSE, TRUE, sizeof(struct nic_sample));
    sample->pid = runs ? node->pid : 0;
    sample->resident = node->resident;
    g_autoptr(JsonArray) nics = runs ? nic_query(node->directory, NULL) : NULL;
    sample->cpu_ms = sample->pid ? process_cpu_ms(sample->pid) : 0;
    sample->at = g_get_monotonic_time();
    for (guint i = 0; i < node->nics->len; i++) {
        struct nic_sample each = {0};
        JsonObject *found = nic_find(nics, i);
        if (found)
            each = (struct nic_sample){.is_known = true,
                                       .link = channel_flag(found, "link"),
                                       .tx_frames = channel_number(found, "tx-frames", 0),
                                       .tx_bytes = channel_number(found, "tx-bytes", 0),
                                       .rx_frames = channel_number(found, "rx-frames", 0),
                                       .rx_bytes = channel_number(found, "rx-bytes", 0),
                                       .drops = count_drops(found)};
        g_array_append_val(sample->nics, each);
    }
    return sample;
}

static GPtrArray *take_all(const struct lab_status *status)
{
    GPtrArray *samples = g_ptr_array_new_with_free_func(sample_free);
    for (guint i = 0; i < status->nodes->len; i++)
        g_ptr_array_add(samples, take_node(status->nodes->pdata[i]));
    return samples;
}

static const struct node_sample *find_sample(GPtrArray *samples, const struct node_sample *other)
{
    for (guint i = 0; i < samples->len; i++) {
        const struct node_sample *sample = samples->pdata[i];
        if (sample->pid == other->pid && g_str_equal(sample->name, other->name))
            return sample;
    }
    return NULL;
}

/* Of two readings of a counter, a second's worth; a counter that fell was begun anew. */
static double rate(gint64 now, gint64 before, double seconds)
{
    return now >= before && seconds > 0 ? (double)(now - before) / seconds : 0;
}

/* "12.3k" in at most six characters. */
static char *short_number(double value)
{
    static const char units[] = " kMGT";
    int unit = 0;
    for (; value >= 999.5 && unit < 4; unit++)
        value /= 1000;
    if (!unit)
        return g_strdup_printf("%.0f", value);
    return g_strdup_printf(value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

struct nic_rates {
    double tx_frames, tx_bits, rx_frames, rx_bits;
};

static double seconds_between(const struct node_sample *before, const struct node_sample *after)
{
    return before ? (double)(after->at - before->at) / G_USEC_PER_SEC : 0;
}

static struct nic_rates nic_rates(const struct node_sample *before, const struct node_sample *after, guint i)
{
    const struct nic_sample *now = &g_array_index(after->nics, struct nic_sample, i);
    if (!before || i >= before->nics->len)
        return (struct nic_rates){0};
    const struct nic_sample *then = &g_array_index(before->nics, struct nic_sample, i);
    double seconds = seconds_between(before, after);
    return (struct nic_rates){.tx_frames = rate(now->tx_frames, then->tx_frames, seconds),
                              .tx_bits = 8 * rate(now->tx_bytes, then->tx_bytes, seconds),
                              .rx_frames = rate(now->rx_frames, then->rx_frames, seconds),
                              .rx_bits = 8 * rate(now->rx_bytes, then->rx_bytes, seconds)};
}

static double cpu_percent(const struct node_sample *before, const struct node_sample *after)
{
    return before ? rate((gint64)after->cpu_ms, (gint64)before->cpu_ms, seconds_between(before, after)) / 10
                  : 0;
}

/* ---- showing ---- */

static void print_table(const struct lab_status *status, GPtrArray *before, GPtrArray *after)
{
    static const char *const header[] = {"NODE",  "CPU%",   "MEMORY", "NIC",     "LINK", "SENT/s",
                                         "bit/s", "RECV/s", "bit/s",  "DROPPED", NULL};
    struct cli_table *table = cli_table_new(header);
    for (guint i = 0; i < after->len; i++) {
        const struct node_sample *sample = after->pdata[i], *old = find_sample(before, sample);
        const struct lab_node_status *node = status->nodes->pdata[i];
        g_autofree char *cpu =
            sample->pid ? g_strdup_printf("%.0f", cpu_percent(old, sample)) : g_strdup("-");
        g_autofree char *memory =
            sample->pid ? g_strdup_printf("%u/%uM", (unsigned)(sample->resident / 1024), node->memory)
                        : g_strdup(lab_node_state_name(node->state));
        for (guint k = 0; k < MAX(sample->nics->len, 1u); k++) {
            bool has_nic = k < sample->nics->len;
            const struct nic_sample *nic =
                has_nic ? &g_array_index(sample->nics, struct nic_sample, k) : NULL;
            const char *name = has_nic ? ((struct lab_nic_status *)node->nics->pdata[k])->interface : "-";
            if (!nic || !nic->is_known) {
                const char *cells[] = {k ? "" : sample->name,
                                       k ? "" : cpu,
                                       k ? "" : memory,
                                       name,
                                       "-",
                                       "-",
                                       "-",
                                       "-",
                                       "-",
                                       "-",
                                       NULL};
                cli_table_add(table, cells);
                continue;
            }
            struct nic_rates rates = nic_rates(old, sample, k);
            g_autofree char *a = short_number(rates.tx_frames), *b = short_number(rates.tx_bits),
                            *c = short_number(rates.rx_frames), *d = short_number(rates.rx_bits),
                            *e = g_strdup_printf("%" G_GINT64_FORMAT, nic->drops);
            const char *cells[] = {k ? "" : sample->name,
                                   k ? "" : cpu,
                                   k ? "" : memory,
                                   name,
                                   nic->link ? "up" : "DOWN",
                                   a,
                                   b,
                                   c,
                                   d,
                                   e,
                                   NULL};
            cli_table_add(table, cells);
        }
    }
    cli_table_print(table);
}

static void print_json(const struct lab_status *status, GPtrArray *before, GPtrArray *after)
{
    JsonObject *root = json_object_new();
    JsonArray *nodes = json_array_new();
    json_object_set_string_member(root, "lab", status->name);
    for (guint i = 0; i < after->len; i++) {
        const struct node_sample *sample = after->pdata[i], *old = find_sample(before, sample);
        const struct lab_node_status *node = status->nodes->pdata[i];
        JsonObject *object = json_object_new();
        JsonArray *nics = json_array_new();
        json_object_set_string_member(object, "node", sample->name);
        json_object_set_string_member(object, "state", lab_node_state_name(node->state));
        json_object_set_int_member(object, "memory_mib", node->memory);
        if (sample->pid) {
            json_object_set_double_member(object, "cpu_percent", cpu_percent(old, sample));
            json_object_set_int_member(object, "cpu_ms", (gint64)sample->cpu_ms);
            json_object_set_int_member(object, "resident_kib", (gint64)sample->resident);
        }
        for (guint k = 0; k < sample->nics->len; k++) {
            const struct nic_sample *nic = &g_array_index(sample->nics, struct nic_sample, k);
            struct nic_rates rates = nic_rates(old, sample, k);
            JsonObject *item = json_object_new();
            json_object_set_string_member(item, "interface",
                                          ((struct lab_nic_status *)node->nics->pdata[k])->interface);
            if (nic->is_known) {
                json_object_set_boolean_member(item, "link", nic->link);
                json_object_set_int_member(item, "sent_frames", nic->tx_frames);
                json_object_set_int_member(item, "sent_bytes", nic->tx_bytes);
                json_object_set_int_member(item, "received_frames", nic->rx_frames);
                json_object_set_int_member(item, "received_bytes", nic->rx_bytes);
                json_object_set_int_member(item, "dropped", nic->drops);
                json_object_set_double_member(item, "sent_frames_s", rates.tx_frames);
                json_object_set_double_member(item, "sent_bits_s", rates.tx_bits);
                json_object_set_double_member(item, "received_frames_s", rates.rx_frames);
                json_object_set_double_member(item, "received_bits_s", rates.rx_bits);
            }
            json_array_add_object_element(nics, item);
        }
        json_object_set_array_member(object, "nics", nics);
        json_array_add_object_element(nodes, object);
    }
    json_object_set_array_member(root, "nodes", nodes);
    JsonNode *node = json_node_alloc();
    json_node_take_object(json_node_init(node, JSON_NODE_OBJECT), root);
    cli_print_json(node);
}

/* ---- time ---- */

/* Waits; true: a key that ends it, or a signal. */
static bool wait_or_key(int cancel_fd, bool has_keys, int ms)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)ms * 1000;
    for (int left = ms; left > 0; left = (int)((deadline - g_get_monotonic_time()) / 1000)) {
        struct pollfd fds[] = {{.fd = cancel_fd, .events = POLLIN},
                               {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN}};
        char key;
        if (poll(fds, 2, left) <= 0)
            continue;
        if (fds[0].revents)
            return true;
        if (fds[1].revents && (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 3 || key == 27))
            return true;
    }
    return false;
}

/* The lab's state anew: machines come and go. */
static bool refresh(struct cli_node *lab, GError **error)
{
    struct lab_status *status = lab_status_read(&lab->place, lab->store, lab->lab, error);
    if (!status)
        return false;
    lab_status_free(lab->status);
    lab->status = status;
    return true;
}

static bool show_live(struct cli_node *lab, int cancel_fd, int ms, GError **error)
{
    struct termios before, keys;
    bool has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0, good = true;
    if (has_keys) {
        keys = before;
        keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &keys);
    }
    printf("\033[?1049h\033[?25l"); /* the alternate screen, no cursor */
    fflush(stdout);
    g_autoptr(GPtrArray) old = take_all(lab->status);
    bool is_over = wait_or_key(cancel_fd, has_keys, MIN(ms, 300));
    while (good && !is_over && (good = refresh(lab, error))) {
        g_autoptr(GPtrArray) new = take_all(lab->status);
        printf("\033[H\033[2Jlab %s, each %.1f s; q ends\n\n", lab->status->name, ms / 1000.0);
        print_table(lab->status, old, new);
        fflush(stdout);
        g_ptr_array_unref(old);
        old = g_steal_pointer(&new);
        is_over = wait_or_key(cancel_fd, has_keys, ms);
    }
    printf("\033[?25h\033[?1049l");
    fflush(stdout);
    if (has_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return good;
}

static int run(struct cli_call *call)
{
    g_autoptr(GError) error = NULL;
    struct cli_node lab;
    unsigned seconds = 1;
    if (!cli_number(call, "interval", 1, 3600, &seconds))
        return CLI_USAGE;
    bool good = cli_node_find_lab(call, &lab, &error);
    int cancel_fd = cli_cancel_fd(), ms = (int)seconds * 1000;
    if (good && cli_is_terminal() && !cli_flag(call, "once") && !cli_flag(call, "json")) {
        good = show_live(&lab, cancel_fd, ms, &error);
    } else if (good) {
        g_autoptr(GPtrArray) before = take_all(lab.status);
        bool cut = wait_or_key(cancel_fd, false, ms);
        g_autoptr(GPtrArray) after = cut                              ? NULL
                                     : (good = refresh(&lab, &error)) ? take_all(lab.status)
                                                                      : NULL;
        if (after && cli_flag(call, "json"))
            print_json(lab.status, before, after);
        else if (after)
            print_table(lab.status, before, after);
    }
    int status = good ? CLI_OK : cli_fail(error);
    cli_node_clear(&lab);
    return status;
}

const struct cli_verb verb_stats = {
    .name = "stats",
    .arguments = "",
    .summary = "show CPU, memory and traffic of a lab's machines, live",
    .description = "On a terminal a table like top's, anew each second, until q or Ctrl-C; with --once, "
                   "--json or in a pipe once. "
                   "CPU% is of one processor; MEMORY what the machine takes of this computer and what its "
                   "guest has; frames "
                   "and bits a second as the guest sends and receives them; DROPPED all since the machine "
                   "began, but those its NIC had no "
                   "use for (`netlab inspect NODE` gives the reasons).",
    .options = options,
    .option_count = G_N_ELEMENTS(options),
    .examples = CLI_EXAMPLES({"netlab stats", "live; q ends"}, {"netlab stats --once", "once"}),
    .run = run,
};
