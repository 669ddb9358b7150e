/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Leases of this host's own interfaces: asking, listing, releasing; see host_dhcp.h. The process that renews
 * is host_dhcp_run.c.
 *
 * Who may write a lease's row: its process while it lives, otherwise who holds the lock of that interface.
 * Release takes the lock, ends the process, and reads the row anew.
 */
#include "hostnet/bridge.h"
#include "netlab/fault.h"
#include "netlab/host_dhcp_internal.h"
#include "netlab/lock.h"
#include "netlab/process.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { END_GRACE_MS = 5000, REPORT_FD = 3 };

void host_dhcp_lease_free(struct host_dhcp_lease *lease)
{
    if (!lease)
        return;
    char **texts[] = {&lease->interface, &lease->state,    &lease->address, &lease->server,
                      &lease->router,    &lease->dns,      &lease->domain,  &lease->search,
                      &lease->ntp,       &lease->hostname, &lease->routes,  &lease->log};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(*texts[i]);
    g_free(lease);
}

static void free_lease(void *lease)
{
    host_dhcp_lease_free(lease);
}

/* ---- rows ---- */

char *host_dhcp_log_path(const struct lab_place *place, const struct store_lease *row)
{
    g_autofree char *name = g_strdup_printf("dhcp-%" G_GUINT64_FORMAT "-%s.log", row->netns, row->interface);
    return g_build_filename(place->state, name, NULL);
}

/* The row of that interface in this namespace, out of `rows` (whose it stays); or of an earlier boot. */
static struct store_lease *find_row(GPtrArray *rows, struct hostnet *net, const char *interface, bool earlier)
{
    for (guint i = 0; i < rows->len; i++) {
        struct store_lease *row = rows->pdata[i];
        bool is_this_boot = g_str_equal(row->boot_id, hostnet_get_boot_id(net));
        if (g_str_equal(row->interface, interface) && is_this_boot != earlier &&
            (earlier || row->netns == hostnet_get_netns_cookie(net)))
            return row;
    }
    return NULL;
}

static bool runner_of(const struct store_lease *row, struct process_identity *identity)
{
    return process_parse(row->runner, identity) && process_is_alive(identity);
}

static void set_text(char **text, const char *value)
{
    g_free(*text);
    *text = g_strdup(value);
}

static bool lock_interface(struct lock *lock, const struct lab_place *place, struct hostnet *net,
                           const char *interface, const char *verb, GError **error)
{
    g_autofree char *name =
        g_strdup_printf("dhcp:%" G_GUINT64_FORMAT ":%s", hostnet_get_netns_cookie(net), interface);
    g_autoptr(GError) held = NULL;
    if (lock_take(lock, place->state, name, verb, 0, &held))
        return true;
    if (g_error_matches(held, LOCK_ERROR, LOCK_ERROR_HELD)) {
        const char *holder = strstr(held->message, "by ");
        g_set_error(error, LOCK_ERROR, LOCK_ERROR_HELD, "the lease of %s is being changed %s", interface,
                    holder ? holder : "by another netlab; wait until that has finished");
    } else {
        g_propagate_error(error, g_steal_pointer(&held));
    }
    return false;
}

/* ---- looking ---- */

static char *join_addresses(const GArray *addresses)
{
    if (!addresses->len)
        return NULL;
    GString *text = g_string_new(NULL);
    char one[DHCP_ADDRESS_TEXT];
    for (guint i = 0; i < addresses->len; i++)
        g_string_append_printf(text, "%s%s", i ? " " : "",
                               dhcp_address_format(g_array_index(addresses, uint32_t, i), one));
    return g_string_free(text, FALSE);
}

