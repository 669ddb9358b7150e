/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The lab's names: a file in the lab's folder that machines are handed when they start, and that is set
 * through the agent in those that run already. An object of its own, so that a new node does not make the
 * others anew.
 */
#pragma once

#include "netlab/operations.h"

#define HOSTS_FILE "hosts" /* in the lab's folder */

bool hosts_make(struct operation_context *context, const char *key, const char *payload, const char *identity,
                GError **error);
bool hosts_unmake(struct operation_context *context, const struct store_object *object, GError **error);
char *hosts_describe(bool make, const char *key, const char *payload);
