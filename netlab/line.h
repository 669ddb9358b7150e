/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Lines of NICs (`delay: 20ms`) as objects of their own: a changed line is set in the machine that runs,
 * which knows nothing of it but how its frames fare. A machine that is started has its lines from its first
 * frame on.
 */
#pragma once

#include "netlab/operations.h"

/* The key is "node:interface", the payload {"line": "delay=20ms,loss=1%"}. */
bool line_make(struct operation_context *context, const char *key, const char *payload, const char *identity,
               GError **error);
bool line_unmake(struct operation_context *context, const struct store_object *object, GError **error);
char *line_describe(bool make, const char *key, const char *payload);

/* A machine's payload with the lines that the store has for its NICs ("line" in each of "nics"); NULL with an
 * error. Owned by the caller. */
char *line_add_to_machine(struct operation_context *context, const char *node, const char *payload,
                          GError **error);
