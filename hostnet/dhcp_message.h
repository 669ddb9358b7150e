/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * DHCP messages: bytes to values and back (RFC 2131 section 2, RFC 2132). Pure; any thread.
 *
 * Options are kept by number, each as one run of bytes: what a message says in several pieces is joined in
 * the order of RFC 3396 (options field, then `file`, then `sname` when option 52 says that those hold
 * options), and what is longer than 255 bytes is written in several pieces. Every field is walked at most
 * once, whatever option 52 says where. Nothing of a message is trusted: a length that runs out of its field
 * refuses the whole message.
 *
 * Addresses are numbers in host byte order here and in the other dhcp_*.h; 0 is none.
 */
#pragma once

#include "hostnet/hostnet.h"

enum dhcp_type { /* option 53 */
                 DHCP_DISCOVER = 1,
                 DHCP_OFFER,
                 DHCP_REQUEST,
                 DHCP_DECLINE,
                 DHCP_ACK,
                 DHCP_NAK,
                 DHCP_RELEASE,
                 DHCP_INFORM,
                 DHCP_FORCERENEW, /* RFC 3203 */
                 DHCP_TYPE_COUNT
};
/* "DHCPOFFER"; "unknown" for a number that is none. */
const char *dhcp_type_name(unsigned type);

enum dhcp_option {
    DHCP_OPTION_PAD = 0,
    DHCP_OPTION_MASK = 1,
    DHCP_OPTION_ROUTER = 3,
    DHCP_OPTION_DNS = 6,
    DHCP_OPTION_HOSTNAME = 12,
    DHCP_OPTION_DOMAIN = 15,
    DHCP_OPTION_MTU = 26,
    DHCP_OPTION_BROADCAST = 28,
    DHCP_OPTION_NTP = 42,
    DHCP_OPTION_REQUESTED = 50,
    DHCP_OPTION_LIFETIME = 51,
    DHCP_OPTION_OVERLOAD = 52,
    DHCP_OPTION_TYPE = 53,
    DHCP_OPTION_SERVER = 54,
    DHCP_OPTION_PARAMETERS = 55,
    DHCP_OPTION_MESSAGE = 56,
    DHCP_OPTION_SIZE = 57,
    DHCP_OPTION_T1 = 58,
    DHCP_OPTION_T2 = 59,
    DHCP_OPTION_CLIENT_ID = 61,
    DHCP_OPTION_SEARCH = 119,     /* RFC 3397 */
    DHCP_OPTION_ROUTES = 121,     /* RFC 3442 */
    DHCP_OPTION_ROUTES_OLD = 249, /* the same under its number from before the RFC */
    DHCP_OPTION_END = 255,
    DHCP_OPTION_COUNT
};

enum {
    DHCP_OP_REQUEST = 1,
    DHCP_OP_REPLY = 2,
    DHCP_HARDWARE_ETHERNET = 1,
    DHCP_HEADER_SIZE = 236, /* up to the cookie */
    DHCP_LEAST_SIZE = 300,  /* what BOOTP relays expect; shorter ones are padded */
    DHCP_PORT_SERVER = 67,
    DHCP_PORT_CLIENT = 68,
};

struct dhcp_message {
    uint8_t op, hardware_type, hardware_length, hops;
    uint32_t xid;
    uint16_t seconds;
    bool broadcast;
    uint32_t client, yours, next_server, relay; /* ciaddr, yiaddr, siaddr, giaddr */
    uint8_t hardware[16];                       /* chaddr */
    char server_name[65], file[129];            /* "" when they hold options */
    GBytes *options[DHCP_OPTION_COUNT];         /* NULL: not there */
};
typedef struct dhcp_message dhcp_message;

struct dhcp_message *dhcp_message_new(uint8_t op, enum dhcp_type type);
void dhcp_message_free(struct dhcp_message *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dhcp_message, dhcp_message_free)

/* NULL with INVALID, which says what is wrong with it. */
struct dhcp_message *dhcp_message_decode(const uint8_t *bytes, size_t length, GError **error);
/* Option 53 first, the others by number. Owned by the caller. */
GByteArray *dhcp_message_encode(const struct dhcp_message *message);

/* Option 53; 0 when it is missing or no single byte. */
unsigned dhcp_message_type(const struct dhcp_message *message);

/* The bytes of an option, which stay the message's; NULL when it is not there. */
const uint8_t *dhcp_message_get(const struct dhcp_message *message, unsigned option, size_t *length);
/* False when it is missing or not of exactly that size. */
bool dhcp_message_get_u8(const struct dhcp_message *message, unsigned option, uint8_t *value);
bool dhcp_message_get_u16(const struct dhcp_message *message, unsigned option, uint16_t *value);
bool dhcp_message_get_u32(const struct dhcp_message *message, unsigned option, uint32_t *value);

void dhcp_message_set(struct dhcp_message *message, unsigned option, const void *data, size_t length);
void dhcp_message_set_u8(struct dhcp_message *message, unsigned option, uint8_t value);
void dhcp_message_set_u16(struct dhcp_message *message, unsigned option, uint16_t value);
void dhcp_message_set_u32(struct dhcp_message *message, unsigned option, uint32_t value);

#define DHCP_ADDRESS_TEXT 16
/* "10.0.0.5". Returns `text`. */
char *dhcp_address_format(uint32_t address, char text[DHCP_ADDRESS_TEXT]);
bool dhcp_address_parse(const char *text, uint32_t *address);
/* One that a host may have: not in 0/8, 127/8, nor 224/3 and up. */
bool dhcp_address_is_unicast(uint32_t address);

/* Big-endian numbers in bytes. */
static inline uint16_t dhcp_read16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}
static inline uint32_t dhcp_read32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}
static inline void dhcp_write16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}
static inline void dhcp_write32(uint8_t *at, uint32_t value)
{
    dhcp_write16(at, (uint16_t)(value >> 16));
    dhcp_write16(at + 2, (uint16_t)value);
}
