/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Networks that go out by the host's kernel (`uplink: nat`): a veth pair from the lab's bridge to the host's
 * namespace with the gateway's address on the host's end, forwarding on the links concerned, one nftables
 * table.
 *
 * Its identity, complete before anything is touched, is the pair's, the table's, and the switches that will
 * be changed with what they were. A switch that labs share stays on until the last of them goes: who goes
 * first hands on what it was.
 */
#pragma once

#include "netlab/operations.h"

bool nat_plan(struct operation_context *context, const char *key, const char *payload, char **identity,
              GError **error);
/* `bridge`: index of the network's bridge in the lab's namespace. */
bool nat_make(struct operation_context *context, const char *key, const char *payload, const char *identity,
              uint32_t bridge, GError **error);
bool nat_unmake(struct operation_context *context, const struct store_object *object, GError **error);
bool nat_is_there(const struct store_object *object);
char *nat_describe(bool make, const char *key, const char *payload);
