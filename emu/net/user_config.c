/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The words of -netdev user: which there are, what they default to, and which do not go together.
 *
 * The network is 10.0.2.0/24 unless said otherwise: .2 is the host (and router), .3 the name server, .4 the
 * file server, leases begin at .15; with IPv6 fec0::/64, ::2 and ::3. All must lie in the network and be
 * different.
 */
#include "emu/net/user.h"

#include "emu/net/netdev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

const struct keyval_row user_rows[USER_ROW_COUNT] = {
    {"net", KEYVAL_STRING, .help = "the guest's network, ADDRESS[/MASK] (10.0.2.0/24)"},
    {"host", KEYVAL_STRING, .help = "the host's address in it (10.0.2.2)"},
    {"restrict", KEYVAL_BOOL, .help = "guests reach nothing but what hostfwd and guestfwd name"},
    {"hostname", KEYVAL_STRING, .help = "name DHCP gives to guests"},
    {"dhcpstart", KEYVAL_STRING, .help = "first of 16 addresses DHCP gives out (10.0.2.15)"},
    {"dns", KEYVAL_STRING, .help = "the name server's address (10.0.2.3)"},
    {"dnssearch", KEYVAL_LIST, .help = "domain in which guests look for names"},
    {"domainname", KEYVAL_STRING, .help = "domain DHCP gives to guests"},
    {"tftp", KEYVAL_STRING, .help = "folder that is offered, for reading, by TFTP"},
    {"tftp-server-name", KEYVAL_STRING, .help = "name of the TFTP server in DHCP's answers"},
    {"bootfile", KEYVAL_STRING, .help = "file DHCP tells guests to boot"},
    {"hostfwd", KEYVAL_LIST, .help = "[tcp|udp]:[HOSTADDR]:PORT-[GUESTADDR]:PORT; host port 0: any"},
    {"guestfwd", KEYVAL_LIST, .help = "[tcp]:SERVER:PORT-cmd:COMMAND or -CHARDEV"},
    {"ipv4", KEYVAL_BOOL, .help = "on its own: no IPv6"},
    {"ipv6", KEYVAL_BOOL, .help = "on its own: no IPv4"},
    {"ipv6-net", KEYVAL_STRING, .help = "PREFIX[/LENGTH] (fec0::/64)"},
    {"ipv6-prefix", KEYVAL_STRING, .help = "the same in two words"},
    {"ipv6-prefixlen", KEYVAL_NUMBER, .help = "bits (64)", .min = 1, .max = 126},
    {"ipv6-host", KEYVAL_STRING, .help = "the host's address in it (fec0::2)"},
    {"ipv6-dns", KEYVAL_STRING, .help = "the name server's (fec0::3)"},
    {"smb", KEYVAL_STRING, .help = "folder that Samba shares with guests"},
    {"smbserver", KEYVAL_STRING, .help = "its address (10.0.2.4)"},
};

enum { HOSTNAME_MOST = 32, NAME_MOST = 255, BOOTFILE_MOST = 127, SEARCH_MOST = 64, LABEL_MOST = 63 };

static bool read_v4(const char *key, const char *text, struct in_addr *out, GError **error)
{
    if (inet_pton(AF_INET, text, out) == 1)
        return true;
    return net_fail(error, EINVAL, "%s=%s: not an IPv4 address (four numbers, as 10.0.2.2)", key, text);
}

static bool read_v6(const char *key, const char *text, struct in6_addr *out, GError **error)
{
    if (inet_pton(AF_INET6, text, out) == 1)
        return true;
    return net_fail(error, EINVAL, "%s=%s: not an IPv6 address (as fec0::2)", key, text);
}

/* What an address without a mask belonged to when networks had classes. */
static unsigned classic_prefix(uint32_t net)
{
    if (net >> 28 >= 14)
        return 28;
    if (net >> 20 == 0xac1)
        return 12;
    if (net >> 16 == 0xc0a8)
        return 16;
    if (net >> 17 == 0xc612 >> 1)
        return 15;
    return !(net >> 31) ? 8 : net >> 30 == 2 ? 16 : 24;
}

