/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Bridging an uplink. See uplink.h.
 *
 * Restoring does not ask how far the bridging came. Each of its steps looks at what is there: the NIC is
 * taken out of our bridge if it is in it, the bridge is deleted if it is there and ours, stored addresses and
 * routes are added where they are missing. So it can follow a crash anywhere, its own included.
 *
 * Order of the move: routes are removed before addresses, because the kernel would remove some with them and
 * leave others; addresses are added before routes, because gateways have to be on link. Duplicate address
 * detection is off on the bridge, and off on the NIC for the moment of the restoring: these addresses were
 * ours a moment ago, and a tentative address would be deaf for a second.
 */
#include "hostnet/uplink.h"
#include "hostnet/bridge.h"
#include "hostnet/dump.h"
#include "hostnet/hostnet_internal.h"
#include "hostnet/monitor.h"
#include "hostnet/route.h"
#include "hostnet/sysctl.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/wireless.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#define GROUP "uplink"
enum { FORMAT_VERSION = 1 };

void hostnet_uplink_free(struct hostnet_uplink *uplink)
{
    if (!uplink)
        return;
    g_clear_pointer(&uplink->addresses, g_bytes_unref);
    g_clear_pointer(&uplink->routes, g_bytes_unref);
    g_clear_pointer(&uplink->rules, g_bytes_unref);
    g_clear_pointer(&uplink->neighbours, g_bytes_unref);
    g_free(uplink->accept_dad);
    g_free(uplink);
}

static uint64_t seconds_since_boot(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec;
}

G_GNUC_PRINTF(2, 3) static void note(GPtrArray *notes, const char *format, ...)
{
    if (!notes)
        return;
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    /* Whoever tries again has said it. */
    if (!g_ptr_array_find_with_equal_func(notes, text, g_str_equal, NULL))
        g_ptr_array_add(notes, g_steal_pointer(&text));
}

/* ---- ioctls by name: wireless, offloads ---- */

static int ioctl_socket(const struct hostnet *net)
{
    struct hostnet_scope scope;
    if (!hostnet_scope_enter(net, &scope, NULL))
        return -1;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    hostnet_scope_leave(&scope);
    return fd;
}

static bool is_wireless(const struct hostnet *net, const char *nic)
{
    hostnet_autofd fd = ioctl_socket(net);
    struct iwreq request = {0};
    g_strlcpy(request.ifr_name, nic, sizeof request.ifr_name);
    if (fd >= 0 && ioctl(fd, SIOCGIWNAME, &request) == 0)
        return true;
    /* Drivers without wireless extensions; /sys shows the namespace it was mounted in, so the name may be
     * another's there: it only counts beside the ioctl where that is not compiled in. */
    g_autofree char *path = g_strdup_printf("/sys/class/net/%s/phy80211", nic);
    return fd >= 0 && errno == EOPNOTSUPP && g_file_test(path, G_FILE_TEST_EXISTS);
}

/* 1, 0, or -1 where it cannot be told. */
static int get_lro(const struct hostnet *net, const char *nic)
{
    hostnet_autofd fd = ioctl_socket(net);
    struct ethtool_value value = {.cmd = ETHTOOL_GFLAGS};
    struct ifreq request = {.ifr_data = (void *)&value};
    g_strlcpy(request.ifr_name, nic, sizeof request.ifr_name);
    if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request) != 0)
        return -1;
    return (value.data & ETH_FLAG_LRO) != 0;
}

static bool set_lro(const struct hostnet *net, const char *nic)
{
    hostnet_autofd fd = ioctl_socket(net);
    struct ethtool_value value = {.cmd = ETHTOOL_GFLAGS};
    struct ifreq request = {.ifr_data = (void *)&value};
    g_strlcpy(request.ifr_name, nic, sizeof request.ifr_name);
    if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request) != 0)
        return false;
    value.cmd = ETHTOOL_SFLAGS;
    value.data |= ETH_FLAG_LRO;
    return ioctl(fd, SIOCETHTOOL, &request) == 0;
}

/* ---- may it be bridged ---- */

static bool check_link(struct hostnet *net, const struct hostnet_link *link, GError **error)
{
    const char *why = NULL;
    if (link->kind == HOSTNET_LINK_LOOPBACK || link->type == ARPHRD_LOOPBACK)
        why = "it is the loopback; name the interface that leads to your network (`ip route` shows it)";
    else if (link->type != ARPHRD_ETHER)
        why = "it is no Ethernet interface, and only those can be bridged; use uplink: nat";
    else if (link->kind == HOSTNET_LINK_BRIDGE)
        why = "it is a bridge already, which takes ports as it is (`netlab host bridge attach`)";
    else if (link->mark && hostnet_mark_parse(link->mark, NULL, NULL))
        why = "it belongs to a lab";
    else if (is_wireless(net, link->name))
        why =
            "it is a wireless interface: access points refuse frames from other addresses than its own; use "
            "uplink: nat or uplink: user";
    if (why)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "%s cannot be bridged: %s", link->name, why);
    if (link->master) {
        g_autoptr(hostnet_link) master = hostnet_link_get(net, link->master, NULL);
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID, "%s cannot be bridged: it is a part of %s already%s", link->name,
            master ? master->name : "another interface",
            master && master->kind == HOSTNET_LINK_BRIDGE ? "; name that bridge as the uplink instead"
                                                          : "; name that one as the uplink instead");
    }
    return true;
}

