/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The process that gets a lease and renews it: a runner (hostnet/dhcp_runner.h), its row in the store, and
 * what it says. Either on its own (`netlab host dhcp run`, started by `request`) or within `request
 * --foreground`.
 *
 * It ends on SIGTERM and SIGINT. On its own it leaves everything as it is then, for `release` to clear away
 * by the row; the address has the lease's lifetime and does not outlive it.
 */
#include "netlab/fault.h"
#include "netlab/host_dhcp_internal.h"
#include "netlab/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
/* Last: it brings its own struct ifreq's neighbours. */
#include <linux/wireless.h>

enum { CARRIER_MS = 10000, LOG_SIZE = 1 << 20 };

struct state {
    struct host_dhcp_loop *loop;
    struct dhcp_runner *runner;
    bool was_bound, is_wireless;
    unsigned sent, ignored;
    char *last_ignored;
};

/* ---- what is said ---- */

static void say(struct host_dhcp_loop *loop, bool is_detail, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void say(struct host_dhcp_loop *loop, bool is_detail, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (loop->hooks.tell)
        loop->hooks.tell(loop->hooks.opaque, text, is_detail);
    if (loop->report_fd < 0)
        return;
    g_autofree char *line = g_strdup_printf("%s %s\n", is_detail ? "detail" : "say", text);
    (void)!write(loop->report_fd, line, strlen(line)); /* `request` may be gone */
}

static void report(struct host_dhcp_loop *loop, const char *line)
{
    if (loop->report_fd < 0)
        return;
    (void)!write(loop->report_fd, line, strlen(line));
    close(loop->report_fd);
    loop->report_fd = -1;
}

static void say_sent(struct host_dhcp_loop *loop, const struct dhcp_event *event)
{
    char address[DHCP_ADDRESS_TEXT], to[DHCP_ADDRESS_TEXT];
    g_autofree char *about = event->address
                                 ? g_strdup_printf(" for %s", dhcp_address_format(event->address, address))
                                 : g_strdup("");
    g_autofree char *next =
        event->wait_ms ? g_strdup_printf(", next in %.1f s", event->wait_ms / 1000.0) : g_strdup("");
    say(loop, false, "%s%s on %s to %s%s", dhcp_type_name(event->message), about, loop->row->interface,
        dhcp_address_format(event->peer, to), next);
}

static void say_event(struct state *state, const struct dhcp_event *event)
{
    struct host_dhcp_loop *loop = state->loop;
    char address[DHCP_ADDRESS_TEXT], peer[DHCP_ADDRESS_TEXT], mac[HOSTNET_MAC_TEXT];
    dhcp_address_format(event->address, address);
    dhcp_address_format(event->peer, peer);
    switch (event->type) {
    case DHCP_EVENT_SENT:
        state->sent++;
        say_sent(loop, event);
        break;
    case DHCP_EVENT_RECEIVED:
        say(loop, false, "%s%s%s from %s", dhcp_type_name(event->message), event->address ? " of " : "",
            event->address ? address : "", peer);
        break;
    case DHCP_EVENT_IGNORED:
        state->ignored++;
        g_free(state->last_ignored);
        state->last_ignored =
            g_strdup_printf("%s from %s: %s", dhcp_type_name(event->message), peer, event->text);
        /* On a busy network others' answers come by all the time: nothing to fill a log with. */
        if (!state->was_bound || loop->release_at_end)
            say(loop, true, "ignored %s", state->last_ignored);
        break;
    case DHCP_EVENT_CONFLICT:
        say(loop, false, "%s is in use by %s", address, hostnet_mac_format(&event->mac, mac));
        break;
    case DHCP_EVENT_BOUND:
    case DHCP_EVENT_RENEWED:
        say(loop, false, "%s %s %s for %u s, renewal after %u s", loop->row->interface,
            event->type == DHCP_EVENT_BOUND ? "has" : "keeps", address, event->lease->lifetime,
            event->lease->t1);
        break;
    case DHCP_EVENT_LOST:
        say(loop, false, "%s has lost %s: %s", loop->row->interface, address, event->text);
        break;
    case DHCP_EVENT_COUNT:
        break;
    }
}

/* ---- the row ---- */

static void set_text(char **text, char *value)
{
    g_free(*text);
    *text = value;
}

/* A store that was lost, or moved away by `repair`, has the lease again from the next write on. */
static bool write_row(struct state *state, GError **error)
{
    g_autoptr(store) store = store_open(state->loop->place->state, error);
    return store && store_put_lease(store, state->loop->row, error);
}

static bool on_record(void *opaque, const struct dhcp_applied *applied, GError **error)
{
    struct state *state = opaque;
    struct store_lease *row = state->loop->row;
    g_autofree char *text = dhcp_applied_format(applied);
    /* A renewal that changes nothing needs no disk: a full one is no reason to lose the address. */
    if (g_str_equal(text, row->applied))
        return true;
    set_text(&row->applied, g_steal_pointer(&text));
    fault_point();
    bool good = write_row(state, error);
    fault_point();
    return good;
}

static void note_lease(struct state *state, const struct dhcp_lease *lease)
{
    struct store_lease *row = state->loop->row;
    g_autoptr(GError) error = NULL;
    if (lease)
        set_text(&row->lease, dhcp_lease_format(lease));
    row->state = lease ? STORE_LEASE_BOUND : STORE_LEASE_REQUESTING;
    fault_point();
    /* The interface is right all the same; only what `show` says is older. */
    if (!write_row(state, &error))
        say(state->loop, false, "%s", error->message);
    fault_point();
}

static void on_tell(void *opaque, const struct dhcp_event *event)
{
    struct state *state = opaque;
    say_event(state, event);
    if (event->type == DHCP_EVENT_LOST)
        note_lease(state, NULL);
    if (event->type != DHCP_EVENT_BOUND && event->type != DHCP_EVENT_RENEWED)
        return;
    note_lease(state, event->lease);
    if (state->was_bound)
        return;
    state->was_bound = true;
    report(state->loop, "bound\n");
    if (state->loop->bound) {
        g_autoptr(host_dhcp_lease) shown = host_dhcp_describe(state->loop->place, state->loop->row, false);
        state->loop->bound(state->loop->hooks.opaque, shown);
    }
}

static void on_note(void *opaque, const char *text)
{
    say(((struct state *)opaque)->loop, false, "note: %s", text);
}

/* ---- when nothing comes ---- */

/* Wireless extensions answer for every Wi-Fi driver that has them; sysfs for the others. */
static bool is_wireless(const char *interface)
{
    struct iwreq request = {};
    g_strlcpy(request.ifr_name, interface, sizeof request.ifr_name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool answers = fd >= 0 && ioctl(fd, SIOCGIWNAME, &request) == 0;
    if (fd >= 0)
        close(fd);
    g_autofree char *path = g_build_filename("/sys/class/net", interface, "phy80211", NULL);
    return answers || g_file_test(path, G_FILE_TEST_EXISTS);
}

static bool fail_carrier(const struct state *state, GError **error)
{
    const char *name = state->loop->row->interface;
    struct hostnet_link_identity identity;
    g_autoptr(hostnet_link) link = NULL;
    if (hostnet_identity_parse(state->loop->row->link, &identity, NULL))
        link = hostnet_link_get(state->loop->net, identity.index, NULL);
    const char *what = is_wireless(name)
                           ? "it is wireless and not associated; connect it to its network first (nmcli, "
                             "iwctl, wpa_supplicant)"
                       : link && link->kind == HOSTNET_LINK_BRIDGE
                           ? "none of its ports is up; attach the NIC to it (`bridge link` shows its ports)"
                           : "is the cable in, and the other end up?";
    g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND,
                "%s has no carrier, so no server can be asked: %s", name, what);
    return false;
}

static bool fail_timeout(const struct state *state, GError **error)
{
    const char *name = state->loop->row->interface;
    g_autofree char *ignored = state->ignored
                                   ? g_strdup_printf("; %u answers were not usable, the last one %s",
                                                     state->ignored, state->last_ignored)
                                   : g_strdup("");
    g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND,
                "no DHCP server gave %s an address within %u s (%u messages sent%s). Is there a server on "
                "that network, "
                "and does a firewall or a switch stop UDP ports 67 and 68? `tcpdump -eni %s port 67 or port "
                "68` shows "
                "what passes",
                name, state->loop->timeout_s, state->sent, ignored, name);
    return false;
}