static bool read_net(const char *text, struct user_config *c, GError **error)
{
    const char *slash = strchr(text, '/');
    g_autofree char *address = slash ? g_strndup(text, (gsize)(slash - text)) : g_strdup(text);
    if (!read_v4("net", address, &c->net, error))
        return false;
    uint32_t net = ntohl(c->net.s_addr), mask;
    uint64_t bits = classic_prefix(net);
    struct in_addr dotted;
    if (slash && strchr(slash, '.')) {
        if (inet_pton(AF_INET, slash + 1, &dotted) != 1)
            return net_fail(error, EINVAL, "net=%s: '%s' is not a mask (as 255.255.255.0, or 24)", text,
                            slash + 1);
        mask = ntohl(dotted.s_addr);
        if (~mask & (~mask + 1))
            return net_fail(error, EINVAL, "net=%s: the mask's ones must be its first bits", text);
    } else {
        if (slash && !keyval_parse_number("net", slash + 1, 1, 30, &bits, error))
            return false;
        mask = (uint32_t)(UINT64_C(0xffffffff) << (32 - bits));
    }
    if (~mask < 3)
        return net_fail(error, EINVAL, "net=%s: too small; give a network of at least 4 addresses (/30)",
                        text);
    net &= mask;
    uint32_t most = ~mask - 1; /* the last host */
    c->net.s_addr = htonl(net);
    c->mask.s_addr = htonl(mask);
    c->host.s_addr = htonl(net | MIN(2, most));
    c->dns.s_addr = htonl(net | MIN(3, most));
    c->smb_server.s_addr = htonl(net | MIN(4, most));
    c->dhcp_start.s_addr = htonl(net | MIN(15, most));
    return true;
}

static bool in_net(const struct user_config *c, struct in_addr address)
{
    return (address.s_addr & c->mask.s_addr) == c->net.s_addr;
}

static bool read_in_net(const struct keyval *kv, const char *key, const struct user_config *c,
                        struct in_addr *out, GError **error)
{
    const char *text = keyval_string(kv, key, NULL);
    char net[INET_ADDRSTRLEN], mask[INET_ADDRSTRLEN];
    if (!text)
        return true;
    if (!c->ipv4)
        return net_fail(error, EINVAL, "%s=%s: IPv4 is switched off (add ipv4=on)", key, text);
    if (!read_v4(key, text, out, error))
        return false;
    if (in_net(c, *out))
        return true;
    inet_ntop(AF_INET, &c->net, net, sizeof net);
    inet_ntop(AF_INET, &c->mask, mask, sizeof mask);
    return net_fail(error, EINVAL,
                    "%s=%s is not in the network %s, mask %s; name one that is, or set net=", key, text, net,
                    mask);
}

static bool read_ipv4(const struct keyval *kv, struct user_config *c, GError **error)
{
    const char *net = keyval_string(kv, "net", NULL);
    if (net && !c->ipv4)
        return net_fail(error, EINVAL, "net=%s: IPv4 is switched off (add ipv4=on)", net);
    if (!read_net(net ? net : "10.0.2.0/24", c, error) || !read_in_net(kv, "host", c, &c->host, error) ||
        !read_in_net(kv, "dns", c, &c->dns, error) ||
        !read_in_net(kv, "dhcpstart", c, &c->dhcp_start, error) ||
        !read_in_net(kv, "smbserver", c, &c->smb_server, error))
        return false;
    if (!c->ipv4)
        return true;
    if (c->host.s_addr == c->dns.s_addr)
        return net_fail(error, EINVAL, "host= and dns= are the same address; the two need one each");
    if (c->dhcp_start.s_addr == c->host.s_addr || c->dhcp_start.s_addr == c->dns.s_addr)
        return net_fail(error, EINVAL,
                        "dhcpstart= is the address of the host or of the name server; choose another");
    return true;
}

static void default_host6(const struct in6_addr *net, uint8_t last, struct in6_addr *out)
{
    *out = *net;
    out->s6_addr[15] |= last;
}

static bool in_net6(const struct user_config *c, const struct in6_addr *address)
{
    for (unsigned i = 0; i < c->prefix_length; i++)
        if ((c->net6.s6_addr[i / 8] ^ address->s6_addr[i / 8]) & 0x80 >> i % 8)
            return false;
    return true;
}