bool hostnet_uplink_check(struct hostnet *net, const char *nic, GPtrArray *warnings, GError **error)
{
    g_autoptr(hostnet_link) link = hostnet_link_find(net, nic, error);
    if (!link || !check_link(net, link, error))
        return false;
    if (!link->carrier)
        note(warnings, "%s has no carrier: is its cable plugged in, is it up?", link->name);
    g_autofree char *forwarding = hostnet_sysctl_get(net, "net/bridge/bridge-nf-call-iptables", NULL);
    if (g_strcmp0(forwarding, "1") == 0)
        note(warnings,
             "br_netfilter is loaded: the host's FORWARD rules apply to frames between the lab and %s too "
             "(sysctl net.bridge.bridge-nf-call-iptables=0 ends that)",
             link->name);
    return true;
}

/* ---- capture ---- */

static bool has_lease(struct hostnet *net, uint32_t index, bool *result, GError **error)
{
    g_autoptr(GArray) addresses = hostnet_address_list(net, index, error);
    if (!addresses)
        return false;
    for (unsigned i = 0; i < addresses->len; i++) {
        const struct hostnet_link_address *address =
            &g_array_index(addresses, struct hostnet_link_address, i);
        *result |= address->local.address.family == AF_INET && address->valid != HOSTNET_FOREVER;
    }
    return true;
}

static GBytes *take(struct hostnet *net, enum hostnet_dump_kind kind, uint32_t index, GError **error)
{
    g_autoptr(GBytes) all = hostnet_dump_take(net, kind, error);
    return all ? hostnet_dump_filter(all, index) : NULL;
}

struct hostnet_uplink *hostnet_uplink_capture(struct hostnet *net, const char *nic, const char *bridge_name,
                                              const char *mark, GError **error)
{
    g_autoptr(hostnet_link) link = hostnet_link_find(net, nic, error);
    if (!link || !check_link(net, link, error))
        return NULL;
    g_autoptr(hostnet_uplink) uplink = g_new0(struct hostnet_uplink, 1);
    g_strlcpy(uplink->nic, link->name, sizeof uplink->nic);
    uplink->index = link->index;
    uplink->mac = link->mac;
    uplink->mtu = link->mtu;
    uplink->was_up = link->up;
    uplink->had_lro = get_lro(net, link->name) == 1;
    uplink->taken_at = seconds_since_boot();
    g_autofree char *key = g_strdup_printf("net/ipv6/conf/%s/accept_dad", link->name);
    uplink->accept_dad = hostnet_sysctl_get(net, key, NULL);
    g_autoptr(GBytes) rules = NULL;
    if (!(uplink->addresses = take(net, HOSTNET_DUMP_ADDRESSES, link->index, error)) ||
        !(uplink->routes = take(net, HOSTNET_DUMP_ROUTES, link->index, error)) ||
        !(uplink->neighbours = take(net, HOSTNET_DUMP_NEIGHBOURS, link->index, error)) ||
        !(rules = hostnet_dump_take(net, HOSTNET_DUMP_RULES, error)) ||
        !has_lease(net, link->index, &uplink->had_lease, error) ||
        !hostnet_identity_plan(net, bridge_name, mark, &uplink->bridge, error)) {
        g_prefix_error(error, "reading how %s is set up: ", link->name);
        return NULL;
    }
    uplink->rules = hostnet_dump_filter_rules(rules, link->name);
    return g_steal_pointer(&uplink);
}

/* ---- as text ---- */

static void put_bytes(GKeyFile *file, const char *key, GBytes *bytes)
{
    gsize size;
    const guchar *data = g_bytes_get_data(bytes, &size);
    g_autofree char *text = g_base64_encode(data, size);
    g_key_file_set_string(file, GROUP, key, text);
}

static GBytes *get_bytes(GKeyFile *file, const char *key)
{
    g_autofree char *text = g_key_file_get_string(file, GROUP, key, NULL);
    gsize size = 0;
    guchar *data = text ? g_base64_decode(text, &size) : NULL;
    return data ? g_bytes_new_take(data, size) : NULL;
}

char *hostnet_uplink_format(const struct hostnet_uplink *uplink)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    char mac[HOSTNET_MAC_TEXT];
    g_autofree char *bridge = hostnet_identity_format(&uplink->bridge);
    g_key_file_set_integer(file, GROUP, "version", FORMAT_VERSION);
    g_key_file_set_string(file, GROUP, "nic", uplink->nic);
    g_key_file_set_uint64(file, GROUP, "index", uplink->index);
    g_key_file_set_string(file, GROUP, "mac", hostnet_mac_format(&uplink->mac, mac));
    g_key_file_set_uint64(file, GROUP, "mtu", uplink->mtu);
    g_key_file_set_boolean(file, GROUP, "up", uplink->was_up);
    g_key_file_set_boolean(file, GROUP, "lro", uplink->had_lro);
    g_key_file_set_boolean(file, GROUP, "lease", uplink->had_lease);
    g_key_file_set_string(file, GROUP, "bridge", bridge);
    g_key_file_set_uint64(file, GROUP, "taken-at", uplink->taken_at);
    if (uplink->accept_dad)
        g_key_file_set_string(file, GROUP, "accept-dad", uplink->accept_dad);
    put_bytes(file, "addresses", uplink->addresses);
    put_bytes(file, "routes", uplink->routes);
    put_bytes(file, "rules", uplink->rules);
    put_bytes(file, "neighbours", uplink->neighbours);
    return g_key_file_to_data(file, NULL, NULL);
}

