/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Networks that are joined to a NIC of the host (`uplink: eth0`): the NIC is bridged in the host's namespace
 * (hostnet/uplink.h), and a veth pair leads from that bridge to the network's own in the lab. Where the NIC
 * is a bridge already, only the pair is made.
 *
 * Before the NIC is touched its whole state is in the journal, and a watchdog is armed: a process of its own,
 * in the host's namespace, that puts everything back when whoever armed it dies, or has not told it within a
 * minute that a gateway answers through the bridge.
 */
#pragma once

#include "hostnet/uplink.h"
#include "netlab/operations.h"

bool uplink_plan(struct operation_context *context, const char *key, const char *payload, char **identity,
                 GError **error);
/* `bridge`: index of the network's bridge in the lab's namespace. */
bool uplink_make(struct operation_context *context, const char *key, const char *payload,
                 const char *identity, uint32_t bridge, GError **error);
bool uplink_unmake(struct operation_context *context, const struct store_object *object, GError **error);
bool uplink_is_there(const struct store_object *object);
char *uplink_describe(bool make, const char *key, const char *payload);

/* Does `nic`, which may be bridged by `uplink` (its row; NULL: not yet), have its address by DHCP? For
 * commands, in the host's namespace. */
bool uplink_has_lease(const char *nic, const struct store_object *uplink);

/* Before it is noted what `nic` has: waits, at most UPLINK_SETTLE_SECONDS, while NetworkManager or
 * systemd-networkd is setting it up, telling the person once. False when `cancel_fd` (-1: none) became
 * readable. For commands, in the host's namespace. */
enum { UPLINK_SETTLE_SECONDS = 45 };
bool uplink_settle(const char *nic, int cancel_fd, void (*note)(void *opaque, const char *text), void *opaque);

/* What a person should know before `nic` is touched: sentences (char *), among them that this very session
 * comes in over it. False when it cannot be bridged. For commands, in the host's namespace. */
bool uplink_look(const char *nic, GPtrArray *warnings, GError **error);

/* Bridges a NIC for no lab: watchdog, bridge, gateway; then `ask` (may be NULL) is asked whether to keep it,
 * within so many seconds. Whatever of it fails, the NIC is put back at once. */
typedef bool uplink_ask_function(void *opaque, unsigned seconds, GError **error);
bool uplink_bridge_alone(struct hostnet *host, const struct hostnet_uplink *uplink, uplink_ask_function *ask,
                         void *opaque, GError **error);
/* hostnet_uplink_restore(), tried again while links are in motion. When the NIC then lacks an address it had,
 * who manages it is asked to set it up again (link_manager.h). */
bool uplink_put_back(struct hostnet *host, const struct hostnet_uplink *uplink, GPtrArray *notes,
                     GError **error);

/* The watchdog's own life (`netlab watchdog`): reads the state from fd 0 up to a line "end", says "armed\n"
 * on fd 1, and waits there for "done\n". True: told so. False: it put the NIC back, as it says on stderr. */
bool uplink_watch(unsigned seconds);