static bool read_in_net6(const struct keyval *kv, const char *key, const struct user_config *c,
                         struct in6_addr *out, GError **error)
{
    const char *text = keyval_string(kv, key, NULL);
    if (!text)
        return true;
    if (!c->ipv6)
        return net_fail(error, EINVAL, "%s=%s: IPv6 is switched off (add ipv6=on)", key, text);
    if (!read_v6(key, text, out, error))
        return false;
    return in_net6(c, out) ||
           net_fail(error, EINVAL, "%s=%s is not in the network of ipv6-net=; name an address that is", key,
                    text);
}

static bool read_ipv6(const struct keyval *kv, struct user_config *c, GError **error)
{
    const char *both = keyval_string(kv, "ipv6-net", NULL);
    const char *prefix = keyval_string(kv, "ipv6-prefix", both ? NULL : "fec0::");
    uint64_t bits = keyval_number(kv, "ipv6-prefixlen", 64);
    g_autofree char *address = NULL;
    if (both) {
        const char *slash = strchr(both, '/');
        address = slash ? g_strndup(both, (gsize)(slash - both)) : g_strdup(both);
        if (slash && !keyval_parse_number("ipv6-net", slash + 1, 1, 126, &bits, error))
            return false;
        if (!read_v6("ipv6-net", address, &c->net6, error))
            return false;
    } else if (!read_v6("ipv6-prefix", prefix, &c->net6, error)) {
        return false;
    }
    if (!c->ipv6 && (both || keyval_has(kv, "ipv6-prefix")))
        return net_fail(error, EINVAL, "ipv6-net=: IPv6 is switched off (add ipv6=on)");
    c->prefix_length = (uint8_t)bits;
    for (unsigned i = c->prefix_length; i < 128; i++)
        c->net6.s6_addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    default_host6(&c->net6, 2, &c->host6);
    default_host6(&c->net6, 3, &c->dns6);
    if (!read_in_net6(kv, "ipv6-host", c, &c->host6, error) ||
        !read_in_net6(kv, "ipv6-dns", c, &c->dns6, error))
        return false;
    if (c->ipv6 && !memcmp(&c->host6, &c->dns6, sizeof c->host6))
        return net_fail(error, EINVAL,
                        "ipv6-host= and ipv6-dns= are the same address; the two need one each");
    return true;
}

static bool fits(const char *key, const char *text, size_t most, GError **error)
{
    return !text || strlen(text) <= most ||
           net_fail(error, EINVAL, "%s=%s: longer than the %zu characters DHCP can carry", key, text, most);
}

/* Names as DNS has them (RFC 1035 2.3.4): labels of 1 to 63 bytes; a dot at the end is allowed. */
static bool domain_name(const char *key, const char *text, GError **error)
{
    for (const char *label = text; *label;) {
        size_t length = strcspn(label, ".");
        if (length == 0 || length > LABEL_MOST)
            return net_fail(error, EINVAL,
                            "%s=%s: not a domain (names of 1 to %d characters, with dots between)", key, text,
                            LABEL_MOST);
        label += length + (label[length] == '.');
    }
    return true;
}

/* None of those before it has the same address and port. */
static bool is_only(const struct user_config *c, const char *const *rule, const struct user_service *service,
                    GError **error)
{
    struct user_service other;
    for (const char *const *before = c->guestfwd; before < rule; before++)
        if (user_service_read(*before, c, &other, NULL) && other.server.s_addr == service->server.s_addr &&
            other.port == service->port)
            return net_fail(error, EADDRINUSE,
                            "the server and port are those of guestfwd=%s; give one of them another port",
                            *before);
    return true;
}