struct hostnet_uplink *hostnet_uplink_parse(const char *text, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(hostnet_uplink) uplink = g_new0(struct hostnet_uplink, 1);
    bool good = g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, NULL) &&
                g_key_file_get_integer(file, GROUP, "version", NULL) == FORMAT_VERSION;
    g_autofree char *nic = good ? g_key_file_get_string(file, GROUP, "nic", NULL) : NULL;
    g_autofree char *mac = good ? g_key_file_get_string(file, GROUP, "mac", NULL) : NULL;
    g_autofree char *bridge = good ? g_key_file_get_string(file, GROUP, "bridge", NULL) : NULL;
    good = nic && mac && bridge && hostnet_name_check(nic, NULL) &&
           hostnet_mac_parse(mac, &uplink->mac, NULL) &&
           hostnet_identity_parse(bridge, &uplink->bridge, NULL);
    if (good) {
        g_strlcpy(uplink->nic, nic, sizeof uplink->nic);
        uplink->index = (uint32_t)g_key_file_get_uint64(file, GROUP, "index", NULL);
        uplink->mtu = (uint32_t)g_key_file_get_uint64(file, GROUP, "mtu", NULL);
        uplink->was_up = g_key_file_get_boolean(file, GROUP, "up", NULL);
        uplink->had_lro = g_key_file_get_boolean(file, GROUP, "lro", NULL);
        uplink->had_lease = g_key_file_get_boolean(file, GROUP, "lease", NULL);
        uplink->taken_at = g_key_file_get_uint64(file, GROUP, "taken-at", NULL);
        uplink->accept_dad = g_key_file_get_string(file, GROUP, "accept-dad", NULL);
        uplink->addresses = get_bytes(file, "addresses");
        uplink->routes = get_bytes(file, "routes");
        uplink->rules = get_bytes(file, "rules");
        uplink->neighbours = get_bytes(file, "neighbours");
        if (!uplink->neighbours) /* stored by an earlier version */
            uplink->neighbours = g_bytes_new(NULL, 0);
        good = uplink->index && uplink->addresses && uplink->routes && uplink->rules;
    }
    if (!good) {
        hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                          "the stored state of an uplink cannot be read; put the interface back by hand "
                          "(`ip link set NIC nomaster`, then what gives it its address)");
        return NULL;
    }
    return g_steal_pointer(&uplink);
}

/* ---- the move ---- */

/* The bridge is to behave as the NIC did. Keys that a kernel has not are left out. */
static bool copy_switches(struct hostnet *net, const struct hostnet_uplink *uplink, GError **error)
{
    static const char *const keys[] = {
        "ipv6/%s/disable_ipv6",
        "ipv6/%s/forwarding",
        "ipv6/%s/accept_ra",
        "ipv6/%s/accept_ra_defrtr",
        "ipv6/%s/accept_ra_pinfo",
        "ipv6/%s/accept_ra_rtr_pref",
        "ipv6/%s/accept_ra_rt_info_max_plen",
        "ipv6/%s/accept_ra_mtu",
        "ipv6/%s/autoconf",
        "ipv6/%s/use_tempaddr",
        "ipv6/%s/addr_gen_mode",
        "ipv6/%s/stable_secret",
        "ipv6/%s/accept_redirects",
        "ipv6/%s/proxy_ndp",
        "ipv4/%s/forwarding",
        "ipv4/%s/rp_filter",
        "ipv4/%s/accept_local",
        "ipv4/%s/arp_announce",
        "ipv4/%s/arp_filter",
        "ipv4/%s/arp_ignore",
        "ipv4/%s/proxy_arp",
        "ipv4/%s/accept_redirects",
        "ipv4/%s/send_redirects",
        "ipv4/%s/accept_source_route",
        "ipv4/%s/log_martians",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_auto(GStrv) parts = g_strsplit(keys[i], "%s", 2);
        g_autofree char *family = g_strndup(parts[0], 4);
        g_autofree char *from = g_strdup_printf("net/%s/conf/%s%s", family, uplink->nic, parts[1]);
        g_autofree char *to = g_strdup_printf("net/%s/conf/%s%s", family, uplink->bridge.name, parts[1]);
        g_autofree char *value = hostnet_sysctl_get(net, from, NULL);
        g_autoptr(GError) refusal = NULL;
        if (value && *value && !hostnet_sysctl_set(net, to, value, NULL, &refusal) &&
            g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_PERMISSION)) {
            g_propagate_error(error, g_steal_pointer(&refusal));
            return false;
        }
    }
    /* Announce: gratuitous ARP and unsolicited advertisements when addresses come; no waiting for doubles. An
     * address whose time is over does not take the others of its subnet, a newer lease's, along. */
    static const char *const own[][2] = {{"net/ipv4/conf/%s/arp_notify", "1"},
                                         {"net/ipv4/conf/%s/promote_secondaries", "1"},
                                         {"net/ipv6/conf/%s/ndisc_notify", "1"},
                                         {"net/ipv6/conf/%s/accept_dad", "0"}};
    for (unsigned i = 0; i < G_N_ELEMENTS(own); i++) {
        g_auto(GStrv) parts = g_strsplit(own[i][0], "%s", 2);
        g_autofree char *key = g_strconcat(parts[0], uplink->bridge.name, parts[1], NULL);
        (void)hostnet_sysctl_set(net, key, own[i][1], NULL, NULL);
    }
    return true;
}