static char *join_routes(const struct dhcp_lease *lease)
{
    if (!lease->routes->len)
        return NULL;
    GString *text = g_string_new(NULL);
    char destination[DHCP_ADDRESS_TEXT], gateway[DHCP_ADDRESS_TEXT];
    for (guint i = 0; i < lease->routes->len; i++) {
        const struct dhcp_route *route = &g_array_index(lease->routes, struct dhcp_route, i);
        g_string_append_printf(text, "%s%s/%u", i ? ", " : "",
                               dhcp_address_format(route->destination, destination), route->length);
        if (route->gateway)
            g_string_append_printf(text, " via %s", dhcp_address_format(route->gateway, gateway));
    }
    return g_string_free(text, FALSE);
}

static int64_t seconds_until(const struct dhcp_lease *lease, uint32_t seconds, int64_t now_ms)
{
    if (seconds == DHCP_FOREVER)
        return -1;
    return MAX((lease->obtained_ms + (int64_t)seconds * 1000 - now_ms) / 1000, 0);
}

struct host_dhcp_lease *host_dhcp_describe(const struct lab_place *place, const struct store_lease *row,
                                           bool is_stale)
{
    struct host_dhcp_lease *shown = g_new0(struct host_dhcp_lease, 1);
    g_autoptr(dhcp_lease) lease = *row->lease ? dhcp_lease_parse(row->lease, NULL) : NULL;
    struct process_identity runner;
    shown->interface = g_strdup(row->interface);
    shown->pid = !is_stale && runner_of(row, &runner) ? runner.pid : 0;
    shown->is_stale = is_stale;
    shown->log = host_dhcp_log_path(place, row);
    shown->state = g_strdup(is_stale                          ? "of before the reboot"
                            : !shown->pid                     ? "not renewed"
                            : row->state == STORE_LEASE_BOUND ? "bound"
                                                              : "requesting");
    if (!lease)
        return shown;
    char text[DHCP_ADDRESS_TEXT];
    int64_t now = dhcp_clock_ms();
    shown->address = g_strdup_printf("%s/%u", dhcp_address_format(lease->address, text), lease->length);
    shown->server = g_strdup(dhcp_address_format(lease->server, text));
    if (dhcp_lease_router(lease))
        shown->router = g_strdup(dhcp_address_format(dhcp_lease_router(lease), text));
    shown->dns = join_addresses(lease->dns);
    shown->ntp = join_addresses(lease->ntp);
    shown->domain = g_strdup(lease->domain);
    shown->hostname = g_strdup(lease->hostname);
    shown->routes = join_routes(lease);
    if (lease->search->len) {
        g_ptr_array_add(lease->search, NULL);
        shown->search = g_strjoinv(" ", (char **)lease->search->pdata);
    }
    shown->mtu = lease->mtu;
    shown->lifetime = lease->lifetime == DHCP_FOREVER ? -1 : (int64_t)lease->lifetime;
    shown->left = is_stale ? 0 : seconds_until(lease, lease->lifetime, now);
    shown->renew_in = is_stale ? 0 : seconds_until(lease, lease->t1, now);
    return shown;
}

GPtrArray *host_dhcp_list(const struct lab_place *place, GError **error)
{
    g_autoptr(store) store = store_open(place->state, error);
    g_autoptr(hostnet) net = store ? hostnet_open(error) : NULL;
    g_autoptr(GPtrArray) rows = net ? store_list_leases(store, error) : NULL;
    if (!rows)
        return NULL;
    GPtrArray *leases = g_ptr_array_new_with_free_func(free_lease);
    for (guint i = 0; i < rows->len; i++) {
        const struct store_lease *row = rows->pdata[i];
        bool is_this_boot = g_str_equal(row->boot_id, hostnet_get_boot_id(net));
        if (!is_this_boot || row->netns == hostnet_get_netns_cookie(net))
            g_ptr_array_add(leases, host_dhcp_describe(place, row, !is_this_boot));
    }
    return leases;
}

/* ---- the interface ---- */

