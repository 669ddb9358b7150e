/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/* What the reports of one lab and of a class have in common (validate.c). */
#pragma once

#include "cli/cli.h"
#include "netlab/grade.h"

enum cli_report { CLI_REPORT_TEXT, CLI_REPORT_JSON, CLI_REPORT_JUNIT, CLI_REPORT_CSV };

/* --format and --json; false after a message. */
bool cli_report_format(const struct cli_call *call, enum cli_report *format);
/* Adds the checks of --checks. */
bool cli_report_add_hidden(const struct cli_call *call, struct topology *topology, GError **error);
/* A field of CSV (RFC 4180), and what comes behind it; what a spreadsheet would take for a formula gets an
 * apostrophe. */
void cli_report_cell(const char *text, const char *after);
/* Text for XML 1.0, escaped and without control characters. Owned by the caller. */
char *cli_report_xml(const char *text);
/* [{"check": …}, …]. Owned by the caller. */
JsonArray *cli_report_json(const GArray *outcomes);
/* <testsuite name="LAB" …>…</testsuite>, each line indented by so many blanks. */
void cli_report_junit(const char *lab, const GArray *outcomes, int indent);