static uint32_t elapsed(const struct hostnet_uplink *uplink)
{
    uint64_t now = seconds_since_boot();
    return now > uplink->taken_at ? (uint32_t)MIN(now - uplink->taken_at, UINT32_MAX - 1) : 0;
}

bool hostnet_uplink_bridge(struct hostnet *net, const struct hostnet_uplink *uplink, const char *altname,
                           GError **error)
{
    struct hostnet_bridge_spec spec = {.link = {.name = uplink->bridge.name,
                                                .mark = uplink->bridge.mark,
                                                .altname = altname,
                                                .index = uplink->bridge.index,
                                                .mac = &uplink->mac,
                                                .mtu = uplink->mtu}};
    uint32_t bridge = uplink->bridge.index;
    g_autoptr(hostnet_link) link = hostnet_link_get(net, uplink->index, error);
    if (!link)
        return false;
    if (strcmp(link->name, uplink->nic) != 0 || link->master)
        return hostnet_error_say(error, HOSTNET_ERROR_BUSY,
                                 "%s was changed by somebody else meanwhile; nothing was touched, try again",
                                 uplink->nic);
    /* A route that another tool has given the NIC since it was captured would go with its addresses: it moves
     * along, and is told at the end as one of the bridge. */
    hostnet_autofd watch = hostnet_route_watch_open(net, NULL);
    g_autoptr(GBytes) routes_now = take(net, HOSTNET_DUMP_ROUTES, uplink->index, error);
    if (!routes_now)
        return false;
    bool good =
        hostnet_bridge_create(net, &spec, NULL, error) && copy_switches(net, uplink, error) &&
        hostnet_dump_replay(net, uplink->rules, uplink->index, bridge, 0, error) >= 0 &&
        (uplink->was_up || hostnet_link_set_up(net, uplink->index, true, error)) &&
        hostnet_dump_remove(net, uplink->routes, NULL, NULL, error) &&
        hostnet_dump_remove(net, uplink->addresses, NULL, NULL, error) &&
        hostnet_bridge_add_port(net, bridge, uplink->index, error) &&
        hostnet_link_set_up(net, bridge, true, error) &&
        hostnet_dump_replay(net, uplink->addresses, uplink->index, bridge, elapsed(uplink), error) >= 0 &&
        hostnet_dump_replay(net, uplink->neighbours, uplink->index, bridge, 0, error) >= 0 &&
        hostnet_dump_replay(net, uplink->routes, uplink->index, bridge, elapsed(uplink), error) >= 0;
    g_autoptr(GBytes) routes_since = hostnet_route_watch_take(watch, uplink->index);
    GBytes *const others[] = {routes_now, routes_since};
    for (unsigned i = 0; good && i < G_N_ELEMENTS(others); i++) {
        g_autoptr(GBytes) foreign = hostnet_dump_filter_foreign_routes(others[i], uplink->routes);
        /* What its owner has taken away again meanwhile may be refused. */
        (void)hostnet_dump_replay(net, foreign, uplink->index, bridge, 0, NULL);
    }
    if (!good)
        g_prefix_error(error, "bridging %s: ", uplink->nic);
    return good;
}

/* ---- the way back ---- */

static GHashTable *address_set(struct hostnet *net, uint32_t index, GError **error)
{
    g_autoptr(GArray) list = hostnet_address_list(net, index, error);
    if (!list)
        return NULL;
    GHashTable *set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (unsigned i = 0; i < list->len; i++) {
        char text[HOSTNET_PREFIX_TEXT];
        const struct hostnet_link_address *address = &g_array_index(list, struct hostnet_link_address, i);
        if (!(address->flags & 0x01) || address->local.address.family == AF_INET) /* IFA_F_TEMPORARY */
            g_hash_table_add(set, g_strdup(hostnet_prefix_format(&address->local, text)));
    }
    return set;
}

/* Of the lease that the bridge has: those of a client that renews it there. */
static bool is_lease_route(const char *text, const struct hostnet_uplink *uplink, const GArray *addresses)
{
    const char *source = strstr(text, " src ");
    for (unsigned i = 0; source && uplink->had_lease && addresses && i < addresses->len; i++) {
        const struct hostnet_link_address *address =
            &g_array_index(addresses, struct hostnet_link_address, i);
        char plain[HOSTNET_ADDRESS_TEXT];
        hostnet_address_format(&address->local.address, plain);
        size_t length = strlen(plain);
        const char *named = source + strlen(" src ");
        if (address->valid != HOSTNET_FOREVER && strncmp(named, plain, length) == 0 &&
            (!named[length] || named[length] == ' '))
            return true;
    }
    return false;
}

