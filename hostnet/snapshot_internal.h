/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * How netlink attributes become text: tables of rows, one row per attribute number. snapshot_format.c has the
 * tables and the writer, snapshot.c the lines.
 */
#pragma once

#include "hostnet/dump_internal.h"
#include "hostnet/snapshot.h"

enum hostnet_shape {
    HOSTNET_SHAPE_HEX,         /* bytes as they are: also everything without a row */
    HOSTNET_SHAPE_SKIP,        /* changes by itself, or is said elsewhere */
    HOSTNET_SHAPE_HANDLE,      /* a number that differs when the object is made anew: only with INDEXES */
    HOSTNET_SHAPE_NUMBER,      /* unsigned, 1 to 8 bytes */
    HOSTNET_SHAPE_TEXT,        /* with or without NUL */
    HOSTNET_SHAPE_LINK,        /* u32 index, written as the link's name */
    HOSTNET_SHAPE_ADDRESS,     /* 4: IPv4, 16: IPv6, 6: MAC, else hex */
    HOSTNET_SHAPE_NUMBERS,     /* array of u32 */
    HOSTNET_SHAPE_NEST,        /* attributes with the rows of `nested` */
    HOSTNET_SHAPE_KIND_NEST,   /* nested rows go by the text of the attribute before it (IFLA_INFO_KIND) */
    HOSTNET_SHAPE_LIFETIMES,   /* struct ifa_cacheinfo */
    HOSTNET_SHAPE_EXPIRY,      /* struct rta_cacheinfo */
    HOSTNET_SHAPE_HOPS,        /* RTA_MULTIPATH */
    HOSTNET_SHAPE_EXPRESSIONS, /* NFTA_RULE_EXPRESSIONS: counters' values are left out */
    HOSTNET_SHAPE_COUNT
};

struct hostnet_row {
    const char *name; /* NULL: "attr-NUMBER" */
    enum hostnet_shape shape;
    const struct hostnet_rows *nested;
};

struct hostnet_rows {
    const struct hostnet_row *rows;
    unsigned count;
};

/* The tables, by what the message is about. */
extern const struct hostnet_rows hostnet_rows_link, hostnet_rows_address, hostnet_rows_route,
    hostnet_rows_rule, hostnet_rows_qdisc, hostnet_rows_neighbour, hostnet_rows_nft_table,
    hostnet_rows_nft_chain, hostnet_rows_nft_rule, hostnet_rows_nft_set;

struct hostnet_format {
    GHashTable *names; /* link index → name */
    unsigned flags;    /* HOSTNET_SNAPSHOT_* */
};

/* The name of a link, or "link-INDEX" for one that is not in the namespace. */
void hostnet_format_link(GString *line, const struct hostnet_format *format, uint32_t index);

/* Appends " name=value" for each attribute of `length` bytes at `attributes`. */
void hostnet_format_attributes(GString *line, const struct hostnet_format *format,
                               const struct hostnet_rows *rows, const void *attributes, size_t length);