static struct hostnet_link *find_interface(struct hostnet *net, const char *name, GError **error)
{
    g_autoptr(GError) refusal = NULL;
    struct hostnet_link *found = hostnet_link_find(net, name, &refusal);
    if (found)
        return found;
    g_autoptr(GPtrArray) links = g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND) ||
                                         g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_INVALID)
                                     ? hostnet_link_list(net, NULL)
                                     : NULL;
    if (!links) {
        g_propagate_error(error, g_steal_pointer(&refusal));
        return NULL;
    }
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_autoptr(GString) list = g_string_new(NULL);
    for (guint i = 0; i < links->len; i++) {
        const struct hostnet_link *link = links->pdata[i];
        g_ptr_array_add(names, (char *)link->name);
        g_string_append_printf(list, "%s%s", i ? ", " : "", link->name);
    }
    const char *nearest = topology_nearest(name, (const char *const *)names->pdata, names->len);
    if (nearest)
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND,
                    "there is no interface \"%s\"; did you mean \"%s\"?", name, nearest);
    else
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND,
                    "there is no interface \"%s\" in this network namespace; there are %s", name, list->str);
    return NULL;
}

static bool check_interface(struct hostnet *net, const struct hostnet_link *link, GError **error)
{
    if (link->kind == HOSTNET_LINK_BRIDGE) {
        g_autoptr(GPtrArray) ports = hostnet_bridge_list_ports(net, link->index, error);
        if (!ports || ports->len)
            return ports != NULL;
        g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND,
                    "the bridge %s has no ports, so no server can be asked; attach the NIC to it first",
                    link->name);
        return false;
    }
    if (!link->master)
        return true;
    g_autoptr(hostnet_link) master = hostnet_link_get(net, link->master, NULL);
    g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_INVALID,
                "%s is a port of %s, which takes what comes in there; ask for the address on %s instead",
                link->name, master ? master->name : "a bridge", master ? master->name : "that");
    return false;
}

/* ---- asking ---- */

static bool make_settings(const struct host_dhcp_request *request, const struct hostnet_link *link,
                          struct dhcp_settings *settings, GError **error)
{
    g_autofree char *machine_id = NULL;
    if (g_file_get_contents("/etc/machine-id", &machine_id, NULL, NULL))
        g_strstrip(machine_id);
    dhcp_settings_default(settings, &link->mac);
    settings->broadcast = request->broadcast;
    if (request->probe != HOST_DHCP_PROBE_QUICK)
        settings->probe_ms = request->probe == HOST_DHCP_PROBE_FULL ? 1000 : 0;
    if (request->client_id && !dhcp_settings_parse_client_id(settings, request->client_id, machine_id, error))
        return false;
    if (request->hostname && !dhcp_settings_set_hostname(settings, request->hostname, error))
        return false;
    const struct {
        const char *text, *what;
        uint32_t *into;
    } addresses[] = {{request->address, "address", &settings->address},
                     {request->server, "server", &settings->server}};
    for (size_t i = 0; i < G_N_ELEMENTS(addresses); i++) {
        if (!addresses[i].text)
            continue;
        if (!dhcp_address_parse(addresses[i].text, addresses[i].into) ||
            !dhcp_address_is_unicast(*addresses[i].into)) {
            g_set_error(error, HOSTNET_ERROR, HOSTNET_ERROR_INVALID,
                        "the %s \"%s\" is no IPv4 address of a host; write it as 192.0.2.7",
                        addresses[i].what, addresses[i].text);
            return false;
        }
    }
    return true;
}

/* What a lease of an earlier boot is worth now: its clock starts anew with each boot. */
static char *carry_over(const struct store_lease *row)
{
    g_autoptr(dhcp_lease) lease = *row->lease ? dhcp_lease_parse(row->lease, NULL) : NULL;
    if (!lease)
        return g_strdup("");
    int64_t since = g_get_real_time() / G_USEC_PER_SEC - lease->obtained_at, now = dhcp_clock_ms();
    int64_t age = MAX(since, 0), left = (int64_t)lease->lifetime - (age - now / 1000);
    lease->obtained_ms = MAX(now - age * 1000, 0);
    /* Before this boot's beginning nothing can be dated: then it is asked for again as if it was over. */
    if (now < age * 1000 && lease->lifetime != DHCP_FOREVER)
        lease->lifetime = (uint32_t)MAX(left, 1);
    return dhcp_lease_format(lease);
}