static void note_foreign_routes(struct hostnet *net, const struct hostnet_uplink *uplink,
                                const GArray *addresses, GPtrArray *notes)
{
    g_autoptr(GBytes) there = take(net, HOSTNET_DUMP_ROUTES, uplink->bridge.index, NULL);
    g_autoptr(GBytes) queues = take(net, HOSTNET_DUMP_QDISCS, uplink->bridge.index, NULL);
    g_autoptr(GHashTable) now = there ? hostnet_dump_route_set(there) : NULL;
    g_autoptr(GHashTable) ours = hostnet_dump_route_set(uplink->routes);
    g_autoptr(GHashTable) disciplines = queues ? hostnet_dump_qdisc_set(queues) : NULL;
    GHashTableIter iter;
    gpointer key;
    if (now)
        g_hash_table_iter_init(&iter, now);
    while (now && g_hash_table_iter_next(&iter, &key, NULL))
        if (!g_hash_table_contains(ours, key) && !is_lease_route(key, uplink, addresses))
            note(notes, "the route %s was given to the bridge %s while it was up; it is not put on %s",
                 (const char *)key, uplink->bridge.name, uplink->nic);
    if (disciplines)
        g_hash_table_iter_init(&iter, disciplines);
    while (disciplines && g_hash_table_iter_next(&iter, &key, NULL))
        note(notes,
             "the queueing discipline %s was given to the bridge %s while it was up; it is not put on %s",
             (const char *)key, uplink->bridge.name, uplink->nic);
}

/* ---- the moment between looking at the bridge and its end ---- */

struct late {
    uint32_t bridge;
    GHashTable *known;  /* prefixes that it had when it was looked at */
    GPtrArray *noticed; /* those that came after that */
};

static void notice_late(const struct hostnet_event *event, void *opaque)
{
    const struct late *late = opaque;
    char text[HOSTNET_PREFIX_TEXT];
    if (event->index != late->bridge || !event->prefix.address.family ||
        (event->type != HOSTNET_EVENT_ROUTE && event->type != HOSTNET_EVENT_ADDRESS))
        return;
    hostnet_prefix_format(&event->prefix, text);
    if (g_hash_table_add(late->known, g_strdup(text)))
        g_ptr_array_add(late->noticed, g_strdup(text));
}

static void know_prefix(struct late *late, const struct hostnet_prefix *prefix)
{
    char text[HOSTNET_PREFIX_TEXT];
    g_hash_table_add(late->known, g_strdup(hostnet_prefix_format(prefix, text)));
}

/* NULL: it cannot be watched, which is no reason to leave it. */
static struct hostnet_monitor *late_watch(struct hostnet *net, struct late *late)
{
    struct hostnet_monitor *monitor = hostnet_monitor_open(
        net, HOSTNET_MONITOR_ADDRESSES | HOSTNET_MONITOR_ROUTES, notice_late, late, NULL);
    g_autoptr(GArray) routes = hostnet_route_list(net, 0, late->bridge, NULL);
    g_autoptr(GArray) addresses = hostnet_address_list(net, late->bridge, NULL);
    for (unsigned i = 0; routes && i < routes->len; i++)
        know_prefix(late, &g_array_index(routes, struct hostnet_route, i).destination);
    for (unsigned i = 0; addresses && i < addresses->len; i++)
        know_prefix(late, &g_array_index(addresses, struct hostnet_link_address, i).local);
    return monitor;
}

static void late_tell(struct late *late, struct hostnet_monitor *monitor, const struct hostnet_uplink *uplink,
                      GPtrArray *notes)
{
    if (monitor)
        (void)hostnet_monitor_dispatch(monitor, NULL);
    for (unsigned i = 0; i < late->noticed->len; i++)
        note(notes, "%s was given to the bridge %s in its last moment; it is not put on %s",
             (const char *)late->noticed->pdata[i], uplink->bridge.name, uplink->nic);
}

/* A lease that the bridge was given while it had the NIC's place, instead of the NIC's own: the NIC's now. */
static bool is_new_lease(const struct hostnet_uplink *uplink, const struct hostnet_link_address *address)
{
    char text[HOSTNET_PREFIX_TEXT];
    if (!uplink->had_lease || address->local.address.family != AF_INET || address->valid == HOSTNET_FOREVER ||
        !address->valid || hostnet_address_is_link_local(&address->local.address))
        return false;
    g_autoptr(GHashTable) ours = hostnet_dump_address_set(uplink->addresses);
    return !g_hash_table_contains(ours, hostnet_prefix_format(&address->local, text));
}

/* Texts of the new leases among these addresses (NULL: none). */
static GHashTable *new_lease_set(const struct hostnet_uplink *uplink, const GArray *addresses)
{
    GHashTable *set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (unsigned i = 0; addresses && i < addresses->len; i++) {
        char text[HOSTNET_PREFIX_TEXT];
        const struct hostnet_link_address *address =
            &g_array_index(addresses, struct hostnet_link_address, i);
        if (is_new_lease(uplink, address))
            g_hash_table_add(set, g_strdup(hostnet_prefix_format(&address->local, text)));
    }
    return set;
}

