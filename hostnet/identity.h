/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Who owns a link: owner marks and link identities.
 *
 * The mark is the link's ifalias, "netlab:LAB:HUMAN NAME". It is text that any `ip link` shows, it survives
 * the death of every process of ours, and it is what `netlab repair` goes by when the store is lost too.
 *
 * An identity is index + name + mark + boot id + namespace. It is complete BEFORE the kernel is asked
 * (hostnet_identity_plan picks an unused index at random, and creation asks for exactly that index), so a
 * journal can hold it in the intent row. Deletion takes an identity and refuses (NOT_OURS) unless index, name
 * and mark all agree with what the kernel says now. An identity of an earlier boot, or one whose index is
 * free, is already gone: deleting it succeeds and touches nothing.
 *
 * Numbers chosen: indexes from 2^20 up, so that they never meet the kernel's own, which count from 1.
 */
#pragma once

#include "hostnet/hostnet.h"

#define HOSTNET_NAME_MAX    15  /* characters of an interface name */
#define HOSTNET_ALTNAME_MAX 127 /* of an alternative name */
#define HOSTNET_MARK_MAX    255 /* of a mark (ifalias) */
#define HOSTNET_BOOT_ID_MAX 36

/* Plain value: copy it, store it, compare it. */
struct hostnet_link_identity {
    uint32_t index;
    char name[HOSTNET_NAME_MAX + 1];
    char mark[HOSTNET_MARK_MAX + 1];
    char boot_id[HOSTNET_BOOT_ID_MAX + 1];
    uint64_t netns; /* hostnet_get_netns_cookie() of the namespace it is in */
};

/* "netlab:LAB:HUMAN". Owned by the caller. INVALID: empty parts, ':' in the lab's name, control characters,
 * not UTF-8, or more than HOSTNET_MARK_MAX bytes. */
char *hostnet_mark_format(const char *lab, const char *human, GError **error);

/* The reverse. False (no error object) when it is not one of our marks. `lab` and `human` may be NULL. */
bool hostnet_mark_parse(const char *mark, char **lab, char **human);

/* True when the kernel would take this interface name: 1…15 bytes, no '/', ':', '%' or white space, not "."
 * or "..". The error says which rule is broken. */
bool hostnet_name_check(const char *name, GError **error);

/* Fills in `identity` for a link that is going to be made: an unused random index, this boot, this namespace.
 * Changes nothing. EXISTS when the name is taken now. */
bool hostnet_identity_plan(struct hostnet *net, const char *name, const char *mark,
                           struct hostnet_link_identity *identity, GError **error);

/* One line of text, for a journal: "BOOT/NETNS/INDEX/NAME/MARK". Owned by the caller. */
char *hostnet_identity_format(const struct hostnet_link_identity *identity);
bool hostnet_identity_parse(const char *text, struct hostnet_link_identity *identity, GError **error);