bool host_dhcp_undo(struct hostnet *net, struct store_lease *row, const struct host_dhcp_hooks *hooks,
                    GError **error)
{
    if (!*row->applied)
        return true;
    g_autoptr(dhcp_applied) applied = dhcp_applied_parse(row->applied, error);
    if (!applied)
        return false;
    fault_point();
    if (!dhcp_apply_undo(net, applied, error))
        return false;
    fault_point();
    for (guint i = 0; hooks && hooks->tell && i < applied->notes->len; i++)
        hooks->tell(hooks->opaque, applied->notes->pdata[i], false);
    return true;
}

/* Undone, and the row gone; after the log, which nobody would find without it. */
static bool forget(struct store *store, struct hostnet *net, const struct lab_place *place,
                   struct store_lease *row, const struct host_dhcp_hooks *hooks, GError **error)
{
    g_autofree char *log = host_dhcp_log_path(place, row);
    if (!host_dhcp_undo(net, row, hooks, error))
        return false;
    g_unlink(log);
    return store_delete_lease(store, row->id, error);
}

/* Makes the row, with what is left of an earlier lease cleared away and remembered in it. */
static struct store_lease *make_row(struct store *store, struct hostnet *net, const struct hostnet_link *link,
                                    const struct host_dhcp_request *request, GError **error)
{
    struct dhcp_settings settings;
    g_autoptr(GPtrArray) rows = store_list_leases(store, error);
    if (!rows || !make_settings(request, link, &settings, error))
        return NULL;
    struct process_identity runner;
    struct store_lease *old = find_row(rows, net, link->name, false), *stale;
    if (old && runner_of(old, &runner)) {
        g_autoptr(host_dhcp_lease) has = host_dhcp_describe(request->place, old, false);
        g_set_error(
            error, HOSTNET_ERROR, HOSTNET_ERROR_EXISTS,
            "%s has a lease already (%s, looked after by process %d); `netlab host dhcp release %s` gives it "
            "back",
            link->name, has->address ? has->address : "still asking for one", runner.pid, link->name);
        return NULL;
    }
    g_autoptr(store_lease) row = g_new0(struct store_lease, 1);
    struct hostnet_link_identity identity;
    hostnet_link_get_identity(net, link, &identity);
    g_autoptr(dhcp_applied) nothing = dhcp_applied_new(&identity);
    row->boot_id = g_strdup(hostnet_get_boot_id(net));
    row->netns = hostnet_get_netns_cookie(net);
    row->interface = g_strdup(link->name);
    row->link = hostnet_identity_format(&identity);
    row->runner = g_strdup("");
    row->settings = host_dhcp_settings_format(&settings, request);
    row->applied = dhcp_applied_format(nothing);
    row->lease = g_strdup(old ? old->lease : "");
    if (old &&
        (!host_dhcp_undo(net, old, &request->hooks, error) || !store_delete_lease(store, old->id, error)))
        return NULL;
    while ((stale = find_row(rows, net, link->name, true))) {
        g_free(row->lease);
        row->lease = carry_over(stale);
        if (!store_delete_lease(store, stale->id, error))
            return NULL;
        g_ptr_array_remove(rows, stale);
    }
    fault_point();
    return store_put_lease(store, row, error) ? g_steal_pointer(&row) : NULL;
}

/* What all ways of asking have in common. */
struct asking {
    const struct host_dhcp_request *request;
    struct hostnet *net;
    struct store *store;
    struct lock lock;
    struct store_lease *row;
};

static void asking_clear(struct asking *asking)
{
    lock_release(&asking->lock);
    store_lease_free(asking->row);
    store_close(asking->store);
    hostnet_close(asking->net);
}

