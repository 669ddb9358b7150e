/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * DHCP messages; see dhcp_message.h. RFC 2131 section 2 for the fixed fields, RFC 2132 section 2 for
 * options, 9.3 for option overload, RFC 3396 for long options.
 *
 * Fixed fields by their offset: op 0, htype 1, hlen 2, hops 3, xid 4, secs 8, flags 10, ciaddr 12, yiaddr 16,
 * siaddr 20, giaddr 24, chaddr 28, sname 44, file 108, cookie 236, options 240.
 */
#include "hostnet/dhcp_message.h"
#include "hostnet/hostnet_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

enum {
    AT_HARDWARE = 28,
    AT_SERVER_NAME = 44,
    AT_FILE = 108,
    AT_OPTIONS = 240,
    SIZE_SERVER_NAME = 64,
    SIZE_FILE = 128,
    OVERLOAD_FILE = 1,
    OVERLOAD_SERVER_NAME = 2,
    FLAG_BROADCAST = 0x8000,
};
static const uint8_t cookie[4] = {99, 130, 83, 99};

static const char *const type_names[] = {
    "unknown", "DHCPDISCOVER", "DHCPOFFER",   "DHCPREQUEST", "DHCPDECLINE",
    "DHCPACK", "DHCPNAK",      "DHCPRELEASE", "DHCPINFORM",  "DHCPFORCERENEW",
};
static_assert(G_N_ELEMENTS(type_names) == DHCP_TYPE_COUNT, "every type has a name");

const char *dhcp_type_name(unsigned type)
{
    return type < DHCP_TYPE_COUNT ? type_names[type] : type_names[0];
}

char *dhcp_address_format(uint32_t address, char text[DHCP_ADDRESS_TEXT])
{
    g_snprintf(text, DHCP_ADDRESS_TEXT, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
               address & 255);
    return text;
}

bool dhcp_address_parse(const char *text, uint32_t *address)
{
    struct in_addr found;
    if (inet_pton(AF_INET, text, &found) != 1)
        return false;
    *address = ntohl(found.s_addr);
    return true;
}

bool dhcp_address_is_unicast(uint32_t address)
{
    return address >> 24 != 0 && address >> 24 != 127 && address < 0xe0000000u;
}

struct dhcp_message *dhcp_message_new(uint8_t op, enum dhcp_type type)
{
    struct dhcp_message *message = g_new0(struct dhcp_message, 1);
    message->op = op;
    message->hardware_type = DHCP_HARDWARE_ETHERNET;
    message->hardware_length = 6;
    dhcp_message_set_u8(message, DHCP_OPTION_TYPE, (uint8_t)type);
    return message;
}

void dhcp_message_free(struct dhcp_message *message)
{
    if (!message)
        return;
    for (unsigned i = 0; i < DHCP_OPTION_COUNT; i++)
        g_clear_pointer(&message->options[i], g_bytes_unref);
    g_free(message);
}

/* ---- options ---- */

const uint8_t *dhcp_message_get(const struct dhcp_message *message, unsigned option, size_t *length)
{
    *length = 0;
    if (option >= DHCP_OPTION_COUNT || !message->options[option])
        return NULL;
    const uint8_t *bytes = g_bytes_get_data(message->options[option], length);
    /* GBytes of no bytes have no data; an option that is there without any is still there. */
    return bytes ? bytes : (const uint8_t *)"";
}

bool dhcp_message_get_u8(const struct dhcp_message *message, unsigned option, uint8_t *value)
{
    size_t length;
    const uint8_t *bytes = dhcp_message_get(message, option, &length);
    if (!bytes || length != 1)
        return false;
    *value = bytes[0];
    return true;
}

bool dhcp_message_get_u16(const struct dhcp_message *message, unsigned option, uint16_t *value)
{
    size_t length;
    const uint8_t *bytes = dhcp_message_get(message, option, &length);
    if (!bytes || length != 2)
        return false;
    *value = dhcp_read16(bytes);
    return true;
}

