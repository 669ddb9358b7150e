/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* What host_objects.c, host_uplink.c and host_show.c share. */
#pragma once

#include "netlab/host_objects.h"
#include "netlab/lock.h"

#define HOST_MARK_LAB "@host"

enum host_kind { HOST_BRIDGE, HOST_TAP, HOST_PORT, HOST_UPLINK_BRIDGE, HOST_KINDS };
const char *host_kind_name(enum host_kind kind);

/* One verb at work: everything open, the lock held, leftovers cleared away. */
struct host_session {
    const struct host_change *change;
    struct hostnet *net;
    struct store *store;
    struct lock lock;
    GPtrArray *rows; /* struct store_host_object *, of this boot and namespace */
};
bool host_session_begin(struct host_session *session, const struct host_change *change, const char *verb,
                        GError **error);
void host_session_end(struct host_session *session);
#define host_session_auto __attribute__((cleanup(host_session_end))) struct host_session

void host_tell(const struct host_change *change, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* NULL: none. Stays the session's. */
struct store_host_object *host_find_row(const struct host_session *session, enum host_kind kind,
                                        const char *name);
/* Is this link marked as made here; as the bridge of a NIC? */
bool host_is_marked(const struct hostnet_link *link, bool as_uplink);
/* BUSY with the remedy when netlab renews a lease on it. */
bool host_check_no_lease(const struct host_session *session, const char *interface, GError **error);
/* NOT_FOUND with the remedy. Owned by the caller. */
struct hostnet_link *host_find_link(const struct host_session *session, const char *name, GError **error);

/* The row, as MAKING, on the disk. NULL on error. Stays the session's. */
struct store_host_object *host_begin_row(struct host_session *session, enum host_kind kind, const char *name,
                                         const struct hostnet_link_identity *identity, const char *detail,
                                         GError **error);
/* After the making: PRESENT when it is `good`; otherwise undone, and the row gone. Returns `good`, or false
 * with an error. */
bool host_end_row(struct host_session *session, struct store_host_object *row, bool good, GError **error);
/* Marks it as REMOVING, undoes it, and forgets it. */
bool host_remove_row(struct host_session *session, struct store_host_object *row, GError **error);
/* All rows of kind PORT in that bridge. */
bool host_detach_all(struct host_session *session, uint32_t bridge, GError **error);
