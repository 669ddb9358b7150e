/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Leases out of messages, and as text; see dhcp_lease.h. RFC 2131 section 4.4.5 (T1 and T2), RFC 2132
 * (options), RFC 3442 (classless routes), RFC 3397 (search lists), RFC 1035 4.1.4 (compressed names).
 */
#include "hostnet/dhcp_lease.h"
#include "hostnet/hostnet_internal.h"

#include <string.h>

enum {
    LEAST_MTU = 576, /* what every IPv4 host must accept; below it even DHCP may not get through */
    NAME_MAX_LENGTH = 253,
    LABEL_MAX = 63,
};

struct dhcp_lease *dhcp_lease_new(void)
{
    struct dhcp_lease *lease = g_new0(struct dhcp_lease, 1);
    lease->routes = g_array_new(FALSE, TRUE, sizeof(struct dhcp_route));
    lease->dns = g_array_new(FALSE, TRUE, sizeof(uint32_t));
    lease->ntp = g_array_new(FALSE, TRUE, sizeof(uint32_t));
    lease->search = g_ptr_array_new_with_free_func(g_free);
    lease->notes = g_ptr_array_new_with_free_func(g_free);
    return lease;
}

static void copy_strings(GPtrArray *to, const GPtrArray *from)
{
    for (guint i = 0; i < from->len; i++)
        g_ptr_array_add(to, g_strdup(from->pdata[i]));
}

struct dhcp_lease *dhcp_lease_copy(const struct dhcp_lease *lease)
{
    struct dhcp_lease *copy = dhcp_lease_new();
    struct dhcp_lease lists = *copy;
    *copy = *lease;
    copy->routes = lists.routes;
    copy->dns = lists.dns;
    copy->ntp = lists.ntp;
    copy->search = lists.search;
    copy->notes = lists.notes;
    g_array_append_vals(copy->routes, lease->routes->data, lease->routes->len);
    g_array_append_vals(copy->dns, lease->dns->data, lease->dns->len);
    g_array_append_vals(copy->ntp, lease->ntp->data, lease->ntp->len);
    copy_strings(copy->search, lease->search);
    copy_strings(copy->notes, lease->notes);
    copy->domain = g_strdup(lease->domain);
    copy->hostname = g_strdup(lease->hostname);
    return copy;
}

void dhcp_lease_free(struct dhcp_lease *lease)
{
    if (!lease)
        return;
    g_array_unref(lease->routes);
    g_array_unref(lease->dns);
    g_array_unref(lease->ntp);
    g_ptr_array_unref(lease->search);
    g_ptr_array_unref(lease->notes);
    g_free(lease->domain);
    g_free(lease->hostname);
    g_free(lease);
}

static void note(GPtrArray *notes, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void note(GPtrArray *notes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (notes && notes->len < DHCP_LEASE_LIST_MAX)
        g_ptr_array_add(notes, text);
    else
        g_free(text);
}

static uint32_t mask_of(unsigned length)
{
    return length ? ~(uint32_t)0 << (32 - length) : 0;
}

/* ---- names ---- */

/* Letters, digits, '-' and '_', in labels of 1…63, 253 in all: anything else could mean something to whoever
 * gets it (a shell, a resolver's file). */
static bool is_name(const char *text)
{
    size_t label = 0, length = strlen(text);
    if (!length || length > NAME_MAX_LENGTH)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.' ? label == 0 : !g_ascii_isalnum(text[i]) && text[i] != '-' && text[i] != '_')
            return false;
        label = text[i] == '.' ? 0 : label + 1;
        if (label > LABEL_MAX)
            return false;
    }
    return text[0] != '-';
}

/* An option's text, if it is a name: trailing NULs, and one trailing dot, do not count. */
static char *get_name(const struct dhcp_message *message, unsigned option, const char *what, GPtrArray *notes)
{
    size_t length;
    const uint8_t *bytes = dhcp_message_get(message, option, &length);
    if (!bytes)
        return NULL;
    while (length && !bytes[length - 1])
        length--;
    g_autofree char *text = g_strndup((const char *)bytes, length);
    size_t shown = strlen(text);
    if (shown > 1 && text[shown - 1] == '.')
        text[shown - 1] = '\0';
    if (shown == length && is_name(text))
        return g_steal_pointer(&text);
    note(notes, "the %s (option %u) is no name, and left out", what, option);
    return NULL;
}