/* Before the bridge goes, so that nothing is lost with whoever does it: such leases, and the routes that have
 * them as their source. What the kernel refuses is told. */
static void hand_over_leases(struct hostnet *net, const struct hostnet_uplink *uplink,
                             const struct hostnet_link *nic, const GArray *addresses, GPtrArray *notes)
{
    g_autoptr(GArray) routes = hostnet_route_list(net, RT_TABLE_MAIN, uplink->bridge.index, NULL);
    for (unsigned i = 0; addresses && i < addresses->len; i++) {
        struct hostnet_link_address address = g_array_index(addresses, struct hostnet_link_address, i);
        g_autoptr(GError) refusal = NULL;
        char text[HOSTNET_PREFIX_TEXT];
        if (!is_new_lease(uplink, &address))
            continue;
        address.index = nic->index;
        g_strlcpy(address.label, nic->name, sizeof address.label);
        bool good = hostnet_address_replace(net, &address, &refusal);
        for (unsigned k = 0; good && routes && k < routes->len; k++) {
            struct hostnet_route route = g_array_index(routes, struct hostnet_route, k);
            if (route.protocol == RTPROT_KERNEL ||
                !hostnet_address_equal(&route.source, &address.local.address))
                continue;
            route.index = nic->index;
            good = hostnet_route_replace(net, &route, &refusal);
        }
        hostnet_prefix_format(&address.local, text);
        if (good)
            note(notes, "%s has %s, the lease that it was given while it was bridged", uplink->nic, text);
        else
            note(notes, "%s, the lease of %s, could not be put on it: %s", text, uplink->nic,
                 refusal->message);
    }
}

/* What others have put on the bridge goes with it; say so. */
static void note_foreign(struct hostnet *net, const struct hostnet_uplink *uplink, GHashTable *leases,
                         GPtrArray *notes)
{
    g_autoptr(GHashTable) now = address_set(net, uplink->bridge.index, NULL);
    g_autoptr(GHashTable) ours = hostnet_dump_address_set(uplink->addresses);
    GHashTableIter iter;
    gpointer key;
    if (!now)
        return;
    g_hash_table_iter_init(&iter, now);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        if (!g_hash_table_contains(ours, key) && !g_hash_table_contains(leases, key))
            note(notes, "%s was given to the bridge %s while it was up; it is not put on %s",
                 (const char *)key, uplink->bridge.name, uplink->nic);
    g_autoptr(GPtrArray) ports = hostnet_bridge_list_ports(net, uplink->bridge.index, NULL);
    for (unsigned i = 0; ports && i < ports->len; i++) {
        const struct hostnet_link *port = ports->pdata[i];
        if (port->index != uplink->index && !(port->mark && hostnet_mark_parse(port->mark, NULL, NULL)))
            note(notes, "%s, which is not ours, was a port of the bridge %s and is free now", port->name,
                 uplink->bridge.name);
    }
}

static void note_missing(struct hostnet *net, const struct hostnet_uplink *uplink, GHashTable *leases,
                         GPtrArray *notes)
{
    g_autoptr(GHashTable) now = address_set(net, uplink->index, NULL);
    g_autoptr(GHashTable) wanted = hostnet_dump_address_set(uplink->addresses);
    GHashTableIter iter;
    gpointer key;
    if (!now)
        return;
    g_hash_table_iter_init(&iter, wanted);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        if (!g_hash_table_contains(now, key))
            note(notes, "%s has not got %s again: its lifetime is over", uplink->nic, (const char *)key);
    g_hash_table_iter_init(&iter, now);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        if (!g_hash_table_contains(wanted, key) && !g_hash_table_contains(leases, key))
            note(notes, "%s has %s, which somebody else gave it meanwhile; it stays", uplink->nic,
                 (const char *)key);
}

bool hostnet_uplink_lacks_address(struct hostnet *net, const struct hostnet_uplink *uplink)
{
    g_autoptr(GHashTable) now = address_set(net, uplink->index, NULL);
    g_autoptr(GHashTable) wanted = hostnet_dump_address_set(uplink->addresses);
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, wanted);
    while (now && g_hash_table_iter_next(&iter, &key, NULL))
        if (!g_hash_table_contains(now, key))
            return true;
    return false;
}

static bool lacks_route(struct hostnet *net, const struct hostnet_uplink *uplink)
{
    g_autoptr(GBytes) there = take(net, HOSTNET_DUMP_ROUTES, uplink->index, NULL);
    g_autoptr(GHashTable) now = there ? hostnet_dump_route_set(there) : NULL;
    g_autoptr(GHashTable) wanted = hostnet_dump_route_set(uplink->routes);
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, wanted);
    while (now && g_hash_table_iter_next(&iter, &key, NULL))
        if (!g_hash_table_contains(now, key))
            return true;
    return false;
}

/* Routes that an address of the NIC carried, as source or towards a gateway, cannot be without it. Whether a
 * refusal comes from that the kernel does not say, so what it refuses is told and the NIC is done. */