bool dhcp_message_get_u32(const struct dhcp_message *message, unsigned option, uint32_t *value)
{
    size_t length;
    const uint8_t *bytes = dhcp_message_get(message, option, &length);
    if (!bytes || length != 4)
        return false;
    *value = dhcp_read32(bytes);
    return true;
}

void dhcp_message_set(struct dhcp_message *message, unsigned option, const void *data, size_t length)
{
    g_assert(option > DHCP_OPTION_PAD && option < DHCP_OPTION_END);
    g_clear_pointer(&message->options[option], g_bytes_unref);
    message->options[option] = g_bytes_new(data, length);
}

void dhcp_message_set_u8(struct dhcp_message *message, unsigned option, uint8_t value)
{
    dhcp_message_set(message, option, &value, 1);
}

void dhcp_message_set_u16(struct dhcp_message *message, unsigned option, uint16_t value)
{
    uint8_t bytes[2];
    dhcp_write16(bytes, value);
    dhcp_message_set(message, option, bytes, sizeof bytes);
}

void dhcp_message_set_u32(struct dhcp_message *message, unsigned option, uint32_t value)
{
    uint8_t bytes[4];
    dhcp_write32(bytes, value);
    dhcp_message_set(message, option, bytes, sizeof bytes);
}

unsigned dhcp_message_type(const struct dhcp_message *message)
{
    uint8_t type;
    return dhcp_message_get_u8(message, DHCP_OPTION_TYPE, &type) && type < DHCP_TYPE_COUNT ? type : 0;
}

/* ---- decoding ---- */

/* Walks one field, and joins what it finds to what is there already. A field may end without option 255. */
static bool walk(GByteArray **found, const uint8_t *bytes, size_t length, const char *field, GError **error)
{
    for (size_t at = 0; at < length;) {
        unsigned option = bytes[at++];
        if (option == DHCP_OPTION_PAD)
            continue;
        if (option == DHCP_OPTION_END)
            break;
        if (at == length)
            return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                     "option %u at the end of the %s field has no length", option, field);
        size_t size = bytes[at++];
        if (size > length - at)
            return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                     "option %u says it has %zu bytes, and only %zu are left in the %s field",
                                     option, size, length - at, field);
        if (!found[option])
            found[option] = g_byte_array_new();
        g_byte_array_append(found[option], bytes + at, (guint)size);
        at += size;
    }
    return true;
}

static bool walk_all(GByteArray **found, const uint8_t *bytes, size_t length, unsigned *overload,
                     GError **error)
{
    if (!walk(found, bytes + AT_OPTIONS, length - AT_OPTIONS, "options", error))
        return false;
    /* Only what the options field says of it counts: an overload option in an overloaded field is one more
     * option that nobody asks for. */
    const GByteArray *option = found[DHCP_OPTION_OVERLOAD];
    *overload = 0;
    if (option) {
        if (option->len != 1 || option->data[0] < 1 || option->data[0] > 3)
            return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                     "option 52 (overload) is neither 1, 2 nor 3");
        *overload = option->data[0];
    }
    if ((*overload & OVERLOAD_FILE) && !walk(found, bytes + AT_FILE, SIZE_FILE, "file", error))
        return false;
    return !(*overload & OVERLOAD_SERVER_NAME) ||
           walk(found, bytes + AT_SERVER_NAME, SIZE_SERVER_NAME, "sname", error);
}