bool user_config_read(const struct keyval *kv, struct user_config *out, GError **error)
{
    struct user_config c = {
        .ipv4 = keyval_bool(kv, "ipv4", !keyval_bool(kv, "ipv6", false)),
        .ipv6 = keyval_bool(kv, "ipv6", !keyval_bool(kv, "ipv4", false)),
        .restricted = keyval_bool(kv, "restrict", false),
        .hostname = keyval_string(kv, "hostname", NULL),
        .domainname = keyval_string(kv, "domainname", NULL),
        .tftp = keyval_string(kv, "tftp", NULL),
        .tftp_server_name = keyval_string(kv, "tftp-server-name", NULL),
        .bootfile = keyval_string(kv, "bootfile", NULL),
        .smb = keyval_string(kv, "smb", NULL),
        .dnssearch = keyval_list(kv, "dnssearch"),
        .hostfwd = keyval_list(kv, "hostfwd"),
        .guestfwd = keyval_list(kv, "guestfwd"),
    };
    unsigned searched = 0;
    if (!c.ipv4 && !c.ipv6)
        return net_fail(error, EINVAL, "ipv4=off and ipv6=off leave nothing; switch one of them on");
    if (!read_ipv4(kv, &c, error) || !read_ipv6(kv, &c, error) ||
        !fits("hostname", c.hostname, HOSTNAME_MOST, error) ||
        !fits("domainname", c.domainname, NAME_MOST, error) ||
        !fits("tftp-server-name", c.tftp_server_name, NAME_MOST, error) ||
        !fits("bootfile", c.bootfile, BOOTFILE_MOST, error))
        return false;
    for (const char *const *domain = c.dnssearch; *domain; domain++) {
        if (!fits("dnssearch", *domain, NAME_MOST, error) || !domain_name("dnssearch", *domain, error))
            return false;
        if (++searched > SEARCH_MOST)
            return net_fail(error, EINVAL, "dnssearch= is given more than %d times", SEARCH_MOST);
    }
    struct user_forward forward;
    for (const char *const *rule = c.hostfwd; *rule; rule++)
        if (!user_forward_read(*rule, &c, &forward, error)) {
            g_prefix_error(error, "hostfwd=%s: ", *rule);
            return false;
        }
    struct user_service service;
    for (const char *const *rule = c.guestfwd; *rule; rule++)
        if (!user_service_read(*rule, &c, &service, error) || !is_only(&c, rule, &service, error)) {
            g_prefix_error(error, "guestfwd=%s: ", *rule);
            return false;
        }
    if (keyval_has(kv, "smbserver") && !c.smb)
        return net_fail(error, EINVAL, "smbserver= without smb=FOLDER");
    *out = c;
    return true;
}

/* ---- forwardings ---- */

/* "tcp:", "udp:" or ":" at *text; goes past it. */
static bool read_protocol(const char **text, bool *udp, GError **error)
{
    static const char *const known[] = {"tcp", "udp"};
    size_t length = strcspn(*text, ":");
    g_autofree char *word = g_strndup(*text, length);
    if (!(*text)[length])
        return net_fail(error, EINVAL,
                        "write [tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT, as tcp::8080-:80");
    if (*word && !g_str_equal(word, "tcp") && !g_str_equal(word, "udp")) {
        g_autofree char *suggestion = keyval_suggestion(word, known, G_N_ELEMENTS(known));
        return net_fail(error, EINVAL, "'%s' is neither tcp nor udp%s", word, suggestion);
    }
    *udp = g_str_equal(word, "udp");
    *text += length + 1;
    return true;
}

/* "[address]:port" up to `end`; an empty address gives the any-address of `family` (0: IPv4). */
static bool read_endpoint(const char *text, const char *end, int family, uint16_t least,
                          union user_address *out, GError **error)
{
    g_autofree char *word = g_strndup(text, (gsize)(end - text));
    char *colon = strrchr(word, ':');
    uint64_t port;
    memset(out, 0, sizeof *out);
    if (!colon)
        return net_fail(error, EINVAL, "'%s': [ADDRESS]:PORT is wanted", word);
    if (!keyval_parse_number("port", colon + 1, least, 65535, &port, error))
        return false;
    *colon = '\0';
    size_t length = strlen(word);
    if (length >= 2 && word[0] == '[' && word[length - 1] == ']') {
        word[length - 1] = '\0';
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        return inet_pton(AF_INET6, word + 1, &out->v6.sin6_addr) == 1 ||
               net_fail(error, EINVAL, "'%s' is not an IPv6 address", word + 1);
    }
    if (!length && family == AF_INET6) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        return true;
    }
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons((uint16_t)port);
    return !length || inet_pton(AF_INET, word, &out->v4.sin_addr) == 1 ||
           net_fail(error, EINVAL, "'%s' is not an address (IPv6 in brackets)", word);
}