static bool put_routes_back(struct hostnet *net, const struct hostnet_uplink *uplink, uint32_t passed,
                            GPtrArray *notes, GError **error)
{
    g_autoptr(GError) cause = NULL;
    /* Once more when one is not there, whatever was said. */
    if (hostnet_dump_replay(net, uplink->routes, 0, 0, passed, &cause) >= 0 &&
        (!lacks_route(net, uplink) || hostnet_dump_replay(net, uplink->routes, 0, 0, passed, &cause) >= 0))
        return true;
    g_autoptr(hostnet_link) nic = hostnet_link_get(net, uplink->index, NULL);
    if (nic && !nic->up) {
        note(notes,
             "%s is down, which somebody else did while it was bridged; its routes are not there again",
             nic->name);
        return true;
    }
    bool is_ours_to_try = g_error_matches(cause, HOSTNET_ERROR, HOSTNET_ERROR_PERMISSION) ||
                          g_error_matches(cause, HOSTNET_ERROR, HOSTNET_ERROR_BUSY) ||
                          g_error_matches(cause, HOSTNET_ERROR, HOSTNET_ERROR_LIMIT);
    if (!is_ours_to_try && hostnet_uplink_lacks_address(net, uplink)) {
        note(notes, "routes of %s that need an address it has no more are not there again", uplink->nic);
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

/* An IPv4 address that was renewed while the bridge had it goes on for as long as it would have there:
 * `renewed` (NULL: no bridge) is what the bridge had, struct hostnet_link_address. */
static bool put_renewed_back(struct hostnet *net, const struct hostnet_uplink *uplink, const GArray *renewed,
                             GError **error)
{
    g_autoptr(GHashTable) wanted = hostnet_dump_address_set(uplink->addresses);
    for (unsigned i = 0; renewed && i < renewed->len; i++) {
        struct hostnet_link_address address = g_array_index(renewed, struct hostnet_link_address, i);
        char text[HOSTNET_PREFIX_TEXT];
        if (address.local.address.family != AF_INET || address.valid == HOSTNET_FOREVER || !address.valid ||
            !g_hash_table_contains(wanted, hostnet_prefix_format(&address.local, text)))
            continue;
        address.index = uplink->index;
        if (strcmp(address.label, uplink->bridge.name) == 0)
            g_strlcpy(address.label, uplink->nic, sizeof address.label);
        if (!hostnet_address_replace(net, &address, error))
            return false;
    }
    return true;
}

static bool put_back(struct hostnet *net, const struct hostnet_uplink *uplink, const GArray *renewed,
                     GPtrArray *notes, GError **error)
{
    g_autofree char *key = g_strdup_printf("net/ipv6/conf/%s/accept_dad", uplink->nic);
    uint32_t passed = elapsed(uplink);
    bool has_six = uplink->accept_dad && hostnet_sysctl_set(net, key, "0", NULL, NULL);
    bool good = hostnet_dump_replay(net, uplink->addresses, 0, 0, passed, error) >= 0;
    good = hostnet_dump_order_addresses(net, uplink->addresses, uplink->index, uplink->index, passed,
                                        good ? error : NULL) &&
           good;
    good = put_renewed_back(net, uplink, renewed, good ? error : NULL) && good;
    good = hostnet_dump_replay(net, uplink->neighbours, 0, 0, 0, good ? error : NULL) >= 0 && good;
    good = put_routes_back(net, uplink, passed, notes, good ? error : NULL) && good;
    /* Refused once, it is asked for again; then whoever called tries all of it again. */
    if (has_six && !hostnet_sysctl_set(net, key, uplink->accept_dad, NULL, NULL))
        good = hostnet_sysctl_set(net, key, uplink->accept_dad, NULL, good ? error : NULL) && good;
    return good;
}

bool hostnet_uplink_restore(struct hostnet *net, const struct hostnet_uplink *uplink, GPtrArray *notes,
                            GError **error)
{
    enum hostnet_presence presence;
    g_autoptr(hostnet_link) bridge = NULL;
    g_autoptr(GError) refusal = NULL;
    if (strcmp(uplink->bridge.boot_id, hostnet_get_boot_id(net)) != 0)
        return true;
    if (!hostnet_link_check(net, &uplink->bridge, &presence, &bridge, error))
        return false;
    if (presence == HOSTNET_FOREIGN)
        note(notes, "the bridge %s is not ours any more; it stays as it is", uplink->bridge.name);
    g_autoptr(GArray) renewed =
        presence == HOSTNET_PRESENT ? hostnet_address_list(net, uplink->bridge.index, NULL) : NULL;
    g_autoptr(GHashTable) leases = new_lease_set(uplink, renewed);
    g_autoptr(GHashTable) known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) noticed = g_ptr_array_new_with_free_func(g_free);
    struct late late = {uplink->bridge.index, known, noticed};
    g_autoptr(hostnet_monitor) monitor = NULL;
    if (presence == HOSTNET_PRESENT && notes) {
        monitor = late_watch(net, &late);
        note_foreign(net, uplink, leases, notes);
        note_foreign_routes(net, uplink, renewed, notes);
    }
    g_autoptr(hostnet_link) nic = hostnet_link_get(net, uplink->index, &refusal);
    if (!nic && !g_error_matches(refusal, HOSTNET_ERROR, HOSTNET_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&refusal));
        return false;
    }
    /* Its index may be another's by now: that has another name, another MAC and is no port of ours. */
    bool has_mac = nic && memcmp(&nic->mac, &uplink->mac, sizeof nic->mac) == 0;
    bool is_same = nic && (has_mac || strcmp(nic->name, uplink->nic) == 0 ||
                           (presence == HOSTNET_PRESENT && nic->master == bridge->index));
    char mac[HOSTNET_MAC_TEXT];
    if (!is_same)
        note(notes, "%s is gone: nothing can be put back on it", uplink->nic);
    if (is_same && strcmp(nic->name, uplink->nic) != 0)
        note(notes, "%s is called %s now", uplink->nic, nic->name);
    if (is_same && !has_mac)
        note(notes, "%s has the MAC %s, which somebody else gave it meanwhile; it stays", nic->name,
             hostnet_mac_format(&nic->mac, mac));
    bool is_free = is_same && (!nic->master || (presence == HOSTNET_PRESENT && nic->master == bridge->index));
    if (is_same && !is_free)
        note(notes, "%s was put into another bridge meanwhile; it stays there as it is", uplink->nic);
    if (is_free && nic->master && !hostnet_bridge_remove_port(net, nic->master, nic->index, error))
        return false;
    if (is_free && presence == HOSTNET_PRESENT)
        hand_over_leases(net, uplink, nic, renewed, notes);
    if (presence == HOSTNET_PRESENT && !hostnet_link_delete(net, &uplink->bridge, error))
        return false;
    late_tell(&late, monitor, uplink, notes);
    if (!hostnet_dump_remove(net, uplink->rules, uplink->nic, uplink->bridge.name, error))
        return false;
    if (!is_free)
        return true;
    if (!uplink->was_up && nic->up && !hostnet_link_set_up(net, nic->index, false, error))
        return false;
    if (uplink->had_lro && get_lro(net, nic->name) == 0 && !set_lro(net, nic->name))
        (void)set_lro(net, nic->name);
    if (!put_back(net, uplink, renewed, notes, error)) {
        g_prefix_error(error, "putting %s back: ", uplink->nic);
        return false;
    }
    note_missing(net, uplink, leases, notes);
    return true;
}

