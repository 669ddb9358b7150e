/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Addresses: values (IPv4/IPv6 address, prefix: parse, print, compute) and the addresses of links.
 *
 * Parsing is strict: dotted quads of four decimal parts without leading zeros, RFC 4291 text for IPv6, a
 * decimal prefix length within the family. Printing is canonical (RFC 5952 as inet_ntop has it), so parse and
 * print are each other's reverse. Values are plain structs without padding surprises: unused bytes are zero,
 * and hostnet_address_equal() is what compares.
 */
#pragma once

#include "hostnet/link.h"

struct hostnet_address {
    uint8_t family;    /* AF_INET, AF_INET6; 0 (AF_UNSPEC): none */
    uint8_t bytes[16]; /* network order; the first 4 for AF_INET */
};

/* An address with a prefix length: "10.1.0.7/24" keeps the 7. */
struct hostnet_prefix {
    struct hostnet_address address;
    uint8_t length; /* bits: 0…32, 0…128 */
};

#define HOSTNET_ADDRESS_TEXT 46
#define HOSTNET_PREFIX_TEXT  50

bool hostnet_address_parse(const char *text, struct hostnet_address *address, GError **error);
/* Writes into `text`, returns it. "" for AF_UNSPEC. */
char *hostnet_address_format(const struct hostnet_address *address, char text[HOSTNET_ADDRESS_TEXT]);
bool hostnet_address_equal(const struct hostnet_address *a, const struct hostnet_address *b);
/* <0, 0, >0: by family, then as big-endian numbers. */
int hostnet_address_compare(const struct hostnet_address *a, const struct hostnet_address *b);
/* 0.0.0.0 and ::, 224/4 and ff00::/8, 127/8 and ::1, 169.254/16 and fe80::/10. */
bool hostnet_address_is_unspecified(const struct hostnet_address *address);
bool hostnet_address_is_multicast(const struct hostnet_address *address);
bool hostnet_address_is_loopback(const struct hostnet_address *address);
bool hostnet_address_is_link_local(const struct hostnet_address *address);
/* address + n; false on overflow of the family's range. */
bool hostnet_address_add_offset(const struct hostnet_address *address, uint64_t n,
                                struct hostnet_address *result);

/* "10.1.0.0/24". Without "/n" INVALID, unless `default_full` (then /32 or /128). */
bool hostnet_prefix_parse(const char *text, bool default_full, struct hostnet_prefix *prefix, GError **error);
char *hostnet_prefix_format(const struct hostnet_prefix *prefix, char text[HOSTNET_PREFIX_TEXT]);
bool hostnet_prefix_contains(const struct hostnet_prefix *prefix, const struct hostnet_address *address);
bool hostnet_prefix_overlaps(const struct hostnet_prefix *a, const struct hostnet_prefix *b);
/* Host bits cleared / all set (the last is the broadcast address for IPv4 up to /30). */
void hostnet_prefix_network(const struct hostnet_prefix *prefix, struct hostnet_address *address);
void hostnet_prefix_last(const struct hostnet_prefix *prefix, struct hostnet_address *address);
/* True when no host bit is set: "10.1.0.0/24", not "10.1.0.7/24". */
bool hostnet_prefix_is_network(const struct hostnet_prefix *prefix);
/* How many addresses hosts may have: 2^n − 2 for IPv4 up to /30, 2 for /31, 1 for /32; for IPv6 2^n − 1 (not
 * the subnet-router anycast address), /127 2, /128 1; saturates at UINT64_MAX. */
uint64_t hostnet_prefix_host_count(const struct hostnet_prefix *prefix);
/* The nth of those, counted from 1. False when n is 0 or there are not so many. */
bool hostnet_prefix_host(const struct hostnet_prefix *prefix, uint64_t n, struct hostnet_address *address);
/* True when `address` is one of those (neither network, broadcast, nor outside). */
bool hostnet_prefix_is_host(const struct hostnet_prefix *prefix, const struct hostnet_address *address);

/* ---- addresses of links ---- */

#define HOSTNET_FOREVER 0xffffffffu

struct hostnet_link_address {
    uint32_t index;                   /* link */
    struct hostnet_prefix local;      /* the address itself with its prefix length */
    struct hostnet_address peer;      /* of point-to-point addresses; else AF_UNSPEC */
    struct hostnet_address broadcast; /* IPv4; AF_UNSPEC: none */
    bool default_broadcast;           /* adding only: set the prefix's broadcast address */
    uint8_t scope;                    /* RT_SCOPE_*; 0 is universe (global) */
    uint32_t flags;                   /* IFA_F_NODAD, IFA_F_NOPREFIXROUTE, IFA_F_MANAGETEMPADDR, … */
    uint32_t preferred, valid;        /* seconds left; adding: 0 and 0 mean forever */
    uint8_t protocol;                 /* IFAPROT_*; 0 unspecified */
    uint32_t metric;                  /* of the route to the prefix; 0: the kernel's usual one */
    char label[HOSTNET_NAME_MAX + 1]; /* IPv4; "" none */
};

/* EXISTS when the link has that address already. */
bool hostnet_address_add(struct hostnet *net, const struct hostnet_link_address *address, GError **error);
/* Adds it, or changes flags and lifetimes of the one that is there. */
bool hostnet_address_replace(struct hostnet *net, const struct hostnet_link_address *address, GError **error);
/* Goes by index, local address, prefix length and peer. True also when it is gone already. */
bool hostnet_address_remove(struct hostnet *net, const struct hostnet_link_address *address, GError **error);
/* GArray of struct hostnet_link_address; index 0: of all links; in kernel order (primary before secondary).
 */
GArray *hostnet_address_list(struct hostnet *net, uint32_t index, GError **error);
