/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * IPv4 and IPv6 addresses and prefixes as values: parse, print, compare, compute. Pure; any thread. See
 * address.h. RFC 791, 4291 (text forms), 4632 (prefixes), 3021 (/31), 6164 (/127), 5952 (printing).
 *
 * Computation is on the 16 (or 4) bytes themselves, most significant first, so both families share it.
 */
#include "hostnet/address.h"
#include "hostnet/hostnet_internal.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

static unsigned family_bits(uint8_t family)
{
    return family == AF_INET ? 32 : family == AF_INET6 ? 128 : 0;
}

static const char *family_name(uint8_t family)
{
    return family == AF_INET ? "IPv4" : "IPv6";
}

bool hostnet_address_parse(const char *text, struct hostnet_address *address, GError **error)
{
    struct hostnet_address value = {};
    if (text && inet_pton(AF_INET, text, value.bytes) == 1) {
        value.family = AF_INET;
    } else {
        memset(value.bytes, 0, sizeof value.bytes);
        if (text && inet_pton(AF_INET6, text, value.bytes) == 1)
            value.family = AF_INET6;
    }
    if (!value.family)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "\"%s\" is no IP address; write one like 10.1.0.2 or fd00::2",
                                 text ? text : "");
    *address = value;
    return true;
}

char *hostnet_address_format(const struct hostnet_address *address, char text[HOSTNET_ADDRESS_TEXT])
{
    if (!family_bits(address->family) ||
        !inet_ntop(address->family, address->bytes, text, HOSTNET_ADDRESS_TEXT))
        text[0] = '\0';
    return text;
}

int hostnet_address_compare(const struct hostnet_address *a, const struct hostnet_address *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, family_bits(a->family) / 8);
}

bool hostnet_address_equal(const struct hostnet_address *a, const struct hostnet_address *b)
{
    return hostnet_address_compare(a, b) == 0;
}

bool hostnet_address_is_unspecified(const struct hostnet_address *address)
{
    static const uint8_t zero[16];
    return memcmp(address->bytes, zero, family_bits(address->family) / 8) == 0;
}

bool hostnet_address_is_multicast(const struct hostnet_address *address)
{
    return address->family == AF_INET ? (address->bytes[0] & 0xf0) == 0xe0
                                      : address->family == AF_INET6 && address->bytes[0] == 0xff;
}

bool hostnet_address_is_loopback(const struct hostnet_address *address)
{
    static const uint8_t one[16] = {[15] = 1};
    return address->family == AF_INET ? address->bytes[0] == 127
                                      : address->family == AF_INET6 && memcmp(address->bytes, one, 16) == 0;
}