/* ---- the loop ---- */

/* SIGTERM and SIGINT as a fd. */
static int watch_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool loop_run(struct state *state, int signals, GError **error)
{
    struct host_dhcp_loop *loop = state->loop;
    int64_t start = dhcp_clock_ms();
    for (;;) {
        int64_t elapsed = dhcp_clock_ms() - start, limit = (int64_t)loop->timeout_s * 1000;
        bool has_carrier = dhcp_runner_has_carrier(state->runner);
        if (!state->was_bound && !has_carrier && elapsed >= MIN(limit, CARRIER_MS))
            return fail_carrier(state, error);
        if (!state->was_bound && elapsed >= limit)
            return fail_timeout(state, error);
        int64_t wait = state->was_bound ? -1 : (has_carrier ? limit : MIN(limit, CARRIER_MS)) - elapsed;
        struct pollfd fds[] = {{.fd = dhcp_runner_fd(state->runner), .events = POLLIN},
                               {.fd = signals, .events = POLLIN}};
        if (poll(fds, 2, (int)MIN(wait, (int64_t)G_MAXINT)) < 0 && errno != EINTR)
            continue;
        if (fds[1].revents)
            return !loop->release_at_end || dhcp_runner_release(state->runner, error);
        if (!dhcp_runner_dispatch(state->runner, error))
            return false;
    }
}

