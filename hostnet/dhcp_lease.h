/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A lease: what a server's OFFER or ACK means for the interface, checked; and as text for the store.
 *
 * What makes a lease unusable refuses it: no or a zero lifetime, no server identifier, an address that no
 * host may have, a mask with holes. What is only wrong in itself (a search list that loops, a route through a
 * multicast address, an MTU below what IPv4 needs) is left out and noted. Pure; any thread.
 */
#pragma once

#include "hostnet/dhcp_message.h"

#define DHCP_FOREVER 0xffffffffu

struct dhcp_route {
    uint32_t destination; /* host bits cleared */
    uint8_t length;       /* of the prefix; 0: the default route */
    uint32_t gateway;     /* 0: on link */
};

enum { DHCP_LEASE_LIST_MAX = 64 }; /* routes, servers, search domains: what is beyond is left out */

struct dhcp_lease {
    uint32_t address, broadcast, server;
    uint8_t length;            /* of the prefix */
    uint32_t lifetime, t1, t2; /* seconds; DHCP_FOREVER: none */
    GArray *routes;            /* struct dhcp_route: those of option 121 (or 249), else of option 3 */
    GArray *dns, *ntp;         /* uint32_t */
    char *domain, *hostname;   /* NULL: none */
    GPtrArray *search;         /* char * */
    uint16_t mtu;              /* 0: none */
    GPtrArray *notes;          /* char *: what was left out, and why; not stored */
    int64_t obtained_ms;       /* CLOCK_BOOTTIME when its request was sent; the times above count from here */
    int64_t obtained_at;       /* the same in seconds since 1970, which outlives a reboot */
};
typedef struct dhcp_lease dhcp_lease;

struct dhcp_lease *dhcp_lease_new(void);
struct dhcp_lease *dhcp_lease_copy(const struct dhcp_lease *lease);
void dhcp_lease_free(struct dhcp_lease *lease);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dhcp_lease, dhcp_lease_free)

/* Of an OFFER or ACK. NULL with INVALID. obtained_* are the caller's to set. */
struct dhcp_lease *dhcp_lease_from_message(const struct dhcp_message *message, GError **error);

/* The default gateway of its routes; 0: it has none. */
uint32_t dhcp_lease_router(const struct dhcp_lease *lease);
/* True when the address is in the lease's own prefix. */
bool dhcp_lease_is_on_link(const struct dhcp_lease *lease, uint32_t address);
/* When it ends, in ms of CLOCK_BOOTTIME; INT64_MAX: never. */
int64_t dhcp_lease_end(const struct dhcp_lease *lease);
/* Seconds left at `now_ms`; DHCP_FOREVER: for ever. */
uint32_t dhcp_lease_left(const struct dhcp_lease *lease, int64_t now_ms);

/* Lines of NAME=VALUE under [lease], for people and for the store. Owned by the caller. */
char *dhcp_lease_format(const struct dhcp_lease *lease);
/* The reverse, with the same checks: stores can be damaged. */
struct dhcp_lease *dhcp_lease_parse(const char *text, GError **error);

/* RFC 3442: width, significant octets, router, again and again. NULL with INVALID. */
GArray *dhcp_routes_decode(const uint8_t *bytes, size_t length, GPtrArray *notes, GError **error);
/* RFC 3397 with the compression of RFC 1035 4.1.4. NULL with INVALID: a loop, a name that no host has. */
GPtrArray *dhcp_search_decode(const uint8_t *bytes, size_t length, GError **error);
