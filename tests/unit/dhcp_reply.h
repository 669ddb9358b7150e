/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What DHCP tests share: replies built by the codec itself, as a server would make them, and seeds.
 */
#pragma once

#include "hostnet/dhcp_client.h"

#include <string.h>

#define REPLY_MAC                                                                                            \
    {                                                                                                        \
        {                                                                                                    \
            0x52, 0x55, 0x00, 0xd1, 0x55, 0x01                                                               \
        }                                                                                                    \
    }
#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

enum { REPLY_LIFETIME = 3600 };

/* An OFFER or ACK of `address`/24 from `server`, which is also the router. The caller may change it. */
static inline struct dhcp_message *reply_new(enum dhcp_type type, uint32_t xid, uint32_t address,
                                             uint32_t server)
{
    static const struct hostnet_mac mac = REPLY_MAC;
    struct dhcp_message *reply = dhcp_message_new(DHCP_OP_REPLY, type);
    reply->xid = xid;
    memcpy(reply->hardware, mac.octets, sizeof mac.octets);
    dhcp_message_set_u32(reply, DHCP_OPTION_SERVER, server);
    if (type == DHCP_NAK)
        return reply;
    reply->yours = address;
    dhcp_message_set_u32(reply, DHCP_OPTION_LIFETIME, REPLY_LIFETIME);
    dhcp_message_set_u32(reply, DHCP_OPTION_MASK, 0xffffff00);
    dhcp_message_set_u32(reply, DHCP_OPTION_ROUTER, server);
    return reply;
}