/* One name, from *at on; *at is behind it afterwards. Pointers go backwards only, so there is no loop. */
static char *decode_name(const uint8_t *bytes, size_t length, size_t *at, GError **error)
{
    g_autoptr(GString) name = g_string_new(NULL);
    size_t from = *at, lowest = *at;
    bool has_jumped = false;
    for (;;) {
        if (from >= length)
            goto truncated;
        unsigned size = bytes[from++];
        if (size == 0)
            break;
        if ((size & 0xc0) == 0xc0) {
            if (from >= length)
                goto truncated;
            size_t target = (size_t)(size & 0x3f) << 8 | bytes[from++];
            if (!has_jumped)
                *at = from;
            has_jumped = true;
            if (target >= lowest) {
                hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                  "the search list (option 119) has a pointer that does not go backwards");
                return NULL;
            }
            from = lowest = target;
            continue;
        }
        if (size > LABEL_MAX || size > length - from)
            goto truncated;
        if (name->len)
            g_string_append_c(name, '.');
        g_string_append_len(name, (const char *)bytes + from, size);
        from += size;
        if (name->len > NAME_MAX_LENGTH)
            break;
    }
    if (!has_jumped)
        *at = from;
    if (strlen(name->str) == name->len && is_name(name->str))
        return g_string_free(g_steal_pointer(&name), FALSE);
    hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                      "the search list (option 119) has a name that no domain has");
    return NULL;
truncated:
    hostnet_error_say(error, HOSTNET_ERROR_INVALID, "the search list (option 119) ends within a name");
    return NULL;
}

GPtrArray *dhcp_search_decode(const uint8_t *bytes, size_t length, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (size_t at = 0; at < length && names->len < DHCP_LEASE_LIST_MAX;) {
        char *name = decode_name(bytes, length, &at, error);
        if (!name)
            return NULL;
        g_ptr_array_add(names, name);
    }
    return g_steal_pointer(&names);
}

/* ---- routes ---- */

static bool add_route(GArray *routes, struct dhcp_route route, GPtrArray *notes)
{
    char destination[DHCP_ADDRESS_TEXT], gateway[DHCP_ADDRESS_TEXT];
    dhcp_address_format(route.destination, destination);
    if (route.gateway && !dhcp_address_is_unicast(route.gateway)) {
        note(notes, "the route to %s/%u is through %s, which no router has, and left out", destination,
             route.length, dhcp_address_format(route.gateway, gateway));
        return false;
    }
    if (route.destination >> 28 >= 0xe || (route.length >= 8 && route.destination >> 24 == 127)) {
        note(notes, "the route to %s/%u is not for a server to give, and left out", destination,
             route.length);
        return false;
    }
    if (routes->len == DHCP_LEASE_LIST_MAX) {
        note(notes, "there are more than %d routes; the others are left out", DHCP_LEASE_LIST_MAX);
        return false;
    }
    for (guint i = 0; i < routes->len; i++) {
        const struct dhcp_route *other = &g_array_index(routes, struct dhcp_route, i);
        if (other->destination == route.destination && other->length == route.length)
            return false; /* the first one counts */
    }
    g_array_append_val(routes, route);
    return true;
}

GArray *dhcp_routes_decode(const uint8_t *bytes, size_t length, GPtrArray *notes, GError **error)
{
    g_autoptr(GArray) routes = g_array_new(FALSE, TRUE, sizeof(struct dhcp_route));
    for (size_t at = 0; at < length;) {
        unsigned width = bytes[at++];
        size_t octets = (width + 7) / 8;
        if (width > 32 || octets + 4 > length - at) {
            hostnet_error_say(error, HOSTNET_ERROR_INVALID, "the classless routes (option 121) %s",
                              width > 32 ? "have a prefix of more than 32 bits" : "end within a route");
            return NULL;
        }
        uint8_t destination[4] = {};
        memcpy(destination, bytes + at, octets);
        struct dhcp_route route = {.destination = dhcp_read32(destination) & mask_of(width),
                                   .length = (uint8_t)width,
                                   .gateway = dhcp_read32(bytes + at + octets)};
        at += octets + 4;
        add_route(routes, route, notes);
    }
    return g_steal_pointer(&routes);
}

