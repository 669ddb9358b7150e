/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Sysctls of one network namespace, changed so that they can be put back.
 *
 * Keys are paths below /proc/sys: "net/ipv4/ip_forward", "net/ipv6/conf/NAME/accept_ra". Only "net/…" is
 * accepted: all others belong to the whole machine. A change remembers what was there before and what was
 * written; undoing writes the old value only when the value is still the one that we wrote. Somebody else's
 * later decision stands.
 *
 * /proc/sys/net shows the namespace of the thread that looks; see hostnet.h.
 */
#pragma once

#include "hostnet/hostnet.h"

struct hostnet_sysctl_change {
    char *key;
    char *before; /* value found; trailing newline removed */
    char *after;  /* value read back after writing (the kernel may write it another way) */
};
typedef struct hostnet_sysctl_change hostnet_sysctl_change;
void hostnet_sysctl_change_free(struct hostnet_sysctl_change *change);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(hostnet_sysctl_change, hostnet_sysctl_change_free)

/* The value without its trailing newline, owned by the caller. NOT_FOUND, PERMISSION, INVALID (bad key). */
char *hostnet_sysctl_get(struct hostnet *net, const char *key, GError **error);

/* Writes and says what to put into the journal. For the intent row, read the old value first
 * (hostnet_sysctl_get) and keep key, before and after = value. A value that is there already is not written.
 * `change` may be NULL. */
bool hostnet_sysctl_set(struct hostnet *net, const char *key, const char *value,
                        struct hostnet_sysctl_change **change, GError **error);

/* Puts `before` back if the value is `after` now. True also when it is `before` already, when somebody else
 * changed it since (`was_foreign`, may be NULL, is set true) and when the key is gone with its link. */
bool hostnet_sysctl_undo(struct hostnet *net, const struct hostnet_sysctl_change *change, bool *was_foreign,
                         GError **error);
