/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * How a DHCP client presents itself: client identifiers, host name, and both as text for the store.
 *
 * Client identifiers: type 1 and the MAC (RFC 2132 9.14) is what routers and reservations know. RFC 4361 says
 * 255, an IAID of 4 bytes and a DUID. The IAID is the end of the MAC. The DUID is a UUID (RFC 6355) made by
 * hash from the machine id, so that it tells nobody that id, or of the link-layer kind (RFC 8415 11.4) where
 * there is none.
 */
#include "hostnet/dhcp_client.h"
#include "hostnet/hostnet_internal.h"

#include <string.h>

enum {
    RETRY_MS = 4000,
    SELECT_MS = 300,
    PROBE_MS = 200,
    DECLINE_MS = 10000,
    MESSAGE_SIZE = 1472, /* with IP and UDP headers, 1500 */
    ID_TEXT = 0,
    ID_DUID = 255,
    DUID_LINK_LAYER = 3,
    DUID_UUID = 4,
    UUID_SIZE = 16,
};

void dhcp_settings_default(struct dhcp_settings *settings, const struct hostnet_mac *mac)
{
    *settings = (struct dhcp_settings){
        .mac = *mac,
        .message_size = MESSAGE_SIZE,
        .retry_ms = RETRY_MS,
        .select_ms = SELECT_MS,
        .probe_ms = PROBE_MS,
        .decline_ms = DECLINE_MS,
    };
    dhcp_settings_set_client_id(settings, DHCP_CLIENT_ID_MAC, NULL);
}

static size_t put_duid(uint8_t *at, const struct hostnet_mac *mac, const char *machine_id)
{
    if (!machine_id || !*machine_id) {
        dhcp_write16(at, DUID_LINK_LAYER);
        dhcp_write16(at + 2, DHCP_HARDWARE_ETHERNET);
        memcpy(at + 4, mac->octets, sizeof mac->octets);
        return 4 + sizeof mac->octets;
    }
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    static const char purpose[] = "netlab DHCP unique identifier";
    uint8_t digest[32];
    gsize length = sizeof digest;
    g_checksum_update(sum, (const guchar *)purpose, sizeof purpose);
    g_checksum_update(sum, (const guchar *)machine_id, (gssize)strlen(machine_id));
    g_checksum_get_digest(sum, digest, &length);
    dhcp_write16(at, DUID_UUID);
    memcpy(at + 2, digest, UUID_SIZE);
    return 2 + UUID_SIZE;
}

void dhcp_settings_set_client_id(struct dhcp_settings *settings, enum dhcp_client_id kind,
                                 const char *machine_id)
{
    uint8_t *id = settings->client_id;
    const struct hostnet_mac *mac = &settings->mac;
    switch (kind) {
    case DHCP_CLIENT_ID_NONE:
        settings->client_id_length = 0;
        break;
    case DHCP_CLIENT_ID_MAC:
        id[0] = DHCP_HARDWARE_ETHERNET;
        memcpy(id + 1, mac->octets, sizeof mac->octets);
        settings->client_id_length = 1 + sizeof mac->octets;
        break;
    case DHCP_CLIENT_ID_DUID:
        id[0] = ID_DUID;
        memcpy(id + 1, mac->octets + 2, 4);
        settings->client_id_length = (uint8_t)(5 + put_duid(id + 5, mac, machine_id));
        break;
    }
}

/* "01:52:55": two or more bytes. False: it is something else. */
static bool parse_bytes(const char *text, uint8_t *bytes, uint8_t *length)
{
    unsigned count = 0;
    for (const char *at = text;; at += 3) {
        if (!g_ascii_isxdigit(at[0]) || !g_ascii_isxdigit(at[1]) || (at[2] && at[2] != ':') ||
            count == DHCP_CLIENT_ID_MAX)
            return false;
        bytes[count++] = (uint8_t)(g_ascii_xdigit_value(at[0]) << 4 | g_ascii_xdigit_value(at[1]));
        if (!at[2])
            break;
    }
    *length = (uint8_t)count;
    return count >= 2;
}