/* Option 121 wins over 3 (RFC 3442: MUST). One that makes no sense is as if it were not there. */
static void read_routes(const struct dhcp_message *message, struct dhcp_lease *lease)
{
    static const unsigned classless[] = {DHCP_OPTION_ROUTES, DHCP_OPTION_ROUTES_OLD};
    size_t length;
    const uint8_t *bytes;
    for (size_t i = 0; i < G_N_ELEMENTS(classless); i++) {
        bytes = dhcp_message_get(message, classless[i], &length);
        if (!bytes || !length)
            continue;
        g_autoptr(GError) error = NULL;
        GArray *routes = dhcp_routes_decode(bytes, length, lease->notes, &error);
        if (routes) {
            g_array_unref(lease->routes);
            lease->routes = routes;
            return;
        }
        note(lease->notes, "%s; they are left out", error->message);
    }
    bytes = dhcp_message_get(message, DHCP_OPTION_ROUTER, &length);
    if (bytes && (length % 4 || !length)) {
        note(lease->notes, "the routers (option 3) are no list of addresses, and left out");
        return;
    }
    for (size_t at = 0; bytes && at < length && !lease->routes->len; at += 4) {
        struct dhcp_route route = {.gateway = dhcp_read32(bytes + at)};
        if (route.gateway)
            add_route(lease->routes, route, lease->notes);
    }
}

static void read_addresses(const struct dhcp_message *message, unsigned option, const char *what,
                           GArray *into, GPtrArray *notes)
{
    size_t length;
    const uint8_t *bytes = dhcp_message_get(message, option, &length);
    if (!bytes)
        return;
    if (length % 4 || !length) {
        note(notes, "the %s (option %u) are no list of addresses, and left out", what, option);
        return;
    }
    for (size_t at = 0; at < length && into->len < DHCP_LEASE_LIST_MAX; at += 4) {
        uint32_t address = dhcp_read32(bytes + at);
        if (address && address < 0xe0000000u)
            g_array_append_val(into, address);
    }
}

/* ---- the whole ---- */

static bool mask_length(uint32_t mask, uint8_t *length)
{
    unsigned ones = (unsigned)__builtin_popcount(mask);
    *length = (uint8_t)ones;
    return mask && mask == mask_of(ones);
}

static uint8_t class_length(uint32_t address)
{
    return address >> 31 == 0 ? 8 : address >> 30 == 2 ? 16 : 24;
}

/* What is true of every lease, from wherever it comes. */
static bool check_lease(const struct dhcp_lease *lease, GError **error)
{
    char text[DHCP_ADDRESS_TEXT];
    dhcp_address_format(lease->address, text);
    uint32_t mask = mask_of(lease->length);
    if (!dhcp_address_is_unicast(lease->address))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "%s is no address that a host may have", text);
    if (lease->length < 1 || lease->length > 32)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "%u is no length of a prefix", lease->length);
    if (lease->length <= 30 && ((lease->address & ~mask) == 0 || (lease->address & ~mask) == ~mask))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "%s is the %s address of its network (/%u) and not one for a host", text,
                                 (lease->address & ~mask) == 0 ? "network" : "broadcast", lease->length);
    if (!dhcp_address_is_unicast(lease->server))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "the server identifier %s is no server's address",
                                 dhcp_address_format(lease->server, text));
    if (!lease->lifetime)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "the lease is for no time at all");
    return true;
}

