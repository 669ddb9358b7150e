/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * See renew.h and docs/uplinks.md.
 *
 * The lease was somebody else's: another client's of this host, whose server and times we do not know. So it
 * is asked for again as after a restart of the computer (INIT-REBOOT), under the client identifier of
 * systemd-networkd where that had it, else under the MAC's. The server that agrees makes it ours. One that
 * refuses knows us as somebody else: then the old address stays for as long as it was given, for it was not
 * put there by us (dhcp_apply.h), and a new one comes beside it.
 *
 * Later refusals, and leases that end, are the client's daily bread (hostnet/dhcp_client.c).
 */
#include "netlab/renew.h"
#include "hostnet/bridge.h"
#include "hostnet/dhcp_runner.h"
#include "hostnet/route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_MOST = 256 << 10 };

/* A line of the log, which begins anew before it grows large. */
G_GNUC_PRINTF(1, 2) static void say(const char *format, ...)
{
    struct stat found;
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (fstat(STDOUT_FILENO, &found) == 0 && S_ISREG(found.st_mode) && found.st_size > LOG_MOST)
        (void)!ftruncate(STDOUT_FILENO, 0);
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *at = g_date_time_format(now, "%F %T");
    g_autofree char *line = g_strdup_printf("%s %s\n", at, text);
    (void)!write(STDOUT_FILENO, line, strlen(line));
}

static void on_tell(void *opaque, const struct dhcp_event *event)
{
    const char *bridge = opaque;
    char address[DHCP_ADDRESS_TEXT], peer[DHCP_ADDRESS_TEXT], mac[HOSTNET_MAC_TEXT];
    dhcp_address_format(event->address, address);
    dhcp_address_format(event->peer, peer);
    switch (event->type) {
    case DHCP_EVENT_SENT:
        say("%s for %s on %s to %s", dhcp_type_name(event->message), address, bridge, peer);
        break;
    case DHCP_EVENT_RECEIVED:
        say("%s of %s from %s", dhcp_type_name(event->message), address, peer);
        break;
    case DHCP_EVENT_IGNORED:
        break; /* others' answers come by all the time */
    case DHCP_EVENT_CONFLICT:
        say("%s is in use by %s", address, hostnet_mac_format(&event->mac, mac));
        break;
    case DHCP_EVENT_BOUND:
    case DHCP_EVENT_RENEWED:
        say("%s %s %s for %u s, renewal after %u s", bridge,
            event->type == DHCP_EVENT_BOUND ? "has" : "keeps", address, event->lease->lifetime,
            event->lease->t1);
        break;
    case DHCP_EVENT_LOST:
        say("%s has lost %s: %s", bridge, address, event->text);
        break;
    case DHCP_EVENT_COUNT:
        break;
    }
}

static void on_note(void *opaque, const char *text)
{
    say("note: %s", text);
}

/* The address that the bridge has for a time, as a lease of a server that is not known. NULL: none. */
static struct dhcp_lease *find_lease(struct hostnet *net, uint32_t index)
{
    g_autoptr(GArray) addresses = hostnet_address_list(net, index, NULL);
    for (guint i = 0; addresses && i < addresses->len; i++) {
        const struct hostnet_link_address *found = &g_array_index(addresses, struct hostnet_link_address, i);
        const uint8_t *bytes = found->local.address.bytes;
        if (found->local.address.family != AF_INET || found->valid == HOSTNET_FOREVER || !found->valid ||
            hostnet_address_is_link_local(&found->local.address))
            continue;
        struct dhcp_lease *lease = dhcp_lease_new();
        lease->address =
            (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
        lease->length = found->local.length;
        lease->lifetime = found->valid;
        lease->t1 = found->valid / 2;
        lease->t2 = found->valid - found->valid / 8;
        lease->obtained_ms = dhcp_clock_ms();
        lease->obtained_at = g_get_real_time() / G_USEC_PER_SEC;
        return lease;
    }
    return NULL;
}

/* The metric of the default route that is there: a new lease's takes its place, and no other. */
static uint32_t find_metric(struct hostnet *net, uint32_t index)
{
    g_autoptr(GArray) routes = hostnet_route_list(net, RT_TABLE_MAIN, index, NULL);
    for (guint i = 0; routes && i < routes->len; i++) {
        const struct hostnet_route *route = &g_array_index(routes, struct hostnet_route, i);
        if (!route->destination.length && route->destination.address.family == AF_INET)
            return route->metric;
    }
    return 0;
}

/* Option 61 as systemd-networkd sends it: "CLIENTID=ff…" in its file of the NIC's lease. */
static void use_networkd_identifier(struct hostnet *net, uint32_t bridge, struct dhcp_settings *settings)
{
    g_autoptr(GPtrArray) ports = hostnet_bridge_list_ports(net, bridge, NULL);
    for (guint i = 0; ports && i < ports->len; i++) {
        const struct hostnet_link *port = ports->pdata[i];
        g_autofree char *path = g_strdup_printf("/run/systemd/netif/leases/%u", port->index), *text = NULL;
        if ((port->mark && hostnet_mark_parse(port->mark, NULL, NULL)) ||
            !g_file_get_contents(path, &text, NULL, NULL))
            continue;
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++) {
            const char *digits = g_str_has_prefix(*line, "CLIENTID=") ? *line + strlen("CLIENTID=") : "";
            g_autoptr(GString) bytes = g_string_new(NULL);
            for (; g_ascii_isxdigit(digits[0]) && g_ascii_isxdigit(digits[1]); digits += 2)
                g_string_append_printf(bytes, "%s%.2s", bytes->len ? ":" : "", digits);
            if (bytes->len && !*digits)
                (void)dhcp_settings_parse_client_id(settings, bytes->str, NULL, NULL);
        }
    }
}

static bool loop(struct dhcp_runner *runner, int signals, GError **error)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = dhcp_runner_fd(runner), .events = POLLIN},
                               {.fd = signals, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            continue;
        if (fds[1].revents)
            return true;
        if (!dhcp_runner_dispatch(runner, error))
            return false;
    }
}

bool renew_run(const char *bridge, GError **error)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    g_autoptr(hostnet) net = hostnet_open(error);
    g_autoptr(hostnet_link) link = net ? hostnet_link_find(net, bridge, error) : NULL;
    struct hostnet_link_identity identity;
    bool good = false;
    if (link) {
        hostnet_link_get_identity(net, link, &identity);
        g_autoptr(dhcp_lease) lease = find_lease(net, link->index);
        g_autoptr(dhcp_applied) applied = dhcp_applied_new(&identity);
        struct dhcp_runner_options options = {
            .remembered = lease,
            .apply = {.metric = find_metric(net, link->index), .no_mtu = true},
            .hooks = {.tell = on_tell, .note = on_note},
            .opaque = (void *)bridge};
        dhcp_settings_default(&options.settings, &link->mac);
        use_networkd_identifier(net, link->index, &options.settings);
        say("%s", lease ? "taking the lease on" : "no lease is left; asking for one");
        g_autoptr(dhcp_runner) runner = dhcp_runner_new(net, applied, &options, error);
        good = runner && loop(runner, signals, error);
    }
    close(signals);
    if (!good && error && *error)
        say("%s", (*error)->message);
    return good;
}