static bool asking_begin(struct asking *asking, const struct host_dhcp_request *request, GError **error)
{
    *asking = (struct asking){.request = request, .lock = {.fd = -1}};
    asking->net = hostnet_open(error);
    g_autoptr(hostnet_link) link =
        asking->net ? find_interface(asking->net, request->interface, error) : NULL;
    if (!link || !check_interface(asking->net, link, error))
        return false;
    asking->store = store_open(request->place->state, error);
    if (!asking->store ||
        !lock_interface(&asking->lock, request->place, asking->net, link->name, "host dhcp request", error))
        return false;
    asking->row = make_row(asking->store, asking->net, link, request, error);
    return asking->row != NULL;
}

/* The row as its process has left it. */
static bool reread(struct asking *asking, GError **error)
{
    g_autoptr(GPtrArray) rows = store_list_leases(asking->store, error);
    if (!rows)
        return false;
    for (guint i = 0; i < rows->len; i++) {
        const struct store_lease *row = rows->pdata[i];
        if (row->id != asking->row->id)
            continue;
        set_text(&asking->row->runner, row->runner);
        set_text(&asking->row->lease, row->lease);
        set_text(&asking->row->applied, row->applied);
        asking->row->state = row->state;
    }
    return true;
}

/* After a failure: its process ended, everything undone. The first error is the one that is told. */
static void asking_undo(struct asking *asking)
{
    struct process_identity runner;
    g_autoptr(GError) ignored = NULL;
    if (process_parse(asking->row->runner, &runner) && runner.pid != getpid() &&
        !process_end(&runner, 0, &ignored)) {
        g_warning("%s", ignored->message);
        return;
    }
    if (!reread(asking, &ignored) || !forget(asking->store, asking->net, asking->request->place, asking->row,
                                             &asking->request->hooks, &ignored))
        g_warning("%s; `netlab host dhcp release %s` tries again", ignored->message, asking->row->interface);
}

struct launch {
    char **argv;
    int log, null, report;
};

static void launch_run(void *opaque)
{
    struct launch *launch = opaque;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    int report = fcntl(launch->report, F_DUPFD, 10);
    if (dup2(launch->null, 0) < 0 || dup2(launch->log, 1) < 0 || dup2(launch->log, 2) < 0 ||
        dup2(report, REPORT_FD) < 0 || chdir("/") != 0)
        _exit(126);
    close_range(REPORT_FD + 1, ~0u, 0);
    execv("/proc/self/exe", launch->argv);
    _exit(127);
}

static bool record_runner(const struct process_identity *identity, void *opaque, GError **error)
{
    struct asking *asking = opaque;
    g_free(asking->row->runner);
    asking->row->runner = process_format(identity);
    return store_put_lease(asking->store, asking->row, error);
}

/* Takes the lines that are whole; true at the one that ends it: "bound", or "fail", with `error` set. */
static bool hear(const struct host_dhcp_request *request, GString *text, bool *is_bound, GError **error)
{
    for (char *end; (end = strchr(text->str, '\n'));) {
        g_autofree char *line = g_strndup(text->str, (gsize)(end - text->str));
        g_string_erase(text, 0, end - text->str + 1);
        const char *rest = strchr(line, ' ');
        if (g_str_has_prefix(line, "say ") || g_str_has_prefix(line, "detail ")) {
            if (request->hooks.tell)
                request->hooks.tell(request->hooks.opaque, rest + 1, line[0] == 'd');
        } else if (g_str_equal(line, "bound")) {
            *is_bound = true;
            return true;
        } else if (g_str_has_prefix(line, "fail ")) {
            char *reason = NULL;
            guint64 code = g_ascii_strtoull(rest + 1, &reason, 10);
            g_set_error(error, HOSTNET_ERROR, code < HOSTNET_ERROR_COUNT ? (int)code : HOSTNET_ERROR_KERNEL,
                        "%s", *reason ? reason + 1 : "the DHCP client failed");
            return true;
        }
    }
    return false;
}