/* RFC 2131 4.4.5: T1 < T2 < lease; what does not fit is as if not given. */
static void fix_times(struct dhcp_lease *lease)
{
    if (lease->lifetime == DHCP_FOREVER) {
        lease->t1 = lease->t2 = DHCP_FOREVER;
        return;
    }
    if (!lease->t2 || lease->t2 >= lease->lifetime)
        lease->t2 = (uint32_t)((uint64_t)lease->lifetime * 7 / 8);
    if (!lease->t1 || lease->t1 >= lease->t2)
        lease->t1 = MIN(lease->lifetime / 2, lease->t2);
}

static bool read_network(const struct dhcp_message *message, struct dhcp_lease *lease, GError **error)
{
    uint32_t mask;
    size_t length;
    if (dhcp_message_get_u32(message, DHCP_OPTION_MASK, &mask)) {
        if (!mask_length(mask, &lease->length))
            return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "the subnet mask %08x is none", mask);
    } else if (dhcp_message_get(message, DHCP_OPTION_MASK, &length)) {
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "the subnet mask has %zu bytes instead of 4",
                                 length);
    } else {
        lease->length = class_length(lease->address);
        note(lease->notes, "there is no subnet mask; /%u, as addresses of this class had it, is taken",
             lease->length);
    }
    uint32_t last = lease->address | ~mask_of(lease->length);
    lease->broadcast = lease->length <= 30 ? last : 0;
    uint32_t broadcast;
    if (!dhcp_message_get_u32(message, DHCP_OPTION_BROADCAST, &broadcast))
        return true;
    if (broadcast == last || broadcast == UINT32_MAX ||
        broadcast == (lease->address & mask_of(lease->length)))
        lease->broadcast = broadcast;
    else if (lease->length <= 30)
        note(lease->notes,
             "the broadcast address (option 28) does not belong to the network, and is left out");
    return true;
}

struct dhcp_lease *dhcp_lease_from_message(const struct dhcp_message *message, GError **error)
{
    g_autoptr(dhcp_lease) lease = dhcp_lease_new();
    lease->address = message->yours;
    if (!dhcp_message_get_u32(message, DHCP_OPTION_SERVER, &lease->server)) {
        hostnet_error_say(error, HOSTNET_ERROR_INVALID, "the server identifier (option 54) is missing");
        return NULL;
    }
    if (!dhcp_message_get_u32(message, DHCP_OPTION_LIFETIME, &lease->lifetime)) {
        hostnet_error_say(error, HOSTNET_ERROR_INVALID, "the lease time (option 51) is missing");
        return NULL;
    }
    if (!read_network(message, lease, error) || !check_lease(lease, error))
        return NULL;
    dhcp_message_get_u32(message, DHCP_OPTION_T1, &lease->t1);
    dhcp_message_get_u32(message, DHCP_OPTION_T2, &lease->t2);
    fix_times(lease);
    read_routes(message, lease);
    read_addresses(message, DHCP_OPTION_DNS, "name servers", lease->dns, lease->notes);
    read_addresses(message, DHCP_OPTION_NTP, "time servers", lease->ntp, lease->notes);
    lease->domain = get_name(message, DHCP_OPTION_DOMAIN, "domain", lease->notes);
    lease->hostname = get_name(message, DHCP_OPTION_HOSTNAME, "host name", lease->notes);
    size_t length;
    const uint8_t *bytes = dhcp_message_get(message, DHCP_OPTION_SEARCH, &length);
    g_autoptr(GError) refusal = NULL;
    GPtrArray *search = bytes ? dhcp_search_decode(bytes, length, &refusal) : NULL;
    if (search) {
        g_ptr_array_unref(lease->search);
        lease->search = search;
    } else if (bytes) {
        note(lease->notes, "%s, and is left out", refusal->message);
    }
    if (dhcp_message_get_u16(message, DHCP_OPTION_MTU, &lease->mtu) && lease->mtu < LEAST_MTU) {
        note(lease->notes, "an MTU of %u (option 26) is less than the %d that every host takes, and left out",
             lease->mtu, LEAST_MTU);
        lease->mtu = 0;
    }
    return g_steal_pointer(&lease);
}

uint32_t dhcp_lease_router(const struct dhcp_lease *lease)
{
    for (guint i = 0; i < lease->routes->len; i++)
        if (!g_array_index(lease->routes, struct dhcp_route, i).length)
            return g_array_index(lease->routes, struct dhcp_route, i).gateway;
    return 0;
}

