/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Links of labs in the host's own namespace, kept from NetworkManager and systemd-networkd where these run:
 * a file of theirs in /run that says so, there before the first link is, and gone after the last one. An
 * object for each of them; its key is the service's name.
 */
#pragma once

#include "netlab/operations.h"

bool unmanaged_plan(struct operation_context *context, const char *key, const char *payload, char **identity,
                    GError **error);
bool unmanaged_make(struct operation_context *context, const char *key, const char *payload,
                    const char *identity, GError **error);
bool unmanaged_unmake(struct operation_context *context, const struct store_object *object, GError **error);
bool unmanaged_is_there(const struct store_object *object);
char *unmanaged_describe(bool make, const char *key, const char *payload);

/* Inserts at the front of what a lab wants: one for each service that runs. keeps_names: a NIC of the host
 * goes to a bridge, and the name servers it had are to stay. For commands, in the host's namespace. */
void unmanaged_want(GPtrArray *objects, unsigned owner, const char *lab, bool keeps_names);

/* The same for one link of `netlab host`, by its name, before it is there and when it is gone. What could not
 * be written is no reason to fail. In the host's namespace `host`. */
void unmanaged_keep_link(struct hostnet *host, unsigned owner, const char *link);
void unmanaged_let_link(struct hostnet *host, unsigned owner, const char *link);

/* Files of labs that nobody knows, when the store is lost. `is_stray` says of which; `find` is told of each,
 * which is removed unless it is a dry run. */
void unmanaged_sweep(bool dry_run, bool (*is_stray)(void *opaque, const char *lab),
                     void (*find)(void *opaque, const char *lab, const char *path), void *opaque);