static bool wait_for_lease(const struct host_dhcp_request *request, int report, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    bool is_bound = false;
    for (;;) {
        struct pollfd fds[] = {{.fd = report, .events = POLLIN},
                               {.fd = request->cancel_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            continue;
        if (fds[1].revents) {
            g_set_error(error, LAB_ERROR, LAB_ERROR_CANCELLED, "interrupted; %s is as it was",
                        request->interface);
            return false;
        }
        if (!fds[0].revents)
            continue;
        char part[1024];
        ssize_t got = read(report, part, sizeof part);
        if (got > 0)
            g_string_append_len(text, part, got);
        if (hear(request, text, &is_bound, error))
            return is_bound;
        if (got == 0 || (got < 0 && errno != EINTR)) {
            g_set_error(error, LAB_ERROR, LAB_ERROR_FAILED,
                        "the process that asks for the address ended without a word; try --foreground");
            return false;
        }
    }
}

static bool start_runner(struct asking *asking, GError **error)
{
    const struct host_dhcp_request *request = asking->request;
    g_autofree char *log = host_dhcp_log_path(request->place, asking->row);
    g_autofree char *row = g_strdup_printf("--row=%" G_GINT64_FORMAT, asking->row->id);
    g_autofree char *state = g_strdup_printf("--state=%s", request->place->state);
    g_autofree char *timeout = g_strdup_printf("--timeout=%u", request->timeout_s);
    char *argv[] = {
        (char *)"netlab", (char *)"host", (char *)"dhcp", (char *)"run", row, state, timeout, NULL};
    int report[2] = {-1, -1};
    struct launch launch = {.argv = argv,
                            .log = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600),
                            .null = open("/dev/null", O_RDWR | O_CLOEXEC)};
    bool good = launch.log >= 0 && launch.null >= 0 && pipe2(report, O_CLOEXEC) == 0;
    if (!good) {
        int cause = errno;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(cause), "%s: %s", log, g_strerror(cause));
    }
    if (good) {
        launch.report = report[1];
        const struct gate_child child = {NULL, launch_run, &launch};
        struct gate gate;
        struct process_identity identity;
        good = gate_begin(&gate, &child, &identity, error);
        close(report[1]);
        if (good && !record_runner(&identity, asking, error)) {
            gate_cancel(&gate);
            good = false;
        }
        fault_point();
        good = good && gate_open(&gate, error) && wait_for_lease(request, report[0], error);
        close(report[0]);
    }
    if (launch.log >= 0)
        close(launch.log);
    if (launch.null >= 0)
        close(launch.null);
    return good;
}

struct host_dhcp_lease *host_dhcp_request(const struct host_dhcp_request *request, GError **error)
{
    struct asking asking;
    struct host_dhcp_lease *lease = NULL;
    if (asking_begin(&asking, request, error)) {
        if (start_runner(&asking, error) && reread(&asking, error))
            lease = host_dhcp_describe(request->place, asking.row, false);
        else
            asking_undo(&asking);
    }
    asking_clear(&asking);
    return lease;
}

bool host_dhcp_foreground(const struct host_dhcp_request *request,
                          void (*bound)(void *opaque, const struct host_dhcp_lease *lease), GError **error)
{
    struct asking asking;
    struct process_identity self;
    bool good = false;
    if (asking_begin(&asking, request, error)) {
        good = process_identify(getpid(), &self) && record_runner(&self, &asking, error);
        /* From here on the row is this process's, as any runner's. */
        lock_release(&asking.lock);
        asking.lock.fd = -1;
        struct host_dhcp_loop loop = {.net = asking.net,
                                      .place = request->place,
                                      .row = asking.row,
                                      .timeout_s = request->timeout_s,
                                      .release_at_end = true,
                                      .report_fd = -1,
                                      .hooks = request->hooks,
                                      .bound = bound};
        good = good && host_dhcp_loop(&loop, error);
        asking_undo(&asking);
    }
    asking_clear(&asking);
    return good;
}