/* libslirp ends the process when a connection comes in for a guest whose address it cannot tell, or of the
 * other family. */
static bool reachable(const struct user_config *config, const struct user_forward *forward, GError **error)
{
    bool host6 = forward->host.any.sa_family == AF_INET6, guest6 = forward->guest.any.sa_family == AF_INET6;
    if (guest6 && IN6_IS_ADDR_UNSPECIFIED(&forward->guest.v6.sin6_addr))
        return net_fail(error, EINVAL,
                        "the guest's IPv6 address must be named: …-[GUESTADDR]:GUESTPORT, as "
                        "tcp:[::1]:8080-[fec0::15]:80");
    if (host6 != guest6)
        return net_fail(error, EINVAL, "%s port of the host leads to %s address of the guest only",
                        host6 ? "an IPv6" : "an IPv4", host6 ? "an IPv6" : "an IPv4");
    return (guest6 ? config->ipv6 : config->ipv4) ||
           net_fail(error, EINVAL, "IPv%d is switched off (add ipv%d=on)", guest6 ? 6 : 4, guest6 ? 6 : 4);
}

bool user_forward_read(const char *text, const struct user_config *config, struct user_forward *out,
                       GError **error)
{
    struct user_forward forward = {0};
    bool host_only = !config;
    const char *rest = text;
    if (!read_protocol(&rest, &forward.udp, error))
        return false;
    const char *dash = strchr(rest, '-');
    if (!host_only && !dash)
        return net_fail(error, EINVAL,
                        "the guest's side is missing: …-[GUESTADDR]:GUESTPORT, as tcp::8080-:80");
    const char *end = dash ? dash : rest + strlen(rest);
    if (!read_endpoint(rest, end, 0, host_only ? 1 : 0, &forward.host, error)) /* 0: any that is free */
        return false;
    if (!host_only &&
        !read_endpoint(dash + 1, dash + strlen(dash), forward.host.any.sa_family, 1, &forward.guest, error))
        return false;
    if (config && !reachable(config, &forward, error))
        return false;
    *out = forward;
    return true;
}

bool user_service_read(const char *text, const struct user_config *config, struct user_service *out,
                       GError **error)
{
    const char *rest = text;
    union user_address address;
    bool udp;
    if (!read_protocol(&rest, &udp, error))
        return false;
    if (udp)
        return net_fail(error, EINVAL, "only tcp can be forwarded from the guest");
    const char *dash = strchr(rest, '-');
    if (!dash || !dash[1])
        return net_fail(error, EINVAL, "write tcp:SERVER:PORT-cmd:COMMAND, or …-CHARDEV");
    if (!read_endpoint(rest, dash, AF_INET, 1, &address, error))
        return false;
    if (address.any.sa_family != AF_INET || !config->ipv4)
        return net_fail(error, EINVAL, "the server's address must be of the IPv4 network");
    if (!address.v4.sin_addr.s_addr) /* the address nobody else has */
        address.v4.sin_addr.s_addr = htonl(ntohl(config->net.s_addr) | (~ntohl(config->mask.s_addr) - 1));
    if (!in_net(config, address.v4.sin_addr))
        return net_fail(error, EINVAL, "the server's address is not in the guest's network");
    if (address.v4.sin_addr.s_addr == config->host.s_addr || address.v4.sin_addr.s_addr == config->dns.s_addr)
        return net_fail(error, EINVAL,
                        "the server's address is taken by the host or the name server; use another");
    *out = (struct user_service){.server = address.v4.sin_addr,
                                 .port = ntohs(address.v4.sin_port),
                                 .command = g_str_has_prefix(dash + 1, "cmd:"),
                                 .target = dash + 1};
    if (out->command)
        out->target += strlen("cmd:");
    return *out->target || net_fail(error, EINVAL, "the command is missing: cmd:COMMAND");
}