bool dhcp_lease_is_on_link(const struct dhcp_lease *lease, uint32_t address)
{
    return ((lease->address ^ address) & mask_of(lease->length)) == 0;
}

int64_t dhcp_lease_end(const struct dhcp_lease *lease)
{
    return lease->lifetime == DHCP_FOREVER ? INT64_MAX : lease->obtained_ms + (int64_t)lease->lifetime * 1000;
}

uint32_t dhcp_lease_left(const struct dhcp_lease *lease, int64_t now_ms)
{
    int64_t end = dhcp_lease_end(lease);
    if (end == INT64_MAX)
        return DHCP_FOREVER;
    return end > now_ms ? (uint32_t)((end - now_ms) / 1000) : 0;
}

/* ---- text ---- */

static const char group[] = "lease";

static void set_address(GKeyFile *file, const char *key, uint32_t address)
{
    char text[DHCP_ADDRESS_TEXT];
    if (address)
        g_key_file_set_string(file, group, key, dhcp_address_format(address, text));
}

static void set_addresses(GKeyFile *file, const char *key, const GArray *addresses)
{
    g_autoptr(GString) list = g_string_new(NULL);
    char text[DHCP_ADDRESS_TEXT];
    for (guint i = 0; i < addresses->len; i++)
        g_string_append_printf(list, "%s%s", i ? " " : "",
                               dhcp_address_format(g_array_index(addresses, uint32_t, i), text));
    if (list->len)
        g_key_file_set_string(file, group, key, list->str);
}

char *dhcp_lease_format(const struct dhcp_lease *lease)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    char text[DHCP_ADDRESS_TEXT], gateway[DHCP_ADDRESS_TEXT];
    g_autofree char *address =
        g_strdup_printf("%s/%u", dhcp_address_format(lease->address, text), lease->length);
    g_key_file_set_string(file, group, "address", address);
    set_address(file, "broadcast", lease->broadcast);
    set_address(file, "server", lease->server);
    g_key_file_set_uint64(file, group, "lifetime", lease->lifetime);
    g_key_file_set_uint64(file, group, "t1", lease->t1);
    g_key_file_set_uint64(file, group, "t2", lease->t2);
    g_autoptr(GString) routes = g_string_new(NULL);
    for (guint i = 0; i < lease->routes->len; i++) {
        const struct dhcp_route *route = &g_array_index(lease->routes, struct dhcp_route, i);
        g_string_append_printf(routes, "%s%s/%u>%s", i ? " " : "",
                               dhcp_address_format(route->destination, text), route->length,
                               dhcp_address_format(route->gateway, gateway));
    }
    if (routes->len)
        g_key_file_set_string(file, group, "routes", routes->str);
    set_addresses(file, "dns", lease->dns);
    set_addresses(file, "ntp", lease->ntp);
    if (lease->domain)
        g_key_file_set_string(file, group, "domain", lease->domain);
    if (lease->hostname)
        g_key_file_set_string(file, group, "hostname", lease->hostname);
    if (lease->search->len) {
        g_ptr_array_add(lease->search, NULL);
        g_autofree char *search = g_strjoinv(" ", (char **)lease->search->pdata);
        g_ptr_array_set_size(lease->search, (gint)lease->search->len - 1);
        g_key_file_set_string(file, group, "search", search);
    }
    if (lease->mtu)
        g_key_file_set_uint64(file, group, "mtu", lease->mtu);
    g_key_file_set_int64(file, group, "obtained-ms", lease->obtained_ms);
    g_key_file_set_int64(file, group, "obtained-at", lease->obtained_at);
    return g_key_file_to_data(file, NULL, NULL);
}

static void get_address(GKeyFile *file, const char *key, uint32_t *address)
{
    g_autofree char *text = g_key_file_get_string(file, group, key, NULL);
    if (!text || !dhcp_address_parse(text, address))
        *address = 0;
}