/* ---- releasing ---- */

static void tell(const struct host_dhcp_hooks *hooks, bool is_detail, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static void tell(const struct host_dhcp_hooks *hooks, bool is_detail, const char *format, ...)
{
    if (!hooks->tell)
        return;
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    hooks->tell(hooks->opaque, text, is_detail);
}

/* The server is told if it can be: a lease that is not given back ends by itself. */
static void send_release(struct hostnet *net, const struct store_lease *row,
                         const struct host_dhcp_hooks *hooks)
{
    g_autoptr(dhcp_lease) lease = *row->lease ? dhcp_lease_parse(row->lease, NULL) : NULL;
    struct hostnet_link_identity identity;
    enum hostnet_presence presence = HOSTNET_ABSENT;
    g_autoptr(hostnet_link) link = NULL;
    if (!lease || row->state != STORE_LEASE_BOUND || dhcp_lease_end(lease) <= dhcp_clock_ms() ||
        !hostnet_identity_parse(row->link, &identity, NULL) ||
        !hostnet_link_check(net, &identity, &presence, &link, NULL) || presence != HOSTNET_PRESENT)
        return;
    struct dhcp_settings settings;
    char address[DHCP_ADDRESS_TEXT], server[DHCP_ADDRESS_TEXT];
    g_autoptr(GError) refusal = NULL;
    dhcp_settings_default(&settings, &link->mac);
    dhcp_settings_parse(&settings, row->settings, NULL);
    dhcp_address_format(lease->address, address);
    dhcp_address_format(lease->server, server);
    if (dhcp_release_send(net, link->index, &settings, lease, &refusal))
        tell(hooks, false, "DHCPRELEASE of %s on %s to %s", address, row->interface, server);
    else
        tell(hooks, false, "the server was not told: %s", refusal->message);
}

static bool release_row(struct store *store, struct hostnet *net, const struct lab_place *place,
                        const struct store_lease *seen, const struct host_dhcp_hooks *hooks, GError **error)
{
    struct process_identity runner;
    if (process_parse(seen->runner, &runner) && !process_end(&runner, END_GRACE_MS, error))
        return false;
    /* One in the foreground has given it back itself by now. */
    g_autoptr(GPtrArray) rows = store_list_leases(store, error);
    if (!rows)
        return false;
    struct store_lease *row = find_row(rows, net, seen->interface, false);
    if (!row)
        return true;
    send_release(net, row, hooks);
    return forget(store, net, place, row, hooks, error);
}

bool host_dhcp_release(const struct lab_place *place, const char *interface,
                       const struct host_dhcp_hooks *hooks, GError **error)
{
    g_autoptr(hostnet) net = hostnet_open(error);
    g_autoptr(store) store = net ? store_open(place->state, error) : NULL;
    struct lock lock;
    if (!store)
        return false;
    /* The link may be gone, or called otherwise; its row goes by the name it had. */
    g_autoptr(hostnet_link) link = hostnet_link_find(net, interface, NULL);
    const char *name = link ? link->name : interface;
    if (!lock_interface(&lock, place, net, name, "host dhcp release", error))
        return false;
    g_autoptr(GPtrArray) rows = store_list_leases(store, error);
    struct store_lease *row = rows ? find_row(rows, net, name, false) : NULL;
    struct store_lease *stale = rows ? find_row(rows, net, name, true) : NULL;
    bool good = rows != NULL;
    if (good && !row && !stale) {
        good = false;
        g_autoptr(hostnet_link) there = find_interface(net, interface, error);
        if (there)
            g_set_error(
                error, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND,
                "%s has no lease of netlab's; `netlab host dhcp show` lists those there are (another DHCP "
                "client's lease is that client's to release)",
                name);
    }
    if (good && row)
        good = release_row(store, net, place, row, hooks, error);
    if (good && stale)
        good = store_delete_lease(store, stale->id, error);
    lock_release(&lock);
    return good;
}