bool hostnet_uplink_rescue(struct hostnet *net, const struct hostnet_link_identity *bridge,
                           char nic[HOSTNET_NAME_MAX + 1], GError **error)
{
    enum hostnet_presence presence;
    nic[0] = 0;
    if (!hostnet_link_check(net, bridge, &presence, NULL, error))
        return false;
    if (presence != HOSTNET_PRESENT)
        return true;
    g_autoptr(GPtrArray) ports = hostnet_bridge_list_ports(net, bridge->index, error);
    const struct hostnet_link *port = NULL;
    if (!ports)
        return false;
    for (unsigned i = 0; i < ports->len && !port; i++) {
        const struct hostnet_link *candidate = ports->pdata[i];
        if (!candidate->mark || !hostnet_mark_parse(candidate->mark, NULL, NULL))
            port = candidate;
    }
    if (!port)
        return hostnet_link_delete(net, bridge, error);
    g_autoptr(GBytes) addresses = take(net, HOSTNET_DUMP_ADDRESSES, bridge->index, error);
    g_autoptr(GBytes) routes = addresses ? take(net, HOSTNET_DUMP_ROUTES, bridge->index, error) : NULL;
    g_autoptr(GBytes) neighbours = routes ? take(net, HOSTNET_DUMP_NEIGHBOURS, bridge->index, error) : NULL;
    g_autoptr(GBytes) all_rules = neighbours ? hostnet_dump_take(net, HOSTNET_DUMP_RULES, error) : NULL;
    if (!all_rules)
        return false;
    g_autoptr(GBytes) rules = hostnet_dump_filter_rules(all_rules, bridge->name);
    g_strlcpy(nic, port->name, HOSTNET_NAME_MAX + 1);
    /* Everything is on the NIC before it goes from the bridge, and goes from there with the bridge itself:
     * killed anywhere, the next try finds it on one or on both, and nothing but it is stored anywhere. */
    return hostnet_dump_replay(net, addresses, bridge->index, port->index, 0, error) >= 0 &&
           hostnet_dump_order_addresses(net, addresses, bridge->index, port->index, 0, error) &&
           hostnet_dump_replay(net, neighbours, bridge->index, port->index, 0, error) >= 0 &&
           hostnet_dump_replay_beside(net, routes, bridge->index, port->index, error) >= 0 &&
           hostnet_dump_remove(net, rules, NULL, NULL, error) &&
           hostnet_bridge_remove_port(net, bridge->index, port->index, error) &&
           hostnet_link_delete(net, bridge, error);
}

bool hostnet_uplink_has_address(struct hostnet *net, const struct hostnet_uplink *uplink, GError **error)
{
    uint32_t places[] = {uplink->index, uplink->bridge.index};
    for (unsigned k = 0; k < G_N_ELEMENTS(places); k++) {
        g_autoptr(GArray) list = hostnet_address_list(net, places[k], error);
        if (!list)
            return false;
        for (unsigned i = 0; i < list->len; i++) {
            const struct hostnet_link_address *address = &g_array_index(list, struct hostnet_link_address, i);
            if (address->local.address.family == AF_INET &&
                !hostnet_address_is_link_local(&address->local.address))
                return true;
        }
    }
    return false;
}