bool hostnet_address_is_link_local(const struct hostnet_address *address)
{
    const uint8_t *bytes = address->bytes;
    return address->family == AF_INET
               ? bytes[0] == 169 && bytes[1] == 254
               : address->family == AF_INET6 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

bool hostnet_address_add_offset(const struct hostnet_address *address, uint64_t n,
                                struct hostnet_address *result)
{
    struct hostnet_address sum = *address;
    uint64_t carry = n;
    for (int i = (int)family_bits(address->family) / 8 - 1; i >= 0 && carry; i--) {
        uint64_t digit = (carry & 0xff) + sum.bytes[i];
        sum.bytes[i] = (uint8_t)digit;
        carry = (carry >> 8) + (digit >> 8);
    }
    if (carry)
        return false;
    *result = sum;
    return true;
}

/* ---- prefixes ---- */

bool hostnet_prefix_parse(const char *text, bool default_full, struct hostnet_prefix *prefix, GError **error)
{
    const char *slash = text ? strchr(text, '/') : NULL;
    g_autofree char *address_text =
        slash ? g_strndup(text, (gsize)(slash - text)) : g_strdup(text ? text : "");
    struct hostnet_prefix value = {};
    if (!hostnet_address_parse(address_text, &value.address, error))
        return false;
    unsigned bits = family_bits(value.address.family);
    if (!slash) {
        if (!default_full)
            return hostnet_error_say(error, HOSTNET_ERROR_INVALID, "\"%s\" has no prefix length; write %s/%u",
                                     text, text, bits == 32 ? 24 : 64);
        value.length = (uint8_t)bits;
        *prefix = value;
        return true;
    }
    const char *digits = slash + 1;
    unsigned length = 0;
    bool is_good = *digits && strlen(digits) <= 3 && !(digits[0] == '0' && digits[1]);
    for (const char *at = digits; is_good && *at; at++) {
        is_good = g_ascii_isdigit(*at);
        length = length * 10 + (unsigned)(*at - '0');
    }
    if (!is_good || length > bits)
        return hostnet_error_say(error, HOSTNET_ERROR_INVALID,
                                 "\"%s\": the prefix length of an %s address is a number from 0 to %u", text,
                                 family_name(value.address.family), bits);
    value.length = (uint8_t)length;
    *prefix = value;
    return true;
}

char *hostnet_prefix_format(const struct hostnet_prefix *prefix, char text[HOSTNET_PREFIX_TEXT])
{
    char address[HOSTNET_ADDRESS_TEXT];
    hostnet_address_format(&prefix->address, address);
    if (address[0])
        g_snprintf(text, HOSTNET_PREFIX_TEXT, "%s/%u", address, prefix->length);
    else
        text[0] = '\0';
    return text;
}

/* Sets the host bits to `bit`. */
static void fill_host_bits(const struct hostnet_prefix *prefix, bool bit, struct hostnet_address *address)
{
    struct hostnet_address value = prefix->address;
    for (unsigned i = prefix->length; i < family_bits(value.family); i++) {
        uint8_t mask = (uint8_t)(0x80 >> (i % 8));
        value.bytes[i / 8] = (uint8_t)(bit ? value.bytes[i / 8] | mask : value.bytes[i / 8] & ~mask);
    }
    *address = value;
}

void hostnet_prefix_network(const struct hostnet_prefix *prefix, struct hostnet_address *address)
{
    fill_host_bits(prefix, false, address);
}

void hostnet_prefix_last(const struct hostnet_prefix *prefix, struct hostnet_address *address)
{
    fill_host_bits(prefix, true, address);
}

bool hostnet_prefix_is_network(const struct hostnet_prefix *prefix)
{
    struct hostnet_address network;
    hostnet_prefix_network(prefix, &network);
    return hostnet_address_equal(&network, &prefix->address);
}

bool hostnet_prefix_contains(const struct hostnet_prefix *prefix, const struct hostnet_address *address)
{
    if (address->family != prefix->address.family || !address->family)
        return false;
    struct hostnet_prefix other = {.address = *address, .length = prefix->length};
    struct hostnet_address mine, its;
    hostnet_prefix_network(prefix, &mine);
    hostnet_prefix_network(&other, &its);
    return hostnet_address_equal(&mine, &its);
}

bool hostnet_prefix_overlaps(const struct hostnet_prefix *a, const struct hostnet_prefix *b)
{
    return a->length <= b->length ? hostnet_prefix_contains(a, &b->address)
                                  : hostnet_prefix_contains(b, &a->address);
}

/* Addresses at the low end that are not for hosts. */
static uint64_t reserved_low(const struct hostnet_prefix *prefix)
{
    return family_bits(prefix->address.family) - prefix->length >= 2 ? 1 : 0;
}

uint64_t hostnet_prefix_host_count(const struct hostnet_prefix *prefix)
{
    unsigned host_bits = family_bits(prefix->address.family) - prefix->length;
    if (host_bits >= 64)
        return UINT64_MAX;
    uint64_t all = UINT64_C(1) << host_bits;
    if (host_bits < 2)
        return all;
    return prefix->address.family == AF_INET ? all - 2 : all - 1;
}

bool hostnet_prefix_host(const struct hostnet_prefix *prefix, uint64_t n, struct hostnet_address *address)
{
    struct hostnet_address network;
    if (!family_bits(prefix->address.family) || n == 0 || n > hostnet_prefix_host_count(prefix))
        return false;
    hostnet_prefix_network(prefix, &network);
    return hostnet_address_add_offset(&network, n - 1 + reserved_low(prefix), address);
}

bool hostnet_prefix_is_host(const struct hostnet_prefix *prefix, const struct hostnet_address *address)
{
    if (!hostnet_prefix_contains(prefix, address))
        return false;
    if (!reserved_low(prefix))
        return true;
    struct hostnet_address edge;
    hostnet_prefix_network(prefix, &edge);
    if (hostnet_address_equal(&edge, address))
        return false;
    hostnet_prefix_last(prefix, &edge);
    return address->family != AF_INET || !hostnet_address_equal(&edge, address);
}