bool host_dhcp_loop(struct host_dhcp_loop *loop, GError **error)
{
    struct state state = {.loop = loop};
    g_autoptr(dhcp_applied) applied = dhcp_applied_parse(loop->row->applied, error);
    g_autoptr(dhcp_lease) remembered = *loop->row->lease ? dhcp_lease_parse(loop->row->lease, NULL) : NULL;
    struct dhcp_runner_options options = {.remembered = remembered,
                                          .hooks = {.tell = on_tell, .note = on_note, .record = on_record},
                                          .opaque = &state};
    static const struct hostnet_mac none;
    dhcp_settings_default(&options.settings, &none);
    if (!applied || !dhcp_settings_parse(&options.settings, loop->row->settings, error))
        return false;
    host_dhcp_settings_parse_apply(loop->row->settings, &options.apply);
    int signals = watch_signals();
    bool good = dhcp_apply_up(loop->net, applied, on_record, &state, error);
    state.runner = good ? dhcp_runner_new(loop->net, applied, &options, error) : NULL;
    good = state.runner && loop_run(&state, signals, error);
    dhcp_runner_free(state.runner);
    g_free(state.last_ignored);
    close(signals);
    return good;
}

static struct store_lease *find_row(struct store *store, int64_t id, GError **error)
{
    g_autoptr(GPtrArray) rows = store_list_leases(store, error);
    for (guint i = 0; rows && i < rows->len; i++) {
        struct store_lease *row = rows->pdata[i];
        if (row->id == id) {
            g_ptr_array_set_free_func(rows, NULL);
            g_ptr_array_remove_index(rows, i);
            g_ptr_array_set_free_func(rows, (GDestroyNotify)store_lease_free);
            return row;
        }
    }
    if (rows)
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP,
                    "there is no such row; this is started by `host dhcp request`");
    return NULL;
}

/* Its link is gone: nothing is left to undo. */
static void forget_if_gone(struct hostnet *net, const struct lab_place *place, const struct store_lease *row)
{
    g_autoptr(store) store = store_open(place->state, NULL);
    struct hostnet_link_identity identity;
    enum hostnet_presence presence;
    if (store && hostnet_identity_parse(row->link, &identity, NULL) &&
        hostnet_link_check(net, &identity, &presence, NULL, NULL) && presence == HOSTNET_ABSENT)
        store_delete_lease(store, row->id, NULL);
}

/* The log's lines. However short the leases, and however long it runs, the file stays small: it begins anew.
 */
static void log_line(void *opaque, const char *text, bool is_detail)
{
    if (lseek(STDOUT_FILENO, 0, SEEK_CUR) > LOG_SIZE && ftruncate(STDOUT_FILENO, 0) == 0)
        (void)lseek(STDOUT_FILENO, 0, SEEK_SET);
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *at = g_date_time_format(now, "%F %T");
    g_autofree char *line = g_strdup_printf("%s %s\n", at, text);
    (void)!write(STDOUT_FILENO, line, strlen(line));
}

bool host_dhcp_run(const struct lab_place *place, int64_t id, unsigned timeout_s, int report_fd,
                   GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(hostnet) net = hostnet_open(&failure);
    g_autoptr(store) store = net ? store_open(place->state, &failure) : NULL;
    g_autoptr(store_lease) row = store ? find_row(store, id, &failure) : NULL;
    store_close(g_steal_pointer(&store));
    struct host_dhcp_loop loop = {.net = net,
                                  .place = place,
                                  .row = row,
                                  .timeout_s = timeout_s,
                                  .report_fd = report_fd,
                                  .hooks = {.tell = log_line}};
    if (row && host_dhcp_loop(&loop, &failure))
        return true;
    if (!failure)
        return true;
    bool was_waited_for = loop.report_fd >= 0;
    g_autofree char *line = g_strdup_printf(
        "fail %d %s\n", failure->domain == HOSTNET_ERROR ? failure->code : HOSTNET_ERROR_KERNEL,
        failure->message);
    report(&loop, line);
    log_line(NULL, failure->message, false);
    if (row && !was_waited_for)
        forget_if_gone(net, place, row);
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

/* ---- the settings column ---- */

static const char apply_group[] = "apply";

char *host_dhcp_settings_format(const struct dhcp_settings *settings, const struct host_dhcp_request *request)
{
    g_autofree char *text = dhcp_settings_format(settings);
    return g_strdup_printf("%s\n[%s]\nmetric=%u\nno-routes=%s\nno-mtu=%s\n", text, apply_group,
                           request->metric, request->no_routes ? "true" : "false",
                           request->no_mtu ? "true" : "false");
}

void host_dhcp_settings_parse_apply(const char *text, struct dhcp_apply_options *options)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    if (!g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, NULL))
        return;
    options->metric = (uint32_t)MIN(g_key_file_get_uint64(file, apply_group, "metric", NULL), UINT32_MAX);
    options->no_routes = g_key_file_get_boolean(file, apply_group, "no-routes", NULL);
    options->no_mtu = g_key_file_get_boolean(file, apply_group, "no-mtu", NULL);
}