bool dhcp_settings_parse_client_id(struct dhcp_settings *settings, const char *text, const char *machine_id,
                                   GError **error)
{
    static const struct {
        const char *word;
        enum dhcp_client_id kind;
    } kinds[] = {{"none", DHCP_CLIENT_ID_NONE}, {"mac", DHCP_CLIENT_ID_MAC}, {"duid", DHCP_CLIENT_ID_DUID}};
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (g_str_equal(kinds[i].word, text)) {
            dhcp_settings_set_client_id(settings, kinds[i].kind, machine_id);
            return true;
        }
    }
    uint8_t bytes[DHCP_CLIENT_ID_MAX], count;
    if (parse_bytes(text, bytes, &count)) {
        memcpy(settings->client_id, bytes, count);
        settings->client_id_length = count;
        return true;
    }
    size_t length = strlen(text);
    if (!length || length >= DHCP_CLIENT_ID_MAX)
        return hostnet_error_say(
            error, HOSTNET_ERROR_INVALID,
            "a client identifier has 1 to %d characters, and \"%.20s…\" has %zu; say mac, duid, "
            "none, bytes like 01:52:55:00:00:01, or a text",
            DHCP_CLIENT_ID_MAX - 1, text, length);
    settings->client_id[0] = ID_TEXT;
    memcpy(settings->client_id + 1, text, length);
    settings->client_id_length = (uint8_t)(length + 1);
    return true;
}

bool dhcp_settings_set_hostname(struct dhcp_settings *settings, const char *hostname, GError **error)
{
    size_t length = strcspn(hostname, ".");
    bool is_good = length <= DHCP_HOSTNAME_MAX && hostname[0] != '-';
    for (size_t i = 0; i < length && is_good; i++)
        is_good = g_ascii_isalnum(hostname[i]) || hostname[i] == '-';
    if (!is_good)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "\"%s\" is no host name: up to %d letters, digits and '-'", hostname,
                                 DHCP_HOSTNAME_MAX);
    memcpy(settings->hostname, hostname, length);
    settings->hostname[length] = '\0';
    return true;
}

/* ---- text ---- */

static const char group[] = "settings";

char *dhcp_settings_format(const struct dhcp_settings *settings)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GString) id = g_string_new(NULL);
    char text[DHCP_ADDRESS_TEXT];
    for (unsigned i = 0; i < settings->client_id_length; i++)
        g_string_append_printf(id, "%s%02x", i ? ":" : "", settings->client_id[i]);
    g_key_file_set_string(file, group, "client-id", id->len ? id->str : "none");
    if (settings->hostname[0])
        g_key_file_set_string(file, group, "hostname", settings->hostname);
    if (settings->address)
        g_key_file_set_string(file, group, "address", dhcp_address_format(settings->address, text));
    if (settings->server)
        g_key_file_set_string(file, group, "server", dhcp_address_format(settings->server, text));
    g_key_file_set_boolean(file, group, "broadcast", settings->broadcast);
    g_key_file_set_uint64(file, group, "retry-ms", settings->retry_ms);
    g_key_file_set_uint64(file, group, "select-ms", settings->select_ms);
    g_key_file_set_uint64(file, group, "probe-ms", settings->probe_ms);
    g_key_file_set_uint64(file, group, "decline-ms", settings->decline_ms);
    return g_key_file_to_data(file, NULL, NULL);
}

static void get_ms(GKeyFile *file, const char *key, unsigned least, unsigned *value)
{
    g_autoptr(GError) missing = NULL;
    guint64 number = g_key_file_get_uint64(file, group, key, &missing);
    if (!missing)
        *value = (unsigned)CLAMP(number, least, 3600000);
}

bool dhcp_settings_parse(struct dhcp_settings *settings, const char *text, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    struct dhcp_settings found = *settings;
    g_autofree char *id = NULL, *hostname = NULL, *address = NULL, *server = NULL;
    if (g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, NULL))
        id = g_key_file_get_string(file, group, "client-id", NULL);
    if (!id || !dhcp_settings_parse_client_id(&found, id, NULL, NULL))
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "the stored settings of the lease are damaged");
    hostname = g_key_file_get_string(file, group, "hostname", NULL);
    if (hostname && !dhcp_settings_set_hostname(&found, hostname, error))
        return false;
    address = g_key_file_get_string(file, group, "address", NULL);
    if (address)
        dhcp_address_parse(address, &found.address);
    server = g_key_file_get_string(file, group, "server", NULL);
    if (server)
        dhcp_address_parse(server, &found.server);
    found.broadcast = g_key_file_get_boolean(file, group, "broadcast", NULL);
    get_ms(file, "retry-ms", 10, &found.retry_ms);
    get_ms(file, "select-ms", 0, &found.select_ms);
    get_ms(file, "probe-ms", 0, &found.probe_ms);
    get_ms(file, "decline-ms", 0, &found.decline_ms);
    *settings = found;
    return true;
}