static void get_addresses(GKeyFile *file, const char *key, GArray *into)
{
    g_autofree char *text = g_key_file_get_string(file, group, key, NULL);
    g_auto(GStrv) words = text ? g_strsplit(text, " ", DHCP_LEASE_LIST_MAX) : NULL;
    for (char **word = words; word && *word; word++) {
        uint32_t address;
        if (dhcp_address_parse(*word, &address))
            g_array_append_val(into, address);
    }
}

static bool parse_prefix(const char *text, uint32_t *address, uint8_t *length)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 3);
    guint64 number;
    if (g_strv_length(parts) != 2 || !dhcp_address_parse(parts[0], address) ||
        !g_ascii_string_to_unsigned(parts[1], 10, 0, 32, &number, NULL))
        return false;
    *length = (uint8_t)number;
    return true;
}

static bool get_routes(GKeyFile *file, GArray *routes)
{
    g_autofree char *text = g_key_file_get_string(file, group, "routes", NULL);
    g_auto(GStrv) words = text ? g_strsplit(text, " ", DHCP_LEASE_LIST_MAX + 1) : NULL;
    for (char **word = words; word && *word; word++) {
        g_auto(GStrv) ends = g_strsplit(*word, ">", 3);
        struct dhcp_route route = {};
        if (g_strv_length(ends) != 2 || !parse_prefix(ends[0], &route.destination, &route.length) ||
            !dhcp_address_parse(ends[1], &route.gateway))
            return false;
        route.destination &= mask_of(route.length);
        add_route(routes, route, NULL);
    }
    return true;
}

static char *get_stored_name(GKeyFile *file, const char *key)
{
    g_autofree char *text = g_key_file_get_string(file, group, key, NULL);
    return text && is_name(text) ? g_steal_pointer(&text) : NULL;
}

struct dhcp_lease *dhcp_lease_parse(const char *text, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(dhcp_lease) lease = dhcp_lease_new();
    bool is_good = g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, NULL);
    g_autofree char *address = is_good ? g_key_file_get_string(file, group, "address", NULL) : NULL;
    if (!address || !parse_prefix(address, &lease->address, &lease->length) ||
        !get_routes(file, lease->routes)) {
        hostnet_error_say(error, HOSTNET_ERROR_INVALID, "the stored lease is damaged");
        return NULL;
    }
    get_address(file, "broadcast", &lease->broadcast);
    get_address(file, "server", &lease->server);
    lease->lifetime = (uint32_t)MIN(g_key_file_get_uint64(file, group, "lifetime", NULL), DHCP_FOREVER);
    lease->t1 = (uint32_t)MIN(g_key_file_get_uint64(file, group, "t1", NULL), DHCP_FOREVER);
    lease->t2 = (uint32_t)MIN(g_key_file_get_uint64(file, group, "t2", NULL), DHCP_FOREVER);
    get_addresses(file, "dns", lease->dns);
    get_addresses(file, "ntp", lease->ntp);
    lease->domain = get_stored_name(file, "domain");
    lease->hostname = get_stored_name(file, "hostname");
    g_autofree char *search = g_key_file_get_string(file, group, "search", NULL);
    g_auto(GStrv) words = search ? g_strsplit(search, " ", DHCP_LEASE_LIST_MAX) : NULL;
    for (char **word = words; word && *word; word++)
        if (is_name(*word))
            g_ptr_array_add(lease->search, g_strdup(*word));
    guint64 mtu = g_key_file_get_uint64(file, group, "mtu", NULL);
    lease->mtu = mtu >= LEAST_MTU && mtu <= UINT16_MAX ? (uint16_t)mtu : 0;
    lease->obtained_ms = CLAMP(g_key_file_get_int64(file, group, "obtained-ms", NULL), 0, INT64_MAX / 2);
    lease->obtained_at = CLAMP(g_key_file_get_int64(file, group, "obtained-at", NULL), 0, INT64_MAX / 2);
    fix_times(lease);
    if (!check_lease(lease, error)) {
        g_prefix_error(error, "the stored lease is damaged: ");
        return NULL;
    }
    return g_steal_pointer(&lease);
}