struct dhcp_message *dhcp_message_decode(const uint8_t *bytes, size_t length, GError **error)
{
    if (length < AT_OPTIONS) {
        hostnet_error_say(error, HOSTNET_ERROR_INVALID, "%zu bytes are too few for a DHCP message", length);
        return NULL;
    }
    if (memcmp(bytes + DHCP_HEADER_SIZE, cookie, sizeof cookie) != 0) {
        hostnet_error_say(error, HOSTNET_ERROR_INVALID, "the magic cookie of DHCP is missing");
        return NULL;
    }
    GByteArray *found[DHCP_OPTION_COUNT] = {};
    unsigned overload;
    bool is_whole = walk_all(found, bytes, length, &overload, error);
    struct dhcp_message *message = is_whole ? g_new0(struct dhcp_message, 1) : NULL;
    for (unsigned i = 0; i < DHCP_OPTION_COUNT; i++) {
        if (found[i] && message)
            message->options[i] = g_byte_array_free_to_bytes(found[i]);
        else if (found[i])
            g_byte_array_unref(found[i]);
    }
    if (!message)
        return NULL;
    message->op = bytes[0];
    message->hardware_type = bytes[1];
    message->hardware_length = bytes[2];
    message->hops = bytes[3];
    message->xid = dhcp_read32(bytes + 4);
    message->seconds = dhcp_read16(bytes + 8);
    message->broadcast = dhcp_read16(bytes + 10) & FLAG_BROADCAST;
    message->client = dhcp_read32(bytes + 12);
    message->yours = dhcp_read32(bytes + 16);
    message->next_server = dhcp_read32(bytes + 20);
    message->relay = dhcp_read32(bytes + 24);
    memcpy(message->hardware, bytes + AT_HARDWARE, sizeof message->hardware);
    if (!(overload & OVERLOAD_SERVER_NAME))
        memcpy(message->server_name, bytes + AT_SERVER_NAME, SIZE_SERVER_NAME);
    if (!(overload & OVERLOAD_FILE))
        memcpy(message->file, bytes + AT_FILE, SIZE_FILE);
    return message;
}

/* ---- encoding ---- */

static void put_option(GByteArray *bytes, unsigned option, GBytes *value)
{
    size_t length;
    const uint8_t *data = g_bytes_get_data(value, &length);
    do {
        uint8_t header[2] = {(uint8_t)option, (uint8_t)MIN(length, 255)};
        g_byte_array_append(bytes, header, sizeof header);
        if (header[1])
            g_byte_array_append(bytes, data, header[1]);
        data += header[1];
        length -= header[1];
    } while (length);
}

GByteArray *dhcp_message_encode(const struct dhcp_message *message)
{
    GByteArray *bytes = g_byte_array_sized_new(DHCP_LEAST_SIZE);
    g_byte_array_set_size(bytes, AT_OPTIONS);
    memset(bytes->data, 0, AT_OPTIONS);
    bytes->data[0] = message->op;
    bytes->data[1] = message->hardware_type;
    bytes->data[2] = message->hardware_length;
    bytes->data[3] = message->hops;
    dhcp_write32(bytes->data + 4, message->xid);
    dhcp_write16(bytes->data + 8, message->seconds);
    dhcp_write16(bytes->data + 10, message->broadcast ? FLAG_BROADCAST : 0);
    dhcp_write32(bytes->data + 12, message->client);
    dhcp_write32(bytes->data + 16, message->yours);
    dhcp_write32(bytes->data + 20, message->next_server);
    dhcp_write32(bytes->data + 24, message->relay);
    memcpy(bytes->data + AT_HARDWARE, message->hardware, sizeof message->hardware);
    memcpy(bytes->data + AT_SERVER_NAME, message->server_name, SIZE_SERVER_NAME);
    memcpy(bytes->data + AT_FILE, message->file, SIZE_FILE);
    memcpy(bytes->data + DHCP_HEADER_SIZE, cookie, sizeof cookie);
    if (message->options[DHCP_OPTION_TYPE])
        put_option(bytes, DHCP_OPTION_TYPE, message->options[DHCP_OPTION_TYPE]);
    for (unsigned i = 1; i < DHCP_OPTION_END; i++)
        if (message->options[i] && i != DHCP_OPTION_TYPE)
            put_option(bytes, i, message->options[i]);
    static const uint8_t end[] = {DHCP_OPTION_END};
    g_byte_array_append(bytes, end, sizeof end);
    guint length = bytes->len;
    if (length < DHCP_LEAST_SIZE) {
        g_byte_array_set_size(bytes, DHCP_LEAST_SIZE);
        memset(bytes->data + length, 0, DHCP_LEAST_SIZE - length);
    }
    return bytes;
}
