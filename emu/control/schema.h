/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The types of QMP as text, one line a type, from which arguments are checked and query-qmp-schema answers:
 *
 *     "StatusInfo running:bool *note:str"            an object; '*': may be left out
 *     "RunState = running paused"                    a word out of these
 *     "KeyValue / type:Kind number=Int qcode=Code"   an object of which `type` chooses further members
 *
 * Built-in types are str, int, number, bool, any; [T] is a list of T. A command's arguments are written like
 * the members of an object; "..." among them lets any other member be there.
 */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

/* Whether the arguments of a command (NULL: none given) are as `members` says; the error names the first that
 * is not, in QEMU's words. */
bool schema_check(const char *members, JsonObject *arguments, GError **error);

/* Gathers SchemaInfo objects: commands and events first, then schema_add_types() for all they refer to. */
struct schema;
struct schema *schema_new(void);
void schema_add_command(struct schema *schema, const char *name, const char *members, const char *returns);
void schema_add_event(struct schema *schema, const char *name, const char *members);
/* Adds the types and returns the whole; `schema` is gone. */
JsonArray *schema_finish(struct schema *schema);
